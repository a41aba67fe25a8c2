"""Makes the examples of a data set on many workers, by Apache Beam.

There are two pipelines. Workers of the first make each picture once, and write it to a folder,
encoded, with its signature. The process that builds the set reads only the signatures. It needs all
of them to know which products are whole, which are duplicates, and how to split. TFDS must know the
splits before its own pipeline, the second, writes them.

Names and pictures are passed in files, so that the graphs of the pipelines stay small.
"""

from __future__ import annotations

import contextlib
import pickle
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions
from etils import epath

from keras_pixdt.data.duplicates import Signature
from keras_pixdt.data.examples import Encoded, encode, examples_of
from keras_pixdt.data.index import Index, Maker, Pictures, Plan

# Products of a piece at most: their encoded images fit into a worker's memory.
_MAX_PRODUCTS = 128
# Pieces at least, if there are as many products: enough to keep many workers busy.
_MIN_PIECES = 256


class Pieces:
    """A data set in pieces of some products each, in a folder that all workers see.

    Args:
        folder: where to put what is made; of any file system that `etils.epath` knows.
        plan: what to make.
    """

    def __init__(self, folder: epath.PathLike, plan: Plan) -> None:
        self._folder = epath.Path(folder)
        self._plan = plan
        count = len(plan.products)
        step = min(max(count // _MIN_PIECES, 1), _MAX_PRODUCTS)
        self._starts = range(0, count, step)

    def make(self, runner: Any, options: PipelineOptions | None) -> Index:
        """Makes the pictures, and returns what is known of the pairs.

        Args:
            runner: of Beam, or its name; None takes that of the options.
            options: of Beam; None takes those of the command line.

        Raises:
            ValueError: see `Plan.index`.
        """
        step = self._starts.step
        self._folder.mkdir(parents=True, exist_ok=True)
        for piece, start in enumerate(self._starts):
            _write(self._folder, piece, "products", self._plan.products[start : start + step])
        with beam.Pipeline(runner, PipelineOptions() if options is None else options) as pipeline:
            _ = (
                pipeline
                | beam.Create(list(range(len(self._starts))))
                | beam.Reshuffle()
                | beam.ParDo(_Make(self._folder, self._plan.maker))
            )
        signatures: list[Signature | None] = []
        for piece in range(len(self._starts)):
            signatures += _read(self._folder, piece, "signatures")
        return self._plan.index(signatures)

    def examples(self, index: Index, mask: np.ndarray, split: str) -> beam.PTransform[Any, Any]:
        """The examples of a split with their keys, for the pipeline of TFDS.

        Args:
            index: what `make` returned.
            mask: bool `(products,)`, the products in the split.
            split: its name.
        """
        ids = [product_id for product_id, _ in self._plan.products[:: self._starts.step]]
        pieces: dict[int, list[Any]] = {}
        for product in index.products(mask):
            piece = int(np.searchsorted(ids, product.product_id, "right")) - 1
            pieces.setdefault(piece, []).append(product)
        for piece, products in pieces.items():
            _write(self._folder, piece, split, products)
        return (
            beam.Create(list(pieces))
            | beam.Reshuffle()
            | beam.FlatMap(_examples, folder=self._folder, split=split)
        )


class _Make(beam.DoFn):
    """Makes the pictures of a piece; what they are made from stays open."""

    def __init__(self, folder: epath.Path, maker: Maker) -> None:
        self._folder = folder
        self._maker = maker

    def setup(self) -> None:
        self._opened = contextlib.ExitStack()
        self._make: Callable[[Any], Pictures] = self._opened.enter_context(self._maker.open())

    def process(self, piece: int) -> None:
        encoded: dict[int, Encoded] = {}
        signatures: list[Signature | None] = []
        for product_id, given in _read(self._folder, piece, "products"):
            pictures = self._make(given)
            signatures += pictures.signatures
            images = encode(pictures)
            encoded[product_id] = images._replace(sources=list(images.sources))
        _write(self._folder, piece, "encoded", encoded)
        _write(self._folder, piece, "signatures", signatures)

    def teardown(self) -> None:
        self._opened.close()


def _examples(piece: int, folder: epath.Path, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    encoded = _read(folder, piece, "encoded")
    for product in _read(folder, piece, split):
        yield from examples_of(product, encoded[product.product_id])


def _write(folder: epath.Path, piece: int, what: str, content: Iterable[Any]) -> None:
    # Runners may give a piece to two workers.
    unfinished = folder / f"{piece:06d}.{what}.{uuid.uuid4().hex}"
    unfinished.write_bytes(pickle.dumps(content))
    unfinished.replace(folder / f"{piece:06d}.{what}")


def _read(folder: epath.Path, piece: int, what: str) -> Any:
    return pickle.loads((folder / f"{piece:06d}.{what}").read_bytes())
