"""What a notebook or a document shows: small things that render themselves, all text escaped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

import pandas as pd

from closedloop.presentation import numbers

_MADE_OF = ("first_period", "last_period", "source_table", "measure")
# measures of rows that were left out when what they judge was learned
_LEFT_OUT = (
    *("brier", "ece", "auc", "auc_within", "gain_over_base_rate", "score_auc", "observed_rate", "n_groups_inside"),
    *("card_lift", "score_lift", "card_over_score_lift"),
)
LIMIT = 12  # rows of a table that a page shows
RESULTS = "application/vnd.closedloop.results+json"
Claims = pd.DataFrame | pd.Series | Mapping[str, Any]


class Piece(Protocol):
    """Anything that can be shown: as HTML, and as plain text where there is no HTML."""

    def _repr_html_(self) -> str: ...


def claim_ids(*claims: Claims) -> tuple[str, ...]:
    """The ids of claims, given as frames or rows of the ledger, each once, in their order."""
    found: list[str] = []
    for part in claims:
        found += (
            [str(value) for value in part["claim_id"]] if isinstance(part, pd.DataFrame) else [str(part["claim_id"])]
        )
    return tuple(dict.fromkeys(found))


def citing(claims: Sequence[str]) -> str:
    """The attribute that names the claims an element rests on."""
    return f' data-claims="{escape(" ".join(claims))}"' if claims else ""


@dataclass(frozen=True, repr=False)
class Sentence:
    """One computed sentence, and the ids of the claims that every number in it comes from."""

    text: str
    claims: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return f'<p class="finding"{citing(self.claims)}>{escape(self.text)}</p>'

    def __repr__(self) -> str:
        return self.text


def span(claim: Mapping[str, Any] | pd.Series) -> str:
    """The periods that a claim covers."""
    first, last = str(claim["first_period"]), str(claim["last_period"])
    named = first if first == last else f"{first} to {last}"
    if named != "all":
        return named
    return "all data" if claim.get("measure") in _LEFT_OUT else "all data, in sample"


def stating(text: str, *claims: Claims) -> Sentence:
    """A sentence that rests on these claims: frames or rows of the ledger.

    Where they cover different periods and the text does not name each, it ends with what each period is of.
    """
    sources: dict[str, list[str]] = {}  # period -> the tables that claims of it are made of, in their order
    for part in claims:
        rows: list[Any] = [part]
        if isinstance(part, pd.DataFrame):
            made_of = dict.fromkeys(zip(*(part[name].tolist() for name in _MADE_OF), strict=True))
            rows = [dict(zip(_MADE_OF, row, strict=True)) for row in made_of]
        for row in rows:
            tables = sources.setdefault(span(row), [])
            tables += [str(row["source_table"])] if str(row["source_table"]) not in tables else []
    rest, unsaid = text, []
    for period in sorted(sources, key=len, reverse=True):  # a longer name may hold a shorter one
        unsaid += [] if period in rest else [period]
        rest = rest.replace(period, "")
    if len(sources) > 1 and unsaid:  # one period is that of the page, or said by the sentence
        told = "; ".join(f"{' and '.join(tables)} of {period}" for period, tables in sources.items())
        text = f"{text.removesuffix('.')} ({told}){'.' if text.endswith('.') else ''}"
    return Sentence(text, claim_ids(*claims))


@dataclass(frozen=True, repr=False)
class Listing:
    """Several computed sentences, one below the other."""

    items: Sequence[Sentence]

    def _repr_html_(self) -> str:
        rows = "".join(f"<li{citing(item.claims)}>{escape(item.text)}</li>" for item in self.items)
        return f'<ul class="findings">{rows}</ul>'

    def __repr__(self) -> str:
        return "\n".join(f"- {item.text}" for item in self.items)


@dataclass(frozen=True, repr=False)
class Missing:
    """What cannot be answered, and what to collect for it."""

    reason: str

    @property
    def text(self) -> str:
        """The whole remark."""
        return f"Not available: {self.reason}"

    def _repr_html_(self) -> str:
        return f'<p class="missing"><strong>Not available:</strong> {escape(self.reason)}</p>'

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, repr=False)
class Note:
    """A remark on how the shown figures came about."""

    text: str

    def _repr_html_(self) -> str:
        return f'<p class="note">{escape(self.text)}</p>'

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, repr=False)
class Query:
    """A query to copy, folded away until somebody wants it."""

    title: str
    text: str

    def _repr_html_(self) -> str:
        return f"<details><summary>{escape(self.title)}</summary><pre><code>{escape(self.text)}</code></pre></details>"

    def __repr__(self) -> str:
        return f"{self.title}: {self.text}"


@dataclass(frozen=True, repr=False)
class Table:
    """A table whose cells are already text; ``n_left_out`` rows are only in the stored one.

    ``claims``: for each row the ids of the claims that its figures come from; empty for records and texts.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    caption: str = ""
    n_left_out: int = 0
    claims: tuple[tuple[str, ...], ...] = ()

    def _repr_html_(self) -> str:
        places = [' class="number"' if is_right else "" for is_right in self.numeric]
        head = "".join(
            f'<th scope="col"{place}>{escape(name)}</th>' for name, place in zip(self.columns, places, strict=True)
        )
        body = ""
        for row, ids in zip(self.rows, self.claims or ((),) * len(self.rows), strict=True):
            first = f'<th scope="row">{escape(row[0])}</th>' if row else ""
            rest = zip(row[1:], places[1:], strict=True)
            cells = "".join(f"<td{place}>{escape(cell)}</td>" for cell, place in rest)
            body += f"<tr{citing(ids)}>{first}{cells}</tr>"
        more = numbers.left_out(self.n_left_out, "in the stored table")
        said = " ".join(part for part in (self.caption, more) if part)
        caption = f"<caption>{escape(said)}</caption>" if said else ""
        return f'<table class="data">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'

    def __repr__(self) -> str:
        return pd.DataFrame(list(self.rows), columns=list(self.columns)).to_string(index=False)


@dataclass(frozen=True, repr=False)
class Shown:
    """Several pieces shown together, as one output of one cell."""

    pieces: tuple[Piece, ...]
    kind: str = "section"

    def _repr_html_(self) -> str:
        body = "\n".join(piece._repr_html_() for piece in self.pieces)
        return f'<div class="{escape(self.kind)}">\n{body}\n</div>'

    def __repr__(self) -> str:
        return "\n".join(repr(piece) for piece in self.pieces)
