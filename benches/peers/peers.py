#!/usr/bin/env python3
"""What do other engines need for the searches of `benches/vector.rs` and `benches/keyword.rs`, and what do they find?

The vector bench exports its rows, classes, queries and callers, and waits after every cell: the peers are then asked the same, so
that a cell is measured by all within seconds of each other. Recall@10 is against a comparison of all permitted rows in f32; a
hit counts that scores no less than the tenth. The keyword bench alternates with tantivy, which knows no permissions, by itself.

Run: `make bench-peers SIZE=100k` (10k, 100k, 1m). `SIGHTLINE_DATA` names the folder of the passages, `PEERS=numpy,faiss,lancedb`
chooses, `PG_DSN` and `QDRANT_URL` name servers; from 1m on only numpy and FAISS run unless chosen. `KEEP=folder` keeps our data
directories and FAISS's graph for the next run. One JSON line per cell goes to stdout and to `benches/runs/peers-SIZE.jsonl`,
the ratios to stderr.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

# Before any library counts the processors.
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import engines

SIZES = {"k": 1_000, "m": 1_000_000}
SMALL = 100_000
WARM_UP = 3
# A peer is asked for so many seconds for each cell, and so many queries at least; a filter that nothing passes takes it seconds.
CELL_S, MIN_QUERIES = 60, 10


@dataclass
class Request:
    """One query by one caller: what it may read as classes, and as a mask over the rows."""

    acl: str
    vector: object
    classes: list
    mask: object
    everything: bool


class Data:
    """What the vector bench exported."""

    def __init__(self, folder):
        import numpy as np

        self.np, self.folder = np, folder
        self.base, self.queries = np.load(folder / "base.npy"), np.load(folder / "queries.npy")
        self.worlds = {acl: dict(cells) for acl, cells in json.loads((folder / "worlds.json").read_text()).items()}
        self.classes = {acl: np.load(folder / f"{acl}.classes.npy") for acl in self.worlds}
        self.digest = hashlib.blake2b(self.base, digest_size=8).hexdigest()
        self.scores = self.queries @ self.base.T

    def request(self, acl, selectivity, query):
        classes = self.worlds[acl][selectivity][query]
        readable = self.np.zeros(int(self.classes[acl].max()) + 1, dtype=bool)
        readable[[name for name in classes if name < len(readable)]] = True
        mask = readable[self.classes[acl]]
        return Request(acl, self.queries[query], classes, mask, bool(mask.all()))

    def recall(self, query, request, found):
        """The share of the ten best permitted rows that was found; rows that score the same are as good."""
        found = self.np.unique(self.np.asarray(found, dtype=int))
        assert request.mask[found].all(), "a row was found that may not be read"
        scores = self.scores[query]
        permitted = scores[request.mask]
        rows = min(engines.RESULTS, len(permitted))
        if rows == 0:
            return float(len(found) == 0)
        lowest = self.np.partition(permitted, len(permitted) - rows)[len(permitted) - rows]
        return min(int((scores[found] >= lowest - 1e-6).sum()), rows) / rows


def main():
    label = sys.argv[1] if len(sys.argv) > 1 else "100k"
    size = int(label[:-1]) * SIZES[label[-1]] if label[-1] in SIZES else int(label)
    chosen = os.environ.get("PEERS", "").split(",") if os.environ.get("PEERS") else None
    unknown = set(chosen or ()) - set(engines.PEERS)
    if unknown:
        sys.exit(f"PEERS: no peer is called {', '.join(sorted(unknown))}; there are {', '.join(engines.PEERS)}")
    chosen = chosen or (list(engines.PEERS) if size <= SMALL else ["numpy", "faiss"])
    for name in engines.PEERS:
        if name not in chosen:
            say(f"left out: {name}; PEERS={name} adds it")
    run = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    Path("target/peers").mkdir(parents=True, exist_ok=True)
    rows = []
    runs = Path(f"benches/runs/peers-{label}.jsonl")

    def note(row):
        rows.append(row)
        line = json.dumps({**row, "run": run})
        print(line, flush=True)
        with runs.open("a", encoding="utf-8") as file:
            print(line, file=file)

    with tempfile.TemporaryDirectory(dir="target/peers", prefix="data-") as folder:
        vectors(size, chosen, Path(folder), note)
    keywords(size, note)
    table(rows, size)


def bench(name, size, **more):
    environment = {**os.environ, "SIZES": str(size), "RUNS": os.devnull, **more}
    command = [os.environ.get("CARGO", "cargo"), "bench", "--quiet", "--bench", name]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)


def lines(process, name):
    """The lines of a bench as JSON; what else it says, such as that data is absent, ends the run."""
    for line in process.stdout:
        if not line.startswith("{"):
            process.kill()
            sys.exit(f"{name}: {line.strip()}")
        yield json.loads(line)
    if process.wait() != 0:
        sys.exit(f"{name}: the bench ended with {process.returncode}")


def vectors(size, chosen, folder, note):
    """Runs the vector bench and, after each of its cells, the peers."""
    process = bench("vector", size, EXPORT=str(folder.resolve()))
    said = lines(process, "vector")
    next(said)
    try:
        data = Data(folder)
        peers = dict(filled(data, chosen, note))
    except ModuleNotFoundError as error:
        say(f"skipped: all peers; {error}")
        peers = {}
    process.stdin.write("\n")
    for row in said:
        note(row)
        if row.get("mode") == "exact":
            for name, peer in list(peers.items()):
                try:
                    for variant in peer.names:
                        note(measured(data, peer, variant, row))
                except AssertionError:
                    raise
                except Exception as error:
                    say(f"stopped: {name}; {error}")
                    del peers[name]
            process.stdin.write("\n")


def filled(data, chosen, note):
    for name in chosen:
        begun = time.perf_counter()
        try:
            peer = engines.PEERS[name](data)
        except engines.Absent as reason:
            say(f"skipped: {name}; {reason}")
            continue
        except Exception as error:
            say(f"skipped: {name}; it could not be filled: {error}")
            continue
        took = "load_s" if getattr(peer, "loaded", False) else "build_s"
        note({"engine": name, "mode": "build", "size": len(data.base), took: round(time.perf_counter() - begun, 1)})
        yield name, peer


def measured(data, peer, variant, cell):
    """A cell of ours, asked of a peer."""
    acl, selectivity = cell["acl"], cell["selectivity"]
    times, recall = [], 0.0
    for query in [*range(WARM_UP), *range(len(data.queries))]:
        if sum(times) > CELL_S and len(times) >= WARM_UP + MIN_QUERIES:
            break
        request = data.request(acl, selectivity, query)
        ask = peer.prepare(variant, request)
        begun = time.perf_counter()
        found = ask()
        times.append(time.perf_counter() - begun)
        recall += data.recall(query, request, found) if len(times) > WARM_UP else 0
    times = sorted(times[WARM_UP:])
    p50, p99 = (round(times[len(times) * part // 100] * 1e3, 3) for part in (50, 99))
    mode = "exact" if variant == "numpy exact" else "vector"
    return {"engine": variant, "mode": mode, "size": cell["size"], "acl": acl, "selectivity": selectivity,
            "recall": round(recall / len(times), 4), "p50_ms": p50, "p99_ms": p99, "queries": len(times)}


def keywords(size, note):
    """Runs the keyword bench, which states shares in percent and compares with tantivy by itself."""
    for row in lines(bench("keyword", size), "keyword"):
        if "selectivity" in row:
            row["selectivity"] = round(row["selectivity"] / 100, 6)
            row["recall"] = None
        note(row)


def table(rows, size):
    """The ratios: a peer's median by ours, with the recall of each."""
    timed = [row for row in rows if "selectivity" in row]
    found = [row for row in timed if row["mode"] != "keyword"]
    names = list(dict.fromkeys((row["engine"], row["mode"]) for row in found))
    head = [" ".join(name) if name[0] == "sightline" else name[0] for name in names]
    say(f"\n{size:,} rows: median of ours, and of each peer by ours (numpy by our exact search); recall@10 in brackets")
    width = max(map(len, head)) + 4
    say(f"{'acl':<10}{'reads':>8}" + "".join(f"{name:>{width}}" for name in head))
    for acl, selectivity in dict.fromkeys((row["acl"], row["selectivity"]) for row in found):
        here = {(row["engine"], row["mode"]): row for row in found if (row["acl"], row["selectivity"]) == (acl, selectivity)}
        texts = [beside(here.get(name), here.get(("sightline", name[1]))) for name in names]
        say(f"{acl:<10}{percent(selectivity):>8}" + "".join(f"{text:>{width}}" for text in texts))
    words = [row for row in timed if row["mode"] == "keyword"]
    if words:
        say("\nkeyword: median of ours, and of tantivy without permissions by ours")
        say(f"{'cache':<10}{'reads':>8}{'sightline':>14}{'tantivy':>14}")
    for cache, selectivity in dict.fromkeys((row["cache"], row["selectivity"]) for row in words):
        here = {row["engine"]: row for row in words if (row["cache"], row["selectivity"]) == (cache, selectivity)}
        ours, plain = here["sightline"], here["tantivy"]
        say(f"{cache:<10}{percent(selectivity):>8}{ours['p50_ms']:>11.3f} ms{plain['p50_ms'] / ours['p50_ms']:>13.2f}x")


def beside(row, ours):
    if row is None or ours is None:
        return "-"
    time = f"{row['p50_ms']:.3f} ms" if row is ours else f"{row['p50_ms'] / max(ours['p50_ms'], 1e-3):.2f}x"
    return f"{time} ({row['recall']:.3f})"


def percent(share):
    return f"{share * 100:g} %"


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
