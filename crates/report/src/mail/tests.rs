//! Sessions made by hand, after captures of real servers.

use portcullis_lang::AnomalyId;
use portcullis_wire::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::limits::{MAX_PENDING_COMMANDS, MAX_WAITING_MAILS, MAX_WAITING_OCTETS};

/// A session and what it reported.
#[derive(Default)]
struct Talk {
    session: MailSession,
    mails: Vec<Mail>,
    packet: u64,
}

impl Talk {
    fn new() -> Talk {
        Talk::default().place(220, Place::Greeting)
    }

    fn say(mut self, said: Said<'_>) -> Talk {
        self.packet += 1;
        let moment = Moment { time: Timestamp::from_seconds(self.packet as i64), packet: self.packet };
        let mails = &mut self.mails;
        self.session.take(said, moment, &mut |mail| mails.push(mail.clone()));
        self
    }

    /// A command as it stands on the wire.
    fn up(self, line: &str) -> Talk {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let argument = rest.split_once(':').map_or(rest, |(_, path)| path);
        let argument = argument.split(' ').next().unwrap_or("");
        self.say(Said::Command(Command {
            verb: Verb::of(word.as_bytes()),
            argument: argument.as_bytes(),
            declared_size: line.split_once("SIZE=").map(|(_, size)| size.parse().unwrap()),
            sized: argument.parse::<u32>().is_ok(),
            last: rest.ends_with("LAST"),
            lmtp: word == "LHLO",
        }))
    }

    fn down(self, code: u16) -> Talk {
        self.place(code, Place::Answer)
    }

    fn place(self, code: u16, place: Place) -> Talk {
        self.say(Said::Reply { code, text: b"text", place, asked: None })
    }

    fn asked(self, code: u16, asked: Verb) -> Talk {
        self.say(Said::Reply { code, text: b"text", place: Place::Answer, asked: Some(asked) })
    }

    /// The text of a mail, to its end.
    fn text(self, octets: u64) -> Talk {
        self.say(Said::Octets(octets)).say(Said::End { complete: true })
    }

    fn hello(self) -> Talk {
        self.up("EHLO c").down(250)
    }

    fn envelope(self, from: &str, to: &str) -> Talk {
        self.up(&format!("MAIL FROM:{from}")).down(250).up(&format!("RCPT TO:{to}")).down(250)
    }

    fn data(self) -> Talk {
        self.up("DATA").down(354).text(100).down(250)
    }

    /// Closes the flow and shows the mails: `c <a> [<b> <d>] accepted`.
    fn close(mut self) -> Vec<String> {
        let moment = Moment { time: Timestamp::from_seconds(99), packet: 99 };
        let mails = &mut self.mails;
        self.session.close(moment, &mut |mail| mails.push(mail.clone()));
        self.mails.iter().map(show).collect()
    }
}

fn show(mail: &Mail) -> String {
    let text = |text: Option<&[u8]>| text.map_or("-".into(), |text| String::from_utf8_lossy(text).into_owned());
    let to: Vec<String> = mail.recipients.iter().map(|recipient| text(Some(&recipient.address))).collect();
    let outcome = mail.outcome().map_or("-", MailOutcome::name);
    let (helo, from) = (text(mail.helo.as_deref()), text(mail.sender.as_deref()));
    format!("{helo} {from} [{}] {outcome} {}", to.join(" "), mail.size)
}

#[test]
fn one_mail() {
    let talk = Talk::new().hello().up("MAIL FROM:<a@x> SIZE=120").down(250);
    let talk = talk.up("RCPT TO:<b@y>").down(250).up("RCPT TO:<c@y>").down(550).data();
    let mail = &talk.mails[0];
    assert_eq!((mail.number, mail.declared_size, mail.complete), (0, Some(120), true));
    assert_eq!((mail.begun.packet, mail.ended.packet), (2, 14));
    assert_eq!(mail.recipients.iter().map(|one| one.reply).collect::<Vec<_>>(), [Some(250), Some(550)]);
    assert_eq!(mail.reply, Some(MailReply { code: 250, text: b"text".as_slice().into() }));
    assert_eq!(talk.up("QUIT").down(221).close(), ["c <a@x> [<b@y> <c@y>] accepted 100"]);
}

