package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/gateway"
)

// DoctorOptions say what to examine. Call asks every provider for its models,
// with the credential; Limits drives every kind of limit.
type DoctorOptions struct {
	File, Data   string
	Call, Limits bool
	JSON         bool
	Now          time.Time
}

// The bounds of an examination.
const (
	dialTime         = 5 * time.Second
	callTime         = 15 * time.Second
	expirySoon       = 21 * 24 * time.Hour
	fewFiles         = 4096
	slowSync         = 50 * time.Millisecond
	clockSlack       = 5 * time.Second
	maxUpstreamsSeen = 500
)

// Diagnosis is one thing that was examined.
type Diagnosis struct {
	About string `json:"about"`
	State string `json:"state"` // fine, note or wrong
	Says  string `json:"says"`
	Do    string `json:"do,omitempty"`
}

// The states of a diagnosis. Only wrong changes the exit code.
const (
	stateFine  = "fine"
	stateNote  = "note"
	stateWrong = "wrong"
)

// doctor collects diagnoses.
type doctor struct {
	o    DoctorOptions
	list []Diagnosis
}

func (d *doctor) fine(about, says string, args ...any) {
	d.list = append(d.list, Diagnosis{about, stateFine, fmt.Sprintf(says, args...), ""})
}

func (d *doctor) note(about, do, says string, args ...any) {
	d.list = append(d.list, Diagnosis{about, stateNote, fmt.Sprintf(says, args...), do})
}

func (d *doctor) wrong(about, do, says string, args ...any) {
	d.list = append(d.list, Diagnosis{about, stateWrong, fmt.Sprintf(says, args...), do})
}

// Doctor examines a file, what it needs and a data directory, and writes what
// is wrong and what to do. Something wrong exits with 1.
func Doctor(ctx context.Context, w io.Writer, o DoctorOptions) error {
	d := &doctor{o: o}
	if a := d.terms(); a != nil {
		d.keys(a)
		d.offers(a)
		d.endpoints(ctx, a)
		d.rates(a)
	}
	d.machine()
	d.data(ctx)
	if o.Limits {
		if err := d.limits(ctx); err != nil {
			return err
		}
	}
	if err := show(w, o.JSON, d.list, d.write); err != nil {
		return err
	}
	if slices.ContainsFunc(d.list, func(x Diagnosis) bool { return x.State == stateWrong }) {
		return ExitError{Code: ExitWrong}
	}
	return nil
}

// failed reports whether something was found wrong with what is named.
func (d *doctor) failed(about string) bool {
	return slices.ContainsFunc(d.list, func(x Diagnosis) bool { return x.About == about && x.State == stateWrong })
}

func (d *doctor) write(w io.Writer) error {
	count := map[string]int{}
	for _, x := range d.list {
		count[x.State]++
		if _, err := fmt.Fprintf(w, "%-5s  %-10s  %s\n", x.State, x.About, x.Says); err != nil {
			return err
		}
		if x.Do != "" {
			if _, err := fmt.Fprintf(w, "%-5s  %-10s  do: %s\n", "", "", x.Do); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(w, "\n%d wrong, %d to note, %d fine.\n", count[stateWrong], count[stateNote], count[stateFine])
	return err
}

func (d *doctor) terms() *alliance.Alliance {
	a, warnings, err := loadTermsWarned(d.o.File)
	var faults *file.Faults
	switch {
	case errors.As(err, &faults):
		d.wrong("file", "run `accordo check "+d.o.File+"` for all faults with their places and what to write", "%s", firstLine(err))
		return nil
	case err != nil:
		d.wrong("file", "name the file that `accordo up` serves; without one the built-in example is examined", "%s", err)
		return nil
	}
	d.fine("file", "%d pools, %d contracts, %d rights, %d plans. Terms %s.", len(a.Pools), len(a.Contracts), len(a.Rights), len(a.Plans), a.Hash[:12])
	if len(warnings) > 0 {
		d.note("file", "run `accordo check "+d.o.File+"`", "%d warnings", len(warnings))
	}
	return a
}

func firstLine(err error) string {
	line, _, more := strings.Cut(err.Error(), "\n")
	if more {
		line += " …"
	}
	return line
}

// keys looks for keys that nobody can use.
func (d *doctor) keys(a *alliance.Alliance) {
	issued := map[string]bool{}
	if dir, err := datadir.OpenReadOnly(d.o.Data); err == nil {
		facts, err := dir.Facts()
		_ = dir.Close()
		if err != nil {
			d.wrong("keys", "restore facts.jsonl from a copy", "the facts cannot be read: %s", err)
		}
		for _, f := range facts {
			if f.KeyIssued != nil {
				issued[f.KeyIssued.ID] = true
			}
			if f.KeyRevoked != nil {
				delete(issued, f.KeyRevoked.ID)
			}
		}
	}
	keys, missing := gateway.TermsKeys(a), []string{}
	for _, k := range keys {
		if k.SHA256 == "" && !issued[string(k.ID)] {
			missing = append(missing, string(k.ID))
		}
	}
	d.fine("keys", "%d keys of %d tenants", len(keys), len(a.Tenants))
	if len(missing) > 0 && d.o.File != "" {
		d.note("keys", "start `accordo up` to have them issued and shown once, or write the sha256 that `accordo key new` prints", "not issued yet: %s", few(missing))
	}
}

func few(list []string) string {
	if len(list) > 8 {
		return strings.Join(list[:8], ", ") + fmt.Sprintf(" and %d more", len(list)-8)
	}
	return strings.Join(list, ", ")
}
