//! Files that a command reads and writes: pipes and devices, and id maps that two commands share.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command as StdCommand, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use frcopy::emulator::Collection;
use fs4::fs_std::FileExt;
use serde_json::Value;
use tempfile::tempdir;

use crate::support::emulated_pair::{EmulatedPair, SOURCE};
use crate::support::run;

/// Makes a named pipe that nothing writes to.
fn named_pipe(folder: &Path) -> String {
    let path = folder.join("pipe");
    assert!(StdCommand::new("mkfifo").arg(&path).status().unwrap().success());
    path.to_str().unwrap().to_owned()
}

/// The binary in a bash script, in which it is `$0`.
fn in_bash(pair: &EmulatedPair, script: &str) -> Command {
    let mut command = Command::new("bash");
    command.env_clear().env("PATH", "/usr/bin:/bin").envs(pair.environment());
    command.args(["-c", script, env!("CARGO_BIN_EXE_frcopy")]).timeout(Duration::from_secs(60));
    command
}

#[test]
fn a_named_pipe_or_a_device_is_refused_at_once() {
    let pair = EmulatedPair::new(1);
    let folder = tempdir().unwrap();
    let pipe = named_pipe(folder.path());
    for (file, what) in [(&*pipe, "it is a named pipe"), ("/dev/zero", "it is a device"), ("/dev", "it is a folder")] {
        for arguments in [
            &["list", "source", "--source-key-file", file][..],
            &["list", "source", "--source-token-file", file],
            &["copy", "--from-file", file],
            &["copy", "--all", "--id-map", file],
            &["check", "--id-map", file],
            &["copy", "my-model", "--authorization", file],
        ] {
            let mut command = pair.command(arguments);
            if arguments.contains(&"--authorization") {
                for name in ["ENDPOINT", "KEY", "RESOURCE_ID", "REGION"] {
                    command.env_remove(format!("FRCOPY_TARGET_{name}"));
                }
            }
            run(&mut command).expect(2, &[what]);
        }
    }
}

#[test]
fn stdin_and_process_substitutions_are_read() {
    let pair = EmulatedPair::new(1);
    for script in [
        "printf %s \"$FRCOPY_SOURCE_KEY\" | $0 list source -q --source-key-file -",
        "printf %s \"$FRCOPY_SOURCE_KEY\" | $0 list source -q --source-key-file /dev/stdin",
        "$0 list source -q --source-key-file <(printf %s \"$FRCOPY_SOURCE_KEY\")",
        "$0 copy -q --from-file <($0 list source -q --include '*v4.0*' --kind model)",
        "$0 list source -q --source-key-file /dev/fd/3 3<<< \"$FRCOPY_SOURCE_KEY\"",
    ] {
        let output = run(&mut in_bash(&pair, script)).expect(0, &[]);
        assert!(output.stdout.contains("v4.0"), "{script} {output:#?}");
    }
}

#[test]
fn stdin_and_process_substitutions_without_an_end_are_under_the_deadline() {
    let pair = EmulatedPair::new(1);
    for script in [
        "exec $0 list source --timeout 2s --source-key-file - < <(exec sleep 60)",
        "exec $0 list source --timeout 2s --source-key-file <(exec sleep 60)",
        "exec $0 copy --timeout 2s --from-file <(exec sleep 60)",
    ] {
        let began = Instant::now();
        let mut child = StdCommand::new("bash");
        child.env_clear().env("PATH", "/usr/bin:/bin").envs(pair.environment());
        child.args(["-c", script, env!("CARGO_BIN_EXE_frcopy")]);
        let mut child = child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(2), "{script}");
        assert!(began.elapsed() < Duration::from_secs(12), "{script} {:?}", began.elapsed());
    }
}

#[test]
fn commands_that_share_an_id_map_lose_no_entry() {
    let pair = EmulatedPair::new(6);
    let folder = tempdir().unwrap();
    let path = folder.path().join("map.json");
    let models = pair.ids(SOURCE, Collection::CustomModels);
    thread::scope(|scope| {
        for model in &models {
            scope.spawn(|| pair.copy(&[model, "--id-map", path.to_str().unwrap()]).expect(0, &[]));
        }
    });
    let content: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(content["models"].as_object().unwrap().keys().collect::<Vec<_>>(), models.iter().collect::<Vec<_>>());
}

#[test]
fn an_id_map_that_another_process_changes_is_waited_for() {
    let pair = EmulatedPair::new(1);
    let folder = tempdir().unwrap();
    let path = folder.path().join("map.json");
    let lock = fs::File::create(folder.path().join(".map.json.lock")).unwrap();
    lock.lock_exclusive().unwrap();
    let arguments = ["--all", "--id-map", path.to_str().unwrap()];
    pair.copy(&arguments).expect(2, &["cannot be written", "another process locks"]);
    assert!(pair.mutating_requests().is_empty() && !path.exists());
    drop(lock);
    pair.copy(&arguments).expect(0, &[]);
}

#[test]
fn an_id_map_is_private_unless_its_owner_has_shared_it_and_no_symbolic_link_is_followed() {
    let pair = EmulatedPair::new(1);
    let folder = tempdir().unwrap();
    let (path, victim) = (folder.path().join("map.json"), folder.path().join("victim"));
    let arguments = ["--all", "--id-map", path.to_str().unwrap()];
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    symlink(&victim, folder.path().join(".map.json.lock")).unwrap();
    pair.copy(&arguments).expect(2, &["cannot be written", "is not a regular file"]);
    assert!(!victim.exists());
    fs::remove_file(folder.path().join(".map.json.lock")).unwrap();
    pair.copy(&arguments).expect(0, &[]);
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    pair.copy(&arguments).expect(6, &[]);
    assert_eq!(mode(), 0o640);
}
