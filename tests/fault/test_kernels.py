"""A kernel that dies, hangs, is late or talks too much; and that a warm one is as good as an ordinary one."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from closedloop.batch import perform
from closedloop.batch.engine import Execution, execute
from closedloop.batch.kernels import warm as warm_kernels
from closedloop.batch.kernels.parent import YIELDING
from closedloop.batch.kernels.warm import Kernel, NotWarm, Warmth
from closedloop.batch.trace import Limits
from closedloop.terms import Status
from papermill.execute import execute_notebook

from .conftest import Project, orphans

Source = Callable[..., Path]
SHOWN = "display({'application/vnd.closedloop.results+json': {%s}}, raw=True)"


def states(execution: Execution) -> list[str]:
    """How far each code cell came, the parameters first."""
    return [cell.metadata["closedloop"]["state"] for cell in execution.notebook.cells if cell.cell_type == "code"]


def texts(execution: Execution) -> str:
    """All that the cells printed."""
    outputs = [output for cell in execution.notebook.cells for output in cell.get("outputs", [])]
    return "".join("".join(output.get("text", "")) for output in outputs)


BAD_ENDS = {
    "error": ("1/0", Status.FAILED, "cell 5: ZeroDivisionError: division by zero"),
    "exit": ("raise SystemExit(0)", Status.FAILED, "cell 5: SystemExit: 0"),
    "sys.exit": ("import sys; sys.exit(3)", Status.FAILED, "cell 5: SystemExit: 3"),
    "killed": (
        "import os; os.kill(os.getpid(), 9)",
        Status.KERNEL_DIED,
        "cell 5: the kernel died (SIGKILL, often for lack of memory)",
    ),
    "fault": ("import os; os.kill(os.getpid(), 11)", Status.KERNEL_DIED, "cell 5: the kernel died (SIGSEGV)"),
    "gone": ("import os; os._exit(7)", Status.KERNEL_DIED, "cell 5: the kernel died"),
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


@pytest.mark.parametrize("is_warm", [True, False], ids=["warm", "ordinary"])
@pytest.mark.parametrize("end", BAD_ENDS)
def test_a_bad_end_is_told_truly(source: Source, warmth: Warmth, end: str, is_warm: bool) -> None:
    cell, status, cause = BAD_ENDS[end]
    path = source("print('before')", cell, "print('later')")
    ended = execute(path, {"market": "m"}, Limits(cell_seconds=1.5), warmth.start if is_warm else None)
    assert (ended.status, ended.cause) == (status, cause)
    assert states(ended) == ["completed", "completed", "completed", "failed", "pending"]
    assert ended.notebook.metadata["closedloop"]["status"] == str(status)
    assert "before" in texts(ended)
    assert "later" not in texts(ended)
    assert ended.peak_mb is not None and ended.peak_mb > 10
    if end == "late":
        assert "begun" in texts(ended)  # what was said before the limit is kept
        assert ended.notebook.cells[4].outputs[-1].ename == "KeyboardInterrupt"


def test_a_notebook_has_a_limit_of_its_own(source: Source, warmth: Warmth) -> None:
    path = source(*["import time; time.sleep(0.6)"] * 5)
    ended = execute(path, {}, Limits(run_seconds=1.5), warmth.start)
    assert ended.status is Status.TIMED_OUT
    assert ended.cause.endswith("still running after the notebook's limit of 1.5 seconds")
    assert "pending" in states(ended)


def test_half_a_letter_is_replaced_and_nothing_else_is_lost(source: Source, warmth: Warmth) -> None:
    cell = "print('\\ud800 and more'); print(b'\\xff'.decode(errors='surrogateescape'))"
    ended = execute(source(cell), {}, Limits(), warmth.start)
    assert (ended.status, texts(ended)) == (Status.OK, "? and more\n?\n")


def test_a_kernel_that_has_closed_its_line_is_not_waited_for(source: Source, warmth: Warmth) -> None:
    ended = execute(source("import os; os.closerange(3, 200)", "1"), {}, Limits(), warmth.start)
    assert ended.status is Status.KERNEL_DIED
    assert states(ended) == ["completed", "failed", "pending"]


def test_what_a_kernel_started_ends_with_it(source: Source, warmth: Warmth) -> None:
    started = "import subprocess; p = subprocess.Popen(['sleep', '300'])"
    ended = execute(source(started, SHOWN % "'pid': p.pid"), {}, Limits(), warmth.start)
    psutil.wait_procs([psutil.Process(ended.results["pid"])] if psutil.pid_exists(ended.results["pid"]) else [], 5)
    assert not psutil.pid_exists(ended.results["pid"])


def startup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have every kernel run ``code`` before it is ready."""
    folder = tmp_path / "ipython" / "profile_default" / "startup"
    folder.mkdir(parents=True)
    (folder / "first.py").write_text(code)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


