import gc
import os
import pathlib
import random
import shutil
import sys

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# The kernels that `pixdt` uses, on CPUs where TensorFlow does not choose them by itself as well.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # else as many threads as cores, in each of the workers
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

MOST_COMPILED_BYTES = 256 * 2**20  # one run of all tests makes some 20 MB


def pytest_configure(config):
    config.option.loadscopereorder = False  # pytest-xdist: files in the order of the items
    if hasattr(config, "cache"):  # not with `-p no:cacheprovider`
        keep_compiled(config.cache.mkdir("jax"), first=not hasattr(config, "workerinput"))


def keep_compiled(folder, first):
    """Makes JAX, here and in child processes, keep what it compiles for the next run of the tests.

    JAX looks a program up by its content, its compile options and its versions, so a change of the
    code compiles anew. `pytest --cache-clear` empties the folder.
    """
    if first and sum(path.stat().st_size for path in folder.iterdir()) > MOST_COMPILED_BYTES:
        shutil.rmtree(folder)  # of code that is no longer there
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")


def pytest_collection_finish():
    """Spares every test what would be the same in all of them."""
    gc.collect()
    gc.freeze()  # TensorFlow collects garbage in each conversion: not among all that is imported
    if "export.performance" in sys.modules:  # no test measures time
        sys.modules["export.performance"]._ROUNDS = 1


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that no process is left alone with one of them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(tryfirst=True)  # fixtures compile too
def pytest_runtest_setup(item):
    """Grappler, which rewrites graphs, runs only where numbers that users get are compared.

    Networks of tests take a few steps, so rewriting a graph takes longer than it saves. Users have
    Grappler. So have tests with the mark `grappler`, whose numbers are to be those of users, and
    the processes that tests start.
    """
    if "tensorflow" in sys.modules:
        off = item.get_closest_marker("grappler") is None
        optimizer = sys.modules["tensorflow"].config.optimizer
        if optimizer.get_experimental_options().get("disable_meta_optimizer", False) != off:
            optimizer.set_experimental_options({"disable_meta_optimizer": off})


@pytest.fixture(autouse=True)
def fixed_seed():
    """Every test starts from the same random state, whichever tests ran before it."""
    random.seed(0)
    np.random.seed(0)
    if "keras" in sys.modules:  # else nothing draws from it
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture
def eager():
    """Nothing is compiled; see `tests.samples.eagerly`."""
    from tests.samples import eagerly

    with eagerly():
        yield


@pytest.fixture
def few_blocks(monkeypatch):
    """Converters of residual blocks have five in each half instead of 16: two in one stage.

    For tests whose subject is not what these converters are.
    """
    from keras_pixdt.models import residual_pixel_dtgan

    for name in ("BOTTLENECKS", "BASIC_BLOCKS"):
        assert len(getattr(residual_pixel_dtgan, name)) == 4
        monkeypatch.setattr(residual_pixel_dtgan, name, (2, 1, 1, 1))


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real photographs, which stands beside the repository."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data is not on this machine: there is no folder {folder}")
    return folder


@pytest.fixture(scope="session")
def small_lookbook(tmp_path_factory):
    """A folder with LookBook's file names: 44 rendered products, 2 of them in the test split."""
    from keras_pixdt.drawn import rendered

    folder = tmp_path_factory.mktemp("lookbook")
    rendered.write_lookbook(folder, 44, image_size=32, processes=1)
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A folder in which TFDS has prepared drawings, as array_record and as tfrecord.

    In `array_record/` and `tfrecord/` are `lookbook/tiny`, PNG of 32 px with photos of 64 px, masks
    and flows; in the first also `lookbook/tiny_jpeg`, of 96 px. Tests only read them.
    """
    import tensorflow_datasets as tfds

    import tfds_lookbook
    from keras_pixdt.data.readers import pair_table

    folder = tmp_path_factory.mktemp("prepared")
    drawn = {"num_products": 12, "seed": 5}
    tiny = tfds_lookbook.LookBookConfig(
        name="tiny", image_size=32, photo_size=64, truth=True, **drawn
    )
    jpeg = tfds_lookbook.LookBookConfig(name="tiny_jpeg", image_size=96, **drawn)
    for form, config in (("array_record", tiny), ("array_record", jpeg), ("tfrecord", tiny)):
        builder = tfds_lookbook.Builder(data_dir=folder / form, config=config, file_format=form)
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                compute_stats=tfds.download.ComputeStatsMode.SKIP
            )
        )
        for split in builder.info.splits if form == "array_record" else ():
            skip = {name: tfds.decode.SkipDecoding() for name in ("source", "target")}
            examples = builder.as_data_source(split, decoders=skip)
            pair_table.write(builder.data_dir, split, examples)
    return folder


@pytest.fixture(scope="session")
def small_run(small_lookbook, tmp_path_factory):
    """The folder of a finished run on it, made by the command. Tests only read it."""
    from keras_pixdt import commands
    from keras_pixdt.training import run
    from tests import samples

    workdir = tmp_path_factory.mktemp("runs") / "small"
    arguments = ["train", "--data", str(small_lookbook), "--workdir", str(workdir)]
    arguments += ["--preset", "demo"]
    arguments += ["--image-size", "32", "--width", "0.03125", "--batch-size", "8", "--epochs", "1"]
    assert commands.main(arguments) == 0
    with samples.narrow_embedders():
        made = run.load_run(workdir)
        made.embedder()
        made.search_embedder()
    return workdir


@pytest.fixture(scope="module")
def browser():
    """Chromium. Tests that take it have the marks of `tests.browser`."""
    from tests.browser import launched

    with launched() as browser:
        yield browser
