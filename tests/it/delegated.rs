//! A copy between two parties: each process has only the credential of its own resource.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use assert_cmd::Command;
use frcopy::emulator::{Collection, Options};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::raw_server::{read_request, serve_each};
use crate::support::{
    ACCESS_TOKEN, Authorization, CommandOutput, DOCUMENT_VERSIONS, MODEL as MODEL_ID, Operation, RESOURCE_ID,
    SOURCE_KEY, ScriptedService, Step, TARGET_KEY, UnusedHost, V2_1, V4_0, Version, frcopy, on_each, on_every_version,
    reply, run,
};

const MODEL: &str = "invoices-v4.0-1";

/// Two resources, and a folder in which their owners exchange the authorization file.
struct Parties {
    pair: EmulatedPair,
    folder: TempDir,
}

impl Parties {
    fn new() -> Self {
        Self { pair: EmulatedPair::new(1), folder: TempDir::new().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("authorization.json")
    }

    fn side(&self, variables: &str, arguments: &[&str]) -> Command {
        let mut command = frcopy();
        let environment = self.pair.environment().into_iter();
        command.envs(environment.filter(|(name, _)| name.starts_with(variables))).args(arguments);
        command
    }

    /// `authorize` on the side of the target.
    fn authorize(&self, arguments: &[&str]) -> CommandOutput {
        run(self.side("FRCOPY_TARGET_", &["authorize", "-vv", "--out"]).arg(self.file()).args(arguments))
    }

    /// `authorize --revoke` on the side of the target.
    fn revoke(&self) -> CommandOutput {
        run(self.side("FRCOPY_TARGET_", &["authorize", "--revoke"]).arg(self.file()))
    }

    /// `copy --authorization` on the side of the source.
    fn copy(&self, arguments: &[&str]) -> CommandOutput {
        let mut command = self.side("FRCOPY_SOURCE_", &["copy", "-vv", "--poll-interval", "20ms", "--authorization"]);
        run(command.arg(self.file()).args(arguments))
    }

    fn access_token(&self) -> String {
        let file: Value = serde_json::from_slice(&fs::read(self.file()).unwrap()).unwrap();
        file["authorization"]["accessToken"].as_str().unwrap().to_owned()
    }

    /// Changes the authorization file.
    fn tamper(&self, pointer: &str, value: Value) {
        let mut file: Value = serde_json::from_slice(&fs::read(self.file()).unwrap()).unwrap();
        *file.pointer_mut(pointer).unwrap() = value;
        fs::write(self.file(), file.to_string()).unwrap();
    }

    fn v2_1_model(&self) -> String {
        self.pair.custom_model()
    }
}

#[test]
fn a_model_of_every_version_is_copied_between_parties_that_share_no_key() {
    for (version, model, kind) in [
        ("2.1", "", "model"),
        ("3.0", "invoices-v3.0-1", "model"),
        ("3.1", "invoices-v3.1-1", "model"),
        ("4.0", MODEL, "model"),
        ("4.0", "classifier-v4.0-1", "classifier"),
    ] {
        let parties = Parties::new();
        let is_v2_1 = version == "2.1";
        let (model, id) = if is_v2_1 { (parties.v2_1_model(), None) } else { (model.to_owned(), Some("backup")) };
        let mut arguments = vec!["--api-version", version, "--kind", kind];
        arguments.extend(id);
        let authorized = parties.authorize(&arguments).expect(0, &["to copy one"]);
        let token = parties.access_token();
        let copied = parties.copy(&[&model]).expect(0, &["not verified: this needs the target's credential"]);
        assert_eq!(authorized.stdout, copied.stdout, "both sides name the same id");
        for output in [&authorized, &copied] {
            assert!(!output.stderr.contains(&token) && !output.stdout.contains(&token), "leaked: {output:#?}");
        }
        let collection = match (is_v2_1, kind) {
            (true, _) => Collection::CustomModels,
            (_, "model") => Collection::DocumentModels,
            _ => Collection::DocumentClassifiers,
        };
        assert!(parties.pair.ids(TARGET, collection).contains(authorized.stdout.trim()), "{version} {kind}");
        let changes = parties.pair.mutating_requests();
        assert_eq!(changes.len(), 2, "{changes:?}");
        assert!(changes[0].starts_with("target POST") && changes[1].starts_with("source POST"), "{changes:?}");
    }
}

#[test]
fn a_region_that_is_not_the_targets_is_refused_before_an_authorization_for_another_party() {
    let parties = Parties::new();
    let text = "the target is in westus2, and --target-region is westeurope";
    parties.authorize(&["--api-version", "2.1", "--target-region", "westeurope"]).expect(2, &[text]);
    assert_eq!((parties.pair.mutating_requests(), parties.file().exists()), (Vec::new(), false));

    // A target whose answers have no region proves nothing.
    let service = ScriptedService::new(V2_1);
    let address = ["--target-resource-id", RESOURCE_ID, "--target-region", "westeurope"];
    let mut command = frcopy();
    command.env("FRCOPY_TARGET_ENDPOINT", service.target.uri()).env("FRCOPY_TARGET_KEY", TARGET_KEY);
    command.args(["authorize", "--api-version", "2.1", "--out", "-"]).args(address);
    // Stdout has the access token.
    CommandOutput::of(&mut command).expect(0, &[]);
}

#[test]
fn an_authorization_for_another_id_than_that_of_the_model_is_not_used_silently() {
    for (version, model) in [("3.0", "invoices-v3.0-1"), ("3.1", "invoices-v3.1-1"), ("4.0", MODEL)] {
        let text = "the authorization is for the id backup, which the copy gets";
        let parties = Parties::new();
        parties.authorize(&["backup", "--api-version", version]).expect(0, &[]);
        parties.copy(&[model, "--dry-run"]).expect(0, &[text]);
        parties.copy(&[model]).expect(0, &[text]);
        fs::remove_file(parties.file()).unwrap();
        parties.authorize(&[model, "--api-version", version]).expect(0, &[]);
        let output = parties.copy(&[model]).expect(0, &[]);
        assert!(!output.stderr.contains("which the copy gets"), "{output:#?}");
    }
}

#[test]
fn the_authorization_file_is_private_and_has_a_schema() {
    let parties = Parties::new();
    let json =
        parties.authorize(&["backup", "--output", "json", "--description", "d", "--tag", "a=b"]).expect(0, &[]).json();
    assert_eq!(json["schema"], "frcopy.authorize/1");
    assert_eq!((&json["status"], &json["target"]["modelId"]), (&json!("authorized"), &json!("backup")));
    let file: Value = serde_json::from_slice(&fs::read(parties.file()).unwrap()).unwrap();
    assert_eq!(file["schema"], "frcopy.authorization/1");
    assert_eq!((&file["apiVersion"], &file["kind"]), (&json!("v4.0"), &json!("model")));
    assert_eq!((&file["targetModelId"], &file["expiresAt"]), (&json!("backup"), &json["expiresAt"]));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(parties.file()).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(parties.file(), fs::Permissions::from_mode(0o644)).unwrap();
        parties.copy(&[MODEL]).expect(0, &["warning: other users can read"]);
    }
}

