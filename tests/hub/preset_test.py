"""Presets as folders: their files, their cards, and the way to Hugging Face and back."""

import json
import pathlib
import shutil
import sys
import zipfile

import huggingface_hub
import keras
import numpy as np
import pytest
import yaml

import keras_pixdt
from keras_pixdt import commands, search
from keras_pixdt.hub import preset
from tests import samples

SCORES = {
    "rmse": 0.1234,
    "recall@1": 0.25,
    "fid": None,
    "num_images": 12,
    "split": "test",
    "gallery": "all",
    "notes": {"fid": "too few"},
    "standard_errors": {"rmse": 0.0123},
    "embedder": "trained",
}
FILES = {"README.md", "embedder.keras", "model.keras", "run.json", "search_embedder.keras"}


@pytest.fixture(scope="module")
def run(small_run):
    return keras_pixdt.load_run(small_run)


@pytest.fixture(scope="module")
def saved(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "my-preset"
    options = {"licence": "cc-by-4.0", "scores": SCORES, "limits": "Hats are not known."}
    assert keras_pixdt.save_preset(run, folder, **options) == folder
    return folder


def card_of(folder):
    """The YAML of a model card, and its text."""
    _, front, text = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


# Saving and loading


def test_a_preset_draws_and_embeds_as_its_run(run, saved):
    assert {path.name for path in saved.iterdir()} == FILES
    loaded = keras_pixdt.load_preset(saved)
    assert (loaded.preset, loaded.seed) == (run.preset, run.seed)
    photos = samples.images(3, 32)
    np.testing.assert_array_equal(loaded.convert(photos), run.convert(photos))
    assert search.fingerprint(loaded.search_embedder()) == search.fingerprint(run.search_embedder())
    again = keras_pixdt.load_run(saved)  # it is a part of a run's folder
    np.testing.assert_array_equal(again.convert(photos), run.convert(photos))


def test_a_preset_has_no_optimizer(run, saved):
    with zipfile.ZipFile(saved / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    assert not config.get("compile_config")
    sizes = [(folder / "model.keras").stat().st_size for folder in (saved, run.workdir)]
    assert sizes[0] < 0.6 * sizes[1]
    assert not keras_pixdt.load_preset(saved).model.compiled


def test_a_preset_names_no_place_on_this_machine(saved, small_lookbook, run):
    assert run.data["data"] == str(small_lookbook)
    options = json.loads((saved / "run.json").read_text("utf-8"))
    assert options["data"] == {"data": small_lookbook.name}
    private = {str(small_lookbook.parent), str(pathlib.Path.cwd()), str(pathlib.Path.home()) + "/"}
    texts = [path.read_bytes() for path in saved.iterdir() if path.suffix != ".keras"]
    for path in saved.glob("*.keras"):
        with zipfile.ZipFile(path) as archive:
            texts += [archive.read(name) for name in archive.namelist()]
    assert not [word for word in private for text in texts if word.encode() in text]


def test_paths_become_names_wherever_they_stand():
    options = {
        "preset": {"start": "/home/me/runs/first", "width": 0.5},
        "data": ["/data/a", "tfds:b"],
    }
    expected = {"preset": {"start": "first", "width": 0.5}, "data": ["a", "tfds:b"]}
    assert preset._without_places(options) == expected


def test_an_exported_file_and_an_upscaler_come_along(run, small_run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(small_run, copy)
    (copy / "export").mkdir()
    (copy / "export" / "converter_dynamic.tflite").write_bytes(b"exported")
    (copy / "upscaler_x2.keras").write_bytes(b"upscaler")
    folder = keras_pixdt.save_preset(copy, tmp_path / "saved")  # a run's folder is taken too
    assert (folder / "converter_dynamic.tflite").read_bytes() == b"exported"
    assert (folder / "upscaler_x2.keras").read_bytes() == b"upscaler"
    assert "`converter_dynamic.tflite`" in card_of(folder)[1]


@pytest.mark.parametrize("name", ["run.json", "notes.txt"])
def test_saving_replaces_nothing(run, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match="new or an empty folder.*Received"):
        keras_pixdt.save_preset(run, tmp_path)
    with pytest.raises(ValueError, match="new or an empty folder"):
        keras_pixdt.save_preset(run, tmp_path / name)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "mine"}


def test_saving_writes_all_files_or_none(run, tmp_path, monkeypatch):
    monkeypatch.setattr(preset.card, "write", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        keras_pixdt.save_preset(run, tmp_path / "saved")
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_preset_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} holds no finished run"):
        keras_pixdt.load_preset(tmp_path)


def test_code_in_a_preset_is_refused(saved, tmp_path):
    folder = tmp_path / "foreign"
    shutil.copytree(saved, folder)
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, keras.layers.Lambda(lambda x: x)(image))
    for name in ("model.keras", "search_embedder.keras"):
        model.save(folder / name)
    with pytest.raises(ValueError, match="(?i)safe_mode|unsafe"):
        keras_pixdt.load_preset(folder)
    with pytest.raises(ValueError, match="(?i)safe_mode|unsafe"):
        commands.shared.open_embedder(str(folder))


# The card


def test_a_card_is_one_of_hugging_face(saved):
    front, text = card_of(saved)
    loaded = huggingface_hub.ModelCard.load(saved / "README.md")
    assert loaded.data.license == "cc-by-4.0" == front["license"]
    assert (loaded.data.library_name, loaded.data.pipeline_tag) == ("keras", "image-to-image")
    assert "keras-pixdt" in loaded.data.tags
    results = loaded.data.eval_results
    assert {(r.metric_type, r.metric_value) for r in results} == {
        ("rmse", 0.1234),
        ("recall@1", 0.25),
    }
    assert {(r.dataset_name, r.dataset_split) for r in results} == {("lookbook0", "test")}
    assert loaded.data.model_name == "my-preset"
    for words in ("`demo`", "lookbook0", "0.1234 ± 0.0123", "Hats are not known.", "PixelDTGAN"):
        assert words in text
    assert 'load_preset("my-preset")' in text


def test_a_card_invents_no_scores_and_no_licence(run, tmp_path):
    front, text = card_of(keras_pixdt.save_preset(run, tmp_path / "plain"))
    assert "model-index" not in front and front["license"] == "unknown"
    assert "None were given" in text and "Not chosen yet" in text


@pytest.mark.parametrize("licence", ["", "Apache 2.0", "CC-BY-4.0", "a\nb"])
def test_a_licence_is_an_identifier(run, tmp_path, licence):
    with pytest.raises(ValueError, match="`licence` must be .*apache-2.0.*Received"):
        keras_pixdt.save_preset(run, tmp_path / "saved", licence=licence)
    assert not list(tmp_path.iterdir())


# Hugging Face


@pytest.fixture
def offline_cache(saved, tmp_path, monkeypatch):
    """The cache of huggingface_hub, which has the preset as user/name, and no network."""
    cache = tmp_path / "cache"
    repository = cache / "models--user--name"
    snapshot = repository / "snapshots" / ("a" * 40)
    shutil.copytree(saved, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    download = huggingface_hub.snapshot_download

    def from_cache(*arguments, **options):  # the default was read at import
        return download(*arguments, cache_dir=cache, **options)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", from_cache)
    return snapshot


def test_a_downloaded_preset_opens_offline(run, offline_cache):
    photos = samples.images(2, 32)
    loaded = keras_pixdt.load_preset("hf://user/name")
    assert loaded.workdir.resolve() == offline_cache.resolve()
    np.testing.assert_array_equal(loaded.convert(photos), run.convert(photos))


def test_commands_take_a_preset_of_hugging_face(small_run, offline_cache, tmp_path):
    from PIL import Image

    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)).save(photo)
    for model, out in (("hf://user/name", "theirs"), (str(small_run), "ours")):
        arguments = [str(photo), "--model", model, "--out", str(tmp_path / out)]
        assert commands.main(["convert", *arguments]) == 0
        arguments = ["--embedder", model, "--out", str(tmp_path / f"{out}.index")]
        assert commands.main(["index", str(tmp_path / out), *arguments]) == 0
    theirs, ours = (np.array(Image.open(tmp_path / f"{n}/photo.png")) for n in ("theirs", "ours"))
    np.testing.assert_array_equal(theirs, ours)
    indices = [search.ProductIndex.open(tmp_path / f"{name}.index") for name in ("theirs", "ours")]
    assert indices[0].embedder == indices[1].embedder


