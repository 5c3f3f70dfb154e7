//! Two emulated resources inside the test, which can look into them, change them, and observer to what they are asked.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assert_cmd::Command;
use frcopy::emulator::{Collection, Emulator, OnServed, Options, Served};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{CommandOutput, frcopy, run};

pub(crate) const SOURCE: usize = 0;
pub(crate) const TARGET: usize = 1;

pub(crate) struct EmulatedPair {
    pub(crate) emulator: Emulator,
    served: Arc<Mutex<Vec<Served>>>,
    // Dropped last: the servers live on it.
    _runtime: Runtime,
}

impl EmulatedPair {
    /// Resources whose copies take no time.
    pub(crate) fn new(models: usize) -> Self {
        Self::with_options(&Options { models, operation_time: Duration::ZERO, ..Options::default() })
    }

    pub(crate) fn with_options(options: &Options) -> Self {
        Self::with_observer(options, |_| {})
    }

    /// Resources that tell of each request before it is answered.
    pub(crate) fn with_observer(options: &Options, observer: impl Fn(&Served) + Send + Sync + 'static) -> Self {
        let served = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&served);
        let on_served: OnServed = Arc::new(move |request: &Served| {
            noted.lock().unwrap().push(request.clone());
            observer(request);
        });
        let runtime = Runtime::new().unwrap();
        let emulator = runtime.block_on(Emulator::start(options, on_served)).unwrap();
        Self { emulator, served, _runtime: runtime }
    }

    /// The binary with endpoints, keys and the target's address in its environment.
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

    /// `frcopy copy`, polling fast.
    pub(crate) fn copy(&self, arguments: &[&str]) -> CommandOutput {
        self.run(&[&["copy", "--poll-interval", "20ms"], arguments].concat())
    }

    /// What was asked of a resource with a method other than GET, since the last time.
    pub(crate) fn mutating_requests(&self) -> Vec<String> {
        let served = std::mem::take(&mut *self.served.lock().unwrap());
        let changes = served.into_iter().filter(|served| served.method != "GET");
        changes.map(|served| format!("{} {} {}", served.resource, served.method, without_query(&served.path))).collect()
    }

    /// How many requests a resource has answered with this status.
    pub(crate) fn count(&self, status: u16) -> usize {
        self.served.lock().unwrap().iter().filter(|served| served.status == status).count()
    }

    pub(crate) fn ids(&self, resource: usize, collection: Collection) -> BTreeSet<String> {
        self.emulator.ids(resource, collection).into_iter().collect()
    }

    /// Changes one field of a model on a resource.
    pub(crate) fn set(&self, resource: usize, collection: Collection, id: &str, pointer: &str, value: Value) {
        let mut body = self.emulator.get(resource, collection, id).unwrap();
        *body.pointer_mut(pointer).unwrap() = value;
        self.emulator.put(resource, collection, id, body);
    }

    /// Trains a model of the source anew, under its old id.
    pub(crate) fn retrain(&self, id: &str) {
        self.retrain_at("2026-11-22T08:00:00Z", Collection::DocumentModels, id);
    }

    /// Trains something of the source anew, under its old id.
    pub(crate) fn retrain_at(&self, date: &str, collection: Collection, id: &str) {
        let body = self.emulator.get(SOURCE, collection, id).unwrap();
        for field in ["createdDateTime", "modifiedDateTime"].into_iter().filter(|field| body.get(field).is_some()) {
            self.set(SOURCE, collection, id, &format!("/{field}"), json!(date));
        }
    }

    /// How often the v2.1 models of a resource have been listed.
    pub(crate) fn list_requests(&self, resource: usize) -> usize {
        let name = frcopy::emulator::name_of(resource);
        let served = self.served.lock().unwrap();
        served.iter().filter(|served| served.resource == name && served.path.contains("op=full")).count()
    }
}

pub(crate) fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap()
}