#[test]
fn an_authorization_can_be_piped() {
    let parties = Parties::new();
    let authorized = run(&mut parties.side("FRCOPY_TARGET_", &["authorize", "backup", "--out", "-"])).expect(0, &[]);
    let mut copy = parties.side("FRCOPY_SOURCE_", &["copy", MODEL, "--authorization", "-", "--poll-interval", "20ms"]);
    assert_eq!(run(copy.write_stdin(authorized.stdout)).expect(0, &[]).stdout, "backup\n");
}

#[test]
fn no_id_stays_reserved_when_the_authorization_cannot_be_written() {
    let parties = Parties::new();
    fs::write(parties.file(), "mine").unwrap();
    parties.authorize(&["backup"]).expect(2, &["the authorization cannot be written to"]);
    assert_eq!(fs::read_to_string(parties.file()).unwrap(), "mine");
    assert!(parties.pair.mutating_requests().is_empty());
    if Path::new("/dev/full").exists() {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_frcopy"));
        let environment = parties.pair.environment().into_iter().filter(|(name, _)| name.starts_with("FRCOPY_TARGET_"));
        command.env_clear().envs(environment).args(["authorize", "backup", "--out", "-"]).stdout(full);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains("the authorization cannot be written") && stderr.contains("released"), "{stderr}");
    }
    fs::remove_file(parties.file()).unwrap();
    parties.authorize(&["backup"]).expect(0, &[]);
}

