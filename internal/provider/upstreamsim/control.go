package upstreamsim

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// controlHandler serves everything that is not a provider's endpoint: /healthz,
// /script, /requests and /invoice.
func (s *Server) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /pools/{pool}/healthz", s.health)
	mux.HandleFunc("GET /script", s.showScript)
	mux.HandleFunc("POST /script", s.postScript)
	mux.HandleFunc("DELETE /script", func(w http.ResponseWriter, _ *http.Request) {
		s.script.Store(nil)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /requests", s.showRequests)
	mux.HandleFunc("DELETE /requests", func(w http.ResponseWriter, _ *http.Request) {
		s.recorder.clear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /invoice", s.showInvoice)
	// A page in a browser on the same machine must not be able to change the script.
	return http.NewCrossOriginProtection().Handler(mux)
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}

// ruleCount is the state of one rule in GET /script.
type ruleCount struct {
	Name    string `json:"name"`
	Matched int64  `json:"matched"`
	Fired   int64  `json:"fired"`
}

func (s *Server) showScript(w http.ResponseWriter, _ *http.Request) {
	counts := []ruleCount{}
	if l := s.script.Load(); l != nil {
		for i := range l.script.Rules {
			counts = append(counts, ruleCount{l.script.Rules[i].Name, l.matched[i].Load(), l.fired[i].Load()})
		}
	}
	writeJSON(w, map[string]any{"pools": s.poolNames(), "rules": counts})
}

func (s *Server) postScript(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxScriptBytes))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			http.Error(w, "the script is too large: move long bodies to a file that is given at the start", http.StatusRequestEntityTooLarge)
			return
		}
		http.Error(w, "the script did not arrive whole", http.StatusBadRequest)
		return
	}
	script, err := ParseScript("script", data)
	if err == nil {
		err = s.SetScript(script)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.opts.Logger.Info("script changed", "rules", len(script.Rules))
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) showRequests(w http.ResponseWriter, r *http.Request) {
	list := s.Requests()
	if pool := r.URL.Query().Get("pool"); pool != "" {
		list = slices.DeleteFunc(list, func(q RecordedRequest) bool { return q.Pool != pool })
	}
	writeJSON(w, list)
}

// showInvoice writes JSON lines, CSV (?format=csv or Accept) or sums (?format=totals).
func (s *Server) showInvoice(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	pool := query.Get("pool")
	if pool != "" && s.pools[pool] == nil {
		http.Error(w, "unknown pool: use one of "+strings.Join(s.poolNames(), ", "), http.StatusNotFound)
		return
	}
	format := query.Get("format")
	if format == "" && strings.Contains(r.Header.Get("Accept"), "text/csv") {
		format = "csv"
	}
	s.invoice.mu.Lock()
	dropped := s.invoice.dropped
	s.invoice.mu.Unlock()
	w.Header().Set("X-Invoice-Dropped", strconv.FormatInt(dropped, 10))
	var err error
	switch format {
	case "", "jsonl":
		w.Header().Set("Content-Type", "application/jsonl")
		var b []byte
		_, err = s.invoice.each(pool, func(l *Line) error {
			b = append(l.appendJSON(b[:0]), '\n')
			_, err := w.Write(b)
			return err
		})
	case "csv":
		err = s.invoiceCSV(w, pool)
	case "totals":
		writeJSON(w, s.Totals(pool))
	default:
		http.Error(w, "unknown format: use jsonl, csv or totals", http.StatusBadRequest)
	}
	if err != nil {
		s.opts.Logger.Warn("invoice not sent whole", "error", err)
		// Half an invoice must not look like a whole one.
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) invoiceCSV(w http.ResponseWriter, pool string) error {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	c := csv.NewWriter(w)
	if err := c.Write(csvHeader); err != nil {
		return err
	}
	if _, err := s.invoice.each(pool, func(l *Line) error { return c.Write(l.csv()) }); err != nil {
		return err
	}
	c.Flush()
	return c.Error()
}

// Totals gives the sums per pool and model since the invoice began, sorted; an
// empty name means all pools.
func (s *Server) Totals(pool string) []Total {
	s.invoice.mu.Lock()
	defer s.invoice.mu.Unlock()
	out := []Total{}
	for _, t := range s.invoice.totals {
		if pool == "" || t.Pool == pool {
			out = append(out, *t)
		}
	}
	slices.SortFunc(out, func(a, b Total) int {
		return strings.Compare(a.Pool+"\x00"+a.Model, b.Pool+"\x00"+b.Model)
	})
	return out
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	// A client that left needs no answer.
	_ = json.NewEncoder(w).Encode(v)
}
