import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_pixdt import atomic, data, presets, search
from keras_pixdt.training import devices, record, run, trainer
from tests import samples
from tests.training import staged_run

ROOT = pathlib.Path(__file__).parents[2]
EPOCHS = 2
PRESET = dataclasses.replace(
    presets.get("demo"), image_size=32, width=1 / 32, discriminator_width=1 / 32, batch_size=8,
    phases=((1, 5e-4), (1, 5e-5)),
)  # fmt: skip


class Interrupted(Exception):
    pass


class Interrupt(keras.callbacks.Callback):
    """Raises where a machine would go down: after the first epoch was backed up."""

    def on_epoch_end(self, epoch, logs=None):
        raise Interrupted


class Initial(keras.callbacks.Callback):
    """Keeps the weights before the first step, and ends the run there."""

    def on_train_begin(self, logs=None):
        self.weights = self.model.get_weights()
        raise Interrupted


def train(folder, workdir, *, preset=PRESET, **options):
    options = {"epochs": EPOCHS, "verbose": 0, "seed": 3, **options}
    return trainer.train(preset, str(folder), workdir, **options)


def assert_equal_weights(a, b):
    assert len(a.variables) == len(b.variables)
    for x, y in zip(a.variables, b.variables, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (x, y)), err_msg=x.path)


def change_a_pixel(folder):
    """Of one photo, which stays a photo of the same product."""
    path = min(folder.glob("*_CLEAN0_*"))
    image = data.read_image(path)
    image[16, 16] ^= 0x80
    data.write_image(path, image)


@pytest.fixture(scope="module")
def finished(small_lookbook, tmp_path_factory):
    """A run of two epochs, as `train` returned it. Tests only read it."""
    return train(small_lookbook, tmp_path_factory.mktemp("run") / "first")


def test_run_json_says_how_to_build_the_run_again(finished, small_lookbook):
    written = json.loads((finished.workdir / "run.json").read_text())
    assert written["preset"] == json.loads(json.dumps(PRESET.options()))
    assert written["data"] == {"data": str(small_lookbook)}
    assert written["seed"] == 3
    assert written["versions"]["keras"] == keras.__version__
    assert written["versions"]["backend"] == keras.backend.backend()
    assert {"python", "keras-pixdt"} <= set(written["versions"])


def test_history_has_losses_and_scores_of_each_epoch(finished):
    history = finished.history()
    players = ("real_fake_discriminator", "domain_discriminator", "converter")
    losses = [f"{player}_loss" for player in players]
    assert {*losses, "val_rmse", "val_ssim", "val_c_ssim"} <= set(history)
    assert all(len(values) == EPOCHS for values in history.values())
    assert all(isinstance(value, float) for value in history["val_rmse"])
    assert history["val_rmse"][1] != history["val_rmse"][0]


class Unread:
    """A split that nothing may look at."""

    def __getattr__(self, name):
        raise AssertionError(f"the test split's {name} was read")

    def __len__(self):
        raise AssertionError("the test split was read")


@pytest.mark.usefixtures("eager")
def test_training_never_looks_at_the_test_split(finished, small_lookbook, tmp_path):
    """Without a validation split nothing is chosen, and the grid is of training photos."""
    splits = {"train": finished.pairs()["train"], "test": Unread()}
    few_steps = dataclasses.replace(PRESET, batch_size=100)
    own = train(small_lookbook, tmp_path / "own", preset=few_steps, splits=splits, epochs=1)
    assert not (own.workdir / "checkpoints" / "best.keras").exists()
    assert not [name for name in own.history() if name.startswith("val_")]
    assert (own.workdir / "grids" / "epoch_001.png").exists()
    with pytest.raises(FileNotFoundError, match=r"best\.keras is missing.*validation split"):
        run.load_run(own.workdir, "best")
    with pytest.raises(ValueError, match=r"`best` is chosen on the validation split.*'val_ssim'"):
        train(small_lookbook, tmp_path / "best", splits=splits, best="val_ssim")
    assert not (tmp_path / "best").exists()


def test_fields_that_an_older_run_lacks_are_what_its_version_did():
    kept = presets.get("yoo2016").options()
    for name in ("selection", "converter_objective"):
        del kept[name]
    completed = record.completed(kept)
    assert (completed["selection"], completed["converter_objective"]) == ("kinds", "non_saturating")
    assert {**completed, **kept} == completed


