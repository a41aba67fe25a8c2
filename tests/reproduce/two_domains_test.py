import dataclasses
import json

import keras
import numpy as np
import pytest
from PIL import Image

from keras_pixdt import data, presets, reproduce
from keras_pixdt.reproduce import discogan, hair, products, two_domains
from keras_pixdt.reproduce.experiment import Budget
from keras_pixdt.reproduce.result import Score
from keras_pixdt.reproduce.two_domains import BACK, FORWARD, OTHER, Domains, Figure
from tests import samples

SIZE = 16
TINY = Budget(
    samples=16,
    drawn=(8, 4),
    fields={"image_size": SIZE, "width": 1 / 32, "batch_size": 8, "passes": 1},
)
SHIFT = Score("shift", "Difference of brightness", "lower", ".3f")
FIGURE = Figure(
    "kim2017-tiny",
    "A figure",
    (SHIFT,),
    ((OTHER, SHIFT),),
    {OTHER: "against other images"},
    {"mirror": True},
    budgets=dict.fromkeys(reproduce.BUDGETS, TINY),
)


def plain(*levels):
    return np.stack([np.full((SIZE, SIZE, 3), level, np.uint8) for level in levels])


def domains_of(measured):
    test = data.DomainSet(plain(10, 20, 30), plain(200, 210, 220))
    inputs = {FORWARD: test.sources, BACK: test.targets}

    def measure(way, translated):
        measured.append((way, translated.copy()))
        shift = np.abs(translated.astype(float) - inputs[way]).mean(axis=(1, 2, 3))
        return {
            "": two_domains.means(shift=shift),
            OTHER: two_domains.means(shift=shift + 1),
        }

    train = data.DomainSet(plain(*range(0, 80, 10)), plain(*range(150, 230, 10)))
    return Domains(("dark", "bright"), train, test, measure, (test.targets, None))


@pytest.mark.usefixtures("eager")
def test_a_network_is_trained_once_and_scored_both_ways(tmp_path, monkeypatch):
    trained, measured = [], []
    train = two_domains.train_unpaired

    def counted(preset, domains, **options):
        trained.append((preset, options["epochs"], options["seed"]))
        return train(preset, domains, **options)

    monkeypatch.setattr(two_domains, "train_unpaired", counted)
    result = two_domains.run(FIGURE, domains_of(measured), tmp_path, "smoke", seeds=2, verbose=0)
    # 16 samples of 8 images; the preset is mirrored.
    assert [(p.mirror, epochs, seed) for p, epochs, seed in trained] == [
        (True, 2, 0),
        (True, 2, 1),
    ]
    assert [(row.key, row.title) for row in result.rows] == [
        ("forward", "dark to bright"),
        ("forward-other", "dark to bright: against other images"),
        ("back", "bright to dark"),
        ("back-other", "bright to dark: against other images"),
    ]
    first = result.rows[0].seeds[0]
    assert first["epochs"] == 2 and first["samples"] == 16 and first["steps"] == 2
    told = [verdict["claim"] for verdict in result.verdicts()]
    assert told == [
        f"{way} is better than {way}: against other images in Difference of brightness"
        for way in ("dark to bright", "bright to dark")
    ]
    # G_AB translates A, and G_BA translates B.
    (path,) = (tmp_path / "rows").glob("kim2017-tiny-seed0-*.keras")
    model = keras.models.load_model(path)
    for way, generator, images in (
        (FORWARD, model.converter, plain(10, 20, 30)),
        (BACK, model.reverse_converter, plain(200, 210, 220)),
    ):
        expected = data.to_uint8(generator.predict_on_batch(data.to_float(images)))
        found = next(each for name, each in measured if name == way)
        np.testing.assert_array_equal(found, expected)
    with Image.open(tmp_path / "kim2017-tiny.png") as picture:
        assert picture.height == 5 * SIZE + 4 * 2  # what is right is known one way
    again = two_domains.run(FIGURE, domains_of([]), tmp_path, "smoke", seeds=2, verbose=0)
    assert len(trained) == 2 and again.markdown() == result.markdown()


def test_a_budget_without_samples_has_the_presets_epochs(tmp_path, monkeypatch):
    lengths = []

    def network(experiment, name, preset, train, digest, epochs, seed):
        lengths.append((preset, epochs))
        raise KeyboardInterrupt

    monkeypatch.setattr(two_domains, "network", network)
    figure = dataclasses.replace(FIGURE, budgets=two_domains.BUDGETS)
    with pytest.raises(KeyboardInterrupt):
        two_domains.run(figure, domains_of([]), tmp_path, "paper", verbose=0)
    paper = presets.get("kim2017")
    assert lengths == [(dataclasses.replace(paper, mirror=True), paper.epochs)]


