// Package console renders the operator's pages: the story, pools, requests,
// contracts, the books and a chat. Everything is rendered here and embedded:
// it needs no build, no framework and no other server. It refuses to hold
// state, to decide or book anything, and to serve without the listener of
// admin in front of it, which authenticates.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// pageFiles are the pages that stand inside the layout.
var pageFiles = [...]string{"story", "overview", "pools", "requests", "request", "contracts", "contract", "ledger", "entries", "entry", "batches", "statements", "statement", "statementlines", "sales", "sale", "salelines", "margin", "invoices", "invoice", "difference", "suspense", "held", "claims", "chat", "partner", "error"}

// console serves the pages of one source.
type console struct {
	source  admin.Source
	chatter admin.Chatter
	player  admin.Player
	now     func() time.Time
	forms   func() *forms
	assets  map[string]asset
}

// forms are the templates.
type forms struct {
	pages map[string]*template.Template
	panel *template.Template
}

// parse reads the templates, each page with a layout of its own. They are read
// when the first page is asked for: a gateway that nobody looks at does without
// their memory.
func parse() *forms {
	base := template.Must(template.New("layout.html").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html"))
	f := &forms{pages: map[string]*template.Template{}, panel: base.Lookup("panel")}
	for _, name := range pageFiles {
		f.pages[name] = template.Must(template.Must(base.Clone()).ParseFS(templateFiles, "templates/"+name+".html"))
	}
	return f
}

// asset is a static file with the digest of its content.
type asset struct {
	data  []byte
	kind  string
	etag  string
	short string // for the address
}

// New returns the pages to mount on the operator's listener.
func New(source admin.Source, chatter admin.Chatter, player admin.Player, now func() time.Time) admin.Pages {
	c := &console{source: source, chatter: chatter, player: player, now: now, forms: sync.OnceValue(parse), assets: loadAssets()}
	static := http.NewServeMux()
	static.HandleFunc("GET /static/{file}", c.static)
	return admin.Pages{
		Routes: c.routes(), Static: static,
		Missing:   func(w http.ResponseWriter, r *http.Request) { c.fail(w, r, admin.ErrNotFound) },
		Forbidden: func(w http.ResponseWriter, r *http.Request) { c.fail(w, r, errForbidden) },
		Bad: func(w http.ResponseWriter, r *http.Request, status int, says string) {
			title := "That address cannot be read."
			if status == http.StatusMethodNotAllowed {
				title = "That cannot be done here."
			}
			c.failure(w, r, failure{status, title, says})
		},
	}
}

// routes are the pages with the roles that each is for.
func (c *console) routes() (list []admin.Route) {
	page := func(pattern string, roles admin.Roles, show func(w http.ResponseWriter, r *http.Request) error) {
		list = append(list, admin.Route{Pattern: pattern, For: roles, Serve: func(w http.ResponseWriter, r *http.Request) {
			if err := show(w, r); err != nil {
				c.fail(w, r, err)
			}
		}})
	}
	page("GET /{$}", admin.ForAll, c.home)
	page("GET /pools", admin.ForBooks, c.pools)
	page("GET /requests", admin.ForBooks, c.requests)
	page("GET /requests/{id}", admin.ForBooks, c.request)
	page("GET /contracts", admin.ForAll, c.contracts)
	page("GET /contracts/{id}", admin.ForAll, c.contract)
	page("GET /ledger", admin.ForBooks, c.ledger)
	page("GET /ledger/entries", admin.ForBooks, c.entries)
	page("GET /ledger/entries/{place}", admin.ForBooks, c.entry)
	page("GET /ledger/batches", admin.ForBooks, c.batches)
	page("POST /ledger/verify", admin.ForBooks, c.verify)
	page("GET /statements", admin.ForAll, c.statements)
	page("GET /statements/{party}", admin.ForAll, c.statement)
	page("GET /statements/{party}/lines", admin.ForAll, c.statementLines)
	page("GET /statements/{party}/pdf", admin.ForAll, c.statementPDF)
	page("GET /sales", admin.ForAll, c.sales)
	page("GET /sales/{customer}", admin.ForAll, c.sale)
	page("GET /sales/{customer}/lines", admin.ForAll, c.saleLines)
	page("GET /sales/{customer}/pdf", admin.ForAll, c.salePDF)
	page("GET /margin", admin.ForBooks, c.margin)
	page("GET /invoices", admin.ForBooks, c.invoices)
	page("GET /invoices/{id}", admin.ForBooks, c.invoice)
	page("GET /invoices/differences/{id}", admin.ForBooks, c.difference)
	page("POST /invoices/differences/{id}", admin.ForBooks, c.difference)
	page("GET /suspense", admin.ForBooks, c.suspense)
	page("GET /suspense/{attempt}", admin.ForBooks, c.held)
	page("POST /suspense/{attempt}", admin.ForBooks, c.held)
	page("GET /claims", admin.ForBooks, c.claims)
	page("GET /claims/{id}", admin.ForBooks, c.claims)
	page("GET /chat", admin.ForOperator, c.chat)
	page("POST /chat", admin.ForOperator, c.ask)
	page("GET /chat/panel/{id}", admin.ForOperator, c.servedBy)
	page("POST /play", admin.ForOperator, c.play)
	page("POST /play/stop", admin.ForOperator, c.stopPlay)
	return append(list, admin.Route{Pattern: "POST /chat/completions", For: admin.ForOperator, Serve: c.chatter.Chat})
}

// home is the first page: the story, and for a partner its statement.
func (c *console) home(w http.ResponseWriter, r *http.Request) error {
	if admin.AccessOf(r.Context()).Role == admin.Partner {
		http.Redirect(w, r, "/statements", http.StatusSeeOther)
		return nil
	}
	return c.story(w, r)
}

// page is what every page has; Body is its own.
type page struct {
	Title    string
	Nav      string // the entry of the navigation that it belongs to
	Live     bool   // parts of it change by themselves
	Now      time.Time
	Overview admin.Overview
	Ready    admin.Readiness
	Play     admin.Play
	Who      admin.Access
	Query    url.Values
	CSS, JS  string
	Icon     string
	Body     any
}

// render writes a page whole or not at all.
func (c *console) render(w http.ResponseWriter, r *http.Request, status int, name string, p page) error {
	if name := wantsCSV(r); name != "" && status == http.StatusOK && r.Method == http.MethodGet {
		return writeCSV(w, p.Body, name)
	}
	p.Now, p.Who, p.Query = c.now(), admin.AccessOf(r.Context()), r.URL.Query()
	p.Overview = c.source.Overview(p.Now)
	if p.Who.Role == admin.Partner {
		p.Overview = p.Overview.ForPartner()
	} else {
		p.Ready, p.Play = c.source.Readiness(), c.player.State()
	}
	p.CSS, p.JS, p.Icon = c.address("console.css"), c.address("console.js"), c.address("icon.svg")
	var b bytes.Buffer
	if err := c.forms().pages[name].ExecuteTemplate(&b, "layout.html", p); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // a client that left needs no error
	return nil
}

// errForbidden reports a page that is not for the role of who asks.
var errForbidden = errors.New("not for this role")

// failure is the body of an error page.
type failure struct {
	Status     int
	Says, Hint string
}

func (c *console) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := failure{http.StatusInternalServerError, "This page could not be made.", "The books or the journal could not be read. The server's log says more; requests are served all the same."}
	var bad admin.BadRequestError
	switch {
	case errors.As(err, &bad):
		f = failure{http.StatusBadRequest, "That cannot be shown.", bad.Says}
	case errors.Is(err, errForbidden):
		f = failure{http.StatusForbidden, "This is not for your role.", "You are here with the role " + string(admin.AccessOf(r.Context()).Role) + ". The operator gives another with accordo access new."}
	case errors.Is(err, admin.ErrNotFound) && admin.AccessOf(r.Context()).Role == admin.Partner:
		f = failure{http.StatusNotFound, "Nothing here has that name.", "Check the address, or start from the navigation above."}
	case errors.Is(err, admin.ErrNotFound):
		f = failure{http.StatusNotFound, "Nothing here has that name.", missing(r.URL.Path)}
	}
	c.failure(w, r, f)
}

