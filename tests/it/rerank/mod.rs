//! Re-ranking: the order follows the model's scores, it is given nothing hidden, and without it searches go on.

mod model;

use std::cell::{Cell, RefCell};
use std::path::PathBuf;

use serde_json::{Value, json};
use sightline_index::{
    Caller, Engine, Hit, Mode, NewChunk, NewDocument, NewSection, Options, Principal, Query, RERANK_CANDIDATES, Results, Scorer,
    Timestamp, Write,
};
use sightline_ingest::{Embedder, RerankError, Reranker};
use tempfile::TempDir;

use crate::http::Server;
use crate::program;

const NOW: Timestamp = Timestamp(1_000_000);

/// The folder that brings the ONNX runtime; `None`, and said so, where there is none.
fn runtime() -> Option<PathBuf> {
    let folder = Embedder::find(None);
    if folder.is_none() {
        eprintln!("skipped: no model");
    }
    folder
}

struct Scene {
    _dir: TempDir,
    engine: Engine,
}

impl Scene {
    fn new() -> Scene {
        let dir = TempDir::new().unwrap();
        Scene { engine: Engine::open(dir.path(), &Options::default()).unwrap(), _dir: dir }
    }

    /// A document of these passages.
    fn put(&self, id: &str, reader: &str, passages: &[String]) {
        let mut document = document(id, reader);
        for passage in passages {
            let start = document.text.len();
            document.text += passage;
            document.chunks.push(chunk(start, document.text.len()));
            document.text += "\n\n";
        }
        self.engine.write(vec![Write::Put(Box::new(document))], NOW).unwrap();
    }

    fn search(&self, query: Query, scorer: &Scorer<'_>) -> Results {
        self.engine.search_with(&ana(), &Query { mode: Mode::Keyword, ..query }, NOW, Some(scorer)).unwrap()
    }
}

fn ana() -> Caller {
    Caller::user(Principal::parse("user:ana").unwrap()).unwrap()
}

fn document(id: &str, reader: &str) -> NewDocument {
    NewDocument { source: "wiki".to_owned(), id: id.to_owned(), acl: Some(json!({ "allow": [reader] })), ..NewDocument::default() }
}

fn chunk(start: usize, end: usize) -> NewChunk {
    NewChunk { start, end, headings: Vec::new(), page: None, part: None, vector: None }
}

fn asked(text: &str, limit: usize) -> Query {
    Query { text: text.to_owned(), limit, ..Query::default() }
}

fn texts(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.text.as_str()).collect()
}