@pytest.mark.parametrize("is_warm", [True, False], ids=["warm", "ordinary"])
def test_a_kernel_that_hangs_at_its_start_is_tried_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source, warmth: Warmth, is_warm: bool
) -> None:
    count = tmp_path / "starts"
    startup(tmp_path, monkeypatch, f"open({str(count)!r}, 'a').write('x'); import time; time.sleep(100)")
    path, warm = source("1"), warmth.start if is_warm else None
    ended = execute(path, {}, Limits(start_seconds=3), warm)
    assert (ended.status, ended.cause) == (Status.START_FAILED, "the kernel was not ready after 3 seconds")
    assert count.read_text() == "xx"
    assert set(states(ended)) == {"pending"}
    flag = tmp_path / "flag"
    (tmp_path / "ipython" / "profile_default" / "startup" / "first.py").write_text(
        f"import os, time\nif not os.path.exists({str(flag)!r}): open({str(flag)!r}, 'w'); time.sleep(100)"
    )
    again = execute(path, {}, Limits(start_seconds=3), warm)
    assert again.status is Status.OK


def test_what_start_up_code_prints_is_no_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source, warmth: Warmth
) -> None:
    startup(tmp_path, monkeypatch, "print('good morning'); begun = 7")
    ended = execute(source("print(begun)"), {}, Limits(), warmth.start)
    assert ended.status is Status.OK
    assert "7" in texts(ended) and "good morning" not in texts(ended)


def test_the_users_configuration_of_ipython_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source, warmth: Warmth
) -> None:
    folder = tmp_path / "ipython" / "profile_default"
    folder.mkdir(parents=True)
    (folder / "ipython_config.py").write_text("c.PlainTextFormatter.float_precision = '%.2f'")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for warm in (warmth.start, None):
        ended = execute(source("1 / 3"), {}, Limits(), warm)
        assert ended.notebook.cells[-1].outputs[0].data["text/plain"] == "0.33"


def test_a_cell_error_is_not_retried(tmp_path: Path, source: Source, warmth: Warmth) -> None:
    count = tmp_path / "runs"
    execute(source(f"open({str(count)!r}, 'a').write('x'); 1/0"), {}, Limits(), warmth.start)
    assert count.read_text() == "x"


def parent_of(warmth: Warmth) -> psutil.Process:
    """The process that kernels are forked from."""
    warmth.start()
    assert warmth._parent is not None
    return psutil.Process(warmth._parent.pid)


def test_a_lost_parent_is_replaced_and_its_run_repeated(tmp_path: Path, source: Source) -> None:
    count = tmp_path / "runs"
    kill = f"import os; n = open({str(count)!r}, 'a').write('x')\nif os.path.getsize({str(count)!r}) < 2: "
    with Warmth() as warmth:
        ended = execute(
            source(kill + "os.kill(os.getppid(), 9); import time; time.sleep(30)"), {}, Limits(), warmth.start
        )
        assert (ended.status, ended.cause) == (Status.OK, "")
        assert count.read_text() == "xx"


def test_a_parent_that_is_lost_each_time_is_given_up_after_two_repetitions(tmp_path: Path, source: Source) -> None:
    count = tmp_path / "runs"
    cell = f"import os, time; open({str(count)!r}, 'a').write('x'); os.kill(os.getppid(), 9); time.sleep(30)"
    with Warmth() as warmth:
        ended = execute(source(cell), {}, Limits(), warmth.start)
    assert ended.status is Status.KERNEL_DIED
    assert count.read_text() == "xxx"


def test_no_kernel_and_no_folder_is_left_when_the_parent_ends(tmp_path: Path) -> None:
    with Warmth() as warmth:
        parent = parent_of(warmth)
        kernels = [Kernel(warmth.start(), [], str(tmp_path), os.environ) for _ in range(2)]
        folder = warmth.start()
        assert oct(folder.stat().st_mode & 0o777) == "0o700"
        processes = [psutil.Process(kernel.pid) for kernel in kernels if psutil.pid_exists(kernel.pid)]
    assert not parent.is_running()
    assert not folder.exists()
    assert orphans(processes) == []


def test_where_kernels_cannot_be_forked_ordinary_ones_are_used_and_it_is_said_once(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warm_kernels.sys, "platform", "darwin")
    with pytest.raises(NotWarm, match="kernels are forked on Linux only, and this is darwin"):
        Warmth().start()
    summary = project.run(periods=["2024-q2"], in_kernels=True)
    assert summary.exit_code == 0
    assert capfd.readouterr().err.count("ordinary kernels, which start more slowly, are used") == 1
    assert perform.Bench(lambda *_: perform.Turn())._is_warm  # another batch tries again


