package hostread

import (
	"time"

	"tstun/internal/deverr"
	"tstun/logger"
	"tstun/tundev"
)

// direct reads a device whose Read can be interrupted. It has no goroutine and
// no buffers, and copies nothing.
type direct struct {
	dev  tundev.Direct
	done <-chan struct{}
	logf logger.Logf

	failed int // transient errors in a row; owned by Read's caller
}

// NewDirect returns a Reader of dev, until done is closed.
func NewDirect(dev tundev.Direct, done <-chan struct{}, logf logger.Logf) Reader {
	return &direct{dev: dev, done: done, logf: logf}
}

func (d *direct) Read(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	n, err := d.dev.ReadReady(bufs, sizes, offset, wait)
	switch {
	case n > 0:
		d.failed = 0
	case deverr.Transient(err):
		if d.failed == 0 {
			d.logf("tstun: read: %v; going on", err)
		}
		d.failed++
		pause(d.done, d.failed)
		return 0, nil
	}
	return n, err
}

func (d *direct) Wake() { d.dev.Interrupt() }

func (d *direct) Discard() int { return d.dev.Abandon() }

// Close has nothing to wait for: the device's Close ends a Read.
func (d *direct) Close(time.Duration) error { return nil }
