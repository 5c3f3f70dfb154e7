//! Resources that are given by account name: their settings come from the Azure CLI.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use frcopy::emulator::{Collection, EmulatedResource, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::emulated_pair::{EmulatedPair, TARGET};
use crate::support::{SOURCE_KEY, frcopy, run};

/// A script in the place of `az`. It knows the two emulated resources and records its calls.
pub(crate) struct FakeAzureCli {
    pub(crate) folder: TempDir,
}

impl FakeAzureCli {
    fn for_pair(pair: &EmulatedPair) -> Self {
        Self::for_pair_with(pair, "S0", &json!(null))
    }

    /// Both accounts have this pricing tier and these rate limits.
    pub(crate) fn for_pair_with(pair: &EmulatedPair, tier: &str, call_rate_limit: &Value) -> Self {
        let [source, target, ..] = pair.emulator.resources() else { panic!("two resources") };
        let entry = |name, resource| Self::entry_with(name, resource, tier, call_rate_limit);
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> \"$(dirname \"$0\")/calls\"\ncase \"$*\" in\n{}{}\
             *) echo \"ERROR: (ResourceNotFound) The Resource was not found.\" >&2; exit 3;;\nesac\n",
            entry("contoso", source),
            entry("fabrikam", target)
        );
        Self::with_script(&script)
    }

    pub(crate) fn with_script(script: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("az");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn entry(name: &str, resource: &EmulatedResource) -> String {
        Self::entry_with(name, resource, "S0", &json!(null))
    }

    fn entry_with(name: &str, resource: &EmulatedResource, tier: &str, call_rate_limit: &Value) -> String {
        let details = json!({"id": resource.resource_id, "kind": "FormRecognizer", "location": "WEST US 2",
            "sku": {"name": tier, "tier": null}, "properties": {"endpoint": format!("{}/", resource.endpoint),
                "disableLocalAuth": false, "callRateLimit": call_rate_limit}});
        let keys = json!({"key1": resource.key, "key2": "unused"});
        format!(
            "\"cognitiveservices account show --name {name} \"*) echo '{details}';;\n\
             \"cognitiveservices account keys list --name {name} \"*) echo '{keys}';;\n"
        )
    }

    pub(crate) fn calls(&self) -> String {
        fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = frcopy();
        command.env("PATH", format!("{}:/usr/bin:/bin", self.folder.path().display())).args(arguments);
        command
    }
}

/// The rate limits of a standard account, in the words of the Azure CLI.
pub(crate) fn standard_limits() -> Value {
    let rule = |count: f64, patterns: &[(&str, &str)]| {
        let patterns =
            patterns.iter().map(|(method, path)| json!({"method": method, "path": format!("formrecognizer/{path}")}));
        json!({"key": "any", "count": count, "renewalPeriod": 1.0, "minCount": null, "dynamicThrottlingEnabled": true,
            "matchPatterns": patterns.collect::<Vec<_>>()})
    };
    json!({"count": null, "renewalPeriod": null, "rules": [
        rule(50.0, &[("GET", "operations/{operationId}"), ("GET", "documentModels/{modelId}")]),
        rule(10.0, &[("GET", "documentModels"), ("GET", "custom/models"), ("GET", "info"), ("GET", "operations")]),
        rule(5.0, &[("POST", "documentModels:authorizeCopy"), ("POST", "documentModels/{modelId}:copyTo")]),
    ]})
}

const NAMED: [&str; 8] = [
    "--source-account",
    "contoso",
    "--source-resource-group",
    "east",
    "--target-account",
    "fabrikam",
    "--target-resource-group",
    "west",
];

#[test]
fn account_names_and_resource_groups_are_enough_for_a_v2_1_copy() {
    let pair = EmulatedPair::new(1);
    let az = FakeAzureCli::for_pair(&pair);
    let model = pair.custom_model();
    let mut command = az.command(&["copy", &model, "--poll-interval", "20ms", "-vv"]);
    command.args(NAMED).args(["--source-key-from-az", "--target-key-from-az", "--target-subscription", "2222"]);
    let output = run(&mut command).expect(0, &["copying with API v2.1"]);
    for resource in pair.emulator.resources() {
        assert!(!output.stderr.contains(&resource.key), "leaked: {output:#?}");
    }
    assert!(pair.ids(TARGET, Collection::CustomModels).contains(output.stdout.trim()));
    let calls = az.calls();
    assert!(calls.contains("account show --name contoso --resource-group east --output json\n"), "{calls}");
    assert!(
        calls.contains("keys list --name fabrikam --resource-group west --subscription 2222 --output json\n"),
        "{calls}"
    );
    assert_eq!(calls.lines().count(), 4, "{calls}");
}

