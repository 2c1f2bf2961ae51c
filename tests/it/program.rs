//! The `sightline` program, run as a user runs it, over a data directory.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The program with these arguments over this data directory, without a model and without settings of the outside.
pub(crate) fn sightline(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sightline"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SIGHTLINE_")) {
        command.env_remove(name);
    }
    command.env("SIGHTLINE_EMBEDDER_INSTANCES", "0").args(arguments).arg("--data").arg(data);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end and expects success.
pub(crate) fn run(data: &Path, arguments: &[&str]) -> Output {
    let output = sightline(data, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs it to its end, expects success, and reads the JSON that it printed.
pub(crate) fn json(data: &Path, arguments: &[&str]) -> Value {
    serde_json::from_slice(&run(data, arguments).stdout).unwrap()
}

/// A running program; it is killed when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}
