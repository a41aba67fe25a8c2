import dataclasses
import inspect
import json
import pkgutil

import keras
import pytest

from keras_pixdt import presets
from keras_pixdt.models.pixel_dtgan import PixelDTGAN
from keras_pixdt.presets import Phase
from keras_pixdt.presets.pixel_dtgan import PixelDTGANPreset


def test_every_field_of_a_row_reaches_its_model():
    """`Preset.model` takes fields by their names: one that is misspelt would be left out."""
    elsewhere = {field.name for field in dataclasses.fields(presets.Preset)}
    elsewhere |= {"optimizer_name", "momentum"}  # the optimizer's
    elsewhere |= {"function", "function_width", "function_plain"}  # of f, which is trained first
    elsewhere |= {"augment", "truth"}  # of the batches
    for name in presets.names():
        preset = presets.get(name)
        model = pkgutil.resolve_name(f"keras_pixdt.models.{preset.model_class}")
        arguments = inspect.signature(model.__init__).parameters
        own = {field.name for field in dataclasses.fields(preset)} - elsewhere
        assert own <= set(arguments), f"{model.__name__} does not take {own - set(arguments)}"
        given = set(arguments) - {"self", "kwargs", "seed", "function"}
        assert given <= set(preset.options()), f"{name} has no field for {given}"