#[test]
fn account_names_from_the_environment_work_with_a_key_from_the_environment() {
    let pair = EmulatedPair::new(1);
    let az = FakeAzureCli::for_pair(&pair);
    let mut command = az.command(&["list", "target", "-q"]);
    command
        .env("FRCOPY_TARGET_ACCOUNT", "fabrikam")
        .env("FRCOPY_TARGET_RESOURCE_GROUP", "west")
        .env("FRCOPY_TARGET_KEY", &pair.emulator.resources()[TARGET].key);
    run(&mut command).expect(0, &[]);
    assert_eq!(az.calls().lines().count(), 1);
    // With an endpoint on the command line the Azure CLI is not called.
    run(command.args(["--target-endpoint", &pair.emulator.resources()[TARGET].endpoint])).expect(0, &[]);
    assert_eq!(az.calls().lines().count(), 1);
}

#[test]
fn a_name_can_stand_for_an_account_whose_endpoint_and_key_the_azure_cli_says() {
    let pair = EmulatedPair::new(1);
    let az = FakeAzureCli::for_pair(&pair);
    let file = az.folder.path().join("config.toml");
    let table = |name: &str, account: &str, group: &str| {
        format!("[resources.{name}]\naccount = \"{account}\"\nresource-group = \"{group}\"\nkey-from-az = true\n")
    };
    let text =
        table("east", "contoso", "east") + &table("west", "fabrikam", "west") + &table("north", "nosuch", "west");
    fs::write(&file, &text).unwrap();
    let named = |arguments: &[&str]| {
        let mut command = az.command(&[arguments, &["--config", file.to_str().unwrap()]].concat());
        run(&mut command)
    };
    let copy = ["copy", &pair.custom_model(), "--from", "east", "--to", "west", "--poll-interval", "20ms"];
    named(&copy).expect(0, &["copying with API v2.1"]);
    named(&["list", "north"])
        .expect(4, &["the Azure CLI did not find nosuch, the account of north", "resource-group of north"]);
    fs::write(&file, text.replace("resource-group = ", "tenant = ")).unwrap();
    named(&["list", "west"]).expect(2, &["the resource group of west is missing"]);
}

#[test]
fn the_rate_limits_that_the_azure_cli_names_are_kept_from_the_first_request_on() {
    let authorized = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&authorized);
    // The emulator has no limits, and would accept all requests at once.
    let options = Options { models: 4, operation_time: Duration::ZERO, ..Options::default() };
    let pair = EmulatedPair::with_observer(&options, move |served| {
        if served.path.contains(":authorizeCopy") {
            noted.lock().unwrap().push(Instant::now());
        }
    });
    let mut limits = standard_limits();
    limits["rules"][2]["count"] = json!(1.0);
    let az = FakeAzureCli::for_pair_with(&pair, "S0", &limits);
    let mut command = az.command(&["copy", "--include", "invoices-v4.0-*", "--poll-interval", "100ms"]);
    run(command.args(NAMED).args(["--source-key-from-az", "--target-key-from-az"])).expect(0, &["4 copied"]);
    let times = authorized.lock().unwrap();
    assert_eq!(times.len(), 4);
    assert!(times[3] - times[0] > Duration::from_millis(2500), "{times:?}");
}

