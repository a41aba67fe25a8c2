import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_pixdt.data.images import to_float, to_uint8
from keras_pixdt.layers import warp
from keras_pixdt.metrics import RootMeanSquaredError
from keras_pixdt.models import appearance_flow
from keras_pixdt.models.appearance_flow import (
    AppearanceFlow,
    Parts,
    bending,
    flow_error,
    garment_mask,
    masked_error,
    overlap_error,
)
from keras_pixdt.models.appearance_flow_networks import as_bytes, draw_enlarged
from tests.models import checks
from tests.models.checks import assert_same_state, step, trainable, values_of
from tests.samples import flow_batch as batch_of
from tests.samples import images, uneven

SIZE, PHOTO = 16, 32
TINY = {
    "image_size": SIZE, "width": 1 / 32, "photo_size": PHOTO, "discriminator_width": 1 / 8,
    "gan_weight": 0.5,
}  # fmt: skip
PLAYERS = ["discriminator", "converter"]


def compiled(optimizer=None, metrics=None, **kwargs):
    """A tiny model with weights of seed 0, run eagerly: nothing is traced."""
    keras.utils.set_random_seed(0)
    model = AppearanceFlow(**{**TINY, **kwargs})
    model.compile(optimizer or keras.optimizers.SGD(0.05), metrics=metrics, run_eagerly=True)
    return model


def twin_of(model):
    twin = AppearanceFlow.from_config(model.get_config())
    twin.set_weights(model.get_weights())
    return twin


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, "float64")))


# The network


def test_it_begins_with_the_photo_as_it_is():
    model = compiled()
    photo = images(3, PHOTO)
    parts = Parts.of(model.parts(photo, training=False))
    centers = (np.arange(SIZE) + 0.5) * 2 / SIZE - 1
    x, y = np.meshgrid(centers, centers)
    np.testing.assert_allclose(parts.flow, np.tile(np.stack([x, y], -1), (3, 1, 1, 1)), atol=1e-5)
    reduced = photo.reshape(3, SIZE, 2, SIZE, 2, 3).mean((2, 4))
    np.testing.assert_allclose(parts.warped, reduced, atol=1e-5)


@pytest.mark.parametrize(
    ("image_size", "photo_size", "filters"),
    [
        (16, 32, {8: 4, 4: 8}),
        (32, 32, {16: 2, 8: 4, 4: 8}),
        (64, 256, {32: 1, 16: 2, 8: 4, 4: 8}),
        (256, 256, {128: 1, 64: 1, 32: 1, 16: 2, 8: 4, 4: 8}),
        (16, 256, {8: 4, 4: 8}),
    ],
)
def test_sizes(image_size, photo_size, filters):
    model = AppearanceFlow(image_size, 1 / 32, photo_size=photo_size)
    found = {size: model.parts.get_layer(f"encoder{size}") for size in filters}
    assert {size: layer.filters for size, layer in found.items()} == filters
    assert {size: layer.output.shape[1] for size, layer in found.items()} == {s: s for s in filters}
    assert model.parts.input_shape == (None, photo_size, photo_size, 3)
    assert model.parts.output_shape == (None, image_size, image_size, 10)
    assert model.generated_shape() == (None, image_size, image_size, 3)
    assert list(model.players) == ["converter"]  # no weight for a discriminator
    drawn = np.asarray(model(images(2, photo_size)))
    assert drawn.shape == (2, image_size, image_size, 3) and np.abs(drawn).max() <= 1 + 1e-6


@pytest.mark.parametrize(
    ("image_size", "photo_size"),
    [((64, 48), (128, 96)), ((48, 64), (48, 64)), ((16, 4), (256, 64)), ((256, 176), (512, 352))],
)
def test_rectangles_have_the_weights_of_squares(image_size, photo_size):
    model = AppearanceFlow(image_size, 1 / 32, photo_size=photo_size)
    square = AppearanceFlow(max(image_size), 1 / 32, photo_size=max(photo_size))
    assert [(w.path, w.shape) for w in model.parts.weights] == [
        (w.path, w.shape) for w in square.parts.weights
    ]
    assert model.parts.input_shape == (None, *photo_size, 3)
    assert model.parts.output_shape == (None, *image_size, 10)
    assert (model.drawn_size, model.photo_size, square.drawn_size) == (
        image_size, photo_size, max(image_size),
    )  # fmt: skip


