"""The fake is checked with boto3, and our own signer's test data with botocore, so that we do not test our misunderstanding."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError

import fake_bedrock

HERE = Path(__file__).parent
KEY = "sk-test"
MODELS = [
    "anthropic.claude-sonnet-4-6-v1:0", "global.anthropic.claude-sonnet-4-6",
    "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/a1b2c3d4e5f6",
]


@pytest.fixture(scope="module")
def url():
    process = subprocess.Popen(
        [sys.executable, str(HERE / "fake_bedrock.py"), "--key", KEY, "--pace", "0.001"], stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait(10)


def runtime(url, key="AKIDFAKE", secret=KEY, token=None):
    return boto3.client(
        "bedrock-runtime", region_name="us-west-2", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}))


def body(words, **more):
    return json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": [{"role": "user", "content": words}], **more})


def events(client, words, model=MODELS[0]):
    answer = client.invoke_model_with_response_stream(modelId=model, body=body(words))
    return [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]


@pytest.mark.parametrize("model", MODELS)
def test_model_ids_profiles_and_names_are_one_path_segment(url, model):
    answer = json.loads(runtime(url).invoke_model(modelId=model, body=body("echo: hello"))["body"].read())
    assert answer["content"][0]["text"] == "hello" and answer["model"] == model and answer["usage"]["output_tokens"] > 0


def test_streamed_events_are_the_messages_api_s(url):
    seen = events(runtime(url), "echo: hello streamed world")
    assert seen[0]["type"] == "message_start" and seen[-1]["type"] == "message_stop"
    assert "".join(event["delta"]["text"] for event in seen if event["type"] == "content_block_delta") == "hello streamed world"


def test_tokens_are_counted(url):
    answer = runtime(url).count_tokens(modelId=MODELS[0], input={"invokeModel": {"body": body("hi")}})
    assert answer["inputTokens"] > 0


def test_errors_are_the_vendor_s(url):
    for words, code in [("fail 429", "ThrottlingException"), ("fail 500", "InternalServerException"), ("fail 400", "ValidationException")]:
        with pytest.raises(ClientError) as raised:
            runtime(url).invoke_model(modelId=MODELS[0], body=body(words))
        assert raised.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError):
        runtime(url).invoke_model(modelId=MODELS[0], body=body("hi", stream=True))
    with pytest.raises(Exception, match="modelStreamErrorException|The model failed"):
        events(runtime(url), "error event")


def test_a_wrong_secret_or_a_missing_session_token_is_refused(url):
    for wrong in [{"secret": "wrong"}, {"key": "ASIAFAKE"}]:
        with pytest.raises(ClientError) as raised:
            runtime(url, **wrong).invoke_model(modelId=MODELS[0], body=body("hi"))
        assert raised.value.response["Error"]["Code"] == "AccessDeniedException"
    assert runtime(url, key="ASIAFAKE", token="session-token").invoke_model(modelId=MODELS[0], body=body("hi"))


def test_roles_are_handed_out_to_those_who_show_a_token(url):
    token = urllib.request.urlopen(
        urllib.request.Request(url + "/latest/api/token", method="PUT", headers={"x-aws-ec2-metadata-token-ttl-seconds": "60"})).read().decode()
    ask = urllib.request.Request(url + "/latest/meta-data/iam/security-credentials/fake-role", headers={"x-aws-ec2-metadata-token": token})
    assert json.load(urllib.request.urlopen(ask))["AccessKeyId"] == "ASIAFAKE"


def test_frames_are_read_by_botocore_s_decoder():
    buffer = EventStreamBuffer()
    buffer.add_data(fake_bedrock.chunk({"type": "ping"}) + fake_bedrock.exception("throttlingException", "slow"))
    first, second = list(buffer)
    assert first.headers[":event-type"] == "chunk" and second.headers[":exception-type"] == "throttlingException"


def test_the_signer_s_vectors_are_what_botocore_signs():
    """Tests/AWSBackendTests/sigv4.json is made by sigv4_vectors.py; the Swift tests sign the same requests."""
    made = subprocess.run([sys.executable, str(HERE / "sigv4_vectors.py")], capture_output=True, text=True, check=True).stdout
    kept = (HERE.parents[1] / "AWSBackendTests/sigv4.json").read_text()
    assert json.loads(made) == json.loads(kept)
