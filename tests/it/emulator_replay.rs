//! Recorded requests are sent to the emulator. Its answers must have the recorded status codes, header names and body
//! structure.
//!
//! Known differences are listed in [`EXPLAINED`] and [`UNSENT_HEADERS`], or explained where a request is prepared.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use frcopy::emulator::{Collection, EmulatedResource, Emulator, Fault, Options, Tier};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::replay::{Exchange, Recorded, Recording, localised, recordings_in};

/// Recorded statuses that differ in the emulator, each with the reason.
const EXPLAINED: [(&str, u16, u16, &str); 1] = [(
    "python-v2.0-preview-copy_model_fail_bad_model_id-500-1999",
    500,
    400,
    "v2.0-preview answered an unknown source id with 500/1999; v2.1 has 1001 for it",
)];

/// Recorded headers that the emulator does not send, each with the reason.
const UNSENT_HEADERS: [(&str, &str); 5] = [
    ("transfer-encoding", "the emulator sends content-length instead"),
    ("connection", "belongs to the connection"),
    ("apim-operation-name", "only on one recorded resource; it names the operation once more"),
    ("x-ms-cs-error-code", "of 2020; since 2021 it is called ms-azure-ai-errorcode"),
    ("policy-id", "not on every recorded 429: sent where the limit is one of 60 seconds"),
];

#[test]
fn the_emulator_answers_recorded_requests_like_the_service() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let folders = std::env::var_os("FRCOPY_RECORDINGS").into_iter().map(Into::into).chain([own]);
    // All at the same time: each waits for the end of its operation.
    std::thread::scope(|scope| {
        for (name, recording) in folders.flat_map(|folder| recordings_in(&folder)) {
            scope.spawn(move || Runtime::new().unwrap().block_on(replay(&name, recording)));
        }
    });
}

/// Sends the requests of one recording to an emulator.
struct ReplayClient {
    name: String,
    emulator: Emulator,
    resource: EmulatedResource,
    http: reqwest::Client,
    /// The authorization that the emulator issued instead of the recorded one.
    authorization: Value,
    operation: String,
    copy_fails: bool,
}

