"""Runs of presets that learn without pairs."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from keras_pixdt import commands, data, presets, search
from keras_pixdt.metrics import pixel
from keras_pixdt.training import checkpoint, devices, run, trainer
from tests import samples
from tests.training.run_test import Interrupt, Interrupted, assert_equal_weights

ROOT = pathlib.Path(__file__).parents[2]
PRESET = dataclasses.replace(
    presets.get("kim2017"), image_size=16, width=1 / 32, batch_size=8, phases=((2, 2e-4),)
)
STANDARD = dataclasses.replace(
    presets.get("kim2017-standard"), image_size=16, width=1 / 32, batch_size=8, phases=((1, 2e-4),)
)


def make_folder(folder, count, seed):
    """Smooth pictures, all different."""
    folder.mkdir()
    noise = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), np.uint8)
    for index, pixels in enumerate(noise):
        image = Image.fromarray(pixels).resize((20, 24), Image.Resampling.BICUBIC)
        image.save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """60 and 40 pictures."""
    folder = tmp_path_factory.mktemp("domains")
    return make_folder(folder / "a", 60, 1), make_folder(folder / "b", 40, 2)


def train(folders, workdir, preset=PRESET, **options):
    options = {"epochs": 2, "verbose": 0, "seed": 3, **options}
    data_options = options.pop("data_options", {"target_data": str(folders[1])})
    return trainer.train(preset, str(folders[0]), workdir, data_options=data_options, **options)


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory):
    """A run of two epochs with averaged weights. Tests only read it."""
    preset = dataclasses.replace(PRESET, ema_momentum=0.5, mirror=True)
    return train(folders, tmp_path_factory.mktemp("run") / "first", preset)


def shown(path, columns):
    """The pictures in a grid, strip by strip: uint8 (columns, rows, size, size, 3)."""
    grid = data.read_image(path)
    size = PRESET.image_size
    rows = (grid.shape[0] + 2) // (size + 2)
    assert grid.shape == (rows * (size + 2) - 2, columns * (size + 2) - 2, 3)
    return np.stack(
        [
            [grid[y : y + size, x : x + size] for y in range(0, grid.shape[0], size + 2)]
            for x in range(0, grid.shape[1], size + 2)
        ]
    )


def test_folder_holds_what_belongs_to_a_run_and_no_best_model(finished, folders):
    written = json.loads((finished.workdir / "run.json").read_text())
    assert written["data"] == {"data": str(folders[0]), "target_data": str(folders[1])}
    names = [path.name for path in (finished.workdir / "checkpoints").iterdir()]
    assert names == ["last.keras"]  # model.keras has the averages
    history = finished.history()
    assert set(history) == {"discriminator_loss", "converter_loss"}
    assert all(len(values) == 2 and np.isfinite(values).all() for values in history.values())
    domains = finished.domains()
    assert sum(len(d.sources) for d in domains.values()) == 60
    assert sum(len(d.targets) for d in domains.values()) == 40
    steps = len(domains["train"].sources) // 8
    assert int(finished.model.optimizer.iterations) == 2 * steps
    with pytest.raises(FileNotFoundError, match="best.keras is missing.*needs pairs"):
        run.load_run(finished.workdir, "best")
    with pytest.raises(ValueError, match=r"has no pairs.*Use domains\(\)"):
        finished.pairs()


def test_grids_show_source_converted_and_reconstruction_of_the_averaged_weights(finished):
    """The last grid is what the finished model gives, since no step came after it."""
    names = sorted(path.name for path in (finished.workdir / "grids").iterdir())
    assert names == ["epoch_001.png", "epoch_002.png"]
    sources = finished.domains()["validation"].sources
    count = len(sources) // min(4, len(sources)) * min(4, len(sources))
    columns = shown(finished.workdir / "grids" / names[1], 3 * min(4, len(sources)))
    pictures = [columns[i::3].reshape(-1, 16, 16, 3)[:count] for i in range(3)]
    np.testing.assert_array_equal(pictures[0], sources[:count])
    source = data.to_float(sources)
    converted, back = finished.convert(source), finished.reconstruct(source)
    for picture, expected in zip(pictures[1:], (converted, back), strict=True):
        assert np.abs(picture.astype(int) - data.to_uint8(expected[:count])).max() <= 1
    assert not np.array_equal(pictures[1], pictures[2])


def test_loaded_run_is_the_finished_one(finished):
    loaded = run.load_run(finished.workdir)
    assert loaded.preset == finished.preset and not loaded.preset.paired
    assert_equal_weights(loaded.model, finished.model)
    source = data.to_float(loaded.domains()["test"].sources)
    np.testing.assert_array_equal(loaded.convert(source), finished.convert(source))
    np.testing.assert_array_equal(loaded.reconstruct(source), finished.reconstruct(source))


def test_statistics_of_averages_are_of_both_domains(finished):
    """54 images of the first domain and 36 of the second, which is repeated as in training."""
    train = finished.domains()["train"]
    x_a, x_b = (
        data.to_float(x[np.linspace(0, len(x) - 1, len(train.sources)).astype(int)])
        for x in (train.sources, train.targets)
    )
    assert len(train.targets) < len(train.sources) < 64  # one batch
    twin = type(finished.model).from_config(finished.model.get_config())
    twin.set_weights(finished.model.get_weights())
    x_ab, x_ba = twin.converter(x_a, training=True), twin.reverse_converter(x_b, training=True)
    for network, inputs in ((twin.converter, (x_a, x_ba)), (twin.reverse_converter, (x_b, x_ab))):
        before = keras.Model(network.input, network.get_layer("encoder2").output)
        means = [np.mean(before(x), (0, 1, 2), dtype="float64") for x in inputs]
        found = getattr(finished.model, network.name).get_layer("encoder2_bn").moving_mean
        np.testing.assert_allclose(found, np.mean(means, 0), atol=1e-5)
        assert np.abs(means[1] - means[0]).max() > 1e-3


class InterruptWithin(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == (1, 3):
            raise Interrupted


def test_interrupted_run_continues_bit_for_bit(finished, folders, tmp_path):
    """Interrupted twice: after the first epoch, and within the second."""
    stands = []
    for interrupt in (Interrupt(), InterruptWithin()):
        with pytest.raises(Interrupted):
            train(folders, tmp_path, finished.preset, save_every=2, callbacks=[interrupt])
        progress = checkpoint.read_progress(checkpoint.last_path(tmp_path))
        stands.append((progress.epoch, progress.batch))
    assert stands == [(1, 0), (1, 2)]
    with pytest.raises(ValueError, match="target_data: .*b there, None here"):
        train(folders, tmp_path, finished.preset, data_options={"edges": True})
    resumed = train(folders, tmp_path, finished.preset)
    assert_equal_weights(resumed.model, finished.model)
    assert resumed.history() == finished.history()


def check_on_two_devices(a, b, workdir):
    """An interrupted run with averages equals one that is not, on two devices of the CPU.

    Only the whole run saves within epochs: that may not change what is trained.
    """
    distribution = devices.start("mirrored", replicas=2)
    preset = dataclasses.replace(PRESET, ema_momentum=0.5)
    workdir = pathlib.Path(workdir)
    snapshot = samples.Snapshot(workdir / "whole", workdir / "resumed", epoch=1, batch=3)
    whole = train(
        (a, b), workdir / "whole", preset,
        distribution=distribution, save_every=2, callbacks=[snapshot],
    )  # fmt: skip
    assert not (workdir / "resumed" / "model.keras").exists()
    resumed = train((a, b), workdir / "resumed", preset, distribution=distribution)
    assert_equal_weights(resumed.model, whole.model)
    names = [path.name for path in sorted((workdir / "whole" / "grids").iterdir())]
    assert names == ["epoch_001.png", "epoch_002.png"]
    for name in names:
        one, other = (data.read_image(workdir / of / "grids" / name) for of in ("whole", "resumed"))
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_interrupted_run_continues_on_two_devices(backend, folders, tmp_path):
    code = "import sys; from tests.training import unpaired_run_test as test; "
    code += "test.check_on_two_devices(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, folders), str(tmp_path)], cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_evaluate_scores_distribution_and_reconstruction(finished, monkeypatch):
    with samples.narrow_embedders():
        scores = finished.evaluate("train")
    source = data.to_float(finished.domains()["train"].sources)
    back = finished.reconstruct(source)
    for name, score in (("rmse", pixel.rmse), ("ssim", pixel.ssim)):
        expected = float(np.mean(keras.ops.convert_to_numpy(score(source, back))))
        assert scores[f"reconstruction_{name}"] == pytest.approx(expected, rel=1e-4)
        values = keras.ops.convert_to_numpy(score(source, back))
        assert scores["standard_errors"][f"reconstruction_{name}"] == pytest.approx(
            values.std(ddof=1) / np.sqrt(len(values)), rel=1e-3
        )
    assert scores["standard_errors"]["kid_mean"] == scores["kid_std"]
    assert scores["kid_mean"] > 0.01 and scores["kid_std"] >= 0
    assert (scores["num_images"], scores["split"], scores["notes"]) == (len(source), "train", {})
    assert "rmse" not in scores and "recall@1" not in scores
    # The targets themselves are as the targets are.
    targets = finished.domains()["train"].targets
    exchanged = {"train": data.DomainSet(targets, targets)}
    from keras_pixdt.training import evaluation

    same = evaluation.evaluate_domains(
        lambda x: x, exchanged, split="train", embedder=finished.embedder()
    )
    assert abs(same["kid_mean"]) < 0.2 * scores["kid_mean"]
    with pytest.raises(ValueError, match="`gallery`.*no pairs.*Received: 'all'"):
        finished.evaluate(gallery="all")
    with pytest.raises(ValueError, match="`split` must be one of.*Received: 'exam'"):
        finished.evaluate("exam")
    assert "of at least 20 images" in finished.evaluate("test")["notes"]["kid_mean"]
    # Nothing is known to show a drawn image's product: the search takes the same embedder.
    searched = finished.search_embedder()
    assert search.fingerprint(searched) == search.fingerprint(finished.embedder())
    assert not (finished.workdir / "search_embedder.keras").exists()


@pytest.mark.usefixtures("eager")
def test_a_run_knows_its_crops_from_any_folder(folders, tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text(json.dumps({"3.png": [2, 3, 8, 9]}))
    monkeypatch.chdir(tmp_path)
    options = {"target_data": str(folders[1]), "crop": "a.json"}
    train(folders, tmp_path / "run", STANDARD, epochs=1, data_options=options)
    monkeypatch.chdir(folders[0])
    opened = run.load_run(tmp_path / "run")
    assert opened.data["crop"] == str(tmp_path / "a.json")
    part = data.letterbox(data.read_image(folders[0] / "3.png")[3:9, 2:8], 16)
    sources = np.concatenate([domain.sources for domain in opened.domains().values()])
    assert (sources == part).all(axis=(1, 2, 3)).sum() == 1


@pytest.mark.usefixtures("eager")
def test_reverse_exchanges_the_domains(folders, tmp_path):
    reverse = dataclasses.replace(STANDARD, reverse=True)
    result = train(folders, tmp_path, reverse, epochs=1)
    straight = data.load_domains(*folders, 16)
    for split, domain in result.domains().items():
        np.testing.assert_array_equal(domain.sources, straight[split].targets)
        np.testing.assert_array_equal(domain.targets, straight[split].sources)
    # A standard GAN has no way back: its grids show source and converted.
    sources = result.domains()["validation"].sources
    columns = shown(tmp_path / "grids" / "epoch_001.png", 2 * min(4, len(sources)))
    np.testing.assert_array_equal(columns[0][0], sources[0])
    with samples.narrow_embedders():
        assert "reconstruction_rmse" not in result.evaluate()


@pytest.mark.usefixtures("eager")
def test_pairs_are_used_without_their_pairing_and_scored_with_it(small_lookbook, tmp_path):
    result = trainer.train(
        dataclasses.replace(PRESET, image_size=32, batch_size=100),
        str(small_lookbook), tmp_path, epochs=1, verbose=0,
    )  # fmt: skip
    assert set(result.history()) == {"discriminator_loss", "converter_loss"}
    with samples.narrow_embedders():
        scores = result.evaluate(gallery="all")
    pairs = result.pairs()["test"]
    source, target = (data.to_float(x) for x in (pairs.sources, pairs.targets[pairs.target_index]))
    expected = np.mean(pixel.rmse(result.convert(source), target))
    assert scores["rmse"] == pytest.approx(float(expected), rel=1e-4)
    assert {"rmse", "reconstruction_rmse"} < set(scores["standard_errors"])  # of both parts
    assert scores["gallery_size"] == 44 and 0 < scores["reconstruction_rmse"] < 1


def test_data_that_the_preset_does_not_learn_from_is_refused(folders, small_lookbook, tmp_path):
    workdir = tmp_path / "run"
    with pytest.raises(
        ValueError, match="'demo' learns from pairs.*choose kim2017.*Received: .*b'"
    ):
        train(folders, workdir, presets.get("demo"))
    with pytest.raises(ValueError, match="'demo' learns from pairs.*Received: {'edges': True}"):
        train(folders, workdir, presets.get("demo"), data_options={"edges": True})
    with pytest.raises(ValueError, match="has no pairs.*'kim2017' needs no pairs.*`target_data`"):
        train(folders, workdir, data_options={})
    with pytest.raises(ValueError, match="`layout` is for data with pairs.*Received: 'csv'"):
        train(folders, workdir, data_options={"edges": True, "layout": "csv"})
    with pytest.raises(ValueError, match="`splits` is for data with pairs.*Received: 'kwon2019'"):
        train(folders, workdir, data_options={"edges": True, "splits": "kwon2019"})
    with pytest.raises(ValueError, match="`crop` and.*of two domains.*Received: {'crop': .*a.json"):
        train(folders, workdir, data_options={"crop": "a.json"})
    with pytest.raises(ValueError, match="`best` is a score of pairs.*Received: 'val_ssim'"):
        train(folders, workdir, best="val_ssim")
    with pytest.raises(ValueError, match=r"images of the larger domain \(\d+\).*Received: \(64,\)"):
        train(folders, workdir, dataclasses.replace(PRESET, batch_size=64))
    assert not workdir.exists() or not any(workdir.iterdir())


# The command


def test_edges_of_one_folder_from_the_command_to_a_tflite_file(folders, tmp_path, capsys):
    workdir = str(tmp_path / "run")
    command = ["train", "--preset", "kim2017", "--data", str(folders[0]), "--edges"]
    command += ["--image-size", "16", "--width", "0.03125", "--batch-size", "8", "--epochs", "1"]
    assert commands.main([*command, "--workdir", workdir]) == 0
    finished = run.load_run(workdir)
    assert finished.data == {"data": str(folders[0]), "edges": True}
    edges = finished.domains()["test"].sources
    assert set(np.unique(edges)) == {0, 255}

    capsys.readouterr()  # what training shows
    with samples.narrow_embedders():
        assert commands.main(["evaluate", "--workdir", workdir, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["num_images"] == len(edges) and 0 < scores["reconstruction_rmse"] < 1

    photo = tmp_path / "drawing.png"
    data.write_image(photo, edges[0])
    converted = {}
    assert commands.main(["export", "--workdir", workdir, "--variants", "float32"]) == 0
    report = json.loads((tmp_path / "run" / "export" / "export.json").read_text())
    assert report["verified_images"] == len(edges)
    for model in (workdir, f"{workdir}/export/converter_float32.tflite"):
        command = ["convert", str(photo), "--model", model, "--out", str(tmp_path / "out")]
        assert commands.main([*command, "--overwrite"]) == 0
        converted[model] = data.read_image(tmp_path / "out" / "drawing.png").astype(int)
    expected = data.to_uint8(finished.convert(data.to_float(edges[:1])))[0]
    for image in converted.values():
        assert np.abs(image - expected).max() <= 1


def test_the_way_back_from_the_command_and_in_a_file(finished, tmp_path, capsys):
    assert commands.main([
        "export", "--workdir", str(finished.workdir), "--out", str(tmp_path / "export"),
        "--variants", "float32", "--reverse",
    ]) == 0  # fmt: skip
    test = finished.domains()["test"]
    report = json.loads((tmp_path / "export" / "export.json").read_text())
    assert report["verified_images"] == len(test.sources)
    assert report["reverse"]["verified_images"] == len(test.targets)
    assert report["variants"]["float32"]["reverse"]["max_difference_levels"] < 0.0128
    file = tmp_path / "export" / "converter_float32.tflite"

    targets = data.to_float(test.targets)
    expected = np.asarray(finished.model.reverse_converter(targets, training=False))
    np.testing.assert_allclose(finished.convert(targets, reverse=True), expected, atol=1e-5)
    assert np.abs(finished.convert(targets) - expected).max() > 0.01  # the other way is another
    (tmp_path / "targets").mkdir()
    for index, image in enumerate(test.targets):
        data.write_image(tmp_path / "targets" / f"{index}.png", image)
    for model in (finished.workdir, finished.workdir / "model.keras", file):
        out = tmp_path / model.name
        arguments = ["convert", str(tmp_path / "targets"), "--model", str(model), "--out", str(out)]
        assert commands.main([*arguments, "--reverse"]) == 0
        for index, image in enumerate(data.to_uint8(expected)):
            converted = data.read_image(out / f"{index}.png").astype(int)
            assert np.abs(converted - image).max() <= 1

    capsys.readouterr()
    scores = []
    for model in ([], ["--model", str(file)]):
        with samples.narrow_embedders():
            assert (
                commands.main(["evaluate", "--workdir", str(finished.workdir), "--json", *model])
                == 0
            )
        scores.append(json.loads(capsys.readouterr().out))
    for name in ("reconstruction_rmse", "reconstruction_ssim"):
        assert scores[0][name] == pytest.approx(scores[1][name], abs=0.01)


@pytest.mark.parametrize("reverse", [False, True])
def test_files_are_verified_and_calibrated_on_the_domain_that_goes_in(
    finished, monkeypatch, reverse
):
    """A preset in reverse exchanges the domains; the way back is from its second to its first."""
    from export import exporter

    given = {}
    monkeypatch.setattr(exporter, "export_converter", lambda *_, **options: given.update(options))
    preset = dataclasses.replace(finished.preset, reverse=reverse)
    changed = dataclasses.replace(finished, preset=preset)
    with samples.narrow_embedders():
        exporter.export_run(changed, "out", reverse=True)
    straight = finished.domains()
    for split, there, back in (
        ("test", "images", "reverse_images"),
        ("train", "representative", "reverse_representative"),
    ):
        domains = straight[split].exchanged() if reverse else straight[split]
        np.testing.assert_array_equal(given[there], domains.sources)
        np.testing.assert_array_equal(given[back], domains.targets)
    assert given["reverse_converter"] is finished.model.reverse_converter
    with samples.narrow_embedders():
        given.clear()
        exporter.export_run(changed, "out")
    assert not {"reverse_converter", "reverse_images", "reverse_representative"} & set(given)


def test_two_folders_reach_the_training(monkeypatch, tmp_path, caplog):
    given = {}

    def train(preset, data, workdir, **options):
        given.update(preset=preset, data=data, **options)
        raise devices.WorkerLostError("enough")

    monkeypatch.setattr(trainer, "train", train)
    command = ["train", "--preset", "kim2017-small", "--workdir", str(tmp_path), "--data", "a"]
    assert commands.main([*command, "--target-data", "b"]) == 1
    assert (given["data"], given["data_options"], given["best"]) == (
        "a",
        {"target_data": "b"},
        None,
    )
    crops = ["--crop", "a.json", "--target-crop", "b.json"]
    assert commands.main([*command, "--target-data", "b", *crops]) == 1
    expected = {"target_data": "b", "crop": "a.json", "target_crop": "b.json"}
    assert given["data_options"] == expected
    with pytest.raises(SystemExit):
        commands.main([*command, "--target-data", "b", "--edges"])
