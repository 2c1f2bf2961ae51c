//! The parent's side of extraction in a child process.
//!
//! Guarantees that a hostile file costs at most the limits it was given: the child is killed at its deadline, its
//! answer is bounded, it is always waited for, and a crash is an error about the file. The child's side is
//! [`super::run_child`].

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{
    ExtractError, ExtractLimits, Extracted, Format, Measure,
    child::{Answer, Order},
};

/// How hostile formats (PDF, DOCX, HTML, mail) are read: by a child process that runs [`super::run_child`].
///
/// All four run there. Starting a process costs a few milliseconds, embedding the text costs more; in return neither an
/// endless loop, nor a stack overflow, nor an allocation bomb in any of those parsers can harm the server.
#[derive(Debug, Clone)]
pub struct Sandbox(Option<Program>);

#[derive(Debug, Clone)]
struct Program {
    program: PathBuf,
    args: Vec<OsString>,
}

/// JSON writes one byte of text as at most six, and a mark's fields take up to this many more.
const ANSWER_BYTES_PER_TEXT_BYTE: u64 = 6;
const ANSWER_BYTES_FOR_MARKS: u64 = 64 << 20;
/// A day; longer limits mean the same.
const MAX_CHILD_SECONDS: u64 = 86_400;

impl Sandbox {
    /// Reads hostile formats in a child: this program with these arguments. It inherits no environment variables.
    #[must_use]
    pub fn new(program: PathBuf, args: Vec<OsString>) -> Self {
        Self(Some(Program { program, args }))
    }

    /// Reads everything in this process, without protection: for the child itself and for tests.
    #[must_use]
    pub fn in_process() -> Self {
        Self(None)
    }

    pub(super) fn run(&self, bytes: &[u8], format: Format, limits: &ExtractLimits) -> Result<Extracted, ExtractError> {
        match &self.0 {
            None => super::read(bytes, format, limits),
            Some(program) => program.run(bytes, format, limits),
        }
    }
}

impl Program {
    fn run(&self, bytes: &[u8], format: Format, limits: &ExtractLimits) -> Result<Extracted, ExtractError> {
        let mut order =
            serde_json::to_vec(&Order { format, limits: limits.clone() }).map_err(|error| self.cannot_run(&error.into()))?;
        order.push(b'\n');
        let mut child = self.spawn().map_err(|error| self.cannot_run(&error))?;
        let deadline = Instant::now() + Duration::from_secs(limits.child_seconds.min(MAX_CHILD_SECONDS));
        let timed_out = ExtractError::TimedOut { format, seconds: limits.child_seconds };
        let max_answer = limits.max_text_bytes.saturating_mul(ANSWER_BYTES_PER_TEXT_BYTE).saturating_add(ANSWER_BYTES_FOR_MARKS);
        let (answer, status) = converse(&mut child, &order, bytes, max_answer, deadline);
        let status = status.map_err(|error| self.cannot_run(&error))?;
        let (Some(answer), Some(status)) = (answer, status) else {
            return Err(timed_out);
        };
        let answer = answer.map_err(|error| self.cannot_run(&error))?;
        if answer.len() as u64 > max_answer {
            return Err(ExtractError::TooLarge { measure: Measure::Text, limit: limits.max_text_bytes });
        }
        if !status.success() {
            let out_of_time = ended_by_cpu_limit(status);
            let detail = format!("its parser ended with {status}, at a defect of the file or for lack of memory");
            return Err(if out_of_time { timed_out } else { ExtractError::Damaged { format, detail } });
        }
        let answer: Answer = serde_json::from_slice(&answer).map_err(|error| self.cannot_run(&error.into()))?;
        answer.into()
    }

    fn spawn(&self) -> io::Result<Child> {
        Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
    }

    fn cannot_run(&self, error: &io::Error) -> ExtractError {
        ExtractError::Sandbox { program: self.program.display().to_string(), reason: error.to_string() }
    }
}

/// Sends the order and reads the answer at the same time, so that neither side can wait for the other to read, then
/// waits for the child to end. The answer is `None` when the deadline passed.
fn converse(
    child: &mut Child,
    order: &[u8],
    bytes: &[u8],
    max_answer: u64,
    deadline: Instant,
) -> (Option<io::Result<Vec<u8>>>, io::Result<Option<ExitStatus>>) {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            // A child that fails early closes its end; its status tells more than this error.
            stdin.map(|mut stdin| stdin.write_all(order).and_then(|()| stdin.write_all(bytes)))
        });
        scope.spawn(move || {
            let mut answer = Vec::new();
            let read = stdout.map_or(Ok(0), |stdout| stdout.take(max_answer.saturating_add(1)).read_to_end(&mut answer));
            let _ = sender.send(read.map(|_| answer));
        });
        let answer = receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok();
        // Both threads end with the child, at the latest at the deadline, because its ends of the pipes close.
        (answer, wait_until(child, deadline))
    })
}

/// Waits for a child; `None` means that it had to be killed at the deadline.
fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_micros(200));
    }
    child.kill()?;
    child.wait().map(|_| None)
}

#[cfg(unix)]
fn ended_by_cpu_limit(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(rustix::process::Signal::XCPU.as_raw())
}

#[cfg(not(unix))]
fn ended_by_cpu_limit(_: ExitStatus) -> bool {
    false
}
