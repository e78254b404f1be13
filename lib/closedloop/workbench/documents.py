"""Documents opened by a notebook: the playbook, the brief and the battlecard, made of what other notebooks left."""

import hashlib
import json
from pathlib import Path

import pandas as pd

from closedloop.documents.battlecard import Battlecard
from closedloop.documents.brief import CampaignBrief
from closedloop.documents.document import Dossier
from closedloop.documents.playbook import SalesPlaybook
from closedloop.errors import ParameterError, allowed
from closedloop.market.contract import MATERIALS
from closedloop.market.definition import read_definition
from closedloop.market.files import root, runs_folder
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse, read_again
from closedloop.presentation.persona_words import words_for
from closedloop.workbench import cells, store
from closedloop.workbench.cells import previous, set_in_force
from closedloop.workbench.period import as_text

_BEFORE = ("04_handoff", "05_deals", "06_refinement")  # whose outcomes of the period before a document tells


def open_playbook(
    market: str, period: str = "latest", *, persona: str | None = None, out: str | Path | None = None
) -> SalesPlaybook:
    """The sales playbook of one persona in force (None: the first) as known at the start of ``period``.

    ``out``: the run folder that holds what the notebooks left; None is ``runs``. What is missing or out of date is
    computed first. Errors: ParameterError for anything unknown, with what is allowed.
    """
    dossier, folder = _gathered(market, period, out)
    return SalesPlaybook(_about(dossier, "persona", persona), folder)


def open_brief(
    market: str, period: str = "latest", *, persona: str | None = None, out: str | Path | None = None
) -> CampaignBrief:
    """The campaign brief of one persona in force; arguments and errors as of ``open_playbook``."""
    dossier, folder = _gathered(market, period, out)
    return CampaignBrief(_about(dossier, "persona", persona), folder)


def open_battlecard(
    market: str, period: str = "latest", *, competitor: str | None = None, out: str | Path | None = None
) -> Battlecard:
    """The battlecard of a competitor that is known at the start of ``period`` (None: the first), or of no_decision.

    The other arguments and errors as of ``open_playbook``.
    """
    dossier, folder = _gathered(market, period, out)
    return Battlecard(_about(dossier, "competitor", competitor), folder)


def _gathered(market: str, period: str, out: str | Path | None) -> tuple[Dossier, Path]:
    """What the notebooks left: 01 to 03 of the period, and 04 to 06 of the one before it; and the period's folder."""
    market, period = as_text("market", market), as_text("period", period)
    read_again()
    definition, place = read_definition(market), root() / out if out else runs_folder()
    every = open_warehouse(market).periods
    found = find_period(every, period)
    before = previous(every, found)
    read = [(name, before.name) for name in _BEFORE] if before else []
    read += [(name, found.name) for name in store.PLANNING]
    for notebook, of in read:
        cells.ensure(notebook, market, of, place)
    steps = {store.step_of(name): store.read_tables(place / market / of, name) for name, of in read}
    planned, ended = (
        _on_all_records(store.read_claims(place / market / name if name else None, *notebooks))
        for name, notebooks in ((found.name, store.PLANNING), (before and before.name, _BEFORE))
    )
    personas = set_in_force(market, found.name, place)
    texts = steps["personas"].tables.get("texts", pd.DataFrame(columns=[c.name for c in MATERIALS.columns]))
    sources = pd.DataFrame([_source(place / market / of, name) for name, of in read])
    whole = Dossier(words_for(definition, personas), found, personas, steps, planned, ended, texts, sources=sources)
    return whole, place / market / found.name


def _on_all_records(claims: pd.DataFrame) -> pd.DataFrame:
    """Without the claims on records that somebody chose in a cell: a document speaks of everyone."""
    return claims[claims["among"].fillna("") == ""]


def _source(folder: Path, notebook: str) -> dict[str, object]:
    """One notebook that is read: its period, how many claims it left, and a digest of what they were made of."""
    made_of = (folder / "claims" / f"{notebook}.json").read_bytes()
    n_claims = len(store.read_claims(folder, notebook))
    digest = hashlib.sha256(json.dumps(json.loads(made_of), sort_keys=True).encode()).hexdigest()[:12]
    return {"notebook": notebook.replace("_", " "), "period": folder.name, "n_claims": n_claims, "digest": digest}


def _about(dossier: Dossier, kind: str, chosen: str | None) -> Dossier:
    """The dossier about one persona or competitor, the first unless it is named."""
    choices = dossier.choices(kind)
    if not choices:
        raise ParameterError(f"no {kind} is known in this period, so there is no page to render")
    name = choices[0] if chosen is None else as_text(kind, chosen)
    if name not in choices:
        raise ParameterError(f"{kind} = {name!r} is unknown in this period; allowed: {allowed(choices)}")
    return dossier.about(kind, name)
