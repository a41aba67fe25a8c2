"""Masks and flows, compared with what is drawn."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from keras_pixdt.drawn import rendered
from keras_pixdt.drawn.rendered import figure, garment, truth
from keras_pixdt.drawn.rendered.person import Person

SIZE = 64


def sampled(photo, flow):
    """The photo's pixels where the flow points, and where that is in the photo."""
    place = (np.nan_to_num(flow.astype(np.float32)) + 1) / 2 * len(photo)
    inside = ((place >= 1) & (place < len(photo) - 1)).all(-1) & ~np.isnan(flow[..., 0])
    x, y = np.moveaxis(np.clip(place.astype(int), 0, len(photo) - 1), -1, 0)
    return photo[y, x], inside


def test_the_mask_is_where_the_picture_is_not_white():
    for number in range(12):
        product = rendered.sample_product(number)
        mask, drawn = truth.draw_mask(product, SIZE), rendered.draw_product(product, SIZE)
        assert mask.dtype == np.uint8 and mask.shape == (SIZE, SIZE)
        assert (drawn[mask == 0] == 255).all()
        assert (drawn[mask == 255].min(axis=-1) < 255).mean() > 0.99
        assert 0.1 < (mask > 0).mean() < 0.6


def coded(sheets):
    """Sheets whose colours are places: of each point red and green, of each piece blue."""

    def colours(width, height, blue):
        x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
        code = np.stack([x, y, np.full_like(x, blue)], axis=-1).astype(np.uint8)
        return Image.fromarray(code)

    def piece(piece, blue):
        image = colours(*piece.image.size, blue)
        image.putalpha(piece.image.getchannel("A"))
        return dataclasses.replace(piece, image=image)

    sleeve = sheets.sleeve and dataclasses.replace(
        sheets.sleeve, image=colours(*sheets.sleeve.image.size, 240)
    )
    return garment.Sheets(piece(sheets.front, 0), sheets.back and piece(sheets.back, 120), sleeve)


@pytest.mark.parametrize("number", range(12))
def test_the_photo_shows_the_same_point_where_the_flow_points(number, monkeypatch):
    product = rendered.sample_product(number)
    sheets = garment.sheets
    monkeypatch.setattr(garment, "sheets", lambda *arguments: coded(sheets(*arguments)))
    monkeypatch.setattr(figure, "folded", lambda piece, *_: piece)
    target = np.asarray(garment.draw_flat(product, 128)).astype(int)
    for view in range(3):
        person, _ = figure.person_of(product, view)
        photo = np.asarray(figure.draw_figure(product, person, 512))[..., :3]
        shown, inside = sampled(photo, truth.flow(product, view, 128))
        difference = np.abs(shown.astype(int) - target)
        same_piece = inside & (difference[..., 2] < 8)  # not hidden by an arm, a head, a bag
        assert same_piece.sum() > 0.5 * inside.sum()
        # An arm that hides another sleeve, or the edge of a piece, is what is left.
        assert (difference[same_piece].max(axis=-1) < 8).mean() > 0.88


def test_a_sleeve_moves_with_the_arm():
    """Where an arm is raised, so are the points of its sleeve; those of the torso stay."""
    product = next(
        p for p in map(rendered.sample_product, range(50))
        if p.category == "sweater" and p.sleeve == "long"
    )  # fmt: skip
    person, _ = figure.person_of(product, 0)
    person = dataclasses.replace(person, turn=0.0, lean=0.0, crossed=False)
    flows = []
    for arms in (((10.0, 10.0), (10.0, 10.0)), ((10.0, 10.0), (90.0, 90.0))):
        changed = dataclasses.replace(person, arms=arms)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Person, "sample", lambda *_, changed=changed: changed)
            flows.append(truth.flow(product, 0, SIZE).astype(np.float32))
    moved = np.nan_to_num(np.abs(flows[1] - flows[0]).max(-1)) > 0.02
    columns = np.nonzero(moved.any(axis=0))[0]
    assert moved.sum() > 50 and columns.min() > SIZE / 2  # the picture's right only
    lifted = (flows[1] - flows[0])[..., 1][moved]
    assert np.nanmean(lifted) < -0.05


def test_flows_come_with_rendered_products_and_change_no_picture():
    (plain,) = rendered.render(1, 32, seed=3, processes=1, first_product=4)
    (with_truth,) = rendered.render(
        1, 32, seed=3, processes=1, first_product=4, photo_size=64, with_truth=True
    )
    np.testing.assert_array_equal(with_truth.target, plain.target)
    assert plain.mask is None and plain.flows is None
    views = len(plain.sources)
    assert with_truth.sources.shape == (views, 64, 64, 3)
    assert with_truth.mask.shape == (32, 32)
    assert with_truth.flows.shape == (views, truth.FLOW_SIZE, truth.FLOW_SIZE, 2)
    assert with_truth.flows.dtype == np.float16
    product = rendered.sample_product(4, 3)
    np.testing.assert_array_equal(with_truth.sources[0], rendered.draw_person(product, 0, 64))
    np.testing.assert_array_equal(with_truth.flows[1], truth.flow(product, 1))
    small = Image.fromarray(with_truth.mask).resize((truth.FLOW_SIZE,) * 2, Image.Resampling.BOX)
    known = ~np.isnan(with_truth.flows[0, ..., 0])
    assert (known == (np.asarray(small) > 127)).mean() > 0.97


def test_a_photo_of_a_wrong_size_is_named():
    with pytest.raises(ValueError, match="`photo_size` must be from 32 to 512.*photo_size=16"):
        rendered.render(1, 32, photo_size=16)
