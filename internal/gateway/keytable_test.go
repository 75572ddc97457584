package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
)

func keyTerms() *alliance.Alliance {
	a := &alliance.Alliance{
		Plans:   []alliance.Plan{{ID: "open", Priority: alliance.Critical}, {ID: "later", Priority: alliance.Background}},
		Tenants: []alliance.Tenant{{ID: "acme", RequestLog: &alliance.RequestLog{}}, {ID: "other"}},
	}
	return a.Build()
}

func keyNumber(i int) Key {
	s := sha256.Sum256(fmt.Append(nil, "secret ", i))
	return Key{Tenant: "acme", Key: alliance.Key{ID: alliance.KeyID(fmt.Sprint("key-", i)), SHA256: hex.EncodeToString(s[:]), Plan: "open", Channel: "api", Territory: "US"}}
}

func sumOf(k Key) (s sum) {
	_, _ = hex.Decode(s[:], []byte(k.SHA256))
	return s
}

// Whoever asks is the key of the terms in every field, whatever the other keys
// share with it.
func TestKeyTable_FindsEveryKeyAsTheTermsHaveIt(t *testing.T) {
	a := keyTerms()
	var keys []Key
	change := func(f func(k *Key)) {
		k := keyNumber(len(keys))
		f(&k)
		keys = append(keys, k)
	}
	for range 3000 {
		change(func(*Key) {})
		change(func(k *Key) { k.Tenant = "other" })
		change(func(k *Key) { k.Plan = "later" })
	}
	change(func(k *Key) { k.Tenant = "nobody" })
	change(func(k *Key) { k.Trusted, k.Territories = true, []alliance.Territory{"US", "DE"} })
	change(func(k *Key) { k.Trusted, k.Territories = true, []alliance.Territory{"USDE"} })
	change(func(k *Key) { k.Trusted, k.Territories = true, []alliance.Territory{"US2 DE"} })
	change(func(k *Key) { k.OptIn = []alliance.ModelID{"asst"} })
	change(func(k *Key) { k.Channel, k.Surface, k.Territory = "web", "page", "FR" })
	change(func(k *Key) { k.ID = "" })
	for _, n := range []int{26, 27, 28, 255, 256, 70_000} {
		change(func(k *Key) { k.ID = alliance.KeyID(strings.Repeat("k", n)) })
	}
	unused := keyNumber(len(keys))
	unused.SHA256 = ""
	table, err := newKeyTable(a, append(keys, unused), maxKeys)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		s := sumOf(k)
		var p principal
		if !table.find(&s, &p) {
			t.Fatalf("key %s is not found", k.ID)
		}
		k.SHA256 = ""
		if diff := cmp.Diff(k, p.Key); diff != "" {
			t.Fatal(diff)
		}
		share := int64(1_000_000)
		if k.Plan == "later" {
			share = table.owners[2].share
		}
		if p.plan != a.Plan(k.Plan) || p.share != share || (p.log != nil) != (k.Tenant == "acme") {
			t.Fatalf("key %s has plan %v, share %d, log %v", k.ID, p.plan, p.share, p.log)
		}
	}
	if s := table.owners[2].share; s <= 0 || s >= 1_000_000 {
		t.Errorf("a background plan may fill %d ppm", s)
	}
}

// A guess that is wrong in one bit is as wrong as any other, in a table of any
// size, and leaves who asks as it was.
func TestKeyTable_DoesNotFindWhatIsNotThere(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 64, 1000} {
		var keys []Key
		for i := range n {
			keys = append(keys, keyNumber(i))
		}
		table, err := newKeyTable(keyTerms(), keys, maxKeys)
		if err != nil {
			t.Fatal(err)
		}
		wrong := []sum{{}, sumOf(keyNumber(n))}
		for _, k := range keys {
			for _, at := range []int{0, 7, 8, 15, 31} {
				s := sumOf(k)
				s[at] ^= 1
				wrong = append(wrong, s)
			}
		}
		for _, s := range wrong {
			var p principal
			if table.find(&s, &p) || p.ID != "" || p.plan != nil {
				t.Fatalf("of %d keys %x finds %+v", n, s, p)
			}
		}
	}
}

