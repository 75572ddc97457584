package app

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/right"
)

// RightsQuestion asks whether something may be offered, from the command line.
type RightsQuestion struct {
	File, Model, Object, Channel, Territory, Plan, Surface, At, KnownAt string
	Now                                                                 time.Time
	JSON                                                                bool
}

// rightsAnswer is the answer as JSON tells it.
type rightsAnswer struct {
	Allowed   bool          `json:"allowed"`
	Model     string        `json:"model"`
	Object    string        `json:"object"`
	Channel   string        `json:"channel"`
	Territory string        `json:"territory"`
	Plan      string        `json:"plan,omitempty"`
	At        alliance.Date `json:"at"`
	KnownAt   alliance.Date `json:"known_at"`
	Reason    string        `json:"reason"`
	By        *rightShown   `json:"by,omitempty"`
	Refused   []rightShown  `json:"refused_by,omitempty"`
	Conflicts []claimShown  `json:"conflicting_claims,omitempty"`
	// Rollout says where a variant is switched on, or why plan, surface or territory refuse it.
	Rollout       string       `json:"rollout,omitempty"`
	RolloutClaims []claimShown `json:"rollout_claims,omitempty"`
	// Surfaces are those that a request must come from, where none was asked about.
	Surfaces []string `json:"surfaces,omitempty"`
	// Plans offer it, where none was asked about; Note says so for people.
	Plans []alliance.PlanID `json:"plans,omitempty"`
	Note  string            `json:"note,omitempty"`
}

type rightShown struct {
	ID          alliance.RightID     `json:"id"`
	Title       string               `json:"title"`
	Mode        alliance.Mode        `json:"mode"`
	State       string               `json:"state,omitempty"`
	Regions     []alliance.Region    `json:"regions,omitempty"`
	Territories []alliance.Territory `json:"territories,omitempty"`
	From        alliance.Date        `json:"from"`
	Until       alliance.Date        `json:"until"`
	UntilLatest alliance.Date        `json:"until_latest"`
	Known       alliance.Date        `json:"known"`
	Why         string               `json:"why,omitempty"`
	Claims      []claimShown         `json:"claims"`
}

type claimShown struct {
	ID     alliance.ClaimID `json:"id"`
	Status string           `json:"status"`
	Grade  string           `json:"grade"`
	Source string           `json:"source"`
	Known  alliance.Date    `json:"known"`
	Says   string           `json:"says"`
}

// ExplainRights answers q from the rights of an alliance file and writes the
// right, its claims and what contradicts them. Refused is an ExitError with
// ExitRefused.
func ExplainRights(w io.Writer, q RightsQuestion) error {
	answer, err := askRights(q)
	if err != nil {
		return err
	}
	if q.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		err = enc.Encode(answer)
	} else {
		err = answer.write(w)
	}
	if err == nil && !answer.Allowed {
		err = ExitError{Code: ExitRefused}
	}
	return err
}

func askRights(q RightsQuestion) (*rightsAnswer, error) {
	at, err := parseInstant("at", q.At, q.Now)
	if err != nil {
		return nil, err
	}
	known, err := parseInstant("known-at", q.KnownAt, q.Now)
	if err != nil {
		return nil, err
	}
	a, err := loadTerms(q.File)
	if err != nil {
		return nil, err
	}
	query := right.Query{
		Object: q.Object, Model: alliance.ModelID(q.Model), Seller: a.Operator,
		Channel: alliance.ChannelID(q.Channel), Territory: alliance.Territory(q.Territory), At: at, Known: known,
	}
	if err := resolveQuestion(a, q, &query); err != nil {
		return nil, ExitError{ExitUsage, err}
	}
	v := right.New(a).Evaluate(query)
	answer := &rightsAnswer{
		Allowed: v.Allowed, Model: q.Model, Object: q.Object, Channel: q.Channel, Territory: q.Territory, Plan: q.Plan,
		At: alliance.Date{Time: at}, KnownAt: alliance.Date{Time: known}, Reason: v.Reason, Conflicts: showClaims(v.Conflicts),
	}
	if v.By != nil {
		shown := showRight(a, v.By, "")
		answer.By = &shown
	}
	for _, r := range v.Refusals {
		answer.Refused = append(answer.Refused, showRight(a, r.Right, r.Why))
	}
	judgeOffer(a, &query, q, at, answer)
	return answer, nil
}

