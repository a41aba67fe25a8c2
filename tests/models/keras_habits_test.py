"""Each model in the hands of users of Keras: export, copies, files of weights, summaries.

All models that `models/__init__.pyi` registers are tested.
"""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pixdt import AdversarialModel, models
from tests.models import checks
from tests.samples import batch_of, flow_batch, images

pytestmark = pytest.mark.usefixtures("few_blocks")
BATCH = batch_of(4, keys=("source", "target"))
POINTS = dict.fromkeys(BATCH, np.linspace(-1, 1, 8, dtype="float32").reshape(4, 2))
WIDTH = 1 / 32


def f():
    inputs = keras.Input((16, 16, 3))
    return keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(inputs)))


# Name -> how it is made and a batch, where this is not as `made` has it.
MODELS = {
    "PixelDTGAN": (lambda new: new(16, WIDTH, selection="sample"), batch_of(4)),
    "ResidualPixelDTGAN": (
        lambda new: new(32, WIDTH),
        {key: images(4, 32, seed) for seed, key in enumerate(BATCH)},
    ),
    "RoughToDetailGAN": (lambda new: new(16, 2, WIDTH), BATCH),
    "PointDiscoGAN": (lambda new: new(4), POINTS),
    "DomainTransferNetwork": (lambda new: new(f(), 16, WIDTH), BATCH),
    "AppearanceFlow": (lambda new: new(16, WIDTH, photo_size=32), flow_batch(4)),
}
EVERY = [
    name
    for name in models.__all__
    if name != "AdversarialModel" and issubclass(getattr(models, name), AdversarialModel)
]


def made(name):
    """A new model and its batch."""
    make, batch = MODELS.get(name, (lambda new: new(16, WIDTH), BATCH))
    return make(getattr(models, name)), batch


def drawn(model, batch):
    return model.predict(batch, verbose=0)


def called(model, batch):
    """The same without a graph, which takes long to trace."""
    return np.asarray(model(batch["source"]))


def served(folder, source):
    artifact = tf.saved_model.load(str(folder))
    return artifact.serve(source)


@pytest.mark.parametrize("name", EVERY)
def test_keras_export_serves_what_the_model_predicts(name, tmp_path):
    """New, as nothing is called before: all networks are built by the constructor."""
    model, batch = made(name)
    model.export(tmp_path / "saved_model", verbose=False)
    found = served(tmp_path / "saved_model", batch["source"])
    np.testing.assert_allclose(found, drawn(model, batch), atol=1e-5)
    assert served(tmp_path / "saved_model", batch["source"][:1]).shape[0] == 1


@pytest.mark.parametrize("name", EVERY)
def test_keras_litert_file_draws_what_the_model_predicts(name, tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    model, batch = made(name)
    expected = called(model, batch)  # what it predicts, as tested above
    path = str(tmp_path / "model.tflite")
    model.export(path, format="litert", verbose=False)
    lite = interpreter.Interpreter(path)
    (given,), (taken,) = lite.get_input_details(), lite.get_output_details()
    lite.resize_tensor_input(given["index"], batch["source"].shape)
    lite.allocate_tensors()
    lite.set_tensor(given["index"], batch["source"])
    lite.invoke()
    np.testing.assert_allclose(lite.get_tensor(taken["index"]), expected, atol=2e-3)


def after_fit(model, batch, folder):
    model.compile("sgd", run_eagerly=True)
    model.fit(batch, verbose=0)
    return model


def after_call(model, batch, folder):
    model(batch["source"])
    return model


def after_predict(model, batch, folder):
    model.predict(batch, verbose=0)
    return model


def after_loading(model, batch, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


@pytest.mark.parametrize("before", [after_fit, after_call, after_predict, after_loading])
def test_keras_export_works_after(before, tmp_path):
    model, batch = made("PixelDTGAN")
    model = before(model, batch, tmp_path)
    model.export(tmp_path / "saved_model", verbose=False)
    found = served(tmp_path / "saved_model", batch["source"])
    np.testing.assert_allclose(found, drawn(model, batch), atol=1e-5)


def test_an_export_takes_the_signature_that_is_given(tmp_path):
    model, batch = made("Pix2Pix")
    spec = keras.InputSpec("float32", (2, 16, 16, 3))
    model.export(tmp_path / "saved_model", verbose=False, input_signature=[spec])
    artifact = tf.saved_model.load(str(tmp_path / "saved_model"))
    with pytest.raises(Exception, match=r"(?s)2, 16, 16, 3"):
        artifact.serve(batch["source"])


def test_an_export_in_half_precision_takes_float32(tmp_path):
    model = models.Pix2Pix(16, WIDTH, dtype="mixed_float16")
    model.export(tmp_path / "saved_model", verbose=False)
    found = served(tmp_path / "saved_model", BATCH["source"])
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, drawn(model, BATCH), atol=1e-2)


@pytest.mark.parametrize("name", EVERY)
def test_copies_have_the_same_configuration_and_with_its_weights_draw_the_same(name, tmp_path):
    model, batch = made(name)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5))
    expected = called(model, batch)
    model.save_weights(tmp_path / "model.weights.h5")
    copies = {
        "from_config": type(model).from_config(model.get_config()),
        "json": keras.models.model_from_json(model.to_json()),
        "clone_model": keras.models.clone_model(model),
    }
    for way, other in copies.items():
        assert type(other) is type(model) and other.get_config() == model.get_config(), way
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(called(other, batch), expected, err_msg=way)
    assert copies["clone_model"].optimizer["converter"].momentum == 0.5
    loaded, _ = made(name)
    loaded.compile(keras.optimizers.SGD(0.1, momentum=0.5))
    loaded.load_weights(tmp_path / "model.weights.h5")
    checks.assert_same_state(loaded, model)
    np.testing.assert_array_equal(called(loaded, batch), expected)
    np.testing.assert_array_equal(called(copy.deepcopy(model), batch), expected)


