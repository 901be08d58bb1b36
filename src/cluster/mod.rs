//! The Kubernetes API: how to reach it, what is asked of it, and a live view of it. `[E]`
//!
//! [`kubeconfig`] finds out where the API server is and who we are ([`Access`]); [`Client`] makes
//! the few requests that depd needs; [`spawn_reflector`] keeps telling what is there and what
//! changes. Requests and answers are shaped in `request` and `response`, errors are sorted into
//! classes in `error`, and the list-watch loop is decided in `reflector`: all of them pure, while
//! the rest of this module does the talking.
//!
//! Nothing here decides about deployments, and no credential leaves: not in a log line, not in an
//! error, not in `Debug` output.

mod access;
mod call;
mod client;
mod connector;
mod credentials;
mod error;
#[cfg(test)]
pub mod fixture;
mod initial;
pub mod kubeconfig;
mod lines;
mod live;
mod mark;
mod pull_secret;
mod redact;
pub mod reflector;
mod request;
mod response;
mod review;
pub mod rights;
mod secret;
mod session;
mod text;
mod tls;
mod trial;
mod watch;
mod watched;
mod window;

pub use access::{
    Access, Authorization, ClientIdentity, ExecCluster, ExecPlugin, ExecVersion, Impersonation,
    Material, ServerUrl, Trust,
};
pub use call::{Call, Resource, Scope, Verb};
pub use client::{Client, Listed};
pub use error::{ApiError, Class, LONGEST_RETRY_AFTER, Permission, Sent};
pub use mark::Mark;
pub use pull_secret::PullSecret;
pub use response::Version;
pub use review::{Greeting, Question};
pub use secret::Secret;
pub use session::ClientOptions;
pub use tls::ConnectError;
pub use trial::Trial;
pub use watch::{Reflector, spawn_reflector};
pub use watched::{WatchEvent, Watched};
