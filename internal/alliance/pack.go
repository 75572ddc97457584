package alliance

import "strings"

// packBytes is how many bytes of texts of keys lie together: what remembers one
// of them keeps that much of terms that are gone.
const packBytes = 64 << 10

// PackKeys lays the texts of keys together, and has keys share what they say
// alike. The collector looks at every piece of memory again each time it runs,
// and keys are the one list that may be very long. The loader calls it once,
// before the value is shared.
func (a *Alliance) PackKeys() {
	p := packer{shared: map[string]string{}}
	for i := range a.Tenants {
		keys := a.Tenants[i].Keys
		for j := range keys {
			k := &keys[j]
			k.ID, k.SHA256 = KeyID(p.own(string(k.ID))), p.own(k.SHA256)
			k.Plan, k.Channel = PlanID(p.share(string(k.Plan))), ChannelID(p.share(string(k.Channel)))
			k.Territory, k.Surface = Territory(p.share(string(k.Territory))), p.share(k.Surface)
		}
	}
}

// packer copies texts.
type packer struct {
	b      strings.Builder
	shared map[string]string
}

// own returns s, laid beside the one before.
func (p *packer) own(s string) string {
	if p.b.Len()+len(s) > p.b.Cap() {
		p.b = strings.Builder{}
		p.b.Grow(max(packBytes, len(s)))
	}
	begin := p.b.Len()
	p.b.WriteString(s)
	return p.b.String()[begin:]
}

// share returns s as it was found first.
func (p *packer) share(s string) string {
	if v, ok := p.shared[s]; ok {
		return v
	}
	v := strings.Clone(s)
	p.shared[v] = v
	return v
}
