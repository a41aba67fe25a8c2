"""Arguments and callbacks of Keras: each does what Keras says, or is refused by name."""

import csv
import http.server
import json
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pixdt.engine.optimizers import LossScaleOptimizer
from tests.engine.model_test import Duel, batch_of, compiled, rates_of

BATCH = batch_of(x=(1.0, 1.0), right_factor=0.5, target=0.5)


def duel(optimizer=None, run_eagerly=True, **options):
    model = Duel()
    options |= {"metrics": [keras.metrics.MeanAbsoluteError(name="mae")]}
    model.compile(optimizer or keras.optimizers.SGD(0.1), run_eagerly=run_eagerly, **options)
    return model


def fit(model, epochs=3, **options):
    """Two steps an epoch: a falls by 0.1 in each; b by 0.05 a, with the new a."""
    options = {"batch_size": 1, "shuffle": False, "verbose": 0, "epochs": epochs, **options}
    return model.fit(BATCH, validation_data=BATCH, **options).history


# Arguments


@pytest.mark.parametrize("name", ["sample_weight", "class_weight"])
def test_weights_are_refused_and_nothing_is_trained(name):
    model = duel()
    given = {name: np.zeros(2) if name == "sample_weight" else {0: 0.0}}
    for use in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match=f"Duel does not weigh samples.*giving `{name}`"):
            use(BATCH, **given)
    if name == "sample_weight":
        for use in (model.evaluate, model.test_on_batch):
            with pytest.raises(ValueError, match=f"Duel does not weigh samples.*`{name}`"):
                use(BATCH, **given)
    assert model.weights_a_b == [1.0, 1.0]


def test_arguments_by_position_are_refused_as_those_by_name():
    model, weights, stop = duel(), np.zeros(2), [keras.callbacks.TerminateOnNaN()]
    early = None, 1, 1, 0  # y, batch size, epochs, verbose
    with pytest.raises(ValueError, match="Duel does not weigh samples.*`class_weight`"):
        model.fit(BATCH, *early, None, 0.0, None, False, {0: 0.0})
    with pytest.raises(ValueError, match="Duel does not weigh samples.*`sample_weight`"):
        model.fit(BATCH, *early, None, 0.0, None, False, None, weights)
    with pytest.raises(ValueError, match="Duel does not weigh samples.*`sample_weight`"):
        model.evaluate(BATCH, None, 1, 0, weights)
    with pytest.raises(ValueError, match="TerminateOnNaN looks at `loss`"):
        model.fit(BATCH, *early, stop)
    with pytest.raises(ValueError, match="Duel takes dicts.*Received: a tuple"):
        model.fit(BATCH, *early, None, 0.0, (BATCH["source"], BATCH["target"]))
    assert model.weights_a_b == [1.0, 1.0]


@pytest.mark.parametrize("kind", ["dataset", "generator", "sequence"])
def test_weights_and_targets_that_data_bring_are_refused(kind):
    def bring(*values):
        if kind == "dataset":
            return tf.data.Dataset.from_tensors(values)
        if kind == "generator":
            return (values for _ in range(1))

        class Batches(keras.utils.PyDataset):
            def __len__(self):
                return 1

            def __getitem__(self, index):
                return values

        return Batches()

    model = duel()
    y, weights = np.zeros((2, 1), "float32"), np.ones(2, "float32")
    for use in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="Duel does not weigh samples.*`sample_weight`"):
            use(bring(BATCH, y, weights), verbose=0)
        with pytest.raises(ValueError, match="Duel takes dicts.*Received: a tuple of {`source`"):
            use(bring(BATCH, y), verbose=0)
    with pytest.raises(ValueError, match="Duel takes dicts.*Received: a tuple of {`source`"):
        model.fit(BATCH, y)
    assert model.weights_a_b == [1.0, 1.0]


def test_validation_without_metrics_is_refused_before_an_epoch():
    model = compiled()
    with pytest.raises(ValueError, match=r"compile\(metrics=\[...\]\)"):
        fit(model)
    assert model.weights_a_b == [1.0, 1.0]


