"""What happens on the Classify page, without a browser."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from pipelines.bands import ALL_BANDS
from serve.client import Client
from tests.doors.uploads import AskedDoorTests, Door, Question, Upload
from tests.fakes import stack
from tests.ui.panel import text_of_alert
from tests.ui.stand_in import BLIND_TO, make_tiff
from ui import classify

Connect = Callable[[], Client]


@pytest.fixture
def connect(endpoint: str) -> Connect:
    return classify.connect_to(endpoint)


def answering(status: int, text: str) -> Connect:
    """An endpoint that gives one answer to everything."""
    transport = httpx.MockTransport(lambda request: httpx.Response(status, text=text))
    return lambda: Client("http://elsewhere.test", transport=transport)


def test_welcome_offers_models_and_examples(connect: Connect, examples: Path) -> None:
    opened = classify.welcome(connect, examples)
    assert [model.name for model in opened.models] == ["landnet-all", "landnet-swir"]
    assert 'data-key="model:landnet-swir"' in opened.gallery
    assert "&lt;img src=x&gt;" in opened.gallery and "<img src=x>" not in opened.gallery
    assert "notes.txt" not in opened.gallery
    assert opened.messages == ""


def test_answer_has_picture_labels_and_facts(connect: Connect) -> None:
    found = classify.classify(connect, make_tiff(), None)
    assert found.shot is not None and found.shot.model == "landnet-all"
    assert "True colour" in found.picture and "Predicted" in found.labels and "UTM zone 33N" in found.facts
    chances = [each.probability for each in found.shot.answer.predictions]
    assert chances == sorted(chances, reverse=True)
    assert [name for _, name in found.shot.choices] == found.shot.labels


def test_warnings_are_visible(connect: Connect) -> None:
    found = classify.classify(connect, make_tiff(("B08", "B11", "B12")), "landnet-swir")
    assert found.shot is not None and found.messages == ""
    nameless = make_tiff(("B08", "B11", "B12"))
    for band in (b"B08", b"B11", b"B12"):
        nameless = nameless.replace(band, b"   ")
    assert "does not name its bands" in classify.classify(connect, nameless, "landnet-swir").messages


class TestPanel(AskedDoorTests):
    """One message, and nothing else beside it."""

    @pytest.fixture
    def door(self, connect: Connect) -> Door:
        def show(upload: Upload | Question) -> str:
            asked = (upload.model, upload.bands or "") if isinstance(upload, Question) else (None, "")
            found = classify.classify(connect, upload.data, *asked)
            assert (found.shot, found.picture, found.labels, found.facts) == (None, "", "", "")
            return text_of_alert(found.messages)

        return show


def test_bands_are_what_they_are_said_to_be_in_the_answer_the_picture_and_the_evidence(connect: Connect) -> None:
    turned = tuple(reversed(ALL_BANDS))
    nameless = make_tiff(turned)
    for band in turned:
        nameless = nameless.replace(band.encode(), b"   ")
    named, given = (
        classify.classify(connect, *sent)
        for sent in (
            (make_tiff(turned), None),
            (nameless, "landnet-all", "B12,b11,B9,nir08,b8,B7,B6,B5,red,Green,blue,coastal"),
        )
    )
    wrong = classify.classify(connect, nameless, None)
    assert named.shot and given.shot and wrong.shot
    assert given.messages == "" and "does not name its bands" in wrong.messages
    assert given.picture == named.picture != wrong.picture
    assert given.labels == named.labels
    label = next(name for name in given.shot.labels if name != BLIND_TO)
    seen = [classify.explain(connect, each.shot, label) for each in (named, given, wrong)]
    assert seen[0] == seen[1] != seen[2]


def test_a_band_that_cannot_be_told_is_to_be_named_in_the_pages_field(connect: Connect) -> None:
    told = text_of_alert(classify.classify(connect, stack((*ALL_BANDS, "B10"), named=False), None).messages)
    assert "Name all 13 in file order in “Band names”" in told


def test_endpoint_down_names_the_command_that_starts_it() -> None:
    down = partial(Client, "http://127.0.0.1:9")
    for html in (classify.welcome(down, None).messages, classify.classify(down, make_tiff(), None).messages):
        assert "<code>landsweep serve</code>" in html and "http://127.0.0.1:9" in html


@pytest.mark.parametrize("answer", [(200, "<html>a router's page</html>"), (200, '{"models": 3}'), (500, "boom")])
def test_something_else_on_that_port_is_no_traceback(answer: tuple[int, str]) -> None:
    opened = classify.welcome(answering(*answer), None)
    assert opened.models == [] and 'role="alert"' in opened.messages


def test_endpoint_without_models_says_what_to_do() -> None:
    assert "landsweep registry add" in classify.welcome(answering(200, '{"models": []}'), None).messages


def test_example_of_a_model_is_classified_by_it(connect: Connect) -> None:
    found, used = classify.classify_example(connect, None, "model:landnet-swir", "landnet-all")
    assert used == "landnet-swir"
    assert found.shot is not None and "Band B08" in found.picture


def test_example_of_the_folder_is_classified_by_the_chosen_model(connect: Connect, examples: Path) -> None:
    found, used = classify.classify_example(connect, examples, "file:<img src=x>.tif", "landnet-swir")
    assert used == "landnet-swir" and found.shot is not None


@pytest.mark.parametrize(
    "key", ["", "file:../secret.tif", "file:/etc/passwd", "file:notes.txt", "model:nope", "x" * 9999]
)
def test_keys_are_looked_up_and_never_opened(connect: Connect, examples: Path, key: str) -> None:
    (examples.parent / "secret.tif").write_bytes(make_tiff())
    found, _ = classify.classify_example(connect, examples, key, None)
    assert found.shot is None and "no example" in found.messages.lower()
    assert len(found.messages) < 400


def test_evidence_is_laid_over_the_picture(connect: Connect) -> None:
    found = classify.classify(connect, make_tiff(), None)
    assert found.shot is not None
    seen = next(name for name in found.shot.labels if name != BLIND_TO)
    assert "ls-scale" in classify.explain(connect, found.shot, seen)
    assert "No positive evidence" in classify.explain(connect, found.shot, BLIND_TO)


def test_evidence_of_nothing_is_empty_and_of_an_unknown_class_refused(connect: Connect) -> None:
    shot = classify.classify(connect, make_tiff(), None).shot
    assert classify.explain(connect, None, "Pastures") == ""
    assert classify.explain(connect, shot, None) == ""
    assert "no class" in classify.explain(connect, shot, "Moon").lower()
    assert "landsweep serve" in classify.explain(partial(Client, "http://127.0.0.1:9"), shot, "Pastures")
