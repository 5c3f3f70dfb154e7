//! `frcopy emulator` and `frcopy demo`, with the binary on both sides.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{CommandOutput, frcopy, run};

/// A running `frcopy emulator` and the settings that it printed. It is killed when the value is dropped.
pub(crate) struct EmulatorProcess {
    pub(crate) child: Child,
    _stdout: BufReader<ChildStdout>,
    settings: Vec<(String, String)>,
    notes: String,
}

impl EmulatorProcess {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frcopy"));
        command.arg("emulator").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (mut settings, mut notes) = (Vec::new(), String::new());
        // The line about classifiers is the last one.
        while !notes.contains("classifiers") {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "the emulator ended early: {notes}");
            match line.trim_end().strip_prefix("export ").and_then(|line| line.split_once('=')) {
                Some((name, value)) => settings.push((name.to_owned(), value.trim_matches('\'').to_owned())),
                None => notes.push_str(&line),
            }
        }
        Self { child, _stdout: stdout, settings, notes }
    }

    pub(crate) fn setting(&self, name: &str) -> &str {
        &self.settings.iter().find(|(variable, _)| variable == name).unwrap().1
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.settings.iter().any(|(variable, _)| variable == name)
    }

    /// The lines that set no variable.
    pub(crate) fn notes(&self) -> &str {
        &self.notes
    }

    /// The id of a seeded v2.1 model.
    fn custom_model(&self) -> String {
        let line = self.notes.lines().find(|line| line.contains("v2.1 models")).unwrap();
        line.split_whitespace().find(|word| word.len() >= 36).unwrap().trim_end_matches(',').to_owned()
    }

    /// The binary with the printed settings in its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> assert_cmd::Command {
        let mut command = frcopy();
        command.envs(self.settings.iter().map(|(name, value)| (name, value))).args(arguments);
        command
    }

    pub(crate) fn copy(&self, arguments: &[&str]) -> CommandOutput {
        run(self.command(&["copy", "--poll-interval", "20ms"]).args(arguments))
    }
}

impl Drop for EmulatorProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_version_and_a_classifier_are_copied_with_the_printed_settings() {
    let emulator = EmulatorProcess::start(&["--operation-time", "100ms"]);
    let custom_model = emulator.custom_model();
    for (arguments, version) in [
        (&[custom_model.as_str()][..], "v2.1"),
        (&["invoices-v3.0-1"], "v3.0"),
        (&["invoices-v3.1-1"], "v3.1"),
        (&["invoices-v4.0-1"], "v4.0"),
        (&["classifier-v4.0-1", "--kind", "classifier"], "v4.0"),
    ] {
        let json = emulator.copy(&[arguments, &["--output", "json"]].concat()).expect(0, &[]).json();
        assert_eq!((json["apiVersion"].as_str(), json["verified"].as_bool()), (Some(version), Some(true)), "{json}");
    }
}

#[test]
fn a_second_copy_to_the_same_id_is_refused() {
    let emulator = EmulatorProcess::start(&["--operation-time", "0s"]);
    emulator.copy(&["invoices-v4.0-1"]).expect(0, &[]);
    emulator.copy(&["invoices-v4.0-1"]).expect(6, &["the target already has a model invoices-v4.0-1"]);
    emulator.copy(&["invoices-v4.0-1", "--target-model-id", "another"]).expect(0, &[]);
}

#[test]
fn an_injected_error_occurs_once_and_has_its_remedy() {
    for (code, model, exit, help) in [
        ("AuthorizationFailed", "invoices-v4.0-1", 3, "run the command again for a fresh authorization"),
        ("ModelNotReady", "invoices-v3.1-1", 3, "wait until the model's training has succeeded"),
        ("ModelExists", "invoices-v3.0-1", 6, "--target-model-id"),
    ] {
        let emulator = EmulatorProcess::start(&["--operation-time", "0s", "--fail", code]);
        emulator.copy(&[model]).expect(exit, &[code, help]);
        emulator.copy(&[model, "--target-model-id", "second-try"]).expect(0, &[]);
    }
    // A lost start is repeated with the same authorization, so the copy succeeds.
    let emulator = EmulatorProcess::start(&["--operation-time", "0s", "--fail", "InternalServerError"]);
    emulator.copy(&["invoices-v4.0-1"]).expect(0, &["could not start the copy (HTTP 500)", "sending again"]);
    let emulator = EmulatorProcess::start(&["--operation-time", "0s", "--fail", "2024"]);
    emulator.copy(&[&emulator.custom_model()]).expect(3, &["2024", "to those of the target"]);
}

