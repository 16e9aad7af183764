"""Files that the page does not take: said in its panel, where Gradio would show a note that soon fades.

Flows in: what the browser tells of a file before it is sent. Flows out: the reason as HTML. Gradio's own checks, and
those of its server, stand behind; this only sees to it that the reader is told.
"""

from __future__ import annotations

from typing import Any

from pipelines.errors import PatchError, TooLargeError, UnsupportedError
from ui import render

KINDS = (".tif", ".tiff")
MAX_MEGABYTES = 16

_SHOWN = 80

ON_FILE = """
const look = (event) => {
  const file = (event.dataTransfer || event.target).files?.[0];
  if (!file || !element.isConnected) return;
  const name = file.name.toLowerCase();
  if (KINDS.some((kind) => name.endsWith(kind)) && file.size <= LIMIT) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (event.type === 'change') event.target.value = '';
  else event.target.dispatchEvent(new DragEvent('dragleave', {bubbles: true}));
  trigger('upload', {name: file.name, size: file.size});
};
document.addEventListener('change', look, true);
document.addEventListener('drop', look, true);
""".replace("KINDS", str(list(KINDS))).replace("LIMIT", str(MAX_MEGABYTES * 2**20))
"""Runs with the page, before Gradio sees a chosen or dropped file; one that is not taken becomes an `upload` event."""


def refuse(name: Any, size: Any) -> str:
    """Why a file is not taken, as HTML; both facts are the browser's word, so anything."""
    shown, right = str(name)[:_SHOWN], str(name).lower().endswith(KINDS)
    error: PatchError
    if right and isinstance(size, (int, float)):
        what = f'"{shown}" has {size / 2**20:.0f} MiB, the page takes {MAX_MEGABYTES} MiB'
        error = TooLargeError(what, hint="Cut the image into patches first.")
    else:
        hint = f"Choose a file whose name ends in {' or '.join(KINDS)}."
        error = UnsupportedError(f'"{shown}" is no GeoTIFF by its name', hint=hint)
    return render.failure(error)
