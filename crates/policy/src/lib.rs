//! Policy files, checked against the schemes that grammars export, and their evaluation.
#![forbid(unsafe_code)]
