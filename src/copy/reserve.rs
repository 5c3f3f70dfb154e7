//! Sends the authorize request until it has an answer, and accounts for the ids that lost answers may have reserved.

use std::slice;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::authorized::Authorized;
use super::blank_models::{find_blank_models, is_blank_since, since};
use super::event::{Event, Observer};
use super::journal::RESERVATION_TIME;
use super::release::{Claim, LATE_DELETE_TIME, RELEASE_TIME, Released, Reservation, Reserved, release};
use super::running::{LOOKS_FOR_PROOF, PROOF_INTERVAL, RunningCopy, SLOW_LOOK, find_running, look_repeatedly};
use crate::api::version::ApiVersion;
use crate::api::{AuthorizeAnswer, ListedCopy, NewCopy, Response};
use crate::authorization::CopyAuthorization;
use crate::client::{Client, RetryPolicy};
use crate::error::{Delivery, Error, ErrorKind};
use crate::model::{Model, ModelId};
use crate::text::UntrustedText;

/// What to do where the id is reserved.
pub(super) const CHOOSE_ANOTHER_ID: &str = "choose another target id (--target-model-id of a copy), or wait until then";
/// The same for a replacement, whose ids are given.
pub(super) const WAIT_FOR_EXPIRY: &str =
    "wait until then; with --manifest, the next run finishes a run that was killed without a wait";
/// How often an authorize request is sent at most while its answers are lost. In v2.1 each one may leave a blank model.
const MAX_ATTEMPTS: u32 = 6;
const MAX_ATTEMPTS_NAMED_BY_SERVICE: u32 = 3;
/// How often one is sent whose answers are no authorizations: something else than the service answers.
const MAX_UNUSABLE: u32 = 3;
/// How often the source is asked at most whether a copy is running, before that counts as not known.
const MAX_LOOKS: u32 = 8;

/// An authorize request, and what is known of the id that it asks for.
pub(super) struct AuthorizeRequest<'a> {
    pub(super) version: ApiVersion,
    pub(super) copy: NewCopy,
    /// Whether the target has said that it has no such model. Otherwise what is there may belong to another process.
    pub(super) is_free: bool,
    /// Until when an authorization that is lost may reserve the id, by the target's clock.
    pub(super) reserved_until: Option<Timestamp>,
    /// The source, where it can be asked which copies run.
    pub(super) source: Option<&'a Client<'a>>,
    /// What to do where the id is reserved.
    pub(super) if_reserved: &'static str,
    /// Whether the journal keeps the request, so that the next run releases the id.
    pub(super) is_recorded: bool,
}

impl AuthorizeRequest<'_> {
    /// The request of a target whose source belongs to another party.
    pub(super) fn without_source(version: ApiVersion, copy: NewCopy, is_free: bool) -> Self {
        let if_reserved = CHOOSE_ANOTHER_ID;
        Self { version, copy, is_free, reserved_until: None, source: None, if_reserved, is_recorded: false }
    }
}

/// Why there is no authorization.
pub(super) struct NotAuthorized {
    pub(super) error: Error,
    /// Whether a request without an answer may have reserved the id that was asked for. It was named.
    pub(super) may_be_reserved: bool,
    /// The blank model of an answer that cannot be used, if its release failed.
    pub(super) unreleased: Option<ModelId>,
}

impl From<Error> for NotAuthorized {
    /// Before the first request.
    fn from(error: Error) -> Self {
        Self { error, may_be_reserved: false, unreleased: None }
    }
}

