package record

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/accordo-ai/accordo/internal/usage"
)

// The limits of one record. Check refuses what is beyond them, and so does
// Decode.
const (
	MaxBytes      = 1 << 20 // length of a record's binary form
	MaxText       = 4096    // length of one text in bytes
	MaxConsidered = 1024    // candidates of one intent or refusal
)

// version1 is the only version of the binary form so far. A field that is
// added later raises the version only of the records that use it, so that an
// old record, decoded and appended again, gives its old bytes: digests over
// ranges of a journal stay true.
const version1 = 1

// minPacked is the length from which a text of hexadecimal digits is written
// as the bytes it stands for.
const minPacked = 8

var (
	// ErrInvalid reports a record that may not be written.
	ErrInvalid = errors.New("record is not valid")
	// ErrMalformed reports bytes that are no record.
	ErrMalformed = errors.New("record is malformed")
	// ErrNewer reports a record that a newer version of the program wrote.
	ErrNewer = errors.New("record was written by a newer version")
)

// Check returns ErrInvalid when r is not exactly one known kind or is beyond
// a limit. What passes can be appended and decoded again, except that the
// journal still holds the whole record to MaxBytes.
func (r *Record) Check() error {
	set := 0
	for _, is := range [...]bool{r.Intent != nil, r.Outcome != nil, r.Mark != nil, r.Start != nil, r.Refusal != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return fmt.Errorf("%w: %d bodies, want one", ErrInvalid, set)
	}
	ok := false
	switch r.Kind {
	case KindIntent:
		ok = r.Intent != nil
	case KindOutcome:
		ok = r.Outcome != nil
	case KindMark:
		ok = r.Mark != nil
	case KindStart:
		ok = r.Start != nil
	case KindRefusal:
		ok = r.Refusal != nil
	}
	if !ok {
		return fmt.Errorf("%w: kind %d does not match the body", ErrInvalid, r.Kind)
	}
	return r.checkBody()
}

func (r *Record) checkBody() error {
	var considered []Considered
	switch {
	case r.Intent != nil:
		considered = r.Intent.Considered
	case r.Refusal != nil:
		considered = r.Refusal.Considered
	case r.Outcome != nil:
		if s := r.Outcome.Status; s < Served || s > Abandoned {
			return fmt.Errorf("%w: status %d", ErrInvalid, s)
		}
	}
	if len(considered) > MaxConsidered {
		return fmt.Errorf("%w: %d candidates, at most %d", ErrInvalid, len(considered), MaxConsidered)
	}
	for i := range considered {
		if v := considered[i].Verdict; v < Chosen || v > UsedUp {
			return fmt.Errorf("%w: verdict %d", ErrInvalid, v)
		}
		if n := len(considered[i].Pool); n > MaxText {
			return fmt.Errorf("%w: a pool's id of %d bytes, at most %d", ErrInvalid, n, MaxText)
		}
	}
	var texts [maxTexts]*string
	for _, t := range r.texts(texts[:0]) {
		if len(*t) > MaxText {
			return fmt.Errorf("%w: a text of %d bytes, at most %d", ErrInvalid, len(*t), MaxText)
		}
	}
	return nil
}

// maxTexts is the largest number of texts in one record.
const maxTexts = 16

// texts lists the texts of the record, without those of the candidates.
func (r *Record) texts(to []*string) []*string {
	switch {
	case r.Intent != nil:
		i := r.Intent
		return append(to, (*string)(&i.Attempt), &i.Request, &i.Terms, &i.Tenant, &i.Key, &i.Plan, &i.Channel,
			&i.Territory, &i.EndUser, &i.Model, &i.Variant, &i.Pool, &i.Contract, &i.Right, &i.CostPrice, &i.SalePrice)
	case r.Outcome != nil:
		o := r.Outcome
		return append(to, (*string)(&o.Attempt), &o.Tier, &o.Upstream, &o.Version, &o.Reason)
	case r.Start != nil:
		return append(to, &r.Start.Version, &r.Start.Terms, &r.Start.Node)
	case r.Refusal != nil:
		f := r.Refusal
		return append(to, &f.Request, &f.Tenant, &f.Key, &f.Plan, &f.Channel, &f.Territory, &f.EndUser,
			&f.Terms, &f.Model, &f.Code, &f.Reason)
	}
	return to
}

