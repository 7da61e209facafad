import os

# MLflow reads it when it is imported, which may be while tests are collected.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
