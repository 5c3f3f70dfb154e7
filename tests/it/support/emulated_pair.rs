//! [`EmulatedPair`]: two emulated resources inside the test process, which a test can read, change and observe.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assert_cmd::Command;
use frcopy::emulator::{Collection, Emulator, OnRequest, Options, ServedRequest};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{CommandOutput, frcopy, run};

pub(crate) const SOURCE: usize = 0;
pub(crate) const TARGET: usize = 1;

pub(crate) struct EmulatedPair {
    pub(crate) emulator: Emulator,
    served: Arc<Mutex<Vec<ServedRequest>>>,
    // Dropped last, because the servers run on it.
    _runtime: Runtime,
}

impl EmulatedPair {
    /// Resources on which a copy ends at once.
    pub(crate) fn new(models: usize) -> Self {
        Self::with_options(&Options { models, operation_time: Duration::ZERO, ..Options::default() })
    }

    pub(crate) fn with_options(options: &Options) -> Self {
        Self::with_observer(options, |_| {})
    }

    /// Resources that call `observer` with each request before they answer it.
    pub(crate) fn with_observer(options: &Options, observer: impl Fn(&ServedRequest) + Send + Sync + 'static) -> Self {
        let served = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&served);
        let on_served: OnRequest = Arc::new(move |request: &ServedRequest| {
            noted.lock().unwrap().push(request.clone());
            observer(request);
        });
        let runtime = Runtime::new().unwrap();
        let emulator = runtime.block_on(Emulator::start(options, on_served)).unwrap();
        Self { emulator, served, _runtime: runtime }
    }

    /// The binary with endpoints, keys, resource id and region in its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = frcopy();
        command.envs(self.environment()).args(arguments).timeout(Duration::from_secs(150));
        command
    }

    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let [source, target, ..] = self.emulator.resources() else { panic!("two resources") };
        vec![
            ("FRCOPY_SOURCE_ENDPOINT", source.endpoint.clone()),
            ("FRCOPY_SOURCE_KEY", source.key.clone()),
            ("FRCOPY_TARGET_ENDPOINT", target.endpoint.clone()),
            ("FRCOPY_TARGET_KEY", target.key.clone()),
            ("FRCOPY_TARGET_RESOURCE_ID", target.resource_id.clone()),
            ("FRCOPY_TARGET_REGION", target.region.clone()),
        ]
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> CommandOutput {
        run(&mut self.command(arguments))
    }

    /// The binary with the resources' names in its environment: east, west and north.
    pub(crate) fn named_command(&self, arguments: &[&str]) -> Command {
        let mut command = frcopy();
        for (name, resource) in ["EAST", "WEST", "NORTH"].iter().zip(self.emulator.resources()) {
            let variable = |field: &str| format!("FRCOPY_RESOURCE_{name}_{field}");
            command.env(variable("ENDPOINT"), &resource.endpoint).env(variable("KEY"), &resource.key);
            command.env(variable("RESOURCE_ID"), &resource.resource_id).env(variable("REGION"), &resource.region);
        }
        command.args(arguments);
        command
    }

    /// `frcopy copy` with a short poll interval.
    pub(crate) fn copy(&self, arguments: &[&str]) -> CommandOutput {
        self.run(&[&["copy", "--poll-interval", "20ms"], arguments].concat())
    }

    /// The requests with another method than GET since the last call, without query.
    pub(crate) fn mutating_requests(&self) -> Vec<String> {
        let served = std::mem::take(&mut *self.served.lock().unwrap());
        let mutating = served.into_iter().filter(|served| served.method != "GET");
        mutating
            .map(|served| format!("{} {} {}", served.resource, served.method, without_query(&served.path)))
            .collect()
    }

    /// All requests since the last call of [`EmulatedPair::mutating_requests`].
    pub(crate) fn served(&self) -> Vec<ServedRequest> {
        self.served.lock().unwrap().clone()
    }

    /// The number of requests that were answered with this status.
    pub(crate) fn count(&self, status: u16) -> usize {
        self.served.lock().unwrap().iter().filter(|served| served.status == status).count()
    }

    pub(crate) fn ids(&self, resource: usize, collection: Collection) -> BTreeSet<String> {
        self.emulator.ids(resource, collection).into_iter().collect()
    }

    /// The id of a v2.1 model on the source.
    pub(crate) fn custom_model(&self) -> String {
        self.ids(SOURCE, Collection::CustomModels).into_iter().next().unwrap()
    }

    /// Sets one field of a model on a resource.
    pub(crate) fn set(&self, resource: usize, collection: Collection, id: &str, pointer: &str, value: Value) {
        let mut body = self.emulator.get(resource, collection, id).unwrap();
        *body.pointer_mut(pointer).unwrap() = value;
        self.emulator.put(resource, collection, id, body);
    }

    /// Trains a model of the source again under the same id.
    pub(crate) fn retrain(&self, id: &str) {
        self.retrain_at("2026-11-22T08:00:00Z", Collection::DocumentModels, id);
    }

    /// Trains a model or classifier of the source again under the same id.
    pub(crate) fn retrain_at(&self, date: &str, collection: Collection, id: &str) {
        let body = self.emulator.get(SOURCE, collection, id).unwrap();
        for field in ["createdDateTime", "modifiedDateTime"].into_iter().filter(|field| body.get(field).is_some()) {
            self.set(SOURCE, collection, id, &format!("/{field}"), json!(date));
        }
    }

    /// The requests to a resource with this method and this text in the path.
    pub(crate) fn requests(&self, resource: usize, method: &str, path: &str) -> Vec<String> {
        let name = frcopy::emulator::resource_name(resource);
        let served = self.served.lock().unwrap();
        let is_meant = |one: &&ServedRequest| one.resource == name && one.method == method && one.path.contains(path);
        served.iter().filter(is_meant).map(|one| one.path.clone()).collect()
    }

    /// The number of requests that list the v2.1 models of a resource.
    pub(crate) fn list_requests(&self, resource: usize) -> usize {
        let name = frcopy::emulator::resource_name(resource);
        let served = self.served.lock().unwrap();
        served.iter().filter(|served| served.resource == name && served.path.contains("op=full")).count()
    }
}

pub(crate) fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap()
}
