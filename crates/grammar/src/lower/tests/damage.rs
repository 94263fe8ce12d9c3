//! Damaged grammars: a message or a model, never a panic, and in bounded time.

use proptest::prelude::*;

use portcullis_lang::Sources;

use crate::load;

fn load_text(text: &str) {
    let mut sources = Sources::new();
    let _ = load(&mut sources, "damaged.grammar", text);
}

fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for character in text.chars() {
        match words.last_mut() {
            Some(last) if character.is_alphanumeric() && last.ends_with(char::is_alphanumeric) => last.push(character),
            _ => words.push(character.to_string()),
        }
    }
    words
}

fn shipped() -> Vec<Vec<String>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../grammars");
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}.grammar")).unwrap();
    ["smtp", "dns"].map(|name| words(&read(name))).into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn words_are_lost_doubled_and_exchanged(
        which in 0..2usize,
        changes in proptest::collection::vec((0..3u8, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..6),
    ) {
        let mut words = shipped().swap_remove(which);
        for (kind, at, other) in changes {
            let (at, other) = (at.index(words.len()), other.index(words.len()));
            match kind {
                0 => { words.remove(at); }
                1 => { let word = words[other].clone(); words.insert(at, word); }
                _ => words.swap(at, other),
            }
        }
        load_text(&words.concat());
    }
}

#[test]
fn groups_of_groups_of_groups_are_bounded() {
    let mut text = String::from("protocol own\ngroup g0 { x: u8 }\n");
    for level in 1..40 {
        text += &format!("group g{level} {{ a: g{} b: g{} }}\n", level - 1, level - 1);
    }
    text += "record r max 9 { y: g39 }";
    load_text(&text);
}

#[test]
fn empty_groups_of_empty_groups_are_bounded() {
    let mut text = String::from("protocol own\ngroup g0 { }\n");
    for level in 1..40 {
        text += &format!("group g{level} {{ g{} g{} g{} }}\n", level - 1, level - 1, level - 1);
    }
    text += "record r max 9 { y: g39 }";
    load_text(&text);
}

#[test]
fn lists_of_lists_are_bounded() {
    let mut text = String::from("protocol own\ngroup g0 { x: u8 }\n");
    for level in 1..2000 {
        text += &format!("group g{level} {{ a: many g{} }}\n", level - 1);
    }
    text += "record r max 9 { y: many g1999 }";
    load_text(&text);
}

#[test]
fn choices_of_texts_in_a_row_are_bounded() {
    let mut text = String::from("protocol own\nrecord r max 999 {\n");
    for at in 0..200 {
        text += &format!(
            "    a{at}: optional {{ m: \"a\" or \"b\" or \"c\"  n: \"d\" or \"e\"  o: \"f\" or \"g\" or \"h\" or end }}\n"
        );
        text += &format!("    b{at}: \"a\" or \"b\" or \"c\" or \"d\" or end\n");
    }
    text += "}";
    load_text(&text);
}

#[test]
fn a_long_sum_is_bounded() {
    let sum = vec!["x"; 250].join(" + ");
    load_text(&format!("protocol own\nrecord r max 9 {{ x: u8  let y = {sum}  must {sum} == {sum} }}"));
    let all = vec!["x == 1"; 250].join(" and ");
    load_text(&format!("protocol own\nrecord r max 9 {{ x: u8  must {all} }}"));
    let nested = format!("{}x == 1{}", "not (".repeat(60), ")".repeat(60));
    load_text(&format!("protocol own\nrecord r max 9 {{ x: u8  must {nested} }}"));
}

#[test]
fn many_unknown_names_are_bounded() {
    let mut text = String::from("protocol own\nrecord r max 9999 {\n");
    for at in 0..3000 {
        text += &format!("    field_number_{at}: u8  must fild_number_{at} == {at}\n");
    }
    text += "}";
    load_text(&text);
}
