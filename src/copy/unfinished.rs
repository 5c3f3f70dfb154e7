//! Finishes what earlier runs left open in the journal: a run that was killed, or ended without a verdict.
//!
//! With an operation, it is polled. With an authorization and no operation, the copy may have been started: it is looked
//! for, and the start is repeated with the same authorization, which the service accepts at most once. With neither, an
//! id may be reserved by an authorization that is lost.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::authorized::Authorized;
use super::blank_models::blank_models;
use super::context::{Job, LostAuthorizations};
use super::event::Event;
use super::journal::{CopyOf, EntryId, OpenCopy, OpenStep, RESERVATION_TIME, Unfinished, owned_by_other};
use super::plan::IfExists;
use super::poll::{Polling, Verdict, poll};
use super::preflight::{Lookup, SourceModel};
use super::release::{Copied, Owner, Reservation};
use super::report::{Done, Outcome};
use super::search::{Evidence, Search};
use super::settle::settle;
use super::start::continue_start;
use super::transfer::finish;
use crate::api::version::ApiVersion;
use crate::authorization::CopyAuthorization;
use crate::authorization_file::AuthorizationFile;
use crate::error::{Delivery, Error};
use crate::model::{Kind, Readiness};
use crate::operation::OperationUrl;

/// How long after its authorization has expired a copy may still be running.
const LATE_COPY_TIME: SignedDuration = SignedDuration::from_mins(10);
/// How long an authorize request may have been repeated whose answers were lost: six times half a minute, and the waits.
const AUTHORIZE_TIME: SignedDuration = SignedDuration::from_mins(4);
/// Delay between two looks whether another process still copies the model.
const OTHER_INTERVAL: Duration = Duration::from_secs(1);

/// What is left to do after the open entries of a copy.
pub(super) enum Rest {
    /// Nothing: an earlier run's copy is there.
    Nothing(Done),
    /// The copy itself.
    Copy {
        /// The source model, if it was read.
        found: Option<Box<SourceModel>>,
        /// The authorizations that may reserve its ids.
        lost: LostAuthorizations,
    },
}

/// A copy that an earlier run began, and its entry in the journal.
struct EarlierCopy {
    copied: Copied,
    entry: EntryId,
    version: ApiVersion,
    kind: Kind,
}

