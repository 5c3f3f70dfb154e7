//! Reads before a copy: does the source have the model, is the target id free, which API version is needed?
//!
//! Only a definitive answer, the service's own error with a code that says so, ends a copy here. After an inconclusive
//! one, the service decides when it is asked to copy.

use super::context::Job;
use super::event::{Event, Observer};
use super::plan::{IfExists, Plan, classifiers_need_newer};
use super::target_list::ListEntry;
use crate::api::version::ApiVersion;
use crate::client::Client;
use crate::error::{Delivery, Error, ErrorKind};
use crate::inventory;
use crate::label::{Label, SettingNames};
use crate::model::{Kind, Model, ModelId, Readiness};
use crate::model_diff::{check_comparable, differences};
use crate::resource::{Region, Side, TargetAddress};

/// What the reads have shown.
pub(super) struct Preflight {
    /// On the source.
    pub(super) source: SourceModel,
    /// On the target.
    pub(super) target: TargetId,
}

impl Preflight {
    /// Whether an answer of the target about its models has shown that it offers the version to copy with.
    pub(super) fn target_offers_version(&self) -> bool {
        let is_read = matches!(self.target, TargetId::NotListed(_) | TargetId::Free(_) | TargetId::Taken(_));
        is_read && self.source.shown_by == self.source.version
    }
}

/// The model to copy.
#[derive(Debug, Clone)]
pub(super) struct SourceModel {
    pub(super) id: ModelId,
    /// A model or a classifier.
    pub(super) kind: Kind,
    /// The version to copy with.
    pub(super) version: ApiVersion,
    /// The version that shows it, and that the target offers as far as it was asked. A comparison must read the other model
    /// with the same version.
    pub(super) shown_by: ApiVersion,
    /// The model, where the source shows it.
    pub(super) model: Option<Model>,
}

impl SourceModel {
    /// The differences between this model and another one; none where they come from the same training.
    ///
    /// # Errors
    /// When the source does not show its model, or one of the two cannot be compared.
    pub(super) fn differences(&self, other: &Model) -> Result<Vec<String>, Error> {
        let model = self.model.as_ref().ok_or_else(|| {
            let what = format!("the source does not show {}, so it cannot be compared with another one", self.id);
            Error::new(ErrorKind::Unavailable, what).with_remedy(
                "run the command again later, or leave out --if-exists and choose another --target-model-id",
            )
        })?;
        check_comparable(model, "the source")?;
        check_comparable(other, "the target")?;
        Ok(differences(model, other))
    }

    /// Whether another model comes from the same training.
    ///
    /// # Errors
    /// As those of [`SourceModel::differences`].
    pub(super) fn is_same_training(&self, other: &Model) -> Result<bool, Error> {
        Ok(self.differences(other)?.is_empty())
    }

    /// The error of a target that has a model of another training under the id.
    pub(super) fn differs(&self, target: &Label, id: &ModelId, differences: &[String], if_exists: IfExists) -> Error {
        let remedy = match if_exists {
            IfExists::Replace => "run the same command again, which replaces it",
            IfExists::Fail | IfExists::Skip => {
                "replace it with --if-exists replace, or choose another --target-model-id"
            }
        };
        Error::new(ErrorKind::Exists, format!("{target} has another {} {id}", self.kind))
            .with_source(differences.join("; "))
            .with_remedy(remedy)
    }
}

/// The id of the copy, and whether it is free.
#[derive(Debug, Clone)]
pub(super) enum TargetId {
    /// The service will choose it (v2.1).
    ByService,
    /// The target's list does not have it. The list may be minutes old, so the id is read again before its authorize.
    NotListed(ModelId),
    /// The target says that it has no such model. An authorization may have reserved the id.
    Free(ModelId),
    /// The target does not say whether it has such a model.
    Unseen(ModelId),
    /// The target has this model.
    Taken(Box<Model>),
}

impl TargetId {
    /// The id, unless the service chooses it.
    pub(super) fn id(&self) -> Option<&ModelId> {
        match self {
            Self::ByService => None,
            Self::NotListed(id) | Self::Free(id) | Self::Unseen(id) => Some(id),
            Self::Taken(model) => Some(&model.id),
        }
    }
}

