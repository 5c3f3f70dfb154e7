//! CI systems: commands for GitHub Actions and Azure Pipelines, and none elsewhere.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use assert_cmd::Command;
use frcopy::emulator::{Collection, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::{
    Authorization, CommandOutput, SOURCE_KEY, ScriptedService, Step, TARGET_KEY, V2_1, error_reply, reply, run,
};

/// The environment of a CI system.
struct CiRunner {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl CiRunner {
    fn github() -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let variables = vec![
            ("GITHUB_ACTIONS", "true".into()),
            ("CI", "true".into()),
            ("GITHUB_OUTPUT", path("output")),
            ("GITHUB_STEP_SUMMARY", path("summary.md")),
        ];
        fs::write(folder.path().join("output"), "before=1\n").unwrap();
        Self { folder, variables }
    }

    fn azure_pipelines() -> Self {
        let folder = TempDir::new().unwrap();
        let variables =
            vec![("TF_BUILD", "True".into()), ("AGENT_TEMPDIRECTORY", folder.path().to_str().unwrap().to_owned())];
        Self { folder, variables }
    }

    /// Runs a command and checks that a key occurs only in the commands that mask it.
    fn run(&self, mut command: Command) -> CommandOutput {
        let output = CommandOutput::of(command.envs(self.variables.iter().cloned()));
        let is_mask = |line: &str| line.starts_with("::add-mask::") || line.starts_with("##vso[task.setsecret]");
        for key in [SOURCE_KEY, TARGET_KEY] {
            let leaks = output.stderr.lines().any(|line| line.contains(key) && !is_mask(line));
            assert!(!leaks && !output.stdout.contains(key), "{output:#?}");
        }
        output
    }

    /// The value of a step output.
    fn output(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.folder.path().join("output")).unwrap();
        assert!(text.starts_with("before=1\n"), "the file is appended to");
        text.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).map(str::to_owned)
    }

    fn summary(&self) -> String {
        fs::read_to_string(self.folder.path().join("summary.md")).unwrap()
    }

    /// The files in the folder of the runner.
    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

fn commands<'e>(output: &'e CommandOutput, start: &str) -> Vec<&'e str> {
    output.stderr.lines().filter(|line| line.starts_with(start)).collect()
}

#[test]
fn github_gets_masked_keys_first_and_then_results_and_a_summary() {
    let (pair, runner) = (EmulatedPair::new(1), CiRunner::github());
    let output = runner.run(pair.command(&["copy", "invoices-v4.0-1", "--poll-interval", "20ms"])).expect(0, &[]);
    assert_eq!(output.stdout, "invoices-v4.0-1\n");
    let masks: Vec<_> =
        pair.emulator.resources().iter().map(|resource| format!("::add-mask::{}", resource.key)).collect();
    assert_eq!(output.stderr.lines().take(2).collect::<Vec<_>>(), masks, "before anything else");
    assert!(commands(&output, "::error").is_empty());
    assert_eq!(runner.output("status").as_deref(), Some("succeeded"));
    assert_eq!(runner.output("target-model-id").as_deref(), Some("invoices-v4.0-1"));
    let results: Value = serde_json::from_str(&runner.output("results").unwrap()).unwrap();
    assert_eq!((&results[0]["schema"], results.as_array().unwrap().len()), (&json!("frcopy.copy/1"), 1));
    let summary = runner.summary();
    assert!(summary.starts_with("| model | API | status | copy | seconds | what |\n| --- |"), "{summary}");
    assert!(summary.contains("| model invoices-v4.0-1 | v4.0 | succeeded | invoices-v4.0-1 |"), "{summary}");
}

#[test]
fn github_gets_an_annotation_for_each_failure_and_all_results_of_a_batch() {
    let (pair, runner) = (EmulatedPair::new(1), CiRunner::github());
    pair.copy(&["invoices-v4.0-1"]).expect(0, &[]);
    let output =
        runner.run(pair.command(&["copy", "--all", "--poll-interval", "20ms"])).expect(6, &["4 copied, 1 failed"]);
    let errors = commands(&output, "::error title=frcopy::");
    assert_eq!(errors.len(), 1, "{output:#?}");
    for part in ["model invoices-v4.0-1: the target already has a model invoices-v4.0-1", "%0Ahelp: choose another id"]
    {
        assert!(errors[0].contains(part), "{errors:?}");
    }
    assert_eq!((runner.output("status").as_deref(), runner.output("target-model-id")), (Some("refused"), None));
    let results: Value = serde_json::from_str(&runner.output("results").unwrap()).unwrap();
    assert_eq!(results.as_array().unwrap().len(), 5);
    assert!(runner.summary().contains("| refused |"));
}

