import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_pixdt.data.paired_batches import Triplets
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.metrics import RootMeanSquaredError
from keras_pixdt.models.pixel_dtgan import PixelDTGAN, Selection
from tests.models import checks
from tests.models.checks import assert_same_state, state_of, step, trainable, values_of
from tests.samples import batch_of, images

SIZE = 16
TINY = {"image_size": SIZE, "width": 1 / 32}  # strided layers of 4 and 8 filters
PLAYERS = ["real_fake_discriminator", "domain_discriminator", "converter"]


def compiled(optimizer=None, metrics=None, **kwargs):
    """A tiny model with weights of seed 0, run eagerly: nothing is traced."""
    keras.utils.set_random_seed(0)
    model = PixelDTGAN(**{**TINY, **kwargs})
    optimizer = optimizer or keras.optimizers.SGD(0.05, momentum=0.5)
    model.compile(optimizer, metrics=metrics, run_eagerly=True)
    return model


# Networks. Table 1, as it prints them: layer, number of filters, filter size w x h x ch, whether
# BatchNorm follows. For fractional strides the table prints (filters of the input) and
# w x h x (channels of the output).

STRIDED = [
    ("Conv. 1", 128, (5, 5, 3), False),
    ("Conv. 2", 256, (5, 5, 128), True),
    ("Conv. 3", 512, (5, 5, 256), True),
    ("Conv. 4", 1024, (5, 5, 512), True),
]
# 4x4 where the table prints 1x1: the class's docstring says why.
ENCODER = [*STRIDED, ("Conv. 5", 64, (4, 4, 1024), True)]
REAL_FAKE = [*STRIDED, ("Conv. 5", 1, (4, 4, 1024), False)]
DOMAIN = [("Conv. 1", 128, (5, 5, 6), False), *REAL_FAKE[1:]]
DECODER = [
    ("Conv. 1", 4 * 4 * 1024, (1, 1, 64), True),
    ("F-Conv. 2", 1024, (5, 5, 512), True),
    ("F-Conv. 3", 512, (5, 5, 256), True),
    ("F-Conv. 4", 256, (5, 5, 128), True),
    ("F-Conv. 5", 128, (5, 5, 3), False),
]


def parameters(table):
    """Trainable parameters of layers of Table 1, by hand.

    A layer without BatchNorm has one bias for each of its output channels, one with it an offset
    and a scale. The decoder's first layer is reshaped to 4x4x1024 before its BatchNorm, which
    has one of each for each of the 1024 channels.
    """
    total = 0
    for name, count, (width, height, channels), batch_norm in table:
        outputs = channels if name.startswith("F-") else count
        if count == 4 * 4 * 1024:
            outputs = 1024
        total += width * height * channels * count + (2 if batch_norm else 1) * outputs
    return total


@pytest.fixture(scope="module")
def full():
    """The paper's networks, at full width."""
    keras.utils.set_random_seed(0)
    return PixelDTGAN()


def test_parameter_counts_are_those_of_table_1(full):
    # The sums, once more written out, so that the helper above is checked too.
    convs = 9_600 + 819_200 + 3_276_800 + 13_107_200  # 5x5: 3*128, 128*256, 256*512, 512*1024
    code = 4 * 4 * 1024 * 64
    encoder = convs + code + 128 + 2 * (256 + 512 + 1024 + 64)
    decoder = code + convs + 2 * (1024 + 512 + 256 + 128) + 3
    assert parameters([*ENCODER, *DECODER]) == encoder + decoder == 36_530_435
    assert trainable(full.converter) == 36_530_435
    real_fake = convs + 4 * 4 * 1024 + 128 + 2 * (256 + 512 + 1024) + 1
    assert parameters(REAL_FAKE) == real_fake == trainable(full.real_fake_discriminator)
    # The domain discriminator sees 6 channels: 5 * 5 * 3 * 128 weights more.
    assert parameters(DOMAIN) == real_fake + 9_600 == trainable(full.domain_discriminator)


def described(network):
    """The layers as Table 1 lists them: kind, outputs, filter, stride, BatchNorm, activation."""
    rows = []
    for layer in network.layers:
        if isinstance(layer, (layers.Conv2D, layers.Conv2DTranspose)):
            kind = "F-Conv" if isinstance(layer, layers.Conv2DTranspose) else "Conv"
            rows.append([kind, layer.filters, layer.kernel_size, layer.strides, None, None])
            rows[-1].append(layer.use_bias)
        elif isinstance(layer, layers.BatchNormalization):
            rows[-1][4] = "before" if rows[-1][5] is None else "after"
        elif isinstance(layer, layers.LeakyReLU):
            rows[-1][5] = f"L-ReLU {layer.negative_slope:.1f}"
        elif isinstance(layer, layers.ReLU):
            rows[-1][5] = "ReLU"
        elif isinstance(layer, layers.Activation):
            rows[-1][5] = layer.activation.__name__
        elif not isinstance(layer, (layers.InputLayer, layers.Reshape)):
            raise AssertionError(f"Table 1 has no {type(layer).__name__}")
    return [tuple(row) for row in rows]


