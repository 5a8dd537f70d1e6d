package tstun_test

import (
	"errors"
	"net/netip"
	"os"
	"reflect"
	"sync"
	"syscall"
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/testdev"
	"tstun/key"
	"tstun/packet"
	"tstun/tundev"
)

// A method is one that can be called on a Wrapper at any time.
type method struct {
	call func(w *tstun.Wrapper) error
	// ends: after Close it fails with ErrClosed. Others go on working.
	ends bool
	// blocks: before Close it may wait for packets.
	blocks bool
}

func inboundBuf() []byte { return append(make([]byte, offset), udp(peer4, 1, host4, 2, "x")...) }

// fine is a method without an error of its own.
func fine(f func(w *tstun.Wrapper)) method {
	return method{call: func(w *tstun.Wrapper) error { f(w); return nil }}
}

// methods are all of *Wrapper and, with "Unbatched." in front, of *Unbatched.
var methods = map[string]method{
	"Read": {ends: true, blocks: true, call: func(w *tstun.Wrapper) error {
		_, err := w.Read([][]byte{make([]byte, offset+2000)}, []int{0}, offset)
		return err
	}},
	"Write": {ends: true, call: func(w *tstun.Wrapper) error {
		_, err := w.Write([][]byte{inboundBuf()}, offset)
		return err
	}},
	"InjectInboundCopy":   {ends: true, call: func(w *tstun.Wrapper) error { return w.InjectInboundCopy(udp(peer4, 1, host4, 2, "x")) }},
	"InjectInboundDirect": {ends: true, call: func(w *tstun.Wrapper) error { return w.InjectInboundDirect(inboundBuf(), offset) }},
	"InjectInboundPacketBuffer": {ends: true, call: func(w *tstun.Wrapper) error {
		return w.InjectInboundPacketBuffer(packetBuffer(udp(peer4, 1, host4, 2, "x"), new(int)))
	}},
	"InjectOutbound": {ends: true, call: func(w *tstun.Wrapper) error { return notFull(w.InjectOutbound(udp(host4, 1, peer4, 2, "x"))) }},
	"InjectOutboundPacketBuffer": {ends: true, call: func(w *tstun.Wrapper) error {
		return notFull(w.InjectOutboundPacketBuffer(packetBuffer(udp(host4, 1, peer4, 2, "x"), new(int))))
	}},

	"MTU":                    {call: func(w *tstun.Wrapper) error { _, err := w.MTU(); return err }},
	"Name":                   {call: func(w *tstun.Wrapper) error { _, err := w.Name(); return err }},
	"BatchSize":              fine(func(w *tstun.Wrapper) { w.BatchSize() }),
	"File":                   fine(func(w *tstun.Wrapper) { w.File() }),
	"Events":                 fine(func(w *tstun.Wrapper) { w.Events() }),
	"EventsUpDown":           fine(func(w *tstun.Wrapper) { w.EventsUpDown() }),
	"IdleDuration":           fine(func(w *tstun.Wrapper) { w.IdleDuration() }),
	"Counters":               fine(func(w *tstun.Wrapper) { w.Counters() }),
	"ExtractStatistics":      fine(func(w *tstun.Wrapper) { w.ExtractStatistics() }),
	"SetFilter":              fine(func(w *tstun.Wrapper) { w.SetFilter(filter.NewAllowAll(nil)) }),
	"GetFilter":              fine(func(w *tstun.Wrapper) { w.GetFilter() }),
	"SetStatisticsEnabled":   fine(func(w *tstun.Wrapper) { w.SetStatisticsEnabled(true) }),
	"SetReject":              fine(func(w *tstun.Wrapper) { w.SetReject(tstun.RejectTSMP) }),
	"SetDestIPActivityFuncs": fine(func(w *tstun.Wrapper) { w.SetDestIPActivityFuncs(map[netip.Addr]func(){peer4: func() {}}) }),
	"SetDiscoKey":            fine(func(w *tstun.Wrapper) { w.SetDiscoKey(key.DiscoPublicFromRaw32([32]byte{1})) }),
	"SetPeers":               {call: func(w *tstun.Wrapper) error { return w.SetPeers(nil) }},
	"Unwrap":                 fine(func(w *tstun.Wrapper) { w.Unwrap() }),
	"Unbatched":              fine(func(w *tstun.Wrapper) { w.Unbatched() }),

	"Unbatched.Read": {ends: true, blocks: true, call: func(w *tstun.Wrapper) error {
		_, err := w.Unbatched().Read(make([]byte, offset+2000), offset)
		return err
	}},
	"Unbatched.Write": {ends: true, call: func(w *tstun.Wrapper) error {
		_, err := w.Unbatched().Write(inboundBuf(), offset)
		return err
	}},
	"Unbatched.Flush":  {ends: true, call: func(w *tstun.Wrapper) error { return w.Unbatched().Flush() }},
	"Unbatched.MTU":    {call: func(w *tstun.Wrapper) error { _, err := w.Unbatched().MTU(); return err }},
	"Unbatched.Name":   {call: func(w *tstun.Wrapper) error { _, err := w.Unbatched().Name(); return err }},
	"Unbatched.File":   fine(func(w *tstun.Wrapper) { w.Unbatched().File() }),
	"Unbatched.Events": fine(func(w *tstun.Wrapper) { w.Unbatched().Events() }),
}

