import contextlib
import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_pixdt import data
from keras_pixdt.data.index import DUPLICATE
from keras_pixdt.data.readers import deep_fashion, layouts, listing
from tests.data.readers import layouts as written


@contextlib.contextmanager
def logged(caplog):
    with caplog.at_level(logging.INFO, "absl"):
        logging.getLogger("absl").addHandler(caplog.handler)
        try:
            yield
        finally:
            logging.getLogger("absl").removeHandler(caplog.handler)


def seeds_of(images, size=16):
    """The seed of the `written.picture` that each image is."""
    known = [data.letterbox(np.asarray(written.picture(seed)), size) for seed in range(120)]
    distance = np.abs(images[:, None].astype(int) - np.stack(known)).mean(axis=(2, 3, 4))
    assert (distance.min(axis=1) < 5).all()  # JPEG
    return distance.argmin(axis=1).tolist()


def pairs_of(pairs):
    """(seed of the photo, seed of the product image) of each pair."""
    targets = np.array(seeds_of(pairs.targets))
    return list(zip(seeds_of(pairs.sources), targets[pairs.target_index].tolist(), strict=True))


def check_apart(loaded):
    for key in ("product_id", "group_id"):
        values = [set(getattr(pairs, key).tolist()) for pairs in loaded.values()]
        assert sum(map(len, values)) == len(set.union(*values))


def test_viton_hd(tmp_path, caplog):
    written.viton_hd(tmp_path)
    with logged(caplog):
        loaded = data.load_pairs(tmp_path, 16, truth=True)
    assert "layout viton_hd, because of train/image and .../cloth" in caplog.text
    assert list(loaded) == ["train", "validation", "test"]
    check_apart(loaded)
    # The list of the test names the clothes of others, (16, 19) and (18, 17).
    assert sorted(pairs_of(loaded["test"])) == [(16, 17), (18, 19)]
    trained = sorted(pairs_of(loaded["train"]) + pairs_of(loaded["validation"]))
    assert trained == [(2 * person, 2 * person + 1) for person in range(8)]
    assert len(loaded["validation"]) == 1
    assert loaded["test"].product_id.tolist() == [800, 900]
    # 24 x 32 is letterboxed to 12 x 16, and there is no product in the bars.
    mask = np.zeros((16, 16), np.uint8)
    mask[:, 2:14] = 255
    for pairs in loaded.values():
        assert (pairs.masks == mask).all()
    assert data.load_pairs(tmp_path, 16)["train"].masks is None


def test_masks_are_left_out_unless_every_product_has_one(tmp_path, caplog):
    written.viton_hd(tmp_path)
    (tmp_path / "train/cloth-mask/00003_00.jpg").unlink()
    with logged(caplog):
        assert data.load_pairs(tmp_path, 16, truth=True)["train"].masks is None
    assert "masks are left out, because each product needs one: 1 have none" in caplog.text


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_layouts_in_archives(tmp_path, kind):
    written.viton_hd(tmp_path / "here" / "zalando-hd-resized")
    packed = shutil.make_archive(str(tmp_path / "viton"), kind, tmp_path / "here")
    archive, folder = (data.load_pairs(path, 16) for path in (packed, tmp_path / "here"))
    for split, pairs in folder.items():
        np.testing.assert_array_equal(archive[split].product_id, pairs.product_id)
        np.testing.assert_array_equal(archive[split].sources, pairs.sources)


@pytest.mark.parametrize("together", [False, True])
def test_dress_code(tmp_path, together):
    written.dress_code(tmp_path, together=together)
    loaded = data.load_pairs(tmp_path, 16)
    check_apart(loaded)
    assert sorted(pairs_of(loaded["test"])) == [(6, 7), (14, 15), (22, 23)]
    trained = sorted(pairs_of(loaded["train"]) + pairs_of(loaded["validation"]))
    assert trained == [(s, s + 1) for s in range(0, 24, 2) if s not in (6, 14, 22)]
    test = loaded["test"]
    category = dict(zip(seeds_of(test.targets), test.attributes, strict=True))
    assert category == {
        7: {"category": "upper_body"},
        15: {"category": "lower_body"},
        23: {"category": "dresses"},
    }


