"""Pictures and HTML: honest about what they show, and escaped."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import ServiceError, StudyError
from pipelines.pixels.meaning import Known
from pipelines.pixels.patch import Patch, write_stack
from serve.schema import LabelPrediction, ModelName, Prediction
from tests.fakes import geotiff
from tests.ui.stand_in import SIZE, make_tiff, model_info
from ui import render
from ui.picture import HEAT, Pixels, as_uri, lay_over, read_heat, take_picture


def label(name: str, probability: float, threshold: float = 0.5) -> LabelPrediction:
    return LabelPrediction(label=name, probability=probability, threshold=threshold, positive=probability >= threshold)


def png(grey: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()


def flat_tiff(**reflectance: int) -> bytes:
    """A patch that has one value a band, apart from one dark corner pixel."""
    pixels = {band: np.full((SIZE, SIZE), value, dtype=np.uint16) for band, value in reflectance.items()}
    for layer in pixels.values():
        layer[:12] = 100
    return write_stack(Patch(pixels), tuple(pixels), SIZE)


def test_true_colour_takes_red_green_and_blue_from_their_bands() -> None:
    seen = take_picture(flat_tiff(B02=500, B03=1000, B04=2000), model_info("rgb", ("B02", "B03", "B04")))
    red, green, blue = seen.rgb[60, 60]
    assert seen.title == "True colour"
    assert seen.rgb.shape == (SIZE, SIZE, 3)
    assert red > green > blue


def test_file_without_colour_is_grey_and_says_so() -> None:
    seen = take_picture(make_tiff(("B08", "B11", "B12")), model_info("swir", ("B08", "B11", "B12")))
    assert seen.title == "Band B08 (near infrared)"
    assert "no B04, B03, B02" in seen.caption
    assert (seen.rgb[..., 0] == seen.rgb[..., 2]).all()


def test_colour_comes_from_the_file_where_the_model_reads_none() -> None:
    assert take_picture(make_tiff(), model_info("swir", ("B08", "B11", "B12"))).title == "True colour"


def test_nameless_file_of_a_model_without_colour_is_not_taken_for_colour() -> None:
    named = make_tiff(("B08", "B11", "B12"))
    nameless = named.replace(b"B08", b"   ").replace(b"B11", b"   ").replace(b"B12", b"   ")
    assert take_picture(nameless, model_info("swir", ("B08", "B11", "B12"))).title.startswith("Band B08")


def test_calm_water_is_not_stretched_to_noise() -> None:
    rng = np.random.default_rng(0)
    pixels = {band: rng.integers(500, 506, (SIZE, SIZE)).astype(np.uint16) for band in ("B02", "B03", "B04")}
    seen = take_picture(write_stack(Patch(pixels), tuple(pixels), SIZE), model_info("rgb", tuple(pixels)))
    assert np.ptp(seen.rgb) < 10


def test_the_picture_is_of_what_the_numbers_mean() -> None:
    """The same land as numbers, with an offset that the file declares, and as reflectance from 0 to 1."""
    land = np.random.default_rng(0).integers(300, 2500, (3, SIZE, SIZE))
    rgb = ("B04", "B03", "B02")
    model = model_info("rgb", rgb)
    fractions = model.model_copy(update={"numbers": dict.fromkeys(rgb, Known(dtype="float32", unit="reflectance"))})
    plain = take_picture(geotiff(land.astype(np.uint16), rgb), model)
    newer = {"scales": (1e-4,) * 3, "offsets": (-0.1,) * 3}
    declared = take_picture(geotiff((land + 1000).astype(np.uint16), rgb, **newer), model)
    unit = take_picture(geotiff((land / 10_000).astype(np.float32), rgb), fractions)
    assert plain.caption == declared.caption == unit.caption
    assert "; reflectance 0.03 to 0.25 stretched" in plain.caption, "as many digits as are seen"
    for other in (declared, unit):
        assert np.abs(plain.rgb.astype(int) - other.rgb.astype(int)).max() <= 1
    assert np.ptp(plain.rgb) > 200


def test_real_patches_use_the_range_of_a_picture(real_data: Path) -> None:
    for path in (real_data / "stacks").glob("*.tif"):
        rgb = take_picture(path.read_bytes(), model_info("all")).rgb
        assert 30 < rgb.mean() < 170, path.name
        assert rgb.std() > 15, path.name


def test_heat_leaves_cold_places_and_shows_the_hottest_in_its_colour() -> None:
    rgb = np.full((4, 4, 3), 90, dtype=np.uint8)
    heat = np.zeros((4, 4), dtype=np.uint8)
    heat[0, 0] = 255
    laid = lay_over(rgb, heat)
    assert (laid[1:] == 90).all()
    assert laid[0, 0].astype(int).tolist() == pytest.approx([int(HEAT[-1][i : i + 2], 16) for i in (1, 3, 5)], abs=30)


def test_heat_of_another_size_is_fitted() -> None:
    assert read_heat(png(np.zeros((60, 60), dtype=np.uint8)), (120, 120, 3)).shape == (120, 120)


def test_heat_that_is_no_picture_is_the_endpoints_fault() -> None:
    with pytest.raises(ServiceError, match="no readable heat map"):
        read_heat(b"<html>", (120, 120, 3))


def test_pictures_stay_in_the_page() -> None:
    assert as_uri(np.zeros((8, 8, 3), dtype=np.uint8)).startswith("data:image/png;base64,")


def test_labels_are_split_at_their_thresholds_and_told_without_colour() -> None:
    html = render.labels([label("Pastures", 0.9), label("Arable land", 0.6, 0.7), label("Urban fabric", 0.4, 0.3)])
    top, rest = html.split("<details")
    assert "Pastures" in top and "Urban fabric" in top and "Arable land" not in top
    assert "Arable land" in rest and "below threshold" in rest
    assert "2 of 3" in top and "✓" in top and "✓" not in rest
    assert "threshold 70 %" in rest


def test_no_label_at_all_is_said() -> None:
    assert "No class reaches its threshold" in render.labels([label("Pastures", 0.1)])


@pytest.mark.parametrize("value, shown", [(0.0, "0 %"), (0.004, "&lt;1 %"), (0.5, "50 %"), (0.996, "&gt;99 %")])
def test_percentages_never_claim_certainty(value: float, shown: str) -> None:
    assert f'<span class="ls-number">{shown}</span>' in render.labels([label("Pastures", value)])


def test_everything_from_outside_is_escaped() -> None:
    evil = '"><script>alert(1)</script>'
    answer = Prediction(
        model=ModelName(name=evil, version=1),
        predictions=[label(evil, 0.9)],
        bands_used=[evil],
        crs=f'LOCAL_CS["{evil}"]',
        bounds=None,
        warnings=[evil],
        timing_ms={},
        request_id=evil,
    )
    dark = np.zeros((8, 8, 3), dtype=np.uint8)
    made = (
        render.labels(answer.predictions),
        render.facts(answer),
        render.notes(answer.warnings),
        render.evidence(evil, dark, found=True),
        render.evidence(evil, dark, found=False),
        render.blank([model_info(evil, (evil,))]),
        render.message("error", evil),
    )
    for html in made:
        assert "<script" not in html
        assert evil not in html and "alert(1)" in html


def test_facts_name_the_place() -> None:
    answer = Prediction(
        model=ModelName(name="landnet", version=4),
        predictions=[],
        bands_used=["B04"],
        crs="EPSG:32733",
        bounds=(336_000.0, 5_200_800.0, 337_200.0, 5_202_000.0),
        warnings=[],
        timing_ms={"decode": 1.0, "total": 12.4},
        request_id="r",
    )
    html = render.facts(answer)
    assert "landnet, version 4" in html and "UTM zone 33S" in html and "12 ms" in html
    assert "left 336\u202f000" in html
    assert "none in the file" in render.facts(answer.model_copy(update={"crs": "", "bounds": None}))


def test_absent_evidence_is_said_in_words() -> None:
    html = render.evidence("Pastures", np.zeros((8, 8, 3), dtype=np.uint8), found=False)
    assert "No positive evidence for this class" in html and "ls-scale" not in html


def test_failures_can_leave_out_the_servers_paths() -> None:
    error = StudyError("state is damaged", where="/srv/secret/first", hint="Run `landsweep search list`.")
    assert "/srv" not in render.failure(error, where=False)
    assert "<code>landsweep search list</code>" in render.failure(error, where=False)
