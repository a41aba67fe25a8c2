import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_pixdt.engine.model import AdversarialModel, reverse_network
from keras_pixdt.engine.optimizers import PlayerOptimizers
from tests.models import checks
from tests.models.checks import step


def one_weight(dtype):
    """y = w x, with w = 1 and a float32 output as networks of the package have it."""
    return keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", dtype=dtype),
            keras.layers.Activation("linear", dtype="float32"),
        ]
    )


@keras.saving.register_keras_serializable("tests")
class Duel(AdversarialModel):
    """Two players with one weight each, a and b: every update can be computed in the head.

    left: mean(left_factor a x), so d/da = mean(left_factor x).
    right: mean(right_factor b x a x), so d/db = mean(right_factor a x^2), with the new a.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.left_network = one_weight(self.dtype_policy)
        self.right_network = one_weight(self.dtype_policy)
        self.set_players({"left": ["left_network"], "right": ["right_network"]})

    def call(self, inputs, training=False):
        return self.left_network(inputs, training=training)

    def generated_shape(self):
        return (None, 1)

    def adversarial_step(self, batch):
        x = batch["source"]

        def left():
            return ops.mean(batch["left_factor"] * self.left_network(x, training=True))

        def right():
            a_x = ops.stop_gradient(self.left_network(x, training=True))
            return ops.mean(batch["right_factor"] * self.right_network(x, training=True) * a_x)

        return {"left": self.minimize("left", left), "right": self.minimize("right", right)}

    @property
    def weights_a_b(self):
        return [float(self.player_variables(name)[0].numpy().item()) for name in self.players]


def batch_of(x=(2.0,), left_factor=1.0, right_factor=1.0, target=0.0):
    x = np.array(x, "float32")[:, None]
    values = {"left_factor": left_factor, "right_factor": right_factor, "target": target}
    return {"source": x, **{k: np.full_like(x, value) for k, value in values.items()}}


def compiled(optimizer=None, dtype="float32", **kwargs):
    model = Duel(dtype=dtype)
    model.compile(optimizer or keras.optimizers.SGD(0.1), run_eagerly=True, **kwargs)
    return model


def test_each_update_sees_the_updates_before_it_and_moves_one_player():
    model = compiled()
    logs = step(model, batch_of(x=(2.0,), left_factor=3.0, right_factor=0.5))
    # a = 1 - 0.1 * 3 * 2 = 0.4; b = 1 - 0.1 * 0.5 * 0.4 * 4 = 0.92: with the old a it were 0.8,
    # and a would be 0.2 if the right player's update reached it.
    np.testing.assert_allclose(model.weights_a_b, [0.4, 0.92], rtol=1e-6)
    # Losses are those before the player's own update: 3 * 1 * 2 and 0.5 * 1 * 2 * 0.4 * 2.
    assert logs == pytest.approx({"left_loss": 6.0, "right_loss": 0.8})


def test_players_have_rates_of_their_own():
    model = compiled({"left": keras.optimizers.SGD(0.1), "right": keras.optimizers.SGD(0.0)})
    step(model, batch_of())
    np.testing.assert_allclose(model.weights_a_b, [0.8, 1.0], rtol=1e-6)


def test_fit_reports_each_players_mean_loss_and_no_other():
    model = Duel()
    model.compile(keras.optimizers.SGD(0.1))  # a graph, as users train
    batches = batch_of(x=(1.0, 2.0), left_factor=1.0, right_factor=0.0)
    history = model.fit(batches, batch_size=1, epochs=2, shuffle=False, verbose=0).history
    # a runs 1, 0.9, 0.7, 0.6, 0.4; a sample's loss is a x with the a before its update.
    assert set(history) == {"left_loss", "right_loss"}
    np.testing.assert_allclose(history["left_loss"], [(1 + 1.8) / 2, (0.7 + 1.2) / 2], rtol=1e-5)
    np.testing.assert_allclose(model.weights_a_b, [0.4, 1.0], rtol=1e-5)


def test_losses_are_means_over_samples_also_where_the_last_batch_is_smaller():
    model = compiled(keras.optimizers.SGD(0.0))
    batches = batch_of(x=(1.0, 2.0, 6.0), right_factor=0.0)
    history = model.fit(batches, batch_size=2, shuffle=False, verbose=0).history
    assert history["left_loss"] == pytest.approx([(1 + 2 + 6) / 3])  # not (1.5 + 6) / 2


def test_a_batch_size_that_replicas_cannot_share_is_refused_before_training(monkeypatch):
    class Batches(keras.utils.PyDataset):
        batch_sizes = (4, 6)

    model = compiled()
    monkeypatch.setattr(model, "_replicas", lambda: 4)
    with pytest.raises(ValueError, match="4 replicas.*Received: 6. Nearest: 4 or 8"):
        model.fit(Batches())


def test_one_replica_draws_for_all_rows():
    drawn = compiled().draw(lambda rows: tf.range(rows), tf.zeros((3, 2)))
    np.testing.assert_array_equal(drawn, [0, 1, 2])


def test_validation_scores_real_and_generated_images():
    model = compiled(metrics=[keras.metrics.MeanAbsoluteError(name="mae")])
    validation = batch_of(x=(1.0, 3.0), target=5.0)  # not a multiple of batch_size
    assert model.evaluate(validation, verbose=0, return_dict=True) == {"mae": 3.0}
    history = model.fit(batch_of(), validation_data=validation, verbose=0).history
    assert history["val_mae"] == pytest.approx([5 - 0.8 * 2])  # a = 0.8 after the step
    assert set(history) == {"left_loss", "right_loss", "val_mae"}


def test_evaluate_without_metrics_says_how_to_get_them():
    with pytest.raises(ValueError, match=r"compile\(metrics=\[\.\.\.\]\).*RootMeanSquaredError"):
        compiled().evaluate(batch_of(), verbose=0)


def test_a_model_without_a_way_back_says_so():
    with pytest.raises(ValueError, match="`reverse_converter`, converts back. This Duel has none"):
        reverse_network(compiled())


@keras.saving.register_keras_serializable("tests")
class Configured(Duel):
    def __init__(self, rate, *, label="a", **kwargs):
        super().__init__(**kwargs)
        self.rate, self.label = rate, label


def test_a_models_configuration_is_what_its_constructor_was_given():
    config = Configured(0.5, label="b", name="c").get_config()
    assert (config["rate"], config["label"], config["name"]) == (0.5, "b", "c")
    again = Configured.from_config(config)
    assert again.get_config() == config


def test_updating_through_a_forward_pass_equals_a_second_pass():
    x = tf.constant([[2.0], [-1.0], [0.5]])
    models = [compiled(), compiled()]
    forward = models[0].forward("left", lambda: models[0].left_network(x, training=True))
    np.testing.assert_array_equal(forward.outputs, x)

    def square(outputs):
        return ops.mean(ops.square(outputs - 3.0))

    losses = [
        models[0].minimize("left", square, through=forward),
        models[1].minimize("left", lambda: square(models[1].left_network(x, training=True))),
    ]
    # d/da mean((a x - 3)^2) = 2 mean((x - 3) x) = 2 (-2 + 4 - 1.25) / 3 = 0.5 at a = 1.
    for model, loss in zip(models, losses, strict=True):
        assert float(loss) == pytest.approx((1 + 16 + 6.25) / 3)
        np.testing.assert_allclose(model.weights_a_b, [0.95, 1.0], rtol=1e-6)


def decay(model, factor=3.0):
    """factor a^2 / 2 of the left player's weight a, so d/da = factor a."""
    return lambda: 0.5 * factor * ops.sum(ops.square(model.player_variables("left")[0]))


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("with_forward", [False, True])
def test_the_gradient_of_a_penalty_is_added_and_not_its_value(with_forward, dtype):
    model, x = compiled(dtype=dtype), tf.constant([[2.0], [1.0]])

    def outputs():
        return model.left_network(x, training=True)

    if with_forward:
        forward = model.forward("left", outputs)
        loss = model.minimize("left", ops.mean, through=forward, penalty=decay(model))
    else:
        loss = model.minimize("left", lambda: ops.mean(outputs()), penalty=decay(model))
    assert float(loss) == pytest.approx(1.5)  # neither penalized nor scaled
    # a = 1 - 0.1 * (1.5 + 3 * 1).
    np.testing.assert_allclose(model.weights_a_b, [0.55, 1.0], rtol=1e-6)


