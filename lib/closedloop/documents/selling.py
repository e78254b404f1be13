"""The detail of a sales playbook: who decides, why they buy, what to say, and what to expect."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.dossier import Dossier
from closedloop.documents.findings import Column, Label, backed, first, table_of, value, where
from closedloop.documents.heard import IN_ALL_DEALS, heard, market_topics, own_topics, share_of, so_far
from closedloop.documents.part import GOOD_ANSWER, Line, Part, assumed, share_lines, spoken
from closedloop.documents.pieces import Piece, claim_ids, span, stating
from closedloop.documents.promises import promise_history
from closedloop.documents.tables import Table, record_table
from closedloop.documents.turning import firm, honestly
from closedloop.documents.wording import records, sentences
from closedloop.loop.comparisons import CONVERSION, turning

Parts = tuple[Part, ...]
NO_NOTES = "Let sales log remarks (`notes`) with a kind and a topic; ten are enough to begin."
_MOST_TOPICS = 4
NO_TEXTS = "Write them in the team's `materials` file."
_ANSWERS = {"answer": "answer (assumed)", "proof": "proof", "question": "next question"}
_CLOSING = "For the whole market; a pattern of closing, known only at the end: no reason to choose a buyer or to wait."
_MOST_MEASURED = 8
_EXPECTED = ("promised_win_rate", CONVERSION, "median_cycle_days", "median_amount", "mean_amount", "next_amount",
             "sales_velocity_per_day")  # fmt: skip


def fit(dossier: Dossier) -> tuple[Piece, ...]:
    """How to recognise the persona, what is special about it, and whom to leave."""
    rules = [Line.of(said) for said in dossier.makeup]
    columns: dict[str, str | tuple[str, Column]] = {
        "share": ("share here", "backed"),
        "market": ("market", lambda row: numbers.rate(row["share"]["baseline"])),
        "data": ("data", lambda row: f"{row['share']['source_table']}, {span(row['share'])}"),
        "verdict": ("verdict", lambda row: "holds" if row["share"]["verdict"] == "supported" else "watch"),
    }
    shown = _listed(dossier.attributes, dossier, "attribute", columns, label=_attribute(dossier))
    return (
        Part(
            "How to recognise them in the CRM",
            rules + _rule_quality(dossier),
            empty="Collect fields that leads and survey share.",
        ),
        *dossier.whole_rule,
        Part("What is special about them", tables=shown, empty="Nothing was shown to differ from the market."),
        Part("Whom to leave", assumed(dossier.texts("disqualifier"), 6), empty=f"No disqualifiers. {NO_TEXTS}"),
    )


def _rule_quality(dossier: Dossier) -> list[Line]:
    error, guess = (first(dossier.plan, measure=name, subject="market") for name in ("rule_error", "guess_error"))
    if error is None or guess is None:
        return []
    told = f"The rule errs on {backed(error, dossier.words)} of unseen cases (guessing: {value(guess, dossier.words)})"
    return [Line.of(stating(told, error, guess))]


def _attribute(dossier: Dossier) -> Label:
    return lambda claim: dossier.words.short(str(claim["field"]), claim["level"])


def _listed(
    claims: pd.DataFrame,
    dossier: Dossier,
    heading: str,
    columns: Mapping[str, str | tuple[str, Column]],
    *,
    label: Label | None = None,
) -> list[Table]:
    """Claims as a table, or nothing where there are none."""
    named = label or (lambda claim: dossier.words.level(str(claim["field"]), claim["level"]))
    return [table_of(claims, dossier.words, heading, columns, label=named)] if len(claims) else []


def buying(dossier: Dossier) -> Parts:
    """Who was met in won and lost deals; pains, triggers, and what they weigh instead."""
    columns: dict[str, str | tuple[str, Column]] = {
        "met_in_won_share": ("met in won deals", "backed"),
        "met_in_lost_share": ("met in lost deals", "backed"),
    }
    met = _listed(dossier.stated("met_in_won_share", "met_in_lost_share"), dossier, "role", columns)
    weighed = share_lines(dossier.stated("weighed_share"), dossier.words, "deals that record whom we met")
    undecided = [
        Line("doing nothing (no decision)", f"{backed(claim, dossier.words)} of ended deals", claims=claim_ids(claim))
        for claim in records(dossier.stated("no_decision_share"))
    ]
    return (
        Part("Who decides", tables=met, intro="Of deals with a role recorded; met, not the cause of winning.",
             empty="Record touches with deal and buying role; ten won and ten lost deals are enough."),
        Part("Why they buy", _named(dossier, "pain") + _named(dossier, "trigger"), empty=NO_NOTES),
        Part("What they ask", heard(dossier, "question", _MOST_TOPICS), empty=NO_NOTES),
        Part("What they weigh instead", weighed + undecided, empty="Record deals.competitor."),
    )  # fmt: skip


def _named(dossier: Dossier, kind: str) -> list[Line]:
    """What was heard, each topic with its kind before it."""
    found = heard(dossier, kind, _MOST_TOPICS)
    return [replace(line, text=f"{kind.capitalize()}: {line.text}") if line.detail else line for line in found]


def messages(dossier: Dossier) -> Parts:
    """What to say to each role, with proof and limit of the same topic."""
    rows = []
    for text in dossier.texts("message", topics=dossier.topics[:6] or None):
        about = [str(text["topic"])]
        proof, limit = dossier.texts("proof", topics=about), dossier.texts("limit", topics=about)
        role = "everyone" if numbers.is_missing(text["buying_role"]) else spoken(text["buying_role"])
        rows.append((role, str(text["text"]), _first(proof), str(text["material_id"]), _first(limit)))
    heads = ("role", "message (assumed)", "proof", "source", "do not claim")
    ordered = tuple(sorted(rows[:12], key=lambda row: row[0]))
    shown = [Table(heads, ordered, (False,) * 5)] if rows else []
    return (Part("What to say to whom", tables=shown, empty=f"No messages. {NO_TEXTS}"),)


def _first(texts: Sequence[dict[str, Any]]) -> str:
    return str(texts[0]["text"]) if texts else "not written yet"


def stages(dossier: Dossier) -> Parts:
    """When to move on, how long it takes, and when a deal is late."""
    columns: dict[str, str | tuple[str, Column]] = {
        "stage_days": ("typical", "backed"),
        "stage_late_days": ("late after", "backed"),
    }
    shown = _listed(dossier.stated("stage_days", "stage_late_days"), dossier, "stage", columns)
    closing = _measured(dossier, lambda field: field == "is_quarter_end")
    criteria = [
        Line(f"{spoken(text['stage']).capitalize()}: {text['text']}", "", "assumed")
        for text in _by_stage(dossier, "exit_criterion")
    ]
    return (
        Part("When to move on", criteria, empty=f"No exit criteria. {NO_TEXTS}"),
        Part("When a deal is late", tables=shown, intro="Late: nine of ten of its deals left the stage sooner.",
             empty="Record stage changes of deals (`stage_history`); ten per stage are enough."),
        *([Part("When deals close", _said(closing, dossier), intro=_CLOSING)] if len(closing) else []),
    )  # fmt: skip


def _by_stage(dossier: Dossier, kind: str) -> list[dict[str, Any]]:
    deals = dossier.words.definition.deals
    order = {stage: place for place, stage in enumerate(deals.stages if deals else ())}
    texts = [text for text in dossier.texts(kind) if not numbers.is_missing(text["stage"])]
    return sorted(texts, key=lambda text: order.get(text["stage"], len(order)))


def qualification(dossier: Dossier) -> Parts:
    """Questions with what a good answer looks like, and what has been measured to matter."""
    texts = dossier.texts("question")
    heads = ("topic", "question (assumed)", "a good answer", "measured weight")
    rows = tuple(_question_row(text) for text in texts[:10])
    shown = [Table(heads, rows, (False,) * 4)] if rows else []
    whom = set(dossier.table("personas", "whom").get("field", ()))
    matters = _measured(dossier, lambda field: field in whom)
    tried = _measured(dossier, lambda field: field not in whom and dossier.is_known_at_creation(field))
    more, less = matters[matters["effect"] > 0], matters[matters["effect"] < 0].sort_values("effect", kind="stable")
    others = (
        ("Won less often", less, "For the whole market; ask more before you invest time here."),
        ("Also won more often", tried[tried["effect"] > 0],
         "For the whole market; how the deal came about or what was offered, not who the buyer is: try and measure."),
    )  # fmt: skip
    return (
        Part("What to ask", tables=shown, empty=f"No questions. {NO_TEXTS}"),
        Part("What has been measured to matter", _said(more, dossier),
             intro="For the whole market; look for these when you qualify.",
             empty="Nothing that is known of a buyer was shown to be won more often: qualify by what the buyer says."),
        *(Part(title, _said(found, dossier), intro=intro) for title, found, intro in others if len(found)),
    )  # fmt: skip


def _measured(dossier: Dossier, is_meant: Callable[[str], bool]) -> pd.DataFrame:
    """Last period's rates of winning that hold, like for like too, by these fields, the largest effect first."""
    held = where(dossier.outcome, family="outcome", subject="market", notebook="05_deals", verdict="supported")
    held = held[held["measure"].isin(["win_rate", CONVERSION])]
    held = held[held["field"].map(is_meant).astype(bool) & ~turning(held, dossier.outcome)]
    return held.sort_values("effect", ascending=False, kind="stable")


