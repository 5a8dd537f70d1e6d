package tstun

import (
	"errors"
	"fmt"
	"os"
	"tstun/internal/deverr"
)

var (
	// ErrClosed is what Read, Write, Flush and the injections return once the
	// Wrapper, or the device behind it, is closed, and MTU and Name where they
	// then fail. It is an os.ErrClosed too, by which wireguard-go knows an
	// orderly end. Settings, counters and a second Close go on working.
	ErrClosed error = fmt.Errorf("tstun: device closed: %w", os.ErrClosed)

	// ErrFiltered is returned by Unbatched.Write for a packet that was
	// dropped, by the filter or for any other reason on the way to the device.
	// Counters tells the reason.
	ErrFiltered = errors.New("tstun: packet dropped by filter")

	// ErrQueueFull is returned to an outbound injector when packets are
	// injected faster than Read takes them. The packet is dropped and
	// counted; later ones may be accepted.
	ErrQueueFull = errors.New("tstun: injection queue is full")
)

// orClosed returns ErrClosed in place of an error that comes of closing: any
// once the Wrapper is closed, and what a device closed by others says.
func (w *Wrapper) orClosed(err error) error {
	if err != nil && (w.isClosed() || deverr.Closed(err)) {
		return ErrClosed
	}
	return err
}
