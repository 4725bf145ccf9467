"""Registered models behind HTTP: the Open Inference Protocol, MLflow's scoring protocol, and Arrow streams."""
