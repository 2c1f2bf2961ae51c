//! The demo on the sample company: it succeeds, twice, and nobody is shown what is not theirs.

use std::path::Path;

use serde::Deserialize;
use sightline_index::{Caller, Engine, Hit, MAX_LIMIT, Mode, Options, Principal, Query, Timestamp};
use sightline_ingest::Embedder;
use tempfile::TempDir;

use crate::program::sightline;

const SOURCE: &str = "halden";
const LIMITS: [usize; 4] = [1, 5, 20, MAX_LIMIT];
const MODES: [Mode; 3] = [Mode::Keyword, Mode::Vector, Mode::Hybrid];

#[derive(Deserialize)]
struct Questions {
    question: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    ask: String,
    #[serde(rename = "as")]
    caller: String,
    also: String,
    forbid: String,
}

fn demo() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo")
}

fn caller(name: &str) -> Caller {
    if name == "public" { Caller::public() } else { Caller::user(Principal::parse(name).unwrap()).unwrap() }
}

/// Runs the demo to its end and returns what it printed.
fn run(data: &Path, model: &Path) -> String {
    let demo = demo();
    let mut command = sightline(data, &["demo", demo.to_str().unwrap(), "--once", "--listen", "127.0.0.1:0"]);
    let output = command.env("SIGHTLINE_EMBEDDER_INSTANCES", "2").env("SIGHTLINE_MODEL", model).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    String::from_utf8(output.stdout).unwrap()
}

/// The number at the start of a line of the summary, such as `chunks      57 (50 embedded)`.
fn counted<'a>(printed: &'a str, name: &str) -> &'a str {
    printed.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} is not in\n{printed}")).trim()
}

/// Everything that asks questions of the ingested company.
struct Asker {
    engine: Engine,
    embedder: Embedder,
}

impl Asker {
    fn ask(&self, who: &str, text: &str, mode: Mode, limit: usize) -> Vec<Hit> {
        let vector = (mode != Mode::Keyword).then(|| self.embedder.embed(text).unwrap());
        let query = Query { text: text.to_owned(), vector, mode, limit, ..Query::default() };
        self.engine.search(&caller(who), &query, Timestamp::now()).unwrap().hits
    }

    /// Asserts that a citation says where the passage stands in the document as the caller gets it.
    fn check(&self, who: &str, hit: &Hit) {
        let citation = &hit.citation;
        let version = Some(citation.version);
        let document = self.engine.document(&caller(who), &citation.source, &citation.document, version, Timestamp::now()).unwrap();
        let place = format!("{} for {who}", citation.document);
        assert_eq!(document.text.as_bytes()[citation.span.start..citation.span.end], *hit.text.as_bytes(), "{place}");
        assert_eq!(blake3::hash(hit.text.as_bytes()).to_string(), citation.text_hash, "{place}");
        assert_eq!(blake3::hash(document.text.as_bytes()).to_string(), citation.document_hash, "{place}");
        assert_eq!(document.document_hash, citation.document_hash, "{place}");
        let opened = self.engine.citation(&caller(who), &citation.token, Timestamp::now()).unwrap();
        assert_eq!((opened.text.as_deref(), &opened.citation.span), (Some(hit.text.as_str()), &citation.span), "{place}");
    }
}

#[test]
fn the_demo_succeeds_twice_and_shows_nobody_too_much() {
    let Some(model) = Embedder::find(None).map(|dir| std::path::absolute(dir).unwrap()) else {
        eprintln!("skipped: no model");
        return;
    };
    let data = TempDir::new().unwrap();
    let first = run(data.path(), &model);
    let second = run(data.path(), &model);
    assert_ne!(counted(&first, "ingested"), "0 (0 new, 0 changed)");
    assert_eq!(counted(&second, "chunks"), "0 (0 embedded)");
    assert_eq!(counted(&second, "unchanged"), "45");
    for printed in [&first, &second] {
        assert_eq!(counted(printed, "failed"), "0");
        assert!(printed.contains("it is superseded"), "{printed}");
    }

    let embedder = Embedder::open(&model, 1).unwrap();
    let options = Options { model: Some(embedder.model().clone()), ..Options::default() };
    let asker = Asker { engine: Engine::open(data.path(), &options).unwrap(), embedder };
    let questions: Questions = toml::from_str(&std::fs::read_to_string(demo().join("questions.toml")).unwrap()).unwrap();
    assert!(questions.question.len() > 3);
    let directory: std::collections::BTreeMap<String, Vec<String>> =
        serde_json::from_slice(&std::fs::read(demo().join("directory.json")).unwrap()).unwrap();
    let mut everyone: Vec<&str> =
        directory.values().flatten().map(String::as_str).filter(|name| name.starts_with("user:")).collect();
    everyone.extend(["public", "user:stranger@halden.example"]);
    everyone.sort_unstable();
    everyone.dedup();

    for question in &questions.question {
        for mode in MODES {
            for limit in LIMITS {
                for who in [&question.caller, &question.also] {
                    let hits = asker.ask(who, &question.ask, mode, limit);
                    assert!(hits.len() <= limit && (mode == Mode::Keyword || !hits.is_empty()));
                    for hit in &hits {
                        asker.check(who, hit);
                        let shown = &hit.citation.document;
                        assert!(who == &question.caller || *shown != question.forbid, "{who} was shown {shown}");
                    }
                }
            }
        }
    }
    let secrets = ["Kestrel", "41.5", "Kestrel Ocean Group offer EUR 41.5 million", "approach to buy the company"];
    for text in questions.question.iter().map(|question| question.ask.as_str()).chain(secrets) {
        for hit in MODES.iter().flat_map(|mode| asker.ask("user:siobhan@halden.example", text, *mode, MAX_LIMIT)) {
            assert!(!hit.text.contains("Kestrel") && !hit.text.contains("41.5"), "{}: {}", hit.citation.document, hit.text);
            let citation = serde_json::to_string(&hit.citation).unwrap();
            assert!(!citation.contains("Kestrel"), "{citation}");
        }
    }
    let told = asker.ask("user:ingrid@halden.example", "Kestrel 41.5", Mode::Keyword, MAX_LIMIT);
    assert!(told.iter().any(|hit| hit.text.contains("Kestrel")) && told.iter().any(|hit| hit.text.contains("41.5")));

    let withheld = "unsorted/notes-lease-call.txt";
    assert!(asker.engine.head(SOURCE, withheld).unwrap().is_some());
    assert_eq!(asker.engine.stats().unwrap().withheld.values().sum::<u64>(), 1);
    for who in everyone {
        for mode in MODES {
            let hits = asker.ask(who, "Who is interested in hall C? notes of the lease call", mode, MAX_LIMIT);
            assert!(hits.iter().all(|hit| hit.citation.document != withheld), "{who}");
        }
        assert!(asker.engine.document(&caller(who), SOURCE, withheld, None, Timestamp::now()).is_err(), "{who}");
    }
}
