//! The guarantees of a copy between two parties, and of `frcopy wait`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::faults::Fault;
use super::service::{SOURCE, Service, TARGET, modelled, modelled_for};
use super::{
    Behaviour, EVERY_FAULT, any_behaviour, any_fault, cases, in_virtual_time, is_handed_over, is_unknown,
    names_a_reserved_id, options_for, resource, said,
};
use crate::api::version::ApiVersion;
use crate::copy::delegated::{authorize_over, copy_delegated_over};
use crate::copy::resume::wait_over;
use crate::copy::run::copy_over;
use crate::copy::{AuthorizePlan, CopyOptions, DelegatedPlan, Event, Plan, Report, WaitPlan};
use crate::emulator::in_memory::InMemoryEmulator;
use crate::emulator::{Collection, Options};
use crate::error::ErrorKind;
use crate::model::Kind;
use crate::resource::{Resource, Side};

const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);
const SECOND: Duration = Duration::from_secs(1);

/// Two resources, and a model of one version.
struct Scene {
    service: Rc<Service>,
    collection: Collection,
    plan: Plan,
    cancel: CancellationToken,
}

impl Scene {
    fn new(version: ApiVersion, behaviour: Behaviour) -> Self {
        let mut emulator = InMemoryEmulator::new(&Options::default());
        behaviour.apply(&mut emulator);
        let is_named_by_service = version.wire().service_names_the_copy();
        let collection = if is_named_by_service { Collection::CustomModels } else { Collection::DocumentModels };
        let suffix = if is_named_by_service { String::new() } else { format!("{version}-1") };
        let options = options_for(&emulator.resources[SOURCE], &emulator.resources[TARGET]);
        let plan = Plan {
            options: Rc::new(CopyOptions { api_version: Some(version), ..options }),
            model_id: emulator.model(collection, &suffix).parse().unwrap(),
            kind: Some(Kind::Model),
            target_model_id: None,
        };
        let cancel = CancellationToken::new();
        let service = Service::new(emulator, &[], None, cancel.clone()).between_parties();
        let service = Rc::new(service.watching(1, None).with(behaviour.delays));
        Self { service, collection, plan, cancel }
    }

    /// From now on, these faults happen, and the command is cancelled at a request.
    fn fail(&self, faults: &[Fault], stop_at: Option<usize>) {
        self.service.faults.borrow_mut().extend(faults);
        self.service.stop_at.set(stop_at.map(|at| self.service.sent.borrow().len() + at));
    }

    fn is_ready(&self, id: &str) -> bool {
        self.service.emulator.borrow_mut().is_ready(TARGET, self.collection, id, self.service.now())
    }

    /// What must hold after a command: success only with the copy, no failure if it is there, and no second copy.
    fn check(&self, report: &Report) -> Result<(), TestCaseError> {
        let log = || format!("{:?}\n{}", report.result, self.service.log());
        let violations = self.service.violations();
        prop_assert!(violations.is_empty(), "{violations}: {}", log());
        let accepted = self.service.emulator.borrow().accepted(SOURCE);
        prop_assert!(accepted.values().all(|copies| *copies <= 1), "two copies to one id: {}", log());
        let id = report.target_model_id.as_ref().map(ToString::to_string).unwrap_or_default();
        let is_ready = !id.is_empty() && self.is_ready(&id);
        match &report.result {
            Ok(_) => prop_assert!(is_ready, "no model: {}", log()),
            Err(error) => {
                let has_no_verdict = is_unknown(error) || (is_handed_over(error) && report.operation.is_some());
                prop_assert!(has_no_verdict || !is_ready, "a failure although the model is there: {}", log());
                let is_named = report.operation.is_some() || said(error).contains(&id);
                prop_assert!(!has_no_verdict || is_named, "not named: {}", log());
            }
        }
        Ok(())
    }
}

/// A copy between two parties: the faults happen to the target's party first, then to the source's.
fn copy_between_parties(
    version: ApiVersion,
    behaviour: Behaviour,
    faults: [&[Fault]; 2],
    stop_at: Option<usize>,
) -> Result<Option<Report>, TestCaseError> {
    in_virtual_time(async {
        let scene = Scene::new(version, behaviour);
        let Scene { service, plan, cancel, .. } = &scene;
        let connect = |resource: &Resource| Ok(modelled(service, resource));
        let is_named_by_service = version.wire().service_names_the_copy();
        let authorize = AuthorizePlan {
            target: plan.options.target.clone(),
            api_version: version,
            kind: Kind::Model,
            target_model_id: (!is_named_by_service).then(|| plan.model_id.clone()),
            target_address: plan.options.target_address.clone(),
            description: None,
            tags: None,
            timeout: HALF_AN_HOUR,
        };
        let admitted = RefCell::new(false);
        let observer = |event: Event<'_>| {
            admitted.replace_with(|before| *before || names_a_reserved_id(&event));
        };
        scene.fail(faults[0], None);
        let issued = authorize_over(&authorize, &observer, cancel, &connect, |_| Ok(())).await;
        service.end_faults().await;
        let file = match issued {
            Ok(file) => file,
            Err(error) => {
                let left = service.emulator.borrow().unused_reservations(TARGET);
                let is_said = *admitted.borrow() || error.is_conflict();
                prop_assert!(left.is_empty() || is_said, "{left:?} left behind: {error:?}\n{}", service.log());
                return Ok(None);
            }
        };
        scene.fail(faults[1], stop_at);
        let source = resource(Side::Source, &service.emulator.borrow().resources[SOURCE]);
        let delegated = DelegatedPlan {
            source,
            model_id: plan.model_id.clone(),
            file,
            allow_degrade: false,
            timeout: HALF_AN_HOUR,
            poll_interval: SECOND,
        };
        let report = copy_delegated_over(delegated, &|_| {}, cancel, &connect).await;
        service.check_running_is_named(&report);
        service.end_faults().await;
        scene.check(&report).map(|()| Some(report))
    })
}

