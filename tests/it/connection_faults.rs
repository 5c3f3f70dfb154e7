//! Faults below HTTP: connections that are closed before and after a request, answers cut in half or dripping in.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use crate::support::{ScriptedService, Step, VERSIONS, Version, reply, run};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionFault {
    /// The connection is closed, and the request never arrives.
    CloseBefore,
    /// The request arrives, and the connection is closed.
    CloseAfter,
    /// Half of the answer comes back.
    Truncate,
    /// The answer comes back byte by byte.
    Drip,
}

/// Passes everything on to a server, and does harm to the first request of a kind.
fn faulty_proxy(
    server: SocketAddr,
    fault: ConnectionFault,
    is_affected: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let is_affected = Arc::new(is_affected);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (done, is_affected) = (Arc::clone(&done), Arc::clone(&is_affected));
            thread::spawn(move || forward(client.unwrap(), server, fault, &done, &*is_affected));
        }
    });
    address
}

/// One request a connection: the answer says that it is closed.
fn forward(
    mut client: TcpStream,
    server: SocketAddr,
    fault: ConnectionFault,
    done: &AtomicBool,
    is_affected: &dyn Fn(&str) -> bool,
) {
    let Some(request) = read_request(&mut client) else { return };
    let is_hit = is_affected(request.lines().next().unwrap()) && !done.swap(true, Ordering::SeqCst);
    if is_hit && fault == ConnectionFault::CloseBefore {
        return;
    }
    let mut upstream = TcpStream::connect(server).unwrap();
    upstream.write_all(request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1).as_bytes()).unwrap();
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).unwrap();
    match fault {
        _ if !is_hit => drop(client.write_all(&answer)),
        ConnectionFault::Truncate => drop(client.write_all(&answer[..answer.len() / 2])),
        ConnectionFault::Drip => answer.iter().for_each(|byte| drop(client.write_all(&[*byte]))),
        ConnectionFault::CloseBefore | ConnectionFault::CloseAfter => {}
    }
}

fn read_request(client: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        match client.read(&mut chunk) {
            Ok(read) if read > 0 => request.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
}

fn is_request_of(step: Step, version: Version, line: &str) -> bool {
    let model = version.model("");
    match step {
        Step::Authorize => line.contains(&version.authorize()),
        Step::Start => line.starts_with("POST"),
        Step::Poll => line.contains(&version.operation()),
        _ => {
            line.starts_with("GET") && line.contains(model.split('?').next().unwrap()) && !line.contains("copyresults")
        }
    }
}

#[test]
fn a_connection_fault_at_any_step_does_not_prevent_the_copy_or_repeat_a_post() {
    thread::scope(|scope| {
        for version in VERSIONS {
            for step in [Step::GetSource, Step::GetTarget, Step::Authorize, Step::Start, Step::Poll] {
                scope.spawn(move || {
                    for fault in [
                        ConnectionFault::CloseBefore,
                        ConnectionFault::CloseAfter,
                        ConnectionFault::Truncate,
                        ConnectionFault::Drip,
                    ] {
                        copy_with_fault(version, step, fault);
                    }
                });
            }
        }
    });
}

fn copy_with_fault(version: Version, step: Step, fault: ConnectionFault) {
    let service = ScriptedService::new(version);
    let (at_source, at_target) = match step {
        Step::GetTarget | Step::Authorize => (false, true),
        _ => (true, false),
    };
    let is_affected = move |hit: bool| move |line: &str| hit && is_request_of(step, version, line);
    let source = faulty_proxy(*service.source.address(), fault, is_affected(at_source));
    let target = faulty_proxy(*service.target.address(), fault, is_affected(at_target));
    // Seen from frcopy, the source is the one in between.
    let location = format!("http://{source}{}", version.operation());
    service.on(Step::Start, [reply(202).insert_header("Operation-Location", location.as_str())]);
    // A start that never arrived is in no list, and is begun anew.
    let never_arrived = step == Step::Start && fault == ConnectionFault::CloseBefore;
    let listed = if never_arrived { json!([]) } else { json!([version.listed("2999-01-01T00:00:00Z")]) };
    service.on(Step::ListOperations, [reply(200).set_body_json(json!({"value": listed}))]);
    let mut command = service.copy();
    command
        .env("FRCOPY_SOURCE_ENDPOINT", format!("http://{source}"))
        .env("FRCOPY_TARGET_ENDPOINT", format!("http://{target}"));
    let output = run(&mut command);
    let context = format!("{version:?} {step:?} {fault:?} {output:#?} {:#?}", service.seen());
    assert_eq!((output.code, output.stdout.trim()), (0, version.copy_id()), "{context}");
    assert!(service.count(Step::Start) <= 1, "{context}");
    let authorizations = if step == Step::Authorize || never_arrived { 2 } else { 1 };
    assert!(service.count(Step::Authorize) <= authorizations, "{context}");
}
