//! The promises, against a model of the service with faults: whatever goes wrong, a copy ends in one of three ways.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::batch::copy_batch_over;
use super::resume::wait_over;
use super::run::{Connect, copy_over};
use super::{BatchEvent, BatchPlan, CopyOptions, Event, IfExists, Plan, Report, WaitPlan};
use crate::api::version::ApiVersion;
use crate::api::{Answer, Request};
use crate::auth::{Credential, Key};
use crate::client::Connection;
use crate::client::transport::{Sending, Transport};
use crate::emulator::in_memory::InMemoryEmulator;
use crate::emulator::{Collection, EmulatedResource, Options};
use crate::error::{Delivery, Error, ErrorKind};
use crate::model::Kind;
use crate::redactor::Redactor;
use crate::resource::{Resource, Side, TargetAddress};
use crate::selection::{Patterns, Selection};
use tokio_util::sync::CancellationToken;

/// What may happen to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// No connection.
    NotSent,
    /// Sent, never arrived.
    LostOnTheWay,
    /// Arrived and acted upon; the answer is lost.
    AnswerLost,
    /// Turned away by somebody in front of the service.
    Status(u16),
    /// Told to wait.
    RetryAfter(u16),
    /// Acted upon, and answered with this status all the same.
    StatusAfterwards(u16),
    /// Acted upon, and a page of HTML comes back.
    Html,
    /// Acted upon, and half of the answer comes back.
    Truncated,
    /// Acted upon, and no Operation-Location comes back, or one on another host.
    NoLocation,
    StrangeLocation,
    /// Slower than anybody waits.
    Hang,
}

const EVERY_FAULT: [Fault; 21] = [
    Fault::NotSent,
    Fault::LostOnTheWay,
    Fault::AnswerLost,
    Fault::Status(400),
    Fault::Status(401),
    Fault::Status(403),
    Fault::Status(404),
    Fault::Status(408),
    Fault::Status(410),
    Fault::Status(500),
    Fault::Status(502),
    Fault::Status(503),
    Fault::RetryAfter(1),
    Fault::RetryAfter(43),
    Fault::Status(409),
    Fault::StatusAfterwards(500),
    Fault::Html,
    Fault::Truncated,
    Fault::NoLocation,
    Fault::StrangeLocation,
    Fault::Hang,
];

/// The service and what will happen to the requests to it, in their order.
struct Service {
    stage: RefCell<InMemoryEmulator>,
    faults: RefCell<VecDeque<Fault>>,
    epoch: Timestamp,
    began: Instant,
    /// Every request and what happened to it.
    sent: RefCell<Vec<String>>,
    /// At which request somebody tells everything to stop.
    stop_at: Option<usize>,
    cancel: CancellationToken,
}

impl Service {
    fn now(&self) -> Timestamp {
        let elapsed = jiff::SignedDuration::try_from(self.began.elapsed()).unwrap();
        self.epoch + elapsed
    }
}

struct Modelled {
    service: Rc<Service>,
    account: usize,
}

impl Modelled {
    async fn exchange(&self, resource: &Resource, request: &Request) -> Result<Answer, Error> {
        let fault = self.service.faults.borrow_mut().pop_front().unwrap_or(Fault::Nothing);
        self.service.sent.borrow_mut().push(format!("{} {request:?} {fault:?}", resource.side));
        if Some(self.service.sent.borrow().len()) == self.service.stop_at {
            self.service.cancel.cancel();
        }
        sleep(Duration::from_millis(20)).await;
        let unavailable = |delivery| Error::new(ErrorKind::Unavailable, format!("{fault:?}")).with_delivery(delivery);
        match fault {
            Fault::NotSent => return Err(unavailable(Delivery::NotSent)),
            Fault::LostOnTheWay => return Err(unavailable(Delivery::Unanswered)),
            Fault::Hang => {
                sleep(Duration::from_secs(30)).await;
                return Err(unavailable(Delivery::Unanswered));
            }
            Fault::Status(status) => return Ok(self.answer(resource, request, status, &[])),
            Fault::RetryAfter(seconds) => {
                return Ok(self.answer(resource, request, 429, &[("retry-after", &seconds.to_string())]));
            }
            _ => {}
        }
        let service = &self.service;
        let (status, headers, body) = service.stage.borrow_mut().answer(self.account, request, service.now());
        let mut answer = Answer { status, headers, body, ..self.answer(resource, request, 200, &[]) };
        match fault {
            Fault::AnswerLost => return Err(unavailable(Delivery::Unanswered)),
            Fault::StatusAfterwards(status) => return Ok(self.answer(resource, request, status, &[])),
            Fault::Html => answer.body = b"<html></html>".to_vec(),
            Fault::Truncated => answer.body.truncate(answer.body.len() / 2),
            Fault::NoLocation => drop(answer.headers.remove("operation-location")),
            Fault::StrangeLocation => {
                if let Some(location) = answer.headers.get_mut("operation-location") {
                    *location = "https://evil.example/operations/1".parse().unwrap();
                }
            }
            _ => {}
        }
        Ok(answer)
    }

