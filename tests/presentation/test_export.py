"""An executed notebook becomes a page that shows everything a reader needs and does nothing."""

import re

import nbformat
import pytest
from closedloop.presentation.page import MOST_CHARACTERS, notebook_html, output_html, prose_html
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

# the smallest PNG there is: one transparent pixel
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
HOSTILE = {
    "script": "<script>alert(1)</script>",
    "event": '<img src=x onerror="alert(1)"><p onclick="alert(1)">x</p><details open ontoggle=alert(1)>x</details>',
    "svg": '<svg onload="alert(1)"><animate onbegin=alert(1) attributeName=x dur=1s></svg>',
    "math": "<math><mtext></table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></mtext></math>",
    "frame": '<iframe srcdoc="<script>alert(1)</script>"></iframe><object data="x"></object><embed src="x">',
    "script address": '<a href="javascript:alert(1)">x</a><a href="java&#9;script:alert(1)">x</a>',
    "script address in capitals": '<a href="JaVaScRiPt:alert(1)">x</a><a href=" javascript:alert(1)">x</a>',
    "data address": '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    "foreign address": '<a href="https://evil.example/">x</a><a href="//evil.example/">x</a>',
    "foreign address with backslashes": '<a href="\\\\evil.example">x</a><a href="/\\evil.example">x</a>',
    "foreign image": '<img src="https://evil.example/a.png"><img src="//evil.example/a.png">',
    "image that is a page": '<img src="data:image/svg+xml;base64,PHN2Zz4="><img src="data:image/png;base64,PHN2Zz4=">',
    "style": "<style>@import url(https://evil.example/a.css)</style>",
    "style of a tag": '<p style="background:url(https://evil.example/)">x</p>',
    "form": '<form action="https://evil.example/"><button formaction="javascript:alert(1)">x</button></form>',
    "head": '<meta http-equiv="refresh" content="0;url=https://evil.example/"><base href="https://evil.example/">',
    "link": '<link rel="stylesheet" href="https://evil.example/a.css">',
    "template": "<template><script>alert(1)</script></template>",
    "noscript": "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "comment": "<!--><img src=x onerror=alert(1)>-->",
}
TAGS = "script|svg|math|iframe|object|embed|form|input|button|meta|base|link|style|template|noscript"
FOREIGN = r"|evil\.example"
INSIDE = rf"<({TAGS})|\son\w+=|javascript:|java&#9;script|data:(?!image/png;base64,iVBOR)"
DANGERS = re.compile(INSIDE + FOREIGN, re.IGNORECASE)


def _display(**data: object) -> nbformat.NotebookNode:
    named = {kind.replace("_", "/"): value for kind, value in data.items()}
    return new_output("display_data", named)


def _body(html: str) -> str:
    return html[html.index("<main") :]


def _page(*cells: nbformat.NotebookNode, is_document: bool = False) -> str:
    return notebook_html(new_notebook(cells=list(cells)), "Deals", is_document=is_document)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_html_is_inert_in_outputs_and_prose(name: str) -> None:
    assert DANGERS.search(HOSTILE[name])
    assert not DANGERS.search(output_html(HOSTILE[name]))
    assert not re.search(INSIDE, prose_html(HOSTILE[name]), re.IGNORECASE)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", ["text/html", "text/markdown", "text/plain", "stream", "error", "image/png", "source"])
def test_hostile_text_is_inert_wherever_it_stands(name: str, kind: str) -> None:
    text = HOSTILE[name]
    outputs = {
        "stream": [new_output("stream", text=text)],
        "error": [new_output("error", ename="E", evalue=text, traceback=[text])],
        "source": [],
    }.get(kind, [new_output("display_data", {kind: text})])
    source = text if kind == "source" else "show()"
    body = _body(_page(new_markdown_cell(text), new_code_cell(source, outputs=outputs)))
    escaped = re.sub(r"<(pre|code)\b.*?</\1>|<p>.*?</p>", _without_escaped, body, flags=re.DOTALL)
    assert not DANGERS.search(escaped)


def _without_escaped(match: re.Match[str]) -> str:
    """Text whose angle brackets are all escaped cannot be a tag."""
    inner = re.sub(r"</?(?:pre|code|p|a|em|strong|summary|details)(?: class=\"[\w -]*\")?>", "", match[0])
    return match[0] if "<" in inner else ""


def test_the_policy_lets_nothing_in_and_the_page_loads_nothing() -> None:
    html = _page(
        new_markdown_cell("# Deals"),
        new_code_cell("1", outputs=[_display(text_html=f'<img src="data:image/png;base64,{PIXEL}">')]),
    )
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert policy[1].replace("&#39;", "'").startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "script-src" not in policy[1]
    assert "<script" not in html
    assert re.findall(r'(?:src|href)="([^"]+)"', html) == [
        "#content",
        "../../index.html",
        f"data:image/png;base64,{PIXEL}",
    ]


