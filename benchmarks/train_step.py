"""Training steps: Keras alone, `fit`, and PyTorch, in turns; images/s, memory, share of the limit.

    python benchmarks/train_step.py --output runs/benchmarks/train_step.json

needs the extra `bench` (PyTorch). On a machine with a GPU, JAX against torch.compile at full
width; TensorFlow need not be installed there:

    KERAS_BACKEND=jax python benchmarks/train_step.py --models pixel_dtgan --width 1 \
        --batch-sizes 128 1024 --precisions mixed_bfloat16 --steps 50 \
        --output runs/benchmarks/train_step_gpu.json

| contender | |
| --- | --- |
| step | Keras, the compiled training step alone, batches in memory |
| fit | `model.fit` on `Triplets`: an epoch of --steps batches, what begins and ends it included |
| fit_callbacks | the same with the callbacks of a run that act on every batch |
| torch | the same network, algorithm, optimizer and precision in PyTorch, batches in memory |
| torch_compiled | the same under torch.compile on a CPU too; only if asked for |

`torch` runs eagerly and channels last on a CPU, under torch.compile on a GPU. On a CPU,
torch.compile needs a C++ compiler.
Each has its own process. They run in turns (A B C A B C ...), so that other work on the machine
slows all of them down; ratios are taken within a round. After its steps each multiplies matrices of
the same precision; the fastest contender's rate there is the machine's. FLOPs are those of
convolutions and dense layers (`_flops.py`). Peak memory is the process's: interpreter, libraries,
data and training, for `fit` with its data set; on a GPU, that of the card too.

--profile adds where the step's time goes, by operation. A model takes part by a line in
`_contenders.MODELS`, and is compared if there is a PyTorch peer beside this file.
"""

from __future__ import annotations

import functools
import importlib.util
import statistics
from collections.abc import Sequence
from typing import Any

import _contenders

import _common

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
PROFILED = ("step", "torch", "torch_compiled")
PROFILE_ROWS = 15


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def measure(
    setting: _contenders.Setting,
    kinds: Sequence[str],
    rounds: int,
    matrix_size: int | None,
    profile: bool,
) -> dict[str, Any]:
    """Runs all contenders in turns.

    Returns:
        The device; for each contender its images/s by round, spread, memory and arithmetic rate;
        the spread of its ratios to the contenders "step" and "torch", taken round by round.
    """
    with _common.processes(_contenders.Worker, kinds, setting, matrix_size) as processes:
        asks = {kind: functools.partial(p.ask, "turn") for kind, p in processes.items()}
        turns = _common.in_turns(asks, rounds)
        profiled = [k for k in PROFILED if profile and k in kinds]
        profiles = {kind: processes[kind].ask("profile") for kind in profiled}
    abouts = {kind: process.about for kind, process in processes.items()}
    flops = next((a["flops"] for a in abouts.values() if a["flops"]), None)
    machine = max(
        statistics.median(turn["matrix_flops_per_second"] for turn in turns[kind]) for kind in kinds
    )
    contenders = {}
    for kind in kinds:
        rates = [turn["images_per_second"] for turn in turns[kind]]
        result: dict[str, Any] = {
            "device": abouts[kind]["device"],
            "images_per_second": spread(rates),
            "rounds": rates,
            "matrix_flops_per_second": spread(
                [turn["matrix_flops_per_second"] for turn in turns[kind]]
            ),
            "host_bytes": max(turn["host_bytes"] for turn in turns[kind]),
            "device_bytes": turns[kind][-1]["device_bytes"],
        }
        if flops:
            result["flops_per_second"] = statistics.median(rates) * flops
            result["share_of_matrix_rate"] = result["flops_per_second"] / machine
        for other in ("step", "torch"):
            if other in kinds and other != kind:
                theirs = [turn["images_per_second"] for turn in turns[other]]
                ratios = [mine / their for mine, their in zip(rates, theirs, strict=True)]
                result[f"ratio_to_{other}"] = spread(ratios)
        contenders[kind] = result
    return {
        **vars(setting),
        "flops_per_image": flops,
        "matrix_flops_per_second": machine,
        "contenders": contenders,
        "profiles": profiles,
    }


