//! The register of all codes that a message about a grammar or a policy can carry.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($code:ident $title:literal)*) => {
        /// The stable code of a diagnostic. Each has a page in `docs/codes/`.
        ///
        /// A code is never given to another meaning: people search for them, silence them and write them in tickets. A check that
        /// goes away leaves its number unused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $code,)*
        }

        impl Code {
            /// Every code, in the order of the register.
            pub const ALL: &'static [Code] = &[$(Code::$code),*];

            /// The code as it is printed, `C4`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Code::$code => stringify!($code),)*
                }
            }

            /// What the check is about, in one line.
            pub fn title(self) -> &'static str {
                match self {
                    $(Code::$code => $title,)*
                }
            }
        }
    };
}

// S: the text is not of the language. C: it is, and what it says cannot be right.
codes! {
    S1 "Unexpected word or sign."
    S2 "Text, expression or comment without an end."
    S3 "Not a number, an escape or an address."
    S4 "Unknown construct."
    S5 "Nested too deep or too large."
    S6 "Not supported yet."
    S7 "The same name or clause twice."
    S8 "List that cannot be read."
    C1 "Unknown name."
    C2 "Rule that is never reached."
    C3 "State that cannot be reached, has no way out, or where nothing can happen."
    C4 "Two branches accept the same input."
    C5 "The end of a repetition cannot be told from what follows."
    C6 "Repetition of something that may be empty."
    C7 "Held data without a maximum."
    C8 "Table, queue, recursion or jump without a bound."
    C9 "Arithmetic that can leave its range."
    C10 "Value that may be absent, or has not been read yet."
    C11 "Types that do not fit."
    C12 "Length or count that nothing uses."
    C13 "Keyword that can never match."
    C14 "Window whose rest nobody reads."
    C15 "Tolerated end of line at an end of data, and nobody is told."
    C16 "Channel left open, or written to after its end."
    C17 "Policy asks for what the protocol does not give."
    C18 "Choice that does not cover every value."
    C19 "Length or count that depends on itself, or stands behind what it describes."
    C20 "Branch that no example exercises."
    C21 "Construct without effect."
    C22 "Example that does not give what it says."
    C23 "Anomaly without a canonical form."
    C24 "Hold that does not come to its end."
}

impl Code {
    /// The code of this name, in either case.
    pub fn parse(text: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_name() {
        for &code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(code));
            assert!(code.title().ends_with('.'));
        }
        assert_eq!(Code::parse("c4"), Some(Code::C4));
        assert_eq!(Code::parse("C99"), None);
    }
}
