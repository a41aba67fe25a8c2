"""`pixdt`: train, evaluate, convert, export, index, search, serve, demo, reproduce, study."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import logging as std_logging
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags, logging

from keras_pixdt import atomic, presets, reproduce, study
from keras_pixdt.presets.domain_transfer import DomainTransferPreset

# As in `training.distribution` and `training.checkpoint`, which import Keras.
STRATEGIES = ("none", "mirrored", "multi_worker", "tpu")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
SCORES = ("val_rmse", "val_ssim", "val_c_ssim")

# What goes wrong through what the user gave, told in one line; anything else is a bug of ours and
# shows its traceback.
_USER_ERRORS = (ValueError, OSError, FloatingPointError)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: the arguments after the program's name; those of the process by default.

    Returns:
        The exit status: 0, or 1 if the input was at fault.
    """
    options = _parser().parse_args(argv)
    flags.FLAGS.mark_as_parsed()  # argparse did; absl would warn that nobody has
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().setFormatter(None)
    logging.get_absl_handler().addFilter(_is_for_users)
    # It advises on its own functions' traces, twice, as it has a handler of its own.
    std_logging.getLogger("tensorflow").setLevel(std_logging.ERROR)
    try:
        return options.command(options)
    except _USER_ERRORS as error:
        logging.error("%s", error)
        return 1


def _is_for_users(record: std_logging.LogRecord) -> bool:
    """Lets pass what this project says, and the warnings of others."""
    own = pathlib.Path(__file__).parents[1]
    packages = [own / name for name in ("keras_pixdt", "tfds_lookbook", "export")]
    path = pathlib.Path(record.pathname)
    return record.levelno >= std_logging.WARNING or any(
        path.is_relative_to(package) for package in packages
    )


