//! The look before the leap: reads on both sides that say whether a copy can work, and with which API version.
//!
//! Only a definitive answer, the service's own error with a code that says so, stops a copy here. Whatever else comes
//! back is inconclusive: the service decides when it is asked to copy.

use super::Event;
use super::pipeline::Pipeline;
use super::plan::classifiers_need_newer;
use crate::api::version::ApiVersion;
use crate::api::{self, Answer};
use crate::client::{Client, RetryPolicy};
use crate::error::{Delivery, Error, ErrorKind, Finding};
use crate::model::{Kind, Model, ModelId, Readiness};
use crate::resource::Side;

/// What the reads have shown.
pub(super) struct Look {
    /// On the source.
    pub(super) found: Found,
    /// Under the target id.
    pub(super) target: TargetId,
}

/// What the source has shown.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The version to copy with.
    pub(super) version: ApiVersion,
    /// The version that shows it: what is compared with it must be seen with the same eyes.
    pub(super) seen_with: ApiVersion,
    /// A model or a classifier.
    pub(super) kind: Kind,
    /// The model, where the source shows it.
    pub(super) model: Option<Model>,
}

/// Whether the target id can be had.
pub(super) enum TargetId {
    /// The target says that it has no such model. An authorization may have reserved the id all the same.
    Free,
    /// The target does not say; or, in v2.1, it will choose the id itself.
    Unknown,
    /// The target has this.
    Taken(Box<Model>),
}

/// What one resource said to one question for a model.
pub(super) enum Lookup {
    Seen(Model),
    /// The service itself says that there is none.
    Absent(Error),
    Inconclusive,
}

