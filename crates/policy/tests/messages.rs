//! What is said about policies that are wrong: source, then message, as a reader sees them.
//!
//! `INSTA_UPDATE=always cargo test -p portcullis-policy --test messages` writes the snapshots anew.

mod support;

use portcullis_lang::{Code, Severity, render_all};
use support::compile;

/// Compares what is said about a policy with its snapshot; the codes have to be these.
fn says(name: &str, codes: &[Code], text: &str) {
    let (sources, compiled) = compile(text);
    let (diagnostics, warnings) = match compiled {
        Ok(compiled) => (compiled.warnings, true),
        Err(diagnostics) => (diagnostics, false),
    };
    let printed = render_all(&diagnostics, &sources, false);
    let found: Vec<Code> = diagnostics.sorted().iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(found, codes, "{printed}");
    assert_eq!(warnings, diagnostics.iter().all(|diagnostic| diagnostic.severity == Severity::Warning));
    insta::assert_snapshot!(name, format!("{}\n----\n{printed}", text.trim_end()));
}

/// The same of a rule for SMTP with these clauses.
fn rule_says(name: &str, codes: &[Code], clauses: &str) {
    says(name, codes, &format!("policy gateway for smtp {{\n    rule one id 1001 {{\n{clauses}\n    }}\n}}\n"));
}

#[test]
fn unknown_events() {
    rule_says("event_meant", &[Code::C17], "        on smtp.mail_data\n        drop");
    rule_says("event_misspelt", &[Code::C17], "        on smtp.comand\n        drop");
    rule_says("event_unknown", &[Code::C17], "        on smtp.quux\n        drop");
    rule_says("event_without_protocol", &[Code::C17], "        on command\n        drop");
    rule_says("event_of_other_protocol", &[Code::C17], "        on dns.query\n        drop");
    rule_says("event_of_no_protocol", &[Code::C17], "        on smpt.command\n        drop");
    rule_says("event_is_protocol", &[Code::C17], "        on smtp\n        drop");
    rule_says("event_of_layer", &[Code::S6], "        on tcp.anomaly\n        drop");
    rule_says("event_twice", &[Code::S7], "        on smtp.fail, smtp.reply, smtp.fail\n        drop");
}

#[test]
fn fields() {
    rule_says(
        "field_of_other_event",
        &[Code::C17],
        "        on smtp.reply when recipient.domain == \"x\"\n        drop",
    );
    rule_says("field_that_the_flow_keeps", &[Code::C17], "        on smtp.reply when verb == AUTH\n        drop");
    rule_says(
        "field_of_other_variant",
        &[Code::C10],
        "        on smtp.command when sender.domain == \"x\"\n        drop",
    );
    rule_says(
        "field_of_excluded_variant",
        &[Code::C10],
        "        on smtp.command when verb == RCPT\n        alert low \"{sender.domain}\"",
    );
    rule_says("field_misspelt", &[Code::C1], "        on smtp.command when vreb == MAIL\n        drop");
    rule_says(
        "field_not_in_all_events",
        &[Code::C17],
        "        on smtp.command, smtp.reply\n        when verb == MAIL\n        drop",
    );
    rule_says("state_misspelt", &[Code::C1], "        on smtp.bare_lf when state == data_transmision\n        drop");
    rule_says("number_as_text", &[Code::C11], "        on smtp.reply when code == \"220\"\n        drop");
    rule_says("text_of_group", &[Code::C11], "        on smtp.command when verb == MAIL\n        log \"{sender}\"");
    rule_says("list_unknown", &[Code::C1], "        on smtp.command when verb in baned\n        drop");
}

#[test]
fn rules_that_are_never_reached() {
    says(
        "unreached_after_drop",
        &[Code::C2],
        r#"policy gateway for smtp {
    rule all id 1001 {
        on smtp.command
        drop
    }
    rule mail id 1002 {
        on   smtp.command
        when verb == MAIL
        alert low "mail"
    }
}
"#,
    );
    says(
        "unreached_with_more_tests",
        &[Code::C2],
        r#"policy gateway for smtp {
    rule mail id 1001 { on smtp.command when verb == MAIL   pass }
    rule banned id 1002 {
        on   smtp.command when verb == MAIL
        when sender.domain == "banned.example"
        drop
    }
}
"#,
    );
    says(
        "unreached_on_one_event",
        &[Code::C2],
        r#"policy one for smtp { rule all id 1 { on smtp.fail  pass } }
policy two for smtp { rule some id 2 { on smtp.bare_lf, smtp.fail  drop } }
"#,
    );
    // Observed verdicts, thresholds and narrower policies leave something to those behind them.
    let (_, compiled) = compile(
        r#"policy one for smtp when client in 10.0.0.0/8 { rule a id 1 { on smtp.fail  drop } }
           policy two for smtp { mode observe  rule b id 2 { on smtp.fail  drop } }
           policy three for smtp {
               rule c id 3 { on smtp.fail  after 2 per client in 1 s  drop }
               rule d id 4 { on smtp.fail when state == command  drop }
               rule e id 5 { on smtp.fail  drop }
           }"#,
    );
    assert!(compiled.is_ok_and(|compiled| compiled.warnings.is_empty()));
    // So does a file that is given first: it overrules those behind it, and is meant to.
    let mut sources = portcullis_lang::Sources::new();
    let policy = |name: &str, id: u32| format!("policy {name} for smtp {{ rule r id {id} {{ on smtp.fail  drop }} }}");
    let files = [sources.add("one.policy", policy("one", 1)), sources.add("two.policy", policy("two", 2))];
    let compiled = portcullis_policy::PolicySet::compile(&sources, &files, &[support::smtp()], &mut support::lists);
    assert!(compiled.is_ok_and(|compiled| compiled.warnings.is_empty()));
}

