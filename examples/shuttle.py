"""Which readings of a machine are odd? Nine sensors of the Space Shuttle, 49,097 real rows, 7 % of them odd.

An isolation forest learns what is usual from the first readings, and is not told what is odd. SQL judges the others.

    python examples/shuttle.py
"""

from importlib.util import find_spec
from pathlib import Path

import matplotlib as mpl
from sklearn.ensemble import IsolationForest

import sqlinfer

mpl.use("agg")
import matplotlib.pyplot as plt

OUTPUT = Path(__file__).parent / "output"
READINGS = Path(find_spec("river").origin).parent / "datasets" / "shuttle.csv.gz"

con = sqlinfer.connect(registry=OUTPUT / "registry")
con.execute(f"""
    CREATE TABLE readings AS
    SELECT row_number() OVER () AS reading, * EXCLUDE (anomaly), anomaly = 1 AS odd FROM read_csv('{READINGS}')
""")

first = con.sql("SELECT COLUMNS('f[0-9]') FROM readings WHERE reading <= 10_000 ORDER BY reading").df()
model = IsolationForest(n_estimators=100, random_state=0).fit(first)
print(sqlinfer.register("shuttle", model, sample=first, registry=con.registry, promote=True))

con.execute("""
    CREATE TABLE watched AS
    SELECT reading, odd, infer('shuttle', r).scores AS usual, predict('shuttle', r) = -1 AS alarm
    FROM readings r WHERE reading > 10_000
""")

print("\nHow many of the odd readings raise an alarm, and how many alarms are about one?")
con.sql("""
    SELECT count(*) AS readings, count(*) FILTER (odd) AS odd, count(*) FILTER (alarm) AS alarms,
           round(recall_score(odd, alarm), 3) AS recall, round(precision_score(odd, alarm), 3) AS precision,
           round(roc_auc_score(odd, -usual), 3) AS roc_auc
    FROM watched
""").show()

print("What it takes to find more of them: another threshold, and more alarms to look at")
con.sql("""
    WITH curve AS (SELECT unnest(roc_curve(odd, -usual), recursive := true) FROM watched)
    SELECT share AS "found of 100", min(true_positives + false_positives) AS alarms,
           min(false_positives) AS of_these_false, round(-max(threshold), 3) AS alarm_below
    FROM curve, (VALUES (50), (90), (95), (99), (100)) AS wanted(share)
    WHERE true_positive_rate >= share / 100
    GROUP BY share ORDER BY share
""").show()

scores = con.sql("SELECT usual, odd FROM watched").df()
curve = con.sql("""
    SELECT 100 * recall AS found, 100 * precision AS right
    FROM (SELECT unnest(precision_recall_curve(odd, -usual), recursive := true) FROM watched)
""").df()
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.6), layout="constrained")
look = {"bins": 60, "range": (scores["usual"].min(), scores["usual"].max()), "density": True, "alpha": 0.75}
left.hist(scores["usual"][~scores["odd"]], color="#0072B2", label="normal flight", **look)
left.hist(scores["usual"][scores["odd"]], color="#D55E00", label="odd", hatch="///", edgecolor="white", **look)
left.axvline(0, color="black", ls="--", lw=1.2, label="alarm below")
left.set(title="How usual the forest finds a reading", xlabel="score", ylabel="density", xlim=look["range"])
left.legend(frameon=False, loc="upper left")
right.plot(curve["found"], curve["right"], color="#0072B2", lw=2)
right.set(title="The last of the odd ones cost many false alarms", ylim=(0, 103), xlim=(0, 101))
right.set(xlabel="odd readings that are found", ylabel="alarms that are right")
for axis in (right.xaxis, right.yaxis):
    axis.set_major_formatter(mpl.ticker.PercentFormatter(decimals=0))
right.grid(color="#e9edf1")
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
figure.savefig(OUTPUT / "shuttle.png", dpi=130)
print("The picture:", OUTPUT / "shuttle.png")