/// What a resource shows under an id.
pub(super) enum Lookup {
    /// This model.
    Found(Model),
    /// The service itself says that there is none.
    Absent(Error),
    /// The answer proves nothing.
    Inconclusive,
}

impl Job<'_> {
    /// Reads both sides at the same time.
    pub(super) async fn preflight(&self) -> Result<Preflight, Error> {
        let first = self.first_version();
        let kind = self.plan.kind.unwrap_or(Kind::Model);
        if self.plan.options.api_version.is_some() || !first.wire().service_names_the_copy() {
            // What is impossible is refused before the first request.
            self.plan.check_with(first, kind, None)?;
        }
        let reads = (self.find_on_source(first), self.look_up_target(first, kind, self.plan.new_model_id()));
        let (source, early) = tokio::try_join!(reads.0, reads.1)?;
        let is_conclusive = matches!(early, TargetId::Free(_) | TargetId::Taken(_));
        let applies = source.version == first || (is_conclusive && source.version.shares_models_with(first));
        if source.kind == kind && source.shown_by == first && applies {
            return Ok(Preflight { source, target: early });
        }
        self.preflight_of(source).await
    }

    /// Reads the target for a model that the source has shown before.
    pub(super) async fn preflight_of(&self, source: SourceModel) -> Result<Preflight, Error> {
        self.plan.check_with(source.version, source.kind, source.model.as_ref())?;
        let id = self.plan.new_model_id();
        let list = self.shared.target_list.get();
        let target = match list.and_then(|list| list.look_up(source.kind, id, source.shown_by)) {
            Some(ListEntry::Found(model)) => TargetId::Taken(Box::new(model.clone())),
            Some(ListEntry::Missing) => TargetId::NotListed(id.clone()),
            None => self.look_up_target_for(&source, id).await?,
        };
        if matches!(target, TargetId::Unseen(_)) && source.shown_by != source.version {
            return self.preflight_with_own_version(source).await;
        }
        Ok(Preflight { source, target })
    }

    /// Reads both sides with the version that trained the model: the target may not offer a newer one, and what is compared
    /// must be read with the same version.
    async fn preflight_with_own_version(&self, source: SourceModel) -> Result<Preflight, Error> {
        let SourceModel { version, kind, .. } = source;
        let of_source = self.look_up(self.cx.source, version, kind, &source.id);
        let of_target = self.look_up_target(version, kind, self.plan.new_model_id());
        let (shown, target) = tokio::try_join!(of_source, of_target)?;
        let source = match shown {
            Lookup::Found(model) => SourceModel { shown_by: version, model: Some(model), ..source },
            Lookup::Absent(_) | Lookup::Inconclusive => source,
        };
        Ok(Preflight { source, target })
    }

    /// Reads a source model again that was not shown, if it decides what to do: it is compared with what the target has.
    pub(super) async fn with_source_model(&self, preflight: Preflight) -> Result<Preflight, Error> {
        let is_compared = matches!(preflight.target, TargetId::Taken(_) | TargetId::ByService)
            && self.plan.options.if_exists != IfExists::Fail;
        let SourceModel { kind, shown_by, ref id, ref model, .. } = preflight.source;
        if !is_compared || model.is_some() {
            return Ok(preflight);
        }
        match self.look_up(&self.cx.source.for_decisive_reads(), shown_by, kind, id).await? {
            Lookup::Found(model) => Ok(Preflight { source: self.found(shown_by, model)?, ..preflight }),
            Lookup::Absent(_) | Lookup::Inconclusive => Ok(preflight),
        }
    }

    /// Whether an id is free for the copy of this model.
    pub(super) async fn look_up_target_for(&self, source: &SourceModel, id: &ModelId) -> Result<TargetId, Error> {
        if source.version.wire().service_names_the_copy() {
            self.check_target(source.version).await?;
            return Ok(TargetId::ByService);
        }
        self.look_up_target(source.shown_by, source.kind, id).await
    }

    /// The model to copy, as the source shows it.
    pub(super) async fn find(&self) -> Result<SourceModel, Error> {
        self.find_on_source(self.first_version()).await
    }

    /// The version that the source is asked with first: the given one, or the likeliest.
    fn first_version(&self) -> ApiVersion {
        let options = &self.plan.options;
        let has_address = options.target_address.is_some();
        let likeliest = ApiVersion::to_ask_first(self.plan.kind, &self.plan.model_id, has_address);
        options.api_version.unwrap_or(likeliest)
    }

    async fn find_on_source(&self, first: ApiVersion) -> Result<SourceModel, Error> {
        match self.find_with(first).await {
            Err(error) => Err(self.with_nearest_id(error).await),
            found => found,
        }
    }

    async fn find_with(&self, first: ApiVersion) -> Result<SourceModel, Error> {
        let pinned = self.plan.options.api_version;
        match self.plan.kind {
            Some(kind) => self.find_kind(first, kind).await,
            None if pinned.is_none_or(|version| version.wire().copies(Kind::Classifier)) => {
                self.find_model_or_classifier(first).await
            }
            None => match self.find_kind(first, Kind::Model).await {
                Err(error) if error.is_no_such_model() => Err(self.or_name_the_classifier(first, error).await),
                found => found,
            },
        }
    }

    /// The kind was not given, and the id may be that of a model, of a classifier, or of both.
    async fn find_model_or_classifier(&self, first: ApiVersion) -> Result<SourceModel, Error> {
        let (id, kind) = (&self.plan.model_id, Kind::Classifier);
        let version = ApiVersion::newest_that_copies(kind);
        let source = self.cx.source.label();
        // One after the other, over one connection.
        let model = self.find_kind(first, Kind::Model).await;
        let is_settled = match &model {
            Err(error) => !error.is_no_such_model(),
            // A version without classifiers whose models no other version shows.
            Ok(found) => found.model.is_some() && !found.version.shares_models_with(version),
        };
        if is_settled {
            return model;
        }
        let classifier = self.look_up(self.cx.source, version, kind, id).await;
        let found_classifier =
            |model| Ok(SourceModel { id: id.clone(), kind, version, shown_by: version, model: Some(model) });
        match (model, classifier) {
            (Ok(found), Ok(Lookup::Found(classifier))) => {
                let has_model = found.model.is_some() || self.look_again(found.shown_by, Kind::Model).await?.is_some();
                if !has_model {
                    return found_classifier(classifier);
                }
                let what = format!("{source} has a model and a classifier {id}");
                Err(Error::settings(what, "choose one with --kind"))
            }
            (Err(error), Ok(Lookup::Found(model))) if error.is_no_such_model() => found_classifier(model),
            (Err(error), Ok(Lookup::Absent(_))) if error.is_no_such_model() => {
                Err(error.with_message(format!("{source} has no model or classifier {id}")))
            }
            (Err(error), Ok(Lookup::Inconclusive)) if error.is_no_such_model() => {
                self.look_again(version, kind).await?.map_or(Err(error), found_classifier)
            }
            // There is no such model, and whether there is a classifier is not known.
            (Err(error), Err(unclear)) if error.is_no_such_model() => Err(unclear),
            (model, _) => model,
        }
    }

    /// Reads once more what the source did not show, and without which the kind is not known. A server without classifiers
    /// may have no such path.
    async fn look_again(&self, version: ApiVersion, kind: Kind) -> Result<Option<Model>, Error> {
        let (id, source) = (&self.plan.model_id, self.cx.source);
        match source.read_inventory(&version.wire().model(kind, id)).await {
            Ok(model) => Ok(Some(model)),
            Err(error) if error.is_no_such_model() => Ok(None),
            Err(error) if kind == Kind::Classifier && is_without_path(&error) => Ok(None),
            Err(error) if error.is_inconclusive() => {
                let what = format!("{} does not show whether it has a {kind} {id}", source.label());
                Err(Error::new(ErrorKind::Unavailable, what)
                    .with_source(error)
                    .with_remedy("run the command again later, or choose one with --kind"))
            }
            Err(error) => Err(error),
        }
    }

    async fn find_kind(&self, first: ApiVersion, kind: Kind) -> Result<SourceModel, Error> {
        let lookup = self.look_up(self.cx.source, first, kind, &self.plan.model_id).await?;
        match (self.plan.options.api_version, lookup) {
            (_, Lookup::Found(model)) => self.found(first, model),
            (Some(_), Lookup::Absent(error)) => Err(error),
            (Some(version), Lookup::Inconclusive) => Ok(self.not_shown(version, kind)),
            (None, lookup) => self.search(first, kind, lookup).await,
        }
    }

    /// Asks the other versions, the newest first, until one of them shows the model.
    async fn search(&self, first: ApiVersion, kind: Kind, lookup: Lookup) -> Result<SourceModel, Error> {
        let newest = ApiVersion::newest();
        // Versions that share models: one definitive "no" is enough for all of them.
        let mut absent_from_first = None;
        let mut absent_from_shared = None;
        match lookup {
            Lookup::Absent(error) if !first.shares_models_with(newest) => absent_from_first = Some(error),
            Lookup::Absent(error) => absent_from_shared = Some(error),
            _ => {}
        }
        let others = ApiVersion::all().rev().filter(|version| version.shares_models_with(newest) && *version != first);
        for version in others.filter(|version| version.wire().copies(kind)) {
            match self.look_up(self.cx.source, version, kind, &self.plan.model_id).await? {
                Lookup::Found(model) => return self.found(version, model),
                Lookup::Absent(error) => absent_from_shared = absent_from_shared.or(Some(error)),
                Lookup::Inconclusive => {}
            }
        }
        match (absent_from_first, absent_from_shared) {
            (None, _) if !first.shares_models_with(newest) => Ok(self.not_shown(first, kind)),
            (None, None) => Ok(self.not_shown(newest, kind)),
            (_, Some(error)) => Err(self.or_name_what_is_missing(kind, error).await),
            (Some(error), None) => Err(error),
        }
    }

    /// Says that the id is that of a classifier, which the given version does not copy.
    async fn or_name_the_classifier(&self, version: ApiVersion, error: Error) -> Error {
        let newest = ApiVersion::newest_that_copies(Kind::Classifier);
        let lookup = self.look_up(self.cx.source, newest, Kind::Classifier, &self.plan.model_id).await;
        if matches!(lookup, Ok(Lookup::Found(_))) { classifiers_need_newer(version) } else { error }
    }

    /// Says what is missing for a model of a version that was not asked for lack of it: v2.1 needs the target's address.
    async fn or_name_what_is_missing(&self, kind: Kind, error: Error) -> Error {
        let id = &self.plan.model_id;
        let has_address = self.plan.options.target_address.is_some();
        let version = ApiVersion::to_ask_first(Some(kind), id, true);
        if version.wire().needs_target_address()
            && !has_address
            && let Ok(Lookup::Found(_)) = self.look_up(self.cx.source, version, kind, id).await
            && let Err(missing) = self.plan.check_with(version, kind, None)
        {
            return missing;
        }
        error
    }

    /// A model that a version shows, and the version to copy it with: the given one, or the model's own.
    fn found(&self, shown_by: ApiVersion, model: Model) -> Result<SourceModel, Error> {
        check_ready(self.cx.source, &model)?;
        let version = self.plan.options.api_version.unwrap_or_else(|| version_of(shown_by, &model));
        Ok(SourceModel { id: self.plan.model_id.clone(), kind: model.kind, version, shown_by, model: Some(model) })
    }

    /// A model that the source neither shows nor denies.
    fn not_shown(&self, version: ApiVersion, kind: Kind) -> SourceModel {
        SourceModel { id: self.plan.model_id.clone(), kind, version, shown_by: version, model: None }
    }

    /// Whether a target id is free.
    async fn look_up_target(&self, version: ApiVersion, kind: Kind, id: &ModelId) -> Result<TargetId, Error> {
        if version.wire().service_names_the_copy() {
            self.check_target(version).await?;
            return Ok(TargetId::ByService);
        }
        Ok(match self.look_up(self.target, version, kind, id).await? {
            Lookup::Absent(_) => TargetId::Free(id.clone()),
            Lookup::Inconclusive => TargetId::Unseen(id.clone()),
            Lookup::Found(model) => TargetId::Taken(Box::new(model)),
        })
    }

    /// Compares the given region of the target with the one that its answers name.
    async fn check_target(&self, version: ApiVersion) -> Result<(), Error> {
        check_region(self.target, version, self.plan.options.target_address.as_ref(), self.cx.observer).await
    }

    /// Reads one model of one resource.
    pub(super) async fn look_up(
        &self,
        client: &Client<'_>,
        version: ApiVersion,
        kind: Kind,
        id: &ModelId,
    ) -> Result<Lookup, Error> {
        let call = version.wire().model(kind, id);
        let read = if client.side() == Side::Source {
            client.read_with_first_answer(&call).await
        } else {
            client.read(&call).await
        };
        let error = match read {
            Ok(model) => return Ok(Lookup::Found(model)),
            // Nothing is authorized before the source has answered a request, in whatever way.
            Err(error) if client.side() == Side::Source && !client.has_answered() => {
                // Without a connection, the reason is its own error, however soon the deadline was.
                let is_sent = error.delivery() != Delivery::NotSent;
                let passed = client.check_may_mutate().err().filter(|passed| is_sent && !passed.is_interrupted());
                return Err(match passed {
                    Some(passed) => passed.with_source(error),
                    None => error,
                });
            }
            Err(error) => error,
        };
        if error.is_no_such_model() {
            return Ok(Lookup::Absent(error.with_message(format!("{} has no {kind} {id}", client.label()))));
        }
        if error.is_inconclusive() || is_about_one_of_several_versions(self.plan, &error, client.side()) {
            self.cx.emit(Event::Inconclusive { error: &error });
            return Ok(Lookup::Inconclusive);
        }
        Err(error)
    }
}

