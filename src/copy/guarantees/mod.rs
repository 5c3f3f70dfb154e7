//! The guarantees, against a modelled service with faults.
//!
//! `service` has the model and what must hold after every request; the tests here have what must hold at the end. The time
//! is virtual.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod answers;
mod batch;
mod faults;
mod outage;
mod parties;
mod replace;
mod service;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::resume::wait_over;
use super::run::copy_over;
use super::{CopyOptions, Event, IfExists, Plan, Report, WaitPlan};
use crate::api::version::ApiVersion;
use crate::emulator::in_memory::InMemoryEmulator;
use crate::emulator::{Collection, EmulatedResource, Options};
use crate::error::{Delivery, Error, ErrorKind};
use crate::model::Kind;
use crate::resource::{Resource, Side, TargetAddress};
use faults::{Delays, EVERY_FAULT, Fault, any_fault};
use service::{SOURCE, Service, TARGET, modelled, resource};

/// What is not documented of the service, or differs from place to place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Behaviour {
    /// Seconds by which the clocks of source and target are ahead of the local one.
    clocks: [i64; 2],
    /// A deletion of a reserved id does not make it free.
    deletion_keeps_reservation: bool,
    /// The refusal of a start whose authorization was used before; otherwise its operation fails.
    used_authorization: Option<(u16, &'static str, &'static str)>,
    /// Seconds until the source lists an operation, and until the target shows a copy.
    delays: Delays,
}

impl Behaviour {
    fn apply(self, emulator: &mut InMemoryEmulator) {
        emulator.set_clock(SOURCE, self.clocks[0]);
        emulator.set_clock(TARGET, self.clocks[1]);
        emulator.set_deletion_frees_reserved_id(!self.deletion_keeps_reservation);
        if let Some((status, outer, code)) = self.used_authorization {
            emulator.refuse_used_authorizations(status, outer, code);
        }
    }
}

fn any_behaviour() -> impl Strategy<Value = Behaviour> {
    let day = 24 * 60 * 60;
    let clock = proptest::sample::select(vec![-day, -7200, -120, -4, 0, 0, 4, 120, 7200, day]);
    let used = proptest::sample::select(vec![
        None,
        Some((400, "InvalidRequest", "1002")),
        Some((403, "Forbidden", "AuthorizationFailed")),
        Some((409, "Conflict", "ModelExists")),
    ]);
    let delays = (proptest::sample::select(vec![0, 0, 1, 5]), proptest::sample::select(vec![0, 0, 1, 5]));
    let delays = delays.prop_map(|(listed_after, shown_after)| Delays { listed_after, shown_after });
    (clock.clone(), clock, any::<bool>(), used, delays).prop_map(
        |(source, target, deletion_keeps_reservation, used_authorization, delays)| Behaviour {
            clocks: [source, target],
            deletion_keeps_reservation,
            used_authorization,
            delays,
        },
    )
}

/// The result of one copy with faults.
struct Shown {
    outcome: Report,
    /// The warnings that name a reserved id; one without an id is about a v2.1 model.
    reserved: Vec<Option<String>>,
    service: Rc<Service>,
    collection: Collection,
}

fn options_for(source: &EmulatedResource, target: &EmulatedResource) -> CopyOptions {
    CopyOptions {
        target_address: Some(TargetAddress {
            resource_id: target.resource_id.parse().unwrap(),
            region: target.region.parse().unwrap(),
        }),
        ..CopyOptions::new(resource(Side::Source, source), resource(Side::Target, target))
    }
}

/// How a copy is asked for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    version: ApiVersion,
    if_exists: IfExists,
    /// Delay between polls.
    poll_interval: Duration,
}

impl From<ApiVersion> for Asked {
    fn from(version: ApiVersion) -> Self {
        Self { version, if_exists: IfExists::Fail, poll_interval: Duration::from_secs(1) }
    }
}

/// A copy with this version while these faults happen.
fn copy_with(version: ApiVersion, faults: &[Fault]) -> Shown {
    copy_until(version, faults, None, Behaviour::default())
}

