//! Many copies from a source to one target, in parallel as far as the service's limits allow.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, timeout};

use super::active_targets::ActiveTargets;
use super::batch_event::{BatchEvent, BatchObserver};
use super::batch_queue::{Candidate, Queue};
use super::context::{Context, Job, LostAuthorizations, Shared};
use super::event::Event;
use super::plan::{CopyOptions, Plan, classifiers_need_newer, is_staging};
use super::preflight::{SourceModel, version_of};
use super::report::{Done, Outcome, Report};
use super::run::recorder;
use super::target_list::TargetList;
use crate::api::Capacity;
use crate::api::version::ApiVersion;
use crate::client::{CallContext, Client, Connection};
use crate::error::{Error, ErrorKind};
use crate::id_template::IdTemplate;
use crate::inventory::{self, Inventory, Listed, PARALLEL_READS, Scope};
use crate::label::Label;
use crate::model::{Kind, ModelId};
use crate::selection::Selection;

/// How often the rate limiter is asked whether more copies can run.
const ROOM_INTERVAL: Duration = Duration::from_millis(200);

/// How long the target is asked for its limits before the first copy.
const ROOM_TIMEOUT: Duration = Duration::from_secs(3);

/// Many copies.
#[derive(Debug, Clone)]
pub(crate) struct BatchPlan {
    /// The two resources and the options.
    pub options: Rc<CopyOptions>,
    /// Which models.
    pub selection: Selection,
    /// Models or classifiers only; `None` means both.
    pub kind: Option<Kind>,
    /// Makes the ids of the copies (v3.0 and later); `None` keeps those of the sources.
    pub template: Option<IdTemplate>,
    /// The id of the copy (v3.0 and later), where one model is selected; `None` keeps the source's.
    pub target_model_id: Option<ModelId>,
    /// How many copies run at the same time, at most.
    pub jobs: usize,
}

impl BatchPlan {
    /// Refuses what is impossible before any request is sent.
    ///
    /// # Errors
    /// When one of the copies cannot be made with the given version, whatever the source has.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let options = &self.options;
        if let (Some(version), Some(kind)) = (options.api_version, self.kind)
            && !version.wire().copies(kind)
        {
            return Err(classifiers_need_newer(version));
        }
        if self.kind == Some(Kind::Classifier) {
            options.refuse_for_classifiers()?;
        }
        match &self.selection {
            Selection::Ids(ids) => ids.iter().try_for_each(|id| {
                let target_model_id = self.target_model_id(id, options.api_version)?;
                Plan { target_model_id, ..self.plan_of(id.clone(), self.kind) }.check()
            }),
            Selection::Matching(_) => self.check_all(),
        }
    }

    /// Refuses what is impossible for every model of the source.
    fn check_all(&self) -> Result<(), Error> {
        let options = &self.options;
        match options.api_version.filter(|version| version.wire().service_names_the_copy()) {
            Some(version) => options.address_for_copies_named_by_service(version).map(drop),
            None if self.template.is_none() && options.source.endpoint == options.target.endpoint => {
                Err(Error::settings(
                    "source and target are the same resource",
                    "choose another target endpoint, or other ids for the copies with --target-model-id '{id}-copy'",
                ))
            }
            None => Ok(()),
        }
    }

    /// The id of a copy, if it is given or the template makes it. Where the service names the copies, it does not.
    fn target_model_id(&self, id: &ModelId, version: Option<ApiVersion>) -> Result<Option<ModelId>, Error> {
        if let Some(copy) = &self.target_model_id {
            return Ok(Some(copy.clone()));
        }
        let is_named_by_service = version.is_some_and(|version| version.wire().service_names_the_copy());
        let Some(template) = self.template.as_ref().filter(|_| !is_named_by_service) else { return Ok(None) };
        let copy = template.apply(id)?;
        if is_staging(&copy) {
            return Err(Error::settings(
                format!("--target-model-id makes {copy} of {id}, which is the id of a staging copy"),
                "choose another template",
            ));
        }
        Ok(Some(copy))
    }

    pub(super) fn plan_of(&self, model_id: ModelId, kind: Option<Kind>) -> Plan {
        let mut options = Rc::clone(&self.options);
        if kind == Some(Kind::Classifier) && options.refuse_for_classifiers().is_err() {
            let of_classifiers = Rc::make_mut(&mut options);
            (of_classifiers.description, of_classifiers.tags) = (None, None);
        }
        Plan { options, model_id, kind, target_model_id: None }
    }
}

