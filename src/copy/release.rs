//! The reserved id of a copy, and its release. A release deletes one id that an own authorization reserved, or may have
//! reserved, and nothing else.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::context::Context;
use super::event::{Event, Observer};
use super::journal::EntryId;
use super::running::{RunningCopy, SLOW_LOOK, UNDISPUTED, find_running};
use crate::api::version::ApiVersion;
use crate::api::{ListedCopy, Quota, service_error};
use crate::client::retry::{wait_within, with_requested_wait};
use crate::client::{Client, RetryPolicy};
use crate::error::{Delivery, Error, ErrorKind};
use crate::model::{Kind, Model, ModelId, Readiness};
use crate::operation::{Operation, OperationUrl};
use crate::text::UntrustedText;

/// The time for a release, with its read and its deletion. After the deadline and after cancellation it is much shorter.
pub(super) const RELEASE_TIME: Duration = Duration::from_secs(60);
/// How long the source is asked at most before an own id is released: a request a second is allowed on each resource.
const LOOK_TIME: Duration = Duration::from_millis(1500);
/// How often it is asked at most whether an id is used while the answer is not known, and the delay in between.
const MAX_UNKNOWN: u32 = 3;
const UNKNOWN_INTERVAL: Duration = Duration::from_secs(1);
/// How long a deletion may still be carried out whose answer was lost.
pub(super) const LATE_DELETE_TIME: Duration = Duration::from_secs(10);
/// How often a deletion is sent at most while its answers are lost.
pub(crate) const MAX_LOST_DELETES: u32 = 3;

/// An id that is reserved on the target for a copy.
#[must_use = "a reserved id must be settled, released or kept"]
pub(super) struct Reservation {
    version: ApiVersion,
    kind: Kind,
    id: ModelId,
    /// Where the authorization says that the copy will be.
    location: Option<UntrustedText>,
    owner: Owner,
    claim: Claim,
    /// The operation that copies to it, once the source has accepted it.
    operation: Option<OperationUrl>,
    /// The entry of its authorization in the journal.
    entry: EntryId,
}

/// A copy that is there.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) id: ModelId,
    /// Whether the target itself showed it, ready.
    pub(super) verified: bool,
    /// As it showed it, where that is known.
    pub(super) shown: Option<Box<Model>>,
    /// Whether another process made it, while this one waited for its turn.
    pub(super) is_of_other: bool,
}

impl Copied {
    /// A copy that the target shows, and that another process made.
    pub(super) fn by_other(id: ModelId) -> Self {
        Self { id, verified: true, shown: None, is_of_other: true }
    }
}

/// What became of a reservation. Only the methods of [`Reservation`] construct it.
#[must_use]
pub(super) struct Ended(Result<Copied, Error>);

impl Ended {
    /// The copy, or why there is none.
    ///
    /// # Errors
    /// The service's refusal or verdict, or why there is none.
    pub(super) fn result(self) -> Result<Copied, Error> {
        self.0
    }
}

/// Who may release the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// This run: its own authorization reserved the id, or that of an earlier run whose journal it continues.
    ThisRun,
    /// Another process: the id is left alone.
    OtherRun,
    /// The target's operator, who issued the authorization.
    OtherParty,
}

impl Reservation {
    pub(super) fn new(version: ApiVersion, kind: Kind, id: ModelId, owner: Owner) -> Self {
        let claim = Claim::AuthorizedEarlier;
        Self { version, kind, id, location: None, owner, claim, operation: None, entry: EntryId::default() }
    }

    /// A reservation by an authorization that this run has just received.
    pub(super) fn authorized_now(version: ApiVersion, kind: Kind, id: ModelId) -> Self {
        Self { claim: Claim::AuthorizedAt(Instant::now()), ..Self::new(version, kind, id, Owner::ThisRun) }
    }

    /// The same reservation with the location that the authorization names.
    pub(super) fn at(self, location: Option<UntrustedText>) -> Self {
        Self { location, ..self }
    }

