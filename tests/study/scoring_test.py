import json

import numpy as np
import pytest

from keras_pixdt.study import krippendorff_alpha, score, table
from tests.study import studies


def scores_of(realistic, attributes, category):
    return {"realistic": realistic, "attributes": attributes, "category": category}


def ranks(realism, similarity):
    names = studies.NAMES
    return {
        name: {"realism": a, "similarity": b}
        for name, a, b in zip(names, realism, similarity, strict=True)
    }


@pytest.fixture
def yoo(tmp_path):
    return studies.write(tmp_path, "yoo2016")


@pytest.fixture
def kwon(tmp_path):
    return studies.write(tmp_path, "kwon2019")


ANNA = [
    {"C+RF": scores_of(2, 0, 0), "C+MSE": scores_of(0, 1, 1), "Pix2Pix": scores_of(1, 1, 1)},
    {"C+RF": scores_of(1, 0, 0), "C+MSE": scores_of(0, 2, 1), "Pix2Pix": scores_of(2, 2, 1)},
]
BEN = [
    {"C+RF": scores_of(2, 1, 0), "C+MSE": scores_of(1, 1, 1), "Pix2Pix": scores_of(1, 1, 0)},
    {"C+RF": scores_of(2, 0, 1), "C+MSE": scores_of(0, 2, 1), "Pix2Pix": scores_of(2, 1, 1)},
]

# What is refused


def test_refuses_answers_of_another_study(tmp_path, yoo):
    path = studies.answers(yoo, tmp_path, "anna", ANNA, study="0123456789abcdef")
    with pytest.raises(ValueError, match="answers-anna.json answers another study, '0123456789abc"):
        score([path], yoo["key"])


def test_the_id_is_of_the_images(tmp_path, yoo):
    (tmp_path / "other").mkdir()
    other = studies.write(tmp_path / "other", "yoo2016", names=studies.NAMES[:2])
    with pytest.raises(ValueError, match="answers another study"):
        score([studies.answers(other, tmp_path, "anna", [None])], yoo["key"])


def test_refuses_the_same_rater_twice(tmp_path, yoo):
    first = studies.answers(yoo, tmp_path, "anna", ANNA)
    again = tmp_path / "answers-anna (1).json"
    again.write_bytes(first.read_bytes())
    message = r"answers-anna.json and .*answers-anna \(1\).json are both of rater 'anna'. Give the"
    with pytest.raises(ValueError, match=message):
        score([first, again], yoo["key"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged: Expecting value"),
        (b'{"study": "', "is damaged: Unterminated string"),
        (b"\xff\xfe\x00", "is damaged: .*can't decode"),
        (b"[1]", "is damaged: it is no JSON object"),
        (b"{}", "answers another study, None"),
    ],
)
def test_names_the_file_that_cannot_be_read(tmp_path, yoo, content, message):
    good = studies.answers(yoo, tmp_path, "anna", ANNA)
    bad = tmp_path / "answers-ben.json"
    bad.write_bytes(content)
    with pytest.raises(ValueError, match=f"answers-ben.json {message}"):
        score([good, bad], yoo["key"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rater": ""}, "its rater is ''"),
        ({"rater": 3}, "its rater is 3"),
        ({"photos": None}, "TypeError"),
        ({"photos": [{"photo": 0}]}, "KeyError"),
        ({"photos": [{"photo": 2, "ratings": {}}]}, "it has photo 2"),
        ({"photos": [{"photo": True, "ratings": {}}]}, "it has photo True"),
        ({"photos": [{"photo": 0, "ratings": {}}] * 2}, "a photo is there twice"),
        ({"photos": [{"photo": 0, "ratings": {"z": {}}}]}, "it has method 'z'"),
        ({"photos": [{"photo": 0, "ratings": {"a": []}}]}, "AttributeError"),
        ({"photos": [{"photo": 0, "ratings": {"a": {"size": 1}}}]}, "it has question 'size'"),
        *(
            (
                {"photos": [{"photo": 0, "ratings": {"a": {"category": value}}}]},
                rf"photo 0: category is {value!r}, none of \[0, 1\]",
            )
            for value in (2, -1, 1.0, True, None, "1")
        ),
    ],
)
def test_names_what_is_damaged(tmp_path, yoo, changed, message):
    path = studies.answers(yoo, tmp_path, "anna", ANNA, **changed)
    with pytest.raises(ValueError, match=f"answers-anna.json is damaged: {message}.*download"):
        score([path], yoo["key"])


