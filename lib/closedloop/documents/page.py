"""The frame of every page: one stylesheet, a policy that lets nothing from outside in, and templates that escape."""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

Link = tuple[str, str]


@cache
def templates(package: str) -> Environment:
    """The templates of a package's folder ``templates``; every value that they show is escaped."""
    loader = PackageLoader(package)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@cache
def stylesheet() -> Markup:
    """The style of all pages."""
    return Markup(files("closedloop.documents").joinpath("page.css").read_text("utf-8"))


def page(
    title: str,
    body: Markup,
    *,
    kind: str = "",
    crumbs: Sequence[Link] = (),
    script: Markup | None = None,
) -> str:
    """A whole HTML page that needs nothing but itself.

    ``body`` and ``script`` are inserted as they are, so they must be ours or cleaned; all else is escaped. Links
    are (text, address) pairs. The policy allows this style, this script, and images
    that are part of the page.
    """
    values: dict[str, Any] = {"kind": kind, "crumbs": crumbs, "script": script or ""}
    style = stylesheet()
    return (
        templates("closedloop.documents")
        .get_template("page.html")
        .render(title=title, body=body, style=style, policy=_policy(style, script or ""), **values)
    )


def _policy(style: str, script: str) -> str:
    scripts = f"; script-src '{_digest(script)}'" if script else ""
    allowed = f"img-src data:; style-src '{_digest(style)}'{scripts}"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()
