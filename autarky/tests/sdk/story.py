"""What every client's script shares: its arguments, and stories that tell what held.

Each script runs as `CLIENT.py BASE_URL MODEL (scripted|house)`. BASE_URL has no `/v1`. `scripted`: a provider behind
the gateway whose answers are known. `house`: the model inside, whose words are its own.
"""

import sys

base_url, model, behind = sys.argv[1:4]
scripted = behind == "scripted"
done = []


def story(function):
    function()
    done.append(function.__name__)
    return function


def tell(client):
    print(f"{client}, {behind} {model}: {len(done)} stories: {', '.join(done)}")


SAY = "Say hello. nonce-sdk"
WEATHER = "What is the weather in Paris?"
ADA = "Ada is 36 years old. Who is it, and how old?"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
