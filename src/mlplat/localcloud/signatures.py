"""Who sends a request, proven: Signature Version 4 of headers and of presigned URLs, and S3's Version 2, checked anew.

A port of the loopback is open to every user of the machine, and an access key is no secret: it stands in each request.
Left to trust: that the body of an S3 upload is the one whose digest was signed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.routing import Route

SKEW = timedelta(minutes=15)
"""How far a request's time may be off. API reference, "Elements of an AWS API request signature"."""

ALGORITHM = "AWS4-HMAC-SHA256"
UNKNOWN = "The security token included in the request is invalid."

_HEADER = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")
_SPACES = re.compile(r" {2,}")


def check(route: Route, secret: str) -> None:
    """Raise the service's error unless the request was signed with the secret, and in time."""
    request = route.request
    header = request.headers.get("Authorization", "")
    if header.startswith(ALGORITHM):
        found = dict(_HEADER.findall(header))
        _check_time(route, request.headers.get("X-Amz-Date", ""))
        signed = _sign(route, secret, found, request.headers.get("X-Amz-Date", ""), _payload(route))
    elif "X-Amz-Signature" in request.args:
        found = {name: request.args.get(f"X-Amz-{name}", "") for name in ("Credential", "SignedHeaders", "Signature")}
        _check_expiry(route, request.args.get("X-Amz-Date", ""), request.args.get("X-Amz-Expires", ""))
        signed = _sign(route, secret, found, request.args.get("X-Amz-Date", ""), _presigned_payload(route))
    else:
        found, signed = _version_2(route, secret)
    if not hmac.compare_digest(signed.encode(), found.get("Signature", "").encode("utf-8", "replace")):
        raise mismatch(route)


def mismatch(route: Route) -> AwsError:
    """The service's error for a signature that doesn't fit. Codes by protocol; EC2's from its list of client errors."""
    text = (
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details."
    )
    if route.service == "ec2":
        return AwsError("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    if route.service == "s3":
        text = text.replace("AWS Secret Access Key", "key").partition(" Consult")[0]
        return AwsError("SignatureDoesNotMatch", text, 403)
    protocol = route.operation.service_model.protocol if route.operation is not None else "json"
    code = "SignatureDoesNotMatch" if protocol == "query" else "InvalidSignatureException"
    return AwsError(code, text, 403)


def _sign(route: Route, secret: str, found: Mapping[str, str], when: str, payload: str) -> str:
    """The signature that the request should have. "Create a signed AWS API request", steps 1 to 4."""
    scope = found.get("Credential", "").partition("/")[2]
    parts = scope.split("/")
    if len(parts) != 4 or parts[3] != "aws4_request" or not when.startswith(parts[0]):
        raise mismatch(route)
    names = found.get("SignedHeaders", "").split(";")
    if "host" not in names:
        raise mismatch(route)
    canonical = _canonical(route, names, payload)
    text = "\n".join((ALGORITHM, when, scope, hashlib.sha256(canonical).hexdigest()))
    return hmac.new(_signing_key(secret, *parts[:3]), text.encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=256)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _canonical(route: Route, names: Iterable[str], payload: str) -> bytes:
    environ, request = route.request.environ, route.request
    target = environ.get("RAW_URI") or quote(environ["PATH_INFO"].encode("latin-1"))
    path, _, query = target.partition("?")
    if route.signing_name != "s3":
        path = quote(path or "/", safe="/~")  # encoded once more; S3 alone signs what it is sent
    lines = [environ["REQUEST_METHOD"], path or "/", _canonical_query(query)]
    lines += [f"{name}:{_trimmed(request.headers.get(name) or '')}" for name in names]
    lines += ["", ";".join(names), payload]
    return "\n".join(lines).encode("latin-1", "replace")


def _canonical_query(query: str) -> str:
    pairs = [each.partition("=") for each in query.split("&") if each]
    encoded = [(_encoded(name), _encoded(value)) for name, _, value in pairs if name != "X-Amz-Signature"]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="-_.~")


def _trimmed(value: str) -> str:
    return _SPACES.sub(" ", value.strip())


def _payload(route: Route) -> str:
    """The body's digest: S3's clients must say it, the others' is computed."""
    if route.service != "s3":
        return hashlib.sha256(route.body).hexdigest()
    if said := route.request.headers.get("X-Amz-Content-SHA256"):
        return str(said)
    raise AwsError("InvalidRequest", "Missing required header for this request: x-amz-content-sha256", 400)


