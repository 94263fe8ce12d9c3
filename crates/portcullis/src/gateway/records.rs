//! Records of several workers into one place, without a worker ever waiting for a disk.
//!
//! Workers collect whole lines and hand them over in batches; one thread writes. Where the disk is slower than the
//! network for so long that the queue between them is full, records are given up and counted: a packet that waits for a
//! disk is mail that waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use portcullis_report::{Sink, SinkError};

/// Octets of lines that a worker collects before it hands them over.
const BATCH: usize = 32 << 10;

/// Batches between workers and the writer: 64 MiB of records.
const BATCHES: usize = 2048;

/// How long lines may wait in the writer before they are in the file.
const DELAY: Duration = Duration::from_millis(200);

enum Message {
    Lines(Vec<u8>),
    Reopen,
    Finish,
}

/// What workers write to.
pub(crate) struct Lines {
    sender: SyncSender<Message>,
    batch: Vec<u8>,
    lost: Arc<AtomicU64>,
}

/// The thread that writes, seen from the one that began it.
pub(crate) struct Writer {
    sender: SyncSender<Message>,
    thread: Option<JoinHandle<Option<SinkError>>>,
    lost: Arc<AtomicU64>,
}

impl Writer {
    /// Begins to write into a sink.
    pub(crate) fn start(sink: Box<dyn Sink>) -> std::io::Result<Writer> {
        let (sender, receiver) = sync_channel(BATCHES);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        let thread =
            std::thread::Builder::new().name("records".to_owned()).spawn(move || write(sink, &receiver, &counter))?;
        Ok(Writer { sender, thread: Some(thread), lost })
    }

    /// Something that a worker can write to.
    pub(crate) fn lines(&self) -> Lines {
        Lines { sender: self.sender.clone(), batch: Vec::with_capacity(BATCH), lost: Arc::clone(&self.lost) }
    }

    /// Opens the file again, so that one that was renamed is written no longer.
    pub(crate) fn reopen(&self) {
        // A full queue means that the writer is busy with the old file; the next rotation will do.
        let _ = self.sender.try_send(Message::Reopen);
    }

    /// Records that were given up.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes what is left and stops; why the last of it could not be written.
    pub(crate) fn finish(&mut self) -> Option<SinkError> {
        let _ = self.sender.send(Message::Finish);
        self.thread.take().and_then(|thread| thread.join().ok()).flatten()
    }
}

impl Sink for Lines {
    fn line(&mut self, line: &[u8]) -> Result<(), SinkError> {
        self.batch.extend_from_slice(line);
        if self.batch.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let lines = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        if let Err(TrySendError::Full(Message::Lines(lines)) | TrySendError::Disconnected(Message::Lines(lines))) =
            self.sender.try_send(Message::Lines(lines))
        {
            self.lost.fetch_add(count(&lines), Ordering::Relaxed);
        }
        Ok(())
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|octet| **octet == b'\n').count() as u64
}

fn write(mut sink: Box<dyn Sink>, receiver: &Receiver<Message>, lost: &AtomicU64) -> Option<SinkError> {
    let mut failure: Option<SinkError> = None;
    let mut told = false;
    loop {
        let result = match receiver.recv_timeout(DELAY) {
            Ok(Message::Lines(lines)) => {
                lines.split_inclusive(|octet| *octet == b'\n').try_for_each(|line| sink.line(line))
            }
            Ok(Message::Reopen) => sink.reopen(),
            Err(RecvTimeoutError::Timeout) => sink.flush(),
            Ok(Message::Finish) | Err(RecvTimeoutError::Disconnected) => {
                let result = sink.flush();
                lost.fetch_add(sink.lost(), Ordering::Relaxed);
                return result.err().or(failure);
            }
        };
        match result {
            Ok(()) => told = false,
            Err(error) => {
                // Once for each time it begins to fail: a full disk must not fill another one with complaints.
                if !told {
                    tracing::error!("{error}");
                    told = true;
                }
                failure = Some(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Sink for Kept {
        fn line(&mut self, line: &[u8]) -> Result<(), SinkError> {
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(())
        }

        fn flush(&mut self) -> Result<(), SinkError> {
            Ok(())
        }

        fn lost(&self) -> u64 {
            0
        }
    }

    #[test]
    fn lines_of_all_workers_come_whole() {
        let kept = Kept::default();
        let mut writer = Writer::start(Box::new(kept.clone())).unwrap();
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let mut lines = writer.lines();
                std::thread::spawn(move || {
                    for line in 0..1000 {
                        lines.line(format!("worker {worker} line {line}\n").as_bytes()).unwrap();
                    }
                    lines.flush().unwrap();
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        assert!(writer.finish().is_none());
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 4000);
        for worker in 0..4 {
            let of_worker: Vec<&str> =
                text.lines().filter(|line| line.starts_with(&format!("worker {worker} "))).collect();
            assert_eq!(of_worker.first().copied(), Some(format!("worker {worker} line 0").as_str()));
            assert_eq!(of_worker.len(), 1000);
        }
        assert_eq!(writer.lost(), 0);
    }

    #[test]
    fn what_comes_after_the_end_is_counted_as_lost() {
        let mut writer = Writer::start(Box::new(Kept::default())).unwrap();
        let mut lines = writer.lines();
        assert!(writer.finish().is_none());
        lines.line(b"one\n").unwrap();
        lines.line(b"two\n").unwrap();
        lines.flush().unwrap();
        assert_eq!(lines.lost(), 2);
    }
}