    /// The same reservation with the entry of its authorization in the journal.
    pub(super) fn with_entry(self, entry: EntryId) -> Self {
        Self { entry, ..self }
    }

    /// The same reservation with the operation that the source has accepted.
    pub(super) fn with_operation(self, operation: OperationUrl) -> Self {
        Self { operation: Some(operation), ..self }
    }

    /// Whether an operation is about this id and kind on this target, as far as it says. Where no location is known, the
    /// operation's must have the target's own origin.
    pub(super) fn is_that_of(&self, operation: &Operation, target: Option<&Client<'_>>) -> bool {
        let has_location = match (&operation.target_location, &self.location, target) {
            (Some(named), Some(location), _) => named == location,
            (Some(named), None, Some(target)) => target.endpoint().is_origin_of_text(named.raw()),
            _ => true,
        };
        self.is_named_by(operation) && has_location
    }

    /// Whether an operation is about this id and kind, as far as it says, on whatever target.
    pub(super) fn is_named_by(&self, operation: &Operation) -> bool {
        let has_id = operation.target_model_id.as_ref().is_none_or(|id| id.is_same_as(&self.id));
        has_id && operation.kind.is_none_or(|kind| kind == self.kind)
    }

    pub(super) fn version(&self) -> ApiVersion {
        self.version
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn id(&self) -> &ModelId {
        &self.id
    }

    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    pub(super) fn entry(&self) -> EntryId {
        self.entry
    }

    /// Gives up the reservation because the copy is there.
    pub(super) fn copied(self, verified: bool) -> Ended {
        Ended(Ok(Copied { id: self.id, verified, shown: None, is_of_other: false }))
    }

    /// Gives up the reservation because the copy is there. It is verified where the target has shown it.
    pub(super) fn shown_as(self, shown: Option<Model>) -> Ended {
        let (verified, shown) = (shown.is_some(), shown.map(Box::new));
        Ended(Ok(Copied { id: self.id, verified, shown, is_of_other: false }))
    }

    /// Leaves the id reserved because the copy is running, or may be.
    #[expect(clippy::unused_self, reason = "it consumes the reservation")]
    pub(super) fn keep(self, error: Error) -> Ended {
        Ended(Err(error))
    }

    /// Gives up a reservation whose authorization is used up or has expired: there is no copy, and nothing to release.
    pub(super) fn expired(self) {
        drop(self);
    }

    /// Releases the id because there is no copy under it, and returns the given error. If the start request got no answer
    /// and the target shows the copy after all, that is a success.
    pub(super) async fn release(self, cx: &Context<'_>, error: Error) -> Ended {
        let error = match (self.owner, cx.target) {
            (Owner::ThisRun, Some(target)) => {
                let released = self.delete(cx, target).await;
                if released == Released::Ready && error.delivery() == Delivery::NotProcessed {
                    return self.copied(true);
                }
                self.end_entry(cx, released);
                error
            }
            (Owner::OtherParty, _) => self.release_by_other_party(cx, error),
            (Owner::ThisRun | Owner::OtherRun, _) => error,
        };
        Ended(Err(error))
    }

    /// Releases the id of an earlier run whose release failed. There is no copy under it.
    pub(super) async fn release_again(self, cx: &Context<'_>, target: &Client<'_>) {
        let released = self.delete(cx, target).await;
        self.end_entry(cx, released);
    }

    async fn delete(&self, cx: &Context<'_>, target: &Client<'_>) -> Released {
        let until = target.release_deadline(RELEASE_TIME);
        let Self { version, kind, ref id, claim, .. } = *self;
        let reserved = Reserved { target, version, kind, id, claim };
        let released = release(&reserved, cx.observer, until, async || self.look_for_other(cx, until).await).await;
        if released == Released::InUse {
            cx.emit(Event::UsedByOther { target_model_id: id });
        }
        released
    }

    /// Ends the entry in the journal, unless the release failed: then the next run tries it again.
    fn end_entry(&self, cx: &Context<'_>, released: Released) {
        match released {
            Released::Failed => cx.journal.unreleased(self.entry, &self.id),
            Released::Deleted | Released::Ready | Released::InUse | Released::NothingThere => {
                cx.journal.ended(self.entry);
            }
        }
    }

    /// What the source's list shows of a copy of another process to the id. A source that does not answer soon must not take
    /// the time in which the id can be released.
    async fn look_for_other(&self, cx: &Context<'_>, until: Instant) -> RunningCopy {
        let until = Instant::now() + (until.saturating_duration_since(Instant::now()) / 2).min(LOOK_TIME);
        // A request of a cleanup is rather sent too early than not at all, but this one can be left out.
        if cx.source.rate_limiter().earliest(Quota::List) >= until {
            return RunningCopy::NotProved;
        }
        let is_own = |copy: &ListedCopy| self.operation.as_ref().is_some_and(|own| own.has_id(&copy.id));
        let is_here = |copy: &ListedCopy| self.location.as_ref().is_none_or(|here| *here == copy.target_location);
        let is_other = |copy: &ListedCopy| is_here(copy) && !is_own(copy);
        let policy = RetryPolicy::cleanup(until);
        let found = find_running(cx.source, self.version, self.kind, &self.id, is_other, policy);
        timeout_at(until, found).await.ok().and_then(Result::ok).unwrap_or(RunningCopy::NotProved)
    }

    /// Says that only the target's operator can release the id, unless the authorization was not used.
    fn release_by_other_party(&self, cx: &Context<'_>, error: Error) -> Error {
        if error.is_interrupted() || error.delivery() == Delivery::NotProcessed {
            return error;
        }
        cx.emit(Event::ReservedForOtherParty { target_model_id: &self.id });
        if !error.service().is_some_and(service_error::is_about_authorization) {
            return error;
        }
        error.with_remedy(
            "ask the target's operator for another authorization: this one was used before, was changed, or does not name \
             the target's true resource id and region; where the message speaks of encryption, --allow-degrade helps",
        )
    }
}

/// An id on the target that may be deleted.
#[derive(Clone, Copy)]
pub(super) struct Reserved<'a> {
    pub(super) target: &'a Client<'a>,
    pub(super) version: ApiVersion,
    pub(super) kind: Kind,
    pub(super) id: &'a ModelId,
    pub(super) claim: Claim,
}

