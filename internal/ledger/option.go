package ledger

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
)

// OptionExercised says that the operator took up a contract's option: what the
// option adds is part of the contract from then on.
type OptionExercised struct {
	Contract string `json:"contract"`
	Reason   string `json:"reason"` // such as the notice's number
}

func (x *OptionExercised) check() error {
	if x.Contract == "" {
		return refuse("an exercise names the contract")
	}
	return checkReason(x.Reason)
}

// exercise checks that the option is open. It posts nothing: what the option
// adds begins later than it can be exercised.
func (p *factPosting) exercise(x *OptionExercised) error {
	t, err := p.headTerms()
	if err != nil {
		return err
	}
	c := t.contracts[alliance.ContractID(x.Contract)]
	if c == nil {
		return refuse("there is no contract %s", x.Contract)
	}
	if err := contract.MayExercise(c, time.Unix(0, p.fact.At).UTC()); err != nil {
		return refuse("%v", err)
	}
	return nil
}
