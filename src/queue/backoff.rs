//! How long to wait after the n-th failure in a row: exponential with jitter, capped.
//!
//! `[C]`: the randomness is handed in.

use std::time::Duration;

/// The first delay.
const BASE_MS: u64 = 250;
/// No delay is longer, however often something failed.
const CAP_MS: u64 = 30_000;

/// The delay after `failures` failures in a row (1 or more): between half and all of
/// `250 ms × 2^(failures-1)`, at most 30 s.
///
/// `jitter` is any number; its spread keeps many keys from returning at the same instant.
#[must_use]
pub fn delay(failures: u32, jitter: u64) -> Duration {
    let full = BASE_MS.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(CAP_MS);
    let half = full / 2;
    Duration::from_millis(half + jitter % (full - half + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_lies_between_half_and_all_of_the_doubled_base_and_is_capped() {
        for (failures, low, high) in [
            (1, 125, 250),
            (2, 250, 500),
            (5, 2000, 4000),
            (8, 15_000, 30_000),
            (99, 15_000, 30_000),
        ] {
            for jitter in [0, 1, 77, u64::MAX] {
                let ms = delay(failures, jitter).as_millis();
                assert!(
                    (low..=high).contains(&ms),
                    "{failures} failures, jitter {jitter}: {ms} ms"
                );
            }
        }
    }
}
