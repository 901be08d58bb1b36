//! Ways in which the world, or what stands in for a part of depd, is broken on purpose, so that a test
//! sees its checker fire.

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The API server ignores the guard of the uid.
    NoUidGuard,
    /// The API server ignores the guard of the image.
    NoImageGuard,
    /// The queue takes a key that is in work for done.
    TwoHands,
    /// A look takes half-written content for complete.
    TornLook,
    /// The watch shows another image where the one runs that the file asks for.
    PhantomEdit,
    /// The watch hides what somebody else made of depd's images.
    HiddenEdit,
    /// The same, where depd's image does not work and is about to be taken back.
    HiddenRescue,
    /// The watch shows pods as broken that are not.
    PhantomTrouble,
    /// The watch shows workloads as deleted that are there.
    PhantomDeletion,
    /// The API server refuses every image as if admission did.
    PhantomRefusal,
    /// The watch shows workloads as paused that are not.
    PhantomHold,
    /// The watch hides that a workload is paused.
    HiddenHold,
    /// The store forgets messages that it was to keep.
    LostMessage,
    /// The receiver gets every message twice.
    RepeatedMessage,
    /// What waits in the store is read from its end.
    Disorder,
    /// Every verdict is entered twice.
    RepeatedVerdict,
    /// The watch shows rollouts as complete that are not.
    FalseStatus,
    /// The same, where depd changed nothing.
    FalseGood,
    /// The same, where images are back that ran before.
    FalseReturn,
    /// Failures in a row halt nothing.
    NoHalt,
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

impl Sabotage {
    /// It shows when the last good images are put back.
    pub fn is_of_the_way_back(self) -> bool {
        matches!(self, Sabotage::FalseGood | Sabotage::FalseReturn | Sabotage::HiddenRescue)
    }
}
