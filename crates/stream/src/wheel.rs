//! A two-level timer wheel over packet time, which holds one timer per slot of the table.
//!
//! A timer is not moved when a packet arrives: it fires at the earliest moment at which there may
//! be something to do, and the table then looks at the flow and sets it again. That makes
//! the cost of a packet nothing and the cost of a flow a few firings in its life. Timers that
//! lie more than 256 ticks ahead wait in the second level and fire once, when their span begins.

use crate::list::{Links, List};

/// The length of a tick is 2^28 nanoseconds, about 0.27 seconds.
const TICK_SHIFT: u32 = 28;

/// How many buckets each of the two levels has; the wheel spans their square, about 4.9 hours.
const BUCKETS: i64 = 256;

/// A wheel of timers, at most one per slot.
#[derive(Debug)]
pub(crate) struct Wheel {
    near: Vec<List>,
    far: Vec<List>,
    links: Links,
    near_timers: usize,
    far_timers: usize,
    /// The tick that is passing: those before it have fired.
    tick: i64,
}

impl Wheel {
    /// Creates an empty wheel for so many slots at most, which stands at the beginning of time.
    pub(crate) fn new(most: usize) -> Wheel {
        Wheel {
            near: vec![List::default(); BUCKETS as usize],
            far: vec![List::default(); BUCKETS as usize],
            links: Links::new(most),
            near_timers: 0,
            far_timers: 0,
            tick: i64::MIN >> TICK_SHIFT,
        }
    }

    /// The number of the tick in which a moment lies.
    pub(crate) fn tick_of(nanoseconds: i64) -> i64 {
        nanoseconds >> TICK_SHIFT
    }

    /// Whether the moment lies in a later tick than the wheel stands at.
    pub(crate) fn is_behind(&self, nanoseconds: i64) -> bool {
        Wheel::tick_of(nanoseconds) > self.tick
    }

    /// Sets the timer of a slot to fire after the deadline, replacing the one it had.
    pub(crate) fn schedule(&mut self, slot: u32, deadline_nanoseconds: i64) {
        self.cancel(slot);
        let tick = Wheel::tick_of(deadline_nanoseconds).max(self.tick);
        let span = tick.saturating_sub(self.tick);
        if span < BUCKETS {
            let bucket = tick.rem_euclid(BUCKETS);
            if let Some(list) = self.near.get_mut(bucket as usize) {
                list.push_back(&mut self.links, slot, bucket as u16);
                self.near_timers += 1;
            }
        } else {
            let row = (tick >> 8).min((self.tick >> 8) + BUCKETS - 1);
            let bucket = row.rem_euclid(BUCKETS);
            if let Some(list) = self.far.get_mut(bucket as usize) {
                list.push_back(&mut self.links, slot, (BUCKETS + bucket) as u16);
                self.far_timers += 1;
            }
        }
    }

    /// Removes the timer of a slot, if it has one.
    pub(crate) fn cancel(&mut self, slot: u32) {
        let Some(bucket) = self.links.list_of(slot) else {
            return;
        };
        let bucket = i64::from(bucket);
        if bucket < BUCKETS {
            if let Some(list) = self.near.get_mut(bucket as usize) {
                list.remove(&mut self.links, slot);
                self.near_timers -= 1;
            }
        } else if let Some(list) = self.far.get_mut((bucket - BUCKETS) as usize) {
            list.remove(&mut self.links, slot);
            self.far_timers -= 1;
        }
    }

