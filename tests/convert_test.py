import numpy as np
import pytest
from PIL import Image

from keras_pixdt import convert, data

SIZE = 16


def negative(images):
    """Stands for a converter, and checks what it gets."""
    assert images.dtype == np.uint8 and images.shape[1:] == (SIZE, SIZE, 3)
    return 255 - images


def write_photo(path, color, size=(SIZE, SIZE)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


def read(path):
    return np.array(Image.open(path))


def test_single_file_of_any_size_is_letterboxed_and_converted(tmp_path):
    photo = write_photo(tmp_path / "a.bmp", (10, 20, 30), size=(40, 20))
    result = convert.convert_photos(negative, [photo], tmp_path / "new" / "out", SIZE)
    assert result.written == {photo: tmp_path / "new" / "out" / "a.png"}
    assert not result.failed
    expected = np.zeros((SIZE, SIZE, 3), np.uint8)  # the white bars above and below, negated
    expected[4:12] = (245, 235, 225)
    np.testing.assert_array_equal(read(tmp_path / "new" / "out" / "a.png"), expected)


def test_folder_takes_subfolders_and_leaves_out_what_is_no_image(tmp_path):
    folder = tmp_path / "photos"
    first = write_photo(folder / "a.png", (1, 1, 1))
    second = write_photo(folder / "deep" / "er" / "b.JPG", (2, 2, 2))
    (folder / "notes.txt").write_text("no image")
    (folder / "._a.png").write_bytes(b"macOS writes these")
    (folder / "folder.png").mkdir()
    result = convert.convert_photos(negative, [folder], tmp_path / "out", SIZE)
    assert list(result.written) == [first, second]
    assert not result.failed
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a.png", "b.png"}


def test_file_named_by_the_user_is_read_whatever_its_ending(tmp_path):
    photo = tmp_path / "upload"
    Image.new("RGB", (SIZE, SIZE), (9, 9, 9)).save(photo, format="PNG")
    result = convert.convert_photos(negative, [photo], tmp_path / "out", SIZE)
    assert [p.name for p in result.written.values()] == ["upload.png"]


def test_photos_of_one_stem_get_files_of_their_own(tmp_path):
    photos = [
        write_photo(tmp_path / "one" / "a.png", (10, 0, 0)),
        write_photo(tmp_path / "two" / "a.bmp", (20, 0, 0)),
        write_photo(tmp_path / "three" / "a.bmp", (30, 0, 0)),
        write_photo(tmp_path / "four" / "a_2.png", (40, 0, 0)),
    ]
    result = convert.convert_photos(negative, photos, tmp_path / "out", SIZE)
    assert [result.written[p].name for p in photos] == [
        "a.png",
        "a_bmp.png",
        "a_2.png",
        "a_2_png.png",
    ]
    for photo, red in zip(photos, (245, 235, 225, 215), strict=True):
        assert read(result.written[photo])[0, 0, 0] == red


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_unreadable_files_are_named_and_do_not_stop_the_others(tmp_path, caplog, batch_size):
    folder = tmp_path / "photos"
    good = [write_photo(folder / f"{name}.png", (50, 0, 0)) for name in "aceg"]
    empty = folder / "b.png"
    empty.touch()
    truncated = folder / "d.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(truncated)
    truncated.write_bytes(truncated.read_bytes()[:6000])
    text = folder / "f.jpg"
    text.write_text("this is not an image")
    missing = tmp_path / "missing.jpg"
    result = convert.convert_photos(
        negative, [missing, folder], tmp_path / "out", SIZE, batch_size=batch_size
    )
    assert list(result.written) == good
    assert set(result.failed) == {empty, truncated, text, missing}
    for path, reason in result.failed.items():
        assert path.name in reason
        assert reason in caplog.text
    assert "empty" in result.failed[empty]
    assert "no file or folder" in result.failed[missing]


def test_each_image_goes_to_the_file_of_its_photo_over_batches(tmp_path):
    photos = [write_photo(tmp_path / f"{i}.png", (i, 0, 0)) for i in range(7)]
    result = convert.convert_photos(negative, photos, tmp_path / "out", SIZE, batch_size=3)
    assert [read(result.written[p])[0, 0, 0] for p in photos] == [255 - i for i in range(7)]


def test_no_photo_at_all_is_an_error_that_names_the_places(tmp_path):
    (tmp_path / "empty").mkdir()
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError) as caught:
        convert.convert_photos(negative, [tmp_path / "empty", missing], tmp_path / "out", SIZE)
    assert str(tmp_path / "empty") in str(caught.value)
    assert str(missing) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_suffixes_are_formats_that_are_read(tmp_path):
    """Every ending that a folder is searched for is one that this Pillow decodes."""
    pixels = np.full((4, 4, 3), 200, np.uint8)
    for suffix in convert.IMAGE_SUFFIXES:
        Image.fromarray(pixels).save(tmp_path / f"x{suffix}")
        assert abs(int(data.read_image(tmp_path / f"x{suffix}").mean()) - 200) <= 2
