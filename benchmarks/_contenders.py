"""The contenders of `train_step.py`: each trains in its own process when asked to.

Each has its own process, because the thread pools of TensorFlow, JAX and PyTorch disturb each
other, and because peak memory is measured per process. Nothing heavy is imported before a contender
is made.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import resource
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import _common

if TYPE_CHECKING:
    from keras_pixdt.data import Triplets

BATCHES = 4  # held in memory and used in turn
WARM_UP_STEPS = 3
PRODUCTS = 10  # matrix products in a measurement
LEARNING_RATE = 2e-4
MOMENTUM = 0.5  # of SGD, or Adam's first beta
PHOTO_FACTOR = 2  # of a model that moves pixels: side of the photos, of the images'
FLOAT = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}


@dataclasses.dataclass(frozen=True)
class Model:
    """Describes a model of the package that takes part.

    Attributes:
        keras: name of its class in `keras_pixdt`.
        peer: module beside this file whose `Peer` is the same in PyTorch. Without one, the step
            and `fit` alone are measured.
        flops: function of `_flops`: operations of a step for one sample.
        function: whether it takes a function f of images; one that is not trained takes as long.
        moves: whether it moves pixels: photos are larger than images, and batches have masks and
            flows instead of irrelevant images.
    """

    keras: str
    peer: str | None = None
    flops: str | None = None
    function: bool = False
    moves: bool = False

    def contenders(self, wanted: Sequence[str]) -> list[str]:
        """The wanted contenders that exist for this model."""
        return [kind for kind in wanted if self.peer or kind in ("step", "fit")]


MODELS = {
    "appearance_flow": Model(
        "AppearanceFlow", "torch_appearance_flow", "appearance_flow", moves=True
    ),
    "pixel_dtgan": Model("PixelDTGAN", "torch_pixel_dtgan", "pixel_dtgan"),
    "discogan": Model("DiscoGAN"),
    "domain_transfer": Model("DomainTransferNetwork", function=True),
    "pix2pix": Model("Pix2Pix"),
    "residual_pixel_dtgan": Model("ResidualPixelDTGAN"),
    "rough_to_detail": Model("RoughToDetailGAN"),  # at its last and most expensive stage
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """The settings that all contenders of a table share."""

    model: str
    precision: str
    image_size: int
    width: float
    batch_size: int
    optimizer: str
    steps: int


class Contender:
    """One way to train; `run` is timed.

    Each has `train(steps)`, which waits until the steps are done, `multiply(size, times)`, which
    multiplies matrices in the precision of the setting and waits for the products, and
    `profile(steps)`, which returns seconds of a step by kind of operation and by operation.

    Attributes:
        device: what it runs on, "cpu" or the name of the accelerator.
        flops: operations of a step for one sample, where the contender can count them.
    """

    device = "cpu"
    flops: float | None = None
    train: Callable[[int], None]
    multiply: Callable[[int, int], None]
    profile: Callable[[int], dict[str, dict[str, float]]]

    def run(self, steps: int) -> float:
        """Trains that many steps, waits until they are done, and returns the seconds."""
        return _common.seconds(lambda: self.train(steps))

    def device_bytes(self) -> int | None:
        """Peak of the accelerator's memory."""
        return None