/// Why an id may be deleted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Claim {
    /// Its authorization was received at this time.
    AuthorizedAt(Instant),
    /// Its authorization was received by an earlier run.
    AuthorizedEarlier,
    /// A conflict shows that it is reserved, perhaps by a request of this run without an answer.
    Conflict,
}

impl Claim {
    fn is_authorization(self) -> bool {
        matches!(self, Self::AuthorizedAt(_) | Self::AuthorizedEarlier)
    }

    /// Whether no other process can have taken the id over yet.
    fn is_undisputed(self) -> bool {
        matches!(self, Self::AuthorizedAt(time) if time.elapsed() <= UNDISPUTED)
    }
}

/// The result of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Released {
    /// The target says that the id is deleted.
    Deleted,
    /// The target shows a ready model: it is left alone.
    Ready,
    /// Another process may use the id: it is left alone.
    InUse,
    /// The target says that there is no such model, which says nothing about a reservation.
    NothingThere,
    /// The target could not be read, or refused.
    Failed,
}

/// Deletes one reserved id until a time, after a read that does not show a ready model. `look_for_running` is called before
/// each sending.
///
/// Whether that frees an id of v3.0 and later is not documented: the event reports the target's answer and promises
/// nothing.
pub(super) async fn release(
    reserved: &Reserved<'_>,
    observer: Observer<'_>,
    until: Instant,
    look_for_running: impl AsyncFn() -> RunningCopy,
) -> Released {
    let Reserved { target, version, id, .. } = *reserved;
    let deletion = tokio::select! {
        deletion = delete_unless_ready(reserved, until, look_for_running) => deletion,
        () = target.cleanup_time(until) => {
            Err(Error::new(ErrorKind::Unavailable, format!("{} did not answer in time", target.label())))
        }
    };
    match deletion {
        Ok(Deletion::Deleted) => {
            observer(Event::Released { target_model_id: id });
            Released::Deleted
        }
        Ok(Deletion::Ready) => {
            observer(Event::ReadyOnTarget { target_model_id: id });
            Released::Ready
        }
        Ok(Deletion::InUse) => Released::InUse,
        // A deletion without an answer was carried out: where the service chooses the ids, nothing else can be there.
        Err(error) if error.is_no_such_model() && version.wire().service_names_the_copy() => Released::Deleted,
        Err(error) => {
            observer(Event::NotReleased { target_model_id: id, error: &error });
            if error.is_no_such_model() { Released::NothingThere } else { Released::Failed }
        }
    }
}

