//! The query language and the tokens of citations, over documents of which a caller may read some.

use std::collections::BTreeMap;

use serde_json::json;
use sightline_index::{
    Caller, Engine, Error, Hit, MAX_QUERY_BYTES, Mode, NewChunk, NewDocument, NewSection, Opened, Options, Principal, Query,
    Timestamp, Write,
};
use tempfile::TempDir;

use super::{QUICK, Target, scratch, texts};
use crate::oracle::dice::Dice;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const WORDS: [&str; 16] = [
    "walrus",
    "seal",
    "harbour",
    "Straße",
    "naïve",
    "日本語",
    "running",
    "C++",
    "e-mail",
    "it's",
    "2026",
    "x",
    "the",
    "Ünïcode",
    "walrusses",
    "ﬁsh",
];

pub(super) fn targets() -> Vec<Target> {
    vec![
        Target {
            name: "query",
            words: &[
                "\"",
                "+",
                "-",
                "*",
                "walrus",
                "seal",
                "日本",
                "\"walrus seal\"",
                "+\"",
                "-\"",
                "w*",
                "**",
                "++",
                " ",
                "\u{ff0b}",
                "\u{3000}",
                "“",
                "”",
                "OR",
                "(",
                ")",
                "title:",
                "\\",
            ],
            seeds: || {
                texts(&[
                    "walrus seal harbour",
                    "\"walrus seal\" +harbour -strasse",
                    "nai* 日本語 C++ it's",
                    "+\"the walrus\" -\"x\" e-mail 2026",
                    "-walrus",
                ])
            },
            start: queries,
            short: 400,
            max_bytes: MAX_QUERY_BYTES * 2,
            ..QUICK
        },
        Target {
            name: "citation",
            words: &["A", "_", "-", "=", "==", "+", "/"],
            seeds: edits_of_tokens,
            start: citations,
            ..QUICK
        },
    ]
}

fn ana() -> Caller {
    Caller::user(Principal::parse("user:ana").unwrap()).unwrap()
}

/// Documents that anyone may read, and with `all` those of a user and hidden sections too.
fn library(all: bool) -> (Engine, TempDir) {
    let dir = scratch();
    let engine = Engine::open(dir.path(), &Options::default()).unwrap();
    let mut dice = Dice(5);
    let mut writes = Vec::new();
    for number in 0..60 {
        let open = number % 2 == 0;
        let (mut text, mut chunks) = (String::new(), Vec::new());
        for _ in 0..3 {
            let start = text.len();
            text += &(0..2 + dice.below(12)).map(|_| *dice.pick(&WORDS)).collect::<Vec<_>>().join(" ");
            chunks.push(NewChunk { start, end: text.len(), ..NewChunk::default() });
            text.push('\n');
        }
        let mut sections = Vec::new();
        if number % 4 == 0 {
            if all {
                let last = chunks.last().unwrap();
                sections.push(NewSection {
                    name: "hidden".to_owned(),
                    start: last.start,
                    end: text.len(),
                    acl: json!({ "allow": ["user:ana"] }),
                });
            } else {
                text.truncate(chunks.pop().unwrap().start);
            }
        }
        let (id, reader) = if open { (format!("open{number}"), "public") } else { (format!("ana{number}"), "user:ana") };
        if open || all {
            let acl = Some(json!({ "allow": [reader] }));
            let document = NewDocument { source: "s".to_owned(), id, acl, text, chunks, sections, ..NewDocument::default() };
            writes.push(Write::Put(Box::new(document)));
        }
        // Several segments, not one for each.
        if number % 16 == 15 {
            engine.write(std::mem::take(&mut writes), NOW).unwrap();
        }
    }
    engine.write(writes, NOW).unwrap();
    (engine, dir)
}

