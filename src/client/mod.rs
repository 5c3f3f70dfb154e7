//! Requests to one resource: authentication, rate limit, retries, deadline and cancellation.

mod call_context;
mod rate_limit;
mod reach;
mod resource_of_client;
pub(crate) mod retry;
mod retry_policy;
mod silence;
pub(crate) mod transport;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::info;

use crate::api::{Answer, Call, Quota, Request, Response};
use crate::auth::AuthHeader;
use crate::error::{Delivery, Error, ErrorKind};
use crate::redactor::redact;
use crate::resource::Resource;
use crate::text::UntrustedText;
pub(crate) use call_context::CallContext;
use call_context::MAX_TIMEOUT;
pub(crate) use rate_limit::RateLimiter;
use retry::Retries;
pub(crate) use retry_policy::RetryPolicy;
use silence::Silence;
#[cfg(feature = "entra")]
pub(crate) use transport::entra_http_clients;
pub(crate) use transport::{Http, Limits, Stage, Transport, failed_stage};

/// How long after the deadline a read may still be answered. With the output it stays under a second.
const READ_GRACE: Duration = Duration::from_millis(750);
/// How long after the deadline a release may end.
const RELEASE_GRACE: Duration = Duration::from_secs(10);

/// The connections to one resource and its rate limiter, shared by all clients of it.
#[derive(Clone)]
pub(crate) struct Connection {
    resource: Rc<Resource>,
    transport: Rc<dyn Transport>,
    rate_limiter: RateLimiter,
    has_answered: Rc<Cell<bool>>,
    clock: Rc<Cell<Option<ClockReading>>>,
    region: Rc<RefCell<Option<UntrustedText>>>,
    silence: Silence,
    /// The deletions without an answer, by their paths, and when they were sent last.
    lost_deletions: Rc<RefCell<HashMap<String, Instant>>>,
}

/// A service's own `Date`, and when it was read by the monotonic clock.
#[derive(Debug, Clone, Copy)]
struct ClockReading {
    date: Timestamp,
    read_at: Instant,
}

impl Connection {
    /// HTTP to one resource.
    ///
    /// # Errors
    /// When the platform's trust store cannot be used.
    pub(crate) fn http(resource: &Resource) -> Result<Self, Error> {
        Ok(Self::over(resource, Rc::new(Http::new(resource)?)))
    }

    /// Another transport to one resource.
    #[must_use]
    pub(crate) fn over(resource: &Resource, transport: Rc<dyn Transport>) -> Self {
        Self {
            resource: Rc::new(resource.clone()),
            transport,
            rate_limiter: RateLimiter::new(&resource.limits),
            has_answered: Rc::default(),
            clock: Rc::default(),
            region: Rc::default(),
            silence: Silence::default(),
            lost_deletions: Rc::default(),
        }
    }

    /// Shares the rate limiter of the other connection where both go to the same resource.
    #[must_use]
    pub(crate) fn sharing_limits_with(self, other: &Self) -> Self {
        if self.resource.endpoint != other.resource.endpoint {
            return self;
        }
        Self { rate_limiter: other.rate_limiter.clone(), ..self }
    }

    /// A client over this connection.
    #[must_use]
    pub(crate) fn client<'a>(&self, context: CallContext<'a>) -> Client<'a> {
        Client { connection: self.clone(), context, is_persistent: Cell::default(), reads: RetryPolicy::READ }
    }

    /// Whether a limit of v2.1 starts per minute was met.
    #[must_use]
    pub(crate) fn copies_by_the_minute(&self) -> bool {
        self.rate_limiter.copies_by_the_minute()
    }

    /// How many copies can usefully run over it at the same time.
    #[must_use]
    pub(crate) fn room(&self) -> usize {
        self.rate_limiter.max_concurrent_copies()
    }
}

/// Sends requests to one resource, with its credential and to no other host.
pub(crate) struct Client<'a> {
    connection: Connection,
    context: CallContext<'a>,
    /// Whether a connection is tried until the deadline, also by requests before which nothing is reserved.
    is_persistent: Cell<bool>,
    /// How its reads are repeated.
    reads: RetryPolicy,
}