impl Job<'_> {
    /// Finishes what earlier runs left open of this copy.
    ///
    /// # Errors
    /// When there is no verdict yet, or the earlier copy has failed.
    pub(super) async fn finish_open(&self, found: Option<SourceModel>) -> Result<Rest, Error> {
        let (mut earlier, mut lost) = (None, LostAuthorizations::default());
        for open in self.take_over(found.as_ref()).await? {
            let is_wanted = self.is_wanted(&open);
            match open.step {
                OpenStep::Authorizing(since) => {
                    let until = self.lost_authorization(&open, since).await;
                    let reserved_until = if is_wanted { &mut lost.copy } else { &mut lost.staging_copy };
                    *reserved_until = until.max(*reserved_until);
                }
                OpenStep::Unreleased { kind, id, location } => {
                    let reservation = Reservation::new(open.version, kind, id, Owner::ThisRun).at(location);
                    reservation.with_entry(open.id).release_again(&self.cx, self.target).await;
                }
                OpenStep::Starting { ref file, .. } => {
                    let (entry, version, kind) = (open.id, file.version, file.kind);
                    match self.continue_copy(open).await {
                        Ok(Some(copied)) if is_wanted => earlier = Some(EarlierCopy { copied, entry, version, kind }),
                        // It is a staging copy: the next read of the target shows it.
                        Ok(_) => self.cx.journal.ended(entry),
                        // A staging copy that has succeeded and is gone: the earlier run deleted it at its end.
                        Err(error) if !is_wanted && error.is_no_such_model() => self.cx.journal.ended(entry),
                        // It is proved that no copy was started, and the release of the id was tried.
                        Err(error) if error.delivery() == Delivery::NotProcessed => self.cx.emit(Event::StartingOver),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        // A replacement goes on from what the target shows.
        match earlier.filter(|_| self.plan.options.if_exists != IfExists::Replace) {
            Some(earlier) => self.unless_trained_again(found, earlier, lost).await,
            None => Ok(Rest::Copy { found: found.map(Box::new), lost }),
        }
    }

    /// The open entries. Those of a process that still runs are waited for.
    async fn take_over(&self, found: Option<&SourceModel>) -> Result<Vec<OpenCopy>, Error> {
        let copy = CopyOf {
            source: self.cx.source.endpoint(),
            target: self.target.endpoint(),
            kind: found.map(|found| found.kind).or(self.plan.kind),
            source_id: &self.plan.model_id,
            target_id: self.plan.new_model_id(),
        };
        self.unless_owned_by_other(|| match self.cx.journal.take_over(&copy)? {
            Unfinished::Taken(open) => Ok(Some(open)),
            Unfinished::OwnedByOther => Ok(None),
        })
        .await
    }

    /// Asks the journal, and again while it says that another process is making the copy (none).
    ///
    /// # Errors
    /// When the journal cannot be read or written, or the other process has not ended before the deadline.
    pub(super) async fn unless_owned_by_other<T>(
        &self,
        ask: impl Fn() -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let mut is_first = true;
        loop {
            if let Some(answer) = ask()? {
                return Ok(answer);
            }
            if self.cx.source.is_past_deadline() {
                return Err(owned_by_other(&self.plan.model_id));
            }
            if std::mem::take(&mut is_first) {
                self.cx.emit(Event::WaitingForOther);
            }
            self.cx.source.pause(OTHER_INTERVAL).await?;
        }
    }

    /// Whether the copy is the one that this command would make.
    fn is_wanted(&self, open: &OpenCopy) -> bool {
        let id = match &open.step {
            OpenStep::Starting { file, .. } => Some(&file.authorization.target_model_id),
            OpenStep::Authorizing(_) | OpenStep::Unreleased { .. } => open.target_id.as_ref(),
        };
        open.version.wire().service_names_the_copy() || id == Some(self.plan.new_model_id())
    }

    /// Says what an authorize request has left whose answer is not known. Returns until when it may reserve its id.
    async fn lost_authorization(&self, open: &OpenCopy, since: Option<Timestamp>) -> Option<Timestamp> {
        if open.version.wire().service_names_the_copy() {
            let time = since.map(|since| (since, since + AUTHORIZE_TIME));
            let candidates = blank_models(self.target, open.version, time).await;
            self.cx.emit(Event::BlankModelsMayRemain { candidates: &candidates, requests: 1 });
            self.cx.journal.ended(open.id);
            return None;
        }
        let until = since? + AUTHORIZE_TIME + RESERVATION_TIME;
        if self.target.service_time().is_some_and(|now| now > until) {
            self.cx.journal.ended(open.id);
            return None;
        }
        Some(until)
    }

    /// Continues a copy from its authorization. None where it is certain that it came to nothing.
    async fn continue_copy(&self, open: OpenCopy) -> Result<Option<Copied>, Error> {
        let OpenCopy { id: entry, source_id, step, .. } = open;
        let OpenStep::Starting { file, since, operation } = step else { return Ok(None) };
        let copy = file.copy()?;
        let AuthorizationFile { version, kind, authorization, .. } = *file;
        let id = &authorization.target_model_id;
        self.cx.emit(Event::Continued { kind, target_model_id: id, operation: operation.as_ref() });
        let reservation = Reservation::new(version, kind, id.clone(), Owner::ThisRun)
            .at(authorization.target_location.clone())
            .with_entry(entry);
        // The answer has the date of the target's own clock.
        drop(self.look_up(self.target, version, kind, id).await);
        let left =
            self.target.service_time().map(|now| now.duration_until(authorization.issued + lifetime(&authorization)));
        let valid_until = left.map(|left| Instant::now() + left.max(SignedDuration::ZERO).unsigned_abs());
        let authorized = Authorized { version, copy, authorization, valid_until, entry, _slot: None };
        if let Some(operation) = operation {
            return self.poll_earlier(&authorized, reservation, operation).await;
        }
        if left.is_some_and(|left| left < -LATE_COPY_TIME) {
            let search = Search::for_earlier_run(&self.cx, &authorized, since);
            return match search.look().await {
                Evidence::Operation(operation) => self.poll_earlier(&authorized, reservation, operation).await,
                Evidence::Ready => settle(&self.cx, reservation, Verdict::Ready).await.result().map(Some),
                Evidence::Nothing { .. } => Ok(self.give_up(&authorized, reservation)),
            };
        }
        if self.cx.source.service_time().is_none() {
            // Its answer has the date of the source's own clock.
            drop(self.look_up(self.cx.source, version, reservation.kind(), &source_id).await);
        }
        let start = continue_start(&self.cx, &source_id, &authorized, since).await;
        finish(&self.cx, start, reservation).await.result().map(Some)
    }

    /// Polls an operation of an earlier run. The source forgets it after a day; then the target decides.
    async fn poll_earlier(
        &self,
        authorized: &Authorized<'_>,
        reservation: Reservation,
        operation: OperationUrl,
    ) -> Result<Option<Copied>, Error> {
        let verdict = match poll(&self.cx, &Polling::from_url(authorized.version, &operation)).await {
            Verdict::Open(error) if error.is_no_such_operation() => {
                match self.look_up(self.target, authorized.version, reservation.kind(), reservation.id()).await? {
                    Lookup::Found(model) if model.readiness == Readiness::Ready => Verdict::Ready,
                    Lookup::Found(_) | Lookup::Absent(_) => return Ok(self.give_up(authorized, reservation)),
                    Lookup::Inconclusive => Verdict::Open(error),
                }
            }
            verdict => verdict,
        };
        settle(&self.cx, reservation.with_operation(operation), verdict).await.result().map(Some)
    }

    /// Gives up an authorization that is used up or has expired. What it has reserved is named, not deleted.
    fn give_up(&self, authorized: &Authorized<'_>, reservation: Reservation) -> Option<Copied> {
        let id = reservation.id().clone();
        reservation.expired();
        if authorized.version.wire().service_names_the_copy() {
            self.cx.emit(Event::BlankLeft { target_model_id: &id });
        }
        None
    }

    /// The earlier copy counts only if the source model was not trained again meanwhile.
    async fn unless_trained_again(
        &self,
        found: Option<SourceModel>,
        earlier: EarlierCopy,
        lost: LostAuthorizations,
    ) -> Result<Rest, Error> {
        let EarlierCopy { copied, entry, version, kind } = earlier;
        let source = if let Some(found) = &found {
            found.clone()
        } else {
            let id = self.plan.model_id.clone();
            let model = match self.look_up(self.cx.source, version, kind, &id).await? {
                Lookup::Found(model) => Some(model),
                Lookup::Absent(_) | Lookup::Inconclusive => None,
            };
            SourceModel { id, kind, version, shown_by: version, model }
        };
        let SourceModel { shown_by, ref model, .. } = source;
        self.cx.emit(Event::Found { version, kind, shown_by, model: model.as_ref() });
        let is_same = match self.look_up(self.target, shown_by, kind, &copied.id).await? {
            Lookup::Found(copy) if model.is_some() => source.is_same_training(&copy)?,
            Lookup::Found(_) | Lookup::Absent(_) | Lookup::Inconclusive => true,
        };
        if is_same {
            return Ok(Rest::Nothing(Done::with_copy(Outcome::Copied, copied)));
        }
        self.cx.journal.ended(entry);
        Ok(Rest::Copy { found: found.map(Box::new), lost })
    }
}

fn lifetime(authorization: &CopyAuthorization) -> SignedDuration {
    SignedDuration::try_from(authorization.lifetime()).unwrap_or_default()
}
