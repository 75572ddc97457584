package top

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

const (
	// askTime bounds one question.
	askTime = 10 * time.Second
	// maxAnswer bounds one answer in bytes.
	maxAnswer = 32 << 20
	// newest is how many requests are asked for.
	newest = 100
)

// client asks the admin API.
type client struct {
	base  string
	token string
	http  *http.Client
}

func newClient(o Options) (*client, error) {
	u, err := url.Parse(o.Admin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no address of an operator's listener: write http://127.0.0.1:8081", o.Admin)
	}
	if o.Token == "" {
		return nil, errors.New("no token: set ACCORDO_ADMIN_TOKEN to the admin token that `accordo up` printed, or give a file of it with --token-file; `accordo access new NAME --role operator` makes another")
	}
	t := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots}, MaxIdleConnsPerHost: 1}
	return &client{strings.TrimRight(u.Scheme+"://"+u.Host+u.Path, "/"), o.Token, &http.Client{
		Transport: t, Timeout: askTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token goes nowhere else
	}}, nil
}

// sample is what the process said at one time.
type sample struct {
	at        time.Time
	overview  overview
	pools     []pool
	contracts []contract
	balances  []balance
	requests  []request
	metrics   map[string]*dto.MetricFamily
}

type overview struct {
	Title, Notice, Version string
	Started                time.Time
	Requests, Lag          uint64
	Problems               []string
}

type pool struct {
	ID          string        `json:"id"`
	Contract    string        `json:"contract"`
	InFlight    int64         `json:"in_flight"`
	MaxInFlight int64         `json:"max_in_flight"`
	LoadPPM     int64         `json:"load_ppm"`
	Healthy     bool          `json:"healthy"`
	Reason      string        `json:"reason"`
	Mu          int64         `json:"mu"`
	LambdaPPM   int64         `json:"lambda_ppm"`
	TTFT        time.Duration `json:"ttft_ns"`
}

type contract struct {
	ID            string       `json:"id"`
	Shape         string       `json:"shape"`
	Currency      string       `json:"currency"`
	IntervalFrom  string       `json:"interval_from"`
	IntervalUntil string       `json:"interval_until"`
	Floor         money.Amount `json:"floor"`
	Fee           money.Amount `json:"fee"`
	Burnt         money.Amount `json:"burnt"`
	BurntTotal    money.Amount `json:"burnt_total"`
	LambdaPPM     int64        `json:"lambda_ppm"`
}

type balance struct {
	Account string       `json:"account"`
	Asset   string       `json:"asset"`
	Amount  money.Amount `json:"amount"`
}

type request struct {
	ID       string        `json:"id"`
	At       time.Time     `json:"at"`
	Plan     string        `json:"plan"`
	Asked    string        `json:"asked"`
	Pool     string        `json:"pool"`
	HTTP     int           `json:"http"`
	Status   string        `json:"status"`
	Reason   string        `json:"reason"`
	Tokens   usage.Vector  `json:"tokens"`
	Cost     money.Amount  `json:"cost"`
	TTFT     time.Duration `json:"ttft_ns"`
	Duration time.Duration `json:"duration_ns"`
}

// sample asks for everything that a frame shows.
func (c *client) sample(ctx context.Context) (*sample, error) {
	s := &sample{at: time.Now()}
	err := c.ask(ctx, "/metrics", func(r io.Reader) (err error) {
		p := expfmt.NewTextParser(model.UTF8Validation)
		s.metrics, err = p.TextToMetricFamilies(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, q := range []struct {
		path string
		into any
	}{
		{"/api/overview", &s.overview},
		{"/api/pools", &s.pools},
		{"/api/contracts", &s.contracts},
		{"/api/balances", &s.balances},
		{fmt.Sprintf("/api/requests?limit=%d", newest), &s.requests},
	} {
		if err := c.ask(ctx, q.path, func(r io.Reader) error { return json.NewDecoder(r).Decode(q.into) }); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// ask reads one answer, or says what to change.
func (c *client) ask(ctx context.Context, path string, read func(io.Reader) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("nothing answers at %s: %w (is `accordo up` running? its --admin-listen is what --admin takes)", c.base, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return fmt.Errorf("%s does not know this token: `accordo up` prints a new admin token at every start; `accordo access new NAME --role operator` makes one that stays", c.base)
	case http.StatusForbidden:
		return fmt.Errorf("this token may not see %s: use an operator's", path)
	case http.StatusTooManyRequests:
		return fmt.Errorf("%s has got too many wrong tokens from this address: try again in %s s", c.base, resp.Header.Get("Retry-After"))
	default:
		return fmt.Errorf("%s%s answers with status %d: is it the operator's listener of accordo?", c.base, path, resp.StatusCode)
	}
	if err := read(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return fmt.Errorf("%s%s answers with something else than expected: %w (is it the operator's listener of accordo, in this version?)", c.base, path, err)
	}
	return nil
}