def test_refuses_ranks_with_ties(tmp_path, kwon):
    path = studies.answers(kwon, tmp_path, "anna", [ranks((1, 2, 2), (1, 2, 3))])
    with pytest.raises(ValueError, match="photo 0: realism has a rank twice"):
        score([path], kwon["key"])


def test_refuses_a_file_that_is_no_key(tmp_path, yoo):
    path = studies.answers(yoo, tmp_path, "anna", ANNA)
    with pytest.raises(ValueError, match="anna.json is no key of a study: methods missing. Give"):
        score([path], studies.answers(yoo, tmp_path, "anna", ANNA, photos=3))


def test_refuses_no_answers(yoo):
    with pytest.raises(ValueError, match="`answers` must name the files"):
        score([], yoo["key"])


def test_refuses_files_without_an_answer(tmp_path, kwon):
    unfinished = [{"C+RF": {"realism": 1}}, None]
    paths = [
        studies.answers(kwon, tmp_path, rater, given)
        for rater, given in (("anna", unfinished), ("ben", [None, None]))
    ]
    with pytest.raises(ValueError, match="No answer counts in the 2 files"):
        score(paths, kwon["key"])


# What is computed


def test_means_are_normalized_as_in_table_3(tmp_path, yoo):
    paths = [studies.answers(yoo, tmp_path, *of) for of in (("anna", ANNA), ("ben", BEN))]
    found = score(paths, yoo["key"])
    means = {
        name: [value["mean"] for value in of.values()] for name, of in found["methods"].items()
    }
    assert means == {
        "C+RF": [7 / 8, 1 / 8, 1 / 4],
        "C+MSE": [1 / 8, 6 / 8, 4 / 4],
        "Pix2Pix": [6 / 8, 5 / 8, 3 / 4],
    }
    assert (found["raters"], found["photos"], found["answers"]) == (["anna", "ben"], 2, 36)
    assert found["published"] == {
        "C+RF": scores_of(0.40, 0.21, 0.06),
        "C+MSE": scores_of(0.28, 0.60, 0.60),
    }
    assert found["left_out"] == {"files_without_an_answer": 0, "unfinished_rankings": 0}
    # In the order photo by photo: C+RF, C+MSE, Pix2Pix.
    for question, level in (("realistic", "ordinal"), ("category", "nominal")):
        units = [[row[n][question] for row in of for n in studies.NAMES] for of in (ANNA, BEN)]
        assert found["agreement"][question] == krippendorff_alpha(np.array(units), level)
    assert json.loads(json.dumps(found)) == found


