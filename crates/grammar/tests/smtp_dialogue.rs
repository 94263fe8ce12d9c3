//! Conversations of SMTP through the machine: what is told, in which order, and when.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use portcullis_lang::Direction::{Down, Up};
use support::{Talk, smtp};

/// A conversation after greeting and EHLO.
fn greeted() -> Talk<'static> {
    let mut talk = Talk::new(smtp());
    talk.down("220 mx ESMTP\r\n").up("EHLO a\r\n").down("250-mx\r\n250 PIPELINING\r\n");
    assert_eq!(talk.news(), ["reply 220", "command EHLO", "reply 250"]);
    talk
}

/// A conversation whose server has asked for the mail.
fn asked_for_mail() -> Talk<'static> {
    let mut talk = greeted();
    talk.up("MAIL FROM:<x@y>\r\nRCPT TO:<u@v>\r\nDATA\r\n").down("250 ok\r\n250 ok\r\n354 go\r\n");
    talk.news();
    talk
}

#[test]
fn a_pipelined_group_is_parsed_on_arrival() {
    let mut talk = greeted();
    talk.up("MAIL FROM:<x@y>\r\nRCPT TO:<u@v>\r\nDATA\r\n");
    assert_eq!(talk.news(), ["command MAIL", "command RCPT", "command DATA"]);
    assert_eq!(talk.state(), "response");
    talk.down("250 ok\r\n");
    assert_eq!(
        talk.told.iter().find(|told| told.name == "reply").map(|told| told.flow.contains("asked.verb=MAIL")),
        Some(true)
    );
    assert_eq!(talk.news(), ["reply 250"]);
    talk.down("550 no\r\n");
    assert_eq!(
        talk.told.iter().find(|told| told.name == "reply").map(|told| told.flow.contains("asked.verb=RCPT")),
        Some(true)
    );
    talk.news();
    talk.down("354 go\r\n");
    assert_eq!(
        talk.told.iter().find(|told| told.name == "reply").map(|told| told.flow.contains("asked.verb=DATA")),
        Some(true)
    );
    assert_eq!(talk.state(), "data_transmission");
    talk.news();
    talk.up("Subject: hi\r\n\r\n..dot\r\n.\r\nQUIT\r\n");
    let body = "Subject: hi\\r\\n\\r\\n";
    let content = [format!("content.chunk {body}"), format!("mail.chunk {body}")];
    assert_eq!(
        talk.news()[..4],
        ["content.start".to_owned(), "mail.start".to_owned(), content[0].clone(), content[1].clone()]
    );
    talk.down("250 queued\r\n221 bye\r\n").close();
    assert_eq!(talk.news(), ["reply 250", "reply 221", "finish"]);
}

#[test]
fn two_mails_in_one_group() {
    let mut talk = greeted();
    talk.up(
        "MAIL FROM:<x@y>\r\nRCPT TO:<u@v>\r\nBDAT 2\r\nabBDAT 1 LAST\r\ncMAIL FROM:<>\r\nRCPT TO:<w@v>\r\nDATA\r\n",
    );
    assert_eq!(
        talk.news(),
        [
            "command MAIL",
            "command RCPT",
            "command BDAT",
            "chunk.start",
            "mail.start",
            "chunk.chunk ab",
            "mail.chunk ab",
            "chunk",
            "command BDAT",
            "chunk.start",
            "chunk.chunk c",
            "mail.chunk c",
            "chunk",
            "mail",
            "command MAIL",
            "command RCPT",
            "command DATA",
        ]
    );
    talk.down("250 a\r\n250 b\r\n250 c\r\n250 d\r\n250 e\r\n250 f\r\n354 g\r\n");
    assert_eq!(talk.news().len(), 7);
    assert_eq!(talk.state(), "data_transmission");
    talk.up("x\r\n.\r\n").down("250 ok\r\n");
    assert_eq!(talk.state(), "command");
}