def test_a_penalty_may_leave_weights_out():
    model = HalfDuel()
    model.active_variables = model.player_variables
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    x = tf.constant([[2.0]])

    def both():
        return ops.mean(model.left_network(x, training=True) + model.spare_network(x))

    model.minimize("left", both, penalty=decay(model))
    a, spare = (float(v.numpy().item()) for v in model.player_variables("left"))
    assert (a, spare) == pytest.approx((1 - 0.1 * (2 + 3), 1 - 0.1 * 2))


def test_a_penalty_does_not_hide_that_the_loss_leaves_out_a_weight():
    model, x = compiled(), tf.constant([[2.0]])
    with pytest.raises(ValueError, match="No gradients"):
        model.minimize("left", lambda: ops.mean(model.right_network(x)), penalty=decay(model))
    assert model.weights_a_b == [1.0, 1.0]


def test_gradient_with_respect_to_inputs_and_through_it():
    model = Duel()
    x = tf.Variable([[1.0], [-2.0], [0.5]])
    with tf.GradientTape() as tape:
        gradient = model.gradient(lambda x: ops.power(x, 3), x)
        penalty = tf.reduce_sum(tf.square(gradient))
    np.testing.assert_allclose(gradient, 3 * x.numpy() ** 2, rtol=1e-6)
    # d/dx sum((3 x^2)^2) = 36 x^3: a gradient penalty reaches what it penalizes.
    np.testing.assert_allclose(tape.gradient(penalty, x), 36 * x.numpy() ** 3, rtol=1e-6)


