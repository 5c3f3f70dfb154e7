//! CI systems: what GitHub Actions and Azure Pipelines are told, and that nobody else is told anything of it.

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use frcopy::emulator::Collection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lab::{Lab, SOURCE, TARGET};
use crate::support::{Ending, SOURCE_KEY, Step, TARGET_KEY, V2_1, World, error_reply, reply, run};

/// One of the two systems, as far as a process can tell.
struct Runner {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Runner {
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

    /// Keys stand in the commands that mask them, and nowhere else.
    fn run(&self, mut command: Command) -> Ending {
        let output = command.envs(self.variables.iter().cloned()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let ending =
            Ending { code: output.status.code().unwrap(), stdout: text(&output.stdout), stderr: text(&output.stderr) };
        let is_mask = |line: &str| line.starts_with("::add-mask::") || line.starts_with("##vso[task.setsecret]");
        for key in [SOURCE_KEY, TARGET_KEY] {
            let leaks = ending.stderr.lines().any(|line| line.contains(key) && !is_mask(line));
            assert!(!leaks && !ending.stdout.contains(key), "{ending:#?}");
        }
        ending
    }

    /// The value of a result that later steps see.
    fn output(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.folder.path().join("output")).unwrap();
        assert!(text.starts_with("before=1\n"), "what was there stays");
        text.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).map(str::to_owned)
    }

    fn summary(&self) -> String {
        fs::read_to_string(self.folder.path().join("summary.md")).unwrap()
    }

    /// What was written beside.
    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

fn commands<'e>(ending: &'e Ending, start: &str) -> Vec<&'e str> {
    ending.stderr.lines().filter(|line| line.starts_with(start)).collect()
}

#[test]
fn github_gets_results_and_a_summary_and_masks_the_keys_first() {
    let (lab, runner) = (Lab::new(1), Runner::github());
    let ending = runner.run(lab.command(&["copy", "invoices-v4.0-1", "--poll-interval", "20ms"])).expect(0, &[]);
    assert_eq!(ending.stdout, "invoices-v4.0-1\n");
    let masks: Vec<_> =
        lab.emulator.resources().iter().map(|resource| format!("::add-mask::{}", resource.key)).collect();
    assert_eq!(ending.stderr.lines().take(2).collect::<Vec<_>>(), masks, "before anything else");
    assert!(commands(&ending, "::error").is_empty());
    assert_eq!(runner.output("status").as_deref(), Some("succeeded"));
    assert_eq!(runner.output("target-model-id").as_deref(), Some("invoices-v4.0-1"));
    let results: Value = serde_json::from_str(&runner.output("results").unwrap()).unwrap();
    assert_eq!((&results[0]["schema"], results.as_array().unwrap().len()), (&json!("frcopy.copy/1"), 1));
    let summary = runner.summary();
    assert!(summary.starts_with("| model | API | status | copy | seconds | what |\n| --- |"), "{summary}");
    assert!(summary.contains("| model invoices-v4.0-1 | v4.0 | succeeded | invoices-v4.0-1 |"), "{summary}");
}

