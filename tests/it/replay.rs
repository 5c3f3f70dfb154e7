//! Recorded traffic of other clients. [`ReplayServer`] gives the recorded answers and accepts only the recorded requests.
//!
//! The recordings in `tests/recordings` are written by hand. Recordings of the real service cannot be published here:
//! `FRCOPY_RECORDINGS` is a folder with such files in the same format.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::runtime::Runtime;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::{RESOURCE_ID, frcopy_between, run};

#[derive(Deserialize)]
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) exchanges: Vec<Exchange>,
}

#[derive(Deserialize, Clone)]
pub(crate) struct Exchange {
    pub(crate) request: Recorded,
    pub(crate) response: Response,
}

#[derive(Deserialize, Clone)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) body: Option<Value>,
}

#[derive(Deserialize, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Map<String, Value>,
    pub(crate) body: Option<Value>,
}

#[test]
fn recorded_copies_replay_with_the_recorded_verdict() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    assert_eq!(replay_folder(&own), 8);
    if let Some(folder) = std::env::var_os("FRCOPY_RECORDINGS") {
        assert!(replay_folder(Path::new(&folder)) >= 18, "fewer recordings replay than there were");
    }
}

/// Replays every recording of a folder and returns the number of those that frcopy can make.
fn replay_folder(folder: &Path) -> usize {
    let mut replayed = 0;
    for (name, recording) in recordings_in(folder) {
        match replay(recording) {
            Ok(()) => replayed += 1,
            Err(reason) => eprintln!("not replayed: {name}: {reason}"),
        }
    }
    replayed
}

/// The recordings of a folder, with their names.
pub(crate) fn recordings_in(folder: &Path) -> Vec<(String, Value)> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let name = |file: &PathBuf| file.file_stem().unwrap().to_string_lossy().into_owned();
    files.iter().map(|file| (name(file), serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap())).collect()
}

/// Replays one recording. An error is the reason why frcopy never sends these requests.
fn replay(recording: Value) -> Result<(), &'static str> {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(MockServer::start());
    let mut recording: Recording = serde_json::from_value(localised(recording, &server.uri())).unwrap();
    recording.exchanges.iter_mut().for_each(|exchange| exchange.request.remove_what_classifiers_do_not_have());
    let copy = Copy::of(&recording)?;
    let replay_server =
        Arc::new(Mutex::new(ReplayServer { exchanges: recording.exchanges.clone(), next: 0, unexpected: Vec::new() }));
    let play = Arc::clone(&replay_server);
    let mock = Mock::given(any()).respond_with(move |request: &Request| play.lock().unwrap().answer(request));
    runtime.block_on(mock.mount(&server));

    // One server with two host names: in the recordings source and target are one resource, sometimes with one id.
    let target = server.uri().replace("127.0.0.1", "localhost");
    let output =
        run(frcopy_between(&server.uri(), &target).args(["copy", "--poll-interval", "10ms"]).args(&copy.arguments));

    let replay_server = replay_server.lock().unwrap();
    let context = format!("{}: {output:#?}", recording.name);
    assert_eq!(replay_server.unexpected, Vec::<String>::new(), "{context}");
    let left: Vec<_> =
        replay_server.exchanges[replay_server.next..].iter().filter(|exchange| !may_be_left_over(exchange)).collect();
    assert!(left.is_empty(), "not asked for: {} in {context}", left[0].request.url);
    assert_eq!(output.code, copy.expected.exit, "{context}");
    // Of the last answer that was sent: frcopy may repeat a start less often than the recorded client.
    let sent = &replay_server.exchanges[..replay_server.next];
    let last = sent.iter().rfind(|exchange| exchange.request.method == "POST" || exchange.request.is_poll()).unwrap();
    if let Some(id) = last.response.header("apim-request-id").filter(|_| output.code != 0) {
        assert!(output.stderr.contains(&format!("request id: {id}")), "{id} is missing in {context}");
    }
    for texts in &copy.expected.texts {
        assert!(output.stderr.contains(texts), "{texts:?} is missing in {context}");
    }
    assert_eq!(output.stdout.trim(), copy.expected.stdout, "{context}");
    Ok(())
}

