//! The readings of overlapping segments, through the table. What the queue does is tested beside it.

mod common;

use common::{Lab, Segment, down, up};
use portcullis_lang::Direction;
use portcullis_stream::{FlowTable, Limits, Reassembly};

fn lab(reassembly: Reassembly, limits: Limits) -> Lab {
    let mut lab = Lab::of(FlowTable::new(limits, Some(7)).with_reassembly(reassembly));
    lab.connect();
    lab
}

/// What each receiver reads: Linux, Windows, BSD, by first, by last.
fn read(segments: &[Segment]) -> [String; 5] {
    Reassembly::ALL.map(|reassembly| {
        let mut lab = lab(reassembly, Limits::default());
        lab.send_all(segments);
        let differs = lab.log().iter().any(|line| line.ends_with("overlap_diff"));
        assert!(differs, "{reassembly}: {segments:?}");
        assert_eq!(lab.table.memory().min(8192), lab.table.memory(), "{reassembly}: what was held is given back");
        String::from_utf8_lossy(lab.stream(Direction::Up)).into_owned()
    })
}

#[test]
fn what_was_delivered_is_never_taken_back() {
    assert_eq!(read(&[up(0, "abcd"), up(0, "XXXX"), up(2, "YYee")]), ["abcdee"; 5]);
}

#[test]
fn waiting_segments_are_read_as_the_receiver_does() {
    let fill = up(0, "x");
    // Linux takes neither of two that overlap in part apart; it drops the third, which lies within both together.
    let segments = [up(1, "aaaa"), up(3, "BBBB"), fill.clone()];
    assert_eq!(read(&segments), ["xaaaaBB", "xaaaaBB", "xaaaaBB", "xaaaaBB", "xaaBBBB"]);
    let segments = [up(3, "aaaa"), up(1, "BBBB"), fill.clone()];
    assert_eq!(read(&segments), ["xBBBBaa", "xBBaaaa", "xBBBBaa", "xBBaaaa", "xBBBBaa"]);
    let segments = [up(1, "aa"), up(1, "BBBB"), fill];
    assert_eq!(read(&segments), ["xBBBB", "xaaBB", "xaaBB", "xaaBB", "xBBBB"]);
}

#[test]
fn a_segment_in_order_over_waiting_ones() {
    // It begins before them, so that only those keep what they hold that never give anything up.
    let segments = [up(2, "aa"), up(6, "bb"), up(0, "CCCCCCCCC")];
    assert_eq!(read(&segments), ["CCCCCCCCC", "CCaaCCbbC", "CCCCCCCCC", "CCaaCCbbC", "CCCCCCCCC"]);
    // The end of it is behind what is delivered already.
    let segments = [up(0, "xx"), up(4, "aa"), up(1, "xCCCC")];
    assert_eq!(read(&segments), ["xxCCCC", "xxCCaa", "xxCCCC", "xxCCaa", "xxCCCC"]);
}

#[test]
fn a_fin_in_order_over_waiting_segments() {
    for reassembly in [Reassembly::Windows, Reassembly::First] {
        let mut lab = lab(reassembly, Limits::default());
        lab.send_all(&[up(2, "aaaa"), up(0, "CCC").fin()]);
        // The byte after the last one was there before the FIN that claims its place.
        let expected = ["up 2 overlap_diff", "up 0 CC", "up 2 aaaa", "up 3 fin_moved"];
        assert_eq!(lab.log(), expected, "{reassembly}");
        lab.send_all(&[up(6, "").fin()]);
        assert_eq!(lab.log(), ["up finished"]);
    }
    for reassembly in [Reassembly::Bsd, Reassembly::Last] {
        let mut lab = lab(reassembly, Limits::default());
        lab.send_all(&[up(2, "aaaa"), up(0, "CCC").fin()]);
        assert_eq!(lab.log().last().map(String::as_str), Some("up 3 data_after_fin"), "{reassembly}");
        assert_eq!(lab.stream(Direction::Up), b"CCC", "{reassembly}");
    }
}

#[test]
fn a_waiting_fin_ends_the_stream_where_it_lies() {
    for reassembly in [Reassembly::Windows, Reassembly::First] {
        let mut lab = lab(reassembly, Limits::default());
        lab.send_all(&[up(2, "aa").fin(), up(0, "CCCCCCCC"), down(0, "").ack(5)]);
        assert_eq!(lab.stream(Direction::Up), b"CCaa", "{reassembly}");
        assert!(lab.log().contains(&"up finished".to_owned()), "{reassembly}");
    }
}

#[test]
fn the_account_of_memory_holds_for_every_reading() {
    // Many holes, then segments that cover them: the parts that come of it must be paid for, and be given back.
    for (reassembly, memory) in
        Reassembly::ALL.into_iter().flat_map(|reassembly| [(reassembly, 20_000), (reassembly, 1 << 20)])
    {
        let limits = Limits { memory, compare_bytes: 0, ..Limits::default() };
        let mut lab = lab(reassembly, limits);
        for i in 0..100 {
            lab.send(&up(10 + 20 * i, "aaaaaaaaaa"));
            assert!(lab.table.memory() <= memory);
        }
        for i in 0..90 {
            lab.send(&up(5 + 20 * i, &"b".repeat(200)));
            assert!(lab.table.memory() <= memory, "{reassembly}: {}", lab.table.memory());
        }
        lab.send(&up(0, &"c".repeat(2_100)));
        lab.finish();
        assert_eq!(lab.table.memory(), 0, "{reassembly}");
        // Where there was too little, a gap stands for what was not there yet.
        assert!(memory == 20_000 || lab.stream(Direction::Up).len() == 2_100, "{reassembly}");
    }
}
