package upstream

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// SecretPrefix is the beginning of every environment variable that may hold
// a credential, so that a terms file cannot read others.
const SecretPrefix = "ACCORDO_SECRET_"

const (
	filePrefix     = "file:"
	maxSecretBytes = 64 << 10
)

// Secret reads the credential that a reference names: an environment
// variable beginning with SecretPrefix, or "file:" and a path. Errors never
// hold the credential. An empty reference is no credential.
func Secret(reference string, getenv func(string) string) (string, error) {
	var value string
	switch path, isFile := strings.CutPrefix(reference, filePrefix); {
	case reference == "":
		return "", nil
	case isFile:
		f, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("read the credential: %w", err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
		if err != nil {
			return "", fmt.Errorf("read the credential: %w", err)
		}
		if len(b) > maxSecretBytes {
			return "", fmt.Errorf("the credential in %s is larger than %d bytes", path, maxSecretBytes)
		}
		value = strings.TrimSpace(string(b))
	case strings.HasPrefix(reference, SecretPrefix):
		value = strings.TrimSpace(getenv(reference))
	default:
		return "", fmt.Errorf("the secret %q is neither an environment variable that begins with %s nor file:PATH", reference, SecretPrefix)
	}
	if value == "" {
		return "", fmt.Errorf("the secret %s is empty: set it, or take it out of the endpoint", reference)
	}
	return value, nil
}
