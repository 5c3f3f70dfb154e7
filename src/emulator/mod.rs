//! A local service that speaks the copy API of every version: two or more resources on loopback ports.
//!
//! It keeps its state as the service is known to keep it: single-use authorizations that survive a 429, blank v2.1
//! models that stay, ids that an authorization reserves, lifetimes, rate limits, and what a copy inherits. Where the
//! service's behaviour is not documented, it says so at the place.
#![expect(clippy::indexing_slicing, reason = "fields are set on JSON objects that were made a few lines above")]

mod call;
mod custom_models;
mod document_models;
mod faults;
#[cfg(test)]
pub(crate) mod in_memory;
mod limits;
mod reply;
mod seed;
mod state;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uuid::Uuid;

pub use call::Collection;
pub use faults::{FAULTS, Fault};
use limits::Limiter;
pub use limits::Tier;
use reply::Reply;
use state::{Account, Incoming, REGIONS, Stored, World};

/// A body that is longer is not a request to this service.
const LONGEST_BODY: usize = 1024 * 1024;

/// What is emulated, and how well it behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many resources: `source`, `target`, `resource3` and so on.
    pub resources: usize,
    /// The port of the first resource, the others follow; 0 takes free ones.
    pub port: u16,
    /// From the acceptance of a copy to its end.
    pub operation_time: Duration,
    /// The rate limits of each resource.
    pub tier: Tier,
    /// How many models of each version, and classifiers, the first resource has.
    pub models: usize,
    /// What the next copy ends with.
    pub fail: Option<Fault>,
    /// How long each answer takes.
    pub latency: Duration,
    /// Which resources, by name, have an encryption key of their own.
    pub encrypted: Vec<String>,
    /// How many models of v2.1, and of v3.0 and later, a resource may have; `None` takes the service's own numbers.
    pub max_models: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            resources: 2,
            port: 0,
            operation_time: Duration::from_secs(2),
            tier: Tier::default(),
            models: 1,
            fail: None,
            latency: Duration::ZERO,
            encrypted: Vec::new(),
            max_models: None,
        }
    }
}

/// One emulated resource, as a client must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmulatedResource {
    /// `source`, `target`, `resource3` …
    pub name: String,
    /// On this machine only.
    pub endpoint: String,
    /// The one key that it takes.
    pub key: String,
    /// Its id in Azure Resource Manager.
    pub resource_id: String,
    /// Its region's short name.
    pub region: String,
}

/// One request that was answered.
#[derive(Debug, Clone)]
pub struct ServedRequest {
    /// The name of the resource.
    pub resource: String,
    /// GET, POST or DELETE.
    pub method: String,
    /// With its query.
    pub path: String,
    /// Of the answer.
    pub status: u16,
    /// Until the answer was ready.
    pub took: Duration,
}

/// Is told of each request.
pub type OnRequest = Arc<dyn Fn(&ServedRequest) + Send + Sync>;

/// A running emulator. It stops when it is dropped.
pub struct Emulator {
    world: Arc<Mutex<World>>,
    resources: Vec<EmulatedResource>,
    servers: JoinSet<io::Result<()>>,
}

