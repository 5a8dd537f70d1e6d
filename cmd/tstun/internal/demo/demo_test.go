package demo

import (
	"context"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tstun/cmd/tstun/internal/ui"
)

// A demo in which a step cannot succeed fails with that step, and leaves no
// goroutine behind.
func TestDemoFails(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	d := newDemo(ui.Silent(), Options{Size: 1000})
	d.server.rules = nil
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer d.stop()
	ctx, cancel := context.WithTimeout(context.Background(), replyTimeout)
	defer cancel()
	steps := d.steps()
	if err := d.show(ctx, steps[0]); err != nil {
		t.Fatal(err)
	}
	short, cancelShort := context.WithTimeout(ctx, pingInterval/10)
	defer cancelShort()
	err := d.show(short, steps[1])
	if err == nil || !strings.HasPrefix(err.Error(), "ping: ") || ui.Hint(err) == "" {
		t.Errorf("a ping that no rule allows: %v", err)
	}
	if d.result.Steps[1].OK {
		t.Error("the step is said to be ok")
	}
}
