package story_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/examples"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/story"
)

var update = flag.Bool("update", false, "write the golden files")

func day(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func example(t *testing.T) (*alliance.Alliance, *story.Script) {
	t.Helper()
	a, _, err := file.LoadFS(examples.FS, "openai-amazon/alliance.yaml", "")
	if err != nil {
		t.Fatal(err)
	}
	data, err := examples.FS.ReadFile("openai-amazon/story.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := story.Parse("story.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	return a, s
}

func build(t *testing.T, at string) *story.Story {
	t.Helper()
	a, s := example(t)
	st, err := s.Tell(a, day(t, at))
	if err != nil {
		t.Fatal(err)
	}
	return &st
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", name, diff)
	}
}

func TestBuild_TellsFortyCardsAndCountsThem(t *testing.T) {
	st := build(t, "2026-11-22")
	if len(st.Cards) != 40 || st.Built+st.NotYet != 40 || st.Built == 0 || st.NotYet == 0 {
		t.Fatalf("%d cards, %d built, %d not yet", len(st.Cards), st.Built, st.NotYet)
	}
	if len(st.Articles) != 5 {
		t.Fatalf("%d articles", len(st.Articles))
	}
	claims := 0
	for _, a := range st.Articles {
		claims += a.Claims
	}
	if claims != 133 {
		t.Errorf("the articles hold %d claims, want 133", claims)
	}
	for i, c := range st.Cards {
		if len(c.Claims) == 0 {
			t.Errorf("card %s has no claim", c.ID)
		}
		if i > 0 && st.Cards[i-1].ID >= c.ID {
			t.Errorf("card %s after %s", c.ID, st.Cards[i-1].ID)
		}
		if c.Built && !strings.HasPrefix(c.Command, "accordo ") {
			t.Errorf("card %s is proved by %q", c.ID, c.Command)
		}
	}
}

func TestBuild_ShowsOnlyWhatWasKnown(t *testing.T) {
	for _, tt := range []struct {
		name, at      string
		articles      int
		card          string
		claims        []alliance.ClaimID
		objects       []string
		superseded    map[alliance.ClaimID][]alliance.ClaimID
		contradiction map[alliance.ClaimID][]alliance.ClaimID
	}{
		{
			name: "before the first article only older records are known", at: "2025-11-01", card: "S26", claims: []alliance.ClaimID{"P08"},
			objects: []string{"gpt-oss-20b", "gpt-oss-120b", "open-weights-apache", "open-weights-served"},
		},
		{name: "in November E12 stands alone", at: "2025-12-01", articles: 2, card: "S24", claims: []alliance.ClaimID{"E12"}, objects: []string{"aws-bedrock"}},
		{
			name: "in December it is contradicted", at: "2025-12-20", articles: 4, card: "S24", claims: []alliance.ClaimID{"E12", "C15", "C17"}, objects: []string{"aws-bedrock"},
			contradiction: map[alliance.ClaimID][]alliance.ClaimID{"E12": {"C12", "C15", "C16"}, "C15": {"E12"}},
		},
		{
			name: "in May C15 is overtaken", at: "2026-05-01", articles: 5, card: "S24", claims: []alliance.ClaimID{"E12", "C15", "C17", "P04", "P05", "P11", "P07"},
			objects:       []string{"aws-bedrock", "api-bedrock-preview", "stateful-runtime-bedrock", "frontier-agents-aws"},
			superseded:    map[alliance.ClaimID][]alliance.ClaimID{"C15": {"P07"}},
			contradiction: map[alliance.ClaimID][]alliance.ClaimID{"E12": {"C12", "C15", "C16"}, "C15": {"E12"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := build(t, tt.at)
			if len(st.Articles) != tt.articles {
				t.Errorf("%d articles, want %d", len(st.Articles), tt.articles)
			}
			card := st.Card(tt.card)
			var claims []alliance.ClaimID
			superseded, contradiction := map[alliance.ClaimID][]alliance.ClaimID{}, map[alliance.ClaimID][]alliance.ClaimID{}
			for _, c := range card.Claims {
				claims = append(claims, c.ID)
				if len(c.SupersededBy) > 0 {
					superseded[c.ID] = c.SupersededBy
				}
				if len(c.Conflicts) > 0 {
					contradiction[c.ID] = c.Conflicts
				}
			}
			var objects []string
			for _, o := range card.Objects {
				objects = append(objects, o.ID)
			}
			if diff := cmp.Diff(tt.claims, claims); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.objects, objects); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			if tt.superseded != nil || len(superseded) > 0 {
				if diff := cmp.Diff(tt.superseded, superseded); diff != "" {
					t.Errorf("superseded (-want +got):\n%s", diff)
				}
			}
			if tt.contradiction != nil || len(contradiction) > 0 {
				if diff := cmp.Diff(tt.contradiction, contradiction); diff != "" {
					t.Errorf("contradicted (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestBuild_ReadsTheStoryFile(t *testing.T) {
	a, _ := example(t)
	data, err := examples.FS.ReadFile("openai-amazon/story.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := story.Build(a, data, day(t, "2026-11-22"))
	if err != nil || len(st.Cards) != 40 {
		t.Errorf("%d cards and error %v", len(st.Cards), err)
	}
	if _, err := story.Build(a, []byte("cards: 3"), day(t, "2026-11-22")); err == nil {
		t.Error("a broken story file was read")
	}
}

func TestBuild_NamesEveryUnknownObjectAndMissingCard(t *testing.T) {
	a, s := example(t)
	s.Cards = append(s.Cards[:0:0], s.Cards[1:]...)
	s.Cards[0].Objects = []string{"no-such-deal"}
	_, err := s.Tell(a, day(t, "2026-11-22"))
	if err == nil || !strings.Contains(err.Error(), `no object "no-such-deal"`) || !strings.Contains(err.Error(), "names the system S01, which has no card") {
		t.Fatalf("error: %v", err)
	}
}

func TestWrite_Story(t *testing.T) {
	var b bytes.Buffer
	if err := build(t, "2025-12-20").Write(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "story-2025-12-20.txt", b.Bytes())
}

func TestWrite_Card(t *testing.T) {
	var b bytes.Buffer
	if err := build(t, "2026-11-22").Card("S25").Write(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "card-S25.txt", b.Bytes())
}

func TestAskClaims(t *testing.T) {
	a, _ := example(t)
	for _, tt := range []struct {
		name, at string
		ids      []string
		golden   string
	}{
		{name: "without ids all claims are parted by firmness", at: "2025-12-01", golden: "claims-all.txt"},
		{name: "a claim comes with what it touches", at: "2026-11-22", ids: []string{"E12", "C12", "B17"}, golden: "claims-claim.txt"},
		{name: "a deal comes with the history of its figure", at: "2026-11-22", ids: []string{"deal-amazon-equity"}, golden: "claims-deal.txt"},
		{
			name: "objects of every kind say what they are", at: "2026-11-22", golden: "claims-objects.txt",
			ids: []string{
				"aws-38bn", "azure-reserved", "api-bedrock-preview", "api-azure-press", "aws-trn3-us-east-2", "trainium3", "gb200", "assistant-custom", "assistant-free", "api",
				"gpt-5.5", "openai-frontier", "alexa", "cost-aws-gb200-gpt-5.5", "amazon", "demo", "demo-tenant", "total-commitments",
			},
		},
		{name: "a deal does not tell what became known later", at: "2025-12-20", ids: []string{"deal-amazon-equity"}, golden: "claims-deal-2025-12-20.txt"},
		{name: "a system answers with its claims", at: "2026-11-22", ids: []string{"S16"}, golden: "claims-system.txt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cs, err := story.AskClaims(a, day(t, tt.at), tt.ids)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := cs.Write(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, tt.golden, b.Bytes())
		})
	}
}

func TestAskClaims_EveryObjectOfTheExampleIsAnswered(t *testing.T) {
	a, s := example(t)
	for _, card := range s.Cards {
		if len(card.Objects) == 0 {
			continue
		}
		if _, err := story.AskClaims(a, day(t, "2026-11-22"), card.Objects); err != nil {
			t.Errorf("card %s: %v", card.ID, err)
		}
	}
}

func TestAskClaims_RefusesTheUnknownAndTheNotYetKnown(t *testing.T) {
	a, _ := example(t)
	_, err := story.AskClaims(a, day(t, "2026-02-06"), []string{"nothing", "P11", "api-bedrock-preview", "E12"})
	for _, want := range []string{`"nothing" is no claim`, "P11 became known on 2026-04-27", "right api-bedrock-preview became known on 2026-04-28"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "E12") {
		t.Errorf("E12 is known: %v", err)
	}
}