#[test]
fn a_refused_authorize_request_creates_no_file() {
    let parties = Parties::new();
    parties.pair.emulator.put(TARGET, Collection::DocumentModels, "backup", json!({"modelId": "backup"}));
    parties.authorize(&["backup"]).expect(6, &["the target already has a model backup"]);
    assert!(!parties.file().exists());
    assert!(parties.pair.mutating_requests().is_empty());
}

#[test]
fn an_unused_authorization_is_released_and_the_id_can_be_used_again() {
    for arguments in [&["backup"][..], &["--api-version", "2.1"]] {
        let parties = Parties::new();
        parties.authorize(arguments).expect(0, &[]);
        parties.revoke().expect(0, &["released"]);
        assert!(parties.pair.ids(TARGET, Collection::CustomModels).is_empty());
        fs::remove_file(parties.file()).unwrap();
        parties.authorize(arguments).expect(0, &[]);
    }
}

#[test]
fn a_used_authorization_is_not_released_and_its_copy_is_kept() {
    let parties = Parties::new();
    parties.authorize(&["backup"]).expect(0, &[]);
    parties.copy(&[MODEL]).expect(0, &[]);
    parties.revoke().expect(6, &["the authorization was used: the target has a ready model backup"]);
    assert!(parties.pair.ids(TARGET, Collection::DocumentModels).contains("backup"));
}

#[test]
fn revoke_deletes_only_on_the_resource_that_issued_the_authorization() {
    let parties = Parties::new();
    parties.authorize(&["backup"]).expect(0, &[]);
    let mut elsewhere = parties.side("FRCOPY_TARGET_", &["authorize", "--revoke"]);
    let source = parties.pair.emulator.resources()[SOURCE].endpoint.clone();
    run(elsewhere.arg(parties.file()).args(["--target-endpoint", &source]))
        .expect(2, &["the target endpoint is another one"]);
    assert_eq!(parties.pair.mutating_requests().len(), 1);
}

#[test]
fn revoke_sends_no_credential_to_a_host_that_only_the_file_names() {
    let parties = Parties::new();
    parties.authorize(&["backup"]).expect(0, &[]);
    let mut keyed = parties.side("FRCOPY_TARGET_KEY", &["authorize", "--revoke"]);
    run(keyed.arg(parties.file())).expect(2, &["the target endpoint is missing"]);
    let file = fs::read_to_string(parties.file()).unwrap();
    let elsewhere = UnusedHost::new();
    let target = parties.pair.emulator.resources()[TARGET].endpoint.clone();
    assert!(file.contains(&format!("\"endpoint\":\"{target}")), "{file}");
    fs::write(parties.file(), file.replacen(&target, &elsewhere.url(), 1)).unwrap();
    for prefix in ["FRCOPY_TARGET_KEY", "FRCOPY_TARGET_"] {
        let mut revoke = parties.side(prefix, &["authorize", "--revoke"]);
        run(revoke.arg(parties.file())).expect(2, &["the target endpoint is"]);
    }
    assert!(elsewhere.got_no_connection());
}

#[test]
fn a_used_authorization_is_refused_with_a_remedy_on_the_target_side() {
    for arguments in [&["backup"][..], &["--api-version", "2.1"]] {
        let parties = Parties::new();
        parties.authorize(arguments).expect(0, &[]);
        let model = if arguments.len() == 1 { MODEL.to_owned() } else { parties.v2_1_model() };
        parties.copy(&[&model]).expect(0, &[]);
        let again =
            parties.copy(&[&model]).expect(3, &["ask the target's operator for another authorization", "--revoke"]);
        assert_eq!(again.stdout, "");
    }
}

