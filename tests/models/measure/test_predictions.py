"""The file of predictions: what is written comes back, and what does not fit is refused by name."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from models.measure.metrics import decide
from models.measure.operating_points import sweep_classes
from models.measure.prediction_file import read_predictions, write_predictions
from models.measure.predictions import SPLITS, Predictions
from models.measure.safe_npy import read_arrays
from models.report.report import measure
from pipelines.errors import InputError, LabelError, PredictionsError, TooLargeError, UnsupportedError
from tests.damage import damaged
from tests.models.made_up import made_up

quick = settings(max_examples=40)

NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=12)


@st.composite
def some_predictions(draw: st.DrawFn) -> Predictions:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    ids = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    shape, decided = (len(ids), len(names)), draw(st.booleans())
    said = rng.integers(0, 2, shape) if decided else rng.random(shape).round(draw(st.integers(0, 9)))
    kind = np.float32 if decided else draw(st.sampled_from([np.float32, np.float64]))
    limits = st.lists(st.floats(0, 1), min_size=len(names), max_size=len(names)).map(tuple)
    return Predictions(
        said.astype(kind),
        rng.integers(0, 2, shape).astype(np.uint8),
        tuple(names),
        patch_ids=draw(st.sampled_from([None, np.array(ids)])),
        thresholds=None if decided else draw(st.none() | limits),
        split=draw(st.sampled_from(["", *SPLITS])),
        decided=decided,
    )


@quick
@given(some_predictions())
def test_what_is_written_comes_back(tmp_path: Path, given: Predictions) -> None:
    write_predictions(tmp_path / "p.npz", given)
    found = read_predictions(tmp_path / "p.npz")
    for name in ("probabilities", "labels"):
        one, other = getattr(found, name), getattr(given, name)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    for name in ("label_names", "thresholds", "split", "decided"):
        assert getattr(found, name) == getattr(given, name)
    assert (found.patch_ids is None) == (given.patch_ids is None)
    assert given.patch_ids is None or np.array_equal(found.patch_ids, given.patch_ids)


def test_file_has_the_arrays_of_the_contract_and_always_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_predictions(tmp_path / name, made_up(["a", "b"]))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    with np.load(tmp_path / "one", allow_pickle=False) as arrays:
        kinds = {name: (arrays[name].dtype.kind, arrays[name].shape) for name in arrays.files}
        assert (arrays["probs"].dtype, arrays["labels"].dtype) == (np.float32, np.uint8)
    assert kinds == {
        "probs": ("f", (120, 2)),
        "labels": ("u", (120, 2)),
        "patch_ids": ("U", (120,)),
        "label_names": ("U", (2,)),
        "thresholds": ("f", (2,)),
        "split": ("U", ()),
    }


def test_decisions_are_those_of_the_metrics() -> None:
    found = Predictions(np.float32([[0.7, 0.5], [0.2, 0.49]]), np.uint8([[1, 0], [0, 1]]), ("a", "b"))
    assert np.array_equal(found.decisions, [[1, 1], [0, 0]])
    edge = Predictions(np.float32([[0.7]]), np.uint8([[1]]), ("a",), thresholds=(0.7,))
    assert np.array_equal(edge.decisions, decide(edge.probabilities, [0.7]))


def whole() -> dict[str, Any]:
    return {
        "probs": np.float32([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]]),
        "labels": np.uint8([[0, 1], [1, 0], [1, 1]]),
        "patch_ids": np.array(["p", "q", "r"]),
        "label_names": np.array(["forest", "water"]),
        "thresholds": np.array([0.4, 0.6]),
        "split": np.array("test"),
    }


def save(path: Path, arrays: dict[str, Any]) -> Path:
    """As somebody else would: without any check."""
    with open(path, "wb") as file:
        np.savez(file, **{name: value for name, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"probs": np.float64([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]])}, ""),
        ({"probs": np.asfortranarray(np.array([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]], ">f4"))}, ""),
        ({"labels": np.array([[0, 1], [1, 0], [1, 1]], np.int64)}, ""),
        ({"labels": np.array([[False, True], [True, False], [True, True]])}, ""),
        ({"labels": np.float32([[0, 1], [1, 0], [1, 1]])}, ""),
        ({"thresholds": None}, "no thresholds: a class is predicted from 0.5 up"),
        ({"patch_ids": None}, "no patch_ids"),
        ({"preds": np.zeros((3, 2))}, "preds are not used"),
        ({"logits": np.zeros(3)}, "Not read, as a report has no use for it: logits"),
    ],
)
def test_files_of_others_are_read_and_what_is_different_is_said(
    change: dict[str, Any], note: str, tmp_path: Path
) -> None:
    found = read_predictions(save(tmp_path / "p.npz", whole() | change))
    assert found.probabilities == pytest.approx(whole()["probs"])
    assert np.array_equal(found.labels, whole()["labels"])
    assert len(found.notes) == bool(note)
    assert not note or note in found.notes[0]


@pytest.mark.parametrize(
    ("kind", "kept"),
    [("f2", np.float32), ("<f4", np.float32), (">f4", np.float32), (">f8", np.float64), ("longdouble", np.float64)],
)
def test_probabilities_keep_the_precision_of_the_file(kind: str, kept: type, tmp_path: Path) -> None:
    found = read_predictions(save(tmp_path / "p.npz", whole() | {"probs": whole()["probs"].astype(kind)}))
    assert found.probabilities.dtype == kept


def test_probabilities_of_float64_are_scored_as_scikit_learn_scores_them(tmp_path: Path) -> None:
    """Rounded to float32, 0.7 lies below a threshold of 0.7, and scores near 1 are all alike."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (400, 2)).astype(np.uint8)
    nearly = 1 / (1 + np.exp(-rng.normal(25 + labels, 2)))
    probs = np.where([True, False], nearly, rng.integers(0, 11, (400, 2)) / 10)
    limits = [float(np.median(nearly[:, 0])), 0.7]
    assert len(np.unique(nearly.astype(np.float32))) < 20
    arrays = {"probs": probs, "labels": labels, "thresholds": np.array(limits)}
    found = read_predictions(save(tmp_path / "p.npz", arrays))
    assert np.array_equal(found.decisions, probs >= limits)
    metrics, curves = measure(found), sweep_classes(found.probabilities, labels)
    for place, values in enumerate(metrics["per_class"].values()):
        truth, said = labels[:, place], probs[:, place]
        assert values["ap"] == pytest.approx(sk.average_precision_score(truth, said), abs=1e-6)
        assert values["auroc"] == pytest.approx(sk.roc_auc_score(truth, said), abs=1e-6)
        assert values["f1"] == pytest.approx(sk.f1_score(truth, said >= limits[place]))
        assert np.array_equal(curves[place].scores, np.unique(said)[::-1])
    assert metrics["lrap"] == pytest.approx(sk.label_ranking_average_precision_score(labels, probs))