#[test]
fn a_session_without_a_mail_is_reported_once_and_one_without_a_word_is_not() {
    assert_eq!(Talk::new().up("QUIT").down(221).close(), ["- - [] - 0"]);
    assert_eq!(Talk::new().up("RSET").down(250).close(), ["- - [] - 0"]);
    assert_eq!(Talk::new().hello().up("NOOP").down(250).close(), ["c - [] - 0"]);
    assert_eq!(Talk::new().close(), [""; 0]);
}

#[test]
fn what_ends_without_a_packet_ends_with_the_last_one() {
    let mut talk = Talk::new().hello();
    let mut ended = Vec::new();
    talk.session.close(Moment { time: Timestamp::MIN, packet: 0 }, &mut |mail| ended.push(mail.ended));
    assert_eq!(ended, [Moment { time: Timestamp::from_seconds(3), packet: 3 }]);
}

#[test]
fn rset_discards_an_envelope() {
    let talk = Talk::new().hello().up("MAIL FROM:<a@x>").down(250).up("RSET").down(250);
    assert_eq!(talk.mails.len(), 1, "reported with the reply");
    let talk = talk.up("RSET").down(250).envelope("<b@x>", "<c@y>").data().up("QUIT").down(221);
    assert_eq!(talk.close(), ["c <a@x> [] aborted 0", "c <b@x> [<c@y>] accepted 100"]);
}

#[test]
fn an_envelope_that_is_discarded_before_quit_is_reported_once() {
    let talk = Talk::new().hello().envelope("<a@x>", "<b@y>").up("RSET").down(250).up("QUIT").down(221);
    assert_eq!(talk.close(), ["c <a@x> [<b@y>] aborted 0"]);
}

#[test]
fn what_is_pipelined_behind_a_mail_belongs_to_the_next() {
    let talk = Talk::new().hello().envelope("<a@x>", "<b@y>").up("DATA").down(354).text(10);
    let talk = talk.up("RSET").up("MAIL FROM:<c@x>").up("RCPT TO:<d@y>").up("DATA");
    assert!(talk.mails.is_empty(), "the reply to the first mail has not come");
    let talk = talk.down(550).down(250).down(250).down(250).down(354).text(20).down(250);
    assert_eq!(talk.close(), ["c <a@x> [<b@y>] rejected 10", "c <c@x> [<d@y>] accepted 20"]);
}

#[test]
fn two_mails_in_one_segment() {
    let talk = Talk::new().hello();
    let talk = talk.up("MAIL FROM:<a@x>").up("RCPT TO:<b@y>").up("BDAT 5 LAST").text(5);
    let talk = talk.up("MAIL FROM:<c@x>").up("RCPT TO:<d@y>").up("BDAT 6 LAST").text(6).up("QUIT");
    let talk = talk.down(250).down(250).down(250).down(250).down(250).down(451).down(221);
    assert_eq!(talk.close(), ["c <a@x> [<b@y>] accepted 5", "c <c@x> [<d@y>] rejected 6"]);
}

#[test]
fn a_sender_that_is_refused_gives_way_and_one_that_is_taken_does_not() {
    let nested = Talk::new().hello().up("MAIL FROM:<a@x>").down(250).up("MAIL FROM:<b@x>").down(503);
    assert_eq!(nested.up("RCPT TO:<c@y>").down(250).data().close(), ["c <a@x> [<c@y>] accepted 100"]);
    let refused = Talk::new().hello().up("MAIL FROM:<a@x>").down(550).up("MAIL FROM:<b@x>").down(250);
    assert_eq!(refused.up("RCPT TO:<c@y>").down(250).data().close(), ["c <b@x> [<c@y>] accepted 100"]);
}

#[test]
fn refused_commands_do_not_end_a_transaction() {
    let talk = Talk::new().hello().up("RCPT TO:<b@y>").down(503).up("DATA").down(503).envelope("<a@x>", "<b@y>");
    assert_eq!(talk.data().close(), ["c <a@x> [<b@y> <b@y>] accepted 100"]);
}