#[test]
fn a_changed_authorization_file_is_refused_before_any_request() {
    for (pointer, value, text) in [
        ("/targetModelId", json!("other"), "authorization: it is not the target's for other"),
        ("/expiresAt", json!("2199-01-01T00:00:00Z"), "expiresAt: the authorization has another date"),
        ("/apiVersion", json!("v9.9"), "apiVersion: it is not an API version"),
        ("/kind", json!("prebuilt"), "has an unknown kind"),
        ("/target/endpoint", json!("ftp://a.example"), "target.endpoint: ftp"),
        ("/schema", json!("frcopy.manifest/1"), "not an authorization of this version of frcopy"),
        ("/authorization", json!(1), "authorization: it is not the target's for backup"),
    ] {
        let parties = Parties::new();
        parties.authorize(&["backup"]).expect(0, &[]);
        parties.pair.mutating_requests();
        parties.tamper(pointer, value);
        parties.copy(&[MODEL]).expect(2, &[text, "ask the target's operator for a new one"]);
        assert!(parties.pair.mutating_requests().is_empty());
    }
    let parties = Parties::new();
    for text in ["", "not JSON", "[]", &"x".repeat(70_000)] {
        fs::write(parties.file(), text).unwrap();
        parties.copy(&[MODEL]).expect(2, &["the authorization"]);
    }
}

#[test]
fn a_changed_access_token_is_refused_by_the_service() {
    let parties = Parties::new();
    parties.authorize(&["backup"]).expect(0, &[]);
    parties.tamper("/authorization/accessToken", json!("00000000-0000-4000-8000-000000000000"));
    parties.copy(&[MODEL]).expect(3, &["ask the target's operator for another authorization"]);
}

/// This machine's clock may be wrong. The date in the file does not decide: the service does, by the access token.
#[test]
fn an_authorization_that_expired_by_the_local_clock_is_used_with_a_warning() {
    let parties = Parties::new();
    parties.authorize(&["backup"]).expect(0, &[]);
    for pointer in ["/authorization/expirationDateTime", "/expiresAt"] {
        parties.tamper(pointer, json!("2026-01-01T00:00:00Z"));
    }
    let warning = "the authorization expired at 2026-01-01T00:00:00Z, by this machine's clock; the service decides";
    parties.copy(&["--dry-run", MODEL]).expect(0, &[warning]);
    parties.pair.mutating_requests();
    // The changed date is no longer the target's own, so this service refuses it.
    parties.copy(&[MODEL]).expect(3, &[warning, "ask the target's operator for another authorization"]);
    assert!(!parties.pair.mutating_requests().is_empty());
}

#[test]
fn an_authorization_is_valid_by_the_clocks_of_the_resources_whatever_the_local_clock_says() {
    for (version, model) in [("2.1", ""), ("3.0", "invoices-v3.0-1"), ("3.1", "invoices-v3.1-1"), ("4.0", MODEL)] {
        // The local clock is two days ahead.
        let behind = |name: &str| (name.to_owned(), SignedDuration::from_hours(-48));
        let clock_skew = vec![behind("source"), behind("target")];
        let options = Options { operation_time: Duration::ZERO, clock_skew, ..Options::default() };
        let parties = Parties { pair: EmulatedPair::with_options(&options), folder: TempDir::new().unwrap() };
        let model = if model.is_empty() { parties.v2_1_model() } else { model.to_owned() };
        let id = (version != "2.1").then_some("backup");
        parties.authorize(&["--api-version", version].into_iter().chain(id).collect::<Vec<_>>()).expect(0, &[]);
        parties.copy(&[&model]).expect(0, &["by this machine's clock; the service decides", "copied"]);
    }
}