def test_layers_are_those_of_table_1(full):
    leaky, one, two = "L-ReLU 0.2", (1, 1), (2, 2)
    strided = [
        # kind, filters, size, stride, BatchNorm, activation, bias
        ("Conv", 128, (5, 5), two, None, leaky, True),
        ("Conv", 256, (5, 5), two, "before", leaky, False),
        ("Conv", 512, (5, 5), two, "before", leaky, False),
        ("Conv", 1024, (5, 5), two, "before", leaky, False),
    ]
    assert described(full.converter) == [
        *strided,
        ("Conv", 64, (4, 4), one, "before", leaky, False),
        ("Conv", 16 * 1024, (1, 1), one, "before", "ReLU", False),
        ("F-Conv", 512, (5, 5), two, "before", "ReLU", False),
        ("F-Conv", 256, (5, 5), two, "before", "ReLU", False),
        ("F-Conv", 128, (5, 5), two, "before", "ReLU", False),
        ("F-Conv", 3, (5, 5), two, None, "tanh", True),
    ]
    verdict = ("Conv", 1, (4, 4), one, None, None, True)  # logits: the sigmoid is in the loss
    assert described(full.real_fake_discriminator) == [*strided, verdict]
    assert described(full.domain_discriminator) == [*strided, verdict]


def test_maps_halve_to_one_code_and_double_to_the_image(full):
    maps = [
        tuple(layer.output.shape[1:])
        for layer in full.converter.layers
        if isinstance(layer, (layers.Conv2D, layers.Conv2DTranspose, layers.Reshape))
    ]
    assert maps == [
        (32, 32, 128), (16, 16, 256), (8, 8, 512), (4, 4, 1024), (1, 1, 64),
        (1, 1, 16384), (4, 4, 1024), (8, 8, 512), (16, 16, 256), (32, 32, 128), (64, 64, 3),
    ]  # fmt: skip
    assert full.converter.output_shape == full.generated_shape() == (None, 64, 64, 3)
    assert full.real_fake_discriminator.input_shape == (None, 64, 64, 3)
    assert full.domain_discriminator.input_shape == (None, 64, 64, 6)
    assert full.real_fake_discriminator.output_shape == (None, 1)
    assert full.domain_discriminator.output_shape == (None, 1)


def test_filters_start_from_a_gaussian_of_002(full):
    kernels = [np.asarray(v) for v in full.trainable_variables if v.path.endswith("kernel")]
    assert len(kernels) == 10 + 5 + 5
    for kernel in kernels:
        tolerance = 5 * 0.02 / np.sqrt(kernel.size)  # 5 standard errors
        assert abs(kernel.mean()) < tolerance
        assert abs(kernel.std() - 0.02) < tolerance
        assert np.abs(kernel).max() > 0.06  # not a truncated Gaussian
    # Layers of one shape must not start as copies of each other.
    second = [kernel.ravel()[:100] for kernel in kernels if kernel.shape == (5, 5, 128, 256)]
    assert len(second) == len(np.unique(second, axis=0)) == 4  # also the transpose F-Conv. 4


@pytest.mark.parametrize(
    ("image_size", "width", "filters"),
    [
        (16, 1 / 32, [4, 8]),
        (32, 1 / 16, [8, 16, 32]),
        (64, 1 / 32, [4, 8, 16, 32]),
        (128, 1 / 64, [2, 4, 8, 16, 16]),  # the fifth layer keeps Table 1's widest
        (16, 0.001, [1, 1]),  # never less than one
    ],
)
def test_other_sizes_and_widths(image_size, width, filters):
    model = PixelDTGAN(image_size, width)
    inputs = [3, *filters]
    convs = sum(5 * 5 * a * b for a, b in zip(inputs, filters, strict=False))
    offsets = filters[0] + 2 * sum(filters[1:])  # one bias, then BatchNorm
    last = 4 * 4 * filters[-1]
    encoder = convs + offsets + last * 64 + 2 * 64
    decoder = 64 * last + convs + 2 * sum(filters) + 3
    assert trainable(model.converter) == encoder + decoder
    assert trainable(model.real_fake_discriminator) == convs + offsets + last + 1
    assert trainable(model.domain_discriminator) == (
        convs + 5 * 5 * 3 * filters[0] + offsets + last + 1
    )
    converted = np.asarray(model(images(2, image_size)))
    assert converted.shape == (2, image_size, image_size, 3)
    assert np.abs(converted).max() <= 1
    assert trainable(model) == sum(trainable(getattr(model, name)) for name in PLAYERS)


def test_discriminators_may_have_a_width_of_their_own():
    wide, narrow = PixelDTGAN(16, 1 / 16), PixelDTGAN(16, 1 / 32)
    mixed = PixelDTGAN(16, 1 / 16, discriminator_width=1 / 32)
    assert trainable(mixed.converter) == trainable(wide.converter)
    for name in PLAYERS[:2]:
        assert trainable(getattr(mixed, name)) == trainable(getattr(narrow, name))


# Objective


def constant_verdicts(model, **logits):
    """Makes discriminators return one logit whatever they see."""
    for name, logit in logits.items():
        verdict = getattr(model, name).get_layer("conv3")
        verdict.kernel.assign(ops.zeros_like(verdict.kernel))
        verdict.bias.assign([logit])


def test_converter_loss_sums_the_weighted_terms():
    weights = {"real_fake_weight": 0.25, "domain_weight": 2.0, "mse_weight": 3.0, "l1_weight": 0.7}
    model = PixelDTGAN(**TINY, **weights)
    constant_verdicts(model, real_fake_discriminator=1.3, domain_discriminator=-0.4)
    source, target, converted = images(3), images(3, seed=1), images(3, seed=2)
    # The converter wants both verdicts to be 1: -log sigmoid(logit) = log(1 + exp(-logit)).
    expected = 0.25 * np.log1p(np.exp(-1.3)) + 2.0 * np.log1p(np.exp(0.4))
    difference = (converted - target).astype("float64")
    expected += 3.0 * (difference**2).mean() + 0.7 * np.abs(difference).mean()
    assert float(model.converter_loss(source, target, converted)) == pytest.approx(expected)


