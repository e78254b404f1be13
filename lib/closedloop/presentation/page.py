"""HTML that cannot do anything: an allow-list of tags, attributes and addresses for whatever a notebook displays."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import nh3
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
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


Link = tuple[str, str]


@cache
def templates(package: str) -> Environment:
    """The templates of a package's folder ``templates``; every value that they show is escaped."""
    loader = PackageLoader(package)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@cache
def stylesheet() -> Markup:
    """The style of all pages."""
    return Markup(files("closedloop.presentation").joinpath("page.css").read_text("utf-8"))


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
        templates("closedloop.presentation")
        .get_template("page.html")
        .render(title=title, body=body, style=style, policy=_policy(style, script or ""), **values)
    )


def _policy(style: str, script: str) -> str:
    scripts = f"; script-src '{_digest(script)}'" if script else ""
    allowed = f"img-src data:; style-src '{_digest(style)}'{scripts}"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()


MOST_CHARACTERS = {"stream": 50_000, "text/plain": 50_000, "text/html": 3_000_000, "image/png": 8_000_000}
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BASE64 = re.compile(r"iVBORw0KGg[A-Za-z0-9+/=\s]+")
_INJECTED = "injected-parameters"
_LEAST_CONTENTS = 4


def notebook_html(
    notebook: Any,
    title: str,
    *,
    is_document: bool = False,
    home: str = "../../index.html",
    pages: Mapping[str, str] | None = None,
    notice: str = "",
) -> str:
    """The page of an executed notebook: prose, outputs, code folded away.

    ``notebook`` is an nbformat 4 node. A document is for reading and printing: its code is one fold at the end.
    ``home`` is the address of the index, ``pages`` those of other notebooks by name (None: beside this one). A
    ``notice`` is the page's first line. What cells displayed passes an allow-list; scripts, styles, frames, foreign
    images and addresses are dropped.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type in ("markdown", "code")]
    parts = [part for part in _parts(cells, pages, with_code=not is_document) if part]
    if is_document:
        parts.append(_fold([cell for cell in cells if cell.cell_type == "code"], "how this page was computed"))
    else:
        parts[1:1] = [_contents(cells)]
    if notice:
        parts.insert(0, Markup('<p class="missing">{}</p>').format(notice))
    kind = "document" if is_document else "notebook"
    return page(title, Markup("\n").join(parts), kind=kind, crumbs=[("All runs", home)])


def _parts(cells: Sequence[Any], pages: Mapping[str, str] | None, *, with_code: bool) -> Iterator[Markup]:
    """Prose and outputs in their order; code that shows nothing is folded together with the next that does."""
    folded: list[Any] = []
    for cell in cells:
        shown = _outputs(cell) if cell.cell_type == "code" else _prose(cell.source, pages)
        folded += [cell] if cell.cell_type == "code" else []
        if shown:
            # prose comes after the code above it, an output after its own
            yield _fold(folded, _label(folded)) if with_code else Markup("")
            yield shown
            folded = []
    yield _fold(folded, _label(folded)) if with_code else Markup("")


def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _prose(source: str, pages: Mapping[str, str] | None) -> Markup:
    return Markup('<section class="prose">{}</section>').format(prose_html(_rendered(source), pages))


@lru_cache(1024)
def _rendered(source: str) -> str:
    """A cell of prose is the same in every run of its notebook."""
    renderer = _markdown()
    tokens = renderer.parse(source)
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(inline.content))
    return str(renderer.renderer.render(tokens, renderer.options, {}))


def _outputs(cell: Any) -> Markup:
    is_pending = cell.metadata.get("closedloop", {}).get("state") == "pending"
    note = Markup('<p class="pending">This cell was not run.</p>') if is_pending else Markup("")
    return Markup("\n").join([note, *map(_output, cell.get("outputs", []))]).strip()


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-") or "section"


def _contents(cells: Sequence[Any]) -> Markup:
    """Links to the headings of the second level, for pages that have enough of them."""
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    found = [match for source in prose for match in re.findall(r"^## (.+)$", source, re.MULTILINE)]
    if len(found) < _LEAST_CONTENTS:
        return Markup("")
    link = Markup('<li><a href="#{}">{}</a></li>')
    links = Markup("\n").join(link.format(_anchor(text), re.sub(r"[*`_]", "", text)) for text in found)
    return Markup('<nav class="contents" aria-label="On this page"><ol>{}</ol></nav>').format(links)


def _label(cells: Sequence[Any]) -> str:
    tags = {tag for cell in cells for tag in cell.metadata.get("tags", [])}
    return "code and parameters of this run" if tags & {"parameters", _INJECTED} else "code"


def _fold(cells: Sequence[Any], label: str) -> Markup:
    sources = [cell.source for cell in cells if cell.source.strip()]
    if not sources:
        return Markup("")
    blocks = Markup("\n").join(Markup("<pre><code>{}</code></pre>").format(source) for source in sources)
    return Markup('<details class="code"><summary>{}</summary>{}</details>').format(label, blocks)


def _output(output: Any) -> Markup:
    if output.output_type == "stream":
        return _pre(_text(output.text), "stream")
    if output.output_type == "error":
        lines = "\n".join(output.get("traceback") or [f"{output.ename}: {output.evalue}"])
        return _pre(_ANSI.sub("", lines), "stream", "error")
    return _display(output.get("data", {}), output.get("metadata", {}))


def _display(data: Any, metadata: Any) -> Markup:
    """The richest form that is allowed of something displayed."""
    if "text/html" in data:
        html = _text(data["text/html"])
        too_big = _too_big("text/html", html)
        return too_big or Markup('<div class="output">{}</div>').format(output_html(html))
    if "image/png" in data:
        return _image(_text(data["image/png"]), metadata)
    if "text/markdown" in data:
        rendered = _markdown().render(_text(data["text/markdown"]))
        return Markup('<div class="output">{}</div>').format(output_html(rendered))
    return _pre(_text(data["text/plain"]), "text/plain") if "text/plain" in data else Markup("")


def _image(content: str, metadata: Any) -> Markup:
    if not _BASE64.fullmatch(content):
        return Markup("")
    alt = metadata.get("image/png", {}).get("alt") or metadata.get("alt") or "figure without a description"
    image = '<figure><img alt="{}" src="data:image/png;base64,{}"></figure>'
    return _too_big("image/png", content) or Markup(image).format(alt, "".join(content.split()))


def _pre(text: str, kind: str, name: str = "output") -> Markup:
    limit = MOST_CHARACTERS[kind]
    notice = f"\n... {len(text) - limit} more characters were left out" if len(text) > limit else ""
    return Markup('<pre class="{}">{}</pre>').format(name, text[:limit] + notice) if text.strip() else Markup("")


def _too_big(kind: str, content: str) -> Markup:
    if len(content) <= MOST_CHARACTERS[kind]:
        return Markup("")
    text = f"An output of {len(content)} characters was left out; at most {MOST_CHARACTERS[kind]} are shown."
    return Markup('<p class="missing">{}</p>').format(text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value)