#[test]
fn check_sets_the_output_in_sync() {
    let pair = EmulatedPair::new(1);
    for (in_sync, code) in [("false", 9), ("true", 0)] {
        let runner = CiRunner::github();
        runner.run(pair.command(&["check", "--kind", "classifier"])).expect(code, &[]);
        assert_eq!(runner.output("in-sync").as_deref(), Some(in_sync));
        let is_named = runner.summary().contains("| \\+ | classifier classifier-v4.0-1 | only on the source |");
        assert_eq!(is_named, code == 9, "{}", runner.summary());
        pair.copy(&["classifier-v4.0-1"]);
    }
}

#[test]
fn azure_pipelines_gets_the_same_with_its_own_commands() {
    let (pair, runner) = (EmulatedPair::new(1), CiRunner::azure_pipelines());
    let output = runner.run(pair.command(&["copy", "invoices-v4.0-1", "--poll-interval", "20ms"])).expect(0, &[]);
    let masks: Vec<_> =
        pair.emulator.resources().iter().map(|resource| format!("##vso[task.setsecret]{}", resource.key)).collect();
    assert_eq!(output.stderr.lines().take(2).collect::<Vec<_>>(), masks);
    assert_eq!(
        commands(&output, "##vso[task.setvariable variable=targetModelId;"),
        ["##vso[task.setvariable variable=targetModelId;isOutput=true]invoices-v4.0-1"]
    );
    assert_eq!(
        commands(&output, "##vso[task.setvariable variable=status;"),
        ["##vso[task.setvariable variable=status;isOutput=true]succeeded"]
    );
    let files = runner.files();
    let upload = format!("##vso[task.uploadsummary]{}", files[0].display());
    assert_eq!((files.len(), commands(&output, "##vso[task.uploadsummary]")), (1, vec![upload.as_str()]));
    assert!(fs::read_to_string(&files[0]).unwrap().contains("| model invoices-v4.0-1 | v4.0 | succeeded |"));

    let output = runner.run(pair.command(&["copy", "no-such-model"])).expect(5, &[]);
    let errors = commands(&output, "##vso[task.logissue type=error]");
    assert!(
        errors.len() == 1 && errors[0].contains("%0Ahelp: frcopy list source shows the ids; check the id"),
        "{output:#?}"
    );
}

#[test]
fn the_summary_and_the_outputs_are_written_when_a_command_fails_before_any_copy() {
    let pair = EmulatedPair::new(1);
    for (arguments, key, code, status) in [
        (&["copy", "--all", "--include", "nothing*"][..], None, 5, "refused"),
        (&["copy", "--all"], Some("wrong"), 4, "refused"),
        (&["copy", "a/b"], None, 2, "refused"),
        (&["copy", "no-such-model"], None, 5, "refused"),
        (&["wait", "https://a.example/x"], None, 2, "refused"),
        (&["check", "--include", "nothing*"], None, 5, ""),
        (&["check"], Some("wrong"), 4, ""),
        (&["check", "--timeout", "never"], None, 2, ""),
        (&["copy", "--al"], None, 2, "refused"),
        (&["check", "--no-such-option"], None, 2, ""),
    ] {
        let runner = CiRunner::github();
        let mut command = pair.command(arguments);
        if let Some(key) = key {
            command.env("FRCOPY_SOURCE_KEY", key);
        }
        runner.run(command).expect(code, &["error: "]);
        let (name, value) = if status.is_empty() { ("in-sync", "false") } else { ("status", status) };
        assert_eq!(runner.output(name).as_deref(), Some(value), "{arguments:?}");
        let results: Value = serde_json::from_str(&runner.output("results").unwrap()).unwrap();
        assert!(results.is_array(), "{arguments:?}");
        let rows = runner.summary().lines().filter(|line| line.starts_with("| ")).count();
        assert_eq!(rows, 3, "head, line and one row: {}", runner.summary());

        let runner = CiRunner::azure_pipelines();
        let mut command = pair.command(arguments);
        if let Some(key) = key {
            command.env("FRCOPY_SOURCE_KEY", key);
        }
        let output = runner.run(command).expect(code, &[]);
        assert_eq!(commands(&output, "##vso[task.uploadsummary]").len(), 1, "{output:#?}");
    }
}

