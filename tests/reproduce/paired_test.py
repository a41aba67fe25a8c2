import dataclasses
import json
import shutil
import types

import keras
import numpy as np
import pytest

from keras_pixdt import data, demo, presets, reproduce, search
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.models.pixel_dtgan import PixelDTGAN
from keras_pixdt.reproduce import (
    appearance_flow,
    paired,
    pixel_dtgan,
    residual_pixel_dtgan,
    rough_to_detail,
)
from keras_pixdt.reproduce.experiment import Budget
from keras_pixdt.reproduce.paired import Method, Table
from keras_pixdt.reproduce.paired_experiment import Length, PairedExperiment, length
from keras_pixdt.reproduce.result import Claim, Result, Row
from keras_pixdt.training import checkpoint, evaluation, trainer
from keras_pixdt.training.run import load_run
from tests import samples

PAIRED = (
    "yoo2016-table3", "yoo2016-fig4", "yoo2016-fig6", "geli-table1", "geli-fig3", "geli-fig4",
    "kwon2019-table1", "kwon2019-table2", "kwon2019-fig4", "kwon2019-fig6",
)  # fmt: skip


def table_of(name):
    tables = (*pixel_dtgan.TABLES, *residual_pixel_dtgan.TABLES, *rough_to_detail.TABLES)
    return {table.name: table for table in tables}[name]


@pytest.mark.parametrize("name", PAIRED)
def test_tables_are_coherent(name):
    table = table_of(name)
    assert table.name == name and name in reproduce.EXPERIMENTS
    assert set(table.budgets) == set(reproduce.BUDGETS)
    keys = [method.key for method in table.methods]
    scores = [score.key for score in table.scores]
    assert len(set(keys)) == len(keys) and len(set(scores)) == len(scores)
    for claim in table.claims:
        assert {claim.better, claim.worse} <= set(keys) and claim.score in scores
    for method in table.methods:
        # The small preset is the same row: its objective and what it learns from are unchanged.
        small, full = method.small.options(), method.preset.options()
        kept = [f for f in full if f.endswith(("_weight", "_pairs", "reverse", "residual"))]
        if method.of_paper and small["name"] == full["name"]:
            assert {f: small[f] for f in kept} == {f: full[f] for f in kept}
        own = presets.get(full["name"])
        start = own.start if method.of_paper else method.preset.start
        assert method.preset == dataclasses.replace(own, resize=method.preset.resize, start=start)
        assert table.preset(method, "paper") is method.preset
    assert table.budgets["paper"].samples is None  # the presets' own epochs
    # All rows learn from the same images: Kwon et al. resize those of the paper's rows (Sec. 4).
    of_papers = "stretch" if name.startswith("kwon2019") else "letterbox"
    assert {method.preset.resize for method in table.methods} == {of_papers}
    assert {method.small.resize for method in table.methods} == {of_papers}


@pytest.mark.parametrize("name", ["yoo2016-table3", "geli-table1", "kwon2019-table1"])
def test_tables_have_rows_of_flow_that_no_ordering_names(name):
    table = table_of(name)
    new, pretrained = (method for method in table.methods if not method.of_paper)
    assert (new.key, pretrained.key) == ("flow-64", "flow-64-pretrained")
    for row in (new, pretrained):
        assert row.paper == {} and "this package's" in row.title
        assert not any(row.key in (claim.better, claim.worse) for claim in table.claims)
    for full in ("preset", "small"):
        assert getattr(new, full).start is None and getattr(pretrained, full).start == "rendered"
        assert dataclasses.replace(getattr(new, full), start="rendered") == getattr(
            pretrained, full
        )
    # A row that another table has as well is trained once.
    if name != "kwon2019-table1":
        assert new.small == appearance_flow.METHODS[0].small
    assert pretrained.small.changed(demo.SETTINGS) == pretrained.small
    assert appearance_flow.NOTE in table.notes
    # The length of the papers' rows is what it was without these.
    stages = [len(m.small.phases) for m in table.methods if m.of_paper]
    for seen, pairs in ((2_000, 400), (60_000, 7_059)):
        every = max(*stages, len(new.small.phases))
        assert length(seen, pairs, max(stages)) == length(seen, pairs, every)


