// Package examples carries the example alliances inside the binary, so that
// the program runs and tells its story without any other file. It holds files
// only: it refuses to read, check or change them.
package examples

import "embed"

// FS holds the examples by the path of their directory, such as
// "openai-amazon/alliance.yaml" and "openai-amazon/story.yaml".
//
//go:embed openai-amazon/*.yaml openai-amazon/*.txtar two-reservations/*.yaml reservations/*.yaml commitments/*.yaml
var FS embed.FS
