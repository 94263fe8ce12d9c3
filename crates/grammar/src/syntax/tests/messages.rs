//! What the parser says about grammars that are wrong: each snapshot shows the source, then the messages.

use portcullis_lang::{Sources, render_all};

use super::super::parse;

/// Source and messages, one after the other, as a reviewer wants to see them.
fn messages(text: &str) -> String {
    let mut sources = Sources::new();
    let source = sources.add("test.grammar", text);
    let (_, diagnostics) = parse(source, sources.text(source));
    assert!(diagnostics.has_errors(), "there is nothing wrong with this:\n{text}");
    format!("{text}\n----- says\n{}", render_all(&diagnostics, &sources, false))
}

macro_rules! wrong {
    ($($name:ident $text:literal)*) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(messages($text));
        })*
    };
}

wrong! {
    section_misspelt "protocol a\n\nrecrod reply max 64 KB { code: u8 }\nrecord other max 4 { x: u8 }"
    section_unknown "banana reply { }"
    brace_never_closed "record reply max 64 KB {\n    code: u8\n\nrecord other max 4 {\n    x: u8\n}"
    brace_too_many "record a max 4 { x: u8 }\n}\nrecord b max 4 { x: u8 }"
    text_without_end "line a max 512 {\n    \"FROM:\n    x: rest\n}"
    number_with_letters "record a max 12abc { x: u8 }"
    escape_unknown "line a max 512 { \"\\q\" }"
    colon_forgotten "line command max 4096 {\n    verb word max 16\n}"
    equal_for_colon "record a max 4 {\n    x = u8\n    y: u8\n}"
    equal_for_colon_of_a_word "record a max 4 {\n    max = u8\n}"
    type_forgotten "record a max 4 { x: }"
    let_with_colon "record a max 4 {\n    let x: u8\n}"
    several_errors "record a max 4 {\n    x: \n    y: u8 must\n    z: u65\n    ok: u8\n}\nmachine {\n    stat one { }\n    state two {\n        up\n        on a => b\n    }\n}"
    arrow_in_choose "record a max 4 {\n    choose x {\n        1 -> y: u8\n        2 => z: u8\n    }\n}"
    bar_as_alternative "line a max 512 { mark: \"-\" | \" \" }"
    anomaly_of_must "record a max 4 { x: u8  must x > 3 as small }"
    until_without_repetition "record a max 4 { x: u8 while x > 3 }"
    check_with_label "record a max 4 { x: must y > 3 }"
    repeated_check "record a max 4 { many should y > 3 as z }"
    result_of_a_record "record a max 4 { x: u8 } = x"
    alert_in_a_grammar "machine {\n    state a {\n        on reply { alert \"x\" }\n        on reply { anomly x }\n    }\n}"
    expectation_in_any_state "machine {\n    any state {\n        up command\n    }\n}"
    twice "protocol a\nprotocol b\nrecord c max 4 { x: u8  x: u16 little little }\ngroup c { }\nmachine {\n    start s\n    start t\n    state s {\n        up c\n        up c\n    }\n    state s { }\n}\nenum e u8 { A = 1  A = 2 }\nflow { m: channel  m: u8 }\nanomaly n \"x\"\nanomaly n \"y\""
    port_out_of_range "protocol a over tcp port 70000"
    class_backwards "line a max 512 { x: [z-a] }"
    class_of_other_letters "line a max 512 { x: [äö] }"
    class_without_end "line a max 512 { x: [abc }\n"
    semicolons "record a max 4 {\n    x: u8;\n    y: u8;\n}"
    severity_misspelt "anomaly a severity hihg \"x\""
    template_of_fail "machine {\n    state a {\n        on reply -> fail \"code {code\"\n    }\n}"
    join_without_record "machine {\n    join command\n    start a\n}"
    matches_without_way "machine {\n    state a {\n        down reply matches request\n    }\n}"
    word_of_the_language_as_type "record a max 4 { x: max }"
    nested_too_deep "record a max 4 { x: many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many many u8 }"
}
