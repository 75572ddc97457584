package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// quickly makes silence count soon.
const quickly = ", first_token_ms: 400, between_tokens_ms: 400, total_ms: 1500"

// begun makes silence count soon once an answer has begun, however late a busy
// machine lets it begin.
const begun = ", first_token_ms: 60000, between_tokens_ms: 400, total_ms: 120000"

// allFaults are the bad days, each with what must come of it.
func allFaults(closedPort, secure string) []fault {
	list := unreachableFaults(closedPort, secure)
	list = append(list, refusals()...)
	list = append(list, silences()...)
	list = append(list, lies()...)
	list = append(list, endless()...)
	list = append(list, embeddings()...)
	return append(list, badUsage()...)
}

func unreachableFaults(closedPort, secure string) []fault {
	never := func(net.Conn) {}
	refused := same("nobody listens", never, unreachable, record.Unserved, "dial")
	refused.url = "http://" + closedPort + "/v1"
	dns := same("the name is not known", never, unreachable, record.Unserved, "dial")
	dns.url = "http://" + strings.Repeat("n", 64) + ".invalid/v1" // no label is so long: nobody is asked
	speaksPlain := same("it does not speak TLS", func(c net.Conn) { _ = c.Close() }, unreachable, record.Unserved, "tls")
	speaksPlain.url = "https://HOSTILE/v1"
	untrusted := same("its certificate is not trusted", never, unreachable, record.Unserved, "tls")
	untrusted.url = secure + "/v1"
	return []fault{
		refused, dns, speaksPlain, untrusted,
		same("it resets when it has the request", thenReset(""), unreachable, record.Suspense, "reset"),
		same("it closes when it has the request", thenClose(""), unreachable, record.Suspense, "reset"),
		same("it closes in the header", thenClose("HTTP/1.1 200 OK\r\nContent-Ty"), "502 1 "+notValid("protocol"), record.Suspense, "protocol"),
		same("it speaks another protocol", thenClose("SSH-2.0-server\r\n\r\n"), "502 1 "+notValid("protocol"), record.Suspense, "protocol"),
		same("it answers in an encoding", thenClose(wire("200 OK", "application/json", "Content-Encoding: gzip\r\n", "\x1f\x8b")), "502 1 "+notValid("protocol"), record.Suspense, "protocol"),
	}
}

