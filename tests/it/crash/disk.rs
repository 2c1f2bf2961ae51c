//! The disk that fails on command: `disk.c`, loaded into a child, the page that controls it, and what a power loss leaves.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

/// The compiled library.
pub(crate) struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    pub(crate) fn new() -> Disk {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("disk.c");
        fs::write(&source, include_str!("disk.c")).unwrap();
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let mut compile = Command::new(compiler);
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(dir.path().join("disk.so")).arg(&source).arg("-ldl");
        assert!(compile.status().unwrap().success(), "disk.c was not compiled");
        Disk { dir }
    }

    /// Puts the disk under a process.
    pub(crate) fn under(&self, command: &mut Command, root: &Path, shadow: &Path, control: &Control) {
        let root = root.canonicalize().unwrap();
        command.env("LD_PRELOAD", self.dir.path().join("disk.so")).env("DISK_ROOT", root);
        command.env("DISK_SHADOW", shadow).env("DISK_CONTROL", &control.path);
    }
}

/// The page through which the disk is told what to do: four numbers.
pub(crate) struct Control {
    path: PathBuf,
}

impl Control {
    /// A disk that works.
    pub(crate) fn new(path: &Path) -> Control {
        let words = [-1i64, -1, -1, 0];
        fs::write(path, words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
        Control { path: path.to_owned() }
    }

    /// Kills the process before its nth operation from now on.
    pub(crate) fn kill_in(&self, operations: i64) {
        self.set(0, operations);
    }

    /// Leaves so many bytes of space; negative for no limit.
    pub(crate) fn space(&self, bytes: i64) {
        self.set(1, bytes);
    }

    /// Fails the nth flush from now on.
    pub(crate) fn fail_sync_in(&self, flushes: i64) {
        self.set(2, flushes);
    }

    fn set(&self, word: u64, value: i64) {
        let mut file = File::options().write(true).open(&self.path).unwrap();
        file.seek(std::io::SeekFrom::Start(word * 8)).unwrap();
        file.write_all(&value.to_le_bytes()).unwrap();
    }
}

/// As `disk.c` names files: by inode and time of birth, since inodes are used again.
fn name(path: &Path) -> String {
    let data = fs::symlink_metadata(path).unwrap();
    // Where the file system does not know, both sides say zero.
    let born = data.created().map_or(Duration::ZERO, |born| born.duration_since(UNIX_EPOCH).unwrap());
    let kind = if data.is_dir() { 'd' } else { 'f' };
    format!("{kind}{}-{}.{:09}", data.ino(), born.as_secs(), born.subsec_nanos())
}

/// Makes the shadow of a directory in which everything is flushed.
pub(crate) fn shadow_of(dir: &Path, shadow: &Path) {
    let _ = fs::remove_dir_all(shadow);
    fs::create_dir_all(shadow).unwrap();
    remember(dir, shadow);
}

fn remember(dir: &Path, shadow: &Path) {
    let mut listing = String::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        // A merge of the engine that was closed last may still be cleaning up.
        if !path.exists() {
            continue;
        }
        listing += &format!("{} {}\n", name(&path), path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            remember(&path, shadow);
        } else {
            fs::copy(&path, shadow.join(name(&path))).unwrap();
        }
    }
    fs::write(shadow.join(name(dir)), listing).unwrap();
}

/// Replaces a directory by what of it was flushed.
pub(crate) fn lose_power(dir: &Path, shadow: &Path) {
    let left = dir.with_extension("left");
    restore(&name(dir), &left, shadow);
    fs::remove_dir_all(dir).unwrap();
    fs::rename(&left, dir).unwrap();
}

fn restore(directory: &str, to: &Path, shadow: &Path) {
    fs::create_dir_all(to).unwrap();
    let mut listing = String::new();
    if let Ok(mut file) = File::open(shadow.join(directory)) {
        file.read_to_string(&mut listing).unwrap();
    }
    for line in listing.lines() {
        let (name, file) = line.split_once(' ').unwrap();
        let to = to.join(file);
        match (name.starts_with('d'), fs::read(shadow.join(name))) {
            (true, _) => restore(name, &to, shadow),
            (false, Ok(bytes)) => fs::write(to, bytes).unwrap(),
            // Its name was flushed, its content was not.
            (false, Err(_)) => fs::write(to, []).unwrap(),
        }
    }
}
