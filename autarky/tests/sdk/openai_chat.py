"""The official OpenAI client for Python on Chat Completions. Arguments: see `story.py`.

What the wire behind the gateway cannot say must be named as a loss, and then its story is not told.
"""

import json

import openai
from pydantic import BaseModel

from story import ADA, CITY, SAY, WEATHER, base_url, model, scripted, story, tell

client = openai.OpenAI(base_url=f"{base_url}/v1", api_key="unused", max_retries=0, timeout=120)
user = [{"role": "user", "content": SAY}]
few = {"max_completion_tokens": 24, "temperature": 0}


def is_lost(field, **asked):
    asked = {"messages": user, "max_completion_tokens": 12, **asked}
    raw = client.chat.completions.with_raw_response.create(model=model, **asked)
    losses = raw.headers.get("x-autarky-losses", "").split(", ")
    return field in losses or f"={field}" in losses


@story
def models():
    names = [entry.id for entry in client.models.list()]
    assert model in names and "auto" in names, names
    assert client.models.retrieve(model).id == model


@story
def create():
    raw = client.chat.completions.with_raw_response.create(model=model, messages=user, **few)
    assert raw.headers["x-autarky-request-id"].startswith("req_"), raw.headers
    answer = raw.parse()
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content, answer
    assert choice.finish_reason in ("stop", "length"), answer
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0, answer.usage
    assert 0 < answer.usage.completion_tokens <= 24, answer.usage
    if scripted:
        assert "nonce-sdk" in choice.message.content, answer


def joined(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@story
def stream():
    whole = client.chat.completions.create(model=model, messages=user, **few).choices[0].message.content
    chunks = list(client.chat.completions.create(model=model, messages=user, stream=True, **few))
    assert joined(chunks) == whole, (joined(chunks), whole)
    assert all(chunk.usage is None for chunk in chunks), "usage that nobody asked for"
    assert [chunk for chunk in chunks if chunk.choices][-1].choices[0].finish_reason in ("stop", "length")


@story
def stream_with_usage():
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=model, messages=user, stream=True, stream_options=options, **few))
    assert not chunks[-1].choices and chunks[-1].usage.completion_tokens > 0, chunks[-1]
    assert all(chunk.usage is None for chunk in chunks[:-1])


@story
def helper_stream():
    # To the first full stop: the helper refuses an answer that met its limit.
    short = {"max_completion_tokens": 200, "temperature": 0, "stop": ["."]}
    with client.chat.completions.stream(model=model, messages=user, **short) as events:
        kinds = {event.type for event in events}
        final = events.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds, kinds
    assert final.choices[0].message.content


class Person(BaseModel):
    name: str
    age: int


@story
def structured_output():
    asked = [{"role": "user", "content": ADA}]
    answer = client.chat.completions.parse(model=model, messages=asked, response_format=Person, temperature=0, max_completion_tokens=200)
    assert isinstance(answer.choices[0].message.parsed, Person), answer
    asked.append({"role": "user", "content": "Answer as JSON."})
    if is_lost("response_format", messages=asked, response_format={"type": "json_object"}):
        return
    loose = client.chat.completions.create(model=model, messages=asked, response_format={"type": "json_object"}, temperature=0, max_completion_tokens=200)
    if loose.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(loose.choices[0].message.content), dict), loose


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city",
            "parameters": CITY,
        },
    }
]


@story
def tools_round_trip():
    messages = [{"role": "user", "content": WEATHER}]
    demand = {"type": "function", "function": {"name": "get_weather"}}
    bound = {"temperature": 0, "max_completion_tokens": 120}
    answer = client.chat.completions.create(model=model, messages=messages, tools=TOOLS, tool_choice=demand, **bound)
    call = answer.choices[0].message.tool_calls[0]
    assert call.id and call.function.name == "get_weather", answer
    assert isinstance(json.loads(call.function.arguments)["city"], str), call
    chunks = list(client.chat.completions.create(model=model, messages=messages, tools=TOOLS, tool_choice="required", stream=True, **bound))
    pieces = [piece for chunk in chunks if chunk.choices for piece in chunk.choices[0].delta.tool_calls or []]
    assert pieces[0].id and pieces[0].function.name == "get_weather", pieces
    json.loads("".join(piece.function.arguments or "" for piece in pieces if piece.index == 0))
    messages += [answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 21 degrees."}]
    last = client.chat.completions.create(model=model, messages=messages, tools=TOOLS, tool_choice="none", **bound)
    assert last.choices[0].message.content and not last.choices[0].message.tool_calls, last


@story
def several_choices():
    if is_lost("n", n=2):
        return
    answer = client.chat.completions.create(model=model, messages=user, n=2, temperature=1, seed=7, max_completion_tokens=12)
    assert [choice.index for choice in answer.choices] == [0, 1], answer
    assert all(choice.message.content for choice in answer.choices), answer
    chunks = client.chat.completions.create(model=model, messages=user, n=2, stream=True, max_completion_tokens=12)
    ends = {choice.index: choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason}
    assert set(ends) == {0, 1}, ends


@story
def log_probabilities():
    # The scripted provider tells them on this wire only.
    if scripted and model != "openai-chat":
        return
    answer = client.chat.completions.create(model=model, messages=user, logprobs=True, top_logprobs=2, temperature=0, max_completion_tokens=8)
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) > 0 and all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens), answer
    spelled = bytes(byte for token in tokens for byte in token.bytes).decode()
    assert spelled.startswith(answer.choices[0].message.content), (spelled, answer)


