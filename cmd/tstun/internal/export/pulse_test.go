package export

import (
	"context"
	"strings"
	"testing"
	"time"

	"tstun/tunnel"
)

// wedged is a tunnel that does not answer until it is released.
type wedged struct {
	asked   chan struct{}
	release chan struct{}
}

func (w wedged) Status() tunnel.Status {
	w.asked <- struct{}{}
	<-w.release
	return tunnel.Status{}
}

func (w wedged) Ready(context.Context) error { return nil }

// A tunnel that does not answer is not alive, is asked once however many want
// to know, and alive when it answers again.
func TestPulse(t *testing.T) {
	w := wedged{make(chan struct{}, 10), make(chan struct{})}
	p := pulse{w, make(chan struct{}, 1)}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if err := p.check(ctx); err == nil || !strings.Contains(err.Error(), "has not answered") {
			t.Errorf("error %v of a tunnel that does not answer", err)
		}
		cancel()
	}
	if n := len(w.asked); n != 1 {
		t.Errorf("asked %d times", n)
	}
	close(w.release)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := p.check(ctx); err != nil {
		t.Error(err)
	}
}
