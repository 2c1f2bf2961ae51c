"""The peers: each is filled with the same rows and asked by `prepare`, which returns what is timed.

What our engine has ready as a permit is ready here, too, and not timed: a bitmap, a list of rows, the text of a filter, the
settings of a session. Queries run on one thread; builds may use two. Rows are numbered from 0 and have length 1, so that
the inner product is the cosine.
"""

import importlib
import os
import tempfile
import time

RESULTS = 10
M, EF_CONSTRUCTION = 16, 200
BUILD_THREADS = 2


class Absent(Exception):
    """Why a peer cannot take part here."""


def need(module, package=None):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Absent(f"{module} is not installed: target/peers/bin/pip install {package or module}") from error


class Numpy:
    """Compares every permitted row in f32: what a small share of rows costs without any index."""

    names = ["numpy exact"]

    def __init__(self, data):
        self.np, self.base = need("numpy"), data.base

    def prepare(self, name, request):
        np, base, vector = self.np, self.base, request.vector
        rows = np.flatnonzero(request.mask)
        kept = min(RESULTS, len(rows))
        # Rows are gathered where that costs less than scoring the others, too.
        gather = len(rows) * 4 < len(base)

        def ask():
            scores = base[rows] @ vector if gather else (base @ vector)[rows]
            return rows[np.argpartition(-scores, kept - 1)[:kept]] if kept else []

        return ask


class Faiss:
    """HNSW over all rows; the bitmap of the caller's rows is consulted while the graph is walked."""

    efs = {"faiss ef64": 64, "faiss ef256": 256, "faiss ef512": 512}
    names = list(efs)

    def __init__(self, data):
        faiss = self.faiss = need("faiss", "faiss-cpu")
        self.np = need("numpy")
        kept = os.environ.get("KEEP") and os.path.join(os.environ["KEEP"], f"faiss-{len(data.base)}-{data.digest}.index")
        if kept and os.path.exists(kept):
            self.index, self.loaded = faiss.read_index(kept), True
        else:
            self.index = faiss.IndexHNSWFlat(data.base.shape[1], M, faiss.METRIC_INNER_PRODUCT)
            self.index.hnsw.efConstruction = EF_CONSTRUCTION
            faiss.omp_set_num_threads(BUILD_THREADS)
            self.index.add(data.base)
            if kept:
                os.makedirs(os.environ["KEEP"], exist_ok=True)
                faiss.write_index(self.index, kept)
        faiss.omp_set_num_threads(1)

    def prepare(self, name, request):
        bitmap = self.np.packbits(request.mask, bitorder="little")
        parameters = self.faiss.SearchParametersHNSW(efSearch=self.efs[name], sel=self.faiss.IDSelectorBitmap(bitmap))
        vector = request.vector[None, :]

        def ask(_bitmap=bitmap):
            found = self.index.search(vector, RESULTS, params=parameters)[1][0]
            return found[found >= 0]

        return ask


class Hnswlib:
    """HNSW with a filter, which is a Python function: here the quickest there is, a look into a list."""

    efs = {"hnswlib ef64": 64, "hnswlib ef256": 256}
    names = list(efs)

    def __init__(self, data):
        self.index = need("hnswlib").Index(space="ip", dim=data.base.shape[1])
        self.index.init_index(max_elements=len(data.base), M=M, ef_construction=EF_CONSTRUCTION, random_seed=7)
        self.index.add_items(data.base, num_threads=BUILD_THREADS)
        self.index.set_num_threads(1)

    def prepare(self, name, request):
        self.index.set_ef(self.efs[name])
        readable = request.mask.tolist().__getitem__
        kept = min(RESULTS, int(request.mask.sum()))

        def ask():
            try:
                return self.index.knn_query(request.vector, kept, num_threads=1, filter=readable)[0][0] if kept else []
            except RuntimeError:
                # It found fewer than were asked for, and returns none of them.
                return []

        return ask


