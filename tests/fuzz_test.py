"""Damaged files of every kind: each gives a result, or an error of ours that names the file.

`FUZZ=100 pytest tests/fuzz_test.py` tries a hundred times as many, and others each time.
"""

import contextlib
import datetime
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

import keras_pixdt
from export import metadata
from export.runtime import CARD, DIGEST, digest
from keras_pixdt import data, search
from keras_pixdt.data.readers import folder, layouts
from tests.profiles import encoded
from tests.saved_files_test import ON_TENSORFLOW, SAVED

pytestmark = pytest.mark.slow

TIMES = float(os.environ.get("FUZZ", "1"))
HANGS_S = 30


def tries(count):
    return hypothesis.settings(
        max_examples=max(1, int(count * TIMES)),
        derandomize=TIMES == 1,
        database=None,
        deadline=datetime.timedelta(seconds=HANGS_S),
        suppress_health_check=list(hypothesis.HealthCheck),
    )


@contextlib.contextmanager
def named(*names):
    """Context for a result, or an error of ours, within a time."""

    def stop(*_):
        raise AssertionError(f"a hang of {HANGS_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANGS_S)
    try:
        yield
    except (ValueError, OSError) as error:
        assert any(name in str(error) for name in names), error
        assert len(str(error)) < 2000
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@st.composite
def damaged(draw, wholes):
    """A file with a few places that differ; in half of all, single bytes behind the header.

    Most of the others end at the checks of the first bytes.
    """
    content = bytearray(draw(st.sampled_from(wholes)))
    if draw(st.booleans()):
        random = draw(st.randoms(use_true_random=False))
        for _ in range(random.randint(1, 3)):
            content[random.randrange(min(16, len(content) - 1), len(content))] = random.randrange(
                256
            )
        return bytes(content)
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, 64) | st.integers(0, len(content)))
        how = draw(st.sampled_from(("replace", "replace", "insert", "remove", "cut", "repeat")))
        if how == "cut":
            del content[at:]
        elif how == "remove":
            del content[at : at + draw(st.integers(1, 64))]
        elif how == "repeat":
            part = content[at : at + draw(st.integers(1, 64))]
            content[at:at] = part * draw(st.integers(1, 3))
        else:
            new = draw(st.binary(min_size=1, max_size=8) | st.sampled_from(EXTREMES))
            content[at : at + len(new) * (how == "replace")] = new
    return bytes(content)


EXTREMES = [b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x80\0\0\0", b"\0" * 8, b"\xff" * 8]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=8), parts),
    max_leaves=6,
)


@st.composite
def changed(draw, whole):
    """JSON with values that are missing or others."""
    whole = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 3))):
        part = whole
        while isinstance(part, (dict, list)) and part:
            key = draw(st.sampled_from(list(part) if isinstance(part, dict) else range(len(part))))
            if draw(st.booleans()) or not isinstance(part[key], (dict, list)):
                if draw(st.booleans()):
                    del part[key]
                else:
                    part[key] = draw(JSON)
                break
            part = part[key]
    return whole


def texts(whole):
    """A JSON file: damaged, changed, or any other."""
    content = json.dumps(whole).encode()
    return damaged([content]) | (changed(whole) | JSON).map(lambda x: json.dumps(x).encode())


# Images


def whole_images():
    pixels = np.random.default_rng(0).integers(0, 256, (13, 9, 4), np.uint8)
    rgb, rgba = Image.fromarray(pixels[..., :3]), Image.fromarray(pixels)
    deep = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        encoded(rgb, "JPEG", exif=exif),
        encoded(rgb, "JPEG", progressive=True),
        encoded(rgb.convert("CMYK"), "JPEG"),
        encoded(rgba, "PNG"),
        encoded(rgb.quantize(8), "PNG"),
        encoded(deep, "PNG"),
        encoded(rgb, "GIF", save_all=True, append_images=[rgb.rotate(90)]),
        encoded(rgba, "WEBP"),
        encoded(rgb, "WEBP", lossless=True),
        encoded(rgb, "BMP"),
        encoded(rgb, "TIFF", compression="tiff_lzw"),
        encoded(deep, "TIFF"),
        encoded(rgb, "PPM"),
        encoded(rgb, "ICO", sizes=[(8, 8)]),
        encoded(rgb, "TGA"),
    ]


@tries(1500)
@hypothesis.given(damaged(whole_images()))
def test_images(content):
    with named("photo.jpg"):
        image = data.read_image(content, "photo.jpg")
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


# Folders and archives


def pictures():
    colors = {"PID000001_CLEAN1_IID000001.png": "red", "PID000001_CLEAN0_IID000002.png": "blue"}
    colors |= {"PID000002_CLEAN1_IID000003.png": "lime", "PID000002_CLEAN0_IID000004.png": "black"}
    return {name: encoded(Image.new("RGB", (8, 8), color), "PNG") for name, color in colors.items()}