def test_the_papers_objective_is_half_of_each_discriminator():
    model = PixelDTGAN(**TINY)
    constant_verdicts(model, real_fake_discriminator=0.0, domain_discriminator=2.0)
    batch = images(2)
    expected = 0.5 * np.log(2) + 0.5 * np.log1p(np.exp(-2.0))  # Eq. 6, no other term
    assert float(model.converter_loss(batch, batch, -batch)) == pytest.approx(expected)


def judge_by_brightness(network):
    """Makes the logit the mean of the last three channels: constant images, constant verdicts."""

    def call(images, training, mask=None):
        assert training
        return ops.mean(images[..., -3:], axis=(1, 2, 3))[:, None]

    network.call = call


def plain_images(level):
    return np.full((3, SIZE, SIZE, 3), level, "float32")


TARGET, CONVERTED, IRRELEVANT = 0.8, -0.3, 0.5  # logits
# Cross entropies: -log sigmoid(x) = log(1 + exp(-x)) for label 1, log(1 + exp(x)) for label 0.
TARGET_YES = np.log1p(np.exp(-TARGET))
CONVERTED_NO = np.log1p(np.exp(CONVERTED))
IRRELEVANT_NO = np.log1p(np.exp(IRRELEVANT))


@pytest.mark.parametrize(
    ("irrelevant_pairs", "expected"),
    [
        # Of three, two are real: the target, and the target of another source.
        (True, 2 / 3 * TARGET_YES + 1 / 3 * CONVERTED_NO),
        (False, 1 / 2 * TARGET_YES + 1 / 2 * CONVERTED_NO),
    ],
)
def test_real_fake_loss_weighs_kinds_as_the_selection_would(irrelevant_pairs, expected):
    model = PixelDTGAN(**TINY, irrelevant_pairs=irrelevant_pairs)
    judge_by_brightness(model.real_fake_discriminator)
    loss = model.real_fake_loss(plain_images(TARGET), plain_images(CONVERTED))
    assert float(loss) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("irrelevant", "expected"),
    [
        # Real or not, an irrelevant target does not belong to the source.
        (plain_images(IRRELEVANT), (TARGET_YES + CONVERTED_NO + IRRELEVANT_NO) / 3),
        (None, (TARGET_YES + CONVERTED_NO) / 2),
    ],
)
def test_domain_loss_weighs_kinds_alike(irrelevant, expected):
    model = PixelDTGAN(**TINY, irrelevant_pairs=irrelevant is not None)
    judge_by_brightness(model.domain_discriminator)
    target, converted = plain_images(TARGET), plain_images(CONVERTED)
    loss = model.domain_loss(images(3), target, irrelevant, converted)
    assert float(loss) == pytest.approx(expected)


# Algorithm 1 and Eq. 6 as printed

PRINTED = {"selection": "sample", "converter_objective": "saturating"}
KINDS = {"converted": 0, "target": 1, "irrelevant": 2}


def selection_of(kinds, target, irrelevant):
    """What `select` would return had it drawn these kinds."""
    one_hot = np.eye(3, dtype="float32")[[KINDS[kind] for kind in kinds]]
    others = np.where(one_hot[:, 1, None, None, None] > 0, target, irrelevant)
    return Selection(others, one_hot[:, :1], one_hot[:, 1:2])


@pytest.mark.parametrize("irrelevant_pairs", [True, False])
def test_each_sample_gets_one_image_with_equal_probability(irrelevant_pairs):
    model = PixelDTGAN(**TINY, **PRINTED, irrelevant_pairs=irrelevant_pairs, seed=3)
    target, irrelevant = (np.full((6000, 1, 1, 3), level, "float32") for level in (0.2, 0.4))
    converted = np.full((6000, 1, 1, 3), 0.6, "float32")

    def shares(model):
        selected = model.select(target, irrelevant if irrelevant_pairs else None)
        images = np.asarray(selected.images(converted))[:, 0, 0, 0]
        assert set(np.unique(images)) <= {np.float32(x) for x in (0.2, 0.4, 0.6)}
        np.testing.assert_array_equal(selected.is_converted[:, 0] == 1, images == np.float32(0.6))
        np.testing.assert_array_equal(selected.is_target[:, 0] == 1, images == np.float32(0.2))
        return images

    first, second = shares(model), shares(model)
    counts = [np.mean(first == np.float32(level)) for level in (0.2, 0.4, 0.6)]
    expected = [1 / 3] * 3 if irrelevant_pairs else [1 / 2, 0, 1 / 2]
    np.testing.assert_allclose(counts, expected, atol=0.02)  # three standard errors
    assert 0.2 < np.mean(first == second) < 0.6  # drawn anew in each step
    again = PixelDTGAN(**TINY, **PRINTED, irrelevant_pairs=irrelevant_pairs, seed=3)
    np.testing.assert_array_equal(shares(again), first)


