package console

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/admin"
)

const (
	maxChatForm   = 256 << 10
	maxChatAnswer = 1 << 20
)

// The headers by which a question says as whom it is asked.
const (
	headerAskAs     = "X-Accordo-Ask-As"
	headerTerritory = "X-Accordo-Territory"
	headerEndUser   = "X-Accordo-End-User"
	headerSurface   = "X-Accordo-Surface"
)

// question is what the form asks.
type question struct {
	Key, Model, Territory, EndUser, Surface, Prompt string
}

type chatBody struct {
	Askers      []admin.Asker
	Suggestions []admin.Suggestion
	Models      []string // of all askers, for the form's list
	Ask         question
	Answer      *answer
	Row         *admin.Request // who served it
	StandIn     string         // as the answer's header says
}

// answer is an answer of the API, or its error.
type answer struct {
	Status    int
	Text      string
	Code      string // of an error
	RequestID string
}

// Refused reports an error in place of an answer.
func (a *answer) Refused() bool { return a.Status != http.StatusOK }

func (c *console) chat(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	body := c.chatBody()
	body.Ask = question{q.Get("key"), q.Get("model"), q.Get("territory"), q.Get("end_user"), q.Get("surface"), q.Get("prompt")}
	if body.Ask.Key == "" && len(body.Askers) > 0 {
		widest := slices.MaxFunc(body.Askers, func(a, b admin.Asker) int { return cmp.Compare(len(a.Models), len(b.Models)) })
		body.Ask.Key = widest.Key
		if len(widest.Models) > 0 {
			body.Ask.Model = widest.Models[0]
		}
	}
	return c.render(w, r, http.StatusOK, "chat", page{Title: "Chat", Nav: "chat", Body: body})
}

func (c *console) chatBody() chatBody {
	body := chatBody{Askers: c.chatter.Askers(), Suggestions: c.chatter.Suggestions()}
	seen := map[string]bool{}
	for _, a := range body.Askers {
		for _, m := range a.Models {
			if !seen[m] {
				seen[m] = true
				body.Models = append(body.Models, m)
			}
		}
	}
	return body
}

// ask answers the form itself, for browsers without scripts.
func (c *console) ask(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxChatForm)
	if err := r.ParseForm(); err != nil {
		return admin.BadRequestError{Says: "That form could not be read; a question may have up to 256 KiB."}
	}
	f := r.PostForm
	body := c.chatBody()
	body.Ask = question{f.Get("key"), f.Get("model"), f.Get("territory"), f.Get("end_user"), f.Get("surface"), f.Get("prompt")}
	asked, err := c.questionRequest(r, body.Ask)
	if err != nil {
		return err
	}
	var got recorder
	c.chatter.Chat(&got, asked)
	body.Answer = got.answer()
	body.StandIn = got.Header().Get("X-Accordo-Stand-In")
	body.Row = c.recent(body.Answer.RequestID)
	return c.render(w, r, http.StatusOK, "chat", page{Title: "Chat", Nav: "chat", Body: body})
}

func (c *console) questionRequest(r *http.Request, q question) (*http.Request, error) {
	data, err := json.Marshal(map[string]any{"model": q.Model, "messages": []map[string]string{{"role": "user", "content": q.Prompt}}})
	if err != nil {
		return nil, fmt.Errorf("write the question: %w", err)
	}
	asked, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "/chat/completions", bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("make the question: %w", err)
	}
	asked.Header.Set("Content-Type", "application/json")
	for name, v := range map[string]string{headerAskAs: q.Key, headerTerritory: q.Territory, headerEndUser: q.EndUser, headerSurface: q.Surface} {
		if v = strings.TrimSpace(v); v != "" {
			asked.Header.Set(name, v)
		}
	}
	return asked, nil
}

// servedBy is the panel beside an answer: who served it at what cost.
func (c *console) servedBy(w http.ResponseWriter, r *http.Request) error {
	row := c.recent(r.PathValue("id"))
	if row == nil {
		return admin.ErrNotFound
	}
	var b bytes.Buffer
	if err := c.forms().panel.Execute(&b, panelView{row, c.source.Overview(c.now()).Currency}); err != nil {
		return fmt.Errorf("render the panel: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = b.WriteTo(w) // a client that left needs no error
	return nil
}

// panelView is what the panel shows.
type panelView struct {
	*admin.Request
	Currency string
}

// Panel joins the row of an answer with the currency.
func (b chatBody) Panel(currency string) panelView { return panelView{b.Row, currency} }

// recorder takes a plain answer up to a limit.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body.Write(b[:min(len(b), maxChatAnswer-w.body.Len())])
	return len(b), nil
}

// answer reads the API's answer or error.
func (w *recorder) answer() *answer {
	a := &answer{Status: w.status, RequestID: w.Header().Get("X-Request-Id")}
	var got struct {
		Choices []struct {
			Message struct {
				Content string `json:"content"`
			} `json:"message"`
		} `json:"choices"`
		Error struct {
			Message string `json:"message"`
			Code    any    `json:"code"`
		} `json:"error"`
	}
	switch err := json.Unmarshal(w.body.Bytes(), &got); {
	case err != nil:
		a.Text = strings.TrimSpace(w.body.String())
	case len(got.Choices) > 0:
		a.Text = got.Choices[0].Message.Content
	default:
		a.Text = got.Error.Message
		if got.Error.Code != nil {
			a.Code = fmt.Sprint(got.Error.Code)
		}
	}
	return a
}
