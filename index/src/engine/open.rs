//! Opening a data directory: the lock, the catalog, the tables in memory, and the replay of what the indexes lack.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, TransactionBehavior};
use serde::{Deserialize, Serialize};

use super::Engine;
use super::chunk_tables::{self, Tables};
use super::state::{Facts, State, View};
use super::upkeep::Upkeep;
use super::writer::{CatalogWriter, IndexWriter, Writer};
use crate::access::{DEAD, PermitCache};
use crate::catalog::sums::Sums;
use crate::catalog::{Catalog, ChunkRecord, VersionRecord, documents, load, load::ChunkRow, meta, set_meta, sources};
use crate::citation::Sealer;
use crate::error::{Error, Result};
use crate::keyword::{KeywordIndex, indexed_terms};
use crate::rows::Rows;
use crate::timestamp::Timestamp;
use crate::vector::{Shelf, Sizes, VectorSnapshot, VectorStore};

pub(crate) const CATALOG: &str = "catalog.sqlite";
const KEYWORD: &str = "keyword";
const VECTORS: &str = "vectors";
const LOCK: &str = "lock";
/// Connections that read the chunks at open. More than there are processors: where the catalog is not in memory they wait for the disk
/// together, not one after the other.
const READERS: u32 = 8;
/// Fewer chunks than these are read by one.
const MIN_READ_CHUNKS: u32 = 16_384;
const READ_BATCH: usize = 1_024;

/// The model that makes the vectors of a data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name, with whatever changes its vectors (such as the quantization).
    pub name: String,
    /// The number of values in a vector.
    pub dimensions: usize,
}

/// How to open a data directory.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The model at hand. The first one is recorded; another one is refused from then on.
    pub model: Option<Model>,
    /// Opens beside the process that writes, for reading what is durable at this moment.
    pub read_only: bool,
    /// How many vectors wait before they are sealed into a segment, a sixteenth of the largest segment and of what is worth a graph,
    /// and twice the chunks that are worth sorting by class; `None` for what suits large directories.
    pub seal_rows: Option<u32>,
}

impl Engine {
    /// Opens the data directory, making it when it does not exist.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process writes to it, [`Error::NewerFormat`], [`Error::ModelMismatch`].
    pub fn open(dir: &Path, options: &Options) -> Result<Engine> {
        let write = !options.read_only;
        if write {
            std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        }
        let lock = if write { Some(lock(dir)?) } else { None };
        let catalog = Catalog::open(&dir.join(CATALOG), write)?;
        let mut connection = catalog.connect()?;
        let sums = Sums::watch(&connection)?;
        let model = settle_model(&mut connection, &sums, options.model.clone(), write)?;
        let secret = catalog.read(secret)?;
        let name = name_of(&secret);
        let seq = catalog.read(|db| Ok(meta::<i64>(db, "seq")?.unwrap_or_default().cast_unsigned()))?;
        let mut keyword = KeywordIndex::open(&dir.join(KEYWORD), &name, seq, write)?;
        options.seal_rows.iter().for_each(|rows| keyword.sort_from(*rows as usize / 2));
        let mut vectors =
            model.as_ref().map(|model| VectorStore::open(&dir.join(VECTORS), &name, model.dimensions, seq, write)).transpose()?;
        let (access, mut view) = catalog.read(|db| {
            let access = load::access(db)?;
            let mut view = View {
                epoch: meta::<i64>(db, "epoch")?.unwrap_or_default().cast_unsigned(),
                seq: meta::<i64>(db, "seq")?.unwrap_or_default().cast_unsigned(),
                classes: Rows::default(),
                facts: Rows::default(),
                counts: Rows::default(),
                end: 0,
                keyword: keyword.snapshot(),
                vectors: VectorSnapshot::default(),
            };
            match chunk_tables::load(dir, db, &name, write)? {
                Some(Tables { classes, facts, counts, end }) => view = View { classes, facts, counts, end, ..view },
                None => load_rows(&catalog, db, &mut view, if write { READERS } else { 1 })?,
            }
            Ok((access, view))
        })?;
        replay(&catalog, &view, &mut keyword, vectors.as_mut().filter(|_| write), write)?;
        view.keyword = keyword.snapshot();
        let mut shelf = None;
        if let Some(vectors) = &vectors {
            let sizes = options.seal_rows.map_or_else(Sizes::default, |seal_rows| Sizes { seal_rows });
            let (opened, segments) = Shelf::open(&dir.join(VECTORS), &name, vectors.dimensions(), seq, write, sizes)?;
            view.vectors = VectorSnapshot::new(vectors, segments, &view.classes, sizes);
            (0..view.end).for_each(|chunk| view.place(chunk));
            shelf = Some(opened);
        }
        let state = Arc::new(RwLock::new(State { access, permits: PermitCache::default(), view: Arc::new(view) }));
        let start = |shelf| Upkeep::start(state.clone(), shelf).map_err(Error::io(dir));
        let upkeep = shelf.filter(|_| write).map(start).transpose()?;
        Ok(Engine {
            dir: dir.to_owned(),
            model,
            catalog,
            sealer: Sealer::new(&secret),
            state,
            upkeep,
            writer: write.then(|| Writer {
                catalog: Mutex::new(CatalogWriter { connection, sums, vectors, unsynced: 0 }),
                index: Mutex::new(IndexWriter { keyword, unsynced: 0 }),
                poisoned: OnceLock::new(),
            }),
            waiting: super::group::Waiting::default(),
            _lock: lock,
        })
    }

