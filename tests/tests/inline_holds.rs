//! The gate that keeps back what is not to reach a server yet, between real clients and servers: one command at a time, and what rules
//! hold until they have judged it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::HashMap;

use portcullis_tests::command;
use portcullis_tests::gate::{Gate, number};
use portcullis_tests::mail::{Host, Programs, body};
use portcullis_tests::namespace::{Line, Need, Offloads, lacking, run_of};
use portcullis_tests::sniff::{Seen, Sniffer};

/// Servers inside, clients outside, a gateway between them; none where something is missing.
fn with_hosts(offloads: Offloads, test: impl FnOnce(&Line, &Host<'_>, &Host<'_>)) {
    let needs = [Need::Namespaces, Need::Queue, Need::Program("ethtool"), Need::Program("python3")];
    if lacking(&needs) {
        return;
    }
    let Some(programs) = Programs::fetch() else { return };
    let line = Line::routed(offloads);
    let inside = Host::new(&programs, &line.server, &line.addresses);
    let outside = Host::new(&programs, &line.client, &line.addresses);
    test(&line, &inside, &outside);
}

/// What a server's host has seen of a conversation.
#[derive(Default)]
struct Heard {
    /// The next numbers of both sides, up first.
    next: [Option<u32>; 2],
    /// Segments behind a hole.
    early: Vec<Seen>,
    commands: usize,
    /// Complete replies, the greeting among them.
    replies: usize,
    /// What the server has said of a reply that is not complete.
    reply: Vec<u8>,
    in_mail: bool,
    mail: Vec<u8>,
    mails: usize,
}

impl Heard {
    /// Takes a segment; what is wrong about it, if something is.
    fn take(&mut self, seen: &Seen) -> Option<String> {
        let mut wrong = self.take_next(seen);
        let mut early = std::mem::take(&mut self.early);
        early.sort_by_key(|seen| seen.sequence);
        for seen in &early {
            wrong = wrong.or(self.take_next(seen));
        }
        wrong
    }

    fn take_next(&mut self, seen: &Seen) -> Option<String> {
        let next = &mut self.next[usize::from(!seen.up)];
        let known = next.map_or(0, |next| next.wrapping_sub(seen.sequence)).cast_signed();
        let Ok(known) = usize::try_from(known) else {
            self.early.push(seen.clone());
            return None;
        };
        let new = seen.payload.get(known..).filter(|new| !new.is_empty())?.to_vec();
        *next = Some(seen.sequence.wrapping_add(seen.payload.len() as u32));
        match seen.up {
            true => self.client_says(&new, &seen.payload),
            false => {
                self.server_says(&new);
                None
            }
        }
    }

    fn server_says(&mut self, new: &[u8]) {
        self.reply.extend(new);
        while let Some(end) = self.reply.windows(2).position(|two| two == b"\r\n") {
            let line: Vec<u8> = self.reply.drain(..end + 2).collect();
            if line.get(3) != Some(&b'-') {
                self.replies += 1;
                self.in_mail |= line.starts_with(b"354");
            }
        }
    }

    fn client_says(&mut self, new: &[u8], payload: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(payload).into_owned();
        if self.in_mail {
            self.mail.extend(new);
            let end = self.mail.windows(5).position(|five| five == b"\r\n.\r\n")?;
            self.in_mail = false;
            self.mails += 1;
            self.commands += 1;
            let behind = self.mail.len() - end - 5;
            self.mail.clear();
            return (behind > 0).then(|| format!("behind the end of a mail: {text:?}"));
        }
        self.commands += 1;
        let one = new == payload && text.ends_with("\r\n") && text.matches("\r\n").count() == 1;
        if !one {
            return Some(format!("not one command in a segment of its own: {text:?}"));
        }
        let due = self.replies == self.commands;
        (!due).then(|| format!("before its turn, {} replies: {text:?}", self.replies))
    }
}

/// Checks each conversation; how many commands (and ends of mails) there were, and how many mails.
fn one_at_a_time(seen: &[Seen]) -> (usize, usize) {
    let mut heard: HashMap<u16, Heard> = HashMap::new();
    for seen in seen {
        let wrong = heard.entry(seen.port).or_default().take(seen);
        assert_eq!(wrong, None);
    }
    heard.values().fold((0, 0), |(commands, mails), heard| (commands + heard.commands, mails + heard.mails))
}

