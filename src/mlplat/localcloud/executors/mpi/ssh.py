"""The `ssh` of an MPI job's host: `ssh [OPTION...] HOST COMMAND...`, a program of its own, run by path.

It reads OpenSSH's options and needs none of them: the job's hosts have one user, one port and one key, which both
proves who calls and who answers. Like OpenSSH's it exits as the command did, or with 255.
"""

from __future__ import annotations

import getopt
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import paramiko

OPTIONS = "1246AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:P:p:Q:R:S:W:w:"
"""Source: ssh(1)."""
CHUNK = 65536
FAILED = 255


def main(argv: list[str]) -> NoReturn:
    """Run the command on the host."""
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    try:
        options, rest = getopt.getopt(argv, OPTIONS)
    except getopt.GetoptError as error:
        _fail(str(error))
    if len(rest) < 2:
        _fail("usage: ssh [OPTION...] HOST COMMAND... (a job's host has no terminal)")
    host = rest[0].rpartition("@")[2]
    try:
        code = run(host, " ".join(rest[1:]), reads=("-n", "") not in options)
    except (OSError, EOFError, paramiko.SSHException) as error:
        _fail(f"connect to host {host}: {error}")
    os._exit(code if code >= 0 else FAILED)  # a thread may still be reading our input


def run(host: str, command: str, *, reads: bool) -> int:
    """The command's exit code; negative when the host has gone without one. `reads` our standard input, too."""
    client = paramiko.SSHClient()
    client.load_host_keys(str(Path.home() / ".ssh" / "known_hosts"))  # any other key, or host, is refused
    client.connect(host, username="job", key_filename=str(Path.home() / ".ssh" / "id_ed25519"), look_for_keys=False)
    transport = client.get_transport()
    assert transport is not None
    channel = transport.open_session()
    channel.exec_command(command)
    if reads:
        threading.Thread(target=_send, args=(channel,), daemon=True).start()
    else:
        channel.shutdown_write()
    errors = threading.Thread(target=_copy, args=(channel.recv_stderr, 2), daemon=True)
    errors.start()
    _copy(channel.recv, 1)
    errors.join()
    code = int(channel.recv_exit_status())
    client.close()
    return code


def _send(channel: paramiko.Channel) -> None:
    try:
        while data := os.read(0, CHUNK):
            channel.sendall(data)
        channel.shutdown_write()
    except OSError:  # the command has ended, or there is no input
        return


def _copy(receive: Callable[[int], bytes], target: int) -> None:
    while data := receive(CHUNK):
        while data:
            data = data[os.write(target, data) :]


def _fail(reason: str) -> NoReturn:
    sys.stderr.write(f"ssh: {reason}\n")
    sys.stderr.flush()
    os._exit(FAILED)


if __name__ == "__main__":
    main(sys.argv[1:])
