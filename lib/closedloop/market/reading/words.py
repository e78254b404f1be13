"""The words of ``words.toml``, read once."""

import tomllib
from functools import cache
from pathlib import Path

Words = dict[str, list[str]]


@cache
def words(part: str) -> Words:
    """One part of the file: what is meant, and how it is written, in small letters."""
    with Path(__file__).with_name("words.toml").open("rb") as file:
        found: Words = tomllib.load(file)[part]
    return found


@cache
def meanings(part: str) -> dict[str, str]:
    """The same the other way round: what each text means."""
    return {text: meant for meant, texts in words(part).items() for text in texts}
