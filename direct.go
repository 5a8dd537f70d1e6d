package tstun

import (
	"time"

	"tstun/logger"
	"tstun/tundev"
)

// direct is the source for devices whose Read can be interrupted: it has no
// goroutine, no buffers and copies nothing.
type direct struct {
	dev  tundev.Direct
	logf logger.Logf
	done <-chan struct{} // the Wrapper's

	failed int // transient errors in a row; read's caller's
}

func (d *direct) read(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	n, err := d.dev.ReadReady(bufs, sizes, offset, wait)
	switch {
	case n > 0:
		d.failed = 0
	case isTransient(err):
		if d.failed == 0 {
			d.logf("tstun: read: %v; going on", err)
		}
		d.failed++
		pause(d.done, d.failed)
		return 0, nil
	}
	return n, err
}

func (d *direct) wake() { d.dev.Interrupt() }

func (d *direct) abandon() int { return d.dev.Abandon() }

// close has nothing to wait for: the device's Close ends a read.
func (d *direct) close(time.Duration) error { return nil }
