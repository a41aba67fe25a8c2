"""What tests of the index use: catalogues of rectangles, and an index of given vectors."""

import numpy as np
from PIL import Image

from keras_pixdt.search.index import ProductIndex
from keras_pixdt.search.index_file import Blobs, Rows, Settings


def picture(seed, height=24, width=20):
    """A rectangle of random colour on white."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 255, np.uint8)
    top, left = rng.integers(0, 8, 2)
    image[top : top + 12, left : left + 10] = rng.integers(0, 230, 3)
    return image


def write_catalogue(folder, names, seed=0):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(seed + number)).save(path)
    return folder


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def random_vectors(count, dimensions=8, seed=0):
    return unit(np.random.default_rng(seed).standard_normal((count, dimensions)))


def index_of(vectors, ids=None):
    """An index of vectors, whose digests and thumbnails tell the row."""
    ids = [f"p{row}" for row in range(len(vectors))] if ids is None else ids
    digests = np.arange(len(vectors) * 32).astype(np.uint8).reshape(-1, 32)
    rows = Rows(
        vectors,
        digests,
        Blobs.of([product.encode() for product in ids]),
        Blobs.of([b"jpeg" * (row % 3) + b"%d" % row for row in range(len(vectors))]),
    )
    return ProductIndex(Settings("0" * 64, vectors.shape[1], 16, 96), rows)
