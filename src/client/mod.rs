//! The only room that opens a socket: one way to send every request, and the rules for sending it again.

mod rate_limit;
pub mod retry;
mod transport;

use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use secrecy::SecretString;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::info;

use crate::api::{Answer, Request};
use crate::auth::AuthHeader;
use crate::backoff::{backoff, jitter};
use crate::error::{Delivery, Error, ErrorKind};
use crate::redactor::Redactor;
use crate::resource::{Endpoint, Resource, Side};
use rate_limit::RateLimiter;
pub use retry::RetryPolicy;
use tokio_util::sync::CancellationToken;
use transport::REQUEST_TIMEOUT;
#[cfg(feature = "entra")]
pub use transport::entra_http_clients;
pub use transport::{Http, Sending, Transport};

/// What a read that begins at the deadline still gets, or it need not begin.
const SHORTEST_READ: Duration = Duration::from_secs(1);
/// What the limits of a second can hold a request back, whatever the deadline.
const LONGEST_SPACING: Duration = Duration::from_secs(1);
/// What a request that changes something still gets when everybody has been told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Longer than any operation is remembered; and a time that far away can be reckoned with.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What all requests of one command have in common.
#[derive(Clone)]
pub struct CallContext<'a> {
    /// Nothing is waited for beyond this.
    pub deadline: Instant,
    /// Ends every wait.
    pub cancel: &'a CancellationToken,
    /// Told of each wait before a request is sent again.
    pub on_wait: OnWait<'a>,
}

impl<'a> CallContext<'a> {
    /// Those of a command that begins now.
    pub fn new(timeout: Duration, cancel: &'a CancellationToken, on_wait: impl Fn(&Error, Duration) + 'a) -> Self {
        Self { deadline: Instant::now() + timeout.min(LONGEST_TIMEOUT), cancel, on_wait: Rc::new(on_wait) }
    }

    /// The same ones, with somebody else to tell of waits.
    pub fn telling<'b>(&self, on_wait: impl Fn(&Error, Duration) + 'b) -> CallContext<'b>
    where
        'a: 'b,
    {
        CallContext { deadline: self.deadline, cancel: self.cancel, on_wait: Rc::new(on_wait) }
    }
}

/// Is told why a request waits before it is sent again, and for how long.
pub type OnWait<'a> = Rc<dyn Fn(&Error, Duration) + 'a>;

/// The way to one resource: its connections and its pace, which all that talk to it share.
#[derive(Clone)]
pub struct Connection {
    resource: Rc<Resource>,
    transport: Rc<dyn Transport>,
    rate_limiter: RateLimiter,
}

/// Talks to one resource, with its credential and to no other host.
pub struct Client<'a> {
    connection: Connection,
    context: CallContext<'a>,
    /// What an answer may repeat and nobody may read.
    secrets: Mutex<Redactor>,
}

impl Connection {
    /// HTTP to one resource.
    ///
    /// # Errors
    /// When the platform's trust store cannot be used.
    pub fn http(resource: &Resource) -> Result<Self, Error> {
        Ok(Self::over(resource, Rc::new(Http::new(resource)?)))
    }

    /// Another transport to one resource.
    #[must_use]
    pub fn over(resource: &Resource, transport: Rc<dyn Transport>) -> Self {
        Self { resource: Rc::new(resource.clone()), transport, rate_limiter: RateLimiter::default() }
    }

    /// Two connections to one and the same resource share its limits.
    #[must_use]
    pub fn beside(self, other: &Self) -> Self {
        if self.resource.endpoint == other.resource.endpoint {
            Self { rate_limiter: other.rate_limiter.clone(), ..self }
        } else {
            self
        }
    }

    /// Somebody who talks over it.
    #[must_use]
    pub fn client<'a>(&self, context: CallContext<'a>) -> Client<'a> {
        Client { connection: self.clone(), context, secrets: Mutex::default() }
    }

    /// Whether v2.1 copies from it were found to be limited by the minute.
    #[must_use]
    pub fn copies_by_the_minute(&self) -> bool {
        self.rate_limiter.copies_by_the_minute()
    }

    /// How many copies are well under way over it at the same time.
    #[must_use]
    pub fn room(&self) -> usize {
        self.rate_limiter.max_concurrent_copies()
    }
}

