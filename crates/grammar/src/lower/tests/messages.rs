//! A source for each message: the snapshot has the source above and the message below.

use portcullis_lang::{Code, Sources, render_all};

use crate::load;

/// The codes that a text raises, and the text with its messages. `protocol` may be left away.
pub(super) fn said(text: &str) -> (Vec<Code>, String) {
    let whole = if text.contains("protocol ") { text.to_owned() } else { format!("protocol own\n{text}") };
    let mut sources = Sources::new();
    let diagnostics = match load(&mut sources, "own.grammar", &whole) {
        Ok((_, warnings)) => warnings,
        Err(diagnostics) => diagnostics,
    };
    let codes = diagnostics.sorted().iter().map(|one| one.code).collect();
    (codes, format!("{}\n\n{}", text.trim_end(), render_all(&diagnostics, &sources, false)))
}

/// Texts that raise these codes, in the order of the text.
macro_rules! says {
    ($($name:ident [$($code:ident)*] $text:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let (codes, message) = said($text);
                assert_eq!(codes, [$(Code::$code),*], "{message}");
                insta::assert_snapshot!(message);
            }
        )*
    };
}

/// Texts that raise nothing.
macro_rules! fine {
    ($($name:ident $text:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let (codes, message) = said($text);
                assert!(codes.is_empty(), "{message}");
            }
        )*
    };
}

/// A machine around rules about a line that each side may send.
macro_rules! machine {
    ($rules:literal) => {
        concat!(
            "keywords ignore case\nnewline CRLF, and LF as anomaly bare_lf\n",
            "line command max 512 { verb: word max 8  choose verb { BDAT => { \" \"  size: decimal max 9   end }  else => { argument: rest } } }\n",
            "line reply max 512 { code: digit x 3 as number  text: rest }\n",
            "flow { asked: last command keeping verb, size   count: u8 = 0   mail: channel }\n",
            "stream data { lines until \".\" and lookalikes as anomaly odd_end | mail }\n",
            "machine {\n    start talk\n    state talk {\n        up   command\n        down reply\n",
            $rules,
            "\n        on timeout 5 min -> finish\n    }\n    state more { up data  down reply  on data { close mail } -> talk  on timeout 5 min -> finish }\n}\n",
        )
    };
}

