package app

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"text/tabwriter"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/datadir"
)

// AccessOrder says whom to let in, or whom no more.
type AccessOrder struct {
	Data   string
	ID     string
	Role   string
	Party  string
	Reason string // of taking an access back
}

// maxAccesses bounds how many accesses are in force at once.
const maxAccesses = 1000

// accessesOf folds facts into the accesses in force, in the order of granting.
func accessesOf(facts []datadir.Fact) []datadir.AccessGranted {
	var list []datadir.AccessGranted
	drop := func(id string) {
		for i := range list {
			if list[i].ID == id {
				list = append(list[:i], list[i+1:]...)
				return
			}
		}
	}
	for _, f := range facts {
		switch {
		case f.AccessGranted != nil:
			drop(f.AccessGranted.ID)
			list = append(list, *f.AccessGranted)
		case f.AccessRevoked != nil:
			drop(f.AccessRevoked.ID)
		}
	}
	return list
}

// checkAccess says what is wrong with a fact about an access, given those in
// force and the terms, nil where they are not known.
func checkAccess(f *datadir.Fact, now []datadir.AccessGranted, a *alliance.Alliance) error {
	if err := f.Check(); err != nil {
		return err
	}
	there := func(id string) bool {
		for i := range now {
			if now[i].ID == id {
				return true
			}
		}
		return false
	}
	switch {
	case f.AccessRevoked != nil && !there(f.AccessRevoked.ID):
		return fmt.Errorf("nobody has the access %q: accordo access list shows who has", f.AccessRevoked.ID)
	case f.AccessRevoked != nil:
		return nil
	case f.AccessGranted == nil:
		return errors.New("that is no fact about an access")
	case there(f.AccessGranted.ID):
		return fmt.Errorf("the access %q is there: revoke it first, or give another name", f.AccessGranted.ID)
	case len(now) >= maxAccesses:
		return fmt.Errorf("%d accesses are in force, which is the limit: revoke some", maxAccesses)
	}
	if p := f.AccessGranted.Party; p != "" && a != nil && a.Party(alliance.PartyID(p)) == nil && !hasTenant(a, p) {
		return fmt.Errorf("the terms have neither a party nor a tenant %q", p)
	}
	return nil
}

func hasTenant(a *alliance.Alliance, id string) bool {
	for i := range a.Tenants {
		if string(a.Tenants[i].ID) == id {
			return true
		}
	}
	return false
}

// GrantAccess makes a token for a role and shows it once; its SHA-256 becomes
// a fact, which a serving process obeys at once.
func GrantAccess(ctx context.Context, w io.Writer, o AccessOrder, now time.Time) error {
	secret, sum, err := NewSecret(o.Role + "-")
	if err != nil {
		return err
	}
	fact := datadir.Fact{At: now.UnixNano(), AccessGranted: &datadir.AccessGranted{ID: o.ID, Role: o.Role, Party: o.Party, SHA256: sum}}
	if err := recordAccess(ctx, o.Data, fact); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "token   %s   (shown once)\naccess  %s: %s%s\n", secret, o.ID, o.Role, forParty(o.Party))
	return err
}

// RevokeAccess takes an access back; its sessions end with it.
func RevokeAccess(ctx context.Context, w io.Writer, o AccessOrder, now time.Time) error {
	fact := datadir.Fact{At: now.UnixNano(), AccessRevoked: &datadir.AccessRevoked{ID: o.ID, Reason: o.Reason}}
	if err := recordAccess(ctx, o.Data, fact); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "The access %s is over, and so are its sessions.\n", o.ID)
	return err
}

func forParty(p string) string {
	if p == "" {
		return ""
	}
	return " of " + p
}

// ListAccess writes who may come in besides the holder of the admin token.
func ListAccess(w io.Writer, data string, asJSON bool) error {
	dir, err := datadir.OpenReadOnly(data)
	if err != nil {
		return err
	}
	defer dir.Close()
	facts, err := dir.Facts()
	if err != nil {
		return err
	}
	list := []admin.Access{}
	for _, g := range accessesOf(facts) {
		list = append(list, admin.Access{ID: g.ID, Role: admin.Role(g.Role), Party: g.Party})
	}
	return show(w, asJSON, list, func(w io.Writer) error {
		if len(list) == 0 {
			_, err := fmt.Fprintln(w, "only the admin token lets in")
			return err
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "ACCESS\tROLE\tPARTY\t")
		for _, g := range list {
			fmt.Fprintf(t, "%s\t%s\t%s\t\n", g.ID, g.Role, g.Party)
		}
		return t.Flush()
	})
}

// recordAccess appends the fact by itself, or through the process that serves.
func recordAccess(ctx context.Context, data string, fact datadir.Fact) error {
	if err := fact.Check(); err != nil {
		return ExitError{ExitUsage, err}
	}
	if _, err := os.Stat(data); err != nil {
		return fmt.Errorf("no data directory at %s: give the --data of the server", data)
	}
	dir, err := datadir.Open(data)
	if errors.Is(err, datadir.ErrLocked) {
		rec, err := dialRecorder(data, err)
		if err != nil {
			return err
		}
		defer rec.Close()
		body, err := json.Marshal(fact)
		if err != nil {
			return err
		}
		_, err = rec.(*remote).post(ctx, "/access", body)
		return err
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	facts, err := dir.Facts()
	if err != nil {
		return err
	}
	if err := checkAccess(&fact, accessesOf(facts), nil); err != nil {
		return err
	}
	return dir.AppendFact(fact)
}

// takeAccesses reads who may come in.
func (s *server) takeAccesses() error {
	facts, err := s.dir.Facts()
	if err != nil {
		return err
	}
	return s.setAccesses(accessesOf(facts))
}

func (s *server) setAccesses(list []datadir.AccessGranted) error {
	grants := make([]admin.Grant, len(list))
	for i, g := range list {
		grants[i].Access = admin.Access{ID: g.ID, Role: admin.Role(g.Role), Party: g.Party}
		if n, err := hex.Decode(grants[i].SHA256[:], []byte(g.SHA256)); err != nil || n != len(grants[i].SHA256) {
			return fmt.Errorf("the SHA-256 of access %s is none", g.ID)
		}
	}
	s.accesses.Store(&grants)
	return nil
}

// grants are the accesses in force.
func (s *server) grants() []admin.Grant {
	if list := s.accesses.Load(); list != nil {
		return *list
	}
	return nil
}

// handleAccess takes a fact about an access from a command and obeys it.
func (s *server) handleAccess(w http.ResponseWriter, r *http.Request) {
	var fact datadir.Fact
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxEventBytes)).Decode(&fact)
	if err == nil {
		err = s.changeAccess(&fact)
	}
	answerRecord(w, recordAnswer{}, err)
}

func (s *server) changeAccess(fact *datadir.Fact) error {
	s.accessLock.Lock()
	defer s.accessLock.Unlock()
	facts, err := s.dir.Facts()
	if err != nil {
		return err
	}
	if err := checkAccess(fact, accessesOf(facts), s.terms.Load().Alliance()); err != nil {
		return err
	}
	if err := s.dir.AppendFact(*fact); err != nil {
		return err
	}
	return s.setAccesses(accessesOf(append(facts, *fact)))
}
