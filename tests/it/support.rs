//! Two servers that speak the copy API of one version, scripted step by step, and the binary that is pointed at them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assert_cmd::Command;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

pub(crate) const SOURCE_KEY: &str = "5ourcek3y0123456789abcdef0123456";
pub(crate) const TARGET_KEY: &str = "7argetk3y0123456789abcdef0123456";
pub(crate) const ACCESS_TOKEN: &str = "acce5570-7cd2-4f4e-9b99-0a1aeafab5a5";
pub(crate) const MODEL: &str = "eccc3f13-8289-4020-ba16-9f1d1374e96f";
pub(crate) const COPY_OF_V2_1: &str = "33f4d42c-cd2f-4e74-b990-a1aeafab5a5d";
pub(crate) const RESOURCE_ID: &str =
    "/subscriptions/1111/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/target";

/// How one API version writes what a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    /// As `--api-version` takes it.
    pub(crate) number: &'static str,
    /// Path segment and api-version of v3.0 and later.
    document: Option<(&'static str, &'static str)>,
}

pub(crate) const V2_1: Version = Version { number: "2.1", document: None };
pub(crate) const V3_0: Version = Version { number: "3.0", document: Some(("formrecognizer", "2022-08-31")) };
pub(crate) const V3_1: Version = Version { number: "3.1", document: Some(("formrecognizer", "2023-07-31")) };
pub(crate) const V4_0: Version = Version { number: "4.0", document: Some(("documentintelligence", "2024-11-30")) };
pub(crate) const VERSIONS: [Version; 4] = [V2_1, V3_0, V3_1, V4_0];

/// Tests every version, all at the same time: most of the time is spent waiting.
pub(crate) fn on_every_version(test: impl Fn(Version) + Sync) {
    std::thread::scope(|scope| {
        for version in VERSIONS {
            let test = &test;
            scope.spawn(move || test(version));
        }
    });
}

impl Version {
    pub(crate) fn is_v2_1(self) -> bool {
        self.document.is_none()
    }

    /// The id that the copy gets unless the test asks for another.
    pub(crate) fn copy_id(self) -> &'static str {
        if self.is_v2_1() { COPY_OF_V2_1 } else { MODEL }
    }

    pub(crate) fn model(self, id: &str) -> String {
        self.path(&format!("/{id}"))
    }

    pub(crate) fn authorize(self) -> String {
        self.path(if self.is_v2_1() { "/copyAuthorization" } else { ":authorizeCopy" })
    }

    pub(crate) fn start(self, id: &str) -> String {
        self.path(&if self.is_v2_1() { format!("/{id}/copy") } else { format!("/{id}:copyTo") })
    }

    /// The list of operations, which v2.1 has not.
    pub(crate) fn operations(self) -> Option<String> {
        self.document.map(|(service, date)| format!("/{service}/operations?api-version={date}"))
    }

    /// This copy as a list of operations shows it.
    pub(crate) fn listed(self, created: &str) -> Value {
        json!({"operationId": "31533879936_426a3e4c-b9d6-48b8-9d26-a7ab9a1b3c5d", "kind": "documentModelCopyTo",
            "status": "running", "createdDateTime": created, "lastUpdatedDateTime": created,
            "resourceLocation": format!("https://x.example/documentModels/{}?api-version=1", self.copy_id())})
    }

    pub(crate) fn operation(self) -> String {
        match self.document {
            None => self.path(&format!("/{MODEL}/copyresults/02989ba8-1296-499f-aaf4-55cfff41b8f1")),
            Some((service, date)) => {
                format!("/{service}/operations/31533879936_426a3e4c-b9d6-48b8-9d26-a7ab9a1b3c5d?api-version={date}")
            }
        }
    }

    fn path(self, rest: &str) -> String {
        match self.document {
            None => format!("/formrecognizer/v2.1/custom/models{rest}"),
            Some((service, date)) => format!("/{service}/documentModels{rest}?api-version={date}"),
        }
    }

    pub(crate) fn model_body(self, id: &str) -> Value {
        match self.document {
            None => json!({"modelInfo": {"modelId": id, "status": "ready", "createdDateTime": "2020-02-26T16:59:28Z",
                "lastUpdatedDateTime": "2020-02-26T16:59:34Z"}}),
            Some((_, date)) => json!({"modelId": id, "createdDateTime": "2024-12-01T00:00:00Z", "apiVersion": date}),
        }
    }

    /// The service's own word that it has no such model.
    pub(crate) fn no_model(self) -> ResponseTemplate {
        reply(404).set_body_json(match self.document {
            None => json!({"error": {"code": "1022", "message": "Model with 'id=…' not found."}}),
            Some(_) => json!({"error": {"code": "NotFound", "message": "Resource not found.",
                "innererror": {"code": "ModelNotFound", "message": "The requested model was not found."}}}),
        })
    }

    /// An authorization with numbers and blanks that only a verbatim copy keeps.
    pub(crate) fn authorization(self, id: &str) -> String {
        match self.document {
            None => format!(
                r#"{{ "modelId":"{id}",  "accessToken":"{ACCESS_TOKEN}","expirationDateTimeTicks":637233481531659440 }}"#
            ),
            Some(_) => format!(
                r#"{{ "targetResourceId":"{RESOURCE_ID}",  "targetResourceRegion":"westus2","targetModelId":"{id}","targetModelLocation":"https://x.example/{id}","accessToken":"{ACCESS_TOKEN}","expirationDateTime":"2026-11-23T01:00:00Z","new":0.10000000000000000001 }}"#
            ),
        }
    }

    pub(crate) fn operation_body(self, status: &str) -> Value {
        match self.document {
            None => json!({"status": status, "createdDateTime": "2020-04-23T18:18:01Z",
                "lastUpdatedDateTime": "2020-04-23T18:18:01Z", "copyResult": {"modelId": COPY_OF_V2_1}}),
            Some(_) => json!({"operationId": "31533879936_426a3e4c", "kind": "documentModelCopyTo", "status": status,
                "createdDateTime": "2024-12-01T00:00:00Z", "lastUpdatedDateTime": "2024-12-01T00:00:01Z",
                "resourceLocation": "https://x.example"}),
        }
    }

    /// A failed operation with a code where this version puts it.
    pub(crate) fn failed_body(self, code: &str, message: &str) -> Value {
        let mut body = self.operation_body("failed");
        if self.is_v2_1() {
            body["copyResult"]["errors"] = json!([{"code": code, "message": message}]);
        } else {
            body["error"] = json!({"code": "Forbidden", "message": "Access forbidden due to policy.",
                "innererror": {"code": code, "message": message}});
        }
        body
    }
}

