"""The model server: one process that answers `GET /ping` and `POST /invocations` for one variant.

`python -m mlplat.localcloud.executors.model_server --socket PATH [--model-dir /opt/ml/model]` loads the model and only
then listens, so a model that can't load ends the process with its traceback in the log. It listens on a unix socket:
no port to clash, no Nagle, and nobody but the user can reach it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

from mlplat.localcloud.executors.inference import Inference, UnsupportedFormat, code_folder, load

MODEL_DIR = "/opt/ml/model"


class ModelServer(ThreadingMixIn, UnixStreamServer):
    """A thread per connection; the router keeps connections open, so a thread serves many requests."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, socket: Path, inference: Inference) -> None:
        self.inference = inference
        super().__init__(str(socket), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no event; anything else is told in the log."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            traceback.print_exc()


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # headers and body leave in one write

    def do_GET(self) -> None:
        known = self.path == "/ping"
        self._answer(200 if known else 404, b"", "application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/invocations":
            self._answer(404, b"", "application/json")
            return
        try:
            answer, kind = self.server.inference.answer(body, self.headers["Content-Type"], self.headers["Accept"])
        except UnsupportedFormat as error:
            told = {"error": "UnsupportedFormatError", "error-message": str(error)}
            self._answer(error.status, json.dumps(told).encode(), "application/json")
        except Exception as error:
            traceback.print_exc()
            self._answer(500, (str(error) or type(error).__name__).encode(), "text/plain")
        else:
            self._answer(200, answer, kind)

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """No access log: CloudWatch's Invocations metric counts, and a line for each request would be dear."""


def main(argv: Sequence[str] | None = None) -> int:
    """Load, listen, serve until SIGTERM; the exit code is 1 when the model can't be loaded."""
    parser = argparse.ArgumentParser(prog="model_server", description="Serve one model by the inference contract.")
    parser.add_argument("--socket", type=Path, required=True, help="the unix socket to listen on")
    parser.add_argument("--model-dir", type=Path, default=Path(MODEL_DIR), help="the folder model_fn is given")
    args = parser.parse_args(argv)
    # Explicit, because the first process of a PID namespace is not ended by a signal that it doesn't handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        _tell_about_requirements(code_folder(args.model_dir, os.environ))
        inference = load(args.model_dir, os.environ)
    except Exception:
        traceback.print_exc()
        return 1
    args.socket.unlink(missing_ok=True)
    with ModelServer(args.socket, inference) as server:
        print(f"Serving {args.model_dir}", flush=True)  # noqa: T201
        server.serve_forever()
    return 0


def _tell_about_requirements(code: Path) -> None:
    if (code / "requirements.txt").is_file():
        print("requirements.txt is not installed here: the local environment is used as it is", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
