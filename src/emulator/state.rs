//! The state of the emulated resources, as the service keeps it. It does no I/O and is told the time.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use super::call::{Addressed, Call, Collection};
use super::faults::{Fault, Step};
use super::limits::{Limiter, Tier};
use super::reply::{Failure, Reply};
use super::{custom_models, document_models};

/// Operations are forgotten after a day.
const OPERATIONS_LIVE: SignedDuration = SignedDuration::from_hours(24);

/// All resources. They know each other, as those of a cloud do.
#[derive(Debug)]
pub(super) struct World {
    pub(super) accounts: Vec<Account>,
    pub(super) tier: Tier,
    pub(super) operation_time: Duration,
    /// What the next copy ends with.
    pub(super) fail_next: Option<Fault>,
    /// How many models a resource may have, where it is not the service's own number.
    pub(super) max_models: Option<usize>,
}

/// One resource.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) endpoint: String,
    pub(super) key: String,
    /// Tokens that it takes as well, and for how many requests.
    pub(super) tokens: BTreeMap<String, usize>,
    pub(super) resource_id: String,
    pub(super) region: &'static Region,
    /// Whether it has an encryption key of its own.
    pub(super) encrypted: bool,
    pub(super) stored: BTreeMap<(Collection, String), Stored>,
    pub(super) reservations: Vec<Reservation>,
    pub(super) operations: BTreeMap<String, Operation>,
    pub(super) limiter: Limiter,
}

impl Account {
    /// Whether a request has the key, or a token that is still good.
    fn lets_in(&mut self, headers: &HeaderMap) -> bool {
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
}

/// A region under the two names that the service uses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) name: &'static str,
    pub(super) display_name: &'static str,
}

/// The regions that the emulator knows; the resources are spread over them.
pub(super) const REGIONS: [Region; 6] = [
    Region { name: "eastus", display_name: "East US" },
    Region { name: "westus2", display_name: "West US 2" },
    Region { name: "westeurope", display_name: "West Europe" },
    Region { name: "northeurope", display_name: "North Europe" },
    Region { name: "westus", display_name: "West US" },
    Region { name: "southcentralus", display_name: "South Central US" },
];

/// A model or classifier.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    /// What a GET answers.
    pub(super) body: Value,
    /// v2.1: the blank target of a copy, which stays so when the copy fails.
    pub(super) blank: bool,
    /// Whether it can be deleted and copied; prebuilt models cannot.
    pub(super) prebuilt: bool,
}

/// An id that an authorization holds on its resource.
#[derive(Debug, Clone)]
pub(super) struct Reservation {
    pub(super) collection: Collection,
    pub(super) id: String,
    pub(super) expires: Timestamp,
    /// A copy was accepted with it, whatever came of that.
    pub(super) used: bool,
    /// The authorization as it was given out; what comes back must be equal.
    pub(super) payload: Value,
    /// What the copy is to be called (v3.0 and later).
    pub(super) description: Option<Value>,
    pub(super) tags: Option<Value>,
}

/// A copy that was accepted.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) collection: Collection,
    pub(super) date: Option<&'static str>,
    pub(super) target_id: String,
    /// Where the copy will be, for v3.0 and later.
    pub(super) location: String,
    pub(super) created: Timestamp,
    pub(super) ends: Timestamp,
    pub(super) ending: Ending,
    /// Whether the ending has taken place.
    pub(super) settled: bool,
}

/// What a source says of a copy when it accepts it.
pub(super) struct Accepted {
    pub(super) collection: Collection,
    pub(super) date: Option<&'static str>,
    pub(super) target_id: String,
    pub(super) location: String,
    pub(super) ending: Ending,
}

/// What an operation ends with, decided when it was accepted.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    /// This appears on that resource.
    Copied { account: usize, copy: Stored },
    /// Nothing does.
    Failed(Failure),
}

/// One request to one resource.
pub(super) struct Incoming<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// The `apim-request-id` that the answer will have.
    pub(super) request_id: &'a str,
}