/// Sends an authorize request until it has an answer.
///
/// # Errors
/// When there is no authorization. What lost answers may have reserved is named.
pub(super) async fn reserve(
    target: &Client<'_>,
    observer: Observer<'_>,
    request: AuthorizeRequest<'_>,
) -> Result<(Authorized<'static>, Reservation), NotAuthorized> {
    let is_left = request.reserved_until.is_some();
    let mut attempts = Attempts {
        target,
        observer,
        request: &request,
        is_left,
        lost: 0,
        unanswered: 0,
        is_own: false,
        own_conflicts: MAX_ATTEMPTS,
        first_lost: None,
        unusable_id: None,
        is_unreleased: false,
    };
    let response = match attempts.send_until_answered().await {
        Ok(response) => response,
        Err(error) => {
            let may_be_reserved = attempts.name_reserved_id(&error);
            attempts.name_blank_models(attempts.unusable_id.as_ref()).await;
            let unreleased = attempts.unusable_id.clone().filter(|_| attempts.is_unreleased);
            return Err(NotAuthorized { error: attempts.explain(error), may_be_reserved, unreleased });
        }
    };
    attempts.name_blank_models(Some(&response.value.target_model_id)).await;
    let AuthorizeRequest { version, copy, .. } = request;
    let authorization = response.value;
    let (address, request_id) = (copy.address(), response.request_id.as_ref());
    observer(Event::Authorized { authorization: &authorization, address, request_id });
    let id = authorization.target_model_id.clone();
    let reservation = Reservation::authorized_now(version, copy.kind, id).at(authorization.target_location.clone());
    Ok((Authorized::received_now(version, copy, authorization), reservation))
}

/// The attempts of one authorize request.
struct Attempts<'r> {
    target: &'r Client<'r>,
    observer: Observer<'r>,
    request: &'r AuthorizeRequest<'r>,
    /// Whether an earlier run may have reserved the id.
    is_left: bool,
    /// How many requests may have reserved an id: their answers were lost, were a 503, or were not the service's own.
    lost: u32,
    /// How many of the answers were lost, or not the service's own.
    unanswered: u32,
    /// Whether an own request may have reserved the id, although a deletion was said to have freed it.
    is_own: bool,
    /// How often a conflict may still be about an own lost request.
    own_conflicts: u32,
    /// When the first of them was sent, by the monotonic clock.
    first_lost: Option<Instant>,
    /// The blank model of an answer that cannot be used, which is accounted for.
    unusable_id: Option<ModelId>,
    /// Whether its release failed.
    is_unreleased: bool,
}

