//! `--timeout` is a promise: whatever hangs, the command ends soon after it.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command;

use crate::support::raw_server::{read_request, serve_each};
use crate::support::{
    CommandOutput, Operation, RESOURCE_ID, SOURCE_KEY, ScriptedService, Step, TARGET_KEY, V2_1, frcopy,
    on_every_version, reply, run,
};

/// The value of `--timeout` in these tests.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The end of a command that releases nothing: a second after the deadline, and a second to start.
const WITHOUT_RELEASE: Duration = Duration::from_secs(12);
/// The end of a command that releases: ten seconds after the deadline, and a second to start.
const WITH_RELEASE: Duration = Duration::from_secs(21);

/// Runs a command and checks that it ends in time.
#[track_caller]
fn run_within(limit: Duration, command: &mut Command) -> CommandOutput {
    let began = Instant::now();
    let output = run(command.args(["--timeout", &format!("{}s", TIMEOUT.as_secs())]));
    assert!(began.elapsed() < limit, "{:?} {output:#?}", began.elapsed());
    output
}

/// Sets the answer of a step to one that does not come.
fn hang(service: &ScriptedService, step: Step) {
    service.on(step, [reply(200).set_delay(Duration::from_secs(120))]);
}

/// Starts a server that reads each request and sends `head`, then one byte of `drip` after another.
fn dripping_server(head: &'static str, drip: &'static str) -> SocketAddr {
    serve_each(move |mut stream| {
        if read_request(&mut stream).is_none() || stream.write_all(head.as_bytes()).is_err() {
            return;
        }
        loop {
            thread::sleep(Duration::from_millis(100));
            if stream.write_all(drip.as_bytes()).is_err() {
                return;
            }
        }
    })
}

#[test]
fn a_read_before_the_copy_that_hangs_ends_with_the_deadline_and_nothing_is_authorized() {
    on_every_version(|version| {
        for step in [Step::GetSource, Step::GetTarget] {
            if version.is_v2_1() && step == Step::GetTarget {
                continue;
            }
            let service = ScriptedService::new(version);
            hang(&service, step);
            run_within(WITHOUT_RELEASE, &mut service.copy()).expect(7, &["deadline"]);
            assert_eq!(service.count(Step::Authorize), 0, "{:#?}", service.seen());
        }
    });
}

#[test]
fn an_authorize_request_that_hangs_is_waited_for_and_its_id_is_named() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        hang(&service, Step::Authorize);
        let named = if version.is_v2_1() { "a blank model" } else { version.copy_id() };
        run_within(WITH_RELEASE, &mut service.copy()).expect(7, &[named, "may remain"]);
        assert_eq!((service.count(Step::Start), service.count(Step::Release)), (0, 0), "{:#?}", service.seen());
    });
}

#[test]
fn a_start_that_hangs_ends_soon_after_the_deadline_even_if_all_reads_hang_too() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        for step in [Step::Start, Step::ListOperations, Step::Verify] {
            hang(&service, step);
        }
        let output = run_within(WITH_RELEASE, &mut service.copy());
        assert!(output.code != 0 && output.stderr.contains(version.copy_id()), "{output:#?}");
        assert_eq!(service.count(Step::Release), 0, "{:#?}", service.seen());
    });
}

#[test]
fn a_poll_that_hangs_ends_with_the_deadline() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        hang(&service, Step::Poll);
        run_within(WITHOUT_RELEASE, &mut service.copy()).expect(8, &[&service.operation_url()]);
    });
}

#[test]
fn a_verification_that_hangs_ends_with_the_deadline() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        hang(&service, Step::Verify);
        let output = run_within(WITHOUT_RELEASE, &mut service.copy());
        assert!([0, 8].contains(&output.code), "{output:#?}");
    });
}

