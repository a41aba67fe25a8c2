"""Runs an exported TFLite file. Only needs NumPy, ai-edge-litert and, for `draw_at`, Pillow."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from keras_pixdt.choices import (
    Size,
    as_height_width,
    as_size,
    drawing_size,
    photo_side,
    shown_size,
)

SIGNATURE = "convert"
EMBED = "embed"  # in files with an embedder: from an image that `convert` draws to its vector
REVERSE = "reverse"  # in files that convert back: from `convert`'s output to its input
FLOW = "flow"  # in files that move the photo's own pixels: what `draw_at` composes drawings of
IMAGE = "image"  # the input of each signature
EMBEDDING = "embedding"
MAPS = {"flow": 2, "mask": 1, "gate": 1, "paint": 3}  # what FLOW gives, with its channels
# Its outputs.
OUTPUTS = {SIGNATURE: (IMAGE,), EMBED: (EMBEDDING,), REVERSE: (IMAGE,), FLOW: tuple(MAPS)}
CARD = "keras_pixdt.json"  # in the ZIP archive at the end of a file, see `export.metadata`
DIGEST = "sha256"  # in the card: of the file without the archive
_AT_ONCE = 2**15  # pixels composed at a time, for a core's cache
_UNSEEN = 2.0**-16  # a mask below it changes no pixel by a hundredth of a level


class TFLiteConverter:
    """A TFLite file as a function from photos to product images; made by `load_tflite`.

    Attributes:
        interpreter: the `ai_edge_litert` interpreter that runs the file.
        image_size: side of the photos that the file takes, px; or (height, width) of rectangles.
        drawn_size: the same of the images that it draws.
        resize: how photos of other sizes are brought to that size, "letterbox" or "stretch".
        image_details: how the interpreter describes the input and the output of `convert`.
        dimensions: length of the vectors of `embed`; None for a file without an embedder.
        reversible: whether the file can convert back, with `reverse`.
        scalable: whether the file can draw at other sizes, with `draw_at`.
    """

    def __init__(self, path: str | os.PathLike[str], num_threads: int = 1) -> None:
        """Opens the file; see `load_tflite` for the errors."""
        self._path = Path(path)
        if not self._path.is_file():
            raise FileNotFoundError(f"there is no TFLite file at {str(path)!r}")
        card = _read_card(self._path)
        try:
            self.interpreter = Interpreter(model_path=str(path), num_threads=num_threads)
            signatures = self.interpreter.get_signature_list()
            self._runners = {}
            for name, outputs in OUTPUTS.items():
                if name not in signatures and name != SIGNATURE:
                    continue
                if signatures.get(name) != {"inputs": [IMAGE], "outputs": sorted(outputs)}:
                    raise ValueError(
                        f"it must have the signature {name!r} from {IMAGE!r} to "
                        f"{', '.join(map(repr, outputs))}. Received: {signatures}"
                    )
                self._runners[name] = self.interpreter.get_signature_runner(name)
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"{str(path)!r} is not a converter that this package exported: {error}"
            ) from error
        convert, embed = self._runners[SIGNATURE], self._runners.get(EMBED)
        self.image_details = (
            convert.get_input_details()[IMAGE],
            convert.get_output_details()[IMAGE],
        )
        self.image_size, self.drawn_size = (
            as_size(d["shape"][1:3].tolist()) for d in self.image_details
        )
        self.resize = card.get("resize", "letterbox")
        self.reversible = REVERSE in self._runners
        self.scalable = FLOW in self._runners
        self.dimensions = None
        if embed is not None:
            self.dimensions = int(embed.get_output_details()[EMBEDDING]["shape"][1])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Converts photos.

        Args:
            images: uint8 `(height, width, 3)` of `image_size`, or `(n, height, width, 3)` for
                several, which run one after the other. RGB, [0, 255].

        Returns:
            uint8 product images of `drawn_size`, with the leading dimension of `images`.

        Raises:
            ValueError: another dtype or shape.
        """
        return self.run(SIGNATURE, images)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Embeds product images, such as those that the file draws, for searching.

        Args:
            images: uint8 product images, the garment on white, of the size that the file draws.

        Returns:
            float32 `(dimensions,)`, or `(n, dimensions)`, of length 1.

        Raises:
            ValueError: another dtype or shape, or the file has no embedder.
        """
        if EMBED not in self._runners:
            raise ValueError(
                f"{str(self._path)!r} has no embedder: export it with one "
                "(export_converter(..., embedder=...), or export_run)"
            )
        return self.run(EMBED, images)

    def reverse(self, images: np.ndarray) -> np.ndarray:
        """Converts images of the second domain, such as the file draws, back to the first.

        Args:
            images: uint8 images of the second domain, of the size that the file draws.

        Returns:
            uint8 images of the first domain, with the leading dimension of `images`.

        Raises:
            ValueError: another dtype or shape, or the file cannot convert back.
        """
        if not self.reversible:
            raise ValueError(
                f"{str(self._path)!r} has no signature {REVERSE!r}: export it with the way back, "
                "of a model that has one, such as a DiscoGAN (`pixdt export --reverse`, "
                "export_run(..., reverse=True))"
            )
        return self.run(REVERSE, images)

    def photo_side(self, size: Size, photo: tuple[int, int]) -> Size:
        """Size in px to which `draw_at` brings a photo of this (height, width)."""
        return photo_side(self.image_size, size, photo)

    def draw_at(self, photo: np.ndarray, size: Size) -> np.ndarray:
        """Draws a product image of any size from the photo's own pixels.

        Args:
            photo: uint8 `(height, width, 3)`, RGB, of any size. It is letterboxed or stretched as
                the file says.
            size: side of the product image, px; of a rectangle its longer side, or (height, width).

        Returns:
            uint8 `(height, width, 3)`, of the proportions of `drawn_size`.

        Raises:
            ValueError: another dtype or shape, no such size, or the file cannot draw at other
                sizes.
        """
        from PIL import Image

        from keras_pixdt.data.images import resize, to_uint8

        if not self.scalable:
            raise ValueError(
                f"{str(self._path)!r} has no signature {FLOW!r}, so it draws "
                f"{shown_size(self.drawn_size)} px only: export it of a model that moves the "
                "photo's own pixels, such as flow-64"
            )
        size = drawing_size(self.drawn_size, size)
        fitted = resize(photo, self.photo_side(size, photo.shape[:2]), self.resize)
        # As `AppearanceFlow.draw_at` reduces it.
        height, width = as_height_width(self.image_size)
        reduced = Image.fromarray(fitted).resize((width, height), Image.Resampling.BILINEAR)
        return to_uint8(compose(fitted, self.run(FLOW, np.asarray(reduced)), size))

    def run(self, signature: str, images: np.ndarray) -> np.ndarray:
        """Runs a signature of the file, "convert", "embed" or "reverse", like its method.

        With "flow", returns float32 `(height, width, 7)`, the `MAPS` one after the other, with the
        leading dimension of `images`.
        """
        runner = self._runners[signature]
        images = np.asarray(images)
        shape = tuple(runner.get_input_details()[IMAGE]["shape"][1:].tolist())
        if images.dtype != np.uint8 or images.shape[-3:] != shape or images.ndim > 4:
            raise ValueError(
                f"images must be uint8 of shape {shape} or (n, {str(shape)[1:]}; "
                "keras_pixdt.data.resize makes them from photos of any size. "
                f"Received: {images.dtype} {images.shape}"
            )
        if not len(images):
            raise ValueError(f"images must hold at least one image. Received: {images.shape}")
        results = [runner(**{IMAGE: image[None]}) for image in images.reshape(-1, *shape)]
        found = [np.concatenate([r[name] for name in OUTPUTS[signature]], -1) for r in results]
        return found[0][0] if images.ndim == 3 else np.concatenate(found)


def compose(photo: np.ndarray, maps: np.ndarray, size: Size) -> np.ndarray:
    """Composes a drawing of any size: enlarges the maps, and moves the pixels of the photo.

    Mask and gate are enlarged as logits; the sigmoid comes after. The mask's are multiplied by how
    many times it is enlarged, so that its outline stays as many pixels wide.

    Args:
        photo: uint8 `(photo_height, photo_width, 3)`, however large.
        maps: float32 `(rows, columns, 7)`, what the signature "flow" gives for the photo, reduced.
        size: of the drawing, px.

    Returns:
        float32 `(height, width, 3)` of `size`, in [-1, 1].
    """
    height, width = as_height_width(size)
    drawn = np.ones((height, width, 3), np.float32)
    many = max(1, _AT_ONCE // width)
    for first in range(0, height, many):
        rows = slice(first, first + many)
        _compose_rows(photo, maps, drawn[rows], _centres(height, maps.shape[0])[rows], height)
    return drawn


def _compose_rows(
    photo: np.ndarray, maps: np.ndarray, drawn: np.ndarray, down: np.ndarray, height: int
) -> None:
    """Composes some rows of `height`, which are white before, at places `down` of the maps."""
    (rows, columns), width = maps.shape[:2], drawn.shape[1]
    upper, lower, share = _between(down, rows)
    left, right, across = _between(_centres(width, columns), columns)
    share = share[:, None, None]
    high = maps.take(upper, 0) * (1 - share) + maps.take(lower, 0) * share
    planes = np.ascontiguousarray(np.moveaxis(high, -1, 0))  # (7, rows, columns)
    logits = planes[2].take(left, 1) * (1 - across) + planes[2].take(right, 1) * across
    mask = _sigmoid(logits * np.float32(max(1.0, height / rows))).reshape(-1)

    # All the rest is only needed where there is garment.
    shown = np.flatnonzero(mask > _UNSEEN)
    row, column = np.divmod(shown, width)
    start, planes, share = row * columns, planes.reshape(7, -1), across[column]
    found = planes.take(start + left[column], 1) * (1 - share)
    found += planes.take(start + right[column], 1) * share
    gate, paint = _sigmoid(found[3]), np.tanh(found[4:])
    garment = paint + gate * (_moved(photo, found[:2]) - paint)
    drawn.reshape(-1, 3)[shown] = (1 + mask[shown] * (garment - 1)).T


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.float32(0.5) + np.float32(0.5) * np.tanh(np.float32(0.5) * logits)


def _centres(count: int, side: int) -> np.ndarray:
    """Where the centres of `count` pixels are among those of `side`."""
    return ((np.arange(count) + 0.5) * (side / count) - 0.5).astype(np.float32)


def _between(place: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two of `side` pixels that each place is between, and the share of the second."""
    place = np.clip(place, 0, side - 1)
    first = place.astype(np.int32)
    return first, np.minimum(first + 1, side - 1), place - first.astype(np.float32)


