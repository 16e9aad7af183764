"""Models by name: our own and timm's, all with the same face.

Flows in: a model's name, a patch size, band statistics, number of classes.
Flows out: a `ReflectanceNet`: digital numbers in, logits out. Normalisation and padding lie inside it, so a bundle
cannot be served with other statistics than it was trained with, and no family loses the edge of a patch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.nets.catalog import MODELS, check_model
from models.nets.landnet import SIZES, STRIDE, LandNet
from models.nets.random_convolutions import NAME as RANDOM
from models.nets.random_convolutions import RandomConvolutions
from models.nets.recipe import Recipe
from pipelines.bands import PATCH_SIZE, is_coarse
from pipelines.errors import BandError, SettingsError


class ReflectanceNet(nn.Module):
    """A net on stored numbers: subtracts each band's mean, divides by its deviation, pads, and runs the backbone.

    What is no data (NaN) is the band's mean to the backbone, wherever it comes from.

    Args:
        backbone: takes normalised float32 (batch, bands, side, side), gives logits (batch, classes).
        mean, std: stored numbers, one a band, in the order of the channels.
        recipe: how the backbone was put together, and how patches are padded for it.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Module, mean: Sequence[float], std: Sequence[float], recipe: Recipe | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.recipe = recipe or Recipe()
        # Not in the weights file: config.json holds them by band name, and is the only place they live.
        self.register_buffer("mean", torch.empty(0), persistent=False)
        self.register_buffer("std", torch.empty(0), persistent=False)
        self.normalise_by(mean, std)

    def normalise_by(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Subtract and divide by these from now on: stored numbers, one a band, in the order of the channels."""
        self.statistics = (tuple(map(float, mean)), tuple(map(float, std)))
        self.mean = torch.tensor(self.statistics[0], device=self.mean.device).view(1, -1, 1, 1)
        divisors = [each or 1.0 for each in self.statistics[1]]  # a band that never changes
        self.std = torch.tensor(divisors, device=self.std.device).view(1, -1, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Digital numbers, float32 (batch, bands, size, size), to logits (batch, classes).

        Raises:
            SettingsError: see `prepare`.
        """
        logits: Tensor = self.backbone(self.prepare(images))
        return logits

    def prepare(self, images: Tensor) -> Tensor:
        """What the backbone sees of digital numbers (batch, bands, size, size): normalised, padded by reflection.

        Raises:
            BandError, SettingsError: see `check`.
        """
        self.check(images)
        size = images.shape[-1]
        images = (images - self.mean).div_(self.std).nan_to_num_(0.0, torch.inf, -torch.inf)
        before, after = self.recipe.padding(size)
        return functional.pad(images, (before, after) * 2, mode="reflect") if after else images

    def check(self, images: Tensor) -> None:
        """Refuse images (batch, bands, size, size) that the net is not built for.

        Raises:
            BandError: they have another number of bands.
            SettingsError: they are of another size.
        """
        bands, size = images.shape[1], images.shape[-1]
        if bands != self.mean.shape[1]:  # one would be taken for each of them
            raise BandError(f"the patches have {bands} bands, and the net takes {self.mean.shape[1]}")
        if self.recipe.image_size not in (0, size):
            raise SettingsError(
                f"the net is built for patches of {self.recipe.image_size} px, not {size}",
                where="image_size",
                hint="Build it for these, or choose a model that takes any size.",
            )

    def crop(self, maps: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        """Take the padding off maps (…, side, side) of what `prepare` gives, so that they lie on the patch again."""
        before, _ = self.recipe.padding(size)
        return maps[..., before : before + size, before : before + size]


def create_net(
    name: str,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    bands: Sequence[str],
    num_classes: int,
    image_size: int = PATCH_SIZE,
    coarse_grid: bool = False,
    seed: int | None = None,
    dropout: float | None = None,
    drop_path: float | None = None,
) -> ReflectanceNet:
    """Build a net, its weights drawn from `seed` (without touching the global generator if one is given).

    Args:
        name: see `models.nets.catalog.MODELS`, or timm's.
        mean, std: digital numbers, one a band, in the order of the channels.
        bands: names of the channels. By them landnet knows which are coarse.
        image_size: pixels a side of the patches; transformers are built for it and take no other.
        coarse_grid: the dataset has no band of 10 m, so that a pixel of the patches is one of 20 m.
        dropout, drop_path: before the classifier, and of whole blocks; the model's own if not given.

    Raises:
        SettingsError: the zoo has no such model, or it cannot be built so.
        BandError: there are not as many bands as statistics.
    """
    return assemble(
        name,
        plan(name, image_size, dropout=dropout, drop_path=drop_path, coarse_grid=coarse_grid),
        mean=mean,
        std=std,
        num_classes=num_classes,
        bands=bands,
        seed=seed,
    )


def plan(
    name: str,
    image_size: int,
    *,
    dropout: float | None = None,
    drop_path: float | None = None,
    coarse_grid: bool = False,
) -> Recipe:
    """How a model is to be built for patches of `image_size` px; see `create_net`.

    Raises:
        SettingsError: neither the zoo nor timm has such a model, or it cannot take such patches.
    """
    check_model(name)
    if name in SIZES:
        return Recipe(multiple=STRIDE, dropout=dropout, drop_path=drop_path, coarse_grid=coarse_grid)
    if name == RANDOM:
        if drop_path is not None:
            raise SettingsError(f'"{name}" has no stochastic depth', where="drop_path", hint="Leave it out.")
        return Recipe(dropout=dropout)
    from models.nets.families import recipe

    return recipe(MODELS[name].timm if name in MODELS else name, image_size, dropout=dropout, drop_path=drop_path)


def assemble(
    name: str,
    recipe: Recipe,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    bands: Sequence[str],
    num_classes: int,
    seed: int | None = None,
) -> ReflectanceNet:
    """Build a net by a recipe that `plan` made, now or when a bundle was written; see `create_net`.

    Raises:
        SettingsError: the recipe cannot be followed.
        BandError: there are not as many bands as statistics.
    """
    if not len(bands) == len(mean) == len(std):
        raise BandError(f"{len(bands)} bands are named, {len(mean)} have a mean and {len(std)} a deviation")
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        return ReflectanceNet(_backbone(name, recipe, bands, num_classes), mean, std, recipe)


def coarse_channels(bands: Sequence[str], recipe: Recipe) -> list[bool]:
    """For each band, whether it is measured on a coarser grid than the patches', by its name."""
    return [is_coarse(band) and not recipe.coarse_grid for band in bands]


def _backbone(name: str, recipe: Recipe, bands: Sequence[str], num_classes: int) -> nn.Module:
    if name in SIZES:
        rates = {"dropout": recipe.dropout, "drop_path": recipe.drop_path}
        return LandNet(coarse_channels(bands, recipe), num_classes, SIZES[name], **rates)
    if name == RANDOM:
        return RandomConvolutions(len(bands), num_classes, dropout=recipe.dropout)
    from models.nets.families import build

    return build(recipe, len(bands), num_classes)
