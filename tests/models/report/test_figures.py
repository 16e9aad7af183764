"""Figures of a report: their numbers are right, their names are whole, and nothing is cut off or written over."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image
from sklearn import metrics as sk

from models.measure.extremes import Example, Extremes, bands_shown, extremes, losses, thumbnails
from models.measure.operating_points import sweep
from models.measure.predictions import Predictions
from models.report.class_bars import class_rates
from models.report.co_occurrence import conditional, draw_difference
from models.report.confusion import confusion_matrix, count_decisions, draw_confusion
from models.report.curves import PRECISION_RECALL, ROC
from models.report.figures import DRAWERS, OF_PROBABILITIES, Material, draw_figures, left_out
from models.report.gallery import draw_gallery
from models.report.learning import draw_learning, readable
from models.report.panels import POINTS, thin
from models.report.reliability import reliability
from models.report.report import measure
from models.report.threshold_curves import best_f1, draw_thresholds, rates
from pipelines.archives.corine import CORINE_NAMES
from pipelines.drawing.canvas import png_of
from pipelines.errors import PredictionsError
from pipelines.feeding.rows import Split
from pipelines.labels import LABEL_NAMES
from tests.models.made_up import made_up, permuted

quick = settings(deadline=None, max_examples=30)

EUROSAT = ("AnnualCrop", "Forest", "HerbaceousVegetation")
EPOCHS = [
    {"epoch": number, "train_loss": 1 / number, "validation_loss": 1 / number + 0.01 * number, "ap_macro": 0.5}
    for number in range(1, 30)
]
LONG = "Land principally occupied by agriculture, with significant areas of natural vegetation"


def texts(figure: Figure) -> list[tuple[str, NDArray[np.float64]]]:
    """All that is written, and where: (left, bottom, right, top) in pixels."""
    renderer, undrawn = FigureCanvasAgg(figure).get_renderer(), set(beyond_the_ends(figure))
    found = []
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and text not in undrawn:
            box = text.get_window_extent(renderer)
            found.append((text.get_text(), np.array([box.x0, box.y0, box.x1, box.y1])))
    return found


def beyond_the_ends(figure: Figure) -> Iterator[Text]:
    """Ticks that an axis has beyond what it shows have texts, but are not drawn."""
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                yield from (tick.label1, tick.label2)


def check(figure: Figure) -> Image.Image:
    """A sensible size, a white rim, and no text off the canvas or over another."""
    image = Image.open(io.BytesIO(png_of(figure)))
    pixels = np.asarray(image.convert("L"))
    assert 150 <= min(image.size) <= max(image.size) <= 3000
    assert pixels.std() > 5, "an empty picture"
    rim = np.concatenate([pixels[:2].ravel(), pixels[-2:].ravel(), pixels[:, :2].ravel(), pixels[:, -2:].ravel()])
    assert rim.min() == 255, "something is cut off"
    written = texts(figure)
    boxes = np.array([box for _, box in written])
    width, height = figure.bbox.width, figure.bbox.height
    outside = (boxes[:, :2] < 0).any(axis=1) | (boxes[:, 2] > width) | (boxes[:, 3] > height)
    assert not outside.any(), [written[place] for place in np.flatnonzero(outside)]
    inner = boxes + np.array([1, 1, -1, -1])
    apart = (inner[:, None, :2] >= inner[None, :, 2:]).any(axis=2)
    over = ~(apart | apart.T)
    np.fill_diagonal(over, False)
    assert not over.any(), [(written[one][0], written[other][0]) for one, other in np.argwhere(over)[:4]]
    return image


def words(figure: Figure) -> str:
    """All that is written, without line breaks: a word longer than a line is broken."""
    return "|".join(text for text, _ in texts(figure)).replace("\n", "").replace(" ", "")


def examples(names: tuple[str, ...], count: int, picture: int = 24) -> list[Example]:
    pixels = np.random.default_rng(0).integers(0, 255, (picture, picture, 3)).astype(np.uint8)
    half = len(names) // 2
    return [
        Example(
            patch_id="S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57",
            loss=0.123456,
            picture=pixels,
            found=dict.fromkeys(names[:half], 0.91),
            missed=dict.fromkeys(names[half:], 0.1) if number else {},
            wrong={},
            other={},
        )
        for number in range(count)
    ]


def material(predictions: Predictions) -> Material:
    names = predictions.label_names
    patches = Extremes(examples(names, 3), examples(names, 2), "B04, B03, B02 as red, green, blue")
    return Material(predictions, measure(predictions), EPOCHS, patches)


FEW = made_up(EUROSAT, split="validation")
CASES = {
    "19": made_up(LABEL_NAMES, never=(3,), always=(7,)),
    "2": made_up(("water", "land"), split=""),
}


@cache
def drawn(case: str) -> dict[str, Figure]:
    """Drawn once for all tests that look at them."""
    return dict(draw_figures(material(CASES[case])))


@pytest.mark.parametrize("case", CASES)
def test_every_figure_is_whole_and_nothing_is_cut_or_hidden(case: str) -> None:
    figures = drawn(case)
    assert list(figures) == list(DRAWERS)
    for name, figure in figures.items():
        try:
            check(figure)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


@pytest.mark.parametrize("case", CASES)
def test_every_class_is_named_in_full(case: str) -> None:
    predictions, figures = CASES[case], drawn(case)
    for name in set(figures) - {"reliability", "learning_curves"}:
        written = words(figures[name])
        for each in predictions.label_names:
            assert each.replace(" ", "") in written, name


@pytest.mark.parametrize("name", ["confusion_matrix", "confusion_per_class"])
def test_43_classes_fit_too(name: str) -> None:
    names = tuple(CORINE_NAMES.values())
    figure = DRAWERS[name](material(made_up(names, 40, never=(1, 2))))
    check(figure)
    assert LONG.replace(" ", "") in words(figure)


@pytest.mark.parametrize(
    "predictions",
    [
        made_up(("one",)),
        made_up(("no formula: $\\bad{ $", "x" * 90), 1),
        replace(made_up(("a", "b"), never=(0, 1)), probabilities=np.full((120, 2), 0.5, np.float32)),
        made_up(("a", "b"), always=(0, 1), thresholds=(1.0, 0.0)),
        replace(FEW, probabilities=FEW.decisions.astype(np.float32), decided=True, thresholds=None),
    ],
    ids=["one class", "odd names and one patch", "no labels", "all labels", "decided"],
)
def test_degenerate_predictions_are_drawn_without_a_warning(predictions: Predictions) -> None:
    given = Material(predictions, measure(predictions))
    missing = left_out(given)
    figures = dict(draw_figures(given))
    assert set(figures) == set(DRAWERS) - set(missing)
    assert set(missing) & set(OF_PROBABILITIES) == (set(OF_PROBABILITIES) if predictions.decided else set())
    for figure in figures.values():
        check(figure)


def test_what_cannot_be_shown_is_said() -> None:
    roc, bars, fields = (drawn("19")[name] for name in ("roc_curves", "per_class", "confusion_per_class"))
    assert "nopatchhasthisclass" in words(roc)
    assert "everypatchhasthisclass" in words(roc)
    assert "nopatchhasit" in words(bars)
    assert words(fields).count("nosuchpatch") == 4
    assert "neverpredicted" in words(DRAWERS["per_class"](material(made_up(("a", "b"), thresholds=(1.0, 0.5)))))
    bare = Material(CASES["2"], measure(CASES["2"]))
    assert set(left_out(bare)) == {"learning_curves", "best_and_worst_patches"}
    many = made_up([f"class {number}" for number in range(401)], 3)
    assert "more than 400 classes" in left_out(Material(many, {}))["roc_curves"]
    assert "neither losses nor metrics" in left_out(replace(bare, epochs=[{"epoch": 1}]))["learning_curves"]


def test_the_last_row_of_the_confusion_matrix_counts_labels() -> None:
    labels, decisions = np.uint8([[1, 0, 0], [0, 1, 0]]), np.uint8([[1, 1, 1], [0, 1, 0]])
    written = words(draw_confusion(decisions, labels, ("a", "b", "c"), "2 patches"))
    assert "(nothingmissed)2labels" in written
    assert "a(1)" in written
    assert "(nothingmissed)1label|" in words(draw_confusion(decisions[:, :2], labels[:, :2], ("a", "b"), "2 patches"))


def test_the_area_of_micro_is_that_of_its_curve() -> None:
    predictions = CASES["19"]
    area = sk.roc_auc_score(predictions.labels.ravel(), predictions.probabilities.ravel())
    metrics = measure(predictions)
    assert f"AUCmicro{area:.3f}·AUCmacro{metrics['auroc_macro']:.3f}" in words(drawn("19")["roc_curves"])


@pytest.mark.parametrize("capitals", [False, True])
@pytest.mark.parametrize("name", ["roc_curves", "threshold_curves"])
def test_long_names_keep_away_from_those_of_the_next_panel(name: str, capitals: bool) -> None:
    names = [f"{number} {LONG}"[: 60 + 5 * number] for number in range(6)]
    figure = DRAWERS[name](material(made_up([each.upper() for each in names] if capitals else names, 40)))
    check(figure)
    boxes = sorted(
        (each.title.get_window_extent() for each in figure.axes), key=lambda box: (-round(box.y0, -1), box.x0)
    )
    gaps = [after.x0 - before.x1 for before, after in pairwise(boxes) if after.x0 > before.x0]
    assert len(gaps) >= 4
    assert min(gaps) > 0.3 * figure.dpi


def test_an_id_of_bigearthnet_stays_in_one_line() -> None:
    one = examples(("a",), 1)[0]
    figure = draw_gallery(Extremes([one], [one], ""), "2 patches")
    check(figure)
    assert any(one.patch_id in text.split("\n") for text, _ in texts(figure))


def test_a_long_list_of_classes_leaves_no_gap_in_the_other_column() -> None:
    few, many = examples(("a",), 3), examples(LABEL_NAMES, 1)
    gaps = -np.diff([each.get_position().y0 for each in draw_gallery(Extremes(few, many, ""), "x").axes[:3]])
    alone = -np.diff([each.get_position().y0 for each in draw_gallery(Extremes(few, [], ""), "x").axes])
    heights = [draw_gallery(Extremes(few, other, ""), "x").get_size_inches()[1] for other in (many, [])]
    np.testing.assert_allclose(gaps * heights[0], alone * heights[1], atol=1e-6)


def test_metrics_that_are_missing_are_not_written() -> None:
    for lacking in ({}, {"ap_micro": None, "per_class": {"water": {"ap": None}}}):
        written = words(DRAWERS["precision_recall_curves"](Material(CASES["2"], lacking)))
        assert "AP" not in written
        assert "water" in written


marks = st.integers(0, 10_000).map(lambda seed: (np.random.default_rng(seed).random((2, 30, 4)) < 0.4).astype(np.uint8))


@quick
@given(marks)
def test_four_numbers_a_class_are_scikit_learns(pair: NDArray[np.uint8]) -> None:
    decisions, labels = pair
    expected = sk.multilabel_confusion_matrix(labels, decisions)[:, ::-1, ::-1]
    assert np.array_equal(count_decisions(decisions, labels), expected)


def test_a_class_taken_for_others_is_shared_among_them() -> None:
    labels = np.uint8([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    decisions = np.uint8([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]])
    expected = [
        [1, 0, 0, 0, 1],  # found once, missed once with nothing in its place
        [0, 0, 0.5, 0.5, 0],  # missed, with two others in its place
        [0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 1, 1, 0, 0],  # said too much, with nothing missed
    ]
    assert np.array_equal(confusion_matrix(decisions, labels), expected)


@quick
@given(marks)
def test_rows_add_up_to_the_patches_and_the_diagonal_is_recall(pair: NDArray[np.uint8]) -> None:
    decisions, labels = pair
    matrix = confusion_matrix(decisions, labels)
    assert matrix[:-1].sum(axis=1) == pytest.approx(labels.sum(axis=0))
    recall = sk.recall_score(labels, decisions, average=None, zero_division=0)
    assert np.diag(matrix)[:-1] / labels.sum(axis=0).clip(min=1) == pytest.approx(recall)


@quick
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_with_one_class_a_patch_it_is_the_usual_matrix(pairs: list[tuple[int, int]]) -> None:
    true, said = np.array(pairs).T
    matrix = confusion_matrix(np.eye(4, dtype=np.uint8)[said], np.eye(4, dtype=np.uint8)[true])
    assert np.array_equal(matrix[:4, :4], sk.confusion_matrix(true, said, labels=range(4)))
    assert not matrix[4].any() and not matrix[:, 4].any()


scores = st.tuples(st.integers(0, 10_000), st.sampled_from([1, 2, 9]))


@quick
@given(scores)
def test_curves_are_scikit_learns(made: tuple[int, int]) -> None:
    rng = np.random.default_rng(made[0])
    said, truth = rng.random(25).round(made[1]).astype(np.float32), np.append(rng.integers(0, 2, 23), [0, 1])
    found = sweep(said, truth.astype(np.uint8))
    across, up = ROC.curve(found) or ()
    expected = sk.roc_curve(truth, said, drop_intermediate=False)
    assert (across, up) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
    recall, precision = PRECISION_RECALL.curve(found) or ()
    expected = sk.precision_recall_curve(truth, said)
    assert (recall[1:], precision[1:]) == (pytest.approx(expected[1][-2::-1]), pytest.approx(expected[0][-2::-1]))
    shown = rates(found, np.array([0.3, 0.55]))
    for place, limit in enumerate((0.3, 0.55)):
        assert shown["F1"][place] == pytest.approx(sk.f1_score(truth, said.astype(float) >= limit, zero_division=0))
        assert shown["recall"][place] == pytest.approx(sk.recall_score(truth, said.astype(float) >= limit))


@quick
@given(scores)
def test_the_best_f1_is_that_of_all_scores(made: tuple[int, int]) -> None:
    """Of a net that is sure of itself, all scores may lie between two steps of the lines."""
    rng = np.random.default_rng(made[0])
    said = 0.9951 + 0.0048 * rng.random(25).round(made[1])
    truth = np.append(rng.integers(0, 2, 24), 1).astype(np.uint8)
    found = sweep(said, truth)
    precision, recall, _ = sk.precision_recall_curve(truth, said)
    score, value = best_f1(found)
    assert value == pytest.approx((2 * precision * recall / (precision + recall).clip(min=1e-9)).max())
    assert value == pytest.approx(sk.f1_score(truth, said >= score))


def test_the_best_f1_is_marked_at_its_score() -> None:
    found = sweep(np.array([0.9992, 0.9991, 0.9989, 0.1]), np.uint8([1, 1, 0, 0]))
    figure = draw_thresholds({"a": found}, found, np.array([0.5]), "4 patches")
    diamonds = [line.get_xydata().tolist() for axes in figure.axes for line in axes.lines if line.get_marker() == "D"]
    assert diamonds == [[[0.9991, 1.0]]] * 2


def test_areas_below_macro_curves_are_the_metrics() -> None:
    found, given = measure(FEW), material(FEW)
    across, up = ROC.macro([curve for each in given.classes.values() if (curve := ROC.curve(each))])
    assert np.trapezoid(up, across) == pytest.approx(found["auroc_macro"], abs=2e-3)
    curves = [curve for each in given.classes.values() if (curve := PRECISION_RECALL.curve(each))]
    assert PRECISION_RECALL.macro(curves)[1][1:].mean() == pytest.approx(found["ap_macro"], abs=5e-3)


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    across, up = np.linspace(0, 1, 100_000), np.sqrt(np.linspace(0, 1, 100_000))
    few = thin(across, up)
    assert len(few[0]) <= POINTS
    assert (few[0][0], few[1][-1]) == (0, 1)
    assert np.interp(across, *few) == pytest.approx(up, abs=5e-3)
    assert thin(across[:9], up[:9])[0] is not few


@quick
@given(scores)
def test_calibration_error_is_the_metrics(made: tuple[int, int]) -> None:
    rng = np.random.default_rng(made[0])
    said, labels = rng.random((20, 3)).round(made[1]).astype(np.float32), rng.integers(0, 2, (20, 3)).astype(np.uint8)
    found = reliability(said, labels)
    assert found.counts.sum() == 60
    assert found.error == pytest.approx(measure(Predictions(said, labels, ("a", "b", "c")))["ece"], abs=1e-6)


def test_rates_and_shares_are_the_metrics_and_a_count_by_hand() -> None:
    predictions = CASES["19"]
    found = class_rates(count_decisions(predictions.decisions, predictions.labels))
    for place, values in enumerate(measure(predictions)["per_class"].values()):
        for name, key in (("precision", "precision"), ("recall", "recall"), ("F1", "f1")):
            expected = np.nan if values[key] is None else values[key]
            assert found[name][place] == pytest.approx(expected, nan_ok=True)
    shares = conditional(np.uint8([[1, 1, 0], [1, 0, 0], [0, 0, 0]]))
    assert np.array_equal(shares, [[np.nan, 0.5, 0], [1, np.nan, 0], [np.nan] * 3], equal_nan=True)


def test_differences_are_in_points_and_agree_on_the_minus() -> None:
    labels, decisions = np.uint8([[1, 1], [1, 0], [1, 0]]), np.uint8([[1, 1], [1, 1], [1, 0]])
    figure = draw_difference(decisions, labels, ("a", "b"), "3 patches")
    check(figure)
    assert "+33" in words(figure)
    assert "%" not in words(figure)
    figure = draw_difference(labels, decisions, ("a", "b"), "3 patches")
    assert "−33" in words(figure)
    assert "-" not in words(figure)


def rows_of(predictions: Predictions, bands: dict[str, int]) -> Split:
    rng = np.random.default_rng(0)
    chunk = {
        band: rng.integers(0, 4000, (len(predictions), size, size)).astype(np.uint16) for band, size in bands.items()
    }
    ids = np.array(predictions.patch_ids, object)
    return Split(tuple(bands), (chunk | {"labels": predictions.labels, "patch_id": ids},))


def test_best_and_worst_are_told_by_loss_and_matched_by_name() -> None:
    predictions = made_up(("a", "b", "c"), 9)
    order = np.random.default_rng(1).permutation(9)
    bands = {"B02": 4, "B03": 4, "B04": 8}
    rows = rows_of(permuted(predictions, order), bands)
    found = extremes(predictions, rows, 3)
    ranked = [str(predictions.patch_ids[row]) for row in np.argsort(losses(predictions))]
    assert [each.patch_id for each in found.best] == ranked[:3]
    assert [each.patch_id for each in found.worst] == ranked[:-4:-1]
    one = found.worst[0]
    row = int(np.flatnonzero(predictions.patch_ids == one.patch_id)[0])
    truth = {name for name, mark in zip("abc", predictions.labels[row], strict=True) if mark}
    assert {*one.found, *one.missed} == truth
    assert set(one.wrong).isdisjoint(truth)
    place = int(np.flatnonzero(rows.patch_ids == one.patch_id)[0])
    assert np.array_equal(one.picture, thumbnails([rows.chunks[0][band][[place]] for band in ("B04", "B03", "B02")])[0])


@pytest.mark.parametrize(("patches", "n", "best", "worst"), [(1, 6, 1, 0), (2, 6, 1, 1), (5, 6, 3, 2), (9, 2, 2, 2)])
def test_no_patch_is_both_best_and_worst(patches: int, n: int, best: int, worst: int) -> None:
    predictions = made_up(("a", "b"), patches)
    found = extremes(predictions, rows_of(predictions, {"B08": 3}), n)
    assert (len(found.best), len(found.worst)) == (best, worst)
    assert len({each.patch_id for each in found.best + found.worst}) == best + worst
    assert found.colour == "B08 in grey"
    check(draw_gallery(found, "2 patches"))


def test_among_equals_the_name_decides_not_the_order_in_the_file() -> None:
    same = replace(made_up(("a",), 8, never=(0,)), probabilities=np.full((8, 1), 0.25, np.float32))
    rows = rows_of(same, {"B08": 2})
    shuffled = permuted(same, np.random.default_rng(0).permutation(8))
    one, other = (
        [each.patch_id for each in extremes(given, rows, 3).best + extremes(given, rows, 3).worst]
        for given in (same, shuffled)
    )
    assert one == other


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"patch_ids": None}, "have no patch_ids"),
        ({"patch_ids": np.array([f"q{row}" for row in range(6)])}, "6 of 6 patches are not in the dataset's split"),
        ({"labels": np.zeros((6, 2), np.uint8)}, "has other labels in the dataset"),
    ],
)
def test_a_dataset_of_other_patches_is_refused(change: dict[str, object], said: str) -> None:
    predictions = made_up(("a", "b"), 6)
    with pytest.raises(PredictionsError, match=said):
        extremes(replace(predictions, **change), rows_of(predictions, {"B04": 2}), 1)


def test_pictures_show_red_as_red_and_no_more_contrast_than_there_is() -> None:
    red, low = np.full((1, 4, 4), 3000, np.uint16), np.full((1, 2, 2), 300, np.uint16)
    red[0, 0, 0] = 200
    picture = thumbnails([red, low, low])
    assert picture.shape == (1, 4, 4, 3)
    assert picture[0, 3, 3, 0] == 255
    assert picture[0, 3, 3, 1:].max() < 3
    calm = thumbnails([np.full((1, 4, 4), level, np.uint16) for level in (900, 1000, 1100)])[0, 0, 0]
    assert calm.tolist() == sorted(calm.tolist())
    assert calm[0] > 128, "noise is not stretched into a picture"
    assert thumbnails([np.zeros((1, 4, 4), np.uint16)]).max() == 0
    assert bands_shown(("B02", "B03", "B04", "B08")) == ("B04", "B03", "B02")
    assert bands_shown(("B08", "B04")) == ("B08",)


@pytest.mark.parametrize("epoch", [1, 14, 15, 29])
def test_learning_curves_mark_the_epoch_that_is_scored_in_every_panel(epoch: int) -> None:
    figure = draw_learning(EPOCHS, epoch)
    check(figure)
    assert words(figure).count(f"epoch{epoch}:themodelthatisscored") == len(figure.axes) == 2
    for axes in figure.axes:
        (line,) = (each for each in axes.lines if list(each.get_xdata()) == [epoch, epoch])
        (mark,) = (each for each in axes.texts if each.get_text())
        panel, text = axes.get_window_extent(), mark.get_window_extent()
        assert panel.x0 - 1 <= text.x0 <= text.x1 <= panel.x1 + 1
        assert line.get_visible()


def test_an_epoch_that_the_table_lacks_is_not_marked() -> None:
    assert png_of(draw_learning(EPOCHS, 30)) == png_of(draw_learning(EPOCHS))
    assert png_of(draw_learning(EPOCHS, 29)) != png_of(draw_learning(EPOCHS))


def test_columns_are_named_as_people_say_them() -> None:
    assert readable("train_loss") == "training loss"
    assert readable("val_f1_macro") == "validation F1 (macro)"
    assert readable("ap_micro") == "average precision (micro)"
    assert readable("subset_accuracy") == "subset accuracy"
    assert readable("hamming_loss") == "hamming loss"


def test_learning_curves_bear_gaps_and_mark_the_lowest_loss() -> None:
    gaps: list[dict[str, float | None]] = [dict(row) for row in EPOCHS]
    gaps[3] |= {"validation_loss": None, "ap_macro": None}
    figure = draw_learning(gaps)
    check(figure)
    assert "lowestvalidationloss:epoch10" in words(figure)
    check(draw_learning(EPOCHS[:1]))
    check(draw_learning([{"epoch": 1, "val_f1_macro": None, "val_loss": None}]))


def test_same_material_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = (png_of(DRAWERS["roc_curves"](material(CASES["2"]))) for _ in range(2))
    assert one == other