/// The arguments for frcopy and the expected result, both derived from a recording.
struct Copy {
    arguments: Vec<String>,
    expected: Expected,
}

struct Expected {
    exit: i32,
    texts: Vec<String>,
    stdout: String,
}

impl Copy {
    fn of(recording: &Recording) -> Result<Self, &'static str> {
        let find =
            |wanted: fn(&Recorded) -> bool| recording.exchanges.iter().find(|exchange| wanted(&exchange.request));
        let authorize = find(Recorded::is_authorize).ok_or("no authorize: frcopy starts no copy without one")?;
        let start = find(Recorded::is_start);
        if start.is_none() && authorize.response.status < 300 {
            return Err("an authorize without a start: frcopy does not reserve an id without a copy");
        }
        let asked = authorize.request.body.clone().unwrap_or_default();
        let is_classifier = authorize.request.url.contains("documentClassifiers");
        let target_id = asked.get(if is_classifier { "classifierId" } else { "modelId" }).and_then(Value::as_str);
        // A recording that ends with a refused authorize does not contain the source id.
        let source_id = start.map_or("any-model".into(), |start| start.request.source_id());
        let mut arguments = vec![source_id, "--api-version".into(), api_version(&authorize.request.url).into()];
        let mut option = |name: &str, value: &str| arguments.extend([name.to_owned(), value.to_owned()]);
        if is_classifier {
            option("--kind", "classifier");
        }
        if let Some(id) = target_id {
            option("--target-model-id", id);
        } else {
            let sent = start.and_then(|start| start.request.body.clone()).unwrap_or_default();
            let text = |name: &str, default: &str| sent.get(name).and_then(Value::as_str).unwrap_or(default).to_owned();
            option("--target-resource-id", &text("targetResourceId", RESOURCE_ID));
            option("--target-region", &text("targetResourceRegion", "westus2"));
        }
        if let Some(description) = asked.get("description").and_then(Value::as_str) {
            option("--description", description);
        }
        for (name, value) in asked.get("tags").and_then(Value::as_object).into_iter().flatten() {
            option("--tag", &format!("{name}={}", value.as_str().unwrap()));
        }
        if start.is_some_and(|start| start.response.status == 500) {
            // frcopy looks for the copy and repeats the start, longer than was recorded.
            option("--timeout", "3s");
        }
        Ok(Self { arguments, expected: Expected::of(recording, authorize) })
    }
}

impl Expected {
    fn of(recording: &Recording, authorize: &Exchange) -> Self {
        let reserved = authorize.response.body.clone().unwrap_or_default();
        let reserved =
            ["modelId", "targetModelId", "targetClassifierId"].iter().find_map(|name| reserved.get(name)?.as_str());
        let last_poll = recording.exchanges.iter().rfind(|exchange| exchange.request.is_poll());
        // The first start that was not rate limited. frcopy does not repeat what followed a 500.
        let mut starts = recording.exchanges.iter().filter(|exchange| exchange.request.is_start());
        let answered_start = starts.find(|start| start.response.status != 429);
        let last = last_poll.or(answered_start).unwrap_or(authorize);
        let body = last.response.body.clone().unwrap_or_default();
        let status = body.get("status").and_then(Value::as_str);
        let exit = match (last.response.status, status) {
            (200, Some("succeeded")) => 0,
            (200, Some("failed" | "canceled" | "skipped")) | (400, _) => 3,
            (409, _) => 6,
            // Not a refusal: the copy may be running.
            (500, _) => 8,
            (404, _) => 5,
            other => panic!("{}: no expectation for a last answer with {other:?}", recording.name),
        };
        let mut texts = Vec::new();
        if exit != 0 {
            let (code, message) = innermost(&body);
            texts.push(format!("cause: {code}: {message}"));
            texts.push(format!("help: {}", remedy(&code)));
        }
        let stdout = if exit == 0 { reserved.unwrap_or_default().to_owned() } else { String::new() };
        Self { exit, texts, stdout }
    }
}