def test_printed_losses_are_means_over_the_selected_images():
    model = PixelDTGAN(**TINY, **PRINTED)
    for name in PLAYERS[:2]:
        judge_by_brightness(getattr(model, name))
    calls = {name: calls_of(getattr(model, name)) for name in PLAYERS[:2]}
    target, irrelevant, converted = map(plain_images, (TARGET, IRRELEVANT, CONVERTED))
    selected = selection_of(["irrelevant", "converted", "target"], target, irrelevant)
    irrelevant_yes = np.log1p(np.exp(-IRRELEVANT))
    real_fake = (irrelevant_yes + CONVERTED_NO + TARGET_YES) / 3
    domain = (IRRELEVANT_NO + CONVERTED_NO + TARGET_YES) / 3
    loss = model.real_fake_loss(target, converted, selected)
    assert float(loss) == pytest.approx(real_fake)
    loss = model.domain_loss(images(3), target, irrelevant, converted, selected)
    assert float(loss) == pytest.approx(domain)
    # Eq. 6: half of each, with the other sign, on the same batch.
    loss = model.converter_loss(images(3), target, converted, selected)
    assert float(loss) == pytest.approx(-(real_fake + domain) / 2)
    # The converter's image alone counts where the objective does not saturate.
    model.converter_objective = "non_saturating"
    loss = model.converter_loss(images(3), target, converted, selected)
    assert float(loss) == pytest.approx(np.log1p(np.exp(-CONVERTED)) / 3)
    levels = np.float32([IRRELEVANT, CONVERTED, TARGET])
    for seen in calls.values():
        assert len(seen) == 3
        for shown, _ in seen:
            np.testing.assert_array_equal(shown[:, 0, 0, -1], levels)


@pytest.mark.parametrize(
    ("objective", "slope"),
    [
        # d/dx -log(1 + exp(x)) = -sigmoid(x), the discriminator's gradient with the other sign.
        ("saturating", lambda x: -1 / (1 + np.exp(-x))),
        ("non_saturating", lambda x: -1 / (1 + np.exp(x))),
    ],
)
@pytest.mark.parametrize("logit", [-9.0, 0.0])
def test_only_converted_images_carry_a_gradient_and_it_saturates_as_printed(
    objective, slope, logit
):
    model = PixelDTGAN(**TINY, selection="sample", converter_objective=objective)
    for name in PLAYERS[:2]:
        judge_by_brightness(getattr(model, name))
    target, irrelevant = plain_images(TARGET), plain_images(IRRELEVANT)
    selected = selection_of(["target", "converted", "irrelevant"], target, irrelevant)
    converted = tf.constant(plain_images(logit))
    with tf.GradientTape() as tape:
        tape.watch(converted)
        loss = model.converter_loss(images(3), target, converted, selected)
    gradient = tape.gradient(loss, converted).numpy().sum(axis=(1, 2, 3))
    # Halves of two equal discriminators, one of three samples.
    np.testing.assert_allclose(gradient, [0, slope(logit) / 3, 0], rtol=1e-4, atol=1e-9)


def calls_of(network):
    """A list to which each call of a network adds its images and the logits that it gave them."""
    calls, call = [], network.call

    def noted(images, training, mask=None):
        logits = call(images, training=training)
        calls.append((np.asarray(images), np.asarray(logits)))
        return logits

    network.call = noted
    return calls


@pytest.mark.parametrize("name", PLAYERS[:2])
def test_the_converter_learns_from_the_verdicts_of_the_discriminators_update(name):
    """The batch that BatchNorm sees with a converted image is the same in both updates."""
    rates = {player: keras.optimizers.SGD(0.05 * (player == "converter")) for player in PLAYERS}
    model = compiled(rates)
    calls = calls_of(getattr(model, name))
    batch = batch_of(8)
    step(model, batch)
    converted, expected = calls.pop()  # the converter's update comes last
    verdicts = {
        image.tobytes(): logit
        for images, logits in calls
        for image, logit in zip(images, logits, strict=True)
    }
    assert {image.tobytes() for image in converted} <= set(verdicts)  # all were shown
    found = np.stack([verdicts[image.tobytes()] for image in converted])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    # In a batch with the targets, or on its own, the same image gets another verdict.
    network = getattr(model, name)
    mixed = np.concatenate([converted[:4], calls[0][0][4:]])
    for others in (mixed, converted[:4]):
        logits = np.asarray(network(others, training=True))[:4]
        assert np.abs(logits - expected[:4]).min() > 1e-4


# The step


class Reference:
    """Algorithm 1 once more, as plainly as TensorFlow allows: a forward pass for each use."""

    def __init__(self, model, rate, momentum):
        self.rate, self.momentum = rate, momentum
        twin = PixelDTGAN.from_config(model.get_config())
        twin.set_weights(model.get_weights())
        self.weights = {
            "rf": model.real_fake_weight,
            "dd": model.domain_weight,
            "mse": model.mse_weight,
            "l1": model.l1_weight,
        }
        self.irrelevant_pairs = model.irrelevant_pairs
        self.c = twin.converter
        self.rf = getattr(twin, "real_fake_discriminator", None)
        self.dd = getattr(twin, "domain_discriminator", None)
        networks = [n for n in (self.rf, self.dd, self.c) if n is not None]
        self.velocity = {id(v): tf.zeros(v.shape) for n in networks for v in n.trainable_weights}

    def sgd(self, tape, loss, network):
        variables = network.trainable_weights
        for variable, gradient in zip(
            variables, tape.gradient(loss, [v.value for v in variables]), strict=True
        ):
            velocity = self.momentum * self.velocity[id(variable)] - self.rate * gradient
            self.velocity[id(variable)] = velocity
            variable.assign(variable + velocity)

    @staticmethod
    def cross_entropy(labels, logits):
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))

    def step(self, batch):
        source, target = batch["source"], batch["target"]
        converted = self.c(source, training=True).numpy()
        yes, no = tf.ones((len(source), 1)), tf.zeros((len(source), 1))
        losses = {}
        if self.rf:
            with tf.GradientTape() as tape:
                real = self.cross_entropy(yes, self.rf(target, training=True))
                fake = self.cross_entropy(no, self.rf(converted, training=True))
                loss = (2 * real + fake) / 3 if self.irrelevant_pairs else (real + fake) / 2
            self.sgd(tape, loss, self.rf)
            losses["real_fake_discriminator_loss"] = float(loss)
        if self.dd:
            kinds = [(target, yes), (converted, no)]
            if self.irrelevant_pairs:
                kinds.append((batch["irrelevant"], no))
            with tf.GradientTape() as tape:
                terms = [
                    self.cross_entropy(label, self.dd(tf.concat([source, x], 3), training=True))
                    for x, label in kinds
                ]
                loss = tf.reduce_mean(terms)
            self.sgd(tape, loss, self.dd)
            losses["domain_discriminator_loss"] = float(loss)
        with tf.GradientTape() as tape:
            converted = self.c(source, training=True)
            loss = self.weights["mse"] * tf.reduce_mean((converted - target) ** 2)
            loss += self.weights["l1"] * tf.reduce_mean(tf.abs(converted - target))
            if self.rf:
                verdict = self.rf(converted, training=True)
                loss += self.weights["rf"] * self.cross_entropy(yes, verdict)
            if self.dd:
                verdict = self.dd(tf.concat([source, converted], axis=3), training=True)
                loss += self.weights["dd"] * self.cross_entropy(yes, verdict)
        self.sgd(tape, loss, self.c)
        losses["converter_loss"] = float(loss)
        return losses


