//! Ends the process when a worker hangs.
//!
//! A process that is frozen keeps its queues, and a kernel that waits for verdicts lets nothing through. One that is gone
//! leaves them, and with `--queue-bypass` packets pass as if there were no gate: mail goes on while it is started again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::notify::ServiceManager;

/// Tells that a worker is alive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// The worker has come round once more.
    pub(crate) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the watchdog knows of one worker.
#[derive(Debug)]
struct Watched {
    name: String,
    pulse: Pulse,
    last: u64,
    since: Instant,
}

/// Looks at all workers from time to time.
#[derive(Debug)]
pub(crate) struct Watchdog {
    workers: Vec<Watched>,
    patience: Duration,
}

impl Watchdog {
    /// Watches workers that come round at least several times within `patience`.
    pub(crate) fn new(workers: Vec<(String, Pulse)>, patience: Duration, now: Instant) -> Watchdog {
        let watched = |(name, pulse): (String, Pulse)| Watched { name, last: pulse.count(), pulse, since: now };
        Watchdog { workers: workers.into_iter().map(watched).collect(), patience }
    }

    /// The worker that has not come round for longer than it may, if there is one.
    pub(crate) fn hanging(&mut self, now: Instant) -> Option<&str> {
        for worker in &mut self.workers {
            let count = worker.pulse.count();
            if count != worker.last {
                (worker.last, worker.since) = (count, now);
            }
        }
        let patience = self.patience;
        let hangs = |worker: &&Watched| now.duration_since(worker.since) > patience;
        self.workers.iter().find(hangs).map(|worker| worker.name.as_str())
    }

    /// Watches until it is told to stop; ends the process if a worker hangs.
    pub(crate) fn run(mut self, stop: &AtomicBool, manager: &ServiceManager) {
        let step = (self.patience / 8).min(Duration::from_millis(250));
        let mut said = Instant::now();
        let mut last = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(step);
            let now = Instant::now();
            if now.duration_since(last) > self.patience / 2 {
                // It was the whole process that stood still (SIGSTOP, a suspended machine): nobody hangs.
                for worker in &mut self.workers {
                    worker.since = now;
                }
            }
            last = now;
            if let Some(name) = self.hanging(now) {
                tracing::error!(worker = name, "a worker hangs: the process ends, so that packets pass it by");
                std::process::abort();
            }
            if manager.interval().is_some_and(|interval| now.duration_since(said) >= interval) {
                manager.say("WATCHDOG=1");
                said = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_come_round_is_named() {
        let start = Instant::now();
        let (busy, idle) = (Pulse::default(), Pulse::default());
        let workers = vec![("queue 0".to_owned(), busy.clone()), ("queue 1".to_owned(), idle)];
        let mut watchdog = Watchdog::new(workers, Duration::from_secs(2), start);
        for seconds in 0..=2 {
            busy.beat();
            assert_eq!(watchdog.hanging(start + Duration::from_secs(seconds)), None);
        }
        busy.beat();
        assert_eq!(watchdog.hanging(start + Duration::from_secs(3)), Some("queue 1"));
    }
}
