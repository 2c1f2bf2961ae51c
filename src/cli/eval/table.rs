//! What `sightline eval` prints for people.

use std::path::Path;

use super::output::{columns, grouped, tame_line};
use crate::eval::{Average, CallerReport, Change, Comparison, MEASURES, Measures, Ranked, Report, Run, name_of};

/// Everything, one table after the other.
pub(super) fn all(reports: &[Report], average: &[Average], against: Option<(&Run, &Path)>) -> String {
    let mut text = String::new();
    for report in reports {
        text += &format!(
            "{}: documents {}, chunks {}, judged queries {}, ingested in {:.1} s\n",
            tame_line(&report.collection),
            grouped(report.documents as u64),
            grouped(report.chunks),
            grouped(report.queries as u64),
            report.ingest_seconds,
        );
    }
    text += "\n";
    text += &measures(reports, average);
    if let Some((run, path)) = against {
        let model = run.model.as_deref().unwrap_or("no model");
        text +=
            &format!("\nagainst {} (sightline {}, {})\n", tame_line(&path.display().to_string()), run.sightline, tame_line(model));
        text += &differences(reports);
    }
    for report in reports {
        for comparison in report.against.iter().flatten().filter(|comparison| !comparison.changed.is_empty()) {
            text += &format!("\n{}, {}: changed most in nDCG@10\n", tame_line(&report.collection), name_of(comparison.mode));
            comparison.changed.iter().for_each(|change| text += &changed(change));
        }
        if let Some(callers) = &report.callers {
            text += &format!("\n{} as callers who may read a part, vectors compared exactly\n", tame_line(&report.collection));
            text += &asked(callers);
        }
    }
    text
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn measures(reports: &[Report], average: &[Average]) -> String {
    let answers = reports.iter().flat_map(|report| &report.modes).any(|mode| mode.measures.answer_1.is_some());
    // The last measure is `answer@1`.
    let shown = if answers { MEASURES.len() } else { MEASURES.len() - 1 };
    let cells = |measures: &Measures| -> Vec<String> {
        let values = measures.values().into_iter().take(shown);
        values.map(|value| value.map_or_else(String::new, |value| format!("{value:.4}"))).collect()
    };
    let header: Vec<&str> = ["collection", "mode"].into_iter().chain(MEASURES.into_iter().take(shown)).chain(["p50 ms"]).collect();
    let mut lines = vec![words(&header)];
    for report in reports {
        for mode in &report.modes {
            let mut line = vec![tame_line(&report.collection), name_of(mode.mode).to_owned()];
            line.extend(cells(&mode.measures));
            line.push(format!("{:.2}", mode.p50_ms));
            lines.push(line);
        }
    }
    for average in average {
        let mut line = vec![format!("average of {}", average.collections), name_of(average.mode).to_owned()];
        line.extend(cells(&average.measures));
        lines.push(line);
    }
    columns(&lines, 2)
}

fn differences(reports: &[Report]) -> String {
    let mut lines = vec![words(&["collection", "mode", "measure", "before", "now", "difference", "p", "wins", "ties", "losses"])];
    for report in reports {
        for Comparison { mode, measures, .. } in report.against.iter().flatten() {
            lines.extend(measures.iter().map(|it| {
                vec![
                    tame_line(&report.collection),
                    name_of(*mode).to_owned(),
                    it.measure.to_owned(),
                    format!("{:.4}", it.before),
                    format!("{:.4}", it.now),
                    format!("{:+.4}", it.difference),
                    format!("{:.4}", it.p_value),
                    it.wins.to_string(),
                    it.ties.to_string(),
                    it.losses.to_string(),
                ]
            }));
        }
    }
    columns(&lines, 3)
}

fn changed(change: &Change) -> String {
    let rank = |rank: Option<usize>| rank.map_or_else(|| "none".to_owned(), |rank| rank.to_string());
    let relevant = change.relevant.iter().map(|it| format!("{} {} \u{2192} {}", it.document, rank(it.before), rank(it.now)));
    let relevant: Vec<String> = relevant.collect();
    let title = |title: &str| if title.is_empty() { String::new() } else { format!(" ({title})") };
    let top: Vec<String> = change.top.iter().map(|it| format!("{}{}", it.document, title(&it.title))).collect();
    format!(
        "  {:.4} \u{2192} {:.4}  {}: {}\n    relevant: {}\n    first now: {}\n",
        change.before,
        change.now,
        tame_line(&change.query),
        tame_line(&change.text),
        tame_line(&relevant.join(", ")),
        tame_line(&top.join(", ")),
    )
}

fn asked(callers: &[CallerReport]) -> String {
    let modes = callers.first().map(|caller| caller.modes.as_slice()).unwrap_or_default();
    let mut header = words(&["caller", "reads", "judged", "skipped"]);
    header.extend(modes.iter().flat_map(|mode| [format!("{} nDCG@10", name_of(mode.mode)), "private".to_owned()]));
    header.push("equal rankings".to_owned());
    if callers.iter().any(|caller| caller.vector_recall_10.is_some()) {
        header.push("vector recall@10".to_owned());
    }
    let mut lines = vec![header];
    let mut differing = String::new();
    for caller in callers {
        let mut line = vec![
            tame_line(&caller.caller),
            format!("{:.1} %", caller.share * 100.0),
            caller.judged.to_string(),
            caller.skipped.to_string(),
        ];
        line.extend(caller.modes.iter().flat_map(|mode| [format!("{:.4}", mode.ndcg_10), format!("{:.4}", mode.private_ndcg_10)]));
        let (equal, of) = caller.modes.iter().fold((0, 0), |(equal, of), mode| (equal + mode.equal, of + mode.asked));
        line.push(format!("{} of {}", grouped(equal as u64), grouped(of as u64)));
        line.extend(caller.vector_recall_10.map(|recall| format!("{recall:.4}")));
        lines.push(line);
        for mode in &caller.modes {
            let Some(differs) = &mode.differs else { continue };
            let place = |place: &Option<Ranked>| {
                place.as_ref().map_or_else(|| "nothing".to_owned(), |(document, score)| format!("{document} {score}"))
            };
            let line = format!(
                "DIFFERS: {}, {}, query {}, rank {}: {}, and privately {}",
                caller.caller,
                name_of(mode.mode),
                differs.query,
                differs.rank,
                place(&differs.caller),
                place(&differs.private)
            );
            differing += &(tame_line(&line) + "\n");
        }
    }
    columns(&lines, 1) + &differing
}