def _presigned_payload(route: Route) -> str:
    if route.service == "s3":
        return str(route.request.headers.get("X-Amz-Content-SHA256") or "UNSIGNED-PAYLOAD")
    return _payload(route)


def _check_time(route: Route, when: str) -> None:
    made = _moment(route, when)
    if abs(datetime.now(UTC) - made) > SKEW:
        if route.service == "s3":
            text = "The difference between the request time and the current time is too large."
            raise AwsError("RequestTimeTooSkewed", text, 403)
        error = mismatch(route)
        raise AwsError(error.code, f"Signature expired: {when} is not within 15 minutes of now.", error.status)


def _check_expiry(route: Route, when: str, seconds: str) -> None:
    made = _moment(route, when)
    if not seconds.isdigit() or not made - SKEW < datetime.now(UTC) <= made + timedelta(seconds=int(seconds)):
        raise AwsError("AccessDenied", "Request has expired", 403)


def _moment(route: Route, when: str) -> datetime:
    if (moment := _parsed(when)) is None:
        raise mismatch(route)
    return moment


@lru_cache(maxsize=64)
def _parsed(when: str) -> datetime | None:
    try:
        return datetime.strptime(when, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _version_2(route: Route, secret: str) -> tuple[dict[str, str], str]:
    """S3's older signature, which boto3 still presigns with, by botocore's own code: what came, what should have."""
    from botocore.auth import HmacV1Auth
    from botocore.compat import HTTPHeaders
    from botocore.credentials import Credentials

    request = route.request
    header = request.headers.get("Authorization", "")
    sent = header.rpartition(":")[2] if header.startswith("AWS ") else request.args.get("Signature", "")
    expires = request.args.get("Expires", "") if "Signature" in request.args else ""
    if route.service != "s3" or not sent:
        raise mismatch(route)
    if expires and not (expires.isdigit() and int(expires) >= datetime.now(UTC).timestamp()):
        raise AwsError("AccessDenied", "Request has expired", 403)

    class Dated(HmacV1Auth):
        def _get_date(self) -> str:
            return expires or request.headers.get("Date", "")

    given = {name.lower(): value for name, value in [*request.args.items(), *request.headers.items()]}
    named = {name: value for name, value in given.items() if _counts_in_version_2(name)}
    signer = Dated(Credentials("unused", secret))
    target = urlsplit(request.environ.get("RAW_URI") or request.path)
    path = target.path if target.path.count("/") > 1 or target.path == "/" else f"{target.path}/"  # a bucket's own
    text = signer.canonical_string(request.method, target, HTTPHeaders.from_dict(named), auth_path=path)
    return {"Signature": sent}, str(signer.sign_string(text))


def _counts_in_version_2(name: str) -> bool:
    return name.startswith("x-amz-") or name in ("content-md5", "content-type")


def issued_secret(route: Route) -> str:
    """The secret of a key that IAM or STS of the local cloud has issued (CreateAccessKey, AssumeRole), if it is good.

    moto lists the keys of sessions among IAM's, too: they are looked for first.
    """
    from moto.iam.models import iam_backends
    from moto.sts.models import sts_backends

    key = route.access_key
    for backend in [each for account in list(sts_backends.values()) for each in list(account.values())]:
        for role in list(backend.assumed_roles):
            if role.access_key_id == key:
                _check_session(route, role)
                return str(role.secret_access_key)
    for backend in [each for account in list(iam_backends.values()) for each in list(account.values())]:
        found = backend.access_keys.get(key)
        if found is not None and found.status == "Active":
            return str(found.secret_access_key)
    raise AwsError("InvalidClientTokenId", UNKNOWN, 403)


def _check_session(route: Route, role: Any) -> None:
    request = route.request
    token = request.headers.get("X-Amz-Security-Token") or request.args.get("X-Amz-Security-Token", "")
    if not hmac.compare_digest(str(token).encode(), role.session_token.encode()):
        raise AwsError("InvalidClientTokenId", UNKNOWN, 403)
    if role.expiration.replace(tzinfo=role.expiration.tzinfo or UTC) < datetime.now(UTC):
        raise AwsError("ExpiredTokenException", "The security token included in the request is expired", 403)