impl Emulator {
    /// Starts the resources on loopback ports, inside a tokio runtime.
    ///
    /// # Errors
    /// When a port cannot be listened on.
    pub async fn start(options: &Options, on_request: OnRequest) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for number in 0..options.resources {
            let port = match (options.port, u16::try_from(number)) {
                (0, _) => Some(0),
                (first, Ok(number)) => first.checked_add(number),
                (_, Err(_)) => None,
            };
            let port = port.ok_or_else(|| io::Error::other("there are not that many ports"))?;
            listeners.push(
                TcpListener::bind((Ipv4Addr::LOCALHOST, port))
                    .await
                    .map_err(|error| io::Error::new(error.kind(), format!("port {port}: {error}")))?,
            );
        }
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let resources: Vec<_> =
            addresses.iter().enumerate().map(|(at, address)| emulated_resource(at, *address)).collect();
        let world = Arc::new(Mutex::new(world(options, &resources)));
        let mut servers = JoinSet::new();
        for (account, listener) in listeners.into_iter().enumerate() {
            let server = Server {
                world: Arc::clone(&world),
                account,
                name: resources.get(account).map(|resource| resource.name.clone()).unwrap_or_default(),
                latency: options.latency,
                on_request: Arc::clone(&on_request),
            };
            let router = Router::new().fallback(serve).with_state(server);
            servers.spawn(async move { axum::serve(listener, router).await });
        }
        Ok(Self { world, resources, servers })
    }

    /// The resources, the source first.
    #[must_use]
    pub fn resources(&self) -> &[EmulatedResource] {
        &self.resources
    }

    /// Lets a resource take a token for so many requests, as if it expired after them.
    pub fn accept_token(&self, resource: usize, token: &str, requests: usize) {
        if let Some(account) = lock(&self.world).accounts.get_mut(resource) {
            account.tokens.insert(token.to_owned(), requests);
        }
    }

    /// Puts a model or classifier onto a resource: `body` is what a GET of it answers.
    pub fn put(&self, resource: usize, collection: Collection, id: &str, body: Value) {
        let mut world = lock(&self.world);
        if let Some(account) = world.accounts.get_mut(resource) {
            account.stored.insert((collection, id.to_owned()), Stored { body, blank: false, prebuilt: false });
        }
    }

    /// Takes a model or classifier away from a resource, as if it had been deleted.
    pub fn remove(&self, resource: usize, collection: Collection, id: &str) {
        if let Some(account) = lock(&self.world).accounts.get_mut(resource) {
            account.delete(collection, id);
        }
    }

    /// What a GET of a model or classifier answers.
    #[must_use]
    pub fn get(&self, resource: usize, collection: Collection, id: &str) -> Option<Value> {
        let mut world = lock(&self.world);
        world.settle(Timestamp::now());
        world.accounts.get(resource)?.get(collection, id).map(|stored| stored.body.clone())
    }

    /// The ids of what a resource holds on a collection, prebuilt models left out.
    #[must_use]
    pub fn ids(&self, resource: usize, collection: Collection) -> Vec<String> {
        let world = lock(&self.world);
        let Some(account) = world.accounts.get(resource) else { return Vec::new() };
        let custom = account.stored.iter().filter(|((on, _), stored)| *on == collection && !stored.prebuilt);
        custom.map(|((_, id), _)| id.clone()).collect()
    }

    /// Serves until a server fails, which none does by itself.
    ///
    /// # Errors
    /// The failure.
    pub async fn run(&mut self) -> io::Result<()> {
        match self.servers.join_next().await {
            Some(ended) => ended.map_err(io::Error::other)?,
            None => Ok(()),
        }
    }
}

/// The name of a resource by its place, from 0: `source`, `target`, `resource3` …
#[must_use]
pub fn resource_name(at: usize) -> String {
    match at {
        0 => "source".into(),
        1 => "target".into(),
        _ => format!("resource{}", at + 1),
    }
}

fn emulated_resource(at: usize, address: SocketAddr) -> EmulatedResource {
    let name = resource_name(at);
    let region = region(at).name.to_owned();
    EmulatedResource {
        endpoint: format!("http://{address}"),
        // The same in every run, so that scripts may know it; nobody but this machine can use it.
        key: seed::named_uuid(&format!("key of {name}")).simple().to_string(),
        resource_id: format!(
            "/subscriptions/00000000-0000-4000-8000-000000000000/resourceGroups/emulator/providers/Microsoft.CognitiveServices/accounts/{name}"
        ),
        region,
        name,
    }
}

fn region(at: usize) -> &'static state::Region {
    let [first, ..] = &REGIONS;
    REGIONS.iter().cycle().nth(at % REGIONS.len()).unwrap_or(first)
}

