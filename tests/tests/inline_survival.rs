//! What large mails go through while something happens to the gate: it is killed, frozen, overrun, flooded, or its rules
//! are loaded again and again. Every mail arrives once and whole, none stands still for long, and every packet is counted.
//!
//! Where time has to be short (how long the gate is away, until a watchdog ends it) the tests say so in numbers; they are
//! far above what is measured on an idle machine.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use portcullis_tests::gate::{Gate, number};
use portcullis_tests::hosts::{enforced, lenient, with_hosts};
use portcullis_tests::mail::{Host, Server, body};
use portcullis_tests::namespace::{Line, Offloads, Process, until};
use serde_json::Value;

/// How many mails are on their way at once.
const MAILS: usize = 4;
/// Lines of a mail: 50 MB.
const LINES: usize = 800_000;
/// The longest that all of them take, on a machine with much else to do.
const LIMIT: Duration = Duration::from_secs(60);

/// Mails on their way through a gate.
struct Delivery {
    texts: Vec<String>,
    clients: Vec<(Process, PathBuf)>,
    began: Instant,
}

impl Delivery {
    /// Begins to send different mails to a server at once, each spread over so many seconds at least.
    fn begin(outside: &Host<'_>, server: IpAddr, seconds: u32) -> Delivery {
        let texts: Vec<String> = (0..MAILS).map(large).collect();
        let place = format!("{server}:25");
        let began = Instant::now();
        let clients = texts.iter().enumerate().map(|(index, text)| {
            let mail = format!("Subject: large\r\n\r\n{}", text.replace('\n', "\r\n"));
            let file = outside.write(&format!("mail{index}.eml"), &mail).display().to_string();
            let name = format!("deliver{index}");
            let seconds = seconds.to_string();
            let arguments = ["deliver", &place, &file, &seconds];
            let process = outside.spawn(&name, env!("CARGO_BIN_EXE_mail_load"), arguments);
            (process, outside.path().join(format!("{name}.log")))
        });
        Delivery { clients: clients.collect(), texts, began }
    }

    /// Whether a mail is still on its way.
    fn is_on_its_way(&mut self) -> bool {
        self.clients.iter_mut().any(|(client, _)| client.runs())
    }

    /// Waits until all mails were taken, each of them in one piece and without a stall longer than this.
    fn end(mut self, server: &Server, gate: &Gate<'_>, most: Duration) {
        let mut said = String::new();
        for (client, log) in &mut self.clients {
            let status = client.wait(LIMIT.saturating_sub(self.began.elapsed()));
            let words = std::fs::read_to_string(log).unwrap_or_default();
            assert!(
                status.is_some_and(|status| status.success()),
                "{status:?} {words}\n{}\n{}",
                gate.log(),
                gate.ask("stats")
            );
            let stall: u128 = words.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(u128::MAX);
            assert!(stall <= most.as_millis(), "{words}\n{}\n{}", gate.log(), gate.ask("stats"));
            said += &words;
        }
        println!("{MAILS} mails of 50 MB took {:.1} s\n{said}", self.began.elapsed().as_secs_f64());
        let mails = server.wait_for_mails(MAILS);
        let mut came: Vec<&[u8]> = mails.iter().map(|mail| body(mail)).collect();
        came.sort_unstable();
        let sent: Vec<&[u8]> = self.texts.iter().map(String::as_bytes).collect();
        assert_eq!(came.len(), sent.len(), "each mail comes once: {}", gate.log());
        assert!(came == sent, "a body was changed on its way");
    }
}

/// A text like no other; sorted by number.
fn large(number: usize) -> String {
    use std::fmt::Write as _;

    let mut text = String::new();
    for line in 0..LINES {
        let dots = if line % 7 == 0 { "." } else { "" };
        let _ =
            writeln!(text, "{dots}mail {number} line {line} {:x} of a body that is to come through whole", line * 7919);
    }
    text
}

/// A server that takes large mails.
fn large_server(inside: &Host<'_>, address: IpAddr) -> Server {
    inside.postfix(address, &[("message_size_limit", "200000000"), ("mailbox_size_limit", "0")])
}

