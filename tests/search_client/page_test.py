"""The search client in a real browser: what it computes, how it is used, what it does not do."""

import base64
import contextlib
import io
import json
import re
import shutil
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

import export
from keras_pixdt import serve
from keras_pixdt.choices import RESIZES, as_height_width
from keras_pixdt.data.images import letterbox, read_image, resize
from keras_pixdt.search import ProductIndex
from tests.browser import AXE, MARKS, NEEDS_PACKAGES, PHONE, in_page
from tests.profiles import encoded
from tests.search.catalogues import index_of, random_vectors, unit
from tests.search_client import samples

pytestmark = [*MARKS, NEEDS_PACKAGES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    samples.write(folder)
    return folder


@contextlib.contextmanager
def serving(index, model, **given):
    with pytest.MonkeyPatch.context() as patch:
        # Closing it waits until its connections have ended: as if its process had.
        patch.setattr(serve.Server, "daemon_threads", False)
        patch.setattr(serve._Handler, "timeout", 0.5)
        with serve.make_server(index, model, **{"port": 0, **given}) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()


@pytest.fixture(scope="module")
def server(folder):
    given = [folder / "products.index", folder / "float32.tflite"]
    with serving(*given, example=folder / "photo.jpg") as server:
        yield server


class Watch:
    """What the pages of a context did that they should not."""

    def __init__(self, context, url):
        self.foreign, self.wrong = [], []
        context.on("request", lambda request: self.look(request.url, url))
        context.on("console", lambda message: self.read(message.text))
        context.on("weberror", lambda error: self.wrong.append(str(error.error)))
        # The console has them as well, but not of workers.
        context.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => "
            "console.warn('Content Security Policy', event.violatedDirective))"
        )

    def look(self, requested, url):
        if not requested.startswith((url, f"blob:{url}")):
            self.foreign.append(requested)

    def read(self, text):
        if "Content Security Policy" in text or "Uncaught" in text:
            self.wrong.append(text)


@contextlib.contextmanager
def opened(browser, url, **options):
    """The page, ready, and watched until it is closed."""
    context = browser.new_context(**options)
    context.set_default_timeout(60_000)
    watch = Watch(context, url)
    page = context.new_page()
    try:
        page.goto(url)
        wait_until_kept(page)
        yield page
        assert not watch.foreign and not watch.wrong
    finally:
        context.close()


def wait_until_kept(page):
    page.locator("#about", has_text="works without a network").wait_for()


@pytest.fixture(scope="module")
def page(browser, server):
    """One page for all tests that only use it; it lasts, as that of a user does."""
    with opened(browser, server.url) as page:
        yield page


def give(page, content, name="photo", mime=""):
    """Drops a file on the page, and waits for what it says; returns status and error."""
    in_page(
        page,
        """
        const [bytes, name, type] = args;
        for (const id of ["status", "error"]) document.getElementById(id).textContent = "";
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], name, { type }));
        const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
        document.getElementById("drop").dispatchEvent(event);
        """,
        content,
        name,
        mime,
    )
    return answer(page)


def answer(page):
    done = page.locator("#status", has_text="nearest of")
    done.or_(page.locator("#error:not(:empty)")).first.wait_for()
    return page.locator("#status").inner_text(), page.locator("#error").inner_text()


def results(page):
    """[(id, score)] as the page shows them."""
    items = page.locator("#results li").all_inner_texts()
    found = [re.fullmatch(r"(\S+)\s+Score (\S+)", text).groups() for text in items]
    return [(product, float(score)) for product, score in found]


def shown(page):
    """The product image that the page shows, of numbers."""
    size, pixels = in_page(
        page,
        """
        const canvas = document.getElementById("product");
        const { width, height } = canvas;
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        return [[height, width], Array.from(data)];
        """,
    )
    return np.reshape(pixels, (*size, 4))[..., :3].astype(float)


def runner(path, signature):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    run = interpreter.get_signature_runner(signature)
    return lambda image: run(image=image[None]).popitem()[1][0]


# What it computes is what Python computes


RUN = """
    const { Model } = await import("/model.js");
    const [file, image, signature] = args;
    window.models ??= {};
    const model = (window.models[file.length] ??= await Model.load(file));
    return Array.from(await model.run(signature, image));
"""


