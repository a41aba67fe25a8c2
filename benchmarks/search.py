"""How fast the nearest products are found, among 1,000 to 1,000,000, against NumPy and faiss.

    python benchmarks/search.py --output runs/benchmarks/search.json

Vectors are drawn in families, like garments: a hundred products around each direction. They are in
random order, or those of 20 kinds of families, one kind after the other ("sorted"). Queries are
slightly rotated products. Each contender answers one query at a time, with the ten nearest; the
contenders take turns, and the table has their medians. Memory is the peak of a process that opens
the index and answers three queries with one contender only; it counts the mapped file (Linux only;
elsewhere pass `--no-memory`).

`pip install -e ".[search]"` adds faiss: exact (`IndexFlatIP`), and the approximate search with the
share of the ten nearest that it finds (recall).
"""

from __future__ import annotations

import itertools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import _common
from keras_pixdt.search import ProductIndex
from keras_pixdt.search.index_file import Blobs, Rows, Settings

TOP = 10
FAMILY = 100
KINDS = 20
CONTENDERS = ("ours", "argpartition", "argsort", "faiss flat", "approximate")

Search = Callable[[np.ndarray], np.ndarray]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def turned(vectors: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    noise = rng.standard_normal(vectors.shape, dtype=np.float32)
    return unit(vectors + amount / np.sqrt(vectors.shape[1], dtype=np.float32) * noise)


def write_index(path: pathlib.Path, count: int, dimensions: int, by_kind: bool) -> None:
    rng = np.random.default_rng(0)
    families = unit(rng.standard_normal((max(1, count // FAMILY), dimensions), dtype=np.float32))
    family = rng.integers(0, len(families), count)
    if by_kind:
        kinds = unit(rng.standard_normal((KINDS, dimensions), dtype=np.float32))
        families = turned(kinds[np.arange(len(families)) * KINDS // len(families)], rng, 0.8)
        family.sort()
    vectors = turned(families[family], rng, 0.6)
    rows = Rows(
        vectors,
        np.zeros((count, 32), np.uint8),
        Blobs.of([b"product/%d.jpg" % row for row in range(count)]),
        Blobs.of([b""] * count),  # never read by a search
    )
    ProductIndex(Settings("0" * 64, dimensions, 64, 96), rows).save(path)


def searches(index: ProductIndex, names: list[str]) -> dict[str, Search]:
    """Contender -> from one query to the rows of the nearest."""
    vectors = index.vectors

    def argpartition(query: np.ndarray) -> np.ndarray:
        scores = vectors @ query
        best = np.argpartition(scores, -TOP)[-TOP:]
        return best[np.argsort(-scores[best])]

    found: dict[str, Search] = {
        "ours": lambda query: index.nearest(query, TOP)[0],
        "argpartition": argpartition,
        "argsort": lambda query: (vectors @ query).argsort()[::-1][:TOP],
    }
    if "faiss flat" in names:
        import faiss

        flat = faiss.IndexFlatIP(index.dimensions)
        flat.add(vectors)
        found["faiss flat"] = lambda query: flat.search(query[None], TOP)[1][0]
    if "approximate" in names:
        approximate = index.approximate()
        found["approximate"] = lambda query: approximate.nearest(query, TOP)[0]
    return {name: found[name] for name in names}


def peak_memory(path: pathlib.Path, name: str) -> int:
    """Peak memory of this process in bytes, after three queries with one contender."""
    index = ProductIndex.open(path)
    search = searches(index, [name])[name]
    for row in range(3):
        search(index.vectors[row])
    # Linux's maximum for a process includes the process that started it.
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def measure(
    count: int, dimensions: int, queries: int, names: list[str], memory: bool, by_kind: bool
) -> dict[str, Any]:
    """Searches one catalogue with all contenders in turns.

    Args:
        count: products.
        dimensions: of the vectors.
        queries: how many each contender answers.
        names: the contenders.
        memory: whether peak memory is measured as well.
        by_kind: whether the catalogue is sorted by kind.

    Returns:
        Milliseconds of opening, and of each contender per query; its recall and memory.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "products.index")
        write_index(path, count, dimensions, by_kind)
        opening = [_common.seconds(lambda: ProductIndex.open(path)) for _ in range(5)]
        index = ProductIndex.open(path)
        start = time.perf_counter()
        contenders = searches(index, names)
        prepared = time.perf_counter() - start
        rng = np.random.default_rng(1)
        asked = turned(index.vectors[rng.integers(0, count, queries)], rng, 0.4)
        exact = [set(index.nearest(query, TOP)[0].tolist()) for query in asked]
        times: dict[str, list[float]] = {name: [] for name in contenders}
        right = dict.fromkeys(contenders, 0)
        for search in contenders.values():
            search(asked[0])
        for query, best in zip(asked, exact, strict=True):
            for name, search in contenders.items():
                start = time.perf_counter()
                rows = search(query)
                times[name].append(time.perf_counter() - start)
                right[name] += len(best.intersection(rows.tolist()))
        results: dict[str, Any] = {
            "products": count,
            "sorted": by_kind,
            "file_bytes": path.stat().st_size,
            "open_ms": 1e3 * statistics.median(opening),
            "prepare_s": prepared,
            "contenders": {},
        }
        for name in contenders:
            result = {
                "ms": 1e3 * statistics.median(times[name]),
                "slowest_ms": 1e3 * max(times[name]),
                "recall": right[name] / sum(map(len, exact)),
            }
            if memory:
                result["peak_bytes"] = _common.apart(peak_memory, path, name)
            results["contenders"][name] = result
    return results


def available() -> list[str]:
    try:
        import faiss  # noqa: F401
    except ImportError:
        return [name for name in CONTENDERS if name not in ("faiss flat", "approximate")]
    return list(CONTENDERS)


def main() -> None:
    parser = _common.parser(__doc__)
    counts = [1_000, 10_000, 100_000, 1_000_000]
    parser.add_argument("--products", type=int, nargs="+", default=counts)
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--queries", type=int, default=20)
    names = available()
    parser.add_argument("--contenders", nargs="+", choices=names, default=names)
    parser.add_argument("--no-memory", action="store_true", help="do not start processes for it")
    options = parser.parse_args()
    results = []
    for count, by_kind in itertools.product(options.products, (False, True)):
        result = measure(
            count,
            options.dimensions,
            options.queries,
            options.contenders,
            not options.no_memory,
            by_kind,
        )
        results.append(result)
        order = ", sorted" if by_kind else ""
        print(f"{count:,} products{order}: opened in {result['open_ms']:.1f} ms")
        print(f"{'':18}{'ms/query':>10}{'slowest':>10}{'recall':>8}{'MB':>8}")
        for name, row in result["contenders"].items():
            memory = f"{row['peak_bytes'] / 1e6:8,.0f}" if "peak_bytes" in row else ""
            print(
                f"{name:18}{row['ms']:10.2f}{row['slowest_ms']:10.2f}{row['recall']:8.3f}{memory}"
            )
    _common.write_json(options, results, ("numpy", "faiss-cpu"))


if __name__ == "__main__":
    main()