#[test]
fn a_greeting_in_the_middle_discards_what_was_tried_if_it_is_accepted() {
    let talk = Talk::new().up("HELO one").down(250).up("DATA").down(503).up("EHLO two").down(250);
    assert_eq!(talk.mails.len(), 1);
    let talk = talk.envelope("<a@x>", "<b@y>").data();
    assert_eq!(talk.close(), ["one - [] rejected 0", "two <a@x> [<b@y>] accepted 100"]);

    let talk = Talk::new().hello().up("MAIL FROM:<a@x>").down(250).up("EHLO ").down(501);
    assert_eq!(talk.up("RCPT TO:<b@y>").down(250).data().close(), ["c <a@x> [<b@y>] accepted 100"]);
}

#[test]
fn helo_after_a_refused_ehlo_is_the_same_session() {
    let talk = Talk::new().up("EHLO one").down(502).up("HELO two").down(250).envelope("<a@x>", "<b@y>").data();
    assert_eq!(talk.close(), ["two <a@x> [<b@y>] accepted 100"]);
}

#[test]
fn outcomes_without_a_word_about_the_text() {
    let start = || Talk::new().hello();
    assert_eq!(start().up("MAIL FROM:<a@x>").down(550).close(), ["c <a@x> [] rejected 0"]);
    assert_eq!(start().envelope("<a@x>", "<b@y>").close(), ["c <a@x> [<b@y>] aborted 0"]);
    let nobody = start().up("MAIL FROM:<a@x>").down(250).up("RCPT TO:<b@y>").down(550).up("QUIT");
    assert_eq!(nobody.close(), ["c <a@x> [<b@y>] rejected 0"]);
    let refused = start().envelope("<a@x>", "<b@y>").up("DATA").down(451);
    assert_eq!(refused.close(), ["c <a@x> [<b@y>] rejected 0"]);
    let cut = start().envelope("<a@x>", "<b@y>").up("DATA").down(354).say(Said::Octets(7));
    assert_eq!(cut.say(Said::End { complete: false }).say(Said::Over).close(), ["c <a@x> [<b@y>] aborted 7"]);
    let silent = start().envelope("<a@x>", "<b@y>").up("DATA").down(354).text(8);
    assert_eq!(silent.close(), ["c <a@x> [<b@y>] unknown 8"]);
}

#[test]
fn one_direction_alone_gives_mails_too() {
    let talk = Talk::default().up("EHLO c").up("MAIL FROM:<a@x>").up("RCPT TO:<b@y>").up("DATA").text(10);
    let talk = talk.up("MAIL FROM:<c@x>").up("RCPT TO:<d@y>").up("DATA").text(20).up("QUIT");
    assert_eq!(talk.close(), ["c <a@x> [<b@y>] unknown 10", "c <c@x> [<d@y>] unknown 20"]);
    assert_eq!(Talk::default().down(250).down(354).down(250).close(), [""; 0]);
}

#[test]
fn an_early_reply_decides_when_the_text_is_over() {
    let talk = Talk::new().hello().envelope("<a@x>", "<b@y>").up("DATA").down(354).place(552, Place::InText);
    let talk = talk.say(Said::Octets(50)).say(Said::End { complete: false });
    assert_eq!(talk.mails.len(), 1);
    let talk = talk.envelope("<c@x>", "<d@y>").data();
    assert_eq!(talk.close(), ["c <a@x> [<b@y>] rejected 50", "c <c@x> [<d@y>] accepted 100"]);
}

#[test]
fn a_refused_chunk_ends_the_mail_and_takes_the_others_along() {
    let talk = Talk::new().hello().envelope("<a@x>", "<b@y>").up("BDAT 5").say(Said::Octets(5));
    let talk = talk.up("BDAT 6 LAST").say(Said::Octets(6)).say(Said::End { complete: true }).down(452).down(503);
    assert_eq!(talk.mails.len(), 1);
    let talk = talk.up("BDAT 1 LAST").say(Said::Octets(1)).down(503).envelope("<c@x>", "<d@y>").data();
    assert_eq!(talk.close(), ["c <a@x> [<b@y>] rejected 11", "c <c@x> [<d@y>] accepted 100"]);
}

