//! `frcopy help drill`: the commands run as the text has them, and show what the text says.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use frcopy::emulator::{Collection, Options};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::emulated_pair::{EmulatedPair, SOURCE, TARGET};
use crate::support::{frcopy, run};

/// The heading of what is done with resources in Azure.
const OWN: &str = "YOUR OWN RESOURCES";

fn text() -> String {
    run(frcopy().args(["help", "drill"])).expect(0, &[]).stdout
}

/// The commands, which are the lines that are indented, each step with its heading.
fn script(text: &str) -> String {
    let (local, _) = text.split_once(OWN).unwrap();
    let is_heading = |line: &str| line.chars().any(char::is_uppercase) && !line.chars().any(char::is_lowercase);
    let lines = local.lines().filter_map(|line| match line.strip_prefix("  ") {
        Some(command) => Some(command.to_owned()),
        None => is_heading(line).then(|| format!("echo '{line}'; echo '{line}' >&2")),
    });
    lines.map(|line| line + "\n").collect()
}

/// Runs a script in a folder of its own. Its emulator ends with it, also if it fails half way.
fn run_script(script: &str) -> Output {
    let folder = TempDir::new().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_frcopy"), bin.join("frcopy")).unwrap();
    let (stdout, stderr) = (folder.path().join("stdout"), folder.path().join("stderr"));
    let work = folder.path().join("work");
    fs::create_dir(&work).unwrap();
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(&work).env_clear();
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).stdin(Stdio::null()).process_group(0);
    command.stdout(fs::File::create(&stdout).unwrap()).stderr(fs::File::create(&stderr).unwrap());
    let mut bash = command.spawn().unwrap();
    let status = bash.wait().unwrap();
    // What is left of its group; nothing, if it came to its end.
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", bash.id())]).stderr(Stdio::null()).status();
    Output { status, stdout: fs::read(stdout).unwrap(), stderr: fs::read(stderr).unwrap() }
}

/// The part of an output from a heading to the next one.
fn step<'o>(output: &'o str, heading: &str) -> &'o str {
    let (_, rest) = output.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading} in {output}"));
    let number: u32 = heading.split('.').next().unwrap().parse().unwrap();
    rest.split(&format!("{}. ", number + 1)).next().unwrap()
}

#[test]
fn the_drill_of_the_manual_runs_in_less_than_a_minute() {
    let began = Instant::now();
    let Output { status, stdout, stderr } = run_script(&script(&text()));
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success(), "{stdout}{stderr}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());

    let (out, err) = (|heading| step(&stdout, heading), |heading| step(&stderr, heading));
    assert!(err("1. CAN A COPY WORK?").contains("east, west: no check failed"), "{stderr}");
    assert!(err("2. THE NIGHTLY COPY").contains("of 5 models and classifiers: 5 copied"), "{stderr}");
    let samples = err("3. DO THE COPIES READ LIKE THEIR SOURCES?");
    assert_eq!(samples.matches("january.pdf: ").count(), 5, "{samples}");
    assert!(samples.contains("5 same"), "{samples}");

    let outage = out("4. THE OUTAGE");
    let is_failed = |line: &str| line.split_whitespace().take(3).eq(["east", "connection", "failed"]);
    assert!(outage.lines().any(is_failed), "{outage}");
    assert_eq!(outage.matches("exit code 7\n").count(), 2, "{outage}");
    let answers = out("5. THE ANSWERS OF A FAILOVER");
    assert!(answers.lines().count() == 5 && answers.lines().all(|line| line.starts_with("= ")), "{answers}");
    let ids: Vec<_> = answers.lines().map(|line| line.split(' ').next_back().unwrap()).collect();
    let nightly = out("2. THE NIGHTLY COPY");
    assert!(ids.iter().all(|id| nightly.lines().any(|line| line == *id)), "{ids:?} {nightly}");

    let back = err("6. THE WAY BACK");
    assert!(back.contains("1 copied, 5 already there") && back.contains("6 same"), "{back}");
    let left = out("7. WHAT IS LEFT");
    for result in ["removable", "deleted"] {
        let is_row = |line: &&str| line.starts_with("invoices-v4.0-1.frcopy-staging") && line.contains(result);
        assert_eq!(left.lines().filter(is_row).count(), 1, "{left}");
    }
}

#[test]
fn a_proxy_that_is_not_there_stands_in_for_the_outage_of_a_resource_that_is_not_on_this_machine() {
    const EAST: &str = "https://contoso-east.invalid";
    let (_, own) = text().split_once(OWN).map(|(local, own)| (local.to_owned(), own.to_owned())).unwrap();
    let settings = own.lines().filter_map(|line| line.trim().strip_prefix("export ")?.split_once('='));
    let pair = EmulatedPair::with_options(&Options { operation_time: Duration::ZERO, ..Options::default() });
    let folder = TempDir::new().unwrap();
    let manifest = folder.path().join("backup.json");
    pair.copy(&["invoices-v4.0-1", "--manifest", manifest.to_str().unwrap()]).expect(0, &[]);
    // The copy was made when the source had an address.
    let source = &pair.emulator.resources()[SOURCE];
    let recorded = fs::read_to_string(&manifest).unwrap().replace(&source.endpoint, EAST);
    fs::write(&manifest, recorded).unwrap();
    let mut check = pair.command(&["check", "invoices-v4.0-1", "--manifest", manifest.to_str().unwrap()]);
    check.args(["--output", "json", "--timeout", "4s"]).env("FRCOPY_SOURCE_ENDPOINT", EAST).envs(settings);
    let output = run(&mut check).expect(7, &["contoso-east.invalid cannot be reached", "1 same"]);
    assert_eq!(serde_json::from_str::<Value>(&output.stdout).unwrap()["verdict"], "same", "{output:#?}");
    assert!(pair.ids(TARGET, Collection::DocumentModels).contains("invoices-v4.0-1"));
}
