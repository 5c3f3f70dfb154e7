//! Sends one HTTP request and reads its answer, with limits on time and size.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method};
use jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::{Instant, timeout_at};
use tower_layer::Layer;
use tower_service::Service;

use crate::api::{Answer, Request};
use crate::error::{Delivery, Error, ErrorKind, chain, root_cause};
use crate::label::Label;
use crate::resource::Resource;
use crate::trace::TraceParent;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of a request, from connecting to the last byte of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of an answer's body in bytes.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// The slowest upload that is waited for, in bytes per second.
const SLOWEST_UPLOAD: usize = 256 * 1024;
const USER_AGENT: &str = concat!("frcopy/", env!("CARGO_PKG_VERSION"));

/// The future that [`Transport::send`] returns.
pub(crate) type Sending<'a> = Pin<Box<dyn Future<Output = Result<Answer, Error>> + 'a>>;

/// Sends requests: [`Http`], or an emulated service in tests.
pub(crate) trait Transport {
    /// Sends a request once, unchanged, and waits for the answer at most as long as the limits say.
    fn send<'a>(&'a self, resource: &'a Resource, request: &'a Request, limits: Limits) -> Sending<'a>;
}

/// Until when the parts of one attempt must have happened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The token, the permit of the rate limiter, and so the sending.
    pub sent: Instant,
    /// A new connection. The time-out of a request cannot tell a request that was sent from one that was not.
    pub connected: Instant,
    /// The whole answer.
    pub answered: Instant,
}

/// HTTP/1.1 over TLS, or over plain TCP to this machine.
pub(crate) struct Http {
    http: reqwest::Client,
}

impl Http {
    /// Creates a connection pool for one resource.
    ///
    /// # Errors
    /// When the platform's trust store cannot be used.
    pub(crate) fn new(resource: &Resource) -> Result<Self, Error> {
        let mut builder = builder();
        if resource.endpoint.is_loopback() {
            // A proxy would receive the key over plain HTTP.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| unusable_client(&error))?;
        Ok(Self { http })
    }

    /// The request as the HTTP client takes it.
    fn build(
        &self,
        resource: &Resource,
        request: &Request,
        timeout: Duration,
    ) -> Result<reqwest::RequestBuilder, Error> {
        let url = resource.endpoint.url(&request.path_and_query)?;
        let mut builder = self.http.request(request.method.clone(), url).timeout(timeout);
        builder = builder.headers(request.headers.clone()).header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some((name, value)) = resource.trace.as_ref().map(TraceParent::header) {
            builder = builder.header(name, value);
        }
        Ok(match (request.json(), &request.document, &request.method) {
            (_, Some(document), _) => builder.header(CONTENT_TYPE, document.media_type).body(document.content.clone()),
            (Some(json), ..) => builder.header(CONTENT_TYPE, "application/json").body(json.to_owned()),
            // Some gateways reject a POST without Content-Length.
            (None, None, &Method::POST) => builder.header(CONTENT_LENGTH, HeaderValue::from_static("0")),
            (None, ..) => builder,
        })
    }
}

impl Transport for Http {
    fn send<'a>(&'a self, resource: &'a Resource, request: &'a Request, limits: Limits) -> Sending<'a> {
        let timeout = timeout_of(request).min(limits.answered.saturating_duration_since(Instant::now()));
        Box::pin(CONNECT_BY.scope(limits.connected, async move {
            let sending = self.build(resource, request, timeout)?.send();
            let response = sending.await.map_err(|error| no_answer(resource, request, &error))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let is_complete = status.is_success() && request.is_answered_by_head;
            let body = if is_complete { Vec::new() } else { body(resource, request, response).await? };
            Ok(Answer {
                resource: Arc::clone(&resource.label),
                purpose: request.purpose.clone(),
                auth_method: resource.credential.auth_method(),
                body,
                received: Timestamp::now(),
                status,
                headers,
            })
        }))
    }
}

/// The body of an answer, at most [`MAX_BODY`] of it.
async fn body(resource: &Resource, request: &Request, mut response: reqwest::Response) -> Result<Vec<u8>, Error> {
    if response.content_length().is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_long(&resource.label, request));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| no_body(resource, request, &error))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(too_long(&resource.label, request));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Timeout of a request, with time to send its document.
