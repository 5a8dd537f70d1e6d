package rig

import (
	"errors"
	"net/netip"
	"sync"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig/craft"
	"tstun/key"
)

// A Method is one that can be called on a Wrapper at any time.
type Method struct {
	Call func(w *tstun.Wrapper) error
	// Ends: after Close it fails with ErrClosed. Others go on working.
	Ends bool
	// Blocks: before Close it may wait for packets.
	Blocks bool
}

func inboundBuf() []byte {
	return append(make([]byte, Offset), craft.UDP(craft.Peer4, 1, craft.Host4, 2, "x")...)
}

// fine is a method without an error of its own.
func fine(f func(w *tstun.Wrapper)) Method {
	return Method{Call: func(w *tstun.Wrapper) error { f(w); return nil }}
}

// Methods are all of *Wrapper and, with "Unbatched." in front, of *Unbatched.
var Methods = map[string]Method{
	"Read": {Ends: true, Blocks: true, Call: func(w *tstun.Wrapper) error {
		_, err := w.Read([][]byte{make([]byte, Offset+2000)}, []int{0}, Offset)
		return err
	}},
	"Write": {Ends: true, Call: func(w *tstun.Wrapper) error {
		_, err := w.Write([][]byte{inboundBuf()}, Offset)
		return err
	}},
	"InjectInboundCopy": {Ends: true, Call: func(w *tstun.Wrapper) error {
		return w.InjectInboundCopy(craft.UDP(craft.Peer4, 1, craft.Host4, 2, "x"))
	}},
	"InjectInboundDirect": {Ends: true, Call: func(w *tstun.Wrapper) error { return w.InjectInboundDirect(inboundBuf(), Offset) }},
	"InjectInboundPacketBuffer": {Ends: true, Call: func(w *tstun.Wrapper) error {
		return w.InjectInboundPacketBuffer(PacketBuffer(craft.UDP(craft.Peer4, 1, craft.Host4, 2, "x"), new(int)))
	}},
	"InjectOutbound": {Ends: true, Call: func(w *tstun.Wrapper) error {
		return notFull(w.InjectOutbound(craft.UDP(craft.Host4, 1, craft.Peer4, 2, "x")))
	}},
	"InjectOutboundPacketBuffer": {Ends: true, Call: func(w *tstun.Wrapper) error {
		return notFull(w.InjectOutboundPacketBuffer(PacketBuffer(craft.UDP(craft.Host4, 1, craft.Peer4, 2, "x"), new(int))))
	}},

	"MTU":                    {Call: func(w *tstun.Wrapper) error { _, err := w.MTU(); return err }},
	"Name":                   {Call: func(w *tstun.Wrapper) error { _, err := w.Name(); return err }},
	"BatchSize":              fine(func(w *tstun.Wrapper) { w.BatchSize() }),
	"File":                   fine(func(w *tstun.Wrapper) { w.File() }),
	"Events":                 fine(func(w *tstun.Wrapper) { w.Events() }),
	"EventsUpDown":           fine(func(w *tstun.Wrapper) { w.EventsUpDown() }),
	"IdleDuration":           fine(func(w *tstun.Wrapper) { w.IdleDuration() }),
	"Counters":               fine(func(w *tstun.Wrapper) { w.Counters() }),
	"ExtractStatistics":      fine(func(w *tstun.Wrapper) { w.ExtractStatistics() }),
	"SetFilter":              fine(func(w *tstun.Wrapper) { w.SetFilter(filter.NewAllowAll(nil)) }),
	"GetFilter":              fine(func(w *tstun.Wrapper) { w.GetFilter() }),
	"SetFlowRecordsEnabled":  fine(func(w *tstun.Wrapper) { w.SetFlowRecordsEnabled(true) }),
	"SetAudit":               fine(func(w *tstun.Wrapper) { w.SetAudit(nil) }),
	"Flows":                  fine(func(w *tstun.Wrapper) { w.Flows() }),
	"SetStatisticsEnabled":   fine(func(w *tstun.Wrapper) { w.SetStatisticsEnabled(true) }),
	"SetFlowEvents":          fine(func(w *tstun.Wrapper) { w.SetFlowEvents(nil) }),
	"ExpireFlows":            fine(func(w *tstun.Wrapper) { w.ExpireFlows() }),
	"SetCapture":             fine(func(w *tstun.Wrapper) { w.SetCapture(func(o *tstun.Observation) { o.Peer() }) }),
	"SetReject":              fine(func(w *tstun.Wrapper) { w.SetReject(tstun.RejectTSMP) }),
	"SetDestIPActivityFuncs": fine(func(w *tstun.Wrapper) { w.SetDestIPActivityFuncs(map[netip.Addr]func(){craft.Peer4: func() {}}) }),
	"SetDiscoKey":            fine(func(w *tstun.Wrapper) { w.SetDiscoKey(key.DiscoPublicFromRaw32([32]byte{1})) }),
	"SetMSSClamp":            fine(func(w *tstun.Wrapper) { w.SetMSSClamp(tstun.ClampToMTU(1280)) }),
	"SetPeers":               {Call: func(w *tstun.Wrapper) error { return w.SetPeers(nil) }},
	"PeerOf":                 fine(func(w *tstun.Wrapper) { w.PeerOf(craft.Peer4) }),
	"Unwrap":                 fine(func(w *tstun.Wrapper) { w.Unwrap() }),
	"Unbatched":              fine(func(w *tstun.Wrapper) { w.Unbatched() }),

	"Unbatched.Read": {Ends: true, Blocks: true, Call: func(w *tstun.Wrapper) error {
		_, err := w.Unbatched().Read(make([]byte, Offset+2000), Offset)
		return err
	}},
	"Unbatched.Write": {Ends: true, Call: func(w *tstun.Wrapper) error {
		_, err := w.Unbatched().Write(inboundBuf(), Offset)
		return err
	}},
	"Unbatched.Flush":  {Ends: true, Call: func(w *tstun.Wrapper) error { return w.Unbatched().Flush() }},
	"Unbatched.MTU":    {Call: func(w *tstun.Wrapper) error { _, err := w.Unbatched().MTU(); return err }},
	"Unbatched.Name":   {Call: func(w *tstun.Wrapper) error { _, err := w.Unbatched().Name(); return err }},
	"Unbatched.File":   fine(func(w *tstun.Wrapper) { w.Unbatched().File() }),
	"Unbatched.Events": fine(func(w *tstun.Wrapper) { w.Unbatched().Events() }),
}