/// The code and message of the innermost error. v2.1 has a list of errors, later versions nest them.
fn innermost(body: &Value) -> (String, String) {
    let mut fault = body.pointer("/copyResult/errors/0").or(body.get("error")).unwrap();
    while let Some(inner) =
        fault.get("innererror").filter(|inner| inner.get("code").is_some()).or(fault.pointer("/details/0"))
    {
        fault = inner;
    }
    let text = |name: &str| fault[name].as_str().unwrap_or_default().to_owned();
    (text("code"), text("message"))
}

/// The first words of the remedy of each recorded code.
fn remedy(code: &str) -> &'static str {
    match code {
        "1002" => "correct --target-resource-id and --target-region",
        "1999" => "wait for it",
        "2024" => "set --target-resource-id and --target-region to those of the target",
        "AuthorizationError" | "AuthorizationFailed" => "run the command again",
        "ModelNotReady" => "wait until the model's training has succeeded",
        "ModelNotFound" => "check the model id",
        "ModelExists" => "choose another id with --target-model-id",
        other => panic!("no remedy is known for {other}"),
    }
}

impl Recorded {
    pub(crate) fn is_authorize(&self) -> bool {
        self.method == "POST" && (self.url.contains("copyAuthorization") || self.url.contains(":authorizeCopy"))
    }

    pub(crate) fn is_start(&self) -> bool {
        self.method == "POST" && (self.url.ends_with("/copy") || self.url.contains(":copyTo"))
    }

    pub(crate) fn is_poll(&self) -> bool {
        self.method == "GET" && (self.url.to_lowercase().contains("/copyresults/") || self.url.contains("/operations/"))
    }

    /// frcopy refuses a description and tags for a classifier, which the service ignores. The recorded clients sent them.
    fn remove_what_classifiers_do_not_have(&mut self) {
        if self.is_authorize()
            && self.url.contains("documentClassifiers")
            && let Some(body) = self.body.as_mut().and_then(Value::as_object_mut)
        {
            body.retain(|name, _| name != "description" && name != "tags");
        }
    }

    pub(crate) fn source_id(&self) -> String {
        let path = self.url.split('?').next().unwrap();
        let path = path.trim_end_matches("/copy").trim_end_matches(":copyTo");
        path.rsplit('/').next().unwrap().to_owned()
    }
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).and_then(|(_, value)| value.as_str())
    }
}

/// Gives the recorded answers in order, and only to the recorded requests.
struct ReplayServer {
    exchanges: Vec<Exchange>,
    next: usize,
    unexpected: Vec<String>,
}

impl ReplayServer {
    fn answer(&mut self, request: &Request) -> ResponseTemplate {
        let line = format!("{} {}", request.method, request.url);
        if !request.headers.contains_key("ocp-apim-subscription-key") {
            self.unexpected.push(format!("{line} without a key"));
        }
        let expected = self.exchanges.get(self.next).filter(|exchange| matches(&exchange.request, request));
        let Some(Exchange { request: recorded, response }) = expected.cloned() else {
            // frcopy sends preflight and verification reads, which the recorded clients did not send.
            if !is_model_read(request) && request.url.query() != Some("op=summary") {
                let wanted = self.exchanges.get(self.next).map(|exchange| exchange.request.url.clone());
                self.unexpected.push(format!("{line} where {wanted:?} was recorded"));
            }
            return ResponseTemplate::new(404);
        };
        if let Some(problem) = self.compare_bodies(&recorded, request) {
            self.unexpected.push(format!("{line}: {problem}"));
        }
        self.next += 1;
        replayed(&response)
    }

