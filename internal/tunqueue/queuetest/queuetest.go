// Package queuetest has what tests of TUN queues share: a queue without a TUN,
// packets, super-packets, and system calls that fail.
package queuetest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for something that comes at once.
const Patience = 10 * time.Second

// Soon fails the test when f does not return within Patience.
func Soon(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(Patience):
		t.Fatalf("%s hangs", what)
	}
}

// Log collects log lines. The zero value has none. Its methods are safe from
// any goroutine.
type Log struct {
	mu    sync.Mutex // guards lines
	lines []string
}

// Logf is a logger.Logf.
func (l *Log) Logf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// Lines returns the lines so far.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// String returns the lines so far, joined by line feeds.
func (l *Log) String() string { return strings.Join(l.Lines(), "\n") }
