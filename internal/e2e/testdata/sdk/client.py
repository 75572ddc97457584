"""Makes the calls that are listed on standard input with the official Python
SDK, and prints what the SDK gave: see sdkCase and sdkResult in sdk_test.go."""

import base64
import json
import struct
import sys

import openai


class Call:
    def __init__(self, api, case):
        self.case = case
        self.sent = 0
        self.result = {"name": case["name"]}
        http = openai.DefaultHttpxClient(event_hooks={"request": [self.count], "response": [self.seen]})
        self.client = openai.OpenAI(base_url=api, api_key=case["key"], max_retries=0, http_client=http)

    def count(self, request):
        self.sent += 1

    def seen(self, response):
        self.result["request_id"] = response.headers.get("x-request-id", "")

    def run(self):
        for _ in range(self.case.get("repeat", 0)):
            self.result["before"] = self.attempt()
            if self.result["before"]:
                break
        self.sent = 0
        error = self.attempt(self.case.get("retries", 0))
        if error:
            self.result["error"] = error
        self.result["sent"] = self.sent
        self.client.close()
        return self.result

    def attempt(self, retries=0):
        options = {"max_retries": retries}
        if "timeout_ms" in self.case:
            options["timeout"] = self.case["timeout_ms"] / 1000
        params = dict(self.case["params"] or {})
        if "pad" in self.case:
            params["messages"] = [{"role": "user", "content": "x" * self.case["pad"]}]
        if "extra" in self.case:
            params["extra_body"] = self.case["extra"]
        try:
            getattr(self, self.case["call"])(self.client.with_options(**options), params)
        except openai.OpenAIError as e:
            return explain(e)
        return None

    def chat(self, client, params):
        self.take(client.chat.completions.create(**params))

    def take(self, completion):
        choice = completion.choices[0]
        self.result.update(
            text=choice.message.content or "",
            finish=choice.finish_reason,
            model=completion.model,
            tools=[{"name": t.function.name, "arguments": t.function.arguments} for t in choice.message.tool_calls or []],
        )
        if completion.usage:
            self.result["usage"] = usage(completion.usage)

    def stream(self, client, params):
        r = self.result
        tools = {}
        with client.chat.completions.create(stream=True, **params) as events:
            for chunk in events:
                r["model"] = chunk.model
                if chunk.usage:
                    r["usage"] = usage(chunk.usage)
                    r["usage_chunks"] = r.get("usage_chunks", 0) + 1
                for choice in chunk.choices:
                    r["text"] = r.get("text", "") + (choice.delta.content or "")
                    if choice.finish_reason:
                        r["finish"] = choice.finish_reason
                    for t in choice.delta.tool_calls or []:
                        known = tools.setdefault(t.index, {"name": "", "arguments": ""})
                        known["name"] += t.function.name or ""
                        known["arguments"] += t.function.arguments or ""
                r["tools"] = [tools[i] for i in sorted(tools)]

    def helper(self, client, params):
        with client.chat.completions.stream(**params) as events:
            for _ in events:
                pass
            self.take(events.get_final_completion())

    def embeddings(self, client, params):
        answer = client.embeddings.create(**params)
        vectors = []
        for item in answer.data:
            v = item.embedding
            if isinstance(v, str):
                raw = base64.b64decode(v)
                v = list(struct.unpack("<%df" % (len(raw) // 4), raw))
            vectors.append(v)
        self.result.update(model=answer.model, vectors=vectors, usage={"input": answer.usage.prompt_tokens, "total": answer.usage.total_tokens})

    def models(self, client, params):
        self.result["ids"] = [m.id + " " + m.owned_by for m in client.models.list()]

    def model(self, client, params):
        m = client.models.retrieve(params["model"])
        self.result["ids"] = [m.id + " " + m.owned_by]


def usage(u):
    return {
        "input": u.prompt_tokens,
        "output": u.completion_tokens,
        "total": u.total_tokens,
        "cached": u.prompt_tokens_details.cached_tokens,
        "reasoning": u.completion_tokens_details.reasoning_tokens,
    }


def explain(e):
    known = {"class": type(e).__name__}
    if isinstance(e, openai.APIError) and not isinstance(e, openai.APIConnectionError):
        known.update(code=e.code or "", type=e.type or "", param=e.param or "", message=e.message)
    if isinstance(e, openai.APIStatusError):
        known.update(status=e.status_code, retry_after="retry-after" in e.response.headers)
    return known


def main():
    work = json.load(sys.stdin)
    json.dump([Call(work["api"], case).run() for case in work["cases"]], sys.stdout)


main()