class Printed(Reference):
    """The same as printed, with the kinds that are given."""

    def step(self, batch, kinds):
        source = batch["source"]
        place = np.array([KINDS[kind] for kind in kinds])[:, None, None, None]
        real, associated = (
            tf.constant(np.float32(values))[:, None]
            for values in (place[:, 0, 0, 0] > 0, place[:, 0, 0, 0] == 1)
        )

        def selected():
            converted = self.c(source, training=True)
            others = np.where(place == 1, batch["target"], batch["irrelevant"])
            return tf.where(place == 0, converted, others)

        def loss_rf(images):
            return self.cross_entropy(real, self.rf(images, training=True))

        def loss_dd(images):
            pair = tf.concat([source, images], axis=3)
            return self.cross_entropy(associated, self.dd(pair, training=True))

        fixed, losses = selected().numpy(), {}
        for name, network, loss_of in (
            (PLAYERS[0], self.rf, loss_rf),
            (PLAYERS[1], self.dd, loss_dd),
        ):
            with tf.GradientTape() as tape:
                loss = loss_of(fixed)
            self.sgd(tape, loss, network)
            losses[f"{name}_loss"] = float(loss)
        with tf.GradientTape() as tape:
            images = selected()
            loss = -0.5 * loss_rf(images) - 0.5 * loss_dd(images)
        self.sgd(tape, loss, self.c)
        return {**losses, "converter_loss": float(loss)}


def test_two_printed_steps_equal_an_independent_implementation(monkeypatch):
    model = compiled(**PRINTED)
    reference = Printed(model, rate=0.05, momentum=0.5)
    before = values_of(model.trainable_variables)
    for i, kinds in enumerate(
        (
            ["converted", "target", "irrelevant", "converted", "target", "converted"],
            ["irrelevant", "irrelevant", "converted", "target", "converted", "target"],
        )
    ):
        batch = batch_of(seed=i)
        monkeypatch.setattr(model, "select", lambda t, u, kinds=kinds: selection_of(kinds, t, u))
        model.reset_metrics()
        assert step(model, batch) == pytest.approx(reference.step(batch, kinds), rel=1e-5)
    for name, theirs in zip(PLAYERS, (reference.rf, reference.dd, reference.c), strict=True):
        mine = getattr(model, name)
        for a, b in zip(mine.trainable_variables, theirs.trainable_variables, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-6, rtol=1e-5, err_msg=a.path)
    moved = [np.abs(a - b).max() for a, b in zip(before, model.trainable_variables, strict=True)]
    assert min(moved) > 1e-7


def test_the_real_fake_discriminator_alone_needs_no_irrelevant_targets():
    """A target of another source is as real as one of its own: two of three images are real."""
    model = compiled(**PRINTED, domain_weight=0.0, seed=0)
    seen = calls_of(model.real_fake_discriminator)
    batch = batch_of(300, keys=("source", "target"))
    step(model, batch)
    targets = {image.tobytes() for image in batch["target"]}
    shares = [np.mean([image.tobytes() in targets for image in shown]) for shown, _ in seen]
    assert shares == pytest.approx([2 / 3] * 2, abs=0.1) and shares[0] == shares[1]