// closing are the methods that are tested apart.
var closing = map[string]func(w *tstun.Wrapper) error{
	"Close":           (*tstun.Wrapper).Close,
	"Unbatched.Close": func(w *tstun.Wrapper) error { return w.Unbatched().Close() },
}

// notFull takes a full queue for success, since nobody reads.
func notFull(err error) error {
	if errors.Is(err, tstun.ErrQueueFull) {
		return nil
	}
	return err
}

func TestTheTableOfMethodsIsWhole(t *testing.T) {
	for prefix, typ := range map[string]reflect.Type{"": reflect.TypeFor[*tstun.Wrapper](), "Unbatched.": reflect.TypeFor[*tstun.Unbatched]()} {
		for i := range typ.NumMethod() {
			name := prefix + typ.Method(i).Name
			if _, ok := methods[name]; !ok && closing[name] == nil {
				t.Errorf("%s is in no table", name)
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
		t.Run(name, func(t *testing.T) { testMethods(t, methods, wrap, name != "forgetful") })
	}
}

// testMethods tests all of methods on Wrappers that wrap makes. remembers: name
// and MTU are known after Close too.
func testMethods(t *testing.T, methods map[string]method, wrap func() *tstun.Wrapper, remembers bool) {
	t.Run("before", func(t *testing.T) {
		w := wrap()
		defer w.Close()
		w.SetFilter(filter.NewAllowAll(nil))
		for name, m := range methods {
			if m.blocks {
				continue
			}
			soon(t, name, func() {
				if err := m.call(w); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	})
	t.Run("during", func(t *testing.T) {
		w := wrap()
		w.SetFilter(filter.NewAllowAll(nil))
		var calls sync.WaitGroup
		begun := make(chan struct{}, len(methods))
		for name, m := range methods {
			calls.Go(func() {
				begun <- struct{}{}
				for i := 0; ; i++ {
					err := m.call(w)
					if m.ends && err != nil || !m.ends && i == 200 {
						if err != nil {
							wantClosed(t, name, err)
						}
						return
					}
				}
			})
		}
		for range methods {
			<-begun
		}
		for name, f := range closing {
			calls.Go(func() {
				if err := f(w); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		soon(t, "a method", calls.Wait)
	})
	for _, used := range []bool{false, true} {
		t.Run(map[bool]string{false: "after, unused", true: "after"}[used], func(t *testing.T) {
			w := wrap()
			if used {
				w.SetFilter(filter.NewAllowAll(nil))
				w.Events()
				_ = w.InjectInboundCopy(udp(peer4, 1, host4, 2, "x"))
				_ = w.InjectOutbound(udp(host4, 1, peer4, 2, "x"))
				_ = methods["Read"].call(w)
			}
			for name, f := range closing {
				if err := f(w); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			for range 3 {
				for name, m := range methods {
					soon(t, name, func() { wantAfterClose(t, name, m, w, remembers) })
				}
			}
			for range w.Events() { // closed
			}
			for range w.EventsUpDown() {
			}
		})
	}
}

// wantAfterClose checks what a method says of a closed Wrapper.
func wantAfterClose(t *testing.T, name string, m method, w *tstun.Wrapper, remembers bool) {
	t.Helper()
	err := m.call(w)
	if m.ends || err != nil {
		wantClosed(t, name, err)
	}
	if err != nil && !m.ends && remembers {
		t.Errorf("%s: %v, want what was last known", name, err)
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
	wantClosed(t, "Read without sizes", err)
	_, err = w.Read(nil, nil, -1)
	wantClosed(t, "Read at a negative offset", err)
	_, err = w.Write(nil, -1)
	wantClosed(t, "Write at a negative offset", err)
	wantClosed(t, "InjectInboundCopy, long", w.InjectInboundCopy(long))
	wantClosed(t, "InjectInboundCopy, empty", w.InjectInboundCopy(nil))
	wantClosed(t, "InjectInboundDirect, no room", w.InjectInboundDirect(long, 0))
	wantClosed(t, "InjectOutbound, long", w.InjectOutbound(long))
	wantClosed(t, "InjectOutbound, empty", w.InjectOutbound(nil))
	_, err = w.Unbatched().Write(nil, 1)
	wantClosed(t, "Unbatched.Write beyond the buffer", err)
}

// TestDeviceClosedByOthers: a device that ends under the Wrapper is closed too.
func TestDeviceClosedByOthers(t *testing.T) {
	for name, dev := range map[string]tun.Device{"fake": tstun.NewFake(), "pumped": testdev.New(1), "TAP": tundev.TAP(testdev.New(1))} {
		t.Run(name, func(t *testing.T) {
			w := tstun.Wrap(nil, dev)
			defer w.Close()
			w.SetFilter(filter.NewAllowAll(nil))
			dev.Close()
			soon(t, "Read", func() { wantClosed(t, "Read", methods["Read"].call(w)) })
			for _, what := range []string{"Write", "Unbatched.Write", "InjectInboundCopy", "InjectInboundPacketBuffer"} {
				wantClosed(t, what, methods[what].call(w))
			}
		})
	}
}

func always(r filter.Response) tstun.FilterFunc {
	return func(*packet.Parsed, *tstun.Wrapper) filter.Response { return r }
}

// TestUnbatchedWrite: what it returns, sentence by sentence of its comment.
func TestUnbatchedWrite(t *testing.T) {
	good := udp(peer4, 1000, host4, 80, "payload")
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
		{name: "refused by the filter", pkt: udp(peer4, 1, host4, 81, "x"), err: tstun.ErrFiltered, reason: filter.ReasonNoRule},
		{name: "malformed", pkt: []byte("junk"), err: tstun.ErrFiltered, reason: filter.ReasonMalformed},
		{name: "empty", pkt: []byte{}, err: tstun.ErrFiltered, reason: filter.ReasonMalformed},
		{name: "link down", pkt: good, dev: os.NewSyscallError("write", syscall.EIO), n: len(good), reason: filter.ReasonDevice},
		{name: "refused by the device", pkt: good, dev: odd, err: odd, reason: filter.ReasonDevice},
		{name: "device closed", pkt: good, dev: os.ErrClosed, err: tstun.ErrClosed, reason: filter.ReasonDevice},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 1)
			r.w.PreFilterIn = tt.hook
			r.allow(to(port(80)))
			if tt.dev != nil {
				r.dev.OnWrite(func([][]byte, int) (int, error) { return 0, tt.dev })
			}
			n, err := r.w.Unbatched().Write(append(make([]byte, offset), tt.pkt...), offset)
			if n != tt.n || !errors.Is(err, tt.err) {
				t.Errorf("Write = %d, %v; want %d, %v", n, err, tt.n, tt.err)
			}
			written := r.dev.Written()
			if len(written) != tt.written || len(written) == 1 && len(written[0]) != len(good) {
				t.Errorf("the device got %x, want %d packets of %d bytes", written, tt.written, len(good))
			}
			c := r.w.Counters().In
			if tt.reason != 0 && c.Drops[tt.reason] != 1 || tt.reason == 0 && c.Dropped() != 0 {
				t.Errorf("dropped %v, want %v", c.Drops, tt.reason)
			}
		})
	}
}