    /// Writes what memory keeps of chunks for the next open.
    pub(super) fn save_tables(&self) -> Result<()> {
        let view = self.state.read().view.clone();
        self.catalog.read(|db| match meta::<i64>(db, "seq")?.map(i64::cast_unsigned) {
            Some(seq) if seq == view.seq => chunk_tables::save(&self.dir, db, &name_of(&secret(db)?), &view),
            _ => Ok(()),
        })
    }
}

fn secret(db: &Connection) -> Result<[u8; 32]> {
    let secret: Vec<u8> = meta(db, "secret")?.ok_or_else(|| Error::corrupt("catalog", "it has no secret"))?;
    <[u8; 32]>::try_from(secret).map_err(|_| Error::corrupt("catalog", "its secret is not 32 bytes"))
}

/// What derived files call the catalog with this secret.
fn name_of(secret: &[u8; 32]) -> String {
    let name = blake3::derive_key("sightline catalog name", secret);
    blake3::Hash::from(name).to_hex()[..16].to_owned()
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(Error::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(Error::io(&path)(error)),
    }
}

fn settle_model(connection: &mut Connection, sums: &Sums, offered: Option<Model>, write: bool) -> Result<Option<Model>> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    let stored: Option<String> = meta(&tx, "model")?;
    let stored: Option<Model> =
        stored.map(|stored| serde_json::from_str(&stored)).transpose().map_err(|error| Error::corrupt("model record", error))?;
    match (stored, offered) {
        (Some(stored), Some(offered)) if stored != offered => {
            Err(Error::ModelMismatch { stored: stored.name, offered: offered.name })
        }
        (Some(stored), _) => Ok(Some(stored)),
        (None, Some(offered)) if write => {
            let record = serde_json::to_string(&offered).map_err(|error| Error::corrupt("model record", error))?;
            set_meta(&tx, "model", &record)?;
            sums.store(&tx)?;
            tx.commit()?;
            Ok(Some(offered))
        }
        (None, _) => Ok(None),
    }
}

/// Calls `give` with every live chunk of these numbers.
pub(super) fn each_row(
    db: &Connection,
    names: &HashMap<u32, String>,
    numbers: Range<u32>,
    give: &mut dyn FnMut((ChunkRow, Facts)),
) -> Result<()> {
    load::chunks(db, numbers, |chunk, document| {
        let source = names.get(&chunk.source).map_or("", String::as_str);
        let at = Timestamp(chunk.modified_at.unwrap_or(chunk.ingested_at));
        give((chunk, Facts::new(source, document, chunk.ordinal, at, chunk.vector != 0)));
    })
}

