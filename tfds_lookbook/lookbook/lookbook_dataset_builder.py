"""Builder of the TFDS data set `lookbook`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_pixdt import data
from keras_pixdt.choices import Size, as_height_width, shown_size
from keras_pixdt.data.examples import encode, examples_of, image_format
from keras_pixdt.data.index import Index, Pictures, Plan
from keras_pixdt.data.load import plan_drawings
from keras_pixdt.data.readers import pair_table
from keras_pixdt.data.readers.attributes import ATTRIBUTES
from keras_pixdt.data.readers.layouts import NO_MASKS, LookBook, plan_lookbook

_PIECES = "pieces"  # what workers leave for one another, until the set is built


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
        truth: whether examples have `mask`, where the product image shows the product, and, of
            drawings, `flow`, where its points lie in the photo (see `keras_pixdt.data.PairSet`).
            Files need a mask for each product, as VITON-HD has them.
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


def _pairs(image_size: Size, photo_size: int = 0, masks: bool = False) -> LookBookConfig:
    size = shown_size(image_size)
    sizes = f"products of {size} px, photos of {photo_size} px" if photo_size else f"{size} px"
    return LookBookConfig(
        name=f"pairs{size}"
        + (f"_photo{photo_size}" if photo_size else "")
        + ("_masks" if masks else ""),
        description=(
            f"Files from `--manual_dir`: {sizes}, {'with masks, ' if masks else ''}their own "
            "splits or yoo2016."
        ),
        image_size=image_size,
        photo_size=photo_size,
        truth=masks,
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
        _pairs(64, photo_size=256),
        _pairs(64, photo_size=256, masks=True),
        _pairs((256, 192)),  # the proportions of VITON-HD and Dress Code
        _pairs((256, 192), masks=True),
        *(pairs(size) for pairs in (_pairs, _pairs_kwon2019) for size in (64, 256)),
    ]

    @tfds.core.utils.classproperty
    @classmethod
    def builder_configs(cls) -> dict[str, LookBookConfig]:
        """The configs by name, including those that `tfds build lookbook` leaves out."""
        return {config.name: config for config in (*cls.BUILDER_CONFIGS, *cls._OTHER_CONFIGS)}

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        truth: dict[str, Any] = {}
        if config.truth:
            shape = (*as_height_width(config.image_size), 1)
            truth["mask"] = tfds.features.Image(shape=shape, encoding_format="png")
        if config.truth and config.num_products:
            truth["flow"] = tfds.features.Tensor(
                shape=(None, None, 2), dtype=np.float16, encoding="zlib"
            )
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
                    **truth,
                }
            ),
            homepage="https://arxiv.org/abs/1603.07442",
            supervised_keys=("source", "target"),
            metadata=tfds.core.MetadataDict(),
        )

    def _download_and_prepare(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig,
    ) -> None:
        self._download_config = download_config
        super()._download_and_prepare(dl_manager, download_config)
        (self.data_path / _PIECES).rmtree(missing_ok=True)
        if self.info.file_format is tfds.core.FileFormat.ARRAY_RECORD:
            # The folder gets its name only afterwards, so no set is without them.
            self._write_tables()

    def _write_tables(self) -> None:
        """Writes, beside the records of each split, which of them show which product."""
        skip = {
            name: tfds.decode.SkipDecoding()
            for name in self.info.features
            if name not in pair_table.FEATURES
        }
        for split in self.info.splits:
            pair_table.write(self.data_dir, split, self.as_data_source(split, decoders=skip))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        config = self.builder_config
        photo_size = config.photo_size or None
        # Files are read in place, because TFDS would cache an archive by its name and return the
        # first archive's data for a second one with the same name.
        made: tuple[Any, ...]
        if config.num_products:
            made = config.num_products, config.image_size, config.seed, photo_size, config.truth
        else:
            made = (
                dl_manager.manual_dir, config.image_size, config.resize, photo_size, config.layout,
                config.truth,
            )  # fmt: skip
        options = self._download_config
        if options.beam_runner is not None or options.beam_options is not None:
            return self._with_beam((plan_drawings if config.num_products else plan_lookbook)(*made))
        book = (data.render_lookbook if config.num_products else data.read_lookbook)(*made)
        if config.truth and book.pairs.masks is None:
            raise ValueError(NO_MASKS.format(dl_manager.manual_dir))
        return {
            split: self._generate_examples(book, mask) for split, mask in self._split(book).items()
        }

    def _with_beam(self, plan: Plan) -> dict[str, Any]:
        """What `_split_generators` returns, made by workers."""
        from keras_pixdt.data.distributed import Pieces  # loads Apache Beam, which takes seconds

        options = self._download_config
        if options.max_examples_per_split is not None:
            raise ValueError(
                "`max_examples_per_split` must be None for Apache Beam, which makes all examples. "
                f"Received: {options.max_examples_per_split}"
            )
        pieces = Pieces(self.data_path / _PIECES, plan)
        index = pieces.make(options.beam_runner, options.beam_options)
        return {
            split: pieces.examples(index, mask, split) for split, mask in self._split(index).items()
        }

    def _split(self, index: Index) -> dict[str, np.ndarray]:
        """Splits the products, and notes what was read and left out."""
        config = self.builder_config
        masks = index.split(config.splits or None)
        resize = None if config.num_products else config.resize  # drawings accept either
        self.info.metadata.update({**_metadata(index, masks), "resize": resize})
        return masks

    def _generate_examples(
        self, book: LookBook, mask: np.ndarray
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        pairs = book.pairs
        masks, flows = pairs.masks, pairs.flows
        for product in book.products(mask):
            pictures = Pictures(
                target=pairs.targets[product.row],
                sources=[pairs.sources[row] for row in product.sources],
                signatures=[],
                mask=None if masks is None else masks[product.row],
                flows=None if flows is None else [flows[row] for row in product.sources],
            )
            yield from examples_of(product, encode(pictures))


def _image(size: Size) -> tfds.features.Image:
    shape = (*as_height_width(size), 3)
    return tfds.features.Image(shape=shape, encoding_format=image_format(shape).lower())


def _metadata(index: Index, masks: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Describes what was read or left out, and why; TFDS stores it as JSON beside the data."""
    return {
        "pairs": len(index.target_index),
        "products": len(index.product_id),
        "groups_without_duplicates": len(np.unique(index.group_id)),
        "products_of_split": {split: int(mask.sum()) for split, mask in masks.items()},
        "skipped": dict(index.skipped.counts),
        "skipped_examples": dict(index.skipped.examples),
    }