#[test]
fn a_chunk_of_no_octets_ends_at_once() {
    let mut talk = greeted();
    talk.up("MAIL FROM:<x@y>\r\n").down("250 ok\r\n").up("BDAT 0 LAST\r\n");
    assert_eq!(
        talk.news(),
        ["command MAIL", "reply 250", "command BDAT", "chunk.start", "mail.start", "chunk", "mail"]
    );
    talk.down("250 ok\r\n").up("QUIT\r\n");
    assert_eq!(talk.news(), ["reply 250", "command QUIT"]);
}

#[test]
fn what_follows_data_waits_for_the_answer() {
    let mut talk = greeted();
    talk.up("MAIL FROM:<x@y>\r\nRCPT TO:<u@v>\r\nDATA\r\nRSET\r\n.\r\n");
    assert_eq!(talk.news(), ["command MAIL", "command RCPT", "command DATA"]);
    talk.down("250 ok\r\n250 ok\r\n354 go\r\n");
    assert_eq!(
        talk.news(),
        [
            "reply 250",
            "reply 250",
            "reply 354",
            "early_data",
            "content.start",
            "mail.start",
            "content.chunk RSET\\r\\n",
            "mail.chunk RSET\\r\\n",
            "content",
            "mail",
        ]
    );
}

#[test]
fn a_refused_mail_is_commands() {
    let mut talk = greeted();
    talk.up("MAIL FROM:<x@y>\r\nRCPT TO:<u@v>\r\nDATA\r\nRSET\r\nQUIT\r\n").down("250 ok\r\n550 no\r\n503 no\r\n");
    assert_eq!(
        talk.news(),
        [
            "command MAIL",
            "command RCPT",
            "command DATA",
            "reply 250",
            "reply 550",
            "reply 503",
            "data_refused",
            "command RSET",
            "command QUIT",
        ]
    );
}

#[test]
fn credentials_wait_for_the_challenge() {
    let mut talk = greeted();
    talk.up("AUTH LOGIN\r\nQUIT\r\n");
    assert_eq!(talk.news(), ["command AUTH"]);
    talk.down("334 VXNlcm5hbWU6\r\n");
    assert_eq!(talk.news(), ["reply 334", "credentials response=QUIT"]);
    talk.down("334 UGFzc3dvcmQ6\r\n").up("*\r\n").down("501 no\r\n").up("QUIT\r\n");
    assert_eq!(talk.news(), ["reply 334", "credentials response=*", "reply 501", "command QUIT"]);

    let mut talk = greeted();
    talk.up("AUTH LOGIN\r\nQUIT\r\n").down("535 no\r\n");
    assert_eq!(talk.news(), ["command AUTH", "reply 535", "command QUIT"]);
}

#[test]
fn clear_text_behind_starttls_waits_and_is_an_injection() {
    let mut talk = greeted();
    talk.up("STARTTLS\r\nRSET\r\n");
    assert_eq!(talk.news(), ["command STARTTLS"]);
    talk.down("220 go\r\n");
    assert_eq!(talk.news(), ["reply 220", "starttls_injection", "command RSET", "clear_after_starttls"]);

    let mut talk = greeted();
    talk.up("STARTTLS\r\nRSET\r\n").down("454 no\r\n");
    assert_eq!(talk.news(), ["command STARTTLS", "reply 454", "command RSET"]);
}

#[test]
fn tls_takes_over_and_nothing_more_is_told() {
    let mut talk = greeted();
    talk.up("STARTTLS\r\n").down("220 go\r\n");
    talk.news();
    talk.say(Up, b"\x16\x03\x01\x00\x05hello").say(Down, b"\x16\x03\x03\x00\x05hello");
    let news = talk.news();
    assert_eq!(news.last().map(String::as_str), Some("finish tls"), "{news:?}");
    assert!(talk.dialogue.is_over());
    talk.say(Up, b"\x17\x03\x03\x00\x01x").close();
    assert_eq!(talk.news(), [""; 0]);
}

