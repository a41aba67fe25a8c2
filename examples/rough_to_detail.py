"""The rough-to-detail GAN (Kwon et al. 2019) as a Keras user would write it: its stages in one fit.

    python examples/rough_to_detail.py

Draws 200 products and the persons who wear them, trains a narrow network at 16, 32 and 64 px, each
faded in and stabilized, and writes `rough_to_detail.png`: photo | drawn by the network | the
product, of products that training did not see. About a minute on two cores; expect rough shapes.
"""

import argparse
import dataclasses

import keras

from keras_pixdt import data, metrics, presets
from keras_pixdt.training import Schedule


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description="The rough-to-detail GAN on rendered products.")
    parser.add_argument("--products", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=6, help="of all stages together")
    parser.add_argument("--width", type=float, default=0.125, help="1 is the paper's network")
    parser.add_argument("--out", default="rough_to_detail.png")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)

    # 64 px with three stages; "kwon2019" has the paper's numbers, for 256 px.
    preset = dataclasses.replace(presets.get("kwon2019-64"), width=arguments.width)
    pairs = data.load_pairs("rendered", num_products=arguments.products)
    train = data.triplets(pairs["train"], preset.batch_sizes, irrelevant=False, mirror=True)
    test = data.triplets(pairs["test"], 64, shuffle=False, irrelevant=False, drop_remainder=False)

    model = preset.model(seed=0)
    scores = [metrics.RootMeanSquaredError(), metrics.SSIM(), metrics.ColorSSIM()]
    model.compile(preset.optimizer(), metrics=scores)
    # Goes from stage to stage: what the model draws, the size of the batches, the rate.
    schedule = Schedule(preset, train, epochs=arguments.epochs)
    model.fit(
        train, validation_data=test, shuffle=False, epochs=arguments.epochs, callbacks=[schedule]
    )

    shown = {name: images[::8] for name, images in test[0].items()}  # of several products
    columns = [shown["source"], model.predict(shown["source"]), shown["target"]]
    data.write_image(arguments.out, data.image_grid([data.to_uint8(x) for x in columns]))


if __name__ == "__main__":  # the processes that draw import this file
    main()