fn queries() -> super::Check {
    let (all, own) = (library(true), library(false));
    Box::new(move |input| {
        let text = String::from_utf8_lossy(input);
        let query = Query { text: text.to_string(), mode: Mode::Keyword, limit: 12, ..Query::default() };
        let results = all.0.search(&Caller::public(), &query, NOW);
        if text.trim().is_empty() || text.len() > MAX_QUERY_BYTES {
            assert!(matches!(results, Err(Error::Invalid { .. })), "out of bounds and not refused");
            return false;
        }
        let hits = results.unwrap_or_else(|error| panic!("a query within bounds is refused: {error}")).hits;
        hits.iter().for_each(whole);
        assert!(hits.is_sorted_by(|one, next| one.score >= next.score), "hits are not in order");
        let expected = own.0.search(&Caller::public(), &query, NOW).unwrap().hits;
        let seen = |hits: &[Hit]| -> Vec<_> {
            hits.iter()
                .map(|hit| (hit.citation.document.clone(), hit.text.clone(), hit.score.to_bits(), hit.highlights.clone()))
                .collect()
        };
        assert_eq!(seen(&hits), seen(&expected), "what is hidden changes the answer");
        let narrowed = all.0.search(&ana(), &query, NOW).unwrap().hits;
        narrowed.iter().for_each(whole);
        let hybrid = all.0.search(&Caller::public(), &Query { mode: Mode::Hybrid, ..query.clone() }, NOW).unwrap().hits;
        assert_eq!(hybrid.len(), hits.len());
        !hits.is_empty()
    })
}

/// A hit says of its text what is so.
fn whole(hit: &Hit) {
    assert_eq!(blake3::hash(hit.text.as_bytes()).to_string(), hit.citation.text_hash);
    let mut from = 0;
    for [start, end] in &hit.highlights {
        assert!(from <= *start && start < end && hit.text.get(*start..*end).is_some(), "{:?} of {:?}", hit.highlights, hit.text);
        from = *end;
    }
}

/// A token is one of this run, so an input says which one and how it is changed: its number, and what to do at which place.
fn edits_of_tokens() -> Vec<Vec<u8>> {
    vec![
        vec![0],
        vec![1, 0, 5, b'A'],
        vec![9, 1, 40, b'_'],
        vec![3, 2, 20, 7],
        vec![200, 3, 4, b'='],
        vec![7, 4, 30, b'-'],
        vec![2, 5, 8, 9],
    ]
}

fn citations() -> super::Check {
    let (engine, dir) = library(true);
    let mut tokens = Vec::new();
    // By token its passage, and whether anyone may read it.
    let mut passages: BTreeMap<String, (String, String, bool)> = BTreeMap::new();
    for (caller, open) in [(ana(), false), (Caller::public(), true)] {
        for word in WORDS {
            let query = Query { text: word.to_owned(), mode: Mode::Keyword, limit: 1000, ..Query::default() };
            for hit in engine.search(&caller, &query, NOW).unwrap().hits {
                passages.insert(hit.citation.token.clone(), (hit.citation.document, hit.text, open));
                tokens.push(hit.citation.token);
            }
        }
    }
    Box::new(move |input| {
        let _kept = &dir;
        let Some((first, edits)) = input.split_first() else { return false };
        let mut token = tokens[*first as usize % tokens.len()].clone().into_bytes();
        for edit in edits.chunks_exact(3) {
            let at = edit[1] as usize % (token.len() + 1);
            match edit[0] % 7 {
                0 if at < token.len() => token[at] = edit[2],
                1 => token.insert(at, edit[2]),
                2 => drop(token.drain(at..token.len().min(at + edit[2] as usize % 8))),
                3 => token.truncate(at),
                4 if at < token.len() => token[at] ^= 1 << (edit[2] % 8),
                // The head of one and the tail of another.
                5 => token.splice(at.., tokens[edit[2] as usize % tokens.len()].bytes().skip(at)).for_each(drop),
                6 => token.extend(vec![b'A'; edit[2] as usize]),
                _ => {}
            }
        }
        let token = String::from_utf8_lossy(&token);
        for (caller, signed_in) in [(ana(), true), (Caller::public(), false)] {
            match (engine.citation(&caller, &token, NOW), passages.get(&*token)) {
                (Ok(Opened { text, citation, .. }), Some((document, passage, open))) => {
                    assert!(signed_in || *open, "{document} is opened by anyone");
                    assert_eq!((text.as_ref(), &citation.document), (Some(passage), document));
                    assert_eq!(citation.token, token);
                }
                (Err(Error::NotFound), known) => {
                    assert!(known.is_none_or(|(_, _, open)| !signed_in && !open), "{known:?} is not opened")
                }
                (Ok(opened), None) => panic!("a token that was never given opens {opened:?}"),
                (Err(error), _) => panic!("{error}"),
            }
        }
        passages.contains_key(&*token)
    })
}
