//! SMTP conversations on which other inspectors lose the mail, one test each.

use portcullis_grammar::Program;
use portcullis_lang::Direction::{self, Down, Up};
use portcullis_stream::{FlowKey, Protocol};
use portcullis_tests::grammars::{Shipped, shipped};
use portcullis_tests::script::{Script, Step, events, single, whole};

struct Talk {
    steps: Vec<Step>,
}

impl Talk {
    /// A session up to the answer to EHLO.
    fn new() -> Talk {
        Talk { steps: Vec::new() }.down("220 mx ESMTP\r\n").up("EHLO client\r\n").down("250-mx\r\n250 SIZE\r\n")
    }

    fn say(mut self, direction: Direction, text: &str) -> Talk {
        self.steps.push(Step::Octets(direction, text.as_bytes().to_vec()));
        self
    }

    fn up(self, text: &str) -> Talk {
        self.say(Up, text)
    }

    fn down(self, text: &str) -> Talk {
        self.say(Down, text)
    }

    fn mail(self, body: &str) -> Talk {
        self.up("MAIL FROM:<a@b.example>\r\n")
            .down("250 ok\r\n")
            .up("RCPT TO:<c@d.example>\r\n")
            .down("250 ok\r\n")
            .up("DATA\r\n")
            .down("354 go\r\n")
            .up(body)
            .down("250 queued\r\n")
    }

    /// The events; the same one octet at a time.
    fn events(self) -> Vec<String> {
        let shipped = shipped();
        let program = smtp(&shipped);
        let key = FlowKey {
            protocol: Protocol::Tcp,
            client: ([192, 0, 2, 1], 40000).into(),
            server: ([192, 0, 2, 2], 25).into(),
            vlan: 0,
        };
        let script = Script { key, midstream: false, steps: self.steps };
        let whole = events(program, &script, &whole);
        assert_eq!(events(program, &script, &single), whole, "one octet a segment");
        whole
    }
}

fn smtp(shipped: &Shipped) -> &Program {
    let id = shipped.grammars.by_name("smtp").expect("SMTP is shipped");
    shipped.grammars.program(id).expect("it is loaded")
}

fn count(events: &[String], what: &str) -> usize {
    events.iter().filter(|event| event.contains(what)).count()
}

#[track_caller]
fn has(events: &[String], what: &str) {
    assert!(count(events, what) > 0, "no event has {what:?}:\n{}", events.join("\n"));
}

#[track_caller]
fn has_not(events: &[String], what: &str) {
    assert_eq!(count(events, what), 0, "an event has {what:?}:\n{}", events.join("\n"));
}

fn body(lines: usize) -> String {
    let mut body = String::from("Subject: x\r\n\r\n");
    for _ in 0..lines {
        body.push_str("a line of some seventy octets, as they are in the mails of most people.\r\n");
    }
    body + ".\r\n"
}

#[test]
fn the_mail_behind_the_first_mebibyte_is_seen() {
    let mut talk = Talk::new();
    for _ in 0..25 {
        talk = talk.mail(&body(700));
    }
    let events = talk.events();
    assert_eq!(count(&events, "up mail state="), 25);
    assert_eq!(count(&events, "up command"), 1 + 25 * 3);
    has_not(&events, " fail ");
}

#[test]
fn the_mail_behind_257_others_is_seen() {
    let mut talk = Talk::new();
    for _ in 0..300 {
        talk = talk.mail("hi\r\n.\r\n");
    }
    let events = talk.events();
    assert_eq!(count(&events, "up mail state="), 300);
    has_not(&events, " fail ");
}

#[test]
fn unknown_reply_codes_and_short_replies_do_not_end_the_parsing() {
    for reply in
        ["556 no\r\n", "253 ok\r\n", "458 no\r\n", "432 later\r\n", "472 no\r\n", "2\r\n", "ok\r\n", "\r\n", "250\r\n"]
    {
        let events = Talk::new().up("NOOP\r\n").down(reply).mail("hi\r\n.\r\n").events();
        assert_eq!(count(&events, "up mail state="), 1, "after {reply:?}");
        has_not(&events, " fail ");
    }
    has(&Talk::new().up("NOOP\r\n").down("2\r\n").events(), "odd_reply_code");
}

