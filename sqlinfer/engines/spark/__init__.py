"""The Spark engine: each call of each version of a model is an Arrow UDF in iterator form, on a session of Spark's."""
