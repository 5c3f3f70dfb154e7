//! Checks the README: its commands run, its transcript is real, and its flags, variables and links exist.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::{frcopy, run};

const README: &str = include_str!("../../README.md");
const COMMANDS: [&str; 9] =
    ["copy", "wait", "list", "check", "authorize", "doctor", "prune", "resources", "completions"];

/// The text outside of fenced blocks.
fn prose() -> String {
    README.split("```").step_by(2).collect()
}

/// The parts of a text that consist of these characters and start like this.
fn words(text: &str, start: &str, is_part: impl Fn(char) -> bool) -> BTreeSet<String> {
    let words = text.split(|character| !is_part(character)).filter(|word| word.starts_with(start));
    // Without the dashes of a table's rule.
    words.filter(|word| word.chars().any(char::is_alphabetic)).map(str::to_owned).collect()
}

fn help() -> String {
    COMMANDS.iter().map(|command| run(frcopy().args([command, "--help"])).expect(0, &[]).stdout).collect()
}

#[test]
fn the_readme_is_short() {
    assert!(README.lines().count() <= 250, "move details to the help, the man pages or .github");
}

#[test]
fn every_flag_and_variable_of_the_readme_exists() {
    let help = help();
    let flags = words(&prose(), "--", |character| character.is_ascii_lowercase() || character == '-');
    let known = words(&help, "--", |character| character.is_ascii_lowercase() || character == '-');
    assert!(flags.is_subset(&known), "{:?}", flags.difference(&known));
    let is_part_of_variable = |character: char| character.is_ascii_uppercase() || character == '_';
    let variables = words(README, "FRCOPY_", is_part_of_variable);
    let known = words(&help, "FRCOPY_", is_part_of_variable);
    assert!(variables.is_subset(&known), "{:?}", variables.difference(&known));
    assert!(flags.len() > 10 && variables.len() > 10, "{flags:?} {variables:?}");
}

#[test]
fn the_readme_has_every_exit_code() {
    for code in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "130, 143"] {
        assert!(README.contains(&format!("\n| {code} |")), "exit code {code}");
    }
}

#[test]
fn every_link_of_the_readme_leads_somewhere() {
    let targets = README.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    for target in targets.filter(|target| !target.starts_with("https://")) {
        let exists = match target.strip_prefix('#') {
            Some(heading) => README.to_lowercase().contains(&format!("\n## {}\n", heading.replace('-', " "))),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(),
        };
        assert!(exists, "{target}");
    }
}

#[test]
fn the_reference_that_the_readme_points_to_exists() {
    for arguments in
        [["help", "exit-codes"], ["help", "json"], ["help", "environment"], ["help", "guarantees"], ["explain", "2024"]]
    {
        assert!(README.contains(&format!("`frcopy {}`", arguments.join(" "))), "{arguments:?}");
        let text = run(frcopy().args(arguments)).expect(0, &[]).stdout;
        assert!(!text.is_empty(), "{arguments:?}");
    }
}

#[test]
fn every_file_that_contributing_names_exists() {
    let contributing = include_str!("../../.github/CONTRIBUTING.md");
    let names = contributing.split('`').skip(1).step_by(2);
    let is_file = |name: &&str| ["src/", "tests/", ".ci/", ".github/"].iter().any(|folder| name.starts_with(folder));
    for name in names.filter(is_file).filter(|name| !name.contains(['*', ' ']) && !name.contains("NAME")) {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(name).exists(), "{name}");
    }
}

#[cfg(all(target_os = "linux", feature = "emulator"))]
mod commands {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;
    use std::time::Duration;

    use frcopy::emulator::{EmulatedResource, Options};
    use serde_json::json;
    use tempfile::TempDir;

    use super::{README, words};
    use crate::support::emulated_pair::EmulatedPair;

    /// The model that the README calls my-model.
    const MODEL: &str = "invoices-v4.0-1";

