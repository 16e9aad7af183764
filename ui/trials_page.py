"""How the Trials page is laid out, and what is wired to what.

Flows in: choices, a tick while trials run, a link such as `/trials?study=first&metric=f1_macro`.
Flows out: what `ui.trials` says.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui import trials
from ui.settings import UiSettings

_REFRESH_SECONDS = 4
_CHOICE: dict[str, Any] = {"api_visibility": "private", "trigger_mode": "always_last"}

_REMEMBER = """(study, metric) => {
  const query = new URLSearchParams({study: study || '', metric: metric || ''});
  if (study) history.replaceState(null, '', location.pathname + '?' + query);
}"""
"""Makes the address bar a link to what is seen."""


class TrialsPage:
    """The page's components; build inside a route of `gr.Blocks`, then `wire`."""

    def __init__(self, settings: UiSettings) -> None:
        self.experiments = settings.experiments
        orders = [(text, key) for key, text in trials.ORDERS.items()]
        with gr.Row(elem_classes=["ls-choices"]):
            self.study = gr.Dropdown([], label="Study", min_width=150, visible=False)
            self.metric = gr.Dropdown([], label="Curves of", min_width=150, visible=False)
            self.order = gr.Dropdown(orders, value="best", label="Table order", min_width=150, visible=False)
            self.refresh = gr.Button("Refresh", size="md", min_width=100, scale=0)
        self.summary = _html()
        self.chart = _html()
        self.table = _html()
        self.timer = gr.Timer(_REFRESH_SECONDS, active=False)

    def wire(self, app: gr.Blocks) -> None:
        """Connect events to what happens on them."""
        inputs = [self.study, self.metric, self.order]
        shown = [*inputs, self.summary, self.chart, self.table, self.timer]
        app.load(self.on_open, self.order, shown, **_CHOICE)
        chosen = gr.on([self.study.input, self.metric.input], self.show, inputs, shown, **_CHOICE)
        chosen.then(fn=None, inputs=[self.study, self.metric], js=_REMEMBER)
        gr.on([self.order.input, self.refresh.click], self.show, inputs, shown, **_CHOICE)
        self.timer.tick(self.show, inputs, shown, show_progress="hidden", **_CHOICE)

    def on_open(self, order: str, request: gr.Request) -> list[Any]:
        """The page opens: the study and the curves that its link names, else the newest study."""
        return self.show(request.query_params.get("study"), request.query_params.get("metric"), order)

    def show(self, study: str | None, metric: str | None, order: str) -> list[Any]:
        """What there is of a study now, read anew, for all components that `wire` has listed."""
        names = trials.studies(self.experiments)
        chosen = study or next(iter(names), None)
        seen = trials.view(self.experiments, chosen, metric, order)
        return [
            gr.Dropdown(choices=names, value=chosen if chosen in names else None, visible=bool(names)),
            gr.Dropdown(choices=list(seen.metrics), value=seen.metric, visible=bool(seen.metrics)),
            gr.Dropdown(visible=bool(seen.metrics)),
            seen.summary,
            seen.chart,
            seen.table,
            gr.Timer(active=seen.running),
        ]


def _html() -> gr.HTML:
    return gr.HTML(elem_classes=["ls-html"])
