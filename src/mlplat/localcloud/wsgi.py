"""HTTP/1.1 for one WSGI application: connections stay open, and a thread each answers their requests in turn.

The environment is the one that moto's own request handler makes, which alone gets S3's keys and metadata right, but
werkzeug's server closes every connection after one answer and spends more on reading a request than most take to
answer. What is read here: request line, headers, bodies by length or in chunks with trailers, `Expect: 100-continue`.
"""

from __future__ import annotations

import io
import logging
import socket
import socketserver
import sys
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY, should_preserve_original_header_name

log = logging.getLogger(__name__)

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Headers = list[tuple[str, str]]

IDLE = 300.0
"""Seconds that an open connection may be silent, within a request too. Clients give theirs up long before."""

LONGEST_LINE, MOST_HEADERS = 64 * 1024, 200
READ_AT_ONCE = 1 << 20
"""Bodies up to this size are read before the application runs; larger ones as it asks for them."""

MOST_DRAINED = 64 << 20
"""How much of a body that nobody wanted is read for the sake of the connection; beyond, it is closed."""


class BadRequest(Exception):
    """What came is not HTTP, or only half of it: the connection ends, for nobody knows where the next one begins."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.status = status


class Server(socketserver.ThreadingTCPServer):
    """Listens on a socket that is there already."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, sock: socket.socket, application: Application) -> None:
        super().__init__(sock.getsockname()[:2], Connection, bind_and_activate=False)
        self.socket.close()
        self.socket, self.application = sock, application

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no event."""
        if not isinstance(sys.exception(), OSError):
            log.exception("a connection failed")


class Connection(socketserver.StreamRequestHandler):
    """One client's connection, until either side hangs up."""

    server: Server
    timeout = IDLE
    disable_nagle_algorithm = True
    rbufsize = 1 << 16

    def handle(self) -> None:
        """Answer request after request."""
        try:
            while self._one():
                pass
        except BadRequest as error:
            status = f"{error.status} {HTTPStatus(error.status).phrase}"
            self._send(status, [("Content-Type", "text/plain"), ("Connection", "close")], str(error).encode())
        except (ConnectionError, TimeoutError):
            pass

    def _one(self) -> bool:
        """Whether another request may follow."""
        line = self._line()
        if line in (b"\r\n", b"\n"):
            line = self._line()  # RFC 9112, 2.2: an empty line before a request is skipped
        if not line:
            return False
        method, target, version = _request_line(line)
        headers = self._headers()
        environ = environment(method, target, version, headers, self.client_address)
        if len({value for name, value in headers if name.lower() == "content-length"}) > 1:
            raise BadRequest("Content-Length is given twice")
        body = self._body(environ)
        environ |= {"wsgi.input": body, "SERVER_NAME": "127.0.0.1", "SERVER_PORT": str(self.server.server_address[1])}
        asked = environ.get("HTTP_CONNECTION", "").lower()
        stays = asked == "keep-alive" if version == "HTTP/1.0" else asked != "close"
        status, given, content = self._ask(environ)
        stays = drained(body) and stays
        self._send(status, given if stays else [*given, ("Connection", "close")], content, head=method == "HEAD")
        return stays

    def _ask(self, environ: dict[str, Any]) -> tuple[str, Headers, bytes]:
        told: list[Any] = []
        content = b"".join(self.server.application(environ, lambda *arguments: told.extend(arguments)))
        return told[0], told[1], content

    def _send(self, status: str, headers: Headers, content: bytes, *, head: bool = False) -> None:
        lines = [f"HTTP/1.1 {status}", f"Date: {_date(int(time.time()))}"]
        lines += [f"{name}: {value}" for name, value in headers if name.lower() != "date"]
        bodiless = head or status[:3] in ("204", "304")
        if not bodiless and not any(name.lower() == "content-length" for name, _ in headers):
            lines.append(f"Content-Length: {len(content)}")
        start = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if bodiless or len(content) <= READ_AT_ONCE:
            self.connection.sendall(start if bodiless else start + content)
        else:
            self.connection.sendall(start)
            self.connection.sendall(content)

    def _line(self) -> bytes:
        line = self.rfile.readline(LONGEST_LINE + 1)
        if len(line) > LONGEST_LINE:
            raise BadRequest("a line of the request is too long", 431)
        return line

    def _headers(self) -> Headers:
        headers: Headers = []
        while (line := self._line()) not in (b"\r\n", b"\n"):
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or not name or name != name.strip() or len(headers) == MOST_HEADERS:
                raise BadRequest(f"header {len(headers) + 1} can't be read")
            headers.append((name, value.strip()))
        return headers

    def _body(self, environ: dict[str, Any]) -> BinaryIO:
        coding = environ.get("HTTP_TRANSFER_ENCODING", "").lower()
        length = environ.get("CONTENT_LENGTH", "")
        if coding not in ("", "identity", "chunked"):
            raise BadRequest(f"transfer encoding {coding} is not supported", 501)
        if coding != "chunked" and length and not (length.isascii() and length.isdigit()):
            raise BadRequest(f"Content-Length {length} is not a length")
        if coding != "chunked" and not int(length or 0):
            return io.BytesIO()
        if environ.get("HTTP_EXPECT", "").lower() == "100-continue":
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if coding == "chunked":
            environ["wsgi.input_terminated"] = True
            return io.BufferedReader(Chunks(self.rfile))
        if int(length) > READ_AT_ONCE:
            return io.BufferedReader(Bounded(self.rfile, int(length)), READ_AT_ONCE)
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise BadRequest("hung up within a body")
        return io.BytesIO(body)


