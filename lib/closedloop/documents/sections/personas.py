"""The sections of 02 personas."""

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.charts import dots
from closedloop.documents.pieces import Sentence
from closedloop.documents.sections.section import Evidence, Pieces, Section, claim_pieces, group_rows, lowest
from closedloop.documents.tables import table

SAME = "Nothing changed since the last period."


def _persona_shares(shown: Evidence) -> Pieces:
    frame = shown.table("personas").sort_values("share", ascending=False, kind="stable")
    labels = [f"{row['name']}{' (assumed)' if row['is_assumed'] else ''}" for _, row in frame.iterrows()]
    picture = dots(group_rows(frame, labels, "share"), "Who is in the market?", "share of those it was made from")
    n_assumed = int(frame["is_assumed"].astype(bool).sum())
    held = "all rest on outcomes" if not n_assumed else f"{n_assumed} still assumed, without outcomes of its own"
    return picture, Sentence(f"{len(frame)} persona{'s' if len(frame) != 1 else ''}; {held}.")


def _rules(shown: Evidence) -> Pieces:
    told = [[shown.words.name(persona), sentence] for persona, ways in shown.rules.items() for sentence in ways]
    frame = pd.DataFrame(told, columns=["persona", "sentence"]) if told else shown.table("rules")
    error, guess = shown.result("rule_error"), shown.result("guess_error")
    if error is None:
        text = "How often the rule errs could not be measured."
    else:
        guessed = f"guessing the largest persona on {numbers.rate(guess)}"
        text = f"The rule errs on {numbers.rate(error)} of unseen cases, {guessed}."
    columns = {"persona": "persona", "sentence": "how to recognise it in the CRM"}
    return table(frame, columns, shown.words, limit=20), Sentence(text)


def _names(shown: Evidence, name: str, column: str = "persona") -> list[str]:
    return [shown.words.name(str(value)) for value in shown.table(name)[column]]


def _attributes(shown: Evidence) -> Pieces:
    title = "In what do personas differ from the whole market?"
    return claim_pieces(shown.of("share"), shown.words, title, "share of the persona")


def _win_by_persona(shown: Evidence) -> Pieces:
    title = "Which personas are won more often?"
    claims = shown.of("win_rate")
    return claim_pieces(claims[claims["field"] == "persona"], shown.words, title, "share of decided deals won")


def _nearest(shown: Evidence) -> Pieces:
    frame = shown.table("nearest").assign(persona=_names(shown, "nearest"), nearest=_names(shown, "nearest", "nearest"))
    told = [shown.words.short(row["field"], row["level"]) for _, row in frame.iterrows()]
    columns = {"persona": "persona", "nearest": "most alike", "difference": "largest difference",
               "share": "share here", "nearest_share": "share there"}  # fmt: skip
    closest = lowest(frame, "distance")
    text = f"Most easily confused: {closest['persona']} and {closest['nearest']}."
    return table(frame.assign(difference=told), columns, shown.words, units={"nearest_share": "rate"}), Sentence(text)


def _prevalence(shown: Evidence) -> Pieces:
    frame = shown.table("prevalence").assign(persona=_names(shown, "prevalence"))
    columns = {"persona": "persona", "n_traits": "traits described", "n": "real records",
               "n_all": "match all traits", "n_all_but_one": "match all but one"}  # fmt: skip
    n_all, n = frame["n_all"].sum(), frame["n"].sum()
    text = f"{numbers.count(n_all)} of {numbers.count(n)} real records match every trait of their description."
    return table(frame, columns, shown.words), Sentence(text)


def persona_changes(shown: Evidence) -> Pieces:
    """What changed in the personas, and what kind of change it is."""
    frame = shown.table("changes")
    if frame.empty:
        return (Sentence(SAME),)
    columns = {"persona": "persona", "change": "change", "detail": "detail"}
    rows = table(frame.assign(persona=_names(shown, "changes")), columns, shown.words)
    return rows, Sentence(f"{len(frame)} change{'s' if len(frame) != 1 else ''} since the last period.")


PERSONAS = (
    Section("personas", "personas", "Who is in the market?", _persona_shares, ("personas",)),
    Section("personas", "rules", "How do we recognise a persona?", _rules, ("rules",)),
    Section("personas", "attributes", "What is special about each persona?", _attributes),
    Section("personas", "win_rate", "Which personas are won more often?", _win_by_persona),
    Section("personas", "nearest", "Which personas are easily confused?", _nearest, ("nearest",)),
    Section("personas", "prevalence", "How many real records fit the description?", _prevalence, ("prevalence",)),
    Section("personas", "changes", "What changed since the last period?", persona_changes),
)
