"""A notebook's process that dies, hangs, is late or talks too much; and that it gives an ordinary kernel's bytes."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from closedloop.batch import perform
from closedloop.batch.ledger import Limits, Trace
from closedloop.batch.plan import Job
from closedloop.batch.runner.engine import execute
from closedloop.batch.runner.parent import ENVIRONMENT, NoFork, Parent
from closedloop.errors import ClosedLoopError
from closedloop.terms import Status
from papermill.execute import execute_notebook

from .conftest import Project, orphans

Source = Callable[..., Path]
SHOWN = "display({'application/vnd.closedloop.results+json': {%s}}, raw=True)"


def states(execution: Trace) -> list[str]:
    """How far each code cell came, the parameters first."""
    return [cell.metadata["closedloop"]["state"] for cell in execution.notebook.cells if cell.cell_type == "code"]


def texts(execution: Trace) -> str:
    """All that the cells printed."""
    outputs = [output for cell in execution.notebook.cells for output in cell.get("outputs", [])]
    return "".join("".join(output.get("text", "")) for output in outputs)


BAD_ENDS = {
    "error": ("1/0", Status.FAILED, "cell 5: ZeroDivisionError: division by zero"),
    "display": (
        "class A:\n    def __repr__(self):\n        return 1 / 0\nA()",
        Status.FAILED,
        "cell 5: ZeroDivisionError: division by zero",
    ),
    "exit": ("raise SystemExit(0)", Status.FAILED, "cell 5: SystemExit: 0"),
    "sys.exit": ("import sys; sys.exit(3)", Status.FAILED, "cell 5: SystemExit: 3"),
    "killed": (
        "import os; os.kill(os.getpid(), 9)",
        Status.DIED,
        "cell 5: the process died (SIGKILL, often for lack of memory)",
    ),
    "fault": ("import os; os.kill(os.getpid(), 11)", Status.DIED, "cell 5: the process died (SIGSEGV)"),
    "gone": ("import os; os._exit(7)", Status.DIED, "cell 5: the process died"),
    "memory": (
        "import resource\nused = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**26,) * 2); x = bytearray(2**31)",
        Status.FAILED,
        "cell 5: MemoryError",
    ),
    "late": (
        "print('begun'); import time; time.sleep(60)",
        Status.TIMED_OUT,
        "cell 5: still running after the cell's limit of 1.5 seconds",
    ),
    "deaf": (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)",
        Status.TIMED_OUT,
        "cell 5: still running after the cell's limit of 1.5 seconds",
    ),
}


@pytest.mark.parametrize("is_forked", [True, False], ids=["forked", "ordinary"])
@pytest.mark.parametrize("end", BAD_ENDS)
def test_a_bad_end_is_told_truly(source: Source, parent: Parent, end: str, is_forked: bool) -> None:
    cell, status, cause = BAD_ENDS[end]
    path = source("print('before')", cell, "print('later')")
    limits = Limits(cell_seconds=1.5) if end in ("late", "deaf") else Limits(cell_seconds=60)
    ended = execute(path, {"market": "m"}, limits, parent if is_forked else None)
    assert (ended.status, ended.cause) == (status, cause)
    assert states(ended) == ["completed", "completed", "completed", "failed", "pending"]
    assert ended.notebook.metadata["closedloop"]["status"] == str(status)
    assert "before" in texts(ended)
    assert "later" not in texts(ended)
    assert ended.peak_mb is not None and ended.peak_mb > 10
    if end == "late":
        assert "begun" in texts(ended)  # what was said before the limit is kept
        assert ended.notebook.cells[4].outputs[-1].ename == "KeyboardInterrupt"


def test_a_notebook_has_a_limit_of_its_own(source: Source, parent: Parent) -> None:
    path = source(*["import time; time.sleep(0.6)"] * 5)
    ended = execute(path, {}, Limits(run_seconds=1.5), parent)
    assert ended.status is Status.TIMED_OUT
    assert ended.cause.endswith("still running after the notebook's limit of 1.5 seconds")
    assert "pending" in states(ended)


def test_half_a_letter_is_replaced_and_nothing_else_is_lost(source: Source, parent: Parent) -> None:
    cell = "print('\\ud800 and more'); print(b'\\xff'.decode(errors='surrogateescape'))"
    ended = execute(source(cell), {}, Limits(), parent)
    assert (ended.status, texts(ended)) == (Status.OK, "? and more\n?\n")


def test_a_process_that_has_closed_its_socket_is_not_waited_for(source: Source, parent: Parent) -> None:
    ended = execute(source("import os; os.closerange(3, 200)", "1"), {}, Limits(), parent)
    assert ended.status is Status.DIED
    assert states(ended) == ["completed", "failed", "pending"]


def test_what_a_process_started_ends_with_it(source: Source, parent: Parent) -> None:
    started = "import subprocess; p = subprocess.Popen(['sleep', '300'])"
    ended = execute(source(started, SHOWN % "'pid': p.pid"), {}, Limits(), parent)
    psutil.wait_procs([psutil.Process(ended.results["pid"])] if psutil.pid_exists(ended.results["pid"]) else [], 5)
    assert not psutil.pid_exists(ended.results["pid"])


def startup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have every shell run ``code`` before it is ready."""
    folder = tmp_path / "ipython" / "profile_default" / "startup"
    folder.mkdir(parents=True)
    (folder / "first.py").write_text(code)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


