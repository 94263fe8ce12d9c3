//! Sources of packets: capture files, interfaces, queues of the kernel; and where packets go.
//!
//! This is the layer where packets enter. It knows how to find them and what time and link type they
//! have, and nothing of what is in them: that is the business of `portcullis-wire` and the layers above.
//!
//! - [`PacketSource`] is what all sources share: the next [`Packet`], borrowed until the one after it.
//! - [`CaptureFile`] reads one capture file: pcap or pcapng, plain or compressed with gzip or zstd, recognised by its
//!   content, from a path or standard input, in constant memory.
//! - [`CaptureSet`] reads several as one, merged by time.
//! - [`CaptureError`] says what is wrong with a capture. Everything before damage is delivered first, each
//!   packet of it, also out of compressed files; then comes the error, with the number of the packet and the byte.
//! - [`Filter`] and [`FilterSet`] are tcpdump's filter expressions, by libpcap.
//! - [`CaptureWriter`] writes pcapng with comments, and pcap.
//! - [`LiveInterface`] takes packets from a network interface as they pass.
//! - [`queue`] is NFQUEUE: packets that the kernel holds until they are judged.
//! - [`Injector`] sends packets of our own.
//! - [`sandbox`] gives up what a running gate does not need.
//! - [`limits`] names every bound.
//!
//! libpcap reads capture files too; we read them ourselves because its messages do not say where damage lies, it
//! reads nothing compressed, hides comments, and is slower by half.
//!
//! ```
//! use portcullis_capture::{CaptureFile, CaptureWriter, Filter, Packet};
//! use portcullis_wire::{LinkType, Timestamp};
//!
//! // A capture of one packet, an IPv4 header without payload.
//! let data = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2];
//! let packet = Packet::new(Timestamp::from_nanos(1_000_000_007), LinkType::RawIp, &data);
//! let mut writer = CaptureWriter::pcapng(Vec::new())?;
//! writer.write(&packet, Some("rule 7 fired here"))?;
//! let bytes = writer.finish()?;
//!
//! let filter = Filter::compile("src host 192.0.2.1", LinkType::RawIp)?;
//! let mut capture = CaptureFile::from_reader("example", std::io::Cursor::new(bytes))?;
//! while let Some(packet) = capture.next()? {
//!     assert_eq!(packet.number, 1);
//!     assert_eq!(packet.timestamp.as_nanos(), 1_000_000_007);
//!     assert_eq!(packet.comments.clone().next().as_deref(), Some("rule 7 fired here"));
//!     assert!(filter.matches(packet.data));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(unsafe_code)]

pub mod limits;
#[cfg(target_os = "linux")]
pub mod queue;
#[cfg(target_os = "linux")]
pub mod sandbox;

mod buffer;
mod bytes;
mod decompress;
mod detect;
mod error;
mod file;
mod filter;
#[cfg(target_os = "linux")]
mod inject;
mod input;
mod interface;
mod link;
#[cfg(target_os = "linux")]
mod live;
mod name;
mod options;
mod pcap;
mod pcapng;
mod record;
mod set;
mod source;
#[cfg(target_os = "linux")]
mod system;
mod writer;

pub use detect::CaptureFormat;
pub use error::{CaptureError, Damage, What};
pub use file::CaptureFile;
pub use filter::{Filter, FilterError, FilterSet};
#[cfg(target_os = "linux")]
pub use inject::{InjectError, Injector, InjectorError, InjectorStatistics};
#[cfg(target_os = "linux")]
pub use live::{Captured, LiveError, LiveInterface, LiveSettings, LiveStatistics};
pub use name::{Compression, FileName, Offset};
pub use options::Comments;
pub use set::CaptureSet;
pub use source::{Packet, PacketSource, Progress};
pub use writer::{CaptureWriter, WriteError};
