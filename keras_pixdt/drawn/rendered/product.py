"""A rendered product: its id determines its category, cut, fabric and colours."""

from __future__ import annotations

import dataclasses
import random

Color = tuple[int, int, int]

PALETTE: dict[str, Color] = {
    "white": (240, 240, 238),
    "cream": (238, 226, 196),
    "beige": (212, 188, 150),
    "camel": (186, 138, 84),
    "brown": (108, 70, 44),
    "grey": (150, 152, 156),
    "charcoal": (72, 76, 82),
    "black": (34, 34, 38),
    "red": (204, 36, 44),
    "burgundy": (118, 22, 44),
    "coral": (242, 112, 94),
    "pink": (244, 164, 190),
    "magenta": (204, 38, 130),
    "orange": (238, 124, 32),
    "mustard": (206, 158, 36),
    "yellow": (248, 216, 72),
    "olive": (116, 116, 54),
    "green": (44, 148, 72),
    "forest": (24, 82, 54),
    "mint": (162, 220, 190),
    "teal": (18, 124, 130),
    "turquoise": (62, 190, 200),
    "sky": (146, 194, 234),
    "blue": (42, 94, 204),
    "navy": (28, 40, 92),
    "purple": (106, 52, 150),
    "lavender": (184, 164, 222),
}

PATTERNS = ("plain", "horizontal stripes", "vertical stripes", "checks", "dots", "logo", "letters")

# How often each pattern is drawn for each category, in the order of PATTERNS. A print would be cut
# by a front opening, so shirts and coats have none.
_PATTERN_WEIGHTS = {
    "t-shirt": (4, 3, 1, 1, 2, 3, 3),
    "long sleeve": (4, 4, 1, 1, 2, 2, 2),
    "shirt": (4, 1, 3, 4, 2, 0, 0),
    "sweater": (5, 4, 1, 2, 1, 2, 1),
    "hoodie": (5, 2, 1, 1, 1, 2, 3),
    "tank top": (4, 3, 2, 1, 2, 2, 2),
    "dress": (4, 2, 2, 3, 4, 0, 0),
    "coat": (6, 0, 2, 3, 0, 0, 0),
}
CATEGORIES = tuple(_PATTERN_WEIGHTS)

# The necklines that a category can have.
_NECKLINES = {
    "t-shirt": ("crew", "crew", "v"),
    "long sleeve": ("crew", "boat", "v"),
    "shirt": ("collar",),
    "sweater": ("crew", "turtle", "v"),
    "hoodie": ("hood",),
    "tank top": ("scoop", "scoop", "v"),
    "dress": ("scoop", "v", "square", "crew"),
    "coat": ("lapel",),
}

# Length of the garment from the base of the neck and half width at the hem, least and greatest,
# in units of half the width between the shoulders.
_LENGTH = {
    "t-shirt": (2.75, 3.1),
    "long sleeve": (2.75, 3.0),
    "shirt": (2.9, 3.25),
    "sweater": (2.6, 2.9),
    "hoodie": (2.7, 3.0),
    "tank top": (2.6, 3.0),
    "dress": (4.3, 5.3),
    "coat": (4.2, 5.2),
}
_HEM = {
    "t-shirt": (0.98, 1.1),
    "long sleeve": (0.86, 0.96),
    "shirt": (0.98, 1.08),
    "sweater": (0.96, 1.06),
    "hoodie": (1.0, 1.1),
    "tank top": (0.84, 0.98),
    "dress": (1.25, 1.75),
    "coat": (1.15, 1.4),
}

LETTERS = ("NYC", "YES", "LOVE", "WOW", "HEY", "SUN", "RIO", "ART", "OK", "LA", "UP", "A", "K", "R",
           "S", "77", "23", "GO", "ZEN", "B52", "PIX", "MAX")  # fmt: skip
LOGOS = ("circle", "ring", "star", "heart", "triangle", "diamond", "bolt", "mountain", "flower")