#[test]
fn too_much_that_waits_is_an_overrun() {
    let mut talk = greeted();
    talk.up("MAIL FROM:<x@y>\r\nDATA\r\n");
    talk.news();
    for _ in 0..70 {
        talk.up(&"x".repeat(1000));
    }
    assert_eq!(talk.news(), ["overrun up", "fail: more than 65536 octets wait for an answer"]);
    assert_eq!(talk.dialogue.held(), 0);
}

#[test]
fn a_gap_in_a_reply_is_bridged() {
    let mut talk = greeted();
    talk.up("NOOP\r\n").down("250-first\r\n25").gap(Down, 20).down("end\r\n");
    assert_eq!(talk.news(), ["command NOOP", "gap 20 down"]);
    talk.up("NOOP\r\n").down("250 ok\r\n").up("QUIT\r\n").down("221 bye\r\n");
    assert_eq!(talk.news(), ["command NOOP", "reply 250", "command QUIT", "reply 221"]);
}

/// The machine takes the reply behind the gap for the answer to the command before it, and is behind until the client goes on
/// where it would have to wait.
#[test]
fn a_gap_in_the_replies_to_a_group_is_bridged() {
    let mut talk = greeted();
    talk.up("MAIL FROM:<x@y>\r\nRCPT TO:<u@v>\r\nDATA\r\n").down("250 o").gap(Down, 7).down("ok\r\n354 go\r\n");
    talk.up("Subject: x\r\n\r\ntext\r\n.\r\n").down("250 ok\r\n");
    assert!(talk.news().contains(&"mail".to_owned()));
}

#[test]
fn a_gap_in_a_mail_is_a_hole_in_it() {
    let mut talk = asked_for_mail();
    talk.up("line\r\nha").gap(Up, 100).up("lf\r\nlast\r\n.\r\n").down("250 ok\r\n").up("QUIT\r\n");
    assert_eq!(
        talk.news(),
        [
            "content.start",
            "mail.start",
            "content.chunk line\\r\\nha",
            "mail.chunk line\\r\\nha",
            "gap 100 up",
            "content.chunk lf\\r\\nlast\\r\\n",
            "mail.chunk lf\\r\\nlast\\r\\n",
            "content",
            "mail",
            "reply 250",
            "command QUIT",
        ]
    );
}

#[test]
fn a_gap_in_a_chunk_is_counted_through() {
    let mut talk = greeted();
    talk.up("BDAT 20 LAST\r\n0123456789").gap(Up, 4).up("456789QUIT\r\n");
    talk.down("250 ok\r\n221 bye\r\n");
    assert_eq!(
        talk.news(),
        [
            "command BDAT",
            "chunk.start",
            "mail.start",
            "chunk.chunk 0123456789",
            "mail.chunk 0123456789",
            "gap 4 up",
            "chunk.chunk 456789",
            "mail.chunk 456789",
            "chunk",
            "mail",
            "command QUIT",
            "reply 250",
            "reply 221",
        ]
    );
}

#[test]
fn a_gap_in_a_command_is_followed_by_the_next_one() {
    let mut talk = greeted();
    talk.up("MAIL FROM:<x").gap(Up, 10).up("bc>\r\nRCPT TO:<u@v>\r\n").down("250 ok\r\n250 ok\r\n").up("QUIT\r\n");
    let news = talk.news();
    assert!(news.contains(&"gap 10 up".to_owned()) && news.contains(&"command RCPT".to_owned()));
    assert_eq!(news.last().map(String::as_str), Some("command QUIT"));
    assert!(!talk.dialogue.is_over());
}