/// Compares the given region of the target with the one that its answers name: with a wrong one, the copy would fail
/// minutes later. An answer without a region proves nothing.
///
/// # Errors
/// When the regions differ, or the target refuses.
pub(super) async fn check_region(
    target: &Client<'_>,
    version: ApiVersion,
    given: Option<&TargetAddress>,
    observer: Observer<'_>,
) -> Result<(), Error> {
    if target.service_region().is_none()
        && let Err(error) = inventory::capacity(target, version).await
    {
        // The version may not be offered, which the authorize request shows.
        if !error.is_inconclusive() && !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Refused) {
            return Err(error);
        }
        observer(Event::Inconclusive { error: &error });
    }
    let label = target.label();
    let SettingNames { region, resource_id, .. } = label.settings();
    let named = target.service_region();
    match (given.map(|given| &given.region), named.as_ref().and_then(|region| region.raw().parse::<Region>().ok())) {
        (Some(given), Some(named)) if *given != named => Err(Error::settings(
            format!("{label} is in {}, and {region} is {}", named.as_str(), given.as_str()),
            format!("set {region} to {}, and check that {resource_id} is that of {label} as well", named.as_str()),
        )),
        _ => Ok(()),
    }
}

/// Whether every answer was a 404, the service's own or not.
fn is_without_path(error: &Error) -> bool {
    error.is_version_not_offered() || error.is_foreign_404()
}