def test_rows_of_equal_minutes_stand_beside_those_of_equal_samples():
    table = rough_to_detail.TABLE1.with_minutes(2.5)
    assert [method.key for method in table.methods[:4]] == [
        "pldt", "pldt-minutes", "pix2pix", "pix2pix-minutes",
    ]  # fmt: skip
    for same, timed in zip(table.methods[::2], table.methods[1::2], strict=True):
        assert timed.title == f"{same.title}, 2.5 minutes" and timed.paper == {}
        assert (timed.minutes, same.minutes) == (2.5, None)
        assert (timed.preset, timed.small, timed.of_paper) == (
            same.preset, same.small, same.of_paper,
        )  # fmt: skip
    claims = rough_to_detail.TABLE1.claims
    assert table.claims[: len(claims)] == claims and len(table.claims) == 2 * len(claims)
    assert table.claims[-1] == Claim("ours-minutes", "pix2pix-minutes", "recall@60")
    assert len(table.methods_at("cpu")) == len(table.methods)
    with pytest.raises(ValueError, match="`minutes` must be positive. Received: 0"):
        table.with_minutes(0)


def test_the_papers_figures_are_those_that_it_prints():
    rows_of = {m.key: m.paper for m in pixel_dtgan.METHODS}
    assert rows_of["c-rf-dd"] == {
        "Real, people": "0.82", "Att, people": "0.67", "Cat, people": "0.77",
        "RMSE": "0.32", "C-SSIM": "0.21",
    }  # fmt: skip
    assert rows_of["retrieval"] == {"RMSE": "0.44", "C-SSIM": "0.19"}
    ours = rough_to_detail.METHODS[-1].paper
    assert ours == {"RMSE": "0.2590", "SSIM": "0.5967", "Recall@60": "0.3373"}


def test_table_3_shows_the_printed_step_beside_the_faster_one():
    methods = {method.key: method for method in pixel_dtgan.METHODS}
    for key in ("c-rf-dd", "retrieval"):
        ours, printed = methods[key], methods[f"{key}-printed"]
        changed = {"selection": "sample", "converter_objective": "saturating"}
        assert dataclasses.replace(ours.small, **changed) == printed.small != ours.small
        # The paper's budget has the printed step alone.
        assert printed.preset == ours.preset == presets.get("yoo2016")
    table = pixel_dtgan.TABLE3
    assert list(table.methods_at("cpu")) == [method.key for method in table.methods]
    left_out = set(methods) - set(table.methods_at("paper"))
    assert left_out == {"retrieval-printed", "c-rf-dd-printed"}


def test_the_right_product_is_ranked_among_those_of_the_test_split():
    """By hand: four products; the right one is above all others, ties with one, is below all."""
    logits = {0: [9, 1, 2, 3], 1: [5, 5, 2, 7], 2: [1, 2, 3, 0]}  # photo -> product -> logit

    class Judge:
        def predict_on_batch(self, pairs):
            photo = round((pairs[0, 0, 0, 0] + 1) * 127.5)
            products = np.rint((pairs[:, 0, 0, 3] + 1) * 127.5).astype(int)
            return np.array([[logits[photo][p - 10]] for p in products], "float32")

    def plain(*levels):
        return np.stack([np.full((16, 16, 3), level, "uint8") for level in levels])

    ids = np.arange(4)
    pairs = PairSet(plain(0, 1, 2), plain(10, 11, 12, 13), np.array([0, 1, 3]), ids, ids)
    model = PixelDTGAN(16, width=1 / 32)
    model.domain_discriminator = Judge()
    run = types.SimpleNamespace(model=model)
    found = pixel_dtgan.rank_of_the_right(run, {"test": pairs})
    # 3 of 3 below; 1 below and 1 tie, which counts half; none.
    assert found == {"dd_percentile": pytest.approx((3 + 1.5 + 0) / 3 / 3)}
    drawn = pixel_dtgan.retrieve(run, {"train": pairs})(data.to_float(pairs.sources))
    np.testing.assert_array_equal(data.to_uint8(drawn), plain(10, 13, 12))


def test_a_length_is_whole_passes_in_few_epochs():
    assert length(2_000, 400) == Length(5, 1, 2_000)
    assert length(2_000, 400, at_least=6) == Length(6, 1, 2_400)  # a stage needs one
    assert length(100_000, 1_000) == Length(25, 4, 100_000)
    assert length(100, 1_000) == Length(1, 1, 1_000)  # one pass at least


# A table of two tiny rows


def tiny(name, batch_size=100):
    return dataclasses.replace(
        presets.get(name), image_size=32, width=1 / 32, batch_size=batch_size, phases=((1, 1e-3),)
    )


