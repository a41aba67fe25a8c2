"""A small model with both signatures, and an index of rendered products that fits it."""

import numpy as np
from PIL import Image

IMAGE_SIZE = 64
DIMENSIONS = 64


def write(folder):
    """Writes float32.tflite, dynamic.tflite, int8.tflite, products.index and photo.jpg."""
    converter, embedder = _networks()
    _write_models(folder, converter, embedder)
    write_index(folder / "products.index", embedder)
    write_photo(folder / "photo.jpg")


def write_flow(folder, size=16):
    """Writes float32.tflite and dynamic.tflite of a model that moves pixels, and products.index."""
    import export
    from tests.export import samples

    model = samples.appearance_flow(size=size)
    embedder = _embedder(size) if isinstance(size, int) else _padding_embedder()
    photos = samples.photos(2, model.photo_size)
    variants = ["float32", "dynamic"]
    export.export_converter(
        model.converter, folder, images=photos, variants=variants, embedder=embedder,
        flow=model.finder,
    )  # fmt: skip
    for variant in variants:
        (folder / f"converter_{variant}.tflite").rename(folder / f"{variant}.tflite")
    write_index(folder / "products.index", embedder)


def _padding_embedder():
    """One that takes rectangles."""
    from keras_pixdt.search import ProductEmbedder

    return ProductEmbedder(image_size=16, width=0.25, dimensions=DIMENSIONS)


def _embedder(size):
    import keras
    from keras import layers

    image = keras.Input((size, size, 3))
    x = layers.Flatten()(layers.AveragePooling2D(size // 8)(image))
    return keras.Model(image, layers.UnitNormalization()(layers.Dense(DIMENSIONS)(x)))


def _networks():
    """A converter and an embedder with random weights, small, but of the package's operations."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    noise = keras.initializers.RandomNormal(stddev=0.08)
    image = x = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3))
    for filters in (16, 48):
        x = layers.Conv2D(filters, 4, 2, "same", use_bias=False, kernel_initializer=noise)(x)
        x = layers.LeakyReLU(0.2)(layers.BatchNormalization()(x))
    x = layers.Conv2DTranspose(16, 4, 2, "same", activation="relu", kernel_initializer=noise)(x)
    x = layers.Conv2DTranspose(3, 4, 2, "same", kernel_initializer=noise)(x)
    # The photo shines through, so that different photos find different products.
    converter = keras.Model(image, layers.Activation("tanh")(layers.Add()([x, image])))
    return converter, _embedder(IMAGE_SIZE)


def _write_models(folder, converter, embedder):
    """Writes the TFLite files as `pixdt export` makes them.

    float32 has a third signature, `levels`: what `convert` rounds. int8 has `convert` only, as its
    embedding would be quantized as well.
    """
    import keras
    import tensorflow as tf

    def levels(image):
        return (converter(tf.cast(image, tf.float32) / 127.5 - 1.0, training=False) + 1.0) * 127.5

    def convert(image):
        return {"image": tf.cast(tf.clip_by_value(levels(image) + 0.5, 0.0, 255.5), tf.uint8)}

    def embed(image):
        scaled = tf.cast(image, tf.float32) / 127.5 - 1.0
        return {"embedding": embedder(scaled, training=False)}

    shape = (1, IMAGE_SIZE, IMAGE_SIZE, 3)
    spec = [tf.TensorSpec(shape, tf.uint8, name="image")]
    archive = keras.export.ExportArchive()
    archive.add_endpoint("convert", convert, input_signature=spec)
    archive.add_endpoint("embed", embed, input_signature=spec)
    archive.add_endpoint("levels", lambda image: {"levels": levels(image)}, input_signature=spec)
    archive.write_out(str(folder / "saved_model"), verbose=False)

    def builder_of(saved_model, *keys):
        return tf.lite.TFLiteConverter.from_saved_model(
            str(folder / saved_model), signature_keys=list(keys)
        )

    builder = builder_of("saved_model", "convert", "embed", "levels")
    (folder / "float32.tflite").write_bytes(builder.convert())
    builder = builder_of("saved_model", "convert", "embed")
    builder.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / "dynamic.tflite").write_bytes(builder.convert())

    floats = keras.export.ExportArchive()
    floats.add_endpoint(
        "convert",
        lambda image: {"image": converter(image, training=False)},
        input_signature=[tf.TensorSpec(shape, tf.float32, name="image")],
    )
    floats.write_out(str(folder / "floats"), verbose=False)
    builder = builder_of("floats", "convert")
    builder.optimizations = [tf.lite.Optimize.DEFAULT]
    builder.inference_input_type = builder.inference_output_type = tf.uint8
    builder.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    builder.representative_dataset = lambda: (
        ("convert", {"image": image[None] / np.float32(127.5) - 1}) for image in noise_images(4)
    )
    (folder / "int8.tflite").write_bytes(builder.convert())


def noise_images(count, seed=0):
    """uint8 (count, IMAGE_SIZE, IMAGE_SIZE, 3), coarse noise, so that they differ in colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return coarse.repeat(IMAGE_SIZE // 8, axis=1).repeat(IMAGE_SIZE // 8, axis=2)


def write_index(path, embedder, products=24):
    """Writes an index of rendered products, named p0.jpg and so on."""
    from keras_pixdt.drawn import rendered
    from keras_pixdt.search import ProductIndex

    drawn = [
        rendered.draw_product(rendered.sample_product(number), IMAGE_SIZE)
        for number in range(products)
    ]
    ids = [f"p{number}.jpg" for number in range(products)]
    ProductIndex.build(drawn, ids, embedder).save(path)


def write_photo(path, product=0, width=300, height=400, **options):
    """Writes a rendered photo of a person, 3:4 by default."""
    from keras_pixdt.drawn import rendered

    person = rendered.draw_person(rendered.sample_product(product), 0, 128)
    Image.fromarray(person).resize((width, height)).save(path, **options)
