"""A procedural LookBook: products and persons who wear them, drawn from a seed.

It stands in for LookBook if that is not available: the same garment is drawn flat on white, and on
persons with many looks, poses and places. Pillow and NumPy only.

Differs from the paper of Yoo et al., whose data set it stands in for:
- The paper has LookBook: 75,016 photos of models who wear 9,732 tops (Sec. 5.1). `--data` takes it.
  If it is not available, 1,600 products, not only tops, are drawn within minutes.

Example:
    ```python
    from keras_pixdt.drawn import rendered

    for drawn in rendered.render(100, image_size=64, seed=0, processes=1):
        print(drawn.product.attributes(), drawn.target.shape, drawn.sources.shape)
    ```
"""

from keras_pixdt.drawn.rendered.product import (
    CATEGORIES,
    PALETTE,
    PATTERNS,
    Product,
    num_views,
    sample_product,
)
from keras_pixdt.drawn.rendered.render import (
    RenderedProduct,
    draw_person,
    draw_product,
    render,
    write_lookbook,
)

__all__ = [
    "CATEGORIES",
    "PALETTE",
    "PATTERNS",
    "Product",
    "RenderedProduct",
    "draw_person",
    "draw_product",
    "num_views",
    "render",
    "sample_product",
    "write_lookbook",
]
