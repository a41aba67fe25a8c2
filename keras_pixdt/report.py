"""Reports: HTML files that contain pictures, curves, scores and files; tables as Markdown."""

from __future__ import annotations

import base64
import html
import os
import pathlib
from collections.abc import Mapping, Sequence

from keras_pixdt.atomic import replacing

_SHARED_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1e; background: #fff; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
img { border: 1px solid #ddd; } figcaption { color: #555; }
"""
_STYLE = """
img { max-width: 100%; image-rendering: pixelated; }
table { border-collapse: collapse; } td, th { padding: .2rem .9rem .2rem 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; }
.curves { display: flex; flex-wrap: wrap; gap: 1.5rem; } svg { background: #fafafa; }
pre { background: #f4f4f5; padding: .8rem; overflow-x: auto; }
"""
_COLORS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700")


class Report:
    """Collects the parts of a page, in the order in which they are added.

    Args:
        title: heading of the page.
        summary: one paragraph below it.
    """

    def __init__(self, title: str, summary: str) -> None:
        self._title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(summary)}</p>"]

    def heading(self, text: str) -> None:
        """Begins a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str) -> None:
        """Adds a paragraph."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def picture(self, path: str | os.PathLike[str], caption: str, scale: int = 1) -> None:
        """Adds a PNG file, embedded.

        Args:
            path: the file.
            caption: what it shows; also its alternative text.
            scale: enlargement, without smoothing.
        """
        content = pathlib.Path(path).read_bytes()
        width = int.from_bytes(content[16:20], "big")  # from the PNG header
        self._parts.append(figure(content, "image/png", caption, width_px=width * scale))

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Adds a table; floats are shown with four digits."""
        cells = "".join(f"<th>{html.escape(h)}</th>" for h in header)
        self._parts.append(f"<table><tr>{cells}</tr>")
        for row in rows:
            cells = "".join(_cell(value) for value in row)
            self._parts.append(f"<tr>{cells}</tr>")
        self._parts.append("</table>")

    def commands(self, text: str) -> None:
        """Adds shell commands for copying."""
        self._parts.append(f"<pre>{html.escape(text)}</pre>")

    def curves(self, charts: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
        """Adds line charts over the epochs, side by side.

        Args:
            charts: title -> line's name -> one value for each epoch.
        """
        drawn = "".join(_chart(title, lines) for title, lines in charts.items())
        self._parts.append(f'<div class="curves">{drawn}</div>')

    def write(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Writes the page and returns its path."""
        path = pathlib.Path(path)
        with replacing(path) as unfinished:
            text = page(self._title, _STYLE, "\n".join(self._parts))
            unfinished.write_text(text, encoding="utf-8")
        return path


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose source is aligned in columns too; the first row is its header."""
    rows = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"

    head, *others = rows
    return "\n".join([line(head), line(["-" * width for width in widths]), *map(line, others)])


def page(title: str, style: str, body: str) -> str:
    """An HTML file.

    Args:
        title: plain text.
        style: CSS, in addition to the shared style.
        body: HTML.
    """
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_SHARED_STYLE}{style}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def figure(
    image: bytes, media_type: str, caption: str, after: str = "", width_px: int | None = None
) -> str:
    """A picture embedded in the page, as HTML.

    Args:
        image: the file of the picture.
        media_type: such as "image/png".
        caption: plain text: what it shows; also the alternative text.
        after: HTML that ends the caption.
        width_px: width on the page in CSS pixels, if the style does not set it.
    """
    text = html.escape(caption, quote=True)
    width = "" if width_px is None else f' width="{width_px}"'
    encoded = base64.b64encode(image).decode()
    return (
        f'<figure><img alt="{text}"{width} src="data:{media_type};base64,{encoded}">'
        f"<figcaption>{text}{after}</figcaption></figure>"
    )


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f'<td class="number">{value:.4f}</td>'
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    return f"<td>{html.escape(str(value))}</td>"


def _chart(title: str, lines: Mapping[str, Sequence[float]]) -> str:
    width, height, margin = 320, 180, 34
    values = [v for line in lines.values() for v in line]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    epochs = max(len(line) for line in lines.values())

    def point(i: int, value: float) -> str:
        x = margin + (width - margin - 8) * (i / max(epochs - 1, 1))
        y = 8 + (height - margin - 8) * (1 - (value - low) / span)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<figure><svg width="{width}" height="{height}" role="img" '
        f'aria-label="{html.escape(title, quote=True)}" font-size="10" fill="#555">',
        f'<text x="2" y="14">{high:.3g}</text>',
        f'<text x="2" y="{height - margin + 4}">{low:.3g}</text>',
        f'<text x="{margin}" y="{height - 14}">epoch 1</text>',
        f'<text x="{width - 8}" y="{height - 14}" text-anchor="end">{epochs}</text>',
    ]
    legend = []
    for color, (name, line) in zip(_COLORS * len(lines), lines.items(), strict=False):
        points = " ".join(point(i, v) for i, v in enumerate(line))
        parts.append(
            f'<polyline fill="none" stroke="{color}" stroke-width="1.6" points="{points}"/>'
        )
        last = point(len(line) - 1, line[-1]).split(",")
        parts.append(f'<circle cx="{last[0]}" cy="{last[1]}" r="2.5" fill="{color}"/>')
        legend.append(f'<span style="color:{color}">{html.escape(name)}</span>')
    caption = f"{html.escape(title)}: {', '.join(legend)}"
    return "".join(parts) + f"</svg><figcaption>{caption}</figcaption></figure>"
