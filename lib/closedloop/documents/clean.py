"""HTML that cannot do anything: an allow-list of tags, attributes and addresses for whatever a notebook displays."""

import re
from collections.abc import Callable, Mapping

import nh3
from markupsafe import Markup

_STRUCTURE = {"article", "aside", "details", "div", "footer", "header", "hr", "section", "summary"}
_TEXT = {"h1", "h2", "h3", "h4", "h5", "h6", "p", "pre", "blockquote", "br", "ol", "ul", "li", "dl", "dt", "dd"}
_WORDS = {"a", "abbr", "b", "code", "del", "em", "i", "kbd", "mark", "s", "small", "span", "strong", "sub", "sup"}
_FIGURES = {"figure", "figcaption", "img", "time", "u"}
_TABLES = {"table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "th", "td"}
_TAGS = _STRUCTURE | _TEXT | _WORDS | _FIGURES | _TABLES
_ATTRIBUTES = {
    "*": {
        *("class", "id", "lang", "dir", "title", "role", "aria-label", "aria-labelledby", "aria-describedby"),
        "data-claims",  # which claims an element rests on
    },
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "th": {"scope", "colspan", "rowspan"},
    "td": {"colspan", "rowspan"},
    "col": {"span"},
    "colgroup": {"span"},
    "ol": {"start"},
    "details": {"open"},
    "time": {"datetime"},
}
# the first bytes of a PNG file, 89 50 4E 47 0D 0A 1A 0A, in base64
_PNG = re.compile(r"data:image/png;base64,iVBORw0KGg[A-Za-z0-9+/=\s]+")
_RELATIVE = re.compile(r"(?!/)[\w./-]*(?:\?[\w=&.-]*)?(?:#[\w.:-]*)?", re.ASCII)
_NOTEBOOK = re.compile(r"(?:\.\.?/)*(?:[\w-]+/)*([\w-]+)\.ipynb((?:#[\w.:-]*)?)", re.ASCII)
_WEB = re.compile(r"https://[\w.-]+(?:/[\w./%#?=&+~-]*)?", re.ASCII)

Filter = Callable[[str, str, str], str | None]


def output_html(html: str) -> Markup:
    """What a cell displayed, cleaned: it may hold text from outside, so links stay in the folder."""
    return _cleaned(html, _filter(None, to_web=False))


def prose_html(html: str, pages: Mapping[str, str] | None = None) -> Markup:
    """A notebook's own text, cleaned; it may also point to the web, from which nothing is loaded by itself.

    A link to a notebook becomes one to its page: ``pages`` gives the address by the notebook's name, and a link to
    any other is taken away; None stands for the page beside.
    """
    return _cleaned(html, _filter(pages, to_web=True))


def _cleaned(html: str, attribute_filter: Filter) -> Markup:
    schemes = {"https", "data"}  # addresses are decided by the filter; data only holds images
    cleaned = nh3.clean(
        html, tags=_TAGS, attributes=_ATTRIBUTES, attribute_filter=attribute_filter, url_schemes=schemes
    )
    return Markup(cleaned)


def _filter(pages: Mapping[str, str] | None, *, to_web: bool) -> Filter:
    def keep(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "href":
            return _link(value, pages, to_web)
        if attribute == "src":
            return value if _PNG.fullmatch(value) else None
        return value

    return keep


def _link(address: str, pages: Mapping[str, str] | None, to_web: bool) -> str | None:
    notebook = _NOTEBOOK.fullmatch(address)
    if notebook:
        name, rest = notebook.groups()
        page = f"{name}.html" if pages is None else pages.get(name)
        return page and page + rest
    is_fine = _RELATIVE.fullmatch(address) or (to_web and _WEB.fullmatch(address))
    return address if is_fine else None
