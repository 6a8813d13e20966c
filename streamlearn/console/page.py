"""The live page, put together from its files into one document that asks nobody else for anything.

It runs only the scripts and styles whose hashes its policy names, so not even a fault in the page could run
something else. Charts are drawn by uPlot, which is vendored with its licence.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

SCRIPTS = (
    "text.js",
    "dom.js",
    "store.js",
    "chart.js",
    "models.js",
    "flow.js",
    "labels.js",
    "slices.js",
    "cards.js",
    "main.js",
)


def build_page() -> str:
    """Return the page as one HTML document."""
    own, uplot = files("streamlearn.console") / "page", files("streamlearn.console") / "vendor" / "uplot"
    parts = {
        "style-uplot": (uplot / "uPlot.min.css").read_text(encoding="utf-8"),
        "style": (own / "style.css").read_text(encoding="utf-8"),
        "script-uplot": f"/*!\n{(uplot / 'LICENSE').read_text(encoding='utf-8')}*/\n"
        + (uplot / "uPlot.iife.min.js").read_text(encoding="utf-8"),
        "script": "\n".join((own / name).read_text(encoding="utf-8") for name in SCRIPTS),
    }
    page = (own / "index.html").read_text(encoding="utf-8")
    for name, text in parts.items():
        place = f"/* {name} */"
        assert page.count(place) == 1, f"the page has no place for {name}"
        assert "</s" not in text.lower(), f"{name} would end its own element"
        page = page.replace(place, text)
    return page


def content_security_policy(page: str) -> str:
    """Return the policy under which a page may run its own inline script and style and nothing else.

    >>> content_security_policy("<style>a{}</style>")
    "default-src 'none'; style-src 'sha256-X1RutGBrXCt9KkSaXMK7tHftWiRscFHOhxsS8tv8hBk='; ..."
    """
    directives = ["default-src 'none'"]
    for directive, tag in (("style-src", "style"), ("script-src", "script")):
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        if inline:
            hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline)
            directives.append(f"{directive} " + " ".join(f"'sha256-{digest}'" for digest in hashes))
    directives += ["connect-src 'self'", "img-src data:", "base-uri 'none'", "form-action 'none'"]
    return "; ".join([*directives, "frame-ancestors 'none'"])
