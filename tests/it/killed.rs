//! SIGKILL at every step of a copy, followed by the same command or the printed `frcopy wait`.

use std::time::Duration;

use frcopy::emulator::Options;

use crate::support::child_process::ChildProcess;
use crate::support::emulated_pair::EmulatedPair;

/// Kills a copy when its stderr contains a text. Returns its stderr.
fn stderr_of_killed_copy(pair: &EmulatedPair, model: &str, text: &str) -> String {
    let mut copy = ChildProcess::spawn(&pair.command(&["copy", model, "--poll-interval", "20ms"]));
    copy.read_until(text);
    copy.signal("-KILL");
    copy.finish().stderr
}

#[test]
fn after_a_kill_at_any_step_the_same_command_makes_a_v2_1_copy() {
    for step in ["reading", "authorized: ", "started: ", "status: ", "verifying that"] {
        let operation_time = Duration::from_millis(200);
        let latency = Duration::from_millis(50);
        let pair = EmulatedPair::with_options(&Options { operation_time, latency, ..Options::default() });
        let model = pair.custom_model();
        stderr_of_killed_copy(&pair, &model, step);
        pair.copy(&[&model]).expect(0, &["copied model"]);
    }
}

#[test]
fn after_a_kill_a_later_version_is_copied_or_the_conflict_is_named() {
    for (version, step, exit, what) in [
        ("3.0", "reading", 0, "copied model"),
        ("3.1", "authorized: ", 6, "invoices-v3.1-1"),
        ("4.0", "started: ", 6, "invoices-v4.0-1"),
        ("3.0", "status: ", 6, "invoices-v3.0-1"),
        ("3.1", "verifying that", 6, "the target already has a model invoices-v3.1-1"),
    ] {
        let (operation_time, latency) = (Duration::from_millis(500), Duration::from_millis(100));
        let pair = EmulatedPair::with_options(&Options { operation_time, latency, ..Options::default() });
        let model = format!("invoices-v{version}-1");
        let stderr = stderr_of_killed_copy(&pair, &model, step);
        pair.copy(&[&model]).expect(exit, &[what]);
        if let Some((_, started)) = stderr.split_once("started: ") {
            // The copy continues on the service, and the printed URL leads to its verdict.
            let operation = started.lines().next().unwrap();
            let output = pair.run(&["wait", operation, "--poll-interval", "20ms"]).expect(0, &["copied model"]);
            assert_eq!(output.stdout, format!("{model}\n"));
        }
    }
}
