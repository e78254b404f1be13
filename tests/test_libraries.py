"""Each library that only a part of the product or the tests use still does the one thing it is there for.

Libraries break through their neighbours' releases; a broken one is named here before a user meets it.
"""

import hashlib
import importlib
import shutil
import subprocess
from pathlib import Path

import pytest


def test_dask_runs_a_task_on_a_worker() -> None:
    distributed = importlib.import_module("distributed")
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        assert client.submit(sum, [1, 2, 39]).result() == 42


@pytest.fixture(scope="module")
def expression():
    import ibis

    deals = ibis.table({"segment": "string", "amount": "float64"}, name="deals")
    return deals.group_by("segment").agg(won_amount=deals.amount.sum())


@pytest.mark.parametrize(("dialect", "quoted"), [("duckdb", '"won_amount"'), ("postgres", '"won_amount"')])
def test_ibis_writes_sql_for_every_server(expression, dialect: str, quoted: str) -> None:
    import ibis

    text = ibis.to_sql(expression, dialect=dialect)
    assert quoted in text
    assert "GROUP BY" in text


def test_ibis_writes_sql_for_spark_without_spark() -> None:
    """Counts only: for sums of fractions it asks a Spark session how missing values are kept."""
    import ibis

    deals = ibis.table({"segment": "string", "is_won": "boolean"}, name="deals")
    text = ibis.to_sql(deals.group_by("segment").agg(n_deals=deals.count()), dialect="pyspark")
    assert "COUNT(*) AS `n_deals`" in text


def test_ibis_runs_on_duckdb(expression) -> None:
    import ibis
    import pandas as pd

    rows = pd.DataFrame({"segment": ["b", "a", "a"], "amount": [1.0, 2.0, 40.0]})
    connection = ibis.duckdb.connect()
    connection.create_table("deals", rows)
    found = connection.execute(expression.order_by("segment"))
    assert found.to_dict("list") == {"segment": ["a", "b"], "won_amount": [42.0, 1.0]}


def test_psycopg_brings_its_client_library() -> None:
    import psycopg

    assert psycopg.pq.version() >= 140000
    quoted = psycopg.sql.SQL("select {}").format(psycopg.sql.Literal("O'Brien"))
    assert quoted.as_string(None) == "select 'O''Brien'"


def test_typst_makes_a_pdf() -> None:
    import typst

    assert typst.compile(b"= One page").startswith(b"%PDF-1.")


def test_nh3_removes_what_runs() -> None:
    import nh3

    assert nh3.clean('<b onclick="x()">a</b><script>x()</script>') == "<b>a</b>"


def test_pandera_names_the_failing_column() -> None:
    import pandas as pd
    import pandera.pandas as pa

    schema = pa.DataFrameSchema({"amount": pa.Column(float, pa.Check.ge(0))})
    with pytest.raises(pa.errors.SchemaError, match="amount"):
        schema.validate(pd.DataFrame({"amount": [-1.0]}))


def test_pooch_checks_a_files_hash(tmp_path: Path) -> None:
    import pooch

    path = tmp_path / "deals.csv"
    path.write_bytes(b"deal_id\n")
    assert pooch.file_hash(path) == hashlib.sha256(b"deal_id\n").hexdigest()


def notebook(source: str, tag: str | None = None):
    import nbformat

    cell = nbformat.v4.new_code_cell(source, id="only", metadata={"tags": [tag]} if tag else {})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})


def test_papermill_reads_a_notebooks_parameters(tmp_path: Path) -> None:
    import nbformat
    import papermill

    path = tmp_path / "deals.ipynb"
    nbformat.write(notebook('period: str = "latest"  # which period', "parameters"), path)
    found = papermill.inspect_notebook(path)
    assert found["period"]["inferred_type_name"] == "str"
    assert found["period"]["help"] == "which period"


def test_nbdime_sees_a_changed_cell() -> None:
    import nbdime

    assert nbdime.diff_notebooks(notebook("1"), notebook("1")) == []
    assert [change.key for change in nbdime.diff_notebooks(notebook("1"), notebook("2"))] == ["cells"]


def test_nbstripout_removes_outputs() -> None:
    import nbformat
    import nbstripout

    dirty = notebook("1")
    dirty.cells[0].outputs = [nbformat.v4.new_output("stream", text="1")]
    clean = nbstripout.strip_output(dirty, keep_output=False, keep_count=False, keep_id=True)
    assert clean.cells[0].outputs == []


def test_scikit_survival_gives_a_cumulative_incidence() -> None:
    """Won on day 1, lost on day 2, open on day 3: won 1/3 from day 1, lost 2/3 * 1/2 from day 2."""
    import numpy as np
    from sksurv.nonparametric import cumulative_incidence_competing_risks

    days, found = cumulative_incidence_competing_risks(np.array([1, 2, 0]), np.array([1.0, 2.0, 3.0]))
    assert days.tolist() == [1.0, 2.0, 3.0]
    assert found[1] == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert found[2] == pytest.approx([0, 1 / 3, 1 / 3])


def test_stepmix_separates_two_classes() -> None:
    import numpy as np
    from stepmix.stepmix import StepMix

    items = np.repeat([[1, 1, 1, 0], [0, 0, 0, 1]], 20, axis=0)
    model = StepMix(n_components=2, measurement="binary", random_state=1, verbose=0, progress_bar=0)
    labels = model.fit(items).predict(items)
    assert sorted([set(labels[:20]), set(labels[20:])], key=str) == [{0}, {1}]


def test_statsmodels_adjusts_for_a_stratum() -> None:
    """Both strata have the odds ratio (2 * 2) / (1 * 1) = 4."""
    import numpy as np
    from statsmodels.stats.contingency_tables import StratifiedTable

    table = np.array([[2, 1], [1, 2]])
    assert StratifiedTable([table, table * 10]).oddsratio_pooled == pytest.approx(4.0)


@pytest.mark.system("chromium")
def test_playwright_drives_the_systems_browser(chromium: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=str(chromium), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.set_content("<h1>Review</h1>")
        assert page.inner_text("h1") == "Review"
        browser.close()


@pytest.mark.system("postgresql")
def test_postgresqls_server_programs_are_there(postgresql: Path) -> None:
    for program in ("initdb", "postgres", "pg_ctl"):
        found = shutil.which(program, path=str(postgresql))
        assert found, f"{program} is not in {postgresql}"
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
        assert "PostgreSQL" in said