# Yoo et al. 2016. Sec. 5.2: 64 px, batches of 128, SGD at 2e-4 with momentum 0.5 for 25 epochs,
# then 5 at 2e-5; "the training details of all the baselines are identical". Table 2 says which
# networks and pairs a row has. Sec. 5.5: the product to human converter trains 65 + 5 epochs.
SECTION_5_2 = {
    "image_size": 64,
    "batch_size": 128,
    "phases": ((25, 2e-4, None), (5, 2e-5, None)),
    "optimizer_name": "sgd",
    "momentum": 0.5,
    "width": 1.0,
    "discriminator_width": None,
    "l1_weight": 0.0,
    "reverse": False,
    "mirror": False,
    "resize": "letterbox",
    "passes": 1,
    "dtype": "float32",
    "ema_momentum": None,
    "start": None,
    "selection": "sample",  # Algorithm 1
    "converter_objective": "saturating",  # Eq. 6
}
ROWS = {
    "yoo2016": {
        "real_fake_weight": 0.5, "domain_weight": 0.5, "mse_weight": 0.0, "irrelevant_pairs": True,
    },
    "yoo2016-c-rf": {"real_fake_weight": 1.0, "domain_weight": 0.0, "mse_weight": 0.0},
    "yoo2016-c-mse": {"real_fake_weight": 0.0, "domain_weight": 0.0, "mse_weight": 1.0},
    "yoo2016-c-rf-dd-neg": {
        "real_fake_weight": 0.5, "domain_weight": 0.5, "mse_weight": 0.0, "irrelevant_pairs": False,
    },
    "yoo2016-product-to-human": {
        "real_fake_weight": 0.5, "domain_weight": 0.5, "mse_weight": 0.0, "irrelevant_pairs": True,
        "reverse": True, "phases": ((65, 2e-4, None), (5, 2e-5, None)),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_the_paper(name):
    options = presets.get(name).options()
    expected = {**SECTION_5_2, **ROWS[name], "name": name}
    assert {key: options[key] for key in expected} == expected
    assert options["reference"].startswith("Yoo et al. 2016")


def test_the_demo_takes_the_step_that_works_in_minutes():
    demo = presets.get("demo")
    assert (demo.selection, demo.converter_objective) == ("kinds", "non_saturating")


def test_there_is_a_preset_for_every_row_and_the_demo():
    found = {name for name in presets.names() if type(presets.get(name)) is PixelDTGANPreset}
    assert found == {*ROWS, "demo"}
    assert [presets.get(name).name for name in presets.names()] == presets.names()


def test_unknown_name_lists_all():
    with pytest.raises(ValueError, match="'yoo2017'") as error:
        presets.get("yoo2017")
    for name in presets.names():
        assert name in str(error.value)


@pytest.mark.parametrize("name", [*ROWS, "demo"])
def test_a_preset_builds_its_model_and_optimizer(name):
    # Tiny, or the full network would be built seven times.
    preset = dataclasses.replace(presets.get(name), image_size=16, width=1 / 32)
    model = preset.model(seed=3)
    assert type(model) is PixelDTGAN
    shared = set(model.get_config()) & set(preset.options()) - {"name", "dtype"}
    assert len(shared) >= 8
    for key in shared:
        assert model.get_config()[key] == preset.options()[key], key
    model.compile(preset.optimizers(model.players))
    expected = ["real_fake_discriminator"] * (preset.real_fake_weight > 0)
    expected += ["domain_discriminator"] * (preset.domain_weight > 0) + ["converter"]
    assert list(model.players) == expected
    for player in expected:
        optimizer = model.optimizer[player]
        assert float(optimizer.learning_rate) == pytest.approx(preset.phases[0].learning_rate)
        if name == "demo":
            assert type(optimizer) is keras.optimizers.Adam and optimizer.beta_1 == preset.momentum
        else:
            assert type(optimizer) is keras.optimizers.SGD and optimizer.momentum == 0.5
            assert not optimizer.nesterov and optimizer.weight_decay is None


def test_dtype_reaches_the_networks():
    preset = dataclasses.replace(
        presets.get("demo"), image_size=16, width=1 / 32, dtype="mixed_bfloat16"
    )
    assert preset.model().converter.get_layer("conv1").compute_dtype == "bfloat16"


def test_learning_rate_follows_progress():
    preset = presets.get("yoo2016")
    assert preset.epochs == 30
    rates = [preset.learning_rate(p) for p in (0.0, 0.83, 25 / 30, 0.84, 1.0)]
    assert rates == [2e-4, 2e-4, 2e-5, 2e-5, 2e-5]
    # Every epoch exactly, although 25 / 30 * 30 need not be 25 in floating point.
    product_to_human = presets.get("yoo2016-product-to-human")
    rates = [product_to_human.learning_rate(epoch / 70) for epoch in range(70)]
    assert rates == [2e-4] * 65 + [2e-5] * 5


def test_phases_come_back_from_json():
    preset = dataclasses.replace(presets.get("yoo2016"), phases=((2, 1e-3, 60), (1, 1e-4)))
    assert preset.phases == (Phase(2, 1e-3, 60), Phase(1, 1e-4))
    assert (preset.epochs, preset.batch_sizes) == (3, (60, 128))
    phases = json.loads(json.dumps(preset.options()))["phases"]
    assert dataclasses.replace(preset, phases=phases) == preset


def test_phase_at_tells_the_phase_and_how_far_it_is():
    preset = dataclasses.replace(presets.get("yoo2016"), phases=((3, 1e-3), (1, 1e-4)))
    found = [preset.phase_at(progress) for progress in (0.0, 0.375, 0.75, 0.875, 1.0)]
    assert found == [(0, 0.0), (0, 0.5), (1, 0.0), (1, 0.5), (1, 1.0)]


def test_only_the_converter_is_averaged():
    preset = dataclasses.replace(presets.get("demo"), ema_momentum=0.999)
    optimizers = preset.optimizers(["real_fake_discriminator", "converter"])
    assert [optimizer.use_ema for optimizer in optimizers.values()] == [False, True]
    assert optimizers["converter"].ema_momentum == 0.999
    assert optimizers["converter"].beta_1 == preset.momentum
    assert not any(o.use_ema for o in presets.get("demo").optimizers(["converter"]).values())


@pytest.mark.parametrize("name", presets.names())
def test_options_are_what_json_can_hold(name):
    options = presets.get(name).options()
    assert set(json.loads(json.dumps(options))) == set(options)


def test_rows_of_papers_are_not_mirrored():
    """pix2pix at 64 and 128 px stands for the row at 256."""
    of_papers = [p for p in map(presets.get, presets.names()) if not p.reference.startswith("none")]
    assert {p.name for p in of_papers if p.mirror} == {"pix2pix-64", "pix2pix-128"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch_size", 1),
        ("phases", ()),
        ("phases", ((0, 2e-4),)),
        ("phases", ((25, 2e-4), (5, 0.0))),
        ("phases", ((25,),)),
        ("phases", ((25, 2e-4, 1),)),
        ("phases", (25, 2e-4)),
        ("phases", (("a", "b"),)),
        ("phases", ((1.5, 2e-4),)),
        ("phases", ((True, 2e-4),)),
        ("phases", ((1, "2e-4"),)),
        ("phases", ((1, 2e-4, 1.5),)),
        ("ema_momentum", 1.0),
        ("resize", "crop"),
        ("optimizer_name", "rmsprop"),
    ],
)
def test_bad_fields_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"Preset 'yoo2016': `{field}` must") as error:
        dataclasses.replace(presets.get("yoo2016"), **{field: value})
    assert f"Received: {value!r}" in str(error.value)


