//! The guarantees of `--if-exists replace`: of one run, and of two runs that overlap.

use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::faults::{Delays, Fault};
use super::service::{SOURCE, Service, TARGET, Watched, dates, modelled_for};
use super::{Behaviour, any_behaviour, any_fault, cases, in_virtual_time, options_for, said};
use crate::api::version::ApiVersion;
use crate::copy::run::copy_over;
use crate::copy::{CopyOptions, IfExists, Plan, Report};
use crate::emulator::in_memory::InMemoryEmulator;
use crate::emulator::{Collection, Options};
use crate::model::Kind;
use crate::resource::Resource;

/// What the target has at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    Old,
    OldAndOlderStagingCopy,
    OldAndStagingCopy,
    StagingCopy,
    NewAndStagingCopy,
}

const EVERY_BEGIN: [Begin; 5] =
    [Begin::Old, Begin::OldAndOlderStagingCopy, Begin::OldAndStagingCopy, Begin::StagingCopy, Begin::NewAndStagingCopy];

/// What is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Replaced {
    version: ApiVersion,
    kind: Kind,
    begin: Begin,
}

fn any_replaced() -> impl Strategy<Value = Replaced> {
    let copied = ApiVersion::all().flat_map(|version| [(version, Kind::Model), (version, Kind::Classifier)]);
    let named_by_caller = copied.filter(|(version, kind)| {
        let wire = version.wire();
        !wire.service_names_the_copy() && wire.copies(*kind)
    });
    let begin = proptest::sample::select(EVERY_BEGIN.to_vec());
    (proptest::sample::select(named_by_caller.collect::<Vec<_>>()), begin)
        .prop_map(|((version, kind), begin)| Replaced { version, kind, begin })
}

/// A resource pair in a state of a replacement.
struct Scene {
    plan: Plan,
    service: Rc<Service>,
    cancel: CancellationToken,
    id: String,
    staging: String,
}

impl Scene {
    fn new(replaced: Replaced, behaviour: Behaviour, faults: &[Fault], stop_at: Option<usize>, runs: usize) -> Self {
        let Replaced { version, kind, begin } = replaced;
        let mut emulator = InMemoryEmulator::new(&Options::default());
        let collection = match kind {
            Kind::Model => Collection::DocumentModels,
            Kind::Classifier => Collection::DocumentClassifiers,
        };
        let id = emulator.model(collection, &format!("{version}-1"));
        let staging = format!("{id}.frcopy-staging");
        let source = emulator.ready(SOURCE, collection, &id, jiff::Timestamp::now()).unwrap();
        let of_training = |id: &str, date: Option<&str>| -> Value {
            let mut copy = source.clone();
            let name = if kind == Kind::Model { "modelId" } else { "classifierId" };
            copy[name] = json!(id);
            for field in ["createdDateTime", "modifiedDateTime"] {
                if let Some(date) = date.filter(|_| copy.get(field).is_some()) {
                    copy[field] = json!(date);
                }
            }
            copy
        };
        let (oldest, older) = (Some("2020-01-01T00:00:00Z"), Some("2021-01-01T00:00:00Z"));
        let (placed, staged) = match begin {
            Begin::Old => (Some(oldest), None),
            Begin::OldAndOlderStagingCopy => (Some(oldest), Some(older)),
            Begin::OldAndStagingCopy => (Some(oldest), Some(None)),
            Begin::StagingCopy => (None, Some(None)),
            Begin::NewAndStagingCopy => (Some(None), Some(None)),
        };
        for (id, date) in [(&id, placed), (&staging, staged)] {
            if let Some(date) = date {
                emulator.put(TARGET, collection, id, of_training(id, date));
            }
        }
        behaviour.apply(&mut emulator);
        let options = CopyOptions {
            api_version: Some(version),
            if_exists: IfExists::Replace,
            ..options_for(&emulator.resources[SOURCE], &emulator.resources[TARGET])
        };
        let plan =
            Plan { options: Rc::new(options), model_id: id.parse().unwrap(), kind: Some(kind), target_model_id: None };
        let cancel = CancellationToken::new();
        let service = Service::new(emulator, faults, stop_at, cancel.clone());
        let watched = Watched { collection, ids: [id.clone(), staging.clone()], dates: dates(&source) };
        let service = Rc::new(service.watching(runs, Some(watched)).with(behaviour.delays));
        Self { plan, service, cancel, id, staging }
    }

