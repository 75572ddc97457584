package gateway_test

import (
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
	"github.com/accordo-ai/accordo/internal/quota"
)

// A pool may be given hours for one answer: the hold lasts as long.
func TestAdmit_HoldsForAsLongAsThePoolMayTake(t *testing.T) {
	h := start(t, setup{pools: []string{"a"}, change: func(a *alliance.Alliance, _ map[alliance.PoolID]string) {
		a.Pools[0].Endpoint.TotalMS = (3 * time.Hour).Milliseconds()
	}})
	h.script(upstreamsim.Rule{Action: upstreamsim.Action{StallFirstByte: 200 * time.Millisecond}})
	done := make(chan int, 1)
	go func() {
		resp, _ := h.chat("sk-small", hello)
		done <- resp.StatusCode
	}()
	held := func() (n int) {
		h.g.WithQuota(func(b *quota.Book) { _, n = b.Len() })
		return n
	}
	waitFor(h, func() bool { return held() == 1 })
	h.g.WithQuota(func(b *quota.Book) {
		if n := b.Expire(time.Now().Add(150 * time.Minute)); n != 0 {
			t.Errorf("%d holds expire before their request must end", n)
		}
	})
	if status := <-done; status != 200 {
		t.Errorf("status %d", status)
	}
	h.noHolds()
}
