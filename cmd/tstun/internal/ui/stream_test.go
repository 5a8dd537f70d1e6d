package ui_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tstun/cmd/tstun/internal/ui"
)

// A write ends soon after its context, and no other follows one that was given
// up.
func TestStream(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	blocked := make(chan struct{})
	defer close(blocked)
	w := &blockingWriter{until: blocked}
	s := ui.NewStream(ctx, w)
	began := time.Now()
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := s.Write([]byte("a")); !errors.Is(err, ui.ErrInterrupted) {
		t.Errorf("err = %v", err)
	}
	if _, err := s.Write([]byte("b")); !errors.Is(err, ui.ErrInterrupted) {
		t.Errorf("the next: err = %v", err)
	}
	if took := time.Since(began); took > atMost {
		t.Errorf("took %v", took)
	}
	var b strings.Builder
	s = ui.NewStream(ctx, &b) // after the end
	if _, err := s.Write([]byte("error: interrupted\n")); err != nil || b.String() != "error: interrupted\n" {
		t.Errorf("%v, %q", err, b.String())
	}
}

// atMost bounds, on a busy machine, what takes a tenth of a second.
const atMost = 5 * time.Second

type blockingWriter struct{ until chan struct{} }

func (w *blockingWriter) Write(b []byte) (int, error) {
	<-w.until
	return len(b), nil
}
