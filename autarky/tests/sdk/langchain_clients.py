"""LangChain's OpenAI (Chat and Responses) and Anthropic clients. Arguments: see `story.py`."""

from importlib.metadata import version

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from story import ADA, SAY, WEATHER, base_url, model, scripted, story, tell

common = {"model": model, "api_key": "unused", "max_retries": 0, "timeout": 120}
clients = {
    "chat": ChatOpenAI(base_url=f"{base_url}/v1", temperature=0, max_tokens=120, **common),
    "responses": ChatOpenAI(base_url=f"{base_url}/v1", temperature=0, max_tokens=120, use_responses_api=True, **common),
    "messages": ChatAnthropic(base_url=base_url, max_tokens=120, **common),
}


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}, 21 degrees."


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


@story
def invoke_and_stream():
    for name, client in clients.items():
        answer = client.invoke(SAY)
        assert answer.text and answer.usage_metadata["output_tokens"] > 0, (name, answer)
        assert not scripted or "nonce-sdk" in answer.text, (name, answer)
        said = "".join(chunk.text for chunk in client.stream(SAY))
        assert said and (not scripted or said == answer.text), (name, said, answer)


@story
def tool_loop():
    for name, client in clients.items():
        turns = [HumanMessage(WEATHER)]
        answer = client.bind_tools([get_weather], tool_choice="get_weather", parallel_tool_calls=False).invoke(turns)
        (call,) = answer.tool_calls
        turns += [answer, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
        last = client.bind_tools([get_weather], tool_choice="none").invoke(turns) if name != "messages" else client.bind_tools([get_weather]).invoke(turns)
        assert last.text or last.tool_calls, (name, last)


@story
def structured_output():
    for name, client in clients.items():
        person = client.with_structured_output(Person).invoke(ADA)
        assert isinstance(person, Person), (name, person)


tell(f"langchain-openai {version('langchain-openai')}, langchain-anthropic {version('langchain-anthropic')}")
