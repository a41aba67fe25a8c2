"""Layers that Keras does not have, or implements differently."""

from __future__ import annotations

import zlib
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pixdt.engine import replicas

_BACKEND = keras.backend.backend()
if _BACKEND == "tensorflow":
    import tensorflow as tf


@keras.saving.register_keras_serializable("keras_pixdt")
class BatchNormalization(keras.layers.BatchNormalization):
    """BatchNorm over the global batch, in one pass if a single replica holds it.

    This is `keras.layers.BatchNormalization` with `synchronized=True` (statistics over all
    replicas, equal to those of one device with the whole batch), with two differences on
    TensorFlow:

    - One replica: it uses TensorFlow's fused kernel, which reads the images fewer times than Keras'
      sums, squares and products, and in half precision does not first write them in float32.
    - Several replicas: it sums over the replicas once for mean and variance together, instead of
      three times.

    On JAX one program holds the whole batch, and XLA fuses Keras' own layer.

    Args:
        momentum: of the moving statistics.
        epsilon: added to the variance.
        **kwargs: as in `keras.layers.BatchNormalization`; the axis is the last one.
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3, **kwargs: Any) -> None:
        kwargs["synchronized"] = _BACKEND == "tensorflow"  # as the machine has it, also on loading
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalizes (batch, height, width, channels), by the batch's statistics in training."""
        if training and self.trainable and mask is None and self._can_fuse(inputs):
            return self._fused(inputs)
        return super().call(inputs, training=training, mask=mask)

    def _can_fuse(self, inputs: Any) -> bool:
        return (
            _BACKEND == "tensorflow"
            and tf.distribute.get_strategy().num_replicas_in_sync == 1
            and isinstance(inputs, tf.Tensor)
            and len(inputs.shape) == 4
            and inputs.dtype in (tf.float32, tf.bfloat16, tf.float16)
            and self.scale
            and self.center
        )

    def _fused(self, inputs: Any) -> Any:
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel's variance divides by n - 1; Keras' moving variance divides by n.
        n = self._count(inputs, variance.dtype)
        variance *= (n - 1) / n
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs

    def _moments(self, inputs: Any, mask: Any) -> Any:
        if not self.synchronized or mask is not None:
            return super()._moments(inputs, mask)
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return keras.ops.moments(inputs, self._reduction_axes)
        sums = [
            self._count(inputs, inputs.dtype)[None],
            tf.reduce_sum(inputs, self._reduction_axes),
            tf.reduce_sum(tf.square(inputs), self._reduction_axes),
        ]
        channels = inputs.shape[-1]  # one vector: between machines each sum is a round trip
        sums = context.all_reduce("SUM", tf.concat(sums, 0))
        count, total, squares = tf.split(sums, [1, channels, channels])
        mean = total / count
        return mean, tf.maximum(squares / count - tf.square(mean), 0.0)

    def _count(self, inputs: Any, dtype: Any) -> Any:
        """Values for each channel."""
        return tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), dtype)


def normalizations(network: keras.Model) -> list[Any]:
    """All BatchNorm layers, also those in nested networks, except layers that do not learn."""
    every = network._flatten_layers(include_self=False)
    return [layer for layer in every if hasattr(layer, "moving_variance") and layer.trainable]


def moving_statistics(network: keras.Model) -> list[keras.Variable]:
    """Moving mean and variance of each of `normalizations`."""
    return [
        v for layer in normalizations(network) for v in (layer.moving_mean, layer.moving_variance)
    ]


