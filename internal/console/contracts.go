package console

import (
	"cmp"
	"net/http"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/story"
)

type contractsBody struct {
	Contracts []contractView
	Table     *table
}

func (b contractsBody) tables() []*table { return []*table{b.Table} }

// contractView is a contract with its charts and the pace that its interval
// expects.
type contractView struct {
	admin.Contract
	Life    *lifeChart
	Pace    money.Amount // expected use of the interval's floor by now, in even steps
	PacePPM int64        // share of the interval that has passed
	UsedPPM int64        // share of the interval's floor that is used
	Ended   bool
	Begun   bool
}

func viewContract(k admin.Contract, now time.Time, currency string) contractView {
	k.Currency = cmp.Or(k.Currency, currency)
	v := contractView{Contract: k, Begun: !now.Before(k.From.Time), Ended: !k.Until.IsZero() && !now.Before(k.Until.Time)}
	v.Life = newLifeChart(&k, now, k.Currency)
	if length := k.IntervalUntil.Sub(k.IntervalFrom.Time); !k.IntervalUntil.IsZero() && length > 0 {
		v.PacePPM = share(int64(now.Sub(k.IntervalFrom.Time)/time.Second), int64(length/time.Second))
	}
	v.Pace = portion(k.Floor, v.PacePPM)
	v.UsedPPM = share(int64(k.Burnt), int64(k.Floor))
	return v
}

// share is part of whole in parts per million, from 0 to 1,000,000.
func share(part, whole int64) int64 {
	if whole <= 0 || part <= 0 {
		return 0
	}
	q, _, ok := money.Product(part, 1_000_000).FloorDiv(whole)
	if !ok {
		return 1_000_000
	}
	return min(q, 1_000_000)
}

// portion is ppm parts per million of an amount, rounded down.
func portion(a money.Amount, ppm int64) money.Amount {
	q, _, _ := money.Product(int64(a), ppm).FloorDiv(1_000_000)
	return money.Amount(q)
}

func (c *console) contracts(w http.ResponseWriter, r *http.Request) error {
	if admin.AccessOf(r.Context()).Role == admin.Partner {
		return c.ofPartner(w, r, "")
	}
	now := c.now()
	currency := c.source.Overview(now).Currency
	var body contractsBody
	for _, k := range c.source.Contracts(now) {
		body.Contracts = append(body.Contracts, viewContract(k, now, currency))
	}
	body.Table = contractsTable(body.Contracts, ledger.Asset(currency))
	return c.render(w, r, http.StatusOK, "contracts", page{Title: "Contracts", Nav: "contracts", Live: true, Body: body})
}

type contractBody struct {
	contractView
	Outlook  admin.Outlook
	Burn     *burnChart
	RampLine *rampChart
	Interval *table
	Dates    *table
	Schedule *table
	Ramps    *table
	Spent    *spentChart
	Recent   []admin.Request
	Claims   []claimView
}

func (b contractBody) tables() []*table {
	return []*table{b.Interval, b.Dates, b.Schedule, b.Ramps, recentTable(b.Recent)}
}

// recentOfContract bounds the requests listed on a contract's page.
const recentOfContract = 8

func (c *console) contract(w http.ResponseWriter, r *http.Request) error {
	now, id := c.now(), r.PathValue("id")
	if admin.AccessOf(r.Context()).Role == admin.Partner {
		return c.ofPartner(w, r, id)
	}
	for _, k := range c.source.Contracts(now) {
		if k.ID != id {
			continue
		}
		body := contractBody{contractView: viewContract(k, now, c.source.Overview(now).Currency)}
		var err error
		if body.Outlook, err = c.source.Outlook(r.Context(), id, now); err != nil {
			return err
		}
		currency := body.Outlook.Currency
		body.Burn, body.RampLine = newBurnChart(&body.Outlook, string(currency)), newRampChart(&k, now)
		body.Interval, body.Dates = intervalTable(&body.Outlook, currency), datesTable(&body.Outlook, currency)
		body.Schedule, body.Ramps = scheduleTable(&k, currency), rampTable(&k)
		var rows []admin.Request
		for _, row := range c.newest() {
			if row.Contract == id {
				rows = append(rows, row)
			}
		}
		body.Spent, body.Recent = newSpentChart(rows), rows[:min(len(rows), recentOfContract)]
		known, err := c.source.Claims(now, []string{id})
		if err != nil {
			return err
		}
		firm, _, err := c.firmness(now)
		if err != nil {
			return err
		}
		for _, a := range known.Answers {
			body.Claims = append(body.Claims, viewClaims(claimsOnce(a.Claims), firm, "")...)
		}
		return c.render(w, r, http.StatusOK, "contract", page{Title: k.Title, Nav: "contracts", Live: true, Body: body})
	}
	return admin.ErrNotFound
}

func claimsOnce(list []story.Claim) (out []story.Claim) {
	seen := map[alliance.ClaimID]bool{}
	for _, c := range list {
		if !seen[c.ID] {
			seen[c.ID] = true
			out = append(out, c)
		}
	}
	return out
}
