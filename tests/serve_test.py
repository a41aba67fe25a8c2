"""The server of the search client, over real sockets; the page itself is not run here."""

import configparser
import contextlib
import http.client
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import zipfile

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from keras_pixdt import serve
from keras_pixdt.data import read_image
from tests.search.catalogues import index_of, random_vectors

SIZE, DIMENSIONS = 8, 3


def write_model(path, *, batch=1, read=None, signatures=("convert", "embed")):
    """Writes a model that changes nothing and embeds means; TensorFlow takes long to load.

    If it reads photos of another size, it cannot be run.
    """
    kinds, codes = schema.TensorType, (schema.BuiltinOperator.CAST, schema.BuiltinOperator.MEAN)
    shape = (batch, SIZE, SIZE, 3)

    def tensor(name, kind, shape, buffer=0):
        sides = [-1 if side is None else side for side in shape]
        fixed = [abs(side) for side in sides]
        return schema.TensorT(
            name=name, type=kind, shape=fixed, shapeSignature=sides, buffer=buffer
        )

    def signature(key, graph, name, output):
        given = schema.TensorMapT(name="image", tensorIndex=0)
        gives = schema.TensorMapT(name=name, tensorIndex=output)
        return schema.SignatureDefT([given], [gives], key, graph)

    image = tensor("image", kinds.UINT8, shape)
    drawing = [image] if read is None else [tensor("photo", kinds.UINT8, (1, read, read, 3)), image]
    floats = tensor("floats", kinds.FLOAT32, shape)
    axes = tensor("axes", kinds.INT32, (2,), 1)
    embedding = tensor("embedding", kinds.FLOAT32, (batch, DIMENSIONS))
    cast = schema.OperatorT(opcodeIndex=0, inputs=[0], outputs=[1])
    mean = schema.OperatorT(opcodeIndex=1, inputs=[1, 2], outputs=[3])
    mean.builtinOptionsType = schema.BuiltinOptions.ReducerOptions
    mean.builtinOptions = schema.ReducerOptionsT(keepDims=False)
    embed = schema.SubGraphT([image, floats, axes, embedding], [0], [3], [cast, mean])
    made = {
        "convert": signature("convert", 0, "image", len(drawing) - 1),
        "embed": signature("embed", 1, "embedding", 3),
        "reverse": signature("reverse", 0, "image", 0),
    }
    model = schema.ModelT(
        version=3,
        operatorCodes=[schema.OperatorCodeT(code, None, 1, code) for code in codes],
        subgraphs=[schema.SubGraphT(drawing, [0], [len(drawing) - 1], []), embed],
        buffers=[schema.BufferT(), schema.BufferT(np.array([1, 2], "<i4").view(np.uint8))],
        signatureDefs=[made[key] for key in signatures],
    )
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(builder.Output())
    return path


