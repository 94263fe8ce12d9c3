//! Grammar files: from text to checked model to programs, and the resumable machine that runs them.
#![forbid(unsafe_code)]