impl Attempts<'_> {
    async fn send_until_answered(&mut self) -> Result<Response<CopyAuthorization>, Error> {
        let call = self.request.version.wire().authorize(&self.request.copy);
        let mut last = None;
        loop {
            self.wait_for_late_deletion().await?;
            match (self.target.check_may_mutate(), last.take()) {
                (Ok(()), _) => {}
                (Err(passed), Some(last)) if !passed.is_interrupted() => return Err(last),
                (Err(error), _) => return Err(error),
            }
            let sent = Instant::now();
            let policy = if self.lost > 0 { RetryPolicy::AUTHORIZE.while_reserved() } else { RetryPolicy::AUTHORIZE };
            match self.target.send(&call, policy).await {
                Ok(Response { value: AuthorizeAnswer::Authorized(value), request_id, date, region }) => {
                    return Ok(Response { value, request_id, date, region });
                }
                Ok(Response { value: AuthorizeAnswer::Unusable { error, id, location }, date, .. }) => {
                    if self.request.copy.id().is_none() {
                        // Each repetition would leave one more blank model.
                        self.unusable_id = id.or_else(|| self.id_at(location.as_ref()?));
                        self.release_unusable(sent, date).await;
                        return Err(error);
                    }
                    last = Some(self.wait_after_lost(error, sent, MAX_UNUSABLE).await?);
                }
                Err(error) if error.may_have_been_processed() => {
                    last = Some(self.wait_after_lost(error, sent, self.max_attempts()).await?);
                }
                Err(error) => self.release_own(error).await?,
            }
        }
    }

    /// Waits until a deletion of the id whose answer was lost cannot be carried out any more: it would delete the copy.
    async fn wait_for_late_deletion(&self) -> Result<(), Error> {
        let AuthorizeRequest { version, ref copy, .. } = *self.request;
        let sent = copy.id().and_then(|id| self.target.lost_deletion(&version.wire().delete(copy.kind, id)));
        let Some(sent) = sent else { return Ok(()) };
        self.target.pause((sent + LATE_DELETE_TIME).saturating_duration_since(Instant::now())).await
    }

    /// Counts a request that may have reserved an id, and waits before it is repeated.
    ///
    /// # Errors
    /// The given error, which is also the result, where the request is not repeated.
    async fn wait_after_lost(&mut self, error: Error, sent: Instant, max_attempts: u32) -> Result<Error, Error> {
        self.lost += 1;
        self.is_own = true;
        self.unanswered += u32::from(error.delivery() == Delivery::Unanswered || error.is_refusal_of_proxy());
        self.first_lost.get_or_insert(sent);
        if self.unanswered >= max_attempts || self.target.is_cancelled() {
            return Err(error);
        }
        self.target.wait_before_repetition(error, self.lost).await
    }

    /// Releases the id after a conflict that may be about an own request without an answer: the id was free before.
    ///
    /// # Errors
    /// The given error, where it is about something else, or the id is not released.
    async fn release_own(&mut self, error: Error) -> Result<(), Error> {
        let may_be_own = self.is_reserved(&error) && (self.lost > 0 || self.is_left) && self.own_conflicts > 0;
        let Some(id) = self.free_id().filter(|_| may_be_own) else { return Err(error) };
        let released = self.release_unless_running(id).await;
        self.own_conflicts -= 1;
        match released {
            Some(Released::Deleted) => (self.lost, self.unanswered, self.is_left) = (0, 0, false),
            Some(Released::NothingThere) => self.own_conflicts = 0,
            Some(Released::Ready | Released::InUse | Released::Failed) | None => return Err(error),
        }
        Ok(())
    }

    fn max_attempts(&self) -> u32 {
        if self.request.copy.id().is_some() { MAX_ATTEMPTS } else { MAX_ATTEMPTS_NAMED_BY_SERVICE }
    }

    /// When a release that begins now must end.
    fn release_deadline(&self) -> Instant {
        self.target.release_deadline(RELEASE_TIME)
    }

    /// The id that is asked for, if the target said before that it is free.
    fn free_id(&self) -> Option<&ModelId> {
        self.request.copy.id().filter(|_| self.request.is_free)
    }

    /// Releases the id that a request without an answer may have reserved. None where a copy to it may be running: then
    /// another process has authorized it meanwhile.
    async fn release_unless_running(&self, id: &ModelId) -> Option<Released> {
        let is_unused = Box::pin(self.is_unused(id)).await;
        if !is_unused {
            return None;
        }
        // The looks may be old by then, so the list is read once more before each deletion, and then the target.
        let look = async || self.look_for_running(id).await;
        let released = Box::pin(release(&self.reserved(id), self.observer, self.release_deadline(), look)).await;
        (released != Released::InUse).then_some(released)
    }

    /// Whether no copy to the id appears in several looks over some seconds. Where they do not fit before the end of a
    /// release, nothing is proved. Where the source belongs to another party, only the target can show a copy, which the
    /// release reads at the end.
    async fn is_unused(&self, id: &ModelId) -> bool {
        let fit = |intervals: u32| Instant::now() + PROOF_INTERVAL * intervals < self.release_deadline();
        let wait = async |needed: u32| fit(needed) && self.target.interruptible(sleep(PROOF_INTERVAL)).await.is_ok();
        let look = async || self.look_for_running(id).await;
        fit(LOOKS_FOR_PROOF - 1)
            && matches!(look_repeatedly(MAX_LOOKS, SLOW_LOOK, look, wait).await, RunningCopy::Absent)
    }

    /// What the source's list shows of a copy to the id.
    async fn look_for_running(&self, id: &ModelId) -> RunningCopy {
        let Some(source) = self.request.source else { return RunningCopy::Absent };
        let AuthorizeRequest { version, ref copy, .. } = *self.request;
        let until = self.release_deadline();
        let is_here = |copy: &ListedCopy| self.target.endpoint().is_origin_of_text(copy.target_location.raw());
        let running = find_running(source, version, copy.kind, id, is_here, RetryPolicy::cleanup(until));
        let running = tokio::select! {
            running = running => running,
            () = source.cleanup_time(until) => return RunningCopy::NotProved,
        };
        running.unwrap_or_else(|error| {
            (self.observer)(Event::Inconclusive { error: &error });
            RunningCopy::NotProved
        })
    }

    fn reserved<'i>(&'i self, id: &'i ModelId) -> Reserved<'i> {
        let AuthorizeRequest { version, ref copy, .. } = *self.request;
        Reserved { target: self.target, version, kind: copy.kind, id, claim: Claim::Conflict }
    }

    /// Names the id that a request without an answer may have reserved. It is not released: only a conflict shows that it is
    /// reserved, and without one, another process may authorize and start a copy to it at any moment.
    fn name_reserved_id(&self, error: &Error) -> bool {
        let Some(id) = self.request.copy.id() else { return false };
        if self.is_reserved(error) {
            // The error names it.
            return self.is_own;
        }
        if self.lost > 0 {
            (self.observer)(Event::IdMayBeReserved { target_model_id: id, is_recorded: self.request.is_recorded });
        }
        // A 503 alone hardly ever reserves: the next run must not take the id of another process for this one's.
        self.unanswered > 0
    }

    /// Whether an error shows that the id is reserved, which was free. A 409 without the service's own words may be that of
    /// a gateway.
    fn is_reserved(&self, error: &Error) -> bool {
        self.free_id().is_some() && error.is_conflict() && error.service().is_some()
    }

    /// The id at the end of a URL on the target itself.
    fn id_at(&self, location: &UntrustedText) -> Option<ModelId> {
        let url = self.target.endpoint().resolve(location.raw()).ok()?;
        let id = url.path_segments()?.next_back()?.parse().ok()?;
        self.target.endpoint().is_origin_of(&url).then_some(id)
    }

    /// Releases the blank model that an answer without an authorization has left: only one that the target shows as blank
    /// and as created since the request, by the target's own clock.
    async fn release_unusable(&mut self, sent: Instant, date: Option<Timestamp>) {
        let id = self.unusable_id.as_ref();
        let since = date.and_then(|date| since(date, sent));
        if let (Some(id), Some(since)) = (id, since)
            && let Ok(model) = self.target.read(&self.request.version.wire().model(self.request.copy.kind, id)).await
            && is_blank_since(&model, since)
        {
            let until = self.release_deadline();
            let reserved = Reserved { claim: Claim::AuthorizedAt(sent), ..self.reserved(id) };
            let released = release(&reserved, self.observer, until, async || RunningCopy::Absent).await;
            self.is_unreleased = released == Released::Failed;
            return;
        }
        let candidates = id.map(slice::from_ref).unwrap_or_default();
        (self.observer)(Event::BlankModelsMayRemain { candidates, requests: 1 });
    }

    /// Names the blank models that lost answers may have left. They are not deleted: another process may own them.
    async fn name_blank_models(&self, own: Option<&ModelId>) {
        let Some(sent) = self.first_lost.filter(|_| self.request.copy.id().is_none()) else { return };
        let since = || self.target.service_time().and_then(|now| since(now, sent));
        let is_meant =
            |model: &Model| Some(&model.id) != own && since().is_some_and(|since| is_blank_since(model, since));
        let candidates = find_blank_models(self.target, self.request.version, self.lost, is_meant).await;
        (self.observer)(Event::BlankModelsMayRemain { candidates: &candidates, requests: self.lost as usize });
    }

    /// By what an id is reserved that was free.
    fn reserved_by(&self) -> String {
        if self.is_own {
            return "perhaps by this command's own request, whose authorization expires within an hour".into();
        }
        if let Some(until) = self.request.reserved_until {
            return format!(
                "by an earlier command whose request got no answer, until {until:.0} at the latest (by the target's clock)"
            );
        }
        let expiry = match self.target.service_time() {
            Some(now) => format!("by {:.0} (the target's clock)", now + RESERVATION_TIME),
            None => "within an hour".to_owned(),
        };
        format!("by an authorization that was not used, and that expires {expiry}")
    }

    /// Tells an id that exists from one that is reserved, and says what a lost answer may have left.
    fn explain(&self, error: Error) -> Error {
        match self.free_id() {
            Some(id) if self.is_reserved(&error) => {
                let what = format!("the id {id} of {} is reserved {}", self.target.label(), self.reserved_by());
                let kind = if self.target.is_cancelled() { ErrorKind::Interrupted } else { ErrorKind::Exists };
                Error::new(kind, what).with_remedy(self.request.if_reserved).with_source(error)
            }
            _ if error.delivery() == Delivery::Unanswered || (self.lost > 0 && self.target.is_cancelled()) => {
                let target = self.target.label();
                let what = format!("whether {target} has reserved an id is not known, and nothing was started");
                let kind = if self.target.is_cancelled() { ErrorKind::Interrupted } else { error.kind() };
                Error::new(kind, what).with_source(error)
            }
            _ => error,
        }
    }
}
