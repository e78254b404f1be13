"""The vocabulary: closed lists that data, code and documents share."""

from enum import IntEnum, StrEnum

OUTCOMES = ("won", "lost", "no_decision", "open")
LEAD_STATUSES = (
    "inquiry",
    "marketing_qualified",
    "sales_accepted",
    "sales_qualified",
    "recycled",
    "disqualified",
)
LOSS_REASONS = (
    "price",
    "budget",
    "timing",
    "no_need",
    "product_gap",
    "competitor",
    "internal_solution",
    "trust",
    "no_response",
    "other",
)
TEAMS = ("marketing", "sales")
NOTE_AUTHORS = ("marketing", "sales", "buyer")
DIRECTIONS = ("inbound", "outbound")
NOTE_KINDS = ("objection", "pain", "trigger", "question", "loss", "rejection", "feedback", "other")
MATERIAL_KINDS = (
    "value_proposition",
    "message",
    "proof",
    "question",
    "answer",
    "offer",
    "asset",
    "disqualifier",
    "limit",
    "exit_criterion",
)
LENGTHS = ("month", "quarter", "half", "year")
NO_COMPETITOR = ("none", "unnamed")
OWN_DOING = ("campaign", "experiment", "arm", "arm_rate", "channel", "product", "first_touch")  # says nobody is who
NO_DECISION = "no_decision"
REJECTED_UNTOUCHED = "rejected without a touch by sales before"  # leads on which the teams disagree
ACCEPTED_UNTOUCHED = "accepted, yet not touched by sales so far"


class Moment(IntEnum):
    """When a column is known, in the order of a customer's way through both teams."""

    RESEARCH = 0
    CREATION = 1
    HANDOFF = 2
    STAGE = 3
    CLOSE = 4

    @classmethod
    def named(cls, name: str) -> "Moment":
        """The moment called ``name`` in market.toml; ``close+90`` is a close."""
        return cls[name.split("+")[0].upper()]


class Verdict(StrEnum):
    """How much the data support a finding (METHODS 1)."""

    SUPPORTED = "supported"
    LEANING = "leaning"
    INDISTINGUISHABLE = "indistinguishable"
    REFUSED = "refused"
    ESTIMATED = "estimated"
    COUNTED = "counted"


class Status(StrEnum):
    """How a run of a notebook ended."""

    OK = "ok"
    OK_WITH_WARNINGS = "ok_with_warnings"
    FAILED = "failed"
    DIED = "died"
    TIMED_OUT = "timed_out"
    START_FAILED = "start_failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    CACHED = "cached"


RARE = "\0rare"  # a level too seldom recorded to be compared; no text of a source is this, and NumPy keeps all of it
