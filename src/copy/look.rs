//! The look before the leap: reads on both sides that say whether a copy can work, and with which API version.
//!
//! Only a definitive answer, the service's own error with a code that says so, stops a copy here. Whatever else comes
//! back is inconclusive: the service decides when it is asked to copy.

use super::Event;
use super::pipeline::Pipeline;
use crate::api;
use crate::api::version::ApiVersion;
use crate::client::{Client, Patience};
use crate::error::{Delivery, Error, ErrorKind, Finding};
use crate::model::{Kind, Model, ModelId, Readiness};
use crate::resource::Side;

/// What the reads have shown.
pub(super) struct Look {
    /// The version to copy with.
    pub(super) version: ApiVersion,
    /// The source model, where the source shows it.
    pub(super) model: Option<Model>,
    /// Whether the target said that it has no model of the target id.
    pub(super) target_is_free: bool,
}

/// What one resource said to one question for a model.
enum Sight {
    Seen(Model),
    /// The service itself says that there is none.
    Absent(Error),
    Inconclusive,
}

impl Pipeline<'_> {
    /// Looks at both sides at the same time.
    pub(super) async fn look(&self) -> Result<Look, Error> {
        let first = self.first_version();
        if self.plan.api_version.is_some() || first.has_document_models() {
            // What cannot be is refused before the first request.
            self.plan.protocol(first, None)?;
        }
        let ((version, model), early) = tokio::try_join!(self.look_at_source(first), self.look_at_target(first))?;
        let target_is_free = match early {
            // One namespace holds the models of v3.0 and later, so the answer for one version stands for all.
            None if version != first => {
                self.plan.protocol(version, None)?;
                self.look_at_target(version).await?
            }
            answer => answer,
        };
        Ok(Look { version, model, target_is_free: target_is_free.unwrap_or(false) })
    }

    /// The version that is asked first: v2.1 where all that it needs was given, else the newest.
    fn first_version(&self) -> ApiVersion {
        let may_be_custom_model = self.plan.kind == Kind::Model && self.plan.model_id.is_uuid();
        match self.plan.api_version {
            Some(version) => version,
            None if self.plan.target_address.is_some() && may_be_custom_model => ApiVersion::V2_1,
            None => ApiVersion::NEWEST,
        }
    }

    async fn look_at_source(&self, first: ApiVersion) -> Result<(ApiVersion, Option<Model>), Error> {
        let sight = self.sight(&self.source, first, &self.plan.model_id).await?;
        match (self.plan.api_version, sight) {
            (_, Sight::Seen(model)) => {
                refuse_unless_ready(&model, self.plan.kind)?;
                Ok((self.version_of(&model, first), Some(model)))
            }
            (Some(_), Sight::Absent(error)) => Err(error),
            (Some(_), Sight::Inconclusive) => Ok((first, None)),
            (None, sight) => self.search(first, sight).await,
        }
    }

    /// Asks the versions that were not asked first, the newest first, until one of them shows the model.
    async fn search(&self, first: ApiVersion, sight: Sight) -> Result<(ApiVersion, Option<Model>), Error> {
        // v3.0 and later share their models, so one definitive "no" speaks for all that are unclear.
        let mut absent_from_custom_models = None;
        let mut absent_from_document_models = None;
        match sight {
            Sight::Absent(error) if first == ApiVersion::V2_1 => absent_from_custom_models = Some(error),
            Sight::Absent(error) => absent_from_document_models = Some(error),
            _ => {}
        }
        for version in self.searched().filter(|version| *version != first) {
            match self.sight(&self.source, version, &self.plan.model_id).await? {
                Sight::Seen(model) => {
                    refuse_unless_ready(&model, self.plan.kind)?;
                    return Ok((self.version_of(&model, version), Some(model)));
                }
                Sight::Absent(error) => absent_from_document_models = absent_from_document_models.or(Some(error)),
                Sight::Inconclusive => {}
            }
        }
        match (absent_from_custom_models, absent_from_document_models) {
            (None, _) if first == ApiVersion::V2_1 => Ok((first, None)),
            (None, None) => Ok((ApiVersion::NEWEST, None)),
            (_, Some(error)) => Err(self.or_say_that_it_is_a_custom_model(error).await),
            (Some(error), None) => Err(error),
        }
    }

    /// The versions of the document format that can copy this kind, the newest first.
    fn searched(&self) -> impl Iterator<Item = ApiVersion> {
        let any = self.plan.kind == Kind::Model;
        ApiVersion::document_models().filter(move |version| any || version.copies_classifiers())
    }

    /// Somebody who copies a v2.1 model may not know what that takes.
    async fn or_say_that_it_is_a_custom_model(&self, error: Error) -> Error {
        let unasked =
            self.plan.kind == Kind::Model && self.plan.model_id.is_uuid() && self.plan.target_address.is_none();
        if unasked
            && let Ok(Sight::Seen(_)) = self.sight(&self.source, ApiVersion::V2_1, &self.plan.model_id).await
            && let Err(needs) = self.plan.protocol(ApiVersion::V2_1, None)
        {
            return needs;
        }
        error
    }

    /// The version to copy a model with that was seen with some version: the pinned one, or the model's own.
    fn version_of(&self, model: &Model, seen_with: ApiVersion) -> ApiVersion {
        match (self.plan.api_version, &model.api_version) {
            (None, Some(trained_with)) if self.plan.kind == Kind::Model => ApiVersion::for_model_of(trained_with),
            _ => seen_with,
        }
    }

    /// Whether the target id is free: `None` where nobody knows or, in v2.1, the target will choose it.
    async fn look_at_target(&self, version: ApiVersion) -> Result<Option<bool>, Error> {
        if !version.has_document_models() {
            return Ok(None);
        }
        let id = self.plan.new_model_id();
        match self.sight(&self.target, version, id).await? {
            Sight::Absent(_) => Ok(Some(true)),
            Sight::Inconclusive => Ok(None),
            Sight::Seen(_) => {
                let kind = self.plan.kind;
                Err(Error::new(ErrorKind::Exists, format!("the target already has a {kind} {id}")).with_remedy(
                    format!(
                        "choose another id with --target-model-id, or delete the {kind} from the target resource first"
                    ),
                ))
            }
        }
    }

    async fn sight(&self, client: &Client<'_>, version: ApiVersion, id: &ModelId) -> Result<Sight, Error> {
        let request = api::model(version, self.plan.kind, id);
        let error = match client.call(&request, Patience::READ, |answer| api::read_model(version, answer)).await {
            Ok(model) => return Ok(Sight::Seen(model)),
            Err(error) => error,
        };
        if error.finding() == Finding::NoSuchModel {
            return Ok(Sight::Absent(error.saying(format!("the {} has no {} {id}", client.side(), self.plan.kind))));
        }
        if is_inconclusive(&error) || self.concerns_a_version_among_others(&error, client.side()) {
            (self.observer)(Event::Inconclusive { error: &error });
            return Ok(Sight::Inconclusive);
        }
        Err(error)
    }

    /// A version that is retired, or that another one has outgrown, ends no search: the next one may do. The target is
    /// asked for the same model in all of them.
    fn concerns_a_version_among_others(&self, error: &Error, side: Side) -> bool {
        let is_searching = self.plan.api_version.is_none() || side == Side::Target;
        is_searching && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Refused)
    }
}

/// Whether a copy may go on as if the read had not been made.
fn is_inconclusive(error: &Error) -> bool {
    match error.delivery() {
        Delivery::Unanswered => true,
        Delivery::Final => error.finding() == Finding::Inconclusive && error.kind() != ErrorKind::Unavailable,
        // Nobody is there, or nobody has time: a copy would fare no better.
        Delivery::NotSent | Delivery::Throttled { .. } | Delivery::OutOfQuota { .. } => false,
    }
}

fn refuse_unless_ready(model: &Model, kind: Kind) -> Result<(), Error> {
    let side = Side::Source;
    let (what, remedy) = match &model.readiness {
        // A status that nobody knows decides nothing: the service does.
        Readiness::Ready | Readiness::Unknown(_) => return Ok(()),
        Readiness::Creating => {
            (format!("the {side} {kind} is still being created"), "wait until its training has succeeded")
        }
        Readiness::Invalid => {
            (format!("the {side} {kind} cannot be used: its status is invalid"), "train it again, and copy that one")
        }
    };
    Err(Error::new(ErrorKind::Refused, what).with_remedy(remedy))
}
