"""Runs of the Domain Transfer Network: f, labels, and what judges."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_pixdt import commands, data, presets
from keras_pixdt.judges.classifier import classify
from keras_pixdt.models.domain_transfer import DomainTransferNetwork
from keras_pixdt.training import inputs, judging, run, trainer
from tests import samples
from tests.training.run_test import Interrupt, Interrupted, assert_equal_weights

SIZE = 16
PRESET = dataclasses.replace(
    presets.get("taigman2017"),
    image_size=SIZE, width=1 / 32, discriminator_width=1 / 32, function_width=1 / 8, batch_size=32,
    phases=((2, 1e-3),),
)  # fmt: skip


def halves(count, seed, background):
    """Noise on a background; the class says which half is bright."""
    rng = np.random.default_rng(seed)
    images = background + rng.integers(0, 60, (count, SIZE, SIZE, 3))
    labels = np.arange(count) % 2
    for image, label in zip(images, labels, strict=True):
        image[label * SIZE // 2 :][: SIZE // 2] += 100
    return images.astype(np.uint8), labels


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two labelled domains; the second is darker."""
    folder = tmp_path_factory.mktemp("domains")
    for name, background in (("s", 80), ("t", 0)):
        sets = [*halves(256, 1, background), *halves(24, 2, background)]
        names = ("x_train", "y_train", "x_test", "y_test")
        np.savez(folder / f"{name}.npz", **dict(zip(names, sets, strict=True)))
    return folder / "s.npz", folder / "t.npz"


def train(files, workdir, preset=PRESET, **options):
    options = {"epochs": 2, "verbose": 0, "seed": 3, **options}
    return trainer.train(
        preset, str(files[0]), workdir, data_options={"target_data": str(files[1])}, **options
    )


@pytest.fixture(scope="module")
def finished(files, tmp_path_factory):
    """A run of two epochs. Tests only read it."""
    return train(files, tmp_path_factory.mktemp("run") / "first")


def test_f_is_trained_on_the_labels_of_the_first_domain(finished):
    f = keras.models.load_model(finished.workdir / trainer.FUNCTION)
    whole = keras.models.load_model(finished.workdir / trainer.SOURCE_CLASSIFIER)
    test = finished.domains()["test"]
    x = data.to_float(test.sources)
    assert (classify(whole, x) == test.source_labels.index).mean() > 0.9
    np.testing.assert_array_equal(f(x), whole.get_layer("f")(x))
    np.testing.assert_array_equal(finished.model.function(x), f(x))
    opened = run.load_run(finished.workdir)
    assert type(opened.model) is DomainTransferNetwork
    np.testing.assert_array_equal(opened.convert(x), finished.convert(x))
    assert json.loads((finished.workdir / "run.json").read_text())["preset"]["function"] is None


def test_scores_are_those_of_a_classifier_of_the_second_domain(finished):
    with samples.narrow_embedders():
        scores = finished.evaluate()
    judge = keras.models.load_model(finished.workdir / judging.JUDGE)
    own = keras.models.load_model(finished.workdir / trainer.SOURCE_CLASSIFIER)
    train, test = (finished.domains()[split] for split in ("train", "test"))
    x, labels = data.to_float(test.sources), test.source_labels.index
    expected = {
        "accuracy": (classify(judge, finished.convert(x)) == labels).mean(),
        "accuracy_unconverted": (classify(judge, x) == labels).mean(),
        "accuracy_source_classifier": (classify(own, x) == labels).mean(),
        "accuracy_targets": (
            classify(judge, data.to_float(train.targets)) == train.target_labels.index
        ).mean(),
    }
    assert {name: scores[name] for name in expected} == pytest.approx(expected)
    errors, share = scores["standard_errors"], expected["accuracy_unconverted"]
    assert errors["accuracy_unconverted"] == pytest.approx(
        np.sqrt(share * (1 - share) / (len(x) - 1))
    )
    assert {*expected, "kid_mean"} == set(errors)
    assert scores["accuracy_targets"] > 0.9
    assert scores["kid_mean"] is not None


def test_batches_of_any_size_are_judged_alike(finished):
    domains = finished.domains()
    judge = keras.models.load_model(finished.workdir / trainer.SOURCE_CLASSIFIER)
    whole, parts = (
        judging.evaluate_labels(finished.convert, domains, judge, batch_size=size)
        for size in (128, 7)
    )
    assert whole == parts and "accuracy_source_classifier" not in whole
    for split in ("train", "test"):
        part = domains[split]
        unlabelled = {**domains, split: data.DomainSet(part.sources, part.targets)}
        with pytest.raises(ValueError, match="'test' and the targets of 'train' must have labels"):
            judging.evaluate_labels(finished.convert, unlabelled, judge)
    with pytest.raises(ValueError, match=r"must have 'train'.*Received: \['test'\]"):
        judging.evaluate_labels(finished.convert, {"test": domains["test"]}, judge)