// resolveQuestion checks the names in q and takes the seller from the plan.
func resolveQuestion(a *alliance.Alliance, q RightsQuestion, query *right.Query) error {
	id := alliance.ModelID(q.Model)
	if q.Model == "" || q.Channel == "" {
		return fmt.Errorf("name --model and --channel, or the x-request-id of a request")
	}
	if a.Model(id) == nil && a.Family(id) == nil && a.Variant(id) == nil {
		return fmt.Errorf("--model %q is no model, family or variant of the file", q.Model)
	}
	if a.Channel(query.Channel) == nil {
		return fmt.Errorf("--channel %q is no channel of the file", q.Channel)
	}
	if !file.IsTerritory(q.Territory) {
		return fmt.Errorf("--territory %q is no territory: write a country code such as US, EU, or \"*\" for anywhere", q.Territory)
	}
	if q.Plan == "" {
		return nil
	}
	plan := a.Plan(alliance.PlanID(q.Plan))
	if plan == nil {
		return fmt.Errorf("--plan %q is no plan of the file", q.Plan)
	}
	query.Seller = plan.Seller
	return nil
}

func showRight(a *alliance.Alliance, r *alliance.Right, why string) rightShown {
	shown := rightShown{
		ID: r.ID, Title: r.Title, Mode: r.Mode, State: r.State, Regions: r.Regions, Territories: r.Territories,
		From: r.From, Until: r.Until, UntilLatest: r.UntilLatest, Known: r.Known, Why: why,
	}
	for _, id := range r.Claim {
		if c := a.Claim(id); c != nil {
			shown.Claims = append(shown.Claims, showClaim(c))
		}
	}
	return shown
}

func showClaims(claims []*alliance.Claim) (out []claimShown) {
	for _, c := range claims {
		out = append(out, showClaim(c))
	}
	return out
}

func showClaim(c *alliance.Claim) claimShown {
	source := c.Source.File
	for _, s := range []string{c.Source.Title, c.Source.URL} {
		if source == "" {
			source = s
		}
	}
	return claimShown{c.ID, c.Status, c.Source.Grade, source, c.Known, c.Says}
}

func (r *rightsAnswer) write(w io.Writer) error {
	var b strings.Builder
	word := "REFUSED"
	if r.Allowed {
		word = "ALLOWED"
	}
	fmt.Fprintf(&b, "%s  %s of %s on %s in %s, at %s as known at %s\n  %s\n", word, r.Object, r.Model, r.Channel, r.Territory, r.At, r.KnownAt, r.Reason)
	if r.By != nil {
		r.By.write(&b, "by right")
	}
	for _, refused := range r.Refused {
		refused.write(&b, "refused by right")
	}
	if r.Rollout != "" {
		if r.Allowed { // else it is the reason, which is told already
			fmt.Fprintf(&b, "  rollout: %s\n", r.Rollout)
		}
		for _, c := range r.RolloutClaims {
			c.write(&b)
		}
	}
	r.conditions(&b)
	for _, c := range r.Conflicts {
		fmt.Fprintf(&b, "  conflicting claim, not followed:\n")
		c.write(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r rightShown) write(b *strings.Builder, label string) {
	fmt.Fprintf(b, "  %s %s (%s): %s\n", label, r.ID, r.Mode, r.Title)
	until := r.Until.String()
	if !r.UntilLatest.IsZero() {
		until += " to " + r.UntilLatest.String()
	}
	if until == "" {
		until = "further notice"
	}
	fmt.Fprintf(b, "    holds from %s until %s; known since %s\n", r.From, until, r.Known)
	if r.Why != "" {
		fmt.Fprintf(b, "    %s\n", r.Why)
	}
	if r.State != "" {
		fmt.Fprintf(b, "    state: %s\n", r.State)
	}
	if len(r.Regions) > 0 {
		fmt.Fprintf(b, "    regions: %s\n", joinIDs(r.Regions))
	}
	for _, c := range r.Claims {
		c.write(b)
	}
}

func (c claimShown) write(b *strings.Builder) {
	fmt.Fprintf(b, "    claim %s [%s, grade %s, %s, known %s]: %s\n", c.ID, c.Status, c.Grade, c.Source, c.Known, c.Says)
}

func joinIDs[T ~string](ids []T) string {
	parts := make([]string, len(ids))
	for i, id := range ids {
		parts[i] = string(id)
	}
	return strings.Join(parts, ", ")
}
