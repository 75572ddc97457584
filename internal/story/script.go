package story

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/goccy/go-yaml"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// Limits of a story file. They are far above what people write.
const (
	// MaxScriptBytes bounds the file.
	MaxScriptBytes = 1 << 20
	// MaxArticles bounds the articles.
	MaxArticles = 100
	// MaxCards bounds the cards.
	MaxCards = 500
)

// Script is what the story file says; the claims come from the alliance.
type Script struct {
	Articles []ScriptArticle `yaml:"articles"`
	Cards    []ScriptCard    `yaml:"cards"`
}

// ScriptArticle is one article that the story is told from.
type ScriptArticle struct {
	File  string        `yaml:"file"` // as claims name it in their source
	Title string        `yaml:"title"`
	Date  alliance.Date `yaml:"date"`
	Dated string        `yaml:"dated"` // how well the date is known, for people
}

// ScriptCard is one system that the articles name.
type ScriptCard struct {
	ID    string `yaml:"id"` // as claims name it in their systems
	Title string `yaml:"title"`
	// Objects are ids of the alliance that the system became.
	Objects []string `yaml:"objects,omitempty"`
	// Command proves a built card; Proves says what it shows.
	Command string `yaml:"command,omitempty"`
	Proves  string `yaml:"proves,omitempty"`
	Built   bool   `yaml:"built"`
	// Missing says what is not there yet.
	Missing string `yaml:"missing,omitempty"`
}

var cardID = regexp.MustCompile(`^S[0-9]{2}$`)

// Parse reads a story file strictly and checks what can be checked without
// an alliance. name is what errors call the file.
func Parse(name string, data []byte) (*Script, error) {
	if len(data) > MaxScriptBytes {
		return nil, fmt.Errorf("%s: larger than %d bytes: split the story or shorten it", name, MaxScriptBytes)
	}
	s := new(Script)
	if err := decode(data, s); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// decode turns a panic of the library on odd input into an error.
func decode(data []byte, s *Script) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("this cannot be read as YAML: simplify its syntax")
		}
	}()
	err = yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(s)
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty: write the lists articles and cards")
	}
	return err
}

func (s *Script) check() error {
	var faults []error
	if len(s.Articles) > MaxArticles || len(s.Cards) > MaxCards {
		return fmt.Errorf("at most %d articles and %d cards are read", MaxArticles, MaxCards)
	}
	seen := map[string]bool{}
	for i, a := range s.Articles {
		if a.File == "" || a.Title == "" || a.Date.IsZero() {
			faults = append(faults, fmt.Errorf("article %d: write file, title and date", i+1))
		}
		if seen[a.File] {
			faults = append(faults, fmt.Errorf("article %s is listed twice: list it once", a.File))
		}
		seen[a.File] = true
		if i > 0 && a.Date.Before(s.Articles[i-1].Date.Time) {
			faults = append(faults, fmt.Errorf("article %s is out of order: sort articles by date", a.File))
		}
	}
	for i, c := range s.Cards {
		switch {
		case !cardID.MatchString(c.ID) || c.Title == "":
			faults = append(faults, fmt.Errorf("card %d: write an id from S01 to S99 and a title", i+1))
		case seen[c.ID]:
			faults = append(faults, fmt.Errorf("card %s is listed twice: list it once", c.ID))
		case c.Built && (c.Command == "" || c.Proves == ""):
			faults = append(faults, fmt.Errorf("card %s is built but proves nothing: write command and proves, or built: false", c.ID))
		case !c.Built && c.Missing == "":
			faults = append(faults, fmt.Errorf("card %s is not built: say under missing what is not there", c.ID))
		}
		seen[c.ID] = true
	}
	return errors.Join(faults...)
}
