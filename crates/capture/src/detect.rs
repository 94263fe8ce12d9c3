//! What a file is by its first bytes, and what to say if it is no capture.

use crate::name::Compression;

/// The formats of captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureFormat {
    /// The classic format of libpcap (draft-ietf-opsawg-pcap).
    Pcap,
    /// The block format (draft-ietf-opsawg-pcapng).
    Pcapng,
}

impl CaptureFormat {
    /// Recognises a format by the first four bytes.
    #[must_use]
    pub fn detect(first: &[u8]) -> Option<Self> {
        let magic = first.first_chunk::<4>()?;
        if *magic == [0x0a, 0x0d, 0x0d, 0x0a] {
            return Some(Self::Pcapng);
        }
        let known = |value: u32| [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34].contains(&value);
        (known(u32::from_be_bytes(*magic)) || known(u32::from_le_bytes(*magic))).then_some(Self::Pcap)
    }

    /// The name, for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcap => "pcap",
            Self::Pcapng => "pcapng",
        }
    }
}

/// Signatures at the start of files that are taken for captures, and what to say about them.
const SIGNATURES: &[(&[u8], &str)] = &[
    (b"BZh", "it looks like a bzip2 file; decompress it first with `bzip2 -d`"),
    (b"\xfd7zXZ\0", "it looks like an xz file; decompress it first with `xz -d`"),
    (b"\x04\x22\x4d\x18", "it looks like an lz4 file; decompress it first with `lz4 -d`"),
    (b"PK\x03\x04", "it looks like a zip archive; unpack it first with `unzip`"),
    (b"7z\xbc\xaf\x27\x1c", "it looks like a 7-Zip archive; unpack it first"),
    (b"Rar!", "it looks like a RAR archive; unpack it first"),
    (b"snoop\0\0\0", "it looks like a Solaris snoop capture; convert it with `editcap`"),
    (b"GMBU", "it looks like a Microsoft Network Monitor capture; convert it with `editcap`"),
    (b"RTSS", "it looks like a Microsoft Network Monitor 1 capture; convert it with `editcap`"),
    (b"TRSNIFF data", "it looks like a Sniffer capture; convert it with `editcap`"),
    (b"XCP\0", "it looks like a NetXRay capture; convert it with `editcap`"),
    (b"btsnoop\0", "it looks like a Bluetooth capture (btsnoop), which has no network packets"),
    (b"\x1c\x00\x01\xac", "it looks like a capture of IXIA hardware; convert it with `editcap`"),
    (b"\xac\x01\x00\x1c", "it looks like a capture of IXIA hardware; convert it with `editcap`"),
    (b"\x7fELF", "it looks like a program (ELF)"),
    (b"%PDF", "it looks like a PDF document"),
    (b"SQLite format 3\0", "it looks like an SQLite database"),
    (b"version https://git-lfs", "it looks like a Git LFS pointer; fetch the file itself with `git lfs pull`"),
];

/// Says what the first bytes of something that is no capture look like.
pub(crate) fn describe(first: &[u8]) -> String {
    if let Some(compression) = Compression::detect(first) {
        return format!("what is in it is compressed again with {compression}; decompress it once first");
    }
    if let Some((_, text)) = SIGNATURES.iter().find(|(signature, _)| first.starts_with(signature)) {
        return (*text).to_owned();
    }
    if first.get(257..262) == Some(b"ustar") {
        return "it looks like a tar archive; unpack it first with `tar -x`".to_owned();
    }
    if first.iter().all(|byte| *byte == 0) {
        return format!(
            "it starts with {} zero bytes; was the disk full when it was recorded?",
            first.len().min(SHOWN_BYTES * 4)
        );
    }
    if let Some(text) = describe_text(first) {
        return text;
    }
    let shown: Vec<String> = first.iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("it starts with the bytes {}, which belong to no format that is known here", shown.join(" "))
}