/// Sends so many mails over one connection, each group of commands in one segment, and the end of a mail together with the
/// next group.
fn pipelined(mails: usize, lines: usize) -> String {
    format!(
        r#"
hello()
group = b"".join([b"MAIL FROM:<a@outside.test>\r\n", b"RCPT TO:<bob@inside.test>\r\n", b"RCPT TO:<eve@inside.test>\r\n", b"DATA\r\n"])
say(group); wait(4)
for n in range({mails}):
    text = b"".join(b"%d %d of a body that is to come through unharmed\r\n" % (n, k) for k in range({lines}))
    last = n + 1 == {mails}
    say(b"Subject: mail %d\r\n\r\n" % n + text + b".\r\n" + (b"QUIT\r\n" if last else group))
    wait(2 if last else 5)
"#
    )
}

fn text_of(mail: usize, lines: usize) -> String {
    (0..lines).map(|line| format!("{mail} {line} of a body that is to come through unharmed\n")).collect()
}

#[test]
fn a_server_gets_one_command_a_segment_and_the_next_after_its_answer() {
    with_hosts(Offloads::Off, |line, inside, outside| {
        let address = line.addresses.server_v4(0).into();
        let postfix = inside.postfix(address, &[]);
        let sniffer = Sniffer::start(&line.server, "s0");
        // Without the mode several come at once, or the test could not fail.
        let plain = Gate::start(&line.gateway, &["--mode", "enforce", "--policy", "none"]);
        outside.talk(address, &pipelined(1, 10));
        let several = sniffer
            .seen()
            .iter()
            .any(|seen| seen.up && seen.payload.starts_with(b"MAIL FROM:<a@outside.test>\r\nRCPT"));
        assert!(several, "{:?}", sniffer.seen());
        postfix.wait_for_mails(2);
        drop((plain, sniffer));

        line.gateway.shell("iptables-legacy -w -F FORWARD; ip6tables-legacy -w -F FORWARD");
        let gate = Gate::start(&line.gateway, &["--mode", "enforce", "--policy", "none", "--serialise", "smtp"]);
        let sniffer = Sniffer::start(&line.server, "s0");
        let (mails, lines) = (25, 400);
        let said = outside.talk(address, &pipelined(mails, lines));
        assert_eq!(said.matches("queued as").count(), mails, "{said}\n{}", gate.log());
        assert!(said.trim_end().ends_with("221 2.0.0 Bye"), "{said}");
        let arguments = ["--to", "bob@inside.test", "--from", "a@outside.test", "--helo", "client.outside.test"];
        let swaks = outside.run("swaks", ["--pipeline", "--server", "198.51.100.10"].into_iter().chain(arguments));
        assert_eq!(swaks.status, 0, "{}{}", swaks.stdout, swaks.stderr);
        let delivered = postfix.wait_for_mails(2 + 2 * mails + 1);
        for mail in 0..mails {
            let same = delivered.iter().filter(|found| body(found) == text_of(mail, lines).as_bytes()).count();
            assert!(same >= 2, "mail {mail}: {same} of 2");
        }
        let (commands, seen_mails) = one_at_a_time(&sniffer.seen());
        assert_eq!((commands >= 5 * mails + 2, seen_mails), (true, mails + 1), "{commands}");
        let counters = gate.counters();
        assert_eq!(counters["packets"]["reconciled"], true, "{counters}");
        for path in [["holds", "timeouts"], ["packets", "uninspected"], ["packets", "refused"]] {
            assert_eq!(number(&counters, &path), 0, "{path:?}: {counters}");
        }
    });
}

#[test]
fn a_line_that_loses_packets_and_a_client_that_says_each_octet_by_itself_change_nothing_about_it() {
    with_hosts(Offloads::Off, |line, inside, outside| {
        let address = line.addresses.server_v4(0).into();
        let postfix = inside.postfix(address, &[]);
        let gate = Gate::start(&line.gateway, &["--mode", "enforce", "--policy", "none", "--serialise", "smtp"]);
        for table in ["-t raw -A PREROUTING", "-t mangle -A POSTROUTING"] {
            line.gateway.shell(&format!(
                "iptables-legacy -w {table} -p tcp -m statistic --mode random --probability 0.02 -j DROP"
            ));
        }
        let sniffer = Sniffer::start(&line.server, "s0");
        let (mails, lines) = (6, 300);
        let said = outside.talk(address, &format!("s.settimeout(20)\n{}", pipelined(mails, lines)));
        assert_eq!(said.matches("queued as").count(), mails, "{said}\n{}", gate.log());
        let slow = outside.talk(
            address,
            r#"
s.settimeout(20)
hello()
slowly(b"MAIL FROM:<a@outside.test>\r\nRCPT TO:<bob@inside.test>\r\nDATA\r\n"); wait(3)
slowly(b"Subject: slow\r\n\r\n..one\r\ntwo\r\n.\r\nQUIT\r\n"); wait(2)
"#,
        );
        assert!(slow.contains("queued as") && slow.contains("221"), "{slow}\n{}", gate.log());
        let delivered = postfix.wait_for_mails(2 * mails + 1);
        assert_eq!(delivered.len(), 2 * mails + 1, "{}", postfix.log());
        for mail in 0..mails {
            let same = delivered.iter().filter(|found| body(found) == text_of(mail, lines).as_bytes()).count();
            assert_eq!(same, 2, "mail {mail}");
        }
        assert!(delivered.iter().any(|mail| body(mail) == b".one\ntwo\n"), "{slow}");
        let (commands, seen_mails) = one_at_a_time(&sniffer.seen());
        assert_eq!((commands >= 5 * mails + 6, seen_mails), (true, mails + 1), "{commands}");
    });
}

