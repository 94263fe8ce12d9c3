//! Several capture files as one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};

use portcullis_wire::{LinkType, Timestamp};

use crate::error::CaptureError;
use crate::file::CaptureFile;
use crate::name::FileName;
use crate::source::{Packet, PacketSource, Progress};

/// Capture files merged by time into one sequence of packets.
///
/// Always the file whose next packet is oldest goes first, the one named first if two are equal. So files of a
/// rotation, whose spans do not overlap, are read one after the other, and captures of two taps are interleaved.
/// Packets of one file are never reordered, even where their times go backwards.
///
/// Files are looked at when the set is opened, so that a wrong name is told before anything is read, and held open
/// only while they are read: memory depends on how many files overlap, not on how many there are.
#[derive(Debug)]
pub struct CaptureSet {
    members: Vec<Member>,
    /// Files with a packet to come that are not `current`, by the time of that packet.
    waiting: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// The file whose packet was delivered last.
    current: Option<usize>,
    count: u64,
    link_types: Vec<LinkType>,
    /// Packets passed over in files that are closed.
    uninspected: u64,
}

#[derive(Debug)]
struct Member {
    path: PathBuf,
    name: FileName,
    progress: Progress,
    state: State,
    /// What was wrong with the first packet of a file that cannot be opened again, until its turn comes.
    failed: Option<CaptureError>,
}

#[derive(Debug)]
enum State {
    /// Looked at and closed again.
    Closed,
    /// Open, and its next packet has yet to be read.
    Before(Box<CaptureFile>),
    /// Open, and its next packet was read.
    At(Box<CaptureFile>),
    Done,
}

