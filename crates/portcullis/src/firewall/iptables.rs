//! Rules in the language of iptables-restore, which sets those of one table and one version of IP at once.

use std::fmt::Write as _;

use super::{Backend, CHAIN, Families, Rules, SetUp, Step, marks};

/// A version of IP, as iptables knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub(super) const ALL: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    pub(super) fn is_in(self, families: Families) -> bool {
        match families {
            Families::Both => true,
            Families::Ipv4 => self == Family::Ipv4,
            Families::Ipv6 => self == Family::Ipv6,
        }
    }

    /// `iptables-legacy-restore`, `ip6tables-nft-save`.
    pub(super) fn program(self, backend: Backend, what: &str) -> String {
        let name = match self {
            Family::Ipv4 => "iptables",
            Family::Ipv6 => "ip6tables",
        };
        let kind = match backend {
            Backend::IptablesLegacy => "legacy",
            Backend::IptablesNft | Backend::Nft => "nft",
        };
        format!("{name}-{kind}-{what}")
    }
}

/// The tables that we may stand in.
const TABLES: [&str; 2] = ["mangle", "filter"];

/// What of ours there is, of one version of IP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Present {
    /// By table.
    tables: [PresentInTable; 2],
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PresentInTable {
    chains: Vec<String>,
    /// Rules of other chains that lead into ours, as `FORWARD -j PORTCULLIS`.
    jumps: Vec<String>,
}

impl Present {
    /// Finds it in what iptables-save has written.
    pub(super) fn read(saved: &str) -> Present {
        let mut present = Present::default();
        let mut current = None;
        for line in saved.lines() {
            if let Some(name) = line.strip_prefix('*') {
                current = TABLES.iter().position(|table| *table == name.trim());
                continue;
            }
            let Some(table) = current.and_then(|index: usize| present.tables.get_mut(index)) else { continue };
            if let Some(name) = line.strip_prefix(':').and_then(|rest| rest.split_ascii_whitespace().next()) {
                if is_ours(name) {
                    table.chains.push(name.to_owned());
                }
            } else if let Some(rule) = line.strip_prefix("-A ") {
                let mut words = rule.split_ascii_whitespace();
                let from_ours = words.next().is_some_and(is_ours);
                let target = words.skip_while(|word| !matches!(*word, "-j" | "-g")).nth(1);
                if !from_ours && target.is_some_and(is_ours) {
                    table.jumps.push(rule.to_owned());
                }
            }
        }
        present
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.iter().all(PresentInTable::is_empty)
    }
}

impl PresentInTable {
    fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.jumps.is_empty()
    }

    /// Takes all of it away. Chains are emptied before any goes, as one may lead to another.
    fn remove(&self, out: &mut String) {
        for jump in &self.jumps {
            let _ = writeln!(out, "-D {jump}");
        }
        for chain in &self.chains {
            let _ = writeln!(out, "-F {chain}");
        }
        for chain in &self.chains {
            let _ = writeln!(out, "-X {chain}");
        }
    }
}

