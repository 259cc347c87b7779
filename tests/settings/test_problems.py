"""What each wrong thing is told as: file or variable, key, value, what is allowed, and the nearest spelling."""

# ruff: noqa: E501  one case a line

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mlplat.errors import SettingsError
from mlplat.settings import load
from mlplat.settings.limits import RETENTION_DAYS

Wrong = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("[network]\nzone = 3", 'development.toml:2: network.zone = 3: unknown key; [network] has cidr, zones, nat, interface_endpoints, flow_logs; did you mean "zones"?'),
        ("[network]\nzones = 9", "development.toml:2: network.zones = 9: must be 2 to 6"),
        ("[network]\nzones = true", "development.toml:2: network.zones = true: must be a whole number"),
        ('[network]\n\nnat = "pre_zone"', 'development.toml:3: network.nat = "pre_zone": must be "none", "single" or "per_zone"; did you mean "per_zone"?'),
        ('[network]\ncidr = "10.1.0.5/16"', 'development.toml:2: network.cidr = "10.1.0.5/16": an IPv4 block like 10.1.0.0/16: 10.1.0.5/16 has host bits set'),
        ('[network]\ncidr = "10.0.0.0/8"', 'development.toml:2: network.cidr = "10.0.0.0/8": a VPC has between /16 and /28'),
        ('[network]\nzones = 3\ncidr = "10.1.0.0/26"', 'development.toml:3: network.cidr = "10.1.0.0/26": too small for 6 subnets in 3 zones: /25 or bigger'),
        ('[network]\ninterface_endpoints = ["kms", "kms"]', 'development.toml:2: network.interface_endpoints = ["kms", "kms"]: named twice: kms'),
        ('[network]\ninterface_endpoints = [\n  "kms",\n  5,\n]', "development.toml:2: network.interface_endpoints = 5: must be text in quotes"),
        ("network = 3", "development.toml:1: network = 3: must be a table"),
        ('[approval]\nrequired = "yes"', 'development.toml:2: approval.required = "yes": must be true or false'),
        ('region = "us-esat-1"', 'development.toml:1: region = "us-esat-1": not a region of AWS (us-east-1, for example; a new one may need a newer boto3); did you mean "us-east-1"?'),
        ('training.instance_type = "m5.large"', 'development.toml:1: training.instance_type = "m5.large": not an instance type that SageMaker trains on (ml.m5.large, for example); did you mean "ml.m5.large"?'),
        ('[serving]\ninstance_type = "ml.m5.larg"', 'development.toml:2: serving.instance_type = "ml.m5.larg": not an instance type that SageMaker serves on (ml.m5.large, for example); did you mean "ml.m5.large"?'),
        ("[encryption]\ndeletion_window_days = 31", "development.toml:2: encryption.deletion_window_days = 31: must be 7 to 30"),
        ("[storage]\nraw_infrequent_days = 29", "development.toml:2: storage.raw_infrequent_days = 29: must be 30 to 36500"),
        ("[state]\nbackend = 's3'", 'development.toml:1: state.bucket: missing: backend = "s3" needs one (mlplat bootstrap makes it)'),
        ("[state]\nbackend = 'gcs'", 'development.toml:2: state.backend = "gcs": must be "local" or "s3"'),
        ("[state]\nbucket = 'My_Bucket'", 'development.toml:2: state.bucket = "My_Bucket": a bucket\'s name: 3 to 63 lower-case letters, digits, - and ., with a letter or digit at both ends'),
        ("[state]\nkey = '/state.json'", 'development.toml:2: state.key = "/state.json": the key of an object: letters, digits and / ! - _ . * \' ( ), at most 1000, with no / at either end'),
        ("[state]\nkms_key = 'alias/mine'", 'development.toml:2: state.kms_key = "alias/mine": the ARN of a KMS key, which is not an alias: arn:aws:kms:REGION:ACCOUNT:key/ID'),
        ("[storage]\nraw_infrequent_days = 61", "default.toml:N: storage.raw_archive_days = 90: at least 30 days after raw_infrequent_days, which is 61"),
        ("[storage]\nraw_expire_days = 90", "development.toml:2: storage.raw_expire_days = 90: after raw_archive_days, which is 90"),
        ("[logs]\nretention_days = 31", f"development.toml:2: logs.retention_days = 31: CloudWatch Logs keeps for {', '.join(map(str, RETENTION_DAYS))} days"),
        ("[endpoints.x]\nworkload = 'chrun'", 'development.toml:2: endpoints.x.workload = "chrun": not a workload; there is churn; did you mean "churn"?'),
        ('[endpoints."a b"]\nworkload = "churn"', 'development.toml:1: endpoints."a b": a name is letters, digits, - and _, with a letter or digit at both ends; did you mean "a-b"?'),
        (f"[endpoints.{'x' * 34}]\nworkload = 'churn'", f"development.toml:1: endpoints.{'x' * 34}: too long for AWS's names in development: at most 33 characters"),
        ("[endpoints.Churn]\nworkload = 'churn'", "development.toml:1: endpoints.Churn: the same name on AWS as churn"),
        ("namespace = 'production'", 'development.toml:1: namespace = "production": this is the file of development; the namespace is chosen by default.toml, MLPLAT_NAMESPACE or --namespace'),
        ("[feature_groups.customer]\nrecord_identifier = 'customerid'", 'development.toml:2: feature_groups.customer.record_identifier = "customerid": not one of the group\'s features; did you mean "customer_id"?'),
        ("[feature_groups.customer]\nevent_time = 'account_length'", 'default.toml:N: feature_groups.customer.features.account_length = "Integral": the event time is a "String" (ISO 8601) or "Fractional" (seconds)'),
        ("[feature_groups.customer]\nonline = false\noffline = false", "development.toml:3: feature_groups.customer.offline = false: at least one of online and offline must be true"),
        ("[feature_groups.customer.features]\nis_deleted = 'String'", 'development.toml:2: feature_groups.customer.features.is_deleted = "String": a column that the offline store adds by itself; choose another name'),
        ("[feature_groups.customer.features]\nstate = 'Text'", 'development.toml:2: feature_groups.customer.features.state = "Text": a feature is a String, Integral or Fractional, or a collection: List of String, Set of Integral, Vector(768) of Fractional, with up to 8192 dimensions'),
        ("[feature_groups.customer.features]\nstate = 'Strin'", 'development.toml:2: feature_groups.customer.features.state = "Strin": a feature is a String, Integral or Fractional, or a collection: List of String, Set of Integral, Vector(768) of Fractional, with up to 8192 dimensions; did you mean "String"?'),
        ("[feature_groups.customer.features]\nstate = 'List of String'", 'development.toml:2: feature_groups.customer.features.state = "List of String": collections are kept with online_storage = "InMemory" only'),
        ("[feature_groups.customer]\nonline_storage = \'InMemory\'\noffline = true", "development.toml:3: feature_groups.customer.offline = true: a group with online_storage InMemory has no offline store; set it to false"),
        ("[feature_groups.customer]\nttl = '90 days'", 'development.toml:2: feature_groups.customer.ttl = "90 days": how long a record lives online, as 90d, 12h, 30m, 45s or 2w'),
        ("[feature_groups.customer]\nread_capacity = 5", "development.toml:1: feature_groups.customer.write_capacity: missing: read_capacity and write_capacity are provisioned together"),
        ("[feature_groups.customer]\nreaders = 2", "development.toml:2: feature_groups.customer.readers = 2: there is no such version yet; version is 1"),
        ("[feature_groups.customer-v2]\nrecord_identifier = 'id'\nevent_time = 'at'\nfeatures = { id = 'String', at = 'String' }", "development.toml:1: feature_groups.customer-v2: a version of customer would be called so"),
        ("[workloads.churn]\nobjective_metric = 'validation_auc'", 'development.toml:2: workloads.churn.objective_metric = "validation_auc": not one of the workload\'s metrics; did you mean "validation:auc"?'),
        ("[workloads.churn]\nimage = 'sklearn'", 'development.toml:2: workloads.churn.image = "sklearn": an AWS framework image as name:version (scikit-learn:1.2-1), or the URI of your own'),
        ("[workloads.churn]\nentry_point = '../train.py'", 'development.toml:2: workloads.churn.entry_point = "../train.py": a .py file, relative to the workload\'s source'),
        ("[workloads.churn.channels]\ntrain = 'gs://x'", 'development.toml:2: workloads.churn.channels.train = "gs://x": a file or folder here, or an s3:// address'),
        ("[workloads.churn.metrics]\nx = 'auc=[0-9]'", "development.toml:2: workloads.churn.metrics.x = \"auc=[0-9]\": a metric's pattern has a group around the value, as in auc=([0-9.]+)"),
        ('[workloads.churn.metrics]\n"f1(macro)" = "f1=([0-9.]+)"', 'development.toml:2: workloads.churn.metrics."f1(macro)" = "f1=([0-9.]+)": a metric\'s name is up to 121 letters, digits, spaces and _ . : / = + - @'),
        ('[workloads.churn]\ndescription = "two\\nlines"', 'development.toml:2: workloads.churn.description = "two\\nlines": one line of text: SageMaker takes no line breaks or tabs here'),
        ("[workloads.churn.hyperparameters]\nx = [1]", "development.toml:2: workloads.churn.hyperparameters.x = [1]: must be text, a number, true or false"),
        ("[workloads.churn.environment]\nAPI_TOKEN = 5", "development.toml:2: workloads.churn.environment.API_TOKEN = ***: must be text in quotes"),
        ("[workloads.churn.tuning]\nmax_jobs = 1", "default.toml:N: workloads.churn.tuning.max_parallel_jobs = 2: more than max_jobs, which is 1"),
        ("[workloads.churn.tuning]\nmax_jobs = 751", "development.toml:2: workloads.churn.tuning.max_jobs = 751: at most 750 for Bayesian"),
        ("[workloads.churn.tuning.fixed]\nmax_iter = 5", "development.toml:2: workloads.churn.tuning.fixed.max_iter = 5: both fixed and a range; SageMaker takes a hyperparameter once"),
        ("[workloads.churn.tuning.ranges]\nx = { type = 'real', min = 0, max = 1 }", 'development.toml:2: workloads.churn.tuning.ranges.x.type = "real": must be "continuous", "integer" or "categorical"'),
        ("[workloads.churn.tuning.ranges]\nx = { min = 0, max = 1 }", 'development.toml:2: workloads.churn.tuning.ranges.x.type: missing; "continuous", "integer" or "categorical"'),
        ("[workloads.churn.tuning.ranges]\nx = { type = 'integer', min = 5, max = 5 }", "development.toml:2: workloads.churn.tuning.ranges.x.max = 5: must be greater than min"),
        ("[workloads.churn.tuning.ranges]\nx = { type = 'continuous', min = 0, max = 1, scaling = 'Logarithmic' }", "development.toml:2: workloads.churn.tuning.ranges.x.min = 0: must be greater than 0 for Logarithmic scaling"),
        ("[workloads.churn.tuning.ranges]\nx = { type = 'continuous', min = 0, max = 1, scaling = 'ReverseLogarithmic' }", 'development.toml:2: workloads.churn.tuning.ranges.x.scaling = "ReverseLogarithmic": ReverseLogarithmic needs 0 <= min < max < 1'),
        ("[workloads.churn.tuning.ranges]\nx = { type = 'categorical', values = [] }", "development.toml:2: workloads.churn.tuning.ranges.x.values = []: must not be empty"),
        ("[workloads.churn.tuning.ranges]\n\nmax_iter = { type = 'integer', min = 5 }", "development.toml:3: workloads.churn.tuning.ranges.max_iter.max: missing"),
        ("[monitoring]\nemails = ['operations']", 'development.toml:2: monitoring.emails = "operations": an e-mail address'),
        ("[monitoring.feature_store]\nlatency_ms = 0", "development.toml:2: monitoring.feature_store.latency_ms = 0: must be 1 to 60000"),
        ("[feature_groups.customer.about.chrun]\nowner = 'x'", 'development.toml:1: feature_groups.customer.about.chrun: not one of the group\'s features; did you mean "churn"?'),
        ("[feature_groups.customer.about.churn]\nowner = 'ann@example.com'", 'development.toml:2: feature_groups.customer.about.churn.owner = "ann@example.com": letters, digits, spaces and _ . : / = + - only, which is what SageMaker takes'),
        ("[feature_groups.customer.access]\nanalysts = ['ann']", 'development.toml:2: feature_groups.customer.access.analysts = "ann": the ARN of an IAM role or user, or an account as arn:aws:iam::123456789012:root'),
        ("[registry]\nreaders = ['12345']", 'development.toml:2: registry.readers = "12345": an AWS account: twelve digits, in quotes'),
        ("[feature_groups.customer]\nfreshness = '8d'", 'development.toml:2: feature_groups.customer.freshness = "8d": how old the newest record may be, as 2d, 12h or 30m; seven days at most'),
        ("[feature_groups.customer]\nfreshness = '90'", 'development.toml:2: feature_groups.customer.freshness = "90": how old the newest record may be, as 2d, 12h or 30m; seven days at most'),
        ("[workloads.new]\nsource = '.'\nimage = 'a/b'\nchannels = { train = '.' }", "development.toml:1: workloads.new.model_package_group: missing"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_its_place_and_what_is_allowed(wrong: Wrong, toml: str, told: str) -> None:
    assert [re.sub(r"^default\.toml:\d+", "default.toml:N", each) for each in wrong(toml)] == [told]


def test_all_problems_are_told_together_in_the_order_of_the_file(wrong: Wrong) -> None:
    told = wrong(
        "[logs]\nretention_days = 0\n[netwrok]\nzones = 2\n[network]\nzones = 1\nnat = 'one'\n",
        {"MLPLAT_APPLY__X": "1"},
    )
    assert [line.split(" ")[0] for line in told] == [
        "development.toml:2:",
        "development.toml:3:",
        "development.toml:6:",
        "development.toml:7:",
        "MLPLAT_APPLY__X:",
    ]
    assert told[1].startswith("development.toml:3: netwrok: unknown key; the configuration has namespace, target")
    assert told[1].endswith('did you mean "network"?')


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("MLPLAT_NETWROK__ZONES", "3", 'MLPLAT_NETWROK__ZONES: names no key of the configuration; did you mean "MLPLAT_NETWORK__ZONES"?'),
        ("MLPLAT_WORKLOADS__CHRUN__IMAGE", "a:1", 'MLPLAT_WORKLOADS__CHRUN__IMAGE: names no key of the configuration; did you mean "MLPLAT_WORKLOADS__CHURN__IMAGE"?'),
        ("MLPLAT_QQQQQ__", "3", "MLPLAT_QQQQQ__: names no key of the configuration"),
        ("MLPLAT_NETWORK__ZONES", "two", 'MLPLAT_NETWORK__ZONES: network.zones = "two": must be a whole number'),
        ("MLPLAT_NETWORK__ZONES", "2.5", "MLPLAT_NETWORK__ZONES: network.zones = 2.5: must be a whole number"),
        ("ENABLE_MODEL_MONITORING", "maybe", 'ENABLE_MODEL_MONITORING: monitoring.enabled = "maybe": must be true or false'),
        ("SAGEMAKER_INSTANCE_TYPE", "ml.m5.larg", 'SAGEMAKER_INSTANCE_TYPE: training.instance_type = "ml.m5.larg": not an instance type that SageMaker trains on (ml.m5.large, for example); did you mean "ml.m5.large"?'),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named(wrong: Wrong, name: str, text: str, told: str) -> None:
    assert wrong(environ={name: text}) == [told]


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("[network\nzones = 2", "reading development.toml:1:9: not valid TOML: Expected ']' at the end of a table declaration: [network"),
        ("a = 1\nb = = 2\n", "reading development.toml:2:5: not valid TOML: Invalid value: b = = 2"),
        ("x = [1,\n", "reading development.toml:2:1: not valid TOML: Invalid value at the end of the file"),
        ("a = 1\na = 2\n", "reading development.toml:2:6: not valid TOML: Cannot overwrite a value: a = 2"),
    ],
)  # fmt: skip
def test_malformed_toml_is_told_with_line_and_column(wrong: Wrong, toml: str, told: str) -> None:
    assert wrong(toml) == [told]


