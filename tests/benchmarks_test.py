"""The PyTorch peers train as the package's models do; arithmetic is counted right."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_pixdt.models.appearance_flow import AppearanceFlow
from keras_pixdt.models.pixel_dtgan import PixelDTGAN
from tests import samples

BENCHMARKS = pathlib.Path(__file__).resolve().parents[1] / "benchmarks"
SIZE = 32
# Few values, or one of them is so near to LeakyReLU's kink that its rounding decides the slope.
WIDTH = 1 / 64
BATCH = 6
STEPS = 2
RATE = 0.05


@pytest.fixture(autouse=True)
def benchmarks_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def report_of(script, options, tmp_path, **variables):
    """The report that a benchmark writes in a process of its own, and what it prints."""
    output = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, BENCHMARKS / script, *options.split(), "--output", output],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(output.read_text()), done.stdout


def test_a_convolution_counts_two_operations_for_each_product():
    import _flops

    image = keras.Input((8, 8, 3))
    strided = keras.layers.Conv2D(7, 5, strides=2, padding="same")
    transposed = keras.layers.Conv2DTranspose(2, 5, strides=2, padding="same")
    x = transposed(strided(image))
    keras.layers.Dense(11)(keras.layers.Flatten()(x))
    # 4x4 outputs of 7 channels, each a sum of 5x5x3 products.
    assert _flops.layer_flops(strided) == 2 * 4 * 4 * 7 * 75
    # Each of the 4x4x7 inputs is spread over 5x5x2 outputs.
    assert _flops.layer_flops(transposed) == 2 * 4 * 4 * 7 * 50
    assert _flops.layer_flops(keras.layers.ReLU()) == 0


def test_a_layer_that_cannot_be_counted_is_refused():
    import _flops

    layer = keras.layers.Conv1D(2, 3)
    layer.build((None, 8, 3))
    with pytest.raises(ValueError, match="Conv2D, Conv2DTranspose and Dense.*Conv1D"):
        _flops.layer_flops(layer)


def test_passes_of_a_network_are_added_up():
    import _flops

    layers = [keras.layers.Conv2D(4, 3, padding="same"), keras.layers.Conv2D(5, 1)]
    network = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    first, second = 2 * 64 * 27 * 4, 2 * 64 * 4 * 5
    assert _flops.network_flops(network, forward=1, kernels=0, inputs=0) == first + second
    # An update: the first layer has no gradient of its inputs.
    update = _flops.network_flops(network, forward=1, kernels=1, inputs=1)
    assert update == 2 * first + 3 * second
    # The way through it to half of the channels of its input.
    through = _flops.network_flops(network, forward=1, kernels=0, inputs=1, image=0.5)
    assert through == 1.5 * first + 2 * second


def test_the_step_of_pixel_dtgan_is_counted():
    import _flops

    # 16 px at width 1/128: two strided layers of 1 and 2 filters.
    model = PixelDTGAN(16, 1 / 128)
    conv1, conv2 = 2 * 64 * 75, 2 * 16 * 25 * 2
    code, decoder1 = 2 * 16 * 2 * 64, 2 * 64 * 32
    f_conv2, f_conv3 = 2 * 16 * 2 * 25, 2 * 64 * 75
    converter = 2 * conv1 + 3 * (conv2 + code + decoder1 + f_conv2 + f_conv3)
    conv3 = 2 * 16 * 2
    # Own update, for each kind of image: forward, kernels, inputs from the second layer on.
    # Through it: forward, inputs. The first layer of the domain discriminator has twice the
    # channels, and half of its inputs need a gradient.
    real_fake = 2 * (2 * conv1 + 3 * (conv2 + conv3)) + 2 * (conv1 + conv2 + conv3)
    pair = 2 * 2 * conv1 + 3 * (conv2 + conv3)
    domain = 3 * pair + 1.5 * 2 * conv1 + 2 * (conv2 + conv3)
    assert _flops.pixel_dtgan(model) == converter + real_fake + domain
    without = PixelDTGAN(16, 1 / 128, irrelevant_pairs=False)
    assert _flops.pixel_dtgan(without) == converter + real_fake + domain - pair


def test_the_step_of_appearance_flow_is_counted():
    import _flops

    # 16 px at width 1/16: 16 filters at 4 px, 8 at 8 px and 4 at 16 px.
    model = AppearanceFlow(16, 1 / 16, photo_size=32, discriminator_width=1 / 32, gan_weight=0.1)
    residual = 2 * [16 * 9 * 16 * 16]
    reader = 64 * 64 * 3 * 8
    encoder = [16 * 9 * 8 * 16, *residual]
    dense = [256 * 16, 16 * 6, 16 * 256]
    decoder4 = [16 * 9 * 32 * 16, *residual, 16 * 9 * 16 * 3, 16 * 16 * 8]
    decoder8 = [64 * 9 * (8 + 8 + 3) * 8, 64 * 9 * 8 * 3, 64 * 8 * 4]
    drawing = [256 * 9 * (4 + 3) * 4, 256 * 9 * 4 * 5]
    converter = 2 * reader + 3 * sum(encoder + dense + decoder4 + decoder8 + drawing)
    first, others = 64 * 16 * 4 * 2, 16 * 16 * 2 * 4 + 4 * 16 * 4 * 8 + 4 * 16 * 8
    # Its own update on two kinds of images; then the way through it, to half of the pair.
    discriminator = 2 * (2 * first + 3 * others) + 1.25 * first + 2 * others
    assert _flops.appearance_flow(model) == 2 * (converter + discriminator)
    assert _flops.appearance_flow(AppearanceFlow(16, 1 / 16, photo_size=32)) == 2 * converter


def mirrored(layer, value):
    """A layer's variable in PyTorch's layout, for images turned by 180 degrees."""
    if layer.name == "affine" or layer.name.endswith("_step"):  # points change their signs
        signs = np.ones(value.shape[-1], "float32")
        signs[[2, 5] if layer.name == "affine" else [0, 1]] = -1
        value = value * signs
    if layer.name == "code" and value.ndim == 2:  # 4x4 maps to a code
        maps = value.reshape(4, 4, -1, value.shape[-1])
        value = maps[::-1, ::-1].reshape(value.shape)
    if layer.name in ("decoder_conv1", "decoder"):  # a code to 4x4 maps
        shape = value.shape[2:] if value.ndim == 4 else value.shape
        maps = value.reshape(*shape[:-1], 4, 4, -1)
        value = maps[..., ::-1, ::-1, :].reshape(shape)
    if value.ndim == 4:
        value = value[::-1, ::-1].transpose(3, 2, 0, 1)
    return value.T if value.ndim == 2 else value


def to_torch(model, peer):
    """Writes the model's weights into the peer, mirrored (see the peer's docstring)."""
    torch = pytest.importorskip("torch")
    for name, (network,) in model.players.items():
        values = [
            mirrored(layer, np.asarray(variable))
            for layer in getattr(model, network).layers
            for variable in layer.trainable_variables
        ]
        parameters = list(peer.players[name].parameters())
        assert [p.shape for p in parameters] == [v.shape for v in values]
        with torch.no_grad():
            for parameter, value in zip(parameters, values, strict=True):
                parameter.copy_(torch.as_tensor(value.copy()))


def assert_same_steps(model, peer_class, batches, size, width):
    """From equal weights, steps give equal losses and weights.

    Args:
        model: not compiled yet.
        peer_class: its peer in PyTorch.
        batches: one for each step.
        size: side of the images.
        width: factor on the numbers of filters.
    """
    model.compile(keras.optimizers.SGD(RATE, momentum=0.5))

    def peer_of(model):
        peer = peer_class(
            image_size=size,
            width=width,
            precision="float32",
            optimizer="sgd",
            learning_rate=RATE,
            momentum=0.5,
            device="cpu",
        )
        to_torch(model, peer)
        return peer

    def parameters(peer):
        return np.concatenate(
            [p.detach().numpy().ravel() for net in peer.players.values() for p in net.parameters()]
        )

    peer = peer_of(model)
    before = parameters(peer)
    for batch in batches:
        turned = {k: np.ascontiguousarray(v[:, ::-1, ::-1]) for k, v in batch.items()}
        if "flow" in turned:
            turned["flow"] *= -1
        theirs = peer.step(peer.batch(turned))
        ours = model.train_on_batch(batch, return_dict=True)
        model.reset_metrics()
        for name, loss in theirs.items():
            np.testing.assert_allclose(ours[f"{name}_loss"], float(loss), rtol=2e-5)
    after, expected = parameters(peer), parameters(peer_of(model))
    moved = np.abs(after - before).max()
    assert moved > 1e-3
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-4 * moved)


def test_pytorch_peer_takes_the_same_steps():
    """Same losses and weights as `PixelDTGAN`, from equal weights and images."""
    pytest.importorskip("torch")
    import torch_pixel_dtgan

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(1)
    batches = [
        {
            key: rng.uniform(-1, 1, (BATCH, SIZE, SIZE, 3)).astype("float32")
            for key in ("source", "target", "irrelevant")
        }
        for _ in range(STEPS)
    ]
    model = PixelDTGAN(SIZE, WIDTH)
    assert_same_steps(model, torch_pixel_dtgan.Peer, batches, SIZE, WIDTH)


def test_pytorch_peer_moves_pixels_in_the_same_way():
    """Same losses and weights as `AppearanceFlow`, from equal weights and batches."""
    pytest.importorskip("torch")
    import torch_appearance_flow

    keras.utils.set_random_seed(0)
    model = AppearanceFlow(16, 1 / 16, photo_size=32, discriminator_width=1 / 32, gan_weight=0.1)
    batches = [samples.flow_batch(BATCH, seed) for seed in range(STEPS)]
    # Not from the flow that training starts from: it points at the centres of pixels, where slopes
    # jump.
    assert_same_steps(samples.uneven(model), torch_appearance_flow.Peer, batches, 16, 1 / 16)


@pytest.mark.parametrize("name", ["pixel_dtgan", "appearance_flow"])
def test_device_finds_the_same_network_in_pytorch(name):
    torch = pytest.importorskip("torch")
    import device

    network, photo = device._torch_network(device.Network(name, 16, 1 / 16))
    with torch.inference_mode():
        drawn = network(photo)
    assert drawn.shape == (1, 3, 16, 16) and drawn.abs().max() <= 1 + 1e-6
    converter, _ = device.Network(name, 16, 1 / 16).build()
    count = sum(weights.numel() for weights in network.parameters())
    assert count == sum(int(np.prod(w.shape)) for w in converter.trainable_variables)


@pytest.mark.parametrize("name", ["pixel_dtgan", "appearance_flow"])
def test_fit_and_the_step_alone_have_batches_of_one_kind(name):
    import _contenders

    setting = _contenders.Setting(name, "float32", 16, 1 / 32, BATCH, "sgd", STEPS)
    batch = _contenders.KerasFit(setting)._epoch(STEPS)[0]
    del batch["product_id"]
    alone = _contenders._images(setting, 0)
    assert {k: (v.shape, v.dtype) for k, v in batch.items()} == {
        k: (v.shape, v.dtype) for k, v in alone.items()
    }


@pytest.mark.parametrize("name", ["discogan", "domain_transfer"])
def test_a_model_without_a_peer_takes_steps_on_its_own(name):
    import _contenders

    assert _contenders.MODELS[name].contenders(["step", "fit", "torch"]) == ["step", "fit"]
    setting = _contenders.Setting(name, "float32", 16, 1 / 32, BATCH, "adam", STEPS)
    contender = _contenders.Keras(setting)
    converter = contender.model.plain_converter()
    before = converter.get_weights()
    contender.model.train_step(contender.batches[0])  # not compiled: that takes longer
    moved = [not np.array_equal(a, b) for a, b in zip(before, converter.get_weights(), strict=True)]
    assert sum(moved) > len(moved) / 3
    assert contender.flops is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "precision"), [("tensorflow", "float32"), ("jax", "mixed_bfloat16")]
)
def test_train_step_prints_and_writes_its_table(backend, precision, tmp_path):
    """In an environment with one backend only."""
    pytest.importorskip("torch")
    missing = ("tensorflow", "tensorflow_datasets") if backend == "jax" else ("jax",)
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nfor name in {missing}: sys.modules[name] = None\n"
    )
    options = (
        "--models pixel_dtgan --image-size 16 --width 0.0625 --batch-sizes 4 --steps 2 --rounds 2 "
        f"--matrix-size 64 --precisions {precision} --contenders step fit_callbacks torch --profile"
    )
    report, printed = report_of(
        "train_step.py",
        options,
        tmp_path,
        KERAS_BACKEND=backend,
        JAX_PLATFORMS="cpu",
        PYTHONPATH=str(tmp_path),
    )
    (result,) = report["results"]
    assert result["precision"] == precision
    contenders = result["contenders"]
    assert list(contenders) == ["step", "fit_callbacks", "torch"]
    for contender in contenders.values():
        rate = contender["images_per_second"]
        assert 0 < rate["min"] <= rate["median"] <= rate["max"]
        assert contender["host_bytes"] > 50 * 2**20
        arithmetic = rate["median"] * result["flops_per_image"]
        assert contender["flops_per_second"] == pytest.approx(arithmetic)
    rounds = [contenders[name]["rounds"] for name in ("step", "torch")]
    ratios = sorted(a / b for a, b in zip(*rounds, strict=True))
    assert contenders["step"]["ratio_to_torch"]["min"] == pytest.approx(ratios[0])
    assert contenders["step"]["ratio_to_torch"]["max"] == pytest.approx(ratios[1])
    # The profile finds the convolutions, which are most of the step also at this size.
    kinds = {name: profile["kinds"] for name, profile in result["profiles"].items()}
    assert [kind for kind in kinds["step"] if "conv" in kind.lower()], kinds["step"]
    assert kinds["torch"]["aten::convolution_backward"] > 0
    assert "GFLOP an image" in printed


def test_train_step_says_how_to_get_pytorch(monkeypatch, capsys):
    import train_step

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        train_step.main([])
    assert "pip install -e '.[bench]'" in capsys.readouterr().err


def test_ratios_are_taken_within_rounds(monkeypatch):
    """Processes replaced by fixed rates: 100, 50 images/s, then 300, 100."""
    import train_step

    rates = {"step": [100.0, 300.0], "torch": [50.0, 100.0]}

    class Process:
        def __init__(self, make, kind, setting, matrix_size):
            self.about = {"device": "cpu", "flops": 2e9 if kind == "step" else None}
            self.rates = iter(rates[kind])
            self.matrix = {"step": 1e12, "torch": 2e12}[kind]

        def ask(self, request):
            return {
                "images_per_second": next(self.rates),
                "matrix_flops_per_second": self.matrix,
                "host_bytes": 1,
                "device_bytes": None,
            }

        def end(self):
            pass

    monkeypatch.setattr(train_step._common, "Process", Process)
    setting = train_step._contenders.Setting("pixel_dtgan", "float32", 64, 0.25, 128, "sgd", 1)
    result = train_step.measure(setting, ["step", "torch"], 2, None, False)
    step = result["contenders"]["step"]
    assert step["images_per_second"] == {"median": 200, "min": 100, "max": 300}
    assert step["ratio_to_torch"] == {"median": 2.5, "min": 2, "max": 3}
    # 200 images of 2 GFLOP in a second, of the 2 TFLOP/s that the other one's products reach.
    assert step["flops_per_second"] == 4e11
    assert step["share_of_matrix_rate"] == 0.2
    assert result["contenders"]["torch"]["share_of_matrix_rate"] == 0.075


@pytest.mark.slow
def test_input_pipeline_compares_every_path_with_decoder_and_step(tmp_path):
    options = "--products 10 --pairs 64 --batch-size 16 --rounds 3 --step-rate 100"
    report, printed = report_of("input_pipeline.py", options, tmp_path)
    results = report["results"]
    files = {name for name, result in results.items() if "triplets_per_second" not in result}
    assert files == {
        "decode JPEG, one thread",
        "read a folder",
        "read an archive",
        "load from TFDS",
    }
    assert {name.removeprefix("triplets").strip(" ,") for name in set(results) - files} == {
        "from memory",
        "from memmap",
        "mirrored",
        "reverse",
        "through tf.data",
        "a half of two workers",
    }
    assert results["decode JPEG, one thread"]["ratio_to_decoder"] == 1
    for name in set(results) - files:
        rate = results[name]["triplets_per_second"]
        assert results[name]["ratio_to_step"] == pytest.approx(rate / 100)
        assert results[name]["images_per_second"] == pytest.approx(3 * rate)
    for name in results:
        assert name in printed


@pytest.mark.slow
def test_stored_pairs_measures_start_memory_and_input(tmp_path):
    options = f"--data-dir {tmp_path} --pairs 160 --products 2 --presets demo --steps 1 "
    options += "--backends tensorflow --in-memory 64 --batch-size 16 --batches 2 --rounds 3"
    report, printed = report_of("stored_pairs.py", options, tmp_path)
    results = report["results"]
    run, drawn = results["runs"]["demo, tensorflow"], results["input"]["tensorflow"]
    times = ("imported", "open", "first_step_begins", "first_step")
    assert sorted(run["seconds"], key=run["seconds"].get) == list(times)
    assert 0 < run["opening_seconds"] < run["seconds"]["open"]
    assert 0 <= run["mapped_gib"] < run["peak_gib"] < 24
    assert drawn["in_memory_pairs"] == 64
    assert drawn["in_memory_gib"] == (64 + 8) * 256 * 256 * 3 / 2**30
    rate = drawn["pairs_per_second"]["records"]
    assert rate == sorted(drawn["rounds"]["records"])[1]
    assert run["input_to_step"] == pytest.approx(rate / run["step_pairs_per_second"])
    assert "demo" in printed and "160 pairs of 256 px" in printed
    assert not (tmp_path / "stored_pairs").exists()


@pytest.mark.slow
def test_search_compares_all_that_is_exact_with_numpy(tmp_path):
    options = "--products 40 300 --dimensions 8 --queries 3"
    report, printed = report_of("search.py", options, tmp_path)
    results = report["results"]
    cases = [(result["products"], result["sorted"]) for result in results]
    assert cases == [(40, False), (40, True), (300, False), (300, True)]
    for result in results:
        assert result["open_ms"] > 0
        assert {"ours", "argpartition", "argsort"} <= set(result["contenders"])
        for name, contender in result["contenders"].items():
            assert contender["recall"] == 1 or name == "approximate"
            assert 0 < contender["ms"] <= contender["slowest_ms"]
            assert contender["peak_bytes"] > 10 * 2**20
            assert name in printed


@pytest.mark.slow
def test_device_measures_what_is_installed_and_names_what_is_not(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['onnx'] = None\n")
    options = (
        "--contenders keras onnx dynamic int8 --image-sizes 16 --widths 0.0625 --threads 1 "
        "--rounds 2"
    )
    report, printed = report_of("device.py", options, tmp_path, PYTHONPATH=str(tmp_path))
    results = report["results"]
    assert "onnx" in results["missing"]["onnx"]
    assert "missing: onnx" in printed
    (setting,) = results["settings"]
    contenders = setting["contenders"]
    assert list(contenders) == ["keras", "dynamic", "int8"]
    for kind, contender in contenders.items():
        timed = contender["threads"]["1"]
        low, high = sorted(timed["rounds_ms"])
        assert 0 < low <= timed["ms"] <= high
        assert (contender["bytes"] is None) == (kind == "keras")
    keras_ms, dynamic_ms = (
        contenders[k]["threads"]["1"]["rounds_ms"] for k in ("keras", "dynamic")
    )
    ratios = sorted(a / b for a, b in zip(keras_ms, dynamic_ms, strict=True))
    speedup = contenders["dynamic"]["threads"]["1"]["speedup"]
    assert ratios[0] <= speedup <= ratios[1]


@pytest.mark.slow
def test_device_measures_large_drawings(tmp_path):
    options = (
        "--model appearance_flow --contenders dynamic shipped_512 int8 --image-sizes 16 "
        "--widths 0.03125 --threads 1 --rounds 1"
    )
    report, printed = report_of("device.py", options, tmp_path)
    assert report["results"]["missing"] == {"int8": "8 bits cannot hold a flow"}
    assert "missing: int8 (8 bits cannot hold a flow)" in printed
    (setting,) = report["results"]["settings"]
    small, large = setting["contenders"].values()
    assert (setting["model"], setting["image_size"]) == ("appearance_flow", 16)
    assert large["threads"]["1"]["ms"] > small["threads"]["1"]["ms"] > 0


def test_sharpness_is_that_inside_the_mask():
    import drawn_size

    images = np.zeros((2, 3, 3, 3), "float32")
    images[0, :, 1:] = 2.0  # a step of 1 in [0, 1], in three of the twelve pairs of neighbours
    mask = np.ones((2, 3, 3, 1), "float32")
    np.testing.assert_allclose(drawn_size.gradient_energy(images, mask), [3 / 12, 0])
    mask[:, :, 0] = 0  # seven pairs are left, none across the step
    np.testing.assert_allclose(drawn_size.gradient_energy(images, mask), [0, 0])


def test_the_best_place_of_a_drawing_is_found():
    import drawing_limits

    product = np.ones((2, 16, 16, 3), "float32")
    product[:, 5:11, 4:12] = -1.0
    mask = (product[..., :1] < 0).astype("float32")
    drawn, moved = (np.roll(x, 1, 2) for x in (product, mask))  # a pixel, 2 / 16, to the right
    found, found_mask = drawing_limits.best_place(drawn, moved, product)
    assert np.abs(found - product).mean() < 0.1 * np.abs(drawn - product).mean()
    assert np.abs(found_mask - mask).mean() < 0.1 * np.abs(moved - mask).mean()


def test_true_parts_replace_what_was_found():
    import drawing_limits

    model = samples.uneven(AppearanceFlow(16, 1 / 32, photo_size=32))
    batch = samples.flow_batch(3)
    parts = drawing_limits.Parts.of(model.parts(batch["source"], training=False))
    found = drawing_limits.variants(parts, batch["target"])
    np.testing.assert_allclose(found["as drawn"][0], model(batch["source"]), atol=1e-6)
    shown = np.asarray(drawing_limits.garment_mask(batch["target"])) > 0
    assert 0.1 < shown.mean()
    drawn, mask = found["true mask"]
    np.testing.assert_array_equal(mask > 0, shown)
    np.testing.assert_array_equal(drawn[~shown[..., 0]], 1.0)
    drawn, mask = found["true garment"]
    expected = mask * batch["target"] + 1 - mask
    np.testing.assert_allclose(drawn[shown[..., 0]], expected[shown[..., 0]], atol=1e-6)


def test_a_learning_curve_trains_each_cell_once(small_lookbook, tmp_path, monkeypatch, eager):
    import learning_curve

    from keras_pixdt import presets
    from keras_pixdt.training import inputs

    narrow = presets.get("demo").changed(["image_size=32", "width=0.03125", "batch_size=8"])
    monkeypatch.setattr(presets, "get", {"demo": narrow}.__getitem__)
    cells = [learning_curve.Cell("demo", products, 0.001) for products in (5, 20)]
    with samples.narrow_embedders():
        rows, lines = learning_curve.measure(cells, str(small_lookbook), tmp_path)
        assert [row["products"] for row in rows] == [5, 20]
        monkeypatch.setattr(learning_curve, "train", None)  # all are there
        again, drawn_again = learning_curve.measure(cells, str(small_lookbook), tmp_path)
    assert again == rows and rows[0]["rmse"] != rows[1]["rmse"]
    first, last, products = lines
    np.testing.assert_array_equal(drawn_again[0], first)
    assert first.shape == last.shape == products.shape == (learning_curve.SHOWN, 32, 32, 3)

    splits = inputs.load(narrow, {"data": str(small_lookbook)})
    few = learning_curve.fewer(splits, 5)
    kept = set(few["train"].product_id.tolist())
    assert kept == set(sorted(splits["train"].product_id.tolist())[:5])
    assert few["test"] is splits["test"]
    with pytest.raises(ValueError, match="at most the .* products of the training split"):
        learning_curve.fewer(splits, 1000)


def test_a_learning_curve_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    import learning_curve

    rows = [
        {"preset": "demo", "products": 5, "minutes": m, "rmse": m, "c_ssim": 0, "recall@10": 1}
        for m in (1, 2)
    ]
    learning_curve.draw_curves(rows, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000
