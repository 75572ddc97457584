package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// smuggled is a request that hides in the body of another.
const smuggled = "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer " + keyOpen + "\r\nX-Request-Id: smuggled\r\nContent-Length: 2\r\n\r\n{}"

// Whatever a client does to the framing, at most the one request that it was
// allowed to send is served, and what reaches a provider is framed anew.
func TestClients_SmugglingIsRefused(t *testing.T) {
	t.Parallel()
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	stop := d.beside()
	defer stop()
	length := fmt.Sprintf("Content-Length: %d\r\n", len(helloBody))
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(helloBody), helloBody)
	id := "X-Request-Id: outer\r\nConnection: close\r\n"
	for _, c := range []struct {
		name, text string
		status     []string // of the first answer; "" is a close without one
	}{
		{"both lengths, the body chunked", chatHead(id, "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n") + chunked + smuggled, []string{"200", "400"}},
		{"both lengths, the body plain", chatHead(id, length, "Transfer-Encoding: chunked\r\n\r\n") + helloBody + smuggled, []string{"400"}},
		{"chunked under another name", chatHead(id, length, "Transfer-Encoding: xchunked\r\n\r\n") + helloBody + smuggled, []string{"400", "501"}},
		{"chunked twice", chatHead(id, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n") + chunked, []string{"400", "501"}},
		{"chunked, identity", chatHead(id, "Transfer-Encoding: chunked, identity\r\n\r\n") + chunked, []string{"400", "501"}},
		{"chunked behind a fold", chatHead(id, "Transfer-Encoding:\r\n chunked\r\n", length, "\r\n") + chunked, []string{"200", "400", "501"}},
		{"chunked before a tab", chatHead(id, "Transfer-Encoding: \x0bchunked\r\n\r\n") + chunked, []string{"400", "501"}},
		{"two lengths that differ", chatHead(id, "Content-Length: 2\r\n", length, "\r\n") + helloBody, []string{"400"}},
		{"lengths in one header", chatHead(id, "Content-Length: 2, 3\r\n\r\n") + helloBody, []string{"400"}},
		{"a signed length", chatHead(id, "Content-Length: +2\r\n\r\n{}"), []string{"400"}},
		{"a negative length", chatHead(id, "Content-Length: -2\r\n\r\n{}"), []string{"400"}},
		{"a length in hex", chatHead(id, "Content-Length: 0x2\r\n\r\n{}"), []string{"400"}},
		{"a length beyond int64", chatHead(id, "Content-Length: 99999999999999999999\r\n\r\n{}"), []string{"400"}},
		{"a space before the colon", chatHead(id, "Content-Length : 2\r\n\r\n{}"), []string{"400"}},
		{"a header that begins with a space", "POST /v1/chat/completions HTTP/1.1\r\n Host: g\r\n\r\n", []string{"400"}},
		{"a NUL in a header", chatHead(id, "X-A: a\x00b\r\n", length, "\r\n") + helloBody, []string{"400"}},
		{"a bare CR in a header", chatHead(id, "X-A: a\rTransfer-Encoding: chunked\r\n", length, "\r\n") + helloBody, []string{"400"}},
		{"no host", "POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer " + keyOpen + "\r\n\r\n", []string{"400"}},
		{"two hosts", chatHead(id, "Host: other\r\n", length, "\r\n") + helloBody, []string{"400"}},
		{"a chunk size that overflows", chatHead(id, "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n"), []string{"400"}},
		{"a chunk size with a sign", chatHead(id, "Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n"), []string{"400"}},
		{"a chunk that is longer than it says", chatHead(id, "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n"), []string{"400"}},
		{"a bare CR in a chunk extension", chatHead(id, "Transfer-Encoding: chunked\r\n\r\n2;a\rb\r\n{}\r\n0\r\n\r\n"), []string{"400"}},
		{"endless chunk extensions", chatHead(id, "Transfer-Encoding: chunked\r\n\r\n") + strings.Repeat("1;"+strings.Repeat("a", 3000)+"\r\n{\r\n", 20) + "0\r\n\r\n", []string{"400"}},
		{"a method with a space", "GET /v1/models HTTP/1.1 HTTP/1.1\r\nHost: g\r\n\r\n", []string{"400"}},
		{"another protocol", "SSH-2.0-client\r\n\r\n", []string{"400"}},
		{"HTTP/9", "POST /v1/chat/completions HTTP/9.0\r\nHost: g\r\n\r\n", []string{"400", "505"}},
		{"HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []string{"", "400", "404", "505"}},
		{"the chunked one of HTTP/1.0", "POST /v1/chat/completions HTTP/1.0\r\nHost: g\r\nAuthorization: Bearer " + keyOpen + "\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked, []string{"400", "501"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer, closed := d.raw(c.text, 20*time.Second)
			if !closed {
				t.Fatalf("the connection stays open after %.300q", answer)
			}
			status, ids := answersIn(answer)
			if status != "" && status != "200" {
				refusedInDialect(t, answer)
			}
			for _, got := range ids {
				if got == "smuggled" {
					t.Errorf("the hidden request was answered: %.2000q", answer)
				}
			}
			for _, want := range c.status {
				if status == want {
					return
				}
			}
			t.Errorf("status %q, want one of %q: %.500q", status, c.status, answer)
		})
	}
	d.waitIdle()
	for _, r := range append(north.recorded(), south.recorded()...) {
		if r.Header["Transfer-Encoding"] != nil || !bytes.Contains(r.Body, []byte(`"content":"hello"`)) || len(r.Header["Authorization"]) > 1 {
			t.Errorf("reached a provider: %v %s", r.Header, r.Body)
		}
	}
}

// refusedInDialect demands that the first answer is an error object with a
// reason, also where net/http refuses a request before any handler sees it.
func refusedInDialect(t *testing.T, answer string) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
	if err != nil {
		t.Fatalf("%v: %.500q", err, answer)
	}
	body, err := io.ReadAll(resp.Body)
	var object struct {
		Error struct{ Message, Type string }
	}
	if err != nil || json.Unmarshal(body, &object) != nil || object.Error.Message == "" || object.Error.Type != "invalid_request_error" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("not the API's error object: %v, %.700q", err, answer)
	}
}

