//! Text of the service that would control a terminal or a CI system: no output of any command has it raw.

use std::fs;

use assert_cmd::Command;
use frcopy::emulator::Collection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::{
    CommandOutput, Operation, SOURCE_KEY, ScriptedService, Step, TARGET_KEY, error_reply, frcopy, on_every_version,
    reply,
};

/// A control sequence, line breaks, commands of both CI systems, and characters that reverse or hide text.
const HOSTILE: &str = "x\u{1b}[31m\u{9b}32m\r\n::error::boom\n::set-output name=a::b\u{2028}##vso[task.complete]y ##[group]\u{202e}z\u{200b}\u{0}";

/// The commands that frcopy itself writes.
const OWN_COMMANDS: [&str; 9] = [
    "::error title=frcopy::",
    "::warning title=frcopy::",
    "::add-mask::",
    "##vso[task.logissue type=error]",
    "##vso[task.logissue type=warning]",
    "##vso[task.setsecret]",
    "##vso[task.setvariable variable=",
    "##vso[task.uploadsummary]",
    "::debug::",
];

/// Outside of CI, in GitHub Actions and in Azure Pipelines, with the files that a step may write.
fn in_each_environment(command: impl Fn() -> Command) {
    for (is_github, is_azure) in [(false, false), (true, false), (false, true)] {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut command = command();
        if is_github {
            command.env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", path("output"));
            command.env("GITHUB_STEP_SUMMARY", path("summary.md"));
        }
        if is_azure {
            command.env("TF_BUILD", "True").env("AGENT_TEMPDIRECTORY", folder.path());
        }
        let output = CommandOutput::of(&mut command);
        assert_harmless(&output.stdout);
        assert_harmless(&output.stderr);
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            assert_harmless(&text);
            if path.ends_with("output") {
                let known = ["status=", "results=", "target-model-id=", "in-sync="];
                assert!(text.lines().all(|line| known.iter().any(|name| line.starts_with(name))), "{text}");
            }
        }
    }
}

#[track_caller]
fn assert_harmless(text: &str) {
    for raw in ['\u{1b}', '\u{9b}', '\r', '\u{0}', '\u{2028}', '\u{202e}', '\u{200b}'] {
        assert!(!text.contains(raw), "{raw:?} in {text:?}");
    }
    for line in text.lines() {
        let own = OWN_COMMANDS.iter().find_map(|own| line.strip_prefix(own));
        assert!(own.is_some() || !line.trim_start().starts_with("::"), "{line:?}");
        assert!(!own.unwrap_or(line).contains("##"), "{line:?}");
    }
}

/// Two resources whose models have hostile text in every field that may have any.
fn hostile_pair() -> (EmulatedPair, String) {
    let pair = EmulatedPair::new(1);
    pair.copy(&["--all"]);
    let custom = pair.custom_model();
    for resource in [SOURCE, TARGET] {
        for id in pair.ids(resource, Collection::CustomModels) {
            pair.set(resource, Collection::CustomModels, &id, "/modelInfo/modelName", json!(HOSTILE));
        }
        let differing = format!("{HOSTILE}{resource}");
        for collection in [Collection::DocumentModels, Collection::DocumentClassifiers] {
            for id in pair.ids(resource, collection) {
                let mut body = pair.emulator.get(resource, collection, &id).unwrap();
                body["description"] = json!(HOSTILE);
                body["tags"] = json!({HOSTILE: HOSTILE});
                body["apiVersion"] = json!(format!("{}{HOSTILE}-preview", body["apiVersion"].as_str().unwrap()));
                let mut of_type = body["docTypes"].as_object().unwrap().values().next().cloned().unwrap_or(Value::Null);
                of_type["buildMode"] = json!(differing);
                body["docTypes"] = json!({HOSTILE: of_type, differing.as_str(): of_type});
                pair.emulator.put(resource, collection, &id, body);
            }
        }
    }
    (pair, custom)
}

#[test]
fn list_check_and_copy_show_no_hostile_text_of_a_model_raw() {
    let (pair, custom) = hostile_pair();
    for arguments in [
        &["list", "source"][..],
        &["list", "target", "--output", "json"],
        &["check"],
        &["check", "--output", "json"],
        &["check", "-vv"],
        &["copy", "--all", "--dry-run"],
        &["copy", "--all", "--dry-run", "--if-exists", "skip", "--output", "json"],
        &["copy", "--all", "--if-exists", "skip", "-vv", "--poll-interval", "20ms"],
        &["copy", "invoices-v4.0-1", "--if-exists", "skip", "--output", "json"],
        &["copy", "invoices-v3.1-1", "--target-model-id", "other", "-vv", "--poll-interval", "20ms"],
        &["copy", custom.as_str(), "--output", "json", "--poll-interval", "20ms"],
    ] {
        in_each_environment(|| pair.command(arguments));
    }
}

