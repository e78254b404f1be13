"""The sections of 04 handoff."""

from collections.abc import Mapping

from closedloop.documents import numbers
from closedloop.documents.findings import Claim, Column, backed, dots_of, table_of, value, where
from closedloop.documents.pieces import Listing, Sentence, stating
from closedloop.documents.sections.conversions import uncovered
from closedloop.documents.sections.section import Evidence, Pieces, Section, level_of, status_bars
from closedloop.documents.wording import records
from closedloop.terms import REJECTED_UNTOUCHED

_JUST_MISSED = "just missed"
_PROMISES = {
    "n_leads": ("leads handed off", "marketing"),
    "accepted_rate": ("share accepted by sales", "marketing"),
    "first_touch_days": ("median days to the first touch", "sales"),
    "n_touches": ("touches before giving up", "sales"),
    "won_amount": ("won amount", "sales"),
}
_MOST_QUESTIONS = 3
_JUST = 0.05  # a promise that lacks at most this part of itself is just missed


def team_promises(shown: Evidence) -> Pieces:
    """What each team promised, and what was observed."""

    def promised(row: Mapping[str, Claim]) -> str:
        claim = row["promise"]
        return numbers.written(claim["baseline"], claim["unit"], shown.words.currency)

    columns: dict[str, str | tuple[str, Column]] = {
        "by": ("by", lambda row: _PROMISES[row["promise"]["level"]][1]),
        "promised": ("promised", promised),
        "promise": ("observed", "backed"),
        "kept": ("kept", _is_kept),
    }
    names = {name: told for name, (told, _) in _PROMISES.items()}
    listed = table_of(shown.of("promise"), shown.words, "promise", columns, label=lambda claim: names[claim["level"]])
    kept = shown.first("n_promises_kept")
    if kept is None:
        return listed, Sentence("No promise could be judged yet.")
    text = f"{numbers.count(kept['estimate'])} of {numbers.count(kept['n'])} promises that can be judged were kept"
    just = [claim for claim in records(shown.of("promise")) if _is_kept({"promise": claim}) == _JUST_MISSED]
    text += f"; just missed: {', '.join(names[claim['level']] for claim in just)}" if just else ""
    return listed, stating(f"{text}.", kept, *just)


def _is_kept(row: Mapping[str, Claim]) -> str:
    claim = row["promise"]
    if numbers.is_missing(claim["effect"]):
        return "not judged"
    if not numbers.is_missing(claim["low"]) and claim["low"] <= claim["baseline"] <= claim["high"]:
        return "cannot tell"
    if claim["effect"] >= 0:
        return "yes"
    return _JUST_MISSED if -claim["effect"] <= _JUST * claim["baseline"] else "no"


def neglected(shown: Evidence) -> list[Sentence]:
    """What both teams have to hear first: leads given back that nobody touched, and how many were touched in time."""
    told, claims = [], []
    untouched = shown.first("n_disagreements", level=REJECTED_UNTOUCHED)
    if untouched is not None:
        of = f"{value(untouched, shown.words)} of {numbers.count(untouched['n'])}"
        told.append(f"{of} rejected leads had no sales touch")
        claims.append(untouched)
    in_time, promised = shown.first("touched_in_time_share"), shown.first("promise", level="first_touch_days")
    if in_time is not None and promised is not None:
        days = numbers.days(promised["baseline"])
        told.append(f"{backed(in_time, shown.words)} of leads were touched within the promised {days}")
        claims += [in_time, promised]
    return [stating(f"{'; '.join(told)}.", *claims)] if told else []


def _waterfall(shown: Evidence) -> Pieces:
    title, caption = "What became of the leads handed off?", "Percent: share of those handed off, with 90 % interval."
    picture = status_bars(shown.of("n_reached"), shown.of("reached_share"), shown.words, title, caption)
    return picture, *accepted(shown)


def accepted(shown: Evidence) -> list[Sentence]:
    """How many leads were handed off, and how many of the decided ones sales accepted."""
    handed_off, accepted = shown.first("n_reached", level="handed_off"), shown.first("accepted_rate", field="")
    if handed_off is None:
        return []
    text = f"{value(handed_off, shown.words)} leads were handed off"
    if accepted is None:
        return [stating(f"{text}; too few are decided to tell how many sales accepts.", handed_off)]
    return [stating(f"{text}; of those decided, sales accepted {backed(accepted, shown.words)}.", handed_off, accepted)]


