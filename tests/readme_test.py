"""Every command and every Python block of the README and of the pages works as it is printed.

What takes minutes is run smaller, or up to the call that would take them: a wrong flag, name or
file fails all the same.
"""

import dataclasses
import functools
import importlib
import inspect
import json
import os
import pathlib
import re
import runpy
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_pixdt import commands, data, presets, reproduce
from keras_pixdt.judges import upscaler
from keras_pixdt.reproduce import digits
from keras_pixdt.reproduce.result import Result
from keras_pixdt.training import run, trainer
from tests import commands_test, samples
from tests.study import studies

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in (
        "README.md",
        *(
            f"docs/{page}.md"
            for page in (
                "train", "data", "appearance-flow", "export", "search", "unpaired", "distribute",
                "tfds", "papers", "measured",
                "reproduce", "architecture", "deviations", "add-a-paper", "share",
            )
        ),
    )
}  # fmt: skip
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# What makes the quickstart small: each text must be in it.
SMALLER = {
    "num_products=200": "num_products=44",
    "width=0.25": "width=0.03125",
    "epochs=2": "epochs=1",
}


def blocks(language):
    # docs/add_a_paper_test.py runs the blocks of that page.
    text = "\n".join(page for name, page in PAGES.items() if name != "docs/add-a-paper.md")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("bash") for line in block.splitlines() if line]
PYTHON = blocks("python")
RUN = []  # blocks that a test runs


def block(line):
    """The Python block with a line."""
    (found,) = [each for each in PYTHON if line in each.splitlines()]
    RUN.append(found)
    return found


QUICKSTART = block("from keras_pixdt import PixelDTGAN, data, metrics")
LOAD_RUN = block('scores = run.evaluate("test", gallery="all")')
STORED = block("pairs.sources[[3, 1, 4]]  # decoded when they are indexed")
TFLITE = block("vector = convert.embed(convert(photo))")
SEARCH = block("ids, scores = index.search(query[0], k=10)")
DEVICES = block('distribution = devices.start("mirrored", "mixed_bfloat16")')
TFDS = block('train = tfds.load("lookbook/rendered64", split="train", as_supervised=True)')
SHARE = block('keras_pixdt.upload_preset("hf://user/my-preset", "my-preset")')


def smaller_quickstart():
    code = QUICKSTART
    for old, new in SMALLER.items():
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    return code


@pytest.fixture
def folder(small_lookbook, small_run, tmp_path, monkeypatch):
    """The current folder of a reader: LookBook, photos, and a run that was trained and exported."""
    shutil.copytree(small_run, tmp_path / "runs" / "lookbook")
    for name in ("LookBook", "VITON-HD", "DressCode"):
        (tmp_path / name).symlink_to(small_lookbook)
    (tmp_path / "holiday").mkdir()
    for name in (
        "photos/dress",
        "photos/t-shirt",
        "photos/shoes",
        "faces",
        "emoji",
        "others",
        "street",
        "catalogue",
        "shop",
    ):
        (tmp_path / name).mkdir(parents=True)
    for name in ("photo_digits.npz", "mnist.npz", "f.keras", "shop/pairs.csv"):
        (tmp_path / name).touch()
    for name in ("anna", "bert"):
        (tmp_path / name).mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (60, 40, 3)).astype(np.uint8)
    for name in (
        "photo.jpg",
        "holiday/beach.png",
        "anna/1.png",
        "anna/2.png",
        "bert/1.png",
        "catalogue/1.png",
    ):
        Image.fromarray(pixels).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Commands


def from_make(target):
    """The commands that a target stands for, whatever is built already."""
    command = ["make", "--dry-run", "--always-make", target]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return answer.stdout.replace("--quiet ", "").splitlines()


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make on this machine")
def test_make_targets_are_the_plain_commands_beside_them():
    targets = [line.removeprefix("make ") for line in COMMANDS if line.startswith("make ")]
    assert set(targets) == {"demo", "test"}
    stand_for = [line for target in targets for line in from_make(target)]
    plain = [line for line in COMMANDS if line.startswith((".venv/bin/", "python3 "))]
    assert len(plain) == 4
    for line in plain:
        assert line in stand_for


