"""HTTP as the local cloud reads it: connections that stay open, bodies of every form, and refusals that end one."""

from __future__ import annotations

import http.client
import io
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import MotoRequestHandler

from mlplat.localcloud import wsgi


class Echo:
    """Answers what was asked; `read` says how much of the body it reads."""

    def __init__(self) -> None:
        self.read: int | None = -1
        self.seen: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.seen.append(environ)
        terminated = environ.get("wsgi.input_terminated") or self.read != -1
        length = self.read if terminated else int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        status = environ.get("HTTP_X_STATUS", "200 OK")
        said = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} ".encode() + body
        start_response(status, [] if status[:3] in ("204", "304") else [("Content-Length", str(len(said)))])
        return [said]


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def port(echo: Echo) -> Iterator[int]:
    sock = socket.create_server(("127.0.0.1", 0))
    server = wsgi.Server(sock, echo)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield sock.getsockname()[1]
    server.shutdown()
    thread.join()
    server.server_close()


class Raw:
    """A connection of bytes."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.sock.makefile("rb")

    def send(self, text: str | bytes) -> None:
        self.sock.sendall(text.encode("latin-1") if isinstance(text, str) else text)

    def answer(self, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        status = int(self.file.readline().split()[1])
        headers = http.client.parse_headers(self.file)
        length = 0 if head else int(headers.get("Content-Length", 0))
        return status, dict(headers), self.file.read(length)

    def is_closed(self) -> bool:
        return self.file.read() == b""


@pytest.fixture
def raw(port: int) -> Iterator[Raw]:
    made = Raw(port)
    yield made
    made.file.close()
    made.sock.close()


def test_a_connection_serves_one_request_after_the_other(raw: Raw) -> None:
    for path in ("/a", "/b%2Fc", "/d?e=f"):
        raw.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
        status, headers, _ = raw.answer()
        assert status == 200
        assert "Connection" not in headers
        assert headers["Date"].endswith("GMT")


def test_requests_may_come_before_the_answers(raw: Raw) -> None:
    raw.send("PUT /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n\r\n\r\nPUT /3 HTTP/1.1\r\n")
    raw.send("Transfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\nGET /4 HTTP/1.1\r\n\r\n")
    assert [raw.answer()[2] for _ in range(4)] == [b"PUT /1 abc", b"GET /2 ", b"PUT /3 xy", b"GET /4 "]


@pytest.mark.parametrize(
    ("head", "stays"),
    [
        ("GET / HTTP/1.1\r\nConnection: close\r\n", False),
        ("GET / HTTP/1.0\r\n", False),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n", True),
        ("GET / HTTP/1.1\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_the_client_says_whether_it_stays(raw: Raw, head: str, stays: bool) -> None:
    raw.send(f"{head}\r\n")
    assert raw.answer()[1].get("Connection") == (None if stays else "close")
    if stays:
        raw.send("GET / HTTP/1.1\r\n\r\n")
        assert raw.answer()[0] == 200
    else:
        assert raw.is_closed()


def test_a_body_in_chunks_arrives_with_extensions_and_trailers(raw: Raw) -> None:
    raw.send(
        "PUT /k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3;ext=1\r\nabc\r\n00A\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"
    )
    assert raw.answer()[2] == b"PUT /k abc0123456789"
    raw.send("GET /next HTTP/1.1\r\n\r\n")
    assert raw.answer()[2] == b"GET /next "


def test_who_asks_first_is_told_to_go_on(raw: Raw) -> None:
    raw.send("PUT /k HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert raw.file.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert raw.file.readline() == b"\r\n"
    raw.send("ok")
    assert raw.answer()[2] == b"PUT /k ok"


def test_an_answer_without_a_body_leaves_none_in_the_way(raw: Raw) -> None:
    raw.send("HEAD /k HTTP/1.1\r\n\r\n")
    assert raw.answer(head=True)[1]["Content-Length"] == "8"
    for status in ("204 No Content", "304 Not Modified"):
        raw.send(f"GET /k HTTP/1.1\r\nX-Status: {status}\r\n\r\n")
        assert raw.answer()[0] == int(status[:3])
    raw.send("GET /k HTTP/1.1\r\n\r\n")
    assert raw.answer()[2] == b"GET /k "


@pytest.mark.parametrize("read", [0, 10])
def test_a_body_that_nobody_reads_is_no_request(raw: Raw, echo: Echo, read: int) -> None:
    echo.read = read
    size = 3 * wsgi.READ_AT_ONCE
    raw.send(f"PUT /k HTTP/1.1\r\nContent-Length: {size}\r\n\r\n")
    raw.send(b"GET / HTTP/1.1\r\n\r\n".ljust(size, b"x"))
    assert raw.answer()[2] == b"PUT /k " + b"GET / HTTP"[:read]
    raw.send("GET /next HTTP/1.1\r\n\r\n")
    assert raw.answer()[2].startswith(b"GET /next")


def test_a_body_too_long_to_read_away_ends_the_connection(
    raw: Raw, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wsgi, "MOST_DRAINED", wsgi.READ_AT_ONCE)
    echo.read = 0
    size = 8 * wsgi.READ_AT_ONCE
    raw.send(f"PUT /k HTTP/1.1\r\nContent-Length: {size}\r\n\r\n")
    raw.send(b"x" * (2 * wsgi.READ_AT_ONCE))
    assert raw.answer()[1]["Connection"] == "close"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("GARBAGE\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nName : before the colon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nContent-Length: 1,2\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        ("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400),
        (f"GET /{'x' * wsgi.LONGEST_LINE} HTTP/1.1\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\n" + "A: 1\r\n" * (wsgi.MOST_HEADERS + 1) + "\r\n", 400),
    ],
)  # fmt: skip
def test_what_is_not_http_is_refused_and_hung_up_on(raw: Raw, sent: str, status: int) -> None:
    raw.send(sent)
    assert (found := raw.answer())[0] == status
    assert found[1]["Connection"] == "close"
    assert raw.is_closed()


@pytest.mark.parametrize(
    "sent",
    [
        "PUT / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
        f"PUT / HTTP/1.1\r\nContent-Length: {2 * wsgi.READ_AT_ONCE}\r\n\r\nabc",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nabc",
        "GET / HT",
    ],
)
def test_half_a_request_is_none(raw: Raw, echo: Echo, sent: str) -> None:
    raw.send(sent)
    raw.sock.shutdown(socket.SHUT_WR)
    answered = raw.file.read()
    assert b" 200 " not in answered


REQUESTS = [
    ("GET", "/", []),
    ("GET", "/a%2Fb/c%3Fd/%E6%97%A5?x=%20y&z", [("Host", "h:1"), ("Accept", "a"), ("Accept", "b")]),
    ("PUT", "//double/slash//x?y", [("Content-Type", "text/plain"), ("Content-Length", "0")]),
    ("PUT", "http://other.host:80/a/b?c", [("Host", "h")]),
    ("PUT", "/k", [("x-amz-meta-a_b", "1"), ("x-amz-meta-a-b", "2"), ("x-amz-meta-c_d", "3"), ("x-amz-meta-c_d", "4")]),
    ("PUT", "/k", [("not_kept", "1"), ("X-AMZ-Meta-Under_Score", "caf\xc3\xa9"), ("content_length", "7")]),
    ("PUT", "/caf\xc3\xa9", [("X-Empty", ""), ("Date", "Thu, 01 Jan 2026 00:00:00 GMT")]),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "headers"), REQUESTS)
def test_the_environment_is_the_one_that_moto_makes(method: str, target: str, headers: list[tuple[str, str]]) -> None:
    theirs = MotoRequestHandler.__new__(MotoRequestHandler)
    theirs.command, theirs.path, theirs.request_version = method, target, "HTTP/1.1"
    text = "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
    theirs.headers = http.client.parse_headers(io.BytesIO(text.encode("latin-1")))
    theirs.client_address = ("127.0.0.1", 9)
    theirs.rfile, theirs.connection = io.BytesIO(), socket.socket()
    server = type("S", (), {"ssl_context": None, "multithread": True, "multiprocess": False, "_server_version": "v"})
    theirs.server = server()  # type: ignore[assignment]
    theirs.server.server_address = ("127.0.0.1", 1)
    expected = theirs.make_environ()
    theirs.connection.close()
    made = wsgi.environment(method, target, "HTTP/1.1", headers, ("127.0.0.1", 9))
    theirs_alone = {"wsgi.input", "werkzeug.socket", "SERVER_SOFTWARE", "SERVER_NAME", "SERVER_PORT"}
    assert made == {name: value for name, value in expected.items() if name not in theirs_alone}