def _first_touch(shown: Evidence) -> Pieces:
    columns: dict[str, str | tuple[str, Column]] = {
        "never_touched_share": ("never touched", "backed"),
        "first_touch_median_days": ("median", "backed"),
        "first_touch_p90_days": "nine of ten within",
    }
    caption = f"{numbers.MISSING}: not reached so far, because too many were not touched yet."
    listed = table_of(shown.of(*columns), shown.words, "leads", columns, caption=caption, limit=25)
    return *neglected(shown), listed, *waited(shown), *uncovered(shown, "first_touch")


def waited(shown: Evidence) -> list[Sentence]:
    """How long the median lead waited, and how many were never touched."""
    median, never = (shown.first(name, field="") for name in ("first_touch_median_days", "never_touched_share"))
    if never is None:
        return []
    untouched = f"{backed(never, shown.words)} of all were never touched by sales"
    if median is None:
        has_days = shown.words.definition.has_calendar
        why = ": too many for a median wait" if has_days else "; how long the others waited cannot be told without days"
        return [stating(f"{untouched}{why}.", never)]
    return [stating(f"The median lead waited {backed(median, shown.words)}; {untouched}.", median, never)]


def _rejections(shown: Evidence) -> Pieces:
    shares = shown.of("rejection_share").sort_values("estimate", ascending=False, kind="stable")
    name, top = level_of(shown.words), records(shares.head(1))[0]
    picture = dots_of(shares, shown.words, "Why does sales reject leads?", "share of rejected leads", name)
    return picture, stating(f"Named most often: {name(top)}, {backed(top, shown.words)}.", top)


def _disagreements(shown: Evidence) -> Pieces:
    claims = shown.of("n_disagreements")
    columns: dict[str, str | tuple[str, Column]] = {
        "n_disagreements": "leads",
        "of": ("of", lambda row: numbers.count(row["n_disagreements"]["n"])),
    }
    listed = table_of(claims, shown.words, "where the teams disagree", columns, label=level_of(shown.words))
    if (claims["estimate"] == 0).all():
        return listed, stating("The teams' verdicts agree on every lead.", claims)
    return listed, stating("Each of these leads is worth a joint look.", claims[claims["estimate"] > 0])


def _questions(shown: Evidence) -> Pieces:
    asked = [*_why_rejected(shown), *_why_disagreed(shown), *_who_takes_them(shown)]
    return (Listing(asked[:_MOST_QUESTIONS] or [Sentence("No figure of this page asks for an answer.")]),)


def _why_rejected(shown: Evidence) -> list[Sentence]:
    top = records(shown.of("n_rejected").sort_values("estimate", ascending=False, kind="stable").head(1))
    asked = "rejected leads were given back as “{}”: what should marketing ask before handing over?"
    return [
        stating(f"{value(claim, shown.words)} {asked.format(level_of(shown.words)(claim))}", claim) for claim in top
    ]


def _why_disagreed(shown: Evidence) -> list[Sentence]:
    claims = shown.of("n_disagreements")
    return [
        stating(
            f"{value(claim, shown.words)} of {numbers.count(claim['n'])} leads were {claim['level']}: "
            "what happened to them?",
            claim,
        )
        for claim in records(claims[claims["estimate"] > 0])
    ]


def _who_takes_them(shown: Evidence) -> list[Sentence]:
    never = where(shown.of("never_touched_share"), field="")
    return [
        stating(
            f"{value(claim, shown.words)} of {numbers.count(claim['n'])} handed-off leads had no sales touch yet: "
            "who takes them?",
            claim,
        )
        for claim in records(never[never["estimate"] > 0])
    ]


HANDOFF = (
    Section("handoff", "promises", "What was promised, and was it kept?", team_promises, measures=("promise",)),
    Section("handoff", "waterfall", "What became of the leads handed off?", _waterfall, measures=("n_reached",)),
    Section("handoff", "first_touch", "How long did a lead wait?", _first_touch, measures=("never_touched_share",)),
    Section("handoff", "rejections", "Why does sales reject leads?", _rejections, measures=("rejection_share",)),
    Section("handoff", "disagreements", "Where do the teams disagree?", _disagreements, measures=("n_disagreements",)),
    Section("handoff", "questions", "What to ask each other?", _questions, measures=("n_reached",)),
)