impl Pipeline<'_> {
    /// Looks at both sides at the same time.
    pub(super) async fn look(&self) -> Result<Look, Error> {
        let first = self.first_version();
        let kind = self.plan.kind.unwrap_or(Kind::Model);
        if self.options().api_version.is_some() || first.has_document_models() {
            // What cannot be is refused before the first request.
            self.plan.protocol(first, kind, None)?;
        }
        let (found, early) = tokio::try_join!(self.look_at_source(first), self.look_at_target(first, kind))?;
        // One namespace holds the models of v3.0 and later, so the answer for one version stands for all.
        let stands = !matches!(early, TargetId::Unknown) && found.version.has_document_models();
        if found.kind == kind && found.seen_with == first && (found.version == first || stands) {
            return Ok(Look { found, target: early });
        }
        self.look_at_target_of(found).await
    }

    /// Looks at the target alone, for something that the source has shown before.
    pub(super) async fn look_at_target_of(&self, found: Found) -> Result<Look, Error> {
        self.plan.protocol(found.version, found.kind, found.model.as_ref())?;
        let mut target = TargetId::Unknown;
        if found.version.has_document_models() {
            target = self.look_at_target(found.seen_with, found.kind).await?;
            if matches!(target, TargetId::Unknown) && found.seen_with != found.version {
                target = self.look_at_target(found.version, found.kind).await?;
            }
        }
        Ok(Look { found, target })
    }

    /// The version that is asked first: v2.1 where all that it needs was given, else the newest.
    fn first_version(&self) -> ApiVersion {
        let may_be_custom_model = self.plan.kind != Some(Kind::Classifier) && self.plan.model_id.is_uuid();
        match self.options().api_version {
            Some(version) => version,
            None if self.options().target_address.is_some() && may_be_custom_model => ApiVersion::V2_1,
            None => ApiVersion::NEWEST,
        }
    }

    /// What the source has under the id.
    pub(super) async fn find(&self) -> Result<Found, Error> {
        self.look_at_source(self.first_version()).await
    }

    async fn look_at_source(&self, first: ApiVersion) -> Result<Found, Error> {
        let copies_classifiers = self.options().api_version.is_none_or(ApiVersion::copies_classifiers);
        match self.plan.kind {
            Some(kind) => self.find_kind(first, kind).await,
            None if copies_classifiers => self.find_either(first).await,
            None => match self.find_kind(first, Kind::Model).await {
                Err(error) if error.finding() == Finding::NoSuchModel => {
                    Err(self.or_say_that_it_is_a_classifier(first, error).await)
                }
                found => found,
            },
        }
    }

    /// Nobody has said whether the id is that of a model or of a classifier, and it may be both.
    async fn find_either(&self, first: ApiVersion) -> Result<Found, Error> {
        let version = ApiVersion::NEWEST;
        let id = &self.plan.model_id;
        // One after the other, over one connection.
        let model = self.find_kind(first, Kind::Model).await;
        let is_settled = match &model {
            Err(error) => error.finding() != Finding::NoSuchModel,
            // v2.1 knows no classifiers, and no other version its models.
            Ok(found) => !found.version.has_document_models() && found.model.is_some(),
        };
        if is_settled {
            return model;
        }
        let classifier = self.sight(self.source, version, Kind::Classifier, id).await;
        match (model, classifier) {
            (Ok(found), Ok(Lookup::Seen(_))) => Err(Error::settings(
                match found.model {
                    Some(_) => format!("the source has a model and a classifier {id}"),
                    None => format!("the source has a classifier {id}, and does not say whether it has a model {id}"),
                },
                "say which one with --kind",
            )),
            (Err(error), Ok(Lookup::Seen(seen))) if error.finding() == Finding::NoSuchModel => {
                Ok(Found { version, seen_with: version, kind: Kind::Classifier, model: Some(seen) })
            }
            (Err(error), Ok(Lookup::Absent(_))) if error.finding() == Finding::NoSuchModel => {
                Err(error.with_message(format!("the source has no model or classifier {id}")))
            }
            // There is no such model, and nobody knows of a classifier.
            (Err(error), Err(unclear)) if error.finding() == Finding::NoSuchModel => Err(unclear),
            (model, _) => model,
        }
    }

    async fn find_kind(&self, first: ApiVersion, kind: Kind) -> Result<Found, Error> {
        let sight = self.sight(self.source, first, kind, &self.plan.model_id).await?;
        match (self.options().api_version, sight) {
            (_, Lookup::Seen(model)) => self.found(first, model),
            (Some(_), Lookup::Absent(error)) => Err(error),
            (Some(version), Lookup::Inconclusive) => Ok(unseen(version, kind)),
            (None, sight) => self.search(first, kind, sight).await,
        }
    }

    /// Asks the versions that were not asked first, the newest first, until one of them shows the model.
    async fn search(&self, first: ApiVersion, kind: Kind, sight: Lookup) -> Result<Found, Error> {
        // v3.0 and later share their models, so one definitive "no" speaks for all that are unclear.
        let mut absent_from_custom_models = None;
        let mut absent_from_document_models = None;
        match sight {
            Lookup::Absent(error) if first == ApiVersion::V2_1 => absent_from_custom_models = Some(error),
            Lookup::Absent(error) => absent_from_document_models = Some(error),
            _ => {}
        }
        for version in searched(kind).filter(|version| *version != first) {
            match self.sight(self.source, version, kind, &self.plan.model_id).await? {
                Lookup::Seen(model) => return self.found(version, model),
                Lookup::Absent(error) => absent_from_document_models = absent_from_document_models.or(Some(error)),
                Lookup::Inconclusive => {}
            }
        }
        match (absent_from_custom_models, absent_from_document_models) {
            (None, _) if first == ApiVersion::V2_1 => Ok(unseen(first, kind)),
            (None, None) => Ok(unseen(ApiVersion::NEWEST, kind)),
            (_, Some(error)) => Err(self.or_say_that_it_is_a_custom_model(kind, error).await),
            (Some(error), None) => Err(error),
        }
    }

    /// Somebody who copies a classifier may not know which version that takes.
    async fn or_say_that_it_is_a_classifier(&self, version: ApiVersion, error: Error) -> Error {
        let sight = self.sight(self.source, ApiVersion::NEWEST, Kind::Classifier, &self.plan.model_id).await;
        if matches!(sight, Ok(Lookup::Seen(_))) { classifiers_need_newer(version) } else { error }
    }

    /// Somebody who copies a v2.1 model may not know what that takes.
    async fn or_say_that_it_is_a_custom_model(&self, kind: Kind, error: Error) -> Error {
        let (v2_1, id) = (ApiVersion::V2_1, &self.plan.model_id);
        let unasked = kind == Kind::Model && id.is_uuid() && self.options().target_address.is_none();
        if unasked
            && let Ok(Lookup::Seen(_)) = self.sight(self.source, v2_1, kind, id).await
            && let Err(needs) = self.plan.protocol(v2_1, kind, None)
        {
            return needs;
        }
        error
    }

    /// A model that was seen with some version, and the version to copy it with: the pinned one, or the model's own.
    fn found(&self, seen_with: ApiVersion, model: Model) -> Result<Found, Error> {
        refuse_unless_ready(&model)?;
        let version = self.options().api_version.unwrap_or_else(|| version_of(seen_with, &model));
        Ok(Found { version, seen_with, kind: model.kind, model: Some(model) })
    }

    /// Whether the target id is free.
    async fn look_at_target(&self, version: ApiVersion, kind: Kind) -> Result<TargetId, Error> {
        if !version.has_document_models() {
            return Ok(TargetId::Unknown);
        }
        Ok(match self.sight(self.target, version, kind, self.plan.new_model_id()).await? {
            Lookup::Absent(_) => TargetId::Free,
            Lookup::Inconclusive => TargetId::Unknown,
            Lookup::Seen(model) => TargetId::Taken(Box::new(model)),
        })
    }

    /// Asks one resource for one model.
    pub(super) async fn sight(
        &self,
        client: &Client<'_>,
        version: ApiVersion,
        kind: Kind,
        id: &ModelId,
    ) -> Result<Lookup, Error> {
        let error = match read_model(client, version, kind, id).await {
            Ok(model) => return Ok(Lookup::Seen(model)),
            Err(error) => error,
        };
        if error.finding() == Finding::NoSuchModel {
            return Ok(Lookup::Absent(error.with_message(format!("the {} has no {kind} {id}", client.side()))));
        }
        if is_inconclusive(&error) || self.concerns_a_version_among_others(&error, client.side()) {
            (self.observer)(Event::Inconclusive { error: &error });
            return Ok(Lookup::Inconclusive);
        }
        Err(error)
    }

    /// A version that is retired, or that another one has outgrown, ends no search: the next one may do. The target is
    /// asked for the same model in all of them.
    fn concerns_a_version_among_others(&self, error: &Error, side: Side) -> bool {
        let is_searching = self.options().api_version.is_none() || side == Side::Target;
        is_searching && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Refused)
    }
}

