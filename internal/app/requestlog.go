package app

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/requestlog"
)

// DefaultRequestLogBytes bounds all request logs together unless told otherwise.
const DefaultRequestLogBytes = 1 << 30

// requestLog is the log as the gateway uses it.
type requestLog struct{ *requestlog.Log }

// Keep hands a request on.
func (l requestLog) Keep(r *gateway.LoggedRequest) {
	row := &r.Row
	l.Log.Keep(&requestlog.Record{
		At: row.At.UTC(), Request: row.ID, Tenant: row.Tenant, Key: row.Key, Plan: row.Plan, EndUser: r.EndUser, Territory: row.Territory,
		Asked: row.Asked, Model: row.Model, Pool: row.Pool, Stream: row.Stream, Status: row.Status, Code: row.Code, Attempts: row.Attempts,
		InputTokens: row.Usage.Input(), OutputTokens: row.Usage.AllOutput(), Milliseconds: row.Duration.Milliseconds(),
		PromptBytes: r.PromptBytes, Prompt: string(r.Prompt), AnswerBytes: r.AnswerBytes, Answer: string(r.Answer), Claimed: r.Claimed,
	})
}

func newRequestLog(dir *datadir.Dir, o *UpOptions) *requestlog.Log {
	most := o.RequestLogBytes
	if most <= 0 {
		most = DefaultRequestLogBytes
	}
	return requestlog.New(requestlog.Options{
		Dir: dir.Requests(), MaxBytes: most, Reserve: lowDisk, Logger: o.Log,
		Free: func() (uint64, bool) { return diskFree(dir.Path()) },
	})
}

// retention are the days that each tenant's requests are kept for.
func retention(a *alliance.Alliance) map[string]int64 {
	days := map[string]int64{}
	for i := range a.Tenants {
		if t := &a.Tenants[i]; t.RequestLog != nil {
			days[string(t.ID)] = t.RequestLog.RetentionDays
		}
	}
	return days
}

// requestLogProblems says for people what keeps requests out of the log, or in it
// for too long.
func requestLogProblems(s requestlog.State) (list []string) {
	if s.Full {
		list = append(list, fmt.Sprintf("The request log is full (%d MB of %d): requests are served and not logged until days end their retention. Raise --request-log-mb or shorten retention_days; %d were not logged.", s.Bytes>>20, s.MaxBytes>>20, s.DroppedFull))
	}
	if s.Fault != "" {
		list = append(list, fmt.Sprintf("The request log cannot be written; requests are served and not logged (%d so far): %s", s.DroppedDisk, s.Fault))
	}
	if s.Undeleted != "" {
		list = append(list, "Request logs whose retention is over cannot be deleted; it is tried again within the hour: "+s.Undeleted)
	}
	return list
}

// LogOptions say which requests to show.
type LogOptions struct {
	Data, Tenant, Request, Since string
	JSON                         bool
	Now                          time.Time
}

// RequestLog writes requests of tenants that asked to have them kept, oldest
// first for each tenant.
func RequestLog(w io.Writer, o LogOptions) error {
	since, err := sinceWhen(o.Since, o.Now)
	if err != nil {
		return ExitError{ExitUsage, err}
	}
	dir, err := datadir.OpenReadOnly(o.Data)
	if err != nil {
		return err
	}
	defer dir.Close()
	out, found, damaged := bufio.NewWriter(w), 0, 0
	for r, err := range requestlog.Read(dir.Requests(), requestlog.Query{Tenant: o.Tenant, Request: o.Request, Since: since}) {
		switch {
		case errors.Is(err, requestlog.ErrDamaged):
			damaged++
			continue
		case err != nil:
			return errors.Join(out.Flush(), err)
		}
		found++
		if o.JSON {
			e := json.NewEncoder(out)
			e.SetEscapeHTML(false)
			err = e.Encode(r)
		} else {
			err = writeLogged(out, &r)
		}
		if err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if damaged > 0 {
		return fmt.Errorf("%d lines cannot be read; the others are above (look into %s)", damaged, dir.Requests())
	}
	if found == 0 {
		return noneLogged(dir, o)
	}
	return nil
}

// noneLogged says why there may be nothing to show.
func noneLogged(dir *datadir.Dir, o LogOptions) error {
	if _, err := os.Stat(filepath.Join(dir.Requests(), o.Tenant)); err != nil {
		return errors.New("no request is kept here: only those of tenants with request_log in the alliance file are, from then on")
	}
	return errors.New("no request that is kept fits: look with --since 30d, or without --request")
}

// sinceWhen reads an instant, a day, or a time before now such as 90m or 7d.
func sinceWhen(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	var days int
	if n, err := fmt.Sscanf(text, "%dd", &days); n == 1 && err == nil && text == fmt.Sprintf("%dd", days) && days >= 0 {
		return now.AddDate(0, 0, -days), nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("--since %q is no time: write 2026-05-31, 2026-05-31T08:00:00Z, 90m or 7d", text)
}

func writeLogged(w io.Writer, r *requestlog.Record) error {
	what := r.Model
	if what == "" {
		what = r.Asked
	}
	_, err := fmt.Fprintf(w, "%s  %s  %s  %s  %d %s  %d in, %d out, %d ms  %s\n", r.At.UTC().Format(time.RFC3339), r.Request, r.Tenant, plainText(what), r.Status, r.Code, r.InputTokens, r.OutputTokens, r.Milliseconds, plainText(r.EndUser))
	for _, part := range []struct {
		name, text string
		bytes      int64
	}{{"prompt", r.Prompt, r.PromptBytes}, {"answer", r.Answer, r.AnswerBytes}} {
		if err != nil || part.text == "" {
			continue
		}
		cut := ""
		if n := int64(len(part.text)); n < part.bytes {
			cut = fmt.Sprintf(" (%d of %d bytes)", n, part.bytes)
		}
		_, err = fmt.Fprintf(w, "  %s%s: %s\n", part.name, cut, strings.ReplaceAll(strings.TrimRight(plainText(part.text), "\n"), "\n", "\n    "))
	}
	return err
}

// plainText is a text without what a terminal would act on.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
