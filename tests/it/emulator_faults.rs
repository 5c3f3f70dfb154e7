//! The faults of the emulator, and frcopy against them: outages, lost answers, slow answers, wrong clocks, expired models.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use frcopy::emulator::{AnswerTo, Collection, Options, Outage};
use tempfile::TempDir;

use crate::emulator::EmulatorProcess;
use crate::support::emulated_pair::{EmulatedPair, TARGET};
use crate::support::{frcopy, run};

const MODEL: &str = "invoices-v4.0-1";

/// The source does not answer from the start until this time.
fn outage_of_source(until: Option<u64>) -> Vec<Outage> {
    vec![Outage::between("source", Duration::ZERO, until.map(Duration::from_millis))]
}

fn options() -> Options {
    Options { models: 1, operation_time: Duration::ZERO, ..Options::default() }
}

#[test]
fn a_resource_that_is_down_closes_connections_and_works_again_afterwards() {
    let pair = EmulatedPair::with_options(&Options { down: outage_of_source(Some(1500)), ..options() });
    pair.copy(&[MODEL]).expect(0, &["the source did not answer", "sending again"]);
    let pair = EmulatedPair::with_options(&Options { down: outage_of_source(None), ..options() });
    pair.run(&["list", "source"]).expect(7, &["the source did not answer"]);
    pair.run(&["list", "target"]).expect(0, &[]);
}

#[test]
fn a_resource_is_down_as_long_as_a_file_exists() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("source.down");
    let emulator = EmulatorProcess::start(&["--down", &format!("source@while={}", file.display())]);
    let list = || run(emulator.command(&["list", "source"]).args(["--timeout", "2s"]));
    list().expect(0, &[]);
    fs::write(&file, "").unwrap();
    list().expect(7, &["the source did not answer"]);
    run(&mut emulator.command(&["list", "target"])).expect(0, &[]);
    fs::remove_file(&file).unwrap();
    list().expect(0, &[]);
}

#[test]
fn a_connection_that_is_in_use_is_closed_when_its_resource_goes_down() {
    let down = vec![Outage::between("source", Duration::from_millis(700), Some(Duration::from_millis(2500)))];
    let pair = EmulatedPair::with_options(&Options { down, operation_time: Duration::from_secs(3), ..options() });
    pair.copy(&[MODEL, "-v"]).expect(0, &["did not answer", "copied model"]);
}