@pytest.mark.parametrize(
    ("variant", "signature", "tolerance"),
    [
        ("int8", "convert", 0),
        ("float32", "levels", 1e-4),
        ("float32", "convert", 1),  # where a level is at a half, to 1e-4
        ("float32", "embed", 1e-6),
        ("dynamic", "convert", 2),
        ("dynamic", "embed", 0.02),
    ],
)
def test_model_gives_what_python_gives(page, folder, variant, signature, tolerance):
    path = folder / f"{variant}.tflite"
    run = runner(path, signature)
    photo = letterbox(read_image(folder / "photo.jpg"), samples.IMAGE_SIZE)
    for image in [photo, *samples.noise_images(3)]:
        expected = run(image)
        found = in_page(page, RUN, path.read_bytes(), image.tobytes(), signature)
        difference = np.abs(np.reshape(found, expected.shape) - expected.astype(float))
        assert difference.max() <= tolerance
        if (variant, signature) == ("float32", "convert"):
            levels = runner(path, "levels")(image)
            tie = np.abs(levels % 1 - 0.5) < 1e-4
            assert not difference[~tie].any()


@pytest.mark.parametrize("how", RESIZES)
@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (300, 400, 64), (400, 300, 64), (1, 1, 64), (64, 64, 64), (11, 1000, 64), (33, 20, 128),
        (300, 400, (64, 48)), (768, 1024, (64, 48)), (50, 77, (64, 48)), (77, 50, (24, 32)),
    ],
)  # fmt: skip
def test_resize_is_that_of_python(page, width, height, size, how):
    image = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    rgba = np.concatenate([image, np.full((height, width, 1), 255, np.uint8)], axis=2)
    found = in_page(
        page,
        """
        const { resize } = await import("/image.js");
        const [data, width, height, size, how] = args;
        return btoa(String.fromCharCode(...resize({ data, width, height }, size, how)));
        """,
        rgba.tobytes(),
        width,
        height,
        as_height_width(size),
        how,
    )
    assert base64.b64decode(found) == resize(image, size, how).tobytes()


SEARCH = """
    const { ProductIndex } = await import("/index.js");
    const [file, query, k] = args;
    try {
        const index = new ProductIndex(file.buffer);
        return index.search(Float32Array.from(query), k).map(
            ({ row, score }) => [index.id(row), score]);
    } catch (error) { return `${error.constructor.name}: ${error.message}`; }
"""


@pytest.mark.parametrize(("dimensions", "k"), [(64, 10), (7, 3), (3, 1000)])
def test_search_is_that_of_python(page, tmp_path, dimensions, k):
    vectors = random_vectors(400, dimensions)
    vectors[300:350] = vectors[100:150]  # equal scores, of which the earlier row comes first
    ids = [f"höher/{row}.jpg" for row in range(400)]
    index_of(vectors, ids).save(tmp_path / "random.index")
    content = (tmp_path / "random.index").read_bytes()
    index = ProductIndex.open(tmp_path / "random.index")
    for query in unit(random_vectors(3, dimensions, seed=1) + vectors[:3]):
        found = in_page(page, SEARCH, content, query.tolist(), k)
        ids, scores = index.search(query, k)
        assert [product for product, _ in found] == ids
        assert np.array_equal(np.float32([score for _, score in found]), scores)