class Lancedb:
    """IVF_HNSW_SQ, a bitmap index over the classes, and the caller's classes as a prefilter."""

    names = ["lancedb"]

    def __init__(self, data):
        os.environ.setdefault("LANCE_CPU_THREADS", "1")
        lancedb, arrow = need("lancedb"), need("pyarrow")
        self.folder = tempfile.TemporaryDirectory(dir=data.folder)
        columns = {f"class_{acl}": classes.astype("int64") for acl, classes in data.classes.items()}
        vectors = arrow.FixedSizeListArray.from_arrays(arrow.array(data.base.ravel()), data.base.shape[1])
        table = arrow.table({"id": range(len(data.base)), "vector": vectors, **columns})
        self.table = lancedb.connect(self.folder.name).create_table("rows", table)
        self.table.create_index(metric="dot", vector_column_name="vector", index_type="IVF_HNSW_SQ", num_partitions=16)
        for column in columns:
            self.table.create_scalar_index(column, index_type="BITMAP")

    def prepare(self, name, request):
        readable = f"class_{request.acl} IN ({','.join(map(str, request.classes))})"

        def ask():
            query = self.table.search(request.vector, vector_column_name="vector").limit(RESULTS).nprobes(16).ef(128)
            query = query.select(["id", "_distance"])
            if not request.everything:
                query = query.where(readable, prefilter=True)
            return query.to_arrow()["id"].to_numpy()

        return ask


class Pgvector:
    """PostgreSQL with row-level security over pgvector's HNSW. It makes the table `sightline_rows` and the role
    `sightline_app` in the database of PG_DSN; the session says which classes its caller may read."""

    names = ["pgvector rls"]

    def __init__(self, data):
        if not os.environ.get("PG_DSN"):
            raise Absent("PG_DSN names no database")
        psycopg = need("psycopg", "'psycopg[binary]'")
        # Each query is planned by itself, so that the planner sees how many classes its caller reads.
        connection = psycopg.connect(os.environ["PG_DSN"], autocommit=True, prepare_threshold=None)
        self.cursor = connection.cursor()
        columns = [f"class_{acl}" for acl in data.classes]
        self.run(
            "CREATE EXTENSION IF NOT EXISTS vector",
            "DROP TABLE IF EXISTS sightline_rows",
            f"CREATE TABLE sightline_rows (id int PRIMARY KEY, {', '.join(f'{name} int' for name in columns)}, "
            f"vector vector({data.base.shape[1]}))",
        )
        with self.cursor.copy("COPY sightline_rows FROM STDIN") as copy:
            for row, vector in enumerate(data.base):
                copy.write_row((row, *(int(classes[row]) for classes in data.classes.values()), literal(vector)))
        self.run(
            "SET maintenance_work_mem = '4GB'",
            f"SET max_parallel_maintenance_workers = {BUILD_THREADS - 1}",
            f"CREATE INDEX ON sightline_rows USING hnsw (vector vector_ip_ops) WITH (m = {M}, ef_construction = {EF_CONSTRUCTION})",
            *(f"CREATE INDEX ON sightline_rows ({name})" for name in columns),
            "ANALYZE sightline_rows",
            "ALTER TABLE sightline_rows ENABLE ROW LEVEL SECURITY",
            "DO $$ BEGIN CREATE ROLE sightline_app; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
            "GRANT SELECT ON sightline_rows TO sightline_app",
            "SET hnsw.iterative_scan = 'relaxed_order'",
            "SET hnsw.ef_search = 128",
            "SET hnsw.max_scan_tuples = 100000",
            "SET max_parallel_workers_per_gather = 0",
        )
        self.acl = None

    def run(self, *statements):
        for statement in statements:
            self.cursor.execute(statement)

    def prepare(self, name, request):
        if request.acl != self.acl:
            # A policy over one column, so that the planner may use its index.
            self.run(
                "RESET ROLE",
                "DROP POLICY IF EXISTS readable ON sightline_rows",
                "CREATE POLICY readable ON sightline_rows "
                f"USING (class_{request.acl} = ANY (current_setting('sightline.classes')::int[]))",
                "SET ROLE sightline_app",
            )
            self.acl = request.acl
        classes = "{" + ",".join(map(str, request.classes)) + "}"
        self.cursor.execute("SELECT set_config('sightline.classes', %s, false)", (classes,))
        vector = literal(request.vector)

        def ask():
            self.cursor.execute(f"SELECT id FROM sightline_rows ORDER BY vector <#> %s::vector LIMIT {RESULTS}", (vector,))
            return [row for (row,) in self.cursor.fetchall()]

        return ask


def literal(vector):
    return "[" + ",".join(f"{value:.7f}" for value in vector) + "]"


