//! `frcopy doctor` asks the Azure CLI for what no read of the service shows: the pricing tier, and whose a resource id is.

use std::fs;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use frcopy::emulator::Options;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::az::{FakeAzureCli, assert_killed, standard_limits};
use crate::doctor::{Findings, answer_of_service};
use crate::proxy::TunnelProxy;
use crate::support::emulated_pair::{EmulatedPair, TARGET};
use crate::support::raw_server::{AUTHORITY, tls_server};
use crate::support::{SOURCE_KEY, TARGET_KEY, frcopy, run};

/// A host that only the proxy can connect to.
const CONTOSO: &str = "https://contoso.invalid";
const ID: &str = "/subscriptions/2222/resourceGroups/west/providers/Microsoft.CognitiveServices/accounts/contoso";
const LIMITS: &str = "S0; reads: 50 per second; lists: 10 per second; management calls: 5 per second";

/// A resource that is not on this machine, and a script in the place of the Azure CLI.
struct Remote {
    proxy: TunnelProxy,
    az: FakeAzureCli,
}

impl Remote {
    fn with_script(script: &str) -> Self {
        let proxy = TunnelProxy::to(tls_server(answer_of_service));
        let script = format!("#!/bin/sh\necho \"$@\" >> \"$(dirname \"$0\")/calls\"\n{script}");
        Self { proxy, az: FakeAzureCli::with_script(&script) }
    }

    /// The Azure CLI prints this.
    fn answering(answer: &Value) -> Self {
        Self::with_script(&format!("echo '{answer}'\n"))
    }

    fn doctor(&self, side: &str) -> Command {
        let mut command = self.doctor_with_table(side);
        command.args(["--output", "json"]);
        command
    }

    fn doctor_with_table(&self, side: &str) -> Command {
        let mut command = self.az.command(&["doctor"]);
        command.env(format!("FRCOPY_{side}_ENDPOINT"), CONTOSO).env(format!("FRCOPY_{side}_KEY"), SOURCE_KEY);
        command.env("HTTPS_PROXY", self.proxy.url()).env("SSL_CERT_FILE", AUTHORITY);
        command
    }

    fn doctor_of_target(&self) -> Command {
        let mut command = self.doctor("TARGET");
        command.env("FRCOPY_TARGET_RESOURCE_ID", ID).env("FRCOPY_TARGET_REGION", "westus2");
        command
    }
}

fn account(name: &str, endpoint: &str) -> Value {
    let id = ID.replace("accounts/contoso", &format!("accounts/{name}"));
    json!({"id": id, "kind": "FormRecognizer", "location": "westus2", "name": name, "sku": {"name": "S0", "tier": null},
        "properties": {"endpoint": format!("{endpoint}/"), "callRateLimit": standard_limits(),
            "endpoints": {"FormRecognizer": format!("{endpoint}/")}}})
}

#[test]
fn the_tier_of_an_account_that_the_azure_cli_was_asked_for_is_known() {
    for (tier, limits, text) in [
        ("S0", standard_limits(), LIMITS),
        ("S0", json!(null), "\"S0\""),
        ("F0", json!(null), "F0, the free one: one request per second of all kinds"),
    ] {
        let pair = EmulatedPair::with_options(&Options { models: 1, ..Options::default() });
        let az = FakeAzureCli::for_pair_with(&pair, tier, &limits);
        let mut command = az.command(&["doctor", "--output", "json", "--source-key-from-az", "--target-key-from-az"]);
        command.args(["--source-account", "contoso", "--source-resource-group", "east"]);
        command.args(["--target-account", "fabrikam", "--target-resource-group", "west"]);
        let findings = Findings::of(&mut command);
        findings.expect(0, &[("tier", "ok", text)]);
        let own = format!("the resource id is its own: {}", pair.emulator.resources()[TARGET].resource_id);
        findings.expect_of("target", 0, &[("tier", "ok", text), ("region", "ok", &own)]);
        assert_eq!(az.calls().lines().count(), 4, "nothing is asked twice: {}", az.calls());
    }
}

#[test]
fn an_account_is_found_by_its_endpoint_among_those_of_the_subscription() {
    let other = account("fabrikam", "https://fabrikam.invalid");
    let remote = Remote::answering(&json!([{"id": 1}, other, account("contoso", CONTOSO)]));
    Findings::of(&mut remote.doctor("SOURCE")).expect(0, &[("tier", "ok", LIMITS)]);
    assert_eq!(remote.az.calls(), "cognitiveservices account list --output json\n");
    let remote = Remote::answering(&json!([other]));
    let text = "the Azure CLI's default subscription has no account with this endpoint";
    Findings::of(&mut remote.doctor("SOURCE")).expect(0, &[("tier", "notChecked", text)]);
}

#[test]
fn a_resource_id_that_is_that_of_another_endpoint_is_a_warning() {
    let remote = Remote::answering(&account("contoso", CONTOSO));
    let own = format!("the resource id is its own: {ID}");
    Findings::of(&mut remote.doctor_of_target()).expect_of(
        "target",
        0,
        &[("tier", "ok", LIMITS), ("region", "ok", &own)],
    );
    let call =
        "cognitiveservices account show --name contoso --resource-group west --subscription 2222 --output json\n";
    assert_eq!(remote.az.calls(), call);
    let remote = Remote::answering(&account("contoso", "https://contoso-west.invalid"));
    let other = format!("the resource id is that of another endpoint: {ID}");
    let remedy = format!("set --target-resource-id to the resource id of {CONTOSO}");
    Findings::of(&mut remote.doctor_of_target()).expect_of(
        "target",
        0,
        &[("region", "warning", &other), ("region", "warning", &remedy)],
    );
}