def test_in_shop(tmp_path):
    written.in_shop(tmp_path)
    book = data.read_lookbook(tmp_path, 16)
    # Views 1 and 4 of each colour, and 6 of the same colour.
    expected = {101: (6, 9), 102: (10, 13), 201: (14, 17), 202: (18, 21), 301: (22, 25)}
    expected |= {302: (26, 29)}
    pairs = book.pairs
    assert pairs.product_id.tolist() == list(expected)
    assert pairs_of(pairs) == [
        (first + view, flat) for first, flat in expected.values() for view in (0, 1)
    ]
    assert book.skipped.counts[deep_fashion.UNUSED_VIEW] == 8
    assert book.skipped.counts[listing.NO_PRODUCT_IMAGE] == 4
    assert pairs.group_id.tolist() == [101, 101, 201, 201, 301, 301]  # by item
    assert book.official.tolist() == ["train"] * 4 + ["test"] * 2
    assert pairs.attributes[0] == {"category": "Dresses"}
    loaded = data.load_pairs(tmp_path, 16)
    assert loaded["test"].product_id.tolist() == [301, 302]
    assert len(loaded["validation"].product_id) == 2


def test_in_shop_takes_the_larger_images_where_both_are_there(tmp_path):
    written.in_shop(tmp_path)
    (tmp_path / "img").rename(tmp_path / "img_highres")
    written.write(tmp_path / "img/WOMEN/Dresses/id_00000001/01_6_flat.jpg", 99)
    pairs = data.read_lookbook(tmp_path, 16).pairs
    assert seeds_of(pairs.targets)[0] == 9


def test_consumer_to_shop(tmp_path):
    written.consumer_to_shop(tmp_path)
    book = data.read_lookbook(tmp_path, 16)
    assert pairs_of(book.pairs) == [
        (4 * item + photo, 4 * item + 2) for item in range(6) for photo in (0, 1)
    ]
    assert book.official.tolist() == ["train"] * 4 + ["validation", "test"]
    assert book.skipped.counts == {listing.SECOND_PRODUCT_IMAGE: 6}
    loaded = data.load_pairs(tmp_path, 16)
    assert [loaded[split].product_id.tolist() for split in loaded] == [[0, 1, 2, 3], [4], [5]]
    assert loaded["train"].attributes[0] == {"category": "Blouse"}


@pytest.mark.parametrize("inside", [False, True])
def test_a_table_of_excel(tmp_path, caplog, inside):
    path = written.table(tmp_path)
    with logged(caplog):
        loaded = data.load_pairs(tmp_path if inside else path, 16)
    assert "layout csv, because of the columns of pairs.csv" in caplog.text
    assert "columns that are not used: price" in caplog.text
    assert sorted(pairs_of(loaded["train"])) == [
        (10 * product + photo, 10 * product) for product in range(4) for photo in (1, 2)
    ]
    assert sorted(pairs_of(loaded["validation"])) == [(41, 40), (42, 40)]
    assert sorted(pairs_of(loaded["test"])) == [(51, 50), (52, 50)]
    assert all(each == {"category": "hat"} for each in loaded["train"].attributes)


def test_a_table_needs_two_columns_only(tmp_path):
    written.table(tmp_path)
    lines = [f"street/{p} {i}.png\tshop/{p}.png" for p in range(6) for i in (1, 2)]
    text = "\n".join(["Source\tTarget", *lines, ""])
    (tmp_path / "pairs.csv").unlink()
    (tmp_path / "pairs.tsv").write_text(text, encoding="utf-16")
    book = data.read_lookbook(tmp_path, 16)
    assert len(book.pairs.targets) == 6 and len(book.pairs) == 12 and book.official is None
    assert book.pairs.attributes == ()
    assert book.skipped.counts == {}
    assert list(book.split()) == ["train", "validation", "test"]
    # Products keep their ids, and so their splits, when others are added.
    (tmp_path / "pairs.tsv").write_text("\n".join(["source,target", lines[3].replace("\t", ",")]))
    assert data.read_lookbook(tmp_path, 16).pairs.product_id[0] in book.pairs.product_id


def test_numbers_are_product_ids(tmp_path):
    path = written.table(tmp_path)
    path.write_text(path.read_text("utf-8").replace("SKU-", "70"))
    assert data.read_lookbook(path, 16).pairs.product_id.tolist() == list(range(700, 706))


def test_training_products_that_duplicate_tested_ones_are_left_out(tmp_path, caplog):
    written.viton_hd(tmp_path)
    shutil.copy(tmp_path / "test/cloth/00009_00.jpg", tmp_path / "train/cloth/00003_00.jpg")
    with logged(caplog):
        loaded = data.load_pairs(tmp_path, 16)
    check_apart(loaded)
    assert loaded["test"].product_id.tolist() == [800, 900]  # whole
    trained = [*loaded["train"].product_id.tolist(), *loaded["validation"].product_id.tolist()]
    assert sorted(trained) == [0, 100, 200, 400, 500, 600, 700]
    assert "left out 1 duplicate_of_another_split (train product 300)" in caplog.text
    book = data.read_lookbook(tmp_path, 16)
    for _ in range(2):
        book.split()
        assert book.skipped.counts[DUPLICATE] == 1