# Optimizers


def test_one_optimizer_is_copied_for_each_player():
    given = keras.optimizers.SGD(0.1, momentum=0.5)
    optimizer = compiled(given).optimizer
    assert optimizer.names == ("left", "right")
    assert len({id(given), id(optimizer["left"]), id(optimizer["right"])}) == 3
    for name in optimizer.names:
        copied = {**optimizer[name].get_config(), "name": None}
        assert copied == {**given.get_config(), "name": None}


@pytest.mark.parametrize("given", ["rmsprop", {"class_name": "RMSprop", "config": {}}])
def test_optimizer_by_name_and_config(given):
    optimizer = compiled(given).optimizer
    assert [type(optimizer[n]) for n in optimizer.names] == [keras.optimizers.RMSprop] * 2


def rates_of(optimizer):
    return [float(optimizer[name].learning_rate) for name in optimizer.names]


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_setting_the_rate_keeps_the_ratios_of_the_players_rates(dtype):
    given = {"left": keras.optimizers.SGD(0.1), "right": keras.optimizers.Adam(0.2)}
    optimizer = compiled(given, dtype=dtype).optimizer
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
    optimizer.learning_rate = 0.01
    assert rates_of(optimizer) == pytest.approx([0.01, 0.02])
    optimizer["right"].learning_rate = 0.005  # another ratio
    optimizer.learning_rate = 0.02
    assert rates_of(optimizer) == pytest.approx([0.02, 0.01])
    for rate in (0.0, 0.0, 0.04):  # a warm-up from 0
        optimizer.learning_rate = rate
    assert rates_of(optimizer) == pytest.approx([0.04, 0.02])


def test_equal_rates_stay_equal_to_the_last_bit():
    optimizer = compiled(keras.optimizers.SGD(3e-4)).optimizer
    for rate in (1e-4, 7e-5, 1.1e-5):
        optimizer.learning_rate = rate
        assert rates_of(optimizer) == [float(np.float32(rate))] * 2


def test_a_rate_that_cannot_be_set_is_refused_before_any_is():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    optimizer = compiled(
        {"left": keras.optimizers.SGD(0.1), "right": keras.optimizers.SGD(schedule)}
    ).optimizer
    with pytest.raises(TypeError, match="`LearningRateSchedule` belongs to one player"):
        optimizer.learning_rate = 0.01
    assert rates_of(optimizer)[0] == pytest.approx(0.1)
    with pytest.raises(TypeError, match="give it to the player's optimizer"):
        compiled().optimizer.learning_rate = schedule
    still = compiled({"left": keras.optimizers.SGD(0.0), "right": keras.optimizers.SGD(0.1)})
    with pytest.raises(ValueError, match="follow that of 'left', which is 0.*Received: 0.01"):
        still.optimizer.learning_rate = 0.01
    assert rates_of(still.optimizer)[1] == pytest.approx(0.1)


def test_iterations_count_steps():
    model = compiled()
    for _ in range(3):
        step(model, batch_of())
    assert int(model.optimizer.iterations) == 3


def test_weight_averages_replace_the_weights_after_fit():
    averaging = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.75)
    model = compiled({"left": averaging, "right": keras.optimizers.SGD(0.1)})
    model.fit(batch_of(x=(1.0, 1.0), right_factor=0.5), batch_size=1, shuffle=False, verbose=0)
    # a runs 0.9, 0.8; Keras starts the average at the first of them: 0.75 * 0.9 + 0.25 * 0.8.
    # b, not averaged, runs 1 - 0.1 * 0.5 * 0.9 = 0.955, 0.955 - 0.1 * 0.5 * 0.8 = 0.915.
    np.testing.assert_allclose(model.weights_a_b, [0.875, 0.915], rtol=1e-5)


def test_loss_is_refused():
    with pytest.raises(ValueError, match=r"Duel brings its objective.*constructor.*loss='mse'"):
        compiled(loss="mse")


