"""Draw the product images of photos.

Example:
    pixdt convert photo.jpg holiday/ --model runs/lookbook --out products
"""

import argparse
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from absl import logging

from keras_pixdt.choices import (
    RESIZES,
    SHIPPED,
    Size,
    as_height_width,
    as_size,
    drawing_size,
    shown_size,
)
from keras_pixdt.commands.shared import (
    RUN,
    add_checkpoint_argument,
    find_to_draw,
    import_keras,
    size,
    tflite_of,
)

_LARGEST = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    add = parser.add_argument
    add("photos", nargs="+", metavar="PHOTO", help="image files, folders or archives")
    add_model_arguments(
        parser, default=SHIPPED, help=f"{RUN} (default); or a .keras or a .tflite file"
    )
    add(
        "--crop",
        metavar="FILE",
        help="use only parts of photos: a JSON file that maps a photo's base name, or the end of "
        "its path such as anna/1.jpg, to [left, top, right, bottom] in px of the upright photo; "
        "photos that it does not name are used whole",
    )
    add("--out", default="converted", help="folder for the product images")
    add("--overwrite", action="store_true", help="replace files in --out; photos never are")
    add(
        "--reverse",
        action="store_true",
        help="convert images of the second domain to the first, by a DiscoGAN, or by a file that "
        "was exported from one with --reverse. If the run's preset has reverse=True, the two are "
        "swapped",
    )
    add(
        "--size",
        type=size,
        metavar="PX",
        help="side of the product images, for rectangles the longer one, or HEIGHTxWIDTH; needs a "
        "model that moves the photo's own pixels (flow-64); default: what the model draws",
    )
    add(
        "--super-resolution",
        type=int,
        choices=(2, 3, 4),
        help="enlarge what the model draws (64 px for taigman2017-faces) this many times, by a "
        "network that is trained once, in about a minute, on the training products of the run",
    )
    add(
        "--best-of-folder",
        action="store_true",
        help="treat each folder as one person, and write only the product image that looks most "
        "like its photo to the function f of the model (Taigman et al. 2017, Eq. 8)",
    )


def interrupted(arguments: argparse.Namespace, command: str) -> str:
    """What is left: some product images, which are whole."""
    overwrite = "" if getattr(arguments, "overwrite", True) else " --overwrite"
    return f"Product images in {arguments.out} are whole. To start again: {command}{overwrite}"


def add_model_arguments(parser: argparse.ArgumentParser, **model: Any) -> None:
    """Adds `--model` with the given description, and its options."""
    parser.add_argument("--model", **model)
    add_checkpoint_argument(parser)
    parser.add_argument(
        "--resize",
        choices=RESIZES,
        help="how photos are brought to the size that a .keras file takes: letterbox (default) "
        "keeps their aspect and fills up with white, stretch does not. A run and a .tflite file "
        "say it themselves",
    )


def run(arguments: argparse.Namespace) -> int:
    """Writes the product images of the photos that can be read."""
    from keras_pixdt.convert import convert_photos

    model = open_model(arguments)
    result = convert_photos(
        model.draw,
        arguments.photos,
        arguments.out,
        model.image_size,
        distance=model.distance,
        resize=model.resize,
        crop=arguments.crop,
        overwrite=arguments.overwrite,
    )
    if arguments.best_of_folder:
        for photo, file in result.written.items():
            logging.info("%s is of %s", file, photo)
    logging.info("Wrote %d product images to %s", len(result.written), arguments.out)
    if result.failed:
        logging.error("%d photos could not be read or cropped: see above", len(result.failed))
    return 1 if result.failed else 0


class Model(NamedTuple):
    """The opened `--model`.

    Attributes:
        draw: maps uint8 images (n, height, width, 3) to uint8 images of any one size.
        image_size: size of the images that it takes, px; None: one photo, of any size.
        resize: how photos are brought to that size, or to that of `draw`.
        distance: maps the same images to the (n,) numbers of --best-of-folder; None without it.
    """

    draw: Callable[[Any], Any]
    image_size: Size | None
    resize: str
    distance: Callable[[Any], Any] | None = None


