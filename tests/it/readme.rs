//! The README is the manual: what it shows of the command line is what the command line says.

use crate::support::{frcopy, run};

const README: &str = include_str!("../../README.md");

#[test]
fn the_readme_shows_the_help_of_copy_word_for_word() {
    let help = run(frcopy().args(["copy", "-h"])).expect(0, &[]).stdout;
    assert!(README.contains(&format!("```text\n$ frcopy copy -h\n{help}```")), "put this into the README:\n{help}");
}

#[cfg(feature = "emulator")]
#[test]
fn the_readme_shows_the_help_of_the_emulator_word_for_word() {
    let help = run(frcopy().args(["emulator", "-h"])).expect(0, &[]).stdout;
    assert!(README.contains(&format!("```text\n$ frcopy emulator -h\n{help}```")), "put this into the README:\n{help}");
}

#[test]
fn the_readme_lists_every_exit_code_and_variable() {
    for code in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] {
        assert!(README.contains(&format!("\n| {code} |")), "exit code {code}");
    }
    for side in ["SOURCE", "TARGET"] {
        for variable in [
            "ENDPOINT",
            "KEY",
            "KEY_FILE",
            "AUTH",
            "TENANT",
            "TOKEN",
            "TOKEN_FILE",
            "ACCOUNT",
            "RESOURCE_GROUP",
            "SUBSCRIPTION",
        ] {
            assert!(README.contains(&format!("`FRCOPY_{side}_{variable}`")), "{side} {variable}");
        }
    }
    for variable in ["FRCOPY_TARGET_RESOURCE_ID", "FRCOPY_TARGET_REGION"] {
        assert!(README.contains(&format!("`{variable}`")), "{variable}");
    }
}
