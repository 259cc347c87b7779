"""The SageMaker SDK's distributed drivers: what they need of the machine, said before they fail for want of it.

Its torchrun driver needs torchrun. Its MPI driver (`sagemaker/train/container_drivers/distributed_drivers`) starts an
SSH server on every host, waits until the hosts reach each other by SSH, and runs mpirun on the first.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from mlplat.localcloud.executors.cluster import Cluster

SSHD = Path("/usr/sbin/sshd")
NEEDS = {"mpi_driver.py": "mpirun", "torchrun_driver.py": "torchrun"}
"""Programs, by the driver that runs them."""


def why_not(cluster: Cluster, environment: Mapping[str, str]) -> str | None:
    """Why the job's driver can't work here; None when it can, or when the job has none."""
    script = cluster.hosts[0].workspace.channel("sm_drivers") / "sm_train.sh"
    text = script.read_text(errors="replace") if script.is_file() else ""
    driver = next((each for each in NEEDS if each in text), None)
    if driver is None:
        return None
    if driver == "mpi_driver.py" and len(cluster.hosts) > 1:
        return (
            "the SDK's MPI driver connects its instances by SSH, which those of the local cloud don't have: use one "
            "instance, or the SDK's Torchrun"
        )
    missing = [] if shutil.which(NEEDS[driver], path=environment.get("PATH")) else [NEEDS[driver]]
    if driver == "mpi_driver.py" and not SSHD.exists():
        missing.append(str(SSHD))
    if not missing:
        return None
    return f"the SDK's {driver} needs {' and '.join(missing)}, which this machine (or the job's PATH) doesn't have"
