//! Expressions are shown with brackets around everything, so that a test sees what binds to what.

use proptest::prelude::*;

use super::*;
use crate::source::SourceId;

fn show(expression: &Expression) -> String {
    use ExpressionKind::*;
    match &expression.kind {
        Number(value) => value.to_string(),
        Duration(nanos) => format!("{nanos}ns"),
        Text(text) => format!("{:?}", text.lossy()),
        Regex(pattern) => format!("/{pattern}/"),
        Address(address) => address.to_string(),
        Network(address, prefix) => format!("{address}/{prefix}"),
        Boolean(value) => value.to_string(),
        Name(name) => name.text.clone(),
        Keyword(name) => format!("<{name}>"),
        Subject => "_".to_owned(),
        Field(value, name) => format!("{}.{name}", show(value)),
        Index(value, index) => format!("{}[{}]", show(value), show(index)),
        List(entries) => format!("[{}]", entries.iter().map(show).collect::<Vec<_>>().join(" ")),
        Unary(operator, value) => format!("({operator:?} {})", show(value)),
        Binary(operator, left, right) => format!("({} {} {})", show(left), operator.as_str(), show(right)),
        In(value, Set::Of(set)) => format!("({} in {})", show(value), show(set)),
        In(value, Set::Members(members)) => {
            let member = |member: &Member| match member {
                Member::Value(value) => show(value),
                Member::Range(from, to) => format!("{}..{}", show(from), show(to)),
            };
            format!("({} in {{{}}})", show(value), members.iter().map(member).collect::<Vec<_>>().join(" "))
        }
        TextTest { operator, value, quantifier, pattern } => {
            let quantifier = quantifier.map_or(String::new(), |which| format!("{which:?} "));
            format!("({} {operator:?} {quantifier}{})", show(value), show(pattern))
        }
        Matches(value, pattern) => format!("({} ~ {})", show(value), show(pattern)),
        Is(value, pattern) => format!("({} is {:?})", show(value), pattern.lossy()),
        IsEmpty(value) => format!("({} empty)", show(value)),
        Has(value, key) => format!("({} has {})", show(value), show(key)),
        HasSeveral(value, key) => format!("({} several {})", show(value), show(key)),
        Before(value, which, delimiter) => format!("({} before {which:?} {})", show(value), show(delimiter)),
        After(value, which, delimiter) => format!("({} after {which:?} {})", show(value), show(delimiter)),
        Join(list, separator) => format!("(join {} {})", show(list), show(separator)),
        Quantified { quantifier, path, test } => format!("({quantifier:?} {} {})", show(path), show(test)),
        As { value, conversion, default } => {
            let default = default.as_ref().map_or(String::new(), |value| format!(" default {}", show(value)));
            format!("({} as {conversion}{default})", show(value))
        }
    }
}

