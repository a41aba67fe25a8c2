import json
import pathlib
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from keras_pixdt import data
from keras_pixdt.data.files import HIDDEN, UNREADABLE
from keras_pixdt.data.readers import listing, lookbook
from tests.profiles import encoded


def photo(seed: int) -> Image.Image:
    """A smooth picture, unlike that of another seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(noise).resize((24, 32), Image.Resampling.BICUBIC)


def file_name(product: int, clean: int, image: int, extension: str = "png") -> str:
    return f"PID{product:06d}_CLEAN{clean}_IID{image:06d}.{extension}"


def make_folder(folder: pathlib.Path, products: int = 4, views: int = 2) -> pathlib.Path:
    """Product p has the images p * 10 (flat), p * 10 + 1, ...; image i is photo(i)."""
    folder.mkdir(parents=True, exist_ok=True)
    for product in range(products):
        for view in range(views + 1):
            image = product * 10 + view
            name = file_name(product, int(view == 0), image)
            (folder / name).write_bytes(encoded(photo(image)))
    return folder


def check_is_whole(book: data.LookBook, products: int = 4, views: int = 2, size: int = 16) -> None:
    pairs = book.pairs
    assert pairs.product_id.tolist() == list(range(products))
    assert pairs.target_index.tolist() == np.repeat(range(products), views).tolist()
    assert book.target_id.tolist() == [product * 10 for product in range(products)]
    assert book.source_id[:3].tolist() == [1, 2, 11]
    for images, ids in ((pairs.sources, book.source_id), (pairs.targets, book.target_id)):
        for image, number in zip(images, ids, strict=True):
            expected = data.letterbox(np.asarray(photo(int(number))), size)
            np.testing.assert_array_equal(image, expected)


def test_folder_with_subfolders(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "more" / "persons").mkdir(parents=True)
    for path in list(tmp_path.glob("*CLEAN0*"))[::2]:
        path.rename(tmp_path / "more" / "persons" / path.name)
    book = data.read_lookbook(tmp_path, 16)
    check_is_whole(book)
    assert book.skipped.counts == {}
    assert book.pairs.group_id.tolist() == [0, 1, 2, 3]


def test_images_are_stretched_where_asked_for(tmp_path):
    book = data.read_lookbook(make_folder(tmp_path), 16, "stretch")
    for images, ids in ((book.pairs.sources, book.source_id), (book.pairs.targets, book.target_id)):
        for image, number in zip(images, ids, strict=True):
            expected = photo(int(number)).resize((16, 16), Image.Resampling.BICUBIC)
            np.testing.assert_array_equal(image, np.asarray(expected))
    # What are duplicates depends on the files alone.
    letterboxed = data.read_lookbook(tmp_path, 16)
    np.testing.assert_array_equal(book.pairs.group_id, letterboxed.pairs.group_id)
    assert not np.array_equal(book.pairs.sources, letterboxed.pairs.sources)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("inside_a_folder", [False, True])
def test_archives(tmp_path, kind, inside_a_folder):
    files = sorted(make_folder(tmp_path / "lookbook").iterdir())
    (tmp_path / "packed").mkdir()
    path = tmp_path / "packed" / f"data.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, f"lookbook/{file.name}")
    else:
        with tarfile.open(path, f"w:{kind[4:]}") as archive:
            # Not in the order in which they are read.
            for file in reversed(files):
                archive.add(file, f"lookbook/{file.name}")
    check_is_whole(data.read_lookbook(path.parent if inside_a_folder else path, 16))


def test_two_archives_of_one_name_are_read_each(tmp_path):
    for folder, products in (("a", 2), ("b", 3)):
        files = make_folder(tmp_path / folder / "files", products)
        with zipfile.ZipFile(tmp_path / folder / "data.zip", "w") as archive:
            for file in files.iterdir():
                archive.write(file, file.name)
        book = data.read_lookbook(tmp_path / folder / "data.zip", 16)
        assert len(book.pairs.targets) == products


def test_every_file_that_is_left_out_is_counted_and_named(tmp_path):
    make_folder(tmp_path)
    one = encoded(photo(500))
    copies = tmp_path / "copies"
    copies.mkdir()
    for name in (
        "._" + file_name(0, 0, 1),
        ".DS_Store",
        "notes.txt",
        "PID000000_CLEAN2_IID000009.jpg",
        "copies/" + file_name(0, 0, 1),
        file_name(1, 1, 19),
        file_name(50, 0, 500),
        file_name(50, 0, 501),
        file_name(60, 1, 600),
    ):
        (tmp_path / name).write_bytes(one)
    book = data.read_lookbook(tmp_path, 16)
    check_is_whole(book)
    assert book.skipped.counts == {
        HIDDEN: 2,
        lookbook.WRONG_NAME: 2,
        lookbook.SAME_ID: 1,
        listing.SECOND_PRODUCT_IMAGE: 1,
        listing.NO_PRODUCT_IMAGE: 2,
        listing.NO_PERSON_IMAGE: 1,
    }
    assert book.skipped.examples[lookbook.SAME_ID] == ["copies/" + file_name(0, 0, 1)]
    assert book.skipped.examples[listing.NO_PERSON_IMAGE] == [file_name(60, 1, 600)]
    assert "2 wrong_name (PID000000_CLEAN2_IID000009.jpg, notes.txt)" in str(book.skipped)


def test_every_image_format_has_lookbook_names(tmp_path):
    make_folder(tmp_path)
    for product, extension in enumerate(("avif", "jfif", "TGA", "jp2")):
        name = file_name(product, 0, 90 + product, extension)
        (tmp_path / name).write_bytes(encoded(photo(90 + product)))
    (tmp_path / file_name(0, 0, 99, "txt")).write_bytes(encoded(photo(99)))
    book = data.read_lookbook(tmp_path, 16)
    assert book.source_id.tolist() == [1, 2, 90, 11, 12, 91, 21, 22, 92, 31, 32, 93]
    assert book.skipped.examples == {lookbook.WRONG_NAME: [file_name(0, 0, 99, "txt")]}


def test_ids_that_are_too_large_are_named(tmp_path):
    make_folder(tmp_path)
    large = [file_name(10**19, 0, 1), file_name(1, 0, 2**63)]
    for name in (*large, file_name(1, 0, 2**63 - 1)):
        (tmp_path / name).write_bytes(encoded(photo(99)))
    book = data.read_lookbook(tmp_path, 16)
    assert book.skipped.examples == {lookbook.ID_TOO_LARGE: sorted(large)}
    assert book.source_id.max() == 2**63 - 1


def test_hidden_folders_are_left_out(tmp_path):
    make_folder(tmp_path)
    make_folder(tmp_path / ".Trash-1000" / "files", products=6)
    (tmp_path / ".Trash-1000" / "products.json").write_text('[{"pid": 1, "color": "red"}]')
    book = data.read_lookbook(tmp_path, 16)
    check_is_whole(book)
    assert book.skipped.counts == {HIDDEN: 19} and book.pairs.attributes == ()


def test_folders_that_are_links_are_read(tmp_path):
    make_folder(tmp_path / "disk")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "part").symlink_to(tmp_path / "disk")
    check_is_whole(data.read_lookbook(tmp_path / "book", 16))


def test_an_archive_with_backslashes_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in make_folder(tmp_path / "files").iterdir():
            info = zipfile.ZipInfo()
            info.filename = f"LookBook\\{file.name}"
            archive.writestr(info, file.read_bytes())
    check_is_whole(data.read_lookbook(tmp_path / "a.zip", 16))


@pytest.mark.parametrize("content", [b"", b"not an image", encoded(photo(1))[:300]])
def test_up_to_one_percent_unreadable_images_are_skipped(tmp_path, content):
    make_folder(tmp_path, products=20, views=4)
    (tmp_path / file_name(3, 0, 32)).write_bytes(content)
    book = data.read_lookbook(tmp_path, 16)
    assert book.skipped.counts == {UNREADABLE: 1}
    assert book.skipped.examples[UNREADABLE] == [file_name(3, 0, 32)]
    assert len(book.pairs) == 79 and 32 not in book.source_id
    source = list(book.source_id).index(33)
    np.testing.assert_array_equal(
        book.pairs.sources[source], data.letterbox(np.asarray(photo(33)), 16)
    )


def test_an_unreadable_product_image_takes_its_persons_along(tmp_path):
    make_folder(tmp_path, products=20, views=4)
    (tmp_path / file_name(3, 1, 30)).write_bytes(b"")
    book = data.read_lookbook(tmp_path, 16)
    assert book.skipped.counts == {UNREADABLE: 1, listing.NO_PRODUCT_IMAGE: 4}
    assert 3 not in book.pairs.product_id and len(book.pairs) == 76
    row = list(book.pairs.product_id).index(4)
    np.testing.assert_array_equal(
        book.pairs.targets[row], data.letterbox(np.asarray(photo(40)), 16)
    )


def test_above_one_percent_unreadable_images_is_an_error(tmp_path):
    make_folder(tmp_path, products=20, views=4)
    for image in (31, 32):
        (tmp_path / file_name(3, 0, image)).write_bytes(b"")
    with pytest.raises(ValueError, match=r"2 of 100 images.*1%.*IID000031.png, PID.*remove"):
        data.read_lookbook(tmp_path, 16)


def test_a_damaged_archive_member_is_an_unreadable_image(tmp_path):
    files = make_folder(tmp_path / "files", products=20, views=4)
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(files.iterdir()):
            archive.write(file, file.name)
        info = archive.getinfo(file_name(3, 0, 32))
    content = bytearray(path.read_bytes())
    content[info.header_offset + 200] ^= 255
    path.write_bytes(content)
    assert data.read_lookbook(path, 16).skipped.counts == {UNREADABLE: 1}


def test_any_image_under_any_extension_is_converted(tmp_path):
    make_folder(tmp_path)
    gray = Image.new("L", (20, 20), 77)
    (tmp_path / file_name(1, 0, 99, "jpg")).write_bytes(encoded(gray))
    book = data.read_lookbook(tmp_path, 16)
    assert (book.pairs.sources[list(book.source_id).index(99)] == 77).all()


def test_duplicates_in_different_products_share_a_group(tmp_path):
    make_folder(tmp_path)
    (tmp_path / file_name(2, 0, 77, "jpg")).write_bytes(encoded(photo(1), "BMP"))
    assert data.read_lookbook(tmp_path, 16).pairs.group_id.tolist() == [0, 1, 0, 3]


def test_products_json_gives_the_attributes(tmp_path):
    make_folder(tmp_path)
    listed = [{"pid": 2, "category": "dress", "photo": "7"}, {"pid": 0, "color": "red"}]
    (tmp_path / "products.json").write_text(json.dumps(listed))
    book = data.read_lookbook(tmp_path, 16)
    assert book.pairs.attributes == ({"color": "red"}, {}, {"category": "dress"}, {})
    assert book.skipped.counts == {}
    (tmp_path / "products.json").write_text('{"2": "dress"}')
    with pytest.raises(ValueError, match="products.json must be a JSON list"):
        data.read_lookbook(tmp_path, 16)


def test_what_cannot_be_read_at_all_is_an_error_that_names_the_fix(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing.*Pass the folder"):
        data.read_lookbook(tmp_path / "missing", 16)
    with pytest.raises(ValueError, match="no pairs.*PID000001_CLEAN0.*Found: 0 file"):
        data.read_lookbook(tmp_path, 16)
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no pairs.*1 wrong_name \(a.jpg\)"):
        data.read_lookbook(tmp_path, 16)
    for name in ("x.zip", "y.tar"):
        (tmp_path / name).write_bytes(b"no archive")
        with pytest.raises(ValueError, match=f"{name} is neither.*archive.*again"):
            data.read_lookbook(tmp_path / name, 16)
    with pytest.raises(ValueError, match=r"2 archives \(x.zip, y.tar\).*one archive"):
        data.read_lookbook(tmp_path, 16)
