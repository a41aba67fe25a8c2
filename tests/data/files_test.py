import io
import os

import pytest
from PIL import Image

from keras_pixdt import data
from keras_pixdt.data import files

FIX = "Pass photos."


def write(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def listed(path):
    """The images of a folder, and what is left out."""
    skipped = files.Skipped()
    with files.open_files(path, files.is_image, "images", FIX) as opened:
        return opened.images(skipped), skipped


# Names


@pytest.mark.parametrize("suffix", sorted(Image.registered_extensions()))
def test_what_pillow_writes_and_reads_is_an_image_by_its_name(suffix):
    """Any other format may be one too, but never one that Pillow only recognizes."""
    image, file = Image.new("RGB", (8, 8), (200, 200, 200)), io.BytesIO()
    kind = Image.registered_extensions()[suffix]
    image = image.convert("1") if kind in ("MSP", "PALM", "XBM") else image
    image = image.convert("P") if kind == "BLP" else image
    try:
        image.save(file, kind)
        read = data.read_image(file.getvalue())
    except (KeyError, OSError, ValueError):
        assert not files.is_image(f"a{suffix}") or kind in Image.OPEN
    else:
        assert files.is_image(f"a{suffix}") and files.is_image(f"A{suffix.upper()}")
        assert read.shape == ((8, 8, 3) if kind != "ICNS" else (1024, 1024, 3))


@pytest.mark.parametrize("name", ["a.heic", "IMG_1.HEIC", "a.heif", "a.hif", "a.avif", "a.jfif"])
def test_photos_are_images_even_where_pillow_needs_a_plugin(name, monkeypatch):
    for format_name in ("AVIF", "HEIF"):
        monkeypatch.delitem(Image.OPEN, format_name, raising=False)
    assert files.is_image(name)


@pytest.mark.parametrize("name", ["film.mpg", "weights.h5", "a.pdf", "a.svg", "a", "a.jpg.txt"])
def test_other_files_are_no_images(name):
    assert not files.is_image(name)


@pytest.mark.parametrize(
    "name",
    [
        ".a.jpg", "._a.jpg", "a/.ipynb_checkpoints/b.jpg", ".Trash-1000/files/a.jpg",
        "__MACOSX/a.jpg", "a/@eaDir/b.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/a.jpg",
        "$RECYCLE.BIN/S-1/a.jpg", "System Volume Information/a.jpg", "lost+found/a.jpg",
        ".@__thumb/a.jpg", "@Recycle/a.jpg", "Thumbs.db", "a/desktop.ini", "LOST.DIR/a.jpg",
    ],
)  # fmt: skip
def test_what_systems_leave_behind_is_hidden(name):
    assert files.is_hidden(name)


@pytest.mark.parametrize("name", ["a.jpg", "recycle/a.jpg", "a..b/c.jpg", "_a/b.jpg", "@home/a"])
def test_what_users_name_is_not_hidden(name):
    assert not files.is_hidden(name)


# Folders


def test_every_file_is_listed_or_counted_and_named(tmp_path):
    root = tmp_path / ".data"  # the root may be hidden, because the user names it
    for name in ("a.jpg", "b/c.PNG", "b/d.txt", ".thumbnails/a.jpg", "e/@eaDir/a.jpg"):
        write(root / name)
    names, skipped = listed(root)
    assert names == ["a.jpg", "b/c.PNG"]
    assert skipped.counts == {files.HIDDEN: 2, files.NO_IMAGE: 1}
    assert skipped.examples[files.HIDDEN] == [".thumbnails/a.jpg", "e/@eaDir/a.jpg"]
    assert skipped.examples[files.NO_IMAGE] == ["b/d.txt"]


def test_links_to_folders_are_followed(tmp_path):
    write(tmp_path / "disk" / "deep" / "b.jpg", b"b")
    write(tmp_path / "root" / "a.jpg", b"a")
    (tmp_path / "root" / "more").symlink_to(tmp_path / "disk")
    (tmp_path / "linked root").symlink_to(tmp_path / "root")
    for root in ("root", "linked root"):
        with files.open_files(tmp_path / root, files.is_image, "images", FIX) as opened:
            assert opened.names == ["a.jpg", "more/deep/b.jpg"]
            assert [opened.read(name) for name in opened.names] == [b"a", b"b"]


def test_no_folder_is_read_twice(tmp_path):
    """Loops end; a name without links comes first, and a hidden one last."""
    root = tmp_path / "root"
    write(root / "z" / "a.jpg")
    write(root / ".store" / "b.jpg")
    (root / "again").symlink_to(root / "z")
    (root / "z" / "loop").symlink_to(root)
    (root / "shown").symlink_to(".store")
    names, skipped = listed(root)
    assert names == ["shown/b.jpg", "z/a.jpg"]
    assert skipped.examples == {
        files.LINKED_AGAIN: ["again", "z/loop"],
        files.HIDDEN: [".store"],
    }


def test_two_folders_that_link_to_each_other_end(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        write(tmp_path / name / f"{name}.jpg")
        (tmp_path / name / "other").symlink_to(tmp_path / other)
    names, skipped = listed(tmp_path / "a")
    assert names == ["a.jpg", "other/b.jpg"]
    assert skipped.examples == {files.LINKED_AGAIN: ["other/other"]}


def test_broken_links_and_what_is_no_file_are_named(tmp_path):
    write(tmp_path / "a.jpg")
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "itself.jpg").symlink_to("itself.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    names, skipped = listed(tmp_path)
    assert names == ["a.jpg", "broken.jpg", "itself.jpg"]  # the last two are unreadable
    assert skipped.examples == {files.NO_FILE: ["pipe.jpg"]}
    with files.open_files(tmp_path, files.is_image, "images", FIX) as opened:
        for name in names[1:]:
            assert files.decode(lambda name=name: opened.read(name), name, "folder") is None


def test_folders_that_cannot_be_read_are_named(tmp_path, monkeypatch, caplog):
    write(tmp_path / "a.jpg")
    write(tmp_path / "closed" / "b.jpg")
    scan = os.scandir

    def scandir(path):
        if os.path.basename(path) == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    names, skipped = listed(tmp_path)
    assert names == ["a.jpg"]
    assert skipped.examples == {files.UNREADABLE_FOLDER: ["closed"]}
    assert "Permission denied" in caplog.text
    with pytest.raises(PermissionError):
        listed(tmp_path / "closed")


def test_hidden_files_do_not_decide_whether_a_folder_is_an_archive(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.jpg", b"a")
    write(tmp_path / ".thumbnails" / "b.jpg")
    write(tmp_path / ".cache" / "c.zip")
    assert listed(tmp_path)[0] == ["a.jpg"]


# Images


def test_a_list_opens_the_files_that_it_names(tmp_path):
    write(tmp_path / "shop" / "a.jpg", b"a")
    write(tmp_path / "lists" / "pairs.csv")
    with files.open_list(tmp_path / "lists" / "pairs.csv") as opened:
        assert opened.names == ["pairs.csv"]
        assert opened.exists("../shop/a.jpg") and opened.read("../shop/a.jpg") == b"a"
        assert not opened.exists("../shop") and not opened.exists("a.jpg")
    with files.open_files(tmp_path, str, "files", "") as opened:
        assert opened.exists("shop/a.jpg") and not opened.exists("a.jpg")


def test_heic_without_the_plugin_is_named_with_the_fix(monkeypatch):
    from keras_pixdt.data import images

    images.register_plugins()
    monkeypatch.setattr(Image, "ID", [kind for kind in Image.ID if kind != "HEIF"])
    monkeypatch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k != "HEIF"})
    content = b"\0\0\0\x18ftypheic" + bytes(100)
    with pytest.raises(data.ImageError, match=r"a.heic cannot.*HEIC.*pip install pillow-heif"):
        data.read_image(content, "a.heic")