VARIANTS = {
    "C+RF+DD": {},
    "C+RF+DD-Neg": {"irrelevant_pairs": False},
    "C+RF": {"domain_weight": 0.0, "real_fake_weight": 1.0},
    "C+MSE": {
        "real_fake_weight": 0.0,
        "domain_weight": 0.0,
        "mse_weight": 1.0,
        "irrelevant_pairs": False,
    },
    "all terms": {"mse_weight": 0.3, "l1_weight": 2.0},
}
EXPECTED_PLAYERS = {"C+RF": [PLAYERS[0], PLAYERS[2]], "C+MSE": PLAYERS[2:]}


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_steps_equal_an_independent_implementation(variant):
    arguments = VARIANTS[variant]
    model = compiled(**arguments)
    assert list(model.players) == EXPECTED_PLAYERS.get(variant, PLAYERS)
    for name in PLAYERS[:2]:
        assert hasattr(model, name) == (name in model.players)
    reference = Reference(model, rate=0.05, momentum=0.5)
    keys = ["source", "target"] + ["irrelevant"] * model.irrelevant_pairs
    before = values_of(model.trainable_variables)
    for i in range(2):
        batch = batch_of(count=8, seed=i, keys=keys)
        model.reset_metrics()
        expected = reference.step(batch)
        assert step(model, batch) == pytest.approx(expected, rel=1e-5)
    for mine, theirs in (
        (model.converter, reference.c),
        (getattr(model, PLAYERS[0], None), reference.rf),
        (getattr(model, PLAYERS[1], None), reference.dd),
    ):
        if mine is not None:
            for a, b in zip(mine.trainable_variables, theirs.trainable_variables, strict=True):
                np.testing.assert_allclose(a, b, atol=2e-6, rtol=1e-5, err_msg=a.path)
    # The converter's move once a step, but the reference runs it twice: see the next test.
    for mine, theirs in ((PLAYERS[0], reference.rf), (PLAYERS[1], reference.dd)):
        if theirs:
            statistics = getattr(model, mine).non_trainable_variables
            assert len(statistics) == 2
            for a, b in zip(statistics, theirs.non_trainable_variables, strict=True):
                np.testing.assert_allclose(a, b, atol=2e-6, rtol=1e-5, err_msg=a.path)
    moved = [np.abs(a - b).max() for a, b in zip(before, model.trainable_variables, strict=True)]
    assert min(moved) > 1e-6  # every weight learns: none is out of the objective's reach


def test_statistics_of_the_converter_move_once_a_step():
    model = compiled()
    source = images(8)
    norm = model.converter.get_layer("conv2_bn")
    probe = keras.Model(model.converter.input, norm.input)
    seen = np.asarray(probe(source, training=True), "float64")
    step(model, {**batch_of(8), "source": source})
    # From 0 and 1, with momentum 0.9, towards those of this batch.
    np.testing.assert_allclose(norm.moving_mean, 0.1 * seen.mean((0, 1, 2)), atol=1e-7)
    variance = 0.9 + 0.1 * seen.var((0, 1, 2))
    np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-5)


@pytest.mark.parametrize("player", PLAYERS)
def test_each_update_moves_the_weights_of_its_player_only(player):
    rates = {name: keras.optimizers.SGD(0.1 * (name == player)) for name in PLAYERS}
    model = compiled(rates)
    before = {name: values_of(model.player_variables(name)) for name in PLAYERS}
    step(model, batch_of())
    for name in PLAYERS:
        for a, b in zip(before[name], model.player_variables(name), strict=True):
            assert np.array_equal(a, b) == (name != player), b.path


def test_a_model_with_irrelevant_pairs_asks_for_them():
    with pytest.raises(ValueError, match="needs batches with the key 'irrelevant'"):
        step(compiled(), batch_of(keys=("source", "target")))


def test_the_converter_learns_a_colour():
    """The whole step pulls in the right direction: towards the targets, all of one colour."""
    colour = np.array([0.6, -0.4, 0.1], "float32")
    batch = {**batch_of(8), "target": np.broadcast_to(colour, (8, SIZE, SIZE, 3)).copy()}
    model = compiled(l1_weight=10.0)
    model.compile(keras.optimizers.Adam(0.02, beta_1=0.5))
    before = np.abs(model(batch["source"], training=True) - colour).mean()
    model.fit(batch, batch_size=8, epochs=25, verbose=0)
    after = np.abs(model(batch["source"], training=True) - colour).mean()
    assert after < before / 3


# Fit, evaluate, predict


@pytest.fixture(scope="module")
def fitted():
    """A model of one graph, trained by `fit` for two epochs of two batches."""
    keras.utils.set_random_seed(0)
    model = PixelDTGAN(**TINY)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.5), metrics=[RootMeanSquaredError()])
    validation = batch_of(5, seed=2)
    history = model.fit(
        batch_of(12, seed=1),
        validation_data=validation,
        batch_size=6,
        epochs=2,
        shuffle=False,
        verbose=0,
    )
    return model, history.history


def test_fit_is_the_step_in_a_graph(fitted):
    """`fit` traces what the tests above run eagerly; both compute the same."""
    model, history = fitted
    eager = compiled()
    batch = batch_of(12, seed=1)
    for epoch in range(2):
        eager.reset_metrics()
        for start in (0, 6):
            logs = step(eager, {key: value[start : start + 6] for key, value in batch.items()})
        for name, loss in logs.items():
            assert history[name][epoch] == pytest.approx(loss, rel=1e-4)
    for a, b in zip(model.trainable_variables, eager.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-4, err_msg=a.path)
    assert set(history) == {f"{name}_loss" for name in PLAYERS} | {"val_rmse"}


def test_evaluate_compares_targets_with_converted_images(fitted):
    model, history = fitted
    batch = batch_of(5, seed=2)
    converted = model.predict(batch["source"], verbose=0)
    squared = ((converted - batch["target"]) / 2).astype("float64") ** 2  # on [0, 1]
    expected = np.sqrt(squared.mean((1, 2, 3))).mean()
    scores = model.evaluate(batch, batch_size=3, verbose=0, return_dict=True)
    # float(): Keras 3.12, the last for Python 3.10, returns tensors here.
    assert {name: float(score) for name, score in scores.items()} == {
        "rmse": pytest.approx(expected, rel=1e-5)
    }
    assert history["val_rmse"][-1] == pytest.approx(expected, rel=1e-5)


