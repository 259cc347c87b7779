"""How far a training job is: its record in the store, moved from status to status as SageMaker does."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from mlplat.localcloud.cloud import Cloud

MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading the training image",
    "Training": "Training image download completed. Training in progress.",
    "Stopping": "Stopping the training job",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job exceeded MaxWaitTimeInSeconds provided",
    "Interrupted": "Training job interrupted: the spot instance was reclaimed",
}
"""StatusMessage of each secondary status, as AWS answers them; the last two are not verified."""

FINISHED = frozenset({"Completed", "Failed", "Stopped"})
"""TrainingJobStatus of jobs that have ended."""

LONGEST_REASON = 1024

SPOT_PRICE = 0.3
"""What a second on a spot instance costs of an ordinary one. AWS's price moves; it says "up to 90 %" of savings."""

ENDED_MEANWHILE = "InternalServerError: the local cloud was stopped, or ended, while the job was running."
"""FailureReason of jobs that a restart finds under way."""


class JobFailed(Exception):
    """A job has failed; the message is its FailureReason."""


def algorithm_error(failure: str, code: int) -> str:
    """FailureReason of a container that failed: what it said itself, and how it ended."""
    return f"AlgorithmError: {failure}, exit code: {code}"


class Progress:
    """The one who moves a job's record on. `job` is the dict in the store, in the shape of DescribeTrainingJob."""

    def __init__(self, cloud: Cloud, job: dict[str, Any]) -> None:
        self._cloud, self._job = cloud, job
        self._ran = 0.0
        self._since: datetime | None = job.get("TrainingStartTime")

    def enter(self, secondary: str, **members: Any) -> None:
        """Go on to the next secondary status; the status stays what it is, InProgress or Stopping."""
        with self._cloud.lock:
            self._move(secondary, members)

    def begin(self) -> None:
        """There are instances: the job's time runs from now on, until `pause` or the end."""
        with self._cloud.lock:
            self._since = self._cloud.now()
            self.enter("Downloading", TrainingStartTime=self._job.get("TrainingStartTime", self._since))

    def pause(self) -> None:
        """The instances were reclaimed: what is waited for others is neither run time nor billed."""
        with self._cloud.lock:
            self._ran, self._since = self.ran, None
            self.enter("Interrupted")

    @property
    def ran(self) -> float:
        """Seconds on instances so far."""
        return self._ran + ((self._cloud.now() - self._since).total_seconds() if self._since else 0.0)

    def stop(self) -> None:
        """StopTrainingJob was called: Stopping, until the container has ended."""
        with self._cloud.lock:
            self._move("Stopping", {"TrainingJobStatus": "Stopping"})

    def finish(self, secondary: str, **members: Any) -> None:
        """The end: Completed, Failed, Stopped; MaxRuntimeExceeded, MaxWaitTimeExceeded, which are kinds of Stopped."""
        status = secondary if secondary in FINISHED else "Stopped"
        if reason := members.get("FailureReason"):
            members["FailureReason"] = reason[:LONGEST_REASON]
        with self._cloud.lock:
            now = self._move(secondary, members | {"TrainingJobStatus": status})
            self._job["SecondaryStatusTransitions"][-1]["EndTime"] = now
            started = self._job.get("TrainingStartTime")
            if started is not None:
                share = SPOT_PRICE if self._job["EnableManagedSpotTraining"] else 1.0
                self._job |= {
                    "TrainingEndTime": now,
                    "TrainingTimeInSeconds": math.ceil((now - started).total_seconds()),
                    "BillableTimeInSeconds": math.ceil(self.ran * share),
                }

    def _move(self, secondary: str, members: dict[str, Any]) -> Any:
        now = self._cloud.now()
        past = self._job["SecondaryStatusTransitions"]
        if past:
            past[-1].setdefault("EndTime", now)
        past.append({"Status": secondary, "StartTime": now, "StatusMessage": MESSAGES[secondary]})
        self._job |= members | {"SecondaryStatus": secondary, "LastModifiedTime": now}
        return now
