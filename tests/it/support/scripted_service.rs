//! [`ScriptedService`]: two HTTP servers, source and target, that answer each step of a copy from a script.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use assert_cmd::Command;
use serde_json::json;
use tokio::runtime::Runtime;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{MODEL, RESOURCE_ID, SOURCE_KEY, TARGET_KEY, V4_0, Version, frcopy};

/// The steps of a copy, each with answers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    GetSource,
    GetTarget,
    /// On the source: the id may be that of a classifier (v4.0).
    GetClassifier,
    Authorize,
    Start,
    Poll,
    Verify,
    /// The source's list of operations (v3.0 and later).
    ListOperations,
    /// The deletion of the reserved id on the target.
    Release,
}

/// An answer with the header that every answer of the service has.
pub(crate) fn reply(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("apim-request-id", format!("req-{status}").as_str())
}

pub(crate) fn error_reply(status: u16, code: &str, message: &str) -> ResponseTemplate {
    reply(status).set_body_json(json!({"error": {"code": code, "message": message}}))
}

/// One request that a server has seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// What it was; nothing where it belongs to no step.
    pub(crate) step: Option<Step>,
    /// Such as `GET /path?query`.
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// Two scripted resources of one version.
pub(crate) struct ScriptedService {
    pub(crate) version: Version,
    pub(crate) source: MockServer,
    pub(crate) target: MockServer,
    state: Arc<Mutex<State>>,
    // Dropped last: the servers live on it.
    _runtime: Runtime,
}

struct State {
    version: Version,
    script: HashMap<Step, VecDeque<ResponseTemplate>>,
    also: Vec<(Version, Step, VecDeque<ResponseTemplate>)>,
    /// The answer to what belongs to no step.
    default_answer: ResponseTemplate,
    seen: Vec<Seen>,
    accepted: bool,
}

impl ScriptedService {
    /// Two resources that do all that this version asks of them; the operation runs for one poll.
    pub(crate) fn new(version: Version) -> Self {
        let service = Self::minimal(version);
        service.on(Step::GetSource, [reply(200).set_body_json(version.model_body(MODEL))]);
        service.on(Step::GetTarget, [version.no_such_model()]);
        service.on(Step::Verify, [reply(200).set_body_json(version.model_body(version.copy_id()))]);
        service.on(Step::ListOperations, [reply(200).set_body_json(json!({"value": []}))]);
        service.on(Step::Release, [reply(204)]);
        service
    }

    /// Two servers that know nothing but the three calls of the how-to: everything else is a bare 404.
    pub(crate) fn minimal(version: Version) -> Self {
        let runtime = Runtime::new().unwrap();
        let state = State {
            version,
            script: HashMap::new(),
            also: Vec::new(),
            default_answer: ResponseTemplate::new(404),
            seen: Vec::new(),
            accepted: false,
        };
        let state = Arc::new(Mutex::new(state));
        let (source, target) = runtime.block_on(async {
            let servers = (MockServer::start().await, MockServer::start().await);
            for (server, is_source) in [(&servers.0, true), (&servers.1, false)] {
                let state = Arc::clone(&state);
                let answer = move |request: &Request| state.lock().unwrap().answer(is_source, request);
                Mock::given(any()).respond_with(answer).mount(server).await;
            }
            servers
        });
        let service = Self { version, source, target, state, _runtime: runtime };
        let created = if version.is_v2_1() { 201 } else { 200 };
        let authorization = version.authorization(version.copy_id());
        service.on(Step::Authorize, [reply(created).set_body_raw(authorization, "application/json; charset=utf-8")]);
        service.on(Step::Start, [service.accepted()]);
        service.on(
            Step::Poll,
            ["running", "succeeded"].map(|status| reply(200).set_body_json(version.operation_body(status))),
        );
        service
    }

    /// Sets the answers of a step; the last one repeats.
    pub(crate) fn on(&self, step: Step, answers: impl IntoIterator<Item = ResponseTemplate>) {
        self.state.lock().unwrap().script.insert(step, answers.into_iter().collect());
    }

    /// Sets the answer to everything that belongs to no step; a bare 404 unless told.
    pub(crate) fn default_answer(&self, answer: ResponseTemplate) {
        self.state.lock().unwrap().default_answer = answer;
    }

