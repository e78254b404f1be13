"""What experiments showed, as something to do: which arm to use instead of which, where, and what it gave."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from closedloop.period.lead_records import CONVERSION
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Sentence, span, stating
from closedloop.presentation.sentences import (
    Claim,
    about,
    backed,
    ends,
    first,
    named,
    no_difference,
    other_arm,
    records,
    value,
    where,
)
from closedloop.presentation.words import Words, everyone_of, measure_of

# rates of arms, and the measure that counts how many of each got there
ARM_RATES = {"accepted_rate": "n_arm_accepted", "qualified_rate": "n_arm_qualified", "won_rate": "n_arm_won"}
# the later an outcome, the more it counts for the choice of an arm
_TOLD: Mapping[str, str] = {
    "accepted_rate": "sales accepted",
    "qualified_rate": "sales qualified",
    "won_rate": "won",
    "won_amount_per_lead": "won amount per lead",
}
DAYS = "_days"  # the end of measures of how long an outcome takes


def winners(ledger: pd.DataFrame, words: Words, channels: set[str] | None = None) -> list[Sentence]:
    """The arm to use of each experiment in which a difference holds, the largest first.

    The last outcome that shows one decides; where an earlier one points to another arm, that is said as well.
    ``channels``: only experiments whose leads came through one of these.
    """
    held = where(ledger, kind="causal", verdict="supported")
    held = held.assign(_late=held["measure"].map(list(_TOLD).index), _size=held["effect"].abs())
    held = held.sort_values(["_late", "_size"], ascending=False, kind="stable")
    chosen = held.drop_duplicates("subject").sort_values("_size", ascending=False, kind="stable")
    found = []
    for claim in records(chosen):
        own = where(ledger, subject=str(claim["subject"]))
        drawn = where(own, measure="n_drawn_leads")
        if channels is None or channels & set(drawn["level"]):
            found.append(_winner(claim, own, drawn, words))
            best = _sides(claim, words)[0][1]
            for other in records(where(held, subject=str(claim["subject"]))):
                better, worse = _sides(other, words)
                if other["measure"] != claim["measure"] and worse[1] == best:
                    rates = f"{_TOLD[str(other['measure'])]} {worse[2]} against {better[2]} with {better[0]}"
                    text = f"Mind that {worse[0]} does worse before: {rates} ({span(other)})."
                    found.append(stating(text, other))
    return found


def _sides(claim: Claim, words: Words) -> list[tuple[str, str, str]]:
    """The better arm and the worse one: name, level and what each gave."""
    base = numbers.written(claim["baseline"], str(claim["unit"]), words.currency)
    sides = [
        (f"“{words.level('arm', claim['level'])}”", str(claim["level"]), value(claim, words)),
        (other_arm(claim, words), str(claim["against"]), base),
    ]
    return sides if claim["effect"] > 0 else sides[::-1]


def _winner(claim: Claim, own: pd.DataFrame, drawn: pd.DataFrame, words: Words) -> Sentence:
    """The better of two arms with what both gave and how far apart they are; ``drawn``: its leads by channel."""
    measure, unit = str(claim["measure"]), "amount" if claim["unit"] == "amount" else "points"
    better, worse = _sides(claim, words)
    counted = [
        first(own, measure=ARM_RATES[measure], level=level) if measure in ARM_RATES else None
        for _, level, _ in (better, worse)
    ]
    both = " against ".join(
        told if n is None else f"{told} ({numbers.count(n['estimate'])} of {numbers.count(n['n'])})"
        for (_, _, told), n in zip((better, worse), counted, strict=True)
    )
    gap = first(own, measure=f"arm_{measure}_difference", level=str(claim["level"]))
    size = numbers.written(abs(claim["effect"]), unit, words.currency)
    far = size if unit == "points" else f"+{size}"
    if gap is not None:
        low, high = sorted(abs(claim["effect"]) / claim["effect"] * gap[end] for end in ("low", "high"))
        far += f" (90 % interval {numbers.interval(low, high, unit, words.currency)})"
    place = f" in {', '.join(words.level('channel', name) for name in sorted(drawn['level']))}" if len(drawn) else ""
    days = first(own, measure=f"arm_{measure}{DAYS}")  # within which it is counted
    within = "" if days is None else f" within {value(days, words)}"
    because = f"{_TOLD[measure]}{within} {both}, {far}, because of it ({span(claim)})"
    cited = [part for part in (gap, days, *counted) if part is not None]
    return stating(f"Use {better[0]} instead of {worse[0]}{place}: {because}.", claim, *cited, drawn)


def compared_by(ledger: pd.DataFrame, words: Words) -> list[Sentence]:
    """By which outcomes the arms of each experiment are compared, and which leads count."""
    found = []
    for subject, own in ledger[ledger["measure"].isin([*ARM_RATES.values(), "n_arm_leads"])].groupby("subject"):
        rates = [name for name, counted in ARM_RATES.items() if counted in set(own["measure"])]
        told, cited = [], []
        for name in rates:
            days = first(ledger, subject=str(subject), measure=f"arm_{name}{DAYS}")
            within = ""
            if days is not None:
                enough = f"nine of ten needed no more; {numbers.count(days['n'])} leads had them"
                within = f" within {value(days, words)} ({enough})"
                cited.append(days)
            told.append(_TOLD[name] + within)
        if told:
            text = f"{words.name(str(subject))}: arms are compared by {'; '.join(told)}."
            young = " Who came too late to have had that time counts in no arm." if cited else ""
            found.append(stating(f"{text[:1].upper()}{text[1:]}{young}", own, *cited))
    return found


_RATES = {  # judge a channel without spend
    "won_rate": "its leads whose end is known were won",
    CONVERSION: "its leads were won within the usual time",
}
_ORDER = ("use", "keep", "test", "stop")


class Advice(NamedTuple):
    """What to do with one channel for one subject, and the line that says why."""

    channel: str
    word: str
    is_markets: bool  # where a persona's own leads cannot tell, it takes what all personas together say
    line: Sentence
    why: Sentence  # the figures alone, for a glance
    place: float  # among channels of the same word: the cheapest first

    @property
    def mark(self) -> str:
        """The word for a table."""
        return f"{self.word} (all personas)" if self.is_markets else self.word


def advise(leads: pd.DataFrame, words: Words, subject: str = "market") -> list[Advice]:
    """Advice on every channel that the leads of a persona, or of the market, came by; what to use comes first.

    ``leads``: the claims on leads (of 03). A channel is judged by the cost of a won deal against the other channels;
    without spend by the share of its leads that were won.
    """
    of_channels = where(leads, field="channel")
    mine = where(of_channels, measure="n_leads", subject=subject)
    known = records(of_channels)
    found = [_advice(known, words, str(level), subject) for level in mine["level"]]
    return sorted(found, key=lambda advice: (_ORDER.index(advice.word), advice.place))


def _advice(leads: Sequence[Claim], words: Words, channel: str, subject: str) -> Advice:
    """The market's advice where a subject cannot tell by itself and the market can, else its own.

    Where its own figure points the other way, the market's is none for it.
    """
    own, markets = (_judged_by(leads, channel, whose) for whose in (subject, "market"))
    is_markets = subject != "market" and _word(own) == "test" and _word(markets) != "test"
    is_markets = is_markets and not (_word(markets) in ("use", "stop") and _points_apart(own, markets))
    claim = markets if is_markets or own is None else own
    word, name = _word(claim), words.level("channel", channel)
    told = f"{name[:1].upper()}{name[1:]} – {word}{', as for all personas together' if is_markets else ''}"
    if claim is None:
        nothing = Sentence("nothing that was won is known yet")
        return Advice(channel, word, False, Sentence(f"{told}: {nothing.text}."), nothing, _place(claim))
    reason = _reason(leads, words, claim)
    few = _won_of(leads, channel, subject) if is_markets and own is not None else Sentence("")
    tail = f"; of this persona's own {few.text} were won, {_unsettled(own)}" if few.text and own else ""
    line = Sentence(f"{told}: {reason.text}{tail}.", (*reason.claims, *few.claims))
    return Advice(channel, word, is_markets, line, reason, _place(claim))


def _judged_by(leads: Sequence[Claim], channel: str, subject: str) -> Claim | None:
    """The claim that a channel is judged by: its cost, without spend the share of its leads that were won."""
    cost = _one(leads, ("cost_per_won_amount",), subject, channel)
    return _one(leads, _RATES, subject, channel) if cost is None else cost


def _one(leads: Sequence[Claim], measures: Collection[str], subject: str, channel: str) -> Claim | None:
    """The first claim on one of these measures of a subject's leads by a channel."""
    own = (claim for claim in leads if claim["subject"] == subject and claim["level"] == channel)
    return next((claim for claim in own if claim["measure"] in measures), None)


