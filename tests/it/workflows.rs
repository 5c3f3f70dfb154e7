//! Runs the action and each file of `.github/examples`, step by step, with a small stand-in for GitHub Actions, Azure
//! Pipelines and Kubernetes.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use saphyr::{LoadableYamlNode, Yaml};
use tempfile::TempDir;

use crate::support::CommandOutput;
use crate::support::emulated_pair::{EmulatedPair, TARGET};
use crate::support::raw_server::{AUTHORITY, tls_server};
use frcopy::emulator::Collection;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.github/examples");
const ACTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.github/actions/copy");
const VERSION: &str = env!("CARGO_PKG_VERSION");
const ARCHIVE: &str = concat!("frcopy-", env!("CARGO_PKG_VERSION"), "-x86_64-unknown-linux-musl");

type Values = HashMap<String, String>;

/// The state that the steps of a run share: files, outputs of earlier steps, and a server that offers a release.
struct Machine {
    folder: TempDir,
    lab: EmulatedPair,
    releases: String,
    sha256: &'static str,
    /// Values of expressions: `vars.NAME`, `steps.ID.outputs.NAME`; in Azure Pipelines the name alone.
    values: Values,
    path: String,
    endings: Vec<CommandOutput>,
}

impl Machine {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (archive, sha256) = release();
        let sums = format!("{sha256}  {ARCHIVE}.tar.gz\n");
        let address = tls_server(move |request| {
            let body = match request.split(' ').nth(1).and_then(|path| path.rsplit('/').next()) {
                Some("SHA256SUMS") => sums.clone().into_bytes(),
                Some(name) if name.strip_suffix(".tar.gz") == Some(ARCHIVE) => archive.clone(),
                _ => return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into(),
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            [head.into_bytes(), body].concat()
        });
        let releases = format!("https://localhost:{}", address.port());
        let path = "/usr/bin:/bin".to_owned();
        Self { folder, lab: EmulatedPair::new(1), releases, sha256, values: Values::new(), path, endings: Vec::new() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the script of one step and appends its result.
    fn bash(&mut self, script: &str, environment: &Values) -> &CommandOutput {
        let mut command = Command::new("bash");
        let temporary = self.folder.path();
        command
            .args(["-e", "-o", "pipefail", "-c", script])
            .current_dir(temporary)
            .env_clear()
            .env("PATH", &self.path)
            .env("CURL_CA_BUNDLE", AUTHORITY)
            .envs(environment);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        self.endings.push(CommandOutput { code, stdout: text(output.stdout), stderr: text(output.stderr) });
        self.endings.last().unwrap()
    }

    fn last(&self) -> &CommandOutput {
        self.endings.last().unwrap()
    }
}

/// An archive with the binary under test, and its checksum. It is packed once for all tests.
fn release() -> &'static (Vec<u8>, String) {
    static RELEASE: OnceLock<(Vec<u8>, String)> = OnceLock::new();
    RELEASE.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let inside = folder.path().join(ARCHIVE);
        fs::create_dir(&inside).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_frcopy"), inside.join("frcopy")).unwrap();
        let script = format!("tar -czf {ARCHIVE}.tar.gz {ARCHIVE} && sha256sum {ARCHIVE}.tar.gz");
        let output = Command::new("bash").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        let sum = String::from_utf8(output.stdout).unwrap();
        let archive = fs::read(folder.path().join(format!("{ARCHIVE}.tar.gz"))).unwrap();
        (archive, sum.split(' ').next().unwrap().to_owned())
    })
}

/// Replaces each expression by its value.
fn expand(text: &str, open: &str, close: &str, values: &Values) -> String {
    let mut parts = text.split(open);
    let mut expanded = parts.next().unwrap().to_owned();
    for part in parts {
        let (expression, rest) = part.split_once(close).unwrap();
        let value = values.get(expression.trim());
        expanded += value.unwrap_or_else(|| panic!("{expression} has no value"));
        expanded += rest;
    }
    expanded
}

