"""The results of a search as one HTML file, with the pictures inside."""

from __future__ import annotations

import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from keras_pixdt.atomic import replacing
from keras_pixdt.data.images import letterbox
from keras_pixdt.report import figure, page

_QUERY_SIZE_PX = 256
_JPEG = "image/jpeg"
_STYLE = """
figure { margin: 0; } figcaption { overflow-wrap: anywhere; font-size: .9rem; }
img { width: 100%; height: auto; }
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
    """Writes a page with the photo, its drawn product image, and the products found.

    Args:
        path: the HTML file.
        found: as `keras_pixdt.search.catalogue.search_photo` returns it.
        photo: uint8 `(height, width, 3)`.
        converted: uint8 `(height, width, 3)`, the product image that was searched with, if any.
        thumbnails: a JPEG file for each result.
    """
    queries = [figure(_jpeg(photo), _JPEG, f"Photo {pathlib.Path(found['query']).name}")]
    if converted is not None:
        queries.append(figure(_jpeg(converted), _JPEG, "Product image drawn of the photo"))
    results = "\n".join(
        "<li>"
        + figure(
            thumbnail,
            _JPEG,
            f"{result['rank']}. {result['id']}",
            f' <span class="score">{result["score"]:.3f}</span>',
        )
        + "</li>"
        for result, thumbnail in zip(found["results"], thumbnails, strict=True)
    )
    times = ", ".join(f"{name} {value:.1f} ms" for name, value in found["milliseconds"].items())
    title = f"The {len(found['results'])} nearest of {found['products']:,} products"
    with replacing(pathlib.Path(path)) as unfinished:
        unfinished.write_text(
            page(
                title,
                _STYLE,
                f'<h1>{title}</h1>\n<div class="query">{"".join(queries)}</div>\n'
                f"<h2>Products, by cosine similarity</h2>\n<ol>\n{results}\n</ol>\n<p>{times}</p>",
            ),
            encoding="utf-8",
        )


def _jpeg(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(letterbox(image, _QUERY_SIZE_PX)).save(file, "JPEG", quality=90)
    return file.getvalue()