def test_a_product_of_two_splits_is_tested(tmp_path):
    path = written.table(tmp_path)
    text = path.read_text("utf-8")
    path.write_text(text.replace("SKU-0;hat;train", "SKU-0;hat;test", 1))
    book = data.read_lookbook(path, 16)
    assert book.skipped.counts == {listing.IN_OTHER_SPLIT: 1}
    masks = book.split()
    assert masks["test"].sum() == 2 and len(book.pairs) == 11


def test_splits_that_are_asked_for_replace_the_official_ones(tmp_path):
    written.viton_hd(tmp_path)
    book = data.read_lookbook(tmp_path, 16)
    loaded = data.load_pairs(tmp_path, 16, splits="kwon2019")
    assert list(loaded) == ["train", "test"]
    for split, mask in data.split_groups(book.pairs.group_id, "kwon2019").items():
        np.testing.assert_array_equal(loaded[split].product_id, book.pairs.product_id[mask])


def test_a_single_official_split_is_split_by_hash(tmp_path):
    written.viton_hd(tmp_path)
    shutil.rmtree(tmp_path / "test")
    book = data.read_lookbook(tmp_path, 16)
    assert book.official is None and len(book.split()) == 3


def test_names_of_lookbook_come_first(tmp_path, caplog):
    written.table(tmp_path / "table")
    for image in range(6):
        name = f"PID{image // 2:06d}_CLEAN{image % 2}_IID{image:06d}.png"
        written.write(tmp_path / name, image)
    with logged(caplog):
        assert len(data.read_lookbook(tmp_path, 16).pairs) == 3
    assert "layout lookbook, because of a file named PID000000" in caplog.text
    assert "it could also be csv (--layout)" in caplog.text
    assert len(data.read_lookbook(tmp_path, 16, layout="csv").pairs) == 12


def test_a_table_of_something_else_does_no_harm(tmp_path):
    written.viton_hd(tmp_path)
    (tmp_path / "notes.csv").write_bytes("größe;preis\n1;2".encode("latin-1"))
    book = data.read_lookbook(tmp_path, 16)
    assert len(book.pairs) == 10
    assert book.skipped.counts == {listing.NOT_LISTED: 1}


# What is wrong is named


def test_what_was_looked_for_and_what_is_there(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    message = "no pairs. Looked for lookbook: .*viton_hd: train/image.*in_shop: .*csv: .*1 file"
    with pytest.raises(ValueError, match=message):
        data.load_pairs(tmp_path)
    for layout, what in (
        ("lookbook", "no pairs. Looked for lookbook: a person image"),
        ("viton_hd", "viton_hd needs train/image, .*Found: none"),
        ("dress_code", "dress_code needs upper_body/images.*Found: none"),
        ("in_shop", "in_shop needs list_eval_partition.txt.*image_name.*Found: none of 1 file"),
        ("consumer_to_shop", "needs list_eval_partition.txt.*image_pair_name_1.*Found: none"),
        ("csv", "csv needs a .csv or .tsv.*Found: no table"),
    ):
        with pytest.raises(ValueError, match=what) as caught:
            data.load_pairs(tmp_path, layout=layout)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="`layout` must be one of auto, .*Received: 'viton'"):
        data.load_pairs(tmp_path, layout="viton")
    with pytest.raises(ValueError, match="`layout` says how files are named, and rendered"):
        data.load_pairs("rendered", layout="csv")


def test_a_list_that_is_not_there(tmp_path):
    written.viton_hd(tmp_path / "a")
    (tmp_path / "a" / "train_pairs.txt").unlink()
    with pytest.raises(ValueError, match="train_pairs.txt is not there, though train/image"):
        data.load_pairs(tmp_path / "a")
    written.dress_code(tmp_path / "b")
    (tmp_path / "b" / "dresses" / "test_pairs_paired.txt").unlink()
    with pytest.raises(ValueError, match="dresses/test_pairs_paired.txt is not there"):
        data.load_pairs(tmp_path / "b")
    written.viton_hd(tmp_path / "b")
    with pytest.raises(ValueError, match="Found: a/, b/. Pass one such folder"):
        written.viton_hd(tmp_path / "a")
        data.load_pairs(tmp_path, layout="viton_hd")


def test_images_that_are_not_there(tmp_path):
    written.viton_hd(tmp_path)
    (tmp_path / "test/cloth/00009_00.jpg").unlink()
    message = "1 of 20 files in train_pairs.txt and test_pairs.txt .*test/cloth/00009_00.jpg.*CSV"
    with pytest.raises(ValueError, match=message):
        data.load_pairs(tmp_path)
    path = written.in_shop(tmp_path / "shop")
    shutil.make_archive(str(path / "img"), "zip", path, "img")
    shutil.rmtree(path / "img")
    with pytest.raises(ValueError, match="18 of 18 files .*Unpack the images"):
        data.load_pairs(path)


