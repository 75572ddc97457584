package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/request"
	"github.com/accordo-ai/accordo/internal/route"
)

// serveModels lists what the key may use now, or describes one of it.
func (c *call) serveModels(id string) {
	defer c.close()
	c.Asked, c.row.Asked = id, id
	entries := c.visible()
	var body []byte
	if id == "" {
		body = append(body, `{"object":"list","data":[`...)
		for i, e := range entries {
			if i > 0 {
				body = append(body, ',')
			}
			body = e.append(body)
		}
		body = append(body, "]}"...)
	} else {
		i := slices.IndexFunc(entries, func(e entry) bool { return e.id == id })
		if i < 0 {
			c.refuse(openai.NoModel(id))
			return
		}
		body = entries[i].append(body)
	}
	c.wrote, c.row.Status = true, http.StatusOK
	h := c.w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.boundWrite()
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(body)
}

// entry is one model of the list.
type entry struct {
	id, owner string
	created   int64
	embedding bool
}

func (e entry) append(dst []byte) []byte {
	dst = append(append(dst, `{"id":`...), openai.QuoteModel(e.id)...)
	dst = strconv.AppendInt(append(dst, `,"object":"model","created":`...), e.created, 10)
	dst = append(append(dst, `,"owned_by":`...), openai.QuoteModel(e.owner)...)
	return append(dst, '}')
}

// visible are the models, families and variants that the key's plan offers
// and that some pool may serve to it; chat models come first.
func (c *call) visible() []entry {
	a := c.st.a
	var list []entry
	add := func(id alliance.ModelID, m *alliance.Model, v *alliance.Variant, created int64) {
		if c.servable(m, v) {
			list = append(list, entry{string(id), string(m.Owner), max(created, 0), m.Kind == "embedding"})
		}
	}
	for i := range a.Variants {
		v := &a.Variants[i]
		if m, _, _, ok := a.Resolve(v.ID, c.At); ok && c.offered(m, v) {
			add(v.ID, m, v, 0)
			for _, f := range v.Flows {
				add(v.ID+":"+alliance.ModelID(f.ID), m, v, 0)
			}
		}
	}
	for i := range a.Families {
		f := &a.Families[i]
		if m, _, _, ok := a.Resolve(f.ID, c.At); ok && c.offered(m, nil) {
			add(f.ID, m, nil, f.Members[0].From.Unix())
		}
	}
	for i := range a.Models {
		if m := &a.Models[i]; c.offered(m, nil) {
			add(m.ID, m, nil, 0)
		}
	}
	slices.SortStableFunc(list, func(x, y entry) int {
		return strings.Compare(order(x), order(y))
	})
	return list
}

// offered reports whether the key's plan has the model, or the variant, here.
func (c *call) offered(m *alliance.Model, v *alliance.Variant) bool {
	w := request.Where{Territory: c.Territory, Surface: c.Surface, OptedIn: v != nil && slices.Contains(c.Key.OptIn, v.ID), At: c.At}
	verdict := request.Judge(c.st.a, c.Plan, m, v, w)
	return verdict.Offered()
}

func order(e entry) string {
	if e.embedding {
		return "1"
	}
	return "0"
}

// servable reports whether some pool may serve the model to this key now,
// whatever its load.
func (c *call) servable(m *alliance.Model, v *alliance.Variant) bool {
	q := route.Request{Model: m.ID, Plan: c.Plan.ID, Channel: c.Key.Channel, Territory: c.Territory, Kind: m.Kind}
	if v != nil {
		q.Variant = v.ID
	}
	return c.g.listed.servable(c.At, c.st, &q, func() bool {
		c.g.routing.Lock()
		defer c.g.routing.Unlock()
		return len(c.g.router.Explain(c.At, c.At, &q).Candidates) > 0
	})
}

// The bounds of what is remembered for lists of models.
const (
	// ListedFor is how long an answer may be behind a right, a price or a
	// contract that begins or ends. Newer terms are heeded at once.
	ListedFor = 5 * time.Second
	// MaxListed answers are remembered.
	MaxListed = 4096
)

// listed remembers which models have a pool for whom, so that however many
// lists are asked for, routing is disturbed once in ListedFor for each model.
type listed struct {
	mu    sync.Mutex
	terms *compiled
	known map[listedKey]listedAnswer
}

type listedKey struct {
	model, variant alliance.ModelID
	plan           alliance.PlanID
	channel        alliance.ChannelID
	territory      alliance.Territory
}

type listedAnswer struct {
	ok    bool
	until time.Time
}

// servable is what is remembered of q under the terms, or what find says: one
// at a time asks it.
func (l *listed) servable(now time.Time, terms *compiled, q *route.Request, find func() bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.terms != terms || len(l.known) >= MaxListed {
		l.terms, l.known = terms, map[listedKey]listedAnswer{}
	}
	k := listedKey{q.Model, q.Variant, q.Plan, q.Channel, q.Territory}
	if a, ok := l.known[k]; ok && now.Before(a.until) {
		return a.ok
	}
	a := listedAnswer{find(), now.Add(ListedFor)}
	l.known[k] = a
	return a.ok
}
