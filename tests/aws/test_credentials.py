from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from mlplat.aws import Session
from mlplat.errors import ApiError, CredentialsError


def test_credentials_that_were_refused_are_not_shown_again() -> None:
    session, sent = Session("development", "us-east-1", credentials=("key", "secret")), list[str]()

    def answer(request: object, event_name: str, **_: object) -> None:
        sent.append(event_name)
        raise ClientError({"Error": {"Code": codes.pop(), "Message": "m"}}, "any")

    for service in ("ec2", "kms"):
        session.client(service).boto.meta.events.register("before-send", answer)
    codes = ["ExpiredToken", "NotFoundException"]
    with pytest.raises(ApiError):
        session.client("kms").describe_key(KeyId="x")
    with pytest.raises(CredentialsError, match="calling kms list_keys: AWS does not accept the credentials"):
        session.at("a.b.c").client("kms").list_keys()
    with pytest.raises(CredentialsError, match="calling kms list_keys: AWS does not accept the credentials"):
        session.client("ec2").describe_vpcs()
    assert sent == ["before-send.kms.DescribeKey", "before-send.kms.ListKeys"]
