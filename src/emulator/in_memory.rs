//! The emulated resources without a network and with a clock of the test's own: what the pipeline is tested against.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;

use super::call::Collection;
use super::state::{Incoming, World};
use super::{EmulatedResource, Options, emulated_resource, world};

pub(crate) struct InMemoryEmulator {
    world: World,
    pub(crate) resources: Vec<EmulatedResource>,
    requests: u32,
}

impl InMemoryEmulator {
    pub(crate) fn new(options: &Options) -> Self {
        let resource = |at: usize| {
            let port = 8000 + u16::try_from(at).unwrap();
            emulated_resource(at, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let resources: Vec<_> = (0..options.resources).map(resource).collect();
        Self { world: world(options, &resources), resources, requests: 0 }
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
        let incoming = Incoming {
            method: request.method.as_str(),
            path,
            query,
            headers: &request.headers,
            body: request.body.as_deref().unwrap_or_default().as_bytes(),
            request_id: &format!("request-{}", self.requests),
        };
        let reply = self.world.answer(account, &incoming, now);
        let header = |(name, value): &(&'static str, String)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let body = reply.body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        (reply.status, reply.headers.iter().map(header).collect(), body)
    }

    /// Whether a resource has a ready model of this id.
    pub(crate) fn is_ready(&mut self, account: usize, collection: Collection, id: &str, now: Timestamp) -> bool {
        self.world.settle(now);
        self.world.accounts[account].get(collection, id).is_some_and(|stored| !stored.blank)
    }

    /// The ids that are reserved on a resource and that no accepted copy uses.
    pub(crate) fn unused_reservations(&self, account: usize) -> Vec<String> {
        let unused = self.world.accounts[account].reservations.iter().filter(|reservation| !reservation.used);
        unused.map(|reservation| reservation.id.clone()).collect()
    }

    /// How many copies a resource has accepted to each target id.
    pub(crate) fn accepted(&self, account: usize) -> BTreeMap<String, usize> {
        let mut accepted = BTreeMap::new();
        for operation in self.world.accounts[account].operations.values() {
            *accepted.entry(operation.target_id.clone()).or_default() += 1;
        }
        accepted
    }

    /// The id of the first seeded model that a version copies.
    pub(crate) fn model(&self, collection: Collection, suffix: &str) -> String {
        let mut ids = self.world.accounts[0].stored.keys().filter(|(on, _)| *on == collection);
        ids.find(|(_, id)| id.ends_with(suffix)).unwrap().1.clone()
    }
}