fn world(options: &Options, resources: &[EmulatedResource]) -> World {
    let now = Timestamp::now();
    let account = |(at, resource): (usize, &EmulatedResource)| Account {
        endpoint: resource.endpoint.clone(),
        key: resource.key.clone(),
        tokens: std::collections::BTreeMap::new(),
        resource_id: resource.resource_id.clone(),
        region: region(at),
        encrypted: options.encrypted.contains(&resource.name),
        stored: seed::prebuilt().chain(seed::custom(if at == 0 { options.models } else { 0 }, now)).collect(),
        reservations: Vec::new(),
        operations: std::collections::BTreeMap::new(),
        limiter: Limiter::default(),
    };
    World {
        accounts: resources.iter().enumerate().map(account).collect(),
        tier: options.tier,
        operation_time: options.operation_time,
        fail_next: options.fail,
        max_models: options.max_models,
    }
}

/// A request that panicked must not take the others down.
fn lock(world: &Mutex<World>) -> std::sync::MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
struct Server {
    world: Arc<Mutex<World>>,
    account: usize,
    name: String,
    latency: Duration,
    on_request: OnRequest,
}

async fn serve(State(server): State<Server>, request: Request<axum::body::Body>) -> Response {
    let began = Instant::now();
    let (Parts { method, uri, headers, .. }, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LONGEST_BODY).await;
    tokio::time::sleep(server.latency).await;
    let request_id = Uuid::new_v4().to_string();
    let incoming = |body| Incoming {
        method: method.as_str(),
        path: uri.path(),
        query: uri.query(),
        headers: &headers,
        body,
        request_id: &request_id,
    };
    let (reply, region) = match &body {
        Ok(body) => {
            let mut world = lock(&server.world);
            let reply = world.answer(server.account, &incoming(body), Timestamp::now());
            let region = world.accounts.get(server.account).map_or("", |account| account.region.display_name);
            (reply, region)
        }
        Err(_) => (Reply::gateway(StatusCode::PAYLOAD_TOO_LARGE, "The request is too large."), ""),
    };
    (server.on_request)(&ServedRequest {
        resource: server.name.clone(),
        method: method.to_string(),
        path: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        status: reply.status.as_u16(),
        took: began.elapsed(),
    });
    response(reply, &request_id, region, method == Method::GET && uri.path().starts_with("/documentintelligence"))
}