@pytest.mark.parametrize("is_forked", [True, False], ids=["forked", "ordinary"])
def test_a_process_that_hangs_at_its_start_is_tried_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source, parent: Parent, is_forked: bool
) -> None:
    count = tmp_path / "starts"
    startup(tmp_path, monkeypatch, f"open({str(count)!r}, 'a').write('x'); import time; time.sleep(100)")
    path, used = source("1"), parent if is_forked else None
    ended = execute(path, {}, Limits(start_seconds=3), used)
    assert ended.status is Status.START_FAILED
    assert ended.cause in (
        "the process was not ready after 3 seconds",
        "RuntimeError: Kernel didn't respond in 3 seconds",
    )
    assert count.read_text() == "xx"
    assert set(states(ended)) == {"pending"}
    flag = tmp_path / "flag"
    (tmp_path / "ipython" / "profile_default" / "startup" / "first.py").write_text(
        f"import os, time\nif not os.path.exists({str(flag)!r}): open({str(flag)!r}, 'w'); time.sleep(100)"
    )
    again = execute(path, {}, Limits(start_seconds=3), used)
    assert again.status is Status.OK


def test_what_start_up_code_prints_is_no_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source, parent: Parent
) -> None:
    startup(tmp_path, monkeypatch, "print('good morning'); begun = 7")
    ended = execute(source("print(begun)"), {}, Limits(), parent)
    assert ended.status is Status.OK
    assert "7" in texts(ended) and "good morning" not in texts(ended)


def test_the_users_configuration_of_ipython_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source, parent: Parent
) -> None:
    folder = tmp_path / "ipython" / "profile_default"
    folder.mkdir(parents=True)
    (folder / "ipython_config.py").write_text("c.PlainTextFormatter.float_precision = '%.2f'")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for used in (parent, None):
        ended = execute(source("1 / 3"), {}, Limits(), used)
        assert ended.notebook.cells[-1].outputs[0].data["text/plain"] == "0.33"


def test_a_cell_error_is_not_retried(tmp_path: Path, source: Source, parent: Parent) -> None:
    count = tmp_path / "runs"
    execute(source(f"open({str(count)!r}, 'a').write('x'); 1/0"), {}, Limits(), parent)
    assert count.read_text() == "x"


def process_of(parent: Parent) -> psutil.Process:
    """The process that notebooks are forked from."""
    parent.begin()
    assert parent.process is not None
    return psutil.Process(parent.process.pid)


def test_a_lost_parent_is_replaced_and_its_run_repeated(tmp_path: Path, source: Source) -> None:
    count = tmp_path / "runs"
    kill = f"import os; n = open({str(count)!r}, 'a').write('x')\nif os.path.getsize({str(count)!r}) < 2: "
    with Parent() as own:
        ended = execute(source(kill + "os.kill(os.getppid(), 9); import time; time.sleep(30)"), {}, Limits(), own)
        assert (ended.status, ended.cause) == (Status.OK, "")
        assert count.read_text() == "xx"


