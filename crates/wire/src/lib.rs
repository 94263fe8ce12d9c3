//! Views of packets from the link layer to TCP and UDP, checksums, fragments, and building of packets.
#![forbid(unsafe_code)]
