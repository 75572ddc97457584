package openai

import (
	"fmt"
	"time"
)

// The types of OpenAI's error objects.
const (
	TypeInvalidRequest = "invalid_request_error"
	TypeServer         = "server_error"
	TypeTokens         = "tokens"
	TypeRequests       = "requests"
	TypeQuota          = "insufficient_quota"
)

// Error is an error object of the dialect with its HTTP status. Message is
// for people and says what to change; Param and Code may be empty (null).
type Error struct {
	Status  int
	Type    string
	Code    string
	Param   string
	Message string
	// RetryAfter is sent in whole seconds, rounded up, when it is not 0.
	RetryAfter time.Duration
	// NoRetry tells OpenAI's SDKs that another try cannot succeed soon.
	NoRetry bool
	// Allow is the header that a 405 must have: the methods that are served.
	Allow string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Append appends the error object as JSON.
func (e *Error) Append(dst []byte) []byte {
	dst = append(dst, `{"error":{"message":`...)
	dst = quote(dst, e.Message)
	dst = append(dst, `,"type":`...)
	dst = quote(dst, e.Type)
	dst = append(dst, `,"param":`...)
	dst = orNull(dst, e.Param)
	dst = append(dst, `,"code":`...)
	dst = orNull(dst, e.Code)
	return append(dst, "}}"...)
}

// AppendEvent appends the error as the event that ends a stream.
func (e *Error) AppendEvent(dst []byte) []byte {
	dst = append(dst, "data: "...)
	return append(e.Append(dst), "\n\n"...)
}

func orNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return quote(dst, s)
}

// Invalid is a 400 about one parameter of the request.
func Invalid(param, code, format string, args ...any) *Error {
	return &Error{Status: 400, Type: TypeInvalidRequest, Code: code, Param: param, Message: fmt.Sprintf(format, args...)}
}

// MissingKey is the answer to a request without an API key.
func MissingKey() *Error {
	return &Error{Status: 401, Type: TypeInvalidRequest, Message: "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."}
}

// UnreadableKey is the answer to an Authorization header that is there and
// holds no key that can be read; it never repeats the header.
func UnreadableKey(headers int) *Error {
	e := MissingKey()
	e.Code, e.Message = "invalid_authorization", "The Authorization header is not \"Bearer YOUR_KEY\". Send the word Bearer, one space and the key."
	if headers > 1 {
		e.Message = "The request has more than one Authorization header. Send one, with one key."
	}
	return e
}

// Encoded is the answer to a body that is compressed, or says that it is.
func Encoded(encoding string) *Error {
	return &Error{Status: 415, Type: TypeInvalidRequest, Code: "unsupported_content_encoding", Param: "content-encoding", Message: fmt.Sprintf("The body of the request is encoded (Content-Encoding: %s), and this gateway reads JSON as it is. Send it without compression and without that header.", clip(encoding, 64))}
}

// Malformed is the answer to what is not a request of HTTP that is served:
// 400, 417, 431, 501 or 505. detail says what is wrong, when that is known.
func Malformed(status int, detail string) *Error {
	e := &Error{Status: status, Type: TypeInvalidRequest, Code: "malformed_request"}
	switch status {
	case 417:
		e.Message = "The header Expect asks for what this gateway does not do. Send Expect: 100-continue, or leave the header out."
	case 431:
		e.Code, e.Message = "headers_too_large", "The headers of the request are larger than this gateway reads. Send fewer or shorter ones; what the model shall read belongs into the body."
	case 501:
		e.Message = "The transfer encoding of the request is not served. Send a Content-Length, or Transfer-Encoding: chunked and nothing else."
	case 505:
		e.Message = "The version of HTTP is not served. Send the request as HTTP/1.1."
	default:
		if detail != "" {
			detail = " (" + clip(detail, 64) + ")"
		}
		e.Message = "The request is not valid HTTP/1.1" + detail + ". Send a request line, one Host header, headers without control characters, and the body's length once."
	}
	return e
}

// WrongKey is the answer to a key that is not known; it never repeats the key.
func WrongKey() *Error {
	return &Error{Status: 401, Type: TypeInvalidRequest, Code: "invalid_api_key", Message: "Incorrect API key provided. Ask the operator of this gateway for a key, and send it whole after \"Bearer \"."}
}

// Forbidden is a refusal by policy: a right, a rollout, a plan.
func Forbidden(code, format string, args ...any) *Error {
	return &Error{Status: 403, Type: TypeInvalidRequest, Code: code, Message: fmt.Sprintf(format, args...), NoRetry: true}
}

// NoModel is the answer to a model that does not exist or that the key may not see.
func NoModel(model string) *Error {
	return &Error{Status: 404, Type: TypeInvalidRequest, Code: "model_not_found", Param: "model", Message: fmt.Sprintf("The model `%s` does not exist or you do not have access to it. GET /v1/models lists what this key may use.", clip(model, 128))}
}

// OtherKind is the answer to a model that was asked at the address of another
// kind than its own, which is kind.
func OtherKind(model string, kind Kind) *Error {
	asked, own := "/v1/embeddings", "/v1/chat/completions"
	if kind == Embedding {
		asked, own = own, asked
	}
	return &Error{Status: 404, Type: TypeInvalidRequest, Code: "model_not_found", Param: "model", Message: fmt.Sprintf("The model `%s` does not answer at %s. Ask it at %s, or ask another model here; GET /v1/models lists what this key may use.", clip(model, 128), asked, own)}
}

// NoPath is the answer to an address that is not served.
func NoPath(method, path string) *Error {
	return &Error{Status: 404, Type: TypeInvalidRequest, Message: fmt.Sprintf("Invalid URL (%s %s). This gateway serves POST /v1/chat/completions, POST /v1/embeddings, GET /v1/models and GET /v1/models/{id}.", clip(method, 16), clip(path, 128))}
}

// NoMethod is the answer to a known address with another method.
func NoMethod(method, path, allowed string) *Error {
	return &Error{Status: 405, Type: TypeInvalidRequest, Code: "method_not_supported", Allow: allowed, Message: fmt.Sprintf("Not allowed to %s on %s; use %s.", clip(method, 16), clip(path, 128), allowed)}
}

// Slow is the answer to a body that did not arrive in time.
func Slow(limit time.Duration) *Error {
	return &Error{Status: 408, Type: TypeInvalidRequest, Code: "request_timeout", Message: fmt.Sprintf("The body of the request did not arrive within %s. Send it again over a better connection, or send less.", limit)}
}

// TooLarge is the answer to a body above the limit.
func TooLarge(limit int64) *Error {
	return &Error{Status: 413, Type: TypeInvalidRequest, Code: "request_too_large", Message: fmt.Sprintf("The body of the request is larger than %d bytes. Shorten the conversation, or send images by address.", limit)}
}

// Server is a failure of the gateway or of what it calls: 500, 502, 503, 504.
func Server(status int, code string, retryAfter time.Duration, format string, args ...any) *Error {
	return &Error{Status: status, Type: TypeServer, Code: code, RetryAfter: retryAfter, Message: fmt.Sprintf(format, args...)}
}

// Limited is a 429: a rate limit when the wait is short, a spent allowance
// when it is not. kind is TypeTokens, TypeRequests or TypeQuota.
func Limited(kind string, wait time.Duration, format string, args ...any) *Error {
	e := &Error{Status: 429, Type: kind, Code: "rate_limit_exceeded", RetryAfter: wait, Message: fmt.Sprintf(format, args...)}
	if kind == TypeQuota {
		e.Code, e.NoRetry = "insufficient_quota", true
	}
	return e
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