    pub(crate) fn accepted(&self) -> ResponseTemplate {
        let location = format!("{}{}", self.source.uri(), self.version.operation());
        reply(202).insert_header("Operation-Location", location.as_str())
    }

    pub(crate) fn operation_url(&self) -> String {
        format!("{}{}", self.source.uri(), self.version.operation())
    }

    /// `frcopy copy MODEL --api-version …` with everything that this version needs, polling fast.
    pub(crate) fn copy(&self) -> Command {
        let mut command = self.bare_copy();
        command.args([MODEL, "--api-version", self.version.number]);
        if self.version.is_v2_1() {
            command.args(["--target-resource-id", RESOURCE_ID, "--target-region", "westus2"]);
        }
        command
    }

    /// `frcopy copy` with endpoints and keys in the environment, and nothing else.
    pub(crate) fn bare_copy(&self) -> Command {
        let mut command = frcopy();
        command
            .env("FRCOPY_SOURCE_ENDPOINT", self.source.uri())
            .env("FRCOPY_TARGET_ENDPOINT", self.target.uri())
            .env("FRCOPY_SOURCE_KEY", SOURCE_KEY)
            .env("FRCOPY_TARGET_KEY", TARGET_KEY)
            .args(["copy", "--poll-interval", "10ms"]);
        command
    }

    /// Lets these servers answer one step of another version as well, with that service's script.
    pub(crate) fn also(&self, other: &Self, step: Step) {
        let other_state = other.state.lock().unwrap();
        let answers = other_state.script[&step].clone();
        let mut state = self.state.lock().unwrap();
        state.also.push((other.version, step, answers));
    }

    /// Everything that the two servers have seen, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// How often a step was asked for.
    pub(crate) fn count(&self, step: Step) -> usize {
        self.seen().iter().filter(|seen| seen.step == Some(step)).count()
    }

    /// The only request of a step.
    pub(crate) fn only(&self, step: Step) -> Seen {
        let mut all: Vec<_> = self.seen().into_iter().filter(|seen| seen.step == Some(step)).collect();
        assert_eq!(all.len(), 1, "{step:?}");
        all.remove(0)
    }
}

impl State {
    fn answer(&mut self, is_source: bool, request: &Request) -> ResponseTemplate {
        let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}{query}", request.url.path());
        let step = self.step(is_source, request.method.as_str(), &path);
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap_or_default().to_owned())
        };
        self.seen.push(Seen {
            step,
            line: format!("{} {path}", request.method),
            headers: request.headers.iter().map(header).collect(),
            body: String::from_utf8(request.body.clone()).unwrap(),
        });
        self.accepted |= step == Some(Step::Start);
        if let Some(answers) = step.and_then(|step| self.script.get_mut(&step)) {
            return if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
        }
        let of_another_version = self.also.iter().find(|(version, step, _)| {
            self.step_of(*version, is_source, request.method.as_str(), &path) == Some(*step)
        });
        of_another_version.map_or_else(|| self.default_answer.clone(), |(_, _, answers)| answers[0].clone())
    }

    fn step(&self, is_source: bool, method: &str, path: &str) -> Option<Step> {
        self.step_of(self.version, is_source, method, path)
    }

    fn step_of(&self, version: Version, is_source: bool, method: &str, path: &str) -> Option<Step> {
        let (before_id, after_id) = (version.model(""), version.model("\0"));
        let (before_id, after_id) = (before_id.split('?').next().unwrap(), after_id.split('\0').next_back().unwrap());
        let is_model = path.starts_with(before_id) && path.ends_with(after_id);
        match (method, is_source) {
            ("POST", false) if path == version.authorize() => Some(Step::Authorize),
            ("POST", true) if path == version.start(MODEL) => Some(Step::Start),
            ("GET", true) if path == version.operation() => Some(Step::Poll),
            ("GET", true) if Some(path) == version.operations().as_deref() => Some(Step::ListOperations),
            ("DELETE", false) if is_model => Some(Step::Release),
            ("GET", true) if path == version.model(MODEL) => Some(Step::GetSource),
            ("GET", true) if path == V4_0.model(MODEL).replace("documentModels", "documentClassifiers") => {
                Some(Step::GetClassifier)
            }
            ("GET", false) if is_model && self.accepted => Some(Step::Verify),
            ("GET", false) if is_model => Some(Step::GetTarget),
            _ => None,
        }
    }
}