@dataclasses.dataclass(frozen=True)
class Product:
    """One garment. Lengths are in units of half the width between the shoulders.

    Attributes:
        product_id: number of the product, 0 or more.
        seed: seed of the set that it belongs to.
        category: one of `CATEGORIES`.
        pattern: one of `PATTERNS`.
        color: name in `PALETTE` of the main fabric.
        second_color: name in `PALETTE` of the stripes, dots, print or trim.
        sleeve: "none", "short" or "long".
        neckline: "crew", "v", "boat", "turtle", "scoop", "square", "collar", "hood" or "lapel".
        trim: what the second colour also covers: "none", "ribs" or "sleeves".
        print: the word or the shape that is printed; empty without a print.
        variant: which of the variants of the pattern.
        rgb: main colour, near that of `color`.
        second_rgb: second colour.
        period: distance after which the pattern repeats.
        share: share of the period that has the second colour.
        length: from the base of the neck to the hem.
        hem: half the width at the hem.
        details: small choices (pocket, gap of a coat, ...), each in [0, 1).
    """

    product_id: int
    seed: int
    category: str
    pattern: str
    color: str
    second_color: str
    sleeve: str
    neckline: str
    trim: str
    print: str
    variant: int
    rgb: Color
    second_rgb: Color
    period: float
    share: float
    length: float
    hem: float
    details: tuple[float, float, float]

    def attributes(self) -> dict[str, str]:
        """Returns what one would say of the product, as plain words.

        Returns:
            category, pattern, color, second_color ("none" if the garment shows only one), sleeve,
            neckline and print ("none" without one).
        """
        one_color = self.pattern == "plain" and self.trim == "none"
        return {
            "category": self.category,
            "pattern": self.pattern,
            "color": self.color,
            "second_color": "none" if one_color else self.second_color,
            "sleeve": self.sleeve,
            "neckline": self.neckline,
            "print": self.print or "none",
        }


def color_distance(a: Color, b: Color) -> float:
    """Returns the distance of two colours as the eye sees it, roughly 0 to 765."""
    # "redmean": a cheap weighting of RGB that follows perception well enough to keep two fabrics
    # apart.
    mean_red = (a[0] + b[0]) / 2
    red, green, blue = (x - y for x, y in zip(a, b, strict=True))
    return (
        (2 + mean_red / 256) * red**2 + 4 * green**2 + (2 + (255 - mean_red) / 256) * blue**2
    ) ** 0.5


def vary(rng: random.Random, color: Color, by: int) -> Color:
    """Returns a colour near `color`, at most `by` away in each channel."""
    red, green, blue = (min(255, max(0, c + rng.randint(-by, by))) for c in color)
    return red, green, blue


def _sleeve(rng: random.Random, category: str) -> str:
    if category in ("t-shirt", "tank top"):
        return {"t-shirt": "short", "tank top": "none"}[category]
    if category == "dress":
        return rng.choice(("none", "none", "short"))
    if category == "shirt":
        return rng.choice(("long", "long", "long", "short"))
    return "long"


def _trim(rng: random.Random, category: str, pattern: str) -> str:
    if category in ("t-shirt", "long sleeve") and pattern in ("plain", "logo", "letters"):
        return rng.choice(("none", "none", "none", "ribs", "sleeves"))
    if category in ("sweater", "hoodie", "tank top"):
        return rng.choice(("none", "none", "none", "ribs"))
    return "none"


def sample_product(product_id: int, seed: int = 0) -> Product:
    """Draws a product at random.

    Args:
        product_id: number of the product, 0 or more.
        seed: seed of the set; the same id is another product under another seed.

    Returns:
        The product, which depends only on the two arguments.

    Raises:
        ValueError: if `product_id` is negative.

    Example:
        >>> sample_product(3).attributes()["category"] in CATEGORIES
        True
    """
    if product_id < 0:
        raise ValueError(f"`product_id` must be 0 or more. Received: product_id={product_id}")
    rng = random.Random(f"product/{seed}/{product_id}")
    category = rng.choice(CATEGORIES)
    pattern = rng.choices(PATTERNS, _PATTERN_WEIGHTS[category])[0]
    color = rng.choice(tuple(PALETTE))
    # The second colour must be told from the first at 64 pixels.
    contrasting = [c for c in PALETTE if color_distance(PALETTE[c], PALETTE[color]) > 190]
    second = rng.choice(("white", "black", *contrasting))
    if color_distance(PALETTE[second], PALETTE[color]) <= 190:
        second = rng.choice(contrasting)
    printed = {"logo": LOGOS, "letters": LETTERS}.get(pattern, ("",))
    return Product(
        product_id=product_id,
        seed=seed,
        category=category,
        pattern=pattern,
        color=color,
        second_color=second,
        sleeve=_sleeve(rng, category),
        neckline=rng.choice(_NECKLINES[category]),
        trim=_trim(rng, category, pattern),
        print=rng.choice(printed),
        variant=rng.randrange(3),
        rgb=vary(rng, PALETTE[color], 7),
        second_rgb=vary(rng, PALETTE[second], 7),
        period=rng.uniform(0.34, 0.75),
        share=rng.uniform(0.32, 0.55),
        length=rng.uniform(*_LENGTH[category]),
        hem=rng.uniform(*_HEM[category]),
        details=(rng.random(), rng.random(), rng.random()),
    )


def num_views(product: Product) -> int:
    """Returns how many person images a product has: 6 to 10, 8 on average."""
    return random.Random(f"views/{product.seed}/{product.product_id}").randint(6, 10)