def test_a_rectangle_is_drawn_as_the_middle_of_a_square_with_bars():
    square = uneven(AppearanceFlow(32, 1 / 32, photo_size=64))
    model = AppearanceFlow((32, 20), 1 / 32, photo_size=(64, 40))
    model.parts.set_weights(square.parts.get_weights())
    photo = rectangles(3, (64, 40))
    barred = np.pad(photo, ((0, 0), (0, 0), (12, 12), (0, 0)), constant_values=1.0)
    found, expected = (
        Parts.of(network.parts(x, training=False))
        for network, x in ((model, photo), (square, barred))
    )
    for name in ("mask", "gate", "paint"):
        whole = np.asarray(getattr(expected, name))
        assert whole.std() > 1e-3
        np.testing.assert_allclose(getattr(found, name), whole[:, :, 6:26], atol=1e-5)
    # the same points: x is from edge to edge of 20 px, not of 32
    flow = np.asarray(expected.flow)[:, :, 6:26] * (32 / 20, 1)
    np.testing.assert_allclose(found.flow, flow, atol=1e-5)
    inside = (abs(flow) < 0.9).all(-1)
    assert inside.mean() > 0.3
    warped = np.asarray(expected.warped)[:, :, 6:26]
    np.testing.assert_allclose(np.asarray(found.warped)[inside], warped[inside], atol=1e-4)


@pytest.mark.parametrize("arguments", [{"moves": False}, {"warped_skips": False}])
def test_rectangles_without_warps(arguments):
    model = AppearanceFlow((16, 12), 1 / 32, photo_size=(32, 24), **arguments)
    drawn = np.asarray(model(rectangles(2, (32, 24))))
    assert drawn.shape == (2, 16, 12, 3) and np.isfinite(drawn).all()


def test_a_rectangle_begins_with_the_photo_as_it_is():
    model = compiled(image_size=(16, 12), photo_size=(32, 24))
    photo = rectangles(3, (32, 24))
    parts = Parts.of(model.parts(photo, training=False))
    reduced = photo.reshape(3, 16, 2, 12, 2, 3).mean((2, 4))
    np.testing.assert_allclose(parts.warped, reduced, atol=1e-5)


def rectangles(count, sides, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, *sides, 3)).astype("float32")


