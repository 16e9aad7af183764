"""How a net is put together, as plain values: what a bundle keeps so that the same net can be built again.

Flows in: what `build` worked out for a name and a patch size. Flows out: a `Recipe`, in a bundle's config.json under
`architecture_arguments`. Light to import, and read strictly: a config may come from anybody.
"""

from __future__ import annotations

from pydantic import Field

from pipelines.settings import Settings

MAX_SIZE = 4096


class Recipe(Settings):
    """Everything beyond the architecture's name, the number of bands and the number of classes."""

    timm: str = Field(default="", pattern=r"^([a-z][a-z0-9_]*(\.[a-z0-9_]+)?)?$", description="timm's name; else empty")
    image_size: int = Field(default=0, ge=0, le=MAX_SIZE, description="pixels a side it is built for; 0 takes any")
    multiple: int = Field(default=1, ge=1, le=MAX_SIZE, description="patches are padded to a multiple of it")
    least: int = Field(default=1, ge=1, le=MAX_SIZE, description="and to no fewer than so many")
    window: int = Field(default=0, ge=0, le=64, description="side of an attention window in tokens; 0 is its own")
    coarse_grid: bool = Field(default=False, description="a pixel of the patches is one of 20 m")
    dropout: float | None = Field(default=None, ge=0, lt=1, description="before the classifier; none is its own")
    drop_path: float | None = Field(default=None, ge=0, lt=1, description="stochastic depth; none is its own")

    def padded(self, size: int) -> int:
        """Pixels a side that the backbone sees of patches of `size`."""
        return max(self.least, -(-size // self.multiple) * self.multiple)

    def padding(self, size: int) -> tuple[int, int]:
        """Pixels added before and after each axis of a patch of `size`."""
        added = self.padded(size) - size
        return added // 2, added - added // 2

    def describe(self, size: int) -> str:
        """What happens to the edges of a patch of `size`, in words."""
        before, after = self.padding(size)
        if not after:
            return "none"
        return f"{size} to {size + before + after} px by reflection, {before} before and {after} after"
