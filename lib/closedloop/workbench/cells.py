"""A notebook's computing cells, run without its page: how notebooks and documents have made what they read."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from closedloop.documents.battlecard import Battlecard
from closedloop.documents.brief import CampaignBrief
from closedloop.documents.document import Document, Dossier
from closedloop.documents.playbook import SalesPlaybook
from closedloop.errors import ParameterError, allowed, choice
from closedloop.market.contract import MATERIALS
from closedloop.market.definition import read_definition
from closedloop.market.files import alone, root, runs_folder
from closedloop.market.periods import Period, find_period
from closedloop.market.warehouse import Warehouse, open_warehouse, read_again
from closedloop.period import store
from closedloop.period.situation import Situation
from closedloop.period.store import is_of, written_on
from closedloop.personas.changes import committed
from closedloop.personas.persona_set import PersonaSet, read_set, renewed, write_set
from closedloop.personas.proposal import Proposal, read_proposal
from closedloop.presentation.persona_words import words_for
from closedloop.workbench.notebooks import as_text
from closedloop.workbench.period import OpenPeriod, silence

EXAMPLE = "# example"


def run_cells(path: Path, parameters: Mapping[str, Any], *, is_draft: bool = False) -> OpenPeriod:
    """The period as the notebook at ``path`` leaves it, run with these parameters in a namespace of its own.

    Cells that begin with ``# example`` are left out; nothing is displayed. ``is_draft``: the run folder is only read.
    Errors: whatever a cell raises, and ParameterError when the notebook opens no period as ``now``.
    """
    names: dict[str, Any] = {"__name__": path.stem}
    with silence(is_draft=is_draft):
        for number, (source, is_parameters) in enumerate(_sources(path), 1):
            exec(compile(source, f"{path.name}, code cell {number}", "exec"), names)  # the project's own
            names |= parameters if is_parameters else {}
        now = names.get("now")
    if not isinstance(now, OpenPeriod):
        raise ParameterError(f'{path}: opens no period; begin with now = open_period(market, period, notebook="...")')
    return now


def _sources(path: Path) -> Iterator[tuple[str, bool]]:
    """The code cells that compute, and whether each is the one with the parameters."""
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and not source.lstrip().startswith(EXAMPLE):
            yield source, "parameters" in cell["metadata"].get("tags", [])


def ensure(notebook: str, market: str, period: str, out: Path) -> None:
    """Have the claims and tables of a shipped notebook in the run folder, made of what is there today."""
    warehouse = open_warehouse(market)
    is_planning = notebook in store.PLANNING
    found = find_period(warehouse.periods, period, planning=is_planning)
    situation = (Situation.planning if is_planning else Situation.looking_back)(warehouse, found)
    if is_of(out / market / found.name / "claims", notebook, store.basis_of(situation, notebook)):
        return
    print(f"{market}, {found.name}: {notebook} is computed first ...", flush=True)
    run_cells(store.notebook_path(notebook), {"market": market, "period": found.name, "out": str(out)})


# Research, and the cells of 06, are imported where they run: a notebook that only reads starts without the estimators.

_SET = "personas"  # the name under which it is noted what a set was made of


def previous(every: list[Period], period: Period) -> Period | None:
    """The period before; None for the first."""
    index = every.index(period)
    return every[index - 1] if index else None


def committed_set(warehouse: Warehouse, period: str) -> Path:
    """Where people put a persona set that is to be in force in ``period`` whatever refinement says."""
    return warehouse.definition.folder / "personas" / f"{period}.yml"


def set_in_force(market: str, period: str, out: Path) -> PersonaSet:
    """The rules in force in a period, with the rates of the window before it; made once, then read.

    It depends on data and the set before it, through 06 alone: where 06 of the period before has not left its proposal
    in the run folder ``out``, or left it of something else than is there today, its cells are run first, and so on back
    to the first period. Whoever asks for the same set at the same time waits.
    """
    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period)
    situation, folder = Situation.planning(warehouse, found), out / market / found.name
    today = store.basis_of(situation, store.REFINEMENT)
    if not is_of(folder, _SET, today):
        with alone(folder / f".{_SET}.lock"):  # periods are locked from late to early
            if not is_of(folder, _SET, today):
                rules = _rules_in_force(warehouse, found, out)
                with written_on(folder, _SET, today):
                    write_set(folder / "personas.yml", renewed(rules, situation))
    return read_set(folder / "personas.yml")


def standing_set(market: str, period: str, out: Path) -> tuple[PersonaSet, str]:
    """The set that stands in the run folder for a period, and what to do where it is out of date; nothing is made.

    Errors: ParameterError where none stands there.
    """
    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period)
    folder, again = out / market / found.name, f"run closedloop run {market} --out {out}"
    if not (folder / "personas.yml").exists():
        raise ParameterError(f"{folder} holds no personas; {again}")
    is_today = is_of(folder, _SET, store.basis_of(Situation.planning(warehouse, found), store.REFINEMENT))
    late = f"the personas of {found.name} are out of date: data, settings or code have changed; {again}"
    return read_set(folder / "personas.yml"), "" if is_today else late


def _rules_in_force(warehouse: Warehouse, found: Period, out: Path) -> PersonaSet:
    """The committed set; else the last period's winning proposal; else its set; for the first period, research's."""
    market, path = warehouse.definition.name, committed_set(warehouse, found.name)
    if path.exists():
        return committed(read_set(path), found.name)
    before = previous(warehouse.periods, found)
    if before is None:
        from closedloop.personas.lineage import research_set
        from closedloop.personas.research import research

        situation = Situation.planning(warehouse, found)
        material = research(situation)
        return research_set(situation, material.sample, material.segments)
    in_force, proposal = set_in_force(market, before.name, out), _proposal(warehouse, before, out)
    if proposal.personas is not None and warehouse.definition.accept == "auto":
        return proposal.personas
    return in_force.carried_to(found.name)


def _proposal(warehouse: Warehouse, period: Period, out: Path) -> Proposal:
    """What 06 concluded at the end of ``period``; its cells are run where it has not, without a page."""
    market, situation = warehouse.definition.name, Situation.looking_back(warehouse, period)
    folder = out / market / period.name
    path = folder / "proposal.yml"
    if not is_of(folder / "claims", store.REFINEMENT, store.basis_of(situation, store.REFINEMENT)):
        print(f"{market}, {period.name}: the personas of an earlier period are made first ...", flush=True)
        path.unlink(missing_ok=True)
        notebook = store.notebook_path(store.REFINEMENT)
        run_cells(notebook, {"market": market, "period": period.name, "out": str(out)})
    if not path.exists():
        raise ParameterError(
            f"{store.REFINEMENT} left no proposal.yml in {folder}; its cells have to call next_set(...) "
            "and now.close(), under the market's own settings"
        )
    return read_proposal(path)


_DOCUMENTS: dict[str, type[Document]] = {one.notebook: one for one in (SalesPlaybook, CampaignBrief, Battlecard)}
_BEFORE = ("04_handoff", "05_deals", "06_refinement")  # whose outcomes of the period before a document tells


def open_document(
    market: str,
    period: str = "latest",
    notebook: str = "sales_playbook",
    *,
    about: str | None = None,
    out: str | Path | None = None,
) -> Any:
    """A document as known at the start of ``period``: sales_playbook, campaign_brief or battlecard.

    ``about``: a persona in force; for a battlecard a competitor that is known by then, or no_decision; None is the
    first. ``out``: the run folder that holds what the notebooks left; None is ``runs``. What is missing or out of date
    is computed first. Errors: ParameterError for anything unknown, with what is allowed.
    """
    document = choice("notebook", notebook, _DOCUMENTS)
    market, period = as_text("market", market), as_text("period", period)
    read_again()
    definition, place = read_definition(market), root() / out if out else runs_folder()
    every = open_warehouse(market).periods
    found = find_period(every, period)
    before = previous(every, found)
    read = [(name, before.name) for name in _BEFORE] if before else []
    read += [(name, found.name) for name in store.PLANNING]
    for notebook, of in read:
        ensure(notebook, market, of, place)
    steps = {store.step_of(name): store.read_tables(place / market / of, name) for name, of in read}
    left = [store.read_claims(place / market / found.name, *store.PLANNING),
            store.read_claims(place / market / before.name if before else None, *_BEFORE)]  # fmt: skip
    # a document speaks of everyone: claims on records that somebody chose in a cell are left out
    planned, ended = (claims[claims["among"].fillna("") == ""] for claims in left)
    personas = set_in_force(market, found.name, place)
    texts = steps["personas"].tables.get("texts", pd.DataFrame(columns=[c.name for c in MATERIALS.columns]))
    sources = pd.DataFrame([_source(place / market / of, name) for name, of in read])
    whole = Dossier(words_for(definition, personas), found, personas, steps, planned, ended, texts, sources=sources)
    kind, choices = document.kind, whole.choices(document.kind)
    if not choices:
        raise ParameterError(f"no {kind} is known in this period, so there is no page to render")
    name = choices[0] if about is None else as_text(kind, about)
    if name not in choices:
        raise ParameterError(f"{kind} = {name!r} is unknown in this period; allowed: {allowed(choices)}")
    return document(replace(whole, kind=kind, chosen=name), place / market / found.name)


def _source(folder: Path, notebook: str) -> dict[str, object]:
    """One notebook that is read: its period, how many claims it left, and a digest of what they were made of."""
    made_of = (folder / "claims" / f"{notebook}.json").read_bytes()
    n_claims = store.count_claims(folder, notebook)
    digest = hashlib.sha256(json.dumps(json.loads(made_of), sort_keys=True).encode()).hexdigest()[:12]
    return {"notebook": notebook.replace("_", " "), "period": folder.name, "n_claims": n_claims, "digest": digest}
