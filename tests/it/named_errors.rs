//! Errors name a resource, its endpoint, and where the wrong value was set; slips on the command line are recognized.

use frcopy::emulator::EmulatedResource;

use crate::named::{east_and_west, run_with_keys};
use crate::support::emulated_pair::EmulatedPair;
use crate::support::{UnusedHost, frcopy, run};

const MODEL: &str = "invoices-v4.0-1";

#[test]
fn the_refused_key_of_a_named_resource_is_described_by_name_endpoint_and_place() {
    let (pair, file) = east_and_west(1);
    let EmulatedResource { endpoint, .. } = &pair.emulator.resources()[0];
    let place = format!("{}:1", file.path().display());
    let key = format!("help: check that the key of east from EAST_KEY ({place}) is a key of the endpoint of east");
    let address = format!("{endpoint} ({place})");
    for arguments in [&["list", "east"][..], &["copy", MODEL, "--from", "east", "--to", "west"]] {
        let mut command = file.command(arguments);
        let output = run(command.env("EAST_KEY", "wrong")).expect(4, &["error: east refused to ", &key, &address]);
        assert!(!output.stderr.contains("the source") && !output.stderr.contains("FRCOPY_"), "{output:#?}");
    }
}

#[test]
fn a_wrong_region_is_described_by_the_setting_that_has_it() {
    let (pair, file) = east_and_west(1);
    let model = pair.custom_model();
    let text =
        std::fs::read_to_string(file.path()).unwrap().replace("region = \"westus2\"", "region = \"northeurope\"");
    std::fs::write(file.path(), text).unwrap();
    let line = format!("region of west ({}:6)", file.path().display());
    let output = run_with_keys(&pair, &mut file.command(&["copy", &model, "--from", "east", "--to", "west"])).expect(
        2,
        &[&format!("error: west is in westus2, and {line} is northeurope"), &format!("set {line} to westus2")],
    );
    assert!(!output.stderr.contains("--target-region"), "{output:#?}");
    run(pair.command(&["copy", &model]).env("FRCOPY_TARGET_REGION", "northeurope"))
        .expect(2, &["and FRCOPY_TARGET_REGION is northeurope", "set FRCOPY_TARGET_REGION to westus2"]);
    run(pair.command(&["copy", &model]).env("FRCOPY_TARGET_REGION", "north-europe"))
        .expect(2, &["error: FRCOPY_TARGET_REGION is not usable"]);
}

#[test]
fn a_wrong_address_of_the_target_is_named_although_the_source_refuses() {
    let (pair, file) = east_and_west(1);
    let model = pair.custom_model();
    let text = std::fs::read_to_string(file.path()).unwrap().replace("accounts/target", "accounts/other");
    std::fs::write(file.path(), text).unwrap();
    let output = run_with_keys(&pair, &mut file.command(&["copy", &model, "--from", "east", "--to", "west"]));
    let line = format!("resource-id and region of west ({}:6)", file.path().display());
    assert!(output.stderr.contains(&line) && !output.stderr.contains("--target-"), "{output:#?}");
}

#[test]
fn a_side_without_a_name_beside_one_with_a_name_leads_to_the_names() {
    let (_pair, file) = east_and_west(1);
    for command in [&["copy", MODEL][..], &["check"]] {
        run(&mut file.command(&[command, &["--to", "west"]].concat()))
            .expect(2, &["the source endpoint is missing", "help: give --from NAME: east, west"]);
        run(file.command(&[command, &["--from", "east"]].concat()).env("EAST_KEY", "x"))
            .expect(2, &["the target endpoint is missing", "help: give --to NAME: east, west"]);
    }
}

#[test]
fn several_names_after_one_option_lead_to_its_repetition() {
    let (_pair, file) = east_and_west(1);
    let repeat = "repeat it: --to west --to north";
    let copy =
        |rest: &[&str]| run(file.command(&[&["copy", "--from", "east"], rest].concat()).env("EAST_KEY", "a-key"));
    copy(&["--all", "--to", "west,north"]).expect(2, &["--to \"west,north\" is not one name", repeat]);
    copy(&["--all", "--to", "west", "north"]).expect(2, &["--to takes one name", repeat]);
    copy(&["a-model", "--to", "east", "west"])
        .expect(2, &["west is given as the id of a model", "repeat --to for each target: --to west"]);
    copy(&["a-model", "--to", "a b"]).expect(2, &["--to \"a b\" is not usable"]);
}

