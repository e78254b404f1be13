"""What can go wrong, in the product's own words: found, allowed, where to fix it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

Choice = TypeVar("Choice")


class ClosedLoopError(Exception):
    """Something that the user can mend; the message says what, and where."""


class DefinitionError(ClosedLoopError):
    """A market's definition (market.toml or a select) cannot be used."""


class SourceError(ClosedLoopError):
    """A raw file is missing, altered, or cannot be fetched."""


class ContractError(ClosedLoopError):
    """A canonical table breaks the data contract in a way that stops the loop."""


class ParameterError(ClosedLoopError):
    """A parameter is unknown, of the wrong type, or has a value that does not exist."""


class Problems:
    """What is wrong with several parts, told at once at the end of ``with``; each part is done within ``of``."""

    def __init__(self) -> None:
        self._found: list[ClosedLoopError] = []
        self._failed: list[str] = []

    def __enter__(self) -> "Problems":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._found:
            first = self._found[0]
            raise first if len(self._found) == 1 else type(first)("\n".join(map(str, self._found)))

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Go on where this part fails; what fails only for want of another part is not told."""
        try:
            yield
        except (DefinitionError, SourceError, ContractError) as error:
            if not any(f"{other} does not exist" in str(error) for other in self._failed):
                self._found.append(error)
            self._failed.append(name)


class LockedError(ClosedLoopError):
    """Another runner works in the same run folder."""


class WriteError(ClosedLoopError):
    """A file could not be written: the disk is full, or may not be written to."""


def allowed(values: Iterable[object], limit: int = 20) -> str:
    """A readable list of what is allowed, cut after ``limit`` values."""
    names = [str(value) for value in values]
    shown = ", ".join(names[:limit]) or "nothing"
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def choice(name: str, value: str, choices: Mapping[str, Choice]) -> Choice:
    """What the parameter ``name`` stands for with this value; errors: ParameterError for one that does not exist."""
    if value not in choices:
        raise ParameterError(f"{name} = {value!r} does not exist; allowed: {allowed(choices)}")
    return choices[value]
