//! Invalid settings: each is refused with exit code 2 and a remedy before the first request.

use crate::support::{MODEL, RESOURCE_ID, SOURCE_KEY, ScriptedService, TARGET_KEY, V2_1, V4_0, frcopy, run};

#[test]
fn a_missing_setting_is_named_with_its_variable() {
    let service = ScriptedService::new(V4_0);
    for (variable, what) in [
        ("FRCOPY_SOURCE_ENDPOINT", "the source endpoint is missing"),
        ("FRCOPY_TARGET_ENDPOINT", "the target endpoint is missing"),
        ("FRCOPY_SOURCE_KEY", "the source key is missing"),
        ("FRCOPY_TARGET_KEY", "the target key is missing"),
    ] {
        let help = format!("help: set {variable}");
        run(service.copy().env_remove(variable)).expect(2, &[what, &help]);
        run(service.copy().env(variable, "  ")).expect(2, &[what, &help]);
    }
    assert_eq!(service.seen().len(), 0);
}

#[test]
fn an_invalid_value_is_refused_with_its_name_and_a_remedy() {
    for (arguments, what) in [
        (
            &["--source-endpoint", "http://contoso.cognitiveservices.azure.com"][..],
            "the source endpoint (--source-endpoint) is not usable: http",
        ),
        (
            &["--target-endpoint", "https://a.example/formrecognizer/v2.1"],
            "the target endpoint (--target-endpoint) is not usable: it has a path",
        ),
        (&["--target-endpoint", "https://"], "the target endpoint (--target-endpoint) is not usable"),
        (&["--source-key", "two words"], "the source key from --source-key is not usable"),
        (&["--source-key-file", "/nowhere/key"], "the source key cannot be read from /nowhere/key"),
        (&["--target-resource-id", "contoso"], "--target-resource-id is not usable"),
        (&["--target-region", "west-us"], "--target-region is not usable"),
        (&["--target-model-id", "a b"], "--target-model-id is not usable"),
        (&["--target-model-id", "prebuilt-invoice"], "it is a prebuilt model"),
        (&["--timeout", "30"], "--timeout \"30\" is not a duration"),
        (&["--timeout", "-5s"], "--timeout"),
        (&["--timeout", "25h"], "--timeout \"25h\" is longer than 24h"),
        (&["--poll-interval", "1ns"], "--poll-interval \"1ns\" is not a duration"),
        (&["--source-endpoint", "https://https://a.example//"], "it has https:// twice"),
        (&["--poll-interval", "soon"], "--poll-interval \"soon\" is not a duration"),
        (&["--tag", "backup"], "--tag \"backup\" is not a tag"),
        (&["--tag", "a=1", "--tag", "a=2"], "--tag \"a\" is given twice"),
    ] {
        let service = ScriptedService::new(V4_0);
        let mut command = frcopy();
        command
            .env("FRCOPY_SOURCE_ENDPOINT", service.source.uri())
            .env("FRCOPY_TARGET_ENDPOINT", service.target.uri())
            .env("FRCOPY_SOURCE_KEY", SOURCE_KEY)
            .env("FRCOPY_TARGET_KEY", TARGET_KEY);
        let output = run(command.args(["copy", MODEL]).args(arguments)).expect(2, &[what]);
        assert!(output.stderr.contains("help: ") || output.stderr.contains("Usage"), "{output:#?}");
        assert_eq!((service.seen().len(), output.stdout.as_str()), (0, ""));
    }
}

#[test]
fn an_invalid_model_id_or_api_version_is_refused() {
    for (arguments, what) in [
        (&["copy", "a/b"][..], "the model id is not usable"),
        (&["copy", "x"], "the model id is not usable: it has 1 character"),
        (&["copy", ".."], "the model id is not usable"),
        (&["copy", "prebuilt-read"], "it is a prebuilt model"),
        (&["copy", MODEL, "--api-version", "2.0"], "--api-version is not usable: it is retired or a preview"),
        (&["copy", MODEL, "--api-version", "2024-02-29-preview"], "--api-version is not usable"),
    ] {
        run(frcopy().args(arguments)).expect(2, &[what, "help: "]);
    }
}

#[test]
fn contradicting_options_are_refused() {
    let service = ScriptedService::new(V2_1);
    let half = |arguments: &[&str]| run(service.bare_copy().args([MODEL, "--api-version", "2.1"]).args(arguments));
    half(&[]).expect(2, &["a v2.1 copy needs the resource id and the region of the target"]);
    half(&["--target-region", "westus2"])
        .expect(2, &["a v2.1 copy needs the resource id and the region of the target"]);
    half(&["--target-resource-id", RESOURCE_ID])
        .expect(2, &["a v2.1 copy needs the resource id and the region of the target"]);
    let address = ["--target-resource-id", RESOURCE_ID, "--target-region", "westus2"];
    run(service.bare_copy().args(["my-model", "--api-version", "2.1"]).args(address)).expect(2, &["which is a UUID"]);
    run(service.copy().args(["--kind", "classifier"])).expect(2, &["v2.1 does not copy classifiers", "4.0"]);
    run(service.copy().args(["-q", "-v"])).expect(2, &["cannot be used with"]);
    run(service.copy().arg("--all")).expect(2, &["cannot be used with"]);
    run(service.copy().args(["--if-exists", "replace", "--no-verify"])).expect(2, &["not possible with --no-verify"]);
    run(service.copy().env("FRCOPY_SOURCE_KEY_FILE", "/nowhere"))
        .expect(2, &["FRCOPY_SOURCE_KEY and FRCOPY_SOURCE_KEY_FILE are both set"]);
    run(service.copy().args(["--source-key-file", "-", "--target-key-file", "-"]))
        .expect(2, &["only one of the keys and the ids can come from stdin"]);
    assert_eq!(service.seen().len(), 0);
}

#[test]
fn the_model_id_can_be_an_option() {
    let service = ScriptedService::new(V4_0);
    run(service.bare_copy().args(["--model-id", MODEL])).expect(0, &[]);
}

#[test]
fn resource_id_and_region_of_the_target_can_come_from_the_environment() {
    let service = ScriptedService::new(V2_1);
    let mut command = service.bare_copy();
    command.env("FRCOPY_TARGET_RESOURCE_ID", RESOURCE_ID).env("FRCOPY_TARGET_REGION", "West US 2");
    run(command.args([MODEL, "--api-version", "2.1"])).expect(0, &[]);
    let start = service.only(crate::support::Step::Start);
    assert!(start.body.contains(r#""targetResourceRegion":"westus2""#), "{}", start.body);
}

#[test]
fn a_call_without_a_model_id_or_command_shows_the_usage() {
    run(frcopy().arg("copy"))
        .expect(2, &["error: the command line lacks MODEL_ID or ", "--include <GLOB>\nhelp: frcopy copy --help"]);
    run(&mut frcopy()).expect(2, &["Usage: frcopy <COMMAND>"]);
}

#[test]
fn slashes_at_the_end_of_an_endpoint_are_removed() {
    let service = ScriptedService::new(V4_0);
    let endpoint = format!("{}//", service.source.uri());
    run(service.copy().env("FRCOPY_SOURCE_ENDPOINT", endpoint)).expect(0, &[]);
    assert!(service.seen().iter().all(|seen| !seen.line.contains("//")), "{:#?}", service.seen());
}
