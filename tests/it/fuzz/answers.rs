//! Answers that are checked: markers, quotes, sentences, words.

use serde_json::json;
use sightline_index::{
    Answer, Caller, CitationState, ClaimVerdict, Engine, Error, NewChunk, NewDocument, Options, Query, Span, Timestamp, Verdict,
    Write,
};

use super::{QUICK, Target, scratch, texts};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const PASSAGES: [&str; 3] = [
    "The mooring fee is EUR 71 for each night. It is not due before ten days, says Ana Berg.\n\n- Tie twice\n- \"Call the harbour\" first",
    "Die Zulage wird nicht gezahlt, wenn keine Belege vorliegen. Bis 3. Mai gilt § 7 Abs. 2, z. B. für Straße und 1.234,50 €.",
    "係留料金は一泊七十一ユーロです。十日以内に支払われない場合、船は動かされる。不同的人不能报销。",
];

pub(super) fn targets() -> Vec<Target> {
    vec![Target {
        name: "answer",
        words: &[
            "[1]", "[2]", "[3]", "[1-3]", "[^1]", "【2】", "[a]", "[", "]", "“", "”", "\"", "「", "」", "„", "...", "[...]", "…",
            " not ", "不", "nicht ", "EUR 71", "1,000", "- ", "# ", "| ", "|---|\n", "\n\n", ". ", "。", "?", ": ", "e.g. ",
            "\u{301}", "-40", "n’t ",
        ],
        seeds: || {
            texts(&[
                "The mooring fee is EUR 71 [1]. It says “not due before ten days” [1].",
                "# Fees\n\nHere they are:\n\n- Die Zulage wird nicht gezahlt [2]\n- 係留料金は一泊七十一ユーロです。[3]\n\n| a | b [1] |\n|---|---|\n| 1 | 2 |",
                "[1] \"Tie ... twice\" and „keine Belege“ [2][7]. 「十日以内に支払われない」【3】 [1-3]",
            ])
        },
        start: answers,
        ..QUICK
    }]
}

fn answers() -> super::Check {
    let dir = scratch();
    let engine = Engine::open(dir.path(), &Options::default()).unwrap();
    let document = |(number, text): (usize, &&str)| {
        let chunks = vec![NewChunk { start: 0, end: text.len(), ..NewChunk::default() }];
        let acl = Some(json!({ "allow": ["public"] }));
        let (source, id) = ("s".to_owned(), number.to_string());
        Write::Put(Box::new(NewDocument { source, id, acl, text: (*text).to_owned(), chunks, ..NewDocument::default() }))
    };
    engine.write(PASSAGES.iter().enumerate().map(document).collect(), NOW).unwrap();
    let token = |word: &str| {
        let query = Query { text: word.to_owned(), limit: 1, ..Query::default() };
        engine.search(&Caller::public(), &query, NOW).unwrap().hits.remove(0).citation.token
    };
    let tokens = ["mooring", "Zulage", "係留料金", "Zulage"].map(token);
    let markers = ["1", "2", "3", "a"];
    let citations: Vec<_> = markers.iter().zip(tokens).map(|(marker, token)| ((*marker).to_owned(), token)).collect();
    Box::new(move |input| {
        let _kept = &dir;
        let text = String::from_utf8_lossy(input).into_owned();
        let answer = Answer { text: text.clone(), citations: citations.clone(), ..Answer::default() };
        let report = match engine.check_answer(&Caller::public(), &answer, NOW) {
            Ok(report) => report,
            Err(Error::Invalid { .. }) => return false,
            Err(error) => panic!("{error}"),
        };
        let slice = |text: &str, span: Span| text.get(span.start..span.end).map(str::to_owned);
        let passage = |marker: &str| PASSAGES[[0, 1, 2, 1][markers.iter().position(|known| *known == marker).unwrap()]];
        for claim in &report.claims {
            assert_eq!(slice(&text, claim.span).as_ref(), Some(&claim.text));
            assert!((0.0..=1.0).contains(&claim.support), "{claim:?}");
            assert!(claim.verdict != ClaimVerdict::Supported || (claim.support > 0.5 && !claim.evidence.is_empty()), "{claim:?}");
            for evidence in &claim.evidence {
                assert!(slice(passage(&evidence.marker), evidence.span).is_some_and(|text| !text.is_empty()), "{claim:?}");
            }
            for quote in &claim.quotes {
                assert_eq!(slice(&text, quote.span).as_ref(), Some(&quote.text));
                if let (Some(at), Some(marker)) = (quote.at, &quote.marker) {
                    assert!(quote.verbatim && slice(passage(marker), at).is_some(), "{quote:?}");
                }
            }
        }
        assert!(report.claims.is_sorted_by_key(|claim| claim.span.start));
        assert!(report.citations.iter().all(|citation| citation.state == CitationState::Current));
        assert_eq!(report.verdict == Verdict::Fail, report.problems.iter().any(|problem| problem.fails));
        assert_eq!(engine.check_answer(&Caller::public(), &answer, NOW).unwrap(), report);
        report.claims.iter().any(|claim| claim.verdict == ClaimVerdict::Supported)
    })
}
