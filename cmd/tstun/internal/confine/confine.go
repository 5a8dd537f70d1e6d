// Package confine takes from the process of a running tunnel what it does not
// need any more: landlock (Documentation/userspace-api/landlock.rst) leaves it
// the files of reloads and of the undoing, and capabilities(7) what the network
// needs. What programs that it starts may do is confined with it.
//
// Linux alone has both. Elsewhere Apply confines nothing, and its Report says so.
package confine

import (
	"fmt"
	"strings"

	"tstun/tunnel"
)

// Config says what the process still has to do.
type Config struct {
	// Tunnel is what the tunnel was started from, with all that defaults leave
	// empty.
	Tunnel *tunnel.Config
	// Mode is the mode that the tunnel runs in.
	Mode tunnel.Mode
	// File is wg-quick's file, which a reload reads.
	File string
	// Sockets are the paths of unix sockets that are removed at the end.
	Sockets []string
	// Dials: proxies or forwards connect to hosts.
	Dials bool
}

// Report is what Apply did.
type Report struct {
	// Why says why nothing is confined, or is empty.
	Why string
	// Landlock is the version of the kernel's ABI that is in use, or 0 for none.
	Landlock int
	// Missing is what this kernel cannot confine, in words.
	Missing []string
	// Capabilities are those that are left, by their names.
	Capabilities []string
}

// Apply confines all threads of the process, and those that are to come, for
// good. It is called once, when everything is open that c does not name. After
// an error the process may be confined in part.
func Apply(c Config) (Report, error) {
	r, err := apply(&c)
	if err != nil {
		return r, fmt.Errorf("confine: %w", err)
	}
	return r, nil
}

// String is a line for the log.
func (r Report) String() string {
	if r.Why != "" {
		return "not confined: " + r.Why
	}
	left := "none"
	if len(r.Capabilities) > 0 {
		left = strings.Join(r.Capabilities, " ")
	}
	line := "confined: capabilities " + left
	if r.Landlock > 0 {
		line += fmt.Sprintf(", landlock %d", r.Landlock)
	}
	if len(r.Missing) > 0 {
		line += "; left open: " + strings.Join(r.Missing, ", ")
	}
	return line
}