def archives():
    whole = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, content in pictures().items():
                archive.writestr(f"a/{name}", content)
        whole.append(file.getvalue())
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode=mode) as archive:
            for name, content in pictures().items():
                member = tarfile.TarInfo(f"a/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        whole.append(file.getvalue())
    return whole


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@tries(500)
@hypothesis.given(content=damaged(archives()))
def test_archives(content, place):
    path = place / "photos.archive"
    path.write_bytes(content)
    with named(str(path)):
        assert len(folder.read_folder(str(path), 16, "letterbox", None).images)
    with named(str(path)):
        assert len(layouts.read_lookbook(path, 16).pairs)


PRODUCTS = [{"pid": 1, "category": "dress", "color": "red"}, {"pid": "2", "pattern": None}]


@tries(500)
@hypothesis.given(content=texts(PRODUCTS))
def test_products_json(content, place):
    catalogue = place / "lookbook"
    if not catalogue.exists():
        catalogue.mkdir()
        for name, picture in pictures().items():
            (catalogue / name).write_bytes(picture)
    (catalogue / "products.json").write_bytes(content)
    with named("products.json"):
        pairs = layouts.read_lookbook(catalogue, 16).pairs
        assert all(
            isinstance(key, str) and isinstance(value, str)
            for values in pairs.attributes
            for key, value in values.items()
        )


# Runs


@pytest.fixture
def run(place, monkeypatch):
    """A run whose model is not looked at."""
    monkeypatch.setattr(keras.models, "load_model", lambda path: path)
    return shutil.copytree(SAVED / "run", place / "run", dirs_exist_ok=True)


@tries(300)
@hypothesis.given(content=texts(json.loads((SAVED / "run" / "run.json").read_text())))
def test_options_of_a_run(content, run):
    (run / "run.json").write_bytes(content)
    with named("run.json"):
        keras_pixdt.load_run(run)


@tries(200)
@hypothesis.given(content=texts(json.loads((SAVED / "run" / "history.json").read_text())))
def test_history_of_a_run(content, run):
    (run / "history.json").write_bytes(content)
    with named("history.json"):
        keras_pixdt.load_run(run).history()


def repacked(content, name, change):
    """A `.keras` file of which one part is another."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for member in old.namelist():
            part = old.read(member)
            new.writestr(member, change(part) if member == name else part)
    return file.getvalue()


MODEL = (SAVED / "run" / "model.keras").read_bytes()
CONFIG = json.loads(zipfile.ZipFile(io.BytesIO(MODEL)).read("config.json"))
WEIGHTS = zipfile.ZipFile(io.BytesIO(MODEL)).read("model.weights.h5")


@tries(25)
@hypothesis.given(
    content=damaged([MODEL])
    | texts(CONFIG).map(lambda text: repacked(MODEL, "config.json", lambda _: text))
    | damaged([WEIGHTS]).map(lambda h5: repacked(MODEL, "model.weights.h5", lambda _: h5))
)
def test_model_of_a_run(content, place):
    run = shutil.copytree(SAVED / "run", place / "run_of_model", dirs_exist_ok=True)
    (run / "model.keras").write_bytes(content)
    with named(str(run / "model.keras")):
        keras_pixdt.load_run(run)


# Indexes


@tries(500)
@hypothesis.given(content=damaged([(SAVED / "catalogue.index").read_bytes()]))
def test_indexes(content, place):
    path = place / "catalogue.index"
    path.unlink(missing_ok=True)  # it is mapped
    path.write_bytes(content)
    with named(str(path)):
        index = search.ProductIndex.open(path)
        assert len(index.ids) == len(index)
        assert all(isinstance(index.thumbnail(row), bytes) for row in range(len(index)))
        query = np.zeros(index.dimensions, np.float32)
        query[0] = 1
        ids, scores = index.search(query, k=3)
        assert len(ids) == len(scores) == min(3, len(index)) and np.isfinite(scores).all()


# TFLite files, in processes of their own

_RUN_EACH = """
import os, pathlib, signal, sys
import numpy as np
from export.runtime import load_tflite
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    process = os.fork()
    if not process:
        signal.alarm(int(sys.argv[2]))
        try:
            model = load_tflite(path)
            model(np.zeros((model.image_size, model.image_size, 3), np.uint8))
            print("result", flush=True)
        except (ValueError, OSError) as error:
            print("error" if str(path) in str(error) else repr(error), flush=True)
        except BaseException as error:
            print(repr(error), flush=True)
        os._exit(0)
    status = os.waitpid(process, 0)[1]
    if status:
        print(f"ended by {status}: {path}", flush=True)
"""


def with_digest(content):
    """An older file, as files are written now."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        model = content[: min(member.header_offset for member in archive.infolist())]
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    files[CARD] = json.dumps({**json.loads(files[CARD]), DIGEST: digest(model)})
    return metadata._with_files(model, files)


@ON_TENSORFLOW
def test_tflite_files(tmp_path):
    whole = with_digest((SAVED / "converter_float32.tflite").read_bytes())
    contents = [whole]

    @tries(300)
    @hypothesis.given(damaged([whole]))
    def collect(content):
        contents.append(content)

    collect()
    for start in range(0, len(contents), 500):
        for number, content in enumerate(contents[start : start + 500]):
            (tmp_path / f"{number:04}.tflite").write_bytes(content)
        done = subprocess.run(
            [sys.executable, "-c", _RUN_EACH, tmp_path, str(HANGS_S)],
            cwd=pathlib.Path(__file__).parents[1],
            capture_output=True, text=True, check=True, timeout=HANGS_S * 500,
        )  # fmt: skip
        outcomes = done.stdout.splitlines()
        assert len(outcomes) == len(list(tmp_path.iterdir())), done.stderr
        assert set(outcomes) <= {"result", "error"}, [o for o in outcomes if len(o) > 6]
        assert start or outcomes[0] == "result"
