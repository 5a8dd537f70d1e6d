// Package hostread gets the host's packets from a device: straight into the
// reader's buffers where a waiting read can be interrupted, else by a goroutine
// that reads ahead.
package hostread

import (
	"runtime"
	"time"
)

// Reader reads packets from a device: NewDirect's or NewAhead's.
type Reader interface {
	// Read fills bufs from offset on and sets sizes, as tun.Device.Read does.
	// It waits for packets only if wait is set, and then until packets come,
	// Wake is called, the device fails or the Wrapper is closed. It may
	// return 0 packets without an error. One goroutine at a time calls it.
	Read(bufs [][]byte, sizes []int, offset int, wait bool) (int, error)

	// Wake makes the Read that waits, or else the next one, return at once.
	// Any goroutine may call it.
	Wake()

	// Discard drops the packets that were taken from the device and not read
	// yet, and returns their number. It must not be called during a Read.
	Discard() int

	// Close waits at most so long for the Reader's goroutines to end. The
	// done channel and the device must be closed before.
	Close(atMost time.Duration) error
}

// pause waits before a device that had nothing to say is asked again: not at
// all at first, then longer and longer, up to a tenth of a second. It reports
// false if done was closed meanwhile.
func pause(done <-chan struct{}, attempt int) bool {
	const quick, longest = 10, 100 * time.Millisecond
	if attempt < quick {
		runtime.Gosched()
		return true
	}
	timer := time.NewTimer(min(time.Millisecond<<min(attempt-quick, 10), longest))
	defer timer.Stop()
	select {
	case <-done:
		return false
	case <-timer.C:
		return true
	}
}
