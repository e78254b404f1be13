"""The period's handed-off leads: how far they came, why sales gave some back, and where the teams disagree."""

from collections.abc import Callable, Sequence

import pandas as pd

from closedloop.claims.ledger import CLAIM_COLUMNS, stacked
from closedloop.errors import choice
from closedloop.period.counting import LEAST_SHOWN, rates, shares
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Piece, Sentence, stating
from closedloop.presentation.sentences import backed, records, value, where
from closedloop.presentation.tables import Columns, dots_of, table_of
from closedloop.questions.handoff.promises import accepted_rate, handed_off, neglected, sales_touches
from closedloop.terms import ACCEPTED_UNTOUCHED, REJECTED_UNTOUCHED
from closedloop.workbench.answer import Answer, Evidence, Headline, Render
from closedloop.workbench.comparison import level_of, status_bars
from closedloop.workbench.period import opened

_STEPS = ("sales_accepted_on", "sales_qualified_on", "recycled_on", "disqualified_on")
_MOST_QUESTIONS = 3


def handoff(leads: pd.DataFrame, of: str = "waterfall", *, among: str | None = None) -> Answer:
    """What became of the period's handed-off leads, by one of three questions.

    ``of``: ``waterfall``, how many reached each status so far, with Wilson intervals of the shares; a lead that waits
    is neither accepted nor refused. ``rejections``, why sales gave leads back: shares of all given back, with
    simultaneous multinomial intervals; reasons named fewer than ten times count in the total and are not stated.
    ``disagreements``, where the teams' verdicts differ, of how many leads that could: given back, yet won later; given
    back or accepted, yet not touched so far; of a persona whose promised win rate lies above or below that of all with
    its whole interval, yet given back or accepted. ``leads``: every one; those handed off in the period count. Errors:
    ParameterError for another ``of``.
    """
    state, show, headline = choice("of", of, _QUESTIONS)
    answer = opened().ask("handoff", of, leads, "leads", show, among=among, of=of)
    answer.headline, cohort = headline, handed_off(answer)
    if of == "waterfall":
        answer.results |= {"n_handed_off": None, "accepted_rate": None}
    if len(cohort):
        state(answer, cohort)
    return answer


def _statuses(answer: Answer, cohort: pd.DataFrame) -> None:
    days = [day for day in _STEPS if day in cohort]
    n = {"handed_off": len(cohort), **{day.removesuffix("_on"): int(cohort[day].notna().sum()) for day in days}}
    n["waiting"] = int(cohort[days].isna().all(axis=1).sum())
    origin, whole, share = answer.origin_now, len(cohort), accepted_rate(cohort)
    reached = [{"field": "status", "level": name, "estimate": count, "n": whole} for name, count in n.items()]
    answer.count(reached, origin, "n_reached")
    returned = cohort.filter(["recycled_on", "disqualified_on"]).notna().any(axis=1)
    n_both = int((returned & cohort["sales_accepted_on"].notna()).sum()) if "sales_accepted_on" in cohort else 0
    answer.count([{"estimate": n_both, "n": whole}] if n_both else [], origin, "n_accepted_and_returned")
    answer.estimate(rates([(name, k, whole) for name, k in n.items()][1:], "status"), origin, "reached_share")
    answer.estimate(share, origin, "accepted_rate")
    answer.results |= {
        "n_handed_off": whole,
        "accepted_rate": share[0]["estimate"] if share else None,
        "n_decided": int(cohort["is_accepted"].notna().sum()),
    }


def _show_waterfall(shown: Evidence, title: str) -> Sequence[Piece]:
    name, caption = title or "What became of the leads handed off?", "Percent: of those handed off, 90 % interval."
    picture = status_bars(shown.of("n_reached"), shown.of("reached_share"), shown.words, name, caption)
    both = shown.first("n_accepted_and_returned")
    text = "Accepted and given back in turn, and counted as both:"
    note = [] if both is None else [stating(f"{text} {value(both, shown.words)}.", both)]
    return picture, *accepted(shown), *note


def accepted(shown: Evidence) -> list[Sentence]:
    """How many leads were handed off, and how many of the decided ones sales accepted."""
    handed, share = shown.first("n_reached", level="handed_off"), shown.first("accepted_rate", field="")
    if handed is None:
        return [Sentence("Too few hand-offs are recorded, with what sales accepted of them, to measure a promise.")]
    text = f"{value(handed, shown.words)} leads were handed off"
    if share is None:
        return [stating(f"{text}; too few are decided to tell how many sales accepts.", handed)]
    return [stating(f"{text}; of those decided, sales accepted {backed(share, shown.words)}.", handed, share)]


def _reasons(answer: Answer, cohort: pd.DataFrame) -> None:
    refused = cohort[cohort["is_accepted"].eq(False).fillna(False)]
    if "rejection_reason" not in cohort or len(refused) < LEAST_SHOWN:
        answer.missing["rejections"] = (
            f"Sales gave {len(refused)} leads back; {LEAST_SHOWN} are needed to show reasons."
            if "rejection_reason" in cohort
            else "No reasons are recorded: collect `leads.rejection_reason` from a short closed list."
        )
        return
    table = shares(refused["rejection_reason"].fillna("(not recorded)"), "rejection_reason")
    if table.empty:
        answer.missing["rejections"] = "Every reason was named fewer than ten times, too seldom to be shown."
    answer.estimate(table, answer.origin_now, "rejection_share")
    answer.count(table.drop(columns=["low", "high"]).assign(estimate=table["k"]), answer.origin_now, "n_rejected")


