//! Batch copies between the same two resources: all at the same time, as far as the service's limits allow.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};

use super::pipeline::{Common, Pipeline};
use super::plan::classifiers_need_newer;
use super::preflight::{Found, version_of};
use super::replace::is_staging;
use super::{Connect, CopyOptions, Event, Outcome, Plan, Report};
use crate::api::Capacity;
use crate::api::version::ApiVersion;
use crate::client::{CallContext, Client, Connection};
use crate::error::{Error, ErrorKind};
use crate::inventory::{self, Inventory, Listed, READS_AT_A_TIME, Scope};
use crate::model::{Component, Kind, ModelId};
use crate::selection::Selection;
use tokio_util::sync::CancellationToken;

/// Batch copies, as they were asked for.
#[derive(Debug, Clone)]
pub struct BatchPlan {
    /// Between whom, and how.
    pub options: Rc<CopyOptions>,
    /// Which models.
    pub selection: Selection,
    /// Models or classifiers only; `None` means both.
    pub kind: Option<Kind>,
    /// How many are under way at the same time, at most.
    pub jobs: usize,
}

impl BatchPlan {
    /// Refuses what can be seen to be impossible before anybody is asked.
    ///
    /// # Errors
    /// When one of the copies cannot be made with the version that is named, whatever the source has.
    pub fn check(&self) -> Result<(), Error> {
        let options = &self.options;
        let no_classifiers = options.api_version.filter(|version| !version.copies_classifiers());
        if let (Some(version), Some(Kind::Classifier)) = (no_classifiers, self.kind) {
            return Err(classifiers_need_newer(version));
        }
        match &self.selection {
            Selection::Ids(ids) => ids.iter().try_for_each(|id| self.plan_of(id.clone(), self.kind).check()),
            Selection::Matching(_) if options.api_version.is_some_and(|version| !version.has_document_models()) => {
                options.target_of_custom_models().map(drop)
            }
            Selection::Matching(_) if options.source.endpoint == options.target.endpoint => Err(Error::settings(
                "source and target are the same resource",
                "choose another target endpoint: copies that keep their ids cannot be made where their sources are",
            )),
            Selection::Matching(_) => Ok(()),
        }
    }

    fn plan_of(&self, model_id: ModelId, kind: Option<Kind>) -> Plan {
        Plan { options: Rc::clone(&self.options), model_id, kind, target_model_id: None }
    }
}

/// What happens while many copies are made.
#[derive(Debug)]
pub enum BatchEvent<'a> {
    /// A request that concerns no single copy will be sent again.
    Waiting {
        /// Why.
        error: &'a Error,
        /// After how long.
        wait: Duration,
    },
    /// The source is being asked what it has.
    Listing,
    /// A list names things in a form that nobody knows.
    Unread {
        /// How many.
        count: usize,
    },
    /// The source has staging copies, which are left out: they are a replacement's, and no models of their own.
    StagingLeftOut {
        /// How many.
        count: usize,
    },
    /// It is settled what is to be copied.
    Selected {
        /// How many models and classifiers.
        count: usize,
        /// Selected by a pattern, and left out: they are not ready.
        not_ready: &'a [ModelId],
    },
    /// A copy is begun.
    Begun {
        /// Of which model.
        model_id: &'a ModelId,
        /// A model or a classifier.
        kind: Kind,
    },
    /// Something happens to one of the copies.
    OfCopy {
        /// Of which model.
        model_id: &'a ModelId,
        /// A model or a classifier.
        kind: Kind,
        /// What.
        event: Event<'a>,
    },
    /// Nothing more happens to it.
    Left {
        /// To which model.
        model_id: &'a ModelId,
        /// A model or a classifier.
        kind: Kind,
    },
    /// A copy has ended.
    Ended(&'a Report),
}

