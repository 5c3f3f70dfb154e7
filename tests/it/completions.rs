//! Shell completions and manual pages.

use crate::support::{frcopy, run};

#[test]
fn the_completions_of_every_shell_contain_every_command_and_option() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(frcopy().args(["completions", shell])).expect(0, &[]).stdout;
        for word in ["copy", "wait", "list", "check", "target-resource-id", "if-exists", "expiring-within"] {
            assert!(script.contains(word), "{word} is missing for {shell}");
        }
    }
    run(frcopy().args(["completions", "tcsh"])).expect(2, &["bash", "zsh", "fish", "powershell", "elvish"]);
}

/// What bash offers for the last word of a command line, with two resources in the environment.
#[cfg(unix)]
fn offered(words: &[&str]) -> Vec<String> {
    let script = run(frcopy().args(["completions", "bash"])).expect(0, &[]).stdout;
    let complete = "\nCOMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1))
        _frcopy frcopy \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_frcopy"));
    let mut bash = std::process::Command::new("bash");
    bash.args(["--norc", "-c", &(script + complete), "bash", "frcopy"]).args(words).env_clear();
    bash.env("PATH", format!("{}:/usr/bin:/bin", binary.parent().unwrap().display()));
    for name in ["EAST", "WEST_2"] {
        bash.env(format!("FRCOPY_RESOURCE_{name}_ENDPOINT"), "https://a.example");
    }
    let output = bash.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[cfg(unix)]
#[test]
fn bash_offers_the_names_of_resources_where_a_command_takes_one() {
    for words in [&["copy", "--all", "--from", ""][..], &["check", "--to", ""], &["wait", "--from", ""]] {
        assert_eq!(offered(words), ["east", "west-2"], "{words:?}");
    }
    assert_eq!(offered(&["copy", "--to", "w"]), ["west-2"]);
    assert_eq!(offered(&["doctor", "e"]), ["east"]);
    for command in ["list", "prune"] {
        let offered = offered(&[command, ""]);
        assert!(offered.ends_with(&["source", "target", "east", "west-2"].map(str::to_owned)), "{offered:?}");
    }
    assert!(!offered(&["copy", "--if-exists", ""]).contains(&"east".to_owned()));
}

#[test]
fn zsh_and_fish_look_the_names_up_when_a_word_is_completed() {
    for (shell, name, argument) in [
        (
            "zsh",
            ":NAME:($(frcopy resources -q 2>/dev/null))' \\\n",
            ":(source target $(frcopy resources -q 2>/dev/null))",
        ),
        ("fish", " -r -f -a \"(frcopy resources -q 2>/dev/null)\"\n", " -f -a '(frcopy resources -q 2>/dev/null)'\n"),
    ] {
        let script = run(frcopy().args(["completions", shell])).expect(0, &[]).stdout;
        let options = script.matches(name).count();
        // --from and --to of copy, wait and check, and --to of authorize.
        assert_eq!(options, 7, "{shell}");
        assert!(script.contains(argument), "{shell}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(frcopy().args(["completions", shell])).expect(0, &[]).stdout;
        assert!(!script.contains("RESOURCE_NAMES"), "{shell}");
    }
}

#[test]
fn frcopy_and_each_command_have_a_manual_page() {
    let page = run(frcopy().arg("man")).expect(0, &[]).stdout;
    assert!(page.contains("\n.nh\n.ad l\n.SH NAME\n"), "{page}");
    assert!(page.contains(".TH frcopy 1") && page.contains("frcopy\\-copy(1)"), "{page}");
    for (command, words) in [
        ("copy", ["\\-\\-if\\-exists", "Exit codes"]),
        ("check", ["\\-\\-expiring\\-within", "exit 9"]),
        ("wait", ["OPERATION_URL", "\\-\\-no\\-verify"]),
    ] {
        let page = run(frcopy().args(["man", command])).expect(0, &[]).stdout;
        assert!(page.contains(&format!(".TH frcopy-{command} 1")), "{page}");
        assert!(words.iter().all(|word| page.contains(word)), "{page}");
    }
    run(frcopy().args(["man", "nope"]))
        .expect(2, &["there is no command or topic \"nope\"", "commands copy, wait", "topics authentication"]);
}
