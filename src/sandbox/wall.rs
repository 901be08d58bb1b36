//! Wall-clock time as Kubernetes writes it: RFC 3339, UTC, whole seconds. `[C]` but for [`Wall::now`].

use jiff::Timestamp;

/// Milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wall(pub(super) i64);

impl Wall {
    /// Reads the clock; only the edges call this.
    pub(super) fn now() -> Wall {
        Wall(Timestamp::now().as_millisecond())
    }

    /// `2026-11-23T09:41:00Z`.
    pub(super) fn text(self) -> String {
        self.seconds().to_string()
    }

    /// `Mon, 23 Nov 2026 09:41:00 GMT`, as the header `Date` has it (RFC 9110, 5.6.7).
    pub(super) fn http_date(self) -> String {
        let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
        printer.timestamp_to_rfc9110_string(&self.seconds()).unwrap_or_default()
    }

    /// `metav1.Time` drops the fraction.
    fn seconds(self) -> Timestamp {
        Timestamp::from_second(self.0.div_euclid(1000)).unwrap_or_default()
    }

    /// Reads what [`Wall::text`] wrote.
    pub(super) fn parse(text: &str) -> Option<Wall> {
        text.parse::<Timestamp>().ok().map(|t| Wall(t.as_millisecond()))
    }

    /// How long ago `then` was, as `kubectl get` shows an age; `<unknown>` for no time.
    pub(super) fn age_of(self, then: &str) -> String {
        let Some(then) = Wall::parse(then) else { return "<unknown>".into() };
        human((self.0 - then.0) / 1000)
    }
}

/// Two or three significant figures, after apimachinery's `duration.HumanDuration`.
fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |big: i64, big_unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{big_unit}"),
        _ => format!("{big}{big_unit}{small}{small_unit}"),
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        _ if seconds < 120 => format!("{seconds}s"),
        _ if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => pair(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_shown_as_kubectl_shows_them() {
        fn check(seconds: i64, expect: &str) {
            assert_eq!(human(seconds), expect, "{seconds} s");
        }
        check(-2, "<invalid>");
        check(-1, "0s");
        check(0, "0s");
        check(119, "119s");
        check(120, "2m");
        check(599, "9m59s");
        check(600, "10m");
        check(3 * 3600 + 60, "3h1m");
        check(47 * 3600, "47h");
        check(50 * 3600, "2d2h");
        check(192 * 3600, "8d");
        check(730 * 86_400 + 86_400, "2y1d");
        check(9 * 365 * 86_400, "9y");
    }

    #[test]
    fn a_time_survives_writing_and_reading_without_its_fraction() {
        assert_eq!(Wall::parse(&Wall(1_234_567_890_987).text()), Some(Wall(1_234_567_890_000)));
    }
}
