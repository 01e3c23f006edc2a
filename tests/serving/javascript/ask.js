/** Plays one scene with the official client and prints what it got as JSON: `node ask.js BASE_URL SCENE`. */

import OpenAI from "openai";

const [baseURL, scene] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "EMPTY", maxRetries: 0 });
const messages = [{ role: "user", content: "在吗，请问" }];
const parameters = { type: "object", properties: { order_id: { type: "string" } }, required: ["order_id"] };
const tools = [{ type: "function", function: { name: "query_order_status", parameters } }];
const ask = { model: "kefu", messages };

const scenes = {
  async models() {
    return (await client.models.list()).data.map((model) => model.id);
  },
  async whole() {
    return client.chat.completions.create(ask);
  },
  async thinking() {
    return client.chat.completions.create({ ...ask, enable_thinking: true, return_reasoning: true });
  },
  async stream() {
    const chunks = [];
    const stream = await client.chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of stream) chunks.push(chunk);
    return chunks;
  },
  async tools() {
    return client.chat.completions.create({ ...ask, tools });
  },
  async toolsStreamed() {
    return client.chat.completions.stream({ ...ask, tools }).finalChatCompletion();
  },
  async toolsRun() {
    const seen = [];
    const run = async ({ order_id: id }) => (seen.push(id), "packed");
    const tool = {
      type: "function",
      function: { name: "query_order_status", parameters, parse: JSON.parse, function: run },
    };
    const runner = client.chat.completions.runTools({ ...ask, tools: [tool] });
    return { content: await runner.finalContent(), seen };
  },
  async conversation() {
    const body = { ...ask, conversation_id: "js-1" };
    await client.chat.completions.create(body);
    return client.chat.completions.create({ ...body, messages: [{ role: "user", content: "还有一个问题" }] });
  },
  async unknownModel() {
    return client.chat.completions.create({ ...ask, model: "nope" }).catch(told);
  },
  async unknownField() {
    return client.chat.completions.create({ ...ask, nonsense: 1 }).catch(told);
  },
  async engineAway() {
    return client.chat.completions.create({ ...ask, stream: true }).catch(told);
  },
  async aborted() {
    const aborter = new AbortController();
    setTimeout(() => aborter.abort(), 200);
    return client.chat.completions.create(ask, { signal: aborter.signal }).catch(told);
  },
};

function told(error) {
  return { error: error.constructor.name, status: error.status, code: error.code, param: error.param };
}

console.log(JSON.stringify(await scenes[scene]()));