#[test]
fn a_reply_found_in_the_middle_is_told_at_once_however_it_is_cut() {
    // The client's half command waits, and is waiting still when the reply is judged; found by the fuzzer.
    for pieces in [&["250\r\n"][..], &["2", "5", "0", "\r", "\n"], &["250\r", "\n"]] {
        let mut talk = Talk::midstream(smtp());
        talk.up("\0");
        for piece in pieces {
            talk.down(piece);
        }
        assert_eq!(talk.news(), ["reply 250", "data_refused"], "{pieces:?}");
    }
}

#[test]
fn a_conversation_is_joined_in_the_middle() {
    // From the client: the first line is half a one.
    let mut talk = Talk::midstream(smtp());
    talk.up("x@y>\r\nRCPT TO:<u@v>\r\n").down("250 ok\r\n").up("QUIT\r\n").down("221 bye\r\n");
    assert_eq!(talk.news(), ["command RCPT", "reply 250", "command QUIT", "reply 221"]);

    // From the server.
    let mut talk = Talk::midstream(smtp());
    talk.down("ok\r\n250 ok\r\n").up("MAIL FROM:<a@b>\r\n").down("250 ok\r\n");
    assert_eq!(talk.news(), ["reply 250", "command MAIL", "reply 250"]);
}

#[test]
fn a_client_alone_is_understood() {
    let mut talk = Talk::new(smtp());
    talk.up("EHLO a\r\n").up("MAIL FROM:<x@y>\r\n").up("RCPT TO:<u@v>\r\n").up("DATA\r\n").gap(Down, 80);
    talk.up("Subject: x\r\n\r\ntext\r\n.\r\n").up("QUIT\r\n").gap(Down, 80).close();
    let news = talk.news();
    for event in ["command EHLO", "command MAIL", "command RCPT", "command DATA", "content", "mail", "command QUIT"] {
        assert!(news.contains(&event.to_owned()), "{event} in {news:?}");
    }
}

#[test]
fn a_server_alone_is_understood() {
    let mut talk = Talk::new(smtp());
    talk.down("220 mx\r\n").gap(Up, 10).down("250 hello\r\n").gap(Up, 10).down("250 sender\r\n").gap(Up, 10);
    talk.down("354 go\r\n").gap(Up, 1000).down("250 taken\r\n").gap(Up, 6).down("221 bye\r\n").close();
    let news = talk.news();
    let replies: Vec<&String> = news.iter().filter(|event| event.starts_with("reply")).collect();
    assert_eq!(replies, ["reply 220", "reply 250", "reply 250", "reply 354", "reply 250", "reply 221"], "{news:?}");
    assert!(!news.iter().any(|event| event.starts_with("fail")), "{news:?}");
}

#[test]
fn a_silent_conversation_ends() {
    let mut talk = greeted();
    talk.pass(14 * 60);
    assert_eq!(talk.news(), [""; 0]);
    talk.pass(2 * 60);
    assert_eq!(talk.news(), ["timeout", "finish"]);
    assert!(talk.dialogue.is_over());
}

#[test]
fn the_end_in_the_middle_of_a_command() {
    let mut talk = greeted();
    talk.up("QUI").end(Up);
    assert_eq!(talk.news(), ["parse_error up"]);
    talk.end(Down).close();
    assert_eq!(talk.news(), ["finish"]);
}

#[test]
fn the_end_in_the_middle_of_a_mail() {
    let mut talk = asked_for_mail();
    talk.up("half").end(Up).end(Down).close();
    assert_eq!(
        talk.news(),
        ["content.start", "mail.start", "content.chunk half", "mail.chunk half", "content cut", "mail cut", "finish"]
    );
}

#[test]
fn a_command_that_is_too_long_is_cut_and_the_next_one_is_read() {
    let mut talk = greeted();
    talk.up(&format!("NOOP {}\r\nRSET\r\n", "x".repeat(20_000)));
    let news = talk.news();
    assert_eq!(news, ["overrun up", "command NOOP", "long_command", "command RSET"]);
    talk.down("500 too long\r\n250 ok\r\n").up("QUIT\r\n");
    assert_eq!(talk.news(), ["reply 500", "reply 250", "command QUIT"]);
}

