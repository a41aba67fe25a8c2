import dataclasses
import json
import pathlib
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import keras_pixdt
from keras_pixdt import commands, data, presets, reproduce, search
from tests import samples
from tests.data.readers import layouts

ROOT = pathlib.Path(__file__).resolve().parents[1]
COMMANDS = [
    "train",
    "evaluate",
    "convert",
    "export",
    "index",
    "search",
    "serve",
    "demo",
    "reproduce",
    "study",
]


def in_new_process(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def files_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# Arguments


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_that_the_command_accepts(command, capsys):
    with pytest.raises(SystemExit) as caught:
        commands.main([command, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    example = shown.partition("example:\n")[2].strip()
    program, name, *arguments = shlex.split(example)
    assert (program, name) == ("pixdt", command)
    assert commands._parser().parse_args([name, *arguments]).run is not None


def test_help_lists_the_commands_and_does_not_wait_for_keras():
    code = (
        "import sys\n"
        "from keras_pixdt import commands\n"
        "try:\n"
        "    commands.main(['--help'])\n"
        "finally:\n"
        "    assert 'keras' not in sys.modules and 'tensorflow' not in sys.modules\n"
    )
    answer = in_new_process(code)
    assert answer.returncode == 0, answer.stderr
    assert all(command in answer.stdout for command in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["train"],
        ["train", "--workdir", "w", "--minutes", "1", "--epochs", "2"],
        ["train", "--workdir", "w", "--epochs", "many"],
        ["train", "--workdir", "w", "--strategy", "all"],
        ["train", "--workdir", "w", "--precision", "float64"],
        ["train", "--workdir", "w", "--best", "val_loss"],
        ["evaluate", "--workdir", "w", "--checkpoint", "last"],
        ["evaluate", "--workdir", "w", "--gallery", "none"],
        ["convert", "--model", "w"],
        ["export", "--workdir", "w", "--variants", "int4"],
        ["reproduce"],
        ["reproduce", "kim2017-fig3"],
    ],
)
def test_wrong_arguments_show_the_usage(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        commands.main(arguments)
    assert caught.value.code == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert "usage: pixdt" in shown.err and "error:" in shown.err
    assert not list(tmp_path.iterdir())


# Training


def train(data, workdir, *more):
    """Trains PixelDTGAN, unless `more` has another preset."""
    arguments = ["--data", str(data), "--workdir", str(workdir), "--preset", "demo"]
    return commands.main(["train", *arguments, *more])


def test_unknown_preset_is_answered_with_all_of_them(small_lookbook, tmp_path, caplog):
    assert train(small_lookbook, tmp_path / "run", "--preset", "yoo2061") == 1
    assert "'yoo2061'" in caplog.text
    assert all(name in caplog.text for name in presets.names())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--image-size", "48"),
        ("--width", "0"),
        ("--batch-size", "1"),
        ("--save-every", "0"),
        ("--replicas", "0"),
    ],
)
def test_argument_out_of_its_range_is_named(small_lookbook, tmp_path, caplog, argument, value):
    assert train(small_lookbook, tmp_path / "run", argument, value) == 1
    assert argument[2:].replace("-", "_") in caplog.text
    assert f"Received: {value}" in caplog.text


def test_options_reach_the_training(monkeypatch, tmp_path):
    from keras_pixdt.training import devices, trainer

    given = {}

    def start(strategy, precision, **options):
        given["start"] = strategy, precision, options
        return "devices"

    def train(preset, data, workdir, **options):
        given["train"] = preset, options
        raise devices.WorkerLostError("worker 1 has ended")

    monkeypatch.setattr(devices, "start", start)
    monkeypatch.setattr(trainer, "train", train)
    arguments = "--strategy mirrored --precision mixed_bfloat16 --replicas 2 --worker-timeout 9"
    more = "--save-every 50 --best val_ssim --ema 0.999 --epochs 3 --set selection=sample width=0.5"
    command = [
        "train",
        "--preset",
        "demo",
        "--workdir",
        str(tmp_path),
        *arguments.split(),
        *more.split(),
    ]
    assert commands.main(command) == 1  # a lost worker is told in one line
    assert given["start"] == ("mirrored", "mixed_bfloat16", {"replicas": 2, "worker_timeout_s": 9})
    preset, options = given["train"]
    assert (preset.dtype, preset.ema_momentum) == ("mixed_bfloat16", 0.999)
    assert (preset.selection, preset.width) == ("sample", 0.5)
    assert (options["save_every"], options["best"], options["epochs"]) == (50, "val_ssim", 3)
    assert options["distribution"] == "devices"


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        ("", "rendered"),
        ("--from none", "none"),
        ("--from run", "run"),
        ("--preset demo", None),
        ("--preset demo --from a/model.keras", "a/model.keras"),
    ],
)
def test_where_a_training_starts_from(arguments, start, monkeypatch, tmp_path):
    from keras_pixdt.training import devices, trainer

    given = []

    def train(preset, *_, **__):
        given.append(preset.start)
        raise devices.WorkerLostError("enough")

    monkeypatch.setattr(trainer, "train", train)
    commands.main(["train", "--workdir", str(tmp_path / "w"), *arguments.split()])
    assert given == [start]


