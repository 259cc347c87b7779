"""One transform job, really run: a model server per instance, every object sent through it, the answers on S3.

A thread per job. Outputs are kept on disk until all objects have been tried: a job that is stopped stores none, and
of a job that fails, the objects that went well are stored. Source: API reference of TransformOutput, StopTransformJob.
"""

from __future__ import annotations

import gzip
import logging
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlplat.localcloud.access import acting
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors import payloads, s3_data
from mlplat.localcloud.executors.cluster import GRACE, Cluster, Host
from mlplat.localcloud.executors.container_log import ContainerLog
from mlplat.localcloud.executors.joining import Joining
from mlplat.localcloud.executors.model_data import Container
from mlplat.localcloud.executors.payloads import MEGABYTE, PayloadError
from mlplat.localcloud.executors.progress import LONGEST_REASON, JobFailed
from mlplat.localcloud.executors.s3_data import DataError, Place, Source
from mlplat.localcloud.executors.transform_server import Refused, TransformServer, strategy

log = logging.getLogger(__name__)

LOG_GROUP = "/aws/sagemaker/TransformJobs"

_RUNNING: weakref.WeakKeyDictionary[Cloud, dict[str, TransformRun]] = weakref.WeakKeyDictionary()
_RUNNING_LOCK = threading.Lock()


def running(cloud: Cloud) -> dict[str, TransformRun]:
    """The jobs of a region that run now, by name."""
    with _RUNNING_LOCK:
        return _RUNNING.setdefault(cloud, {})


class ObjectFailed(Exception):
    """An object has no output; `client` when it is the object's own fault."""

    def __init__(self, words: str, *, client: bool) -> None:
        super().__init__(words)
        self.client = client


