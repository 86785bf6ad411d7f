"""The official Cohere client for Python. Arguments: see `story.py`."""

import json

import cohere
from cohere.core.api_error import ApiError

from story import ADA, CITY, PERSON, SAY, WEATHER, base_url, model, scripted, story, tell

client = cohere.ClientV2(api_key="unused", base_url=base_url, timeout=120)
few = {"model": model, "max_tokens": 32, "temperature": 0}


def user(text):
    return {"role": "user", "content": text}


def words(answer):
    return "".join(part.text for part in answer.message.content or [] if part.type == "text")


@story
def chat():
    answer = client.chat(messages=[user(SAY)], **few)
    assert answer.id and answer.message.role == "assistant" and words(answer), answer
    assert answer.finish_reason in ("COMPLETE", "MAX_TOKENS"), answer
    assert answer.usage.tokens.input_tokens > 0 and answer.usage.tokens.output_tokens > 0, answer.usage
    if scripted:
        assert "nonce-sdk" in words(answer), answer


@story
def stream():
    whole = words(client.chat(messages=[user(SAY)], **few))
    events = list(client.chat_stream(messages=[user(SAY)], **few))
    kinds = [event.type for event in events]
    assert kinds[0] == "message-start" and kinds[-1] == "message-end", kinds
    pieces = [event.delta.message.content for event in events if event.type == "content-delta"]
    assert "".join(piece.text or "" for piece in pieces) == whole, pieces
    end = events[-1].delta
    assert end.finish_reason in ("COMPLETE", "MAX_TOKENS") and end.usage.tokens.output_tokens > 0, end


@story
def system_and_turns():
    turns = [{"role": "system", "content": "Be brief."}, user("My name is Ada."), {"role": "assistant", "content": "Hello Ada."}, user(SAY)]
    assert words(client.chat(messages=turns, **few))


@story
def structured_output():
    form = {"type": "json_object", "json_schema": PERSON}
    answer = client.chat(model=model, messages=[user(ADA)], response_format=form, max_tokens=200, temperature=0)
    assert set(json.loads(words(answer))) == {"name", "age"}, answer


@story
def tools_round_trip():
    tool = {"type": "function", "function": {"name": "get_weather", "description": "The weather in a city", "parameters": CITY}}
    turns, bound = [user(WEATHER)], {"model": model, "max_tokens": 120, "tools": [tool]}
    answer = client.chat(messages=turns, tool_choice="REQUIRED", **bound)
    calls = answer.message.tool_calls
    assert answer.finish_reason == "TOOL_CALL" and calls, answer
    for call in calls:
        assert call.function.name == "get_weather" and isinstance(json.loads(call.function.arguments)["city"], str), call
    kinds = [event.type for event in client.chat_stream(messages=turns, tool_choice="REQUIRED", **bound)]
    assert "tool-call-start" in kinds and kinds[-1] == "message-end", kinds
    turns.append(answer.message)
    for call in calls:
        turns.append({"role": "tool", "tool_call_id": call.id, "content": [{"type": "document", "document": {"data": {"weather": "Sunny, 21 degrees."}}}]})
    last = client.chat(messages=turns, tool_choice="NONE", **bound)
    # A provider that cannot forbid calls was told so in a loss.
    assert words(last) or last.message.tool_calls, last


@story
def thinking():
    if not scripted:
        return
    on = {"model": model, "max_tokens": 2048, "thinking": {"type": "enabled", "token_budget": 1024}}
    first = client.chat(messages=[user(SAY)], **on)
    assert words(first), first
    assert words(client.chat(messages=[user(SAY), first.message, user(SAY)], **on))


def fails(status, ask):
    try:
        ask()
    except ApiError as error:
        assert error.status_code == status and error.body["message"], error
        return
    raise AssertionError(f"no error {status}")


@story
def errors():
    fails(404, lambda: client.chat(model="no-such-model", messages=[user(SAY)]))
    fails(400, lambda: client.chat(model=model, messages=[]))
    fails(400, lambda: list(client.chat_stream(model=model, messages=[])))


tell(f"cohere {cohere.__version__} for Python")
