-- A catalog of format 1: one document in three versions; first its section changed, then what stands outside.
BEGIN TRANSACTION;
CREATE TABLE aliases (
    source INTEGER NOT NULL,
    alias TEXT NOT NULL,
    canonical TEXT NOT NULL,
    PRIMARY KEY (source, alias)
) STRICT, WITHOUT ROWID;
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
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO "chunks" VALUES(5,1,3,0,0,44,NULL,'["Plan"]',NULL,NULL,8,0,7);
INSERT INTO "chunks" VALUES(6,1,3,1,46,80,0,'["Salaries"]',NULL,NULL,7,0,7);
CREATE TABLE classes (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL,
    labels INTEGER NOT NULL,
    rule INTEGER NOT NULL,
    section INTEGER NOT NULL,
    read_at INTEGER NOT NULL,
    UNIQUE (source, labels, rule, section, read_at)
) STRICT;
INSERT INTO "classes" VALUES(1,1,1,2,0,0);
INSERT INTO "classes" VALUES(2,1,1,2,3,0);
CREATE TABLE containers (
    source INTEGER NOT NULL,
    id TEXT NOT NULL,
    rule INTEGER NOT NULL,
    read_at INTEGER NOT NULL,
    PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;
INSERT INTO "containers" VALUES(1,'/',1,1795178860254);
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
    version INTEGER NOT NULL,
    source_version TEXT,
    modified_at INTEGER,
    ingested_at INTEGER NOT NULL,
    acl_read_at INTEGER NOT NULL,
    verified_at INTEGER NOT NULL,
    deleted_at INTEGER,
    UNIQUE (source, id)
) STRICT;
INSERT INTO "documents" VALUES(1,1,'plan.md','Plan',NULL,'text/markdown',1,2,1,X'1AFC2CC30CB6F1CA18EEB8B80D946DC0A42BBFC078617CCD42D6894290723981',3,'1795178859.996045860-81-da609a12',1795178859996,1795178860256,1795178860256,1795178860256,NULL);
CREATE TABLE failures (
    job INTEGER NOT NULL,
    item TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (job, item)
) STRICT, WITHOUT ROWID;
CREATE TABLE groups (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
INSERT INTO "groups" VALUES('group:hr');
CREATE TABLE jobs (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL,
    state TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    summary TEXT NOT NULL
) STRICT;
INSERT INTO "jobs" VALUES(1,1,'done',1795178858664,1795178858676,'{"bytes":77,"chunks":2,"created":1,"deleted":0,"embedded":2,"failures":[],"files":1,"job":1,"seconds":0.01227599,"skipped":0,"unchanged":0,"updated":0}');
INSERT INTO "jobs" VALUES(2,1,'done',1795178859957,1795178859971,'{"bytes":77,"chunks":2,"created":0,"deleted":0,"embedded":1,"failures":[],"files":1,"job":2,"seconds":0.012528463,"skipped":0,"unchanged":0,"updated":1}');
INSERT INTO "jobs" VALUES(3,1,'done',1795178860252,1795178860266,'{"bytes":81,"chunks":2,"created":0,"deleted":0,"embedded":1,"failures":[],"files":1,"job":3,"seconds":0.012641903,"skipped":0,"unchanged":0,"updated":1}');
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
CREATE TABLE labels (num INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO "labels" VALUES(1,'{}');
CREATE TABLE members (
    grp TEXT NOT NULL,
    member TEXT NOT NULL,
    PRIMARY KEY (grp, member)
) STRICT, WITHOUT ROWID;
INSERT INTO "members" VALUES('group:hr','user:ana');
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('epoch',5);
INSERT INTO "meta" VALUES('format',1);
INSERT INTO "meta" VALUES('secret',X'BFE2990545119B3CF7A2B39F2299030139214DF329D6E9F57AB26B4D8E1CB62A');
INSERT INTO "meta" VALUES('seq',7);
CREATE TABLE rules (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (source, body)
) STRICT;
INSERT INTO "rules" VALUES(1,1,'{"state":"known","allow":["everyone"],"deny":[],"grants":[],"inherit":true}');
INSERT INTO "rules" VALUES(2,1,'{"state":"known","allow":[],"deny":[],"grants":[],"parent":"/","inherit":true}');
INSERT INTO "rules" VALUES(3,1,'{"state":"known","allow":["group:hr"],"deny":[],"grants":[],"inherit":true}');
CREATE TABLE sections (
    doc INTEGER NOT NULL,
    version INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    name TEXT NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    rule INTEGER NOT NULL,
    class INTEGER NOT NULL,
    PRIMARY KEY (doc, version, ordinal)
) STRICT, WITHOUT ROWID;
INSERT INTO "sections" VALUES(1,1,0,'Salaries',42,77,3,2);
INSERT INTO "sections" VALUES(1,2,0,'Salaries',42,77,3,2);
INSERT INTO "sections" VALUES(1,3,0,'Salaries',46,81,3,2);
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
INSERT INTO "sources" VALUES(1,'share','folder','','{"folder":"/tmp/f1"}',NULL,1795178858664,1795178860266);
CREATE TABLE vectors (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE versions (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    doc INTEGER NOT NULL,
    version INTEGER NOT NULL,
    title TEXT,
    text_hash BLOB NOT NULL,
    source_version TEXT,
    modified_at INTEGER,
    ingested_at INTEGER NOT NULL,
    text TEXT NOT NULL, -- last, so that the other columns are read without it
    UNIQUE (doc, version)
) STRICT;
INSERT INTO "versions" VALUES(1,1,1,'Plan',X'94D5E9251642B6F679408F13C491FF52A2FA8B126E3C2A2090015E8EBD23672C','1795178837.774890955-77-da609a12',1795178837774,1795178858668,'# Plan

The mooring plan of the harbour.

# Salaries

Ana earns 100 a month.
');
INSERT INTO "versions" VALUES(2,1,2,'Plan',X'A34C5F5EA3DEB8B91349FFF8700DEB36A2233BFF312B6BA37CFBE5ABFD84E5DB','1795178858.703191056-77-da609a12',1795178858703,1795178859962,'# Plan

The mooring plan of the harbour.

# Salaries

Ana earns 200 a month.
');
INSERT INTO "versions" VALUES(3,1,3,'Plan',X'78D91E7F2059ABE8AE473BAABEC1F03C87F7CF8DF0EA4D22E1891DDC8F87E5DE','1795178859.996045860-81-da609a12',1795178859996,1795178860256,'# Plan

The new mooring plan of the harbour.

# Salaries

Ana earns 200 a month.
');
CREATE INDEX documents_by_class ON documents (class);
CREATE INDEX chunks_by_doc ON chunks (doc);
CREATE INDEX chunks_by_seq ON chunks (seq);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('sources',1);
INSERT INTO "sqlite_sequence" VALUES('jobs',3);
INSERT INTO "sqlite_sequence" VALUES('rules',3);
INSERT INTO "sqlite_sequence" VALUES('labels',1);
INSERT INTO "sqlite_sequence" VALUES('classes',2);
INSERT INTO "sqlite_sequence" VALUES('documents',1);
INSERT INTO "sqlite_sequence" VALUES('vectors',4);
INSERT INTO "sqlite_sequence" VALUES('chunks',6);
INSERT INTO "sqlite_sequence" VALUES('versions',3);
COMMIT;
