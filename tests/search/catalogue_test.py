import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from keras_pixdt import data
from keras_pixdt.search import ProductEmbedder, ProductIndex, catalogue
from keras_pixdt.search.index import Changes
from tests.report_test import Page
from tests.search.catalogues import write_catalogue

NAMES = ["a.png", "b.png", "c/<b>.png"]


@pytest.fixture(scope="module")
def embedder():
    return ProductEmbedder(image_size=16, width=0.25, dimensions=8)


@pytest.fixture
def folder(tmp_path):
    return write_catalogue(tmp_path / "photos", NAMES)


def test_missing_embedder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no embedder at .*x\.keras.*folder of a run"):
        catalogue.load_embedder(tmp_path / "x.keras")


def test_split_is_of_tfds_data_only(embedder, folder, tmp_path):
    with pytest.raises(ValueError, match="`split` needs TFDS data, tfds:NAME. Received: 'test'"):
        catalogue.index_catalogue(folder, embedder, tmp_path / "a.index", split="test")
    assert not (tmp_path / "a.index").exists()


def test_index_is_made_and_then_updated(embedder, folder, tmp_path):
    embedder.save(tmp_path / "embedder.keras")
    out = tmp_path / "new" / "a.index"
    loaded = catalogue.load_embedder(tmp_path / "embedder.keras")
    _, changes = catalogue.index_catalogue(folder, loaded, out)
    assert changes == Changes(3, 0, 0, 0)
    first, written = out.read_bytes(), out.stat().st_mtime_ns
    assert catalogue.index_catalogue(folder, loaded, out)[1] == Changes(0, 0, 0, 3)
    assert out.stat().st_mtime_ns == written
    (folder / "b.png").unlink()
    assert catalogue.index_catalogue(folder, loaded, out)[1] == Changes(0, 0, 1, 2)
    assert ProductIndex.open(out, embedder).ids == ["a.png", "c/<b>.png"]
    write_catalogue(folder, NAMES)
    catalogue.index_catalogue(folder, loaded, out)
    opened = ProductIndex.open(out)
    out.unlink()
    catalogue.index_catalogue(folder, loaded, out)
    assert out.read_bytes() == first
    assert opened.ids == NAMES


def test_products_of_tfds_splits_are_indexed_by_their_number(embedder, tmp_path, monkeypatch):
    def pairs_of(products, seed):
        images = np.random.default_rng(seed).integers(0, 256, (len(products), 16, 16, 3))
        images = images.astype(np.uint8)
        ids = np.array(products, np.int64)
        return data.PairSet(images, images, np.arange(len(ids)), ids, ids)

    splits = {"train": pairs_of([7, 3], 0), "test": pairs_of([5], 1)}
    monkeypatch.setattr(catalogue, "load_pairs", lambda name, size, **options: splits)
    whole, _ = catalogue.index_catalogue("tfds:lookbook/x", embedder, tmp_path / "a.index")
    assert whole.ids == ["7", "3", "5"]
    test, _ = catalogue.index_catalogue(
        "tfds:lookbook/x", embedder, tmp_path / "b.index", split="test"
    )
    assert test.ids == ["5"]
    with pytest.raises(ValueError, match="one of train, test, those of tfds:lookbook/x"):
        catalogue.index_catalogue("tfds:lookbook/x", embedder, tmp_path / "c.index", split="dev")


def test_photo_finds_its_product_and_the_page_shows_it(embedder, folder, tmp_path):
    index, _ = catalogue.index_catalogue(folder, embedder, tmp_path / "a.index")
    photo = folder / "c" / "<b>.png"
    found = catalogue.search_photo(index, embedder, photo, top=2, html=tmp_path / "page.html")
    assert found["query"] == str(photo) and found["products"] == 3
    assert [result["rank"] for result in found["results"]] == [1, 2]
    assert found["results"][0]["id"] == "c/<b>.png"
    assert found["results"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert set(found["milliseconds"]) == {"embed", "search"}
    assert json.loads(json.dumps(found)) == found
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    assert page.text_of("h1") == ["The 2 nearest of 3 products"]
    assert not page.all("script") and not page.all("link") and not page.all("b")
    photo_image, *results = page.all("img")
    assert photo_image["alt"] == "Photo <b>.png"
    assert results[0]["alt"] == "1. c/<b>.png"
    for image, row in zip(results, index.nearest(index.vectors[2], 2)[0], strict=True):
        prefix, _, content = image["src"].partition(",")
        assert prefix == "data:image/jpeg;base64"
        assert base64.b64decode(content) == index.thumbnail(row)
    assert page.text_of("span")[0] == "1.000"


def test_photo_is_converted_before_it_is_searched_with(embedder, folder, tmp_path):
    index, _ = catalogue.index_catalogue(folder, embedder, tmp_path / "a.index")
    product = data.letterbox(data.read_image(folder / "b.png"), 32)

    def convert(images):
        assert images.shape == (1, 24, 24, 3) and images.dtype == np.uint8
        return product[None]

    found = catalogue.search_photo(
        index, embedder, folder / "a.png", top=1,
        convert=convert, convert_size=24, html=tmp_path / "page.html",
    )  # fmt: skip
    assert found["results"][0]["id"] == "b.png"
    assert set(found["milliseconds"]) == {"convert", "embed", "search"}
    _, drawn, _ = Page((tmp_path / "page.html").read_text("utf-8")).all("img")
    assert drawn["alt"] == "Product image drawn of the photo"
    content = base64.b64decode(drawn["src"].partition(",")[2])
    shown = np.asarray(Image.open(io.BytesIO(content)), float)
    assert np.abs(shown - data.letterbox(product, 256)).mean() < 3


def test_photo_is_stretched_for_a_model_and_an_index_that_take_it_so(folder, tmp_path, caplog):
    embedder = ProductEmbedder(image_size=16, width=0.25, dimensions=8, resize="stretch")
    index, _ = catalogue.index_catalogue(folder, embedder, tmp_path / "a.index")
    photo = data.read_image(folder / "b.png")
    found = catalogue.search_photo(index, embedder, folder / "b.png", top=1)
    assert (found["results"][0]["id"], found["results"][0]["score"]) == ("b.png", pytest.approx(1))

    def convert(images):
        np.testing.assert_array_equal(images, data.resize(photo, 24, how)[None])
        return images

    for how in ("stretch", "letterbox"):
        catalogue.search_photo(
            index, embedder, folder / "b.png", convert=convert, convert_size=24, convert_resize=how
        )
        assert ("--resize" in caplog.text) == (how == "letterbox")  # another than the index has


def test_photo_that_cannot_be_read_is_named(embedder, folder, tmp_path):
    index, _ = catalogue.index_catalogue(folder, embedder, tmp_path / "a.index")
    with pytest.raises(FileNotFoundError):
        catalogue.search_photo(index, embedder, tmp_path / "missing.jpg")
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ValueError, match=r"text\.jpg cannot be decoded"):
        catalogue.search_photo(index, embedder, tmp_path / "text.jpg")