#[test]
fn an_expired_model_is_a_row_of_the_summary_of_a_check() {
    let pair = EmulatedPair::new(1);
    pair.copy(&["--all"]).expect(0, &[]);
    for resource in [SOURCE, TARGET] {
        let expired = json!("2026-01-01T00:00:00Z");
        pair.set(resource, Collection::DocumentModels, "invoices-v4.0-1", "/expirationDateTime", expired);
    }
    let runner = CiRunner::github();
    runner.run(pair.command(&["check"])).expect(9, &["5 same, 1 expired"]);
    assert_eq!(runner.output("in-sync").as_deref(), Some("false"));
    assert!(runner.summary().contains("| = | model invoices-v4.0-1 | expired on 2026-01-01"), "{}", runner.summary());
}

#[test]
fn wrong_settings_are_annotated() {
    let pair = EmulatedPair::new(1);
    let output = CiRunner::github().run(pair.command(&["copy", "a/b"])).expect(2, &[]);
    assert_eq!(commands(&output, "::error title=frcopy::the model id is not usable").len(), 1, "{output:#?}");
    let output = CiRunner::github().run(pair.command(&["copy", "--no-such-option"])).expect(2, &[]);
    assert_eq!(commands(&output, "::error title=frcopy::").len(), 1, "{output:#?}");
}

#[test]
fn an_authorized_id_is_an_output_and_its_access_token_is_masked() {
    let (pair, runner) = (EmulatedPair::new(1), CiRunner::github());
    let output = runner.run(pair.command(&["authorize", "backup", "--out", "-"])).expect(0, &[]);
    let file: Value = serde_json::from_str(&output.stdout).unwrap();
    let token = file["authorization"]["accessToken"].as_str().unwrap();
    assert_eq!(commands(&output, &format!("::add-mask::{token}")).len(), 1);
    assert_eq!(runner.output("target-model-id").as_deref(), Some("backup"));
    let mut copy = pair.command(&["copy", "invoices-v4.0-1", "--authorization", "-", "--poll-interval", "20ms"]);
    copy.write_stdin(output.stdout.clone());
    let output = CiRunner::github().run(copy).expect(0, &[]);
    assert_eq!(commands(&output, &format!("::add-mask::{token}")).len(), 1);
}

#[test]
fn text_of_the_service_cannot_inject_ci_commands() {
    let evil =
        "Oh\n::set-output name=x::y\r\n##vso[task.setvariable variable=PATH]/evil ###vso[task.complete] ##[group]";
    for runner in [CiRunner::github(), CiRunner::azure_pipelines()] {
        let service = ScriptedService::new(V2_1);
        service.on(Step::GetSource, [error_reply(400, "1001", evil)]);
        let output = runner.run(service.copy()).expect(5, &["Oh"]);
        for line in output.stderr.lines() {
            let is_ours = [
                "::error title=frcopy::",
                "::add-mask::",
                "##vso[task.logissue type=error]",
                "##vso[task.setsecret]",
                "##vso[task.setvariable variable=status;",
                "##vso[task.setvariable variable=results;",
                "##vso[task.uploadsummary]",
            ]
            .iter()
            .find_map(|command| line.strip_prefix(command));
            let rest = is_ours.unwrap_or(line);
            assert!(!line.trim_start().starts_with("::set-output") && !rest.contains("##"), "{line:?}");
        }
    }
    // The name of a model is part of results and tables.
    let (pair, runner) = (EmulatedPair::new(1), CiRunner::azure_pipelines());
    let custom = pair.custom_model();
    pair.set(SOURCE, Collection::CustomModels, &custom, "/modelInfo/modelName", json!("##vso[task.complete]|x"));
    let output = runner.run(pair.command(&["list", "source", "--output", "json"])).expect(0, &[]);
    assert!(!output.stdout.contains("##") && output.stdout.contains("task.complete"), "{output:#?}");
    let output = runner.run(pair.command(&["check"])).expect(9, &[]);
    let own = output.stderr.lines().filter_map(|line| line.split_once(']').filter(|_| line.starts_with("##vso[")));
    assert!(own.into_iter().all(|(_, value)| !value.contains("##")), "{output:#?}");
}

#[test]
fn outputs_that_cannot_be_written_are_a_failure_and_the_copy_is_kept() {
    let pair = EmulatedPair::new(1);
    let mut command = pair.command(&["copy", "invoices-v4.0-1", "--poll-interval", "20ms"]);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", "/no/such/folder/output");
    let output = run(&mut command).expect(1, &["the results cannot be passed to later steps", "GITHUB_OUTPUT"]);
    assert_eq!(output.stdout, "invoices-v4.0-1\n");
    assert!(pair.ids(TARGET, Collection::DocumentModels).contains("invoices-v4.0-1"));
}