def open_model(arguments: argparse.Namespace) -> Model:
    """Opens `--model` according to `--checkpoint`, `--resize` and other options.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: the model cannot do what an option asks for.
    """
    path, factor = find_to_draw(arguments.model), arguments.super_resolution
    if arguments.model == SHIPPED:
        path = tflite_of(path)  # draws within a second, and Keras takes ten to start
    if arguments.size is not None:
        _check_size(arguments)
    if factor is not None and path.is_file():
        raise ValueError(
            "--super-resolution is trained on the products of a run, which a file does not know. "
            f"Give the folder of the run as --model. Received: {path}"
        )
    if factor is not None and arguments.reverse:
        raise ValueError(
            "--super-resolution enlarges images of the second domain, on which it is trained, and "
            "--reverse draws those of the first. Leave one of the two out."
        )
    if path.suffix == ".tflite":
        return _open_tflite(path, arguments)
    import_keras()
    import keras

    from keras_pixdt.atomic import load_model
    from keras_pixdt.data import to_float, to_uint8
    from keras_pixdt.engine.model import reverse_network
    from keras_pixdt.training.run import load_run

    resize = arguments.resize or "letterbox"
    if path.is_dir():
        opened = load_run(path, arguments.checkpoint)
        model: Any = opened.model
        resize = _known_resize(arguments, opened.preset.resize)
    elif path.exists():
        model = load_model(path)
    else:
        raise FileNotFoundError(
            f"--model {path} does not exist. Give the folder of a run, a preset, a .keras or a "
            ".tflite file."
        )
    if arguments.best_of_folder:
        _check_constancy(model, path)
    network = reverse_network(model) if arguments.reverse else model
    upscaler = None
    if factor is not None:
        network, upscaler = model.drawing(), opened.upscaler(factor)

    def draw(images: Any) -> Any:
        products = network.predict_on_batch(to_float(images))
        if upscaler is not None:
            products = upscaler.predict(products, batch_size=4, verbose=0)  # its maps are large
        return to_uint8(products)

    def distance(images: Any) -> Any:
        return keras.ops.convert_to_numpy(model.constancy(to_float(images)))

    if arguments.size is not None:
        return _at_size(model, arguments.size, path, resize)
    size = as_size(getattr(model, "converter", model).input_shape[1:3])
    return Model(draw, size, resize, distance if arguments.best_of_folder else None)


def _check_size(arguments: argparse.Namespace) -> None:
    # Photos are reduced to 2,048 px, so that larger drawings would not be sharper.
    if max(as_height_width(arguments.size)) > _LARGEST:
        shown = shown_size(arguments.size)
        raise ValueError(f"--size must be in 1..{_LARGEST} px. Received: {shown}")
    for option in ("reverse", "super_resolution", "best_of_folder"):
        if getattr(arguments, option):
            raise ValueError(
                f"--size and --{option.replace('_', '-')} do not go together: leave one out."
            )


def _at_size(model: Any, size: Size, path: pathlib.Path, resize: str) -> Model:
    """A model that draws at a size of its own, from photos of any size."""
    if not getattr(model, "scalable", False):
        raise ValueError(
            f"--size needs a model that moves the photo's own pixels, such as flow-64, and {path} "
            f"is a {type(model).__name__} that does not. Leave it out, or enlarge the images of a "
            "run by --super-resolution."
        )
    from keras_pixdt import data

    drawing_size(model.image_size, size)  # before the first photo

    def draw(images: Any) -> Any:
        import keras

        (photo,) = images
        fitted = data.resize(photo, model.photo_side(size, photo.shape[:2]), resize)
        drawn = model.draw_at(data.to_float(fitted[None]), size)
        return data.to_uint8(keras.ops.convert_to_numpy(drawn))

    return Model(draw, None, resize)


def _open_tflite(path: pathlib.Path, arguments: argparse.Namespace) -> Model:
    import export

    model = export.load_tflite(path)
    if arguments.best_of_folder:
        _check_constancy(model, path)
    if arguments.reverse and not model.reversible:
        raise ValueError(
            f"--reverse needs a file with the way back, and {path} has no signature `reverse`. "
            "`pixdt export --reverse` writes it, of the run of a DiscoGAN."
        )
    resize = _known_resize(arguments, model.resize)
    if arguments.size is not None:
        return _tflite_at_size(model, arguments.size, path, resize)
    return Model(model.reverse if arguments.reverse else model, model.image_size, resize)


def _tflite_at_size(model: Any, size: Size, path: pathlib.Path, resize: str) -> Model:
    if not model.scalable:
        raise ValueError(
            f"--size needs a file with the signature `flow`, and {path} draws at one size. "
            "`pixdt export` writes it, of the run of a model that moves the photo's own pixels "
            "(flow-64)."
        )

    drawing_size(model.drawn_size, size)  # before the first photo

    def draw(images: Any) -> Any:
        import numpy as np

        return np.stack([model.draw_at(image, size) for image in images])

    return Model(draw, None, resize)


def _known_resize(arguments: argparse.Namespace, known: str) -> str:
    if arguments.resize not in (None, known):
        raise ValueError(
            f"--resize must be {known}, as --model {arguments.model} was trained so, or be left "
            f"out. Received: {arguments.resize}"
        )
    return known


def _check_constancy(model: Any, path: pathlib.Path) -> None:
    if not hasattr(model, "constancy"):
        raise ValueError(
            "--best-of-folder compares photos and product images by the function f of a domain "
            f"transfer network, and {path} is a {type(model).__name__}, which has none. Give a run "
            "of such a preset as --model, or leave the option out."
        )
