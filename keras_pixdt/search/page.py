"""The results of a search as one HTML file, with the pictures inside."""

from __future__ import annotations

import base64
import html
import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from keras_pixdt.data.images import letterbox

_QUERY_SIZE_PX = 256
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1e; background: #fff; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
figure { margin: 0; } figcaption { color: #555; overflow-wrap: anywhere; font-size: .9rem; }
img { width: 100%; height: auto; border: 1px solid #ddd; }
.query { display: flex; flex-wrap: wrap; gap: 1rem; } .query figure { width: 10rem; }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(7rem, 1fr)); gap: 1rem;
     list-style: none; padding: 0; }
.score { font-variant-numeric: tabular-nums; color: #1c1c1e; }
"""


def write_page(
    path: str | os.PathLike[str],
    found: Mapping[str, Any],
    photo: np.ndarray,
    converted: np.ndarray | None,
    thumbnails: Sequence[bytes],
) -> None:
    """Writes a page with the photo, what was drawn of it, and the products that were found.

    Args:
        path: the HTML file.
        found: as `keras_pixdt.search.catalogue.search_photo` returns it.
        photo: uint8 `(height, width, 3)`.
        converted: uint8 `(height, width, 3)`, the product image that was searched with, if any.
        thumbnails: a JPEG file for each result.
    """
    queries = [_figure(_jpeg(photo), f"Photo {pathlib.Path(found['query']).name}")]
    if converted is not None:
        queries.append(_figure(_jpeg(converted), "Product image drawn of the photo"))
    results = "\n".join(
        "<li>"
        + _figure(
            thumbnail,
            f"{result['rank']}. {result['id']}",
            f' <span class="score">{result["score"]:.3f}</span>',
        )
        + "</li>"
        for result, thumbnail in zip(found["results"], thumbnails, strict=True)
    )
    times = ", ".join(f"{name} {value:.1f} ms" for name, value in found["milliseconds"].items())
    title = f"The {len(found['results'])} nearest of {found['products']:,} products"
    pathlib.Path(path).write_text(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n"
        f'<body>\n<h1>{title}</h1>\n<div class="query">{"".join(queries)}</div>\n'
        f"<h2>Products, by cosine similarity</h2>\n<ol>\n{results}\n</ol>\n<p>{times}</p>\n"
        "</body></html>\n",
        encoding="utf-8",
    )


def _jpeg(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(letterbox(image, _QUERY_SIZE_PX)).save(file, "JPEG", quality=90)
    return file.getvalue()


def _figure(jpeg: bytes, caption: str, after: str = "") -> str:
    text = html.escape(caption, quote=True)
    encoded = base64.b64encode(jpeg).decode()
    return (
        f'<figure><img alt="{text}" src="data:image/jpeg;base64,{encoded}">'
        f"<figcaption>{text}{after}</figcaption></figure>"
    )