/// `frcopy wait` while these faults happen, for a copy whose command was cancelled after its start.
fn wait_with(
    version: ApiVersion,
    behaviour: Behaviour,
    faults: &[Fault],
    stop_at: Option<usize>,
) -> Result<Report, TestCaseError> {
    in_virtual_time(async {
        let scene = Scene::new(version, behaviour);
        let Scene { service, plan, .. } = &scene;
        let begun = CancellationToken::new();
        let stop = |event: Event<'_>| {
            if matches!(event, Event::Started { .. }) {
                begun.cancel();
            }
        };
        let connect = |resource: &Resource| Ok(modelled(service, resource));
        let report = copy_over(plan, &stop, &begun, &connect).await;
        // A v2.1 source refuses an authorization that has expired by its own clock.
        let Some(operation) = report.operation.clone() else { return Ok(report) };
        scene.fail(faults, stop_at);
        let wait = WaitPlan {
            source: plan.options.source.clone(),
            target: Some(plan.options.target.clone()),
            operation,
            verify: true,
            timeout: HALF_AN_HOUR,
            poll_interval: SECOND,
        };
        // Another run: it has reserved nothing, and so must not delete anything.
        let connect = |resource: &Resource| Ok(modelled_for(1, service, resource));
        let report = wait_over(&wait, &|_| {}, &scene.cancel, &connect).await;
        service.end_faults().await;
        prop_assert!(
            report.result.as_ref().err().is_none_or(|error| error.kind() != ErrorKind::Unforeseen),
            "{:?}\n{}",
            report.result,
            service.log()
        );
        // Only the operation names the copy. One that names another model is not found out where the target cannot be read.
        let is_misled = faults.contains(&Fault::OtherId) && report.result.is_ok() && !report.verified;
        if is_misled { Ok(report) } else { scene.check(&report).map(|()| report) }
    })
}

#[test]
fn without_faults_parties_copy_and_a_wait_ends_with_the_model() {
    for version in ApiVersion::all() {
        let report = copy_between_parties(version, Behaviour::default(), [&[], &[]], None).unwrap().unwrap();
        assert!(report.result.is_ok(), "{version} {:?}", report.result);
        let report = wait_with(version, Behaviour::default(), &[], None).unwrap();
        assert!(report.result.is_ok() && report.verified, "{version} {:?}", report.result);
    }
}

#[test]
fn any_single_fault_of_a_copy_between_parties_and_of_a_wait_ends_well_or_is_named() {
    for version in ApiVersion::all() {
        for fault in EVERY_FAULT {
            for at in 0..5 {
                let faults = [vec![Fault::Nothing; at], vec![fault]].concat();
                let behaviour = Behaviour::default();
                let checked = [
                    copy_between_parties(version, behaviour, [&faults, &[]], None).map(drop),
                    copy_between_parties(version, behaviour, [&[], &faults], None).map(drop),
                    wait_with(version, behaviour, &faults, None).map(drop),
                ];
                for result in checked {
                    result.unwrap_or_else(|error| panic!("{version} {at} {fault:?}: {error}"));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(300)) })]

    #[test]
    fn with_any_faults_a_copy_between_parties_ends_with_its_model_or_an_error_that_names_it(
        version in proptest::sample::select(ApiVersion::all().collect::<Vec<_>>()),
        behaviour in any_behaviour(),
        of_target in proptest::collection::vec(any_fault(), 0..10),
        faultless in 0_usize..6,
        of_source in proptest::collection::vec(any_fault(), 0..40),
        stop_at in proptest::option::of(1_usize..30),
    ) {
        let of_source = [vec![Fault::Nothing; faultless], of_source].concat();
        copy_between_parties(version, behaviour, [&of_target, &of_source], stop_at)?;
    }

    #[test]
    fn with_any_faults_a_wait_ends_with_the_model_or_an_error_and_deletes_nothing(
        version in proptest::sample::select(ApiVersion::all().collect::<Vec<_>>()),
        behaviour in any_behaviour(),
        faults in proptest::collection::vec(any_fault(), 0..40),
        stop_at in proptest::option::of(1_usize..30),
    ) {
        wait_with(version, behaviour, &faults, stop_at)?;
    }
}
