"""Pages: of notebooks, whose outputs are cleaned by an allow-list of tags, attributes and addresses; the audit."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import nh3
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from closedloop.market.definition import Definition
from closedloop.market.periods import as_told

if TYPE_CHECKING:
    import pandas as pd

    from closedloop.market.staging.audit import Audit

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


def output_html(html: str) -> Markup:
    """What a cell displayed, cleaned: it may hold text from outside, so links stay in the folder."""
    return _cleaned(html, None, to_web=False)


def prose_html(html: str, pages: Mapping[str, str] | None = None) -> Markup:
    """A notebook's own text, cleaned; it may also point to the web, from which nothing is loaded by itself.

    A link to a notebook becomes one to its page: ``pages`` gives the address by the notebook's name, and a link to
    any other is taken away; None stands for the page beside.
    """
    return _cleaned(html, pages, to_web=True)


def _cleaned(html: str, pages: Mapping[str, str] | None, *, to_web: bool) -> Markup:
    def keep(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "src":
            return value if _PNG.fullmatch(value) else None
        if attribute != "href":
            return value
        if notebook := _NOTEBOOK.fullmatch(value):
            name, rest = notebook.groups()
            page = f"{name}.html" if pages is None else pages.get(name)
            return page and page + rest
        return value if _RELATIVE.fullmatch(value) or (to_web and _WEB.fullmatch(value)) else None

    schemes = {"https", "data"}  # addresses are decided above; data only holds images
    return Markup(nh3.clean(html, tags=_TAGS, attributes=_ATTRIBUTES, attribute_filter=keep, url_schemes=schemes))


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
    style = stylesheet()
    scripts = f"; script-src '{_digest(script)}'" if script else ""
    allowed = f"img-src data:; style-src '{_digest(style)}'{scripts}"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    template = templates("closedloop.presentation").get_template("page.html")
    return template.render(
        title=title, body=body, style=style, policy=policy, kind=kind, crumbs=crumbs, script=script or ""
    )


def _digest(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()


MOST_CHARACTERS = {"stream": 50_000, "text/plain": 50_000, "text/html": 3_000_000, "image/png": 8_000_000}
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BASE64 = re.compile(r"iVBORw0KGg[A-Za-z0-9+/=\s]+")
_TITLE = re.compile(r"""title\s*[=(]\s*(?P<quote>["'])(?P<title>.+?)(?P=quote)""")
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
        code = [cell for cell in cells if cell.cell_type == "code"]
        parts.append(_fold(code, "how this page was computed"))
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
        if cell.cell_type == "code":
            is_pending = cell.metadata.get("closedloop", {}).get("state") == "pending"
            note = Markup('<p class="pending">This cell was not run.</p>') if is_pending else Markup("")
            made = [_output(output, cell.source) for output in cell.get("outputs", [])]
            shown = Markup("\n").join([note, *made]).strip()
            folded.append(cell)
        else:
            shown = Markup('<section class="prose">{}</section>').format(prose_html(_rendered(cell.source), pages))
        if shown:
            # prose comes after the code above it, an output after its own
            yield _fold(folded) if with_code else Markup("")
            yield shown
            folded = []
    yield _fold(folded) if with_code else Markup("")


def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


@lru_cache(1024)
def _rendered(source: str) -> str:
    """A cell of prose is the same in every run of its notebook."""
    renderer = _markdown()
    tokens = renderer.parse(source)
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(inline.content))
    return str(renderer.renderer.render(tokens, renderer.options, {}))


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


def _fold(cells: Sequence[Any], label: str = "") -> Markup:
    """The sources of cells, folded away; without a ``label`` it says whether the parameters are among them."""
    sources = [cell.source for cell in cells if cell.source.strip()]
    if not sources:
        return Markup("")
    tags = {tag for cell in cells for tag in cell.metadata.get("tags", [])}
    of_cells = "code and parameters of this run" if tags & {"parameters", _INJECTED} else "code"
    blocks = Markup("\n").join(Markup("<pre><code>{}</code></pre>").format(source) for source in sources)
    return Markup('<details class="code"><summary>{}</summary>{}</details>').format(label or of_cells, blocks)


def _output(output: Any, source: str) -> Markup:
    if output.output_type == "stream":
        return _pre(_text(output.text), "stream")
    if output.output_type == "error":
        lines = "\n".join(output.get("traceback") or [f"{output.ename}: {output.evalue}"])
        return _pre(_ANSI.sub("", lines), "stream", "error")
    data, metadata = output.get("data", {}), output.get("metadata", {})  # the richest form that is allowed is shown
    if "text/html" in data:
        html = _text(data["text/html"])
        return _too_big("text/html", html) or Markup('<div class="output">{}</div>').format(output_html(html))
    if "image/png" in data:
        content = _text(data["image/png"])
        if not _BASE64.fullmatch(content):
            return Markup("")
        alt = metadata.get("image/png", {}).get("alt") or metadata.get("alt") or _title(source)
        image = Markup('<figure><img alt="{}" src="data:image/png;base64,{}"></figure>')
        return _too_big("image/png", content) or image.format(alt, "".join(content.split()))
    if "text/markdown" in data:
        rendered = _markdown().render(_text(data["text/markdown"]))
        return Markup('<div class="output">{}</div>').format(output_html(rendered))
    return _pre(_text(data["text/plain"]), "text/plain") if "text/plain" in data else Markup("")


def _title(source: str) -> str:
    """What a figure that brings no description is called: the title that the code of its cell gives it."""
    found = _TITLE.search(source)
    return found["title"] if found else "figure without a description"


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


_LEFT_OUT = ["auc_within_low", "auc_within_high", "auc_together_low", "auc_together_high", "level", "k", "n_level"]


def audit_html(definition: Definition, audit: "Audit", leaks: "pd.DataFrame") -> str:
    """The audit page: what the contract did to the market's rows, and which columns look like leaks.

    ``leaks``: as of ``period.leaks.market_leaks``.
    """
    frames = vars(audit) | {"leaks": leaks.drop(columns=_LEFT_OUT, errors="ignore")}
    frames["tables"] = audit.tables.dropna(axis="columns", how="all")  # without dates there is no first and last day
    tables = {}
    for name, frame in frames.items():
        columns = {str(column): str(column).removeprefix("n_").replace("_", " ") for column in frame.columns}
        numeric = {columns[str(column)] for column in frame.select_dtypes("number").columns}
        rows = [[(columns[str(n)], _audited(str(n), v)) for n, v in row.items()] for row in frame.to_dict("records")]
        tables[name] = {"columns": list(columns.values()), "numeric": numeric, "rows": rows}
    last = as_told(definition, definition.last_day) if definition.last_day else ""
    template = templates("closedloop.presentation").get_template("audit.html")
    body = template.render(definition=definition, last=last, tables=tables)
    return page(f"Audit: {definition.title}", Markup(body), kind="wide", crumbs=[("All runs", "../index.html")])


def _audited(name: str, value: Any) -> str:
    if hasattr(value, "__len__") and not isinstance(value, str):
        return ", ".join(map(str, value[:10])) + (" …" if len(value) > 10 else "")
    if value is None or str(value) in ("None", "nan", "NaT", "<NA>", ""):
        return "–"
    if name.endswith("_share"):
        return f"{value:.1%}"
    return f"{value:.2f}" if name.startswith("auc") else str(value)
