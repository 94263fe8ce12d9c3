//! Cases: what an attacker's client sends, made out of a seed.
//!
//! A case is a script of segments whose numbers are relative: `at` to the first byte behind the client's SYN, `ack` to what the
//! server has sent. So it can be written down before the server has chosen its numbers, and a seed and a number name it for good.

use std::fmt;

use portcullis_wire::TcpFlags;

use super::rows::{ROWS, Row, reuse};

/// A source of numbers that a seed determines (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of a case of a run.
    pub fn of(seed: u64, number: u64) -> Chance {
        let mut chance = Chance(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        chance.next();
        chance
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// A TCP option of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Maximum segment size.
    Mss(u16),
    /// Window scale.
    Scale(u8),
    /// Selective acknowledgements are understood.
    Sack,
    /// A timestamp, so much later than the clock of the client says.
    Time(i32),
    /// A signature (RFC 2385) that is none.
    Signature,
    /// Fast Open without a cookie (RFC 7413).
    FastOpen,
    /// An option of a kind that nobody knows.
    Unknown,
}

/// A part of the IP payload, sent as a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins, in units of 8 octets.
    pub offset: u16,
    /// How many octets; the last takes all that is left.
    pub length: Option<usize>,
    /// Whether its octets are others than those of the segment.
    pub forged: bool,
    /// Added to the identification.
    pub other: u16,
}

/// A segment of the client.
#[derive(Clone, Debug)]
pub struct Step {
    /// The control bits.
    pub flags: TcpFlags,
    /// The place in the stream; -1 is that of the SYN.
    pub at: i64,
    /// How much more, or less, is acknowledged than the server has sent.
    pub ack: i64,
    /// Added to the first sequence number: another connection.
    pub shift: u32,
    /// The data.
    pub payload: Vec<u8>,
    /// The window field.
    pub window: u16,
    /// The options.
    pub options: Vec<Choice>,
    /// The urgent pointer, meant only with the flag.
    pub urgent: u16,
    /// Whether the checksum is wrong.
    pub broken: bool,
    /// The fragments it is sent in; none: whole.
    pub pieces: Vec<Piece>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
        let flags: Vec<&str> = (0..6).filter(|bit| self.flags.0 >> bit & 1 == 1).map(|bit| names[bit]).collect();
        write!(f, "{:>6} {:<15}", self.at, flags.join("+"))?;
        if self.ack != 0 {
            write!(f, " ack{:+}", self.ack)?;
        }
        if self.shift != 0 {
            write!(f, " numbers+{:#x}", self.shift)?;
        }
        if self.flags.contains(TcpFlags::URG) || self.urgent != 0 {
            write!(f, " urgent={}", self.urgent)?;
        }
        if self.broken {
            write!(f, " wrong-checksum")?;
        }
        if !self.options.is_empty() {
            write!(f, " {:?}", self.options)?;
        }
        for piece in &self.pieces {
            let length = piece.length.map_or("..".to_owned(), |length| length.to_string());
            let forged = if piece.forged { "!" } else { "" };
            write!(f, " {}+{length}{forged}", piece.offset * 8)?;
            if piece.other != 0 {
                write!(f, "#{}", piece.other)?;
            }
        }
        let shown = self.payload.len().min(80);
        write!(f, " {:?}", String::from_utf8_lossy(&self.payload[..shown]))?;
        if shown < self.payload.len() {
            write!(f, " and so on, {} octets", self.payload.len())?;
        }
        Ok(())
    }
}

/// A script.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its number in the run.
    pub number: u64,
    /// The rows of docs/evasions.md that it is made of; none: an honest client.
    pub rows: Vec<&'static str>,
    /// IPv6 instead of IPv4.
    pub version_6: bool,
    /// Whether the server reads while the client sends, and not only when all is over.
    pub eager: bool,
    /// The number of the SYN.
    pub isn: u32,
    /// What is sent.
    pub steps: Vec<Step>,
    /// What an honest client has said.
    pub honest: Option<Vec<u8>>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = if self.version_6 { 6 } else { 4 };
        let reader = if self.eager { "reads at once" } else { "reads at the end" };
        writeln!(f, "case {} [{}] IPv{version}, the server {reader}", self.number, self.rows.join(" "))?;
        self.steps.iter().try_for_each(|step| writeln!(f, "  {step}"))
    }
}

/// The byte of an honest client at a place.
fn honest(at: i64) -> u8 {
    b'a' + at.rem_euclid(26) as u8
}

/// The names of the rows, in their order.
pub fn row_names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.0).collect()
}

/// Makes the case of a number.
pub fn generate(seed: u64, number: u64) -> Case {
    let mut chance = Chance::of(seed, number);
    let mut rows: Vec<&Row> = Vec::new();
    if !chance.one_in(20) {
        // Each row comes equally often; with it, up to two others.
        rows.push(&ROWS[(number % ROWS.len() as u64) as usize]);
        for _ in 0..chance.below(3) {
            let row = &ROWS[chance.below(ROWS.len() as u64) as usize];
            if !rows.iter().any(|(name, _)| *name == row.0) {
                rows.push(row);
            }
        }
    }
    make(chance, number, &rows)
}

/// Makes an honest case: what is said is known without an engine.
pub fn calibration(seed: u64, number: u64) -> Case {
    make(Chance::of(!seed, number), number, &[])
}

