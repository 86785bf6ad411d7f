// What the Node clients' scripts share; the twin of story.py.
import { readFileSync } from "node:fs";

export const [baseUrl, model, behind] = process.argv.slice(2);
export const scripted = behind === "scripted";
const done = [];

export async function story(name, act) {
  try {
    await act();
  } catch (error) {
    error.message = `${name}: ${error.message}`;
    throw error;
  }
  done.push(name);
}

export function tell(...packages) {
  const version = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version;
  const clients = packages.map((name) => `${name} ${version(name)}`).join(", ");
  console.log(`${clients}, ${behind} ${model}: ${done.length} stories: ${done.join(", ")}`);
}

export const SAY = "Say hello. nonce-sdk";
export const WEATHER = "What is the weather in Paris?";
export const ADA = "Ada is 36 years old. Who is it, and how old?";
export const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
