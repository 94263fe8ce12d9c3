//! How much memory an engine can take, known before the first packet.

use crate::blocks::Blocks;
use crate::engine::Settings;
use crate::flow::Tracked;

/// The most octets of memory that an engine takes, by what takes them.
///
/// Everything that is held has a bound in [`Settings`]; this adds them up. What does not depend on the traffic comes on
/// top: the program, grammars, policies and their lists, and the records that wait to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// A flow before its first data, beside its entry in the hash table.
    pub half_open: u64,
    /// A connection with data, beside what lies in buffers, and what its conversation holds.
    pub connection: u64,
    /// The table for as many flows as there may be, before their first data.
    pub table: u64,
    /// What all flows have besides if all are connections with data.
    pub connections: u64,
    /// Buffers of all streams.
    pub streams: u64,
    /// What all conversations hold.
    pub conversations: u64,
    /// Segments with a wrong checksum that are set aside.
    pub doubtful: u64,
    /// Datagrams in parts.
    pub fragments: u64,
    /// Addresses that rules block; all workers of a gate share them.
    pub blocks: u64,
}

impl Footprint {
    /// What the allocator adds to a flow that is kept, and its place in a list.
    const KEPT: usize = size_of::<Tracked>() + 16 + size_of::<usize>();

    /// Adds up the bounds of some settings.
    pub fn of(settings: &Settings) -> Footprint {
        let octets = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let (streams, engine) = (&settings.streams, &settings.engine);
        let kept = portcullis_stream::Limits::CONNECTION_BYTES + Footprint::KEPT;
        Footprint {
            half_open: octets(portcullis_stream::Limits::HALF_OPEN_BYTES),
            connection: octets(portcullis_stream::Limits::HALF_OPEN_BYTES + kept),
            table: octets(streams.table_bytes()),
            connections: octets(streams.flows.max(1).saturating_mul(kept)),
            streams: octets(streams.memory),
            conversations: octets(engine.memory),
            doubtful: octets(engine.doubtful_octets),
            fragments: octets(settings.fragments.bytes),
            blocks: octets(engine.blocks.saturating_mul(Blocks::BYTES)),
        }
    }

    /// All of it together.
    pub fn total(&self) -> u64 {
        let Footprint { table, connections, streams, conversations, doubtful, fragments, blocks, .. } = *self;
        let all = [table, connections, streams, conversations, doubtful, fragments, blocks];
        all.into_iter().fold(0, u64::saturating_add)
    }
}
