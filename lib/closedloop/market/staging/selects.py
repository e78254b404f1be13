"""Selects, followed back to the raw files: where they read text as a number, a flag or a date, and of which rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlglot import TokenType, exp, parse_one, tokenize
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

from closedloop.market.reading.values import WORDS

_DIALECT = "duckdb"
_RAW, _OTHER = "raw", "main"  # schemas: of raw files; of canonical tables and helpers
_TIME_FORMATS = ("strptime", "try_strptime")
_TYPES = {
    exp.DataType.Type.DATE: ("a date", "2024-03-31"),
    exp.DataType.Type.TIMESTAMP: ("a time", "2024-03-31 14:05"),
    exp.DataType.Type.BOOLEAN: ("a flag", "true, false"),
    **dict.fromkeys(exp.DataType.INTEGER_TYPES, ("a whole number", "12")),
    **dict.fromkeys(exp.DataType.REAL_TYPES, ("a number", "12.5")),
}
CONVERTED = ("an amount in the market's currency", "a currency and month that are in rates.csv")
_NO_TEXT_OF_A_ROW = (exp.AggFunc, exp.Window, exp.Query)


@dataclass(frozen=True)
class Reading:
    """One place where a select reads text of a raw file as something else; ``columns`` as the file's header has them.

    ``text`` and ``value`` are SQL over ``raw.<source>``: ``text`` is null where no case leads to the place, ``value``
    where the text cannot be read as ``kind``. ``is_hard``: there it stops the select; ``reader``: the kind of value
    that a function of ours reads.
    """

    source: str
    columns: tuple[str, ...]
    text: str
    value: str
    kind: str
    allowed: str
    is_hard: bool
    reader: str = ""

    @property
    def asked(self) -> str:
        """SQL condition: there is text to read."""
        return f"coalesce(trim(({self.text})::varchar), '') <> ''"


class Mark(NamedTuple):
    """By what a raw record is found in a result: SQL over ``raw.<source>``, and the ``column`` that holds it there."""

    source: str
    text: str
    column: str


class Select:
    """A select that is followed back to the raw files: through subqueries, common tables and helpers.

    ``raw`` and ``others`` name the columns of raw files, and of canonical tables and helpers. Raises sqlglot's errors
    for what it cannot follow.
    """

    def __init__(
        self,
        text: str,
        raw: Mapping[str, Sequence[str]],
        others: Mapping[str, Sequence[str]],
        helpers: Mapping[str, "Select"],
    ) -> None:
        self._text, self._helpers = text, helpers
        self._sources = {name.lower(): name for name in raw}
        self._names = {source.lower(): {name.lower(): name for name in names} for source, names in raw.items()}
        schema: dict[str, object] = {
            place: {table: dict.fromkeys(names, "varchar") for table, names in tables.items()}
            for place, tables in ((_RAW, raw), (_OTHER, others))
        }
        self._written = parse_one(text, dialect=_DIALECT)
        tree = qualify(self._written.copy(), dialect=_DIALECT, schema=schema, db=_OTHER, validate_qualify_columns=False)
        scope = build_scope(tree)
        if scope is None:
            raise ValueError("no select")
        self.scope = scope

    def readings(self) -> dict[str, list[Reading]]:
        """The readings that each column of the select rests on, by the column's name."""
        return {
            name: [reading for part in parts for reading in self._readings(*part, set())]
            for name, parts in _items(self.scope).items()
        }

    def hard_readings(self) -> list[Reading]:
        """The readings that may stop the select, wherever they stand in it."""
        found = [
            reading
            for scope in self.scope.traverse()
            for part in scope.expression.iter_expressions()
            for reading in self._readings(part, scope, set())
        ]
        return [reading for reading in dict.fromkeys(found) if reading.is_hard]

    def with_rows(self, key: str) -> tuple[str, str | None]:
        """The select with the column ``row_no`` and the raw file whose rows it numbers; None where there is no such.

        Of joined files it is the one that holds the ``key``, else the first.
        """
        top = self.scope.expression
        given = _items(self.scope).get("row_no")
        if given:
            found = self._over_raw(*given[0]) if len(given) == 1 else None
            return self._text, found[1] if found and [name.lower() for name in found[2]] == ["row_no"] else None
        first = top.args.get("from_")
        if first is None or top.args.get("group") or top.args.get("distinct"):
            return self._text, None
        columns = [column for part, _ in _items(self.scope).get(key, ()) for column in part.find_all(exp.Column)]
        of_key = {column.table for column in columns}
        for place in (*(of_key if len(of_key) == 1 else ()), first.this.alias_or_name):
            if found := self._origin(exp.column("row_no", place), self.scope):
                is_first = place == first.this.alias_or_name
                alias = self._written.args["from_"].this.alias_or_name if is_first else place
                return _with_column(self._text, f'"{alias}".row_no' if alias else "row_no"), found[1]
        return self._text, None

    def marks(self, key: str, source: str | None) -> list[Mark]:
        """By what raw records are found in the result: the number in the ``source`` of all rows, else the ``key``."""
        if source:
            return [Mark(source, "row_no", "row_no")]
        found = [self._over_raw(*part) for part in _items(self.scope).get(key, ())]
        return list(dict.fromkeys(Mark(one[1], one[0].sql(_DIALECT), key) for one in found if one))

    def with_joins(self, side: str, text: str = "") -> str:
        """A ``text`` of the select, helpers inside, with inner joins ``FULL`` or ``LEFT``: they keep every record."""
        tree = parse_one(text or self._text, dialect=_DIALECT)
        for join in tree.find_all(exp.Join):
            has_test = join.args.get("on") or join.args.get("using")
            is_inner = not join.side and join.kind in ("", "INNER") and has_test
            if (is_inner or join.side == "RIGHT") and not join.find_ancestor(exp.Where, exp.Having):
                join.set("side", side)
                join.set("kind", None)
        for table in list(tree.find_all(exp.Table)):
            helper = self._helpers.get(table.name.lower()) if not table.db else None
            if helper:
                inner = parse_one(helper.with_joins(side), dialect=_DIALECT)
                alias = exp.TableAlias(this=exp.to_identifier(table.alias_or_name))
                table.replace(exp.Subquery(this=inner, alias=alias))
        return tree.sql(_DIALECT)

    def _readings(self, expression: exp.Expr, scope: Scope, seen: set[tuple[int, str]]) -> Iterator[Reading]:
        """The readings that an expression rests on; those of another select through the columns that it names."""
        covered: set[int] = set()
        nodes = list(expression.walk(prune=lambda node: isinstance(node, exp.Query)))
        for node in nodes:
            reading = self._reading(node, scope)
            if reading:
                covered |= {id(column) for column in node.find_all(exp.Column)}
                yield reading
        for node in nodes:
            if isinstance(node, exp.Column) and id(node) not in covered and (id(scope), node.sql()) not in seen:
                seen.add((id(scope), node.sql()))
                for part in self._behind(node, scope):
                    yield from self._readings(*part, seen)

    def _reading(self, node: exp.Expr, scope: Scope) -> Reading | None:
        if isinstance(node, exp.Anonymous) and node.name.lower() == "in_currency" and len(node.expressions) == 3:
            return self._conversion(node, scope)
        kind, is_hard = _kind(node)
        text = node.this if isinstance(node, exp.Cast | exp.StrToTime) else next(iter(node.expressions), None)
        found = self._over_raw(text, scope) if kind and text is not None else None
        if not kind or found is None or any(_kind(inner)[0] for inner in found[0].walk()):
            return None
        raw, source, columns = found
        text, value = self._where_reached(node, raw, source, scope), _value(node, raw).sql(_DIALECT)
        return Reading(source, tuple(columns), text, value, *kind, is_hard, _reader(node))

    def _conversion(self, node: exp.Anonymous, scope: Scope) -> Reading | None:
        """An amount of another currency, which is missing where no rate is known."""
        amount, code, _ = (part.copy() for part in node.expressions)
        with_space = exp.DPipe(this=exp.cast(amount, "varchar"), expression=exp.Literal.string(" "))
        text = self._over_raw(exp.DPipe(this=with_space, expression=code), scope)
        value = self._over_raw(node.copy(), scope)
        if text is None or value is None or text[1] != value[1]:
            return None
        written = self._where_reached(node, text[0], text[1], scope)
        return Reading(text[1], tuple(text[2]), written, value[0].sql(_DIALECT), *CONVERTED, False)

    def _where_reached(self, node: exp.Expr, text: exp.Expr, source: str, scope: Scope) -> str:
        """The text where a case leads to the node, else null; a case of other files' columns is not followed."""
        tests = [self._over_raw(test, scope) for test in _tests_before(node)]
        known = [test[0].sql(_DIALECT) for test in tests if test and test[1] == source]
        return f"case when {' and '.join(known)} then {text.sql(_DIALECT)} end" if known else text.sql(_DIALECT)

    def _over_raw(self, expression: exp.Expr, scope: Scope) -> tuple[exp.Expr, str, list[str]] | None:
        """The expression over one raw file's row, that file, and its columns; None for any other expression."""
        if expression.find(*_NO_TEXT_OF_A_ROW):
            return None
        whole, sources, names = exp.paren(expression), set(), []
        for column in list(whole.find_all(exp.Column)):
            found = self._origin(column, scope)
            if found is None:
                return None
            column.replace(found[0])
            sources.add(found[1])
            names += [name for name in found[2] if name not in names]
        return (whole, sources.pop(), names) if len(sources) == 1 else None

    def _origin(self, column: exp.Column, scope: Scope) -> tuple[exp.Expr, str, list[str]] | None:
        place = scope.sources.get(column.table)
        if isinstance(place, exp.Table) and place.db == _RAW:
            source, wanted = place.name.lower(), column.name.lower()
            name = self._names.get(source, {}).get(wanted)
            return (exp.column(name, quoted=True), self._sources[source], [name]) if name else None
        behind = self._behind(column, scope)
        return self._over_raw(*behind[0]) if len(behind) == 1 else None

    def _behind(self, column: exp.Column, scope: Scope) -> list[tuple[exp.Expr, Scope]]:
        """What a column of another select is made of, in each of its branches."""
        place = scope.sources.get(column.table)
        if isinstance(place, exp.Table) and place.db != _RAW and place.name in self._helpers:
            place = self._helpers[place.name].scope
        return _items(place).get(column.name.lower(), []) if isinstance(place, Scope) else []


