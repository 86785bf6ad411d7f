"""The official OpenAI client for Python, where it expects turns to be kept. Arguments: see `story.py`."""

import openai

from story import CITY, SAY, WEATHER, base_url, model, scripted, story, tell

client = openai.OpenAI(base_url=f"{base_url}/v1", api_key="unused", max_retries=0, timeout=120)
few = {"model": model, "max_output_tokens": 32, "temperature": 0}


def gone(ask):
    try:
        ask()
    except openai.NotFoundError as error:
        assert error.body["message"] and error.code, error.body
        return error
    raise AssertionError("it is still there")


@story
def an_answer_is_kept():
    made = client.responses.create(input=SAY, **few)
    kept = client.responses.retrieve(made.id)
    assert (kept.id, kept.output_text, kept.model) == (made.id, made.output_text, made.model), kept
    assert kept.usage == made.usage and kept.status == made.status, kept
    (asked,) = client.responses.input_items.list(made.id)
    assert asked.role == "user" and asked.content[0].text == SAY and asked.id, asked
    client.responses.delete(made.id)
    gone(lambda: client.responses.retrieve(made.id))
    gone(lambda: client.responses.delete(made.id))


@story
def a_stream_is_kept_when_it_ends():
    with client.responses.stream(input=SAY, **few) as events:
        made = events.get_final_response()
    assert client.responses.retrieve(made.id).output_text == made.output_text


@story
def turns_follow_one_another():
    one = client.responses.create(input="My name is Ada. nonce-one", instructions="Be brief.", **few)
    two = client.responses.create(input="And mine is Bob. nonce-two", previous_response_id=one.id, **few)
    assert two.previous_response_id == one.id and two.store is not False, two
    events = list(client.responses.create(input=SAY, previous_response_id=two.id, stream=True, **few))
    assert events[0].type == "response.created" and events[0].response.previous_response_id == two.id, events[0]
    three = events[-1].response
    assert [item.content[0].text for item in client.responses.input_items.list(three.id)] == [SAY]
    # The prompt of the last turn holds the two before it.
    assert three.usage.input_tokens > two.usage.input_tokens > one.usage.input_tokens, (one, two, three)
    counted = client.responses.input_tokens.count(model=model, input=SAY, previous_response_id=two.id).input_tokens
    assert counted > client.responses.input_tokens.count(model=model, input=SAY).input_tokens
    if scripted:
        assert "nonce-sdk" in three.output_text, three
    # A branch of the same beginning.
    assert client.responses.create(input=SAY, previous_response_id=one.id, **few).output_text
    client.responses.delete(one.id)
    error = gone(lambda: client.responses.create(input=SAY, previous_response_id=two.id, **few))
    assert error.code == "previous_response_not_found" and error.param == "previous_response_id", error.body


@story
def nothing_is_kept_unasked():
    made = client.responses.create(input=SAY, store=False, **few)
    gone(lambda: client.responses.retrieve(made.id))
    gone(lambda: client.responses.create(input=SAY, previous_response_id=made.id, **few))


@story
def tools_over_kept_turns():
    tool = {"type": "function", "name": "get_weather", "description": "The weather", "parameters": CITY, "strict": True}
    bound = {"model": model, "temperature": 0, "max_output_tokens": 120, "tools": [tool]}
    called = client.responses.create(input=WEATHER, tool_choice="required", parallel_tool_calls=False, **bound)
    (call,) = [item for item in called.output if item.type == "function_call"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny, 21 degrees."}
    last = client.responses.create(input=[result], previous_response_id=called.id, tool_choice="none", **bound)
    assert last.output_text and all(item.type != "function_call" for item in last.output), last
    # Kept items may be named instead of said.
    named = [{"type": "item_reference", "id": item.id} for item in called.output]
    again = client.responses.create(input=[{"role": "user", "content": WEATHER}, *named, result], tool_choice="none", **bound)
    assert again.output_text, again


@story
def a_conversation():
    made = client.conversations.create(items=[{"role": "user", "content": "My name is Ada."}], metadata={"topic": "names"})
    assert client.conversations.retrieve(made.id) == made and made.metadata == {"topic": "names"}, made
    answer = client.responses.create(input=SAY, conversation=made.id, **few)
    assert answer.conversation.id == made.id, answer
    client.responses.create(input=SAY, conversation={"id": made.id}, **few)
    items = list(client.conversations.items.list(made.id, order="asc", limit=2))
    assert len(items) == 5 and [item.role for item in items if item.type == "message"][:3] == ["user", "user", "assistant"], items
    added = client.conversations.items.create(made.id, items=[{"role": "user", "content": "One more."}]).data[0]
    newest = client.conversations.items.list(made.id, limit=1).data[0]
    assert newest == added == client.conversations.items.retrieve(added.id, conversation_id=made.id), newest
    client.conversations.items.delete(added.id, conversation_id=made.id)
    gone(lambda: client.conversations.items.retrieve(added.id, conversation_id=made.id))
    assert client.conversations.update(made.id, metadata={"topic": "none"}).metadata == {"topic": "none"}
    assert client.conversations.delete(made.id).deleted
    gone(lambda: client.conversations.retrieve(made.id))
    gone(lambda: client.responses.create(input=SAY, conversation=made.id, **few))


@story
def in_the_background():
    made = client.responses.create(input=SAY, background=True, **few)
    assert made.status == "queued" and made.background and not made.output, made
    while (now := client.responses.retrieve(made.id)).status in ("queued", "in_progress"):
        pass
    assert now.status in ("completed", "incomplete") and now.background and now.output_text and now.id == made.id, now
    assert client.responses.cancel(made.id) == now
    assert client.responses.create(input=SAY, previous_response_id=made.id, **few).output_text


@story
def what_is_not_offered_is_said():
    made = client.responses.create(input=SAY, **few)
    for ask in (
        lambda: client.responses.cancel(made.id),
        lambda: client.responses.create(input=SAY, background=True, store=False, **few),
        lambda: client.responses.create(input=SAY, background=True, stream=True, **few),
        lambda: client.responses.create(input=SAY, previous_response_id=made.id, conversation="conv_1", **few),
        lambda: list(client.responses.input_items.list(made.id, limit=0)),
    ):
        try:
            ask()
        except openai.BadRequestError as error:
            assert error.body["message"], error.body
        else:
            raise AssertionError("it was taken")


tell(f"openai {openai.__version__} for Python, kept turns")
