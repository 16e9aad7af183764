"""ONNX: the numbers that torch gives, in a file that says what they mean; or no file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from landsweep import command_line
from models.bundle.config import EXAMPLE, WEIGHTS, config_text, read_config
from models.bundle.onnx_export import INPUT, OUTPUT, TOLERANCE, export_onnx, write_onnx
from models.bundle.weights import Bundle, load_bundle, write_bundle
from models.nets.build import ReflectanceNet
from models.settings import ExportSettings
from pipelines.errors import BundleError, SettingsError, StorageError
from pipelines.pixels.patch import Patch
from tests.models.seen import LABELS, bundle_of, corners, fresh
from tests.small_disk import small_disk

pytestmark = pytest.mark.usefixtures("one_thread")


def patch() -> Patch:
    """One band at 10 m, one at 20 m."""
    rng = np.random.default_rng(24)
    sizes = {"B04": 24, "B05": 12}
    return Patch({band: rng.integers(400, 1600, (size, size), np.uint16) for band, size in sizes.items()})


def run(file: Path, images: Tensor) -> Any:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run([OUTPUT], {INPUT: images.numpy()})[0]


class Small(nn.Module):
    """A mean of each class's own convolution, and whatever a test wants of it besides."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.conv(x).mean((2, 3))
        return found


class Two(Small):
    """Another net for whoever exports it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (0.01 if torch.compiler.is_exporting() else 0)


class Fixed(Small):
    """Takes batches of two and no others."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).reshape(2, 2)


class Foreign(Small):
    """Asks for what ONNX has no operator of."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvalsh(super().forward(x)[:, :, None] @ torch.ones(1, 2))


class Wide(Small):
    """Has more weights than a small disk has room for."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2 * 4096, 3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).unflatten(1, (2, -1)).mean(2)


def small(kind: type[Small] = Small) -> Bundle:
    return bundle_of(ReflectanceNet(kind(), [1000.0] * 2, [300.0] * 2), "landnet-s", LABELS, 24)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Two, r"differs from torch by up to 0\.002\d in probability, over 0\.0001"),
        (Fixed, "cannot be exported to ONNX"),
        (Foreign, "cannot be exported to ONNX"),
    ],
)
def test_what_is_not_the_same_net_is_refused(kind: type[Small], said: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=said) as refused:
        write_onnx(tmp_path / "model.onnx", small(kind), patch())
    assert "/" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    bundle = small()
    with torch.no_grad():
        next(bundle.net.parameters()).fill_(torch.nan)
    with pytest.raises(BundleError, match="differs from torch by up to nan"):
        write_onnx(tmp_path / "model.onnx", bundle, patch())
    assert not list(tmp_path.iterdir())


def test_weights_that_one_file_cannot_hold_are_refused(tmp_path: Path) -> None:
    bundle = small()
    bundle.net.backbone.register_buffer("large", torch.empty(2**29, device="meta"))
    with pytest.raises(BundleError, match=r"its weights are 2\.0 GiB"):
        write_onnx(tmp_path / "model.onnx", bundle, patch())


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        (disk / "model.onnx").write_bytes(b"old")
        with pytest.raises(StorageError, match="disk is full"):
            write_onnx(disk / "model.onnx", small(Wide), patch())
        assert [path.name for path in disk.iterdir()] == ["model.onnx"]
        assert (disk / "model.onnx").read_bytes() == b"old"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A run's folder with a small bundle in it."""
    net = fresh("landnet-s", 24)
    config = net.config.model_copy(
        update={"temperature": 0.5, "thresholds": dict(zip(LABELS, (0.3, 0.6), strict=True))}
    )
    write_bundle(tmp_path / "run" / "checkpoints" / "final", net.net, config, {}, patch())
    return tmp_path / "run"


def test_the_command_writes_a_file_that_says_what_its_numbers_mean(written: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "model.onnx"
    given = ["export", str(written), "--checkpoint", "final", "--threads", "1"]
    ended = CliRunner().invoke(command_line(), [*given, "--out", str(file), "--json"], catch_exceptions=False)
    found = json.loads(ended.stdout)
    assert (found["bytes"], found["tolerance"]) == (file.stat().st_size, 1e-4)
    assert found["input"] == "digital_numbers: float32 (batch, 2, 24, 24)"
    loaded = load_bundle(written / "checkpoints" / "final")
    session = onnxruntime.InferenceSession(file)
    said = {name: json.loads(value) for name, value in session.get_modelmeta().custom_metadata_map.items()}
    assert said == {
        "architecture": "landnet-s", "bands": ["B04", "B05"], "label_names": list(LABELS), "temperature": 0.5,
        "thresholds": dict(zip(LABELS, (0.3, 0.6), strict=True)), "image_size": 24, "scale": 10_000,
        "dataset": "0" * 64, "weights": loaded.config.files[WEIGHTS],
    }  # fmt: skip
    assert session.get_inputs()[0].shape == ["batch", 2, 24, 24]
    images = corners(2, 24, 5)[0]
    with torch.inference_mode():
        expected = torch.sigmoid(loaded.net(images) / 0.5).numpy()
    np.testing.assert_allclose(run(file, images), expected, rtol=0, atol=TOLERANCE)
    content = file.read_bytes()
    assert str(Path(__file__).parents[3]).encode() not in content
    assert b"site-packages" not in content


def test_the_same_bundle_gives_the_same_file(tmp_path: Path) -> None:
    bundle = small()
    for name in ("one", "two"):
        write_onnx(tmp_path / name, bundle, patch())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def export(*arguments: object, without: str = "") -> subprocess.CompletedProcess[str]:
    """In a process of its own, in which a package may be missing."""
    program = f"import sys; sys.modules.update(dict.fromkeys({without.split()!r})); import landsweep; landsweep.main()"
    command = [sys.executable, "-c", program, "export", *map(str, arguments)]
    return subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=120)


def test_without_the_extra_it_says_how_to_get_it(written: Path, tmp_path: Path) -> None:
    ended = export(written, "--out", tmp_path / "model.onnx", without="onnxscript onnxruntime")
    assert ended.returncode == 2
    assert "onnxscript, onnxruntime not installed" in ended.stderr
    assert "pip install -c constraints.txt -e '.[onnx]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_cannot_be_meant_is_refused_before_any_work(written: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"is a folder\. Name a file"):
        export_onnx(ExportSettings(source=written, out=tmp_path, checkpoint="final"))
    with pytest.raises(BundleError, match=r"no bundle there\. It has: final"):
        export_onnx(ExportSettings(source=written, out=tmp_path / "model.onnx"))
    folder = written / "checkpoints" / "final"
    config = read_config(folder)
    kept = {name: each for name, each in config.files.items() if name != EXAMPLE}
    (folder / "config.json").write_text(config_text(config.model_copy(update={"files": kept})))
    with pytest.raises(BundleError, match=r"names no example\.tif"):
        export_onnx(ExportSettings(source=folder, out=tmp_path / "model.onnx"))
    assert not (tmp_path / "model.onnx").exists()