/// The result of a batch.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// The report of every copy, in the order in which they ended.
    pub reports: Vec<Report>,
    /// Room on the target, of each group of versions that share models; only in a dry run.
    pub capacities: Vec<(ApiVersion, Result<Capacity, Error>)>,
}

/// The error of a selection that is empty. An empty source must not look like a backup that is complete.
fn nothing_selected(source: &Label, left_out: [(usize, &str); 3]) -> Error {
    let left_out = left_out.iter().filter(|(count, _)| *count > 0);
    let left_out: Vec<_> = left_out.map(|(count, what)| format!("{what} ({count})")).collect();
    let reason = match left_out.as_slice() {
        [] => format!("{source} has no such custom models and classifiers"),
        some => format!("{source} has only {}", some.join(" and ")),
    };
    Error::new(ErrorKind::NotFound, "nothing is selected").with_source(reason).with_remedy(format!(
        "check that {} is the resource that has the models, and the options that select them",
        source.endpoint()
    ))
}

/// Leaves out what is named twice: a v2.1 id is the same in upper and lower case.
fn each_once(candidates: impl Iterator<Item = Candidate>) -> Vec<Candidate> {
    let key = |one: &Candidate| {
        let found = one.found.as_ref().ok()?;
        found.version.wire().service_names_the_copy().then(|| found.id.as_str().to_ascii_lowercase())
    };
    let mut seen = BTreeSet::new();
    candidates.filter(|one| key(one).is_none_or(|key| seen.insert(key))).collect()
}

