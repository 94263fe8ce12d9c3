//! Conversations of any octets: the shipped grammars, and whatever other grammar loads.

use std::path::Path;
use std::sync::OnceLock;

use portcullis_grammar::{CostCard, Dialogue, Program, Scratch};
use portcullis_lang::Direction;

use super::choices::{Choices, Dice};
use crate::script::{Lines, Step};

/// Announces what follows in the octets of a conversation; twice, it stands for itself.
const MARK: u8 = 0xff;

/// Runs `grammars/smtp.grammar` over a conversation as [`encode`] writes it; see `converse`.
pub fn smtp(octets: &[u8]) {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    talk(PROGRAM.get_or_init(|| shipped("smtp")), octets);
}

/// Runs `grammars/dns.grammar` over a conversation as [`encode`] writes it; see `converse`.
pub fn dns(octets: &[u8]) {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    talk(PROGRAM.get_or_init(|| shipped("dns")), octets);
}

/// Writes a conversation down as [`smtp`] and [`dns`] read it: an octet for the cuts (its highest bit: whether the flow was
/// there before), then the octets of each side, announced by 0xFF and a letter. The cuts are chosen by `seed`.
pub fn encode(seed: u8, midstream: bool, steps: &[Step]) -> Vec<u8> {
    let mut octets = vec![seed & 0x7f | u8::from(midstream) << 7];
    for step in steps {
        let (letters, direction, content) = match step {
            Step::Octets(direction, content) => ([b'u', b'd'], direction, &content[..]),
            Step::Datagram(direction, content) => ([b'U', b'D'], direction, &content[..]),
            Step::Gap(direction, length) => {
                let length = u16::try_from(*length).unwrap_or(u16::MAX).to_be_bytes();
                octets.extend([MARK, [b'g', b'h'][direction.index()], length[0], length[1]]);
                continue;
            }
            Step::End(direction) => {
                octets.extend([MARK, [b'e', b'f'][direction.index()]]);
                continue;
            }
        };
        octets.extend([MARK, letters[direction.index()]]);
        for octet in content {
            octets.push(*octet);
            if *octet == MARK {
                octets.push(MARK);
            }
        }
    }
    octets
}

/// What happens in a conversation.
pub(super) enum Turn {
    Octets(Direction, Vec<u8>),
    Datagram(Direction, Vec<u8>),
    Gap(Direction, u64),
    End(Direction),
    /// Seconds pass.
    Wait(u16),
}

fn shipped(name: &str) -> Program {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grammars");
    crate::grammars::program(&folder.join(format!("{name}.grammar")))
}

fn talk(program: &Program, octets: &[u8]) {
    let mut choices = Choices::new(octets);
    let control = choices.octet();
    converse(program, &decode(choices), control & 0x80 != 0, u64::from(control & 0x7f));
}

/// Reads a conversation as [`encode`] writes it. Whoever has ended says no more, and a flow is of datagrams or of streams, as
/// its first turn is: the layer below sees to that.
fn decode(mut choices: Choices<'_>) -> Vec<Turn> {
    let mut turns = Vec::new();
    while !choices.is_empty() {
        let octet = choices.octet();
        let letter = if octet == MARK { choices.octet() } else { MARK };
        let direction = if letter & 1 == b'u' & 1 { Direction::Up } else { Direction::Down };
        match letter {
            b'u' | b'd' => {
                let direction = if letter == b'u' { Direction::Up } else { Direction::Down };
                turns.push(Turn::Octets(direction, Vec::new()));
            }
            b'U' | b'D' => {
                let direction = if letter == b'U' { Direction::Up } else { Direction::Down };
                turns.push(Turn::Datagram(direction, Vec::new()));
            }
            // 'g' and 'e' are odd, as 'u' is.
            b'g' | b'h' => turns.push(Turn::Gap(direction, u64::from(choices.word()))),
            b'e' | b'f' => turns.push(Turn::End(direction)),
            b't' => turns.push(Turn::Wait(choices.word())),
            _ => match turns.last_mut() {
                Some(Turn::Octets(_, content) | Turn::Datagram(_, content)) => content.push(octet),
                _ => turns.push(Turn::Octets(Direction::Up, vec![octet])),
            },
        }
    }
    let mut ended = [false; 2];
    let datagrams = turns.iter().find_map(|turn| match turn {
        Turn::Octets(..) => Some(false),
        Turn::Datagram(..) => Some(true),
        _ => None,
    });
    turns.retain(|turn| match turn {
        Turn::Octets(..) if datagrams == Some(true) => false,
        Turn::Datagram(..) if datagrams == Some(false) => false,
        Turn::Octets(direction, _) | Turn::Datagram(direction, _) | Turn::Gap(direction, _) => {
            !ended[direction.index()]
        }
        Turn::End(direction) => !std::mem::replace(&mut ended[direction.index()], true),
        Turn::Wait(_) => true,
    });
    turns
}

/// Runs a conversation: whole, one octet at a time, and cut at random gives the same events, and never is more held than the
/// cost card of the grammar says.
pub(super) fn converse(program: &Program, turns: &[Turn], midstream: bool, seed: u64) {
    let whole = run(program, turns, midstream, &mut |length| length);
    let single = run(program, turns, midstream, &mut |_| 1);
    compare("one octet at a time", &whole, &single);
    let mut dice = Dice::new(seed);
    let random = run(program, turns, midstream, &mut |_| 1 + dice.below(40));
    compare("random cuts", &whole, &random);
}

fn compare(how: &str, whole: &[String], cut: &[String]) {
    if whole == cut {
        return;
    }
    let at = whole.iter().zip(cut).take_while(|(one, other)| one == other).count();
    panic!("{how} gives other events, first at {at}:\nwhole: {:?}\n  cut: {:?}", whole.get(at), cut.get(at));
}

fn run(program: &Program, turns: &[Turn], midstream: bool, cut: &mut dyn FnMut(usize) -> usize) -> Vec<String> {
    let card = CostCard::of(program.protocol());
    let held = |side: usize| card.held[side].octets.saturating_add(card.waits[side].octets);
    let bound = held(0).saturating_add(held(1));
    let mut now = 1_700_000_000_000_000_000;
    let mut lines = Lines::default();
    let mut scratch = Scratch::default();
    let mut dialogue = Dialogue::new(program, midstream, now);
    for turn in turns {
        match turn {
            Turn::Octets(direction, octets) => {
                let mut rest = &octets[..];
                while !rest.is_empty() {
                    let (piece, behind) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
                    dialogue.octets(program, &mut scratch, *direction, piece, now, &mut lines);
                    within(&dialogue, bound);
                    rest = behind;
                }
            }
            Turn::Datagram(direction, octets) => {
                dialogue.datagram(program, &mut scratch, *direction, octets, now, &mut lines);
            }
            Turn::Gap(direction, length) => dialogue.gap(program, &mut scratch, *direction, *length, &mut lines),
            Turn::End(direction) => dialogue.end(program, &mut scratch, *direction, &mut lines),
            Turn::Wait(seconds) => {
                now += i64::from(*seconds) * 1_000_000_000;
                dialogue.tick(program, &mut scratch, now, &mut lines);
            }
        }
        within(&dialogue, bound);
    }
    dialogue.close(program, &mut scratch, &mut lines);
    assert!(dialogue.is_over(), "a conversation that is closed goes on");
    assert_eq!(dialogue.held(), 0, "a conversation that is over holds octets");
    lines.lines
}

fn within(dialogue: &Dialogue, bound: u64) {
    assert!(dialogue.held() as u64 <= bound, "{} octets are held, {bound} is what the card says", dialogue.held());
}
