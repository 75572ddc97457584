package app

import (
	"fmt"
	"io"
	"time"

	"github.com/accordo-ai/accordo/examples"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/story"
)

// storyCards is the example's file of cards.
const storyCards = "openai-amazon/story.yaml"

func loadStory(a *alliance.Alliance, at time.Time) (story.Story, error) {
	cards, err := examples.FS.ReadFile(storyCards)
	if err != nil {
		return story.Story{}, err
	}
	return story.Build(a, cards, at)
}

// Tell writes the story of the built-in example, or one card of it, as known
// at a date.
func Tell(w io.Writer, at, card string, now time.Time, asJSON bool) error {
	known, err := parseInstant("at", at, now)
	if err != nil {
		return err
	}
	a, err := loadTerms("")
	if err != nil {
		return err
	}
	told, err := loadStory(a, known)
	if err != nil {
		return err
	}
	if card == "" {
		return show(w, asJSON, told, told.Write)
	}
	c := told.Card(card)
	if c == nil {
		return ExitError{ExitUsage, fmt.Errorf("--card %q is not a card: they are S01 to S%02d", card, len(told.Cards))}
	}
	return show(w, asJSON, c, c.Write)
}

// Claims writes what is known of ids at a date, or of everything.
func Claims(w io.Writer, name, at string, ids []string, now time.Time, asJSON bool) error {
	known, err := parseInstant("at", at, now)
	if err != nil {
		return err
	}
	a, err := loadTerms(name)
	if err != nil {
		return err
	}
	claims, err := story.AskClaims(a, known, ids)
	if err != nil {
		return ExitError{ExitUsage, err}
	}
	return show(w, asJSON, claims, claims.Write)
}
