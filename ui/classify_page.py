"""How the Classify page is laid out, and what is wired to what.

Flows in: a file, a click, a link such as `/?model=landnet&example=file:lake.tif`. Flows out: what `ui.classify` says.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui import classify, render
from ui.examples import ON_CLICK
from ui.refusal import KINDS, ON_FILE, refuse
from ui.settings import UiSettings

_STATE_SECONDS = 3600
_LONGEST = 2000
"""Characters of a list of band names."""

# No callback is offered as an API: the endpoint is that.
_CLICK: dict[str, Any] = {"api_visibility": "private", "trigger_mode": "once"}
_CHOICE: dict[str, Any] = {"api_visibility": "private", "trigger_mode": "always_last"}

_SHOW_RESULT = """() => {
  if (window.innerWidth < 700) document.getElementById('ls-result').scrollIntoView({behavior: 'smooth'});
}"""
"""On a phone the answer is below what was tapped."""


class ClassifyPage:
    """The page's components; build inside `gr.Blocks`, then `wire`."""

    def __init__(self, settings: UiSettings) -> None:
        self.connect = classify.connect_to(settings.url)
        self.folder = settings.examples
        self.shot = gr.State(None, time_to_live=_STATE_SECONDS)
        with gr.Row():
            with gr.Column(scale=3, min_width=300):
                self.file = gr.File(label="GeoTIFF", file_types=list(KINDS), type="binary", height=150)
                self.bands = gr.Textbox(
                    label=classify.BAND_NAMES,
                    info="Only where the file has none, or others: what its bands are, in file order",
                    placeholder="B02, B03, B04, B08",
                    max_length=_LONGEST,
                    elem_id="ls-bands",
                    submit_btn="Apply",
                )
                self.model = gr.Dropdown([], label="Model", visible=False)
                self.examples = _html(js_on_load=ON_CLICK)
                self.again = gr.Button("Try again", visible=False, size="sm")
            with gr.Column(scale=8, min_width=300, elem_id="ls-result"):
                self.messages = _html(js_on_load=ON_FILE)
                self.blank = _html()
                with gr.Row():
                    with gr.Column(min_width=260):
                        self.picture = _html()
                    with gr.Column(min_width=260):
                        self.evidence = _html()
                        self.label = gr.Dropdown([], label="Explain class", visible=False)
                self.labels = _html()
                self.facts = _html()

    def wire(self, app: gr.Blocks) -> None:
        """Connect events to what happens on them."""
        opening = [self.model, self.examples, self.messages, self.blank, self.again]
        result = [
            self.shot,
            self.messages,
            self.blank,
            self.picture,
            self.evidence,
            self.labels,
            self.facts,
            self.label,
        ]
        look = {"fn": self.on_label, "inputs": [self.shot, self.label], "outputs": self.evidence, **_CHOICE}
        picked = [*result, self.model, self.file, self.bands]
        sent = [self.file, self.model, self.bands]

        app.load(self.on_open, outputs=opening, **_CLICK).then(self.on_link, outputs=picked, **_CLICK).then(**look)
        self.again.click(self.on_open, outputs=opening, **_CLICK)
        seen = self.file.upload(self.on_file, sent, result, **_CLICK)
        seen.then(**look).then(fn=None, js=_SHOW_RESULT)
        seen = self.bands.submit(self.on_bands, [self.shot, *sent], result, **_CLICK)
        seen.then(**look).then(fn=None, js=_SHOW_RESULT)
        self.messages.upload(self.on_refused, outputs=result, **_CLICK).then(fn=None, js=_SHOW_RESULT)
        seen = self.examples.click(self.on_example, self.model, picked, **_CLICK)
        seen.then(**look).then(fn=None, js=_SHOW_RESULT)
        self.model.input(self.on_model, [self.shot, self.model], result, **_CHOICE).then(**look)
        self.label.input(**look)

    def on_open(self, request: gr.Request) -> list[Any]:
        """The page opens, or is asked to try again: models and examples, and the model that a link names."""
        opened = classify.welcome(self.connect, self.folder)
        names = [each.name for each in opened.models]
        wanted = request.query_params.get("model", "")
        chooser = gr.Dropdown(
            choices=[(f"{each.name}, version {each.version}", each.name) for each in opened.models],
            value=wanted if wanted in names else next(iter(names), None),
            visible=len(names) > 1,
        )
        return [chooser, opened.gallery, opened.messages, opened.blank, gr.Button(visible=not names)]

    def on_link(self, request: gr.Request) -> Any:
        """The page opens with an example in its link: as if it was clicked."""
        key = request.query_params.get("example")
        return self._example(key, request.query_params.get("model")) if key else gr.skip()

    def on_file(self, tiff: bytes | None, model: str | None, bands: str | None) -> list[Any]:
        """A file has arrived: its classes, or why it has none."""
        return _show(classify.classify(self.connect, tiff or b"", model, (bands or "").strip()))

    def on_bands(self, shot: classify.Shot | None, tiff: bytes | None, model: str | None, bands: str | None) -> Any:
        """The bands of the file that is there, or of the example, have been named: as if it arrived now."""
        tiff = tiff or (shot.tiff if shot else None)
        return self.on_file(tiff, model, bands) if tiff else gr.skip()

    def on_refused(self, event: gr.EventData) -> list[Any]:
        """The browser has kept a file back: why, and nothing of the patch before."""
        found = refuse(getattr(event, "name", ""), getattr(event, "size", None))
        return _show(classify.Result(None, found, "", "", ""))

    def on_example(self, model: str | None, event: gr.EventData) -> list[Any]:
        """An example is clicked: its classes, by the model that it was made for."""
        return self._example(str(getattr(event, "key", "")), model)

    def on_model(self, shot: classify.Shot | None, model: str | None) -> Any:
        """Another model is chosen: the same patch by that one."""
        return _show(classify.classify(self.connect, shot.tiff, model, shot.bands)) if shot else gr.skip()

    def on_label(self, shot: classify.Shot | None, label: str | None) -> str:
        """A class is chosen, or the first one of a new patch: where the model sees it, as HTML."""
        return classify.explain(self.connect, shot, label)

    def _example(self, key: str, model: str | None) -> list[Any]:
        found, used = classify.classify_example(self.connect, self.folder, key, model)
        return [*_show(found), used or gr.skip(), None, ""]


def _show(found: classify.Result) -> list[Any]:
    choices = found.shot.choices if found.shot else []
    chooser = gr.Dropdown(choices=choices, value=choices[0][1] if choices else None, visible=bool(choices))
    # The last patch's evidence goes at once; the new one's comes a moment later.
    evidence = render.waiting() if found.shot else ""
    return [found.shot, found.messages, "", found.picture, evidence, found.labels, found.facts, chooser]


def _html(**more: Any) -> gr.HTML:
    return gr.HTML(elem_classes=["ls-html"], **more)