def test_one_image_in_a_hundred_may_be_missing(tmp_path):
    path = written.table(tmp_path, products=50, photos=1)
    (tmp_path / "street" / "7 1.png").unlink()
    book = data.read_lookbook(path, 16)
    assert book.skipped.counts == {listing.MISSING: 1, listing.NO_PERSON_IMAGE: 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "pairs.csv is empty. Its first line must be `source,target`"),
        ("source,target\n", "has no pairs below its first line"),
        ("photo,target\na,b", "must have one column `source`.*Received: photo, target"),
        ("source,target,source\na,b,c", "must have one column `source`"),
        ("source,target\na.jpg", "line 2 must have 2 columns, and target in it"),
        ("source,target\na.jpg,b.jpg,c", "line 2 must have 2 columns"),
        ("source,target,product_id\na,b,", "line 2 must have 3 columns, and product_id in it"),
        ("source,target,split\na,b,later", "`split` must be train.*Received: 'later'"),
        (
            "source,target,product_id\na,b,5\nc,d,5",
            "line 3: product '5' must have one target. Received: 'd', and 'b' in line 2",
        ),
        (
            "source,target,category\na,b,hat\nc,b,shoe",
            "must have one category. Received: 'shoe', and 'hat' in line 2",
        ),
        ("source,target,product_id\na,b,5\nc,d,05", "'05' is the same number as '5'"),
        ("source,target\na.jpg,b.jpg", "2 of 2 files in pairs.csv .*a.jpg, b.jpg. Paths are"),
        (b"source,target\n\xe9.jpg,b.jpg", "pairs.csv must be in UTF-8.*Save it so"),
    ],
)
def test_wrong_tables(tmp_path, text, message):
    path = tmp_path / "pairs.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for place in (path, tmp_path):
        with pytest.raises(ValueError, match=message) as caught:
            data.load_pairs(place)
        assert "\n" not in str(caught.value)


def test_pairs_that_are_named_twice_are_counted(tmp_path):
    path = written.table(tmp_path)
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([*lines, lines[3]]))
    book = data.read_lookbook(path, 16)
    assert len(book.pairs) == 12 and book.skipped.counts == {listing.REPEATED: 1}


def test_wrong_lines_of_lists(tmp_path):
    written.viton_hd(tmp_path / "a")
    (tmp_path / "a" / "train_pairs.txt").write_text("00000_00.jpg\n")
    with pytest.raises(ValueError, match="train_pairs.txt, line 1 must be `person.jpg cloth.jpg`"):
        data.load_pairs(tmp_path / "a")
    (tmp_path / "a" / "train_pairs.txt").write_text("\n")
    with pytest.raises(ValueError, match="train_pairs.txt is empty"):
        data.load_pairs(tmp_path / "a")
    written.dress_code(tmp_path / "b", together=True)
    (tmp_path / "b" / "train_pairs.txt").write_text("000000_0.jpg 000000_1.jpg 3\n")
    with pytest.raises(ValueError, match="third column must be 0, 1 or 2.*Received: '3'"):
        data.load_pairs(tmp_path / "b")
    written.in_shop(tmp_path / "c")
    listed = tmp_path / "c" / "Eval" / "list_eval_partition.txt"
    listed.write_text(listed.read_text().replace(" gallery", " galery"))
    with pytest.raises(ValueError, match="line 25 must be `image_name.*galery"):
        data.load_pairs(tmp_path / "c")


def test_every_layout_can_be_named():
    assert set(layouts.LAYOUTS) == {"auto", *layouts._LAYOUTS}


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
def test_a_mask_of_other_proportions_than_its_product_is_refused(tmp_path, resize):
    written.viton_hd(tmp_path)  # of 32 x 24 px
    mask = tmp_path / "train/cloth-mask/00003_00.jpg"
    Image.new("L", (48, 64), 255).save(mask)
    assert (data.load_pairs(tmp_path, 16, truth=True)["train"].masks[:, :, 2:14] == 255).all()
    Image.new("L", (32, 32), 255).save(mask)
    with pytest.raises(ValueError, match="00003_00.jpg must have the proportions.*32x24.*32x32 px"):
        data.load_pairs(tmp_path, 16, truth=True, resize=resize)


def test_masks_are_of_their_products(tmp_path):
    written.viton_hd(tmp_path)
    Image.new("L", (24, 32), 0).save(tmp_path / "test/cloth-mask/00009_00.jpg")
    masks = data.load_pairs(tmp_path, 16, truth=True)["test"].masks
    assert masks[0].max() == 255 and masks[1].max() == 0
