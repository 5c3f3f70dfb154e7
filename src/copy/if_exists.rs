//! What to do where the target has the id already, or in v2.1 a copy of the same training.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::IfExists;
use super::pipeline::{Action, Pipeline};
use super::poll::has_ended;
use super::preflight::{Found, Look, Lookup, TargetId};
use super::replace::Place;
use super::{Event, Report};
use crate::api::ListedCopy;
use crate::api::version::ApiVersion;
use crate::error::{Error, ErrorKind, Finding};
use crate::inventory::{Inventory, Scope};
use crate::model::{Kind, Model, ModelId, Readiness};
use crate::model_diff::{differences, is_custom_model_of};
use crate::operation::OperationUrl;

/// A blank v2.1 model that is younger may be the target of a copy that is under way: one that was started after a
/// minute of waiting, and takes half a minute.
const BLANK_MAY_BE_COPY: Duration = Duration::from_secs(90);
const RUN_AGAIN: &str = "run the same command again in a few minutes";
/// From one look for such a copy to the next.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

impl Pipeline<'_> {
    /// Decides what to do, now that both sides have been looked at.
    pub(super) async fn decide(&self, look: Look) -> Result<Action, Error> {
        let if_exists = self.options().if_exists;
        if !look.found.version.has_document_models() {
            return self.decide_custom_model(look).await;
        }
        let differences = match &look.target {
            TargetId::Taken(_) if if_exists == IfExists::Fail => return Err(self.exists(&look)),
            TargetId::Taken(existing) => Some(self.differences(&look.found, existing)?),
            TargetId::Free | TargetId::Unknown => None,
        };
        match (if_exists, differences) {
            (IfExists::Skip, Some(found)) if !found.is_empty() => Err(self.differs(&look, &found)),
            (IfExists::Replace, None) => self.replacement(look, Place::Empty).await,
            (IfExists::Replace, Some(found)) if found.is_empty() => self.replacement(look, Place::Same).await,
            (IfExists::Replace, Some(_)) => self.replacement(look, Place::Other).await,
            (_, Some(_)) => Ok(Action::AlreadyThere(self.plan.new_model_id().clone())),
            (_, None) => Ok(Action::Copy(Box::new(look))),
        }
    }

    /// What tells the source's model from another one, where the source shows its own.
    pub(super) fn differences(&self, found: &Found, other: &Model) -> Result<Vec<String>, Error> {
        let source = found.model.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                format!("the source does not show {}, so it cannot be compared with the target's", self.plan.model_id),
            )
            .with_remedy("run the command again later, or leave out --if-exists and choose another --target-model-id")
        })?;
        Ok(differences(source, other))
    }

    fn exists(&self, look: &Look) -> Error {
        let (kind, id) = (look.found.kind, self.plan.new_model_id());
        Error::new(ErrorKind::Exists, format!("the target already has a {kind} {id}")).with_remedy(
            "choose another id with --target-model-id, leave alone what is there and the same with --if-exists skip, or \
             put the source's in its place with --if-exists replace",
        )
    }

    fn differs(&self, look: &Look, differences: &[String]) -> Error {
        let (kind, id) = (look.found.kind, self.plan.new_model_id());
        Error::new(ErrorKind::Exists, format!("the target has another {kind} {id}"))
            .with_source(differences.join("; "))
            .with_remedy("put the source's in its place with --if-exists replace, or choose another --target-model-id")
    }

    /// v2.1 names copies itself, so nothing is ever taken; but a copy that is there need not be made again.
    async fn decide_custom_model(&self, look: Look) -> Result<Action, Error> {
        let Some(source) = look.found.model.as_ref().filter(|_| self.options().if_exists != IfExists::Fail) else {
            return Ok(Action::Copy(Box::new(look)));
        };
        let copies = self.common.custom_copies.get_or_try_init(|| self.custom_copies()).await?;
        Ok(match self.copy_among(source, copies) {
            Some(id) => Action::AlreadyThere(id),
            None => Action::Copy(Box::new(look)),
        })
    }

    /// The copy of a v2.1 model: the one that is known of, or one that comes from the same training.
    fn copy_among(&self, source: &Model, copies: &Inventory) -> Option<ModelId> {
        let known = self.options().known_copies.get(&source.id);
        let mut all = copies.custom_models().filter(|copy| is_custom_model_of(source, copy) && !self.is_source(copy));
        let first = all.next()?;
        let of_all = std::iter::once(first).chain(all).find(|copy| Some(&copy.id) == known);
        Some(of_all.unwrap_or(first).id.clone())
    }

    /// Where source and target are one and the same resource, a model is no copy of itself.
    fn is_source(&self, copy: &Model) -> bool {
        self.options().source.endpoint == self.options().target.endpoint && copy.id == self.plan.model_id
    }

    /// The v2.1 models of the target. A young blank one may become a copy that a command began which is no more: it is
    /// waited for, or the model would be copied twice.
    async fn custom_copies(&self) -> Result<Inventory, Error> {
        let scope = Scope { api_version: Some(ApiVersion::V2_1), kind: Some(Kind::Model) };
        let (began, until) = (Timestamp::now(), Instant::now() + BLANK_MAY_BE_COPY);
        let is_young = |model: &Model| {
            let age =
                model.created.map(|created| (created.duration_until(began), created.duration_until(Timestamp::now())));
            let young = |age: SignedDuration| age.unsigned_abs() < BLANK_MAY_BE_COPY;
            model.readiness == Readiness::Creating && age.is_some_and(|(then, now)| young(then) && young(now))
        };
        let mut is_first = true;
        loop {
            let inventory = Inventory::read(self.target, scope).await?;
            let young = inventory.listed.iter().filter(|listed| is_young(&listed.model)).count();
            if young == 0 || Instant::now() >= until {
                return Ok(inventory);
            }
            if std::mem::take(&mut is_first) {
                (self.observer)(Event::WaitingForBlanks { count: young });
            }
            let left = self.target.deadline().saturating_duration_since(Instant::now());
            self.target.pause(LOOK_AGAIN.min(left)).await?;
            self.may_begin()?;
        }
    }

    /// A conflict about an id that was free a moment ago may be a copy under way, begun by a command that is no more: it is
    /// followed, and counts if it brings the source's model.
    pub(super) async fn adopt_or(&self, error: Error, look: &Look, report: &mut Report) -> Result<(), Error> {
        if error.kind() != ErrorKind::Exists || self.options().if_exists == IfExists::Fail {
            return Err(error);
        }
        let Found { version, seen_with, kind, .. } = look.found;
        let id = self.plan.new_model_id();
        if let Some(operation) = self.copy_under_way(look).await {
            report.operation = Some(operation.clone());
            report.target_model_id = Some(id.clone());
            (self.observer)(Event::Adopted { operation: &operation });
            let pursuit = self.pursuit(version);
            let followed = match pursuit.follow(&operation, report).await {
                Ok(_) => pursuit.verify(self.target, kind, id).await.map(drop),
                Err(error) => Err(error),
            };
            match followed {
                Ok(()) => {}
                // It was to another target, or came to nothing: the id is reserved by somebody else.
                Err(ended) if has_ended(&ended) || ended.finding() == Finding::NoSuchModel => {
                    report.operation = None;
                    return Err(error);
                }
                Err(goes_on) => return Err(goes_on),
            }
        }
        // Or it has ended in this moment. Whose copy it is, only the target can say.
        let copy = match self.sight(self.target, seen_with, kind, id).await? {
            Lookup::Seen(copy) => copy,
            Lookup::Absent(_) => return Err(error),
            Lookup::Inconclusive => {
                let what = format!("the target does not show whether its {id} is a copy of this {kind}");
                return Err(Error::new(ErrorKind::Unavailable, what).with_source(error).with_remedy(RUN_AGAIN));
            }
        };
        let found = self.differences(&look.found, &copy)?;
        if !found.is_empty() {
            return Err(self.differs(look, &found));
        }
        report.target_model_id = Some(id.clone());
        report.verified = true;
        Ok(())
    }

    async fn copy_under_way(&self, look: &Look) -> Option<OperationUrl> {
        let id = self.plan.new_model_id();
        let is_meant = |copy: &ListedCopy| copy.target_model_id == *id && !copy.status.is_terminal();
        match self.starting(look).look_for_operation(is_meant, |_| true).await {
            Ok(operation) => operation,
            Err(error) => {
                (self.observer)(Event::Inconclusive { error: &error });
                None
            }
        }
    }
}
