"""Reads `products.json`, the attributes of products, as databases and pandas export them.

It is a list of `{"pid": 12, "category": "dress"}`, or one such object on each line. A value that is
missing, null, NaN or empty, or the text "nan", "null" or "<NA>", is an attribute that is not known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from keras_pixdt.data.readers.listing import SHOWN

ATTRIBUTES_FILE = "products.json"
ATTRIBUTES = ("category", "pattern", "color")
MOST_ID = 2**63 - 1  # ids are int64

_RULE = 'must be a JSON list of {"pid": 1, "category": "dress"}'
_UNKNOWN = ("", "nan", "null", "<na>")  # as pandas writes what is missing; "None" may be a pattern


def read_attributes(found: Iterable[tuple[str, bytes]]) -> dict[int, dict[str, str]]:
    """Reads lists of products.

    Args:
        found: the name and the content of each file.

    Returns:
        Product id -> its known attributes. Numbers are written as text, whole ones without a point.

    Raises:
        ValueError: a file is no such list, or an entry has no product id, has an attribute that is
            neither text nor a number, or contradicts an earlier one. The message names both.
    """
    attributes: dict[int, dict[str, str]] = {}
    first: dict[tuple[int, str], str] = {}  # where an attribute was given
    for name, content in found:
        for number, entry in enumerate(_entries(name, content), 1):
            where = f"{name}, entry {number}"
            product = _product_id(entry, where)
            known = attributes.setdefault(product, {})
            for key in ATTRIBUTES:
                value = _text(entry.get(key), key, where)
                if value is None:
                    continue
                earlier = first.setdefault((product, key), where)
                if known.setdefault(key, value) != value:
                    raise ValueError(
                        f"{where}: product {product} must have one {key}. Received: {value!r}, and "
                        f"{known[key]!r} in {earlier}. Correct or remove one of the two."
                    )
    return attributes


def _entries(name: str, content: bytes) -> list[Any]:
    try:
        text = content.decode(json.detect_encoding(content))  # without the mark that Windows writes
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} must be in UTF-8: {error}. Save it so, or remove it.") from error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith("{") for _, line in lines):
        return [_parse(line, f"{name}, line {number}") for number, line in lines]
    entries = _parse(text, name)
    if isinstance(entries, dict) and not isinstance(entries.get("pid", {}), (dict, list)):
        return [entries]  # one product
    if not isinstance(entries, list):
        raise ValueError(
            f"{name} {_RULE}, as pandas writes by to_json({ATTRIBUTES_FILE!r}, orient='records'). "
            f"Received: {_shown(entries)}"
        )
    return entries


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} {_RULE}: {error}. Correct or remove it.") from error


def _product_id(entry: Any, where: str) -> int:
    value = entry.get("pid") if isinstance(entry, dict) else None
    number = value
    if isinstance(value, str):
        number = id_of(value.strip())
    elif isinstance(value, float) and value.is_integer():  # as of a column with a gap
        number = int(value)
    if type(number) is not int or not 0 <= number <= MOST_ID:
        raise ValueError(
            f"{where} must have a `pid`, a whole number from 0 to {MOST_ID}, as in the names of "
            f"its images. Received: {_shown(entry)}"
        )
    return number


def id_of(digits: str) -> int | None:
    """The id that is written in digits; None if it is none, or too large."""
    significant = digits.lstrip("0") or digits[-1:]
    if not significant.isdecimal() or len(significant) > len(str(MOST_ID)):
        return None
    number = int(significant)
    return number if number <= MOST_ID else None


def _text(value: Any, key: str, where: str) -> str | None:
    """The text of an attribute; None if it is not known."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    if (
        not isinstance(value, (str, int, float))
        or value in (math.inf, -math.inf)
        or text.encode(errors="replace").decode() != text
    ):
        raise ValueError(
            f"{where}: `{key}` must be text, a number or null. Received: {_shown(value)}"
        )
    return None if text.strip().lower() in _UNKNOWN else text


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
