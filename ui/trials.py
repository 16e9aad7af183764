"""The Trials page: what a search tried, what came of it, and how each trial learned.

Flows in: a study, read anew each time. Flows out: HTML. Paths of this machine stay out of every message.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from pathlib import Path

from pipelines.errors import LandsweepError
from tune.study import Study, TrialRow, list_studies, open_study
from ui import chart, render

ORDERS = {"best": "Best first", "newest": "Newest first"}
MAX_ROWS, MAX_LINES = 200, 60

_STEPS = {"epoch", "patches", "seconds"}
_LOSSES = ("validation_loss", "train_loss")
_SIGNS = {"running": "▶", "paused": "⏸", "waiting": "…", "complete": "✓", "pruned": "✂", "failed": "✕"}
_PARAMETERS = {
    "model": "Model",
    "bands": "Bands",
    "learning_rate": "Learning rate",
    "weight_decay": "Weight decay",
    "batch_size": "Batch",
}


@dataclass(frozen=True)
class View:
    """What the page shows of a study: HTML, the metrics there are curves of, and whether to look again soon."""

    summary: str
    chart: str = ""
    table: str = ""
    metrics: tuple[str, ...] = ()
    metric: str | None = None
    running: bool = False


def studies(experiments: Path) -> list[str]:
    """Names of the studies, newest first."""
    return list_studies(experiments)


def view(experiments: Path, name: str | None, metric: str | None, order: str) -> View:
    """Read a study and show it; `metric` falls back to the one the study maximises."""
    if name is None:
        return View(_empty())
    try:
        study = open_study(experiments, name)
    except LandsweepError as error:
        return View(render.failure(error, where=False))
    metrics = metric_names(study)
    shown = metric if metric in metrics else study.settings.metric
    best = study.best
    return View(
        summary=_summary(name, study),
        chart=chart.draw(lines(study, shown), shown),
        table=_table(study, best, order),
        metrics=metrics,
        metric=shown,
        running=any(row.state in ("running", "waiting", "paused") for row in study.trials),
    )


def metric_names(study: Study) -> tuple[str, ...]:
    """What there are curves of: the study's own metric, the losses, then the others by name."""
    keys = {key for row in study.trials for point in row.curves for key in point} - _STEPS
    first = (study.settings.metric, *(loss for loss in _LOSSES if loss in keys))
    return first + tuple(sorted(keys - set(first)))


def lines(study: Study, metric: str) -> list[chart.Line]:
    """One line a trial, of the best and the newest trials where there are too many to tell apart."""
    best = study.best
    rows = sorted(study.trials, key=lambda row: (row is not best, -row.number))[:MAX_LINES]
    return [
        chart.Line(f"trial {row.number}", "best" if row is best else row.state, _points(row, metric))
        for row in sorted(rows, key=lambda row: row.number)
    ]


def _points(row: TrialRow, metric: str) -> chart.Points:
    found = ((point.get("epoch", math.nan), point.get(metric, math.nan)) for point in row.curves)
    return sorted((float(x), float(y)) for x, y in found if math.isfinite(x) and math.isfinite(y))


def _empty() -> str:
    return (
        '<div class="ls-blank"><h3>No search yet</h3><p>A search tries models, bands and rates, and keeps the best. '
        "Write its settings with <code>landsweep search init search.yaml</code>, start it with "
        "<code>landsweep search run search.yaml</code>, and its trials appear here as they learn.</p></div>"
    )


def _summary(name: str, study: Study) -> str:
    counts = {state: sum(row.state == state for row in study.trials) for state in _SIGNS}
    states = ", ".join(f"{_SIGNS[state]} {count} {state}" for state, count in counts.items() if count) or "none started"
    best = study.best
    value = f"{best.value:.4f} by trial {best.number}" if best and best.value is not None else "none yet"
    facts = [
        ("Study", name),
        (f"Best {study.settings.metric}", value),
        ("Trials", f"{study.finished} of {study.settings.trials} finished"),
        ("States", states),
    ]
    cells = "".join(f"<div><dt>{escape(title)}</dt><dd>{escape(text)}</dd></div>" for title, text in facts)
    return f'<dl class="ls-summary">{cells}</dl>'


def _table(study: Study, best: TrialRow | None, order: str) -> str:
    if not study.trials:
        return '<div class="ls-chart-empty">No trial has started yet.</div>'
    rows = sorted(study.trials, key=lambda row: -row.number)
    if order != "newest":
        rows.sort(key=lambda row: -math.inf if row.value is None else row.value, reverse=True)
        rows.sort(key=lambda row: row is not best)
    names = [*_PARAMETERS, *sorted({key for row in rows for key in row.parameters} - set(_PARAMETERS))]
    titles = ["Trial", "State", study.settings.metric, "Patches", *(_PARAMETERS.get(key, key) for key in names)]
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in (*titles, "Time", "Reason"))
    body = "".join(_row(row, names, is_best=row is best) for row in rows[:MAX_ROWS])
    cut = f"<p>The first {MAX_ROWS} of {len(rows)} trials.</p>" if len(rows) > MAX_ROWS else ""
    return (
        '<p class="ls-more">Scroll sideways for more columns →</p>'
        f'<div class="ls-table" tabindex="0" role="region" aria-label="Trials"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{cut}"
    )


def _row(row: TrialRow, names: list[str], *, is_best: bool) -> str:
    star = ' <b class="ls-best-mark">★ best</b>' if is_best else ""
    value = "–" if row.value is None else f"{row.value:.4f}"
    cells = [
        f'<td class="ls-state ls-{escape(row.state)}">{_SIGNS.get(row.state, "")} {escape(row.state)}</td>',
        f'<td class="ls-value">{value}</td>',
        f"<td>{row.patches:,}</td>",
        *(f"<td>{escape(_short(row.parameters.get(key)))}</td>" for key in names),
        f"<td>{_duration(row.seconds)}</td>",
        f'<td class="ls-reason">{escape(row.reason)}</td>',
    ]
    marked = ' class="ls-is-best"' if is_best else ""
    return f'<tr{marked}><th scope="row">{row.number}{star}</th>{"".join(cells)}</tr>'


def _short(value: object) -> str:
    if value in (None, ""):
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value).rpartition("/")[2]  # of a path, the name alone


def _duration(seconds: float) -> str:
    if not seconds:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
