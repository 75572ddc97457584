package artifact

import (
	_ "embed" // The pinned manifest is part of the program.
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

const (
	engineID  = "engine"
	weightsID = "weights"

	clientNPM = "npm"
	clientPip = "pip"

	// maxFileBytes bounds one unpacked file; a manifest that asks for more is refused.
	maxFileBytes = 4 << 30
)

//go:embed manifest.json
var manifestJSON []byte

// Manifest lists what to obtain.
type Manifest struct {
	Sources []Source `json:"sources"`
}

// Source is one package at one version, and the files wanted from it.
type Source struct {
	// ID is engine or weights.
	ID string `json:"id"`
	// What is shown to people.
	What string `json:"what"`
	// License is the SPDX identifier of what is obtained.
	License string `json:"license"`
	// Client is the package client: npm or pip.
	Client string `json:"client"`
	// Package and Version are given to the client.
	Package string `json:"package"`
	Version string `json:"version"`
	// Folder is where the files go, below the cache folder.
	Folder string `json:"folder"`
	// Archive pins the package file itself.
	Archive Pin `json:"archive"`
	// Files pins each file taken out of it.
	Files []File `json:"files"`
}

// Pin is the exact identity of a file.
type Pin struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// File is one file inside an archive.
type File struct {
	// Path is its name inside the archive.
	Path string `json:"path"`
	Pin
}

// Default is the manifest that this build was tested with.
func Default() (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(manifestJSON, &m); err != nil {
		return Manifest{}, fmt.Errorf("read the built-in manifest: %w", err)
	}
	return m, m.validate()
}

// validate refuses a manifest that could write outside its folder or that
// leaves anything unpinned.
func (m Manifest) validate() error {
	for _, s := range m.Sources {
		if s.Client != clientNPM && s.Client != clientPip {
			return fmt.Errorf("source %s: client %q is neither npm nor pip", s.ID, s.Client)
		}
		if s.Package == "" || s.Version == "" || strings.HasPrefix(s.Package, "-") {
			return fmt.Errorf("source %s: package and exact version are needed", s.ID)
		}
		if !plainName(s.Folder) || len(s.Files) == 0 {
			return fmt.Errorf("source %s: folder %q must be a plain name and files must not be empty", s.ID, s.Folder)
		}
		pins := []Pin{s.Archive}
		for _, f := range s.Files {
			pins = append(pins, f.Pin)
		}
		for _, p := range pins {
			if err := p.validate(); err != nil {
				return fmt.Errorf("source %s: %w", s.ID, err)
			}
		}
	}
	return nil
}

func (p Pin) validate() error {
	if !plainName(p.Name) {
		return fmt.Errorf("file name %q must be a plain name", p.Name)
	}
	if p.Size <= 0 || p.Size > maxFileBytes {
		return fmt.Errorf("file %s: size %d is not between 1 and %d", p.Name, p.Size, int64(maxFileBytes))
	}
	if b, err := hex.DecodeString(p.SHA256); err != nil || len(b) != 32 {
		return fmt.Errorf("file %s: sha256 %q is not 64 hexadecimal digits", p.Name, p.SHA256)
	}
	return nil
}

// plainName says whether a name stays inside the folder that it is joined to.
func plainName(n string) bool {
	return n != "" && !strings.HasPrefix(n, ".") && !strings.ContainsAny(n, "/\\\x00:")
}
