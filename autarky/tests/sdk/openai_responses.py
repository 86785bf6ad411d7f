"""The official OpenAI client for Python on the Responses API. Arguments: see `story.py`."""

import json

import openai
from pydantic import BaseModel

from story import ADA, CITY, SAY, WEATHER, base_url, model, scripted, story, tell

client = openai.OpenAI(base_url=f"{base_url}/v1", api_key="unused", max_retries=0, timeout=120)
few = {"model": model, "max_output_tokens": 32, "temperature": 0}


@story
def create():
    raw = client.responses.with_raw_response.create(input=SAY, **few)
    assert raw.headers["x-autarky-request-id"].startswith("req_"), raw.headers
    answer = raw.parse()
    assert answer.status in ("completed", "incomplete") and answer.output_text, answer
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0, answer.usage
    if scripted:
        assert "nonce-sdk" in answer.output_text, answer


@story
def stream():
    whole = client.responses.create(input=SAY, **few).output_text
    events = list(client.responses.create(input=SAY, stream=True, **few))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole
    assert [event.sequence_number for event in events] == list(range(len(events))), "sequence numbers"
    assert events[0].type == "response.created" and events[-1].type in ("response.completed", "response.incomplete")
    assert events[-1].response.output_text == whole and events[-1].response.usage.output_tokens > 0


@story
def helper_stream():
    with client.responses.stream(input=SAY, **few) as events:
        kinds = {event.type for event in events}
        final = events.get_final_response()
    assert "response.output_text.done" in kinds and final.output_text, (kinds, final)


@story
def instructions_and_turns():
    turns = [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Hello Ada."},
        {"role": "user", "content": [{"type": "input_text", "text": SAY}]},
    ]
    answer = client.responses.create(instructions="Be brief.", input=turns, **few)
    assert answer.output_text, answer


@story
def count_tokens():
    raw = client.responses.input_tokens.with_raw_response.count(model=model, input=SAY)
    exact = raw.headers["x-autarky-count"] == "counted"
    assert raw.parse().input_tokens > 0 and exact == (model in ("openai-responses", "house")), raw.headers


class Person(BaseModel):
    name: str
    age: int


@story
def structured_output():
    answer = client.responses.parse(model=model, input=ADA, text_format=Person, temperature=0, max_output_tokens=200)
    assert isinstance(answer.output_parsed, Person), answer


TOOLS = [{"type": "function", "name": "get_weather", "description": "The weather in a city", "parameters": CITY, "strict": True}]


@story
def tools_round_trip():
    turns = [{"role": "user", "content": WEATHER}]
    bound = {"model": model, "temperature": 0, "max_output_tokens": 120, "tools": TOOLS, "parallel_tool_calls": False}
    answer = client.responses.create(input=turns, tool_choice={"type": "function", "name": "get_weather"}, **bound)
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert call.name == "get_weather" and isinstance(json.loads(call.arguments)["city"], str), call
    events = list(client.responses.create(input=turns, tool_choice="required", stream=True, **bound))
    (over,) = [event for event in events if event.type == "response.function_call_arguments.done"]
    json.loads(over.arguments)
    assert "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta") == over.arguments
    turns += answer.output
    turns.append({"type": "function_call_output", "call_id": call.call_id, "output": "Sunny, 21 degrees."})
    last = client.responses.create(input=turns, tool_choice="none", **bound)
    assert last.output_text and all(item.type != "function_call" for item in last.output), last


def fails(kind, ask):
    try:
        ask()
    except openai.APIStatusError as error:
        assert type(error) is kind and error.body["message"] and error.code, (type(error), error.body)
        return error
    raise AssertionError(f"no {kind.__name__}")


@story
def errors():
    ask = client.responses.create
    assert fails(openai.NotFoundError, lambda: ask(model="no-such-model", input=SAY)).code == "model_not_found"
    fails(openai.BadRequestError, lambda: ask(model=model, input=SAY, temperature="hot"))
    fails(openai.BadRequestError, lambda: ask(model=model, input=SAY, temperature="hot", stream=True))


tell(f"openai {openai.__version__} for Python, responses")
