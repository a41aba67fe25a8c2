"""Serve the search client, a page that runs in the browser, on this machine.

Example:
    pixdt serve --index catalogue.index --model runs/lookbook/export/converter_dynamic.tflite
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    add = parser.add_argument
    add("--index", required=True, help="file that `pixdt index` wrote")
    add("--model", required=True, help="a .tflite file with an embedder")
    add("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    add("--example", metavar="PHOTO", help="a photo for the page to try")
    add("--client", metavar="FOLDER", help="the page's files (default: its own)")


def run(arguments: argparse.Namespace) -> None:
    """Serves until it is interrupted."""
    from keras_pixdt import serve

    serve.serve(
        arguments.index,
        arguments.model,
        port=arguments.port,
        example=arguments.example,
        client=arguments.client or serve.CLIENT,
    )
