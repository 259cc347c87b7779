"""Serves the model: SageMaker's containers call these four functions.

CSV (with or without a header) or JSON records in; the probability of churn, one a customer, out.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

# A request is one small matrix: threads would only get in each other's way. Read when numpy makes its pools.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import joblib
import numpy as np
from customers import DataError, from_csv, from_json


def model_fn(model_dir: str) -> Any:
    """The fitted pipeline that train.py saved."""
    return joblib.load(Path(model_dir) / "model.joblib")


def input_fn(body: str | bytes, content_type: str) -> np.ndarray:
    """A request body as the matrix that the model takes."""
    text = body.decode("utf-8") if isinstance(body, bytes) else body
    kind = content_type.split(";")[0].strip().lower()
    if kind == "text/csv":
        return from_csv(text)[0]
    if kind == "application/json":
        return from_json(text)
    raise DataError(f"content type {content_type}: send text/csv or application/json")


def predict_fn(customers: np.ndarray, model: Any) -> np.ndarray:
    """The probability of churn of each customer."""
    return model.predict_proba(customers)[:, 1]


def output_fn(probabilities: np.ndarray, accept: str) -> tuple[str, str]:
    """Probabilities as CSV (one a line) or JSON ({"predictions": [...]})."""
    values = [round(float(each), 6) for each in probabilities]
    if accept.split(";")[0].strip().lower() in ("text/csv", "text/plain"):
        return "".join(f"{each}\n" for each in values), "text/csv"
    return json.dumps({"predictions": values}), "application/json"
