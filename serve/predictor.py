"""A bundle that predicts and explains. Knows no Ray and no HTTP.

Flows in: decoded patches, always as a batch. Flows out: label predictions and heat maps.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from models.bundle.weights import load_bundle
from models.device import pick_device
from models.explain.maps import explain, made_of
from pipelines.feeding.batches import assemble
from pipelines.pixels.patch import Patch
from serve.schema import LabelPrediction


class Predictor:
    """Holds one loaded bundle. Not safe for threads: callers take turns.

    Args:
        bundle: its folder.
        device: see `pick_device`.
        threads: CPU threads for the net; 0 leaves torch's choice.

    Raises:
        BundleError: the bundle is damaged or does not fit.
        SettingsError: see `pick_device`.
    """

    def __init__(self, bundle: Path, device: str = "auto", threads: int = 0) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.device = pick_device(device)
        self.loaded = load_bundle(bundle, self.device)
        self.config = self.loaded.config
        self.net = self.loaded.net.to(memory_format=torch.channels_last)
        self.warm_up()

    def warm_up(self) -> None:
        """One forward pass on nothing: what cannot predict must not be served."""
        side = self.config.image_size
        with torch.inference_mode():
            self.net(torch.zeros(1, self.config.in_chans, side, side, device=self.device))

    def predict(self, patches: Sequence[Patch]) -> list[list[LabelPrediction]]:
        """Every class with its probability, by falling probability, for each patch.

        Raises:
            PatchError: see `assemble`.
        """
        with torch.inference_mode():
            images = self._images(patches)
            probabilities = torch.sigmoid(self.net(images) / self.config.temperature)
        return [self._named(row) for row in probabilities.float().cpu().tolist()]

    def heat_png(self, patch: Patch, label: str) -> tuple[bytes, bool]:
        """Grad-CAM of one class as an 8-bit grey PNG of the image's size, and whether anything speaks for it.

        An ensemble's says in its text chunk `Description` whose map it is.

        Raises:
            LabelError: the model does not know the class.
            PatchError: see `assemble`.
            SettingsError, TrainingError, BundleError: see `models.explain.maps.explain`.
        """
        found = explain(self.loaded, self._images([patch]), label)[0]
        target = io.BytesIO()
        said = PngInfo()
        if whose := made_of(self.loaded):
            said.add_text("Description", whose)
        Image.fromarray(np.rint(found.heat * 255).astype(np.uint8)).save(target, "PNG", pnginfo=said)
        return target.getvalue(), found.evidence

    def _images(self, patches: Sequence[Patch]) -> Tensor:
        pixels = {band: np.stack([patch.pixels[band] for patch in patches]) for band in self.config.bands}
        return assemble(pixels, self.config.bands, self.config.image_size, self.device)

    def _named(self, probabilities: list[float]) -> list[LabelPrediction]:
        thresholds = self.config.thresholds
        found = [
            LabelPrediction(
                label=name, probability=value, threshold=thresholds[name], positive=value >= thresholds[name]
            )
            for name, value in zip(self.config.label_names, probabilities, strict=True)
        ]
        return sorted(found, key=lambda each: -each.probability)
