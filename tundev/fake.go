package tundev

import (
	"os"
	"sync"

	"golang.zx2c4.com/wireguard/tun"
)

const (
	fakeName  = "FakeTUN"
	fakeMTU   = 1280 // RFC 8200 §5: the least that IPv6 may have
	fakeBatch = 1
)

// NewFake returns a device without an interface behind it: Read blocks until
// Close, Write accepts every packet and discards it. Its name is "FakeTUN",
// its MTU 1280 bytes, File is nil and Events holds one EventUp. It is meant
// for programs that use only the injecting side of a wrapper, as a userspace
// network stack does, and needs no rights. Every method may be called from
// any goroutine before, during and after Close, also a second Close.
func NewFake() tun.Device {
	f := &fake{
		events: make(chan tun.Event, 1),
		done:   make(chan struct{}),
	}
	f.events <- tun.EventUp
	return f
}

type fake struct {
	events chan tun.Event // closed by Close
	done   chan struct{}  // closed by Close
	once   sync.Once
}

func (f *fake) closed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

func (f *fake) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	<-f.done
	return 0, os.ErrClosed
}

func (f *fake) Write(bufs [][]byte, offset int) (int, error) {
	if f.closed() {
		return 0, os.ErrClosed
	}
	return len(bufs), nil
}

func (f *fake) Close() error {
	f.once.Do(func() {
		close(f.done)
		close(f.events)
	})
	return nil
}

func (f *fake) File() *os.File           { return nil }
func (f *fake) MTU() (int, error)        { return fakeMTU, nil }
func (f *fake) Name() (string, error)    { return fakeName, nil }
func (f *fake) Events() <-chan tun.Event { return f.events }
func (f *fake) BatchSize() int           { return fakeBatch }
