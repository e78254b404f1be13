"""What every document is: sections that a notebook calls, the claims that they cite, and what they were made of."""

from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from closedloop.documents.dossier import Dossier
from closedloop.documents.part import Part, cited
from closedloop.documents.pieces import RESULTS, Note, Piece, Query, Shown
from closedloop.documents.tables import Table
from closedloop.documents.wording import records, sentence
from closedloop.loop.step import as_csv, plain, replace_file
from closedloop.market.place import slug


class Document:
    """A page for people on one persona or competitor.

    ``dossier``: all that it may say; ``folder``: of the period, where the claims that it cites are written.
    Its sections are methods; each gives what it shows. ``pieces``: all that they have shown, in their order.
    """

    notebook: ClassVar[str] = ""
    kind: ClassVar[str] = "persona"

    def __init__(self, dossier: Dossier, folder: Path) -> None:
        self.dossier, self.folder = dossier, folder
        self.pieces: list[Piece] = []

    def _shown(self, *pieces: Piece) -> Shown:
        self.pieces += pieces
        return Shown(pieces, "document")

    @property
    def claims(self) -> pd.DataFrame:
        """The claims that the sections shown so far cite, each once, in their order."""
        ledger = self.dossier.ledger.set_index("claim_id", drop=False)
        return ledger.loc[[name for name in cited(self.pieces) if name in ledger.index]].reset_index(drop=True)

    @property
    def results(self) -> dict[str, Any]:
        """Key figures of the page, for the run's index and for tests."""
        return {}

    def evidence(self) -> Shown:
        """Every claim that the page cites above, with its verdict; internal."""
        told = [
            (claim["claim_id"], sentence(claim, self.dossier.words).text, claim["verdict"], claim["kind"])
            for claim in records(self.claims)
        ]
        heads, is_number = ("claim", "what it says", "verdict", "kind"), (False,) * 4
        shown = [Table(heads, tuple(told), is_number, claims=tuple((row[0],) for row in told))] if told else []
        return Shown((Part("Evidence", tables=shown, empty="Nothing was cited yet.", is_internal=True),), "document")

    def sources(self) -> Shown:
        """The notebooks that the page reads, what they were made of, and the rule as SQL."""
        read = self.dossier.sources
        rows = tuple((row["notebook"], row["period"], str(row["n_claims"]), row["digest"]) for row in records(read))
        table = Table(("reads", "of period", "claims", "made of"), rows, (False, False, True, False))
        rule = self.dossier.personas.rule
        sql = (Query("The whole rule as SQL", rule.to_sql()),) if self.kind == "persona" and rule.branches else ()
        note = Note("“made of” is a digest of code, settings and rows: as long as it stays, so does what was read.")
        return Shown((table, note, *sql), "document")

    def close(self) -> "Written":
        """Write the claims that the page cites, as a CSV file that is safe to open in a spreadsheet."""
        words = self.dossier.words
        path = self.folder / "documents" / f"{self.notebook}-{slug(self.dossier.chosen)}.csv"
        replace_file(path, as_csv(self.claims).encode())
        scope = {"market": words.definition.name, "period": self.dossier.period.name, self.kind: self.dossier.chosen}
        return Written({**scope, **plain(self.results), "n_cited": len(self.claims)}, path.name)


class Written:
    """What the closing of a document says: its key figures, and where the claims are."""

    def __init__(self, results: dict[str, Any], file: str) -> None:
        self.results, self.file = results, file

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {RESULTS: self.results, "text/plain": repr(self)}

    def __repr__(self) -> str:
        told = [f"{key}: {value}" for key, value in self.results.items()]
        return "\n".join([*told, f"claims: documents/{self.file} of this period"])
