import io
import pathlib
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

from keras_pixdt import data
from keras_pixdt.search import (
    ApproximateSearch,
    ProductEmbedder,
    ProductIndex,
    embed,
    exact,
    fingerprint,
    ingest,
)
from keras_pixdt.search.index import Changes
from tests.search.catalogues import index_of, picture, random_vectors, unit, write_catalogue

NAMES = ["a.png", "deep/er/b.JPG", "deep/c.bmp", "d.webp"]
IDS = sorted(NAMES)


@pytest.fixture(scope="module")
def embedder():
    return ProductEmbedder(image_size=16, width=0.25, dimensions=8)


@pytest.fixture(scope="module")
def other():
    return ProductEmbedder(image_size=16, width=0.25, dimensions=8, seed=1)


@pytest.fixture
def counted(embedder, monkeypatch):
    """The embedder, and how many images each call embeds."""
    calls = []

    def count(model, images):
        calls.append(len(images))
        return embed(model, images)

    monkeypatch.setattr(ingest, "embed", count)
    return calls


def expected_vector(embedder, image):
    image = data.to_float(data.letterbox(image, 16))[None]
    return np.asarray(embedder.predict_on_batch(image))[0]


def brute_force(vectors, query, k):
    scores = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    scores = scores.astype(np.float32)
    rows = np.argsort(-scores, kind="stable")[:k]
    return rows, scores[rows]


# What is refused


@pytest.mark.parametrize("k", [0, -1, 2.0, "3", True, None])
def test_k_must_be_a_positive_integer(k):
    with pytest.raises(ValueError, match="`k` must be an integer of 1 or more. Received: "):
        index_of(random_vectors(3)).search(random_vectors(1)[0], k)


