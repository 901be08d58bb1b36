//! The seam through which tests make the API misbehave.
//!
//! A hook sees every request after authentication and may name one fault for it. Without a hook the
//! sandbox behaves. The faults are the rows of the team's list that a server can show; those of the
//! network beneath it belong into a proxy.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::http::Response;

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This answer, and nothing is done. [`Response::status`] and [`Response::header`] make it.
    Respond(Response),
    /// The connection is closed without an answer, and nothing is done.
    ResetBefore,
    /// The request is carried out, and the connection is closed without an answer.
    ResetAfter,
    /// The request waits this long, and then is carried out.
    Delay(Duration),
    /// A watch begins and then shows nothing, not even bookmarks, until the client goes away.
    HangWatch,
    /// A watch begins, sends these bytes as they are, and ends with a closed connection.
    WatchBytes(Vec<u8>),
}

/// What the hook knows about a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// `GET`, `PATCH`, …
    pub method: &'a str,
    /// Path and query, as sent.
    pub target: &'a str,
    /// Who asks.
    pub user: &'a str,
    /// It is a watch.
    pub watch: bool,
}

/// Consulted once per request, from the thread of its connection.
pub type FaultHook = Arc<dyn Fn(&RequestView<'_>) -> Option<Fault> + Send + Sync>;

impl fmt::Display for RequestView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} by {}", self.method, self.target, self.user)
    }
}
