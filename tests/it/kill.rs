//! SIGKILL at every step of a copy, and then the same command or the printed line again.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::emulator::Emulator;
use crate::support::run;

/// Kills a copy as soon as it has said something; returns what it said.
fn killed_at(emulator: &Emulator, model: &str, text: &str) -> String {
    let prepared = emulator.command(&["copy", model, "--poll-interval", "20ms"]);
    let mut command = Command::new(prepared.get_program());
    command.args(prepared.get_args()).env_clear().stdout(Stdio::null()).stderr(Stdio::piped());
    for (name, value) in prepared.get_envs() {
        command.env(name, value.unwrap());
    }
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains(text) {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "{text:?} was never said: {said}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn a_v2_1_copy_that_was_killed_anywhere_is_made_by_the_same_command() {
    for step in ["reading", "authorized: ", "started: ", "status: ", "verifying that"] {
        let emulator = Emulator::start(&["--operation-time", "200ms"]);
        let model = emulator.custom_model();
        killed_at(&emulator, &model, step);
        emulator.copy(&[&model]).expect(0, &["copied model"]);
    }
}

#[test]
fn a_later_copy_that_was_killed_is_made_by_the_same_command_or_says_what_stands_in_the_way() {
    for (version, step, exit, what) in [
        ("3.0", "reading", 0, "copied model"),
        ("3.1", "authorized: ", 6, "invoices-v3.1-1"),
        ("4.0", "started: ", 6, "invoices-v4.0-1"),
        ("3.0", "status: ", 6, "invoices-v3.0-1"),
        ("3.1", "verifying that", 6, "the target already has a model invoices-v3.1-1"),
    ] {
        let emulator = Emulator::start(&["--operation-time", "500ms", "--latency", "100ms"]);
        let model = format!("invoices-v{version}-1");
        let said = killed_at(&emulator, &model, step);
        emulator.copy(&[&model]).expect(exit, &[what]);
        if let Some((_, started)) = said.split_once("started: ") {
            // Nothing is lost: the copy goes on, and what was printed leads to its verdict.
            let operation = started.lines().next().unwrap();
            let mut wait = emulator.command(&["wait", operation, "--poll-interval", "20ms"]);
            let ending = run(&mut wait).expect(0, &["copied model"]);
            assert_eq!(ending.stdout, format!("{model}\n"));
        }
    }
}
