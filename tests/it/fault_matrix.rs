//! The fault matrix: every permanent fault at every step with every version.
//!
//! Each cell asserts the exit code, the number of each POST, that no other host was contacted, and that the reserved id
//! was released or the command that resumes the copy was printed.

use std::ops::RangeInclusive;

use serde_json::json;
use wiremock::ResponseTemplate;

use crate::support::{
    CommandOutput, Model, ScriptedService, Step, UnusedHost, error_reply, on_every_version, reply, run,
};

/// The kind of a fault, independent of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FaultClass {
    /// The service refuses. The number is the exit code at a POST.
    Refusal(i32),
    /// Rate limited (429) or unavailable (503).
    RateLimited,
    /// Rate limited with a `Retry-After` of hours.
    RateLimitedForHours,
    /// The outcome of the request is unknown. The number is the exit code at authorize.
    Unknown(i32),
    /// A refusal that does not have the form of the service, for example from a proxy.
    ForeignRefusal,
    Redirect,
}

fn faults(elsewhere: &str) -> Vec<(&'static str, ResponseTemplate, FaultClass)> {
    let throttled = |value: &str| error_reply(429, "429", "Too many.").insert_header("Retry-After", value);
    vec![
        ("400", error_reply(400, "InvalidRequest", "No."), FaultClass::Refusal(3)),
        ("401", error_reply(401, "401", "Access denied."), FaultClass::Refusal(4)),
        ("403", error_reply(403, "403", "Access denied."), FaultClass::Refusal(4)),
        ("404", error_reply(404, "404", "Resource not found"), FaultClass::Refusal(5)),
        ("409", error_reply(409, "Conflict", "No."), FaultClass::Refusal(6)),
        ("410", error_reply(410, "Gone", "Retired."), FaultClass::Refusal(5)),
        ("bare 401", ResponseTemplate::new(401), FaultClass::ForeignRefusal),
        ("429 without Retry-After", error_reply(429, "429", "Too many."), FaultClass::RateLimited),
        ("429 with a short one", throttled("1"), FaultClass::RateLimited),
        ("429 with a huge one", throttled("7200"), FaultClass::RateLimitedForHours),
        ("429 with a date", throttled("Fri, 01 Jan 2100 00:00:00 GMT"), FaultClass::RateLimitedForHours),
        ("503", error_reply(503, "ServiceUnavailable", "Busy."), FaultClass::RateLimited),
        ("408", reply(408), FaultClass::Unknown(7)),
        ("500", error_reply(500, "InternalServerError", "Oh."), FaultClass::Unknown(7)),
        ("502", reply(502).set_body_string("<html>"), FaultClass::Unknown(7)),
        ("504", reply(504), FaultClass::Unknown(7)),
        ("html", reply(200).set_body_raw("<html></html>", "text/html"), FaultClass::Unknown(1)),
        ("invalid json", reply(200).set_body_raw("{\"status\":", "application/json"), FaultClass::Unknown(1)),
        ("empty", reply(200), FaultClass::Unknown(1)),
        (
            "wrong types",
            reply(200).set_body_json(json!({"status": 7, "modelId": [], "modelInfo": 1})),
            FaultClass::Unknown(1),
        ),
        ("17 MiB", reply(200).set_body_bytes(vec![b'x'; 17 << 20]), FaultClass::Unknown(1)),
        ("303", reply(303).insert_header("Location", "/"), FaultClass::Unknown(7)),
        ("304", reply(304), FaultClass::Unknown(7)),
        ("600", reply(600), FaultClass::Unknown(7)),
        ("redirect", reply(307).insert_header("Location", elsewhere), FaultClass::Redirect),
        ("redirect to itself", reply(302).insert_header("Location", "/"), FaultClass::Redirect),
    ]
}

