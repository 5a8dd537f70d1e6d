package tstun_test

import (
	"errors"
	"os"
	"reflect"
	"sync"
	"syscall"
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/testdev"
	"tstun/packet"
	"tstun/tundev"
)

func TestTheTableOfMethodsIsWhole(t *testing.T) {
	for prefix, typ := range map[string]reflect.Type{"": reflect.TypeFor[*tstun.Wrapper](), "Unbatched.": reflect.TypeFor[*tstun.Unbatched]()} {
		for i := range typ.NumMethod() {
			name := prefix + typ.Method(i).Name
			if _, ok := rig.Methods[name]; !ok && rig.Closing[name] == nil {
				t.Errorf("%s is in no table: put a call of it into rig.Methods", name)
			}
		}
	}
}

// TestEveryMethodAtEveryTime calls every method before, during and after Close,
// on every kind of device.
func TestEveryMethodAtEveryTime(t *testing.T) {
	for name, wrap := range map[string]func() *tstun.Wrapper{
		"fake":      func() *tstun.Wrapper { return tstun.Wrap(nil, tstun.NewFake()) },
		"pumped":    func() *tstun.Wrapper { return tstun.Wrap(nil, testdev.New(1)) },
		"TAP":       func() *tstun.Wrapper { return tstun.WrapTAP(nil, testdev.New(1)) },
		"forgetful": func() *tstun.Wrapper { return tstun.Wrap(nil, &forgetful{Device: testdev.New(1)}) },
	} {
		t.Run(name, func(t *testing.T) { rig.WantMethods(t, rig.Methods, wrap, name != "forgetful") })
	}
}

// forgetful is a device that knows nothing any more once it is closed.
type forgetful struct {
	*testdev.Device
	mu     sync.Mutex // guards closed
	closed bool
}

func (d *forgetful) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	return d.Device.Close()
}

func (d *forgetful) known() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errors.New("bad file descriptor")
	}
	return nil
}

func (d *forgetful) MTU() (int, error)     { return 1280, d.known() }
func (d *forgetful) Name() (string, error) { return "x", d.known() }
func (d *forgetful) Flush() error          { return d.known() }

// TestWrongArgumentsOfAClosedWrapper: that it is closed comes first.
func TestWrongArgumentsOfAClosedWrapper(t *testing.T) {
	w := tstun.Wrap(nil, tstun.NewFake())
	w.Close()
	long := make([]byte, tstun.MaxPacketSize+1)
	_, err := w.Read([][]byte{long}, nil, offset)
	rig.WantClosed(t, "Read without sizes", err)
	_, err = w.Read(nil, nil, -1)
	rig.WantClosed(t, "Read at a negative offset", err)
	_, err = w.Write(nil, -1)
	rig.WantClosed(t, "Write at a negative offset", err)
	rig.WantClosed(t, "InjectInboundCopy, long", w.InjectInboundCopy(long))
	rig.WantClosed(t, "InjectInboundCopy, empty", w.InjectInboundCopy(nil))
	rig.WantClosed(t, "InjectInboundDirect, no room", w.InjectInboundDirect(long, 0))
	rig.WantClosed(t, "InjectOutbound, long", w.InjectOutbound(long))
	rig.WantClosed(t, "InjectOutbound, empty", w.InjectOutbound(nil))
	_, err = w.Unbatched().Write(nil, 1)
	rig.WantClosed(t, "Unbatched.Write beyond the buffer", err)
}

// TestDeviceClosedByOthers: a device that ends under the Wrapper is closed too.
func TestDeviceClosedByOthers(t *testing.T) {
	for name, dev := range map[string]tun.Device{"fake": tstun.NewFake(), "pumped": testdev.New(1), "TAP": tundev.TAP(testdev.New(1))} {
		t.Run(name, func(t *testing.T) {
			w := tstun.Wrap(nil, dev)
			defer w.Close()
			w.SetFilter(filter.NewAllowAll(nil))
			dev.Close()
			rig.Soon(t, "Read", func() { rig.WantClosed(t, "Read", rig.Methods["Read"].Call(w)) })
			for _, what := range []string{"Write", "Unbatched.Write", "InjectInboundCopy", "InjectInboundPacketBuffer"} {
				rig.WantClosed(t, what, rig.Methods[what].Call(w))
			}
		})
	}
}

func always(r filter.Response) tstun.FilterFunc {
	return func(*packet.Parsed, *tstun.Wrapper) filter.Response { return r }
}

// TestUnbatchedWrite: what it returns, sentence by sentence of its comment.
func TestUnbatchedWrite(t *testing.T) {
	good := craft.UDP(peer4, 1000, host4, 80, "payload")
	ping := packet.Generate(packet.TSMPPing{IPHeader: packet.IPHeader{Src: peer4, Dst: host4}}, nil)
	odd := errors.New("odd")
	tests := []struct {
		name    string
		pkt     []byte
		hook    tstun.FilterFunc
		dev     error // of the device's Write
		n       int
		err     error
		written int
		reason  filter.Reason // of the drop
	}{
		{name: "taken by the device", pkt: good, n: len(good), written: 1},
		{name: "with bytes behind it", pkt: append(good[:len(good):len(good)], "trailer"...), n: len(good) + 7, written: 1},
		{name: "taken by a hook", pkt: good, hook: always(filter.Handled), n: len(good)},
		{name: "answered by the Wrapper", pkt: ping, n: len(ping)},
		{name: "dropped by a hook", pkt: good, hook: always(filter.Drop), err: tstun.ErrFiltered, reason: filter.ReasonHook},
		{name: "refused by the filter", pkt: craft.UDP(peer4, 1, host4, 81, "x"), err: tstun.ErrFiltered, reason: filter.ReasonNoRule},
		{name: "malformed", pkt: []byte("junk"), err: tstun.ErrFiltered, reason: filter.ReasonMalformed},
		{name: "empty", pkt: []byte{}, err: tstun.ErrFiltered, reason: filter.ReasonMalformed},
		{name: "link down", pkt: good, dev: os.NewSyscallError("write", syscall.EIO), n: len(good), reason: filter.ReasonDevice},
		{name: "refused by the device", pkt: good, dev: odd, err: odd, reason: filter.ReasonDevice},
		{name: "device closed", pkt: good, dev: os.ErrClosed, err: tstun.ErrClosed, reason: filter.ReasonDevice},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rig.New(t, 1)
			r.W.PreFilterIn = tt.hook
			r.Allow(rig.To(rig.Port(80)))
			if tt.dev != nil {
				r.Dev.OnWrite(func([][]byte, int) (int, error) { return 0, tt.dev })
			}
			n, err := r.W.Unbatched().Write(append(make([]byte, offset), tt.pkt...), offset)
			if n != tt.n || !errors.Is(err, tt.err) {
				t.Errorf("Write = %d, %v; want %d, %v", n, err, tt.n, tt.err)
			}
			written := r.Dev.Written()
			if len(written) != tt.written || len(written) == 1 && len(written[0]) != len(good) {
				t.Errorf("the device got %x, want %d packets of %d bytes", written, tt.written, len(good))
			}
			c := r.W.Counters().In
			if tt.reason != 0 && c.Drops[tt.reason] != 1 || tt.reason == 0 && c.Dropped() != 0 {
				t.Errorf("dropped %v, want %v", c.Drops, tt.reason)
			}
		})
	}
}
