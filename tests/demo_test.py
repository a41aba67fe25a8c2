import base64
import dataclasses
import io
import json
import pathlib
import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from export import verification
from keras_pixdt import atomic, commands, data, demo, search, serve
from keras_pixdt.training import run
from tests import processes, samples

pytestmark = pytest.mark.slow


IN_EVALUATE = """
import dataclasses
from keras_pixdt import presets
from keras_pixdt.training import run
narrow = dataclasses.replace(
    presets.get("flow-64"), width=1 / 32, discriminator_width=1 / 32, start=None
)
presets.get = {"flow-64": narrow}.__getitem__
run.Run.evaluate = lambda *_: interrupt()
"""


@pytest.fixture(scope="module")
def interrupted_demo(tmp_path_factory):
    """A demo on few products for a few seconds, with narrow networks, that Ctrl-C has ended."""
    workdir = tmp_path_factory.mktemp("demo")
    arguments = ["demo", "--workdir", str(workdir), "--minutes", "0.05", "--products", "48"]
    return workdir, arguments, processes.interrupted(arguments, IN_EVALUATE)


@pytest.fixture(scope="module")
def workdir(interrupted_demo):
    """The same after it has been continued."""
    workdir, arguments, _ = interrupted_demo
    trained = (workdir / "model.keras").stat().st_mtime_ns
    with samples.narrow_embedders():
        assert commands.main(arguments) == 0
    assert (workdir / "model.keras").stat().st_mtime_ns == trained
    return workdir


def test_an_interrupted_demo_tells_how_it_continues(interrupted_demo):
    workdir, arguments, ended = interrupted_demo
    assert ended.status == 130
    last = f"What is in {workdir} is whole. To continue: {shlex.join(['pixdt', *arguments])}"
    assert ended.stderr.splitlines()[-2:] == ["3/6 Scoring the test split", f"Interrupted. {last}"]


def test_another_run_is_not_continued(workdir, caplog, tmp_path):
    shutil.copy(workdir / "run.json", tmp_path)
    (tmp_path / "model.keras").touch()
    assert commands.main(["demo", "--workdir", str(tmp_path), "--products", "49"]) == 1
    assert f"{tmp_path} holds another run" in caplog.text
    assert "Received: tfds:lookbook/rendered64_flow_48" in caplog.text
    assert not (tmp_path / "tfds").exists()
    assert commands.main(["demo", "--workdir", str(workdir)]) == 1
    assert f"{workdir} holds a finished demo" in caplog.text


@pytest.fixture(scope="module")
def report(workdir):
    return (workdir / "report.html").read_text(encoding="utf-8")


def pictures(report):
    encoded = re.findall(r'src="data:image/png;base64,([^"]+)"', report)
    return [np.array(Image.open(io.BytesIO(base64.b64decode(content)))) for content in encoded]


def test_report_embeds_the_grids(workdir, report):
    embedded = pictures(report)
    for path in (workdir / "test_grid.png", sorted((workdir / "grids").iterdir())[-1]):
        expected = data.read_image(path)
        assert any(np.array_equal(expected, picture) for picture in embedded), path
    assert not re.search(r'(src|href)="(?!data:)', report)


def test_report_has_the_scores_the_files_and_the_commands(workdir, report):
    scores = json.loads((workdir / "evaluation.json").read_text())
    assert scores["all"]["gallery_size"] == 48 > scores["split"]["gallery_size"]
    assert f"{scores['split']['rmse']:.4f}" in report
    assert f"{scores['all']['recall@10']:.4f}" in report
    for name in ("converter_float32.tflite", "converter_dynamic.tflite"):
        assert name in report
        assert (workdir / "export" / name).stat().st_size > 10_000
    assert f"pixdt convert photo.jpg --model {workdir} --size 512" in report
    assert report.count("<svg") == 4


def test_exported_files_were_verified(workdir):
    exported = json.loads((workdir / "export" / "export.json").read_text())
    assert exported["verified_images"] > 0
    assert set(exported["variants"]) == {"float32", "dynamic"}
    assert exported["variants"]["float32"]["max_difference_levels"] < 0.0128


def test_products_were_indexed_for_the_page(workdir, report):
    index = search.ProductIndex.open(workdir / "products.index")
    assert len(index) == 48
    found = re.search(r"pixdt serve (--index .*--example .*)</pre>", report)
    options = commands._parser().parse_args(["serve", *found[1].split()])
    described = serve._describe(pathlib.Path(options.model))
    index.check_embedder(described.embedder)
    assert described.dimensions == index.dimensions
    assert pathlib.Path(options.example).is_file()


def test_photos_were_converted_with_the_tflite_file(workdir):
    photos = sorted(p.stem for p in (workdir / "photos").iterdir())
    assert photos == sorted(p.stem for p in (workdir / "converted").iterdir())
    assert 0 < len(photos) <= 8


def test_run_was_trained_on_the_data_that_tfds_built(workdir):
    finished = run.load_run(workdir)
    assert finished.data["data"].startswith("tfds:lookbook/rendered64")
    pairs = finished.pairs()
    assert sum(len(split.targets) for split in pairs.values()) == 48
    assert set(pairs) == {"train", "validation", "test"}


def test_what_tfds_built_trains_by_the_command_line_too(workdir, tmp_path):
    options = ["--data", "tfds:lookbook/rendered64_flow_48", "--data-dir", str(workdir / "tfds")]
    size = ["--epochs", "1", "--width", "0.03125", "--batch-size", "64"]
    assert (
        commands.main(
            ["train", "--preset", "demo", *options, *size, "--workdir", str(tmp_path / "run")]
        )
        == 0
    )
    loaded = run.load_run(tmp_path / "run")
    assert sum(len(pairs.targets) for pairs in loaded.pairs().values()) == 48


def test_a_refused_variant_does_not_cost_the_rest(small_run, tmp_path, monkeypatch):
    strict = dataclasses.replace(
        verification.VARIANTS["dynamic"], least=verification.Floor(psnr_min_db=200.0)
    )
    monkeypatch.setitem(verification.VARIANTS, "dynamic", strict)
    exported, refused = demo._export(run.load_run(small_run), tmp_path / "export")
    assert "psnr_min_db 200" in refused
    assert set(exported["variants"]) == {"float32"}
    assert demo._smallest(exported) == "converter_float32.tflite"
    assert not (tmp_path / "export" / "converter_dynamic.tflite").exists()


def test_a_second_demo_in_a_folder_is_refused_before_any_work(tmp_path):
    with atomic.locked(tmp_path / "demo" / ".demo.lock"):
        with pytest.raises(BlockingIOError, match=r"demo: another demo writes there \(process"):
            demo.run_demo(tmp_path / "demo")
    assert not list(tmp_path.iterdir())
