"""A bundle's net as one ONNX file, for programs that have neither torch nor Landsweep: `landsweep export`.

Flows in: a bundle, or a run that has some. Flows out: FILE.onnx, proved against torch before it is written, or an error
and no file.

    digital_numbers   float32 (batch, bands, size, size), in the bundle's order of bands, all on the grid of `size`
    probabilities     float32 (batch, classes): sigmoid(logits / temperature), what thresholds are compared with

Normalisation, padding and temperature lie in the graph, so a program cannot forget them. Probabilities rather than
logits, because that is what the endpoint gives and what was calibrated. What belongs to the numbers goes with them, as
JSON under the names in `metadata`; it holds nothing of the machine it was written on.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.bundle.config import EXAMPLE, WEIGHTS, BundleConfig
from models.bundle.locate import find_bundle
from models.bundle.weights import Bundle, load_bundle
from models.settings import ExportSettings
from pipelines.errors import BundleError, SettingsError
from pipelines.feeding.batches import assemble
from pipelines.files import check_out, write_whole
from pipelines.pixels.patch import Patch, read_stack

INPUT, OUTPUT = "digital_numbers", "probabilities"

TOLERANCE = 1e-4
"""Largest difference of a probability from torch's that is let through. Rounding makes about 1e-6."""

BATCHES = (1, 2, 5)
"""Random patches that are compared at a time, after the example."""

MAX_BYTES = 2**31 - 2**24
"""Of weights: a protobuf message ends at 2 GiB, and beyond it ONNX wants a second file."""

_NEEDED = ("onnx", "onnxscript", "onnxruntime")


def export_onnx(settings: ExportSettings) -> dict[str, Any]:
    """Write a bundle's net, and return what the command line prints.

    Returns:
        `bundle`, `out`, `bytes`, `opset`, `input`, `output`, `patches` that were compared, `largest_difference` of a
        probability, and `tolerance`.

    Raises:
        SettingsError: the extra is not installed, or nothing can be written to `out`.
        BundleError: there is no bundle, it is damaged, or its net cannot be written so that the numbers are the same.
        StorageError: the disk is full.
    """
    check_extra()
    if settings.out.is_dir():
        raise SettingsError("is a folder", where=str(settings.out), hint="Name a file, such as model.onnx.")
    check_out(settings.out.parent)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    folder = find_bundle(settings.source, settings.checkpoint)
    bundle = load_bundle(folder)
    config = bundle.config
    example = read_stack((folder / EXAMPLE).read_bytes(), wanted=config.bands, size=config.image_size)
    return {"bundle": str(folder)} | write_onnx(settings.out, bundle, example)


def check_extra() -> None:
    """Refuse to begin where packages are missing that only this needs.

    Raises:
        SettingsError: naming them and the command that installs them.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        hint = "Install the extra landsweep[onnx]: in the checkout, pip install -c constraints.txt -e '.[onnx]'."
        raise SettingsError(f"{', '.join(missing)} not installed, which the export to ONNX needs", hint=hint)


def write_onnx(out: Path, bundle: Bundle, example: Patch, *, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Export, compare with torch, and only then write; what was at `out` before is replaced.

    Args:
        out: the file.
        bundle: on the CPU.
        example: a patch with the bundle's bands, compared first.
        tolerance: largest difference of a probability.

    Returns:
        As `export_onnx`, without `bundle`.

    Raises:
        BundleError: the net cannot be exported, or gives other numbers then.
        StorageError: the disk is full.
    """
    model, opset = _exported(bundle)
    batches = list(_batches(bundle.config, example))
    difference = _difference(bundle, model, batches)
    if not difference <= tolerance:  # it may be no number
        what = f"the exported net differs from torch by up to {difference:.2g} in probability, over {tolerance:g}"
        raise BundleError(what, where=bundle.config.architecture, hint="No file was written. Serve the bundle itself.")
    write_whole(out, model)
    config = bundle.config
    return {
        "out": str(out),
        "bytes": len(model),
        "opset": opset,
        "input": f"{INPUT}: float32 (batch, {config.in_chans}, {config.image_size}, {config.image_size})",
        "output": f"{OUTPUT}: float32 (batch, {config.num_classes})",
        "patches": sum(len(each) for each in batches),
        "largest_difference": difference,
        "tolerance": tolerance,
    }


