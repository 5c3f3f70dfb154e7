//! Replacing without ever being without a copy: to a staging id first, then out with the old, in with the new.
//!
//! Each step leaves at least one good copy on the target, and what the target shows tells the next run where the last
//! one stopped.

use std::time::Duration;

use tokio::time::Instant;

use super::pipeline::{Action, Pipeline};
use super::preflight::{Found, Look, Lookup, TargetId};
use super::{Event, Outcome, Plan, Report};
use crate::api;
use crate::client::RetryPolicy;
use crate::error::{Delivery, Error, ErrorKind, Finding};
use crate::model::{Model, ModelId};

/// What makes an id the staging id of another one.
const STAGING: &str = ".frcopy-staging";
/// The longest id that the service takes.
const LONGEST_ID: usize = 64;
/// How long the target may show what it has said to be deleted.
const DELETE_FOR: Duration = Duration::from_secs(10);
const FINISH: &str = "run the same command again, which finishes the work";

/// What the target has under the id of the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing.
    Empty,
    /// A copy of the same training.
    Same,
    /// Something else.
    Other,
}

/// A copy that takes the place of what is there, and where it stands.
pub(super) struct Replacement {
    look: Look,
    place: Place,
    staging_id: ModelId,
    /// What is there under the staging id: left behind by a command that did not get to its end.
    staged: Option<Model>,
}

impl Replacement {
    /// Whether the copy is in its place, and only a staging copy is left to be deleted.
    pub(super) fn only_clears(&self) -> bool {
        self.place == Place::Same
    }
}

/// Whether an id is that of a staging copy, which is no model of anybody's own.
pub(super) fn is_staging(id: &ModelId) -> bool {
    id.as_str().ends_with(STAGING)
}