def header_of(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(header, rest):
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    return len(text).to_bytes(8, "little") + text + rest


def test_index_that_is_none_is_refused(page, folder, tmp_path):
    index_of(random_vectors(5, 4)).save(tmp_path / "small.index")
    content = (tmp_path / "small.index").read_bytes()
    query = [1.0, 0.0, 0.0, 0.0]

    def refusal(content, query=query):
        return in_page(page, SEARCH, content, query, 1)

    assert refusal(b"text") == refusal(b"a text file\n" * 9)
    assert refusal(b"text").startswith("IndexError: The file is no product index")
    assert "its header is not JSON" in refusal((4).to_bytes(8, "little") + b"text")
    assert "is truncated, or damaged" in refusal(content[:-20])
    header, rest = header_of(content)
    header["__metadata__"]["version"] = "2"
    assert "of version 1, and is of version 2" in refusal(with_header(header, rest))
    header["__metadata__"] |= {"version": "1", "dimensions": "5"}
    assert '"vectors" does not fit' in refusal(with_header(header, rest))
    header["__metadata__"] = {"format": "pt"}
    assert "its format is pt" in refusal(with_header(header, rest))
    start = header["vectors"]["data_offsets"][0]
    nan = np.float32([np.nan]).tobytes()
    damaged = content[: -len(rest)] + rest[:start] + nan + rest[start + 4 :]
    assert "damaged vectors" in refusal(damaged)
    assert "A query must be 4 numbers of length 1" in refusal(content, [1.0, 1.0, 0.0, 0.0])
    assert "do not fit" in refusal(content, [1.0, 0.0])


def test_model_that_is_none_is_refused(page):
    found = in_page(
        page,
        """
        const { Model } = await import("/model.js");
        try { await Model.load(args[0]); }
        catch (error) { return `${error.constructor.name}: ${error.message}`; }
        """,
        b"a text file\n" * 100,
    )
    assert found.startswith("ModelError: The model cannot be loaded")


def test_photo_is_resized_as_the_model_says(browser, folder, tmp_path):
    model = tmp_path / "model.tflite"
    shutil.copy(folder / "float32.tflite", model)
    with zipfile.ZipFile(model, "a") as archive:
        archive.writestr("keras_pixdt.json", json.dumps({"resize": "stretch"}))
    index = folder / "products.index"
    with serving(index, model) as server, opened(browser, server.url) as page:
        content = encoded(read_image(folder / "photo.jpg"))
        assert give(page, content)[1] == ""
        found = results(page)
    image = resize(read_image(content), samples.IMAGE_SIZE, "stretch")
    vector = runner(model, "embed")(runner(model, "convert")(image))
    ids, scores = ProductIndex.open(index).search(vector, 10)
    assert [product for product, _ in found] == ids
    assert np.abs([score for _, score in found] - scores).max() < 2e-3


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 90, "exif": "turned"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_photo_finds_what_python_finds(page, folder, form, options):
    photo = read_image(folder / "photo.jpg")
    if options.get("exif"):
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees
        options = {**options, "exif": exif}
    content = encoded(photo, form, **options)
    status, error = give(page, content, "photo.bin")
    image = letterbox(read_image(content), samples.IMAGE_SIZE)
    product = runner(folder / "float32.tflite", "convert")(image)
    vector = runner(folder / "float32.tflite", "embed")(product)
    ids, scores = ProductIndex.open(folder / "products.index").search(vector, 10)
    assert error == "" and status.startswith("The 10 nearest of 24 products.")
    assert [product for product, _ in results(page)] == ids
    assert np.abs([score for _, score in results(page)] - scores).max() < 2e-3
    for name in ("convert-ms", "embed-ms", "search-ms"):
        assert re.fullmatch(r"\d+\.\d ms", page.locator(f"#{name}").inner_text())
    assert np.abs(shown(page) - product).max() <= 1 + (form == "JPEG")


@pytest.fixture(scope="module", params=[16, (16, 12)])
def flow_folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flow")
    samples.write_flow(folder, request.param)
    return folder


@pytest.mark.parametrize(("width", "height"), [(900, 1200), (300, 200)])
@pytest.mark.parametrize("variant", ["float32", "dynamic"])
def test_product_image_is_drawn_from_the_photos_own_pixels(
    browser, flow_folder, variant, width, height, tmp_path
):
    index, model = flow_folder / "products.index", flow_folder / f"{variant}.tflite"
    samples.write_photo(tmp_path / "photo.png", width=width, height=height)
    content = (tmp_path / "photo.png").read_bytes()
    with serving(index, model) as server, opened(browser, server.url) as page:
        assert give(page, content)[1] == ""
        page.wait_for_function("document.getElementById('product').height === 512")
        drawn, found = shown(page), results(page)
    convert, photo = export.load_tflite(model), read_image(content)
    expected = convert.draw_at(photo, 512)
    assert expected.std() > 15 and drawn.shape == expected.shape
    assert np.abs(drawn - expected).max() <= 2
    # The search itself is by the drawing of the usual size.
    vector = convert.embed(convert(letterbox(photo, convert.image_size)))
    ids, scores = ProductIndex.open(index).search(vector, 10)
    assert [product for product, _ in found] == ids
    assert np.abs([score for _, score in found] - scores).max() < 2e-3


@pytest.mark.parametrize(
    ("full", "size"),
    [
        ((128, 128), (32, 32)), ((100, 100), (64, 64)), ((64, 64), (64, 64)), ((70, 70), (64, 64)),
        ((256, 192), (64, 48)), ((60, 90), (32, 48)),
    ],
)  # fmt: skip
def test_photos_are_reduced_as_by_python(page, full, size):
    photo = np.random.default_rng(full).integers(0, 256, (*full, 3), np.uint8)
    found = in_page(
        page,
        """
        const { reduce } = await import("/image.js");
        const [data, full, size] = args;
        return btoa(String.fromCharCode(...reduce(data, full, size)));
        """,
        photo.tobytes(),
        full,
        size,
    )
    reduced = Image.fromarray(photo).resize(size[::-1], Image.Resampling.BILINEAR)
    assert base64.b64decode(found) == np.asarray(reduced).tobytes()


# Photos that are none


def large(side, form):
    """A file that says to hold side x side pixels, made in next to no time.

    The PNG file does, of one bit each; the JPEG file has another size written over its own.
    """
    if form == "PNG":
        return encoded(np.zeros((side, side), bool))
    content = encoded(np.full((8, 8, 3), 255, np.uint8), form)
    at = content.index(b"\xff\xc0") + 5  # SOF0: marker, length and precision, then the size
    return content[:at] + 2 * side.to_bytes(2, "big") + content[at + 4 :]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.jpg", b"a text file\n" * 100, "notes.jpg is not a photo that this browser can"),
        ("empty.jpg", b"", "empty.jpg is empty."),
        ("half.jpg", "JPEG", "half.jpg cannot be decoded: it is damaged or incomplete."),
        ("half.png", "PNG", "half.png cannot be decoded: it is damaged or incomplete."),
        ("wall.png", (20_000, "PNG"), "wall.png is too large: 20000 × 20000 pixels."),
        ("wall.jpg", (20_000, "JPEG"), "wall.jpg is too large: 20000 × 20000 pixels."),
    ],
)
def test_says_why_a_photo_cannot_be_used_and_goes_on(page, folder, name, content, message):
    photo = read_image(folder / "photo.jpg")
    if isinstance(content, str):
        whole = encoded(photo, content)
        content = whole[: len(whole) // 2]
    elif isinstance(content, tuple):
        content = large(*content)
    status, error = give(page, content, name)
    assert (status, error[: len(message)]) == ("", message)
    assert page.get_by_role("alert").inner_text() == error
    status, error = give(page, encoded(photo))
    assert (status[:15], error) == ("The 10 nearest ", "")


def test_takes_an_animation_and_a_single_pixel(page):
    frames = [Image.new("RGB", (30, 40), color) for color in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=10)
    assert give(page, file.getvalue())[1] == ""
    of_animation = results(page)
    assert give(page, encoded(np.array(frames[0])))[1] == ""
    assert results(page) == of_animation
    assert give(page, encoded(np.uint8([[[255, 0, 0]]])))[1] == ""
    assert len(results(page)) == 10


# How it is used


def test_keyboard_alone_is_enough(page, folder):
    # Playwright takes the dialog over a moment after someone listens, which may be too late below.
    page.on("filechooser", lambda chooser: None)
    page.evaluate("document.activeElement.blur()")
    order = []
    for _ in range(2):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id"))
        outline = """() => {
            const focused = document.activeElement;
            const seen = focused.matches("input") ? focused.nextElementSibling : focused;
            return getComputedStyle(seen).outlineStyle;
        }"""
        assert page.evaluate(outline) == "solid"
    assert order == ["choose", "example"]
    page.evaluate("document.getElementById('status').textContent = ''")
    page.keyboard.press("Enter")  # "Try an example"
    assert answer(page)[0].startswith("The 10 nearest of 24")
    page.keyboard.press("Shift+Tab")
    page.evaluate("document.getElementById('status').textContent = ''")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(folder / "photo.jpg")
    assert answer(page)[0].startswith("The 10 nearest of 24")


def test_a_photo_can_be_pasted(page, folder):
    in_page(
        page,
        """
        for (const id of ["status", "error"]) document.getElementById(id).textContent = "";
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File([args[0]], "image.png", { type: "image/png" }));
        document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        """,
        encoded(read_image(folder / "photo.jpg")),
    )
    assert answer(page)[0].startswith("The 10 nearest of 24")


def test_says_what_it_shows(page, folder):
    give(page, (folder / "photo.jpg").read_bytes())
    (first, score), *_ = results(page)
    assert page.get_by_role("status").inner_text().endswith(f"First: {first}, score {score:.3f}.")
    assert page.get_by_role("heading", level=1).count() == 1
    items = page.get_by_role("list").last.get_by_role("listitem")
    assert items.count() == 10
    assert items.first.get_by_role("img", name=f"Product {first}").count() == 1
    assert page.get_by_role("img", name="Your photo").count() == 1
    assert page.get_by_role("img", name="drawn as a product image").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, server, folder, scheme):
    with opened(browser, server.url, color_scheme=scheme, **PHONE) as page:
        page.evaluate(AXE.read_text("utf-8"))
        for content in (None, b"a text file", (folder / "photo.jpg").read_bytes()):
            if content is not None:
                give(page, content)
            found = page.evaluate("axe.run()")
            assert [(rule["id"], rule["nodes"]) for rule in found["violations"]] == []
            assert len(found["passes"]) > 15


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_fits_the_screen(browser, server, folder, width):
    options = {**PHONE, "viewport": {"width": width, "height": 844}}
    with opened(browser, server.url, **options) as page:
        give(page, (folder / "photo.jpg").read_bytes())
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for box in [button.bounding_box() for button in page.locator(".button:visible").all()]:
            assert box["height"] >= 44 and box["x"] >= 0 and box["x"] + box["width"] <= width
        images = page.locator("#results img").all()
        assert min(image.bounding_box()["width"] for image in images) >= 72