@story
def stop_texts():
    if not scripted or is_lost("stop", stop=[" is"]):
        return
    answer = client.chat.completions.create(model=model, messages=user, stop=[" is"])
    assert " is" not in answer.choices[0].message.content and answer.choices[0].finish_reason == "stop", answer


def fails(kind, status, ask):
    try:
        ask()
    except openai.APIStatusError as error:
        assert isinstance(error, kind) and error.status_code == status, (type(error), error)
        assert isinstance(error.body, dict) and error.body["message"] and error.code, error.body
        assert error.response.headers["x-autarky-request-id"].startswith("req_")
        return error
    raise AssertionError(f"no {kind.__name__}")


@story
def embeddings():
    if not scripted:
        return
    texts = ["first text", "second text"]
    packed = client.embeddings.create(model="vectors", input=texts)
    plain = client.embeddings.create(model="vectors", input=texts, encoding_format="float")
    assert [entry.index for entry in packed.data] == [0, 1] and packed.usage.prompt_tokens > 0, packed
    # The client asks for base64 where nobody says: the same vectors either way.
    assert [entry.embedding for entry in packed.data] == [entry.embedding for entry in plain.data]
    assert len(client.embeddings.create(model="vectors", input="one", dimensions=4).data[0].embedding) == 4
    fails(openai.BadRequestError, 400, lambda: client.embeddings.create(model="vectors", input=""))
    # Words come from nobody who makes vectors, and vectors from nobody who speaks.
    fails(openai.APIStatusError, 503, lambda: client.embeddings.create(model=model, input="one"))


@story
def legacy_completions():
    bound = {"model": model, "max_tokens": 24, "temperature": 0}
    whole = client.completions.create(prompt=SAY, **bound)
    choice = whole.choices[0]
    assert whole.object == "text_completion" and choice.text and choice.finish_reason in ("stop", "length"), whole
    assert 0 < whole.usage.completion_tokens <= 24, whole
    chunks = list(client.completions.create(prompt=[SAY], stream=True, stream_options={"include_usage": True}, **bound))
    assert "".join(piece.choices[0].text for piece in chunks if piece.choices) == choice.text, chunks
    assert not chunks[-1].choices and chunks[-1].usage.completion_tokens > 0, chunks[-1]
    assert client.completions.create(prompt=SAY, echo=True, **bound).choices[0].text == SAY + choice.text
    fails(openai.BadRequestError, 400, lambda: client.completions.create(prompt=["one", "two"], **bound))
    fails(openai.BadRequestError, 400, lambda: client.completions.create(prompt="one", suffix="three", **bound))


@story
def errors():
    ask = client.chat.completions.create
    error = fails(openai.NotFoundError, 404, lambda: ask(model="no-such-model", messages=user))
    assert error.code == "model_not_found" and error.param == "model", error.body
    fails(openai.BadRequestError, 400, lambda: ask(model=model, messages=[]))
    fails(openai.BadRequestError, 400, lambda: ask(model=model, messages=user, temperature="hot"))
    fails(openai.BadRequestError, 400, lambda: ask(model=model, messages=user, temperature="hot", stream=True))
    stranger = openai.OpenAI(base_url=f"{base_url}/v1", api_key="ak-wrong", max_retries=0)
    fails(openai.AuthenticationError, 401, lambda: stranger.chat.completions.create(model=model, messages=user))


tell(f"openai {openai.__version__} for Python, chat")
