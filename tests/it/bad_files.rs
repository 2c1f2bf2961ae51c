//! A folder full of bad files: each is reported by name with a reason, nothing hangs, and the good files beside them
//! are ingested and found.

use std::fs::File;
use std::io::{Cursor, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::program::{Running, json, sightline};

const LONGEST: Duration = Duration::from_secs(60);
const DEPTH: usize = 100_000;
const GOOD: [&str; 6] = ["good/a.md", "good/b.txt", "good/c.html", "good/d.eml", "good/e.docx", "good/f.pdf"];

const MIXED: &str = "Subject: walrus\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"xyz\"\n\n--xyz\n\n\
                     The walrus sleeps.\n--xyz\nContent-Type: text/plain\n\nAnd the penguin.\n--xyz--\n";

fn demo(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/company").join(path)).unwrap()
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A DOCX whose text unpacks to many times its size.
fn bomb() -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("word/document.xml", SimpleFileOptions::default()).unwrap();
    zip.write_all(b"<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:body><w:p><w:r><w:t>")
        .unwrap();
    let block = vec![b'a'; 1 << 20];
    for _ in 0..512 {
        zip.write_all(&block).unwrap();
    }
    zip.write_all(b"</w:t></w:r></w:p></w:body></w:document>").unwrap();
    zip.finish().unwrap().into_inner()
}

/// The bad files, each with the code that it must be reported with.
fn spoil(top: &Path) -> Vec<(String, &'static str)> {
    let pdf = demo("finance/budget-2027.pdf");
    let docx = demo("welcome/code-of-conduct.docx");
    let files: [(&str, &str, Vec<u8>); 15] = [
        ("empty.txt", "empty", Vec::new()),
        ("blank.md", "empty", b" \n\t\n\r\n ".to_vec()),
        ("blank.html", "empty", b"<html><body> </body></html>".to_vec()),
        ("half.pdf", "damaged", pdf[..pdf.len() / 2].to_vec()),
        ("noise.pdf", "damaged", noise(100_000)),
        ("head.pdf", "damaged", [b"%PDF-1.7\n", noise(100_000).as_slice(), b"\n%%EOF\n"].concat()),
        ("latin1.txt", "not_utf8", b"Gr\xfc\xdfe aus K\xf6ln\n".to_vec()),
        ("binary.txt", "binary", b"walrus\0walrus\n".to_vec()),
        ("noise", "unsupported", noise(10_000)),
        ("bomb.docx", "zip_bomb", bomb()),
        ("half.docx", "damaged", docx[..docx.len() / 2].to_vec()),
        ("noise.docx", "damaged", noise(10_000)),
        (
            "broken.eml",
            "damaged",
            b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"x\"\n\n--y\nContent-Transfer-Encoding: base64\n\n=!!=\n"
                .to_vec(),
        ),
        ("half.eml", "damaged", MIXED.as_bytes()[..MIXED.len() - 12].to_vec()),
        ("noise.eml", "damaged", noise(10_000)),
    ];
    for (name, _, bytes) in &files {
        std::fs::write(top.join(name), bytes).unwrap();
    }
    let mut expected: Vec<_> = files.into_iter().map(|(name, code, _)| (name.to_owned(), code)).collect();
    let mut expect = |name: &str, code: &'static str| expected.push((name.to_owned(), code));

    // A hole reads as zeros and takes no space.
    File::create(top.join("huge.txt")).unwrap().set_len(200 << 20).unwrap();
    expect("huge.txt", "too_large");
    std::fs::write(top.join("deep.html"), "<div>".repeat(DEPTH) + "walrus" + &"</div>".repeat(DEPTH)).unwrap();
    expect("deep.html", "too_deep");

    let outside = top.parent().unwrap().join("outside.md");
    std::fs::write(&outside, "walrus outside\n").unwrap();
    symlink(&outside, top.join("out.md")).unwrap();
    expect("out.md", "symlink");
    symlink(top, top.join("loop")).unwrap();
    expect("loop", "symlink");
    symlink("nowhere", top.join("dangling.txt")).unwrap();
    expect("dangling.txt", "symlink");
    std::fs::create_dir(top.join("linked")).unwrap();
    symlink(top.join(".sightline.toml"), top.join("linked/.sightline.toml")).unwrap();
    std::fs::write(top.join("linked/a.md"), "walrus below a linked manifest\n").unwrap();
    expect("linked/.sightline.toml", "symlink");
    expect("linked/.sightline.toml", "manifest");

    std::fs::create_dir(top.join("piped")).unwrap();
    std::fs::write(top.join("piped/a.md"), "walrus below a piped manifest\n").unwrap();
    for (pipe, code) in [("pipe.txt", "special_file"), ("piped/.sightline.toml", "special_file")] {
        assert!(Command::new("mkfifo").arg(top.join(pipe)).status().unwrap().success());
        expect(pipe, code);
    }
    expect("piped/.sightline.toml", "manifest");

    std::fs::write(top.join(std::ffi::OsStr::from_bytes(b"caf\xe9.txt")), "walrus\n").unwrap();
    expect("caf\u{fffd}.txt", "name");
    std::fs::write(top.join("two\nlines.txt"), "walrus\n").unwrap();
    expect("two\nlines.txt", "name");

    std::fs::create_dir(top.join("shut")).unwrap();
    std::fs::write(top.join("shut/a.md"), "walrus\n").unwrap();
    std::fs::set_permissions(top.join("shut"), std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::metadata(top).unwrap().uid() == 0 {
        eprintln!("skipped: a folder without permission, which root can read");
        std::fs::remove_dir_all(top.join("shut")).unwrap();
    } else {
        expect("shut", "unreadable");
        expect("shut/.sightline.toml", "manifest");
    }
    expected.sort_unstable();
    expected
}

fn add_good_files(top: &Path) {
    std::fs::write(top.join(".sightline.toml"), "[acl]\nallow = ['everyone']\n").unwrap();
    std::fs::create_dir(top.join("good")).unwrap();
    for (path, bytes) in [
        ("good/a.md", b"# Walrus\n\nIt sleeps.\n".to_vec()),
        ("good/b.txt", b"The walrus sleeps.\n".to_vec()),
        ("good/c.html", b"<p>The walrus sleeps.</p>".to_vec()),
        ("good/d.eml", MIXED.into()),
        ("good/e.docx", demo("welcome/code-of-conduct.docx")),
        ("good/f.pdf", demo("finance/budget-2027.pdf")),
    ] {
        std::fs::write(top.join(path), bytes).unwrap();
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

#[test]
fn bad_files_are_named_and_good_ones_are_found() {
    let (dir, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let top = dir.path().join("folder");
    std::fs::create_dir(&top).unwrap();
    add_good_files(&top);
    let expected = spoil(&top);

    let started = Instant::now();
    let (printed, told) = (data.path().join("printed"), data.path().join("told"));
    let mut ingest = sightline(data.path(), &["ingest", top.to_str().unwrap(), "--source", "s", "--json"]);
    ingest.stdout(File::create(&printed).unwrap()).stderr(File::create(&told).unwrap());
    let mut ingest = Running(ingest.spawn().unwrap());
    let status = loop {
        match ingest.0.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(started.elapsed() < LONGEST, "it is still at work after {LONGEST:?}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let (printed, told) = (std::fs::read(printed).unwrap(), std::fs::read_to_string(told).unwrap());
    assert_eq!(status.code(), Some(0), "{told}");

    let report: Value = serde_json::from_slice(&printed).unwrap();
    let failures = report["failures"].as_array().unwrap();
    let mut reported: Vec<_> = failures.iter().map(|failure| (text(failure, "item").to_owned(), text(failure, "code"))).collect();
    reported.sort_unstable();
    assert_eq!(reported, expected);
    for failure in failures {
        assert!(text(failure, "detail").len() > 10, "{failure}");
        let line = text(failure, "item").replace('\n', "\u{fffd}");
        assert!(told.lines().any(|told| told.starts_with(&format!("failed: {line}: "))), "{line} is not in\n{told}");
    }
    // `linked` and `piped` each hold a good file whose rule cannot be read.
    assert_eq!((report["created"].as_u64(), report["skipped"].as_u64()), (Some(GOOD.len() as u64 + 2), Some(0)));

    let found = |query: &str| {
        let answer = json(data.path(), &["search", query, "--as", "user:ana", "--mode", "keyword", "--limit", "100", "--json"]);
        let hits = answer["hits"].as_array().unwrap().clone();
        let mut found: Vec<String> = hits.iter().map(|hit| text(&hit["citation"], "document").to_owned()).collect();
        found.sort();
        found.dedup();
        found
    };
    assert_eq!(found("walrus"), GOOD[..4]);
    assert_eq!(found("conduct"), ["good/e.docx"]);
    assert_eq!(found("budget"), ["good/f.pdf"]);

    let doctor = json(data.path(), &["doctor", "--json"]);
    let kept = doctor["jobs"][0]["failures"].as_array().unwrap();
    let mut items: Vec<&str> = expected.iter().map(|(item, _)| item.as_str()).collect();
    items.dedup();
    assert_eq!(kept.iter().map(|failure| text(failure, "item")).collect::<Vec<_>>(), items);
    assert_eq!(doctor["ok"], true, "{doctor}");
    if let Ok(metadata) = std::fs::metadata(top.join("shut")) {
        assert_eq!(metadata.permissions().mode() & 0o777, 0);
        std::fs::set_permissions(top.join("shut"), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}
