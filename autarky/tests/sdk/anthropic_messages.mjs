// The official Anthropic client for Node. Arguments: BASE_URL MODEL (scripted|house); see story.py.
import Anthropic, { APIError } from "@anthropic-ai/sdk";
import assert from "node:assert/strict";
import { CITY, SAY, WEATHER, baseUrl, model, scripted, story, tell } from "./story.mjs";

const client = new Anthropic({ baseURL: baseUrl, apiKey: "unused", maxRetries: 0, timeout: 120_000 });
const user = [{ role: "user", content: SAY }];
const few = { model, max_tokens: 32 };
const words = (message) => message.content.filter((block) => block.type === "text").map((block) => block.text).join("");

await story("create", async () => {
  const answer = await client.messages.create({ messages: user, ...few });
  assert(words(answer) && ["end_turn", "max_tokens"].includes(answer.stop_reason), JSON.stringify(answer));
  assert(answer.usage.input_tokens > 0 && answer.usage.output_tokens > 0, JSON.stringify(answer.usage));
  if (scripted) assert(words(answer).includes("nonce-sdk"), words(answer));
});

await story("helper_stream", async () => {
  let said = "";
  const stream = client.messages.stream({ messages: user, ...few }).on("text", (text) => (said += text));
  const final = await stream.finalMessage();
  assert(said && said === words(final) && final.usage.output_tokens > 0, JSON.stringify(final));
});

await story("tools_round_trip", async () => {
  const tools = [{ name: "get_weather", description: "The weather in a city", input_schema: CITY }];
  const turns = [{ role: "user", content: WEATHER }];
  const bound = { model, max_tokens: 120, tools };
  const answer = await client.messages.stream({ messages: turns, tool_choice: { type: "any", disable_parallel_tool_use: true }, ...bound }).finalMessage();
  const call = answer.content.find((block) => block.type === "tool_use");
  assert(answer.stop_reason === "tool_use" && typeof call.input.city === "string", JSON.stringify(answer));
  turns.push({ role: "assistant", content: answer.content });
  turns.push({ role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "Sunny, 21 degrees." }] });
  const last = await client.messages.create({ messages: turns, tool_choice: { type: "none" }, ...bound });
  assert(words(last), JSON.stringify(last));
});

await story("errors", async () => {
  const fails = (status, word, body) =>
    assert.rejects(client.messages.create(body), (error) => {
      assert(error instanceof APIError && error.status === status, String(error));
      assert.equal(error.error.error.type, word);
      return true;
    });
  await fails(404, "not_found_error", { model: "no-such-model", max_tokens: 8, messages: user });
  await fails(400, "invalid_request_error", { ...few, messages: [] });
});

tell("@anthropic-ai/sdk");
