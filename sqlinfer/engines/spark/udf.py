"""The function that Spark ships to its executors. It is pickled by value, so that an executor without sqlinfer can say
what it lacks."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

from sqlinfer.engines.spark.types import answer_type_of
from sqlinfer.engines.spark.worker import Job
from sqlinfer.version import __version__

__all__ = ["arrow_udf_of"]


def arrow_udf_of(job: Job) -> Any:
    """One of pyspark's UDFs, which takes any number of columns."""
    from pyspark.sql.functions import ArrowUDFType, arrow_udf

    with warnings.catch_warnings():  # hints would have to say how many columns there are
        warnings.filterwarnings("ignore", "It is preferred to specify type hints", UserWarning)
        function = _shipped(pickle.dumps(job), __version__)
        function.__name__ = f"{'try_' * job.tries}{job.call}_{job.called}"  # which heads a column that has no name
        return arrow_udf(function, answer_type_of(job.gives), ArrowUDFType.SCALAR_ITER)


def _shipped(pickled: bytes, version: str) -> Any:
    def sqlinfer_answers(batches):  # type: ignore[no-untyped-def]  # an executor would look for what hints name
        import pickle
        import platform

        try:
            import sqlinfer.version
        except ImportError as error:
            raise ModuleNotFoundError(
                f"sqlinfer is not installed on the executor {platform.node()}: pip install sqlinfer=={version} for the "
                "Python that $PYSPARK_PYTHON names there"
            ) from error
        found = sqlinfer.version.__version__
        if found != version:
            raise RuntimeError(
                f"the executor {platform.node()} has sqlinfer {found}, and the driver {version}: install the same"
            )
        from sqlinfer.engines.spark.worker import answers

        yield from answers(pickle.loads(pickled), batches)

    return sqlinfer_answers
