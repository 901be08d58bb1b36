//! Time limits as people write them: in a flag, or in an annotation.
//!
//! Written as Go writes durations (`90s`, `4m`, `1h30m`, `1.5h`), because that is what people know
//! from kubectl, or as a number of seconds.

use std::fmt;
use std::time::Duration;

/// The text is not a time limit; displays as what to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationProblem;

/// Reads a time limit of at most a year.
///
/// # Errors
/// The text is not a duration, is zero, or is longer than a year.
pub fn parse_duration(text: &str) -> Result<Duration, DurationProblem> {
    const YEAR: f64 = 365.0 * 24.0 * 3600.0;
    let text = text.trim();
    let seconds = match text.parse::<u32>() {
        Ok(seconds) => f64::from(seconds),
        Err(_) => parts(text).ok_or(DurationProblem)?,
    };
    let sensible = seconds > 0.0 && seconds <= YEAR;
    if sensible { Ok(Duration::from_secs_f64(seconds)) } else { Err(DurationProblem) }
}

impl fmt::Display for DurationProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write a duration such as 90s, 4m or 1h30m, above zero and at most a year")
    }
}

impl std::error::Error for DurationProblem {}

/// The sum of all `number unit` parts, in seconds.
fn parts(mut text: &str) -> Option<f64> {
    let mut sum = 0.0;
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = text[..digits].parse().ok()?;
        let rest = &text[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let factor = match &rest[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += number * factor;
        text = &rest[unit..];
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_and_seconds_are_understood() {
        let check = |text: &str, ms: Option<u64>| {
            assert_eq!(parse_duration(text).ok(), ms.map(Duration::from_millis), "{text}");
        };
        check("90s", Some(90_000));
        check("4m", Some(240_000));
        check("1h30m", Some(5_400_000));
        check("1.5h", Some(5_400_000));
        check("1m0.5s", Some(60_500));
        check("300", Some(300_000));
        check(" 5m ", Some(300_000));
        check("500ms", Some(500));
        for wrong in
            ["", "0", "0s", "-5m", "5 m", "5x", "m", "1.2.3s", "soon", "5m3", "1e3s", "9999999999h"]
        {
            check(wrong, None);
        }
    }
}
