package tundev

import (
	"fmt"
	"sync"

	"tstun/logger"
)

// notes is a log that may be given its reader later: FromFile has none, and
// what it finds is not to be lost. The zero value keeps lines.
type notes struct {
	mu   sync.Mutex // guards what follows
	dest logger.Logf
	kept []string
}

// maxNotes is how many lines are kept.
const maxNotes = 16

// logf is a logger.Logf.
func (n *notes) logf(format string, args ...any) {
	n.mu.Lock()
	dest := n.dest
	if dest == nil && len(n.kept) < maxNotes {
		n.kept = append(n.kept, fmt.Sprintf(format, args...))
	}
	n.mu.Unlock()
	if dest != nil {
		dest(format, args...)
	}
}

// to sends the lines that were kept, and all later ones, to dest.
func (n *notes) to(dest logger.Logf) {
	n.mu.Lock()
	kept := n.kept
	n.dest, n.kept = dest, nil
	n.mu.Unlock()
	for _, line := range kept {
		dest("%s", line)
	}
}