#[test]
fn options_of_the_target_side_are_refused_with_an_authorization() {
    let parties = Parties::new();
    parties.authorize(&["backup"]).expect(0, &[]);
    for arguments in [
        &["--target-endpoint", "https://a.example"][..],
        &["--target-model-id", "other"],
        &["--if-exists", "skip"],
        &["--manifest", "map.json"],
        &["--description", "d"],
        &["--api-version", "4.0"],
    ] {
        parties.copy(&[&[MODEL], arguments].concat()).expect(2, &["cannot be used with"]);
    }
    parties.copy(&[MODEL, "invoices-v3.0-1"]).expect(2, &["an authorization is for one copy"]);
    parties.copy(&["--dry-run", MODEL]).expect(0, &["would copy model"]);
    parties.copy(&["no-such-model"]).expect(5, &["the source has no model no-such-model of API v4.0"]);
    parties.copy(&[MODEL]).expect(0, &[]);
    for (arguments, text) in [
        (&[][..], "a v4.0 copy needs an id on the target"),
        (&["backup", "--api-version", "2.1"], "a target model id is not possible with a v2.1 model"),
        (&["--api-version", "2.1", "--tag", "a=b"], "--tag is not possible with a v2.1 model"),
        (&["backup", "--api-version", "3.1", "--kind", "classifier"], "v3.1 does not copy classifiers"),
    ] {
        fs::remove_file(parties.file()).unwrap_or_default();
        parties.authorize(arguments).expect(2, &[text]);
        assert!(!parties.file().exists());
    }
    let without_address = run(parties
        .side("FRCOPY_TARGET_", &["authorize", "--api-version", "2.1", "--out"])
        .arg(parties.file())
        .env_remove("FRCOPY_TARGET_REGION"));
    without_address.expect(2, &["needs the resource id and the region of the target"]);
}

#[test]
fn an_interrupted_copy_is_resumed_on_the_source_side() {
    let parties = Parties {
        pair: EmulatedPair::with_options(&Options {
            models: 1,
            operation_time: Duration::from_secs(6),
            ..Options::default()
        }),
        folder: TempDir::new().unwrap(),
    };
    parties.authorize(&["backup"]).expect(0, &[]);
    let output = parties.copy(&[MODEL, "--timeout", "4s"]).expect(8, &["frcopy wait '"]);
    let operation = output.stderr.split('\'').nth(1).unwrap();
    let mut wait = parties.side("FRCOPY_SOURCE_", &["wait", operation, "--poll-interval", "20ms"]);
    assert_eq!(run(&mut wait).expect(0, &[]).stdout, "backup\n");
}

/// `copy --authorization` with an authorization from stdin. The target must not get any request.
fn copy_with_authorization(service: &ScriptedService) -> CommandOutput {
    copy_from(&service.source.uri(), service)
}

/// The same from another source.
fn copy_from(source: &str, service: &ScriptedService) -> CommandOutput {
    let version = service.version;
    let payload = Authorization::json(version, version.copy_id());
    let mut payload: Value = serde_json::from_str(&payload).unwrap();
    let expires = "2199-01-01T00:00:00Z";
    if version.is_v2_1() {
        payload["expirationDateTimeTicks"] = json!(7_226_582_400_u64);
    } else {
        payload["expirationDateTime"] = json!(expires);
        payload["targetModelLocation"] = json!(format!("{LOCATION}/{}?api-version=1", version.copy_id()));
    }
    let file = json!({"schema": "frcopy.authorization/1", "apiVersion": format!("v{}", version.number), "kind": "model",
        "target": {"endpoint": service.target.uri(), "resourceId": RESOURCE_ID, "region": "westus2"},
        "targetModelId": version.copy_id(), "issuedAt": "2024-11-30T00:00:00Z", "expiresAt": expires,
        "authorization": payload});
    let mut command = frcopy();
    command
        .env("FRCOPY_SOURCE_ENDPOINT", source)
        .env("FRCOPY_SOURCE_KEY", SOURCE_KEY)
        .args(["copy", MODEL_ID, "--authorization", "-", "--poll-interval", "5ms", "--timeout", "3s"])
        .write_stdin(file.to_string());
    let output = run(&mut command);
    assert!(
        service.seen().iter().all(|seen| !matches!(seen.step, Some(Step::GetTarget | Step::Verify | Step::Release)))
    );
    output
}

const LOCATION: &str = "https://x.example/documentModels";