    async fn run(&self, run: usize, cancel: &CancellationToken) -> Report {
        let connect = |resource: &Resource| Ok(modelled_for(run, &self.service, resource));
        copy_over(&self.plan, &|_| {}, cancel, &connect).await
    }

    fn ready(&self, id: &str) -> Option<Value> {
        let watched = self.service.watched.as_ref().unwrap();
        self.service.emulator.borrow_mut().ready(TARGET, watched.collection, id, self.service.now())
    }

    fn has_new(&self) -> bool {
        self.ready(&self.id).is_some_and(|body| self.service.watched.as_ref().unwrap().is_current(&body))
    }

    fn log(&self, replaced: Replaced, reports: &[Report]) -> String {
        let results: Vec<_> = reports.iter().map(|report| format!("{:?}", report.result)).collect();
        format!("{replaced:?} {results:#?}\n{}", self.service.log())
    }

    /// What must hold after some runs: success only with the new model in its place, and another run finishes the work.
    async fn check(&self, replaced: Replaced, reports: &[Report], is_new: &[bool]) -> Result<(), TestCaseError> {
        for (report, is_new) in reports.iter().zip(is_new) {
            prop_assert!(report.result.is_err() || *is_new, "no new model: {}", self.log(replaced, reports));
        }
        for id in self.service.emulator.borrow_mut().running(self.service.now()) {
            let is_named = |report: &Report| {
                report.operation.is_some() || report.result.as_ref().is_err_and(|error| said(error).contains(&id))
            };
            prop_assert!(reports.iter().any(is_named), "{id} was not named: {}", self.log(replaced, reports));
        }
        self.service.end_faults().await;
        let is_left = self.ready(&self.id).is_some() || self.ready(&self.staging).is_some();
        prop_assert!(is_left, "no good copy is left: {}", self.log(replaced, reports));
        // Authorizations that were not used expire.
        tokio::time::sleep(Duration::from_secs(2 * 60 * 60)).await;
        let last = self.run(reports.len(), &CancellationToken::new()).await;
        let violations = self.service.violations();
        prop_assert!(violations.is_empty(), "{violations}: {}", self.log(replaced, reports));
        let is_finished = last.result.is_ok() && self.has_new() && self.ready(&self.staging).is_none();
        prop_assert!(is_finished, "not finished: {:?} {}", last.result, self.log(replaced, reports));
        Ok(())
    }
}

fn replace_with(
    replaced: Replaced,
    behaviour: Behaviour,
    faults: &[Fault],
    stop_at: Option<usize>,
) -> Result<(), TestCaseError> {
    in_virtual_time(async {
        let scene = Scene::new(replaced, behaviour, faults, stop_at, 1);
        let report = scene.run(0, &scene.cancel).await;
        let is_new = scene.has_new();
        scene.check(replaced, &[report], &[is_new]).await
    })
}

/// Two runs, the second of which starts some time after the first one.
fn replace_twice(
    replaced: Replaced,
    behaviour: Behaviour,
    faults: &[Fault],
    delay: Duration,
) -> Result<(), TestCaseError> {
    // A deletion that is carried out late can meet the work of the other run: the service has no conditional deletion.
    let faults: Vec<_> = faults
        .iter()
        .map(|fault| if matches!(fault, Fault::LateEffect(_)) { Fault::LostOnTheWay } else { *fault })
        .collect();
    in_virtual_time(async {
        let scene = Scene::new(replaced, behaviour, &faults, None, 2);
        let first = async {
            let report = scene.run(0, &scene.cancel).await;
            (report, scene.has_new())
        };
        let second = async {
            tokio::time::sleep(delay).await;
            let report = scene.run(1, &scene.cancel).await;
            (report, scene.has_new())
        };
        let (first, second) = tokio::join!(first, second);
        scene.check(replaced, &[first.0, second.0], &[first.1, second.1]).await
    })
}

/// How the first one of two runs ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Signal,
    Kill,
}

