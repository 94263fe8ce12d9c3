//! Editing of connections: changes of any length, with the numbers of both sides translated.
//!
//! An [`Editor`] stands between the two sides of one connection. It takes the octets that each side has sent, in order and
//! once ([`Editor::push`], from [`StreamEventKind::Data`](crate::StreamEventKind::Data)), the edits that somebody wants
//! made ([`Editor::edit`]) and leave to let them go ([`Editor::release`]), and turns each packet that comes into packets
//! that go on ([`Editor::packet`]). No packet of an edited connection goes on as it came.
//!
//! * What leaves is cut from a record that is kept until it is acknowledged. A sender's repetition is answered from it, so
//!   that it carries the same octets, whatever the sender repeats.
//! * Acknowledgements, selective ones (RFC 2018) and windows are translated such that a sender never gives up what has not
//!   arrived: octets that were put in count with the octet before them. What was deleted is acknowledged by the editor.
//! * Where the sender has nothing left to repeat (something was put in behind its last octet, or was acknowledged before
//!   it was let go), the editor repeats by itself, with a timer that backs off (RFC 6298), a bounded number of times.
//! * Octets that are kept back for longer than [`EditSettings::acknowledge_after`] are acknowledged in the receiver's name.
//!   A sender that waits for that before it sends the rest of a line (RFC 896) would otherwise wait for ever.
//! * The window that a sender is told is such that what it may send has room here and at the receiver.
//!
//! The way of a segment through the flow table and the editor, for a gateway:
//!
//! ```
//! use portcullis_lang::Direction;
//! use portcullis_stream::{
//!     DropReason, Editor, Envelope, FlowTable, OwnPacket, StreamEventKind, StreamEvents, Treatment,
//! };
//! use portcullis_wire::{IpPacket, TcpSegment};
//!
//! fn pass(
//!     table: &mut FlowTable,
//!     editor: &mut Editor,
//!     direction: Direction,
//!     envelope: &Envelope,
//!     ip: &IpPacket<'_>,
//!     segment: &TcpSegment<'_>,
//! ) -> Result<Vec<OwnPacket>, Box<dyn std::error::Error>> {
//!     let restored = editor.restore(direction, segment);
//!     let mut events = StreamEvents::new();
//!     let normalised = table.normalise(envelope, ip, &restored, &mut events);
//!     for event in events {
//!         match event.kind {
//!             StreamEventKind::Data { direction, offset, bytes } => {
//!                 editor.push(direction, &bytes)?;
//!                 // Here somebody reads them, and may want an octet of them replaced.
//!                 editor.edit(direction, offset, 1, b"**")?;
//!                 editor.release(direction, offset + bytes.len() as u64);
//!             }
//!             StreamEventKind::Finished { direction } => editor.finish(direction),
//!             _ => {}
//!         }
//!     }
//!     let mut packets = Vec::new();
//!     if !matches!(normalised.treatment, Treatment::Drop(reason) if reason != DropReason::Withheld) {
//!         editor.packet(direction, ip, segment, envelope.time, &mut packets);
//!     }
//!     if let Some(flow) = normalised.flow {
//!         Direction::BOTH.into_iter().for_each(|direction| table.allow(flow, direction, editor.edge(direction)));
//!     }
//!     Ok(packets)
//! }
//! ```
//!
//! | file | is |
//! |---|---|
//! | `map` | where octets lie before and after the edits |
//! | `course` | one direction: what came, what leaves, how far both sides are |
//! | `packet` | the way of a packet |
//! | `send` | making packets, and what time brings about |

mod course;
mod map;
mod packet;
mod send;

use std::time::Duration;

use portcullis_lang::Direction;
use portcullis_wire::{SequenceNumber, TcpFlags, TcpSegment, Timestamp};

use crate::own::Route;
use crate::parting::Standing;
use course::Course;

/// How an editor sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditSettings {
    /// The most octets of a packet with its IP header, default 1,500 and at least 576.
    pub mtu: u16,
    /// How long octets may be kept back before they are acknowledged in the receiver's name, default 100 ms.
    pub acknowledge_after: Duration,
    /// After how long the editor repeats for the first time what only it can repeat, default 1 second (RFC 6298, section
    /// 2.1); each further time takes twice as long, up to a minute.
    pub repeat_after: Duration,
    /// How often it does so before it gives up, default 8: more than four minutes.
    pub repeats: u32,
    /// The bounds.
    pub limits: EditLimits,
}

