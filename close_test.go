package tstun_test

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun"
	"tstun/filter"
	"tstun/internal/testdev"
	"tstun/packet"
)

// wantClosed checks that err says that the Wrapper is closed, in both ways.
func wantClosed(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, tstun.ErrClosed) || !errors.Is(err, os.ErrClosed) {
		t.Errorf("%s: %v, want ErrClosed and os.ErrClosed", what, err)
	}
}

// wantAllClosed calls everything that must fail after Close.
func wantAllClosed(t *testing.T, w *tstun.Wrapper) {
	t.Helper()
	buf := make([]byte, offset+100)
	_, err := w.Read([][]byte{buf}, []int{0}, offset)
	wantClosed(t, "Read", err)
	_, err = w.Write([][]byte{buf}, offset)
	wantClosed(t, "Write", err)
	_, err = w.Unbatched().Read(buf, offset)
	wantClosed(t, "Unbatched.Read", err)
	_, err = w.Unbatched().Write(buf, offset)
	wantClosed(t, "Unbatched.Write", err)
	wantClosed(t, "Unbatched.Flush", w.Unbatched().Flush())
	wantClosed(t, "InjectInboundCopy", w.InjectInboundCopy(buf))
	wantClosed(t, "InjectInboundDirect", w.InjectInboundDirect(buf, offset))
	wantClosed(t, "InjectOutbound", w.InjectOutbound(buf))
	released := 0
	wantClosed(t, "InjectInboundPacketBuffer", w.InjectInboundPacketBuffer(packetBuffer(buf, &released)))
	wantClosed(t, "InjectOutboundPacketBuffer", w.InjectOutboundPacketBuffer(packetBuffer(buf, &released)))
	if released != 2 {
		t.Errorf("%d refused PacketBuffers released, want 2", released)
	}
}

// soon runs f and fails the test if it does not come back.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s hangs", what)
	}
}

func TestLesson03CloseBeforeFirstUse(t *testing.T) {
	r := newRig(t, 1)
	for range 3 {
		if err := r.w.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	wantAllClosed(t, r.w)
}

func TestLesson03CloseWakesReaders(t *testing.T) {
	r := newRig(t, 1)
	r.w.SetFilter(filter.NewAllowAll(nil))
	r.fromHost(udp(host4, 1, peer4, 2, "x"))
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			_, err := r.w.Unbatched().Read(make([]byte, 2000), offset)
			wantClosed(t, "Read", err)
		})
	}
	soon(t, "Close", func() { r.w.Close(); readers.Wait() })
	wantAllClosed(t, r.w)
}

func TestLesson03CloseAgainstInjectorsWithoutReader(t *testing.T) {
	r := newRig(t, 1)
	r.w.SetFilter(filter.NewAllowAll(nil))
	r.w.SetReject(tstun.RejectReset)
	var queued, released atomic.Int64
	var injectors sync.WaitGroup
	for i := range 8 {
		injectors.Go(func() {
			for j := 0; ; j++ {
				pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{OnRelease: func() { released.Add(1) }})
				queued.Add(1)
				if err := r.w.InjectOutboundPacketBuffer(pkt); errors.Is(err, tstun.ErrClosed) {
					return
				}
				if i == 0 && j == 1000 {
					go r.w.Close()
				}
				_ = r.w.InjectOutbound(udp(host4, 1, peer4, 2, "x"))
				_ = r.w.InjectInboundCopy(udp(peer4, 1, host4, 2, "x"))
				_, _ = r.w.Unbatched().Write(append(make([]byte, offset), udp(peer4, 1, host4, 2, "x")...), offset)
			}
		})
	}
	soon(t, "the injectors", injectors.Wait)
	soon(t, "Close", func() { r.w.Close() })
	if queued.Load() != released.Load() {
		t.Errorf("%d PacketBuffers injected, %d released", queued.Load(), released.Load())
	}
	wantAllClosed(t, r.w)
}

func TestCloseReleasesQueuedPacketBuffers(t *testing.T) {
	r := newRig(t, 1)
	released := 0
	for range 10 {
		if err := r.w.InjectOutboundPacketBuffer(packetBuffer(udp(host4, 1, peer4, 2, "x"), &released)); err != nil {
			t.Fatal(err)
		}
	}
	r.w.Close()
	if released != 10 {
		t.Errorf("%d PacketBuffers released, want 10", released)
	}
	if n := r.w.Counters().Out.Drops[filter.ReasonClosed]; n != 10 {
		t.Errorf("%d packets dropped as closed, want 10", n)
	}
}

func TestCloseFromAHook(t *testing.T) {
	hook := func(_ *packet.Parsed, w *tstun.Wrapper) filter.Response {
		w.Close()
		return filter.Accept
	}
	out, in := udp(host4, 1, peer4, 2, "x"), udp(peer4, 2, host4, 1, "x")
	pong := packet.Generate(packet.TSMPPongReply{IPHeader: packet.IPHeader{Src: peer4, Dst: host4}}, nil)
	for name, set := range map[string]func(w *tstun.Wrapper){
		"PostFilterOut": func(w *tstun.Wrapper) { w.PostFilterOut = hook },
		"PostFilterIn":  func(w *tstun.Wrapper) { w.PostFilterIn = hook },
		"pong":          func(w *tstun.Wrapper) { w.OnTSMPPongReceived = func(packet.TSMPPongReply) { w.Close() } },
		"activity": func(w *tstun.Wrapper) {
			w.SetDestIPActivityFuncs(map[netip.Addr]func(){peer4: func() { w.Close() }})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			set(r.w)
			r.w.SetFilter(filter.NewAllowAll(nil))
			r.dev.Send(out)
			soon(t, "Read or Write", func() {
				_, _ = r.w.Write([][]byte{append(make([]byte, offset), in...)}, offset)
				_, _ = r.w.Write([][]byte{append(make([]byte, offset), pong...)}, offset)
				for err := error(nil); err == nil; {
					_, err = r.w.Read(r.bufs, r.sizes, offset)
				}
			})
			wantAllClosed(t, r.w)
		})
	}
}

