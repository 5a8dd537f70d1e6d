package tundev_test

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/tundev"
)

// frail is a device as wireguard-go's are: it panics on an empty packet and
// on too small an offset, and is not made for two calls at a time.
type frail struct {
	tun.Device
	room    int
	mtu     int
	gone    bool
	written int
	events  chan tun.Event
}

func newFrail(room int) *frail {
	return &frail{room: room, mtu: 1333, events: make(chan tun.Event)}
}

func (f *frail) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	bufs[0][offset-f.room] = 0
	sizes[0] = 1
	return 1, nil
}

func (f *frail) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		b[offset-f.room] = b[offset]
		f.written++
	}
	return len(bufs), nil
}

func (f *frail) Name() (string, error) {
	if f.gone {
		return "", io.ErrUnexpectedEOF
	}
	return "frail0", nil
}

func (f *frail) MTU() (int, error) {
	f.mtu++ // a race with itself and with Close
	if f.gone {
		return 0, io.ErrUnexpectedEOF
	}
	return 1333, nil
}

func (f *frail) Close() error {
	f.mtu++
	close(f.events)
	return nil
}

func (f *frail) Events() <-chan tun.Event { return f.events }

func TestCloseGuardOffsets(t *testing.T) {
	dev := tundev.NewCloseGuard(newFrail(4), 4)
	defer dev.Close()
	for _, tt := range []struct {
		offset int
		ok     bool
	}{{-1, false}, {0, false}, {3, false}, {4, true}, {16, true}} {
		_, readErr := dev.Read([][]byte{make([]byte, 64)}, []int{0}, tt.offset)
		_, writeErr := dev.Write([][]byte{make([]byte, 64)}, tt.offset)
		for _, err := range []error{readErr, writeErr} {
			if (err == nil) != tt.ok || !tt.ok && !errors.Is(err, io.ErrShortBuffer) {
				t.Errorf("offset %d: %v", tt.offset, err)
			}
		}
	}
}

func TestCloseGuardLeavesEmptyPacketsOut(t *testing.T) {
	inner := newFrail(4)
	dev := tundev.NewCloseGuard(inner, 4)
	defer dev.Close()
	bufs := [][]byte{make([]byte, 16), make([]byte, 17), nil, make([]byte, 3), make([]byte, 40)}
	mine := slices.Clone(bufs)
	if n, err := dev.Write(bufs, 16); n != 2 || err != nil || inner.written != 2 {
		t.Errorf("wrote %d of them, returned %d, %v", inner.written, n, err)
	}
	for i := range bufs {
		if len(bufs[i]) != len(mine[i]) {
			t.Error("the caller's buffers were moved")
		}
	}
	if n, err := dev.Write(bufs[:1], 16); n != 0 || err != nil {
		t.Errorf("nothing but an empty one: %d, %v", n, err)
	}
}

func TestCloseGuardKeepsTheLastKnown(t *testing.T) {
	inner := newFrail(0)
	dev := tundev.NewCloseGuard(inner, 0)
	check := func(when string) {
		name, nameErr := dev.Name()
		mtu, mtuErr := dev.MTU()
		if name != "frail0" || mtu != 1333 || nameErr != nil || mtuErr != nil {
			t.Errorf("%s: name %q, MTU %d, %v, %v", when, name, mtu, nameErr, mtuErr)
		}
	}
	inner.gone = true
	check("gone")
	if err := dev.Close(); err != nil {
		t.Error(err)
	}
	check("closed")
}

// The race detector sees it when inner is closed while it is asked.
func TestCloseGuardClosesAlone(t *testing.T) {
	for range 100 {
		dev := tundev.NewCloseGuard(newFrail(0), 0)
		var askers sync.WaitGroup
		askers.Go(func() { dev.MTU() })
		askers.Go(func() { dev.Close() })
		askers.Wait()
	}
}

func TestHeadroom(t *testing.T) {
	for goos, want := range map[string]int{"linux": 0, "windows": 0, "darwin": 4, "ios": 4, "freebsd": 4, "openbsd": 4} {
		if got := tundev.Headroom(goos); got != want {
			t.Errorf("%s: %d", goos, got)
		}
	}
}

func TestFindingJSON(t *testing.T) {
	f := tundev.Finding{Code: "a", Cause: "b", Advice: "c", Evidence: "d"}
	const want = `{"code":"a","cause":"b","advice":"c","evidence":"d"}`
	if got, err := json.Marshal(f); err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}
