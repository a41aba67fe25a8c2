"""Trains a model of two domains without pairs, without a folder of a run."""

from __future__ import annotations

import keras

import keras_pixdt.registered  # noqa: F401
from keras_pixdt import data, presets
from keras_pixdt.training.callbacks import StopOnDivergence
from keras_pixdt.training.inputs import averaged_weights
from keras_pixdt.training.schedule import Schedule


def train(
    preset: presets.Preset,
    domains: data.DomainSet,
    *,
    epochs: int,
    seed: int = 0,
    verbose: str | int = "auto",
) -> keras.Model:
    """Trains a model for unpaired images, without a folder of a run.

    Args:
        preset: the model and how it is trained.
        domains: the images.
        epochs: how long.
        seed: of weights and batches.
        verbose: as in `keras.Model.fit`.

    Returns:
        The trained model.

    Raises:
        ValueError: less than one epoch.
    """
    keras.utils.set_random_seed(seed)
    batches = data.unpaired(domains, preset.batch_sizes, seed)
    model = preset.model(seed)
    model.compile(preset.optimizers(model.players))
    callbacks = [Schedule(preset, batches, epochs=epochs), StopOnDivergence()]
    averages = averaged_weights(domains, preset)
    if averages is not None:
        callbacks.append(averages)
    model.fit(
        batches,
        epochs=epochs,
        verbose=verbose,
        shuffle=False,  # `batches` does, by `seed`
        callbacks=callbacks,
    )
    return model
