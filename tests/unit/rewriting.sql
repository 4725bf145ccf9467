-- What a user writes, and below the arrow what DuckDB is given. Models: iris(sl, sw, pl, pw), width(pl), pixels(image).
-- The cases are divided by lines of dashes.
SELECT predict('iris', a, b, c, d) FROM t
-->
SELECT system.main.predict_iris(a, b, c, d) AS "predict('iris', a, b, c, d)" FROM t
-----
SELECT predict('IRIS', a, b, c, d) FROM t
-->
SELECT system.main.predict_iris(a, b, c, d) AS "predict('IRIS', a, b, c, d)" FROM t
-----
SELECT predict('iris/2', a, b, c, d), predict('iris@careful', a, b, c, d) FROM t
-->
SELECT system.main."predict_iris/2"(a, b, c, d) AS "predict('iris/2', a, b, c, d)", system.main."predict_iris@careful"(a, b, c, d) AS "predict('iris@careful', a, b, c, d)" FROM t
-----
select PREDICT ( 'iris' ,a,b , c,d )from t
-->
select system.main.predict_iris(a, b, c, d) AS "PREDICT ( 'iris' ,a,b , c,d )"from t
-----
SELECT predict_proba('iris', a, b, c, d)['setosa'] FROM t
-->
SELECT system.main."predict_proba(iris)"(a, b, c, d)['setosa'] AS "predict_proba('iris', a, b, c, d)['setosa']" FROM t
-----
SELECT infer('iris', a, b, c, d).label FROM t
-->
SELECT system.main."infer(iris)"(a, b, c, d).label AS "infer('iris', a, b, c, d).label" FROM t
-----
SELECT predict('iris', t) FROM t
-->
SELECT system.main.predict_iris((t)."sl", (t)."sw", (t)."pl", (t)."pw") AS "predict('iris', t)" FROM t
-----
SELECT predict('iris', t.*) FROM t
-->
SELECT system.main.predict_iris(t."sl", t."sw", t."pl", t."pw") AS "predict('iris', t.*)" FROM t
-----
SELECT predict('iris', "My Table") FROM "My Table"
-->
SELECT system.main.predict_iris(("My Table")."sl", ("My Table")."sw", ("My Table")."pl", ("My Table")."pw") AS "predict('iris', ""My Table"")" FROM "My Table"
-----
SELECT predict('iris', *) FROM t
-->
SELECT system.main.predict_iris("sl", "sw", "pl", "pw") AS "predict('iris', *)" FROM t
-----
SELECT predict('iris', row) FROM (SELECT 1 AS row) t
-->
SELECT system.main.predict_iris(row) AS "predict('iris', row)" FROM (SELECT 1 AS row) t
-----
SELECT predict('iris', {'sl': 1, 'sw': 2, 'pl': 3, 'pw': 4})
-->
SELECT system.main.predict_iris({'sl': 1, 'sw': 2, 'pl': 3, 'pw': 4}) AS "predict('iris', {'sl': 1, 'sw': 2, 'pl': 3, 'pw': 4})"
-----
SELECT predict('iris', pw := d, SL := a, pl := f(c, 1), sw := b) FROM t
-->
SELECT system.main.predict_iris(a, b, f(c, 1), d) AS "predict('iris', pw := d, SL := a, pl := f(c, 1), sw := b)" FROM t
-----
SELECT predict('iris', pw => d, "sl" => a, pl => (c), sw => b) FROM t
-->
SELECT system.main.predict_iris(a, b, (c), d) AS "predict('iris', pw => d, ""sl"" => a, pl => (c), sw => b)" FROM t
-----
SELECT predict('iris', *COLUMNS(*)) FROM t
-->
SELECT system.main.predict_iris(struct_pack(*COLUMNS(*))) AS "predict('iris', *COLUMNS(*))" FROM t
-----
SELECT predict('iris', * EXCLUDE (id)), predict('iris', s.t.* RENAME (a AS sl)), predict('width', UNPACK(COLUMNS('pl'))) FROM s.t
-->
SELECT system.main.predict_iris(struct_pack(*COLUMNS(* EXCLUDE (id)))) AS "predict('iris', * EXCLUDE (id))", system.main.predict_iris(struct_pack(*COLUMNS(s.t.* RENAME (a AS sl)))) AS "predict('iris', s.t.* RENAME (a AS sl))", system.main.predict_width(struct_pack(UNPACK(COLUMNS('pl')))) AS "predict('width', UNPACK(COLUMNS('pl')))" FROM s.t
-----
SELECT round(pl) AS PL, predict('width', *) FROM t u WHERE predict('width', *) > 1
-->
SELECT round(pl) AS PL, system.main.predict_width((u)."pl") AS "predict('width', *)" FROM t u WHERE system.main.predict_width((u)."pl") > 1
-----
SELECT "pl": 1, predict('width', *) FROM a, b; SELECT pl, t.pl AS x, predict('width', *) FROM a, b WHERE pl > 1
-->
SELECT "pl": 1, system.main.predict_width(struct_pack(*COLUMNS(lambda name: lower(name) IN ('pl')))) AS "predict('width', *)" FROM a, b; SELECT pl, t.pl AS x, system.main.predict_width("pl") AS "predict('width', *)" FROM a, b WHERE pl > 1
-----
WITH w AS (SELECT predict('width', *) AS p FROM (FROM a) JOIN b USING (i)) SELECT p, (SELECT predict('width', *) FROM c) FROM w
-->
WITH w AS (SELECT system.main.predict_width("pl") AS p FROM (FROM a) JOIN b USING (i)) SELECT p, (SELECT system.main.predict_width((c)."pl") AS "predict('width', *)" FROM c) AS "(SELECT predict('width', *) FROM c)" FROM w
-----
SELECT (SELECT predict('iris', t.*) FROM u t), (SELECT predict('width', t.*) FROM t, u) FROM t
-->
SELECT (SELECT system.main.predict_iris((t)."sl", (t)."sw", (t)."pl", (t)."pw") AS "predict('iris', t.*)" FROM u t) AS "(SELECT predict('iris', t.*) FROM u t)", (SELECT system.main.predict_width(struct_pack(*COLUMNS(t.*))) AS "predict('width', t.*)" FROM t, u) AS "(SELECT predict('width', t.*) FROM t, u)" FROM t
-----
CREATE MACRO f(n) AS TABLE SELECT predict('width', *) FROM a, b LIMIT n; CREATE MACRO f(pl) AS TABLE SELECT predict('width', *) FROM a, b
-->
CREATE MACRO f(n) AS TABLE SELECT system.main.predict_width("pl") AS "predict('width', *)" FROM a, b LIMIT n; CREATE MACRO f(pl) AS TABLE SELECT system.main.predict_width(struct_pack(*COLUMNS(lambda name: lower(name) IN ('pl')))) AS "predict('width', *)" FROM a, b
-----
FROM a, b SELECT extract(year FROM (SELECT predict('width', *) FROM a, b)), ((predict('width', *)) + 1)
-->
FROM a, b SELECT extract(year FROM (SELECT system.main.predict_width(struct_pack(*COLUMNS(lambda name: lower(name) IN ('pl')))) AS "predict('width', *)" FROM a, b)) AS "extract(year FROM (SELECT predict('width', *) FROM a, b))", ((system.main.predict_width("pl")) + 1) AS "((predict('width', *)) + 1)"
-----
FROM a, b SELECT list_transform(l, lambda pl: predict('width', *))
-->
FROM a, b SELECT list_transform(l, lambda pl: system.main.predict_width(struct_pack(*COLUMNS(lambda name: lower(name) IN ('pl'))))) AS "list_transform(l, lambda pl: predict('width', *))"
-----
FROM query('SELECT predict(''iris'', pw := 4, pl := 3, sw := 2, sl := 1) AS "it''''s"'), query($$ SELECT predict_width(pl := 'x') $$), query('SELECT 1'), other('predict(''width'', 1)')
-->
FROM query('SELECT system.main.predict_iris(1, 2, 3, 4) AS "it''''s"'), query(' SELECT predict_width(''x'') AS "predict_width(pl := ''x'')" '), query('SELECT 1'), other('predict(''width'', 1)')
-----
SELECT main.predict_iris(pw := 4, pl := 3, sw := 2, sl := 1), system.main.predict('width', pl := a), db."main".predict_width(a), s.predict_iris(x := 1) FROM t
-->
SELECT main.predict_iris(1, 2, 3, 4) AS "main.predict_iris(pw := 4, pl := 3, sw := 2, sl := 1)", system.main.predict_width(a) AS "system.main.predict('width', pl := a)", db."main".predict_width(a), s.predict_iris(x := 1) FROM t
-----
SELECT predict('pixels', [1, 2, [3, 4]]) -- a list, whose commas divide nothing
-->
SELECT system.main.predict_pixels([1, 2, [3, 4]]) AS "predict('pixels', [1, 2, [3, 4]])" -- a list, whose commas divide nothing
-----
SELECT predict('width', predict('width', predict('width', a))) FROM t
-->
SELECT system.main.predict_width(system.main.predict_width(system.main.predict_width(a))) AS "predict('width', predict('width', predict('width', a)))" FROM t
-----
SELECT predict('iris', pw := predict('width', a), sl := 1, sw := predict('width', pl := 2), pl := 3)
-->
SELECT system.main.predict_iris(1, system.main.predict_width(2), 3, system.main.predict_width(a)) AS "predict('iris', pw := predict('width', a), sl := 1, sw := predict('width', pl := 2), pl := 3)"
-----
SELECT predict_iris(a, b, c, d), predict_iris(t), Predict_Iris(pw := 4, pl := 3, sw := 2, sl := 1) FROM t
-->
SELECT predict_iris(a, b, c, d), predict_iris((t)."sl", (t)."sw", (t)."pl", (t)."pw") AS "predict_iris(t)", predict_iris(1, 2, 3, 4) AS "Predict_Iris(pw := 4, pl := 3, sw := 2, sl := 1)" FROM t
-----
SELECT "predict_iris/2"(t) FROM t
-->
SELECT "predict_iris/2"((t)."sl", (t)."sw", (t)."pl", (t)."pw") AS """predict_iris/2""(t)" FROM t
-----
SELECT predict_weather(t), predict_iris, predict, "predict" FROM t
-->
SELECT predict_weather(t), predict_iris, predict, "predict" FROM t
-----
SELECT predict_weather(predict('width', a), 'predict(') FROM t
-->
SELECT predict_weather(system.main.predict_width(a), 'predict(') AS "predict_weather(predict('width', a), 'predict(')" FROM t
-----
SELECT my_predict('iris', t), predictor('iris'), other.predict('iris', t) FROM t
-->
SELECT my_predict('iris', t), predictor('iris'), other.predict('iris', t) FROM t
-----
SELECT 'it''s predict(''iris'', t)', predict('width', 1) AS "predict('iris', t)" FROM t
-->
SELECT 'it''s predict(''iris'', t)', system.main.predict_width(1) AS "predict('iris', t)" FROM t
-----
SELECT E'\'predict(\'', predict('width', length(E'\''))
-->
SELECT E'\'predict(\'', system.main.predict_width(length(E'\'')) AS "predict('width', length(E'\''))"
-----
SELECT $$ predict('nope') $$, $tag$ $$ predict('nope') $tag$, predict('width', 1)
-->
SELECT $$ predict('nope') $$, $tag$ $$ predict('nope') $tag$, system.main.predict_width(1) AS "predict('width', 1)"
-----
SELECT /* predict('nope', 1) */ predict(/* which? */ 'width' -- this
 , 1) -- predict('nope')
-->
SELECT /* predict('nope', 1) */ system.main.predict_width(1) AS "predict(/* which? */ 'width' -- this , 1)" -- predict('nope')
-----
SELECT /* outer /* predict('nope') */ still a comment in DuckDB? */ 1
-->
SELECT /* outer /* predict('nope') */ still a comment in DuckDB? */ 1
-----
SELECT 'größer 🦆', "größe", predict('width', "größe" * 2) AS "ü🦆" FROM "tägliche Fälle"
-->
SELECT 'größer 🦆', "größe", system.main.predict_width("größe" * 2) AS "ü🦆" FROM "tägliche Fälle"
-----
SELECT x::FLOAT, predict('width', x::DECIMAL(4,2)) FROM t USING SAMPLE 10% (bernoulli, 1)
-->
SELECT x::FLOAT, system.main.predict_width(x::DECIMAL(4,2)) AS "predict('width', x::DECIMAL(4,2))" FROM t USING SAMPLE 10% (bernoulli, 1)
-----
SELECT predict('width', ?), predict('width', $1), predict('width', $name), predict('width', :name)
-->
SELECT system.main.predict_width(?) AS "predict('width', ?)", system.main.predict_width($1) AS "predict('width', $1)", system.main.predict_width($name) AS "predict('width', $name)", system.main.predict_width(:name) AS "predict('width', :name)"
-----
CREATE VIEW v AS SELECT predict('width', 1); SELECT 2; INSERT INTO x SELECT predict('width', 3)
-->
CREATE VIEW v AS SELECT system.main.predict_width(1) AS "predict('width', 1)"; SELECT 2; INSERT INTO x SELECT system.main.predict_width(3) AS "predict('width', 3)"
-----
CREATE MACRO predict_price(a, b) AS predict('width', a + b)
-->
CREATE MACRO predict_price(a, b) AS system.main.predict_width(a + b)
-----
FROM t SELECT predict('width', lambda_x) WHERE list_transform([1], x -> predict('width', x))[1] > 0
-->
FROM t SELECT system.main.predict_width(lambda_x) AS "predict('width', lambda_x)" WHERE list_transform([1], x -> system.main.predict_width(x))[1] > 0
-----
SELECT predict('width', (SELECT max(predict('width', y)) FROM u)), a[1:2], {'predict': 1} FROM t
-->
SELECT system.main.predict_width((SELECT max(system.main.predict_width(y)) AS "max(predict('width', y))" FROM u)) AS "predict('width', (SELECT max(predict('width', y)) FROM u))", a[1:2], {'predict': 1} FROM t
-----
SELECT predict('width', CASE WHEN a > 1, b THEN 1 END
-->
SELECT predict('width', CASE WHEN a > 1, b THEN 1 END
-----
COPY (SELECT predict('width', a) AS p FROM t) TO 'predict(''x'').parquet' (FORMAT parquet)
-->
COPY (SELECT system.main.predict_width(a) AS p FROM t) TO 'predict(''x'').parquet' (FORMAT parquet)
-----
EXPLAIN ANALYZE SELECT predict('width', a) FROM t
-->
EXPLAIN ANALYZE SELECT system.main.predict_width(a) AS "predict('width', a)" FROM t
-----
CREATE MACRO predict_width(a) AS predict('width', a); CREATE OR REPLACE TEMP FUNCTION w(a) AS predict_width(pl := a)
-->
CREATE MACRO predict_width(a) AS system.main.predict_width(a); CREATE OR REPLACE TEMP FUNCTION w(a) AS predict_width(a)
-----
CREATE OR REPLACE TABLE Predict_Iris(pl INT, sl INT); CREATE TABLE IF NOT EXISTS predict(a INT); CREATE VIEW infer(a) AS SELECT predict('width', 1)
-->
CREATE OR REPLACE TABLE Predict_Iris(pl INT, sl INT); CREATE TABLE IF NOT EXISTS predict(a INT); CREATE VIEW infer(a) AS SELECT system.main.predict_width(1) AS "predict('width', 1)"
-----
INSERT INTO predict_iris (pl, sl) SELECT predict('width', 1), 2; COPY predict_iris(pl) FROM 'x.csv'; EXECUTE predict_iris(1)
-->
INSERT INTO predict_iris (pl, sl) SELECT system.main.predict_width(1) AS "predict('width', 1)", 2; COPY predict_iris(pl) FROM 'x.csv'; EXECUTE predict_iris(1)
-----
CREATE UNIQUE INDEX i ON predict_iris(pl, sl); FROM t JOIN u ON Predict_Width(t.a) > 1
-->
CREATE UNIQUE INDEX i ON predict_iris(pl, sl); FROM t JOIN u ON predict_width(t.a) > 1
-----
WITH RECURSIVE predict(a) AS (SELECT 1), infer(b) AS NOT MATERIALIZED (SELECT 2), predict_iris(c) AS (SELECT 3) FROM predict
-->
WITH RECURSIVE predict(a) AS (SELECT 1), infer(b) AS NOT MATERIALIZED (SELECT 2), predict_iris(c) AS (SELECT 3) FROM predict
-----
SELECT predict('width', a) AS p FROM (VALUES (1)) AS predict(a), (VALUES (1, 2)) AS Predict_Iris(a, b)
-->
SELECT system.main.predict_width(a) AS p FROM (VALUES (1)) AS predict(a), (VALUES (1, 2)) AS Predict_Iris(a, b)
-----
SELECT predict('width', t), predict('iris', t.*) FROM t
-->
SELECT system.main.predict_width(t) AS "predict('width', t)", system.main.predict_iris(t."sl", t."sw", t."pl", t."pw") AS "predict('iris', t.*)" FROM t
-----
EXPLAIN SELECT predict('iris', t) FROM t; EXPLAIN ANALYZE FROM u SELECT predict('iris', u)
-->
EXPLAIN SELECT system.main.predict_iris((t)."sl", (t)."sw", (t)."pl", (t)."pw") AS "predict('iris', t)" FROM t; EXPLAIN ANALYZE FROM u SELECT system.main.predict_iris((u)."sl", (u)."sw", (u)."pl", (u)."pw") AS "predict('iris', u)"
-----
EXPLAIN (ANALYZE, FORMAT json) SELECT predict('iris', t) FROM t; EXPLAIN (SELECT predict('iris', u) FROM u)
-->
EXPLAIN (ANALYZE, FORMAT json) SELECT system.main.predict_iris((t)."sl", (t)."sw", (t)."pl", (t)."pw") AS "predict('iris', t)" FROM t; EXPLAIN (SELECT system.main.predict_iris((u)."sl", (u)."sw", (u)."pl", (u)."pw") AS "predict('iris', u)" FROM u)
-----
PREPARE q AS SELECT predict('iris', t) FROM t; PREPARE p(INT, DECIMAL(9, 2)) AS SELECT predict('iris', u) FROM u
-->
PREPARE q AS SELECT system.main.predict_iris((t)."sl", (t)."sw", (t)."pl", (t)."pw") AS "predict('iris', t)" FROM t; PREPARE p(INT, DECIMAL(9, 2)) AS SELECT system.main.predict_iris((u)."sl", (u)."sw", (u)."pl", (u)."pw") AS "predict('iris', u)" FROM u
-----
CREATE MACRO IF NOT EXISTS s.f(n := CAST(1 AS INT)) AS TABLE FROM t SELECT predict('iris', t) LIMIT n
-->
CREATE MACRO IF NOT EXISTS s.f(n := CAST(1 AS INT)) AS TABLE FROM t SELECT system.main.predict_iris((t)."sl", (t)."sw", (t)."pl", (t)."pw") AS "predict('iris', t)" LIMIT n
-----
SELECT predict.a, predict('width', a) FROM t predict(a) JOIN s.u infer(b) ON predict('width', b) > 1, 'x.csv' Predict_Width(c), "T 2" predict_iris(d)
-->
SELECT predict.a, system.main.predict_width(a) AS "predict('width', a)" FROM t predict(a) JOIN s.u infer(b) ON system.main.predict_width(b) > 1, 'x.csv' Predict_Width(c), "T 2" predict_iris(d)
-----
FROM (VALUES (1)) predict_iris(x), range(5) predict(i), LATERAL (SELECT predict('width', i)) infer(p)
-->
FROM (VALUES (1)) predict_iris(x), range(5) predict(i), LATERAL (SELECT system.main.predict_width(i) AS "predict('width', i)") infer(p)
-----
SELECT DISTINCT ON (f(a), b) predict('width', a), a::TIMESTAMP AT TIME ZONE predict('width', a) FROM t ORDER /* */ BY predict('width', a)
-->
SELECT DISTINCT ON (f(a), b) system.main.predict_width(a) AS "predict('width', a)", a::TIMESTAMP AT TIME ZONE system.main.predict_width(a) AS "a::TIMESTAMP AT TIME ZONE predict('width', a)" FROM t ORDER /* */ BY system.main.predict_width(a)
-----
SELECT [x FOR x IN a IF predict('width', x) > 1], trim(BOTH predict('width', x) FROM y), CASE WHEN (a) THEN predict('width', a) END, a, NOT predict('width', a) FROM t LIMIT predict('width', 2)
-->
SELECT [x FOR x IN a IF system.main.predict_width(x) > 1] AS "[x FOR x IN a IF predict('width', x) > 1]", trim(BOTH system.main.predict_width(x) FROM y) AS "trim(BOTH predict('width', x) FROM y)", CASE WHEN (a) THEN system.main.predict_width(a) END AS "CASE WHEN (a) THEN predict('width', a) END", a, NOT system.main.predict_width(a) AS "NOT predict('width', a)" FROM t LIMIT system.main.predict_width(2)
-----
SELECT predict('width', a) x, predict('width', a) "x", predict('width', a)::INT, predict('width', a)::INT x, x: predict('width', a) FROM t
-->
SELECT system.main.predict_width(a) x, system.main.predict_width(a) "x", system.main.predict_width(a)::INT AS "predict('width', a)::INT", system.main.predict_width(a)::INT x, x: system.main.predict_width(a) FROM t
-----
SELECT ALL avg(predict('width', a)) > ?, predict('width', a) IS NULL, predict('width', a) BETWEEN 1 AND b, predict('width', a)[1:2] FROM t
-->
SELECT ALL avg(system.main.predict_width(a)) > ? AS "avg(predict('width', a)) > ?", system.main.predict_width(a) IS NULL AS "predict('width', a) IS NULL", system.main.predict_width(a) BETWEEN 1 AND b, system.main.predict_width(a)[1:2] AS "predict('width', a)[1:2]" FROM t
-----
SELECT * REPLACE (predict('width', a) AS a), t.* EXCLUDE (b), unnest(infer('iris', t)), COLUMNS(x -> predict('width', 1) > 0), predict('width', COLUMNS('a')) FROM t
-->
SELECT * REPLACE (system.main.predict_width(a) AS a), t.* EXCLUDE (b), unnest(system.main."infer(iris)"((t)."sl", (t)."sw", (t)."pl", (t)."pw")), COLUMNS(x -> system.main.predict_width(1) > 0), system.main.predict_width(COLUMNS('a')) FROM t
-----
INSERT INTO t SELECT predict('width', a) ON CONFLICT DO UPDATE SET a = predict('width', 1), b = predict('width', 2) RETURNING predict('width', b), 1
-->
INSERT INTO t SELECT system.main.predict_width(a) AS "predict('width', a)" ON CONFLICT DO UPDATE SET a = system.main.predict_width(1), b = system.main.predict_width(2) RETURNING system.main.predict_width(b), 1
-----
SELECT predict('width', a) IS DISTINCT FROM 1, row_number() OVER (ORDER BY predict('width', a), b), (SELECT predict('width', a) UNION SELECT 2) FROM t WHERE a IN (predict('width', a), 2) GROUP BY predict('width', a), 2
-->
SELECT system.main.predict_width(a) IS DISTINCT FROM 1 AS "predict('width', a) IS DISTINCT FROM 1", row_number() OVER (ORDER BY system.main.predict_width(a), b) AS "row_number() OVER (ORDER BY predict('width', a), b)", (SELECT system.main.predict_width(a) AS "predict('width', a)" UNION SELECT 2) AS "(SELECT predict('width', a) UNION SELECT 2)" FROM t WHERE a IN (system.main.predict_width(a), 2) GROUP BY system.main.predict_width(a), 2
-----
SELECT predict_iris(sw := (SELECT predict('width', 1)), sl := (SELECT predict('width', 2)), pl := 1, pw := 2), predict('width',
    a)
-->
SELECT predict_iris((SELECT system.main.predict_width(2) AS "predict('width', 2)"), (SELECT system.main.predict_width(1) AS "predict('width', 1)"), 1, 2) AS "predict_iris(sw := (SELECT predict('width', 1)), sl := (SELECT predict('width', 2)), pl := 1, pw := 2)", system.main.predict_width(a) AS "predict('width', a)"
-----
SELECT PREDICT(MODEL 'iris', t) AS p FROM t AS t
-->
SELECT system.main.predict_iris((t)."sl", (t)."sw", (t)."pl", (t)."pw") AS p FROM t AS t
-----
SELECT predict(model 'width', a) FROM t
-->
SELECT system.main.predict_width(a) AS "predict(model 'width', a)" FROM t
-----
SELECT predict(m, t) AS p, predict_label('iris', sl) FROM t, sqlinfer_versions() AS v(m)
-->
SELECT predict(m, t) AS p, predict_label('iris', sl) FROM t, sqlinfer_versions(NULL) AS v(m)
-----
SELECT predict(m, sl := predict('width', a), pl := b), predict_proba(m, *), predict(m || '/2', t.*) FROM t
-->
SELECT predict(m, {"sl": system.main.predict_width(a), "pl": b}) AS "predict(m, sl := predict('width', a), pl := b)", predict_proba(m, struct_pack(*COLUMNS(*))) AS "predict_proba(m, *)", predict(m || '/2', struct_pack(*COLUMNS(t.*))) AS "predict(m || '/2', t.*)" FROM t
-----
SELECT (SELECT sum(abs(predict('width', u.*))) AS s FROM (SELECT * FROM k WHERE k.a = c.a) AS u) AS m FROM c
-->
SELECT (SELECT sum(abs(system.main.predict_width((u)."pl"))) AS s FROM (SELECT * FROM k WHERE k.a = c.a) AS u) AS m FROM c
-----
SELECT g, skew('iris', t) FROM t GROUP BY g
-->
SELECT g, skew('iris', {"sl": (t)."sl", "sw": (t)."sw", "pl": (t)."pl", "pw": (t)."pw"}) AS "skew('iris', t)" FROM t GROUP BY g
-----
SELECT skew('iris/2', pw := d, pl := c, sw := b, sl := a) FILTER (a > 1) AS s FROM t
-->
SELECT skew('iris/2', {"sl": a, "sw": b, "pl": c, "pw": d}) FILTER (a > 1) AS s FROM t
-----
SELECT skew('iris', a, b, c, predict('width', c)) AS s FROM t
-->
SELECT skew('iris', {"sl": a, "sw": b, "pl": c, "pw": system.main.predict_width(c)}) AS s FROM t
-----
SELECT skew('iris', {'sl': a}), skew(a), skew FROM t
-->
SELECT skew('iris', {'sl': a}), skew(a), skew FROM t
-----
SELECT (predict('width', t.*) > 1) AS p FROM t UNION ALL SELECT true AS p
-->
SELECT (system.main.predict_width(t."pl") > 1) AS p FROM t UNION ALL SELECT true AS p
