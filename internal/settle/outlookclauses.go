package settle

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
)

// CapacityOutlook is what a ramp contracts at the instant and what of it was
// delivered.
type CapacityOutlook struct {
	Contracted int64  `json:"contracted"`
	Usable     int64  `json:"usable"`
	Unit       string `json:"unit"` // chips or tokens a minute
}

// delivered tells how a ramp stands.
func (o *Outlook) delivered(c *alliance.Contract, at time.Time) (err error) {
	if o.FeesAbated, err = contract.AbatedUpTo(c, at); err != nil || len(c.Ramp) == 0 {
		return err
	}
	v := &CapacityOutlook{Unit: "chips"}
	chips, tokens := contract.ContractedAt(c, at)
	usableChips, usableTokens := contract.CapacityAt(c, at)
	if v.Contracted, v.Usable = chips, usableChips; contract.CountsTokens(c.Shape) {
		v.Contracted, v.Usable, v.Unit = tokens, usableTokens, "tokens a minute"
	}
	o.Capacity = v
	return nil
}
