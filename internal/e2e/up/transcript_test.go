package up_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// transcript keeps what a program prints. Make one with newTranscript.
type transcript struct {
	mu      sync.Mutex // guards what is below
	text    strings.Builder
	changed chan struct{} // closed, and replaced, by each Write
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits until the text from an offset on has a part.
func (l *transcript) await(ctx context.Context, from int, part string) error {
	for {
		l.mu.Lock()
		text, changed := l.text.String(), l.changed
		l.mu.Unlock()
		if strings.Contains(text[from:], part) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("no %q: %w", part, ctx.Err())
		}
	}
}
