"""Training on JAX in an environment without TensorFlow, and its agreement with TensorFlow."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pixdt.data.images import to_float
from keras_pixdt.metrics.perceptual import DISTS, LPIPS
from keras_pixdt.models.pixel_dtgan import PixelDTGAN
from tests.golden.perceptual import make_golden

ROOT = pathlib.Path(__file__).resolve().parents[1]
SIZE = 32
BATCH = 4
STEPS = 3
MODEL = {"image_size": SIZE, "width": 1 / 16, "l1_weight": 0.5}

SCRIPT = """
import sys
for name in ("tensorflow", "tensorflow_datasets"):
    sys.modules[name] = None  # as if it were not installed

import json
import pathlib

import keras
import numpy as np

import keras_pixdt
from keras_pixdt import data, metrics
from keras_pixdt.metrics.perceptual import DISTS, LPIPS
from tests.golden.perceptual import make_golden

folder = pathlib.Path(sys.argv[1])
arguments, batch_size, steps = json.loads(sys.argv[2])
keras.utils.set_random_seed(0)
model = keras_pixdt.PixelDTGAN(**arguments)
model.compile(
    keras.optimizers.SGD(0.05, momentum=0.5),
    metrics=[metrics.RootMeanSquaredError(), metrics.SSIM(), metrics.ColorSSIM()],
)

# Plain arrays.
size = arguments["image_size"]
rng = np.random.default_rng(1)
arrays = {
    key: rng.uniform(-1, 1, (steps * batch_size, size, size, 3)).astype("float32")
    for key in ("source", "target", "irrelevant")
}
arrays["product_id"] = np.arange(steps * batch_size)
before = model.get_weights()
history = model.fit(arrays, batch_size=batch_size, shuffle=False, verbose=0).history
np.savez(
    folder / "steps.npz",
    **arrays,
    **{f"before_{i}": w for i, w in enumerate(before)},
    **{f"after_{i}": w for i, w in enumerate(model.get_weights())},
)

# Triplets, validated with the metrics.
levels = rng.integers(0, 256, (12, size, size, 3), dtype="uint8")
pairs = data.PairSet(
    sources=levels,
    targets=levels[:3],
    target_index=np.arange(12) % 3,
    product_id=np.array([4, 5, 6]),
    group_id=np.array([4, 5, 6]),
)
train = data.triplets(pairs, batch_size=batch_size)
validation = data.triplets(pairs, batch_size=batch_size, shuffle=False)
moments = [np.asarray(v) for v in model.optimizer.variables]
fitted = model.fit(train, validation_data=validation, epochs=2, verbose=0).history
converted = model.predict(data.to_float(levels), verbose=0)

# LPIPS and DISTS, with random weights.
filters = make_golden.SMALL_FILTERS
vgg16 = make_golden.random_vgg16(filters)
distances = {
    "lpips": LPIPS(vgg16, make_golden.random_linear(filters)),
    "dists": DISTS(vgg16, *make_golden.random_alpha_beta(filters)),
}
looks = [data.to_float(images) for images in make_golden.random_images(45, 64)]