#[test]
fn a_release_that_hangs_ends_ten_seconds_after_the_deadline() {
    on_every_version(|version| {
        for step in [Step::Verify, Step::Release] {
            let service = ScriptedService::new(version);
            service.on(Step::Poll, [Operation::failed(version, "1", "no").answer()]);
            hang(&service, step);
            run_within(WITH_RELEASE, &mut service.copy()).expect(3, &[version.copy_id()]);
        }
    });
}

#[test]
fn a_throttled_resource_and_a_lost_answer_do_not_extend_the_deadline() {
    on_every_version(|version| {
        for status in [429, 503, 500] {
            let service = ScriptedService::new(version);
            service.on(Step::GetSource, [reply(status).insert_header("Retry-After", "1")]);
            let output = run_within(WITHOUT_RELEASE, &mut service.copy());
            assert_eq!(output.code, if status == 500 { 0 } else { 7 }, "{status} {output:#?}");
        }
    });
}

#[test]
fn an_answer_that_never_ends_is_cut_off_at_the_deadline() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (head, drip) in [(head, "1\r\n \r\n"), ("HTTP/1.1 200 OK\r\n", "X: y\r\n"), ("", "")] {
        let server = dripping_server(head, drip);
        let mut command = frcopy();
        command.args(["list", "source"]).env("FRCOPY_SOURCE_KEY", SOURCE_KEY);
        command.env("FRCOPY_SOURCE_ENDPOINT", format!("http://{server}"));
        run_within(WITHOUT_RELEASE, &mut command).expect(7, &[]);
    }
}

#[test]
fn a_resource_that_cannot_be_reached_is_given_up_after_half_a_minute() {
    // The connections are accepted, and no TLS handshake is answered.
    let server = dripping_server("", "");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    thread::scope(|scope| {
        for endpoint in [format!("https://{server}"), format!("http://{closed}")] {
            scope.spawn(move || {
                let mut command = frcopy();
                command.args(["list", "source"]).env("FRCOPY_SOURCE_KEY", SOURCE_KEY);
                let began = Instant::now();
                let output = run(command.env("FRCOPY_SOURCE_ENDPOINT", &endpoint)).expect(7, &["cannot be reached"]);
                let took = began.elapsed().as_secs_f64();
                assert!((25.0..32.0).contains(&took), "{endpoint} {took} {output:#?}");
            });
        }
    });
}

#[test]
fn an_authorize_request_that_cannot_be_connected_is_not_taken_for_one_that_was_sent() {
    let service = ScriptedService::new(V2_1);
    let server = dripping_server("", "");
    let mut command = service.copy();
    command.env("FRCOPY_TARGET_ENDPOINT", format!("https://{server}"));
    let output = run_within(WITHOUT_RELEASE, &mut command).expect(7, &["cannot be reached"]);
    assert!(!output.stderr.contains("may"), "{output:#?}");
}

#[test]
fn the_revocation_of_an_authorization_ends_with_the_deadline() {
    on_every_version(|version| {
        for step in [Step::GetTarget, Step::Release] {
            let folder = tempfile::TempDir::new().unwrap();
            let file = folder.path().join("authorization.json");
            let service = ScriptedService::new(version);
            let command = |arguments: &[&str]| {
                let mut command = frcopy();
                command.env("FRCOPY_TARGET_ENDPOINT", service.target.uri()).env("FRCOPY_TARGET_KEY", TARGET_KEY);
                command.arg("authorize").args(arguments).arg(&file);
                command
            };
            let copy = if version.is_v2_1() {
                vec!["--target-resource-id", RESOURCE_ID, "--target-region", "westus2"]
            } else {
                vec![version.copy_id()]
            };
            let arguments = [&copy[..], &["--api-version", version.number, "--out"]].concat();
            run(&mut command(&arguments)).expect(0, &[]);
            hang(&service, step);
            run_within(WITHOUT_RELEASE, &mut command(&["--revoke"])).expect(7, &["did not answer"]);
        }
    });
}
