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
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/testdev"
	"tstun/packet"
)

func TestLesson03CloseBeforeFirstUse(t *testing.T) {
	r := rig.New(t, 1)
	for range 3 {
		if err := r.W.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	rig.WantAllClosed(t, r.W)
}

func TestLesson03CloseWakesReaders(t *testing.T) {
	r := rig.New(t, 1)
	r.W.SetFilter(filter.NewAllowAll(nil))
	r.FromHost(craft.UDP(host4, 1, peer4, 2, "x"))
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			_, err := r.W.Unbatched().Read(make([]byte, 2000), offset)
			rig.WantClosed(t, "Read", err)
		})
	}
	rig.Soon(t, "Close", func() { r.W.Close(); readers.Wait() })
	rig.WantAllClosed(t, r.W)
}

func TestLesson03CloseAgainstInjectorsWithoutReader(t *testing.T) {
	r := rig.New(t, 1)
	r.W.SetFilter(filter.NewAllowAll(nil))
	r.W.SetReject(tstun.RejectReset)
	var queued, released atomic.Int64
	var injectors sync.WaitGroup
	for i := range 8 {
		injectors.Go(func() {
			for j := 0; ; j++ {
				pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{OnRelease: func() { released.Add(1) }})
				queued.Add(1)
				if err := r.W.InjectOutboundPacketBuffer(pkt); errors.Is(err, tstun.ErrClosed) {
					return
				}
				if i == 0 && j == 1000 {
					go r.W.Close()
				}
				_ = r.W.InjectOutbound(craft.UDP(host4, 1, peer4, 2, "x"))
				_ = r.W.InjectInboundCopy(craft.UDP(peer4, 1, host4, 2, "x"))
				_, _ = r.W.Unbatched().Write(append(make([]byte, offset), craft.UDP(peer4, 1, host4, 2, "x")...), offset)
			}
		})
	}
	rig.Soon(t, "the injectors", injectors.Wait)
	rig.Soon(t, "Close", func() { r.W.Close() })
	if queued.Load() != released.Load() {
		t.Errorf("%d PacketBuffers injected, %d released", queued.Load(), released.Load())
	}
	rig.WantAllClosed(t, r.W)
}

func TestCloseReleasesQueuedPacketBuffers(t *testing.T) {
	r := rig.New(t, 1)
	released := 0
	for range 10 {
		if err := r.W.InjectOutboundPacketBuffer(rig.PacketBuffer(craft.UDP(host4, 1, peer4, 2, "x"), &released)); err != nil {
			t.Fatal(err)
		}
	}
	r.W.Close()
	if released != 10 {
		t.Errorf("%d PacketBuffers released, want 10", released)
	}
	if n := r.W.Counters().Out.Drops[filter.ReasonClosed]; n != 10 {
		t.Errorf("%d packets dropped as closed, want 10", n)
	}
}

func TestCloseFromAHook(t *testing.T) {
	hook := func(_ *packet.Parsed, w *tstun.Wrapper) filter.Response {
		w.Close()
		return filter.Accept
	}
	out, in := craft.UDP(host4, 1, peer4, 2, "x"), craft.UDP(peer4, 2, host4, 1, "x")
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
			r := rig.New(t, 1)
			set(r.W)
			r.W.SetFilter(filter.NewAllowAll(nil))
			r.Dev.Send(out)
			rig.Soon(t, "Read or Write", func() {
				_, _ = r.W.Write(rig.Wire(in), offset)
				_, _ = r.W.Write(rig.Wire(pong), offset)
				for err := error(nil); err == nil; {
					_, err = r.W.Read(r.Bufs, r.Sizes, offset)
				}
			})
			rig.WantAllClosed(t, r.W)
		})
	}
}

