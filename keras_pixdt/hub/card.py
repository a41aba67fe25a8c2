"""The model card of a preset: a README.md as Hugging Face reads it, with YAML at its top."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

UNKNOWN = "unknown"  # a licence in Hugging Face's list
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_METRICS = {"rmse": "RMSE", "ssim": "SSIM", "c_ssim": "C-SSIM", "mask_iou": "IoU of the masks"}
_ABOUT = {
    "run.json": "preset, data and versions",
    "model.keras": "the model, for Keras 3",
    "search_embedder.keras": "the embedder that catalogues are indexed and searched with",
    "embedder.keras": "the embedder that scores are computed with",
    "converter_dynamic.tflite": "the model and the embedder, 8-bit weights, for TFLite",
    "products.index": "an index of products, for `pixdt search` and `pixdt serve`",
    "example.jpg": "a photo to try",
}


def check_licence(licence: str) -> None:
    """Refuses what Hugging Face does not take as a licence.

    Raises:
        ValueError: it is no identifier.
    """
    if not _LICENCE.fullmatch(licence):
        raise ValueError(
            "`licence` must be an identifier of Hugging Face's list, in lower case, such as "
            f"apache-2.0, cc-by-nc-4.0 or other. Received: {licence!r}"
        )


def write(
    name: str,
    model: str,
    options: Mapping[str, Any],
    files: Mapping[str, int],
    *,
    licence: str,
    scores: Mapping[str, Any] | None,
    limits: str,
) -> str:
    """The text of a model card.

    Args:
        name: of the preset.
        model: name of the model's class.
        options: the content of `run.json`.
        files: name of each file beside the card -> its bytes.
        licence: identifier of the weights' licence.
        scores: what `Run.evaluate` returned.
        limits: further sentences on what the model does not do well.
    """
    preset = options["preset"]
    data = " and ".join(
        str(options["data"][key]) for key in ("data", "target_data") if options["data"].get(key)
    )
    length = (
        f"{options['trained_minutes']:.1f} minutes"
        if options.get("trained_minutes") is not None
        else f"{options.get('epochs')} epochs"
    )
    versions = options["versions"]
    rows = {
        "preset": f"`{preset['name']}`",
        "data": f"`{data}`",
        "trained for": length,
        "starts from": f"`{preset['start']}`" if preset.get("start") else "new weights",
        "made with": f"keras-pixdt {versions['keras-pixdt']}, Keras {versions['keras']}",
    }
    sizes = {
        file: f"{_ABOUT.get(file, 'a network of the run')} ({size / 1e3:,.0f} KB)"
        for file, size in files.items()
    }
    known = f"It knows the garments, persons and photos of its data, `{data}`, and no others."
    parts = [
        _front_matter(name, licence, data, scores),
        f"# {name}\n\nDraws the product image of a garment from a photo of a person who wears it. "
        f"The model is of the class `{model}`, for Keras 3; keras-pixdt trained it and opens it.",
        _usage(name),
        f"## Files\n\n{_table(('file', 'content'), {f'`{k}`': v for k, v in sizes.items()})}",
        f"## Training\n\n{_table(('', ''), rows)}\n\n`run.json` has every option.",
        f"## Scores\n\n{_scores(scores)}",
        f"## Limits\n\n{' '.join(filter(None, (known, limits)))}",
        f"## Licence\n\n{_licence(licence)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(name: str, licence: str, data: str, scores: Mapping[str, Any] | None) -> str:
    """The YAML at the top, of which JSON is a part."""
    fields: dict[str, Any] = {
        "license": licence,
        "library_name": "keras",
        "pipeline_tag": "image-to-image",
        "tags": ["keras", "keras-pixdt", "image-to-image"],
    }
    if numbers := _numbers(scores):
        metrics = [
            {"type": key, "name": _METRICS.get(key, key), "value": round(value, 4)}
            for key, value in numbers.items()
            if not key.startswith("chance_") and not key.endswith("_std")
        ]
        dataset = {"type": data, "name": data, "split": (scores or {}).get("split", "test")}
        result = {"task": {"type": "image-to-image"}, "dataset": dataset, "metrics": metrics}
        fields["model-index"] = [{"name": name, "results": [result]}]
    lines = [f"{key}: {json.dumps(value)}" for key, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _usage(name: str) -> str:
    return f"""## Use

```bash
pip install "keras-pixdt[hub]"
pixdt convert photo.jpg --model {name} --out drawn
```

```python
import keras_pixdt

run = keras_pixdt.load_preset("{name}")
drawn = run.convert_photo(keras_pixdt.data.read_image("photo.jpg"))
```

Instead of `{name}`, write the path of this folder, or `hf://USER/NAME` if it is on Hugging Face."""


def _scores(scores: Mapping[str, Any] | None) -> str:
    numbers = _numbers(scores)
    if not scores or not numbers:
        return "None were given when this folder was saved."
    errors = scores.get("standard_errors", {})
    rows = {
        _METRICS.get(name, name): f"{value:.4f}"
        + (f" ± {errors[name]:.4f}" if name in errors else "")
        for name, value in numbers.items()
    }
    images, split = scores.get("num_images", "all"), scores.get("split", "test")
    where = " among the products of all splits" if scores.get("gallery") == "all" else ""
    return f"Of {images} images of the split `{split}`{where}, with standard errors.\n\n" + _table(
        ("score", "value"), rows
    )


def _numbers(scores: Mapping[str, Any] | None) -> dict[str, float]:
    """The scores themselves, without counts, notes and what is not defined."""
    return {
        name: value
        for name, value in (scores or {}).items()
        if isinstance(value, float) and math.isfinite(value)
    }


def _licence(licence: str) -> str:
    if licence == UNKNOWN:
        return (
            "Not chosen yet. What is allowed depends on the owner of the training data. If you "
            "publish this folder, name the licence here and at the top."
        )
    return f"The weights: `{licence}`. The code that made them, keras-pixdt: `apache-2.0`."


def _table(head: tuple[str, str], rows: Mapping[str, str]) -> str:
    lines = [f"| {first} | {second} |" for first, second in (head, *rows.items())]
    return "\n".join([lines[0], "| --- | --- |", *lines[1:]])