def _word(claim: Claim | None) -> str:
    """Use or stop what is shown to differ, keep what n shows not to, test the rest."""
    if claim is None:
        return "test"
    if claim["verdict"] == "supported":
        is_better = claim["effect"] > 0 if claim["measure"] in _RATES else claim["effect"] < 0
        return "use" if is_better else "stop"
    return "keep" if claim["verdict"] == "indistinguishable" else "test"


def _points_apart(own: Claim | None, markets: Claim | None) -> bool:
    """Does a subject's own difference have the other sign, as far as either is known?"""
    if own is None or markets is None or numbers.is_missing(own["effect"]) or numbers.is_missing(markets["effect"]):
        return False
    return float(own["effect"]) * float(markets["effect"]) < 0


def _unsettled(claim: Claim) -> str:
    """Why a channel is to be tested first: its difference leans, or its leads are too few."""
    return "a difference that leans and does not hold" if claim["verdict"] == "leaning" else "too few to tell"


def _place(claim: Claim | None) -> float:
    """Cheaper first, else won more often; what is unknown comes last."""
    if claim is None or numbers.is_missing(claim["estimate"]):
        return math.inf
    return float(-claim["estimate"] if claim["measure"] in _RATES else claim["estimate"])


def _reason(leads: Sequence[Claim], words: Words, claim: Claim) -> Sentence:
    """The figures behind a verdict, without a full stop."""
    base = numbers.written(claim["baseline"], claim["unit"], words.currency)
    tail = {"keep": f", {no_difference(claim)}", "test": f", {_unsettled(claim)}"}.get(_word(claim), "")
    if claim["measure"] in _RATES:
        rate = f"drawn toward all, {backed(claim, words)} of {_RATES[claim['measure']]}"
        everyone = everyone_of(claim)
        return stating(f"no spend is recorded; {rate}, against {base} {everyone}{tail}", claim)
    won = _won_of(leads, str(claim["level"]), str(claim["subject"]))
    if numbers.is_missing(claim["estimate"]):
        least = numbers.written(claim["low"], claim["unit"], words.currency)
        text = f"{won.text} were won, so a won deal costs more than {least}"
    else:
        text = f"{value(claim, words)} a won deal ({ends(claim, words)}; {won.text} won)"
    text = f"{text}, against {base} over the other channels, {span(claim)}{tail}"
    return Sentence(text, (claim["claim_id"], *won.claims))