says! {
    unknown_type [C1] "line a max 9 { x: wrod }";
    unknown_field_of_a_group [C1] "group path { user: word  \"@\"  host: word }\nline a max 99 { from: path   must from.hots != \"x\" }";
    unknown_member [C1] "enum kind u8 { ONE = 1  TWO = 2 }\nrecord a max 9 { k: kind   must k != TOW }";
    unknown_state [C1] machine!("        on command -> tlak\n        on reply -> more");
    unknown_event [C1] machine!("        on error -> fail\n        on command -> more");
    unknown_channel [C1] machine!("        on command { close mial } -> more");
    unknown_record [C1] "line a max 9 { x: rest }\nmachine { start s  state s { up b  down a  on timeout 5 s -> finish } }";
    unknown_kept [C1 C1] "line a max 9 { x: rest }\nflow { asked: last a keeping y }\nmachine { start s  state s { up a  on a when asked.z == \"1\" -> finish  on timeout 5 s -> finish } }";
    unknown_measured [C1] "record a max 99 { n: u8 measures bdoy   body: rest }";
    outer_names_are_not_seen_in_a_group [C1] "group inner { must outer == 1   y: u8 }\nrecord a max 9 { outer: u8   inner }";
    unnamed_anomaly [C1] "record a max 9 { u8   x: u8   should x == 1 }";
    unknown_protocol [C1] "use mime, tls\nline a max 9 { x: rest }\nmachine { start s  state s { up a  on a -> finish, then tsl  on timeout 5 s -> finish } }";

    size_below_nothing [C9] "record a max 300 { length: u8   value: bytes (length - 2) }";
    size_narrowed_too_little [C9] "record a max 300 { length: u8 must be > 0   value: bytes (length - 2) }";
    window_below_nothing [C9] "record a max 300 { kind: u8  size: u8 measures kind, size, value   value: bytes }";
    shift_too_far [C9] "record a max 300 { n: u8   let big = 1 << n   rest }";
    product_too_large [C9] "record a max 300 { n: u64   let big = n * 2   rest }";
    variable_below_nothing [C9] machine!("        on command { count = count - 1 } -> more");

    other_variant [C10] "record a max 99 { kind: u8  choose kind { 1 => x: u8   2 => y: u8   else => { } }   must y == 1 }";
    other_branch [C10] "record a max 99 { kind: u8  choose kind { 1 => x: u8   else => { must x == 1 } } }";
    optional_part [C10] "line a max 99 { name: word   value: optional { \"=\" token }   must value == \"1\" }";
    not_read_yet [C10] "record a max 300 { body: bytes size   size: u8 }";
    kept_of_another_variant [C10] machine!("        on reply when asked.size > 9 -> more\n        on command -> talk");
    guard_of_another_variant [C10] machine!("        on command when size > 9 -> more");
    label_size_before_its_kind [C10] "group label {\n    kind: u2\n    choose kind {\n        0 => { size: u6 measures text   text: bytes }\n        3 => { offset: u14 }\n        else => error \"reserved\"\n    }\n}\nrecord name max 255 { labels: many label until size == 0 or kind == 3 }";

    number_against_text [C11] machine!("        on reply when code == \"220\" -> more\n        on command -> talk");
    text_against_number [C11] "line a max 99 { x: until \";\"   must x == 5 }";
    keyword_against_text [C11] "line a max 99 { x: until \";\"   must x != DATA }";
    list_as_a_value [C11] "group g { x: u8 }\nrecord a max 99 { n: u8 counts l   l: many g   must l.x == 1 }";
    number_as_a_condition [C11] "record a max 99 { x: u8   must x }";
    order_of_texts [C11] "line a max 99 { x: until \";\"   must x < \"b\" }";
    address_against_network [C11] "record a max 99 { x: ipv4   must x == 10.0.0.0/8 }";
    network_needs_an_address [C11] "record a max 99 { x: u8   must x in 10.0.0.0/8 }";
    odd_bits [C11] "record a max 99 { x: u3   y: u8 }";
    bits_of_branches [C11] "record a max 99 { x: u3  choose x { 0 => y: u5   else => y: u4 } }";
    text_as_a_number [C11] "line a max 99 { x: word as number }";
    group_as_a_message [C11] "group g { x: u8 }\nmachine { start s  state s { up g  on timeout 5 s -> finish } }";
    time_without_unit [C11] "line a max 9 { x: rest }\nmachine { start s  state s { up a  on a -> s  on timeout 5 -> finish } }";
    value_without_result [C11] "value v max 9 { x: u8 }\nrecord a max 99 { y: v }";

    keyword_too_long [C13] "line a max 99 { verb: word max 6   must verb != STARTTLS   rest }";
    keyword_of_other_letters [C13] "line a max 99 { verb: word max 8   choose verb { X2 => { }  else => { }  }  rest }";
    text_behind_its_beginning [C13] "line a max 99 { mark: \"a\" or \"ab\"   rest }";
    text_not_among_these [C13] "line a max 99 { mark: \"-\" or \" \" or end   must mark != \"+\"   rest }";
    member_too_large [C13] "enum kind u2 { ONE = 1  NINE = 9 }\nrecord a max 9 { k: kind   _: u6 }";
    needle_too_long [C13] "line a max 99 { x: word max 3   must x starts with \"abcd\"   rest }";

    test_that_never_holds [C21] "record a max 9 { x: u4   y: u4   must x == 20 }";
    test_that_always_holds [C21] "record a max 9 { x: u8   must x >= 0 }";
    test_decided_before [C21] "line a max 99 { verb: word max 4   must verb == MAIL and verb == RCPT   rest }";
    compared_with_itself [C21] "record a max 9 { x: u8   must x == x }";
    twice_in_a_set [C21] "record a max 9 { x: u8   must x in (1, 2, 1) }";
    empty_range [C21] "record a max 9 { x: u8   must x in 9..1 }";
    order_of_one_octet [C21] "record a max 9 { x: u8 little }";
    quotes_around_a_number [C21] "record a max 9 { x: u8 quoted by '\"' }";
    two_ends [C21] "group g { x: u8 }\nrecord a max 99 { n: u8 counts l   l: many g until x == 0 }";
    two_measures [C21] "record a max 99 { n: u8 measures l   m: u8 measures l   l: bytes }";
    unused_group [C21] "group g { x: u8 }\nrecord a max 9 { y: u8 }";
    unused_stream [C21] "stream t { bytes to end }\nline a max 9 { x: rest }\nmachine { start s  state s { up a  on a -> s  on timeout 5 s -> finish } }";
    nothing_is_said [C21] "record a max 9 { \"x\" must be 1 }";
    frame_of_datagrams [C21] "protocol own over udp port 5 framed by u16\nrecord a max 9 { x: u8 }";

    table [S6] "line header max 99 { name: token  \":\"  value: rest }\nrecord a max 999 { fields: table of header by name until empty line }";
    checksum [S6] "record a max 99 { sum: u16 checksum crc16 of body   body: rest }";
    varint [S6] "record a max 99 { n: varint measures b   b: bytes }";
    library_pipe [S6] "line a max 9 { x: rest }\nflow { mail: channel }\nstream t { bytes to end | base64 | mail }\nmachine { start s  state s { up a  on a -> u  on timeout 5 s -> finish }  state u { up t  on t { close mail } -> s  on timeout 5 s -> finish } }";
    other_protocol_by_field [S6] "line a max 9 { x: rest }\nmachine { start s  state s { up a  on a -> finish, then x[\"y\"]  on timeout 5 s -> finish } }";
    answered_question [S6] "record q max 9 { id: u8 }\nrecord r max 9 { id: u8 }\nmachine { start s  state s { up q  down r matches q by id max 9 for 5 s  on r when q.id == 1 -> s  on timeout 5 s -> finish } }";
    flow_in_a_record [S6] "record q max 9 { id: u8  must id != last }\nflow { last: u8 = 0 }\nmachine { start s  state s { up q  on q { last = id } -> s  on timeout 5 s -> finish } }";
    severity_of_an_anomaly [S6] "anomaly odd severity high \"odd\"\nrecord a max 9 { x: u8 should be 1 as odd }";

    jump_anywhere [C8] "value v max 99 { n: u8  t: follow v at n } = n";
    group_in_itself [C8] "group g { x: u8  g }\nrecord a max 9 { g }";
    size_behind_what_it_measures [C19] "record a max 99 { b: u8  n: u8 measures b }";
    two_names [S7] "record a max 9 { x: u8 }\nline a max 9 { x: rest }";
    two_fields [S7] "group g { x: u8 }\nrecord a max 9 { x: u8  g }";
    two_events [S7] "record a max 9 { x: u8 }\nrecord b max 9 { x: u8 }\nmachine { start s  state s { up a as m  down b as m  on m -> s  on timeout 5 s -> finish } }";
    nothing_ends_it [C7] "record a max 9 { x: bytes }";
    no_beginning [C3] "line a max 9 { x: rest }\nmachine { state s { up a  on a -> s  on timeout 5 s -> finish } }";
    no_protocol [S1] "# a protocol without a first line\nrecord a max 9 { x: u8 }";
    several_at_once [C1 C11 C9] "record a max 99 { x: u8  must y == 1\n  must x == \"2\"\n  z: bytes (x - 1) }";
}

