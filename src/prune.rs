//! Finds what copies have left on a resource, and deletes it: staging copies that are no longer needed, and blank models
//! whose authorization has expired.

use jiff::{SignedDuration, Timestamp};

use crate::api::version::ApiVersion;
use crate::api::{MaybeBlank, Quota};
use crate::client::{Client, RetryPolicy};
use crate::copy::{MAX_LOST_DELETES, is_staging, staging_id};
use crate::error::{Delivery, Error, ErrorKind};
use crate::inventory::{Inventory, Listed, Scope};
use crate::manifest::OpenModels;
use crate::model::{Model, ModelId, Readiness};
use crate::model_diff::{differences, is_unchanged};

/// A blank model of this age has no use: its authorization was valid for 24 hours, and a copy that was started at the end
/// of them has ended since. It is judged by the service's own clock.
const BLANK_FOR: SignedDuration = SignedDuration::from_mins(24 * 60 + 30);
/// How often the reads before a deletion are sent at most.
const MAX_FAILED_LOOKS: u32 = 5;

/// A model that a copy has left, or may have left.
pub(crate) struct Leftover {
    /// The version that shows it.
    pub version: ApiVersion,
    /// The model, as a read of it showed it.
    pub model: Model,
    /// What it is.
    pub origin: Origin,
    /// Why it can be deleted, or why it is kept.
    pub reason: Result<String, String>,
}

/// What a leftover is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The staging copy of a replacement, and the id of the model that was replaced, if there is one.
    StagingCopy {
        /// The final id.
        of: Option<ModelId>,
    },
    /// A model that an authorization has created.
    BlankModel,
}

/// What a resource has of them.
pub(crate) struct Leftovers {
    /// In the order of the inventory.
    pub found: Vec<Leftover>,
    /// How many entries of the lists cannot be read.
    pub unreadable: usize,
}

impl Leftover {
    /// Whether it can be deleted.
    pub(crate) fn is_removable(&self) -> bool {
        self.reason.is_ok()
    }
}

/// A leftover, and what became of it.
pub(crate) struct Pruned {
    /// The leftover.
    pub(crate) leftover: Leftover,
    /// None if it was not to be deleted.
    pub(crate) deletion: Option<Result<(), Error>>,
}

impl Pruned {
    /// The word for it in tables and in JSON.
    pub(crate) fn status(&self) -> &'static str {
        match &self.deletion {
            Some(Ok(())) => "deleted",
            Some(Err(_)) => "failed",
            None if self.leftover.is_removable() => "removable",
            None => "kept",
        }
    }

    /// Why it can be deleted, or why it is kept.
    pub(crate) fn reason(&self) -> &str {
        self.leftover.reason.as_ref().unwrap_or_else(|kept| kept)
    }
}

/// Finds the leftovers of a resource. Each is read by its id. What unfinished copies may need is kept.
///
/// # Errors
/// When the resource does not show its lists or its models.
pub(crate) async fn find(client: &Client<'_>, open: &OpenModels) -> Result<Leftovers, Error> {
    let inventory = Inventory::read(client, Scope::default()).await?;
    let mut found = Vec::new();
    for listed in &inventory.listed {
        let leftover = if listed.version.wire().service_names_the_copy() {
            blank_model(client, listed, open).await?
        } else if is_staging(&listed.model.id) {
            staging_copy(client, listed, &inventory, open).await?
        } else {
            None
        };
        found.extend(leftover);
    }
    Ok(Leftovers { found, unreadable: inventory.unreadable })
}

async fn blank_model(client: &Client<'_>, listed: &Listed, open: &OpenModels) -> Result<Option<Leftover>, Error> {
    let Some(call) = listed.version.wire().blank_model(&listed.model.id) else { return Ok(None) };
    if listed.model.readiness != Readiness::Creating {
        return Ok(None);
    }
    let Some(shown) = unless_gone(client.read(&call).await)? else { return Ok(None) };
    let reason = judge(&shown, open, client.service_time());
    let leftover =
        |reason| Leftover { version: listed.version, model: shown.model, origin: Origin::BlankModel, reason };
    Ok(reason.map(leftover))
}

