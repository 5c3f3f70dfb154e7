//! Signals: a reserved id is released, the URL of a started operation is printed, and a second signal ends at once.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::child_process::{ChildProcess, Exit};
use crate::support::{
    Authorization, CommandOutput, DOCUMENT_VERSIONS, Model, Operation, ScriptedService, Step, TARGET_KEY, V4_0,
    error_reply, frcopy, on_each, on_every_version, reply,
};

/// The end of a command after a signal, whatever hangs: five seconds, and a second to end on a busy machine.
const END: Duration = Duration::from_secs(6);

const SIGNALS: [(&str, i32); 2] = [("-INT", 130), ("-TERM", 143)];

#[test]
fn a_signal_before_authorize_ends_the_command_and_sends_nothing() {
    on_every_version(|version| {
        for (signal, code) in SIGNALS {
            let service = ScriptedService::new(version);
            service.on(Step::GetSource, [error_reply(429, "429", "Later.").insert_header("Retry-After", "600")]);
            let mut running = ChildProcess::spawn(&service.copy());
            running.read_until("sending again in 600 s");
            running.signal(signal);
            let Exit { code: ended, stdout, stderr } = running.finish();
            assert_eq!((ended, stdout.as_str()), (Some(code), ""), "{stderr}");
            assert_eq!(service.count(Step::Authorize), 0);
        }
    });
}

#[test]
fn a_signal_before_the_start_releases_the_reservation() {
    on_every_version(|version| {
        for (signal, code) in SIGNALS {
            let service = ScriptedService::new(version);
            service.on(Step::Start, [error_reply(429, "429", "Later.").insert_header("Retry-After", "600")]);
            service.on(Step::Verify, [Model::not_found(version)]);
            let mut running = ChildProcess::spawn(&service.copy());
            running.read_until("sending again in 600 s");
            running.signal(signal);
            let Exit { code: ended, stderr, .. } = running.finish();
            assert_eq!((ended, service.count(Step::Release)), (Some(code), 1), "{stderr}");
            assert!(stderr.contains("released") && !stderr.contains("frcopy wait"), "{stderr}");
        }
    });
}

#[test]
fn a_signal_after_the_start_prints_the_operation_url() {
    on_every_version(|version| {
        for (signal, code) in SIGNALS {
            let service = ScriptedService::new(version);
            service.on(Step::Poll, [Operation::with_status(version, "running").answer()]);
            let mut running = ChildProcess::spawn(service.copy().args(["--output", "json"]));
            running.read_until("status: running");
            running.signal(signal);
            let Exit { code: ended, stdout, stderr } = running.finish();
            assert_eq!((ended, service.count(Step::Release)), (Some(code), 0), "{stderr}");
            assert!(stderr.contains(&format!("frcopy wait '{}'", service.operation_url())), "{stderr}");
            let json: Value = serde_json::from_str(&stdout).unwrap();
            assert_eq!(
                (json["status"].as_str(), json["operation"].as_str()),
                (Some("running"), Some(service.operation_url().as_str()))
            );
        }
    });
}

#[test]
fn a_start_in_flight_is_completed_before_the_command_ends() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Start, [service.accepted().set_delay(Duration::from_millis(800))]);
        let mut running = ChildProcess::spawn(&service.copy());
        running.read_until("authorized: ");
        running.signal("-INT");
        let Exit { code: ended, stderr, .. } = running.finish();
        assert_eq!(ended, Some(130), "{stderr}");
        // The signal comes during the start or just before it. The copy is resumable or its id is released.
        let is_resumable = stderr.contains(&format!("frcopy wait '{}'", service.operation_url()));
        assert!(is_resumable || service.count(Step::Release) == 1, "{stderr}");
    });
}

/// Sends a signal while a request is in flight, and checks that the command ends in time.
#[track_caller]
fn interrupt_at(step: Step, service: &ScriptedService) -> CommandOutput {
    let running = ChildProcess::spawn(service.copy().args(["-v"]));
    while service.count(step) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let began = Instant::now();
    running.signal("-INT");
    let Exit { code, stdout, stderr } = running.finish();
    let took = began.elapsed();
    let output = CommandOutput { code: code.unwrap(), stdout, stderr };
    assert!(took < END, "{took:?} {output:#?} {:#?}", service.seen());
    output
}

#[test]
fn a_request_in_flight_and_the_release_after_it_take_five_seconds_in_all() {
    on_every_version(|version| {
        for step in [Step::Authorize, Step::Start] {
            let service = ScriptedService::new(version);
            let late = Duration::from_millis(2500);
            let authorization = Authorization::answer(version, version.copy_id());
            let (authorized, code) = match step {
                Step::Authorize => (authorization.set_delay(late), 130),
                // The refusal is the result, although it comes after the signal.
                _ => (authorization, 3),
            };
            service.on(Step::Authorize, [authorized]);
            service.on(Step::Start, [error_reply(400, "InvalidRequest", "No.").set_delay(late)]);
            service.on(Step::Verify, [Model::reserved(version)]);
            service.on(Step::Release, [reply(204).set_delay(Duration::from_secs(120))]);
            let output = interrupt_at(step, &service).expect(code, &["remains reserved"]);
            assert_eq!(service.count(Step::Release), 1, "{output:#?} {:#?}", service.seen());
            assert!(output.stderr.contains(version.copy_id()), "{output:#?}");
        }
    });
}

