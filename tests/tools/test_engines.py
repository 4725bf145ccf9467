"""sqlinfer.udf() in engines that are not DuckDB: the answers of SQL, bit by bit, of a model that each process opens
once."""

from __future__ import annotations

import subprocess
import sys

import pyarrow.parquet as pq
import pytest

import sqlinfer
from tests.processes import HANG

pytestmark = pytest.mark.slow

# Each has ``churn``, and writes the table ``answers`` with the columns id and p.
PROGRAMS = {
    "Polars": """
import polars as pl
rows = pl.scan_parquet("customers.parquet")
scored = rows.with_columns(pl.struct(pl.all()).map_batches(churn, return_dtype=pl.Float64).alias("p"))
answers = scored.collect(engine="streaming").to_arrow()
""",
    "Ray Data": """
import ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
rows = ray.data.read_parquet("customers.parquet").repartition(4)
scored = rows.map_batches(lambda rows: rows.append_column("p", churn(rows)), batch_format="pyarrow", batch_size=200)
answers = pa.concat_tables(ray.get(scored.to_arrow_refs()))
""",
    "Daft": """
import daft
predict = daft.func.batch(return_dtype=daft.DataType.from_arrow_type(churn.gives))(churn)
rows = daft.read_parquet("customers.parquet").into_batches(100)
answers = rows.with_column("p", predict(*(rows[name] for name in churn.takes.names))).to_arrow()
""",
    "DataFusion": """
import datafusion
context = datafusion.SessionContext()
context.register_udf(datafusion.udf(churn, churn.takes.types, churn.gives, "stable", "churn"))
context.register_parquet("customers", "customers.parquet")
answers = context.sql("SELECT id, churn(age, income, visits, city) AS p FROM customers").to_arrow_table()
""",
    "Dask": """
import dask.dataframe as dd
rows = dd.read_parquet("customers.parquet").repartition(npartitions=8)
scored = rows.assign(p=rows.map_partitions(churn, meta=("p", "float64")))
answers = pa.Table.from_pandas(scored.compute(scheduler="processes", num_workers=2), preserve_index=False)
""",
}
# ``churn`` notes which process it was called in, and what answered: that stays open, so no other has its id.
PROGRAM = """
import os, pyarrow as pa, pyarrow.parquet as pq, sqlinfer
if __name__ == "__main__":
    model = sqlinfer.udf("churn", call="predict_proba", class_=True)
    def churn(*given):
        with open(os.environ["OPENED"], "a") as file:
            file.write(f"{{os.getpid()}} {{id(model.scorer())}}\\n")
        return model(*given)
    churn.takes, churn.gives = model.takes, model.gives
    {}
    pq.write_table(answers.select(["id", "p"]), "answers.parquet")
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_answers_are_those_of_sql(name, tool, registry, customers, environment, tmp_path):
    rows = customers.assign(id=range(len(customers)))
    rows.to_parquet(tmp_path / "customers.parquet", index=False)
    (tmp_path / "program.py").write_text(PROGRAM.format(PROGRAMS[name].strip().replace("\n", "\n    ")))
    own = {**environment, "OPENED": str(tmp_path / "opened"), "SQLINFER_HOME": str(registry.home)}
    subprocess.run([sys.executable, "program.py"], cwd=tmp_path, env=own, timeout=HANG, check=True)
    with sqlinfer.connect(registry=registry) as con:
        expected = con.execute("SELECT id, predict_proba('churn', r, true) FROM rows r ORDER BY id").fetchall()
    found = pq.read_table(tmp_path / "answers.parquet").sort_by("id").to_pydict()
    assert list(zip(found["id"], found["p"], strict=True)) == expected
    calls = (tmp_path / "opened").read_text().splitlines()
    processes = [line.split()[0] for line in set(calls)]
    assert len(processes) == len(set(processes)), "one of them has opened it twice"
    assert len(calls) > 1 or name not in ("Ray Data", "Dask")
