//! A local emulator of the copy API, v2.1 to v4.0: two or more resources on loopback ports.
//!
//! It models what is known of the service: single-use authorizations that stay valid after a 429, blank v2.1 models
//! that stay, ids that an authorization reserves, expiry times, rate limits, and which fields a copy keeps. Where the
//! service's behaviour is not documented, a comment says so.
#![expect(clippy::indexing_slicing, reason = "fields are set on JSON objects that were made a few lines above")]

mod analysis;
mod call;
mod connection;
mod custom_models;
mod document_models;
mod faults;
mod handler;
#[cfg(test)]
pub(crate) mod in_memory;
mod limits;
mod lost;
mod options;
mod outage;
mod reply;
mod seed;
mod service;
mod state;
mod tls;
mod version;

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::backoff::jitter;
pub use call::Collection;
use connection::{ConnectionCutter, Downtime, FaultyListener, serve};
pub use faults::{FAULTS, Fault};
use handler::Request;
pub use limits::Tier;
pub use lost::AnswerTo;
pub use options::{EmulatedResource, Options, resource_name};
pub use outage::{Outage, OutageTime};
use reply::Reply;
use service::Service;
use state::{Stored, new_id};
use tls::Tls;

/// Maximum size of a request body in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// Maximum size of a document in bytes.
const MAX_DOCUMENT: usize = 64 * 1024 * 1024;

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct ServedRequest {
    /// The name of the resource.
    pub resource: String,
    /// GET, POST or DELETE.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// Time until the answer was ready.
    pub took: Duration,
    /// Whether the connection is closed instead of sending the answer.
    pub is_lost: bool,
}

/// A callback for each request.
pub type OnRequest = Arc<dyn Fn(&ServedRequest) + Send + Sync>;

/// A running emulator. It stops when it is dropped.
pub struct Emulator {
    service: Arc<Mutex<Service>>,
    resources: Vec<EmulatedResource>,
    authority: Option<String>,
    servers: JoinSet<()>,
}

impl Emulator {
    /// Starts the resources on loopback ports. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// When a port cannot be bound.
    pub async fn start(options: &Options, on_request: OnRequest) -> io::Result<Self> {
        let mut listeners = Vec::new();
        let names = options.resource_names();
        for index in 0..names.len() {
            let port = match (options.port, u16::try_from(index)) {
                (0, _) => Some(0),
                (first, Ok(index)) => first.checked_add(index),
                (_, Err(_)) => None,
            };
            let port = port.ok_or_else(|| io::Error::other("there are not that many ports"))?;
            listeners.push(
                TcpListener::bind((Ipv4Addr::LOCALHOST, port))
                    .await
                    .map_err(|error| io::Error::new(error.kind(), format!("port {port}: {error}")))?,
            );
        }
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let mut resources: Vec<_> = names
            .into_iter()
            .zip(addresses)
            .enumerate()
            .map(|(index, (name, address))| EmulatedResource::new(index, name, address))
            .collect();
        let tls = options.tls.then(Tls::new).transpose()?;
        if tls.is_some() {
            for resource in &mut resources {
                resource.endpoint = resource.endpoint.replacen("http:", "https:", 1);
            }
        }
        let service = Arc::new(Mutex::new(Service::new(options, &resources)));
        let mut servers = JoinSet::new();
        let started = Instant::now();
        for (account, (listener, resource)) in listeners.into_iter().zip(&resources).enumerate() {
            let server = Arc::new(Server {
                service: Arc::clone(&service),
                account,
                name: resource.name.clone(),
                latency: options.latency,
                jitter: options.jitter,
                hang: Downtime::new(started, &options.hang, &resource.name),
                on_request: Arc::clone(&on_request),
            });
            let downtime = Downtime::new(started, &options.down, &resource.name);
            let tls = tls.as_ref().map(|tls| tls.acceptor.clone());
            let answer = move |cutter, request| answer(Arc::clone(&server), cutter, request);
            servers.spawn(serve(FaultyListener { listener, downtime, tls }, answer));
        }
        Ok(Self { service, resources, authority: tls.map(|tls| tls.authority), servers })
    }

    /// The resources; the first one is the source.
    #[must_use]
    pub fn resources(&self) -> &[EmulatedResource] {
        &self.resources
    }

    /// The certificate of the authority that clients must trust, as PEM; none without TLS.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Makes a resource accept a token for a number of requests, as if it expired after them.
    pub fn accept_token(&self, resource: usize, token: &str, requests: usize) {
        if let Some(account) = lock(&self.service).accounts.get_mut(resource) {
            account.tokens.insert(token.to_owned(), requests);
        }
    }

