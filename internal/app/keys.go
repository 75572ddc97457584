package app

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/gateway"
)

// keyBits is the randomness of keys and tokens.
const keyBits = 128

// NewSecret makes a secret of 128 random bits with a prefix that tells people
// what it is, and the SHA-256 by which it is known.
func NewSecret(prefix string) (secret, sum string, err error) {
	var b [keyBits / 8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", "", fmt.Errorf("read randomness: %w", err)
	}
	secret = prefix + hex.EncodeToString(b[:])
	return secret, hashSecret(secret), nil
}

func hashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// demoKey is the key of the built-in example that is meant for visitors.
const demoKey alliance.KeyID = "demo"

// issued is a key whose secret was made at this start, and the fact to keep
// when it is shown; the built-in example's keys leave none.
type issued struct {
	ID     alliance.KeyID
	Secret string
	fact   *datadir.KeyIssued
}

// issueKeys completes the keys of the terms. A key without a hash gets the
// one that was issued earlier, as the facts tell, or a new one, which is
// returned to be shown once. It becomes a fact only when it is shown: a start
// or a reload that fails later must not leave a key that nobody has seen. Keys
// of the built-in example are made anew at every start and leave no fact.
func issueKeys(a *alliance.Alliance, dir *datadir.Dir, o UpOptions) ([]gateway.Key, []issued, error) {
	facts, err := dir.Facts()
	if err != nil {
		return nil, nil, err
	}
	earlier := map[string]string{}
	for _, f := range facts {
		if k := f.KeyIssued; k != nil {
			earlier[k.ID] = k.SHA256
		}
		if k := f.KeyRevoked; k != nil {
			delete(earlier, k.ID)
		}
	}
	keys := gateway.TermsKeys(a)
	var fresh []issued
	for i := range keys {
		k := &keys[i]
		if k.SHA256 != "" {
			continue
		}
		if sum := earlier[string(k.ID)]; sum != "" && o.File != "" {
			k.SHA256 = sum
			continue
		}
		secret, sum, err := NewSecret("ak-")
		if err != nil {
			return nil, nil, err
		}
		if o.DemoKey != "" && k.ID == demoKey {
			secret, sum = o.DemoKey, hashSecret(o.DemoKey)
		}
		k.SHA256 = sum
		made := issued{ID: k.ID, Secret: secret}
		if o.File != "" {
			made.fact = &datadir.KeyIssued{
				ID: string(k.ID), SHA256: sum, Tenant: string(k.Tenant), Plan: string(k.Plan), Channel: string(k.Channel), Territory: string(k.Territory), Trusted: k.Trusted,
			}
		}
		if k.ID == demoKey {
			fresh = slices.Insert(fresh, 0, made)
		} else {
			fresh = append(fresh, made)
		}
	}
	return keys, fresh, nil
}

// RevokeKey takes back a key that an earlier start has issued. Nothing may
// serve from the data directory; a key whose hash stands in the alliance file
// is taken back there, by SIGHUP while serving.
func RevokeKey(w io.Writer, data, id, reason string, now time.Time) error {
	if _, err := os.Stat(data); err != nil {
		return fmt.Errorf("no data directory at %s: give the --data of the server that issued the key", data)
	}
	dir, err := datadir.Open(data)
	if err != nil {
		return err
	}
	defer dir.Close()
	facts, err := dir.Facts()
	if err != nil {
		return err
	}
	known := false
	for _, f := range facts {
		switch {
		case f.KeyIssued != nil && f.KeyIssued.ID == id:
			known = true
		case f.KeyRevoked != nil && f.KeyRevoked.ID == id:
			known = false
		}
	}
	if !known {
		return fmt.Errorf("no start has issued a key %q that is still valid: a key whose sha256 stands in the alliance file is taken back there", id)
	}
	if err := dir.AppendFact(datadir.Fact{At: now.UnixNano(), KeyRevoked: &datadir.KeyRevoked{ID: id, Reason: reason}}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "Key %s is revoked. The next start issues another one and shows it once.\n", id)
	return err
}
