//! The custom models and classifiers of one resource, read page by page.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::version::ApiVersion;
use crate::api::{Call, Capacity, Page};
use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::label::Label;
use crate::model::{DocumentType, Kind, Model, ModelId, Readiness};
use crate::selection::Selection;

/// How many models are read at the same time, where a list does not have all fields.
pub(crate) const PARALLEL_READS: usize = 20;
/// More pages than any resource has. A longer list does not end.
const MAX_PAGES: usize = 10_000;
/// The documented limit of models of a resource. A list is always read up to here.
const DOCUMENTED_MODELS: usize = 5_500;
/// How much memory the models of a longer list may take in bytes, by [`estimated_size`].
const MAX_SIZE: usize = 12 * 1024 * 1024;
/// How many pages in succession may bring no new model. More show a cycle whose links differ.
const MAX_PAGES_WITHOUT_NEWS: usize = 30;

/// Which part of a resource is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scope {
    /// Asks one version only; `None` asks v2.1 and the newest one that the resource offers.
    pub api_version: Option<ApiVersion>,
    /// Models or classifiers; `None` means both.
    pub kind: Option<Kind>,
}

/// A model or classifier and the version that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The version that was asked.
    pub version: ApiVersion,
    /// What the resource says.
    pub model: Model,
}

/// What one resource has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inventory {
    /// Its custom models and classifiers: models first, by id.
    pub listed: Vec<Listed>,
    /// The lists that were read to their ends.
    pub lists: Vec<(Kind, ApiVersion)>,
    /// How many entries of the lists cannot be read.
    pub unreadable: usize,
    /// The lists that have such entries.
    pub incomplete: IncompleteLists,
}

/// The lists that have entries that cannot be read. What they do not show may be there.
#[derive(Debug, Clone, Default)]
pub(crate) struct IncompleteLists(Vec<(Kind, ApiVersion)>);

impl IncompleteLists {
    /// Whether one of them may have a model that it does not show, of this version or of one with the same models.
    #[must_use]
    pub(crate) fn may_have(&self, kind: Kind, version: ApiVersion) -> bool {
        self.0.iter().any(|(of, by)| *of == kind && by.shares_models_with(version))
    }

    /// The kinds of which one of them may have a model with this id.
    pub(crate) fn kinds_that_may_have<'a>(&'a self, id: &'a ModelId) -> impl Iterator<Item = Kind> + 'a {
        self.0.iter().filter(|(_, version)| version.wire().may_have_id(id)).map(|(kind, _)| *kind)
    }

    /// Whether there are none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Scope {
    /// The lists to read: for each one, the versions that show the same models. The first one that is offered is enough.
    fn lists(self) -> Vec<(Kind, Vec<ApiVersion>)> {
        let groups = match self.api_version {
            Some(version) => vec![vec![version]],
            None => ApiVersion::groups(),
        };
        let kinds =
            [Kind::Model, Kind::Classifier].into_iter().filter(|kind| self.kind.is_none_or(|only| only == *kind));
        let with_kind = |kind: Kind| {
            let groups = groups.iter().map(move |group| group.iter().copied().filter(move |one| one.wire().has(kind)));
            groups.map(move |group| (kind, group.collect::<Vec<_>>())).collect::<Vec<_>>()
        };
        kinds.flat_map(with_kind).filter(|(_, versions)| !versions.is_empty()).collect()
    }
}

impl Inventory {
    /// Reads what a resource has, as far as its lists show it.
    ///
    /// A version that the resource does not offer, by two answers of the service, is left out, unless it offers none of
    /// those that were asked. Each model is listed once.
    ///
    /// # Errors
    /// When the resource cannot be asked, refuses, offers no version, or does not show one of its lists.
    pub(crate) async fn read(client: &Client<'_>, scope: Scope) -> Result<Self, Error> {
        Self::read_lists(client, scope.lists()).await
    }

    /// The same, without the models whose ids the service chooses.
    ///
    /// # Errors
    /// As those of [`Inventory::read`].
    pub(crate) async fn read_named_by_caller(client: &Client<'_>, scope: Scope) -> Result<Self, Error> {
        let is_named_by_service = |version: &ApiVersion| version.wire().service_names_the_copy();
        let mut lists = scope.lists();
        lists.retain(|(_, versions)| !versions.iter().any(is_named_by_service));
        Self::read_lists(client, lists).await
    }