/// What one resource shows under an id.
pub(super) async fn read_model(
    client: &Client<'_>,
    version: ApiVersion,
    kind: Kind,
    id: &ModelId,
) -> Result<Model, Error> {
    let read = |answer: &Answer| api::read_model(version, answer);
    let model = client.call(&api::model(version, kind, id), RetryPolicy::READ, read).await?;
    Ok(Model { kind, ..model })
}

/// Nobody has shown it, and nobody has said that it is not there.
fn unseen(version: ApiVersion, kind: Kind) -> Found {
    Found { version, seen_with: version, kind, model: None }
}

/// The version to copy a model with that was seen with some version: the one that trained it.
pub(super) fn version_of(seen_with: ApiVersion, model: &Model) -> ApiVersion {
    match &model.api_version {
        Some(trained_with) if model.kind == Kind::Model => ApiVersion::for_model_of(trained_with),
        _ => seen_with,
    }
}

/// The versions of the document format that can copy a kind, the newest first.
fn searched(kind: Kind) -> impl Iterator<Item = ApiVersion> {
    ApiVersion::document_models().filter(move |version| kind == Kind::Model || version.copies_classifiers())
}

/// Whether a copy may go on as if the read had not been made.
pub(super) fn is_inconclusive(error: &Error) -> bool {
    match error.delivery() {
        // Somebody said to stop: that is no answer, and nothing goes on.
        _ if error.kind() == ErrorKind::Interrupted => false,
        Delivery::Unanswered => true,
        Delivery::Final => error.finding() == Finding::Inconclusive && error.kind() != ErrorKind::Unavailable,
        // Nobody is there, or nobody has time: a copy would fare no better.
        Delivery::NotSent | Delivery::Throttled { .. } | Delivery::OutOfQuota { .. } => false,
    }
}

pub(super) fn refuse_unless_ready(model: &Model) -> Result<(), Error> {
    let (side, kind) = (Side::Source, model.kind);
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
