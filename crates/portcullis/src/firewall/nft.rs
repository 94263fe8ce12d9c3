//! Rules in the language of nft. One file is one transaction.

use std::fmt::Write as _;

use super::{Families, Rules, SetUp, Step, TABLE, marks};

/// The families of nft that our table may be in.
pub(super) const FAMILIES: [&str; 4] = ["inet", "ip", "ip6", "bridge"];

/// What takes our tables away, wherever they are, and puts the rules there if there are any.
/// None if there is nothing to do.
pub(super) fn step(rules: Option<&Rules>, present: &[&str]) -> Option<Step> {
    let mut input = String::new();
    for family in present {
        let _ = writeln!(input, "delete table {family} {TABLE}");
    }
    if let Some(rules) = rules {
        table(rules, &mut input);
    }
    (!input.is_empty()).then(|| Step { program: "nft".to_owned(), arguments: vec!["-f", "-"], input })
}

fn table(rules: &Rules, out: &mut String) {
    let (own, bypass) = (marks::OWN, marks::BYPASS);
    let family = match (rules.set_up, rules.families) {
        (SetUp::Bridge, _) => "bridge",
        (_, Families::Both) => "inet",
        (_, Families::Ipv4) => "ip",
        (_, Families::Ipv6) => "ip6",
    };
    // In a bridge, packets of both versions come by.
    let version = match (rules.set_up, rules.families) {
        (SetUp::Bridge, Families::Ipv4) => "ether type ip ",
        (SetUp::Bridge, Families::Ipv6) => "ether type ip6 ",
        _ => "",
    };
    let entries: &[(&str, &str, &[&str])] = match rules.set_up {
        SetUp::Router | SetUp::Bridge => &[("forward", "", &["dport", "sport"])],
        SetUp::Host => &[("input", "iifname != \"lo\" ", &["dport"]), ("output", "oifname != \"lo\" ", &["sport"])],
    };
    let _ = writeln!(out, "table {family} {TABLE} {{");
    let _ = writeln!(out, "\tchain judge {{");
    let _ = writeln!(out, "\t\tmeta mark & {own:#x} == {own:#x} return");
    let _ = writeln!(out, "\t\tct mark & {bypass:#x} == {bypass:#x} return");
    if rules.drop_invalid {
        let _ = writeln!(out, "\t\tct state invalid drop");
    }
    let (first, last) = (rules.queues.start(), rules.queues.end());
    let numbers = if first == last { first.to_string() } else { format!("{first}-{last}") };
    let flags = if rules.queue_bypass { " bypass" } else { "" };
    // Without `fanout`, which goes by processor, the flow decides, and both directions meet.
    let _ = writeln!(out, "\t\tqueue num {numbers}{flags}");
    let _ = writeln!(out, "\t}}");
    for (hook, condition, sides) in entries {
        let _ = writeln!(out, "\tchain {hook} {{");
        let _ = writeln!(out, "\t\ttype filter hook {hook} priority -150; policy accept;");
        for (transport, ports) in rules.ports() {
            for side in *sides {
                let ports = ports.replace(',', ", ");
                let _ = writeln!(out, "\t\t{version}{condition}{} {side} {{ {ports} }} jump judge", transport.name());
            }
        }
        let _ = writeln!(out, "\t}}");
    }
    let mut save = |hook: &str, priority: i32| {
        let _ = writeln!(out, "\tchain save_{hook} {{");
        let _ = writeln!(out, "\t\ttype filter hook {hook} priority {priority}; policy accept;");
        let _ = writeln!(out, "\t\tmeta mark & {bypass:#x} == {bypass:#x} ct mark set ct mark | {bypass:#x}");
        let _ = writeln!(out, "\t}}");
    };
    save("postrouting", -150);
    if rules.set_up == SetUp::Host {
        // A packet for the host itself never comes to postrouting.
        save("input", 0);
    }
    let _ = writeln!(out, "}}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::{Port, Transport};

    fn rules(set_up: SetUp) -> Rules {
        let port = |number| Port { transport: Transport::Tcp, number };
        Rules::new(set_up, vec![port(25), port(587)], 0..=3).unwrap()
    }

    #[test]
    fn a_router_has_a_table_of_its_own() {
        let expected = "\
delete table inet portcullis
table inet portcullis {
	chain judge {
		meta mark & 0x20000000 == 0x20000000 return
		ct mark & 0x40000000 == 0x40000000 return
		ct state invalid drop
		queue num 0-3 bypass
	}
	chain forward {
		type filter hook forward priority -150; policy accept;
		tcp dport { 25, 587 } jump judge
		tcp sport { 25, 587 } jump judge
	}
	chain save_postrouting {
		type filter hook postrouting priority -150; policy accept;
		meta mark & 0x40000000 == 0x40000000 ct mark set ct mark | 0x40000000
	}
}
";
        let step = step(Some(&rules(SetUp::Router)), &["inet"]).unwrap();
        assert_eq!((step.program.as_str(), step.input.as_str()), ("nft", expected));
    }

    #[test]
    fn removal_names_what_is_there_only() {
        assert_eq!(step(None, &[]), None);
        assert_eq!(step(None, &["bridge"]).unwrap().input, "delete table bridge portcullis\n");
    }

    #[test]
    fn set_ups_are_seen() {
        let host = step(Some(&rules(SetUp::Host)), &[]).unwrap().input;
        assert!(host.contains("iifname != \"lo\" tcp dport { 25, 587 } jump judge"), "{host}");
        assert!(host.contains("chain save_input"), "{host}");
        let bridge = Rules { families: Families::Ipv6, queue_bypass: false, queues: 7..=7, ..rules(SetUp::Bridge) };
        let bridge = step(Some(&bridge), &[]).unwrap().input;
        assert!(bridge.contains("table bridge portcullis") && bridge.contains("ether type ip6 tcp dport"), "{bridge}");
        assert!(bridge.contains("queue num 7\n"), "{bridge}");
    }
}