# warm kernels and ordinary ones

FIGURE = "import matplotlib.pyplot as plt; plt.plot([1, 3, 2]); plt.title('A')"
SHAPES = {
    "streams": "import sys; print('a'); print('b', file=sys.stderr); sys.stdout.write('c')",
    "figure": FIGURE,
    "figure of an object": "from matplotlib.figure import Figure; f = Figure(); f.subplots().plot([1, 2]); f",
    "frame": "import pandas as pd; pd.DataFrame({'a': range(100), 'b': 1.5, **{f'c{n}': n for n in range(30)}})",
    "long text": "import pandas as pd; print(pd.DataFrame({f'column {n}': [n * 1e6] for n in range(30)}))",
    "html": "from IPython.display import HTML, Markdown, display; display(HTML('<b>x</b>')); Markdown('*y*')",
    "magic": "%timeit -n1 -r1 -q 1\n%config InlineBackend.figure_format",
    "shell": "!echo hello",
    "error": "def f(): return 1/0\nf()",
    "history": "x = 1\nIn[-2:]",
    "module": "import sys; __name__, sys.modules['__main__'].__name__, [a for a in sys.argv[1:2]]",
    "path": "import sys; sys.path",
    "numbers": "import numpy as np; np.arange(12).reshape(3, 4) / 7",
    "backend": "import matplotlib; matplotlib.get_backend(), matplotlib.rcParams['figure.dpi']",
    "modules": "import os; sorted(k for k in os.environ if k.startswith(('MPL', 'OMP', 'PYTHON')))",
    "warning": "import warnings; warnings.warn('careful')",
    "input": "try:\n    input()\nexcept Exception as e:\n    print(type(e).__name__)",
    "update": "from IPython.display import display\nh = display('a', display_id='q'); h.update('b')",
    "widget": "import ipywidgets; ipywidgets.IntSlider.__name__",
    "output widget": "import ipywidgets\nshown = ipywidgets.Output()\nwith shown:\n    print('in')\nprint('out')",
    "bytes widget": "import ipywidgets\nipywidgets.Image(value=b'abc')",
    "comm": "import comm\nc = comm.create_comm('t', data={'a': 1}, buffers=[b'xyz'])\nc.send({'b': 2}); 'sent'",
    "await": "import asyncio\nawait asyncio.sleep(0.01)\nprint('a'); await asyncio.sleep(0, 'b')",
    "task": "import asyncio\nasync def later():\n    print('later')\nt = asyncio.create_task(later()); await t",
    "thread": "import threading\nt = threading.Thread(target=print, args=('from a thread',)); t.start(); t.join()",
    "process": "import os\nif not os.fork():\n    print('child', flush=True); os._exit(0)\n_ = os.wait()",
    "clear": "from IPython.display import clear_output, display\ndisplay('a'); clear_output(wait=True); display('b')",
    "long": "print('x' * 300_000); 'y' * 200_000",
    "letters": "print('\u00e4 \u2028 \U0001f600'); '\u00df'",
    "own": "from closedloop.notebook import open_run; open_run.__module__",
}


def written(execution: Execution) -> list[str]:
    """The notebook's lines; widgets draw their names, and are sorted by them."""
    lines = re.sub(r'"(IPY_MODEL_)?[0-9a-f]{32}"', '"drawn"', nbformat.writes(execution.notebook)).splitlines()
    return sorted(line.rstrip(",") for line in lines) if "widgets" in execution.notebook.metadata else lines


