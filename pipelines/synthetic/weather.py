"""What comes between the satellite and the ground: haze, thin and thick clouds, and snow.

Flows in: abundances (materials, 120, 120) of the bare scene and a random generator.
Flows out: abundances under snow or clouds, and the air's own light (bands, 120, 120) for `spectra.sense`.

Haze and thin veils are in every archive that passes for clear; clouds and snow only in the patches marked so.
"""

from __future__ import annotations

import numpy as np

from pipelines.bands import PATCH_SIZE
from pipelines.synthetic.spectra import INDEX, Array
from pipelines.synthetic.terrain import noise, ramp

# Light that haze and that thin cirrus add to each band, relative to B02: aerosol scattering falls with wavelength.
_HAZE = np.array([1.25, 1.0, 0.72, 0.5, 0.44, 0.39, 0.35, 0.31, 0.29, 0.24, 0.08, 0.04], dtype=np.float32)
_VEIL = np.array([1.0, 1.0, 0.98, 0.97, 0.97, 0.97, 0.96, 0.96, 0.95, 0.9, 0.7, 0.5], dtype=np.float32)


def haze(rng: np.random.Generator) -> Array:
    """Light of the air over one patch, (bands, 120, 120), reflectance × 10,000: haze, at times a veil of cirrus."""
    light = rng.gamma(1.2, 80) * (1 + 0.12 * noise(rng, 3))
    air: Array = _HAZE[:, None, None] * light.astype(np.float32)
    if rng.random() < 0.07:
        veil = rng.uniform(150, 1300) * ramp(noise(rng, 2.3), -1.0, 2.5)
        air += _VEIL[:, None, None] * veil.astype(np.float32)
    return air


def overcast(abundance: Array, rng: np.random.Generator) -> Array:
    """The same abundances under clouds, and darker in the shadows that these throw."""
    field = noise(rng, 2.3)
    opaque = ramp(field, rng.uniform(-0.8, 0.5), 1.2)
    down, right = rng.integers(12, 45, 2)
    shadow = np.pad(opaque, ((down, 0), (right, 0)), mode="edge")[:PATCH_SIZE, :PATCH_SIZE]
    clouded: Array = abundance * (1 - 0.65 * shadow) * (1 - opaque)
    clouded[INDEX["cloud"]] += opaque * rng.uniform(0.7, 1.2)
    return clouded


def snowed(abundance: Array, rng: np.random.Generator) -> Array:
    """The same abundances under snow, which woods and water hold less of."""
    woody = abundance[[INDEX[name] for name in ("conifer", "broadleaf", "evergreen", "shrub", "litter")]].sum(0)
    water = abundance[[INDEX[name] for name in ("lake", "humic", "sea", "turbid")]].sum(0)
    bared = 1 - (0.9 * woody + 0.95 * water * (rng.random() < 0.6)).clip(0, 1)
    cover = rng.uniform(0.5, 1) * ramp(noise(rng, 2), -1.5, 1.0) * bared
    white: Array = abundance * (1 - cover)
    white[INDEX["snow"]] += rng.uniform(0.4, 0.8) * cover
    return white
