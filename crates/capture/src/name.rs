//! How captures and the places in them are named in messages.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The name of a capture as messages show it: a quoted path, or "standard input".
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FileName(Option<Arc<str>>);

impl FileName {
    /// Names the file at `path`; `-` is standard input.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        if path == Path::new("-") {
            return Self(None);
        }
        Self(Some(path.to_string_lossy().into()))
    }

    /// Tells whether this is standard input.
    #[must_use]
    pub const fn is_standard_input(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            // Debug quotes and escapes: a name may hold anything, a terminal should not see it.
            Some(name) => write!(f, "{name:?}"),
            None => f.write_str("standard input"),
        }
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A byte offset in a capture, counted after decompression if the capture is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// The offset, in bytes from the start.
    pub byte: u64,
    /// Whether it counts decompressed bytes, so that no tool will find it in the file as it is.
    pub decompressed: bool,
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}", self.byte)?;
        if self.decompressed {
            f.write_str(" of the decompressed data")?;
        }
        Ok(())
    }
}

/// A way in which a capture file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip (RFC 1952), of one or several members.
    Gzip,
    /// Zstandard (RFC 8878), of one or several frames.
    Zstd,
}

impl Compression {
    /// Recognises a compression by its first bytes.
    #[must_use]
    pub fn detect(first: &[u8]) -> Option<Self> {
        match first {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            // Skippable frames, which parallel compressors put first (RFC 8878, 3.1.2).
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_escaped() {
        assert_eq!(FileName::new(Path::new("a b.pcap")).to_string(), "\"a b.pcap\"");
        assert_eq!(FileName::new(Path::new("-")).to_string(), "standard input");
        assert!(!FileName::new(Path::new("\u{1b}[31m")).to_string().contains('\u{1b}'));
    }

    #[test]
    fn compressions_are_found_by_content() {
        assert_eq!(Compression::detect(&[0x1f, 0x8b, 8]), Some(Compression::Gzip));
        assert_eq!(Compression::detect(&[0x28, 0xb5, 0x2f, 0xfd]), Some(Compression::Zstd));
        assert_eq!(Compression::detect(&[0x5a, 0x2a, 0x4d, 0x18]), Some(Compression::Zstd));
        assert_eq!(Compression::detect(&[0x1f]), None);
        assert_eq!(Compression::detect(&[]), None);
    }
}
