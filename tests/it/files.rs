//! Files that a command reads: pipes and devices.

use std::fs;
use std::path::Path;
use std::process::{Command as StdCommand, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use tempfile::tempdir;

use crate::support::emulated_pair::EmulatedPair;
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
            &["copy", "--all", "--manifest", file],
            &["check", "--manifest", file],
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
fn a_byte_order_mark_is_no_part_of_a_key_and_utf_16_is_named() {
    let pair = EmulatedPair::new(1);
    let folder = tempdir().unwrap();
    let file = folder.path().join("key");
    let key = pair.emulator.resources()[0].key.clone();
    let list = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        run(&mut pair.command(&["list", "source", "-q", "--source-key-file", file.to_str().unwrap()]))
    };
    list(format!("\u{feff}{key}\r\n").as_bytes()).expect(0, &[]);
    let in_utf_16 = |to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("\u{feff}{key}\r\n").encode_utf16().flat_map(to_bytes).collect()
    };
    for bytes in [in_utf_16(u16::to_le_bytes), in_utf_16(u16::to_be_bytes)] {
        let output = list(&bytes).expect(2, &["cause: it is text in UTF-16", "help: save the file as UTF-8"]);
        assert!(!output.stderr.contains(&key), "{output:#?}");
    }
    let mut bytes = key.clone().into_bytes();
    bytes.push(0xff);
    list(&bytes).expect(2, &["it is not text in UTF-8", "help: save the file as UTF-8"]);
}

#[test]
fn ids_configuration_and_token_may_begin_with_a_byte_order_mark_as_well() {
    let pair = EmulatedPair::new(1);
    let folder = tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("\u{feff}{text}")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ids = file("ids", "invoices-v4.0-1\n");
    pair.copy(&["--from-file", &ids]).expect(0, &[]);
    let config = format!("[resources.east]\nendpoint = \"{}\"\n", pair.emulator.resources()[0].endpoint);
    let config = file("config.toml", &config);
    pair.run(&["resources", "--config", &config]).expect(0, &[]);
    fs::write(&ids, [0xff, 0xfe, b'a', 0]).unwrap();
    pair.copy(&["--from-file", &ids]).expect(2, &["it is text in UTF-16: save the file as UTF-8"]);
}
