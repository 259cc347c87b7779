"""The configuration: flags over environment over namespace file over default.toml over what is built in.

`load` reads and checks it; every value knows where it came from. Nothing here imports boto3.
"""

from mlplat.settings.loading import load as load
from mlplat.settings.loading import packaged_project as packaged_project
from mlplat.settings.model import Settings as Settings
from mlplat.settings.problems import Origin as Origin
from mlplat.settings.workloads import CategoricalRange as CategoricalRange
from mlplat.settings.workloads import ContinuousRange as ContinuousRange
from mlplat.settings.workloads import Endpoint as Endpoint
from mlplat.settings.workloads import FeatureGroup as FeatureGroup
from mlplat.settings.workloads import IntegerRange as IntegerRange
from mlplat.settings.workloads import Tuning as Tuning
from mlplat.settings.workloads import Workload as Workload
