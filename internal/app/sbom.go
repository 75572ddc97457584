package app

import (
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"runtime/debug"

	"github.com/accordo-ai/accordo/internal/artifact"
)

// component is a part of the program in CycloneDX.
type component struct {
	Type     string            `json:"type"`
	Name     string            `json:"name"`
	Version  string            `json:"version,omitempty"`
	PURL     string            `json:"purl,omitempty"`
	Scope    string            `json:"scope,omitempty"`
	Licenses []json.RawMessage `json:"licenses,omitempty"`
	Hashes   []componentHash   `json:"hashes,omitempty"`
	More     []property        `json:"properties,omitempty"`
}

type componentHash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// BillOfMaterials writes what the program is made of, as CycloneDX 1.6 in
// JSON: the modules that its own build record names, with their checksums as
// go.sum has them, the toolchain, and what `accordo fetch` obtains, by hash.
func BillOfMaterials(w io.Writer, version string) error {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("this build has no record of its modules: build it with modules")
	}
	list := []component{{Type: "platform", Name: "go", Version: build.GoVersion}}
	for _, m := range build.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		list = append(list, component{
			Type: "library", Name: m.Path, Version: m.Version, Scope: "required", PURL: "pkg:golang/" + m.Path + "@" + url.PathEscape(m.Version),
			More: []property{{"go:sum", m.Sum}},
		})
	}
	manifest, err := artifact.Default()
	if err != nil {
		return err
	}
	for i := range manifest.Sources {
		s := &manifest.Sources[i]
		kind := map[string]string{"npm": "npm", "pip": "pypi"}[s.Client]
		licence, err := json.Marshal(map[string]any{"license": map[string]string{"name": s.License}})
		if err != nil {
			return err
		}
		list = append(list, component{
			Type: "file", Name: s.Package, Version: s.Version, Scope: "optional", PURL: "pkg:" + kind + "/" + s.Package + "@" + url.PathEscape(s.Version),
			Licenses: []json.RawMessage{licence}, Hashes: []componentHash{{"SHA-256", s.Archive.SHA256}},
		})
	}
	var settings []property
	for _, s := range build.Settings {
		settings = append(settings, property{"go:build:" + s.Key, s.Value})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
		"metadata":   map[string]any{"component": component{Type: "application", Name: "accordo", Version: version, PURL: "pkg:golang/" + build.Main.Path, More: settings}},
		"components": list,
	})
}
