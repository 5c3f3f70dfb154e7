//! Resources with names: the configuration file, the variables, `--from`, `--to` and `frcopy list NAME`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use assert_cmd::Command;
use frcopy::emulator::{EmulatedResource, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::emulated_pair::EmulatedPair;
use crate::support::{CommandOutput, SOURCE_KEY, UnusedHost, frcopy, run, run_without};

const MODEL: &str = "invoices-v4.0-1";

/// A configuration file in a folder of its own.
pub(crate) struct ConfigFile(TempDir);

impl ConfigFile {
    pub(crate) fn new(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("config.toml"), text).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("config.toml")
    }

    /// The binary with this file and nothing else.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = frcopy();
        command.args(arguments).arg("--config").arg(self.path());
        command
    }

    /// The error of a file with this text, with `FILE` for its path.
    fn error_of(text: &str) -> String {
        let file = Self::new(text);
        let output = run(&mut file.command(&["list", "east"])).expect(2, &[]);
        output.stderr.replace(file.path().to_str().unwrap(), "FILE")
    }
}

/// A table of the file.
fn table(name: &str, resource: &EmulatedResource, credential: &str) -> String {
    let EmulatedResource { endpoint, resource_id, region, .. } = resource;
    format!(
        "[resources.{name}]\nendpoint = \"{endpoint}\"\n{credential}\nresource-id = \"{resource_id}\"\nregion = \"{region}\"\n"
    )
}

/// Two emulated resources, named east (the source) and west.
pub(crate) fn east_and_west(models: usize) -> (EmulatedPair, ConfigFile) {
    east_and_west_of(EmulatedPair::new(models))
}

fn east_and_west_of(pair: EmulatedPair) -> (EmulatedPair, ConfigFile) {
    let [source, target, ..] = pair.emulator.resources() else { panic!("two resources") };
    let text = table("east", source, "key-env = \"EAST_KEY\"") + &table("west", target, "key-file = \"west.key\"");
    let file = ConfigFile::new(&text);
    fs::write(file.0.path().join("west.key"), format!("{}\n", target.key)).unwrap();
    (pair, file)
}

pub(crate) fn run_with_keys(pair: &EmulatedPair, command: &mut Command) -> CommandOutput {
    let [source, target, ..] = pair.emulator.resources() else { panic!("two resources") };
    run_without(&[&source.key, &target.key], command.env("EAST_KEY", &source.key))
}

#[test]
fn two_names_are_enough_for_every_version_and_swapped_they_fail_back() {
    let (pair, file) = east_and_west(1);
    let copy = ["copy", "--all", "--poll-interval", "20ms", "--output", "json"];
    let forth = run_with_keys(&pair, &mut file.command(&[&copy[..], &["--from", "east", "--to", "west"]].concat()))
        .expect(0, &["copied model invoices-v4.0-1 to west as invoices-v4.0-1"]);
    assert_eq!(forth.stdout.lines().count(), 5);
    for line in forth.stdout.lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&object["source"]["name"], &object["target"]["name"]), (&json!("east"), &json!("west")));
    }
    let check =
        run_with_keys(&pair, &mut file.command(&["check", "--from", "east", "--to", "west", "--output", "json"]))
            .expect(0, &["5 same"]);
    let object: Value = serde_json::from_str(check.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&object["source"]["resource"], &object["target"]["resource"]), (&json!("east"), &json!("west")));
    run_with_keys(&pair, &mut file.command(&["check", "--from", "west", "--to", "east"])).expect(0, &["5 same"]);
    let list = run_with_keys(&pair, &mut file.command(&["list", "west", "--include", MODEL, "--output", "json"]))
        .expect(0, &["reading west"]);
    assert_eq!(list.json()["resource"], "west");
}

#[test]
fn without_names_the_fields_for_names_are_null() {
    let pair = EmulatedPair::new(1);
    let copy = pair.copy(&[MODEL, "--output", "json"]).expect(0, &[]).json();
    for side in ["source", "target"] {
        assert!(copy[side].as_object().unwrap()["name"].is_null(), "{copy}");
    }
}

#[test]
fn authorize_and_wait_take_names_too() {
    let (pair, file) = east_and_west(1);
    let authorization = file.0.path().join("authorization.json");
    let authorization = authorization.to_str().unwrap();
    run_with_keys(&pair, &mut file.command(&["authorize", "a-copy", "--to", "west", "--out", authorization]))
        .expect(0, &[]);
    let copy = ["copy", MODEL, "--from", "east", "--authorization", authorization, "--output", "json"];
    let operation = run_with_keys(&pair, &mut file.command(&copy)).expect(0, &[]).json()["operation"].clone();
    let wait = ["wait", operation.as_str().unwrap(), "--from", "east", "--to", "west", "--output", "json"];
    let output = run_with_keys(&pair, &mut file.command(&wait)).expect(0, &[]).json();
    assert_eq!((&output["verified"], &output["target"]["name"]), (&json!(true), &json!("west")));
    run(&mut file.command(&["copy", MODEL, "--from", "east", "--to", "west", "--authorization", authorization]))
        .expect(2, &["cannot be used with"]);
}