def content(images):
    return {image.tobytes() for image in images}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("reverse", [False, True])
def test_f_g_and_the_judge_learn_from_the_images_that_are_documented(
    reverse, tmp_path, monkeypatch
):
    """f: labelled S of train; G: both of train; the judge: targets of all other splits."""
    learned = []
    train_classifier = trainer.classifier.train_classifier

    def spy(images, labels, classes, **options):
        learned.append((content(images), np.asarray(labels), len(images)))
        assert options.get("least_steps", 0) == (200 if len(learned) == 2 else 0)  # the judge
        options.update(epochs=1, least_steps=0)
        return train_classifier(images, labels, classes, **options)

    monkeypatch.setattr(trainer.classifier, "train_classifier", spy)
    splits = {}
    for seed, (split, count) in enumerate((("train", 40), ("validation", 12), ("test", 10))):
        s, t = (halves(count, 10 * seed + i, background=80 * i) for i in (1, 2))
        names = ("upper", "lower")
        labels = (data.Labels(index.astype(np.int64), names) for _, index in (s, t))
        splits[split] = data.DomainSet(s[0], t[0], *labels)
    given = []
    batches = inputs.batches
    monkeypatch.setattr(inputs, "batches", lambda part, *a: given.append(part) or batches(part, *a))
    preset = dataclasses.replace(PRESET, reverse=reverse, batch_size=8)
    finished = trainer.train(preset, "s", tmp_path, splits=splits, epochs=1, verbose=0)
    # What an earlier version kept is not taken.
    (tmp_path / "target_classifier.keras").write_bytes(b"")
    judged = []
    convert = finished.convert
    monkeypatch.setattr(finished, "convert", lambda x: judged.append(x) or convert(x))
    with samples.narrow_embedders():
        finished.evaluate("validation")

    first, second = ("targets", "sources") if reverse else ("sources", "targets")
    parts = finished.domains()
    (f_images, f_labels, f_count), (judge_images, judge_labels, judge_count) = learned
    train = parts["train"]
    assert f_images == content(getattr(train, first)) and f_count == 40
    np.testing.assert_array_equal(f_labels, np.arange(40) % 2)
    (of_g,) = given
    assert content(of_g.sources) == content(train.sources)
    assert content(of_g.targets) == content(train.targets)
    held_out = content(parts["validation"].targets) | content(parts["test"].targets)
    assert judge_images == held_out and judge_count == 22
    np.testing.assert_array_equal(judge_labels, [*np.arange(12) % 2, *np.arange(10) % 2])
    seen = {data.to_uint8(x).tobytes() for batch in judged for x in batch}
    assert seen == content(parts["validation"].sources)
    # By content: nothing that the judge learned from did f or G see, and nothing that is judged.
    assert not judge_images & (f_images | content(of_g.sources) | content(of_g.targets) | seen)
    assert not seen & (f_images | content(of_g.sources) | content(of_g.targets))
    assert (tmp_path / "judge.keras").exists()
    # Without labels that G has not seen, nothing judges.
    (tmp_path / "judge.keras").unlink()
    bare = {s: dataclasses.replace(part, target_labels=None) for s, part in parts.items()}
    assert judging.classifiers(finished, {**bare, "train": train}) is None


def test_an_interrupted_run_keeps_its_f_and_ends_alike(files, finished, tmp_path, monkeypatch):
    workdir = tmp_path / "cut"
    with pytest.raises(Interrupted):
        train(files, workdir, callbacks=[Interrupt()])
    monkeypatch.setattr(trainer.classifier, "train_classifier", None)  # f is there
    assert_equal_weights(train(files, workdir).model, finished.model)


def test_killed_after_f_was_trained_a_run_ends_alike(files, finished, tmp_path):
    """Training f leaves no trace in the random state of what follows."""
    workdir = tmp_path / "cut"
    workdir.mkdir()
    f = keras.models.load_model(finished.workdir / trainer.FUNCTION)
    f.save(workdir / trainer.FUNCTION)
    assert_equal_weights(train(files, workdir).model, finished.model)


def test_a_given_f_is_taken(files, finished, tmp_path):
    path = str(finished.workdir / trainer.FUNCTION)
    given = train(files, tmp_path, dataclasses.replace(PRESET, function=path))
    assert_equal_weights(given.model, finished.model)
    assert not (tmp_path / trainer.FUNCTION).exists()


