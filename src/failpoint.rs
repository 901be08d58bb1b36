//! Points at which a test can let the process die, as `kill -9` would. `[E]`
//!
//! A crash between two steps that follow each other within microseconds cannot be hit from outside.
//! So a debug build dies where `DEPD_FAILPOINT` says. A release build has none of it: the check is
//! compiled away, so that no variable in anybody's environment can kill a daemon that serves people.

/// Where a crash leaves something half done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// A PATCH is planned, and its intent is not kept yet.
    BeforeIntent,
    /// The intent is kept, and the PATCH not sent.
    BeforePatch,
    /// The PATCH was answered, and what it said is not kept yet.
    AfterPatch,
    /// The creation of a namespace was answered, and what that said is not kept yet.
    AfterNamespace,
    /// A verdict is found, and not kept yet.
    BeforeVerdict,
    /// The verdict and its message are kept, and the message is not on its way.
    BeforeMessage,
    /// The message was acknowledged, and that is not kept yet.
    AfterMessage,
}

impl Failpoint {
    /// As `DEPD_FAILPOINT` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Failpoint::BeforeIntent => "before-intent",
            Failpoint::BeforePatch => "before-patch",
            Failpoint::AfterPatch => "after-patch",
            Failpoint::AfterNamespace => "after-namespace",
            Failpoint::BeforeVerdict => "before-verdict",
            Failpoint::BeforeMessage => "before-message",
            Failpoint::AfterMessage => "after-message",
        }
    }

    /// Dies here if a test wants it so.
    pub fn pass(self) {
        #[cfg(debug_assertions)]
        if std::env::var_os("DEPD_FAILPOINT").is_some_and(|name| name == self.name()) {
            use rustix::process::{Signal, getpid, kill_process};
            // Nothing is flushed, nothing unwinds, nobody is told.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}