/// Reads the tables of chunks with so many connections; more than one see one moment where nobody else may write.
fn load_rows(catalog: &Catalog, db: &Connection, view: &mut View, readers: u32) -> Result<()> {
    let names = sources::names(db)?;
    let mut take = |(chunk, facts): (ChunkRow, Facts)| {
        *view.facts.get_mut(chunk.num) = facts;
        view.set_class(chunk.num, chunk.class, chunk.tokens);
    };
    let end = load::chunks_end(db)?;
    let piece = end.div_ceil(readers).max(MIN_READ_CHUNKS);
    if piece >= end {
        return each_row(db, &names, 0..end, &mut take);
    }
    let (sender, loaded) = sync_channel(readers as usize);
    std::thread::scope(|scope| {
        let reading = |first: u32| {
            let (sender, names) = (sender.clone(), &names);
            scope.spawn(move || {
                let mut batch = Vec::with_capacity(READ_BATCH);
                // It is sent to the end of this scope, so that nobody has hung up.
                let send = |batch: &mut Vec<_>| _ = sender.send(std::mem::replace(batch, Vec::with_capacity(READ_BATCH)));
                catalog.read_apart(|db| {
                    each_row(db, names, first..end.min(first + piece), &mut |row| {
                        batch.push(row);
                        if batch.len() == READ_BATCH {
                            send(&mut batch);
                        }
                    })
                })?;
                send(&mut batch);
                Ok::<(), Error>(())
            })
        };
        let threads: Vec<_> = (0..end).step_by(piece as usize).map(reading).collect();
        drop(sender);
        loaded.into_iter().flatten().for_each(&mut take);
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Brings the indexes from the sequence they reflect to that of the catalog; opened for reading, the keyword index in memory.
fn replay(
    catalog: &Catalog,
    view: &View,
    keyword: &mut KeywordIndex,
    mut vectors: Option<&mut VectorStore>,
    write: bool,
) -> Result<()> {
    for chunk in keyword.chunks() {
        if view.classes.get(chunk) == DEAD {
            keyword.remove(chunk);
        }
    }
    let from = vectors.as_ref().map_or(u64::MAX, |vectors| vectors.applied()).min(keyword.applied());
    if from >= view.seq {
        return Ok(());
    }
    tracing::info!(from, to = view.seq, "replaying writes that the indexes lack");
    catalog.read(|db| {
        let mut last: Option<(i64, VersionRecord)> = None;
        ChunkRecord::since(db, from, |chunk| {
            if chunk.seq > keyword.applied() {
                if last.as_ref().is_none_or(|(doc, _)| *doc != chunk.doc) {
                    let version = VersionRecord::get(db, chunk.doc, chunk.version)?;
                    last = Some((chunk.doc, version.ok_or_else(|| Error::corrupt("chunk", "its version is missing"))?));
                }
                let (_, version) = last.as_ref().expect("INVARIANT: it was just set");
                let text = version.text.get(chunk.start..chunk.end).unwrap_or_default();
                let indexed = indexed_terms(version.title.as_deref(), &chunk.headings, text, chunk.language);
                keyword.add(chunk.num, indexed.terms)?;
                if write {
                    keyword.spill()?;
                }
            }
            if let Some(store) = vectors.as_deref_mut()
                && chunk.vector != 0
                && chunk.seq > store.applied()
            {
                let values = documents::vector(db, chunk.vector)?.ok_or_else(|| Error::corrupt("vector", chunk.vector))?;
                store.put(chunk.num, &values)?;
            }
            Ok(())
        })
    })?;
    if write {
        keyword.checkpoint(view.seq)?;
    } else {
        keyword.publish()?;
    }
    match vectors {
        Some(vectors) => vectors.checkpoint(view.seq),
        None => Ok(()),
    }
}