#[test]
fn numbers_and_names_of_rules() {
    says(
        "number_missing",
        &[Code::S1],
        "policy p for smtp {\n    rule first id 7 { on smtp.fail drop }\n    rule second { on smtp.reply drop }\n}\n",
    );
    says(
        "number_twice",
        &[Code::S7],
        "policy p for smtp { rule a id 7 { on smtp.fail drop } }\npolicy q for dns { rule a id 7 { on dns.query drop } }\n",
    );
    says("number_too_large", &[Code::S3], "policy p for smtp { rule a id 5000000000 { on smtp.fail drop } }\n");
    says(
        "name_twice",
        &[Code::S7],
        "policy p for smtp {\n    rule a id 7 { on smtp.fail drop }\n    rule a id 8 { on smtp.reply drop }\n}\n",
    );
    says(
        "policy_twice",
        &[Code::S7],
        "policy p for smtp { rule a id 1 { on smtp.fail drop } }\npolicy p for dns { rule b id 2 { on dns.query drop } }\n",
    );
}

#[test]
fn what_is_not_supported_yet() {
    let all = r#"policy gateway for smtp {
    default drop
    rule one id 1 {
        on      smtp.command
        extract
        set     flow.seen = 1
        count   seen
        tag     odd
    }
    rule two id 2 { on flow.start  drop }
}

policy edge for ip {
    default drop
    rule mail { on flow.start when server.port in (25, 587)   pass }
}
"#;
    says("not_supported", &[Code::S6; 7], all);
}

#[test]
fn clauses() {
    rule_says("clause_unknown", &[Code::S1], "        on smtp.fail\n        alrt low \"x\"\n        drop");
    rule_says("clause_twice", &[Code::S7], "        on smtp.fail\n        alert low \"x\"\n        alert high \"y\"");
    rule_says(
        "when_twice",
        &[Code::S7],
        "        on smtp.reply\n        when code == 1\n        when code == 2\n        drop",
    );
    rule_says("two_verdicts", &[Code::S7], "        on smtp.fail\n        pass\n        drop");
    rule_says("no_event", &[Code::S1], "        drop");
    rule_says("no_action", &[Code::C21], "        on smtp.fail");
    rule_says("severity_unknown", &[Code::S1], "        on smtp.fail\n        alert hihg \"x\"");
    rule_says("text_missing", &[Code::S1], "        on smtp.fail\n        alert high");
    rule_says("mode_unknown", &[Code::S1], "        on smtp.fail\n        mode watch\n        drop");
    rule_says("observe_without_verdict", &[Code::C21], "        on smtp.fail\n        log \"x\"\n        mode observe");
    rule_says("about_without_value", &[Code::S1], "        on smtp.fail\n        drop\n        about attack phishing");
    rule_says(
        "threshold_of_nothing",
        &[Code::S3],
        "        on smtp.fail\n        after 0 per client in 1 s\n        drop",
    );
    rule_says(
        "threshold_without_time",
        &[Code::S3],
        "        on smtp.fail\n        after 3 per client in 10\n        drop",
    );
    rule_says("hole_misspelt", &[Code::C1], "        on smtp.fail\n        log \"failed: {raeson}\"");
}