func TestKeyTable_RefusesKeysThatCannotServe(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(k *Key)
		want   string
	}{
		{"too short", func(k *Key) { k.SHA256 = k.SHA256[:62] }, "key key-1: sha256 is not 64 hex digits"},
		{"odd", func(k *Key) { k.SHA256 = k.SHA256[:63] }, "key key-1: sha256 is not 64 hex digits"},
		{"too long", func(k *Key) { k.SHA256 += "00" }, "key key-1: sha256 is not 64 hex digits"},
		{"no digits", func(k *Key) { k.SHA256 = strings.Repeat("x", 64) }, "key key-1: sha256 is not 64 hex digits"},
		{"no such plan", func(k *Key) { k.Plan = "gone" }, `key key-1: the plan "gone" is not in the terms`},
		{"the secret of another", func(k *Key) { k.SHA256 = strings.ToUpper(keyNumber(0).SHA256) }, "keys key-0 and key-1 are the same secret: issue one anew"},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := keyNumber(1)
			row.change(&k)
			_, err := newKeyTable(keyTerms(), []Key{keyNumber(0), k}, maxKeys)
			if err == nil || err.Error() != row.want {
				t.Errorf("%v, not %s", err, row.want)
			}
		})
	}
}

func TestKeyTable_HasALimit(t *testing.T) {
	keys := []Key{keyNumber(0), keyNumber(1), keyNumber(2)}
	if _, err := newKeyTable(keyTerms(), keys[:2], 2); err != nil {
		t.Error(err)
	}
	if _, err := newKeyTable(keyTerms(), keys, 2); err == nil || !strings.HasPrefix(err.Error(), "3 keys are more than the 2") {
		t.Error(err)
	}
}

// What a million keys cost is what the collector need not follow: nothing in
// the place of a key is a pointer, and it lies in one line of a cache.
func TestKeyTable_CostsTheCollectorNothing(t *testing.T) {
	typ := reflect.TypeFor[keySlot]()
	if typ.Size() != 64 {
		t.Errorf("the place of a key has %d bytes", typ.Size())
	}
	for i := range typ.NumField() {
		of := typ.Field(i).Type
		for of.Kind() == reflect.Array {
			of = of.Elem()
		}
		if k := of.Kind(); k != reflect.Uint8 && k != reflect.Uint32 {
			t.Errorf("%s is a %s", typ.Field(i).Name, k)
		}
	}
	keys := make([]Key, 0, 1000)
	for i := range cap(keys) {
		keys = append(keys, keyNumber(i))
	}
	table, err := newKeyTable(keyTerms(), keys, maxKeys)
	if err != nil {
		t.Fatal(err)
	}
	if len(table.owners) != 1 || len(table.longIDs) != 0 {
		t.Errorf("a thousand alike have %d owners and %d long ids", len(table.owners), len(table.longIDs))
	}
	s, p := sumOf(keys[500]), new(principal)
	if n := testing.AllocsPerRun(100, func() { table.find(&s, p) }); n > 1 {
		t.Errorf("finding a key allocates %v times", n)
	}
}

// BenchmarkKeyTable finds a thousand keys that have traffic among many.
func BenchmarkKeyTable(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprint("keys=", n), func(b *testing.B) {
			keys := make([]Key, 0, n)
			for i := range n {
				keys = append(keys, keyNumber(i))
			}
			table, err := newKeyTable(keyTerms(), keys, maxKeys)
			if err != nil {
				b.Fatal(err)
			}
			active := make([]sum, 1000)
			for i := range active {
				active[i] = sumOf(keys[i*(n/1000)])
			}
			keys = nil
			b.ReportAllocs()
			var p principal
			for i := 0; b.Loop(); i++ {
				if !table.find(&active[i%1000], &p) {
					b.Fatal("not found")
				}
			}
		})
	}
}
