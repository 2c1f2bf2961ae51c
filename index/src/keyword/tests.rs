//! The pruned, cached, segmented index against the definition: an exhaustive loop over a list of chunks.

use std::cell::Cell;
use std::cmp::Ordering;

use proptest::prelude::*;
use tantivy::fieldnorm::FieldNormReader;

use super::bm25::{B, K1};
use super::few::{Few, MAX_BYTES};
use super::query::{Clause, Question, Word};
use super::readable::Admitted;
use super::{Corpus, KeywordIndex, Language, Ranking, indexed_terms};
use crate::access::{ClassNo, DEAD, Permit};
use crate::rows::Rows;

/// A chunk: its class and its terms by field.
type Chunk = (ClassNo, Vec<Vec<String>>);

fn has(fields: &[Vec<String>], clause: &Clause) -> bool {
    match clause {
        Clause::Phrase(words) => fields.iter().any(|field| {
            field.windows(words.len()).any(|window| window.iter().zip(words).all(|(term, forms)| forms.contains(term)))
        }),
        Clause::Prefix(word) => fields.iter().flatten().any(|term| word.means(term)),
    }
}

fn frequency(fields: &[Vec<String>], word: &Word) -> u32 {
    fields.iter().flatten().filter(|term| word.means(term)).count() as u32
}

fn length(fields: &[Vec<String>]) -> u32 {
    fields.iter().map(Vec::len).sum::<usize>() as u32
}

/// The best chunks by the formula.
fn exhaustive(
    chunks: &[Chunk],
    permit: &Permit,
    question: &Question,
    limit: usize,
    wanted: impl Fn(u32) -> bool,
) -> Vec<(u32, u32)> {
    let readable: Vec<(u32, &Chunk)> = (0..).zip(chunks).filter(|(_, chunk)| permit.admits(chunk.0)).collect();
    let n = readable.len() as f64;
    let tokens: u64 = readable.iter().map(|(_, chunk)| u64::from(length(&chunk.1))).sum();
    let average = if readable.is_empty() { 1.0 } else { (tokens as f64 / n).max(1.0) as f32 };
    let weights: Vec<f32> = question
        .words
        .iter()
        .map(|(word, repeats)| {
            let df = readable.iter().filter(|(_, chunk)| frequency(&chunk.1, word) > 0).count() as f64;
            (1.0 + (n - df + 0.5) / (df + 0.5)).ln() as f32 * *repeats as f32
        })
        .collect();
    let mut hits = Vec::new();
    for (number, (_, fields)) in readable {
        let fits = question.must().all(|clause| has(fields, clause)) && !question.excluded.iter().any(|clause| has(fields, clause));
        if !fits || !wanted(number) {
            continue;
        }
        let quantized = FieldNormReader::id_to_fieldnorm(FieldNormReader::fieldnorm_to_id(length(fields)));
        let norm = K1 * (1.0 - B + B * quantized as f32 / average);
        let mut score = None;
        for ((word, _), weight) in question.words.iter().zip(&weights) {
            let f = frequency(fields, word) as f32;
            if f > 0.0 {
                score = Some(score.unwrap_or(0.0) + weight * f * (K1 + 1.0) / (f + norm));
            }
        }
        hits.extend(score.map(|score: f32| (number, score)));
    }
    hits.sort_by(|a, b| b.1.total_cmp(&a.1).then(order(a.0).cmp(&order(b.0))));
    hits.truncate(limit);
    hits.into_iter().map(|(number, score)| (number, score.to_bits())).collect()
}