#[cfg(unix)]
#[test]
fn a_program_prints_the_key_without_getting_the_keys_of_frcopy() {
    let (pair, file) = east_and_west(1);
    let [source, target, ..] = pair.emulator.resources() else { panic!("two resources") };
    let seen = file.0.path().join("environment");
    let script = format!("env > {}; echo; echo \\\"  $0 \\\"", seen.display());
    let command = format!("key-command = [\"/bin/sh\", \"-c\", \"{script}\", \"{}\"]", target.key);
    fs::write(file.path(), table("east", source, "key-env = \"EAST_KEY\"") + &table("west", target, &command)).unwrap();
    let mut copy = file.command(&["copy", MODEL, "--from", "east", "--to", "west"]);
    run_with_keys(&pair, copy.env("FRCOPY_TARGET_KEY", "of-another-resource").env("KEPT", "1")).expect(0, &[]);
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.contains("KEPT=1") && !seen.contains("EAST_KEY") && !seen.contains("FRCOPY_"), "{seen}");

    let run_key_command = |script: &str, timeout: &str| {
        let command = format!("key-command = [\"/bin/sh\", \"-c\", \"{script}\"]");
        fs::write(file.path(), table("west", target, &command)).unwrap();
        run_with_keys(&pair, &mut file.command(&["list", "west", "--timeout", timeout]))
    };
    let script = format!("echo {0}; echo {0} is of no use >&2; exit 3", target.key);
    run_key_command(&script, "5m").expect(4, &["/bin/sh failed to print the key of west", "cause: *** is of no use"]);
    run_key_command("true", "5m").expect(2, &["printed nothing for the key of west"]);
    run_key_command("sleep 600", "1s").expect(7, &["did not print the key of west in"]);
}

#[test]
fn variables_define_a_resource_and_take_precedence_over_the_file() {
    let (pair, file) = east_and_west(1);
    let [source, target, ..] = pair.emulator.resources() else { panic!("two resources") };
    // Without a file.
    let mut list = frcopy();
    list.args(["list", "west-2", "-q"]).env("FRCOPY_RESOURCE_WEST_2_ENDPOINT", &source.endpoint);
    let key_file = file.0.path().join("source.key");
    fs::write(&key_file, &source.key).unwrap();
    let output = run_without(&[&source.key], list.env("FRCOPY_RESOURCE_WEST_2_KEY_FILE", &key_file)).expect(0, &[]);
    assert_eq!(output.stdout.lines().count(), 5);
    run(list.env("FRCOPY_RESOURCE_WEST_2_KEY", "x"))
        .expect(2, &["FRCOPY_RESOURCE_WEST_2_KEY and", "contradict each other"]);
    // The endpoint of the variable with the key of the file: another resource, so its key is refused.
    let mut list = file.command(&["list", "west", "-q"]);
    run(list.env("FRCOPY_RESOURCE_WEST_ENDPOINT", &source.endpoint)).expect(4, &["401"]);
    run_without(&[&source.key], list.env("FRCOPY_RESOURCE_WEST_KEY", &source.key)).expect(0, &[]);
    // The address of v2.1 comes from the variables as well.
    let custom = pair.custom_model();
    let mut copy = file.command(&["copy", &custom, "--from", "east", "--to", "west", "--dry-run"]);
    let without = fs::read_to_string(file.path()).unwrap().replace("region = ", "tenant = ");
    fs::write(file.path(), without).unwrap();
    run_with_keys(&pair, &mut copy).expect(2, &["needs the resource id and the region of west"]);
    run_with_keys(&pair, copy.env("FRCOPY_RESOURCE_WEST_REGION", &target.region)).expect(0, &[]);
    let misspelt = run(file.command(&["list", "west"]).env("FRCOPY_RESOURCE_WEST_ENDPONT", "x"));
    misspelt.expect(2, &["FRCOPY_RESOURCE_WEST_ENDPONT is not a setting", "end its name with _ENDPOINT"]);
}

