//! Grammar texts with the messages that they raise, and texts that are just right.

use portcullis_lang::{Code, Sources, render_all};

use super::{blocks, load_page};
use crate::load::load;

/// The codes that a text raises, in the order of the text, and the messages below the text.
fn judged(text: &str) -> (Vec<Code>, String) {
    let mut sources = Sources::new();
    let diagnostics = match load_page(&mut sources, text) {
        Ok((_, warnings)) => warnings,
        Err(diagnostics) => diagnostics,
    };
    let codes = diagnostics.sorted().iter().map(|one| one.code).collect();
    (codes, format!("{}\n\n{}", text.trim_end(), render_all(&diagnostics, &sources, false)))
}

/// A text that raises exactly one message of a code, which goes to a snapshot; and one that raises none.
macro_rules! case {
    ($name:ident $code:ident $bad:expr, $good:expr) => {
        #[test]
        fn $name() {
            let (codes, messages) = judged($bad);
            assert_eq!(codes, [Code::$code], "{messages}");
            insta::assert_snapshot!(messages);
            let (codes, messages) = judged($good);
            assert_eq!(codes, [], "{messages}");
        }
    };
}

const PAGES: &[(Code, &str)] = &[
    (Code::C2, include_str!("../../../../../docs/codes/C2.md")),
    (Code::C3, include_str!("../../../../../docs/codes/C3.md")),
    (Code::C4, include_str!("../../../../../docs/codes/C4.md")),
    (Code::C5, include_str!("../../../../../docs/codes/C5.md")),
    (Code::C6, include_str!("../../../../../docs/codes/C6.md")),
    (Code::C7, include_str!("../../../../../docs/codes/C7.md")),
    (Code::C8, include_str!("../../../../../docs/codes/C8.md")),
    (Code::C12, include_str!("../../../../../docs/codes/C12.md")),
    (Code::C14, include_str!("../../../../../docs/codes/C14.md")),
    (Code::C15, include_str!("../../../../../docs/codes/C15.md")),
    (Code::C16, include_str!("../../../../../docs/codes/C16.md")),
    (Code::C18, include_str!("../../../../../docs/codes/C18.md")),
    (Code::C19, include_str!("../../../../../docs/codes/C19.md")),
];

#[test]
fn pages_show_what_they_are_about() {
    for (code, page) in PAGES {
        assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        let (bad, good) = (blocks(page, "Example"), blocks(page, "Instead"));
        assert!(!bad.is_empty() && !good.is_empty(), "{code}");
        for text in bad {
            let (codes, messages) = judged(text);
            assert_eq!(codes, [*code], "{messages}");
            insta::assert_snapshot!(format!("page_{code}"), messages);
        }
        for text in good {
            let (codes, messages) = judged(text);
            assert_eq!(codes, [], "{messages}");
        }
    }
}

/// The machine of most cases: a line from the client, and what is said of it.
macro_rules! machine {
    ($states:literal) => {
        concat!(
            "line command max 512 { verb: word max 8   _: rest }\n",
            "line reply max 512 { code: decimal max 3   _: rest }\n",
            "machine {\n    start command\n",
            $states,
            "\n}\n"
        )
    };
}

case!(a_guard_that_another_implies C2
    machine!("    state command { up command   down reply   on reply when code >= 400 -> fail \"no\"   on reply when code == 421 -> finish }"),
    machine!("    state command { up command   down reply   on reply when code >= 422 -> fail \"no\"   on reply when code == 421 -> finish }"));

case!(a_keyword_that_a_set_has_taken C2
    machine!("    state command { up command   down reply   on command when verb in (QUIT, BYE) -> finish   on command when verb == BYE -> fail \"x\" }"),
    machine!("    state command { up command   down reply   on command when verb in (QUIT, BYE) -> finish   on command when verb == HI -> fail \"x\" }"));

case!(a_rule_of_any_state_that_is_overruled_in_all C2
    machine!("    state command { up command   down reply   on parse_error -> finish }\n    any state { on parse_error -> fail \"x\" }"),
    machine!("    state command { up command   down reply   on parse_error -> finish   on command -> other }\n    state other { up command   down reply }\n    any state { on parse_error -> fail \"x\" }"));

case!(a_state_that_no_rule_leads_to C3
    machine!("    state command { up command   down reply }\n    state lost { up command   on command -> command }"),
    machine!("    state command { up command   down reply   on reply -> lost }\n    state lost { up command   on command -> command }"));

case!(a_state_that_only_leads_to_itself C3
    machine!("    state command { up command   down reply }\n    state lost { up command   down reply   on command -> lost }"),
    machine!("    state command { up command   down reply   on reply -> lost }\n    state lost { up command   down reply   on command -> lost }"));

case!(a_state_without_a_way_out C3
    machine!("    state command { up command   down reply   on reply -> tail }\n    state tail { down reply }"),
    machine!("    state command { up command   down reply   on reply -> tail }\n    state tail { down reply   on reply when code == 221 -> finish }"));

