import json

import numpy as np
import pytest

from keras_pixdt.data.crops import cutter

NAMES = {name: name for name in ("1.png", "anna/1.png", "anna/2.png", "ben/3.png")}
IMAGE = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)  # 8 px wide and 6 high


def write(tmp_path, content):
    path = tmp_path / "crops.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_boxes_are_taken_of_the_images_that_entries_name(tmp_path):
    """By path or by base name; a path comes first. What is not listed is taken whole."""
    path = write(
        tmp_path, {"1.png": [0, 1, 3, 5], "2.png": [7, 0, 8, 6], "ben/3.png": [0, 0, 8, 6]}
    )
    cut = cutter(path, NAMES, "folder")
    np.testing.assert_array_equal(cut("1.png", IMAGE), IMAGE[1:5, 0:3])
    np.testing.assert_array_equal(cut("anna/2.png", IMAGE), IMAGE[:, 7:])
    for whole in ("anna/1.png", "ben/3.png"):
        np.testing.assert_array_equal(cut(whole, IMAGE), IMAGE)
    assert cutter(None, NAMES, "folder")("1.png", IMAGE) is IMAGE


def test_entries_as_other_systems_write_them(tmp_path):
    """A mark of UTF-8, backslashes, accents that are split off, and numbers with a point."""
    path = tmp_path / "crops.json"
    path.write_text('{"anna\\\\e\u0301.png": [0.0, 1.0, 3.0, 5.0]}', "utf-8-sig")
    cut = cutter(path, {"anna/\u00e9.png": "anna/\u00e9.png"}, "folder")
    np.testing.assert_array_equal(cut("anna/\u00e9.png", IMAGE), IMAGE[1:5, 0:3])


def test_an_entry_that_is_there_twice_is_named(tmp_path):
    path = write(tmp_path, '{"1.png": [0, 0, 1, 1], "1.png": [0, 0, 2, 2]}')
    with pytest.raises(ValueError, match="crops.json must be.*'1.png' is in it twice"):
        cutter(path, NAMES, "folder")


@pytest.mark.parametrize("entry", ["anna/1.png", "./anna/1.png", "photos/anna/1.png"])
def test_folders_tell_images_of_one_name_apart(entry, tmp_path):
    names = {f"/photos/{name}/1.png": "1.png" for name in ("anna", "bert")}
    cut = cutter(write(tmp_path, {entry: [0, 0, 1, 1]}), names, "anna, bert")
    assert cut("/photos/anna/1.png", IMAGE).shape == (1, 1, 3)
    assert cut("/photos/bert/1.png", IMAGE) is IMAGE


@pytest.mark.parametrize(
    ("entries", "names", "message"),
    [
        (
            {"4.png": [0, 0, 1, 1]},
            NAMES,
            "the entry '4.png' must be the path, or.*Found: none",
        ),
        ({"anna/3.png": [0, 0, 1, 1]}, NAMES, "the entry 'anna/3.png'.*in folder.*Found: none"),
        (
            {"1.png": [0, 0, 1, 1]},
            {"a/1.png": "1.png", "b/1.png": "1.png"},
            "Found: 'a/1.png', 'b/1.png'",
        ),
        (
            {"3.png": [0, 0, 1, 1], "ben/3.png": [0, 0, 1, 1]},
            NAMES,
            "the entry 'ben/3.png'.*no other entry names. Found: 'ben/3.png', '3.png'",
        ),
        ({"1.png": [0, 0, 1]}, NAMES, r"'1.png' must have four integers.*Received: \[0, 0, 1\]"),
        ({"1.png": [0, 0, 1.5, 2]}, NAMES, "'1.png' must have four integers"),
        ({"1.png": [0, 0, True, 2]}, NAMES, "'1.png' must have four integers"),
        ([1], NAMES, "must be a JSON object from names.*Received: list"),
        ("{", NAMES, "crops.json must be a JSON object of crops: "),
    ],
)
def test_entries_that_do_not_fit_are_named(entries, names, message, tmp_path):
    with pytest.raises(ValueError, match=message) as raised:
        cutter(write(tmp_path, entries), names, "folder")
    assert str(tmp_path / "crops.json") in str(raised.value)


@pytest.mark.parametrize(
    "box", [[0, 0, 9, 6], [0, 0, 8, 7], [-1, 0, 8, 6], [0, -1, 8, 6], [4, 0, 4, 6], [0, 5, 8, 2]]
)
def test_a_box_outside_its_image_names_file_and_entry(box, tmp_path):
    cut = cutter(write(tmp_path, {"2.png": box}), NAMES, "folder")
    message = r"crops.json: the box of '2.png'.*8 px wide and 6 px high. Received: \[" + str(box[0])
    with pytest.raises(ValueError, match=message):
        cut("anna/2.png", IMAGE)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file of crops at .*crops.json"):
        cutter(tmp_path / "crops.json", NAMES, "folder")
