//! Ways in which the world, or what stands in for a part of depd, is broken on purpose, so that a test
//! sees its checker fire.

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The API server ignores the guard of the uid.
    NoUidGuard,
    /// The API server ignores the guard of the image.
    NoImageGuard,
    /// The queue hands a key that is in work to a second worker.
    TwoHands,
    /// A look takes half-written content for complete.
    TornLook,
    /// What is seen when a PATCH is planned runs its image already.
    NeedlessPatch,
    /// The store forgets messages that it was to keep.
    LostMessage,
    /// The receiver gets every message twice.
    RepeatedMessage,
    /// Every verdict is entered twice.
    RepeatedVerdict,
    /// The watch shows rollouts as complete that are not.
    FalseStatus,
    /// The state that was to be kept of failures in a row is not.
    ForgottenHalt,
    /// A watch that ends says nothing of it, and is away for long.
    UnsaidLoss,
    /// The watch streams lose events.
    LostEvent,
    /// The gate has no bound.
    WideGate,
    /// The gate opens before start-up was judged.
    EarlyGate,
    /// No reply to a request ever arrives.
    EndlessRetry,
    /// The state that was to be safe before the PATCH is not kept.
    ForgottenIntent,
    /// The journal is not told of an intent.
    UnsaidIntent,
    /// A rollout that gives way to another ends without a word.
    UnsaidEnd,
}