#[test]
fn a_chunk_whose_size_cannot_be_read() {
    let talk = Talk::new().hello().envelope("<a@x>", "<b@y>").up("BDAT SCRAMBLE").down(521).up("QUIT");
    assert_eq!(talk.close(), ["c <a@x> [<b@y>] rejected 0"]);
}

#[test]
fn a_chunk_that_is_refused_before_its_octets_came() {
    let talk = Talk::new().hello().envelope("<a@x>", "<b@y>").up("BDAT 5").place(521, Place::InText);
    assert!(talk.mails.is_empty());
    let talk = talk.say(Said::Octets(5)).say(Said::End { complete: false }).up("MAIL FROM:<c@x>");
    assert_eq!(talk.close(), ["c <a@x> [<b@y>] rejected 5", "c <c@x> [] unknown 0"]);
}

#[test]
fn lmtp_replies_once_for_each_recipient() {
    let start = || Talk::new().up("LHLO c").down(250).up("MAIL FROM:<a@x>").down(250);
    let two = || start().up("RCPT TO:<b@y>").down(250).up("RCPT TO:<no@y>").down(550).up("RCPT TO:<d@y>").down(250);
    let talk = two().up("DATA").down(354).text(9).down(250);
    assert!(talk.mails.is_empty());
    let talk = talk.down(451).up("MAIL FROM:<e@x>").down(250);
    assert_eq!(talk.close(), ["c <a@x> [<b@y> <no@y> <d@y>] accepted 9", "c <e@x> [] aborted 0"]);
}

#[test]
fn credentials_are_not_kept_and_their_reply_is_known() {
    let talk = Talk::new().hello().up("AUTH LOGIN").down(334).say(Said::Credentials).down(334).say(Said::Credentials);
    let talk = talk.down(535).up("STARTTLS").down(220).up("EHLO c").down(250).envelope("<a@x>", "<b@y>").data();
    let mail = &talk.mails[0];
    assert_eq!(mail.auth_mechanism.as_deref(), Some(&b"LOGIN"[..]));
    assert_eq!((mail.auth_accepted, mail.tls), (Some(false), true));
}

#[test]
fn a_reply_that_belongs_to_a_later_command_is_not_given_to_an_earlier_one() {
    let talk = Talk::new().hello().up("MAIL FROM:<a@x>").up("RCPT TO:<b@y>").asked(550, Verb::Rcpt);
    assert_eq!(talk.mails.len(), 0);
    let talk = talk.asked(250, Verb::StartTls);
    assert_eq!(talk.close(), ["c <a@x> [<b@y>] rejected 0"]);
}

#[test]
fn after_a_loss_of_replies_nothing_is_guessed() {
    let talk = Talk::new().hello().envelope("<a@x>", "<b@y>").up("DATA").down(354).text(10);
    let talk = talk.say(Said::Gap(portcullis_lang::Direction::Down));
    assert_eq!(talk.mails.len(), 1);
    let talk = talk.down(250).envelope("<c@x>", "<d@y>").data();
    assert_eq!(talk.close(), ["c <a@x> [<b@y>] unknown 10", "c <c@x> [<d@y>] accepted 100"]);
    let hole = Talk::new().hello().envelope("<a@x>", "<b@y>").up("DATA").down(354).say(Said::Octets(3));
    let hole = hole.say(Said::Gap(portcullis_lang::Direction::Up)).say(Said::End { complete: false });
    assert_eq!(hole.close(), ["c <a@x> [<b@y>] unknown 3"]);
}