def _import_keras(strategy: str = "none") -> None:
    """Imports Keras without the notes on CPU features and missing GPUs of TensorFlow's start.

    TF_CPP_MIN_LOG_LEVEL silences its C++ code, whose failures reach Python as exceptions, except
    for what the import itself writes before any logging is set up. For that the stream is turned
    aside; it is shown if the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow turns its oneDNN kernels on by itself on CPUs with AVX-512 only; on others they
    # are faster as well (1.7 times with AVX2). Between workers they fail.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0" if strategy == "multi_worker" else "1")
    sys.stderr.flush()
    stream = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            importlib.import_module("keras")
        except BaseException:
            aside.seek(0)
            os.write(stream, aside.read())
            raise
        finally:
            os.dup2(stream, 2)
            os.close(stream)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pixdt",
        description="From a photo of a dressed person to the product image of the garment.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = _command(
        commands,
        "train",
        _train,
        "train a preset on pairs of photos",
        "pixdt train --data LookBook/ --preset demo --minutes 10 --workdir runs/lookbook",
    )
    _data_arguments(train)
    train.add_argument("--preset", default="demo", help=f"one of {', '.join(presets.names())}")
    length = train.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="time limit; default: the preset's epochs")
    length.add_argument("--epochs", type=int, help="epochs instead of the preset's")
    train.add_argument("--workdir", required=True, help="folder for the run")
    train.add_argument("--seed", type=int, default=0, help="of weights and batches (default: 0)")
    for field, of, what in (
        ("batch-size", int, "pairs in a batch"),
        ("image-size", int, "side of the images in px, for most presets a power of two"),
        ("width", float, "factor on the numbers of filters"),
        ("ema", float, "momentum of the average of the converter's weights, such as 0.999"),
    ):
        train.add_argument(f"--{field}", type=of, help=f"{what}; default: the preset's")
    train.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        help="other values of any fields of the preset, such as selection=sample mirror=false",
    )
    train.add_argument(
        "--function",
        metavar="FILE",
        help="f of a Domain Transfer Network: a .keras model of images in [-1, 1]; default: one is "
        "trained first, on the labels of the first domain",
    )
    train.add_argument("--precision", choices=PRECISIONS, help="default: the preset's")
    train.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="none",
        help="devices that share each batch: one (default), those of this machine (mirrored), "
        "those of the machines in TF_CONFIG (multi_worker), or a TPU's",
    )
    train.add_argument("--replicas", type=int, help="devices of this machine; default: all")
    train.add_argument(
        "--worker-timeout",
        type=float,
        metavar="SECONDS",
        help="how long the workers of multi_worker wait for one another to start",
    )
    train.add_argument(
        "--save-every",
        type=int,
        metavar="BATCHES",
        help="save within epochs too, for --workdir to continue from (default: at their ends)",
    )
    train.add_argument(
        "--best",
        choices=SCORES,
        help="score of the model that is kept as best (default: val_rmse); without pairs none is",
    )

    evaluate = _command(
        commands,
        "evaluate",
        _evaluate,
        "score a run on a split",
        "pixdt evaluate --workdir runs/lookbook --gallery all --json",
    )
    evaluate.add_argument("--workdir", required=True, help="folder of a finished run")
    _checkpoint_argument(evaluate)
    evaluate.add_argument("--split", default="test", help="split to score (default: test)")
    evaluate.add_argument(
        "--gallery",
        choices=("split", "all"),
        default="split",
        help="product images to search: those of the split, or of all splits (default: split)",
    )
    evaluate.add_argument(
        "--embedder",
        choices=("trained", "search", "densenet121"),
        default="trained",
        help="what images are compared with: a network trained on the training products "
        "(default), the one that `pixdt search` takes, which the images that this run draws "
        "trained too, or DenseNet121 where its weights are present",
    )
    evaluate.add_argument(
        "--model", help="a .tflite file that was exported from the run, to score in its place"
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of a table")

    convert = _command(
        commands,
        "convert",
        _convert,
        "draw the product images of photos",
        "pixdt convert photo.jpg holiday/ --model runs/lookbook --out products",
    )
    convert.add_argument("photos", nargs="+", metavar="PHOTO", help="image files or folders")
    convert.add_argument(
        "--model", required=True, help="folder of a finished run, a .keras or a .tflite file"
    )
    _checkpoint_argument(convert)
    _resize_argument(convert)
    convert.add_argument(
        "--crop",
        metavar="FILE",
        help="take parts of photos: a JSON object from a photo's base name, or the end of its path "
        "such as anna/1.jpg, to [left, top, right, bottom] in px of the upright photo; photos that "
        "it does not name are taken whole",
    )
    convert.add_argument("--out", default="converted", help="folder for the product images")
    convert.add_argument(
        "--reverse",
        action="store_true",
        help="convert images of the second domain to the first, by a DiscoGAN, or by a file that "
        "was exported from one with --reverse. (In a run whose preset has reverse=True, from the "
        "first to the second)",
    )
    convert.add_argument(
        "--super-resolution",
        type=int,
        choices=(2, 3, 4),
        help="draw product images so many times larger than the model draws them (64 px for "
        "taigman2017-faces), by a network that is trained, once, on the training products of the "
        "run: about a minute",
    )
    convert.add_argument(
        "--best-of-folder",
        action="store_true",
        help="take each folder for one person, and write only the product image that looks most "
        "like its photo to the function f of the model (Taigman et al. 2017, Eq. 8)",
    )

    export = _command(
        commands,
        "export",
        _export,
        "write a SavedModel and TFLite files, verified against Keras",
        "pixdt export --workdir runs/lookbook --out runs/lookbook/export",
    )
    export.add_argument("--workdir", required=True, help="folder of a finished run")
    _checkpoint_argument(export)
    export.add_argument("--out", help="folder for the files (default: WORKDIR/export)")
    export.add_argument(
        "--variants",
        nargs="+",
        choices=("float32", "float16", "dynamic", "int8"),
        default=("float32", "dynamic"),
        help="TFLite files to write (default: float32 dynamic)",
    )
    export.add_argument(
        "--reverse",
        action="store_true",
        help="write the way back of a DiscoGAN too, from the second domain to the first, as the "
        "signature `reverse`. (In a run whose preset has reverse=True, from the first to the "
        "second)",
    )

    index = _command(
        commands,
        "index",
        _index,
        "make the index of a catalogue, or bring it up to date",
        "pixdt index catalogue/ --embedder runs/lookbook --out catalogue.index",
    )
    index.add_argument(
        "catalogue", help="folder or archive of product photos, or tfds:NAME, of which the products"
    )
    _embedder_argument(index)
    index.add_argument("--out", required=True, help="file of the index")
    index.add_argument("--split", help="of TFDS data, the split (default: all)")
    index.add_argument("--data-dir", help="where TFDS sets were prepared")

    search = _command(
        commands,
        "search",
        _search,
        "find the products nearest to a photo",
        "pixdt search --index catalogue.index --embedder runs/lookbook --model runs/lookbook "
        "--query photo.jpg --top 10 --html results.html",
    )
    search.add_argument("--index", required=True, help="file that `pixdt index` wrote")
    _embedder_argument(search)
    search.add_argument(
        "--model",
        help="folder of a finished run, a .keras or a .tflite file: search by the product image "
        "that it draws of the photo (default: by the photo itself)",
    )
    _checkpoint_argument(search)
    _resize_argument(search)
    search.add_argument("--query", required=True, metavar="PHOTO", help="an image file")
    search.add_argument("--top", type=int, default=10, help="products (default: %(default)s)")
    search.add_argument("--html", metavar="FILE", help="write a page with the pictures too")
    search.set_defaults(super_resolution=None, best_of_folder=False, reverse=False)

    serve = _command(
        commands,
        "serve",
        _serve,
        "serve the search client, a page that runs in the browser, on this machine",
        "pixdt serve --index catalogue.index --model runs/lookbook/export/converter_dynamic.tflite",
    )
    serve.add_argument("--index", required=True, help="file that `pixdt index` wrote")
    serve.add_argument("--model", required=True, help="a .tflite file with an embedder")
    serve.add_argument(
        "--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)"
    )
    serve.add_argument("--example", metavar="PHOTO", help="a photo for the page to try")
    serve.add_argument("--client", metavar="FOLDER", help="the page's files (default: its own)")

    demo = _command(
        commands,
        "demo",
        _demo,
        "draw a data set, train, score, export and report, in about ten minutes",
        "pixdt demo --workdir runs/demo",
    )
    demo.add_argument("--workdir", default="runs/demo", help="folder (default: runs/demo)")
    demo.add_argument(
        "--minutes", type=float, default=8.5, help="of training (default: %(default)s)"
    )
    demo.add_argument(
        "--products", type=int, help="draw another number of products than the builder's"
    )

    experiment = _command(
        commands,
        "reproduce",
        _reproduce,
        "repeat an experiment of a paper",
        "pixdt reproduce yoo2016-table3 --data LookBook/ --budget cpu",
    )
    experiment.add_argument(
        "name", choices=("list", *reproduce.NAMES), metavar="NAME", help="or: list"
    )
    experiment.add_argument(
        "options",
        nargs=argparse.REMAINDER,
        metavar="...",
        help="options of the experiment: NAME --help lists them",
    )

    what = "let people rate what runs draw, as in the papers"
    studies = commands.add_parser(
        "study",
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog="example:\n  pixdt study score answers-*.json --key study.key.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).add_subparsers(required=True, metavar="COMMAND")
    create = _command(
        studies,
        "create",
        _study_create,
        "write the page on which people rate, and its key",
        'pixdt study create --protocol yoo2016 --methods "C+RF=runs/a" "C+RF+DD=runs/b" '
        "--out study.html",
    )
    create.add_argument(
        "--protocol",
        choices=tuple(study.PROTOCOLS),
        required=True,
        help="three questions about each result (yoo2016), or ranks (kwon2019)",
    )
    create.add_argument(
        "--methods",
        nargs="+",
        required=True,
        metavar="NAME=RUN",
        help="names, which raters do not see, and folders of finished runs on the same data",
    )
    _checkpoint_argument(create)
    create.add_argument("--split", default="test", help="split of the photos (default: test)")
    create.add_argument("--photos", type=int, help="default: the paper's, 100 or 70")
    create.add_argument("--seed", type=int, default=0, help="of the photos (default: 0)")
    create.add_argument(
        "--out", required=True, help="the page, study.html; its key is study.key.json beside it"
    )

    score = _command(
        studies,
        "score",
        _study_score,
        "print the table of what raters answered",
        "pixdt study score answers-*.json --key study.key.json",
    )
    score.add_argument("answers", nargs="+", metavar="ANSWERS", help="files that raters downloaded")
    score.add_argument("--key", required=True, help="file that was written beside the page")
    score.add_argument("--seed", type=int, default=0, help="of the intervals (default: 0)")
    score.add_argument("--json", metavar="FILE", help="write the scores as JSON too")
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], what: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    return parser


def _checkpoint_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        choices=("final", "best"),
        default="final",
        help="which model of the run: its last (default), or that of its best epoch",
    )


def _resize_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--resize",
        choices=("letterbox", "stretch"),
        help="how photos are made square for a .keras file, which does not say it: their aspect "
        "kept, on white (default), or not; a run and a .tflite file know",
    )


def _embedder_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--embedder",
        required=True,
        help="what images are compared by: a .keras file, or the folder of a run, on whose "
        "training products, and its drawings of them, one is trained, once",
    )


def _data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        default="rendered",
        help="folder or archive with LookBook's file names, tfds:NAME, or rendered (default); of "
        "two domains the first: images of any names, or tfds:NAME:ATTRIBUTE=1",
    )
    domains = parser.add_mutually_exclusive_group()
    domains.add_argument(
        "--target-data",
        metavar="DATA",
        help="the second domain, for presets that learn without pairs (kim2017, ...)",
    )
    domains.add_argument(
        "--edges",
        action="store_true",
        default=None,
        help="make the edges of the photos in --data the first domain, the photos the second",
    )
    parser.add_argument(
        "--crop",
        metavar="FILE",
        help="of two domains, take parts of the first one's images: a JSON object from an image's "
        "path within the folder or archive, or the end of it, to [left, top, right, bottom] in px "
        "of the upright image; images that it does not name are taken whole",
    )
    parser.add_argument("--target-crop", metavar="FILE", help="the same of the second domain")
    parser.add_argument(
        "--splits",
        choices=("yoo2016", "kwon2019"),
        help="90/5/5 (default) or 90/10 of the products; TFDS data is split by its config",
    )
    parser.add_argument("--data-dir", help="where TFDS data was prepared")
    parser.add_argument("--products", type=int, help="of rendered: number of products")


def _train(options: argparse.Namespace) -> int:
    _import_keras(options.strategy)
    from keras_pixdt.training import devices, run

    changed = {
        "batch_size": options.batch_size,
        "image_size": options.image_size,
        "width": options.width,
        "dtype": options.precision,
        "ema_momentum": options.ema,
    }
    preset = presets.get(options.preset).changed(options.set)
    if options.function is not None:
        if not isinstance(preset, DomainTransferPreset):
            raise ValueError(
                f"--function is of presets with an f, and {preset.name!r} has none. Leave it out."
            )
        changed["function"] = os.path.abspath(options.function)
    changed = {field: value for field, value in changed.items() if value is not None}
    preset = dataclasses.replace(preset, **changed)
    timeout = options.worker_timeout
    distribution = devices.start(
        options.strategy,
        preset.dtype,
        replicas=options.replicas,
        **({} if timeout is None else {"worker_timeout_s": timeout}),
    )
    given = {
        "target_data": options.target_data,
        "edges": options.edges,
        "crop": options.crop,
        "target_crop": options.target_crop,
        "splits": options.splits,
        "data_dir": options.data_dir,
        "num_products": options.products,
    }
    try:
        finished = run.train(
            preset,
            options.data,
            options.workdir,
            data_options={k: v for k, v in given.items() if v is not None},
            minutes=options.minutes,
            epochs=options.epochs,
            seed=options.seed,
            distribution=distribution,
            best=options.best,
            save_every=options.save_every,
            verbose=1 if sys.stdout.isatty() else 2,  # no progress bar in files
        )
    except devices.WorkerLostError as error:
        logging.error("%s", error)
        return 1
    logging.info("Trained. Next: pixdt evaluate --workdir %s", finished.workdir)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    _import_keras()
    from keras_pixdt.training import run

    opened = run.load_run(options.workdir, options.checkpoint)
    scores = opened.evaluate(
        options.split,
        options.gallery,
        options.embedder,
        **({} if options.model is None else _of_floats(options.model, opened.preset)),
    )
    if options.json:
        sys.stdout.write(json.dumps(scores, indent=1) + "\n")
    else:
        sys.stdout.write(_table(scores) + "\n")
    return 0


def _of_floats(path: str, preset: presets.Preset) -> dict[str, Callable[[Any], Any]]:
    """Opens a TFLite file of a preset as functions of floats: `convert`, `reverse` if it has it."""
    import export
    from keras_pixdt.data.images import to_float, to_uint8

    tflite = export.load_tflite(path)
    if tflite.resize != preset.resize:
        raise ValueError(
            f"--model must be exported from the run, whose photos are resized by {preset.resize}. "
            f"Received: {path}, which takes photos resized by {tflite.resize}"
        )
    functions = {"convert": lambda source: to_float(tflite(to_uint8(source)))}
    if tflite.reversible:
        functions["reverse"] = lambda target: to_float(tflite.reverse(to_uint8(target)))
    return functions


def _table(scores: dict[str, Any]) -> str:
    about = ("notes", "standard_errors")  # the other scores
    width = max(len(name) for name in scores if name not in about)
    rows = []
    for name, value in scores.items():
        if name in about:
            continue
        text = f"{value:.4f}" if isinstance(value, float) else str(value)
        error, note = (scores[part].get(name) for part in ("standard_errors", "notes"))
        text += "" if error is None else f" ± {error:.4f}"
        rows.append(f"{name:{width}}  {text}" + (f" ({note})" if note else ""))
    return "\n".join(rows)


def _convert(options: argparse.Namespace) -> int:
    from keras_pixdt import convert

    function, image_size, resize, distance = _converter(options)
    result = convert.convert_photos(
        function,
        options.photos,
        options.out,
        image_size,
        distance=distance,
        resize=resize,
        crop=options.crop,
    )
    if options.best_of_folder:
        for photo, file in result.written.items():
            logging.info("%s is of %s", file, photo)
    logging.info("Wrote %d product images to %s", len(result.written), options.out)
    if result.failed:
        logging.error("%d photos could not be read or cropped: see above", len(result.failed))
    return 1 if result.failed else 0


def _converter(
    options: argparse.Namespace,
) -> tuple[Callable[[Any], Any], int, str, Callable[[Any], Any] | None]:
    """Opens what `--model` names: a function of uint8 images, and what belongs to it.

    That is their size, how photos become such, and Eq. 8's distance. The distance is that of
    --best-of-folder, None without.
    """
    path, factor = pathlib.Path(options.model), options.super_resolution
    if factor is not None and path.is_file():
        raise ValueError(
            "--super-resolution is trained on the products of a run, which a file does not know. "
            f"Give the folder of the run as --model. Received: {path}"
        )
    if factor is not None and options.reverse:
        raise ValueError(
            "--super-resolution enlarges images of the second domain, on which it is trained, and "
            "--reverse draws those of the first. Leave one of the two out."
        )
    if path.suffix == ".tflite":
        import export

        model = export.load_tflite(path)
        if options.best_of_folder:
            _check_constancy(model, path)
        if options.reverse and not model.reversible:
            raise ValueError(
                f"--reverse needs a file with the way back, and {path} has no signature `reverse`. "
                "`pixdt export --reverse` writes it, of the run of a DiscoGAN."
            )
        resize = _known_resize(options, model.resize)
        return model.reverse if options.reverse else model, model.image_size, resize, None

    _import_keras()
    import keras

    import keras_pixdt.registered  # noqa: F401
    from keras_pixdt import data
    from keras_pixdt.engine.adversarial_model import reverse_network
    from keras_pixdt.training import run

    opened: Any = None
    if path.is_dir():
        opened = run.load_run(path, options.checkpoint)
        model = opened.model
    elif path.exists():
        model = keras.models.load_model(path)
    else:
        raise FileNotFoundError(
            f"--model {path} does not exist. Give the folder of a run, a .keras or a .tflite file."
        )
    if options.best_of_folder:
        _check_constancy(model, path)
    network = reverse_network(model) if options.reverse else model
    upscaler = None
    if factor is not None:
        network, upscaler = model.drawing(), opened.upscaler(factor)

    def convert(images: Any) -> Any:
        products = network.predict_on_batch(data.to_float(images))
        if upscaler is not None:
            products = upscaler.predict(products, batch_size=4, verbose=0)  # its maps are large
        return data.to_uint8(products)

    def distance(images: Any) -> Any:
        return keras.ops.convert_to_numpy(model.constancy(data.to_float(images)))

    resize = options.resize or "letterbox"
    if opened is not None:
        resize = _known_resize(options, opened.preset.resize)
    size = getattr(model, "converter", model).input_shape[1]
    return convert, size, resize, distance if options.best_of_folder else None


def _known_resize(options: argparse.Namespace, known: str) -> str:
    if options.resize not in (None, known):
        raise ValueError(
            f"--resize must be {known}, as --model {options.model} was trained so, or be left out. "
            f"Received: {options.resize}"
        )
    return known


def _check_constancy(model: Any, path: pathlib.Path) -> None:
    if not hasattr(model, "constancy"):
        raise ValueError(
            "--best-of-folder compares photos and product images by the function f of a domain "
            f"transfer network, and {path} is a {type(model).__name__}, which has none. Give a run "
            "of such a preset as --model, or leave the option out."
        )


def _export(options: argparse.Namespace) -> int:
    _import_keras()
    import export
    from keras_pixdt.training import run

    finished = run.load_run(options.workdir, options.checkpoint)
    out = options.out or pathlib.Path(options.workdir) / "export"
    try:
        report = export.export_run(finished, out, options.variants, reverse=options.reverse)
    except export.ExportError as error:
        logging.error("%s. Nothing was written to %s", error, out)
        if len(options.variants) > 1:
            logging.error("To leave a variant out, name the others: --variants float32")
        return 1
    logging.info("Wrote %s", ", ".join(v["file"] for v in report["variants"].values()))
    logging.info("to %s, with saved_model and export.json", out)
    return 0


def _embedder(path: str) -> Any:
    """Opens what `--embedder` names."""
    _import_keras()
    from keras_pixdt.search import catalogue
    from keras_pixdt.training import run

    if os.path.isdir(path):
        return run.load_run(path).search_embedder()
    return catalogue.load_embedder(path)


def _index(options: argparse.Namespace) -> int:
    from keras_pixdt.search import catalogue

    catalogue.index_catalogue(
        options.catalogue,
        _embedder(options.embedder),
        options.out,
        split=options.split,
        data_dir=options.data_dir,
    )
    return 0


def _search(options: argparse.Namespace) -> int:
    from keras_pixdt.search import ProductIndex, catalogue

    embedder = _embedder(options.embedder)
    index = ProductIndex.open(options.index, embedder)
    convert, image_size, resize = None, None, "letterbox"
    if options.model is not None:
        convert, image_size, resize, _ = _converter(options)
    elif options.resize is not None:
        raise ValueError(
            "--resize is what a .keras file as --model takes; the photo itself is resized as the "
            f"products of the index were. Leave it out. Received: {options.resize}"
        )
    found = catalogue.search_photo(
        index,
        embedder,
        options.query,
        top=options.top,
        convert=convert,
        convert_size=image_size,
        convert_resize=resize,
        html=options.html,
    )
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


def _serve(options: argparse.Namespace) -> int:
    from keras_pixdt import serve

    serve.serve(
        options.index,
        options.model,
        port=options.port,
        example=options.example,
        client=options.client or serve.CLIENT,
    )
    return 0


def _demo(options: argparse.Namespace) -> int:
    _import_keras()
    from keras_pixdt import demo

    report = demo.run_demo(options.workdir, minutes=options.minutes, num_products=options.products)
    logging.info("Open %s", report)
    return 0


def _reproduce(options: argparse.Namespace) -> int:
    if options.name == "list":
        width = max(map(len, reproduce.NAMES))
        lines = (f"{name:{width}}  {line}" for name, line in reproduce.EXPERIMENTS.items())
        sys.stdout.write("\n".join(lines) + "\n")
        return 0
    _import_keras()
    reproduce.main(options.name, options.options)
    return 0


def _study_create(options: argparse.Namespace) -> int:
    _import_keras()
    made = study.create(
        study.parse_methods(options.methods),
        options.protocol,
        options.out,
        split=options.split,
        photos=options.photos,
        seed=options.seed,
        checkpoint=options.checkpoint,
    )
    logging.info(
        "%s: the page for raters, with %d photos. Keep %s: the scores need it, and it has the "
        "names of the methods.",
        made["page"],
        made["photos"],
        made["key"],
    )
    return 0


def _study_score(options: argparse.Namespace) -> int:
    scores = study.score(options.answers, options.key, seed=options.seed)
    if options.json:
        atomic.write_json(pathlib.Path(options.json), scores)
    sys.stdout.write(study.table(scores) + "\n")
    return 0