#[test]
fn a_command_of_two_hundred_thousand_octets_is_never_held() {
    let mut talk = greeted();
    let line = format!("NOOP {}\r\n", "x".repeat(200_000));
    for piece in line.as_bytes().chunks(1460) {
        talk.say(Up, piece);
        assert!(talk.dialogue.held() <= 2 * 16 * 1024, "{} octets held", talk.dialogue.held());
    }
    assert_eq!(talk.news(), ["overrun up", "command NOOP", "long_command"]);
    talk.down("500 too long\r\n").up("QUIT\r\n");
    assert_eq!(talk.news(), ["reply 500", "command QUIT"]);
}

#[test]
fn a_server_may_say_goodbye_at_any_time() {
    let mut talk = greeted();
    talk.up("MAIL FROM:<x@y>\r\nRCPT TO:<u@v>\r\n").down("421 closing\r\n").end(Down).end(Up).close();
    // In lock-step the second command comes after the goodbye.
    assert_eq!(talk.news(), ["command MAIL", "command RCPT", "reply 421", "after_quit", "finish"]);
}

/// Which answers can still come says nothing about the commands that do not wait for them.
#[test]
fn a_pipelined_command_is_no_command_after_the_end() {
    let mut talk = greeted();
    talk.up("MAIL FROM:<x@y>\r\nRCPT TO:<u@v>\r\nRSET\r\nQUIT\r\n");
    assert_eq!(talk.news(), ["command MAIL", "command RCPT", "command RSET", "command QUIT"]);
    let mut talk = Talk::new(smtp());
    talk.up("EHLO a\r\nMAIL FROM:<x@y>\r\n").down("220 mx\r\n250 hello\r\n250 ok\r\n");
    assert_eq!(talk.news(), ["command EHLO", "command MAIL", "reply 220", "early_talk", "reply 250", "reply 250"]);
}

/// What ends the conversation ended it before the answers to what stands before had come.
#[test]
fn a_command_that_does_not_parse_is_judged_after_the_answers_before_it() {
    let mut talk = greeted();
    talk.up(&format!("NOOP\r\n{}\r\n", "x".repeat(5000)));
    assert_eq!(talk.news(), ["command NOOP"]);
    talk.down("250 ok\r\n");
    let news = talk.news();
    assert_eq!(news[..2], ["reply 250", "parse_error up"]);
    assert!(news[2].starts_with("fail: malformed command"), "{news:?}");
}

/// A rule's anomalies were reported where the side was thought to be, not where the answers took the machine.
#[test]
fn what_a_rule_reports_of_an_early_command_depends_on_the_answers() {
    let mut talk = greeted();
    talk.up("QUIT\r\nNOOP\r\n");
    assert_eq!(talk.news(), ["command QUIT", "command NOOP"]);
    talk.down("221 bye\r\n");
    assert_eq!(talk.news(), ["reply 221", "after_quit"]);
}

/// The answer to a command ended a mail that begins behind that command.
#[test]
fn an_answer_does_not_end_a_mail_that_begins_behind_it() {
    let mut talk = greeted();
    talk.up("NOOP\r\nBDAT 5\r\nhello").down("421 closing\r\n");
    assert!(!talk.news().contains(&"mail cut".to_owned()));
    talk.close();
    assert!(talk.news().contains(&"mail cut".to_owned()));
}

/// The end of a mail that was told ahead let an answer end the next one, which begins behind that answer's command.
#[test]
fn an_answer_ends_no_mail_after_the_one_before_it() {
    let mut talk = greeted();
    talk.up("BDAT 1 LAST\r\naNOOP\r\nBDAT 5\r\nhello").down("250 ok\r\n421 closing\r\n");
    assert!(!talk.news().contains(&"mail cut".to_owned()));
}
