"""Every form in which features can be given, and every DuckDB type into every kind of feature."""

from __future__ import annotations

import duckdb
import pytest

from sqlinfer.errors import CallError, MissingFeature

FORMS = [
    "predict('iris', sl, sw, pl, pw)",
    "predict('iris', t)",
    "predict('iris', t.*)",
    "predict('iris', *)",
    "predict('iris', *COLUMNS(*))",
    "predict('iris', {'pw': pw, 'SL': sl, 'pl': pl, 'sw': sw, 'more': 1})",
    "predict('iris', pw := pw, sl := sl, sw := sw, pl := pl)",
    "predict('iris', pw => pw, sl => sl, sw => sw, pl => pl)",
    "predict('iris', [sl, sw, pl, pw])",
    "predict('iris', [sl, sw, pl, pw]::DOUBLE[4])",
    "predict('iris/1', t)",
    "predict('IRIS@default', t)",
    "predict_iris(sl, sw, pl, pw)",
    "predict_iris(t)",
    "predict_iris(pw := pw, sl := sl, sw := sw, pl := pl)",
    '"predict_iris/1"(t)',
]


# As the table turned has them: another order, and a column more.
STARS = [
    "predict('plane', *)",
    "predict('plane', t.*)",
    "predict('plane', *COLUMNS(*))",
    "predict('plane', *COLUMNS(['sl', 'sw', 'pl', 'pw']))",
    "predict('plane', *COLUMNS('[sp][lw]'))",
    "predict('plane', *COLUMNS(lambda c: c <> 'id'))",
    "predict('plane', UNPACK(COLUMNS(t.*)))",
    "predict('plane', * EXCLUDE (id))",
    "predict('plane', t.* EXCLUDE (id))",
    "predict('plane', * REPLACE (pl + 0 AS pl))",
    "predict('plane', * RENAME (id AS other))",
    "predict('plane', struct_pack(*COLUMNS(*)))",
    "predict_plane(*)",
    "predict_plane(*COLUMNS(*))",
    "main.predict_plane(pw := pw, sl := sl, pl := pl, sw := sw)",
]


@pytest.fixture
def turned(con):
    con.execute("CREATE TABLE turned AS SELECT 7 AS id, pw, pl, sw, sl FROM iris")
    con.execute("CREATE TABLE lost AS SELECT 1 AS k, pw, pl, sw FROM iris LIMIT 1")
    return [answer for (answer,) in con.execute("SELECT predict('plane', sl, sw, pl, pw) FROM iris").fetchall()]


@pytest.mark.parametrize("call", STARS)
def test_columns_are_given_by_their_names(column, turned, call):
    assert column(f"SELECT {call} FROM turned t") == turned


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT predict('plane', *) FROM lost",
        "SELECT 5 AS sl, predict('plane', *) FROM lost",
        "SELECT sl: 5, predict('plane', *) FROM lost",
        "SELECT abs(5) SL, predict('plane', *) FROM lost, range(1)",
        "SELECT (SELECT predict('plane', *) FROM lost) FROM iris LIMIT 1",
        "SELECT (SELECT predict('plane', t.*) FROM lost t) FROM iris t LIMIT 1",
        "FROM (FROM iris LIMIT 1), (SELECT predict('plane', *) FROM lost, range(1))",
        "SELECT list_transform([1], lambda sl: predict('plane', *)) FROM lost, range(1)",
        "SELECT predict('plane', * RENAME (k AS sw, sw AS k)) FROM lost",
    ],
)
def test_nothing_but_a_column_stands_for_a_feature(con, turned, sql):
    with pytest.raises(MissingFeature, match="needs the feature sl"):
        con.execute(sql).fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 5 AS sl, predict('plane', *) FROM turned",
        "SELECT -sl AS sl, predict('plane', *) FROM turned JOIN range(1) r(i) ON true",
        "WITH w AS (SELECT *, predict('plane', *) AS p FROM turned) SELECT 5 AS sl, p FROM w",
        "FROM range(1), (SELECT 5 AS sl, predict('plane', *) FROM turned)",
        "SELECT 5 AS sl, max(predict('plane', *)) FROM turned GROUP BY rowid ORDER BY rowid",
    ],
)
def test_a_column_of_a_tables_own_goes_before_other_meanings(con, turned, sql):
    assert [row[-1] for row in con.execute(sql).fetchall()] == turned


