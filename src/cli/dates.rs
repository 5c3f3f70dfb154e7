//! How dates are shown to people.

use jiff::Timestamp;

/// The time until a date, in hours or days.
pub(super) fn days_left(expires: Timestamp, now: Timestamp) -> String {
    match now.duration_until(expires).as_hours() {
        ..0 => "expired".into(),
        hours @ 0..48 => format!("in {hours} hours"),
        hours => format!("in {} days", hours / 24),
    }
}
