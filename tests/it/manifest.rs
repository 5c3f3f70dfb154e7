//! `--manifest`: the file that records the copies, which commands share.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::thread;

use assert_cmd::Command;
use frcopy::emulator::Collection;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::{CommandOutput, run};

/// Two emulated resources, and a folder for a manifest.
struct Records {
    pair: EmulatedPair,
    folder: TempDir,
}

impl Records {
    fn new(models: usize) -> Self {
        Self { pair: EmulatedPair::new(models), folder: tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("models.json")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// The record of the copy of one model.
    fn record(&self, id: &str) -> Value {
        let content = self.json();
        let copies = content["copies"].as_array().unwrap();
        let copy = copies.iter().find(|copy| copy["source"]["modelId"] == id);
        copy.unwrap_or_else(|| panic!("{id} is missing in {content}")).clone()
    }

    fn with_manifest(&self, arguments: &[&str]) -> Command {
        let path = self.path();
        let mut command = self.pair.command(arguments);
        command.args(["--manifest", path.to_str().unwrap()]);
        command
    }

    fn copy(&self, arguments: &[&str]) -> CommandOutput {
        run(self.with_manifest(&["copy", "--poll-interval", "20ms"]).args(arguments))
    }

    fn check(&self) -> CommandOutput {
        run(&mut self.with_manifest(&["check"]))
    }

    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn each_copy_is_recorded_with_ids_training_and_verification() {
    let records = Records::new(1);
    let copied = records.copy(&["--all"]).expect(0, &[]);
    let content = records.json();
    assert_eq!((&content["schema"], content["copies"].as_array().unwrap().len()), (&json!("frcopy.manifest/1"), 5));
    let [source, target, ..] = records.pair.emulator.resources() else { panic!("two resources") };
    for copy in content["copies"].as_array().unwrap() {
        assert_eq!(
            (&copy["source"]["endpoint"], &copy["target"]["endpoint"]),
            (&json!(source.endpoint), &json!(target.endpoint))
        );
        assert!(copied.stdout.contains(copy["target"]["modelId"].as_str().unwrap()), "{copy}");
        for time in [&copy["endedAt"], &copy["verifiedAt"], &copy["training"]["createdAt"]] {
            assert!(time.as_str().is_some_and(|time| time.ends_with('Z') && !time.contains('.')), "{copy}");
        }
        let is_v2_1 = copy["apiVersion"] == "v2.1";
        assert_eq!(
            (copy["training"]["fingerprint"].is_null(), copy["training"]["name"].is_string()),
            (is_v2_1, is_v2_1)
        );
        assert_eq!(copy["source"]["modelId"] == copy["target"]["modelId"], !is_v2_1);
    }
    assert!(!records.text().contains(&source.key) && !records.text().contains(&target.key));
    let kinds: Vec<_> = content["copies"].as_array().unwrap().iter().map(|copy| copy["kind"].clone()).collect();
    assert_eq!(kinds.last().unwrap(), "classifier");
    assert_eq!(records.files(), [".models.json.lock", "models.json"], "no temporary file remains");
}

#[test]
fn a_dry_run_and_a_failed_copy_record_nothing() {
    let records = Records::new(1);
    records.copy(&["--all", "--dry-run"]).expect(0, &[]);
    assert_eq!(records.files(), Vec::<String>::new());
    records.copy(&["no-such-model"]).expect(5, &[]);
    assert_eq!(records.json()["copies"], json!([]));
}

#[test]
fn the_recorded_copy_of_a_v2_1_model_is_preferred_to_others() {
    let records = Records::new(2);
    let pair = &records.pair;
    let model = pair.custom_model();
    records.copy(&["--all"]).expect(0, &[]);
    records.check().expect(0, &["10 same"]);
    let known = records.record(&model)["target"]["modelId"].as_str().unwrap().to_owned();
    pair.copy(&[&model]).expect(0, &[]);
    pair.copy(&[&model]).expect(0, &[]);
    let skipped = records.copy(&[&model, "--if-exists", "skip"]).expect(0, &["skipped"]);
    assert_eq!(skipped.stdout.trim(), known);
    pair.run(&["check"]).expect(0, &["10 same", "the target has 2 additional copies of v2.1 models"]);
    // The recorded copy is missing, although the target has other copies of the same model.
    pair.emulator.remove(TARGET, Collection::CustomModels, &known);
    let output = records.check().expect(9, &["which the target has not: its copy is", "1 different"]);
    assert!(output.stdout.contains(&format!("* model {model}")), "{output:#?}");
    records.copy(&[&model, "--if-exists", "skip"]).expect(0, &["skipped"]);
    records.check().expect(0, &["10 same"]);
}

#[test]
fn only_a_changed_fact_changes_the_file() {
    let records = Records::new(1);
    records.copy(&["--all"]).expect(0, &[]);
    let before = records.json();
    let model = "invoices-v4.0-1";
    records.pair.copy(&[model]).expect(6, &[]);
    records.copy(&[model]).expect(6, &[]);
    assert_eq!(records.json(), before);
    // Verified again: the copy was not made again.
    records.copy(&[model, "--if-exists", "skip"]).expect(0, &[]);
    let (old, new) = (&before["copies"], records.record(model));
    let old = old.as_array().unwrap().iter().find(|copy| copy["source"]["modelId"] == model).unwrap();
    assert_eq!((&new["endedAt"], &new["training"]), (&old["endedAt"], &old["training"]));
    // Another training.
    records.pair.retrain(model);
    records.copy(&[model, "--if-exists", "replace"]).expect(0, &["replaced"]);
    assert_eq!(records.record(model)["training"]["modifiedAt"], "2026-11-22T08:00:00Z");
    // A copy that was not read on the target.
    records.copy(&[model, "--target-model-id", "backup", "--no-verify"]).expect(0, &[]);
    let copies = records.json()["copies"].as_array().unwrap().clone();
    let renamed = copies.iter().find(|copy| copy["target"]["modelId"] == "backup").unwrap();
    assert_eq!((&renamed["source"]["modelId"], &renamed["verifiedAt"]), (&json!(model), &Value::Null));
    assert_eq!(copies.len(), 6, "the other copy of the model keeps its record");
}

#[test]
fn another_spelling_of_an_id_changes_nothing() {
    let records = Records::new(1);
    let model = records.pair.custom_model();
    records.copy(&[&model]).expect(0, &[]);
    let mut content = records.json();
    content["copies"][0]["source"]["modelId"] = json!(model.to_uppercase());
    fs::write(records.path(), content.to_string()).unwrap();
    records.copy(&[&model, "--if-exists", "skip"]).expect(0, &["skipped"]);
    let mut now = records.json();
    now["copies"][0]["verifiedAt"] = content["copies"][0]["verifiedAt"].clone();
    assert_eq!(now, content);
}

#[test]
fn permissions_and_unknown_fields_are_kept() {
    let records = Records::new(1);
    let model = records.pair.custom_model();
    let mode = || fs::metadata(records.path()).unwrap().permissions().mode() & 0o777;
    records.copy(&[&model]).expect(0, &[]);
    assert_eq!(mode(), 0o600);
    let mut content = records.json();
    content["newer"] = json!(1);
    content["copies"][0]["newer"] = json!([2]);
    content["copies"][0]["source"]["name"] = json!("east");
    fs::write(records.path(), content.to_string()).unwrap();
    fs::set_permissions(records.path(), fs::Permissions::from_mode(0o640)).unwrap();
    records.copy(&["--all", "--if-exists", "skip"]).expect(0, &[]);
    let again = records.json();
    assert_eq!((&again["newer"], again["copies"].as_array().unwrap().len(), mode()), (&json!(1), 5, 0o640));
    let record = records.record(&model);
    assert_eq!((&record["newer"], &record["source"]["name"]), (&json!([2]), &json!("east")));
}

#[test]
fn twenty_processes_lose_no_entry() {
    let records = Records::new(4);
    let all: Vec<_> = [Collection::CustomModels, Collection::DocumentModels, Collection::DocumentClassifiers]
        .into_iter()
        .flat_map(|collection| records.pair.ids(SOURCE, collection))
        .collect();
    assert_eq!(all.len(), 20);
    thread::scope(|scope| {
        for model in &all {
            scope.spawn(|| records.copy(&[model]).expect(0, &[]));
        }
    });
    for model in &all {
        assert!(records.record(model)["verifiedAt"].is_string());
    }
    assert_eq!(records.json()["copies"].as_array().unwrap().len(), 20);
    records.check().expect(0, &["20 same"]);
}

#[test]
fn a_manifest_that_another_process_changes_is_waited_for() {
    let records = Records::new(1);
    let lock = fs::File::create(records.folder.path().join(".models.json.lock")).unwrap();
    lock.lock().unwrap();
    records.copy(&["--all"]).expect(2, &["cannot be written", "another process locks"]);
    assert!(records.pair.mutating_requests().is_empty() && !records.path().exists());
    drop(lock);
    records.copy(&["--all"]).expect(0, &[]);
}

/// Asserts that a copy is refused before it changes anything, and that the file stays as it is.
fn assert_refused(records: &Records, what: &str) {
    let before = fs::read(records.path()).ok();
    let output = records.copy(&["--all"]).expect(2, &[what, "help: "]);
    assert_eq!((output.stdout.as_str(), records.pair.mutating_requests()), ("", Vec::new()), "{what}");
    assert_eq!(fs::read(records.path()).ok(), before, "{what}");
}

#[test]
fn a_damaged_or_foreign_file_is_refused_and_not_changed() {
    let records = Records::new(1);
    records.copy(&["--all"]).expect(0, &[]);
    records.pair.mutating_requests();
    let good = records.text();
    let copy = |pointer: &str, value: &str| {
        let mut content = records.json();
        content["copies"][0].pointer_mut(pointer).unwrap().clone_from(&json!(value));
        content.to_string()
    };
    for (text, what) in [
        (good[..good.len() / 2].to_owned(), "is damaged"),
        (String::new(), "is empty"),
        ("invoices\n".to_owned(), "is not a manifest of frcopy"),
        ("[]".to_owned(), "is not a manifest of frcopy"),
        (r#"{"name":"package","version":"1.0.0"}"#.to_owned(), "is not a manifest of frcopy"),
        (
            good.replace("frcopy.manifest/1", "frcopy.manifest/2"),
            "has a format that this version of frcopy does not know",
        ),
        (copy("/kind", "prebuilt"), "is not a kind of models"),
        (copy("/target/modelId", "../x"), "is not a model id"),
        (copy("/source/endpoint", "ftp://x"), "is not an endpoint"),
    ] {
        fs::write(records.path(), text).unwrap();
        assert_refused(&records, what);
        records.check().expect(2, &[what]);
        fs::write(records.path(), &good).unwrap();
    }
    fs::write(records.path(), b"\xff\xfe").unwrap();
    assert_refused(&records, "cannot be read");
}

#[test]
fn symbolic_links_and_folders_without_permission_are_refused() {
    let records = Records::new(1);
    let victim = records.folder.path().join("victim");
    symlink(&victim, records.folder.path().join(".models.json.lock")).unwrap();
    assert_refused(&records, "is a symbolic link");
    fs::remove_file(records.folder.path().join(".models.json.lock")).unwrap();
    symlink(&victim, records.path()).unwrap();
    assert_refused(&records, "is a symbolic link");
    fs::write(&victim, r#"{"schema":"frcopy.manifest/1","copies":[]}"#).unwrap();
    assert_refused(&records, "is a symbolic link");
    fs::remove_file(records.path()).unwrap();
    fs::create_dir(records.path()).unwrap();
    records.copy(&["--all"]).expect(2, &["it is a folder"]);
    let nowhere = records.folder.path().join("no/such/folder.json");
    records.pair.copy(&["--all", "--manifest", nowhere.to_str().unwrap()]).expect(2, &["cannot be written"]);
    records.pair.run(&["check", "--manifest", "no-such-file"]).expect(2, &["the manifest no-such-file does not exist"]);
    assert_eq!(records.pair.mutating_requests(), Vec::<String>::new());
}

#[test]
fn a_read_only_folder_is_refused_before_anything_is_copied() {
    let records = Records::new(1);
    records.copy(&["invoices-v3.0-1"]).expect(0, &[]);
    records.pair.mutating_requests();
    fs::set_permissions(records.folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    // The superuser may write to any folder.
    if fs::write(records.folder.path().join("probe"), "").is_err() {
        assert_refused(&records, "cannot be written");
    }
    fs::set_permissions(records.folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

/// Copies all models while another file is mounted in the place of the manifest. None where this machine does not allow
/// to mount files.
fn copy_with_mounted_file(records: &Records, options: &str) -> Option<CommandOutput> {
    let unshare = ["--user", "--map-root-user", "--mount"];
    if !std::process::Command::new("unshare").args(unshare).arg("true").status().is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(records.pair.environment());
    let (file, path) = (records.folder.path().join("mounted.json"), records.path());
    let [file, path] = [&file, &path].map(|path| path.to_str().unwrap());
    let script = format!("mount --bind {file} {path} && mount -o remount,bind,{options} {path} && exec \"$0\" \"$@\"");
    command.args(unshare).args(["sh", "-c", &script, env!("CARGO_BIN_EXE_frcopy"), "copy", "--all"]);
    Some(run(command.args(["--if-exists", "skip", "--poll-interval", "20ms", "--manifest", path])))
}

#[test]
fn a_file_that_is_mounted_is_written_in_place() {
    let records = Records::new(1);
    let mounted = records.folder.path().join("mounted.json");
    let empty = r#"{"schema":"frcopy.manifest/1","copies":[]}"#;
    fs::write(&mounted, format!("{empty}{}", " ".repeat(8000))).unwrap();
    fs::write(records.path(), empty).unwrap();
    let Some(output) = copy_with_mounted_file(&records, "ro") else { return };
    output.expect(2, &["cannot be written", "help: "]);
    assert_eq!(records.pair.mutating_requests(), Vec::<String>::new());
    for what in ["5 copied", "5 already there"] {
        copy_with_mounted_file(&records, "rw").unwrap().expect(0, &[what]);
        let content: Value = serde_json::from_str(&fs::read_to_string(&mounted).unwrap()).unwrap();
        assert_eq!(content["copies"].as_array().unwrap().len(), 5);
        assert_eq!((records.text().as_str(), records.files().len()), (empty, 3), "{:?}", records.files());
    }
}

/// A copy whose files may have this many KiB each: then writing fails as on a full disk.
fn copy_with_little_space(records: &Records, kib: u32) -> CommandOutput {
    let mut command = Command::new("bash");
    command.env_clear().env("PATH", "/usr/bin:/bin").envs(records.pair.environment());
    let script = format!("ulimit -f {kib}; trap '' XFSZ; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_frcopy"), "copy", "--all", "--if-exists", "skip"]);
    run(command.args(["--poll-interval", "20ms", "--manifest", records.path().to_str().unwrap()]))
}

#[test]
fn without_a_journal_nothing_is_sent_and_what_is_reserved_is_released() {
    // Enough for the line before an authorize request, not for the authorization.
    for kib in 1..4 {
        let records = Records::new(2);
        let output = copy_with_little_space(&records, kib).expect(1, &["models.json.journal cannot be written"]);
        let sent = records.pair.mutating_requests();
        let count = |is: &dyn Fn(&str) -> bool| sent.iter().filter(|request| is(request)).count();
        let authorizes = count(&|request| request.contains("copyAuthorization") || request.contains("authorizeCopy"));
        let starts = count(&|request| request.ends_with(":copyTo") || request.ends_with("/copy"));
        let releases = count(&|request| request.contains(" DELETE "));
        assert_eq!(authorizes, starts + releases, "{sent:#?} {output:#?}");
        assert!(starts < 10, "{sent:#?}");
        records.copy(&["--all", "--if-exists", "skip"]).expect(0, &[]);
        records.check().expect(0, &["10 same"]);
    }
}

#[test]
fn a_full_disk_leaves_the_old_manifest_and_is_reported() {
    let records = Records::new(6);
    records.copy(&["--include", "invoices-v3.0-*"]).expect(0, &[]);
    records.pair.copy(&["--all", "--if-exists", "skip"]).expect(0, &["24 copied"]);
    let before = records.json();
    let output = copy_with_little_space(&records, 8).expect(1, &["cannot be written", "the copies are not affected"]);
    // When it happens, and after another attempt at the end.
    assert!(output.stderr.matches("error: the manifest").count() <= 2, "{output:#?}");
    let copies = |content: &Value| content["copies"].as_array().unwrap().len();
    assert!((copies(&before)..30).contains(&copies(&records.json())));
    assert_eq!(records.files(), [".models.json.lock", "models.json"]);
    // Nothing is copied again.
    records.pair.mutating_requests();
    records.copy(&["--all", "--if-exists", "skip"]).expect(0, &["30 already there"]);
    assert_eq!(records.pair.mutating_requests(), Vec::<String>::new());
    assert_eq!(records.json()["copies"].as_array().unwrap().len(), 30);
}
