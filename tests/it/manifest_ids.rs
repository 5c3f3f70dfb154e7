//! A manifest with several copies of one model on one target, under several ids.

use std::fs;
use std::path::PathBuf;

use frcopy::emulator::{Collection, Options};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::emulated_pair::{EmulatedPair, TARGET};
use crate::support::{CommandOutput, run};

/// Two resources with the names east and west, and a manifest.
struct Lab {
    pair: EmulatedPair,
    folder: TempDir,
}

impl Lab {
    fn new() -> Self {
        Self::with_options(&Options { models: 1, operation_time: std::time::Duration::ZERO, ..Options::default() })
    }

    fn with_options(options: &Options) -> Self {
        Self { pair: EmulatedPair::with_options(options), folder: tempdir().unwrap() }
    }

    fn manifest(&self) -> PathBuf {
        self.folder.path().join("models.json")
    }

    /// The ids on source and target of each record, in the order of the file.
    fn recorded(&self) -> Vec<(String, String)> {
        let content: Value = serde_json::from_str(&fs::read_to_string(self.manifest()).unwrap()).unwrap();
        let id = |copy: &Value, side: &str| copy[side]["modelId"].as_str().unwrap().to_owned();
        content["copies"].as_array().unwrap().iter().map(|copy| (id(copy, "source"), id(copy, "target"))).collect()
    }

    /// Changes each record.
    fn change(&self, change: impl Fn(&mut Value)) {
        let mut content: Value = serde_json::from_str(&fs::read_to_string(self.manifest()).unwrap()).unwrap();
        content["copies"].as_array_mut().unwrap().iter_mut().for_each(change);
        fs::write(self.manifest(), content.to_string()).unwrap();
    }

    /// Runs a command with the manifest.
    fn run(&self, arguments: &[&str]) -> CommandOutput {
        run(self.pair.named_command(arguments).args(["--manifest", self.manifest().to_str().unwrap()]))
    }

    fn copy(&self, arguments: &[&str]) -> CommandOutput {
        self.run(&[&["copy", "--from", "east", "--to", "west", "--poll-interval", "20ms"], arguments].concat())
    }

    fn check_target(&self, arguments: &[&str]) -> CommandOutput {
        self.run(&[&["check", "--target-only", "--to", "west"], arguments].concat())
    }
}

/// The models and the classifier whose copies get the ids that are asked for.
const NAMED: [&str; 4] = ["invoices-v3.0-1", "invoices-v3.1-1", "invoices-v4.0-1", "classifier-v4.0-1"];

fn collection(model: &str) -> Collection {
    if model.starts_with("classifier") { Collection::DocumentClassifiers } else { Collection::DocumentModels }
}

/// The lines of stdout.
fn lines(output: &CommandOutput) -> Vec<&str> {
    let mut lines: Vec<_> = output.stdout.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn each_copy_of_a_model_has_a_record_of_its_own_on_every_version() {
    let lab = Lab::new();
    for model in NAMED {
        lab.copy(&[model]).expect(0, &[]);
        lab.copy(&[model, "--target-model-id", &format!("{model}-b")]).expect(0, &[]);
    }
    let custom = lab.pair.custom_model();
    let [first, second] = [(), ()].map(|()| lab.copy(&[&custom]).expect(0, &[]).stdout.trim().to_owned());
    let mut expected: Vec<_> =
        NAMED.iter().flat_map(|model| [(*model, (*model).to_owned()), (*model, format!("{model}-b"))]).collect();
    expected.extend([(custom.as_str(), first.clone()), (custom.as_str(), second.clone())]);
    expected.sort_unstable();
    let mut recorded = lab.recorded();
    recorded.sort_unstable();
    assert_eq!(recorded.iter().map(|(source, target)| (source.as_str(), target.clone())).collect::<Vec<_>>(), expected);
    lab.check_target(&["--max-age", "26h"]).expect(0, &["10 same"]);

    // Each of them can be missing, or too old.
    lab.pair.emulator.remove(TARGET, Collection::CustomModels, &first);
    for model in NAMED {
        lab.pair.emulator.remove(TARGET, collection(model), &format!("{model}-b"));
    }
    let output = lab.check_target(&[]).expect(9, &["5 same, 5 "]);
    for line in [format!("+ model {custom}"), format!("= model {custom} {second}")] {
        assert!(lines(&output).contains(&line.as_str()), "{line} is missing in {output:#?}");
    }
    // v2.1 makes no copy with the missing id again: a command that finds another one forgets it.
    let missing = format!("the manifest records the copy {first}, which the target does not have");
    lab.copy(&[&custom, "--if-exists", "skip"]).expect(0, &[&missing, "skipped"]);
    assert_eq!(lines(&lab.check_target(&[&custom]).expect(0, &["1 same"])), [format!("= model {custom} {second}")]);
    lab.change(|copy| {
        if copy["target"]["modelId"] == NAMED[0] {
            copy["verifiedAt"] = json!("2026-01-01T00:00:00Z");
        }
    });
    lab.check_target(&["--max-age", "26h", NAMED[0]]).expect(9, &["1 same", "1 verified too long ago"]);
}
