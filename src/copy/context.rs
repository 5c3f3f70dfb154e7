//! What every step of a copy needs.

use std::cell::Cell;
use std::rc::Rc;

use jiff::Timestamp;
use tokio::sync::{Mutex, OnceCell, Semaphore, SemaphorePermit, SetOnce};
use tokio::time::Instant;

use super::event::{Event, Observer};
use super::journal::Journal;
use super::plan::{Plan, StepOptions};
use super::running::list_running;
use super::target_list::TargetList;
use crate::api::version::ApiVersion;
use crate::api::{ListedCopy, Quota};
use crate::client::Client;
use crate::error::Error;
use crate::inventory::Inventory;
use crate::model::ModelId;

/// How many authorizations may be unused at the same time at first: each one is an id that a crash leaves reserved.
const UNUSED_AUTHORIZATIONS: usize = 4;
/// The same for the fastest resources. In the seconds after cancellation so many can be released.
const MAX_UNUSED_AUTHORIZATIONS: usize = 64;
/// How many authorizations are unused at the same time on a slow resource.
const UNUSED_ON_A_SLOW_RESOURCE: usize = 2;

/// What the steps after the authorize request need: start, poll and settle.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) source: &'a Client<'a>,
    /// None where the target belongs to another party, or its credential was not given.
    pub(super) target: Option<&'a Client<'a>>,
    pub(super) options: StepOptions,
    pub(super) observer: Observer<'a>,
    pub(super) journal: &'a dyn Journal,
}

impl Context<'_> {
    pub(super) fn emit(&self, event: Event<'_>) {
        (self.observer)(event);
    }

    /// Reports that the copy waits for its turn.
    pub(super) fn emit_waiting(&self, version: ApiVersion) {
        let is_limited = version.wire().limits_starts_per_minute();
        let next = is_limited.then(|| self.source.rate_limiter().earliest(Quota::CustomModelCopy));
        self.emit(Event::Waiting { version, until: next.filter(|next| *next > Instant::now()) });
    }

    /// Reports an inconclusive read, unless the command was cancelled during it.
    pub(super) fn emit_inconclusive(&self, error: &Error) {
        if !error.is_interrupted() {
            self.emit(Event::Inconclusive { error });
        }
    }
}

/// One copy whose two sides can both be read and written.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) plan: &'a Plan,
    pub(super) target: &'a Client<'a>,
    pub(super) shared: &'a Shared,
    pub(super) lost: LostAuthorizations,
    pub(super) cx: Context<'a>,
}

/// Until when authorizations of an earlier run, which are lost, may reserve the ids that this copy uses, by the target's
/// clock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LostAuthorizations {
    /// The target id.
    pub(super) copy: Option<Timestamp>,
    /// The id of its staging copy.
    pub(super) staging_copy: Option<Timestamp>,
}

impl Job<'_> {
    /// Until when a lost authorization of an earlier run may reserve an id, by the target's clock.
    pub(super) fn reserved_until(&self, id: Option<&ModelId>) -> Option<Timestamp> {
        if id == Some(self.plan.new_model_id()) { self.lost.copy } else { self.lost.staging_copy }
    }

    /// Reads or waits before anything is reserved, but only until the batch gives the target up.
    ///
    /// # Errors
    /// That of the work, or why the copy is not tried.
    pub(super) async fn until_given_up<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            error = self.shared.given_up.wait() => {
                self.cx.emit(Event::NotTried);
                Err(error.duplicate())
            }
            result = work => result,
        }
    }
}

/// The models of the target whose ids the service chose (v2.1).
pub(super) struct NamedByService {
    pub(super) inventory: Inventory,
    /// How many of them were blank and recent when they were read.
    pub(super) recent_blanks: usize,
}

/// What all copies between the same two resources share.
pub(super) struct Shared {
    /// The models of the target whose ids the service chose (v2.1), read once.
    pub(super) named_by_service: OnceCell<NamedByService>,
    /// The same after a wait for blank models, where there were any.
    pub(super) after_blank_models: OnceCell<Option<NamedByService>>,
    /// The ids that the source lists, read once if a model is not found.
    pub(super) source_ids: OnceCell<Vec<ModelId>>,
    /// What the target's lists show, where a batch has read them.
    pub(super) target_list: OnceCell<TargetList>,
    /// The copies that the source lists as running, of each version that was asked, read once. Only a dry run needs them.
    running_copies: Mutex<Vec<(ApiVersion, Rc<[ListedCopy]>)>>,
    /// For each version that was asked: the answer of a target that does not offer it. Only a dry run needs them.
    pub(super) refused_versions: Mutex<Vec<(ApiVersion, Option<Error>)>>,
    /// Why nothing more is tried on the target. What has reserved an id goes on.
    pub(super) given_up: SetOnce<Error>,
    slots: Semaphore,
    /// How many slots there are, whether taken or not.
    slot_count: Cell<usize>,
    /// For versions with a limit of starts per minute: one unused authorization at a time.
    slots_per_minute: Semaphore,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            named_by_service: OnceCell::new(),
            after_blank_models: OnceCell::new(),
            source_ids: OnceCell::new(),
            target_list: OnceCell::new(),
            running_copies: Mutex::default(),
            refused_versions: Mutex::default(),
            given_up: SetOnce::new(),
            slots: Semaphore::new(UNUSED_AUTHORIZATIONS),
            slot_count: Cell::new(UNUSED_AUTHORIZATIONS),
            slots_per_minute: Semaphore::new(1),
        }
    }
}

impl Shared {
    /// Waits until one more authorization may be unused. The permit is held until the start request has its answer.
    pub(super) async fn slot(
        &self,
        version: ApiVersion,
        source: &Client<'_>,
        target: &Client<'_>,
    ) -> Option<SemaphorePermit<'_>> {
        // The semaphores are never closed.
        if version.wire().limits_starts_per_minute() {
            return self.slots_per_minute.acquire().await.ok();
        }
        let (source, target) = (source.rate_limiter(), target.rate_limiter());
        let count = self.grow(source.management_per_second().min(target.management_per_second()));
        // After cancellation there are only a few seconds to release what is reserved.
        let slots = if target.is_slow() { count / UNUSED_ON_A_SLOW_RESOURCE } else { 1 };
        self.slots.acquire_many(u32::try_from(slots).unwrap_or(1)).await.ok()
    }

    /// The copies that the source lists as running. Where it cannot be asked, none is known.
    pub(super) async fn running_copies(&self, cx: &Context<'_>, version: ApiVersion) -> Rc<[ListedCopy]> {
        let mut known = self.running_copies.lock().await;
        if let Some((_, copies)) = known.iter().find(|(of, _)| *of == version) {
            return Rc::clone(copies);
        }
        let (copies, error) = list_running(cx.source, version).await;
        if let Some(error) = error {
            cx.emit_inconclusive(&error);
        }
        let copies: Rc<[ListedCopy]> = copies.into();
        known.push((version, Rc::clone(&copies)));
        copies
    }

    /// As many authorizations may be unused as are started in a second, so that also a distant resource is kept busy.
    fn grow(&self, per_second: usize) -> usize {
        let count = self.slot_count.get();
        let wanted = per_second.min(MAX_UNUSED_AUTHORIZATIONS);
        self.slots.add_permits(wanted.saturating_sub(count));
        self.slot_count.set(count.max(wanted));
        self.slot_count.get()
    }
}