@pytest.mark.parametrize("name", EVERY)
def test_a_summary_lists_the_networks_with_their_parameters(name):
    model, _ = made(name)
    lines = []
    model.summary(print_fn=lambda text, **_: lines.append(text))
    text = "\n".join(lines)
    assert f"{model.count_params():,}" in text
    for networks in model.players.values():
        for network in networks:
            assert getattr(model, network) in model.layers
            assert f"{getattr(model, network).count_params():,}" in text
    assert model.get_layer("converter") is model.converter


JAX = """
import os, sys
import keras
from tests.models.keras_habits_test import drawn, made, np, served

for name in ("PixelDTGAN", "AppearanceFlow"):
    model, batch = made(name)
    folder = os.path.join(sys.argv[1], name)
    model.export(folder, verbose=False)
    np.testing.assert_allclose(served(folder, batch["source"]), drawn(model, batch), atol=2e-3)
    keras.models.clone_model(model).set_weights(model.get_weights())

# What is traced is checked on this backend too.
from tests.engine import contract_test, interface_test
from tests.samples import batch_of

model, batch = made("Pix2Pix")
model.compile("sgd", metrics=[keras.metrics.MeanAbsoluteError()])
for bring in (dict, contract_test.dataset_of, contract_test.generator_of):
    contract_test.test_bytes_never_train(bring, model)
contract_test.test_validation_of_other_data_is_refused_before_an_epoch_is_lost(model)
interface_test.test_reducing_the_rate_reduces_that_of_all_players()
interface_test.test_swapped_averages_are_validated_and_training_goes_on_without_them()

# Averages that replaced the weights are no part of them: JAX gives away the memory of both.
model.compile(keras.optimizers.SGD(0.1, use_ema=True))
for _ in range(2):
    model.fit(batch, verbose=0)

# A phase of a schedule that begins within an epoch has its rate: a = 1 - 0.1 - 0.05.
from keras_pixdt.training import Schedule
from tests.training.schedule_test import staged

class Batches(keras.utils.PyDataset):
    def start_epoch(self, *place):
        pass

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return {key: x[index : index + 1] for key, x in interface_test.BATCH.items()}

model, batches = interface_test.duel(run_eagerly=False), Batches()
schedule = Schedule(staged((1, 0.1), (1, 0.05)), batches, epochs=1)
model.fit(batches, verbose=0, shuffle=False, callbacks=[schedule])
np.testing.assert_allclose(model.weights_a_b[0], 0.85, rtol=1e-5)
print("done")
"""


@pytest.mark.slow
def test_on_jax(tmp_path):
    pytest.importorskip("jax")
    assert checks.run_on_jax(JAX, tmp_path).endswith("done\n")