#[test]
fn odd_blanks_in_commands_do_not_hide_the_sender() {
    for command in [
        "MAIL  FROM:<a@b.example>",
        "MAIL\tFROM:<a@b.example>",
        "mail from: <a@b.example>",
        "MAIL FROM :<a@b.example>",
        " MAIL FROM:<a@b.example>",
        "MAIL FROM:a@b.example",
    ] {
        let events = Talk::new().up(&format!("{command}\r\n")).down("250 ok\r\n").events();
        has(&events, "sender.address=a@b.example");
        has(&events, "sender.domain=b.example");
    }
    let events = Talk::new().up("MAIL FROM:<\"a b\"@c.example> SIZE=5\r\n").down("250 ok\r\n").events();
    has(&events, "sender.address=\\\"a b\\\"@c.example");
    has(&events, "name=SIZE");
    let events = Talk::new().up("RCPT TO:<\"x>y\"@c.example>\r\n").down("250 ok\r\n").events();
    has(&events, "recipient.domain=c.example");
}

#[test]
fn smuggled_ends_are_text_and_are_told() {
    for end in ["\n.\r\n", "\n.\n", "\r.\r", "\r\n.\n", "\r\n.\r\r\n", "\r.\r\n", "\r\n\0.\r\n"] {
        let smuggled =
            format!("first{end}MAIL FROM:<forged@x.example>\r\nRCPT TO:<v@y.example>\r\nDATA\r\nsecond\r\n.\r\n");
        let events = Talk::new().mail(&smuggled).events();
        assert_eq!(count(&events, "up mail state="), 1, "{end:?} is not the end");
        assert_eq!(count(&events, "verb=MAIL"), 1, "{end:?} makes no second mail");
        has(&events, "up ambiguous_end");
    }
}

#[test]
fn a_login_that_says_data_is_no_data_command() {
    let events = Talk::new()
        .up("AUTH LOGIN\r\n")
        .down("334 VXNlcm5hbWU6\r\n")
        .up("data\r\n")
        .down("334 UGFzc3dvcmQ6\r\n")
        .up("c2VjcmV0\r\n")
        .down("235 ok\r\n")
        .mail("hi\r\n.\r\n")
        .events();
    assert_eq!(count(&events, "up credentials"), 2);
    assert_eq!(count(&events, "up mail state="), 1);
}

#[test]
fn a_cancelled_login_leaves_the_session_alone() {
    let events = Talk::new()
        .up("AUTH LOGIN\r\n")
        .down("334 VXNlcm5hbWU6\r\n")
        .up("*\r\n")
        .down("501 cancelled\r\n")
        .mail("hi\r\n.\r\n")
        .events();
    assert_eq!(count(&events, "up mail state="), 1);
}

#[test]
fn a_second_data_command_after_a_refused_one_brings_the_mail() {
    let events = Talk::new()
        .up("MAIL FROM:<a@b.example>\r\n")
        .down("250 ok\r\n")
        .up("DATA\r\n")
        .down("503 no recipients\r\n")
        .up("RCPT TO:<c@d.example>\r\n")
        .down("250 ok\r\n")
        .up("DATA\r\n")
        .down("354 go\r\n")
        .up("hi\r\n.\r\n")
        .down("250 queued\r\n")
        .events();
    assert_eq!(count(&events, "up mail state="), 1);
}

#[test]
fn clear_text_after_starttls_is_read_on_and_told_once() {
    let events = Talk::new()
        .up("STARTTLS\r\n")
        .down("220 go\r\n")
        .up("EHLO client\r\n")
        .down("250 mx\r\n")
        .mail("hi\r\n.\r\n")
        .events();
    assert_eq!(count(&events, "up mail state="), 1);
    assert_eq!(count(&events, "clear_after_starttls"), 1);
}

#[test]
fn tls_after_starttls_ends_the_reading() {
    let hello = "\u{16}\u{3}\u{1}\0\u{5}hello";
    let events = Talk::new()
        .up("STARTTLS\r\n")
        .down("220 go\r\n")
        .up(hello)
        .down("\u{16}\u{3}\u{3}\0\u{1}x")
        .up("more")
        .events();
    has(&events, "finish state=");
    assert_eq!(count(&events, "anomal"), 0);
    has_not(&events, "missing_grammar");
    has_not(&events, "parse_error");
}

#[test]
fn refused_starttls_goes_on_in_clear() {
    let events = Talk::new().up("STARTTLS\r\n").down("454 not now\r\n").mail("hi\r\n.\r\n").events();
    assert_eq!(count(&events, "up mail state="), 1);
    has_not(&events, "clear_after_starttls");
}

