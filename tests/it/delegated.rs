//! A copy between two parties: each process has the credential of its own resource and never sees the other's.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use frcopy::emulator::{Collection, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lab::{Lab, SOURCE, TARGET};
use crate::support::{
    ACCESS_TOKEN, Ending, MODEL as MODEL_ID, RESOURCE_ID, SOURCE_KEY, Step, V2_1, V4_0, World, frcopy,
    on_every_version, reply, run,
};

const MODEL: &str = "invoices-v4.0-1";

/// Two resources, and a folder through which their parties exchange files.
struct Parties {
    lab: Lab,
    folder: TempDir,
}

impl Parties {
    fn new() -> Self {
        Self { lab: Lab::new(1), folder: TempDir::new().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("leave.json")
    }

    fn side(&self, variables: &str, arguments: &[&str]) -> Command {
        let mut command = frcopy();
        let environment = self.lab.environment().into_iter();
        command.envs(environment.filter(|(name, _)| name.starts_with(variables))).args(arguments);
        command
    }

    /// The party that has the target.
    fn authorize(&self, arguments: &[&str]) -> Ending {
        run(self.side("FRCOPY_TARGET_", &["authorize", "-vv", "--out"]).arg(self.file()).args(arguments))
    }

    /// The same party, later.
    fn revoke(&self) -> Ending {
        run(self.side("FRCOPY_TARGET_", &["authorize", "--revoke"]).arg(self.file()))
    }

    /// The party that has the source.
    fn copy(&self, arguments: &[&str]) -> Ending {
        let mut command = self.side("FRCOPY_SOURCE_", &["copy", "-vv", "--poll-interval", "20ms", "--authorization"]);
        run(command.arg(self.file()).args(arguments))
    }

    fn access_token(&self) -> String {
        let file: Value = serde_json::from_slice(&fs::read(self.file()).unwrap()).unwrap();
        file["authorization"]["accessToken"].as_str().unwrap().to_owned()
    }

    /// Changes the file on its way.
    fn tamper(&self, pointer: &str, value: Value) {
        let mut file: Value = serde_json::from_slice(&fs::read(self.file()).unwrap()).unwrap();
        *file.pointer_mut(pointer).unwrap() = value;
        fs::write(self.file(), file.to_string()).unwrap();
    }

    fn v2_1_model(&self) -> String {
        self.lab.ids(SOURCE, Collection::CustomModels).into_iter().next().unwrap()
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
        for ending in [&authorized, &copied] {
            assert!(!ending.stderr.contains(&token) && !ending.stdout.contains(&token), "leaked: {ending:#?}");
        }
        let collection = match (is_v2_1, kind) {
            (true, _) => Collection::CustomModels,
            (_, "model") => Collection::DocumentModels,
            _ => Collection::DocumentClassifiers,
        };
        assert!(parties.lab.ids(TARGET, collection).contains(authorized.stdout.trim()), "{version} {kind}");
        let changes = parties.lab.changes();
        assert_eq!(changes.len(), 2, "{changes:?}");
        assert!(changes[0].starts_with("target POST") && changes[1].starts_with("source POST"), "{changes:?}");
    }
}

#[test]
fn the_file_is_for_its_owner_alone_and_says_what_it_is() {
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
fn an_authorization_goes_through_a_pipe_as_well() {
    let parties = Parties::new();
    let authorized = run(&mut parties.side("FRCOPY_TARGET_", &["authorize", "backup", "--out", "-"])).expect(0, &[]);
    let mut copy = parties.side("FRCOPY_SOURCE_", &["copy", MODEL, "--authorization", "-", "--poll-interval", "20ms"]);
    assert_eq!(run(copy.write_stdin(authorized.stdout)).expect(0, &[]).stdout, "backup\n");
}

#[test]
fn nothing_is_reserved_where_it_cannot_be_kept_and_what_was_is_given_back() {
    let parties = Parties::new();
    fs::write(parties.file(), "mine").unwrap();
    parties.authorize(&["backup"]).expect(2, &["the authorization cannot be written to"]);
    assert_eq!(fs::read_to_string(parties.file()).unwrap(), "mine");
    assert!(parties.lab.changes().is_empty());
    if Path::new("/dev/full").exists() {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_frcopy"));
        let environment = parties.lab.environment().into_iter().filter(|(name, _)| name.starts_with("FRCOPY_TARGET_"));
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
fn a_refused_authorization_leaves_no_file() {
    let parties = Parties::new();
    parties.lab.emulator.put(TARGET, Collection::DocumentModels, "backup", json!({"modelId": "backup"}));
    parties.authorize(&["backup"]).expect(6, &["the target already has a model backup"]);
    assert!(!parties.file().exists());
    assert!(parties.lab.changes().is_empty());
}

#[test]
fn one_that_was_not_used_is_given_back_and_the_id_is_free_again() {
    for arguments in [&["backup"][..], &["--api-version", "2.1"]] {
        let parties = Parties::new();
        parties.authorize(arguments).expect(0, &[]);
        parties.revoke().expect(0, &["released"]);
        assert!(parties.lab.ids(TARGET, Collection::CustomModels).is_empty());
        fs::remove_file(parties.file()).unwrap();
        parties.authorize(arguments).expect(0, &[]);
    }
}

#[test]
fn one_that_was_used_is_not_given_back_and_its_copy_stays() {
    let parties = Parties::new();
    parties.authorize(&["backup"]).expect(0, &[]);
    parties.copy(&[MODEL]).expect(0, &[]);
    parties.revoke().expect(6, &["the authorization was used: the target has a ready model backup"]);
    assert!(parties.lab.ids(TARGET, Collection::DocumentModels).contains("backup"));
}

#[test]
fn nothing_is_deleted_from_another_resource_than_the_one_that_gave_leave() {
    let parties = Parties::new();
    parties.authorize(&["backup"]).expect(0, &[]);
    let mut elsewhere = parties.side("FRCOPY_TARGET_", &["authorize", "--revoke"]);
    let source = parties.lab.emulator.resources()[SOURCE].endpoint.clone();
    run(elsewhere.arg(parties.file()).args(["--target-endpoint", &source]))
        .expect(2, &["the target endpoint is another one"]);
    // Its own endpoint need not be given: the file says it.
    let mut keyed = parties.side("FRCOPY_TARGET_KEY", &["authorize", "--revoke"]);
    run(keyed.arg(parties.file())).expect(0, &["released"]);
}

#[test]
fn one_that_was_used_before_is_refused_and_the_target_s_side_is_named() {
    for arguments in [&["backup"][..], &["--api-version", "2.1"]] {
        let parties = Parties::new();
        parties.authorize(arguments).expect(0, &[]);
        let model = if arguments.len() == 1 { MODEL.to_owned() } else { parties.v2_1_model() };
        parties.copy(&[&model]).expect(0, &[]);
        let again = parties.copy(&[&model]).expect(3, &["ask the target's side for another authorization", "--revoke"]);
        assert_eq!(again.stdout, "");
    }
}

#[test]
fn what_was_changed_on_the_way_is_refused_before_anything_is_sent() {
    for (pointer, value, text) in [
        ("/targetModelId", json!("other"), "authorization: it is not the target's for other"),
        ("/expiresAt", json!("2199-01-01T00:00:00Z"), "expiresAt: the authorization says something else"),
        ("/apiVersion", json!("v9.9"), "apiVersion: it is not an API version"),
        ("/kind", json!("prebuilt"), "names a kind that is not known"),
        ("/target/endpoint", json!("ftp://a.example"), "target.endpoint: ftp"),
        ("/schema", json!("frcopy.id-map/1"), "not an authorization of this version of frcopy"),
        ("/authorization", json!(1), "authorization: it is not the target's for backup"),
    ] {
        let parties = Parties::new();
        parties.authorize(&["backup"]).expect(0, &[]);
        parties.lab.changes();
        parties.tamper(pointer, value);
        parties.copy(&[MODEL]).expect(2, &[text, "ask the target's side for another one"]);
        assert!(parties.lab.changes().is_empty());
    }
    let parties = Parties::new();
    for text in ["", "not JSON", "[]", &"x".repeat(70_000)] {
        fs::write(parties.file(), text).unwrap();
        parties.copy(&[MODEL]).expect(2, &["the authorization"]);
    }
}

#[test]
fn a_changed_access_token_is_the_service_s_to_refuse() {
    let parties = Parties::new();
    parties.authorize(&["backup"]).expect(0, &[]);
    parties.tamper("/authorization/accessToken", json!("00000000-0000-4000-8000-000000000000"));
    parties.copy(&[MODEL]).expect(3, &["ask the target's side for another authorization"]);
}

#[test]
fn one_that_has_expired_is_refused_before_anything_is_sent() {
    let parties = Parties::new();
    parties.authorize(&["backup"]).expect(0, &[]);
    parties.lab.changes();
    for pointer in ["/authorization/expirationDateTime", "/expiresAt"] {
        parties.tamper(pointer, json!("2026-01-01T00:00:00Z"));
    }
    parties.copy(&[MODEL]).expect(2, &["the authorization expired at 2026-01-01T00:00:00Z, by this machine's clock"]);
    assert!(parties.lab.changes().is_empty());
}

#[test]
fn what_only_the_target_s_side_can_say_is_refused() {
    let parties = Parties::new();
    parties.authorize(&["backup"]).expect(0, &[]);
    for arguments in [
        &["--target-endpoint", "https://a.example"][..],
        &["--target-model-id", "other"],
        &["--if-exists", "skip"],
        &["--id-map", "map.json"],
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
        (&["backup", "--api-version", "2.1"], "a target model id is not possible with v2.1"),
        (&["--api-version", "2.1", "--tag", "a=b"], "--tag is not possible with v2.1"),
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
    without_address.expect(2, &["needs the target's resource id and region"]);
}

#[test]
fn an_interrupted_copy_is_followed_later_by_its_own_side() {
    let parties = Parties {
        lab: Lab::with(&Options { models: 1, operation_time: Duration::from_secs(2), ..Options::default() }),
        folder: TempDir::new().unwrap(),
    };
    parties.authorize(&["backup"]).expect(0, &[]);
    let ending = parties.copy(&[MODEL, "--timeout", "500ms"]).expect(8, &["frcopy wait '"]);
    let operation = ending.stderr.split('\'').nth(1).unwrap();
    let mut wait = parties.side("FRCOPY_SOURCE_", &["wait", operation, "--poll-interval", "20ms"]);
    assert_eq!(run(&mut wait).expect(0, &[]).stdout, "backup\n");
}

/// The source's half against scripted servers, with leave of a target that nobody may ask. It goes through a pipe.
fn copy_with_leave(world: &World) -> Ending {
    let version = world.version;
    let payload = version.authorization(version.copy_id());
    let mut payload: Value = serde_json::from_str(&payload).unwrap();
    let expires = "2199-01-01T00:00:00Z";
    if version.is_v2_1() {
        payload["expirationDateTimeTicks"] = json!(7_226_582_400_u64);
    } else {
        payload["expirationDateTime"] = json!(expires);
        payload["targetModelLocation"] = json!(format!("{LOCATION}/{}?api-version=1", version.copy_id()));
    }
    let leave = json!({"schema": "frcopy.authorization/1", "apiVersion": format!("v{}", version.number), "kind": "model",
        "target": {"endpoint": world.target.uri(), "resourceId": RESOURCE_ID, "region": "westus2"},
        "targetModelId": version.copy_id(), "issuedAt": "2024-11-30T00:00:00Z", "expiresAt": expires,
        "authorization": payload});
    let mut command = frcopy();
    command
        .env("FRCOPY_SOURCE_ENDPOINT", world.source.uri())
        .env("FRCOPY_SOURCE_KEY", SOURCE_KEY)
        .args(["copy", MODEL_ID, "--authorization", "-", "--poll-interval", "5ms"])
        .write_stdin(leave.to_string());
    let ending = run(&mut command);
    assert!(
        world.seen().iter().all(|seen| !matches!(seen.step, Some(Step::LookTarget | Step::Verify | Step::GiveBack)))
    );
    ending
}

const LOCATION: &str = "https://x.example/documentModels";

#[test]
fn a_start_that_got_no_answer_is_looked_for_on_the_source_and_never_sent_again() {
    on_every_version(|version| {
        let world = World::new(version);
        world.on(Step::Start, [reply(504)]);
        world.on(Step::List, [reply(200).set_body_json(json!({"value": [version.listed("2026-11-24T00:00:00Z")]}))]);
        let ending = copy_with_leave(&world);
        if version.is_v2_1() {
            ending.expect(1, &["whether the copy was started is not known", "look for 33f4d42c"]);
        } else {
            ending.expect(0, &[]);
        }
        assert_eq!(world.count(Step::Start), 1);
    });
}

#[test]
fn a_copy_to_another_target_is_not_taken_for_this_one() {
    let world = World::new(V4_0);
    world.on(Step::Start, [reply(504)]);
    let mut listed = V4_0.listed("2026-11-24T00:00:00Z");
    listed["resourceLocation"] = json!(format!("https://y.example/documentModels/{}", V4_0.copy_id()));
    world.on(Step::List, [reply(200).set_body_json(json!({"value": [listed]}))]);
    copy_with_leave(&world).expect(7, &["the source has not started the copy"]);
    assert_eq!(world.count(Step::Start), 1);
}

#[test]
fn the_authorization_reaches_the_source_as_the_target_gave_it() {
    let world = World::new(V2_1);
    copy_with_leave(&world).expect(0, &[]);
    let start: Value = serde_json::from_str(&world.only(Step::Start).body).unwrap();
    assert_eq!((&start["targetResourceId"], &start["targetResourceRegion"]), (&json!(RESOURCE_ID), &json!("westus2")));
    assert_eq!(start["copyAuthorization"]["accessToken"], ACCESS_TOKEN);
}
