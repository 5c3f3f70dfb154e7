//! The moving lines of a batch: one for each running copy, as far as they fit, and the total below them.

use std::fmt::Write;
use std::time::Duration;

/// The lines of the terminal that the moving lines leave free: the last finished copy stays visible above them.
const LINES_ABOVE: usize = 2;
/// How many copies that wait for their turn have a line.
const MAX_WAITING: usize = 3;
/// Fewer copies must have ended before the time left is estimated.
const LEAST_FINISHED: usize = 3;

/// How many copies are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) selected: usize,
    /// Whatever the result.
    pub(super) finished: usize,
    pub(super) failed: usize,
    /// Begun, and not finished.
    pub(super) running: usize,
}

impl Tally {
    fn queued(self) -> usize {
        self.selected.saturating_sub(self.finished + self.running)
    }

    /// The total, after a time since the first copy could begin.
    pub(super) fn line(self, elapsed: Duration) -> String {
        let Self { selected, finished, failed, running } = self;
        let done = finished - failed;
        let mut line =
            format!("{done} of {selected} done, {running} running, {} queued, {failed} failed", self.queued());
        let per_second = number(finished) / elapsed.as_secs_f64().max(0.1);
        if finished >= LEAST_FINISHED && finished < selected {
            let left = Duration::from_secs_f64(number(selected - finished) / per_second);
            let rate = if per_second >= 1.0 { (per_second, "s") } else { (per_second * 60.0, "min") };
            let _ = write!(line, ", {:.1}/{}, {} left", rate.0, rate.1, duration(left));
        }
        line
    }
}

/// One copy that has begun or waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) is_waiting: bool,
}

/// The lines of the copies that fit a terminal of a height, without the total: all that run, and the first of those that
/// wait.
pub(super) fn rows(rows: Vec<Row>, height: usize) -> Vec<String> {
    let (all, room) = (rows.len(), height.saturating_sub(LINES_ABOVE + 1));
    let (waiting, mut shown): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_waiting);
    shown.extend(waiting.into_iter().take(MAX_WAITING));
    if shown.len() > room || shown.len() < all {
        shown.truncate(room.saturating_sub(1));
    }
    let hidden = all - shown.len();
    let width = shown.iter().map(|row| row.name.chars().count()).max().unwrap_or_default();
    let line = |Row { name, text, .. }: &Row| format!("  {name:width$}  {text}");
    let more = (hidden > 0 && room > 0).then(|| format!("  and {hidden} more"));
    shown.iter().map(line).chain(more).collect()
}

fn number(count: usize) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}

/// A time to wait, in one or two units.
fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..90 => format!("{seconds} s"),
        seconds @ ..5400 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [(usize, usize); 2] = [(80, 24), (120, 40)];

    fn row(name: String, text: &str, is_waiting: bool) -> Row {
        Row { name, text: text.into(), is_waiting }
    }

    /// Copies with these numbers.
    fn copies(numbers: std::ops::Range<usize>, text: &str, is_waiting: bool) -> Vec<Row> {
        numbers.map(|number| row(format!("invoices-{number}"), text, is_waiting)).collect()
    }

    /// The terminal: lines that stay, as far as they are visible, and the moving lines.
    fn screen((width, height): (usize, usize), stay: &[String], of: Vec<Row>, tally: Tally, seconds: u64) -> String {
        let mut moving = rows(of, height);
        moving.push(tally.line(Duration::from_secs(seconds)));
        let above = stay.len().saturating_sub(height - moving.len());
        let lines = stay.iter().skip(above).chain(&moving);
        assert!(moving.len() < height, "a line that stays is visible");
        let lines: Vec<_> = lines.map(|line| line.chars().take(width).collect::<String>()).collect();
        assert!(lines.len() <= height);
        lines.join("\n")
    }

    fn copied(numbers: std::ops::Range<usize>) -> Vec<String> {
        numbers.map(|number| format!("copied model invoices-{number} to target with API v4.0 in 3.1 s")).collect()
    }

    #[test]
    fn at_the_start_most_copies_wait_for_their_turn() {
        for size @ (width, height) in SIZES {
            let running = copies(1..5, "authorizing the copy", false);
            let all = [running, copies(5..61, "waiting for its turn", true)].concat();
            let stay = ["60 models and classifiers are selected".to_owned()];
            let tally = Tally { selected: 60, running: 4, ..Tally::default() };
            insta::assert_snapshot!(format!("board_start_{width}x{height}"), screen(size, &stay, all, tally, 0));
        }
    }

    #[test]
    fn at_half_time_the_rate_and_the_time_left_are_shown() {
        for size @ (width, height) in SIZES {
            let running = copies(31..44, "status: running", false);
            let all = [copies(44..61, "waiting for its turn", true), running].concat();
            let tally = Tally { selected: 60, finished: 30, running: 13, failed: 0 };
            insta::assert_snapshot!(
                format!("board_half_{width}x{height}"),
                screen(size, &copied(1..31), all, tally, 8)
            );
        }
    }

    #[test]
    fn copies_that_wait_for_their_minute_say_when_the_next_one_starts() {
        for size @ (width, height) in SIZES {
            let running = vec![row("a2c6f0f4-3a5e-4b1c-8a55-6e1f6f2f3c11".into(), "status: notStarted", false)];
            let all = [running, copies(6..60, "v2.1: next start in 41 s", true)].concat();
            let tally = Tally { selected: 60, finished: 5, running: 1, failed: 0 };
            let text = screen(size, &copied(1..6), all, tally, 310);
            insta::assert_snapshot!(format!("board_throttled_{width}x{height}"), text);
        }
    }

    #[test]
    fn a_failure_scrolls_with_its_reason_and_is_counted() {
        for size @ (width, height) in SIZES {
            let failure = [
                "error: model invoices-39: the copy failed",
                "cause: 2024: Could not retrieve authorization metadata.",
                "help: check --target-resource-id and --target-region, and run the command again",
            ];
            let stay = [copied(1..39), failure.map(str::to_owned).to_vec()].concat();
            let tally = Tally { selected: 60, finished: 39, running: 12, failed: 1 };
            let all = copies(40..52, "status: running", false);
            insta::assert_snapshot!(format!("board_failing_{width}x{height}"), screen(size, &stay, all, tally, 9));
        }
    }

    #[test]
    fn at_the_end_only_the_total_is_left() {
        for size @ (width, height) in SIZES {
            let tally = Tally { selected: 60, finished: 60, running: 0, failed: 1 };
            let text = screen(size, &copied(1..60), Vec::new(), tally, 15);
            insta::assert_snapshot!(format!("board_end_{width}x{height}"), text);
        }
    }

    #[test]
    fn a_terminal_of_few_lines_shows_the_total_and_no_more_than_fits() {
        for height in 1..8 {
            assert!(rows(copies(1..61, "status: running", false), height).len() < height.max(2));
        }
    }
}
