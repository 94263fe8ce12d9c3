//! Policies that were damaged at random: a message or a policy, never a panic, never without an end.

mod support;

use std::fs;
use std::path::Path;

use portcullis_lang::render_all;
use proptest::prelude::*;
use support::{Event, compile};

const SAMPLE: &str = r#"# a sample with every construct
use smtp, dns
list banned from "lists/banned-domains.txt"
list risky = [".exe", ".scr"]
network inside = [10.0.0.0/8, 192.0.2.1, fd00::/8]
policy gateway for smtp when server in inside and client.port > 1023 {
    mode observe
    rule banned id 1001 {
        on smtp.command when verb == MAIL, smtp.command
        when sender.domain in banned or sender.address ends with any risky or sender.address matches /a[b-d]{2,9}$/
        after 5 per client.address in 10 min
        alert high "mail from {sender.domain} {{ {length of sender.address} \x41" at most 1 per sender.domain in 1 h
        log "x {state}"
        drop
        about attack T1566.001 url "https://wiki.example/banned"
    }
    rule option id 1002 { on smtp.command when verb in (MAIL, RCPT) and any options.value.text contains "+0A" pass }
    rule reply id 1003 { on smtp.reply when code in 400..499 and every lines.code == code and not (code == 421) log "" mode observe }
    rule refused id 1004 { on smtp.fail block client.address for 1 h refuse "550 no" }
    rule edited id 1005 { on smtp.command when verb == EHLO edit set domain = domain + "x" edit replace /x/ with "y" in domain }
    rule put id 1007 { on smtp.reply edit insert "{code} x" after lines where text starts with "SIZE" edit insert "y" before lines }
    rule top id 1008 { on smtp.content.start edit insert "X: y\r\n" at start }
    rule right id 1009 { on smtp.bare_lf edit fix }
    rule lines id 1006 { on smtp.reply edit delete lines where text starts with "CHUNKING" bypass }
}
policy names for dns { rule many id 2 { on dns.query when count of questions > 1 alert low "{questions.first.type}" } }
test "x" { policy gateway down "220 mx\r\n" up "EHLO a\r\n" expect alert 1001, no alert, drop }
"#;

/// Compiles, prints what is said, and judges with what can be used.
fn survives(text: &str) {
    let (sources, compiled) = compile(text);
    match compiled {
        Ok(compiled) => {
            let event = Event::new("smtp", "command").with("verb", "MAIL").with("sender.domain", "banned.example");
            event.judge(&compiled.policies);
            Event::new("smtp", "fail").judge(&compiled.policies);
            Event::new("dns", "query").list("questions", &[&[]]).judge(&compiled.policies);
            compiled.policies.demand();
        }
        Err(diagnostics) => {
            assert!(diagnostics.has_errors());
            for diagnostic in diagnostics.iter() {
                assert!(diagnostic.span().is_some(), "a message without a place: {}", diagnostic.title);
            }
            render_all(&diagnostics, &sources, false);
        }
    }
}

fn words() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        "=",
        "==",
        "\"",
        "/",
        "#",
        "\n",
        "rule",
        "policy",
        "on",
        "when",
        "after",
        "alert",
        "low",
        "id",
        "1001",
        "in",
        "and",
        "or",
        "not",
        "any",
        "every",
        "MAIL",
        "smtp.command",
        "per",
        "10 min",
        "at most",
        "about",
        "drop",
        "pass",
        "log \"{x}\"",
        "refuse",
        "list",
        "network",
        "test",
        "expect",
        "10.0.0.0/8",
        "18446744073709551615",
        "-",
        "\u{fffd}",
        "\\",
        "'",
        "é",
        "sender.domain",
        "{sender",
        "T1566",
        "mode observe",
    ])
    .prop_map(str::to_owned)
}