async fn replay(name: &str, recording: Value) {
    // Some failures need more than one resource: they are injected.
    let text = recording.to_string();
    let ordered = ["AuthorizationFailed", "ModelNotReady"].into_iter();
    let fail = ordered.filter(|code| text.contains(&format!(r#""code":"{code}""#))).find_map(Fault::find);
    let options = Options { operation_time: Duration::from_secs(4), models: 0, fail, ..Options::default() };
    let emulator = Emulator::start(&options, Arc::new(|_| {})).await.unwrap();
    let resource = emulator.resources()[0].clone();
    let recording: Recording = serde_json::from_value(localised(recording, &resource.endpoint)).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let copy_fails = recording.exchanges.iter().any(|exchange| status_word(exchange) == Some("failed"));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let (authorization, operation) = (Value::Null, String::new());
    let mut client =
        ReplayClient { name: name.to_owned(), emulator, resource, http, authorization, operation, copy_fails };
    client.seed(&recording.exchanges);
    for exchange in &recording.exchanges {
        if exchange.response.status == 429 {
            client.compare(exchange, throttled(&exchange.request).await);
        } else {
            client.play(exchange).await;
        }
    }
}

fn status_word(exchange: &Exchange) -> Option<&str> {
    exchange.response.body.as_ref()?.get("status")?.as_str()
}

fn is_terminal(word: &str) -> bool {
    matches!(word, "succeeded" | "failed")
}

impl ReplayClient {
    /// Adds the models that existed before the recording: the source, with the content of its copy, and existing ids.
    fn seed(&self, exchanges: &[Exchange]) {
        let copy = exchanges.iter().rev().find_map(|exchange| {
            let body = exchange.response.body.as_ref()?;
            let is_model =
                exchange.request.method == "GET" && !exchange.request.is_poll() && exchange.response.status == 200;
            if is_model { Some(body.clone()) } else { body.get("result").filter(|result| result.is_object()).cloned() }
        });
        for exchange in exchanges {
            let request = &exchange.request;
            let on = collection(&request.url);
            if request.is_authorize() && exchange.response.status == 409 {
                let id = request.body.as_ref().unwrap()["modelId"].as_str().unwrap();
                self.emulator.put(0, on, id, json!({"modelId": id, "createdDateTime": "2024-01-01T00:00:00Z"}));
            }
            // An id that was only authorized or never existed is not added.
            let only_authorized = exchanges.iter().any(|other| {
                let reserved = other.request.body.as_ref().and_then(|body| body.get("modelId")?.as_str());
                other.request.is_authorize() && request.is_start() && reserved == Some(&request.source_id())
            });
            let is_there = !only_authorized && !matches!(exchange.response.status, 404 | 500);
            if request.is_start() && is_there {
                let id = request.source_id();
                let blank = json!({"modelInfo": {"modelId": id, "status": "ready", "createdDateTime": "2024-01-01T00:00:00Z", "lastUpdatedDateTime": "2024-01-01T00:00:00Z"}});
                let mut body = copy.clone().unwrap_or(if on == Collection::CustomModels {
                    blank
                } else {
                    json!({"modelId": id, "createdDateTime": "2024-01-01T00:00:00Z"})
                });
                let id_field = match on {
                    Collection::CustomModels => "/modelInfo/modelId",
                    Collection::DocumentModels => "/modelId",
                    Collection::DocumentClassifiers => "/classifierId",
                };
                if let Some(field) = body.pointer_mut(id_field) {
                    *field = json!(id);
                }
                // The document type has the name of the model, as after a training.
                rename_only_key(body.get_mut("docTypes"), &id);
                self.emulator.put(0, on, &id, body);
            }
        }
    }

    async fn play(&mut self, exchange: &Exchange) {
        let request = &exchange.request;
        let mut url = request.url.clone();
        if request.is_poll() && !self.operation.is_empty() {
            url.clone_from(&self.operation);
        } else if request.method != "POST"
            && let Some(id) = self.reserved_id()
        {
            // With v2.1 the copy has another id than in the recording.
            url = url.replace(&recorded_id(request), &renamed(&recorded_id(request), &id, collection(&url)));
        }
        let mut answer = self.send(&request.method, &url, self.body_of(request)).await;
        while status_word(exchange).is_some_and(is_terminal) && !answer.1["status"].as_str().is_some_and(is_terminal) {
            // The emulator may need another number of polls than the recording.
            answer = self.send(&request.method, &url, None).await;
        }
        if request.is_authorize() && exchange.response.status < 300 {
            self.authorization = answer.1.clone();
        }
        if let Some(location) = answer.2.get("operation-location") {
            location.to_str().unwrap().clone_into(&mut self.operation);
        }
        self.compare(exchange, answer);
    }

    fn reserved_id(&self) -> Option<String> {
        let id =
            ["modelId", "targetModelId", "targetClassifierId"].iter().find_map(|name| self.authorization.get(name));
        id.and_then(Value::as_str).map(str::to_owned)
    }

    /// The recorded body with the authorization and address of the emulator.
    fn body_of(&self, request: &Recorded) -> Option<Value> {
        if !request.is_start() {
            return request.body.clone();
        }
        if collection(&request.url) != Collection::CustomModels {
            return Some(if self.authorization.is_null() { json!({}) } else { self.authorization.clone() });
        }
        let sent = |name: &str| request.body.as_ref().and_then(|body| body.get(name)?.as_str().map(str::to_owned));
        // Values that the service refuses for their form are sent unchanged. Others are replaced by those of the emulator.
        let resource_id =
            sent("targetResourceId").filter(|id| id == "resourceId").unwrap_or(self.resource.resource_id.clone());
        let told_region = sent("targetResourceRegion");
        let region = match told_region.as_deref() {
            Some(nonsense @ ("resourceregion" | "nowhere1")) => nonsense,
            _ if self.copy_fails => "northeurope",
            _ => &self.resource.region,
        };
        Some(
            json!({"targetResourceId": resource_id, "targetResourceRegion": region, "copyAuthorization": self.authorization}),
        )
    }

    async fn send(&self, method: &str, url: &str, body: Option<Value>) -> (u16, Value, HeaderMap) {
        // One recording uses a wrong key.
        let key = if self.name.contains("FakeApiKey") { "fake" } else { &self.resource.key };
        send(&self.http, method, url, key, body).await
    }

    fn compare(&self, exchange: &Exchange, (status, body, headers): (u16, Value, HeaderMap)) {
        let recorded = &exchange.response;
        let context = format!("{}: {} {} -> {status} {body}", self.name, exchange.request.method, exchange.request.url);
        let explained =
            EXPLAINED.iter().any(|(name, was, is, _)| *name == self.name && (*was, *is) == (recorded.status, status));
        if explained {
            return;
        }
        assert_eq!(status, recorded.status, "{context}");
        for name in recorded.headers.keys().map(|name| name.to_ascii_lowercase()) {
            // A 204 has no content-length (RFC 9110).
            let unsent =
                UNSENT_HEADERS.iter().any(|(unsent, _)| *unsent == name) || (status == 204 && name == "content-length");
            assert!(unsent || headers.contains_key(name.as_str()), "{name} is missing in {context}");
        }
        let recorded = recorded.body.clone().unwrap_or_default();
        if let Some(difference) = difference(&recorded, &body, "") {
            panic!("{difference} in {context}\nrecorded: {recorded}");
        }
    }
}

/// Repeats a request to an emulator of the recorded tier until it is rate limited.
async fn throttled(request: &Recorded) -> (u16, Value, HeaderMap) {
    let is_custom_model = collection(&request.url) == Collection::CustomModels;
    let tier = if is_custom_model { Tier::S0 } else { Tier::F0 };
    let options = Options { tier, ..Options::default() };
    let emulator = Emulator::start(&options, Arc::new(|_| {})).await.unwrap();
    let resource = &emulator.resources()[0];
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let path = url::Url::parse(&request.url).unwrap();
    let url = format!("{}{}", resource.endpoint, &path[url::Position::BeforePath..]);
    loop {
        let answer = send(&http, &request.method, &url, &resource.key, Some(json!({}))).await;
        if answer.0 == 429 {
            return answer;
        }
    }
}

async fn send(
    http: &reqwest::Client,
    method: &str,
    url: &str,
    key: &str,
    body: Option<Value>,
) -> (u16, Value, HeaderMap) {
    let method = method.parse::<http::Method>().unwrap();
    let mut request = http.request(method, url).header("ocp-apim-subscription-key", key);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default(), headers)
}

fn collection(url: &str) -> Collection {
    match url {
        _ if url.contains("/custom/models") => Collection::CustomModels,
        _ if url.contains("documentClassifiers") => Collection::DocumentClassifiers,
        _ => Collection::DocumentModels,
    }
}

/// The id at the end of a recorded path.
fn recorded_id(request: &Recorded) -> String {
    request.url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned()
}

/// The id in a request for the copy. Only with v2.1 it differs from the recording, because the service chooses it.
fn renamed(recorded: &str, actual: &str, collection: Collection) -> String {
    if collection == Collection::CustomModels && recorded.len() == 36 { actual.to_owned() } else { recorded.to_owned() }
}

fn rename_only_key(types: Option<&mut Value>, id: &str) {
    let Some(types) = types.and_then(Value::as_object_mut).filter(|types| types.len() == 1) else { return };
    let name = types.keys().next().unwrap().clone();
    let only = types.remove(&name).unwrap();
    types.insert(id.to_owned(), only);
}

/// The first difference in field names and types, if any.
fn difference(recorded: &Value, actual: &Value, at: &str) -> Option<String> {
    match (recorded, actual) {
        (Value::Object(recorded), Value::Object(actual)) => {
            // The keys of this map are model names.
            if at.ends_with("/docTypes") && recorded.len() == 1 && actual.len() == 1 {
                let (recorded, actual) = (recorded.values().next()?, actual.values().next()?);
                return difference(recorded, actual, &format!("{at}/*"));
            }
            let missing = recorded.keys().find(|name| !actual.contains_key(*name) && !may_be_absent(at, name));
            let added = actual.keys().find(|name| !recorded.contains_key(*name) && !may_be_added(at, name));
            match (missing, added) {
                (Some(name), _) => Some(format!("{at}/{name} is missing")),
                (_, Some(name)) => Some(format!("{at}/{name} is added")),
                _ => recorded
                    .iter()
                    .find_map(|(name, value)| difference(value, actual.get(name)?, &format!("{at}/{name}"))),
            }
        }
        (Value::Array(recorded), Value::Array(actual)) => {
            difference(recorded.first()?, actual.first()?, &format!("{at}/0"))
        }
        _ if std::mem::discriminant(recorded) == std::mem::discriminant(actual) => None,
        _ => Some(format!("{at} is {actual} where {recorded} was recorded")),
    }
}

/// Fields that the emulator adds. For example, a running operation has no apiVersion until 2024-07-31-preview.
fn may_be_added(at: &str, name: &str) -> bool {
    (at.is_empty() && name == "apiVersion")
        || (at.is_empty() && name == "copyResult")
        || (at == "/copyResult" && name == "modelId")
        || (at == "/copyResult/errors/0" && name == "innerError")
        || is_later_date(at, name)
}

/// Fields that the emulator omits. For example, operations of v3.1-preview have an apiVersion.
fn may_be_absent(at: &str, name: &str) -> bool {
    (at.is_empty() && name == "apiVersion") || is_later_date(at, name)
}

fn is_later_date(at: &str, name: &str) -> bool {
    (at.is_empty() || at == "/result") && matches!(name, "modifiedDateTime" | "expirationDateTime")
}