/// Runs every fault at one step, several concurrently, and checks each result. The deadline is short only for faults that
/// last until the deadline, so that a slow machine does not change the result.
fn on_every_fault(step: Step, deadline: &str, check: impl Fn(&ScriptedService, CommandOutput, FaultClass) + Sync) {
    on_every_version(|version| {
        if version.is_v2_1() && step == Step::GetTarget {
            return;
        }
        let unused_host = UnusedHost::new();
        std::thread::scope(|scope| {
            for some in faults(&unused_host.url()).chunks(6) {
                let (some, check) = (some.to_vec(), &check);
                scope.spawn(move || {
                    for (name, answer, class) in some {
                        let service = ScriptedService::new(version);
                        if step == Step::Start {
                            service.on(Step::Verify, [Model::reserved(version)]);
                        }
                        service.on(step, [answer]);
                        let may_run = matches!(class, FaultClass::Unknown(_) | FaultClass::Refusal(6));
                        let lasts =
                            step == Step::Poll || class == FaultClass::RateLimited || (step == Step::Start && may_run);
                        let timeout = if lasts { deadline } else { "50s" };
                        let output = run(service.copy().args(["--timeout", timeout]));
                        eprintln!("{version:?} {step:?} {name}: {output:#?}");
                        check(&service, output, class);
                    }
                });
            }
        });
        assert!(unused_host.got_no_connection(), "{version:?} {step:?}");
    });
}

/// A preflight read stops at a refusal, waits at a rate limit, and is skipped at any other fault.
fn check_preflight(service: &ScriptedService, output: &CommandOutput, class: FaultClass, refusals: &[i32]) {
    let exit = match class {
        FaultClass::Refusal(exit) if refusals.contains(&exit) => exit,
        FaultClass::RateLimited | FaultClass::RateLimitedForHours => 7,
        _ => 0,
    };
    let began = usize::from(exit == 0);
    assert_eq!(
        (output.code, service.count(Step::Authorize), service.count(Step::Start)),
        (exit, began, began),
        "{output:#?}"
    );
    assert_eq!(service.count(Step::Release), 0);
}

#[test]
fn every_fault_of_the_source_preflight() {
    on_every_fault(Step::GetSource, "3s", |service, output, class| {
        // A 404 of a gateway, a 400 without a known code and a 409 do not concern the model. A 410 concerns the version.
        let is_gone = class == FaultClass::Refusal(5) && output.stderr.contains("Gone");
        let refusals: &[i32] = if is_gone { &[4, 5] } else { &[4] };
        check_preflight(service, &output, class, refusals);
    });
}

#[test]
fn every_fault_of_the_target_preflight() {
    on_every_fault(Step::GetTarget, "3s", |service, output, class| check_preflight(service, &output, class, &[4]));
}

/// The exit code of a fault at a POST, and the number of POST requests.
fn at_a_post(class: FaultClass) -> (i32, RangeInclusive<usize>) {
    match class {
        FaultClass::Refusal(exit) => (exit, 1..=1),
        FaultClass::ForeignRefusal => (4, 1..=1),
        FaultClass::Redirect => (5, 1..=1),
        FaultClass::RateLimitedForHours => (7, 1..=1),
        FaultClass::RateLimited => (7, 2..=20),
        FaultClass::Unknown(exit) => (exit, 3..=6),
    }
}

#[test]
fn every_fault_of_authorize() {
    on_every_fault(Step::Authorize, "4s", |service, output, class| {
        let (exit, sent) = at_a_post(class);
        // Each repetition of an unreadable v2.1 authorization would leave one more blank model.
        let is_unreadable = output.stderr.contains("with a body that is not the service's JSON");
        let sent = if service.version.is_v2_1() && is_unreadable { 1..=1 } else { sent };
        assert_eq!((output.code, service.count(Step::Start)), (exit, 0), "{output:#?}");
        assert!(sent.contains(&service.count(Step::Authorize)), "{output:#?}");
        // What may be reserved is named. Without a conflict there is no proof that it is, and nothing is released.
        let is_503 = class == FaultClass::RateLimited && output.stderr.contains("(HTTP 503)");
        let may_be_reserved = is_503 || matches!(class, FaultClass::Unknown(_));
        let accounted = if service.version.is_v2_1() {
            output.stderr.contains("blank model")
        } else {
            output.stderr.contains(&format!("{} may remain reserved", service.version.copy_id()))
        };
        assert_eq!(accounted, may_be_reserved, "{output:#?}");
        assert_eq!(service.count(Step::Release), 0, "{output:#?}");
    });
}