fn with(text: &str, parse: fn(&mut Parser<'_>) -> Parsed<Expression>) -> String {
    let mut parser = Parser::new(SourceId(0), text);
    let parsed = parse(&mut parser);
    let end = parser.peek();
    let rest = parser.slice(end.span).to_owned();
    let diagnostics = parser.finish().diagnostics;
    match (parsed, diagnostics.iter().next()) {
        (Ok(expression), None) if rest.is_empty() => show(&expression),
        (Ok(expression), None) => format!("{} then {rest}", show(&expression)),
        (_, Some(first)) => format!("{}: {}", first.code, first.title),
        (Err(Reported), None) => panic!("an error without a diagnostic in {text:?}"),
    }
}

fn parse(text: &str) -> String {
    with(text, |parser| parser.expression())
}

#[test]
fn precedence() {
    assert_eq!(parse("a or b and c"), "(a or (b and c))");
    assert_eq!(parse("not a == 1 and b"), "((Not (a == 1)) and b)");
    assert_eq!(parse("flags & 6 != 0"), "((flags & 6) != 0)");
    assert_eq!(parse("a + b * 2 << 1 & c"), "(((a + (b * 2)) << 1) & c)");
    assert_eq!(parse("a - b - c"), "((a - b) - c)");
    assert_eq!(parse("-a + 1"), "((Negate a) + 1)");
    assert_eq!(parse("(a or b) and c"), "((a or b) and c)");
    assert_eq!(parse("not (length and chunked)"), "(Not (length and chunked))");
}

#[test]
fn literals() {
    assert_eq!(parse("64 KB"), "65536");
    assert_eq!(parse("64KB"), "65536");
    assert_eq!(parse("0x1F"), "31");
    assert_eq!(parse("5 min"), "300000000000ns");
    assert_eq!(parse("[10.0.0.0/8, fd00::/8, 10.0.0.1]"), "[10.0.0.0/8 fd00::/8 10.0.0.1]");
    assert_eq!(parse("true == MAIL"), "(true == <MAIL>)");
    assert_eq!(parse("4 s: u8"), "4 then s");
    assert_eq!(parse("99999999999 d"), "S3: this number is too large");
}

#[test]
fn sets() {
    assert_eq!(parse("code in (A, 2, 200..299)"), "(code in {<A> 2 200..299})");
    assert_eq!(parse("code in 1..5"), "(code in {1..5})");
    assert_eq!(parse("sender.domain not in banned and x"), "((Not (sender.domain in banned)) and x)");
    assert_eq!(parse("address in [10.0.0.0/8]"), "(address in [10.0.0.0/8])");
    assert_eq!(parse("a in (1"), "S1: expected `)`, found the end of the file");
}

#[test]
fn texts() {
    assert_eq!(parse("name ends with any risky"), "(name EndsWith Any risky)");
    assert_eq!(parse("text starts with \"CHUNK\""), "(text StartsWith \"CHUNK\")");
    assert_eq!(parse("contains_x contains all [\"a\"]"), "(contains_x Contains All [\"a\"])");
    assert_eq!(parse("a matches /b+/ or c"), "((a ~ /b+/) or c)");
    assert_eq!(parse("type is \"multipart/*\" and boundary"), "((type is \"multipart/*\") and boundary)");
    assert_eq!(parse("a is not empty"), "(Not (a empty))");
    assert_eq!(parse("lowercase (address after last \"@\")"), "(Lowercase (address after Last \"@\"))");
    assert_eq!(parse("address before first \"@\" + \"x\""), "((address before First \"@\") + \"x\")");
    assert_eq!(parse("length of a > 3"), "((LengthOf a) > 3)");
    assert_eq!(parse("length - 2"), "(length - 2)");
    assert_eq!(parse("join labels.text with \".\""), "(join labels.text \".\")");
    assert_eq!(parse("a trimmed == \"x\""), "((Trimmed a) == \"x\")");
}

#[test]
fn tables_and_conversions() {
    assert_eq!(parse("t[\"k\"] as list has \"chunked\""), "((t[\"k\"] as list) has \"chunked\")");
    assert_eq!(parse("fields has several \"X\""), "(fields several \"X\")");
    assert_eq!(
        parse("t[\"a\"] as parameters [\"f\"] or type[\"n\"]"),
        "((t[\"a\"] as parameters)[\"f\"] or type[\"n\"])"
    );
    assert_eq!(parse("t[\"a\"] as parameters default \"b\""), "(t[\"a\"] as parameters default \"b\")");
    let test = |text| with(text, |parser| parser.test());
    assert_eq!(test("a == 0 as name"), "(a == 0) then as");
    assert_eq!(test("(a as decimal) > 4 as name"), "((a as decimal) > 4) then as");
    assert_eq!(with("\"--\" + boundary trimmed", |parser| parser.sum()), "(\"--\" + boundary) then trimmed");
}

#[test]
fn quantifiers() {
    assert_eq!(parse("every lines.code == code"), "(All lines.code (_ == code))");
    assert_eq!(parse("any to.domain in banned or x"), "((Any to.domain (_ in banned)) or x)");
    assert_eq!(parse("count of any > 3"), "((CountOf any) > 3)");
    assert_eq!(
        parse("every lines.code"),
        "S1: expected a test of each element after `every ...`, found the end of the file"
    );
}

#[test]
fn tests_without_a_subject() {
    let test = |text| with(text, |parser| parser.subject_test());
    assert_eq!(test("be 0"), "(_ == 0)");
    assert_eq!(test("be >= 20"), "(_ >= 20)");
    assert_eq!(test("be in 200..599"), "(_ in {200..599})");
    assert_eq!(test("be empty as trailing"), "(_ empty) then as");
    assert_eq!(test("not be empty"), "(Not (_ empty))");
    assert_eq!(test("not in (1, 2)"), "(Not (_ in {1 2}))");
    assert_eq!(test("matches /x/"), "(_ ~ /x/)");
}

#[test]
fn operators_before_a_colon_are_labels() {
    assert_eq!(parse("size in: u8"), "size then in");
    assert_eq!(parse("size contains: u8"), "size then contains");
    assert_eq!(parse("size and: u8"), "size then and");
}

#[test]
fn what_is_wrong() {
    assert_eq!(parse("a == 1 == 2"), "S1: two tests cannot follow each other");
    assert_eq!(parse("a =="), "S1: expected a value, found the end of the file");
    assert_eq!(parse("a == and b"), "S1: expected a value, found `and`");
    assert_eq!(parse("a is b"), "S1: expected a pattern such as \"multipart/*\" or `empty` after `is`, found `b`");
    assert_eq!(
        parse("a matches \"x\""),
        "S1: expected a regular expression such as /[a-z]+/ after `matches`, found the text \"x\""
    );
    assert_eq!(parse("a + 12ab"), "S3: `12ab` is not a number");
}

#[test]
fn depth_and_height_are_bounded() {
    for (opening, closing) in
        [("(", ")"), ("[", "]"), ("not ", ""), ("-", ""), ("lowercase ", ""), ("a[", "]"), ("a in ((", "))")]
    {
        let text = format!("{}a{}", opening.repeat(100_000), closing.repeat(100_000));
        assert!(parse(&text).starts_with("S5"), "{opening}");
    }
    for chain in [" + a", ".a", "[1]", " or a", " as b", " before last \"x\"", " trimmed"] {
        assert!(parse(&format!("a{}", chain.repeat(100_000))).starts_with("S5"), "{chain}");
        assert!(!parse(&format!("a{}", chain.repeat(200))).starts_with("S5"), "{chain}");
    }
    // Lists are wide, not deep.
    assert!(parse(&format!("[{}1]", "1, ".repeat(50_000))).starts_with('['));
}

proptest! {
    #[test]
    fn any_text_ends_without_a_panic(text in "\\PC{0,80}") {
        parse(&text);
    }

    #[test]
    fn any_sequence_of_tokens_ends_without_a_panic(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "a", "A", "1", "64 KB", "\"t\"", "'r'", "/x/", "10.0.0.0/8", "(", ")", "[", "]", ".", ",", "..", "+", "-", "&",
            "==", "<", "or", "and", "not", "in", "contains", "starts", "ends", "with", "any", "all", "every", "matches",
            "is", "empty", "has", "several", "before", "after", "first", "last", "lowercase", "trimmed", "join", "count",
            "length", "of", "as", "default", "be", ":",
        ]), 0..40)
    ) {
        parse(&tokens.join(" "));
        with(&tokens.join(" "), |parser| parser.subject_test());
    }
}
