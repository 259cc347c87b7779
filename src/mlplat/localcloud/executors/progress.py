"""How far a training job is: its record in the store, moved from status to status as SageMaker does."""

from __future__ import annotations

import math
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
}
"""StatusMessage of each secondary status, as AWS answers them."""

FINISHED = frozenset({"Completed", "Failed", "Stopped"})
"""TrainingJobStatus of jobs that have ended."""

LONGEST_REASON = 1024


class Progress:
    """The one who moves a job's record on. `job` is the dict in the store, in the shape of DescribeTrainingJob."""

    def __init__(self, cloud: Cloud, job: dict[str, Any]) -> None:
        self._cloud, self._job = cloud, job

    def enter(self, secondary: str, **members: Any) -> None:
        """Go on to the next secondary status; the status stays what it is, InProgress or Stopping."""
        with self._cloud.lock:
            self._move(secondary, members)

    def stop(self) -> None:
        """StopTrainingJob was called: Stopping, until the container has ended."""
        with self._cloud.lock:
            self._move("Stopping", {"TrainingJobStatus": "Stopping"})

    def finish(self, secondary: str, **members: Any) -> None:
        """The end: Completed, Failed, Stopped or MaxRuntimeExceeded (which is a kind of Stopped)."""
        status = secondary if secondary in FINISHED else "Stopped"
        if reason := members.get("FailureReason"):
            members["FailureReason"] = reason[:LONGEST_REASON]
        with self._cloud.lock:
            now = self._move(secondary, members | {"TrainingJobStatus": status})
            self._job["SecondaryStatusTransitions"][-1]["EndTime"] = now
            started = self._job.get("TrainingStartTime")
            if started is not None:
                seconds = math.ceil((now - started).total_seconds())
                self._job |= {
                    "TrainingEndTime": now,
                    "TrainingTimeInSeconds": seconds,
                    "BillableTimeInSeconds": seconds,
                }

    def _move(self, secondary: str, members: dict[str, Any]) -> Any:
        now = self._cloud.now()
        past = self._job["SecondaryStatusTransitions"]
        if past:
            past[-1].setdefault("EndTime", now)
        past.append({"Status": secondary, "StartTime": now, "StatusMessage": MESSAGES[secondary]})
        self._job |= members | {"SecondaryStatus": secondary, "LastModifiedTime": now}
        return now
