// Makes the calls that are listed on standard input with the official Node
// SDK, and prints what the SDK gave: see sdkCase and sdkResult in sdk_test.go.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const { createRequire } = require("node:module");
const OpenAI = createRequire(path.join(process.env.ACCORDO_NODE_SDK, "package.json"))("openai");

class Call {
  constructor(api, c) {
    this.c = c;
    this.sent = 0;
    this.result = { name: c.name };
    this.client = new OpenAI({
      baseURL: api,
      apiKey: c.key,
      fetch: async (url, init) => {
        this.sent++;
        const response = await fetch(url, init);
        this.result.request_id = response.headers.get("x-request-id") ?? "";
        return response;
      },
    });
  }

  async run() {
    for (let i = 0; i < (this.c.repeat ?? 0); i++) {
      this.result.before = await this.attempt(0);
      if (this.result.before) break;
    }
    this.sent = 0;
    const error = await this.attempt(this.c.retries ?? 0);
    if (error) this.result.error = error;
    this.result.sent = this.sent;
    return this.result;
  }

  async attempt(maxRetries) {
    const options = { maxRetries };
    if (this.c.timeout_ms) options.timeout = this.c.timeout_ms;
    const params = { ...this.c.params, ...this.c.extra };
    if (this.c.pad) params.messages = [{ role: "user", content: "x".repeat(this.c.pad) }];
    try {
      await this[this.c.call](params, options);
    } catch (e) {
      if (!(e instanceof OpenAI.OpenAIError)) throw e;
      return explain(e);
    }
    return undefined;
  }

  async chat(params, options) {
    this.take(await this.client.chat.completions.create(params, options));
  }

  take(completion) {
    const { message, finish_reason } = completion.choices[0];
    Object.assign(this.result, {
      text: message.content ?? "",
      finish: finish_reason,
      model: completion.model,
      tools: (message.tool_calls ?? []).map((t) => ({ name: t.function.name, arguments: t.function.arguments })),
    });
    if (completion.usage) this.result.usage = usage(completion.usage);
  }

  async stream(params, options) {
    const r = this.result;
    const tools = [];
    for await (const chunk of await this.client.chat.completions.create({ ...params, stream: true }, options)) {
      r.model = chunk.model;
      if (chunk.usage) {
        r.usage = usage(chunk.usage);
        r.usage_chunks = (r.usage_chunks ?? 0) + 1;
      }
      for (const choice of chunk.choices) {
        r.text = (r.text ?? "") + (choice.delta.content ?? "");
        if (choice.finish_reason) r.finish = choice.finish_reason;
        for (const t of choice.delta.tool_calls ?? []) {
          tools[t.index] ??= { name: "", arguments: "" };
          tools[t.index].name += t.function.name ?? "";
          tools[t.index].arguments += t.function.arguments ?? "";
        }
      }
      r.tools = tools;
    }
  }

  async helper(params, options) {
    this.take(await this.client.chat.completions.stream(params, options).finalChatCompletion());
  }

  async embeddings(params, options) {
    const answer = await this.client.embeddings.create(params, options);
    const floats = (v) => {
      if (typeof v !== "string") return v;
      const raw = Buffer.from(v, "base64");
      return Array.from({ length: raw.length / 4 }, (_, i) => raw.readFloatLE(4 * i));
    };
    Object.assign(this.result, {
      model: answer.model,
      vectors: answer.data.map((d) => floats(d.embedding)),
      usage: { input: answer.usage.prompt_tokens, total: answer.usage.total_tokens },
    });
  }

  async models(params, options) {
    this.result.ids = [];
    for await (const m of this.client.models.list(options)) this.result.ids.push(`${m.id} ${m.owned_by}`);
  }

  async model(params, options) {
    const m = await this.client.models.retrieve(params.model, options);
    this.result.ids = [`${m.id} ${m.owned_by}`];
  }
}

function usage(u) {
  return {
    input: u.prompt_tokens,
    output: u.completion_tokens,
    total: u.total_tokens,
    cached: u.prompt_tokens_details.cached_tokens,
    reasoning: u.completion_tokens_details.reasoning_tokens,
  };
}

function explain(e) {
  const known = { class: e.constructor.name };
  if (e instanceof OpenAI.APIError && !(e instanceof OpenAI.APIConnectionError)) {
    Object.assign(known, { code: e.code ?? "", type: e.type ?? "", param: e.param ?? "", message: e.message });
    if (e.status) Object.assign(known, { status: e.status, retry_after: e.headers?.has("retry-after") ?? false });
  }
  return known;
}

async function main() {
  const work = JSON.parse(fs.readFileSync(0, "utf8"));
  const results = [];
  for (const c of work.cases) results.push(await new Call(work.api, c).run());
  process.stdout.write(JSON.stringify(results));
}

main();
