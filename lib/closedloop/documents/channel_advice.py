"""What to do with each channel: use, keep, test or stop it, and the claim that says so."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.findings import backed, ends, first, value, where
from closedloop.documents.pieces import Sentence, stating
from closedloop.documents.wording import Words, records
from closedloop.loop.comparisons import CONVERSION

Claim = Mapping[str, Any]

_RATES = {"won_rate": "", CONVERSION: " within the usual time"}  # judge a channel without spend
_ORDER = ("use", "keep", "test", "stop")


class Advice(NamedTuple):
    """What to do with one channel for one subject, and the line that says why."""

    channel: str
    word: str
    is_markets: bool  # a persona with too few won deals takes what all personas together say
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
    found = [_advice(of_channels, words, str(claim["level"]), subject) for claim in records(mine)]
    return sorted(found, key=lambda advice: (_ORDER.index(advice.word), advice.place))


def _advice(leads: pd.DataFrame, words: Words, channel: str, subject: str) -> Advice:
    """The market's advice where a subject cannot tell by itself and the market can, else its own."""
    own, markets = (_judged_by(leads, channel, whose) for whose in (subject, "market"))
    is_markets = subject != "market" and _word(own) == "test" and _word(markets) != "test"
    claim = markets if is_markets or own is None else own
    word, name = _word(claim), words.level("channel", channel)
    told = f"{name[:1].upper()}{name[1:]} – {word}{', as for all personas together' if is_markets else ''}"
    if claim is None:
        nothing = Sentence("nothing that was won is known yet")
        return Advice(channel, word, False, Sentence(f"{told}: {nothing.text}."), nothing, _place(claim))
    reason = _reason(leads, words, claim)
    few = _won_of(leads, channel, subject) if is_markets and own is not None else Sentence("")
    tail = f"; of this persona's own {few.text} were won, too few to tell" if few.text else ""
    line = Sentence(f"{told}: {reason.text}{tail}.", (*reason.claims, *few.claims))
    return Advice(channel, word, is_markets, line, reason, _place(claim))


def _judged_by(leads: pd.DataFrame, channel: str, subject: str) -> Claim | None:
    """The claim that a channel is judged by: its cost, without spend the share of its leads that were won."""
    cost = first(leads, measure="cost_per_won_amount", subject=subject, level=channel)
    rates = leads[leads["measure"].isin(_RATES)]
    return first(rates, subject=subject, level=channel) if cost is None else cost


def _word(claim: Claim | None) -> str:
    """Use or stop what is shown to differ, keep what n shows not to, test the rest."""
    if claim is None:
        return "test"
    if claim["verdict"] == "supported":
        is_better = claim["effect"] > 0 if claim["measure"] in _RATES else claim["effect"] < 0
        return "use" if is_better else "stop"
    enough = not numbers.is_missing(claim["needed_n"]) and claim["n"] >= claim["needed_n"]
    return "keep" if enough else "test"


def _place(claim: Claim | None) -> float:
    """Cheaper first, else won more often; what is unknown comes last."""
    if claim is None or numbers.is_missing(claim["estimate"]):
        return math.inf
    return float(-claim["estimate"] if claim["measure"] in _RATES else claim["estimate"])


def _reason(leads: pd.DataFrame, words: Words, claim: Claim) -> Sentence:
    """The figures behind a verdict, without a full stop."""
    base = numbers.written(claim["baseline"], claim["unit"], words.currency)
    tail = {"keep": ", no detectable difference", "test": ", too few to tell"}.get(_word(claim), "")
    if claim["measure"] in _RATES:
        rate = f"{backed(claim, words)} of its leads were won{_RATES[claim['measure']]}"
        return stating(f"no spend is recorded; {rate}, against {base} of all{tail}", claim)
    won = _won_of(leads, str(claim["level"]), str(claim["subject"]))
    if numbers.is_missing(claim["estimate"]):
        least = numbers.written(claim["low"], claim["unit"], words.currency)
        text = f"{won.text} were won, so a won deal costs more than {least}"
    else:
        text = f"{value(claim, words)} a won deal ({ends(claim, words)}; {won.text} won)"
    return Sentence(f"{text}, against {base} over the other channels{tail}", (claim["claim_id"], *won.claims))


def _won_of(leads: pd.DataFrame, channel: str, subject: str) -> Sentence:
    """How many of a channel's leads were won: k of n leads."""
    won = first(leads, measure="n_won", subject=subject, level=channel)
    came = first(leads, measure="n_leads", subject=subject, level=channel)
    if won is None or came is None:
        return Sentence("none of its leads")
    k, n = (numbers.count(claim["estimate"]) for claim in (won, came))
    return stating(f"{k} of {n} leads", won, came)