def _said(claims: pd.DataFrame, dossier: Dossier) -> list[Line]:
    return [Line.of(said) for said in sentences(claims.head(_MOST_MEASURED), dossier.words)]


def _question_row(text: dict[str, Any]) -> tuple[str, ...]:
    question, _, answer = str(text["text"]).partition(GOOD_ANSWER)
    topic = "anything" if numbers.is_missing(text["topic"]) else spoken(text["topic"])
    return (topic, question, answer or "not written yet", "unproven here")


def objections(dossier: Dossier) -> Parts:
    """What is objected how often, how such deals end, and what to answer; in all deals where this is too little."""
    answers = {kind: (head, _answer(dossier, kind)) for kind, head in _ANSWERS.items()}
    own = own_topics(dossier, "objection").head(8)
    if own.empty:
        told = {"n_objection": (f"heard {IN_ALL_DEALS}", lambda row: share_of(row["n_objection"])), **answers}
        shown = _listed(market_topics(dossier, "objection").head(8), dossier, "objection", told)
        return (Part("Objections", so_far(dossier, "objection"), shown, empty=NO_NOTES),)
    columns: dict[str, str | tuple[str, Column]] = {
        "objection_share": ("share of objections", "backed"),
        "win_rate_when_raised": ("won when raised", "backed"),
        **answers,
    }
    raised = dossier.stated("win_rate_when_raised")
    claims = pd.concat([own, raised[raised["level"].isin(own["level"])]])
    intro = "How deals ended in which it was raised: an association, not what the objection does."
    return (Part("Objections", tables=_listed(claims, dossier, "objection", columns), intro=intro, empty=NO_NOTES),)


