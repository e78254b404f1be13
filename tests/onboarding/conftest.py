"""A project without markets, a place for exports, and the steps of onboarding."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from closedloop.errors import ParameterError
from closedloop.market.definition import read_definition
from closedloop.market.staging.ladder import Ladder
from closedloop.market.warehouse import open_warehouse
from closedloop.onboarding.asking import asking
from closedloop.onboarding.onboard import Onboarded, answers_of, onboard
from closedloop.onboarding.question import ORDER, Question
from rich.console import Console

from tests.market.conftest import project_at
from tests.onboarding.exports import Market

QUIET = Console(quiet=True)
USUAL = {ORDER, "year_starts", "currency"}  # what nearly every market is asked


@pytest.fixture(scope="module")
def truth() -> Market:
    """The bundled market's tables, gaps as None."""
    frames = [open_warehouse("harbor").frame(name).astype(object) for name in Market.__annotations__]
    return Market(*(frame.where(frame.notna(), None) for frame in frames))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's folder without markets, with a place for exports; the working folder is its own."""
    (tmp_path / "exports").mkdir()
    monkeypatch.chdir(tmp_path)
    with project_at(tmp_path) as found:
        (found / "data").mkdir()
        yield found


def begun(
    place: Path | str,
    market: str = "ours",
    answers: dict[str, Any] | None = None,
    *,
    usual: Collection[str] = USUAL,
    **more: Any,
) -> Onboarded:
    """As somebody does who takes what is sure, and what is ``usual`` as it is proposed."""
    asked = asking(QUIET, answers or {}, is_silent=True)

    def ask(question: Question) -> Question:
        found = asked(question)
        taken = [{row.get("column"), row.get("setting")} & {*usual} for row in found.rows]
        return replace(found, safe=tuple(s or bool(own) for s, own in zip(found.safe, taken, strict=True)))

    settings = {"currency": "", "timezone": "Europe/Amsterdam", "note": lambda _: None} | more
    return onboard(market, str(place), ask=ask, **settings)


def answered(place: Path | str, market: str = "ours", **more: Any) -> Onboarded:
    """As somebody does who looks through what is proposed, finds it right, and gives it back."""
    try:
        return begun(place, market, **more)
    except ParameterError as error:
        path = Path(f"{market}-answers.toml")
        assert f"answers are not sure; {path} holds the questions" in str(error)
        return begun(place, market, answers=answers_of(path), **more)


def climbed(market: str = "ours") -> Ladder:
    read_definition.cache_clear()
    ladder = Ladder(read_definition(market))
    ladder.climb()
    return ladder
