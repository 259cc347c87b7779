"""Endpoints: created, described, updated in place or blue/green, deleted, in SageMaker's statuses and words."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.executors.endpoint import Fleet, NotReady, Variant
from mlplat.localcloud.executors.hosting import Hosting, Traffic
from mlplat.localcloud.executors.model_data import Container
from mlplat.localcloud.executors.router import as_float32
from mlplat.localcloud.sagemaker import endpoint_variants as variants
from mlplat.localcloud.sagemaker import instances
from mlplat.localcloud.sagemaker.errors import invalid
from mlplat.localcloud.sagemaker.job_lists import Members, page

log = logging.getLogger(__name__)

BUSY = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
Endpoint = dict[str, Any]
"""An endpoint in the shape of DescribeEndpoint's answer."""


class Endpoints:
    """CreateEndpoint and its siblings; method names and shapes are boto3's."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._hosting = Hosting.of(cloud)

    def create_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        """Creating, then InService, or Failed with the reason when a variant does not come up."""
        name, arn = request["EndpointName"], self._arn(request["EndpointName"])
        with self._cloud.lock:
            config = self._config(request["EndpointConfigName"])
            if name in self._endpoints:
                raise invalid(f'Cannot create already existing endpoint "{arn}".')
            variants.check(self._cloud, config)
            instances.check(self._cloud, "endpoint", instances.of_variants(config))
            now = self._cloud.now()
            self._endpoints[name] = {
                "EndpointName": name,
                "EndpointArn": arn,
                "EndpointConfigName": request["EndpointConfigName"],
                "EndpointStatus": "Creating",
                "CreationTime": now,
                "LastModifiedTime": now,
                **({"LastDeploymentConfig": request["DeploymentConfig"]} if "DeploymentConfig" in request else {}),
            }
            self._cloud.tag(arn, request.get("Tags"))
            wanted = variants.initial(self._cloud, config)
        self._cloud.later(lambda: self._deploy(name, config, wanted))
        return {"EndpointArn": arn}

    def describe_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        """The endpoint; its variants appear once they are in service."""
        with self._cloud.lock:
            return copy.deepcopy(self._endpoint(request["EndpointName"]))

    def list_endpoints(self, request: dict[str, Any]) -> dict[str, Any]:
        """A page of endpoints, newest first unless asked otherwise."""
        with self._cloud.lock:
            found = [dict(each) for each in self._endpoints.values()]
        chosen, token = page(found, {"SortOrder": "Descending", **request}, Members("EndpointName", "EndpointStatus"))
        return {"Endpoints": chosen, "NextToken": token}

    def update_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        """Blue/green: the new fleet comes up beside the old one, takes the traffic, then the old one is ended.

        When it does not come up, the old one goes on: InService with the FailureReason and the old configuration.
        """
        name = request["EndpointName"]
        with self._cloud.lock:
            endpoint = self._idle(name)
            if endpoint["EndpointStatus"] == "Failed":
                raise invalid(f'Cannot update endpoint "{endpoint["EndpointArn"]}" in status Failed.')
            config = self._config(request["EndpointConfigName"])
            variants.check(self._cloud, config)
            wanted = variants.initial(self._cloud, config)
            capture = config.get("DataCaptureConfig")
            if request.get("RetainAllVariantProperties"):
                excluded = {each["VariantPropertyType"] for each in request.get("ExcludeRetainedVariantProperties", ())}
                variants.retain(wanted, endpoint["ProductionVariants"], excluded)
                if "DataCaptureConfig" not in excluded:
                    capture = self._capture_of(endpoint)
            instances.check(self._cloud, "endpoint", instances.of_variants(config, variants.counts(wanted)))
            self._change(endpoint, "Updating")
            endpoint["PendingDeploymentSummary"] = {
                "EndpointConfigName": config["EndpointConfigName"],
                "ProductionVariants": [dict(each) for each in wanted],
                "StartTime": self._cloud.now(),
            }
            if not request.get("RetainDeploymentConfig"):
                endpoint.pop("LastDeploymentConfig", None)
            if "DeploymentConfig" in request:
                endpoint["LastDeploymentConfig"] = request["DeploymentConfig"]
        retained = {**config, "DataCaptureConfig": capture}
        self._cloud.later(lambda: self._deploy(name, retained, wanted))
        return {"EndpointArn": endpoint["EndpointArn"]}

    def update_endpoint_weights_and_capacities(self, request: dict[str, Any]) -> dict[str, Any]:
        """In place: no process is touched. Updating, then InService with the new weights."""
        name = request["EndpointName"]
        with self._cloud.lock:
            endpoint = self._idle(name)
            if endpoint["EndpointStatus"] != "InService":
                raise invalid(f'Cannot update endpoint "{endpoint["EndpointArn"]}" that is not InService.')
            own = {each["VariantName"]: each for each in endpoint["ProductionVariants"]}
            asked = request["DesiredWeightsAndCapacities"]
            for each in asked:
                if each["VariantName"] not in own:
                    raise invalid(f'Could not find variant "{each["VariantName"]}" of endpoint "{self._arn(name)}".')
            instances.check(self._cloud, "endpoint", self._more(endpoint, asked))
            for each in asked:
                variant = own[each["VariantName"]]
                if "DesiredWeight" in each:
                    variant["DesiredWeight"] = as_float32(each["DesiredWeight"])
                if "DesiredInstanceCount" in each:
                    variant["DesiredInstanceCount"] = each["DesiredInstanceCount"]
            self._change(endpoint, "Updating")
        self._cloud.later(lambda: self._reweigh(name))
        return {"EndpointArn": endpoint["EndpointArn"]}

    def delete_endpoint(self, request: dict[str, Any]) -> None:
        """Deleting, then gone; requests are refused at once, those under way are answered."""
        name = request["EndpointName"]
        with self._cloud.lock:
            endpoint = self._idle(name)
            self._change(endpoint, "Deleting")
            traffic = self._hosting.traffic.pop(name, None)
        self._cloud.later(lambda: self._remove(name, traffic))

    def resume(self) -> None:
        """After a restart: what served serves again, as SageMaker's own maintenance would have it; the rest goes on."""
        with self._cloud.lock:
            endpoints = list(self._endpoints.values())
        for endpoint in endpoints:
            name, status = endpoint["EndpointName"], endpoint["EndpointStatus"]
            if status == "Deleting":
                self._remove(name, None)
            elif "Served" in endpoint:
                self._hosting.returning[name] = threading.Event()
                endpoint["EndpointStatus"] = "SystemUpdating"
                self._cloud.later(partial(self._bring_back, name, endpoint, status), 0)
            elif status == "Creating":
                self._cloud.later(partial(self._create_again, name, endpoint), 0)

    def _bring_back(self, name: str, endpoint: Endpoint, status: str) -> None:
        """The fleet that served, with its weights; then the update that was under way, if there was one."""
        try:
            shares = variants.shares(variants.settled(endpoint["ProductionVariants"]))
            fleet = self._fleet(name, endpoint["Served"])
            fleet.start()
            capture = endpoint["Served"].get("DataCaptureConfig") or {}
            self._hosting.traffic[name] = Traffic(fleet, shares, capture if capture.get("EnableCapture") else None)
        except NotReady as error:
            self._failed(name, str(error))
            return
        except Exception:
            log.exception("endpoint %s could not be brought back", name)
            self._failed(name, "An internal error occurred. `mlplat local logs` of the local cloud tells more.")
            return
        finally:
            self._hosting.returning.pop(name).set()
        with self._cloud.lock:
            pending = endpoint.get("PendingDeploymentSummary")
            config = self._cloud.store("endpoint_configs").get(pending["EndpointConfigName"]) if pending else None
            endpoint["EndpointStatus"] = "Updating" if pending else "InService"
        if pending and config is not None:
            self._deploy(name, config, pending["ProductionVariants"])
        elif pending:
            self._failed(name, f"Could not find endpoint configuration {pending['EndpointConfigName']}.")
        elif status == "Updating":
            self._reweigh(name)

    def _create_again(self, name: str, endpoint: Endpoint) -> None:
        try:
            with self._cloud.lock:
                config = self._config(endpoint["EndpointConfigName"])
                wanted = variants.initial(self._cloud, config)
        except AwsError as error:
            self._failed(name, error.message)
        else:
            self._deploy(name, config, wanted)

    def _deploy(self, name: str, config: Mapping[str, Any], wanted: list[dict[str, Any]]) -> None:
        """Bring the configuration's fleet up and give it the traffic; otherwise leave everything as it was."""
        try:
            fleet = self._fleet(name, config)
            fleet.start()
        except NotReady as error:
            self._failed(name, str(error))
        except Exception:
            log.exception("endpoint %s could not be deployed", name)
            self._failed(name, "An internal error occurred. `mlplat local logs` of the local cloud tells more.")
        else:
            self._switch(name, fleet, config, wanted)

    def _fleet(self, name: str, config: Mapping[str, Any]) -> Fleet:
        try:
            with self._cloud.lock:
                made = [
                    Variant(each["VariantName"], Container.of(self._cloud, each["ModelName"]), variants.startup(each))
                    for each in config["ProductionVariants"]
                ]
        except KeyError as error:  # deleted since the endpoint was asked for
            raise NotReady(f"Could not find the model or model package {error.args[0]}.") from error
        return Fleet(self._cloud, name, made)

    def _switch(self, name: str, fleet: Fleet, config: Mapping[str, Any], wanted: list[dict[str, Any]]) -> None:
        with self._cloud.lock:
            endpoint = self._endpoints[name]
            before = self._hosting.traffic.get(name)
            capture = config.get("DataCaptureConfig") or {}
            enabled = capture if capture.get("EnableCapture") else None
            settled = variants.settled(wanted)
            self._hosting.traffic[name] = Traffic(fleet, variants.shares(settled), enabled)
            endpoint.pop("FailureReason", None)
            endpoint.pop("PendingDeploymentSummary", None)
            endpoint.pop("DataCaptureConfig", None)
            if capture:
                endpoint["DataCaptureConfig"] = variants.capture_summary(capture)
            endpoint["EndpointConfigName"] = config["EndpointConfigName"]
            endpoint["ProductionVariants"] = settled
            endpoint["Served"] = dict(config)  # ours: what a restart brings back, whatever became of the config
            self._change(endpoint, "InService")
        if before is not None:
            before.fleet.stop()

    def _reweigh(self, name: str) -> None:
        with self._cloud.lock:
            endpoint = self._endpoints[name]
            settled = variants.settled(endpoint["ProductionVariants"])
            endpoint["ProductionVariants"] = settled
            now = self._hosting.traffic[name]
            self._hosting.traffic[name] = Traffic(now.fleet, variants.shares(settled), now.capture)
            self._change(endpoint, "InService")

    def _failed(self, name: str, reason: str) -> None:
        with self._cloud.lock:
            endpoint = self._endpoints[name]
            endpoint.pop("PendingDeploymentSummary", None)
            self._change(endpoint, "InService" if name in self._hosting.traffic else "Failed", reason)

    def _remove(self, name: str, traffic: Traffic | None) -> None:
        if traffic is not None:
            traffic.fleet.stop()
        with self._cloud.lock:
            self._forget(name)

    def _forget(self, name: str) -> None:
        del self._endpoints[name]
        self._cloud.tags.pop(self._arn(name), None)

    def _change(self, endpoint: Endpoint, status: str, reason: str | None = None) -> None:
        endpoint["EndpointStatus"] = status
        endpoint["LastModifiedTime"] = self._cloud.now()
        if reason is not None:
            endpoint["FailureReason"] = reason[:1024]

    def _more(self, endpoint: Endpoint, asked: list[dict[str, Any]]) -> list[instances.Use]:
        """Instances that an endpoint is to have besides its own."""
        has = variants.counts(endpoint["ProductionVariants"])
        wanted = variants.counts(asked)
        more = {name: max(0, wanted.get(name, count) - count) for name, count in has.items()}
        config = self._cloud.store("endpoint_configs").get(endpoint["EndpointConfigName"], {})
        return [(kind, count) for kind, count in instances.of_variants(config, more) if count]

    def _capture_of(self, endpoint: Endpoint) -> Mapping[str, Any] | None:
        """What is captured now."""
        traffic = self._hosting.traffic.get(endpoint["EndpointName"])
        return traffic.capture if traffic else None

    @property
    def _endpoints(self) -> dict[str, Endpoint]:
        return self._cloud.store("endpoints")

    def _arn(self, name: str) -> str:
        return self._cloud.arn(f"endpoint/{name.lower()}")  # the ARN of DEMO-ep ends in demo-ep

    def _endpoint(self, name: str) -> Endpoint:
        if name not in self._endpoints:
            raise invalid(f'Could not find endpoint "{self._arn(name)}".')
        return self._endpoints[name]

    def _idle(self, name: str) -> Endpoint:
        endpoint = self._endpoint(name)
        if endpoint["EndpointStatus"] in BUSY:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')
        return endpoint

    def _config(self, name: str) -> dict[str, Any]:
        config = self._cloud.store("endpoint_configs").get(name)
        if config is None:
            arn = self._cloud.arn(f"endpoint-config/{name}")
            raise invalid(f'Could not find endpoint configuration "{arn}".')
        return dict(config)
