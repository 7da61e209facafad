"""A Spark session for `scoring.spark`: that of spark-submit, one on a named master, or one on this machine alone."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scoring.errors import ExtraMissing, TensionError, UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OLDEST_JAVA: Final = 17
"""Major version that Spark 4 asks for."""

LOCAL: Final = "local[*]"
"""The master where nobody names one: all cores of this machine."""


@contextmanager
def session(master: str | None = None) -> Iterator[SparkSession]:
    """Give a Spark session for the length of a block.

    Parameters
    ----------
    master : str, optional
        As Spark knows it (``local[4]``, ``spark://host:7077``, ``yarn``); by default that of ``spark-submit`` or of
        ``spark-defaults.conf``, else `LOCAL`.

    Yields
    ------
    pyspark.sql.SparkSession
        Stopped here, if it was started here. One on this machine alone listens on loopback and has no web page.

    Raises
    ------
    ExtraMissing
        If pyspark is not installed.
    UsageError
        If the environment asks for Spark Connect.
    TensionError
        If there is no Java, or too old a one, or the session does not start.
    """
    if importlib.util.find_spec("pyspark") is None:
        raise ExtraMissing("spark", "pyspark")
    if os.environ.get("SPARK_REMOTE"):
        raise UsageError(
            "--engine spark: expected a master of Spark, found Spark Connect (SPARK_REMOTE), which is not "
            "supported. Unset it, and name a --master or use spark-submit."
        )
    with no_pandas_warning():
        from pyspark.sql import SparkSession

        before = SparkSession.getActiveSession()
        try:
            spark = before or _start(SparkSession.builder, master)
        except (
            Exception
        ) as error:  # of Py4J, of the launcher, of Spark: whatever keeps it from starting
            raise TensionError(
                f"--engine spark: expected a session{f' on {master}' if master else ''}, found: "
                f"{in_short(error)} Check the master and the configuration of Spark."
            ) from error
        try:
            yield spark
        finally:
            if before is None:
                spark.stop()


def _start(builder: Any, master: str | None) -> SparkSession:
    builder = builder.appName("tension score").config("spark.ui.showConsoleProgress", "false")
    if "PYSPARK_GATEWAY_PORT" in os.environ:  # spark-submit has started Java, and is obeyed
        return _get(builder.master(master) if master else builder)
    check_java()
    if master is None and not _is_configured():
        master = LOCAL
    if master is not None:
        builder = builder.master(master)
        if master.startswith("local"):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
            builder = builder.config("spark.ui.enabled", "false")
    with _java_aside():
        return _get(builder)


def _get(builder: Any) -> SparkSession:
    spark: SparkSession = builder.getOrCreate()
    return spark


@contextmanager
def _java_aside() -> Iterator[None]:
    """Let the Java process that starts here write what it logs to a file that is gone with it.

    What fails comes back as one line. To read the logs, use spark-submit and its configuration.
    """
    with tempfile.TemporaryFile() as log:
        before = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield
        except Exception as error:
            log.seek(0)
            said = log.read().decode(errors="replace").splitlines()
            told = [line for line in said if re.search("error|exception", line, re.IGNORECASE)]
            if "JAVA_GATEWAY_EXITED" in str(error) and told:
                raise RuntimeError(told[0]) from error  # it has said why; pyspark does not know
            raise
        finally:
            os.dup2(before, 2)
            os.close(before)


def _is_configured() -> bool:
    """Tell whether Spark's own configuration names a master."""
    if "--master" in os.environ.get("PYSPARK_SUBMIT_ARGS", ""):
        return True
    folder = os.environ.get("SPARK_CONF_DIR") or Path(os.environ.get("SPARK_HOME", "/"), "conf")
    defaults = Path(folder, "spark-defaults.conf")
    return defaults.is_file() and bool(
        re.search(r"^\s*spark\.master[\s=]", defaults.read_text(errors="replace"), re.MULTILINE)
    )


def check_java() -> None:
    """Make sure that there is a Java that Spark runs on.

    Raises
    ------
    TensionError
        If there is none, or one too old.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=Path(home, "bin")) if home else shutil.which("java")
    remedy = f"Install one (Debian: openjdk-{OLDEST_JAVA}-jre-headless) or set JAVA_HOME."
    wanted = f"--engine spark: expected Java {OLDEST_JAVA} or newer"
    if java is None:
        where = f"JAVA_HOME ({home})" if home else "PATH"
        raise TensionError(f"{wanted}, found none in {where}. {remedy}")
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)  # noqa: S603
    said = done.stderr + done.stdout
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    if match is None or int(match[1]) < OLDEST_JAVA:
        found = f"version {match[1]}" if match else repr(said.strip()[:80])
        raise TensionError(f"{wanted}, found {found} ({java}). {remedy}")


@contextmanager
def no_pandas_warning() -> Iterator[None]:
    """Keep quiet what pyspark says of the version of pandas: this engine takes Arrow tables from it, nothing else."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        yield


def in_short(error: BaseException) -> str:
    """Give the line of an error of Spark that says what happened: below Python's last traceback, else the first."""
    text = str(error)
    raised = re.findall(r"^ {2,}\S.*\n(\S.*)$", text, re.MULTILINE)
    said = [line for line in text.splitlines() if line and "An error occurred while" not in line]
    chosen = (raised[-1:] or said[:1] or [type(error).__name__])[0]
    return f"{chosen.strip(' :').rstrip('.')}."
