//! The child's side of extraction: limit yourself, read one order and one file, answer, end.
//!
//! The wire is one line of JSON (format and limits) followed by the file's bytes up to the end of input; the answer is
//! one JSON value. Both sides are the same build of the same program, so the wire has no version.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};

use super::{ExtractError, ExtractLimits, Extracted, Format};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub format: Format,
    pub limits: ExtractLimits,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Extracted(Extracted),
    Failed(ExtractError),
}

impl From<Answer> for Result<Extracted, ExtractError> {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Extracted(extracted) => Ok(extracted),
            Answer::Failed(error) => Err(error),
        }
    }
}

/// An order is a few hundred bytes.
const MAX_ORDER_BYTES: u64 = 64 << 10;

/// Runs the child's side of a [`super::Sandbox`]: reads an order and a file from `stdin`, limits this process,
/// extracts, and writes the answer to `stdout`.
///
/// The process cannot be used for anything else afterwards, because its limits stay.
///
/// # Errors
/// Only for a broken pipe, an order that cannot be read, or limits that the system refuses. An extraction that fails is
/// an answer, not an error.
pub fn run_child(stdin: impl Read, mut stdout: impl Write) -> io::Result<()> {
    let mut stdin = BufReader::new(stdin);
    let mut line = String::new();
    stdin.by_ref().take(MAX_ORDER_BYTES).read_line(&mut line)?;
    let Order { format, limits } = serde_json::from_str(&line)?;
    limit_this_process(&limits)?;
    let mut bytes = Vec::new();
    stdin.take(limits.max_file_bytes).read_to_end(&mut bytes)?;
    let answer = match super::read(&bytes, format, &limits).and_then(|read| super::checked(read, format, &limits)) {
        Ok(extracted) => Answer::Extracted(extracted),
        Err(error) => Answer::Failed(error),
    };
    let mut out = io::BufWriter::new(&mut stdout);
    serde_json::to_writer(&mut out, &answer)?;
    out.flush()
}

/// Bounds memory and CPU time, forbids core dumps and writing to files.
#[cfg(unix)]
fn limit_this_process(limits: &ExtractLimits) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let set = |resource, current, maximum| setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) });
    let (memory, seconds) = (limits.child_memory_bytes, limits.child_seconds);
    #[cfg(not(target_os = "openbsd"))]
    set(Resource::As, memory, memory)?;
    // At the first number the process gets a signal that tells the reason, at the second it is killed.
    set(Resource::Cpu, seconds, seconds.saturating_add(1))?;
    set(Resource::Core, 0, 0)?;
    set(Resource::Fsize, 0, 0)?;
    Ok(())
}

/// Elsewhere only the parent's deadline holds.
#[cfg(not(unix))]
fn limit_this_process(_: &ExtractLimits) -> io::Result<()> {
    Ok(())
}