impl CaptureSet {
    /// Opens capture files; `-` is standard input.
    ///
    /// # Errors
    ///
    /// Fails as [`CaptureFile::open`] does for the first file that cannot be opened, if no file is named, and if
    /// standard input is named twice.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Self, CaptureError> {
        let times = paths.iter().filter(|path| path.as_ref() == Path::new("-")).count();
        if times > 1 {
            return Err(CaptureError::StandardInputTwice { times });
        }
        if paths.is_empty() {
            return Err(CaptureError::NoFiles);
        }
        let mut set = Self {
            members: Vec::with_capacity(paths.len()),
            waiting: BinaryHeap::with_capacity(paths.len()),
            current: None,
            count: 0,
            link_types: Vec::new(),
            uninspected: 0,
        };
        for (index, path) in paths.iter().enumerate() {
            let file = CaptureFile::open(path)?;
            set.add(index, path.as_ref(), file, paths.len() == 1);
        }
        Ok(set)
    }

    /// Returns the next packet of all files, or `None` at the end of all.
    ///
    /// # Errors
    ///
    /// Fails as [`CaptureFile::next`] does. The other files go on with the next call.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        let Some(index) = self.step()? else { return Ok(None) };
        self.count = self.count.saturating_add(1);
        let Some(Member { state: State::At(file), .. }) = self.members.get(index) else { return Ok(None) };
        let Some(packet) = file.current() else { return Ok(None) };
        Ok(Some(Packet { number: self.count, file: u32::try_from(index).unwrap_or(u32::MAX), ..packet }))
    }

    /// The name of a file of the set, by the number in [`Packet::file`].
    #[must_use]
    pub fn name(&self, file: u32) -> Option<&FileName> {
        Some(&self.members.get(usize::try_from(file).ok()?)?.name)
    }

    /// The link types that are known so far: those of all files up to their first packet, and of pcapng files also what
    /// came later.
    #[must_use]
    pub fn link_types(&self) -> Vec<LinkType> {
        let mut links = self.link_types.clone();
        for member in &self.members {
            if let State::Before(file) | State::At(file) = &member.state {
                add_new(&mut links, file.link_types());
            }
        }
        links
    }

    /// How many packets were passed over because the link type of their interface is unknown.
    #[must_use]
    pub fn uninspected(&self) -> u64 {
        self.members.iter().fold(self.uninspected, |sum, member| match &member.state {
            State::Before(file) | State::At(file) => sum.saturating_add(file.uninspected()),
            State::Closed | State::Done => sum,
        })
    }

    /// How many bytes of all files were read, and their size if all have one.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let start = Progress { position: 0, total: Some(0) };
        self.members.iter().fold(start, |sum, member| {
            let progress = match &member.state {
                State::Before(file) | State::At(file) => file.progress(),
                State::Closed | State::Done => member.progress,
            };
            Progress {
                position: sum.position.saturating_add(progress.position),
                total: sum.total.zip(progress.total).map(|(sum, size)| sum.saturating_add(size)),
            }
        })
    }

    /// Takes in a file that was just opened.
    fn add(&mut self, index: usize, path: &Path, mut file: CaptureFile, alone: bool) {
        let total = file.progress().total;
        let mut member = Member {
            path: path.to_owned(),
            name: FileName::new(path),
            progress: Progress { position: 0, total },
            state: State::Closed,
            failed: None,
        };
        // What is wrong with the first packet is told when its turn comes, which is at once.
        let mut first = Timestamp::MIN;
        if alone {
            // Nothing to compare with: do not wait for the first packet of a pipe.
            member.state = State::Before(Box::new(file));
        } else {
            match file.advance() {
                Ok(true) => first = file.current().map_or(first, |packet| packet.timestamp),
                Ok(false) => {}
                Err(error) => member.failed = Some(error),
            }
            add_new(&mut self.link_types, file.link_types());
            if total.is_some() && !member.name.is_standard_input() {
                // It is opened again in its turn, and whatever is wrong is told then.
                member.failed = None;
            } else {
                // A pipe, or a file that the shell has opened: it goes on from here, so it stays open.
                let file = Box::new(file);
                member.state = if member.failed.is_none() { State::At(file) } else { State::Before(file) };
            }
        }
        self.waiting.push(Reverse((first, index)));
        self.members.push(member);
    }

    /// Finds the file with the oldest next packet.
    #[inline]
    fn step(&mut self) -> Result<Option<usize>, CaptureError> {
        if let Some(index) = self.current
            && self.advance(index)?
        {
            return Ok(Some(index));
        }
        while let Some(Reverse((_, index))) = self.waiting.pop() {
            if self.is_ready(index) || self.advance(index)? {
                self.current = Some(index);
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Whether the next packet of a file was read already. An open file that ended is not: there is none to deliver.
    fn is_ready(&self, index: usize) -> bool {
        matches!(self.members.get(index), Some(Member { state: State::At(file), .. }) if file.current().is_some())
    }

    /// Reads the next packet of a file and tells whether it is the oldest; if not, the file waits for its turn.
    #[inline]
    fn advance(&mut self, index: usize) -> Result<bool, CaptureError> {
        match self.read_next(index) {
            Ok(Some(timestamp)) => {
                if self.waiting.peek().is_none_or(|Reverse(next)| (timestamp, index) <= *next) {
                    self.current = Some(index);
                    return Ok(true);
                }
                self.current = None;
                self.waiting.push(Reverse((timestamp, index)));
                Ok(false)
            }
            Ok(None) => {
                self.close(index);
                Ok(false)
            }
            Err(error) => {
                if error.ends_file() {
                    self.close(index);
                } else {
                    self.current = Some(index);
                }
                Err(error)
            }
        }
    }

    /// Reads the next packet of a file, which is opened if need be, and returns its time.
    #[inline]
    fn read_next(&mut self, index: usize) -> Result<Option<Timestamp>, CaptureError> {
        let Some(member) = self.members.get_mut(index) else { return Ok(None) };
        if let Some(error) = member.failed.take() {
            return Err(error);
        }
        if !matches!(member.state, State::At(_)) {
            member.state = match std::mem::replace(&mut member.state, State::Done) {
                State::Closed => State::At(Box::new(CaptureFile::open(&member.path)?)),
                State::Before(file) => State::At(file),
                other => other,
            };
        }
        let State::At(file) = &mut member.state else { return Ok(None) };
        file.advance()?;
        Ok(file.current().map(|packet| packet.timestamp))
    }

    /// Closes a file that has nothing more to give, and keeps what it counted.
    fn close(&mut self, index: usize) {
        self.current = None;
        let Some(member) = self.members.get_mut(index) else { return };
        if let State::Before(file) | State::At(file) = std::mem::replace(&mut member.state, State::Done) {
            member.progress = file.progress();
            self.uninspected = self.uninspected.saturating_add(file.uninspected());
            add_new(&mut self.link_types, file.link_types());
        }
    }
}

impl PacketSource for CaptureSet {
    fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        Self::next(self)
    }

    fn progress(&self) -> Option<Progress> {
        Some(Self::progress(self))
    }
}

fn add_new(links: &mut Vec<LinkType>, more: Vec<LinkType>) {
    for link in more {
        if !links.contains(&link) {
            links.push(link);
        }
    }
}