def test_predict_takes_source_images_and_batches_alike(fitted):
    model, _ = fitted
    batch = {**batch_of(5, seed=3), "product_id": np.arange(5)}
    expected = np.asarray(model.converter(batch["source"], training=False))
    assert expected.dtype == np.float32
    for inputs in (batch["source"], batch, tf.data.Dataset.from_tensors(batch)):
        np.testing.assert_allclose(model.predict(inputs, verbose=0), expected, atol=1e-6)
    pairs = PairSet(
        sources=np.full((4, SIZE, SIZE, 3), 200, np.uint8),
        targets=np.zeros((2, SIZE, SIZE, 3), np.uint8),
        target_index=np.array([0, 0, 1, 1]),
        product_id=np.array([7, 8]),
        group_id=np.array([7, 8]),
    )
    triplets = Triplets(pairs, batch_size=2, shuffle=False)
    light = np.full((4, SIZE, SIZE, 3), 200 / 127.5 - 1, "float32")
    np.testing.assert_allclose(
        model.predict(triplets, verbose=0), model.predict(light, verbose=0), atol=1e-6
    )


def test_training_flag_reaches_batch_norm(fitted):
    model, _ = fitted
    source = images(4)
    statistics = values_of(model.converter.non_trainable_variables)
    inferred = np.asarray(model(source, training=False))
    np.testing.assert_array_equal(model(source), inferred)  # off by default
    # Without the batch's statistics an image does not depend on its neighbours.
    np.testing.assert_allclose(model(source[:1]), inferred[:1], atol=1e-6)
    for a, b in zip(statistics, model.converter.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)
    keras.utils.set_random_seed(0)
    other = PixelDTGAN(**TINY)
    assert np.abs(np.asarray(other(source, training=True)) - np.asarray(other(source))).max() > 1e-3
    norm = other.converter.get_layer("conv2_bn")
    assert np.abs(norm.moving_mean).max() > 0  # the batch was counted


# Saving