fn timeout_of(request: &Request) -> Duration {
    let size = request.document.as_ref().map_or(0, |document| document.content.len());
    REQUEST_TIMEOUT + Duration::from_secs((size / SLOWEST_UPLOAD).try_into().unwrap_or(u64::MAX))
}

/// Creates the HTTP clients for Entra ID token requests.
///
/// # Errors
/// When the platform's trust store cannot be used.
#[cfg(feature = "entra")]
pub(crate) fn entra_http_clients() -> Result<crate::auth::entra::HttpClients, Error> {
    let build = |builder: reqwest::ClientBuilder| {
        builder.timeout(REQUEST_TIMEOUT).build().map_err(|error| unusable_client(&error))
    };
    Ok(crate::auth::entra::HttpClients { remote: build(builder())?, local: build(builder().no_proxy())? })
}

/// The client settings that all requests share: no redirects and no automatic retries.
fn builder() -> reqwest::ClientBuilder {
    // Fails if the program has installed another provider, which is then used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        // A redirect would send the key to another host.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // `retry` is the only module that repeats requests.
        .retry(reqwest::retry::never())
        .dns_resolver(SystemResolver)
        .connector_layer(ConnectLimit)
}

tokio::task_local! {
    /// When a connection that is needed by the current request must be there.
    static CONNECT_BY: Instant;
}

/// Applies [`CONNECT_BY`] to a connector.
#[derive(Debug, Clone, Copy)]
struct ConnectLimit;

impl<S> Layer<S> for ConnectLimit {
    type Service = LimitedConnector<S>;

    fn layer(&self, connector: S) -> LimitedConnector<S> {
        LimitedConnector(connector)
    }
}

#[derive(Debug, Clone)]
struct LimitedConnector<S>(S);

type BoxError = Box<dyn StdError + Send + Sync>;

