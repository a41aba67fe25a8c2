"""Shared code and the command for tables whose rows learn from pairs.

A table compares rows under the same budget: the same number of pairs, the same data and the same
seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_pixdt import data, presets
from keras_pixdt.choices import as_height_width
from keras_pixdt.data.load import NUM_PRODUCTS
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.reproduce import experiment as experiments
from keras_pixdt.reproduce import pictures, settings
from keras_pixdt.reproduce.experiment import Budget
from keras_pixdt.reproduce.paired_experiment import Convert, Length, PairedExperiment
from keras_pixdt.reproduce.result import Claim, Result, Row, Score
from keras_pixdt.training.run import Run

LOOKBOOK_PRODUCTS = 9732  # Yoo et al. 2016, Sec. 5.1

# Values of `--embedder`, and what column heads and notes say instead of "{embedder}".
MEASURED_BY = {
    "trained": ("project's embedder", "an embedder that was trained on the training products"),
    "densenet121": ("DenseNet121", "a DenseNet121 that was trained on ImageNet"),
}

# Columns that several tables have.
RMSE = Score("rmse", "RMSE", "lower")
SSIM = Score("ssim", "SSIM", "higher")
C_SSIM = Score("c_ssim", "C-SSIM", "higher")
KID = Score("kid_mean", "Real: KID, {embedder}", "lower", ".3f")
FID = Score("fid", "FID, {embedder}", "lower", ".1f")
ATTRIBUTES = Score("att", "Att: classifier", "higher", ".3f")
CATEGORY = Score("cat", "Cat: classifier", "higher", ".3f")

BUDGETS = {
    "smoke": Budget(samples=2_000, drawn=(64,)),
    "cpu": Budget(samples=60_000, drawn=(NUM_PRODUCTS,)),
    "gpu": Budget(samples=500_000, drawn=(LOOKBOOK_PRODUCTS,), small=False),
    "paper": Budget(drawn=(LOOKBOOK_PRODUCTS,), small=False),
}


def recall(k: int) -> Score:
    """The column of Recall@k, in %."""
    return Score(f"recall@{k}", f"Recall@{k}", "higher", ".3f")


@dataclasses.dataclass(frozen=True)
class Method:
    """A row of a table.

    Attributes:
        key: what `--rows` takes.
        title: as the paper calls it.
        preset: as the paper trained it.
        small: the same for budgets of minutes on two cores.
        paper: the paper's figures, title of the column -> figure.
        convert: makes what is scored of the trained run and the pairs; by default its own.
        more: further scores of the trained run and the pairs.
        trained: whether what is scored depends on the run.
        of_paper: whether the paper has it. Others are this package's own: no claim names them.
        minutes: how long it is trained, instead of the budget's samples.
    """

    key: str
    title: str
    preset: presets.Preset
    small: presets.Preset
    paper: Mapping[str, str] = dataclasses.field(default_factory=dict)
    convert: Callable[[Run, Mapping[str, PairSet]], Convert] | None = None
    more: Callable[[Run, Mapping[str, PairSet]], Mapping[str, float]] | None = None
    trained: bool = True
    of_paper: bool = True
    minutes: float | None = None


@dataclasses.dataclass
class Trained:
    """A row that has been trained, with seed 0.

    Attributes:
        method: the row.
        run: its run.
        convert: what is scored of it.
    """

    method: Method
    run: Run
    convert: Convert

    def drawn(self, sources: np.ndarray) -> np.ndarray:
        """What it draws of images, uint8 (n, s, s, 3) to the same."""
        return np.concatenate(
            [
                data.to_uint8(np.asarray(self.convert(data.to_float(sources[i : i + 64]))))
                for i in range(0, len(sources), 64)
            ]
        )


def compare(result: Result, shown: Sequence[Trained], experiment: PairedExperiment) -> None:
    """Adds the picture of all rows on the same test photos."""
    largest = max(
        (trained.run.preset for trained in shown), key=lambda p: as_height_width(p.image_size)
    )
    test = experiment.pairs(largest)["test"]
    picked = pictures.spread(len(test))
    lines = [("photo", test.sources[picked])]
    for trained in shown:
        own = experiment.pairs(trained.run.preset)["test"]
        lines.append((trained.method.title, trained.drawn(own.sources[picked])))
    lines.append(("product", test.targets[test.target_index[picked]]))
    caption = "The same test photos, what each network of seed 0 draws, the products"
    pictures.add_lines(result, experiment.out, lines, caption)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a paper.

    Attributes:
        name: of the experiment.
        title: what it repeats.
        methods: the rows.
        scores: the columns; "{embedder}" in their titles is what images are compared with.
        claims: orderings that the paper's table shows.
        budgets: for each name of `keras_pixdt.reproduce.BUDGETS`; what is drawn are products.
        gallery: where products are searched, "split" or "all".
        notes: what a reader must know, one sentence each; they may say "{embedder}" too.
        finish: adds pictures of the networks of seed 0 to the result; by default the table's rows
            on the same photos.
    """

    name: str
    title: str
    methods: tuple[Method, ...]
    scores: tuple[Score, ...]
    claims: tuple[Claim, ...] = ()
    budgets: Mapping[str, Budget] = dataclasses.field(default_factory=lambda: BUDGETS)
    gallery: str = "split"
    notes: tuple[str, ...] = ()
    finish: Callable[[Result, Sequence[Trained], PairedExperiment], None] = compare

    def preset(self, method: Method, budget: str) -> presets.Preset:
        """What a row trains at a budget."""
        return method.small if self.budgets[budget].small else method.preset

    def methods_at(self, budget: str) -> dict[str, Method]:
        """The rows by their keys, without those that are the same as an earlier one at a budget."""
        found: dict[Any, Method] = {}
        for method in self.methods:
            same = (self.preset(method, budget), method.convert, method.more, method.trained)
            found.setdefault((*same, method.minutes), method)
        return {method.key: method for method in found.values()}

    def with_minutes(self, minutes: float) -> Table:
        """The table with a second row after each: the same, trained for equal minutes.

        The orderings are asked of these rows too.

        Raises:
            ValueError: the minutes are not positive.
        """
        if not minutes > 0:
            raise ValueError(f"`minutes` must be positive. Received: {minutes}")
        timed = [
            dataclasses.replace(
                method,
                key=timed_key(method.key),
                title=f"{method.title}, {minutes:g} minutes",
                paper={},
                minutes=minutes,
            )
            for method in self.methods
        ]
        claims = [
            dataclasses.replace(c, better=timed_key(c.better), worse=timed_key(c.worse))
            for c in self.claims
        ]
        return dataclasses.replace(
            self,
            methods=tuple(m for pair in zip(self.methods, timed, strict=True) for m in pair),
            claims=(*self.claims, *claims),
        )

    def measured_by(self, embedder: str) -> Table:
        """The table whose columns and notes say what images are compared with."""
        head, sentence = MEASURED_BY[embedder]
        return dataclasses.replace(
            self,
            scores=tuple(
                dataclasses.replace(score, title=score.title.format(embedder=head))
                for score in self.scores
            ),
            notes=tuple(note.format(embedder=sentence) for note in self.notes),
        )