    /// The fenced blocks of one language.
    fn blocks(language: &str) -> Vec<&'static str> {
        let parts = README.split("```").skip(1).step_by(2);
        parts.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
    }

    /// A folder with `frcopy` and with an `az` that knows the emulated resources.
    fn path_for(lab: &EmulatedPair) -> TempDir {
        let folder = TempDir::new().unwrap();
        symlink(env!("CARGO_BIN_EXE_frcopy"), folder.path().join("frcopy")).unwrap();
        let [source, target, ..] = lab.emulator.resources() else { panic!("two resources") };
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in\n{}{}*) echo \"ERROR: $*\" >&2; exit 3;;\nesac\n",
            az("SOURCE", source),
            az("TARGET", target)
        );
        let az = folder.path().join("az");
        fs::write(&az, script).unwrap();
        fs::set_permissions(&az, fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    /// The answers about one resource: to the calls in the README, and to those of frcopy.
    fn az(side: &str, resource: &EmulatedResource) -> String {
        let EmulatedResource { endpoint, key, resource_id, region, .. } = resource;
        let details = json!({"id": resource_id, "kind": "FormRecognizer", "location": region,
            "properties": {"endpoint": endpoint, "disableLocalAuth": false}});
        let keys = json!({"key1": key, "key2": "unused"});
        let account = "cognitiveservices account";
        let of = format!("-g {side}_GROUP -n {side}_NAME --query");
        [
            format!("'{account} show {of} properties.endpoint -o tsv') echo '{endpoint}';;\n"),
            format!("'{account} show {of} id -o tsv') echo '{resource_id}';;\n"),
            format!("'{account} show {of} location -o tsv') echo '{region}';;\n"),
            format!("'{account} keys list {of} key1 -o tsv') echo '{key}';;\n"),
            format!("'{account} show --name {side}_NAME --resource-group {side}_GROUP '*) echo '{details}';;\n"),
            format!("'{account} keys list --name {side}_NAME --resource-group {side}_GROUP '*) echo '{keys}';;\n"),
        ]
        .concat()
    }

    #[test]
    fn the_commands_of_the_readme_work() {
        let mut run = 0;
        for block in
            blocks("sh").into_iter().filter(|block| block.contains("frcopy ") && !block.contains("gh attestation"))
        {
            let lab = EmulatedPair::new(1);
            let folder = path_for(&lab);
            let mut command = Command::new("bash");
            command.args(["-euo", "pipefail", "-c", &block.replace("my-model", MODEL)]).current_dir(folder.path());
            command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()));
            if !block.contains("-account") {
                command.envs(lab.environment());
            }
            let output = command.output().unwrap();
            assert!(output.status.success(), "{block}\n{output:#?}");
            run += 1;
        }
        assert_eq!(run, 3, "copies by name, a whole resource, two parties");
    }

    #[test]
    fn the_settings_that_the_readme_reads_from_azure_are_enough_for_a_copy() {
        let lab = EmulatedPair::new(1);
        let folder = path_for(&lab);
        let settings: String = blocks("sh").into_iter().filter(|block| block.starts_with("export ")).collect();
        assert_eq!(
            words(&settings, "FRCOPY_", |character| character.is_ascii_uppercase() || character == '_').len(),
            6
        );
        let script = format!("{settings}\nfrcopy copy --all && frcopy check");
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &script]).current_dir(folder.path());
        command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:#?}");
    }

    /// A line of a transcript without what differs between runs.
    fn without_variable_parts(line: &str) -> String {
        let line = match line.split_once("/operations/") {
            Some((before, after)) => format!("{before}/operations/ID{}", after.trim_start_matches(|c| c != '?')),
            None => line.to_owned(),
        };
        match line.rsplit_once(" in ") {
            Some((before, after)) if after.ends_with(" s") => format!("{before} in N s"),
            _ => line,
        }
    }

    #[test]
    fn the_transcript_of_the_readme_is_what_a_copy_prints() {
        let options = Options { models: 1, operation_time: Duration::from_millis(100), ..Options::default() };
        let lab = EmulatedPair::with_options(&options);
        let [source, target, ..] = lab.emulator.resources() else { panic!("two resources") };
        let copy = lab.run(&["copy", MODEL, "--poll-interval", "200ms"]).expect(0, &[]);
        let printed = format!("$ frcopy copy {MODEL}\n{}{}", copy.stderr, copy.stdout)
            .replace(MODEL, "my-model")
            .replace(&source.endpoint, "https://contoso-east.cognitiveservices.azure.com")
            .replace(&target.endpoint, "https://contoso-west.cognitiveservices.azure.com");
        let shown = blocks("console")[0];
        // How often the status changes depends on the time of the polls.
        let is_fixed = |line: &&str| !line.starts_with("status: ");
        let lines = |text: &str| text.lines().filter(is_fixed).map(without_variable_parts).collect::<Vec<_>>();
        assert_eq!(lines(shown), lines(&printed), "put this into the README:\n{printed}");
    }
}