fn field<'y>(yaml: &'y Yaml<'y>, name: &str) -> Option<&'y Yaml<'y>> {
    yaml.as_mapping_get(name)
}

fn text(yaml: &Yaml<'_>) -> String {
    match yaml.as_str() {
        Some(text) => text.to_owned(),
        None => yaml.as_floating_point().map(|number| number.to_string()).unwrap_or_default(),
    }
}

fn fields(yaml: Option<&Yaml<'_>>) -> Vec<(String, String)> {
    let mapping = yaml.and_then(Yaml::as_mapping).into_iter().flatten();
    mapping.map(|(name, value)| (text(name), text(value))).collect()
}

/// Reads a file of the examples.
fn example(name: &str) -> Yaml<'static> {
    let text = fs::read_to_string(Path::new(EXAMPLES).join(name)).unwrap();
    Yaml::load_from_str(&text).unwrap().remove(0)
}

#[test]
fn every_example_is_run_by_a_test() {
    let files = fs::read_dir(EXAMPLES).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let this_file = include_str!("workflows.rs");
    for file in files.collect::<BTreeSet<_>>() {
        assert!(this_file.contains(&format!("example(\"{file}\")")), "{file}");
    }
}

/// The part of GitHub Actions that the examples use.
impl Machine {
    fn on_github() -> Self {
        let mut machine = Self::new();
        for (name, value) in machine.lab.environment() {
            let context = if name.ends_with("KEY") { "secrets" } else { "vars" };
            machine.values.insert(format!("{context}.{name}"), value);
        }
        machine.values.insert("inputs.model".into(), "invoices-v4.0-1".into());
        machine
    }

    fn run_workflow(&mut self, workflow: &Yaml<'_>) {
        let jobs = field(workflow, "jobs").unwrap().as_mapping().unwrap();
        for job in jobs.values() {
            let job_environment = self.evaluate(fields(field(job, "env")));
            for step in field(job, "steps").unwrap().as_sequence().unwrap() {
                self.run_step(step, &job_environment);
                if self.endings.last().is_some_and(|ending| ending.code != 0) {
                    return;
                }
            }
        }
    }

    fn evaluate(&self, fields: Vec<(String, String)>) -> Values {
        fields.into_iter().map(|(name, value)| (name, expand(&value, "${{", "}}", &self.values))).collect()
    }

    fn run_step(&mut self, step: &Yaml<'_>, around: &Values) {
        let mut environment = around.clone();
        environment.extend(self.evaluate(fields(field(step, "env"))));
        match (field(step, "uses"), field(step, "run")) {
            (Some(uses), _) if text(uses).starts_with("actions/checkout@") => {}
            (Some(uses), _) => {
                assert_eq!(text(uses), "OWNER/frcopy/.github/actions/copy@COMMIT");
                let with = self.evaluate(fields(field(step, "with")));
                let outputs = self.run_action(&with, &environment);
                self.keep_outputs(step, outputs);
            }
            (None, Some(run)) => {
                let outputs = self.run_script(&text(run), environment);
                self.keep_outputs(step, outputs);
            }
            (None, None) => panic!("a step with neither uses nor run"),
        }
    }

    fn keep_outputs(&mut self, step: &Yaml<'_>, outputs: Values) {
        let Some(id) = field(step, "id").map(text) else { return };
        self.values.extend(outputs.into_iter().map(|(name, value)| (format!("steps.{id}.outputs.{name}"), value)));
    }

