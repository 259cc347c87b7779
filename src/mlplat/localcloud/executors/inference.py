"""The inference contract of the framework containers: the user's functions, and the defaults where there are none.

Sources: sagemaker-inference-toolkit `transformer.py`; for the defaults sagemaker-scikit-learn-container `serving.py`
and sagemaker-containers `_encoders.py`. Where those differ, the older one (scikit-learn up to 1.2-1) is followed.
"""

from __future__ import annotations

import csv
import importlib
import inspect
import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

JSON, CSV, NPY, ANY = "application/json", "text/csv", "application/x-npy", "*/*"
TEXT_TYPES = (JSON, CSV)
"""The toolkits compare whole header values: `text/csv; charset=utf-8` arrives as bytes there, so here too."""

MIXED = "Cannot use transform_fn implementation with input_fn, predict_fn, and/or output_fn"
NO_MODEL_FN = "Please provide a model_fn implementation. See https://github.com/aws/sagemaker-python-sdk"


class UnsupportedFormat(Exception):
    """A content type that the defaults can't read or write: 415 from input_fn, 406 from output_fn."""

    def __init__(self, content_type: str, status: int) -> None:
        super().__init__(
            f"Content type {content_type} is not supported by this framework. Please implement input_fn to "
            "deserialize the request data or an output_fn to serialize the response."
        )
        self.status = status


@dataclass(frozen=True)
class Inference:
    """A loaded model with the functions that answer for it."""

    model: Any
    transform: Callable[[Any, str | bytes, str, str], Any]
    default_accept: str = JSON

    def answer(self, body: bytes, content_type: str | None, accept: str | None) -> tuple[bytes, str]:
        """What the container answers: the body and its content type. User exceptions pass through."""
        given = content_type or JSON
        wanted = self.default_accept if not accept or accept == ANY else accept
        content = body.decode() if given in TEXT_TYPES else body
        result = self.transform(self.model, content, given, wanted)
        payload, kind = result if isinstance(result, tuple) else (result, wanted)
        return _as_bytes(payload), kind


def load(model_dir: Path, environment: Mapping[str, str]) -> Inference:
    """Import the user's module, load the model with it, and say how to answer.

    Raises whatever the user's module or model_fn raises, and ValueError when transform_fn is mixed with others.
    """
    module = _user_module(model_dir, environment)
    transform = _transform(module)
    model = _plain(getattr(module, "model_fn", None) or _default_model_fn, 1)(str(model_dir))
    return Inference(model, transform, environment.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON))


def code_folder(model_dir: Path, environment: Mapping[str, str]) -> Path:
    """Where the user's code lies: SAGEMAKER_SUBMIT_DIRECTORY when it is a folder, `/opt/ml/code`, or `model/code`.

    A submit directory on S3 is unpacked to `/opt/ml/code` before the server starts, as the containers do.
    """
    submitted = environment.get("SAGEMAKER_SUBMIT_DIRECTORY", "").removeprefix("file://")
    places = [Path(submitted)] if submitted.startswith("/") else []
    places += [model_dir.parent / "code", model_dir / "code"]
    return next((place for place in places if place.is_dir()), model_dir)


def _user_module(model_dir: Path, environment: Mapping[str, str]) -> ModuleType | None:
    program = environment.get("SAGEMAKER_PROGRAM")
    folder = code_folder(model_dir, environment)
    if program is None and not (folder / "inference.py").is_file():
        return None
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    name = (program or "inference.py").removesuffix(".py").replace("/", ".")
    return importlib.import_module(name)


def _transform(module: ModuleType | None) -> Callable[[Any, str | bytes, str, str], Any]:
    own = {name: getattr(module, name, None) for name in ("transform_fn", "input_fn", "predict_fn", "output_fn")}
    whole = own.pop("transform_fn")
    if whole and any(own.values()):
        raise ValueError(MIXED)
    if whole:
        return _plain(whole, 4)
    read = _plain(own["input_fn"] or _default_input_fn, 2)
    predict = _plain(own["predict_fn"] or _default_predict_fn, 2)
    write = _plain(own["output_fn"] or _default_output_fn, 2)

    def steps(model: Any, body: str | bytes, content_type: str, accept: str) -> Any:
        return write(predict(read(body, content_type), model), accept)

    return steps


def _plain(function: Callable[..., Any], arguments: int) -> Callable[..., Any]:
    """The toolkit gives a function that takes one argument more its `context`; there is none outside its server."""
    takes = inspect.signature(function).parameters.values()
    positional = [each for each in takes if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    required = [each for each in positional if each.default is each.empty]
    if len(required) == arguments + 1:
        return lambda *given: function(*given, None)
    return function


def _default_model_fn(model_dir: str) -> Any:
    raise NotImplementedError(NO_MODEL_FN)


def _default_input_fn(body: str | bytes, content_type: str) -> Any:
    import numpy as np

    if content_type == JSON:
        return np.array(json.loads(body)).astype(np.float32)
    if content_type == CSV:
        # One row becomes a one-dimensional array on AWS too: scikit-learn refuses it there as here.
        rows = list(csv.reader(io.StringIO(str(body)), strict=True))
        return np.array(rows).squeeze().astype(np.float32)
    if content_type == NPY and isinstance(body, bytes):
        return np.load(io.BytesIO(body), allow_pickle=True)
    raise UnsupportedFormat(content_type, 415)


def _default_predict_fn(data: Any, model: Any) -> Any:
    return model.predict(data)


def _default_output_fn(prediction: Any, accept: str) -> tuple[str | bytes, str]:
    import numpy as np

    if accept == JSON:
        return json.dumps(prediction, default=_as_list), JSON
    if accept == CSV:
        table = np.array(prediction)
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows(table.reshape(-1, 1) if table.ndim == 1 else table)
        return lines.getvalue(), CSV
    if accept == NPY:
        buffer = io.BytesIO()
        np.save(buffer, prediction)
        return buffer.getvalue(), NPY
    raise UnsupportedFormat(accept, 406)


def _as_list(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _as_bytes(payload: Any) -> bytes:
    if isinstance(payload, str):
        return payload.encode()
    if isinstance(payload, bytes | bytearray | memoryview):
        return bytes(payload)
    raise TypeError(f"output_fn must return text or bytes, not {type(payload).__name__}")
