//! Vectors: the same text has the same one, to the bit, and none is made twice.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sightline_index::{Caller, Engine, Error, Mode, Model, Options, Query, Timestamp};
use sightline_ingest::{Embedder, FolderOptions, Limits, Pipeline, Sandbox, SyncReport, sync_folder};
use tempfile::TempDir;

/// The model, loaded once for all tests; `None`, and said so, where there is none.
fn embedder() -> Option<Arc<Embedder>> {
    static EMBEDDER: OnceLock<Option<Arc<Embedder>>> = OnceLock::new();
    let embedder = EMBEDDER.get_or_init(|| Some(Arc::new(Embedder::open(&Embedder::find(None)?, 2).unwrap())));
    if embedder.is_none() {
        eprintln!("skipped: no model");
    }
    embedder.clone()
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|value| value.to_bits()).collect()
}

fn cosine(one: &[f32], other: &[f32]) -> f64 {
    one.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[test]
fn a_vector_depends_on_its_text_alone() {
    let Some(embedder) = embedder() else { return };
    let texts: Vec<String> = (1..40)
        .map(|length| (0..length * 5).map(|word| format!("word{} ", (word * 7 + length) % 91)).collect())
        .chain(["".to_owned(), "ü".to_owned(), "特急校正の追加料金".to_owned(), "a ".repeat(4000)])
        .collect();
    let alone: Vec<Vec<u32>> = texts.iter().map(|text| bits(&embedder.embed(text).unwrap())).collect();
    for vector in &alone {
        assert_eq!(vector.len(), embedder.model().dimensions);
        let length: f64 = vector.iter().map(|bits| f64::from(f32::from_bits(*bits)).powi(2)).sum();
        assert!((length.sqrt() - 1.0).abs() < 1e-5, "{length}");
    }
    // Four threads, two instances, each thread in another order.
    std::thread::scope(|scope| {
        for step in [1, 5, 11, 17] {
            let (embedder, texts, alone) = (&embedder, &texts, &alone);
            scope.spawn(move || {
                for turn in 0..texts.len() {
                    let at = turn * step % texts.len();
                    assert_eq!(bits(&embedder.embed(&texts[at]).unwrap()), alone[at], "{:.40}", texts[at]);
                }
            });
        }
    });
    // Another process of the model is the same model.
    let again = Embedder::open(&Embedder::find(None).unwrap(), 1).unwrap();
    assert_eq!(bits(&again.embed(&texts[20]).unwrap()), alone[20]);
}

#[test]
fn a_paraphrase_is_nearer_than_another_matter() {
    let Some(embedder) = embedder() else { return };
    let embed = |text: &str| embedder.embed(text).unwrap();
    for (text, paraphrase, other) in [
        (
            "How do I rotate the signing key?",
            "Steps for replacing the key that signs releases",
            "The canteen serves fish on Fridays",
        ),
        (
            "The employee may work from home two days a week",
            "Staff can do remote work twice weekly",
            "The sensor drifts at low temperature",
        ),
        ("The company was bought by a competitor", "A rival acquired the firm", "Water the plants every morning"),
    ] {
        let text = embed(text);
        let (near, far) = (cosine(&text, &embed(paraphrase)), cosine(&text, &embed(other)));
        assert!(near > far + 0.2, "{paraphrase}: {near}, {other}: {far}");
    }
}

struct Scene {
    folder: TempDir,
    data: PathBuf,
    pipeline: Pipeline,
}

impl Scene {
    fn open(folder: TempDir, data: &Path, embedder: &Arc<Embedder>) -> Scene {
        let options = Options { model: Some(embedder.model().clone()), ..Options::default() };
        let engine = Arc::new(Engine::open(data, &options).unwrap());
        let pipeline = Pipeline::new(engine, Some(embedder.clone()), Limits::default(), Sandbox::in_process());
        Scene { folder, data: data.to_owned(), pipeline }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn sync(&self) -> SyncReport {
        let options = FolderOptions {
            root: self.folder.path().to_owned(),
            source: "s".to_owned(),
            allow: vec!["public".to_owned()],
            ..FolderOptions::default()
        };
        let report = sync_folder(&self.pipeline, &options, Timestamp::now, |_| {}).unwrap();
        assert_eq!(report.failures, []);
        report
    }

    /// Everything that is found for some questions in some modes, with scores to the bit.
    fn answers(&self) -> Vec<String> {
        let mut answers = Vec::new();
        for text in ["boats in the harbour", "who repairs the lighthouse", "penguins"] {
            for mode in [Mode::Keyword, Mode::Vector, Mode::Hybrid] {
                let mut query = Query { text: text.to_owned(), mode, limit: 50, ..Query::default() };
                self.pipeline.embed_query(&mut query);
                let found = self.pipeline.engine().search(&Caller::public(), &query, Timestamp::now()).unwrap();
                assert_eq!(found.mode, mode);
                for hit in found.hits {
                    let scores = [Some(hit.score), hit.scores.keyword, hit.scores.vector].map(|score| score.map(f32::to_bits));
                    answers.push(format!("{mode:?} {:?} {:?} {scores:?} {}", hit.citation.document, hit.citation.span, hit.text));
                }
            }
        }
        answers
    }
}

/// A text of several passages, one under each heading.
fn story(subjects: &[&str]) -> String {
    let part =
        |subject: &&str| format!("## Of {subject}\n\n{}\n\n", format!("The keeper wrote about {subject} in the book. ").repeat(12));
    subjects.iter().map(part).collect()
}

#[test]
fn a_model_knows_its_languages() {
    let Some(embedder) = embedder() else { return };
    for (text, known) in [
        ("How many points did the defense surrender?", 1.0..=1.0),
        ("42", 0.0..=1.0),
        ("?!", 1.0..=1.0),
        ("Wie viele Punkte gab die Verteidigung der Panthers ab?", 0.5..=1.0),
        ("梅雨がないのは北海道とどこか。", 0.0..=0.5),
        ("工业城在哪个国家？", 0.0..=0.3),
        ("كم عدد النقاط التي سجلها الدفاع؟", 0.0..=0.0),
    ] {
        let fluency = embedder.fluency(text);
        assert!(known.contains(&fluency), "{text}: {fluency}");
    }
}

#[test]
fn no_vector_is_made_twice() {
    let Some(embedder) = embedder() else { return };
    let data = TempDir::new().unwrap();
    let scene = Scene::open(TempDir::new().unwrap(), data.path(), &embedder);
    scene.write("a.md", &story(&["boats", "the harbour", "the lighthouse"]));
    scene.write("b.md", &story(&["penguins", "walruses"]));
    let first = scene.sync();
    assert_eq!((first.chunks, first.embedded), (5, 5));
    assert_eq!(scene.sync().embedded, 0);

    // Touched, but the same.
    scene.write("a.md", &story(&["boats", "the harbour", "the lighthouse"]));
    assert_eq!(scene.sync().embedded, 0);
    // An edit makes the vectors of what it changed.
    scene.write("a.md", &story(&["boats", "the pier", "the lighthouse"]));
    let edited = scene.sync();
    assert_eq!((edited.updated, edited.embedded), (1, 1));
    // Taking it back makes none, and neither does a move or a copy.
    scene.write("a.md", &story(&["boats", "the harbour", "the lighthouse"]));
    assert_eq!(scene.sync().embedded, 0);
    std::fs::create_dir(scene.folder.path().join("sub")).unwrap();
    std::fs::rename(scene.folder.path().join("a.md"), scene.folder.path().join("sub/moved.md")).unwrap();
    std::fs::copy(scene.folder.path().join("b.md"), scene.folder.path().join("copy.md")).unwrap();
    let moved = scene.sync();
    assert_eq!((moved.created, moved.deleted, moved.embedded), (2, 1, 0));

    // The indexes are derived: without them the same is found, with the same scores, and nothing is embedded.
    let before = scene.answers();
    assert!(before.len() > 20, "{before:?}");
    let Scene { folder, data, pipeline } = scene;
    drop(pipeline);
    for index in ["keyword", "vectors"] {
        std::fs::remove_dir_all(data.join(index)).unwrap();
    }
    let scene = Scene::open(folder, &data, &embedder);
    assert_eq!(scene.answers(), before);
    let report = scene.sync();
    assert_eq!((report.unchanged, report.chunks, report.embedded), (3, 0, 0));
    assert!(data.join("keyword").is_dir() && data.join("vectors").is_dir());
}

#[test]
fn another_model_is_refused() {
    let Some(embedder) = embedder() else { return };
    let data = TempDir::new().unwrap();
    drop(Scene::open(TempDir::new().unwrap(), data.path(), &embedder));
    let open = |model: Option<Model>| Engine::open(data.path(), &Options { model, ..Options::default() });
    let own = embedder.model().clone();
    for other in
        [Model { name: format!("{} fp32", own.name), ..own.clone() }, Model { dimensions: own.dimensions * 2, ..own.clone() }]
    {
        let error = open(Some(other)).unwrap_err();
        assert!(matches!(&error, Error::ModelMismatch { stored, .. } if *stored == own.name), "{error}");
    }
    // Without a model at hand the data opens, and its own model is still known.
    assert_eq!(open(None).unwrap().model(), Some(&own));
    open(Some(own)).unwrap();
}
