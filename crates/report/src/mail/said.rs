//! What matters of an event, as plain values.

use portcullis_lang::{AnomalyId, Direction};

/// Something that happened in a flow of SMTP.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// The client gave a command.
    Command(Command<'a>),
    /// The client answered a challenge of AUTH. What it said is not told.
    Credentials,
    /// The server replied.
    Reply {
        /// The code; 0 if there was none.
        code: u16,
        /// The text of the last line.
        text: &'a [u8],
        /// Where it came.
        place: Place,
        /// The command that the machine takes it for an answer to, if it knows.
        asked: Option<Verb>,
    },
    /// A piece of the mail's text has ended, after so many octets: all of DATA, or a chunk.
    Octets(u64),
    /// The text of the mail has ended.
    End {
        /// Whether by itself.
        complete: bool,
    },
    /// Something was not as it should be.
    Anomaly(AnomalyId),
    /// Octets of a direction are missing.
    Gap(Direction),
    /// Nothing more is to be understood of this flow.
    Over,
}

/// A command of the client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Command<'a> {
    /// Which.
    pub verb: Verb,
    /// The name of EHLO, HELO and LHLO, the path of MAIL and RCPT, the mechanism of AUTH.
    pub argument: &'a [u8],
    /// Of MAIL: the size that was declared.
    pub declared_size: Option<u64>,
    /// Of BDAT: whether a chunk follows, which it does not if its size cannot be read.
    pub sized: bool,
    /// Of BDAT: whether it is the last chunk.
    pub last: bool,
    /// Of the greeting: whether it was LHLO.
    pub lmtp: bool,
}

/// The commands that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// AUTH.
    Auth,
    /// BDAT.
    Bdat,
    /// DATA.
    Data,
    /// EHLO, HELO or LHLO.
    Hello,
    /// MAIL.
    Mail,
    /// Any other.
    #[default]
    Other,
    /// RCPT.
    Rcpt,
    /// RSET.
    Rset,
    /// STARTTLS, and what some servers have for it.
    StartTls,
}

impl Verb {
    /// The verb of a word in any case.
    pub fn of(word: &[u8]) -> Verb {
        let is = |verb: &[u8]| word.eq_ignore_ascii_case(verb);
        match word.first().map(u8::to_ascii_uppercase) {
            Some(b'A') if is(b"AUTH") => Verb::Auth,
            Some(b'B') if is(b"BDAT") => Verb::Bdat,
            Some(b'D') if is(b"DATA") => Verb::Data,
            Some(b'E' | b'H' | b'L') if is(b"EHLO") || is(b"HELO") || is(b"LHLO") => Verb::Hello,
            Some(b'M') if is(b"MAIL") => Verb::Mail,
            Some(b'R') if is(b"RCPT") => Verb::Rcpt,
            Some(b'R') if is(b"RSET") => Verb::Rset,
            Some(b'S' | b'X') if is(b"STARTTLS") || is(b"X-ANONYMOUSTLS") => Verb::StartTls,
            _ => Verb::Other,
        }
    }
}

/// Where a reply comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the greeting.
    Greeting,
    /// Nothing was asked.
    Unasked,
    /// The text of a mail, or a chunk, is being sent.
    InText,
    /// A command or the text of a mail waits for it.
    Answer,
}