// What no handler sees is refused with the exact object of the API, and books
// nothing.
func TestClients_MalformedIsRefusedInTheDialect(t *testing.T) {
	t.Parallel()
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	length := fmt.Sprintf("Content-Length: %d\r\n", len(helloBody))
	const shape = ". Send a request line, one Host header, headers without control characters, and the body's length once."
	for _, c := range []struct{ name, text, status, code, message string }{
		{"a NUL in a header", chatHead("X-A: a\x00b\r\n", length, "\r\n") + helloBody, "400 Bad Request", "malformed_request", "The request is not valid HTTP/1.1" + shape},
		{"no host", "GET /v1/models HTTP/1.1\r\n\r\n", "400 Bad Request", "malformed_request", "The request is not valid HTTP/1.1 (missing required Host header)" + shape},
		{"TLS on a plain listener", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "400 Bad Request", "malformed_request", "The request is not valid HTTP/1.1" + shape},
		{"empty lines first", "\r\n\r\n" + chatHead(length, "\r\n") + helloBody, "400 Bad Request", "malformed_request", "The request is not valid HTTP/1.1" + shape},
		{"another expectation", chatHead("Expect: 200-maybe\r\n", length, "\r\n") + helloBody, "417 Expectation Failed", "malformed_request", "The header Expect asks for what this gateway does not do. Send Expect: 100-continue, or leave the header out."},
		{"headers too large", chatHead("X-Big: ", strings.Repeat("a", 64<<10), "\r\n\r\n"), "431 Request Header Fields Too Large", "headers_too_large", "The headers of the request are larger than this gateway reads. Send fewer or shorter ones; what the model shall read belongs into the body."},
		{"another transfer encoding", chatHead("Transfer-Encoding: gzip\r\n\r\n") + helloBody, "501 Not Implemented", "malformed_request", "The transfer encoding of the request is not served. Send a Content-Length, or Transfer-Encoding: chunked and nothing else."},
		{"another version", "GET /v1/models HTTP/3.0\r\nHost: g\r\n\r\n", "505 HTTP Version Not Supported", "malformed_request", "The version of HTTP is not served. Send the request as HTTP/1.1."},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer, closed := d.raw(c.text, 20*time.Second)
			body := `{"error":{"message":"` + c.message + `","type":"invalid_request_error","param":null,"code":"` + c.code + `"}}`
			want := fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", c.status, len(body), body)
			if !closed || answer != want {
				t.Errorf("closed %v, got\n%q\nwant\n%q", closed, answer, want)
			}
		})
	}
	d.waitIdle()
	if n := len(north.recorded()) + len(south.recorded()); n != 0 {
		t.Errorf("%d requests reached a provider", n)
	}
	d.stop(t)
	if a := readAccount(t, d.data); len(a.intents) != 0 {
		t.Errorf("%d intents in the journal", len(a.intents))
	}
}