    /// Moves the wheel on towards a moment, as far as the first tick in which timers fire, and
    /// appends their slots. When none are appended, the moment is reached.
    ///
    /// A slot that fired has no timer any more. At most 512 buckets are visited, whatever the
    /// distance: with nothing left to fire, the wheel jumps.
    pub(crate) fn advance(&mut self, nanoseconds: i64, fired: &mut Vec<u32>) {
        let target = Wheel::tick_of(nanoseconds);
        while self.tick < target && fired.is_empty() {
            if self.near_timers == 0 && self.far_timers == 0 {
                self.tick = target;
                return;
            }
            if self.near_timers == 0 {
                let boundary = ((self.tick >> 8) + 1) << 8;
                if boundary > target {
                    self.tick = target;
                    return;
                }
                self.tick = boundary;
            } else {
                let bucket = self.tick.rem_euclid(BUCKETS) as usize;
                if let Some(list) = self.near.get_mut(bucket) {
                    while let Some(slot) = list.pop_front(&mut self.links) {
                        self.near_timers -= 1;
                        fired.push(slot);
                    }
                }
                self.tick += 1;
            }
            if self.tick & (BUCKETS - 1) == 0 {
                let bucket = (self.tick >> 8).rem_euclid(BUCKETS) as usize;
                if let Some(list) = self.far.get_mut(bucket) {
                    while let Some(slot) = list.pop_front(&mut self.links) {
                        self.far_timers -= 1;
                        fired.push(slot);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: i64 = 1 << TICK_SHIFT;

    fn wheel_at(nanoseconds: i64) -> Wheel {
        let mut wheel = Wheel::new(1 << 20);
        wheel.advance(nanoseconds, &mut Vec::new());
        wheel
    }

    fn fired(wheel: &mut Wheel, nanoseconds: i64) -> Vec<u32> {
        let mut all = Vec::new();
        loop {
            let mut slots = Vec::new();
            wheel.advance(nanoseconds, &mut slots);
            if slots.is_empty() {
                return all;
            }
            all.append(&mut slots);
        }
    }

    #[test]
    fn a_timer_never_fires_before_its_deadline_and_at_most_one_tick_after() {
        let start = 1_700_000_000_000_000_000;
        for delay in [0, 1, TICK - 1, TICK, 3 * TICK + 5, 255 * TICK] {
            let mut wheel = wheel_at(start);
            wheel.schedule(7, start + delay);
            assert_eq!(fired(&mut wheel, start + delay), [] as [u32; 0], "{delay}");
            assert_eq!(fired(&mut wheel, start + delay + TICK), [7], "{delay}");
            assert_eq!(fired(&mut wheel, start + delay + 9 * TICK), [] as [u32; 0]);
        }
    }

    #[test]
    fn a_far_timer_fires_early_to_be_set_again_and_never_late() {
        let start = 0;
        for ticks in [256, 300, 1000, 65_279, 65_536, 10_000_000] {
            let mut wheel = wheel_at(start);
            let deadline = start + ticks * TICK;
            wheel.schedule(3, deadline);
            let mut now = start;
            let mut rounds = 0;
            loop {
                now += TICK;
                if fired(&mut wheel, now) == [3] {
                    rounds += 1;
                    if now > deadline {
                        break;
                    }
                    wheel.schedule(3, deadline);
                }
                assert!(now <= deadline + TICK, "{ticks} ticks: not fired");
            }
            assert!(rounds <= ticks / 60_000 + 2, "{ticks}: {rounds} rounds");
        }
    }

    #[test]
    fn a_jump_of_decades_fires_everything_once() {
        let mut wheel = wheel_at(0);
        for slot in 0..1000 {
            wheel.schedule(slot, i64::from(slot) * 77 * TICK);
        }
        let mut slots = fired(&mut wheel, i64::MAX);
        slots.sort_unstable();
        assert_eq!(slots, (0..1000).collect::<Vec<u32>>());
        assert_eq!((wheel.near_timers, wheel.far_timers), (0, 0));
    }

    #[test]
    fn a_cancelled_or_replaced_timer_does_not_fire() {
        let mut wheel = wheel_at(0);
        wheel.schedule(1, 2 * TICK);
        wheel.schedule(2, 2 * TICK);
        wheel.schedule(2, 400 * TICK);
        wheel.cancel(1);
        wheel.cancel(99);
        assert_eq!(fired(&mut wheel, 100 * TICK), [] as [u32; 0]);
        wheel.schedule(2, 101 * TICK);
        assert_eq!(fired(&mut wheel, 500 * TICK), [2]);
    }

    #[test]
    fn times_before_the_epoch_are_times_like_others() {
        let mut wheel = wheel_at(-5 * TICK);
        wheel.schedule(4, -2 * TICK);
        assert_eq!(fired(&mut wheel, -2 * TICK), [] as [u32; 0]);
        assert_eq!(fired(&mut wheel, -TICK), [4]);
    }
}
