package gateway_test

import (
	"context"
	"io"
	"net/http"
	"testing"
)

func TestHealth_NeedsNoKeyAndEndsWithTheDrain(t *testing.T) {
	h := start(t, setup{})
	get := func() (int, string) {
		resp, err := h.client.Get(h.url + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if status, body := get(); status != http.StatusOK || body != "ok\n" {
		t.Errorf("serving: %d %q", status, body)
	}
	h.g.Drain(context.Background())
	if status, body := get(); status != http.StatusServiceUnavailable || body != "stopping\n" {
		t.Errorf("stopping: %d %q", status, body)
	}
}
