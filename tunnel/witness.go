package tunnel

import (
	"errors"
	"os"
	"sync/atomic"

	"tstun"
)

// Unaccounted is how many packets passed between WireGuard and the Wrapper and
// are in none of the Wrapper's Counters. They are counted apart from those, so
// that 0 says that the books balance. Packets that a program injects inbound, or
// takes by a hook of its own outbound, are in Counters alone and can hide some.
type Unaccounted struct {
	In  uint64 `json:"in"`  // from peers to the host
	Out uint64 `json:"out"` // from the host to peers
}

// witness is the Wrapper as WireGuard sees it, and counts what passes there.
type witness struct {
	*tstun.Wrapper
	in, out atomic.Uint64 // packets of calls that have returned
}

// Write implements tun.Device.
func (w *witness) Write(bufs [][]byte, offset int) (int, error) {
	n, err := w.Wrapper.Write(bufs, offset)
	if !errors.Is(err, os.ErrClosed) { // nothing is taken any more
		w.in.Add(uint64(len(bufs)))
	}
	return n, err
}

// Read implements tun.Device. A size of 0 stands for a packet that was dropped.
func (w *witness) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := w.Wrapper.Read(bufs, sizes, offset)
	passed := 0
	for _, size := range sizes[:n] {
		if size > 0 {
			passed++
		}
	}
	w.out.Add(uint64(passed))
	return n, err
}

// books returns the Wrapper's Counters and what is missing in them.
func (w *witness) books() (tstun.Counters, Unaccounted) {
	in, out := w.in.Load(), w.out.Load() // first: what has returned by now is counted
	c := w.Counters()
	return c, Unaccounted{In: beyond(in, c.In.Packets+c.In.Dropped()+c.In.Held), Out: beyond(out, c.Out.Packets)}
}

// beyond returns by how much n exceeds counted.
func beyond(n, counted uint64) uint64 {
	if n < counted {
		return 0
	}
	return n - counted
}
