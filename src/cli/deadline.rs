//! The deadline of the command. It counts from the start of the process, so that what comes before the first request (the
//! Azure CLI, pipes) is under it too.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// For commands without `--timeout`.
const DEFAULT: Duration = Duration::from_secs(60);

static CLOCK: OnceLock<Clock> = OnceLock::new();

struct Clock {
    started: Instant,
    timeout: Duration,
}

/// Starts the clock of the process.
pub(super) fn start(timeout: Option<Duration>) {
    CLOCK.get_or_init(|| Clock { started: Instant::now(), timeout: timeout.unwrap_or(DEFAULT) });
}

/// The time until the deadline.
pub(super) fn left() -> Duration {
    CLOCK.get().map_or(DEFAULT, |clock| clock.timeout.saturating_sub(clock.started.elapsed()))
}

/// The time since the start of the process.
pub(super) fn elapsed() -> Duration {
    CLOCK.get().map_or(Duration::ZERO, |clock| clock.started.elapsed())
}