const SHOWN_BYTES: usize = 16;

/// How many characters of a text are shown.
const SHOWN_CHARACTERS: usize = 40;

fn describe_text(first: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(first) {
        Ok(text) => text,
        // The first bytes may end inside a character.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(first.get(..error.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    let text = text.trim_start_matches('\u{feff}');
    if text.is_empty() || text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let start = text.trim_start();
    let lower = start.get(..15).unwrap_or(start).to_ascii_lowercase();
    let kind = if start.starts_with('{') || start.starts_with("[{") {
        "JSON"
    } else if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        "an HTML page (was a download answered with an error page?)"
    } else if start.starts_with("<?xml") {
        "XML"
    } else if is_hexadecimal(start) {
        "a hexadecimal dump (`text2pcap` turns one into a capture)"
    } else {
        "text"
    };
    let line = start.lines().next().unwrap_or_default();
    let shown: String = line.chars().take(SHOWN_CHARACTERS).collect();
    let more = if shown.len() < line.len() { "..." } else { "" };
    if [".pcap", ".pcapng", ".cap"].iter().any(|ending| text.trim_end().ends_with(ending))
        && !text.trim().contains('\n')
    {
        return Some(format!(
            "it is a text that names another file, {:?}, as a symbolic link that was not restored does; open that file instead",
            shown + more
        ));
    }
    Some(format!("it looks like {kind} and starts with {:?}", shown + more))
}

/// Recognises lines such as `0000  45 00 00 3c`.
fn is_hexadecimal(text: &str) -> bool {
    let mut words = text.split_whitespace().take(4);
    let offset = words
        .next()
        .is_some_and(|word| word.trim_end_matches(':').trim_start_matches('0').is_empty() && word.len() >= 4);
    let mut bytes = words.peekable();
    offset
        && bytes.peek().is_some()
        && bytes.all(|word| matches!(word.len(), 2 | 4) && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_found_in_both_byte_orders() {
        for magic in [0xa1b2_c3d4_u32, 0xa1b2_3c4d, 0xa1b2_cd34] {
            assert_eq!(CaptureFormat::detect(&magic.to_be_bytes()), Some(CaptureFormat::Pcap));
            assert_eq!(CaptureFormat::detect(&magic.to_le_bytes()), Some(CaptureFormat::Pcap));
        }
        assert_eq!(CaptureFormat::detect(b"\n\r\r\n...."), Some(CaptureFormat::Pcapng));
        assert_eq!(CaptureFormat::detect(b"\n\r\r"), None);
        assert_eq!(CaptureFormat::detect(b"text"), None);
    }

    #[test]
    fn what_is_no_capture_is_named() {
        let cases: &[(&[u8], &str)] = &[
            (b"{\"timestamp\": 1}", "JSON"),
            (b"hello\nworld", "text and starts with \"hello\""),
            (b"../user/smtp.pcap", "symbolic link that was not restored"),
            (b"<!DOCTYPE html><html>", "HTML"),
            (b"0000  45 00 00 3c", "text2pcap"),
            (b"BZh91AY", "bzip2"),
            (b"PK\x03\x04....", "zip"),
            (b"snoop\0\0\0\0", "snoop"),
            (b"\x1f\x8b\x08", "compressed again with gzip"),
            (b"\0\0\0\0", "zero bytes"),
            (b"\xde\xad\xbe\xef", "de ad be ef"),
            ("gr\u{fc}n".as_bytes().split_last().unwrap().1, "text"),
            (b"\x1b[31mred", "1b 5b"),
        ];
        for (first, expected) in cases {
            let text = describe(first);
            assert!(text.contains(expected), "{text:?} does not say {expected:?}");
        }
    }

    #[test]
    fn a_tar_archive_is_named() {
        let mut header = vec![b'a'; 512];
        header[257..262].copy_from_slice(b"ustar");
        assert!(describe(&header).contains("tar"));
    }
}