def test_a_run_is_fine_tuned_with_its_own_settings(small_run, tmp_path, monkeypatch, caplog):
    from keras_pixdt.training import devices, trainer

    given = []

    def train(preset, *_, **__):
        given.append(preset)
        raise devices.WorkerLostError("enough")

    monkeypatch.setattr(trainer, "train", train)
    command = ["train", "--workdir", str(tmp_path / "w"), "--data", "new", "--from", str(small_run)]
    for more in ([], ["--width", "0.5"], ["--preset", "flow-64"]):
        commands.main([*command, *more])
    own, wider, other = given
    kept = keras_pixdt.load_run(small_run).preset
    assert own == dataclasses.replace(kept, start=str(small_run))
    assert wider == dataclasses.replace(own, width=0.5)
    assert other == dataclasses.replace(presets.get("flow-64"), start=str(small_run))
    assert f"Training preset demo, as {small_run} was" in caplog.text


def test_missing_folder_is_named(tmp_path, caplog):
    assert train(tmp_path / "LoookBook", tmp_path / "run") == 1
    assert str(tmp_path / "LoookBook") in caplog.text


def test_folder_without_pairs_is_named_with_the_names_it_should_have(tmp_path, caplog):
    Image.new("RGB", (8, 8)).save(tmp_path / "holiday.jpg")
    assert train(tmp_path, tmp_path / "run") == 1
    assert f"{tmp_path} has no pairs" in caplog.text
    assert "PID000001_CLEAN0_IID000002.jpg" in caplog.text and "holiday.jpg" in caplog.text


def test_workdir_is_free_after_a_mistake(small_lookbook, tmp_path, caplog):
    """A typing error must not turn the folder into one of 'another run'."""
    small = ["--image-size", "32", "--width", "0.03125", "--batch-size", "8", "--epochs", "1"]
    assert train(tmp_path / "LoookBook", tmp_path / "run", *small) == 1
    assert train(small_lookbook, tmp_path / "run", *small) == 0, caplog.text


def test_finished_run_is_not_overwritten(small_lookbook, small_run, caplog):
    before = (small_run / "model.keras").read_bytes()
    assert train(small_lookbook, small_run, "--image-size", "32") == 1
    assert f"{small_run} holds a finished run" in caplog.text
    assert (small_run / "model.keras").read_bytes() == before


@pytest.mark.usefixtures("eager")
def test_a_finished_run_is_trained_for_longer(small_lookbook, small_run, tmp_path, caplog):
    workdir = shutil.copytree(small_run, tmp_path / "run")
    same = ["--image-size", "32", "--width", "0.03125", "--batch-size", "8"]
    assert train(small_lookbook, workdir, *same, "--epochs", "1") == 1
    assert "holds a finished run, of 1 epochs" in caplog.text and "--epochs 2" in caplog.text
    assert train(small_lookbook, workdir, *same, "--epochs", "2") == 0, caplog.text
    history, before = (keras_pixdt.load_run(r).history() for r in (workdir, small_run))
    for name, values in before.items():
        assert len(history[name]) == 2 and history[name][:1] == values


