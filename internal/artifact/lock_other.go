//go:build !unix

package artifact

import "context"

// lockFolder does nothing where the system has no advisory locks: two fetches
// at once then do the work twice, and the last rename wins.
func lockFolder(context.Context, string) (unlock func(), err error) {
	return func() {}, nil
}
