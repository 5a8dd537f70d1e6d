package tundev_test

import (
	"errors"
	"os"
	"sync"
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/tunqueue/queuetest"
	"tstun/tundev"
)

// Short names of what queuetest has.
const (
	room     = queuetest.Room
	patience = queuetest.Patience
)

var soon = queuetest.Soon

// ipv4Packet is an IPv4 header, behind room bytes.
func ipv4Packet() []byte {
	b := make([]byte, room+20)
	copy(b[room:], []byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
	return b
}

// testClose is docs/lessons.md rows 15 and 20: every method of a device before,
// during and after Close.
func testClose(t *testing.T, newDevice func(t *testing.T) tun.Device) {
	methods := map[string]func(tun.Device) error{
		"Name":      func(d tun.Device) error { _, err := d.Name(); return err },
		"MTU":       func(d tun.Device) error { d.MTU(); return nil },
		"BatchSize": func(d tun.Device) error { d.BatchSize(); return nil },
		"File":      func(d tun.Device) error { d.File(); return nil },
		"Events":    func(d tun.Device) error { d.Events(); return nil },
		"Write":     func(d tun.Device) error { d.Write([][]byte{ipv4Packet()}, room); return nil },
		"empty":     func(d tun.Device) error { d.Write(nil, room); return nil },
	}
	read := func(d tun.Device) (int, error) {
		return d.Read([][]byte{make([]byte, room+2048)}, []int{0}, room)
	}

	t.Run("while Read is blocked", func(t *testing.T) {
		d := newDevice(t)
		var readErr error
		var reader sync.WaitGroup
		reader.Go(func() {
			for readErr == nil {
				_, readErr = read(d)
			}
		})
		soon(t, "Close", func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		soon(t, "Read", reader.Wait)
		if !errors.Is(readErr, os.ErrClosed) {
			t.Errorf("Read: %v", readErr)
		}
	})

	t.Run("before", func(t *testing.T) {
		d := newDevice(t)
		defer d.Close()
		for name, f := range methods {
			soon(t, name, func() {
				if err := f(d); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	})

	t.Run("during", func(t *testing.T) {
		d := newDevice(t)
		var calls sync.WaitGroup
		stop := make(chan struct{})
		for _, f := range methods {
			calls.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						f(d)
					}
				}
			})
		}
		for range 4 {
			calls.Go(func() {
				soon(t, "Close", func() { d.Close() })
			})
		}
		soon(t, "Close", func() { d.Close() })
		close(stop)
		soon(t, "a method", calls.Wait)
	})

	t.Run("after", func(t *testing.T) {
		d := newDevice(t)
		name, _ := d.Name() // but not the MTU: it is known all the same
		for range 3 {
			soon(t, "Close", func() {
				if err := d.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
		for range 20 { // more often than any queue is long
			for what, f := range methods {
				soon(t, what, func() { f(d) })
			}
		}
		if now, err := d.Name(); err != nil || now != name {
			t.Errorf("name %q, %v, was %q", now, err, name)
		}
		if mtu, err := d.MTU(); err != nil || mtu <= 0 {
			t.Errorf("MTU %d, %v", mtu, err)
		}
		if _, err := read(d); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read: %v", err)
		}
		if _, err := d.Write([][]byte{ipv4Packet()}, room); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Write: %v", err)
		}
		soon(t, "Events", func() {
			for range d.Events() {
			}
		})
	})
}

func TestCloseFake(t *testing.T) {
	testClose(t, func(*testing.T) tun.Device { return tundev.NewFake() })
}

func TestCloseTAPOverFake(t *testing.T) {
	testClose(t, func(*testing.T) tun.Device { return tundev.TAP(tundev.NewFake()) })
}

func TestFake(t *testing.T) {
	f := tundev.NewFake()
	if name, err := f.Name(); name != "FakeTUN" || err != nil {
		t.Errorf("name %q, %v", name, err)
	}
	if mtu, err := f.MTU(); mtu != 1280 || err != nil {
		t.Errorf("MTU %d, %v", mtu, err)
	}
	if file := f.File(); file != nil {
		t.Errorf("file %v", file)
	}
	if n, err := f.Write([][]byte{{1}, {2}}, 0); n != 2 || err != nil {
		t.Errorf("Write %d, %v", n, err)
	}
	if e := <-f.Events(); e != tun.EventUp {
		t.Errorf("event %v", e)
	}
	f.Close()
	if e, open := <-f.Events(); open {
		t.Errorf("second event %v", e)
	}
}