def test_folder_has_a_grid_for_each_epoch_and_the_best_model(finished):
    names = sorted(p.name for p in (finished.workdir / "grids").iterdir())
    assert names == ["epoch_001.png", "epoch_002.png"]
    first, second = (data.read_image(finished.workdir / "grids" / name) for name in names)
    assert first.shape == second.shape and not np.array_equal(first, second)
    assert [p.name for p in (finished.workdir / "checkpoints").iterdir()] == ["best.keras"]


def test_search_embedder_learns_from_what_the_run_draws(finished, tmp_path, monkeypatch):
    given = {}

    def train_embedder(targets, **options):
        given.update(options, targets=targets)
        return search.ProductEmbedder(width=1 / 8)

    monkeypatch.setattr(search, "train_embedder", train_embedder)
    monkeypatch.setattr(run, "_CONVERTED_FOR_SEARCH", 5)
    monkeypatch.setattr(run, "_CONVERT_BATCH", 2)
    own = dataclasses.replace(finished, workdir=tmp_path)
    made = own.search_embedder()
    pairs = finished.pairs()["train"]
    rows = np.linspace(0, len(pairs) - 1, 5).astype(int)  # of products spread over the split
    np.testing.assert_array_equal(given["targets"], pairs.targets)
    np.testing.assert_array_equal(given["generated_index"], pairs.target_index[rows])
    expected = data.to_uint8(finished.convert(data.to_float(pairs.sources[rows])))
    assert given["generated"].dtype == np.uint8
    # Other batches, other roundings.
    assert np.abs(given["generated"].astype(int) - expected).max() <= 1

    given.clear()
    kept = own.embedder("search")
    assert search.fingerprint(kept) == search.fingerprint(made)
    assert not given and [p.name for p in tmp_path.iterdir()] == ["search_embedder.keras"]


def test_search_embedder_of_a_run_in_reverse_is_its_embedder(finished, tmp_path):
    """It draws persons: none of its images shows a product of the search."""
    own = dataclasses.replace(
        finished, workdir=tmp_path, preset=dataclasses.replace(PRESET, reverse=True)
    )
    with samples.narrow_embedders():
        made = own.search_embedder()
    assert search.fingerprint(made) == search.fingerprint(own.embedder())
    assert [p.name for p in tmp_path.iterdir()] == ["embedder.keras"]


def test_last_phase_sets_the_last_rate(finished):
    for player in finished.model.players:
        rate = finished.model.optimizer[player].learning_rate
        assert float(keras.ops.convert_to_numpy(rate)) == pytest.approx(5e-5)


def test_loaded_run_is_the_finished_one(finished):
    loaded = run.load_run(str(finished.workdir))
    assert loaded.workdir == finished.workdir
    assert loaded.preset == PRESET
    assert loaded.data == finished.data
    assert loaded.seed == 3
    assert_equal_weights(loaded.model, finished.model)
    expected = finished.pairs()
    assert {k: len(v) for k, v in loaded.pairs().items()} == {
        k: len(v) for k, v in expected.items()
    }
    np.testing.assert_array_equal(loaded.pairs()["test"].sources, expected["test"].sources)
    source = data.to_float(expected["test"].sources[:4])
    converted = loaded.convert(source)
    np.testing.assert_array_equal(converted, finished.convert(source))
    assert converted.shape == source.shape and not np.array_equal(converted[0], converted[1])


