"""The page of a study in a real browser: what is typed is what is scored."""

import base64
import contextlib
import io
import itertools
import json
import pathlib
import random

import numpy as np
import pytest
from PIL import Image

from keras_pixdt.study import PROTOCOLS, score
from tests.browser import AXE, MARKS, NEEDS_PACKAGES, PHONE
from tests.study import studies

pytestmark = MARKS

NAMES = studies.NAMES
PROTOCOL_NAMES = list(PROTOCOLS)


@pytest.fixture(scope="module", params=PROTOCOL_NAMES)
def made(request, tmp_path_factory):
    return studies.write(tmp_path_factory.mktemp(request.param), request.param, photos=3)


@contextlib.contextmanager
def opened(browser, made, **options):
    """The page, watched until it is closed: it asks for nothing and breaks no policy."""
    url = pathlib.Path(made["page"]).as_uri()
    context = browser.new_context(**options)
    context.set_default_timeout(30_000)
    foreign, wrong = [], []
    context.on(
        "request",
        lambda request: (
            request.url.startswith((url, "data:image/png", "blob:")) or foreign.append(request.url)
        ),
    )
    context.on("console", lambda message: wrong.append(message.text))
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    page = context.new_page()
    try:
        page.goto(url)
        yield page
        assert not foreign and not wrong
    finally:
        context.close()


def start(page, rater="anna"):
    """From the introduction to the first photo, by keyboard."""
    page.keyboard.press("Tab")
    page.keyboard.type(rater)
    page.keyboard.press("Enter")


def shown(page):
    """The number of the photo on the page, and the names of the methods, as its pixels tell."""
    colors = []
    for image in page.locator("#rate img").all():
        encoded = image.get_attribute("src").removeprefix("data:image/png;base64,")
        colors.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))[0, 0])
    photo, *results = colors
    assert photo[0] == 250 and {int(color[1]) for color in colors} == {int(photo[1])}
    return int(photo[1]) // 10, [NAMES[color[0] // 30] for color in results]


def values_for(protocol, chosen):
    """Values to type for the three results of a photo: one list per result."""
    questions = PROTOCOLS[protocol].questions
    if questions[0].ranking:
        columns = [chosen.sample([1, 2, 3], 3) for _ in questions]
    else:
        columns = [[chosen.choice(q.values(3)) for _ in NAMES] for q in questions]
    return [list(row) for row in zip(*columns, strict=True)]


def rate(page, protocol, chosen):
    """Rates the photo on the page by keyboard; returns its number and what was typed."""
    photo, methods = shown(page)
    typed = values_for(protocol, chosen)
    for value in itertools.chain.from_iterable(typed):
        page.keyboard.press(str(value))
    names = [question.name for question in PROTOCOLS[protocol].questions]
    return photo, {
        method: dict(zip(names, row, strict=True))
        for method, row in zip(methods, typed, strict=True)
    }


def download(page, folder):
    """Presses what is focused, and keeps the file."""
    with page.expect_download() as started:
        page.keyboard.press("Enter")
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def ratings_of(path, made):
    """Photo -> method's name -> question -> value, of an answers file."""
    names = {letter: name for name, letter in studies.letters(made).items()}
    return {
        place["photo"]: {names[letter]: given for letter, given in place["ratings"].items()}
        for place in json.loads(path.read_text())["photos"]
    }


def progress(page):
    return page.locator("#progress").inner_text()


def checked(page):
    return page.evaluate("Array.from(document.querySelectorAll('input:checked'), (i) => i.value)")