def test_runs_threads_where_it_may(page):
    assert page.evaluate("crossOriginIsolated")
    threads = min(4, page.evaluate("navigator.hardwareConcurrency"))
    expected = f"{threads} threads" if threads > 1 else "one thread"
    assert expected in page.locator("#about").inner_text()


def test_works_without_a_network_and_notices_a_new_index(browser, folder, tmp_path):
    model, photo = folder / "dynamic.tflite", (folder / "photo.jpg").read_bytes()
    with contextlib.ExitStack() as stack:
        with serving(folder / "products.index", model) as server:
            port = server.server_port
            page = stack.enter_context(opened(browser, server.url))
        # The server is gone, and so is the network.
        page.context.set_offline(True)
        page.reload()
        wait_until_kept(page)
        assert give(page, photo)[0].startswith("The 10 nearest of 24 products.")
        before = results(page)

        smaller = ProductIndex.open(folder / "products.index")
        smaller.remove([f"p{number}.jpg" for number in range(12)])
        smaller.save(tmp_path / "products.index")
        page.context.set_offline(False)
        with serving(tmp_path / "products.index", model, port=port):
            page.reload()
            wait_until_kept(page)
            assert "12 products" in page.locator("#about").inner_text()
        page.context.set_offline(True)
        page.reload()
        wait_until_kept(page)
        assert give(page, photo)[0].startswith("The 10 nearest of 12 products.")
        assert results(page) != before
        kept = page.evaluate(
            "caches.open('keras_pixdt.search_client').then((cache) => cache.keys())"
            ".then((keys) => keys.map(({ url }) => url))"
        )
        assert sum("products.index" in url for url in kept) == 1  # the old one is gone
        page.context.set_offline(False)


def test_says_when_a_file_cannot_be_had(browser, folder, tmp_path):
    index = tmp_path / "products.index"
    shutil.copy(folder / "products.index", index)
    with serving(index, folder / "dynamic.tflite") as server:
        index.write_bytes(b"")
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        page.locator("#error:not(:empty)").wait_for(timeout=60_000)
        assert "has changed. Start `pixdt serve` again." in page.locator("#error").inner_text()
        assert page.locator("#progress").is_hidden()
        context.close()
