//! The progress bar: only for somebody who looks, and only when the work takes long.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use portcullis_capture::Progress;

/// How long the work takes before a bar is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many packets are read between two looks at the clock.
const STEP: u32 = 4096;

/// Shows how far the reading of captures has come.
pub(crate) struct Bar {
    wanted: bool,
    begun: Instant,
    bar: Option<ProgressBar>,
    packets: u32,
}

impl Bar {
    pub(crate) fn new(wanted: bool) -> Bar {
        Bar { wanted, begun: Instant::now(), bar: None, packets: 0 }
    }

    /// Counts a packet, and now and then says how far it is.
    pub(crate) fn packet(&mut self, progress: impl FnOnce() -> Progress) {
        self.packets = self.packets.wrapping_add(1);
        if !self.wanted || !self.packets.is_multiple_of(STEP) || self.begun.elapsed() < PATIENCE {
            return;
        }
        let progress = progress();
        self.bar.get_or_insert_with(|| new_bar(progress.total)).set_position(progress.position);
    }

    /// Writes a message without tearing the bar.
    pub(crate) fn suspend(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{bar:40} {percent:>3} %  {binary_bytes_per_sec}  {eta} left"),
        None => (ProgressBar::no_length(), "{spinner} {binary_bytes}  {binary_bytes_per_sec}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