def _images(setting: Setting, seed: int) -> dict[str, Any]:
    import numpy as np

    rng = np.random.default_rng(seed)
    size = setting.image_size
    shapes = dict.fromkeys(("source", "target", "irrelevant"), (size, 3))
    if MODELS[setting.model].moves:
        shapes = {
            "source": (PHOTO_FACTOR * size, 3),
            "target": (size, 3),
            "mask": (size, 1),
            "flow": (size // 2, 2),
        }
    batch = {
        name: rng.uniform(-1, 1, (setting.batch_size, side, side, channels)).astype("float32")
        for name, (side, channels) in shapes.items()
    }
    if "mask" in batch:
        batch["mask"] = abs(batch["mask"])
    return batch


class Keras(Contender):
    """Keras on the backend of KERAS_BACKEND: the compiled step alone, batches in memory."""

    def __init__(self, setting: Setting) -> None:
        import _flops
        import keras

        import keras_pixdt
        from keras_pixdt.models import domain_transfer_networks

        keras.utils.set_random_seed(0)
        self.setting, self.backend = setting, keras.backend.backend()
        entry = MODELS[setting.model]
        arguments: dict[str, Any] = {"image_size": setting.image_size, "width": setting.width}
        if entry.function:
            arguments["function"] = domain_transfer_networks.build_function(**arguments)
        if entry.moves:
            arguments["photo_size"] = PHOTO_FACTOR * setting.image_size
            arguments["discriminator_width"] = setting.width / 2
            arguments["gan_weight"] = 0.1
        self.model = getattr(keras_pixdt, entry.keras)(**arguments, dtype=setting.precision)
        optimizers = keras.optimizers
        self.model.compile(
            optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM)
            if setting.optimizer == "sgd"
            else optimizers.Adam(LEARNING_RATE, beta_1=MOMENTUM)
        )
        if entry.flops:
            self.flops = getattr(_flops, entry.flops)(self.model)
        if self.backend == "jax":
            import jax

            accelerator = jax.devices()[0]
            self.device = "cpu" if accelerator.platform == "cpu" else accelerator.device_kind
        else:
            import tensorflow as tf

            if gpus := tf.config.list_physical_devices("GPU"):
                self.device = tf.config.experimental.get_device_details(gpus[0])["device_name"]
        self._prepare()

    def _prepare(self) -> None:
        import keras

        model = self.model
        self.batches = [
            {k: keras.ops.convert_to_tensor(v) for k, v in _images(self.setting, i).items()}
            for i in range(BATCHES)
        ]
        if self.backend == "jax":
            import jax

            step = jax.jit(model.train_step, donate_argnums=0)
            groups = (
                model.trainable_variables,
                model.non_trainable_variables,
                model.optimizer.variables,
                model.metrics_variables,
            )
            state = tuple([v.value for v in group] for group in groups)

            def train(steps: int) -> None:
                nonlocal state
                for i in range(steps):
                    logs, state = step(state, self.batches[i % BATCHES])
                jax.block_until_ready((logs, state))

        else:
            import tensorflow as tf

            compiled = tf.function(model.train_step, jit_compile=model.jit_compile, autograph=False)

            def train(steps: int) -> None:
                for i in range(steps):
                    logs = compiled(self.batches[i % BATCHES])
                for value in logs.values():
                    value.numpy()

        self.train = train

    def multiply(self, size: int, times: int) -> None:
        import keras

        if not hasattr(self, "matrix"):
            self.matrix = keras.random.uniform((size, size), dtype="float32")
            self.matrix = keras.ops.cast(self.matrix, FLOAT[self.setting.precision])
        for _ in range(times):
            product = keras.ops.matmul(self.matrix, self.matrix)
        keras.ops.convert_to_numpy(product[:1, :1])

    def device_bytes(self) -> int | None:
        if self.device == "cpu":
            return None
        if self.backend == "jax":
            import jax

            return jax.devices()[0].memory_stats()["peak_bytes_in_use"]
        import tensorflow as tf

        return tf.config.experimental.get_memory_info("GPU:0")["peak"]

    def profile(self, steps: int) -> dict[str, dict[str, float]]:
        import _profiles

        read = _profiles.jax_operations if self.backend == "jax" else _profiles.tf_operations
        return read(lambda: self.train(steps), steps)


