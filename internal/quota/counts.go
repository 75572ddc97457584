package quota

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/accordo-ai/accordo/internal/money"
)

// countsVersion is the version of the form that AppendCounts writes.
const countsVersion = 1

// ErrCounts reports bytes that AppendCounts did not write.
var ErrCounts = errors.New("quota: the counts cannot be read")

// AppendCounts appends what is counted per day and month of every subject that
// has something counted in a window that is open at now, in the form of
// docs/format/limits.md. Holds and rates per minute are not part of it.
func (b *Book) AppendCounts(dst []byte, now time.Time) []byte {
	dst = append(dst, countsVersion)
	for i := range b.subjects.used {
		s := *b.subjects.at(i)
		s.forward(now)
		if s.tokensDay|s.tokensMonth|int64(s.spendDay)|int64(s.spendMonth) == 0 {
			continue
		}
		dst = append(dst, s.key[:]...)
		dst = binary.AppendVarint(dst, int64(s.day))
		for _, n := range [...]int64{s.tokensDay, s.tokensMonth, int64(s.spendDay), int64(s.spendMonth)} {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
		monthly := byte(0)
		if s.monthly {
			monthly = 1
		}
		dst = append(dst, monthly)
	}
	return dst
}

// RestoreCounts puts into an empty book what AppendCounts wrote. On an error the
// book is of no use any more. Subjects beyond the book's most are an error.
func (b *Book) RestoreCounts(src []byte) error {
	if len(src) == 0 || src[0] != countsVersion {
		return fmt.Errorf("%w: another version", ErrCounts)
	}
	src = src[1:]
	for len(src) > 0 {
		var k key
		n := copy(k[:], src)
		if src = src[n:]; n < len(k) {
			return fmt.Errorf("%w: the end is missing", ErrCounts)
		}
		day, n := binary.Varint(src)
		if n <= 0 || day != int64(int32(day)) {
			return fmt.Errorf("%w: a day", ErrCounts)
		}
		src = src[n:]
		var counts [4]int64
		for j := range counts {
			c, n := binary.Uvarint(src)
			if counts[j] = int64(c); n <= 0 || counts[j] < 0 {
				return fmt.Errorf("%w: a count", ErrCounts)
			}
			src = src[n:]
		}
		if len(src) == 0 || src[0] > 1 {
			return fmt.Errorf("%w: a flag", ErrCounts)
		}
		if _, twice := b.subjects.find(k); twice {
			return fmt.Errorf("%w: a subject stands twice", ErrCounts)
		}
		i, ok := b.subjects.add(k, time.Unix(day*86400, 0))
		if !ok {
			return fmt.Errorf("%w: more subjects than the book takes", ErrCounts)
		}
		s := b.subjects.at(i)
		s.tokensDay, s.tokensMonth, s.spendDay, s.spendMonth = counts[0], counts[1], money.Amount(counts[2]), money.Amount(counts[3])
		s.monthly, src = src[0] == 1, src[1:]
	}
	return nil
}