#[test]
fn an_option_or_command_that_does_not_exist_leads_to_the_right_one() {
    for (option, right) in [("--source", "--from NAME"), ("--target", "--to NAME")] {
        let output = run(frcopy().args(["copy", "a", option, "east"])).expect(2, &["copy has no option", right]);
        assert!(!output.stderr.contains("-key"), "{output:#?}");
    }
    run(frcopy().args(["copy", "a", "--api-versoin", "v4.0"])).expect(
        2,
        &["error: copy has no option --api-versoin", "help: did you mean --api-version? frcopy copy --help"],
    );
    run(frcopy().args(["authorize", "--target-model-id", "a"])).expect(
        2,
        &["error: authorize has no option", "help: give the id of the copy without an option; frcopy author"],
    );
    run(frcopy().args(["list", "--xyz"])).expect(2, &["error: list has no option --xyz", "help: frcopy list --help"]);
    run(frcopy().arg("lsit")).expect(2, &["error: there is no command \"lsit\"", "help: did you mean frcopy list?"]);
    run(frcopy().arg("xyz")).expect(2, &["error: there is no command \"xyz\"", "help: choose one of copy, wait"]);
    run(frcopy().arg("copy")).expect(2, &["error: the command line lacks MODEL_ID or ", "help: frcopy copy --help"]);
    run(frcopy().arg("list")).expect(2, &["error: the command line lacks <RESOURCE>", "help: frcopy list --help"]);
}

#[test]
fn an_id_that_the_source_does_not_have_leads_to_the_nearest_one() {
    let (pair, file) = east_and_west(2);
    let list = format!("frcopy list east --config {} shows the ids", file.path().display());
    for (id, help) in [
        ("Invoices-v4.0-2", format!("help: did you mean invoices-v4.0-2? {list}")),
        ("invoces-v4.0-1", format!("help: did you mean invoices-v4.0-1? {list}")),
        ("contracts", format!("help: {list}; check the id, that the endpoint of east http")),
    ] {
        let arguments = ["copy", id, "--from", "east", "--to", "west"];
        let error = format!("error: east has no model or classifier {id}\n");
        let output = run_with_keys(&pair, &mut file.command(&arguments)).expect(5, &[&error, &help]);
        assert_eq!(output.stderr.matches("cause: ").count(), 1, "{output:#?}");
    }
    pair.copy(&["contracts"]).expect(5, &["help: frcopy list source shows the ids"]);
}

#[test]
fn values_in_the_place_of_others_and_misspelt_variables_are_recognized() {
    let unused = UnusedHost::new();
    let id = "/subscriptions/1/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/a";
    let list = |endpoint: &str, key: &str| {
        run(frcopy().args(["list", "source"]).env("FRCOPY_SOURCE_ENDPOINT", endpoint).env("FRCOPY_SOURCE_KEY", key))
    };
    for (endpoint, texts) in [
        (id, ["it is the id of a resource, not an endpoint", "az resource show"]),
        ("contoso-east", ["it is a name", "https://contoso-east.cognitiveservices.azure.com"]),
        ("\"https://contoso-east.cognitiveservices.azure.com\"", ["it has quotes around it", "remove the quotes"]),
    ] {
        list(endpoint, "0123456789")
            .expect(2, &["the source endpoint (FRCOPY_SOURCE_ENDPOINT) is not usable", texts[0], texts[1]]);
    }
    for (key, text) in
        [("'0123456789'", "it has quotes"), ("https://a.example", "it is a URL, not a key"), (id, "not a key")]
    {
        let output = list(&unused.url(), key).expect(2, &["the source key from FRCOPY_SOURCE_KEY is not usable", text]);
        assert!(!output.stderr.contains(key), "{output:#?}");
    }
    run(frcopy().args(["list", "source"]).env("FRCOPY_SOURCE_ENPOINT", unused.url())).expect(
        2,
        &["the source endpoint is missing", "rename FRCOPY_SOURCE_ENPOINT, which is set", "to FRCOPY_SOURCE_ENDPOINT"],
    );
    assert!(unused.got_no_connection());
}

#[test]
fn the_file_of_a_key_is_named_with_its_whole_path() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("empty.key"), "\n").unwrap();
    let list = |file: &str| {
        let mut command = frcopy();
        command.args(["list", "source", "--source-endpoint", "https://a.example", "--source-key-file", file]);
        run(command.current_dir(folder.path()))
    };
    list("empty.key")
        .expect(2, &["the source key from the file empty.key (--source-key-file) is not usable: it is empty"]);
    let path = folder.path().canonicalize().unwrap().join("missing.key");
    list("missing.key").expect(2, &[&format!("the source key cannot be read from {}", path.display())]);
    list("~/missing.key").expect(2, &["help: write the whole path: frcopy does not expand ~"]);
}

#[test]
fn a_time_limit_of_more_than_a_day_is_too_long() {
    for text in ["2d", "25h", "1w"] {
        let pair = EmulatedPair::new(1);
        pair.copy(&[MODEL, "--timeout", text]).expect(2, &[&format!("--timeout {text:?} is longer than 24h")]);
    }
}