    /// Adds a model or classifier to a resource. `body` is the answer to a GET of it.
    pub fn put(&self, resource: usize, collection: Collection, id: &str, body: Value) {
        if let Some(account) = lock(&self.service).accounts.get_mut(resource) {
            account.stored.insert((collection, id.to_owned()), Stored::ready(body));
        }
    }

    /// Lets the ids of unused authorizations stay reserved after a deletion. What the service does is not documented.
    pub fn keep_reserved_ids(&self) {
        lock(&self.service).accounts.iter_mut().for_each(|account| account.deletion_frees_reserved_id = false);
    }

    /// Deletes a model or classifier from a resource.
    pub fn remove(&self, resource: usize, collection: Collection, id: &str) {
        if let Some(account) = lock(&self.service).accounts.get_mut(resource) {
            account.delete(collection, id);
        }
    }

    /// Returns the answer to a GET of a model or classifier.
    #[must_use]
    pub fn get(&self, resource: usize, collection: Collection, id: &str) -> Option<Value> {
        let mut service = lock(&self.service);
        service.update(Timestamp::now());
        service.accounts.get(resource)?.get(collection, id).map(|stored| stored.body.clone())
    }

    /// Returns the ids of a collection of a resource, without prebuilt models.
    #[must_use]
    pub fn ids(&self, resource: usize, collection: Collection) -> Vec<String> {
        let service = lock(&self.service);
        let Some(account) = service.accounts.get(resource) else { return Vec::new() };
        account.custom_ids(collection).cloned().collect()
    }

    /// Serves requests until a server fails.
    ///
    /// # Errors
    /// The failure of the server.
    pub async fn run(&mut self) -> io::Result<()> {
        match self.servers.join_next().await {
            Some(ended) => ended.map_err(io::Error::other),
            None => Ok(()),
        }
    }
}

/// Locks the service. After a panic in one request the others are still answered.
fn lock(service: &Mutex<Service>) -> MutexGuard<'_, Service> {
    service.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The HTTP server of one resource.
struct Server {
    service: Arc<Mutex<Service>>,
    account: usize,
    name: String,
    latency: Duration,
    jitter: Duration,
    hang: Downtime,
    on_request: OnRequest,
}

/// Answers a request. The cutter is that of its connection.
async fn answer(
    server: Arc<Server>,
    cutter: ConnectionCutter,
    request: http::Request<Incoming>,
) -> Response<Full<Bytes>> {
    let began = Instant::now();
    if server.hang.is_now() {
        std::future::pending::<()>().await;
    }
    let (Parts { method, uri, headers, .. }, body) = request.into_parts();
    let max_body = if uri.path().ends_with("analyze") { MAX_DOCUMENT } else { MAX_BODY };
    let body = Limited::new(body, max_body).collect().await.map(http_body_util::Collected::to_bytes);
    tokio::time::sleep(server.latency + server.jitter.mul_f64(jitter())).await;
    let request_id = new_id();
    let (reply, region, date) = match &body {
        Ok(body) => {
            let request = Request {
                method: method.as_str(),
                path: uri.path(),
                query: uri.query(),
                headers: &headers,
                body,
                id: &request_id,
            };
            let mut service = lock(&server.service);
            let reply = service.answer(server.account, &request, Timestamp::now());
            let account = service.accounts.get(server.account);
            let region = account.map_or("", |account| account.region.display_name);
            let clock = account.map_or(SignedDuration::ZERO, |account| account.clock);
            (reply, region, Timestamp::now() + clock)
        }
        Err(_) => (Reply::gateway(StatusCode::PAYLOAD_TOO_LARGE, "The request is too large."), "", Timestamp::now()),
    };
    (server.on_request)(&ServedRequest {
        resource: server.name.clone(),
        method: method.to_string(),
        path: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        status: reply.status.as_u16(),
        took: began.elapsed(),
        is_lost: reply.is_lost,
    });
    if reply.is_lost {
        cutter.cut();
    }
    response(reply, &request_id, region, date)
}

/// Adds the headers that all answers of the service have.
fn response(reply: Reply, request_id: &str, region: &str, date: Timestamp) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = reply.status;
    let mut header = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    };
    header("apim-request-id", request_id);
    // The HTTP library would give the true time.
    header("date", &DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap_or_default());
    header("strict-transport-security", "max-age=31536000; includeSubDomains; preload");
    header("x-content-type-options", "nosniff");
    header("x-ms-region", region);
    if !reply.by_gateway {
        header("x-envoy-upstream-service-time", "1");
    }
    if reply.body.is_some() {
        let has_charset = reply.has_charset && reply.status.is_success();
        header("content-type", if has_charset { "application/json; charset=utf-8" } else { "application/json" });
    }
    for (name, value) in &reply.headers {
        let name = HeaderName::try_from(*name).ok();
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    if let Some(body) = reply.body {
        *response.body_mut() = Full::from(body.to_string());
    }
    response
}