    fn answer(&self, resource: &Resource, request: &Request, status: u16, headers: &[(&str, &str)]) -> Answer {
        let header = |(name, value): &(&str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        Answer {
            side: resource.side,
            purpose: request.purpose.clone(),
            auth_method: resource.credential.auth_method(),
            secrets: Redactor::default(),
            received: self.service.now(),
            status: status.try_into().unwrap(),
            headers: headers
                .iter()
                .map(header)
                .collect::<Vec<(http::HeaderName, http::HeaderValue)>>()
                .into_iter()
                .collect(),
            body: Vec::new(),
        }
    }
}

impl Transport for Modelled {
    fn send<'a>(&'a self, resource: &'a Resource, request: &'a Request, _: Duration) -> Sending<'a> {
        Box::pin(self.exchange(resource, request))
    }
}

fn resource(side: Side, emulated: &EmulatedResource) -> Resource {
    let key = Key::new(&emulated.key.as_str().into()).unwrap();
    Resource::new(side, emulated.endpoint.parse().unwrap(), Credential::Key(key))
}

/// What a run with faults has shown.
struct Shown {
    outcome: Report,
    /// Whether it was said that something may stay reserved.
    admitted: bool,
    service: Rc<Service>,
    collection: Collection,
}

/// A copy with this version while these faults happen, in a time that passes by itself.
fn copy_with(version: ApiVersion, faults: &[Fault]) -> Shown {
    copy_until(version, faults, None)
}

/// The same, and at some request everything is told to stop.
fn copy_until(version: ApiVersion, faults: &[Fault], stop_at: Option<usize>) -> Shown {
    in_virtual_time(async {
        let stage = InMemoryEmulator::new(&Options::default());
        let (source, target) = (stage.resources[0].clone(), stage.resources[1].clone());
        let collection =
            if version.wire().service_names_the_copy() { Collection::CustomModels } else { Collection::DocumentModels };
        let suffix = if version.wire().service_names_the_copy() { String::new() } else { format!("{version}-1") };
        let options = CopyOptions {
            api_version: Some(version),
            target_address: Some(TargetAddress {
                resource_id: target.resource_id.parse().unwrap(),
                region: target.region.parse().unwrap(),
            }),
            ..CopyOptions::new(resource(Side::Source, &source), resource(Side::Target, &target))
        };
        let plan = Plan {
            options: Rc::new(options),
            model_id: stage.model(collection, &suffix).parse().unwrap(),
            kind: Some(Kind::Model),
            target_model_id: None,
        };
        let cancel = CancellationToken::new();
        let service = service(stage, faults, stop_at, cancel.clone());
        let admitted = RefCell::new(false);
        let observer = |event: Event<'_>| {
            if matches!(event, Event::NotReleased { .. } | Event::MayBeReserved { .. }) {
                admitted.replace(true);
            }
        };
        let connect = |resource: &Resource| Ok(modelled(&service, resource));
        let outcome = copy_over(&plan, &observer, &cancel, &connect).await;
        if let (Err(error), Some(operation)) = (&outcome.result, &outcome.operation)
            && matches!(error.kind(), ErrorKind::UnderWay | ErrorKind::Credentials | ErrorKind::Interrupted)
        {
            // Handed over: the line that was printed is followed.
            service.faults.borrow_mut().clear();
            let resumed = WaitPlan {
                source: plan.options.source.clone(),
                target: Some(plan.options.target.clone()),
                operation: operation.clone(),
                verify: true,
                timeout: Duration::from_secs(1800),
                poll_interval: Duration::from_secs(1),
            };
            return Shown {
                outcome: wait(&resumed, &observer, &connect).await,
                ..shown(outcome, &admitted, &service, collection)
            };
        }
        shown(outcome, &admitted, &service, collection)
    })
}

