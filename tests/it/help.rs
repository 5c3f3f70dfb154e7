//! The help on the command line: `frcopy help` and `frcopy explain`.

use std::collections::BTreeSet;

use crate::support::{frcopy, run};

#[test]
fn the_help_of_a_command_is_the_same_with_help_and_with_the_flag() {
    for command in
        ["copy", "wait", "list", "check", "authorize", "doctor", "prune", "explain", "completions", "man", "help"]
    {
        let flag = run(frcopy().args([command, "--help"])).expect(0, &[]).stdout;
        assert_eq!(run(frcopy().args(["help", command])).expect(0, &[]).stdout, flag, "{command}");
    }
    let flag = run(frcopy().arg("--help")).expect(0, &[]).stdout;
    assert_eq!(run(frcopy().arg("help")).expect(0, &[]).stdout, flag);
    assert!(flag.contains("Topics (frcopy help TOPIC)"), "{flag}");
}

#[test]
fn every_topic_is_printed_and_fits_into_80_columns() {
    for (topic, words) in [
        ("exit-codes", &["  130  interrupted", "of 4, 2, 3, 5, 6, 8, 7, 1", "--dry-run", "lost"][..]),
        ("json", &["frcopy.copy/1", "frcopy.model/1", "frcopy.check/1", "frcopy.authorize/1", "frcopy.doctor/1"]),
        (
            "environment",
            &["FRCOPY_SOURCE_KEY_FILE", "FRCOPY_TARGET_TOKEN", "FRCOPY_TARGET_REGION", "NO_COLOR", "Properties"],
        ),
        ("authentication", &["Cognitive Services User", "AZURE_FEDERATED_TOKEN_FILE", "FRCOPY_SOURCE_TENANT"]),
        ("ci", &["target-model-id", "inSync"]),
        ("drill", &["frcopy doctor east west", "YOUR OWN RESOURCES"]),
        ("guarantees", &["BURNED", "LOST", "FALSE", "LEAKED", "24 hours", "exit code 8"]),
        ("manifest", &["frcopy.manifest/1", "verifiedAt", "git"]),
        ("models", &["composed", "auto", "--if-exists replace"]),
        ("network", &["429", "SSL_CERT_FILE", "TRACEPARENT"]),
        ("parties", &["--revoke"]),
        ("resume", &["frcopy wait"]),
    ] {
        let output = run(frcopy().args(["help", topic])).expect(0, &[]);
        for word in words {
            assert!(output.stdout.contains(word), "{word} is missing in {}", output.stdout);
        }
        assert!(output.stdout.lines().all(|line| line.chars().count() <= 80), "{}", output.stdout);
        assert_eq!(output.stderr, "");
    }
    let known = [
        "there is no command or topic \"nope\"",
        "copy, wait",
        "drill, environment, exit-codes, guarantees, json, manifest",
    ];
    run(frcopy().args(["help", "nope"])).expect(2, &known);
}

#[test]
fn every_flag_and_variable_of_the_topics_exists() {
    let is_part = |character: char| character.is_ascii_alphabetic() || character == '_' || character == '-';
    let words = |text: &str| -> BTreeSet<String> {
        let words = text.split(|character| !is_part(character)).filter(|word| word.len() > 2);
        words.filter(|word| word.starts_with("--") || word.starts_with("FRCOPY_")).map(str::to_owned).collect()
    };
    let topic = |topic: &str| run(frcopy().args(["help", topic])).expect(0, &[]).stdout;
    let commands = ["copy", "wait", "list", "check", "authorize", "doctor", "prune", "resources"];
    let mut known: BTreeSet<_> = commands.iter().flat_map(|command| words(&topic(command))).collect();
    if cfg!(feature = "emulator") {
        known.extend(words(&topic("emulator")));
    } else {
        known.extend(["--resources", "--write-config"].map(str::to_owned));
    }
    // Those of the Azure CLI.
    known.extend(["--name", "--resource-group", "--query", "--resource"].map(str::to_owned));
    for name in [
        "authentication",
        "ci",
        "configuration",
        "environment",
        "exit-codes",
        "guarantees",
        "json",
        "manifest",
        "models",
        "network",
        "parties",
        "resume",
    ] {
        let used = words(&topic(name));
        assert!(used.is_subset(&known), "{name}: {:?}", used.difference(&known));
    }
}

