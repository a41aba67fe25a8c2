"""Experiments of the papers, for `pixdt reproduce NAME`: one module for each paper."""

import importlib
from collections.abc import Sequence

# What each repeats.
EXPERIMENTS = {
    "yoo2016-table3": "converter and discriminators against baselines, by eight scores",
    "yoo2016-fig4": "one product worn by several persons: are its drawings alike?",
    "yoo2016-fig6": "from the product to a person who wears it",
    "geli-table1": "one discriminator or two, and residual blocks",
    "geli-fig3": "RMSE and SSIM over the training, for one discriminator or two",
    "geli-fig4": "RMSE and SSIM over the training, with and without residual blocks",
    "kim2017-fig1": "two classes of products: colours of input and translation",
    "kim2017-fig4": "five modes to ten in the plane, by three models",
    "kim2017-fig5": "azimuths of cars, before and after their translation",
    "kim2017-fig6": "azimuths of faces, before and after their translation",
    "kim2017-fig7": "blond hair to black and back: what changes and what stays",
    "kim2017-fig8": "chairs to cars, and cars to faces",
    "kim2017-fig9": "edges to photos and back, for classes of products",
    "kwon2019-table1": "the rough-to-detail GAN against PixelDTGAN and pix2pix",
    "kwon2019-table2": "one, two and three stages",
    "kwon2019-fig4": "what a search by the drawn image finds",
    "kwon2019-fig6": "what is drawn after each stage",
    "taigman2017-table1": "which part of the Domain Transfer Network does what",
    "taigman2017-table2": "a classifier that learns from transferred digits",
    "taigman2017-table3": "a digit that one of the domains lacks",
    "taigman2017-table4": "faces among distractors",
    "taigman2017-avatars": "photos of drawn heads to avatars, of which the right one is known",
    "taigman2017-style": "style transfer, where the style is a fixed filter",
    "taigman2017-fig8": "what g draws for the standard basis of f's space",
    "taigman2017-fig9": "from T to S: digits become house numbers",
    "flow-ablations": "which part of appearance flow does what",
}

# Options with which experiments take data that are not part of this package, as the papers have
# them. Without, they run on drawn data.
PAPERS_DATA = {
    **dict.fromkeys(
        (
            "yoo2016-table3", "yoo2016-fig4", "yoo2016-fig6", "geli-table1", "geli-fig3",
            "geli-fig4",
        ),
        "--data LookBook/",
    ),
    **dict.fromkeys(
        ("kwon2019-table1", "kwon2019-table2", "kwon2019-fig4", "kwon2019-fig6"),
        "--data LookBook/ --splits kwon2019",
    ),
    "kim2017-fig1": "--data photos/ --classes handbags shoes",
    "kim2017-fig9": "--data photos/ --classes handbags shoes",
    **dict.fromkeys(
        ("taigman2017-table1", "taigman2017-table2", "taigman2017-table3", "taigman2017-fig8"),
        "--data tfds:svhn_cropped --target-data tfds:mnist",
    ),
    "taigman2017-table4": "--workdir runs/emoji --photos faces/ --gallery others/",
}  # fmt: skip

# smoke: about a minute for each row; cpu: a table in at most an hour on two cores; gpu: about as
# much on one GPU; paper: the samples and the width of the paper.
BUDGETS = ("smoke", "cpu", "gpu", "paper")

OUT = "runs/reproduce"  # folder of all tables, and of the networks that they share

_MODULES = {  # named as the model
    "yoo2016": "pixel_dtgan",
    "geli": "residual_pixel_dtgan",
    "kim2017": "discogan",
    "kwon2019": "rough_to_detail",
    "taigman2017": "domain_transfer",
    "flow": "appearance_flow",
}


def main(name: str, argv: Sequence[str]) -> None:
    """Runs an experiment, a key of `EXPERIMENTS`, with the arguments of the command."""
    module = importlib.import_module(f"{__name__}.{_MODULES[name.partition('-')[0]]}")
    module.COMMANDS[name](argv)