impl Client<'_> {
    /// Sends a call, and again as far as the policy allows.
    ///
    /// # Errors
    /// The last attempt's, or [`ErrorKind::Interrupted`].
    pub(crate) async fn send<T>(&self, call: &Call<'_, T>, policy: RetryPolicy) -> Result<Response<T>, Error> {
        let policy = if self.is_persistent.get() { policy.while_reserved() } else { policy };
        let mut retries = Retries::new(policy, policy.deadline(self.context.deadline));
        loop {
            let error = match Box::pin(self.send_once(call, retries.next_attempt())).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let wait = retries.wait_after(error, &*self.context.on_retry)?;
            self.unless_cancelled(policy, sleep(wait)).await?;
        }
    }

    /// From now on, a connection is tried until the deadline, because work is half done.
    pub(crate) fn persist(&self) {
        self.is_persistent.set(true);
    }

    /// Sends a call that only reads, and returns what it read.
    ///
    /// # Errors
    /// The last attempt's, or [`ErrorKind::Interrupted`].
    pub(crate) async fn read<T>(&self, call: &Call<'_, T>) -> Result<T, Error> {
        Ok(self.send(call, self.reads).await?.value)
    }

    /// The same client for reads without which the command cannot go on.
    #[must_use]
    pub(crate) fn for_decisive_reads(&self) -> Self {
        Self {
            connection: self.connection.clone(),
            context: self.context.clone(),
            is_persistent: self.is_persistent.clone(),
            reads: RetryPolicy::DECISIVE,
        }
    }

    /// As [`Client::read`], where a 404 that is not the service's own proves nothing.
    ///
    /// # Errors
    /// As those of [`Client::read`].
    pub(crate) async fn read_inventory<T>(&self, call: &Call<'_, T>) -> Result<T, Error> {
        Ok(self.send(call, self.reads.for_lists()).await?.value)
    }

    /// Sends a call once, when the rate limiter allows it. With another token it is sent once more where the first token is
    /// refused: a refused request changed nothing.
    ///
    /// # Errors
    /// When it could not be sent, got no usable answer, or was refused.
    pub(crate) async fn send_once<T>(&self, call: &Call<'_, T>, policy: RetryPolicy) -> Result<Response<T>, Error> {
        let limiter = &self.connection.rate_limiter;
        let limits = self.limits(&call.request, policy);
        let header = self.unless_cancelled(policy, self.auth_header(limits.sent)).await??;
        let permit = self.unless_cancelled(policy, limiter.acquire(call.request.quota, limits.sent)).await?;
        // A release is rather sent too early than not at all.
        if permit.is_err() && !policy.is_cleanup() {
            return Err(self.rate_limited(&call.request.purpose));
        }
        // Boxed, because it is large and part of the future of each step.
        let mut result = Box::pin(self.exchange(call, &header, policy, limits)).await;
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Credentials) {
            match self.other_header(&header, policy, limits.sent).await {
                Ok(Some(other)) => result = Box::pin(self.exchange(call, &other, policy, limits)).await,
                Ok(None) => {}
                Err(interrupted) => result = Err(interrupted),
            }
        }
        if let Some(learned) = permit.ok().and_then(|permit| limiter.record(permit, &result)) {
            info!("{}: accepts {learned}", self.name());
        }
        result
    }

    /// Until when a request may be sent, connected and answered.
    fn limits(&self, request: &Request, policy: RetryPolicy) -> Limits {
        let end = policy.deadline(self.context.deadline);
        let (sent, connected, answered) = if policy.is_cleanup() {
            (end, end, end)
        } else if request.method == Method::GET {
            // The last poll is sent at the deadline.
            (end + READ_GRACE / 3, end + READ_GRACE * 2 / 3, end + READ_GRACE)
        } else {
            (end, end, end + policy.answer_grace())
        };
        let connected = policy.connect_by().map_or(connected, |earlier| earlier.min(connected));
        Limits { sent, connected, answered }
    }

    async fn auth_header(&self, until: Instant) -> Result<AuthHeader, Error> {
        timeout_at(until, self.connection.resource.credential.header()).await.map_err(|_| {
            Error::new(ErrorKind::Unavailable, format!("no token for {} came in time", self.label()))
                .with_delivery(Delivery::NotSent)
                .with_remedy("run the command again later, or with a longer --timeout")
        })?
    }

    /// Another token than one that was refused. None where there is none before the time of sending is over.
    async fn other_header(
        &self,
        refused: &AuthHeader,
        policy: RetryPolicy,
        until: Instant,
    ) -> Result<Option<AuthHeader>, Error> {
        let refreshed = timeout_at(until, self.connection.resource.credential.refreshed(refused));
        let other = self.unless_cancelled(policy, refreshed).await?.ok().flatten();
        Ok(other.filter(|_| Instant::now() < until))
    }

    /// Sends one request under a client request id of its own, logs it, and reads the answer.
    ///
    /// Cancellation aborts reads immediately. A mutating request still waits a short time for its answer: without it, its
    /// effect is not known.
    async fn exchange<T>(
        &self,
        call: &Call<'_, T>,
        header: &AuthHeader,
        policy: RetryPolicy,
        limits: Limits,
    ) -> Result<Response<T>, Error> {
        let (request, client_request_id) = call.request.identified();
        let request = request.with(header);
        let started = Instant::now();
        if started >= limits.sent {
            return Err(self.past_deadline(&request));
        }
        let sending = self.connection.transport.send(&self.connection.resource, &request, limits);
        let answer = if policy.is_cleanup() {
            sending.await
        } else if request.method == Method::GET {
            self.interruptible(sending).await.unwrap_or_else(Err)
        } else {
            tokio::select! {
                answer = sending => answer,
                () = self.context.mutation_over() => Err(interrupted().with_delivery(Delivery::Unanswered)),
            }
        };
        self.connection.silence.note(started, &answer);
        self.log(&request, &answer, started.elapsed(), &client_request_id);
        let answer = answer.inspect_err(|error| self.note_failure(error))?;
        self.note(&answer);
        call.read(&answer)
    }

    fn log(&self, request: &Request, answer: &Result<Answer, Error>, took: Duration, client_request_id: &str) {
        let side = self.name();
        let line = redact(&format!("{request:?}"));
        match answer {
            Ok(answer) => {
                let request_id = answer.request_id().map_or_else(|| "none".to_owned(), |id| id.to_string());
                let status = answer.status.as_u16();
                info!(
                    "{side}: {line} -> {status} in {took:.0?}, request id {request_id}, client request id {client_request_id}"
                );
            }
            Err(error) => info!("{side}: {line} -> {error} after {took:.0?}, client request id {client_request_id}"),
        }
    }

    /// Reports a retry and waits the backoff of the given 1-based attempt number, or the `Retry-After` if that is longer.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`].
    pub(crate) async fn wait_before_retry(&self, error: &Error, attempt: u32) -> Result<(), Error> {
        self.report_and_wait(error, retry::wait_after(error, attempt)).await
    }

    /// As [`Client::wait_before_retry`], but at most until the deadline. Returns the failure again.
    ///
    /// # Errors
    /// The failure, if a repetition would change nothing or would come after the deadline, or
    /// [`ErrorKind::Interrupted`].
    pub(crate) async fn wait_before_repetition(&self, error: Error, attempt: u32) -> Result<Error, Error> {
        if !error.is_worth_repeating() {
            return Err(error);
        }
        let (error, wait) = retry::wait_within(error, attempt, self.context.deadline)?;
        self.report_and_wait(&error, wait).await?;
        Ok(error)
    }

    async fn report_and_wait(&self, error: &Error, wait: Duration) -> Result<(), Error> {
        (self.context.on_retry)(error, wait);
        self.pause(wait).await
    }

    /// Waits until the rate limiter would allow a request, so that it can be sent right after a read.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if that is after the deadline, or [`ErrorKind::Interrupted`].
    pub(crate) async fn wait_for_turn(&self, quota: Quota, purpose: &str) -> Result<(), Error> {
        self.check_turn_before_deadline(quota, purpose)?;
        self.interruptible(self.connection.rate_limiter.wait_until_free(quota)).await
    }

    /// Waits until the rate limiter allows a request of a cleanup, unless that is only after its end: a release is rather
    /// sent too early than not at all.
    pub(crate) async fn wait_for_cleanup_turn(&self, quota: Quota, until: Instant) {
        let limiter = &self.connection.rate_limiter;
        if limiter.earliest(quota) < until {
            // If the turn does not come before the end, the next request fails.
            let _ = timeout_at(until, limiter.wait_until_free(quota)).await;
        }
    }

    /// When a release that begins now must end: after `longest`, and soon after the deadline or the cancellation of the
    /// command.
    #[must_use]
    pub(crate) fn release_deadline(&self, longest: Duration) -> Instant {
        let end = (Instant::now() + longest).min(self.context.deadline + RELEASE_GRACE);
        self.context.cleanup_end().map_or(end, |earlier| earlier.min(end))
    }

    /// Completes at a time, or a short time after cancellation.
    pub(crate) async fn cleanup_time(&self, until: Instant) {
        tokio::select! {
            () = self.context.cleanup_over() => {}
            () = sleep_until(until) => {}
        }
    }

    /// Checks that the rate limiter can allow a request before the deadline.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`].
    pub(crate) fn check_turn_before_deadline(&self, quota: Quota, purpose: &str) -> Result<(), Error> {
        if self.connection.rate_limiter.earliest(quota) <= self.context.deadline {
            return Ok(());
        }
        Err(self.rate_limited(purpose))
    }

    /// Checks that a mutating request may be sent: not after cancellation, and not after the deadline.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] or [`ErrorKind::Unavailable`].
    pub(crate) fn check_may_mutate(&self) -> Result<(), Error> {
        if self.is_cancelled() {
            return Err(Error::interrupted("interrupted before the copy was started"));
        }
        if !self.is_past_deadline() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unavailable, "the deadline passed before the copy was started")
            .with_remedy("run the command again with a longer --timeout"))
    }

    /// Whether the command was cancelled.
    #[must_use]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.context.cancel.is_cancelled()
    }

    /// Whether the deadline has passed.
    #[must_use]
    pub(crate) fn is_past_deadline(&self) -> bool {
        Instant::now() >= self.context.deadline
    }

    /// The rate limiter of the resource.
    #[must_use]
    pub(crate) fn rate_limiter(&self) -> &RateLimiter {
        &self.connection.rate_limiter
    }

    /// The deadline of the command.
    #[must_use]
    pub(crate) fn deadline(&self) -> Instant {
        self.context.deadline
    }

    /// Remembers a deletion whose answer was lost: it may be carried out later.
    pub(crate) fn note_lost_deletion(&self, call: &Call<'_, ()>) {
        let path = call.request.path_and_query.clone();
        self.connection.lost_deletions.borrow_mut().insert(path, Instant::now());
    }

    /// When such a deletion was last sent.
    #[must_use]
    pub(crate) fn lost_deletion(&self, call: &Call<'_, ()>) -> Option<Instant> {
        self.connection.lost_deletions.borrow().get(&call.request.path_and_query).copied()
    }

    /// Waits, but not beyond the time of the last read.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`].
    pub(crate) async fn pause(&self, wait: Duration) -> Result<(), Error> {
        let until = (Instant::now() + wait.min(MAX_TIMEOUT)).min(self.context.deadline + READ_GRACE);
        self.interruptible(sleep_until(until)).await
    }

    /// Runs a future until cancellation.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`].
    pub(crate) async fn interruptible<T>(&self, future: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            _ = self.context.cancelled() => Err(interrupted()),
        }
    }

    async fn unless_cancelled<T>(&self, policy: RetryPolicy, future: impl Future<Output = T>) -> Result<T, Error> {
        if policy.is_cleanup() { Ok(future.await) } else { self.interruptible(future).await }
    }

    fn rate_limited(&self, purpose: &str) -> Error {
        let what =
            format!("the rate limit of {} allows the request to {purpose} only after the deadline", self.label());
        Error::new(ErrorKind::Unavailable, what).with_remedy("run the command again later, or with a longer --timeout")
    }

    /// The error of a request that was not sent.
    fn past_deadline(&self, request: &Request) -> Error {
        let what =
            format!("the deadline passed before the request to {} was sent to {}", request.purpose, self.label());
        Error::new(ErrorKind::Unavailable, what)
            .with_delivery(Delivery::NotSent)
            .with_remedy("run the command again with a longer --timeout")
    }
}

fn interrupted() -> Error {
    Error::interrupted("interrupted")
}