def test_two_arrays_are_enough(tmp_path: Path) -> None:
    found = read_predictions(save(tmp_path / "p.npz", {name: whole()[name] for name in ("probs", "labels")}))
    assert (found.label_names, found.patch_ids, found.split) == (("class 1", "class 2"), None, "")
    assert any("classes are numbered" in note for note in found.notes)


def test_decisions_in_place_of_probabilities(tmp_path: Path) -> None:
    arrays = whole() | {"probs": None, "preds": np.array([[0, 1], [0, 1], [1, 1]])}
    found = read_predictions(save(tmp_path / "p.npz", arrays))
    assert found.decided
    assert np.array_equal(found.decisions, arrays["preds"])
    assert found.thresholds is None
    assert [note.split(":")[0] for note in found.notes] == [
        "The file has decisions (preds)",
        "The file's thresholds are not used",
    ]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"labels": None}, 'no "labels" in the file. There are: probs, patch_ids'),
    ({"probs": None}, 'neither "probs" nor "preds"'),
    ({"probs": np.float32([0.1, 0.9])}, '"probs" has shape (2,)'),
    ({"labels": np.uint8([[0, 1], [1, 0]])}, "labels have shape (2, 2), the predictions (3, 2)"),
    ({"labels": np.uint8([[[0, 1]]])}, '"labels" has shape (1, 1, 2)'),
    ({"probs": np.zeros((0, 2), np.float32), "labels": np.zeros((0, 2), np.uint8)}, "holds nothing to score"),
    ({"probs": np.float32([[0.1, 0.9], [0.8, np.nan], [0.5, 0.5]])}, '"probs" has nan in row 1, column 1'),
    ({"probs": np.float32([[0.1, 0.9], [0.8, 1.1], [0.5, 0.5]])}, "which is not from 0 to 1. Store probabilities"),
    ({"probs": np.float32([[-0.1, 0.9], [0.8, 1], [0.5, 0.5]])}, '"probs" has -0.1'),
    ({"probs": np.nextafter(np.ones((3, 2)), 2)}, "in row 0, column 0, which is not from 0 to 1"),
    (
        {"probs": np.ones((3, 2), np.int64)},
        'has type int64, not floating point. Decisions of 0 and 1 belong into "preds"',
    ),
    ({"probs": np.ones((3, 2), np.complex64)}, "has type complex64"),
    ({"labels": np.uint8([[0, 1], [1, 2], [1, 1]])}, '"labels" has 2 in row 1, column 1, not 0 or 1'),
    ({"labels": np.float32([[0, 1], [1, np.nan], [1, 1]])}, '"labels" has nan'),
    ({"labels": np.array([["0", "1"]] * 3)}, '"labels" has type <U1, not numbers'),
    ({"probs": None, "preds": np.float32([[0, 1], [0.5, 0], [1, 1]])}, '"preds" has 0.5 in row 1'),
    ({"label_names": np.array(["forest", "forest"])}, 'two classes are called "forest"'),
    ({"label_names": np.array(["forest", " "])}, "class 2 has no readable name"),
    ({"label_names": np.array(["forest", "wa\nter"])}, "class 2 has no readable name"),
    ({"label_names": np.array(["forest"])}, "1 label names for 2 classes"),
    ({"label_names": np.array([b"forest", b"water"])}, '"label_names" has type |S6 and shape (2,), not a row of text'),
    ({"label_names": np.array(["forest", "\ud800"])}, "characters that are none"),
    ({"label_names": np.array(["forest", "water"], object)}, '"label_names" holds Python objects'),
    ({"patch_ids": np.array(["p", "q", "r"], object)}, 'np.array(patch_ids, dtype="U")'),
    ({"patch_ids": np.array(["p", "q"])}, "patch ids have type <U1 and shape (2,) for 3 rows"),
    ({"patch_ids": np.array(["p", "q", "p"])}, 'patch "p" is there twice'),
    ({"patch_ids": np.arange(3)}, '"patch_ids" has type int64'),
    ({"thresholds": np.array([0.5])}, "1 thresholds for 2 classes"),
    ({"thresholds": np.array([0.5, np.nan])}, '"thresholds" has nan in place 1'),
    ({"thresholds": np.array([0.5, 2])}, "not from 0 to 1"),
    ({"thresholds": np.array(0.5)}, '"thresholds" has shape (). Its shape is (classes,)'),
    ({"thresholds": np.array(2.0)}, '"thresholds" has shape ()'),
    ({"thresholds": np.array([[0.5], [0.6]])}, '"thresholds" has shape (2, 1)'),
    ({"split": np.array("val")}, 'no split is called "val". Known: train, validation, test'),
    ({"split": np.array(["test"])}, "not text"),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=[said[:40] for _, said in WRONG])