def metadata(config: BundleConfig) -> dict[str, str]:
    """What goes into the file's `metadata_props`: name to JSON, in the bundle's own names and order."""
    kept = ("architecture", "bands", "label_names", "thresholds", "temperature", "image_size", "scale", "dataset")
    values = {name: getattr(config, name) for name in kept}
    values |= {"weights": config.files[WEIGHTS]} if WEIGHTS in config.files else {}  # their SHA-256
    return {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}


class _Probabilities(nn.Module):
    """All that serving does to digital numbers."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.net = bundle.net
        self.temperature = bundle.config.temperature

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(images)
        return torch.sigmoid(logits / self.temperature)


def _exported(bundle: Bundle) -> tuple[bytes, int]:
    """The file's bytes, and the version of ONNX's operators in it."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    config = bundle.config
    size = sum(each.numel() * each.element_size() for each in bundle.net.state_dict().values())
    if size > MAX_BYTES:
        what = f"its weights are {size / 2**30:.1f} GiB, and one ONNX file holds less than 2"
        raise BundleError(what, where=config.architecture, hint="Serve the bundle itself.")
    images = torch.zeros(2, config.in_chans, config.image_size, config.image_size)  # 1 would be taken for a constant
    try:
        program = torch.onnx.export(
            _Probabilities(bundle).eval(),
            (images,),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    except torch.onnx.OnnxExporterError as error:
        raise _refused(config, error.__cause__ or error) from None
    assert program is not None
    model = program.model
    ClearMetadataAndDocStringPass()(model)  # traces of the code that was exported, with the paths of its files
    for each in (*model.graph.inputs, *model.graph.outputs):
        each.metadata_props.clear()
    model.metadata_props.update(metadata(config))
    model.doc_string = f"{INPUT}: float32 (batch, bands, size, size), see bands. {OUTPUT}: calibrated, see label_names."
    return program.model_proto.SerializeToString(deterministic=True), int(model.opset_imports[""])


def _batches(config: BundleConfig, example: Patch) -> Iterator[NDArray[np.float32]]:
    """The example, and patches of noise that are as bright and as varied as the training split's, band by band."""
    pixels = {band: example.pixels[band][None] for band in config.bands}
    yield assemble(pixels, config.bands, config.image_size).numpy()
    rng = np.random.default_rng(0)
    mean, std = (np.array([values[band] for band in config.bands]) for values in (config.mean, config.std))
    for count in BATCHES:
        drawn = rng.normal(size=(count, config.in_chans, config.image_size, config.image_size))
        numbers = drawn * std[:, None, None] + mean[:, None, None]
        yield numbers.round().clip(0, 65_535).astype(np.float32)


def _difference(bundle: Bundle, model: bytes, batches: list[NDArray[np.float32]]) -> float:
    """Largest absolute difference of a probability between onnxruntime and torch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors: what it warns of is how it might run faster
    differences = []
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for images in batches:
            (found,) = session.run([OUTPUT], {INPUT: images})
            with torch.inference_mode():
                expected = _Probabilities(bundle)(torch.from_numpy(images)).numpy()
            differences.append(np.abs(found - expected).max())
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise _refused(bundle.config, error) from None
    return float(np.max(differences))


def _refused(config: BundleConfig, error: BaseException) -> BundleError:
    """The net cannot be exported, and why, in one line without paths."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = re.sub(r"\S*/\S+", "…", lines[0] if lines else type(error).__name__)
    return BundleError(
        f"the net cannot be exported to ONNX ({reason})", where=config.architecture, hint="Serve the bundle itself."
    )