def timed_key(key: str) -> str:
    """The key of a row's second row, of equal minutes."""
    return f"{key}-minutes"


def run_table(
    table: Table,
    experiment: PairedExperiment,
    budget: str,
    *,
    seeds: int | None = None,
    keys: Sequence[str] | None = None,
) -> Result:
    """Trains and scores the rows, and writes the table into the experiment's folder.

    Args:
        table: what to run.
        experiment: the data, and where networks are kept.
        budget: a key of `table.budgets`.
        seeds: how many, instead of the budget's.
        keys: of `table.methods_at(budget)`, those to run; by default all, of this package's own
            rows those that can learn from the data. Others are in the table as well if all their
            seeds are kept.

    Raises:
        ValueError: an unknown row, or less than one seed.
    """
    table = table.measured_by(experiment.embedder_name)
    given, methods = table.budgets[budget], table.methods_at(budget)
    asked, seeds = experiments.chosen(methods, keys, given, seeds)
    preset = {key: table.preset(method, budget) for key, method in methods.items()}
    refused: set[str] = set()
    if keys is None and any(method.of_paper for method in methods.values()):
        for key in [key for key in asked if not methods[key].of_paper]:
            if reason := experiment.refusal(preset[key]):
                asked.remove(key)
                refused.add(f"This package's own rows cannot learn from these data: {reason}")
    stages = max(len(each.phases) for each in preset.values())

    @functools.cache
    def length(key: str) -> Length:
        size = experiment.length(preset[key], given.samples, stages)
        return dataclasses.replace(size, minutes=methods[key].minutes)

    def told(keys: Sequence[str]) -> dict[str, Any]:
        samples = sorted({length(key).samples for key in keys if not methods[key].minutes})
        minutes = {f"{m.minutes:g}" for key in keys if (m := methods[key]).minutes}
        return {
            "budget": budget,
            "data": _data_name(experiment.data_options),
            "samples of each row": ", ".join(f"{count:,}" for count in samples),
            **({"minutes of other rows": ", ".join(minutes)} if minutes else {}),
            "seeds": seeds,
            "embedder": experiment.embedder_name,
            "test photos": len(experiment.pairs(preset[keys[0]])["test"]),
        }

    rows = {m.key: Row(m.key, m.title, m.paper, trained=m.trained) for m in methods.values()}
    result = Result(
        table.name,
        table.title,
        table.scores,
        list(rows.values()),
        table.claims,
        settings=told([key for key in methods if key in asked]),
        notes=(*table.notes, *refused),
    )
    shown: dict[str, Trained] = {}

    def score(row: Row, seed: int) -> dict[str, Any]:
        trained, found = _score(experiment, table, methods[row.key], preset, length, seed)
        shown.setdefault(row.key, trained)
        return found

    # Rows without a run are left out before their data are read, which may be of another size.
    folder = experiment.cache.folder
    begun = [key for key, each in preset.items() if any(folder.glob(f"{each.name}-seed*"))]
    experiment.fill(result, asked, seeds, score, others=begun)
    run = [key for key, row in rows.items() if row.seeds]
    result.settings = told(run)
    result.rows = [*result.rows, *references(result)]
    table.finish(result, [shown[key] for key in run], experiment)
    result.write(experiment.out)
    return result


