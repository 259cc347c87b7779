"""What goes between S3 and the hosts of a training job: channels, code and checkpoints down; checkpoints, model up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors import s3_data, training_config
from mlplat.localcloud.executors.cluster import Cluster, Host
from mlplat.localcloud.executors.mirror import Mirror
from mlplat.localcloud.executors.progress import JobFailed
from mlplat.localcloud.executors.s3_data import DataError, Place
from mlplat.localcloud.executors.toolkit import decoded
from mlplat.localcloud.executors.workspace import OPT_ML


class TrainingData:
    """The data of one job on the hosts of one attempt. Everything raises JobFailed."""

    def __init__(self, cloud: Cloud, job: Mapping[str, Any], cluster: Cluster, stopped: Callable[[], bool]) -> None:
        self._cloud, self._job, self._cluster, self._stopped = cloud, job, cluster, stopped
        self._s3 = cloud.aws("s3")
        self._checkpoints: list[Mirror] = []

    def download(self) -> None:
        """Everything that a container finds when it starts, on every host."""
        self._cluster.make(training_config.FOLDERS)
        for host in self._cluster.hosts:
            told = training_config.files(self._job, self._cluster.called, host.called)
            host.workspace.configure("input/config", told)
            try:
                for channel in self._job.get("InputDataConfig", ()):
                    self._download_channel(channel, host)
                self._restore_checkpoints(host)
            except DataError as error:
                raise JobFailed(f"ClientError: Data download failed:{error}") from error
            self._unpack_code(host)
            if not self._cloud.supervisor.private:
                host.workspace.name_real_paths()

    def _download_channel(self, channel: Mapping[str, Any], host: Host) -> None:
        """A channel for some instance groups only is not there on the hosts of others."""
        source = channel["DataSource"]["S3DataSource"]
        hosts = training_config.receivers(self._job, channel, self._cluster.called)
        if host.called not in hosts:
            return
        found = s3_data.sources(self._s3, source)
        if source.get("S3DataDistributionType") == "ShardedByS3Key":
            found = s3_data.shard(found, hosts.index(host.called), len(hosts))
        s3_data.download(self._s3, found, host.workspace.channel(channel["ChannelName"]), self._stopped)

    def _unpack_code(self, host: Host) -> None:
        """Classic script mode: the toolkit takes its script from an archive on S3."""
        submitted = str(decoded(self._job.get("HyperParameters", {})).get("sagemaker_submit_directory", ""))
        if not submitted.startswith("s3://") or self._stopped():
            return
        try:
            s3_data.unpack(self._s3, submitted, host.workspace.ml / "code")
        except DataError as error:
            raise JobFailed(f"AlgorithmError: framework error: \n{error}, exit code: 1") from error

    def _restore_checkpoints(self, host: Host) -> None:
        """What an earlier job, or attempt, left at CheckpointConfig.S3Uri is there when this one starts."""
        config = self._job.get("CheckpointConfig")
        if not config:
            return
        local = config.get("LocalPath", f"{OPT_ML}/checkpoints")
        folder, place = host.workspace.inside(local), Place.parse(config["S3Uri"].rstrip("/"))
        if folder is None:
            raise JobFailed(f"ClientError: the local cloud keeps checkpoints only under {OPT_ML}, not at {local}")
        folder.mkdir(parents=True, exist_ok=True)
        s3_data.download(self._s3, s3_data.under(self._s3, place.below("")), folder, self._stopped)
        mirror = Mirror(self._s3, folder, place)
        mirror.know()
        self._checkpoints.append(mirror)

    def checkpoints(self) -> list[Mirror]:
        """The checkpoints' folders, to be copied to S3 as they change."""
        return self._checkpoints

    def upload(self) -> dict[str, str]:
        """Upload what all hosts have made, as one model and one output; ModelArtifacts.

        Hosts should not write files of one name. Where they do, the first host's counts; AWS doesn't say which.
        """
        output = self._job["OutputDataConfig"]
        target = Place.parse(f"{output['S3OutputPath'].rstrip('/')}/{self._job['TrainingJobName']}/output")
        plain = output.get("CompressionType") == "NONE"
        try:
            for name, inside in (("model", "model"), ("output", "output/data")):
                folders = [host.workspace.ml / inside for host in self._cluster.hosts]
                self._upload([each for each in folders if _any(each)], target, name, plain)
        except DataError as error:
            raise JobFailed(f"ClientError: Artifact upload failed:{error}") from error
        return {"S3ModelArtifacts": target.below("model/" if plain else "model.tar.gz").uri}

    def _upload(self, folders: list[Path], target: Place, name: str, plain: bool) -> None:
        key = self._job["OutputDataConfig"].get("KmsKeyId")
        if plain:
            for folder in reversed(folders):
                s3_data.upload_tree(self._s3, folder, target.below(name), key)
        elif folders:
            s3_data.pack(self._s3, folders, target.below(f"{name}.tar.gz"), key)


def _any(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
