//! How many requests may be in flight at once: as many as the server can take. `[C]`
//!
//! The server says 429 when it has more than it can do (API Priority and Fairness, or a limit of a
//! proxy before it); many of those at once make it worse. So the bound follows what TCP does with
//! its congestion window (RFC 5681): it grows by one with each success until the first refusal,
//! is halved by a refusal, and from then on grows by one for each round of successes.
//!
//! Several refusals of one round count once: a request that was sent before the last cut says
//! nothing about the bound since. No clock here, and nobody waits here: a `Retry-After` is for
//! whoever asked, and who waits for a place is the session's business.

/// The bound at the beginning. An API server takes 200 writes at once unless it is told otherwise
/// (`--max-mutating-requests-inflight`), so this many are no burden, and a burst is soon in full swing.
pub(super) const FIRST: f64 = 32.0;

/// Few enough for every server, and enough to find out that it got better.
const LEAST: f64 = 1.0;

/// The bound with its memory.
#[derive(Debug)]
pub(super) struct Window {
    limit: f64,
    most: f64,
    in_flight: usize,
    /// Cuts so far; names the round of a request.
    round: u64,
}

/// The place of one request in flight.
#[derive(Debug)]
pub(super) struct Place {
    round: u64,
}

/// What the answer to a request says about the server's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// It was carried out, or refused for a reason of its own.
    Fine,
    /// 429.
    Overloaded,
    /// Nothing: the connection failed, or the server is in other trouble.
    None,
}

impl Window {
    /// A bound that grows up to `most`.
    pub(super) fn new(most: usize) -> Window {
        let most = (most as f64).max(LEAST);
        Window { limit: FIRST.min(most), most, in_flight: 0, round: 0 }
    }

    /// Nothing is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// A place for one more request, if there is one.
    pub(super) fn enter(&mut self) -> Option<Place> {
        if self.in_flight as f64 + 1.0 > self.limit {
            return None;
        }
        self.in_flight += 1;
        Some(Place { round: self.round })
    }

    /// Takes in the answer.
    pub(super) fn note(&mut self, place: &Place, sign: Sign) {
        match sign {
            // A window that is not used says nothing about a larger one.
            Sign::Fine if self.in_flight as f64 * 2.0 >= self.limit => {
                let step = if self.round == 0 { 1.0 } else { 1.0 / self.limit };
                self.limit = (self.limit + step).min(self.most);
            }
            Sign::Overloaded if place.round == self.round => {
                self.limit = (self.limit / 2.0).max(LEAST);
                self.round += 1;
            }
            Sign::Fine | Sign::Overloaded | Sign::None => {}
        }
    }

    /// The request is over, its answer read.
    pub(super) fn leave(&mut self) {
        self.in_flight -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many requests at once as there is room for, all answered with `sign`.
    fn round(window: &mut Window, sign: Sign) -> usize {
        let places: Vec<Place> = std::iter::from_fn(|| window.enter()).collect();
        places.iter().for_each(|place| window.note(place, sign));
        places.iter().for_each(|_| window.leave());
        places.len()
    }

    #[test]
    fn it_doubles_with_each_round_until_the_server_has_enough_and_then_grows_by_one() {
        let mut window = Window::new(100);
        let rounds: Vec<usize> = (0..4).map(|_| round(&mut window, Sign::Fine)).collect();
        assert_eq!(rounds, [32, 64, 100, 100]);
        assert_eq!(round(&mut window, Sign::Overloaded), 100);
        let rounds: Vec<usize> = (0..3).map(|_| round(&mut window, Sign::Fine)).collect();
        assert_eq!(rounds, [50, 50, 51]);
    }

    #[test]
    fn a_hundred_refusals_at_once_are_one_and_the_last_place_stays() {
        let mut window = Window::new(100);
        let sizes: Vec<usize> = (0..6).map(|_| round(&mut window, Sign::Overloaded)).collect();
        assert_eq!(sizes, [32, 16, 8, 4, 2, 1]);
    }

    #[test]
    fn a_late_refusal_of_an_older_round_does_not_cut_again() {
        let mut window = Window::new(100);
        let (first, late) = (window.enter().unwrap(), window.enter().unwrap());
        window.note(&first, Sign::Overloaded);
        window.note(&late, Sign::Overloaded);
        assert_eq!(window.limit, 16.0);
    }

    #[test]
    fn what_is_not_used_does_not_grow_and_a_broken_connection_says_nothing() {
        let mut window = Window::new(100);
        for _ in 0..50 {
            let place = window.enter().unwrap();
            window.note(&place, Sign::Fine);
            window.leave();
        }
        assert_eq!(round(&mut window, Sign::None), 32);
        assert_eq!(round(&mut window, Sign::Fine), 32);
    }

    #[test]
    fn one_worker_needs_one_place() {
        let mut window = Window::new(0);
        assert_eq!(round(&mut window, Sign::Fine), 1);
    }
}
