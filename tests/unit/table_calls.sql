-- What a user writes, and below the arrow what it becomes. Models: churn(a, b) no/yes of churned, digit(a) 0/1/2, price(a, b).
-- The cases are divided by lines of dashes.
SELECT * FROM ML.PREDICT(MODEL churn, TABLE t)
-->
SELECT * FROM (SELECT predict('churn', __input.*) AS "predicted_churned", list_transform(list_sort(list_transform(map_entries(predict_proba('churn', __input.*)), lambda __e, __i: {'prob': __e.value, 'before': -__i, 'label': __e.key}), 'DESC'), lambda __e: {'label': __e.label, 'prob': __e.prob}) AS "predicted_churned_probs", __input.* FROM t AS __input)
-----
select * from ml.predict ( model `proj.shop.Churn`, table `proj.shop.t` ) where a > 1 -- and ML.PREDICT(
-->
select * from (SELECT predict('churn', __input.*) AS "predicted_churned", list_transform(list_sort(list_transform(map_entries(predict_proba('churn', __input.*)), lambda __e, __i: {'prob': __e.value, 'before': -__i, 'label': __e.key}), 'DESC'), lambda __e: {'label': __e.label, 'prob': __e.prob}) AS "predicted_churned_probs", __input.* FROM "proj"."shop"."t" AS __input) where a > 1 -- and ML.PREDICT(
-----
SELECT * FROM ML.PREDICT(MODEL shop.price, (SELECT `a`, b FROM t WHERE c = '`x`'))
-->
SELECT * FROM (SELECT predict('price', __input.*) AS "predicted_label", __input.* FROM (SELECT "a", b FROM t WHERE c = '`x`') AS __input)
-----
SELECT p.* FROM ML.PREDICT(MODEL digit, TABLE t, STRUCT(FALSE AS keep_original_columns)) AS p JOIN u ON u.a = p.a
-->
SELECT p.* FROM (SELECT predict('digit', __input.*) AS "predicted_digit", list_transform(list_sort(list_transform(map_entries(predict_proba('digit', __input.*)), lambda __e, __i: {'prob': __e.value, 'before': -__i, 'label': __e.key}), 'DESC'), lambda __e: {'label': __e.label, 'prob': __e.prob}) AS "predicted_digit_probs" FROM t AS __input) AS p JOIN u ON u.a = p.a
-----
SELECT * FROM ML.PREDICT(MODEL churn, TABLE t, STRUCT(0.55 AS threshold))
-->
SELECT * FROM (SELECT CASE (predict_proba('churn', __input.*)['yes'] >= 0.55) WHEN true THEN 'yes'::VARCHAR WHEN false THEN 'no'::VARCHAR END AS "predicted_churned", list_transform(list_sort(list_transform(map_entries(predict_proba('churn', __input.*)), lambda __e, __i: {'prob': __e.value, 'before': -__i, 'label': __e.key}), 'DESC'), lambda __e: {'label': __e.label, 'prob': __e.prob}) AS "predicted_churned_probs", __input.* FROM t AS __input)
-----
SELECT * FROM ML.PREDICT(MODEL churn, (SELECT * FROM ML.PREDICT(MODEL price, (SELECT * FROM t /* ) */ LIMIT ?))))
-->
SELECT * FROM (SELECT predict('churn', __input.*) AS "predicted_churned", list_transform(list_sort(list_transform(map_entries(predict_proba('churn', __input.*)), lambda __e, __i: {'prob': __e.value, 'before': -__i, 'label': __e.key}), 'DESC'), lambda __e: {'label': __e.label, 'prob': __e.prob}) AS "predicted_churned_probs", __input.* FROM (SELECT * FROM (SELECT predict('price', __input.*) AS "predicted_label", __input.* FROM (SELECT * FROM t /* ) */ LIMIT ?) AS __input)) AS __input)
-----
WITH c AS (SELECT 1 AS a) SELECT predict('price', c) FROM ML.PREDICT(MODEL "price", TABLE c), c
-->
WITH c AS (SELECT 1 AS a) SELECT predict('price', c) FROM (SELECT predict('price', __input.*) AS "predicted_label", __input.* FROM c AS __input), c
-----
SELECT 'é🦆', (SELECT count(*) FROM ML.PREDICT(MODEL 'price/2', TABLE t)) FROM t; COPY (FROM ML.PREDICT(MODEL `price@champion`, TABLE t)) TO 'x.csv'
-->
SELECT 'é🦆', (SELECT count(*) FROM (SELECT predict('price/2', __input.*) AS "predicted_label", __input.* FROM t AS __input)) FROM t; COPY (FROM (SELECT predict('price@champion', __input.*) AS "predicted_label", __input.* FROM t AS __input)) TO 'x.csv'
-----
SELECT * FROM ML.EVALUATE(MODEL churn, TABLE t)
-->
SELECT * FROM (SELECT m.precision_score AS "precision", m.recall_score AS "recall", m.accuracy_score AS "accuracy", m.f1_score AS "f1_score", m.log_loss AS "log_loss", m.roc_auc_score AS "roc_auc" FROM (SELECT evaluate_classification(CASE WHEN __input."churned" IS NULL THEN NULL WHEN __input."churned" = 'yes' THEN true WHEN __input."churned" = 'no' THEN false ELSE error('model ''churn'': the column churned has a label that the model has not: ' || __input."churned" || '; classes: no, yes') END, CASE WHEN predict_proba('churn', __input.*)['yes'] IS NOT NULL THEN MAP {false: predict_proba('churn', __input.*)['no'], true: predict_proba('churn', __input.*)['yes']} END) AS m FROM t AS __input))
-----
SELECT * FROM ML.EVALUATE(MODEL churn, TABLE t, STRUCT(0.55 AS threshold))
-->
SELECT * FROM (SELECT decided.precision_score AS "precision", decided.recall_score AS "recall", decided.accuracy_score AS "accuracy", decided.f1_score AS "f1_score", m.log_loss AS "log_loss", m.roc_auc_score AS "roc_auc" FROM (SELECT evaluate_classification(CASE WHEN __input."churned" IS NULL THEN NULL WHEN __input."churned" = 'yes' THEN true WHEN __input."churned" = 'no' THEN false ELSE error('model ''churn'': the column churned has a label that the model has not: ' || __input."churned" || '; classes: no, yes') END, CASE WHEN predict_proba('churn', __input.*)['yes'] IS NOT NULL THEN MAP {false: predict_proba('churn', __input.*)['no'], true: predict_proba('churn', __input.*)['yes']} END) AS m, evaluate_classification(CASE WHEN __input."churned" IS NULL THEN NULL WHEN __input."churned" = 'yes' THEN true WHEN __input."churned" = 'no' THEN false ELSE error('model ''churn'': the column churned has a label that the model has not: ' || __input."churned" || '; classes: no, yes') END, (predict_proba('churn', __input.*)['yes'] >= 0.55)) AS decided FROM t AS __input))
-----
SELECT * FROM ML.EVALUATE(MODEL digit, TABLE t)
-->
SELECT * FROM (SELECT m.precision_score AS "precision", m.recall_score AS "recall", m.accuracy_score AS "accuracy", m.f1_score AS "f1_score", m.log_loss AS "log_loss", m.roc_auc_score AS "roc_auc" FROM (SELECT evaluate_classification(__input."digit", predict_proba('digit', __input.*)) AS m FROM t AS __input))
-----
SELECT * FROM ML.EVALUATE(MODEL price, (SELECT *, cost AS label FROM t))
-->
SELECT * FROM (SELECT m.mean_absolute_error AS "mean_absolute_error", m.mean_squared_error AS "mean_squared_error", m.mean_squared_log_error AS "mean_squared_log_error", m.median_absolute_error AS "median_absolute_error", m.r2_score AS "r2_score", m.explained_variance_score AS "explained_variance" FROM (SELECT evaluate_regression(__input."label", predict('price', __input.*)) AS m FROM (SELECT *, cost AS label FROM t) AS __input))
-----
SELECT * FROM ML.CONFUSION_MATRIX(MODEL digit, TABLE t)
-->
SELECT * FROM (SELECT expected_label, count(*) FILTER (predicted = 0) AS "_0", count(*) FILTER (predicted = 1) AS "_1", count(*) FILTER (predicted = 2) AS "_2" FROM (SELECT __input."digit" AS expected_label, predict('digit', __input.*) AS predicted FROM t AS __input UNION ALL SELECT unnest([0, 1, 2])::BIGINT AS expected_label, NULL AS predicted) WHERE expected_label IS NOT NULL GROUP BY expected_label ORDER BY expected_label)
-----
SELECT * FROM ML.ROC_CURVE(MODEL churn, TABLE t)
-->
SELECT * FROM (SELECT threshold, true_positive_rate AS recall, false_positive_rate, true_positives, false_positives, true_negatives, false_negatives FROM (SELECT unnest(roc_curve(CASE WHEN __input."churned" IS NULL THEN NULL WHEN __input."churned" = 'yes' THEN true WHEN __input."churned" = 'no' THEN false ELSE error('model ''churn'': the column churned has a label that the model has not: ' || __input."churned" || '; classes: no, yes') END, predict_proba('churn', __input.*)['yes']), recursive := true) FROM t AS __input))
-----
SELECT * FROM ML.ROC_CURVE(MODEL churn, TABLE t, GENERATE_ARRAY(0.4, 0.6, 0.05))
-->
SELECT * FROM (SELECT threshold, true_positives / nullif(true_positives + false_negatives, 0) AS recall, false_positives / nullif(false_positives + true_negatives, 0) AS false_positive_rate, true_positives, false_positives, true_negatives, false_negatives FROM (SELECT threshold, count(*) FILTER (y AND p >= threshold) AS true_positives, count(*) FILTER (NOT y AND p >= threshold) AS false_positives, count(*) FILTER (NOT y AND p < threshold) AS true_negatives, count(*) FILTER (y AND p < threshold) AS false_negatives FROM (SELECT CASE WHEN __input."churned" IS NULL THEN NULL WHEN __input."churned" = 'yes' THEN true WHEN __input."churned" = 'no' THEN false ELSE error('model ''churn'': the column churned has a label that the model has not: ' || __input."churned" || '; classes: no, yes') END AS y, predict_proba('churn', __input.*)['yes'] AS p FROM t AS __input) CROSS JOIN (SELECT DISTINCT unnest(list_transform(range(5), lambda __i: 0.4::DOUBLE + __i * 0.05::DOUBLE))::DOUBLE AS threshold) WHERE y IS NOT NULL AND p IS NOT NULL GROUP BY threshold) ORDER BY threshold DESC)
-----
SELECT * FROM ML.FEATURE_INFO(MODEL churn)
-->
SELECT * FROM (SELECT "input"::VARCHAR AS "input", "min"::DOUBLE AS "min", "max"::DOUBLE AS "max", "mean"::DOUBLE AS "mean", "median"::DOUBLE AS "median", "stddev"::DOUBLE AS "stddev", "category_count"::BIGINT AS "category_count", "null_count"::BIGINT AS "null_count", "dimension"::BIGINT AS "dimension" FROM (VALUES ('a', 1, 9, 5, 5, 2, NULL, 1, NULL), ('b', NULL, NULL, NULL, NULL, NULL, 2, 0, NULL)) AS info("input", "min", "max", "mean", "median", "stddev", "category_count", "null_count", "dimension"))
-----
SELECT * FROM ML.DESCRIBE_DATA(TABLE t, STRUCT(4 AS num_quantiles, 3 AS top_k))
-->
SELECT * FROM (SELECT name, described."num_rows" AS "num_rows", described."num_nulls" AS "num_nulls", described."num_zeros" AS "num_zeros", described."min" AS "min", described."max" AS "max", described."mean" AS "mean", described."stdev" AS "stdev", described."median" AS "median", described."quantiles" AS "quantiles", described."unique" AS "unique", described."avg_string_length" AS "avg_string_length", described."num_values" AS "num_values", described."top_values" AS "top_values", described."min_array_length" AS "min_array_length", described."max_array_length" AS "max_array_length", described."avg_array_length" AS "avg_array_length" FROM (UNPIVOT (SELECT {'num_rows': count(*), 'num_nulls': count(*) - count(COLUMNS('.*')), 'num_zeros': count(CASE WHEN CASE WHEN (typeof(COLUMNS('.*')) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(typeof(COLUMNS('.*')), 'DECIMAL')) THEN TRY_CAST(COLUMNS('.*')::VARCHAR AS DOUBLE) END = 0 THEN 1 END), 'min': min(COLUMNS('.*'))::VARCHAR, 'max': max(COLUMNS('.*'))::VARCHAR, 'mean': avg(CASE WHEN isfinite(CASE WHEN (typeof(COLUMNS('.*')) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(typeof(COLUMNS('.*')), 'DECIMAL')) THEN TRY_CAST(COLUMNS('.*')::VARCHAR AS DOUBLE) END) THEN CASE WHEN (typeof(COLUMNS('.*')) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(typeof(COLUMNS('.*')), 'DECIMAL')) THEN TRY_CAST(COLUMNS('.*')::VARCHAR AS DOUBLE) END END), 'stdev': stddev(CASE WHEN isfinite(CASE WHEN (typeof(COLUMNS('.*')) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(typeof(COLUMNS('.*')), 'DECIMAL')) THEN TRY_CAST(COLUMNS('.*')::VARCHAR AS DOUBLE) END) THEN CASE WHEN (typeof(COLUMNS('.*')) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(typeof(COLUMNS('.*')), 'DECIMAL')) THEN TRY_CAST(COLUMNS('.*')::VARCHAR AS DOUBLE) END END), 'median': median(CASE WHEN isfinite(CASE WHEN (typeof(COLUMNS('.*')) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(typeof(COLUMNS('.*')), 'DECIMAL')) THEN TRY_CAST(COLUMNS('.*')::VARCHAR AS DOUBLE) END) THEN CASE WHEN (typeof(COLUMNS('.*')) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(typeof(COLUMNS('.*')), 'DECIMAL')) THEN TRY_CAST(COLUMNS('.*')::VARCHAR AS DOUBLE) END END), 'quantiles': quantile_cont(CASE WHEN isfinite(CASE WHEN (typeof(COLUMNS('.*')) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(typeof(COLUMNS('.*')), 'DECIMAL')) THEN TRY_CAST(COLUMNS('.*')::VARCHAR AS DOUBLE) END) THEN CASE WHEN (typeof(COLUMNS('.*')) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(typeof(COLUMNS('.*')), 'DECIMAL')) THEN TRY_CAST(COLUMNS('.*')::VARCHAR AS DOUBLE) END END, [0.0, 0.25, 0.5, 0.75, 1.0]), 'unique': CASE WHEN NOT any_value((typeof(COLUMNS('.*')) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(typeof(COLUMNS('.*')), 'DECIMAL'))) THEN count(DISTINCT COLUMNS('.*')::VARCHAR) END, 'avg_string_length': avg(CASE WHEN (typeof(COLUMNS('.*')) = 'VARCHAR' OR starts_with(typeof(COLUMNS('.*')), 'ENUM')) THEN length(COLUMNS('.*')::VARCHAR) END), 'num_values': coalesce(sum(CASE WHEN ends_with(typeof(COLUMNS('.*')), ']') THEN json_array_length(to_json(COLUMNS('.*'))) END)::BIGINT, count(COLUMNS('.*'))), 'top_values': CASE WHEN NOT any_value((typeof(COLUMNS('.*')) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(typeof(COLUMNS('.*')), 'DECIMAL'))) THEN list_transform(list_sort(list_transform(map_entries(histogram(COLUMNS('.*')::VARCHAR)), lambda __e: {'n': -__e.value::BIGINT, 'value': __e.key}))[:3], lambda __e: {'value': __e.value, 'count': -__e.n}) END, 'min_array_length': min(CASE WHEN ends_with(typeof(COLUMNS('.*')), ']') THEN json_array_length(to_json(COLUMNS('.*'))) END)::BIGINT, 'max_array_length': max(CASE WHEN ends_with(typeof(COLUMNS('.*')), ']') THEN json_array_length(to_json(COLUMNS('.*'))) END)::BIGINT, 'avg_array_length': avg(CASE WHEN ends_with(typeof(COLUMNS('.*')), ']') THEN json_array_length(to_json(COLUMNS('.*'))) END)} AS '\0' FROM t AS __input) ON COLUMNS(*) INTO NAME name VALUE described))
-----
SELECT * FROM ML.VALIDATE_DATA_SKEW(MODEL churn, TABLE t, STRUCT([STRUCT('B', .2)] AS thresholds))
-->
SELECT * FROM (SELECT input, metric, threshold, value, value > threshold AS is_anomaly FROM (SELECT input, metric, threshold, CASE WHEN cardinality(sample) > 0 AND cardinality(given) > 0 THEN CASE metric WHEN 'L_INFTY' THEN list_max(list_transform(pairs, lambda __e: abs(__e.p - __e.q))) ELSE greatest(list_sum(list_transform(pairs, lambda __e: CASE WHEN __e.p > 0 THEN __e.p * log2(2 * __e.p / (__e.p + __e.q)) ELSE 0 END + CASE WHEN __e.q > 0 THEN __e.q * log2(2 * __e.q / (__e.p + __e.q)) ELSE 0 END)) / 2, 0) END END AS value FROM (SELECT *, list_transform(list_distinct(map_keys(sample) || map_keys(given)), lambda __k: {'p': coalesce(sample[__k], 0) / list_sum(map_values(sample)), 'q': coalesce(given[__k], 0) / list_sum(map_values(given))}) AS pairs FROM (SELECT unnest([{'input': 'a', 'metric': 'JENSEN_SHANNON_DIVERGENCE', 'threshold': 0.3::DOUBLE, 'sample': MAP {'1': 3, '2': 3, '3': 3, '4': 3, '5': 3, '6': 3, '7': 3, '8': 3, '9': 3, '10': 3}::MAP(VARCHAR, BIGINT), 'given': histogram(CASE WHEN isfinite(__input."a"::DOUBLE) THEN CASE WHEN __input."a"::DOUBLE < [0::DOUBLE, 1::DOUBLE, 2::DOUBLE, 3::DOUBLE, 4::DOUBLE, 5::DOUBLE, 6::DOUBLE, 7::DOUBLE, 8::DOUBLE, 9::DOUBLE, 10::DOUBLE][1] THEN '0' WHEN __input."a"::DOUBLE > [0::DOUBLE, 1::DOUBLE, 2::DOUBLE, 3::DOUBLE, 4::DOUBLE, 5::DOUBLE, 6::DOUBLE, 7::DOUBLE, 8::DOUBLE, 9::DOUBLE, 10::DOUBLE][-1] THEN '11' ELSE least(10, len(list_filter([0::DOUBLE, 1::DOUBLE, 2::DOUBLE, 3::DOUBLE, 4::DOUBLE, 5::DOUBLE, 6::DOUBLE, 7::DOUBLE, 8::DOUBLE, 9::DOUBLE, 10::DOUBLE], lambda __x: __x <= __input."a"::DOUBLE)))::VARCHAR END END)::MAP(VARCHAR, BIGINT)}, {'input': 'b', 'metric': 'L_INFTY', 'threshold': 0.2::DOUBLE, 'sample': MAP {'=it''s': 20, '=Bern': 11}::MAP(VARCHAR, BIGINT), 'given': histogram(CASE WHEN __input."b"::VARCHAR IN ('it''s', 'Bern') THEN '=' || __input."b"::VARCHAR WHEN __input."b" IS NOT NULL THEN '' END)::MAP(VARCHAR, BIGINT)}], recursive := true) FROM t AS __input))))
-----
SELECT * FROM ML.VALIDATE_DATA_DRIFT(TABLE t, (SELECT * FROM u), STRUCT(0.2 AS numerical_default_threshold, [STRUCT('x', 0.1)] AS thresholds))
-->
SELECT * FROM (SELECT input, metric, threshold, value, value > threshold AS is_anomaly FROM (SELECT input, metric, threshold, CASE WHEN cardinality(sample) > 0 AND cardinality(given) > 0 THEN CASE metric WHEN 'L_INFTY' THEN list_max(list_transform(pairs, lambda __e: abs(__e.p - __e.q))) ELSE greatest(list_sum(list_transform(pairs, lambda __e: CASE WHEN __e.p > 0 THEN __e.p * log2(2 * __e.p / (__e.p + __e.q)) ELSE 0 END + CASE WHEN __e.q > 0 THEN __e.q * log2(2 * __e.q / (__e.p + __e.q)) ELSE 0 END)) / 2, 0) END END AS value FROM (SELECT *, list_transform(list_distinct(map_keys(sample) || map_keys(given)), lambda __k: {'p': coalesce(sample[__k], 0) / list_sum(map_values(sample)), 'q': coalesce(given[__k], 0) / list_sum(map_values(given))}) AS pairs FROM (SELECT input, CASE WHEN (one.type IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(one.type, 'DECIMAL')) THEN 'JENSEN_SHANNON_DIVERGENCE' ELSE 'L_INFTY' END AS metric, CASE lower(input) WHEN 'x' THEN 0.1 ELSE CASE WHEN (one.type IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(one.type, 'DECIMAL')) THEN 0.2::DOUBLE ELSE 0.3::DOUBLE END END AS threshold, coalesce(CASE WHEN (one.type IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(one.type, 'DECIMAL')) THEN map_from_entries(list_filter(list_transform(range(12), lambda __b: {'key': __b::VARCHAR, 'value': list_sum(list_transform(list_filter(list_transform(list_filter(map_entries(one.sample), lambda __e: isfinite(TRY_CAST(__e.key AS DOUBLE))), lambda __e: {'bin': CASE WHEN __e.key::DOUBLE < one.edges[1] THEN '0' WHEN __e.key::DOUBLE > one.edges[-1] THEN '11' ELSE least(10, len(list_filter(one.edges, lambda __x: __x <= __e.key::DOUBLE)))::VARCHAR END, 'n': __e.value}), lambda __e: __e.bin = __b::VARCHAR), lambda __e: __e.n))::UBIGINT}), lambda __e: __e.value > 0)) ELSE one.sample END, MAP {}::MAP(VARCHAR, UBIGINT)) AS sample, coalesce(CASE WHEN (one.type IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'FLOAT', 'DOUBLE', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT') OR starts_with(one.type, 'DECIMAL')) THEN map_from_entries(list_filter(list_transform(range(12), lambda __b: {'key': __b::VARCHAR, 'value': list_sum(list_transform(list_filter(list_transform(list_filter(map_entries(one.given), lambda __e: isfinite(TRY_CAST(__e.key AS DOUBLE))), lambda __e: {'bin': CASE WHEN __e.key::DOUBLE < one.edges[1] THEN '0' WHEN __e.key::DOUBLE > one.edges[-1] THEN '11' ELSE least(10, len(list_filter(one.edges, lambda __x: __x <= __e.key::DOUBLE)))::VARCHAR END, 'n': __e.value}), lambda __e: __e.bin = __b::VARCHAR), lambda __e: __e.n))::UBIGINT}), lambda __e: __e.value > 0)) ELSE one.given END, MAP {}::MAP(VARCHAR, UBIGINT)) AS given FROM (UNPIVOT (SELECT {'type': any_value(typeof(COLUMNS(* EXCLUDE (__new)))), 'edges': quantile_cont(CASE WHEN isfinite(TRY_CAST(COLUMNS(* EXCLUDE (__new))::VARCHAR AS DOUBLE)) THEN TRY_CAST(COLUMNS(* EXCLUDE (__new))::VARCHAR AS DOUBLE) END, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]) FILTER (WHERE NOT __new), 'sample': histogram(COLUMNS(* EXCLUDE (__new))::VARCHAR) FILTER (WHERE NOT __new), 'given': histogram(COLUMNS(* EXCLUDE (__new))::VARCHAR) FILTER (WHERE __new)} FROM (SELECT false AS __new, __input.* FROM t AS __input UNION ALL BY NAME SELECT true AS __new, __input.* FROM (SELECT * FROM u) AS __input)) ON COLUMNS(*) INTO NAME input VALUE one)))))
-----
SELECT * FROM ML_PREDICT(TABLE t, MODEL price, DESCRIPTOR(x, `y`)) AS p
-->
SELECT * FROM (SELECT __input.*, predict('price', __input.x, __input."y") AS "predicted_label" FROM t AS __input) AS p
-----
SELECT a FROM t, LATERAL TABLE(ML_PREDICT(INPUT => TABLE t, MODEL => MODEL price, ARGS => DESCRIPTOR(x, y), CONFIG => MAP['async', 'true']))
-->
SELECT a FROM t, (SELECT __input.*, predict('price', __input.x, __input.y) AS "predicted_label" FROM t AS __input)
-----
SELECT MODEL(price)!PREDICT(x, y) FROM t
-->
SELECT {'output_feature_0': predict('price', x, y)} FROM t
-----
SELECT MODEL(db.sch.price, V2)!PREDICT(x, f(y, 1)):output_feature_0::FLOAT AS p, MODEL(price, champion)!predict(*)['output_feature_0'] FROM t
-->
SELECT predict('price/2', x, f(y, 1))::FLOAT AS p, predict('price@champion', *) FROM t
-----
SELECT MODEL(churn, FIRST)!PREDICT_PROBA(x, y), MODEL(churn, LAST)!PREDICT_PROBA(x, y):"output_feature_1" FROM t
-->
SELECT {'output_feature_0': predict_proba('churn/1', x, y)['no'], 'output_feature_1': predict_proba('churn/1', x, y)['yes']}, predict_proba('churn/2', x, y)['yes'] FROM t
-----
WITH latest AS MODEL price VERSION LAST, u AS (FROM t) SELECT latest!predict(x, y), price!predict_label(x, y):output_feature_0 FROM u
-->
WITH latest AS (SELECT 'price/2' AS model), u AS (FROM t) SELECT {'output_feature_0': predict('price/2', x, y)}, predict('price', x, y)::VARCHAR FROM u
-----
SELECT PREDICTION(price USING *), prediction(shop.price USING t.*) FROM t WHERE PREDICTION(price USING B, a + 1 AS a, c) > 1
-->
SELECT predict('price', *), predict('price', t.*) FROM t WHERE predict('price', a + 1, B) > 1
-----
SELECT PREDICTION_PROBABILITY(churn USING *), PREDICTION_PROBABILITY(churn, 'yes' USING *), PREDICTION_PROBABILITY(digit, 2 USING a) FROM t
-->
SELECT list_max(map_values(predict_proba('churn', *))), predict_proba('churn', *)['yes'], predict_proba('digit', a)[2] FROM t
-----
SELECT PREDICTION_SET(digit, 2, 0.1 USING *) FROM t
-->
SELECT list_slice(list_filter(list_transform(list_sort(list_transform(map_entries(predict_proba('digit', *)), lambda __e, __i: {'prob': __e.value, 'before': -__i, 'label': __e.key}), 'DESC'), lambda __e: {'PREDICTION': __e.label, 'PROBABILITY': __e.prob}), lambda __e: __e.PROBABILITY >= 0.1), 1, 2) FROM t
-----
SELECT PREDICTION(price USING ? AS b, ? AS a)
-->
SELECT predict('price', {'b': ?, 'a': ?})