@pytest.mark.parametrize("players", [["left"], ["left", "right", "judge"]])
def test_players_without_optimizer_and_optimizers_without_player_are_named(players):
    with pytest.raises(ValueError) as error:
        compiled({name: keras.optimizers.SGD(0.1) for name in players})
    assert "['left', 'right']" in str(error.value)  # what it needs
    assert f"Received: {sorted(players)}" in str(error.value)


def test_one_optimizer_object_for_two_players_is_refused():
    shared = keras.optimizers.SGD(0.1)
    with pytest.raises(ValueError, match="optimizer object of its own.*left, right"):
        compiled({"left": shared, "right": shared})


@pytest.mark.parametrize("name", ["iterations", "apply", "name"])
def test_a_player_with_a_name_of_optimizer_is_refused(name):
    with pytest.raises(ValueError, match=f"'{name}' cannot be the name of a player"):
        PlayerOptimizers({name: keras.optimizers.SGD()})


def test_the_composite_refuses_to_update_all_players_at_once():
    model = compiled()
    variables = model.trainable_variables
    with pytest.raises(RuntimeError, match=r"minimize\(\)"):
        model.optimizer.apply_gradients([(tf.ones_like(v), v) for v in variables])
    with pytest.raises(RuntimeError, match=r"compile\(\)"):
        PlayerOptimizers({"left": keras.optimizers.SGD()}).build(variables)


def test_composite_config_round_trip():
    optimizer = PlayerOptimizers(
        {"left": keras.optimizers.SGD(0.1, momentum=0.5), "right": keras.optimizers.Adam(0.2)}
    )
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.names == ("left", "right")
    assert again["left"].get_config() == optimizer["left"].get_config()
    assert again["right"].get_config() == optimizer["right"].get_config()


# Mixed precision


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_updates_under_mixed_precision_are_of_float32s_size(dtype):
    batch = batch_of(x=(2.0, 0.5), left_factor=0.01, right_factor=0.003)
    expected, mixed = compiled(), compiled(dtype=dtype)
    for model in (expected, mixed):
        logs = step(model, batch)
        assert logs["left_loss"] == pytest.approx(0.0125, rel=4e-3)  # not scaled
    moved = [1 - np.array(model.weights_a_b) for model in (expected, mixed)]
    assert (moved[0] > 1e-4).all()
    np.testing.assert_allclose(moved[1], moved[0], rtol=8e-3)  # bfloat16 has 8 bits


def test_an_overflow_skips_only_the_update_of_its_player():
    model = compiled(dtype="mixed_float16")
    scales = [model.optimizer[name].dynamic_scale for name in ("left", "right")]
    initial = float(scales[0])
    # float16 ends at 65504: the left player's scaled gradient overflows, the right one's not.
    step(model, batch_of(x=(1.0,), left_factor=2.0 * 65504 / initial, right_factor=0.5))
    np.testing.assert_allclose(model.weights_a_b, [1.0, 0.95], rtol=1e-3)
    assert [float(s) for s in scales] == [initial / 2, initial]
    # With half the scale the same batch passes.
    factor = 1.5 * 65504 / initial
    step(model, batch_of(x=(1.0,), left_factor=factor, right_factor=0.0))
    np.testing.assert_allclose(model.weights_a_b, [1 - 0.1 * factor, 0.95], rtol=1e-3)


def test_loss_scales_survive_saving(tmp_path):
    model = compiled(dtype="mixed_float16")
    step(model, batch_of(x=(1.0,), left_factor=100.0))
    scales = [float(model.optimizer[n].dynamic_scale) for n in ("left", "right")]
    assert scales[0] == scales[1] / 2
    model.save(tmp_path / "duel.keras")
    again = keras.models.load_model(tmp_path / "duel.keras")
    assert [float(again.optimizer[n].dynamic_scale) for n in ("left", "right")] == scales
    assert int(again.optimizer.iterations) == int(model.optimizer.iterations)


def test_what_the_saving_machine_compiled_does_not_bind_the_loading_one(tmp_path):
    """Keras saves what "auto" was resolved to: XLA on a GPU, which is slow on this CPU."""
    model, automatic = Duel(), Duel()
    model.compile("sgd", jit_compile=True)
    automatic.compile("sgd")
    model.save(tmp_path / "duel.keras")
    assert keras.models.load_model(tmp_path / "duel.keras").jit_compile == automatic.jit_compile


# Replicas

