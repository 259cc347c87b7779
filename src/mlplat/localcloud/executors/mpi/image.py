"""What a job's hosts have for the SDK's MPI driver: SSH among them, a key of the job's own, folders of the host's own.

The driver (`sagemaker/train/container_drivers/distributed_drivers/mpi_driver.py`) starts /usr/sbin/sshd, which a
training image has; its hosts tell each other by files in /tmp that they are ready and done; mpirun starts its daemons
with `ssh`. All hosts are on this machine: they share its processors and its loopback network, and nothing else.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mlplat.localcloud.executors.cluster import Host
from mlplat.localcloud.sandbox import Folder, Machine

SSHD = "/usr/sbin/sshd"
TMP = Path("/tmp")  # noqa: S108
PROGRAMS = Path(__file__).parent

VARIABLES = {
    "PRTE_MCA_hwloc_default_binding_policy": "none",  # each host takes all processors for its own
    "OMPI_MCA_mpi_yield_when_idle": "1",  # a rank that waits leaves them to those that compute
}
"""Open MPI's settings where the job's request has none. Source: `ompi_info --all`, `prte_info --all`."""


class MpiImage:
    """The image of one job: its key is made for it, and never written anywhere but to its hosts."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = [host.name for host in hosts]
        self._private, self._public = _key()

    def environment(self, host: Host, given: Mapping[str, str]) -> dict[str, str]:
        """The container's environment, with `ssh` on its PATH, whatever PATH the request gives."""
        path = os.pathsep.join([str(_bin(host)), given.get("PATH", os.defpath)])
        return VARIABLES | dict(given) | {"PATH": path}

    def machine(self, host: Host, plain: Machine, environment: Mapping[str, str]) -> Machine:
        """The host's machine with what is added, after writing it to the host's folder."""
        self._write_keys(host.workspace.root / "home" / ".ssh")
        _bin(host).mkdir()
        for name in ("ssh", "sshd"):
            _write_program(_bin(host) / name, PROGRAMS / f"{name}.py")
        return replace(
            plain,
            programs={SSHD: _bin(host) / "sshd"},
            folders={
                str(TMP): Folder(host.workspace.root / "tmp", needed_of(TMP, environment)),
                "/dev/shm": Folder(),  # noqa: S108
            },
        )

    def _write_keys(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        known = "".join(f"{name} {self._public}\n" for name in self._hosts)
        for name, text in (("id_ed25519", self._private), ("known_hosts", known)):
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(text)


def needed_of(folder: Path, environment: Mapping[str, str]) -> tuple[str, ...]:
    """What of a folder of the machine the job can't do without: where its programs, packages and own files are."""
    named = [path for value in environment.values() for path in value.split(os.pathsep)]
    paths = [Path(each) for each in (*named, *sys.path, sys.prefix, sys.base_prefix) if each.startswith("/")]
    inside = {each.relative_to(folder).parts[:1] for each in paths if each.is_relative_to(folder)}
    return tuple(sorted(name for (name,) in filter(None, inside) if (folder / name).exists()))


def _bin(host: Host) -> Path:
    return host.workspace.root / "bin"


def _write_program(program: Path, source: Path) -> None:
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-I", "-B", str(source)])} "$@"\n')
    program.chmod(0o755)


def _key() -> tuple[str, str]:
    """(private, public) in OpenSSH's own formats."""
    from cryptography.hazmat.primitives import serialization as written
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, plain = Ed25519PrivateKey.generate(), written.NoEncryption()
    private = key.private_bytes(written.Encoding.PEM, written.PrivateFormat.OpenSSH, plain)
    public = key.public_key().public_bytes(written.Encoding.OpenSSH, written.PublicFormat.OpenSSH)
    return private.decode(), public.decode()