/// A run that is ended at a request, and the next run right after it.
fn replace_again(replaced: Replaced, faults: &[Fault], stop_at: usize, ending: Ending) -> Result<(), TestCaseError> {
    in_virtual_time(async {
        let scene = Scene::new(replaced, Behaviour::default(), faults, Some(stop_at), 2);
        let never = CancellationToken::new();
        let signal = if ending == Ending::Signal { &scene.cancel } else { &never };
        let first = tokio::select! {
            report = scene.run(0, signal) => Some((report, scene.has_new())),
            () = scene.cancel.cancelled(), if ending == Ending::Kill => None,
        };
        let second = scene.run(1, &never).await;
        let second = (second, scene.has_new());
        let (reports, is_new): (Vec<_>, Vec<_>) = first.into_iter().chain([second]).unzip();
        scene.check(replaced, &reports, &is_new).await
    })
}

#[test]
fn a_deletion_that_an_ended_run_left_on_its_way_leaves_a_good_copy() {
    for begin in [Begin::Old, Begin::OldAndOlderStagingCopy, Begin::StagingCopy] {
        let replaced = Replaced { version: ApiVersion::newest(), kind: Kind::Model, begin };
        for at in 0..24 {
            for late in [5, 9].map(Fault::LateEffect) {
                let faults = [vec![Fault::Nothing; at], vec![late]].concat();
                for stop_at in at + 1..at + 4 {
                    for ending in [Ending::Signal, Ending::Kill] {
                        replace_again(replaced, &faults, stop_at, ending)
                            .unwrap_or_else(|error| panic!("{at} {late:?} {stop_at} {ending:?}: {error}"));
                    }
                }
            }
        }
    }
}

#[test]
fn only_a_staging_copy_that_an_earlier_run_left_is_kept_for_ten_seconds() {
    for (begin, is_left) in [(Begin::Old, false), (Begin::StagingCopy, true), (Begin::NewAndStagingCopy, true)] {
        let replaced = Replaced { version: ApiVersion::newest(), kind: Kind::Model, begin };
        let report = in_virtual_time(async {
            let scene = Scene::new(replaced, Behaviour::default(), &[], None, 1);
            scene.run(0, &scene.cancel).await
        });
        assert!(report.result.is_ok(), "{begin:?} {:?}", report.result);
        assert_eq!(report.elapsed >= Duration::from_secs(10), is_left, "{begin:?} {:?}", report.elapsed);
    }
}

#[test]
fn without_faults_every_begin_of_a_replacement_is_finished() {
    for version in ApiVersion::all().filter(|version| !version.wire().service_names_the_copy()) {
        for begin in EVERY_BEGIN {
            let replaced = Replaced { version, kind: Kind::Model, begin };
            replace_with(replaced, Behaviour::default(), &[], None).unwrap();
            for delay in [0, 20, 60, 500, 2100, 4300] {
                let delay = Duration::from_millis(delay);
                replace_twice(replaced, Behaviour::default(), &[], delay).unwrap();
            }
        }
    }
}

#[test]
fn a_run_whose_authorization_got_no_answer_does_not_delete_the_target_of_a_running_copy() {
    let begin = Begin::OldAndOlderStagingCopy;
    for version in ApiVersion::all().filter(|version| !version.wire().service_names_the_copy()) {
        for faultless in 25..50 {
            let replaced = Replaced { version, kind: Kind::Model, begin };
            let faults = [vec![Fault::Nothing; faultless], vec![Fault::LostOnTheWay]].concat();
            let delay = Duration::from_millis(81);
            replace_twice(replaced, Behaviour::default(), &faults, delay).unwrap();
        }
    }
}

#[test]
fn a_model_that_is_replaced_while_the_resource_is_slow_is_not_deleted() {
    let begin = Begin::OldAndOlderStagingCopy;
    // The first run may send one request a second. The second one makes another staging copy between two of them.
    let faults = [Fault::Nothing, Fault::Nothing, Fault::RetryAfter(1)];
    for version in ApiVersion::all().filter(|version| !version.wire().service_names_the_copy()) {
        for delay in (1960..2120).step_by(20) {
            let replaced = Replaced { version, kind: Kind::Model, begin };
            replace_twice(replaced, Behaviour::default(), &faults, Duration::from_millis(delay)).unwrap();
        }
    }
}

