package alliance

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// What is packed reads as before, and what keys say alike is one text.
func TestPackKeys_ChangesNothingThatIsRead(t *testing.T) {
	made := func() *Alliance {
		a := &Alliance{Tenants: make([]Tenant, 3)}
		for i := range 2000 {
			t := &a.Tenants[i%2]
			t.Keys = append(t.Keys, Key{
				ID: KeyID(fmt.Sprint("key-", i)), SHA256: strings.Repeat(fmt.Sprintf("%08x", i), 8), Plan: PlanID(fmt.Sprint("plan-", i%2)),
				Channel: ChannelID(fmt.Sprint("a", "pi")), Territory: Territory(fmt.Sprint("U", "S")), Surface: fmt.Sprint("we", "b"), Territories: []Territory{"DE"},
			})
		}
		a.Tenants[0].Keys = append(a.Tenants[0].Keys, Key{}, Key{ID: KeyID(strings.Repeat("long", packBytes))})
		return a
	}
	a := made()
	a.PackKeys()
	if diff := cmp.Diff(made().Tenants, a.Tenants); diff != "" {
		t.Fatal(diff)
	}
	first, second := a.Tenants[0].Keys[0], a.Tenants[0].Keys[1]
	for _, pair := range [][2]string{{string(first.Plan), string(second.Plan)}, {string(first.Channel), string(second.Channel)}, {string(first.Territory), string(second.Territory)}, {first.Surface, second.Surface}} {
		if unsafe.StringData(pair[0]) != unsafe.StringData(pair[1]) {
			t.Errorf("%q is there twice", pair[0])
		}
	}
	if end := unsafe.Add(unsafe.Pointer(unsafe.StringData(string(first.ID))), len(first.ID)); end != unsafe.Pointer(unsafe.StringData(first.SHA256)) {
		t.Error("an id and its hash do not lie together")
	}
}
