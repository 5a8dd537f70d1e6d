package netstack_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"tstun/internal/rig"
	"tstun/internal/rig/craft"
)

// A socket that is flooded, and whose program reads, gets some of what comes while it
// comes, and all that it does not get is counted: what came is what was read and what was
// dropped.
func TestFloodIsCounted(t *testing.T) {
	n := newNode(t, 0)
	n.start(t)
	pc := mustListenPacket(t, n, openPort)
	var read atomic.Uint64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 100); ; read.Add(1) {
			if _, _, err := pc.ReadFromUDPAddrPort(b); err != nil {
				return
			}
		}
	}()
	const least, batch = 200 * 64, 64
	var bufs [][]byte
	for range batch {
		bufs = append(bufs, craft.UDP(netip.MustParseAddr(peer4), 5, n.v4, openPort, "a flood"))
	}
	bufs = rig.Wire(bufs...)
	// On a busy machine, the reader's goroutine may come late.
	sent := uint64(0)
	for until := time.Now().Add(patience); sent < least || read.Load() < least/10 && time.Now().Before(until); sent += batch {
		if _, err := n.w.Write(bufs, rig.Offset); err != nil {
			t.Fatal(err)
		}
	}
	for until := time.Now().Add(patience); read.Load()+n.s.Counters().Dropped() != sent && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	c := n.s.Counters()
	if got := read.Load(); got+c.Dropped() != sent || c.In.Packets != sent {
		t.Errorf("sent %d, read %d and counted %+v", sent, got, c)
	} else if got < least/10 {
		t.Errorf("read %d of %d: %+v", got, sent, c)
	}
	pc.Close()
	<-done
}