def _answer(dossier: Dossier, kind: str) -> Column:
    """The team's first text of one kind on a row's topic."""
    return lambda row: _first(dossier.texts(kind, topics=[str(next(iter(row.values()))["level"])]))


def material_by_stage(dossier: Dossier) -> Parts:
    """Assets and offers by stage, when they were last used, and how those deals ended."""
    use = dossier.stated("n_used", "win_rate_when_used")
    texts = _by_stage(dossier, "asset") + _by_stage(dossier, "offer")
    rows = tuple(_material_row(text, use, dossier) for text in texts)
    cited = tuple(tuple(use.loc[use["level"] == text["material_id"], "claim_id"]) for text in texts)
    heads = ("stage", "kind", "what", "used", "last", "won when used")
    shown = [Table(heads, rows, (False, False, False, True, False, False), claims=cited)] if rows else []
    intro = "Won when used is an association: better deals may simply get more material."
    return (Part("Materials and offers by stage", tables=shown, intro=intro, empty=f"No assets. {NO_TEXTS}"),)


def _material_row(text: dict[str, Any], use: pd.DataFrame, dossier: Dossier) -> tuple[str, ...]:
    stage = (spoken(text["stage"]), str(text["kind"]), f"{text['title']}: {text['text']}")
    used, won = (first(use, measure=name, level=text["material_id"]) for name in ("n_used", "win_rate_when_used"))
    if used is None:
        return (*stage, "fewer than ten times", numbers.MISSING, numbers.MISSING)
    seen = dossier.table("personas", "materials")
    seen = seen[(seen["persona"] == dossier.chosen) & (seen["material_id"] == text["material_id"])]
    last = numbers.MISSING if seen.empty else numbers.day(seen["last_on"].iloc[0])
    ended = "too few to tell" if won is None else backed(won, dossier.words)
    return (*stage, value(used, dossier.words), last, ended)


