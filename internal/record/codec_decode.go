package record

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/accordo-ai/accordo/internal/usage"
)

// Decode reads one record that fills b exactly; the record does not refer to
// b. It accepts canonical bytes only: appending what it returns gives b again.
func Decode(b []byte) (Record, error) { return (*Memory)(nil).Decode(b) }

// Decode is the function of that name, except that the record is valid until
// Reset only.
func (m *Memory) Decode(b []byte) (Record, error) {
	if len(b) > MaxBytes {
		return Record{}, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(b), MaxBytes)
	}
	if len(b) > 0 && b[0] > version1 {
		return Record{}, fmt.Errorf("%w: version %d, this program reads up to %d: use a newer accordo", ErrNewer, b[0], version1)
	}
	d := decoder{s: string(b), m: m}
	if v := d.byte(); v != version1 {
		d.fail("a version of 0")
	}
	r := Record{Kind: Kind(d.byte()), Sequence: d.uvarint(), At: d.fixed()}
	switch r.Kind {
	case KindIntent:
		r.Intent = d.intent()
	case KindOutcome:
		r.Outcome = d.outcome()
	case KindMark:
		r.Mark = &Mark{}
	case KindStart:
		r.Start = &Start{Version: d.text(), Terms: d.text(), Node: d.text()}
	case KindRefusal:
		r.Refusal = d.refusal()
	default:
		d.fail("an unknown kind")
	}
	if d.err == nil && d.at != len(d.s) {
		d.fail("bytes after its end")
	}
	if d.err != nil {
		return Record{}, d.err
	}
	return r, nil
}

// decoder reads fields in order. After a fault every read gives zero, so that
// only the end has to look at err. It works on one string, of which the texts
// are parts: one allocation instead of one per text.
type decoder struct {
	s   string
	at  int
	err error
	m   *Memory
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s at byte %d", ErrMalformed, what, d.at)
	}
	d.s, d.at = "", 0
}

func (d *decoder) byte() byte {
	if d.at >= len(d.s) {
		d.fail("its end is missing")
		return 0
	}
	d.at++
	return d.s[d.at-1]
}

func (d *decoder) fixed() int64 {
	if len(d.s)-d.at < 8 {
		d.fail("its end is missing")
		return 0
	}
	var n uint64
	for i := range 8 {
		n |= uint64(d.s[d.at+i]) << (8 * i)
	}
	d.at += 8
	return int64(n)
}

func (d *decoder) uvarint() uint64 {
	var n uint64
	for shift := 0; ; shift += 7 {
		c := d.byte()
		if d.err != nil {
			return 0
		}
		if shift == 63 && c > 1 {
			d.fail("a number beyond 64 bits")
			return 0
		}
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if c == 0 && shift > 0 {
				d.fail("a number longer than it need be")
				return 0
			}
			return n
		}
	}
}

func (d *decoder) varint() int64 {
	n := d.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *decoder) text() string {
	tag := d.uvarint()
	if tag>>1 > MaxText {
		d.fail("a text beyond the limit")
		return ""
	}
	n, packed := int(tag>>1), tag&1 == 1
	if packed && (n < minPacked/2 || n > MaxText/2) {
		d.fail("a packed text out of its limits")
		return ""
	}
	if len(d.s)-d.at < n {
		d.fail("its end is missing")
		return ""
	}
	s := d.s[d.at : d.at+n]
	d.at += n
	if packed {
		return d.unpack(s)
	}
	if packs(s) {
		d.fail("a text that had to be packed")
		return ""
	}
	return s
}

// unpack returns the hexadecimal digits of s. The hash of the terms stands in
// every intent: it is made once.
func (d *decoder) unpack(s string) string {
	hash := d.m != nil && len(s) == sha256.Size
	if hash && s == d.m.packed {
		return d.m.hash
	}
	var room [2 * sha256.Size]byte
	text := string(hex.AppendEncode(room[:0], []byte(s)))
	if hash {
		d.m.packed, d.m.hash = s, text
	}
	return text
}

func (d *decoder) bool() bool {
	b := d.byte()
	if b > 1 {
		d.fail("a truth value that is neither 0 nor 1")
	}
	return b == 1
}

func (d *decoder) usage() usage.Vector {
	return usage.Vector{UncachedInput: d.varint(), CacheRead: d.varint(), CacheWrite: d.varint(), Output: d.varint(), Reasoning: d.varint()}
}

func (d *decoder) intent() *Intent {
	room := d.m.intent()
	i := &room.Intent
	*i = Intent{Attempt: AttemptID(d.text()), Request: d.text()}
	n := d.varint()
	if n != int64(int32(n)) {
		d.fail("an attempt number beyond 32 bits")
	}
	i.Number = int32(n)
	i.Decision = d.uvarint()
	for _, to := range [...]*string{
		&i.Terms, &i.Tenant, &i.Key, &i.Plan, &i.Channel, &i.Territory, &i.EndUser,
		&i.Model, &i.Variant, &i.Pool, &i.Contract, &i.Right, &i.CostPrice, &i.SalePrice,
	} {
		*to = d.text()
	}
	i.Estimate = d.usage()
	i.Stream = d.bool()
	if i.Considered = d.considered(room.considered); i.Considered != nil {
		room.considered = i.Considered
	}
	return i
}

func (d *decoder) outcome() *Outcome {
	o := d.m.outcome()
	*o = Outcome{Attempt: AttemptID(d.text()), Intent: d.uvarint(), Observation: d.uvarint(), Status: Status(d.byte())}
	if d.err == nil && (o.Status < Served || o.Status > Abandoned) {
		d.fail("an unknown status")
	}
	o.Usage = d.usage()
	o.Tier, o.Upstream, o.Version, o.Reason = d.text(), d.text(), d.text(), d.text()
	o.TTFT, o.Duration = d.varint(), d.varint()
	return o
}

func (d *decoder) refusal() *Refusal {
	f := &Refusal{}
	for _, to := range [...]*string{
		&f.Request, &f.Tenant, &f.Key, &f.Plan, &f.Channel, &f.Territory, &f.EndUser,
		&f.Terms, &f.Model, &f.Code, &f.Reason,
	} {
		*to = d.text()
	}
	f.Considered = d.considered(nil)
	return f
}

// minConsidered is the least number of bytes of one candidate; it bounds what
// a false count can make Decode allocate.
const minConsidered = 7

func (d *decoder) considered(room []Considered) []Considered {
	n := d.uvarint()
	if n > MaxConsidered || n > uint64(len(d.s)-d.at)/minConsidered {
		d.fail("more candidates than fit")
		return nil
	}
	if n == 0 {
		return nil
	}
	cs := considered(room, int(n))
	for i := range cs {
		c := &cs[i]
		c.Pool, c.Verdict = d.text(), Verdict(d.byte())
		if d.err == nil && (c.Verdict < Chosen || c.Verdict > UsedUp) {
			d.fail("an unknown verdict")
		}
		c.Cost, c.Price, c.Scarcity, c.Latency, c.LambdaPPM = d.varint(), d.varint(), d.varint(), d.varint(), d.varint()
	}
	return cs
}
