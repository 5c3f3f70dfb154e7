//! A batch whose target cannot be reached, from the start or from the middle on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::faults::Fault;
use super::service::{SOURCE, Service, TARGET, modelled};
use super::{in_virtual_time, options_for, said};
use crate::copy::batch_targets::copy_batches_over;
use crate::copy::journal::{Announced, NoJournal};
use crate::copy::{
    AuthorizeEntry, BatchEvent, BatchPlan, CopyOf, CopyOptions, EntryId, IfExists, Journal, OpenOperations, Report,
    StartEntry, Unfinished,
};
use crate::emulator::Options;
use crate::emulator::in_memory::InMemoryEmulator;
use crate::error::Error;
use crate::model::{Kind, ModelId};
use crate::operation::OperationUrl;
use crate::resource::{Endpoint, Resource};
use crate::selection::{Patterns, Selection};

/// How many models of each version, and how many classifiers, the source has.
const MODELS: usize = 40;
/// How long the target is silent in an outage without an end.
const FOREVER: u64 = 24 * 60 * 60;

/// A batch of all models of the source.
struct Run {
    reports: Vec<Report>,
    took: Duration,
    /// How often it was said that the target cannot be reached.
    said: usize,
    service: Rc<Service>,
}

impl Run {
    fn succeeded(&self) -> usize {
        self.reports.iter().filter(|report| report.result.is_ok()).count()
    }

    /// The errors of the models that were not tried.
    fn not_tried(&self) -> Vec<String> {
        let not_begun = self.reports.iter().filter(|report| !report.begun);
        not_begun.map(|report| said(report.result.as_ref().unwrap_err())).collect()
    }
}

/// Copies everything while each request to the target has this fault between two times; then without any.
fn run_with(fault: Fault, outage: [u64; 2]) -> [Run; 2] {
    run_with_journal(fault, outage, Rc::new(NoJournal))
}

fn run_with_journal(fault: Fault, outage: [u64; 2], journal: Rc<dyn Journal>) -> [Run; 2] {
    in_virtual_time(async {
        let emulator =
            InMemoryEmulator::new(&Options { models: MODELS, operation_time: Duration::ZERO, ..Options::default() });
        let (source, target) = (emulator.resources[0].clone(), emulator.resources[1].clone());
        let plan = BatchPlan {
            options: Rc::new(CopyOptions { if_exists: IfExists::Skip, journal, ..options_for(&source, &target) }),
            selection: Selection::Matching(Patterns::default()),
            kind: None,
            target_model_id: None,
            template: None,
            jobs: 500,
        };
        let cancel = CancellationToken::new();
        let service = Rc::new(Service::new(emulator, &[], None, cancel.clone()));
        service.outage.set(Some((fault, outage)));
        let connect = |resource: &Resource| Ok(modelled(&service, resource));
        let run = async || {
            let (began, said) = (Instant::now(), Cell::new(0));
            let observer = |_: Option<usize>, event: BatchEvent<'_>| {
                said.set(said.get() + usize::from(matches!(event, BatchEvent::GivenUp(_))));
            };
            let plans = std::slice::from_ref(&plan);
            let reports = copy_batches_over(plans, &observer, &cancel, &connect).await.unwrap().remove(0).reports;
            Run { reports, took: began.elapsed(), said: said.get(), service: Rc::clone(&service) }
        };
        let first = run().await;
        service.end_faults().await;
        let second = run().await;
        [first, second]
    })
}

/// Asserts that the second run copies the rest, and that each model is copied once.
fn assert_completed([first, second]: &[Run; 2]) {
    assert_eq!((second.reports.len(), second.succeeded()), (5 * MODELS, 5 * MODELS));
    assert!(first.service.violations().is_empty(), "{}", first.service.violations());
    let service = &second.service;
    assert!(service.emulator.borrow().accepted(SOURCE).values().all(|count| *count == 1));
    assert_eq!(service.emulator.borrow().unused_reservations(TARGET), Vec::<String>::new());
}