def test_an_alias_beside_a_probability(con):
    rows = con.execute("SELECT -sl AS sl, predict_proba('iris', *)['setosa'] FROM iris").fetchall()
    assert [p for _, p in rows] == [
        p for (p,) in con.execute("SELECT predict_proba('iris', t)['setosa'] FROM iris t").fetchall()
    ]


def test_what_has_no_names_is_not_put_beside_what_has(con, turned):
    for arguments in ("t.*, 1", "sl, *COLUMNS(['sw', 'pl', 'pw'])", "*, *", "sl := *COLUMNS(['sl'])"):
        with pytest.raises(CallError, match="stands for columns by name"):
            con.execute(f"SELECT predict('plane', {arguments}) FROM turned t")
    with pytest.raises(CallError, match="two of the columns are called"):
        con.execute("SELECT predict('plane', *COLUMNS(*)) FROM turned a, turned b")
    with pytest.raises(CallError, match="does not tell the names of columns here"):
        con.execute("SELECT predict_proba('iris', *COLUMNS(*))['setosa'] FROM iris")
    with pytest.raises(CallError, match="does not tell the names of columns here"):
        con.execute("SELECT count(*) FROM turned GROUP BY predict('plane', *COLUMNS(*))")
    with pytest.raises(CallError, match="gives features by name and another by its place"):
        con.execute("SELECT sl.predict_plane(pl := pl, sw := sw, pw := pw) FROM turned")
    assert len(con.execute("SELECT predict('plane', *) FROM turned").fetchall()) == len(turned)


def test_names_inside_a_text_of_sql(one):
    inner = "predict(''plane'', pw := 0.2, sl := 5.1, pl := 1.4, sw := 3.5)"
    expected = one("SELECT predict('plane', 5.1, 3.5, 1.4, 0.2)")
    assert one(f"FROM query('SELECT {inner}')") == expected
    assert one(f"FROM query($$ SELECT {inner.replace(chr(39) * 2, chr(39))} $$)") == expected


@pytest.mark.parametrize("call", FORMS)
def test_every_form_gives_the_same_labels(column, iris, species, call):
    labels = column(f"SELECT {call} FROM iris t")
    expected = column("SELECT predict('iris', sl, sw, pl, pw) FROM iris")
    assert labels == expected
    assert sum(a == b for a, b in zip(labels, species, strict=True)) > 140


def test_a_row_may_be_a_column(column):
    assert column("SELECT predict('iris', r) FROM (SELECT t AS r FROM iris t LIMIT 2)") == ["setosa"] * 2


def test_a_column_wins_over_the_table_of_its_name(one):
    assert one("SELECT predict('mean', mean) FROM (SELECT [1, 2, 3] AS mean) mean") == 2
    assert one("SELECT predict('iris', f) FROM (SELECT [5, 3, 1, 0.2] AS f) f") == "setosa"
    assert one("SELECT predict('same_double', x) FROM (SELECT 7 AS x, 8 AS y) x") == 7
    assert one("SELECT predict('same_double', price) FROM (SELECT 7 AS x, 8 AS price) price") == 8
    setosa = "(SELECT {'sl': 5, 'sw': 3, 'pl': 1, 'pw': 0.2} AS f) s"
    assert one(f"SELECT predict('iris', f) FROM {setosa}, (SELECT 6 AS sl, 3 AS sw, 6 AS pl, 2 AS pw) f") == "setosa"


def test_a_joined_table_is_a_row(one):
    assert one("SELECT predict('iris', b) FROM iris a JOIN iris b ON a.sl + 100 < b.sl + 100 LIMIT 1") is not None


@pytest.mark.parametrize(
    "value",
    [
        f"7::{name}"
        for name in [
            "TINYINT",
            "SMALLINT",
            "INTEGER",
            "BIGINT",
            "HUGEINT",
            "UTINYINT",
            "USMALLINT",
            "UINTEGER",
            "UBIGINT",
            "UHUGEINT",
        ]
    ]
    + ["7::FLOAT", "7::DOUBLE", "7::DECIMAL(4,1)", "7::DECIMAL(18,3)", "7::DECIMAL(38,2)", "7"],
)
def test_every_number_goes_into_every_number(one, value):
    for model in ("same_float", "same_double", "same_int", "width"):
        expected = one("SELECT predict('width', 7::DOUBLE)") if model == "width" else 7
        assert one(f"SELECT predict('{model}', {value})") == pytest.approx(expected)