/// A version that is not offered does not end a search: the next one may be. The target is asked with all of them.
fn is_about_one_of_several_versions(plan: &Plan, error: &Error, side: Side) -> bool {
    let is_searching = plan.options.api_version.is_none() || side == Side::Target;
    is_searching && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Refused)
}

/// The version to copy a model with that another version shows: the one that trained it.
pub(crate) fn version_of(shown_by: ApiVersion, model: &Model) -> ApiVersion {
    match &model.api_version {
        Some(trained_with) if model.kind == Kind::Model => ApiVersion::for_model_of(trained_with.raw()),
        _ => shown_by,
    }
}

/// Refuses a model that cannot be copied yet, or never.
pub(super) fn check_ready(source: &Client<'_>, model: &Model) -> Result<(), Error> {
    let (kind, source) = (model.kind, source.label());
    let (what, remedy) = match &model.readiness {
        // An unknown status decides nothing: the service does.
        Readiness::Ready | Readiness::Unknown(_) => return Ok(()),
        Readiness::Creating => {
            (format!("the {kind} of {source} is still being created"), "wait until its training has succeeded")
        }
        Readiness::Invalid => (
            format!("the {kind} of {source} cannot be used: its status is invalid"),
            "train it again, and copy that one",
        ),
    };
    Err(Error::new(ErrorKind::Refused, what).with_remedy(remedy))
}