BUDGET = Budget(samples=1, seeds=1)
TABLE = Table(
    name="tiny-table",
    title="Two rows",
    methods=(
        Method("mse", "C+MSE", presets.get("yoo2016-c-mse"), tiny("yoo2016-c-mse"),
               {"RMSE": "0.26"}),
        Method("ours", "C+RF+DD", presets.get("yoo2016"), tiny("yoo2016")),
        Method("found", "Retrieval", presets.get("yoo2016"), tiny("yoo2016"),
               convert=pixel_dtgan.retrieve),
    ),
    scores=(paired.RMSE, paired.C_SSIM),
    budgets=dict.fromkeys(reproduce.BUDGETS, BUDGET),
    claims=(Claim("mse", "ours", "rmse"),),
)  # fmt: skip


def opened(out, small_lookbook):
    return PairedExperiment(out, {"data": str(small_lookbook)}, verbose=0)


@pytest.fixture(scope="module")
def scorers(small_lookbook, tmp_path_factory):
    """The folder of a table that has what scores its rows, and no row yet. Tests copy it."""
    folder = tmp_path_factory.mktemp("scorers")
    with samples.narrow_embedders():
        made = opened(folder, small_lookbook)
        made.embedder(tiny("yoo2016"))
        made.attribute_classifier(tiny("yoo2016"))
    return folder


def test_bad_requests_are_refused_before_anything_is_read(tmp_path):
    nothing = PairedExperiment(tmp_path, {"data": str(tmp_path / "missing")})
    with pytest.raises(ValueError, match="`rows` must be of mse, ours, found. Received: other"):
        paired.run_table(TABLE, nothing, "smoke", keys=["other"])
    with pytest.raises(ValueError, match="`seeds` must be at least 1. Received: 0"):
        paired.run_table(TABLE, nothing, "smoke", seeds=0)


def test_products_are_of_drawn_data_only(tmp_path):
    arguments = ["--data", str(tmp_path), "--products", "4", "--out", str(tmp_path / "out")]
    with pytest.raises(ValueError, match="`--products` is how many products are drawn"):
        paired.main(TABLE, arguments)


def test_heads_and_notes_say_what_measured():
    table = rough_to_detail.TABLE1.measured_by("densenet121")
    assert table.scores[-1].title == "Real: KID, DenseNet121"
    assert "by a DenseNet121 that was trained on ImageNet; the paper" in table.notes[0]
    for name in PAIRED:
        table = table_of(name).measured_by("trained")
        assert "{" not in "".join([*(score.title for score in table.scores), *table.notes])
    assert paired.KID.title.format(embedder="x") == "Real: KID, x"