#[test]
fn names_take_precedence_over_the_environment_and_exclude_the_flags_of_their_side() {
    let (pair, file) = east_and_west(1);
    let unused = UnusedHost::new();
    let mut copy = file.command(&["copy", MODEL, "--from", "EAST", "--to", "west"]);
    copy.env("FRCOPY_SOURCE_ENDPOINT", unused.url()).env("FRCOPY_SOURCE_KEY", SOURCE_KEY);
    copy.env("FRCOPY_TARGET_RESOURCE_ID", "unusable");
    run_with_keys(&pair, &mut copy).expect(0, &[]);
    assert!(unused.got_no_connection());
    for (command, flag) in [
        (&["copy", MODEL][..], ["--source-endpoint", "https://a.example"]),
        (&["copy", MODEL], ["--target-region", "westus2"]),
        (&["check"], ["--target-key-file", "-"]),
        (&["wait", "https://a.example"], ["--source-tenant", "1"]),
    ] {
        let named = ["--from", "east", "--to", "west"];
        run(&mut file.command(&[command, &named, &flag].concat())).expect(2, &["cannot be used with"]);
    }
    run(&mut file.command(&["list", "east", "--source-endpoint", "https://a.example"]))
        .expect(2, &["the flags of the source and the target do not apply to east"]);
}

#[test]
fn the_file_is_in_the_users_configuration_directory_and_read_only_for_a_name() {
    let pair = EmulatedPair::new(1);
    let home = TempDir::new().unwrap();
    let folder = home.path().join("frcopy");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.toml"), "not toml").unwrap();
    let mut command = pair.command(&["list", "source", "-q"]);
    command.env("XDG_CONFIG_HOME", home.path()).env("APPDATA", home.path());
    run(&mut command).expect(0, &[]);
    let mut command = frcopy();
    command.args(["list", "east"]).env("XDG_CONFIG_HOME", home.path()).env("APPDATA", home.path());
    run(&mut command).expect(2, &["config.toml:1:", "it is not valid TOML"]);
    // Not from the current directory: the file there would run a program.
    run(frcopy().args(["list", "east"]).current_dir(&folder)).expect(2, &["there is no resource with the name east"]);
    let missing = home.path().join("missing.toml");
    run(frcopy().args(["list", "east"]).env("FRCOPY_CONFIG", &missing)).expect(2, &["cannot be read from"]);
}

#[test]
fn errors_in_the_file_have_a_line_a_column_and_the_nearest_known_word() {
    let table = "# a comment\n[resources.east]\n";
    for (text, place, what, help) in [
        ("endpont = \"a\"\n", "3:1", "there is no field \"endpont\"", "write endpoint, or remove it"),
        ("key = \"5ecret\"\n", "3:1", "a key does not belong in the configuration file", "key-env"),
        ("key-env = 5\n", "3:11", "key-env is not a text", "quotes"),
        ("key-env = \"5ourcek3y0123456789abcdef0123456\"\n", "3:11", "key-env is not the name of", "EAST_KEY"),
        ("auth = \"aad\"\n", "3:8", "auth is neither key nor entra", "\"entra\""),
        (
            "  endpoint = \"http://a.example\"\n",
            "3:14",
            "endpoint is not usable: http to a.example is not allowed",
            "https",
        ),
        ("region = \"\"\n", "3:10", "region is empty", "remove it"),
        ("key-command = \"pass show east\"\n", "3:15", "key-command is not a list of texts", "[\"pass\""),
        ("key-command = []\n", "3:15", "key-command has no program", "[\"pass\""),
        ("key-from-az = \"yes\"\n", "3:15", "key-from-az is neither true nor false", "true or false"),
        ("key-env = \"A\"\nkey-file = \"b\"\n", "4:1", "key-file and key-env contradict", "remove one"),
        ("auth = \"entra\"\nkey-env = \"A\"\n", "4:1", "key-env and auth = \"entra\" contradict", "remove one"),
        ("account = \"a\"\nendpoint = \"https://a.example\"\n", "4:1", "endpoint and account contradict", "remove one"),
        ("region = \"westus2\n", "3:18", "it is not valid TOML", "correct it"),
        ("[resources.EAST]\n", "3:12", "are the same name", "case does not count"),
        ("[resources.source]\n", "3:12", "source and target are not names", "another name"),
        ("[resorces.west]\n", "3:2", "there is no table or field \"resorces\"", "[resources.NAME]"),
    ] {
        let error = ConfigFile::error_of(&format!("{table}{text}"));
        assert!(error.contains(&format!("FILE:{place}: ")), "{text}: {error}");
        assert!(error.contains(what) && error.contains(help), "{text}: {error}");
        assert!(!error.contains("5ecret"), "{error}");
    }
}