// TestPacketsUnderWayAtCloseAreAccountedFor: what was read ahead, and what is
// left of a super-packet, is dropped as closed and not forgotten.
func TestPacketsUnderWayAtCloseAreAccountedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rig.New(t, 4)
		r.W.SetFilter(filter.NewAllowAll(nil))
		r.Bufs, r.Sizes = r.Bufs[:1], r.Sizes[:1]
		pkt := craft.UDP(host4, 1, peer4, 2, "x")
		for range 2 {
			r.Dev.Send(pkt, pkt, nil, pkt) // one batch in hand, one read ahead
		}
		r.Read(1)
		synctest.Wait()
		released := 0
		super, _ := superPacket(host4, peer4, 100, 1000, &released)
		if err := r.W.InjectOutboundPacketBuffer(super); err != nil {
			t.Fatal(err)
		}
		r.Read(2) // by turns, so at least one segment
		r.W.Close()
		c := r.W.Counters().Out
		wantAccounted(t, "out", c, 6+10)
		if c.Packets != 3 || c.Drops[filter.ReasonClosed] != 13 {
			t.Errorf("counted %+v, want 3 passed and 13 dropped as closed", c)
		}
	})
}

// TestCloseDuringReadAccountsForTheRest: the Read that is going on is the last
// one, and has packets to return.
func TestCloseDuringReadAccountsForTheRest(t *testing.T) {
	r := rig.New(t, 4)
	r.W.PostFilterOut = func(_ *packet.Parsed, w *tstun.Wrapper) filter.Response {
		w.Close()
		return filter.Accept
	}
	r.W.SetFilter(filter.NewAllowAll(nil))
	pkt := craft.UDP(host4, 1, peer4, 2, "x")
	r.Dev.Send(pkt, pkt, pkt, pkt)
	r.Bufs, r.Sizes = r.Bufs[:1], r.Sizes[:1]
	r.Read(1)
	if c := r.W.Counters().Out; c.Packets != 1 || c.Drops[filter.ReasonClosed] != 3 {
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
	r := rig.New(t, 4)
	r.W.SetFilter(filter.NewAllowAll(nil))
	for range 50 {
		r.Dev.Send(craft.UDP(host4, 1, peer4, 2, "x"))
	}
	r.Read(1)
	rig.Soon(t, "Close", func() { r.W.Close() })
}

func TestClosedDeviceEndsReads(t *testing.T) {
	r := rig.New(t, 1)
	r.W.Unwrap().Close()
	for range 3 {
		rig.Soon(t, "Read", func() {
			if _, err := r.W.Read(r.Bufs, r.Sizes, offset); !errors.Is(err, os.ErrClosed) {
				t.Errorf("Read on a closed device: %v", err)
			}
		})
	}
	_, err := r.W.Write(rig.Wire(craft.UDP(peer4, 1, host4, 2, "x")), offset)
	if err != nil {
		t.Errorf("Write of a packet that is dropped: %v", err)
	}
}

// TestLesson20EveryMethodAtEveryTime calls every method of devices and
// Wrappers before, during and after Close.
func TestLesson20EveryMethodAtEveryTime(t *testing.T) {
	r := rig.On(t, tstun.NewFake(), 1)
	touch := func() {
		r.W.File()
		_, _ = r.W.MTU()
		_, _ = r.W.Name()
		r.W.BatchSize()
		r.W.Events()
		r.W.EventsUpDown()
		r.W.IdleDuration()
		r.W.Counters()
		r.W.SetFilter(filter.NewAllowAll(nil))
		r.W.GetFilter()
		r.W.SetStatisticsEnabled(true)
		r.W.ExtractStatistics()
		r.W.SetReject(tstun.RejectTSMP)
		r.W.SetDestIPActivityFuncs(nil)
		_ = r.W.SetPeers(nil)
		r.W.Unwrap()
		_ = r.W.InjectOutbound(craft.UDP(host4, 1, peer4, 2, "x"))
		_ = r.W.InjectInboundCopy(craft.UDP(peer4, 1, host4, 2, "x"))
		u := r.W.Unbatched()
		u.File()
		_, _ = u.MTU()
		_, _ = u.Name()
		_ = u.Flush()
		u.Events()
		dev := r.W.Unwrap()
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
	all.Go(func() { _ = r.W.Close() })
	all.Go(func() { _ = r.W.Unbatched().Close() })
	rig.Soon(t, "a method", all.Wait)
	touch()
	if err := r.W.Unwrap().Close(); err != nil {
		t.Errorf("second Close of the fake: %v", err)
	}
}
