//! Lists of texts and domains, written in the policy or read from files.

use portcullis_lang::TextSet;

use crate::limits::{MAX_ENTRY_BYTES, MAX_LIST_BYTES, MAX_LIST_ENTRIES, MAX_STEM_BYTES};

/// A file that a policy names after `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListRequest<'a> {
    /// The name of the policy's source: relative paths are relative to where it lies.
    pub policy: &'a str,
    /// The path as the policy has it.
    pub path: &'a str,
    /// Octets that are read at most; one more is enough to see that a file is too large.
    pub max: usize,
}

/// Reads the files that policies name, so that this crate need not touch any.
///
/// Every closure that takes a [`ListRequest`] and returns the octets, or in a few words why there are none ("no such file"),
/// is one. It should not read more than [`ListRequest::max`] octets and one.
pub trait ListLoader {
    /// The octets of the file.
    ///
    /// # Errors
    ///
    /// Why there are none, in a few words that stand well behind "cannot read `FILE`: ".
    fn load(&mut self, request: &ListRequest<'_>) -> Result<Vec<u8>, String>;
}

impl<F: FnMut(&ListRequest<'_>) -> Result<Vec<u8>, String>> ListLoader for F {
    fn load(&mut self, request: &ListRequest<'_>) -> Result<Vec<u8>, String> {
        self(request)
    }
}

/// The loader for where there are no files: refuses each.
pub fn no_files(_: &ListRequest<'_>) -> Result<Vec<u8>, String> {
    Err("files cannot be read here".into())
}

/// What is wrong with the entries of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListError {
    /// The file is larger than [`MAX_LIST_BYTES`].
    TooLarge,
    /// There are more than [`MAX_LIST_ENTRIES`].
    TooMany,
    /// The entry of this number (of the line, for files) is longer than [`MAX_ENTRY_BYTES`].
    LongEntry(usize),
    /// The entry of this number is empty: every text would have it.
    EmptyEntry(usize),
    /// The line of this number has a blank inside: probably a file with columns.
    Columns(usize, String),
}

/// The set of numbered entries. One that stands there twice counts once.
pub(crate) fn set_of<'a>(entries: impl IntoIterator<Item = (usize, &'a [u8])>) -> Result<TextSet, ListError> {
    let mut set = TextSet::default();
    for (number, entry) in entries {
        if entry.is_empty() {
            return Err(ListError::EmptyEntry(number));
        }
        let stem = entry.starts_with(b".") || entry.starts_with(b"*.");
        if entry.len() > if stem { MAX_STEM_BYTES } else { MAX_ENTRY_BYTES } {
            return Err(ListError::LongEntry(number));
        }
        set.insert(entry);
        if set.len() > MAX_LIST_ENTRIES {
            return Err(ListError::TooMany);
        }
    }
    Ok(set)
}

/// The list in a file: one entry a line; `#` at the beginning of a line or behind a blank begins a comment; blanks at both
/// ends and empty lines do not count; a byte order mark and CR at the ends of lines are taken off.
pub(crate) fn read(file: &[u8]) -> Result<TextSet, ListError> {
    if file.len() > MAX_LIST_BYTES {
        return Err(ListError::TooLarge);
    }
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let lines = file.split(|byte| *byte == b'\n').map(|line| without_comment(line).trim_ascii());
    let mut entries = Vec::new();
    for (number, entry) in (1..).zip(lines).filter(|(_, entry)| !entry.is_empty()) {
        if entry.iter().any(u8::is_ascii_whitespace) {
            let shown = entry.get(..60).unwrap_or(entry);
            return Err(ListError::Columns(number, String::from_utf8_lossy(shown).into_owned()));
        }
        entries.push((number, entry));
    }
    set_of(entries)
}

fn without_comment(line: &[u8]) -> &[u8] {
    let comment = line.iter().enumerate().position(|(at, byte)| {
        *byte == b'#' && at.checked_sub(1).and_then(|before| line.get(before)).is_none_or(u8::is_ascii_whitespace)
    });
    comment.and_then(|at| line.get(..at)).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(file: &[u8]) -> Vec<String> {
        read(file).unwrap().entries().iter().map(|entry| String::from_utf8(entry.to_vec()).unwrap()).collect()
    }

    #[test]
    fn comments_blanks_and_ends_of_lines() {
        let file = b"\xef\xbb\xbf# banned\r\n\r\n  a.example\t# because\r\nb#c.example\n#x\nA.example\na.example";
        assert_eq!(entries(file), ["a.example", "b#c.example"]);
        assert!(entries(b"").is_empty());
        assert!(read(file).unwrap().contains(b"B#c.example"));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert_eq!(read(b"a\nb c\n").unwrap_err(), ListError::Columns(2, "b c".into()));
        assert_eq!(read(&vec![b'a'; MAX_ENTRY_BYTES + 1]).unwrap_err(), ListError::LongEntry(1));
        assert_eq!(read(&[b"*.".to_vec(), vec![b'a'; 300]].concat()).unwrap_err(), ListError::LongEntry(1));
        assert_eq!(read(&vec![b'\n'; MAX_LIST_BYTES + 1]).unwrap_err(), ListError::TooLarge);
        assert_eq!(set_of([(1, &b""[..])]).unwrap_err(), ListError::EmptyEntry(1));
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let mut file = String::new();
        for number in 0..=MAX_LIST_ENTRIES {
            file.push_str(&format!("{number:x}\n"));
        }
        assert_eq!(read(file.as_bytes()).unwrap_err(), ListError::TooMany);
    }
}
