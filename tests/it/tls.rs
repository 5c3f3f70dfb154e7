//! TLS: whom frcopy trusts, and what it says of those that it does not.
//!
//! The certificates in `tests/tls` are for localhost and contoso.invalid, by an authority of the tests' own whose key was thrown away.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::{MODEL, SOURCE_KEY, ScriptedService, TARGET_KEY, V4_0, frcopy, run};

const CERTIFICATE: &[u8] = include_bytes!("../tls/server.pem");
const KEY: &[u8] = include_bytes!("../tls/server.key");
#[cfg(target_os = "linux")]
pub(crate) const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/ca.pem");

/// A TLS server that answers every request with a bare 404, until the test process ends.
pub(crate) fn server() -> SocketAddr {
    serve(|_| b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into())
}

/// A TLS server that answers each request, head and body as they came, until the test process ends.
pub(crate) fn serve(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let certificates = CertificateDer::pem_slice_iter(CERTIFICATE).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(certificates, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream.unwrap());
            // A client that does not trust the certificate goes away here.
            if let Some(request) = read_request(&mut stream) {
                let _ = stream.write_all(&answer(&request)).and_then(|()| stream.flush());
            }
        }
    });
    address
}

/// A whole request, unless the client goes away before its end.
pub(crate) fn read_request(stream: &mut impl Read) -> Option<String> {
    let mut request = String::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        request.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(request);
        }
    }
}

pub(crate) fn copy_from(endpoint: &str) -> assert_cmd::Command {
    let mut command = frcopy();
    command
        .env("FRCOPY_SOURCE_ENDPOINT", endpoint)
        .env("FRCOPY_TARGET_ENDPOINT", endpoint)
        .env("FRCOPY_SOURCE_KEY", SOURCE_KEY)
        .env("FRCOPY_TARGET_KEY", TARGET_KEY)
        .args(["copy", MODEL, "--api-version", "4.0", "--target-model-id", "copy-1"]);
    command
}

#[test]
fn an_untrusted_certificate_fails_at_once() {
    let began = Instant::now();
    let endpoint = format!("https://{}", server());
    let texts = [&endpoint, "has no certificate that can be trusted", "cause: ", "SSL_CERT_FILE"];
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
    run(&mut copy_from(&endpoint)).expect(7, &["does not speak TLS", "check scheme and port"]);
    assert!(began.elapsed() < Duration::from_secs(10));
}