def test_booleans_are_numbers_and_booleans(one):
    assert one("SELECT predict('same_double', true)") == 1
    assert one("SELECT predict('same_int', false)") == 0
    assert one("SELECT predict('negate', true)") is False


def test_text_and_enum_go_into_text(con, column):
    con.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    assert column("SELECT predict('same_text', x::mood) FROM (VALUES ('glad'), ('sad'), (NULL)) t(x)") == [
        "glad",
        "sad",
        None,
    ]
    assert column("SELECT predict('same_text', x) FROM (VALUES ('grüezi'), (''), ('🦆')) t(x)") == ["grüezi", "", "🦆"]


def test_integers_are_exact(one):
    big = 2**53 + 1
    assert one(f"SELECT predict('same_int', {big})") == big
    assert one(f"SELECT predict('echo', [{big}])") == [big]


def test_lists_of_any_length(column):
    rows = "([1, 2, 3]), ([5]), (NULL), ([2, 4]), ([1.5, 2.5])"
    assert column(f"SELECT predict('mean', x) FROM (VALUES {rows}) t(x)") == [2, 5, None, 3, 2]
    assert column("SELECT predict('echo', x) FROM (VALUES ([1]), ([3, 2]), (NULL), ([7])) t(x)") == [
        [1], [3, 2], None, [7],
    ]  # fmt: skip


def test_tensors_nested_flat_and_fixed(one):
    nested = "[[[1,2,3,4],[5,6,7,8]], [[0,0,0,0],[2,2,2,2]], [[1,1,1,1],[1,1,1,1]]]"
    assert one(f"SELECT predict('pixels', {nested})") == (4.5, 1, 1)
    assert one(f"SELECT predict('pixels', {nested}::FLOAT[4][2][3])") == (4.5, 1, 1)
    assert one("SELECT predict('pixels', range(24))") == (3.5, 11.5, 19.5)


def test_bytes(one):
    assert one("SELECT predict('bytesum', 'ab'::BLOB)") == 97 + 98
    assert one("SELECT predict('bytesum', [1, 2, 3]::UTINYINT[])") == 6


def test_one_list_for_the_columns_of_a_tensor(column):
    assert column("SELECT predict('half', x) FROM (VALUES ([1, 2]), (NULL), ([3, NULL]), ([0.5, 4])) t(x)") == [
        (2, 4), None, None, (1, 8),
    ]  # fmt: skip


def test_nan_and_infinity_reach_the_model(one):
    assert one("SELECT isnan(predict('same_double', 'nan'::DOUBLE))")
    assert one("SELECT predict('same_double', '-infinity'::DOUBLE)") == float("-inf")


def test_a_subquery_as_argument(one, engine):
    sql = "SELECT predict('same_double', (SELECT max(i) FROM range(5) r(i)))"
    if engine == "native" and duckdb.__version__.startswith("1."):  # which does not show it to extensions
        with pytest.raises(CallError, match="put it into FROM"):
            one(sql)
    else:
        assert one(sql) == 4
    assert one("SELECT predict('same_double', m) FROM (SELECT max(i) AS m FROM range(5) r(i))") == 4


def test_parameters_in_a_row(con):
    con.execute("PREPARE by_name AS SELECT predict('four', {'f1': $1, 'f0': $2})")
    con.execute("CREATE OR REPLACE TEMP MACRO by_name(x, y) AS predict('four', {'f1': x, 'f0': y})")
    by_position = con.execute("SELECT predict('four', 2, 1)").fetchall()
    assert con.execute("EXECUTE by_name(1, 2)").fetchall() == by_position
    assert con.execute("SELECT by_name(1, 2)").fetchall() == by_position


def test_parameters_of_named_arguments_keep_their_order(con):
    named = "predict('arithmetic', b := ?, a := ?)"
    assert con.execute(f"SELECT {named}.sum, {named}.product", [5, 2, 2, 9]).fetchall() == [(7, 18)]
    turned = con.execute("SELECT predict('plane', pw := ?, pl := ?, sw := ?, sl := ?)", [0.2, 1.4, 3.5, 5.1])
    assert turned.fetchall() == con.execute("SELECT predict('plane', 5.1, 3.5, 1.4, 0.2)").fetchall()


def test_a_row_may_hold_whatever_the_model_does_not_use(one):
    row = "{'sl': 5.1, 'sw': 3.5, 'pl': 1.4, 'pw': 0.2, 'other': union_value(k := 1)}"
    assert one(f"SELECT predict('iris', {row})") == "setosa"
