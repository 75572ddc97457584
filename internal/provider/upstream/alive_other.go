//go:build !unix

package upstream

import "net"

// probe tells whether an idle connection can take a request. Here nothing can
// be asked without reading: writing to it tells.
type probe struct{}

// of prepares nothing.
func (*probe) of(net.Conn) {}

// alive reports true.
func (*probe) alive() bool { return true }