#[test]
fn copy_and_wait_show_no_hostile_text_of_an_answer_raw() {
    on_every_version(|version| {
        let status = || Operation::with_status(version, HOSTILE).answer();
        let failed = || Operation::failed(version, HOSTILE, HOSTILE).answer();
        for output in ["text", "json"] {
            let with_fragment = |service: &ScriptedService| {
                let location = format!("{}##vso[task.complete]\u{9b}32m", service.operation_url());
                let location = http::HeaderValue::from_bytes(location.as_bytes()).unwrap();
                service.on(Step::Start, [reply(202).insert_header("Operation-Location", location)]);
            };
            let faults: [&dyn Fn(&ScriptedService); 6] = [
                &with_fragment,
                &|service| service.on(Step::Poll, [status(), failed()]),
                &|service| service.on(Step::Start, [error_reply(400, HOSTILE, HOSTILE)]),
                &|service| service.on(Step::Authorize, [error_reply(403, HOSTILE, HOSTILE)]),
                &|service| service.on(Step::GetSource, [error_reply(401, HOSTILE, HOSTILE)]),
                &|service| service.on(Step::Release, [error_reply(409, HOSTILE, HOSTILE)]),
            ];
            for fault in faults {
                in_each_environment(|| {
                    let service = Box::leak(Box::new(ScriptedService::new(version)));
                    fault(service);
                    let mut command = service.copy();
                    command.args(["--output", output, "-vv"]);
                    command
                });
            }
            in_each_environment(|| {
                let service = Box::leak(Box::new(ScriptedService::new(version)));
                service.on(Step::Poll, [status(), failed()]);
                let mut command = frcopy();
                command.env("FRCOPY_SOURCE_KEY", SOURCE_KEY).env("FRCOPY_TARGET_KEY", TARGET_KEY);
                let url = format!("{}##vso[task.complete]::error::x", service.operation_url());
                command.args(["wait", &url, "--poll-interval", "10ms", "--output", output]);
                command
            });
        }
    });
}

#[test]
fn a_status_is_a_verdict_only_as_the_service_documents_it() {
    on_every_version(|version| {
        for word in ["failed\u{0}", "succeeded\u{200b}", " succeeded", "Failed"] {
            let service = ScriptedService::new(version);
            service.on(Step::Poll, [word, "succeeded"].map(|word| Operation::with_status(version, word).answer()));
            CommandOutput::of(&mut service.copy()).expect(0, &["unknown status"]);
            assert_eq!(service.count(Step::Poll), 2, "{word:?}");
        }
    });
}

/// Text that a person or a script may pass on from elsewhere.
const HOSTILE_ARGUMENT: &str = "x\n::error::boom\r\n\u{1b}[31m##vso[task.setvariable variable=PATH]/evil\u{202e}";

#[test]
fn no_argument_is_repeated_raw() {
    let argument = HOSTILE_ARGUMENT;
    let option = format!("--{argument}");
    for arguments in [
        &["copy", "a", "--include", argument][..],
        &["copy", argument],
        &["copy", "a", "--tag", argument],
        &["copy", "a", "--timeout", argument],
        &["copy", "a", "--output", argument],
        &["copy", "a", "--jobs", argument],
        &["copy", "a", "--source-auth", argument],
        &["copy", "a", "--source-account", argument],
        &["copy", "a", "--source-key-file", argument],
        &["copy", "a", "--source-endpoint", argument],
        &["copy", "a", "--api-version", argument],
        &["copy", "a", "--manifest", argument, "--source-endpoint", "https://a.example"],
        &["copy", "a", "--authorization", argument],
        &["copy", "--from-file", argument],
        &["copy", "a", "--from", argument],
        &["copy", "a", "--from", "east", "--config", argument],
        &["copy", "a", option.as_str()],
        &["copy", "a", "--to", "a", "b", argument],
        &["list", argument],
        &["authorize", "a", "--out", argument, "--target-endpoint", "https://a.example"],
        &["explain", argument],
        &["help", argument],
        &["completions", argument],
        &[argument],
        &[option.as_str()],
    ] {
        in_each_environment(|| {
            let mut command = frcopy();
            command.args(arguments);
            command
        });
    }
}

#[test]
fn no_value_of_a_file_is_repeated_raw() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let one_line = "::error::x##vso[task.setvariable variable=PATH]/evil";
    let ids = file("ids", format!("{one_line}\n"));
    let quoted = json!(HOSTILE_ARGUMENT).to_string();
    let unknown_field = file("field.toml", format!("[resources.east]\n\"{one_line}\" = 1\n"));
    let account = format!("[resources.east]\naccount = {quoted}\nresource-group = {quoted}\nkey-from-az = true\n");
    let account = file("account.toml", account.replace("\\u001b", "\\u0007"));
    let recorded = json!({"endpoint": "https://a.example", "modelId": HOSTILE_ARGUMENT});
    let manifest = json!({"schema": "frcopy.manifest/1", "copies": [
        {"kind": "model", "source": recorded, "target": recorded, "apiVersion": "v4.0", "training": null,
         "endedAt": null, "verifiedAt": null},
    ]});
    let manifest = file("manifest.json", manifest.to_string());
    for arguments in [
        &["copy", "--from-file", ids.as_str()][..],
        &["copy", "a", "--from", "east", "--config", unknown_field.as_str()],
        &["copy", "a", "--from", "east", "--config", account.as_str()],
        &["resources", "--config", account.as_str()],
        &["resources", "--config", account.as_str(), "--output", "json"],
        &["check", "--target-only", "--manifest", manifest.as_str(), "--target-endpoint", "https://a.example"],
    ] {
        in_each_environment(|| {
            let mut command = frcopy();
            command.env("FRCOPY_TARGET_KEY", TARGET_KEY).args(arguments);
            command
        });
    }
}