#[test]
fn a_named_resource_is_asked_for_by_its_resource_id() {
    let remote = Remote::answering(&account("contoso", CONTOSO));
    let file = remote.az.folder.path().join("config.toml");
    let text = format!(
        "[resources.west]\nendpoint = \"{CONTOSO}\"\nkey-env = \"WEST_KEY\"\nresource-id = \"{ID}\"\nregion = \"westus2\"\n"
    );
    fs::write(&file, text).unwrap();
    let mut command = remote.az.command(&["doctor", "west", "--output", "json", "--config", file.to_str().unwrap()]);
    command.env("WEST_KEY", SOURCE_KEY).env("HTTPS_PROXY", remote.proxy.url()).env("SSL_CERT_FILE", AUTHORITY);
    Findings::of(&mut command).expect_of("west", 0, &[("tier", "ok", LIMITS), ("region", "ok", "is its own")]);
}

#[test]
fn without_an_answer_of_the_azure_cli_the_tier_is_not_checked_and_nothing_is_wrong() {
    let ready = Remote::answering(&json!({}));
    let empty = TempDir::new().unwrap();
    let mut without = ready.doctor("SOURCE");
    let absent = ("tier", "notChecked", "the Azure CLI is not installed");
    Findings::of(without.env("PATH", empty.path())).expect(0, &[absent, ("versions", "ok", "")]);
    let text = run(ready.doctor_with_table("SOURCE").env("PATH", empty.path()));
    assert!(
        text.stdout.contains("source    tier            not checked  the Azure CLI is not installed\n"),
        "{text:#?}"
    );
    assert!(text.stderr.contains("source: no check failed\n"), "{text:#?}");

    let key = format!("az login --password {SOURCE_KEY}");
    for (script, reason) in [
        (
            "echo 'ERROR: Please run az login to setup account.' >&2; echo more >&2; exit 1",
            "the Azure CLI: ERROR: Please run az login",
        ),
        (&*format!("echo 'ERROR: {key}' >&2; exit 1"), "the Azure CLI: ERROR: az login --password ***"),
        ("exit 3", "the Azure CLI: it failed"),
        ("echo no JSON", "the output of the Azure CLI has an unknown format"),
        ("echo '{}'", "the output of the Azure CLI has an unknown format"),
    ] {
        let remote = Remote::with_script(script);
        Findings::of(&mut remote.doctor("SOURCE")).expect(0, &[("tier", "notChecked", reason)]);
        Findings::of(&mut remote.doctor_of_target()).expect_of("target", 0, &[("tier", "notChecked", reason)]);
    }
    let mut regional = frcopy();
    regional.args(["doctor", "--output", "json", "--timeout", "1s"]).env("HTTPS_PROXY", "http://127.0.0.1:9");
    regional.env("FRCOPY_SOURCE_ENDPOINT", "https://westus2.api.cognitive.microsoft.com");
    let text = "the address of a region does not name the account";
    Findings::of(regional.env("FRCOPY_SOURCE_KEY", SOURCE_KEY)).expect(7, &[("tier", "notChecked", text)]);
}

#[test]
fn an_azure_cli_that_hangs_is_killed_and_delays_nothing_else() {
    let remote = Remote::with_script("sleep 600 &\necho $! > \"$(dirname \"$0\")/process\"\nwait\n");
    let began = Instant::now();
    let reason = "the Azure CLI did not answer in ";
    Findings::of(remote.doctor("SOURCE").args(["--timeout", "3s"]))
        .expect(0, &[("tier", "notChecked", reason), ("clock", "ok", "")]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_killed(&fs::read_to_string(remote.az.folder.path().join("process")).unwrap());
}

#[test]
fn an_azure_cli_that_hangs_when_it_is_asked_for_a_token_is_killed_and_the_connection_is_checked() {
    let remote = Remote::with_script("sleep 600 &\necho $! > \"$(dirname \"$0\")/process\"\nwait\n");
    let began = Instant::now();
    let mut command = remote.doctor("SOURCE");
    command.env_remove("FRCOPY_SOURCE_KEY").env("FRCOPY_SOURCE_AUTH", "entra").args(["--timeout", "6s"]);
    command.env("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential");
    Findings::of(&mut command)
        .expect(7, &[("authentication", "failed", "no token for the source came in time"), ("connection", "ok", "")]);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_killed(&fs::read_to_string(remote.az.folder.path().join("process")).unwrap());
}

#[test]
fn the_azure_cli_gets_no_key_from_the_doctor() {
    let remote = Remote::with_script("env > \"$(dirname \"$0\")/environment\"; exit 1\n");
    let mut command = remote.doctor("SOURCE");
    command.env("FRCOPY_TARGET_KEY", TARGET_KEY).env("AZURE_CONFIG_DIR", "/nowhere");
    let _ = Findings::of(&mut command);
    let environment = fs::read_to_string(remote.az.folder.path().join("environment")).unwrap();
    assert!(environment.contains("AZURE_CONFIG_DIR=/nowhere"), "{environment}");
    for secret in [SOURCE_KEY, TARGET_KEY, "FRCOPY_"] {
        assert!(!environment.contains(secret), "{environment}");
    }
}
