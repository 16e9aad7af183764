"""Answers to HTML for the Classify page. Every word that comes from a file or from the endpoint is escaped.

Flows in: predictions, pictures, errors. Flows out: HTML text; the style sheet is in `ui.theme`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from pipelines.errors import LandsweepError
from pipelines.labels import colour_of
from pipelines.pixels.meaning import Line
from serve.schema import LabelPrediction, ModelInfo, Prediction
from ui.picture import HEAT, Picture, Pixels, as_uri

_OPEN_UP_TO = 25
_WORDS = {"error": "Error", "warning": "Note", "info": "Info"}


def message(kind: str, text: str) -> str:
    """A box with a word that says what it is; `text` may mark code with backticks."""
    role = "alert" if kind == "error" else "status"
    body = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return f'<div class="ls-message ls-{kind}" role="{role}"><b>{_WORDS[kind]}</b><span>{body}</span></div>'


def failure(error: LandsweepError, *, where: bool = True) -> str:
    """An error as a box; without `where`, which may be a path of the server."""
    text = str(error) if where else str(LandsweepError(error.what, hint=error.hint))
    return message("error", _sentence(text))


def notes(warnings: Iterable[str]) -> str:
    """What the endpoint assumed or found odd about the file, a box each."""
    return "".join(message("warning", _sentence(text)) for text in warnings)


def _sentence(text: str) -> str:
    if "://" not in text.split(" ")[0]:
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else text + "."


def blank(models: list[ModelInfo]) -> str:
    """What is there before the first patch: what the page takes."""
    takes = "".join(
        f"<li><b>{escape(model.name)}</b>: {model.image_size}×{model.image_size} px, "
        f"{len(model.bands)} bands <small>{escape(', '.join(model.bands))}; {escape(_numbers(model))}</small></li>"
        for model in models
    )
    return (
        '<div class="ls-blank"><h3>Nothing classified yet</h3>'
        "<p>Upload a patch as a GeoTIFF with all bands on one grid, or pick an example.</p>"
        f"<ul>{takes}</ul></div>"
    )


def _numbers(model: ModelInfo) -> str:
    """What the numbers of a file are to be that does not say what they are."""
    meant = {(each.line, each.unit) for each in model.numbers.values()}
    if len(meant) != 1:
        return "numbers as in training"
    ((line, unit),) = meant
    return f"number {line.formula} is {unit or 'a value'}" if line != Line() else unit or "numbers"


def labels(predictions: list[LabelPrediction]) -> str:
    """All classes as bars by falling probability: first the predicted ones, then the others."""
    found = [each for each in predictions if each.positive]
    others = [each for each in predictions if not each.positive]
    top = "".join(_label(each) for each in found) or '<li class="ls-none">No class reaches its threshold.</li>'
    unfold = " open" if len(others) <= _OPEN_UP_TO else ""
    rest = "".join(_label(each) for each in others)
    return (
        f'<section class="ls-labels" aria-label="Classes"><h3>Predicted <small>{len(found)} of {len(predictions)} '
        f"classes</small></h3><ol>{top}</ol><details{unfold}><summary>Below threshold <small>{len(others)} classes"
        f"</small></summary><ol>{rest}</ol></details>"
        '<p class="ls-key"><i class="ls-tick"></i> threshold of the class, fitted on validation data</p></section>'
    )


def _label(each: LabelPrediction) -> str:
    percent, mark = 100 * each.probability, 100 * min(max(each.threshold, 0), 1)
    state = "predicted" if each.positive else "below threshold"
    spoken = f"{percent:.0f} %, threshold {mark:.0f} %, {state}"
    sign = "✓" if each.positive else ""
    return (
        f'<li class="{"ls-on" if each.positive else "ls-off"}" style="--class:{colour_of(each.label)}">'
        f'<span class="ls-sign" aria-hidden="true">{sign}</span><span class="ls-name">{escape(each.label)}</span>'
        f'<span class="ls-bar" role="img" aria-label="{spoken}" title="{spoken}">'
        f'<i style="width:{percent:.1f}%"></i><b style="left:{mark:.1f}%"></b></span>'
        f'<span class="ls-number">{_percent(percent)}</span></li>'
    )


def _percent(value: float) -> str:
    if 0 < value < 1:
        return "&lt;1 %"
    return "&gt;99 %" if 99 < value < 100 else f"{value:.0f} %"


def figure(title: str, rgb: Pixels, caption: str, alternative: str) -> str:
    """One picture with its heading and caption; `caption` is HTML."""
    return (
        f'<figure class="ls-figure"><h3>{escape(title)}</h3>'
        f'<img src="{as_uri(rgb)}" alt="{escape(alternative)}"><figcaption>{caption}</figcaption></figure>'
    )


def picture(seen: Picture) -> str:
    """The patch itself."""
    return figure(seen.title, seen.rgb, escape(seen.caption), f"{seen.title} picture of the patch")


def evidence(label: str, rgb: Pixels, *, found: bool) -> str:
    """Grad-CAM of one class, or the bare picture where the model saw nothing for it."""
    name = escape(label)
    if not found:
        caption = f"<b>No positive evidence for this class.</b> Nothing in the patch speaks for “{name}”."
        return figure("Grad-CAM", rgb, caption, f"The patch; no positive evidence for {label}")
    scale = (
        f'<span class="ls-scale"><span>none</span><i style="background:linear-gradient(90deg,transparent,'
        f'{",".join(HEAT)})"></i><span>strongest</span></span>'
    )
    caption = f"{scale}Where the model sees “{name}”, relative to its strongest spot in this patch."
    return figure("Grad-CAM", rgb, caption, f"Where the model sees {label}")


def waiting() -> str:
    """Holds the place of the evidence while the endpoint works on it."""
    return (
        '<figure class="ls-figure"><h3>Grad-CAM</h3><div class="ls-waiting" role="status">Looking for evidence…</div>'
        "</figure>"
    )


def facts(answer: Prediction) -> str:
    """Who answered, and where on Earth the patch lies."""
    rows = [
        ("Model", f"{answer.model.name}, version {answer.model.version}"),
        ("Bands used", ", ".join(answer.bands_used)),
        ("Reference system", _crs(answer.crs)),
        ("Bounds", _bounds(answer.bounds)),
        ("Answered in", f"{answer.timing_ms.get('total', sum(answer.timing_ms.values())):.0f} ms"),
        ("Request", answer.request_id),
    ]
    body = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in rows)
    return f'<dl class="ls-facts">{body}</dl>'


def _crs(crs: str) -> str:
    """A short name: WGS 84's UTM zones are spelled out, WKT is cut down to its title."""
    zone = re.fullmatch(r"EPSG:32([67])(\d\d)", crs)
    if zone:
        return f"{crs}, UTM zone {int(zone[2])}{'N' if zone[1] == '6' else 'S'}"
    title = re.search(r'"([^"]+)"', crs)
    return title[1] if title else crs or "none in the file"


def _bounds(bounds: tuple[float, float, float, float] | None) -> str:
    if bounds is None:
        return "none in the file"
    digits = 5 if max(abs(value) for value in bounds) <= 360 else 0
    left, bottom, right, top = (f"{value:,.{digits}f}".replace(",", "\u202f") for value in bounds)
    return f"left {left}, bottom {bottom}, right {right}, top {top}"
