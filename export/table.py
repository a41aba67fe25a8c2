"""The report of an export as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from export.runtime import FLOW, REVERSE


def format_report(report: Mapping[str, Any]) -> str:
    """A report as a table for a terminal.

    Args:
        report: the result of `export_converter`, or an `export.json`.

    Returns:
        A header, one line for each variant, others for its reverse direction and its flow if there
        are any, then Keras.
    """
    rows = [
        ["variant", "floor", "MB", "max", "mean", "PSNR", "min", "cosine", "XNNPACK", "outside"]
        + ["1 thread", "2 threads", "memory"]
    ]
    for variant, whole in report["variants"].items():
        graphs = dict(whole["xnnpack"])
        beside = {name: graphs.pop(name) for name in (REVERSE, FLOW) if name in graphs}
        rows.append(_row(variant, f"{whole['bytes'] / 1e6:.2f}", whole, list(graphs.values())))
        rows += [_row(f"{variant}, {name}", "-", whole[name], [g]) for name, g in beside.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines.append(
        f"max, mean: differences from Keras in levels of 255; PSNR in dB. Keras predict: "
        f"{report['keras_predict_ms']:.1f} ms, in turns with the files; (x) is its ratio."
    )
    return "\n".join(lines)


def _row(
    label: str, megabytes: str, measured: Mapping[str, Any], graphs: Sequence[Mapping[str, Any]]
) -> list[str]:
    outside = sorted({name for graph in graphs for name in graph["outside"]})
    share = sum(g["inside"] for g in graphs) / sum(g["operations"] for g in graphs)
    cosine = measured.get("embedding_cosine_min")
    return [
        label,
        measured["floor"],
        megabytes,
        f"{measured['max_difference_levels']:.3g}",
        f"{measured['mean_difference_levels']:.2g}",
        f"{measured['psnr_mean_db']:.1f}",
        f"{measured['psnr_min_db']:.1f}",
        "-" if cosine is None else f"{cosine:.5f}",
        f"{share:.0%}",
        " ".join(outside) or "-",
        f"{measured['one_thread_ms']:.1f} ms ({measured['one_thread_speedup']:.1f}x)",
        f"{measured['two_threads_ms']:.1f} ms ({measured['two_threads_speedup']:.1f}x)",
        f"{measured['peak_memory_mb']:.0f} MB",
    ]
