//! Ending the wait of a worker from another thread.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::system;

/// Makes the receiver of a queue return [`super::Received::Woken`], from any thread, also while packets come without end.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Looked at when there is no need to wait, which costs no system call.
    woken: AtomicBool,
    event: File,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { shared: Arc::new(Shared { woken: AtomicBool::new(false), event: File::from(system::event()?) }) })
    }

    /// Wakes the worker. Several calls before it has woken count as one.
    pub fn wake(&self) {
        self.shared.woken.store(true, Ordering::Release);
        // It fails only when 2^64 - 2 calls were not answered, and then the worker will wake anyway.
        let _ = (&self.shared.event).write(&1_u64.to_ne_bytes());
    }

    /// Whether it was woken since this was asked last.
    pub(crate) fn take(&self) -> bool {
        if !self.shared.woken.load(Ordering::Relaxed) || !self.shared.woken.swap(false, Ordering::AcqRel) {
            return false;
        }
        self.clear();
        true
    }

    /// Makes the descriptor unreadable again.
    pub(crate) fn clear(&self) {
        // It fails if it was not woken, which is what is wanted.
        let _ = (&self.shared.event).read(&mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.event.as_fd()
    }
}