impl Client<'_> {
    /// Sends a request, reads its answer, and sends it again as far as that is safe and the policy lasts.
    ///
    /// # Errors
    /// The last attempt's, or [`ErrorKind::Interrupted`].
    pub async fn call<T>(
        &self,
        request: &Request,
        policy: RetryPolicy,
        read: impl Fn(&Answer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let persisting = retry::persist(
            policy,
            self.context.deadline,
            async |wait| self.pause(wait).await,
            |error, wait| (self.context.on_wait)(error, wait),
            async || self.once(request, &read).await,
        );
        persisting.await
    }

    /// Sends a request once, in its turn, and reads its answer.
    ///
    /// # Errors
    /// When it could not be sent, got no usable answer, or was refused.
    pub async fn once<T>(&self, request: &Request, read: impl Fn(&Answer) -> Result<T, Error>) -> Result<T, Error> {
        let until = self.context.deadline.max(Instant::now()) + LONGEST_SPACING;
        let pass = self.interruptible(self.auth_header(until)).await??;
        // To keep under a limit of a second takes a second at most; what is further away the service has asked for.
        let turn = self.interruptible(self.connection.rate_limiter.acquire(request.quota, until)).await?;
        let turn = turn.map_err(|_| self.held_back(request))?;
        let result = self.admitted(request, pass, async |request| self.exchange(request).await, &read).await;
        self.connection.rate_limiter.record(turn, &result);
        result
    }

    /// What the next request is let in with, and nobody may read.
    async fn auth_header(&self, until: Instant) -> Result<AuthHeader, Error> {
        let pass = timeout_at(until, self.connection.resource.credential.header()).await.map_err(|_| {
            Error::new(ErrorKind::Unavailable, format!("no token for the {} came before the time was up", self.side()))
                .with_delivery(Delivery::NotSent)
                .with_remedy("run the command again later, or give it more time with --timeout")
        })??;
        self.hide(pass.secret());
        Ok(pass)
    }

    /// Sends a request with what lets it in, and once more where that is refused and there is something else: a refused
    /// request has done nothing.
    async fn admitted<T>(
        &self,
        request: &Request,
        pass: AuthHeader,
        transmit: impl AsyncFn(&Request) -> Result<Answer, Error>,
        read: impl Fn(&Answer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let result = self.attempt(request, &pass, &transmit, &read).await;
        if !result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Credentials) {
            return result;
        }
        let Some(other) = self.connection.resource.credential.refreshed(&pass).await else { return result };
        self.hide(other.secret());
        self.attempt(request, &other, &transmit, &read).await
    }

    /// Sends a request once, under an id of its own, and understands and logs its answer.
    async fn attempt<T>(
        &self,
        request: &Request,
        pass: &AuthHeader,
        transmit: impl AsyncFn(&Request) -> Result<Answer, Error>,
        read: impl Fn(&Answer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (request, client_request_id) = request.identified();
        let request = request.with(pass);
        let began = Instant::now();
        let answer = transmit(&request).await.map(|answer| Answer { secrets: self.secrets(), ..answer });
        let took = began.elapsed();
        let side = self.connection.resource.side;
        let line = self.secrets().redact(&format!("{request:?}"));
        match &answer {
            Ok(answer) => info!(
                "{side}: {line} -> {} in {took:.0?}, request id {}, client request id {client_request_id}",
                answer.status.as_u16(),
                answer.request_id().as_deref().unwrap_or("none"),
            ),
            Err(error) => info!("{side}: {line} -> {error} after {took:.0?}, client request id {client_request_id}"),
        }
        read(&answer?)
    }

    /// Sends a request that may be repeated, whatever the deadline and whoever was told to stop: for what is left to do
    /// at the end.
    ///
    /// # Errors
    /// When it could not be sent, got no usable answer, or was refused.
    pub async fn last_word<T>(
        &self,
        request: &Request,
        until: Instant,
        read: impl Fn(&Answer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let pause = async |wait| {
            sleep(wait).await;
            Ok(())
        };
        let send = async || {
            let pass = self.auth_header(Instant::now() + REQUEST_TIMEOUT).await?;
            // In its turn, so as not to be turned away; but without one rather than not at all.
            let turn = self.connection.rate_limiter.acquire(request.quota, until).await.ok();
            let transmit = async |request: &Request| {
                self.connection.transport.send(&self.connection.resource, request, REQUEST_TIMEOUT).await
            };
            let result = self.admitted(request, pass, transmit, &read).await;
            if let Some(turn) = turn {
                self.connection.rate_limiter.record(turn, &result);
            }
            result
        };
        retry::persist(RetryPolicy::READ, until, pause, |error, wait| (self.context.on_wait)(error, wait), send).await
    }

    /// Waits before an answer that was lost is asked for again.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`].
    pub async fn wait_before_again(&self, error: &Error, failures: u32) -> Result<(), Error> {
        let wait = backoff(failures, jitter());
        (self.context.on_wait)(error, wait);
        self.pause(wait).await
    }

    /// Ends when what is left to do at the end must be done: in a while, or soon after being told to stop.
    pub async fn end_of_grace(&self, longest: Duration) {
        tokio::select! {
            () = self.grace_after_stop() => {}
            () = sleep(longest) => {}
        }
    }

    /// Ends a little after being told to stop, and never otherwise.
    async fn grace_after_stop(&self) {
        self.context.cancel.cancelled().await;
        sleep(GRACE).await;
    }

    /// Refuses what cannot have its turn before the deadline.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`].
    pub fn has_turn_in_time(&self, request: &Request) -> Result<(), Error> {
        let in_time = self.connection.rate_limiter.earliest(request.quota) <= self.context.deadline;
        if in_time { Ok(()) } else { Err(self.held_back(request)) }
    }

    /// Whether it takes so few requests that many copies at a time would only hold one another up.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.connection.rate_limiter.is_slow()
    }

    /// When nothing is waited for any more.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.context.deadline
    }

    /// Which resource it talks to.
    #[must_use]
    pub fn side(&self) -> Side {
        self.connection.resource.side
    }

    /// Where that resource is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.connection.resource.endpoint
    }

    /// From now on a secret that an answer repeats is blotted out before anybody reads it.
    pub fn hide(&self, secret: &SecretString) {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        *secrets = secrets.with(secret);
    }

    /// Waits, unless told to stop.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`].
    pub async fn pause(&self, wait: Duration) -> Result<(), Error> {
        self.interruptible(sleep(wait)).await
    }

    /// The limits of the resource, or what it has asked others of its kind to wait, leave no time for it.
    fn held_back(&self, request: &Request) -> Error {
        let Request { purpose, .. } = request;
        let what = format!("the {} takes no more requests before the time is up, and was to {purpose}", self.side());
        Error::new(ErrorKind::Unavailable, what)
            .with_remedy("run the command again later, or give it more time with --timeout")
    }

    fn secrets(&self) -> Redactor {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whoever is told to stop drops a read at once. What changes something gets its answer: cut off, nobody would
    /// know what came of it.
    async fn exchange(&self, request: &Request) -> Result<Answer, Error> {
        let left = self.context.deadline.saturating_duration_since(Instant::now()).max(SHORTEST_READ);
        if request.method == Method::GET {
            let sending = self.connection.transport.send(&self.connection.resource, request, REQUEST_TIMEOUT.min(left));
            return self.interruptible(sending).await?;
        }
        tokio::select! {
            answer = self.connection.transport.send(&self.connection.resource, request, REQUEST_TIMEOUT) => answer,
            () = self.grace_after_stop() => Err(interrupted().with_delivery(Delivery::Unanswered)),
        }
    }

    /// Waits for something, unless told to stop.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`].
    pub async fn interruptible<T>(&self, future: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.context.cancel.cancelled() => Err(interrupted()),
        }
    }
}

fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "interrupted")
}