/// An order of ties that is not that of chunks.
fn order(chunk: u32) -> u64 {
    u64::from(chunk).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn join(fields: &[Vec<String>]) -> String {
    fields.iter().map(|field| field.join(" ")).collect::<Vec<_>>().join("\n")
}

/// Segments of so many chunks are sorted by class here.
const SORTED_FROM: usize = 100;

struct Case {
    index: KeywordIndex,
    chunks: Vec<Chunk>,
    rows: Rows<ClassNo>,
    dir: tempfile::TempDir,
    written: u64,
}

impl Case {
    fn new() -> Case {
        let dir = tempfile::tempdir().unwrap();
        let mut index = KeywordIndex::open(dir.path(), "catalog", 0, true).unwrap();
        index.sort_from(SORTED_FROM);
        Case { index, chunks: Vec::new(), rows: Rows::default(), dir, written: 0 }
    }

    fn add(&mut self, batch: Vec<Chunk>) {
        for (class, fields) in batch {
            let number = self.chunks.len() as u32;
            self.index.add(number, join(&fields)).unwrap();
            *self.rows.get_mut(number) = class;
            self.chunks.push((class, fields));
        }
        self.index.publish().unwrap();
        self.written += 1;
    }

    fn set_class(&mut self, number: u32, class: ClassNo) {
        *self.rows.get_mut(number) = class;
        self.chunks[number as usize].0 = class;
        if class == DEAD {
            self.index.remove(number);
        }
    }

    fn reopen(&mut self) {
        self.index.checkpoint(self.written).unwrap();
        let other = KeywordIndex::open(&self.dir.path().join("other"), "catalog", 0, true).unwrap();
        drop(std::mem::replace(&mut self.index, other));
        self.index = KeywordIndex::open(self.dir.path(), "catalog", self.written, true).unwrap();
        self.index.sort_from(SORTED_FROM);
        assert_eq!(self.index.applied(), self.written);
        for chunk in self.index.chunks() {
            if self.chunks[chunk as usize].0 == DEAD {
                self.index.remove(chunk);
            }
        }
    }

    fn ranking(&self, permit: &Permit, question: &Question) -> Ranking {
        let corpus = || {
            let readable = self.chunks.iter().filter(|chunk| permit.admits(chunk.0));
            readable.fold(Corpus::default(), |sum, chunk| Corpus {
                chunks: sum.chunks + 1,
                tokens: sum.tokens + u64::from(length(&chunk.1)),
            })
        };
        let snapshot = self.index.snapshot();
        Ranking::new(&snapshot, question, snapshot.readable(permit, &self.rows, corpus)).unwrap()
    }

    fn compare(&self, permit: &Permit, question: &Question, limit: usize, skip: u32) -> usize {
        let wanted = |chunk: u32| skip == 0 || chunk % 7 != skip;
        let expected = exhaustive(&self.chunks, permit, question, limit, wanted);
        let ranking = self.ranking(permit, question);
        let found = ranking.top(limit, 0.0, wanted, order).unwrap();
        let found: Vec<(u32, u32)> = found.into_iter().map(|(chunk, score)| (chunk, score.to_bits())).collect();
        assert_eq!(found, expected, "{question:?} limit {limit}");
        let chunks: Vec<u32> = expected.iter().rev().map(|(chunk, _)| *chunk).collect();
        let scores: Vec<u32> = ranking.scores(&chunks).unwrap().into_iter().map(f32::to_bits).rev().collect();
        assert_eq!(scores, expected.iter().map(|(_, score)| *score).collect::<Vec<_>>());
        for (number, (class, fields)) in (0..).zip(&self.chunks).filter(|(number, _)| number % 5 == 0) {
            let fits = permit.admits(*class)
                && question.must().all(|clause| has(fields, clause))
                && !question.excluded.iter().any(|clause| has(fields, clause));
            assert_eq!(ranking.admits(number), fits, "chunk {number}, {question:?}");
        }
        expected.len()
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn word(&mut self) -> String {
        // Few words are common, most are rare.
        let spread = [2, 8, 60, 3_000][self.below(4)];
        format!("w{}", self.below(spread))
    }

    fn fields(&mut self) -> Vec<Vec<String>> {
        let most = [4, 40, 200][self.below(3)];
        (0..=self.below(2)).map(|_| (0..=self.below(most)).map(|_| self.word()).collect::<Vec<_>>()).collect()
    }

    fn query(&mut self) -> String {
        let mut words: Vec<String> = Vec::new();
        for _ in 0..=self.below(9) {
            let word = self.word();
            words.push(match self.below(24) {
                0 => format!("+{word}"),
                1 => format!("-{word}"),
                2 => format!("\"{word} {}\"", self.word()),
                3 => format!("-\"{word} {}\"", self.word()),
                4 => format!("w{}*", 10 + self.below(90)),
                5 => format!("+w{}*", 10 + self.below(90)),
                6 => format!("-w{}*", 100 + self.below(900)),
                _ => word,
            });
        }
        words.join(" ")
    }

    /// The question with some of its words in several forms.
    fn forms(&mut self, mut question: Question) -> Question {
        for (word, _) in &mut question.words {
            if let Word::Term(term) = word
                && self.below(4) == 0
            {
                let mut forms = vec![std::mem::take(term), self.word(), "absent".to_owned()];
                forms.truncate(2 + self.below(2));
                forms.dedup();
                *word = Word::Any(forms);
            }
        }
        for clause in question.quoted.iter_mut().chain(&mut question.required).chain(&mut question.excluded) {
            if let Clause::Phrase(words) = clause {
                for forms in words {
                    if self.below(3) == 0 {
                        forms.push(self.word());
                    }
                }
            }
        }
        question
    }
}

const CLASSES: usize = 40;

fn history(seed: u64, steps: usize, most: usize) -> usize {
    let mut dice = Dice(seed);
    let mut case = Case::new();
    let mut hits = 0;
    for _ in 0..steps {
        match dice.below(10) {
            0..=5 => {
                let batch = [2, 50, most][dice.below(3)];
                let count = 1 + dice.below(batch);
                let batch = (0..count).map(|_| (1 + dice.below(CLASSES) as ClassNo, dice.fields())).collect();
                case.add(batch);
            }
            6 | 7 if !case.chunks.is_empty() => {
                for _ in 0..dice.below(40) {
                    let number = dice.below(case.chunks.len());
                    if case.chunks[number].0 != DEAD {
                        let class = [DEAD, 1 + dice.below(CLASSES) as ClassNo][dice.below(2)];
                        case.set_class(number as u32, class);
                    }
                }
            }
            8 => case.index.checkpoint(case.written).unwrap(),
            9 => case.reopen(),
            _ => {}
        }
        for _ in 0..6 {
            let share = [100, 50, 10, 5][dice.below(4)];
            let permit = Permit::of_classes((1..=CLASSES as ClassNo).filter(|_| dice.below(100) < share));
            let query = dice.query();
            let question = dice.forms(Question::parse(&query));
            hits += case.compare(&permit, &question, [1, 3, 10, 200][dice.below(4)], dice.below(3) as u32);
        }
    }
    hits
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn hits_order_and_bits_are_those_of_the_exhaustive_loop(seed in any::<u64>(), steps in 1usize..24) {
        history(seed, steps, 600);
    }
}

#[test]
fn large_segments_are_pruned_exactly() {
    assert!(history(7, 14, 6_000) > 1_000);
}

/// Chunks that move again and again, and back, while few enough do that they are not sorted anew.
#[test]
fn a_chunk_is_read_in_its_last_class_alone() {
    let mut dice = Dice(11);
    let mut case = Case::new();
    let class = |number: usize, dice: &mut Dice| 1 + dice.below(if number < 60 { 3 } else { CLASSES }) as ClassNo;
    case.add((0..2_000).map(|number| (class(number, &mut dice), dice.fields())).collect());
    let questions: Vec<Question> = ["w0 w1 w7", "w0 w30*", "w1 w3 w55"].iter().map(|query| Question::parse(query)).collect();
    let mut hits = 0;
    for _ in 0..200 {
        let class = [1 + dice.below(3), 1 + dice.below(3), 1 + dice.below(CLASSES), DEAD as usize][dice.below(4)] as ClassNo;
        let number = dice.below(60);
        if case.chunks[number].0 != DEAD && (class != DEAD || dice.below(8) == 0) {
            case.set_class(number as u32, class);
        }
        let classes = 1 + dice.below(2) as ClassNo..2 + dice.below(2) as ClassNo;
        hits += case.compare(&Permit::of_classes(classes), &questions[dice.below(3)], 60, 0);
    }
    assert!(hits > 1_000, "{hits}");
}

/// Of a few documents of several classes it is asked one after the other whether they have a word that many have, when it is asked
/// for the first time.
#[test]
fn few_documents_are_sought_in_long_lists() {
    let mut dice = Dice(13);
    let mut case = Case::new();
    let words = |dice: &mut Dice| vec![(0..10).map(|_| format!("w{}", dice.below(200))).collect()];
    case.add((0..30_000).map(|_| (1 + dice.below(10_000) as ClassNo, words(&mut dice))).collect());
    let mut hits = 0;
    for word in 0..200 {
        let permit = Permit::of_classes((0..3).map(|_| 1 + dice.below(10_000) as ClassNo));
        hits += case.compare(&permit, &Question::parse(&format!("w{word}")), 10, 0);
    }
    assert!(hits > 50, "{hits}");
}

/// Lengths and frequencies at which another average length makes another posting of a block the best.
#[test]
fn a_bound_holds_under_averages_far_from_the_segments() {
    let mut case = Case::new();
    let mut dice = Dice(3);
    let chunk = |class: ClassNo, frequency: usize, length: usize| {
        let mut words = vec!["w0".to_owned(); frequency];
        words.resize(length, "x".to_owned());
        (class, vec![words])
    };
    // The caller of class 1 reads short chunks, the one of class 2 long ones.
    let batch = (0..3_000).map(|_| match dice.below(2) {
        0 => chunk(1, 1 + dice.below(2), 2 + dice.below(5)),
        _ => chunk(2, 1 + dice.below(20), 400 + dice.below(3_000)),
    });
    case.add(batch.collect());
    for classes in [vec![1], vec![2], vec![1, 2]] {
        let permit = Permit::of_classes(classes);
        for query in ["w0", "w0 x", "x w0 w0"] {
            assert_eq!(case.compare(&permit, &Question::parse(query), 10, 0), 10);
        }
    }
}

/// Frequencies are kept in four and in eight bits; larger ones elsewhere.
#[test]
fn frequencies_of_any_size_count_for_few_and_for_many() {
    let mut case = Case::new();
    let sizes = [1, 2, 14, 15, 16, 254, 255, 256, 700];
    let chunk = |number: usize| {
        let mut words = vec!["w0".to_owned(); sizes[number % sizes.len()]];
        words.resize(720 + number % 7, format!("x{}", number % 3));
        (if number.is_multiple_of(20) { 1 } else { 2 }, vec![words])
    };
    case.add((0..1_500).map(chunk).collect());
    for classes in [vec![2], vec![1]] {
        for query in ["w0", "x1 w0", "w0 +x2"] {
            assert!(case.compare(&Permit::of_classes(classes.clone()), &Question::parse(query), 60, 0) > 20);
        }
    }
}

/// A tenth is few, and stays so when something is written.
#[test]
fn a_permit_that_admits_a_tenth_admits_few() {
    let mut case = Case::new();
    let mut dice = Dice(11);
    let mut batch = |count: usize| -> Vec<Chunk> {
        (0..count).map(|number| (if number.is_multiple_of(10) { 1 } else { 2 }, dice.fields())).collect()
    };
    case.add(batch(4_000));
    let permit = Permit::of_classes([1]);
    let few = |case: &Case| {
        let snapshot = case.index.snapshot();
        let readable = snapshot.readable(&permit, &case.rows, || unreachable!("it was searched with before"));
        matches!(readable.parts[0].documents, Admitted::Few(_))
    };
    let question = Question::parse("w0 w1 w2");
    for _ in 0..3 {
        assert!(case.compare(&permit, &question, 10, 0) > 0);
        assert!(few(&case));
    }
    case.set_class(0, DEAD);
    case.add(batch(10));
    case.compare(&permit, &question, 10, 0);
    assert!(few(&case));
}

/// Excerpts of all permits share one room; what was asked by others does not keep those of the last one out.
#[test]
fn excerpts_of_the_permits_that_ask_have_room() {
    const PERMITS: u32 = 60;
    let mut case = Case::new();
    case.index.sort_from(usize::MAX);
    let mut dice = Dice(23);
    case.add((0..6_000).map(|number| (1 + number % PERMITS, dice.fields())).collect());
    let questions = ["w0 w1 w2", "w3 w4 w5", "w6 w7 w8"].map(Question::parse);
    let mut bytes = Vec::new();
    for class in 1..=PERMITS {
        let permit = Permit::of_classes([class]);
        for question in &questions {
            assert!(case.compare(&permit, question, 10, 0) > 0);
        }
        let readable = case.index.snapshot().readable(&permit, &case.rows, || unreachable!("it was searched with before"));
        bytes.push(readable.few().map(Few::excerpt_bytes).sum::<usize>());
    }
    assert!(bytes.iter().sum::<usize>() > MAX_BYTES * 3 / 2, "they would not all have room: {bytes:?}");
    assert!(bytes.iter().all(|of_one| *of_one > bytes[0] / 2), "{bytes:?}");
}

#[test]
fn equal_scores_are_equal_by_ordering() {
    assert_eq!(1.0f32.total_cmp(&1.0), Ordering::Equal);
    let mut case = Case::new();
    case.add((0..1_000).map(|_| (1, vec![vec!["w0".to_owned(), "w1".to_owned()]])).collect());
    assert_eq!(case.compare(&Permit::of_classes([1]), &Question::parse("w0 w1"), 10, 1), 10);
}

#[test]
fn a_known_language_is_not_told_again() {
    let text = "The houses of the street were running out of their names";
    let indexed = |code| indexed_terms(None, &[], text, Some(Language::of_code(code)));
    let (english, german) = (indexed("eng"), indexed("deu"));
    assert_eq!((english.language.code(), german.language.code()), ("eng", "deu"));
    assert!(english.terms.contains("run ") && !german.terms.contains("run "), "{} {}", english.terms, german.terms);
}

/// That bounds are right says the exhaustive loop; that they are tight, how many chunks are looked at.
#[test]
fn bounds_give_up_nearly_all_chunks_that_have_a_word() {
    let mut dice = Dice(17);
    let mut case = Case::new();
    let words = |dice: &mut Dice| vec![(0..5 + dice.below(90)).map(|_| dice.word()).collect()];
    case.add((0..30_000).map(|_| (1 + dice.below(CLASSES) as ClassNo, words(&mut dice))).collect());
    for share in [CLASSES, CLASSES / 2, CLASSES / 10] {
        let permit = Permit::of_classes(1..=share as ClassNo);
        let looked = Cell::new(0);
        let mut having = 0;
        for _ in 0..20 {
            let query: Vec<String> = (0..2 + dice.below(12)).map(|_| dice.word()).collect();
            let ranking = case.ranking(&permit, &Question::parse(&query.join(" ")));
            let looks = |_| {
                looked.set(looked.get() + 1);
                true
            };
            ranking.top(10, 0.0, looks, order).unwrap();
            having += ranking.top(case.chunks.len(), 0.0, |_| true, order).unwrap().len();
        }
        assert!(looked.get() * 60 < having, "{} of {having}", looked.get());
    }
}
