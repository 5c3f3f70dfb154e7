//! The fault matrix: every fault, for good, at every step of every version, each with its verdict.
//!
//! Each cell asserts the exit code, how often each POST was sent, that no other host was asked, and that what was
//! reserved was given back or the line that resumes the copy was printed.

use std::net::TcpListener;
use std::ops::RangeInclusive;

use serde_json::json;
use wiremock::ResponseTemplate;

use crate::support::{Ending, Step, Version, World, error_reply, on_every_version, reply, run};

/// What a fault amounts to, wherever it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// The service's own refusal, with the exit code that it has at a POST.
    Refusal(i32),
    /// Turned away, again and again.
    Throttled,
    /// Told to come back in hours.
    ThrottledForHours,
    /// Nobody knows whether it was acted upon; the exit code of an authorize that ends so.
    Lost(i32),
    /// Somebody else than the service answers, with a status that says no.
    Stranger,
    Redirect,
}

fn faults(elsewhere: &str) -> Vec<(&'static str, ResponseTemplate, Sort)> {
    let throttled = |value: &str| error_reply(429, "429", "Too many.").insert_header("Retry-After", value);
    vec![
        ("400", error_reply(400, "InvalidRequest", "No."), Sort::Refusal(3)),
        ("401", error_reply(401, "401", "Access denied."), Sort::Refusal(4)),
        ("403", error_reply(403, "403", "Access denied."), Sort::Refusal(4)),
        ("404", error_reply(404, "404", "Resource not found"), Sort::Refusal(5)),
        ("409", error_reply(409, "Conflict", "No."), Sort::Refusal(6)),
        ("410", error_reply(410, "Gone", "Retired."), Sort::Refusal(5)),
        ("bare 401", ResponseTemplate::new(401), Sort::Stranger),
        ("429 without Retry-After", error_reply(429, "429", "Too many."), Sort::Throttled),
        ("429 with a short one", throttled("1"), Sort::Throttled),
        ("429 with a huge one", throttled("7200"), Sort::ThrottledForHours),
        ("429 with a date", throttled("Fri, 01 Jan 2100 00:00:00 GMT"), Sort::ThrottledForHours),
        ("503", error_reply(503, "ServiceUnavailable", "Busy."), Sort::Throttled),
        ("408", reply(408), Sort::Lost(7)),
        ("500", error_reply(500, "InternalServerError", "Oh."), Sort::Lost(7)),
        ("502", reply(502).set_body_string("<html>"), Sort::Lost(7)),
        ("504", reply(504), Sort::Lost(7)),
        ("html", reply(200).set_body_raw("<html></html>", "text/html"), Sort::Lost(1)),
        ("invalid json", reply(200).set_body_raw("{\"status\":", "application/json"), Sort::Lost(1)),
        ("empty", reply(200), Sort::Lost(1)),
        ("wrong types", reply(200).set_body_json(json!({"status": 7, "modelId": [], "modelInfo": 1})), Sort::Lost(1)),
        ("17 MiB", reply(200).set_body_bytes(vec![b'x'; 17 << 20]), Sort::Lost(1)),
        ("redirect", reply(307).insert_header("Location", elsewhere), Sort::Redirect),
        ("redirect to itself", reply(302).insert_header("Location", "/"), Sort::Redirect),
    ]
}

/// A host that nobody has any business with.
struct Stranger(TcpListener);

impl Stranger {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn url(&self) -> String {
        format!("http://{}/", self.0.local_addr().unwrap())
    }

    fn was_left_alone(&self) -> bool {
        self.0.accept().is_err()
    }
}

/// The target while the id is only reserved.
fn reserved(version: Version) -> ResponseTemplate {
    if !version.is_v2_1() {
        return version.no_model();
    }
    let mut blank = version.model_body(version.copy_id());
    blank["modelInfo"]["status"] = json!("creating");
    reply(200).set_body_json(blank)
}

/// Every fault at one step, several at the same time; `check` looks at the cell. Where a fault lasts until the deadline,
/// that comes soon; where it ends by itself, a busy machine has all the time that it needs.
fn on_every_fault(step: Step, deadline: &str, check: impl Fn(&World, Ending, Sort) + Sync) {
    on_every_version(|version| {
        if version.is_v2_1() && step == Step::LookTarget {
            return;
        }
        let stranger = Stranger::new();
        std::thread::scope(|scope| {
            for some in faults(&stranger.url()).chunks(6) {
                let (some, check) = (some.to_vec(), &check);
                scope.spawn(move || {
                    for (name, answer, sort) in some {
                        let world = World::new(version);
                        if step == Step::Start {
                            world.on(Step::Verify, [reserved(version)]);
                        }
                        world.on(step, [answer]);
                        let lasts = step == Step::Follow || sort == Sort::Throttled;
                        let timeout = if lasts { deadline } else { "50s" };
                        let ending = run(world.copy().args(["--timeout", timeout]));
                        eprintln!("{version:?} {step:?} {name}: {ending:#?}");
                        check(&world, ending, sort);
                    }
                });
            }
        });
        assert!(stranger.was_left_alone(), "{version:?} {step:?}");
    });
}