class Qdrant:
    """One collection with an index over the classes; over gRPC. How many threads search is up to the server."""

    names = ["qdrant"]

    def __init__(self, data):
        if not os.environ.get("QDRANT_URL"):
            raise Absent("QDRANT_URL names no server")
        client = need("qdrant_client", "qdrant-client")
        models = self.models = client.models
        self.client = client.QdrantClient(url=os.environ["QDRANT_URL"], prefer_grpc=True, timeout=600)
        if self.client.collection_exists("sightline_rows"):
            self.client.delete_collection("sightline_rows")
        self.client.create_collection(
            "sightline_rows",
            vectors_config=models.VectorParams(size=data.base.shape[1], distance=models.Distance.DOT),
            hnsw_config=models.HnswConfigDiff(m=M, ef_construct=EF_CONSTRUCTION, max_indexing_threads=BUILD_THREADS),
            optimizers_config=models.OptimizersConfigDiff(default_segment_number=1, max_segment_size=2_000_000),
        )
        for acl in data.classes:
            self.client.create_payload_index("sightline_rows", f"class_{acl}", models.PayloadSchemaType.INTEGER)
        for first in range(0, len(data.base), 1000):
            rows = range(first, min(first + 1000, len(data.base)))
            payloads = [{f"class_{acl}": int(classes[row]) for acl, classes in data.classes.items()} for row in rows]
            batch = models.Batch(ids=list(rows), vectors=data.base[rows.start : rows.stop].tolist(), payloads=payloads)
            self.client.upsert("sightline_rows", batch, wait=True)
        while self.client.get_collection("sightline_rows").status != models.CollectionStatus.GREEN:
            time.sleep(1)

    def prepare(self, name, request):
        models, readable = self.models, None
        if not request.everything:
            condition = models.FieldCondition(key=f"class_{request.acl}", match=models.MatchAny(any=list(request.classes)))
            readable = models.Filter(must=[condition])
        vector, search = request.vector.tolist(), models.SearchParams(hnsw_ef=128)

        def ask():
            found = self.client.query_points(
                "sightline_rows", query=vector, limit=RESULTS, query_filter=readable, with_payload=False, search_params=search
            )
            return [point.id for point in found.points]

        return ask


class QdrantEdge:
    """Qdrant's engine in this process, without its server: one shard with an index over the classes, searched by one thread."""

    names = ["qdrant edge"]

    def __init__(self, data):
        edge = self.edge = need("qdrant_edge", "qdrant-edge-py")
        self.folder = tempfile.TemporaryDirectory(dir=data.folder)
        links = edge.HnswIndexConfig(
            m=M, ef_construct=EF_CONSTRUCTION, full_scan_threshold=10_000, max_indexing_threads=BUILD_THREADS
        )
        config = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=data.base.shape[1], distance=edge.Distance.Dot),
            hnsw_config=links,
            optimizers=edge.EdgeOptimizersConfig(default_segment_number=1, max_segment_size=10_000_000),
            max_search_threads=1,
        )
        self.shard = edge.EdgeShard.create(self.folder.name, config)
        for acl in data.classes:
            self.shard.update(edge.UpdateOperation.create_field_index(f"class_{acl}", edge.PayloadSchemaType.Integer))
        for first in range(0, len(data.base), 1000):
            rows = range(first, min(first + 1000, len(data.base)))
            payloads = ({f"class_{acl}": int(classes[row]) for acl, classes in data.classes.items()} for row in rows)
            points = [edge.Point(row, data.base[row].tolist(), payload) for row, payload in zip(rows, payloads)]
            self.shard.update(edge.UpdateOperation.upsert_points(points))
        self.shard.optimize()

    def prepare(self, name, request):
        edge, readable = self.edge, None
        if not request.everything:
            readable = edge.Filter(must=[edge.FieldCondition(f"class_{request.acl}", match=edge.MatchAny(list(request.classes)))])
        search = edge.SearchRequest(
            edge.Query.Nearest(request.vector.tolist()), RESULTS, filter=readable, params=edge.SearchParams(hnsw_ef=128)
        )

        def ask():
            return [point.id for point in self.shard.search(search)]

        return ask


PEERS = {
    "numpy": Numpy,
    "faiss": Faiss,
    "hnswlib": Hnswlib,
    "lancedb": Lancedb,
    "pgvector": Pgvector,
    "qdrant": Qdrant,
    "qdrant-edge": QdrantEdge,
}
