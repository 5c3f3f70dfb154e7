//! Faults below HTTP: connections closed before or after a request, and answers that are truncated or slow.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::raw_server::{forwarded, read_request, serve_each};
use crate::support::{Operation, ScriptedService, Step, VERSIONS, Version, reply, run};

/// The fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionFault {
    /// The connection is closed before the request arrives.
    CloseBefore,
    /// The connection is closed after the request arrived.
    CloseAfter,
    /// Half of the answer is sent.
    Truncate,
    /// The answer is sent byte by byte.
    Drip,
    /// The body of the answer is shorter than its head says.
    CutBody,
}

/// A proxy that forwards every request to a server and damages the first one that matches.
struct FaultyProxy {
    server: SocketAddr,
    fault: ConnectionFault,
    is_affected: Box<dyn Fn(&str) -> bool + Send + Sync>,
    done: AtomicBool,
}

impl FaultyProxy {
    /// Starts the proxy and returns its address.
    fn start(
        server: SocketAddr,
        fault: ConnectionFault,
        is_affected: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> SocketAddr {
        let proxy = Self { server, fault, is_affected: Box::new(is_affected), done: AtomicBool::new(false) };
        serve_each(move |client| proxy.forward(client))
    }

    /// Forwards one request. The answer closes the connection.
    fn forward(&self, mut client: TcpStream) {
        let Some(request) = read_request(&mut client) else { return };
        let is_hit = (self.is_affected)(request.lines().next().unwrap()) && !self.done.swap(true, Ordering::SeqCst);
        if is_hit && self.fault == ConnectionFault::CloseBefore {
            return;
        }
        let answer = forwarded(self.server, &request);
        match self.fault {
            _ if !is_hit => drop(client.write_all(&answer)),
            ConnectionFault::Truncate => drop(client.write_all(&answer[..answer.len() / 2])),
            ConnectionFault::Drip => answer.iter().for_each(|byte| drop(client.write_all(&[*byte]))),
            ConnectionFault::CutBody => {
                let text = String::from_utf8(answer).unwrap();
                drop(client.write_all(text.replacen("content-length: 0", "content-length: 9", 1).as_bytes()));
            }
            ConnectionFault::CloseBefore | ConnectionFault::CloseAfter => {}
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
                        // v2.1 lists no operations: a start that never arrived is repeated only after a minute of looks.
                        let never_arrived = step == Step::Start && fault == ConnectionFault::CloseBefore;
                        if version.is_v2_1() && never_arrived {
                            continue;
                        }
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
    let source = FaultyProxy::start(*service.source.address(), fault, is_affected(at_source));
    let target = FaultyProxy::start(*service.target.address(), fault, is_affected(at_target));
    // For frcopy the proxy is the source.
    let location = format!("http://{source}{}", version.operation());
    service.on(Step::Start, [reply(202).insert_header("Operation-Location", location.as_str())]);
    // A start that never arrived is not in the list of operations and is repeated.
    let never_arrived = step == Step::Start && fault == ConnectionFault::CloseBefore;
    let listed = (!never_arrived).then(|| Operation::list_item(version, "2999-01-01T00:00:00Z"));
    service.on(Step::ListOperations, [Operation::list(Vec::from_iter(listed))]);
    let mut command = service.copy();
    command
        .env("FRCOPY_SOURCE_ENDPOINT", format!("http://{source}"))
        .env("FRCOPY_TARGET_ENDPOINT", format!("http://{target}"));
    let output = run(&mut command);
    let context = format!("{version:?} {step:?} {fault:?} {output:#?} {:#?}", service.seen());
    assert_eq!((output.code, output.stdout.trim()), (0, version.copy_id()), "{context}");
    assert_eq!(service.count(Step::Start), 1, "{context}");
    let authorizations = if step == Step::Authorize { 2 } else { 1 };
    assert!(service.count(Step::Authorize) <= authorizations, "{context}");
}

#[test]
fn a_start_is_accepted_by_the_head_of_its_answer() {
    for version in VERSIONS {
        let service = ScriptedService::new(version);
        let is_start = |line: &str| line.starts_with("POST");
        let source = FaultyProxy::start(*service.source.address(), ConnectionFault::CutBody, is_start);
        let location = format!("http://{source}{}", version.operation());
        service.on(Step::Start, [reply(202).insert_header("Operation-Location", location.as_str())]);
        let output = run(service.copy().env("FRCOPY_SOURCE_ENDPOINT", format!("http://{source}"))).expect(0, &[]);
        assert!(!output.stderr.contains("looking for the copy"), "{version:?} {output:#?}");
    }
}
