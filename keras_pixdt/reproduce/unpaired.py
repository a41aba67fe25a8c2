"""How the experiments train a model of two domains without a folder of a run."""

from __future__ import annotations

import keras

from keras_pixdt import data, presets
from keras_pixdt.training.callbacks import StopOnDivergence
from keras_pixdt.training.run import averaged_weights
from keras_pixdt.training.schedule import Schedule

_ENDLESS = 1_000_000  # epochs


def train(
    preset: presets.Preset,
    domains: data.DomainSet,
    *,
    minutes: float | None = None,
    epochs: int | None = None,
    seed: int = 0,
    verbose: str | int = "auto",
) -> keras.Model:
    """Trains a model for unpaired images.

    Args:
        preset: the model and how it is trained.
        domains: the images.
        minutes: how long.
        epochs: how long, in the place of `minutes`.
        seed: of weights and batches.
        verbose: as in `keras.Model.fit`.

    Returns:
        The trained model.

    Raises:
        ValueError: not exactly one of `minutes` and `epochs` is given.
    """
    keras.utils.set_random_seed(seed)
    batches = data.unpaired(domains, preset.batch_sizes, seed)
    model = preset.model(seed)
    model.compile(preset.optimizers(model.players))
    callbacks = [Schedule(preset, batches, epochs=epochs, minutes=minutes), StopOnDivergence()]
    averages = averaged_weights(domains, preset)
    if averages is not None:
        callbacks.append(averages)
    model.fit(
        batches,
        epochs=epochs or _ENDLESS,
        verbose=verbose,
        shuffle=False,  # `batches` does, by `seed`
        callbacks=callbacks,
    )
    return model