#[test]
fn a_start_without_an_answer_is_searched_in_the_operations() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        service.on(Step::Start, [reply(504)]);
        service.on(Step::ListOperations, [Operation::list([Operation::list_item(version, "2999-01-01T00:00:00Z")])]);
        let output = copy_with_authorization(&service);
        if version.is_v2_1() {
            output.expect(8, &["the start request got no answer; the copy may be running", "33f4d42c"]);
        } else {
            output.expect(0, &[]);
        }
        assert_eq!(service.count(Step::Start), 1);
    });
}

#[test]
fn a_copy_to_another_target_is_not_adopted() {
    let service = ScriptedService::new(V4_0);
    service.on(Step::Start, [reply(504)]);
    let mut listed = Operation::list_item(V4_0, "2999-01-01T00:00:00Z");
    listed["resourceLocation"] = json!(format!("https://y.example/documentModels/{}", V4_0.copy_id()));
    service.on(Step::ListOperations, [Operation::list([listed])]);
    copy_with_authorization(&service).expect(8, &["the copy may be running"]);
    assert_eq!(service.count(Step::Poll), 0);
}

#[test]
fn an_operation_about_another_copy_is_no_verdict_for_a_party_that_cannot_read_the_target() {
    let other = |version: Version, status: &str| {
        if version.is_v2_1() {
            let copy = json!({"modelId": "11111111-1111-4111-8111-111111111111"});
            return vec![reply(200).set_body_json(json!({"status": status, "copyResult": copy}))];
        }
        let operation = || Operation::with_status(version, status);
        vec![
            operation().located_at("https://x.example/documentModels/other").answer(),
            operation().with("kind", "documentClassifierCopyTo").answer(),
        ]
    };
    on_every_version(|version| {
        for answer in ["succeeded", "failed"].iter().flat_map(|status| other(version, status)) {
            let service = ScriptedService::new(version);
            service.on(Step::Poll, [answer]);
            let texts = ["the operation names another target", "the target's party waits for it: frcopy wait"];
            let output = copy_with_authorization(&service).expect(8, &texts);
            assert_eq!(output.stdout, "");
        }
    });
    // The same target may have another host name.
    on_each(DOCUMENT_VERSIONS, |version| {
        let service = ScriptedService::new(version);
        let elsewhere = Operation::with_status(version, "succeeded").on_target("https://y.example");
        service.on(Step::Poll, [elsewhere.answer()]);
        copy_with_authorization(&service).expect(0, &["could not be verified"]);
    });
}

#[test]
fn the_authorization_of_a_file_reaches_the_source_unchanged() {
    let service = ScriptedService::new(V2_1);
    copy_with_authorization(&service).expect(0, &[]);
    let start: Value = serde_json::from_str(&service.only(Step::Start).body).unwrap();
    assert_eq!((&start["targetResourceId"], &start["targetResourceRegion"]), (&json!(RESOURCE_ID), &json!("westus2")));
    assert_eq!(start["copyAuthorization"]["accessToken"], ACCESS_TOKEN);
}

#[test]
fn an_authorization_is_not_used_while_the_source_has_not_answered_a_single_request() {
    on_every_version(|version| {
        let service = ScriptedService::new(version);
        let starts = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&starts);
        // The server closes each connection without an answer.
        let silent = serve_each(move |mut stream| {
            let request = read_request(&mut stream).unwrap_or_default();
            seen.fetch_add(usize::from(request.starts_with("POST")), Ordering::SeqCst);
        });
        copy_from(&format!("http://{silent}"), &service).expect(7, &["the source did not answer"]);
        assert_eq!(starts.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn an_authorization_for_a_reader_that_has_ended_is_released_and_the_reader_is_named() {
    let parties = Parties::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_frcopy"));
    let environment = parties.pair.environment().into_iter().filter(|(name, _)| name.starts_with("FRCOPY_TARGET_"));
    command.env_clear().envs(environment).args(["authorize", "backup", "--out", "-"]).stdout(writer);
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("help: check the command that reads stdout") && !stderr.contains("space"), "{stderr}");
    assert!(stderr.contains("released"), "{stderr}");
}
