"""What happens to exports on their way: twenty kinds of damage to a file's text, each at a place of its own."""

from collections.abc import Callable

Damage = Callable[[str, int], bytes]
_NEXT = '","'


def _lines(text: str, at: int, change: Callable[[str], str]) -> bytes:
    """The text with one line changed."""
    lines = text.split("\r\n")
    lines[at] = change(lines[at])
    return "\r\n".join(lines).encode()


def _cell(text: str, at: int, change: Callable[[str], str], holds: Callable[[str], bool]) -> bytes:
    """The text with the first cell that ``holds`` of a line changed."""

    def changed(line: str) -> str:
        cells = line[1:-1].split('","')
        place = next((i for i, cell in enumerate(cells) if holds(cell)), 0)
        cells[place] = change(cells[place])
        return '"' + '","'.join(cells) + '"'

    return _lines(text, at, changed)


def _is_amount(cell: str) -> bool:
    return cell.endswith(".00") or (cell[:1].isdigit() and "." in cell)


def _is_day(cell: str) -> bool:
    return len(cell) == 10 and cell[4:5] == "-" == cell[7:8]


DAMAGES: dict[str, Damage] = {
    "a stray quote": lambda text, at: _lines(text, at, lambda line: line.replace('","', ',"', 1)),
    "an unclosed quote": lambda text, at: _lines(text, at, lambda line: line[:-1]),
    "text behind a quote": lambda text, at: _lines(text, at, lambda line: line.replace('","', '"x","', 1)),
    "a cell too few": lambda text, at: _lines(text, at, lambda line: line.rpartition(',"')[0]),
    "a cell too many": lambda text, at: _lines(text, at, lambda line: f'{line},"more"'),
    "a line cut in two": lambda text, at: _lines(text, at, lambda line: line.replace('","', '"\r\n,"', 1)),
    "a blank line": lambda text, at: _lines(text, at, lambda line: f"\r\n{line}"),
    "a line of commas": lambda text, at: _lines(text, at, lambda line: "," * line.count(_NEXT) + f"\r\n{line}"),
    "the header again": lambda text, at: _lines(text, at, lambda line: text.split("\r\n")[0] + f"\r\n{line}"),
    "a row of sums": lambda text, at: _lines(
        text, at, lambda line: '"Total"' + ',""' * line.count(_NEXT) + f"\r\n{line}"
    ),
    "a line twice": lambda text, at: _lines(text, at, lambda line: f"{line}\r\n{line}"),
    "a typo in an amount": lambda text, at: _cell(text, at, lambda cell: cell.replace("0", "o", 1), _is_amount),
    "another currency": lambda text, at: _cell(text, at, lambda cell: f"JPY {cell}", _is_amount),
    "a note beside an amount": lambda text, at: _cell(text, at, lambda cell: f"{cell} approx", _is_amount),
    "a word for a day": lambda text, at: _cell(text, at, lambda _: "soon", _is_day),
    "a day that is none": lambda text, at: _cell(text, at, lambda cell: f"{cell[:5]}13-45", _is_day),
    "a lost first byte": lambda text, at: _cell(text, at, lambda cell: cell[1:], _is_day),
    "a wrong encoding": lambda text, at: _lines(text, at, lambda line: line.replace("Owner", "Öwner")).replace(
        "Öwner".encode(), "Öwner".encode("cp1252")
    ),
    "a NUL": lambda text, at: _lines(text, at, lambda line: line.replace("Owner", "Ow\0ner")),
    "a cut end": lambda text, at: "\r\n".join(text.split("\r\n")[: at + 1]).encode()[:-9],
}
