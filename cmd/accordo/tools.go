package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

type keyCommand struct{}

// Run prints a new API key with the line that puts it into an alliance file.
// The key is shown once and kept nowhere.
func (keyCommand) Run(_ context.Context, s streams) error {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return err
	}
	secret := "ak-" + hex.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(secret))
	_, err := fmt.Fprintf(s.out, "key     %s   (shown once)\nsha256: %s   (for the alliance file)\n", secret, hex.EncodeToString(sum[:]))
	return err
}
