//! Which API versions a resource offers.

use super::finding::{Check, Finding};
use crate::api::Capacity;
use crate::api::version::ApiVersion;
use crate::client::Client;
use crate::error::Error;
use crate::model::Kind;
use crate::resource::Side;

/// Which versions a resource offers, and what each has.
#[derive(Default)]
pub(super) struct Versions {
    offered: Vec<ApiVersion>,
    not_offered: Vec<ApiVersion>,
    with_classifiers: Vec<ApiVersion>,
    without_classifiers: Vec<ApiVersion>,
    /// The capacity of each group of versions that share their models.
    pub(super) counts: Vec<(ApiVersion, Capacity)>,
}

impl Versions {
    /// Asks every version, the newest one first. It was asked already, and gave this answer.
    ///
    /// # Errors
    /// When an answer is neither what was asked for nor that the version is not offered, or no version is offered.
    pub(super) async fn read(client: &Client<'_>, newest: Result<Capacity, Error>) -> Result<Self, Error> {
        let (mut versions, mut newest, mut refusal) = (Self::default(), Some(newest), None);
        for version in ApiVersion::all().rev() {
            let answer = match newest.take() {
                Some(answer) => answer,
                None => client.read_soon(&version.wire().capacity()).await,
            };
            match answer {
                Ok(capacity) => versions.add(version, Some(capacity)),
                Err(error) if !error.is_version_not_offered() => return Err(error),
                // One 404 proves nothing: a version that is not offered must say so in two answers.
                Err(error) => match client.read_soon(&version.wire().models(Kind::Model)).await {
                    Ok(_) => versions.add(version, None),
                    Err(second) if second.is_version_not_offered() => {
                        versions.not_offered.push(version);
                        refusal.get_or_insert(error);
                    }
                    Err(second) => return Err(second),
                },
            }
        }
        if let Some(error) = refusal.filter(|_| versions.offered.is_empty()) {
            return Err(error);
        }
        versions.read_classifiers(client).await?;
        Ok(versions)
    }

    async fn read_classifiers(&mut self, client: &Client<'_>) -> Result<(), Error> {
        let with_kind = self.offered.iter().copied().filter(|version| version.wire().has(Kind::Classifier));
        for version in with_kind.collect::<Vec<_>>() {
            match client.read_soon(&version.wire().models(Kind::Classifier)).await {
                Ok(_) => self.with_classifiers.push(version),
                Err(error) if error.is_version_not_offered() => self.without_classifiers.push(version),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn add(&mut self, version: ApiVersion, capacity: Option<Capacity>) {
        self.offered.push(version);
        let is_counted = self.counts.iter().any(|(other, _)| other.shares_models_with(version));
        self.counts.extend(capacity.filter(|_| !is_counted).map(|capacity| (version, capacity)));
    }

    /// What is offered, and what is missing.
    pub(super) fn finding(&self, side: Side) -> Finding {
        let what = match self.with_classifiers.as_slice() {
            [] => format!("models: {}", names(&self.offered)),
            versions => format!("models: {}; classifiers: {}", names(&self.offered), names(versions)),
        };
        let missing = [("", &self.not_offered), ("classifiers of ", &self.without_classifiers)];
        let missing = missing.into_iter().filter(|(_, versions)| !versions.is_empty());
        let missing: Vec<_> = missing.map(|(of, versions)| format!("{of}{}", names(versions))).collect();
        if missing.is_empty() {
            return Finding::fine(Check::Versions, what);
        }
        Finding::warning(
            Check::Versions,
            format!("{what}; not offered: {}", missing.join(", ")),
            format!(
                "copy with a version that both resources offer, or use a {side} in a region that offers what is missing"
            ),
        )
    }
}

/// The names of versions, the oldest first.
fn names(versions: &[ApiVersion]) -> String {
    let mut versions = versions.to_vec();
    versions.sort_unstable();
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