/// The same, cancelled at a request.
fn copy_until(asked: impl Into<Asked>, faults: &[Fault], stop_at: Option<usize>, behaviour: Behaviour) -> Shown {
    let Asked { version, if_exists, poll_interval } = asked.into();
    in_virtual_time(async {
        let mut emulator = InMemoryEmulator::new(&Options::default());
        behaviour.apply(&mut emulator);
        let (source, target) = (emulator.resources[0].clone(), emulator.resources[1].clone());
        let collection =
            if version.wire().service_names_the_copy() { Collection::CustomModels } else { Collection::DocumentModels };
        let suffix = if version.wire().service_names_the_copy() { String::new() } else { format!("{version}-1") };
        let plan = Plan {
            options: Rc::new(CopyOptions {
                api_version: Some(version),
                if_exists,
                poll_interval,
                ..options_for(&source, &target)
            }),
            model_id: emulator.model(collection, &suffix).parse().unwrap(),
            kind: Some(Kind::Model),
            target_model_id: None,
        };
        let cancel = CancellationToken::new();
        let service = Service::new(emulator, faults, stop_at, cancel.clone());
        let service = Rc::new(service.watching(1, None).with(behaviour.delays));
        let reserved = RefCell::new(Vec::new());
        let observer = |event: Event<'_>| match event {
            Event::NotReleased { target_model_id, .. } | Event::IdMayBeReserved { target_model_id, .. } => {
                reserved.borrow_mut().push(Some(target_model_id.to_string()));
            }
            Event::BlankModelsMayRemain { candidates, requests } => {
                let unknown = candidates.len()..requests;
                reserved.borrow_mut().extend(candidates.iter().map(|id| Some(id.to_string())));
                reserved.borrow_mut().extend(unknown.map(|_| None));
            }
            _ => {}
        };
        let connect = |resource: &Resource| Ok(modelled(&service, resource));
        let mut outcome = copy_over(&plan, &observer, &cancel, &connect).await;
        service.check_running_is_named(&outcome);
        if let (Err(error), Some(operation)) = (&outcome.result, &outcome.operation)
            && is_handed_over(error)
        {
            // The printed command resumes it.
            service.end_faults().await;
            let resumed = WaitPlan {
                source: plan.options.source.clone(),
                target: Some(plan.options.target.clone()),
                operation: operation.clone(),
                verify: true,
                timeout: Duration::from_secs(1800),
                poll_interval: Duration::from_secs(1),
            };
            outcome = wait_over(&resumed, &observer, &CancellationToken::new(), &connect).await;
        }
        service.end_faults().await;
        let reserved = reserved.take();
        Shown { outcome, reserved, service, collection }
    })
}

fn in_virtual_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

/// Whether an event says that an id remains reserved, or may.
fn names_a_reserved_id(event: &Event<'_>) -> bool {
    matches!(event, Event::NotReleased { .. } | Event::IdMayBeReserved { .. } | Event::BlankModelsMayRemain { .. })
}

/// All texts of an error.
fn said(error: &Error) -> String {
    let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
    format!("{error}; {}; {}", causes.join("; "), error.remedy().unwrap_or_default())
}

impl Service {
    /// Notes a violation where a copy is running at the end and the report does not name it.
    fn check_running_is_named(&self, report: &Report) {
        let text = report.result.as_ref().err().map(said).unwrap_or_default();
        for id in self.emulator.borrow_mut().running(self.now()) {
            let has_operation = report.operation.is_some() && report.result.is_err();
            if !has_operation && !text.contains(&id) {
                self.violate(format!("the running copy {id} was not named"));
            }
        }
    }
}

impl Shown {
    fn log(&self) -> String {
        format!("{:?} {:?}\n{}", self.outcome.result, self.reserved, self.service.log())
    }

    /// What must hold at the end: success only if the model is there, each reserved id and each running copy is named.
    fn check(self) -> Result<(), TestCaseError> {
        let violations = self.service.violations();
        prop_assert!(violations.is_empty(), "{violations}: {}", self.log());
        let mut emulator = self.service.emulator.borrow_mut();
        let accepted = emulator.accepted(SOURCE);
        prop_assert!(accepted.values().all(|copies| *copies <= 1), "two copies to one id: {}", self.log());
        let id = self.outcome.target_model_id.as_ref().map(ToString::to_string).unwrap_or_default();
        let unused = emulator.unused_reservations(TARGET);
        let is_ready = !id.is_empty() && emulator.is_ready(TARGET, self.collection, &id, self.service.now());
        match &self.outcome.result {
            Ok(_) => prop_assert!(is_ready, "no model: {}", self.log()),
            Err(error) => {
                let text = said(error);
                let is_unknown = is_unknown(error);
                prop_assert!(!is_unknown || id.is_empty() || text.contains(&id), "not named: {}", self.log());
                prop_assert!(is_unknown || !is_ready, "a failure although the model is there: {}", self.log());
                let is_named = |unused: &String| {
                    text.contains(unused) || self.reserved.iter().any(|id| id.as_ref().is_none_or(|id| id == unused))
                };
                prop_assert!(unused.iter().all(is_named), "{unused:?} left behind: {}", self.log());
            }
        }
        Ok(())
    }
}

