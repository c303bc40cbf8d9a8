"""Requests signed by botocore, for the tests of our own signer (Tests/AWSBackendTests/sigv4.json). Prints them; the same each time.

    python sigv4_vectors.py > ../../AWSBackendTests/sigv4.json
"""

import base64
import datetime
import json
import random
import sys
import urllib.parse

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NAMES = ["a", "A", "list-type", "prefix", "x y", "é", "a+b", "k=v", "continuation-token", "~tilde", "a/b", "a%20b"]
VALUES = ["", "1", "u/b/", "a b", "a+/=", "ü+:1", "100%", "~-._", "日本", "&?#", "a  b"]
SEGMENTS = ["model", "anthropic.claude-sonnet-4-6-v1:0", "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.anthropic.claude:0", "a b", "ü+:1", "x%2Fy", "~", "k.v_-"]
HEADERS = [("Content-Type", "application/json"), ("X-Amz-Target", "DynamoDB_20120810.DescribeTable"), ("X-Plain", "  two   blanks \t inside  "), ("Accept", "*/*"), ("X-Empty", "")]


def quote(text):
    return urllib.parse.quote(text, safe="-._~")


def vectors(count=250):
    source = random.Random(20260102)
    for _ in range(count):
        service, s3 = source.choice([("bedrock", False), ("dynamodb", False), ("sqs", False), ("bedrock-agentcore", False), ("s3", True), ("s3", True)])
        region = source.choice(["us-west-2", "eu-central-1", "cn-north-1", "ap-southeast-1"])
        host = f"{service}.{region}." + ("amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com") + source.choice(["", "", ":8443"])
        path = "/" + "/".join(quote(source.choice(SEGMENTS)) for _ in range(source.randrange(4)))
        if s3 and source.random() < 0.3:
            path += "//" + quote(source.choice(SEGMENTS))
        path += source.choice(["", "", "/"]) if path != "/" else ""
        query = [(source.choice(NAMES), source.choice(VALUES)) for _ in range(source.randrange(4))]
        headers = source.sample(HEADERS, source.randrange(4))
        body = bytes(source.randrange(256) for _ in range(source.choice([0, 2, 100])))
        token = source.choice([None, "TOKEN/+=="])
        when = datetime.datetime(2026, source.randrange(1, 13), source.randrange(1, 28), source.randrange(24), source.randrange(60), source.randrange(60))
        url = f"https://{host}{path}" + ("?" + "&".join(f"{quote(n)}={quote(v)}" for n, v in query) if query else "")
        request = AWSRequest(method=source.choice(["GET", "POST", "PUT", "DELETE"]), url=url, data=body, headers=dict(headers))
        kind = botocore.auth.S3SigV4Auth if s3 else botocore.auth.SigV4Auth
        if s3:
            request.context["client_config"] = None
            request.context["payload_signing_enabled"] = True
        botocore.auth.get_current_datetime = lambda *_, when=when, **__: when
        kind(Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token), service, region).add_auth(request)
        yield {
            "service": service, "region": region, "s3": s3, "method": request.method, "host": host, "path": path, "query": [list(pair) for pair in query],
            "headers": [list(pair) for pair in headers], "body": base64.b64encode(body).decode(), "token": token or "",
            "date": when.strftime("%Y-%m-%dT%H:%M:%SZ"), "authorization": request.headers["Authorization"]}


def text():
    return "[\n" + ",\n".join(json.dumps(vector, sort_keys=True) for vector in vectors()) + "\n]\n"


if __name__ == "__main__":
    sys.stdout.write(text())