def record(monkeypatch, target, answer=None):
    """Puts a recorder instead of a function; it takes what the function takes."""
    module, _, name = target.rpartition(".")
    real = getattr(sys.modules[module], name)
    calls = []

    def recorder(*args, **kwargs):
        bound = inspect.signature(real).bind(*args, **kwargs)
        bound.apply_defaults()
        calls.append(bound.arguments)
        return answer or run.Run(pathlib.Path("runs"), presets.get("demo"), {}, 0, None)

    monkeypatch.setattr(target, recorder)
    return calls


def test_commands_run(folder, monkeypatch, capsys, caplog):
    import keras_pixdt.demo
    import keras_pixdt.serve  # noqa: F401

    run_with_f(folder / "runs" / "emoji", monkeypatch)
    flow = dataclasses.replace(
        presets.get("flow-64"),
        image_size=16,
        photo_size=32,
        width=1 / 64,
        batch_size=100,
        start=None,
    )
    with samples.eagerly():
        trainer.train(flow, "LookBook", folder / "runs" / "flow", epochs=1, verbose=0)
    trained = record(monkeypatch, "keras_pixdt.training.trainer.train")
    # It would change this process for all tests; a script below calls it.
    started = record(monkeypatch, "keras_pixdt.training.devices.start")
    shown = record(monkeypatch, "keras_pixdt.demo.run_demo")
    served = record(monkeypatch, "keras_pixdt.serve.serve")
    for name in ("a", "b"):
        shutil.copytree(folder / "runs" / "lookbook", folder / "runs" / name)
    lines = [
        shlex.split(line.removeprefix(".venv/bin/"))
        for line in COMMANDS
        if re.match(r"(\.venv/bin/)?pixdt (?!reproduce)", line)
    ]
    assert {line[1] for line in lines} == {*commands_test.COMMANDS} - {"reproduce"}
    for _, *arguments in lines:
        if arguments[:2] == ["study", "score"]:
            made = {
                "key": "study.key.json",
                **json.loads(pathlib.Path("study.key.json").read_text()),
            }
            of_photo = {name: {"realistic": 1} for name in made["methods"].values()}
            for rater in ("1", "2"):
                studies.answers(made, folder, rater, [of_photo, None])
        assert commands.main(arguments) == 0, (arguments, caplog.text)
    for call in trained:
        name = call["preset"].name
        dtype = call["preset"].dtype
        given = {"start": call["preset"].start}
        assert given["start"] in (presets.get(name).start, "runs/longer")
        if (size := call["preset"].image_size) == (256, 192):
            given |= {"image_size": size, "photo_size": (512, 384)}
        if f := getattr(call["preset"], "function", None):
            assert pathlib.Path(f).is_file()
            given["function"] = f
        assert call["preset"] == dataclasses.replace(presets.get(name), dtype=dtype, **given)
        assert_data_exists(call["data"])
        options = {k: v for k, v in (call["data_options"] or {}).items() if v is not None}
        assert_data_exists(options.pop("target_data", call["data"]))
        assert options in ({}, {"edges": True}, {"layout": "dress_code"}, {"data_dir": "built/"})
    assert {call["preset"].name for call in trained} == {
        "demo", "flow-64", "flow-256", "yoo2016", "kim2017-small", "taigman2017",
        "taigman2017-small", "taigman2017-faces",
    }  # fmt: skip
    assert [call["workdir"] for call in shown] == ["runs/demo"]
    assert ("mirrored", "mixed_bfloat16") in [(c["strategy"], c["precision"]) for c in started]
    for name, size in (("large/photo", 512), ("products/photo", 32), ("products/beach", 32)):
        assert data.read_image(folder / f"{name}.png").shape == (size, size, 3)
    assert (folder / "runs/lookbook/export/converter_float32.tflite").is_file()
    assert "photo.jpg" in (folder / "results.html").read_text()
    for call in served:
        assert pathlib.Path(call["index"]).is_file() and pathlib.Path(call["model"]).is_file()
    for name in ("anna.png", "bert.png"):
        assert data.read_image(folder / "drawn" / name).shape == (32, 32, 3)


