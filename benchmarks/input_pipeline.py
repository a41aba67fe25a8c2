"""How fast images are read and triplets are drawn, at 64 px, against the decoder alone.

    python benchmarks/input_pipeline.py --train-step runs/benchmarks/train_step.json \
        --output runs/benchmarks/input_pipeline.json

It needs no files: the set is rendered, and stored in a temporary folder as a LookBook folder, as an
archive and as TFDS data. A run reads its data once; the trainer then draws triplets from memory or
from mapped files. With the rate of a training step (`--step-rate`, or what `train_step.py` wrote)
the table says how many times that rate each of these paths reaches.

All paths are measured in turns; the table has their medians.
"""

from __future__ import annotations

import collections
import functools
import json
import pathlib
import statistics
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

import _common
from keras_pixdt import data
from keras_pixdt.drawn import rendered

DECODER = "decode JPEG, one thread"


class DataPath(NamedTuple):
    """A way from files or memory to images; `run` takes all of them along it once."""

    run: Callable[[], Any]
    images: int
    triplets: int | None = None


def drain(batches: Iterable[Any]) -> None:
    collections.deque(batches, maxlen=0)


def enlarge(pairs: data.PairSet, count: int) -> data.PairSet:
    """Repeats the pairs until there are `count`: memory access as in a set of that size."""
    copies = -(-count // len(pairs))
    return data.PairSet(
        sources=np.tile(pairs.sources, (copies, 1, 1, 1)),
        targets=pairs.targets,
        target_index=np.tile(pairs.target_index, copies),
        product_id=pairs.product_id,
        group_id=pairs.group_id,
    )


def on_disk(images: np.ndarray, path: pathlib.Path) -> np.ndarray:
    stored = np.memmap(path, np.uint8, "w+", shape=images.shape)
    stored[:] = images
    stored.flush()
    return np.memmap(path, np.uint8, "r", shape=images.shape)


def readers(folder: pathlib.Path, num_products: int) -> dict[str, DataPath]:
    """Ways from files to pairs, of a set that is written to the folder."""
    import tensorflow_datasets as tfds

    import tfds_lookbook

    lookbook = folder / "lookbook"
    rendered.write_lookbook(lookbook, num_products)
    files = sorted(lookbook.glob("*.jpg"))
    contents = [path.read_bytes() for path in files]
    archive = folder / "lookbook.zip"
    with zipfile.ZipFile(archive, "w") as stored:
        for path in files:
            stored.write(path, path.name)
    tfds.disable_progress_bar()
    config = tfds_lookbook.LookBookConfig(name="benchmark", num_products=num_products)
    builder = tfds_lookbook.Builder(data_dir=folder / "tfds", config=config)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            compute_stats=tfds.download.ComputeStatsMode.SKIP
        )
    )
    count = len(files)
    return {
        DECODER: DataPath(lambda: [data.read_image(content) for content in contents], count),
        "read a folder": DataPath(lambda: data.read_lookbook(lookbook, 64), count),
        "read an archive": DataPath(lambda: data.read_lookbook(archive, 64), count),
        "load from TFDS": DataPath(
            lambda: data.load_pairs("tfds:lookbook/benchmark", data_dir=str(folder / "tfds")), count
        ),
    }


def drawers(pairs: data.PairSet, folder: pathlib.Path, batch_size: int) -> dict[str, DataPath]:
    """Ways from pairs to the triplets that a trainer takes."""
    stored = data.PairSet(
        **{
            **vars(pairs),
            "sources": on_disk(pairs.sources, folder / "sources"),
            "targets": on_disk(pairs.targets, folder / "targets"),
        }
    )
    ways: dict[str, Iterable[Any]] = {
        "triplets from memory": data.triplets(pairs, batch_size),
        "triplets from memmap": data.triplets(stored, batch_size),
        "triplets, mirrored": data.triplets(pairs, batch_size, mirror=True),
        "triplets, reverse": data.triplets(pairs, batch_size, reverse=True),
        "triplets through tf.data": data.triplets(pairs, batch_size).to_tf_dataset(),
    }
    count = len(pairs) // batch_size * batch_size
    paths = {
        name: DataPath(functools.partial(drain, way), 3 * count, count)
        for name, way in ways.items()
    }
    # A worker draws its rows of each batch; together with the others' they are the global batch.
    batches = data.triplets(pairs, batch_size)

    def halves() -> Iterable[Any]:
        return (batches.share(index, 0, 2) for index in range(len(batches)))

    mine = sum(len(half["source"]) for half in halves())
    paths["triplets, a half of two workers"] = DataPath(lambda: drain(halves()), 3 * mine, mine)
    return paths


def measure(
    num_products: int, num_pairs: int, batch_size: int, rounds: int, step_rate: float | None
) -> dict[str, Any]:
    """Runs all paths in turns.

    Args:
        num_products: products of the set on disk.
        num_pairs: pairs in memory, of which triplets are drawn.
        batch_size: of the triplets.
        rounds: how often each path is run.
        step_rate: triplets that a training step takes in a second.

    Returns:
        Path -> images/s of each round and their median, the ratio to the decoder; where it gives
        triplets, their rate and its ratio to the step's.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        paths = readers(folder, num_products)
        pairs = data.read_lookbook(folder / "lookbook", 64).pairs
        paths |= drawers(enlarge(pairs, num_pairs), folder, batch_size)
        calls = {name: functools.partial(_common.seconds, path.run) for name, path in paths.items()}
        seconds = _common.in_turns(calls, rounds)
    results: dict[str, Any] = {}
    for name, path in paths.items():
        rates = [path.images / s for s in seconds[name]]
        decoder = [paths[DECODER].images / s for s in seconds[DECODER]]
        result: dict[str, Any] = {
            "images_per_second": statistics.median(rates),
            "rounds": rates,
            "ratio_to_decoder": statistics.median(
                [rate / alone for rate, alone in zip(rates, decoder, strict=True)]
            ),
        }
        if path.triplets is not None:
            result["triplets_per_second"] = path.triplets / statistics.median(seconds[name])
            if step_rate is not None:
                result["ratio_to_step"] = result["triplets_per_second"] / step_rate
        results[name] = result
    return results


def fastest_step(path: pathlib.Path) -> float:
    """The highest rate among the contenders that `train_step.py` measured."""
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    return max(
        contender["images_per_second"]["median"]
        for result in results
        for contender in result["contenders"].values()
    )


def main() -> None:
    parser = _common.parser(__doc__)
    parser.add_argument("--products", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument("--step-rate", type=float, help="triplets per second of a training step")
    rate.add_argument("--train-step", type=pathlib.Path, help="JSON that train_step.py wrote")
    options = parser.parse_args()
    step_rate = options.step_rate
    if options.train_step is not None:
        step_rate = fastest_step(options.train_step)
    results = measure(
        options.products, options.pairs, options.batch_size, options.rounds, step_rate
    )
    if step_rate is not None:
        print(f"The fastest training step takes {step_rate:,.0f} triplets/s.")
    print(f"{'':34}{'images/s':>10}{'of decoder':>12}{'triplets/s':>12}{'of step':>9}")
    for name, result in results.items():
        line = f"{name:34}{result['images_per_second']:10,.0f}{result['ratio_to_decoder']:11.1f}x"
        if "triplets_per_second" in result:
            line += f"{result['triplets_per_second']:12,.0f}"
        if "ratio_to_step" in result:
            line += f"{result['ratio_to_step']:8.1f}x"
        print(line)
    packages = ("numpy", "pillow", "keras", "tensorflow", "tensorflow-datasets")
    _common.write_json(options, results, packages)


if __name__ == "__main__":
    main()
