"""A decimal goes into a model as CAST gives it, to the last bit, in the DuckDB that runs."""

from __future__ import annotations

import random

import pytest

WIDTHS = [(4, 2), (9, 0), (9, 7), (18, 2), (18, 17), (19, 6), (30, 23), (38, 0), (38, 10), (38, 22), (38, 33), (38, 38)]


def written(number: int, scale: int) -> str:
    digits = str(abs(number)).rjust(scale + 1, "0")
    sign = "-" if number < 0 else ""
    return f"{sign}{digits[: len(digits) - scale]}.{digits[len(digits) - scale :]}".rstrip(".")


def drawn(width: int, scale: int) -> list[str]:
    """Numbers of every length, those beside the largest that floating point holds exactly, and those between two."""
    dice = random.Random(width * 100 + scale)
    numbers = [dice.randrange(10 ** dice.randint(1, width)) * dice.choice((1, -1)) for _ in range(300)]
    edges = [2**24, 2**53, 2**64, 10**width - 1, (2**24 + 1) * 10**scale, (2**53 + 1) * 10**scale]
    numbers += [sign * (edge + beside) for edge in edges for beside in (-1, 0, 1) for sign in (1, -1)]
    return [written(number, scale) for number in numbers if abs(number) < 10**width]


@pytest.mark.parametrize(("model", "type"), [("same_double", "DOUBLE"), ("same_float", "FLOAT")])
@pytest.mark.parametrize(("width", "scale"), WIDTHS)
def test_decimals(con, model, type, width, scale):
    con.execute(f"CREATE TABLE d AS SELECT unnest(?)::DECIMAL({width}, {scale}) AS x", [drawn(width, scale)])
    wrong = f"SELECT x, x::{type}, predict('{model}', x) FROM d WHERE predict('{model}', x) IS DISTINCT FROM x::{type}"
    assert con.execute(wrong).fetchall() == []
    assert con.execute("SELECT count(*) FROM d").fetchone()[0] > 250


@pytest.mark.parametrize(("model", "type"), [("same_double", "DOUBLE"), ("same_float", "FLOAT")])
@pytest.mark.parametrize("whole", ["HUGEINT", "UBIGINT", "BIGINT"])
def test_whole_numbers(con, model, type, whole):
    dice = random.Random(1)
    bits = {"HUGEINT": 126, "UBIGINT": 64, "BIGINT": 63}[whole]
    numbers = [str(dice.getrandbits(bits) >> dice.randrange(bits)) for _ in range(400)]
    if whole != "UBIGINT":
        numbers += [f"-{number}" for number in numbers]
    con.execute(f"CREATE TABLE h AS SELECT unnest(?)::{whole} AS x", [numbers])
    wrong = f"SELECT x, x::{type}, predict('{model}', x) FROM h WHERE predict('{model}', x) IS DISTINCT FROM x::{type}"
    assert con.execute(wrong).fetchall() == []


def test_decimals_in_a_row_and_in_a_list(con, one):
    assert one("SELECT predict('same_double', {'x': 333333333333343.8062::DECIMAL(38, 23)}) = 333333333333343.8062")
    con.execute("CREATE TABLE l AS SELECT [x::DECIMAL(38, 30), NULL] AS x FROM range(1, 4) t(x)")
    assert one("SELECT count(*) FROM l WHERE predict('mean', [x[1]]) = x[1]::FLOAT") == 3
