//! Events of `v1`. `[C]`

use jiff::Timestamp;
use serde::Deserialize;

use crate::model::{Event, Moment};

/// An Event as it is sent. Which of its times is set depends on who wrote it: recorders of the old
/// kind count in place (`lastTimestamp`), those of the new kind keep a series.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::cluster) struct EventObject {
    reason: Box<str>,
    message: Box<str>,
    last_timestamp: Option<Box<str>>,
    event_time: Option<Box<str>>,
    series: Option<Series>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Series {
    last_observed_time: Option<Box<str>>,
}

impl EventObject {
    /// When it was last seen, as RFC 3339 text, which sorts by time.
    fn seen(&self) -> &str {
        let series = self.series.as_ref().and_then(|series| series.last_observed_time.as_deref());
        let times = [series, self.last_timestamp.as_deref(), self.event_time.as_deref()];
        times.into_iter().flatten().max().unwrap_or_default()
    }
}

/// The one that was seen last.
pub(in crate::cluster) fn newest(events: Vec<EventObject>) -> Option<Event> {
    let newest = events.into_iter().max_by(|a, b| a.seen().cmp(b.seen()))?;
    let seen = newest.seen().parse::<Timestamp>().ok();
    let seen = seen.and_then(|time| u64::try_from(time.as_millisecond()).ok()).map(Moment);
    Some(Event { reason: newest.reason, message: newest.message, seen })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_event_that_was_seen_last_counts_whichever_way_it_was_recorded() {
        let events = json!([
            {"reason": "Unhealthy", "message": "old", "lastTimestamp": "2026-11-24T18:00:00Z",
             "eventTime": null},
            {"reason": "FailedMount", "message": "new", "lastTimestamp": null,
             "eventTime": "2026-11-24T17:00:00.000001Z",
             "series": {"count": 2, "lastObservedTime": "2026-11-24T18:01:00.000001Z"}},
        ]);
        let found = newest(serde_json::from_value(events).unwrap()).unwrap();
        assert_eq!((&*found.reason, &*found.message), ("FailedMount", "new"));
        assert_eq!(found.seen, Some(Moment(1_795_543_260_000)));
        assert_eq!(newest(Vec::new()), None);
    }
}
