"""The configuration: flags over environment over namespace file over default.toml over what is built in.

`load` reads and checks it; every value knows where it came from. Nothing here imports boto3.
"""

from mlplat.settings.features import FeatureGroup as FeatureGroup
from mlplat.settings.loading import load as load
from mlplat.settings.loading import packaged_project as packaged_project
from mlplat.settings.model import Settings as Settings
from mlplat.settings.problems import KeyPath as KeyPath
from mlplat.settings.problems import Origin as Origin
from mlplat.settings.problems import dotted as dotted
from mlplat.settings.problems import is_secret as is_secret
from mlplat.settings.problems import nearest as nearest
from mlplat.settings.problems import shown_path as shown_path
from mlplat.settings.problems import shown_value as shown_value
from mlplat.settings.reference import reference as reference
from mlplat.settings.transformations import Rule as Rule
from mlplat.settings.transformations import Transformation as Transformation
from mlplat.settings.workloads import CategoricalRange as CategoricalRange
from mlplat.settings.workloads import ContinuousRange as ContinuousRange
from mlplat.settings.workloads import Endpoint as Endpoint
from mlplat.settings.workloads import IntegerRange as IntegerRange
from mlplat.settings.workloads import Tuning as Tuning
from mlplat.settings.workloads import Workload as Workload
