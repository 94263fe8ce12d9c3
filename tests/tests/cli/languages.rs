//! `check`, `fmt`, `graph`, `test`, `generate`.

use portcullis_tests::{portcullis, portcullis_in, project};
use serde_json::Value;

use crate::{folder, run_in};

/// The states of SMTP that other parts of the world know by these names.
const STATES: [&str; 7] =
    ["session_initiation", "client_initiation", "command", "response", "data_transmission", "fail", "finish"];

#[test]
fn shipped_grammars_and_policies_are_beyond_reproach() {
    let run = portcullis(["check"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let expected = "shipped dns.grammar: ok\nshipped smtp.grammar: ok\n\
                    shipped dns.policy: ok\nshipped smtp.policy: ok\nshipped smtp-no-chunking.policy: ok\nshipped smtp-strict.policy: ok\nshipped smtp-tidy.policy: ok\n";
    assert_eq!(run.stdout, expected);
    let files = portcullis(["check", "grammars/smtp.grammar", "policies/smtp.policy"]);
    assert_eq!((files.status, files.stderr.as_str()), (0, ""));
    assert_eq!(files.stdout, "grammars/smtp.grammar: ok\npolicies/smtp.policy: ok\n");
}

#[test]
fn the_cost_and_the_names_of_a_protocol_are_known_before_the_first_packet() {
    let cost = portcullis(["check", "grammars/smtp.grammar", "--cost"]);
    assert!(cost.status == 0 && cost.stdout.contains("worst case"), "{}", cost.stdout);
    let list = portcullis(["check", "grammars/smtp.grammar", "--list"]);
    for name in ["record smtp.command", "sender.domain", "smtp.bare_lf", "data_transmission"] {
        assert!(list.stdout.contains(name), "{name}: {}", list.stdout);
    }
}

const ECHO: &str = "
protocol echo over tcp port 7
line message max 512 { text: rest }
machine { start talk  state talk { up message  down message  on message -> talk  on timeout 5 min -> finish } }
";

#[test]
fn a_policy_is_checked_against_the_grammars_beside_it() {
    let policy = "use echo\npolicy mine for echo { rule loud id 1 { on echo.message alert low \"{text}\" } }\n";
    let wrong = "use echo\npolicy mine for echo { rule loud id 1 { on echo.message alert low \"{txt}\" } }\n";
    let folder = folder(&[
        ("echo.grammar", ECHO.as_bytes()),
        ("mine.policy", policy.as_bytes()),
        ("wrong.policy", wrong.as_bytes()),
    ]);
    let run = run_in(folder.path(), &["check", "echo.grammar", "mine.policy"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let run = run_in(folder.path(), &["check", "mine.policy"]);
    assert_eq!((run.status, run.stdout.as_str()), (2, "mine.policy: 2 errors\n"));
    let run = run_in(folder.path(), &["check", "wrong.policy", "echo.grammar"]);
    insta::assert_snapshot!(format!("{}\n{}status {}", run.stderr, run.stdout, run.status));
}

#[test]
fn programs_get_messages_as_json() {
    let wrong = ECHO.replace("up message", "up mesage");
    let folder = folder(&[("echo.grammar", wrong.as_bytes())]);
    let run = run_in(folder.path(), &["check", "--format", "json", "echo.grammar"]);
    assert_eq!((run.status, run.stderr.as_str()), (2, ""));
    let message: Value = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((message["code"].as_str(), message["severity"].as_str()), (Some("C1"), Some("error")));
    assert_eq!(message["labels"][0]["line"], 4);
}

#[test]
fn every_code_is_explained() {
    for page in std::fs::read_dir(project().join("docs/codes")).unwrap() {
        let path = page.unwrap().path();
        let code = path.file_stem().unwrap().to_str().unwrap();
        let run = portcullis(["check", "--explain", code]);
        assert_eq!((run.status, run.stdout), (0, std::fs::read_to_string(&path).unwrap()), "{code}");
    }
}

#[test]
fn formatting_twice_is_formatting_once() {
    for name in ["smtp.grammar", "dns.grammar"] {
        let text = std::fs::read_to_string(project().join("grammars").join(name)).unwrap();
        // Every blank that can be more, is.
        let untidy = text.replace("    ", "\t  ").replace(" }", "   }");
        let folder = folder(&[(name, untidy.as_bytes())]);
        let found = run_in(folder.path(), &["fmt", "--check", name]);
        assert_eq!((found.status, found.stdout), (1, format!("{name}\n")));
        assert_eq!(std::fs::read_to_string(folder.path().join(name)).unwrap(), untidy, "--check changes nothing");
        assert_eq!(run_in(folder.path(), &["fmt", name]).status, 0);
        let once = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(run_in(folder.path(), &["fmt", "--check", name]).status, 0);
        let piped = portcullis_in(folder.path(), ["fmt", "-"], once.as_bytes());
        assert_eq!((piped.status, piped.stdout), (0, once));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no file is left behind");
    }
}

#[test]
fn a_grammar_with_errors_is_not_touched() {
    let wrong = "protocol echo over tcp port 7\nline message max {\n";
    let folder = folder(&[("echo.grammar", wrong.as_bytes())]);
    let run = run_in(folder.path(), &["fmt", "echo.grammar"]);
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("error[S1]"), "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(folder.path().join("echo.grammar")).unwrap(), wrong);
}

#[test]
fn machines_are_drawn() {
    let dot = portcullis(["graph", "smtp"]);
    assert!(dot.status == 0 && dot.stdout.starts_with("digraph smtp {"), "{}", dot.stderr);
    let mermaid = portcullis(["graph", "grammars/smtp.grammar", "--format", "mermaid"]);
    assert!(mermaid.status == 0 && mermaid.stdout.starts_with("stateDiagram-v2"), "{}", mermaid.stderr);
    for state in STATES {
        assert!(dot.stdout.contains(state) && mermaid.stdout.contains(state), "{state}");
    }
}

#[test]
fn tests_of_policies_run() {
    let run = portcullis(["test"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    assert!(run.stdout.lines().count() > 5 && run.stdout.ends_with(" passed, 0 failed\n"), "{}", run.stdout);
}

#[test]
fn a_test_that_fails_says_what_there_was_instead() {
    let policy = r#"
use smtp
policy mine for smtp {
    rule quit   id 1 { on smtp.command  when verb == QUIT  alert low "{client.address} leaves" }
    rule hello  id 2 { on smtp.command  when verb == EHLO  drop }
}
test "leaves" {
    policy mine
    down "220 mx\r\n"   up "QUIT\r\n"   expect alert 1
}
test "stays" {
    policy mine
    down "220 mx\r\n"   up "QUIT\r\n"   expect no alert
}
test "greets" {
    policy mine
    down "220 mx\r\n"   up "EHLO a\r\n"   expect alert 1
}
"#;
    let folder = folder(&[("mine.policy", policy.as_bytes())]);
    let run = run_in(folder.path(), &["test", "mine.policy"]);
    insta::assert_snapshot!(format!("{}{}status {}", run.stderr, run.stdout, run.status));
}

#[test]
fn tests_see_what_becomes_of_records_and_streams() {
    let policy = r#"
use smtp
policy mine for smtp {
    rule seen   id 1 { on smtp.content.start                     edit insert "X-Seen: {client.address}" at start }
    rule lines  id 2 { on smtp.bare_lf                           edit fix }
    rule hello  id 3 { on smtp.reply when asked.verb == EHLO     edit insert "X-GATE" after lines }
    rule name   id 4 { on smtp.command when verb == EHLO         edit insert "{domain}" at end }
}
test "edits" {
    policy mine
    down "220 mx\r\n"   up "EHLO a\n"   expect edit "EHLO aa\r\n"   down "250 mx\r\n"   expect edit "250-mx\r\n250 X-GATE\r\n"
    up "MAIL FROM:<x@y>\r\n"  down "250 ok\r\n"   up "RCPT TO:<u@v>\r\n"  down "250 ok\r\n"   up "DATA\r\n"  down "354 go\r\n"
    up "a\n.\nb\r\n.\r\n"
    expect edit, edit "X-Seen: 192.0.2.1\r\na\r\n..\r\nb\r\n.\r\n"
}
test "a value that breaks the line" {
    policy mine
    down "220 mx\r\n"   up "EHLO a\rb\r\n"   expect edit "EHLO a\rba\rb\r\n"
}
test "no end in between" {
    policy mine
    down "220 mx\r\n"   up "EHLO a\r\n"   down "250 mx\r\n"
    up "MAIL FROM:<x@y>\r\n"  down "250 ok\r\n"   up "RCPT TO:<u@v>\r\n"  down "250 ok\r\n"   up "DATA\r\n"  down "354 go\r\n"
    up "a\n.\r\n.\r\n"
    expect edit "a\r\n.\r\n"
}
"#;
    let folder = folder(&[("mine.policy", policy.as_bytes())]);
    let run = run_in(folder.path(), &["test", "mine.policy"]);
    insta::assert_snapshot!(format!("{}{}status {}", run.stderr, run.stdout, run.status));
}

#[test]
fn packages_get_a_manual_page_and_completions() {
    let page = portcullis(["generate", "man"]);
    assert!(page.status == 0 && page.stdout.contains(".TH portcullis") && page.stdout.contains("fail\\-on"));
    for shell in ["bash", "fish", "zsh"] {
        let run = portcullis(["generate", &format!("complete-{shell}")]);
        assert!(run.status == 0 && run.stdout.contains("portcullis"), "{shell}");
    }
}

#[test]
fn examples_of_grammars_are_run() {
    let page = std::fs::read_to_string(project().join("docs/codes/C22.md")).unwrap();
    let blocks: Vec<&str> = page.split("```grammar\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [wrong, right] = blocks.as_slice() else { panic!("{} examples", blocks.len()) };
    let folder = folder(&[("wrong.grammar", wrong.as_bytes()), ("right.grammar", right.as_bytes())]);
    let run = run_in(folder.path(), &["check", "right.grammar"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let run = run_in(folder.path(), &["check", "wrong.grammar"]);
    insta::assert_snapshot!(format!("{}{}status {}", run.stderr, run.stdout, run.status));
}
