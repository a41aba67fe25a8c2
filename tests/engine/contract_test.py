"""What a batch must be. Specifications stand for data of a graph."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pixdt import data
from keras_pixdt.engine.contract import Contract
from keras_pixdt.models.pix2pix import Pix2Pix
from tests.samples import batch_of, images

SIDE = (None, 16, 16, 3)
CONTRACT = Contract("Pix2Pix", {"source": SIDE, "target": SIDE, "mask": (None, 16, 16, 1)})
SAYS = (
    r"Pix2Pix takes dicts of float32 in \[-1, 1\] with `source` \(batch, 16, 16, 3\), `target` "
    r"\(batch, 16, 16, 3\) and, where it uses them, `mask` \(batch, 16, 16, 1\), as "
    r"keras_pixdt.data.triplets and keras_pixdt.data.unpaired make them. "
)
PIXELS = np.zeros((4, 16, 16, 3), "uint8")
FLOATS = images(4)
PAIR = batch_of(4, keys=("source", "target"))

REFUSED = {
    "a pair, as as_supervised=True gives it": (
        (FLOATS, FLOATS),
        r'Make a pair a dict: {"source".* Received: a tuple of float32 \(4, 16, 16, 3\), float32',
    ),
    "a list": ([FLOATS, FLOATS], "Make a pair a dict: .* Received: a tuple of float32"),
    "images alone": (FLOATS, r"Make a pair a dict: .* Received: float32 \(4, 16, 16, 3\)"),
    "targets of Keras": ((PAIR, FLOATS), "Make a pair a dict: .* Received: a tuple of {`source`"),
    "a dict of another naming": (
        {"source": FLOATS, "product": FLOATS}, "Rename the keys. Received: {`source`.*`product`"),
    "no source": ({"target": FLOATS}, "Rename the keys. Received: {`target`"),
    "uint8": (
        dict.fromkeys(PAIR, PIXELS),
        r"to_float makes float32 of uint8 images; .* Received: {`source`: uint8 \(4, 16, 16, 3\)",
    ),
    "an int32 target": ({**PAIR, "target": PIXELS.astype("int32")}, "to_float .*`target`: int32"),
    "a uint8 mask": ({**PAIR, "mask": PIXELS[..., :1]}, "to_float .*`mask`: uint8"),
    "another size": (
        dict.fromkeys(PAIR, images(4, 32)),
        r"resize brings images to a size, .* Received: {`source`: float32 \(4, 32, 32, 3\)",
    ),
    "channels first": (dict.fromkeys(PAIR, np.moveaxis(FLOATS, -1, 1)), r"\(4, 3, 16, 16\)"),
    "gray images": ({**PAIR, "source": FLOATS[..., :1]}, r"\(4, 16, 16, 1\)"),
    "one image": ({**PAIR, "source": FLOATS[0]}, r"`source`: float32 \(16, 16, 3\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_other_batches_are_refused_with_the_contract_and_what_came(name):
    given, message = REFUSED[name]
    with pytest.raises(ValueError, match=SAYS + ".*" + message):
        CONTRACT.batch(given)
    with pytest.raises(ValueError, match=SAYS + ".*" + message):
        CONTRACT.check_early(given)


def test_numbers_of_images_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"as many images. Received: .*\(4, .*\(3, 16"):
        CONTRACT.batch({**PAIR, "target": FLOATS[:3]})


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_floats_become_float32_and_other_keys_stay(dtype):
    ids = np.arange(4)
    given = {key: tf.cast(x, dtype) for key, x in PAIR.items()}
    batch = CONTRACT.batch({**given, "product_id": ids})
    assert batch["product_id"] is ids
    for key, x in given.items():
        assert batch[key].dtype == "float32"
        np.testing.assert_array_equal(batch[key], tf.cast(x, "float32"))


def test_what_a_graph_does_not_know_passes():
    for shape in (None, (None, None, None, 3)):
        spec = tf.TensorSpec(shape, "float32")
        CONTRACT._checked({"source": spec, "target": spec})


def test_weights_are_refused_by_name():
    with pytest.raises(ValueError, match="Pix2Pix does not weigh samples.*`sample_weight`"):
        CONTRACT.batch((PAIR, None, np.ones(4)))


def test_datasets_are_checked_before_they_are_read():
    def unreadable(x):
        return tf.py_function(lambda _: 1 / 0, [x], tf.uint8)

    dataset = tf.data.Dataset.from_tensor_slices((PIXELS, PIXELS))
    dataset = dataset.map(lambda x, y: (tf.ensure_shape(unreadable(x), x.shape), y)).batch(2)
    with pytest.raises(ValueError, match=r"a tuple of uint8 \(None, 16, 16, 3\)"):
        CONTRACT.check_early(dataset)
    CONTRACT.check_early(iter(()))  # will be checked when it yields


def test_arrays_that_are_far_outside_the_range_are_refused():
    bytes_as_floats = {**PAIR, "target": np.linspace(0, 255, 3072, dtype="float32").reshape(
        4, 16, 16, 3)}  # fmt: skip
    with pytest.raises(ValueError, match=r"images in \[-1, 1\].*to_float.*`target` from 0 to 255"):
        CONTRACT.check_early(bytes_as_floats)
    CONTRACT.check_early({**PAIR, "target": 1.2 * FLOATS})  # as bicubic interpolation gives
    with pytest.raises(ValueError, match="`source` from"):
        CONTRACT.check_source_early(bytes_as_floats["target"])


# Through a model


@pytest.fixture(scope="module")
def model():
    model = Pix2Pix(16, 1 / 64)
    model.compile("sgd", metrics=[keras.metrics.MeanAbsoluteError()])
    return model


def test_fit_without_data_is_refused(model):
    with pytest.raises(ValueError, match="takes dicts .* Received: NoneType"):
        model.fit()


def dataset_of(given):
    return tf.data.Dataset.from_tensor_slices(given).batch(2)


def generator_of(given):
    return (({key: x[i : i + 2] for key, x in given.items()},) for i in (0, 2))


@pytest.mark.parametrize("bring", [dict, dataset_of, generator_of])
def test_bytes_never_train(bring, model):
    before = model.get_weights()
    pixels = dict.fromkeys(PAIR, PIXELS)
    for use in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="Pix2Pix takes dicts of float32.*to_float"):
            use(bring(pixels), verbose=0)
    for use in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="Pix2Pix takes dicts of float32.*to_float"):
            use(pixels)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_validation_of_other_data_is_refused_before_an_epoch_is_lost(model):
    before = model.get_weights()
    pixels = dict.fromkeys(PAIR, PIXELS)
    for given in (pixels, dataset_of(pixels), (PAIR, None, np.ones(4)), (PAIR, FLOATS)):
        with pytest.raises(ValueError, match="Pix2Pix (takes dicts of float32|does not weigh)"):
            model.fit(PAIR, validation_data=given, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_predictions_of_other_images_are_refused(model):
    for given, message in (
        (PIXELS, r"source` \(batch, 16, 16, 3\).*Received: {`source`: uint8"),
        ({"source": PIXELS}, "to_float"),
        (images(4, 32), r"resize.*\(4, 32, 32, 3\)"),
        ({"target": FLOATS}, "Or give the source images alone. Received: {`target`"),
        (dataset_of(PIXELS), "to_float"),
    ):
        with pytest.raises(ValueError, match="Pix2Pix takes dicts of float32.*" + message):
            model.predict(given, verbose=0)
        if not isinstance(given, tf.data.Dataset):
            with pytest.raises(ValueError, match="(?s)Pix2Pix takes dicts of float32.*" + message):
                model(given)
    with pytest.raises(ValueError, match="(?s)Received: a list of float32"):
        model.call([FLOATS, FLOATS])


def test_other_floats_train_as_float32():
    weights, found = Pix2Pix(16, 1 / 64).get_weights(), []
    for dtype in ("float32", "float64"):
        model = Pix2Pix(16, 1 / 64, seed=0)
        model.compile("sgd", run_eagerly=True)
        model.set_weights(weights)
        model.train_on_batch({key: tf.cast(x, dtype) for key, x in PAIR.items()})
        found.append(model.get_weights())
    assert sum(not np.array_equal(a, b) for a, b in zip(weights, found[0], strict=True)) > 20
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_size_that_a_graph_does_not_know_is_compared_at_run_time(model):
    """The U-Net draws at other sizes too, and would learn from them without a word."""
    spec = dict.fromkeys(PAIR, tf.TensorSpec((None, None, None, 3), "float32"))
    large = tf.data.Dataset.from_generator(
        lambda: iter([dict.fromkeys(PAIR, images(2, 32))]), output_signature=spec
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)\[2,32,32,3\].*\[\?,16,16,3\]"):
        model.fit(large, verbose=0)


def test_what_to_float_makes_of_bytes_trains(model):
    model.fit({key: data.to_float(PIXELS) for key in PAIR}, verbose=0)