def show(result: dict[str, Any]) -> None:
    devices = sorted({c["device"] for c in result["contenders"].values()})
    flops = result["flops_per_image"]
    print(
        f"\n{result['model']}, {result['image_size']} px, width {result['width']:g}, "
        f"batch {result['batch_size']}, {result['precision']}, {result['optimizer']}, "
        f"{', '.join(devices)}: "
        + (f"{flops / 1e9:.3f} GFLOP an image, " if flops else "")
        + f"matrix products {result['matrix_flops_per_second'] / 1e9:,.0f} GFLOP/s"
    )
    print(
        f"{'contender':16}{'images/s':>9}{'min':>9}{'max':>9}{'GFLOP/s':>10}{'share':>7}"
        f"{'MiB':>7}{'of card':>8}  {'of step':20}{'of torch'}"
    )
    for name, c in result["contenders"].items():
        rate = c["images_per_second"]
        card = c["device_bytes"]
        print(
            f"{name:16}{rate['median']:9,.1f}{rate['min']:9,.1f}{rate['max']:9,.1f}"
            + (
                f"{c['flops_per_second'] / 1e9:10,.1f}{c['share_of_matrix_rate']:7.0%}"
                if flops
                else f"{'':17}"
            )
            + f"{c['host_bytes'] / 2**20:7,.0f}"
            + (f"{card / 2**20:8,.0f}" if card else f"{'':8}")
            + "  "
            + f"{ratio(c.get('ratio_to_step')):20}{ratio(c.get('ratio_to_torch'))}"
        )
    for name, profile in result["profiles"].items():
        total = sum(profile["kinds"].values())
        for title, spent in profile.items():
            print(f"\n{name}, {title}: ms of a step, share of {total * 1e3:.1f} ms")
            rows = sorted(spent.items(), key=lambda item: -item[1])
            for operation, seconds in rows[:PROFILE_ROWS]:
                print(f"{seconds * 1e3:10.2f}{seconds / total:7.1%}  {operation[:150]}")
            rest = sum(seconds for _, seconds in rows[PROFILE_ROWS:])
            if rest:
                print(f"{rest * 1e3:10.2f}{rest / total:7.1%}  all others")


def ratio(values: dict[str, float] | None) -> str:
    if values is None:
        return ""
    return f"{values['median']:.3f} ({values['min']:.3f}-{values['max']:.3f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = _common.parser(__doc__)
    models = sorted(_contenders.MODELS)
    parser.add_argument("--models", nargs="+", choices=models, default=models)
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=PRECISIONS,
        help="default: float32, mixed_bfloat16, and mixed_float16 where there is an accelerator",
    )
    kinds = list(_contenders.CONTENDERS)
    usual = [kind for kind in kinds if kind != "torch_compiled"]
    parser.add_argument("--contenders", nargs="+", choices=kinds, default=usual)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128])
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--optimizer", choices=("sgd", "adam"), default="sgd")
    parser.add_argument("--steps", type=int, default=10, help="steps of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--matrix-size", type=int, help="default: 2048, on a GPU 8192")
    parser.add_argument("--profile", action="store_true", help="time by operation")
    options = parser.parse_args(arguments)
    peers = {"torch", "torch_compiled"}.intersection(options.contenders)
    if peers and importlib.util.find_spec("torch") is None:
        parser.error(
            f"the contender {min(peers)!r} needs PyTorch: pip install -e '.[bench]', or choose "
            "others with --contenders"
        )
    results: list[dict[str, Any]] = []
    for model in options.models:
        for batch_size in options.batch_sizes:
            for precision in options.precisions or PRECISIONS:
                accelerated = any(
                    c["device"] != "cpu" for r in results for c in r["contenders"].values()
                )
                if not (options.precisions or accelerated or precision != "mixed_float16"):
                    continue  # emulated on CPUs
                setting = _contenders.Setting(
                    model=model,
                    precision=precision,
                    image_size=options.image_size,
                    width=options.width,
                    batch_size=batch_size,
                    optimizer=options.optimizer,
                    steps=options.steps,
                )
                result = measure(
                    setting,
                    _contenders.MODELS[model].contenders(options.contenders),
                    options.rounds,
                    options.matrix_size,
                    options.profile,
                )
                show(result)
                results.append(result)
    packages = ("keras", "tensorflow", "jax", "torch", "numpy")
    _common.write_json(options, results, packages)


if __name__ == "__main__":
    main()