impl Pipeline<'_> {
    /// Looks for what an earlier command has left, and decides what there is to do.
    pub(super) async fn replacement(&self, look: Look, place: Place) -> Result<Action, Error> {
        let Found { seen_with, kind, .. } = look.found;
        let staging_id = staging_id(self.plan.new_model_id())?;
        let staged = match self.sight(self.target, seen_with, kind, &staging_id).await? {
            Lookup::Seen(model) => Some(model),
            Lookup::Absent(_) | Lookup::Inconclusive => None,
        };
        Ok(match (place, &staged) {
            (Place::Empty, None) => Action::Copy(Box::new(look)),
            (Place::Same, None) => Action::AlreadyThere(self.plan.new_model_id().clone()),
            _ => Action::Replace(Box::new(Replacement { look, place, staging_id, staged })),
        })
    }

    /// Does it, from wherever the last command has stopped.
    pub(super) async fn replace(&self, replacement: &Replacement, report: &mut Report) -> Result<Outcome, Error> {
        let Replacement { look, place, staging_id, .. } = replacement;
        let id = self.plan.new_model_id();
        if *place == Place::Same {
            report.target_model_id = Some(id.clone());
            report.verified = true;
            self.clear_staging(look, staging_id).await;
            return Ok(Outcome::AlreadyThere);
        }
        if *place == Place::Other {
            self.stage(replacement, report).await?;
            self.remove_old(look, staging_id).await?;
        }
        let copied = self.copy_anew(look, report).await;
        copied.map_err(|error| but_staged(error, format!("the new {id} is not in its place yet"), staging_id))?;
        if report.verified {
            self.clear_staging(look, staging_id).await;
        } else {
            (self.observer)(Event::StagingKept { staging_id });
        }
        Ok(Outcome::Replaced)
    }

    /// Deletes the old model, now that its successor waits. Whatever was seen before, both are looked at once more:
    /// another command may have done all of this in the meantime.
    async fn remove_old(&self, look: &Look, staging_id: &ModelId) -> Result<(), Error> {
        let id = self.plan.new_model_id();
        if !self.is_the_same(look, staging_id).await? || self.is_the_same(look, id).await? {
            let what = format!("the target's {id} was changed while it was to be replaced");
            return Err(Error::new(ErrorKind::Unavailable, what).with_remedy(FINISH));
        }
        self.remove(look, id).await.map_err(|error| {
            let what = match error.delivery() {
                Delivery::Unanswered => format!("whether the old {id} was deleted is not known"),
                _ if error.kind() == ErrorKind::Interrupted => format!("interrupted; the old {id} may be deleted"),
                _ => format!("the old {id} was not deleted, and stays beside its successor"),
            };
            but_staged(error, what, staging_id)
        })
    }

    /// Whether the target has a copy of the source's training under an id, by what it shows now.
    async fn is_the_same(&self, look: &Look, id: &ModelId) -> Result<bool, Error> {
        let Found { seen_with, kind, .. } = look.found;
        match self.sight(self.target, seen_with, kind, id).await? {
            Lookup::Seen(copy) => Ok(self.differences(&look.found, &copy)?.is_empty()),
            Lookup::Absent(_) | Lookup::Inconclusive => Ok(false),
        }
    }

    /// Sees to it that a good copy is there under the staging id, shown by the target itself.
    async fn stage(&self, replacement: &Replacement, report: &mut Report) -> Result<(), Error> {
        let Replacement { look, staging_id, staged, .. } = replacement;
        if let Some(staged) = staged {
            if self.differences(&look.found, staged)?.is_empty() {
                return Ok(());
            }
            // Of an older training, and nobody needs it: the target's own model is still there.
            self.remove(look, staging_id).await?;
        }
        let plan = Plan { target_model_id: Some(staging_id.clone()), ..self.plan.clone() };
        (self.observer)(Event::Staging { staging_id });
        let staging = Pipeline { plan: &plan, ..*self };
        let copied = staging.copy_anew(look, report).await;
        copied.map_err(|error| {
            let id = self.plan.new_model_id();
            let what = format!("nothing was replaced yet: the old {id} is in its place, its successor is not there");
            half_way(error, what, FINISH)
        })?;
        let verified = std::mem::take(&mut report.verified);
        report.operation = None;
        report.target_model_id = None;
        if verified {
            return Ok(());
        }
        let what = format!("the target does not show the staging copy {staging_id}, and the old model is left alone");
        Err(Error::new(ErrorKind::Unavailable, what).with_remedy(FINISH))
    }

    /// Copies to an id that should be free by now.
    async fn copy_anew(&self, look: &Look, report: &mut Report) -> Result<(), Error> {
        let until = Instant::now() + DELETE_FOR;
        loop {
            let fresh = self.look_at_target_of(look.found.clone()).await?;
            // What was deleted may be shown a little longer.
            if !matches!(fresh.target, TargetId::Taken(_)) || Instant::now() >= until {
                return self.copy(&fresh, report).await;
            }
            self.target.pause(Duration::from_secs(1)).await?;
        }
    }

    /// Deletes a model from the target.
    async fn remove(&self, look: &Look, id: &ModelId) -> Result<(), Error> {
        self.may_begin()?;
        let request = api::delete(look.found.version, look.found.kind, id);
        match self.target.call(&request, RetryPolicy::READ, api::read_deleted).await {
            Ok(()) => {}
            // A deletion whose answer was lost has taken place.
            Err(error) if error.finding() == Finding::NoSuchModel => {}
            Err(error) => return Err(error),
        }
        (self.observer)(Event::Removed { target_model_id: id });
        Ok(())
    }

    /// The staging copy has done its duty. One that stays does no harm, and the next run clears it.
    async fn clear_staging(&self, look: &Look, staging_id: &ModelId) {
        let cleared = async {
            if self.is_the_same(look, self.plan.new_model_id()).await? {
                return self.remove(look, staging_id).await;
            }
            Err(Error::new(ErrorKind::Unavailable, "the target does not show the copy in its place"))
        };
        if let Err(error) = cleared.await {
            (self.observer)(Event::StagingLeft { staging_id, error: &error });
        }
    }
}

/// A failure when the staging copy is there: until the work is finished, that is the good one.
fn but_staged(error: Error, what: String, staging_id: &ModelId) -> Error {
    half_way(error, what, &format!("{FINISH}; until then {staging_id} holds a good copy on the target"))
}

/// A failure half-way: its own remedy comes first, and then what finishes the work.
fn half_way(error: Error, what: String, finish: &str) -> Error {
    let first = error.remedy().map(|remedy| format!("{remedy}; then ")).unwrap_or_default();
    let remedy = format!("{first}{finish}");
    Error::new(error.kind(), what).with_delivery(error.delivery()).with_source(error).with_remedy(remedy)
}

/// The id under which the successor of a model waits: always the same, so that the next run finds it.
fn staging_id(id: &ModelId) -> Result<ModelId, Error> {
    let longest = LONGEST_ID - STAGING.len();
    let whole = id.as_str();
    if whole.len() <= longest {
        return format!("{whole}{STAGING}").parse();
    }
    // FNV-1a, which is the same in every build: two long ids must not share a staging id.
    let hash = whole
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let beginning: String = whole.chars().take(longest - 17).collect();
    format!("{beginning}-{hash:016x}{STAGING}").parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_a_staging_id_of_its_own() {
        let staging = |id: &str| staging_id(&id.parse().unwrap()).unwrap().to_string();
        assert_eq!(staging("invoices"), "invoices.frcopy-staging");
        let (one, other) = ("x".repeat(64), format!("{}y", "x".repeat(63)));
        assert!(staging(&one).len() == LONGEST_ID && staging(&one) != staging(&other));
    }
}
