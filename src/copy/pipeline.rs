//! The course of one copy, and what becomes of the reserved id when it does not end well.

use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use super::authorize::{Reserving, Wanted};
use super::poll::{Pursuit, has_ended};
use super::preflight::{Found, Look, TargetId, is_inconclusive};
use super::release::Released;
use super::replace::Replacement;
use super::start::{Started, Starting, is_ambiguous, may_begin};
use super::{CopyOptions, Event, Observer, Outcome, Plan, Report};
use crate::api::Protocol;
use crate::api::version::ApiVersion;
use crate::authorization::CopyAuthorization;
use crate::client::Client;
use crate::error::Error;
use crate::inventory::{self, Inventory};
use crate::model::{Kind, ModelId};
use crate::operation::OperationUrl;
use tokio_util::sync::CancellationToken;

/// How often a copy is begun at most, each time with a fresh authorization.
const MOST_STARTS: u32 = 3;

/// The two sides of a copy, and what it is to do.
#[derive(Clone, Copy)]
pub(super) struct Pipeline<'a> {
    pub(super) plan: &'a Plan,
    pub(super) source: &'a Client<'a>,
    pub(super) target: &'a Client<'a>,
    pub(super) common: &'a Common,
    pub(super) observer: Observer<'a>,
    pub(super) cancel: &'a CancellationToken,
}

/// What copies between the same two resources have in common.
pub(super) struct Common {
    /// The v2.1 models that the target has, read once.
    pub(super) custom_copies: OnceCell<Inventory>,
    /// Who holds an authorization that is not used yet: few at a time, for each one is an id that may be left behind.
    starting: Semaphore,
    /// In v2.1, where the next start may be a minute away, one at a time.
    starting_custom_models: Semaphore,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            custom_copies: OnceCell::new(),
            starting: Semaphore::new(MOST_UNUSED_AUTHORIZATIONS),
            starting_custom_models: Semaphore::new(1),
        }
    }
}

/// As many as keep a distant resource busy with five starts a second.
const MOST_UNUSED_AUTHORIZATIONS: usize = 4;
/// So that two of them find room.
const PLACES_ON_A_SLOW_RESOURCE: u32 = 2;

/// What is to be done, now that both sides have been looked at.
pub(super) enum Action {
    /// Copy to the target id.
    Copy(Box<Look>),
    /// The target has a copy of the same training, under this id.
    AlreadyThere(ModelId),
    /// Put a new copy in the place of something else.
    Replace(Box<Replacement>),
}