/// The number that a text ends with is its score.
fn last_number(text: &str) -> f32 {
    text.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn what_is_hidden_never_reaches_the_scorer() {
    let scene = Scene::new();
    scene.put("open", "user:ana", &["mooring open 1".to_owned()]);
    scene.put("hidden", "user:bo", &["mooring hidden 2".to_owned()]);
    let text = "mooring part 3\n\nmooring salary 4".to_owned();
    let section = NewSection { name: "pay".to_owned(), start: 14, end: text.len(), acl: json!({ "allow": ["user:bo"] }) };
    let chunks = vec![chunk(0, 14), chunk(16, text.len())];
    let titled =
        NewDocument { title: Some("Ropes".to_owned()), text, chunks, sections: vec![section], ..document("half", "user:ana") };
    scene.engine.write(vec![Write::Put(Box::new(titled))], NOW).unwrap();
    let given = RefCell::new(Vec::new());
    let scorer = |words: &str, texts: &[&str]| {
        given.borrow_mut().push((words.to_owned(), texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()));
        Ok(texts.iter().map(|text| last_number(text)).collect())
    };
    let found = scene.search(asked("+mooring \"mooring\" -draft", 10), &scorer);
    assert_eq!(texts(&found.hits), ["mooring part 3", "mooring open 1"]);
    let expected = vec!["Ropes\nmooring part 3".to_owned(), "mooring open 1".to_owned()];
    assert_eq!(given.into_inner(), [("mooring mooring".to_owned(), expected)]);
    let logistic = |odds: f32| 1.0 / (1.0 + (-odds).exp());
    assert_eq!(found.hits[0].scores.reranker, Some(found.hits[0].score));
    assert!((found.hits[0].score - logistic(3.0)).abs() < 1e-6, "{}", found.hits[0].score);
    assert!(scene.engine.search(&ana(), &asked("mooring", 10), NOW).unwrap().hits.iter().all(|hit| hit.scores.reranker.is_none()));
}

#[test]
fn the_best_are_re_ranked_and_others_follow_where_hits_are_missing() {
    let scene = Scene::new();
    // The shorter, the better by keywords: those of `many` come before those of `few`.
    let text = |length: usize, number: usize| format!("mooring {}{number}", "x ".repeat(length));
    let many: Vec<String> = (0..RERANK_CANDIDATES + 10).map(|at| text(at, at)).collect();
    scene.put("many", "user:ana", &many);
    scene.put("few", "user:ana", &[text(200, 7), text(300, 8)]);
    let calls = Cell::new(0);
    let scorer = |_: &str, texts: &[&str]| {
        calls.set(calls.get() + texts.len());
        // So that the scores are far from 0 and 1.
        Ok(texts.iter().map(|text| last_number(text) / 100.0).collect())
    };
    let found = scene.search(asked("mooring", 3), &scorer);
    let best = RERANK_CANDIDATES - 1;
    assert_eq!(texts(&found.hits), [text(best, best), text(best - 1, best - 1), text(best - 2, best - 2)]);
    assert_eq!(calls.take(), RERANK_CANDIDATES);
    let found = scene.search(Query { per_document: Some(1), ..asked("mooring", 5) }, &scorer);
    assert_eq!(texts(&found.hits), [text(best, best), text(200, 7)]);
    // Its model score is not known; ten of the other document stand between it and the lowest score, which is that of 0.
    assert_eq!((found.hits[1].scores.reranker, found.hits[1].score), (None, 0.5 / 12.0));
    assert_eq!(calls.take(), RERANK_CANDIDATES);
    // As many as hits are wanted, where those are more.
    let found = scene.search(asked("mooring", 100), &scorer);
    assert_eq!((found.hits.len(), calls.take()), (RERANK_CANDIDATES + 12, RERANK_CANDIDATES + 12));
    assert_eq!(found.hits[0].text, *many.last().unwrap());
    assert!(found.hits.is_sorted_by(|a, b| a.score >= b.score));
}

#[test]
fn without_scores_the_order_stands() {
    let scene = Scene::new();
    scene.put("a", "user:ana", &["mooring 1".to_owned(), "mooring x 2".to_owned(), "mooring x x 3".to_owned()]);
    let plain = scene.search(asked("mooring", 10), &|_, texts| Ok(vec![0.0; texts.len()]));
    assert_eq!((plain.warnings.len(), plain.hits.len()), (0, 3));
    let failing: [&Scorer<'_>; 3] = [&|_, _| Err("no".to_owned()), &|_, texts| Ok(vec![1.0; texts.len() - 1]), &|_, texts| {
        Ok(texts.iter().map(|text| if text.ends_with('2') { f32::NAN } else { last_number(text) }).collect())
    }];
    for scorer in failing {
        let found = scene.search(asked("mooring", 10), scorer);
        assert_eq!(texts(&found.hits), ["mooring 1", "mooring x 2", "mooring x x 3"]);
        assert!(found.hits.iter().all(|hit| hit.scores.reranker.is_none()));
        assert_eq!(found.warnings.iter().map(|warning| warning.code).collect::<Vec<_>>(), ["reranker_unavailable"]);
    }
    // A query that only excludes has nothing to compare with.
    let never: &Scorer<'_> = &|_, _| panic!("it was asked");
    assert!(scene.search(asked("-draft", 10), never).warnings.is_empty());
}

#[test]
fn a_score_depends_on_its_pair_alone() {
    let Some(runtime) = runtime() else { return };
    let folder = model::folder(&[("harbour", 1.5), ("boat", -0.25), ("rope", 4.0)]);
    let reranker = Reranker::open(folder.path(), Some(&runtime), 2).unwrap();
    let passages = ["boat rope", "Harbour, harbour.", "", "unknown words", "boat boat boat boat boat boat"];
    assert_eq!(reranker.scores("harbour", &passages).unwrap(), [5.25, 4.5, 1.5, 1.5, 0.0]);
    assert_eq!(reranker.scores("boat", &passages[..1]).unwrap(), [3.5]);
    assert!(reranker.scores("boat", &[]).unwrap().is_empty());
    // The tokenizer says nothing of lengths, so a pair is cut at 512.
    let long = "rope ".repeat(5_000);
    assert_eq!(reranker.scores("harbour", &[&long]).unwrap(), [1.5 + 511.0 * 4.0]);
}

