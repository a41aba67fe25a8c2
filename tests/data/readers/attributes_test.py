import json

import pytest

from keras_pixdt.data.readers.attributes import MOST_ID, read_attributes


def read(content, name="products.json"):
    content = content if isinstance(content, (str, bytes)) else json.dumps(content)
    return read_attributes([(name, content.encode() if isinstance(content, str) else content)])


@pytest.mark.parametrize("value", [None, float("nan"), "", " ", "nan", "NaN", "null", "<NA>"])
def test_what_exports_write_for_a_missing_value_is_no_attribute(value):
    assert read([{"pid": 1, "category": value, "color": "red"}]) == {1: {"color": "red"}}


@pytest.mark.parametrize(
    ("value", "text"),
    [("dress", "dress"), (3, "3"), (3.0, "3"), (3.5, "3.5"), ("None", "None"), (True, "True")],
)
def test_numbers_are_text_alike_with_and_without_a_point(value, text):
    assert read([{"pid": 1, "pattern": value}]) == {1: {"pattern": text}}


@pytest.mark.parametrize("pid", ["12", "000012", " 12 ", "12.0", "1.2e1", '"12"', '"000012"'])
def test_ids_as_databases_and_pandas_write_them(pid):
    text = pid if pid[:1] in '"1' else f'"{pid}"'
    assert read(f'[{{"pid": {text}, "color": "red"}}]') == {12: {"color": "red"}}


@pytest.mark.parametrize("pid", [0, MOST_ID, str(MOST_ID)])
def test_least_and_largest_id(pid):
    assert read([{"pid": pid, "color": "red"}]) == {int(pid): {"color": "red"}}


@pytest.mark.parametrize(
    "entry",
    [
        {"color": "red"}, {"pid": None}, {"pid": float("nan")}, {"pid": float("inf")},
        {"pid": 1.5}, {"pid": True}, {"pid": -1}, {"pid": MOST_ID + 1}, {"pid": "9" * 5000},
        {"pid": 1e30}, {"pid": "x12"}, {"pid": ""}, {"pid": [1]}, 12, None,
    ],
)  # fmt: skip
def test_an_entry_without_an_id_is_named(entry):
    message = r"products.json, entry 2 must have a `pid`, a whole number from 0 to 9223.*Received"
    with pytest.raises(ValueError, match=message) as caught:
        read([{"pid": 1}, entry])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("value", [["red"], {"a": 1}, float("inf"), "\ud800"])
def test_an_attribute_that_is_no_text_is_named(value):
    with pytest.raises(ValueError, match=r"products.json, entry 1: `color` must be text, a number"):
        read([{"pid": 1, "color": value}])


def test_entries_of_one_product_complete_one_another():
    entries = [{"pid": 1, "category": "dress"}, {"pid": "1", "category": None, "color": "red"}]
    assert read([*entries, entries[0]]) == {1: {"category": "dress", "color": "red"}}


def test_entries_that_contradict_are_both_named():
    found = [
        ("a/products.json", b'[{"pid": 2}, {"pid": 1, "color": "red"}]'),
        ("b/products.json", b'[{"pid": 1, "color": "blue"}]'),
    ]
    message = (
        "b/products.json, entry 1: product 1 must.*'blue', and 'red' in a/products.json, en.*2"
    )
    with pytest.raises(ValueError, match=message):
        read_attributes(found)


def test_an_object_on_each_line():
    """As pandas writes it by `lines=True`."""
    lines = '{"pid": 1, "color": "a\u2028b"}\r\n\r\n{"pid": 2.0, "color": null}\n'
    assert read(lines) == {1: {"color": "a\u2028b"}, 2: {}}
    assert read('{"pid": 1, "color": "red"}\n') == {1: {"color": "red"}}
    with pytest.raises(ValueError, match="products.json, line 3 must be a JSON list"):
        read('{"pid": 1}\n\n{"pid": \n')


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(encoding):
    content = '[{"pid": 1, "color": "grün"}]'
    assert read(content.encode(encoding)) == {1: {"color": "grün"}}
    with pytest.raises(ValueError, match="products.json must be in UTF-8"):
        read(content.encode("latin-1"))


@pytest.mark.parametrize(
    "content",
    [
        {"2": "dress"},
        {"pid": {"0": 12}, "category": {"0": "dress"}},  # pandas' own default
        {"pid": [12], "category": ["dress"]},
        {"12": {"category": "dress"}},
        3,
        None,
    ],
)
def test_other_layouts_are_refused_with_the_fix(content):
    with pytest.raises(ValueError, match="products.json must be a JSON list.*orient='records'"):
        read(content)


@pytest.mark.parametrize("content", ["", "[", "pid,category", "[" * 100_000])
def test_what_is_no_json_is_named(content):
    with pytest.raises(ValueError, match="products.json must be a JSON list.*Correct or remove"):
        read(content)