// Requests that are well framed and still not what the API serves get the
// exact error, with a remedy, and never reach a provider.
func TestClients_OddHeadersAreNamed(t *testing.T) {
	t.Parallel()
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	key := "Authorization: Bearer " + keyOpen + "\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(helloBody))
	const encoded = "The body of the request is encoded (Content-Encoding: %s), and this gateway reads JSON as it is. Send it without compression and without that header."
	for _, c := range []struct{ name, line, headers, body, status, header, message, param, code string }{
		{"a compressed body", "POST /v1/chat/completions", key + "Content-Encoding: gzip\r\nContent-Length: 4\r\n", "\x1f\x8b\x08\x00", "415", "", fmt.Sprintf(encoded, "gzip"), `"content-encoding"`, `"unsupported_content_encoding"`},
		{"a body that only says so", "POST /v1/chat/completions", key + "Content-Encoding: br\r\n" + length, helloBody, "415", "", fmt.Sprintf(encoded, "br"), `"content-encoding"`, `"unsupported_content_encoding"`},
		{"two keys", "POST /v1/chat/completions", key + key + length, helloBody, "401", "", "The request has more than one Authorization header. Send one, with one key.", "null", `"invalid_authorization"`},
		{"another scheme", "POST /v1/chat/completions", "Authorization: Basic c2s6\r\n" + length, helloBody, "401", "", `The Authorization header is not \"Bearer YOUR_KEY\". Send the word Bearer, one space and the key.`, "null", `"invalid_authorization"`},
		{"a key in another header", "POST /v1/chat/completions", "X-Api-Key: " + keyOpen + "\r\n" + length, helloBody, "401", "", "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).", "null", "null"},
		{"OPTIONS", "OPTIONS /v1/chat/completions", key, "", "405", "Allow: POST", "Not allowed to OPTIONS on /v1/chat/completions; use POST.", "null", `"method_not_supported"`},
		{"TRACE", "TRACE /v1/embeddings", key, "", "405", "Allow: POST", "Not allowed to TRACE on /v1/embeddings; use POST.", "null", `"method_not_supported"`},
		{"DELETE", "DELETE /v1/models/chat", key, "", "405", "Allow: GET, HEAD", "Not allowed to DELETE on /v1/models/chat; use GET, HEAD.", "null", `"method_not_supported"`},
		{"a path that is not UTF-8", "GET /v1/\xff\xfe", key, "", "404", "", "Invalid URL (GET /v1/\ufffd). This gateway serves POST /v1/chat/completions, POST /v1/embeddings, GET /v1/models and GET /v1/models/{id}.", "null", "null"},
		{"a model that is not UTF-8", "GET /v1/models/%ff", key, "", "404", "", "The model `\ufffd` does not exist or you do not have access to it. GET /v1/models lists what this key may use.", `"model"`, `"model_not_found"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer, closed := d.raw(c.line+" HTTP/1.1\r\nHost: g\r\nConnection: close\r\n"+c.headers+"\r\n"+c.body, 20*time.Second)
			want := `{"error":{"message":"` + c.message + `","type":"invalid_request_error","param":` + c.param + `,"code":` + c.code + `}}`
			head, body, _ := strings.Cut(answer, "\r\n\r\n")
			if !closed || !strings.HasPrefix(head, "HTTP/1.1 "+c.status+" ") || body != want || !strings.Contains(head+"\r\n", c.header+"\r\n") {
				t.Errorf("closed %v, got\n%q\nwant %s, %s, %q", closed, answer, c.status, c.header, want)
			}
		})
	}
	d.waitIdle()
	if n := len(north.recorded()) + len(south.recorded()); n != 0 {
		t.Errorf("%d requests reached a provider", n)
	}
	d.stop(t)
	if a := readAccount(t, d.data); len(a.intents) != 0 {
		t.Errorf("%d intents in the journal", len(a.intents))
	}
}

// answersIn are the status of the first answer and the ids of all.
func answersIn(text string) (status string, ids []string) {
	answers := bufio.NewReader(strings.NewReader(text))
	for {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			return status, ids
		}
		if status == "" {
			status = resp.Status[:3]
		}
		ids = append(ids, resp.Header.Get("X-Request-Id"))
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return status, ids
		}
	}
}

// Bare line feeds, folds, absolute addresses and tunnels do no more than the
// same request written well: nothing makes the gateway call another address.
func TestClients_OddRequestsGoNowhereElse(t *testing.T) {
	t.Parallel()
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	trap, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer trap.Close()
	called := make(chan struct{}, 1)
	go func() {
		for {
			conn, err := trap.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
			select {
			case called <- struct{}{}:
			default:
			}
		}
	}()
	to := trap.Addr().String()
	length := fmt.Sprintf("Content-Length: %d\r\nConnection: close\r\n\r\n", len(helloBody))
	head := "Authorization: Bearer " + keyOpen + "\r\n"
	redirecting := `{"model":"chat","messages":[{"role":"user","content":"hello"}],"base_url":"http://` + to + `/v1","api_base":"http://` + to + `","endpoint":{"url":"http://` + to + `"}}`
	at := "http://" + to + "/x"
	speaking := `{"model":"chat","messages":[{"role":"system","content":"` + at + `"},{"role":"user","content":[{"type":"text","text":"` + at + `"},{"type":"image_url","image_url":{"url":"` + at + `.png"}},` +
		`{"type":"file","file":{"file_data":"` + at + `","filename":"` + at + `"}}]}],"metadata":{"webhook":"` + at + `","callback_url":"` + at + `"},"user":"` + at + `",` +
		`"tools":[{"type":"function","function":{"name":"fetch","description":"` + at + `","parameters":{"$ref":"` + at + `","type":"object"}}}],"tool_choice":{"type":"function","function":{"name":"fetch"}},` +
		`"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"$schema":"` + at + `","$ref":"` + at + `"}}},"web_search_options":{"base_url":"` + at + `"},"prediction":{"type":"content","content":"` + at + `"},"webhook_url":"` + at + `"}`
	asModel := `{"model":"` + at + `","messages":[{"role":"user","content":"hello"}]}`
	said := ""
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Server", "X-Real-Ip", "True-Client-Ip", "X-Rewrite-Url", "X-Http-Host-Override", "X-Upstream", "X-Accordo-Pool", "X-Callback-Url", "Referer", "Origin", "Link", "Destination", "Openai-Base-Url", "Baggage", "Tracestate", "Via"} {
		said += name + ": " + at + "\r\n"
	}
	for _, c := range []struct{ name, text, status string }{
		{"addresses of pictures, files, tools, schemas and hooks", "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\n" + head + fmt.Sprintf("Content-Length: %d\r\nConnection: close\r\n\r\n", len(speaking)) + speaking, "200"},
		{"an address as the model", "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\n" + head + fmt.Sprintf("Content-Length: %d\r\nConnection: close\r\n\r\n", len(asModel)) + asModel, "404"},
		{"addresses in headers", "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\n" + said + head + length + helloBody, "200"},
		{"an absolute address", "POST http://" + to + "/v1/chat/completions HTTP/1.1\r\nHost: " + to + "\r\n" + head + length + helloBody, "200"},
		{"a tunnel", "CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\n" + head + "Connection: close\r\n\r\n", "404"},
		{"the host of another", "POST /v1/chat/completions HTTP/1.1\r\nHost: " + to + "\r\n" + head + length + helloBody, "200"},
		{"forwarding headers", "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nX-Forwarded-Host: " + to + "\r\nForwarded: host=" + to + "\r\nX-Original-Url: http://" + to + "/\r\nProxy: http://" + to + "\r\n" + head + length + helloBody, "200"},
		{"an address in the body", "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\n" + head + fmt.Sprintf("Content-Length: %d\r\nConnection: close\r\n\r\n", len(redirecting)) + redirecting, "200"},
		{"bare line feeds", "POST /v1/chat/completions HTTP/1.1\nHost: g\n" + strings.ReplaceAll(head+length, "\r", "") + helloBody, "200"},
		{"a path with dots", "POST /v1/../v1/chat/completions HTTP/1.1\r\nHost: g\r\n" + head + length + helloBody, "404"},
		{"an encoded path", "POST /v1/chat%2Fcompletions HTTP/1.1\r\nHost: g\r\n" + head + length + helloBody, "200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer, closed := d.raw(c.text, 20*time.Second)
			if status, _ := answersIn(answer); !closed || status != c.status {
				t.Errorf("closed %v, status %s, want %s: %.400q", closed, status, c.status, answer)
			}
		})
	}
	select {
	case <-called:
		t.Error("a request made the gateway call an address of its own choice")
	default:
	}
}

// Bodies that are not what they should be get the dialect's answer, which
// says what to change.
func TestClients_BadBodies(t *testing.T) {
	t.Parallel()
	d := deploy(t, setup{north: startProvider(t, northConfig), south: startProvider(t, southConfig)})
	const parse = "We could not parse the JSON body of your request"
	for _, c := range []struct{ name, body, message, param, code string }{
		{"bad UTF-8", "{\"model\":\"chat\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\xfe\"}]}", parse + ": it is not valid UTF-8. Encode the body as UTF-8.", "", ""},
		{"a lone continuation byte", "{\"model\":\"chat\",\"messages\":[{\"role\":\"user\",\"content\":\"\x80\"}]}", parse + ": it is not valid UTF-8. Encode the body as UTF-8.", "", ""},
		{"model twice", `{"model":"chat","model":"kept-1","messages":[]}`, "The key 'model' occurs twice in the body. Send it once.", "model", "duplicate_parameter"},
		{"model twice, once escaped", `{"model":"chat","mod\u0065l":"kept-1","messages":[]}`, "The key 'model' occurs twice in the body. Send it once.", "model", "duplicate_parameter"},
		{"model in capitals", `{"MODEL":"kept-1","model":"chat","messages":[{"role":"user","content":"hello"}]}`, "Unrecognized request argument supplied: MODEL. Write it as 'model'.", "MODEL", "unknown_parameter"},
		{"nested too deep", `{"model":"chat","messages":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, "nested deeper than 128 levels", "", ""},
		{"nested and never closed", `{"a":` + strings.Repeat(`{"a":`, 1_000_000), "nested deeper than 128 levels", "", ""},
		{"too many keys", "{" + manyKeys(300) + `"model":"chat"}`, "The body has more than 256 keys. Send fewer.", "", "too_many_parameters"},
		{"n out of range", `{"model":"chat","n":129,"messages":[{"role":"user","content":"hello"}]}`, "Invalid 'n': expected an integer from 1 to 128, but got 129 instead.", "n", "integer_out_of_range"},
		{"n beyond int64", `{"model":"chat","n":99999999999999999999,"messages":[{"role":"user","content":"hello"}]}`, "Invalid 'n': expected an integer from 1 to 128, but got one that is far out of range.", "n", "integer_out_of_range"},
		{"a negative maximum", `{"model":"chat","max_completion_tokens":-1,"messages":[{"role":"user","content":"hello"}]}`, "Invalid 'max_completion_tokens': integer below minimum value. Expected a value >= 1, but got -1 instead.", "max_completion_tokens", "integer_below_min_value"},
		{"a maximum near int64", `{"model":"chat","max_completion_tokens":9223372036854775807,"messages":[{"role":"user","content":"hello"}]}`, "Invalid 'max_completion_tokens': the integer is out of range. Send a smaller one.", "max_completion_tokens", "integer_above_max_value"},
		{"a maximum that no model has", `{"model":"chat","max_completion_tokens":9007199254740993,"messages":[{"role":"user","content":"hello"}]}`, "The output limit is out of range. Send a smaller one.", "max_completion_tokens", "integer_above_max_value"},
		{"a product beyond int64", `{"model":"chat","n":128,"max_tokens":1000000000000,"messages":[{"role":"user","content":"hello"}]}`, "The output limit is out of range. Send a smaller one.", "max_tokens", "integer_above_max_value"},
		{"a maximum with an exponent", `{"model":"chat","max_tokens":1e999,"messages":[{"role":"user","content":"hello"}]}`, "Invalid type for 'max_tokens': expected an integer.", "max_tokens", "invalid_type"},
		{"nothing", "", "The body of the request must be a JSON object, such as {\"model\": \"...\", \"messages\": [...]}.", "", ""},
		{"an array", "[]", "The body of the request must be a JSON object, such as {\"model\": \"...\", \"messages\": [...]}.", "", ""},
		{"cut in a string", `{"model":"ch`, parse, "", ""},
		{"two objects", helloBody + helloBody, parse, "", ""},
		{"a control character", "{\"model\":\"chat\x01\"}", parse, "", ""},
		{"a byte order mark", "\xef\xbb\xbf" + helloBody, "The body of the request must be a JSON object, such as {\"model\": \"...\", \"messages\": [...]}.", "", ""},
		{"a model's name of a megabyte", `{"model":"` + strings.Repeat("m", 1<<20) + `","messages":[{"role":"user","content":"hello"}]}`, "does not exist or you do not have access to it", "model", "model_not_found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := d.post(keyOpen, c.body)
			var got struct {
				Error struct {
					Message, Type string
					Param, Code   *string
				}
			}
			decode(t, body, &got)
			e := got.Error
			status := http.StatusBadRequest
			if c.code == "model_not_found" {
				status = http.StatusNotFound
			}
			if resp.StatusCode != status || e.Type != "invalid_request_error" || !strings.Contains(e.Message, c.message) || text(e.Param) != c.param || text(e.Code) != c.code {
				t.Errorf("%s: %.600s", resp.Status, body)
			}
			if len(body) > 2048 || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("an answer of %d bytes, %s", len(body), resp.Header.Get("Content-Type"))
			}
		})
	}
	d.waitIdle()
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%d":1,`, i)
	}
	return b.String()
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Guessing keys costs the guesser: every guess gets the same answer, nothing
// is kept of it, and others are served.
func TestClients_GuessedKeys(t *testing.T) {
	t.Parallel()
	d := deploy(t, setup{north: startProvider(t, northConfig), south: startProvider(t, southConfig)})
	const connections, batch, batches = 8, 250, 50 // 100,000 guesses
	stop := d.beside()
	defer stop()
	before := d.rss()
	var wait sync.WaitGroup
	for c := range connections {
		conn := d.dial()
		wait.Go(func() {
			_ = conn.SetDeadline(time.Now().Add(4 * time.Minute))
			answers := bufio.NewReader(conn)
			for b := range batches {
				go func() {
					var text strings.Builder
					for i := range batch {
						fmt.Fprintf(&text, "GET /v1/models HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ak-%032x\r\n\r\n", c<<40|b<<20|i)
					}
					_, _ = io.WriteString(conn, text.String())
				}()
				for range batch {
					resp, err := http.ReadResponse(answers, nil)
					if err != nil {
						t.Error(err)
						return
					}
					body, err := io.ReadAll(resp.Body)
					if err != nil || resp.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), `"code":"invalid_api_key"`) || strings.Contains(string(body), "ak-0") {
						t.Errorf("%v %s %s", err, resp.Status, body)
						return
					}
				}
			}
		})
	}
	wait.Wait()
	if refused := d.metric(`accordo_refusals_total{code="invalid_api_key",status="401"}`); refused != connections*batch*batches {
		t.Errorf("%v refusals counted, want %d", refused, connections*batch*batches)
	}
	if grown := d.rss() - before; grown > 64<<20 {
		t.Errorf("guessing took %d bytes of memory", grown)
	}
}
