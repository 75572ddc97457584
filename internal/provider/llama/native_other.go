//go:build !linux || !amd64 || noengine

package llama

func openNative(string) (*native, error) { return nil, ErrUnavailable }

func newLogCallback(func(int, string)) uintptr { return 0 }