def test_a_file_that_is_not_text_is_told(folder: Path) -> None:
    (folder / "development.toml").write_bytes(b'[network]\ncidr = "\xff"\n')
    with pytest.raises(SettingsError, match=r"development.toml:2: not UTF-8"):
        load(config=folder, environ={})


def test_where_there_is_no_namespace_the_hint_makes_one(tmp_path: Path) -> None:
    (tmp_path / "default.toml").touch()
    with pytest.raises(SettingsError, match="the namespaces are: none") as caught:
        load(config=tmp_path, environ={})
    assert caught.value.hint == f"${{EDITOR:-vi}} {tmp_path / 'development.toml'}"


def test_a_key_is_told_as_it_was_typed(wrong: Wrong) -> None:
    told = wrong('[feature_groups."客户"]\n')
    assert any('feature_groups."客户"' in each for each in told)


def test_a_namespace_without_a_file_lists_those_there_are(wrong: Wrong) -> None:
    listed = "there is no prodution.toml; the namespaces are: development, production"
    assert wrong(namespace="prodution") == [
        f'--namespace: namespace = "prodution": {listed}; did you mean "production"?'
    ]
    told = wrong(environ={"MLPLAT_NAMESPACE": "prodution"})
    assert told == [f'MLPLAT_NAMESPACE: namespace = "prodution": {listed}; did you mean "production"?']