/// The copy goes on, and the printed command resumes it.
fn is_handed_over(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::UnderWay | ErrorKind::Credentials | ErrorKind::Interrupted)
}

/// The start may have been accepted, and the error says so.
fn is_unknown(error: &Error) -> bool {
    let is_ended_early = matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::Credentials);
    (is_ended_early && error.delivery() == Delivery::Unanswered)
        || matches!(error.kind(), ErrorKind::Unforeseen | ErrorKind::UnderWay)
}

#[test]
fn without_faults_every_version_copies() {
    for version in ApiVersion::all() {
        for clocks in [[0, 0], [86_400, -86_400], [-7200, 7200]] {
            let shown = copy_until(version, &[], None, Behaviour { clocks, ..Behaviour::default() });
            // A v2.1 source refuses an authorization that has expired by its own clock.
            let has_expired = version.wire().service_names_the_copy() && clocks[0] - clocks[1] >= 86_400;
            assert_eq!(shown.outcome.result.is_ok(), !has_expired, "{version} {clocks:?}: {}", shown.log());
            assert_eq!(shown.outcome.verified, !has_expired);
            assert!(shown.service.emulator.borrow().unused_reservations(TARGET).is_empty());
            shown.check().unwrap();
        }
    }
}

#[test]
fn any_single_fault_and_any_repeated_one_at_any_request_ends_well_or_is_named() {
    for version in ApiVersion::all() {
        for at in 0..10 {
            for fault in EVERY_FAULT {
                for times in [1, 2, 5] {
                    let faults = [vec![Fault::Nothing; at], vec![fault; times]].concat();
                    copy_with(version, &faults)
                        .check()
                        .unwrap_or_else(|error| panic!("{version} {at} {fault:?}: {error}"));
                }
            }
        }
    }
}

/// Faults after which the service cannot make the copy, or need not.
const REFUSALS: [Fault; 6] = [
    Fault::Refused,
    Fault::Status(401),
    Fault::Status(403),
    Fault::StatusAfterwards(403),
    Fault::ListNotFound,
    Fault::EntryUnreadable,
];

/// Whether the service's rules do not allow the copy after an authorize request with this fault. In v2.1 an answer that
/// cannot be used is not asked for again: each request makes a blank model. From v3.0 on, an id that the service keeps
/// reserved although it was deleted cannot be authorized again.
fn is_lost_with_its_authorization(version: ApiVersion, fault: Fault, deletion_keeps_reservation: bool) -> bool {
    let is_unusable = matches!(fault, Fault::Html | Fault::Truncated);
    if version.wire().service_names_the_copy() {
        return is_unusable;
    }
    let is_reserved = is_unusable || matches!(fault, Fault::AnswerLost | Fault::StatusAfterwards(_));
    deletion_keeps_reservation && is_reserved
}

#[test]
fn after_any_fault_that_passes_at_any_request_the_copy_succeeds() {
    for version in ApiVersion::all() {
        for at in 0..8 {
            for fault in EVERY_FAULT.into_iter().filter(|fault| !REFUSALS.contains(fault)) {
                for deletion_keeps_reservation in [false, true] {
                    let faults = [vec![Fault::Nothing; at], vec![fault]].concat();
                    let behaviour = Behaviour { deletion_keeps_reservation, ..Behaviour::default() };
                    let shown = copy_until(version, &faults, None, behaviour);
                    let request = shown.service.sent.borrow().get(at).cloned().unwrap_or_default();
                    let is_authorize = request.contains("/copyAuthorization") || request.contains(":authorizeCopy");
                    // While nothing is reserved, a name that cannot be resolved ends the command at once.
                    let is_wrong_host = fault == Fault::UnknownHost && at <= 2;
                    let is_lost = is_wrong_host
                        || (is_authorize && is_lost_with_its_authorization(version, fault, deletion_keeps_reservation));
                    let result = &shown.outcome.result;
                    assert_eq!(result.is_ok(), !is_lost, "{version} {request}: {result:?}");
                    shown.check().unwrap();
                }
            }
        }
    }
}

