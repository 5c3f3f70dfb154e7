//! Whether the copies can end before the deadline at the one limit that is known in advance: the starts per minute.

use std::time::Duration;

/// How long one start keeps the next one waiting.
const PER_START: Duration = Duration::from_secs(60);

/// What is said if so many copies with a limit of starts per minute cannot all start in the time that is left.
pub(super) fn too_many(copies: usize, left: Duration) -> Option<String> {
    let waits = u32::try_from(copies.saturating_sub(1)).unwrap_or(u32::MAX);
    let needed = PER_START.saturating_mul(waits);
    (needed > left).then(|| {
        format!(
            "{copies} v2.1 copies take about {} minutes, one start a minute, and {} are left: give a longer --timeout, up \
             to 24h, or run the command again later with --if-exists skip",
            waits.saturating_add(1),
            minutes(left)
        )
    })
}

fn minutes(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_cannot_all_start_before_the_deadline_are_announced() {
        let half_an_hour = Duration::from_secs(30 * 60);
        assert_eq!(too_many(0, half_an_hour), None);
        assert_eq!(too_many(31, half_an_hour), None);
        let text = too_many(45, half_an_hour).unwrap();
        assert!(
            text.starts_with("45 v2.1 copies take about 45 minutes, one start a minute, and 30 minutes are left"),
            "{text}"
        );
        assert!(too_many(2, Duration::from_secs(5)).unwrap().contains("5 seconds are left"));
    }
}
