"""What a notebook or a document shows: small things that render themselves, all text escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol


class Piece(Protocol):
    """Anything that can be shown: as HTML, and as plain text where there is no HTML."""

    def _repr_html_(self) -> str: ...


@dataclass(frozen=True, repr=False)
class Sentence:
    """One computed sentence."""

    text: str

    def _repr_html_(self) -> str:
        return f'<p class="finding">{escape(self.text)}</p>'

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, repr=False)
class Listing:
    """Several computed sentences, one below the other."""

    items: Sequence[str]

    def _repr_html_(self) -> str:
        rows = "".join(f"<li>{escape(item)}</li>" for item in self.items)
        return f'<ul class="findings">{rows}</ul>'

    def __repr__(self) -> str:
        return "\n".join(f"- {item}" for item in self.items)


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
class Shown:
    """Several pieces shown together, as one output of one cell."""

    pieces: tuple[Piece, ...]
    kind: str = "section"

    def _repr_html_(self) -> str:
        body = "\n".join(piece._repr_html_() for piece in self.pieces)
        return f'<div class="{escape(self.kind)}">\n{body}\n</div>'

    def __repr__(self) -> str:
        return "\n".join(repr(piece) for piece in self.pieces)
