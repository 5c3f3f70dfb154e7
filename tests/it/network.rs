//! Faults of the network in the middle of a copy: once an id is reserved, they are waited out.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;

use crate::support::raw_server::{AUTHORITY, forwarded, read_request, serve_each, tls_server, tls_server_with};
use crate::support::{Model, Operation, ScriptedService, Step, VERSIONS, Version, on_every_version, reply, run};

/// The fault of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The proxy answers CONNECT with this status.
    Refused(u16),
    /// The proxy closes the connection without an answer.
    Closed,
    /// What answers through the proxy does not speak TLS.
    NoTls,
    /// What answers through the proxy has a certificate that is not trusted.
    OtherCertificate,
}

const FAULTS: [Fault; 6] = [
    Fault::Refused(407),
    Fault::Refused(502),
    Fault::Refused(403),
    Fault::Closed,
    Fault::NoTls,
    Fault::OtherCertificate,
];

/// The name of both resources, which only the proxy can connect to, and their ports.
const HOST: &str = "contoso.invalid";
const SOURCE_PORT: u16 = 1;
const TARGET_PORT: u16 = 2;

/// A scripted service behind TLS servers and a proxy.
struct Behind {
    service: Arc<ScriptedService>,
    proxy: SocketAddr,
}

impl Behind {
    /// Each connection of the proxy has the fault that `fault` returns for the service.
    fn new(version: Version, fault: impl Fn(&ScriptedService) -> Option<Fault> + Send + Sync + 'static) -> Self {
        let service = Arc::new(ScriptedService::new(version));
        let location = format!("https://{HOST}:{SOURCE_PORT}{}", version.operation());
        service.on(Step::Start, [reply(202).insert_header("Operation-Location", location.as_str())]);
        let (source, target) = (*service.source.address(), *service.target.address());
        let source = tls_server(move |request| forwarded(source, request));
        let target = tls_server(move |request| forwarded(target, request));
        let stranger = tls_server_with(self_signed(), |_| Vec::new());
        let seen = Arc::clone(&service);
        let proxy = serve_each(move |client| {
            let fault = fault(&seen);
            let server = |port| if port == SOURCE_PORT { source } else { target };
            connect(client, fault, |port| if fault == Some(Fault::OtherCertificate) { stranger } else { server(port) });
        });
        Self { service, proxy }
    }

    fn copy(&self) -> Command {
        let mut command = self.service.copy();
        command.env("FRCOPY_SOURCE_ENDPOINT", format!("https://{HOST}:{SOURCE_PORT}"));
        command.env("FRCOPY_TARGET_ENDPOINT", format!("https://{HOST}:{TARGET_PORT}"));
        command.env("HTTPS_PROXY", format!("http://{}", self.proxy)).env("SSL_CERT_FILE", AUTHORITY);
        command
    }
}

fn self_signed() -> ServerConfig {
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key.into()).unwrap()
}

/// Answers CONNECT, and relays both directions until one side closes.
fn connect(mut client: TcpStream, fault: Option<Fault>, server: impl Fn(u16) -> SocketAddr) {
    let Some(head) = read_request(&mut client) else { return };
    let port = head.split([':', ' ']).nth(2).unwrap().parse().unwrap();
    match fault {
        Some(Fault::Closed) => return,
        Some(Fault::Refused(status)) => {
            let _ = client.write_all(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").as_bytes());
            return;
        }
        _ => client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap(),
    }
    if fault == Some(Fault::NoTls) {
        let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        return;
    }
    let Ok(server) = TcpStream::connect(server(port)) else { return };
    let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || relay(from_client, to_server));
    relay(server, client);
}

fn relay(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// A condition, and how many connections have a fault once it is true.
fn once(
    fault: Fault,
    connections: usize,
    begins: impl Fn(&ScriptedService) -> bool + Send + Sync + 'static,
) -> impl Fn(&ScriptedService) -> Option<Fault> + Send + Sync + 'static {
    let count = AtomicUsize::new(0);
    move |service| (begins(service) && count.fetch_add(1, Ordering::SeqCst) < connections).then_some(fault)
}

