//! What all flows together can take, and the bounds that it follows from.

use std::io::Write;

use portcullis_engine::{Bound, Footprint, Settings, Unit};

use crate::commands::limits::write_bound;
use crate::read::reporter::OCTETS_PER_FLOW;

/// Writes the most memory that an engine with these settings takes, and its bounds.
pub(super) fn write(out: &mut impl Write, settings: &Settings) -> std::io::Result<()> {
    let footprint = Footprint::of(settings);
    let flows = Unit::Count.show(u64::try_from(settings.streams.flows).unwrap_or(u64::MAX));
    writeln!(out, "memory of all flows together, at most; for each worker")?;
    let mut line = |octets: u64, what: &str| writeln!(out, "{:>14}  {what}", rounded(octets));
    line(
        footprint.table,
        &format!("table of {flows} flows before their first data, {} octets each", footprint.half_open),
    )?;
    line(
        footprint.connections,
        &format!("more if all of them are connections with data, {} octets each", footprint.connection),
    )?;
    let flows = u64::try_from(settings.streams.flows).unwrap_or(u64::MAX);
    let reports = flows.saturating_mul(OCTETS_PER_FLOW);
    line(reports, &format!("for the records of all of them, {OCTETS_PER_FLOW} octets each"))?;
    line(footprint.streams, "buffers of all streams (stream-memory)")?;
    line(footprint.conversations, "all conversations and what records keep of them (conversation-memory)")?;
    line(footprint.fragments, "datagrams in parts (fragment-bytes)")?;
    line(footprint.doubtful, "segments with a wrong checksum (doubtful-bytes)")?;
    line(footprint.blocks, "addresses that rules block (blocks)")?;
    line(footprint.total().saturating_add(reports), "together")?;
    writeln!(out)?;
    writeln!(out, "bounds that it follows from, and timeouts; `portcullis limits` says what tells that one was met")?;
    Bound::ALL.iter().try_for_each(|bound| write_bound(out, *bound, settings))
}

/// Octets to the next whole MiB, or as they are if they are few.
fn rounded(octets: u64) -> String {
    if octets < 1 << 20 { Unit::Octets.show(octets) } else { Unit::Octets.show(octets.div_ceil(1 << 20) << 20) }
}
