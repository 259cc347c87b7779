"""The SSH server of an MPI job's host, where a training image has OpenSSH's: a program of its own, run by path.

It listens on the host's own loopback address, lets in who holds the job's key, and runs commands as children of its
own: they see what the host sees, and end with it. Terminals, forwarding and SFTP are refused.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import paramiko

PORT = 22
CHUNK = 65536
KEY = Path.home() / ".ssh" / "id_ed25519"
GONE = (OSError, EOFError, paramiko.SSHException)
"""How a client that is no more shows."""


class Visitor(paramiko.ServerInterface):
    """Who may come in, and what for."""

    def __init__(self, transport: paramiko.Transport, key: paramiko.PKey) -> None:
        self._transport, self._key = transport, key
        self._asking = threading.Lock()

    def get_allowed_auths(self, username: str) -> str:
        """Keys only."""
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """The job's key opens, whatever the name: a host has one user."""
        return int(paramiko.AUTH_SUCCESSFUL if key == self._key else paramiko.AUTH_FAILED)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """A session, and nothing else."""
        allowed = kind == "session"
        return int(paramiko.OPEN_SUCCEEDED if allowed else paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        """Yes; the command is run in a thread of its own."""
        threading.Thread(target=self._serve, args=(channel, command), daemon=True).start()
        return True

    def _serve(self, channel: paramiko.Channel, command: bytes) -> None:
        with contextlib.suppress(*GONE):
            with self._asking:  # the client has our yes when it answers this; an exit code before it would be lost
                self._transport.global_request("keepalive@openssh.com", wait=True)
            channel.send_exit_status(run(channel, command))
            channel.close()


def run(channel: paramiko.Channel, command: bytes) -> int:
    """Run one command, the channel's streams its own; the exit code as a shell tells it."""
    process = subprocess.Popen(
        [b"/bin/sh", b"-c", command], cwd=Path.home(), start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    assert process.stdin and process.stdout and process.stderr
    threading.Thread(target=copy, args=(channel.recv, process.stdin), daemon=True).start()
    echoes = [
        threading.Thread(target=echo, args=(process.stdout, channel.sendall), daemon=True),
        threading.Thread(target=echo, args=(process.stderr, channel.sendall_stderr), daemon=True),
    ]
    for each in echoes:
        each.start()
    code = process.wait()
    for each in echoes:
        each.join()
    return code if code >= 0 else 128 - code


def copy(receive: Callable[[int], bytes], target: IO[bytes]) -> None:
    """What the client sends, to the command's input, up to the end of either."""
    with contextlib.suppress(*GONE), target:
        while data := receive(CHUNK):
            target.write(data)


def echo(source: IO[bytes], send: Callable[[bytes], None]) -> None:
    """What the command writes, to the client; when that one is gone the command finds a closed pipe."""
    with contextlib.suppress(*GONE), source:
        while data := source.read(CHUNK):
            send(data)


def greet(made: socket.socket, key: paramiko.PKey) -> None:
    """Begin a connection; its own thread goes on."""
    transport = paramiko.Transport(made)
    transport.add_server_key(key)
    try:
        transport.start_server(server=Visitor(transport, key))
    except GONE:
        transport.close()


def main() -> None:
    """Serve until the host ends."""
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    own = socket.gethostbyname(socket.gethostname())
    if not own.startswith("127."):
        sys.exit(f"sshd: {own} is no address of a local job's host")
    key = paramiko.Ed25519Key.from_private_key_file(str(KEY))
    try:
        server = socket.create_server((own, PORT), backlog=128)
    except OSError as error:
        sys.exit(f"sshd: cannot listen on {own} port {PORT}: {error.strerror}")
    while True:
        made, _ = server.accept()
        threading.Thread(target=greet, args=(made, key), daemon=True).start()


if __name__ == "__main__":
    main()
