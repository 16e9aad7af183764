"""Several trained nets that answer as one: the logit of the weighted mean of their probabilities.

Flows in: nets with the bands each of them reads, its temperature and its share. Flows out: an `EnsembleNet`, to all
else a net like any other: digital numbers of the union of their bands in, logits out. Each member takes its own bands
by name, and normalises and pads them itself.

Probabilities are averaged, not logits: those are what was calibrated, and what the members were chosen by. A logit of
the mean gives it back through the sigmoid that everybody applies, and leaves room for a temperature of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.build import ReflectanceNet
from models.nets.recipe import Recipe


@dataclass(frozen=True)
class Member:
    """One net of an ensemble.

    Args:
        architecture: its name in the zoo.
        net: takes digital numbers of its bands.
        bands: in the order of its channels.
        temperature: its logits are divided by it.
        share: of the mean; those of all members add up to 1.
    """

    architecture: str
    net: ReflectanceNet
    bands: tuple[str, ...]
    temperature: float
    share: float


class MeanProbability(nn.Module):
    """The backbone of an ensemble, on digital numbers as they are.

    Args:
        members: as they are to be weighed.
        bands: in the order of the channels of what comes in; all of the members' are among them.
    """

    shares: Tensor

    def __init__(self, members: Sequence[Member], bands: Sequence[str]) -> None:
        super().__init__()
        self.members = nn.ModuleList(each.net for each in members)
        self.temperatures = tuple(each.temperature for each in members)
        # Not in the weights file: config.json says them, band by band and member by member.
        shares = torch.tensor([each.share for each in members]).log().view(-1, 1, 1)
        self.register_buffer("shares", shares, persistent=False)
        for place, each in enumerate(members):
            channels = torch.tensor([list(bands).index(band) for band in each.bands])
            self.register_buffer(f"channels_{place}", channels, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Digital numbers (batch, bands, size, size) to logits (batch, classes)."""
        said = []
        for place, (net, temperature) in enumerate(zip(self.members, self.temperatures, strict=True)):
            said.append(net(self.channels_of(place, images)) / temperature)
        logits = torch.stack(said)
        # As sums of logarithms: of a float32 probability near 1 nothing would be left to take the logit of.
        yes = torch.logsumexp(functional.logsigmoid(logits) + self.shares, 0)
        no = torch.logsumexp(functional.logsigmoid(-logits) + self.shares, 0)
        return yes - no

    def channels_of(self, place: int, images: Tensor) -> Tensor:
        """What the member of this place takes of images (batch, bands, size, size): its own bands, in its order."""
        return images.index_select(1, self.get_buffer(f"channels_{place}"))


class EnsembleNet(ReflectanceNet):
    """Several nets as one.

    Args:
        members: at least one, all with the same classes.
        bands: in the order of the channels; the members' together.
        mean, std: of each, for whoever asks what an ordinary number is; the members normalise by their own.
        image_size: pixels a side of the patches.
    """

    backbone: MeanProbability

    def __init__(
        self,
        members: Sequence[Member],
        bands: Sequence[str],
        mean: Sequence[float],
        std: Sequence[float],
        image_size: int,
    ) -> None:
        bound = any(each.net.recipe.image_size for each in members)
        super().__init__(MeanProbability(members, bands), mean, std, Recipe(image_size=image_size if bound else 0))
        self.parts = tuple(members)

    def prepare(self, images: Tensor) -> Tensor:
        """What the backbone sees of digital numbers (batch, bands, size, size): the same, as its members prepare them.

        Raises:
            BandError: there are more or fewer bands than the members read together.
            SettingsError: a member is built for patches of another size.
        """
        self.check(images)
        return images

    @property
    def heaviest(self) -> int:
        """Place of the member with the largest share; the first of equals."""
        shares = [each.share for each in self.parts]
        return shares.index(max(shares))
