"""Serve the search client, a page that runs in the browser, on this machine.

Example:
    pixdt serve --index catalogue.index --model runs/lookbook/export/converter_dynamic.tflite
"""

import argparse

from keras_pixdt.choices import SHIPPED
from keras_pixdt.commands.shared import RUN, find_to_draw, tflite_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    add = parser.add_argument
    add(
        "--index",
        help="file that `pixdt index` wrote (default: products.index in the folder of the model)",
    )
    add("--model", default=SHIPPED, help=f"a .tflite file with an embedder; or {RUN} (default)")
    add("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    add("--example", metavar="PHOTO", help="a photo for the page to try")
    add("--client", metavar="FOLDER", help="the page's files (default: its own)")


def run(arguments: argparse.Namespace) -> None:
    """Serves until it is interrupted."""
    from keras_pixdt import serve
    from keras_pixdt.hub import preset
    from keras_pixdt.search.client_files import CLIENT

    model = find_to_draw(arguments.model)
    folder = model if model.is_dir() else model.parent
    index, example = arguments.index or folder / preset.INDEX, arguments.example
    if arguments.index is None and not index.exists():
        raise FileNotFoundError(
            f"--index must be given: there is no {preset.INDEX} in {folder}. `pixdt index "
            "CATALOGUE/ --embedder RUN --out catalogue.index` makes one, by the run of the model."
        )
    if example is None and (folder / preset.EXAMPLE).exists():
        example = folder / preset.EXAMPLE
    serve.serve(
        index,
        tflite_of(model),
        port=arguments.port,
        example=example,
        client=arguments.client or CLIENT,
    )
