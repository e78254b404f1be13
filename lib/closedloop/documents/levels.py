"""How the levels of fields are written for people: as they are recorded, so that different ones never read the same."""

import hashlib
import re
from types import MappingProxyType

_LONGEST, _MARK = 60, 4
_CODE = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+")
_UNSEEN = re.compile(r"^\s+|\s+$|\s{2,}|[\n\r\t\xa0]")
_SEEN = MappingProxyType({" ": "␣", "\xa0": "␣", "\n": "↵", "\r": "↵", "\t": "⇥"})


def as_written(level: str) -> str:
    """A level's own text: a code with blanks, blanks that nobody would see made visible, and a long text cut.

    A cut text bears a mark of its whole, so that two that begin alike stay two.
    """
    text = level.replace("_", " ") if _CODE.fullmatch(level) else level
    text = _UNSEEN.sub(lambda found: "".join(_SEEN.get(sign, sign) for sign in found[0]), text)
    if len(text) <= _LONGEST:
        return text
    mark = hashlib.sha256(level.encode()).hexdigest()[:_MARK]
    return f"{text[: _LONGEST - _MARK - 4].rstrip()}… [{mark}]"
