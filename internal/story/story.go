// Package story tells what a set of articles says and what became of every
// system that they name: cards with claims, the objects of the alliance, the
// command that proves it, and "not yet" where there is nothing to prove. It
// also renders claims with what supersedes and contradicts them. It only
// renders: it reads no clock, no file and no journal, and it refuses to count
// a card as built that names no command.
package story

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// Story is the story as known at an instant, ready to be shown.
type Story struct {
	Title    string        `json:"title"`
	Notice   string        `json:"notice"`
	At       alliance.Date `json:"at"`
	Articles []Article     `json:"articles"`
	Cards    []Card        `json:"cards"`
	Built    int           `json:"built"`
	NotYet   int           `json:"not_yet"`
}

// Article is an article that had appeared, with the cards that rest on it.
type Article struct {
	File   string        `json:"file"`
	Title  string        `json:"title"`
	Date   alliance.Date `json:"date"`
	Dated  string        `json:"dated,omitempty"`
	Claims int           `json:"claims"`
	Cards  []string      `json:"cards"`
}

// Card is one system. Claims are those known at the story's instant, in the
// order in which they became known.
type Card struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Claims  []Claim  `json:"claims"`
	Objects []Object `json:"objects"`
	Command string   `json:"command,omitempty"`
	Proves  string   `json:"proves,omitempty"`
	Built   bool     `json:"built"`
	Missing string   `json:"missing,omitempty"`
}

// Claim is a claim as a card shows it.
type Claim struct {
	ID     alliance.ClaimID `json:"id"`
	Says   string           `json:"says"`
	Mood   string           `json:"mood"`
	Status string           `json:"status"`
	Figure string           `json:"figure,omitempty"`
	Grade  string           `json:"grade"`
	Source string           `json:"source"` // the article's file, else the address, else the kind of source
	Known  alliance.Date    `json:"known"`
	// SupersededBy and Conflicts name claims known at the story's instant.
	SupersededBy []alliance.ClaimID `json:"superseded_by,omitempty"`
	Conflicts    []alliance.ClaimID `json:"conflicts,omitempty"`
}

// Object is an object of the alliance that a system became.
type Object struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	Title string `json:"title"`
}

// Build makes the story of a as known at an instant from a story file.
func Build(a *alliance.Alliance, script []byte, at time.Time) (Story, error) {
	s, err := Parse("the story file", script)
	if err != nil {
		return Story{}, err
	}
	return s.Tell(a, at)
}

// Tell makes the story of a as known at an instant. The error lists every
// object that the script names and the alliance does not have, and every
// system that claims name and the script leaves out.
func (s *Script) Tell(a *alliance.Alliance, at time.Time) (Story, error) {
	k := newKnowledge(a, at)
	st := Story{Title: a.Title, Notice: a.Notice, At: alliance.Date{Time: at.UTC()}}
	var faults []error
	cards := map[string]bool{}
	for _, sc := range s.Cards {
		card := Card{ID: sc.ID, Title: sc.Title, Command: sc.Command, Proves: sc.Proves, Built: sc.Built, Missing: sc.Missing}
		for _, c := range k.bySystem[sc.ID] {
			card.Claims = append(card.Claims, k.show(c))
		}
		for _, id := range sc.Objects {
			o, known, ok := find(a, id)
			switch {
			case !ok:
				faults = append(faults, fmt.Errorf("card %s: the alliance has no object %q: correct the id or take it out", sc.ID, id))
			case !known.After(at):
				card.Objects = append(card.Objects, o)
			}
		}
		if card.Built {
			st.Built++
		} else {
			st.NotYet++
		}
		cards[sc.ID] = true
		st.Cards = append(st.Cards, card)
	}
	for i := range a.Claims {
		for _, id := range a.Claims[i].Systems {
			if !cards[id] {
				cards[id] = true
				faults = append(faults, fmt.Errorf("claim %s names the system %s, which has no card: add one", a.Claims[i].ID, id))
			}
		}
	}
	st.Articles = k.articles(s)
	return st, errors.Join(faults...)
}

// Card returns the card with the id, or nil.
func (st *Story) Card(id string) *Card {
	for i := range st.Cards {
		if st.Cards[i].ID == id {
			return &st.Cards[i]
		}
	}
	return nil
}

// knowledge is what an alliance's claims said at an instant.
type knowledge struct {
	a        *alliance.Alliance
	at       time.Time
	bySystem map[string][]*alliance.Claim
	later    map[alliance.ClaimID][]alliance.ClaimID // who supersedes
	counter  map[alliance.ClaimID][]alliance.ClaimID // who contradicts, both ways
}

func newKnowledge(a *alliance.Alliance, at time.Time) *knowledge {
	k := &knowledge{
		a: a, at: at,
		bySystem: map[string][]*alliance.Claim{},
		later:    map[alliance.ClaimID][]alliance.ClaimID{},
		counter:  map[alliance.ClaimID][]alliance.ClaimID{},
	}
	for i := range a.Claims {
		c := &a.Claims[i]
		if !k.known(c) {
			continue
		}
		for _, s := range c.Systems {
			k.bySystem[s] = append(k.bySystem[s], c)
		}
		for _, id := range c.Supersedes {
			k.later[id] = append(k.later[id], c.ID)
		}
		for _, id := range c.Conflicts {
			k.contradict(c.ID, id)
			k.contradict(id, c.ID)
		}
	}
	for _, list := range k.bySystem {
		slices.SortFunc(list, func(x, y *alliance.Claim) int {
			return cmp.Or(x.Known.Compare(y.Known.Time), cmp.Compare(x.ID, y.ID))
		})
	}
	return k
}

func (k *knowledge) known(c *alliance.Claim) bool { return c != nil && !c.Known.After(k.at) }

func (k *knowledge) contradict(a, b alliance.ClaimID) {
	if k.known(k.a.Claim(b)) && !slices.Contains(k.counter[a], b) {
		k.counter[a] = append(k.counter[a], b)
	}
}

func (k *knowledge) show(c *alliance.Claim) Claim {
	return Claim{
		ID: c.ID, Says: c.Says, Mood: c.Mood, Status: c.Status, Figure: figure(c), Grade: c.Source.Grade, Source: sourceOf(c), Known: c.Known,
		SupersededBy: k.later[c.ID], Conflicts: k.counter[c.ID],
	}
}

func sourceOf(c *alliance.Claim) string {
	for _, s := range [...]string{c.Source.File, c.Source.URL, c.Source.Title} {
		if s != "" {
			return s
		}
	}
	return c.Source.Kind
}

// articles lists those that had appeared, each with what rests on it.
func (k *knowledge) articles(s *Script) []Article {
	var out []Article
	for _, sa := range s.Articles {
		if sa.Date.After(k.at) {
			continue
		}
		art := Article{File: sa.File, Title: sa.Title, Date: sa.Date, Dated: sa.Dated}
		for i := range k.a.Claims {
			c := &k.a.Claims[i]
			if c.Source.File != sa.File || !k.known(c) {
				continue
			}
			art.Claims++
			for _, id := range c.Systems {
				if !slices.Contains(art.Cards, id) {
					art.Cards = append(art.Cards, id)
				}
			}
		}
		slices.Sort(art.Cards)
		out = append(out, art)
	}
	return out
}