/// All mails go through a gate while something happens to it, none standing still for longer than this; the counters at the end.
fn under_load(options: &[String], most: Duration, what: impl FnOnce(&mut Gate<'_>)) -> Option<Value> {
    let mut counters = None;
    with_hosts(Offloads::On, |line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        let postfix = large_server(inside, address);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let mut gate = Gate::start(&line.gateway, &options);
        let delivery = Delivery::begin(outside, address, 0);
        std::thread::sleep(Duration::from_millis(300));
        what(&mut gate);
        delivery.end(&postfix, &gate, most);
        let counted = gate.counters();
        assert_eq!(counted["packets"]["reconciled"], true, "{counted}");
        counters = Some(counted);
    });
    counters
}

#[test]
fn a_gate_that_is_overrun_lets_mail_pass_and_says_so() {
    // A buffer in which next to nothing has room, and a worker that does not come round for a while.
    let small = ["--receive-buffer", "2048"].map(str::to_owned).to_vec();
    let mut alerted = false;
    let counters = under_load(&[lenient(), small].concat(), Duration::from_secs(4), |gate| {
        for _ in 0..4 {
            gate.process().signal("STOP");
            std::thread::sleep(Duration::from_millis(150));
            gate.process().signal("CONT");
            std::thread::sleep(Duration::from_millis(50));
        }
        alerted = until(Duration::from_secs(5), || is_told(gate));
    });
    let Some(counters) = counters else { return };
    let uninspected = number(&counters, &["packets", "uninspected"]);
    println!("{uninspected} of {} packets were not inspected", number(&counters, &["packets", "seen"]));
    assert!(uninspected > 0 && alerted, "{counters}");
}

/// Whether there is an alert about packets that were not inspected.
fn is_told(gate: &Gate<'_>) -> bool {
    gate.records("alert").iter().any(|alert| alert["alert"]["signature_id"] == 1)
}

#[test]
fn a_gate_that_is_killed_loses_no_mail() {
    // Without a reader the kernel lets packets pass at once: what stalls is what lay in the queue, until it is repeated.
    under_load(&enforced(), Duration::from_secs(4), |gate| {
        gate.process().signal("KILL");
        gate.process().wait(Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(300));
        gate.again();
    });
}

#[test]
fn a_gate_that_stands_still_is_ended_in_time() {
    // 2 s until the guard ends it, and then the time that TCP waits before it tries again.
    under_load(&enforced(), Duration::from_secs(8), |gate| {
        gate.process().signal("STOP");
        let stopped = Instant::now();
        assert!(until(Duration::from_secs(6), || !gate.process().runs()), "nobody has ended it");
        assert!(stopped.elapsed() < Duration::from_secs(4), "{:?}", stopped.elapsed());
        gate.again();
    });
}

#[test]
fn a_flood_of_several_times_what_the_gate_can_judge_stops_no_mail() {
    with_hosts(Offloads::On, |line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        let postfix = large_server(inside, address);
        let options = lenient();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let mut gate = Gate::start(&line.gateway, &options);
        line.gateway.shell("iptables-legacy -w -I FORWARD -p udp -j NFQUEUE --queue-num 0 --queue-bypass");
        let place = format!("{}:9", line.addresses.server_v4(1));
        let arguments = ["flood", &place, "60", "200000"];
        let flood = outside.spawn("flood", env!("CARGO_BIN_EXE_mail_load"), arguments);
        let before = queued(line);
        let judged = |gate: &Gate<'_>| number(&gate.ask("stats"), &["queue", "received"]);
        let judged_before = judged(&gate);
        let began = Instant::now();
        let mut delivery = Delivery::begin(outside, address, 0);
        // It has the processor for a part of the time only: a machine that is too slow for its line.
        while delivery.is_on_its_way() && delivery.began.elapsed() < LIMIT {
            gate.process().signal("STOP");
            std::thread::sleep(Duration::from_millis(80));
            gate.process().signal("CONT");
            std::thread::sleep(Duration::from_millis(20));
        }
        let seconds = began.elapsed().as_secs_f64();
        drop(flood);
        let (came, judged) = (queued(line) - before, judged(&gate) - judged_before);
        println!("{:.0} packets/s came, {:.0} packets/s were judged", came as f64 / seconds, judged as f64 / seconds);
        delivery.end(&postfix, &gate, Duration::from_secs(10));
        // A gap in the numbers of packets shows when the next one comes.
        outside.send(address, "Subject: last\r\n\r\nlast\r\n", &[]);
        let counters = gate.counters();
        assert_eq!(counters["packets"]["reconciled"], true, "{counters}");
        assert_eq!(number(&counters, &["packets", "seen"]), queued(line), "what the firewall has sent: {counters}");
        assert!(number(&counters, &["packets", "uninspected"]) > 0 && is_told(&gate), "{counters}");
        assert!(came > 2 * judged, "the flood was none: {came} packets, of which {judged} were judged");
    });
}

