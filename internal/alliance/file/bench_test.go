package file

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// large is an alliance with many pools and twice as many rights, a tenth of
// them exclusive, in files within the limits.
func large(pools int) fstest.MapFS {
	fsys := fstest.MapFS{}
	var names []string
	add := func(name, text string) {
		names = append(names, name)
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	add("base.yaml", `version: 1
title: Large
operator: lab
currency: USD
parties: [{id: lab, name: Lab, kinds: [lab]}, {id: cloud, name: Cloud, kinds: [cloud]}]
claims: [{id: C1, says: s, mood: m, status: signed, known: 2026-01-01, source: {kind: filing, grade: A}}]
contracts: [{id: K, title: K, provider: cloud, shape: pay_per_use, from: 2026-01-01}]
channels: [{id: api, name: API, party: lab}]
`)
	const perFile = 1_000
	for start := 0; start < pools; start += perFile {
		var p, m, r, c strings.Builder
		for i := start; i < min(pools, start+perFile); i++ {
			fmt.Fprintf(&p, "  - id: pool-%d\n    provider: cloud\n    region: us-east-1\n    residency: US\n    contract: K\n    billed_by: token\n    max_in_flight: 64\n    assumption: true\n    models:\n      - {model: model-%d}\n    endpoint: {url: \"https://cloud.example/v1\", dialect: openai, secret: ACCORDO_SECRET_CLOUD}\n", i, i)
			fmt.Fprintf(&m, "  - {id: model-%d, name: M, owner: lab, version: v1, weights: closed, kind: chat}\n", i)
			fmt.Fprintf(&c, "  - {id: price-%d, pools: [pool-%d], model: model-%d, from: 2026-01-01, list: {input: 2.75, output: 11}, claim: [C1]}\n", i, i, i)
			for j := range 2 {
				mode := "non_exclusive"
				if (2*i+j)%10 == 0 {
					mode = "exclusive"
				}
				fmt.Fprintf(&r, "  - id: right-%d-%d\n    title: Right\n    object: stateless_api\n    models: [model-%d]\n    channel: api\n    territories: [US, EU]\n    from: 2026-01-01\n    mode: %s\n    known: 2026-01-01\n    claim: [C1]\n", i, j, i, mode)
			}
		}
		add(fmt.Sprintf("part%d.yaml", start/perFile), "pools:\n"+p.String()+"models:\n"+m.String()+"prices:\n"+c.String()+"rights:\n"+r.String())
	}
	fsys["root.yaml"] = &fstest.MapFile{Data: []byte("include: [" + strings.Join(names, ", ") + "]\n")}
	return fsys
}

// BenchmarkLoad shows that the time grows as the file does.
func BenchmarkLoad(b *testing.B) {
	for _, pools := range []int{500, 5_000} {
		b.Run(fmt.Sprintf("pools=%d/rights=%d", pools, 2*pools), func(b *testing.B) {
			fsys := large(pools)
			for b.Loop() {
				if _, _, err := LoadFS(fsys, "root.yaml", ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