def test_presets_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        presets.get("yoo2016").batch_size = 3


def test_fields_are_changed_by_text_as_json_has_it():
    demo = presets.get("demo")
    settings = [
        "selection=sample", "mirror=false", "l1_weight=3", "discriminator_width=null",
        "phases=[[2, 0.001, 64], [1, 1e-4]]", "ema_momentum=0.5",
    ]  # fmt: skip
    changed = demo.changed(settings)
    assert changed == dataclasses.replace(
        demo, selection="sample", mirror=False, l1_weight=3, discriminator_width=None,
        phases=((2, 0.001, 64), (1, 1e-4)), ema_momentum=0.5,
    )  # fmt: skip
    assert demo.changed([]) is not None and demo.changed([]) == demo


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("size=3", r"FIELD=VALUE of the fields image_size, .*Received: 'size=3'"),
        ("mirror", r"FIELD=VALUE.*Received: 'mirror'"),
        ("name=other", r"FIELD=VALUE.*Received: 'name=other'"),
        ("mirror=yes", r"`mirror` must be bool, written as true.*Received: 'yes'"),
        ("mirror=1", r"`mirror` must be bool"),
        ("batch_size=2.5", r"`batch_size` must be int"),
        ("batch_size=true", r"`batch_size` must be int"),
        ("width=null", r"`width` must be float"),
        ("ema_momentum=high", r"`ema_momentum` must be float or None.*Received: 'high'"),
        ("batch_size=1", r"`batch_size` must be at least 2"),
    ],
)
def test_settings_that_do_not_fit_are_named(setting, message):
    with pytest.raises(ValueError, match=message):
        presets.get("demo").changed([setting])


# Rectangles


@pytest.mark.parametrize("name", presets.names())
def test_presets_take_rectangles_if_their_models_do(name):
    preset = presets.get(name)
    size, more = (64, 48), {}
    if not preset.rectangles:
        with pytest.raises(ValueError, match=rf"{name}.*`image_size` must be the side of a square"):
            dataclasses.replace(preset, image_size=size)
        return
    if "photo_size" in preset.options():
        more = {"photo_size": [128, 96]}
        with pytest.raises(ValueError, match="`photo_size` must have the proportions.*64x48"):
            dataclasses.replace(preset, image_size=size)
    # as JSON has it, and as the command line does
    kept = dataclasses.replace(preset, image_size=[64, 48], width=1 / 32, **more)
    given = preset.changed([f"photo_size={text}" for text in ["128x96"][: len(more)]],
                           image_size=size, width=1 / 32)  # fmt: skip
    assert kept == given and kept.image_size == size
    assert dataclasses.replace(preset, image_size=(64, 64)).image_size == 64
    assert kept.model().drawn_size == size
    again = json.loads(json.dumps(kept.options()))
    assert again["image_size"] == [64, 48] and type(preset)(**again) == kept


def test_models_without_rectangles_refuse_them():
    from keras_pixdt.models import discogan, domain_transfer, residual_pixel_dtgan, rough_to_detail
    from keras_pixdt.models.domain_transfer_networks import build_function

    f = build_function(16, 1 / 16)
    for build in (
        PixelDTGAN, discogan.DiscoGAN, residual_pixel_dtgan.ResidualPixelDTGAN,
        rough_to_detail.RoughToDetailGAN,
        lambda size: domain_transfer.DomainTransferNetwork(f, size),
    ):  # fmt: skip
        with pytest.raises(
            ValueError, match=r"must be one number, the side of a square.*\(64, 48\)"
        ):
            build((64, 48))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("photo_size=128x", r"`photo_size` must be int or tuple\[int, int\].*or as 256x192"),
        ("photo_size=[128, 96, 3]", r"`photo_size` must be the side of a square or \(height"),
        ("photo_size=128x64", "proportions of `image_size`, 64, such as 128 .--set photo_size=128"),
        ("image_size=64x10", "`image_size` must have 11 px or more on each side.*SSIM"),
    ],
)
def test_sizes_that_do_not_fit_are_named(setting, message):
    with pytest.raises(ValueError, match=message):
        presets.get("flow-64").changed([setting])