# Saved and loaded.
model.save(folder / "model.keras")
loaded = keras.models.load_model(folder / "model.keras")
same = [
    np.array_equal(a, b)
    for a, b in zip(
        [*model.variables, *model.optimizer.variables],
        [*loaded.variables, *loaded.optimizer.variables],
        strict=True,
    )
]
result = {
    "backend": keras.backend.backend(),
    "losses": {key: float(value[0]) for key, value in history.items()},
    "history": {key: [float(x) for x in value] for key, value in fitted.items()},
    "rmse": float(
        np.sqrt(
            np.mean(((converted - data.to_float(levels[np.arange(12) % 3])) / 2) ** 2, (1, 2, 3))
        ).mean()
    ),
    "converted_range": [float(converted.min()), float(converted.max())],
    "iterations": int(model.optimizer.iterations),
    "moments_moved": [
        not np.array_equal(a, b)
        for a, b in zip(moments, model.optimizer.variables, strict=True)
        if np.ndim(a)
    ],
    "loaded_type": type(loaded).__name__,
    "loaded_equal": same,
    "prediction_difference": float(
        np.abs(loaded.predict(data.to_float(levels), verbose=0) - converted).max()
    ),
    "perceptual": {name: f(*looks).tolist() for name, f in distances.items()},
    "tensorflow": [name for name in sys.modules if name.startswith("tensorflow.")],
}
(folder / "result.json").write_text(json.dumps(result))
"""


@pytest.fixture(scope="module")
def jax_run(tmp_path_factory):
    """What the process without TensorFlow wrote: (result, arrays, folder)."""
    folder = tmp_path_factory.mktemp("jax")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder, json.dumps([MODEL, BATCH, STEPS])],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "result.json").read_text()), np.load(folder / "steps.npz"), folder


@pytest.mark.slow
def test_trains_and_validates_without_tensorflow(jax_run):
    result, _, _ = jax_run
    assert result["backend"] == "jax"
    assert result["tensorflow"] == []
    names = {"real_fake_discriminator_loss", "domain_discriminator_loss", "converter_loss"}
    assert set(result["losses"]) == names
    assert set(result["history"]) == names | {"val_rmse", "val_ssim", "val_c_ssim"}
    assert np.isfinite(list(result["history"].values())).all()
    # 3 steps on arrays, then 2 epochs of 3: the state of every optimizer left the step.
    assert result["iterations"] == STEPS + 2 * 3
    assert all(result["moments_moved"])
    # The validation after the last epoch, recomputed from what `predict` returns.
    assert result["history"]["val_rmse"][-1] == pytest.approx(result["rmse"], rel=1e-4)
    low, high = result["converted_range"]
    assert -1 <= low < high <= 1


@pytest.mark.slow
def test_saves_and_loads_without_tensorflow(jax_run):
    result, _, _ = jax_run
    assert result["loaded_type"] == "PixelDTGAN"
    assert all(result["loaded_equal"])
    assert result["prediction_difference"] == 0


@pytest.mark.slow
def test_three_steps_equal_tensorflows(jax_run):
    result, arrays, _ = jax_run
    model = PixelDTGAN(**MODEL)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.5), run_eagerly=True)
    count = len(model.get_weights())
    model.set_weights([arrays[f"before_{i}"] for i in range(count)])
    for start in range(0, STEPS * BATCH, BATCH):
        keys = ("source", "target", "irrelevant")
        logs = model.train_step({k: tf.constant(arrays[k][start : start + BATCH]) for k in keys})
    for name, loss in logs.items():
        assert result["losses"][name] == pytest.approx(float(loss), rel=1e-5), name
    moved = []
    for i, weight in enumerate(model.get_weights()):
        np.testing.assert_allclose(arrays[f"after_{i}"], weight, atol=2e-5, rtol=1e-4)
        moved.append(np.abs(weight - arrays[f"before_{i}"]).max())
    assert np.median(moved) > 1e-3  # far above the tolerance


@pytest.mark.slow
def test_lpips_and_dists_equal_tensorflows(jax_run):
    filters = make_golden.SMALL_FILTERS
    vgg16 = make_golden.random_vgg16(filters)
    a, b = (to_float(images) for images in make_golden.random_images(45, 64))
    found = jax_run[0]["perceptual"]
    lpips = LPIPS(vgg16, make_golden.random_linear(filters))
    np.testing.assert_allclose(found["lpips"], lpips(a, b), rtol=1e-4)
    dists = DISTS(vgg16, *make_golden.random_alpha_beta(filters))
    np.testing.assert_allclose(found["dists"], dists(a, b), rtol=1e-4)


@pytest.mark.slow
def test_tensorflow_loads_what_jax_saved(jax_run):
    _, arrays, folder = jax_run
    model = keras.models.load_model(folder / "model.keras")
    assert type(model) is PixelDTGAN
    assert int(model.optimizer.iterations) == STEPS + 2 * 3
    logs = model.evaluate(
        {key: arrays[key] for key in ("source", "target")}, verbose=0, return_dict=True
    )
    assert set(logs) == {"rmse", "ssim", "c_ssim"} and np.isfinite(list(logs.values())).all()
