//! Made-up conversations of SMTP.

use portcullis_lang::Direction::{self, Down, Up};
use proptest::prelude::*;

use super::Pieces;

/// A command with the answers it may get, and what the client says after the last of them if it is positive.
fn exchange() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>)> {
    let said = |command: &'static str, answer: &'static str, then: &'static str, after: &'static str| {
        Just((
            command.as_bytes().to_vec(),
            answer.as_bytes().to_vec(),
            then.as_bytes().to_vec(),
            after.as_bytes().to_vec(),
        ))
    };
    prop_oneof![
        said("EHLO a.b\r\n", "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n", "", ""),
        said("HELO a\n", "250 mx\n", "", ""),
        said("LHLO a\r\n", "250 mx\r\n", "", ""),
        said("MAIL FROM:<x@Y.z> SIZE=100 BODY=8BITMIME\r\n", "250 ok\r\n", "", ""),
        said("mail from: <\"a>b\"@y>\r\n", "250 ok\r\n", "", ""),
        said("RCPT TO:<u@v>\r\n", "250 ok\r\n", "", ""),
        said("RCPT TO:<u@v>\r\n", "550 no\r\n", "", ""),
        said("DATA\r\n", "354 go\r\n", "Subject: x\r\n\r\n..text\r\n.hidden\r\n.\r\n", "250 ok\r\n"),
        said("DATA\r\n", "354 go\r\n", "a\n.\nb\r\n.\rc\0\r\n.\r\n", "250 ok\r\n"),
        said("DATA\r\n", "354 go\r\n", ".\r\n", "250-ok\r\n250 ok\r\n"),
        said("DATA\r\n", "503 no\r\n", "", ""),
        said("BDAT 5\r\nhello", "250 ok\r\n", "", ""),
        said("BDAT 7 LAST\r\nhel\r\n.\r", "250 ok\r\n", "", ""),
        said("BDAT 0 LAST\r\n", "250 ok\r\n", "", ""),
        said("BDAT x\r\n", "501 no\r\n", "", ""),
        said("AUTH PLAIN AGEAYg==\r\n", "235 ok\r\n", "", ""),
        said("AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n", "YQ==\r\n", "334 UGFzc3dvcmQ6\r\n"),
        said("AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n", "*\r\n", "501 no\r\n"),
        said("STARTTLS\r\n", "454 no\r\n", "", ""),
        said("STARTTLS\r\n", "220 go\r\n", "\x16\x03\x01\x00\x05hello", "\x16\x03\x03\x00\x02hi"),
        said("STARTTLS\r\n", "220 go\r\n", "RSET\r\n", "250 ok\r\n"),
        said("NOOP \0 x \r y\r\n", "250 ok\r\n", "", ""),
        said("RSET\r\n", "250 ok\r\n", "", ""),
        said("VRFY someone\r\n", "252-a\r\n253 b\r\n", "", ""),
        said("\r\n", "500 what\r\n", "", ""),
        said("  GARBAGE \x7f\r\n", "hello\r\n", "", ""),
        said("QUIT\r\n", "221 bye\r\n", "", ""),
        said("NOOP\r\n", "421 closing\r\n", "", ""),
    ]
}

/// A conversation; some of what a side says comes together, some of what it says comes before its time.
pub(crate) fn conversation() -> impl Strategy<Value = Pieces> {
    let greeting = prop_oneof![4 => Just("220 mx ESMTP\r\n"), 1 => Just("554 no\r\n"), 1 => Just("")];
    let exchanges = prop::collection::vec((exchange(), 0u8..6), 0..7);
    (greeting, exchanges, prop::collection::vec(any::<u8>(), 0..3)).prop_map(|(greeting, exchanges, swaps)| {
        let mut pieces: Pieces = vec![(Down, greeting.as_bytes().to_vec())];
        // Commands and answers of a group that is sent at once.
        let mut group: (Vec<u8>, Vec<u8>) = Default::default();
        for ((command, answer, then, after), how) in exchanges {
            group.0.extend(command);
            group.1.extend(answer);
            if how == 0 {
                // Before the answer, which is against the rules.
                group.0.extend(&then);
                group.1.extend(&after);
            }
            if how < 3 && then.is_empty() {
                continue;
            }
            let (up, down) = std::mem::take(&mut group);
            pieces.extend([(Up, up), (Down, down)]);
            if how != 0 {
                pieces.extend([(Up, then), (Down, after)]);
            }
        }
        pieces.extend([(Up, group.0), (Down, group.1)]);
        pieces.retain(|(_, octets)| !octets.is_empty());
        for swap in swaps {
            let index = usize::from(swap) % pieces.len().max(1);
            if swap > 128 && index + 1 < pieces.len() {
                pieces.swap(index, index + 1);
            }
        }
        pieces
    })
}

/// The pieces as they are.
pub(crate) fn whole(pieces: &Pieces) -> Vec<(Direction, &[u8])> {
    pieces.iter().map(|(direction, octets)| (*direction, octets.as_slice())).collect()
}
