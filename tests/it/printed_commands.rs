//! The commands that frcopy prints for a copy without a verdict: pasted into a shell, they wait for the same copy.

use std::fs;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use tempfile::TempDir;

use crate::support::{
    CommandOutput, Model, Operation, SOURCE_KEY, ScriptedService, Step, TARGET_KEY, UnusedHost, V2_1, V4_0, Version,
    error_reply, on_each, reply, run,
};

/// Why a copy ends without a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    LostStart,
    Deadline,
}

/// Settings of a copy: variables, those that are unset, and flags.
#[derive(Debug, Clone, Default)]
struct Given {
    variables: Vec<(&'static str, String)>,
    unset: Vec<&'static str>,
    flags: Vec<String>,
}

impl Given {
    fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    fn without(mut self, name: &'static str) -> Self {
        self.unset.push(name);
        self
    }

    fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.extend([name.to_owned(), value.to_owned()]);
        self
    }

    fn apply(&self, command: &mut Command) {
        command.envs(self.variables.iter().cloned());
        for name in &self.unset {
            command.env_remove(name);
        }
    }
}

/// Runs a copy that ends without a verdict, and returns the command that it prints.
fn printed_command(service: &ScriptedService, reason: Reason, given: &Given) -> String {
    match reason {
        Reason::LostStart => {
            service.on(Step::Start, [reply(500)]);
            for step in [Step::ListOperations, Step::Verify] {
                service.on(step, [error_reply(404, "404", "Resource not found")]);
            }
        }
        Reason::Deadline => {
            service.on(Step::Poll, [Operation::with_status(service.version, "running").answer()]);
        }
    }
    // On a slow machine the first deadline may pass before the start.
    let outputs = ["1200ms", "8s"].into_iter().map(|timeout| {
        let mut command = service.copy();
        given.apply(&mut command);
        run(command.args(&given.flags).args(["--timeout", timeout]))
    });
    let output = outputs.into_iter().find(|output| output.code == 8).expect("a copy without a verdict");
    let line = output.stderr.lines().find(|line| line.contains(": frcopy wait ")).unwrap();
    line[line.find("frcopy wait ").unwrap()..].to_owned()
}

/// Runs a printed command as it stands, with the environment of the copy, in another folder.
fn paste(service: &ScriptedService, printed: &str, given: &Given) -> CommandOutput {
    let located = Operation::with_status(service.version, "succeeded").on_target(&service.target.uri());
    service.on(Step::Poll, [located.answer()]);
    service.on(Step::Verify, [Model::copy_of_example(service.version).answer()]);
    let mut shell = Command::new("/bin/sh");
    let folder = TempDir::new().unwrap();
    // The shell becomes the command, so that the timeout ends it.
    shell
        .args(["-c", &format!("exec {printed}")])
        .current_dir(folder.path())
        .env_clear()
        .timeout(Duration::from_secs(60));
    let copy = service.copy();
    shell.envs(copy.get_envs().filter_map(|(name, value)| Some((name, value?))));
    given.apply(&mut shell);
    let binary = Path::new(env!("CARGO_BIN_EXE_frcopy"));
    run(shell.env("PATH", format!("{}:/usr/bin:/bin", binary.parent().unwrap().display())))
}

/// Settings of which the printed command must repeat a part.
fn cases(service: &ScriptedService, other: &UnusedHost, folder: &Path) -> Vec<Given> {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let (source_key, target_key) = (file("it's a ##key", SOURCE_KEY), file("target key", TARGET_KEY));
    let (source, target) = (service.source.uri(), service.target.uri());
    let given = Given::default();
    let token = "a token of the directory".replace(' ', "-");
    vec![
        given.clone().variable("FRCOPY_TARGET_ENDPOINT", &other.url()).flag("--target-endpoint", &target),
        given.clone().variable("FRCOPY_SOURCE_ENDPOINT", &other.url()).flag("--source-endpoint", &source),
        given
            .clone()
            .without("FRCOPY_SOURCE_KEY")
            .without("FRCOPY_TARGET_KEY")
            .flag("--source-key-file", &source_key)
            .flag("--target-key-file", &target_key),
        given
            .clone()
            .without("FRCOPY_SOURCE_KEY")
            .without("FRCOPY_TARGET_KEY")
            .flag("--source-token-file", &source_key)
            .flag("--target-token-file", &target_key),
        given
            .variable("FRCOPY_SOURCE_TOKEN", &token)
            .variable("FRCOPY_TARGET_TOKEN", &token)
            .flag("--source-auth", "entra")
            .flag("--target-auth", "key"),
    ]
}

#[test]
fn the_printed_command_waits_for_the_same_copy_as_it_stands() {
    let both = |version: Version| [Reason::LostStart, Reason::Deadline].map(|reason| (version, reason));
    on_each([both(V2_1), both(V4_0)].concat(), |(version, reason)| {
        let (other, folder) = (UnusedHost::new(), TempDir::new().unwrap());
        let number = cases(&ScriptedService::new(version), &other, folder.path()).len();
        for case in 0..number {
            let service = ScriptedService::new(version);
            let given = cases(&service, &other, folder.path()).remove(case);
            let printed = printed_command(&service, reason, &given);
            let output = paste(&service, &printed, &given).expect(0, &[]);
            assert_eq!(output.stdout.trim(), version.copy_id(), "{printed}");
            assert!(other.got_no_connection(), "{reason:?}: {printed}");
        }
    });
}

#[test]
fn a_key_on_the_command_line_is_a_placeholder_in_the_printed_command() {
    on_each([Reason::LostStart, Reason::Deadline], |reason| {
        let service = ScriptedService::new(V4_0);
        let given = Given::default().flag("--source-key", SOURCE_KEY).flag("--target-key", TARGET_KEY);
        let printed = printed_command(&service, reason, &given);
        assert!(printed.contains(" --target-key KEY"), "{printed}");
        assert_eq!(printed.contains(" --source-key KEY"), reason == Reason::Deadline, "{printed}");
    });
}
