package e2e

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/requestlog"
)

// loggingTenant asks to have its requests kept.
const loggingTenant = `
plans: [{id: logged, name: Kept, seller: lab, subject: key, models: [chat], default_output_tokens: 256, assumption: true}]
tenants:
  - id: logging
    name: Asks to be logged
    request_log: {prompts: true, answers: true, retention_days: 30}
    keys: [{id: logging-key, sha256: 8230d026baa5bc9cbaa2d0fcae85d58b6d087d678ed60ff4928e5a9bff95739d, plan: logged, channel: api, territory: US}]
`

const keyLogged = "sk-logged"

// onDisk are the files of the data directory that hold a text.
func (d *deployment) onDisk(text string) (holders []string, files int) {
	d.t.Helper()
	if err := filepath.WalkDir(d.data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		files++
		if strings.Contains(string(b), text) {
			rel, _ := filepath.Rel(d.data, path)
			holders = append(holders, filepath.ToSlash(rel))
		}
		return err
	}); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.t.Fatal(err)
	}
	return holders, files
}

func saying(text string, stream bool) string {
	more := ""
	if stream {
		more = `,"stream":true`
	}
	return `{"model":"chat","messages":[{"role":"user","content":"` + text + `"}]` + more + `}`
}

// Only a tenant that asked for it has its prompts and answers on the disk:
// in its own file, for its owner only, without what authorises, and until it
// opts out. Of another tenant no byte of either is anywhere.
func TestRequestLog_OnlyOfTenantsThatAskedForIt(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	for _, p := range []*provider{north, south} {
		p.script("  - {action: {text: planted-answer}}\n")
	}
	d := deploy(t, setup{north: north, south: south, more: loggingTenant})
	var requests []string
	for _, stream := range []bool{false, true} {
		for _, c := range []struct{ key, text string }{{keyOpen, "planted-silent"}, {keyLogged, "planted-kept"}} {
			resp, body := d.post(c.key, saying(c.text, stream))
			if resp.StatusCode != 200 {
				t.Fatalf("%s: %s %s", c.key, resp.Status, body)
			}
			requests = append(requests, resp.Header.Get("X-Request-Id"))
		}
	}
	d.waitBooked(requests...)
	var out string
	eventually(t, startTime, "the requests are not logged", func() bool {
		out, _ = d.command("log", "--data", d.data, "--tenant", "logging", "--json")
		return strings.Count(out, "\n") == 2
	})
	file := "requests/logging/" + time.Now().UTC().Format(time.DateOnly) + ".jsonl"
	check := func(when string) {
		if holders, files := d.onDisk("planted-silent"); len(holders) > 0 || files < 5 {
			t.Errorf("%s: the prompt of a tenant that did not ask is in %v (%d files were searched)", when, holders, files)
		}
		for _, text := range []string{"planted-kept", "planted-answer"} {
			if holders, _ := d.onDisk(text); !slices.Equal(holders, []string{file}) {
				t.Errorf("%s: %s is in %v", when, text, holders)
			}
		}
		for _, secret := range []string{keyLogged + `"`, "Bearer", "Authorization", providerSecret} {
			if holders, _ := d.onDisk(secret); len(holders) > 0 {
				t.Errorf("%s: %s is in %v", when, secret, holders)
			}
		}
	}
	check("while it serves")
	if info, err := os.Stat(filepath.Join(d.data, filepath.FromSlash(file))); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var r requestlog.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Request != requests[2*i+1] || !strings.Contains(r.Prompt, "planted-kept") || r.Status != 200 || r.OutputTokens == 0 || r.Plan != "logged" {
			t.Errorf("%v in %s", err, line)
		}
	}
	if out, code := d.command("log", "--data", d.data, "--request", requests[1]); code != 0 || !strings.Contains(out, "planted-answer") || strings.Contains(out, requests[3]) {
		t.Errorf("exit code %d: %s", code, out)
	}
	if out, code := d.command("log", "--data", d.data, "--request", requests[0]); code != 1 || out != "" {
		t.Errorf("of a request that is not kept: exit code %d: %s", code, out)
	}
	d.stop(t)
	check("after the stop")

	terms, err := os.ReadFile(d.file)
	if err == nil {
		err = os.WriteFile(d.file, []byte(strings.ReplaceAll(string(terms), "    request_log:", "    # request_log:")), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.start()
	eventually(t, startTime, "what a tenant had kept is there after it opted out", func() bool {
		kept, _ := d.onDisk("planted-kept")
		return len(kept) == 0
	})
}

// A log that is full stops logging and says so; requests go on.
func TestRequestLog_FullIsSaid(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south, more: loggingTenant, flags: []string{"--request-log-mb", "1"}})
	body := saying(strings.Repeat("x", 60_000), false)
	eventually(t, startTime, "the log is never full", func() bool {
		if resp, text := d.post(keyLogged, body); resp.StatusCode != 200 {
			t.Fatalf("%s %s", resp.Status, text)
		}
		r, status := d.readyz()
		return status == 200 && r.Ready && r.says("The request log is full")
	})
	if p := d.overviewProblems(); !strings.Contains(p, "The request log is full") {
		t.Errorf("the console says %q", p)
	}
	_, text := d.get(d.admin+"/metrics", "Authorization", "Bearer "+d.token)
	if !strings.Contains(text, `accordo_request_log_dropped_total{reason="full"}`) || strings.Contains(text, `accordo_request_log_dropped_total{reason="full"} 0`) {
		t.Error("no metric says so")
	}
	if _, code := d.command("log", "--data", d.data); code != 0 {
		t.Errorf("a full log cannot be read: exit code %d", code)
	}
}

// A process that is killed while it logs leaves a log that can be read and
// that the next process continues.
func TestRequestLog_SurvivesAKill(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south, more: loggingTenant})
	body := saying(strings.Repeat("y", 50_000), false)
	for range 3 {
		var clients sync.WaitGroup
		stop := make(chan struct{})
		for range 4 {
			clients.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_, _, _ = d.try(keyLogged, body)
					}
				}
			})
		}
		eventually(t, startTime, "nothing is logged", func() bool {
			names, _ := filepath.Glob(filepath.Join(d.data, "requests", "logging", "*.jsonl"))
			info, err := os.Stat(append(names, d.data)[0])
			return err == nil && len(names) > 0 && info.Size() > 1<<20
		})
		d.kill()
		close(stop)
		clients.Wait()
		if out, code := d.command("log", "--data", d.data, "--json"); code != 0 || strings.Count(out, "\n") < 10 {
			t.Errorf("after a kill: exit code %d, %d lines", code, strings.Count(out, "\n"))
		}
		d.start()
	}
	resp, _ := d.post(keyLogged, saying("the last one", false))
	eventually(t, startTime, "the log is not continued", func() bool {
		out, code := d.command("log", "--data", d.data, "--request", resp.Header.Get("X-Request-Id"))
		return code == 0 && strings.Contains(out, "the last one")
	})
}
