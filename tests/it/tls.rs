//! TLS: which certificates frcopy trusts, and the errors for the others.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use crate::support::raw_server::AUTHORITY;
use crate::support::raw_server::tls_server;
use crate::support::{MODEL, ScriptedService, V4_0, frcopy_between, run};

/// Starts a TLS server that answers every request with an empty 404.
pub(crate) fn server() -> SocketAddr {
    tls_server(|_| b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into())
}

/// `frcopy copy` with the same endpoint for source and target.
pub(crate) fn copy_from(endpoint: &str) -> assert_cmd::Command {
    let mut command = frcopy_between(endpoint, endpoint);
    command.args(["copy", MODEL, "--api-version", "4.0", "--target-model-id", "copy-1"]);
    command
}

#[test]
fn an_untrusted_certificate_fails_at_once() {
    let began = Instant::now();
    let endpoint = format!("https://{}", server());
    let texts = [&endpoint, "is not trusted", "cause: ", "SSL_CERT_FILE"];
    run(&mut copy_from(&endpoint)).expect(7, &texts);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[cfg(target_os = "linux")]
#[test]
fn a_private_certificate_authority_is_trusted_through_ssl_cert_file() {
    let endpoint = format!("https://{}", server());
    run(copy_from(&endpoint).env("SSL_CERT_FILE", AUTHORITY))
        .expect(5, &["the target refused to authorize the copy (HTTP 404)"]);
}

#[test]
fn a_server_that_does_not_speak_tls_fails_at_once() {
    let service = ScriptedService::new(V4_0);
    let began = Instant::now();
    let endpoint = service.source.uri().replace("http:", "https:");
    run(&mut copy_from(&endpoint)).expect(7, &["the TLS handshake with the", "check scheme and port"]);
    assert!(began.elapsed() < Duration::from_secs(10));
}
