//! Sources of packets, and the writing of captures.
//!
//! This is the layer where packets enter. It knows how to find them in files and what time and link type they
//! have, and nothing of what is in them: that is the business of `portcullis-wire` and the layers above.
//!
//! - [`PacketSource`] is what all sources share: the next [`Packet`], borrowed until the one after it.
//! - [`CaptureFile`] reads one capture file: pcap or pcapng, plain or compressed with gzip or zstd, recognised by its
//!   content, from a path or standard input, in constant memory.
//! - [`CaptureError`] says what is wrong with a capture. Everything before damage is delivered first, each
//!   packet of it, also out of compressed files; then comes the error, with the number of the packet and the byte.
//! - [`limits`] names every bound.
//!
//! libpcap reads capture files too; we read them ourselves because its messages do not say where damage lies, it
//! reads nothing compressed, hides comments, and is slower by half.

#![deny(unsafe_code)]

pub mod limits;

mod buffer;
mod bytes;
mod decompress;
mod detect;
mod error;
mod file;
mod input;
mod interface;
mod link;
mod name;
mod options;
mod pcap;
mod pcapng;
mod record;
mod source;

pub use detect::CaptureFormat;
pub use error::{CaptureError, Damage, What};
pub use file::CaptureFile;
pub use name::{Compression, FileName, Offset};
pub use options::Comments;
pub use source::{Packet, PacketSource, Progress};