    fn compare_bodies(&self, recorded: &Recorded, request: &Request) -> Option<String> {
        let sent: Value =
            if request.body.is_empty() { Value::Null } else { serde_json::from_slice(&request.body).unwrap() };
        // The recorded clients rewrote the date of the authorization. frcopy sends it unchanged.
        let authorization = self.exchanges.iter().find(|exchange| exchange.request.is_authorize());
        let expected = match (&recorded.body, authorization) {
            (_, Some(authorization)) if recorded.url.contains(":copyTo") => {
                authorization.response.body.clone().unwrap()
            }
            // One recording has no bodies, and one has a body that is not JSON.
            (None | Some(Value::String(_)), _) if recorded.is_start() => return None,
            (body, _) => body.clone().unwrap_or_default(),
        };
        (sent != expected).then(|| format!("{sent} was sent where {expected} was recorded"))
    }
}

/// Compares method, path and query. Some clients wrote `copyResults` for `copyresults`, or added `includeKeys`.
fn matches(recorded: &Recorded, request: &Request) -> bool {
    let url = url::Url::parse(&recorded.url).unwrap();
    let query = url.query().filter(|query| !query.starts_with("includeKeys"));
    recorded.method == request.method.as_str()
        && url.path().eq_ignore_ascii_case(request.url.path())
        && query == request.url.query()
}

fn is_model_read(request: &Request) -> bool {
    let segments: Vec<_> = request.url.path_segments().unwrap().collect();
    request.method == wiremock::http::Method::GET
        && (matches!(segments[..], [_, "documentModels" | "documentClassifiers", _])
            || matches!(segments[..], [_, _, "custom", "models", _]))
}

/// Requests that frcopy does not send: further reads of the copy, a clean-up, and a start repeated after a 500.
fn may_be_left_over(exchange: &Exchange) -> bool {
    let request = &exchange.request;
    request.method == "DELETE"
        || (request.method == "GET" && !request.is_poll())
        || (request.is_start() && exchange.response.status == 500)
}

fn replayed(response: &Response) -> ResponseTemplate {
    let mut template = ResponseTemplate::new(response.status);
    if let Some(body) = &response.body {
        template = template.set_body_bytes(serde_json::to_vec(body).unwrap());
    }
    for (name, value) in &response.headers {
        let value = value.as_str().unwrap();
        match name.to_ascii_lowercase().as_str() {
            "content-length" | "transfer-encoding" | "date" | "strict-transport-security" => {}
            // Other tests cover the wait, without a delay of a minute.
            "retry-after" => template = template.insert_header("Retry-After", "0"),
            _ => template = template.insert_header(name.as_str(), value),
        }
    }
    template
}

/// The recording with the address of this server, current API versions, and settings that frcopy accepts.
pub(crate) fn localised(value: Value, server: &str) -> Value {
    match value {
        Value::String(text) => Value::String(localised_text(&text, server)),
        Value::Array(items) => items.into_iter().map(|item| localised(item, server)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, field)| (name, localised(field, server))).collect(),
        other => other,
    }
}

fn localised_text(text: &str, server: &str) -> String {
    match text {
        // Placeholders of the recorder for a resource id, and for a region of a form that the service refuses.
        "/path/to/resource/id" | "resource_id" => return RESOURCE_ID.into(),
        "RESOURCE_REGION" => return "resourceregion".into(),
        _ => {}
    }
    let Some(path) = text.strip_prefix("https://").and_then(|rest| rest.split_once('/')).map(|(_, path)| path) else {
        return text.to_owned();
    };
    let path = path.trim_start_matches('/');
    if !path.starts_with("formrecognizer") && !path.starts_with("documentintelligence") {
        return text.to_owned();
    }
    let mut path = path.to_owned();
    for preview in ["v2.0-preview", "v2.0", "v2.1-preview.1", "v2.1-preview.2", "v2.1-preview.3"] {
        path = path.replace(&format!("formrecognizer/{preview}/"), "formrecognizer/v2.1/");
    }
    if let Some((before, date)) = path.split_once("api-version=") {
        let newest = if path.starts_with("documentintelligence") { "2024-11-30" } else { "2023-07-31" };
        let date = if date == "2022-08-31" { date } else { newest };
        path = format!("{before}api-version={date}");
    }
    format!("{server}/{path}")
}

fn api_version(url: &str) -> &str {
    url.split_once("api-version=").map_or("2.1", |(_, date)| date)
}
