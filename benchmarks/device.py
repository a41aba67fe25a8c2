"""A converter on a device: size and milliseconds of an image, for every variant, width and size.

    python benchmarks/device.py --output runs/benchmarks/device.json
    python benchmarks/device.py --image-sizes 256 --widths 0.25
    python benchmarks/device.py --model appearance_flow --widths 0.5

The network is PixelDTGAN's converter, whose filters double with the side of the image, so a quarter
of its width at 256 px is as much as its full width at 64; or that of AppearanceFlow, which reads
photos of twice the size.

| contender | |
| --- | --- |
| keras | `predict` of the Keras model |
| torch | the same network in PyTorch, eager (`torch_pixel_dtgan.py`); extra `bench` |
| onnx | that network in ONNX Runtime; extra `bench`, `pip install onnx onnxruntime` |
| float32, float16, dynamic, int8 | the TFLite files of `export_converter`, by `load_tflite` |
| shipped_512 | AppearanceFlow: by the file that comes with the package, whatever is measured beside it, from a photo of 1,000 x 1,000 px to a drawing of 512 px |

All convert one image at a time, uint8 in and out for the files, floats for the others. Each has its
own process, and they run in turns (A B C A B C ...), so that other work on the machine slows all of
them down; ratios to Keras are taken within a round. A contender that is not installed is reported
as missing. The weights are untrained but in `shipped_512`, whose time depends on how much of the
drawing is garment. This does not affect other times and sizes, but the files' differences from Keras
would mean nothing and are not reported.
"""  # noqa: E501

from __future__ import annotations

import functools
import importlib
import importlib.util
import pathlib
import statistics
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import _common

MODELS = ("pixel_dtgan", "appearance_flow")
VARIANTS = ("float32", "float16", "dynamic", "int8")
NEEDS = {"keras": ("keras",), "torch": ("torch",), "onnx": ("torch", "onnx", "onnxruntime")}
VERIFIED_IMAGES = 2
CALLS = 5  # of a turn
LARGE = "shipped_512"
# What a model cannot be measured as, and why.
WITHOUT = {
    "pixel_dtgan": {LARGE: "it draws at one size"},
    "appearance_flow": {"onnx": "not exported here", "int8": "8 bits cannot hold a flow"},
}


class Network(NamedTuple):
    """What is measured.

    Attributes:
        model: one of `MODELS`.
        image_size: side of what it draws, px.
        width: factor on its numbers of filters.
    """

    model: str
    image_size: int
    width: float

    @property
    def photo_size(self) -> int:
        """Side of its photos, px."""
        return self.image_size * (1 if self.model == "pixel_dtgan" else 2)

    def build(self) -> tuple[Any, Any]:
        """The converter, and what finds its flow, if it has one."""
        import keras

        from keras_pixdt.models import appearance_flow, pixel_dtgan

        keras.utils.set_random_seed(0)
        if self.model == "pixel_dtgan":
            return pixel_dtgan.build_converter(self.image_size, self.width), None
        model = appearance_flow.AppearanceFlow(
            self.image_size, self.width, photo_size=self.photo_size
        )
        return model.converter, model.finder


def _photos(count: int, image_size: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (count, image_size, image_size, 3), "uint8")


def _keras(folder: pathlib.Path, measured: Network, threads: int) -> Callable:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from keras_pixdt.data import to_float

    network, _ = measured.build()
    photo = to_float(_photos(1, measured.photo_size))
    return lambda: network.predict(photo, verbose=0)


def _torch_network(measured: Network) -> tuple[Any, Any]:
    import torch

    torch.manual_seed(0)
    module = importlib.import_module(f"torch_{measured.model}")
    network = module.Converter(measured.image_size, measured.width).eval()
    photo = torch.rand(1, 3, measured.photo_size, measured.photo_size) * 2 - 1
    memory = torch.channels_last
    return network.to(memory_format=memory), photo.to(memory_format=memory)


def _torch(folder: pathlib.Path, measured: Network, threads: int) -> Callable:
    import torch

    torch.set_num_threads(threads)
    network, photo = _torch_network(measured)

    def run() -> None:
        with torch.inference_mode():
            network(photo).numpy()

    return run


