"""Find the products nearest to a photo.

Example:
    pixdt search --index catalogue.index --embedder runs/lookbook --model runs/lookbook
    --query photo.jpg --top 10 --html results.html
"""

import argparse
import json
import sys
from typing import Any

from keras_pixdt.commands.convert import add_model_arguments, open_model
from keras_pixdt.commands.shared import RUN, add_embedder_argument, open_embedder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    add = parser.add_argument
    add("--index", required=True, help="file that `pixdt index` wrote")
    add_embedder_argument(parser)
    add_model_arguments(
        parser,
        help=f"{RUN}; or a .keras or a .tflite file: search by the product image that it draws of "
        "the photo (default: by the photo itself)",
    )
    add("--query", required=True, metavar="PHOTO", help="an image file")
    add("--top", type=int, default=10, help="products (default: %(default)s)")
    add("--html", metavar="FILE", help="write a page with the pictures too")
    # Options that `open_model` reads but only `pixdt convert` has.
    parser.set_defaults(reverse=False, size=None, super_resolution=None, best_of_folder=False)


def run(arguments: argparse.Namespace) -> None:
    """Prints the products as JSON."""
    from keras_pixdt.search import ProductIndex, catalogue

    embedder = open_embedder(arguments.embedder)
    index = ProductIndex.open(arguments.index, embedder)
    by: dict[str, Any] = {}
    if arguments.model is not None:
        model = open_model(arguments)
        by = {
            "convert": model.draw,
            "convert_size": model.image_size,
            "convert_resize": model.resize,
        }
    elif arguments.resize is not None:
        raise ValueError(
            "--resize is for a .keras file as --model; the photo itself is resized as the "
            f"products of the index were. Leave it out. Received: {arguments.resize}"
        )
    found = catalogue.search_photo(
        index, embedder, arguments.query, top=arguments.top, html=arguments.html, **by
    )
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
