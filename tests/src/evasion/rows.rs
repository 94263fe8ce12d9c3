//! What the rows of docs/evasions.md add to a script.

use portcullis_wire::TcpFlags;

use super::cases::{Choice, DATA, Draft, Piece};

/// How a row is added to a script.
pub(super) type Row = (&'static str, fn(&mut Draft));

/// The rows that cases are made of.
pub(super) const ROWS: &[Row] = &[
    ("T1", overlap_in_order),
    ("T2", overlap_out_of_order),
    ("T3", decoy),
    ("T5", wrong_checksum),
    ("T7", fragments),
    ("T8", resets),
    ("T9", false_resets),
    ("T10", fins),
    ("T11", syn_within),
    ("T12", syn_data),
    ("T13", impossible_flags),
    ("T14", without_ack),
    ("T15", acknowledgements),
    ("T16", out_of_window),
    ("T17", probes),
    ("T18", old_timestamps),
    ("T19", odd_timestamps),
    ("T20", signatures),
    ("T21", odd_options),
    ("T22", urgent),
    ("T23", split_handshake),
    ("T24", changed_syn),
    ("T25", early_data),
    ("T26", reuse),
    ("T27", wrap),
    ("T28", tiny),
    ("T29", holes),
];

fn overlap_in_order(d: &mut Draft) {
    d.talk();
    for _ in 0..d.chance.between(1, 3) {
        let at = d.next - d.chance.between(1, d.next.clamp(1, 20));
        let length = d.chance.between(1, 30);
        let payload = d.lies(length);
        d.send(DATA, at, payload);
        // What it adds is what is read: the honest stream goes on behind it.
        d.next = d.next.max(at + length);
        d.touch(at, length);
    }
}

fn overlap_out_of_order(d: &mut Draft) {
    let begin = d.next + d.chance.between(1, 4);
    let room = d.chance.between(6, 40);
    for _ in 0..d.chance.between(2, 9) {
        let at = begin + d.chance.between(0, room);
        let length = d.chance.between(1, 20);
        let payload = if d.chance.one_in(5) { Draft::true_bytes(at, at + length) } else { d.lies(length) };
        let flags = if d.chance.one_in(25) { DATA | TcpFlags::FIN } else { DATA };
        d.send(flags, at, payload);
        d.touch(at, length);
    }
    match d.chance.below(3) {
        0 => {
            let length = begin - d.next;
            d.say(length);
        }
        1 => {
            let length = d.chance.between(1, room + 4);
            d.say(length);
        }
        _ => {}
    }
}

fn decoy(d: &mut Draft) {
    let length = d.chance.between(1, 24);
    let payload = d.lies(length);
    let at = d.next;
    d.send(DATA, at, payload);
    d.send(DATA, at, Draft::true_bytes(at, at + length));
    if d.chance.one_in(2) {
        let payload = d.lies(length);
        d.send(DATA, at, payload);
    }
    d.next += length;
    d.touch(at, length);
}

fn wrong_checksum(d: &mut Draft) {
    for _ in 0..d.chance.between(1, 3) {
        let at = d.near();
        let flags = d.chance.pick(&[DATA, DATA, DATA | TcpFlags::FIN, TcpFlags::RST, TcpFlags::SYN]);
        let mut step = d.lie(flags, at);
        step.broken = true;
        d.push(step);
    }
}

fn fragments(d: &mut Draft) {
    for _ in 0..d.chance.between(1, 3) {
        let length = d.chance.between(30, 200);
        let from = d.next;
        let mut step = d.step(DATA, from, Draft::true_bytes(from, from + length));
        let header = 20 + if d.timestamps { 12 } else { 0 };
        let total = header + length as usize;
        let mut pieces = Vec::new();
        let mut offset = 0;
        while (offset as usize) * 8 < total {
            let units = d.chance.between(if offset == 0 { 5 } else { 1 }, 12) as u16;
            let last = (offset + units) as usize * 8 >= total;
            pieces.push(Piece { offset, length: (!last).then_some(units as usize * 8), forged: false, other: 0 });
            offset += units;
        }
        let kind = d.chance.below(8);
        let count = pieces.len() as u64;
        let any = d.chance.below(count) as usize;
        match kind {
            0 => {}
            1 => pieces.reverse(),
            // The same once more, with other octets.
            2 => {
                let mut twin = pieces[any].clone();
                twin.forged = true;
                let place = d.chance.below(count + 1) as usize;
                pieces.insert(place, twin);
            }
            // A part of another, with other octets.
            3 => {
                let mut twin = pieces[any].clone();
                let units = d.chance.between(1, 6) as u16;
                twin.length = Some(units as usize * 8);
                twin.offset += d.chance.below(4) as u16;
                twin.forged = true;
                let place = d.chance.below(count + 1) as usize;
                pieces.insert(place, twin);
            }
            4 => {
                pieces.remove(any);
            }
            // Another datagram in between, of which only this is there.
            5 => {
                let mut twin = pieces[any].clone();
                twin.forged = true;
                twin.other = 1;
                pieces.insert(any, twin);
            }
            6 => {
                let twin = pieces[any].clone();
                pieces.push(twin);
            }
            _ => {
                let other = d.chance.below(count) as usize;
                pieces.swap(any, other);
            }
        }
        step.pieces = pieces;
        d.push(step);
        // If it did not arrive, the client repeats it.
        if [2, 3, 4].contains(&kind) || d.chance.one_in(4) {
            d.send(DATA, from, Draft::true_bytes(from, from + length));
        }
        d.next += length;
        d.extent = d.extent.max(d.next);
    }
}

fn resets(d: &mut Draft) {
    for _ in 0..d.chance.between(1, 3) {
        let at = match d.chance.below(6) {
            0 => d.next - d.chance.between(1, 2000),
            1 => d.next + d.chance.between(1, 100),
            2 => d.next + d.chance.between(60_000, 70_000),
            3 => d.next + d.chance.between(1 << 20, 1 << 30),
            4 => d.next - 1,
            _ => d.next + 1,
        };
        let flags = d.chance.pick(&[TcpFlags::RST, TcpFlags::RST | TcpFlags::ACK]);
        let mut step = d.step(flags, at, Vec::new());
        if d.chance.one_in(3) {
            step.ack = d.chance.between(-100, 100_000);
        }
        if d.chance.one_in(8) {
            step.payload = d.lies(5);
        }
        d.push(step);
    }
    // With bytes that wait, where the end of them counts too.
    if d.chance.one_in(3) {
        let at = d.next + 3;
        d.send(DATA, at, Draft::true_bytes(at, at + 4));
        d.touch(at, 4);
        let at = d.next + d.chance.between(2, 8);
        d.send(TcpFlags::RST, at, Vec::new());
    }
    if d.chance.one_in(4) {
        d.send(TcpFlags::RST, d.next, Vec::new());
        let payload = d.lies(4);
        d.send(DATA, d.next, payload);
    }
}

fn false_resets(d: &mut Draft) {
    for _ in 0..d.chance.between(1, 2) {
        let mut step = d.step(TcpFlags::RST, d.next, Vec::new());
        match d.chance.below(2) {
            0 => step.broken = true,
            _ => step.options = vec![Choice::Signature],
        }
        d.push(step);
        d.talk();
    }
}

fn fins(d: &mut Draft) {
    for _ in 0..d.chance.between(1, 3) {
        let at = d.near();
        let length = d.chance.between(0, 8);
        let payload = d.lies(length);
        let mut step = d.step(TcpFlags::FIN | TcpFlags::ACK, at, payload);
        if d.chance.one_in(5) {
            step.ack = d.chance.between(-1000, 100_000);
        }
        d.push(step);
        d.touch(at, length);
        if d.chance.one_in(3) {
            let at = d.near();
            let step = d.lie(DATA, at);
            d.touch(at, step.payload.len() as i64);
            d.push(step);
        }
    }
}

fn syn_within(d: &mut Draft) {
    for _ in 0..d.chance.between(1, 2) {
        let at = d.chance.pick(&[-1, d.next, d.next - 1, d.next + 7, d.next + 1_000_000, -5000]);
        let flags = d.chance.pick(&[
            TcpFlags::SYN,
            TcpFlags::SYN,
            TcpFlags::SYN | TcpFlags::ACK,
            TcpFlags::SYN | TcpFlags::PSH,
        ]);
        let length = d.chance.between(0, 6);
        let payload = d.lies(length);
        d.send(flags, at, payload);
    }
}

fn syn_data(d: &mut Draft) {
    if d.opened {
        return;
    }
    d.opened = true;
    let length = d.chance.between(1, 30);
    let payload = if d.chance.one_in(2) { d.lies(length) } else { Draft::true_bytes(0, length) };
    let mut step = d.step(TcpFlags::SYN, -1, payload);
    if d.chance.one_in(3) {
        step.options.push(Choice::FastOpen);
    }
    d.push(step);
    d.send(TcpFlags::ACK, 0, Vec::new());
    if d.chance.one_in(3) {
        // As if it had been taken.
        let at = length;
        d.send(DATA, at, Draft::true_bytes(at, at + 5));
        d.touch(at, 5);
    }
}

fn impossible_flags(d: &mut Draft) {
    for _ in 0..d.chance.between(1, 3) {
        let flags = d.chance.pick(&[
            TcpFlags(0),
            TcpFlags::SYN | TcpFlags::FIN,
            TcpFlags::SYN | TcpFlags::RST,
            TcpFlags::FIN,
            TcpFlags::FIN | TcpFlags::PSH | TcpFlags::URG,
            TcpFlags::FIN | TcpFlags::RST,
            TcpFlags::SYN | TcpFlags::FIN | TcpFlags::ACK,
            TcpFlags(0x3f),
            TcpFlags::PSH,
            TcpFlags::RST | TcpFlags::FIN | TcpFlags::ACK,
        ]);
        let at = d.near();
        let step = d.lie(flags, at);
        d.push(step);
    }
}

fn without_ack(d: &mut Draft) {
    for _ in 0..d.chance.between(1, 3) {
        let at = d.near();
        let flags = d.chance.pick(&[TcpFlags::PSH, TcpFlags(0), TcpFlags::URG]);
        let step = d.lie(flags, at);
        d.push(step);
    }
}

fn acknowledgements(d: &mut Draft) {
    for _ in 0..d.chance.between(1, 4) {
        let at = if d.chance.one_in(2) { d.next } else { d.near() };
        let mut step = d.lie(DATA, at);
        step.ack = match d.chance.below(6) {
            0 => 1,
            1 => d.chance.between(1, 100_000),
            2 => -1,
            3 => -d.chance.between(1, 70_000),
            4 => d.chance.between(1 << 20, 1 << 30),
            _ => -d.chance.between(1 << 20, 1 << 30),
        };
        if d.chance.one_in(3) {
            step.payload.clear();
        }
        d.push(step);
    }
}

fn out_of_window(d: &mut Draft) {
    for _ in 0..d.chance.between(1, 3) {
        let at = d.next + d.chance.pick(&[63_000, 64_000, 64_240, 65_160, 65_535, 66_000, 100_000, 1 << 20, 1 << 30]);
        let at = at + d.chance.between(-40, 40);
        let step = d.lie(DATA, at);
        d.push(step);
    }
}

fn probes(d: &mut Draft) {
    d.talk();
    for _ in 0..d.chance.between(1, 4) {
        let length = d.chance.between(0, 1);
        let payload = d.lies(length);
        let mut step = d.step(TcpFlags::ACK, d.next - 1, payload);
        if d.chance.one_in(3) {
            step.window = 0;
        }
        d.push(step);
    }
}

fn old_timestamps(d: &mut Draft) {
    d.talk();
    for _ in 0..d.chance.between(1, 4) {
        let at = if d.chance.one_in(2) { d.next } else { d.near() };
        let flags = d.chance.pick(&[DATA, DATA, DATA, DATA | TcpFlags::FIN, TcpFlags::RST]);
        let mut step = d.lie(flags, at);
        if flags.contains(TcpFlags::RST) {
            step.payload.clear();
        }
        let by = match d.chance.below(8) {
            0 => -1,
            1 => -2,
            2 => -3,
            3 => -d.chance.between(3, 100_000) as i32,
            4 => i32::MIN,
            5 => i32::MIN + 1,
            6 => i32::MAX,
            _ => d.chance.between(1, 100_000) as i32,
        };
        step.options = vec![Choice::Time(by)];
        d.touch(at, step.payload.len() as i64);
        d.push(step);
        if d.chance.one_in(2) {
            d.talk();
        }
    }
}

fn odd_timestamps(d: &mut Draft) {
    for _ in 0..d.chance.between(1, 4) {
        let length = d.chance.between(1, 10);
        let mut step = d.step(DATA, d.next, Draft::true_bytes(d.next, d.next + length));
        if d.timestamps {
            step.options.clear();
        } else {
            step.options.push(Choice::Time(d.chance.between(-1000, 1000) as i32));
        }
        d.push(step);
        d.next += length;
        d.extent = d.extent.max(d.next);
    }
}

fn signatures(d: &mut Draft) {
    for _ in 0..d.chance.between(1, 3) {
        let at = d.near();
        let mut step = d.lie(DATA, at);
        step.options.push(Choice::Signature);
        d.push(step);
    }
}

fn odd_options(d: &mut Draft) {
    for _ in 0..d.chance.between(1, 3) {
        let length = d.chance.between(1, 10);
        let mut step = d.step(DATA, d.next, Draft::true_bytes(d.next, d.next + length));
        let option =
            d.chance.pick(&[Choice::Mss(1), Choice::Scale(14), Choice::Sack, Choice::Unknown, Choice::FastOpen]);
        step.options.push(option);
        d.push(step);
        d.next += length;
        d.extent = d.extent.max(d.next);
    }
}

fn urgent(d: &mut Draft) {
    for _ in 0..d.chance.between(1, 3) {
        let length = d.chance.between(1, 20);
        let mut step = d.step(DATA | TcpFlags::URG, d.next, Draft::true_bytes(d.next, d.next + length));
        step.urgent = match d.chance.below(5) {
            0 => 0,
            1 => d.chance.between(1, 60) as u16,
            2 => 0xffff,
            _ => d.chance.between(1, length) as u16,
        };
        if d.chance.one_in(6) {
            step.flags = DATA;
        }
        if d.chance.one_in(6) {
            step.at += 2;
            d.touch(step.at, length);
            d.push(step);
            continue;
        }
        d.push(step);
        d.next += length;
        d.extent = d.extent.max(d.next);
    }
}

fn split_handshake(d: &mut Draft) {
    if d.opened {
        return;
    }
    d.opened = true;
    d.syn();
    for _ in 0..d.chance.between(1, 2) {
        let at = d.chance.pick(&[-1, -1, 0, 5]);
        let flags = d.chance.pick(&[TcpFlags::SYN | TcpFlags::ACK, TcpFlags::SYN, TcpFlags::ACK | TcpFlags::FIN]);
        let mut step = d.step(flags, at, Vec::new());
        if d.chance.one_in(3) {
            step.ack = d.chance.between(-5, 5);
        }
        d.push(step);
    }
    d.send(TcpFlags::ACK, 0, Vec::new());
}

fn changed_syn(d: &mut Draft) {
    if d.opened {
        return;
    }
    d.opened = true;
    // First another SYN, then (or before) the one that counts.
    let first = d.chance.next() as u32 | 1;
    let mut step = d.step(TcpFlags::SYN, -1, Vec::new());
    step.shift = d.chance.pick(&[first, 1, 100, u32::MAX, 1 << 31]);
    if d.chance.one_in(2) {
        d.push(step);
        d.syn();
    } else {
        d.syn();
        d.push(step);
    }
    d.send(TcpFlags::ACK, 0, Vec::new());
}

fn early_data(d: &mut Draft) {
    if d.opened {
        return;
    }
    d.opened = true;
    if d.chance.one_in(4) {
        // Before the SYN, of no connection.
        let step = d.lie(DATA, 0);
        d.push(step);
    }
    d.syn();
    match d.chance.below(5) {
        // Data instead of the acknowledgement.
        0 => d.talk(),
        // Out of order before it.
        1 => {
            d.send(DATA, 3, Draft::true_bytes(3, 8));
            d.touch(3, 5);
            d.send(TcpFlags::ACK, 0, Vec::new());
        }
        // With a number that acknowledges nothing.
        2 => {
            let mut step = d.lie(DATA, 0);
            step.ack = d.chance.pick(&[-1, 1, 1000, -1000]);
            d.push(step);
            d.send(TcpFlags::ACK, 0, Vec::new());
        }
        // With the end.
        3 => {
            let length = d.chance.between(0, 9);
            d.send(DATA | TcpFlags::FIN, 0, Draft::true_bytes(0, length));
            d.next = length;
            d.touch(0, length);
        }
        _ => {
            let step = d.lie(TcpFlags::PSH, 0);
            d.push(step);
            d.send(TcpFlags::ACK, 0, Vec::new());
        }
    }
}

pub(super) fn reuse(d: &mut Draft) {
    let end = d.chance.below(3);
    if end == 0 {
        d.send(TcpFlags::RST, d.next, Vec::new());
    } else {
        d.send(TcpFlags::FIN | TcpFlags::ACK, d.next, Vec::new());
    }
    d.shift = d.chance.pick(&[1 << 20, 1 << 24, 1 << 30, u32::MAX - 1000, 0]);
    d.next = 0;
    d.extent = 0;
    d.opened = false;
    d.open();
    d.talk();
    d.fill();
}

fn wrap(d: &mut Draft) {
    for _ in 0..4 {
        d.talk();
    }
    overlap_out_of_order(d);
}

fn tiny(d: &mut Draft) {
    let end = d.next + d.chance.between(10, 60);
    while d.next < end {
        if d.chance.one_in(6) {
            let at = d.next + 1;
            d.send(DATA, at, Draft::true_bytes(at, at + 1));
        }
        d.say(1);
    }
}

fn holes(d: &mut Draft) {
    let count = d.chance.between(5, 40);
    let stride = d.chance.between(2, 9);
    let mut places: Vec<i64> = (0..count).map(|i| d.next + 1 + i * stride).collect();
    if d.chance.one_in(2) {
        places.reverse();
    }
    for at in places {
        let length = d.chance.between(1, stride + 2);
        let payload = if d.chance.one_in(4) { d.lies(length) } else { Draft::true_bytes(at, at + length) };
        d.send(DATA, at, payload);
        d.touch(at, length);
    }
}
