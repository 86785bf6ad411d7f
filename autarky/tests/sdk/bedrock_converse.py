"""The official AWS client for Python, on Bedrock's Converse. Arguments: see `story.py`."""

import json

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from story import ADA, CITY, PERSON, SAY, WEATHER, base_url, model, scripted, story, tell

few = {"maxTokens": 32, "temperature": 0}
client = boto3.client(
    "bedrock-runtime",
    endpoint_url=base_url,
    region_name="eu-west-1",
    aws_access_key_id="unused",
    aws_secret_access_key="unused",
    config=Config(retries={"total_max_attempts": 1}, read_timeout=120),
)


def ask(method=client.converse, **more):
    return method(modelId=model, **({"inferenceConfig": few} | more))


def user(text):
    return {"role": "user", "content": [{"text": text}]}


def blocks(answer, kind):
    return [block[kind] for block in answer["output"]["message"]["content"] if kind in block]


def streamed(events):
    """What a stream says: names of its events, words, the arguments of its call, why it ended, its counts."""
    names, words, arguments, stop, usage = [], "", "", None, None
    for event in events:
        (name, body), = event.items()
        names.append(name)
        delta = body.get("delta", {})
        words += delta.get("text", "")
        arguments += delta.get("toolUse", {}).get("input", "")
        stop = body.get("stopReason", stop)
        usage = body.get("usage", usage)
    return names, words, arguments, stop, usage


@story
def converse():
    answer = ask(messages=[user(SAY)])
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-autarky-request-id"].startswith("req_"), answer
    message, usage = answer["output"]["message"], answer["usage"]
    assert message["role"] == "assistant" and answer["stopReason"] in ("end_turn", "max_tokens"), answer
    assert usage["inputTokens"] > 0 and usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"], usage
    if scripted:
        assert "nonce-sdk" in "".join(blocks(answer, "text")), answer


@story
def converse_stream():
    whole = "".join(blocks(ask(messages=[user(SAY)]), "text"))
    names, words, _, stop, usage = streamed(ask(client.converse_stream, messages=[user(SAY)])["stream"])
    assert words == whole and stop in ("end_turn", "max_tokens"), (words, whole, stop)
    assert names[0] == "messageStart" and names[-2:] == ["messageStop", "metadata"], names
    assert usage["outputTokens"] > 0, usage


@story
def system_and_turns():
    turns = [user("My name is Ada."), {"role": "assistant", "content": [{"text": "Hello Ada."}]}, user(SAY)]
    turns[-1]["content"].append({"cachePoint": {"type": "default"}})
    assert blocks(ask(messages=turns, system=[{"text": "Be brief."}]), "text")


@story
def structured_output():
    # The wire writes a schema as text.
    form = {"type": "json_schema", "structure": {"jsonSchema": {"name": "person", "schema": json.dumps(PERSON)}}}
    answer = ask(messages=[user(ADA)], outputConfig={"textFormat": form}, inferenceConfig={"maxTokens": 200})
    assert set(json.loads("".join(blocks(answer, "text")))) == {"name", "age"}, answer


@story
def tools_round_trip():
    spec = {"name": "get_weather", "description": "The weather in a city", "inputSchema": {"json": CITY}}
    tools = {"tools": [{"toolSpec": spec}]}
    turns, more = [user(WEATHER)], {"inferenceConfig": {"maxTokens": 120}}
    named = tools | {"toolChoice": {"tool": {"name": "get_weather"}}}
    answer = ask(messages=turns, toolConfig=named, **more)
    calls = blocks(answer, "toolUse")
    assert answer["stopReason"] == "tool_use" and calls, answer
    assert all(call["name"] == "get_weather" and isinstance(call["input"]["city"], str) for call in calls), answer
    some = tools | {"toolChoice": {"any": {}}}
    names, _, arguments, stop, _ = streamed(ask(client.converse_stream, messages=turns, toolConfig=some, **more)["stream"])
    assert "contentBlockStart" in names and stop == "tool_use", (names, stop)
    # This API cannot ask for one call at most.
    assert not scripted or isinstance(json.loads(arguments)["city"], str), arguments
    turns.append(answer["output"]["message"])
    results = [{"toolUseId": call["toolUseId"], "content": [{"text": "Sunny, 21 degrees."}]} for call in calls]
    turns.append({"role": "user", "content": [{"toolResult": result} for result in results]})
    last = ask(messages=turns, toolConfig=tools, **more)
    assert blocks(last, "text") or blocks(last, "toolUse"), last


@story
def thinking():
    if not scripted:
        return
    on = {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}
    on["inferenceConfig"] = {"maxTokens": 2048}
    first = ask(messages=[user(SAY)], **on)
    assert blocks(first, "text"), first
    assert blocks(ask(messages=[user(SAY), first["output"]["message"], user(SAY)], **on), "text")


def fails(kind, status, ask):
    try:
        ask()
    except ClientError as error:
        told = error.response
        assert told["Error"]["Code"] == kind and told["Error"]["Message"], told
        assert told["ResponseMetadata"]["HTTPStatusCode"] == status and isinstance(error, getattr(client.exceptions, kind)), told
        return
    raise AssertionError(f"no {kind}")


@story
def errors():
    fails("ResourceNotFoundException", 404, lambda: client.converse(modelId="no-such-model", messages=[user(SAY)]))
    fails("ValidationException", 400, lambda: ask(messages=[]))
    fails("ValidationException", 400, lambda: ask(client.converse_stream, messages=[]))


tell(f"boto3 {boto3.__version__} for Python")
