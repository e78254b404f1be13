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
        if sys.modules.get(name, sys) is None:  # another thread may have ended first, and a third imported it
            del sys.modules[name]