def _items(scope: Scope) -> dict[str, list[tuple[exp.Expr, Scope]]]:
    """What each column of a select is made of; of a union, in each of its branches."""
    branches = [scope]
    while any(branch.union_scopes for branch in branches):
        branches = [part for branch in branches for part in branch.union_scopes or [branch]]
    queries = [(branch.expression, branch) for branch in branches]
    rows = [[(item, branch) for item in query.selects] for query, branch in queries if isinstance(query, exp.Query)]
    names = [item.alias_or_name.lower() for item, _ in rows[0]] if rows else []
    rows = [[(item.unalias(), branch) for item, branch in row] for row in rows]
    return {name: list(parts) for name, *parts in zip(names, *rows, strict=False)}


def _kind(node: exp.Expr) -> tuple[tuple[str, str] | None, bool]:
    """What the node reads text as, with examples of what is allowed, and whether it stops at what it cannot read."""
    if isinstance(node, exp.Cast):
        return _TYPES.get(node.to.this), not isinstance(node, exp.TryCast)
    if isinstance(node, exp.StrToTime):
        return ("a date", f"written as {node.args['format'].sql(_DIALECT)}"), True
    if isinstance(node, exp.Anonymous):
        name = node.name.lower()
        if name in _TIME_FORMATS and len(node.expressions) == 2:
            return ("a date", f"written as {node.expressions[1].sql(_DIALECT)}"), name == "strptime"
        return WORDS.get(_reader(node)), False
    return None, False


