import dataclasses
import json
import pathlib

import numpy as np
import pytest

from keras_pixdt.search import index_file
from keras_pixdt.search.index import ProductIndex
from tests.search.catalogues import index_of, random_vectors

IDS = ["shirts/blau grün.jpg", "a", "日本"]


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "catalogue.index"
    index_of(random_vectors(3), IDS).save(path)
    return path


def header_of(path):
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def rewrite(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def refused(path, *words):
    with pytest.raises(ValueError) as error:
        ProductIndex.open(path)
    for word in (str(path), *words):
        assert word in str(error.value)


def test_missing_file_is_named_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"x\.index.*`pixdt index CATALOGUE --out"):
        ProductIndex.open(tmp_path / "x.index")


@pytest.mark.parametrize("content", [b"", b"\x05", b"This is the catalogue of my shop.\n" * 9])
def test_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "text.index"
    path.write_bytes(content)
    refused(path, "is no product index", "`pixdt index` wrote")


def test_safetensors_file_of_something_else_is_refused(saved):
    header, data = header_of(saved)
    del header["__metadata__"]
    rewrite(saved, header, data)
    refused(saved, "is no product index", "'keras_pixdt.index'")
    rewrite(saved, header | {"__metadata__": {"format": "pt", "version": "1"}}, data)
    refused(saved, "is no product index", "Received: 'pt'")


def test_every_truncation_is_refused(saved, tmp_path):
    content = saved.read_bytes()
    path = tmp_path / "short.index"
    for size in range(9, len(content), 41):
        path.write_bytes(content[:size])
        refused(path, "truncated", "Copy it again")
    path.write_bytes(content + b"\0")
    refused(path, "is damaged", f"{len(content):,} bytes", f"{len(content) + 1:,}")


def test_header_longer_than_the_file_is_refused(saved):
    content = saved.read_bytes()
    saved.write_bytes((2**40).to_bytes(8, "little") + content[8:])
    refused(saved, "its header is said to have 1,099,511,627,776 bytes", f"{len(content):,}")


def test_header_that_is_no_json_is_refused(saved):
    content = bytearray(saved.read_bytes())
    content[20:24] = b"\xff\xfe{["
    saved.write_bytes(content)
    refused(saved, "is no product index")
    saved.write_bytes((10**5).to_bytes(8, "little") + b'{"a":' * 20000 + content)
    refused(saved, "is no product index")


def test_other_version_is_refused(saved):
    header, data = header_of(saved)
    header["__metadata__"]["version"] = "2"
    rewrite(saved, header, data)
    refused(saved, "must be of version 1", "Received: '2'", "install another keras_pixdt")


def damage(header, *path_and_value):
    *path, last, value = path_and_value
    for key in path:
        header = header[key]
    header[last] = value


@pytest.mark.parametrize(
    "where",
    [
        ("__metadata__", "dimensions", "9"),
        ("__metadata__", "dimensions", "many"),
        ("__metadata__", "image_size", "0"),
        ("__metadata__", "embedder", None),
        ("vectors", "dtype", "F16"),
        ("vectors", "shape", [3, 7]),
        ("vectors", "shape", [0, 8]),
        ("vectors", "shape", [-3, 8]),
        ("vectors", "shape", [True, 8]),
        ("vectors", "shape", [3.0, 8]),
        ("vectors", "shape", [10**40, 8]),
        ("vectors", "shape", []),
        ("vectors", "shape", 3),
        ("vectors", "data_offsets", [0, 96]),
        ("ids", None),
        ("ids", "shape", [-1]),
        ("thumbnails", "shape", ["1"]),
        ("more", {}),
    ],
)
def test_header_whose_numbers_do_not_fit_is_refused(saved, where):
    header, data = header_of(saved)
    damage(header, *where)
    rewrite(saved, header, data)
    refused(saved, "is damaged", "id_offsets", "thumbnails")


@pytest.mark.parametrize("offsets", [[0, 30, 20, 31], [1, 2, 3, 31], [0, 2, 3, 2**40]])
def test_offsets_outside_of_their_tensor_are_refused(saved, offsets):
    header, data = header_of(saved)
    assert header["ids"]["shape"] == [sum(len(product.encode()) for product in IDS)]
    places = np.array(offsets, "<i8").tobytes()
    rewrite(saved, header, places + data[len(places) :])
    refused(saved, "is damaged", "`id_offsets` must rise from 0")