def train(model, epochs, initial_epoch=0, callbacks=None):
    """Two steps an epoch: momenta and statistics matter."""
    return model.fit(
        batch_of(8, seed=4),
        batch_size=4,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        callbacks=callbacks,
        verbose=0,
    )


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_saved_model_continues_bit_for_bit(tmp_path, dtype):
    model = compiled(keras.optimizers.Adam(1e-2), [RootMeanSquaredError()], dtype=dtype)
    train(model, epochs=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    assert loaded.dtype_policy.name == dtype
    assert_same_state(loaded, model)
    at_save = state_of(model)
    for continued in (model, loaded):
        continued.run_eagerly = True
        train(continued, epochs=2, initial_epoch=1)
    assert_same_state(loaded, model)
    same = [np.array_equal(a, b) for a, b in zip(at_save, state_of(model), strict=True)]
    # All moved, moments too, but three rates and the composite's own rate and count.
    assert sum(same) == 5
    scores = [m.evaluate(batch_of(5), verbose=0, return_dict=True) for m in (model, loaded)]
    assert scores[0] == scores[1]


def test_a_saved_model_goes_on_with_its_selection(tmp_path):
    model = compiled(keras.optimizers.Adam(1e-2), **PRINTED, seed=5)
    train(model, epochs=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for continued in (model, loaded):
        continued.run_eagerly = True
        train(continued, epochs=2, initial_epoch=1)
    assert_same_state(loaded, model)


def test_a_model_that_was_saved_without_these_choices_keeps_its_step():
    config = PixelDTGAN(**TINY).get_config()
    for name in ("selection", "converter_objective", "seed"):
        del config[name]
    model = PixelDTGAN.from_config(config)
    assert (model.selection, model.converter_objective) == ("kinds", "non_saturating")


def test_weights_files_hold_the_statistics_and_the_optimizers(tmp_path):
    model = compiled(keras.optimizers.Adam(1e-2))
    train(model, epochs=1)
    model.save_weights(tmp_path / "model.weights.h5")
    other = compiled(keras.optimizers.Adam(1e-2))
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same_state(other, model)


class Interruption(Exception):
    pass


class InterruptAt(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise Interruption


def test_backup_and_restore_continues_an_interrupted_run(tmp_path):
    def fresh():
        return compiled(keras.optimizers.Adam(1e-2))

    uninterrupted, interrupted, restarted = fresh(), fresh(), fresh()
    train(uninterrupted, epochs=2)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(Interruption):
        train(interrupted, epochs=2, callbacks=[backup, InterruptAt(1)])
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    history = train(restarted, epochs=2, callbacks=[backup])
    assert history.epoch == [1]  # one of the two was done
    assert_same_state(restarted, uninterrupted)


def test_a_fresh_process_loads_the_model(tmp_path, fitted):
    model, _ = fitted
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "source.npy", images(2))
    script = (
        "import keras, keras_pixdt, numpy as np\n"
        "model = keras.models.load_model('model.keras')\n"
        "np.save('converted.npy', model(np.load('source.npy'), training=False))\n"
        "assert type(model) is keras_pixdt.PixelDTGAN, type(model)\n"
        "assert model.optimizer['converter'].momentum == 0.5\n"
    )
    path = [*filter(None, sys.path)]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{script}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    converted = np.load(tmp_path / "converted.npy")
    np.testing.assert_allclose(converted, model(images(2), training=False), atol=1e-6)


def test_config_mirrors_the_arguments():
    arguments = {
        "image_size": 32, "width": 1 / 16, "discriminator_width": 1 / 32, "real_fake_weight": 0.1,
        "domain_weight": 0.2, "irrelevant_pairs": False, "mse_weight": 0.3, "l1_weight": 0.4,
        "selection": "sample", "converter_objective": "saturating", "seed": 7,
    }  # fmt: skip
    config = PixelDTGAN(**arguments, name="mine", dtype="mixed_bfloat16").get_config()
    again = PixelDTGAN.from_config(config)
    assert {key: getattr(again, key) for key in arguments} == arguments
    assert again.name == "mine"
    assert again.converter.get_layer("conv1").compute_dtype == "bfloat16"


# Mixed precision


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_moves_all_weights_as_float32_does(dtype):
    sgd = keras.optimizers.SGD(0.05)
    expected, mixed = compiled(sgd), compiled(sgd, dtype=dtype)
    # bfloat16's rounding moves the converter 0.11 off, and 0.21 through statistics of 8 images.
    batch = batch_of(64)
    checks.assert_step_moves_alike(expected, mixed, batch)
    scaled = [isinstance(mixed.optimizer[n], keras.optimizers.LossScaleOptimizer) for n in PLAYERS]
    assert scaled == [dtype == "mixed_float16"] * 3
    assert mixed.converter.get_layer("conv2").compute_dtype == dtype.removeprefix("mixed_")
    assert mixed(batch["source"], training=False).dtype == "float32"
    for name in PLAYERS[:2]:
        assert getattr(mixed, name).output.dtype == "float32"


def test_float16_overflow_of_one_player_leaves_the_others_learning():
    model = compiled(keras.optimizers.SGD(0.05), dtype="mixed_float16")
    model.optimizer["domain_discriminator"].dynamic_scale.assign(2.0**40)
    before = {name: values_of(model.player_variables(name)) for name in PLAYERS}
    step(model, batch_of())
    for name in PLAYERS:
        same = [
            np.array_equal(a, b)
            for a, b in zip(before[name], model.player_variables(name), strict=True)
        ]
        assert set(same) == {name == "domain_discriminator"}, name
    scales = {name: float(model.optimizer[name].dynamic_scale) for name in PLAYERS}
    assert scales.pop("domain_discriminator") == 2.0**39
    assert len(set(scales.values())) == 1


# Two replicas and JAX: backends_test.py


def replicated():
    """The selection is that of the whole batch, and so are BatchNorm's statistics."""
    model = PixelDTGAN(**TINY, **PRINTED, seed=0)
    model.compile(keras.optimizers.SGD(0.05))
    return model


def fit_replicated(model):
    return list(model.fit(batch_of(14), batch_size=8, shuffle=False, verbose=0).history.values())


JAX_ARGUMENTS = {**TINY, **PRINTED}
JAX = """
from keras_pixdt.models.pixel_dtgan import PixelDTGAN
# Backends draw different random numbers: drawn here too, but replaced by a pixel of the target.
PixelDTGAN.draw = lambda self, sample, like: sample(len(like)) * 0 + (like[:, 0, 0, :1] + 1) / 2.001
batch = batch_of(8)
model = PixelDTGAN(**arguments)
model.compile(keras.optimizers.SGD(0.01))
model.save(f"{folder}/before.keras")
before, state = model.get_weights(), np.asarray(model.selector.state)
logs = model.fit(batch, batch_size=4, epochs=1, shuffle=False, verbose=0).history
assert all(np.abs(a - b).max() > 0 for a, b in zip(before, model.get_weights()))
assert (np.asarray(model.selector.state) - state).tolist() == [0, 2]  # drawn from in each step
model.save(f"{folder}/after.keras")
np.savez(f"{folder}/drawn.npz", drawn=model.predict(batch["source"], verbose=0), **logs)
"""


def compare_with_jax(folder, monkeypatch):
    """The printed step."""
    batch = batch_of(8)
    places = np.floor(3 * (batch["target"][:, 0, 0, 0] + 1) / 2.001)
    assert set(places) == {0, 1, 2}  # all kinds
    monkeypatch.setattr(
        PixelDTGAN, "draw", lambda self, sample, like: (like[:, 0, 0, :1] + 1) / 2.001
    )
    checks.assert_steps_equal_those_on_jax(folder, batch)


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 48}, r"`image_size` must be a power of two from 16.*Received: 48"),
        ({"image_size": 8}, r"`image_size` must be a power of two from 16.*Received: 8"),
        ({"width": 0}, r"`width` must be positive\. Received: 0"),
        ({"width": -1.0}, r"`width` must be positive\. Received: -1\.0"),
        ({"discriminator_width": 0.0}, r"`discriminator_width` must be positive\. Received: 0\.0"),
        ({"l1_weight": -1.0}, r"not be negative.*'l1_weight': -1\.0"),
        (
            {"real_fake_weight": 0, "domain_weight": 0},
            r"not all 0.*'real_fake_weight': 0, 'domain_weight': 0, 'mse_weight': 0\.0",
        ),
        ({"selection": "all"}, r"`selection` must be one of kinds, sample\. Received: 'all'"),
        ({"converter_objective": "hinge"}, r"`converter_objective` must be one of.*'hinge'"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        PixelDTGAN(**{**TINY, **arguments})


def test_compile_errors_name_the_players():
    model = PixelDTGAN(**TINY)
    with pytest.raises(ValueError, match="PixelDTGAN brings its objective.*loss='mae'"):
        model.compile(loss="mae")
    with pytest.raises(ValueError, match="PixelDTGAN needs one optimizer.*Received.*converter"):
        model.compile({"converter": keras.optimizers.Adam()})


def test_evaluate_without_metrics_says_how_to_get_them():
    keras.utils.set_random_seed(0)
    model = PixelDTGAN(**TINY)
    model.compile()
    with pytest.raises(ValueError, match=r"need metrics: compile\(metrics=\[\.\.\.\]\)"):
        model.evaluate(batch_of(), verbose=0)
