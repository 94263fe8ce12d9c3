//! What rules decide: order, verdicts, lists, thresholds, connection tests, texts.

mod support;

use portcullis_lang::EventId;
use portcullis_policy::{MAX_ALERT_TEXT, Memory, RuleId};
use support::{Event, Given, compile, describe, policies};

fn mail(domain: &str) -> Event {
    Event::new("smtp", "command").with("verb", "mail").with("sender.domain", domain)
}

const GATEWAY: &str = r#"
use smtp
list    banned from "lists/banned-domains.txt"
network inside = [10.0.0.0/8, fd00::/8]

policy gateway for smtp when server in inside {
    rule banned id 1 {
        on    smtp.command
        when  verb == MAIL and sender.domain in banned
        alert high "mail from {sender.domain}"
        log   "seen"
        drop
        about attack T1566.001 url "https://wiki.example/banned"
    }
    rule any_mail id 2 { on smtp.command when verb == MAIL  alert low "mail" }
}
"#;

#[test]
fn a_rule_acts_in_the_order_alert_log_verdict_and_a_drop_ends_the_reading() {
    let policies = policies(GATEWAY);
    let decisions = mail("Banned.Example").judge(&policies);
    assert_eq!(describe(&decisions), [r#"1 alert high "mail from Banned.Example""#, r#"1 log "seen""#, "1 drop"]);
    let about = &decisions[0].rule.about;
    assert_eq!(about[0], ("attack".into(), "T1566.001".into()));
    assert_eq!(about[1].1, "https://wiki.example/banned");
    assert_eq!(describe(&mail("other.example").judge(&policies)), [r#"2 alert low "mail""#]);
    assert_eq!(policies.rule(RuleId(2)).map(|rule| rule.name.as_str()), Some("any_mail"));
}

#[test]
fn a_list_has_domains_in_any_case_and_the_names_below_its_stems() {
    let policies = policies(GATEWAY);
    let drops = |domain: &str| mail(domain).judge(&policies).len() == 3;
    assert!(drops("BANNED.example") && drops("banned.example.") && drops("a.b.evil.test"));
    assert!(!drops("evil.test") && !drops("sub.banned.example") && !drops("notbanned.example") && !drops(""));
}

#[test]
fn the_when_of_a_policy_is_settled_once_per_flow() {
    let policies = policies(GATEWAY);
    assert!(mail("banned.example").server("192.0.2.9").judge(&policies).is_empty());
    assert_eq!(mail("banned.example").server("fd12::1").judge(&policies).len(), 3);
    // The same flow: what was settled with one event holds for another that knows no addresses.
    let protocol = policies.protocol("smtp").unwrap();
    let inside = policies.applicable(protocol, &mail("x"));
    let outside = policies.applicable(protocol, &mail("x").server("192.0.2.9"));
    assert!(policies.concerns(protocol, &inside) && !policies.concerns(protocol, &outside));
    let none = policies.protocol("dns").unwrap();
    assert!(!policies.concerns(none, &policies.applicable(none, &mail("x"))));
}

#[test]
fn tests_of_the_connection_in_a_rule_are_settled_with_it() {
    let policies = policies(
        "policy p for smtp {
            rule submission id 1 { on smtp.command when verb == MAIL and client.address in 192.0.2.0/24  log \"x\" }
            rule other id 2 { on smtp.command when client.address == 198.51.100.7 or verb == RCPT  log \"y\" }
        }",
    );
    assert_eq!(describe(&mail("x").judge(&policies)), ["1 log \"x\""]);
    assert_eq!(describe(&mail("x").client("198.51.100.7").judge(&policies)), ["2 log \"y\""]);
    let demand = policies.demand();
    let event = demand.event(policies.protocol("smtp").unwrap(), EventId(0)).unwrap();
    assert_eq!(event.slots.iter().copied().collect::<Vec<_>>(), [0]);
    assert_eq!(event.connection.len(), 1);
}

#[test]
fn pass_ends_the_reading_across_policies_and_observed_verdicts_do_not() {
    let policies = policies(
        "policy first for smtp {
            rule friends id 1 { on smtp.command when verb == MAIL and sender.domain == \"friend.example\"  pass }
            rule would id 2 { on smtp.command when verb == MAIL  drop  mode observe }
        }
        policy second for smtp { mode observe  rule all id 3 { on smtp.command  drop } }
        policy third for smtp { rule all id 4 { on smtp.command  drop } }",
    );
    assert_eq!(describe(&mail("friend.example").judge(&policies)), ["1 pass"]);
    assert_eq!(describe(&mail("x").judge(&policies)), ["2 drop (observed)", "3 drop (observed)", "4 drop"]);
}

#[test]
fn what_was_not_seen_makes_no_rule_act() {
    let policies = policies(
        "policy p for smtp {
            rule is id 1 { on smtp.reply when asked.verb == AUTH  log \"is\" }
            rule is_not id 2 { on smtp.reply when asked.verb != AUTH  log \"is not\" }
            rule either id 3 { on smtp.reply when asked.verb == AUTH or code == 421  log \"{asked.verb} {code}\" }
        }",
    );
    let unknown = Event::new("smtp", "reply").with("asked.verb", Given::Unknown);
    assert!(unknown.clone().with("code", 250).judge(&policies).is_empty());
    assert_eq!(describe(&unknown.with("code", 421).judge(&policies)), ["3 log \"? 421\""]);
}

#[test]
fn texts_are_safe_and_bounded() {
    let policies = policies(
        r#"policy p for smtp {
            rule a id 1 { on smtp.command when verb == MAIL  alert low "\r\n{{{sender.domain}}} \\ {sender.address}" }
            rule b id 2 { on smtp.fail  log "{reason} in {state}" }
        }"#,
    );
    let event = Event::new("smtp", "command").with("verb", "MAIL").with("sender.domain", &b"a\x1b[2J\n\xffb\\"[..]);
    assert_eq!(describe(&event.judge(&policies)), [r#"1 alert low "\r\n{a\x1b[2J\n\xffb\\} \ -""#]);
    let long = "x".repeat(5_000);
    let event = Event::new("smtp", "fail").with("reason", long.as_str()).with("state", long.as_str());
    let portcullis_policy::Action::Log { text } = &event.judge(&policies)[0].action else { panic!("a log record") };
    assert!(text.len() <= MAX_ALERT_TEXT && text.contains("... in x"));
}

#[test]
fn numbers_have_the_names_that_the_grammar_gives_them() {
    let policies = policies(
        "policy p for dns {
            rule q id 1 { on dns.query when any questions.type == MX  log \"{questions.first.type} {questions.last.type} {count of questions}\" }
        }",
    );
    let event = Event::new("dns", "query");
    let event = event.list("questions", &[&[("type", Given::Number(15))], &[("type", Given::Number(4711))]]);
    assert_eq!(describe(&event.judge(&policies)), ["1 log \"MX 4711 2\""]);
    let demand = policies.demand();
    let demand = demand.event(policies.protocol("dns").unwrap(), EventId(0)).unwrap();
    assert_eq!(demand.elements.iter().copied().collect::<Vec<_>>(), [(1, 1)]);
    assert!(policies.demand().event(policies.protocol("smtp").unwrap(), EventId(0)).is_none());
}

#[test]
fn several_events_and_states() {
    let policies = policies(
        "policy p for smtp {
            rule s id 1 {
                on smtp.bare_lf when state == data_transmission, smtp.ambiguous_end
                alert critical \"smuggling at {offset}\"
            }
        }",
    );
    let at = |name, state: &str| Event::new("smtp", name).with("state", state).with("offset", 7).judge(&policies).len();
    assert_eq!(
        [at("bare_lf", "command"), at("bare_lf", "data_transmission"), at("ambiguous_end", "command")],
        [0, 1, 1]
    );
}

#[test]
fn thresholds_count_per_key_and_over_all_events_of_the_rule() {
    let policies = policies(
        "policy p for smtp {
            rule g id 1 {
                on smtp.reply when code == 535, smtp.fail
                after 2 per client.address in 10 s
                alert medium \"guessing\" at most 1 per client.address in 1 min
                log \"again\"
            }
        }",
    );
    let mut memory = Memory::new();
    let second = 1_000_000_000;
    let mut reply = |client: &str, time: i64| {
        let event = Event::new("smtp", "reply").with("code", 535).client(client);
        describe(&event.judge_at(&policies, time * second, &mut memory))
    };
    assert!(reply("192.0.2.1", 0).is_empty() && reply("192.0.2.2", 0).is_empty() && reply("192.0.2.1", 1).is_empty());
    assert_eq!(reply("192.0.2.1", 2), ["1 alert medium \"guessing\"", "1 log \"again\""]);
    assert_eq!(reply("192.0.2.1", 3), ["1 log \"again\""]);
    assert!(reply("192.0.2.1", 60).is_empty());
    let fail = Event::new("smtp", "fail").client("192.0.2.2");
    assert!(fail.judge_at(&policies, 5 * second, &mut memory).is_empty());
    assert_eq!(fail.judge_at(&policies, 6 * second, &mut memory).len(), 2);
}

/// Rules whose tests are merged decide as they would one by one.
#[test]
fn merged_tests_keep_the_order_of_the_rules() {
    let mut text = String::from("policy p for smtp {\n");
    for number in 1..=100 {
        let test = match number % 4 {
            0 => "verb == RCPT".to_owned(),
            1 => format!("verb == MAIL and sender.domain == \"d{}.example\"", number / 10),
            2 => format!("verb == MAIL and sender.domain in (\"D{}.example\", \"all.example\")", number / 10),
            _ => "verb == MAIL and sender.domain ends with \".example\"".to_owned(),
        };
        text += &format!("rule r{number} id {number} {{ on smtp.command when {test}  log \"x\" }}\n");
    }
    let policies = policies(&(text + "}"));
    let acting = |domain: &str| -> Vec<u32> {
        mail(domain).judge(&policies).iter().map(|decision| decision.rule.id.0).collect()
    };
    let expected = |acts: fn(&u32) -> bool| (1..=100).filter(acts).collect::<Vec<u32>>();
    assert_eq!(acting("d3.example"), expected(|n| n % 4 == 3 || (n % 4 == 1 && n / 10 == 3)));
    // `==` and values in brackets mind the case of letters: the grammar says where it is no difference.
    assert_eq!(acting("D3.example"), expected(|n| n % 4 == 3 || (n % 4 == 2 && n / 10 == 3)));
    assert_eq!(acting("all.example"), expected(|n| n % 4 == 3 || n % 4 == 2));
    assert!(acting("nobody.test").is_empty());
}

#[test]
fn tests_of_policies_are_kept() {
    let (_, compiled) = compile(
        "policy p for smtp { rule r id 7 { on smtp.fail drop } }
         test \"dropped\" { policy p  down \"220 mx\\r\\n\"  up \"\\x00\"  expect alert 7, drop  expect no alert }",
    );
    let policies = compiled.unwrap().policies;
    let test = &policies.tests()[0];
    assert_eq!((test.name.as_str(), test.policies.len(), test.steps.len()), ("dropped", 1, 5));
}

#[test]
fn all_verdicts_and_blocks_are_told() {
    let policies = policies(
        "policy p for smtp {
            rule a id 1 { on smtp.fail when state == command       block client for 1 h  reset }
            rule b id 2 { on smtp.fail when state == response      refuse \"421 4.3.2 later\" }
            rule c id 3 { on smtp.fail                             bypass }
            rule d id 4 { on smtp.bare_lf                          block server.address for 2 s  mode observe }
        }",
    );
    let at = |name, state: &str| describe(&Event::new("smtp", name).with("state", state).judge(&policies));
    assert_eq!(at("fail", "command"), ["1 block client 192.0.2.1 3600000000000", "1 reset"]);
    assert_eq!(at("fail", "response"), ["2 refuse \"421 4.3.2 later\""]);
    assert_eq!(at("fail", "fail"), ["3 bypass"]);
    assert_eq!(at("bare_lf", "command"), ["4 block server 10.0.0.25 2000000000 (observed)"]);
}

fn reply(lines: &[(&str, &str)]) -> (Event, Vec<u8>) {
    let mut raw = Vec::new();
    let mut places = Vec::new();
    for (number, (_, text)) in lines.iter().enumerate() {
        let start = raw.len() as u32;
        let mark = if number + 1 == lines.len() { " " } else { "-" };
        raw.extend_from_slice(format!("250{mark}{text}\r\n").as_bytes());
        places.push((start..raw.len() as u32, start..start + 3));
    }
    let elements: Vec<Vec<(&str, Given)>> =
        lines.iter().map(|(_, text)| vec![("code", Given::Number(250)), ("text", Given::from(*text))]).collect();
    let elements: Vec<&[(&str, Given)]> = elements.iter().map(Vec::as_slice).collect();
    let event = Event::new("smtp", "reply").list("lines", &elements).elements_at(places);
    (event.raw(raw.strip_suffix(b"\r\n").unwrap_or_default()), raw)
}

/// What all edits make of a record.
fn edited(decisions: &[portcullis_policy::Decision], record: &[u8]) -> String {
    let splices = decisions.iter().filter_map(|decision| match &decision.action {
        portcullis_policy::Action::Edit(splices) => Some(splices.clone()),
        _ => None,
    });
    let splices: Vec<_> = splices.collect();
    let edited = portcullis_policy::Splice::apply(&splices.concat(), record);
    edited.escape_ascii().to_string()
}

/// Lines are put in, taken out and put in again: one line is the last, and only it has no mark.
#[test]
fn lines_that_are_put_in_leave_one_last_line() {
    let given = [("250", "mx"), ("250", "SIZE 9"), ("250", "CHUNKING")];
    let becomes = |rules: &str| {
        let policies = policies(&format!("policy p for smtp {{ {rules} }}"));
        let (event, raw) = reply(&given);
        edited(&event.judge(&policies), &raw)
    };
    let (size, last) = (
        "rule a id 1 { on smtp.reply edit insert \"X\" after lines where text starts with \"SIZE\" }",
        "rule b id 2 { on smtp.reply edit insert \"L {code}\" after lines }",
    );
    let gone = "rule c id 3 { on smtp.reply edit delete lines where text == \"CHUNKING\" }";
    let more = "rule d id 4 { on smtp.reply edit insert \"M\" after lines  edit insert \"F\" before lines }";
    let none = "rule e id 5 { on smtp.reply edit insert \"N\" after lines where text == \"no\" }";
    assert_eq!(becomes(size), r"250-mx\r\n250-SIZE 9\r\n250-X\r\n250 CHUNKING\r\n");
    assert_eq!(becomes(last), r"250-mx\r\n250-SIZE 9\r\n250-CHUNKING\r\n250 L \r\n");
    assert_eq!(becomes(&[last, gone].concat()), r"250-mx\r\n250-SIZE 9\r\n250 L \r\n");
    assert_eq!(becomes(&[gone, last].concat()), r"250-mx\r\n250-SIZE 9\r\n250 L \r\n");
    assert_eq!(becomes(&[gone, size].concat()), r"250-mx\r\n250-SIZE 9\r\n250 X\r\n");
    assert_eq!(becomes(&[size, gone].concat()), r"250-mx\r\n250-SIZE 9\r\n250 X\r\n");
    assert_eq!(becomes(&[last, gone, more].concat()), r"250-F\r\n250-mx\r\n250-SIZE 9\r\n250-L \r\n250 M\r\n");
    assert_eq!(becomes(none), r"250-mx\r\n250-SIZE 9\r\n250 CHUNKING\r\n");
}

#[test]
fn fields_grow_and_lines_get_text_at_both_ends() {
    let policies = policies(
        "policy p for smtp {
            rule a id 1 { on smtp.command when verb == EHLO  edit insert \"x.\" before domain  edit insert \"<\" at start }
            rule b id 2 { on smtp.command when verb == EHLO  edit insert \".{domain}\" after domain  edit insert \">{{\" at end }
            rule c id 3 { on smtp.command when verb == EHLO  edit set domain = domain + \"!\"  edit insert \"{client.port}\" at end }
        }",
    );
    let event = Event::new("smtp", "command").with("verb", "EHLO").with("domain", "a").at("domain", 5..6);
    let decisions = event.raw(b"EHLO a").judge(&policies);
    assert_eq!(edited(&decisions, b"EHLO a\r\n"), r"<EHLO x.a.x.a!>{\r\n");
}

#[test]
fn what_breaks_a_line_is_refused() {
    let policies = policies(
        "policy p for smtp {
            rule a id 1 { on smtp.command when verb == EHLO  edit insert \"{domain}\" at end }
            rule b id 2 { on smtp.command when verb == EHLO  edit set domain = domain + \"x\" }
        }",
    );
    for breaks in ["a\rb", "a\nb", "\0", &"x".repeat(4_097)] {
        let event = Event::new("smtp", "command").with("verb", "EHLO").with("domain", breaks).at("domain", 5..9);
        assert_eq!(describe(&event.raw(b"EHLO abcd").judge(&policies)), ["1 edit_refused", "2 edit_refused"]);
    }
}

#[test]
fn streams_take_lines_and_their_newlines_are_put_right() {
    use portcullis_policy::{Action, StreamChange};
    let policies = policies(
        "policy p for smtp {
            rule a id 1 { on smtp.content.start  edit insert \".a {client.address}\\r\\nb\" at start }
            rule b id 2 { on smtp.content        edit insert \"end\" at end }
            rule c id 3 { on smtp.bare_lf        edit fix }
            rule d id 4 { on smtp.trailing_text  edit fix }
        }",
    );
    let change = |event: Event| {
        let mut decisions = event.judge(&policies);
        (decisions.len() == 1).then(|| decisions.remove(0).action)
    };
    let start = change(Event::new("smtp", "content.start"));
    let lines = b"..a 192.0.2.1\r\nb\r\n".to_vec();
    assert_eq!(start, Some(Action::EditStream(StreamChange::Start(lines.into()))));
    let end = |complete| Event::new("smtp", "content").with("complete", Given::Boolean(complete));
    let lines = b"end\r\n".to_vec();
    assert_eq!(change(end(true)), Some(Action::EditStream(StreamChange::End { octets: lines.into(), last_line: 3 })));
    assert_eq!(change(end(false)), None, "a stream that is cut off has no end");
    assert_eq!(change(Event::new("smtp", "bare_lf")), Some(Action::EditStream(StreamChange::Newlines)));
    // In a record: the place of the anomaly is that of the LF.
    let command = |at| Event::new("smtp", "bare_lf").with("record", "command").raw(b"NOOP").in_record(at);
    assert_eq!(edited(&command(4).judge(&policies), b"NOOP\n"), r"NOOP\r\n");
    let twice = [command(4).judge(&policies), command(4).judge(&policies)].concat();
    assert_eq!(edited(&twice, b"NOOP\n"), r"NOOP\r\n", "what two rules put right is put right once");
    let trailing = |record: &'static str, octets| {
        let event = Event::new("smtp", "trailing_text").with("record", record).raw(b"DATA  x y ").in_record(6);
        event.slot_at(10, octets).judge(&policies)
    };
    assert_eq!(edited(&trailing("command", 6..9), b"DATA  x y \r\n"), r"DATA\r\n");
    assert_eq!(edited(&trailing("command", 6..7), b"DATA  x y \r\n"), r"DATA   y \r\n");
    assert_eq!(describe(&trailing("other", 6..9)), ["4 edit_refused"]);
}

/// Two edits of a field: the second, and every rule behind, sees what the first has made of it.
#[test]
fn edits_follow_each_other() {
    let policies = policies(
        "policy p for smtp {
            rule seen id 9 { on smtp.command when verb == EHLO and domain == \"b\"     log \"too early\" }
            rule a id 1 { on smtp.command when verb == EHLO and domain == \"a\"        edit set domain = \"b\" }
            rule b id 2 { on smtp.command when verb == EHLO and domain == \"b\"        edit set domain = domain + \"c\" }
            rule c id 3 { on smtp.command when verb == EHLO and domain == \"bc\"       edit replace /b|c/ with \"$0x\" in domain }
            rule d id 4 { on smtp.command when verb == EHLO and domain == \"a\"        log \"not any more\" }
            rule e id 5 { on smtp.command when verb == EHLO                            log \"{domain}\" }
            rule f id 6 { on smtp.command when verb == EHLO  mode observe              edit set domain = \"never\" }
            rule g id 7 { on smtp.command when verb == EHLO                            log \"{domain}\" }
        }",
    );
    let event = Event::new("smtp", "command").with("verb", "EHLO").with("domain", "a").at("domain", 5..6);
    let decisions = event.judge(&policies);
    let mut splices = Vec::new();
    for decision in decisions.iter().filter(|decision| !decision.observe) {
        if let portcullis_policy::Action::Edit(edits) = &decision.action {
            edits.iter().cloned().for_each(|splice| splice.merge(&mut splices));
        }
    }
    assert_eq!(portcullis_policy::Splice::apply(&splices, b"EHLO a\r\n"), b"EHLO $0x$0x\r\n");
    assert_eq!(splices.len(), 1, "later edits overtake earlier ones");
    let acted: Vec<u32> = decisions.iter().map(|decision| decision.rule.id.0).collect();
    assert_eq!(acted, [1, 2, 3, 5, 6, 7]);
    assert!(describe(&decisions).contains(&"7 log \"$0x$0x\"".to_owned()));
    // A field of which it is not known where it lies is not edited.
    let lost = Event::new("smtp", "command").with("verb", "EHLO").with("domain", "a");
    assert_eq!(describe(&lost.judge(&policies)).len(), 3);
}
