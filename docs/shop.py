"""The shop of these pages: customers.parquet, shop.duckdb, churn.pkl, and two versions of the model churn. Run it in an
empty folder; the models go to $SQLINFER_HOME."""

from pathlib import Path

import duckdb
import joblib
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import sqlinfer

customers = pd.DataFrame(
    [
        (1, 23, 28.5, "Basel", "yes"),
        (2, 31, 36.0, "Bern", "yes"),
        (3, 35, 61.0, "Bern", "no"),
        (4, 44, 52.5, "Zug", "no"),
        (5, 27, 33.0, "Zug", "yes"),
        (6, 52, None, "Basel", "no"),
        (7, 61, 74.0, "Bern", "no"),
        (8, 38, 30.5, "Basel", "yes"),
    ],
    columns=["id", "age", "income", "city", "churned"],
)
features = customers[["age", "income", "city"]]
known = customers["income"].notna()

linear = make_pipeline(
    make_column_transformer((StandardScaler(), ["age", "income"]), (OneHotEncoder(), ["city"])),
    LogisticRegression(),
)
tree = make_pipeline(
    make_column_transformer((SimpleImputer(), ["age", "income"]), (OneHotEncoder(), ["city"])),
    DecisionTreeClassifier(max_depth=2, random_state=0),
)
linear.fit(features[known], customers["churned"][known])
tree.fit(features, customers["churned"])

sqlinfer.register("churn", linear, sample=features[known], target="churned")
sqlinfer.register("churn", tree, sample=features, target="churned").alias("challenger")

customers.to_parquet("customers.parquet")
joblib.dump(tree, "churn.pkl")
with duckdb.connect("shop.duckdb", config={"storage_compatibility_version": "v1.5.0"}) as con:
    con.execute("CREATE TABLE customers AS FROM customers")
print("\n".join(sorted(path.name for path in Path().iterdir())))