@pytest.mark.parametrize("given", [{"loss": "mse"}, {"loss_weights": [0.5]}])
def test_losses_are_refused(given):
    (name,) = given
    with pytest.raises(ValueError, match=rf"Duel brings its objective.*compile\({name}="):
        Duel().compile("sgd", **given)


def test_a_loss_where_keras_has_it_is_refused():
    with pytest.raises(ValueError, match="Expected `metrics` argument to be a list.*mse"):
        Duel().compile("sgd", "mse")


@pytest.mark.parametrize(
    "options",
    [{}, {"run_eagerly": True}, {"steps_per_execution": 2}, {"jit_compile": True},
     {"auto_scale_loss": False}],
    ids=str,
)  # fmt: skip
def test_options_of_compile_change_no_number(options):
    model = duel(**{"run_eagerly": False, **options})
    history = fit(model, epochs=2)
    a = [1.0, 0.9, 0.8, 0.7, 0.6]
    b = 1.0 - 0.05 * sum(a[1:])
    np.testing.assert_allclose(model.weights_a_b, [a[-1], b], rtol=1e-5)
    np.testing.assert_allclose(history["left_loss"], [0.95, 0.75], rtol=1e-5)
    np.testing.assert_allclose(history["val_mae"], [0.3, 0.1], rtol=1e-5)


def test_weighted_metrics_are_metrics_where_nothing_is_weighted():
    model = Duel()
    model.compile("sgd", weighted_metrics=[keras.metrics.MeanAbsoluteError(name="mae")])
    assert model.evaluate(BATCH, verbose=0, return_dict=True) == {"mae": 0.5}


def test_losses_are_not_scaled_where_that_is_declined(tmp_path):
    model = Duel(dtype="mixed_float16")
    model.compile("sgd", auto_scale_loss=False)
    model.save(tmp_path / "duel.keras")
    for each in (model, keras.models.load_model(tmp_path / "duel.keras")):
        assert not any(isinstance(each.optimizer[n], LossScaleOptimizer) for n in each.players)


# Learning rates and averages

RATES = {"left": 0.1, "right": 0.4}


def with_rates(**options):
    return duel({n: keras.optimizers.SGD(rate, **options) for n, rate in RATES.items()})


def test_reducing_the_rate_reduces_that_of_all_players():
    model = with_rates()
    reduce = keras.callbacks.ReduceLROnPlateau(
        "val_mae", factor=0.5, patience=1, min_delta=10.0, cooldown=1, min_lr=0.03
    )
    history = fit(model, epochs=6, callbacks=[reduce])
    # The first epoch is the best; then halved, one of cooldown, halved again but not below 0.03.
    expected = [0.1, 0.1, 0.05, 0.03, 0.03, 0.03]
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-6)
    np.testing.assert_allclose(rates_of(model.optimizer), [0.03, 0.12], rtol=1e-6)


@pytest.mark.parametrize("schedule", [lambda epoch: 0.02 * epoch, lambda epoch, rate: rate / 2])
def test_a_scheduled_rate_keeps_the_ratios(schedule):
    model = with_rates()
    history = fit(model, callbacks=[keras.callbacks.LearningRateScheduler(schedule)])
    found = history["learning_rate"]
    np.testing.assert_allclose(found, [[0, 0.02, 0.04], [0.05, 0.025, 0.0125]][found[0] > 0])
    np.testing.assert_allclose(rates_of(model.optimizer), [found[-1], 4 * found[-1]], rtol=1e-6)


def test_swapped_averages_are_validated_and_training_goes_on_without_them():
    """Momentum 0.5, started at the first weight: a runs 0.9, 0.8, its average 0.9, 0.85."""
    averaging = {"left": keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)}
    model = duel({**averaging, "right": keras.optimizers.SGD(0.1)})
    history = fit(model, epochs=2, callbacks=[keras.callbacks.SwapEMAWeights()])
    # Then 0.7, 0.6, and 0.775, 0.6875; Keras leaves the average at the end.
    np.testing.assert_allclose(history["val_mae"], [0.35, 0.1875], rtol=1e-5)
    np.testing.assert_allclose(history["left_loss"], [0.95, 0.75], rtol=1e-5)
    np.testing.assert_allclose(model.weights_a_b[0], 0.6875, rtol=1e-5)