class Bounded(io.RawIOBase):
    """The body of a known length, read from the connection as it is asked for."""

    def __init__(self, source: Any, length: int) -> None:
        self._source, self._left = source, length

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As `io.RawIOBase` says. A connection that ends too early is an error: half an object is none."""
        read = self._source.readinto(memoryview(buffer)[: self._left])
        if not read and self._left and len(buffer):
            raise BadRequest("hung up within a body")
        self._left -= read
        return int(read)


class Chunks(io.RawIOBase):
    """A body in chunks (RFC 9112, 7.1), its trailers read away, so that the next request can follow."""

    def __init__(self, source: Any) -> None:
        self._source, self._left, self._ended = source, 0, False

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As `io.RawIOBase` says."""
        if not self._left and not self._ended:
            self._next()
        if self._ended:
            return 0
        read = self._source.readinto(memoryview(buffer)[: self._left])
        if not read and len(buffer):
            raise BadRequest("hung up within a chunk")
        self._left -= read
        if not self._left and self._source.readline(3) not in (b"\r\n", b"\n"):
            raise BadRequest("a chunk is longer than it says")
        return int(read)

    def _next(self) -> None:
        size = self._source.readline(LONGEST_LINE).partition(b";")[0].strip()
        try:
            self._left = int(size, 16) if size.isalnum() else -1
        except ValueError:
            self._left = -1
        if self._left < 0:
            raise BadRequest("the size of a chunk can't be read")
        self._ended = not self._left
        while self._ended and self._source.readline(LONGEST_LINE) not in (b"\r\n", b"\n", b""):
            pass


def environment(method: str, target: str, version: str, headers: Headers, client: tuple[str, int]) -> dict[str, Any]:
    """The WSGI environment of a request, as moto's request handler makes it, without the body."""
    url = urlsplit(target)
    path = f"/{url.netloc}{url.path}" if url.netloc and not url.scheme else url.path
    environ: dict[str, Any] = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": _as_latin(unquote(path)),
        "QUERY_STRING": _as_latin(url.query),
        "REQUEST_URI": _as_latin(target),
        "RAW_URI": _as_latin(target),
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": client[1],
        "SERVER_PROTOCOL": version,
    }
    _add(environ, headers)
    if url.scheme and url.netloc:
        environ["HTTP_HOST"] = url.netloc
    return environ


def _add(environ: dict[str, Any], headers: Headers) -> None:
    """User metadata of S3 may have underscores, which keep their spelling and never stand in for a dashed name."""
    odd = [(name, value) for name, value in headers if "_" in name]
    for name, value in headers:
        if "_" not in name:
            key = name.upper().replace("-", "_")
            if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                environ[key] = value
            else:
                key = f"HTTP_{key}"
                environ[key] = f"{environ[key]},{value}" if key in environ else value
    names: dict[str, str] = {}
    for name, value in odd:
        key = f"HTTP_{name.upper().replace('-', '_')}"
        if should_preserve_original_header_name(name) and (key in names or key not in environ):
            names.setdefault(key, name)
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = names


def drained(body: BinaryIO) -> bool:
    """Read away what the application left of a body; False when that is too much or can't be."""
    left = MOST_DRAINED
    try:
        while left > 0:
            chunk = body.read(READ_AT_ONCE)
            if not chunk:
                return True
            left -= len(chunk)
    except (OSError, ValueError, BadRequest):
        pass
    return False


def _request_line(line: bytes) -> tuple[str, str, str]:
    words = line.decode("latin-1").split()
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest("the request line can't be read")
    method, target, version = words
    return method, target, version


def _as_latin(text: str) -> str:
    return text.encode().decode("latin-1")


_dates: dict[int, str] = {}


def _date(second: int) -> str:
    """The Date header; made once a second."""
    if second not in _dates:
        _dates.clear()
        _dates[second] = formatdate(second, usegmt=True)
    return _dates.get(second) or formatdate(second, usegmt=True)
