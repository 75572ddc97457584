package admin

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Routes are all routes behind the login, each with the roles that it is for.
func Routes(o Options) []Route {
	if o.AsOf == nil {
		o.AsOf = o.Now
	}
	list := []Route{{"GET /metrics", ForOperator, o.Metrics.ServeHTTP}}
	get := func(path string, roles Roles, view func(*http.Request) (any, error)) {
		list = append(list, Route{"GET /api/" + path, roles, func(w http.ResponseWriter, r *http.Request) {
			v, err := view(r)
			writeJSON(w, v, err)
		}})
	}
	get("overview", ForAll, func(r *http.Request) (any, error) {
		v := o.Source.Overview(o.AsOf())
		if AccessOf(r.Context()).Role == Partner {
			v = v.ForPartner()
		}
		return v, nil
	})
	get("pools", ForBooks, func(*http.Request) (any, error) { return o.Source.Pools(o.AsOf()), nil })
	get("contracts", ForAll, func(r *http.Request) (any, error) {
		all := o.Source.Contracts(o.AsOf())
		if who := AccessOf(r.Context()); who.Role == Partner {
			return PartnerContracts(all, who.Party), nil
		}
		return all, nil
	})
	get("balances", ForBooks, func(*http.Request) (any, error) { return o.Source.Balances(), nil })
	get("requests", ForBooks, func(r *http.Request) (any, error) {
		return withLimit(r, func(limit int) (any, error) { return o.Source.Requests(limit), nil })
	})
	get("requests/{id}", ForBooks, func(r *http.Request) (any, error) { return o.Source.Trace(r.Context(), r.PathValue("id")) })
	get("contracts/{id}", ForAll, func(r *http.Request) (any, error) { return contractAnswer(r, o) })
	get("accounts", ForBooks, func(r *http.Request) (any, error) {
		return withMonth(r, func(month int32) (any, error) { return o.Source.Accounts(r.Context(), month) })
	})
	get("entries", ForBooks, func(r *http.Request) (any, error) {
		return withMonth(r, func(month int32) (any, error) {
			return withLimit(r, func(limit int) (any, error) {
				q := r.URL.Query()
				return o.Source.EntriesOf(r.Context(), EntryQuery{Account: q.Get("account"), Other: q.Get("other"), Contract: q.Get("contract"), Price: q.Get("price"), Kind: q.Get("kind"), Month: month, Limit: limit})
			})
		})
	})
	get("entries/{place}", ForBooks, func(r *http.Request) (any, error) {
		batch, number, err := ParsePlace(r.PathValue("place"))
		if err != nil {
			return nil, err
		}
		return o.Source.EntryAt(r.Context(), batch, number)
	})
	get("batches", ForBooks, func(r *http.Request) (any, error) {
		before := uint64(0) // the newest
		if text := r.URL.Query().Get("before"); text != "" {
			n, err := strconv.ParseUint(text, 10, 63)
			if err != nil {
				return nil, BadRequestError{Says: "Write before as the number of a batch."}
			}
			before = n
		}
		return withLimit(r, func(limit int) (any, error) { return o.Source.Batches(r.Context(), before, limit) })
	})
	get("books", ForBooks, func(r *http.Request) (any, error) { return o.Source.BooksState(r.Context()) })
	get("parties", ForBooks, func(r *http.Request) (any, error) {
		return withMonth(r, func(month int32) (any, error) { return o.Source.Parties(r.Context(), month) })
	})
	get("statements/{party}", ForAll, func(r *http.Request) (any, error) { return statementAnswer(r, o) })
	get("sales", ForAll, func(r *http.Request) (any, error) { return salesAnswer(r, o) })
	get("sales/{customer}", ForAll, func(r *http.Request) (any, error) { return saleAnswer(r, o) })
	get("margin", ForBooks, func(r *http.Request) (any, error) { return marginAnswer(r, o) })
	get("invoices", ForBooks, func(r *http.Request) (any, error) { return o.Source.Invoices(r.Context()) })
	get("invoices/{id}", ForBooks, func(r *http.Request) (any, error) { return o.Source.Differences(r.Context(), r.PathValue("id")) })
	get("differences", ForBooks, func(r *http.Request) (any, error) { return o.Source.Differences(r.Context(), "") })
	get("differences/{id}", ForBooks, func(r *http.Request) (any, error) { return o.Source.Evidence(r.Context(), r.PathValue("id")) })
	get("suspense", ForBooks, func(r *http.Request) (any, error) { return o.Source.Suspense(r.Context(), o.AsOf()) })
	get("story", ForBooks, func(*http.Request) (any, error) {
		told, ok := o.Source.Story(o.AsOf())
		if !ok {
			return nil, ErrNotFound
		}
		return told, nil
	})
	get("claims", ForBooks, func(r *http.Request) (any, error) {
		return o.Source.Claims(o.AsOf(), r.URL.Query()["id"])
	})
	return slices.Concat(list, o.Pages.Routes)
}

