// The Vercel AI SDK with its OpenAI (Responses), OpenAI-compatible (Chat) and Anthropic (Messages) providers.
// Arguments: BASE_URL MODEL (scripted|house); see story.py.
import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { ADA, SAY, WEATHER, baseUrl, model, scripted, story, tell } from "./story.mjs";

const given = { baseURL: `${baseUrl}/v1`, apiKey: "unused" };
const clients = {
  responses: createOpenAI(given)(model),
  chat: createOpenAICompatible({ ...given, name: "autarky", supportsStructuredOutputs: true })(model),
  messages: createAnthropic(given)(model),
};
const common = { maxRetries: 0, maxOutputTokens: 120 };
const weather = tool({
  description: "The weather in a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `Sunny in ${city}, 21 degrees.`,
});

for (const [name, client] of Object.entries(clients)) {
  await story(`${name}_text`, async () => {
    const answer = await generateText({ model: client, prompt: SAY, ...common });
    assert(answer.text && answer.usage.outputTokens > 0, JSON.stringify(answer.usage));
    if (scripted) assert(answer.text.includes("nonce-sdk"), answer.text);
  });

  await story(`${name}_tool_loop`, async () => {
    const prepareStep = ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" });
    const onError = ({ error }) => { throw error; };
    const stream = streamText({ model: client, prompt: WEATHER, tools: { weather }, prepareStep, stopWhen: stepCountIs(3), onError, ...common });
    await stream.consumeStream();
    const steps = await stream.steps;
    assert(steps.length === 2 && steps[0].toolResults.length > 0 && steps[1].toolCalls.length === 0, JSON.stringify(steps));
    assert(await stream.text, "no words at the end");
  });

  await story(`${name}_object`, async () => {
    const schema = z.object({ name: z.string(), age: z.number().int() });
    const { object } = await generateObject({ model: client, prompt: ADA, schema, ...common });
    assert(typeof object.name === "string" && Number.isInteger(object.age), JSON.stringify(object));
  });
}

tell("ai", "@ai-sdk/openai", "@ai-sdk/openai-compatible", "@ai-sdk/anthropic");
