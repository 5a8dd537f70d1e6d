package tundev

import (
	"fmt"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/logger"
)

// Malformed is the size that ReadReady sets for a packet that came with an
// impossible virtio header. The bytes in its buffer mean nothing, and a counter
// of drops counts one. Read sets 0 instead.
const Malformed = -1

// Direct is a device whose Read takes every packet that is ready into the
// caller's buffers, and can be interrupted. Its methods are safe from any
// goroutine. One ReadReady, Read or Abandon runs at a time, and others wait.
//
// Write joins packets of one flow that follow each other where the kernel takes
// that, and writes the rest as they are. It never changes or keeps a caller's
// packet. Calls from several goroutines run in parallel. Write returns
// len(bufs), or the number of packets written and a [*WriteError], or, when the
// device is closed or deleted, an error for which errors.Is(err, os.ErrClosed)
// holds. Empty packets count as written.
type Direct interface {
	tun.Device

	// ReadReady fills bufs from offset on with the packets that are ready and
	// sets sizes. If there is none and wait is set, it waits until packets
	// come, Interrupt is called, or the device is closed or deleted. The last
	// is an error for which errors.Is(err, os.ErrClosed) holds. Any other
	// error is the system's, and need not come again. ReadReady returns 0
	// packets and no error if nothing was ready or it was interrupted.
	//
	// A size that is larger than the space behind offset is that of a packet
	// that was cut. A packet of no bytes has the size 0, and one to be counted
	// as dropped Malformed. Read sets 0 for all of these. ReadReady keeps
	// nothing of bufs and does not allocate.
	ReadReady(bufs [][]byte, sizes []int, offset int, wait bool) (int, error)

	// Interrupt makes the ReadReady that waits return at once, or if none
	// waits the next one that would. It never blocks and does not allocate.
	Interrupt()

	// Abandon drops the segments of a super-packet that no call has returned
	// yet, and returns how many there were. It may be called after Close.
	Abandon() int
}

// AsDirect returns the direct form of dev, if it has one. On Linux the devices of
// Create and FromFile have one, and so has wireguard-go's own *tun.NativeTun if
// its descriptor can be polled. On any system a device has one that implements
// Direct itself. The result replaces dev: it owns what dev owned, and its Close
// closes dev. logf gets a line when an offload is switched off; nil is silent.
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

// WriteError says which packets Write of a Direct failed to write. It wrote all
// others.
type WriteError struct {
	Lost []int // indices in bufs, ascending
	Err  error // the first failure
}

func (e *WriteError) Error() string {
	return fmt.Sprintf("write: %d packets lost: %v", len(e.Lost), e.Err)
}

// Unwrap returns the system's error.
func (e *WriteError) Unwrap() error { return e.Err }