/// Is told of each [`BatchEvent`].
pub type BatchObserver<'a> = &'a dyn Fn(BatchEvent<'_>);

/// What came of all of it.
#[derive(Debug, Default)]
pub struct Summary {
    /// Every copy, in the order in which they ended.
    pub outcomes: Vec<Report>,
    /// Room on the target before the first copy, where it was asked: of v2.1, and of v3.0 and later.
    pub capacities: Vec<(ApiVersion, Result<Capacity, Error>)>,
}

/// One of many: what the source has shown of it.
struct Subject {
    model_id: ModelId,
    found: Result<Found, Error>,
}

impl Subject {
    fn is_custom_model(&self) -> bool {
        self.found.as_ref().is_ok_and(|found| !found.version.has_document_models())
    }
}

/// Carries out many plans, until the end or until told to stop. One that fails stops no other.
///
/// # Errors
/// When the source cannot be asked what it has, or has nothing of what was selected: then nothing was begun.
pub async fn copy_batch(
    plan: &BatchPlan,
    observer: BatchObserver<'_>,
    cancel: &CancellationToken,
) -> Result<Summary, Error> {
    copy_batch_over(plan, observer, cancel, &Connection::http).await
}

/// [`copy_batch`] over something else than the network.
pub(super) async fn copy_batch_over(
    plan: &BatchPlan,
    observer: BatchObserver<'_>,
    cancel: &CancellationToken,
    connect: Connect<'_>,
) -> Result<Summary, Error> {
    let many = Batch::new(plan, observer, cancel, connect)?;
    let subjects = many.survey().await?;
    let run = async |pipeline: Pipeline<'_>, found: Found, report: &mut Report| pipeline.run(Some(found), report).await;
    Ok(Summary { outcomes: many.each(subjects, run).await, capacities: Vec::new() })
}

/// Says what [`copy_batch`] would do, what stands in the way, and whether there is room for it. It only reads.
///
/// # Errors
/// As those of [`copy_batch`].
pub async fn dry_run_batch(
    plan: &BatchPlan,
    observer: BatchObserver<'_>,
    cancel: &CancellationToken,
) -> Result<Summary, Error> {
    let many = Batch::new(plan, observer, cancel, &Connection::http)?;
    let subjects = many.survey().await?;
    let rehearse =
        async |pipeline: Pipeline<'_>, found: Found, report: &mut Report| pipeline.dry_run(Some(found), report).await;
    let outcomes = many.each(subjects, rehearse).await;
    let capacities = many.capacities(&outcomes).await;
    Ok(Summary { outcomes, capacities })
}

struct Batch<'a> {
    plan: &'a BatchPlan,
    source: Connection,
    target: Connection,
    common: Common,
    observer: BatchObserver<'a>,
    context: CallContext<'a>,
}

impl<'a> Batch<'a> {
    fn new(
        plan: &'a BatchPlan,
        observer: BatchObserver<'a>,
        cancel: &'a CancellationToken,
        connect: Connect<'_>,
    ) -> Result<Self, Error> {
        let source = connect(&plan.options.source)?;
        let target = connect(&plan.options.target)?.beside(&source);
        let on_wait = move |error: &Error, wait| observer(BatchEvent::Waiting { error, wait });
        let context = CallContext::new(plan.options.timeout, cancel, on_wait);
        Ok(Self { plan, source, target, common: Common::default(), observer, context })
    }

    /// Asks the source for everything that is selected. What it does not have fails later, as a copy of its own; a
    /// pattern that picks nothing fails at once.
    async fn survey(&self) -> Result<Vec<Subject>, Error> {
        (self.observer)(BatchEvent::Listing);
        let (subjects, not_ready) = match &self.plan.selection {
            Selection::Ids(ids) => (self.look_at_each(ids).await, Vec::new()),
            selection @ Selection::Matching(_) => self.list(selection).await?,
        };
        (self.observer)(BatchEvent::Selected { count: subjects.len(), not_ready: &not_ready });
        Ok(subjects)
    }

    async fn look_at_each(&self, ids: &[ModelId]) -> Vec<Subject> {
        let look = async |model_id: &ModelId| {
            let plan = self.plan.plan_of(model_id.clone(), self.plan.kind);
            let found = self.with_pipeline(&plan, async |pipeline| pipeline.find().await).await;
            Subject { model_id: model_id.clone(), found }
        };
        futures_util::stream::iter(ids).map(look).buffered(READS_AT_A_TIME).collect().await
    }