class TransformRun:
    """The execution of one job; `finished` is called once its record has come to its end."""

    def __init__(self, cloud: Cloud, job: dict[str, Any], finished: Callable[[], None] = lambda: None) -> None:
        model = cloud.store("models").get(job["ModelName"], {})
        self._cloud = cloud = acting(cloud, model.get("ExecutionRoleArn", ""))
        self._job, self._finished = job, finished
        self._name: str = job["TransformJobName"]
        self._cluster = Cluster(cloud, "transform", self._name, job["TransformResources"]["InstanceCount"])
        self._joining = Joining.of(job)
        self._stopping = threading.Event()
        self._servers: list[TransformServer] = []

    def start(self) -> None:
        """Begin, in a thread of its own."""
        running(self._cloud)[self._name] = self
        threading.Thread(target=self._run, name=f"transform {self._name}", daemon=True).start()

    def stop(self) -> None:
        """Ask the job to end, in whatever phase it is; returns at once."""
        with self._cloud.lock:
            self._job |= {"TransformJobStatus": "Stopping", "LastModifiedTime": self._cloud.now()}
        self._stopping.set()
        for each in list(self._servers):
            threading.Thread(target=each.stop, args=(GRACE,), daemon=True).start()

    def _run(self) -> None:
        status, members = "Completed", dict[str, Any]()
        try:
            self._steps()
        except JobFailed as error:
            status, members = "Failed", {"FailureReason": str(error)[:LONGEST_REASON]}
        except Exception as error:
            log.exception("transform job %s", self._name)
            reason = f"InternalServerError: the local cloud could not run the job: {error!r}"
            status, members = "Failed", {"FailureReason": reason}
        if self._stopping.is_set():
            status, members = "Stopped", {}
        self._cluster.remove()
        with self._cloud.lock:
            running(self._cloud).pop(self._name, None)
            now = self._cloud.now()
            self._job |= members | {"TransformJobStatus": status, "TransformEndTime": now, "LastModifiedTime": now}
        self._finished()

    def _steps(self) -> None:
        with self._cloud.lock:
            self._job["TransformStartTime"] = self._cloud.now()
        self._cluster.make(("model",))
        try:
            found = s3_data.sources(self._cloud.aws("s3"), self._job["TransformInput"]["DataSource"]["S3DataSource"])
        except DataError as error:
            raise JobFailed(f"ClientError: Data download failed:{error}") from error
        hosts = self._cluster.hosts[: len(found)]
        with ThreadPoolExecutor(len(hosts)) as pool:
            shares = [found[number :: len(hosts)] for number in range(len(hosts))]
            failed = [each for some in pool.map(self._transform, hosts, shares) for each in some]
        if self._stopping.is_set():
            return
        for host in hosts:
            self._upload(host)
        if verdict := next((each.verdict for each in self._servers if each.verdict), None):
            raise JobFailed(verdict.reason)
        if failed:
            client = all(each.client for each in failed)
            raise JobFailed(f"{'Client' if client else 'Algorithm'}Error: See job logs for more information")

    def _transform(self, host: Host, share: Sequence[Source]) -> list[ObjectFailed]:
        """What one instance does: its objects one after the other; how some of them failed."""
        instance = f"i-{secrets.token_hex(9)[:17]}"
        stream = f"{self._name}/{instance}-{int(time.time())}"
        with ExitStack() as held:
            output, data = (ContainerLog(self._cloud, LOG_GROUP, name) for name in (stream, f"{stream}/data-log"))
            held.callback(output.close)
            held.callback(data.close)
            server = TransformServer(self._cloud, self._job, host, output)
            self._servers.append(server)
            held.callback(server.stop, 5.0)
            if self._stopping.is_set():
                return []
            server.start(self._container())
            data.line(_said(_settings(self._job)))
            return [each for source in share if (each := self._try(host, server, source, data)) is not None]

    def _container(self) -> Container:
        try:
            return Container.of(self._cloud, self._job["ModelName"])
        except KeyError as error:
            raise JobFailed(f"ClientError: Could not find model {self._job['ModelName']}") from error

    def _try(self, host: Host, server: TransformServer, source: Source, data: ContainerLog) -> ObjectFailed | None:
        """One object; its output is put on the disk."""
        if self._stopping.is_set():
            return None
        try:
            answer = self._answer(server, self._read(source))
        except (PayloadError, DataError) as error:
            failed = ObjectFailed(f"ClientError: {error}", client=True)
        except Refused as error:
            failed = ObjectFailed(str(error), client=error.client)
        else:
            target = _outputs(host) / f"{source.target}.out"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(answer)
            return None
        for line in str(failed).splitlines():
            data.line(_said(f"{source.place.bucket}/{source.place.key}: {line}"))
        return failed

    def _read(self, source: Source) -> bytes:
        s3 = self._cloud.aws("s3")
        try:
            body: bytes = s3.get_object(Bucket=source.place.bucket, Key=source.place.key)["Body"].read()
        except s3.exceptions.ClientError as error:
            raise DataError(f"{source.place.uri}: {error}") from error
        if self._job["TransformInput"].get("CompressionType") != "Gzip":
            return body
        try:
            return gzip.decompress(body)
        except (OSError, EOFError) as error:
            raise DataError(f"{source.place.uri} is not compressed with gzip: {error}") from error

    def _answer(self, server: TransformServer, body: bytes) -> bytes:
        """An object's output: its payloads sent, several at a time, the answers in their order."""
        how = self._job["TransformInput"].get("SplitType", "None")
        originals = list(payloads.split(body, how))
        sent = payloads.pack(
            [self._joining.sent(each) for each in originals],
            how=how,
            single=self._job.get("BatchStrategy") == "SingleRecord",
            limit=self._job["MaxPayloadInMB"] * MEGABYTE,
        )
        batches = list(sent)
        with ThreadPoolExecutor(max(1, self._job["MaxConcurrentTransforms"])) as pool:
            answers = list(pool.map(server.ask, [each.body for each in batches]))
        rest, stored = iter(originals), list[bytes]()
        for payload, answer in zip(batches, answers, strict=True):
            mine = [next(rest) for _ in payload.records]
            stored.append(self._joining.stored(mine, answer))
        return payloads.assemble(stored, self._job["TransformOutput"].get("AssembleWith", "None"))

    def _upload(self, host: Host) -> None:
        output = self._job["TransformOutput"]
        target = Place.parse(output["S3OutputPath"].rstrip("/"))
        try:
            s3_data.upload_tree(self._cloud.aws("s3"), _outputs(host), target, output.get("KmsKeyId"))
        except DataError as error:
            raise JobFailed(f"ClientError: Artifact upload failed:{error}") from error


def _outputs(host: Host) -> Path:
    return host.workspace.root / "outputs"


def _settings(job: Mapping[str, Any]) -> str:
    limits = f"MaxConcurrentTransforms={job['MaxConcurrentTransforms']}, MaxPayloadInMB={job['MaxPayloadInMB']}"
    return f"{limits}, BatchStrategy={strategy(job)}"


def _said(words: str) -> str:
    """A line of the data log, as SageMaker writes them."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    return f"{now}:[sagemaker logs]: {words}"
