//! The state of one emulated resource. It does no I/O, and its caller provides the time.

use std::collections::BTreeMap;

use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use super::call::Collection;
use super::limits::Limiter;
use super::reply::Failure;
use super::version::Version;

/// One resource.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) endpoint: String,
    pub(super) key: String,
    /// Accepted tokens, and the number of requests that each is still valid for.
    pub(super) tokens: BTreeMap<String, usize>,
    pub(super) resource_id: String,
    pub(super) region: &'static Region,
    /// Whether it uses a customer-managed encryption key.
    pub(super) encrypted: bool,
    pub(super) stored: BTreeMap<(Collection, String), Stored>,
    pub(super) reservations: Vec<Reservation>,
    pub(super) operations: BTreeMap<String, Operation>,
    pub(super) analyses: BTreeMap<String, Analysis>,
    pub(super) limiter: Limiter,
    /// Difference of the resource's own clock to the time of the requests.
    pub(super) clock: SignedDuration,
    /// Whether a deletion of a reserved id makes it free. Whether the real service does that is not documented.
    pub(super) deletion_frees_reserved_id: bool,
}

/// A region under the two names that the service uses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) name: &'static str,
    pub(super) display_name: &'static str,
}

/// The regions that the emulator knows.
pub(super) const REGIONS: [Region; 6] = [
    Region { name: "eastus", display_name: "East US" },
    Region { name: "westus2", display_name: "West US 2" },
    Region { name: "westeurope", display_name: "West Europe" },
    Region { name: "northeurope", display_name: "North Europe" },
    Region { name: "westus", display_name: "West US" },
    Region { name: "southcentralus", display_name: "South Central US" },
];

impl Region {
    /// The region of the resource with an index, from 0.
    pub(super) fn of(index: usize) -> &'static Self {
        let [first, ..] = &REGIONS;
        REGIONS.get(index % REGIONS.len()).unwrap_or(first)
    }
}

/// A model or classifier.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    /// The answer to a GET.
    pub(super) body: Value,
    /// v2.1: the empty target of a copy. It stays empty if the copy fails.
    pub(super) blank: bool,
    /// Prebuilt models can be neither deleted nor copied.
    pub(super) prebuilt: bool,
}

impl Stored {
    /// A custom model or classifier that is ready.
    pub(super) fn ready(body: Value) -> Self {
        Self { body, blank: false, prebuilt: false }
    }
}

/// An id that an authorization holds on its resource.
#[derive(Debug, Clone)]
pub(super) struct Reservation {
    pub(super) collection: Collection,
    pub(super) id: String,
    pub(super) expires: Timestamp,
    /// A start request has redeemed it, with any outcome.
    pub(super) used: bool,
    /// The issued authorization. A start request must contain the same one.
    pub(super) payload: Value,
    /// The description and the tags of the copy (v3.0 and later).
    pub(super) description: Option<Value>,
    pub(super) tags: Option<Value>,
}

/// A copy operation.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) collection: Collection,
    /// None for v2.1.
    pub(super) version: Option<Version>,
    pub(super) target_id: String,
    /// URL of the copy, from v3.0 on.
    pub(super) location: String,
    pub(super) created: Timestamp,
    pub(super) ends: Timestamp,
    pub(super) outcome: Outcome,
    /// Whether the outcome has taken effect.
    pub(super) ended: bool,
}

/// An analysis that was accepted.
#[derive(Debug, Clone)]
pub(super) struct Analysis {
    pub(super) collection: Collection,
    pub(super) model_id: String,
    pub(super) created: Timestamp,
    pub(super) ends: Timestamp,
    /// The `analyzeResult` of its end.
    pub(super) result: Value,
}

impl Analysis {
    /// Whether it is one with this model.
    pub(super) fn is_of(&self, model: (Collection, &str)) -> bool {
        (self.collection, self.model_id.as_str()) == model
    }
}

/// The outcome of an operation, decided at its start.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// The copy appears on the account with this index.
    Copied {
        account: usize,
        copy: Stored,
    },
    Failed(Failure),
}

impl Account {
    /// Whether the headers contain the key, or a token that is still valid. Counts the use of a token.
    pub(super) fn authenticates(&mut self, headers: &HeaderMap) -> bool {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let token = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        match token.and_then(|token| self.tokens.get_mut(token)) {
            Some(requests) if *requests > 0 => {
                *requests -= 1;
                true
            }
            _ => header("ocp-apim-subscription-key") == Some(self.key.as_str()),
        }
    }

    pub(super) fn get(&self, collection: Collection, id: &str) -> Option<&Stored> {
        self.stored.get(&(collection, id.to_owned()))
    }

