package app

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/provider/upstream"
)

// Each kind of limit bites; one that is taken out of the code's reach is
// found out.
func TestDoctorLimits_FindsEveryLimitThatDoesNotBite(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for _, k := range limitKinds() {
		t.Run(string(k.plan), func(t *testing.T) {
			rig, err := newLimitRig(context.Background(), limitKinds(), now, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer rig.close()
			if problem := rig.drive(k); problem != "" {
				t.Errorf("it does not hold: %s", problem)
			}
			loose, err := newLimitRig(context.Background(), limitKinds(), now, func(a *alliance.Alliance) {
				for i := range a.Plans {
					a.Plans[i].Limits = alliance.Limits{}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer loose.close()
			if problem := loose.drive(k); !strings.Contains(problem, "were let through") {
				t.Errorf("without the limit the examination says %q", problem)
			}
		})
	}
	rig, err := newLimitRig(context.Background(), limitKinds(), now, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rig.close()
	if problem := rig.driveInFlight(); problem != "" {
		t.Errorf("max_in_flight does not hold: %s", problem)
	}
	loose, err := newLimitRig(context.Background(), limitKinds(), now, func(a *alliance.Alliance) { a.Pools[0].MaxInFlight = 10 * limitBurst })
	if err != nil {
		t.Fatal(err)
	}
	defer loose.close()
	if problem := loose.driveInFlight(); problem == "" {
		t.Error("a pool without a limit is not found out")
	}
}

func (d *doctor) has(about, state, says, do string) bool {
	for _, x := range d.list {
		if x.About == about && x.State == state && strings.Contains(x.Says, says) && strings.Contains(x.Do, do) {
			return true
		}
	}
	return false
}

func TestDoctor_NamesWhatEnded(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	until := func(text string) (d alliance.Date) {
		if err := d.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, row := range []struct {
		name   string
		change func(a *alliance.Alliance)
		state  string
		says   string
		do     string
	}{
		{"nothing", func(*alliance.Alliance) {}, stateFine, "may be served", ""},
		{"a right", func(a *alliance.Alliance) { a.Rights[0].Until = until("2026-05-01") }, stateWrong, "is refused since 2026-05-01, when right ", "accordo explain --file terms.yaml --model"},
		{"a contract", func(a *alliance.Alliance) { a.Contracts[0].Until = until("2026-05-02") }, stateWrong, "is refused since 2026-05-02, when contract ", "renew"},
		{"a price", func(a *alliance.Alliance) {
			for i := range a.Prices {
				a.Prices[i].Until = until("2026-05-03")
			}
		}, stateWrong, "is refused since 2026-05-03, when price ", "renew"},
		{"a right that will end", func(a *alliance.Alliance) { a.Rights[0].Until = until("2026-06-10") }, stateNote, "ends within 21 days", "--at 2026-06-22"},
		{"no right at all", func(a *alliance.Alliance) { a.Rights = nil }, stateNote, "offer what no pool may serve", "explain"},
	} {
		a, keys, err := (&limitRig{keys: map[alliance.PlanID]string{}}).terms(limitKinds()[:1])
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			a.Tenants = append(a.Tenants, alliance.Tenant{ID: alliance.TenantID(k.ID), Keys: []alliance.Key{k.Key}})
		}
		row.change(a)
		d := &doctor{o: DoctorOptions{File: "terms.yaml", Now: now}}
		d.offers(a.Build())
		if !d.has("rights", row.state, row.says, row.do) || row.state == stateFine && len(d.list) > 1 || len(d.list) > maxOffersShown+3 {
			t.Errorf("%s: %+v", row.name, d.list)
		}
	}
}

func TestDoctor_SaysWhatToDoAboutTLS(t *testing.T) {
	secured, plain := httptest.NewTLSServer(http.NotFoundHandler()), httptest.NewServer(http.NotFoundHandler())
	defer secured.Close()
	defer plain.Close()
	asking := httptest.NewUnstartedServer(http.NotFoundHandler())
	asking.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}
	asking.StartTLS()
	defer asking.Close()
	roots := secured.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for _, row := range []struct {
		name, address string
		o             upstream.Options
		do            string
	}{
		{"an unknown authority", secured.URL, upstream.Options{}, "endpoint's ca"},
		{"no TLS", strings.Replace(plain.URL, "http:", "https:", 1), upstream.Options{}, "there is no TLS at that port"},
		{"another name", strings.Replace(secured.URL, "127.0.0.1", "localhost", 1), upstream.Options{Roots: roots}, "write the name"},
		{"a client certificate", asking.URL, upstream.Options{Roots: roots}, "client_cert"},
	} {
		u, err := url.Parse(row.address)
		if err != nil {
			t.Fatal(err)
		}
		d := &doctor{o: DoctorOptions{Now: time.Now()}}
		if err := d.reach(t.Context(), "pool p", u, &row.o); err == nil || !d.has("pool p", stateWrong, "does not agree on TLS", row.do) {
			t.Errorf("%s: %v %+v", row.name, err, d.list)
		}
	}
}

// A clock that is behind what was recorded is wrong, and a data directory
// that is none is told from one that is not there yet.
func TestDoctor_ClockAndDirectory(t *testing.T) {
	data, err := datadir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	j, _, err := journal.Open(data.Journal(), journal.Options{Node: data.Node()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Start(t.Context(), "test", strings.Repeat("0", 64)); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	d := &doctor{o: DoctorOptions{Data: data.Path(), Now: time.Now().Add(-time.Hour)}}
	d.data(t.Context())
	if !d.has("clock", stateWrong, "later: the clock was set back", "NTP") {
		t.Errorf("an hour behind: %+v", d.list)
	}
	d = &doctor{o: DoctorOptions{Data: data.Path(), Now: time.Now()}}
	d.data(t.Context())
	if !d.has("clock", stateFine, "", "") || d.failed("clock") {
		t.Errorf("in time: %+v", d.list)
	}
	if err := data.Close(); err != nil {
		t.Fatal(err)
	}
	d = &doctor{o: DoctorOptions{Data: t.TempDir(), Now: time.Now()}}
	if d.data(t.Context()); !d.has("data", stateWrong, "is no data directory", "accordo up --data") {
		t.Errorf("%+v", d.list)
	}
}
