"""Raters' answers, as tables like the papers'.

Each answer comes from one rater and is about one photo. A rater's answers share the rater's
severity, and answers about a photo share its difficulty. So neither are independent draws, and an
interval over only one of them is too narrow for other people or other photos. The 95% confidence
intervals here resample both, raters and photos, independently (Owen, "The pigeonhole bootstrap",
Annals of Applied Statistics 1(2), 2007), 10,000 times, and take percentiles. The papers do not say
how theirs are made.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_pixdt.report import markdown_table
from keras_pixdt.study import protocols
from keras_pixdt.study.agreement import krippendorff_alpha

_RESAMPLES = 10_000
_PERCENT = (2.5, 97.5)
_DAMAGED = "Ask the rater to download it again."


def score(
    answers: Sequence[str | os.PathLike[str]], key: str | os.PathLike[str], *, seed: int = 0
) -> dict[str, Any]:
    """Scores a study.

    A missing answer is left out of the mean. So are a rater's ranks of a photo if they are
    incomplete, because the first ranks alone would flatter. This is decided for each question.

    Args:
        answers: the files that raters downloaded, one for each rater.
        key: the file that was written beside the study's page.
        seed: of the resampling for the confidence intervals.

    Returns:
        `study`, `protocol`, `photos`, `raters` (the names), `answers` (how many were counted),
        `methods`: name -> question -> `mean`, `low`, `high` and `answers`. Means of scores are
        divided by the highest score, as in Yoo's Table 3; those of ranks are average ranks, as in
        Kwon's Fig. 5. `low` and `high` are the 95% confidence interval; they are None with one
        answer, and `mean` with none.
        `agreement`: question -> Krippendorff's alpha, None where it is not defined.
        `published`: the paper's figures for methods that have one of its names.
        `left_out`: how many `unfinished_rankings`, and `files_without_an_answer` that counts, there
        were.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there are no answers; or a file is damaged, belongs to another study, or is the
            second of a rater.

    Example:
        `score(["answers-anna.json", "answers-ben.json"], "study.key.json")`
    """
    opened = _read_key(pathlib.Path(key))
    asked = protocols.get(opened["protocol"])
    by_rater = _read_raters(answers, opened, asked)
    ratings = np.stack(list(by_rater.values()))
    ranking = np.array([question.ranking for question in asked.questions])
    unfinished = np.isnan(ratings).any(2) & ~np.isnan(ratings).all(2) & ranking
    ratings = np.where(unfinished[:, :, None], np.nan, ratings)
    answered = ~np.isnan(ratings).all((1, 2, 3))
    ratings = ratings[answered]
    raters = [rater for rater, has in zip(by_rater, answered, strict=True) if has]
    if not raters:
        raise ValueError(
            f"No answer counts in the {len(by_rater)} files of `answers`: nobody rated, or ranked "
            "all results of a photo."
        )
    intervals = _Intervals(ratings, seed)
    methods: dict[str, dict[str, Any]] = {}
    for row, name in enumerate(opened["methods"].values()):
        methods[name] = {}
        for column, question in enumerate(asked.questions):
            highest = 1 if question.ranking else len(question.labels) - 1
            methods[name][question.name] = intervals.of(ratings[:, :, row, column] / highest)
    return {
        "study": opened["study"],
        "protocol": asked.name,
        "photos": opened["photos"],
        "raters": raters,
        "answers": int((~np.isnan(ratings)).sum()),
        "methods": methods,
        "agreement": {
            question.name: krippendorff_alpha(
                ratings[..., column].reshape(len(raters), -1), question.level
            )
            for column, question in enumerate(asked.questions)
        },
        "published": {
            name: dict(asked.published[name]) for name in methods if name in asked.published
        },
        "left_out": {
            "files_without_an_answer": len(by_rater) - len(raters),
            "unfinished_rankings": int(unfinished.sum()),
        },
    }


def table(scores: Mapping[str, Any]) -> str:
    """The result of `score` as text; the paper's figures have their own columns."""
    asked = protocols.get(scores["protocol"])
    rows = [["method"], ["alpha"]]
    rows[1:1] = [[name] for name in scores["methods"]]
    for question in asked.questions:
        rows[0].append(question.heading)
        for row in rows[1:-1]:
            row.append(_text(scores["methods"][row[0]][question.name]))
        rows[-1].append(_figure(scores["agreement"][question.name]))
        if scores["published"]:
            rows[0].append("paper")
            for row in rows[1:-1]:
                row.append(_figure(scores["published"].get(row[0], {}).get(question.name)))
            rows[-1].append("")
    kind = "average rank, 1 is best" if asked.questions[0].ranking else "mean score in [0, 1]"
    lines = [
        f"{asked.reference}: {kind}, with 95% confidence interval",
        "",
        markdown_table(rows),
        "",
        f"{len(scores['raters'])} raters, {scores['photos']} photos, {scores['answers']} answers",
        "alpha: Krippendorff's, the agreement of raters, 1 if full and 0 by chance",
    ]
    if len(scores["raters"]) == 1:
        lines.append("One rater: agreement is not defined, and the intervals are that rater's only")
    for name, count in scores["left_out"].items():
        if count:
            lines.append(f"{name.replace('_', ' ')} left out: {count}")
    return "\n".join(lines)


