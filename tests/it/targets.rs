//! Several targets: the source is read once, and the trouble of one target does not stop the others.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use frcopy::emulator::{AnswerTo, Collection, Options, Outage, Tier};
use serde_json::{Value, json};
use wiremock::{MockServer, ResponseTemplate};

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::{CommandOutput, UnusedHost, error_reply, mock_server, run};

/// The third resource of the emulator.
pub(crate) const NORTH: usize = 2;

/// Three emulated resources: east has the models, west and north are the targets.
pub(crate) fn three(models: usize) -> EmulatedPair {
    EmulatedPair::with_options(&Options { resources: 3, models, operation_time: Duration::ZERO, ..Options::default() })
}

pub(crate) fn copy(lab: &EmulatedPair, arguments: &[&str]) -> Command {
    let options = ["copy", "--from", "east", "--to", "west", "--to", "north", "--poll-interval", "20ms"];
    lab.named_command(&[&options, arguments].concat())
}

/// The lines of stdout that begin with the name of a target, without it.
pub(crate) fn ids<'o>(output: &'o CommandOutput, target: &str) -> BTreeSet<&'o str> {
    output.stdout.lines().filter_map(|line| line.strip_prefix(target)?.strip_prefix('\t')).collect()
}

pub(crate) fn objects(output: &CommandOutput) -> Vec<Value> {
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_source_is_listed_once_and_each_model_is_read_once_for_all_targets() {
    let lab = three(4);
    let output = run(&mut copy(&lab, &["--all"])).expect(
        0,
        &["west: of 20 models and classifiers: 20 copied", "north: of 20 models and classifiers: 20 copied"],
    );
    assert_eq!((ids(&output, "west").len(), ids(&output, "north").len(), output.stdout.lines().count()), (20, 20, 40));
    assert_eq!(lab.list_requests(SOURCE), 1);
    let is_poll = |path: &&String| path.contains("/operations/") || path.contains("/copyresults/");
    let requests = lab.requests(SOURCE, "GET", "");
    let reads: Vec<_> = requests.iter().filter(|path| !is_poll(path)).collect();
    assert_eq!(reads.iter().collect::<BTreeSet<_>>().len(), reads.len(), "{reads:#?}");
    assert_eq!(lab.ids(TARGET, Collection::DocumentModels), lab.ids(NORTH, Collection::DocumentModels));
    for target in ["west", "north"] {
        run(&mut lab.named_command(&["check", "--from", "east", "--to", target])).expect(0, &["20 same"]);
    }
    let again = run(&mut copy(&lab, &["--all", "--if-exists", "skip"]));
    again.expect(0, &["west: of 20 models and classifiers: 20 already there", "west has it already", "north has it"]);
}

#[test]
fn one_model_goes_to_each_target_under_one_id_and_the_lines_say_which() {
    let lab = three(1);
    let options = ["invoices-v4.0-1", "--target-model-id", "backup"];
    let output = run(&mut copy(&lab, &options)).expect(0, &["copied model invoices-v4.0-1 to north as backup"]);
    assert_eq!(output.stdout.lines().collect::<BTreeSet<_>>(), BTreeSet::from(["north\tbackup", "west\tbackup"]));
    lab.emulator.remove(NORTH, Collection::DocumentModels, "backup");
    let output = run(&mut copy(&lab, &[&options[..], &["--output", "json"]].concat())).expect(
        6,
        &["error: west: model invoices-v4.0-1: west already has a model backup", "west: of 1 model or classifier"],
    );
    let names = |status: &str| {
        let found = objects(&output).into_iter().filter(|one| one["status"] == status);
        found.map(|one| one["target"]["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((names("succeeded"), names("refused")), (vec![json!("north")], vec![json!("west")]));
}

#[test]
fn a_dry_run_shows_the_plan_and_the_room_of_each_target() {
    let lab = three(1);
    run(&mut copy(&lab, &["invoices-v3.1-1"])).expect(0, &[]);
    lab.emulator.remove(NORTH, Collection::DocumentModels, "invoices-v3.1-1");
    lab.mutating_requests();
    let output = run(&mut copy(&lab, &["--include", "invoices-v*", "--if-exists", "skip", "--dry-run"]));
    let texts =
        ["west: of 3 models and classifiers: 2 would be copied, 1 already there", "north: of 3", "north has 0 of"];
    assert_eq!(output.expect(0, &texts).stdout, "west\tinvoices-v3.1-1\n");
    assert_eq!(lab.mutating_requests(), Vec::<String>::new());
}

/// A target that is rate limited for longer than any command waits.
fn rate_limited() -> MockServer {
    mock_server(|_| {
        error_reply(429, "429", "Requests have exceeded the rate limit.").insert_header("retry-after", "9999")
    })
}

#[test]
fn a_target_that_is_down_or_rate_limited_does_not_stop_the_other() {
    let lab = three(2);
    let (down, limited) = (UnusedHost::new().url(), rate_limited());
    for (endpoint, timeout) in [(down.as_str(), "8s"), (&limited.uri(), "30s")] {
        let began = Instant::now();
        let mut copy = copy(&lab, &["--all", "--timeout", timeout, "--if-exists", "skip", "--output", "json"]);
        let output = run(copy.env("FRCOPY_RESOURCE_NORTH_ENDPOINT", endpoint));
        let output = output.expect(7, &["west: of 10 models and classifiers: 10 ", "error: north: "]);
        let objects = objects(&output);
        let count = |target: &str, error: bool| {
            objects.iter().filter(|one| one["target"]["name"] == target && one["error"].is_object() == error).count()
        };
        assert_eq!((count("west", false), count("north", true)), (10, 10), "{}", output.stderr);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
    assert_eq!(lab.ids(TARGET, Collection::DocumentModels).len(), 6);
    // The next run copies what is missing.
    run(&mut copy(&lab, &["--all", "--if-exists", "skip"]))
        .expect(0, &["10 already there", "north: of 10 models and classifiers: 10 copied"]);
}

#[test]
fn a_target_that_does_not_answer_its_lists_does_not_hold_up_the_other() {
    let hang = vec![Outage::between("resource3", Duration::ZERO, None)];
    let options = Options { resources: 3, models: 2, operation_time: Duration::ZERO, hang, ..Options::default() };
    let lab = EmulatedPair::with_options(&options);
    let texts = ["west: of 10 models and classifiers: 10 copied", "north: of 10 models and classifiers: 10 "];
    let output = run(&mut copy(&lab, &["--all", "--timeout", "8s"])).expect(7, &texts);
    assert_eq!((ids(&output, "west").len(), ids(&output, "north").len()), (10, 0));
}

#[test]
fn what_cannot_be_done_with_several_targets_is_refused() {
    let lab = three(1);
    let twice = ["copy", "--from", "east", "--to", "west", "--to", "WEST", "--all"];
    run(&mut lab.named_command(&twice)).expect(2, &["the target west is given twice", "name each target once"]);
    run(&mut copy(&lab, &["--all", "--target-model-id", "xy"])).expect(2, &["--target-model-id names one copy"]);
    let own = ["copy", "--from", "east", "--to", "west", "--to", "east", "--all"];
    run(&mut lab.named_command(&own)).expect(2, &["source and target are the same resource"]);
    assert_eq!(lab.mutating_requests(), Vec::<String>::new());
}

#[test]
fn one_manifest_records_the_copies_on_each_target() {
    let lab = three(1);
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("manifest.json");
    let arguments = ["--all", "--if-exists", "skip", "--manifest", manifest.to_str().unwrap()];
    let output = run(&mut copy(&lab, &arguments)).expect(0, &["west: of 5", "north: of 5"]);
    let text = std::fs::read_to_string(&manifest).unwrap();
    for target in ["west", "north"] {
        assert!(ids(&output, target).iter().all(|id| text.contains(*id)), "{text}");
    }
    lab.mutating_requests();
    run(&mut copy(&lab, &arguments)).expect(0, &["west: of 5 models and classifiers: 5 already there", "north: of 5"]);
    assert_eq!(lab.mutating_requests(), Vec::<String>::new());
}

#[test]
fn a_target_that_goes_down_half_way_does_not_stop_the_other() {
    let down = Outage::between("resource3", Duration::from_secs(2), None);
    let s0 = Options { tier: Tier::S0, ..Options::default() };
    let options = Options { resources: 3, models: 15, operation_time: Duration::ZERO, ..s0 };
    let lab = EmulatedPair::with_options(&Options { down: vec![down], ..options });
    let arguments = ["--include", "invoices-v4.0-*", "--if-exists", "skip", "--timeout", "15s"];
    let output = CommandOutput::of(&mut copy(&lab, &arguments));
    // A copy whose start was accepted is running, or its verification failed: 8 comes before 7.
    assert!(matches!(output.code, 7 | 8), "{output:#?}");
    let to_north = ids(&output, "north").len();
    assert_eq!(ids(&output, "west").len(), 15, "{}", output.stderr);
    assert!(to_north < 15, "{}", output.stderr);
    assert!(output.stderr.contains("west: of 15 models and classifiers: 15 copied"), "{}", output.stderr);
    assert!(output.stderr.contains("north: of 15 models and classifiers: "), "{}", output.stderr);
}

pub(crate) fn check(lab: &EmulatedPair, arguments: &[&str]) -> Command {
    lab.named_command(&[&["check", "--from", "east", "--to", "west", "--to", "north"], arguments].concat())
}

#[test]
fn check_compares_each_target_and_reads_the_source_once() {
    let lab = three(2);
    run(&mut copy(&lab, &["--all"])).expect(0, &[]);
    let output = run(&mut check(&lab, &[])).expect(0, &["west: of 10 models and classifiers: 10 same", "north: of 10"]);
    assert_eq!((ids(&output, "west").len(), ids(&output, "north").len()), (10, 10));
    assert_eq!(output.stderr.matches("v2.1 retires on 15 September 2027: train its 2 models again").count(), 1);
    // The lists of v3.1 leave out what is compared: each model is read.
    let before = lab.requests(SOURCE, "GET", "").len();
    run(&mut check(&lab, &["--api-version", "3.1"])).expect(0, &["west: of 4 models", "north: of 4 models"]);
    let requests = lab.requests(SOURCE, "GET", "").split_off(before);
    assert!(requests.iter().any(|path| path.contains("/invoices-v3.1-2")), "{requests:#?}");
    assert_eq!(requests.iter().collect::<BTreeSet<_>>().len(), requests.len(), "{requests:#?}");

    lab.emulator.remove(NORTH, Collection::DocumentModels, "invoices-v3.0-2");
    let output =
        run(&mut check(&lab, &[])).expect(9, &["west: of 10 models and classifiers: 10 same", "9 same, 1 only on"]);
    assert!(output.stdout.contains("north\t+ model invoices-v3.0-2\n"), "{}", output.stdout);
    assert!(output.stdout.contains("west\t= model invoices-v3.0-2\n"), "{}", output.stdout);
    let output = run(&mut check(&lab, &["--output", "json"])).expect(9, &[]);
    let different: Vec<_> = objects(&output).into_iter().filter(|one| one["sign"] != "=").collect();
    assert_eq!(different.len(), 1);
    assert_eq!(
        (&different[0]["target"]["resource"], &different[0]["source"]["resource"]),
        (&json!("north"), &json!("east"))
    );
    assert_eq!(run(&mut check(&lab, &["-q"])).expect(9, &[]).stdout, "");
}

#[test]
fn a_target_that_cannot_be_checked_does_not_hide_the_others() {
    let lab = three(1);
    run(&mut copy(&lab, &["--all"])).expect(0, &[]);
    let limited = rate_limited();
    let mut one_limited = check(&lab, &["--timeout", "20s"]);
    one_limited.env("FRCOPY_RESOURCE_NORTH_ENDPOINT", limited.uri());
    let output = run(&mut one_limited).expect(7, &["error: north: ", "west: of 5 models and classifiers: 5 same"]);
    assert_eq!((ids(&output, "west").len(), output.stdout.lines().count()), (5, 5));
    // What a target lacks is known.
    lab.emulator.remove(TARGET, Collection::DocumentModels, "invoices-v3.0-1");
    run(&mut one_limited).expect(9, &["error: north: ", "west: of 5 models and classifiers: 4 same"]);
    run(&mut check(&lab, &["no-such-model"]))
        .expect(5, &["error: north: there is no model or classifier no-such-model"]);
    run(lab.named_command(&["check", "--from", "east", "--to", "west"]).env("FRCOPY_RESOURCE_EAST_KEY", "wrong"))
        .expect(4, &["401"]);
}

#[test]
fn a_target_that_does_not_answer_until_the_deadline_does_not_use_up_the_time_of_the_others() {
    let lab = three(1);
    run(&mut copy(&lab, &["--all"])).expect(0, &[]);
    let silent = mock_server(|_| ResponseTemplate::new(200).set_delay(Duration::from_secs(60)));
    // The lists of v3.1 leave out what is compared, so that more is read after them.
    let mut one_silent = check(&lab, &["--timeout", "5s", "--api-version", "3.1"]);
    one_silent.env("FRCOPY_RESOURCE_NORTH_ENDPOINT", silent.uri());
    run(&mut one_silent).expect(7, &["error: north: ", "west: of 2 models and classifiers: 2 same"]);
}

/// A manifest of copies to both targets, and the folder that has it.
fn with_manifest(lab: &EmulatedPair) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("manifest.json").to_str().unwrap().to_owned();
    run(&mut copy(lab, &["--all", "--manifest", &manifest])).expect(0, &[]);
    (folder, manifest)
}

/// The copies in a manifest that were verified, by the target's endpoint.
fn verified(manifest: &str, endpoint: &str) -> usize {
    let content: Value = serde_json::from_str(&std::fs::read_to_string(manifest).unwrap()).unwrap();
    let copies = content["copies"].as_array().unwrap();
    copies.iter().filter(|copy| copy["target"]["endpoint"] == endpoint && copy["verifiedAt"].is_string()).count()
}

#[test]
fn check_records_what_each_target_has_in_one_manifest() {
    let lab = three(1);
    let (_folder, manifest) = with_manifest(&lab);
    let endpoints: Vec<_> = lab.emulator.resources().iter().map(|resource| resource.endpoint.clone()).collect();
    let verified = || [TARGET, NORTH].map(|target| verified(&manifest, &endpoints[target]));
    std::fs::write(&manifest, r#"{"schema":"frcopy.manifest/1","copies":[]}"#).unwrap();
    lab.emulator.remove(NORTH, Collection::DocumentModels, "invoices-v3.0-1");
    let arguments = ["--manifest", &manifest, "--max-age", "26h"];
    run(&mut check(&lab, &arguments)).expect(9, &["west: of 5 models and classifiers: 5 same", "north: of 5"]);
    assert_eq!(verified(), [5, 4]);
    // What one target does not answer is not recorded, and the other one is.
    std::fs::write(&manifest, r#"{"schema":"frcopy.manifest/1","copies":[]}"#).unwrap();
    run(check(&lab, &arguments).env("FRCOPY_RESOURCE_NORTH_KEY", "wrong")).expect(4, &["error: north: ", "west: of 5"]);
    assert_eq!(verified(), [5, 0]);
}

#[test]
fn each_target_is_compared_with_the_manifest_without_the_source() {
    let lab = three(1);
    let (_folder, manifest) = with_manifest(&lab);
    let limited = rate_limited();
    let targets = ["check", "--to", "west", "--to", "north", "--manifest", &manifest, "--target-only"];
    let mut alone = lab.named_command(&[&targets[..], &["--max-age", "26h", "--timeout", "20s"]].concat());
    alone.env_remove("FRCOPY_RESOURCE_EAST_ENDPOINT").env_remove("FRCOPY_RESOURCE_EAST_KEY");
    let output = run(&mut alone).expect(0, &["west: of 5 models and classifiers: 5 same", "north: of 5"]);
    assert_eq!((ids(&output, "west").len(), ids(&output, "north").len(), output.stdout.lines().count()), (5, 5, 10));
    assert!(!output.stdout.contains("\t-"), "{}", output.stdout);
    lab.emulator.remove(NORTH, Collection::DocumentModels, "invoices-v3.0-1");
    let missing = "4 same as recorded, 1 missing on the target";
    let output =
        run(&mut alone).expect(9, &["west: of 5 models and classifiers: 5 same", missing, "west: last verified: "]);
    assert!(output.stdout.contains("north\t+ model invoices-v3.0-1\n"), "{}", output.stdout);
    alone.env("FRCOPY_RESOURCE_NORTH_ENDPOINT", limited.uri());
    let output = run(&mut alone).expect(7, &["error: north: ", "west: of 5 models and classifiers: 5 same"]);
    assert_eq!((ids(&output, "west").len(), output.stdout.lines().count()), (5, 5));
}

#[test]
fn while_the_source_is_down_each_target_is_compared_with_the_manifest_and_the_exit_code_says_so() {
    let lab = three(1);
    let (_folder, manifest) = with_manifest(&lab);
    let down = UnusedHost::new().url();
    let down = down.trim_end_matches('/');
    let mut content: Value = serde_json::from_str(&std::fs::read_to_string(&manifest).unwrap()).unwrap();
    content["copies"].as_array_mut().unwrap().iter_mut().for_each(|copy| copy["source"]["endpoint"] = json!(down));
    std::fs::write(&manifest, content.to_string()).unwrap();
    lab.emulator.remove(NORTH, Collection::DocumentModels, "invoices-v3.0-1");
    let mut command = check(&lab, &["--timeout", "5s", "--manifest", &manifest]);
    let same = "west: of 5 models and classifiers: 5 same";
    let output =
        run(command.env("FRCOPY_RESOURCE_EAST_ENDPOINT", down)).expect(7, &[same, "4 same as recorded, 1 missing"]);
    assert_eq!((ids(&output, "west").len(), ids(&output, "north").len()), (5, 5));
    // A target that is down as well does not hide the other one.
    let output = run(command.env("FRCOPY_RESOURCE_NORTH_ENDPOINT", UnusedHost::new().url()))
        .expect(7, &[same, "error: north: "]);
    assert_eq!((ids(&output, "west").len(), output.stdout.lines().count()), (5, 5));
}

#[test]
fn what_cannot_be_checked_together_is_refused() {
    let lab = three(1);
    let check = |targets: &[&str]| lab.named_command(&[&["check", "--from", "east"], targets].concat());
    run(&mut check(&["--to", "west", "--to", "WEST"]))
        .expect(2, &["the target west is given twice", "name each target once"]);
    run(&mut check(&["--to", "west", "--to", "east"])).expect(2, &["source and target are the same resource"]);
}

#[test]
fn an_authorization_whose_answer_is_lost_is_requested_again_although_the_same_id_is_copied_to_another_target() {
    let options = Options {
        resources: 3,
        models: 1,
        operation_time: Duration::from_secs(1),
        lose_answers: vec![AnswerTo::Authorize],
        ..Options::default()
    };
    let lab = EmulatedPair::with_options(&options);
    let output = run(&mut copy(&lab, &["invoices-v4.0-1"]))
        .expect(0, &["west: of 1 model or classifier: 1 copied", "north: of 1 model or classifier: 1 copied"]);
    assert_eq!((ids(&output, "west").len(), ids(&output, "north").len()), (1, 1));
}