    /// Runs the composite action, with the given inputs and the defaults of the others.
    fn run_action(&mut self, with: &Values, around: &Values) -> Values {
        let action = fs::read_to_string(format!("{ACTION}/action.yml")).unwrap();
        let action = Yaml::load_from_str(&action).unwrap().remove(0);
        let saved = self.values.clone();
        self.values = Values::from([("github.action_repository".to_owned(), "OWNER/frcopy".to_owned())]);
        for (name, input) in field(&action, "inputs").unwrap().as_mapping().unwrap() {
            let given = with.get(text(name).as_str()).cloned();
            let default = || field(input, "default").map(|value| expand(&text(value), "${{", "}}", &self.values));
            let value = given.or_else(default).unwrap_or_else(|| panic!("{name:?} is required"));
            self.values.insert(format!("inputs.{}", text(name)), value);
        }
        for step in field(field(&action, "runs").unwrap(), "steps").unwrap().as_sequence().unwrap() {
            assert_eq!(field(step, "shell").map(text).as_deref(), Some("bash"));
            let script = field(step, "run").map(text).unwrap();
            assert!(!script.contains("${{"), "an expression in a script is an injection: {script}");
            self.run_step(step, around);
            if self.last().code != 0 {
                break;
            }
        }
        let outputs = field(&action, "outputs").unwrap().as_mapping().unwrap();
        let values = std::mem::replace(&mut self.values, saved);
        let value_of = |output: &Yaml<'_>| {
            let expression = text(field(output, "value").unwrap());
            let name = expression.trim_start_matches("${{").trim_end_matches("}}").trim().to_owned();
            values.get(&name).cloned().unwrap_or_default()
        };
        outputs.iter().map(|(name, output)| (text(name), value_of(output))).collect()
    }

    fn run_script(&mut self, script: &str, mut environment: Values) -> Values {
        let (output, path) = (self.file("output"), self.file("path"));
        for file in [&output, &path] {
            fs::write(file, "").unwrap();
        }
        let mut set = |name: &str, value: String| environment.insert(name.into(), value);
        let file = |path: &Path| path.to_str().unwrap().to_owned();
        set("GITHUB_ACTIONS", "true".into());
        set("CI", "true".into());
        set("RUNNER_OS", "Linux".into());
        set("RUNNER_ARCH", "X64".into());
        set("RUNNER_TEMP", file(self.folder.path()));
        set("GITHUB_ACTION_PATH", ACTION.into());
        set("GITHUB_OUTPUT", file(&output));
        set("GITHUB_PATH", file(&path));
        set("GITHUB_STEP_SUMMARY", file(&self.file("summary.md")));
        if let Some(url) = environment.get_mut("FRCOPY_RELEASES") {
            assert_eq!(url, "https://github.com/OWNER/frcopy/releases/download");
            url.clone_from(&self.releases);
        }
        self.bash(script, &environment);
        let added = fs::read_to_string(path).unwrap();
        self.path = added.lines().rev().map(|line| format!("{line}:")).collect::<Vec<_>>().concat() + &self.path;
        let outputs = fs::read_to_string(output).unwrap();
        outputs.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.into(), b.into())).collect()
    }
}

#[test]
fn after_a_training_the_action_copies_the_model_and_outputs_its_id() {
    let mut machine = Machine::on_github();
    machine.run_workflow(&example("after-training.yml"));
    assert_eq!(machine.last().stdout, "the backup is invoices-v4.0-1\n", "{:#?}", machine.endings);
    assert!(machine.lab.ids(TARGET, Collection::DocumentModels).contains("invoices-v4.0-1"));
    let ran = &machine.endings[2];
    for resource in machine.lab.emulator.resources() {
        assert!(ran.stderr.contains(&format!("::add-mask::{}\n", resource.key)), "{ran:#?}");
    }
    assert!(
        fs::read_to_string(machine.file("summary.md"))
            .unwrap()
            .contains("| model invoices-v4.0-1 | v4.0 | succeeded |")
    );
}

