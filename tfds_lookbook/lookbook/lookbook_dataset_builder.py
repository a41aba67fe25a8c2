"""Builder of the TFDS data set `lookbook`."""

from __future__ import annotations

import collections
import dataclasses
import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from keras_pixdt import data
from keras_pixdt.choices import Size, as_height_width, shown_size
from keras_pixdt.data.readers.attributes import ATTRIBUTES
from keras_pixdt.data.readers.layouts import LookBook


@dataclasses.dataclass
class LookBookConfig(tfds.core.BuilderConfig):
    """Which images to use, their size, and how to split them.

    Attributes:
        image_size: side of square images, or (height, width), in pixels.
        splits: `"yoo2016"` (train, validation, test of 90/5/5) or `"kwon2019"` (train, test of
            90/10); empty keeps the splits of files that have their own, and otherwise takes
            yoo2016.
        num_products: how many products to draw; 0 reads the files in `--manual_dir`.
        seed: which products are drawn.
        resize: how files are brought to that size: `"letterbox"` keeps their aspect and fills up
            with white, `"stretch"` does not. Drawings are square.
        photo_size: the same for the person images; 0 takes `image_size`.
        truth: whether examples of drawings have `mask`, where the product image shows the product,
            and `flow`, where its points lie in the photo (see `keras_pixdt.data.PairSet`).
        layout: how the files are named; `"auto"` recognizes it (see `keras_pixdt.data.load_pairs`).
    """

    image_size: Size = 64
    splits: str = ""
    num_products: int = 0
    seed: int = 0
    resize: str = "letterbox"
    photo_size: Size = 0
    truth: bool = False
    layout: str = "auto"


def _rendered(image_size: int) -> LookBookConfig:
    return LookBookConfig(
        name=f"rendered{image_size}",
        description=f"Drawn by `keras_pixdt.drawn.rendered`, {image_size} px; needs no files.",
        image_size=image_size,
        num_products=1600,
    )


def _rendered_flow(image_size: int, photo_size: int) -> LookBookConfig:
    return LookBookConfig(
        name=f"rendered{image_size}_flow",
        description=(
            f"Drawn by `keras_pixdt.drawn.rendered`: products of {image_size} px, photos of "
            f"{photo_size} px, with masks and flows; needs no files."
        ),
        image_size=image_size,
        num_products=1600,
        photo_size=photo_size,
        truth=True,
    )


def _pairs_photo(image_size: int, photo_size: int) -> LookBookConfig:
    return LookBookConfig(
        name=f"pairs{image_size}_photo{photo_size}",
        description=(
            f"Files from `--manual_dir`: products of {image_size} px, photos of {photo_size} px, "
            "their own splits or yoo2016."
        ),
        image_size=image_size,
        photo_size=photo_size,
    )


def _pairs(image_size: Size) -> LookBookConfig:
    size = shown_size(image_size)
    return LookBookConfig(
        name=f"pairs{size}",
        description=(f"Files from `--manual_dir`, {size} px, their own splits or yoo2016."),
        image_size=image_size,
    )


def _pairs_kwon2019(image_size: int) -> LookBookConfig:
    return LookBookConfig(
        name=f"pairs{image_size}_kwon2019",
        description=f"Files from `--manual_dir`, {image_size} px, splits kwon2019.",
        image_size=image_size,
        splits="kwon2019",
        resize="stretch",
        version=tfds.core.Version("2.0.0"),
        release_notes={
            "2.0.0": "Images are stretched to squares, as Kwon et al. 2019 resize them (Sec. 4).",
            "1.0.0": "First version. Images are letterboxed.",
        },
    )


