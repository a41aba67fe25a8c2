import subprocess
import sys

import numpy as np
import pytest

from keras_pixdt.drawn import azimuth
from keras_pixdt.drawn.azimuth import distortions, mesh, render

GREY = (0.5, 0.5, 0.5)


def volume(shape):
    """By the divergence theorem; negative if the faces look inwards."""
    a, b, c = np.moveaxis(shape.corners, 1, 0)
    return np.einsum("ij,ij->", a, np.cross(b, c)) / 6


def is_closed(shape):
    """Whether each edge is run through once in each direction."""
    edges = {}
    points = [tuple(corner) for corner in np.round(shape.corners, 9).reshape(-1, 3).tolist()]
    for i in range(0, len(points), 3):
        for a, b in ((0, 1), (1, 2), (2, 0)):
            start, stop = points[i + a], points[i + b]
            if start != stop:
                edges[start, stop] = edges.get((start, stop), 0) + 1
    return all(edges.get((stop, start)) == count for (start, stop), count in edges.items())


def model_of(shape):
    return azimuth.Model("car", 0, 0, shape)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: azimuth.sample_model("boat", 0), r"`kind` must be one of .*Received: 'boat'"),
        (lambda: azimuth.sample_model("car", -1), "`index` must be 0 or more. Received: index=-1"),
        (lambda: azimuth.render_views("boat", 1), "`kind` must be one of"),
        (lambda: azimuth.render_views("car", 0), "`count` must be 1 or more. Received: count=0"),
        (lambda: azimuth.render_views("car", 1, 8), "from 16 to 512 pixels. Received: image_size"),
        (lambda: azimuth.render_views("car", 1, azimuths=()), "`azimuths` must be one or more"),
        (lambda: azimuth.render_views("car", 1, processes=0), "`processes` must be 1 or more"),
        (
            lambda: azimuth.render_model(azimuth.sample_model("car", 0), np.nan),
            "`azimuths` must be one or more finite angles",
        ),
        (
            lambda: azimuth.render_model(azimuth.sample_model("car", 0), 0, 513),
            "`image_size` must be from 16 to 512",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_box_by_hand():
    shape = mesh.box((1, 2, 3), (2, 4, 6), GREY)
    assert volume(shape) == pytest.approx(48)
    assert is_closed(shape)
    np.testing.assert_allclose(shape.corners.min(axis=(0, 1)), (0, 0, 0), atol=1e-12)
    np.testing.assert_allclose(shape.corners.max(axis=(0, 1)), (2, 4, 6))
    # No edge is shaded smoothly: each corner looks where its face does.
    for corners, normals in zip(shape.corners, shape.normals, strict=True):
        axis = np.flatnonzero(np.ptp(corners, axis=0) < 1e-12)
        outward = np.zeros(3)
        outward[axis] = np.sign(corners[0, axis] - np.array([1, 2, 3])[axis])
        np.testing.assert_allclose(normals, np.broadcast_to(outward, (3, 3)), atol=1e-12)


def test_round_box_lies_in_the_sharp_one():
    shape = mesh.box((0, 0, 0), (2, 4, 6), GREY, radius=0.5)
    assert is_closed(shape)
    np.testing.assert_allclose(np.abs(shape.corners).max(axis=(0, 1)), (1, 2, 3), atol=1e-9)
    # Without the radius' rim: a box with its six plates, twelve quarters of a cylinder (four of
    # each length) and a ball. Arcs of three chords, and sharper corners of the outlines, differ.
    exact = 1 * 3 * 5 + 2 * 0.5 * (3 + 5 + 15) + np.pi * 0.25 * (1 + 3 + 5) + np.pi / 6
    assert volume(shape) == pytest.approx(exact, rel=0.03)


def test_ellipsoid_is_smooth():
    radii = np.array([1.0, 2.0, 3.0])
    shape = mesh.ellipsoid((5, 6, 7), radii, GREY, sides=48)
    assert is_closed(shape)
    assert volume(shape) == pytest.approx(4 / 3 * np.pi * 6, rel=0.02)
    exact = (shape.corners - (5, 6, 7)) / radii**2
    exact /= np.linalg.norm(exact, axis=-1, keepdims=True)
    cosine = np.sum(exact * shape.normals, axis=-1)
    real = np.linalg.norm(shape.normals, axis=-1) > 0.5  # triangles without area have none
    assert real.mean() > 0.9
    assert cosine[real].min() > 0.98


def test_tube_by_hand():
    shape = mesh.tube((0, 0, 0), (0, 3, 4), (1, 1), GREY, sides=64)
    assert is_closed(shape)
    assert volume(shape) == pytest.approx(np.pi * 5, rel=0.01)
    cone = mesh.tube((0, 0, 0), (0, 0, 3), (2, 1), GREY, sides=64)
    assert volume(cone) == pytest.approx(np.pi / 3 * 3 * (4 + 2 + 1), rel=0.01)


def test_loft_in_either_order_looks_outwards():
    rings = np.stack([mesh.rectangle((0, 0, z), (2, 2)) for z in (0, 1)])
    for ordered in (rings, rings[::-1], rings[:, ::-1]):
        assert volume(mesh.loft(ordered, GREY)) == pytest.approx(4)


def test_patch_is_seen_from_outside():
    square = np.array([(0, 1, 0), (1, 1, 0), (1, 1, 1), (0, 1, 1)], float)
    for points in (square, square[::-1]):
        shape = mesh.patch(points, GREY, inside=(0, 0, 0), lift=0.25)
        np.testing.assert_allclose(shape.normals, np.broadcast_to((0, 1, 0), (2, 3, 3)))
        np.testing.assert_allclose(shape.corners[..., 1], 1.25)
        a, b, c = np.moveaxis(shape.corners, 1, 0)
        assert (np.cross(b - a, c - a)[:, 1] > 0).all()


def test_move_by_hand():
    shape = mesh.patch(np.array([(0, 0, 1), (1, 0, 1), (0, 1, 1)], float), GREY, (0, 0, 0))
    moved = mesh.move(shape, (10, 0, 0), lean_degrees=90)
    # Leaning backwards takes up to behind.
    np.testing.assert_allclose(moved.normals, np.broadcast_to((0, -1, 0), (1, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(moved.corners[..., 1], -1)


def traced(shape, azimuth_degrees, size):
    """The picture by another way: a ray through each sample, against each triangle."""
    samples, elevation = size * render._SAMPLES, np.radians(render._ELEVATION_DEGREES)
    angle = np.radians(azimuth_degrees)
    # The camera goes around the object, which stands still.
    out = np.array([np.sin(angle), np.cos(angle), 0]) * np.cos(elevation)
    out[2] = np.sin(elevation)
    right = np.array([-np.cos(angle), np.sin(angle), 0])
    up = np.cross(out, right)
    eye = render._DISTANCE * out
    half = 1 / np.sqrt(render._DISTANCE**2 - 1)  # of the picture, at distance 1
    lights = [sum(part * axis for part, axis in zip(light, (right, up, out), strict=True))
              for light in render._LIGHTS]  # fmt: skip
    picture = np.ones((samples, samples, 3))
    for row in range(samples):
        for column in range(samples):
            x, y = ((2 * place + 1) / samples - 1 for place in (column, row))
            ray = -out + half * (x * right - y * up)
            nearest = np.inf
            for corners, normals, colors in zip(
                shape.corners, shape.normals, shape.colors, strict=True
            ):
                a, b = corners[1] - corners[0], corners[2] - corners[0]
                if np.cross(a, b) @ ray >= 0:
                    continue
                t, u, v = np.linalg.solve(np.stack([-ray, a, b], axis=1), eye - corners[0])
                if min(u, v, 1 - u - v) < 0 or not 0 < t < nearest:
                    continue
                nearest = t
                lit = [
                    np.minimum(
                        color * (render._AMBIENT + sum(max(normal @ p, 0) for p in lights)), 1
                    )
                    for normal, color in zip(normals, colors, strict=True)
                ]
                # Shading is linear in the picture, not on the surface: weights by distance.
                weight = np.array([1 - u - v, u, v]) * ((eye - corners) @ out)
                picture[row, column] = weight @ lit / weight.sum()
    blocks = picture.reshape(size, render._SAMPLES, size, render._SAMPLES, 3)
    return 255 * blocks.mean(axis=(1, 3))


@pytest.mark.parametrize("azimuth_degrees", [0, 35, -120])
def test_picture_equals_that_of_traced_rays(azimuth_degrees):
    rng = np.random.default_rng(1)
    corners, normals = rng.normal(size=(2, 14, 3, 3))
    corners /= np.linalg.norm(corners, axis=-1, keepdims=True)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    shape = azimuth.Mesh(corners, normals, rng.uniform(0.1, 0.9, (14, 3, 3)))
    drawn = azimuth.render_model(model_of(shape), azimuth_degrees, 16)
    expected = traced(shape, azimuth_degrees, 16)
    assert (expected < 250).any(axis=-1).mean() > 0.1
    np.testing.assert_allclose(drawn, expected, atol=0.51)


def test_turning_right_shows_the_front_on_the_right():
    front = mesh.box((0, 0.8, 0), (0.2, 0.2, 0.2), (0.9, 0.1, 0.1))
    centers = []
    for angle in (-60, 0, 60):
        ink = (azimuth.render_model(model_of(front), angle) < 255).any(axis=-1)
        centers.append(np.nonzero(ink)[1].mean() - 31.5)
    assert centers[0] < -15 and abs(centers[1]) < 0.5 and centers[2] > 15
    assert centers[0] == pytest.approx(-centers[2], abs=0.5)


def test_nearer_covers_farther():
    red = mesh.box((0, 0.5, 0), (1, 0.1, 1), (0.9, 0.0, 0.0))
    blue = mesh.box((0, -0.5, 0), (1, 0.1, 1), (0.0, 0.0, 0.9))
    for shape in (mesh.join([red, blue]), mesh.join([blue, red])):
        from_front = azimuth.render_model(model_of(shape), 0)[32, 32]
        from_behind = azimuth.render_model(model_of(shape), 180)[32, 32]
        assert from_front[0] > 100 and from_front[2] == 0
        assert from_behind[2] > 100 and from_behind[0] == 0


@pytest.mark.parametrize("kind", azimuth.KINDS)
def test_objects_are_whole(kind):
    for index in range(20):
        shape = azimuth.sample_model(kind, index).mesh
        distance = np.linalg.norm(shape.corners, axis=-1)
        assert distance.max() == pytest.approx(1)
        assert shape.colors.min() >= 0 and shape.colors.max() <= 1
        assert np.isfinite(shape.normals).all()
        length = np.linalg.norm(shape.normals, axis=-1)
        assert ((np.abs(length - 1) < 1e-9) | (length < 1e-9)).all()
        assert volume(shape) > 0


@pytest.mark.parametrize("kind", azimuth.KINDS)
def test_azimuth_shows(kind):
    # What an object is like on average over models must not hide where it looks.
    pictures, azimuths = azimuth.render_views(kind, 6, azimuths=(-60, 0, 60), processes=1)
    np.testing.assert_array_equal(azimuths, np.array([-60, 0, 60], np.float32))
    left, ahead, right = np.moveaxis(pictures.astype(float), 1, 0)
    assert np.abs(left - right).mean(axis=(1, 2, 3)).min() > 8
    assert np.abs(left - ahead).mean(axis=(1, 2, 3)).min() > 8
    # Objects are symmetric but for details and the light.
    mirrored = np.abs(left - right[:, :, ::-1]).mean(axis=(1, 2, 3))
    assert (mirrored < 0.75 * np.abs(left - right).mean(axis=(1, 2, 3))).all()
    # Front and rear are not the same.
    for index in range(6):
        rear = azimuth.render_model(azimuth.sample_model(kind, index), 180).astype(float)
        assert np.abs(ahead[index] - rear).mean() > 4


@pytest.mark.parametrize("kind", azimuth.KINDS)
def test_pictures_are_objects_on_white(kind):
    pictures, _ = azimuth.render_views(kind, 12, 32, azimuths=(-75, 30), processes=1)
    assert pictures.shape == (12, 2, 32, 32, 3) and pictures.dtype == np.uint8
    assert (pictures[:, :, [0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
    ink = (pictures < 250).any(axis=-1).mean(axis=(2, 3))
    assert ink.min() > 0.08 and ink.max() < 0.7
    # Twelve objects, no two the same.
    flat = pictures[:, 0].reshape(12, -1).astype(float)
    distance = np.abs(flat[:, None] - flat).mean(axis=-1) + 1e9 * np.eye(12)
    assert distance.min() > 1


def test_object_depends_on_kind_index_and_seed_only():
    pictures, azimuths = azimuth.render_views("chair", 3, 32, (-15, 45), seed=5, processes=1)
    again = azimuth.render_model(azimuth.sample_model("chair", 2, seed=5), 45, 32)
    np.testing.assert_array_equal(pictures[2, 1], again)
    other, _ = azimuth.render_views("chair", 3, 32, (-15, 45), seed=6, processes=1)
    assert (pictures != other).any(axis=(1, 2, 3, 4)).all()


def test_pictures_do_not_depend_on_the_number_of_processes():
    one, _ = azimuth.render_views("car", 9, 16, (-75, 75), processes=1)
    two, _ = azimuth.render_views("car", 9, 16, (-75, 75), processes=2)
    np.testing.assert_array_equal(one, two)


def test_drawing_needs_numpy_only():
    script = "import sys, keras_pixdt.drawn.azimuth; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    loaded = set(done.stdout.split())
    assert "keras_pixdt.drawn.azimuth.head" in loaded
    assert not loaded & {"keras", "tensorflow", "jax", "PIL"}


def test_coverage_puts_objects_on_any_ground():
    # A gray plate on black is what is left of it on white without the ground's share.
    plate = model_of(mesh.box((0, 0, 0), (0.9, 0.1, 0.7), GREY))
    plain = azimuth.render_model(plate, 20, 32)
    covered = azimuth.render_model(plate, 20, 32, coverage=True)
    assert covered.shape == (32, 32, 4)
    np.testing.assert_array_equal(covered[..., :3], plain)
    cover = covered[..., 3]
    assert (plain[cover == 0] == 255).all() and (plain[cover == 255] < 255).all()
    ninths = cover / 255 * 9  # nine samples per pixel
    np.testing.assert_allclose(ninths, np.rint(ninths), atol=0.02)
    assert len(np.unique(cover)) > 5


def test_white_objects_cover_too():
    bright = mesh.box((0, 0, 0), (1, 1, 1), (3.0, 3.0, 3.0))
    covered = azimuth.render_model(model_of(bright), 0, 32, coverage=True)
    assert (covered[..., :3] == 255).all()
    assert (covered[14:18, 14:18, 3] == 255).all() and (covered[0, ..., 3] == 0).all()
    views, _ = azimuth.render_views("car", 2, 16, (0,), processes=1, coverage=True)
    again = azimuth.render_model(azimuth.sample_model("car", 1), 0, 16, coverage=True)
    np.testing.assert_array_equal(views[1, 0], again)


@pytest.fixture(scope="module")
def views():
    pictures, _ = azimuth.render_views("car", 6, 32, processes=1, coverage=True)
    return pictures.reshape(-1, 32, 32, 4)


@pytest.mark.parametrize("name", ["random", *azimuth.DISTORTIONS])
def test_distortions_are_images_that_depend_on_the_seed_only(views, name):
    def distorted(seed):
        if name == "random":
            return azimuth.distort(views, np.random.default_rng(seed))
        return azimuth.distort_by(name, views, seed)

    images = distorted(0)
    assert images.shape == (66, 32, 32, 3) and images.dtype == np.float32
    assert images.min() >= -1 and images.max() <= 1
    np.testing.assert_array_equal(images, distorted(0))
    plain = 2 * views[..., :3].astype(float) / 255 - 1
    change = np.abs(images - plain).mean(axis=(1, 2, 3))
    assert change.max() > 0.02 and np.median(change) > 0.005
    # The objects are still there, where they were.
    cover = views[..., 3] > 127
    inside = np.array([
        np.corrcoef(a[c].ravel(), b[c].ravel())[0, 1]
        for a, b, c in zip(images, plain, cover, strict=True)
    ])  # fmt: skip
    assert np.median(inside) > 0.6


def test_distortions_are_drawn_anew(views):
    rng = np.random.default_rng(0)
    assert (azimuth.distort(views, rng) != azimuth.distort(views, rng)).mean() > 0.9


def test_grounds_change_and_objects_stay(views):
    images = azimuth.distort_by("gray ground", views)
    cover = views[..., 3]
    np.testing.assert_allclose(images[cover == 0], 2 * 225 / 255 - 1, atol=1e-6)
    whole = cover == 255
    np.testing.assert_allclose(images[whole], views[whole][:, :3] / 127.5 - 1, atol=1e-6)
    # An edge has its share of the ground: between white and gray lie 30 levels.
    edge = (cover > 0) & (cover < 255)
    expected = views[edge][:, :3] - 30 * (1 - cover[edge][:, None] / 255)
    np.testing.assert_allclose(images[edge], expected / 127.5 - 1, atol=0.01)


def test_random_grounds_are_of_all_kinds(views):
    many = np.concatenate([views] * 8)
    images = azimuth.distort(many, np.random.default_rng(0))
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]]  # without objects
    level = corners.mean(axis=(1, 2))
    assert (level > 0.9).mean() > 0.1 and (level < 0.3).mean() > 0.1 and level.min() < 0
    assert (np.ptp(corners, axis=2).mean(axis=1) > 0.3).mean() > 0.1  # coloured
    assert (np.ptp(corners.mean(axis=2), axis=1) > 0.3).mean() > 0.1  # uneven


def test_shifts_and_blur_by_hand():
    image = np.zeros((1, 32, 32, 3), np.float32)
    image[0, 10, 20] = 1

    class Most:
        """Draws the largest number."""

        def uniform(self, low, high, shape):
            return np.full(shape, high)

    def constant(value):
        return np.full((1, 1, 1, 1), value, np.float32)

    still = constant(0)
    moved = distortions._resample(image, still, constant(2), still, Most())
    assert np.unravel_index(moved[0, ..., 0].argmax(), (32, 32)) == (8, 18)
    blurred = distortions._resample(image, constant(1), still, still, Most())
    bell = np.exp(-0.5 * np.arange(-10, 11) ** 2)
    bell /= bell.sum()
    np.testing.assert_allclose(blurred[0, 10, 10:31, 1], bell * bell.max(), atol=1e-4)
    np.testing.assert_allclose(blurred[0, 0:21, 20, 1], bell * bell.max(), atol=1e-4)


def test_chequerboards_repeat_and_have_no_mean():
    pattern = distortions._checkers(3, 32, np.random.default_rng(0))
    np.testing.assert_array_equal(pattern[:, 4:], pattern[:, :-4])
    np.testing.assert_array_equal(pattern[:, :, 4:], pattern[:, :, :-4])
    assert pattern.std() > 0.5 and np.abs(pattern.mean(axis=(1, 2))).max() < 1e-6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v: azimuth.distort_by("fog", v), "`name` must be one of .*Received: 'fog'"),
        (lambda v: azimuth.distort_by("blur", v[..., :3]), "`views` must be uint8 .*32, 3"),
        (lambda v: azimuth.distort(v / 255.0, np.random.default_rng(0)), "float64"),
    ],
)
def test_bad_distortions(views, call, message):
    with pytest.raises(ValueError, match=message):
        call(views)


def test_azimuths_of_the_paper():
    assert azimuth.AZIMUTHS["car"] == (-75, -60, -45, -30, -15, 0, 15, 30, 45, 60, 75)
    assert azimuth.AZIMUTHS["head"] == (-90, *azimuth.AZIMUTHS["car"], 90)
    for kind, angles in azimuth.AZIMUTHS.items():
        pictures, azimuths = azimuth.render_views(kind, 1, 16, processes=1)
        assert tuple(azimuths) == angles and pictures.shape[1] == len(angles)
        last = azimuth.render_model(azimuth.sample_model(kind, 0), angles[-1], 16)
        np.testing.assert_array_equal(pictures[0, -1], last)