// Append appends the binary form of r, which Check accepts, to dst and
// returns the longer slice. The form is canonical: equal records give equal
// bytes, in every version of the program.
func Append(dst []byte, r *Record) []byte {
	dst = append(dst, version1, byte(r.Kind))
	dst = binary.AppendUvarint(dst, r.Sequence)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.At))
	switch r.Kind {
	case KindIntent:
		dst = appendIntent(dst, r.Intent)
	case KindOutcome:
		dst = appendOutcome(dst, r.Outcome)
	case KindStart:
		dst = appendText(dst, r.Start.Version)
		dst = appendText(dst, r.Start.Terms)
		dst = appendText(dst, r.Start.Node)
	case KindRefusal:
		dst = appendRefusal(dst, r.Refusal)
	}
	return dst
}

func appendIntent(dst []byte, i *Intent) []byte {
	dst = appendText(dst, string(i.Attempt))
	dst = appendText(dst, i.Request)
	dst = binary.AppendVarint(dst, int64(i.Number))
	dst = binary.AppendUvarint(dst, i.Decision)
	for _, s := range [...]string{
		i.Terms, i.Tenant, i.Key, i.Plan, i.Channel, i.Territory, i.EndUser, i.Model,
		i.Variant, i.Pool, i.Contract, i.Right, i.CostPrice, i.SalePrice,
	} {
		dst = appendText(dst, s)
	}
	dst = appendUsage(dst, i.Estimate)
	dst = append(dst, bit(i.Stream))
	return appendConsidered(dst, i.Considered)
}

func appendOutcome(dst []byte, o *Outcome) []byte {
	dst = appendText(dst, string(o.Attempt))
	dst = binary.AppendUvarint(dst, o.Intent)
	dst = binary.AppendUvarint(dst, o.Observation)
	dst = append(dst, byte(o.Status))
	dst = appendUsage(dst, o.Usage)
	dst = appendText(dst, o.Tier)
	dst = appendText(dst, o.Upstream)
	dst = appendText(dst, o.Version)
	dst = appendText(dst, o.Reason)
	dst = binary.AppendVarint(dst, o.TTFT)
	return binary.AppendVarint(dst, o.Duration)
}

func appendRefusal(dst []byte, f *Refusal) []byte {
	for _, s := range [...]string{
		f.Request, f.Tenant, f.Key, f.Plan, f.Channel, f.Territory, f.EndUser, f.Terms,
		f.Model, f.Code, f.Reason,
	} {
		dst = appendText(dst, s)
	}
	return appendConsidered(dst, f.Considered)
}

func appendConsidered(dst []byte, cs []Considered) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(cs)))
	for i := range cs {
		c := &cs[i]
		dst = appendText(dst, c.Pool)
		dst = append(dst, byte(c.Verdict))
		for _, n := range [...]int64{c.Cost, c.Price, c.Scarcity, c.Latency, c.LambdaPPM} {
			dst = binary.AppendVarint(dst, n)
		}
	}
	return dst
}

func appendUsage(dst []byte, v usage.Vector) []byte {
	for _, n := range [...]int64{v.UncachedInput, v.CacheRead, v.CacheWrite, v.Output, v.Reasoning} {
		dst = binary.AppendVarint(dst, n)
	}
	return dst
}

// appendText writes the number of bytes that follow, doubled, plus one when
// they stand for lower-case hexadecimal digits: hashes take half the room.
func appendText(dst []byte, s string) []byte {
	if !packs(s) {
		dst = binary.AppendUvarint(dst, uint64(len(s))<<1)
		return append(dst, s...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s)/2)<<1|1)
	for i := 0; i < len(s); i += 2 {
		dst = append(dst, digit(s[i])<<4|digit(s[i+1]))
	}
	return dst
}

func packs(s string) bool {
	if len(s) < minPacked || len(s)%2 != 0 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func digit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
