"""Cars, chairs and heads, drawn from all sides: shaded 3-D objects from a seed.

They stand in for the renderings of Kim et al. 2017, Sec. 3.2.1 and 3.2.3, whose objects vary in
azimuth: 3-D cars (Fidler et al. 2012), faces (Paysan et al. 2009) and chairs (Aubry et al. 2014).
NumPy only.

Example:
    ```python
    from keras_pixdt.drawn import azimuth

    pictures, azimuths = azimuth.render_views("car", 100, image_size=64, seed=0)
    ```
"""

from keras_pixdt.drawn.azimuth.distortions import DISTORTIONS, distort, distort_by
from keras_pixdt.drawn.azimuth.mesh import Mesh
from keras_pixdt.drawn.azimuth.render import (
    AZIMUTHS,
    KINDS,
    Model,
    render_model,
    render_views,
    sample_model,
)

__all__ = [
    "AZIMUTHS",
    "DISTORTIONS",
    "KINDS",
    "Mesh",
    "Model",
    "distort",
    "distort_by",
    "render_model",
    "render_views",
    "sample_model",
]
