import base64
import hashlib
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from keras_pixdt.study import PROTOCOLS, write_study
from tests.report_test import Page
from tests.study import studies

PHOTOS = studies.images(2, 250)
RESULTS = {name: studies.images(2, 30 * i) for i, name in enumerate(studies.NAMES)}

# What is refused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"protocol": "yoo"}, "`protocol` must be one of yoo2016, kwon2019. Received: 'yoo'"),
        ({"results": {"C+RF": PHOTOS}}, r"2 to 9 methods. Received 1: \['C\+RF'\]"),
        ({"results": dict.fromkeys(map(str, range(10)), PHOTOS)}, "2 to 9 methods. Received 10"),
        ({"results": {"C+RF": PHOTOS, " ": PHOTOS}}, "needs a name. Received: ' '"),
        ({"results": {"a": PHOTOS, "b": PHOTOS[:1]}}, "'b' must have .* the 2 photos.*ceived: 1"),
        ({"results": {"a": PHOTOS, "b": PHOTOS / 1}}, "'b' must be uint8 .*Received: float64"),
        ({"results": {"a": PHOTOS, "b": PHOTOS[0]}}, r"'b' must be .* shape \(8, 8, 3\)"),
        ({"photos": PHOTOS[:0]}, "'photos' must have an image"),
    ],
)
def test_refuses_what_is_no_study(tmp_path, given, message):
    arguments = {"protocol": "yoo2016", "photos": PHOTOS, "results": RESULTS} | given
    with pytest.raises(ValueError, match=message):
        write_study(**arguments, out=tmp_path / "study.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", ["study.html", "study.key.json"])
def test_does_not_replace_a_study(tmp_path, there):
    (tmp_path / there).write_text("of answers")
    with pytest.raises(FileExistsError, match=f"{there} is there already"):
        studies.write(tmp_path, "yoo2016")
    assert [path.name for path in tmp_path.iterdir()] == [there]


# The page


def script_of(text, start):
    return re.search(re.escape(start) + "(.*?)</script>", text, re.S).group(1)


def content_of(text):
    return json.loads(script_of(text, '<script type="application/json" id="study">'))


def pixels(picture):
    encoded = picture["source"].removeprefix("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))


def test_is_one_file_with_the_images_inside(tmp_path):
    made = studies.write(tmp_path, "yoo2016")
    text = (tmp_path / "study.html").read_text("utf-8")
    Page(re.sub(r"<(input|progress)[^>]*>|</progress>", "", text))  # what is opened is closed
    assert not re.search(r"https?:|\burl\(|@import|\bon[a-z]+=", text)
    content = content_of(text)
    letters = studies.letters(made)
    for row, shown in enumerate(content["photos"]):
        assert (pixels(shown["photo"]) == PHOTOS[row]).all()
        for name, images in RESULTS.items():
            assert (pixels(shown["results"][letters[name]]) == images[row]).all()


def test_only_its_own_script_and_style_may_run(tmp_path):
    studies.write(tmp_path, "yoo2016")
    text = (tmp_path / "study.html").read_text("utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', text).group(1)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    style = re.search("<style>(.*?)</style>", text, re.S).group(1)

    def hashed(inline):
        digest = hashlib.sha256(inline.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "script-src": hashed(script_of(text, "<script>")),
        "style-src": hashed(style),
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_names_are_in_the_key_only(tmp_path):
    made = studies.write(tmp_path, "kwon2019", origin={"split": "test"}, seed=3)
    text = (tmp_path / "study.html").read_text("utf-8")
    assert not [name for name in studies.NAMES if name in text]
    key = json.loads((tmp_path / "study.key.json").read_text())
    assert sorted(key["methods"]) == ["a", "b", "c"]
    assert list(key["methods"].values()) == list(studies.NAMES)
    assert key == {
        "study": content_of(text)["study"],
        "protocol": "kwon2019",
        "photos": 2,
        "methods": key["methods"],
        "seed": 3,
        "origin": {"split": "test"},
    }
    assert made == {
        "study": key["study"],
        "protocol": "kwon2019",
        "photos": 2,
        "methods": list(studies.NAMES),
        "page": str(tmp_path / "study.html"),
        "key": str(tmp_path / "study.key.json"),
    }
    # Neither does the order in the page tell that of the names.
    assert list(content_of(text)["photos"][0]["results"]) == ["a", "b", "c"]


def test_letters_are_shuffled_by_the_seed(tmp_path):
    drawn = set()
    for seed in range(8):
        (tmp_path / str(seed)).mkdir()
        made = studies.write(tmp_path / str(seed), "yoo2016", seed=seed)
        drawn.add(tuple(studies.letters(made).values()))
        if seed == 0:
            (tmp_path / "again").mkdir()
            again = studies.write(tmp_path / "again", "yoo2016", seed=seed)
            assert again["study"] == made["study"]
            assert studies.letters(again) == studies.letters(made)
    assert len(drawn) > 2


def test_the_id_is_that_of_images_and_protocol(tmp_path):
    ids = set()
    changed = PHOTOS.copy()
    changed[1, 2, 3, 0] += 1
    for i, (protocol, photos) in enumerate(
        [("yoo2016", PHOTOS), ("kwon2019", PHOTOS), ("yoo2016", changed)]
    ):
        ids.add(write_study(protocol, photos, RESULTS, tmp_path / f"{i}.html")["study"])
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("sizes", "zoom"), [((8, 8), 32), ((64, 64), 4), ((64, 256), 1), ((96, 64), 2), ((300, 64), 1)]
)
def test_all_images_are_enlarged_by_the_same_whole_factor(tmp_path, sizes, zoom):
    results = {f"of {size}": np.zeros((1, size, size, 3), np.uint8) for size in sizes}
    results["other"] = np.zeros((1, 8, 8, 3), np.uint8)
    photos = np.zeros((1, max(sizes), max(sizes), 3), np.uint8)
    write_study("kwon2019", photos, results, tmp_path / "study.html")
    content = content_of((tmp_path / "study.html").read_text("utf-8"))
    assert content["zoom"] == zoom
    widths = {result["width"] for result in content["photos"][0]["results"].values()}
    assert widths == {*sizes, 8}


def test_asks_what_the_papers_asked(tmp_path):
    for protocol, expected in (
        ("yoo2016", {"realistic": [0, 1, 2], "attributes": [0, 1, 2], "category": [0, 1]}),
        ("kwon2019", {"realism": [1, 2, 3], "similarity": [1, 2, 3]}),
    ):
        (tmp_path / protocol).mkdir()
        studies.write(tmp_path / protocol, protocol)
        content = content_of((tmp_path / protocol / "study.html").read_text("utf-8"))
        questions = content["questions"]
        assert {question["name"]: question["values"] for question in questions} == expected
        assert all(len(q["labels"]) == len(q["values"]) for q in questions)
        assert {q["ranking"] for q in questions} == {protocol == "kwon2019"}
    assert (PROTOCOLS["yoo2016"].photos, PROTOCOLS["kwon2019"].photos) == (100, 70)
