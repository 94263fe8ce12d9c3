//! The parser of expressions: precedence climbing over the table in the documentation of [`Expression`].

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::expression::{
    BinaryOperator, Expression, ExpressionKind, Member, Occurrence, Quantifier, Set, TextOperator, UnaryOperator,
};
use crate::limits::MAX_EXPRESSION_HEIGHT;
use crate::parser::{Parsed, Parser, Reported};
use crate::source::Span;
use crate::token::{self, Symbol, Token, TokenKind};

mod literal;
#[cfg(test)]
mod tests;

pub use literal::is_keyword;

// Rows of the table in `expression.rs`.
const OR: u8 = 1;
const AND: u8 = 2;
const TEST: u8 = 4;
const BITS: u8 = 5;
const SHIFT: u8 = 6;
const SUM: u8 = 7;
const PRODUCT: u8 = 8;
const SUFFIX: u8 = 10;

/// Words that continue or end a clause, and so never begin an operand.
const RESERVED: &[&str] =
    &["and", "as", "be", "contains", "default", "has", "in", "is", "matches", "must", "or", "should", "when", "with"];

/// What belongs to an expression where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Suffixes {
    /// Everything.
    All,
    /// No `as`, which belongs to what is around: `should TEST as anomaly`.
    NoConversion,
    /// No words behind an operand at all: `until ">" trimmed`.
    None,
}

/// An expression and how high its tree is.
struct Tree {
    expression: Expression,
    height: usize,
}

