//! Resources that are given by their names in Azure: the Azure CLI is asked for what a copy needs to know.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use assert_cmd::Command;
use frcopy::emulator::{Collection, Emulated};
use serde_json::json;
use tempfile::TempDir;

use crate::lab::{Lab, SOURCE, TARGET};
use crate::support::{SOURCE_KEY, frcopy, run};

/// A folder with an Azure CLI that knows the lab's two resources, and notes what it is asked.
struct AzureCli {
    folder: TempDir,
}

impl AzureCli {
    fn knowing(lab: &Lab) -> Self {
        let [source, target, ..] = lab.emulator.resources() else { panic!("two resources") };
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> \"$(dirname \"$0\")/asked\"\ncase \"$*\" in\n{}{}\
             *) echo \"ERROR: (ResourceNotFound) The Resource was not found.\" >&2; exit 3;;\nesac\n",
            Self::entry("contoso", source),
            Self::entry("fabrikam", target)
        );
        Self::with_message(&script)
    }

    fn with_message(script: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("az");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn entry(name: &str, resource: &Emulated) -> String {
        let details = json!({"id": resource.resource_id, "kind": "FormRecognizer", "location": "WEST US 2",
            "properties": {"endpoint": format!("{}/", resource.endpoint), "disableLocalAuth": false}});
        let keys = json!({"key1": resource.key, "key2": "unused"});
        format!(
            "\"cognitiveservices account show --name {name} \"*) echo '{details}';;\n\
             \"cognitiveservices account keys list --name {name} \"*) echo '{keys}';;\n"
        )
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.folder.path().join("asked")).unwrap_or_default()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = frcopy();
        command.env("PATH", format!("{}:/usr/bin:/bin", self.folder.path().display())).args(arguments);
        command
    }
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
fn two_names_and_two_groups_are_enough_for_a_v2_1_copy() {
    let lab = Lab::new(1);
    let az = AzureCli::knowing(&lab);
    let model = lab.ids(SOURCE, Collection::CustomModels).into_iter().next().unwrap();
    let mut command = az.command(&["copy", &model, "--poll-interval", "20ms", "-vv"]);
    command.args(NAMED).args(["--source-key-from-az", "--target-key-from-az", "--target-subscription", "2222"]);
    let ending = run(&mut command).expect(0, &["copying with API v2.1"]);
    for resource in lab.emulator.resources() {
        assert!(!ending.stderr.contains(&resource.key), "leaked: {ending:#?}");
    }
    assert!(lab.ids(TARGET, Collection::CustomModels).contains(ending.stdout.trim()));
    let asked = az.asked();
    assert!(asked.contains("account show --name contoso --resource-group east --output json\n"), "{asked}");
    assert!(
        asked.contains("keys list --name fabrikam --resource-group west --subscription 2222 --output json\n"),
        "{asked}"
    );
    assert_eq!(asked.lines().count(), 4, "{asked}");
}

#[test]
fn names_in_the_environment_do_as_well_and_keys_may_come_from_elsewhere() {
    let lab = Lab::new(1);
    let az = AzureCli::knowing(&lab);
    let mut command = az.command(&["list", "target", "-q"]);
    command
        .env("FRCOPY_TARGET_ACCOUNT", "fabrikam")
        .env("FRCOPY_TARGET_RESOURCE_GROUP", "west")
        .env("FRCOPY_TARGET_KEY", &lab.emulator.resources()[TARGET].key);
    run(&mut command).expect(0, &[]);
    assert_eq!(az.asked().lines().count(), 1);
    // An endpoint on the command line says which resource is meant, and nobody else is asked.
    run(command.args(["--target-endpoint", &lab.emulator.resources()[TARGET].endpoint])).expect(0, &[]);
    assert_eq!(az.asked().lines().count(), 1);
}

#[test]
fn what_the_azure_cli_says_on_failure_is_shown() {
    let az = AzureCli::knowing(&Lab::new(0));
    let mut command = az.command(&["list", "source", "--source-account", "nosuch", "--source-resource-group", "east"]);
    let texts = [
        "the Azure CLI did not find the source nosuch",
        "cause: ERROR: (ResourceNotFound) The Resource was not found.",
        "--source-account, --source-resource-group and --source-subscription",
    ];
    run(command.env("FRCOPY_SOURCE_KEY", SOURCE_KEY)).expect(4, &texts);
    let odd = AzureCli::with_message("#!/bin/sh\necho '{\"key1\": 1, \"secret\": \"5ecret\"}'\n");
    let ending = run(odd.command(&["copy", "my-model"]).args(NAMED)).expect(1, &["has an unknown format"]);
    assert!(!ending.stderr.contains("5ecret"), "{ending:#?}");
}

#[test]
fn what_cannot_be_asked_is_named() {
    let lab = Lab::new(0);
    let az = AzureCli::knowing(&lab);
    run(&mut az.command(&["list", "source", "--source-account", "contoso"]))
        .expect(2, &["the resource group of the source contoso is missing", "--source-resource-group"]);
    run(&mut az.command(&["list", "source", "--source-endpoint", "https://a.example", "--source-key-from-az"]))
        .expect(2, &["--source-key-from-az needs the name of the resource"]);
    run(az.command(&["list", "source"]).args(NAMED)).expect(2, &["the source key is missing", "--source-key-from-az"]);
    let empty = TempDir::new().unwrap();
    let mut without_az = az.command(&["list", "source"]);
    run(without_az.args(NAMED).env("PATH", empty.path()))
        .expect(2, &["the Azure CLI", "cannot be run", "--source-endpoint"]);
}
