"""The local cloud's process: `python -m mlplat.localcloud.server FOLDER`. Started by `daemon`, ended by SIGTERM."""

from __future__ import annotations

import argparse
import fcntl
import gc
import json
import logging
import os
import re
import secrets
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlplat.localcloud import supervisor
from mlplat.localcloud.cloud import ACCOUNT
from mlplat.localcloud.daemon import REFUSED
from mlplat.localcloud.store import Store, StoreRefused, StoreUnusable

if TYPE_CHECKING:
    from mlplat.localcloud.families import Clouds
    from mlplat.localcloud.snapshots import Snapshots

log = logging.getLogger("localcloud")

REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+")
YOUNG = 50_000
"""New objects between two collections."""
PRIVATE = 0o077
"""The umask of the process: what it writes is the user's alone. Children have the user's own."""
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def main(argv: list[str] | None = None) -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="mlplat.localcloud.server")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--transition-delay", type=float, default=0.5)
    parser.add_argument("--enforce-iam", action="store_true")
    parser.add_argument("--eventual-consistency-reads", type=int, default=0)
    args = parser.parse_args(argv)
    _forget_the_parent()
    supervisor.CHILDREN_UMASK = os.umask(PRIVATE)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    folder: Path = args.folder.absolute()
    only = _alone(folder)
    try:
        store = Store(folder)
        sock = _listen(args.port, int(store.identity().get("port", 0)))
        reads, enforce = args.eventual_consistency_reads, args.enforce_iam
        Server(folder, store, sock, args.region, args.transition_delay, reads, enforce_iam=enforce).run()
    except StoreRefused as error:
        print(error, file=sys.stderr)  # noqa: T201 - `daemon` reads the last line
        sys.exit(REFUSED)
    except StoreUnusable as error:
        sys.exit(str(error))
    only.close()
    os._exit(0)  # whatever thread is left has nothing to finish


class Server:
    """Everything of one running local cloud."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        sock: socket.socket,
        region: str,
        transition_delay: float,
        eventual_consistency_reads: int = 0,
        *,
        enforce_iam: bool = False,
    ) -> None:
        from mlplat.localcloud.cloud import Host
        from mlplat.localcloud.freshness import Freshness
        from mlplat.localcloud.request_log import RequestLog
        from mlplat.localcloud.supervisor import Supervisor

        self.folder, self._store, self._sock = folder, store, sock
        self.instance = secrets.token_hex(16)
        self.supervisor = Supervisor(folder)
        self.supervisor.sweep()
        self.requests = RequestLog(folder)
        port = sock.getsockname()[1]
        identity = {
            "access_key": "AKIA" + "".join(secrets.choice(ALPHABET) for _ in range(16)),
            "secret_key": secrets.token_urlsafe(30),
            **store.identity(),
            "port": str(port),
        }
        store.remember(identity)
        self.host = Host(
            address=f"http://127.0.0.1:{port}",
            folder=folder,
            access_key=identity["access_key"],
            secret_key=identity["secret_key"],
            supervisor=self.supervisor,
            transition_delay=transition_delay,
            freshness=Freshness(eventual_consistency_reads),
            enforce_iam=enforce_iam,
        )
        self._about = {
            "region": region,
            "account": ACCOUNT,
            "transition_delay": transition_delay,
            "eventual_consistency_reads": eventual_consistency_reads,
            "enforce_iam": enforce_iam,
        }
        self._ready = threading.Event()

    def run(self) -> None:
        """Answer until SIGTERM, or until the folder no longer says that this is its local cloud."""
        from mlplat import __version__
        from mlplat.localcloud import processes
        from mlplat.localcloud.application import Application
        from mlplat.localcloud.families import Clouds

        clouds = Clouds(self.host)
        snapshots = self._restored(clouds)
        server = _make_server(Application(self.host, self.instance, self.requests, clouds, self._ready), self)
        self._write(
            {
                "pid": os.getpid(),
                "started": processes.started(os.getpid()),
                "instance": self.instance,
                "url": self.host.address,
                "access_key": self.host.access_key,
                "secret_key": self.host.secret_key,
                "version": __version__,
                **self._about,
            }
        )
        snapshots.start()
        threading.Thread(target=self._get_ready, args=(clouds,), daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        server.serve_forever(poll_interval=0.1)
        clouds.close()
        snapshots.close()  # before what runs is ended: it didn't end by itself
        self.supervisor.close()
        self.requests.close()
        if self.is_current():
            self._file.unlink(missing_ok=True)

    def is_current(self) -> bool:
        """Whether the folder's daemon.json is still ours (the folder may be deleted, or made anew)."""
        try:
            return bool(json.loads(self._file.read_text())["instance"] == self.instance)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    @property
    def _file(self) -> Path:
        return self.folder / "daemon.json"

    def _write(self, about: dict[str, Any]) -> None:
        new = self._file.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(about, file, indent=2)
        new.replace(self._file)

    def _restored(self, clouds: Clouds) -> Snapshots:
        """The services that everybody needs, with all that was kept. Raises StoreRefused."""
        from mlplat.localcloud import extensions
        from mlplat.localcloud.snapshots import Snapshots

        extensions.register(clouds)
        snapshots = Snapshots(self._store, self.host, clouds)
        snapshots.restore()
        return snapshots

    def _get_ready(self, clouds: Clouds) -> None:
        """What can be done while the client that started us is still loading its own."""
        try:
            from mlplat.localcloud import backends, background, extensions

            _ = self.supervisor.sandbox
            background.resume(backends.live().values())
            for region in {region for _, _, region in backends.live() if REGION.fullmatch(region)}:
                clouds.cloud(region)  # where anything is, things happen as time goes by
            clouds.resume()
            clouds.heart.start()
            self._ready.set()
            extensions.extend("ec2")
            _collect_rarely()
        except Exception:
            log.exception("the local cloud could not get ready")
            os._exit(1)


def _collect_rarely() -> None:
    """What is loaded by now stays for good, and nearly all that a request makes is gone with it, without a collector.

    With Python's defaults a batch of records is looked through again and again while it is read.
    """
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)


def _make_server(application: Any, owner: Server) -> Any:
    from mlplat.localcloud import wsgi

    class Wanted(wsgi.Server):
        """Looks now and then whether it is still wanted."""

        _looked = time.monotonic()

        def service_actions(self) -> None:
            if time.monotonic() - self._looked > 2.0:
                self._looked = time.monotonic()
                if not owner.is_current():
                    log.warning("the folder is no longer ours: stopping")
                    threading.Thread(target=self.shutdown).start()

    return Wanted(owner._sock, application)


def _forget_the_parent() -> None:
    """Nothing of the caller's AWS setup may change how the local cloud behaves; moto's settings are ours.

    A proxy stays in the environment, because a job may need it to install what it requires.
    """
    for name in [name for name in os.environ if name.startswith(("AWS_", "MOTO_", "SAGEMAKER_"))]:
        del os.environ[name]
    os.environ |= {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "MOTO_DISABLE_GLOBAL_CORS": "true",
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    }


def _alone(folder: Path) -> IO[str]:
    """One local cloud per folder: a lock that ends with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    lock = (folder / "daemon.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(f"another local cloud runs in {folder}")
    return lock


def _listen(port: int, before: int) -> socket.socket:
    """The port that is asked for; otherwise the one it had before, or any if that is taken."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port or before))
    except OSError as error:
        if port or not before:
            sys.exit(f"port {port}: {error.strerror}")
        sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    return sock


if __name__ == "__main__":
    main()