#[test]
fn every_fault_of_start() {
    on_every_fault(Step::Start, "4s", |service, output, class| {
        // A 503 is ambiguous at a start, and so is a conflict, which may be about the copy itself.
        let is_503 = class == FaultClass::RateLimited && output.stderr.contains("(HTTP 503)");
        let may_run = is_503 || matches!(class, FaultClass::Unknown(_) | FaultClass::Refusal(6));
        let (exit, starts) = if may_run { (8, 1..=6) } else { at_a_post(class) };
        assert_eq!(output.code, exit, "{output:#?}");
        assert!(starts.contains(&service.count(Step::Start)), "{output:#?}");
        assert_eq!(service.count(Step::Authorize), 1, "{output:#?}");
        // Released where the start was certainly not accepted; else the id and the command that resumes are named.
        assert_eq!(service.count(Step::Release), usize::from(!may_run), "{output:#?}");
        assert_eq!(output.stderr.contains("frcopy wait --target-model-id"), may_run, "{output:#?}");
    });
}

#[test]
fn every_fault_of_poll() {
    on_every_fault(Step::Poll, "3s", |service, output, class| {
        let exit = if matches!(class, FaultClass::Refusal(4) | FaultClass::ForeignRefusal) { 4 } else { 8 };
        assert_eq!(
            (output.code, service.count(Step::Start), service.count(Step::Release)),
            (exit, 1, 0),
            "{output:#?}"
        );
        assert!(output.stderr.contains(&format!("frcopy wait '{}'", service.operation_url())), "{output:#?}");
    });
}

#[test]
fn every_fault_of_verify() {
    on_every_fault(Step::Verify, "4s", |service, output, _| {
        // The service reported success. A missing answer of the target does not change that.
        assert_eq!((output.code, output.stdout.trim()), (0, service.version.copy_id()), "{output:#?}");
        assert!(output.stderr.contains("warning: the copy succeeded"), "{output:#?}");
        assert_eq!((service.count(Step::Start), service.count(Step::Release)), (1, 0));
    });
}

/// Changes the URL of an operation.
type Change<'c> = &'c dyn Fn(&str) -> String;

#[test]
fn only_an_operation_location_of_the_source_is_polled() {
    on_every_version(|version| {
        let unused_host = UnusedHost::new();
        let odd: [(Change<'_>, bool); 7] = [
            (&|own| own.to_owned(), true),
            (&|_| version.operation(), true),
            (&|own| own.replace("http://", "HTTP://"), true),
            (&|_| format!("{}x", unused_host.url()), false),
            (&|own| own.replace("127.0.0.1", "localhost"), false),
            (&|own| own.replace("http://", "https://"), false),
            (&|own| own.replace("http://", "http://user@"), false),
        ];
        for (location, followed) in odd {
            let service = ScriptedService::new(version);
            let location = location(&service.operation_url());
            service.on(Step::Start, [reply(202).insert_header("Operation-Location", location.as_str())]);
            if !followed {
                service.on(Step::ListOperations, [ResponseTemplate::new(404)]);
                service.on(Step::Verify, [ResponseTemplate::new(404)]);
            }
            let output = run(service.copy().args(["--timeout", if followed { "30s" } else { "4s" }]));
            let counts = (output.code, service.count(Step::Authorize), service.count(Step::Release));
            assert_eq!(counts, (if followed { 0 } else { 8 }, 1, 0), "{location} {output:#?}");
            assert_eq!(service.count(Step::Poll) > 0, followed, "{location} {output:#?}");
        }
        assert!(unused_host.got_no_connection());
    });
}
