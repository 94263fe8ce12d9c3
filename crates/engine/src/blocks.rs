//! Addresses whose new flows are dropped for some time.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_policy::{FlowEnd, RuleInfo};
use portcullis_stream::FlowKey;
use portcullis_wire::Timestamp;

/// The addresses that rules have blocked (`block client.address for 1 h`), each until a time.
///
/// Engines that work side by side share one table: a copy is the same table. Times are those of packets.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// How many there are: where nothing is blocked nobody waits for the lock.
    count: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    blocks: HashMap<(FlowEnd, IpAddr), Block>,
    /// The same, the one that ends soonest first.
    by_end: BTreeSet<(i64, FlowEnd, IpAddr)>,
    displaced: u64,
}

#[derive(Clone, Debug)]
struct Block {
    until: i64,
    rule: Arc<RuleInfo>,
}

impl Blocks {
    /// Addresses that are blocked, those included whose time is over and that nobody has asked for since.
    pub fn len(&self) -> usize {
        self.inner.count.load(Ordering::Relaxed)
    }

    /// Whether nothing is blocked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets of memory of one block: in the map, which is half empty at worst, and in the order of their ends.
    pub(crate) const BYTES: usize = 2 * (size_of::<((FlowEnd, IpAddr), Block)>() + size_of::<(i64, FlowEnd, IpAddr)>());

    /// How many blocks ended before their time because there were too many.
    pub fn displaced(&self) -> u64 {
        self.table().displaced
    }

    /// Blocks an address at an end until a time; a block that lasts longer stays. There are `most` at a time; gives whether
    /// another one had to give way.
    pub fn add(
        &self,
        end: FlowEnd,
        address: IpAddr,
        until: Timestamp,
        now: Timestamp,
        rule: &Arc<RuleInfo>,
        most: usize,
    ) -> bool {
        let until = until.0;
        let mut table = self.table();
        let key = (end, address);
        let before = table.blocks.get(&key).map(|block| block.until);
        if before.is_some_and(|before| before >= until) {
            return false;
        }
        if let Some(before) = before {
            table.by_end.remove(&(before, end, address));
        }
        table.expire(now);
        let displaces = before.is_none() && table.blocks.len() >= most;
        if displaces && let Some((_, end, address)) = table.by_end.pop_first() {
            table.blocks.remove(&(end, address));
            table.displaced = table.displaced.saturating_add(1);
        }
        table.blocks.insert(key, Block { until, rule: Arc::clone(rule) });
        table.by_end.insert((until, end, address));
        self.inner.count.store(table.blocks.len(), Ordering::Relaxed);
        displaces
    }

    /// The rule that blocks a flow which begins now, if one does.
    pub fn find(&self, key: &FlowKey, now: Timestamp) -> Option<Arc<RuleInfo>> {
        if self.is_empty() {
            return None;
        }
        let mut table = self.table();
        table.expire(now);
        self.inner.count.store(table.blocks.len(), Ordering::Relaxed);
        let of = |end, address| table.blocks.get(&(end, address)).map(|block| Arc::clone(&block.rule));
        of(FlowEnd::Client, key.client.ip()).or_else(|| of(FlowEnd::Server, key.server.ip()))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.inner.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Forgets what is over. Each block is forgotten once, so that no call pays for others.
    fn expire(&mut self, now: Timestamp) {
        while let Some((until, end, address)) = self.by_end.first().copied().filter(|first| first.0 <= now.0) {
            self.by_end.remove(&(until, end, address));
            self.blocks.remove(&(end, address));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use portcullis_policy::RuleId;
    use portcullis_stream::Protocol;

    use super::*;

    const MOST: usize = 65_536;

    fn rule() -> Arc<RuleInfo> {
        Arc::new(RuleInfo { policy: "p".into(), name: "r".into(), id: RuleId(7), about: Vec::new() })
    }

    fn from(client: u32) -> FlowKey {
        let end = |address: u32| SocketAddr::from((Ipv4Addr::from(address), 25));
        FlowKey { protocol: Protocol::Tcp, client: end(client), server: end(1), ..key() }
    }

    fn key() -> FlowKey {
        let end = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        FlowKey { protocol: Protocol::Tcp, vlan: 0, client: end, server: end }
    }

    #[test]
    fn a_block_ends_with_its_time_and_is_only_made_longer() {
        let blocks = Blocks::default();
        assert!(blocks.find(&from(9), Timestamp(0)).is_none());
        blocks.add(FlowEnd::Client, from(9).client.ip(), Timestamp(100), Timestamp(0), &rule(), MOST);
        blocks.add(FlowEnd::Client, from(9).client.ip(), Timestamp(60), Timestamp(50), &rule(), MOST);
        assert_eq!(blocks.find(&from(9), Timestamp(99)).map(|rule| rule.id), Some(RuleId(7)));
        assert!(blocks.find(&from(8), Timestamp(99)).is_none());
        assert!(blocks.find(&from(9), Timestamp(100)).is_none() && blocks.is_empty());
        // As a client it is blocked, as a server it is not.
        blocks.add(FlowEnd::Server, from(9).client.ip(), Timestamp(100), Timestamp(0), &rule(), MOST);
        assert!(blocks.find(&from(9), Timestamp(1)).is_none());
    }

    #[test]
    fn the_table_is_bounded_and_copies_are_the_same_table() {
        let blocks = Blocks::default();
        let copy = blocks.clone();
        let mut displaced = 0;
        for client in 0..70_000u32 {
            let address = Ipv4Addr::from(client.wrapping_add(100)).into();
            displaced += u64::from(copy.add(
                FlowEnd::Client,
                address,
                Timestamp(i64::from(client) + 1),
                Timestamp(0),
                &rule(),
                MOST,
            ));
        }
        assert_eq!((blocks.len(), blocks.displaced()), (MOST, displaced));
        assert_eq!(displaced, 70_000 - MOST as u64);
        assert!(blocks.find(&from(100), Timestamp(0)).is_none() && blocks.find(&from(70_099), Timestamp(0)).is_some());
    }
}