@pytest.mark.parametrize("name", ["hf://user/other", "hf://user/name/more", "hf://"])
def test_what_is_not_on_hugging_face_is_named_in_one_line(offline_cache, name, caplog, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{name} cannot be opened.*hf://USER/NAME"):
        keras_pixdt.load_preset(name)
    arguments = ["a.png", "--model", name, "--out", str(tmp_path / "out")]
    assert commands.main(["convert", *arguments]) == 1
    message = caplog.records[-1].getMessage()
    assert message.startswith(f"{name} cannot be opened") and "\n" not in message


def test_the_missing_extra_is_named_in_one_line(monkeypatch, caplog, saved, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r'pip install "keras-pixdt\[hub\]"'):
        keras_pixdt.load_preset("hf://user/name")
    with pytest.raises(ImportError, match=r'pip install "keras-pixdt\[hub\]"'):
        keras_pixdt.upload_preset("hf://user/name", saved)
    for command in (
        ["convert", "a.png", "--model"],
        ["evaluate", "--workdir"],
        ["serve", "--model"],
    ):
        assert commands.main([*command, "hf://user/name"]) == 1
        assert "huggingface_hub, which is not installed" in caplog.records[-1].getMessage()


def test_only_a_presets_files_are_uploaded(saved, tmp_path, monkeypatch):
    folder, hub = tmp_path / "saved", tmp_path / "hub"
    shutil.copytree(saved, folder)
    (folder / "notes.txt").write_text("private")
    made = []

    def create_repo(repo_id, exist_ok):
        made.append((repo_id, exist_ok))
        return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

    def upload_folder(*, repo_id, folder_path, allow_patterns, commit_message):
        names = (p.name for p in folder_path.iterdir())
        hub.mkdir()
        for name in huggingface_hub.utils.filter_repo_objects(names, allow_patterns=allow_patterns):
            shutil.copy(folder_path / name, hub)

    monkeypatch.setattr(huggingface_hub, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub, "upload_folder", upload_folder)
    keras_pixdt.upload_preset("hf://user/name", folder)
    assert made == [("user/name", True)]
    assert {path.name for path in hub.iterdir()} == FILES
    keras_pixdt.load_preset(hub)


def test_what_is_no_preset_is_not_uploaded(saved, small_run, tmp_path):
    with pytest.raises(FileNotFoundError, match="README.md is missing.*save_preset"):
        keras_pixdt.upload_preset("hf://user/name", small_run)
    copy = tmp_path / "run"
    shutil.copytree(saved, copy)
    shutil.copy(small_run / "run.json", copy)
    with pytest.raises(ValueError, match="names folders of this machine.*save_preset"):
        keras_pixdt.upload_preset("hf://user/name", copy)
    with pytest.raises(ValueError, match="must be hf://USER/NAME. Received: 'user/name'"):
        keras_pixdt.upload_preset("user/name", saved)