@keras.saving.register_keras_serializable("keras_pixdt")
class Dropout(keras.layers.Layer):
    """Dropout as the noise z of a conditional GAN: active in training and at test time.

    Isola et al. 2017, Sec. 3.1: the generator would learn to ignore a vector of noise, so they
    provide noise "only in the form of dropout, applied on several layers of our generator at both
    training and test time".

    In training, masks are drawn for the global batch and every replica takes its own rows, so a
    step does not depend on the number of replicas. `AdversarialModel` saves the random generator's
    state.

    At test time one mask, drawn from a fixed seed (the layer's name), is used for all images. An
    image therefore gives the same result in every call, at any place in a batch, after loading and
    on all backends. Isola et al. draw a new mask for each image.

    Args:
        rate: share of the values set to 0, in [0, 1); the others are multiplied by 1 / (1 - rate),
            which keeps the expected value.
        seed: seed of the masks in training; None draws one.
        **kwargs: `name`, `dtype`.

    Raises:
        ValueError: the rate is out of its range.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must be in [0, 1). Received: {rate}")
        self.rate = rate
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drops values of (batch, ...) independently."""
        shape = inputs.shape[1:]
        if training:
            chance = replicas.draw(
                # float32 under all policies: in bfloat16, 0.5 would come up too often.
                lambda rows: keras.random.uniform(
                    (rows, *shape), dtype="float32", seed=self.generator
                ),
                inputs,
            )
        else:
            # NumPy's numbers are the same on all backends.
            fixed = np.random.default_rng(zlib.crc32(self.name.encode()))
            chance = fixed.random((1, *shape), dtype="float32")
        return ops.where(chance >= self.rate, inputs / (1.0 - self.rate), 0.0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape stays."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable("keras_pixdt")
class FadeIn(keras.layers.Layer):
    """skip + alpha * detail, where a decoder block's two paths meet (Kwon et al. 2019, Fig. 2b).

    `alpha` is a weight that no optimizer updates. It is saved, and can change without tracing the
    step again.

    Call arguments:
        inputs: skip and detail, of one shape.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = self.add_weight(
            shape=(), initializer="ones", trainable=False, dtype="float32", name="alpha"
        )

    def call(self, inputs: list[Any]) -> Any:
        """Adds them."""
        skip, detail = inputs
        return skip + ops.cast(self.alpha, detail.dtype) * detail

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of each input."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments; Keras' own refuses a policy as `dtype`."""
        return super().get_config()


# Rectangles where a network takes squares


@keras.saving.register_keras_serializable("keras_pixdt")
class PadToSquare(keras.layers.Layer):
    """Fills images up with white to squares of their longer side, as `data.as_square` does.

    Call arguments:
        inputs: (batch, height, width, channels), where white is 1.
    """

    def call(self, inputs: Any) -> Any:
        """Returns (batch, side, side, channels)."""
        height, width = sides = ops.shape(inputs)[1:3]
        known = all(isinstance(side, int) for side in sides)
        if known and height == width:
            return inputs
        side = max(sides) if known else ops.maximum(height, width)
        borders = [((side - length) // 2, (side - length + 1) // 2) for length in sides]
        return ops.pad(inputs, ((0, 0), *borders, (0, 0)), constant_values=1.0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns squares."""
        batch, height, width, channels = input_shape
        side = None if None in (height, width) else max(height, width)
        return (batch, side, side, channels)


# Sampling images where a flow points


def _rows(values: Any, index: Any) -> Any:
    """`ops.take(values, index, axis=0)` of an index without negative numbers."""
    # Keras would add the length to negative ones: three more operations, which break a TFLite graph
    # into parts.
    return tf.gather(values, index) if _BACKEND == "tensorflow" else ops.take(values, index, axis=0)


def warp(images: Any, flow: Any) -> Any:
    """Samples images bilinearly at the points of a flow (Jaderberg et al. 2015, Eq. 5).

    Points beyond the border take the value at the border.

    Args:
        images: (batch, height, width, channels).
        flow: (batch, rows, columns, 2), x to the right and y down, in [-1, 1] from the outer edge
            of the first pixel to the outer edge of the last.

    Returns:
        (batch, rows, columns, channels), of the images' dtype. It is differentiable with respect
        to both; where a point crosses the centre of a pixel, the slope with respect to the flow
        jumps.
    """
    height, width, channels = images.shape[1:]
    rows, columns = flow.shape[1:3]
    # float32 in any case: half precision cannot tell the pixels of a large photo apart.
    x, y = ops.split(ops.cast(flow, "float32"), 2, axis=-1)
    x = ops.clip((x + 1.0) * (width / 2) - 0.5, 0.0, width - 1.0)
    y = ops.clip((y + 1.0) * (height / 2) - 0.5, 0.0, height - 1.0)
    # The last pixel but one at most, so that there is one to the right and one below.
    left = ops.clip(ops.floor(x), 0.0, max(width - 2.0, 0.0))
    top = ops.clip(ops.floor(y), 0.0, max(height - 2.0, 0.0))
    right_share, low_share = (ops.cast(share, images.dtype) for share in (x - left, y - top))
    first = ops.reshape(ops.arange(ops.shape(images)[0]) * (height * width), (-1, 1, 1, 1))
    corner = first + ops.cast(top, "int32") * width + ops.cast(left, "int32")
    pixels = ops.reshape(images, (-1, channels))

    def at(down: int, along: int) -> Any:
        place = ops.reshape(corner + (down * width + along), (-1,))
        return ops.reshape(_rows(pixels, place), (-1, rows, columns, channels))

    below, beside = int(height > 1), int(width > 1)
    upper = at(0, 0) * (1 - right_share) + at(0, beside) * right_share
    lower = at(below, 0) * (1 - right_share) + at(below, beside) * right_share
    return upper * (1 - low_share) + lower * low_share


@keras.saving.register_keras_serializable("keras_pixdt")
class Warp(keras.layers.Layer):
    """See `warp`.

    Call arguments:
        inputs: images and flow.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # the flow stays float32

    def call(self, inputs: list[Any]) -> Any:
        """Samples the images at the points of the flow."""
        return warp(*inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the flow's rows and columns, and the images' channels."""
        images, flow = input_shape
        return (*flow[:-1], images[-1])

    def compute_output_spec(self, inputs: list[Any]) -> Any:
        """Returns the shape, and the dtype of the images."""
        shape = self.compute_output_shape([x.shape for x in inputs])
        return keras.KerasTensor(shape, dtype=inputs[0].dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments; Keras' own refuses a policy as `dtype`."""
        return super().get_config()


@keras.saving.register_keras_serializable("keras_pixdt")
class AffineFlow(keras.layers.Layer):
    """The flow of an affine map: where the pixels of a square image come from.

    Args:
        size: side of the flow.
        **kwargs: `name`. The flow is float32 in any case.

    Call arguments:
        inputs: (batch, 6): a, b, c, d, e, f take a point (x, y) of the image, in [-1, 1], to
            (a x + b y + c, d x + e y + f).
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.size = size

    def call(self, inputs: Any) -> Any:
        """Returns (batch, size, size, 2)."""
        centers = (np.arange(self.size, dtype="float32") + 0.5) * (2 / self.size) - 1
        x, y = np.meshgrid(centers, centers)
        points = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(1, -1, 3)
        matrix = ops.reshape(ops.cast(inputs, "float32"), (-1, 2, 3))
        moved = ops.matmul(ops.convert_to_tensor(points), ops.transpose(matrix, (0, 2, 1)))
        return ops.reshape(moved, (-1, self.size, self.size, 2))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the flow."""
        return (input_shape[0], self.size, self.size, 2)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "size": self.size}