impl Default for EditSettings {
    fn default() -> EditSettings {
        EditSettings {
            mtu: 1_500,
            acknowledge_after: Duration::from_millis(100),
            repeat_after: Duration::from_secs(1),
            repeats: 8,
            limits: EditLimits::default(),
        }
    }
}

/// The bounds of an editor, per direction.
///
/// Senders that keep to the window they are told meet none of the first two, because it is made from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditLimits {
    /// The most octets that are kept back, default 1 MiB and at least 128 KiB.
    pub held: usize,
    /// The most octets that are kept until they are acknowledged, default 1 MiB and at least 128 KiB. An edit may exceed it
    /// by what it puts in.
    pub record: usize,
    /// The most octets that edits which are not applied yet put in, default 256 KiB.
    pub inserted: usize,
    /// The most edits that are not applied, or not acknowledged, at a time, default 4,096.
    pub edits: usize,
}

impl Default for EditLimits {
    fn default() -> EditLimits {
        EditLimits { held: 1 << 20, record: 1 << 20, inserted: 256 << 10, edits: 4_096 }
    }
}

impl EditLimits {
    /// The least bound of octets: a window as it is without scale, and as much again for senders that probe a closed one.
    const LEAST: usize = 128 << 10;

    /// How many octets beyond what has left a sender is allowed to send.
    fn promised(&self) -> usize {
        self.held / 4 * 3
    }

    fn at_least(self) -> EditLimits {
        EditLimits { held: self.held.max(Self::LEAST), record: self.record.max(Self::LEAST), ..self }
    }

    /// The most octets that the buffers of one editor hold, both directions together.
    pub fn bytes_per_flow(&self) -> usize {
        let direction = self.held.saturating_add(self.record).saturating_add(self.inserted.saturating_mul(2));
        direction.saturating_mul(2)
    }
}

/// Why octets or an edit were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EditError {
    /// [`EditLimits::edits`] was met.
    EditLimit,
    /// The stream has ended before the octets.
    Finished,
    /// [`EditLimits::held`] was met: octets came that the sender was not allowed to send, or are not let go.
    HeldLimit,
    /// [`EditLimits::inserted`] was met.
    InsertedLimit,
    /// The edit reaches beyond what has come.
    NotReceived,
    /// The edit touches what another one removes.
    Overlap,
    /// The edit lies before what has left.
    Released,
}

impl EditError {
    /// The name in records, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            EditError::EditLimit => "edit_limit",
            EditError::Finished => "edit_finished",
            EditError::HeldLimit => "edit_held_limit",
            EditError::InsertedLimit => "edit_inserted_limit",
            EditError::NotReceived => "edit_not_received",
            EditError::Overlap => "edit_overlap",
            EditError::Released => "edit_released",
        }
    }
}

impl std::fmt::Display for EditError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            EditError::EditLimit => "too many edits are not acknowledged yet; raise the bound or edit less",
            EditError::Finished => "octets behind the end of the stream",
            EditError::HeldLimit => "more octets are kept back than the bound allows",
            EditError::InsertedLimit => "edits put in more octets than the bound allows",
            EditError::NotReceived => "an edit reaches beyond the octets that have come",
            EditError::Overlap => "two edits remove the same octets, or one puts something into what another removes",
            EditError::Released => "an edit lies before octets that have left already; hold them until it is made",
        })
    }
}

impl std::error::Error for EditError {}

/// What a side has said in its SYN or SYN-ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The number of its first octet.
    pub next: SequenceNumber,
    /// Its first window in octets, which is never scaled.
    pub window: u16,
    /// The power of two by which its later windows are multiplied, if it said one.
    pub window_scale: Option<u8>,
    /// The most octets of payload and options that it takes in a segment, if it said so; else 536 (RFC 9293, section 3.7.1).
    pub mss: Option<u16>,
    /// Whether it takes selective acknowledgements.
    pub sack: bool,
    /// What its clock said, if it sends timestamps.
    pub clock: Option<u32>,
}

impl Hello {
    /// What a segment with SYN says; `None` for others.
    pub fn of(segment: &TcpSegment<'_>) -> Option<Hello> {
        if !segment.flags.contains(TcpFlags::SYN) {
            return None;
        }
        let options = segment.options.values();
        Some(Hello {
            next: segment.sequence + 1,
            window: segment.window,
            window_scale: options.window_scale,
            mss: options.mss,
            sack: options.sack_permitted,
            clock: options.timestamps.map(|timestamps| timestamps.value),
        })
    }
}