impl World {
    /// Answers one request as the service would at this time.
    pub(super) fn answer(&mut self, account: usize, request: &Incoming<'_>, now: Timestamp) -> Reply {
        self.settle(now);
        let Some(at) = self.accounts.get_mut(account) else { return Reply::nothing_here() };
        if !at.lets_in(request.headers) {
            return Reply::gateway(StatusCode::UNAUTHORIZED, ACCESS_DENIED);
        }
        let Some(call) = Addressed::parse(request.method, request.path, request.query) else {
            return Reply::nothing_here();
        };
        if let Err(too_many) = at.limiter.admit(self.tier, &call, now) {
            let seconds = too_many.seconds;
            let message = format!("{} Please retry after {seconds} seconds.", rate_limit_message(&call, self.tier));
            return Reply::gateway(StatusCode::TOO_MANY_REQUESTS, &message)
                .with("Retry-After", seconds.to_string())
                .with("policy-id", too_many.policy);
        }
        match call.collection {
            Collection::CustomModels => custom_models::answer(self, account, &call, request, now),
            Collection::DocumentModels | Collection::DocumentClassifiers => {
                document_models::answer(self, account, &call, request, now)
            }
        }
    }

    /// Lets everything take place that was due before now.
    pub(super) fn settle(&mut self, now: Timestamp) {
        let mut arrivals = Vec::new();
        for account in &mut self.accounts {
            account.operations.retain(|_, operation| operation.created.duration_until(now) < OPERATIONS_LIVE);
            for operation in
                account.operations.values_mut().filter(|operation| !operation.settled && operation.ends <= now)
            {
                operation.settled = true;
                if let Ending::Copied { account, copy } = &operation.ending {
                    arrivals.push((*account, operation.collection, operation.target_id.clone(), copy.clone()));
                }
            }
            // v2.1 keeps its blank model; from v3.0 on the id is free again. When it really is, is not documented.
            account
                .reservations
                .retain(|reservation| reservation.expires > now || reservation.collection == Collection::CustomModels);
        }
        for (account, collection, id, copy) in arrivals {
            let Some(account) = self.accounts.get_mut(account) else { continue };
            // Whoever deletes the target of a copy that is under way gets none. The source still says that it succeeded;
            // what the real service says is not documented.
            if !account.is_reserved(collection, &id) {
                continue;
            }
            account.reservations.retain(|reservation| (reservation.collection, &reservation.id) != (collection, &id));
            account.stored.insert((collection, id), copy);
        }
    }

    /// The fault that was ordered, if this is its step. It hits once.
    pub(super) fn ordered_failure(&mut self, step: Step) -> Option<Failure> {
        self.fail_next.take_if(|fault| fault.at == step).map(Fault::failure)
    }

    /// Uses a reservation up and returns what it was, if what came back is what was given out.
    pub(super) fn use_up(&mut self, account: usize, payload: &Value, now: Timestamp) -> Option<Reservation> {
        let reservations = &mut self.accounts.get_mut(account)?.reservations;
        let found = reservations.iter_mut().find(|reservation| same_authorization(&reservation.payload, payload))?;
        let before = found.clone();
        found.used = true;
        (!before.used && before.expires > now).then_some(before)
    }

    /// Accepts a copy: the source will be asked for it under the id.
    pub(super) fn accept(&mut self, account: usize, id: String, copy: Accepted, now: Timestamp) {
        let Accepted { collection, date, target_id, location, ending } = copy;
        let ends = now.checked_add(self.operation_time).unwrap_or(now);
        let operation = Operation { collection, date, target_id, location, created: now, ends, ending, settled: false };
        if let Some(account) = self.accounts.get_mut(account) {
            account.operations.insert(id, operation);
        }
    }

    /// Whether the ending of a copy must be refused because it would undo the source's encryption.
    pub(super) fn would_degrade(&self, source: usize, target: usize, headers: &HeaderMap) -> bool {
        let encrypted = |account: usize| self.accounts.get(account).is_some_and(|account| account.encrypted);
        let allowed =
            headers.get("x-ms-forms-copy-degrade").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
        encrypted(source) && !encrypted(target) && !allowed
    }
}

impl Account {
    pub(super) fn get(&self, collection: Collection, id: &str) -> Option<&Stored> {
        self.stored.get(&(collection, id.to_owned()))
    }

