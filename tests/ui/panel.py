"""Reads the page's panel as its reader does."""

from __future__ import annotations

import re
from html import unescape

from tests.doors.uploads import check_free_of_requests


def text_of_alert(panel: str) -> str:
    """What the one error in a piece of HTML says; nothing in it may come from the file as HTML."""
    found = re.fullmatch(r'<div class="ls-message ls-error" role="alert"><b>Error</b><span>(.*)</span></div>', panel)
    assert found, panel
    bare = found[1].replace("<code>", "").replace("</code>", "")
    assert "<" not in bare
    told = unescape(bare)
    check_free_of_requests(told)
    assert "--bands" not in told
    return told
