"""The official Anthropic client for Python. Arguments: see `story.py`."""

import anthropic

from story import CITY, SAY, WEATHER, base_url, model, scripted, story, tell

client = anthropic.Anthropic(base_url=base_url, api_key="unused", max_retries=0, timeout=120)
user = [{"role": "user", "content": SAY}]
few = {"model": model, "max_tokens": 32}


def words(message):
    return "".join(block.text for block in message.content if block.type == "text")


@story
def create():
    raw = client.messages.with_raw_response.create(messages=user, **few)
    assert raw.headers["x-autarky-request-id"].startswith("req_"), raw.headers
    answer = raw.parse()
    assert answer.role == "assistant" and words(answer) and answer.stop_reason in ("end_turn", "max_tokens"), answer
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0, answer.usage
    if scripted:
        assert "nonce-sdk" in words(answer), answer


@story
def stream():
    kinds = [event.type for event in client.messages.create(messages=user, stream=True, **few)]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop" and "message_delta" in kinds, kinds


@story
def helper_stream():
    with client.messages.stream(messages=user, **few) as events:
        said = "".join(events.text_stream)
        final = events.get_final_message()
    assert said and said == words(final) and final.usage.output_tokens > 0, final


@story
def system_and_turns():
    turns = [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Hello Ada."},
        {"role": "user", "content": [{"type": "text", "text": SAY, "cache_control": {"type": "ephemeral"}}]},
    ]
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    assert words(client.messages.create(system=system, messages=turns, **few))


@story
def models():
    names = [entry.id for entry in client.models.list()]
    assert model in names, names
    assert client.models.retrieve(model).id == model


@story
def count_tokens():
    raw = client.messages.with_raw_response.count_tokens(model=model, messages=user)
    count = raw.parse().input_tokens
    exact = raw.headers["x-autarky-count"] == "counted"
    # Exact where the provider counts on this wire, or the model inside does.
    assert count > 0 and exact == (model in ("anthropic-messages", "house")), (count, raw.headers)
    if not scripted:
        usage = client.messages.create(messages=user, **few).usage
        assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == count, (usage, count)


TOOLS = [{"name": "get_weather", "description": "The weather in a city", "input_schema": CITY}]


@story
def tools_round_trip():
    turns = [{"role": "user", "content": WEATHER}]
    bound = {"model": model, "max_tokens": 120, "tools": TOOLS}
    answer = client.messages.create(messages=turns, tool_choice={"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}, **bound)
    (call,) = [block for block in answer.content if block.type == "tool_use"]
    assert answer.stop_reason == "tool_use" and isinstance(call.input["city"], str), answer
    with client.messages.stream(messages=turns, tool_choice={"type": "any", "disable_parallel_tool_use": True}, **bound) as events:
        final = events.get_final_message()
    assert [block.name for block in final.content if block.type == "tool_use"] == ["get_weather"], final
    turns.append({"role": "assistant", "content": answer.content})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "Sunny, 21 degrees."}]}
    turns.append({"role": "user", "content": [result]})
    last = client.messages.create(messages=turns, tool_choice={"type": "none"}, **bound)
    assert words(last) and last.stop_reason != "tool_use", last


@story
def thinking():
    if not scripted:
        return
    on = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "model": model, "max_tokens": 2048}
    first = client.messages.create(messages=user, **on)
    assert words(first), first
    turns = [*user, {"role": "assistant", "content": first.content}, {"role": "user", "content": SAY}]
    assert words(client.messages.create(messages=turns, **on))


def fails(kind, word, ask):
    try:
        ask()
    except anthropic.APIStatusError as error:
        told = error.body
        assert type(error) is kind and told["type"] == "error", (type(error), told)
        assert told["error"]["type"] == word and told["error"]["message"], told
        return
    raise AssertionError(f"no {kind.__name__}")


@story
def errors():
    ask = client.messages.create
    fails(anthropic.NotFoundError, "not_found_error", lambda: ask(model="no-such-model", max_tokens=8, messages=user))
    fails(anthropic.BadRequestError, "invalid_request_error", lambda: ask(messages=[], **few))
    fails(anthropic.BadRequestError, "invalid_request_error", lambda: ask(messages=[], stream=True, **few))


tell(f"anthropic {anthropic.__version__} for Python")
