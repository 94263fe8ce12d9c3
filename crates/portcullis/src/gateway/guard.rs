//! A second, small process that ends the first when that stands still as a whole.
//!
//! The watchdog of the gate is one of its threads, and stands still with it (SIGSTOP, a debugger, a kernel that does not
//! schedule it). systemd's `WatchdogSec` sees that from outside; where there is no systemd, this does. It is told every
//! quarter of a second that all is well; when it has heard nothing for too long it kills, and when the pipe ends because
//! the gate has ended, it ends too.

use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The guard, seen from the process that it guards.
#[derive(Debug)]
pub(crate) struct Guard {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Starts a guard that kills this process when it has said nothing for so long.
    pub(crate) fn start(patience: Duration) -> std::io::Result<Guard> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("guard")
            .arg(std::process::id().to_string())
            .arg(patience.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let pipe = child.stdin.take();
        Ok(Guard { child, pipe })
    }

    /// Says that all is well. Gives whether the guard is still there.
    pub(crate) fn beat(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        match pipe.write(b".") {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(_) => {
                self.pipe = None;
                false
            }
        }
    }

    /// Lets it go.
    pub(crate) fn dismiss(mut self) {
        self.pipe = None;
        // It ends at once when the pipe does.
        let _ = self.child.wait();
    }
}

/// What the guard does: `portcullis guard PID MILLISECONDS`, with the pipe as standard input.
pub(crate) fn run(process: i32, patience: Duration) -> anyhow::Result<()> {
    let Some(process) = Pid::from_raw(process) else { anyhow::bail!("{process} is no process") };
    // Taken before anything can go wrong: a number may be given to another process later, this cannot.
    let guarded = pidfd_open(process, PidfdFlags::empty())?;
    let input = std::io::stdin();
    loop {
        if !wait(input.as_fd(), patience)? {
            tracing::error!(
                "the gate has stood still for {} ms and is killed, so that packets pass it by",
                patience.as_millis()
            );
            kill(&guarded);
            return Ok(());
        }
        let mut octets = [0; 64];
        match rustix::io::read(&input, &mut octets) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until there is something to read; false if there is nothing for so long.
fn wait(input: std::os::fd::BorrowedFd<'_>, patience: Duration) -> anyhow::Result<bool> {
    let timeout = Timespec::try_from(patience)?;
    loop {
        let mut entries = [PollFd::new(&input, PollFlags::IN)];
        match poll(&mut entries, Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn kill(guarded: &OwnedFd) {
    // One that has ended in the meantime needs no killing.
    let _ = pidfd_send_signal(guarded, Signal::KILL);
}