def test_training_leaves_a_run(small_run):
    names = files_in(small_run)
    files = {"run.json", "model.keras", "checkpoints/best.keras", "history.json"}
    assert files | {"grids/epoch_001.png"} <= set(names)
    assert any(name.startswith("logs/") for name in names)
    options = json.loads((small_run / "run.json").read_text())
    assert options["preset"]["name"] == "demo"
    assert [options["preset"][k] for k in ("image_size", "width", "batch_size")] == [32, 0.03125, 8]


# Scores


@pytest.mark.parametrize(("gallery", "size"), [("split", 2), ("all", 44)])
def test_evaluate_prints_json_and_nothing_else(small_run, capsys, gallery, size):
    arguments = ["evaluate", "--workdir", str(small_run), "--gallery", gallery, "--json"]
    assert commands.main(arguments) == 0
    scores = json.loads(capsys.readouterr().out)
    assert 0 < scores["rmse"] < 1 and -1 <= scores["c_ssim"] <= 1
    assert (scores["gallery"], scores["gallery_size"]) == (gallery, size)
    assert 1 <= scores["median_rank"] <= size
    if gallery == "all":
        assert scores["chance_recall@10"] == pytest.approx(10 / 44)
    assert scores["kid_mean"] is None and "kid_mean" in scores["notes"]


def test_evaluate_compares_the_search_by_the_drawn_image_with_that_by_the_photo(small_run, capsys):
    found = {}
    for embedder in ("trained", "search"):
        arguments = ["--workdir", str(small_run), "--gallery", "all", "--embedder", embedder]
        assert commands.main(["evaluate", *arguments, "--json"]) == 0
        found[embedder] = json.loads(capsys.readouterr().out)
        assert found[embedder]["embedder"] == embedder
        assert 0 <= found[embedder]["photo_recall@10"] <= 1
    assert found["trained"]["rmse"] == found["search"]["rmse"]
    assert found["trained"]["photo_median_rank"] != found["search"]["photo_median_rank"]


def test_evaluate_scores_a_file_in_the_place_of_the_model(small_run, monkeypatch, capsys):
    import export

    class Black:
        resize, reversible = "letterbox", False

        def __call__(self, images):
            return np.zeros_like(images)

    monkeypatch.setattr(export, "load_tflite", {"black.tflite": Black()}.__getitem__)
    arguments = ["evaluate", "--workdir", str(small_run), "--model", "black.tflite", "--json"]
    assert commands.main(arguments) == 0
    scores = json.loads(capsys.readouterr().out)
    test = keras_pixdt.load_run(small_run).pairs()["test"]
    target = test.targets[test.target_index] / 255.0
    expected = np.sqrt(np.square(target).mean(axis=(1, 2, 3))).mean()
    assert scores["rmse"] == pytest.approx(expected, rel=1e-5)