def test_reversed_f_is_still_that_of_the_first_domain(files, finished, tmp_path, monkeypatch):
    preset = dataclasses.replace(PRESET, reverse=True)
    backwards = train(files, tmp_path, preset, epochs=1)
    x = data.to_float(finished.domains()["test"].sources)
    np.testing.assert_array_equal(backwards.model.function(x), finished.model.function(x))
    first = backwards.domains()["test"].sources
    np.testing.assert_array_equal(first, finished.domains()["test"].targets)
    monkeypatch.setattr(judging, "_JUDGE_STEPS", 1)  # what a judge finds is tested above
    with samples.narrow_embedders():
        scores = backwards.evaluate()
    assert "accuracy" in scores and "accuracy_source_classifier" not in scores


def test_without_labels_there_is_no_f(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(12):
            pixels = rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
            data.write_image(tmp_path / name / f"{i}.png", pixels)
    with pytest.raises(ValueError, match=r"have no labels.*a subfolder for each class.*--function"):
        train((tmp_path / "a", tmp_path / "b"), tmp_path / "run")


@pytest.mark.parametrize("plain", [False, True])
def test_f_is_trained_as_the_preset_says(plain, files, tmp_path, monkeypatch):
    def trained(*arguments, **options):
        raise Interrupted(options["plain"], options["width"])

    monkeypatch.setattr(trainer.classifier, "train_classifier", trained)
    with pytest.raises(Interrupted) as raised:
        train(files, tmp_path / "run", dataclasses.replace(PRESET, function_plain=plain))
    assert raised.value.args == (plain, 1 / 8)


@pytest.mark.usefixtures("eager")
def test_faces_train_an_f_of_their_size_first(tmp_path):
    """As `taigman2017-faces`, but of 38 px: no power of two, as its 152 are none."""
    rng = np.random.default_rng(0)
    for name, count in (("s/anna", 12), ("s/ben", 12), ("t", 24)):
        (tmp_path / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (40, 44, 3)).astype(np.uint8)
            data.write_image(tmp_path / name / f"{i}.png", pixels)
    crops = {f"anna/{i}.png": [2, 2, 40, 40] for i in range(12)}
    (tmp_path / "crops.json").write_text(json.dumps(crops))
    preset = dataclasses.replace(
        presets.get("taigman2017-faces"),
        image_size=38, generated_size=16, width=1 / 64, function_width=1 / 32, batch_size=8,
        phases=((1, 1e-3),),
    )  # fmt: skip
    options = {"target_data": str(tmp_path / "t"), "crop": str(tmp_path / "crops.json")}
    finished = trainer.train(
        preset, str(tmp_path / "s"), tmp_path / "run", data_options=options, epochs=1, verbose=0
    )
    f = keras.models.load_model(finished.workdir / trainer.FUNCTION)
    assert (f.input_shape, f.output_shape) == ((None, 38, 38, 3), (None, 4))
    x = data.to_float(finished.domains()["test"].sources)
    np.testing.assert_array_equal(finished.model.function(x), f(x))
    assert finished.convert(x).shape == x.shape
    assert finished.model.drawing()(x).shape[1:] == (16, 16, 3)
    assert set(finished.history()) == {"discriminator_loss", "converter_loss"}


def test_f_of_presets_without_is_refused(caplog):
    arguments = ["train", "--preset", "demo", "--function", "f.keras", "--workdir", "x"]
    assert commands.main(arguments) == 1
    assert "--function is for presets with an f, and 'demo' has none" in caplog.text


def test_pairs_are_labelled_by_category(small_lookbook, tmp_path):
    """LookBook's files without their pairs: f is of persons, by what they wear."""
    finished = trainer.train(PRESET, str(small_lookbook), tmp_path, epochs=1, verbose=0)
    domains = finished.domains()
    names = {part.source_labels.names for part in domains.values()}
    assert len(names) == 1 and len(names.pop()) > 1
    assert (tmp_path / trainer.FUNCTION).exists()


def test_convert_chooses_the_best_of_a_person(finished, tmp_path):
    """Eq. 8 by the command, with a real f."""
    photos = finished.domains()["test"].sources[:5]
    (tmp_path / "anna").mkdir()
    for i, photo in enumerate(photos):
        data.write_image(tmp_path / "anna" / f"{i}.png", photo)
    command = ["convert", str(tmp_path / "anna"), "--model", str(finished.workdir)]
    command += ["--best-of-folder", "--out", str(tmp_path / "out")]
    assert commands.main(command) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["anna.png"]
    best = int(np.argmin(finished.model.constancy(data.to_float(photos))))
    expected = data.to_uint8(finished.convert(data.to_float(photos)))[best]
    assert np.abs(data.read_image(tmp_path / "out" / "anna.png").astype(int) - expected).max() <= 1
