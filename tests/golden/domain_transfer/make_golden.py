"""Writes `model.keras` and `golden.npz`: a saved Domain Transfer Network and what it draws.

Files that were saved once must load for good. These were written at commit b8f591f, before
`converter` and the arguments of `DomainTransferNetwork` changed; writing them again with later code
would prove nothing. Its f has all that runs differently in training: noise, moved images,
statistics, a nested network.
"""

import pathlib
import shutil
import tempfile
import zipfile

import keras
import numpy as np
from keras import layers

from keras_pixdt.models.domain_transfer import DomainTransferNetwork

HERE = pathlib.Path(__file__).parent
SIZE = 24


def function() -> keras.Model:
    """f, of 4 numbers."""
    nested = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.RandomFlip(seed=1),
            layers.Conv2D(3, 3, strides=2, activation="tanh"),
            layers.Dropout(0.5, seed=2),
        ],
        name="nested",
    )
    image = keras.Input((None, None, 3))
    x = layers.GaussianNoise(1.0, seed=3)(nested(image))
    x = layers.BatchNormalization()(x)
    x = layers.SpectralNormalization(layers.Conv2D(4, 3, strides=2))(x)
    return keras.Model(image, layers.GlobalAveragePooling2D()(x), name="f")


def uneven(network: keras.Model, rng: np.random.Generator) -> None:
    """Gives no weight and no statistic a value where it has no effect."""
    for variable in network.weights:
        drawn = rng.normal(0, 0.3, variable.shape)
        positive = variable.path.endswith(("gamma", "moving_variance"))
        variable.assign(np.abs(drawn) + 0.5 if positive else drawn)


def compress(source: str, target: pathlib.Path) -> None:
    """Writes the members of a .keras file, which are stored as they are, deflated."""
    with zipfile.ZipFile(source) as plain:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as deflated:
            for member in plain.infolist():
                with plain.open(member) as read, deflated.open(member.filename, "w") as write:
                    shutil.copyfileobj(read, write)


def main() -> None:
    """Writes both files."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4, SIZE, SIZE, 3)).astype("float32")
    f = function()
    uneven(f, rng)
    model = DomainTransferNetwork(f, SIZE, 1 / 128, generated_size=16, discriminator_blocks=2)
    model.compile({player: keras.optimizers.Adam(1e-2) for player in model.players})
    batch = {"source": x, "target": x[::-1]}
    model.fit(batch, batch_size=4, epochs=2, shuffle=False, verbose=0)
    uneven(model.generator, rng)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.keras")
        compress(f"{folder}/model.keras", HERE / "model.keras")
    np.savez_compressed(
        HERE / "golden.npz",
        x=x[:1],
        f=model.function(x[:1], training=False),
        drawn=model(x[:1], training=False),
    )


if __name__ == "__main__":
    main()