#[test]
fn declarations() {
    says("declaration_unknown", &[Code::S1], "polcy p for smtp { rule a id 1 { on smtp.fail drop } }\n");
    says("rule_at_top_level", &[Code::S1], "rule a id 1 { on smtp.fail drop }\n");
    says("policy_without_protocol", &[Code::S1], "policy p {\n    rule a id 1 { on smtp.fail drop }\n}\n");
    says(
        "protocol_unknown",
        &[Code::C1, Code::C1],
        "use smpt\npolicy p for smpt { rule a id 1 { on smpt.fail drop } }\n",
    );
    says("policy_without_end", &[Code::S2], "policy p for smtp {\n    rule a id 1 { on smtp.fail drop }\n");
    says(
        "rule_without_end",
        &[Code::S2],
        "policy p for smtp {\n    rule a id 1 {\n        on smtp.fail\n        drop\n    rule b id 2 { on smtp.reply drop }\n}\n",
    );
    says("policy_without_rules", &[Code::C21], "policy p for smtp { }\n");
    says(
        "when_of_policy_reads_event",
        &[Code::C1],
        "policy p for smtp when verb == MAIL { rule a id 1 { on smtp.fail drop } }\n",
    );
}

#[test]
fn lists_and_networks() {
    says("list_without_file", &[Code::S8], "list banned from \"lists/baned.txt\"\n");
    says("list_with_columns", &[Code::S8], "list banned from \"lists/columns.txt\"\n");
    says("list_with_empty_entry", &[Code::S8], "list risky = [\".exe\", \"\"]\n");
    says("list_without_source", &[Code::S1], "list risky\n");
    says("list_twice", &[Code::S7], "list a = [\"x\"]\nnetwork a = [10.0.0.0/8]\n");
    says("network_of_name", &[Code::S1], "network inside = [10.0.0.0/8, lan]\n");
    says(
        "network_with_host_bits",
        &[Code::C21],
        "network inside = [10.0.0.1/8, fd00::1/64]\n".replace(", fd00::1/64", "").as_str(),
    );
    says(
        "network_for_text",
        &[Code::C11],
        "network inside = [10.0.0.0/8]\npolicy p for smtp { rule a id 1 { on smtp.command when verb in inside  drop } }\n",
    );
}

#[test]
fn tests_of_policies() {
    says(
        "test_of_unknown_policy",
        &[Code::C1, Code::C1],
        "policy gateway for smtp { rule a id 1 { on smtp.fail drop } }\ntest \"x\" {\n    policy gatewy\n    up \"x\"\n    expect alert 2\n}\n",
    );
    says("test_that_cannot_fail", &[Code::C21], "test \"x\" {\n    up \"x\"\n}\n");
    says("test_of_nothing_known", &[Code::S1], "test \"x\" {\n    up \"x\"\n    expect refusal \"550\"\n}\n");
}

#[test]
fn refusals_that_nobody_would_understand() {
    let refuse = |name: &str, on: &str, text: &str| {
        rule_says(name, &[Code::C17], &format!("        on smtp.{on}\n        refuse \"{text}\""));
    };
    refuse("refusal_without_code", "command", "no");
    refuse("refusal_of_another_code", "command", "250 ok");
    refuse("refusal_of_two_lines", "command", "550 no\\r\\n550 really");
    refuse("refusal_with_a_mark", "command", "550-no");
    refuse("refusal_after_takeover", "starttls_injection", "550 no");
    refuse("refusal_at_the_end", "finish", "550 no");
    let long = format!("550 {}", "x".repeat(507));
    let (_, compiled) =
        compile(&format!("policy p for smtp {{ rule r id 1 {{ on smtp.command refuse \"{long}\" }} }}"));
    assert!(compiled.is_err());
    let longest = long.get(..510).unwrap();
    let (_, compiled) =
        compile(&format!("policy p for smtp {{ rule r id 1 {{ on smtp.command refuse \"{longest}\" }} }}"));
    assert!(compiled.is_ok());
    says(
        "refusal_of_no_protocol",
        &[Code::C17],
        "policy p for dns {\n    rule r id 1 {\n        on dns.query\n        refuse \"550 no\"\n    }\n}\n",
    );
}

