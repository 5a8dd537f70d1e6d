package netstack_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"tstun/netstack"
)

// 128 connections wait for Accept where nothing else is asked for, and one more,
// as on Linux. Further attempts go unanswered and are counted.
func TestDefaultBacklog(t *testing.T) {
	a, b := backToBack(t)
	mustListen(t, b.s, "tcp", ":80")
	for i := range netstack.DefaultBacklog + 1 {
		mustDial(t, a.s, "tcp", b.on(b.v4, 80))
		for end := time.Now().Add(patience); b.s.Counters().Connections <= i && time.Now().Before(end); {
			time.Sleep(100 * time.Microsecond) // until the handshake's last segment came
		}
	}
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.s.DialContext(short, "tcp", b.on(b.v4, 80)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one too many: %v", err)
	}
	if n := b.s.Counters().Drops[netstack.ReasonBacklog]; n == 0 {
		t.Error("nothing was counted")
	}
}
