//! The emulated service without a network, and with the time of the test. The property tests of the copy use it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::call::Collection;
use super::handler::Request;
use super::options::{EmulatedResource, Options};
use super::reply::Failure;
use super::service::Service;
use super::state::{Outcome, Stored};

pub(crate) struct InMemoryEmulator {
    service: Service,
    pub(crate) resources: Vec<EmulatedResource>,
    requests: u32,
}

impl InMemoryEmulator {
    pub(crate) fn new(options: &Options) -> Self {
        let resource = |(index, name): (usize, String)| {
            let port = 8000 + u16::try_from(index).unwrap();
            EmulatedResource::new(index, name, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let resources: Vec<_> = options.resource_names().into_iter().enumerate().map(resource).collect();
        Self { service: Service::new(options, &resources), resources, requests: 0 }
    }

    pub(crate) fn answer(
        &mut self,
        account: usize,
        request: &crate::api::Request,
        now: Timestamp,
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let (path, query) = match request.path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request.path_and_query.as_str(), None),
        };
        self.requests += 1;
        let request = Request {
            method: request.method.as_str(),
            path,
            query,
            headers: &request.headers,
            body: request.json().unwrap_or_default().as_bytes(),
            id: &format!("request-{}", self.requests),
        };
        let reply = self.service.answer(account, &request, now);
        let header = |(name, value): &(&'static str, String)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let body = reply.body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        (reply.status, reply.headers.iter().map(header).collect(), body)
    }

    /// Sets the clock of a resource to this many seconds after the time of the requests.
    pub(crate) fn set_clock(&mut self, account: usize, seconds: i64) {
        self.service.accounts[account].clock = SignedDuration::from_secs(seconds);
    }

    /// The time of a resource, as its `Date` header has it.
    pub(crate) fn clock(&self, account: usize, now: Timestamp) -> Timestamp {
        now + self.service.accounts[account].clock
    }

    /// Sets whether a deletion of a reserved id makes it free.
    pub(crate) fn set_deletion_frees_reserved_id(&mut self, frees: bool) {
        self.service.accounts.iter_mut().for_each(|account| account.deletion_frees_reserved_id = frees);
    }

    /// Refuses a start whose authorization was used before; otherwise it is accepted, and its operation fails.
    pub(crate) fn refuse_used_authorizations(&mut self, status: u16, outer: &'static str, code: &'static str) {
        let message = "Couldn't retrieve authorization metadata.";
        self.service.refusal_of_used_authorization = Some(Failure::new(status, outer, code, message));
    }

    /// The answer to a GET of a ready model.
    pub(crate) fn ready(&mut self, account: usize, collection: Collection, id: &str, now: Timestamp) -> Option<Value> {
        self.service.update(now);
        let stored = self.service.accounts[account].get(collection, id).filter(|stored| !stored.blank);
        stored.map(|stored| stored.body.clone())
    }

    /// Adds a ready model.
    pub(crate) fn put(&mut self, account: usize, collection: Collection, id: &str, body: Value) {
        self.service.accounts[account].stored.insert((collection, id.to_owned()), Stored::ready(body));
    }

    /// The target ids of the copies that run now and will succeed.
    pub(crate) fn running(&mut self, now: Timestamp) -> Vec<String> {
        self.service.update(now);
        let operations = self.service.accounts.iter().flat_map(|account| account.operations.values());
        let running =
            operations.filter(|operation| !operation.ended && matches!(operation.outcome, Outcome::Copied { .. }));
        running.map(|operation| operation.target_id.clone()).collect()
    }

    /// Whether a resource has a ready model with this id.
    pub(crate) fn is_ready(&mut self, account: usize, collection: Collection, id: &str, now: Timestamp) -> bool {
        self.ready(account, collection, id, now).is_some()
    }

    /// The reserved ids of a resource that no accepted copy has used.
    pub(crate) fn unused_reservations(&self, account: usize) -> Vec<String> {
        let unused = self.service.accounts[account].reservations.iter().filter(|reservation| !reservation.used);
        unused.map(|reservation| reservation.id.clone()).collect()
    }

    /// When the last copy to a target id was started, by the time of the requests.
    pub(crate) fn started_at(&self, id: &str) -> Option<Timestamp> {
        let operations = self.service.accounts.iter().flat_map(|account| account.operations.values());
        let copies = operations.filter(|one| one.target_id == id && matches!(one.outcome, Outcome::Copied { .. }));
        copies.map(|operation| operation.created).max()
    }

    /// When the last copy to a target id has ended, by the time of the requests.
    pub(crate) fn copied_at(&mut self, id: &str, now: Timestamp) -> Option<Timestamp> {
        self.service.update(now);
        let operations = self.service.accounts.iter().flat_map(|account| account.operations.values());
        let ended = operations.filter(|operation| operation.ended && operation.target_id == id);
        ended.filter(|operation| matches!(operation.outcome, Outcome::Copied { .. })).map(|one| one.ends).max()
    }

    /// The number of accepted operations of a resource that make a copy, by target id. A repeated start whose authorization
    /// was used before makes none.
    pub(crate) fn accepted(&self, account: usize) -> BTreeMap<String, usize> {
        let mut accepted = BTreeMap::new();
        let operations = self.service.accounts[account].operations.values();
        for operation in operations.filter(|operation| matches!(operation.outcome, Outcome::Copied { .. })) {
            *accepted.entry(operation.target_id.clone()).or_default() += 1;
        }
        accepted
    }

    /// The id of the first seeded model of a collection with this suffix.
    pub(crate) fn model(&self, collection: Collection, suffix: &str) -> String {
        let mut ids = self.service.accounts[0].stored.keys().filter(|(on, _)| *on == collection);
        ids.find(|(_, id)| id.ends_with(suffix)).unwrap().1.clone()
    }
}
