//! The chunker against its promises, on arbitrary texts and marks, and on examples that say what good chunks are.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn heading(at: usize, level: u8, text: &str) -> Mark {
    let text = text.to_owned();
    Mark { at, kind: MarkKind::Heading { level, text } }
}

/// The marks of a Markdown text, through the Markdown extractor.
fn marks_of(text: &str) -> Vec<Mark> {
    use crate::extract::{ExtractLimits, Sandbox, extract};
    let limits = ExtractLimits::default();
    extract(text.as_bytes(), "text/markdown", &limits, &Sandbox::in_process()).unwrap().marks
}

fn small() -> ChunkLimits {
    ChunkLimits { target_chars: 60, max_chars: 80, min_chars: 20 }
}

fn texts<'a>(text: &'a str, chunks: &[Chunk]) -> Vec<&'a str> {
    chunks.iter().map(|chunk| &text[chunk.start..chunk.end]).collect()
}

/// What holds of every chunking, whatever it was made from.
fn check(text: &str, marks: &[Mark], sections: &[SectionSpan], limits: &ChunkLimits) {
    let chunks = chunk(text, marks, sections, limits);
    let mut covered = 0;
    for chunk in &chunks {
        let passage = &text[chunk.start..chunk.end];
        assert!(!passage.is_empty() && passage.trim() == passage, "not trimmed: {passage:?}");
        assert!(text[covered..chunk.start].trim().is_empty(), "overlooked text or disorder");
        covered = chunk.end;
        let over = weight_of(passage) > limits.max_chars.max(1) * 2;
        assert!(!over || passage.chars().count() == 1, "too long: {passage:?}");
        let parts = marks.iter().filter(|mark| matches!(mark.kind, MarkKind::Part(_))).map(|mark| mark.at);
        for border in parts.chain(sections.iter().filter(|s| s.start < s.end).flat_map(|s| [s.start, s.end])) {
            let inside = border > chunk.start && border < chunk.end && text.is_char_boundary(border);
            assert!(!inside, "crosses the border at {border}");
        }
    }
    assert!(text[covered..].trim().is_empty(), "overlooked the end");
}

fn any_marks() -> impl Strategy<Value = Vec<Mark>> {
    let kind = prop_oneof![
        (1..7_u8, "[a-c]{0,2}").prop_map(|(level, text)| MarkKind::Heading { level, text }),
        (1..9_u32).prop_map(MarkKind::Page),
        "[a-c]".prop_map(MarkKind::Part),
    ];
    prop::collection::vec((0..900_usize, kind).prop_map(|(at, kind)| Mark { at, kind }), 0..12)
}

fn any_sections() -> impl Strategy<Value = Vec<SectionSpan>> {
    let section = (0..900_usize, 0..900_usize, "[x-z]");
    prop::collection::vec(section.prop_map(|(start, end, name)| SectionSpan { name, start, end }), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn covers_everything_once(
        text in "(\\PC|[ \n]|[a-z]{1,9} |[a-z]{30}|漢字。|é\u{301}|\n\n){0,220}",
        marks in any_marks(),
        sections in any_sections(),
        (target, max, min) in (0..120_usize, 0..160_usize, 0..60_usize),
    ) {
        let limits = ChunkLimits { target_chars: target, max_chars: max, min_chars: min };
        check(&text, &marks, &sections, &limits);
    }
}

#[test]
fn splits_where_a_reader_would() {
    let text = "One is short. Two follows it, and is longer. Three ends the first one.\n\n\
                The second paragraph has only this sentence, though it is long.";
    let chunks = chunk(text, &[], &[], &small());
    let expected = [&text[..70], &text[72..]];
    assert_eq!(texts(text, &chunks), expected);

    let one = "Alpha beta gamma delta epsilon zeta eta. Theta iota kappa lambda mu nu xi, omicron pi rho sigma. Tau.";
    let chunks = chunk(one, &[], &[], &small());
    let expected = ["Alpha beta gamma delta epsilon zeta eta.", "Theta iota kappa lambda mu nu xi, omicron pi rho sigma. Tau."];
    assert_eq!(texts(one, &chunks), expected);
}

#[test]
fn cjk_weighs_more_and_ends_its_sentences() {
    let text = "これは短い文です。".repeat(20);
    let chunks = chunk(&text, &[], &[], &small());
    assert!(chunks.len() >= 6, "{}", chunks.len());
    for passage in texts(&text, &chunks) {
        assert!(passage.ends_with('。'), "{passage}");
        assert!(passage.chars().count() <= 32, "{passage}");
    }
}

#[test]
fn chunks_begin_with_their_heading_line() {
    let body = "Some words that fill the section so that it can stand alone.";
    let text = format!("# Keys\n\n{body}\n\n## Rotation\n\n{body}\n\n## Loss\n\n{body}\n");
    let marks = marks_of(&text);
    let chunks = chunk(&text, &marks, &[], &small());
    let found: Vec<(&str, Vec<&str>)> = chunks
        .iter()
        .map(|c| (text[c.start..c.end].lines().next().unwrap(), c.headings.iter().map(String::as_str).collect()))
        .collect();
    let expected = [("# Keys", vec!["Keys"]), ("## Rotation", vec!["Keys", "Rotation"]), ("## Loss", vec!["Keys", "Loss"])];
    assert_eq!(found, expected);
}

#[test]
fn short_introductions_are_cited_as_what_they_introduce() {
    let text = "# Keys\n\n## Rotation\n\nRotate the signing key every ninety days, or sooner.";
    let chunks = chunk(text, &marks_of(text), &[], &small());
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunks[0].headings, ["Keys", "Rotation"]);
    assert_eq!((chunks[0].start, chunks[0].end), (0, text.len()));
}