impl Pipeline<'_> {
    /// Looks, decides and does it. What the source has may be known already.
    pub(super) async fn run(&self, found: Option<Found>, report: &mut Report) -> Result<Outcome, Error> {
        match self.prepare(found, report).await? {
            Action::Copy(look) => self.copy(&look, report).await.map(|()| Outcome::Copied),
            Action::Replace(replacement) => self.replace(&replacement, report).await,
            Action::AlreadyThere(id) => {
                report.target_model_id = Some(id);
                report.verified = true;
                Ok(Outcome::AlreadyThere)
            }
        }
    }

    /// Looks and decides, by reads only.
    pub(super) async fn dry_run(&self, found: Option<Found>, report: &mut Report) -> Result<Outcome, Error> {
        let course = self.prepare(found, report).await?;
        report.target_model_id = match &course {
            Action::AlreadyThere(id) => Some(id.clone()),
            Action::Copy(look) if !look.found.version.has_document_models() => None,
            Action::Copy(_) | Action::Replace(_) => Some(self.plan.new_model_id().clone()),
        };
        Ok(match course {
            Action::AlreadyThere(_) => Outcome::AlreadyThere,
            Action::Copy(_) => Outcome::WouldCopy,
            Action::Replace(replacement) if replacement.only_clears() => Outcome::AlreadyThere,
            Action::Replace(_) => Outcome::WouldReplace,
        })
    }

    /// Whether the target has room for the copy, or in a replacement for the staging copy.
    pub(super) async fn look_for_room(&self, success: Outcome, report: &Report) -> Result<(), Error> {
        let is_new = matches!(success, Outcome::WouldCopy | Outcome::WouldReplace);
        let Some(version) = report.api_version.filter(|_| is_new && report.kind == Kind::Model) else { return Ok(()) };
        match inventory::capacity(self.target, version).await {
            Ok(capacity) => {
                (self.observer)(Event::Room(capacity));
                inventory::shortage(capacity, 1).map_or(Ok(()), Err)
            }
            Err(error) if is_inconclusive(&error) => {
                (self.observer)(Event::Inconclusive { error: &error });
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn prepare(&self, found: Option<Found>, report: &mut Report) -> Result<Action, Error> {
        (self.observer)(Event::Looking);
        let look = match found {
            Some(found) => self.look_at_target_of(found).await?,
            None => self.look().await?,
        };
        let Found { version, kind, model, .. } = &look.found;
        report.api_version = Some(*version);
        report.kind = *kind;
        report.source_name = model.as_ref().and_then(|model| model.name.clone());
        (self.observer)(Event::Found { version: *version, model: model.as_ref() });
        // The version may have been found only now, and what it cannot do is refused before anything is reserved.
        self.plan.protocol(*version, *kind, model.as_ref())?;
        self.decide(look).await
    }

    pub(super) fn options(&self) -> &CopyOptions {
        &self.plan.options
    }

    /// From the look to the verdict: authorize, start, follow, verify, or give back.
    pub(super) async fn copy(&self, look: &Look, report: &mut Report) -> Result<(), Error> {
        let Found { version, kind, ref model, .. } = look.found;
        let protocol = self.plan.protocol(version, kind, model.as_ref())?;
        let mut starts = 0;
        loop {
            starts += 1;
            let few = self.source.interruptible(self.may_hold_authorization(version)).await?;
            // v2.1 takes a copy a minute: what has no time to be started must not be authorized.
            self.may_begin()?;
            self.source.has_turn_in_time(&protocol.starting(&self.plan.model_id))?;
            let authorization = match self.authorize(&*protocol, look, report).await {
                Ok(authorization) => authorization,
                Err(error) => {
                    // Following somebody else's copy must not hold up those that are to be started.
                    drop(few);
                    return self.adopt_or(error, look, report).await;
                }
            };
            let started = self.starting(look).start(&*protocol, &self.plan.model_id, &authorization, report).await;
            drop(few);
            let (error, was_lost) = match started {
                Ok(Started::Follow(operation)) => {
                    return self.see_through(look, &operation, &authorization, report).await;
                }
                Ok(Started::Done) => {
                    report.verified = true;
                    return Ok(());
                }
                Ok(Started::Nothing(error)) => (error, true),
                // Nobody knows what came of it: what is reserved may be in use.
                Err(error) if is_ambiguous(&error) => return Err(error),
                Err(error) => (error, false),
            };
            let given_back = self.release(look, &authorization.target_model_id).await;
            if was_lost && given_back == Released::Ready {
                // It came after all: only our own authorization can have put a ready model there.
                report.verified = true;
                return Ok(());
            }
            if !was_lost || starts == MOST_STARTS {
                return Err(error);
            }
            report.target_model_id = None;
            (self.observer)(Event::StartingOver);
        }
    }

    async fn may_hold_authorization(&self, version: ApiVersion) -> Option<SemaphorePermit<'_>> {
        // They are never closed.
        if !version.has_document_models() {
            return self.common.starting_custom_models.acquire().await.ok();
        }
        // Whoever is told to stop has a few seconds to give back what it holds: on a slow resource that is not much.
        let places = if self.target.is_slow() { PLACES_ON_A_SLOW_RESOURCE } else { 1 };
        self.common.starting.acquire_many(places).await.ok()
    }

    pub(super) fn pursuit(&self, version: ApiVersion) -> Pursuit<'_, '_> {
        Pursuit {
            version,
            source: self.source,
            observer: self.observer,
            poll_interval: self.options().poll_interval,
            deadline: self.source.deadline(),
            accepted: true,
        }
    }

    /// From an accepted copy to its verdict.
    async fn see_through(
        &self,
        look: &Look,
        operation: &OperationUrl,
        authorization: &CopyAuthorization,
        report: &mut Report,
    ) -> Result<(), Error> {
        let Found { version, kind, .. } = look.found;
        let target_model_id = &authorization.target_model_id;
        let ending = async {
            let pursuit = self.pursuit(version);
            pursuit.follow(operation, report).await?;
            if self.options().verify {
                report.verified = pursuit.verify(self.target, kind, target_model_id).await?;
            }
            Ok(())
        };
        let ending = ending.await;
        if ending.as_ref().is_err_and(has_ended) {
            self.release(look, target_model_id).await;
        }
        ending
    }

    /// Nothing that changes something is begun when the time is up, or after being told to stop.
    pub(super) fn may_begin(&self) -> Result<(), Error> {
        may_begin(self.source, self.cancel)
    }

    /// The target's part of this copy.
    fn reserving(&self, look: &Look) -> Reserving<'_> {
        let Found { version, kind, .. } = look.found;
        let Self { target, observer, cancel, .. } = *self;
        let wanted = match look.target {
            _ if !version.has_document_models() => Wanted::Any,
            TargetId::Free => Wanted::Free(self.plan.new_model_id()),
            TargetId::Unknown | TargetId::Taken(_) => Wanted::Unseen(self.plan.new_model_id()),
        };
        Reserving { target, observer, cancel, version, kind, wanted }
    }

    /// The source's part of this copy.
    pub(super) fn starting(&self, look: &Look) -> Starting<'_> {
        let Found { version, kind, .. } = look.found;
        let Self { source, target, observer, cancel, .. } = *self;
        let CopyOptions { allow_degrade, poll_interval, .. } = *self.options();
        Starting { source, target: Some(target), observer, cancel, version, kind, allow_degrade, poll_interval }
    }

    async fn authorize(
        &self,
        protocol: &dyn Protocol,
        look: &Look,
        report: &mut Report,
    ) -> Result<CopyAuthorization, Error> {
        let (authorization, request_id) = self.reserving(look).authorize(protocol).await?;
        self.source.hide(&authorization.access_token);
        let address = self.options().target_address.as_ref().filter(|_| !look.found.version.has_document_models());
        report.note_authorization(&authorization, address);
        report.request_ids.authorize = request_id;
        Ok(authorization)
    }
}
