import base64
import html.parser
import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from keras_pixdt.report import Report, markdown_table

VOID = {"img", "meta", "br"}


class Page(html.parser.HTMLParser):
    """Collects elements and text, and checks that what is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append((self.open[-1] if self.open else None, text))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def text_of(self, tag):
        return [text for name, text in self.texts if name == tag]


def written(report, tmp_path):
    path = report.write(tmp_path / "report.html")
    assert path == tmp_path / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def test_parts_come_in_the_order_in_which_they_were_added(tmp_path):
    report = Report("Title", "Summary.")
    report.heading("First")
    report.paragraph("Text of the first.")
    report.heading("Second")
    report.commands("pixdt --help")
    page = written(report, tmp_path)
    assert page.text_of("title") == page.text_of("h1") == ["Title"]
    assert page.text_of("h2") == ["First", "Second"]
    assert page.text_of("p") == ["Summary.", "Text of the first."]
    assert page.text_of("pre") == ["pixdt --help"]
    body = [name for name, _ in page.elements[[n for n, _ in page.elements].index("body") :]]
    assert body == ["body", "h1", "p", "h2", "p", "h2", "pre"]


def test_picture_is_embedded_as_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    report = Report("t", "s")
    report.picture(tmp_path / "a.png", 'a "grid" of <images>', scale=3)
    (tmp_path / "a.png").unlink()  # the page needs no other file
    page = written(report, tmp_path)
    (image,) = page.all("img")
    prefix, _, content = image["src"].partition(",")
    assert prefix == "data:image/png;base64"
    embedded = np.array(Image.open(io.BytesIO(base64.b64decode(content))))
    np.testing.assert_array_equal(embedded, pixels)
    assert image["width"] == "21"
    assert image["alt"] == 'a "grid" of <images>'
    assert page.text_of("figcaption") == ['a "grid" of <images>']


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", 'a" onload="x', "A & B <b>"])
def test_text_is_escaped_wherever_it_goes(tmp_path, hostile):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    report = Report(hostile, hostile)
    report.heading(hostile)
    report.paragraph(hostile)
    report.commands(hostile)
    report.picture(tmp_path / "a.png", hostile)
    report.table([hostile], [[hostile]])
    report.curves({hostile: {hostile: [1.0, 2.0]}})
    page = written(report, tmp_path)
    assert not page.all("script") and not page.all("b")
    assert not any("onload" in attributes for _, attributes in page.elements)
    for tag in ("title", "h1", "h2", "pre", "th", "td"):
        assert page.text_of(tag) == [hostile]
    assert page.text_of("p") == [hostile, hostile]
    assert page.all("svg")[0]["aria-label"] == page.all("img")[0]["alt"] == hostile


def test_page_loads_nothing_from_elsewhere(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    report = Report("t", "s")
    report.picture(tmp_path / "a.png", "c")
    report.curves({"x": {"y": [0.0]}})
    page = written(report, tmp_path)
    assert not page.all("link") and not page.all("script")
    assert all(image["src"].startswith("data:") for image in page.all("img"))


def test_table_rounds_floats_and_groups_thousands(tmp_path):
    report = Report("t", "s")
    report.table(["name", "a", "b"], [["rmse", 0.123456, 12345], ["none", None, ""]])
    page = written(report, tmp_path)
    assert page.text_of("th") == ["name", "a", "b"]
    assert page.text_of("td") == ["rmse", "0.1235", "12,345", "none", "None"]
    numbers = [cell.get("class") == "number" for cell in page.all("td")]
    assert numbers == [False, True, True, False, False, False]


def test_markdown_cells_keep_their_bars():
    assert markdown_table([["|r|", "b"], ["1", "22"]]) == (
        "| \\|r\\| | b  |\n| ----- | -- |\n| 1     | 22 |"
    )


def test_curves_span_the_chart_from_lowest_to_highest(tmp_path):
    report = Report("t", "s")
    report.curves({"losses": {"a": [3.0, 1.0, 2.0], "b": [1.5, 1.5, 1.5]}, "one": {"c": [7.0]}})
    page = written(report, tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    charts = [
        ElementTree.fromstring(part.partition("</svg>")[0] + "</svg>")
        for part in ("<svg" + part for part in text.split("<svg")[1:])
    ]
    assert [chart.get("aria-label") for chart in charts] == ["losses", "one"]
    first, second = (
        [tuple(map(float, p.split(","))) for p in line.get("points").split()]
        for line in charts[0].iter("polyline")
    )
    x, y = zip(*first, strict=True)
    assert x[0] < x[1] < x[2] and x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)
    assert y[0] < y[2] < y[1], "3, 1, 2: SVG counts downwards"
    assert [point[1] for point in second] == [pytest.approx(y[1] + (y[0] - y[1]) / 4, abs=0.2)] * 3
    labels = [element.text for element in charts[0].iter("text")]
    assert labels == ["3", "1", "epoch 1", "3"]
    (only,) = charts[1].iter("polyline")
    assert len(only.get("points").split()) == 1
    assert page.text_of("span") == ["a", "b", "c"]