#[test]
fn a_target_that_cannot_be_reached_ends_its_copies_once_the_first_ones_were_tried() {
    for (fault, longest) in [(Fault::NotSent, 45), (Fault::LostOnTheWay, 45), (Fault::Hang, 120)] {
        let runs = run_with(fault, [0, FOREVER]);
        let [first, _] = &runs;
        assert!(first.took < Duration::from_secs(longest), "{fault:?}: {:?}", first.took);
        assert_eq!((first.reports.len(), first.succeeded()), (5 * MODELS, 0), "{fault:?}");
        let not_tried = first.not_tried();
        assert!(not_tried.len() > 4 * MODELS, "{fault:?}: {}", not_tried.len());
        assert_eq!(first.said, 1, "{fault:?}");
        for text in ["not tried: the target was not reachable since 20", "--if-exists skip"] {
            assert!(not_tried.iter().all(|said| said.contains(text)), "{:?}", not_tried.first());
        }
        assert_completed(&runs);
    }
}

#[test]
fn a_target_that_goes_down_in_the_middle_ends_what_was_not_begun() {
    for fault in [Fault::NotSent, Fault::LostOnTheWay] {
        let runs = run_with(fault, [1, FOREVER]);
        let [first, _] = &runs;
        assert!(first.took < Duration::from_secs(60), "{fault:?}: {:?}", first.took);
        assert!(first.succeeded() > 0 && !first.not_tried().is_empty(), "{fault:?}: {}", first.succeeded());
        assert_completed(&runs);
    }
}

#[test]
fn a_short_outage_ends_no_copy() {
    let runs = run_with(Fault::NotSent, [1, 21]);
    let [first, _] = &runs;
    assert!(first.took > Duration::from_secs(20), "{:?}", first.took);
    assert_eq!((first.succeeded(), first.not_tried().len(), first.said), (5 * MODELS, 0, 0));
    assert_completed(&runs);
}

/// A journal in which an earlier run has left one copy open.
#[derive(Debug, Default)]
struct OneOpen {
    taken_over: RefCell<Vec<ModelId>>,
}

impl OneOpen {
    const ID: &str = "classifier-v4.0-39";
}

impl Journal for OneOpen {
    fn take_over(&self, copy: &CopyOf<'_>) -> Result<Unfinished, Error> {
        self.taken_over.borrow_mut().push(copy.source_id.clone());
        Ok(Unfinished::Taken(Vec::new()))
    }

    fn has_open(&self, copy: &CopyOf<'_>) -> bool {
        copy.source_id.as_str() == Self::ID && copy.kind == Some(Kind::Classifier)
    }

    fn open_operations(&self, source: &Endpoint, target: &Endpoint) -> Result<OpenOperations, Error> {
        NoJournal.open_operations(source, target)
    }

    fn keeps_entries(&self) -> bool {
        NoJournal.keeps_entries()
    }

    fn before_authorize(&self, entry: &AuthorizeEntry<'_>) -> Result<Announced, Error> {
        NoJournal.before_authorize(entry)
    }

    fn before_start(&self, id: EntryId, entry: &StartEntry<'_>) -> Result<(), Error> {
        NoJournal.before_start(id, entry)
    }

    fn accepted(&self, id: EntryId, operation: &OperationUrl) -> Result<(), Error> {
        NoJournal.accepted(id, operation)
    }

    fn unreleased(&self, _: EntryId, _: &ModelId) {}

    fn ended(&self, _: EntryId) {}
}

#[test]
fn what_an_earlier_run_has_left_open_is_finished_although_the_target_cannot_be_reached() {
    let journal = Rc::new(OneOpen::default());
    let seen = Rc::clone(&journal);
    let [first, _] = run_with_journal(Fault::NotSent, [0, 60], journal);
    assert_eq!(first.reports.len(), 5 * MODELS);
    let times = |id: &str| seen.taken_over.borrow().iter().filter(|taken_over| taken_over.as_str() == id).count();
    assert_eq!(
        (times(OneOpen::ID), times("classifier-v4.0-38")),
        (2, 1),
        "the other one is begun by the second run only"
    );
}
