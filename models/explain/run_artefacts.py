"""What is shown of a net beside its numbers: where it looked, what its stages make of a patch, and its graph.

    OUT/
      gradcam_visualizations/…, activations.pdf    see `pages`
      tensorboard_graphs/…                         see `tensorboard_graph`

Flows in: a loaded bundle, and what it says of a split. Flows out: these files. A net of which one of them cannot be
made is no reason to lose a run's numbers: that is told, and the others are made.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from models.bundle.weights import Bundle
from models.explain.pages import choose, draw_activations, draw_pages, open_shown, put
from models.explain.tensorboard_graph import FILE, graph_file
from models.measure.predictions import Predictions
from pipelines.errors import LandsweepError
from pipelines.location import Location

Tell = Callable[[str], None]
Files = dict[str, bytes]


def write_insight(
    out: Path, bundle: Bundle, data: Location | str, predictions: Predictions, n: int, tell: Tell
) -> list[str]:
    """Show the n best and the n worst patches, none if it is 0, and the graph.

    Args:
        out: folder of the results.
        data: what the predictions, the bundle's own, were made of.
        tell: gets a line for each thing that could not be shown, and why.

    Returns:
        The files, relative to `out`. What could not be made anew stays as it was.

    Raises:
        ShardError, BandError, SettingsError, ServiceError: see `open_shown`.
        PredictionsError, BundleError: see `choose`.
        StorageError: the disk is full.
        BusyError: another process explains into this folder.
    """
    files = _made("graph", lambda: {FILE: graph_file(bundle.net, bundle.config.image_size)}, tell)
    if n:
        shown = choose(bundle, open_shown(bundle, data, predictions.split), predictions, n)
        files |= _made("heat maps", lambda: draw_pages(bundle, shown)[1], tell)
        files |= _made("feature maps", partial(draw_activations, bundle, shown), tell)
    put(out, files)
    return list(files)


def _made(what: str, make: Callable[[], Files], tell: Tell) -> Files:
    """What `make` makes, or nothing."""
    try:
        return make()
    except Exception as error:  # timm has a thousand nets, and each fails in its own way
        said = error.what if isinstance(error, LandsweepError) else f"{type(error).__name__}: {error}"
        tell(f"No {what} of this net: {said.splitlines()[0]}.")
        return {}