#[test]
fn every_topic_is_a_manual_page_as_well() {
    let page = run(frcopy().args(["man", "guarantees"])).expect(0, &[]).stdout;
    assert!(page.starts_with(".TH frcopy-guarantees 7 ") && page.contains("\\&NO BURNED IDS\n"), "{page}");
    // No line of the text is read as a request.
    let requests: BTreeSet<_> = page.lines().filter(|line| line.starts_with(['.', '\''])).collect();
    let names: BTreeSet<_> = requests.iter().map(|line| &line[..3]).collect();
    assert_eq!(names, BTreeSet::from([".TH", ".SH", ".nf", ".in", ".fi"]));
}

#[test]
fn a_code_of_the_service_is_explained_with_its_remedy_and_exit_code() {
    for (code, words) in [
        (
            "2024",
            &[
                "meaning: the target's resource id and region do not belong",
                "help: set the target's resource id and region to those of the target",
                "exit code: 3\n",
            ][..],
        ),
        ("modelexists", &["ModelExists is a code of the service", "exit code: 6 for a refused request"]),
        (
            "401",
            &["meaning: the key is not one of this endpoint's", "help: check that the key is a key of the endpoint"],
        ),
        ("ModelReadOnly", &["help: choose a custom model"]),
        ("PermissionDenied", &["Cognitive Services User", "exit code: 4"]),
        ("403 Out of call volume quota for FormRecognizer F0 pricing tier.", &["used up", "exit code: 7\n"]),
    ] {
        let output = run(frcopy().args(["explain", code])).expect(0, &[]);
        for word in words {
            assert!(output.stdout.contains(word), "{word} is missing in {}", output.stdout);
        }
        assert!(output.stdout.lines().all(|line| line.chars().count() <= 80), "{}", output.stdout);
    }
}

#[test]
fn every_exit_code_is_explained() {
    for code in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "130", "143"] {
        let output = run(frcopy().args(["explain", code])).expect(0, &[]);
        assert!(output.stdout.starts_with(&format!("{code} is an exit code of frcopy.\n")), "{}", output.stdout);
        assert!(output.stdout.contains("meaning: ") && output.stdout.contains("help: "), "{}", output.stdout);
    }
}

#[test]
fn explain_without_a_code_lists_every_code() {
    let output = run(frcopy().arg("explain")).expect(0, &[]);
    for code in ["    8  ", "  143  ", "  1001\n", "  ModelExists\n", "  Out of call volume quota\n"] {
        assert!(output.stdout.contains(code), "{code} is missing in {}", output.stdout);
    }
    assert!(output.stdout.lines().all(|line| line.chars().count() <= 80), "{}", output.stdout);
}

#[test]
fn an_unknown_code_is_refused() {
    let output = run(frcopy().args(["explain", "4711"])).expect(2, &["error: \"4711\" is not a known code"]);
    assert_eq!(output.stdout, "");
}

#[test]
fn a_misspelt_code_leads_to_the_nearest_one() {
    run(frcopy().args(["explain", "ModelExist"])).expect(2, &["did you mean ModelExists?"]);
    run(frcopy().args(["explain", "xyz"])).expect(2, &["give one of the codes that frcopy explain lists"]);
}

/// The text of an error that the topic network names, as the topic and as the source of the message have it.
#[test]
fn the_topic_network_names_the_errors_as_they_are_printed() {
    let text = run(frcopy().args(["help", "network"])).expect(0, &[]).stdout;
    let (_, errors) = text.split_once("ERRORS\n").unwrap();
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let names: Vec<_> = errors.lines().filter(is_name).filter_map(|line| line.trim().split("  ").next()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    let source =
        include_str!("../../src/client/transport.rs").to_owned() + include_str!("../../src/api/service_error.rs");
    for name in names {
        let printed = name.replace("(HTTP 404)", "(HTTP {status})");
        assert!(source.contains(&printed), "{name} is not printed");
    }
}