def _score(
    experiment: PairedExperiment,
    table: Table,
    method: Method,
    preset: Mapping[str, presets.Preset],
    length: Callable[[str], Length],
    seed: int,
) -> tuple[Trained, dict[str, Any]]:
    """A row, trained if need be, and its scores with its settings; see `run_table`."""
    own, size = preset[method.key], length(method.key)
    run = experiment.run(own, size, seed)
    scores = experiment.scores(run, table.gallery, method.key, method.convert, method.more)
    convert = run.convert if method.convert is None else method.convert(run, experiment.pairs(own))
    trained = Trained(method, run, convert)
    if not method.trained:
        return trained, scores
    options = json.loads((run.workdir / "run.json").read_text("utf-8"))
    if size.minutes is None:
        told = settings.of_training(own, size.epochs, size.samples, size.passes)
    else:
        told = {"preset": own.options(), **experiment.trained_for(run)}
    return trained, {
        **scores,
        **told,
        "paper_preset": method.preset.options() if method.of_paper else None,
        "minutes": options.get("trained_minutes", 0.0),
        "run": str(run.workdir.relative_to(experiment.out)),
    }


_REFERENCES = (
    ("chance", "Chance", "chance_{}"),
    ("photos", "Photos, not converted", "photo_{}"),
    ("products", "Products themselves", "{}_of_products"),
)


def references(result: Result) -> list[Row]:
    """Rows for comparison: what scores depend on besides the network.

    Args:
        result: the table; the rows that have been run have these scores too.

    Returns:
        Chance, the unconverted photos, and the real products (which show how good the classifier
        itself is), each if the table has a column for it.
    """
    run = [(seed, scores) for row in result.rows for seed, scores in row.seeds.items()]
    columns = [s.key for s in result.scores if any(row.values(s.key) for row in result.rows)]
    rows = []
    for key, title, name in _REFERENCES:
        for seed, scores in run[:1]:  # all runs have the same
            found = {column: scores.get(name.format(column)) for column in columns}
            given = {column: value for column, value in found.items() if value is not None}
            if given:
                rows.append(Row(key, title, seeds={seed: given}, trained=False))
    return rows


def _data_name(options: Mapping[str, Any]) -> str:
    name = str(options["data"])
    if name == "rendered":
        return f"rendered, {options.get('num_products', NUM_PRODUCTS)} products"
    return name if name.startswith("tfds:") else pathlib.Path(name).name


# The command


def open_experiment(options: argparse.Namespace, table: Table) -> PairedExperiment:
    """The data and the folder that the options name."""
    data_options: dict[str, Any] = {"data": options.data}
    for name in ("data_dir", "splits"):
        if getattr(options, name) is not None:
            data_options[name] = getattr(options, name)
    if options.data == "rendered":
        (products,) = table.budgets[options.budget].drawn
        data_options["num_products"] = options.products or products
    elif options.products is not None:
        raise ValueError(
            f"`--products` is how many products are drawn; {options.data} is read. Leave it out."
        )
    return PairedExperiment(options.out, data_options, verbose=2, embedder=options.embedder)


def main(table: Table, argv: Sequence[str]) -> None:
    """Runs a table with the arguments of the command."""
    parser = experiments.parser(table.name, table.title, [method.key for method in table.methods])
    parser.add_argument(
        "--data",
        default="rendered",
        help='"rendered" (the default), a folder or an archive as LookBook is, or tfds:NAME',
    )
    parser.add_argument("--data-dir", help="where TFDS sets were prepared")
    parser.add_argument("--splits", help="yoo2016 or kwon2019, of a folder")
    parser.add_argument("--products", type=int, help="that are drawn, instead of the budget's")
    if table.finish is compare:
        parser.add_argument(
            "--minutes",
            type=float,
            help="adds to each row one that is trained for so many minutes instead of the "
            "budget's samples",
        )
    parser.add_argument(
        "--embedder",
        choices=tuple(MEASURED_BY),
        default="trained",
        help="what images are compared with: a network trained on the training products "
        "(default), or DenseNet121 where its weights are present, as Kwon et al. have it",
    )
    options = parser.parse_args(argv)
    experiment, keys = open_experiment(options, table), options.rows
    if getattr(options, "minutes", None) is not None:
        table = table.with_minutes(options.minutes)
        keys = keys and [*keys, *map(timed_key, keys)]
    result = run_table(table, experiment, options.budget, seeds=options.seeds, keys=keys)
    experiments.tell(result, experiment.out)


def commands(*tables: Table) -> dict[str, Callable[[Sequence[str]], None]]:
    """The commands of tables: name of the experiment -> what runs it with its arguments."""
    return {table.name: functools.partial(main, table) for table in tables}