def cells_of(text):
    """The cells of the Markdown table in a text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_text_of_a_table(tmp_path, yoo):
    paths = [studies.answers(yoo, tmp_path, *of) for of in (("anna", ANNA), ("ben", BEN))]
    text = table(score(paths, yoo["key"]))
    assert text.startswith("Yoo et al. 2016, Sec. 5.4, Table 3: mean score in [0, 1]")
    head, _, rf, mse, other, alpha = cells_of(text)
    assert head == ["method", "Real", "paper", "Att", "paper", "Cat", "paper"]
    assert rf[0] == "C+RF" and rf[1].startswith("0.88 [") and rf[2] == "0.40"
    assert mse[-2:] == ["1.00 [1.00, 1.00]", "0.60"]
    assert other[-1] == "-"  # not one of the paper's
    assert alpha[0] == "alpha" and alpha[2::2] == ["", "", ""]
    assert "2 raters, 2 photos, 36 answers" in text.splitlines()


def test_average_ranks(tmp_path, kwon):
    assert kwon["methods"] == list(studies.NAMES)
    given = {
        "anna": [ranks((1, 2, 3), (2, 1, 3)), ranks((1, 3, 2), (3, 1, 2))],
        "ben": [ranks((2, 1, 3), (2, 1, 3)), ranks((1, 2, 3), (1, 2, 3))],
    }
    paths = [studies.answers(kwon, tmp_path, rater, of) for rater, of in given.items()]
    found = score(paths, kwon["key"])
    means = {
        name: [value["mean"] for value in of.values()] for name, of in found["methods"].items()
    }
    assert means == {"C+RF": [5 / 4, 8 / 4], "C+MSE": [8 / 4, 5 / 4], "Pix2Pix": [11 / 4, 11 / 4]}
    assert found["published"] == {}
    text = table(found)
    assert "average rank, 1 is best" in text and "paper" not in text
    realism = [
        [of[n]["realism"] for of in photos for n in studies.NAMES] for photos in given.values()
    ]
    assert found["agreement"]["realism"] == krippendorff_alpha(np.array(realism), "ordinal")


def test_who_stopped_early_counts_as_far_as_they_came(tmp_path, yoo):
    partly = [{"C+RF": {"realistic": 0}, "C+MSE": {"realistic": 2, "attributes": 0}}, None]
    paths = [
        studies.answers(yoo, tmp_path, rater, given)
        for rater, given in (("anna", ANNA), ("ben", partly), ("carl", [None, None]))
    ]
    found = score(paths, yoo["key"])
    assert found["raters"] == ["anna", "ben"] and found["answers"] == 21
    assert found["left_out"] == {"files_without_an_answer": 1, "unfinished_rankings": 0}
    realistic = {name: of["realistic"] for name, of in found["methods"].items()}
    assert (realistic["C+RF"]["mean"], realistic["C+RF"]["answers"]) == (3 / 6, 3)
    assert (realistic["C+MSE"]["mean"], realistic["C+MSE"]["answers"]) == (2 / 6, 3)
    assert (realistic["Pix2Pix"]["mean"], realistic["Pix2Pix"]["answers"]) == (3 / 4, 2)
    assert found["methods"]["C+RF"]["category"]["answers"] == 2
    assert "files without an answer left out: 1" in table(found)


def test_an_unfinished_ranking_does_not_count(tmp_path, kwon):
    unfinished = {"C+RF": {"realism": 1, "similarity": 1}, "C+MSE": {"similarity": 2}}
    complete = unfinished | {"Pix2Pix": {"similarity": 3}}
    path = studies.answers(kwon, tmp_path, "anna", [unfinished, complete])
    found = score([path], kwon["key"])
    assert found["answers"] == 3
    assert found["methods"]["C+RF"]["realism"] == {
        "mean": None,
        "low": None,
        "high": None,
        "answers": 0,
    }
    assert found["methods"]["Pix2Pix"]["similarity"]["mean"] == 3
    assert found["left_out"]["unfinished_rankings"] == 3
    text = table(found)
    assert "unfinished rankings left out: 3" in text
    assert ["Pix2Pix", "-", "3.00"] in cells_of(text)


def test_one_rater_has_no_agreement(tmp_path, yoo):
    found = score([studies.answers(yoo, tmp_path, "anna", ANNA)], yoo["key"])
    assert found["agreement"] == scores_of(None, None, None)
    assert "One rater: agreement is not defined" in table(found)


# Confidence intervals


def rated(made, folder, values):
    """Files of raters who give the first method `values` (raters, photos), 0 or 1, as category."""
    return [
        studies.answers(
            made, folder, f"r{rater}", [{"C+RF": {"category": int(value)}} for value in row]
        )
        for rater, row in enumerate(values)
    ]


def interval(made, folder, values, **options):
    found = score(rated(made, folder, values), made["key"], **options)["methods"]["C+RF"]
    return found["category"]["low"], found["category"]["high"]


def test_the_interval_of_one_rater_is_that_of_a_binomial(tmp_path):
    # Resampled means of 40 photos, of which half have 1: binomial(40, 1/2) / 40.
    made = studies.write(tmp_path, "yoo2016", photos=40, names=studies.NAMES[:2])
    low, high = interval(made, tmp_path, [np.arange(40) % 2])
    assert (low, high) == pytest.approx((14 / 40, 26 / 40), abs=1 / 40)


def test_the_interval_is_over_raters_and_photos(tmp_path):
    made = studies.write(tmp_path, "yoo2016", photos=20, names=studies.NAMES[:2])
    # Raters disagree in everything: more photos do not narrow the interval.
    severe = np.repeat([[0], [1]] * 4, 20, axis=1)
    low, high = interval(made, tmp_path, severe)
    assert (low, high) == pytest.approx((1 / 8, 7 / 8), abs=1 / 8)
    # All agree, photos differ: neither do more raters.
    hard = np.repeat([np.arange(20) % 2], 8, axis=0)
    low, high = interval(made, tmp_path, hard)
    assert (low, high) == pytest.approx((0.3, 0.7), abs=0.05)


def test_the_interval_is_that_of_the_seed(tmp_path):
    made = studies.write(tmp_path, "yoo2016", photos=20, names=studies.NAMES[:2])
    values = np.random.default_rng(0).integers(0, 2, (3, 20))
    assert interval(made, tmp_path, values, seed=1) == interval(made, tmp_path, values, seed=1)


def test_one_answer_has_no_interval(tmp_path, yoo):
    assert interval(yoo, tmp_path, [[1]]) == (None, None)