/// What an editor has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EditStatistics {
    /// Edits that were taken.
    pub edits: u64,
    /// Packets that came.
    pub packets: u64,
    /// Packets that were made.
    pub made: u64,
    /// Segments that were repeated because their sender repeated.
    pub repeated: u64,
    /// Segments that the editor repeated by itself.
    pub repeated_alone: u64,
    /// Acknowledgements that no packet of the receiver brought about.
    pub acknowledgements: u64,
    /// How often octets that were kept back were acknowledged.
    pub acknowledged_early: u64,
    /// Probes of a closed window.
    pub probes: u64,
    /// Packets that were left out because they acknowledge what was never sent.
    pub left_out: u64,
}

/// What an editor knows of a side.
#[derive(Debug)]
struct Side {
    route: Option<Route>,
    /// The power of two of its windows.
    scale: u8,
    /// The most octets of payload and options that it takes.
    mss: usize,
    /// The value of its last timestamps, if it sends them.
    clock: Option<u32>,
    /// Acknowledgement and window of the last packet that was made in its name.
    said: Option<(SequenceNumber, u16)>,
}

/// Edits one connection; see the [module](self).
#[derive(Debug)]
pub struct Editor {
    settings: EditSettings,
    courses: [Course; 2],
    /// By the direction in which they send.
    sides: [Side; 2],
    sack: bool,
    reset: bool,
    given_up: Option<Direction>,
    statistics: EditStatistics,
}

impl Editor {
    /// An editor for a connection of which the SYN and the SYN-ACK have passed and nothing else.
    pub fn new(client: Hello, server: Hello, settings: EditSettings) -> Editor {
        Editor::resume([client, server], [0; 2], settings)
    }

    /// An editor for a connection of which so many octets of each direction have passed and were acknowledged, up first.
    ///
    /// [`Hello::next`] and [`Hello::window`] are then those of now: the number of the next octet, and the window.
    pub fn resume(hellos: [Hello; 2], offsets: [u64; 2], settings: EditSettings) -> Editor {
        let settings = EditSettings { mtu: settings.mtu.max(576), limits: settings.limits.at_least(), ..settings };
        let [client, server] = hellos;
        let scaled = client.window_scale.is_some() && server.window_scale.is_some();
        let timed = client.clock.is_some() && server.clock.is_some();
        let side = |hello: Hello| Side {
            route: None,
            scale: hello.window_scale.filter(|_| scaled).unwrap_or(0),
            mss: usize::from(hello.mss.unwrap_or(536)).max(64),
            clock: hello.clock.filter(|_| timed),
            said: None,
        };
        Editor {
            courses: [
                Course::new(client.next, offsets[0], u32::from(server.window)),
                Course::new(server.next, offsets[1], u32::from(client.window)),
            ],
            sides: [side(client), side(server)],
            sack: client.sack && server.sack,
            reset: false,
            given_up: None,
            statistics: EditStatistics::default(),
            settings,
        }
    }

    /// Takes the next octets of a direction, before edits.
    ///
    /// # Errors
    ///
    /// [`EditError::HeldLimit`] and [`EditError::Finished`]; the octets are lost then, and so is the connection.
    pub fn push(&mut self, direction: Direction, octets: &[u8]) -> Result<(), EditError> {
        self.courses[direction.index()].push(octets, &self.settings.limits)
    }

    /// Says that a direction ends with the octets that were pushed.
    pub fn finish(&mut self, direction: Direction) {
        let course = &mut self.courses[direction.index()];
        course.fresh.get_or_insert(course.received);
        course.finished = true;
        course.beyond.clear();
    }

    /// Has octets of a direction replaced: `removed` ones from `offset` on, by those given. Offsets are those before edits.
    ///
    /// What is put in at a place where others put something in already comes behind it; at one where octets are removed, it
    /// comes before their replacement.
    ///
    /// # Errors
    ///
    /// [`EditError::Released`], [`EditError::NotReceived`], [`EditError::Overlap`], [`EditError::EditLimit`] or
    /// [`EditError::InsertedLimit`]; nothing is changed then.
    pub fn edit(&mut self, direction: Direction, offset: u64, removed: u64, inserted: &[u8]) -> Result<(), EditError> {
        self.courses[direction.index()].edit(offset, removed, inserted, &self.settings.limits)?;
        self.statistics.edits += 1;
        Ok(())
    }

