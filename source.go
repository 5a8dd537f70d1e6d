package tstun

import (
	"errors"
	"runtime"
	"syscall"
	"time"
)

// source is where Read gets the host's packets from: direct from a device
// whose waiting Read can be interrupted, or from the pump for any other.
type source interface {
	// read fills bufs from offset on and sets sizes, as tun.Device.Read does.
	// It waits for packets only if wait is set, and then until packets come,
	// wake is called, the device fails or the Wrapper is closed. It may
	// return 0 packets without an error. One goroutine at a time calls it.
	read(bufs [][]byte, sizes []int, offset int, wait bool) (int, error)

	// wake makes the read that waits, or else the next one, return at once.
	wake()

	// abandon gives up the packets that were taken from the device and not
	// read yet, and returns how many they are. It must not be called during
	// a read.
	abandon() int

	// close waits at most so long for the source's goroutines to end. The
	// Wrapper's done channel and the device must be closed before.
	close(atMost time.Duration) error
}

// pause waits a little before a device that had nothing to say is asked again:
// not at all at first, then longer and longer, up to a tenth of a second. It
// reports false when the Wrapper, whose channel done is, was closed meanwhile.
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

// isTransient reports whether a device that failed with err can be expected
// to work at the next attempt.
func isTransient(err error) bool {
	return errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM) ||
		errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
}