// Closing are the methods that are tested apart.
var Closing = map[string]func(w *tstun.Wrapper) error{
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

// WantMethods calls all of methods on Wrappers that wrap makes, before, during and
// after Close. remembers: name and MTU are known after Close too.
func WantMethods(t *testing.T, methods map[string]Method, wrap func() *tstun.Wrapper, remembers bool) {
	t.Run("before", func(t *testing.T) {
		w := wrap()
		defer w.Close()
		w.SetFilter(filter.NewAllowAll(nil))
		for name, m := range methods {
			if m.Blocks {
				continue
			}
			Soon(t, name, func() {
				if err := m.Call(w); err != nil {
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
					err := m.Call(w)
					if m.Ends && err != nil || !m.Ends && i == 200 {
						if err != nil {
							WantClosed(t, name, err)
						}
						return
					}
				}
			})
		}
		for range methods {
			<-begun
		}
		for name, f := range Closing {
			calls.Go(func() {
				if err := f(w); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		Soon(t, "a method", calls.Wait)
	})
	for _, used := range []bool{false, true} {
		t.Run(map[bool]string{false: "after, unused", true: "after"}[used], func(t *testing.T) {
			w := wrap()
			if used {
				w.SetFilter(filter.NewAllowAll(nil))
				w.Events()
				_ = w.InjectInboundCopy(craft.UDP(craft.Peer4, 1, craft.Host4, 2, "x"))
				_ = w.InjectOutbound(craft.UDP(craft.Host4, 1, craft.Peer4, 2, "x"))
				_ = methods["Read"].Call(w)
			}
			for name, f := range Closing {
				if err := f(w); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			for range 3 {
				for name, m := range methods {
					Soon(t, name, func() { wantAfterClose(t, name, m, w, remembers) })
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
func wantAfterClose(t *testing.T, name string, m Method, w *tstun.Wrapper, remembers bool) {
	t.Helper()
	err := m.Call(w)
	if m.Ends || err != nil {
		WantClosed(t, name, err)
	}
	if err != nil && !m.Ends && remembers {
		t.Errorf("%s: %v, want what was last known", name, err)
	}
}
