//! Snapshots of the output for people, for the main situations of each command.
//!
//! Accept a change of wording with `INSTA_UPDATE=always cargo test --test it -- snapshots` and review the diff of
//! `tests/it/snapshots`. Exit codes, JSON and requests are asserted in the other files.

use crate::support::{
    CommandOutput, MODEL, Model, Operation, ScriptedService, Step, V2_1, V4_0, error_reply, frcopy, reply, run,
};
use insta::assert_snapshot;

/// Exit code and output, with placeholders for what differs between two runs.
fn assert_output(name: &str, output: &CommandOutput) {
    let CommandOutput { code, stdout, stderr } = output;
    assert_text(name, &format!("exit code: {code}\n--- stdout\n{stdout}--- stderr\n{stderr}"));
}

fn assert_text(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(r"127\.0\.0\.1:\d+", "[address]");
    settings.add_filter(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[uuid]");
    settings.add_filter(r"\b\d+_[0-9a-f]+\b|\b\d{6,}_\[uuid\]", "[operation id]");
    settings.add_filter(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", "[time]");
    settings.add_filter(r"\b\d+(\.\d+)? (s|ms)\b", "[duration]");
    settings.add_filter(r"\(in \d+ days\)", "(in [n] days)");
    settings.add_filter(r"\b20\d{2}-\d{2}-\d{2}(\s)", "YYYY-MM-DD$1");
    settings.bind(|| assert_snapshot!(name, text));
}

/// Sorts stdout, and the lines of stderr before the summary, because copies finish in any order.
#[cfg(feature = "emulator")]
fn with_sorted_lines(output: &CommandOutput) -> CommandOutput {
    let sorted = |text: &str, unsorted: usize| {
        let mut lines: Vec<_> = text.lines().collect();
        let end = lines.len() - unsorted;
        lines[..end].sort_unstable();
        lines.iter().flat_map(|line| [line, "\n"]).collect()
    };
    CommandOutput { stdout: sorted(&output.stdout, 0), stderr: sorted(&output.stderr, 1), code: output.code }
}

#[test]
fn a_copy_with_v2_1_prints_its_steps() {
    assert_output("copy_v2_1", &run(&mut ScriptedService::new(V2_1).copy()));
}

#[test]
fn a_copy_with_v4_0_prints_its_steps() {
    assert_output("copy_v4_0", &run(&mut ScriptedService::new(V4_0).copy()));
}

#[test]
fn a_dry_run_prints_its_plan() {
    assert_output("dry_run", &run(ScriptedService::new(V4_0).copy().arg("--dry-run")));
}

#[test]
fn a_refusal_prints_error_cause_help_and_request_id() {
    let service = ScriptedService::new(V4_0);
    service.on(Step::Start, [error_reply(401, "401", "Access denied due to invalid subscription key.")]);
    service.on(Step::Verify, [Model::reserved(V4_0)]);
    assert_output("refused_start", &run(&mut service.copy()));
}

#[test]
fn a_failed_copy_prints_the_innermost_error() {
    let service = ScriptedService::new(V4_0);
    service.on(Step::Poll, [Operation::failed(V4_0, "AuthorizationFailed", "Cannot copy encrypted content.").answer()]);
    service.on(Step::Verify, [Model::reserved(V4_0)]);
    assert_output("failed_copy", &run(&mut service.copy()));
}

#[test]
fn a_lost_start_of_unknown_outcome_prints_what_may_be_running() {
    let service = ScriptedService::new(V4_0);
    service.on(Step::Start, [reply(500)]);
    for step in [Step::ListOperations, Step::Verify] {
        service.on(step, [error_reply(404, "404", "Resource not found")]);
    }
    assert_output("unknown_start", &run(service.copy().args(["--timeout", "900ms"])));
}

#[test]
fn the_deadline_prints_the_command_that_resumes_the_copy() {
    let service = ScriptedService::new(V4_0);
    service.on(Step::Poll, [Operation::with_status(V4_0, "running").answer()]);
    assert_output("deadline", &run(service.copy().args(["--timeout", "1500ms"])));
}

#[test]
fn missing_settings_print_a_remedy() {
    assert_output("missing_endpoint", &run(frcopy().args(["copy", MODEL])));
}

#[test]
fn the_help_of_copy_fits_80_columns() {
    let output = run(frcopy().env("COLUMNS", "80").args(["copy", "--help"]));
    let widest = output.stdout.lines().map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|width| width <= 80), "{widest:?}");
    assert_output("help_copy", &output);
}

#[cfg(feature = "emulator")]
mod emulated {
    use frcopy::emulator::Collection;

    use serde_json::json;

    use super::{assert_output, with_sorted_lines};
    use crate::support::Model;
    use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};

    #[test]
    fn a_batch_prints_a_line_per_model_and_a_summary() {
        let pair = EmulatedPair::new(1);
        pair.copy(&["invoices-v4.0-1"]).expect(0, &[]);
        let batch = ["invoices-v3.0-1", "invoices-v3.1-1", "invoices-v4.0-1", "classifier-v4.0-1", "--jobs", "1"];
        assert_output("batch", &with_sorted_lines(&pair.copy(&[&batch[..], &["--if-exists", "skip"]].concat())));
    }

    #[test]
    fn a_batch_with_failures_repeats_them_in_the_summary() {
        let pair = EmulatedPair::new(1);
        pair.copy(&["invoices-v4.0-1"]).expect(0, &[]);
        let output = pair.copy(&["invoices-v4.0-1", "invoices-v3.1-1"]).expect(6, &[]);
        assert_output("batch_with_a_failure", &output);
    }

    #[test]
    fn check_prints_every_sign_and_a_summary() {
        let pair = EmulatedPair::new(2);
        pair.copy(&["invoices-v3.0-1", "invoices-v3.1-1", "invoices-v4.0-1", "classifier-v4.0-1"]).expect(0, &[]);
        pair.retrain("invoices-v4.0-1");
        pair.emulator.remove(SOURCE, Collection::DocumentClassifiers, "classifier-v4.0-1");
        for resource in [SOURCE, TARGET] {
            let expires = json!("2020-01-01T00:00:00Z");
            pair.set(resource, Collection::DocumentModels, "invoices-v3.1-1", "/expirationDateTime", expires);
        }
        let creating = "00000000-0000-4000-8000-00000000000b";
        let blank = Model::blank_v2_1(creating, "2026-01-01T00:00:00Z").body();
        pair.emulator.put(SOURCE, Collection::CustomModels, creating, blank);
        let models = ["invoices-v3.0-1", "invoices-v3.1-1", "invoices-v3.1-2", "invoices-v4.0-1", "classifier-v4.0-1"];
        let expiring = ["--expiring-within", "1d", creating];
        assert_output("check", &pair.run(&[&["check"][..], &models, &expiring].concat()));
    }

    #[test]
    fn list_prints_a_table() {
        let pair = EmulatedPair::new(1);
        assert_output("list", &pair.run(&["list", "source", "--include", "*-v*"]));
    }
}
