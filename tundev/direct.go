package tundev

import (
	"fmt"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/logger"
)

// Malformed is the size that ReadReady gives to something that came with an
// impossible virtio header. What is in its buffer means nothing; whoever counts
// drops counts one. Read, whose callers expect no such size, gives 0.
const Malformed = -1

// Direct is a device whose Read takes every packet that is ready, into the
// caller's buffers, and can be interrupted. Its methods are safe from any
// goroutine; one ReadReady, Read or Abandon runs at a time, and others wait.
//
// Write takes the batch in one go: it joins packets of one flow that follow each
// other where the kernel takes that, writes the rest as they are, and never
// linkEvents or keeps a caller's packet. Calls from several goroutines run in
// parallel. It returns len(bufs), or the number of packets written and a
// [*WriteError]; when the device is closed or deleted, an error for which
// errors.Is(err, os.ErrClosed) holds. Empty packets count as written.
type Direct interface {
	tun.Device

	// ReadReady fills bufs from offset on with the packets that are ready and
	// sets sizes. Without any it waits if wait is set: until packets come,
	// Interrupt is called, or the device ends, which is an error for which
	// errors.Is(err, os.ErrClosed) holds. Any other error is the system's, and
	// need not come again. It may return 0 packets and no error: nothing was
	// ready, or it was interrupted.
	//
	// A size may be more than there is behind offset: that packet is cut. It
	// is 0 for a packet of no bytes, and Malformed for something to be counted
	// as dropped. Read gives 0 for all of these. ReadReady keeps nothing of bufs and does not allocate.
	ReadReady(bufs [][]byte, sizes []int, offset int, wait bool) (int, error)

	// Interrupt makes the ReadReady that waits return at once, or if none
	// waits the next one that would. It never blocks and does not allocate.
	Interrupt()

	// Abandon gives up segments that were taken from the system and not
	// handed out yet, and returns how many. Also after Close.
	Abandon() int
}

// AsDirect returns the direct form of dev, if it has one: what Create and
// FromFile return on Linux, and there also wireguard-go's own *tun.NativeTun,
// if its descriptor can be polled. So does a device that implements Direct by
// itself. The result replaces dev: it owns what dev
// owned, and its Close closes dev. logf gets a line when an offload is switched
// off; nil is silent.
func AsDirect(logf logger.Logf, dev tun.Device) (Direct, bool) {
	if logf == nil {
		logf = logger.Discard
	}
	if d, ok := asDirect(logf, dev); ok {
		return d, true
	}
	d, ok := dev.(Direct)
	return d, ok
}

// WriteError is what Write of a Direct returns when some packets could not be
// written. All others were.
type WriteError struct {
	Lost []int // indices in bufs, ascending
	Err  error // the first failure
}

func (e *WriteError) Error() string {
	return fmt.Sprintf("write: %d packets lost: %v", len(e.Lost), e.Err)
}

// Unwrap returns the system's error.
func (e *WriteError) Unwrap() error { return e.Err }
