package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// simulatedName is the file that says that the traffic was simulated.
const simulatedName = "simulated.json"

// Simulation says that what the journal of a directory holds was played and
// how. Whoever shows anything of such books shows Says.
type Simulation struct {
	Says           string `json:"says"`
	Version        string `json:"version"` // of the program
	Terms          string `json:"terms"`   // hash
	From           string `json:"from"`    // first month, YYYY-MM
	Months         int    `json:"months"`
	RequestsPerDay int64  `json:"requests_per_day"`
	Seed           uint64 `json:"seed"`
}

// Found makes a data directory for simulated traffic with a given node id: 32
// hexadecimal digits. It refuses a directory that holds anything.
func Found(dir, node string, s Simulation) (*Dir, error) {
	if !isHex(node, nodeBytes) {
		return nil, fmt.Errorf("the node's id %q does not have %d hexadecimal digits", node, 2*nodeBytes)
	}
	switch list, err := os.ReadDir(dir); {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("look into the directory: %w", err)
	case len(list) > 0:
		return nil, fmt.Errorf("%s is not empty: simulated traffic goes into a directory of its own; name another, or delete it", dir)
	}
	if err := os.MkdirAll(dir, ownerDir); err != nil {
		return nil, fmt.Errorf("make the data directory: %w; give a directory that can be written", err)
	}
	about, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describe the simulation: %w", err)
	}
	// It is marked before anything stands in it that could be taken for real.
	if err := replace(filepath.Join(dir, simulatedName), append(about, '\n')); err != nil {
		return nil, err
	}
	if err := replace(filepath.Join(dir, nodeName), []byte(node+"\n")); err != nil {
		return nil, err
	}
	return Open(dir)
}

// Simulated returns how the directory's traffic was played, nil when it is
// real. Once simulated a directory stays so, whatever is served from it later.
func (d *Dir) Simulated() (*Simulation, error) {
	b, err := os.ReadFile(filepath.Join(d.path, simulatedName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read how the traffic was simulated: %w", err)
	}
	s := new(Simulation)
	if err := json.Unmarshal(b, s); err != nil || s.Says == "" {
		return nil, fmt.Errorf("%s does not say how the traffic was simulated: restore it from a copy", filepath.Join(d.path, simulatedName))
	}
	return s, nil
}
