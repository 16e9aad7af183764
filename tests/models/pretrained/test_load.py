"""Weights trained before: bands and classes by name, nothing by position, no code run, and a report of every tensor."""

from __future__ import annotations

import hashlib
import itertools
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from models.bundle.weights import write_bundle
from models.nets.build import ReflectanceNet, create_net
from models.pretrained.adapt import CORRELATION, LoadReport, spread
from models.pretrained.hub import Hub
from models.pretrained.known import RGB
from models.pretrained.load import load_pretrained
from models.pretrained.read import read_tensors
from pipelines.bands import ALL_BANDS
from pipelines.errors import BandError, BundleError, LandsweepError, ServiceError, SettingsError
from tests.damage import damaged
from tests.fakes import nobody
from tests.models.nets.test_build import config_of, patch_of

pytestmark = pytest.mark.usefixtures("one_thread")

LITE = "tf_efficientnet_lite0"


def fresh(name: str, bands: tuple[str, ...], labels: tuple[str, ...] = ("a", "b"), **more: object) -> ReflectanceNet:
    """A net that takes normalised values as they are."""
    count = len(bands)
    given = {"mean": [0.0] * count, "std": [1.0] * count, "num_classes": len(labels), "seed": 0}
    return create_net(name, **given, bands=bands, **more).eval()  # type: ignore[arg-type]  # of a test


def loaded(
    name: str, bands: tuple[str, ...], labels: tuple[str, ...] = ("a", "b"), *, pretrained: str, **more: object
) -> tuple[ReflectanceNet, LoadReport]:
    """Such a net with weights from somewhere, and what is said of them."""
    told = {key: more.pop(key) for key in ("channels", "normalisation") if key in more}
    net = fresh(name, bands, labels, **more)
    report = load_pretrained(net, name, pretrained, bands=bands, labels=labels, **told)  # type: ignore[arg-type]  # of a test
    return net, report


@pytest.fixture
def lite_file(real_data: Path) -> str:
    return str(real_data / "weights" / f"{LITE}_imagenet.pth")


def test_on_rgb_the_net_is_timms_own(lite_file: str) -> None:
    theirs = timm.create_model(LITE, num_classes=0)
    theirs.load_state_dict(torch.load(lite_file, weights_only=True), strict=False)
    theirs.double().eval()
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    for bands in (RGB, ("B02", "B03", "B04"), ("blue", "Red", "green")):
        net, _ = loaded(LITE, bands, pretrained=lite_file)
        net.double()
        where = {"B04": 0, "B03": 1, "B02": 2, "Red": 0, "green": 1, "blue": 2}
        seen = images[:, [where[band] for band in bands]]
        features = net.backbone.forward_head(net.backbone.forward_features(seen), pre_logits=True)
        torch.testing.assert_close(features, theirs(images))


def test_report_names_every_tensor(lite_file: str) -> None:
    net, report = loaded(LITE, ALL_BANDS, pretrained=lite_file)
    assert list(report.adapted) == ["conv_stem.weight"]
    assert "B02, B03, B04 by name, 9 more from the mean" in report.adapted["conv_stem.weight"]
    assert set(report.fresh) == {"classifier.weight", "classifier.bias"}
    assert set(report.loaded) | set(report.adapted) | set(report.fresh) == set(net.backbone.state_dict())
    assert report.share > 0.99
    assert "conv_stem.weight adapted" in str(report)
    assert report.as_dict()["loaded"] == report.loaded


def test_a_bands_own_kernel_is_kept_and_others_get_the_mean() -> None:
    kernel = torch.randn(16, 3, 3, 3)
    found = spread(kernel, RGB, ("B08", "B02", "B04"))
    scale = found[0, 1, 0, 0] / kernel[0, 2, 0, 0]
    torch.testing.assert_close(found[:, 1:], kernel[:, [2, 0]] * scale)
    torch.testing.assert_close(found[:, 0], kernel.mean(1) * scale)