def _won_of(leads: Sequence[Claim], channel: str, subject: str) -> Sentence:
    """How many of a channel's leads were won: k of n leads."""
    won, came = (_one(leads, (measure,), subject, channel) for measure in ("n_won", "n_leads"))
    if won is None or came is None:
        return Sentence("none of its leads")
    k, n = (numbers.count(claim["estimate"]) for claim in (won, came))
    return stating(f"{k} of {n} leads", won, came)


_SOUGHT = "sought_"


def planned_tests(ledger: pd.DataFrame, words: Words) -> list[Sentence]:
    """One sentence for each open line: the tests that can be drawn first, the quickest on top."""
    planned = ledger[ledger["cell"] == "tests"]
    drawn, waiting = [], []  # weeks and sentence of each
    lines: dict[tuple[Any, ...], dict[str, Claim]] = {}
    for claim in records(planned):
        line = lines.setdefault((claim["subject"], claim["field"], claim["level"]), {})
        line[str(claim["measure"])] = claim
    for line in lines.values():
        sought = next(claim for name, claim in line.items() if name.startswith(_SOUGHT))
        judged = measure_of(named({**sought, "measure": str(sought["measure"]).removeprefix(_SOUGHT)}))
        usual = numbers.written(sought["baseline"], str(sought["unit"]), words.currency)
        asked = f"{about(sought, words)}: is the {judged.name} {value(sought, words)}, not {usual}?"
        if "test_weeks" in line:
            leads, weeks, harm = (line[name] for name in ("test_arm_leads", "test_weeks", "test_harm_difference"))
            text = (
                f"{asked} Two arms drawn by lot of those who can get either, this and what is usual, "
                f"{value(leads, words)} leads each: about "
                f"{value(weeks, words)} weeks. Stop half-way only if it is more than "
                f"{numbers.points(harm['estimate'])} behind; else judge once, at the end."
            )
            drawn.append((weeks["estimate"], stating(text, *line.values())))
        elif "wait_weeks" in line:
            more, weeks = line["wait_records"], line["wait_weeks"]
            text = f"{asked} Nobody can draw it: wait for about {value(more, words)} more"
            said = stating(f"{text}, {value(weeks, words)} weeks at this pace.", *line.values())
            waiting.append((weeks["estimate"], said))
    return [said for part in (drawn, waiting) for _, said in sorted(part, key=lambda one: one[0])]