#[cfg(unix)]
#[test]
fn no_mask_command_is_written_to_a_file() {
    let pair = EmulatedPair::new(1);
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_frcopy"));
    command.env_clear().envs(pair.environment()).env("GITHUB_ACTIONS", "true").args(["list", "source"]);
    let status = command.stdout(std::process::Stdio::null()).stderr(fs::File::create(&log).unwrap()).status().unwrap();
    let log = fs::read_to_string(&log).unwrap();
    assert!(status.success() && !log.contains("add-mask"), "{log}");
}

#[test]
fn a_reservation_that_may_remain_is_a_warning_in_ci_too() {
    for (runner, start) in [
        (CiRunner::github(), "::warning title=frcopy::"),
        (CiRunner::azure_pipelines(), "##vso[task.logissue type=warning]"),
    ] {
        let service = ScriptedService::new(V2_1);
        service.on(Step::Authorize, [reply(504), Authorization::answer(V2_1, V2_1.copy_id())]);
        let output = runner.run(service.copy()).expect(0, &["warning: an authorization got no answer"]);
        let text = "an authorization got no answer; a blank model may remain on the target";
        assert_eq!(commands(&output, start), [format!("{start}{text}")], "{output:#?}");
    }
}

#[test]
fn outside_of_a_ci_system_no_ci_command_is_printed() {
    let pair = EmulatedPair::new(1);
    let folder = TempDir::new().unwrap();
    let output_file = folder.path().join("output");
    for code in [0, 6] {
        let mut command = pair.command(&["copy", "invoices-v4.0-1", "--poll-interval", "20ms"]);
        command.env("CI", "true").env("GITHUB_OUTPUT", &output_file).env("TF_BUILD", "");
        let output = run(&mut command).expect(code, &[]);
        assert!(!output.stderr.contains("::") && !output.stderr.contains("##"), "{output:#?}");
    }
    assert!(!output_file.exists());
}

#[test]
fn with_several_targets_the_summary_and_the_results_say_which() {
    let options = Options { resources: 3, models: 1, operation_time: Duration::ZERO, ..Options::default() };
    let (lab, runner) = (EmulatedPair::with_options(&options), CiRunner::github());
    let mut command = lab.command(&["copy", "invoices-v4.0-1", "--from", "east", "--to", "west", "--to", "north"]);
    for (name, resource) in ["EAST", "WEST", "NORTH"].iter().zip(lab.emulator.resources()) {
        command.env(format!("FRCOPY_RESOURCE_{name}_ENDPOINT"), &resource.endpoint);
        command.env(format!("FRCOPY_RESOURCE_{name}_KEY"), &resource.key);
    }
    runner.run(command).expect(0, &[]);
    let summary = runner.summary();
    assert!(summary.starts_with("| target | model | API | status | copy | seconds | what |\n| --- |"), "{summary}");
    assert!(summary.contains("| north | model invoices-v4.0-1 | v4.0 | succeeded | invoices-v4.0-1 |"), "{summary}");
    let results: Value = serde_json::from_str(&runner.output("results").unwrap()).unwrap();
    let names: Vec<_> = results.as_array().unwrap().iter().map(|one| one["target"]["name"].as_str().unwrap()).collect();
    assert!(names.len() == 2 && names.contains(&"west") && names.contains(&"north"), "{names:?}");
    assert_eq!(runner.output("status").as_deref(), Some("succeeded"));
}

#[cfg(unix)]
#[test]
fn a_named_pipe_without_a_reader_is_not_waited_for() {
    for variable in ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"] {
        let pair = EmulatedPair::new(1);
        let folder = TempDir::new().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let mut command = pair.command(&["copy", "invoices-v4.0-1", "--poll-interval", "20ms"]);
        command.env("GITHUB_ACTIONS", "true").env(variable, &pipe).timeout(Duration::from_secs(20));
        let texts = ["the results cannot be passed to later steps", "it is a named pipe"];
        assert_eq!(run(&mut command).expect(1, &texts).stdout, "invoices-v4.0-1\n");
    }
}

#[cfg(unix)]
#[test]
fn results_can_be_written_to_stdout() {
    for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        if !std::path::Path::new(path).exists() {
            continue;
        }
        let pair = EmulatedPair::new(1);
        let mut command = pair.command(&["copy", "invoices-v4.0-1", "--poll-interval", "20ms"]);
        command.env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", path).env("GITHUB_STEP_SUMMARY", "/dev/null");
        let output = run(&mut command).expect(0, &[]);
        assert!(output.stdout.contains("target-model-id=invoices-v4.0-1\n"), "{output:#?}");
    }
}