func refusals() []fault {
	no := func(status string, more string) func(net.Conn) {
		return says(wire(status, "application/json", more, `{"error":{"message":"no","type":"server_error","param":null,"code":null}}`))
	}
	limited := func(wait string) string {
		seconds, text, _ := strings.Cut(wait, " ")
		return "503 " + seconds + " " + errorObject("server_error", "providers_rate_limited", "The providers that may serve %[1]s accept no more requests at the moment. Try again in "+text+".")
	}
	// A pool that has said 429 is left alone, so that each way of asking needs
	// its own.
	once := func(does func(net.Conn), answer string) side {
		return side{does, answer, record.Unserved, "rate_limited", usage.Vector{}}
	}
	passed := `{"error":{"message":"Unknown parameter: 'x'.","type":"invalid_request_error","param":"x","code":"unknown_parameter"}}`
	return []fault{
		same("500", no("500 Internal Server Error", ""), failed(500), record.Unserved, "status_500"),
		same("502 as a page", says(wire("502 Bad Gateway", "text/html", "", "<html>no</html>")), failed(502), record.Unserved, "status_502"),
		same("503", no("503 Service Unavailable", "Retry-After: 17\r\n"), "503 17 "+overloaded, record.Unserved, "status_503"),
		same("504", no("504 Gateway Timeout", ""), failed(504), record.Suspense, "status_504"),
		same("529", no("529 Overloaded", ""), "503 1 "+overloaded, record.Unserved, "status_529"),
		same("599 without a body", says("HTTP/1.1 599 What\r\nContent-Length: 0\r\n\r\n"), failed(599), record.Unserved, "status_599"),
		{name: "429", plain: once(no("429 Too Many Requests", "Retry-After: 7\r\n"), limited("7 7s"))},
		{name: "429", stream: once(no("429 Too Many Requests", "Retry-After: 7\r\n"), limited("7 7s"))},
		{name: "429 without a time", plain: once(no("429 Too Many Requests", ""), limited("1 1s"))},
		{name: "429 without a time", stream: once(no("429 Too Many Requests", ""), limited("1 1s"))},
		same("a refused credential", no("401 Unauthorized", ""), failed(401), record.Unserved, "status_401"),
		same("a redirect", says("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), failed(307), record.Unserved, "status_307"),
		same("no content", says("HTTP/1.1 204 No Content\r\n\r\n"), failed(204), record.Suspense, "status_204"),
		same("400 with a reason", says(wire("400 Bad Request", "application/json", "", passed)), "400  "+passed, record.Unserved, "status_400"),
		same("400 without a reason", says(wire("400 Bad Request", "text/plain", "", "no")), "400  "+errorObject("invalid_request_error", "provider_refused", "The provider refused the request (status 400) without saying why. Check its parameters against the model's documentation."), record.Unserved, "status_400"),
	}
}

func silences() []fault {
	slow := func(f fault) fault { f.limits = quickly; return f }
	late := func(f fault) fault { f.limits = begun; return f }
	half := len(goodPlain) / 2
	return []fault{
		slow(fault{
			name:   "silence before the first byte",
			plain:  side{thenSilence(""), "504 1 " + tooSlow("total_timeout", "1.5s"), record.Suspense, "total_timeout", estimate},
			stream: side{thenSilence(""), "504 1 " + tooSlow("first_token_timeout", "400ms"), record.Suspense, "first_token_timeout", estimate},
		}),
		slow(fault{
			name:   "silence after the header",
			plain:  side{thenSilence(plainWire(goodPlain)[:100]), "504 1 " + tooSlow("total_timeout", "1.5s"), record.Suspense, "total_timeout", estimate},
			stream: side{thenSilence(streamHead), "504 1 " + tooSlow("first_token_timeout", "400ms"), record.Suspense, "first_token_timeout", estimate},
		}),
		slow(fault{
			name:  "silence in the middle",
			plain: side{thenSilence(plainWire(goodPlain)[:len(plainWire(goodPlain))-half]), "504 1 " + tooSlow("total_timeout", "1.5s"), record.Suspense, "total_timeout", estimate},
		}),
		late(fault{
			name:   "silence in the middle of a stream",
			stream: side{thenSilence(streamHead + chunk(goodDelta)), wholeStream(goodDelta) + "data: " + tooSlow("between_tokens_timeout", "400ms") + "\n\n", record.Suspense, "between_tokens_timeout", seenOne},
		}),
		late(fault{
			name:   "silence in the middle of an event",
			stream: side{thenSilence(streamHead + chunk(goodDelta) + chunk(goodDelta[:40])), wholeStream(goodDelta) + "data: " + tooSlow("between_tokens_timeout", "400ms") + "\n\n", record.Suspense, "between_tokens_timeout", seenOne},
		}),
		late(fault{
			name:   "silence instead of the usage",
			stream: side{thenSilence(streamHead + chunk(goodDelta+goodEnd)), wholeStream(goodDelta + goodEnd + done), record.Suspense, "usage_missing", seenAll},
		}),
		late(fault{
			name:   "silence instead of the end",
			stream: side{thenSilence(streamHead + chunk(goodDelta+goodEnd+goodUsage)), wholeStream(goodDelta + goodEnd + done), record.Served, "", billed},
		}),
	}
}

func lies() []fault {
	length := func(kind, n, body string) string {
		return "HTTP/1.1 200 OK\r\nContent-Type: " + kind + "\r\nContent-Length: " + n + "\r\n\r\n" + body
	}
	events := goodDelta + goodEnd + goodUsage + done
	sameLength := fmt.Sprintf("Content-Length: %d\r\n", len(goodPlain))
	another := plainWire(strings.Replace(goodPlain, "four", "five", 1))
	tooLong := `{"error":{"message":"Too long.","type":"invalid_request_error","param":"messages","code":"string_above_max_length"}}`
	return []fault{
		{
			name:   "a length that is too long",
			plain:  side{thenClose(length("application/json", "4000", goodPlain)), wasCut, record.Suspense, "cut", estimate},
			stream: side{thenClose(length("text/event-stream", "4000", goodDelta)), wholeStream(goodDelta) + cutEvent, record.Suspense, "cut", seenOne},
		},
		{
			name:   "a length that is too short",
			plain:  side{thenClose(length("application/json", "100", goodPlain)), "502 1 " + notValid("protocol"), record.Suspense, "protocol", estimate},
			stream: side{thenClose(length("text/event-stream", "200", events)), wholeStream(goodDelta) + cutEvent, record.Suspense, "cut", seenOne},
		},
		{
			name:  "a second answer behind the first",
			plain: side{says(plainWire(goodPlain) + another), wholePlain(goodPlain), record.Served, "", billed},
		},
		{
			name:  "two lengths that differ",
			plain: side{thenClose("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + strings.TrimPrefix(plainWire(goodPlain), "HTTP/1.1 200 OK\r\n")), "502 1 " + notValid("protocol"), record.Suspense, "protocol", estimate},
		},
		{
			name:  "the same length twice",
			plain: side{thenClose("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + sameLength + sameLength + "\r\n" + goodPlain), wholePlain(goodPlain), record.Served, "", billed},
		},
		{
			name:  "chunks and a length",
			plain: side{thenClose("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(goodPlain) + lastChunk), wholePlain(goodPlain), record.Served, "", billed},
		},
		{
			name:   "chunks with extensions and trailers",
			stream: side{says(strings.TrimSuffix(streamHead, "\r\n") + "Trailer: X-T\r\n\r\n" + strings.Replace(chunk(events), "\r\n", ";a=b\r\n", 1) + "0\r\nX-T: a\r\n\r\n"), wholeStream(goodDelta + goodEnd + done), record.Served, "", billed},
		},
		{
			name:   "line ends without a carriage return",
			plain:  side{says("HTTP/1.1 200 OK\nContent-Type: application/json\n" + strings.Replace(sameLength, "\r", "", 1) + "\n" + goodPlain), wholePlain(goodPlain), record.Served, "", billed},
			stream: side{says(streamHead + chunk(strings.ReplaceAll(events, "\n", "\r\n")) + lastChunk), wholeStream(strings.ReplaceAll(goodDelta+goodEnd+done, "\n", "\r\n")), record.Served, "", billed},
		},
		{
			name:  "another transfer encoding",
			plain: side{thenClose("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n" + goodPlain), "502 1 " + notValid("protocol"), record.Suspense, "protocol", estimate},
		},
		{
			name:  "a negative length",
			plain: side{thenClose(length("application/json", "-5", goodPlain)), "502 1 " + notValid("protocol"), record.Suspense, "protocol", estimate},
		},
		{
			name:   "a chunk that is no chunk",
			stream: side{thenClose(streamHead + chunk(goodDelta) + "zz\r\n"), wholeStream(goodDelta) + cutEvent, record.Suspense, "cut", seenOne},
		},
		{
			name:   "no length, and the end is the end of the connection",
			plain:  side{thenClose("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + goodPlain), wholePlain(goodPlain), record.Served, "", billed},
			stream: side{thenClose("HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + events), wholeStream(goodDelta + goodEnd + done), record.Served, "", billed},
		},
		{
			name:   "informational answers first",
			plain:  side{says("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + plainWire(goodPlain)), wholePlain(goodPlain), record.Served, "", billed},
			stream: side{says("HTTP/1.1 103 Early Hints\r\n\r\n" + streamHead + chunk(events) + lastChunk), wholeStream(goodDelta + goodEnd + done), record.Served, "", billed},
		},
		{
			name:   "the other kind of answer",
			plain:  side{says(streamHead + chunk(events) + lastChunk), "502 1 " + notValid("protocol"), record.Suspense, "protocol", estimate},
			stream: side{says(plainWire(goodPlain)), "502 1 " + notValid("protocol"), record.Suspense, "protocol", estimate},
		},
		{
			name:   "an error that says 200",
			plain:  side{says(plainWire(`{"error":{"message":"secret of the provider"}}`)), "502 1 " + notValid("protocol"), record.Suspense, "protocol", estimate},
			stream: side{says(streamHead + chunk(goodDelta+"data: {\"error\":{\"message\":\"secret of the provider\"}}\n\n") + lastChunk), "502 1 " + notValid("error_event"), record.Suspense, "error_event", seenOne},
		},
		{
			name: "an answer before the request's end, the rest being read", early: true,
			plain: side{thenSilence(plainWire(goodPlain)), wholePlain(goodPlain), record.Served, "", billed},
		},
		{
			name: "a stream before the request's end, the rest being read", early: true,
			plain: side{thenSilence(streamHead + chunk(events) + lastChunk), "502 1 " + notValid("protocol"), record.Suspense, "protocol", usage.Vector{UncachedInput: earlyBytes/4 + 29, Output: 4}},
		},
		{
			name: "an answer before the request's end, the rest being lost", early: true,
			plain: side{thenClose(plainWire(goodPlain)), wholePlain(goodPlain), record.Served, "", billed},
		},
		{
			name: "a refusal before the request's end", early: true,
			plain: side{thenClose(wire("413 Too Large", "application/json", "Connection: close\r\n", tooLong)), "413  " + tooLong, record.Unserved, "status_413", usage.Vector{}},
		},
		{
			name: "a failure before the request's end", early: true,
			plain: side{thenClose(wire("500 Internal Server Error", "application/json", "", "{}")), failed(500), record.Unserved, "status_500", usage.Vector{}},
		},
	}
}

func endless() []fault {
	slow := func(f fault) fault { f.limits = quickly; return f }
	late := func(f fault) fault { f.limits = begun; return f }
	return []fault{
		late(fault{
			name:   "an endless header",
			plain:  side{endlessly("HTTP/1.1 200 OK\r\n", "X-More: "+strings.Repeat("a", 4000)+"\r\n", 0), "502 1 " + notValid("protocol"), record.Suspense, "protocol", estimate},
			stream: side{endlessly("HTTP/1.1 200 OK\r\n", "X-More: "+strings.Repeat("a", 4000)+"\r\n", 0), "502 1 " + notValid("protocol"), record.Suspense, "protocol", estimate},
		}),
		late(fault{
			name:   "endless informational answers",
			plain:  side{endlessly("", "HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("a", 4000)+"\r\n\r\n", 0), "502 1 " + notValid("protocol"), record.Suspense, "protocol", estimate},
			stream: side{endlessly("", "HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("a", 4000)+"\r\n\r\n", 0), "502 1 " + notValid("protocol"), record.Suspense, "protocol", estimate},
		}),
		slow(fault{
			name:   "endless comments",
			stream: side{endlessly(streamHead, chunk(": wait\n\n"), 20*time.Millisecond), "504 1 " + tooSlow("first_token_timeout", "400ms"), record.Suspense, "first_token_timeout", estimate},
		}),
		{
			name:   "an endless event",
			stream: side{endlessly(streamHead+chunk("data: "), chunk(strings.Repeat("a", 64<<10)), 0), "502 1 " + notValid("protocol"), record.Suspense, "protocol", estimate},
		},
		{
			name:  "an endless plain answer",
			plain: side{endlessly(strings.Replace(streamHead, "text/event-stream", "application/json", 1), chunk(strings.Repeat("a", 1<<20)), 0), "502 1 " + notValid("answer_too_large"), record.Suspense, "answer_too_large", estimate},
		},
		{
			name: "an answer whose length is beyond all",
			plain: side{func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n{")
				_, _ = io.Copy(io.Discard, c)
			}, "502 1 " + notValid("answer_too_large"), record.Suspense, "answer_too_large", estimate},
		},
	}
}

// embeddings are bad days of a provider that is asked for them.
func embeddings() []fault {
	const usageOf = `,"usage":{"prompt_tokens":7,"total_tokens":7}}`
	const good = `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-0.5]}],"model":"any"` + usageOf
	mayOwe := usage.Vector{UncachedInput: int64(len(fmt.Sprintf(embedBody, "f-00")))/4 + 1}
	one := func(name string, does func(net.Conn), answer string, status record.Status, reason string, u usage.Vector) fault {
		return fault{name: "an embedding: " + name, embedding: true, plain: side{does, answer, status, reason, u}}
	}
	wrong := strings.Replace(good, `"total_tokens":7`, `"total_tokens":8`, 1)
	without := strings.Replace(good, usageOf, "}", 1)
	return []fault{
		one("well", says(plainWire(good)), wholePlain(good), record.Served, "", usage.Vector{UncachedInput: 7}),
		one("cut", thenClose(plainWire(good)[:150]), wasCut, record.Suspense, "cut", mayOwe),
		one("reset", thenReset(""), unreachable, record.Suspense, "reset", mayOwe),
		one("500", says(wire("500 No", "application/json", "", "{}")), failed(500), record.Unserved, "status_500", usage.Vector{}),
		one("a chat completion", says(plainWire(goodPlain)), "502 1 "+notValid("protocol"), record.Suspense, "protocol", mayOwe),
		one("no JSON", says(plainWire("[0.5")), "502 1 "+notValid("protocol"), record.Suspense, "protocol", mayOwe),
		one("usage that disagrees with its total", says(plainWire(wrong)), wholePlain(wrong), record.Suspense, "usage_contradicts", mayOwe),
		one("usage that is missing", says(plainWire(without)), wholePlain(without), record.Suspense, "usage_missing", mayOwe),
	}
}

// badUsage are complete answers: the client gets them whole, and what the
// provider claims for them is not believed.
func badUsage() []fault {
	const good = `"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}`
	with := func(name, wrong, reason string) fault {
		plain := strings.Replace(goodPlain, good, wrong, 1)
		event := strings.Replace(goodUsage, good, wrong, 1)
		return fault{
			name:   "usage " + name,
			plain:  side{says(plainWire(plain)), wholePlain(plain), record.Suspense, reason, estimate},
			stream: side{says(streamHead + chunk(goodDelta+goodEnd+event+done) + lastChunk), wholeStream(goodDelta + goodEnd + done), record.Suspense, reason, seenAll},
		}
	}
	null := with("that is null", `"usage":null`, "usage_missing")
	// Only usage is kept from a client that did not ask for it.
	null.stream.answer = wholeStream(goodDelta + goodEnd + strings.Replace(goodUsage, ","+good, "", 1) + done)
	list := []fault{
		null,
		with("that is negative", `"usage":{"prompt_tokens":-11,"completion_tokens":3,"total_tokens":-8}`, "usage_contradicts"),
		with("that disagrees with its total", `"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":15}`, "usage_contradicts"),
		with("with more cached than there is", `"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":12}}`, "usage_contradicts"),
		with("beyond all integers", `"usage":{"prompt_tokens":11,"completion_tokens":99999999999999999999,"total_tokens":14}`, "usage_contradicts"),
		with("with a fraction", `"usage":{"prompt_tokens":11,"completion_tokens":3.5,"total_tokens":14.5}`, "usage_contradicts"),
		with("that is text", `"usage":{"prompt_tokens":"11","completion_tokens":"3","total_tokens":"14"}`, "usage_contradicts"),
		{
			name:   "usage that is missing",
			plain:  side{says(plainWire(strings.Replace(goodPlain, ","+good, "", 1))), wholePlain(strings.Replace(goodPlain, ","+good, "", 1)), record.Suspense, "usage_missing", estimate},
			stream: side{says(streamHead + chunk(goodDelta+goodEnd+done) + lastChunk), wholeStream(goodDelta + goodEnd + done), record.Suspense, "usage_missing", seenAll},
		},
		{
			name:   "nothing that is wrong",
			plain:  side{says(plainWire(goodPlain)), wholePlain(goodPlain), record.Served, "", usage.Vector{UncachedInput: 11, Output: 3}},
			stream: side{says(streamHead + chunk(goodDelta+goodEnd+goodUsage+done) + lastChunk), wholeStream(goodDelta + goodEnd + done), record.Served, "", billed},
		},
	}
	return list
}
