"""Who says what the channels of a file are: the user, a sidecar, a publisher; and how its numbers were normalised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.bundle.weights import write_bundle
from models.pretrained.normalisation import Normalisation
from models.pretrained.source import open_source
from pipelines.bands import ALL_BANDS
from pipelines.errors import SettingsError
from pipelines.pixels.meaning import REFLECTANCE, Encoding
from tests.models.nets.test_build import config_of, patch_of
from tests.models.pretrained.others import TINY, csmask, net_of, plain, reben
from tests.models.pretrained.test_load import fresh, loaded

pytestmark = pytest.mark.usefixtures("one_thread")

FOUR = ("B02", "B03", "B04", "B08")


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """A file of four channels that nobody knows."""
    plain(net_of("resnet", 4, num_classes=10), tmp_path / "four.pth")
    return tmp_path / "four.pth"


def beside(file: Path, **said: Any) -> None:
    file.with_name(file.name + ".bands.json").write_text(json.dumps(said))


@pytest.mark.parametrize("names", [FOUR, ("blue", "Green", "B4", "Band 8"), ("b2", "b3", "red", "nir")])
def test_bands_are_named_in_any_spelling(four: Path, names: tuple[str, ...]) -> None:
    assert open_source(four, ", ".join(names)).bands == FOUR
    beside(four, bands=names)
    source = open_source(four)
    assert (source.bands, source.told) == (FOUR, "four.pth.bands.json")


def test_a_band_set_is_a_name_for_its_bands(four: Path) -> None:
    assert open_source(four, "rgb-nir").bands == ("B04", "B03", "B02", "B08")


def test_the_user_goes_before_the_sidecar_and_that_before_the_publisher_and_the_table(tmp_path: Path) -> None:
    file = tmp_path / "model_6b_l2a.onnx"
    csmask(net_of("efficientnet", 6), file)
    assert open_source(file).told == "model_6b_l2a.json"
    beside(file, bands=ALL_BANDS[:6])
    assert open_source(file).bands == ALL_BANDS[:6]
    assert open_source(file, ",".join(ALL_BANDS[6:])).bands == ALL_BANDS[6:]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"bands": ["B02"]}, "1 bands are named by four.pth.bands.json, and the file has 4 channels"),
        ({"bands": ["B02", "B03", "B04", "red"]}, 'band "B04" is named twice by four.pth.bands.json'),
        ({"bands": []}, "at least 1 item"),
        ({}, "bands: field required"),
        ({"bands": FOUR, "scales": 1}, 'unknown key "scales". Did you mean "scale"?'),
        ({"bands": FOUR, "std": {"B02": 0}}, "std.B02: input should be greater than 0"),
        ({"bands": FOUR, "scale": 0}, "scale: input should be greater than 0"),
    ],
)
def test_a_sidecar_is_read_strictly(four: Path, said: dict[str, Any], message: str) -> None:
    beside(four, **said)
    with pytest.raises(SettingsError) as caught:
        open_source(four)
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000, b'{"bands": ' + b" " * 1_000_001])
def test_a_sidecar_that_is_no_json_is_refused(four: Path, content: bytes) -> None:
    four.with_name("four.pth.bands.json").write_bytes(content)
    with pytest.raises(SettingsError, match=r"four\.pth\.bands\.json: not a JSON object"):
        open_source(four)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.sampled_from(FOUR),
                    lambda inner: st.lists(inner, max_size=4)
                    | st.dictionaries(st.sampled_from(["bands", "mean", "std", "img", "config"]), inner)))  # fmt: skip
@example(said={"bands": ["", "", "", ""]})
@example(said={"bands": ["red", "B4", "B02", "B03"]})
def test_a_publishers_json_says_something_or_is_as_if_it_were_not_there(four_once: Path, said: Any) -> None:
    four_once.with_suffix(".json").write_text(json.dumps(said))
    source = open_source(four_once)
    assert len(source.bands) in (0, 4)


@pytest.fixture(scope="module")
def four_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("once") / "four.pth"
    plain(net_of("resnet", 4, num_classes=10), file)
    return file


def test_a_sidecar_says_how_numbers_were_normalised(four: Path) -> None:
    beside(four, bands=FOUR, scale=10_000, mean={"blue": 0.1, "B04": 0.2}, std={"blue": 0.5})
    given: dict[str, Any] = {"pretrained": str(four), "normalisation": "theirs"}
    net, report = loaded(TINY["resnet"], ("B04", "B05", "B02"), **given)
    assert net.statistics == ((2000, 0, 1000), (10_000, 1, 5000))
    assert "; B05 by the dataset's" in report.notes[-1]


def test_a_publishers_statistics_go_by_name_or_by_place(tmp_path: Path) -> None:
    numbers = {band: 100.0 + place for place, band in enumerate(ALL_BANDS)}
    reben(net_of("resnet", 10), tmp_path / "model.safetensors", means=numbers, stds=[50] * 10)
    normalisation = open_source(tmp_path / "model.safetensors").normalisation
    assert normalisation is not None
    assert normalisation.of("B8A") == (numbers["B8A"], 50)


def test_numbers_of_a_scale_alone_are_divided_by_it_whatever_the_band() -> None:
    numbers = [REFLECTANCE, Encoding()]
    assert Normalisation(scale=10_000).over(("B04", "VV"), (1, 2), (3, 4), numbers) == ([0, 0], [10_000, 10_000], [])


def test_a_normalisation_is_brought_to_what_the_datasets_numbers_mean() -> None:
    """Reflectance from 0 to 1, and such as has the offset of a newer baseline."""
    theirs = Normalisation(mean={"B04": 1500}, std={"B04": 500})
    for numbers, mean, std in (
        (Encoding(dtype="float32", unit="reflectance"), 0.15, 0.05),
        (Encoding(scale=1e-4, offset=-0.1, unit="reflectance"), 2500, 500),
    ):
        found = theirs.over(("B04",), (0,), (1,), [numbers])
        assert found[0] == pytest.approx([mean])
        assert found[1] == pytest.approx([std])


def test_bands_are_not_used_where_the_source_has_its_own(tmp_path: Path) -> None:
    bands = ("B04", "B08")
    write_bundle(tmp_path / "bundle", fresh("test_resnet", bands), config_of("test_resnet", [*bands], ["a", "b"]), {},
                 patch_of([*bands]))  # fmt: skip
    given: dict[str, Any] = {"pretrained": str(tmp_path / "bundle"), "channels": "B02,B03"}
    net, report = loaded("test_resnet", bands, **given, normalisation="theirs")
    assert "pretrained_bands not used: a bundle says its own" in report.notes
    assert net.statistics == ((500, 500), (300, 300))