#[test]
fn the_nightly_backup_copies_everything_and_fails_if_it_cannot() {
    let mut machine = Machine::on_github();
    let workflow = example("nightly-backup.yml");
    machine.run_workflow(&workflow);
    assert_eq!(machine.last().code, 0, "{:#?}", machine.endings);
    assert_eq!(machine.lab.ids(TARGET, Collection::DocumentModels).len(), 3);
    assert_eq!(machine.lab.ids(TARGET, Collection::CustomModels).len(), 1);
    assert_eq!(machine.last().stdout.lines().filter(|line| line.starts_with('=')).count(), 5);
    // A wrong key: the job fails, with an annotation.
    machine.values.insert("secrets.FRCOPY_TARGET_KEY".into(), "wrong-key-0123456789abcdef".into());
    machine.run_workflow(&workflow);
    assert_eq!(machine.last().code, 4, "{:#?}", machine.last());
    assert!(machine.last().stderr.contains("::error title=frcopy::"));
}

#[test]
fn an_archive_with_a_wrong_checksum_is_not_installed() {
    for (sha256, version, message) in [
        ("0".repeat(64), VERSION, "expected 0000"),
        (String::new(), "9.9.9", "cannot be downloaded"),
        (String::new(), "0.1.0/../x", "is not a version"),
    ] {
        let mut machine = Machine::on_github();
        let with = Values::from([("version".to_owned(), version.to_owned()), ("sha256".to_owned(), sha256)]);
        machine.run_action(&with, &Values::new());
        let ending = machine.last();
        assert!(
            ending.code == 1 && ending.stdout.contains("::error title=frcopy::") && ending.stdout.contains(message),
            "{ending:#?}"
        );
        assert_eq!(machine.path, "/usr/bin:/bin");
    }
    let mut machine = Machine::on_github();
    let arguments = "--version\n".to_owned();
    let given = [("version", format!("v{VERSION}")), ("sha256", machine.sha256.to_owned()), ("arguments", arguments)];
    machine.run_action(&given.map(|(name, value)| (name.to_owned(), value)).into(), &Values::new());
    assert_eq!(machine.last().stdout, format!("frcopy {VERSION}\n"), "{:#?}", machine.endings);
}

#[test]
fn the_arguments_of_the_action_are_not_interpreted_by_a_shell() {
    let mut machine = Machine::on_github();
    let arguments = "copy\r\n$(touch injected) ; touch injected\n\n*\n`touch injected`\n".to_owned();
    let given = Values::from([("version".to_owned(), VERSION.to_owned()), ("arguments".to_owned(), arguments)]);
    machine.run_action(&given, &Values::new());
    assert_eq!(machine.last().code, 2, "{:#?}", machine.last());
    assert!(!machine.file("injected").exists());
}

/// The part of Azure Pipelines that the example uses.
impl Machine {
    fn run_pipeline(&mut self, pipeline: &Yaml<'_>) {
        for (name, value) in fields(field(pipeline, "variables")) {
            self.values.insert(name, value);
        }
        assert_eq!(
            self.values.insert("releases".into(), self.releases.clone()).as_deref(),
            Some("https://github.com/OWNER/frcopy/releases/download")
        );
        for step in field(pipeline, "steps").unwrap().as_sequence().unwrap() {
            let Some(script) = field(step, "bash").map(text) else {
                assert!(field(step, "checkout").is_some());
                continue;
            };
            let script = expand(&script, "$(", ")", &self.values);
            let given = fields(field(step, "env")).into_iter();
            let mut environment: Values =
                given.map(|(name, value)| (name, expand(&value, "$(", ")", &self.values))).collect();
            environment.insert("TF_BUILD".into(), "True".into());
            environment.insert("AGENT_TEMPDIRECTORY".into(), self.folder.path().to_str().unwrap().into());
            self.bash(&script, &environment);
            self.apply_logging_commands(&field(step, "name").map(text).unwrap_or_default());
            if self.last().code != 0 {
                return;
            }
        }
    }

