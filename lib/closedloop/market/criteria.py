"""What a segment has to be before anybody aims at it: the criteria of a market, and how much each counts."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from closedloop.errors import allowed

_STRICT = ConfigDict(extra="forbid", frozen=True)
Weight = Annotated[float, Field(ge=0)]


class Weights(BaseModel):
    """How much each criterion of one axis counts; what a market does not name does not count."""

    model_config = _STRICT

    @model_validator(mode="after")
    def _any(self) -> "Weights":
        if not any(self.counted.values()):
            raise ValueError(f"one weight above 0 is needed; allowed: {allowed(type(self).model_fields)}")
        return self

    @property
    def counted(self) -> dict[str, float]:
        """The criteria that count, with their weights."""
        return {name: float(weight) for name, weight in self if weight > 0}


class Attractiveness(Weights):
    """What makes a segment worth having: its size, growth and amounts, and whether the offer serves its needs.

    ``won_amount_per_decided``, win rate times amount, may stand for ``won_amount`` here and ``win_rate`` in strength.
    """

    size: Weight = 0
    growth: Weight = 0
    won_amount: Weight = 0
    won_amount_per_decided: Weight = 0
    needs_served: Weight = 0


class Strength(Weights):
    """What makes us able to win a segment: deals won, time to win one, and texts ready for its needs."""

    win_rate: Weight = 0
    sales_cycle: Weight = 0
    materials_ready: Weight = 0


class Criteria(BaseModel):
    """What a segment has to be before anybody aims at it; set before the data are cut.

    ``smallest_share`` of the market and ``smallest_accounts`` (known ones) that are worth it; ``least_stability``: how
    surely the segment has to be found again; ``least_recognised``: share of its members that the personas' rule finds.
    """

    model_config = _STRICT

    smallest_share: float = Field(0.05, ge=0, lt=1)
    smallest_accounts: int = Field(0, ge=0)
    least_stability: float = Field(0.75, ge=0, le=1)
    least_recognised: float = Field(0.5, ge=0, le=1)
    attractiveness: Attractiveness = Attractiveness(size=1, growth=1, won_amount=1, needs_served=1)
    strength: Strength = Strength(win_rate=1, sales_cycle=1, materials_ready=1)