/// The steps of a copy, each with answers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    LookSource,
    LookTarget,
    /// On the source: the id may be that of a classifier (v4.0).
    LookForClassifier,
    Authorize,
    Start,
    Follow,
    Verify,
    /// The source's list of operations (v3.0 and later).
    List,
    /// The deletion of the reserved id on the target.
    GiveBack,
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
pub(crate) struct World {
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
    anything_else: ResponseTemplate,
    seen: Vec<Seen>,
    accepted: bool,
}

impl World {
    /// Two resources that do all that this version asks of them; the operation runs for one poll.
    pub(crate) fn new(version: Version) -> Self {
        let world = Self::silent(version);
        world.on(Step::LookSource, [reply(200).set_body_json(version.model_body(MODEL))]);
        world.on(Step::LookTarget, [version.no_model()]);
        world.on(Step::Verify, [reply(200).set_body_json(version.model_body(version.copy_id()))]);
        world.on(Step::List, [reply(200).set_body_json(json!({"value": []}))]);
        world.on(Step::GiveBack, [reply(204)]);
        world
    }

    /// Two servers that know nothing but the three calls of the how-to: everything else is a bare 404.
    pub(crate) fn silent(version: Version) -> Self {
        let runtime = Runtime::new().unwrap();
        let state = State {
            version,
            script: HashMap::new(),
            also: Vec::new(),
            anything_else: ResponseTemplate::new(404),
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
        let world = Self { version, source, target, state, _runtime: runtime };
        let created = if version.is_v2_1() { 201 } else { 200 };
        let authorization = version.authorization(version.copy_id());
        world.on(Step::Authorize, [reply(created).set_body_raw(authorization, "application/json; charset=utf-8")]);
        world.on(Step::Start, [world.accepted()]);
        world.on(
            Step::Follow,
            ["running", "succeeded"].map(|status| reply(200).set_body_json(version.operation_body(status))),
        );
        world
    }

    /// Sets the answers of a step; the last one repeats.
    pub(crate) fn on(&self, step: Step, answers: impl IntoIterator<Item = ResponseTemplate>) {
        self.state.lock().unwrap().script.insert(step, answers.into_iter().collect());
    }

    /// Sets the answer to everything that belongs to no step; a bare 404 unless told.
    pub(crate) fn anything_else(&self, answer: ResponseTemplate) {
        self.state.lock().unwrap().anything_else = answer;
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

    /// Lets these servers answer one step of another version as well, with that world's script.
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
        of_another_version.map_or_else(|| self.anything_else.clone(), |(_, _, answers)| answers[0].clone())
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
            ("GET", true) if path == version.operation() => Some(Step::Follow),
            ("GET", true) if Some(path) == version.operations().as_deref() => Some(Step::List),
            ("DELETE", false) if is_model => Some(Step::GiveBack),
            ("GET", true) if path == version.model(MODEL) => Some(Step::LookSource),
            ("GET", true) if path == V4_0.model(MODEL).replace("documentModels", "documentClassifiers") => {
                Some(Step::LookForClassifier)
            }
            ("GET", false) if is_model && self.accepted => Some(Step::Verify),
            ("GET", false) if is_model => Some(Step::LookTarget),
            _ => None,
        }
    }
}

/// The binary with an environment of its own: nothing of the developer's machine reaches it.
pub(crate) fn frcopy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frcopy"));
    command.env_clear().timeout(Duration::from_secs(60));
    // Windows opens no socket without it.
    if let Some(root) = std::env::var_os("SYSTEMROOT") {
        command.env("SYSTEMROOT", root);
    }
    command
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ending {
    /// The one line of `--output json`.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32, texts: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is missing in {self:#?}");
        }
        self
    }
}

/// Runs a command to its end, which must not print these secrets either.
#[cfg(feature = "emulator")]
pub(crate) fn run_without(secrets: &[&str], command: &mut Command) -> Ending {
    let ending = run(command);
    for secret in secrets {
        assert!(!ending.stdout.contains(secret) && !ending.stderr.contains(secret), "leaked {secret}: {ending:#?}");
    }
    ending
}

/// Runs a command to its end. Whatever the test is about, no secret may have been printed.
pub(crate) fn run(command: &mut Command) -> Ending {
    let output = command.output().unwrap();
    let ending = Ending {
        code: output.status.code().expect("the command hangs, or was killed"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    for secret in [SOURCE_KEY, TARGET_KEY, ACCESS_TOKEN] {
        assert!(!ending.stdout.contains(secret) && !ending.stderr.contains(secret), "leaked {secret}: {ending:#?}");
    }
    ending
}