REPLICAS = """
import json
import tensorflow as tf

cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

import keras
from tests.engine.model_test import Duel, batch_of, decay

found = {}
for dtype, factors in (("float32", [1, 2, 3, 4]), ("mixed_float16", [1, 1, 1, 1e5])):
    with strategy.scope():
        model = Duel(dtype=dtype)
        model.compile(keras.optimizers.SGD(0.1))
    batch = batch_of(x=(1.0, 1.0, 1.0, 1.0), right_factor=0.5)
    batch["left_factor"][:, 0] = factors
    history = model.fit(batch, batch_size=4, shuffle=False, verbose=0).history
    scales = [
        keras.ops.convert_to_numpy(getattr(model.optimizer[n], "dynamic_scale", 0.0)).item()
        for n in model.players
    ]
    found[dtype] = {
        "weights": model.weights_a_b,
        "left_loss": history["left_loss"][0],
        "scales": scales,
    }


class Decaying(Duel):
    def minimize(self, name, loss_fn):
        return super().minimize(name, loss_fn, penalty=decay(self) if name == "left" else None)


with strategy.scope():
    model = Decaying()
    model.compile(keras.optimizers.SGD(0.1))
# Batches of 4 and of 1, which leaves the second replica without a row.
batch = batch_of(x=(1.0,) * 5, left_factor=2.0, right_factor=0.0)
model.fit(batch, batch_size=4, shuffle=False, verbose=0)
found["penalty"] = {"weights": model.weights_a_b}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def replicas():
    """What a process with two replicas found: devices cannot be divided in a running one."""
    return json.loads(checks.run_python(REPLICAS).splitlines()[-1])


@pytest.mark.slow
def test_two_replicas_take_the_step_of_one_device(replicas):
    # The mean over all four samples, not the sum over replicas of their means:
    # a = 1 - 0.1 * 2.5; b = 1 - 0.1 * 0.5 * a. SGD would show a missing division, Adam hide it.
    np.testing.assert_allclose(replicas["float32"]["weights"], [0.75, 0.9625], rtol=1e-6)
    assert replicas["float32"]["left_loss"] == pytest.approx(2.5)


@pytest.mark.slow
def test_replicas_together_add_a_penalty_once(replicas):
    # a = 1 - 0.1 * (2 + 3) = 0.5, then 0.5 - 0.1 * (2 + 3 * 0.5) = 0.15.
    np.testing.assert_allclose(replicas["penalty"]["weights"], [0.15, 1.0], rtol=1e-5)


@pytest.mark.slow
def test_an_overflow_on_one_replica_skips_the_update_on_all(replicas):
    # The left player's last sample, on the second replica, overflows float16; the right player
    # of both replicas learns: b = 1 - 0.1 * 0.5.
    found = replicas["mixed_float16"]
    np.testing.assert_allclose(found["weights"], [1.0, 0.95], rtol=1e-3)
    assert found["scales"][0] == found["scales"][1] / 2


def test_restart_forgets_moments_and_steps_but_no_rate_and_no_loss_scale():
    optimizer = keras.optimizers.Adam(0.25, beta_1=0.0, beta_2=0.99)
    model = compiled(optimizer, dtype="mixed_float16")
    step(model, batch_of())
    left = model.optimizer["left"]
    scale = float(left.dynamic_scale)
    model.optimizer.restart()
    assert int(left.inner_optimizer.iterations) == 0
    assert float(left.inner_optimizer.learning_rate) == 0.25
    assert float(left.dynamic_scale) == scale
    # Adam's first step is as long as the rate; without a restart it would be corrected for one
    # step more, by sqrt((1 - 0.99^2) / (0.99 * 0.01 + 0.01)) = 1 here, and by less than 1 later.
    before = model.weights_a_b
    for _ in range(3):
        step(model, batch_of())
        model.optimizer.restart()
    np.testing.assert_allclose(np.subtract(before, model.weights_a_b), [0.75, 0.75], rtol=1e-3)


class HalfDuel(Duel):
    """A duel in which the left player has two weights and uses the first one only."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.spare_network = one_weight(self.dtype_policy)
        self.set_players({"left": ["left_network", "spare_network"], "right": ["right_network"]})

    def active_variables(self, name):
        return self.player_variables(name)[:1]


def test_what_a_step_does_not_use_stays_and_the_rest_moves_as_without_it():
    model = HalfDuel()
    model.compile(keras.optimizers.Adam(0.1), run_eagerly=True)
    for _ in range(3):
        step(model, batch_of())
    whole = compiled(keras.optimizers.Adam(0.1))
    for _ in range(3):
        step(whole, batch_of())
    a, spare = (float(v.numpy().item()) for v in model.player_variables("left"))
    assert spare == 1.0
    assert a == whole.weights_a_b[0]