/// Adds the headers that every answer of the service has.
fn response(reply: Reply, request_id: &str, region: &str, plain_json: bool) -> Response {
    let is_error = !reply.status.is_success();
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = reply.status;
    let mut header = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    };
    header("apim-request-id", request_id);
    header("strict-transport-security", "max-age=31536000; includeSubDomains; preload");
    header("x-content-type-options", "nosniff");
    header("x-ms-region", region);
    if !reply.by_gateway {
        header("x-envoy-upstream-service-time", "1");
    }
    if reply.body.is_some() {
        // Errors, and v4.0's answers to reads, come without a charset.
        header(
            "content-type",
            if is_error || plain_json { "application/json" } else { "application/json; charset=utf-8" },
        );
    }
    for (name, value) in &reply.headers {
        let name = HeaderName::try_from(*name).ok();
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    if let Some(body) = reply.body {
        *response.body_mut() = Bytes::from(body.to_string()).into();
    }
    response
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;

    const V2_1: &str = "/formrecognizer/v2.1/custom/models";

    /// Two resources and a clock that is moved by hand.
    struct Stage {
        world: World,
        now: Timestamp,
    }

    impl Stage {
        fn new(options: &Options) -> Self {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
            let resources: Vec<_> = (0..options.resources).map(|at| emulated_resource(at, address)).collect();
            Self { world: world(options, &resources), now: Timestamp::now() }
        }

        fn later(&mut self, seconds: i64) {
            self.now += SignedDuration::from_secs(seconds);
        }

        fn ask(&mut self, account: usize, line: &str, body: &Value) -> (u16, Value, Vec<(&'static str, String)>) {
            let (method, url) = line.split_once(' ').unwrap();
            let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
            let mut headers = HeaderMap::new();
            let key = &self.world.accounts[account].key;
            headers.insert("ocp-apim-subscription-key", HeaderValue::from_str(key).unwrap());
            let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
            let request = Incoming { method, path, query, headers: &headers, body: &body, request_id: "id" };
            let reply = self.world.answer(account, &request, self.now);
            (reply.status.as_u16(), reply.body.unwrap_or_default(), reply.headers)
        }

        fn get(&mut self, account: usize, path: &str) -> (u16, Value) {
            let (status, body, _) = self.ask(account, &format!("GET {path}"), &Value::Null);
            (status, body)
        }

        fn source_model(&self) -> String {
            let mut stored = self.world.accounts[0].stored.keys();
            stored.find(|(collection, _)| *collection == Collection::CustomModels).unwrap().1.clone()
        }

        /// Starts a v2.1 copy with an authorization; returns the status and the path of its operation.
        fn copy_custom_model(&mut self, authorization: &Value, region: &str) -> (u16, String) {
            let resource_id = self.world.accounts[1].resource_id.clone();
            let order = json!({"targetResourceId": resource_id, "targetResourceRegion": region, "copyAuthorization": authorization});
            let line = format!("POST {V2_1}/{}/copy", self.source_model());
            let (status, body, headers) = self.ask(0, &line, &order);
            let location = headers.iter().find(|(name, _)| *name == "Operation-Location").map(|(_, url)| url.clone());
            let path = location.map(|url| url.split_once(":80").unwrap().1.to_owned());
            (status, path.unwrap_or_else(|| body.to_string()))
        }

        fn authorize_custom_model(&mut self) -> Value {
            let (status, authorization, _) = self.ask(1, &format!("POST {V2_1}/copyAuthorization"), &Value::Null);
            assert_eq!(status, 201);
            authorization
        }
    }

    fn operation_error(body: &Value) -> &str {
        body["copyResult"]["errors"][0]["code"].as_str().unwrap()
    }

    #[test]
    fn a_blank_v2_1_model_stays_creating_until_its_copy_arrives() {
        let mut stage = Stage::new(&Options::default());
        let authorization = stage.authorize_custom_model();
        let target = format!("{V2_1}/{}", authorization["modelId"].as_str().unwrap());
        let status = |stage: &mut Stage| stage.get(1, &target).1["modelInfo"]["status"].clone();
        stage.later(5 * 24 * 3600);
        assert_eq!(status(&mut stage), "creating");
        let authorization = stage.authorize_custom_model();
        let target = format!("{V2_1}/{}", authorization["modelId"].as_str().unwrap());
        let (_, operation) = stage.copy_custom_model(&authorization, "westus2");
        assert!(operation.contains("/copyresults/"), "{operation}");
        assert_eq!(stage.get(0, &operation).1["status"], "notStarted");
        stage.later(3);
        assert_eq!(stage.get(0, &operation).1["status"], "succeeded");
        let copy = stage.get(1, &target).1;
        assert_eq!(copy["modelInfo"]["status"], "ready");
        let source_path = format!("{V2_1}/{}", stage.source_model());
        let source = stage.get(0, &source_path).1;
        for kept in ["modelName", "createdDateTime", "lastUpdatedDateTime"] {
            assert_eq!(copy["modelInfo"][kept], source["modelInfo"][kept]);
        }
    }

    #[test]
    fn a_wrong_pair_is_accepted_and_fails_and_nonsense_is_refused_at_once() {
        let mut stage = Stage::new(&Options::default());
        let authorization = stage.authorize_custom_model();
        assert_eq!(stage.copy_custom_model(&authorization, "narnia").0, 400);
        let (status, operation) = stage.copy_custom_model(&authorization, "westus");
        assert_eq!(status, 202);
        stage.later(3);
        let ended = stage.get(0, &operation).1;
        assert_eq!((ended["status"].as_str(), operation_error(&ended)), (Some("failed"), "2024"));
    }

    #[test]
    fn an_authorization_is_single_use_must_come_back_unchanged_and_survives_a_429() {
        let mut stage = Stage::new(&Options { tier: Tier::S0, ..Options::default() });
        let authorization = stage.authorize_custom_model();
        assert_eq!(stage.copy_custom_model(&authorization, "westus2").0, 202);
        let second = stage.authorize_custom_model();
        assert_eq!(stage.copy_custom_model(&second, "westus2").0, 429);
        stage.later(60);
        let (status, operation) = stage.copy_custom_model(&second, "westus2");
        stage.later(60);
        assert_eq!((status, stage.get(0, &operation).1["status"].clone()), (202, json!("succeeded")));
        let mut changed = stage.authorize_custom_model();
        changed["accessToken"] = json!("another");
        for used_or_changed in [second, changed] {
            let (status, operation) = stage.copy_custom_model(&used_or_changed, "westus2");
            stage.later(60);
            let ended = stage.get(0, &operation).1;
            assert_eq!((status, operation_error(&ended)), (202, "2024"));
        }
    }

    #[test]
    fn an_authorization_of_v2_1_lives_for_a_day_and_a_later_one_for_an_hour() {
        let mut stage = Stage::new(&Options::default());
        let authorization = stage.authorize_custom_model();
        stage.later(24 * 3600);
        let (status, body) = stage.copy_custom_model(&authorization, "westus2");
        assert!(status == 400 && body.contains("1002"), "{body}");

        let authorize = "POST /documentintelligence/documentModels:authorizeCopy?api-version=2024-11-30";
        let order = json!({"modelId": "copy-1"});
        assert_eq!(stage.ask(1, authorize, &order).0, 200);
        let (status, conflict, _) = stage.ask(1, authorize, &order);
        assert_eq!((status, conflict["error"]["innererror"]["code"].as_str()), (409, Some("ModelExists")));
        let path = "/documentintelligence/documentModels/copy-1?api-version=2024-11-30";
        assert_eq!(stage.get(1, path).0, 404);
        stage.later(3600);
        assert_eq!(stage.ask(1, authorize, &order).0, 200);
    }

    #[test]
    fn from_v3_0_on_a_copy_inherits_what_its_version_inherits() {
        for (version, service, date) in [
            ("3.0", "formrecognizer", "2022-08-31"),
            ("3.1", "formrecognizer", "2023-07-31"),
            ("4.0", "documentintelligence", "2024-11-30"),
        ] {
            let mut stage = Stage::new(&Options::default());
            let source = format!("invoices-v{version}-1");
            let path = |id: &str| format!("/{service}/documentModels/{id}?api-version={date}");
            let authorize = format!("POST /{service}/documentModels:authorizeCopy?api-version={date}");
            let order = json!({"modelId": "copy-1", "tags": {"a": "1"}});
            let authorization = stage.ask(1, &authorize, &order).1;
            let start = format!("POST /{service}/documentModels/{source}:copyTo?api-version={date}");
            let (status, _, headers) = stage.ask(0, &start, &authorization);
            assert_eq!((status, headers[0].0), (202, "Operation-Location"));
            stage.later(10);
            let operation = headers[0].1.split_once(":80").unwrap().1;
            let ended = stage.get(0, operation).1;
            assert_eq!((ended["status"].as_str(), ended["percentCompleted"].as_i64()), (Some("succeeded"), Some(100)));
            let (copy, source_body) = (stage.get(1, &path("copy-1")).1, stage.get(0, &path(&source)).1);
            assert_eq!((&copy["tags"], &copy["description"]), (&json!({"a": "1"}), &Value::Null));
            assert_eq!(copy["expirationDateTime"], source_body["expirationDateTime"]);
            let age = if version == "4.0" { "modifiedDateTime" } else { "createdDateTime" };
            assert_eq!(copy[age], source_body[age]);
            assert_eq!(copy["createdDateTime"] == source_body["createdDateTime"], version != "4.0");
            let doc_type = if version == "3.0" { &source } else { "copy-1" };
            assert!(copy["docTypes"][doc_type].is_object(), "{copy}");
        }
    }

    #[test]
    fn encrypted_content_becomes_plain_only_when_that_is_asked_for() {
        let mut stage = Stage::new(&Options { encrypted: vec!["source".into()], ..Options::default() });
        let authorization = stage.authorize_custom_model();
        let (_, operation) = stage.copy_custom_model(&authorization, "westus2");
        stage.later(10);
        let ended = stage.get(0, &operation).1;
        assert_eq!(operation_error(&ended), "DataProtectionTransformServiceError");
    }

    #[test]
    fn an_ordered_error_hits_the_next_copy_and_no_other() {
        let mut stage = Stage::new(&Options { fail: Fault::find("AuthorizationError"), ..Options::default() });
        for expected in ["failed", "succeeded"] {
            let authorization = stage.authorize_custom_model();
            let (_, operation) = stage.copy_custom_model(&authorization, "westus2");
            stage.later(10);
            assert_eq!(stage.get(0, &operation).1["status"], expected);
        }
    }

    #[test]
    fn lists_come_in_pages_and_each_model_stands_in_one_of_them() {
        let mut stage = Stage::new(&Options { models: 120, ..Options::default() });
        for (first, items, link_of_last_page) in [
            (format!("{V2_1}?op=full"), "modelList", json!("")),
            ("/formrecognizer/documentModels?api-version=2022-08-31".into(), "value", Value::Null),
            ("/documentintelligence/documentClassifiers?api-version=2024-11-30".into(), "value", Value::Null),
        ] {
            let (mut path, mut count) = (first, 0);
            let last = loop {
                let (status, page) = stage.get(0, &path);
                assert_eq!(status, 200);
                count += page[items].as_array().unwrap().len();
                match page["nextLink"].as_str().filter(|link| !link.is_empty()) {
                    Some(link) => path = link.split_once(":80").unwrap().1.to_owned(),
                    None => break page["nextLink"].clone(),
                }
            };
            // v3.0 shows the models of v3.0 alone, and the prebuilt ones.
            assert_eq!(count, if path.contains("documentModels") { 120 + 3 } else { 120 });
            assert_eq!(last, link_of_last_page);
        }
    }

    #[test]
    fn an_operation_is_forgotten_after_a_day_and_a_wrong_key_sees_nothing() {
        let mut stage = Stage::new(&Options::default());
        let authorization = stage.authorize_custom_model();
        let (_, operation) = stage.copy_custom_model(&authorization, "westus2");
        stage.later(24 * 3600);
        assert_eq!(stage.get(0, &operation).0, 404);
        stage.world.accounts[0].key = "changed".into();
        let mut headers = HeaderMap::new();
        headers.insert("ocp-apim-subscription-key", HeaderValue::from_static("wrong"));
        let request =
            Incoming { method: "GET", path: V2_1, query: None, headers: &headers, body: &[], request_id: "id" };
        assert_eq!(stage.world.answer(0, &request, stage.now).status, StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn deleting_frees_an_id_and_prebuilt_models_stay() {
        let mut stage = Stage::new(&Options::default());
        for (id, status) in [("invoices-v4.0-1", 204), ("invoices-v4.0-1", 404), ("prebuilt-read", 404)] {
            let line = format!("DELETE /documentintelligence/documentModels/{id}?api-version=2024-11-30");
            assert_eq!(stage.ask(0, &line, &Value::Null).0, status, "{id}");
        }
    }
}
