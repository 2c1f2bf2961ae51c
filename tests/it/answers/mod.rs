//! Checking answers, from outside: honest answers over real documents pass, and what a dishonest one does to them is caught.
//!
//! The sample company is always there; XQuAD, JSQuAD and a handbook from `../shared/data` take part where they are present.

mod generate;
mod model;
mod requests;
mod states;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::http::Server;
use crate::oracle::dice::Dice;
use generate::{Case, Passage};

const READER: &str = "user:ana";
/// How many files or lines of each corpus take part.
const OF_EACH: usize = 80;
/// Of a thousand answers so many must be judged right.
const MIN_RIGHT: usize = 985;

/// A server with documents, and everything of them that can be cited.
struct Library {
    server: Server,
    key: String,
    passages: Vec<Passage>,
}

impl Library {
    fn new() -> Library {
        let server = Server::start();
        let key = server.master();
        Library { server, key, passages: Vec::new() }
    }

    /// Puts a document and collects its passages.
    fn add(&mut self, id: &str, mime: &str, bytes: &[u8]) {
        let path = format!("/v1/documents/lib/{id}");
        let put = self.server.call("PUT", &path).key(&self.key).body(mime, bytes).send();
        assert_eq!(put.status, 200, "{id}: {}", put.body);
        let acl = self.server.call("PUT", &format!("{path}/acl")).key(&self.key).json(&json!({ "allow": [READER] })).send();
        assert_eq!(acl.status, 200, "{}", acl.body);
        let read = self.server.call("GET", &path).key(&self.key).header("sightline-user", READER).send().value();
        let text = read["text"].as_str().unwrap();
        // Words from all over the document find its passages.
        let words: Vec<String> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(|word| word.chars().take(30).collect())
            .collect();
        let step = words.len().div_ceil(60).max(1);
        let query: Vec<&str> = words.iter().step_by(step).map(String::as_str).collect();
        for hit in search(&self.server, &self.key, &query.join(" "), 100) {
            if hit["citation"]["document"] == id {
                let [text, token] = [&hit["text"], &hit["citation"]["token"]].map(|value| value.as_str().unwrap().to_owned());
                self.passages.push(Passage { text, token });
            }
        }
    }

    fn add_demo(&mut self) {
        for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/company")) {
            let mime = match file.extension().and_then(|extension| extension.to_str()) {
                Some("md") => "text/markdown",
                Some("txt") => "text/plain",
                Some("html") => "text/html",
                Some("eml") => "message/rfc822",
                Some("pdf") => "application/pdf",
                Some("docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                _ => continue,
            };
            let id = file.file_name().unwrap().to_str().unwrap().to_owned();
            self.add(&id, mime, &std::fs::read(&file).unwrap());
        }
        assert!(self.passages.len() > 60, "{} passages", self.passages.len());
    }

    fn check(&self, case: &Case) -> Value {
        let tokens: Vec<&str> = case.cited.iter().map(|at| self.passages[*at].token.as_str()).collect();
        check(&self.server, &self.key, &json!({ "answer": case.answer, "citations": tokens }))
    }