def _moved(photo: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """As `keras_pixdt.layers.warp`: (3, n) in [-1, 1] of a flow of (2, n)."""
    height, width = photo.shape[:2]
    places = ((flow[0], width), (flow[1], height))
    (left, right, across), (top, bottom, down) = (
        _between((place + 1) * np.float32(side / 2) - np.float32(0.5), side)
        for place, side in places
    )
    pixels = photo.reshape(-1, 3)
    top, bottom, above = top * width, bottom * width, 1 - down

    def taken(index: np.ndarray, share: np.ndarray) -> np.ndarray:
        return pixels.take(index, 0).T * share

    levels = taken(top + left, (1 - across) * above) + taken(top + right, across * above)
    levels += taken(bottom + left, (1 - across) * down) + taken(bottom + right, across * down)
    return levels / np.float32(127.5) - 1


def _read_card(path: Path) -> dict[str, str]:
    """The card of a file, once the file is known to be whole.

    The runtime does not check what it reads: a damaged file can make it read any address.
    """
    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            card = json.loads(archive.read(CARD))
            end = min(member.header_offset for member in archive.infolist())
        damaged = card.get(DIGEST, found := digest(content[:end])) != found  # older ones have none
    except Exception as error:  # of zipfile or json, for bytes that differ
        raise ValueError(
            f"{str(path)!r} is not a converter that this package exported, or is truncated: "
            f"{CARD} cannot be read at its end ({error}). Copy it again, or export it again"
        ) from error
    if damaged:
        raise ValueError(
            f"{str(path)!r} is damaged: its {end:,} bytes before {CARD} are not those that were "
            "exported. Copy it again, or export it again"
        )
    return card


def digest(model: bytes) -> str:
    """SHA-256 of a model without its card, which holds it."""
    return hashlib.sha256(model).hexdigest()


def load_tflite(path: str | os.PathLike[str], num_threads: int = 1) -> TFLiteConverter:
    """Opens an exported TFLite file as a function from photos to product images.

    Example:
        ```python
        convert = export.load_tflite("runs/demo/export/converter_dynamic.tflite", num_threads=2)
        photo = keras_pixdt.data.read_image("me.jpg")
        product = convert(keras_pixdt.data.resize(photo, convert.image_size, convert.resize))
        vector = convert.embed(product)  # if the file has an embedder
        large = convert.draw_at(photo, 512)  # if the file moves the photo's own pixels
        photo = convert.reverse(product)  # if the file has the way back
        ```

    Args:
        path: a `.tflite` file that `export_converter` wrote.
        num_threads: how many threads one image may use.

    Returns:
        A function from uint8 `(height, width, 3)`, or `(n, height, width, 3)`, of `image_size` to
        uint8 of `drawn_size`, RGB in [0, 255], with the attributes `image_size` and `resize` and
        the methods `embed`, `reverse` and `draw_at`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a file of `export_converter`, or is damaged or truncated.
    """
    return TFLiteConverter(path, num_threads)