def test_file_is_what_it_says(saved):
    """Read by hand: tensors lie without gaps, aligned, in the order of the header."""
    header, data = header_of(saved)
    assert header["__metadata__"] == {
        "format": "keras_pixdt.index",
        "version": "1",
        "embedder": "0" * 64,
        "dimensions": "8",
        "image_size": "16",
        "thumbnail_size": "96",
    }
    names = list(header)[1:]
    assert names == ["id_offsets", "thumbnail_offsets", "vectors", "digests", "ids", "thumbnails"]
    offsets = [header[name]["data_offsets"] for name in names]
    assert offsets[0][0] == 0 and offsets[-1][1] == len(data)
    assert [stop for _, stop in offsets[:-1]] == [start for start, _ in offsets[1:]]
    begin = saved.stat().st_size - len(data)
    assert (begin + header["vectors"]["data_offsets"][0]) % 16 == begin % 64 == 0
    start, stop = header["vectors"]["data_offsets"]
    vectors = np.frombuffer(data[start:stop], "<f4").reshape(3, 8)
    np.testing.assert_array_equal(vectors, random_vectors(3))
    places = np.frombuffer(data[: 4 * 8], "<i8")
    text = data[slice(*header["ids"]["data_offsets"])]
    assert [text[a:b].decode() for a, b in zip(places, places[1:], strict=False)] == IDS


def test_safetensors_reads_the_file(saved):
    numpy = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    tensors = numpy.load_file(saved)
    np.testing.assert_array_equal(tensors["vectors"], random_vectors(3))
    assert tensors["ids"].tobytes() == "".join(IDS).encode()


def test_opened_index_has_what_was_saved(saved):
    index, opened = index_of(random_vectors(3), IDS), ProductIndex.open(saved, "0" * 64)
    assert opened.ids == IDS and len(opened) == 3
    assert (opened.dimensions, opened.image_size, opened.thumbnail_size) == (8, 16, 96)
    np.testing.assert_array_equal(opened.vectors, index.vectors)
    for row in range(3):
        assert opened.thumbnail(row) == index.thumbnail(row)
        assert opened.row(IDS[row]) == row and opened.id(row) == IDS[row]
    assert isinstance(opened.vectors.base.base, np.memmap) or not opened.vectors.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        opened.vectors[0] = 0


def test_a_file_says_how_images_were_resized_only_if_they_were_stretched(saved, tmp_path):
    assert set(header_of(saved)[0]["__metadata__"]) == {
        "format", "version", "embedder", "dimensions", "image_size", "thumbnail_size",
    }  # fmt: skip
    opened = ProductIndex.open(saved)
    assert opened.resize == "letterbox"
    settings = dataclasses.replace(opened._settings, resize="stretch")
    ProductIndex(settings, opened._rows).save(tmp_path / "stretched.index")
    header, data = header_of(tmp_path / "stretched.index")
    assert header["__metadata__"]["resize"] == "stretch"
    assert ProductIndex.open(tmp_path / "stretched.index").resize == "stretch"
    header["__metadata__"]["resize"] = "crop"
    rewrite(tmp_path / "bad.index", header, data)
    refused(tmp_path / "bad.index", "is damaged")


def test_same_rows_give_the_same_bytes_however_they_came_together(tmp_path):
    vectors = random_vectors(5)
    index_of(vectors).save(tmp_path / "a.index")
    opened = ProductIndex.open(tmp_path / "a.index")
    opened.save(tmp_path / "b.index")
    first = opened._rows.take(np.array([0, 1]))
    rest = opened._rows.take(np.array([2, 3, 4]))
    ProductIndex(opened._settings, first.followed_by(rest)).save(tmp_path / "c.index")
    content = (tmp_path / "a.index").read_bytes()
    assert content == (tmp_path / "b.index").read_bytes() == (tmp_path / "c.index").read_bytes()


def test_save_replaces_the_file_that_is_mapped(saved):
    opened = ProductIndex.open(saved)
    opened.remove(["a"])
    opened.save(saved)
    assert ProductIndex.open(saved).ids == opened.ids == [IDS[0], IDS[2]]
    assert [path.name for path in saved.parent.iterdir()] == ["catalogue.index"]


@pytest.mark.parametrize("failing", ["write", "replace"])
def test_save_that_fails_leaves_the_old_file(saved, monkeypatch, failing):
    old = saved.read_bytes()
    index = ProductIndex.open(saved)
    index.remove(["a"])

    def fail(*_):
        raise OSError("no space left on device")

    if failing == "write":
        blocks = index_file._blocks

        def some(*arguments):
            yield next(blocks(*arguments))
            fail()

        monkeypatch.setattr(index_file, "_blocks", some)
    else:
        monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        index.save(saved)
    assert saved.read_bytes() == old
    assert list(saved.parent.iterdir()) == [pathlib.Path(saved)]
