//go:build linux

package main

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

func TestChunks_EndWhereTheBodyEndsHoweverItIsCut(t *testing.T) {
	text := []byte("3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: v\r\n\r\nnext")
	for cut := range text {
		var c chunks
		var got []byte
		take := func(p []byte) { got = append(got, p...) }
		n, done, err := c.feed(text[:cut], take)
		if err != nil {
			t.Fatal(err)
		}
		if !done {
			k, ended, err := c.feed(text[n:], take)
			if err != nil || !ended {
				t.Fatalf("cut at %d: %v, %v", cut, ended, err)
			}
			n += k
		}
		if string(got) != "abc0123456789" || string(text[n:]) != "next" {
			t.Errorf("cut at %d: %q, then %q", cut, got, text[n:])
		}
	}
}

func FuzzReadHead(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		br := bufio.NewReader(strings.NewReader(text))
		_, h, err := readHead(br, nil)
		if err != nil {
			return
		}
		_ = readBody(br, &h, func([]byte) {})
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
		if err == nil && h.length >= 0 && !h.chunked && resp.ContentLength >= 0 && resp.StatusCode >= 200 && resp.StatusCode != 204 && resp.StatusCode != 304 && int64(h.length) != resp.ContentLength {
			t.Errorf("length %d, net/http reads %d", h.length, resp.ContentLength)
		}
	})
}

func TestMock_AnswersWhatTheClientChecks(t *testing.T) {
	m := newMock()
	for _, model := range []string{modelPlain, modelStream} {
		j := job{model: model, prompt: kilobyte}
		c := j.client()
		text := m.plain
		if j.streams() {
			text = append(append(append([]byte{}, m.start...), bytes.Join(m.chunks[:], nil)...), m.tail...)
		}
		for name, sent := range map[string][]byte{"whole": text, "changed": bytes.Replace(text, []byte("lorem"), []byte("LOREM"), 1), "short": bytes.Replace(text, m.chunks[0], nil, 1)} {
			br := bufio.NewReader(bytes.NewReader(sent))
			_, h, err := readHead(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.body = nil
			if err := readBody(br, &h, func(p []byte) { c.body = append(c.body, p...) }); err != nil {
				t.Fatal(err)
			}
			if err := c.check(&h); (err == nil) != bytes.Equal(sent, text) {
				t.Errorf("%s %s: %v", model, name, err)
			}
		}
	}
}

func TestGoals_CompareTheSameRound(t *testing.T) {
	var tab table
	for round, v := range []float64{10, 50, 100} { // the machine was busy in the last round
		tab.round = round + 1
		tab.add("W", "accordo", "m", v/2)
		if round != 1 { // the baseline failed in the second
			tab.add("W", "base", "m", v)
		}
	}
	g := goal{work: "W", metric: "m", against: "base", how: '/', must: 1, stretch: 0.5}
	if v := g.figures(&tab); len(v) != 2 || v[0] != 0.5 || v[1] != 0.5 || g.verdict(median(v)) != "stretch" {
		t.Errorf("%v", v)
	}
	g.more, g.must = true, 0.6
	if g.verdict(0.4) != "MISSED" {
		t.Error("less passes where more is better")
	}
}