@pytest.mark.parametrize("bands", [ALL_BANDS, ("B08", "B11"), ("B04", "B03", "B02", "B08"), ("B04",)], ids=len)
def test_variance_of_the_response_is_kept(bands: tuple[str, ...]) -> None:
    """On bands as they are assumed to be: standardised, any two correlated alike."""
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(32, 3, 3, 3, generator=generator) + 0.3
    response = [
        torch.nn.functional.conv2d(correlated(each.shape[1], generator), each).var((0, 2, 3)).sum()
        for each in (kernel, spread(kernel, RGB, bands))
    ]
    assert float(response[1] / response[0]) == pytest.approx(1, rel=0.05)


def correlated(channels: int, generator: torch.Generator) -> Tensor:
    own = torch.randn(8, channels, 64, 64, generator=generator)
    shared = torch.randn(8, 1, 64, 64, generator=generator)
    return own * (1 - CORRELATION) ** 0.5 + shared * CORRELATION**0.5


@given(st.permutations(ALL_BANDS), st.integers(1, 12))
def test_spreading_to_the_same_bands_is_a_change_of_order(order: list[str], count: int) -> None:
    theirs = order[:count]
    kernel = torch.arange(2.0 * count).view(2, count, 1, 1)
    for ours in itertools.islice(itertools.permutations(theirs), 5):
        assert torch.equal(spread(spread(kernel, theirs, ours), ours, theirs), kernel)


def test_a_bundles_bands_and_classes_go_by_name(tmp_path: Path) -> None:
    bands = ("B04", "B08", "B11", "B05")
    first = fresh("landnet-s", bands, ("forest", "sea", "town"))
    config = config_of("landnet-s", list(bands), ["forest", "sea", "town"])
    write_bundle(tmp_path / "bundle", first, config, {}, patch_of(bands))
    others = ("B05", "B11", "B08", "B04")
    net, report = loaded("landnet-s", others, ("town", "heath", "forest"), pretrained=str(tmp_path / "bundle"))
    untouched = fresh("landnet-s", others, ("town", "heath", "forest"))
    fine, coarse = "backbone.features.0.fold.0.weight", "backbone.features.0.take.1.weight"
    head = "backbone.head.1.weight"
    before, after, plain = (each.state_dict() for each in (first, net, untouched))
    for layer in (fine, coarse):
        assert torch.equal(after[layer], before[layer].flip(1))
    assert torch.equal(after[head][[0, 2]], before[head][[2, 0]])
    assert torch.equal(after[head][1], plain[head][1])
    assert report.adapted["head.1.bias"] == "2 of 3 classes by name, the others fresh"
    images = torch.randn(1, 4, 40, 40)
    same, _ = loaded("landnet-s", bands, ("forest", "sea", "town"), pretrained=str(tmp_path / "bundle"))
    assert torch.equal(same(images), first(images))
    with pytest.raises(SettingsError, match="bundle is of landnet-s, not landnet"):
        loaded("landnet", ("B04",), pretrained=str(tmp_path / "bundle"))
    (tmp_path / "bundle" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(BundleError, match="damaged"):
        loaded("landnet-s", ("B04",), pretrained=str(tmp_path / "bundle"))


def test_the_weights_file_of_a_bundle_is_the_bundle_and_that_of_the_hub_is_of_photographs(tmp_path: Path) -> None:
    bands, labels = ("B11", "B08", "B05"), ("forest", "sea")
    first = fresh("test_resnet", bands, labels)
    folder = tmp_path / "bundle"
    write_bundle(folder, first, config_of("test_resnet", list(bands), list(labels)), {}, patch_of(bands))
    file = str(folder / "model.safetensors")
    _, report = loaded("test_resnet", bands, labels, pretrained=file)
    assert {"conv1.0.weight", "fc.weight"} <= set(report.loaded)
    (folder / "config.json").write_text('{"architecture": "test_resnet", "num_classes": 2, "pretrained_cfg": {}}')
    _, report = loaded("test_resnet", bands, labels, pretrained=file)
    assert "no band by name, 3 more from the mean of B04, B03, B02" in report.adapted["conv1.0.weight"]
    (folder / "config.json").write_text('{"format": 1, "ban')
    with pytest.raises(BundleError, match="config is damaged"):
        loaded("test_resnet", bands, labels, pretrained=file)


def test_a_grid_that_the_bundle_has_no_band_of_stays_fresh(tmp_path: Path) -> None:
    first = fresh("landnet-s", ("B04", "B08"))
    write_bundle(
        tmp_path / "bundle", first, config_of("landnet-s", ["B04", "B08"], ["a", "b"]), {}, patch_of(["B04", "B08"])
    )
    _, report = loaded("landnet-s", ("B11", "B04"), pretrained=str(tmp_path / "bundle"))
    assert list(report.fresh) == ["features.0.take.1.weight"]
    assert report.adapted["features.0.fold.0.weight"].startswith("B04 by name")


@pytest.mark.parametrize("wrap", ["safetensors", "state_dict", "model.module", "compiled"])
def test_files_as_others_write_them(wrap: str, tmp_path: Path) -> None:
    state = timm.create_model("test_resnet", num_classes=7).state_dict()
    path = tmp_path / "weights"
    if wrap == "safetensors":
        save_file(state, path)
    elif wrap == "state_dict":
        torch.save({"state_dict": state, "epoch": 3}, path)
    elif wrap == "model.module":
        torch.save({"model": {f"module.{name}": each for name, each in state.items()}}, path)
    else:
        torch.save({f"_orig_mod.{name}": each for name, each in state.items()}, path)
    net, report = loaded("test_resnet", RGB, pretrained=str(path))
    assert torch.equal(net.state_dict()["backbone.layer2.0.conv1.weight"], state["layer2.0.conv1.weight"])
    assert set(report.fresh) == {"fc.weight", "fc.bias"}


def test_positions_of_another_grid_are_resampled(tmp_path: Path) -> None:
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "vit.safetensors")
    net, report = loaded("test_vit", RGB, image_size=64, pretrained=str(tmp_path / "vit.safetensors"))
    assert "pos_embed" in report.loaded
    assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 2)


