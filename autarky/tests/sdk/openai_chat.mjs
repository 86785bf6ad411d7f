// The official OpenAI client for Node on Chat Completions. Arguments: BASE_URL MODEL (scripted|house); see story.py.
//
// What the wire behind the gateway cannot say must be named as a loss, and then its story is not told.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { VERSION } from "openai/version";
import { baseUrl, behind, model, scripted } from "./story.mjs";

const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: "unused", maxRetries: 0, timeout: 120_000 });
const messages = [{ role: "user", content: "Say hello. nonce-sdk" }];
const few = { max_completion_tokens: 24, temperature: 0 };
const chat = client.chat.completions;

async function isLost(field, asked) {
  const { response } = await chat.create({ model, messages, max_completion_tokens: 12, ...asked }).withResponse();
  const losses = (response.headers.get("x-autarky-losses") ?? "").split(", ");
  return losses.includes(field) || losses.includes(`=${field}`);
}

async function gather(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const joined = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join("");

const stories = {
  async models() {
    const names = (await gather(client.models.list())).map((entry) => entry.id);
    assert(names.includes(model) && names.includes("auto"), names.join());
    assert.equal((await client.models.retrieve(model)).id, model);
  },

  async create() {
    const { data, response } = await chat.create({ model, messages, ...few }).withResponse();
    assert.match(response.headers.get("x-autarky-request-id"), /^req_/);
    assert.equal(data.choices[0].message.role, "assistant");
    assert(data.choices[0].message.content.length > 0);
    assert(["stop", "length"].includes(data.choices[0].finish_reason));
    assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
    if (scripted) assert(data.choices[0].message.content.includes("nonce-sdk"));
  },

  async stream() {
    const whole = (await chat.create({ model, messages, ...few })).choices[0].message.content;
    const chunks = await gather(await chat.create({ model, messages, stream: true, ...few }));
    assert.equal(joined(chunks), whole);
    assert(chunks.every((chunk) => !chunk.usage), "usage that nobody asked for");
  },

  async streamWithUsage() {
    const asked = { model, messages, stream: true, stream_options: { include_usage: true }, ...few };
    const chunks = await gather(await chat.create(asked));
    const last = chunks.pop();
    assert(last.choices.length === 0 && last.usage.completion_tokens > 0);
    assert(chunks.every((chunk) => !chunk.usage));
  },

  async helperStream() {
    const runner = chat.stream({ model, messages, ...few });
    let text = "";
    runner.on("content", (delta) => (text += delta));
    const final = await runner.finalChatCompletion();
    assert.equal(final.choices[0].message.content, text);
  },

  async leavingAStream() {
    const stream = await chat.create({ model, messages, stream: true, ...few });
    for await (const chunk of stream) {
      assert(chunk.id.length > 0);
      break;
    }
  },

  async structuredOutput() {
    const schema = {
      type: "object",
      properties: { name: { type: "string" }, age: { type: "integer" } },
      required: ["name", "age"],
      additionalProperties: false,
    };
    const answer = await chat.parse({
      model,
      messages: [{ role: "user", content: "Ada is 36 years old. Who is it, and how old?" }],
      response_format: { type: "json_schema", json_schema: { name: "person", schema, strict: true } },
      temperature: 0,
      max_completion_tokens: 200,
    });
    const person = JSON.parse(answer.choices[0].message.content);
    assert(typeof person.name === "string" && Number.isInteger(person.age), JSON.stringify(person));
  },

  async toolsRoundTrip() {
    const parameters = {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    };
    const tools = [{ type: "function", function: { name: "get_weather", description: "The weather in a city", parameters } }];
    const asked = [{ role: "user", content: "What is the weather in Paris?" }];
    const bound = { temperature: 0, max_completion_tokens: 120 };
    const answer = await chat.create({ model, messages: asked, tools, tool_choice: "required", ...bound });
    const call = answer.choices[0].message.tool_calls[0];
    assert(call.id && call.function.name === "get_weather");
    assert.equal(typeof JSON.parse(call.function.arguments).city, "string");
    const runner = chat.stream({ model, messages: asked, tools, tool_choice: "required", ...bound });
    const streamed = (await runner.finalChatCompletion()).choices[0].message.tool_calls[0];
    assert.equal(typeof JSON.parse(streamed.function.arguments).city, "string");
    asked.push(answer.choices[0].message, { role: "tool", tool_call_id: call.id, content: "Sunny, 21 degrees." });
    const last = await chat.create({ model, messages: asked, tools, tool_choice: "none", ...bound });
    assert(last.choices[0].message.content.length > 0);
  },

  async severalChoices() {
    if (await isLost("n", { n: 2 })) return;
    const answer = await chat.create({ model, messages, n: 2, temperature: 1, seed: 7, max_completion_tokens: 12 });
    assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1]);
  },

  async logProbabilities() {
    // The scripted provider tells them on this wire only.
    if (scripted && model !== "openai-chat") return;
    const asked = { model, messages, logprobs: true, top_logprobs: 2, temperature: 0, max_completion_tokens: 8 };
    const tokens = (await chat.create(asked)).choices[0].logprobs.content;
    assert(tokens.length > 0 && tokens.every((token) => token.logprob <= 0 && token.top_logprobs.length === 2));
  },

  async embeddings() {
    if (!scripted) return;
    const asked = { model: "vectors", input: ["first text", "second text"] };
    const packed = await client.embeddings.create(asked);
    const plain = await client.embeddings.create({ ...asked, encoding_format: "float" });
    assert.deepEqual(packed.data.map((entry) => entry.embedding), plain.data.map((entry) => entry.embedding));
    assert(packed.usage.prompt_tokens > 0);
    await assert.rejects(client.embeddings.create({ model: "vectors", input: "" }), OpenAI.BadRequestError);
  },

  async legacyCompletions() {
    const asked = { model, prompt: "Say hello. nonce-sdk", max_tokens: 24, temperature: 0 };
    const { choices } = await client.completions.create(asked);
    const chunks = await gather(await client.completions.create({ ...asked, stream: true }));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.text ?? "").join(""), choices[0].text);
    assert(choices[0].text.length > 0 && ["stop", "length"].includes(choices[0].finish_reason));
  },

  async errors() {
    const fails = async (kind, status, asked, by = client) => {
      const error = await by.chat.completions.create({ model, messages, ...asked }).then(
        () => assert.fail(`no ${kind.name}`),
        (error) => error,
      );
      assert(error instanceof kind && error.status === status, `${error.constructor.name} ${error.status}: ${error}`);
      assert(error.code && error.error.message, JSON.stringify(error.error));
      return error;
    };
    const missing = await fails(OpenAI.NotFoundError, 404, { model: "no-such-model" });
    assert.equal(missing.code, "model_not_found");
    await fails(OpenAI.BadRequestError, 400, { messages: [] });
    await fails(OpenAI.BadRequestError, 400, { temperature: "hot", stream: true });
    const stranger = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: "ak-wrong", maxRetries: 0 });
    await fails(OpenAI.AuthenticationError, 401, {}, stranger);
  },
};

for (const [name, tell] of Object.entries(stories)) {
  await tell().catch((error) => {
    error.message = `${name}: ${error.message}`;
    throw error;
  });
}
console.log(`openai ${VERSION} for Node, chat, ${behind} ${model}: ${Object.keys(stories).length} stories: ${Object.keys(stories).join(", ")}`);