fn service(
    stage: InMemoryEmulator,
    faults: &[Fault],
    stop_at: Option<usize>,
    cancel: CancellationToken,
) -> Rc<Service> {
    Rc::new(Service {
        stage: RefCell::new(stage),
        faults: RefCell::new(faults.iter().copied().collect()),
        epoch: Timestamp::now(),
        began: Instant::now(),
        sent: RefCell::default(),
        stop_at,
        cancel,
    })
}

fn modelled(service: &Rc<Service>, resource: &Resource) -> Connection {
    let account = usize::from(resource.side == Side::Target);
    Connection::over(resource, Rc::new(Modelled { service: Rc::clone(service), account }))
}

/// Follows the line that was printed.
async fn wait(plan: &WaitPlan, observer: super::Observer<'_>, connect: Connect<'_>) -> Report {
    wait_over(plan, observer, &CancellationToken::new(), connect).await
}

fn shown(outcome: Report, admitted: &RefCell<bool>, service: &Rc<Service>, collection: Collection) -> Shown {
    Shown { outcome, admitted: *admitted.borrow(), service: Rc::clone(service), collection }
}

fn in_virtual_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

impl Shown {
    /// One of three endings, and nothing else.
    fn check(self) -> Result<(), TestCaseError> {
        let Self { outcome, admitted, service, collection } = self;
        let later = service.epoch + jiff::SignedDuration::from_hours(2);
        let mut stage = service.stage.borrow_mut();
        let accepted = stage.accepted(0);
        let story = || format!("{:?}\n{}\naccepted: {accepted:?}", outcome.result, service.sent.borrow().join("\n"));
        prop_assert!(accepted.values().all(|copies| *copies <= 1), "two copies to one id: {}", story());
        let id = outcome.target_model_id.as_ref().map(ToString::to_string).unwrap_or_default();
        let unused = stage.unused_reservations(1);
        match &outcome.result {
            Ok(_) => prop_assert!(stage.is_ready(1, collection, &id, later), "no model: {}", story()),
            Err(error) if error.kind() == ErrorKind::Unforeseen || is_unknown_start(error) => {
                // The effect of the start is not known: the error names the id.
                let names_id = error.remedy().is_some_and(|remedy| remedy.contains(&id));
                prop_assert!(id.is_empty() || names_id, "not said: {}", story());
            }
            Err(error) => {
                let there = !id.is_empty() && stage.is_ready(1, collection, &id, later);
                prop_assert!(!there, "{:?} although the model is there: {}", error.kind(), story());
                prop_assert!(unused.is_empty() || admitted, "{unused:?} left behind: {}", story());
            }
        }
        Ok(())
    }
}

/// No verdict, and the effect of the start is not known.
fn is_unknown_start(error: &Error) -> bool {
    let may_run = matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::UnderWay | ErrorKind::Credentials);
    may_run && error.delivery() == Delivery::Unanswered
}

#[test]
fn without_faults_every_version_copies() {
    for version in ApiVersion::all() {
        let shown = copy_with(version, &[]);
        assert!(shown.outcome.result.is_ok(), "{:?}", shown.outcome.result);
        assert!(shown.outcome.verified && shown.service.stage.borrow().unused_reservations(1).is_empty());
    }
}