def _text(value: Mapping[str, Any]) -> str:
    mean = _figure(value["mean"])
    return mean if value["low"] is None else f"{mean} [{value['low']:.2f}, {value['high']:.2f}]"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


class _Intervals:
    """Means with intervals; all intervals take the same resampled raters and photos.

    Args:
        ratings: `(raters, photos, methods, questions)`, NaN where there is none.
        seed: of the resampling.
    """

    def __init__(self, ratings: np.ndarray, seed: int) -> None:
        random = np.random.default_rng(seed)
        raters, photos = ratings.shape[:2]
        seen = ~np.isnan(ratings).all((0, 2, 3))
        # How often each resample has each of them.
        self._raters = random.multinomial(raters, np.full(raters, 1 / raters), _RESAMPLES) * 1.0
        self._photos = np.zeros((_RESAMPLES, photos))
        self._photos[:, seen] = random.multinomial(
            seen.sum(), np.full(seen.sum(), 1 / seen.sum()), _RESAMPLES
        )

    def of(self, values: np.ndarray) -> dict[str, Any]:
        """Mean and interval of the ratings `(raters, photos)` for one question and method."""
        given = ~np.isnan(values)
        count = int(given.sum())
        result: dict[str, Any] = {"mean": None, "low": None, "high": None, "answers": count}
        if count:
            result["mean"] = float(values[given].mean())
        if count > 1:
            filled = np.where(given, values, 0)
            weights = ((self._raters @ given.astype(float)) * self._photos).sum(1)
            sums = ((self._raters @ filled) * self._photos).sum(1)
            # A resample may have none of the answers, where most are missing.
            low, high = np.percentile(sums[weights > 0] / weights[weights > 0], _PERCENT)
            result |= {"low": float(low), "high": float(high)}
        return result


def _read(path: pathlib.Path, fix: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:  # of the encoding, or of JSON
        raise ValueError(f"{path} is damaged: {error}. {fix}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: it is no JSON object. {fix}")
    return content


def _read_key(path: pathlib.Path) -> dict[str, Any]:
    fix = "Give the key that `pixdt study create` wrote beside the page."
    content = _read(path, fix)
    fields = {"study": str, "protocol": str, "photos": int, "methods": dict}
    wrong = [name for name, kind in fields.items() if not isinstance(content.get(name), kind)]
    if wrong:
        raise ValueError(f"{path} is no key of a study: {', '.join(wrong)} missing. {fix}")
    return content


def _read_raters(
    answers: Sequence[str | os.PathLike[str]], key: Mapping[str, Any], asked: protocols.Protocol
) -> dict[str, np.ndarray]:
    """Each rater's answers, see `_read_answers`."""
    ratings: dict[str, np.ndarray] = {}
    files: dict[str, pathlib.Path] = {}
    for path in map(pathlib.Path, answers):
        rater, given = _read_answers(path, key, asked)
        if rater in files:
            raise ValueError(
                f"{files[rater]} and {path} are both of rater {rater!r}. Give the later one "
                'only; or, of two people, change "rater" in one of them.'
            )
        files[rater], ratings[rater] = path, given
    if not ratings:
        raise ValueError("`answers` must name the files that raters downloaded. Received none.")
    return ratings


def _read_answers(
    path: pathlib.Path, key: Mapping[str, Any], asked: protocols.Protocol
) -> tuple[str, np.ndarray]:
    """The rater, and the answers `(photos, methods, questions)`, NaN where there is none."""
    content = _read(path, _DAMAGED)
    if content.get("study") != key["study"]:
        raise ValueError(
            f"{path} answers another study, {content.get('study')!r}. The key is of "
            f"{key['study']!r}. Leave it out, or give the key of its study."
        )
    letters = list(key["methods"])
    columns = {question.name: i for i, question in enumerate(asked.questions)}
    values = np.full((key["photos"], len(letters), len(columns)), np.nan)
    try:
        rater = content["rater"]
        _require(isinstance(rater, str) and rater != "", f"its rater is {rater!r}")
        photos = [place["photo"] for place in content["photos"]]
        _require(len(set(photos)) == len(photos), "a photo is there twice")
        for place in content["photos"]:
            photo = place["photo"]
            _require(type(photo) is int and 0 <= photo < len(values), f"it has photo {photo!r}")
            for letter, given in place["ratings"].items():
                _require(letter in letters, f"it has method {letter!r}")
                for name, value in given.items():
                    _require(name in columns, f"it has question {name!r}")
                    allowed = asked.questions[columns[name]].values(len(letters))
                    _require(
                        type(value) is int and value in allowed,
                        f"photo {photo}: {name} is {value!r}, none of {allowed}",
                    )
                    values[photo, letters.index(letter), columns[name]] = value
            for question in asked.questions:
                ranks = values[photo, :, columns[question.name]]
                ranks = ranks[~np.isnan(ranks)]
                _require(
                    not question.ranking or len(set(ranks)) == len(ranks),
                    f"photo {photo}: {question.name} has a rank twice",
                )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error!r}. {_DAMAGED}") from error
    except _DamagedError as error:
        raise ValueError(f"{path} is damaged: {error}. {_DAMAGED}") from error
    return rater, values


class _DamagedError(Exception):
    """An error in a file."""


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _DamagedError(otherwise)