def test_run_of_a_version_with_other_options_is_refused_by_their_names(finished, tmp_path):
    shutil.copytree(finished.workdir, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    options = json.loads(path.read_text())
    options["preset"] |= {"jitter": 0.2, "blur": True}
    options["versions"]["keras-pixdt"] = "9.0"
    path.write_text(json.dumps(options))
    message = r"run\.json is of keras-pixdt 9\.0.*does not know its options: blur, jitter"
    with pytest.raises(ValueError, match=message):
        run.load_run(tmp_path / "run")


def test_a_run_is_resized_as_it_was_when_it_was_trained(finished, tmp_path):
    """A run.json of before there were two ways; the preset has changed since."""
    shutil.copytree(finished.workdir, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    options = json.loads(path.read_text())
    for preset, has in (("demo", False), ("kwon2019", False), ("demo", True)):
        fields = json.loads(json.dumps(presets.get(preset).options()))
        fields["resize"] = "stretch"
        if not has:
            del fields["resize"]
        path.write_text(json.dumps({**options, "preset": fields}))
        loaded = run.load_run(tmp_path / "run")
        assert loaded.preset.resize == ("stretch" if has else "letterbox"), preset
    # An interrupted one is continued as what it was.
    (tmp_path / "run" / "model.keras").unlink()
    fields = {k: v for k, v in options["preset"].items() if k != "resize"}
    path.write_text(json.dumps({**options, "preset": fields}))
    record.check_free(tmp_path / "run", options)
    stretched = {**options, "preset": {**fields, "resize": "stretch"}}
    with pytest.raises(ValueError, match="resize: letterbox there, stretch here"):
        record.check_free(tmp_path / "run", stretched)


def test_a_run_reads_its_data_as_its_preset_says(tmp_path):
    rng = np.random.default_rng(0)
    stretched = set()
    for number in range(20):
        pixels = rng.integers(0, 256, (12, 20, 3), np.uint8)
        name = f"PID{number // 2:06d}_CLEAN{number % 2}_IID{number:06d}.png"
        data.write_image(tmp_path / name, pixels)
        stretched.add(data.stretch(pixels, 16).tobytes())
    pairs, domains = {"data": str(tmp_path)}, {"data": str(tmp_path), "target_data": str(tmp_path)}
    for name, options in (("demo", pairs), ("kim2017-small", pairs), ("kim2017-small", domains)):
        preset = dataclasses.replace(presets.get(name), image_size=16, resize="stretch")
        opened = run.Run(tmp_path, preset, options, 0, None)
        found = {
            image.tobytes()
            for part in opened.domains().values()
            for images in (part.sources, part.targets)
            for image in images
        }
        assert found == stretched, (name, options)


def test_best_model_is_that_of_the_epoch_with_the_best_score(finished):
    best = run.load_run(finished.workdir, "best")
    scores = finished.history()["val_rmse"]
    pairs = finished.pairs()["validation"]
    source, target = (data.to_float(x) for x in (pairs.sources, pairs.targets[pairs.target_index]))
    rmse = [
        np.sqrt(np.mean(((r.convert(source) - target) / 2) ** 2, axis=(1, 2, 3))).mean()
        for r in (best, finished)
    ]
    assert rmse == [pytest.approx(min(scores), rel=1e-4), pytest.approx(scores[-1], rel=1e-4)]
    with pytest.raises(ValueError, match=r"one of \('final', 'best'\). Received: 'last'"):
        run.load_run(finished.workdir, "last")


@pytest.mark.filterwarnings("error:Your input ran out of data")
def test_phases_with_batches_of_their_own_size_equal_two_fits(small_lookbook, tmp_path):
    staged_run.check_phases(small_lookbook, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "replicas"), [("jax", []), ("tensorflow", ["2"])])
def test_phases_and_resuming(backend, replicas, small_lookbook, tmp_path):
    """Phases on JAX, where `stored_run_test.py` resumes; and resuming on two devices."""
    environment = {
        "KERAS_BACKEND": backend,
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # few steps
    }
    done = subprocess.run(
        [sys.executable, "-W", "error:Your input ran out of data", "-m",
         "tests.training.staged_run", str(small_lookbook), str(tmp_path), *replicas],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_seed_alone_decides_the_weights(small_lookbook, tmp_path):
    """Before the first step; the next test compares two whole runs."""
    initial = []
    for index, seed in enumerate((3, 3, 4)):
        callback = Initial()
        with pytest.raises(Interrupted):
            train(small_lookbook, tmp_path / str(index), seed=seed, callbacks=[callback])
        initial.append(callback.weights)
    first, again, other = initial
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(other[0], first[0])


def test_interrupted_run_continues_where_it_was(finished, small_lookbook, tmp_path, caplog):
    """The same weights and the same history as a run that was not interrupted."""
    with pytest.raises(Interrupted):
        train(small_lookbook, tmp_path, callbacks=[Interrupt()])
    assert not (tmp_path / "model.keras").exists()
    with pytest.raises(FileNotFoundError, match=r"no finished run: model\.keras is missing"):
        run.load_run(tmp_path)

    # Another run may not take the folder; the message says what differs.
    for message, options in {
        "(seed: 3 there, 4 here)": {"seed": 4},
        "(splits: None there, kwon2019 here)": {"data_options": {"splits": "kwon2019"}},
        "(epochs: 2 there, 3 here)": {"epochs": 3},
        "(epochs: 2 there, None here; minutes: None there, 1.0 here)": {
            "epochs": None,
            "minutes": 1.0,
        },
        "(batch_size: 8 there, 16 here; ema_momentum: None there, 0.9 here)": {
            "preset": dataclasses.replace(PRESET, batch_size=16, ema_momentum=0.9)
        },
    }.items():
        with pytest.raises(ValueError, match="interrupted run with other options") as error:
            train(small_lookbook, tmp_path, **options)
        assert message in str(error.value)
    with pytest.raises(ValueError, match="preset: demo there, yoo2016 here"):
        train(small_lookbook, tmp_path, preset=presets.get("yoo2016"))

    # Nor other data; but the same ones in another place.
    other, moved = shutil.copytree(small_lookbook, tmp_path / "other"), tmp_path / "moved"
    change_a_pixel(other)
    with pytest.raises(ValueError, match=rf"not those that {tmp_path} was trained on.* pixels\)"):
        train(other, tmp_path)
    shutil.copytree(small_lookbook, moved)

    for leftover in ("unfinished_run.json", "checkpoints/unfinished_last.keras", ".lock"):
        (tmp_path / leftover).write_text("what a kill leaves")
    resumed = train(moved, tmp_path, best="val_ssim", save_every=5)
    assert not list(tmp_path.rglob("unfinished_*")) and not (tmp_path / ".lock").exists()
    assert json.loads((tmp_path / "run.json").read_text())["data"] == {"data": str(moved)}
    assert int(resumed.model.optimizer.iterations) == int(finished.model.optimizer.iterations)
    assert_equal_weights(resumed.model, finished.model)
    assert resumed.history() == finished.history()


@pytest.mark.usefixtures("eager")
def test_time_limit_ends_a_run_within_an_epoch(small_lookbook, tmp_path):
    limited = train(small_lookbook, tmp_path, epochs=None, minutes=1e-6)
    # The clock starts with the second batch, so that tracing does not count.
    assert int(limited.model.optimizer.iterations) == 3
    assert len(limited.history()["val_rmse"]) == 1
    assert run.load_run(tmp_path).preset == PRESET


@pytest.mark.usefixtures("eager")
def test_product_to_human_exchanges_the_images(small_lookbook, tmp_path):
    reverse = dataclasses.replace(PRESET, reverse=True, batch_size=100)
    result = trainer.train(reverse, str(small_lookbook), tmp_path, epochs=1, verbose=0)
    scores = result.evaluate("validation")
    pairs = result.pairs()["validation"]
    converted = result.convert(data.to_float(pairs.targets))[pairs.target_index]
    error = (converted - data.to_float(pairs.sources)) / 2
    expected = np.sqrt(np.mean(error**2, axis=(1, 2, 3))).mean()
    assert scores["rmse"] == pytest.approx(expected, rel=1e-4)
    assert scores["median_rank"] is None


def test_wrong_arguments_leave_no_run_behind(small_lookbook, tmp_path):
    workdir = tmp_path / "run"
    with pytest.raises(ValueError, match="either `minutes` or `epochs`"):
        train(small_lookbook, workdir, minutes=1.0, epochs=1)
    with pytest.raises(ValueError, match="`epochs` must be"):
        train(small_lookbook, workdir, epochs=0)
    with pytest.raises(ValueError, match="`minutes` must be positive"):
        train(small_lookbook, workdir, epochs=None, minutes=0.0)
    with pytest.raises(ValueError, match="`best` must be one of val_rmse, val_ssim, val_c_ssim"):
        train(small_lookbook, workdir, best="val_loss")
    with pytest.raises(ValueError, match="`save_every` must be at least 1. Received: 0"):
        train(small_lookbook, workdir, save_every=0)
    two = devices.Distribution("mirrored", replicas=3)
    with pytest.raises(ValueError, match=r"multiple of their number.*Received: 8"):
        train(small_lookbook / "elsewhere", workdir, distribution=two)
    workers = devices.Distribution("multi_worker", replicas=2)
    workers.workers = 2
    with pytest.raises(ValueError, match="several workers, whose clocks differ"):
        train(small_lookbook, workdir, epochs=None, minutes=1.0, distribution=workers)
    with pytest.raises(ValueError, match="'nothing'"):
        trainer.train("nothing", str(small_lookbook), workdir)
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        train(small_lookbook / "elsewhere", workdir)
    assert not workdir.exists() or not any(workdir.iterdir())


def test_path_of_the_workdir_may_be_a_string_or_a_path(finished):
    assert isinstance(finished.workdir, pathlib.Path)
    with pytest.raises(ValueError, match="holds a finished run"):
        train(finished.data["data"], str(finished.workdir))


# Longer training

FEW_STEPS = dataclasses.replace(PRESET, image_size=16, batch_size=100, phases=((2, 5e-4),))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("momentum", [None, 0.9])
def test_a_finished_run_that_continues_ends_as_one_of_that_length(
    small_lookbook, tmp_path, momentum
):
    """Averages have replaced the weights in its model.keras, so it keeps both."""
    preset = dataclasses.replace(FEW_STEPS, ema_momentum=momentum)
    options = {"preset": preset, "splits": data.load_pairs(small_lookbook, 16)}
    whole = train(small_lookbook, tmp_path / "whole", epochs=3, **options)
    workdir = tmp_path / "longer"
    short = train(small_lookbook, workdir, epochs=1, **options)
    names = ["best.keras"] if momentum is None else ["best.keras", "last.keras"]
    assert sorted(p.name for p in (workdir / "checkpoints").iterdir()) == names
    with pytest.raises(Interrupted):
        train(small_lookbook, workdir, epochs=3, callbacks=[Interrupt()], **options)
    assert_equal_weights(run.load_run(workdir).model, short.model)  # a whole one at any time
    with pytest.raises(ValueError, match=r"an interrupted run with.*epochs: 3 there, 4 here"):
        train(small_lookbook, workdir, epochs=4, **options)
    longer = train(small_lookbook, workdir, epochs=3, **options)
    for loaded in (longer, run.load_run(workdir)):
        assert_equal_weights(loaded.model, whole.model)
    assert longer.history() == whole.history()
    best = [run.load_run(r.workdir, "best").model for r in (longer, whole)]
    assert_equal_weights(*best)
    assert len(list((workdir / "grids").iterdir())) == 3
    written = [json.loads((r.workdir / "run.json").read_text()) for r in (longer, whole)]
    for each in written:
        del each["trained_minutes"]
    assert written[0] == {**written[1], "longer": True}


@pytest.mark.usefixtures("eager")
def test_a_run_of_epochs_continues_by_time(small_lookbook, tmp_path):
    options = {"preset": FEW_STEPS, "splits": data.load_pairs(small_lookbook, 16)}
    train(small_lookbook, tmp_path, epochs=1, **options)
    limits = {"epochs": None, "minutes": 9e9}
    longer = train(small_lookbook, tmp_path, callbacks=[Stop()], **limits, **options)
    assert len(longer.history()["val_rmse"]) == 2


class Stop(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


def test_a_finished_run_is_not_trained_again_unless_for_longer(finished, small_lookbook, tmp_path):
    workdir = shutil.copytree(finished.workdir, tmp_path / "run")
    before = (workdir / "model.keras").read_bytes()
    message = r"a finished run, of 2 epochs in .* minutes.*more than that, such as --epochs 4"
    for options in (
        {"epochs": 1},
        {"epochs": 2},
        {"epochs": None, "minutes": 1e-9},
        {"epochs": None},  # the preset's, which nobody has asked for
    ):
        with pytest.raises(ValueError, match=message):
            train(small_lookbook, workdir, **options)
    for options, difference in (
        ({"seed": 4}, "seed: 3 there, 4 here"),
        ({"data_options": {"splits": "kwon2019"}}, "splits: None there, kwon2019 here"),
    ):
        with pytest.raises(ValueError, match=rf"a finished run with other.*\({difference}\)"):
            train(small_lookbook, workdir, epochs=4, **options)
    other = shutil.copytree(small_lookbook, tmp_path / "other")
    change_a_pixel(other)
    with pytest.raises(ValueError, match="not those that .* was trained on"):
        train(other, workdir, epochs=4)
    finished.model.save(workdir / "model.keras")  # as earlier versions did
    with pytest.raises(ValueError, match=r"of an earlier version.*--from .*/run, with another"):
        train(small_lookbook, workdir, epochs=4)
    (workdir / "model.keras").write_bytes(before)
    (workdir / "run.json").unlink()
    with pytest.raises(ValueError, match=r"holds a finished run without its run\.json"):
        train(small_lookbook, workdir, epochs=4)
    assert (workdir / "model.keras").read_bytes() == before


def test_what_a_run_began_with_may_be_gone_once_it_goes_on(tmp_path):
    there = {"preset": presets.get("flow-64").options(), "data": {}, "seed": 0}
    there |= {"epochs": 1, "minutes": None, "versions": {}}
    here = {**there, "preset": {**there["preset"], "start": "/new"}}
    for start, taken in (
        (str(tmp_path / "gone"), True),
        (str(tmp_path), False),
        ("rendered", False),
    ):
        there["preset"]["start"] = start
        (tmp_path / "run.json").write_text(json.dumps(there))
        if taken:
            assert record.check_free(tmp_path, here)["preset"]["start"] == start
            continue
        with pytest.raises(ValueError, match=f"start: {start} there, /new here"):
            record.check_free(tmp_path, here)


# Folders in use, moved, read-only


def test_a_second_training_in_a_folder_is_refused(tmp_path):
    refused = r"run: another training writes there \(process \d+ on host .*\)\. Wait for it, stop"
    with atomic.locked(tmp_path / "run" / ".lock"):
        with pytest.raises(BlockingIOError, match=refused):
            train(tmp_path / "elsewhere", tmp_path / "run")
        worker = devices.Distribution("multi_worker")
        worker.worker = 1  # the first one, which writes, has the lock
        with pytest.raises(FileNotFoundError, match="elsewhere"):
            train(tmp_path / "elsewhere", tmp_path / "run", distribution=worker)
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        train(tmp_path / "elsewhere", tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_run_is_told_where_its_data_are_now(finished, small_lookbook, tmp_path, caplog):
    workdir = shutil.copytree(finished.workdir, tmp_path / "run")
    moved = shutil.copytree(small_lookbook, tmp_path / "moved")
    options = json.loads((workdir / "run.json").read_text())
    options["data"]["data"] = "/home/other/LookBook"
    (workdir / "run.json").write_text(json.dumps(options))
    message = r"The data of the run .*/run are missing: .*/home/other/LookBook.*take --data"
    with pytest.raises(FileNotFoundError, match=message):
        run.load_run(workdir).evaluate()
    with pytest.raises(FileNotFoundError, match=rf"no usable search_embedder\.keras.*{message}"):
        run.load_run(workdir).search_embedder()

    found = run.load_run(workdir, data=str(moved)).pairs()
    for split, expected in finished.pairs().items():
        np.testing.assert_array_equal(found[split].sources, expected.sources)
    assert "not those" not in caplog.text
    change_a_pixel(moved)
    with pytest.raises(ValueError, match=r"not those that .*/run was trained on.* pixels\)"):
        run.load_run(workdir, data=str(moved)).evaluate()
    # In the same place they are taken, but not in silence.
    (workdir / "run.json").write_text(json.dumps({**options, "data": {"data": str(moved)}}))
    run.load_run(workdir).splits()
    assert "not those that" in caplog.text and "may be among those that are scored" in caplog.text

    with pytest.raises(ValueError, match="data, target_data, data_dir, .* Received: splits"):
        run.load_run(workdir, data_options={"splits": "kwon2019"})


@pytest.mark.parametrize("content", ["", "{", "null", "{}", '{"preset": {"name": "demo"}}'])
def test_options_that_are_damaged_are_named(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    (tmp_path / "model.keras").touch()
    for use in (run.load_run, lambda folder: trainer.train("demo", workdir=folder)):
        with pytest.raises(ValueError, match=r"run\.json is damaged .*Put a copy"):
            use(tmp_path)


def test_data_options_of_another_kind_are_named(tmp_path):
    options = {"preset": presets.get("demo").options(), "seed": 0, "data": []}
    options["versions"] = {"keras-pixdt": "0.1.0"}
    (tmp_path / "run.json").write_text(json.dumps(options))
    (tmp_path / "model.keras").touch()
    with pytest.raises(ValueError, match=r"run\.json is damaged .*mapping"):
        run.load_run(tmp_path)