#[test]
fn anomalies_belong_to_the_mail_they_are_in() {
    let bad = |talk: Talk, id| talk.say(Said::Anomaly(AnomalyId(id)));
    let talk = bad(bad(Talk::new().hello().envelope("<a@x>", "<b@y>").up("DATA").down(354), 3), 3);
    let talk = bad(talk, 1).text(5).down(250);
    assert_eq!(talk.mails[0].anomalies, [AnomalyId(3), AnomalyId(1)]);
    let mut talk = bad(talk, 2);
    talk = talk.envelope("<c@x>", "<d@y>").data();
    assert!(talk.mails[1].anomalies.is_empty());
}

#[test]
fn recipients_are_bounded_by_number_and_by_octets() {
    let mut talk = Talk::new().hello().up("MAIL FROM:<a@x>").down(250);
    for _ in 0..MAX_RECIPIENTS + 7 {
        talk = talk.up("RCPT TO:<b@y>").down(250);
    }
    let mail = talk.session.current().unwrap();
    assert_eq!((mail.recipients.len(), mail.recipients_left_out), (MAX_RECIPIENTS, 7));

    let long = "x".repeat(4000);
    let mut talk = Talk::new().hello();
    for _ in 0..20 {
        talk = talk.up(&format!("RCPT TO:<{long}>"));
    }
    let mail = talk.session.current().unwrap();
    assert_eq!((mail.recipients.len(), mail.recipients_left_out), (16, 4));
}

#[test]
fn a_client_that_never_waits_costs_bounded_memory() {
    let mut talk = Talk::default().up("EHLO c");
    let long = "x".repeat(2000);
    for _ in 0..MAX_WAITING_MAILS * 3 {
        talk = talk.up(&format!("MAIL FROM:<{long}>")).up("RCPT TO:<b@y>").up("DATA").text(1);
    }
    for _ in 0..MAX_PENDING_COMMANDS {
        talk = talk.up("NOOP");
    }
    let mut weight = 0;
    let reported = talk.mails.len();
    talk.session.close(Moment::default(), &mut |mail| weight += mail.weight());
    assert!(weight <= MAX_WAITING_OCTETS, "{weight}");
    assert!(reported > MAX_WAITING_MAILS);
}

fn anything() -> impl Strategy<Value = Vec<(u8, u16, bool)>> {
    proptest::collection::vec(
        (0u8..16, prop_oneof![Just(250u16), Just(354), Just(220), 0u16..700], any::<bool>()),
        0..60,
    )
}

proptest! {
    /// Whatever is said: no panic, numbers in order of the beginning, each reported once.
    #[test]
    fn every_transaction_is_reported_at_most_once(steps in anything()) {
        let mut talk = Talk::default();
        for (step, code, flag) in steps {
            talk = match step {
                0 => talk.up("EHLO c"),
                1 => talk.up("MAIL FROM:<a@x>"),
                2 => talk.up("RCPT TO:<b@y>"),
                3 => talk.up("DATA"),
                4 => talk.up("BDAT 5"),
                5 => talk.up("BDAT 5 LAST"),
                6 => talk.up("RSET"),
                7 => talk.up("AUTH PLAIN"),
                8 => talk.up(if flag { "LHLO l" } else { "NOOP" }),
                9 | 10 => talk.place(code, Place::Answer),
                11 => talk.place(code, Place::InText),
                12 => talk.asked(code, if flag { Verb::Data } else { Verb::Rcpt }),
                13 => talk.say(Said::Octets(u64::from(code))),
                14 => talk.say(Said::End { complete: flag }),
                _ => talk.say(Said::Gap(if flag { portcullis_lang::Direction::Up } else { portcullis_lang::Direction::Down })),
            };
        }
        let transactions = talk.session.transactions();
        let mut mails = talk.mails;
        talk.session.close(Moment::default(), &mut |mail| mails.push(mail.clone()));
        let mut numbers: Vec<u64> = mails.iter().map(|mail| mail.number).collect();
        numbers.sort_unstable();
        let count = numbers.len();
        numbers.dedup();
        prop_assert_eq!(count, numbers.len());
        prop_assert!(numbers.iter().all(|number| *number < transactions));
        prop_assert!(mails.iter().all(|mail| mail.number == 0 || mail.outcome().is_some()));
    }
}
