"""Every kind, one import line each; importing this package fills `base.KINDS`."""

from mlplat.resources.athena.work_group import AthenaWorkGroup as AthenaWorkGroup
from mlplat.resources.cloudwatch.alarm import Alarm as Alarm
from mlplat.resources.cloudwatch.dashboard import Dashboard as Dashboard
from mlplat.resources.ec2.default_security_group import DefaultSecurityGroup as DefaultSecurityGroup
from mlplat.resources.ec2.elastic_ip import ElasticIp as ElasticIp
from mlplat.resources.ec2.flow_log import FlowLog as FlowLog
from mlplat.resources.ec2.internet_gateway import InternetGateway as InternetGateway
from mlplat.resources.ec2.nat_gateway import NatGateway as NatGateway
from mlplat.resources.ec2.route_table import RouteTable as RouteTable
from mlplat.resources.ec2.security_group import SecurityGroup as SecurityGroup
from mlplat.resources.ec2.subnet import Subnet as Subnet
from mlplat.resources.ec2.vpc import Vpc as Vpc
from mlplat.resources.ec2.vpc_endpoint import VpcEndpoint as VpcEndpoint
from mlplat.resources.glue.database import GlueDatabase as GlueDatabase
from mlplat.resources.iam.role import Role as Role
from mlplat.resources.kms.key import KmsKey as KmsKey
from mlplat.resources.logs.log_group import LogGroup as LogGroup
from mlplat.resources.s3.bucket import Bucket as Bucket
from mlplat.resources.sagemaker.endpoint import Endpoint as Endpoint
from mlplat.resources.sagemaker.endpoint_config import EndpointConfig as EndpointConfig
from mlplat.resources.sagemaker.feature_group import FeatureGroup as FeatureGroup
from mlplat.resources.sagemaker.model import Model as Model
from mlplat.resources.sagemaker.model_package_group import ModelPackageGroup as ModelPackageGroup
from mlplat.resources.sns.topic import Topic as Topic
