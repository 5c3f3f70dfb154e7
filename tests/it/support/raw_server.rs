//! Raw servers: one answer per connection, written as bytes, over plain HTTP or TLS.
//!
//! The certificates in `tests/tls` are for localhost and contoso.invalid. They are issued by a certificate authority that
//! exists for these tests only; its key is deleted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const CERTIFICATE: &[u8] = include_bytes!("../../tls/server.pem");
const KEY: &[u8] = include_bytes!("../../tls/server.key");
#[cfg(target_os = "linux")]
pub(crate) const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/ca.pem");

/// Starts a server that answers each request over plain HTTP, until the test process ends.
#[cfg(target_os = "linux")]
pub(crate) fn plain_server(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let (listener, address) = listen();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            respond(&mut stream.unwrap(), &answer);
        }
    });
    address
}

/// Starts a server that answers each request over TLS, until the test process ends.
pub(crate) fn tls_server(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let certificates = CertificateDer::pem_slice_iter(CERTIFICATE).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    tls_server_with(config.with_no_client_auth().with_single_cert(certificates, key).unwrap(), answer)
}

/// The same with another certificate.
pub(crate) fn tls_server_with(config: ServerConfig, answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let config = Arc::new(config);
    let (listener, address) = listen();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            respond(&mut StreamOwned::new(connection, stream.unwrap()), &answer);
        }
    });
    address
}

/// Starts a server that serves each connection in a thread of its own, until the test process ends.
pub(crate) fn serve_each(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let (listener, address) = listen();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), Arc::clone(&serve));
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Forwards a request to a server, and returns its answer. The answer closes the connection.
pub(crate) fn forwarded(server: SocketAddr, request: &str) -> Vec<u8> {
    let mut upstream = TcpStream::connect(server).unwrap();
    upstream.write_all(request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1).as_bytes()).unwrap();
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).unwrap();
    answer
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Answers one request. A client that does not trust the certificate closes the connection before it.
fn respond(stream: &mut (impl Read + Write), answer: &impl Fn(&str) -> Vec<u8>) {
    if let Some(request) = read_request(stream) {
        let _ = stream.write_all(&answer(&request)).and_then(|()| stream.flush());
    }
}

/// Reads a whole request, head and body, unless the client closes the connection before its end.
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
