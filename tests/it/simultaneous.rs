//! Two commands that copy the same models at the same time.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use frcopy::emulator::{Collection, Options};
use tempfile::tempdir;

use crate::support::CommandOutput;
use crate::support::emulated_pair::{EmulatedPair, TARGET};

/// How many ready copies the target has of each v2.1 model.
fn copies(pair: &EmulatedPair) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for id in pair.ids(TARGET, Collection::CustomModels) {
        let body = pair.emulator.get(TARGET, Collection::CustomModels, &id).unwrap();
        if body["modelInfo"]["status"] == "ready" {
            *copies.entry(body["modelInfo"]["modelName"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    copies
}

fn at_the_same_time(pair: &EmulatedPair, arguments: &[&[&str]]) -> Vec<CommandOutput> {
    thread::scope(|scope| {
        let commands: Vec<_> = arguments.iter().map(|arguments| scope.spawn(|| pair.copy(arguments))).collect();
        commands.into_iter().map(|command| command.join().unwrap()).collect()
    })
}

#[test]
fn with_a_manifest_two_commands_at_the_same_time_copy_a_v2_1_model_once() {
    let folder = tempdir().unwrap();
    let manifest = folder.path().join("models.json");
    let options = Options {
        models: 8,
        operation_time: Duration::from_millis(400),
        latency: Duration::from_millis(30),
        ..Options::default()
    };
    let pair = EmulatedPair::with_options(&options);
    let skip = ["--all", "--api-version", "2.1", "--if-exists", "skip", "--manifest", manifest.to_str().unwrap()];
    let one_by_one = [&skip[..], &["--jobs", "1"]].concat();
    let outputs = at_the_same_time(&pair, &[&one_by_one, &one_by_one, &skip]);
    let copies = copies(&pair);
    assert!(copies.len() == 8 && copies.values().all(|count| *count == 1), "{copies:?} {outputs:#?}");
    assert!(outputs.iter().all(|output| output.code == 0), "{outputs:#?}");
    pair.copy(&skip).expect(0, &["8 already there"]);
}
