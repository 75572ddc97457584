//go:build !linux && !darwin

package sqlite

// onReadOnlyDisk cannot tell without opening the file, which would drop locks:
// SQLite says that it cannot open it.
func onReadOnlyDisk(string) bool { return false }
