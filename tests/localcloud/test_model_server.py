"""The model server as the router sees it: a real process, a real scikit-learn model, and every way to go wrong."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mlplat.localcloud.executors.inference import MIXED, load
from mlplat.localcloud.executors.router import Answer, Connections, TimedOut, Unreachable

MODEL_FN = """
    import joblib, os
    def model_fn(model_dir):
        return joblib.load(os.path.join(model_dir, "model.joblib"))
"""


class Server:
    """A model server process on a model folder, and a way to ask it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        module = "mlplat.localcloud.executors.model_server"
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, "--socket", "socket", "--model-dir", str(folder / "model")],
            env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **environment},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.connections = Connections(folder / "socket")

    def ready(self) -> Server:
        while self.process.poll() is None:
            try:
                assert self.connections.send("GET", "/ping", timeout=2).status == 200
                return self
            except Unreachable:
                time.sleep(0.02)
        raise AssertionError(self.process.communicate()[0])

    def ask(self, body: bytes, content_type: str = "text/csv", accept: str | None = None) -> Answer:
        headers = {"Content-Type": content_type, **({"Accept": accept} if accept else {})}
        return self.connections.send("POST", "/invocations", body, headers, timeout=20)

    def stop(self) -> int:
        self.connections.close()
        self.process.terminate()
        return self.process.wait(10)


Serve = Callable[..., Server]


@pytest.fixture(scope="module")
def model() -> LogisticRegression:
    features = np.array([[0.0, 0.0], [0.0, 1.0], [5.0, 5.0], [6.0, 5.0]])
    return LogisticRegression().fit(features, [0, 0, 1, 1])


@pytest.fixture
def serve(tmp_path: Path, model: LogisticRegression) -> Iterator[Serve]:
    started: list[Server] = []

    def start(code: str | None = MODEL_FN, **environment: str) -> Server:
        (tmp_path / "model" / "code").mkdir(parents=True)
        joblib.dump(model, tmp_path / "model" / "model.joblib")
        if code is not None:
            (tmp_path / "model" / "code" / "inference.py").write_text(textwrap.dedent(code))
        started.append(Server(tmp_path, environment))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def test_the_defaults_read_and_write_csv_json_and_npy(serve: Serve) -> None:
    server = serve().ready()
    rows = np.array([[0.0, 0.5], [6.0, 6.0]])
    npy = io.BytesIO()
    np.save(npy, rows)
    assert server.ask(b"0,0.5\n6,6\n") == Answer(200, "application/json", b"[0, 1]")
    assert server.ask(json.dumps(rows.tolist()).encode(), "application/json", "text/csv") == Answer(
        200, "text/csv", b"0\n1\n"
    )
    answer = server.ask(npy.getvalue(), "application/x-npy", "application/x-npy")
    assert np.load(io.BytesIO(answer.body)).tolist() == [0, 1]


def test_formats_nobody_implements_are_415_and_406(serve: Serve) -> None:
    server = serve().ready()
    unknown = server.ask(b"?", "application/x-image")
    assert unknown.status == 415
    assert "application/x-image is not supported" in json.loads(unknown.body)["error-message"]
    assert server.ask(b"0,0\n1,1\n", accept="application/x-image").status == 406


def test_an_exception_is_500_with_its_message_and_a_traceback_in_the_log(serve: Serve) -> None:
    server = serve().ready()
    wrong = server.ask(b"one,two\n1,2\n")
    assert wrong.status == 500
    assert b"could not convert string to float" in wrong.body
    assert server.ask(b"0,0\n6,6\n").status == 200
    server.stop()
    assert "Traceback" in server.process.communicate()[0]


