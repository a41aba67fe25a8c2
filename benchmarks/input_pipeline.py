"""How fast pairs are read and triplets are drawn, at 64 px.

    python benchmarks/input_pipeline.py --output runs/benchmarks/input_pipeline.json

Needs no files: the set is rendered, and kept as a LookBook folder and as TFDS data in a temporary
folder. The trainer consumes triplets; the rest is paid once per run.
"""

import argparse
import collections
import pathlib
import tempfile
import time

import numpy as np

import _common
from keras_pixdt import data
from keras_pixdt.data import rendered


def rate(count: int, run) -> float:
    """Items per second, the best of three."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return count / min(seconds)


def drain(batches) -> None:
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


def measure(num_products: int, num_pairs: int, batch_size: int) -> dict[str, float]:
    import tensorflow_datasets as tfds

    import tfds_lookbook

    tfds.disable_progress_bar()
    rates = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        rendered.write_lookbook(folder / "lookbook", num_products)
        files = sorted((folder / "lookbook").glob("*.jpg"))
        contents = [path.read_bytes() for path in files]
        rates["decode JPEG, images/s, one thread"] = rate(
            len(files), lambda: [data.read_image(content) for content in contents]
        )
        rates["read a LookBook folder, images/s"] = rate(
            len(files), lambda: data.read_lookbook(folder / "lookbook", 64)
        )
        config = tfds_lookbook.LookBookConfig(name="benchmark", num_products=num_products)
        builder = tfds_lookbook.Builder(data_dir=folder / "tfds", config=config)
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                compute_stats=tfds.download.ComputeStatsMode.SKIP
            )
        )
        rates["load pairs from TFDS, pairs/s"] = rate(
            builder.info.splits.total_num_examples,
            lambda: data.load_pairs("tfds:lookbook/benchmark", data_dir=str(folder / "tfds")),
        )
        pairs = enlarge(data.read_lookbook(folder / "lookbook", 64).pairs, num_pairs)
        stored = data.PairSet(
            **{
                **vars(pairs),
                "sources": on_disk(pairs.sources, folder / "sources"),
                "targets": on_disk(pairs.targets, folder / "targets"),
            }
        )
        for label, chosen in (("memory", pairs), ("memmap", stored)):
            batches = data.triplets(chosen, batch_size)
            count = len(batches) * batch_size
            rates[f"triplets from {label}, triplets/s"] = rate(count, lambda b=batches: drain(b))
        tf_batches = data.triplets(pairs, batch_size).to_tf_dataset()
        rates["triplets through tf.data, triplets/s"] = rate(count, lambda: drain(tf_batches))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--output", type=pathlib.Path, help="JSON file to write")
    options = parser.parse_args()
    rates = measure(options.products, options.pairs, options.batch_size)
    for label, value in rates.items():
        print(f"{label:40} {value:10,.0f}")
    packages = ("numpy", "pillow", "keras", "tensorflow", "tensorflow-datasets")
    _common.write_json(options.output, rates, vars(options), packages)


if __name__ == "__main__":
    main()
