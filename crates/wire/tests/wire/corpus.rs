//! Captures of other projects, as they lie in `../shared` beside a checkout. Without them these tests pass and say so.

use std::fs;
use std::path::{Path, PathBuf};

use pcap_parser::{Block, PcapBlockOwned, PcapError};
use portcullis_wire::{
    AnomalySet, ChecksumState, Defragmenter, FragmentLimits, FragmentOutcome, LinkType, Timestamp, Transport,
    WireAnomaly, decode,
};

use WireAnomaly::{
    FragmentDuplicateDiffers, FragmentLength, FragmentOverlap, FragmentTiny, FragmentTooBig, FragmentTwoEnds,
};

use crate::differential::{addresses_of, of_etherparse, ours};
use crate::support::{ask_everything, ip_of};

/// One packet of a capture.
struct Packet {
    link: i32,
    data: Vec<u8>,
}

/// The directory `../shared` beside the checkout.
fn shared() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    if !path.join("corpus").is_dir() {
        println!("skipped: there is no ../shared/corpus beside this checkout");
        return None;
    }
    Some(path)
}

fn captures_below(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            captures_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng") {
            found.push(path);
        }
    }
}

/// The packets of a capture up to its end or to its first damage.
fn packets_of(path: &Path) -> Vec<Packet> {
    let mut packets = Vec::new();
    let file = fs::File::open(path).unwrap();
    let Ok(mut reader) = pcap_parser::create_reader(1 << 20, file) else { return packets };
    let mut links = Vec::new();
    let mut stuck = 0;
    loop {
        match reader.next() {
            Ok((length, block)) => {
                stuck = 0;
                match block {
                    PcapBlockOwned::LegacyHeader(header) => links = vec![header.network.0],
                    PcapBlockOwned::Legacy(block) => {
                        packets.push(Packet { link: links[0], data: block.data.to_vec() });
                    }
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => links.clear(),
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => links.push(interface.linktype.0),
                    PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
                        let captured = (block.caplen as usize).min(block.data.len());
                        let link = links.get(block.if_id as usize).copied().unwrap_or(-1);
                        packets.push(Packet { link, data: block.data[..captured].to_vec() });
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(length);
            }
            Err(PcapError::Incomplete(_)) if stuck < 2 => {
                stuck += 1;
                if reader.refill().is_err() {
                    return packets;
                }
            }
            Err(_) => return packets,
        }
    }
}

fn link_of(packet: &Packet) -> Option<LinkType> {
    LinkType::from_dlt(u16::try_from(packet.link).ok()?)
}

#[test]
fn every_packet_of_every_capture_can_be_asked_everything() {
    let Some(shared) = shared() else { return };
    let mut captures = Vec::new();
    captures_below(&shared, &mut captures);
    let (mut total, mut ip, mut fragments, mut reassembled) = (0, 0, 0, 0);
    for path in &captures {
        let mut defragmenter = Defragmenter::new(FragmentLimits::default(), Some(1));
        let mut abandoned = Vec::new();
        for packet in packets_of(path) {
            // Even a packet of a link type that we do not know must not harm us.
            let link = link_of(&packet).unwrap_or(LinkType::Ethernet);
            ask_everything(link, &packet.data);
            total += 1;
            let decoded = decode(link, &packet.data);
            let Some(packet) = ip_of(&decoded) else { continue };
            ip += 1;
            let result = defragmenter.insert(Timestamp(0), decoded.vlans.outer(), packet, &mut abandoned);
            if !matches!(result.outcome, FragmentOutcome::Whole) {
                fragments += 1;
            }
            if let FragmentOutcome::Complete(whole) = result.outcome {
                ask_everything(LinkType::RawIp, &whole.bytes);
                reassembled += 1;
            }
        }
    }
    println!(
        "{} captures, {total} packets, {ip} of IP, {fragments} fragments, {reassembled} datagrams",
        captures.len()
    );
    assert!(ip > 0 && reassembled > 0, "nothing was read below {}", shared.display());
}

/// Whatever both read, both read alike: addresses, ports, numbers, flags, options and payload.
#[test]
fn another_decoder_agrees_on_every_capture() {
    let Some(shared) = shared() else { return };
    let mut captures = Vec::new();
    captures_below(&shared, &mut captures);
    let (mut compared, mut only_ours, mut only_theirs) = (0, 0, 0);
    for path in &captures {
        for (number, packet) in packets_of(path).iter().enumerate() {
            if link_of(packet) != Some(LinkType::Ethernet) {
                continue;
            }
            let decoded = decode(LinkType::Ethernet, &packet.data);
            let seen = ip_of(&decoded).and_then(ours);
            let theirs = etherparse::LaxSlicedPacket::from_ethernet(&packet.data).ok();
            let theirs =
                theirs.and_then(|theirs| of_etherparse(addresses_of(theirs.net.as_ref())?, theirs.transport.as_ref()));
            match (seen, theirs) {
                (Some(seen), Some(theirs)) => {
                    assert_eq!(seen, theirs, "packet {} of {}", number + 1, path.display());
                    compared += 1;
                }
                (Some(_), None) => only_ours += 1,
                (None, Some(_)) => {
                    only_theirs += 1;
                    println!("only theirs: packet {} of {}: {:?}", number + 1, path.display(), decoded.anomalies);
                }
                (None, None) => {}
            }
        }
    }
    println!("{compared} packets alike, {only_ours} read by us only, {only_theirs} by the other only");
    assert!(compared > 0);
}

/// The checksum tests of Zeek say in their names whether each packet's checksum is right.
#[test]
fn checksums_are_judged_as_the_captures_are_named() {
    let Some(shared) = shared() else { return };
    let mut captures = Vec::new();
    captures_below(&shared.join("corpus/decode"), &mut captures);
    let mut judged = 0;
    for path in captures {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Some(case) = name.strip_prefix("zeek-chksums-") else { continue };
        for packet in packets_of(&path) {
            let decoded = decode(link_of(&packet).unwrap(), &packet.data);
            let Some(packet) = ip_of(&decoded) else { continue };
            let states = (packet.verify_header(), packet.verify_transport());
            match case {
                "ip4-bad-chksum" => assert_eq!(states.0, ChecksumState::Wrong, "{name}"),
                _ if packet.broken.is_some() || matches!(packet.transport(), Transport::Other(_)) => continue,
                _ if case.contains("bad") => assert_eq!(states.1, ChecksumState::Wrong, "{name}"),
                _ => assert_eq!(states.1, ChecksumState::Valid, "{name}"),
            }
            judged += 1;
        }
    }
    println!("{judged} packets judged");
    assert!(judged > 0);
}

/// Captures of fragments by others, with how many datagrams of right checksum Linux makes of each, and the anomalies on the way.
const FRAGMENT_CASES: &[(&str, usize, &[WireAnomaly])] = &[
    ("suricata-verify-defrag-bug-6887-defrag-eth-vlan-ipv4-tcp-syn-frag-eth-vlan-ip-tcp-syn", 1, &[FragmentTiny]),
    ("suricata-verify-defrag-bug-6887-defrag-eth-vlan-ipv6-tcp-frag-eth-vlan-ipv6-tcp", 1, &[]),
    ("suricata-verify-defrag-bug-6887-defrag-ipv4-tcp-syn-frag-ip-tcp-syn", 1, &[FragmentTiny]),
    ("suricata-verify-exception-policy-defrag-01-ipv4frags", 1, &[]),
    // The copy that differs would make the checksum right; RFC 5722 allows to ignore it, and Linux does.
    ("suricata-verify-ipv6-evasion-ipv6-malformed-fragments-1-frag-1", 0, &[FragmentDuplicateDiffers]),
    ("suricata-verify-ipv6-evasion-ipv6-malformed-fragments-2-frag-2", 1, &[FragmentDuplicateDiffers]),
    ("suricata-verify-ipv6-evasion-ipv6-malformed-fragments-3-frag-3", 1, &[FragmentDuplicateDiffers]),
    ("suricata-verify-ipv6-evasion-ipv6-malformed-fragments-7-frag-7", 0, &[FragmentOverlap]),
    ("suricata-verify-ipv6-evasion-ipv6-malformed-fragments-8-frag-8", 0, &[FragmentOverlap]),
    ("suricata-verify-ipv6-evasion-ipv6-malformed-fragments-16-frag-16", 0, &[FragmentTooBig]),
    ("suricata-verify-ipv6-evasion-ipv6-malformed-fragments-18-frag-18", 1, &[FragmentDuplicateDiffers]),
    ("suricata-verify-ipv6-evasion-ipv6-malformed-fragments-23-frag-23", 0, &[FragmentLength]),
    ("suricata-verify-ipv6-evasion-ipv6-malformed-fragments-29-frag-29", 0, &[FragmentTwoEnds]),
    ("suricata-verify-ipv6-evasion-ipv6-malformed-fragments-32-frag-32", 0, &[FragmentLength, FragmentTooBig]),
    // Never whole: the first fragment has 18 octets, of which 16 count, and the next begins at 48.
    ("zeek-ipv4-fragmented-2", 0, &[FragmentLength]),
    ("zeek-ipv4-fragmented-syn", 1, &[]),
    ("zeek-ipv6-fragmented-dns", 1, &[]),
];

#[test]
fn captures_of_fragments_make_the_datagrams_that_linux_makes() {
    let Some(shared) = shared() else { return };
    for (name, datagrams, anomalies) in FRAGMENT_CASES {
        let mut defragmenter = Defragmenter::new(FragmentLimits::default(), Some(1));
        let mut found = AnomalySet::EMPTY;
        let mut made = 0;
        for packet in packets_of(&shared.join("corpus/defrag").join(format!("{name}.pcap"))) {
            let Some(link) = link_of(&packet) else { continue };
            let decoded = decode(link, &packet.data);
            let Some(packet) = ip_of(&decoded) else { continue };
            let result = defragmenter.insert(Timestamp(0), decoded.vlans.outer(), packet, &mut Vec::new());
            found.extend(result.anomalies);
            if let FragmentOutcome::Complete(whole) = result.outcome {
                let decoded = whole.decode();
                made += usize::from(ip_of(&decoded).unwrap().verify_transport() == ChecksumState::Valid);
            }
        }
        assert_eq!((made, found.iter().collect::<Vec<_>>()), (*datagrams, anomalies.to_vec()), "{name}");
    }
}
