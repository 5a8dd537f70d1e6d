package netstack

import (
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/waiter"
)

// A deadline without a monotonic reading, as one that came over the network, is
// kept by the monotonic clock: were the wall clock set back, its timer would
// find that it is not due, and nobody would look again.
func TestDeadlineOfTheWallClock(t *testing.T) {
	var h half
	h.init(new(waiter.Queue), 0)
	h.setDeadline(time.Now().Add(time.Hour).Round(0))
	defer h.stop()
	if h.at == h.at.Round(0) {
		t.Errorf("the deadline is at %v", h.at)
	}
}

// A deadline that is set while the socket is closed starts no timer, which
// would keep the socket until then.
func TestDeadlineAfterStop(t *testing.T) {
	var h half
	h.init(new(waiter.Queue), 0)
	h.stop()
	if h.setDeadline(time.Now().Add(time.Hour)); h.timer != nil {
		t.Error("a timer runs")
	}
}
