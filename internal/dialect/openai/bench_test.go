package openai

import (
	"strings"
	"testing"
)

func BenchmarkScan(b *testing.B) {
	for name, size := range map[string]int{"1KB": 1 << 10, "200KB": 200 << 10} {
		body := []byte(`{"model":"m","stream":true,"messages":[{"role":"user","content":"` + strings.Repeat(`lorem \n`, size/8) + `"}]}`)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				r, e := Scan(Chat, body)
				if e != nil {
					b.Fatal(e)
				}
				r.Splice(Edit{Model: "up", Usage: true})
			}
		})
	}
}

func BenchmarkStream(b *testing.B) {
	part := []byte(chunk(`{"content":"word "}`, "null", ""))
	s := NewStream("m@1", false, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Feed(part); err != nil {
			b.Fatal(err)
		}
	}
}
