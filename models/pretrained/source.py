"""A file of weights as it is to be loaded: tensors by timm's names, and what its channels and classes are called.

Whoever says it first is believed: the user, in `pretrained_bands` or in FILE.bands.json; the publisher, in the JSON
beside the file; the table of known files; and three channels are red, green and blue. Nobody else is: what a dozen
channels are is not guessed.

Flows in: a file's path, and what the user says of its channels. Flows out: a `Source`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from models.pretrained.beside import read_publishers, read_sidecar, sidecar_of
from models.pretrained.forms import Formed, to_timm
from models.pretrained.known import RGB, SEVERAL, known
from models.pretrained.normalisation import Normalisation
from models.pretrained.read import Contents, read_contents
from pipelines.bands import listed
from pipelines.errors import SettingsError, shown
from pipelines.spellings import canonical, canonical_names

SETTING = "pretrained_bands"


@dataclass(frozen=True)
class Source:
    """What a file of weights is.

    Args:
        contents: of the file.
        formed: its tensors by timm's names.
        what: publisher and name, or a phrase where they are unknown.
        bands: of the channels, in their order, as Sentinel-2 names them; empty where nobody says.
        told: by whom the bands are said.
        normalisation: none where nobody says.
        labels: of the rows of the classifier; empty where nobody says.
        model: the net's name, where the publisher says it.
        published: where.
    """

    contents: Contents
    formed: Formed
    what: str
    bands: tuple[str, ...] = ()
    told: str = ""
    normalisation: Normalisation | None = None
    labels: tuple[str, ...] = ()
    model: str = ""
    published: str = ""

    @property
    def state(self) -> dict[str, Tensor]:
        """Tensors by timm's names."""
        return self.formed.state


def open_source(path: Path, channels: str = "") -> Source:
    """Read a file of weights, and find out what it is.

    Args:
        channels: what the user says that its channels are: a comma list, or the name of a set; nothing if empty.

    Raises:
        SettingsError: see `read_contents` and `read_sidecar`; or as many bands are not said as there are channels, or
            one twice.
    """
    contents = read_contents(path)
    formed = to_timm(contents.tensors)
    row = known(formed.form, formed.channels, path.name)
    publisher = read_publishers(path, formed.channels, formed.classes, row.scale if row else 1.0)
    sidecar = read_sidecar(path)
    said = (each.normalisation for each in (sidecar, publisher, row) if each)
    if channels:
        bands, told = listed(channels), SETTING
    elif sidecar:
        bands, told = sidecar.bands, sidecar.file.name
    elif publisher:
        bands, told = publisher.bands, publisher.file.name
    elif row:
        bands, told = row.bands, f"its form and {formed.channels} channels" if not row.named else "its name and form"
    else:
        bands, told = (), ""
    if not bands and formed.channels in (0, 3):
        bands, told = RGB, "nobody, so they are taken for red, green and blue"
    what = row.what if row else "of a publisher that is not known here"
    return Source(
        contents,
        formed,
        what,
        _checked(path, formed, bands, told),
        told if bands else "nobody",
        next(filter(None, said), None),
        labels=publisher.labels if publisher else (),
        model=publisher.model if publisher else "",
        published=row.source if row else "",
    )


def how_to_name(file: Path, form: str, channels: int) -> str:
    """For a file whose channels nobody names: how that is done, and which names are likely."""
    how = f"Name them in their order: {SETTING}: B02,B03,… (or --pretrained-bands), or "
    how += f'{{"bands": ["B02", "B03", …]}} in {sidecar_of(file).name} beside it.'
    return f"{SEVERAL.get((form, channels), '')} {how}".strip()


def _checked(path: Path, formed: Formed, bands: tuple[str, ...], told: str) -> tuple[str, ...]:
    """The bands by Sentinel-2's names, each of one channel."""
    if bands and formed.channels and len(bands) != formed.channels:
        what = f"{len(bands)} bands are named by {told}, and the file has {formed.channels} channels"
        raise SettingsError(what, where=str(path), hint="Name each channel once, in the file's order.")
    names = canonical_names(bands)
    meant = [canonical(each) or each for each in names]
    if twice := [each for each in meant if meant.count(each) > 1]:
        what = f'band "{shown(twice[0])}" is named twice by {told}'
        raise SettingsError(what, where=str(path), hint="Name each channel once, in the file's order.")
    return names