#[test]
fn blocks_and_edits_that_cannot_be() {
    rule_says("block_of_field", &[Code::C11], "        on smtp.fail\n        block state for 1 h");
    rule_says("block_without_time", &[Code::S3], "        on smtp.fail\n        block client.address for 5");
    let edit = |name: &str, code: Code, on: &str, edit: &str| {
        rule_says(name, &[code], &format!("        on smtp.{on}\n        edit {edit}"));
    };
    edit("edit_of_what_has_left", Code::C17, "reply", "set asked.verb = \"NOOP\"");
    edit("edit_of_stream", Code::C17, "content", "set data = \"x\"");
    edit("edit_of_computed_field", Code::C17, "command when verb == MAIL", "set sender.domain = \"x\"");
    edit("edit_of_absent_field", Code::C10, "command", "set domain = \"x\"");
    edit("edit_with_line_end", Code::C11, "command when verb == EHLO", "set domain = \"x\\r\\nQUIT\"");
    edit("edit_of_no_list", Code::C1, "reply", "delete line where text == \"x\"");
    edit("edit_of_counted_list", Code::C17, "command when verb == MAIL", "delete options where name == \"x\"");
    edit("edit_with_unknown_name", Code::C1, "reply", "delete lines where txt == \"x\"");
    edit("edit_of_nothing", Code::S1, "reply", "\"x\"");
    edit("insert_without_place", Code::S1, "reply", "insert \"x\"");
    edit("insert_of_nothing", Code::C11, "command", "insert \"\" at end");
    edit("insert_with_line_end", Code::C11, "command", "insert \" {verb}\\r\\nQUIT\" at end");
    edit("insert_with_half_a_newline", Code::C11, "content.start", "insert \"X: y\\n\" at start");
    edit("insert_of_line_with_line_end", Code::C11, "reply", "insert \"x\\r\\n\" after lines");
    edit("insert_at_end_of_many_lines", Code::C17, "reply", "insert \"x\" at end");
    edit("insert_at_start_that_has_left", Code::C17, "content", "insert \"x\" at start");
    edit("insert_at_end_to_come", Code::C17, "content.start", "insert \"x\" at end");
    edit("insert_into_chunk", Code::C17, "content.chunk", "insert \"x\" at end");
    edit("insert_into_counted_list", Code::C17, "command when verb == MAIL", "insert \"x\" after options");
    edit("insert_among_no_elements", Code::C1, "reply", "insert \"x\" after code where text == \"x\"");
    edit("insert_at_computed_field", Code::C17, "reply", "insert \"x\" after code");
    edit("insert_of_unknown_name", Code::C1, "reply", "insert \"{txt}\" after lines");
    edit("fix_of_record", Code::C17, "reply", "fix");
    edit("fix_without_form", Code::C23, "ambiguous_end", "fix");
    rule_says("edit_without_edit", &[Code::S1], "        on smtp.reply\n        insert \"x\" at end");
}

#[test]
fn independent_errors_are_all_reported() {
    says(
        "several_errors",
        &[Code::C17, Code::S1, Code::C11, Code::C1],
        r#"policy gateway for smtp {
    rule one id 1 {
        on      smtp.comand
        alert   sevre "x"
    }
    rule two id 2 {
        on      smtp.reply
        when    code == "220" and cood == 3
        drop
    }
}
"#,
    );
}

#[test]
fn what_streams_cannot_be_asked() {
    rule_says(
        "stream_that_starts_with",
        &[Code::S1],
        "        on smtp.content\n        when contains \"a\" == true\n        drop",
    );
    rule_says(
        "stream_test_of_record",
        &[Code::C11],
        "        on smtp.command\n        when contains \"a\"\n        drop",
    );
    rule_says(
        "stream_expression_too_large",
        &[Code::S5],
        "        on smtp.content\n        when matches /a.{60}b.{60}c/\n        drop",
    );
    rule_says("position_of_record", &[Code::C1], "        on smtp.command\n        log \"{position}\"");
}

#[test]
fn holds_that_do_not_come_to_their_end() {
    rule_says("hold_until_answer", &[Code::C24], "hold smtp.content until smtp.reply max 8 KB");
    rule_says("hold_of_anomaly", &[Code::C24], "hold smtp.bare_lf until smtp.content max 8 KB");
    rule_says("hold_until_anomaly", &[Code::C24], "hold smtp.content until smtp.bare_lf max 8 KB");
    rule_says("hold_of_record", &[Code::C24], "hold smtp.command when verb == MAIL until smtp.content max 8 KB");
}

#[test]
fn holds_without_what_they_need() {
    rule_says("hold_without_max", &[Code::S1], "hold smtp.content until smtp.content");
    rule_says("hold_too_much", &[Code::S3], "hold smtp.content until smtp.content max 1 MB");
    rule_says("hold_unknown_event", &[Code::C17], "hold smtp.content until smtp.contend max 8 KB");
    rule_says("hold_of_other_protocol", &[Code::C17], "hold smtp.content until dns.query max 8 KB");
    rule_says("hold_and_on", &[Code::S7], "hold smtp.content until smtp.content max 8 KB\non smtp.command");
    rule_says("on_and_hold", &[Code::S7], "on smtp.command\nhold smtp.content until smtp.content max 8 KB");
}

#[test]
fn too_many_holds() {
    let rule = |number: usize| {
        format!("    rule r{number} id {} {{ hold smtp.content until smtp.content max {number} }}\n", number + 1)
    };
    let rules = |count: usize| (1..=count).map(rule).collect::<String>();
    let policy = |count| format!("policy p for smtp {{\n{}}}\n", rules(count));
    assert!(compile(&policy(32)).1.is_ok());
    let found = compile(&policy(33)).1.expect_err("one too many");
    assert_eq!(found.sorted().iter().map(|diagnostic| diagnostic.code).collect::<Vec<_>>(), [Code::S5]);
}
