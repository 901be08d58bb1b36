//! How many workers there are, how many of them wait, and the life of one: when another one is started,
//! and when one ends.
//!
//! There is always one that waits for the next key, as long as there may be more of them: whoever takes a
//! key as the last one that waited has another one started, and of those that find nothing to do all but
//! one end. `tests/interleavings` compiles this file once more and looks at every order of things.

use parking_lot::Mutex;

use crate::queue::Taken;

/// Who is there.
#[derive(Debug)]
pub struct Crew {
    most: usize,
    counts: Mutex<Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    living: usize,
    /// Those of the living that have no key in hand.
    waiting: usize,
}

/// What a worker does.
pub struct Work<T, H, L, D> {
    /// Waits for a key, for a while.
    pub take: T,
    /// Starts another worker, if there may be one more.
    pub hire: H,
    /// Looks at a key.
    pub look: L,
    /// Lets go of it.
    pub done: D,
}

/// Why a worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There was nothing to do for it, and it is not counted any more.
    Idle,
    /// There will be no more keys; it has to [`Crew::leave`].
    Closed,
}

impl Crew {
    /// Nobody yet, of at most so many.
    #[must_use]
    pub fn new(most: usize) -> Crew {
        Crew { most: most.max(1), counts: Mutex::new(Counts::default()) }
    }

    /// One more, who counts as waiting before it even begins: its number, or `None` when there are as many
    /// as there may be.
    #[must_use]
    pub fn enlist(&self) -> Option<usize> {
        let mut counts = self.counts.lock();
        let before = counts.living;
        (before < self.most).then(|| {
            counts.living += 1;
            counts.waiting += 1;
            before
        })
    }

    /// One that waits is gone, or never came.
    pub fn leave(&self) {
        let mut counts = self.counts.lock();
        counts.living -= 1;
        counts.waiting -= 1;
    }

    /// Nobody is there.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.counts.lock().living == 0
    }

    /// The life of a worker that was enlisted.
    pub fn serve<K>(
        &self,
        work: &Work<impl Fn() -> Taken<K>, impl Fn(), impl Fn(&K), impl Fn(&K)>,
    ) -> End {
        loop {
            let key = match (work.take)() {
                Taken::Key(key) => key,
                Taken::Closed => return End::Closed,
                Taken::Nothing if self.is_superfluous() => return End::Idle,
                Taken::Nothing => continue,
            };
            if self.took() {
                (work.hire)();
            }
            (work.look)(&key);
            // Before the key is let go, which may be the next one to take.
            self.counts.lock().waiting += 1;
            (work.done)(&key);
        }
    }

    /// One has a key in hand; true when it was the last one that waited.
    fn took(&self) -> bool {
        let mut counts = self.counts.lock();
        counts.waiting -= 1;
        counts.waiting == 0
    }

    /// Another one waits as well. Who leaves makes room in the same moment: otherwise the last one that
    /// waits could take a key and find no room for the next.
    fn is_superfluous(&self) -> bool {
        let mut counts = self.counts.lock();
        let superfluous = counts.waiting > 1;
        if superfluous {
            counts.living -= 1;
            counts.waiting -= 1;
        }
        superfluous
    }
}
