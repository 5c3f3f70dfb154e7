//! The help on the command line: `frcopy help` and `frcopy explain`.

use crate::support::{frcopy, run};

#[test]
fn the_help_of_a_command_is_the_same_with_help_and_with_the_flag() {
    for command in ["copy", "wait", "list", "check", "authorize", "explain", "completions", "man", "help"] {
        let flag = run(frcopy().args([command, "--help"])).expect(0, &[]).stdout;
        assert_eq!(run(frcopy().args(["help", command])).expect(0, &[]).stdout, flag, "{command}");
    }
    let flag = run(frcopy().arg("--help")).expect(0, &[]).stdout;
    assert_eq!(run(frcopy().arg("help")).expect(0, &[]).stdout, flag);
    assert!(flag.contains("Topics: frcopy help exit-codes"), "{flag}");
}

#[test]
fn every_topic_is_printed_and_fits_into_80_columns() {
    for (topic, words) in [
        ("exit-codes", &["  130  interrupted", "of 4, 2, 3, 5, 6, 8, 7, 1"][..]),
        ("json", &["frcopy.copy/1", "frcopy.model/1", "frcopy.check/1", "frcopy.authorize/1", "frcopy.id-map/1"]),
        ("environment", &["FRCOPY_SOURCE_KEY_FILE", "FRCOPY_TARGET_TOKEN", "FRCOPY_TARGET_REGION", "NO_COLOR"]),
    ] {
        let ending = run(frcopy().args(["help", topic])).expect(0, &[]);
        for word in words {
            assert!(ending.stdout.contains(word), "{word} is missing in {}", ending.stdout);
        }
        assert!(ending.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ending.stdout);
        assert_eq!(ending.stderr, "");
    }
    let known = ["there is no command or topic \"nope\"", "copy, wait", "exit-codes, json, environment"];
    run(frcopy().args(["help", "nope"])).expect(2, &known);
}

#[test]
fn a_code_of_the_service_is_explained_with_its_remedy_and_exit_code() {
    for (code, words) in [
        ("2024", &["meaning: the service refused", "help: make --target-resource-id", "exit code: 3\n"][..]),
        ("modelexists", &["ModelExists is a code of the service", "exit code: 6 for a refused request"]),
        ("401", &["FRCOPY_<SIDE>_KEY", "<side> is source or target"]),
    ] {
        let ending = run(frcopy().args(["explain", code])).expect(0, &[]);
        for word in words {
            assert!(ending.stdout.contains(word), "{word} is missing in {}", ending.stdout);
        }
        assert!(ending.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ending.stdout);
    }
}

#[test]
fn every_exit_code_is_explained() {
    for code in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "130", "143"] {
        let ending = run(frcopy().args(["explain", code])).expect(0, &[]);
        assert!(ending.stdout.starts_with(&format!("{code} is an exit code of frcopy.\n")), "{}", ending.stdout);
        assert!(ending.stdout.contains("meaning: ") && ending.stdout.contains("help: "), "{}", ending.stdout);
    }
}

#[test]
fn an_unknown_code_is_refused_with_the_known_ones() {
    let known = ["error: \"4711\" is not a known code", "0, 1, 2", "130, 143", "1001", "ModelExists"];
    let ending = run(frcopy().args(["explain", "4711"])).expect(2, &known);
    assert_eq!(ending.stdout, "");
}