def test_a_parent_that_is_lost_each_time_is_given_up_after_two_repetitions(tmp_path: Path, source: Source) -> None:
    count = tmp_path / "runs"
    cell = f"import os, time; open({str(count)!r}, 'a').write('x'); os.kill(os.getppid(), 9); time.sleep(30)"
    with Parent() as own:
        ended = execute(source("print('before')", cell), {}, Limits(), own)
    assert ended.status is Status.DIED
    assert ended.cause == "cell 4: the process died (the process that notebooks are forked from has ended)"
    assert count.read_text() == "xxx"
    assert (texts(ended), states(ended)) == ("before\n", ["completed", "completed", "failed"])


@pytest.mark.parametrize("is_killed", [False, True], ids=["closed", "killed"])
def test_no_process_is_left_when_the_parent_ends(tmp_path: Path, is_killed: bool) -> None:
    """A child in the middle of a cell; what it has started, too, unless the parent is killed."""
    cell = "import subprocess; p = subprocess.Popen(['sleep', '20']); open('begun', 'w'); p.wait()"
    request = {"cwd": str(tmp_path), "environment": dict(os.environ), "output_bytes": 1000}
    with Parent() as own:
        first = process_of(own)
        with own.fork(request | {"cells": [{"index": 0, "source": cell, "may_fail": False}]}):
            while not (tmp_path / "begun").exists():
                time.sleep(0.05)
            child, started = first.children(recursive=True)
            assert (child.ppid(), started.name(), started.ppid()) == (first.pid, "sleep", child.pid)
            first.kill() if is_killed else own.close()
            assert orphans([first, child] if is_killed else [first, child, started]) == []