def test_evaluate_in_a_process_of_its_own(small_run):
    """What a shell sees: the run opens without the imports that training did, JSON is alone."""
    code = "import sys; from keras_pixdt import commands; sys.exit(commands.main(sys.argv[1:]))"
    answer = in_new_process(code, "evaluate", "--workdir", small_run, "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["split"] == "test"


def test_evaluate_prints_a_table_with_reasons(small_run, capsys):
    assert commands.main(["evaluate", "--workdir", str(small_run), "--split", "validation"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    rmse, error = map(float, rows["rmse"].split(" ± "))
    assert 0 < error < rmse
    assert rows["split"] == "validation"
    assert rows["kid_mean"].startswith("None (needs ")
    assert "notes" not in rows and "standard_errors" not in rows


def test_evaluate_names_what_is_missing(small_run, tmp_path, caplog):
    assert commands.main(["evaluate", "--workdir", str(tmp_path)]) == 1
    assert str(tmp_path) in caplog.text and "pixdt train" in caplog.text
    assert commands.main(["evaluate", "--workdir", str(small_run), "--split", "exam"]) == 1
    assert "'exam'" in caplog.text and "'validation'" in caplog.text


# Photos


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, shape in (("a.jpg", (50, 30, 3)), ("b.png", (32, 32, 3)), ("c.jpg", (9, 200, 3))):
        Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(folder / name)
    return folder


def read_all(folder):
    return {p.name: np.array(Image.open(p)).astype(int) for p in sorted(folder.iterdir())}


def test_convert_goes_on_after_an_unreadable_photo(small_run, photos, tmp_path, caplog):
    (photos / "broken.jpg").write_text("not an image")
    arguments = ["convert", str(photos), "--model", str(small_run), "--out", str(tmp_path / "out")]
    assert commands.main(arguments) == 1
    assert "broken.jpg" in caplog.text
    images = read_all(tmp_path / "out")
    assert list(images) == ["a.png", "b.png", "c.png"]
    assert all(image.shape == (32, 32, 3) for image in images.values())


def test_run_keras_file_and_tflite_file_convert_alike(small_run, photos, tmp_path, caplog):
    exported = tmp_path / "export"
    assert commands.main(["export", "--workdir", str(small_run), "--out", str(exported)]) == 0
    files = ["converter_dynamic.tflite", "converter_float32.tflite", "export.json", "saved_model"]
    assert sorted(p.name for p in exported.iterdir()) == files
    assert all(name in caplog.text for name in (*files[:2], str(exported)))

    results = {}
    best = tmp_path / "best"
    arguments = ["convert", str(photos / "a.jpg"), "--out", str(best), "--checkpoint", "best"]
    assert commands.main([*arguments, "--model", str(small_run)]) == 0

    for model in (small_run, small_run / "model.keras", *(exported / f for f in files[:2])):
        out = tmp_path / "out" / model.name
        arguments = ["convert", str(photos / "a.jpg"), str(photos / "b.png"), str(photos / "c.jpg")]
        assert commands.main([*arguments, "--model", str(model), "--out", str(out)]) == 0
        results[model.name] = read_all(out)
    reference = results.pop(small_run.name)
    np.testing.assert_array_equal(read_all(best)["a.png"], reference["a.png"])  # of one epoch
    assert not np.array_equal(reference["a.png"], reference["b.png"])
    levels = {"model.keras": 0, "converter_float32.tflite": 1, "converter_dynamic.tflite": 8}
    for name, images in results.items():
        for photo, image in images.items():
            assert np.abs(image - reference[photo]).max() <= levels[name], (name, photo)


@pytest.fixture(scope="module")
def stretched_run(small_run, small_lookbook, tmp_path_factory):
    """The small run, as if it had learned from tall photos that were stretched."""
    folder = tmp_path_factory.mktemp("stretched")
    tall, workdir = folder / "tall", folder / "run"
    tall.mkdir()
    for path in small_lookbook.glob("PID00000*"):
        data.write_image(tall / path.name, data.read_image(path)[:, 6:26])
    workdir.mkdir()
    shutil.copy(small_run / "model.keras", workdir)
    options = json.loads((small_run / "run.json").read_text())
    options["preset"]["resize"] = "stretch"
    options["data"] = {"data": str(tall)}
    (workdir / "run.json").write_text(json.dumps(options))
    with samples.narrow_embedders():
        made = keras_pixdt.load_run(workdir)
        made.embedder()
        made.search_embedder()
    return workdir


@pytest.fixture(scope="module")
def stretched_file(stretched_run, tmp_path_factory):
    """The float32 file of that run."""
    out = tmp_path_factory.mktemp("stretched_export")
    arguments = ["export", "--workdir", str(stretched_run), "--out", str(out)]
    assert commands.main([*arguments, "--variants", "float32"]) == 0
    return out / "converter_float32.tflite"


def test_run_and_files_convert_what_the_run_was_trained_on(
    stretched_run, stretched_file, photos, tmp_path, caplog
):
    import export

    assert export.load_tflite(stretched_file).resize == "stretch"
    about = export.read_metadata(stretched_file)
    assert about["resize"] == "stretch"
    assert "stretched to a square" in about["signatures"]["convert"]["inputs"][0]["description"]
    opened = keras_pixdt.load_run(stretched_run)
    files = sorted(photos.iterdir())
    squares = np.stack([data.stretch(data.read_image(path), 32) for path in files])
    expected = data.to_uint8(opened.convert(data.to_float(squares))).astype(int)
    keras_file = [str(stretched_run / "model.keras"), "--resize", "stretch"]
    for model in ([str(stretched_run)], [str(stretched_file)], keras_file):
        out = tmp_path / pathlib.Path(model[0]).name
        assert commands.main(["convert", str(photos), "--out", str(out), "--model", *model]) == 0
        converted = np.stack(list(read_all(out).values()))
        assert np.abs(converted - expected).max() <= 1, model
    # A file of Keras alone does not know.
    out = tmp_path / "letterboxed"
    assert commands.main(["convert", str(photos), "--out", str(out), "--model", keras_file[0]]) == 0
    boxed = np.stack(list(read_all(out).values()))
    np.testing.assert_array_equal(boxed[1], converted[1])  # a square photo
    assert np.abs(boxed[0] - converted[0]).max() > 1
    for model in (stretched_run, stretched_file):
        arguments = ["convert", str(photos), "--model", str(model), "--resize", "letterbox"]
        assert commands.main([*arguments, "--out", str(tmp_path / "none")]) == 1
    assert caplog.text.count("--resize must be stretch") == 2
    assert not (tmp_path / "none").exists()


def test_evaluate_scores_a_file_on_photos_as_both_take_them(
    small_run, stretched_run, stretched_file, capsys, caplog
):
    scores = []
    for model in ([], ["--model", str(stretched_file)]):
        arguments = ["evaluate", "--workdir", str(stretched_run), "--json", *model]
        assert commands.main(arguments) == 0, caplog.text
        scores.append(json.loads(capsys.readouterr().out)["rmse"])
    assert scores[1] == pytest.approx(scores[0], abs=1e-3)
    arguments = ["evaluate", "--workdir", str(small_run), "--model", str(stretched_file)]
    assert commands.main(arguments) == 1
    assert "photos are resized by letterbox. Received: " in caplog.text


def test_an_index_of_a_stretched_run_is_searched_by_stretched_photos(
    stretched_run, photos, tmp_path, capsys, caplog
):
    index = tmp_path / "catalogue.index"
    common = ["--embedder", str(stretched_run)]
    assert commands.main(["index", str(photos), *common, "--out", str(index)]) == 0, caplog.text
    opened = keras_pixdt.load_run(stretched_run)
    embedder = opened.search_embedder()
    assert search.ProductIndex.open(index, embedder).resize == "stretch"
    common += ["--index", str(index), "--query", str(photos / "a.jpg"), "--top", "3"]
    capsys.readouterr()
    assert commands.main(["search", *common]) == 0, caplog.text
    assert json.loads(capsys.readouterr().out)["results"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert commands.main(["search", *common, "--model", str(stretched_run)]) == 0, caplog.text
    found = json.loads(capsys.readouterr().out)["results"]
    squares = [data.stretch(data.read_image(path), 64) for path in sorted(photos.iterdir())]
    photo = data.stretch(data.read_image(photos / "a.jpg"), 32)
    drawn = data.to_uint8(opened.convert(data.to_float(photo[None])))
    query = search.embed(embedder, data.resize(drawn[0], 64)[None])
    similarity = search.embed(embedder, np.stack(squares)) @ query[0]
    np.testing.assert_allclose(
        [result["score"] for result in found], np.sort(similarity)[::-1], atol=1e-4
    )
    assert commands.main(["search", *common, "--resize", "stretch"]) == 1
    assert "--resize is for a .keras file as --model" in caplog.text


def test_export_writes_the_variants_that_were_asked_for(small_run, tmp_path):
    arguments = ["export", "--workdir", str(small_run), "--out", str(tmp_path)]
    assert commands.main([*arguments, "--variants", "dynamic"]) == 0
    assert [p.name for p in tmp_path.glob("*.tflite")] == ["converter_dynamic.tflite"]


def test_a_run_without_a_way_back_has_none_to_export(small_run, tmp_path, caplog):
    arguments = ["export", "--workdir", str(small_run), "--out", str(tmp_path / "out")]
    assert commands.main([*arguments, "--reverse"]) == 1
    assert "This PixelDTGAN has none. A DiscoGAN has one, unless" in caplog.text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["missing", "missing.keras", "missing.tflite"])
def test_convert_names_a_missing_model(photos, tmp_path, caplog, name):
    arguments = ["convert", str(photos), "--model", str(tmp_path / name)]
    assert commands.main([*arguments, "--out", str(tmp_path / "out")]) == 1
    assert str(tmp_path / name) in caplog.text
    assert not (tmp_path / "out").exists()


def test_convert_names_a_model_that_is_none(photos, tmp_path, caplog):
    for name in ("text.keras", "text.tflite"):
        (tmp_path / name).write_text("no model")
        assert commands.main(["convert", str(photos), "--model", str(tmp_path / name)]) == 1
        assert name in caplog.text


# reproduce


def test_a_catalogue_is_indexed_and_searched(small_run, photos, tmp_path, capsys, caplog):
    index, page = tmp_path / "catalogue.index", tmp_path / "results.html"
    common = ["--embedder", str(small_run)]
    assert commands.main(["index", str(photos), *common, "--out", str(index)]) == 0, caplog.text
    photo = next(photos.glob("*.jpg"))
    capsys.readouterr()
    common += ["--index", str(index), "--query", str(photo)]
    assert commands.main(["search", *common, "--top", "1"]) == 0, caplog.text
    found = json.loads(capsys.readouterr().out)
    assert [result["id"] for result in found["results"]] == [photo.name]
    assert found["results"][0]["score"] == pytest.approx(1.0, abs=1e-5)
    assert commands.main(["search", *common, "--model", str(small_run), "--html", str(page)]) == 0
    drawn = json.loads(capsys.readouterr().out)
    assert set(drawn["milliseconds"]) == {"convert", "embed", "search"}
    assert drawn["results"][0]["score"] != found["results"][0]["score"]
    assert photo.name in page.read_text()


@pytest.fixture
def moved_run(small_run, tmp_path):
    """A copy of the small run that has never seen this machine's data."""
    workdir = shutil.copytree(small_run, tmp_path / "copy")
    options = json.loads((workdir / "run.json").read_text())
    options["data"]["data"] = "/home/other/LookBook"
    (workdir / "run.json").write_text(json.dumps(options))
    return workdir


def test_a_run_needs_no_data_to_convert_index_and_search(
    moved_run, photos, tmp_path, capsys, caplog
):
    run, index, out = str(moved_run), str(tmp_path / "c.index"), str(tmp_path / "out")
    assert commands.main(["convert", str(photos), "--model", run, "--out", out]) == 0
    assert commands.main(["index", str(photos), "--embedder", run, "--out", index]) == 0
    query = ["--query", str(photos / "a.jpg"), "--index", index]
    assert commands.main(["search", *query, "--embedder", run, "--model", run]) == 0, caplog.text
    (moved_run / "search_embedder.keras").unlink()
    caplog.clear()
    assert commands.main(["search", *query, "--embedder", run]) == 1
    (line,) = [each for each in caplog.messages if "/home/other/LookBook" in each]
    assert f"{run} has no usable search_embedder.keras" in line and "--data" in line
    assert "\n" not in line


def test_scores_and_files_of_a_run_need_to_be_told_where_its_data_are(
    moved_run, small_run, small_lookbook, tmp_path, capsys, caplog
):
    commands.main(["evaluate", "--workdir", str(small_run), "--json"])
    expected = json.loads(capsys.readouterr().out)
    workdir, there = ["--workdir", str(moved_run)], ["--data", str(small_lookbook)]
    assert commands.main(["evaluate", *workdir]) == 1
    assert f"data of the run {moved_run} are missing" in caplog.text
    assert commands.main(["evaluate", *workdir, *there, "--json"]) == 0, caplog.text
    assert json.loads(capsys.readouterr().out) == expected
    export = ["export", *workdir, "--out", str(tmp_path / "out"), "--variants", "float32"]
    assert commands.main([*export, "--data", str(tmp_path / "none")]) == 1
    assert str(tmp_path / "none") in caplog.text and not (tmp_path / "out").exists()
    assert commands.main([*export, *there]) == 0, caplog.text
    other = tmp_path / "other"
    other.mkdir()
    for path in small_lookbook.glob("PID00000*"):
        shutil.copy(path, other)
    caplog.clear()
    for command in (["evaluate", *workdir], export):
        assert commands.main([*command, "--data", str(other)]) == 1
    assert caplog.text.count(f"are not those that {moved_run} was trained on (train: ") == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "more"),
    [
        ("viton_hd", {"train": 22}),
        ("dress_code", {"train": 7}),
        ("in_shop", {"items": 7}),
        ("csv", {"products": 14}),
    ],
)
def test_each_layout_from_data_to_a_verified_file(layout, more, tmp_path, capsys, caplog):
    write = {**vars(layouts), "csv": layouts.table}[layout]
    here = write(tmp_path / "here", **more)
    size = ["--image-size", "32", "--width", "0.03125", "--batch-size", "8", "--epochs", "1"]
    options = {"data": str(here)}
    if layout == "csv":
        size += ["--layout", layout]
        options["layout"] = layout
    workdir = tmp_path / "run"
    with samples.eagerly():
        assert train(here, workdir, *size) == 0, caplog.text
    assert json.loads((workdir / "run.json").read_text())["data"] == options
    there = tmp_path / "there"
    (tmp_path / "here").rename(there)
    moved = ["--workdir", str(workdir), "--data", str(there / here.relative_to(tmp_path / "here"))]
    exported = ["--out", str(tmp_path / "out"), "--variants", "float32"]
    with samples.narrow_embedders():
        assert commands.main(["export", *moved, *exported]) == 0, caplog.text
        assert (tmp_path / "out" / "converter_float32.tflite").is_file()
        assert "Verified on" in caplog.text
        capsys.readouterr()
        assert commands.main(["evaluate", *moved, "--json"]) == 0, caplog.text
    pairs = data.load_pairs(moved[-1], 32)["test"]
    assert json.loads(capsys.readouterr().out)["num_images"] == len(pairs)


def test_search_names_what_is_missing(small_run, photos, tmp_path, caplog):
    arguments = ["search", "--query", str(photos / "none.jpg"), "--index", str(tmp_path / "i")]
    assert commands.main([*arguments, "--embedder", str(tmp_path / "e.keras")]) == 1
    assert f"There is no embedder at {tmp_path / 'e.keras'}" in caplog.text
    assert commands.main([*arguments, "--embedder", str(small_run)]) == 1
    assert f"There is no product index at {tmp_path / 'i'}" in caplog.text


@pytest.mark.parametrize("name", tuple(reproduce.EXPERIMENTS))
def test_every_experiment_shows_its_own_options(name, capsys):
    with pytest.raises(SystemExit) as caught:
        commands.main(["reproduce", name, "--help"])
    assert caught.value.code == 0
    assert f"usage: pixdt reproduce {name} [-h]" in capsys.readouterr().out


def test_an_experiment_gets_its_options_and_tells_what_is_wrong_with_them(caplog, tmp_path):
    out = tmp_path / "out"
    assert commands.main(["reproduce", "kim2017-fig4", "--seeds", "0", "--out", str(out)]) == 1
    assert "`seeds` must be at least 1. Received: 0" in caplog.text
    assert not out.exists()