def test_rectangles_are_trained_saved_and_drawn_at_other_sizes(tmp_path):
    arguments = {"image_size": (16, 12), "photo_size": (32, 24), "gan_weight": 0.1}
    model = compiled(keras.optimizers.Adam(1e-2), **arguments)
    flow = np.random.default_rng(2).uniform(-1, 1, (4, 8, 6, 2)).astype("float32")
    flow[:, :2] = np.nan
    batch = {
        "source": rectangles(4, (32, 24)), "target": rectangles(4, (16, 12), 1),
        "mask": np.ones((4, 16, 12, 1), "float32"), "flow": flow,
    }  # fmt: skip
    before = [np.array(w) for w in model.parts.trainable_variables]
    model.fit(batch, batch_size=2, epochs=2, verbose=0)
    after = model.parts.trainable_variables
    assert all((a != b).any() for a, b in zip(before, after, strict=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same_state(loaded, model)
    config = loaded.get_config()
    assert (config["image_size"], config["photo_size"]) == ((16, 12), (32, 24))
    drawn = np.asarray(model(batch["source"]))
    np.testing.assert_array_equal(loaded(batch["source"]), drawn)
    # at its own size, from photos of the size that it reads, nothing is enlarged
    photos = np.rint((batch["source"] + 1) * 127.5).astype("float32") / np.float32(127.5) - 1
    np.testing.assert_allclose(model.draw_at(photos, 16), model(photos), atol=1e-4)
    assert model.photo_side(64, (300, 200)) == (256, 192)
    assert model.draw_at(rectangles(1, (256, 192)), 64).shape == (1, 64, 48, 3)
    assert model.draw_at(rectangles(1, (64, 48)), (32, 24)).shape == (1, 32, 24, 3)
    assert np.shape(model.find_masks(photos)) == (4, 16, 12, 1)


def test_the_error_of_a_rectangular_flow_by_hand():
    flow = np.zeros((1, 8, 6, 2), "float32")
    flow[0, :2, :2] = [0.5, 0.0]
    truth = np.full((1, 4, 3, 2), np.nan, "float32")
    truth[0, 0, 0] = [0.25, 1.0]  # 0.25 and 1 away from the mean of its four points
    truth[0, 3, 2] = [0.5, 0.25]
    assert float(flow_error(flow, truth)) == pytest.approx((0.25 + 1 + 0.5 + 0.25) / 4)
    with pytest.raises(ValueError, match=r"4 rows, 4 columns and image_size=\(8, 6\)"):
        flow_error(flow, np.zeros((1, 4, 4, 2), "float32"))


def test_a_network_for_larger_drawings_finds_the_same_in_all_smaller_maps():
    small = uneven(AppearanceFlow(64, 1 / 32, photo_size=128)).parts
    large = AppearanceFlow(128, 1 / 32, photo_size=256).parts
    known = {weight.path: weight for weight in small.weights}
    shared = [weight for weight in large.weights if weight.path in known]
    alone = {path.split("/")[0] for path in known} - {w.path.split("/")[0] for w in shared}
    assert alone == {"drawing64", "drawing64_bn", "mask_gate_paint64"}
    for weight in shared:
        weight.assign(known[weight.path])
    photo = images(2, 256)
    reduced = photo.reshape(2, 128, 2, 128, 2, 3).mean((2, 4))
    names = ["code_lrelu", "decoder32_out_lrelu", "decoder32_step_up"]
    found = [
        keras.Model(network.input, [network.get_layer(name).output for name in names])(x)
        for network, x in ((small, reduced), (large, photo))
    ]
    for a, b in zip(*found, strict=True):
        assert np.std(a) > 1e-5
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_sizes_below_1_are_refused():
    with pytest.raises(ValueError, match="`size` must be the side.*Received: 0"):
        compiled().draw_at(images(1, PHOTO), 0)


@pytest.mark.parametrize("sharpness", [0.0, -1.0, float("inf"), float("nan")])
def test_sharpness_that_draws_no_outline_is_refused(sharpness):
    with pytest.raises(ValueError, match="`mask_sharpness` must be a finite number above 0. Rec"):
        AppearanceFlow(16, 1 / 32, mask_sharpness=sharpness)


def test_the_default_photo_is_as_large_as_the_drawing():
    assert AppearanceFlow(16, 1 / 32).parts.input_shape[1] == 16


def test_parameters_at_full_width():
    model = AppearanceFlow(64, photo_size=256)
    assert 7.0e6 < trainable(model.parts) < 7.4e6


def test_the_drawing_is_composed_of_its_parts():
    model = uneven(compiled())
    photo = images(3, PHOTO)
    flow, mask, gate, paint, warped = (
        np.asarray(x, "float64") for x in Parts.of(model.parts(photo, training=False))
    )
    np.testing.assert_allclose(warped, warp(photo, flow.astype("float32")), atol=1e-5)
    garment = sigmoid(gate) * warped + (1 - sigmoid(gate)) * np.tanh(paint)
    expected = sigmoid(mask) * garment + (1 - sigmoid(mask)) * 1.0
    np.testing.assert_allclose(model(photo, training=False), expected, atol=1e-5)
    assert min(x.std() for x in (flow, mask, gate, paint, warped, expected)) > 0.01


def test_masks_are_sharper_in_drawings_but_not_in_training():
    soft = uneven(compiled(keras.optimizers.SGD(0.05)))
    sharp = uneven(compiled(keras.optimizers.SGD(0.05), mask_sharpness=3.0))
    photo = images(3, PHOTO)
    maps = np.array(soft.finder(photo, training=False))
    maps[..., 2] *= 3  # the mask's logits
    parts = Parts.of(maps)
    np.testing.assert_allclose(sharp(photo, training=False), parts.compose(), atol=1e-5)
    np.testing.assert_allclose(sharp.find_masks(photo), sigmoid(maps[..., 2:3]), atol=1e-5)
    small = as_bytes(photo)  # as `draw_at` reads it
    maps = np.array(soft.parts(small, training=False))
    maps[..., 2] *= 3
    drawn = draw_enlarged(photo, maps, 40)
    np.testing.assert_allclose(sharp.draw_at(photo, 40), drawn, atol=1e-4)
    batch = batch_of(4)
    assert sharp.train_on_batch(batch) == soft.train_on_batch(batch)
    for a, b in zip(sharp.parts.weights, soft.parts.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_each_map_of_the_encoder_is_moved_by_the_flow_so_far():
    model = uneven(compiled())
    network = model.parts
    names = ["affine_flow4", "encoder4_block_lrelu", "decoder4_warp0", "encoder8_lrelu",
             "decoder8_warp0", "reduced8", "decoder8_warp1", "affine", "decoder4_step"]  # fmt: skip
    probe = keras.Model(network.input, [network.get_layer(n).output for n in names])
    found = dict(zip(names, probe(images(2, PHOTO), training=False), strict=True))
    np.testing.assert_allclose(
        found["decoder4_warp0"], warp(found["encoder4_block_lrelu"], found["affine_flow4"]),
        atol=1e-5,
    )  # fmt: skip
    matrix = np.asarray(found["affine"]).reshape(-1, 2, 3)
    centers = (np.arange(8) + 0.5) / 4 - 1
    x, y = np.meshgrid(centers, centers)
    affine = np.einsum("nij,hwj->nhwi", matrix, np.stack([x, y, np.ones_like(x)], -1))
    step = 0.5 * np.asarray(found["decoder4_step"])[..., :2]
    flow = affine + tf.image.resize(step, (8, 8), "bilinear").numpy()
    for skip, moved in (("encoder8_lrelu", "decoder8_warp0"), ("reduced8", "decoder8_warp1")):
        expected = warp(found[skip], flow.astype("float32"))
        np.testing.assert_allclose(found[moved], expected, atol=1e-4)


def test_without_moving_it_only_paints():
    model = uneven(compiled(moves=False))
    assert not [layer for layer in model.parts.layers if type(layer).__name__ == "Warp"]
    parts = Parts.of(model.parts(images(2, PHOTO), training=False))
    np.testing.assert_allclose(parts.warped, np.tanh(parts.paint), atol=1e-6)
    with pytest.raises(ValueError, match="moves=False only paints.*at 16 px. Received: size=40"):
        model.draw_at(images(1, PHOTO), 40)
    still = uneven(compiled(warped_skips=False))
    warps = [layer.name for layer in still.parts.layers if type(layer).__name__ == "Warp"]
    assert warps == ["warped"]


def test_drawings_of_any_size_take_the_photos_own_pixels():
    model = uneven(compiled())
    large = to_float(photos := to_uint8(images(2, 4 * PHOTO)))
    small = (PHOTO, PHOTO)
    reduced = [Image.fromarray(x).resize(small, Image.Resampling.BILINEAR) for x in photos]
    parts = Parts.of(model.parts(to_float(np.stack(reduced)), training=False))
    enlarged = [tf.image.resize(x, (40, 40)) for x in parts]
    enlarged[1] *= 40 / SIZE  # an outline as many pixels wide as in the small drawing
    enlarged[4] = warp(large, enlarged[0])
    expected = Parts(*enlarged).compose()
    np.testing.assert_allclose(model.draw_at(large, 40), expected, atol=1e-5)


def test_an_outline_stays_as_many_pixels_wide():
    logits = np.tile((np.arange(SIZE, dtype="float32") - 7.5)[:, None, None], (1, 1, SIZE, 1))
    flow = np.zeros((1, SIZE, SIZE, 2), "float32")
    others = np.tile(np.float32([9, 0, 0, 0, 0, 0, 0]), (1, SIZE, SIZE, 1))  # all moved, no paint
    maps = np.concatenate([flow, logits, others[..., :1], others[..., 1:4], others[..., 4:]], -1)
    black = -np.ones((1, PHOTO, PHOTO, 3), "float32")

    def width(size):
        """Pixels between a tenth and nine tenths of the step from white to black."""
        drawn = np.asarray(draw_enlarged(black, maps, size))[0, :, 0, 0]
        return ((drawn > -0.8) & (drawn < 0.8)).sum()

    assert width(8 * SIZE) == width(2 * SIZE) == width(SIZE) == 4


# Terms of the objective


def test_garments_are_what_is_not_white():
    target = np.ones((1, 1, 3, 3), "float32")
    target[0, 0, 0, 2], target[0, 0, 1] = 0.9, 0.97
    np.testing.assert_array_equal(garment_mask(target)[0, 0, :, 0], [1, 0, 0])


def test_error_inside_a_mask():
    x, y = np.zeros((1, 1, 3, 2), "float32"), np.ones((1, 1, 3, 2), "float32")
    y[0, 0, 1] = [2, -4]
    mask = np.array([1, 0.5, 0], "float32").reshape(1, 1, 3, 1)
    assert float(masked_error(x, y, mask)) == pytest.approx((2 + 0.5 * 6) / (2 * 1.5))
    assert float(masked_error(x, y, 0 * mask)) == 0
    both = [np.concatenate(pair) for pair in ((x, x), (y, y + 1), (mask, 0 * mask + 1))]
    assert float(masked_error(*both)) == pytest.approx(((5 / 3) + (2 + 2 + 3 + 3 + 2 + 2) / 6) / 2)


def test_bending_is_the_second_difference():
    rows, columns = np.mgrid[:4, :5].astype("float32")
    affine = np.stack([2 * rows - columns, 3 * columns], -1)[None]
    assert float(bending(affine)) == pytest.approx(0, abs=1e-6)
    bent = np.stack([rows**2, 0 * rows], -1)[None]  # 2 along one axis, in one of two channels
    assert float(bending(bent)) == pytest.approx(1)
    assert float(bending(np.swapaxes(bent, 1, 2))) == pytest.approx(1)


def test_error_of_the_flow_where_it_is_known():
    flow = np.zeros((1, 4, 4, 2), "float32")
    flow[0, :2, 2:] = [[[0, 0], [4, 0]], [[0, 0], [0, 8]]]  # on average (1, 2)
    truth = np.full((1, 2, 2, 2), np.nan, "float32")
    truth[0, 0, 1] = [0.5, 1.0]
    truth[0, 1, 0] = [0.25, 0.0]
    expected = (0.5 + 1.0 + 0.25 + 0) / 4
    assert float(flow_error(flow, truth)) == pytest.approx(expected)
    x = tf.constant(flow)
    with tf.GradientTape() as tape:
        tape.watch(x)
        error = flow_error(x, truth)
    assert np.isfinite(tape.gradient(error, x)).all()
    assert float(flow_error(flow, np.full_like(truth, np.nan))) == 0
    with pytest.raises(
        ValueError, match="a multiple. Received: 8 rows, 8 columns and image_size=4"
    ):
        flow_error(flow, np.zeros((1, 8, 8, 2), "float32"))


def test_overlap_error_by_hand():
    found = np.zeros((2, 4, 4, 1), "float32")
    mask = np.zeros_like(found)
    found[0, :2], mask[0, 1:3] = 0.5, 1.0
    # 4 pixels of 0.5 in both; 8 of 0.5 and 8 of 1, less those 2. The second masks are empty.
    expected = (1 - (2 + 1) / (4 + 8 - 2 + 1) + 0) / 2
    assert float(overlap_error(found, mask)) == pytest.approx(expected)


def expected_losses(model, batch):
    source, target = batch["source"], batch["target"].astype("float64")
    photo = source.reshape(-1, SIZE, 2, SIZE, 2, 3).mean((2, 4))
    parts = Parts.of(model.parts(source, training=True))
    drawn = np.asarray(parts.compose(), "float64")
    gate = sigmoid(parts.gate)
    garment = gate * np.asarray(parts.warped) + (1 - gate) * np.tanh(np.asarray(parts.paint))
    mask = batch.get("mask", (target.min(-1, keepdims=True) < 249.5 / 127.5 - 1).astype("float64"))
    p = sigmoid(parts.mask)
    loss = model.l1_weight * np.abs(drawn - target).mean()
    loss -= model.mask_weight * (mask * np.log(p) + (1 - mask) * np.log(1 - p)).mean()
    both, either = (mask * p).sum((1, 2, 3)), (mask + p - mask * p).sum((1, 2, 3))
    loss += model.overlap_weight * (1 - (both + 1) / (either + 1)).mean()
    for weight, image in ((model.garment_weight, garment), (model.warp_weight, parts.warped)):
        errors = (mask * np.abs(np.asarray(image) - target)).sum((1, 2, 3))
        loss += weight * (errors / (3 * mask.sum((1, 2, 3)))).mean()
    painted = (mask * (1 - gate)).sum((1, 2, 3)) / mask.sum((1, 2, 3))
    loss += model.paint_weight * painted.mean()
    flow = np.asarray(parts.flow, "float64")
    bends = [np.abs(np.diff(flow, 2, axis)).mean() for axis in (1, 2)]
    loss += model.bending_weight * sum(bends)
    if "flow" in batch:
        pooled = flow.reshape(-1, 8, 2, 8, 2, 2).mean((2, 4))
        loss += model.flow_weight * np.nanmean(np.abs(pooled - batch["flow"]))

    def verdicts(mask):
        pair = np.concatenate([photo, 2 * mask - 1], -1).astype("float32")
        return sigmoid(model.discriminator(pair, training=True))

    real, fake = verdicts(mask), verdicts(p)
    loss -= model.gan_weight * np.log(fake).mean()
    return {
        "discriminator_loss": -(np.log(real).mean() + np.log(1 - fake).mean()) / 2,
        "converter_loss": loss,
    }


@pytest.mark.parametrize(
    ("term", "learning"),
    [
        ("l1_weight", [0]),
        ("mask_weight", [0]),
        ("overlap_weight", [0]),
        ("gan_weight", [0]),
        ("paint_weight", [1]),
        ("garment_weight", [1, 2, 3, 4]),
    ],
)
def test_what_learns_from_a_term(term, learning):
    """Of mask (0), gate (1) and paint."""
    terms = ("l1_weight", "garment_weight", "paint_weight", "mask_weight", "overlap_weight",
             "warp_weight", "bending_weight", "flow_weight", "gan_weight")  # fmt: skip
    model = uneven(compiled(keras.optimizers.SGD(0.1), **{**dict.fromkeys(terms, 0.0), term: 10.0}))
    head = model.parts.get_layer(f"mask_gate_paint{SIZE}")
    before = np.array(head.kernel)
    step(model, batch_of())
    moved = np.abs(before - head.kernel).max((0, 1, 2))
    assert [i for i in range(5) if moved[i] > 1e-7] == learning


@pytest.mark.parametrize("truth", [True, False])
def test_losses_are_the_weighted_terms(truth):
    model = uneven(
        compiled(keras.optimizers.SGD(0.0), l1_weight=7.0, mask_weight=1.5, overlap_weight=4.0)
    )
    batch = batch_of(5, truth=truth)
    expected = expected_losses(twin_of(model), batch)
    assert step(model, batch) == pytest.approx(expected, rel=1e-4)


def test_the_adversarial_term_counts_from_its_phase_on():
    batch = batch_of(5)
    losses = {}
    for phase in (0, 1, 2):
        model = uneven(compiled(keras.optimizers.SGD(0.0), gan_phase=1))
        model.on_phase(phase, 0.5)
        losses[phase] = step(model, batch)
    without = uneven(compiled(keras.optimizers.SGD(0.0), gan_weight=0.0))
    assert losses[0]["converter_loss"] == pytest.approx(step(without, batch)["converter_loss"])
    assert losses[1] == losses[2]
    assert losses[1]["converter_loss"] > losses[0]["converter_loss"] + 0.1
    assert losses[0]["discriminator_loss"] == losses[1]["discriminator_loss"]


def test_each_update_moves_the_weights_of_its_player_only():
    for player in PLAYERS:
        model = compiled({name: keras.optimizers.SGD(0.1 * (name == player)) for name in PLAYERS})
        before = {name: values_of(model.player_variables(name)) for name in PLAYERS}
        step(model, batch_of())
        for name in PLAYERS:
            moved = [
                not np.array_equal(a, b)
                for a, b in zip(before[name], model.player_variables(name), strict=True)
            ]
            assert any(moved) == (name == player)


def test_every_weight_learns():
    model = uneven(compiled(keras.optimizers.SGD(0.1)))
    before = values_of(model.trainable_variables)
    step(model, batch_of(8))
    for a, b in zip(before, model.trainable_variables, strict=True):
        assert np.abs(a - b).max() > 1e-8, b.path


def test_it_learns_where_to_look():
    """Products are the middle of their photos: the flow is found from the pixels alone."""
    rng = np.random.default_rng(0)
    small = rng.uniform(-1, 0.5, (48, 4, 4, 3)).astype("float32")
    photo = tf.image.resize(small, (PHOTO, PHOTO)).numpy()
    batch = {"source": photo, "target": photo[:, 8:24, 8:24]}
    model = compiled(photo_size=PHOTO, gan_weight=0.0, bending_weight=1.0)
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(batch, batch_size=16, epochs=25, verbose=0)
    flow = np.asarray(Parts.of(model.parts(photo, training=True)).flow)
    centers = ((np.arange(SIZE) + 0.5) * 2 / SIZE - 1) / 2
    expected = np.stack(np.meshgrid(centers, centers), -1)
    begin = np.abs(expected).mean()  # of the flow with which it begins
    assert np.abs(flow - expected).mean() < begin / 4


# Arguments, evaluation, saving


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 8}, "`image_size` must be a power of two from 16"),
        (
            {"photo_size": 48},
            "`photo_size` must be `image_size` times a power of two.*Received: 48",
        ),
        ({"photo_size": 8}, "`photo_size` must be `image_size` times a power of two.*Received: 8"),
        ({"image_size": (256, 101)}, r"shorter one even.*Received: \(256, 101\)"),
        ({"image_size": (192, 128)}, "A rectangle's longer side must be that"),
        ({"image_size": (16, 12), "photo_size": 32}, r"times a power of.*32 and \(16, 12\)"),
        ({"image_size": (16, 12), "photo_size": (48, 36)}, "times a power of two, on both sides"),
        ({"image_size": "16x12"}, r"`image_size` must be the side of a square, or \(height"),
        ({"photo_size": 512}, "at most 16 times `image_size`. Received: 512 and 16"),
        ({"width": 0}, "`width` must be positive"),
        ({"warp_weight": -1.0}, "must not be negative"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        AppearanceFlow(**{**TINY, **arguments})


def train(model, epochs, initial_epoch=0):
    return model.fit(
        batch_of(8, seed=4), batch_size=4, epochs=epochs, initial_epoch=initial_epoch,
        shuffle=False, verbose=0,
    )  # fmt: skip


def test_evaluate_compares_targets_with_what_predict_draws():
    model = compiled(metrics=[RootMeanSquaredError()])
    train(model, 1)
    batch = batch_of(5, seed=2)
    drawn = model.predict(batch, verbose=0)
    squared = ((drawn - batch["target"]) / 2).astype("float64") ** 2
    expected = pytest.approx(np.sqrt(squared.mean((1, 2, 3))).mean(), rel=1e-5)
    scores = model.evaluate(batch, batch_size=3, verbose=0, return_dict=True)
    assert {name: float(score) for name, score in scores.items()} == {"rmse": expected}


def test_a_saved_model_continues_bit_for_bit(tmp_path):
    model = compiled(keras.optimizers.Adam(1e-2))
    train(model, epochs=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    assert_same_state(loaded, model)
    for continued in (model, loaded):
        continued.run_eagerly = True
        train(continued, epochs=2, initial_epoch=1)
    assert_same_state(loaded, model)


def test_config_mirrors_the_arguments():
    arguments = {
        "image_size": 32, "width": 1 / 32, "photo_size": 128, "discriminator_width": 1 / 16,
        "l1_weight": 2.0, "garment_weight": 7.0, "paint_weight": 0.2, "mask_weight": 3.0,
        "overlap_weight": 2.5,
        "warp_weight": 4.0, "bending_weight": 5.0, "flow_weight": 6.0, "gan_weight": 0.1,
        "gan_phase": 1, "mask_sharpness": 2.0, "moves": True, "warped_skips": False,
    }  # fmt: skip
    config = AppearanceFlow(**arguments, name="mine", dtype="mixed_bfloat16").get_config()
    again = AppearanceFlow.from_config(json.loads(json.dumps(config)))
    assert {key: getattr(again, key) for key in arguments} == arguments
    assert again.name == "mine"
    assert again.parts.get_layer("encoder8").compute_dtype == "bfloat16"


# Mixed precision, devices, backends


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_moves_all_weights_as_float32_does(dtype):
    arguments = {"optimizer": keras.optimizers.SGD(0.05), "l1_weight": 1.0}
    expected, mixed = compiled(**arguments), compiled(**arguments, dtype=dtype)
    batch = batch_of(8)
    checks.assert_step_moves_alike(expected, mixed, batch)
    assert mixed.parts.get_layer("encoder8").compute_dtype == dtype.removeprefix("mixed_")
    assert mixed.parts.get_layer("decoder8_warp0").output.dtype == dtype.removeprefix("mixed_")
    assert mixed.parts.get_layer("affine_flow8").output.dtype == "float32"
    assert mixed(batch["source"], training=False).dtype == "float32"


def replicated():
    keras.utils.set_random_seed(0)
    model = uneven(AppearanceFlow(**TINY))
    # Long steps would amplify the rounding of sums that are added in another order.
    model.compile(keras.optimizers.SGD(2e-3))
    return model


def fit_replicated(model):
    fitted = model.fit(batch_of(7), batch_size=4, epochs=2, shuffle=False, verbose=0)
    return fitted.history.values()


JAX_ARGUMENTS = TINY
JAX = """
from keras_pixdt.models.appearance_flow import AppearanceFlow
from tests.samples import flow_batch, uneven
batch = flow_batch(8)
# Not the weights that training begins with: there points lie exactly on pixels.
model = uneven(AppearanceFlow(**arguments))
model.compile(keras.optimizers.SGD(2e-4))
model.save(f"{folder}/before.keras")
logs = model.fit(batch, batch_size=4, epochs=1, shuffle=False, verbose=0).history
model.save(f"{folder}/after.keras")
drawn = model.predict(batch["source"], verbose=0)
np.savez(f"{folder}/drawn.npz", drawn=drawn, **logs)
"""


def compare_with_jax(folder, monkeypatch):
    checks.assert_steps_equal_those_on_jax(folder, batch_of(8))


def test_maps_are_read_in_the_order_in_which_they_are_written():
    widths = [x.shape[-1] for x in Parts.of(np.zeros((1, 2, 2, 10), "float32"))]
    assert dict(zip(Parts._fields, widths, strict=True)) == {
        "flow": 2, "mask": 1, "gate": 1, "paint": 3, "warped": 3,
    }  # fmt: skip
    assert appearance_flow.build_parts(16, 16, 1 / 64).output_shape[-1] == 10
