"""What was heard: the topics of a page's own remarks; where these are too rare each, the market's, marked as such."""

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.dossier import Dossier
from closedloop.documents.findings import Claim, first, where
from closedloop.documents.part import Line, share_lines
from closedloop.documents.pieces import claim_ids, stating
from closedloop.documents.wording import records

IN_ALL_DEALS = "in all deals"
_REMARKS: Mapping[str, tuple[str, str]] = MappingProxyType(  # what they are called, and whose the market's are
    {
        "pain": ("pains", IN_ALL_DEALS),
        "trigger": ("triggers", IN_ALL_DEALS),
        "question": ("questions", IN_ALL_DEALS),
        "loss_topic": ("buyers' reasons", IN_ALL_DEALS),
        "objection": ("objections", IN_ALL_DEALS),
        "sales_feedback": ("remarks of sales", "on all leads"),
        "sales_rejection": ("remarks on rejected leads", "on all leads"),
    }
)


def heard(dossier: Dossier, kind: str, limit: int) -> list[Line]:
    """The topics of one kind of remark, most frequent first; nothing where no such remark was logged at all."""
    own = own_topics(dossier, kind)
    if len(own):
        return share_lines(own.head(limit), dossier.words, _REMARKS[kind][0])
    told = [topic_line(claim, dossier, kind) for claim in records(market_topics(dossier, kind).head(limit))]
    return [*told, *so_far(dossier, kind)]


def own_topics(dossier: Dossier, kind: str) -> pd.DataFrame:
    """The claims on the topics that were named ten times about the page's subject."""
    return dossier.stated(f"{kind}_share", field="topic")


def market_topics(dossier: Dossier, kind: str) -> pd.DataFrame:
    """The claims on the topics that were named ten times in the whole market."""
    return where(dossier.plan, measure=f"n_{kind}", subject="market", field="topic")


def topic_line(claim: Claim, dossier: Dossier, kind: str) -> Line:
    """One topic of the whole market: how many of all such remarks."""
    whole, place = _REMARKS[kind]
    return Line(dossier.words.level("topic", claim["level"]), f"{share_of(claim)} {whole}", place, claim_ids(claim))


def share_of(claim: Claim) -> str:
    """How many of how many."""
    return f"{numbers.count(claim['estimate'])} of {numbers.count(claim['n'])}"


def so_far(dossier: Dossier, kind: str) -> list[Line]:
    """What was logged so far though no topic was named ten times: here, and in the market where it has none either."""
    if f"n_{kind}" not in (dossier.result("personas", "logged") or ()):
        return []
    whole, place = _REMARKS[kind]
    subjects = [(dossier.chosen, "here"), *([] if len(market_topics(dossier, kind)) else [("market", place)])]
    lines = []
    for subject, told in subjects:
        n = first(dossier.plan, measure=f"n_{kind}", subject=subject, field="")
        if n is None:
            lines.append(Line(f"Fewer than ten {whole} are logged {told} so far"))
        else:
            text = f"{numbers.count(n['estimate'])} {whole} are logged {told} so far, no topic ten times"
            lines.append(Line.of(stating(text, n)))
    return lines
