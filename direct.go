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

	complained bool // of a transient error, since the last packet; read's caller's
}

func (d *direct) read(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	n, err := d.dev.ReadReady(bufs, sizes, offset, wait)
	if err == nil {
		d.complained = d.complained && n == 0
		return n, nil
	}
	if !isTransient(err) {
		return n, err
	}
	if !d.complained {
		d.logf("tstun: read: %v; going on", err)
		d.complained = true
	}
	return n, nil
}

func (d *direct) wake() { d.dev.Interrupt() }

func (d *direct) abandon() int { return d.dev.Abandon() }

// close has nothing to wait for: the device's Close ends a read.
func (d *direct) close(time.Duration) error { return nil }