#[test]
fn the_sample_is_understood() {
    survives(SAMPLE);
    // All but the event named twice is right.
    let (sources, compiled) = compile(SAMPLE);
    let diagnostics = compiled.expect_err("an error");
    assert_eq!(diagnostics.error_count(), 1, "{}", render_all(&diagnostics, &sources, false));
}

#[test]
fn every_prefix_and_every_missing_byte() {
    for end in (0..SAMPLE.len()).filter(|end| SAMPLE.is_char_boundary(*end)) {
        survives(&SAMPLE[..end]);
        let mut without = SAMPLE.to_owned();
        without.remove(end);
        survives(&without);
    }
}

#[test]
fn deep_and_wide() {
    for text in [
        "policy p for smtp { ".repeat(5_000),
        "{".repeat(50_000),
        "policy p for smtp { rule r id 1 { on smtp.command when ".to_owned() + &"(".repeat(50_000),
        "policy p for smtp { rule r id 1 { on smtp.command when ".to_owned() + &"not ".repeat(50_000),
        "policy p for smtp { rule r id 1 { on smtp.reply when ".to_owned() + &"code == 1 and ".repeat(20_000),
        "policy p for smtp { rule r id 1 { on ".to_owned() + &"smtp.reply, ".repeat(20_000),
        "policy p for smtp { rule r id 1 { on smtp.fail ".to_owned() + &"log \"x\" ".repeat(50_000) + "} }",
        "list a = [".to_owned() + &"\"x\", ".repeat(100_000),
        "policy p for smtp { rule r id 1 { on smtp.fail about ".to_owned() + &"a \"b\" ".repeat(10_000),
        "use ".repeat(50_000),
        "test \"x\" { ".to_owned() + &"up \"x\" ".repeat(50_000),
    ] {
        survives(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn words_in_wrong_places(places in prop::collection::vec((0..SAMPLE.len(), words(), any::<bool>()), 1..8)) {
        let mut text = SAMPLE.to_owned();
        for (place, word, replace) in places {
            let mut at = place.min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let end = if replace { text[at..].find([' ', '\n']).map_or(text.len(), |length| at + length) } else { at };
            text.replace_range(at..end, &word);
        }
        survives(&text);
    }

    #[test]
    fn nothing_but_words(words in prop::collection::vec(words(), 0..60)) {
        survives(&words.join(" "));
    }

    #[test]
    fn lines_out_of_order(order in Just(SAMPLE.lines().collect::<Vec<_>>()).prop_shuffle()) {
        survives(&order.join("\n"));
    }

    #[test]
    fn any_octets_are_a_list_or_an_error(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        use portcullis_lang::Sources;
        use portcullis_policy::{ListRequest, PolicySet};
        let mut sources = Sources::new();
        let file = sources.add("a.policy", "list a from \"x\"");
        let mut loader = |_: &ListRequest<'_>| Ok(octets.clone());
        let _ = PolicySet::compile(&sources, &[file], &[support::smtp()], &mut loader);
    }

    #[test]
    fn any_octets_are_shown_without_control_characters(octets in prop::collection::vec(any::<u8>(), 0..3000)) {
        let policies = support::policies("policy p for smtp { rule r id 1 { on smtp.fail log \"{reason}|{state}\" } }");
        let event = Event::new("smtp", "fail").with("reason", &octets[..]).with("state", &octets[..]);
        let shown = &support::describe(&event.judge(&policies))[0];
        prop_assert!(!shown.chars().any(char::is_control) && shown.len() < 2_100);
    }
}

#[test]
fn shipped_policies_survive_missing_lines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    for name in ["smtp.policy", "smtp-strict.policy", "smtp-no-chunking.policy", "smtp-tidy.policy", "dns.policy"] {
        let text = fs::read_to_string(folder.join(name)).expect("a shipped policy");
        let lines: Vec<&str> = text.lines().collect();
        for missing in 0..lines.len() {
            let rest: Vec<&str> =
                lines.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, line)| *line).collect();
            survives(&rest.join("\n"));
        }
    }
}
