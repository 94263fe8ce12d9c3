//! What the table promises about its events, whatever the packets are.

use std::collections::HashMap;

use portcullis_lang::Direction;
use portcullis_stream::{FlowId, FlowTable, StreamEvent, StreamEventKind, StreamEvents};

/// Follows the events of a table and fails the test when they break a promise.
#[derive(Default)]
pub struct Promises {
    flows: HashMap<usize, Followed>,
    pub ended: usize,
}

struct Followed {
    flow: FlowId,
    next: [u64; 2],
    delivered: [u64; 2],
    missing: [u64; 2],
    gaps: [u32; 2],
    finished: [bool; 2],
}

impl Promises {
    /// Checks the events of a packet, after which the table stands as it is given.
    pub fn check(&mut self, table: &FlowTable, events: &StreamEvents<'_>) {
        for StreamEvent { flow, kind } in events {
            if let StreamEventKind::Started { .. } = kind {
                let followed = Followed {
                    flow: *flow,
                    next: [0; 2],
                    delivered: [0; 2],
                    missing: [0; 2],
                    gaps: [0; 2],
                    finished: [false; 2],
                };
                let before = self.flows.insert(flow.slot(), followed);
                assert!(before.is_none(), "two flows in a slot");
                continue;
            }
            let followed = self.flows.get_mut(&flow.slot()).expect("it started");
            assert_eq!(followed.flow, *flow, "an event of a flow that ended");
            match kind {
                StreamEventKind::Data { direction, offset, bytes } => {
                    assert!(!bytes.is_empty());
                    followed.go_on(*direction, *offset, bytes.len() as u64);
                    followed.delivered[direction.index()] += bytes.len() as u64;
                }
                StreamEventKind::Gap { direction, offset, length, .. } => {
                    assert!(*length > 0);
                    followed.go_on(*direction, *offset, *length);
                    followed.missing[direction.index()] += length;
                    followed.gaps[direction.index()] += 1;
                }
                StreamEventKind::Datagram { direction, bytes, missing } => {
                    followed.delivered[direction.index()] += bytes.len() as u64;
                    followed.missing[direction.index()] += u64::from(*missing);
                }
                StreamEventKind::Finished { direction } => {
                    assert!(!followed.finished[direction.index()], "finished twice");
                    followed.finished[direction.index()] = true;
                }
                StreamEventKind::Ended { summary, .. } => {
                    assert_eq!(table.flow(*flow), None);
                    assert_eq!(summary.flow, *flow);
                    for direction in Direction::BOTH {
                        let counted = summary.statistics.direction(direction);
                        let i = direction.index();
                        assert_eq!(counted.delivered, followed.delivered[i]);
                        assert_eq!(counted.missing, followed.missing[i]);
                        assert_eq!(counted.gaps, followed.gaps[i]);
                    }
                    self.flows.remove(&flow.slot());
                    self.ended += 1;
                }
                _ => {}
            }
        }
        assert_eq!(self.flows.len(), table.len());
        assert!(table.len() <= table.limits().flows);
        assert!(table.memory() <= table.limits().memory);
    }

    /// Checks a table after `finish`.
    pub fn check_end(&self, table: &FlowTable) {
        assert!(self.flows.is_empty());
        assert!(table.is_empty());
        let statistics = table.statistics();
        assert_eq!(statistics.begun, self.ended as u64);
    }
}

impl Followed {
    fn go_on(&mut self, direction: Direction, offset: u64, length: u64) {
        let next = &mut self.next[direction.index()];
        assert_eq!(*next, offset, "a hole or an overlap in {direction}");
        assert!(!self.finished[direction.index()], "more after the end");
        *next += length;
    }
}
