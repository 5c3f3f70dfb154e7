//! The guarantees for many copies at once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::faults::Fault;
use super::service::{SOURCE, Service, TARGET, modelled};
use super::{
    Behaviour, EVERY_FAULT, any_behaviour, cases, in_virtual_time, is_handed_over, is_unknown, names_a_reserved_id,
    options_for, said,
};
use crate::api::version::ApiVersion;
use crate::copy::batch_targets::copy_batches_over;
use crate::copy::{BatchEvent, BatchPlan, CopyOptions, IfExists, Report};
use crate::emulator::in_memory::InMemoryEmulator;
use crate::emulator::{Collection, Options};
use crate::error::Error;
use crate::model::Kind;
use crate::resource::Resource;
use crate::selection::{Patterns, Selection};

/// Everything that a resource has, copied while these faults happen; and the same again without any.
fn copy_all_with(
    if_exists: IfExists,
    faults: &[Fault],
    stop_at: Option<usize>,
    behaviour: Behaviour,
) -> Result<(), TestCaseError> {
    in_virtual_time(async {
        let mut emulator = InMemoryEmulator::new(&Options { models: 2, ..Options::default() });
        behaviour.apply(&mut emulator);
        let (source, target) = (emulator.resources[0].clone(), emulator.resources[1].clone());
        let options = CopyOptions { if_exists, ..options_for(&source, &target) };
        let selection = Selection::Matching(Patterns::default());
        let plan = BatchPlan {
            options: Rc::new(options),
            selection,
            kind: None,
            target_model_id: None,
            template: None,
            jobs: 50,
        };
        let cancel = CancellationToken::new();
        let service = Rc::new(Service::new(emulator, faults, stop_at, cancel.clone()).with(behaviour.delays));
        let admitted = RefCell::new(Vec::new());
        let unread = Cell::new(0);
        let observer = |_: Option<usize>, event: BatchEvent<'_>| {
            if let BatchEvent::Unreadable { count } = event {
                unread.set(count);
            }
            if let BatchEvent::OfCopy { model_id, event, .. } = event
                && names_a_reserved_id(&event)
            {
                admitted.borrow_mut().push(model_id.to_string());
            }
        };
        let connect = |resource: &Resource| Ok(modelled(&service, resource));
        let first = copy_batches_over(std::slice::from_ref(&plan), &observer, &cancel, &connect).await;
        let log = |what: &str| format!("{what}\n{first:#?}\n{}", service.log());
        service.end_faults().await;
        let violations = service.violations();
        prop_assert!(violations.is_empty(), "{}", log(&violations));
        let outcomes = first.as_ref().map_or(&[][..], |summaries| &summaries[0].reports);
        // A version that two calls say is not offered is left out.
        let may_be_left_out = faults.iter().filter(|fault| **fault == Fault::ListNotFound).count() >= 2;
        let is_all = outcomes.len() == 10 || unread.get() > 0 || may_be_left_out;
        prop_assert!(first.is_err() || is_all, "{}", log("not all have ended"));
        prop_assert!(
            service.emulator.borrow().accepted(SOURCE).values().all(|count| *count <= 1),
            "{}",
            log("copied twice")
        );
        for outcome in outcomes {
            let id = outcome.target_model_id.as_ref().map(ToString::to_string).unwrap_or_default();
            let is_ready = is_there(&service, outcome, &id);
            match &outcome.result {
                Ok(_) => prop_assert!(is_ready, "{}", log("no model")),
                Err(error) if is_unknown(error) || is_handed_over(error) => {}
                Err(_) => prop_assert!(!is_ready, "{}", log("a failure although the model is there")),
            }
        }
        let may_leave = |outcome: &Report| {
            let id = outcome.source_model_id.as_ref().map(ToString::to_string).unwrap_or_default();
            outcome.result.as_ref().is_err_and(|error| is_unknown(error) || may_be_own(error))
                || admitted.borrow().contains(&id)
        };
        let left = service.emulator.borrow().unused_reservations(TARGET).len();
        prop_assert!(left == 0 || outcomes.iter().any(may_leave), "{}", log("left behind and not said"));
        Ok(())
    })
}

/// Whether the error says that the target id is reserved, perhaps by a request of this command: what runs could not be read.
fn may_be_own(error: &Error) -> bool {
    said(error).contains("perhaps by this command's own request")
}

fn is_there(service: &Service, outcome: &Report, id: &str) -> bool {
    let is_custom = outcome.api_version == Some(ApiVersion::V2_1);
    let collection = match outcome.kind {
        Some(Kind::Classifier) => Collection::DocumentClassifiers,
        _ if is_custom => Collection::CustomModels,
        Some(Kind::Model) | None => Collection::DocumentModels,
    };
    let later = service.epoch + jiff::SignedDuration::from_hours(2);
    !id.is_empty() && service.emulator.borrow_mut().is_ready(TARGET, collection, id, later)
}

/// A list that lacks an entry cannot be told from a resource without the model: the batch cannot copy what it was not told.
fn faults_of_a_batch() -> Vec<Fault> {
    EVERY_FAULT.into_iter().filter(|fault| *fault != Fault::EntryMissing).collect()
}

#[test]
fn without_faults_a_whole_resource_is_copied() {
    for if_exists in [IfExists::Fail, IfExists::Skip, IfExists::Replace] {
        copy_all_with(if_exists, &[], None, Behaviour::default()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(100)) })]

    #[test]
    fn with_any_faults_each_of_many_copies_ends_with_its_model_or_an_error_that_names_what_is_left(
        if_exists in proptest::sample::select(vec![IfExists::Fail, IfExists::Skip, IfExists::Replace]),
        behaviour in any_behaviour(),
        faultless in 0_usize..40,
        faults in proptest::collection::vec(
            prop_oneof![4 => Just(Fault::Nothing), 3 => proptest::sample::select(faults_of_a_batch())], 0..120),
        stop_at in proptest::option::of(1_usize..120),
    ) {
        copy_all_with(if_exists, &[vec![Fault::Nothing; faultless], faults].concat(), stop_at, behaviour)?;
    }
}
