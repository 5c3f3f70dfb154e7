//! How dates are shown to people.

use jiff::Timestamp;

/// How long ago a time was.
pub(super) fn ago(time: Timestamp, now: Timestamp) -> String {
    let age = time.duration_until(now);
    match (age.as_mins(), age.as_hours()) {
        // A clock was set back.
        (..-2, _) => "in the future".into(),
        (..2, _) => "just now".into(),
        (minutes @ ..120, _) => format!("{minutes} minutes ago"),
        (_, hours @ ..48) => format!("{hours} hours ago"),
        (_, hours) => format!("{} days ago", hours / 24),
    }
}

/// The time until a date, in hours or days.
pub(super) fn days_left(expires: Timestamp, now: Timestamp) -> String {
    match now.duration_until(expires).as_hours() {
        ..0 => "expired".into(),
        hours @ 0..48 => format!("in {hours} hours"),
        hours => format!("in {} days", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_in_minutes_hours_or_days() {
        let now = "2026-11-24T02:00:00Z".parse().unwrap();
        for (time, what) in [
            ("2026-11-24T01:58:01Z", "just now"),
            ("2026-11-24T01:58:00Z", "2 minutes ago"),
            ("2026-11-24T00:00:01Z", "119 minutes ago"),
            ("2026-11-24T00:00:00Z", "2 hours ago"),
            ("2026-11-22T02:00:01Z", "47 hours ago"),
            ("2026-11-22T02:00:00Z", "2 days ago"),
            // Another clock.
            ("2026-11-24T02:00:30Z", "just now"),
            ("2026-11-25T02:00:00Z", "in the future"),
        ] {
            assert_eq!(ago(time.parse().unwrap(), now), what, "{time}");
        }
    }
}
