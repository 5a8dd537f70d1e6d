package tstun_test

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/testdev"
	"tstun/ipproto"
	"tstun/packet"
)

// idleRig is a rig with rules that allow everything, on a device that is read
// directly or ahead.
func idleRig(t *testing.T, direct bool) *rig.Rig {
	device := testdev.New(4)
	var dev tun.Device = device
	if direct {
		dev = readyDevice{device}
	}
	r := rig.Of(t, tstun.Wrap(t.Logf, dev), 4)
	r.Dev = device
	r.Allow(rig.Everything())
	return r
}

// readyDevice is a test device that is read directly. It has something only
// for a Read that waits.
type readyDevice struct{ *testdev.Device }

func (d readyDevice) ReadReady(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	if !wait {
		return 0, nil
	}
	return d.Read(bufs, sizes, offset)
}

func (d readyDevice) Interrupt()   {}
func (d readyDevice) Abandon() int { return 0 }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestIdleDuration: what passes or is taken ends idleness, whichever way it
// came. What is dropped, or is no packet, does not.
func TestIdleDuration(t *testing.T) {
	in, out := craft.UDP(peer4, 1, host4, 2, "x"), craft.UDP(host4, 2, peer4, 1, "x")
	tsmp := func(payload string) []byte {
		return packet.Generate(packet.IPHeader{Src: peer4, Dst: host4, Proto: ipproto.TSMP, TTL: 64}, []byte(payload))
	}
	headroom := func(b []byte) []byte { return append(make([]byte, offset), b...) }
	for name, tt := range map[string]struct {
		set    func(r *rig.Rig) // before the first packet
		f      func(t *testing.T, r *rig.Rig)
		active bool
	}{
		"read":           {active: true, f: func(t *testing.T, r *rig.Rig) { r.FromHost(out) }},
		"read, of a run": {active: true, f: func(t *testing.T, r *rig.Rig) { r.FromHost(out, out, out, out) }},
		"written":        {active: true, f: func(t *testing.T, r *rig.Rig) { r.FromPeer(in) }},
		"written, of a run": {active: true, f: func(t *testing.T, r *rig.Rig) {
			for range 4 {
				r.FromPeer(in)
			}
		}},
		"read unbatched": {active: true, f: func(t *testing.T, r *rig.Rig) {
			r.Dev.Send(out)
			_, err := r.W.Unbatched().Read(make([]byte, 2000), offset)
			must(t, err)
		}},
		"written unbatched": {active: true, f: func(t *testing.T, r *rig.Rig) {
			_, err := r.W.Unbatched().Write(headroom(in), offset)
			must(t, err)
		}},
		"injected outbound": {active: true, f: func(t *testing.T, r *rig.Rig) {
			must(t, r.W.InjectOutbound(bytes.Clone(out)))
			r.Read(1)
		}},
		"injected outbound, PacketBuffer": {active: true, f: func(t *testing.T, r *rig.Rig) {
			must(t, r.W.InjectOutboundPacketBuffer(rig.PacketBuffer(out, new(int))))
			r.Read(1)
		}},
		"injected outbound, not yet read": {f: func(t *testing.T, r *rig.Rig) { must(t, r.W.InjectOutbound(bytes.Clone(out))) }},
		"injected inbound, copy":          {active: true, f: func(t *testing.T, r *rig.Rig) { must(t, r.W.InjectInboundCopy(in)) }},
		"injected inbound, direct": {active: true, f: func(t *testing.T, r *rig.Rig) {
			must(t, r.W.InjectInboundDirect(headroom(in), offset))
		}},
		"injected inbound, PacketBuffer": {active: true, f: func(t *testing.T, r *rig.Rig) {
			must(t, r.W.InjectInboundPacketBuffer(rig.PacketBuffer(in, new(int))))
		}},

		"handled by PreFilterIn": {active: true,
			set: func(r *rig.Rig) { r.W.PreFilterIn = always(filter.Handled) },
			f:   func(t *testing.T, r *rig.Rig) { r.FromPeer(in) }},
		"handled by PostFilterIn": {active: true,
			set: func(r *rig.Rig) { r.W.PostFilterIn = always(filter.Handled) },
			f:   func(t *testing.T, r *rig.Rig) { r.FromPeer(in) }},
		"handled by PreFilterFromTunToNetstack": {active: true,
			set: func(r *rig.Rig) { r.W.PreFilterFromTunToNetstack = always(filter.Handled) },
			f:   func(t *testing.T, r *rig.Rig) { r.FromHost(out) }},
		"handled by PreFilterFromTunToEngine": {active: true,
			set: func(r *rig.Rig) { r.W.PreFilterFromTunToEngine = always(filter.Handled) },
			f:   func(t *testing.T, r *rig.Rig) { r.FromHost(out) }},
		"handled by PostFilterOut": {active: true,
			set: func(r *rig.Rig) { r.W.PostFilterOut = always(filter.Handled) },
			f:   func(t *testing.T, r *rig.Rig) { r.FromHost(out) }},
		"TSMP ping": {active: true, f: func(t *testing.T, r *rig.Rig) { r.FromPeer(tsmp("p12345678")) }},
		"TSMP pong": {active: true, f: func(t *testing.T, r *rig.Rig) { r.FromPeer(tsmp("o1234567801")) }},
		"echo reply, consumed": {active: true,
			set: func(r *rig.Rig) { r.W.OnICMPEchoResponseReceived = func(*packet.Parsed) bool { return true } },
			f:   func(t *testing.T, r *rig.Rig) { r.FromPeer(craft.Echo(peer4, host4, 1, true)) }},

		"one of a batch that passes": {active: true, f: func(t *testing.T, r *rig.Rig) { r.FromPeer([]byte{1}, in) }},

		"refused inbound": {f: func(t *testing.T, r *rig.Rig) {
			r.Allow()
			r.FromPeer(in)
		}},
		"refused inbound by a hook": {
			set: func(r *rig.Rig) { r.W.PreFilterIn = always(filter.Drop) },
			f:   func(t *testing.T, r *rig.Rig) { r.FromPeer(in) }},
		"refused outbound by a hook": {
			set: func(r *rig.Rig) { r.W.PostFilterOut = always(filter.Drop) },
			f:   func(t *testing.T, r *rig.Rig) { r.FromHost(out) }},
		"refused by the device": {f: func(t *testing.T, r *rig.Rig) {
			r.Dev.OnWrite(func([][]byte, int) (int, error) { return 0, errors.New("full") })
			if _, err := r.W.Write([][]byte{headroom(in)}, offset); err == nil {
				t.Error("no error")
			}
		}},
		"malformed":    {f: func(t *testing.T, r *rig.Rig) { r.FromPeer([]byte{1}); r.FromHost([]byte{1}) }},
		"nothing":      {f: func(t *testing.T, r *rig.Rig) { r.FromPeer() }},
		"an idle read": {f: func(t *testing.T, r *rig.Rig) { r.FromHost(nil) }},
		"after Close": {f: func(t *testing.T, r *rig.Rig) {
			r.W.Close()
			if _, err := r.W.Write([][]byte{headroom(in)}, offset); !errors.Is(err, os.ErrClosed) {
				t.Error(err)
			}
		}},
	} {
		for source, direct := range map[string]bool{"direct": true, "pump": false} {
			t.Run(name+"/"+source, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := idleRig(t, direct)
					defer r.W.Close()
					if tt.set != nil {
						tt.set(r)
					}
					for n := range 3 {
						before := r.W.IdleDuration()
						time.Sleep(time.Minute)
						if got, want := r.W.IdleDuration(), before+time.Minute; got != want {
							t.Errorf("idle for %v, want %v", got, want)
						}
						tt.f(t, r)
						want := time.Duration(0)
						if !tt.active {
							want = time.Duration(n+1) * time.Minute
						}
						if got := r.W.IdleDuration(); got != want {
							t.Errorf("idle for %v afterwards, want %v", got, want)
						}
					}
				})
			})
		}
	}
}