// TestPacketsUnderWayAtCloseAreAccountedFor: what was read ahead, and what is
// left of a super-packet, is dropped as closed and not forgotten.
func TestPacketsUnderWayAtCloseAreAccountedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4)
		r.w.SetFilter(filter.NewAllowAll(nil))
		r.bufs, r.sizes = r.bufs[:1], r.sizes[:1]
		pkt := udp(host4, 1, peer4, 2, "x")
		for range 2 {
			r.dev.Send(pkt, pkt, nil, pkt) // one batch in hand, one read ahead
		}
		r.read(1)
		synctest.Wait()
		released := 0
		super, _ := superPacket(host4, peer4, 100, 1000, &released)
		if err := r.w.InjectOutboundPacketBuffer(super); err != nil {
			t.Fatal(err)
		}
		r.read(2) // by turns, so at least one segment
		r.w.Close()
		c := r.w.Counters().Out
		wantAccounted(t, "out", c, 6+10)
		if c.Packets != 3 || c.Drops[filter.ReasonClosed] != 13 {
			t.Errorf("counted %+v, want 3 passed and 13 dropped as closed", c)
		}
	})
}

// TestCloseDuringReadAccountsForTheRest: the Read that is going on is the last
// one, and has packets to return.
func TestCloseDuringReadAccountsForTheRest(t *testing.T) {
	r := newRig(t, 4)
	r.w.PostFilterOut = func(_ *packet.Parsed, w *tstun.Wrapper) filter.Response {
		w.Close()
		return filter.Accept
	}
	r.w.SetFilter(filter.NewAllowAll(nil))
	pkt := udp(host4, 1, peer4, 2, "x")
	r.dev.Send(pkt, pkt, pkt, pkt)
	r.bufs, r.sizes = r.bufs[:1], r.sizes[:1]
	r.read(1)
	if c := r.w.Counters().Out; c.Packets != 1 || c.Drops[filter.ReasonClosed] != 3 {
		t.Errorf("counted %+v, want 1 passed and 3 dropped as closed", c)
	}
}

// stuckUntil is a device whose Close does not come back before the end.
type stuckUntil struct {
	*testdev.Device
	end <-chan struct{}
}

func (d stuckUntil) Close() error {
	<-d.end
	return d.Device.Close()
}

func TestCloseOfAStuckDeviceIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := tstun.Wrap(nil, stuckUntil{testdev.New(1), t.Context().Done()})
		start := time.Now()
		if err := w.Close(); err == nil {
			t.Error("Close of a stuck device: no error")
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("Close took %v, want at most a second", d)
		}
	})
}

func TestCloseWithPacketsThatNobodyReads(t *testing.T) {
	r := newRig(t, 4)
	r.w.SetFilter(filter.NewAllowAll(nil))
	for range 50 {
		r.dev.Send(udp(host4, 1, peer4, 2, "x"))
	}
	r.read(1)
	soon(t, "Close", func() { r.w.Close() })
}

func TestClosedDeviceEndsReads(t *testing.T) {
	r := newRig(t, 1)
	r.w.Unwrap().Close()
	for range 3 {
		soon(t, "Read", func() {
			if _, err := r.w.Read(r.bufs, r.sizes, offset); !errors.Is(err, os.ErrClosed) {
				t.Errorf("Read on a closed device: %v", err)
			}
		})
	}
	_, err := r.w.Write([][]byte{append(make([]byte, offset), udp(peer4, 1, host4, 2, "x")...)}, offset)
	if err != nil {
		t.Errorf("Write of a packet that is dropped: %v", err)
	}
}

// TestLesson20EveryMethodAtEveryTime calls every method of devices and
// Wrappers before, during and after Close.
func TestLesson20EveryMethodAtEveryTime(t *testing.T) {
	r := rigOn(t, tstun.NewFake(), 1)
	touch := func() {
		r.w.File()
		_, _ = r.w.MTU()
		_, _ = r.w.Name()
		r.w.BatchSize()
		r.w.Events()
		r.w.EventsUpDown()
		r.w.IdleDuration()
		r.w.Counters()
		r.w.SetFilter(filter.NewAllowAll(nil))
		r.w.GetFilter()
		r.w.SetStatisticsEnabled(true)
		r.w.ExtractStatistics()
		r.w.SetReject(tstun.RejectTSMP)
		r.w.SetDestIPActivityFuncs(nil)
		_ = r.w.SetPeers(nil)
		r.w.Unwrap()
		_ = r.w.InjectOutbound(udp(host4, 1, peer4, 2, "x"))
		_ = r.w.InjectInboundCopy(udp(peer4, 1, host4, 2, "x"))
		u := r.w.Unbatched()
		u.File()
		_, _ = u.MTU()
		_, _ = u.Name()
		_ = u.Flush()
		u.Events()
		dev := r.w.Unwrap()
		dev.File()
		_, _ = dev.MTU()
		_, _ = dev.Name()
		dev.BatchSize()
		dev.Events()
		_, _ = dev.Write([][]byte{append(make([]byte, offset), 0x45)}, offset)
	}
	touch()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				touch()
			}
		})
	}
	all.Go(func() { _ = r.w.Close() })
	all.Go(func() { _ = r.w.Unbatched().Close() })
	soon(t, "a method", all.Wait)
	touch()
	if err := r.w.Unwrap().Close(); err != nil {
		t.Errorf("second Close of the fake: %v", err)
	}
}
