//! What all requests of one command have in common: its deadline, its cancellation, and who hears of retries.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Error;

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
        Self { deadline: Instant::now() + timeout.min(MAX_TIMEOUT), cancel, on_retry: Rc::new(on_retry) }
    }

    /// The same context with another receiver of retries.
    pub(crate) fn with_on_retry<'b>(&self, on_retry: impl Fn(&Error, Duration) + 'b) -> CallContext<'b>
    where
        'a: 'b,
    {
        CallContext { deadline: self.deadline, cancel: self.cancel, on_retry: Rc::new(on_retry) }
    }
}