class Command:
    """What would run when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1",)


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"conv1.weight": Command()}, tmp_path / "zip.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps({"conv1.weight": Command()}))
    for name in ("zip.pth", "bare.pth"):
        with pytest.raises(SettingsError, match="wants to run code"):
            read_tensors(tmp_path / name)


def test_what_is_no_file_of_weights(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.full((2,), float("nan"))}, tmp_path / "nan.pth")
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    save_file({"conv1.weight": torch.zeros(100)}, tmp_path / "cut.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:-9])
    torch.save({"conv1.weight": torch.zeros(1000)}, tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:-200])
    (tmp_path / "empty").touch()
    said = {"nan.pth": "not all numbers", "none.pth": "no tensors", "absent": "no such file", "empty": "damaged"}
    said |= {"cut.safetensors": "damaged", "cut.pth": "damaged"}
    for name, message in said.items():
        with pytest.raises(SettingsError, match=message):
            read_tensors(tmp_path / name)


@pytest.mark.parametrize("content", [b"\x80", b"\x80\x02.", b"\x80\x02X\x01", b"\x80\x02j\x01\x00\x00\x00."])
def test_a_pickle_that_is_damaged_anyhow_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bare.pth").write_bytes(content)
    with pytest.raises(SettingsError, match="damaged"):
        read_tensors(tmp_path / "bare.pth")


@settings(max_examples=60)
@given(st.data(), st.booleans())
def test_damaged_bytes_are_refused_or_read_but_nothing_else(tmp_path: Path, data: st.DataObject, zipped: bool) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"conv1.weight": torch.ones(3)}, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    try:
        read_tensors(path)
    except SettingsError as error:
        assert str(path) in str(error)


ODD = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8),
    "of no device": lambda: torch.ones(2, device="meta"),
    "complex": lambda: torch.ones(2, dtype=torch.complex64),
    "of bits": lambda: torch.empty(2, dtype=torch.bits8),
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")  # going, but files of it stay
@pytest.mark.parametrize("kind", ODD)
def test_tensors_that_are_no_plain_arrays_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.ones(2), "conv1.weight": ODD[kind]()}, tmp_path / "odd.pth")
    with pytest.raises(SettingsError, match=r"conv1.weight is not a plain array of numbers"):
        read_tensors(tmp_path / "odd.pth")


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2", "int8", "bfloat16"])
def test_tensors_of_few_bits_are_taken(kind: str, tmp_path: Path) -> None:
    state = timm.create_model("test_resnet").state_dict()
    state["conv1.0.weight"] = (state["conv1.0.weight"] * 20).to(getattr(torch, kind))
    save_file(state, tmp_path / "weights.safetensors")
    net, _ = loaded("test_resnet", RGB, pretrained=str(tmp_path / "weights.safetensors"))
    assert torch.equal(net.state_dict()["backbone.conv1.0.weight"], state["conv1.0.weight"].float())
    loaded("test_resnet", ALL_BANDS, pretrained=str(tmp_path / "weights.safetensors"))
    if kind.startswith("float8"):
        save_file({"fc.weight": torch.full((2,), float("nan")).to(getattr(torch, kind))}, tmp_path / "nan.safetensors")
        with pytest.raises(SettingsError, match="not all numbers"):
            read_tensors(tmp_path / "nan.safetensors")


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "vgg11", "landnet-s"])
def test_weights_of_another_model_are_refused(name: str, tmp_path: Path) -> None:
    save_file(timm.create_model("test_efficientnet").state_dict(), tmp_path / "weights.safetensors")
    with (
        torch.device("meta") if name == "vgg11" else torch.device("cpu"),
        pytest.raises(SettingsError, match="weights"),
    ):
        loaded(name, RGB, pretrained=str(tmp_path / "weights.safetensors"))


def test_channels_and_classes_without_names_are_not_guessed(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet", in_chans=5, num_classes=2).state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    bands, file = ("B02", "B03", "B04", "B05", "B06"), tmp_path / "weights.safetensors"
    with pytest.raises(SettingsError, match="nobody says which bands its 5 channels are") as caught:
        loaded("test_resnet", bands, pretrained=str(file))
    assert "pretrained_bands: B02,B03" in str(caught.value)
    assert "weights.safetensors.bands.json beside it" in str(caught.value)
    _, report = loaded("test_resnet", bands, pretrained=str(file), channels="B02,B03,B04,B05,B06")
    assert "conv1.0.weight" in report.loaded
    assert "which classes the source's 2 are" in report.fresh["fc.weight"]


def test_every_channel_has_a_name() -> None:
    with pytest.raises(BandError, match="1 bands are named, 3 have a mean and 3 a deviation"):
        create_net("test_resnet", mean=[0.0] * 3, std=[1.0] * 3, bands=["B04"], num_classes=2)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """What the client asks of the Hugging Face hub, on loopback, for one file."""
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "served.safetensors")
    content = (tmp_path / "served.safetensors").read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            there = self.path == "/timm/test_resnet.r160_in1k/resolve/main/model.safetensors"
            self.send_response(200 if there else 404)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Hub(f"http://127.0.0.1:{server.server_port}", tmp_path / "cache")
        server.shutdown()


def test_hub_is_asked_once(hub: Hub, tmp_path: Path) -> None:
    net = fresh("test_resnet", ALL_BANDS)
    report = load_pretrained(net, "test_resnet", "hub", bands=ALL_BANDS, labels=("a", "b"), hub=hub)
    assert report.source == "timm/test_resnet.r160_in1k"
    served = read_tensors(tmp_path / "served.safetensors")
    assert torch.equal(net.state_dict()["backbone.layer1.0.conv1.weight"], served["layer1.0.conv1.weight"])
    with nobody() as url:
        silent = Hub(url, hub.cache)
        again = load_pretrained(net, "test_resnet", "hub", bands=ALL_BANDS, labels=("a", "b"), hub=silent)
    assert again.loaded == report.loaded


def test_without_a_network_it_says_how_to_get_the_weights(tmp_path: Path) -> None:
    """At once: that nobody is there is found before the hub's client is asked, which would try for half a minute."""
    net = fresh("test_resnet", RGB)
    with nobody() as url, pytest.raises(ServiceError) as caught:
        load_pretrained(net, "test_resnet", "hub", bands=RGB, labels=("a", "b"), hub=Hub(url, tmp_path))
    assert "(ConnectionRefusedError)" in str(caught.value)
    assert "hf download timm/test_resnet.r160_in1k model.safetensors --local-dir weights" in str(caught.value)
    assert "set pretrained to weights/model.safetensors" in str(caught.value)


@pytest.mark.parametrize("name", ["landnet", "test_maxvit"])
def test_what_the_hub_does_not_have(name: str) -> None:
    with pytest.raises(LandsweepError, match=f'no weights of "{name}" on timm'):
        loaded(name, RGB, pretrained="hub")