#[test]
fn an_error_of_the_azure_cli_is_shown_as_the_cause() {
    let az = FakeAzureCli::for_pair(&EmulatedPair::new(0));
    let mut command = az.command(&["list", "source", "--source-account", "nosuch", "--source-resource-group", "east"]);
    let texts = [
        "the Azure CLI did not find the source nosuch",
        "cause: ERROR: (ResourceNotFound) The Resource was not found.",
        "--source-account, --source-resource-group and --source-subscription",
    ];
    run(command.env("FRCOPY_SOURCE_KEY", SOURCE_KEY)).expect(4, &texts);
    let odd = FakeAzureCli::with_script("#!/bin/sh\necho '{\"key1\": 1, \"secret\": \"5ecret\"}'\n");
    let output = run(odd.command(&["copy", "my-model"]).args(NAMED)).expect(1, &["has an unknown format"]);
    assert!(!output.stderr.contains("5ecret"), "{output:#?}");
}

#[test]
fn a_setting_that_the_azure_cli_needs_is_named_when_it_is_missing() {
    let pair = EmulatedPair::new(0);
    let az = FakeAzureCli::for_pair(&pair);
    run(&mut az.command(&["list", "source", "--source-account", "contoso"]))
        .expect(2, &["the resource group of the source contoso is missing", "--source-resource-group"]);
    run(&mut az.command(&["list", "source", "--source-endpoint", "https://a.example", "--source-key-from-az"]))
        .expect(2, &["--source-key-from-az needs the name of the resource"]);
    run(az.command(&["list", "source"]).args(NAMED)).expect(2, &["the source key is missing", "--source-key-from-az"]);
    let empty = TempDir::new().unwrap();
    let mut without_az = az.command(&["list", "source"]);
    run(without_az.args(NAMED).env("PATH", empty.path())).expect(2, &["az was not found on PATH", "--source-endpoint"]);
}

#[test]
fn an_azure_cli_that_hangs_is_killed_at_the_deadline() {
    let az = FakeAzureCli::with_script("#!/bin/sh\nsleep 600 &\necho $! > \"$(dirname \"$0\")/calls\"\nwait\n");
    let began = Instant::now();
    let mut command = az.command(&["list", "source", "--timeout", "2s"]);
    run(command.args(NAMED).env("FRCOPY_SOURCE_KEY", SOURCE_KEY))
        .expect(7, &["the Azure CLI did not answer", "--source-account"]);
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    assert_killed(&az.calls());
}

/// Asserts that a process ends soon: it is gone then, or waits for its parent to read how it ended.
#[track_caller]
pub(crate) fn assert_killed(process: &str) {
    let began = Instant::now();
    loop {
        let state = fs::read_to_string(format!("/proc/{}/stat", process.trim())).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{state}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_azure_cli_does_not_inherit_keys_and_tokens() {
    let pair = EmulatedPair::new(1);
    let source = &pair.emulator.resources()[0];
    let az = FakeAzureCli::with_script(&format!(
        "#!/bin/sh\nenv > \"$(dirname \"$0\")/calls\"\ncase \"$*\" in\n{}esac\n",
        FakeAzureCli::entry("contoso", source)
    ));
    let mut command = az.command(&["list", "source", "-q"]);
    command.args(NAMED).env("FRCOPY_SOURCE_KEY", &source.key).env("FRCOPY_TARGET_TOKEN", SOURCE_KEY);
    run(command.env("AZURE_CONFIG_DIR", "/nowhere")).expect(0, &[]);
    let environment = az.calls();
    assert!(environment.contains("AZURE_CONFIG_DIR=/nowhere"), "{environment}");
    assert!(!environment.contains("FRCOPY_") && !environment.contains(&source.key), "{environment}");

    // Nor the keys that the configuration file names.
    let file = az.folder.path().join("config.toml");
    let text = "[resources.east]\naccount = \"contoso\"\nresource-group = \"east\"\nkey-env = \"EAST_KEY\"\n\
                [resources.west]\nendpoint = \"https://west.example\"\nkey-env = \"WEST_KEY\"\n";
    fs::write(&file, text).unwrap();
    let mut command = az.command(&["list", "east", "-q", "--config", file.to_str().unwrap()]);
    run(command.env("EAST_KEY", &source.key).env("WEST_KEY", "an0ther-key-of-west-0123456789").env("OTHER", "other"))
        .expect(0, &[]);
    let environment = az.calls();
    assert!(environment.contains("OTHER=other") && !environment.contains("_KEY"), "{environment}");
}