    pub(super) fn is_reserved(&self, collection: Collection, id: &str) -> bool {
        self.reservations.iter().any(|reservation| reservation.collection == collection && reservation.id == id)
    }

    /// Number of reserved ids of a collection. Whether the service counts them is not documented.
    pub(super) fn reserved(&self, collection: Collection) -> usize {
        self.reservations.iter().filter(|reservation| reservation.collection == collection).count()
    }

    /// Whether a start request has redeemed this authorization before.
    pub(super) fn is_used(&self, authorization: &Value) -> bool {
        let mut used = self.reservations.iter().filter(|reservation| reservation.used);
        used.any(|reservation| is_same_authorization(&reservation.payload, authorization))
    }

    /// A date as the resource writes it, by its own clock.
    pub(super) fn date(&self, at: Timestamp) -> String {
        date(at + self.clock)
    }

    /// Marks the reservation of an authorization as used and returns it, if the authorization is unchanged, has not
    /// expired and was not used before.
    pub(super) fn redeem(&mut self, authorization: &Value, now: Timestamp) -> Option<Reservation> {
        let mut reservations = self.reservations.iter_mut();
        let found = reservations.find(|reservation| is_same_authorization(&reservation.payload, authorization))?;
        let before = found.clone();
        found.used = true;
        (!before.used && before.expires > now).then_some(before)
    }

    /// Stores a copy under its reserved id.
    ///
    /// If the target model was deleted before the copy ended, nothing is stored. The source still reports success; what
    /// the real service reports is not documented.
    pub(super) fn store_copy(&mut self, collection: Collection, id: String, copy: Stored) {
        if self.is_reserved(collection, &id) {
            self.release(collection, &id);
            self.stored.insert((collection, id), copy);
        }
    }

    /// Deletes a model, or releases a reserved id. Whether the real service does the latter is not documented.
    pub(super) fn delete(&mut self, collection: Collection, id: &str) -> bool {
        let is_prebuilt = self.get(collection, id).is_some_and(|stored| stored.prebuilt);
        // A blank model of v2.1 is a model, which a deletion removes.
        let is_freed = self.deletion_frees_reserved_id || collection == Collection::CustomModels;
        let was_reserved = is_freed && self.is_reserved(collection, id);
        if is_freed {
            self.release(collection, id);
        }
        let was_stored = !is_prebuilt && self.stored.remove(&(collection, id.to_owned())).is_some();
        was_stored || was_reserved
    }

    fn release(&mut self, collection: Collection, id: &str) {
        self.reservations.retain(|reservation| (reservation.collection, reservation.id.as_str()) != (collection, id));
    }

    /// One page of the visible models of a collection, and whether there are more pages.
    pub(super) fn page(
        &self,
        collection: Collection,
        page: usize,
        size: usize,
        is_visible: impl Fn(&Stored) -> bool,
    ) -> (Vec<&Stored>, bool) {
        let stored = self.stored.iter().filter(|((on, _), _)| *on == collection).map(|(_, stored)| stored);
        one_page(stored.filter(|stored| is_visible(stored)), page, size)
    }

    /// The ids of a collection, without prebuilt models.
    pub(super) fn custom_ids(&self, collection: Collection) -> impl Iterator<Item = &String> {
        let custom = self.stored.iter().filter(move |((on, _), stored)| *on == collection && !stored.prebuilt);
        custom.map(|((_, id), _)| id)
    }

    /// Number of custom models or classifiers.
    pub(super) fn count(&self, collection: Collection) -> usize {
        self.custom_ids(collection).count()
    }
}

/// One page of items, and whether there are more pages.
pub(super) fn one_page<T>(items: impl Iterator<Item = T>, page: usize, size: usize) -> (Vec<T>, bool) {
    let mut rest = items.skip(page.saturating_mul(size));
    let shown = rest.by_ref().take(size).collect();
    (shown, rest.next().is_some())
}

/// Whether a start request contains the authorization that was issued. Clients may write its date with fractions of a
/// second; the service accepts that.
fn is_same_authorization(issued: &Value, received: &Value) -> bool {
    let (Some(issued), Some(received)) = (issued.as_object(), received.as_object()) else { return false };
    let date = |value: &Value| value.as_str().and_then(|date| date.parse::<Timestamp>().ok());
    issued.iter().all(|(name, value)| {
        let other = received.get(name);
        other == Some(value) || (name == "expirationDateTime" && other.and_then(date) == date(value))
    })
}

/// A new random id for a model, an access token or an operation.
pub(super) fn new_id() -> String {
    Uuid::new_v4().to_string()
}

/// A date in whole seconds, as the service writes most dates.
pub(super) fn date(at: Timestamp) -> String {
    format!("{at:.0}")
}