def test_what_does_not_fit_is_refused_by_name(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = save(tmp_path / "p.npz", whole() | change)
    with pytest.raises(InputError, match=re.escape(said)) as raised:
        read_predictions(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert raised.value.hint
    assert isinstance(raised.value, LabelError if "class" in said[:12] or "classes are" in said else PredictionsError)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(PredictionsError, match="no such file"):
        read_predictions(tmp_path / "absent.npz")
    with pytest.raises(PredictionsError, match="no such file"):
        read_predictions(tmp_path)
    for content in (b"", b"PK", b"\x93NUMPY\x01\x00", b"a,b\n1,2\n"):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(UnsupportedError, match=r"not an \.npz file"):
            read_predictions(tmp_path / "other")


def zipped(members: list[tuple[str, bytes]]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return target.getvalue()


def header(shape: str, data: bytes = b"") -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zipped([("probs.npy", header("(1000000, 1000000)"))]), '"probs" is not as large as it says'),
        (zipped([("probs.npy", header("(-1, -1)", b"1234"))]), '"probs" is not as large as it says'),
        (zipped([("probs.npy", header("(1, 2)", b"1234"))]), '"probs" is not as large as it says'),
        (zipped([("probs.npy", header("'x'"))]), "file is damaged"),
        (zipped([("probs.npy", b"\x93NUMPY\x09\x00")]), '"probs" is not a plain array'),
        (zipped([("notes.txt", header("()", b"1234"))]), '"notes.txt" is not a plain array'),
        (zipped([(f"a{number}.npy", header("()", b"1234")) for number in range(65)]), "claims 65 arrays"),
    ],
)
def test_a_file_that_lies_is_refused_before_memory_is_asked_for(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "p.npz").write_bytes(content)
    with pytest.raises(InputError, match=re.escape(said)):
        read_predictions(tmp_path / "p.npz")


def test_an_array_that_is_there_twice(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = zipped([("probs.npy", header("()", b"1234"))] * 2)
    (tmp_path / "p.npz").write_bytes(content)
    with pytest.raises(PredictionsError, match="there twice"):
        read_predictions(tmp_path / "p.npz")


def test_more_than_is_allowed_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez_compressed(path, probs=np.zeros(100_000))
    assert path.stat().st_size < 10_000
    with pytest.raises(TooLargeError, match="At most 64 arrays of 0 MiB"):
        read_arrays(path, max_bytes=100_000)
    assert read_arrays(path, max_bytes=801_000)["probs"].shape == (100_000,)


@quick
@given(st.data())
def test_damaged_bytes_are_refused_or_read_but_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "p.npz"
    write_predictions(path, made_up(["a", "b"], 4))
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    try:
        found = read_predictions(path)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert len(found) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"probabilities": np.ones((2, 2), np.float16)}, "probabilities are float16"),
        ({"probabilities": np.full((2, 2), np.nan, np.float32)}, "not all from 0 to 1"),
        ({"labels": np.full((2, 2), 2, np.uint8)}, "labels have 2"),
        ({"probabilities": np.full((2, 2), 0.5, np.float32), "decided": True}, "decisions are not all 0 or 1"),
        ({"thresholds": (0.5, 2.0)}, "a threshold is 2.0"),
        ({"patch_ids": np.array(["a", "b"], object)}, "patch ids have type object"),
    ],
)
def test_predictions_that_do_not_fit_are_never_made(change: dict[str, Any], said: str) -> None:
    fitting: dict[str, Any] = {
        "probabilities": np.ones((2, 2), np.float32),
        "labels": np.ones((2, 2), np.uint8),
        "label_names": ("a", "b"),
    }
    with pytest.raises(PredictionsError, match=said):
        Predictions(**fitting | change)
