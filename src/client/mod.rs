//! The only room that opens a socket: one way to send every request, and the rules for sending it again.

pub mod retry;
mod transport;

use std::time::Duration;

use http::Method;
use secrecy::SecretString;
use tokio::time::Instant;
use tracing::info;

use crate::api::{Answer, Request};
use crate::error::Error;
use crate::resource::{Resource, Side};
pub use retry::Patience;
use transport::{REQUEST_TIMEOUT, Transport};

/// What a read that begins at the deadline still gets, or it need not begin.
const SHORTEST_READ: Duration = Duration::from_secs(1);

/// Talks to one resource, with its credential and to no other host.
pub struct Client<'a> {
    resource: &'a Resource,
    transport: Transport,
    deadline: Instant,
    on_wait: OnWait<'a>,
}

/// Told of each wait before a request is sent again: why, and for how long.
pub type OnWait<'a> = Box<dyn Fn(&Error, Duration) + 'a>;

impl<'a> Client<'a> {
    /// A client that begins nothing after the deadline.
    ///
    /// # Errors
    /// When the platform's trust store cannot be used.
    pub fn new(resource: &'a Resource, deadline: Instant, on_wait: OnWait<'a>) -> Result<Self, Error> {
        Ok(Self { resource, transport: Transport::new(resource)?, deadline, on_wait })
    }

    /// Sends a request, reads its answer, and sends it again as far as that is safe and the patience lasts.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn call<T>(
        &self,
        request: &Request,
        patience: Patience,
        read: impl Fn(&Answer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        retry::persist(patience, self.deadline, &self.on_wait, async || self.once(request, &read).await).await
    }

    /// Sends a request once and reads its answer.
    ///
    /// # Errors
    /// When it could not be sent, got no usable answer, or was refused.
    pub async fn once<T>(&self, request: &Request, read: impl Fn(&Answer) -> Result<T, Error>) -> Result<T, Error> {
        let began = Instant::now();
        let answer = self.transport.send(self.resource, request, self.time_for(request)).await;
        let side = self.resource.side;
        let line = self.transport.secrets().blot_out(&format!("{request:?}"));
        match &answer {
            Ok(answer) => info!(
                "{side}: {line} -> {} in {:.0?}, request id {}",
                answer.status.as_u16(),
                began.elapsed(),
                answer.request_id().as_deref().unwrap_or("none"),
            ),
            Err(error) => info!("{side}: {line} -> {error} after {:.0?}", began.elapsed()),
        }
        read(&answer?)
    }

    /// Which resource it talks to.
    #[must_use]
    pub fn side(&self) -> Side {
        self.resource.side
    }

    /// From now on a secret that an answer repeats is blotted out before anybody reads it.
    pub fn hide(&self, secret: &SecretString) {
        self.transport.hide(secret);
    }

    /// A read ends at the deadline. What changes something gets its time: cut off, nobody would know what came of it.
    fn time_for(&self, request: &Request) -> Duration {
        if request.method == Method::GET {
            REQUEST_TIMEOUT.min(self.deadline.saturating_duration_since(Instant::now()).max(SHORTEST_READ))
        } else {
            REQUEST_TIMEOUT
        }
    }
}
