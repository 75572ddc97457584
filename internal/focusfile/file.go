package focusfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/accordo-ai/accordo/internal/focus"
)

// Replace writes a file as a whole: readers see the old bytes or the new ones.
func Replace(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(f.Name()) // nothing is there after the rename
	buffer := bufio.NewWriter(f)
	err = write(buffer)
	if err == nil {
		err = buffer.Flush()
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// Read reads a table from a file whose name ends in .csv or .parquet.
func Read(name string) (focus.Table, error) {
	f, err := os.Open(name)
	if err != nil {
		return focus.Table{}, fmt.Errorf("read a table: %w", err)
	}
	defer f.Close()
	if strings.HasSuffix(name, ".parquet") {
		info, err := f.Stat()
		if err != nil {
			return focus.Table{}, fmt.Errorf("read a table: %w", err)
		}
		t, _, err := ReadParquet(f, info.Size())
		return t, err
	}
	return ReadCSV(bufio.NewReader(f))
}
