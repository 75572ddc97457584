package app

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/datadir"
)

// routeCheckpoint is the router's file in the data directory.
const routeCheckpoint = "route.json"

func (s *server) url(l net.Listener) string {
	scheme := "http"
	if s.o.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + l.Addr().String()
}

// announce prints where things are, the keys that were issued, and who stands
// in for whom.
func (s *server) announce(l listenerPair) {
	a := s.terms.Load().Alliance()
	out := s.o.Out
	fmt.Fprintf(out, "\n%s: %d pools, %d contracts, %d rights. Terms %s.\n", a.Title, len(a.Pools), len(a.Contracts), len(a.Rights), a.Hash[:12])
	if s.simulated != "" {
		fmt.Fprintln(out, s.simulated)
	}
	if a.Notice != "" {
		fmt.Fprintf(out, "%s\n", strings.TrimSpace(a.Notice))
	}
	for i, pools := range s.byStandIn(a) {
		if i == 0 {
			fmt.Fprintln(out, "\nStand-ins: these pools' providers are not called.")
		}
		fmt.Fprintf(out, "  %s\n    %s\n", pools.says, strings.Join(pools.ids, ", "))
	}
	fmt.Fprintf(out, "\n  Console      %s/login?token=%s\n  API          %s/v1\n  Admin token  %s\n", s.url(l.admin), s.adminToken, s.url(l.api), s.adminToken)
	s.showKeys()
	if len(s.fresh) > 0 {
		fmt.Fprintf(out, "\n  curl %s/v1/chat/completions -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' \\\n    -d '{\"model\": \"%s\", \"messages\": [{\"role\": \"user\", \"content\": \"What is the capital of France?\"}]}'\n",
			s.url(l.api), s.fresh[0].Secret, s.firstModel(a))
	}
	fmt.Fprintln(out, "\nCtrl-C stops.")
}

// showKeys prints the keys that were made just now and keeps their hashes, so
// that the next start knows them; the keys themselves are not kept.
func (s *server) showKeys() {
	for _, k := range s.fresh {
		fmt.Fprintf(s.o.Out, "  API key      %s   (%s)\n", k.Secret, k.ID)
		if k.fact == nil {
			continue
		}
		if err := s.dir.AppendFact(datadir.Fact{At: time.Now().UnixNano(), KeyIssued: k.fact}); err != nil {
			s.o.Log.Error("the key works until the program ends; the next start makes another", "key", k.ID, "error", err)
		}
	}
}

// firstModel is a model that the first issued key may chat with.
func (s *server) firstModel(a *alliance.Alliance) string {
	if k, _ := a.Key(s.fresh[0].ID); k != nil {
		if names := chatModels(a, a.Plan(k.Plan)); len(names) > 0 {
			return names[0]
		}
	}
	return "MODEL"
}

// standInPools are the pools for which one thing answers.
type standInPools struct {
	says string
	ids  []string
}

func (s *server) byStandIn(a *alliance.Alliance) (list []standInPools) {
	for i := range a.Pools {
		p := &a.Pools[i]
		_, _, says := s.standIns.endpoint(p)
		if says == "" {
			continue
		}
		j := 0
		for j < len(list) && list[j].says != says {
			j++
		}
		if j == len(list) {
			list = append(list, standInPools{says: says})
		}
		list[j].ids = append(list[j].ids, string(p.ID))
	}
	return list
}
