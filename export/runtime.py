"""Runs an exported TFLite file. Only needs NumPy and ai-edge-litert."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

SIGNATURE = "convert"
EMBED = "embed"  # in files with an embedder: from an image that `convert` draws to its vector
REVERSE = "reverse"  # in files that convert back: from `convert`'s output to its input
IMAGE = "image"  # the input of each signature
EMBEDDING = "embedding"
OUTPUTS = {SIGNATURE: IMAGE, EMBED: EMBEDDING, REVERSE: IMAGE}  # its output
CARD = "keras_pixdt.json"  # in the ZIP archive at the end of a file, see `export.metadata`


class TFLiteConverter:
    """A TFLite file as a function from photos to product images; made by `load_tflite`.

    Attributes:
        interpreter: the `ai_edge_litert` interpreter that runs the file.
        image_size: side of the square photos that the file takes and of the images it draws, px.
        resize: how photos of other shapes are made square for it, "letterbox" or "stretch".
        image_details: how the interpreter describes the input and the output of `convert`.
        dimensions: length of the vectors of `embed`; None for a file without an embedder.
        reversible: whether the file can convert back, with `reverse`.
    """

    def __init__(self, path: str | os.PathLike[str], num_threads: int = 1) -> None:
        """Opens the file; see `load_tflite` for the errors."""
        self._path = Path(path)
        if not self._path.is_file():
            raise FileNotFoundError(f"there is no TFLite file at {str(path)!r}")
        try:
            self.interpreter = Interpreter(model_path=str(path), num_threads=num_threads)
            signatures = self.interpreter.get_signature_list()
            self._runners = {}
            for name, output in OUTPUTS.items():
                if name not in signatures and name != SIGNATURE:
                    continue
                if signatures.get(name) != {"inputs": [IMAGE], "outputs": [output]}:
                    raise ValueError(
                        f"it must have the signature {name!r} from {IMAGE!r} to {output!r}. "
                        f"Received: {signatures}"
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
        self.image_size = int(self.image_details[0]["shape"][1])
        self.resize = _resize(self._path)
        self.reversible = REVERSE in self._runners
        self.dimensions = None
        if embed is not None:
            self.dimensions = int(embed.get_output_details()[EMBEDDING]["shape"][1])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Converts photos.

        Args:
            images: uint8 `(image_size, image_size, 3)`, or `(n, image_size, image_size, 3)` for
                several, which run one after the other. RGB, [0, 255].

        Returns:
            uint8 product images, with the leading dimension of `images`.

        Raises:
            ValueError: another dtype or shape.
        """
        return self.run(SIGNATURE, images)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Embeds product images, such as those that the file draws, for searching.

        Args:
            images: as in a call; product images, the garment on white.

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
            images: as in a call; images of the second domain.

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

    def run(self, signature: str, images: np.ndarray) -> np.ndarray:
        """Runs a signature of the file, "convert", "embed" or "reverse", like its method."""
        runner, output = self._runners[signature], OUTPUTS[signature]
        images = np.asarray(images)
        shape = (self.image_size, self.image_size, 3)
        if images.dtype != np.uint8 or images.shape[-3:] != shape or images.ndim > 4:
            raise ValueError(
                f"images must be uint8 of shape {shape} or (n, {str(shape)[1:]}; "
                "keras_pixdt.data.resize makes them from photos of any size. "
                f"Received: {images.dtype} {images.shape}"
            )
        if images.ndim == 3:
            return runner(**{IMAGE: images[None]})[output][0]
        if not len(images):
            raise ValueError(f"images must hold at least one image. Received: {images.shape}")
        return np.concatenate([runner(**{IMAGE: image[None]})[output] for image in images])


def _resize(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(CARD)).get("resize", "letterbox")
    except (zipfile.BadZipFile, KeyError, ValueError):
        return "letterbox"  # a file without metadata


def load_tflite(path: str | os.PathLike[str], num_threads: int = 1) -> TFLiteConverter:
    """Opens an exported TFLite file as a function from photos to product images.

    Example:
        ```python
        convert = export.load_tflite("runs/demo/export/converter_dynamic.tflite", num_threads=2)
        photo = keras_pixdt.data.read_image("me.jpg")
        product = convert(keras_pixdt.data.resize(photo, convert.image_size, convert.resize))
        vector = convert.embed(product)  # if the file has an embedder
        photo = convert.reverse(product)  # if the file has the way back
        ```

    Args:
        path: a `.tflite` file that `export_converter` wrote.
        num_threads: how many threads one image may use.

    Returns:
        A function from uint8 `(image_size, image_size, 3)`, or `(n, image_size, image_size, 3)`, to
        uint8 of the same shape, RGB in [0, 255], with the attributes `image_size` and `resize` and
        the methods `embed` and `reverse`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a TFLite file, or has no signature `convert`.
    """
    return TFLiteConverter(path, num_threads)
