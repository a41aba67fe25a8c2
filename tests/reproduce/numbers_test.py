"""Reminds of `environment.TRAINING_VERSION` and `SCORES_VERSION` where a change alters numbers.

    python -m tests.reproduce.numbers_test

writes them again, after one of the two was raised.
"""

import dataclasses
import inspect
import json
import pathlib
import tempfile

import keras
import numpy as np
import pytest

from keras_pixdt import data, presets, search
from keras_pixdt.drawn import azimuth, digits, rendered
from keras_pixdt.judges import attributes, classifier
from keras_pixdt.models.domain_transfer_networks import build_function
from keras_pixdt.reproduce import azimuths, environment, points
from keras_pixdt.reproduce.experiment import train_unpaired
from keras_pixdt.training import evaluation, run

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "numbers.json"
SIZE = 32
PAIRED = ("yoo2016", "demo", "geli-a-d-resnet", "kwon2019-64", "pix2pix-64")
UNPAIRED = ("kim2017-small", "taigman2017", "taigman2017-baseline")
FIX = (
    "If this is meant, raise environment.{}_VERSION, so that no kept row is taken for one of "
    "today's code, and run `python -m tests.reproduce.numbers_test`."
)


def of_images(images):
    return [float(np.mean(images)), float(np.std(images))]


def of_model(model, photos, history):
    losses = [values[-1] for name, values in sorted(history.items()) if not name.startswith("val_")]
    # In training mode: the moving statistics are still about those of the start.
    return of_images(model(photos, training=True)) + losses


def small(name):
    """A preset in its own form, but narrow and with batches of 4."""
    preset = presets.get(name)
    phases = tuple(phase._replace(batch_size=None) for phase in preset.phases)
    return dataclasses.replace(
        preset, image_size=SIZE, width=1 / 32, batch_size=4, phases=phases, passes=1
    )


def part(pairs, count):
    """The first pairs of a split."""
    index = pairs.target_index[:count]
    kept, index = np.unique(index, return_inverse=True)
    return data.PairSet(
        pairs.sources[:count], pairs.targets[kept], index, pairs.product_id[kept],
        pairs.group_id[kept],
    )  # fmt: skip


def training_numbers(folder, book):
    """Means and deviations of what is trained on and of what is drawn after six steps; losses."""
    splits = data.load_pairs(str(book), image_size=SIZE)
    numbers = {
        "rendered": of_images(splits["train"].sources) + of_images(splits["train"].targets),
        "splits": [float(len(pairs)) for pairs in splits.values()],
        "street digits": of_images(digits.draw("street", 20, 0)[0]),
    }
    for kind in azimuth.AZIMUTHS:
        views, _ = azimuth.render_views(kind, 1, SIZE, processes=1)
        numbers[kind] = of_images(views)
    train, other = (splits["train"], splits["test"])
    photos = data.to_float(other.sources[:4])
    few = {"train": part(train, 12), "test": part(other, 4)}
    for name in PAIRED:
        trained = run.train(small(name), "few", folder / name, splits=few, epochs=2, verbose=0)
        numbers[name] = of_model(trained.model, photos, trained.history())
    keras.utils.set_random_seed(0)
    build_function(SIZE, 1 / 16).save(folder / "f.keras")
    domains = data.DomainSet(train.sources[:12], train.targets[:12])
    for name in UNPAIRED:
        preset = small(name)
        if hasattr(preset, "function"):
            preset = dataclasses.replace(preset, function=str(folder / "f.keras"))
        model = train_unpaired(preset, domains, epochs=2, verbose=0)
        numbers[name] = of_model(model, photos, model.history.history)
    images, labels = digits.draw("handwritten", 40, 0)
    for plain in (False, True):
        trained = classifier.train_classifier(
            images, labels, 10, epochs=1, width=1 / 8, plain=plain
        )
        numbers[f"classifier, plain={plain}"] = of_images(trained(data.to_float(images[:8])))
    views, _ = azimuth.render_views("car", 4, SIZE, processes=1, coverage=True)
    regressor = azimuths.train_regressor("car", views, 1)
    seen = data.to_float(azimuths.flat(views)[..., :3])
    numbers["regressor"] = of_images(regressor(seen, training=True))
    trained, _ = points.train("disco", 0, 3)
    numbers["points"] = of_images(trained(np.eye(2, dtype="float32")))
    return numbers


def score_numbers(book):
    """Of photos upside down, under an embedder and a classifier that have hardly learnt."""
    splits = data.load_pairs(str(book), image_size=SIZE)
    train = splits["train"]
    embedder = search.train_embedder(train.targets, seed=0, width=1 / 8, steps=10)
    judge = attributes.train_attribute_classifier(
        train.targets, train.attributes, epochs=1, width=1 / 8
    )
    found = evaluation.evaluate(
        lambda x: x[:, ::-1], splits, split="train", embedder=embedder, attribute_classifier=judge
    )
    named = ("rmse", "ssim", "c_ssim", "kid_mean", "consistency")
    return {
        **{name: [found[name]] for name in named},
        "standard errors": [found["standard_errors"][name] for name in named],
        # Here they are others, so that it takes a moment.
        "steps": [float(inspect.signature(search.train_embedder).parameters["steps"].default)],
        "epochs": [float(attributes.EPOCHS)],
    }


def written():
    return json.loads(GOLDEN.read_text("utf-8"))


def assert_as_written(found, kind, rtol):
    golden = written()[kind.lower()]
    version = getattr(environment, f"{kind}_VERSION")
    assert golden["version"] == version, f"The file is of version {golden['version']}. Run it again"
    assert list(found) == list(golden["numbers"])
    for name, numbers in found.items():
        np.testing.assert_allclose(
            numbers, golden["numbers"][name], rtol=rtol, atol=rtol / 10,
            err_msg=f"{name}. {FIX.format(kind)}",
        )  # fmt: skip


@pytest.mark.slow
def test_trainings_give_the_numbers_of_their_version(tmp_path, small_lookbook):
    # Adam's first steps amplify a CPU's rounding: the same code is 10% off on another machine.
    numbers = training_numbers(tmp_path, small_lookbook)
    assert_as_written(numbers, "TRAINING", 0.25)


def test_scores_are_those_of_their_version(small_lookbook):
    assert_as_written(score_numbers(small_lookbook), "SCORES", 0.002)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        rendered.write_lookbook(folder / "book", 44, image_size=SIZE, processes=1)
        found = {
            "training": {
                "version": environment.TRAINING_VERSION,
                "numbers": training_numbers(folder, folder / "book"),
            },
            "scores": {
                "version": environment.SCORES_VERSION,
                "numbers": score_numbers(folder / "book"),
            },
        }
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