    /// Makes answers and counts those that are judged right; says which were not.
    fn count(
        &self,
        seed: u64,
        wanted: usize,
        make: fn(&mut Dice, &[Passage]) -> Option<Case>,
        verdict: &str,
    ) -> (usize, Vec<String>) {
        let mut dice = Dice(seed);
        let (mut right, mut wrong) = (0, Vec::new());
        while right + wrong.len() < wanted {
            let Some(case) = make(&mut dice, &self.passages) else { continue };
            let report = self.check(&case);
            if report["verdict"] == verdict {
                right += 1;
            } else {
                wrong.push(format!("{}: {}\n    {}", case.kind, case.answer, report["problems"]));
            }
        }
        (right, wrong)
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn search(server: &Server, key: &str, query: &str, limit: usize) -> Vec<Value> {
    let body = json!({ "query": query, "mode": "keyword", "limit": limit });
    let answer = server.call("POST", "/v1/search").key(key).header("sightline-user", READER).json(&body).send();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.value()["hits"].as_array().unwrap().clone()
}

fn check(server: &Server, key: &str, body: &Value) -> Value {
    let answer = server.call("POST", "/v1/answers/check").key(key).header("sightline-user", READER).json(body).send();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.value()
}

/// The codes of what is wrong with an answer.
fn codes(report: &Value) -> Vec<&str> {
    report["problems"].as_array().unwrap().iter().map(|problem| problem["code"].as_str().unwrap()).collect()
}

#[test]
fn a_hundred_honest_answers_pass_and_a_hundred_hostile_ones_are_caught() {
    let mut library = Library::new();
    library.add_demo();
    let (passed, failed) = library.count(1, 100, generate::honest, "pass");
    assert_eq!(passed, 100, "{}", failed.join("\n"));
    let (caught, passed) = library.count(1, 100, generate::hostile, "fail");
    assert_eq!(caught, 100, "{}", passed.join("\n"));
}

/// The README shows this answer.
#[test]
fn the_example_of_the_readme_is_true() {
    let mut library = Library::new();
    library.add_demo();
    let passage =
        library.passages.iter().find(|passage| passage.text.contains("allowance for trips abroad is **EUR 71**")).unwrap();
    let body = |days: u32| {
        let answer = format!("The daily allowance for trips abroad is EUR {days} [1].");
        check(&library.server, &library.key, &json!({ "answer": answer, "citations": [passage.token] }))
    };
    assert_eq!(body(71)["verdict"], "pass");
    let report = body(17);
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let claim = &report["claims"][0];
    let shown =
        format!("\"verdict\": {}, \"support\": {}, \"missing\": [{}]", claim["verdict"], claim["support"], claim["missing"][0]);
    let problem = &report["problems"][0];
    for part in [shown, format!("\"code\": {}, \"fails\": true", problem["code"]), format!("\"detail\": {}", problem["detail"])] {
        assert!(readme.contains(&part), "the README does not show {part}");
    }
}

#[test]
fn over_real_texts_in_several_languages_nearly_all_answers_are_judged_right() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let corpora = ["xquad/en", "xquad/de", "xquad/zh", "jsquad/valid"].map(|name| (name, shared.join(name).join("corpus.jsonl")));
    for (name, corpus) in corpora {
        let Ok(lines) = std::fs::read_to_string(&corpus) else {
            eprintln!("skipped: {} is not there", corpus.display());
            continue;
        };
        let mut library = Library::new();
        for (number, line) in lines.lines().take(OF_EACH).enumerate() {
            let line: Value = serde_json::from_str(line).unwrap();
            library.add(&format!("{number}"), "text/plain", line["text"].as_str().unwrap().as_bytes());
        }
        judge_many(&library, name);
    }
    let handbook = shared.join("handbook/content");
    if !handbook.is_dir() {
        eprintln!("skipped: {} is not there", handbook.display());
        return;
    }
    let mut library = Library::new();
    let pages = files(&handbook).into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    for (number, page) in pages.step_by(5).take(OF_EACH).enumerate() {
        let text = std::fs::read(&page).unwrap();
        if text.len() > 200 {
            library.add(&format!("{number}"), "text/markdown", &text);
        }
    }
    judge_many(&library, "handbook");
}

fn judge_many(library: &Library, name: &str) {
    let (passed, failed) = library.count(2, 1_000, generate::honest, "pass");
    let (caught, missed) = library.count(2, 1_000, generate::hostile, "fail");
    println!("{name}: {passed} of 1000 honest answers pass, {caught} of 1000 hostile ones are caught");
    failed.iter().take(3).chain(missed.iter().take(3)).for_each(|answer| println!("  {answer}"));
    assert!(passed >= MIN_RIGHT && caught >= MIN_RIGHT, "{name}: {passed} {caught}");
}
