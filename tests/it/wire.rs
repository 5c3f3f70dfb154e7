//! Faults below HTTP: connections that are closed before and after a request, answers cut in half or dripping in.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use crate::support::{Step, VERSIONS, Version, World, reply, run};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sabotage {
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
fn between(
    server: SocketAddr,
    sabotage: Sabotage,
    victim: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let victim = Arc::new(victim);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (done, victim) = (Arc::clone(&done), Arc::clone(&victim));
            thread::spawn(move || pass_on(client.unwrap(), server, sabotage, &done, &*victim));
        }
    });
    address
}

/// One request a connection: the answer says that it is closed.
fn pass_on(
    mut client: TcpStream,
    server: SocketAddr,
    sabotage: Sabotage,
    done: &AtomicBool,
    victim: &dyn Fn(&str) -> bool,
) {
    let Some(request) = read_request(&mut client) else { return };
    let is_victim = victim(request.lines().next().unwrap()) && !done.swap(true, Ordering::SeqCst);
    if is_victim && sabotage == Sabotage::CloseBefore {
        return;
    }
    let mut upstream = TcpStream::connect(server).unwrap();
    upstream.write_all(request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1).as_bytes()).unwrap();
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).unwrap();
    match sabotage {
        _ if !is_victim => drop(client.write_all(&answer)),
        Sabotage::Truncate => drop(client.write_all(&answer[..answer.len() / 2])),
        Sabotage::Drip => answer.iter().for_each(|byte| drop(client.write_all(&[*byte]))),
        Sabotage::CloseBefore | Sabotage::CloseAfter => {}
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
        Step::Follow => line.contains(&version.operation()),
        _ => {
            line.starts_with("GET") && line.contains(model.split('?').next().unwrap()) && !line.contains("copyresults")
        }
    }
}

#[test]
fn whatever_happens_to_a_connection_the_copy_is_made_and_no_post_arrives_twice() {
    thread::scope(|scope| {
        for version in VERSIONS {
            for step in [Step::LookSource, Step::LookTarget, Step::Authorize, Step::Start, Step::Follow] {
                scope.spawn(move || {
                    for sabotage in [Sabotage::CloseBefore, Sabotage::CloseAfter, Sabotage::Truncate, Sabotage::Drip] {
                        sabotaged_copy(version, step, sabotage);
                    }
                });
            }
        }
    });
}

fn sabotaged_copy(version: Version, step: Step, sabotage: Sabotage) {
    let world = World::new(version);
    let (at_source, at_target) = match step {
        Step::LookTarget | Step::Authorize => (false, true),
        _ => (true, false),
    };
    let victim = move |hit: bool| move |line: &str| hit && is_request_of(step, version, line);
    let source = between(*world.source.address(), sabotage, victim(at_source));
    let target = between(*world.target.address(), sabotage, victim(at_target));
    // Seen from frcopy, the source is the one in between.
    let location = format!("http://{source}{}", version.operation());
    world.on(Step::Start, [reply(202).insert_header("Operation-Location", location.as_str())]);
    // A start that never arrived is in no list, and is begun anew.
    let never_arrived = step == Step::Start && sabotage == Sabotage::CloseBefore;
    let listed = if never_arrived { json!([]) } else { json!([version.listed("2999-01-01T00:00:00Z")]) };
    world.on(Step::List, [reply(200).set_body_json(json!({"value": listed}))]);
    let mut command = world.copy();
    command
        .env("FRCOPY_SOURCE_ENDPOINT", format!("http://{source}"))
        .env("FRCOPY_TARGET_ENDPOINT", format!("http://{target}"));
    let ending = run(&mut command);
    let context = format!("{version:?} {step:?} {sabotage:?} {ending:#?} {:#?}", world.seen());
    assert_eq!((ending.code, ending.stdout.trim()), (0, version.copy_id()), "{context}");
    assert!(world.count(Step::Start) <= 1, "{context}");
    let authorizations = if step == Step::Authorize || never_arrived { 2 } else { 1 };
    assert!(world.count(Step::Authorize) <= authorizations, "{context}");
}