class KerasFit(Keras):
    """`fit` on Triplets: an epoch of that many steps."""

    def _prepare(self) -> None:
        self.epochs: dict[int, Triplets] = {}

    def _epoch(self, steps: int) -> Triplets:
        import numpy as np

        from keras_pixdt import data

        setting = self.setting
        moves, size = MODELS[setting.model].moves, setting.image_size
        photo = PHOTO_FACTOR * size if moves else size
        count = steps * setting.batch_size
        rng = np.random.default_rng(0)
        products = max(2, count // 10)  # LookBook: 8.8 persons to a product
        pairs = data.PairSet(
            sources=rng.integers(0, 256, (count, photo, photo, 3), "uint8"),
            targets=rng.integers(0, 256, (products, size, size, 3), "uint8"),
            target_index=np.arange(count) % products,
            product_id=np.arange(products),
            group_id=np.arange(products),
        )
        if moves:
            flows = rng.uniform(-1, 1, (count, size // 2, size // 2, 2))
            pairs = dataclasses.replace(
                pairs,
                masks=rng.integers(0, 256, (products, size, size), "uint8"),
                flows=flows.astype("float16"),
            )
        return data.triplets(pairs, setting.batch_size, irrelevant=not moves, truth=moves)

    def callbacks(self, batches: Triplets) -> list[Any]:
        """Callbacks in addition to the clock."""
        return []

    def run(self, steps: int) -> float:
        """Times an epoch from beginning to end; `fit` sets up once per run, which is not timed."""
        import keras

        if steps not in self.epochs:
            self.epochs[steps] = self._epoch(steps)
        batches = self.epochs[steps]
        clock: list[float] = []

        def note_time(*_: Any) -> None:
            clock.append(time.perf_counter())

        # Only epoch hooks: with a batch hook Keras would wait for each step's losses.
        begin = keras.callbacks.LambdaCallback(on_epoch_begin=note_time)
        end = keras.callbacks.LambdaCallback(on_epoch_end=note_time)
        callbacks = [begin, *self.callbacks(batches), end]
        self.model.fit(batches, shuffle=False, verbose=0, callbacks=callbacks)
        started, ended = clock
        return ended - started


class KerasFitCallbacks(KerasFit):
    """The same with the callbacks of a run that act on every batch."""

    def callbacks(self, batches: Triplets) -> list[Any]:
        from keras_pixdt import presets, training

        preset = presets.get("yoo2016")
        preset = dataclasses.replace(preset, batch_size=self.setting.batch_size)
        schedule = training.Schedule(preset, batches, epochs=preset.epochs)
        return [schedule, training.StopOnDivergence()]


class Torch(Contender):
    """PyTorch: eager and channels last on a CPU, compiled on a GPU."""

    def __init__(self, setting: Setting) -> None:
        import torch

        torch.manual_seed(0)
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")  # TF32, which JAX and TensorFlow use too
        self.setting = setting
        self.place = "cuda" if torch.cuda.is_available() else "cpu"
        if self.place == "cuda":
            self.device = torch.cuda.get_device_name()
        module = MODELS[setting.model].peer
        assert module is not None  # Model.contenders
        self.peer = importlib.import_module(module).Peer(
            image_size=setting.image_size,
            width=setting.width,
            precision=setting.precision,
            optimizer=setting.optimizer,
            learning_rate=LEARNING_RATE,
            momentum=MOMENTUM,
            device=self.place,
        )
        self.batches = [self.peer.batch(_images(setting, i)) for i in range(BATCHES)]

    def _wait(self) -> None:
        import torch

        if self.place == "cuda":
            torch.cuda.synchronize()

    def train(self, steps: int) -> None:
        for i in range(steps):
            self.peer.step(self.batches[i % BATCHES])
        self._wait()

    def multiply(self, size: int, times: int) -> None:
        import torch

        if not hasattr(self, "matrix"):
            dtype = getattr(torch, FLOAT[self.setting.precision])
            self.matrix = torch.rand(size, size, device=self.place).to(dtype)
        for _ in range(times):
            self.matrix @ self.matrix
        self._wait()

    def device_bytes(self) -> int | None:
        import torch

        return torch.cuda.max_memory_allocated() if self.place == "cuda" else None

    def profile(self, steps: int) -> dict[str, dict[str, float]]:
        import _profiles

        return _profiles.torch_operations(lambda: self.train(steps), steps, self.place != "cpu")


class TorchCompiled(Torch):
    """PyTorch under torch.compile on a CPU too; it needs a C++ compiler there."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        for network in self.peer.players.values():
            network.compile()


CONTENDERS: dict[str, Callable[[Setting], Contender]] = {
    "step": Keras,
    "fit": KerasFit,
    "fit_callbacks": KerasFitCallbacks,
    "torch": Torch,
    "torch_compiled": TorchCompiled,
}


class Worker:
    """The object in a process: a contender, ready and warm.

    Args:
        kind: a key of `CONTENDERS`.
        setting: what it trains.
        matrix_size: side of the matrices that it multiplies; None takes one for its device.

    Attributes:
        about: its device, and its FLOPs where it can count them.
    """

    def __init__(self, kind: str, setting: Setting, matrix_size: int | None = None) -> None:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as `pixdt` does
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several share the card
        self._contender = CONTENDERS[kind](setting)
        self._contender.run(WARM_UP_STEPS)
        self._setting = setting
        self._matrix_size = matrix_size or (2048 if self._contender.device == "cpu" else 8192)
        self.about = {"device": self._contender.device, "flops": self._contender.flops}

    def turn(self) -> dict[str, float | None]:
        """Trains the steps of a turn, then multiplies matrices."""
        contender, setting, size = self._contender, self._setting, self._matrix_size
        seconds = contender.run(setting.steps)
        # Before the first matrices, because they do not belong to the step.
        host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        device = contender.device_bytes()
        contender.multiply(size, 1)
        product_seconds = _common.seconds(lambda: contender.multiply(size, PRODUCTS))
        return {
            "images_per_second": setting.steps * setting.batch_size / seconds,
            "matrix_flops_per_second": 2 * size**3 * PRODUCTS / product_seconds,
            "host_bytes": host,
            "device_bytes": device,
        }

    def profile(self) -> dict[str, dict[str, float]]:
        """Shows where the time goes, over half as many steps."""
        return self._contender.profile(max(1, self._setting.steps // 2))
