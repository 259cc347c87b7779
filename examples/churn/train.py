"""Trains a churn model: a logistic regression or a gradient boosting, in SageMaker's script mode or by hand.

    python train.py --model gradient_boosting --max_iter 200

Data come from SM_CHANNEL_TRAIN and SM_CHANNEL_VALIDATION, the model goes to SM_MODEL_DIR: a whole scikit-learn
pipeline, and beside it the code that serves it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from pathlib import Path
from typing import Any

# Some thousand rows: a second thread costs more than it brings, and tuning runs jobs side by side.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import joblib
import numpy as np
from customers import CATEGORIES, FEATURES, LABEL, DataError, from_csv, truth
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = Path(__file__).resolve().parent
SERVING = ("inference.py", "customers.py")


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Hyperparameters and folders; SageMaker passes the former as --name value, the latter by environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--model", choices=("logistic_regression", "gradient_boosting"), default="logistic_regression")
    parser.add_argument("--C", type=float, default=1.0, help="logistic regression: inverse of the penalty")
    parser.add_argument("--learning_rate", type=float, default=0.1, help="gradient boosting: shrinkage")
    parser.add_argument("--max_iter", type=int, help="iterations (default 1000), or trees (default 100)")
    parser.add_argument("--max_leaf_nodes", type=int, default=31, help="gradient boosting: leaves of a tree")
    parser.add_argument("--min_samples_leaf", type=int, default=20, help="gradient boosting: customers in a leaf")
    parser.add_argument("--l2_regularization", type=float, default=0.0, help="gradient boosting: penalty")
    parser.add_argument("--seed", type=int, default=7)
    folders = parser.add_argument_group("folders")
    for flag, variable, default in (
        ("--train", "SM_CHANNEL_TRAIN", HERE / "data" / "train.csv"),
        ("--validation", "SM_CHANNEL_VALIDATION", HERE / "data" / "validation.csv"),
        ("--model-dir", "SM_MODEL_DIR", HERE / "model"),
    ):
        folders.add_argument(flag, type=Path, default=Path(os.environ.get(variable, default)))
    # Tuning jobs add this one to the hyperparameters of every job.
    parser.add_argument("--_tuning_objective_metric", help=argparse.SUPPRESS)
    return parser.parse_args(given)


def read(place: Path) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and labels of a CSV file, or of all CSV files of a folder."""
    paths = sorted(place.glob("*.csv")) if place.is_dir() else [place]
    if not paths or not paths[0].exists():
        raise DataError(f"{place}: there is no CSV file")
    parts = [from_csv(path.read_text(encoding="utf-8"), path.name) for path in paths]
    labels = [truth(each, path.name) for path, (_, each) in zip(paths, parts)]
    return np.concatenate([matrix for matrix, _ in parts]), np.concatenate(labels)


def pipeline(options: argparse.Namespace) -> Pipeline:
    """From raw columns to a probability: imputing, one-hot, scaling, and the estimator."""
    categories, numbers = list(range(len(CATEGORIES))), list(range(len(CATEGORIES), len(FEATURES)))
    columns = ColumnTransformer(
        [
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        ]
    )
    return make_pipeline(columns, _estimator(options))


def _estimator(options: argparse.Namespace) -> Any:
    if options.model == "logistic_regression":
        return LogisticRegression(C=options.C, max_iter=options.max_iter or 1000)
    return HistGradientBoostingClassifier(
        learning_rate=options.learning_rate,
        max_iter=options.max_iter or 100,
        max_leaf_nodes=options.max_leaf_nodes,
        min_samples_leaf=options.min_samples_leaf,
        l2_regularization=options.l2_regularization,
        random_state=options.seed,
    )


def auc(model: Pipeline, matrix: np.ndarray, labels: np.ndarray) -> float:
    """The area under the ROC curve."""
    return float(roc_auc_score(labels, model.predict_proba(matrix)[:, 1]))


def save(model: Pipeline, folder: Path) -> None:
    """model.joblib, and under code/ what serves it, where AWS's containers look for it."""
    code = folder / "code"
    code.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, folder / "model.joblib")
    for name in SERVING:
        shutil.copy(HERE / name, code / name)


def main() -> None:
    """Read, fit, measure, save."""
    options = arguments()
    train, validation = read(options.train), read(options.validation)
    for channel, (_, labels) in (("train", train), ("validation", validation)):
        if len(set(labels.tolist())) < 2:
            raise DataError(f'{channel}: column "{LABEL}" has one value only; a model needs both')
    print(f"model={options.model} customers={len(train[0])} features={len(FEATURES)}", flush=True)
    began = time.monotonic()
    model = pipeline(options).fit(*train)
    print(f"fit_seconds={time.monotonic() - began:.2f}", flush=True)
    # The configuration's metric patterns read these two lines.
    print(f"train_auc={auc(model, *train):.4f}", flush=True)
    print(f"validation_auc={auc(model, *validation):.4f}", flush=True)
    save(model, options.model_dir)


if __name__ == "__main__":
    main()