class Builder(tfds.core.GeneratorBasedBuilder):
    """Pairs of a person photo and the product image of the garment."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put LookBook's images (PID000001_CLEAN0_IID000002.jpg is a person, CLEAN1 the product), "
        "one zip or tar archive of them, VITON-HD, Dress Code, DeepFashion's In-shop or "
        "Consumer-to-shop, or a CSV of source,target with its images into a folder of their own "
        "and pass it: "
        "`tfds build lookbook --config pairs64 --manual_dir=FOLDER`. The config `rendered64` needs "
        "no files."
    )

    # `tfds build lookbook` builds the configs listed here: only those that need no manual data.
    BUILDER_CONFIGS = [_rendered(64)]
    _OTHER_CONFIGS = [
        _rendered(256),
        _rendered_flow(64, 128),
        _pairs_photo(64, 256),
        _pairs((256, 192)),  # the proportions of VITON-HD and Dress Code
        *(pairs(size) for pairs in (_pairs, _pairs_kwon2019) for size in (64, 256)),
    ]

    @tfds.core.utils.classproperty
    @classmethod
    def builder_configs(cls) -> dict[str, LookBookConfig]:
        """The configs by name, including those that `tfds build lookbook` leaves out."""
        return {config.name: config for config in (*cls.BUILDER_CONFIGS, *cls._OTHER_CONFIGS)}

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        truth = {
            "mask": tfds.features.Image(
                shape=(*as_height_width(config.image_size), 1), encoding_format="png"
            ),
            "flow": tfds.features.Tensor(shape=(None, None, 2), dtype=np.float16, encoding="zlib"),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "source": _image(config.photo_size or config.image_size),
                    "target": _image(config.image_size),
                    "product_id": np.int64,
                    "source_id": np.int64,
                    "target_id": np.int64,
                    "group_id": np.int64,
                    **{name: tfds.features.Text() for name in ATTRIBUTES},
                    **(truth if config.truth else {}),
                }
            ),
            homepage="https://arxiv.org/abs/1603.07442",
            supervised_keys=("source", "target"),
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        config = self.builder_config
        photo_size = config.photo_size or None
        if config.num_products:
            book = data.render_lookbook(
                config.num_products, config.image_size, config.seed, photo_size, config.truth
            )
        else:
            # Read in place, because TFDS would cache an archive by its name and return the first
            # archive's data for a second one with the same name.
            book = data.read_lookbook(
                dl_manager.manual_dir, config.image_size, config.resize, photo_size, config.layout
            )
        masks = book.split(config.splits or None)
        resize = None if config.num_products else config.resize  # drawings accept either
        self.info.metadata.update({**_metadata(book, masks), "resize": resize})
        return {
            split: self._generate_examples(book, np.flatnonzero(mask))
            for split, mask in masks.items()
        }

    def _generate_examples(
        self, book: LookBook, products: np.ndarray
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        sources_of = collections.defaultdict(list)
        for source, product in enumerate(book.pairs.target_index.tolist()):
            sources_of[product].append(source)
        for product in products.tolist():
            yield from _product_examples(book, product, sources_of[product])


def _product_examples(
    book: LookBook, product: int, sources: list[int]
) -> Iterator[tuple[str, dict[str, Any]]]:
    pairs = book.pairs
    attributes = pairs.attributes[product] if pairs.attributes else {}
    # Encoded only once, although every example of the product repeats it.
    target = _encode(pairs.targets[product])
    mask = None if pairs.masks is None else _encode(pairs.masks[product], "PNG")
    for source in sources:
        product_id, source_id = int(pairs.product_id[product]), int(book.source_id[source])
        truth = {}
        if mask is not None and pairs.flows is not None:
            truth = {"mask": io.BytesIO(mask), "flow": pairs.flows[source]}
        yield (
            f"PID{product_id:06d}_IID{source_id:06d}",
            {
                "source": io.BytesIO(_encode(pairs.sources[source])),
                "target": io.BytesIO(target),
                "product_id": product_id,
                "source_id": source_id,
                "target_id": int(book.target_id[product]),
                "group_id": int(pairs.group_id[product]),
                **{name: attributes.get(name, "") for name in ATTRIBUTES},
                **truth,
            },
        )


def _format(size: Size) -> str:
    # PNG is lossless and small enough at 64 px; at 256 px it is three times the size of JPEG.
    return "PNG" if max(as_height_width(size)) <= 64 else "JPEG"


def _image(size: Size) -> tfds.features.Image:
    shape = (*as_height_width(size), 3)
    return tfds.features.Image(shape=shape, encoding_format=_format(size).lower())


def _encode(image: np.ndarray, encoding: str | None = None) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, encoding or _format(image.shape[:2]), quality=95)
    return file.getvalue()


def _metadata(book: LookBook, masks: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Describes what was read or left out, and why; TFDS stores it as JSON beside the data."""
    return {
        "pairs": len(book.pairs),
        "products": len(book.pairs.targets),
        "groups_without_duplicates": len(np.unique(book.pairs.group_id)),
        "products_of_split": {split: int(mask.sum()) for split, mask in masks.items()},
        "skipped": dict(book.skipped.counts),
        "skipped_examples": dict(book.skipped.examples),
    }
