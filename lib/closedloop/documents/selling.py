"""The detail of a sales playbook: who decides, why they buy, what to say, and what to expect."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from closedloop.documents import numbers, observed
from closedloop.documents.dossier import Dossier
from closedloop.documents.part import GOOD_ANSWER, Line, Part, assumed, rate_text, spoken
from closedloop.documents.tables import Table, table
from closedloop.documents.wording import one_of_each_pair, records, sentence, sentences, span

Parts = tuple[Part, ...]
NO_NOTES = "Let sales log remarks (`notes`) with a kind and a topic; ten are enough to begin."
NO_TEXTS = "Write them in the team's `materials` file."
ROLES = ("economic_buyer", "champion", "technical_evaluator", "end_user", "blocker")


def fit(dossier: Dossier) -> Parts:
    """How to recognise the persona, what is special about it, and whom to leave."""
    error, guess = dossier.result("personas", "rule_error"), dossier.result("personas", "guess_error")
    intro = (
        ""
        if error is None
        else f"The rule errs on {numbers.rate(error)} of unseen cases (guessing: {numbers.rate(guess)})."
    )
    rules = [Line(way) for way in dossier.ways]
    traits = [_attribute_row(row, dossier) for row in records(dossier.attributes)]
    heads = ("attribute", "share here", "market", "n", "data", "verdict")
    shown = [Table(heads, tuple(traits), (False, True, True, True, False, False))] if traits else []
    return (
        Part(
            "How to recognise them in the CRM", rules, intro=intro, empty="Collect fields that leads and survey share."
        ),
        Part("What is special about them", tables=shown, empty="Nothing was shown to differ from the market."),
        Part("Whom to leave", assumed(dossier.texts("disqualifier"), 6), empty=f"No disqualifiers. {NO_TEXTS}"),
    )


def _attribute_row(claim: dict[str, Any], dossier: Dossier) -> tuple[str, ...]:
    name = dossier.words.short(str(claim["field"]), claim["level"])
    ends = numbers.interval(claim["low"], claim["high"], "rate", "")
    share = f"{numbers.rate(claim['estimate'])} ({ends})"
    verdict = "holds" if claim["verdict"] == "supported" else "watch"
    source = f"{claim['source_table']}, {span(claim)}"
    return (name, share, numbers.rate(claim["baseline"]), numbers.count(claim["n"]), source, verdict)


def buying(dossier: Dossier) -> Parts:
    """Who was met in won and lost deals; pains, triggers, and what they weigh instead."""
    met = observed.committee(dossier.touches, dossier.deals)
    columns = {"buying_role": "role", "won_share": "met in won deals", "lost_share": "met in lost deals", "n": "deals"}
    shown = [table(met, columns, dossier.words, units={"buying_role": "label"})] if len(met) else []
    rivals = observed.rivals(dossier.deals)
    names = [Line(spoken(row["competitor"]), _often(row, "deals")) for row in records(rivals)]
    return (
        Part("Who decides", tables=shown, intro="Of deals with a role recorded; met, not the cause of winning.",
             empty="Record touches with deal and buying role; ten won and ten lost deals are enough."),
        Part("Why they buy", _topics(dossier, "pain") + _topics(dossier, "trigger"), empty=NO_NOTES),
        Part("What they weigh instead", names + _undecided(dossier), empty="Record deals.competitor."),
    )  # fmt: skip


def _often(row: dict[str, Any], what: str) -> str:
    return f"{numbers.rate(row['share'])} of {what}, n = {numbers.count(row['n'])}"


def _topics(dossier: Dossier, kind: str, limit: int = 4) -> list[Line]:
    found = observed.heard(dossier.remarks, kind).head(limit)
    return [
        Line(f"{kind.capitalize()}: {spoken(row['topic'])}", _often(row, f"{kind}s heard")) for row in records(found)
    ]


def _undecided(dossier: Dossier) -> list[Line]:
    ended = dossier.deals[dossier.deals["outcome"].isin(["won", "lost", "no_decision"])]
    n = int((ended["outcome"] == "no_decision").sum())
    if n < observed.LEAST_SHOWN:
        return []
    return [
        Line("doing nothing (no decision)", f"{numbers.rate(n / len(ended))} of ended deals, n = {numbers.count(n)}")
    ]


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
    days = observed.stage_days(dossier.view, dossier.deals)
    columns = {"stage": "stage", "n": "deals", "median_days": "typical", "late_days": "late after"}
    shown = [table(days, columns, dossier.words)] if len(days) else []
    criteria = [
        Line(f"{spoken(text['stage']).capitalize()}: {text['text']}", "", "assumed")
        for text in _by_stage(dossier, "exit_criterion")
    ]
    return (
        Part("When to move on", criteria, empty=f"No exit criteria. {NO_TEXTS}"),
        Part("When a deal is late", tables=shown, intro="Late: nine of ten of its deals left the stage sooner.",
             empty="Record stage changes of deals (`stage_history`); ten per stage are enough."),
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
    held = dossier.outcome[(dossier.outcome["verdict"] == "supported") & (dossier.outcome["measure"] == "win_rate")]
    weights = held[~held["field"].isin(["persona", "rep_id", "competitor"])].sort_values("effect", ascending=False)
    lines = [Line(text) for text in sentences(weights.head(8), dossier.words)]
    return (
        Part("What to ask", tables=shown, empty=f"No questions. {NO_TEXTS}"),
        Part("What has been measured to matter", lines, intro="For the whole market; look for these when you qualify.",
             empty="No field was shown to change the win rate: qualify by what the buyer says."),
    )  # fmt: skip


def _question_row(text: dict[str, Any]) -> tuple[str, ...]:
    question, _, answer = str(text["text"]).partition(GOOD_ANSWER)
    topic = "anything" if numbers.is_missing(text["topic"]) else spoken(text["topic"])
    return (topic, question, answer or "not written yet", "unproven here")


def objections(dossier: Dossier) -> Parts:
    """What is objected how often, how such deals end, and what to answer."""
    found = records(observed.heard(dossier.remarks, "objection").head(8))
    rows = tuple(_objection_row(row, dossier) for row in found)
    heads = ("objection", "heard", "won when raised", "answer (assumed)", "proof", "next question")
    shown = [Table(heads, rows, (False, True, False, False, False, False))] if rows else []
    intro = "How deals ended in which it was raised: an association, not what the objection does."
    return (Part("Objections", tables=shown, intro=intro, empty=NO_NOTES),)


def _objection_row(row: dict[str, Any], dossier: Dossier) -> tuple[str, ...]:
    topic = str(row["topic"])
    ended = rate_text(observed.when_raised(dossier.remarks, dossier.deals, topic))
    texts = [_first(dossier.texts(kind, topics=[topic])) for kind in ("answer", "proof", "question")]
    return (spoken(topic), numbers.count(row["n"]), ended, *texts)


def material_by_stage(dossier: Dossier) -> Parts:
    """Assets and offers by stage, when they were last used, and how those deals ended."""
    use = observed.material_use(dossier.touches, dossier.deals).set_index("material_id")
    texts = _by_stage(dossier, "asset") + _by_stage(dossier, "offer")
    rows = tuple(_material_row(text, use) for text in texts)
    heads = ("stage", "kind", "what", "used", "last", "won when used")
    shown = [Table(heads, rows, (False, False, False, True, False, False))] if rows else []
    intro = "Won when used is an association: better deals may simply get more material."
    return (Part("Materials and offers by stage", tables=shown, intro=intro, empty=f"No assets. {NO_TEXTS}"),)


def _material_row(text: dict[str, Any], use: pd.DataFrame) -> tuple[str, ...]:
    what = f"{text['title']}: {text['text']}"
    stage = (spoken(text["stage"]), str(text["kind"]), what)
    if text["material_id"] not in use.index:
        return (*stage, "not yet", numbers.MISSING, numbers.MISSING)
    row = use.loc[text["material_id"]]
    return (*stage, numbers.count(row["n_touches"]), numbers.day(row["last_on"]), rate_text(row.to_dict()))


def cadence(dossier: Dossier) -> Parts:
    """What both teams promised on speed and persistence, and through which channels won leads were touched."""
    goals = dossier.words.definition.goals.get(dossier.period.name)
    promised = [] if goals is None else [
        (goals.first_touch_days, f"First touch within {numbers.days(goals.first_touch_days)} of hand-off (median)"),
        (goals.n_touches, f"{goals.n_touches} touches before giving up: the stop rule"),
    ]  # fmt: skip
    lines = [Line(text, "", "promised") for value, text in promised if value is not None]
    observed_days = dossier.result("handoff", "first_touch_median_days")
    lines += [] if observed_days is None else [Line(f"Last period's median lead waited {numbers.days(observed_days)}")]
    return (
        Part("Cadence", lines + _touch_lines(dossier), empty="Agree on goals in market.toml, and record `touches`."),
    )


def _touch_lines(dossier: Dossier) -> list[Line]:
    won = dossier.deals[dossier.deals["outcome"] == "won"]
    contacts = dossier.touches[dossier.touches["from_team"] == "sales"]
    n = contacts[contacts["lead_id"].isin(won["lead_id"].dropna())].groupby("lead_id").size()
    if len(n) < observed.LEAST_SHOWN:
        return []
    return [
        Line(
            f"Won leads were touched by sales {numbers.plain(n.median())} times (median)",
            f"n = {numbers.count(len(n))}",
        )
    ]


def expected(dossier: Dossier) -> Parts:
    """What to expect as ranges: win rate, days, amount."""
    persona, currency = dossier.persona, dossier.words.currency
    found = {"estimate": persona.win_rate, "low": persona.low, "high": persona.high, "n": persona.n}
    lines = [Line(f"Win rate: {rate_text(found)} of decided deals")] if persona.win_rate is not None else []
    lines += _ranges(dossier, "cycle", "median_days", "Days to win", "days")
    lines += _ranges(dossier, "amounts", "mean_amount", f"Mean amount of a won deal ({currency})", "amount")
    own = dossier.outcome[(dossier.outcome["field"] == "persona") & (dossier.outcome["level"] == dossier.chosen)]
    lines += [Line(sentence(row, dossier.words)) for row in records(own)]
    return (
        Part("Numbers to expect", lines, empty="Collect outcomes of this persona's deals; ten are enough to begin."),
    )


def _ranges(dossier: Dossier, name: str, column: str, title: str, unit: str) -> list[Line]:
    frame = dossier.table("deals", name)
    if frame.empty:
        return []
    mine = frame[(frame["field"] == "persona") & (frame["level"] == dossier.chosen) & frame[column].notna()]
    currency = dossier.words.currency
    return [
        Line(f"{title}: {numbers.written(row[column], unit, currency)}",
             f"({numbers.interval(row['low'], row['high'], unit, currency)}, n = {numbers.count(row['n'])})")
        for row in records(mine)
    ]  # fmt: skip


def next_leads(dossier: Dossier) -> Parts:
    """The persona's first ten open records, with reasons; internal."""
    frame = dossier.table("leads", "next_leads")
    mine = frame[frame["persona"] == dossier.chosen].head(10) if len(frame) else frame
    columns = {"rank": "rank", "record_id": "record", "reasons": "why", "channel": "channel", "created_on": "created"}
    shown = [table(mine, columns, dossier.words)] if len(mine) else []
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


def annex(dossier: Dossier) -> Parts:
    """Every claim that the page rests on, with its verdict."""
    lines = [
        Line(sentence(row, dossier.words), f"{row['claim_id']}, {row['verdict']}, {row['kind']}")
        for row in records(_cited(dossier))
    ]
    return (Part("Evidence", lines, empty="No claim speaks about this persona yet.", is_internal=True),)


def _cited(dossier: Dossier) -> pd.DataFrame:
    shown = dossier.claims[dossier.claims["verdict"].isin(["supported", "leaning", "estimated"])]
    shown = one_of_each_pair(shown, dossier.words)
    return shown.sort_values(["verdict", "claim_id"], ascending=[False, True]).head(40)
