"""The command line: closedloop run | list | describe | check | self-test | backtest | diff | accept | ..."""

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from closedloop.errors import ClosedLoopError, LockedError, ParameterError, WriteError

# what a command needs is imported when it runs, so that --help answers at once
_HELP = "Closed Loop: marketing plans with what sales learned, sales works with what marketing researched."
_SETTING = "NAME=VALUE: set a parameter of the notebooks that have it; needs an --out of its own"
app = typer.Typer(help=_HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Market = Annotated[str, typer.Argument(help="the name of a folder under data/")]


def main() -> None:
    """Run the command line; an error that the user can mend is one line and exit code 2 (75: folder in use)."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # small fits wait for each other's threads longer than they compute
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # what a terminal cannot show is a question mark, and no end
    try:
        app()
    except ClosedLoopError as error:
        print(f"closedloop: {error}", file=sys.stderr)
        codes = {LockedError: 75, WriteError: 1}
        sys.exit(codes.get(type(error), 2))


@app.command()
def run(
    markets: Annotated[list[str] | None, typer.Argument(help="markets to run", show_default="harbor")] = None,
    period: Annotated[list[str] | None, typer.Option(help="only this period; may be given again")] = None,
    only: Annotated[list[str] | None, typer.Option(help="only this notebook; may be given again")] = None,
    workers: Annotated[int, typer.Option(min=0, help="runs at once; 0 is one for each core")] = 0,
    out: Annotated[Path | None, typer.Option(help="run folder", show_default="runs")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help=_SETTING)] = None,
    force: Annotated[bool, typer.Option("--force", help="run again what is still current")] = False,
    since_failure: Annotated[bool, typer.Option("--since-failure", help="only what did not succeed")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="tell what would run, and how long it takes")] = False,
    scheduler: Annotated[str, typer.Option(help="a Dask cluster to run on, like tcp://host:8786")] = "",
    cell_seconds: Annotated[float, typer.Option(min=1, help="limit of one cell")] = 900,
    run_seconds: Annotated[float, typer.Option(min=1, help="limit of one run")] = 3600,
    json: Annotated[bool, typer.Option("--json", help="events as JSON lines on standard output")] = False,
) -> None:
    """Run the loop: every period of the markets, every notebook, every playbook."""
    from json import dumps

    from rich.console import Console

    from closedloop.batch.desk import Request
    from closedloop.batch.ledger import Limits
    from closedloop.batch.progress import Bar, JsonLines, Lines, failures
    from closedloop.batch.run import run
    from closedloop.market.definition import read_definition
    from closedloop.market.files import runs_folder

    names = list(dict.fromkeys(markets or ["harbor"]))
    for name in names:
        read_definition(name)
    folder = (out or runs_folder()).resolve()
    request = Request(
        *(names, period or (), _settings(settings or []), folder, workers, force, only or (), since_failure),
        limits=Limits(cell_seconds=cell_seconds, run_seconds=run_seconds),
        scheduler=scheduler,
    )
    if dry_run:
        from closedloop.batch.desk import forecast

        found = forecast(request)
        print(dumps(found.as_json()) if json else found.as_text())
        return
    console = Console(stderr=True)
    summary = run(request, JsonLines() if json else Bar(console) if console.is_terminal else Lines())
    if summary.bad:
        failures(console, summary.bad, folder)
    else:
        console.print(f"open {summary.index}", soft_wrap=True, highlight=False)
    raise typer.Exit(summary.exit_code)


def _settings(pairs: list[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if not pair.partition("=")[0] or "=" not in pair]
    if wrong:
        raise ParameterError(f"--set {wrong[0]!r} is no setting; allowed: NAME=VALUE")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


@app.command("list")
def list_() -> None:
    """List markets and notebooks."""
    from rich.console import Console
    from rich.table import Table

    from closedloop.market.definition import markets, read_definition
    from closedloop.workbench.notebooks import notebooks

    known = Table("market", "title", "periods", "licence", title="Markets", title_justify="left")
    unread = []
    for name in markets():
        try:
            definition = read_definition(name)
        except ClosedLoopError as error:
            unread.append(f"{name} cannot be read: {error}")
            continue
        turns = definition.periods
        periods = f"from {turns.first}, by {turns.length}" if turns else "one, without dates"
        known.add_row(name, definition.title, periods, definition.licence)
    asked = Table("notebook", "question", title="Notebooks", title_justify="left")
    for notebook in notebooks().values():
        asked.add_row(notebook.name, notebook.question)
    console = Console()
    console.print(known, markup=False)
    for line in unread:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(asked, markup=False)


@app.command()
def describe(notebook: Annotated[str, typer.Argument(help="like 05_deals, or: market")] = "") -> None:
    """Say what a notebook asks, reads, writes, and which parameters it takes; of market, what market.toml may say."""
    if notebook == "market":
        from closedloop.market.reference import reference

        print(reference())
        return
    from closedloop.workbench.notebooks import find_notebook, notebooks

    for found in [find_notebook(notebook)] if notebook else notebooks().values():
        print(found.title)
        for label, text in (("question", found.question), ("reads", found.reads), ("writes", found.writes)):
            print(f"  {label:<9} {text or 'not said in its first cell'}")
        print("  parameters")
        for parameter in found.parameters:
            print(f"    {parameter.name}: {parameter.type} = {parameter.default!r}  # {parameter.help}")


@app.command()
def check(
    market: Annotated[str, typer.Argument(help="the market to check")] = "harbor",
    json: Annotated[bool, typer.Option("--json", help="one JSON document on standard output")] = False,
    page: Annotated[Path | None, typer.Option(help="write the audit page into this file, too")] = None,
    accept_loss: Annotated[bool, typer.Option("--accept-loss", help="files hold far less, rightly")] = False,
) -> None:
    """Check the notebooks and a market's data before anything is claimed.

    Exit code 0: nothing to mend; 1: something looks wrong; 3: the market cannot run.
    """
    from json import dumps

    from closedloop.batch.progress import telling
    from closedloop.validation.checking import check

    with telling(f"{market}: reading its raw files") as tell:
        found = check(market, tell, may_shrink=accept_loss)
    if page and found.page:
        page.write_text(found.page, "utf-8")
    print(dumps(found.document, indent=1, default=str) if json else found.text)
    raise typer.Exit(found.exit_code)


@app.command()
def new(
    market: Annotated[str, typer.Argument(help="the name of the new market")],
    place: Annotated[str, typer.Option("--from", help="a file or folder of exports, or postgresql://...")],
    answers: Annotated[Path | None, typer.Option(help="a file with the answers")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="take the answers that are sure, and ask nothing")] = False,
    currency: Annotated[
        str, typer.Option(help="the market's, like EUR", show_default="that of most amounts, or asked")
    ] = "",
    timezone: Annotated[
        str, typer.Option(help="where days are counted, like Europe/Berlin", show_default="asked")
    ] = "",
) -> None:
    """Look at the exports of a CRM, a survey or advertising, ask at most five questions, and write a market."""
    from rich.console import Console

    from closedloop.onboarding.asking import asking, summary
    from closedloop.onboarding.onboard import answers_of, onboard

    console = Console(highlight=False, soft_wrap=True)
    ask = asking(console, answers_of(answers) if answers else {}, is_silent=yes or answers is not None)
    found = onboard(market, place, currency=currency, timezone=timezone, ask=ask, note=console.print)
    console.print(summary(market, found), markup=False)


@app.command("self-test")
def self_test_(
    market: Market,
    worlds: Annotated[int, typer.Option(help="how often the outcomes are shuffled")] = 200,
    learned: Annotated[int, typer.Option(min=0, help="worlds in which scores and duels are made again; slow")] = 10,
    workers: Annotated[int, typer.Option(min=0, help="processes at once; 0 is one for each core")] = 0,
    notebook: Annotated[Path | None, typer.Option(help="a notebook of one's own, in place of all", exists=True)] = None,
    out: Annotated[Path | None, typer.Option(help="run folder", show_default="runs")] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON document on standard output")] = False,
) -> None:
    """Shuffle a market's outcomes: what would the loop claim if nothing made a difference, and what would it miss?"""
    from json import dumps

    from closedloop.batch.progress import telling
    from closedloop.market.definition import read_definition
    from closedloop.market.files import runs_folder
    from closedloop.validation.self_test import in_words, self_test

    read_definition(market)
    print(f"{market}: looking at {worlds} shuffled worlds; large markets take some minutes ...", file=sys.stderr)
    with telling(f"{market}: reading its data, and what is compared in each period") as tell:
        own, place = [notebook] if notebook else [], (out or runs_folder()).resolve()
        report = self_test(market, place, worlds, workers, n_learned=learned, notebooks=own, tell=tell)
    print(dumps(report, indent=1) if json else in_words(report))


@app.command("backtest")
def backtest_(
    market: Market,
    capacity: Annotated[float, typer.Option(help="share of the deals that could be worked")] = 1 / 3,
    out: Annotated[Path | None, typer.Option(help="run folder", show_default="runs")] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON document on standard output")] = False,
) -> None:
    """Replay all periods: would the loop have predicted the deals better than static personas, or none?"""
    from json import dumps

    from closedloop.batch.progress import telling
    from closedloop.market.definition import read_definition
    from closedloop.market.files import runs_folder
    from closedloop.validation.backtest import backtest, in_words

    read_definition(market)
    with telling(f"{market}: reading its data") as tell:
        report = backtest(market, (out or runs_folder()).resolve(), capacity, tell=tell)
    print(dumps(report, indent=1) if json else in_words(report))


@app.command()
def dictionary(
    check: Annotated[bool, typer.Option("--check", help="write nothing; exit 1 when it is not current")] = False,
) -> None:
    """Write the data dictionary and the reference of market.toml into data/README.md, below what people keep there."""
    from closedloop.market.contract import dictionary as described
    from closedloop.market.files import data_folder, write_atomic
    from closedloop.market.reference import reference

    path, marker = data_folder() / "README.md", "<!-- generated: closedloop dictionary -->"
    current = path.read_text("utf-8") if path.exists() else "# Data\n\n"
    head = current.partition(marker)[0].rstrip()
    wanted = f"{head}\n\n{marker}\n\n{described().strip()}\n\n## market.toml\n\n{reference().strip()}\n"
    if check and wanted != current:
        print(f"{path} is not current; run `closedloop dictionary`", file=sys.stderr)
        raise typer.Exit(1)
    if not check:
        write_atomic(path, wanted.encode())
        print(f"wrote {path}")


@app.command()
def accept(
    market: Market,
    period: Annotated[str, typer.Argument(help="the period whose proposal is accepted")],
    out: Annotated[Path | None, typer.Option(help="run folder", show_default="runs")] = None,
) -> None:
    """Put the persona set that a period's refinement proposes into force for the next period."""
    from closedloop.market.definition import check_slug, read_definition
    from closedloop.market.files import runs_folder, write_atomic
    from closedloop.personas.changes import proposed_period

    definition = read_definition(market)
    source = (out or runs_folder()) / market / check_slug("period", period) / "proposal.yml"
    target = definition.folder / "personas" / f"{proposed_period(source)}.yml"
    write_atomic(target, source.read_bytes())
    print(f"wrote {target}")


@app.command()
def diff(
    market: Market,
    before: Annotated[str, typer.Argument(help="a period of the market")],
    after: Annotated[str, typer.Argument(help="another period, usually a later one")],
    out: Annotated[Path | None, typer.Option(help="run folder", show_default="runs")] = None,
) -> None:
    """Tell what differs between the personas in force in two periods, and which claims stand behind it.

    What a run has left is compared; nothing is made.
    """
    from closedloop.market.definition import read_definition
    from closedloop.market.files import runs_folder
    from closedloop.market.periods import find_period
    from closedloop.market.warehouse import open_warehouse
    from closedloop.presentation.persona_words import diff as told
    from closedloop.presentation.persona_words import known_sizes, words_for
    from closedloop.workbench.cells import standing_set

    definition, folder = read_definition(market), (out or runs_folder()).resolve()
    periods = open_warehouse(market).periods
    names = [find_period(periods, name).name for name in (before, after)]
    found = {name: standing_set(market, name, folder) for name in names}
    for _, late in found.values():
        if late:
            print(late)
    old, new = (found[name][0] for name in names)
    words = words_for(definition, old, new)
    print(told(old, new, words, [known_sizes(folder / market / name) for name in names]))


if __name__ == "__main__":
    main()