#[test]
fn a_fault_after_the_authorize_request_does_not_end_the_copy() {
    on_every_version(|version| {
        for step in [Step::Authorize, Step::Start] {
            for fault in FAULTS {
                let behind = Behind::new(version, once(fault, 3, move |service| service.count(step) == 1));
                let output = run(behind.copy().args(["--output", "json"])).expect(0, &[]);
                let context = format!("{step:?} {fault:?} {output:#?}");
                assert_eq!(output.json()["verified"], true, "{context}");
                assert_eq!(behind.service.count(Step::Authorize), 1, "{context}");
                assert_eq!(behind.service.count(Step::Start), 1, "{context}");
            }
        }
    });
}

#[test]
fn a_fault_before_the_release_does_not_leave_the_id_reserved() {
    on_every_version(|version| {
        for fault in FAULTS {
            let polled = |service: &ScriptedService| service.count(Step::Poll) == 1;
            let behind = Behind::new(version, once(fault, 2, polled));
            behind.service.on(Step::Poll, [Operation::failed(version, "1", "no").answer()]);
            behind.service.on(Step::Verify, [Model::reserved(version)]);
            run(&mut behind.copy()).expect(3, &["released"]);
            assert_eq!(behind.service.count(Step::Release), 1, "{fault:?}");
        }
    });
}

#[test]
fn while_nothing_is_reserved_a_proxy_that_wants_a_password_ends_the_command_at_once() {
    for version in VERSIONS {
        let behind = Behind::new(version, |_| Some(Fault::Refused(407)));
        let began = Instant::now();
        let texts = ["the proxy for the ", "requires authentication (HTTP 407)", "HTTPS_PROXY", "NO_PROXY"];
        run(&mut behind.copy()).expect(7, &texts);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

#[test]
fn a_proxy_that_refuses_to_connect_is_named() {
    for version in VERSIONS {
        let behind = Behind::new(version, |_| Some(Fault::Refused(403)));
        let texts = ["the proxy did not connect to the ", "ask the operator of the proxy"];
        run(behind.copy().args(["--timeout", "2s"])).expect(7, &texts);
    }
}

/// A relay whose port refuses connections for some seconds once a condition is true.
fn port_that_closes(server: SocketAddr, closes: impl Fn() -> bool + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let serve = |listener: &TcpListener| {
            let mut client = listener.accept().unwrap().0;
            if let Some(request) = read_request(&mut client) {
                let _ = client.write_all(&forwarded(server, &request));
            }
        };
        while !closes() {
            serve(&listener);
        }
        drop(listener);
        thread::sleep(Duration::from_secs(3));
        let listener = TcpListener::bind(address).unwrap();
        loop {
            serve(&listener);
        }
    });
    address
}

#[test]
fn a_port_that_is_closed_for_some_seconds_does_not_end_the_copy() {
    on_every_version(|version| {
        for step in [Step::Authorize, Step::Start, Step::Poll] {
            let service = Arc::new(ScriptedService::new(version));
            let at = |server: SocketAddr| {
                let seen = Arc::clone(&service);
                port_that_closes(server, move || seen.count(step) > 0)
            };
            let (source, target) = (at(*service.source.address()), at(*service.target.address()));
            let location = format!("http://{source}{}", version.operation());
            service.on(Step::Start, [reply(202).insert_header("Operation-Location", location.as_str())]);
            let mut command = service.copy();
            command.env("FRCOPY_SOURCE_ENDPOINT", format!("http://{source}"));
            command.env("FRCOPY_TARGET_ENDPOINT", format!("http://{target}"));
            let output = run(command.args(["--output", "json"])).expect(0, &[]);
            assert_eq!(output.json()["verified"], true, "{step:?} {output:#?}");
            assert_eq!((service.count(Step::Authorize), service.count(Step::Start)), (1, 1), "{output:#?}");
        }
    });
}
