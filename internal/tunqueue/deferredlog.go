package tunqueue

import (
	"fmt"
	"sync"

	"tstun/logger"
)

// DeferredLog keeps log lines until it is told where they go: a device that
// tundev.FromFile makes has no log before tundev.AsDirect gives it one. The
// zero value keeps lines. Its methods are safe from any goroutine.
type DeferredLog struct {
	mu    sync.Mutex // guards what follows
	dest  logger.Logf
	lines []string // kept for dest
}

// maxLines is how many lines are kept. Later ones are dropped.
const maxLines = 16

// Logf is a logger.Logf.
func (l *DeferredLog) Logf(format string, args ...any) {
	l.mu.Lock()
	dest := l.dest
	if dest == nil && len(l.lines) < maxLines {
		l.lines = append(l.lines, fmt.Sprintf(format, args...))
	}
	l.mu.Unlock()
	if dest != nil {
		dest(format, args...)
	}
}

// SendTo sends the lines that were kept, and all later ones, to dest.
func (l *DeferredLog) SendTo(dest logger.Logf) {
	l.mu.Lock()
	lines := l.lines
	l.dest, l.lines = dest, nil
	l.mu.Unlock()
	for _, line := range lines {
		dest("%s", line)
	}
}
