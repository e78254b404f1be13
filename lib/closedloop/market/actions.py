"""What was done to rows and cells on the way to canonical tables: how often, in which lines, with which values."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from closedloop.errors import allowed

EMAIL = r"[^@\s]+@[^@\s]+\.[a-zA-Z]{2,}"
TELEPHONE = r"(^|[\s:])(\+|00)[1-9][0-9 ().\-]{7,}[0-9]|\(?\b[0-9]{3}\)?[ .\-][0-9]{3}[ .\-][0-9]{4}\b"
COLUMNS = ("table", "action", "reason", "column", "n", "values", "allowed", "file", "lines")
_MOST_SHOWN = 5
_LONGEST = 60
Action = dict[str, Any]


class Actions(list[Action]):
    """Actions in the order in which they were taken, with the keys COLUMNS; without a file ``lines`` are rows."""

    def __init__(self, is_strict: bool) -> None:
        super().__init__()
        self._is_strict = is_strict

    def note(
        self,
        table: str,
        action: str,
        reason: str,
        column: str = "",
        *,
        lines: Sequence[int] = (),
        values: Iterable[object] = (),
        allowed: str = "",
        file: str = "",
        n: int | None = None,
    ) -> None:
        """Add one action; ``n`` is the number of lines where it is not given."""
        count = len(lines) if n is None else n
        shown = (table, action, reason, column, count, self._shown(values), allowed, file, _first(lines))
        self.append(dict(zip(COLUMNS, shown, strict=True)))

    def _shown(self, values: Iterable[object]) -> str:
        """The most frequent values with their counts, e-mail addresses and telephone numbers left out."""
        counts = Counter(self._plain(str(value)) for value in values).most_common()
        named = [f"{value} ({n} times)" if n > 1 else value for value, n in counts]
        return allowed(named, _MOST_SHOWN) if named else ""

    def _plain(self, value: str) -> str:
        for pattern, name in ((EMAIL, "an e-mail address"), (TELEPHONE, "a telephone number")):
            if self._is_strict and re.search(pattern, value):
                return f"(like {name})"
        return f"'{value[:_LONGEST]}…'" if len(value) > _LONGEST else f"'{value}'"


def _first(lines: Sequence[int]) -> str:
    return allowed(sorted(lines), _MOST_SHOWN) if lines else ""


def told(action: Mapping[Any, Any]) -> str:
    """One action as a line that a person reads."""
    columns = [name for name in action["column"].split(", ") if name and name not in action["reason"]]
    place = ".".join([action["table"], *columns]) if len(columns) < 2 else action["table"]
    about = f" ({action['column']})" if len(columns) > 1 else ""
    n = f"{action['n']:,} time{'s' * (action['n'] != 1)}"
    parts = [f"{action['action']}, {n}: {place} {action['reason']}{about}"]
    parts += [f"found {action['values']}"] if action["values"] else []
    parts += [f"allowed: {action['allowed']}"] if action["allowed"] else []
    if action["lines"]:
        kind = f"{action['file']}, line" if action["file"] else "row of the select"
        parts.append(f"{kind}{'s' * (action['n'] != 1) if action['file'] else ''} {action['lines']}")
    return "; ".join(parts)
