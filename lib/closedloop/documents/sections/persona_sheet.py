"""The sections of 02 personas that complete the sheet: stability, funnel, anti-persona, what to do, history."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.findings import Claim, Column, Label, table_of, telling, value
from closedloop.documents.persona_diff import edit_evidence, edit_told
from closedloop.documents.pieces import Listing, Note, Piece, Sentence, claim_ids, stating
from closedloop.documents.sections.section import Evidence, Pieces, level_of, ranked
from closedloop.documents.tables import Table
from closedloop.documents.wording import capital, one_of_each_pair, records, sentences
from closedloop.loop.changelog import COMMIT, Change
from closedloop.loop.comparisons import CONVERSION, turning

_STABLE = 0.75  # the bar of METHODS, 2
_MOST = 8
_MOST_LED = 3
_MOST_ROWS = 20
NO_ANTI_PERSONA = "No anti-persona is supported: nobody is shown to be won less often than the rest."
_JUDGED = "Sales accepts these less often. That is its judgement and no outcome: compare how often they are won."
_AS_FOUND = "No edit has been made: the set is as research found it."
_WON, _ACCEPTED = ("win_rate", "won_rate", CONVERSION), ("accepted_rate",)
Columns = Mapping[str, str | tuple[str, Column]]


def _persona(shown: Evidence) -> Label:
    return level_of(shown.words)


def stability(shown: Evidence) -> Pieces:
    """How surely each persona would be found again, and how surely each split would be made again."""
    claims = shown.of("slsw", "split_kept_share", "split_kept_since_share")
    columns: Columns = {
        "slsw": "its segment is found again (1 is always)",
        "n": ("rows of its segment", lambda row: numbers.count(row["slsw"]["n"]) if "slsw" in row else "–"),
        "split_kept_share": "its split holds in samples of all deals",
        "split_kept_since_share": "and of the deals since",
    }
    listed = table_of(claims, shown.words, "persona", columns, label=_persona(shown))
    weakest = records(shown.of("slsw").sort_values("estimate", kind="stable").head(1))
    if not weakest:
        return (listed,)
    verdict = "stable enough to plan with" if weakest[0]["estimate"] >= _STABLE else "too loose to plan with alone"
    text = f"Each is found again with {value(weakest[0], shown.words)} or more"
    name = shown.words.told(weakest[0]["level"])
    return listed, stating(f"{text} ({name}): {verdict}.", *weakest)


def funnel(shown: Evidence) -> Pieces:
    """How far the leads of each persona came."""
    claims = shown.cell("funnel")
    columns: Columns = {
        "n_leads": "leads",
        "lead_accepted_rate": ("accepted, of those decided on", "backed"),
        "lead_won_rate": ("won so far, of all", "backed"),
        "lead_open_rate": "not decided yet, of all",
    }
    listed = table_of(claims, shown.words, "persona", columns, label=_persona(shown))
    return (listed,)


def turned_down(shown: Evidence) -> pd.DataFrame:
    """Claims of the moment that hold and say who is won or accepted less often; channels and dates are nobody."""
    whom = {"persona", *shown.table("whom").get("field", [])}
    all_claims = shown.ledger if len(shown.ledger) else shown.claims
    held = all_claims[(all_claims["verdict"] == "supported") & all_claims["measure"].isin([*_WON, *_ACCEPTED])]
    less = held[(held["effect"] < 0) & held["field"].isin(whom) & (held["within"].fillna("") == "")]
    less = less[~turning(less, all_claims)]
    reasons = all_claims[all_claims["measure"] == "sales_rejection_share"]
    return pd.concat([less, reasons])


def avoid(shown: Evidence) -> Pieces:
    """Whom not to pursue: who is won less often, and apart from it what sales turns down, which is a judgement."""
    found = turned_down(shown)
    fewer_won, fewer_accepted = (
        ranked(one_of_each_pair(found[found["measure"].isin(names)], shown.words)).head(_MOST)
        for names in (_WON, _ACCEPTED)
    )
    looked = shown.ledger[shown.ledger["measure"].isin(_WON)]
    nobody = (
        stating(NO_ANTI_PERSONA, looked) if len(looked) else Sentence("Nobody is compared yet, so nobody is left out.")
    )
    said: list[Piece] = [Listing(sentences(fewer_won, shown.words)) if len(fewer_won) else nobody]
    if len(fewer_accepted):
        said += [Note(_JUDGED), Listing(sentences(fewer_accepted, shown.words))]
    reasons = found[found["measure"] == "sales_rejection_share"]
    if reasons.empty:
        return said
    first = reasons.sort_values(["estimate", "n"], ascending=False, kind="stable").drop_duplicates("subject")
    columns: Columns = {
        "reason": ("named most often", lambda row: _only(row)["level"].replace("_", " ")),
        "sales_rejection_share": ("share of sales' remarks", "backed"),
    }
    caption = "Why sales gave leads back, by its own account."
    return *said, table_of(first, shown.words, "persona", columns, label=_subject(shown), caption=caption)


def _subject(shown: Evidence) -> Label:
    return lambda claim: shown.words.name(str(claim["subject"]))


def _only(row: Mapping[str, Claim]) -> Claim:
    return next(iter(row.values()))


def actions(shown: Evidence) -> Pieces:
    """What sets each persona apart from all others, which is what its pages lead with."""
    shares = one_of_each_pair(shown.of("share"), shown.words)
    more = shares[(shares["verdict"] == "supported") & (shares["effect"] > 0)]
    more = telling(more, shown.claims, shown.table("implied"))
    is_alone = ~more.duplicated(["field", "level"], keep=False)
    lines = []
    for persona, part in more.groupby("subject", sort=False):
        alone = part[is_alone[part.index]]
        top = (part if alone.empty else alone).sort_values("effect", ascending=False, kind="stable").head(_MOST_LED)
        listed = ", ".join(_against(claim, shown) for claim in records(top))
        tail = "" if alone.empty else " No other persona shares that."
        lines.append(stating(f"{capital(shown.words.told(str(persona)))} – lead with: {listed}.{tail}", top))
    if not lines:
        return (stating("Nothing is shown to set the personas apart.", shares),)
    return Listing(lines), Note("Each persona has a campaign brief and a sales playbook of its own.")


def _against(claim: Claim, shown: Evidence) -> str:
    name = shown.words.short(str(claim["field"]), claim["level"])
    return f"{name} ({numbers.rate(claim['estimate'])} against {numbers.rate(claim['baseline'])} of the market)"


def history(shown: Evidence) -> Pieces:
    """Every edit since research made the first set, newest first, with the claim behind it."""
    frame = shown.table("history")
    entries = [_entry(row) for row in records(frame)]
    review = shown.table("set").get("review_on", pd.Series(dtype="datetime64[us]")).dropna()
    when = f"{numbers.day(review.iloc[0])}, when the period has ended" if len(review) else (
        "when new records come in; this market records no dates"
        if shown.words.definition.clock == "none"
        else f"when {shown.period} has ended"
    )  # fmt: skip
    told = f"Next review: {when}."
    if not entries:
        return Sentence(_AS_FOUND), Note(told)
    rows = tuple(
        (entry.period, edit_told(entry, shown.words), edit_evidence(entry), entry.claim_id or "–") for entry in entries
    )
    heads = ("since", "edit", "evidence", "claim in the ledger of the period before")
    caption = "With every refinement all promised win rates are estimated anew."
    n = sum(entry.edit != COMMIT for entry in entries)
    text = f"{n} edit{'' if n == 1 else 's'} made since research found the first set."
    return Table(heads, rows, (False,) * 4, caption), Sentence(text), Note(told)


def _entry(row: Mapping[str, Any]) -> Change:
    known: dict[str, Any] = {key: cell for key, cell in row.items() if not numbers.is_missing(cell)}
    return Change(**known)


def attribute_table(shown: Evidence) -> Table | None:
    """Every attribute in every persona beside the market: an arrow where the difference holds."""
    shares = one_of_each_pair(shown.of("share"), shown.words)
    held = shares[shares["verdict"] == "supported"]
    if held.empty:
        return None
    personas = list(dict.fromkeys(shares["subject"]))
    order = held.assign(size=held["effect"].abs()).sort_values("size", ascending=False, kind="stable")
    attributes = order[["field", "level"]].drop_duplicates().to_numpy().tolist()
    rows, cited = [], []
    for field, level in attributes[:_MOST_ROWS]:
        part = shares[(shares["field"] == field) & (shares["level"] == level)]
        by_persona = {claim["subject"]: claim for claim in records(part)}
        cells = [_cell(by_persona.get(persona)) for persona in personas]
        base = numbers.rate(part["baseline"].mean())
        rows.append((shown.words.short(field, level), base, *cells))
        cited.append(claim_ids(part))
    heads = ("attribute", "market", *map(shown.words.name, personas))
    caption = "▲ more common and ▼ less common than in the market, as far as the difference holds."
    numeric = (False, *[True] * (len(heads) - 1))
    return Table(heads, tuple(rows), numeric, caption, max(len(attributes) - _MOST_ROWS, 0), tuple(cited))


def _cell(claim: Claim | None) -> str:
    if claim is None:
        return numbers.MISSING
    arrow = ("▲" if claim["effect"] > 0 else "▼") if claim["verdict"] == "supported" else ""
    ends = numbers.interval(claim["low"], claim["high"], "rate", "")
    return f"{arrow} {numbers.rate(claim['estimate'])} ({ends})".strip()


def no_different(shown: Evidence) -> Listing | None:
    """The attributes in which personas are no different from the market, and those that cannot be told, by persona."""
    shares = one_of_each_pair(shown.of("share"), shown.words)
    everyone = shares["subject"].nunique()
    lines = []
    for verdict, told in (("indistinguishable", "no different from the market"), ("refused", "too few to tell")):
        part = shares[shares["verdict"] == verdict]
        by_names: dict[str, list[str]] = {}
        for persona, mine in part.groupby("subject", sort=False):
            by_names.setdefault(_names(mine, shown), []).append(str(persona))
        for names, personas in by_names.items():
            who = "Every persona" if len(personas) == everyone else capital("; ".join(map(shown.words.told, personas)))
            lines.append(stating(f"{who} – {told}: {names}.", part[part["subject"].isin(personas)]))
    return Listing(lines) if lines else None


def _names(claims: pd.DataFrame, shown: Evidence, most: int = 6) -> str:
    names = [shown.words.short(str(row["field"]), row["level"]) for row in records(claims)]
    return ", ".join(names[:most]) + (" and others" if len(names) > most else "")
