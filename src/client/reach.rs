//! What the exchanges with a resource say of it: its clock, its region, its addresses, and whether it answers at all.

use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout};
use url::Host;

use super::{Client, ClockReading, RetryPolicy, Stage, failed_stage};
use crate::api::{Answer, Call};
use crate::error::{Delivery, Error, ErrorKind};
use crate::text::UntrustedText;

/// The longest time for one name.
const NAME_TIME: Duration = Duration::from_secs(5);
/// How long a read is repeated while the resource cannot be reached or does not answer.
const READ_TIME: Duration = Duration::from_secs(10);
/// How long a read is repeated while there was no answer at all.
const FIRST_ANSWER_TIME: Duration = Duration::from_secs(30);

impl Client<'_> {
    /// Sends a call that only reads, and gives up sooner than a copy does.
    ///
    /// # Errors
    /// The last attempt's, or that of a cancellation.
    pub(crate) async fn read_soon<T>(&self, call: &Call<'_, T>) -> Result<T, Error> {
        Ok(self.send(call, RetryPolicy::READ.until(Instant::now() + READ_TIME)).await?.value)
    }

    /// Gets a key or token, and leaves half of the time to reach the resource without one.
    ///
    /// # Errors
    /// When there is no token, or that of a cancellation.
    pub(crate) async fn authenticate(&self) -> Result<(), Error> {
        let now = Instant::now();
        let until = now + self.deadline().saturating_duration_since(now) / 2;
        self.interruptible(self.auth_header(until)).await?.map(drop)
    }

    /// Sends a read without its credential. Any answer, such as 401, shows that the resource can be reached.
    ///
    /// # Errors
    /// When no answer came.
    pub(crate) async fn reach<T>(&self, call: &Call<'_, T>) -> Result<(), Error> {
        let policy = RetryPolicy::ONCE.until(Instant::now() + READ_TIME);
        let limits = self.limits(&call.request, policy);
        let (request, _) = call.request.identified();
        let sending = self.connection.transport.send(&self.connection.resource, &request, limits);
        self.note(&self.interruptible(sending).await??);
        Ok(())
    }

    /// The addresses of the endpoint's host, as this machine resolves its name. None where it cannot.
    pub(crate) async fn addresses(&self) -> Option<Vec<IpAddr>> {
        let url = self.endpoint().url("/").ok()?;
        let name = match url.host()? {
            Host::Ipv4(address) => return Some(vec![address.into()]),
            Host::Ipv6(address) => return Some(vec![address.into()]),
            Host::Domain(name) => name,
        };
        let lookup = timeout(NAME_TIME, tokio::net::lookup_host((name, 0)));
        let found = self.interruptible(lookup).await.ok()?.ok()?.ok()?;
        let mut addresses: Vec<_> = found.map(|address| address.ip()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Some(addresses)
    }

    /// Reads, and for half a minute again while the resource has not answered a single request.
    ///
    /// # Errors
    /// The last attempt's, or [`ErrorKind::Interrupted`](crate::error::ErrorKind).
    pub(crate) async fn read_with_first_answer<T>(&self, call: &Call<'_, T>) -> Result<T, Error> {
        let until = Instant::now() + FIRST_ANSWER_TIME;
        let mut result = self.read(call).await;
        let mut attempts = 0;
        loop {
            let error = match result {
                Err(error) if !self.has_answered() && error.may_have_been_processed() => error,
                result => return result,
            };
            attempts += 1;
            let error = self.wait_before_repetition(error, attempts).await?;
            if Instant::now() >= until {
                return Err(error);
            }
            result = Box::pin(self.send_once(call, RetryPolicy::ONCE)).await.map(|response| response.value);
        }
    }

    /// Whether the resource has answered any request, in whatever way.
    #[must_use]
    pub(crate) fn has_answered(&self) -> bool {
        self.connection.has_answered.get()
    }

    /// Keeps what every answer says of its resource: the time and the region.
    pub(super) fn note(&self, answer: &Answer) {
        self.connection.has_answered.set(true);
        if let Some(date) = answer.date() {
            self.connection.clock.set(Some(ClockReading { date, read_at: Instant::now() }));
        }
        if let Some(region) = answer.region() {
            *self.connection.region.borrow_mut() = Some(region);
        }
    }

    /// Keeps that an answer came, although it could not be read to its end.
    pub(super) fn note_failure(&self, error: &Error) {
        let is_too_long = error.kind() == ErrorKind::Unforeseen && error.delivery() == Delivery::Unanswered;
        if is_too_long || failed_stage(error) == Some(Stage::Body) {
            self.connection.has_answered.set(true);
        }
    }

    /// The time by the service's own clock: its last `Date` and the time that has passed since. None before its first
    /// answer with a date. It is only compared with dates of the same service.
    #[must_use]
    pub(crate) fn service_time(&self) -> Option<Timestamp> {
        let ClockReading { date, read_at } = self.connection.clock.get()?;
        date.checked_add(SignedDuration::try_from(read_at.elapsed()).ok()?).ok()
    }

    /// The region of the resource, as its answers name it. None before the first answer with a region.
    #[must_use]
    pub(crate) fn service_region(&self) -> Option<UntrustedText> {
        self.connection.region.borrow().clone()
    }
}