#[test]
fn what_cannot_be_serialised_is_refused_before_a_queue_is_bound() {
    for (name, reason) in [
        ("smpt", "there is no grammar of that name, only dns, smtp; is `smtp` meant?"),
        ("dns", "in no state of its grammar a client waits for an answer"),
    ] {
        let run = run_of(&command().args(["inline", "--control", "none", "--serialise", name]).output().unwrap());
        assert_eq!(run.status, 2, "{}", run.stderr);
        assert!(run.stderr.contains(reason), "{}", run.stderr);
    }
}

/// Sends a mail of so many lines in two parts with a pause between them; prints when the second part was sent, and what is
/// answered to it.
fn in_two_parts(lines: usize, last: &str) -> String {
    format!(
        r#"
hello()
say(b"MAIL FROM:<a@outside.test>\r\nRCPT TO:<bob@inside.test>\r\nDATA\r\n"); wait(3)
text = b"Subject: in two\r\n\r\n" + b"".join(b"0 %d of a body that is to come through unharmed\r\n" % k for k in range({lines}))
say(text[:-1000]); time.sleep(1.5)
print("rest", time.time())
say(text[-1000:] + b"{last}.\r\n"); wait(1)
"#
    )
}

#[test]
fn a_mail_that_is_held_comes_whole_or_not_at_all() {
    with_hosts(Offloads::Off, |line, inside, outside| {
        let address = line.addresses.server_v4(0).into();
        let postfix = inside.postfix(address, &[]);
        let policy = outside.write(
            "hold.policy",
            r#"use smtp
policy p for smtp {
    rule whole id 1901 { hold smtp.mail until smtp.mail max 512 KB }
    rule mark  id 1902 { on smtp.mail when contains "NIGHTFALL"   alert high "it leaves"   refuse "550 5.7.1 not this mail" }
}
"#,
        );
        let policy = policy.display().to_string();
        let gate = Gate::start(&line.gateway, &["--mode", "enforce", "--policy", &policy]);
        // Far more than a sender sends without an acknowledgement.
        let lines = 6_000;
        let sniffer = Sniffer::start(&line.server, "s0");
        let content = |sniffer: &Sniffer| -> Vec<Seen> {
            let body = |seen: &Seen| seen.payload.windows(24).any(|some| some == b" of a body that is to co");
            sniffer.seen().into_iter().filter(|seen| seen.up && body(seen)).collect()
        };
        let said = outside.talk(address, &in_two_parts(lines, "NIGHTFALL\\r\\n"));
        assert!(said.contains("550 5.7.1 not this mail"), "{said}\n{}", gate.log());
        assert!(content(&sniffer).is_empty(), "something of it came: {:?}", content(&sniffer).len());
        let said = outside.talk(address, &in_two_parts(lines, ""));
        assert!(said.contains("queued as"), "{said}\n{}", gate.log());
        let rest: f64 = said.lines().find_map(|line| line.strip_prefix("rest ")).unwrap().parse().unwrap();
        let came = content(&sniffer);
        assert!(!came.is_empty() && came.iter().all(|seen| seen.time >= rest), "{said} {:?}", came.first());
        let delivered = postfix.wait_for_mails(1);
        assert_eq!(delivered.len(), 1, "{}", postfix.log());
        assert!(delivered.iter().all(|mail| body(mail) == text_of(0, lines).as_bytes()), "it was changed on its way");
        let alerts = gate.records("alert");
        assert_eq!(alerts.iter().map(|alert| &alert["alert"]["signature_id"]).collect::<Vec<_>>(), [1902]);
        assert_eq!(gate.counters()["packets"]["reconciled"], true);
    });
}
