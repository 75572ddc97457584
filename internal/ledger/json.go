package ledger

import "encoding/json"

// In JSON every amount is a text in units of its asset, as Asset.Format
// renders it: money with its decimals, tokens and capacity as whole numbers.

// MarshalJSON renders the amount in units of the asset.
func (b Balance) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Account AccountID `json:"account"`
		Asset   Asset     `json:"asset"`
		Amount  string    `json:"amount"`
	}{b.Account, b.Asset, b.Asset.Format(b.Amount)})
}

// MarshalJSON renders both sides in units of the asset.
func (t Total) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Asset    Asset  `json:"asset"`
		Debits   string `json:"debits"`
		Credits  string `json:"credits"`
		Balanced bool   `json:"balanced"`
	}{t.Asset, t.Asset.Format(t.Debits), t.Asset.Format(t.Credits), t.Balanced()})
}

// EntryJSON is an entry as JSON tells it. Types that embed an Entry embed it
// in their JSON, because a method of an embedded value would hide their own
// fields.
type EntryJSON struct {
	plainEntry
	Amount string `json:"amount"`
}

// plainEntry is an Entry without methods.
type plainEntry Entry

// JSON returns the entry with its amount in units of the asset.
func (e Entry) JSON() EntryJSON { return EntryJSON{plainEntry(e), e.Asset.Format(e.Amount)} }

// MarshalJSON renders the amount in units of the asset.
func (e Entry) MarshalJSON() ([]byte, error) { return json.Marshal(e.JSON()) }
