//! The shape of the workspace: dependencies point from `src` to `ingest` to `index` and never back, every file says what
//! it is, and nothing has a name that could hold anything.

use std::path::{Path, PathBuf};

const CRATES: [(&str, &str, &[&str]); 2] = [
    ("index", "index/Cargo.toml", &["sightline", "sightline-ingest", "axum", "tokio"]),
    ("ingest", "ingest/Cargo.toml", &["sightline", "axum"]),
];
const SHAPELESS: [&str; 6] = ["common", "utils", "helpers", "types", "core", "manager"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the project, with its path from the root.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut pending: Vec<PathBuf> =
        ["src", "index", "ingest", "tests", "benches"].iter().map(|part| root().join(part)).filter(|part| part.is_dir()).collect();
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 80, "only {} files were found", found.len());
    found
}

/// Every package that a manifest names as a dependency, of whatever kind and for whatever platform.
fn dependencies(table: &toml::Table) -> Vec<String> {
    let mut names = Vec::new();
    for (key, value) in table {
        let Some(value) = value.as_table() else { continue };
        if key.ends_with("dependencies") {
            for (name, dependency) in value {
                let renamed = dependency.get("package").and_then(toml::Value::as_str);
                names.push(renamed.unwrap_or(name).to_owned());
            }
        } else {
            names.extend(dependencies(value));
        }
    }
    names
}

fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(part) && !line[at + word.len()..].chars().next().is_some_and(part)
    })
}

#[test]
fn dependencies_point_one_way() {
    for (name, manifest, forbidden) in CRATES {
        let table: toml::Table = toml::from_str(&std::fs::read_to_string(root().join(manifest)).unwrap()).unwrap();
        let dependencies = dependencies(&table);
        assert!(dependencies.len() > 5, "{name}: {dependencies:?}");
        let wrong: Vec<_> = dependencies.iter().filter(|dependency| forbidden.contains(&dependency.as_str())).collect();
        assert!(wrong.is_empty(), "{name} depends on {wrong:?}");
    }
    let table: toml::Table = toml::from_str(&std::fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap();
    assert_eq!(table["package"]["name"].as_str(), Some("sightline"));
    assert!(dependencies(&table).iter().any(|dependency| dependency == "sightline-ingest"));
}

#[test]
fn lower_crates_do_not_name_higher_ones() {
    for (path, text) in sources() {
        let words: &[&str] = if path.starts_with("index") {
            &["sightline_ingest", "axum", "tokio"]
        } else if path.starts_with("ingest") {
            &["axum"]
        } else {
            continue;
        };
        for (number, line) in (1..).zip(text.lines()) {
            let wrong = words.iter().find(|word| has_word(line, word));
            let program = has_word(line, "sightline") && (line.contains("sightline::") || line.contains("extern crate"));
            assert!(wrong.is_none() && !program, "{}:{number}: {line}", path.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (path, text) in sources() {
        let lines = text.lines().take_while(|line| line.starts_with("//!")).count();
        // A bench also says what it measures on what, and how it is run.
        let most = if path.starts_with("benches") { 16 } else { 12 };
        assert!((1..=most).contains(&lines), "{} opens with {lines} lines of //!", path.display());
    }
}

#[test]
fn nothing_has_a_shapeless_name() {
    for (path, text) in sources() {
        let stems = path.iter().map(|part| Path::new(part).file_stem().unwrap().to_str().unwrap());
        let wrong = stems.clone().find(|stem| SHAPELESS.contains(stem));
        assert!(wrong.is_none(), "{} is called {wrong:?}", path.display());
        for line in text.lines() {
            let module = line.trim().trim_start_matches("pub ").trim_start_matches("pub(crate) ").strip_prefix("mod ");
            let name = module.map(|rest| rest.trim_end_matches([';', '{', ' ']));
            assert!(!name.is_some_and(|name| SHAPELESS.contains(&name)), "{}: {line}", path.display());
        }
    }
}
