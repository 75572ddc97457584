package alliance

import "slices"

// Anywhere is the territory of everybody.
const Anywhere Territory = "*"

// europeanUnion lists the member states, in order.
var europeanUnion = [...]Territory{
	"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU",
	"IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
}

// In reports whether all of t lies in one of the territories of list; an
// empty list means anywhere. An unknown t (empty or Anywhere) lies only in
// lists that mean anywhere.
func (t Territory) In(list []Territory) bool {
	if len(list) == 0 {
		return true
	}
	for _, l := range list {
		if l == Anywhere || t != "" && l == t || l == "EU" && inUnion(t) {
			return true
		}
	}
	return false
}

// Touches reports whether some of t may lie in one of the territories of
// list: what a prohibition must ask, as In is what a permission must ask.
func (t Territory) Touches(list []Territory) bool {
	if t == "" || t == Anywhere || t.In(list) {
		return true
	}
	return t == "EU" && slices.ContainsFunc(list, inUnion)
}

func inUnion(t Territory) bool {
	_, found := slices.BinarySearch(europeanUnion[:], t)
	return found
}