/// Packets that the firewall has sent to the queue.
fn queued(line: &Line) -> u64 {
    let rules = line.gateway.shell("iptables-legacy -w -vnxL FORWARD; ip6tables-legacy -w -vnxL FORWARD");
    let of_queue = rules.lines().filter(|rule| rule.contains("NFQUEUE"));
    of_queue.filter_map(|rule| rule.split_whitespace().next()?.parse::<u64>().ok()).sum()
}

/// Rules under which a sender is refused in words that tell which these rules are.
fn version(number: usize) -> String {
    let more = if number.is_multiple_of(2) {
        "    rule odd id 1802 { on smtp.command  log \"a command\" }\n"
    } else {
        "    rule even id 1803 { on smtp.content  when contains \"NOT-IN-ANY-MAIL\"  drop }\n"
    };
    format!(
        r#"use smtp
policy gate for smtp {{
    rule banned id 1801 {{
        on smtp.command
        when verb == MAIL and sender.domain == "banned.test"
        refuse "550 5.7.1 refused by version {number}"
    }}
{more}}}
"#
    )
}

/// Whether a refusal is that of this version of the rules.
fn refused_by(said: &str, version: usize) -> bool {
    said.lines().any(|line| line.trim_end().ends_with(&format!("refused by version {version}")))
}

/// What a banned sender is told now.
fn refusal(outside: &Host<'_>, server: IpAddr) -> String {
    outside.talk(server, "hello()\nsay(b\"MAIL FROM:<x@banned.test>\\r\\n\"); reply()")
}

#[test]
fn rules_are_loaded_again_every_second_of_a_transfer_and_broken_ones_never() {
    with_hosts(Offloads::On, |line, inside, outside| {
        let address: IpAddr = line.addresses.server_v4(0).into();
        let postfix = large_server(inside, address);
        let rules = outside.write("changing.policy", &version(0));
        let path = rules.display().to_string();
        let mut gate = Gate::start(&line.gateway, &["--mode", "enforce", "--policy", &path]);
        let mut delivery = Delivery::begin(outside, address, 8);
        let mut loaded = 0;
        let mut number = 0;
        while delivery.is_on_its_way() && delivery.began.elapsed() < LIMIT {
            number += 1;
            let broken = number % 4 == 3;
            let text = if broken { version(number).replace("sender.domain", "sender.damain") } else { version(number) };
            outside.write("changing.policy", &text);
            reload(&mut gate, number, !broken);
            loaded += usize::from(!broken);
            let status = gate.ask("status");
            assert_eq!(status["reloads"], loaded, "{status}\n{}", gate.log());
            let in_force = if broken { number - 1 } else { number };
            let said = refusal(outside, address);
            assert!(refused_by(&said, in_force), "{said}\n{}", gate.log());
            std::thread::sleep(Duration::from_millis(500));
        }
        println!("{number} reloads, {loaded} of rules that are right");
        assert!(number >= 6, "{number}");
        delivery.end(&postfix, &gate, Duration::from_secs(2));
        let counters = gate.counters();
        assert_eq!(counters["packets"]["reconciled"], true, "{counters}");
        for path in [["packets", "uninspected"], ["dropped", "by_rules"], ["dropped", "held"]] {
            assert_eq!(portcullis_tests::gate::number(&counters, &path), 0, "{path:?}: {counters}");
        }
    });
}

/// Has the gate load its rules again, by a signal or by the control socket, and waits until it has.
fn reload(gate: &mut Gate<'_>, number: usize, right: bool) {
    if number.is_multiple_of(2) {
        let answer = gate.ask("reload");
        assert_eq!(answer["reloaded"], right, "{answer}\n{}", gate.log());
    } else {
        let before = gate.log().len();
        gate.process().signal("HUP");
        let word = if right { "rules were loaded again" } else { "rules were not loaded again" };
        let said = until(Duration::from_secs(5), || gate.log().get(before..).is_some_and(|log| log.contains(word)));
        assert!(said, "{}", gate.log());
    }
    // A worker looks for orders between packets, or every 50 ms.
    std::thread::sleep(Duration::from_millis(200));
}
