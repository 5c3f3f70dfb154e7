//! [`RecordedPair`]: emulated resources with names, and a manifest of their copies.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use frcopy::emulator::{Collection, Options};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use super::emulated_pair::EmulatedPair;
use super::{CommandOutput, run};

/// The models and the classifier whose copies have the ids that are asked for.
pub(crate) const NAMED: [&str; 4] = ["invoices-v3.0-1", "invoices-v3.1-1", "invoices-v4.0-1", "classifier-v4.0-1"];

/// Resources with the names east, west and north, and a manifest. East has one model of each version and a classifier.
pub(crate) struct RecordedPair {
    pub(crate) pair: EmulatedPair,
    folder: TempDir,
}

impl RecordedPair {
    pub(crate) fn new() -> Self {
        let options = Options { resources: 3, models: 1, operation_time: Duration::ZERO, ..Options::default() };
        Self { pair: EmulatedPair::with_options(&options), folder: tempdir().unwrap() }
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.folder.path().join("models.json")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.manifest()).unwrap()).unwrap()
    }

    /// The ids on source and target of each record, sorted.
    pub(crate) fn recorded(&self) -> Vec<(String, String)> {
        let id = |copy: &Value, side: &str| copy[side]["modelId"].as_str().unwrap().to_owned();
        let content = self.json();
        let copies = content["copies"].as_array().unwrap().iter();
        let mut ids: Vec<_> = copies.map(|copy| (id(copy, "source"), id(copy, "target"))).collect();
        ids.sort_unstable();
        ids
    }

    /// Changes each record.
    pub(crate) fn change(&self, change: impl Fn(&mut Value)) {
        let mut content = self.json();
        content["copies"].as_array_mut().unwrap().iter_mut().for_each(change);
        fs::write(self.manifest(), content.to_string()).unwrap();
    }

    /// Runs a command with the manifest.
    pub(crate) fn run(&self, arguments: &[&str]) -> CommandOutput {
        run(self.pair.named_command(arguments).args(["--manifest", self.manifest().to_str().unwrap()]))
    }

    /// Copies from east to west.
    pub(crate) fn copy(&self, arguments: &[&str]) -> CommandOutput {
        self.run(&[&["copy", "--from", "east", "--to", "west", "--poll-interval", "20ms"], arguments].concat())
    }

    /// Copies from west to east.
    pub(crate) fn copy_back(&self, arguments: &[&str]) -> CommandOutput {
        self.run(&[&["copy", "--from", "west", "--to", "east", "--poll-interval", "20ms"], arguments].concat())
    }

    /// Compares east with west.
    pub(crate) fn check(&self, arguments: &[&str]) -> CommandOutput {
        self.run(&[&["check", "--from", "east", "--to", "west"], arguments].concat())
    }

    /// Compares west with east.
    pub(crate) fn check_back(&self, arguments: &[&str]) -> CommandOutput {
        self.run(&[&["check", "--from", "west", "--to", "east"], arguments].concat())
    }

    /// Compares west with the manifest.
    pub(crate) fn check_target(&self, arguments: &[&str]) -> CommandOutput {
        self.run(&[&["check", "--target-only", "--to", "west"], arguments].concat())
    }
}

/// The list that has a model.
pub(crate) fn collection(model: &str) -> Collection {
    if model.starts_with("classifier") { Collection::DocumentClassifiers } else { Collection::DocumentModels }
}

/// The kind of a model, and its id.
pub(crate) fn with_kind(model: &str) -> String {
    let kind = if model.starts_with("classifier") { "classifier" } else { "model" };
    format!("{kind} {model}")
}

/// The lines of stdout, sorted.
pub(crate) fn lines(output: &CommandOutput) -> Vec<&str> {
    let mut lines: Vec<_> = output.stdout.lines().collect();
    lines.sort_unstable();
    lines
}