#[test]
fn a_wrong_region_a_wrong_key_and_an_encrypted_source_fail_as_on_the_service() {
    let emulator = EmulatorProcess::start(&["--operation-time", "0s", "--encrypted", "source"]);
    let model = emulator.custom_model();
    emulator
        .copy(&[&model, "--target-region", "westeurope"])
        .expect(2, &["the target is in westus2, and --target-region is westeurope", "set --target-region to westus2"]);
    emulator.copy(&[&model, "--target-region", "narnia"]).expect(2, &["the target is in westus2"]);
    emulator.copy(&[&model, "--source-key", "wrong"]).expect(4, &["401: Access denied"]);
    emulator.copy(&[&model]).expect(3, &["DataProtectionTransformServiceError", "--allow-degrade"]);
    emulator.copy(&[&model, "--allow-degrade"]).expect(0, &[]);
    emulator.copy(&["invoices-v4.0-1"]).expect(3, &["Cannot copy encrypted content", "--allow-degrade"]);
}

#[test]
fn a_copy_on_f0_waits_for_the_rate_limit_and_succeeds() {
    let emulator = EmulatorProcess::start(&["--operation-time", "500ms", "--tier", "f0"]);
    emulator.copy(&["invoices-v4.0-1"]).expect(0, &["429: Requests to the Manage", "sending again in"]);
}

#[test]
fn the_demo_copies_two_models_within_ten_seconds() {
    let began = Instant::now();
    let output = run(frcopy().arg("demo")).expect(0, &[]);
    assert!(began.elapsed() < Duration::from_secs(10));
    for text in [
        "copyAuthorization  201",
        "/copyresults/",
        ":authorizeCopy",
        ":copyTo",
        "frcopy copy MODEL_ID",
        "FRCOPY_TARGET_REGION",
    ] {
        assert!(output.stdout.contains(text), "{text:?} is missing in {output:#?}");
    }
    assert_eq!(output.stdout.matches(" is ready after ").count(), 2);
}

#[test]
fn bad_input_of_the_emulator_is_refused_with_the_valid_values() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (arguments, texts) in [
        (&["--port", &port][..], &["the emulator cannot listen", &port, "--port"][..]),
        (&["--fail", "4711"], &["--fail \"4711\" is not an error that the emulator knows", "ModelExists"]),
        (&["--operation-time", "-1s"], &["--operation-time \"-1s\" is not a duration"]),
        (&["--latency", "soon"], &["--latency \"soon\" is not a duration"]),
        (&["--encrypted", "moon"], &["--encrypted \"moon\" is not the name of a resource", "source, target"]),
        (&["--resources", "0"], &["0 is not in 1..=20"]),
        (&["--resources", "east,East"], &["\"East\" is not a name"]),
        (&["--down", "moon@1s..2s"], &["--down \"moon\" is not the name of a resource", "source, target"]),
        (
            &["--down", "source@1s"],
            &["--down \"source@1s\" does not name a time", "source@10s..40s", "source@while=FILE"],
        ),
        (&["--hang", "source@2s..1s"], &["--hang \"source@2s..1s\" does not name a time"]),
        (&["--lose-answers", "start,stop"], &["invalid value 'stop'", "authorize, start, poll"]),
        (&["--clock-skew", "moon=1s"], &["--clock-skew \"moon\" is not the name of a resource"]),
        (&["--jitter", "-1s"], &["--jitter \"-1s\" is not a duration"]),
        (&["--expired", "food"], &["invalid value 'food'"]),
        (&["--tier", "s1"], &["invalid value 's1'"]),
        (&["--token", ""], &["--token"]),
    ] {
        run(frcopy().arg("emulator").args(arguments)).expect(2, texts);
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_emulator_with_exit_code_0() {
    for signal in ["-INT", "-TERM"] {
        let mut emulator = EmulatorProcess::start(&[]);
        let kill = Command::new("kill").args([signal, &emulator.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        assert_eq!(emulator.child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn the_emulator_listens_on_loopback_and_prints_powershell() {
    let emulator = EmulatorProcess::start(&["--resources", "3"]);
    for name in ["SOURCE", "TARGET", "RESOURCE3"] {
        assert!(emulator.setting(&format!("FRCOPY_{name}_ENDPOINT")).starts_with("http://127.0.0.1:"));
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_frcopy"));
    let mut child = command
        .args(["emulator", "--shell", "powershell"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with("$env:FRCOPY_SOURCE_ENDPOINT = 'http://127.0.0.1:"), "{line}");
}