fn make(mut chance: Chance, number: u64, rows: &[&Row]) -> Case {
    let has = |name: &str| rows.iter().any(|row| row.0 == name);
    let version_6 = chance.one_in(2);
    let eager = chance.one_in(8) && !has("T22");
    let isn = if has("T27") { u32::MAX - chance.below(60) as u32 } else { chance.next() as u32 };
    let timestamps = has("T18") || chance.one_in(2);
    let mut draft = Draft { chance, timestamps, next: 0, extent: 0, shift: 0, opened: false, steps: Vec::new() };
    for name in ["T12", "T23", "T24", "T25"] {
        if let Some(row) = rows.iter().find(|row| row.0 == name) {
            row.1(&mut draft);
        }
    }
    draft.open();
    if draft.chance.one_in(2) {
        draft.talk();
    }
    for row in rows {
        if !["T12", "T23", "T24", "T25", "T26"].contains(&row.0) {
            row.1(&mut draft);
            if draft.chance.one_in(2) {
                draft.talk();
            }
        }
    }
    if rows.is_empty() {
        draft.behave();
    } else if !draft.chance.one_in(5) {
        draft.fill();
    }
    let honest = rows.is_empty().then(|| (0..draft.next).map(self::honest).collect());
    match draft.chance.below(4) {
        0 => draft.send(TcpFlags::FIN | TcpFlags::ACK, draft.next, Vec::new()),
        1 if !rows.is_empty() => draft.send(TcpFlags::RST, draft.next, Vec::new()),
        _ => {}
    }
    if has("T26") {
        reuse(&mut draft);
    }
    let names = rows.iter().map(|row| row.0).collect();
    Case { number, rows: names, version_6, eager, isn, steps: draft.steps, honest }
}

/// A script while it is written.
pub(super) struct Draft {
    pub(super) chance: Chance,
    pub(super) timestamps: bool,
    /// Where the honest stream goes on.
    pub(super) next: i64,
    /// The end of everything that was sent.
    pub(super) extent: i64,
    pub(super) shift: u32,
    pub(super) opened: bool,
    steps: Vec<Step>,
}

pub(super) const DATA: TcpFlags = TcpFlags(TcpFlags::PSH.0 | TcpFlags::ACK.0);

impl Draft {
    pub(super) fn step(&self, flags: TcpFlags, at: i64, payload: Vec<u8>) -> Step {
        let mut options = Vec::new();
        if flags.contains(TcpFlags::SYN) {
            options.extend([Choice::Mss(1460), Choice::Sack, Choice::Scale(7)]);
        }
        if self.timestamps {
            options.push(Choice::Time(0));
        }
        let (shift, window) = (self.shift, 0x2000);
        Step { flags, at, ack: 0, shift, payload, window, options, urgent: 0, broken: false, pieces: Vec::new() }
    }

    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    pub(super) fn send(&mut self, flags: TcpFlags, at: i64, payload: Vec<u8>) {
        let step = self.step(flags, at, payload);
        self.push(step);
    }

    pub(super) fn true_bytes(from: i64, to: i64) -> Vec<u8> {
        (from..to).map(honest).collect()
    }

    /// Bytes that no honest client sends.
    pub(super) fn lies(&mut self, length: i64) -> Vec<u8> {
        (0..length).map(|_| b'A' + self.chance.below(26) as u8).collect()
    }

    pub(super) fn syn(&mut self) {
        self.send(TcpFlags::SYN, -1, Vec::new());
    }

    pub(super) fn open(&mut self) {
        if !std::mem::replace(&mut self.opened, true) {
            self.syn();
            self.send(TcpFlags::ACK, 0, Vec::new());
        }
    }

    pub(super) fn say(&mut self, length: i64) {
        let bytes = Draft::true_bytes(self.next, self.next + length);
        self.send(DATA, self.next, bytes);
        self.next += length;
        self.extent = self.extent.max(self.next);
    }

    /// Some honest data in order.
    pub(super) fn talk(&mut self) {
        for _ in 0..self.chance.between(1, 3) {
            let length = self.chance.between(1, 24);
            self.say(length);
        }
    }

    /// Honest data out of order, twice, or cut as networks do.
    pub(super) fn behave(&mut self) {
        let end = self.next + self.chance.between(20, 3000);
        let mut segments = Vec::new();
        let mut at = self.next;
        while at < end {
            let length = if self.chance.one_in(3) { self.chance.between(1, 9) } else { self.chance.between(1, 1400) };
            let stop = (at + length).min(end);
            segments.push((at, stop));
            at = stop;
        }
        for _ in 0..self.chance.below(6) {
            let from = self.chance.between(self.next, end - 1);
            let to = (from + self.chance.between(1, 1400)).min(end);
            let place = self.chance.below(segments.len() as u64 + 1) as usize;
            segments.insert(place, (from, to));
        }
        if self.chance.one_in(2) {
            for _ in 0..self.chance.below(12) {
                let (a, b) = (self.chance.below(segments.len() as u64), self.chance.below(segments.len() as u64));
                segments.swap(a as usize, b as usize);
            }
        }
        for (from, to) in segments {
            self.send(DATA, from, Draft::true_bytes(from, to));
        }
        self.next = end;
        self.extent = end;
    }

    /// Closes all holes with honest data.
    pub(super) fn fill(&mut self) {
        let end = self.extent.max(self.next) + 3;
        while self.next < end {
            let length = if self.chance.one_in(3) { self.chance.between(1, 6) } else { self.chance.between(6, 1400) };
            self.say(length.min(end - self.next));
        }
    }

    /// Where something false is put: near what comes next.
    pub(super) fn near(&mut self) -> i64 {
        self.next + self.chance.between(-12, 24)
    }

    /// False data at a place, which may wait there.
    pub(super) fn lie(&mut self, flags: TcpFlags, at: i64) -> Step {
        let length = self.chance.between(1, 16);
        let payload = self.lies(length);
        self.step(flags, at, payload)
    }

    pub(super) fn touch(&mut self, at: i64, length: i64) {
        self.extent = self.extent.max(at + length);
    }
}
