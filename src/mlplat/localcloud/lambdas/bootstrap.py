"""What runs in a function's process: `python bootstrap.py HANDLER EVENT RESULT CONTEXT`, all but the first are files.

Imports nothing of mlplat. The result is what the handler returns, as JSON, or the error in the shape of Lambda's
Python runtime (https://github.com/aws/aws-lambda-python-runtime-interface-client, `bootstrap.py`).
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Context:
    """The context object that the handler is given."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.function_name: str = facts["function_name"]
        self.function_version: str = facts["function_version"]
        self.invoked_function_arn: str = facts["invoked_function_arn"]
        self.memory_limit_in_mb: str = facts["memory_limit_in_mb"]
        self.aws_request_id: str = facts["aws_request_id"]
        self.log_group_name: str = facts["log_group_name"]
        self.log_stream_name: str = facts["log_stream_name"]
        self.client_context: Any = facts["client_context"]
        self.identity: Any = None
        self._deadline: float = facts["deadline"]

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function times out."""
        return max(0, int((self._deadline - time.time()) * 1000))


class Broken(Exception):
    """The function can't be run, or what it returned can't be sent; `kind` is the error's type."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def handler(name: str) -> Callable[[Any, Context], Any]:
    """The function `module.function`."""
    module, dot, function = name.rpartition(".")
    if not dot:
        raise Broken("Runtime.MalformedHandlerName", f"Bad handler '{name}': not enough values to unpack")
    try:
        found = importlib.import_module(module.replace("/", "."))
    except ImportError as error:
        raise Broken("Runtime.ImportModuleError", f"Unable to import module '{module}': {error}") from error
    except SyntaxError as error:
        text = f"Syntax error in module '{module}': {error}"
        raise Broken("Runtime.UserCodeSyntaxError", text) from error
    if not hasattr(found, function):
        raise Broken("Runtime.HandlerNotFound", f"Handler '{function}' missing on module '{module}'")
    made: Callable[[Any, Context], Any] = getattr(found, function)
    return made


def run(name: str, event: bytes, facts: dict[str, Any]) -> tuple[str, str | None]:
    """The answer as JSON, and "error" when it is one."""
    request_id = facts["aws_request_id"]
    try:
        answer = handler(name)(json.loads(event), Context(facts))
    except Broken as error:
        return json.dumps(_error(error.kind, str(error), request_id, [])), "error"
    except Exception as error:
        frames = traceback.format_list(traceback.extract_tb(error.__traceback__)[1:])
        return json.dumps(_error(type(error).__name__, str(error), request_id, frames)), "error"
    try:
        return json.dumps(answer, ensure_ascii=False), None
    except (TypeError, ValueError) as error:
        text = f"Unable to marshal response: {error}"
        return json.dumps(_error("Runtime.MarshalError", text, request_id, [])), "error"


def _error(kind: str, text: str, request_id: str, frames: list[str]) -> dict[str, Any]:
    print(f"[ERROR] {kind}: {text}" + ("\nTraceback (most recent call last):" if frames else ""))  # noqa: T201
    print("".join(frames), end="", flush=True)  # noqa: T201
    return {"errorMessage": text, "errorType": kind, "requestId": request_id, "stackTrace": frames}


def main(name: str, event: str, result: str, context: str) -> None:
    """Run the handler once, and write what came of it."""
    answer, failed = run(name, Path(event).read_bytes(), json.loads(Path(context).read_text()))
    Path(result).write_text(json.dumps({"failed": failed is not None, "answer": answer}))


if __name__ == "__main__":
    main(*sys.argv[1:])
