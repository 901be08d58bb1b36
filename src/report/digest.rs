//! Many records → one message: successes are counted, everything else is named with its reason. `[C]`
//!
//! A storm is when more waits than may be sent within ten seconds. Then as many records as fit are
//! told at once, in their order, and no failure goes without its name. While a storm lasts, each
//! digest lets more gather for the next one.

use super::record::Record;
use super::text::{cut, length};
use crate::model::Level;

/// How much one message of a receiver holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Characters of all the lines together, as [`length`] counts them after escaping.
    pub text: usize,
    /// Characters of one line.
    pub line: usize,
    /// Lines.
    pub lines: usize,
}

/// What one message tells of many records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many records each title has, in the order of their first appearance.
    pub counts: Vec<(String, usize)>,
    /// Everything that is not good news, the worst first.
    pub named: Vec<Named>,
    /// Where it comes from.
    pub origin: String,
}

/// One record that is not good news, in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// How bad it is.
    pub level: Level,
    /// Whom it is about: `shop (prod)`.
    pub subject: String,
    /// What happened, and why.
    pub text: String,
}

/// How many records, from the first on, fit into one message; at least one. `cost` is what a line
/// takes of [`Limits::text`].
#[must_use]
pub fn fitting(records: &[Record], limits: Limits, cost: impl Fn(&Named) -> usize) -> usize {
    let (mut text, mut lines) = (0, 0);
    for (at, record) in records.iter().enumerate() {
        if record.is_good() {
            continue;
        }
        lines += 1;
        text += cost(&Named::of(record, limits.line));
        if lines > limits.lines || text > limits.text {
            return at.max(1);
        }
    }
    records.len()
}

impl Digest {
    /// The digest of these records, with lines of at most `line` characters.
    #[must_use]
    pub fn of(records: &[Record], line: usize) -> Digest {
        let mut digest = Digest::default();
        for record in records {
            match digest.counts.iter_mut().find(|(title, _)| *title == record.title) {
                Some((_, count)) => *count += 1,
                None => digest.counts.push((record.title.clone(), 1)),
            }
            if !record.is_good() {
                digest.named.push(Named::of(record, line));
            }
        }
        // The worst first; and a message with a colour for each level has few parts.
        digest.named.sort_by_key(|named| named.level != Level::Danger);
        digest.origin = records.last().map(Record::origin).unwrap_or_default();
        digest
    }

    /// The worst level in it.
    #[must_use]
    pub fn level(&self) -> Level {
        let has = |level| self.named.iter().any(|named| named.level == level);
        match (has(Level::Danger), has(Level::Warning)) {
            (true, _) => Level::Danger,
            (_, true) => Level::Warning,
            _ => Level::Good,
        }
    }

    /// `Digest: 412 deployed, 3 failed`.
    #[must_use]
    pub fn headline(&self) -> String {
        let counts: Vec<String> = self
            .counts
            .iter()
            .map(|(title, count)| format!("{count} {}", title.to_lowercase()))
            .collect();
        format!("Digest: {}", counts.join(", "))
    }
}

impl Named {
    /// The line of a record.
    #[must_use]
    pub fn of(record: &Record, limit: usize) -> Named {
        let subject = record.subject().unwrap_or_else(|| "depd".to_owned());
        let why = record.reason.as_deref().unwrap_or(&record.text);
        let room = limit.saturating_sub(length(&subject) + length(&record.title) + 4).max(24);
        let text = format!("{}: {}", record.title, cut(why, room));
        Named { level: record.level, subject, text }
    }
}

/// How long to let more gather after each digest of a storm, in intervals of the receiver's pace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Storm {
    digests: u32,
}

impl Storm {
    /// A digest was sent: so many intervals to wait, from 5 up to 30.
    pub fn digest_sent(&mut self) -> u32 {
        let intervals = 5 << self.digests.min(3);
        self.digests = self.digests.saturating_add(1);
        intervals.min(30)
    }

    /// The last message was a digest, and since then there was always more.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.digests > 0
    }

    /// A single message was sent, or nothing waits any more: the storm is over.
    pub fn over(&mut self) {
        self.digests = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    const LIMITS: Limits = Limits { text: 10_000, line: 160, lines: 80 };

    fn mixed(count: usize, every: usize) -> Vec<Record> {
        let all = samples::all();
        let good = all.iter().find(|record| record.event == "deployed").expect("a success");
        let bad = all.iter().find(|record| record.event == "failed").expect("a failure");
        let named = |n: usize| {
            let record = if n.is_multiple_of(every) { bad } else { good };
            Record { service: Some(format!("svc-{n}")), ..record.clone() }
        };
        (0..count).map(named).collect()
    }

    fn cost(named: &Named) -> usize {
        length(&named.subject) + length(&named.text) + 4
    }

    #[test]
    fn a_digest_counts_everything_and_names_what_is_not_good() {
        let digest = Digest::of(&mixed(100, 40), 160);
        assert_eq!(digest.headline(), "Digest: 3 failed, 97 deployed");
        let names: Vec<&str> = digest.named.iter().map(|named| &*named.subject).collect();
        assert_eq!(names, ["svc-0 (prod)", "svc-40 (prod)", "svc-80 (prod)"]);
        assert!(digest.named[0].text.contains("CrashLoopBackOff, exit code 1"), "{digest:?}");
        assert_eq!(digest.level(), Level::Danger);
        assert_eq!(Digest::of(&mixed(9, 1)[..0], 160).level(), Level::Good);
    }

    #[test]
    fn a_thousand_failures_are_all_named_in_at_most_fourteen_digests() {
        let records = mixed(1000, 1);
        let (mut rest, mut digests, mut named) = (&records[..], 0, 0);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(fitting(rest, LIMITS, cost));
            let digest = Digest::of(now, LIMITS.line);
            assert!(digest.named.iter().map(cost).sum::<usize>() <= LIMITS.text);
            named += digest.named.len();
            digests += 1;
            rest = later;
        }
        assert_eq!(named, 1000);
        assert!(digests <= 14, "{digests}");
    }

    #[test]
    fn a_record_that_is_too_long_for_a_message_goes_alone() {
        let narrow = Limits { text: 5, ..LIMITS };
        assert_eq!(fitting(&mixed(3, 1), narrow, cost), 1);
        assert_eq!(fitting(&mixed(3, 5), narrow, cost), 1);
    }

    #[test]
    fn a_storm_lets_ever_more_gather_until_it_is_over() {
        let mut storm = Storm::default();
        let gaps: Vec<u32> = (0..5).map(|_| storm.digest_sent()).collect();
        assert_eq!(gaps, [5, 10, 20, 30, 30]);
        storm.over();
        assert_eq!(storm.digest_sent(), 5);
    }
}