#[test]
fn any_single_fault_and_any_repeated_one_at_any_request_ends_well_or_says_so() {
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

#[test]
fn a_lost_answer_at_any_request_still_copies() {
    for version in ApiVersion::all() {
        for at in 0..8 {
            for fault in
                [Fault::NotSent, Fault::LostOnTheWay, Fault::AnswerLost, Fault::Status(502), Fault::Html, Fault::Hang]
            {
                let faults = [vec![Fault::Nothing; at], vec![fault]].concat();
                let shown = copy_with(version, &faults);
                // Each repetition of an unusable authorization would leave one more blank v2.1 model.
                let is_at = |path: &str| shown.service.sent.borrow().get(at).is_some_and(|sent| sent.contains(path));
                let is_not_repeated = fault == Fault::Html && is_at("/copyAuthorization");
                let result = &shown.outcome.result;
                assert_eq!(result.is_ok(), !is_not_repeated, "{version} {at} {fault:?}: {result:?}");
            }
        }
    }
}

/// Everything that a resource has, copied while these faults happen; and the same again without any.
fn copy_all_with(if_exists: IfExists, faults: &[Fault], stop_at: Option<usize>) -> Result<(), TestCaseError> {
    in_virtual_time(async {
        let stage = InMemoryEmulator::new(&Options { models: 2, ..Options::default() });
        let (source, target) = (stage.resources[0].clone(), stage.resources[1].clone());
        let options = CopyOptions {
            target_address: Some(TargetAddress {
                resource_id: target.resource_id.parse().unwrap(),
                region: target.region.parse().unwrap(),
            }),
            if_exists,
            ..CopyOptions::new(resource(Side::Source, &source), resource(Side::Target, &target))
        };
        let selection = Selection::Matching(Patterns::default());
        let plan = BatchPlan { options: Rc::new(options), selection, kind: None, jobs: 50 };
        let cancel = CancellationToken::new();
        let service = service(stage, faults, stop_at, cancel.clone());
        let admitted = RefCell::new(Vec::new());
        let observer = |event: BatchEvent<'_>| {
            if let BatchEvent::OfCopy {
                model_id, event: Event::NotReleased { .. } | Event::MayBeReserved { .. }, ..
            } = event
            {
                admitted.borrow_mut().push(model_id.to_string());
            }
        };
        let connect = |resource: &Resource| Ok(modelled(&service, resource));
        let first = copy_batch_over(&plan, &observer, &cancel, &connect).await;
        let story = |what: &str| format!("{what}\n{first:#?}\n{}", service.sent.borrow().join("\n"));
        let outcomes = first.as_ref().map_or(&[][..], |summary| &summary.reports);
        prop_assert!(first.is_err() || outcomes.len() == 10, "{}", story("not all have ended"));
        prop_assert!(service.stage.borrow().accepted(0).values().all(|count| *count <= 1), "{}", story("copied twice"));
        for outcome in outcomes {
            let id = outcome.target_model_id.as_ref().map(ToString::to_string).unwrap_or_default();
            let is_ready = is_there(&service, outcome, &id);
            match &outcome.result {
                Ok(_) => prop_assert!(is_ready, "{}", story("no model")),
                Err(error) if is_unknown(error) || is_handed_over(error) => {}
                Err(_) => prop_assert!(!is_ready, "{}", story("a failure although the model is there")),
            }
        }
        let may_leave = |outcome: &Report| {
            let id = outcome.source_model_id.as_ref().map(ToString::to_string).unwrap_or_default();
            outcome.result.as_ref().is_err_and(is_unknown) || admitted.borrow().contains(&id)
        };
        let left = service.stage.borrow().unused_reservations(1).len();
        prop_assert!(left == 0 || outcomes.iter().any(may_leave), "{}", story("left behind and not said"));
        Ok(())
    })
}

fn is_there(service: &Service, outcome: &Report, id: &str) -> bool {
    let is_custom = outcome.api_version == Some(ApiVersion::V2_1);
    let collection = match outcome.kind {
        Some(Kind::Classifier) => Collection::DocumentClassifiers,
        Some(Kind::Model) | None if is_custom => Collection::CustomModels,
        Some(Kind::Model) | None => Collection::DocumentModels,
    };
    let later = service.epoch + jiff::SignedDuration::from_hours(2);
    !id.is_empty() && service.stage.borrow_mut().is_ready(1, collection, id, later)
}

/// The effect of a request is not known, and the error says so.
fn is_unknown(error: &Error) -> bool {
    error.kind() == ErrorKind::Unforeseen || is_unknown_start(error)
}

/// The copy goes on, and a line was printed that follows it.
fn is_handed_over(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::UnderWay | ErrorKind::Credentials | ErrorKind::Interrupted)
}

#[test]
fn without_faults_a_whole_resource_is_copied() {
    for if_exists in [IfExists::Fail, IfExists::Skip, IfExists::Replace] {
        copy_all_with(if_exists, &[], None).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_goes_wrong_each_of_many_copies_ends_in_one_of_three_ways(
        if_exists in proptest::sample::select(vec![IfExists::Fail, IfExists::Skip, IfExists::Replace]),
        calm in 0_usize..40,
        faults in proptest::collection::vec(
            prop_oneof![4 => Just(Fault::Nothing), 3 => proptest::sample::select(EVERY_FAULT.to_vec())], 0..120),
        stop_at in proptest::option::of(1_usize..120),
    ) {
        copy_all_with(if_exists, &[vec![Fault::Nothing; calm], faults].concat(), stop_at)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_goes_wrong_a_copy_ends_in_one_of_three_ways(
        version in proptest::sample::select(ApiVersion::all().collect::<Vec<_>>()),
        faults in proptest::collection::vec(
            prop_oneof![2 => Just(Fault::Nothing), 3 => proptest::sample::select(EVERY_FAULT.to_vec())], 0..40),
        stop_at in proptest::option::of(1_usize..30),
    ) {
        copy_until(version, &faults, stop_at).check()?;
    }
}
