"""Tuning jobs on the test session's local cloud, made with plain boto3 calls."""

from tests.localcloud.jobs import until

SCRIPT = """
import argparse
given = argparse.ArgumentParser()
given.add_argument('-x', type=float); given.add_argument('--fixed'); given.add_argument('--kind')
x = given.parse_args().x
print(f'score={1 - (x - 0.3) ** 2}')
open('/opt/ml/model/x', 'w').write(str(x))
"""
ENDED = ("Completed", "Failed", "Stopped")


class Tuning:
    """Tuning jobs as a user's own boto3 program makes them."""

    def __init__(self, jobs):
        self.jobs, self.sagemaker = jobs, jobs.sagemaker

    def request(self, script=SCRIPT, *, strategy="Random", most=4, parallel=2, ranges=None, **config):
        definition = self.jobs.request(script, HyperParameters={"fixed": "1"})
        definition["StaticHyperParameters"] = definition.pop("HyperParameters")
        del definition["TrainingJobName"]
        metric = {"Name": "validation:score", "Regex": r"score=([0-9.e-]+)"}
        definition["AlgorithmSpecification"] = definition["AlgorithmSpecification"] | {"MetricDefinitions": [metric]}
        limits = {"MaxParallelTrainingJobs": parallel} | ({"MaxNumberOfTrainingJobs": most} if most else {})
        return {
            "HyperParameterTuningJobName": self.jobs.name("tune"),
            "HyperParameterTuningJobConfig": {
                "Strategy": strategy,
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:score"},
                "ResourceLimits": limits,
                "ParameterRanges": ranges
                or {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]},
            }
            | config,
            "TrainingJobDefinition": definition,
        }

    def start(self, *args, **config):
        request = self.request(*args, **config)
        self.sagemaker.create_hyper_parameter_tuning_job(**request)
        return request["HyperParameterTuningJobName"]

    def describe(self, name):
        return self.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)

    def wait(self, name):
        return until(lambda: self.describe(name), lambda job: job["HyperParameterTuningJobStatus"] in ENDED, 120)

    def run(self, *args, **config):
        return self.wait(self.start(*args, **config))

    def children(self, job, **order):
        name = job["HyperParameterTuningJobName"]
        answer = self.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name, MaxResults=100, **order
        )
        return answer["TrainingJobSummaries"]

    def tried(self, job):
        return [each["TunedHyperParameters"] for each in self.children(job)]


def value(child):
    return child["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
