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