fine! {
    narrowed_by_and "record a max 99 { kind: u8  choose kind { 1 => x: u8   else => y: u8 }   should kind == 1 and x == 1 as odd }";
    narrowed_by_or "record a max 99 { kind: u8  choose kind { 1 => x: u8   else => y: u8 }   should kind != 1 or x == 1 as odd }";
    narrowed_by_else "record a max 99 { kind: u8  choose kind { 1 => x: u8   else => y: u8 }   should kind == 1 or y == 1 as odd }";
    narrowed_by_a_set "record a max 99 { kind: u8  choose kind { 1, 2 => x: u8   else => y: u8 }   should not (kind in 1..2) or x == 1 as odd }";
    narrowed_by_presence "line a max 99 { name: word   value: optional { \"=\" token }   should not value or value != \"1\" as odd   end }";
    narrowed_by_numbers "record a max 300 { n: u8   should n <= 4 or n - 4 < 9 as odd   rest }";
    narrowed_by_when "record a max 300 { n: u8   body: bytes (n - 4) when n >= 4   rest }";
    narrowed_by_a_branch "record a max 300 { n: u8   choose n { 0..3 => { }   else => body: bytes (n - 4) }   rest }";
    bits_are_conditions "record a max 9 { x: bit   _: u7   y: u8 when x   should not x or y == 1 as odd }";
    decimal_that_may_fail "line a max 99 { digits: until \";\"   let n = digits as decimal   should n < 5 as odd   rest }";
    guard_of_the_variant machine!("        on command when verb == BDAT and size > 9 -> more\n        on command -> talk\n        on reply when asked.verb == BDAT and asked.size > 9 -> more\n        on reply -> talk");
    keyword_or_text "keywords ignore case\nline a max 99 { verb: token max 20   must verb in (DATA, \"X-ANONYMOUSTLS\")   rest }";
    forward_reference "record a max 9 { x: later }\ngroup later { y: u8 }";
}

#[test]
fn a_guard_counts_what_a_stream_was_chosen_by() {
    let (codes, message) = said(
        "keywords ignore case
         line command max 512 { verb: word max 8  choose verb { BDAT => { \" \"  size: decimal max 9   end }  else => { argument: rest } } }
         flow { asked: last command keeping verb, size }
         stream chunk { bytes asked.size }
         machine {
             start talk
             state talk { up command   on command when verb == BDAT -> more  on command -> talk  on timeout 5 s -> finish }
             state more { up choose asked.verb { BDAT => chunk  else => command }  on chunk when asked.size > 5 -> talk
                          on chunk -> talk  on command -> talk  on timeout 5 s -> finish }
         }",
    );
    assert!(codes.is_empty(), "{message}");
}
