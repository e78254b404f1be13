"""An executed notebook as one HTML page: works offline, prints well, and runs nothing."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup

from closedloop.documents.clean import output_html, prose_html
from closedloop.documents.page import page

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
