"""LiteLLM as a client, writing what its proxy writes into its spend logs, one JSON object a line.

    litellm_log.py URL OUT KIND      spend (rows of its spend logs) or standard (its standard logging payload)

Needs LiteLLM with its proxy, which is not among the tests' clients: `scripts/litellm-import` installs it apart.
"""

import json
import sys
import time

import litellm
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy.spend_tracking.spend_tracking_utils import get_logging_payload

url, out, kind = sys.argv[1:]
lines = []


class Log(CustomLogger):
    def log_success_event(self, kwargs, response_obj, start_time, end_time):
        if kind == "spend":
            line = get_logging_payload(kwargs=kwargs, response_obj=response_obj, start_time=start_time, end_time=end_time)
        else:
            line = kwargs["standard_logging_object"]
        lines.append(json.dumps(line, default=str))


litellm.callbacks = [Log()]
about = {"user_api_key_team_alias": "default", "user_api_key_team_id": "default"}


def ask(number, stream, **how):
    messages = [{"role": "user", "content": f"What of nonce-{number}?"}]
    how = {"api_key": "none", "max_retries": 0, "metadata": about, "messages": messages, "stream": stream, **how}
    answer = litellm.completion(**how, **({"stream_options": {"include_usage": True}} if stream else {}))
    if stream:
        for _ in answer:
            pass


for number in range(6):
    ask(number, bool(number % 2), model="openai/gpt-5.2", api_base=f"{url}/v1")
for number in range(4):
    ask(number, bool(number % 2), model="anthropic/claude-sonnet-4-5", api_base=url, max_tokens=500)

# LiteLLM tells its loggers from threads of its own
end = time.monotonic() + 60
while len(lines) < 10 and time.monotonic() < end:
    time.sleep(0.05)
with open(out, "w") as file:
    file.write("\n".join(lines) + "\n")
print(f"{len(lines)} lines")
