//! The emulated service without a network, and with the time of the test. The property tests of the copy use it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;

use super::call::Collection;
use super::handler::Request;
use super::options::{EmulatedResource, Options};
use super::service::Service;
use super::state::Outcome;

pub(crate) struct InMemoryEmulator {
    service: Service,
    pub(crate) resources: Vec<EmulatedResource>,
    requests: u32,
}

impl InMemoryEmulator {
    pub(crate) fn new(options: &Options) -> Self {
        let resource = |index: usize| {
            let port = 8000 + u16::try_from(index).unwrap();
            EmulatedResource::new(index, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let resources: Vec<_> = (0..options.resources).map(resource).collect();
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

    /// Whether a resource has a ready model with this id.
    pub(crate) fn is_ready(&mut self, account: usize, collection: Collection, id: &str, now: Timestamp) -> bool {
        self.service.update(now);
        self.service.accounts[account].get(collection, id).is_some_and(|stored| !stored.blank)
    }

    /// The reserved ids of a resource that no accepted copy has used.
    pub(crate) fn unused_reservations(&self, account: usize) -> Vec<String> {
        let unused = self.service.accounts[account].reservations.iter().filter(|reservation| !reservation.used);
        unused.map(|reservation| reservation.id.clone()).collect()
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
