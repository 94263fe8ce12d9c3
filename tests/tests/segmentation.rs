//! Invariant 1: any way of cutting the same octets into segments gives the same events.
//!
//! For each capture in `pcaps/` and each of its flows: one octet a segment, 200 random cuts, and each single cut of each
//! segment. A flow whose single cuts would mean parsing more than [`WORK`] octets has those inside long segments
//! thinned out; how many were left out is printed.

use std::path::{Path, PathBuf};

use portcullis_grammar::Program;
use portcullis_stream::Protocol;
use portcullis_tests::grammars::shipped;
use portcullis_tests::script::{Script, Step, events, scripts, single, whole};

/// Most octets parsed for the single cuts of one flow.
const WORK: usize = 8_000_000_000;

#[test]
fn every_way_of_cutting_gives_the_same_events() {
    let grammars = shipped();
    let mut flows = 0;
    let mut cuts = 0;
    let mut left_out = 0;
    for path in captures() {
        for script in scripts(&path, &[25, 587, 2525, 24, 53]) {
            let Some(program) = grammars.for_flow(&script.key) else { continue };
            if script.key.protocol == Protocol::Udp {
                continue;
            }
            flows += 1;
            let name = format!("{} {}", path.display(), script.key);
            let expected = events(program, &script, &whole);
            assert!(!expected.is_empty(), "{name}: nothing was seen");
            compare(&name, "one octet a segment", &expected, &events(program, &script, &single));
            for seed in 0..200 {
                let random = |index: usize, octets: &[u8]| random_cuts(seed, index, octets.len());
                compare(&name, &format!("random cuts {seed}"), &expected, &events(program, &script, &random));
                cuts += 1;
            }
            let (done, skipped) = single_cuts(&name, program, &script, &expected);
            cuts += done;
            left_out += skipped;
        }
    }
    assert!(flows > 20, "only {flows} flows in pcaps/");
    println!("{flows} flows, {cuts} ways of cutting, {left_out} single cuts left out inside long segments");
}

fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps");
    let entries = std::fs::read_dir(&folder).expect("pcaps/ is part of the project");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry of pcaps/").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng"));
    paths.sort();
    paths
}

fn compare(name: &str, how: &str, expected: &[String], got: &[String]) {
    if expected == got {
        return;
    }
    let at = expected.iter().zip(got).take_while(|(one, two)| one == two).count();
    panic!("{name}: {how} gives other events, first at {at}:\nwhole: {:?}\n  cut: {:?}", expected.get(at), got.get(at));
}

fn random_cuts(seed: u64, index: usize, length: usize) -> Vec<usize> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index as u64 + 1);
    let mut cuts = Vec::new();
    let mut at = 0;
    loop {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Small pieces mostly, and now and then a long one.
        let most = if state >> 61 == 0 { 1500 } else { 12 };
        at += 1 + (state >> 33) as usize % most;
        if at >= length {
            return cuts;
        }
        cuts.push(at);
    }
}

fn single_cuts(name: &str, program: &Program, script: &Script, expected: &[String]) -> (usize, usize) {
    let octets = |step: &Step| match step {
        Step::Octets(_, octets) => octets.len(),
        _ => 0,
    };
    let total: usize = script.steps.iter().map(octets).sum();
    let stride = (total * total / WORK).max(1);
    let (mut done, mut skipped) = (0, 0);
    for (step, length) in script.steps.iter().map(octets).enumerate() {
        for position in 1..length {
            let inside = position > 200 && length - position > 200;
            if inside && position % stride != 0 {
                skipped += 1;
                continue;
            }
            let cut = |index: usize, _: &[u8]| if index == step { vec![position] } else { Vec::new() };
            compare(name, &format!("a cut at {position} of step {step}"), expected, &events(program, script, &cut));
            done += 1;
        }
    }
    (done, skipped)
}