/// Whether an id was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deletion {
    /// The target says so.
    Deleted,
    /// No: the target shows a ready model.
    Ready,
    /// No: another process may use it.
    InUse,
}

/// Deletes an id until a time, unless the target shows a ready model under it. Cancellation does not stop it.
///
/// Before each sending, `look_for_running` is called and the target is read: after a 429, a 503 or a lost answer another
/// process may have copied to the id. While they take so long that they are old, both are repeated. Where the first proves
/// nothing, an authorization decides; without one it is repeated, and then the id is left alone. The wait for the rate limit
/// comes before them, but on a resource that accepts one request a second, a second remains.
pub(super) async fn delete_unless_ready(
    reserved: &Reserved<'_>,
    until: Instant,
    look_for_running: impl AsyncFn() -> RunningCopy,
) -> Result<Deletion, Error> {
    let Reserved { target, version, kind, id, claim } = *reserved;
    let policy = RetryPolicy::cleanup(until);
    let (mut attempts, mut lost, mut unknown) = (0, 0, 0);
    loop {
        target.wait_for_cleanup_turn(Quota::Management, until).await;
        let began = Instant::now();
        let running = if claim.is_undisputed() { RunningCopy::Absent } else { look_for_running().await };
        match target.send(&version.wire().model(kind, id), policy).await {
            Ok(model) if model.value.readiness == Readiness::Ready => return Ok(Deletion::Ready),
            Ok(_) => {}
            Err(error) if error.is_no_such_model() => {}
            Err(error) => return Err(error),
        }
        let is_known = match running {
            RunningCopy::Found(_) => return Ok(Deletion::InUse),
            RunningCopy::Absent => began.elapsed() <= SLOW_LOOK,
            RunningCopy::Elsewhere | RunningCopy::NotProved => claim.is_authorization() && began.elapsed() <= SLOW_LOOK,
        };
        if !is_known && unknown + 1 < MAX_UNKNOWN && Instant::now() + UNKNOWN_INTERVAL < until {
            unknown += 1;
            sleep(UNKNOWN_INTERVAL).await;
            continue;
        }
        if !is_known && !claim.is_authorization() {
            return Ok(Deletion::InUse);
        }
        let call = version.wire().delete(kind, id);
        let Err(error) = target.send_once(&call, RetryPolicy::cleanup(until)).await else {
            return Ok(Deletion::Deleted);
        };
        if error.may_have_been_processed() {
            target.note_lost_deletion(&call);
        }
        attempts += 1;
        lost += u32::from(error.delivery() == Delivery::Unanswered);
        if !error.is_worth_repeating() || lost >= MAX_LOST_DELETES {
            return Err(with_requested_wait(error));
        }
        sleep(wait_within(error, attempts, until)?.1).await;
    }
}