def _tests_before(node: exp.Expr) -> Iterator[exp.Expr]:
    """What has to hold for the cases around a node to lead to it."""
    while (parent := node.parent) is not None and not isinstance(node, exp.Query):
        case = parent.parent if isinstance(parent, exp.If) and isinstance(parent.parent, exp.Case) else parent
        if isinstance(case, exp.Case):
            ifs = case.args["ifs"]
            own = [exp.EQ(this=case.this.copy(), expression=one.this.copy()) if case.this else one.this for one in ifs]
            place = ifs.index(parent) if parent in ifs else len(ifs) if node.arg_key == "default" else 0
            yield from (_negated(test) for test in own[:place])
            if parent is not case and node.arg_key == "true":
                yield own[place].copy()
        elif isinstance(parent, exp.If) and node.arg_key in ("true", "false"):
            yield parent.this.copy() if node.arg_key == "true" else _negated(parent.this)
        node = case


def _negated(test: exp.Expr) -> exp.Expr:
    """It does not hold, or nobody knows."""
    return exp.Not(this=exp.Is(this=exp.paren(test.copy()), expression=exp.true()))


def _reader(node: exp.Expr) -> str:
    """The kind of value that a call of ``as_<kind>`` reads; empty for another expression."""
    name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
    return name.partition("__")[0].removeprefix("as_") if name.startswith("as_") else ""


def _value(node: exp.Expr, text: exp.Expr) -> exp.Expr:
    """The reading of ``text``, null instead of an error."""
    if isinstance(node, exp.Cast):
        return exp.TryCast(this=text, to=node.to.copy())
    if isinstance(node, exp.StrToTime):
        return exp.Anonymous(this="try_strptime", expressions=[text, node.args["format"].copy()])
    name = "try_strptime" if node.name.lower() in _TIME_FORMATS else node.name
    return exp.Anonymous(this=name, expressions=[text, *(part.copy() for part in node.expressions[1:])])


def _with_column(text: str, column: str) -> str:
    """A select with one more column at its end."""
    depth, before, place = 0, None, None
    for token in tokenize(text, dialect=_DIALECT):
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        if depth == 0 and token.token_type == TokenType.SELECT:
            place = None
        elif depth == 0 and place is None and token.token_type == TokenType.FROM and before != TokenType.DISTINCT:
            place = token.start if before != TokenType.COMMA else None
        before = token.token_type
    return text if place is None else f"{text[:place]}, {column} as row_no {text[place:]}"