def test_a_whole_rating_by_keyboard_is_scored_as_typed(browser, made, tmp_path):
    typed, chosen, orders = {}, random.Random(0), []
    with opened(browser, made) as page:
        start(page, "Anna B. / 7")
        for number in (1, 2, 3):
            assert progress(page) == f"Photo {number} of 3"
            photo, given = rate(page, made["protocol"], chosen)
            typed[photo] = given
            orders.append(list(given))
            page.keyboard.press("Enter")  # on "Next", where the last answer went
        assert page.locator("#rated").inner_text() == "You rated 3 of 3 photos."
        path = download(page, tmp_path)
        assert path.name in page.locator("#saved").inner_text()
    assert path.name == "answers-Anna-B-7.json"
    assert sorted(typed) == [0, 1, 2] and ratings_of(path, made) == typed

    found = score([path], made["key"])
    assert found["raters"] == ["Anna B. / 7"]
    for question in PROTOCOLS[made["protocol"]].questions:
        highest = 1 if question.ranking else len(question.labels) - 1
        for name in NAMES:
            mean = np.mean([typed[photo][name][question.name] / highest for photo in typed])
            assert found["methods"][name][question.name]["mean"] == pytest.approx(mean)
    content = json.loads(path.read_text())
    letters = studies.letters(made)
    assert [place["photo"] for place in content["photos"]] == list(typed)
    assert [place["shown"] for place in content["photos"]] == [
        [letters[name] for name in order] for order in orders
    ]


def test_a_reload_in_the_middle_goes_on(browser, made, tmp_path):
    chosen, typed = random.Random(1), {}
    with opened(browser, made) as page:
        start(page)
        photo, typed[photo] = rate(page, made["protocol"], chosen)
        page.keyboard.press("Enter")
        before = shown(page)
        page.keyboard.press("1")
        page.reload()
        assert progress(page) == "Photo 2 of 3"
        assert shown(page) == before and checked(page) == ["1"]
        # The first question without an answer has the focus.
        assert page.evaluate("document.activeElement.name").endswith("0")
        page.keyboard.press("Shift+Tab")
        photo, typed[photo] = rate(page, made["protocol"], chosen)
        page.keyboard.press("Enter")
        photo, typed[photo] = rate(page, made["protocol"], chosen)
        page.keyboard.press("Enter")
        path = download(page, tmp_path)
        page.reload()
        assert page.locator("#rated").inner_text() == "You rated 3 of 3 photos."
    assert ratings_of(path, made) == typed


def test_stops_early_and_goes_back(browser, made, tmp_path):
    with opened(browser, made) as page:
        start(page, "")
        _, first = rate(page, made["protocol"], random.Random(2))
        page.keyboard.press("Enter")
        page.keyboard.press("1")
        page.get_by_role("button", name="Stop here").focus()
        page.keyboard.press("Enter")
        assert page.locator("#rated").inner_text() == "You rated 1 of 3 photos."
        path = download(page, tmp_path)
        found = score([path], made["key"])
        assert found["raters"][0].startswith("rater-")
        # A rank alone does not count, an answer does.
        ranked = made["protocol"] == "kwon2019"
        assert found["answers"] == sum(map(len, first.values())) + (not ranked)
        assert found["left_out"]["unfinished_rankings"] == int(ranked)

        page.get_by_role("button", name="Back to the photos").press("Enter")
        assert progress(page) == "Photo 2 of 3" and checked(page) == ["1"]
        page.get_by_role("button", name="Back").press("Enter")
        assert progress(page) == "Photo 1 of 3"
        assert shown(page)[1] == list(first)
        values = [str(value) for given in first.values() for value in given.values()]
        assert checked(page) == values
        page.get_by_role("button", name="Back").press("Enter")
        page.get_by_role("button", name="Start").wait_for()


def test_asks_for_what_is_missing(browser, made):
    with opened(browser, made) as page:
        start(page)
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        alert = page.get_by_role("alert").inner_text()
        second = PROTOCOLS[made["protocol"]].questions[1]
        assert alert == f"Result 1 has no answer yet: {second.text}"
        assert progress(page) == "Photo 1 of 3"
        assert page.evaluate("document.activeElement.name") == f"{second.name}0"
        page.keyboard.press("7")  # no answer
        assert checked(page) == ["1"]
        page.keyboard.press("ArrowDown")  # from the first answer to the second
        assert len(checked(page)) == 2 and page.get_by_role("alert").inner_text() == ""


