"""The official Mistral client for Python. Arguments: see `story.py`."""

import json
from importlib.metadata import version

from mistralai.client import Mistral, errors

from story import ADA, CITY, PERSON, SAY, WEATHER, base_url, model, scripted, story, tell

client = Mistral(api_key="unused", server_url=base_url, timeout_ms=120_000)
user = [{"role": "user", "content": SAY}]
few = {"model": model, "max_tokens": 32, "temperature": 0}


@story
def create():
    answer = client.chat.complete(messages=user, **few)
    choice = answer.choices[0]
    assert choice.message.content and choice.finish_reason in ("stop", "length"), answer
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0, answer
    if scripted:
        assert "nonce-sdk" in choice.message.content, answer


@story
def stream():
    whole = client.chat.complete(messages=user, **few).choices[0].message.content
    chunks = [event.data for event in client.chat.stream(messages=user, **few)]
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert said == whole, (said, whole)


@story
def structured_output():
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    asked = [{"role": "user", "content": ADA}]
    answer = client.chat.complete(model=model, messages=asked, response_format=form, temperature=0, max_tokens=200)
    assert set(json.loads(answer.choices[0].message.content)) == {"name", "age"}, answer


@story
def tools_round_trip():
    tools = [{"type": "function", "function": {"name": "get_weather", "description": "The weather in a city", "parameters": CITY}}]
    turns = [{"role": "user", "content": WEATHER}]
    bound = {"model": model, "temperature": 0, "max_tokens": 120, "tools": tools, "parallel_tool_calls": False}
    answer = client.chat.complete(messages=turns, tool_choice="any", **bound).choices[0].message
    (call,) = answer.tool_calls
    arguments = call.function.arguments
    arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    assert call.function.name == "get_weather" and isinstance(arguments["city"], str), call
    turns += [answer, {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 21 degrees."}]
    last = client.chat.complete(messages=turns, tool_choice="none", **bound).choices[0].message
    assert last.content and not last.tool_calls, last


@story
def errors_told():
    try:
        client.chat.complete(model="no-such-model", messages=user)
    except errors.SDKError as error:
        assert error.status_code == 404, error
    else:
        raise AssertionError("no error")


tell(f"mistralai {version('mistralai')} for Python")
