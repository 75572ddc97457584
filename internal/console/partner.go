package console

import (
	"net/http"

	"github.com/accordo-ai/accordo/internal/admin"
)

// partnerBody are the contracts that a partner sees: its own, or one of them.
type partnerBody struct {
	Contracts []admin.PartnerContract
	One       bool
}

// ofPartner shows a partner its own contracts, or the one with an id; another
// party's contract is not there.
func (c *console) ofPartner(w http.ResponseWriter, r *http.Request, id string) error {
	who := admin.AccessOf(r.Context())
	body := partnerBody{One: id != ""}
	for _, k := range admin.PartnerContracts(c.source.Contracts(c.now()), who.Party) {
		if id == "" || k.ID == id {
			body.Contracts = append(body.Contracts, k)
		}
	}
	title := "Contracts"
	if body.One {
		if len(body.Contracts) == 0 {
			return admin.ErrNotFound
		}
		title = body.Contracts[0].Title
	}
	return c.render(w, r, http.StatusOK, "partner", page{Title: title, Nav: "contracts", Body: body})
}