    async fn read_lists(client: &Client<'_>, lists: Vec<(Kind, Vec<ApiVersion>)>) -> Result<Self, Error> {
        let mut inventory = Self::default();
        let mut offers = Offers::default();
        for (kind, versions) in lists {
            for version in versions {
                if let Some((call, page)) = offers.first_page(client, version, kind).await? {
                    inventory.add(client, (kind, version), call, page).await?;
                    inventory.lists.push((kind, version));
                    break;
                }
            }
        }
        if let Some(error) = offers.refusal.filter(|_| offers.offered.is_empty()) {
            return Err(error);
        }
        let order = |a: &Listed, b: &Listed| {
            (a.model.kind, &a.model.id, a.version).cmp(&(b.model.kind, &b.model.id, b.version))
        };
        inventory.listed.sort_by(order);
        Ok(inventory)
    }

    /// All models and classifiers.
    #[must_use]
    pub(crate) fn models(&self) -> Vec<&Model> {
        self.listed.iter().map(|listed| &listed.model).collect()
    }

    /// Refuses a selection of which its lists show nothing, unless they have entries that cannot be read.
    ///
    /// # Errors
    /// As those of [`Selection::check`].
    pub(crate) fn check_selection(&self, selection: &Selection, on: &str) -> Result<(), Error> {
        if self.incomplete.is_empty() { selection.check(&self.models(), on) } else { Ok(()) }
    }

    /// The models whose ids the service chose (v2.1) and that are ready.
    pub(crate) fn ready_and_named_by_service(&self) -> impl Iterator<Item = &Model> {
        let named = self.listed.iter().filter(|listed| listed.version.wire().service_names_the_copy());
        named.map(|listed| &listed.model).filter(|model| model.readiness == Readiness::Ready)
    }

    /// Adds a list from its first page to its last.
    async fn add(
        &mut self,
        client: &Client<'_>,
        (kind, version): (Kind, ApiVersion),
        mut call: Call<'static, Page<Model>>,
        mut page: Page<Model>,
    ) -> Result<(), Error> {
        let unreadable_before = self.unreadable;
        // A model may be on two pages, if another one was created in between.
        let mut models = BTreeMap::new();
        let mut links = BTreeSet::from([call.request.path_and_query.clone()]);
        let (mut without_news, mut size) = (0, 0);
        loop {
            let count = models.len();
            size += page.items.iter().map(estimated_size).sum::<usize>();
            self.unreadable += page.unreadable;
            models.extend(page.items.into_iter().map(|model| (model.id.clone(), model)));
            without_news = if models.len() > count { 0 } else { without_news + 1 };
            let Some(link) = page.next_link else { break };
            let request = call.request.next_page(&link, client.endpoint())?;
            if !links.insert(request.path_and_query.clone()) || without_news > MAX_PAGES_WITHOUT_NEWS {
                return Err(endless(client, &call, "a page links to one that was read before"));
            }
            if links.len() > MAX_PAGES || (models.len() > DOCUMENTED_MODELS && size > MAX_SIZE) {
                return Err(endless(client, &call, "it has more models than any resource"));
            }
            call = call.with_request(request);
            page = client.read_inventory(&call).await?;
        }
        if self.unreadable > unreadable_before {
            self.incomplete.0.push((kind, version));
        }
        self.listed.extend(models.into_values().map(|model| Listed { version, model }));
        Ok(())
    }
}

/// Which versions a resource offers, as far as its answers show. One 404 proves nothing: a version that is not offered
/// must say so in two answers.
#[derive(Default)]
struct Offers {
    offered: Vec<ApiVersion>,
    not_offered: Vec<ApiVersion>,
    /// The first answer of a version that is not offered.
    refusal: Option<Error>,
}