#[test]
fn text_behind_starttls_is_an_injection() {
    let events = Talk::new().up("STARTTLS\r\nRSET\r\n").down("220 go\r\n").events();
    has(&events, "starttls_injection");
}

#[test]
fn a_pipelined_group_is_parsed_before_any_answer() {
    let events = Talk::new().up("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n").events();
    assert_eq!(count(&events, "up command"), 4);
    let events = Talk::new()
        .up("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n")
        .down("250 ok\r\n250 ok\r\n354 go\r\n")
        .up("hi\r\n.\r\nQUIT\r\n")
        .down("250 queued\r\n221 bye\r\n")
        .events();
    assert_eq!(count(&events, "up mail state="), 1);
    has(&events, "verb=QUIT");
    has_not(&events, "unsolicited");
    has_not(&events, "early");
}

#[test]
fn mail_sent_with_its_data_command_waits_for_the_answer() {
    let group = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nRCPT TO is text here\r\n.\r\n";
    let accepted = Talk::new().up(group).down("250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n").events();
    assert_eq!(count(&accepted, "up mail state="), 1);
    has(&accepted, "early_data");
    assert_eq!(count(&accepted, "verb=RCPT"), 1);
    let refused = Talk::new().up(group).down("250 ok\r\n550 no\r\n503 no recipients\r\n").events();
    assert_eq!(count(&refused, "up mail state="), 0);
    assert_eq!(count(&refused, "verb=RCPT"), 2, "the lines of the mail are commands now");
    has(&refused, "data_refused");
}

#[test]
fn chunks_make_one_mail() {
    let events = Talk::new()
        .up("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 6\r\n.\r\nabcBDAT 3 LAST\r\nxyz")
        .down("250 ok\r\n250 ok\r\n250 ok\r\n250 queued\r\n")
        .up("QUIT\r\n")
        .down("221 bye\r\n")
        .events();
    assert_eq!(count(&events, "up mail state="), 1);
    has(&events, "octets=9");
    has(&events, "verb=QUIT");
    let events = Talk::new().up("BDAT 5\r\nhello").down("503 no mail\r\n").up("NOOP\r\n").down("250 ok\r\n").events();
    has(&events, "verb=NOOP");
    has_not(&events, " fail ");
}

#[test]
fn odd_chunk_sizes_are_told() {
    for size in ["+5", "0x5", "5LAST", "-1", "4294967301", "99999999999999999999999999"] {
        has(&Talk::new().up(&format!("BDAT {size} LAST\r\n")).events(), "bdat_size");
    }
}

#[test]
fn an_empty_message_is_a_message() {
    let events = Talk::new().mail(".\r\n").mail("second\r\n.\r\n").events();
    assert_eq!(count(&events, "up mail state="), 2);
}

#[test]
fn an_unsolicited_421_is_no_failure() {
    let events = Talk::new().down("421 closing\r\n").events();
    has_not(&events, " fail ");
    has(&events, "enter state=closing");
}

#[test]
fn a_refused_greeting_is_no_failure() {
    let talk = Talk { steps: Vec::new() }.down("554 no service\r\n").up("QUIT\r\n").down("221 bye\r\n");
    let events = talk.events();
    has(&events, "greeting_refused");
    has(&events, "verb=QUIT");
    has_not(&events, " fail ");
}

#[test]
fn lmtp_answers_once_for_each_recipient() {
    let talk = Talk { steps: Vec::new() }
        .down("220 lmtp\r\n")
        .up("LHLO client\r\n")
        .down("250 lmtp\r\n")
        .up("MAIL FROM:<a@b.example>\r\n")
        .down("250 ok\r\n")
        .up("RCPT TO:<c@d.example>\r\n")
        .down("250 ok\r\n")
        .up("RCPT TO:<e@d.example>\r\n")
        .down("250 ok\r\n")
        .up("DATA\r\n")
        .down("354 go\r\n")
        .up("hi\r\n.\r\n")
        .down("250 one\r\n250 two\r\n")
        .up("QUIT\r\n")
        .down("221 bye\r\n");
    let events = talk.events();
    has_not(&events, "unsolicited");
    assert_eq!(count(&events, "up mail state="), 1);
}

#[test]
fn an_overlong_command_is_cut_and_the_next_one_is_read() {
    let events =
        Talk::new().up(&format!("NOOP {}\r\n", "x".repeat(200_000))).down("250 ok\r\n").mail("hi\r\n.\r\n").events();
    has(&events, "up overrun");
    assert_eq!(count(&events, "up mail state="), 1);
}
