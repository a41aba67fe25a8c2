"""The Domain Transfer Network (Taigman et al. 2017) as a Keras user would write it.

    python examples/domain_transfer.py

Draws 200 products and the persons who wear them, and shuffles them apart. f is taken from a
classifier of persons by the category of what they wear; the network then turns persons into
products so that f stays as it is. Writes `domain_transfer.png`: photo | its transfer, of photos
that training did not see. Under a minute on two cores, which is far too short: expect outlines of
garments in noise, some of the right kind. What f does not see is free to change.
"""

import argparse

import keras

from keras_pixdt import DomainTransferNetwork, data
from keras_pixdt.training import AveragedWeights, train_classifier

IMAGE_SIZE = 32  # px


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description="A DTN on rendered products and persons.")
    parser.add_argument("--products", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--width", type=float, default=0.25, help="1 is the paper's f")
    parser.add_argument("--out", default="domain_transfer.png")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)

    pairs = data.load_pairs("rendered", IMAGE_SIZE, num_products=arguments.products)
    train = pairs["train"].domains()  # labelled by category
    classifier = train_classifier(
        train.sources, train.source_labels.index, len(train.source_labels.names),
        epochs=2 * arguments.epochs, width=arguments.width,
    )  # fmt: skip

    model = DomainTransferNetwork(
        classifier.get_layer("f"), IMAGE_SIZE, arguments.width, discriminator_width=0.1, gamma=5.0
    )
    model.compile(
        {
            "discriminator": keras.optimizers.Adam(1e-3, beta_1=0.5),
            "converter": keras.optimizers.Adam(1e-3, beta_1=0.5, use_ema=True, ema_momentum=0.95),
        }
    )
    # After some hundred steps BatchNorm's moving statistics are not yet those of the averaged
    # weights: `AveragedWeights` measures them.
    averages = AveragedWeights(data.to_float(train.sources[:256]))
    batches = data.unpaired(train, batch_size=16)
    model.fit(batches, epochs=arguments.epochs, shuffle=False, callbacks=[averages])

    photos = data.to_float(pairs["test"].sources[::8][:8])  # of several products
    columns = [data.to_uint8(images) for images in (photos, model.predict(photos))]
    data.write_image(arguments.out, data.image_grid(columns))


if __name__ == "__main__":  # the processes that draw import this file
    main()
