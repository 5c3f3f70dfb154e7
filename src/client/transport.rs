//! One request over the wire and its answer back, within limits of time and size, to the resource and nobody else.

use std::error::Error as StdError;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method};
use jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use secrecy::{ExposeSecret, SecretString};

use crate::api::{Answer, Request};
use crate::error::{Delivery, Error, ErrorKind};
use crate::resource::{Endpoint, Resource, Side};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From the first byte of a request to the last one of its answer.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A body that is longer is not read to its end.
const LONGEST_BODY: usize = 16 * 1024 * 1024;
/// What is shorter is no secret of this service, and may stand in any answer by chance.
const SHORTEST_SECRET: usize = 16;
const USER_AGENT: &str = concat!("frcopy/", env!("CARGO_PKG_VERSION"));

pub(super) struct Transport {
    http: reqwest::Client,
    /// Secrets that an answer may repeat and nobody may read.
    hidden: Mutex<Vec<SecretString>>,
}

impl Transport {
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, Error> {
        // The program around this library may have installed another provider; then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirect would carry the key to another host.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // What may be sent again is decided in `retry`, and nowhere else.
            .retry(reqwest::retry::never())
            .dns_resolver(SystemResolver);
        if endpoint.is_loopback() {
            // A proxy would be handed the key, over http in the clear.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| {
            Error::new(ErrorKind::Unforeseen, "the HTTP client cannot be set up")
                .with_source(root_cause(&error).to_string())
                .with_remedy("check the system's trusted certificates, and SSL_CERT_FILE if it is set")
        })?;
        Ok(Self { http, hidden: Mutex::default() })
    }

    /// From now on this secret is blotted out in every answer.
    pub(super) fn hide(&self, secret: &SecretString) {
        self.hidden.lock().unwrap_or_else(PoisonError::into_inner).push(secret.clone());
    }

    pub(super) async fn send(&self, resource: &Resource, request: &Request, limit: Duration) -> Result<Answer, Error> {
        let Resource { side, endpoint, credential } = resource;
        let (name, value) = credential.header();
        let mut builder = self
            .http
            .request(request.method.clone(), endpoint.url(&request.path_and_query)?)
            .timeout(limit)
            .headers(request.headers.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(name, value);
        builder = match (&request.body, &request.method) {
            (Some(json), _) => builder.header(CONTENT_TYPE, "application/json").body(json.clone()),
            // Some gateways refuse a POST that does not say how long it is.
            (None, &Method::POST) => builder.header(CONTENT_LENGTH, HeaderValue::from_static("0")),
            (None, _) => builder,
        };
        let mut response = builder.send().await.map_err(|error| no_answer(resource, request, &error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| no_answer(resource, request, &error))? {
            if body.len() + chunk.len() > LONGEST_BODY {
                return Err(too_long(*side, request));
            }
            body.extend_from_slice(&chunk);
        }
        blot_out(&mut body, credential.secret());
        for secret in self.hidden.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            blot_out(&mut body, secret);
        }
        Ok(Answer {
            side: *side,
            purpose: request.purpose.clone(),
            received: Timestamp::now(),
            status: response.status(),
            headers: response.headers().clone(),
            body,
        })
    }
}

/// Tells a request that was never sent from one whose answer is missing: only the first may be repeated blindly.
fn no_answer(resource: &Resource, request: &Request, error: &reqwest::Error) -> Error {
    let Resource { side, endpoint, .. } = resource;
    let purpose = &request.purpose;
    let cause = root_cause(error);
    let (delivery, what, remedy) = if !error.is_connect() {
        let when = if error.is_timeout() { " in time" } else { "" };
        let what = format!("asked to {purpose}, the {side} did not answer{when}");
        (Delivery::Unanswered, what, "run the command again in a few minutes".to_owned())
    } else if cause.is::<UnknownHost>() {
        let what = format!("the {side} {endpoint} has no known address");
        let remedy = format!("check the {side} endpoint, and that this machine can resolve private endpoints");
        (Delivery::Final, what, remedy)
    } else {
        match tls_problem(error) {
            Some(rustls::Error::InvalidCertificate(_)) => {
                let what = format!("the {side} {endpoint} has no certificate that can be trusted");
                let remedy = format!(
                    "check the {side} endpoint; where a company's proxy opens TLS, point SSL_CERT_FILE to its certificate"
                );
                (Delivery::Final, what, remedy)
            }
            Some(_) => {
                let what = format!("the {side} {endpoint} does not speak TLS as it should");
                (Delivery::Final, what, format!("check scheme and port of the {side} endpoint"))
            }
            None => {
                let what = format!("the {side} {endpoint} cannot be reached");
                let remedy =
                    format!("check the {side} endpoint, and that firewalls and proxies let this machine through");
                (Delivery::NotSent, what, remedy)
            }
        }
    };
    Error::new(ErrorKind::Unavailable, what).with_delivery(delivery).with_source(cause.to_string()).with_remedy(remedy)
}

fn too_long(side: Side, request: &Request) -> Error {
    let what = format!("asked to {}, the {side} sent more than {} MiB", request.purpose, LONGEST_BODY >> 20);
    Error::new(ErrorKind::Unforeseen, what)
        .with_delivery(Delivery::Unanswered)
        .with_remedy(format!("check the {side} endpoint: this is not an answer of the service"))
}

fn chain<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The innermost error: the outer ones say "error sending request for url (…)".
fn root_cause<'e>(error: &'e (dyn StdError + 'static)) -> &'e (dyn StdError + 'static) {
    chain(error).last().unwrap_or(error)
}

/// What the TLS library objects to. It arrives inside one or more I/O errors, whose sources leave it out.
fn tls_problem<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    chain(error).find_map(|cause| {
        let inner = std::iter::successors(Some(cause), |&cause| {
            let inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
            Some(inner as &(dyn StdError + 'static))
        });
        inner.last()?.downcast_ref()
    })
}

/// Overwrites a secret wherever an answer repeats it.
fn blot_out(body: &mut [u8], secret: &SecretString) {
    let secret = secret.expose_secret().as_bytes();
    if secret.len() < SHORTEST_SECRET {
        return;
    }
    let mut rest = body;
    while let Some(at) = rest.windows(secret.len()).position(|window| window == secret) {
        let (_, found) = rest.split_at_mut(at);
        let (found, behind) = found.split_at_mut(secret.len());
        found.fill(b'*');
        rest = behind;
    }
}

/// The system's resolver, with an error that can be told from a refused connection.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_blotted_out_wherever_an_answer_repeats_it() {
        let mut body = b"<0123456789abcdef><0123456789abcdef0123456789abcdef>".to_vec();
        blot_out(&mut body, &SecretString::from("0123456789abcdef"));
        assert_eq!(body, b"<****************><********************************>");
    }

    #[test]
    fn what_is_too_short_for_a_secret_stays() {
        let mut body = b"status".to_vec();
        blot_out(&mut body, &SecretString::from("stat"));
        assert_eq!(body, b"status");
    }
}