#[test]
fn a_resource_that_hangs_accepts_requests_and_does_not_answer() {
    let pair = EmulatedPair::with_options(&Options { hang: outage_of_source(None), ..options() });
    let began = Instant::now();
    pair.run(&["list", "source", "--timeout", "1s"]).expect(7, &["did not answer"]);
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[test]
fn a_lost_answer_is_that_of_a_call_that_was_carried_out() {
    for (lost, text) in
        [(AnswerTo::Start, "did not answer the request to start"), (AnswerTo::Authorize, "did not answer")]
    {
        let pair = EmulatedPair::with_options(&Options { lose_answers: vec![lost], ..options() });
        pair.copy(&[MODEL]).expect(0, &[text]);
        assert_eq!(pair.ids(TARGET, Collection::DocumentModels).len(), 1);
        assert!(pair.mutating_requests().len() >= 2);
    }
    let pair = EmulatedPair::with_options(&Options { lose_answers: vec![AnswerTo::Start], ..options() });
    pair.copy(&[&pair.custom_model()]).expect(0, &["did not answer the request to start"]);
    assert_eq!(pair.ids(TARGET, Collection::CustomModels).len(), 1);
    let starts = pair.mutating_requests().iter().filter(|request| request.ends_with("/copy")).count();
    assert_eq!(starts, 1, "the copy that was carried out is found");
}

#[test]
fn answers_are_delayed_by_the_latency_and_at_most_the_jitter() {
    let latency = Duration::from_millis(300);
    let pair = EmulatedPair::with_options(&Options { latency, jitter: Duration::from_millis(100), ..options() });
    let endpoint = pair.emulator.resources()[0].endpoint.replace("http://", "");
    for _ in 0..5 {
        let began = Instant::now();
        crate::support::raw_server::forwarded(
            endpoint.parse().unwrap(),
            &format!("GET / HTTP/1.1\r\nHost: {endpoint}\r\n\r\n"),
        );
        assert!(began.elapsed() >= latency && began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}

#[test]
fn a_skewed_clock_is_in_the_dates_of_one_resource() {
    let skew = jiff::SignedDuration::from_mins(-10);
    let pair = EmulatedPair::with_options(&Options { clock_skew: vec![("target".into(), skew)], ..options() });
    let output = pair.run(&["doctor"]).expect(0, &["source, target: no check failed, warnings: 1"]);
    assert!(
        output.stdout.contains("target    clock           warning      the local clock is 600 s ahead"),
        "{output:#?}"
    );
    pair.copy(&[MODEL]).expect(0, &[]);
}

#[test]
fn an_expired_authorization_is_refused_and_expired_models_are_a_difference() {
    let pair = EmulatedPair::with_options(&Options { expired_authorizations: true, ..options() });
    pair.copy(&[MODEL]).expect(3, &["AuthorizationFailed"]);
    pair.copy(&[&pair.custom_model()]).expect(3, &["1002"]);
    let pair = EmulatedPair::with_options(&Options { expired_models: true, ..options() });
    pair.copy(&["--all"]).expect(0, &[]);
    pair.run(&["check"]).expect(9, &["model invoices-v4.0-1: expired on"]);
}

#[test]
fn resources_have_the_names_that_are_given_and_the_first_two_are_source_and_target() {
    let emulator = EmulatorProcess::start(&["--resources", "east,north-2,europe", "--operation-time", "0s"]);
    for (name, endpoint) in [("SOURCE", "EAST"), ("TARGET", "NORTH_2")] {
        let own = emulator.setting(&format!("FRCOPY_RESOURCE_{endpoint}_ENDPOINT"));
        assert_eq!(emulator.setting(&format!("FRCOPY_{name}_ENDPOINT")), own);
    }
    assert!(emulator.setting("FRCOPY_RESOURCE_EUROPE_RESOURCE_ID").ends_with("/accounts/europe"));
    assert_eq!(emulator.setting("FRCOPY_RESOURCE_EUROPE_REGION"), "westeurope");
    emulator.copy(&[MODEL]).expect(0, &[]);
}

#[test]
fn every_resource_accepts_the_given_token_and_no_other_one() {
    let emulator = EmulatorProcess::start(&["--token", "lab", "--operation-time", "0s"]);
    let copy = |token: &str| {
        let mut command = emulator.command(&["copy", MODEL]);
        for side in ["SOURCE", "TARGET"] {
            command.env(format!("FRCOPY_{side}_AUTH"), "entra").env(format!("FRCOPY_{side}_TOKEN"), token);
        }
        run(&mut command)
    };
    copy("other").expect(4, &["HTTP 401"]);
    copy("lab").expect(0, &["copied"]);
}

#[cfg(target_os = "linux")]
#[test]
fn over_tls_a_client_that_trusts_the_printed_certificate_can_copy_and_another_one_cannot() {
    let emulator = EmulatorProcess::start(&["--tls", "--operation-time", "0s", "--lose-answers", "start"]);
    assert!(emulator.setting("FRCOPY_SOURCE_ENDPOINT").starts_with("https://127.0.0.1:"));
    let authority = emulator.setting("SSL_CERT_FILE");
    assert_eq!(authority, emulator.setting("NODE_EXTRA_CA_CERTS"));
    assert!(fs::read_to_string(authority).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    run(emulator.command(&["list", "source"]).env_remove("SSL_CERT_FILE")).expect(7, &["is not trusted"]);
    let doctor = run(&mut emulator.command(&["doctor"])).expect(0, &[]);
    assert!(doctor.stdout.contains("its certificate is trusted"), "{}", doctor.stdout);
    emulator.copy(&[MODEL]).expect(0, &["did not answer the request to start", "copied model"]);
    let signalled = Command::new("kill").arg(emulator.child.id().to_string()).status().unwrap();
    assert!(signalled.success());
    let began = Instant::now();
    while Path::new(authority).exists() {
        assert!(began.elapsed() < Duration::from_secs(10), "it is removed at the end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An emulator whose settings are in a file. It is killed when the value is dropped.
struct Background(Child);

impl Background {
    fn start(ready_file: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frcopy"));
        command.args(["emulator", "--operation-time", "0s", "--ready-file"]).arg(ready_file);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self(child)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(path: &Path) -> String {
    let began = Instant::now();
    loop {
        match fs::read_to_string(path) {
            Ok(text) => return text,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(10), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(unix)]
#[test]
fn the_ready_file_has_the_settings_as_a_whole_and_nothing_is_printed() {
    use std::io::Read;

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ready.sh");
    let mut emulator = Background::start(&path);
    let text = wait_for(&path);
    assert!(text.starts_with(&format!("# frcopy emulator, process {}\n", emulator.0.id())), "{text}");
    assert!(
        text.contains("export FRCOPY_TARGET_REGION='westus2'\n") && text.ends_with("classifier-v4.0-1\n"),
        "{text}"
    );
    let script = format!(". {} && exec {} copy {MODEL}", path.display(), env!("CARGO_BIN_EXE_frcopy"));
    let copy = Command::new("sh").args(["-euc", &script]).output().unwrap();
    assert_eq!(String::from_utf8(copy.stdout).unwrap(), format!("{MODEL}\n"));
    assert!(Command::new("kill").arg(emulator.0.id().to_string()).status().unwrap().success());
    assert_eq!(emulator.0.wait().unwrap().code(), Some(0));
    assert!(!path.exists(), "it is removed at the end");
    let (mut stdout, mut stderr) = (String::new(), String::new());
    emulator.0.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    emulator.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((stdout.as_str(), stderr.as_str()), ("", ""));
}

#[test]
fn the_ready_file_of_a_killed_emulator_is_replaced_and_another_file_is_not() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ready.sh");
    fs::write(&path, "# frcopy emulator, process 1\nexport FRCOPY_SOURCE_ENDPOINT='http://127.0.0.1:1'\n").unwrap();
    let _emulator = Background::start(&path);
    let began = Instant::now();
    while !fs::read_to_string(&path).is_ok_and(|text| text.contains("FRCOPY_TARGET_REGION")) {
        assert!(began.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(20));
    }
    let other = folder.path().join("notes.txt");
    fs::write(&other, "my notes").unwrap();
    let texts = ["cannot be written", "no emulator has written it", "give the path of a file that does not exist"];
    run(frcopy().args(["emulator", "--ready-file"]).arg(&other)).expect(2, &texts);
    assert_eq!(fs::read_to_string(&other).unwrap(), "my notes");
    run(frcopy().args(["emulator", "--ready-file", "/nowhere/ready.sh"])).expect(2, &["cannot be written"]);
}