// TestIdleDurationIsAccurate: to 5 ms, and never less than it is, while packets
// come, however far apart.
func TestIdleDurationIsAccurate(t *testing.T) {
	for _, gap := range []time.Duration{time.Microsecond, time.Millisecond, 4 * time.Millisecond, 5 * time.Millisecond, 7 * time.Millisecond, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			r := idleRig(t, true)
			defer r.W.Close()
			for range 100 {
				time.Sleep(gap)
				r.FromPeer(craft.UDP(peer4, 1, host4, 2, "x"))
				got := r.W.IdleDuration()
				if got < 0 || got >= 5*time.Millisecond || gap >= 5*time.Millisecond && got != 0 {
					t.Fatalf("packets %v apart: idle for %v right after one", gap, got)
				}
			}
		})
	}
}

// TestActivityIsWhenItWas: a packet that a hook has kept for long is not long
// ago.
func TestActivityIsWhenItWas(t *testing.T) {
	slow := func(*packet.Parsed, *tstun.Wrapper) filter.Response {
		time.Sleep(time.Second)
		return filter.Accept
	}
	for name, tt := range map[string]struct {
		set func(w *tstun.Wrapper)
		f   func(r *rig.Rig)
	}{
		"PreFilterIn":  {func(w *tstun.Wrapper) { w.PreFilterIn = slow }, func(r *rig.Rig) { r.FromPeer(craft.UDP(peer4, 1, host4, 2, "x")) }},
		"PostFilterIn": {func(w *tstun.Wrapper) { w.PostFilterIn = slow }, func(r *rig.Rig) { r.FromPeer(craft.UDP(peer4, 1, host4, 2, "x")) }},
		"OnICMPEchoResponseReceived": {func(w *tstun.Wrapper) {
			w.OnICMPEchoResponseReceived = func(*packet.Parsed) bool { time.Sleep(time.Second); return true }
		}, func(r *rig.Rig) { r.FromPeer(craft.Echo(peer4, host4, 1, true)) }},
		"PostFilterOut": {func(w *tstun.Wrapper) { w.PostFilterOut = slow }, func(r *rig.Rig) { r.FromHost(craft.UDP(host4, 2, peer4, 1, "x")) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := idleRig(t, true)
				defer r.W.Close()
				tt.set(r.W)
				tt.f(r)
				if got := r.W.IdleDuration(); got != 0 {
					t.Errorf("idle for %v", got)
				}
			})
		})
	}
}

// TestIdleDurationUnderLoad: it is never negative and hardly more than nothing
// while several receivers are at work. The race detector looks on.
func TestIdleDurationUnderLoad(t *testing.T) {
	r := rig.New(t, 1)
	r.Dev.OnWrite(func(bufs [][]byte, _ int) (int, error) { return len(bufs), nil })
	r.Allow(rig.Everything())
	var receivers sync.WaitGroup
	for i := range 4 {
		receivers.Go(func() {
			buf := append(make([]byte, offset), craft.UDP(peer4, uint16(i), host4, 2, "x")...)
			for range 2000 {
				if _, err := r.W.Write([][]byte{buf}, offset); err != nil {
					t.Error(err)
				}
				if idle := r.W.IdleDuration(); idle < 0 {
					t.Errorf("idle for %v", idle)
				}
			}
		})
	}
	receivers.Wait()
}