#[test]
fn what_is_missing_is_named_with_the_ways_to_set_it() {
    let file =
        ConfigFile::new("[resources.east]\nregion = \"westus2\"\n[resources.west]\nendpoint = \"https://w.example\"\n");
    run(&mut file.command(&["list", "east"]))
        .expect(2, &["the endpoint of east is missing", "config.toml:1", "FRCOPY_RESOURCE_EAST_ENDPOINT"]);
    run(&mut file.command(&["list", "west"]))
        .expect(2, &["the key of west is missing", "key-env, key-file or key-command", "auth = \"entra\""]);
    run(&mut file.command(&["list", "wets"])).expect(2, &["there is no resource with the name wets", "use west"]);
    run(&mut file.command(&["list", "north"])).expect(2, &["use one of east, west, or define it in"]);
    run(&mut file.command(&["copy", "a", "--from", "east", "--to", "a b"])).expect(2, &["--to \"a b\" is not usable"]);
    fs::write(file.path(), "[resources.east]\nendpoint = \"https://e.example\"\nkey-env = \"EAST_KEY\"\n").unwrap();
    run(&mut file.command(&["list", "east"])).expect(2, &["EAST_KEY is not set", "which key-env names"]);
}

#[test]
fn resources_lists_the_names_and_where_they_are_defined() {
    let file = ConfigFile::new(concat!(
        "[resources.east]\nendpoint = \"https://e.example\"\nkey-env = \"EAST_KEY\"\n",
        "[resources.west]\naccount = \"contoso-west\"\nresource-group = \"rg\"\nkey-from-az = true\n",
    ));
    let mut command = file.command(&["resources"]);
    command.env("FRCOPY_RESOURCE_EAST_REGION", "eastus").env("FRCOPY_RESOURCE_NORTH_ENDPOINT", "https://n.example");
    let path = file.path();
    let output = run(&mut command).expect(0, &[]).stdout.replace(path.to_str().unwrap(), "FILE");
    let rows: Vec<Vec<_>> =
        output.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()).collect()).collect();
    let cells: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|cell| cell.trim()).collect()).collect();
    assert_eq!(
        cells,
        [
            ["NAME", "ENDPOINT", "AUTHENTICATION", "DEFINED IN"],
            ["east", "https://e.example", "key-env", "FILE:1, FRCOPY_RESOURCE_EAST_*"],
            ["north", "https://n.example", "none", "FRCOPY_RESOURCE_NORTH_*"],
            ["west", "account contoso-west", "key-from-az", "FILE:4"],
        ]
    );
    assert_eq!(run(command.arg("-q")).expect(0, &[]).stdout, "east\nnorth\nwest\n");
    let mut command = file.command(&["resources", "--output", "json"]);
    let output = run(&mut command).expect(0, &[]);
    let west: Value = serde_json::from_str(output.stdout.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&west["schema"], &west["name"]), (&json!("frcopy.resource/1"), &json!("west")));
    assert_eq!((&west["account"], &west["endpoint"]), (&json!("contoso-west"), &json!(null)));
    run(frcopy().args(["resources"])).expect(0, &["no resource has a name"]);
}

#[test]
fn a_command_that_resumes_a_copy_has_the_names() {
    let options = Options { models: 1, operation_time: Duration::from_secs(600), ..Options::default() };
    let (pair, file) = east_and_west_of(EmulatedPair::with_options(&options));
    let copy = ["copy", MODEL, "--from", "east", "--to", "west", "--timeout", "2s"];
    let output = run_with_keys(&pair, &mut file.command(&copy)).expect(8, &["to wait for it: frcopy wait "]);
    // Also from another folder, and also if the path is not one word.
    let folder = file.0.path().join("my files");
    fs::create_dir(&folder).unwrap();
    fs::rename(file.0.path().join("west.key"), folder.join("west.key")).unwrap();
    fs::rename(file.path(), folder.join("my config.toml")).unwrap();
    let mut copy_again = frcopy();
    copy_again.args(copy).args(["--if-exists", "skip", "--config", "my config.toml"]).current_dir(&folder);
    let resumed = run_with_keys(&pair, &mut copy_again).expect(8, &["' --from east --to west --config "]);
    for (output, config) in [(output, file.path().display().to_string()), (resumed, "/my files/my config.toml'".into())]
    {
        let line = output.stderr.lines().find_map(|line| line.strip_prefix("to wait for it: frcopy "));
        let line = line.unwrap_or_else(|| panic!("no command in {output:#?}"));
        assert!(line.ends_with(&config) && line.matches("--config").count() == 1, "{line}");
    }
    fs::rename(folder.join("west.key"), file.0.path().join("west.key")).unwrap();
    fs::rename(folder.join("my config.toml"), file.path()).unwrap();
    let arguments = ["wait", "--target-model-id", MODEL, "--api-version", "4.0", "--to", "west", "--timeout", "1s"];
    run_with_keys(&pair, &mut file.command(&arguments)).expect(8, &[]);
}