def test_prose_keeps_its_form_and_points_to_pages() -> None:
    links = "Next: [refinement](06_refinement.ipynb), [brief](../playbooks/campaign_brief.ipynb#top), [x](x.ipynb)."
    cell = new_markdown_cell(f"# 05 · Deals\n\n{links}\n\n| a | b |\n|---|---|\n| 1 | 2 |")
    pages = {"06_refinement": "06_refinement.html", "campaign_brief": "campaign_brief-planner.html"}
    body = _body(notebook_html(new_notebook(cells=[cell]), "Deals", pages=pages))
    assert 'href="campaign_brief-planner.html#top"' in body
    assert "x.ipynb" not in body
    assert '<h1 id="05-deals">05 · Deals</h1>' in body
    assert '<a href="06_refinement.html" rel="noopener noreferrer">refinement</a>' in body
    assert "<td>2</td>" in body


def test_code_is_folded_in_notebooks_and_at_the_end_of_documents() -> None:
    cells = [
        new_code_cell('market: str = "a"', metadata={"tags": ["parameters"]}),
        new_code_cell('market = "b"', metadata={"tags": ["injected-parameters"]}),
        new_code_cell("run.show('curve')", outputs=[_display(text_html="<p>shown</p>")]),
    ]
    notebook, document = _body(_page(*cells)), _body(_page(*cells, is_document=True))
    assert re.findall(r"<summary>(.+?)</summary>", notebook) == ["code and parameters of this run"]
    assert re.findall(r"<summary>(.+?)</summary>", document) == ["how this page was computed"]
    assert notebook.index("run.show") < notebook.index("shown</p>")
    assert document.index("shown</p>") < document.index("run.show")
    assert " open" not in notebook


def test_tables_and_figures_keep_what_a_reader_needs() -> None:
    html = (
        '<table class="data" style="color:red"><caption>Deals</caption><thead><tr><th scope="col">n</th></tr></thead>'
        '<tbody><tr><td class="number" colspan="2">4</td></tr></tbody></table>'
        f'<figure><img alt="won" src="data:image/png;base64,{PIXEL}"><figcaption>Won</figcaption></figure>'
    )
    assert output_html(html) == html.replace(' style="color:red"', "")


@pytest.mark.parametrize(
    ("source", "alt"),
    [
        ('table.plot.hist(title="How far apart?")', "How far apart?"),
        ("axes.set_title('Won <early>')", "Won &lt;early&gt;"),
        ("axes.plot([1])", "figure without a description"),
    ],
)
def test_a_figure_without_a_description_bears_the_title_that_its_code_gives(source: str, alt: str) -> None:
    image = new_output("display_data", {"image/png": PIXEL})
    assert f'<img alt="{alt}" src=' in _page(new_code_cell(source, outputs=[image]))


def test_the_richest_allowed_form_of_a_display_is_shown() -> None:
    both = {"text/html": "<b>rich</b>", "text/plain": "plain"}
    assert "<b>rich</b>" in _page(new_code_cell("", outputs=[new_output("display_data", both)]))
    vendor = {"application/javascript": "alert(1)", "text/plain": "plain <b>"}
    assert '<pre class="output">plain &lt;b&gt;</pre>' in _page(
        new_code_cell("", outputs=[new_output("display_data", vendor)])
    )
    image = new_output("display_data", {"image/png": PIXEL}, metadata={"alt": 'a "bar" chart'})
    assert f'<img alt="a &#34;bar&#34; chart" src="data:image/png;base64,{PIXEL}">' in _page(
        new_code_cell("", outputs=[image])
    )


def test_an_error_is_shown_without_terminal_colours_and_later_cells_as_not_run() -> None:
    error = new_output("error", ename="ValueError", evalue="x", traceback=["\x1b[31mValueError\x1b[39m: x"])
    pending = new_code_cell("2", metadata={"closedloop": {"state": "pending"}})
    body = _body(_page(new_code_cell("1", outputs=[error]), pending))
    assert '<pre class="error">ValueError: x</pre>' in body
    assert body.count("This cell was not run.") == 1


def test_a_huge_output_is_cut_with_a_notice() -> None:
    limit = MOST_CHARACTERS["stream"]
    body = _body(_page(new_code_cell("", outputs=[new_output("stream", text="x" * (limit + 7))])))
    assert body.count("x" * limit) == 1
    assert "7 more characters were left out" in body
    html = "<p>" + "y" * MOST_CHARACTERS["text/html"] + "</p>"
    left_out = _body(_page(new_code_cell("", outputs=[_display(text_html=html)])))
    assert "yyy" not in left_out
    assert f"An output of {len(html)} characters was left out" in left_out


def test_long_pages_get_contents_and_documents_none() -> None:
    cells = [new_markdown_cell(f"## Why *{n}*?\n\nText.") for n in range(4)]
    links = re.findall(r'<li><a href="#([^"]+)">([^<]+)</a>', _page(*cells))
    assert links == [(f"why-{n}", f"Why {n}?") for n in range(4)]
    assert "On this page" not in _page(*cells[:3])
    assert "On this page" not in _page(*cells, is_document=True)
    for anchor, _ in links:
        assert f'<h2 id="{anchor}">' in _page(*cells)


def test_an_empty_notebook_is_a_page() -> None:
    assert "<title>Deals</title>" in _page()
