"""The official Google GenAI client for Python. Arguments: see `story.py`."""

from google import genai
from google.genai import errors, types

from story import ADA, CITY, PERSON, SAY, WEATHER, base_url, model, scripted, story, tell

client = genai.Client(api_key="unused", http_options=types.HttpOptions(base_url=base_url, timeout=120_000))
few = types.GenerateContentConfig(max_output_tokens=32, temperature=0)
ask = client.models.generate_content


@story
def create():
    answer = ask(model=model, contents=SAY, config=few)
    assert answer.text and answer.candidates[0].finish_reason.name in ("STOP", "MAX_TOKENS"), answer
    counts = answer.usage_metadata
    assert counts.prompt_token_count > 0 and counts.total_token_count > counts.prompt_token_count, counts
    if scripted:
        assert "nonce-sdk" in answer.text, answer


@story
def stream():
    whole = ask(model=model, contents=SAY, config=few).text
    chunks = list(client.models.generate_content_stream(model=model, contents=SAY, config=few))
    assert "".join(chunk.text or "" for chunk in chunks) == whole
    assert chunks[-1].candidates[0].finish_reason and chunks[-1].usage_metadata.total_token_count > 0, chunks[-1]


@story
def chat():
    talk = client.chats.create(model=model, config=types.GenerateContentConfig(system_instruction="Be brief.", max_output_tokens=32))
    assert talk.send_message("My name is Ada.").text
    assert talk.send_message(SAY).text


@story
def models_and_counts():
    names = [entry.name for entry in client.models.list()]
    assert f"models/{model}" in names, names
    assert client.models.count_tokens(model=model, contents=SAY).total_tokens > 0


@story
def structured_output():
    config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=PERSON, temperature=0, max_output_tokens=200)
    answer = ask(model=model, contents=ADA, config=config)
    assert set(answer.parsed) == {"name", "age"}, answer


@story
def tools_round_trip():
    tool = types.Tool(function_declarations=[types.FunctionDeclaration(name="get_weather", description="The weather in a city", parameters_json_schema=CITY)])

    def config(mode):
        calling = types.FunctionCallingConfig(mode=mode)
        off = types.AutomaticFunctionCallingConfig(disable=True)
        return types.GenerateContentConfig(tools=[tool], tool_config=types.ToolConfig(function_calling_config=calling), automatic_function_calling=off, max_output_tokens=120, temperature=0)

    turns = [types.Content(role="user", parts=[types.Part(text=WEATHER)])]
    answer = ask(model=model, contents=turns, config=config("ANY"))
    calls = answer.function_calls
    assert all(call.name == "get_weather" and isinstance(call.args["city"], str) for call in calls), answer
    # This API cannot ask for one call at most.
    assert len(calls) == 1 or not scripted, answer
    turns.append(answer.candidates[0].content)
    results = [types.FunctionResponse(id=call.id, name=call.name, response={"output": "Sunny, 21 degrees."}) for call in calls]
    turns.append(types.Content(role="user", parts=[types.Part(function_response=result) for result in results]))
    last = ask(model=model, contents=turns, config=config("NONE"))
    assert last.text and not last.function_calls, last


def fails(status, ask):
    try:
        ask()
    except errors.ClientError as error:
        assert error.code == status and error.message and error.status, error
        return
    raise AssertionError(f"no error {status}")


@story
def errors_told():
    fails(404, lambda: ask(model="no-such-model", contents=SAY))
    fails(400, lambda: ask(model=model, contents=[types.Content(role="nobody", parts=[types.Part(text=SAY)])]))


tell(f"google-genai {genai.__version__} for Python")
