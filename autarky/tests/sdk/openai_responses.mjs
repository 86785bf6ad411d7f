// The official OpenAI client for Node on the Responses API. Arguments: BASE_URL MODEL (scripted|house); see story.py.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { CITY, SAY, WEATHER, baseUrl, model, scripted, story, tell } from "./story.mjs";

const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: "unused", maxRetries: 0, timeout: 120_000 });
const few = { model, max_output_tokens: 32, temperature: 0 };

await story("create", async () => {
  const answer = await client.responses.create({ input: SAY, ...few });
  assert(answer.output_text && answer.usage.output_tokens > 0, JSON.stringify(answer));
  if (scripted) assert(answer.output_text.includes("nonce-sdk"), answer.output_text);
});

await story("helper_stream", async () => {
  let said = "";
  const stream = client.responses.stream({ input: SAY, ...few });
  stream.on("response.output_text.delta", (event) => (said += event.delta));
  const final = await stream.finalResponse();
  assert(said && said === final.output_text, JSON.stringify(final));
});

await story("tools_round_trip", async () => {
  const tools = [{ type: "function", name: "get_weather", description: "The weather in a city", parameters: CITY, strict: true }];
  const turns = [{ role: "user", content: WEATHER }];
  const bound = { model, temperature: 0, max_output_tokens: 120, tools, parallel_tool_calls: false };
  const answer = await client.responses.create({ input: turns, tool_choice: "required", ...bound });
  const call = answer.output.find((item) => item.type === "function_call");
  assert(typeof JSON.parse(call.arguments).city === "string", call.arguments);
  turns.push(...answer.output, { type: "function_call_output", call_id: call.call_id, output: "Sunny, 21 degrees." });
  const last = await client.responses.create({ input: turns, tool_choice: "none", ...bound });
  assert(last.output_text, JSON.stringify(last));
});

tell("openai");