def test_where_nothing_can_be_forked_ordinary_kernels_are_used_and_it_is_said_once(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("closedloop.batch.runner.parent.sys.platform", "darwin")
    with pytest.raises(NoFork, match="notebooks are forked on Linux only, and this is darwin"):
        Parent().begin()
    summary = project.run(periods=["2024-q2"], in_processes=True)
    assert summary.exit_code == 0
    assert capfd.readouterr().err.count("ordinary kernels, which start more slowly, are used") == 1
    assert perform.Bench(lambda *_: perform.Turn())._can_fork  # another batch tries again


def test_of_threads_that_are_refused_at_once_one_says_it(capfd: pytest.CaptureFixture[str]) -> None:
    together = threading.Barrier(2, timeout=20)

    class Slow(NoFork):
        def __str__(self) -> str:
            time.sleep(0.2)  # while the other thread is refused, too
            return "not here"

    def refused(*given: Any) -> Trace:
        if given[-1] is not None:
            together.wait()
            raise Slow
        raise ClosedLoopError("an ordinary kernel")

    bench = perform.Bench(refused, n_slots=2)
    task = perform.Task(Job("tiny", "2024-q2", "05_deals"), Path("/nowhere"), {}, Path("/nowhere"))
    entries = [future.result() for future in [bench.submit(task), bench.submit(task)]]
    assert [entry.cause for entry in entries] == ["an ordinary kernel"] * 2
    assert capfd.readouterr().err.count("are used: not here") == 1


def test_a_parent_with_threads_forks_nothing_and_says_whose_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    (tmp_path / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    said = r"a library has started threads, which do not survive a fork: python\S*, python"
    with Parent() as own, pytest.raises(NoFork, match=said):
        execute(source("1"), {}, Limits(), own)


# forked processes and ordinary kernels

FIGURE = "import matplotlib.pyplot as plt; plt.plot([1, 3, 2]); plt.title('A')"
LATER = "import asyncio\nasync def later():\n    print('later')\n"
CLASS, JSON = "class A:\n    def ", "'application/a+json'"
NAMED = "\n    __repr__ = lambda _: 'A'\nA()"
SHAPES: dict[str, str | tuple[str, ...]] = {
    "streams": "import sys; print('a'); print('b', file=sys.stderr); sys.stdout.write('c')",
    "standard error first": "import sys; print('a', file=sys.stderr); print('b'); print('c', file=sys.stderr)",
    "text around a display": "print('a'); display('b'); print('c')",
    "a line written over": "print('a\\rb\\r\\nc'); print('50 %', end='\\r'); print('100 %')",
    "figure": FIGURE,
    "figures": "import matplotlib.pyplot as plt; plt.plot([1]); plt.show(); plt.figure(); plt.plot([2]); print('end')",
    "figure of an object": "from matplotlib.figure import Figure; f = Figure(); f.subplots().plot([1, 2]); f",
    "frame": "import pandas as pd; pd.DataFrame({'a': range(100), 'b': 1.5, **{f'c{n}': n for n in range(30)}})",
    "options": "import pandas as pd; pd.options.display.max_columns, pd.options.display.width",
    "long text": "import pandas as pd; print(pd.DataFrame({f'column {n}': [n * 1e6] for n in range(30)}))",
    "html": "from IPython.display import HTML, Markdown, display; display(HTML('<b>x</b>')); Markdown('*y*')",
    "own display": f"{CLASS}_ipython_display_(self):\n        display('own')\nA()",
    "own bundle": f"{CLASS}_repr_mimebundle_(a, **_):\n        return {{{JSON}: [1]}}, {{{JSON}: {{'c': 2}}}}{NAMED}",
    "bad display": f"{CLASS}_repr_html_(self):\n        return 1 / 0{NAMED}",
    "bad words": f"{CLASS}__repr__(self):\n        return 1 / 0\nA()",
    "magic": "%timeit -n1 -r1 -q 1\n%config InlineBackend.figure_format",
    "magics": ("x = 1", "%who", "%matplotlib inline", "%pwd?", "%%capture got\nprint(x)", "got.stdout", "%no_such"),
    "shell": "!echo hello",
    "script": "%%bash\necho hello; echo bad >&2",
    "error": "def f(): return 1/0\nf()",
    "error of a library": "import json; json.loads('{')",
    "chain of errors": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('b') from e",
    "no syntax": "1 +",
    "history": "x = 1\nIn[-2:]",
    "results": ("5", "_ + 1", "7;", "Out, _, __, _3", "%reset -f out", "len(Out)"),
    "module": "import sys; __name__, sys.modules['__main__'].__name__, [a for a in sys.argv[1:2]]",
    "path": "import sys; sys.path",
    "classes": "import sys; type(get_ipython()).__name__, hasattr(get_ipython(), 'kernel'), sys.stdout.isatty()",
    "numbers": "import numpy as np; np.arange(12).reshape(3, 4) / 7",
    "backend": "import matplotlib; matplotlib.get_backend(), matplotlib.rcParams['figure.dpi']",
    "modules": "import os; sorted(k for k in os.environ if k.startswith(('MPL', 'OMP', 'PYTHON', 'TERM', 'PAGER')))",
    "warning": "import warnings; warnings.warn('careful')",
    "warning of a function": ("import warnings\ndef f():\n    warnings.warn('careful', stacklevel=2)", "f()"),
    "log": "import logging; logging.warning('careful'); logging.getLogger('x').error('bad')",
    "input": "try:\n    input()\nexcept Exception as e:\n    print(type(e).__name__, e)",
    "password": "import getpass\ntry:\n    getpass.getpass()\nexcept Exception as e:\n    print(type(e).__name__)",
    "update": "from IPython.display import display\nh = display('a', display_id='q'); h.update('b')",
    "update of an earlier cell": ("h = display('a', display_id='q')\nprint('c')", "h.update('b'); print('d')"),
    "two of one display": (
        "display('a', display_id='q')",
        "display('b', display_id='q')",
        "update_display(1, display_id='z')",
    ),
    "comm": "import comm\nc = comm.create_comm('t', data={'a': 1}, buffers=[b'xyz'])\nc.send({'b': 2}); 'sent'",
    "await": "import asyncio\nawait asyncio.sleep(0.01)\nprint('a'); await asyncio.sleep(0, 'b')",
    "await an error": "import asyncio\nasync def f():\n    1 / 0\nawait f()",
    "task": f"{LATER}t = asyncio.create_task(later()); await t",
    "task of an earlier cell": ("import asyncio; t = asyncio.create_task(asyncio.sleep(0.01, 'v'))", "await t"),
    "task between cells": ("import asyncio; x = []\nt = asyncio.create_task(asyncio.sleep(0, x))", "t.done()"),
    "running loop": f"{LATER}c = later()\ntry:\n    asyncio.run(c)\nexcept RuntimeError as e:\n    c.close(); print(e)",
    "context": ("import contextvars; v = contextvars.ContextVar('v'); t = v.set(1)", "v.get()"),
    "thread": "import threading\nt = threading.Thread(target=print, args=('from a thread',)); t.start(); t.join()",
    "forked by a cell": "import os\nif not os.fork():\n    print('child', flush=True); os._exit(0)\n_ = os.wait()",
    "program": "import subprocess, time; subprocess.run(['sh', '-c', 'echo a; echo b >&2']); time.sleep(0.5)",
    "descriptor": "import os, sys, time; os.write(1, b'a'); os.write(2, b'b'); time.sleep(0.5)",
    "clear": "from IPython.display import clear_output, display\ndisplay('a'); clear_output(wait=True); display('b')",
    "clear text": "from IPython.display import clear_output\nprint('a'); clear_output(); print('b')",
    "long": "print('\\n'.join(['x' * 10_000] * 30)); 'y' * 200_000",
    "letters": "print('\u00e4 \u2028 \U0001f600'); '\u00df'",
    "own": "from closedloop import open_period; open_period.__module__",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_forked_process_gives_the_bytes_of_an_ordinary_kernel(
    source: Source, parent: Parent, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("MPLBACKEND", "PYTEST_CURRENT_TEST"):  # in a test, ipykernel does not listen to file descriptors
        monkeypatch.delenv(name, raising=False)
    cells = SHAPES[shape]
    path = source(*([cells] if isinstance(cells, str) else cells), FIGURE)
    forked, ordinary = (execute(path, {}, Limits(), used) for used in (parent, None))
    assert nbformat.writes(forked.notebook).splitlines() == nbformat.writes(ordinary.notebook).splitlines()
    assert (forked.status, forked.cause) == (ordinary.status, ordinary.cause)
    assert sum("outputs" in cell and bool(cell.outputs) for cell in forked.notebook.cells) >= 1
    if shape == "figure":
        assert sum("image/png" in output.get("data", {}) for output in forked.notebook.cells[2].outputs) == 1


def shown(execution: Trace, number: int = -1) -> list[Any]:
    """The data of what a code cell displayed."""
    cells = [cell for cell in execution.notebook.cells if cell.cell_type == "code"]
    return [output.data for output in cells[number].outputs if "data" in output]


def test_a_widget_is_shown_as_text(source: Source, parent: Parent) -> None:
    cell = "import ipywidgets\nwith ipywidgets.Output() as area:\n    print('in')\nipywidgets.IntSlider(3)"
    first, second = (execute(source(cell), {}, Limits(), parent) for _ in range(2))
    assert shown(first) == [{"text/plain": "IntSlider(value=3)"}]
    assert texts(first) == "in\n"
    assert nbformat.writes(first.notebook) == nbformat.writes(second.notebook)


def test_a_number_that_json_does_not_know_is_text(source: Source, parent: Parent) -> None:
    ended = execute(source("display({'a/b+json': [float('nan')]}, raw=True)"), {}, Limits(), parent)
    assert (shown(ended), texts(ended)) == ([{"a/b+json": ["nan"]}], "")


def test_a_notebook_in_another_language_takes_its_own_kernel(source: Source, parent: Parent) -> None:
    path = source("import os", SHOWN % "'parent': os.getppid()")
    content = json.loads(path.read_text())
    content["metadata"]["kernelspec"]["language"] = "another"
    path.write_text(json.dumps(content))
    assert execute(path, {}, Limits(), parent).results["parent"] == os.getpid() != process_of(parent).pid


def test_a_cell_that_may_fail_does_not_end_the_notebook(source: Source, parent: Parent) -> None:
    path = source("1/0", "'next'")
    content = json.loads(path.read_text())
    content["cells"][2]["metadata"]["tags"] = ["raises-exception"]
    path.write_text(json.dumps(content))
    forked, ordinary = (execute(path, {}, Limits(), used) for used in (parent, None))
    assert (forked.status, shown(forked)) == (Status.OK, [{"text/plain": "'next'"}])
    assert nbformat.writes(forked.notebook) == nbformat.writes(ordinary.notebook)


def test_text_of_programs_is_shown_whatever_its_length(source: Source, parent: Parent) -> None:
    """A pipe that nobody reads would hang after 64 KiB."""
    cell = "import subprocess; n = subprocess.run(['seq', '1', '40000']).returncode; print('done')"
    ended = execute(
        source(cell, "import os; n = os.system('echo anew > /dev/stdout; echo last')"), {}, Limits(), parent
    )
    assert ended.status is Status.OK
    assert texts(ended).startswith("done\n1\n2\n3\n")
    assert texts(ended).endswith("39999\n40000\nanew\nlast\n")


def test_text_after_its_cell_goes_to_the_cell_that_then_runs(source: Source, parent: Parent) -> None:
    first = "import threading, time; begin = threading.Event()\ndef late():\n    begin.wait(); print('late')\n"
    second = "begin.set(); thread.join(); print('second')"
    ended = execute(
        source(f"{first}thread = threading.Thread(target=late); thread.start()", second), {}, Limits(), parent
    )
    assert [cell.outputs for cell in ended.notebook.cells[2:]] == [
        [],
        [{"output_type": "stream", "name": "stdout", "text": "late\nsecond\n"}],
    ]


def test_at_the_end_tasks_are_cancelled_and_threads_get_a_second(
    tmp_path: Path, source: Source, parent: Parent
) -> None:
    task = (
        "import asyncio\nasync def work():\n    try:\n        await asyncio.sleep(60)\n"
        "    finally:\n        print('cancelled')\nt = asyncio.create_task(work())"
    )
    mark = f"open({str(tmp_path / 'ended')!r}, 'w').write('ended')"
    quick = f"import threading, time\ndef quick():\n    time.sleep(0.3); {mark}; print('quick')\n"
    quick += "threading.Thread(target=quick).start()"
    slow = "threading.Thread(target=time.sleep, args=(60,)).start()"
    ended = execute(source(task, quick, slow), {}, Limits(), parent)
    assert (ended.status, states(ended)) == (Status.OK, ["completed"] * 4)
    assert (tmp_path / "ended").read_text() == "ended"
    assert texts(ended) == "cancelled\nquick\n"


def test_the_page_of_a_killed_process_is_its_last_state(source: Source, parent: Parent) -> None:
    first = "h = display('provisional', display_id='line'); print('kept')"
    second = "h.update('final'); print('half'); display(2); import os; os.kill(os.getpid(), 9)"
    ended = execute(source(first, second), {}, Limits(), parent)
    assert ended.status is Status.DIED
    assert [data["text/plain"] for data in shown(ended, 1)] == ["'final'"]
    assert [data["text/plain"] for data in shown(ended, 2)] == ["2"]
    assert texts(ended) == "kept\nhalf\n"


def test_an_awaiting_cell_can_be_interrupted(source: Source, parent: Parent) -> None:
    cell = "import asyncio\ntry:\n    await asyncio.sleep(60)\nfinally:\n    print('tidied')"
    ended = execute(source(cell, "1"), {}, Limits(cell_seconds=1), parent)
    assert (ended.status, states(ended)) == (Status.TIMED_OUT, ["completed", "failed", "pending"])
    assert texts(ended) == "tidied\n"
    assert ended.notebook.cells[2].outputs[-1].ename == "CancelledError"


def test_a_cell_that_takes_an_interrupt_for_its_own_is_late_all_the_same(source: Source, parent: Parent) -> None:
    cell = "import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('so what')"
    ended = execute(source(cell, "print('next')"), {}, Limits(cell_seconds=1), parent)
    assert (ended.status, texts(ended).splitlines()[0]) == (Status.TIMED_OUT, "so what")
    assert ended.cause == "cell 3: still running after the cell's limit of 1 seconds"


def test_a_cell_that_shows_without_end_is_late(source: Source, parent: Parent) -> None:
    cell = "h = display(0, display_id=True)\nwhile True: h.update(1)"
    ended = execute(source(cell), {}, Limits(cell_seconds=1), parent)
    assert (ended.status, shown(ended)) == (Status.TIMED_OUT, [{"text/plain": "1"}])


def test_a_cell_that_leaves_ends_the_notebook(source: Source, parent: Parent) -> None:
    ended = execute(source("print('bye'); exit()", "print('next')"), {}, Limits(), parent)
    assert (ended.status, ended.cause) == (Status.DIED, "cell 3: the process died")
    assert (texts(ended), states(ended)[-1]) == ("bye\n", "pending")


def test_a_process_sees_nothing_of_an_earlier_one(source: Source, parent: Parent) -> None:
    mark = "import os, builtins, pandas; builtins.mark = pandas.mark = 1; os.environ['MARK'] = '1'; os.chdir('/')"
    look = SHOWN % "'seen': [hasattr(b, 'mark'), hasattr(p, 'mark'), 'MARK' in os.environ, os.getcwd() == '/']"
    first = execute(source(mark, name="first"), {}, Limits(), parent)
    second = execute(source("import os, builtins as b, pandas as p", look), {}, Limits(), parent)
    assert first.status is Status.OK
    assert second.results == {"seen": [False] * 4}


def test_generators_are_seeded_anew(source: Source, parent: Parent) -> None:
    drawn = "import random, uuid, numpy as np"
    path = source(drawn, SHOWN % "'n': [random.random(), float(np.random.rand()), uuid.uuid4().hex]")
    first, second = (execute(path, {}, Limits(), parent).results["n"] for _ in range(2))
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_the_parent_runs_no_notebooks_code_and_keeps_one_thread(source: Source, parent: Parent) -> None:
    process = process_of(parent)
    code = "import os; me = os.getpid(); import duckdb; duckdb.sql('select 1').fetchall()"
    ended = execute(source(code, SHOWN % "'me': me, 'parent': os.getppid()"), {}, Limits(), parent)
    assert ended.results["parent"] == process.pid != ended.results["me"]
    assert process.num_threads() == 1
    assert not any(name.endswith((".parquet", ".duckdb")) for name in (file.path for file in process.open_files()))


def test_memory_and_processes_are_given_back(source: Source, parent: Parent) -> None:
    process = process_of(parent)
    path = source("x = bytearray(200_000_000)")
    peaks = [execute(path, {}, Limits(), parent).peak_mb for _ in range(3)]
    assert all(peak is not None and peak > 200 for peak in peaks)
    assert process.children() == []  # neither living nor dead
    assert process.memory_info().rss < 450e6
    assert process.num_fds() < 20


@pytest.mark.parametrize(
    "cell",
    [
        "for n in range(3000): print('x' * 1000)",
        "from IPython.display import HTML\nfor n in range(30): display(HTML('y' * 100_000))",
        "'z' * 3_000_000",
    ],
    ids=["stream", "displays", "one value"],
)
def test_huge_output_is_cut_with_a_notice(source: Source, parent: Parent, cell: str) -> None:
    ended = execute(source(cell, "print('next')"), {}, Limits(output_bytes=1_000_000), parent)
    assert ended.status is Status.OK
    assert len(nbformat.writes(ended.notebook)) < 1_200_000
    assert texts(ended).count("The rest of this cell's output was left out: it is longer than 1 MB.") == 1
    assert texts(ended).endswith("next\n")  # the next cell has its own measure


def test_a_display_that_is_updated_often_fills_no_more_than_once(source: Source, parent: Parent) -> None:
    cell = "h = display('0', display_id=True)\nfor n in range(30): h.update({'text/plain': f'{n}' * 50_000}, raw=True)"
    ended = execute(source(cell), {}, Limits(output_bytes=1_000_000), parent)
    assert shown(ended) == [{"text/plain": "29" * 50_000}]
    assert texts(ended) == ""


# papermill with our engine


def test_plain_papermill_tells_the_truth_with_our_engine(tmp_path: Path, source: Source) -> None:
    out = tmp_path / "out.ipynb"
    path = source("import os; os.kill(os.getpid(), 9)", "1")
    with pytest.raises(Exception, match="cell 4: the process died"):
        execute_notebook(str(path), str(out), {"market": "m"}, engine_name="closedloop", progress_bar=False)
    saved = nbformat.read(out, 4)
    told = [cell.metadata.get("closedloop", {}).get("state") for cell in saved.cells if cell.cell_type == "code"]
    assert told == ["completed", "completed", "failed", "pending"]
    assert saved.metadata["closedloop"]["status"] == "died"


@pytest.mark.parametrize(
    "parameters", [{"colour": 1}, {"market": ["m"]}, {"x = 1; import os; y": 1}], ids=["name", "type", "code"]
)
def test_our_engine_runs_no_parameter_that_is_not_declared(
    tmp_path: Path, source: Source, parameters: dict[str, Any]
) -> None:
    with pytest.raises(Exception, match=r"has no parameter|allowed: text"):
        execute_notebook(
            str(source("1")), str(tmp_path / "o.ipynb"), parameters, engine_name="closedloop", progress_bar=False
        )