def test_means_are_of_images_with_errors_of_their_groups():
    found = two_domains.means(np.array([0, 0, 1, 1]), a=np.array([1.0, 1.0, 3.0, 3.0]))
    # Two groups: sqrt(2 / 1) * sqrt(2^2 + 2^2) / 4.
    assert found == {"a": 2.0, "standard_errors": {"a": pytest.approx(1.0)}}
    assert two_domains.means(a=np.array([0.5]))["standard_errors"] == {}  # one says nothing


# Products


def test_colours_are_of_the_middle():
    image = np.full((1, 16, 16, 3), 255, np.uint8)
    image[:, 4:12, 4:12] = (90, 60, 30)
    # Brightness 60; red over green 30; yellow (75) over blue 45.
    np.testing.assert_allclose(products.colours(image), [[60, 30, 45]])


def test_a_correlation_is_of_each_channel():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 3))
    b[:, 1] = 3 * a[:, 1] - 7
    expected = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3)]
    assert expected[1] == pytest.approx(1)
    assert products.correlation(a, b) == pytest.approx(np.mean(expected))
    assert products.correlation(a, np.ones_like(a)) == 0  # a network that draws one image


def test_colours_that_are_kept_are_told_from_shuffled_ones():
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 256, (60, 1, 1, 3))
    inputs = np.broadcast_to(colours, (60, SIZE, SIZE, 3)).astype(np.uint8)
    found = products.measure_colours(inputs, inputs // 2)
    assert found[""]["correlation"] == pytest.approx(1, abs=0.01)
    assert abs(found[OTHER]["correlation"]) < 0.05
    # Correlations of three independent columns of 60: 1 / sqrt(59), over sqrt(3).
    assert found[OTHER]["standard_errors"]["correlation"] == pytest.approx(0.075, rel=0.35)
    assert found[""]["standard_errors"]["correlation"] < 0.01


def test_f1_of_edges_by_hand():
    right = np.full((4, SIZE, SIZE, 3), 255, np.uint8)
    right[:3, :, 8] = 0
    drawn = np.full_like(right, 255)
    drawn[0, :, 9] = 100  # a pixel beside it
    drawn[1, :4, 8] = 0  # a quarter of it: recall 5/16, as ends touch the next pixel
    drawn[1, :4, 2] = 0  # and as much elsewhere: precision 1/2
    drawn[2, :, 8] = 200  # too bright to be an edge
    found = products.edge_f1(drawn, right)
    np.testing.assert_allclose(found, [1, 2 * 0.5 * (5 / 16) / (0.5 + 5 / 16), 0, 1])


def test_edges_of_translations_are_compared_with_those_of_their_class():
    photos = np.full((5, 32, 32, 3), 255, np.uint8)
    for i, left in enumerate((4, 16, 4, 10, 16)):
        photos[i, 8:24, left : left + 10] = 40
    edges = np.stack([data.soft_edges(photo) for photo in photos])
    labels = data.Labels(np.array([1, 0, 1, 0, 1]), ("hat", "shoe"))
    test = data.DomainSet(edges, photos, labels, labels)
    for to_photos, right in ((True, photos), (False, edges)):
        found = products.measure_edges(test, to_photos, right)
        assert [found[row]["edge_f1"] for row in ("", "hat", "shoe")] == [1, 1, 1]
        # In order of classes: 1 after 4, 3 after 1, 0 after 3, 2 after 0 (the same), 4 after 2.
        own = [(1, 4), (3, 1), (0, 3), (2, 0), (4, 2)]
        expected = np.mean([products.edge_f1(edges[[j]], edges[[i]])[0] for i, j in own])
        assert found[OTHER]["edge_f1"] == pytest.approx(expected) and expected < 1


@pytest.fixture
def tiny(eager, monkeypatch):
    """Figures of few images and steps."""
    small = dataclasses.replace(TINY, fields={**TINY.fields, "image_size": 32})
    for module, name in ((products, "FIG1"), (products, "FIG9"), (hair, "FIG7")):
        figure = getattr(module, name)
        budgets = dict.fromkeys(reproduce.BUDGETS, small)
        monkeypatch.setattr(module, name, dataclasses.replace(figure, budgets=budgets))


def write_products(folder, count=24):
    """A folder of two classes: squares, and disks that are as coloured."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :30]
    shapes = {
        "disk": np.hypot(y - 20, x - 15) < 12,
        "square": (abs(y - 20) < 12) & (abs(x - 15) < 9),
    }
    for name, shape in shapes.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            image = rng.integers(200, 256, (40, 30, 3)).astype(np.uint8)
            image[shape] = rng.integers(0, 160, 3)
            data.write_image(folder / name / f"{i}.png", image)
    return folder


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", ["rendered", "folder"])
def test_edges_and_photos_are_of_different_images(name, tmp_path):
    given = str(write_products(tmp_path / "folder")) if name == "folder" else name
    train, test = products.edges_and_photos(given, None, 32, (20, 6))
    beside = {data.soft_edges(image).tobytes() for image in train.targets}
    assert not beside & {edges.tobytes() for edges in train.sources}
    np.testing.assert_array_equal(
        test.sources, np.stack([data.soft_edges(image) for image in test.targets])
    )
    np.testing.assert_array_equal(test.source_labels.index, test.target_labels.index)
    if name == "folder":
        assert len(train.sources) + len(train.targets) + len(test.targets) == 48
        only, _ = products.edges_and_photos(given, ["disk"], 32, ())
        assert set(only.source_labels.index) == {0}
        with pytest.raises(ValueError, match="`classes` must be different ones of disk, square"):
            products.edges_and_photos(given, ["hat"], 32, ())


@pytest.mark.usefixtures("tiny")
def test_two_classes_of_a_folder_or_drawn(tmp_path):
    train, test = products.two_classes("rendered", ("dress", "coat"), 32, (4, 2))
    assert [len(part.sources) for part in (train, test)] == [4, 2]
    folder = str(write_products(tmp_path / "folder"))
    train, test = products.two_classes(folder, ("square", "disk"), 32, ())
    assert len(train.sources) + len(test.sources) == len(train.targets) + len(test.targets) == 24
    for classes in (None, ["disk"], ["disk", "disk"]):
        with pytest.raises(ValueError, match="`classes` must be two subfolders of `data`"):
            products.fig1(tmp_path / "out", "smoke", data=folder, classes=classes)
    with pytest.raises(ValueError, match="`classes` must be different ones of t-shirt, .*hat"):
        products.fig1(tmp_path / "out", "smoke", classes=["hat", "dress"])


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", ["kim2017-fig1", "kim2017-fig7", "kim2017-fig9"])
def test_the_commands_write_their_tables(name, tmp_path):
    arguments = ["--budget", "smoke", "--out", str(tmp_path / "out")]
    if name != "kim2017-fig7":
        folder = write_products(tmp_path / "folder")
        arguments += ["--data", str(folder), "--classes", "square", "disk"]
    discogan.COMMANDS[name](arguments)
    found = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert list(found["pictures"]) == [f"{name}.png"] and found["claims"]
    assert all(row["seeds"] for row in found["rows"])
    titles = [row["title"] for row in found["rows"]]
    if name == "kim2017-fig9":
        assert titles[:4] == [
            "edges to photo", "edges to photo: against other images",
            "edges to photo: disk", "edges to photo: square",
        ]  # fmt: skip
        assert found["settings"]["classes"] == "disk, square"


# Hair


def test_heads_differ_in_their_hair_alone():
    heads = hair.draw_heads(range(3), 32)
    mask = heads.hair
    assert (mask & ~heads.covered).mean() < 0.03  # but for what is half ground
    differ = np.abs(heads.images.astype(int) - heads.others).max(axis=-1)
    assert differ[~mask].max() <= 8
    # Brows, beards and hair: some of each head, not all of it.
    share = mask.sum(axis=(1, 2)) / heads.covered.sum(axis=(1, 2))
    assert (share > 0.1).all() and (share < 0.8).all()
    blond, black = (images[mask].mean() for images in (heads.images, heads.others))
    assert blond > black + 60
    again = hair.draw_heads(range(1, 3), 32)
    np.testing.assert_array_equal(again.images, heads.images[1:])  # by their numbers


def test_hair_and_the_rest_are_measured_where_they_are():
    heads = hair.draw_heads(range(4), 32)
    right = hair.measure(heads, heads.others)
    assert right[""]["hair"] == right[""]["found"] - 1 == 0
    assert right[""]["rest"] < 0.03  # what differs by less than hair does
    same = hair.measure(heads, heads.images)
    assert same[""]["hair"] == same[hair.INPUTS]["hair"] > 0.2 and same[""]["rest"] == 0
    assert same[""]["found"] == 1  # by the rest
    assert right[OTHER]["rest"] > 0.1 and right[OTHER]["found"] == 0
    # By hand: a translation that is off by 51 levels in all that is not hair.
    shifted = np.where(heads.hair[..., None], heads.others, heads.images.astype(int) - 51)
    off = heads.images.astype(int)[heads.covered & ~heads.hair].min() >= 51
    wrapped = np.clip(shifted, 0, 255).astype(np.uint8)
    found = hair.measure(heads, wrapped)[""]
    assert found["hair"] == 0 and found["rest"] == pytest.approx(0.2, abs=0 if off else 0.05)


def test_a_translation_of_many_images_is_made_in_parts():
    model = presets.get("kim2017-small").changed([], image_size=SIZE, width=1 / 32).model(0)
    images = data.to_uint8(samples.images(70))
    found = two_domains.translate(model, images)
    assert found.shape == images.shape and found.dtype == np.uint8
    np.testing.assert_array_equal(found[64:], two_domains.translate(model, images[64:]))
