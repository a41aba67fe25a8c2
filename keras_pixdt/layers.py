"""Layers that several papers use."""

from __future__ import annotations

from typing import Any

import keras

_BACKEND = keras.backend.backend()
if _BACKEND == "tensorflow":
    import tensorflow as tf


@keras.saving.register_keras_serializable("keras_pixdt")
class BatchNormalization(keras.layers.BatchNormalization):
    """BatchNorm over the global batch, in one pass where one replica holds it.

    `keras.layers.BatchNormalization` with `synchronized=True` (statistics of all replicas, which
    equal those of one device with the whole batch), and with two differences on TensorFlow:

    - One replica: TensorFlow's fused kernel, which reads the images fewer times than Keras'
      sums, squares and products, and in half precision does not write them in float32 first.
    - Several replicas: one sum over the replicas for mean and variance together, in the place of
      three.

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
        # The kernel's variance divides by n - 1; Keras' moving variance is that of n.
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
