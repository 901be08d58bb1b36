//! What the dep folder asks for. `[C]` pure core.

mod register;

pub use register::{DesiredState, Register};
