package app

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Load is a number of like requests a minute, with the tokens of one of them:
// Input counts all input, of which Cached was read from a cache and CacheWrite
// written to one.
type Load struct {
	RequestsPerMinute, Input, Cached, CacheWrite, Output int64
}

// sized is the answer as JSON tells it.
type sized struct {
	Pool  alliance.PoolID  `json:"pool"`
	Model alliance.ModelID `json:"model"`
	contract.Size
	Has       int64  `json:"has_units_per_minute"`
	Unit      string `json:"unit,omitempty"`
	Bought    int64  `json:"bought,omitempty"`
	Output    int64  `json:"output_tokens_per_minute,omitempty"`
	HasOutput int64  `json:"has_output_tokens_per_minute,omitempty"`
	Fits      bool   `json:"fits"`
}

// SizeReservation tells what a load takes of a pool's throughput, and how many
// of the provider's units it needs. A load that does not fit is no error.
func SizeReservation(w io.Writer, path, pool, model string, l Load, asJSON bool) error {
	a, err := loadTerms(path)
	if err != nil {
		return err
	}
	p := a.Pool(alliance.PoolID(pool))
	if p == nil || p.TokensPerMinute == 0 {
		return ExitError{ExitUsage, fmt.Errorf("%q is no pool with tokens_per_minute: those of the file are %s", pool, throughputPools(a))}
	}
	pm := poolModel(p, model)
	if pm == nil {
		return ExitError{ExitUsage, fmt.Errorf("pool %s does not serve %q: its models are %s", pool, model, poolModels(p))}
	}
	u := usage.Vector{UncachedInput: l.Input - l.Cached - l.CacheWrite, CacheRead: l.Cached, CacheWrite: l.CacheWrite, Output: l.Output}
	if err := u.Check(); err != nil || l.RequestsPerMinute < 1 {
		return ExitError{ExitUsage, fmt.Errorf("no such load: at least 1 request a minute, and input that is no less than what is cached of it (%d of %d)", l.Cached+l.CacheWrite, l.Input)}
	}
	s := sized{Pool: p.ID, Model: pm.Model, Has: p.TokensPerMinute, HasOutput: p.OutputTokensPerMinute}
	if s.Size, err = contract.SizeOf(p, pm, u, l.RequestsPerMinute); err != nil {
		return ExitError{ExitUsage, fmt.Errorf("the load is too large to count: %w", err)}
	}
	s.Fits = s.PerMinute <= s.Has
	if p.OutputTokensPerMinute > 0 {
		s.Output = l.Output * l.RequestsPerMinute
		s.Fits = s.Fits && s.Output <= s.HasOutput
	}
	if b := p.BoughtAs; b != nil {
		s.Unit, s.Bought = b.Unit, b.Count
	}
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	return s.print(w, p, pm, l)
}

func (s *sized) print(w io.Writer, p *alliance.Pool, pm *alliance.PoolModel, l Load) error {
	in, write, read, out := contract.BurnWeights(pm)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "a request of %s burns\t%s units\t(weights: input %s, cache write %s, cache read %s, output %s)\n", s.Model, millionths(s.PerRequest), millionths(in), millionths(write), millionths(read), millionths(out))
	fmt.Fprintf(t, "%d requests a minute\t%d units a minute\tof %d that %s has\n", l.RequestsPerMinute, s.PerMinute, s.Has, p.ID)
	if s.HasOutput > 0 {
		fmt.Fprintf(t, "output, counted apart\t%d tokens a minute\tof %d\n", s.Output, s.HasOutput)
	}
	if b := p.BoughtAs; b != nil {
		fmt.Fprintf(t, "needed\t%d %s\t%d bought; %d tokens a minute each, at least %d, by %d\n", s.Units, b.Unit, b.Count, b.TokensPerMinute, b.Minimum, max(b.Increment, 1))
	}
	verdict := "fits"
	if !s.Fits {
		verdict = "does not fit: what is beyond goes to other pools, or is refused"
	}
	fmt.Fprintf(t, "averaged over\t%s\t%s\n", contract.Window(p), verdict)
	return t.Flush()
}

// millionths renders a number of millionths without a float.
func millionths(n int64) string {
	text := fmt.Sprintf("%d.%06d", n/contract.UseDivisor, n%contract.UseDivisor)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

func poolModel(p *alliance.Pool, model string) *alliance.PoolModel {
	for i := range p.Models {
		if string(p.Models[i].Model) == model || model == "" && len(p.Models) == 1 {
			return &p.Models[i]
		}
	}
	return nil
}

func poolModels(p *alliance.Pool) string {
	var ids []alliance.ModelID
	for i := range p.Models {
		ids = append(ids, p.Models[i].Model)
	}
	return joinIDs(ids)
}

func throughputPools(a *alliance.Alliance) string {
	var ids []alliance.PoolID
	for i := range a.Pools {
		if a.Pools[i].TokensPerMinute > 0 {
			ids = append(ids, a.Pools[i].ID)
		}
	}
	return joinIDs(ids)
}
