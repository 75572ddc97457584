package story

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// Claims is what is known at an instant about some ids, or about everything.
type Claims struct {
	At alliance.Date `json:"at"`
	// Groups part all claims by how firm they are; they are empty when ids were asked for.
	Groups []Group `json:"groups,omitempty"`
	// Answers are what is known about each id asked for, in order.
	Answers []Answer `json:"answers,omitempty"`
}

// Group is a set of claims of one firmness, firmest first.
type Group struct {
	Title  string  `json:"title"`
	Claims []Claim `json:"claims"`
}

// Answer is what is known about one id: a claim, an object of the alliance
// with the claims behind it, or a system with the claims that name it.
type Answer struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind"`
	Title   string   `json:"title"`
	Details []string `json:"details,omitempty"`
	// Assumption says that the object holds numbers that no claim states.
	Assumption bool    `json:"assumption,omitempty"`
	Claims     []Claim `json:"claims"`
}

// groups are the firmness of claims by status; what a later claim overtook is
// put apart, whatever its status.
var groups = [...]struct {
	title    string
	statuses string
}{
	{"In force or signed", " effective signed "},
	{"Reported or announced", " reported announced loi "},
	{"Talked about", " in_talks rumoured "},
	{"Stated as background", " stated "},
	{"Opinion", " opinion "},
	{"Ended", " superseded terminated expired "},
}

const overtaken = "Overtaken by a later claim"

// AskClaims answers about ids as known at an instant: claims, objects of any
// kind, or systems (S01). Without ids it parts all claims, fact from rumour.
// The error names every id that the alliance does not have.
func AskClaims(a *alliance.Alliance, at time.Time, ids []string) (*Claims, error) {
	k := newKnowledge(a, at)
	out := &Claims{At: alliance.Date{Time: at.UTC()}}
	if len(ids) == 0 {
		out.Groups = k.groups()
		return out, nil
	}
	var faults []error
	for _, id := range ids {
		answer, err := k.answer(id)
		faults = append(faults, err)
		out.Answers = append(out.Answers, answer)
	}
	return out, errors.Join(faults...)
}

func (k *knowledge) groups() []Group {
	out := make([]Group, len(groups)+1)
	for i := range groups {
		out[i].Title = groups[i].title
	}
	out[len(groups)].Title = overtaken
	for i := range k.a.Claims {
		c := &k.a.Claims[i]
		if !k.known(c) {
			continue
		}
		at := slices.IndexFunc(groups[:], func(g struct{ title, statuses string }) bool {
			return strings.Contains(g.statuses, " "+c.Status+" ")
		})
		if len(k.later[c.ID]) > 0 || at < 0 {
			at = len(groups)
		}
		out[at].Claims = append(out[at].Claims, k.show(c))
	}
	return slices.DeleteFunc(out, func(g Group) bool { return len(g.Claims) == 0 })
}

func (k *knowledge) answer(id string) (Answer, error) {
	if c := k.a.Claim(alliance.ClaimID(id)); c != nil {
		if !k.known(c) {
			return Answer{}, fmt.Errorf("claim %s became known on %s only: ask with a later --at", id, c.Known)
		}
		return k.claim(c), nil
	}
	if claims := k.bySystem[id]; len(claims) > 0 {
		answer := Answer{ID: id, Kind: "system", Title: plural(len(claims), "claim")}
		for _, c := range claims {
			answer.Claims = append(answer.Claims, k.show(c))
		}
		return answer, nil
	}
	o, known, ok := find(k.a, id)
	if !ok {
		return Answer{}, fmt.Errorf("%q is no claim, object or system of the alliance: accordo claims without ids lists the claims", id)
	}
	if known.After(k.at) {
		return Answer{}, fmt.Errorf("%s %s became known on %s only: ask with a later --at", o.Kind, id, known.Format(time.DateOnly))
	}
	d := describe(k.a, id, k)
	answer := Answer{ID: o.ID, Kind: o.Kind, Title: o.Title, Details: d.lines, Assumption: d.assumption}
	// The history of a figure belongs to it: what the claims behind an object
	// supersede is shown too.
	for i := 0; i < len(d.claims); i++ {
		c := k.a.Claim(d.claims[i])
		if !k.known(c) {
			continue
		}
		answer.Claims = append(answer.Claims, k.show(c))
		for _, old := range c.Supersedes {
			d.cite(old)
		}
	}
	slices.SortStableFunc(answer.Claims, func(x, y Claim) int { return x.Known.Compare(y.Known.Time) })
	return answer, nil
}

// claim answers about one claim, with those that it touches.
func (k *knowledge) claim(c *alliance.Claim) Answer {
	answer := Answer{ID: string(c.ID), Kind: "claim", Title: c.Says, Claims: []Claim{k.show(c)}}
	add := func(format string, args ...any) {
		answer.Details = append(answer.Details, fmt.Sprintf(format, args...))
	}
	if c.AsOf != "" {
		add("speaks of %s", c.AsOf)
	}
	if len(c.Systems) > 0 {
		add("names the systems %s", strings.Join(c.Systems, ", "))
	}
	if len(c.Contains) > 0 {
		add("contains %s: never add them to it", ids(c.Contains))
	}
	if c.Review != "" {
		add("to review: %s", c.Review)
	}
	related := append(slices.Clone(c.Supersedes), k.later[c.ID]...)
	for _, id := range append(related, k.counter[c.ID]...) {
		other := k.a.Claim(id)
		if k.known(other) && !slices.ContainsFunc(answer.Claims, func(x Claim) bool { return x.ID == id }) {
			answer.Claims = append(answer.Claims, k.show(other))
		}
	}
	return answer
}

// Write shows the answers for a terminal.
func (cs *Claims) Write(w io.Writer) error {
	var b strings.Builder
	for i, g := range cs.Groups {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s: %s\n", g.Title, plural(len(g.Claims), "claim"))
		for j := range g.Claims {
			g.Claims[j].write(&b)
		}
	}
	for i, answer := range cs.Answers {
		if i > 0 {
			b.WriteByte('\n')
		}
		wrap(&b, "", fmt.Sprintf("%s (%s): %s", answer.ID, answer.Kind, answer.Title))
		for _, line := range answer.Details {
			wrap(&b, "  ", line)
		}
		if answer.Assumption {
			wrap(&b, "  ", "holds assumptions: numbers that no claim states")
		}
		for j := range answer.Claims {
			answer.Claims[j].write(&b)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