@pytest.mark.parametrize("name", ["../production", "Prod", "a--b", "default", "-a", "x.y", "a" * 22])
def test_a_namespace_that_can_not_be_part_of_a_bucket_name_is_refused(folder: Path, name: str) -> None:
    if "/" not in name:
        (folder / f"{name}.toml").write_text("")
    with pytest.raises(
        SettingsError, match=r"lower-case letters|too long for the names of buckets in us-east-1: at most 21"
    ):
        load(config=folder, namespace=name, environ={})


@pytest.mark.parametrize("named_by", ["flag", "variable"])
def test_a_config_folder_that_was_named_must_be_one(tmp_path: Path, named_by: str) -> None:
    def attempt(path: Path) -> str:
        with pytest.raises(SettingsError) as caught:
            load(config=path, environ={}) if named_by == "flag" else load(environ={"MLPLAT_CONFIG": str(path)})
        return caught.value.message

    who = "--config" if named_by == "flag" else "MLPLAT_CONFIG"
    assert attempt(tmp_path / "nope").endswith(f"nope ({who}): there is no such folder")
    assert attempt(tmp_path).endswith(f"({who}): it has no default.toml")


def test_moves_that_can_not_be(wrong: Wrong) -> None:
    told = wrong(
        "[[moved]]\nfrom = 'a.topic.x'\nto = 'a.topic.y'\n[[moved]]\nfrom = 'a.topic.y'\nto = 'a.topic.x'\n"
        "[[moved]]\nfrom = 'a.topic.z'\nto = 'a.queue.z'\n[[moved]]\nfrom = 'a.topic.z'\nto = 'a.topic.w'\n"
        "[[moved]]\nfrom = 'a.topic.v'\nto = 'a.topic.w'\n"
    )
    assert told == [
        'development.toml:3: moved.0.to = "a.topic.y": it moves in a circle: a.topic.x -> a.topic.y -> a.topic.x',
        'development.toml:9: moved.2.to = "a.queue.z": a.topic.z and a.queue.z are of different kinds',
        'development.toml:11: moved.3.from = "a.topic.z": a.topic.z moves twice',
        'development.toml:15: moved.4.to = "a.topic.w": something else moves to a.topic.w already',
    ]
    (one,) = wrong(
        "[[moved]]\nfrom = 'a.topic.x'\nto = 'a.topic.y'\n[[moved]]\nform = 'x'\nfrom = 'a.b.c'\nto = 'a.b.d'"
    )
    assert one == 'development.toml:5: moved.1.form = "x": unknown key; [moved.1] has from, to; did you mean "from"?'
    (one,) = wrong("[[moved]]\nfrom = 'bucket.raw'\nto = 'a.b.c'")
    assert one.startswith('development.toml:2: moved.0.from = "bucket.raw": a whole address')
