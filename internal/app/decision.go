package app

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/route"
	"github.com/accordo-ai/accordo/internal/settle"
)

var verdictWords = map[record.Verdict]string{
	record.Chosen: "chosen", record.Dearer: "dearer", record.Full: "full",
	record.Unhealthy: "unhealthy", record.Tried: "failed before", record.Expired: "expired", record.UsedUp: "commitment used up",
}

// ExplainRequest writes every decision about one request of the data
// directory, candidate by candidate.
func ExplainRequest(w io.Writer, data, request string, asJSON bool) error {
	b, err := openReading(context.Background(), data)
	if err != nil {
		return err
	}
	defer b.Close()
	t, err := b.find(context.Background(), request)
	if err != nil {
		return err
	}
	versions, err := settle.Versions(termsFrom(b.dir), b.dir)
	if err != nil {
		return err
	}
	list, err := decisions(t, versions)
	if err != nil {
		return err
	}
	return show(w, asJSON, list, func(w io.Writer) error { return writeDecisions(w, list) })
}

// decisions shows the decision behind each attempt and refusal of a trace: the
// candidates as the journal keeps them, and the pools that could not be
// candidates, recomputed from the terms of that instant.
func decisions(t *settle.Trace, versions *ledger.Book) ([]admin.Decision, error) {
	var list []admin.Decision
	for i := range t.Attempts {
		r := &t.Attempts[i].Intent
		in := r.Intent
		d := admin.Decision{Request: in.Request, Attempt: string(in.Attempt), At: time.Unix(0, r.At).UTC(), Terms: in.Terms, Model: in.Model, Plan: in.Plan, Channel: in.Channel, Territory: in.Territory}
		if err := fillDecision(&d, versions, r.Sequence, cmp.Or(in.Variant, in.Model), in.Considered, in.Estimate.Input(), in.Estimate.AllOutput()); err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	for i := range t.Refusals {
		r := &t.Refusals[i]
		in := r.Refusal
		d := admin.Decision{Request: in.Request, At: time.Unix(0, r.At).UTC(), Terms: in.Terms, Model: in.Model, Plan: in.Plan, Channel: in.Channel, Territory: in.Territory, Refused: in.Code + ": " + in.Reason}
		if err := fillDecision(&d, versions, r.Sequence, in.Model, in.Considered, 0, 0); err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// fillDecision adds the candidates of the record and recomputes who was
// ineligible for what was asked: the variant, where there is one.
func fillDecision(d *admin.Decision, versions *ledger.Book, sequence uint64, asked string, considered []record.Considered, input, output int64) error {
	t, err := versions.TermsAt(d.Terms, sequence)
	if err != nil {
		return err
	}
	a := t.Alliance()
	for _, c := range considered {
		shown := admin.Candidate{Pool: c.Pool, Verdict: verdictWords[c.Verdict], CostNano: c.Cost, PriceNano: c.Price, ScarcityNano: c.Scarcity, LatencyNano: c.Latency, LambdaPPM: c.LambdaPPM}
		if p := a.Pool(alliance.PoolID(c.Pool)); p != nil {
			shown.Contract = string(p.Contract)
			if k := a.Contract(p.Contract); k != nil {
				shown.Shape = string(k.Shape)
			}
		}
		d.Candidates = append(d.Candidates, shown)
	}
	id, _, _ := strings.Cut(asked, "@")
	m, v, _, ok := a.Resolve(alliance.ModelID(id), d.At)
	if !ok {
		return nil // a name that the terms do not have: the refusal says so
	}
	q := &route.Request{Model: m.ID, Plan: alliance.PlanID(d.Plan), Channel: alliance.ChannelID(d.Channel), Territory: alliance.Territory(d.Territory), Kind: m.Kind, Input: input, Output: output}
	if v != nil {
		q.Variant = v.ID
	}
	router := route.New(a, d.At)
	router.SetRates(versions.Rates().KnownAt(d.At.UnixNano()), d.At)
	for _, out := range router.Explain(d.At, d.At, q).Ineligible {
		shown := admin.Ineligible{Pool: string(out.Pool.ID), Cause: out.Cause, Why: out.Why}
		for _, r := range out.Refusals {
			shown.Right = string(r.Right.ID)
			shown.Claims = append(shown.Claims, texts(r.Right.Claim)...)
		}
		d.Ineligible = append(d.Ineligible, shown)
	}
	return nil
}

func writeDecisions(w io.Writer, list []admin.Decision) error {
	for _, d := range list {
		fmt.Fprintf(w, "request %s at %s\n  %s for plan %s on channel %s in %s, terms %s\n", d.Request, d.At.Format(time.RFC3339Nano), d.Model, d.Plan, d.Channel, d.Territory, short(d.Terms))
		if d.Attempt != "" {
			fmt.Fprintf(w, "  attempt %s\n", d.Attempt)
		}
		if d.Refused != "" {
			fmt.Fprintf(w, "  not sent: %s\n", d.Refused)
		}
		if len(d.Candidates) > 0 {
			fmt.Fprintln(w, "\n  candidates, in micro-units of the currency for this request at the margin:")
			t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "    pool\tverdict\tcost\t= price\t+ scarcity\t+ latency\tfloor's lambda\tcontract\t")
			for _, c := range d.Candidates {
				fmt.Fprintf(t, "    %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s (%s)\t\n", c.Pool, c.Verdict, micro(c.CostNano), micro(c.PriceNano), micro(c.ScarcityNano), micro(c.LatencyNano), share(c.LambdaPPM), c.Contract, c.Shape)
			}
			if err := t.Flush(); err != nil {
				return err
			}
		}
		if len(d.Ineligible) > 0 {
			fmt.Fprintln(w, "\n  could not serve, whatever the load:")
			for _, p := range d.Ineligible {
				fmt.Fprintf(w, "    %s: %s\n", p.Pool, p.Why)
				if p.Right != "" {
					fmt.Fprintf(w, "      right %s, claims %s\n", p.Right, strings.Join(p.Claims, ", "))
				}
			}
		}
		fmt.Fprintln(w)
	}
	return nil
}

// micro renders nano-units as micro-units.
func micro(nano int64) string {
	sign := ""
	if nano < 0 {
		sign, nano = "-", -nano
	}
	return fmt.Sprintf("%s%d.%03d", sign, nano/1000, nano%1000)
}

func share(ppm int64) string { return fmt.Sprintf("%d.%02d %%", ppm/10_000, ppm%10_000/100) }

func short(hash string) string { return hash[:min(12, len(hash))] }
