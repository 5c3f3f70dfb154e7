//! The fault matrix: every fault, for good, at every step of every version, each with its verdict.
//!
//! Each cell asserts the exit code, how often each POST was sent, that no other host was asked, and that what was
//! reserved was given back or the line that resumes the copy was printed.

use std::net::TcpListener;
use std::ops::RangeInclusive;

use serde_json::json;
use wiremock::ResponseTemplate;

use crate::support::{CommandOutput, ScriptedService, Step, Version, error_reply, on_every_version, reply, run};

/// What a fault amounts to, wherever it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FaultClass {
    /// The service's own refusal, with the exit code that it has at a POST.
    Refusal(i32),
    /// Turned away, again and again.
    RateLimited,
    /// Told to come back in hours.
    RateLimitedForHours,
    /// Nobody knows whether it was acted upon; the exit code of an authorize that ends so.
    Unknown(i32),
    /// Somebody else than the service answers, with a status that says no.
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
        ("redirect", reply(307).insert_header("Location", elsewhere), FaultClass::Redirect),
        ("redirect to itself", reply(302).insert_header("Location", "/"), FaultClass::Redirect),
    ]
}

/// A host that nobody has any business with.
struct UnusedHost(TcpListener);

impl UnusedHost {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn url(&self) -> String {
        format!("http://{}/", self.0.local_addr().unwrap())
    }

    fn got_no_connection(&self) -> bool {
        self.0.accept().is_err()
    }
}

/// The target while the id is only reserved.
fn reserved(version: Version) -> ResponseTemplate {
    if !version.is_v2_1() {
        return version.no_such_model();
    }
    let mut blank = version.model_body(version.copy_id());
    blank["modelInfo"]["status"] = json!("creating");
    reply(200).set_body_json(blank)
}

/// Every fault at one step, several at the same time; `check` looks at the cell. Where a fault lasts until the deadline,
/// that comes soon; where it ends by itself, a busy machine has all the time that it needs.
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
                            service.on(Step::Verify, [reserved(version)]);
                        }
                        service.on(step, [answer]);
                        let lasts = step == Step::Poll || class == FaultClass::RateLimited;
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

/// A look stops on the service's own word, waits where it is told to, and is done without otherwise.
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
        // A gateway's 404, a 400 without a known code and a conflict say nothing of the model; 410 does of the version.
        let is_gone = class == FaultClass::Refusal(5) && output.stderr.contains("Gone");
        let refusals: &[i32] = if is_gone { &[4, 5] } else { &[4] };
        check_preflight(service, &output, class, refusals);
    });
}

#[test]
fn every_fault_of_the_target_preflight() {
    on_every_fault(Step::GetTarget, "3s", |service, output, class| check_preflight(service, &output, class, &[4]));
}

/// The exit code of a fault at a POST, and how often the POST is sent.
fn at_a_post(class: FaultClass) -> (i32, RangeInclusive<usize>) {
    match class {
        FaultClass::Refusal(exit) => (exit, 1..=1),
        FaultClass::ForeignRefusal => (4, 1..=1),
        FaultClass::Redirect => (5, 1..=1),
        FaultClass::RateLimitedForHours => (7, 1..=1),
        FaultClass::RateLimited => (7, 2..=20),
        FaultClass::Unknown(exit) => (exit, 3..=3),
    }
}

#[test]
fn every_fault_of_authorize() {
    on_every_fault(Step::Authorize, "4s", |service, output, class| {
        let (exit, sent) = at_a_post(class);
        assert_eq!((output.code, service.count(Step::Start)), (exit, 0), "{output:#?}");
        assert!(sent.contains(&service.count(Step::Authorize)), "{output:#?}");
        // What a lost answer may have reserved is given back where the id is known, and spoken of where it is not.
        let lost = matches!(class, FaultClass::Unknown(_));
        let accounted = if service.version.is_v2_1() {
            output.stderr.contains("a blank model may stay behind")
        } else {
            service.count(Step::Release) == 1
        };
        assert_eq!(accounted, lost, "{output:#?}");
    });
}

#[test]
fn every_fault_of_start() {
    on_every_fault(Step::Start, "4s", |service, output, class| {
        let (exit, sent) =
            at_a_post(if matches!(class, FaultClass::Unknown(_)) { FaultClass::Unknown(7) } else { class });
        assert_eq!(output.code, exit, "{output:#?}");
        let starts = service.count(Step::Start);
        assert!(sent.contains(&starts), "{output:#?}");
        // Each authorization that did not become a copy is given back.
        let authorizations = service.count(Step::Authorize);
        assert_eq!(service.count(Step::Release), authorizations, "{output:#?}");
        assert_eq!(authorizations, if matches!(class, FaultClass::Unknown(_)) { 3 } else { 1 }, "{output:#?}");
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
        // The service has said that the copy is there; that the target does not answer takes nothing back.
        assert_eq!((output.code, output.stdout.trim()), (0, service.version.copy_id()), "{output:#?}");
        assert!(output.stderr.contains("warning: the copy succeeded"), "{output:#?}");
        assert_eq!((service.count(Step::Start), service.count(Step::Release)), (1, 0));
    });
}

/// What a service makes of its own operation's URL.
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
            let output = run(&mut service.copy());
            let exit = i32::from(!followed);
            let counts = (output.code, service.count(Step::Start), service.count(Step::Release));
            assert_eq!(counts, (exit, 1, 0), "{location} {output:#?}");
            assert_eq!(service.count(Step::Poll) > 0, followed, "{location} {output:#?}");
        }
        assert!(unused_host.got_no_connection());
    });
}
