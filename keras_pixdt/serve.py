"""Serves the search client, a page that searches a product index in the browser.

The page runs the model and the search itself. A photo never leaves the device, nothing is uploaded,
and the server only hands out files. The list of files is fixed and checked when the server starts;
a file that has changed since then is refused.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import http.server
import io
import json
import os
import pathlib
import sys
import zipfile
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from absl import logging
from PIL import Image

from keras_pixdt.data.images import read_image
from keras_pixdt.search.client_files import CLIENT, client_files
from keras_pixdt.search.index import ProductIndex

HOST = "127.0.0.1"

# More than Chromium puts into one ArrayBuffer.
_MAX_BYTES = 2**31 - 1
_BLOCK = 1 << 18
_IDLE_S = 10.0
_BROWSERS_SHOW = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "BMP")

# The page may run its own files, compile WebAssembly and show what it has decoded, but use nothing
# from elsewhere. The last three headers let it use threads.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
        "img-src 'self' blob:; connect-src 'self'; worker-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Allow": "GET, HEAD",
    "Cache-Control": "no-cache",  # browsers keep everything, but ask each time what has changed
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}


class ChangedError(OSError):
    """A file has changed since the server was started."""


@dataclasses.dataclass(frozen=True)
class Resource:
    """The answer to a path of the server: bytes, or a file as it was when it was read.

    Attributes:
        source: the bytes or the file.
        mime: media type.
        size: in bytes.
        digest: SHA-256.
        modified: when a file was modified, in nanoseconds.
    """

    source: bytes | pathlib.Path
    mime: str
    size: int
    digest: str
    modified: int = 0

    @staticmethod
    def of(source: bytes | pathlib.Path, mime: str) -> Resource:
        """Reads the size and digest of bytes or a file."""
        if isinstance(source, bytes):
            return Resource(source, mime, len(source), hashlib.sha256(source).hexdigest())
        digest = hashlib.sha256()
        with source.open("rb") as file:
            status = os.fstat(file.fileno())
            while block := file.read(_BLOCK):
                digest.update(block)
        return Resource(source, mime, status.st_size, digest.hexdigest(), status.st_mtime_ns)

    @property
    def etag(self) -> str:
        """The tag by which browsers know whether they have it already."""
        return f'"{self.digest}"'

    def open(self) -> BinaryIO:
        """Opens the content for reading.

        Raises:
            ChangedError: the file has changed, or is gone.
        """
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source)
        try:
            file = self.source.open("rb")
        except FileNotFoundError as error:
            raise ChangedError(f"{self.source} is gone. Start `pixdt serve` again.") from error
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns) != (self.size, self.modified):
            file.close()
            raise ChangedError(f"{self.source} has changed. Start `pixdt serve` again.")
        return file


class _Model(NamedTuple):
    dimensions: int
    embedder: str | None  # the fingerprint of its embedder, if the file gives it
    resize: str  # how photos are brought to its size, "letterbox" or "stretch"


def collect(
    index: str | os.PathLike[str],
    model: str | os.PathLike[str],
    *,
    example: str | os.PathLike[str] | None = None,
    client: str | os.PathLike[str] = CLIENT,
) -> dict[str, Resource]:
    """Checks and lists the files to serve.

    Args:
        index: a file that `pixdt index` wrote.
        model: a TFLite file that `pixdt export` wrote, with the signatures `convert` and `embed`.
        example: a photo that the page offers to try.
        client: the folder of the page. Without `node_modules` in it, npm installs its packages once
            into the folder `keras_pixdt` of `$XDG_CACHE_HOME`, or of `~/.cache`.

    Returns:
        Path of a URL -> its resource.

    Raises:
        FileNotFoundError: a file or npm is missing, or npm fails; the message says what to do.
        ValueError: a file cannot be read, or the index and the model do not match.
    """
    index, model, client = pathlib.Path(index), pathlib.Path(model), pathlib.Path(client)
    opened = ProductIndex.open(index)
    described = _describe(model)
    if described.embedder is not None:
        opened.check_embedder(described.embedder)
    if described.dimensions != opened.dimensions:
        raise ValueError(
            f"{index} and {model} do not fit: the vectors of the index have {opened.dimensions} "
            f"numbers, those that the model gives {described.dimensions}. Index the catalogue "
            "with the embedder of the run that the model was exported from."
        )
    for file in (index, model):
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError(
                f"{file} must have at most {_MAX_BYTES:,} bytes, so that a browser can hold it. "
                f"Received: {file.stat().st_size:,}"
            )
    resources = {
        path: Resource.of(source, _TYPES[pathlib.PurePath(path).suffix or ".html"])
        for path, source in client_files(client).items()
    }
    given = {"index": ("/products.index", index), "model": ("/model.tflite", model)}
    if example is not None:
        given["example"] = "/example", pathlib.Path(example)
    settings = {}
    for name, (path, file) in given.items():
        # The page reads bytes and recognizes a photo's format from them.
        source = _shown_by_browsers(file) if name == "example" else file
        resource = resources[path] = Resource.of(source, "application/octet-stream")
        # The query string changes with the content, so that the page can tell versions apart.
        url = f"{path[1:]}?v={resource.digest[:16]}"
        settings[name] = {"name": file.name, "bytes": resource.size, "url": url}
    settings["model"]["resize"] = described.resize
    content = json.dumps(settings, indent=1).encode()
    resources["/settings.json"] = Resource.of(content, _TYPES[".json"])
    return resources


def _shown_by_browsers(photo: pathlib.Path) -> pathlib.Path | bytes:
    """The photo, or the bytes of a PNG if no browser knows its format, such as HEIC or TIFF."""
    image = read_image(photo)
    with Image.open(photo) as opened:
        if opened.format in _BROWSERS_SHOW:
            return photo
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _describe(model: pathlib.Path) -> _Model:
    """Checks that the page can use a TFLite file."""
    from ai_edge_litert.interpreter import Interpreter

    if not model.is_file():
        raise FileNotFoundError(
            f"There is no model at {model}. `pixdt export --workdir RUN` writes TFLite files."
        )
    again = "Pass a .tflite file that `pixdt export` wrote."
    try:
        interpreter = Interpreter(model_path=os.fspath(model))
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"{model} is no TFLite file, or damaged: {str(error).splitlines()[0]}. {again}"
        ) from error
    signatures = interpreter.get_signature_list()
    shapes = {}
    for name, output, dtype in (("convert", "image", "uint8"), ("embed", "embedding", "float32")):
        if signatures.get(name) != {"inputs": ["image"], "outputs": [output]}:
            raise ValueError(
                f"{model} must have the signature {name!r} from 'image' to {output!r}. {again} "
                f"Received: {signatures}"
            )
        runner = interpreter.get_signature_runner(name)
        given, gives = runner.get_input_details()["image"], runner.get_output_details()[output]
        shapes[name] = [tuple(map(int, of["shape_signature"])) for of in (given, gives)]
        types = np.dtype(given["dtype"]).name, np.dtype(gives["dtype"]).name
        if types != ("uint8", dtype):
            raise ValueError(
                f"{name!r} of {model} must be from uint8 to {dtype}. {again} "
                f"Received: from {types[0]} to {types[1]}"
            )
    (photo, product), (embedded, vector) = shapes["convert"], shapes["embed"]
    images = all(len(x) == 4 and x[::3] == (1, 3) and min(x) > 0 for x in (photo, product))
    if not images or embedded != product or vector[:-1] != (1,):
        raise ValueError(
            f"{model} must draw an image (1, height, width, 3) from a photo of such a shape, and "
            f"embed it to (1, d). {again} Received: 'convert' from {photo} to {product}, 'embed' "
            f"from {embedded} to {vector}"
        )
    card = _card_of(model)
    return _Model(
        vector[1], card.get("embedder_fingerprint") or None, card.get("resize", "letterbox")
    )


def _card_of(model: pathlib.Path) -> dict[str, str]:
    """The file `keras_pixdt.json` in the ZIP of a model.

    `export.metadata` puts everything there that TFLite Metadata has no field for.
    """
    try:
        with zipfile.ZipFile(model) as archive:
            return json.loads(archive.read("keras_pixdt.json"))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return {}  # a file without metadata


class Server(http.server.ThreadingHTTPServer):
    """Serves the resources of `collect` to browsers on this machine, one thread per connection.

    Attributes:
        resources: path of a URL -> its resource.
        url: address of the page.
    """

    def __init__(self, resources: Mapping[str, Resource], port: int):
        """Binds the port; 0 takes a free one."""
        self.resources = resources
        super().__init__((HOST, port), _Handler)
        self.url = f"http://{HOST}:{self.server_port}/"
        # If another site's name is made to resolve to this machine, its pages send that name in
        # requests.
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Logs when a browser has gone away, and shows the traceback of any other error."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            logging.debug("A connection ended early: %s", error)
        else:
            logging.exception("A request failed")


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD from the table; anything else a browser sends is not even read."""

    protocol_version = default_request_version = "HTTP/1.1"  # so every answer has headers
    error_message_format = "%(explain)s\n"
    error_content_type = "text/plain; charset=utf-8"
    timeout = _IDLE_S
    server: Server

    def parse_request(self) -> bool:
        """Refuses requests that the page does not send, before reading them."""
        if not super().parse_request():
            return False
        refusal = self._refusal()
        if refusal is not None:
            self.send_error(*refusal)
        return refusal is None

    def _refusal(self) -> tuple[HTTPStatus, str] | None:
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0] not in self.server.hosts:
            return HTTPStatus.MISDIRECTED_REQUEST, f"This server is {self.server.url}"
        if self.command not in ("GET", "HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD: photos stay in the browser"
        if "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0") != "0":
            return HTTPStatus.BAD_REQUEST, "A request for a file has no body"
        return None

    def handle_expect_100(self) -> bool:
        """Does not ask for a body, because none is read."""
        return True

    def do_GET(self) -> None:
        """Sends a resource."""
        resource = self.server.resources.get(self.path.partition("?")[0])
        if resource is None:
            self.send_error(HTTPStatus.NOT_FOUND, "There is nothing here")
            return
        known = resource.etag in self.headers.get("If-None-Match", "")
        try:
            content = io.BytesIO() if known else resource.open()
        except ChangedError as error:
            logging.error("%s", error)
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
            return
        with content:
            self.send_response(HTTPStatus.NOT_MODIFIED if known else HTTPStatus.OK)
            self.send_header("ETag", resource.etag)
            if not known:
                self.send_header("Content-Type", resource.mime)
                self.send_header("Content-Length", str(resource.size))
            self.end_headers()
            if self.command == "GET" and not known and resource.size:
                if self.connection.sendfile(content, count=resource.size) < resource.size:
                    raise ChangedError(f"{self.path} was cut off while it was being read")

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Sends the reason in one line and closes the connection: an unread body may follow."""
        super().send_error(code, explain=message or HTTPStatus(code).phrase)

    def end_headers(self) -> None:
        """Adds the headers that every answer has."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        """Leaves out the version of Python."""
        return "pixdt"

    def log_message(self, format: str, *args: Any) -> None:
        """Logs requests for debugging only."""
        logging.debug("%r", format % args)


def make_server(
    index: str | os.PathLike[str],
    model: str | os.PathLike[str],
    *,
    port: int = 8000,
    example: str | os.PathLike[str] | None = None,
    client: str | os.PathLike[str] = CLIENT,
) -> Server:
    """Makes a server that is bound to its port and serves when `serve_forever` is called.

    Args:
        index: see `collect`.
        model: see `collect`.
        port: port on 127.0.0.1; 0 takes a free one.
        example: see `collect`.
        client: see `collect`.

    Returns:
        The server; its `url` is the address of the page.

    Raises:
        FileNotFoundError: see `collect`.
        ValueError: see `collect`, or the port is taken.
    """
    resources = collect(index, model, example=example, client=client)
    try:
        return Server(resources, port)
    except (OverflowError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise ValueError(
            f"`port` must be one that is free, or 0 to take any. Received: {port} ({error})"
        ) from error


def serve(
    index: str | os.PathLike[str],
    model: str | os.PathLike[str],
    *,
    port: int = 8000,
    example: str | os.PathLike[str] | None = None,
    client: str | os.PathLike[str] = CLIENT,
) -> None:
    """Serves the page until interrupted. Arguments and errors are as for `make_server`."""
    with make_server(index, model, port=port, example=example, client=client) as server:
        logging.info("Serving %s and %s at %s (Ctrl+C ends it)", index, model, server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            logging.info("Ended")