    async fn list(&self, selection: &Selection) -> Result<(Vec<Subject>, Vec<ModelId>), Error> {
        let client = &self.source.client(self.context.clone());
        let scope = Scope { api_version: self.plan.options.api_version, kind: self.plan.kind };
        let inventory = Inventory::read(client, scope).await?;
        if inventory.unread > 0 {
            (self.observer)(BatchEvent::Unread { count: inventory.unread });
        }
        selection.check(&inventory.models(), "the source")?;
        let picked = inventory.listed.into_iter().filter(|listed| selection.picks(&listed.model));
        let (staging, picked): (Vec<_>, Vec<_>) = picked.partition(|listed| is_staging(&listed.model.id));
        if !staging.is_empty() {
            (self.observer)(BatchEvent::StagingLeftOut { count: staging.len() });
        }
        // A list of everything names the blank targets of copies and failed trainings as well.
        let (not_ready, ready): (Vec<_>, Vec<_>) =
            picked.into_iter().partition(|listed| listed.model.readiness.is_unusable());
        let complete = async |listed: Listed| {
            let (model_id, kind) = (listed.model.id.clone(), listed.model.kind);
            let found = inventory::complete(client, listed).await.map(|listed| self.found(listed));
            Subject {
                model_id,
                found: found.map_err(|error| error.with_message(format!("the source does not show the {kind}"))),
            }
        };
        let subjects = futures_util::stream::iter(ready).map(complete).buffered(READS_AT_A_TIME).collect().await;
        Ok((subjects, not_ready.into_iter().map(|listed| listed.model.id).collect()))
    }

    fn found(&self, Listed { version, model }: Listed) -> Found {
        let copied_with = self.plan.options.api_version.unwrap_or_else(|| version_of(version, &model));
        Found { version: copied_with, seen_with: version, kind: model.kind, model: Some(model) }
    }