/// A list, from its first page on.
type List = (Call<'static, Page<Model>>, Page<Model>);

impl Offers {
    /// Reads the first page of a list; none if the resource does not offer the version.
    async fn first_page(
        &mut self,
        client: &Client<'_>,
        version: ApiVersion,
        kind: Kind,
    ) -> Result<Option<List>, Error> {
        let call = version.wire().models(kind);
        let refusal = match client.read_inventory(&call).await {
            Ok(page) if !self.not_offered.contains(&version) => {
                self.offered.push(version);
                return Ok(Some((call, page)));
            }
            // A list that was left out before is missing after all.
            Ok(_) => return Err(missing_list(client.label(), version, None)),
            Err(error) if error.is_version_not_offered() => error,
            Err(error) if error.is_foreign_404() => return Err(self.unproven(client, version, error).await),
            Err(error) => return Err(error),
        };
        if !self.is_offered(client, version).await? {
            self.refusal.get_or_insert(refusal);
            return Ok(None);
        }
        match client.read_inventory(&call).await {
            Ok(page) => Ok(Some((call, page))),
            Err(error) if error.is_version_not_offered() => {
                Err(missing_list(client.label(), version, Some(kind)).with_source(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether another answer of the resource shows that it offers the version.
    async fn is_offered(&mut self, client: &Client<'_>, version: ApiVersion) -> Result<bool, Error> {
        if self.offered.contains(&version) || self.not_offered.contains(&version) {
            return Ok(self.offered.contains(&version));
        }
        match client.read_inventory(&version.wire().capacity()).await {
            Ok(_) => self.offered.push(version),
            Err(error) if error.is_version_not_offered() => self.not_offered.push(version),
            Err(error) if error.is_foreign_404() => return Err(unproven(client.label(), error)),
            Err(error) => return Err(error),
        }
        Ok(self.offered.contains(&version))
    }

    /// The error of a list of which only a 404 came that is not the service's own. It is that 404 where nothing else shows
    /// that the service answers: then the endpoint may be wrong.
    async fn unproven(&self, client: &Client<'_>, version: ApiVersion, error: Error) -> Error {
        let is_answering = !self.offered.is_empty() || !self.not_offered.is_empty();
        match capacity(client, version).await {
            Err(other) if !is_answering && other.is_foreign_404() => error,
            Err(other) if other.is_interrupted() => other,
            _ => unproven(client.label(), error),
        }
    }
}

/// The error of a resource that answers, but with a 404 that is not its own where a list should be.
fn unproven(resource: &Label, error: Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{resource} answers, but does not show all of its lists"))
        .with_source(error)
        .with_remedy("run the command again later, and check that no gateway answers instead of the service")
}

/// The error of a resource that offers a version, but not one of its lists.
fn missing_list(resource: &Label, version: ApiVersion, kind: Option<Kind>) -> Error {
    let (of, remedy) = match kind {
        Some(Kind::Model) => ("models", "run the command again, or leave models out with --kind classifier"),
        Some(Kind::Classifier) => ("classifiers", "run the command again, or leave classifiers out with --kind model"),
        None => ("models or classifiers", "run the command again"),
    };
    Error::new(ErrorKind::NotFound, format!("{resource} offers {version}, but does not show its list of {of}"))
        .with_remedy(remedy)
}

/// Roughly how many bytes of memory a model takes.
fn estimated_size(model: &Model) -> usize {
    let schemas = model.document_types.iter().filter_map(|document_type| document_type.field_schema.as_ref());
    let texts = schemas.map(|schema| schema.len()).sum::<usize>();
    let types = model.document_types.len() * (size_of::<DocumentType>() + 64);
    // The map of tags is allocated for eleven entries at once.
    let tags = if model.tags.is_empty() { 0 } else { 1024 };
    size_of::<Listed>() + 128 + types + tags + texts
}

/// The error of a list that cannot be read to its end.
fn endless(client: &Client<'_>, call: &Call<'_, Page<Model>>, why: &str) -> Error {
    let what = format!("the list of {} does not end ({})", client.label(), call.request.purpose);
    Error::new(ErrorKind::Unforeseen, what)
        .with_source(why.to_owned())
        .with_remedy("check that no proxy answers instead of the service, and run the command again")
}

/// Reads the fields that a list leaves out of a model.
///
/// # Errors
/// When the resource does not show the model.
pub(crate) async fn complete(client: &Client<'_>, listed: Listed) -> Result<Listed, Error> {
    if listed.model.is_complete {
        return Ok(listed);
    }
    let Listed { version, model } = listed;
    let model = client.read_inventory(&version.wire().model(model.kind, &model.id)).await?;
    Ok(Listed { version, model })
}

/// Reads how many models a resource has and may have, of all versions that share models with this one.
///
/// # Errors
/// When the resource does not say.
pub(crate) async fn capacity(client: &Client<'_>, version: ApiVersion) -> Result<Capacity, Error> {
    client.read(&version.wire().capacity()).await
}

/// The error of a target that has less room than is needed.
#[must_use]
pub(crate) fn shortage(capacity: Capacity, needed: u64) -> Option<Error> {
    let room = capacity.room();
    let what = format!("the target has room for {room} models, and {needed} would be copied");
    (needed > room).then(|| {
        Error::new(ErrorKind::Refused, what)
            .with_remedy("delete models that are not needed from the target resource, or raise its pricing tier")
    })
}