def _onnx(folder: pathlib.Path, measured: Network, threads: int) -> Callable:
    import onnxruntime
    import torch

    network, photo = _torch_network(measured)
    path = folder / "converter.onnx"
    if not path.exists():
        torch.onnx.export(network, (photo,), str(path), input_names=["image"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return functools.partial(session.run, None, {"image": photo.contiguous().numpy()})


def _tflite(variant: str, folder: pathlib.Path, measured: Network, threads: int) -> Callable:
    import export

    convert = export.load_tflite(folder / f"converter_{variant}.tflite", threads)
    return functools.partial(convert, _photos(1, measured.photo_size)[0])


def _large(folder: pathlib.Path, measured: Network, threads: int) -> Callable:
    import export
    from keras_pixdt import data
    from keras_pixdt.choices import SHIPPED
    from keras_pixdt.hub import preset

    found = preset.find(SHIPPED)
    convert = export.load_tflite(found / preset.TFLITE, threads)
    photo = data.resize(data.read_image(found / preset.EXAMPLE), 1000)
    return functools.partial(convert.draw_at, photo, 512)


CONTENDERS: dict[str, Callable[[pathlib.Path, Network, int], Callable]] = {
    "keras": _keras,
    "torch": _torch,
    "onnx": _onnx,
    **{variant: functools.partial(_tflite, variant) for variant in VARIANTS},
    LARGE: _large,
}


class Worker:
    """The object in a process: a contender that has run once."""

    def __init__(self, kind: str, *arguments: Any) -> None:
        self._run = CONTENDERS[kind](*arguments)
        self._run()  # compiles or allocates

    def turn(self) -> float:
        """Median milliseconds of a few calls."""
        return 1e3 * statistics.median(_common.seconds(self._run) for _ in range(CALLS))


def missing(kind: str) -> list[str]:
    """The packages that a contender needs and that are not installed."""
    return [name for name in NEEDS.get(kind, ()) if importlib.util.find_spec(name) is None]


def measure(
    measured: Network, kinds: Sequence[str], threads: Sequence[int], rounds: int
) -> dict[str, Any]:
    """Exports a network and runs all contenders in turns.

    Returns:
        For each contender that is there, bytes of its file, and by number of threads the median
        milliseconds of each round, their median, and the median of the ratios to Keras.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        variants = [v for v in VARIANTS if v in kinds]
        if variants:
            # In its own process too, because TensorFlow keeps the memory it has taken.
            _common.apart(_export, folder, measured, variants)
        contenders: dict[str, Any] = {kind: {"threads": {}} for kind in kinds}
        for count in threads:
            arguments = (folder, measured, count)
            with _common.processes(Worker, kinds, *arguments) as processes:
                asks = {kind: functools.partial(p.ask, "turn") for kind, p in processes.items()}
                turns = _common.in_turns(asks, rounds)
            for kind, times in turns.items():
                result = {"rounds_ms": times, "ms": statistics.median(times)}
                if "keras" in kinds:
                    ratios = [k / t for k, t in zip(turns["keras"], times, strict=True)]
                    result["speedup"] = statistics.median(ratios)
                contenders[kind]["threads"][str(count)] = result
        files = {"onnx": "converter.onnx"} | {v: f"converter_{v}.tflite" for v in VARIANTS}
        for kind in kinds:
            path = folder / files.get(kind, "none")
            contenders[kind]["bytes"] = path.stat().st_size if path.exists() else None
    return {**measured._asdict(), "contenders": contenders}


def _export(folder: pathlib.Path, measured: Network, variants: Sequence[str]) -> None:
    import export

    photos = _photos(VERIFIED_IMAGES, measured.photo_size)
    converter, flow = measured.build()
    export.export_converter(
        converter, folder, images=photos, variants=variants, representative=photos, flow=flow
    )


def show(result: dict[str, Any]) -> None:
    """Prints a table."""
    print(f"\n{result['model']}, {result['image_size']} px, width {result['width']:g}")
    counts = list(next(iter(result["contenders"].values()))["threads"])
    header = "".join(f"{f'ms, {count} threads':>15}{'of Keras':>10}" for count in counts)
    print(f"{'contender':12}{'MB':>9}{header}")
    for kind, contender in result["contenders"].items():
        size = f"{contender['bytes'] / 1e6:9.2f}" if contender["bytes"] else f"{'':9}"
        times = ""
        for timed in contender["threads"].values():
            speedup = f"{timed['speedup']:.1f}x" if "speedup" in timed else ""
            times += f"{timed['ms']:15.2f}{speedup:>10}"
        print(f"{kind:12}{size}{times}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = _common.parser(__doc__)
    kinds = list(CONTENDERS)
    parser.add_argument("--contenders", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--model", choices=MODELS, default=MODELS[0])
    parser.add_argument("--image-sizes", type=int, nargs="+", default=[64])
    parser.add_argument("--widths", type=float, nargs="+", default=[1.0, 0.5, 0.25])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    absent = {kind: missing(kind) for kind in options.contenders if missing(kind)}
    absent = {kind: f"not installed: {', '.join(names)}" for kind, names in absent.items()}
    absent |= {k: why for k, why in WITHOUT[options.model].items() if k in options.contenders}
    for kind, why in absent.items():
        print(f"missing: {kind} ({why})")
    present = [kind for kind in options.contenders if kind not in absent]
    if not present:
        parser.error("`--contenders` names none that can be measured")
    results = []
    for image_size in options.image_sizes:
        for width in options.widths:
            network = Network(options.model, image_size, width)
            result = measure(network, present, options.threads, options.rounds)
            show(result)
            results.append(result)
    packages = ("keras", "tensorflow", "ai-edge-litert", "torch", "onnx", "onnxruntime", "numpy")
    _common.write_json(options, {"settings": results, "missing": absent}, packages)


if __name__ == "__main__":
    main()
