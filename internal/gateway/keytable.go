package gateway

import (
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/route"
)

// sum is the SHA-256 of a key's secret.
type sum = [32]byte

// keyTable finds keys by the SHA-256 of their secret: mostly with one read of
// memory, however many they are. A million keys have no pointer among them,
// because the collector follows every pointer again each time it runs, at the
// cost of the requests. It is immutable once it is made.
//
// Invariant: from the slot to which its hash points up to its own slot, no slot
// is empty, with the first one after the last.
type keyTable struct {
	seed    maphash.Seed
	slots   []keySlot // at most two thirds are taken
	owners  []principal
	longIDs []string
}

// keySlot has the place of one key, as large as a line of a processor's cache.
type keySlot struct {
	sum   sum
	owner uint32 // 1 + its place in keyTable.owners; 0: the slot is empty
	// idLen is the length of the id in id. 255: the first four bytes are its
	// place in keyTable.longIDs, little endian.
	idLen uint8
	id    [27]byte
}

const longID = 255

// principal is who asks: a key as the terms know it, without its SHA256. Those
// in keyTable.owners are what keys share that differ in nothing but id and
// secret, and have no ID either.
type principal struct {
	Key
	plan *alliance.Plan
	// share of the requests under way that the plan may fill, in ppm.
	share int64
	log   *alliance.RequestLog // what the tenant asked to have kept, or nil
}

// find writes the key with the sum to p, and reports whether there is one. What
// is compared is compared whole, and where a key stands depends on a secret of
// this process, so that no time says how much of a guess was right.
func (t *keyTable) find(s *sum, p *principal) bool {
	i := t.place(s)
	k := &t.slots[i]
	if k.owner == 0 {
		return false
	}
	*p = t.owners[k.owner-1]
	p.ID = t.id(k)
	return true
}

// place is where the key with the sum stands, or the empty slot where it would.
func (t *keyTable) place(s *sum) int {
	at, _ := bits.Mul64(maphash.Bytes(t.seed, s[:]), uint64(len(t.slots)))
	for i := int(at); ; {
		if k := &t.slots[i]; k.owner == 0 || subtle.ConstantTimeCompare(k.sum[:], s[:]) == 1 {
			return i
		}
		if i++; i == len(t.slots) {
			i = 0
		}
	}
}

func (t *keyTable) id(k *keySlot) alliance.KeyID {
	if k.idLen == longID {
		return alliance.KeyID(t.longIDs[binary.LittleEndian.Uint32(k.id[:])])
	}
	return alliance.KeyID(k.id[:k.idLen])
}

// maxKeys bounds the keys of one State: they take 1.6 GB.
const maxKeys = 1 << 24

// newKeyTable makes a table of the keys that have a SHA256, most at most.
func newKeyTable(a *alliance.Alliance, keys []Key, most int) (*keyTable, error) {
	if len(keys) > most {
		return nil, fmt.Errorf("%d keys are more than the %d that one gateway serves: split the terms between gateways", len(keys), most)
	}
	t := &keyTable{seed: maphash.MakeSeed(), slots: make([]keySlot, len(keys)+len(keys)/2+1)}
	in := interning{a: a, t: t, owners: map[ownerID]uint32{}}
	for i := range keys {
		if k := &keys[i]; k.SHA256 != "" {
			if err := t.add(k, &in); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

func (t *keyTable) add(k *Key, in *interning) error {
	var s sum
	var text [2 * len(s)]byte
	n := copy(text[:], k.SHA256)
	if _, err := hex.Decode(s[:], text[:]); err != nil || n != len(k.SHA256) {
		return fmt.Errorf("key %s: sha256 is not 64 hex digits", k.ID)
	}
	owner, err := in.owner(k)
	if err != nil {
		return err
	}
	to := &t.slots[t.place(&s)]
	if to.owner != 0 {
		return fmt.Errorf("keys %s and %s are the same secret: issue one anew", t.id(to), k.ID)
	}
	to.sum, to.owner = s, owner+1
	if len(k.ID) <= len(to.id) {
		to.idLen = uint8(copy(to.id[:], k.ID))
		return nil
	}
	to.idLen = longID
	binary.LittleEndian.PutUint32(to.id[:], uint32(len(t.longIDs)))
	t.longIDs = append(t.longIDs, strings.Clone(string(k.ID)))
	return nil
}

// interning finds what keys share while a table is made. Keys of one owner
// mostly follow each other.
type interning struct {
	a      *alliance.Alliance
	t      *keyTable
	owners map[ownerID]uint32
	latest uint32
}

// ownerID tells owners apart.
type ownerID struct {
	tenant                      alliance.TenantID
	plan                        alliance.PlanID
	channel                     alliance.ChannelID
	territory                   alliance.Territory
	trusted                     bool
	surface, territories, optIn string
}

func (in *interning) owner(k *Key) (uint32, error) {
	if len(in.t.owners) > 0 && sameOwner(&in.t.owners[in.latest].Key, k) {
		return in.latest, nil
	}
	id := ownerID{k.Tenant, k.Plan, k.Channel, k.Territory, k.Trusted, k.Surface, list(k.Territories), list(k.OptIn)}
	i, ok := in.owners[id]
	if !ok {
		o := principal{Key: *k, plan: in.a.Plan(k.Plan)}
		if o.plan == nil {
			return 0, fmt.Errorf("key %s: the plan %q is not in the terms", k.ID, k.Plan)
		}
		if t := in.a.Tenant(k.Tenant); t != nil {
			o.log = t.RequestLog
		}
		o.ID, o.SHA256, o.share = "", "", route.SharePPM(in.a, o.plan)
		i = uint32(len(in.t.owners))
		in.t.owners, in.owners[id] = append(in.t.owners, o), i
	}
	in.latest = i
	return i, nil
}

func sameOwner(a, b *Key) bool {
	return a.Tenant == b.Tenant && a.Plan == b.Plan && a.Channel == b.Channel && a.Territory == b.Territory && a.Trusted == b.Trusted && a.Surface == b.Surface &&
		slices.Equal(a.Territories, b.Territories) && slices.Equal(a.OptIn, b.OptIn)
}

// list writes names as one text that no other list has.
func list[T ~string](names []T) string {
	if len(names) == 0 {
		return ""
	}
	var s strings.Builder
	for _, n := range names {
		fmt.Fprintf(&s, "%d %s", len(n), n)
	}
	return s.String()
}