@pytest.mark.parametrize("shape", SHAPES)
def test_a_warm_kernel_gives_the_bytes_of_an_ordinary_one(
    source: Source, warmth: Warmth, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in warm_kernels.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MPLBACKEND", raising=False)
    path = source(SHAPES[shape], FIGURE)
    warm, ordinary = (execute(path, {}, Limits(), place) for place in (warmth.start, None))
    assert written(warm) == written(ordinary)
    assert (warm.status, warm.cause) == (ordinary.status, ordinary.cause)
    if shape == "figure":
        assert sum("image/png" in output.get("data", {}) for output in warm.notebook.cells[2].outputs) == 1


def test_a_warm_kernel_sees_nothing_of_an_earlier_one(source: Source, warmth: Warmth) -> None:
    mark = "import os, builtins, pandas; builtins.mark = pandas.mark = 1; os.environ['MARK'] = '1'; os.chdir('/')"
    look = SHOWN % "'seen': [hasattr(b, 'mark'), hasattr(p, 'mark'), 'MARK' in os.environ, os.getcwd() == '/']"
    first = execute(source(mark, name="first"), {}, Limits(), warmth.start)
    second = execute(source("import os, builtins as b, pandas as p", look), {}, Limits(), warmth.start)
    assert first.status is Status.OK
    assert second.results == {"seen": [False] * 4}


def test_generators_of_warm_kernels_are_seeded_anew(source: Source, warmth: Warmth) -> None:
    drawn = "import random, uuid, numpy as np"
    path = source(drawn, SHOWN % "'n': [random.random(), float(np.random.rand()), uuid.uuid4().hex]")
    first, second = (execute(path, {}, Limits(), warmth.start).results["n"] for _ in range(2))
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_the_parent_runs_no_notebooks_code_and_keeps_one_thread(source: Source, warmth: Warmth) -> None:
    parent = parent_of(warmth)
    code = "import os; me = os.getpid(); import duckdb; duckdb.sql('select 1').fetchall()"
    ended = execute(source(code, SHOWN % "'me': me, 'parent': os.getppid()"), {}, Limits(), warmth.start)
    assert ended.results["parent"] == parent.pid != ended.results["me"]
    assert parent.num_threads() == 1
    assert not any(name.endswith((".parquet", ".duckdb")) for name in (file.path for file in parent.open_files()))


def test_kernels_give_way_to_the_moments_that_all_wait_for(source: Source, warmth: Warmth) -> None:
    ended = execute(source("import os", SHOWN % "'nice': os.nice(0)"), {}, Limits(), warmth.start)
    assert ended.results == {"nice": min(os.nice(0) + YIELDING, 19)}


def test_memory_and_processes_are_given_back(source: Source, warmth: Warmth) -> None:
    parent = parent_of(warmth)
    path = source("x = bytearray(200_000_000)")
    peaks = [execute(path, {}, Limits(), warmth.start).peak_mb for _ in range(3)]
    assert all(peak is not None and peak > 200 for peak in peaks)
    deadline = time.monotonic() + 5
    while parent.children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert parent.children() == []  # neither living nor dead
    assert parent.memory_info().rss < 450e6


@pytest.mark.parametrize(
    "cell",
    [
        "for n in range(3000): print('x' * 1000)",
        "from IPython.display import HTML\nfor n in range(30): display(HTML('y' * 100_000))",
        "'z' * 3_000_000",
    ],
    ids=["stream", "displays", "one value"],
)
def test_huge_output_is_cut_with_a_notice(source: Source, warmth: Warmth, cell: str) -> None:
    ended = execute(source(cell, "print('next')"), {}, Limits(output_bytes=1_000_000), warmth.start)
    assert ended.status is Status.OK
    assert len(nbformat.writes(ended.notebook)) < 1_200_000
    assert texts(ended).count("The rest of this cell's output was left out: it is longer than 1 MB.") == 1
    assert texts(ended).endswith("next\n")  # the next cell has its own measure


# papermill with our engine


def test_plain_papermill_tells_the_truth_with_our_engine(tmp_path: Path, source: Source) -> None:
    out = tmp_path / "out.ipynb"
    path = source("import os; os.kill(os.getpid(), 9)", "1")
    with pytest.raises(Exception, match="Kernel died"):
        execute_notebook(str(path), str(out), {"market": "m"}, engine_name="closedloop", progress_bar=False)
    saved = nbformat.read(out, 4)
    told = [cell.metadata.get("closedloop", {}).get("state") for cell in saved.cells if cell.cell_type == "code"]
    assert told == ["completed", "completed", "failed", "pending"]
    assert saved.metadata["closedloop"]["status"] == "kernel_died"


@pytest.mark.parametrize(
    "parameters", [{"colour": 1}, {"market": ["m"]}, {"x = 1; import os; y": 1}], ids=["name", "type", "code"]
)
def test_our_engine_runs_no_parameter_that_is_not_declared(
    tmp_path: Path, source: Source, parameters: dict[str, Any]
) -> None:
    with pytest.raises(Exception, match=r"has no parameter|allowed: str"):
        execute_notebook(
            str(source("1")), str(tmp_path / "o.ipynb"), parameters, engine_name="closedloop", progress_bar=False
        )


def test_signals_reach_the_kernels_whole_group(warmth: Warmth, tmp_path: Path) -> None:
    kernel = Kernel(warmth.start(), [], str(tmp_path), os.environ)
    kernel.send_signal(signal.SIGKILL)
    assert kernel.wait(5) == -signal.SIGKILL or kernel.code is not None
    assert not psutil.pid_exists(kernel.pid)
    kernel.close()