#[test]
fn a_release_that_is_carried_out_late_does_not_delete_the_copy() {
    for version in ApiVersion::all() {
        for before_release in 0..10 {
            let nothing = |times| vec![Fault::Nothing; times];
            // The authorize request is the third one, and its first answer is lost.
            let faults =
                [nothing(2), vec![Fault::AnswerLost], nothing(before_release), vec![Fault::LateEffect(5)]].concat();
            let shown = copy_with(version, &faults);
            assert!(shown.outcome.result.is_ok(), "{}", shown.log());
            shown.check().unwrap();
        }
    }
}

#[test]
fn a_lost_start_is_looked_for_as_long_whatever_the_poll_interval() {
    for version in ApiVersion::all() {
        for poll_interval in [10, 100, 1000, 30_000].map(Duration::from_millis) {
            // The start is the fourth request.
            let faults = [Fault::Nothing, Fault::Nothing, Fault::Nothing, Fault::LostOnTheWay];
            let asked = Asked { poll_interval, ..version.into() };
            let shown = copy_until(asked, &faults, None, Behaviour::default());
            assert!(shown.outcome.result.is_ok(), "{}", shown.log());
            let sent = shown.service.sent.borrow();
            let is_start = |line: &&String| line.contains("source POST");
            let seconds = |line: &String| line.split(' ').next().unwrap().parse::<f64>().unwrap();
            let starts: Vec<_> = sent.iter().filter(is_start).map(seconds).collect();
            // As long as the looks take: with a list of operations, and without one.
            let looked = if version.wire().lists_operations() { 7.0 } else { 60.0 };
            assert!(starts.len() == 2 && starts[1] - starts[0] >= looked, "{version} {poll_interval:?} {starts:?}");
        }
    }
}

#[test]
fn an_unknown_host_ends_a_copy_at_once_before_an_id_is_reserved_and_never_afterwards() {
    for version in ApiVersion::all() {
        let faultless = copy_with(version, &[]);
        let sent = faultless.service.sent.borrow();
        let authorize = sent.iter().position(|request| request.contains("POST")).unwrap();
        for at in 0..sent.len() {
            for times in [1, 4] {
                let faults = [vec![Fault::Nothing; at], vec![Fault::UnknownHost; times]].concat();
                let shown = copy_with(version, &faults);
                assert_eq!(shown.outcome.result.is_ok(), at > authorize, "{version} {at} {times}: {}", shown.log());
                let took = shown.outcome.elapsed;
                assert!(at > authorize || took < Duration::from_secs(1), "{version} {at} {took:?}");
            }
        }
    }
}

#[test]
fn a_lost_authorize_request_is_repeated_although_the_host_becomes_unknown() {
    for version in ApiVersion::all() {
        let faultless = copy_with(version, &[]);
        let at = faultless.service.sent.borrow().iter().position(|request| request.contains("POST")).unwrap();
        for lost in [Fault::LostOnTheWay, Fault::AnswerLost, Fault::Status(503)] {
            let faults = [vec![Fault::Nothing; at], vec![lost], vec![Fault::UnknownHost; 3]].concat();
            let shown = copy_with(version, &faults);
            assert!(shown.outcome.result.is_ok(), "{version} {lost:?}: {}", shown.log());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(600)) })]

    #[test]
    fn with_any_faults_a_copy_ends_with_its_model_or_an_error_that_names_what_is_left(
        version in proptest::sample::select(ApiVersion::all().collect::<Vec<_>>()),
        if_exists in proptest::sample::select(vec![IfExists::Fail, IfExists::Skip]),
        behaviour in any_behaviour(),
        faultless in 0_usize..8,
        faults in proptest::collection::vec(any_fault(), 0..40),
        stop_at in proptest::option::of(1_usize..30),
    ) {
        let asked = Asked { if_exists, ..version.into() };
        copy_until(asked, &[vec![Fault::Nothing; faultless], faults].concat(), stop_at, behaviour).check()?;
    }
}

/// The number of cases: of the environment variable `PROPTEST_CASES`, or a default.
fn cases(default: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default)
}
