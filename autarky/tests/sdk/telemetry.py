"""The official clients, watched by third parties' OpenTelemetry instrumentation, whose spans are written as OTLP JSON.

    telemetry.py URL OUT INSTRUMENTATION      openai-v2 (OpenTelemetry's own) or openllmetry (Traceloop's)
"""

import json
import sys

import anthropic
import openai
from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

url, out, instrumentation = sys.argv[1:]
if instrumentation == "openai-v2":
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
else:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

spans = InMemorySpanExporter()
provider = TracerProvider(resource=Resource.create({"service.name": "default"}))
provider.add_span_processor(SimpleSpanProcessor(spans))
OpenAIInstrumentor().instrument(tracer_provider=provider)
AnthropicInstrumentor().instrument(tracer_provider=provider)

chat = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
for number in range(6):
    asked = {"model": "gpt-5.2", "messages": [{"role": "user", "content": f"What of nonce-{number}?"}]}
    if number % 2:
        for _ in chat.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
            pass
    else:
        chat.chat.completions.create(**asked)
try:
    chat.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "Anyone?"}])
except openai.NotFoundError:
    pass

# not streamed: of a stream Traceloop 0.62.4 adds the count that begins it to the count that ends it, which holds it already
messages = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
for number in range(4):
    question = [{"role": "user", "content": f"What of nonce-{number}?"}]
    messages.messages.create(model="claude-sonnet-4-5", max_tokens=500, messages=question)

provider.force_flush()
with open(out, "w") as file:
    json.dump(MessageToDict(encode_spans(spans.get_finished_spans())), file, indent=1)
print(f"{len(spans.get_finished_spans())} spans")
