import numpy as np
import pytest

from keras_pixdt.data.readers import pair_table

# Product 7 has the records 0, 2 and 3, product 5 the record 1. Text comes as TFDS has it, in bytes.
RECORDS = [
    {"product_id": 7, "source_id": 70, "target_id": 79, "group_id": 5, "category": b"r\xc3\xb6ck"},
    {"product_id": 5, "source_id": 50, "target_id": 59, "group_id": 5, "category": b""},
    {"product_id": 7, "source_id": 71, "target_id": 79, "group_id": 5, "category": b"r\xc3\xb6ck"},
    {"product_id": 7, "source_id": 72, "target_id": 79, "group_id": 5, "category": b"r\xc3\xb6ck"},
]
EXPECTED = {
    "target_index": [0, 1, 0, 0],
    "record": [0, 1],
    "product_id": [7, 5],
    "group_id": [5, 5],
    "target_id": [79, 59],
    "source_id": [70, 50, 71, 72],
}


def check(table):
    for name, values in EXPECTED.items():
        array = getattr(table, name)
        assert array.dtype == np.int64
        np.testing.assert_array_equal(array, values, err_msg=name)
    assert table.attributes == ({"category": "röck"}, {})


def test_products_are_in_the_order_of_their_first_records(tmp_path):
    check(pair_table.table_of(RECORDS))
    pair_table.write(tmp_path, "train", iter(RECORDS))
    check(pair_table.read(tmp_path, "train"))
    assert [path.name for path in tmp_path.iterdir()] == ["pairs-train.npz"]


def test_attributes_may_be_text_and_none_at_all_are_empty(tmp_path):
    bare = {"product_id": 3, "source_id": 1, "target_id": 2, "group_id": 3}
    assert pair_table.table_of([bare, {**bare, "category": "", "color": b""}]).attributes == ()
    pair_table.write(tmp_path, "test", [bare])
    assert pair_table.read(tmp_path, "test").attributes == ()
    assert pair_table.table_of([{**bare, "color": "red"}]).attributes == ({"color": "red"},)


def test_without_a_file_there_is_no_table_and_a_damaged_one_is_an_error(tmp_path):
    assert pair_table.read(tmp_path, "train") is None
    pair_table.write(tmp_path, "train", RECORDS)
    path = pair_table.path_of(tmp_path, "train")
    whole = path.read_bytes()
    for damaged in (whole[:-30], whole.replace(b"record.npy", b"recxrd.npy"), b""):
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"pairs-train\.npz is no table .*Remove it; it is made again"
        ):
            pair_table.read(tmp_path, "train")


def test_an_error_on_the_way_leaves_the_old_table(tmp_path):
    pair_table.write(tmp_path, "train", RECORDS)

    def broken():
        yield RECORDS[1]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        pair_table.write(tmp_path, "train", broken())
    check(pair_table.read(tmp_path, "train"))
    assert len(list(tmp_path.iterdir())) == 1
