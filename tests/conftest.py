import os

# MLflow reads it when it is imported, which may be while tests are collected.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # every core has its tests: threads would wait for each other
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
