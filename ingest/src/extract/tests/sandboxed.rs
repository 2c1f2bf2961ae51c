//! The child process: the real one, and ones that hang, flood, crash or lie.

use std::{
    ffi::OsString,
    time::{Duration, Instant},
};

use super::fixtures::pdf;
use super::*;

/// The child side, run by [`real_child`] in this test program; the test harness calls it without the variable.
#[test]
fn child_entry() {
    if std::env::var_os("SIGHTLINE_EXTRACT_CHILD").is_some() {
        let done = run_child(std::io::stdin(), std::io::stderr());
        std::process::exit(i32::from(done.is_err()));
    }
}

/// A sandbox around this test program. The harness writes to standard output, so the answer takes standard error.
fn real_child() -> Sandbox {
    let script =
        r#"SIGHTLINE_EXTRACT_CHILD=1 exec "$0" --exact extract::tests::sandboxed::child_entry --nocapture 3>&1 1>/dev/null 2>&3"#;
    let program = std::env::current_exe().unwrap().into_os_string();
    Sandbox::new("/bin/sh".into(), vec!["-c".into(), script.into(), program])
}

fn shell(script: &str) -> Sandbox {
    Sandbox::new("/bin/sh".into(), vec!["-c".into(), OsString::from(script)])
}

fn limits(child_seconds: u64) -> ExtractLimits {
    ExtractLimits { child_seconds, max_text_bytes: 1 << 20, ..ExtractLimits::default() }
}

#[test]
fn the_child_answers_like_this_process() {
    let files: [(&[u8], &str); 4] = [
        (&pdf(&["One", "Two"], ""), "application/pdf"),
        (b"<title>T</title><h1>H</h1>\x01", "text/html"),
        (b"Subject: S\r\n\r\nBody \"quoted\" \\ \x07", "message/rfc822"),
        (b"PK no archive", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ];
    for (bytes, mime) in files {
        assert_eq!(extract(bytes, mime, &limits(20), &real_child()), in_process(bytes, mime), "{mime}");
    }
}

#[test]
fn large_files_and_answers_pass_through_the_pipes() {
    let html = format!("<p>{}</p>", "word \u{7} ".repeat(60_000));
    let sandboxed = extract(html.as_bytes(), "text/html", &limits(20), &real_child()).unwrap();
    assert!(sandboxed.text.len() > 300_000);
}

#[test]
fn damaged_pdfs_end_in_time() {
    let whole = pdf(&["One", "Two", "Three"], "");
    let begun = Instant::now();
    for length in (0..whole.len()).step_by(97) {
        let answer = code(extract(&whole[..length], "application/pdf", &limits(5), &real_child()));
        assert!(["ok", "damaged", "empty", "no_text", "timeout"].contains(&answer), "{length}: {answer}");
    }
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_child_that_misbehaves_is_an_error_about_the_file() {
    let cases = [
        ("hangs", "exec /bin/sleep 60", "timeout"),
        ("hangs without reading or writing", "exec 0<&- 1>&-; exec /bin/sleep 60", "timeout"),
        ("burns its CPU time", "ulimit -S -t 1; while :; do :; done", "timeout"),
        ("crashes", "kill -SEGV $$", "damaged"),
        ("fails", "exit 7", "damaged"),
        ("floods", "exec /usr/bin/yes", "too_large"),
        ("answers nonsense", "echo nonsense", "sandbox"),
        ("lies about marks", r#"echo '{"extracted":{"title":null,"text":"é","marks":[{"at":1,"kind":{"page":1}}]}}'"#, "damaged"),
        ("lies about the text", r#"echo '{"extracted":{"title":null,"text":"a\u0000","marks":[]}}'"#, "binary"),
    ];
    let bytes = vec![b'x'; 4 << 20];
    for (what, script, expected) in cases {
        let begun = Instant::now();
        assert_eq!(code(extract(&bytes, "text/html", &limits(3), &shell(script))), expected, "{what}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
    }
    let missing = Sandbox::new("/no/such/program".into(), Vec::new());
    let error = extract(b"x", "text/html", &limits(3), &missing).unwrap_err();
    assert!(error.code() == "sandbox" && error.is_transient(), "{error}");
}

#[test]
fn the_child_is_bound_in_memory_and_time() {
    let html = "<p>a</p>".repeat(400_000);
    let tight = ExtractLimits { child_memory_bytes: 64 << 20, ..limits(60) };
    assert_eq!(code(extract(html.as_bytes(), "text/html", &tight, &real_child())), "damaged");
    let attributes: String = (0..100_000).map(|n| format!(" a{n}=1")).collect();
    let slow = format!("<p{attributes}>text</p>");
    assert_eq!(code(extract(slow.as_bytes(), "text/html", &limits(2), &real_child())), "timeout");
}
