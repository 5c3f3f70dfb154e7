//! `frcopy help recipes`: each command runs as the text has it, between three emulated resources.

use std::time::{Duration, Instant};

use frcopy::emulator::{Collection, Options};
use tempfile::TempDir;

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::{CommandOutput, UnusedHost, frcopy, run};

/// The names that the recipes use for the three resources. The first one has the models.
const NAMES: [[&str; 2]; 3] = [["EAST", "DEV"], ["WEST", "TEST"], ["NORTH", "PROD"]];
/// The model of the recipes, and the emulator's.
const INVOICES: (&str, &str) = ("invoices", "invoices-v4.0-1");

struct Drill {
    lab: EmulatedPair,
    folder: TempDir,
    text: String,
}

impl Drill {
    fn new() -> Self {
        let options = Options { resources: 3, models: 1, operation_time: Duration::ZERO, ..Options::default() };
        let text = run(frcopy().args(["help", "recipes"])).expect(0, &[]).stdout;
        Self { lab: EmulatedPair::with_options(&options), folder: TempDir::new().unwrap(), text }
    }

    /// The commands below a heading, each as its words.
    fn commands(&self, heading: &str) -> Vec<Vec<String>> {
        let (_, section) = self.text.split_once(&format!("{heading}\n")).expect(heading);
        let is_heading = |line: &&str| !line.is_empty() && !line.chars().any(char::is_lowercase);
        let section: Vec<_> = section.lines().take_while(|line| !is_heading(line)).collect();
        let section = section.join("\n").replace("\\\n", " ");
        let commands = section.lines().filter_map(|line| line.strip_prefix("  frcopy "));
        commands.map(|line| line.split_whitespace().map(word).collect()).collect()
    }

    /// Runs one command, with the names in the environment.
    fn run(&self, words: &[String]) -> CommandOutput {
        run(&mut self.command(words))
    }

    fn command(&self, words: &[String]) -> assert_cmd::Command {
        let mut command = frcopy();
        for (names, resource) in NAMES.iter().zip(self.lab.emulator.resources()) {
            for name in names {
                let variable = |field: &str| format!("FRCOPY_RESOURCE_{name}_{field}");
                command.env(variable("ENDPOINT"), &resource.endpoint).env(variable("KEY"), &resource.key);
                command.env(variable("RESOURCE_ID"), &resource.resource_id).env(variable("REGION"), &resource.region);
            }
        }
        command.current_dir(self.folder.path()).args(words);
        command
    }
}

/// A word as a shell reads it, with the name of an emulated model.
fn word(word: &str) -> String {
    word.trim_matches('\'').replace(INVOICES.0, INVOICES.1)
}

#[test]
fn the_nightly_backup_answers_during_an_outage_and_leads_back() {
    let drill = Drill::new();
    for command in drill.commands("A BACKUP EVERY NIGHT, TO TWO REGIONS") {
        drill.run(&command).expect(0, &[]);
    }

    // The outage: nothing listens at the endpoint of east.
    let down = UnusedHost::new();
    let [check] = &drill.commands("THE SOURCE REGION IS DOWN")[..] else { panic!("one command") };
    let began = Instant::now();
    let mut command = drill.command(check);
    let output = run(command.env("FRCOPY_RESOURCE_EAST_ENDPOINT", down.url())).expect(0, &["5 same"]);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let custom = drill.lab.ids(TARGET, Collection::CustomModels).into_iter().next().unwrap();
    assert!(output.stdout.lines().any(|line| line.ends_with(&custom)), "{output:#?}");

    // East comes back without one of its models.
    drill.lab.emulator.remove(SOURCE, Collection::DocumentModels, INVOICES.1);
    let [back, check, replace] = &drill.commands("THE SOURCE REGION IS BACK")[..] else { panic!("three commands") };
    drill.run(back).expect(0, &["1 copied, 4 already there"]);
    drill.run(check).expect(0, &["5 same"]);
    drill.run(replace).expect(0, &["skipped"]);
    assert!(drill.lab.ids(SOURCE, Collection::DocumentModels).contains(INVOICES.1));
}

#[test]
fn a_model_is_promoted_from_development_to_production() {
    let drill = Drill::new();
    let commands = drill.commands("PROMOTION FROM DEVELOPMENT TO TEST TO PRODUCTION");
    assert_eq!(commands.len(), 3);
    for command in commands {
        drill.run(&command).expect(0, &[]);
    }
    assert!(drill.lab.ids(2, Collection::DocumentModels).contains("invoices-v4.0-1-v2"));
}

#[test]
fn a_snapshot_takes_the_place_of_a_training_that_went_wrong() {
    let drill = Drill::new();
    let [snapshot, back] = &drill.commands("A SNAPSHOT BEFORE A RETRAINING, AND BACK")[..] else {
        panic!("two commands")
    };
    drill.run(snapshot).expect(0, &[]);
    drill.lab.retrain(INVOICES.1);
    drill.run(back).expect(0, &["replaced"]);
    drill.run(back).expect(0, &["skipped"]);
}
