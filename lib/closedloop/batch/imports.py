"""Imports without a library that another one asks for and nobody here needs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(name: str) -> Iterator[None]:
    """What is imported meanwhile finds no library ``name``; afterwards it can be imported as ever."""
    if sys.modules.setdefault(name, None) is not None:  # type: ignore[arg-type]
        yield  # it is there already
        return
    try:
        yield
    finally:
        sys.modules.pop(name, None)