def run_with_f(workdir, monkeypatch):
    """A run of a Domain Transfer Network, and of what enlarges its images, for a moment."""
    from keras_pixdt.models.domain_transfer_networks import build_function

    build_function(16, 1 / 32).save(workdir.parent / "f.keras")
    preset = dataclasses.replace(
        presets.get("taigman2017"),
        image_size=16, width=1 / 32, batch_size=100, function=str(workdir.parent / "f.keras"),
    )  # fmt: skip
    with samples.eagerly():
        trainer.train(preset, "LookBook", workdir, epochs=1, verbose=0)
    upscale = functools.partial(upscaler.train_upscaler, steps=2, width=1 / 16)
    monkeypatch.setattr(upscaler, "train_upscaler", upscale)


def assert_data_exists(name):
    if name.startswith("tfds:lookbook/"):
        import tfds_lookbook

        assert name.removeprefix("tfds:lookbook/") in tfds_lookbook.Builder.builder_configs
    elif name.startswith("tfds:"):
        assert name in ("tfds:svhn_cropped", "tfds:mnist")  # of TFDS' own catalogue
    else:
        assert pathlib.Path(name).exists()


REPRODUCE = [
    *(line for line in COMMANDS if line.startswith("pixdt reproduce ")),
    *(f"pixdt reproduce {name} {given}" for name, given in reproduce.PAPERS_DATA.items()),
]


