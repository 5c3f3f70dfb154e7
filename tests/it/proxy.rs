//! An HTTPS proxy: it is used where it is configured, and it cannot read what it forwards.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::raw_server::{AUTHORITY, plain_server, serve_each};
use crate::support::{SOURCE_KEY, ScriptedService, TARGET_KEY, V4_0, run};
use crate::tls::{copy_from, server};

/// This name has no address. Only the proxy can connect to it.
const ENDPOINT: &str = "https://contoso.invalid";

/// A proxy that answers CONNECT with a tunnel to one server and records every byte from the client.
pub(crate) struct TunnelProxy {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl TunnelProxy {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let seen = Arc::default();
        let noted = Arc::clone(&seen);
        let address = serve_each(move |client| tunnel(client, server, &noted));
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn has_seen(&self, text: &str) -> bool {
        let seen = self.seen.lock().unwrap();
        seen.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

fn tunnel(mut client: TcpStream, server: SocketAddr, seen: &Arc<Mutex<Vec<u8>>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    seen.lock().unwrap().extend(&head);
    let mut server = TcpStream::connect(server).unwrap();
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
    let (to_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let back = std::thread::spawn(move || relay(from_server, to_client, &Mutex::default()));
    let from_client = client;
    relay(from_client, server.try_clone().unwrap(), seen);
    let _ = server.flush();
    let _ = back.join();
}

fn relay(mut from: TcpStream, mut to: TcpStream, seen: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        seen.lock().unwrap().extend(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn the_proxy_sees_only_the_host_name_of_a_resource() {
    let proxy = TunnelProxy::to(server());
    for variable in ["HTTPS_PROXY", "https_proxy"] {
        run(copy_from(ENDPOINT).env(variable, proxy.url()).env("SSL_CERT_FILE", AUTHORITY))
            .expect(5, &["the target refused to authorize the copy (HTTP 404)"]);
    }
    assert!(proxy.has_seen("CONNECT contoso.invalid:443 HTTP/1.1"));
    for secret in [SOURCE_KEY, TARGET_KEY, "documentModels"] {
        assert!(!proxy.has_seen(secret), "the proxy has read {secret}");
    }
}

#[test]
fn a_proxy_that_intercepts_tls_needs_a_trusted_certificate() {
    let proxy = TunnelProxy::to(server());
    run(copy_from(ENDPOINT).env("HTTPS_PROXY", proxy.url()))
        .expect(7, &["is not trusted", "if a proxy inspects TLS", "SSL_CERT_FILE"]);
}

#[test]
fn no_proxy_hosts_and_loopback_bypass_the_proxy() {
    let proxy = TunnelProxy::to(server());
    for no_proxy in ["contoso.invalid", "*", "example.com, .invalid"] {
        run(copy_from(ENDPOINT).env("HTTPS_PROXY", proxy.url()).env("NO_PROXY", no_proxy))
            .expect(7, &["https://contoso.invalid could not be resolved", "can resolve private endpoints"]);
    }
    let service = ScriptedService::new(V4_0);
    run(service.copy().env("HTTP_PROXY", proxy.url()).env("HTTPS_PROXY", proxy.url()).env("ALL_PROXY", proxy.url()))
        .expect(0, &[]);
    assert!(proxy.seen.lock().unwrap().is_empty());
}

#[test]
fn a_failing_proxy_is_reported_as_the_proxy() {
    run(copy_from(ENDPOINT).env("HTTPS_PROXY", "http://proxy.invalid:8080"))
        .expect(7, &["the host name of the proxy proxy.invalid", "check HTTPS_PROXY and NO_PROXY"]);
    let proxy = plain_server(|_| b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n".into());
    let url = format!("http://{proxy}");
    run(copy_from(ENDPOINT).env("HTTPS_PROXY", url).args(["--timeout", "3s"])).expect(7, &["proxy"]);
}