impl<S, R> Service<R> for LimitedConnector<S>
where
    S: Service<R, Error = BoxError, Future: Send + 'static, Response: 'static>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> task::Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let connecting = self.0.call(request);
        match CONNECT_BY.try_get() {
            Ok(until) => {
                Box::pin(
                    async move { timeout_at(until, connecting).await.unwrap_or_else(|_| Err(NoConnection.into())) },
                )
            }
            // A token request: it has a time limit of its own.
            Err(_) => Box::pin(connecting),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no connection in time")]
struct NoConnection;

fn unusable_client(error: &reqwest::Error) -> Error {
    Error::new(ErrorKind::Unforeseen, "the HTTP client cannot be set up")
        .with_source(root_cause(error).to_string())
        .with_remedy("check the system's trusted certificates, and SSL_CERT_FILE if it is set")
}

/// Converts an error of the HTTP client. Its delivery says whether the request was sent: a request that was not sent may
/// be repeated safely, a request without an answer may have been processed.
fn no_answer(resource: &Resource, request: &Request, error: &reqwest::Error) -> Error {
    let Resource { label, endpoint, .. } = resource;
    let setting = label.endpoint_setting();
    let purpose = &request.purpose;
    let cause = root_cause(error);
    let (delivery, stage, what, remedy) = if !error.is_connect() {
        let when = if error.is_timeout() { " in time" } else { "" };
        let what = format!("{label} did not answer the request to {purpose}{when}");
        (Delivery::Unanswered, Stage::Answer, what, "run the command again in a few minutes".to_owned())
    } else if let Some(UnknownHost { host, .. }) = cause.downcast_ref() {
        if endpoint.has_host(host) {
            let what = format!("the host name of {label} {endpoint} could not be resolved");
            let remedy = format!("check {setting}, and that this machine can resolve private endpoints");
            (Delivery::WrongHost, Stage::Name, what, remedy)
        } else {
            let what = format!("the host name of the proxy {host} for {label} could not be resolved");
            (Delivery::WrongHost, Stage::Name, what, "check HTTPS_PROXY and NO_PROXY".to_owned())
        }
    } else if let Some(refusal) = ProxyRefusal::of(cause) {
        refusal.explain(resource)
    } else {
        match tls_problem(error) {
            Some(rustls::Error::InvalidCertificate(_)) => {
                let what = format!("the certificate of {label} {endpoint} is not trusted");
                let remedy = format!(
                    "check {setting}; if a proxy inspects TLS, add its certificate to the trust store of this machine (on Linux: SSL_CERT_FILE)"
                );
                (Delivery::WrongHost, Stage::Connection, what, remedy)
            }
            Some(_) => {
                let what = format!("the TLS handshake with {label} {endpoint} failed");
                let remedy = format!("check scheme and port of {setting}");
                (Delivery::WrongHost, Stage::Connection, what, remedy)
            }
            None => {
                let what = format!("{label} {endpoint} cannot be reached");
                let remedy = format!("check {setting}, and that firewalls and proxies let this machine through");
                (Delivery::NotSent, Stage::Connection, what, remedy)
            }
        }
    };
    let source = NoAnswer { stage, cause: cause.to_string() };
    Error::new(ErrorKind::Unavailable, what).with_delivery(delivery).with_source(source).with_remedy(remedy)
}

/// How a proxy refused to connect to a resource.
enum ProxyRefusal {
    /// It answered 407.
    WantsPassword,
    /// It gave another answer than success, or none.
    NotConnected,
}

impl ProxyRefusal {
    /// The HTTP client does not export the type of this error, so its text is compared.
    fn of(cause: &(dyn StdError + 'static)) -> Option<Self> {
        match &*cause.to_string() {
            "tunnel error: proxy authorization required" => Some(Self::WantsPassword),
            "tunnel error: unsuccessful" | "tunnel error: unexpected end of file" => Some(Self::NotConnected),
            _ => None,
        }
    }

    fn explain(&self, resource: &Resource) -> (Delivery, Stage, String, String) {
        let Resource { label, endpoint, .. } = resource;
        match self {
            Self::WantsPassword => (
                Delivery::WrongHost,
                Stage::Connection,
                format!("the proxy for {label} {endpoint} requires authentication (HTTP 407)"),
                "put the user name and the password of the proxy into HTTPS_PROXY (http://USER:PASSWORD@HOST:PORT), or the host of the endpoint into NO_PROXY".to_owned(),
            ),
            Self::NotConnected => (
                Delivery::NotSent,
                Stage::Connection,
                format!("the proxy did not connect to {label} {endpoint}"),
                "ask the operator of the proxy to allow the endpoint, or put its host into NO_PROXY".to_owned(),
            ),
        }
    }
}

/// Converts an error while the body of an answer was received.
fn no_body(resource: &Resource, request: &Request, error: &reqwest::Error) -> Error {
    no_answer(resource, request, error)
        .with_source(NoAnswer { stage: Stage::Body, cause: root_cause(error).to_string() })
}

/// The part of an exchange that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The host name of the resource or of the proxy has no address.
    Name,
    /// There was no connection, or its TLS handshake failed.
    Connection,
    /// The request was sent, and no answer came.
    Answer,
    /// An answer came, and not the whole of its body.
    Body,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
struct NoAnswer {
    stage: Stage,
    cause: String,
}

/// Which part of the exchange failed, if an error is that of an exchange without an answer.
pub(crate) fn failed_stage(error: &Error) -> Option<Stage> {
    error.causes().find_map(|cause| cause.downcast_ref::<NoAnswer>()).map(|no_answer| no_answer.stage)
}

fn too_long(resource: &Label, request: &Request) -> Error {
    let what =
        format!("the answer of {resource} to the request to {} is larger than {} MiB", request.purpose, MAX_BODY >> 20);
    Error::new(ErrorKind::Unforeseen, what)
        .with_delivery(Delivery::Unanswered)
        .with_remedy(format!("check {}: the answer is not one of the service", resource.endpoint()))
}

/// Finds the error of the TLS library. It is wrapped in I/O errors, which do not return it as their source.
fn tls_problem<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    chain(error).find_map(|cause| {
        let inner = std::iter::successors(Some(cause), |&cause| {
            let inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
            Some(inner as &(dyn StdError + 'static))
        });
        inner.last()?.downcast_ref()
    })
}

/// The system's DNS resolver, with an error type that differs from that of a refused connection.
struct SystemResolver;

#[derive(Debug, thiserror::Error)]
#[error("no address for {host}: {reason}")]
struct UnknownHost {
    host: String,
    reason: io::Error,
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let addresses = tokio::net::lookup_host((host.as_str(), 0)).await.map(Vec::from_iter);
            match addresses {
                Ok(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
                Err(reason) => Err(UnknownHost { host, reason }.into()),
            }
        })
    }
}
