//! What all requests of one command have in common: its deadline, its cancellation, and who hears of retries.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// How long a mutating request still waits for its answer after cancellation. Most of the time of a cleanup is left then.
const MUTATION_TIME: Duration = Duration::from_secs(3);
/// How long after cancellation a cleanup, such as a release, may end, whenever it began.
const CLEANUP_TIME: Duration = Duration::from_secs(5);
/// The longest deadline, so that sums of times do not overflow.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What all requests of one command have in common.
#[derive(Clone)]
pub(crate) struct CallContext<'a> {
    /// No wait goes beyond this.
    pub deadline: Instant,
    /// Ends every wait.
    pub cancel: &'a CancellationToken,
    /// Called before each wait for a retry.
    pub on_retry: OnRetry<'a>,
    /// When the cancellation was noticed first, by any request of the command.
    cancelled_at: Rc<OnceCell<Instant>>,
}

/// Receives why a request will be sent again, and after which wait.
pub(crate) type OnRetry<'a> = Rc<dyn Fn(&Error, Duration) + 'a>;

impl<'a> CallContext<'a> {
    /// The context of a command that starts now.
    pub(crate) fn new(
        timeout: Duration,
        cancel: &'a CancellationToken,
        on_retry: impl Fn(&Error, Duration) + 'a,
    ) -> Self {
        let deadline = Instant::now() + timeout.min(MAX_TIMEOUT);
        Self { deadline, cancel, on_retry: Rc::new(on_retry), cancelled_at: Rc::default() }
    }

    /// The same context with another receiver of retries.
    pub(crate) fn with_on_retry<'b>(&self, on_retry: impl Fn(&Error, Duration) + 'b) -> CallContext<'b>
    where
        'a: 'b,
    {
        CallContext { on_retry: Rc::new(on_retry), ..self.clone() }
    }

    /// The same context with another token, which may be cancelled although the command is not.
    pub(crate) fn with_cancel<'b>(&self, cancel: &'b CancellationToken) -> CallContext<'b>
    where
        'a: 'b,
    {
        CallContext { cancel, cancelled_at: Rc::default(), ..self.clone() }
    }

    /// Completes when the command is cancelled, and returns since when it is.
    pub(super) async fn cancelled(&self) -> Instant {
        self.cancel.cancelled().await;
        *self.cancelled_at.get_or_init(Instant::now)
    }

    /// When a cleanup must end because the command was cancelled; none where it was not.
    pub(super) fn cleanup_end(&self) -> Option<Instant> {
        self.cancel.is_cancelled().then(|| *self.cancelled_at.get_or_init(Instant::now) + CLEANUP_TIME)
    }

    /// Completes when a mutating request must not wait any longer for its answer after cancellation.
    pub(super) async fn mutation_over(&self) {
        sleep_until(self.cancelled().await + MUTATION_TIME).await;
    }

    /// Completes when a cleanup must not take any longer after cancellation.
    pub(super) async fn cleanup_over(&self) {
        sleep_until(self.cancelled().await + CLEANUP_TIME).await;
    }
}