func (c *console) failure(w http.ResponseWriter, r *http.Request, f failure) {
	title := fmt.Sprintf("%d %s", f.Status, http.StatusText(f.Status))
	if err := c.render(w, r, f.Status, "error", page{Title: title, Body: f}); err != nil {
		http.Error(w, "this page and its error page could not be made; the server's log says more", http.StatusInternalServerError)
	}
}

// missing says why an address may have nothing behind it.
func missing(at string) string {
	switch {
	case strings.HasPrefix(at, "/requests/"):
		return "Neither the journal nor the books know a request of that id. It is the x-request-id of an answer of this server, with this data directory."
	case strings.HasPrefix(at, "/contracts/"):
		return "The terms in force have no contract of that id."
	case strings.HasPrefix(at, "/claims/"):
		return "It is no claim, object or system of the alliance, or it became known only after the date that you ask about."
	}
	return "Check the address, or start from the navigation above."
}

func loadAssets() map[string]asset {
	kinds := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	all := map[string]asset{}
	entries, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		panic(err) // the files are in the program
	}
	for _, e := range entries {
		data, err := staticFiles.ReadFile("static/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(data)
		all[e.Name()] = asset{data, kinds[path.Ext(e.Name())], `"` + hex.EncodeToString(sum[:]) + `"`, hex.EncodeToString(sum[:6])}
	}
	return all
}

// address names a static file with its digest, so that it can be kept forever.
func (c *console) address(name string) string {
	return "/static/" + name + "?v=" + c.assets[name].short
}

func (c *console) static(w http.ResponseWriter, r *http.Request) {
	a, ok := c.assets[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r) // served without a login: not a page, which shows the alliance
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("ETag", a.etag)
	w.Header().Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == a.short {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Header.Get("If-None-Match") == a.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = io.Copy(w, bytes.NewReader(a.data))
}

func (c *console) play(w http.ResponseWriter, r *http.Request) error {
	c.player.Play()
	http.Redirect(w, r, "/pools", http.StatusSeeOther)
	return nil
}

func (c *console) stopPlay(w http.ResponseWriter, r *http.Request) error {
	c.player.Stop()
	http.Redirect(w, r, "/pools", http.StatusSeeOther)
	return nil
}