def _show_rejections(shown: Evidence, title: str) -> Sequence[Piece]:
    reasons = shown.of("rejection_share").sort_values("estimate", ascending=False, kind="stable")
    if reasons.empty:
        return ()
    name, top = level_of(shown.words), records(reasons.head(1))[0]
    picture = dots_of(reasons, shown.words, title or "Why does sales reject leads?", "share of rejected leads", name)
    return picture, stating(f"Named most often: {name(top)}, {backed(top, shown.words)}.", top)


def _disagreements(answer: Answer, cohort: pd.DataFrame) -> None:
    every, situation, in_force = answer.rows, answer.now.situation, answer.now.personas
    returned = every["recycled_on"].notna() if "recycled_on" in every else pd.Series(False, index=every.index)
    returned &= every["is_won"].notna()
    later_won = returned & every["is_won"].eq(True).fillna(False)
    found = [("won later, of all recycled whose end is known", int(later_won.sum()), int(returned.sum()))]
    if not sales_touches(situation).empty:
        covered = cohort[cohort["is_covered"]]
        rejected, taken = (covered["is_accepted"].eq(verdict).fillna(False) for verdict in (False, True))
        is_untouched, ends = covered["touch_days"].isna(), covered.filter(["recycled_on", "disqualified_on"])
        touched_on = covered["handed_off_on"] + pd.to_timedelta(covered["touch_days"], unit="D")
        in_vain = is_untouched | (touched_on > pd.to_datetime(ends.min(axis=1)))  # which is a touch in vain
        found.insert(0, (REJECTED_UNTOUCHED, int((rejected & in_vain).sum()), int(rejected.sum())))
        found.append((ACCEPTED_UNTOUCHED, int((taken & is_untouched).sum()), int(taken.sum())))
    # a persona fits when its promise lies above the market's rate with its whole interval, and does not when below;
    # of one whose rate rests on fewer than ten deals nobody can tell
    base, decided = in_force.base_rate, cohort[cohort["is_accepted"].notna()]
    known = [p for p in in_force.personas if p.low is not None and p.high is not None and not p.is_assumed]
    fits = decided[decided["persona"].isin([p.id for p in known if base is not None and (p.low or 0) > base])]
    misfits = decided[decided["persona"].isin([p.id for p in known if base is not None and (p.high or 1) < base])]
    n_back, n_taken = len(fits) - int(fits["is_accepted"].sum()), int(misfits["is_accepted"].sum())
    found.append(("win rate promised above that of all, yet given back", n_back, len(fits)))
    found.append(("win rate promised below that of all, yet accepted", n_taken, len(misfits)))
    stated = [{"field": "kind", "level": kind, "estimate": k, "n": n} for kind, k, n in found if n >= LEAST_SHOWN]
    answer.count(stated, answer.origin_now, "n_disagreements")
    if not stated:
        answer.missing["disagreements"] = "Fewer than ten leads were accepted or given back: too few to show."


def _show_disagreements(shown: Evidence, title: str) -> Sequence[Piece]:
    claims = shown.of("n_disagreements")
    if claims.empty:
        return ()
    columns: Columns = {
        "n_disagreements": "leads",
        "of": ("of", lambda row: numbers.count(row["n_disagreements"]["n"])),
    }
    heading, name = "where the teams disagree", level_of(shown.words)
    listed = table_of(claims, shown.words, heading, columns, label=name, caption=title)
    if (claims["estimate"] == 0).all():
        return listed, stating("The teams' verdicts agree on every lead.", claims)
    return listed, stating("Each of these leads is worth a joint look.", claims[claims["estimate"] > 0])


_QUESTIONS: dict[str, tuple[Callable[[Answer, pd.DataFrame], None], Render, Headline | None]] = {
    "waterfall": (_statuses, _show_waterfall, accepted),
    "rejections": (_reasons, _show_rejections, None),
    "disagreements": (_disagreements, _show_disagreements, neglected),
}


def joint_questions(*answers: Answer) -> Answer:
    """What to ask each other: the questions that the figures of these answers raise, three at most."""
    verbs = [f"{answer.verb} {answer.section}" for answer in answers]
    asked = opened().ask("joint_questions", "questions", pd.DataFrame(), "leads", _show_questions, verbs=verbs)
    asked.cited = stacked([answer.claims for answer in answers], CLAIM_COLUMNS)
    if asked.cited.empty:
        reasons = [reason for answer in answers for reason in answer.missing.values()]
        asked.missing |= {"questions": reasons[0]} if reasons else {}
    return asked


def _show_questions(shown: Evidence, title: str) -> Sequence[Piece]:
    """The reason named most often, verdicts that differ, and leads that nobody touched."""
    words, name = shown.words, level_of(shown.words)
    asked = []
    for top in records(shown.of("n_rejected").sort_values("estimate", ascending=False, kind="stable").head(1)):
        what = f"rejected leads were given back as “{name(top)}”: what should marketing ask before handing over?"
        asked.append(stating(f"{value(top, words)} {what}", top))
    apart, never = shown.of("n_disagreements"), where(shown.of("never_touched_share"), field="")
    for claim in records(apart[apart["estimate"] > 0]):
        of = f"{value(claim, words)} of {numbers.count(claim['n'])} leads"
        asked.append(stating(f"{of}, {claim['level']}: what happened to them?", claim))
    for claim in records(never[never["estimate"] > 0]):
        of = f"{value(claim, words)} of {numbers.count(claim['n'])} handed-off leads"
        asked.append(stating(f"{of} had no sales touch yet: who takes them?", claim))
    return (Listing(asked[:_MOST_QUESTIONS] or [Sentence("No figure of this page asks for an answer.")]),)
