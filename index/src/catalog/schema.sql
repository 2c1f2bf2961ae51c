-- The catalog, format 3. Times are milliseconds since the Unix epoch. Numbers are never reused.

CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

-- By table, the sum of the hashes of its rows: see catalog/sums.rs.
CREATE TABLE sums (tbl TEXT PRIMARY KEY, sum BLOB NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE sources (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    config TEXT NOT NULL,
    acl_max_age INTEGER, -- seconds; older ACLs are stale
    created_at INTEGER NOT NULL,
    synced_at INTEGER
) STRICT;

-- A source's own user ids and the canonical users that they stand for.
CREATE TABLE aliases (
    source INTEGER NOT NULL,
    alias TEXT NOT NULL,
    canonical TEXT NOT NULL,
    PRIMARY KEY (source, alias)
) STRICT, WITHOUT ROWID;

-- Canonical ACLs; documents of a source with the same one share a row.
CREATE TABLE rules (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (source, body)
) STRICT;

CREATE TABLE labels (num INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL UNIQUE) STRICT;

-- What documents with the same effective guards share; `section` is 0 outside sections, `read_at` where ACLs do not age.
CREATE TABLE classes (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL,
    labels INTEGER NOT NULL,
    rule INTEGER NOT NULL,
    section INTEGER NOT NULL,
    read_at INTEGER NOT NULL,
    UNIQUE (source, labels, rule, section, read_at)
) STRICT;

CREATE TABLE containers (
    source INTEGER NOT NULL,
    id TEXT NOT NULL,
    rule INTEGER NOT NULL,
    read_at INTEGER NOT NULL,
    PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    grp TEXT NOT NULL,
    member TEXT NOT NULL,
    PRIMARY KEY (grp, member)
) STRICT, WITHOUT ROWID;

CREATE TABLE groups (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE TABLE documents (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL,
    id TEXT NOT NULL,
    title TEXT,
    uri TEXT,
    mime TEXT NOT NULL,
    labels INTEGER NOT NULL,
    rule INTEGER NOT NULL,
    class INTEGER NOT NULL,
    content BLOB NOT NULL,
    passages BLOB NOT NULL,
    version INTEGER NOT NULL,
    source_version TEXT,
    modified_at INTEGER,
    ingested_at INTEGER NOT NULL,
    acl_read_at INTEGER NOT NULL,
    verified_at INTEGER NOT NULL,
    deleted_at INTEGER,
    UNIQUE (source, id)
) STRICT;

-- The content of a document at one time; never edited. `born` is 1 where there was no document before. `main_hash` covers
-- title, media type and the text outside sections, the `hash` of a section its name, text and place: a caller counts
-- those versions in which something changed that they may read.
CREATE TABLE versions (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    doc INTEGER NOT NULL,
    version INTEGER NOT NULL,
    title TEXT,
    text_hash BLOB NOT NULL,
    source_version TEXT,
    modified_at INTEGER,
    ingested_at INTEGER NOT NULL,
    born INTEGER NOT NULL,
    main_hash BLOB NOT NULL,
    text TEXT NOT NULL, -- last, so that the other columns are read without it
    UNIQUE (doc, version)
) STRICT;

CREATE TABLE sections (
    doc INTEGER NOT NULL,
    version INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    name TEXT NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    rule INTEGER NOT NULL,
    class INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (doc, version, ordinal)
) STRICT, WITHOUT ROWID;

-- Passages of current versions only: what search runs over.
CREATE TABLE chunks (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    doc INTEGER NOT NULL,
    version INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    section INTEGER,
    headings TEXT NOT NULL,
    page INTEGER,
    part TEXT,
    tokens INTEGER NOT NULL,
    vector INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    -- Whose stems are indexed: ISO 639-3, empty where it is unsure, NULL for chunks older than format 3.
    language TEXT
) STRICT;
CREATE INDEX chunks_by_doc ON chunks (doc);

-- Vectors by the hash of model and text, so that nothing is embedded twice.
CREATE TABLE vectors (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    purpose TEXT NOT NULL,
    scopes TEXT NOT NULL,
    sources TEXT,
    labels TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL,
    state TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    summary TEXT NOT NULL
) STRICT;

CREATE TABLE failures (
    job INTEGER NOT NULL,
    item TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (job, item)
) STRICT, WITHOUT ROWID;