@pytest.mark.parametrize("shape", [(), (7,), (2, 9), (8, 1), (1, 1, 8)])
def test_queries_of_another_length_are_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(8,\) or \(q, 8\).*Received: "):
        index_of(random_vectors(3)).search(np.ones(shape, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_queries_that_are_not_finite_are_refused(value):
    queries = random_vectors(3)
    queries[1, 2] = value
    with pytest.raises(ValueError, match=r"1 of 3 of `queries` are not \(the first is row 1\)"):
        index_of(random_vectors(3)).search(queries)


def test_queries_of_another_length_than_1_are_refused():
    with pytest.raises(ValueError, match=r"1 of 1 of `queries` are not \(row 0: 2\).*UnitNorm"):
        index_of(random_vectors(3)).search(2 * random_vectors(1)[0])


def test_nan_in_the_file_is_found_when_it_is_searched(tmp_path):
    vectors = random_vectors(6000)
    vectors[5000, 3] = np.nan
    index_of(vectors).save(tmp_path / "a.index")
    opened = ProductIndex.open(tmp_path / "a.index")
    with pytest.raises(ValueError, match=r"a\.index from row 4096 on.*the first is row 904"):
        opened.search(random_vectors(1)[0])


def test_embedder_must_give_unit_vectors(embedder):
    images = keras.Input((16, 16, 3))
    long = keras.Model(images, 2.0 * embedder(images), name="long")
    with pytest.raises(ValueError, match=r"the vectors that long gives.*UnitNormalization"):
        ProductIndex.build([picture(0)], ["a"], long)
    maps = keras.Model(images, keras.layers.AveragePooling2D(8)(images), name="maps")
    with pytest.raises(ValueError, match=r"one vector for each image.*maps: \(1, 2, 2, 3\)"):
        ProductIndex.build([picture(0)], ["a"], maps)


def test_nan_in_the_weights_is_refused():
    broken = ProductEmbedder(image_size=16, width=0.25, dimensions=8)
    broken.set_weights([weights * np.nan for weights in broken.get_weights()])
    with pytest.raises(ValueError, match="product_embedder gives are not .*NaN in the weights"):
        ProductIndex.build([picture(0)], ["a"], broken)


def test_embedder_of_any_image_size_needs_to_be_told_one():
    images = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    model = keras.Model(images, keras.layers.UnitNormalization()(pooled), name="mean_color")
    with pytest.raises(ValueError, match="mean_color takes images of any size.*image_size=64"):
        ProductIndex.build([picture(0)], ["a"], model)
    index = ProductIndex.build([picture(0)], ["a"], model, image_size=4)
    assert (index.image_size, index.dimensions) == (4, 3)


@pytest.mark.parametrize("ids", [["a", "b", "a"], ["a", "a", "b"]])
def test_ids_must_differ(embedder, ids):
    with pytest.raises(ValueError, match="different from one another. Received twice: 'a'"):
        ProductIndex.build([picture(i) for i in range(3)], ids, embedder)


@pytest.mark.parametrize("wrong", [3, "", None, b"a", "\udcff"])
def test_ids_must_be_text(embedder, wrong):
    with pytest.raises(ValueError, match="`ids` must be"):
        ProductIndex.build([picture(0)], [wrong], embedder)


@pytest.mark.parametrize(("images", "ids"), [(1, 2), (2, 1), (1, 0)])
def test_images_and_ids_must_be_equally_many(embedder, images, ids):
    with pytest.raises(ValueError, match="must be equally many. Received: "):
        ProductIndex.build(map(picture, range(images)), map(str, range(ids)), embedder)


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_images_must_be_uint8_rgb(embedder, image):
    with pytest.raises(ValueError, match="must be uint8 of shape"):
        ProductIndex.build([image], ["a"], embedder)


def test_empty_catalogue_is_refused(embedder, tmp_path):
    with pytest.raises(ValueError, match="A catalogue must have a product. Received: `images`"):
        ProductIndex.build([], [], embedder)
    with pytest.raises(ValueError, match=r"of 0 file\(s\); left out: none. Images end in .*jpg"):
        ProductIndex.from_folder(tmp_path, embedder)
    (tmp_path / "notes.txt").write_text("soon")
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"left out: 1 no_image.*notes.txt.*1 unreadable \(a.jpg"):
        ProductIndex.from_folder(tmp_path, embedder)
    with pytest.raises(FileNotFoundError, match="no folder or archive at .*product photos"):
        ProductIndex.from_folder(tmp_path / "missing", embedder)


def test_other_embedder_is_refused_by_name(embedder, other, tmp_path):
    path = tmp_path / "a.index"
    index = ProductIndex.build([picture(0)], ["a"], embedder)
    index.save(path)
    ours, theirs = fingerprint(embedder)[:12], fingerprint(other)[:12]
    message = f"made with another embedder: .*by {ours}. Received: {theirs}. Pass the embedder"
    for refused in (
        lambda: ProductIndex.open(path, other),
        lambda: ProductIndex.open(path, fingerprint(other)),
        lambda: index.add([picture(1)], ["b"], other),
        lambda: index.update([picture(1)], ["a"], other),
        lambda: index.update_from_folder(tmp_path, other),
    ):
        with pytest.raises(ValueError, match=message):
            refused()
    assert index.ids == ProductIndex.open(path, embedder).ids == ["a"]


def test_unreadable_and_huge_files_are_left_out_counted_and_named(embedder, tmp_path, caplog):
    write_catalogue(tmp_path, ["good.png"])
    Image.new("RGB", (1, 1), (9, 9, 9)).save(tmp_path / "dot.png")
    frames = [Image.new("P", (20, 20), color) for color in (1, 200)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    Image.new("1", (20_000, 20_000)).save(tmp_path / "huge.png")  # 50 KB
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.png").touch()
    good = (tmp_path / "good.png").read_bytes()
    (tmp_path / "short.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "list.csv").write_text("a,b")
    (tmp_path / ".DS_Store").touch()
    write_catalogue(tmp_path / "@eaDir" / "good.png", ["thumb.png"])
    (tmp_path / "twice").symlink_to(".")
    (tmp_path / "folder.png").mkdir()
    index = ProductIndex.from_folder(tmp_path, embedder)
    assert index.ids == ["dot.png", "good.png", "moving.gif"]
    assert index.skipped.counts == {
        "folder_linked_again": 1, "hidden_file": 2, "no_image_by_its_name": 1, "unreadable": 4
    }  # fmt: skip
    assert set(index.skipped.examples["unreadable"]) == {
        "empty.png", "huge.png", "short.png", "text.jpg",
    }  # fmt: skip
    assert "huge.png cannot be decoded: Image size (400000000" in caplog.text
    assert "left out" in caplog.text
    first = data.read_image(tmp_path / "moving.gif")
    np.testing.assert_allclose(index.vectors[2], expected_vector(embedder, first), atol=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_file_name_that_is_no_text_is_left_out(embedder, tmp_path):
    write_catalogue(tmp_path, ["good.png"])
    pathlib.Path(tmp_path / "bad\udcff.png").write_bytes((tmp_path / "good.png").read_bytes())
    index = ProductIndex.from_folder(tmp_path, embedder)
    assert index.ids == ["good.png"]
    assert index.skipped.counts == {"name_not_in_utf8": 1}


# Fingerprints


def test_fingerprint_survives_saving_and_other_names(embedder, tmp_path):
    embedder.save(tmp_path / "embedder.keras")
    assert fingerprint(keras.saving.load_model(tmp_path / "embedder.keras")) == fingerprint(
        embedder
    )

    def functional():
        images = keras.Input((16, 16, 3))
        inner = keras.Sequential([keras.layers.Conv2D(2, 3), keras.layers.Flatten()])
        x = keras.ops.concatenate([inner(images), keras.layers.Flatten()(images)], axis=1)
        x = keras.layers.Dense(4, kernel_initializer="ones")(x)
        model = keras.Model(images, keras.layers.UnitNormalization()(x))
        model.set_weights([np.ones(w.shape, w.dtype) for w in model.get_weights()])
        return model

    first, second = functional(), functional()
    assert first.layers[-1].name != second.layers[-1].name
    assert fingerprint(first) == fingerprint(second)
    first.save(tmp_path / "functional.keras")
    assert fingerprint(keras.saving.load_model(tmp_path / "functional.keras")) == fingerprint(first)
    second.compile("adam", "mse")
    assert fingerprint(first) == fingerprint(second)


def test_fingerprint_sees_weights_layers_and_precision(embedder, other):
    def dense(activation, dtype="float32", value=1.0):
        model = keras.Sequential(
            [keras.Input((2,)), keras.layers.Dense(3, activation=activation, dtype=dtype)]
        )
        model.set_weights([np.full(w.shape, value, w.dtype) for w in model.get_weights()])
        return fingerprint(model)

    different = [
        fingerprint(embedder),
        fingerprint(other),
        dense("relu"),
        dense("elu"),
        dense("relu", "mixed_bfloat16"),
        dense("relu", value=2.0),
    ]
    assert len(set(different)) == len(different)
    assert all(len(text) == 64 and int(text, 16) for text in different)


# Building


def test_products_are_letterboxed_embedded_and_get_thumbnails(embedder):
    images = [picture(0), picture(1, 40, 90), picture(2, 16, 16)]
    index = ProductIndex.build(iter(images), iter("abc"), embedder)
    assert index.ids == ["a", "b", "c"] and len(index) == 3
    assert index.embedder == fingerprint(embedder)
    assert (index.dimensions, index.image_size, index.thumbnail_size) == (8, 16, 96)
    for row, image in enumerate(images):
        np.testing.assert_allclose(index.vectors[row], expected_vector(embedder, image), atol=1e-6)
        file = Image.open(io.BytesIO(index.thumbnail(row)))
        assert file.format == "JPEG" and file.size == (96, 96)
        difference = np.abs(np.asarray(file, float) - data.letterbox(image, 96)).mean()
        assert difference < 3


def test_products_are_stretched_where_the_embedder_takes_them_so(embedder, tmp_path):
    images = [picture(0), picture(1, 40, 90), picture(2, 16, 16)]
    stretched = np.stack([data.stretch(image, 16) for image in images])
    own = ProductEmbedder(image_size=16, width=0.25, dimensions=8, resize="stretch")
    for model, asked in ((own, {}), (embedder, {"resize": "stretch"})):
        index = ProductIndex.build(images, "abc", model, **asked)
        np.testing.assert_allclose(index.vectors, embed(model, stretched), atol=1e-6)
        shown = np.asarray(Image.open(io.BytesIO(index.thumbnail(1))), float)
        assert np.abs(shown - data.letterbox(images[1], 96)).mean() < 3  # with its aspect
        # The file knows, and what is added to it is the same.
        index.save(tmp_path / "a.index")
        opened = ProductIndex.open(tmp_path / "a.index", model)
        assert opened.resize == "stretch"
        opened.add([images[1]], ["again"], model)
        np.testing.assert_allclose(opened.vectors[3], opened.vectors[1], atol=1e-6)
    with pytest.raises(ValueError, match="one of letterbox, stretch. Received: 'crop'"):
        ProductIndex.build(images, "abc", embedder, resize="crop")


def test_more_products_than_are_embedded_at_once(embedder):
    images = [picture(seed) for seed in range(270)]
    index = ProductIndex.build(images, map(str, range(270)), embedder)
    assert index.ids == [str(row) for row in range(270)]
    for row in (0, 31, 32, 255, 256, 269):
        expected = expected_vector(embedder, images[row])
        np.testing.assert_allclose(index.vectors[row], expected, atol=1e-6)


def test_folder_and_archive_give_the_same_bytes_twice(embedder, tmp_path):
    folder = write_catalogue(tmp_path / "photos", NAMES)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in NAMES:
            archive.write(folder / name, name)
    contents = []
    for number, source in enumerate((folder, folder, tmp_path / "photos.zip")):
        index = ProductIndex.from_folder(source, embedder)
        assert index.ids == IDS and not index.skipped.counts
        index.save(tmp_path / f"{number}.index")
        contents.append((tmp_path / f"{number}.index").read_bytes())
    assert contents[0] == contents[1] == contents[2]
    for row, name in enumerate(IDS):
        expected = expected_vector(embedder, data.read_image(folder / name))
        np.testing.assert_allclose(index.vectors[row], expected, atol=1e-6)


# Changing


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archive_is_indexed_as_it_unpacks(embedder, tmp_path):
    """A member that was added anew replaces the one of before; backslashes are folders."""
    folder = write_catalogue(tmp_path / "catalogue", NAMES[:2])
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(folder / NAMES[1], "new.png")
        archive.write(folder / NAMES[0], "new.png")
        info = zipfile.ZipInfo()
        info.filename = "deep\\er.png"
        archive.writestr(info, (folder / NAMES[1]).read_bytes())
    index = ProductIndex.from_folder(tmp_path / "photos.zip", embedder)
    assert index.ids == ["deep/er.png", "new.png"]
    expected = ProductIndex.from_folder(folder, embedder)
    order = [expected.ids.index(name) for name in (NAMES[1], NAMES[0])]
    np.testing.assert_allclose(index.vectors, expected.vectors[order], atol=1e-6)


def test_update_embeds_only_what_is_new_or_changed(embedder, counted, tmp_path):
    folder = write_catalogue(tmp_path / "photos", NAMES)
    index = ProductIndex.from_folder(folder, embedder)
    index.save(tmp_path / "a.index")
    counted.clear()
    index = ProductIndex.open(tmp_path / "a.index", embedder)
    assert index.update_from_folder(folder, embedder) == Changes(0, 0, 0, 4)
    assert counted == []
    before = index.vectors.copy()
    (folder / "a.png").unlink()
    write_catalogue(folder, ["deep/c.bmp", "new.png", "another.png"], seed=50)
    assert index.update_from_folder(folder, embedder) == Changes(2, 1, 1, 2)
    assert counted == [3]
    assert index.ids == ["another.png", "d.webp", "deep/c.bmp", "deep/er/b.JPG", "new.png"]
    np.testing.assert_array_equal(index.vectors[[1, 3]], before[[1, 3]])
    anew = ProductIndex.from_folder(folder, embedder)
    assert anew.ids == index.ids
    np.testing.assert_allclose(index.vectors, anew.vectors, atol=1e-6)
    for row in range(5):
        assert index.thumbnail(row) == anew.thumbnail(row)
    index.save(tmp_path / "a.index")
    opened = ProductIndex.open(tmp_path / "a.index", embedder)
    assert opened.update_from_folder(folder, embedder) == Changes(0, 0, 0, 5)


def test_update_of_arrays_follows_the_order_of_the_catalogue(embedder, counted):
    images = {name: picture(seed) for seed, name in enumerate("abcd")}
    index = ProductIndex.build(images.values(), images, embedder)
    counted.clear()
    images["b"] = picture(9)
    order = ["d", "x", "b", "a"]
    images["x"] = picture(10)
    changes = index.update([images[name] for name in order], order, embedder)
    assert changes == Changes(added=1, changed=1, removed=1, unchanged=2)
    assert counted == [2]
    assert index.ids == order
    for row, name in enumerate(order):
        expected = expected_vector(embedder, images[name])
        np.testing.assert_allclose(index.vectors[row], expected, atol=1e-6)


def test_update_with_an_empty_folder_changes_nothing(embedder, tmp_path):
    index = ProductIndex.from_folder(write_catalogue(tmp_path / "a", NAMES), embedder)
    (tmp_path / "unmounted").mkdir()
    with pytest.raises(ValueError, match="A catalogue must have a product"):
        index.update_from_folder(tmp_path / "unmounted", embedder)
    assert index.ids == IDS


def test_add_and_remove(embedder, counted, tmp_path):
    index = ProductIndex.build([picture(0), picture(1)], ["a", "b"], embedder)
    index.save(tmp_path / "a.index")
    index = ProductIndex.open(tmp_path / "a.index")
    counted.clear()
    index.add([picture(2)], ["c"], embedder)
    index.remove(["a"])
    index.add([picture(0)], ["a"], embedder)
    assert counted == [1, 1]
    assert index.ids == ["b", "c", "a"]
    assert [index.row(name) for name in "bca"] == [0, 1, 2]
    for row, seed in enumerate((1, 2, 0)):
        expected = expected_vector(embedder, picture(seed))
        np.testing.assert_allclose(index.vectors[row], expected, atol=1e-6)
        assert index.search(expected, 1)[0] == [index.id(row)]
    with pytest.raises(ValueError, match="has a product 'c' already. Remove it first"):
        index.add([picture(4), picture(3)], ["d", "c"], embedder)
    with pytest.raises(ValueError, match=r"has no products 'x', 'y' \(2 of 3 are not among its 3"):
        index.remove(["a", "x", "y"])
    with pytest.raises(ValueError, match="An index must have a product.*all 3"):
        index.remove(["a", "b", "c"])
    with pytest.raises(ValueError, match="has no products 'x'"):
        index.row("x")
    assert index.ids == ["b", "c", "a"]


# Searching


@pytest.mark.parametrize(("count", "k"), [(1, 1), (7, 3), (1000, 10), (1000, 1000)])
def test_search_equals_brute_force(count, k):
    vectors, queries = random_vectors(count, 16), random_vectors(5, 16, seed=1)
    index = index_of(vectors)
    ids, scores = index.search(queries, k)
    assert scores.shape == (5, k) and scores.dtype == np.float32
    for i, query in enumerate(queries):
        rows, expected = brute_force(vectors, query, k)
        assert ids[i] == [f"p{row}" for row in rows]
        np.testing.assert_array_equal(scores[i], expected)
        single_ids, single_scores = index.search(query.tolist(), k)
        assert single_ids == ids[i]
        np.testing.assert_array_equal(single_scores, expected)


@pytest.mark.parametrize("threaded", [1, 1 << 60])
def test_search_by_blocks_and_groups_of_queries_is_the_same(monkeypatch, threaded):
    vectors, queries = random_vectors(500), random_vectors(9, seed=1)
    expected = [brute_force(vectors, query, 7)[0] for query in queries]
    monkeypatch.setattr(exact, "_UNTHREADED", 8 * 13)
    monkeypatch.setattr(exact, "_THREADED", threaded)
    monkeypatch.setattr(exact, "_MAX_SIMILARITIES", 2 * 500)
    monkeypatch.setattr(exact, "_BLOCK", 3)
    index = index_of(vectors)
    np.testing.assert_array_equal(index.nearest(queries, 7)[0], expected)
    for query, rows in zip(queries, expected, strict=True):
        np.testing.assert_array_equal(index.nearest(query, 7)[0], rows)


def test_ties_are_broken_by_the_row():
    """Also where the sums in float32 differ by rounding, as they do within a block."""
    base = random_vectors(3, 64)
    vectors = np.repeat(base, 700, axis=0)[np.random.default_rng(0).permutation(2100)]
    query = unit(base[1] + 0.3 * base[0])
    rows, scores = index_of(vectors).nearest(query, 50)
    equal = np.flatnonzero((vectors == base[1]).all(axis=1))
    np.testing.assert_array_equal(rows, equal[:50])
    assert len(set(scores.tolist())) == 1


def test_few_rows_of_a_catalogue_that_is_sorted_by_kind_are_ranked(monkeypatch):
    kinds = np.repeat(random_vectors(20, 16), 500, axis=0)
    vectors = unit(kinds + 0.3 * random_vectors(len(kinds), 16, seed=1))
    rank, ranked = exact.rank, []

    def counted(vectors, query, candidates, k):
        ranked.append(len(candidates))
        return rank(vectors, query, candidates, k)

    monkeypatch.setattr(exact, "rank", counted)
    query = vectors[700]
    rows, _ = index_of(vectors).nearest(query, 10)
    np.testing.assert_array_equal(rows, brute_force(vectors, query, 10)[0])
    assert ranked[0] < 20  # of 500 of its kind


def test_more_results_than_products_are_all_products():
    ids, scores = index_of(random_vectors(3)).search(random_vectors(2), 10)
    assert scores.shape == (2, 3)
    assert [sorted(found) for found in ids] == [["p0", "p1", "p2"]] * 2


def test_nearest_product_of_a_catalogue_image_is_itself(embedder, tmp_path):
    folder = write_catalogue(tmp_path / "photos", NAMES)
    index = ProductIndex.from_folder(folder, embedder)
    for name in NAMES:
        query = expected_vector(embedder, data.read_image(folder / name))
        ids, scores = index.search(query, 1)
        assert ids == [name]
        assert scores[0] == pytest.approx(1, abs=1e-5)


def test_saved_index_is_searched_without_keras(tmp_path):
    index_of(random_vectors(9)).save(tmp_path / "a.index")
    script = (
        "import sys\n"
        "from keras_pixdt.search import ProductIndex\n"
        "index = ProductIndex.open(sys.argv[1], '0' * 64)\n"
        "print(index.search(index.vectors[4], 1)[0])\n"
        "assert not {'keras', 'tensorflow', 'jax', 'faiss'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.index"],
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "['p4']", done.stderr


# The approximate search


def test_missing_faiss_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r'pip install "keras_pixdt\[search\]"'):
        index_of(random_vectors(9)).approximate()


@pytest.mark.parametrize(("lists", "probes"), [(0, 1), (4, 5), (10, 1), (4, 0)])
def test_lists_and_probes_must_fit(lists, probes):
    pytest.importorskip("faiss", reason="faiss is not installed")
    with pytest.raises(ValueError, match="1 <= probes <= lists <= 9, .*Received: "):
        index_of(random_vectors(9)).approximate(lists, probes)


def test_approximate_search_with_all_probes_is_exact():
    pytest.importorskip("faiss", reason="faiss is not installed")
    index = index_of(random_vectors(300))
    queries = random_vectors(4, seed=1)
    search = index.approximate(lists=10, probes=10)
    assert isinstance(search, ApproximateSearch)
    for wanted in (queries, queries[0]):
        (ids, scores), (exact_ids, exact_scores) = search.search(wanted), index.search(wanted)
        assert ids == exact_ids
        np.testing.assert_array_equal(scores, exact_scores)


def test_approximate_search_finds_most_with_true_scores():
    pytest.importorskip("faiss", reason="faiss is not installed")
    families = random_vectors(40, 16)
    vectors = unit(np.repeat(families, 50, axis=0) + 0.1 * random_vectors(2000, 16, seed=1))
    queries = unit(vectors[::100] + 0.05 * random_vectors(20, 16, seed=2))
    index = index_of(vectors)
    rows, scores = index.approximate().nearest(queries)
    exact, _ = index.nearest(queries)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, exact, strict=True)]) > 0.9
    sums = (vectors[rows].astype(np.float64) * queries[:, None]).sum(axis=2).astype(np.float32)
    np.testing.assert_array_equal(scores, sums)


def test_approximate_search_gives_k_results_where_clusters_have_fewer():
    pytest.importorskip("faiss", reason="faiss is not installed")
    index = index_of(random_vectors(30))
    query = random_vectors(1, seed=1)[0]
    ids, scores = index.approximate(lists=15, probes=1).search(query, 25)
    assert (ids, scores.tolist()) == (
        index.search(query, 25)[0],
        index.search(query, 25)[1].tolist(),
    )