@pytest.mark.parametrize("line", [line for line in REPRODUCE if " reproduce all " in line])
def test_all_experiments_take_the_commands(line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = {}
    monkeypatch.setattr(reproduce, "main", given.__setitem__)
    assert commands.main(shlex.split(line)[1:]) == 0
    assert (tmp_path / "runs" / "reproduce" / "all.html").exists()
    assert given and all(argv[:2] == ["--budget", "cpu"] for argv in given.values())
    if "--only" not in line:
        assert list(given) == list(reproduce.EXPERIMENTS)
    else:
        assert all("LookBook/" in argv for argv in given.values())


@pytest.mark.parametrize("line", [line for line in REPRODUCE if " reproduce all " not in line])
def test_experiments_take_the_commands(line, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    name = shlex.split(line)[2]
    if name == "list":
        assert commands.main(shlex.split(line)[1:]) == 0
        listed = [row.split()[0] for row in capsys.readouterr().out.splitlines()]
        assert listed == list(reproduce.EXPERIMENTS)
        return
    answer = Result(name, "A table", [], [])
    monkeypatch.setattr(digits, "load", lambda *names, **_: digits.draw((2, 2, 2, 2)))
    if name.startswith(("yoo", "geli", "kwon", "flow")):
        run = "paired.run_table"
    else:
        run = {
            "kim2017-fig4": "points.run",
            "kim2017-fig1": "products.fig1",
            "kim2017-fig7": "hair.fig7",
            "kim2017-fig9": "products.fig9",
            "taigman2017-table1": "domain_transfer.table1",
            "taigman2017-table2": "domain_transfer.table2",
            "taigman2017-table3": "domain_transfer.table3",
            "taigman2017-table4": "faces.run_workdir",
            "taigman2017-fig8": "basis.run_workdir" if "--workdir" in line else "basis.run",
            "taigman2017-avatars": "avatars.run",
            "taigman2017-style": "style.run",
        }[name]
    importlib.import_module(f"keras_pixdt.reproduce.{run.partition('.')[0]}")
    calls = record(monkeypatch, f"keras_pixdt.reproduce.{run}", answer)
    assert commands.main(shlex.split(line)[1:]) == 0
    (call,) = calls
    out = call["experiment"].out if "experiment" in call else call["out"]
    assert str(out) == "runs/reproduce"


def test_tfds_commands_are_what_tfds_takes(folder, monkeypatch):
    pytest.importorskip("mlcroissant")
    pytest.importorskip("apache_beam")
    from apache_beam.options.pipeline_options import PipelineOptions
    from tensorflow_datasets.scripts.cli import main as tfds_command

    import tfds_lookbook

    lines = [line for line in COMMANDS if "tfds build" in line]
    assert len(lines) == 5
    for line in lines:
        place, _, command = line.rpartition(" && ")
        if place:
            assert (ROOT / place.removeprefix("cd ") / "lookbook").is_dir()
        options = tfds_command._parse_flags(shlex.split(command)).command
        assert options.positional_datasets == ["lookbook"]
        generation = options.generation
        if generation.config:
            assert generation.config in tfds_lookbook.Builder.builder_configs
            assert pathlib.Path(options.paths.manual_dir).is_dir()
        assert place or generation.imports == "tfds_lookbook"
    table = re.findall(r"`(runner=\S+)`", PAGES["docs/data.md"])
    given = [line.partition("--beam_pipeline_options=")[2] for line in lines]
    assert [flags for flags in given if flags] == [table[1]]
    for flags in table:
        names = {flag.partition("=")[0] for flag in flags.split(",")}
        options = PipelineOptions([f"--{flag}" for flag in flags.split(",")])
        assert names <= set(options.get_all_options(drop_default=True))


def test_no_command_is_left_out():
    """The tests above go by how a line begins."""
    known = (
        "make ",
        "python3 -m venv ",
        ".venv/bin/",
        "pixdt ",
        "tfds ",
        "cd tfds_lookbook && tfds ",
    )
    for line in COMMANDS:
        example = line.startswith("python examples/") and ROOT / line.split()[1] in EXAMPLES
        assert example or line.startswith(known), line


# Python


def test_quickstart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len([line for line in QUICKSTART.splitlines() if line]) == 10
    names = {}
    exec(smaller_quickstart(), names)
    assert names["drawn"].shape == names["pairs"]["test"].sources.shape
    assert data.read_image("drawn.png").shape[1] == 2 * 64 + 2


def test_load_run(folder):
    names = {}
    exec(LOAD_RUN, names)
    assert names["scores"]["gallery"] == "all"
    assert names["product"].shape == (32, 32, 3) and names["product"].dtype == np.uint8


def test_load_tflite(folder):
    assert commands.main(["export", "--workdir", "runs/lookbook"]) == 0
    exec(TFLITE, {})
    assert data.read_image("product.png").shape == (32, 32, 3)


def test_search(folder):
    index = "pixdt index catalogue/ --embedder runs/lookbook --out catalogue.index"
    assert index in COMMANDS
    assert commands.main(shlex.split(index)[1:]) == 0
    names = {}
    convert = "pixdt convert photo.jpg holiday/ --model runs/lookbook --out products"
    assert convert in COMMANDS and commands.main(shlex.split(convert)[1:]) == 0
    exec(SEARCH, names)
    assert names["ids"] == ["1.png"] and names["scores"].shape == (1,)


def test_tfds_load(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    import tfds_lookbook

    real = tfds.load
    monkeypatch.setattr(
        tfds, "load", lambda *args, **kwargs: real(*args, data_dir=str(tmp_path), **kwargs)
    )
    config = tfds_lookbook.Builder.builder_configs["rendered64"]
    monkeypatch.setattr(config, "num_products", 44)
    names = {}
    exec(TFDS, names)
    source, target = next(iter(tfds.as_numpy(names["train"])))
    assert source.shape == target.shape == (64, 64, 3)


def test_sets_larger_than_the_memory(folder):
    import tensorflow_datasets as tfds

    import tfds_lookbook

    builder = tfds_lookbook.Builder(config="pairs256", data_dir="built", file_format="array_record")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir="LookBook")
    )
    names = {}
    exec(STORED, names)
    assert names["pairs"].sources[[3, 1, 4]].shape == (3, 256, 256, 3)


def test_share_a_preset(folder, monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    uploaded = []
    repository = huggingface_hub.RepoUrl("https://huggingface.co/user/my-preset")
    monkeypatch.setattr(huggingface_hub, "create_repo", lambda *_, **__: repository)
    monkeypatch.setattr(
        huggingface_hub, "upload_folder", lambda **options: uploaded.append(options["folder_path"])
    )
    names = {}
    exec(SHARE, names)
    assert uploaded == [pathlib.Path("my-preset")]
    assert names["product"].shape == (32, 32, 3)


def test_no_block_is_left_out():
    assert sorted(RUN) == sorted(PYTHON)


@pytest.mark.slow
def test_two_lines_for_any_device(tmp_path):
    code = DEVICES
    for old, new in {**SMALLER, "batch_size=128": "batch_size=8"}.items():
        code = code.replace(old, new)
    code = "".join(f"    {line}\n" for line in code.splitlines())
    script = tmp_path / "script.py"
    script.write_text(
        f'if __name__ == "__main__":\n{code}    print(distribution.replicas, model.compute_dtype)'
    )
    assert "1 bfloat16" in run_script([script], tmp_path)


@pytest.mark.slow
def test_quickstart_on_jax_without_tensorflow(tmp_path):
    pytest.importorskip("jax")
    without_tensorflow = """
import sys
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "tensorflow_datasets", "tensorboard"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NotInstalled())
"""
    code = "".join(f"    {line}\n" for line in smaller_quickstart().splitlines())
    script = tmp_path / "script.py"
    script.write_text(f'{without_tensorflow}\nif __name__ == "__main__":\n{code}')
    run_script([script], tmp_path, KERAS_BACKEND="jax")
    assert (tmp_path / "drawn.png").is_file()


load_pairs = functools.cache(data.load_pairs)  # draws once for all examples


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example, tmp_path, monkeypatch):
    if example.stem == "multi_worker":
        printed = run_script([example, "--products", "24"], tmp_path)
        scores = re.findall(r"^worker (\d):.*val_rmse: ([\d.]+)", printed, re.MULTILINE)
        first, second = ([score for w, score in scores if w == worker] for worker in "01")
        assert first == second and float(first[-1]) < float(first[0]) < 1, printed
        return
    smaller = "--products 20 --epochs 1 --width 0.0625".split()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(example), *smaller])
    # Seven pairs of a product; the rough-to-detail GAN has batches of 60.
    products = 10 if example.stem == "rough_to_detail" else 3

    def load_few(*arguments, **options):
        pairs = load_pairs(*arguments, **options)
        return {**pairs, "train": pairs["train"].select(np.arange(products))}

    monkeypatch.setattr(data, "load_pairs", load_few)
    with samples.eagerly():
        runpy.run_path(str(example), run_name="__main__")
    (picture,) = tmp_path.glob("*.png")
    assert data.read_image(picture).std() > 10


def run_script(command, cwd, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    answer = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    return answer.stdout


# Text


def test_the_readme_is_one_page_and_leads_to_all_others():
    assert len(PAGES["README.md"].splitlines()) <= 200
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} == set(PAGES) - {
        "README.md"
    }
    for name in set(PAGES) - {"README.md"}:
        assert f"]({name})" in PAGES["README.md"], name


@pytest.mark.parametrize("name", PAGES)
def test_files_that_the_text_links_to_exist(name):
    text = re.sub(r"^```.*?^```", "", PAGES[name], flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\((?!https:)([^)#]+)\)", text):
        assert ((ROOT / name).parent / link).exists(), link


def test_all_presets_are_in_the_table():
    table = PAGES["docs/papers.md"].split("| paper | file | preset |")[1].split("\n\n")[0]
    table = re.findall(r"^\|[^|]*\|[^|]*\| `([\w-]+)` \|", table, re.MULTILINE)
    assert table == presets.names()


def test_every_figure_is_filled_in():
    assert not re.findall(r"@[A-Z0-9_]+@", "".join(PAGES.values()))
