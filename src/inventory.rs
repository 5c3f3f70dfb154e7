//! What one resource has: its custom models and classifiers, read page by page.

use crate::api::version::ApiVersion;
use crate::api::{self, Answer, Capacity, Page, Request};
use crate::client::{Client, RetryPolicy};
use crate::error::{Delivery, Error, ErrorKind, Finding};
use crate::model::{Kind, Model, Readiness};

/// How many models are asked for at the same time, where a list does not show enough of them.
pub const READS_AT_A_TIME: usize = 20;
/// More pages than any resource has: a list that goes on is a list that goes in circles.
const MOST_PAGES: usize = 10_000;

/// Which part of a resource is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scope {
    /// Asks one version only; `None` asks v2.1 and the newest one that the resource offers.
    pub api_version: Option<ApiVersion>,
    /// Models or classifiers; `None` means both.
    pub kind: Option<Kind>,
}

/// A model or classifier and the version that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The version that was asked.
    pub version: ApiVersion,
    /// What the resource says.
    pub model: Model,
}

/// What one resource has.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Its custom models and classifiers: models first, by id.
    pub listed: Vec<Listed>,
    /// How many things the lists name that cannot be read.
    pub unread: usize,
}

impl Scope {
    /// The lists to read: for each one, versions of which the first that the resource offers has it all.
    fn lists(self) -> Vec<(Kind, Vec<ApiVersion>)> {
        let kinds =
            [Kind::Model, Kind::Classifier].into_iter().filter(|kind| self.kind.is_none_or(|only| only == *kind));
        let lists = kinds.flat_map(|kind| match self.api_version {
            Some(version) => vec![(kind, vec![version])],
            // v3.0 and later share their models, and the newest shows them all.
            None if kind == Kind::Model => {
                vec![(kind, vec![ApiVersion::V2_1]), (kind, ApiVersion::document_models().collect())]
            }
            None => vec![(kind, ApiVersion::document_models().collect())],
        });
        lists.collect()
    }
}

impl Inventory {
    /// Reads what a resource has, as far as its lists show it.
    ///
    /// A version that the resource does not offer is left out, unless it offers none of those that were asked.
    ///
    /// # Errors
    /// When the resource cannot be asked, refuses, or offers no version.
    pub async fn read(client: &Client<'_>, scope: Scope) -> Result<Self, Error> {
        let mut inventory = Self::default();
        let mut refusal = None;
        let mut answered = false;
        for (kind, versions) in scope.lists() {
            for version in versions {
                // A version may know nothing of this kind.
                let Some(first) = api::list(version, kind) else { continue };
                match read_page(client, version, &first).await {
                    Ok(page) => {
                        answered = true;
                        inventory.add(client, version, first, page).await?;
                        break;
                    }
                    Err(error) if is_not_offered(&error) => refusal = Some(error),
                    Err(error) => return Err(error),
                }
            }
        }
        if let Some(error) = refusal.filter(|_| !answered) {
            return Err(error);
        }
        inventory.listed.sort_by(|a, b| (a.model.kind, &a.model.id).cmp(&(b.model.kind, &b.model.id)));
        Ok(inventory)
    }

    /// All of it, whatever shows it.
    #[must_use]
    pub fn models(&self) -> Vec<&Model> {
        self.listed.iter().map(|listed| &listed.model).collect()
    }

    /// The models of v2.1 that can be used.
    pub fn custom_models(&self) -> impl Iterator<Item = &Model> {
        let custom = self.listed.iter().filter(|listed| !listed.version.has_document_models());
        custom.map(|listed| &listed.model).filter(|model| model.readiness == Readiness::Ready)
    }

    /// Adds a list from its first page to its last.
    async fn add(
        &mut self,
        client: &Client<'_>,
        version: ApiVersion,
        mut request: Request,
        mut page: Page<Model>,
    ) -> Result<(), Error> {
        for _ in 0..MOST_PAGES {
            self.unread += page.unread;
            self.listed.extend(page.items.into_iter().map(|model| Listed { version, model }));
            let Some(link) = page.next_link else { return Ok(()) };
            request = api::next_page(&link, client.endpoint(), &request)?;
            page = read_page(client, version, &request).await?;
        }
        Err(Error::new(
            ErrorKind::Unforeseen,
            format!("asked to {}, the {} goes on without end", request.purpose, client.side()),
        )
        .with_remedy("check that no proxy answers in the place of the service"))
    }
}

async fn read_page(client: &Client<'_>, version: ApiVersion, request: &Request) -> Result<Page<Model>, Error> {
    client.call(request, RetryPolicy::READ, |answer: &Answer| api::read_list(version, answer)).await
}

/// Asks for what a list has left out of a model.
///
/// # Errors
/// When the resource does not show it.
pub async fn complete(client: &Client<'_>, listed: Listed) -> Result<Listed, Error> {
    if listed.model.is_whole {
        return Ok(listed);
    }
    let Listed { version, model } = listed;
    let request = api::model(version, model.kind, &model.id);
    let model = client.call(&request, RetryPolicy::READ, |answer| api::read_model(version, answer)).await?;
    Ok(Listed { version, model })
}

/// How many models a resource has and may have, of v2.1 or of v3.0 and later.
///
/// # Errors
/// When the resource does not say.
pub async fn capacity(client: &Client<'_>, version: ApiVersion) -> Result<Capacity, Error> {
    let request = api::capacity(version);
    client.call(&request, RetryPolicy::READ, |answer| api::read_capacity(version, answer)).await
}

/// What a target will say that has less room than is needed.
#[must_use]
pub fn shortage(Capacity { count, limit }: Capacity, needed: u64) -> Option<Error> {
    let room = limit.saturating_sub(count);
    let what = format!("the target has room for {room} models, and {needed} would be copied");
    (needed > room).then(|| {
        Error::new(ErrorKind::Refused, what)
            .with_remedy("delete models that are not needed from the target resource, or raise its pricing tier")
    })
}

/// Whether a resource, or its region, does not have a version at all; that says nothing of its models. Only the service
/// itself can say so: a list that somebody on the way has swallowed would be missed by nobody.
fn is_not_offered(error: &Error) -> bool {
    let says_so = error.kind() == ErrorKind::NotFound && error.finding() != Finding::NoSuchModel;
    says_so && error.delivery() == Delivery::Final && error.service().is_some()
}