def test_swapping_without_averages_is_refused():
    with pytest.raises(ValueError, match="SwapEMAWeights must be used when `use_ema=True`"):
        fit(duel(), callbacks=[keras.callbacks.SwapEMAWeights()])


def test_averages_under_a_loss_scale_replace_the_weights_after_fit():
    model = Duel(dtype="mixed_float16")
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    model.fit(BATCH, batch_size=1, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.weights_a_b[0], 0.85, rtol=1e-3)


# Every callback of Keras

CALLBACKS = {}


def callback(test):
    """Registers what shows that the callback of this name is right, or refused by name."""
    CALLBACKS[test.__name__] = test
    return test


@callback
def BackupAndRestore(folder):
    """A run that stops in its third epoch goes on like one that does not."""

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def adam():
        return duel(keras.optimizers.Adam(0.1))

    whole, stopped, resumed = adam(), adam(), adam()
    fit(whole, epochs=4)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, epochs=4, callbacks=[keras.callbacks.BackupAndRestore(folder), Stop()])
    history = fit(resumed, epochs=4, callbacks=[keras.callbacks.BackupAndRestore(folder)])
    assert len(history["left_loss"]) == 2
    for a, b in zip(whole.optimizer.variables, resumed.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert resumed.weights_a_b == whole.weights_a_b


@callback
def CSVLogger(folder):
    history = fit(duel(), callbacks=[keras.callbacks.CSVLogger(folder / "log.csv")])
    rows = list(csv.DictReader((folder / "log.csv").read_text().splitlines()))
    for name, values in history.items():
        assert [float(row[name]) for row in rows] == pytest.approx(values)


@callback
def Callback(folder):
    seen = []

    class Own(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((batch, sorted(logs)))

    fit(duel(), epochs=1, callbacks=Own())
    assert seen == [(batch, ["left_loss", "right_loss"]) for batch in (0, 1)]


@callback
def CallbackList(folder):
    model, history = duel(), keras.callbacks.History()
    callbacks = keras.callbacks.CallbackList([history], model=model, epochs=3)
    model.fit(BATCH, batch_size=1, epochs=3, verbose=0, callbacks=callbacks)
    assert len(history.history["left_loss"]) == 3
    with pytest.raises(ValueError, match="TerminateOnNaN looks at `loss`"):
        fit(model, callbacks=keras.callbacks.CallbackList([keras.callbacks.TerminateOnNaN()]))


@callback
def EarlyStopping(folder):
    """val_mae is |a - 0.5|: 0.3, 0.1, 0.1 (a = 0.4), 0.3."""
    model = duel()
    stop = keras.callbacks.EarlyStopping("val_mae", patience=1, restore_best_weights=True)
    assert len(fit(model, epochs=9, callbacks=[stop])["val_mae"]) == 3
    np.testing.assert_allclose(model.weights_a_b[0], 0.6, rtol=1e-5)
    with pytest.raises(
        ValueError, match="EarlyStopping looks at `val_loss`.*left_loss, right_loss"
    ):
        fit(model, callbacks=[keras.callbacks.EarlyStopping()])


@callback
def History(folder):
    history = keras.callbacks.History()
    assert fit(duel(), callbacks=[history]) == history.history


@callback
def LambdaCallback(folder):
    epochs = []
    given = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    fit(duel(), callbacks=[given])
    assert epochs == [0, 1, 2]


@callback
def LearningRateScheduler(folder):
    test_a_scheduled_rate_keeps_the_ratios(lambda epoch, rate: rate / 2)


@callback
def ModelCheckpoint(folder):
    """The second epoch is the best (see EarlyStopping); the last has other weights."""
    for path, whole in ((folder / "best.keras", True), (folder / "best.weights.h5", False)):
        model = duel(keras.optimizers.SGD(0.1, momentum=0.1))
        given = {"save_best_only": True, "save_weights_only": not whole}
        best = keras.callbacks.ModelCheckpoint(path, "val_mae", **given)
        history = fit(model, epochs=6, callbacks=[best])["val_mae"]
        assert history[-1] > 2 * min(history)
        again = (
            keras.models.load_model(path)
            if whole
            else duel(keras.optimizers.SGD(0.1, momentum=0.1))
        )
        if not whole:
            again.load_weights(path)
        found = again.evaluate(BATCH, verbose=0, return_dict=True)["mae"]
        assert found == pytest.approx(min(history), rel=1e-5)
    with pytest.raises(ValueError, match="ModelCheckpoint looks at `val_loss`"):
        fit(model, callbacks=[keras.callbacks.ModelCheckpoint(path, save_best_only=True)])
    fit(model, callbacks=[keras.callbacks.ModelCheckpoint(folder / "each.keras")])
    last = keras.models.load_model(folder / "each.keras")
    assert last.weights_a_b == model.weights_a_b


@callback
def OrbaxCheckpoint(folder):
    # Its constructor needs a package that this one does not.
    given = keras.callbacks.OrbaxCheckpoint.__new__(keras.callbacks.OrbaxCheckpoint)
    with pytest.raises(
        ValueError, match="OrbaxCheckpoint needs variables whose paths differ.*Model"
    ):
        fit(duel(), callbacks=[given])


@callback
def ProgbarLogger(folder):
    model = duel()
    fit(model, callbacks=[keras.callbacks.ProgbarLogger()])
    np.testing.assert_allclose(model.weights_a_b[0], 0.4, rtol=1e-5)


@callback
def ReduceLROnPlateau(folder):
    test_reducing_the_rate_reduces_that_of_all_players()
    with pytest.raises(ValueError, match="ReduceLROnPlateau looks at `val_loss`"):
        fit(duel(), callbacks=[keras.callbacks.ReduceLROnPlateau()])


@callback
def RemoteMonitor(folder):
    pytest.importorskip("requests")
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("localhost", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://localhost:{server.server_port}"
        monitor = keras.callbacks.RemoteMonitor(root, send_as_json=True)
        history = fit(duel(), callbacks=[monitor])
        server.shutdown()
    assert [row["left_loss"] for row in received] == pytest.approx(history["left_loss"])


@callback
def SwapEMAWeights(folder):
    """Saved with the averages, trained without them."""
    model = duel(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    saved = keras.callbacks.ModelCheckpoint(folder / "{epoch}.weights.h5", save_weights_only=True)
    fit(model, epochs=2, callbacks=[swap, saved])
    for epoch, average in ((1, 0.85), (2, 0.6875)):
        again = duel(keras.optimizers.SGD(0.1, use_ema=True))
        again.load_weights(folder / f"{epoch}.weights.h5")
        np.testing.assert_allclose(again.weights_a_b[0], average, rtol=1e-5)


@callback
def TensorBoard(folder):
    board = keras.callbacks.TensorBoard(folder, histogram_freq=1, update_freq="batch")
    fit(with_rates(), callbacks=[board])
    from tensorboard.backend.event_processing import event_accumulator

    events = event_accumulator.EventAccumulator(str(folder / "train"))
    events.Reload()
    assert {"epoch_left_loss", "epoch_right_loss"} <= set(events.Tags()["tensors"])


@callback
def TerminateOnNaN(folder):
    with pytest.raises(ValueError, match=r"TerminateOnNaN looks at `loss`.*StopOnDivergence\(\)"):
        fit(duel(), callbacks=[keras.callbacks.TerminateOnNaN()])


@pytest.mark.parametrize("name", sorted(n for n in dir(keras.callbacks) if n[0].isupper()))
def test_every_callback_of_keras_is_right_or_refused_by_name(name, tmp_path):
    CALLBACKS[name](tmp_path)
