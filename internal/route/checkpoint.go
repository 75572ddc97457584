package route

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// checkpointVersion is the version of the form that Checkpoint writes.
const checkpointVersion = 1

// ErrCheckpoint reports a checkpoint that cannot be read; the router is as it
// was, and can start cold.
var ErrCheckpoint = errors.New("route: the checkpoint cannot be read: delete it to start cold")

type checkpoint struct {
	Version   int               `json:"version"`
	WindowEnd int64             `json:"window_end"`
	Den       float64           `json:"den"`
	Pools     []poolCheckpoint  `json:"pools"`
	Classes   []classCheckpoint `json:"classes"`
}

type poolCheckpoint struct {
	ID        alliance.PoolID `json:"id"`
	Left      int64           `json:"left"`
	Mu        float64         `json:"mu"`
	MuFirst   float64         `json:"mu_first"`
	Scale     float64         `json:"scale"`
	LambdaPPM int64           `json:"lambda_ppm"`
	TTFT      float64         `json:"ttft_seconds,omitempty"` // 0: not measured
	Failures  int             `json:"failures,omitempty"`
	Until     int64           `json:"until,omitempty"`
	FullUntil int64           `json:"full_until,omitempty"`
}

type classCheckpoint struct {
	Model     alliance.ModelID   `json:"model"`
	Variant   alliance.ModelID   `json:"variant,omitempty"`
	Plan      alliance.PlanID    `json:"plan"`
	Channel   alliance.ChannelID `json:"channel"`
	Territory alliance.Territory `json:"territory"`
	Bucket    uint16             `json:"bucket"`
	Sum       float64            `json:"sum"`
	SumInput  float64            `json:"sum_input"`
	SumOutput float64            `json:"sum_output"`
}

// Checkpoint returns prices, learned rates and health in a versioned form.
// Requests in flight are not part of it: a new process has none.
func (r *Router) Checkpoint() []byte {
	c := checkpoint{Version: checkpointVersion, WindowEnd: r.windowEnd, Den: r.den}
	for i := range r.pools {
		p := &r.pools[i]
		x := poolCheckpoint{
			ID: p.terms.ID, Left: p.left, Mu: p.mu, MuFirst: p.muFirst, Scale: p.scale, LambdaPPM: p.lambda,
			Failures: p.health.failures, Until: p.health.until, FullUntil: p.health.fullUntil,
		}
		if p.measured {
			x.TTFT = p.ttft
		}
		c.Pools = append(c.Pools, x)
	}
	for _, k := range r.order {
		for _, x := range r.sets[k].classes {
			c.Classes = append(c.Classes, classCheckpoint{k.model, k.variant, k.plan, k.channel, k.territory, x.bucket, x.sum + x.count, x.sumI + x.in, x.sumO + x.out})
		}
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("route: a price is not a number: %v", err))
	}
	return b
}

// Restore takes over a checkpoint; pools that are not in the terms are left
// out. It returns ErrCheckpoint, and changes nothing, when b is not one.
func (r *Router) Restore(b []byte) error {
	var c checkpoint
	if err := json.Unmarshal(b, &c); err != nil {
		return fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if c.Version != checkpointVersion {
		return fmt.Errorf("%w: it has version %d, this program reads %d", ErrCheckpoint, c.Version, checkpointVersion)
	}
	if err := c.check(); err != nil {
		return err
	}
	for _, x := range c.Pools {
		i, ok := r.index[x.ID]
		if !ok {
			continue
		}
		p := &r.pools[i]
		p.mu, p.muFirst, p.scale, p.lambda = x.Mu, x.MuFirst, x.Scale, x.LambdaPPM
		p.health = health{failures: x.Failures, until: x.Until, fullUntil: x.FullUntil}
		p.health.close()
		if x.TTFT > 0 {
			p.ttft, p.measured = x.TTFT, true
		}
		if c.WindowEnd == r.windowEnd {
			p.left = min(p.left, x.Left)
			p.setRoom()
		}
		r.margin(p)
	}
	r.den = c.Den
	for _, x := range c.Classes {
		k := key{x.Model, x.Variant, x.Plan, x.Channel, x.Territory}
		s := r.sets[k]
		if s == nil {
			if len(r.order) >= MaxSets || r.classes >= MaxClasses {
				break
			}
			s = &set{key: k}
			r.sets[k] = s
			r.order = append(r.order, k)
		}
		if s.byBucket[x.Bucket] == 0 && r.classes < MaxClasses {
			r.classes++
			s.classes = append(s.classes, class{bucket: x.Bucket, sum: x.Sum, sumI: x.SumInput, sumO: x.SumOutput})
			s.byBucket[x.Bucket] = uint16(len(s.classes))
		}
	}
	return nil
}

// check refuses figures that no router wrote.
func (c *checkpoint) check() error {
	good := func(list ...float64) bool {
		return !slices.ContainsFunc(list, func(x float64) bool { return !(x >= 0 && x < math.MaxFloat64/1e6) })
	}
	for _, x := range c.Pools {
		if !good(x.Mu, x.MuFirst, x.Scale, x.TTFT) || x.LambdaPPM < 0 || x.LambdaPPM > 1_000_000 || x.Failures < 0 {
			return fmt.Errorf("%w: pool %s has impossible figures", ErrCheckpoint, x.ID)
		}
	}
	for _, x := range c.Classes {
		if !good(x.Sum, x.SumInput, x.SumOutput) || x.Bucket >= buckets {
			return fmt.Errorf("%w: a class of %s has impossible figures", ErrCheckpoint, x.Model)
		}
	}
	if !good(c.Den) {
		return fmt.Errorf("%w: impossible time of learning", ErrCheckpoint)
	}
	return nil
}
