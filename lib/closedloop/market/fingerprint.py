"""What the canonical tables of a market depend on, as one fingerprint that is quick to take."""

import hashlib
from functools import cache
from pathlib import Path

from closedloop import terms
from closedloop.market import sources
from closedloop.market.definition import Definition


def fingerprint(definition: Definition) -> str:
    """Of the definition, the raw files, this room's code, and the lists: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted([*definition.folder.glob("*.toml"), *definition.folder.glob("*.sql")]):
        digest.update(path.name.encode() + path.read_bytes())
    for name, source in definition.sources.items():
        path = sources.fetch(definition, name)  # which has checked it against the digest, if that is declared
        digest.update((source.sha256 or sources.sha256_of(path)).encode())
    return hashlib.sha256(digest.digest() + own_code()).hexdigest()


@cache
def own_code() -> bytes:
    """Digest of the code that makes canonical tables, as this process found it first."""
    digest = hashlib.sha256()
    for path in [Path(terms.__file__), *sorted(Path(__file__).parent.glob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.digest()