    /// Does something for each of them, those that are parts of others first.
    async fn each(
        &self,
        subjects: Vec<Subject>,
        work: impl AsyncFn(Pipeline<'_>, Found, &mut Report) -> Result<Outcome, Error>,
    ) -> Vec<Report> {
        let mut queue = Queue::new(subjects);
        let mut under_way = FuturesUnordered::new();
        let mut outcomes = Vec::new();
        loop {
            while under_way.len() < self.room() {
                let Some((place, subject)) = queue.next(self.room_for_custom_models()) else { break };
                let work = &work;
                under_way.push(async move { (place, self.one(subject, work).await) });
            }
            // There may be more room before the next one has ended.
            let may_begin_more = !queue.is_empty() && under_way.len() < self.plan.jobs;
            let ended = tokio::select! {
                ended = under_way.next() => ended,
                () = sleep(LOOK_FOR_ROOM), if may_begin_more => continue,
            };
            let Some((place, outcome)) = ended else { return outcomes };
            queue.done(place);
            (self.observer)(BatchEvent::Ended(&outcome));
            outcomes.push(outcome);
        }
    }

    fn room(&self) -> usize {
        self.plan.jobs.min(self.source.room()).min(self.target.room()).max(1)
    }

    /// Models of v2.1 may have to wait for a minute each, and must not stand in the way of all others meanwhile.
    fn room_for_custom_models(&self) -> usize {
        if self.source.copies_by_the_minute() { 2 } else { (self.plan.jobs / 5).max(1) }
    }

    async fn one(
        &self,
        Subject { model_id, found }: Subject,
        work: &impl AsyncFn(Pipeline<'_>, Found, &mut Report) -> Result<Outcome, Error>,
    ) -> Report {
        let kind = found.as_ref().ok().map(|found| found.kind).or(self.plan.kind);
        let plan = self.plan.plan_of(model_id, kind);
        let mut report = Report::of(&plan);
        let result = match found {
            Ok(_) if self.context.cancel.is_cancelled() => {
                report.begun = false;
                Err(Error::new(ErrorKind::Interrupted, "interrupted before it was begun"))
            }
            Ok(_) if Instant::now() >= self.context.deadline => {
                Err(Error::new(ErrorKind::Unavailable, "the time was up before it was begun")
                    .with_remedy("run the command again with --if-exists skip, or give it more time with --timeout"))
            }
            Ok(found) => self.with_pipeline(&plan, async |pipeline| work(pipeline, found, &mut report).await).await,
            Err(error) => Err(error),
        };
        report.outcome(result)
    }

    async fn with_pipeline<T>(&self, plan: &Plan, work: impl AsyncFnOnce(Pipeline<'_>) -> T) -> T {
        let (model_id, kind) = (&plan.model_id, plan.kind.unwrap_or(Kind::Model));
        (self.observer)(BatchEvent::Begun { model_id, kind });
        let observer = |event: Event<'_>| (self.observer)(BatchEvent::OfCopy { model_id, kind, event });
        let context = self.context.telling(|error, wait| observer(Event::Waiting { error, wait }));
        let (source, target) = (self.source.client(context.clone()), self.target.client(context));
        let (source, target, common, cancel) = (&source, &target, &self.common, self.context.cancel);
        let output = work(Pipeline { plan, source, target, common, observer: &observer, cancel }).await;
        (self.observer)(BatchEvent::Left { model_id, kind });
        output
    }

    /// How much room the target has for what would be copied, of each format that would be.
    async fn capacities(&self, outcomes: &[Report]) -> Vec<(ApiVersion, Result<Capacity, Error>)> {
        let copied = |outcome: &&Report| matches!(outcome.result, Ok(Outcome::WouldCopy | Outcome::WouldReplace));
        let versions = outcomes.iter().filter(copied).filter_map(|outcome| outcome.api_version);
        let (custom, document): (Vec<_>, Vec<_>) = versions.partition(|version| !version.has_document_models());
        let client: Client<'_> = self.target.client(self.context.clone());
        let mut capacities = Vec::new();
        for version in [custom.into_iter().max(), document.into_iter().max()].into_iter().flatten() {
            capacities.push((version, inventory::capacity(&client, version).await));
        }
        capacities
    }
}

/// How often it is asked whether a resource is trusted with more copies than before.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(200);

/// Who is to come, in order: nobody before the parts that it is composed of.
struct Queue {
    waiting: VecDeque<(usize, Subject)>,
    /// Who is not done yet, whether waiting or under way, by place.
    undone: Vec<Option<Undone>>,
}

/// What others must know of somebody who is not done yet.
struct Undone {
    part: Component,
    is_custom_model: bool,
}

impl Queue {
    fn new(subjects: Vec<Subject>) -> Self {
        let undone = |subject: &Subject| {
            let kind = subject.found.as_ref().map_or(Kind::Model, |found| found.kind);
            let part = Component { kind, id: subject.model_id.clone() };
            Some(Undone { part, is_custom_model: subject.is_custom_model() })
        };
        let undone = subjects.iter().map(undone).collect();
        Self { waiting: subjects.into_iter().enumerate().collect(), undone }
    }

    /// The next one that need not wait for a part of it.
    fn next(&mut self, room_for_custom_models: usize) -> Option<(usize, Subject)> {
        let is_full = self.custom_models_under_way() >= room_for_custom_models;
        let is_free = |(place, subject): &(usize, Subject)| {
            let parts =
                subject.found.iter().filter_map(|found| found.model.as_ref()).flat_map(|model| &model.components);
            let others = || self.undone.iter().enumerate().filter(|(other, _)| other != place);
            let is_undone =
                |part: &Component| others().any(|(_, other)| other.as_ref().is_some_and(|one| one.part == *part));
            let waits = parts.into_iter().any(is_undone);
            let is_one_too_many = is_full && subject.is_custom_model();
            !waits && !is_one_too_many
        };
        let all_wait = self.waiting.len() == self.undone.iter().flatten().count();
        match self.waiting.iter().position(is_free) {
            Some(at) => self.waiting.remove(at),
            // Nobody is under way, and all wait for one another.
            None if all_wait => self.waiting.pop_front(),
            None => None,
        }
    }

    fn custom_models_under_way(&self) -> usize {
        let undone = self.undone.iter().flatten().filter(|one| one.is_custom_model).count();
        undone - self.waiting.iter().filter(|(_, subject)| subject.is_custom_model()).count()
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn done(&mut self, place: usize) {
        if let Some(done) = self.undone.get_mut(place) {
            *done = None;
        }
    }
}