@pytest.mark.parametrize("made", ["kwon2019"], indirect=True)
def test_ranks_have_no_ties(browser, made, tmp_path):
    def realism():
        names = [f"realism{position}" for position in range(3)]
        values = {name: page.locator(f"input[name={name}]:checked") for name in names}
        return [int(v.get_attribute("value")) if v.count() else None for v in values.values()]

    def give(position, rank):
        page.locator(f"input[name=realism{position}]").first.focus()
        page.keyboard.press(str(rank))

    with opened(browser, made) as page:
        start(page)
        give(0, 1)
        give(1, 1)
        assert realism() == [None, 1, None]
        assert page.locator("#changed").inner_text() == "Result 1 now has no rank."
        give(0, 2)
        give(2, 3)
        assert realism() == [2, 1, 3] and page.locator("#changed").inner_text() == ""
        give(2, 1)
        assert realism() == [2, 3, 1]
        assert page.locator("#changed").inner_text() == "Result 2 now has rank 3."
        assert page.locator("input[name^=similarity]:checked").count() == 0


def test_each_rater_sees_another_order(browser, made):
    orders = set()
    with opened(browser, made) as page:
        start(page)
        for _ in range(6):
            stored = page.evaluate("Object.values(localStorage)[0]")
            photos = json.loads(stored)["photos"]
            orders.add(json.dumps([[place["photo"], place["shown"]] for place in photos]))
            page.get_by_role("button", name="Stop here").press("Enter")
            with page.expect_download():
                page.keyboard.press("Enter")
            page.get_by_role("button", name="Start as another rater").press("Enter")
            assert page.get_by_label("Your name").input_value() == ""
            page.get_by_role("button", name="Start").press("Enter")
    assert len(orders) > 3


def test_says_that_a_browser_keeps_nothing(browser, made):
    with opened(browser, made) as page:
        page.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full'); }; }")
        assert page.get_by_text("This browser keeps nothing").is_hidden()
        start(page)
        assert page.get_by_text("This browser keeps nothing").is_visible()
        assert progress(page) == "Photo 1 of 3"


def test_what_is_focused_is_seen_and_told(browser, made):
    questions = PROTOCOLS[made["protocol"]].questions
    with opened(browser, made) as page:
        start(page)
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        for _ in range(3 * len(questions) + 3):
            assert page.evaluate(outline) == "solid"
            page.keyboard.press("Tab")
        for position, question in itertools.product((1, 2, 3), questions):
            group = page.get_by_role("group", name=f"Result {position}: {question.text}")
            assert group.get_by_role("radio").count() == len(question.values(3))
        assert page.get_by_role("img", name="Result 1").count() == 1
        assert page.get_by_role("status").first.inner_text() == "Photo 1 of 3"
        text = page.locator("body").inner_text()
        assert not [name for name in NAMES if name in text]


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_fits_the_screen(browser, made, width):
    options = {**PHONE, "viewport": {"width": width, "height": 844}}
    with opened(browser, made, **options) as page:
        for step in range(3):
            assert page.evaluate("document.documentElement.scrollWidth") == width
            for box in [
                b.bounding_box() for b in page.locator("button:visible, label:visible").all()
            ]:
                assert box["x"] >= 0 and box["x"] + box["width"] <= width
                assert box["height"] >= 44 or step == 0
            images = page.locator("#results img:visible").all()
            assert all(image.bounding_box()["width"] >= 250 for image in images)
            name = ("Start", "Stop here", "Download your answers")[step]
            page.get_by_role("button", name=name).press("Enter")
        smooth = page.evaluate(
            "getComputedStyle(document.querySelector('#results img')).imageRendering"
        )
        assert smooth == "pixelated"


@NEEDS_PACKAGES
def test_axe_finds_nothing(browser, made):
    # The tool is put into the page, which the policy forbids.
    with opened(browser, made, bypass_csp=True, **PHONE) as page:
        page.evaluate(AXE.read_text("utf-8"))
        for name in ("Start", "Next", "Stop here", "Download your answers", None):
            found = page.evaluate("axe.run()")
            assert [(rule["id"], rule["nodes"]) for rule in found["violations"]] == []
            if name is not None:
                page.get_by_role("button", name=name).press("Enter")