def test_without_weights_of_densenet_nothing_is_read_or_trained(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    arguments = ["--data", str(tmp_path / "missing"), "--out", str(tmp_path / "out")]
    with pytest.raises(FileNotFoundError, match="DenseNet121's .* nothing is downloaded") as error:
        paired.main(TABLE, [*arguments, "--embedder", "densenet121"])
    assert "`--embedder trained`" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_references_are_what_no_network_decides():
    scores = {"att": 0.5, "att_of_products": 0.9, "chance_att": 0.1, "chance_cat": None}
    scores |= {"recall@10": 0.4, "photo_recall@10": 0.2, "chance_recall@10": 0.3}
    scores |= {"recall@60": None, "chance_recall@60": 1.0}  # of a gallery with fewer products
    rows = [Row("first", "not run yet"), Row("other", "run", seeds={0: scores, 1: scores})]
    columns = (paired.ATTRIBUTES, paired.CATEGORY, paired.recall(10), paired.recall(60))
    result = Result("table", "A table", columns, rows)
    assert {row.title: row.seeds for row in paired.references(result)} == {
        "Chance": {0: {"att": 0.1, "recall@10": 0.3}},
        "Photos, not converted": {0: {"recall@10": 0.2}},
        "Products themselves": {0: {"att": 0.9}},
    }
    assert paired.references(Result("table", "A table", (paired.RMSE,), rows)) == []


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_an_interrupted_table_goes_on_and_prints_the_same(
    scorers, tmp_path, small_lookbook, monkeypatch
):
    trained = []
    train = trainer.train

    def counted(preset, *args, **kwargs):
        trained.append(preset.name)
        if len(trained) == 2 and tmp_path.joinpath("killed").exists():
            raise KeyboardInterrupt
        return train(preset, *args, **kwargs)

    monkeypatch.setattr(trainer, "train", counted)

    def table(name, **options):
        return paired.run_table(TABLE, opened(tmp_path / name, small_lookbook), "smoke", **options)

    for name in ("whole", "interrupted"):
        shutil.copytree(scorers, tmp_path / name)
    whole = table("whole")
    # The retrieval is of the network of the row before.
    assert trained == ["yoo2016-c-mse", "yoo2016"]

    trained.clear()
    (tmp_path / "killed").touch()
    with pytest.raises(KeyboardInterrupt):
        table("interrupted")
    written = tmp_path / "interrupted" / "tiny-table.json"
    part = json.loads(written.read_text("utf-8"))
    assert [len(row["seeds"]) for row in part["rows"]] == [1, 0, 0]  # nothing is lost
    (tmp_path / "killed").unlink()
    again = table("interrupted")
    assert trained == ["yoo2016-c-mse", "yoo2016", "yoo2016"]
    assert again.markdown() == whole.markdown()
    assert "| C+MSE" in whole.markdown() and "paper: RMSE" in whole.markdown()
    assert written.with_suffix(".png").exists()
    for row in json.loads(written.read_text("utf-8"))["rows"]:
        found = row["seeds"]["0"]
        assert found["samples"] == again.rows[0].seeds[0]["samples"]
        assert row["settings"]["steps"] == found["steps"] == found["samples"] // 100
        assert row["paper_settings"]["batch_size"] == 128

    # One row alone: what is kept of the others is in the table still.
    trained.clear()
    alone = table("interrupted", keys=["mse"])
    assert trained == [] and alone.markdown() == whole.markdown()
    # Of another seed: its network is new, and the others, which lack it, are left.
    part = table("interrupted", seeds=2, keys=["mse"])
    assert trained == ["yoo2016-c-mse"]
    assert [len(row.seeds) for row in part.rows[: len(TABLE.methods)]] == [2, 0, 0]


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_equal_minutes_are_trained_and_told(scorers, tmp_path, small_lookbook):
    shutil.copytree(scorers, tmp_path, dirs_exist_ok=True)
    table = dataclasses.replace(TABLE, methods=TABLE.methods[:1], claims=())
    experiment = opened(tmp_path, small_lookbook)
    result = paired.run_table(table.with_minutes(1e-6), experiment, "smoke")
    same, timed = (row.seeds[0] for row in result.rows[:2])
    # The clock begins with the second batch, and the batch during which it ends is finished.
    assert same["run"] != timed["run"] and same["preset"] == timed["preset"]
    assert timed["samples"] == 100 * timed["steps"] and timed["steps"] <= same["steps"]
    pairs = len(experiment.pairs(table.methods[0].small)["train"])
    assert timed["epochs"] == round(timed["samples"] / pairs, 1)
    assert result.settings["minutes of other rows"] == "1e-06"
    assert result.settings["samples of each row"] == f"{same['samples']:,}"
    assert "| C+MSE, 1e-06 minutes |" in result.markdown()
    # It is kept as any other.
    again = paired.run_table(table.with_minutes(1e-6), experiment, "smoke", keys=["mse"])
    assert again.rows[1].seeds == result.rows[1].seeds


@pytest.mark.usefixtures("eager")
def test_rows_of_this_package_are_left_out_where_data_do_not_fit(
    tmp_path, small_lookbook, monkeypatch
):
    own = dataclasses.replace(
        TABLE.methods[0],
        key="own",
        small=presets.get("flow-64").changed(["start=null"]),
        of_paper=False,
    )
    table = dataclasses.replace(TABLE, methods=(*TABLE.methods, own))
    load = data.load_pairs

    def small_photos(*args, photo_size=None, **options):
        if photo_size is not None:
            raise ValueError("`photo_size` must be at most 64")
        return load(*args, **options)

    monkeypatch.setattr(data, "load_pairs", small_photos)
    seen = []
    monkeypatch.setattr(
        PairedExperiment, "fill", lambda *args, **options: seen.append(args[2]) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        paired.run_table(table, opened(tmp_path, small_lookbook), "smoke")
    assert seen == [["mse", "ours", "found"]]
    with pytest.raises(ValueError, match="must be at most 64"):  # it was asked for
        paired.run_table(table, opened(tmp_path, small_lookbook), "smoke", keys=["own"])


@pytest.mark.slow
def test_scores_of_two_embedders_are_kept_apart(scorers, tmp_path, small_lookbook, monkeypatch):
    weights = tmp_path / "densenet.weights.h5"
    keras.applications.DenseNet121(
        include_top=False, weights=None, pooling="avg", input_shape=(32, 32, 3)
    ).save_weights(weights)
    densenet = search.densenet121_embedder(weights, image_size=32)
    monkeypatch.setattr(search, "densenet121_embedder", lambda: densenet)
    shutil.copytree(scorers, tmp_path / "out")
    # Trained for long enough to be consistent with some photos.
    method = dataclasses.replace(TABLE.methods[0], small=tiny("yoo2016-c-mse", batch_size=8))
    scores = paired.RMSE, pixel_dtgan.CONSISTENCY, paired.KID
    table = dataclasses.replace(TABLE, methods=(method, *TABLE.methods[1:]), scores=scores)

    def run(embedder, **options):
        opened = PairedExperiment(
            tmp_path / "out", {"data": str(small_lookbook)}, verbose=0, embedder=embedder
        )
        return paired.run_table(table, opened, "smoke", **options)

    trained = run("trained", keys=["mse"]).rows[0].seeds[0]
    monkeypatch.setattr(trainer, "train", None)  # the network is there
    result = run("densenet121", keys=["mse"])
    scores = result.rows[0].seeds[0]
    network = load_run(tmp_path / "out" / scores["run"])
    expected = evaluation.evaluate(network.convert, network.pairs(), embedder=densenet)
    assert scores["consistency"] == expected["consistency"] != trained["consistency"]
    assert scores["rmse"] == trained["rmse"]
    assert "embedder: densenet121" in result.markdown()
    # What is kept under the one is not in a table of the other.
    assert run("trained", keys=["mse"]).rows[0].seeds[0] == trained


@pytest.mark.slow
@pytest.mark.usefixtures("eager", "few_blocks")
@pytest.mark.parametrize("name", ["yoo2016-fig4", "yoo2016-fig6", "geli-fig3", "kwon2019-fig4"])
def test_figures_are_drawn(name, scorers, tmp_path, small_lookbook):
    """Of networks after a few steps: three in each epoch. A curriculum has one stage."""
    shutil.copytree(scorers, tmp_path, dirs_exist_ok=True)
    own = table_of(name)
    table = dataclasses.replace(
        own,
        methods=tuple(
            dataclasses.replace(
                method,
                small=dataclasses.replace(
                    method.small,
                    image_size=32,
                    width=1 / 32,
                    discriminator_width=1 / 32,
                    batch_size=100,
                    phases=tuple(
                        phase._replace(epochs=1, batch_size=None)
                        for phase in method.small.phases[-2:]
                    ),
                    **({"stages": 1} if hasattr(method.small, "stages") else {}),
                ),
            )
            for method in own.methods[-2:]
        ),
        claims=(),
        budgets=TABLE.budgets,
    )
    result = paired.run_table(table, opened(tmp_path, small_lookbook), "smoke")
    page = (tmp_path / f"{name}.html").read_text("utf-8")
    assert result.curves or "data:image/png" in page
    assert not result.curves or "<svg" in page


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_network_is_scored_after_each_of_its_stages(scorers, tmp_path, small_lookbook):
    shutil.copytree(scorers, tmp_path, dirs_exist_ok=True)
    small = dataclasses.replace(
        presets.get("kwon2019-64-n2"), image_size=32, width=1 / 32, discriminator_width=1 / 32,
        batch_size=100, phases=((1, 1e-3),) * 4, passes=1,
    )  # fmt: skip
    after, _, last, _ = rough_to_detail.FIG6.methods
    table = dataclasses.replace(
        rough_to_detail.FIG6,
        methods=tuple(dataclasses.replace(method, small=small) for method in (after, last)),
        claims=(),
        budgets=TABLE.budgets,
    )
    result = paired.run_table(table, opened(tmp_path, small_lookbook), "smoke")
    assert list(result.pictures) == ["kwon2019-fig6.png"]
    first, second = (row.seeds[0] for row in result.rows[:2])
    assert first["run"] == second["run"]  # one network, that of Table 2
    run = load_run(tmp_path / first["run"])
    path = checkpoint.stage_path(run.workdir, 1)
    model = keras.models.load_model(path)
    assert (model.stage, run.model.stage) == (1, 2)
    expected = evaluation.evaluate(model.predict_on_batch, run.pairs())
    assert first["rmse"] == pytest.approx(expected["rmse"], rel=1e-5) != second["rmse"]
    path.unlink()
    with pytest.raises(FileNotFoundError, match="has no stage1.keras.*Remove it"):
        rough_to_detail.after_stage(1, run, {})