// contractAnswer is one contract with its outlook; a partner gets its own only.
func contractAnswer(r *http.Request, o Options) (any, error) {
	all, who, id := o.Source.Contracts(o.AsOf()), AccessOf(r.Context()), r.PathValue("id")
	if who.Role == Partner {
		for _, k := range PartnerContracts(all, who.Party) {
			if k.ID == id {
				return k, nil
			}
		}
		return nil, ErrNotFound
	}
	for i := range all {
		if all[i].ID == id {
			outlook, err := o.Source.Outlook(r.Context(), id, o.AsOf())
			return struct {
				Contract
				Outlook Outlook `json:"outlook"`
			}{all[i], outlook}, err
		}
	}
	return nil, ErrNotFound
}

// statementAnswer is a statement, mirrored with ?as=party; a partner gets its
// own as it sees it.
func statementAnswer(r *http.Request, o Options) (any, error) {
	party, who := r.PathValue("party"), AccessOf(r.Context())
	if !who.Owns(party) {
		return nil, ErrNotFound
	}
	return withMonth(r, func(month int32) (any, error) {
		if month == 0 {
			month = MonthOf(o.AsOf())
		}
		s, err := o.Source.Statement(r.Context(), party, month, who.Role == Partner || r.URL.Query().Get("as") == "party")
		if err == nil && who.Role == Partner {
			return s.ForPartner(OwnContracts(o.Source.Contracts(o.AsOf()), party)), nil
		}
		return s, err
	})
}

// salesAnswer lists the invoices to customers, of a month or of all; a partner
// gets those of its own.
func salesAnswer(r *http.Request, o Options) (any, error) {
	return withMonth(r, func(month int32) (any, error) {
		list, err := o.Source.SalesInvoices(r.Context())
		if err != nil {
			return nil, err
		}
		list = AccessOf(r.Context()).OwnSales(list)
		return slices.DeleteFunc(list, func(v SalesInvoiceHead) bool { return month != 0 && v.Month != month }), nil
	})
}

// saleAnswer is one invoice; a partner gets its own, as it has it.
func saleAnswer(r *http.Request, o Options) (any, error) {
	v, err := AskedSale(r, o.Source, o.AsOf())
	if err == nil && AccessOf(r.Context()).Role == Partner {
		return v.ForPartner(), nil
	}
	return v, err
}

// AskedSale is the invoice that the address names: of its month, or of the
// newest one in which anything was booked to the customer. What is not there,
// or not for who asks, is an ErrNotFound.
func AskedSale(r *http.Request, source Sales, now time.Time) (v SalesInvoice, err error) {
	customer, who := r.PathValue("customer"), AccessOf(r.Context())
	month, err := ParseMonth(r.URL.Query().Get("month"))
	if err != nil {
		return v, err
	}
	if month == 0 {
		list, err := source.SalesInvoices(r.Context())
		if err != nil {
			return v, err
		}
		month = MonthOf(now)
		if i := slices.IndexFunc(list, func(h SalesInvoiceHead) bool { return h.Customer == customer }); i >= 0 {
			month = list[i].Month
		}
	}
	v, err = source.SalesInvoice(r.Context(), customer, month)
	if err == nil && !who.OwnsSale(v.Customer, v.Party) {
		return SalesInvoice{}, ErrNotFound
	}
	return v, err
}

// marginAnswer is a margin: by plan, and of the last closed month, where the
// address does not say.
func marginAnswer(r *http.Request, o Options) (any, error) { return AskedMargin(r, o.Source, o.AsOf()) }

// AskedMargin is the margin that the address asks for: by plan where it does
// not say, of the last closed month, and of the present one before any.
func AskedMargin(r *http.Request, source Source, now time.Time) (v Margin, err error) {
	by := cmp.Or(r.URL.Query().Get("by"), MarginsBy[0])
	if !slices.Contains(MarginsBy[:], by) {
		return v, BadRequestError{Says: "A margin is told by plan, model, channel or tenant."}
	}
	month, err := ParseMonth(r.URL.Query().Get("month"))
	if err != nil {
		return v, err
	}
	if month == 0 {
		_, closed, err := source.Months(r.Context())
		if err != nil {
			return v, err
		}
		month = cmp.Or(closed, MonthOf(now))
	}
	return source.Margin(r.Context(), by, month)
}

// withMonth reads the month that the address asks for, 0 for none.
func withMonth(r *http.Request, view func(month int32) (any, error)) (any, error) {
	month, err := ParseMonth(r.URL.Query().Get("month"))
	if err != nil {
		return nil, err
	}
	return view(month)
}

// MonthOf is the civil month of an instant in UTC, as YYYYMM.
func MonthOf(t time.Time) int32 {
	t = t.UTC()
	return int32(t.Year()*100 + int(t.Month()))
}

// ParseMonth reads YYYY-MM; empty is 0, for none.
func ParseMonth(text string) (int32, error) {
	if text == "" {
		return 0, nil
	}
	t, err := time.Parse("2006-01", text)
	if err != nil || t.Year() < 1 {
		return 0, BadRequestError{Says: "Write the month as YEAR-MONTH, such as 2026-06."}
	}
	return MonthOf(t), nil
}

// ParsePlace reads the place of an entry, batch.number.
func ParsePlace(text string) (batch uint64, number int, err error) {
	left, right, _ := strings.Cut(text, ".")
	batch, batchErr := strconv.ParseUint(left, 10, 63)
	number, numberErr := strconv.Atoi(right)
	if batchErr != nil || numberErr != nil || number < 1 {
		return 0, 0, ErrNotFound
	}
	return batch, number, nil
}