def with_card(model, path, **card):
    """A copy of a model whose metadata have this."""
    shutil.copy(model, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("keras_pixdt.json", json.dumps(card))
    return path


def with_fingerprint(model, path, fingerprint):
    """A copy of a model whose metadata says what its embedder is."""
    return with_card(model, path, embedder_fingerprint=fingerprint)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """products.index, model.tflite, photo.png, and client/ with packages of a few bytes."""
    folder = tmp_path_factory.mktemp("served")
    index_of(random_vectors(5, DIMENSIONS)).save(folder / "products.index")
    write_model(folder / "model.tflite")
    Image.fromarray(np.full((4, 3, 3), 200, np.uint8)).save(folder / "photo.png")
    client = folder / "client"
    shutil.copytree(serve.CLIENT, client, ignore=shutil.ignore_patterns("node_modules"))
    packages = client / "node_modules" / "@litertjs"
    for name in ("core/dist", "core/wasm", "wasm-utils/dist"):
        (packages / name).mkdir(parents=True)
    (packages / "core/dist/index.js").write_text('import { f } from "@litertjs/wasm-utils";\n')
    (packages / "wasm-utils/dist/index.js").write_text("export const f = 1;\n")
    for runtime in ("threaded_internal", "internal", "compat_internal"):
        for suffix in ("js", "wasm"):
            (packages / f"core/wasm/litert_wasm_{runtime}.{suffix}").write_text(runtime)
    return folder


def collect(folder, **changed):
    given = {"index": folder / "products.index", "model": folder / "model.tflite"}
    return serve.collect(**{**given, "client": folder / "client", **changed})


# What is not served


def test_names_what_is_missing(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no product index at .*none.index"):
        collect(folder, index=tmp_path / "none.index")
    with pytest.raises(FileNotFoundError, match="no model at .*none.tflite.*pixdt export"):
        collect(folder, model=tmp_path / "none.tflite")
    with pytest.raises(FileNotFoundError, match=r"none.jpg"):
        collect(folder, example=tmp_path / "none.jpg")
    with pytest.raises(FileNotFoundError, match="no page at .*a copy of .*search/client"):
        collect(folder, client=tmp_path)


@pytest.fixture
def bare(folder, tmp_path, monkeypatch):
    """The page without packages, and a cache without any."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    client = tmp_path / "client"
    shutil.copytree(folder / "client", client, ignore=shutil.ignore_patterns("node_modules"))
    return client


def put_npm(directory, monkeypatch, script):
    """Replaces npm by a script."""
    (directory / "bin").mkdir()
    npm = directory / "bin" / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:/usr/bin:/bin")


def test_says_how_to_get_the_packages_without_npm(folder, bare, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match=r"package-lock.json.*no npm .*https://nodejs.org"):
        collect(folder, client=bare)


def test_npm_installs_the_packages_once(folder, bare, tmp_path, monkeypatch):
    packages = folder / "client" / "node_modules"
    script = f'echo "$@" >> {tmp_path}/calls; test -f package-lock.json && cp -r {packages} .'
    put_npm(tmp_path, monkeypatch, script)
    for _ in range(2):
        served = collect(folder, client=bare)
    assert (tmp_path / "calls").read_text().split()[:2] == ["ci", "--omit=dev"]
    assert len((tmp_path / "calls").read_text().splitlines()) == 1
    assert served["/litert/core.js"].source == b'import { f } from "./wasm-utils.js";\n'
    assert not (bare / "node_modules").exists()
    (cached,) = (tmp_path / "cache" / "keras_pixdt").iterdir()
    assert [path.name for path in cached.iterdir()] == ["node_modules"]


def test_npm_that_fails_is_quoted_and_leaves_nothing(folder, bare, tmp_path, monkeypatch):
    put_npm(tmp_path, monkeypatch, "mkdir node_modules; echo npm error: no network >&2; exit 1")
    with pytest.raises(FileNotFoundError, match="could not install them:\nnpm error: no network"):
        collect(folder, client=bare)
    (cached,) = (tmp_path / "cache" / "keras_pixdt").iterdir()
    assert not list(cached.iterdir())


def test_names_what_is_wrong_with_the_packages(folder, bare):
    shutil.copytree(folder / "client" / "node_modules", bare / "node_modules")
    core = bare / "node_modules" / "@litertjs" / "core"
    (core / "dist" / "index.js").write_text('import { f } from "@litertjs/wasm-utils-2";\n')
    with pytest.raises(ValueError, match='must import "@litertjs/wasm-utils".*Delete the folder'):
        collect(folder, client=bare)
    (core / "wasm" / "litert_wasm_internal.js").unlink()
    with pytest.raises(FileNotFoundError, match=r"needs .*litert_wasm_internal.js.*start `pixdt"):
        collect(folder, client=bare)


def test_refuses_files_that_are_something_else(folder, tmp_path):
    text = tmp_path / "text.tflite"
    text.write_text("a text file\n" * 100)
    with pytest.raises(ValueError, match="text.tflite is no TFLite file, or damaged"):
        collect(folder, model=text)
    truncated = tmp_path / "truncated.tflite"
    truncated.write_bytes((folder / "model.tflite").read_bytes()[:-200])
    with pytest.raises(ValueError, match="truncated.tflite is no TFLite file, or damaged"):
        collect(folder, model=truncated)
    with pytest.raises(ValueError, match="text.tflite is no product index"):
        collect(folder, index=text)
    with pytest.raises(ValueError, match="text.tflite cannot be decoded"):
        collect(folder, example=text)


def test_an_example_that_no_browser_shows_is_sent_as_png(folder, tmp_path):
    image = read_image(folder / "photo.png")
    Image.fromarray(image).save(tmp_path / "photo.tif")
    sent = collect(folder, example=tmp_path / "photo.tif")["/example"].source
    assert sent.startswith(b"\x89PNG")
    np.testing.assert_array_equal(read_image(sent), image)
    assert collect(folder, example=folder / "photo.png")["/example"].source == folder / "photo.png"


def test_refuses_a_model_of_other_signatures(folder, tmp_path):
    model = write_model(tmp_path / "convert.tflite", signatures=("convert",))
    with pytest.raises(ValueError, match="must have the signature 'embed' from 'image'"):
        collect(folder, model=model)
    model = write_model(tmp_path / "batches.tflite", batch=None)
    with pytest.raises(ValueError, match=r"Received: 'convert' from \(-1, 8, 8, 3\)"):
        collect(folder, model=model)


def test_takes_a_model_that_draws_smaller_images_than_it_reads(folder, tmp_path):
    model = write_model(tmp_path / "smaller.tflite", read=2 * SIZE)
    assert collect(folder, model=model)["/model.tflite"].size == model.stat().st_size


def test_takes_a_model_with_the_way_back_like_one_without(folder, tmp_path):
    model = write_model(tmp_path / "both.tflite", signatures=("convert", "embed", "reverse"))
    assert collect(folder, model=model)["/model.tflite"].size == model.stat().st_size


def test_refuses_an_index_of_other_vectors(folder, tmp_path):
    index_of(random_vectors(5, 8)).save(tmp_path / "8.index")
    with pytest.raises(ValueError, match="the index have 8 numbers.* the model gives 3"):
        collect(folder, index=tmp_path / "8.index")


def test_refuses_an_index_of_another_embedder(folder, tmp_path):
    model = with_fingerprint(folder / "model.tflite", tmp_path / "other.tflite", "f" * 64)
    with pytest.raises(ValueError, match="f{8}"):
        collect(folder, model=model)
    same = with_fingerprint(folder / "model.tflite", tmp_path / "same.tflite", "0" * 64)
    assert collect(folder, model=same)["/model.tflite"].size == same.stat().st_size


def test_refuses_a_port_that_is_taken(folder):
    given = [folder / "products.index", folder / "model.tflite"]
    with serve.make_server(*given, port=0, client=folder / "client") as server:
        with pytest.raises(ValueError, match="`port` must be one that is free, or 0"):
            serve.make_server(*given, port=server.server_port, client=folder / "client")
    with pytest.raises(ValueError, match="Received: 70000"):
        serve.make_server(*given, port=70000, client=folder / "client")


def test_loads_neither_keras_nor_tensorflow(folder):
    script = (
        "import sys; from keras_pixdt import serve; "
        "serve.collect(*sys.argv[1:3], client=sys.argv[3]); print(*sys.modules)"
    )
    given = [folder / "products.index", folder / "model.tflite", folder / "client"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, given)],
        cwd=pathlib.Path(serve.__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    assert not set(done.stdout.split()) & {"keras", "tensorflow", "jax"}


# What is served


@contextlib.contextmanager
def running(server):
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def server(folder):
    made = serve.make_server(
        folder / "products.index",
        folder / "model.tflite",
        port=0,
        example=folder / "photo.png",
        client=folder / "client",
    )
    with running(made):
        yield made


def request(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read()


def exchange(server, sent):
    """Sends bytes as they are, and reads until the server ends the connection."""
    with socket.create_connection(server.server_address, timeout=10) as connection:
        connection.sendall(sent.replace(b"HOST", b"127.0.0.1:%d" % server.server_port))
        answer = b""
        while block := connection.recv(1 << 16):
            answer += block
        return answer


@pytest.mark.parametrize(
    ("path", "mime", "file"),
    [
        ("/", "text/html; charset=utf-8", "client/index.html"),
        ("/style.css", "text/css; charset=utf-8", "client/style.css"),
        ("/sw.js", "text/javascript; charset=utf-8", "client/sw.js"),
        ("/icon.svg", "image/svg+xml", "client/icon.svg"),
        (
            "/litert/wasm/litert_wasm_internal.wasm",
            "application/wasm",
            "client/node_modules/@litertjs/core/wasm/litert_wasm_internal.wasm",
        ),
        ("/products.index", "application/octet-stream", "products.index"),
        ("/model.tflite?v=1", "application/octet-stream", "model.tflite"),
        ("/example", "application/octet-stream", "photo.png"),
    ],
)
def test_gives_files(server, folder, path, mime, file):
    content = (folder / file).read_bytes()
    response, body = request(server, path)
    assert (response.status, response.headers["Content-Type"], body) == (200, mime, content)
    response, body = request(server, path, "HEAD")
    assert (response.status, body) == (200, b"")
    assert int(response.headers["Content-Length"]) == len(content)


def test_names_no_package_to_the_browser(server):
    _, body = request(server, "/litert/core.js")
    assert body == b'import { f } from "./wasm-utils.js";\n'
    assert request(server, "/litert/wasm-utils.js")[1] == b"export const f = 1;\n"


def test_settings_name_the_files_and_change_with_them(server, folder, tmp_path):
    settings = json.loads(request(server, "/settings.json")[1])
    assert {name: file["name"] for name, file in settings.items()} == {
        "index": "products.index",
        "model": "model.tflite",
        "example": "photo.png",
    }
    assert settings["index"]["bytes"] == (folder / "products.index").stat().st_size
    assert request(server, "/" + settings["example"]["url"])[1].startswith(b"\x89PNG")
    index_of(random_vectors(5, DIMENSIONS, seed=1)).save(tmp_path / "products.index")
    other = collect(folder, index=tmp_path / "products.index")
    changed = json.loads(other["/settings.json"].source)
    assert changed["model"] == settings["model"] and "example" not in changed
    assert changed["index"]["url"] != settings["index"]["url"]


def test_settings_say_how_the_model_takes_photos(folder, tmp_path):
    def resize(model):
        return json.loads(collect(folder, model=model)["/settings.json"].source)["model"]["resize"]

    assert resize(folder / "model.tflite") == "letterbox"
    stretched = with_card(folder / "model.tflite", tmp_path / "a.tflite", resize="stretch")
    assert resize(stretched) == "stretch"


def test_a_browser_that_has_a_file_is_told_so(server):
    response, content = request(server, "/products.index")
    etag = response.headers["ETag"]
    assert response.headers["Cache-Control"] == "no-cache"
    response, body = request(server, "/products.index", **{"If-None-Match": etag})
    assert (response.status, body, response.headers["ETag"]) == (304, b"", etag)
    response, body = request(server, "/products.index", **{"If-None-Match": '"other"'})
    assert (response.status, body) == (200, content)


@pytest.mark.parametrize("path", ["/", "/nothing", "/litert/wasm/litert_wasm_internal.js"])
def test_every_answer_has_the_policy(server, path):
    headers = request(server, path)[0].headers
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert policy["style-src"] == policy["connect-src"] == policy["worker-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["Server"] == "pixdt"


def test_page_has_nothing_inline_and_nothing_from_elsewhere():
    page = (serve.CLIENT / "index.html").read_text("utf-8")
    assert not re.search(r"<style|\s(style|on\w+)=", page)
    assert page.count("<script") == page.count('<script type="module" src="app.js">') == 1
    for file in serve.CLIENT.iterdir():
        if file.suffix in (".html", ".css", ".js"):
            assert "://" not in file.read_text("utf-8"), file.name


def test_page_is_in_the_wheel_and_its_packages_are_not():
    config = configparser.ConfigParser()
    config.read(pathlib.Path(__file__).parents[1] / "setup.cfg")
    patterns = config["options.package_data"]["keras_pixdt.search"].split()
    assert all(pattern.startswith("client/*.") for pattern in patterns)
    suffixes = {pattern.removeprefix("client/*") for pattern in patterns}
    files = {path.suffix for path in serve.CLIENT.iterdir() if path.is_file()} - {""}
    assert files == suffixes


# What others send


@pytest.mark.parametrize(
    "path",
    [
        "/../setup.cfg",
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%252e%252e%252fetc%252fpasswd",
        "/..\\..\\setup.cfg",
        "//etc/passwd",
        "/litert/../index.html",
        "/litert/wasm/",
        "/node_modules/@litertjs/core/package.json",
        "/package.json",
        "/index.html/",
        "/style.css%00.png",
        "file:///etc/passwd",
        "http://127.0.0.1/style.css",
        "*",
    ],
)
def test_no_path_leads_out_of_the_table(server, path):
    answer = exchange(server, f"GET {path} HTTP/1.1\r\nHost: HOST\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 "), answer[:200]
    assert answer.endswith(b"\r\n\r\nThere is nothing here\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_nothing_is_uploaded(server, method):
    """The answer comes while ten gigabytes are still to be sent: they are not waited for."""
    head = f"{method} / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 10000000000\r\n\r\n"
    answer = exchange(server, head.encode())
    assert answer.startswith(b"HTTP/1.1 405 ") and b"\r\nAllow: GET, HEAD\r\n" in answer


def test_does_not_ask_for_a_body(server):
    head = "POST / HTTP/1.1\r\nHost: HOST\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    answer = exchange(server, head.encode())
    assert answer.startswith(b"HTTP/1.1 405 ") and b"100 Continue" not in answer


@pytest.mark.parametrize("header", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_body_is_not_taken_for_the_next_request(server, header):
    second = "GET /style.css HTTP/1.1\r\nHost: HOST\r\n\r\n"
    answer = exchange(server, f"GET / HTTP/1.1\r\nHost: HOST\r\n{header}\r\n\r\n{second}".encode())
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "host", ["Host: shop.example", "Host: 127.0.0.1:1", "Host: HOST\r\nHost: HOST", "X-Host: HOST"]
)
def test_other_hosts_are_refused(server, host):
    """A page of another site whose name was made to lead here (DNS rebinding) gets nothing."""
    answer = exchange(server, f"GET / HTTP/1.1\r\n{host}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 421 ") and b"<h1>" not in answer


def test_localhost_is_this_host(server):
    response, _ = request(server, "/", Host=f"localhost:{server.server_port}")
    assert response.status == 200 and server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: HOST\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: HOST\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/9.9\r\nHost: HOST\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET <script>alert(1)</script> x HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused_as_plain_text(server, sent, status):
    answer = exchange(server, sent)
    assert b"HTTP/1.1 %d " % status in answer[:20]
    assert b"\r\nContent-Type: text/plain" in answer


def test_half_a_request_holds_nobody_up(server, monkeypatch):
    monkeypatch.setattr(serve._Handler, "timeout", 0.2)
    with contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(server.server_address, timeout=10))
            for _ in range(20)
        ]
        for connection in slow:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127")
        assert request(server, "/style.css")[0].status == 200
        assert [connection.recv(100) for connection in slow] == [b""] * 20  # they are ended


def test_one_connection_takes_several_requests(server):
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    with contextlib.closing(connection):
        for path, status in (("/", 200), ("/style.css", 200), ("/nothing", 404)):
            connection.request("GET", path)
            response = connection.getresponse()
            assert (response.status, response.read() != b"") == (status, True)


def test_a_file_that_has_changed_is_not_served(folder, tmp_path):
    index = tmp_path / "products.index"
    shutil.copy(folder / "products.index", index)
    made = serve.make_server(index, folder / "model.tflite", port=0, client=folder / "client")
    with running(made) as server:
        index_of(random_vectors(7, DIMENSIONS)).save(index)
        response, body = request(server, "/products.index")
        assert response.status == 503 and b"has changed. Start `pixdt serve` again." in body
        index.unlink()
        response, body = request(server, "/products.index")
        assert response.status == 503 and b"is gone" in body
        assert request(server, "/")[0].status == 200


def test_serve_says_where_the_page_is_and_ends_when_interrupted(folder, monkeypatch, caplog):
    def interrupt(server):
        raise KeyboardInterrupt

    monkeypatch.setattr(serve.Server, "serve_forever", interrupt)
    with caplog.at_level("INFO", "absl"):
        serve.serve(
            folder / "products.index", folder / "model.tflite", port=0, client=folder / "client"
        )
    assert "at http://127.0.0.1:" in caplog.text and caplog.messages[-1] == "Ended"
