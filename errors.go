package tstun

import (
	"errors"
	"fmt"
	"os"
)

var (
	// ErrClosed is what every operation on a closed Wrapper returns. It is an
	// os.ErrClosed too, by which wireguard-go knows an orderly end.
	ErrClosed error = fmt.Errorf("tstun: device closed: %w", os.ErrClosed)

	// ErrFiltered is returned by Unbatched.Write for a packet that was
	// dropped. Counters tells the reason.
	ErrFiltered = errors.New("tstun: packet dropped by filter")

	// ErrQueueFull is returned to an outbound injector when packets are
	// injected faster than Read takes them. The packet is dropped and
	// counted; later ones may be accepted.
	ErrQueueFull = errors.New("tstun: injection queue is full")
)