#[test]
fn after_a_signal_the_id_of_a_lost_authorize_is_named_and_not_deleted_without_proof() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Authorize, [reply(500).set_delay(Duration::from_millis(500))]);
        let output = interrupt_at(Step::Authorize, &service).expect(130, &["may remain"]);
        assert!(version.is_v2_1() || output.stderr.contains(version.copy_id()), "{output:#?}");
        assert_eq!(service.count(Step::Release), 0, "{output:#?}");
    });
}

#[test]
fn after_a_signal_during_the_looks_for_a_running_copy_the_reserved_id_is_named() {
    on_each(DOCUMENT_VERSIONS, |version| {
        for answers in [
            vec![reply(500), error_reply(409, "Conflict", "ModelExists")],
            vec![error_reply(409, "Conflict", "ModelExists")],
        ] {
            let service = ScriptedService::new(version);
            service.on(Step::Authorize, answers);
            service.on(Step::ListOperations, [Operation::list([])]);
            let output = interrupt_at(Step::ListOperations, &service).expect(130, &[version.copy_id(), "reserved"]);
            assert_eq!(service.count(Step::Release), 0, "{output:#?}");
        }
    });
}

#[test]
fn after_a_signal_the_id_for_another_party_is_named() {
    on_each(DOCUMENT_VERSIONS, |version| {
        let service = ScriptedService::new(version);
        service.on(Step::Authorize, [reply(500), error_reply(409, "Conflict", "ModelExists")]);
        let mut command = frcopy();
        command.env("FRCOPY_TARGET_ENDPOINT", service.target.uri()).env("FRCOPY_TARGET_KEY", TARGET_KEY);
        command.args(["authorize", version.copy_id(), "--api-version", version.number, "--out", "-"]);
        let running = ChildProcess::spawn(&command);
        while service.count(Step::Authorize) < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        running.signal("-INT");
        let Exit { code, stderr, .. } = running.finish();
        assert!(code == Some(130) && stderr.contains(version.copy_id()) && stderr.contains("reserved"), "{stderr}");
        assert_eq!(service.count(Step::Release), 0);
    });
}

#[test]
fn if_everything_hangs_the_command_ends_five_seconds_after_the_signal() {
    on_every_version(|version| {
        for step in [Step::Authorize, Step::Start] {
            let service = ScriptedService::new(version);
            for step in [step, Step::Verify, Step::Release, Step::ListOperations] {
                service.on(step, [reply(200).set_delay(Duration::from_secs(120))]);
            }
            let output = interrupt_at(step, &service).expect(130, &[]);
            assert_eq!(service.count(Step::Release), 0, "{output:#?} {:#?}", service.seen());
            let is_named = output.stderr.contains(version.copy_id()) || (version.is_v2_1() && step == Step::Authorize);
            assert!(is_named && output.stderr.contains("may"), "{output:#?}");
        }
    });
}

#[test]
fn the_second_signal_ends_the_command_at_once() {
    let service = ScriptedService::new(V4_0);
    service.on(Step::Start, [service.accepted().set_delay(Duration::from_secs(20))]);
    let mut running = ChildProcess::spawn(service.copy().args(["-v"]));
    running.read_until("authorized: ");
    while service.count(Step::Start) == 0 {
        std::thread::yield_now();
    }
    let began = Instant::now();
    running.signal("-TERM");
    running.read_until("stopping");
    running.signal("-TERM");
    assert_eq!(running.finish().code, Some(143));
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[test]
fn a_signal_while_the_target_is_watched_prints_the_command_that_watches_it_again() {
    on_every_version(|version| {
        for (signal, code) in SIGNALS {
            let service = ScriptedService::new(version);
            service.on(Step::GetTarget, [Model::reserved(version)]);
            let mut command = frcopy();
            command.envs([("FRCOPY_TARGET_ENDPOINT", service.target.uri()), ("FRCOPY_TARGET_KEY", TARGET_KEY.into())]);
            let id = version.copy_id();
            let watch = format!("wait --target-model-id {id} --api-version {}", version.number);
            command.args(watch.split(' ')).args(["--output", "json"]);
            let mut running = ChildProcess::spawn(&command);
            running.read_until("status: ");
            running.signal(signal);
            let Exit { code: ended, stdout, stderr } = running.finish();
            assert_eq!(ended, Some(code), "{stderr}");
            let line =
                format!("help: wait for it: frcopy wait --target-model-id {id} --api-version v{}", version.number);
            assert!(
                stderr.contains("error: interrupted; the copy may be running") && stderr.contains(&line),
                "{stderr}"
            );
            let json: Value = serde_json::from_str(&stdout).unwrap();
            assert_eq!(json["status"], "running");
        }
    });
}
