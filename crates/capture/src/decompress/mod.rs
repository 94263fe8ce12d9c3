//! Decompressors that lose nothing before damage.
//!
//! The reader adapters of the compression libraries may drop what they decompressed in the same call in which they
//! meet damage: up to a whole buffer. Here every byte before the damage comes out first, because the
//! packets in it are evidence; so these stages drive the libraries' raw interfaces.

mod gzip;
mod zstd;

pub(crate) use gzip::GzipStage;
pub(crate) use zstd::ZstdStage;