#[test]
fn joined_siblings_are_cited_by_what_they_share() {
    let text = "# Keys\n\nThis part is long enough to stand alone, we think.\n\n## A\n\nOne.\n\n## B\n\nTwo.\n\n# Locks\n\nx";
    let chunks = chunk(text, &marks_of(text), &[], &small());
    let paths: Vec<_> = chunks.iter().map(|c| c.headings.join("/")).collect();
    // What does not fit, or has another parent, stays apart however short it is.
    assert_eq!(paths, ["Keys", "Keys/B", "Locks"]);

    let apart = "# Keys\n\n## A\n\nOne.\n\n## B\n\nTwo.\n";
    let chunks = chunk(apart, &marks_of(apart), &[], &small());
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunks[0].headings, ["Keys"]);
}

#[test]
fn what_began_elsewhere_is_not_cited_as_what_it_leads_to() {
    let text = "# A\n\na\n\n# B\n\n## C\n\nThis is under C, and A is not.";
    let chunks = chunk(text, &marks_of(text), &[], &small());
    assert_eq!(texts(text, &chunks), [text]);
    assert!(chunks.iter().all(|chunk| chunk.headings.is_empty()));
}

#[test]
fn a_lone_heading_goes_with_what_it_introduces() {
    let text = "# A\n\nLong enough to stand alone.\n\n# B\n\n## C\n\nLong enough to stand alone.";
    let chunks = chunk(text, &marks_of(text), &[], &small());
    assert_eq!(chunks.iter().map(|c| c.headings.join("/")).collect::<Vec<_>>(), ["A", "B/C"]);
}

#[test]
fn a_part_has_no_headings_of_the_part_before() {
    let marks = [heading(0, 1, "A"), Mark { at: 5, kind: MarkKind::Part("b".into()) }];
    let chunks = chunk("# A\n\nb", &marks, &[], &small());
    assert_eq!(chunks.iter().map(|c| c.headings.join("/")).collect::<Vec<_>>(), ["A", ""]);
}

#[test]
fn sections_and_parts_are_never_crossed() {
    let text = "public a\nsecret b\npublic c\nattached d";
    let sections = [SectionSpan { name: "salary".into(), start: 9, end: 18 }];
    let part = |at, name: &str| Mark { at, kind: MarkKind::Part(name.into()) };
    let marks = [part(0, "body"), part(27, "d.txt")];
    let chunks = chunk(text, &marks, &sections, &small());
    let found: Vec<_> = chunks.iter().map(|c| (&text[c.start..c.end], c.section.as_deref(), c.part.as_deref())).collect();
    let expected = [
        ("public a", None, Some("body")),
        ("secret b", Some("salary"), Some("body")),
        ("public c", None, Some("body")),
        ("attached d", None, Some("d.txt")),
    ];
    assert_eq!(found, expected);
}

#[test]
fn no_chunk_runs_over_the_end_of_a_page() {
    let text = "first page ends\n\nsecond page is here";
    let page = |at, number| Mark { at, kind: MarkKind::Page(number) };
    let chunks = chunk(text, &[page(0, 1), page(17, 2)], &[], &small());
    assert_eq!(chunks.iter().map(|c| c.page).collect::<Vec<_>>(), [Some(1), Some(2)]);
}

#[test]
fn finds_the_section_under_a_heading() {
    let text = "# A\n\n## Pay\n\nx\n\n### More\n\ny\n\n## Next\n\nz\n";
    let marks = marks_of(text);
    let (start, end) = section_under_heading(text, &marks, " Pay ").unwrap();
    assert_eq!(&text[start..end], "## Pay\n\nx\n\n### More\n\ny\n\n");
    let (start, end) = section_under_heading(text, &marks, "Next").unwrap();
    assert_eq!(&text[start..end], "## Next\n\nz\n");
    assert_eq!(section_under_heading(text, &marks, "pay"), None);
    let marks = [heading(0, 1, "A"), Mark { at: 5, kind: MarkKind::Part("b".into()) }];
    assert_eq!(section_under_heading("# A\n\nb", &marks, "A"), Some((0, 5)));
    assert_eq!(section_under_heading("# A\n\nb\n\n# A", &[heading(0, 1, "A"), heading(8, 1, "A")], "A"), None, "ambiguous");
}

/// The time bound is generous, because tests run without optimization; what it excludes is quadratic time.
#[test]
fn stays_linear_without_any_place_to_cut() {
    for unit in ["a", "字", "\u{301}", " ", "a\n", "🏳\u{200d}🌈"] {
        let text = unit.repeat((4 << 20) / unit.len());
        let begun = Instant::now();
        let chunks = chunk(&text, &[], &[], &ChunkLimits::default());
        assert!(begun.elapsed() < Duration::from_secs(30), "{unit:?} took {:?}", begun.elapsed());
        assert_eq!(chunks.is_empty(), unit == " ");
    }
}