    /// Lets go what lies before an offset of a direction, before edits, and what was put in there; `u64::MAX` for all that
    /// is to come. An edit that reaches beyond the offset keeps back what lies behind its beginning.
    ///
    /// What is let go leaves with the next [`Editor::packet`] or [`Editor::tick`].
    pub fn release(&mut self, direction: Direction, up_to: u64) {
        self.courses[direction.index()].release(up_to);
    }

    /// Bounds what a side may send beyond what was let go of it, in octets; `None` for what the limits allow. A window that
    /// was told stays as wide as it was.
    ///
    /// Where octets are kept back, the bound has to be more than a record, which could not come to its end otherwise.
    pub fn bound_ahead(&mut self, direction: Direction, octets: Option<usize>) {
        self.courses[direction.index()].ahead = octets.map_or(u64::MAX, |octets| octets as u64);
    }

    /// Lets a side send so much beyond what was let go of it, in octets, while something is kept back, whatever the window of
    /// the receiver is; no more than three quarters of [`EditLimits::held`], and by default 128 KiB.
    pub fn allow_ahead(&mut self, direction: Direction, octets: usize) {
        self.courses[direction.index()].at_least = octets as u64;
    }

    /// Whether a direction has ended: its sender has said all that it has to say.
    pub fn has_ended(&self, direction: Direction) -> bool {
        self.courses[direction.index()].finished
    }

    /// How many octets of a direction have come.
    pub fn received(&self, direction: Direction) -> u64 {
        self.courses[direction.index()].received
    }

    /// How many octets of a direction have been let go; edits can only be made beyond.
    pub fn released(&self, direction: Direction) -> u64 {
        self.courses[direction.index()].released
    }

    /// How many octets of a direction are kept back.
    pub fn held(&self, direction: Direction) -> usize {
        self.courses[direction.index()].held()
    }

    /// How many octets of a direction are recorded until they are acknowledged.
    pub fn recorded(&self, direction: Direction) -> usize {
        self.courses[direction.index()].recorded()
    }

    /// Octets of memory that it takes, with what it keeps of both directions.
    pub fn memory(&self) -> usize {
        self.courses.iter().map(Course::memory).fold(size_of::<Editor>(), usize::saturating_add)
    }

    /// Up to which offset of a direction its sender may send. It is more than what the receiver has said where octets were
    /// deleted; see [`FlowTable::allow`](crate::FlowTable::allow).
    pub fn edge(&self, direction: Direction) -> u64 {
        self.courses[direction.index()].edge
    }

    /// Whether both directions have ended and everything is acknowledged, or the connection was reset.
    pub fn is_over(&self) -> bool {
        self.reset || self.courses.iter().all(Course::is_done)
    }

    /// The direction whose receiver does not acknowledge what the editor has to deliver, however often it is repeated:
    /// the connection is to be reset, see [`Parting`](crate::Parting).
    pub fn given_up(&self) -> Option<Direction> {
        self.given_up
    }

    /// What was counted.
    pub fn statistics(&self) -> EditStatistics {
        self.statistics
    }

    /// When [`Editor::tick`] has something to do.
    pub fn deadline(&self) -> Option<Timestamp> {
        if self.reset || self.given_up.is_some() {
            return None;
        }
        let early = self.settings.acknowledge_after;
        self.courses
            .iter()
            .flat_map(|course| {
                [course.untold_since.map(|since| since.saturating_add(early)), course.retry.map(|retry| retry.due)]
            })
            .flatten()
            .min()
    }

    /// Where both sides stand in their own numbers, for a [`Parting`](crate::Parting): what came of each, and what each was
    /// sent.
    pub fn standing(&self) -> Standing {
        Standing {
            came: Direction::BOTH.map(|direction| {
                let course = &self.courses[direction.index()];
                course.number(course.received_end())
            }),
            expected: Direction::BOTH.map(|direction| {
                let course = &self.courses[direction.index()];
                course.number(course.sent)
            }),
            clocks: Direction::BOTH.map(|direction| self.sides[direction.index()].clock),
            unacknowledged: self.courses[Direction::Down.index()].unacknowledged(),
        }
    }
}