    pub(super) fn is_reserved(&self, collection: Collection, id: &str) -> bool {
        self.reservations.iter().any(|reservation| reservation.collection == collection && reservation.id == id)
    }

    /// How many ids of a collection are held by authorizations. Whether the service counts them is not documented.
    pub(super) fn reserved(&self, collection: Collection) -> usize {
        self.reservations.iter().filter(|reservation| reservation.collection == collection).count()
    }

    /// Deletes a model, or gives a reserved id back. Whether the real service does the latter is not documented.
    pub(super) fn delete(&mut self, collection: Collection, id: &str) -> bool {
        let prebuilt = self.get(collection, id).is_some_and(|stored| stored.prebuilt);
        let reserved = self.is_reserved(collection, id);
        self.reservations.retain(|reservation| (reservation.collection, reservation.id.as_str()) != (collection, id));
        let stored = !prebuilt && self.stored.remove(&(collection, id.to_owned())).is_some();
        stored || reserved
    }

    /// One page of what a collection holds and a version shows, and whether there is another one.
    pub(super) fn page(
        &self,
        collection: Collection,
        page: usize,
        size: usize,
        shows: impl Fn(&Stored) -> bool,
    ) -> (Vec<&Stored>, bool) {
        let stored = || self.stored.iter().filter(move |((on, _), _)| *on == collection).map(|(_, stored)| stored);
        let on_shelf = || stored().filter(|stored| shows(stored));
        let stored = on_shelf().skip(page.saturating_mul(size)).take(size).collect();
        (stored, on_shelf().count() > page.saturating_add(1).saturating_mul(size))
    }

    pub(super) fn count(&self, collection: Collection) -> usize {
        self.stored.iter().filter(|((on, _), stored)| *on == collection && !stored.prebuilt).count()
    }
}

/// Clients write the date of an authorization anew, with fractions of a second; the service takes that.
fn same_authorization(given: &Value, back: &Value) -> bool {
    let (Some(given), Some(back)) = (given.as_object(), back.as_object()) else { return false };
    let date = |value: &Value| value.as_str().and_then(|date| date.parse::<Timestamp>().ok());
    given.iter().all(|(name, value)| {
        let other = back.get(name);
        other == Some(value) || (name == "expirationDateTime" && other.and_then(date) == date(value))
    })
}

/// A GUID for an access token or an operation.
pub(super) fn new_guid() -> String {
    Uuid::new_v4().to_string()
}

/// A date as the service writes it while nothing has happened: whole seconds.
pub(super) fn date(at: Timestamp) -> String {
    format!("{at:.0}")
}

const ACCESS_DENIED: &str = "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide \
     a valid key for an active subscription and use a correct regional API endpoint for your resource.";

/// The gateway's words, which differ from version to version.
fn rate_limit_message(call: &Addressed, tier: Tier) -> String {
    let tier = if tier == Tier::F0 { "F0" } else { "S0" };
    let Some(date) = call.date else {
        return format!(
            "Requests to the Custom Form Model Management - {} Operation under Form Recognizer API (v2.1) have exceeded \
             rate limit of your current FormRecognizer {tier} pricing tier.",
            match call.call {
                Call::Authorize => "Generate Copy Authorization",
                Call::Copy { .. } => "Copy Custom Model",
                Call::Operation { .. } => "Get Custom Model Copy Result",
                Call::Delete { .. } => "Delete Custom Model",
                Call::Get { .. } => "Get Custom Model",
                _ => "List Custom Models",
            }
        );
    };
    let what = match call.call {
        Call::Authorize => "Manage - Authorize model copy",
        Call::Copy { .. } => "Manage - Copy model",
        Call::Get { .. } => "Manage - Get model",
        Call::Delete { .. } => "Manage - Delete model",
        Call::Operation { .. } => "Operations - Get operation",
        Call::Operations { .. } => "Operations - List operations",
        Call::Info => "Manage - Get info",
        Call::List { .. } | Call::Summary => "Manage - List models",
    };
    format!(
        "Requests to the {what} Operation under Azure AI Document Intelligence {date} have exceeded call rate limit of \
         your current FormRecognizer {tier} pricing tier."
    )
}
