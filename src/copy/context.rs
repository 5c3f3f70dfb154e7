//! What every step of a copy needs.

use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use super::event::{Event, Observer};
use super::plan::{Plan, StepOptions};
use crate::api::version::ApiVersion;
use crate::client::Client;
use crate::error::Error;
use crate::inventory::Inventory;

/// How many authorizations may be unused at the same time: each one is an id that a crash leaves reserved. As many as
/// keep a distant resource busy with five starts a second.
const MAX_UNUSED_AUTHORIZATIONS: usize = 4;
/// How many of them one copy takes on a slow resource, so that only two are unused.
const SLOTS_ON_A_SLOW_RESOURCE: u32 = 2;

/// What the steps after the authorize request need: start, poll and settle.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) source: &'a Client<'a>,
    /// None where the target belongs to another party, or its credential was not given.
    pub(super) target: Option<&'a Client<'a>>,
    pub(super) options: StepOptions,
    pub(super) observer: Observer<'a>,
}

impl Context<'_> {
    pub(super) fn emit(&self, event: Event<'_>) {
        (self.observer)(event);
    }

    /// Reports an inconclusive read.
    pub(super) fn emit_inconclusive(&self, error: &Error) {
        self.emit(Event::Inconclusive { error });
    }
}

/// One copy whose two sides can both be read and written.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) plan: &'a Plan,
    pub(super) target: &'a Client<'a>,
    pub(super) shared: &'a Shared,
    pub(super) cx: Context<'a>,
}

/// What all copies between the same two resources share.
pub(super) struct Shared {
    /// The models of the target whose ids the service chose (v2.1), read once.
    pub(super) named_by_service: OnceCell<Inventory>,
    slots: Semaphore,
    /// For versions with a limit of starts per minute: one unused authorization at a time.
    slots_per_minute: Semaphore,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            named_by_service: OnceCell::new(),
            slots: Semaphore::new(MAX_UNUSED_AUTHORIZATIONS),
            slots_per_minute: Semaphore::new(1),
        }
    }
}

impl Shared {
    /// Waits until one more authorization may be unused. The permit is held until the start request has its answer.
    pub(super) async fn slot(&self, version: ApiVersion, target: &Client<'_>) -> Option<SemaphorePermit<'_>> {
        // The semaphores are never closed.
        if version.wire().limits_starts_per_minute() {
            return self.slots_per_minute.acquire().await.ok();
        }
        // After cancellation there are only a few seconds to release what is reserved.
        let slots = if target.is_slow() { SLOTS_ON_A_SLOW_RESOURCE } else { 1 };
        self.slots.acquire_many(slots).await.ok()
    }
}
