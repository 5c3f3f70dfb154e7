//! [`ScriptedService`]: two HTTP servers, source and target, that answer each step of a copy from a script.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use assert_cmd::Command;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::answers::{Authorization, Model, Operation, reply};
use super::{MODEL, RESOURCE_ID, V4_0, Version, frcopy_between};

/// The steps of a copy. Each has its own script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Preflight on the source.
    GetSource,
    /// Preflight on the target.
    GetTarget,
    /// Preflight on the source with v4.0, where the id may be that of a classifier.
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

/// A recorded request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The step that it belongs to, if any.
    pub(crate) step: Option<Step>,
    /// For example `GET /path?query`.
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
}

struct State {
    version: Version,
    script: HashMap<Step, VecDeque<ResponseTemplate>>,
    other_versions: Vec<(Version, Step, VecDeque<ResponseTemplate>)>,
    /// The answer to a request that belongs to no step.
    default_answer: ResponseTemplate,
    seen: Vec<Seen>,
    accepted: bool,
}

/// Starts a server that answers every request. It runs in a thread of its own until it is dropped.
pub(crate) fn mock_server(answer: impl Fn(&Request) -> ResponseTemplate + Send + Sync + 'static) -> MockServer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(answer).mount(&server).await;
        server
    })
}

impl ScriptedService {
    /// Two resources on which a copy succeeds. The operation is running at the first poll and succeeded at the second.
    pub(crate) fn new(version: Version) -> Self {
        let service = Self::minimal(version);
        service.on(Step::GetSource, [Model::example(version).answer()]);
        service.on(Step::GetTarget, [Model::not_found(version)]);
        service.on(Step::Verify, [Model::copy_of_example(version).answer()]);
        service.on(Step::ListOperations, [Operation::list([])]);
        service.on(Step::Release, [reply(204)]);
        service
    }

    /// Two servers with only the three calls of the how-to guide: authorize, start, poll. All else gets an empty 404.
    pub(crate) fn minimal(version: Version) -> Self {
        let state = State {
            version,
            script: HashMap::new(),
            other_versions: Vec::new(),
            default_answer: ResponseTemplate::new(404),
            seen: Vec::new(),
            accepted: false,
        };
        let state = Arc::new(Mutex::new(state));
        let [source, target] = [true, false].map(|is_source| {
            let state = Arc::clone(&state);
            mock_server(move |request| state.lock().unwrap().answer(is_source, request))
        });
        let service = Self { version, source, target, state };
        service.on(Step::Authorize, [Authorization::answer(version, version.copy_id())]);
        service.on(Step::Start, [service.accepted()]);
        service.on(Step::Poll, ["running", "succeeded"].map(|status| Operation::with_status(version, status).answer()));
        service
    }

    /// Sets the answers of a step. The last one repeats.
    pub(crate) fn on(&self, step: Step, answers: impl IntoIterator<Item = ResponseTemplate>) {
        self.state.lock().unwrap().script.insert(step, answers.into_iter().collect());
    }

    /// Sets the answer to requests that belong to no step. The default is an empty 404.
    pub(crate) fn default_answer(&self, answer: ResponseTemplate) {
        self.state.lock().unwrap().default_answer = answer;
    }

    pub(crate) fn accepted(&self) -> ResponseTemplate {
        reply(202).insert_header("Operation-Location", self.operation_url().as_str())
    }

    pub(crate) fn operation_url(&self) -> String {
        format!("{}{}", self.source.uri(), self.version.operation())
    }

    /// `frcopy copy MODEL --api-version …` with all settings that this version needs.
    pub(crate) fn copy(&self) -> Command {
        let mut command = self.bare_copy();
        command.args([MODEL, "--api-version", self.version.number]);
        if self.version.is_v2_1() {
            command.args(["--target-resource-id", RESOURCE_ID, "--target-region", "westus2"]);
        }
        command
    }

    /// `frcopy copy` with endpoints and keys in the environment only.
    pub(crate) fn bare_copy(&self) -> Command {
        let mut command = frcopy_between(&self.source.uri(), &self.target.uri());
        command.args(["copy", "--poll-interval", "10ms"]);
        command
    }

    /// Adds one step of another version, with the first answer of the other service.
    pub(crate) fn also(&self, other: &Self, step: Step) {
        let other_state = other.state.lock().unwrap();
        let answers = other_state.script[&step].clone();
        let mut state = self.state.lock().unwrap();
        state.other_versions.push((other.version, step, answers));
    }

    /// All requests to both servers, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// The number of requests of a step.
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
        let of_another_version = self.other_versions.iter().find(|(version, step, _)| {
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