#[test]
fn a_run_whose_authorization_got_no_answer_and_then_a_refusal_does_not_delete_what_another_one_copies_to_the_same_id() {
    for version in ApiVersion::all().filter(|version| !version.wire().service_names_the_copy()) {
        // The other run authorizes and starts its copy while the first one gives up, and nothing shows that copy yet.
        let delays = Delays { listed_after: 5, shown_after: 5 };
        let behaviour = Behaviour { deletion_keeps_reservation: true, delays, ..Behaviour::default() };
        let replaced = Replaced { version, kind: Kind::Model, begin: Begin::StagingCopy };
        let refused = [Fault::Status(500), Fault::Refused, Fault::Nothing];
        for faultless in 2..8 {
            let faults = [vec![Fault::Nothing; faultless], refused.to_vec()].concat();
            for delay in (0..8000).step_by(250).map(Duration::from_millis) {
                replace_twice(replaced, behaviour, &faults, delay).unwrap();
            }
        }
    }
}

#[test]
fn a_run_whose_release_takes_long_does_not_delete_what_another_one_copied_to_the_same_id_meanwhile() {
    for version in ApiVersion::all().filter(|version| !version.wire().service_names_the_copy()) {
        // The other run takes the reservation for its own, and the target does not show its copy yet.
        let delays = Delays { shown_after: 5, ..Delays::default() };
        let behaviour = Behaviour { delays, ..Behaviour::default() };
        let replaced = Replaced { version, kind: Kind::Model, begin: Begin::StagingCopy };
        for before_start in 3..8 {
            for before_authorize in 3..8 {
                let nothing = |times| vec![Fault::Nothing; times];
                let refused = vec![Fault::Refused, Fault::Hang];
                let lost = vec![Fault::LostOnTheWay];
                let faults = [nothing(before_start), refused, nothing(before_authorize), lost].concat();
                for delay in (12_000..30_000).step_by(2000).map(Duration::from_millis) {
                    replace_twice(replaced, behaviour, &faults, delay).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_replacement_that_has_begun_goes_on_after_an_unknown_host_and_without_a_connection() {
    let replaced = |version| Replaced { version, kind: Kind::Model, begin: Begin::Old };
    let report = |version, faults: &[Fault]| {
        in_virtual_time(async {
            let scene = Scene::new(replaced(version), Behaviour::default(), faults, None, 1);
            let report = scene.run(0, &scene.cancel).await;
            let log = scene.log(replaced(version), &[]);
            (report, scene.service.sent.borrow().clone(), log)
        })
    };
    for version in ApiVersion::all().filter(|version| !version.wire().service_names_the_copy()) {
        let (_, sent, _) = report(version, &[]);
        let authorize = sent.iter().position(|request| request.contains("POST")).unwrap();
        for at in authorize + 1..sent.len() {
            for fault in [Fault::NotSent, Fault::UnknownHost] {
                for times in [1, 4] {
                    let faults = [vec![Fault::Nothing; at], vec![fault; times]].concat();
                    let (report, _, log) = report(version, &faults);
                    assert!(report.result.is_ok(), "{at} {fault:?} {times}: {:?} {log}", report.result);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(600)) })]

    #[test]
    fn with_any_faults_a_replacement_keeps_a_good_copy_and_the_next_run_finishes(
        replaced in any_replaced(),
        behaviour in any_behaviour(),
        faultless in 0_usize..30,
        faults in proptest::collection::vec(any_fault(), 0..40),
        stop_at in proptest::option::of(1_usize..50),
    ) {
        replace_with(replaced, behaviour, &[vec![Fault::Nothing; faultless], faults].concat(), stop_at)?;
    }

    #[test]
    fn with_any_faults_two_replacements_that_overlap_keep_a_good_copy(
        replaced in any_replaced(),
        behaviour in any_behaviour(),
        faultless in 0_usize..50,
        faults in proptest::collection::vec(any_fault(), 0..40),
        delay in 0_u64..8000,
    ) {
        let delay = Duration::from_millis(delay);
        replace_twice(replaced, behaviour, &[vec![Fault::Nothing; faultless], faults].concat(), delay)?;
    }
}