#[test]
fn github_gets_an_annotation_for_each_failure_and_all_results_of_many() {
    let (lab, runner) = (Lab::new(1), Runner::github());
    lab.copy(&["invoices-v4.0-1"]).expect(0, &[]);
    let ending =
        runner.run(lab.command(&["copy", "--all", "--poll-interval", "20ms"])).expect(6, &["4 copied, 1 failed"]);
    let errors = commands(&ending, "::error title=frcopy::");
    assert_eq!(errors.len(), 1, "{ending:#?}");
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
fn a_check_tells_whether_a_failover_would_miss_something() {
    let lab = Lab::new(1);
    for (in_sync, code) in [("false", 9), ("true", 0)] {
        let runner = Runner::github();
        runner.run(lab.command(&["check", "--kind", "classifier"])).expect(code, &[]);
        assert_eq!(runner.output("in-sync").as_deref(), Some(in_sync));
        let is_named = runner.summary().contains("| \\+ | classifier classifier-v4.0-1 | only on the source |");
        assert_eq!(is_named, code == 9, "{}", runner.summary());
        lab.copy(&["classifier-v4.0-1"]);
    }
}

#[test]
fn azure_pipelines_gets_the_same_in_its_own_words() {
    let (lab, runner) = (Lab::new(1), Runner::azure_pipelines());
    let ending = runner.run(lab.command(&["copy", "invoices-v4.0-1", "--poll-interval", "20ms"])).expect(0, &[]);
    let masks: Vec<_> =
        lab.emulator.resources().iter().map(|resource| format!("##vso[task.setsecret]{}", resource.key)).collect();
    assert_eq!(ending.stderr.lines().take(2).collect::<Vec<_>>(), masks);
    assert_eq!(
        commands(&ending, "##vso[task.setvariable variable=targetModelId;"),
        ["##vso[task.setvariable variable=targetModelId;isOutput=true]invoices-v4.0-1"]
    );
    assert_eq!(
        commands(&ending, "##vso[task.setvariable variable=status;"),
        ["##vso[task.setvariable variable=status;isOutput=true]succeeded"]
    );
    let files = runner.files();
    let upload = format!("##vso[task.uploadsummary]{}", files[0].display());
    assert_eq!((files.len(), commands(&ending, "##vso[task.uploadsummary]")), (1, vec![upload.as_str()]));
    assert!(fs::read_to_string(&files[0]).unwrap().contains("| model invoices-v4.0-1 | v4.0 | succeeded |"));

    let ending = runner.run(lab.command(&["copy", "no-such-model"])).expect(5, &[]);
    let errors = commands(&ending, "##vso[task.logissue type=error]");
    assert!(errors.len() == 1 && errors[0].contains("%0Ahelp: check the model id"), "{ending:#?}");
}

#[test]
fn wrong_settings_are_annotated_as_well() {
    let lab = Lab::new(1);
    let ending = Runner::github().run(lab.command(&["copy", "a/b"])).expect(2, &[]);
    assert_eq!(commands(&ending, "::error title=frcopy::the model id is not usable").len(), 1, "{ending:#?}");
    let ending = Runner::github().run(lab.command(&["copy", "--no-such-option"])).expect(2, &[]);
    assert_eq!(commands(&ending, "::error title=frcopy::").len(), 1, "{ending:#?}");
}

#[test]
fn a_reservation_that_may_remain_is_a_warning_in_ci_too() {
    for (runner, start) in [
        (Runner::github(), "::warning title=frcopy::"),
        (Runner::azure_pipelines(), "##vso[task.logissue type=warning]"),
    ] {
        let world = World::new(V2_1);
        world.on(
            Step::Authorize,
            [reply(504), reply(200).set_body_raw(V2_1.authorization(V2_1.copy_id()), "application/json")],
        );
        let ending = runner.run(world.copy()).expect(0, &["warning: an authorization got no answer"]);
        let text = "an authorization got no answer; a blank model may remain on the target";
        assert_eq!(commands(&ending, start), [format!("{start}{text}")], "{ending:#?}");
    }
}

#[test]
fn an_id_for_another_party_is_a_result_and_its_access_token_is_masked() {
    let (lab, runner) = (Lab::new(1), Runner::github());
    let ending = runner.run(lab.command(&["authorize", "backup", "--out", "-"])).expect(0, &[]);
    let leave: Value = serde_json::from_str(&ending.stdout).unwrap();
    let token = leave["authorization"]["accessToken"].as_str().unwrap();
    assert_eq!(commands(&ending, &format!("::add-mask::{token}")).len(), 1);
    assert_eq!(runner.output("target-model-id").as_deref(), Some("backup"));
    let mut copy = lab.command(&["copy", "invoices-v4.0-1", "--authorization", "-", "--poll-interval", "20ms"]);
    copy.write_stdin(ending.stdout.clone());
    let ending = Runner::github().run(copy).expect(0, &[]);
    assert_eq!(commands(&ending, &format!("::add-mask::{token}")).len(), 1);
}

#[test]
fn a_service_cannot_command_a_ci_system() {
    let evil =
        "Oh\n::set-output name=x::y\r\n##vso[task.setvariable variable=PATH]/evil ###vso[task.complete] ##[group]";
    for runner in [Runner::github(), Runner::azure_pipelines()] {
        let world = World::new(V2_1);
        world.on(Step::LookSource, [error_reply(400, "1001", evil)]);
        let ending = runner.run(world.copy()).expect(5, &["Oh"]);
        for line in ending.stderr.lines() {
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
    // A model's name goes into results and tables.
    let (lab, runner) = (Lab::new(1), Runner::azure_pipelines());
    let custom = lab.ids(SOURCE, Collection::CustomModels).into_iter().next().unwrap();
    lab.set(SOURCE, Collection::CustomModels, &custom, "/modelInfo/modelName", json!("##vso[task.complete]|x"));
    let ending = runner.run(lab.command(&["list", "source", "--output", "json"])).expect(0, &[]);
    assert!(!ending.stdout.contains("##") && ending.stdout.contains("task.complete"), "{ending:#?}");
    let ending = runner.run(lab.command(&["check"])).expect(9, &[]);
    let own = ending.stderr.lines().filter_map(|line| line.split_once(']').filter(|_| line.starts_with("##vso[")));
    assert!(own.into_iter().all(|(_, value)| !value.contains("##")), "{ending:#?}");
}

#[test]
fn results_that_cannot_be_handed_on_are_a_failure_and_the_copy_stands() {
    let lab = Lab::new(1);
    let mut command = lab.command(&["copy", "invoices-v4.0-1", "--poll-interval", "20ms"]);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", "/no/such/folder/output");
    let ending = run(&mut command).expect(1, &["the results cannot be passed to later steps", "GITHUB_OUTPUT"]);
    assert_eq!(ending.stdout, "invoices-v4.0-1\n");
    assert!(lab.ids(TARGET, Collection::DocumentModels).contains("invoices-v4.0-1"));
}

#[cfg(unix)]
#[test]
fn no_key_is_written_to_a_file_to_have_it_masked() {
    let lab = Lab::new(1);
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_frcopy"));
    command.env_clear().envs(lab.environment()).env("GITHUB_ACTIONS", "true").args(["list", "source"]);
    let status = command.stdout(std::process::Stdio::null()).stderr(fs::File::create(&log).unwrap()).status().unwrap();
    let log = fs::read_to_string(&log).unwrap();
    assert!(status.success() && !log.contains("add-mask"), "{log}");
}

#[test]
fn elsewhere_there_is_nothing_of_it() {
    let lab = Lab::new(1);
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("output");
    for code in [0, 6] {
        let mut command = lab.command(&["copy", "invoices-v4.0-1", "--poll-interval", "20ms"]);
        command.env("CI", "true").env("GITHUB_OUTPUT", &output).env("TF_BUILD", "");
        let ending = run(&mut command).expect(code, &[]);
        assert!(!ending.stderr.contains("::") && !ending.stderr.contains("##"), "{ending:#?}");
    }
    assert!(!output.exists());
}