fn is_ours(chain: &str) -> bool {
    chain.strip_prefix(CHAIN).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// What takes away what there is, and puts the rules there if there are any: nothing in between is ever seen.
/// None if there is nothing to do.
pub(super) fn step(backend: Backend, family: Family, rules: Option<&Rules>, present: &Present) -> Option<Step> {
    let mut input = String::new();
    for (index, (table, present)) in TABLES.iter().zip(&present.tables).enumerate() {
        let lines = rules.map(|rules| if index == 0 { mangle(rules) } else { filter(rules) }).unwrap_or_default();
        if present.is_empty() && lines.is_empty() {
            continue;
        }
        let _ = writeln!(input, "*{table}");
        present.remove(&mut input);
        input += &lines;
        let _ = writeln!(input, "COMMIT");
    }
    let program = family.program(backend, "restore");
    (!input.is_empty()).then(|| Step { program, arguments: vec!["--noflush", "--wait"], input })
}

fn mangle(rules: &Rules) -> String {
    let (own, bypass) = (marks::OWN, marks::BYPASS);
    let judge = format!("{CHAIN}-JUDGE");
    let save = format!("{CHAIN}-SAVE");
    // Connections of a host with itself would come to the queue twice.
    let entries: &[(&str, String, &str, &[&str])] = match rules.set_up {
        SetUp::Router => &[("FORWARD", CHAIN.to_owned(), "", &["--dports", "--sports"])],
        SetUp::Bridge => {
            &[("FORWARD", CHAIN.to_owned(), "-m physdev --physdev-is-bridged ", &["--dports", "--sports"])]
        }
        SetUp::Host => &[
            ("INPUT", format!("{CHAIN}-IN"), "! -i lo ", &["--dports"]),
            ("OUTPUT", format!("{CHAIN}-OUT"), "! -o lo ", &["--sports"]),
        ],
    };
    let mut out = String::new();
    let chains = entries.iter().map(|(_, chain, ..)| chain.as_str()).chain([judge.as_str(), save.as_str()]);
    for chain in chains {
        let _ = writeln!(out, ":{chain} - [0:0]");
    }
    for (_, chain, condition, sides) in entries {
        for (transport, ports) in rules.ports() {
            for side in *sides {
                let transport = transport.name();
                let _ = writeln!(out, "-A {chain} {condition}-p {transport} -m multiport {side} {ports} -j {judge}");
            }
        }
    }
    let _ = writeln!(out, "-A {judge} -m mark --mark {own:#x}/{own:#x} -j RETURN");
    let _ = writeln!(out, "-A {judge} -m connmark --mark {bypass:#x}/{bypass:#x} -j RETURN");
    if rules.drop_invalid {
        let _ = writeln!(out, "-A {judge} -m conntrack --ctstate INVALID -j DROP");
    }
    let (first, last) = (rules.queues.start(), rules.queues.end());
    let queue = match first == last {
        true => format!("--queue-num {first}"),
        false => format!("--queue-balance {first}:{last}"),
    };
    let queue_bypass = if rules.queue_bypass { " --queue-bypass" } else { "" };
    let _ = writeln!(out, "-A {judge} -j NFQUEUE {queue}{queue_bypass}");
    out += &saving(&save);
    // First in their chains: what stands before them would be no business of the gate.
    for (from, chain, ..) in entries {
        let _ = writeln!(out, "-I {from} 1 -j {chain}");
    }
    let _ = writeln!(out, "-I POSTROUTING 1 -j {save}");
    out
}

/// A packet for the host itself never comes to POSTROUTING: its mark is saved by the next table that it passes.
fn filter(rules: &Rules) -> String {
    if rules.set_up != SetUp::Host {
        return String::new();
    }
    let save = format!("{CHAIN}-SAVE");
    format!(":{save} - [0:0]\n{}-I INPUT 1 -j {save}\n", saving(&save))
}

fn saving(chain: &str) -> String {
    let bypass = marks::BYPASS;
    format!(
        "-A {chain} -m mark --mark {bypass:#x}/{bypass:#x} -j CONNMARK --save-mark --nfmask {bypass:#x} --ctmask {bypass:#x}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::{Port, Transport};

    fn rules(set_up: SetUp) -> Rules {
        let ports = vec![
            Port { transport: Transport::Tcp, number: 25 },
            Port { transport: Transport::Tcp, number: 587 },
            Port { transport: Transport::Udp, number: 53 },
        ];
        Rules::new(set_up, ports, 0..=3).unwrap()
    }

    fn text(rules: Option<&Rules>, present: &Present) -> String {
        step(Backend::IptablesLegacy, Family::Ipv4, rules, present).map(|step| step.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_router_queues_both_directions() {
        let expected = "\
iptables-legacy-restore --noflush --wait <<'END'
*mangle
:PORTCULLIS - [0:0]
:PORTCULLIS-JUDGE - [0:0]
:PORTCULLIS-SAVE - [0:0]
-A PORTCULLIS -p tcp -m multiport --dports 25,587 -j PORTCULLIS-JUDGE
-A PORTCULLIS -p tcp -m multiport --sports 25,587 -j PORTCULLIS-JUDGE
-A PORTCULLIS -p udp -m multiport --dports 53 -j PORTCULLIS-JUDGE
-A PORTCULLIS -p udp -m multiport --sports 53 -j PORTCULLIS-JUDGE
-A PORTCULLIS-JUDGE -m mark --mark 0x20000000/0x20000000 -j RETURN
-A PORTCULLIS-JUDGE -m connmark --mark 0x40000000/0x40000000 -j RETURN
-A PORTCULLIS-JUDGE -m conntrack --ctstate INVALID -j DROP
-A PORTCULLIS-JUDGE -j NFQUEUE --queue-balance 0:3 --queue-bypass
-A PORTCULLIS-SAVE -m mark --mark 0x40000000/0x40000000 -j CONNMARK --save-mark --nfmask 0x40000000 --ctmask 0x40000000
-I FORWARD 1 -j PORTCULLIS
-I POSTROUTING 1 -j PORTCULLIS-SAVE
COMMIT
END
";
        assert_eq!(text(Some(&rules(SetUp::Router)), &Present::default()), expected);
    }

    #[test]
    fn what_is_there_is_replaced_in_the_same_step() {
        let saved = "*mangle\n:FORWARD ACCEPT [1:2]\n:PORTCULLIS - [0:0]\n:PORTCULLIS-JUDGE - [0:0]\n:PORTCULLISX - [0:0]\n\
                     -A FORWARD -j PORTCULLIS\n-A FORWARD -j PORTCULLISX\n-A PORTCULLIS -j PORTCULLIS-JUDGE\nCOMMIT\n\
                     *nat\n-A PREROUTING -j PORTCULLIS\nCOMMIT\n*filter\n:PORTCULLIS-SAVE - [0:0]\n\
                     -A INPUT -j PORTCULLIS-SAVE\nCOMMIT\n";
        let present = Present::read(saved);
        let removed = "iptables-legacy-restore --noflush --wait <<'END'\n*mangle\n-D FORWARD -j PORTCULLIS\n-F PORTCULLIS\n\
                       -F PORTCULLIS-JUDGE\n-X PORTCULLIS\n-X PORTCULLIS-JUDGE\nCOMMIT\n\
                       *filter\n-D INPUT -j PORTCULLIS-SAVE\n-F PORTCULLIS-SAVE\n-X PORTCULLIS-SAVE\nCOMMIT\nEND\n";
        assert_eq!(text(None, &present), removed);
        let replaced = text(Some(&rules(SetUp::Router)), &present);
        assert!(replaced.contains("-X PORTCULLIS-JUDGE\n:PORTCULLIS - [0:0]\n"), "{replaced}");
        assert!(text(None, &Present::default()).is_empty());
    }

    #[test]
    fn set_ups_and_choices_are_seen() {
        let host = text(Some(&rules(SetUp::Host)), &Present::default());
        assert!(
            host.contains("-A PORTCULLIS-IN ! -i lo -p tcp -m multiport --dports 25,587 -j PORTCULLIS-JUDGE"),
            "{host}"
        );
        assert!(host.contains("-I INPUT 1 -j PORTCULLIS-SAVE"), "{host}");
        assert!(!host.contains("FORWARD"));
        let bridge = text(Some(&rules(SetUp::Bridge)), &Present::default());
        assert!(bridge.contains("-m physdev --physdev-is-bridged -p tcp"), "{bridge}");
        let closed = Rules { queue_bypass: false, drop_invalid: false, queues: 7..=7, ..rules(SetUp::Router) };
        let closed = text(Some(&closed), &Present::default());
        assert!(closed.contains("-j NFQUEUE --queue-num 7\n") && !closed.contains("INVALID"), "{closed}");
    }
}
