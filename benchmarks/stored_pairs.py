"""How a run reads a set that is larger than the memory: when it starts, what it holds, how fast.

    python benchmarks/stored_pairs.py --pairs 200000 --data-dir DIR \
        --output runs/benchmarks/stored_pairs.json

It draws some products, and TFDS writes them as array_record until there are `--pairs`, with ids of
their own: 40 KB a pair. `--keep` leaves them in `--data-dir`, where the next run finds them.

A run of each preset and backend is a process of its own, on JAX without TensorFlow. It is stopped
after a few steps. The table says how long opening the pairs took; when, counted from the start of
the process, they were open (the libraries are loaded by then), the first step began and it was done
(Keras compiles it first); the peak of the resident set, and what of it were pages of mapped data
files at the end; the rate of the further steps, and how many times it the input reaches. Before,
one process on each backend makes batches, from the records and, in turns, from the first
`--in-memory` pairs as arrays.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib.machinery
import io
import itertools
import os
import pathlib
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import _common

NAME = "stored_pairs/pairs256"
SIZE = 256
VIEWS = 8  # pairs of a product


class WithoutTensorFlow(importlib.machinery.PathFinder):
    """Finds all modules but TensorFlow, as if it were not installed."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        """Nothing for TensorFlow."""
        return None if name.split(".")[0] == "tensorflow" else super().find_spec(name, path, target)


def prepare(folder: pathlib.Path, count: int, products: int) -> None:
    """Writes the set, unless it is there."""
    import tensorflow_datasets as tfds
    from PIL import Image

    import tfds_lookbook
    from keras_pixdt.data.readers import pair_table
    from keras_pixdt.drawn import rendered

    if (folder / "stored_pairs").exists():
        there = tfds.builder(NAME, data_dir=folder).info.splits["train"].num_examples
        if there != count:
            raise ValueError(
                f"{folder} holds a set of {there} pairs: remove it, or choose another --data-dir. "
                f"Received: --pairs {count}"
            )
        return

    def encoded(image: Any) -> bytes:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=95)
        return file.getvalue()

    def ids(pair: int) -> dict[str, Any]:
        product = pair // VIEWS
        found = {"product_id": product, "group_id": product, "target_id": product}
        return {**found, "source_id": pair, **dict.fromkeys(("category", "pattern", "color"), "")}

    def examples() -> Iterator[tuple[int, dict[str, Any]]]:
        drawn = rendered.render(products, SIZE, processes=1)
        files = [(encoded(each.target), [encoded(x) for x in each.sources]) for each in drawn]
        for pair in range(count):
            target, sources = files[pair // VIEWS % len(files)]
            source = sources[pair % len(sources)]
            yield pair, {"source": io.BytesIO(source), "target": io.BytesIO(target), **ids(pair)}

    name, config = NAME.split("/")
    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name,
        "1.0.0",
        tfds_lookbook.Builder(data_dir=folder, config=config).info.features,
        {"train": examples()},
        config=config,
        data_dir=folder,
        file_format="array_record",
        download_config=tfds.download.DownloadConfig(
            compute_stats=tfds.download.ComputeStatsMode.SKIP
        ),
        disable_shuffling=True,
    )
    pair_table.write(builder.data_dir, "train", map(ids, range(count)))


def choose(backend: str) -> None:
    """Sets the backend of this process, before Keras is imported."""
    os.environ["KERAS_BACKEND"] = backend
    if backend == "jax":
        sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = WithoutTensorFlow


def memory(folder: pathlib.Path) -> dict[str, float]:
    """Peak of the resident set, and what of it now are pages of mapped files of data, GiB."""
    mapped, of_data = 0, False
    for line in pathlib.Path("/proc/self/smaps").read_text("utf-8").splitlines():
        if "-" in line.split()[0]:  # the head of a mapping
            of_data = str(folder) in line or "(deleted)" in line
        elif of_data and line.startswith("Rss:"):
            mapped += int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_gib": peak / 2**20, "mapped_gib": mapped / 2**20}


def train(
    backend: str, preset: str, folder: pathlib.Path, steps: int, started: float
) -> dict[str, Any]:
    """A run that is stopped after some steps."""
    choose(backend)
    import keras
    import tensorflow_datasets  # noqa: F401  it is loaded when it is first needed

    from keras_pixdt import presets
    from keras_pixdt.training import inputs, trainer

    # Without weights to start from, and made square as the set is.
    row = dataclasses.replace(presets.get(preset), start=None, resize="letterbox")
    options = {"data": f"tfds:{NAME}", "data_dir": str(folder)}
    at: dict[str, float] = {"imported": time.time()}
    splits = inputs.load(row, options)
    at["open"] = time.time()
    ends: list[float] = []

    class Stop(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            at.setdefault("first_step_begins", time.time())

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            ends.append(time.time())
            if len(ends) > steps:
                raise InterruptedError

    with tempfile.TemporaryDirectory() as workdir:
        try:
            trainer.train(
                row, options["data"], workdir, data_options={"data_dir": str(folder)},
                splits=splits, epochs=1, verbose=0, callbacks=[Stop()],
            )  # fmt: skip
        except InterruptedError:
            pass
    at["first_step"] = ends[0]
    assert backend != "jax" or "tensorflow" not in sys.modules
    return {
        "seconds": {name: moment - started for name, moment in at.items()},
        "opening_seconds": at["open"] - at["imported"],
        "batch_size": row.batch_size,
        "step_pairs_per_second": row.batch_size * (len(ends) - 1) / (ends[-1] - ends[0]),
        **memory(folder),
    }


def draw(
    backend: str, folder: pathlib.Path, in_memory: int, batch_size: int, batches: int, rounds: int
) -> dict[str, Any]:
    """Rates at which batches are made."""
    choose(backend)
    import numpy as np

    from keras_pixdt import data

    pairs = data.load_pairs(f"tfds:{NAME}", SIZE, data_dir=str(folder))["train"]

    def take(source: data.PairSet) -> None:
        made = data.triplets(source, batch_size, irrelevant=False)
        for index in range(batches):
            made[index % len(made)]

    rates: dict[str, Any] = {"records": [], "memory": []}
    held = None
    for _ in range(rounds):
        rates["records"].append(batches * batch_size / _common.seconds(lambda: take(pairs)))
        if held is None:
            some = pairs.select(np.arange(in_memory // VIEWS))
            start = time.perf_counter()
            held = dataclasses.replace(
                some, sources=np.asarray(some.sources), targets=np.asarray(some.targets)
            )
            reading = len(some) / (time.perf_counter() - start)
        rates["memory"].append(
            batches * batch_size / _common.seconds(functools.partial(take, held))
        )
    return {
        "pairs_per_second": {name: statistics.median(each) for name, each in rates.items()},
        "rounds": rates,
        "reading_pairs_per_second": reading,
        "in_memory_gib": (held.sources.nbytes + held.targets.nbytes) / 2**30,
        "in_memory_pairs": len(held),
    }


def measure(options: argparse.Namespace, folder: pathlib.Path) -> dict[str, Any]:
    """Measures all, and prints what is found on the way."""
    results: dict[str, Any] = {"input": {}, "runs": {}}
    for backend in options.backends:
        found = results["input"][backend] = _common.apart(
            draw, backend, folder, options.in_memory, options.batch_size, options.batches,
            options.rounds,
        )  # fmt: skip
        rates = found["pairs_per_second"]
        print(
            f"{backend}: {rates['records']:,.0f} pairs/s from records, {rates['memory']:,.0f} from "
            f"{found['in_memory_gib']:.1f} GiB in memory ({found['in_memory_pairs']:,} pairs, read "
            f"at {found['reading_pairs_per_second']:,.0f} pairs/s)",
            flush=True,
        )
    print(
        f"{'':24}{'opening':>9}{'open':>9}{'begins':>9}{'1st step':>9}{'peak GiB':>9}"
        f"{'mapped':>9}{'pairs/s':>10}{'input':>8}"
    )
    for preset, backend in itertools.product(options.presets, options.backends):
        found = _common.apart(train, backend, preset, folder, options.steps, time.time())
        results["runs"][f"{preset}, {backend}"] = found
        at, rate = found["seconds"], found["step_pairs_per_second"]
        found["input_to_step"] = results["input"][backend]["pairs_per_second"]["records"] / rate
        print(
            f"{preset:12}{backend:12}{found['opening_seconds']:8.2f}s{at['open']:8.1f}s"
            f"{at['first_step_begins']:8.1f}s{at['first_step']:8.1f}s{found['peak_gib']:9.2f}"
            f"{found['mapped_gib']:9.2f}{rate:10.2f}{found['input_to_step']:7.0f}x",
            flush=True,
        )
    return results


def main() -> None:
    parser = _common.parser(__doc__)
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--products", type=int, default=40, help="that are drawn")
    parser.add_argument("--data-dir", type=pathlib.Path, required=True)
    parser.add_argument("--keep", action="store_true", help="leave the data there")
    parser.add_argument("--presets", nargs="+", default=["flow-256", "pix2pix-64"])
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax"])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--in-memory", type=int, default=4_000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--batches", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = options.data_dir.resolve()
    building = _common.seconds(
        lambda: _common.apart(prepare, folder, options.pairs, options.products)
    )
    size = sum(path.stat().st_size for path in (folder / "stored_pairs").rglob("*.*"))
    print(f"{options.pairs:,} pairs of {SIZE} px, {size / 2**30:.1f} GiB, in {building:.0f} s")
    results = measure(options, folder)
    results["data"] = {"gib": size / 2**30, "seconds": building}
    packages = (
        "numpy", "pillow", "keras", "tensorflow", "jax", "tensorflow-datasets", "array-record"
    )  # fmt: skip
    _common.write_json(options, results, packages)
    if not options.keep:
        shutil.rmtree(folder / "stored_pairs")


if __name__ == "__main__":
    main()