#[test]
fn what_is_missing_is_named() {
    let Some(runtime) = runtime() else { return };
    let folder = model::folder(&[]);
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    let open = || Reranker::open(folder.path(), Some(&runtime), 1).unwrap_err();
    let missing = open();
    assert!(matches!(&missing, RerankError::Missing { missing, .. } if *missing == ["config.json"]), "{missing}");
    std::fs::write(folder.path().join("config.json"), "{}").unwrap();
    std::fs::write(folder.path().join("tokenizer_config.json"), "{").unwrap();
    assert!(open().to_string().contains("tokenizer_config.json"), "{}", open());
    std::fs::write(folder.path().join("tokenizer_config.json"), "{\"pad_token\": \"[PAD]\"}").unwrap();
    std::fs::write(folder.path().join("model.onnx"), "no graph").unwrap();
    assert!(matches!(open(), RerankError::Model(_)), "{}", open());

    let data = TempDir::new().unwrap();
    drop(Engine::open(data.path(), &Options::default()).unwrap());
    let mut search = program::sightline(data.path(), &["search", "mooring"]);
    let search = search.env("SIGHTLINE_RERANKER", data.path()).output().unwrap();
    let told = String::from_utf8(search.stderr).unwrap();
    assert!(search.status.code() == Some(1) && told.contains("has no model.onnx, tokenizer.json"), "{told}");
}

/// By keywords the first is best and the last is worst; the model sees it the other way round.
fn harbour(server: &Server, key: &str) {
    for (id, text) in [
        ("first", "mooring mooring"),
        ("second", "mooring boat and more words"),
        ("third", "the rope of a long mooring in the old harbour"),
    ] {
        server.put(key, &format!("wiki/{id}"), json!({ "text": text, "acl": { "allow": ["public"] } }));
    }
}

fn documents(answer: &Value) -> Vec<&str> {
    answer["hits"].as_array().unwrap().iter().map(|hit| hit["citation"]["document"].as_str().unwrap()).collect()
}

fn ask(server: &Server, key: &str, rerank: Option<bool>) -> Value {
    let mut body = json!({ "query": "mooring", "mode": "keyword" });
    if let Some(rerank) = rerank {
        body["rerank"] = rerank.into();
    }
    server.call("POST", "/v1/search").key(key).json(&body).send().value()
}

#[test]
fn answers_follow_the_model_unless_they_are_not_to() {
    if runtime().is_none() {
        return;
    }
    let folder = model::folder(&[("rope", 2.0), ("boat", 1.0)]);
    let server = Server::with(|config| config.reranker = Some(folder.path().to_owned()));
    let key = server.master();
    harbour(&server, &key);
    for rerank in [None, Some(true)] {
        let answer = ask(&server, &key, rerank);
        assert_eq!(documents(&answer), ["third", "second", "first"]);
        assert!(answer["rerank_ms"].as_f64().unwrap() > 0.0 && answer["rerank_ms"].as_f64() <= answer["took_ms"].as_f64());
        let score = |at: usize| answer["hits"][at]["scores"]["reranker"].as_f64().unwrap();
        assert!((score(0) - 0.880_797).abs() < 1e-5 && score(2) == 0.5, "{answer}");
        assert_eq!(answer["warnings"], json!([]));
    }
    let plain = ask(&server, &key, Some(false));
    assert_eq!(documents(&plain), ["first", "second", "third"]);
    assert!(plain.get("rerank_ms").is_none() && plain["hits"][0]["scores"].get("reranker").is_none());

    // The same on the command line, beside the server.
    let data = server.dir.path();
    let run = |arguments: &[&str]| {
        let mut command = program::sightline(data, &[&["search", "mooring", "--mode", "keyword"], arguments].concat());
        let output = command.env("SIGHTLINE_RERANKER", folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let printed: Value = serde_json::from_str(&run(&["--json"])).unwrap();
    assert_eq!(documents(&printed), ["third", "second", "first"]);
    assert!(printed["rerank_ms"].is_f64());
    assert!(run(&[]).contains("re-ranked in "));
    let plain: Value = serde_json::from_str(&run(&["--json", "--no-rerank"])).unwrap();
    assert_eq!(documents(&plain), ["first", "second", "third"]);
}

#[test]
fn a_model_that_fails_is_a_warning() {
    if runtime().is_none() {
        return;
    }
    let folder = TempDir::new().unwrap();
    model::write(folder.path(), &[("rope", 2.0)], "scores");
    let failing = Server::with(|config| config.reranker = Some(folder.path().to_owned()));
    let none = Server::start();
    for (server, rerank, expected) in
        [(&failing, None, "reranker_unavailable"), (&none, Some(true), "reranker_unavailable"), (&none, None, "")]
    {
        let key = server.master();
        harbour(server, &key);
        let answer = ask(server, &key, rerank);
        assert_eq!(documents(&answer), ["first", "second", "third"]);
        assert_eq!(answer["warnings"][0]["code"].as_str().unwrap_or_default(), expected);
    }
}
