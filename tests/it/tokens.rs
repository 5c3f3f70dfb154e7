//! Tokens that another program requested, and the choice between a key and a token.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assert_cmd::Command;
use frcopy::emulator::Options;
use tempfile::TempDir;

use crate::support::emulated_pair::{EmulatedPair, SOURCE};
use crate::support::{CommandOutput, run, run_without};

const FIRST: &str = "f1rst-token-of-entra-id-0123456789";
const SECOND: &str = "5econd-token-of-entra-id-0123456789";
const MODEL: &str = "invoices-v4.0-1";
const UNLIMITED: usize = 10_000;

fn pair() -> EmulatedPair {
    let pair = EmulatedPair::new(1);
    pair.emulator.accept_token(SOURCE, FIRST, UNLIMITED);
    pair
}

/// The source takes a token, the target its key.
fn command(pair: &EmulatedPair) -> Command {
    let mut command = pair.command(&["copy", MODEL, "--poll-interval", "20ms", "-vv"]);
    command.env_remove("FRCOPY_SOURCE_KEY");
    command
}

fn run_without_secrets(command: &mut Command) -> CommandOutput {
    run_without(&[FIRST, SECOND], command)
}

#[test]
fn a_token_is_read_from_the_environment_a_file_or_stdin() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, format!("{FIRST}\n")).unwrap();
    run_without_secrets(command(&pair()).env("FRCOPY_SOURCE_TOKEN", FIRST)).expect(0, &[]);
    run_without_secrets(command(&pair()).env("FRCOPY_SOURCE_TOKEN_FILE", &file)).expect(0, &[]);
    run_without_secrets(command(&pair()).arg("--source-token-file").arg(&file)).expect(0, &[]);
    run_without_secrets(command(&pair()).args(["--source-token-file", "-"]).write_stdin(format!("{FIRST}\r\n")))
        .expect(0, &[]);
}

#[test]
fn a_token_file_is_read_again_after_it_was_renewed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, FIRST).unwrap();
    let renewed = Arc::new(Mutex::new(Some(file.clone())));
    let options = Options { models: 1, operation_time: Duration::from_millis(200), ..Options::default() };
    let pair = EmulatedPair::with_observer(&options, move |served| {
        if served.method == "POST" && served.resource == "source" {
            let file = renewed.lock().unwrap().take();
            if let Some(file) = file {
                fs::write(file, SECOND).unwrap();
            }
        }
    });
    pair.emulator.accept_token(SOURCE, FIRST, UNLIMITED);
    pair.emulator.accept_token(SOURCE, SECOND, UNLIMITED);
    run_without_secrets(command(&pair).arg("--source-token-file").arg(&file)).expect(0, &[]);
    assert_eq!(fs::read_to_string(&file).unwrap(), SECOND);
}

#[test]
fn a_token_that_expires_while_polling_prints_the_operation_url() {
    let pair = EmulatedPair::with_options(&Options {
        models: 1,
        operation_time: Duration::from_secs(60),
        ..Options::default()
    });
    pair.emulator.accept_token(SOURCE, FIRST, 8);
    run_without_secrets(command(&pair).env("FRCOPY_SOURCE_TOKEN", FIRST))
        .expect(4, &["frcopy wait ", "Cognitive Services User on both resources, source and target"]);
}

#[test]
fn an_option_overrides_the_environment_and_two_methods_are_refused() {
    let both = |pair: &EmulatedPair| {
        let mut both = pair.command(&["copy", MODEL, "--poll-interval", "20ms"]);
        both.env("FRCOPY_SOURCE_TOKEN", FIRST);
        both
    };
    run(&mut both(&pair()))
        .expect(2, &["there are a source key and a source token in the environment", "--source-auth"]);
    run(both(&pair()).args(["--source-auth", "key"])).expect(0, &[]);
    run(both(&pair()).env("FRCOPY_SOURCE_AUTH", "entra")).expect(0, &[]);
    run(both(&pair()).env("FRCOPY_SOURCE_AUTH", "entra").env("FRCOPY_SOURCE_KEY", "wrong")).expect(0, &[]);
    run(both(&pair()).args(["--source-key", "wrong", "--source-auth", "entra"])).expect(2, &["on the command line"]);
    run(both(&pair()).args(["--source-key", "wrong"])).expect(4, &["the source key from --source-key"]);
    run(both(&pair()).env("FRCOPY_SOURCE_AUTH", "magic")).expect(2, &["FRCOPY_SOURCE_AUTH is neither key nor entra"]);
    run(command(&pair()).env("FRCOPY_SOURCE_TOKEN", FIRST).env("FRCOPY_SOURCE_TOKEN_FILE", "x"))
        .expect(2, &["FRCOPY_SOURCE_TOKEN and FRCOPY_SOURCE_TOKEN_FILE are both set"]);
    run(command(&pair()).env("FRCOPY_SOURCE_TOKEN", "two words")).expect(2, &["the source token is not usable"]);
    run(command(&pair()).args(["--source-token-file", "/nowhere/token"]))
        .expect(2, &["the source token is not usable"]);
    run(command(&pair()).args(["--source-token-file", "-", "--target-key-file", "-"])).expect(2, &["from stdin"]);
}

#[test]
fn a_token_is_not_sent_to_a_regional_endpoint() {
    let mut regional = command(&pair());
    regional
        .env("FRCOPY_SOURCE_TOKEN", FIRST)
        .env("FRCOPY_SOURCE_ENDPOINT", "https://westus2.api.cognitive.microsoft.com");
    run_without_secrets(&mut regional)
        .expect(2, &["a regional endpoint accepts no tokens", "use the resource's custom subdomain"]);
}