/// Whether a model that is being created can be deleted. None where it is ready by now.
fn judge(
    MaybeBlank { model, is_blank }: &MaybeBlank,
    open: &OpenModels,
    now: Option<Timestamp>,
) -> Option<Result<String, String>> {
    if model.readiness != Readiness::Creating {
        return None;
    }
    if !is_blank {
        return Some(Err("it is being trained: it has a name or a result".into()));
    }
    if let Some(reason) = open.need_blank(model) {
        return Some(Err(reason));
    }
    // The later date counts: whatever changed the model may have been a copy.
    let Some((changed, now)) = model.created.max(model.modified).zip(now) else {
        return Some(Err("its age is not known".into()));
    };
    let age = changed.duration_until(now);
    Some(if age > BLANK_FOR {
        Ok(format!("blank since {changed:.0}, and its authorization has expired"))
    } else {
        let from = changed.saturating_add(BLANK_FOR).unwrap_or(changed);
        Err(format!("created {changed:.0}: a copy or a training may be running, until {from:.0}"))
    })
}

async fn staging_copy(
    client: &Client<'_>,
    listed: &Listed,
    inventory: &Inventory,
    open: &OpenModels,
) -> Result<Option<Leftover>, Error> {
    let (version, kind) = (listed.version, listed.model.kind);
    let staging = client.read(&version.wire().model(kind, &listed.model.id)).await;
    let Some(staging) = unless_gone(staging)? else { return Ok(None) };
    let mut others = inventory.listed.iter().filter(|other| other.version == version && other.model.kind == kind);
    let of = others.find(|other| staging_id(&other.model.id).is_ok_and(|id| id == staging.id));
    let of = of.map(|other| other.model.id.clone());
    let final_copy = match &of {
        Some(id) => unless_gone(client.read(&version.wire().model(kind, id)).await)?,
        None => None,
    };
    let ids: Vec<_> = of.iter().chain([&staging.id]).collect();
    let reason = match (open.need_staging_copy(kind, &ids), &final_copy) {
        (Some(reason), _) => Err(reason),
        (None, None) => Err("the model that it replaces is not there: it may hold the only copy".into()),
        (None, Some(copy)) if is_superseded(&staging, copy) => {
            Ok(format!("{} is a ready copy of the same training", copy.id))
        }
        (None, Some(copy)) => Err(format!(
            "{} is of another training: a replacement is not finished, frcopy copy --if-exists replace finishes it",
            copy.id
        )),
    };
    Ok(Some(Leftover { version, model: staging, origin: Origin::StagingCopy { of }, reason }))
}

/// Whether the final copy makes the staging copy needless.
fn is_superseded(staging: &Model, copy: &Model) -> bool {
    let is_readable = [staging, copy].iter().all(|model| model.unreadable.is_none());
    is_readable && copy.readiness == Readiness::Ready && differences(staging, copy).is_empty()
}

/// None where the resource says that there is no such model.
fn unless_gone<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_no_such_model() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes a leftover, if it is still one: it is read right before each sending.
///
/// # Errors
/// When it has changed, could not be read, or was not deleted.
pub(crate) async fn delete(client: &Client<'_>, leftover: &Leftover) -> Result<(), Error> {
    let call = leftover.version.wire().delete(leftover.model.kind, &leftover.model.id);
    let (mut attempts, mut lost) = (0, 0);
    loop {
        if !look(client, leftover).await? {
            return Ok(());
        }
        let error = match client.send_once(&call, RetryPolicy::PRUNE).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_no_such_model() => return Ok(()),
            Err(error) if error.may_have_been_processed() => unknown(&leftover.model.id, error),
            Err(error) => error,
        };
        attempts += 1;
        lost += u32::from(error.delivery() == Delivery::Unanswered);
        if lost >= MAX_LOST_DELETES {
            return Err(error);
        }
        client.wait_before_repetition(error, attempts).await?;
    }
}

