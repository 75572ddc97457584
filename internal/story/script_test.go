package story_test

import (
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/examples"
	"github.com/accordo-ai/accordo/internal/story"
)

func TestParse_RefusesWhatIsWrong(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing at all", "", "the file is empty"},
		{"an unknown field", "cards:\n  - {id: S01, title: A, built: true, comand: x}\n", "comand"},
		{"no YAML", "cards: [", "cards"},
		{"a card without an id", "cards:\n  - {title: A, built: false, missing: all}\n", "card 1: write an id"},
		{"a card twice", "cards:\n  - {id: S01, title: A, missing: all}\n  - {id: S01, title: B, missing: all}\n", "S01 is listed twice"},
		{"a built card that proves nothing", "cards:\n  - {id: S01, title: A, built: true, command: accordo check}\n", "proves nothing"},
		{"an unbuilt card without a reason", "cards:\n  - {id: S01, title: A}\n", "say under missing"},
		{"an article without a date", "articles:\n  - {file: a.txt, title: A}\n", "article 1: write file, title and date"},
		{"an article twice", "articles:\n  - {file: a, title: A, date: 2025-11-04}\n  - {file: a, title: A, date: 2025-11-04}\n", "a is listed twice"},
		{"articles out of order", "articles:\n  - {file: a, title: A, date: 2025-11-04}\n  - {file: b, title: B, date: 2025-11-03}\n", "b is out of order"},
		{"a date that is none", "articles:\n  - {file: a, title: A, date: soon}\n", "soon"},
		{"too much", strings.Repeat("#", story.MaxScriptBytes+1), "larger than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := story.Parse("story.yaml", []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "story.yaml: ") {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestParse_RefusesTooManyCards(t *testing.T) {
	text := "cards:\n" + strings.Repeat("  - {id: S01, title: A, missing: all}\n", story.MaxCards+1)
	if _, err := story.Parse("story.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	data, err := examples.FS.ReadFile("openai-amazon/story.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("cards:\n  - {id: S01, title: A, built: true, command: x, proves: y}\n"))
	f.Add([]byte("articles:\n  - {file: a, title: A, date: 2025-11-04}\n"))
	f.Add([]byte("&a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := story.Parse("f", data)
		if (s == nil) == (err == nil) {
			t.Fatalf("script %v and error %v", s, err)
		}
		if s == nil {
			return
		}
		for _, c := range s.Cards {
			if c.Built && c.Command == "" {
				t.Fatalf("card %s is built without a command", c.ID)
			}
		}
	})
}
