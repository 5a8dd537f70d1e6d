package ui

import (
	"sync"
	"time"
)

// Takedown is what the process does for a command after a signal has ended its
// context. The zero value and nil are ready to use. All methods may be called
// from any goroutine.
type Takedown struct {
	mu     sync.Mutex // guards what follows
	within time.Duration
	left   func() error
}

// Expect has the process wait so long for the command, and otherwise write the
// error that left returns, which says what is left and how to remove it.
func (t *Takedown) Expect(within time.Duration, left func() error) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.within, t.left = within, left
}

// Within returns how long the process waits: at least so long.
func (t *Takedown) Within(least time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(t.within, least)
}

// Left returns the error of a command that was not waited for to its end, or
// nil if it has none of its own.
func (t *Takedown) Left() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left == nil {
		return nil
	}
	return t.left()
}
