//! What the dep folder asks for. `[C]` pure core: bytes come in, values go out.
//!
//! A file's name and content become a key and images, or a problem in words; [`Register`] keeps what
//! every file says. Nothing here touches a file, and nothing here knows when a file is complete (that
//! is `source::settle`) or what the cluster runs. The rules are those of the README's chapter on the
//! dep file; the image grammar is [`crate::model::Image`]'s.
//!
//! A text from a dep file appears in a problem only where its characters are harmless in a
//! terminal and in a log line.

mod allow;
mod content;
mod ecr;
mod name;
mod register;

pub use allow::{AllowedImages, ImageLimits};
pub use content::{CONTENT_MAX, Content, parse_content};
pub use ecr::{EcrRepo, ImageRules};
pub use name::{FileName, parse_name};
pub use register::{DesiredState, Register};