def cadence(dossier: Dossier) -> Parts:
    """What both teams promised on speed and persistence, and through which channels won leads were touched."""
    goals = dossier.words.definition.goals.get(dossier.period.name)
    promised = [] if goals is None else [
        (goals.first_touch_days, f"First touch within {numbers.days(goals.first_touch_days)} of hand-off (median)"),
        (goals.n_touches, f"{goals.n_touches} touches before giving up: the stop rule"),
    ]  # fmt: skip
    lines = [Line(text, "", "promised") for value, text in promised if value is not None]
    waited = first(dossier.outcome, measure="first_touch_median_days", field="")
    if waited is not None:
        lines.append(Line("Last period's median lead waited", backed(waited, dossier.words), claims=claim_ids(waited)))
    touched = first(dossier.stated("won_touches"))
    if touched is not None:
        told = f"{backed(touched, dossier.words)} times (median)"
        lines.append(Line("Won leads were touched by sales", told, claims=claim_ids(touched)))
    return (Part("Cadence", lines, empty="Agree on goals in market.toml, and record `touches`."),)


def expected(dossier: Dossier) -> Parts:
    """What to expect as ranges: win rate, days, amount."""
    own = dossier.claims[(dossier.claims["subject"] == "market") & (dossier.claims["field"] == "persona")]
    own = own[own["measure"].isin(_EXPECTED) | (own["family"] != "none")].drop_duplicates("measure", keep="last")
    lines = [Line.of(said) for said in honestly(firm(own, dossier.ledger), dossier.ledger, dossier.words)]
    first_one = "This is the first promise."
    if dossier.result("personas", "only_won"):
        first_one = "No win rate is promised while only won deals are recorded: record lost ones as well."
    return (
        Part("Numbers to expect", lines, empty="Collect outcomes of this persona's deals; ten are enough to begin."),
        Part("What was promised, and what came", promise_history(dossier), empty=first_one),
    )


def next_leads(dossier: Dossier) -> Parts:
    """The persona's first ten open records by their own rank, with reasons; internal."""
    frame = dossier.table("leads", "next_leads")
    mine = frame[frame["persona"] == dossier.chosen].head(10) if len(frame) else frame
    mine = mine.assign(rank=range(1, len(mine) + 1))
    shown = [record_table(mine, dossier.words, without=("persona", "score", "slot"))] if len(mine) else []
    verdict = dossier.result("leads", "score_verdict")
    intro = f"Score: {verdict}. Record ids lead back to the CRM." if verdict else ""
    slip = [
        Line(f"{field}: ______")
        for field in ("Deal or lead", "What they said first", "Objection", "What helped", "What was missing")
    ]
    return (
        Part(
            "Whom to call next",
            tables=shown,
            intro=intro,
            is_internal=True,
            empty="No open lead of this persona is known.",
        ),
        Part(
            "Feedback slip",
            slip,
            intro="Two minutes after a talk; it becomes a note, and next period's playbook.",
            is_internal=True,
        ),
    )
