import os
import time
from collections.abc import Callable

import pytest

# MLflow reads it when it is imported, which may be while tests are collected.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # every core has its tests: threads would wait for each other
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


@pytest.fixture
def cpu_seconds() -> Callable[[Callable[[], object]], float]:
    """Measure the CPU time of a call; the better of two, where the first was slow: machines stall."""

    def once(call: Callable[[], object]) -> float:
        start = time.process_time()
        call()
        return time.process_time() - start

    def measure(call: Callable[[], object]) -> float:
        first = once(call)
        return first if first < 1 else min(first, once(call))

    return measure