    /// Applies the logging commands in the output of the last step.
    fn apply_logging_commands(&mut self, step: &str) {
        let output = format!("{}{}", self.last().stdout, self.last().stderr);
        for line in output.lines() {
            if let Some(folder) = line.strip_prefix("##vso[task.prependpath]") {
                self.path = format!("{folder}:{}", self.path);
            }
            if let Some((name, value)) = line
                .strip_prefix("##vso[task.setvariable variable=")
                .and_then(|rest| rest.split_once(";isOutput=true]"))
            {
                // The outputs of a step without a name have no name either.
                self.values.insert(format!("{step}.{name}"), value.to_owned());
            }
        }
    }
}

#[test]
fn the_pipeline_installs_copies_checks_and_outputs_its_results() {
    let mut machine = Machine::new();
    let [source, target, ..] = machine.lab.emulator.resources() else { panic!("two resources") };
    let values = [
        ("sourceEndpoint", source.endpoint.clone()),
        ("targetEndpoint", target.endpoint.clone()),
        ("sourceKey", source.key.clone()),
        ("targetKey", target.key.clone()),
        ("targetResourceId", target.resource_id.clone()),
        ("targetRegion", target.region.clone()),
        ("frcopySha256", machine.sha256.to_owned()),
    ];
    machine.values = values.map(|(name, value)| (name.to_owned(), value)).into();
    machine.run_pipeline(&example("azure-pipelines.yml"));
    assert_eq!(machine.last().stdout, "the status of the copies is succeeded\n", "{:#?}", machine.endings);
    let masks = machine.endings[1].stderr.lines().filter(|line| line.starts_with("##vso[task.setsecret]")).count();
    assert_eq!((machine.lab.ids(TARGET, Collection::DocumentModels).len(), masks), (3, 2));

    machine.values.insert("frcopySha256".into(), "0".repeat(64));
    machine.run_pipeline(&example("azure-pipelines.yml"));
    assert_ne!(machine.last().code, 0, "a wrong checksum fails the pipeline");
}

#[test]
fn the_cron_job_copies_and_then_checks() {
    let lab = EmulatedPair::new(1);
    let job = example("kubernetes-cronjob.yml");
    let spec =
        ["spec", "jobTemplate", "spec", "template", "spec"].iter().fold(&job, |yaml, name| field(yaml, name).unwrap());
    for (containers, name) in [("initContainers", "copy"), ("containers", "check")] {
        let containers = field(spec, containers).unwrap().as_sequence().unwrap();
        assert_eq!((containers.len(), field(&containers[0], "name").map(text).as_deref()), (1, Some(name)));
        let args: Vec<_> = field(&containers[0], "args").unwrap().as_sequence().unwrap().iter().map(text).collect();
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        lab.run(&args).expect(0, &[]);
    }
    assert_eq!(lab.ids(TARGET, Collection::DocumentModels).len(), 3);
}

#[test]
fn the_rehearsal_runs_a_backup_script_whose_first_copy_fails() {
    let mut machine = Machine::on_github();
    let script = machine.file("backup.sh");
    fs::write(&script, "#!/bin/sh\nexec frcopy copy --all --if-exists skip\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    machine.run_workflow(&example("rehearse-failover.yml"));
    let rehearsal = machine.last();
    assert_eq!(rehearsal.code, 0, "{:#?}", machine.endings);
    assert!(rehearsal.stderr.contains("AuthorizationFailed"), "{rehearsal:#?}");
    assert_eq!(rehearsal.stdout.lines().filter(|line| line.starts_with("= ")).count(), 5, "{rehearsal:#?}");

    // A script that hides the failure does not pass.
    fs::write(&script, "#!/bin/sh\nfrcopy copy --all --if-exists skip || true\n").unwrap();
    machine.run_workflow(&example("rehearse-failover.yml"));
    assert_eq!(machine.last().code, 1);
    assert!(machine.last().stdout.ends_with("backup.sh does not report a failed copy\n"), "{:#?}", machine.last());
}