def test_the_users_functions_get_text_and_choose_the_answers_type(serve: Serve) -> None:
    server = serve("""
        def model_fn(model_dir): return model_dir
        def input_fn(body, content_type): return (type(body).__name__, content_type)
        def predict_fn(data, model): return data
        def output_fn(prediction, accept): return (f"{prediction} {accept}", "text/plain")
    """).ready()
    assert server.ask(b"1").body == b"('str', 'text/csv') application/json"
    assert server.ask(b"1", "image/png", "*/*").body == b"('bytes', 'image/png') application/json"
    assert server.ask(b"1", accept="text/x").body == b"('str', 'text/csv') text/x"
    assert server.ask(b"1").content_type == "text/plain"


def test_transform_fn_alone_and_a_context_argument(serve: Serve) -> None:
    server = serve("""
        def model_fn(model_dir, context): return repr(context)
        def transform_fn(model, body, content_type, accept): return f"{model} {body}".encode()
    """).ready()
    assert server.ask(b"hello") == Answer(200, "application/json", b"None hello")


def test_another_program_another_folder_and_another_default_accept(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "helper.py").write_text("ANSWER = 'from elsewhere'")
    (folder / "serve_it.py").write_text(
        "from helper import ANSWER\n"
        "def model_fn(d): return None\n"
        "def transform_fn(model, body, content_type, accept): return f'{ANSWER} {accept}'\n"
    )
    server = serve(
        None,
        SAGEMAKER_PROGRAM="serve_it.py",
        SAGEMAKER_SUBMIT_DIRECTORY=str(folder),
        SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv",
    ).ready()
    assert server.ask(b"") == Answer(200, "text/csv", b"from elsewhere text/csv")


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (None, "Please provide a model_fn implementation"),
        ("def model_fn(d): raise OSError('no such weights')", "no such weights"),
        ("import nothing_of_that_name", "nothing_of_that_name"),
        ("def transform_fn(*a): ...\ndef input_fn(*a): ...", MIXED),
    ],
)
def test_a_model_that_can_not_load_ends_the_process_and_says_why(serve: Serve, code: str | None, cause: str) -> None:
    process = serve(code).process
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert cause in output


def test_mixing_transform_fn_is_refused_before_the_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "mixed.py").write_text("def transform_fn(*a): ...\ndef predict_fn(*a): ...\ndef model_fn(d): 1 / 0\n")
    with pytest.raises(ValueError, match="Cannot use transform_fn"):
        load(tmp_path, {"SAGEMAKER_PROGRAM": "mixed", "SAGEMAKER_SUBMIT_DIRECTORY": str(tmp_path)})


def test_sixteen_clients_at_once_and_connections_that_are_kept(serve: Serve) -> None:
    server = serve("""
        def model_fn(model_dir): return None
        def transform_fn(model, body, content_type, accept): return body * 2
    """).ready()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: server.ask(str(n).encode()).body, range(400)))
    assert answers == [f"{n}{n}".encode() for n in range(400)]


def test_large_bodies(serve: Serve) -> None:
    server = serve("""
        def model_fn(model_dir): return None
        def transform_fn(model, body, content_type, accept): return body
    """).ready()
    body = os.urandom(6 * 1024 * 1024)
    assert server.ask(body, "application/octet-stream").body == body


def test_slow_answers_time_out_and_a_dead_server_is_unreachable(serve: Serve) -> None:
    server = serve("""
        import time
        def model_fn(model_dir): return None
        def transform_fn(model, body, content_type, accept):
            time.sleep(float(body))
            return body
    """).ready()
    with pytest.raises(TimedOut):
        server.connections.send("POST", "/invocations", b"5", {"Content-Type": "text/csv"}, timeout=0.2)
    assert server.ask(b"0").status == 200
    assert server.stop() == 0
    with pytest.raises(Unreachable):
        server.ask(b"0")


@pytest.mark.skipif(sys.platform != "linux", reason="through /proc")
def test_a_folder_whose_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "inference.py").write_text(
        "def model_fn(d): ...\ndef transform_fn(model, body, content_type, accept): return body\n"
    )
    server = Server(folder, {}).ready()
    assert server.ask(b"far away").body == b"far away"
    server.stop()
