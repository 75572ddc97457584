package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/story"
)

// storyBody is the front page.
type storyBody struct {
	Story    story.Story
	Articles []articleView
	Cards    []cardView
	Shown    int
	// At is the date asked for as the address has it, "" for now.
	At     string
	Today  string
	Dates  []time.Time // on which something became known, oldest first
	Step   int         // the one of Dates that At falls on
	Filter filter
	Firm   []string // what Filter.Firm can be
	Files  []story.Article
}

type filter struct{ Built, Article, Firm string }

type articleView struct {
	story.Article
	Chosen bool
}

// cardView is a card with how firm its firmest claim is.
type cardView struct {
	story.Card
	First, More []claimView
}

// claimView is a claim with its firmness, as claims are parted by it.
type claimView struct {
	story.Claim
	Firm string
	At   string
}

// story is the front page; terms without a story get an overview.
func (c *console) story(w http.ResponseWriter, r *http.Request) error {
	now := c.now()
	full, ok := c.source.Story(now)
	if !ok {
		return c.overview(w, r, now)
	}
	firm, dates, err := c.firmness(now)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	body := storyBody{Today: now.UTC().Format(time.DateOnly), Dates: dates, Files: full.Articles, Filter: filter{q.Get("built"), q.Get("article"), q.Get("firm")}}
	at, err := askedDate(q, dates, now)
	if err != nil {
		return err
	}
	body.Story = full
	if !at.Equal(now) {
		body.At = at.Format(time.DateOnly)
		if body.Story, ok = c.source.Story(at); !ok {
			return c.overview(w, r, now)
		}
		if firm, _, err = c.firmness(at); err != nil {
			return err
		}
	}
	for i, d := range dates {
		if !d.After(at) {
			body.Step = i
		}
	}
	body.fill(firm)
	return c.render(w, r, http.StatusOK, "story", page{Title: "The story", Nav: "story", Body: body})
}

// askedDate reads the date that the address asks for: a day, or a step of the
// slider; without either it is now.
func askedDate(q url.Values, dates []time.Time, now time.Time) (time.Time, error) {
	if text := q.Get("at"); text != "" {
		at, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return now, admin.BadRequestError{Says: "Write the date as YEAR-MONTH-DAY, such as 2026-02-06."}
		}
		return at, nil
	}
	step, err := strconv.Atoi(q.Get("step"))
	if err != nil || step < 0 || step >= len(dates)-1 {
		return now, nil // the last step is today
	}
	return dates[step], nil
}

// firmness says of each claim known at a date how firm it is, and on which
// days claims became known.
func (c *console) firmness(at time.Time) (map[alliance.ClaimID]string, []time.Time, error) {
	known, err := c.source.Claims(at, nil)
	if err != nil {
		return nil, nil, err
	}
	firm := map[alliance.ClaimID]string{}
	var dates []time.Time
	for _, g := range known.Groups {
		for _, cl := range g.Claims {
			firm[cl.ID] = g.Title
			dates = append(dates, cl.Known.Time)
		}
	}
	slices.SortFunc(dates, time.Time.Compare)
	return firm, slices.CompactFunc(dates, time.Time.Equal), nil
}

// shownClaims is how many claims of a card stand open.
const shownClaims = 2

func (b *storyBody) fill(firm map[alliance.ClaimID]string) {
	for i := range b.Story.Articles {
		a := b.Story.Articles[i]
		b.Articles = append(b.Articles, articleView{a, a.File == b.Filter.Article})
	}
	for i := range b.Story.Cards {
		card := cardView{Card: b.Story.Cards[i]}
		matches := b.Filter.Article == "" && b.Filter.Firm == ""
		for _, cl := range card.Claims {
			v := claimView{cl, firm[cl.ID], b.At}
			if !slices.Contains(b.Firm, v.Firm) {
				b.Firm = append(b.Firm, v.Firm)
			}
			if (b.Filter.Article == "" || cl.Source == b.Filter.Article) && (b.Filter.Firm == "" || v.Firm == b.Filter.Firm) {
				matches = true
			}
			if len(card.First) < shownClaims {
				card.First = append(card.First, v)
			} else {
				card.More = append(card.More, v)
			}
		}
		if b.Filter.Built == "yes" && !card.Built || b.Filter.Built == "no" && card.Built || !matches {
			continue
		}
		b.Cards = append(b.Cards, card)
	}
	b.Shown = len(b.Cards)
	slices.Sort(b.Firm)
}

// BuiltPPM is the share of cards that are built, in parts per million.
func (b storyBody) BuiltPPM() int64 {
	all := b.Story.Built + b.Story.NotYet
	if all == 0 {
		return 0
	}
	return int64(b.Story.Built) * 1_000_000 / int64(all)
}

// LastStep is the step of the slider that means today.
func (b storyBody) LastStep() int { return max(0, len(b.Dates)-1) }

// Jumps are the days on which the articles appeared, each once.
func (b storyBody) Jumps() []alliance.Date {
	var days []alliance.Date
	for _, f := range b.Files {
		days = append(days, f.Date)
	}
	return slices.CompactFunc(days, func(x, y alliance.Date) bool { return x.Equal(y.Time) })
}

// overviewBody greets where the terms come without a story.
type overviewBody struct {
	Pools, Contracts int
	Groups           []story.Group
}

func (c *console) overview(w http.ResponseWriter, r *http.Request, now time.Time) error {
	known, err := c.source.Claims(now, nil)
	if err != nil {
		return err
	}
	body := overviewBody{len(c.source.Pools(now)), len(c.source.Contracts(now)), known.Groups}
	return c.render(w, r, http.StatusOK, "overview", page{Title: "Overview", Nav: "story", Body: body})
}

// claimsBody is what is known about one id, or about everything.
type claimsBody struct {
	ID     string
	At     string
	Known  *story.Claims
	Groups []claimGroup
	Answer *answerView
}

type claimGroup struct {
	Title  string
	Claims []claimView
}

type answerView struct {
	story.Answer
	Shown []claimView
}

func (c *console) claims(w http.ResponseWriter, r *http.Request) error {
	at, err := askedDate(url.Values{"at": {r.URL.Query().Get("at")}}, nil, c.now())
	if err != nil {
		return err
	}
	body := claimsBody{ID: r.PathValue("id"), At: r.URL.Query().Get("at")}
	var ids []string
	if body.ID != "" {
		ids = []string{body.ID}
	}
	if body.Known, err = c.source.Claims(at, ids); err != nil {
		return err
	}
	firm, _, err := c.firmness(at)
	if err != nil {
		return err
	}
	for _, g := range body.Known.Groups {
		body.Groups = append(body.Groups, claimGroup{g.Title, viewClaims(g.Claims, firm, body.At)})
	}
	if body.ID != "" && len(body.Known.Answers) > 0 {
		a := body.Known.Answers[0]
		body.Answer = &answerView{a, viewClaims(a.Claims, firm, body.At)}
	}
	title := "Claims"
	if body.ID != "" {
		title = body.ID
	}
	return c.render(w, r, http.StatusOK, "claims", page{Title: title, Nav: "claims", Body: body})
}

func viewClaims(list []story.Claim, firm map[alliance.ClaimID]string, at string) (out []claimView) {
	for _, cl := range list {
		out = append(out, claimView{cl, firm[cl.ID], at})
	}
	return out
}
