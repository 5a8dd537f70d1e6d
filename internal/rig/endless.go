package rig

import (
	"os"
	"testing"

	"golang.zx2c4.com/wireguard/tun"
)

// Endless is a device that always has packets and takes all.
type Endless struct {
	batch   int
	packets [][]byte
	next    int
	closed  chan struct{}
}

// NewEndless returns an Endless that hands out the packets' mirror images.
func NewEndless(t testing.TB, batch int, packets [][]byte) *Endless {
	return &Endless{batch: batch, packets: mirrored(t, packets), closed: make(chan struct{})}
}

func (d *Endless) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	select {
	case <-d.closed:
		return 0, os.ErrClosed
	default:
	}
	for i := range bufs {
		sizes[i] = copy(bufs[i][offset:], d.packets[d.next])
		d.next = (d.next + 1) % len(d.packets)
	}
	return len(bufs), nil
}

func (d *Endless) Write(bufs [][]byte, _ int) (int, error) { return len(bufs), nil }
func (d *Endless) File() *os.File                          { return nil }
func (d *Endless) MTU() (int, error)                       { return 1280, nil }
func (d *Endless) Name() (string, error)                   { return "endless0", nil }
func (d *Endless) Events() <-chan tun.Event                { return nil }
func (d *Endless) BatchSize() int                          { return d.batch }
func (d *Endless) Close() error                            { close(d.closed); return nil }

// EndlessDirect is an Endless that is read directly. Its packets are in the
// caller's buffers already: of each it writes the headers alone.
type EndlessDirect struct{ *Endless }

func (d EndlessDirect) ReadReady(bufs [][]byte, sizes []int, offset int, _ bool) (int, error) {
	for i := range bufs {
		pkt := d.packets[d.next]
		copy(bufs[i][offset:], pkt[:40])
		sizes[i] = len(pkt)
		if d.next++; d.next == len(d.packets) {
			d.next = 0
		}
	}
	return len(bufs), nil
}

func (d EndlessDirect) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	return d.ReadReady(bufs, sizes, offset, true)
}

func (d EndlessDirect) Interrupt()   {}
func (d EndlessDirect) Abandon() int { return 0 }

// Foreign hides what a device can do beyond tun.Device.
type Foreign struct{ tun.Device }
