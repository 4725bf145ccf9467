"""The picture that flights.py draws: what was predicted, and what happened."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

import sqlinfer

INK, GREY, BLUE, ORANGE = "#22303c", "#b8c2cc", "#2f6f9f", "#e4572e"
STYLE = {
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e9edf1",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 8,
    "ytick.major.pad": 8,
    "legend.frameon": False,
}
SHARES = "100 * avg(risk) AS predicted, 100 * avg(late::INTEGER) AS actual"
PERCENT = mpl.ticker.PercentFormatter(decimals=0)


def draw(con: sqlinfer.Connection, path: Path) -> None:
    """Three views of the table ``unseen``: by tenth of predicted risk, by hour of the day, by airline."""
    ((count,),) = con.execute("SELECT count(*) FROM unseen").fetchall()
    with mpl.rc_context(STYLE):
        figure = plt.figure(figsize=(15, 5.8), layout="constrained")
        figure.get_layout_engine().set(wspace=0.06, h_pad=0.16, w_pad=0.14)
        title = f"Late out of New York: predicted and actual, {count:,} flights on days that the model never saw"
        figure.suptitle(title, x=0.012, ha="left", fontsize=16, weight="bold")
        left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1.1, 1.1])
        by_risk(con, left)
        by_hour(con, middle)
        by_airline(con, right)
        figure.savefig(path, dpi=130)
        plt.close(figure)


def by_risk(con: sqlinfer.Connection, axes: plt.Axes) -> None:
    rows = con.sql(f"""
        SELECT decile, {SHARES}
        FROM (SELECT risk, late, ntile(10) OVER (ORDER BY risk) AS decile FROM unseen)
        GROUP BY decile ORDER BY decile
    """).df()
    top = 5 + rows[["predicted", "actual"]].to_numpy().max()
    axes.plot([0, top], [0, top], color=GREY, lw=1.5, ls=(0, (4, 3)))
    note = {"rotation": 45, "rotation_mode": "anchor", "transform_rotates_text": True, "ha": "center"}
    axes.text(top * 0.8, top * 0.83, "perfect", color="#8795a1", **note)
    axes.plot(rows["predicted"], rows["actual"], "o-", color=BLUE, lw=2, ms=8, mec="white", mew=1.3)
    axes.set(title="Is 30 % really 30 %?", xlim=(0, top), ylim=(0, top))
    axes.set(xlabel="predicted risk, a tenth of the flights per point", ylabel="arrived over 15 minutes late")
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.grid()


def by_hour(con: sqlinfer.Connection, axes: plt.Axes) -> None:
    rows = con.sql(f"SELECT hour, {SHARES} FROM unseen GROUP BY hour HAVING count(*) > 200 ORDER BY hour").df()
    axes.bar(rows["hour"], rows["actual"], color="#cfdbe6", width=0.78, label="actual")
    axes.plot(rows["hour"], rows["predicted"], "o-", color=ORANGE, lw=2, ms=7, mec="white", label="predicted")
    axes.set(title="The later the hour, the later the plane", xlabel="scheduled hour of departure")
    axes.set_xticks(range(6, 24, 3), [f"{hour}:00" for hour in range(6, 24, 3)])
    axes.yaxis.set_major_formatter(PERCENT)
    axes.grid(axis="y")
    axes.legend(loc="upper left")


def by_airline(con: sqlinfer.Connection, axes: plt.Axes) -> None:
    rows = con.sql(f"""
        SELECT regexp_replace(airline, ' (Air Lines|Airlines|Airways Corp|Inc).*$', '') AS name, {SHARES}
        FROM unseen GROUP BY airline HAVING count(*) > 500 ORDER BY actual DESC
    """).df()
    axes.hlines(rows["name"], rows["predicted"], rows["actual"], color=GREY, lw=3)
    axes.plot(rows["actual"], rows["name"], "o", color=BLUE, ms=9, label="actual")
    axes.plot(rows["predicted"], rows["name"], "o", color=ORANGE, ms=9, label="predicted")
    axes.set(title="Whom to book for the last connection", xlabel="flights that arrive late", xlim=(0, None))
    axes.xaxis.set_major_formatter(PERCENT)
    axes.grid(axis="x")
    axes.legend(loc="lower left")