/// A look stops on the service's own word, waits where it is told to, and is done without otherwise.
fn check_look(world: &World, ending: &Ending, sort: Sort, refusals: &[i32]) {
    let exit = match sort {
        Sort::Refusal(exit) if refusals.contains(&exit) => exit,
        Sort::Throttled | Sort::ThrottledForHours => 7,
        _ => 0,
    };
    let began = usize::from(exit == 0);
    assert_eq!(
        (ending.code, world.count(Step::Authorize), world.count(Step::Start)),
        (exit, began, began),
        "{ending:#?}"
    );
    assert_eq!(world.count(Step::GiveBack), 0);
}

#[test]
fn a_look_at_the_source() {
    on_every_fault(Step::LookSource, "3s", |world, ending, sort| {
        // A gateway's 404, a 400 without a known code and a conflict say nothing of the model; 410 does of the version.
        let is_gone = sort == Sort::Refusal(5) && ending.stderr.contains("Gone");
        let refusals: &[i32] = if is_gone { &[4, 5] } else { &[4] };
        check_look(world, &ending, sort, refusals);
    });
}

#[test]
fn a_look_at_the_target() {
    on_every_fault(Step::LookTarget, "3s", |world, ending, sort| check_look(world, &ending, sort, &[4]));
}

/// The exit code of a fault at a POST, and how often the POST is sent.
fn at_a_post(sort: Sort) -> (i32, RangeInclusive<usize>) {
    match sort {
        Sort::Refusal(exit) => (exit, 1..=1),
        Sort::Stranger => (4, 1..=1),
        Sort::Redirect => (5, 1..=1),
        Sort::ThrottledForHours => (7, 1..=1),
        Sort::Throttled => (7, 2..=20),
        Sort::Lost(exit) => (exit, 3..=3),
    }
}

#[test]
fn an_authorize() {
    on_every_fault(Step::Authorize, "4s", |world, ending, sort| {
        let (exit, sent) = at_a_post(sort);
        assert_eq!((ending.code, world.count(Step::Start)), (exit, 0), "{ending:#?}");
        assert!(sent.contains(&world.count(Step::Authorize)), "{ending:#?}");
        // What a lost answer may have reserved is given back where the id is known, and spoken of where it is not.
        let lost = matches!(sort, Sort::Lost(_));
        let accounted = if world.version.is_v2_1() {
            ending.stderr.contains("a blank model may remain")
        } else {
            world.count(Step::GiveBack) == 1
        };
        assert_eq!(accounted, lost, "{ending:#?}");
    });
}

#[test]
fn a_start() {
    on_every_fault(Step::Start, "4s", |world, ending, sort| {
        let (exit, sent) = at_a_post(if matches!(sort, Sort::Lost(_)) { Sort::Lost(7) } else { sort });
        assert_eq!(ending.code, exit, "{ending:#?}");
        let starts = world.count(Step::Start);
        assert!(sent.contains(&starts), "{ending:#?}");
        // Each authorization that did not become a copy is given back.
        let authorizations = world.count(Step::Authorize);
        assert_eq!(world.count(Step::GiveBack), authorizations, "{ending:#?}");
        assert_eq!(authorizations, if matches!(sort, Sort::Lost(_)) { 3 } else { 1 }, "{ending:#?}");
    });
}

#[test]
fn a_question_for_the_status() {
    on_every_fault(Step::Follow, "3s", |world, ending, sort| {
        let exit = if matches!(sort, Sort::Refusal(4) | Sort::Stranger) { 4 } else { 8 };
        assert_eq!((ending.code, world.count(Step::Start), world.count(Step::GiveBack)), (exit, 1, 0), "{ending:#?}");
        assert!(ending.stderr.contains(&format!("frcopy wait '{}'", world.operation_url())), "{ending:#?}");
    });
}

#[test]
fn the_last_look() {
    on_every_fault(Step::Verify, "4s", |world, ending, _| {
        // The service has said that the copy is there; that the target does not answer takes nothing back.
        assert_eq!((ending.code, ending.stdout.trim()), (0, world.version.copy_id()), "{ending:#?}");
        assert!(ending.stderr.contains("warning: the copy succeeded"), "{ending:#?}");
        assert_eq!((world.count(Step::Start), world.count(Step::GiveBack)), (1, 0));
    });
}

/// What a service makes of its own operation's URL.
type Change<'c> = &'c dyn Fn(&str) -> String;

#[test]
fn an_operation_location_that_is_odd() {
    on_every_version(|version| {
        let stranger = Stranger::new();
        let odd: [(Change<'_>, bool); 7] = [
            (&|own| own.to_owned(), true),
            (&|_| version.operation(), true),
            (&|own| own.replace("http://", "HTTP://"), true),
            (&|_| format!("{}x", stranger.url()), false),
            (&|own| own.replace("127.0.0.1", "localhost"), false),
            (&|own| own.replace("http://", "https://"), false),
            (&|own| own.replace("http://", "http://user@"), false),
        ];
        for (location, followed) in odd {
            let world = World::new(version);
            let location = location(&world.operation_url());
            world.on(Step::Start, [reply(202).insert_header("Operation-Location", location.as_str())]);
            if !followed {
                world.on(Step::List, [ResponseTemplate::new(404)]);
                world.on(Step::Verify, [ResponseTemplate::new(404)]);
            }
            let ending = run(&mut world.copy());
            let exit = i32::from(!followed);
            let counts = (ending.code, world.count(Step::Start), world.count(Step::GiveBack));
            assert_eq!(counts, (exit, 1, 0), "{location} {ending:#?}");
            assert_eq!(world.count(Step::Follow) > 0, followed, "{location} {ending:#?}");
        }
        assert!(stranger.was_left_alone());
    });
}