/// The copies to one target.
pub(super) struct Batch<'a> {
    pub(super) plan: &'a BatchPlan,
    source: Connection,
    pub(super) target: Connection,
    pub(super) shared: Shared,
    pub(super) observer: BatchObserver<'a>,
    context: CallContext<'a>,
    active: ActiveTargets,
    /// Whether it was reported that the rest is not tried.
    pub(super) is_given_up_reported: Cell<bool>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        plan: &'a BatchPlan,
        observer: BatchObserver<'a>,
        context: &CallContext<'a>,
        (source, target): (Connection, Connection),
        active: ActiveTargets,
    ) -> Self {
        let on_retry = move |error: &Error, wait| observer(BatchEvent::Retrying { error, wait });
        let context = context.with_on_retry(on_retry);
        let (shared, is_given_up_reported) = (Shared::default(), Cell::default());
        Self { plan, source, target, shared, observer, context, active, is_given_up_reported }
    }

    /// Reads everything that is selected. An id that the source does not have fails later, as a copy of its own; a pattern
    /// that selects nothing fails at once.
    pub(super) async fn find_candidates(&self) -> Result<Vec<Candidate>, Error> {
        (self.observer)(BatchEvent::Listing);
        let (candidates, not_ready) = match &self.plan.selection {
            Selection::Ids(ids) => (self.find_each(ids).await, Vec::new()),
            selection @ Selection::Matching(_) => self.list(selection).await?,
        };
        let candidates = candidates.into_iter().map(|one| self.named(one)).collect::<Result<Vec<_>, _>>()?;
        self.check_classifiers(&candidates)?;
        let with = |is: &dyn Fn(ApiVersion) -> bool| {
            candidates.iter().filter(|one| one.found.as_ref().is_ok_and(|found| is(found.version))).count()
        };
        let named_by_service = with(&|version| version.wire().service_names_the_copy());
        if self.plan.template.is_some() && named_by_service > 0 {
            (self.observer)(BatchEvent::TemplateNotUsed { count: named_by_service });
        }
        let by_the_minute = with(&|version| version.wire().limits_starts_per_minute());
        (self.observer)(BatchEvent::Selected { count: candidates.len(), by_the_minute, not_ready: &not_ready });
        Ok(candidates)
    }

    /// Sets the id of the copy. An id that cannot be made ends the command before anything is sent to the target.
    fn named(&self, candidate: Candidate) -> Result<Candidate, Error> {
        let Ok(found) = &candidate.found else { return Ok(candidate) };
        let target_model_id = self.plan.target_model_id(&found.id, Some(found.version))?;
        Ok(Candidate { target_model_id, ..candidate })
    }

    /// Refuses a description and tags if only classifiers are selected; else says that they apply to models only.
    fn check_classifiers(&self, candidates: &[Candidate]) -> Result<(), Error> {
        let refused = self.plan.options.refuse_for_classifiers();
        let is_classifier = |one: &&Candidate| one.found.as_ref().is_ok_and(|found| found.kind == Kind::Classifier);
        match candidates.iter().filter(is_classifier).count() {
            0 => Ok(()),
            classifiers if classifiers == candidates.len() => refused,
            classifiers => {
                if refused.is_err() {
                    (self.observer)(BatchEvent::ForModelsOnly { classifiers });
                }
                Ok(())
            }
        }
    }

    /// Reads each model by its id. The first one is read alone: if the source cannot be reached or refuses the credentials,
    /// the others are not tried.
    async fn find_each(&self, ids: &[ModelId]) -> Vec<Candidate> {
        let [first, others @ ..] = ids else { return Vec::new() };
        let report_retries = |event: &Event<'_>| {
            if let Event::Retrying { error, wait } = event {
                (self.observer)(BatchEvent::Retrying { error, wait: *wait });
            }
        };
        let first = Candidate::new(first.clone(), self.find(first, &report_retries).await);
        if let Err(error) = &first.found
            && (error.kind() == ErrorKind::Credentials
                || (error.kind() == ErrorKind::Unavailable && error.service().is_none()))
        {
            (self.observer)(BatchEvent::SourceGivenUp(error));
            return ids.iter().map(|id| Candidate::not_tried(id.clone(), error.duplicate())).collect();
        }
        let find = async |id: &ModelId| Candidate::new(id.clone(), self.find(id, &|_| {}).await);
        let others: Vec<_> = futures_util::stream::iter(others).map(find).buffered(PARALLEL_READS).collect().await;
        each_once(std::iter::once(first).chain(others))
    }

    async fn find(&self, model_id: &ModelId, record: &dyn Fn(&Event<'_>)) -> Result<SourceModel, Error> {
        let plan = self.plan.plan_of(model_id.clone(), self.plan.kind);
        self.with_job(&plan, record, async |job| job.find().await).await
    }

    async fn list(&self, selection: &Selection) -> Result<(Vec<Candidate>, Vec<ModelId>), Error> {
        let client = &self.source.client(self.context.clone());
        let inventory = Inventory::read(client, self.scope()).await?;
        if inventory.unreadable > 0 {
            (self.observer)(BatchEvent::Unreadable { count: inventory.unreadable });
        }
        let source = client.label();
        inventory.check_selection(selection, &source.to_string())?;
        let selected = inventory.listed.into_iter().filter(|listed| selection.picks(&listed.model));
        let (staging, selected): (Vec<_>, Vec<_>) = selected.partition(|listed| is_staging(&listed.model.id));
        if !staging.is_empty() {
            (self.observer)(BatchEvent::StagingLeftOut { count: staging.len() });
        }
        let (results, selected): (Vec<_>, Vec<_>) = selected.into_iter().partition(|listed| self.is_result(listed));
        let results: Vec<_> = results.into_iter().map(|listed| listed.model.id).collect();
        if !results.is_empty() {
            (self.observer)(BatchEvent::ResultsLeftOut { ids: &results });
        }
        // A list of all models also has the blank targets of copies, and failed trainings.
        let (not_ready, ready): (Vec<_>, Vec<_>) =
            selected.into_iter().partition(|listed| listed.model.readiness.is_unusable());
        if ready.is_empty() && inventory.unreadable == 0 {
            return Err(nothing_selected(
                source,
                [
                    (not_ready.len(), "models that are not ready"),
                    (staging.len(), "staging copies"),
                    (results.len(), "models whose ids have the form of --target-model-id"),
                ],
            ));
        }
        let complete = async |listed: Listed| {
            let (model_id, kind) = (listed.model.id.clone(), listed.model.kind);
            let found = inventory::complete(client, listed).await.map(|listed| self.found(listed));
            let found = found.map_err(|error| error.with_message(format!("{source} does not show the {kind}")));
            Candidate::new(model_id, found)
        };
        let candidates = futures_util::stream::iter(ready).map(complete).buffered(PARALLEL_READS).collect().await;
        Ok((candidates, not_ready.into_iter().map(|listed| listed.model.id).collect()))
    }

    /// Whether an earlier copy with the same template has made it.
    fn is_result(&self, Listed { version, model }: &Listed) -> bool {
        let template = self.plan.template.as_ref().filter(|_| !version.wire().service_names_the_copy());
        template.is_some_and(|template| template.is_result(&model.id))
    }

    fn scope(&self) -> Scope {
        Scope { api_version: self.plan.options.api_version, kind: self.plan.kind }
    }

    /// Reads the target's lists, unless ids are named. Without them, each id is read.
    pub(super) async fn read_target_list(&self) {
        if matches!(self.plan.selection, Selection::Matching(_))
            && let Some(list) = TargetList::read(&self.target, &self.context, self.scope()).await
        {
            // It is set once.
            let _ = self.shared.target_list.set(list);
        }
    }

    fn found(&self, Listed { version: shown_by, model }: Listed) -> SourceModel {
        let version = self.plan.options.api_version.unwrap_or_else(|| version_of(shown_by, &model));
        SourceModel { id: model.id.clone(), kind: model.kind, version, shown_by, model: Some(model) }
    }

    /// Runs the work for each candidate, components before the models that are composed of them.
    pub(super) async fn run_all(
        &self,
        candidates: Vec<Candidate>,
        work: impl AsyncFn(Job<'_>, SourceModel) -> Result<Done, Error>,
    ) -> Vec<Report> {
        let mut queue = Queue::new(candidates);
        let mut running = FuturesUnordered::new();
        let mut reports = Vec::new();
        loop {
            while running.len() < self.room() {
                let Some((position, candidate)) = queue.next(self.room_for_starts_per_minute()) else { break };
                let work = &work;
                running.push(async move { (position, self.run_one(candidate, work).await) });
            }
            let ended = tokio::select! {
                ended = running.next() => ended,
                // There may be more room before the next copy ends.
                () = sleep(ROOM_INTERVAL) => {
                    reports.extend(self.give_up_if_useless(&mut queue, &reports));
                    continue;
                }
            };
            let Some((position, report)) = ended else { return reports };
            queue.done(position);
            self.end(&report);
            reports.push(report);
            reports.extend(self.give_up_if_useless(&mut queue, &reports));
        }
    }

    fn room(&self) -> usize {
        self.active.share_of(self.plan.jobs.min(self.source.room())).min(self.target.room()).max(1)
    }

    /// Copies that wait for a limit per minute must not block all others.
    fn room_for_starts_per_minute(&self) -> usize {
        if self.source.copies_by_the_minute() { 2 } else { (self.plan.jobs / 5).max(1) }
    }

    /// The copy of one candidate.
    pub(super) fn plan_for(&self, candidate: &Candidate) -> Plan {
        let Candidate { model_id, found, target_model_id, .. } = candidate;
        let kind = found.as_ref().ok().map(|found| found.kind).or(self.plan.kind);
        Plan { target_model_id: target_model_id.clone(), ..self.plan.plan_of(model_id.clone(), kind) }
    }

    async fn run_one(
        &self,
        candidate: Candidate,
        work: &impl AsyncFn(Job<'_>, SourceModel) -> Result<Done, Error>,
    ) -> Report {
        let plan = self.plan_for(&candidate);
        let mut recorder = recorder(&plan).with(|report| report.begun = candidate.is_begun);
        let result = match candidate.found {
            Ok(_) if self.context.cancel.is_cancelled() => {
                recorder = recorder.with(|report| report.begun = false);
                Err(Error::interrupted("interrupted before it was begun"))
            }
            Ok(_) if Instant::now() >= self.context.deadline => {
                Err(Error::new(ErrorKind::Unavailable, "the deadline passed before it was begun")
                    .with_remedy("run the command again with --if-exists skip, or with a longer --timeout"))
            }
            Ok(found) => {
                let record = |event: &Event<'_>| recorder.record(event);
                self.with_job(&plan, &record, async |job| work(job, found).await).await
            }
            Err(error) => Err(error),
        };
        recorder.finish(result)
    }

    async fn with_job<T>(&self, plan: &Plan, record: &dyn Fn(&Event<'_>), work: impl AsyncFnOnce(Job<'_>) -> T) -> T {
        let (model_id, kind) = (&plan.model_id, plan.kind.unwrap_or(Kind::Model));
        (self.observer)(BatchEvent::Begun { model_id, kind });
        let observer = |event: Event<'_>| {
            record(&event);
            (self.observer)(BatchEvent::OfCopy { model_id, kind, event });
        };
        let context = self.context.with_on_retry(|error, wait| observer(Event::Retrying { error, wait }));
        let (source, target) = (&self.source.client(context.clone()), &self.target.client(context));
        let (options, journal) = (plan.options.step_options(), &*plan.options.journal);
        let cx = Context { source, target: Some(target), options, observer: &observer, journal };
        let output = work(Job { plan, target, shared: &self.shared, lost: LostAuthorizations::default(), cx }).await;
        (self.observer)(BatchEvent::Left { model_id, kind });
        output
    }

    /// Warns before the first authorization if the target may have too little room. The service decides: models that are
    /// there already need none.
    pub(super) async fn check_room(&self, candidates: &[Candidate]) {
        let found = candidates.iter().filter_map(|one| one.found.as_ref().ok());
        let versions: Vec<_> = found.filter(|found| found.kind == Kind::Model).map(|found| found.version).collect();
        let target = self.target.client(self.context.clone());
        for group in ApiVersion::groups() {
            let of_group = || versions.iter().copied().filter(|version| group.contains(version));
            let (Some(version), selected) = (of_group().max(), of_group().count() as u64) else { continue };
            // A target that does not answer must not hold up the copies, which report it.
            let read = timeout(ROOM_TIMEOUT, inventory::capacity(&target, version)).await;
            let Ok(Ok(capacity)) = read else { continue };
            let room = capacity.room();
            if room < selected {
                (self.observer)(BatchEvent::MayNotFit { version, room, selected });
            }
        }
    }

    /// How much room the target has for what would be copied, of each group of versions that share models.
    pub(super) async fn capacities(&self, reports: &[Report]) -> Vec<(ApiVersion, Result<Capacity, Error>)> {
        let is_copied = |report: &&Report| matches!(report.result, Ok(Outcome::WouldCopy | Outcome::WouldReplace));
        let versions: Vec<_> = reports.iter().filter(is_copied).filter_map(|report| report.api_version).collect();
        let client: Client<'_> = self.target.client(self.context.clone());
        let mut capacities = Vec::new();
        for group in ApiVersion::groups() {
            if let Some(version) = versions.iter().copied().filter(|version| group.contains(version)).max() {
                capacities.push((version, inventory::capacity(&client, version).await));
            }
        }
        capacities
    }
}