/// Reads a leftover that is to be deleted, and the copy that makes it needless. False where it is gone.
async fn look(client: &Client<'_>, leftover: &Leftover) -> Result<bool, Error> {
    let mut failures = 0;
    loop {
        if client.is_cancelled() {
            return Err(Error::interrupted("interrupted"));
        }
        // The wait for the rate limit comes before the reads, not between them and the deletion.
        client.wait_for_turn(Quota::Management, "delete the model").await?;
        let error = match look_once(client, leftover).await {
            Ok(is_there) => return Ok(is_there),
            Err(error) => error,
        };
        failures += 1;
        if failures >= MAX_FAILED_LOOKS {
            return Err(error);
        }
        client.wait_before_repetition(error, failures).await?;
    }
}

async fn look_once(client: &Client<'_>, leftover: &Leftover) -> Result<bool, Error> {
    let Leftover { version, model, origin, .. } = leftover;
    let read = async |id: &ModelId| {
        let call = version.wire().model(model.kind, id);
        unless_gone(client.send_once(&call, RetryPolicy::ONCE).await.map(|response| response.value))
    };
    let (now, may_go) = match origin {
        Origin::BlankModel => {
            let Some(call) = version.wire().blank_model(&model.id) else { return Err(changed(&model.id)) };
            let Some(shown) = unless_gone(client.send_once(&call, RetryPolicy::ONCE).await)? else { return Ok(false) };
            (shown.value.model, shown.value.is_blank)
        }
        Origin::StagingCopy { of: None } => return Err(changed(&model.id)),
        Origin::StagingCopy { of: Some(of) } => {
            // What is to be deleted is read last: on a slow resource, one read may come seconds after the other.
            let (copy, staging) = tokio::try_join!(read(of), read(&model.id))?;
            let Some(staging) = staging else { return Ok(false) };
            let may_go = copy.is_some_and(|copy| is_superseded(&staging, &copy));
            if !may_go {
                return Err(no_longer_superseded(&model.id, of));
            }
            (staging, may_go)
        }
    };
    if may_go && is_unchanged(model, &now) { Ok(true) } else { Err(changed(&model.id)) }
}

fn no_longer_superseded(id: &ModelId, of: &ModelId) -> Error {
    let what = format!("{of} is no longer a ready copy of the same training as {id}, which is kept");
    Error::new(ErrorKind::Unavailable, what).with_remedy("run the command again, which shows what it is now")
}

/// The error of a deletion without an answer.
fn unknown(id: &ModelId, error: Error) -> Error {
    Error::new(error.kind(), format!("whether {id} was deleted is not known"))
        .with_delivery(error.delivery())
        .with_remedy("run the same command again, which deletes it if it is still there")
        .with_source(error)
}

fn changed(id: &ModelId) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{id} has changed since it was read, and is kept"))
        .with_remedy("run the command again, which shows what it is now")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creating(created: Option<&str>, modified: Option<&str>) -> Model {
        let date = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        let blank = Model::example("33f4d42c-cd2f-4e74-b990-a1aeafab5a5d");
        Model { readiness: Readiness::Creating, created: date(created), modified: date(modified), ..blank }
    }

    #[test]
    fn a_blank_model_can_be_deleted_only_when_no_copy_can_reach_it() {
        let start = Some("2026-11-22T10:00:00Z");
        let judged = |model: Model, is_blank, now: Option<&str>| {
            judge(&MaybeBlank { model, is_blank }, &OpenModels::default(), now.map(|now| now.parse().unwrap()))
                .map(|reason| reason.is_ok())
        };
        let (young, old) = (Some("2026-11-23T10:30:00Z"), Some("2026-11-23T10:30:01Z"));
        assert_eq!(judged(creating(start, start), true, old), Some(true));
        assert_eq!(judged(creating(start, start), true, young), Some(false));
        assert_eq!(judged(creating(start, young), true, old), Some(false), "it was changed later");
        assert_eq!(judged(creating(start, start), false, old), Some(false), "it is being trained");
        assert_eq!(judged(creating(None, None), true, old), Some(false));
        assert_eq!(judged(creating(start, start), true, None), Some(false), "the service's time is not known");
        let ready = Model { readiness: Readiness::Ready, ..creating(start, start) };
        assert_eq!(judged(ready, false, old), None);
    }
}