case!(ranges_that_overlap C4
    "record item max 10 { kind: u8   choose kind { 0..9 => { a: u8 }   9..20 => { b: u8 }   else => { c: u8 } } }",
    "record item max 10 { kind: u8   choose kind { 0..9 => { a: u8 }   10..20 => { b: u8 }   else => { c: u8 } } }");

case!(a_keyword_in_two_branches C4
    "line command max 100 { verb: word max 8   choose verb { GET, PUT => { a: rest }   HEAD, PUT => { b: rest }   else => { c: rest } } }",
    "line command max 100 { verb: word max 8   choose verb { GET, PUT => { a: rest }   HEAD => { b: rest }   else => { c: rest } } }");

case!(a_run_that_takes_what_follows C5
    "line when max 100 { hours: [0-9] max 4   minutes: digit x 2   _: rest }",
    "line when max 100 { hours: [0-9] max 4   \":\"   minutes: digit x 2   _: rest }");

case!(a_line_without_a_maximum C7
    "line hello { text: rest }",
    "line hello max 100 { text: rest }");

case!(a_length_that_nothing_uses C12
    "record message max 4096 { body_length: u16   body: until \"\\n\" max 200 }",
    "record message max 4096 { body_length: u16 must be > 0   body: until \"\\n\" max 200 }");

case!(ends_of_data_that_others_see C15
    "newline CRLF\nstream content { lines until \".\" }\nmachine { start mail   state mail { up content   on content -> finish } }",
    "newline CRLF\nstream content { lines until \".\" and lookalikes as anomaly ambiguous_end }\nmachine { start mail   state mail { up content   on content -> finish } }");

const CHANNEL: &str = "stream chunk { bytes 100 | mail }\nflow { mail: channel }\n";

#[test]
fn a_channel_that_is_never_closed() {
    let machine = machine!(
        "    state command { up command   on command -> data }\n    state data { up chunk   on chunk -> command }"
    );
    let (codes, messages) = judged(&format!("{CHANNEL}{machine}"));
    assert_eq!(codes, [Code::C16], "{messages}");
    insta::assert_snapshot!(messages);
}

#[test]
fn a_channel_that_is_written_to_after_its_end() {
    let machine = machine!(
        "    state command { up command   on command -> data }\n    state data { up chunk   down reply   on chunk { close mail } -> command   on reply { abort mail } }"
    );
    let (codes, messages) = judged(&format!("{CHANNEL}{machine}"));
    assert_eq!(codes, [Code::C16], "{messages}");
    insta::assert_snapshot!(messages);
}

case!(a_must_narrows_a_choice C18
    "record item max 10 { kind: u8 must be in 0..3   choose kind { 0..2 => { a: u8 } } }",
    "record item max 10 { kind: u8 must be in 0..2   choose kind { 0..2 => { a: u8 } } }");

#[test]
fn the_shipped_grammars_are_free_of_errors() {
    for text in
        [include_str!("../../../../../grammars/smtp.grammar"), include_str!("../../../../../grammars/dns.grammar")]
    {
        let mut sources = Sources::new();
        if let Err(diagnostics) = load(&mut sources, "shipped.grammar", text) {
            panic!("{}", render_all(&diagnostics, &sources, false));
        }
    }
}

/// Whoever loads a grammar must not be kept busy by it: the work of the checks does not grow with every combination.
#[test]
fn a_large_grammar_is_judged_soon() {
    let mut text =
        String::from("protocol large over tcp port 1\nline command max 512 { verb: word max 8   _: rest }\n");
    // Rules that nest, each with several of the next.
    for at in 0..40 {
        let next = at + 1;
        text.push_str(&format!("value v{at} max 100 {{ a: v{next}   \"x\"   b: v{next}   \"y\"   c: v{next} }} = a\n"));
    }
    text.push_str(
        "value v40 max 100 { choose { \"a\" => { a: word max 3 }   else => { a: [0-9] max 5   \"!\" } } } = a\n",
    );
    let branches: String = (0..900).map(|at| format!("\"{at:04}\" => {{ f{at}: rest }}\n")).collect();
    text.push_str(&format!("record choice max 100 {{ choose {{ {branches} else => {{ other: rest }} }} }}\n"));
    text.push_str("record nest max 1000 { it: v0 }\nmachine {\nstart s0\n");
    for at in 0..300 {
        let rules: String = (0..20)
            .map(|code| format!("on command when verb == \"{}\" -> s{}\n", letters(code), (at + 1) % 300))
            .collect();
        text.push_str(&format!("state s{at} {{ up command   down command as reply\n{rules} }}\n"));
    }
    text.push_str("}\n");
    let begun = std::time::Instant::now();
    let (codes, _) = judged(&text);
    assert_eq!(codes, []);
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

/// A word for a number.
fn letters(number: u32) -> String {
    let letter = |digit: u32| char::from_digit(10 + digit, 36).unwrap_or('a');
    [number / 26, number % 26].map(letter).iter().collect()
}