/// Expressions.
impl Parser<'_> {
    /// Reads an expression, with all operators.
    pub fn expression(&mut self) -> Parsed<Expression> {
        self.row(OR, Suffixes::All).map(|tree| tree.expression)
    }

    /// Reads an expression behind which an `as NAME` means something else: `should TEST as anomaly`.
    ///
    /// A conversion inside stands in brackets.
    pub fn test(&mut self) -> Parsed<Expression> {
        self.row(OR, Suffixes::NoConversion).map(|tree| tree.expression)
    }

    /// Reads sums and products of operands, without tests and without words behind an operand: sizes, delimiters, ends of ranges.
    pub fn sum(&mut self) -> Parsed<Expression> {
        self.row(BITS, Suffixes::None).map(|tree| tree.expression)
    }

    /// Reads one operand: a literal, `a.b["c"]`, or an expression in brackets.
    pub fn operand(&mut self) -> Parsed<Expression> {
        self.primary().map(|tree| tree.expression)
    }

    /// Whether the next token can begin an operand.
    pub fn at_operand(&mut self) -> bool {
        let token = self.peek();
        match token.kind {
            TokenKind::Word => !RESERVED.contains(&self.slice(token.span)),
            TokenKind::Number | TokenKind::Address | TokenKind::Text | TokenKind::Raw | TokenKind::Regex => true,
            TokenKind::Symbol(symbol) => matches!(symbol, Symbol::ParenOpen | Symbol::BracketOpen),
            TokenKind::Class | TokenKind::End | TokenKind::Bad(_) => false,
        }
    }

    /// Whether a test without a subject begins here: `be 0`, `not be empty`, `>= 2`, `in (1, 2)`.
    pub fn at_subject_test(&mut self) -> bool {
        self.at_word("be") || self.at_words("not", "be") || self.at_words("not", "in") || self.at_test_operator()
    }

    /// Reads a test of which [`ExpressionKind::Subject`] is the subject: `be 0`, `not be empty`, `be in (1, 2)`, `>= 2`.
    pub fn subject_test(&mut self) -> Parsed<Expression> {
        let start = self.peek().span;
        let negated = if self.at_words("not", "be") { self.eat_word("not") } else { None };
        let subject = |span| Tree { expression: Expression { kind: ExpressionKind::Subject, span }, height: 1 };
        let tree = if let Some(be) = self.eat_word("be") {
            if self.at_test_operator() || self.at_words("not", "in") {
                self.test_operator(subject(be), Suffixes::NoConversion)?
            } else if let Some(empty) = self.eat_clause("empty") {
                self.unary_kind(subject(be), empty, ExpressionKind::IsEmpty)?
            } else {
                let value = self.row(BITS, Suffixes::NoConversion)?;
                self.binary(BinaryOperator::Equal, subject(be), value)?
            }
        } else {
            self.test_operator(subject(Span { end: start.start, ..start }), Suffixes::NoConversion)?
        };
        let span = self.since(start);
        let expression = Expression { span, ..tree.expression };
        match negated {
            Some(_) => {
                let kind = ExpressionKind::Unary(UnaryOperator::Not, Box::new(expression));
                Ok(Expression { kind, span })
            }
            None => Ok(expression),
        }
    }

    // Everything of this row and tighter ones.
    fn row(&mut self, least: u8, suffixes: Suffixes) -> Parsed<Tree> {
        let mut left = self.prefix(least, suffixes)?;
        loop {
            if least <= TEST && (self.at_test_operator() || self.at_words("not", "in")) {
                left = self.test_operator(left, suffixes)?;
                continue;
            }
            if least <= SUFFIX && self.at_suffix(suffixes) {
                left = self.suffix(left, suffixes)?;
                continue;
            }
            let Some((row, operator)) = self.at_binary() else { return Ok(left) };
            if row < least {
                return Ok(left);
            }
            self.advance();
            let right = self.row(row + 1, suffixes)?;
            left = self.binary(operator, left, right)?;
        }
    }

    fn at_binary(&mut self) -> Option<(u8, BinaryOperator)> {
        if self.at_clause("or") {
            return Some((OR, BinaryOperator::Or));
        }
        // `lines until "." and lookalikes as anomaly x` goes on with something else.
        if self.at_clause("and") {
            return Some((AND, BinaryOperator::And));
        }
        let TokenKind::Symbol(symbol) = self.peek().kind else { return None };
        match symbol {
            Symbol::Ampersand => Some((BITS, BinaryOperator::BitAnd)),
            Symbol::ShiftLeft => Some((SHIFT, BinaryOperator::ShiftLeft)),
            Symbol::ShiftRight => Some((SHIFT, BinaryOperator::ShiftRight)),
            Symbol::Plus => Some((SUM, BinaryOperator::Add)),
            Symbol::Minus => Some((SUM, BinaryOperator::Subtract)),
            Symbol::Star => Some((PRODUCT, BinaryOperator::Multiply)),
            _ => None,
        }
    }

    fn at_test_operator(&mut self) -> bool {
        if comparison(self.peek()).is_some() || self.at_words("starts", "with") || self.at_words("ends", "with") {
            return true;
        }
        ["in", "contains", "matches", "is", "has"].into_iter().any(|word| self.at_clause(word))
    }

    // One operator of row 4 and its right side.
    fn test_operator(&mut self, left: Tree, suffixes: Suffixes) -> Parsed<Tree> {
        let token = self.advance();
        let tree = match (comparison(token), self.slice(token.span)) {
            (Some(operator), _) => {
                let right = self.row(BITS, suffixes)?;
                self.binary(operator, left, right)?
            }
            (None, "not") => {
                self.advance();
                let inside = self.membership(left, suffixes)?;
                self.negate(inside)?
            }
            (None, "in") => self.membership(left, suffixes)?,
            (None, "contains") => self.text_test(TextOperator::Contains, left, suffixes)?,
            (None, "starts") => {
                self.advance();
                self.text_test(TextOperator::StartsWith, left, suffixes)?
            }
            (None, "ends") => {
                self.advance();
                self.text_test(TextOperator::EndsWith, left, suffixes)?
            }
            (None, "matches") => {
                if self.peek().kind != TokenKind::Regex {
                    return Err(self.unexpected("a regular expression such as /[a-z]+/ after `matches`"));
                }
                let pattern = self.primary()?;
                self.pair(left, pattern, ExpressionKind::Matches)?
            }
            (None, "is") => self.shape(left)?,
            (None, _) => {
                let several = self.eat_clause("several").is_some();
                let key = self.row(BITS, suffixes)?;
                self.pair(left, key, if several { ExpressionKind::HasSeveral } else { ExpressionKind::Has })?
            }
        };
        if self.at_test_operator() || self.at_words("not", "in") {
            let next = self.peek();
            return Err(self.report(
                Diagnostic::error(Code::S1, "two tests cannot follow each other")
                    .primary(next.span, "")
                    .secondary(tree.expression.span, "this is a test already")
                    .help("join them with `and`, naming the value twice: `a > 1 and a < 5`, or write `a in 2..4`"),
            ));
        }
        Ok(tree)
    }

    // `is "pattern*"`, `is empty`, `is not empty`.
    fn shape(&mut self, left: Tree) -> Parsed<Tree> {
        let negated = self.eat_clause("not").is_some();
        let tree = if let Some(empty) = self.eat_clause("empty") {
            self.unary_kind(left, empty, ExpressionKind::IsEmpty)?
        } else if matches!(self.peek().kind, TokenKind::Text | TokenKind::Raw) {
            let pattern = self.text("a pattern")?;
            let span = left.expression.span.to(pattern.span);
            self.unary_kind(left, span, |value| ExpressionKind::Is(value, pattern))?
        } else {
            let diagnostic = self
                .unexpected_here("a pattern such as \"multipart/*\" or `empty` after `is`")
                .help("values are compared with `==`");
            return Err(self.report_at_token(diagnostic));
        };
        if negated { self.negate(tree) } else { Ok(tree) }
    }

    fn membership(&mut self, left: Tree, suffixes: Suffixes) -> Parsed<Tree> {
        let start = left.expression.span;
        let mut height = left.height;
        let set = if self.at(Symbol::ParenOpen) {
            Set::Members(self.members(&mut height)?)
        } else {
            let from = self.row(BITS, suffixes)?;
            height = height.max(from.height);
            if self.eat(Symbol::DotDot).is_some() {
                let to = self.row(BITS, suffixes)?;
                height = height.max(to.height);
                Set::Members(vec![Member::Range(from.expression, to.expression)])
            } else {
                Set::Of(Box::new(from.expression))
            }
        };
        let kind = ExpressionKind::In(Box::new(left.expression), set);
        self.tree(kind, self.since(start), height)
    }

    fn members(&mut self, height: &mut usize) -> Parsed<Vec<Member>> {
        self.nested(|p| {
            let open = p.expect(Symbol::ParenOpen, "before the values")?;
            let mut members = Vec::new();
            loop {
                if p.eat(Symbol::ParenClose).is_some() {
                    break;
                }
                let from = p.row(BITS, Suffixes::All)?;
                *height = (*height).max(from.height);
                members.push(if p.eat(Symbol::DotDot).is_some() {
                    let to = p.row(BITS, Suffixes::All)?;
                    *height = (*height).max(to.height);
                    Member::Range(from.expression, to.expression)
                } else {
                    Member::Value(from.expression)
                });
                if p.eat(Symbol::Comma).is_none() {
                    p.closing(Symbol::ParenClose, open)?;
                    break;
                }
            }
            Ok(members)
        })
    }

    fn text_test(&mut self, operator: TextOperator, left: Tree, suffixes: Suffixes) -> Parsed<Tree> {
        let quantifier = if self.eat_clause("any").is_some() {
            Some(Quantifier::Any)
        } else if self.eat_clause("all").is_some() {
            Some(Quantifier::All)
        } else {
            None
        };
        let pattern = self.row(BITS, suffixes)?;
        self.pair(left, pattern, |value, pattern| ExpressionKind::TextTest { operator, value, quantifier, pattern })
    }

    // Words before an operand.
    fn prefix(&mut self, least: u8, suffixes: Suffixes) -> Parsed<Tree> {
        let start = self.peek().span;
        if self.at(Symbol::Minus) {
            self.advance();
            let operand = self.nested(|p| p.prefix(SUFFIX, suffixes))?;
            return self.unary(UnaryOperator::Negate, start, operand);
        }
        if self.at_prefix("not") || self.at_clause("not") && self.at_test_of_stream(1) {
            self.advance();
            let operand = self.nested(|p| p.row(TEST, suffixes))?;
            return self.unary(UnaryOperator::Not, start, operand);
        }
        for (word, operator) in [("lowercase", UnaryOperator::Lowercase), ("uppercase", UnaryOperator::Uppercase)] {
            if self.at_prefix(word) {
                self.advance();
                let operand = self.nested(|p| p.prefix(SUFFIX, suffixes))?;
                return self.unary(operator, start, operand);
            }
        }
        for (word, operator) in [("length", UnaryOperator::LengthOf), ("count", UnaryOperator::CountOf)] {
            if self.eat_words(word, "of").is_some() {
                let operand = self.nested(|p| p.prefix(SUFFIX, suffixes))?;
                return self.unary(operator, start, operand);
            }
        }
        if self.at_prefix("join") {
            self.advance();
            let list = self.nested(Parser::primary)?;
            self.expect_word("with", "after what is to be joined")?;
            let separator = self.nested(Parser::primary)?;
            let tree = self.pair(list, separator, ExpressionKind::Join)?;
            let span = self.since(start);
            return Ok(Tree { expression: Expression { span, ..tree.expression }, ..tree });
        }
        for (word, quantifier) in [("every", Quantifier::All), ("all", Quantifier::All), ("any", Quantifier::Any)] {
            if least <= TEST && self.at_prefix(word) {
                self.advance();
                return self.quantified(word, quantifier, start, suffixes);
            }
        }
        // `contains "x"` and `matches /x/` alone are about the stream that the rule is on.
        if least <= TEST && self.at_test_of_stream(0) {
            let span = Span { end: start.start, ..start };
            let subject = Tree { expression: Expression { kind: ExpressionKind::Subject, span }, height: 1 };
            return self.test_operator(subject, suffixes);
        }
        self.primary()
    }

    // Whether `contains "x"`, `contains any ...` or `matches /x/` stands behind so many tokens.
    fn at_test_of_stream(&mut self, distance: usize) -> bool {
        let (word, next) = (self.peek_at(distance), self.peek_at(distance + 1));
        if word.kind != TokenKind::Word {
            return false;
        }
        match self.slice(word.span) {
            "matches" => next.kind == TokenKind::Regex,
            "contains" => match next.kind {
                TokenKind::Text | TokenKind::Raw => true,
                TokenKind::Word => matches!(self.slice(next.span), "any" | "all"),
                _ => false,
            },
            _ => false,
        }
    }

    // Whether this word is next and an operand follows: otherwise it is a name.
    fn at_prefix(&mut self, word: &str) -> bool {
        if !self.at_clause(word) {
            return false;
        }
        let next = self.second();
        match next.kind {
            TokenKind::Word => !RESERVED.contains(&self.slice(next.span)),
            TokenKind::Symbol(symbol) => matches!(symbol, Symbol::ParenOpen | Symbol::Minus),
            TokenKind::End => false,
            _ => true,
        }
    }

    fn quantified(&mut self, word: &str, quantifier: Quantifier, start: Span, suffixes: Suffixes) -> Parsed<Tree> {
        let path = self.nested(Parser::primary)?;
        if !self.at_test_operator() && !self.at_words("not", "in") {
            let expected = format!("a test of each element after `{word} ...`");
            let diagnostic = self.unexpected_here(&expected).help(format!("for example `{word} lines.code == 250`"));
            return Err(self.report_at_token(diagnostic));
        }
        let span = path.expression.span;
        let subject = Tree { expression: Expression { kind: ExpressionKind::Subject, span }, height: 1 };
        let test = self.nested(|p| p.test_operator(subject, suffixes))?;
        let tree = self.pair(path, test, |path, test| ExpressionKind::Quantified { quantifier, path, test })?;
        let span = self.since(start);
        Ok(Tree { expression: Expression { span, ..tree.expression }, ..tree })
    }

    fn at_suffix(&mut self, suffixes: Suffixes) -> bool {
        if suffixes == Suffixes::None {
            return false;
        }
        let conversion = suffixes == Suffixes::All && self.at_clause("as");
        let part = (self.at_word("before") || self.at_word("after")) && {
            let next = self.second();
            matches!(self.slice(next.span), "first" | "last")
        };
        conversion || part || self.at_clause("trimmed")
    }

    // Words behind an operand.
    fn suffix(&mut self, left: Tree, suffixes: Suffixes) -> Parsed<Tree> {
        let token = self.advance();
        match self.slice(token.span) {
            "trimmed" => {
                let span = left.expression.span.to(token.span);
                self.unary_kind(left, span, |value| ExpressionKind::Unary(UnaryOperator::Trimmed, value))
            }
            "as" => {
                let start = left.expression.span;
                let conversion = self.name("the name of a conversion after `as`")?;
                let mut height = left.height;
                let default = if self.eat_clause("default").is_some() {
                    let value = self.nested(|p| p.prefix(SUFFIX, Suffixes::None))?;
                    height = height.max(value.height);
                    Some(Box::new(value.expression))
                } else {
                    None
                };
                let kind = ExpressionKind::As { value: Box::new(left.expression), conversion, default };
                let tree = self.tree(kind, self.since(start), height)?;
                self.selections(tree)
            }
            side => {
                let before = side == "before";
                let which = self.advance();
                let occurrence = if self.slice(which.span) == "first" { Occurrence::First } else { Occurrence::Last };
                let delimiter = self.nested(|p| p.prefix(SUFFIX, suffixes))?;
                self.pair(left, delimiter, |value, delimiter| match before {
                    true => ExpressionKind::Before(value, occurrence, delimiter),
                    false => ExpressionKind::After(value, occurrence, delimiter),
                })
            }
        }
    }

    // A literal, a name, brackets; then `.name` and `[index]`.
    fn primary(&mut self) -> Parsed<Tree> {
        let token = self.peek();
        let kind = match token.kind {
            TokenKind::Word if self.at_operand() => {
                self.advance();
                self.word_kind(token)
            }
            TokenKind::Number => {
                self.advance();
                self.number_kind(token)?
            }
            TokenKind::Address => {
                self.advance();
                match token::address_value(self.slice(token.span)) {
                    Some((address, Some(prefix))) => ExpressionKind::Network(address, prefix),
                    Some((address, None)) => ExpressionKind::Address(address),
                    None => return Err(Reported),
                }
            }
            TokenKind::Text | TokenKind::Raw => {
                self.advance();
                ExpressionKind::Text(self.text_of(token)?)
            }
            TokenKind::Regex => {
                self.advance();
                let raw = self.slice(token.span);
                ExpressionKind::Regex(raw.get(1..raw.len().saturating_sub(1)).unwrap_or("").to_owned())
            }
            TokenKind::Symbol(Symbol::ParenOpen) => {
                let tree = self.nested(|p| {
                    let open = p.advance().span;
                    let tree = p.row(OR, Suffixes::All)?;
                    p.closing(Symbol::ParenClose, open)?;
                    Ok(tree)
                })?;
                return self.selections(tree);
            }
            TokenKind::Symbol(Symbol::BracketOpen) => return self.nested(Parser::list),
            _ => return Err(self.unexpected("a value")),
        };
        let tree = self.tree(kind, self.since(token.span), 0)?;
        // A number or a text has no fields: a `[` behind it begins something else.
        if token.kind == TokenKind::Word { self.selections(tree) } else { Ok(tree) }
    }

    fn list(&mut self) -> Parsed<Tree> {
        let open = self.advance().span;
        let mut entries = Vec::new();
        let mut height = 0;
        loop {
            if self.eat(Symbol::BracketClose).is_some() {
                break;
            }
            let entry = self.row(OR, Suffixes::All)?;
            height = height.max(entry.height);
            entries.push(entry.expression);
            if self.eat(Symbol::Comma).is_none() {
                self.closing(Symbol::BracketClose, open)?;
                break;
            }
        }
        self.tree(ExpressionKind::List(entries), self.since(open), height)
    }

    fn selections(&mut self, mut tree: Tree) -> Parsed<Tree> {
        loop {
            if self.at(Symbol::Dot) {
                self.advance();
                let name = self.name("the name of a field after the dot")?;
                let span = tree.expression.span.to(name.span);
                tree = self.unary_kind(tree, span, |value| ExpressionKind::Field(value, name))?;
            } else if self.at(Symbol::BracketOpen) {
                let index = self.nested(|p| {
                    let open = p.advance().span;
                    let index = p.row(OR, Suffixes::All)?;
                    p.closing(Symbol::BracketClose, open)?;
                    Ok(index)
                })?;
                let start = tree.expression.span;
                tree = self.pair(tree, index, ExpressionKind::Index)?;
                tree.expression.span = self.since(start);
            } else {
                return Ok(tree);
            }
        }
    }

    fn closing(&mut self, symbol: Symbol, open: Span) -> Parsed<Span> {
        if let Some(span) = self.eat(symbol) {
            return Ok(span);
        }
        let diagnostic =
            self.unexpected_here(&format!("`{}`", symbol.as_str())).secondary(open, "to close this bracket");
        Err(self.report_at_token(diagnostic))
    }

    fn unary(&mut self, operator: UnaryOperator, start: Span, operand: Tree) -> Parsed<Tree> {
        let span = start.to(operand.expression.span);
        self.unary_kind(operand, span, |value| ExpressionKind::Unary(operator, value))
    }

    fn negate(&mut self, tree: Tree) -> Parsed<Tree> {
        let span = tree.expression.span;
        self.unary(UnaryOperator::Not, span, tree)
    }

    // `span` is joined with the one of the operand.
    fn unary_kind(
        &mut self,
        operand: Tree,
        span: Span,
        kind: impl FnOnce(Box<Expression>) -> ExpressionKind,
    ) -> Parsed<Tree> {
        let span = operand.expression.span.to(span);
        self.tree(kind(Box::new(operand.expression)), span, operand.height)
    }

    fn binary(&mut self, operator: BinaryOperator, left: Tree, right: Tree) -> Parsed<Tree> {
        self.pair(left, right, |left, right| ExpressionKind::Binary(operator, left, right))
    }

    fn pair(
        &mut self,
        left: Tree,
        right: Tree,
        kind: impl FnOnce(Box<Expression>, Box<Expression>) -> ExpressionKind,
    ) -> Parsed<Tree> {
        let span = left.expression.span.to(right.expression.span);
        let height = left.height.max(right.height);
        self.tree(kind(Box::new(left.expression), Box::new(right.expression)), span, height)
    }

    // Trees are bounded because everybody who walks one recurses, beginning with its `Drop`.
    fn tree(&mut self, kind: ExpressionKind, span: Span, below: usize) -> Parsed<Tree> {
        let height = below + 1;
        if height > MAX_EXPRESSION_HEIGHT {
            return Err(self.report(
                Diagnostic::error(Code::S5, format!("this expression has more than {MAX_EXPRESSION_HEIGHT} levels"))
                    .primary(self.previous(), "up to here it is deep enough")
                    .help("name a part of it with `let`, or write many alternatives as `x in (a, b, c)`"),
            ));
        }
        Ok(Tree { expression: Expression { kind, span }, height })
    }
}

fn comparison(token: Token) -> Option<BinaryOperator> {
    let TokenKind::Symbol(symbol) = token.kind else { return None };
    match symbol {
        Symbol::EqualEqual => Some(BinaryOperator::Equal),
        Symbol::NotEqual => Some(BinaryOperator::NotEqual),
        Symbol::Less => Some(BinaryOperator::Less),
        Symbol::LessEqual => Some(BinaryOperator::LessOrEqual),
        Symbol::Greater => Some(BinaryOperator::Greater),
        Symbol::GreaterEqual => Some(BinaryOperator::GreaterOrEqual),
        _ => None,
    }
}
