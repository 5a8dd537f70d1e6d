package tstun_test

import (
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/testdev"
	"tstun/key"
	"tstun/packet"
)

func TestNothingPassesWithoutAFilter(t *testing.T) {
	r := rig.New(t, 4)
	r.WantDrop(true, filter.ReasonNoFilter, func() {
		rig.WantPackets(t, "inbound", r.FromPeer(craft.UDP(peer4, 1, host4, 2, "x")))
	})
	r.WantDrop(false, filter.ReasonNoFilter, func() {
		rig.WantPackets(t, "outbound", r.FromHost(craft.UDP(host4, 2, peer4, 1, "x")))
	})
	if r.W.GetFilter() != nil {
		t.Error("GetFilter of a new Wrapper is not nil")
	}
	f := r.Allow(rig.Everything())
	if r.W.GetFilter() != f {
		t.Error("GetFilter is not what SetFilter set")
	}
	pkt := craft.UDP(peer4, 1, host4, 2, "x")
	rig.WantPackets(t, "inbound", r.FromPeer(pkt), pkt)
}

// TestConfigurationIsReadOncePerBatch: a change made in mid-batch is for the
// next one.
func TestConfigurationIsReadOncePerBatch(t *testing.T) {
	r := rig.New(t, 4)
	unset := func(_ *packet.Parsed, w *tstun.Wrapper) filter.Response {
		w.SetFilter(nil)
		return filter.Accept
	}
	r.W.PreFilterFromTunToEngine, r.W.PreFilterIn = unset, unset
	var out, in [][]byte
	for i := range 4 {
		out = append(out, craft.UDP(host4, uint16(i), peer4, 1, "x"))
		in = append(in, craft.UDP(peer4, 1, host4, uint16(i), "x"))
	}
	r.W.SetFilter(filter.NewAllowAll(nil))
	rig.WantPackets(t, "out", r.FromHost(out...), out...)
	rig.WantPackets(t, "next out", r.FromHost(out[0]))
	r.W.SetFilter(filter.NewAllowAll(nil))
	rig.WantPackets(t, "in", r.FromPeer(in...), in...)
	rig.WantPackets(t, "next in", r.FromPeer(in[0]))
}

// TestConcurrentReadersLoseNothing: each packet comes out once, whoever reads.
func TestConcurrentReadersLoseNothing(t *testing.T) {
	const n = 2000
	r := rig.New(t, 4)
	r.W.SetFilter(filter.NewAllowAll(nil))
	var got sync.Map
	var readers sync.WaitGroup
	var count atomic.Int64
	for range 4 {
		readers.Go(func() {
			buf, u := make([]byte, 2000), r.W.Unbatched()
			for {
				size, err := u.Read(buf, offset)
				if err != nil {
					return
				}
				var p packet.Parsed
				p.Decode(buf[offset : offset+size])
				if _, twice := got.LoadOrStore(p.Src.Port(), true); twice {
					t.Errorf("packet %d came twice", p.Src.Port())
				}
				if count.Add(1) == n {
					go r.W.Close()
				}
			}
		})
	}
	for i := range n {
		if pkt := craft.UDP(host4, uint16(i), peer4, 1, "x"); i%2 == 0 {
			r.Dev.Send(pkt)
		} else {
			for errors.Is(r.W.InjectOutbound(pkt), tstun.ErrQueueFull) {
				runtime.Gosched()
			}
		}
	}
	rig.Soon(t, "the readers", readers.Wait)
}

func TestDeviceIsNotReadBeforeTheFirstRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rig.New(t, 1)
		synctest.Wait()
		if n := r.Dev.Reads(); n != 0 {
			t.Errorf("%d reads of the device before the first Read", n)
		}
		r.W.Close()
	})
}

func TestPassesThroughToTheDevice(t *testing.T) {
	dev := testdev.New(7)
	w := tstun.Wrap(nil, dev)
	defer w.Close()
	if w.Unwrap() != tun.Device(dev) {
		t.Error("Unwrap is not the device")
	}
	if n := w.BatchSize(); n != 7 {
		t.Errorf("BatchSize = %d, want 7", n)
	}
	if mtu, err := w.MTU(); mtu != 1280 || err != nil {
		t.Errorf("MTU = %d, %v", mtu, err)
	}
	if name, err := w.Name(); name != "test0" || err != nil {
		t.Errorf("Name = %q, %v", name, err)
	}
	if w.File() != nil || w.Unbatched().File() != nil {
		t.Error("File is not nil")
	}
	if err := w.Unbatched().Flush(); err != nil {
		t.Errorf("Flush: %v", err)
	}
}

// flusher is a device that holds packets back.
type flusher struct {
	*testdev.Device
	flushes int
	err     error
}

func (f *flusher) Flush() error { f.flushes++; return f.err }

func TestFlushReachesADeviceThatHasIt(t *testing.T) {
	dev := &flusher{Device: testdev.New(1)}
	u := rig.On(t, dev, 1).W.Unbatched()
	if err := u.Flush(); err != nil || dev.flushes != 1 {
		t.Errorf("Flush = %v, the device was flushed %d times; want once", err, dev.flushes)
	}
	dev.err = errors.New("stuck")
	if err := u.Flush(); err != dev.err {
		t.Errorf("Flush = %v, want the device's error", err)
	}
}

func TestDestIPActivityFuncs(t *testing.T) {
	r := rig.New(t, 4)
	r.W.SetFilter(filter.NewAllowAll(nil))
	var four, six int
	r.W.SetDestIPActivityFuncs(map[netip.Addr]func(){
		peer4: func() { four++ },
		peer6: func() { six++ },
	})
	r.FromHost(craft.UDP(host4, 2, peer4, 1, "x"), craft.UDP(host4, 2, peer4, 3, "x"), craft.UDP(host6, 2, peer6, 1, "x"), craft.UDP(host4, 2, host4, 1, "x"))
	r.FromPeer(craft.UDP(peer4, 1, host4, 2, "x"))
	if err := r.W.InjectOutbound(craft.UDP(host4, 2, peer4, 1, "x")); err != nil {
		t.Fatal(err)
	}
	r.Read(1)
	if four != 3 || six != 1 {
		t.Errorf("called %d and %d times, want 3 and 1", four, six)
	}
}

func disco(src, dst netip.Addr, k key.DiscoPublic) []byte {
	raw := k.Raw32()
	payload := "TS\xf0\x9f\x92\xac" + string(raw[:]) + string(make([]byte, 24)) + "sealed"
	return craft.UDP(src, 41641, dst, 41641, payload)
}

func TestOwnDiscoIsDroppedBothWays(t *testing.T) {
	own, other := key.DiscoPublicFromRaw32([32]byte{1}), key.DiscoPublicFromRaw32([32]byte{2})
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		r := rig.New(t, 2)
		r.W.SetFilter(filter.NewAllowAll(nil))
		in, out := disco(peer, host, own), disco(host, peer, own)
		rig.WantPackets(t, "no key set", r.FromPeer(in), in)
		r.W.SetDiscoKey(own)
		r.WantDrop(true, filter.ReasonOwnDisco, func() { rig.WantPackets(t, "in", r.FromPeer(in)) })
		r.WantDrop(false, filter.ReasonOwnDisco, func() { rig.WantPackets(t, "out", r.FromHost(out)) })
		foreign := disco(peer, host, other)
		rig.WantPackets(t, "another's", r.FromPeer(foreign), foreign)
		zero := disco(peer, host, key.DiscoPublic{})
		r.W.SetDiscoKey(key.DiscoPublic{})
		rig.WantPackets(t, "zero key", r.FromPeer(zero), zero)
	})
}

func TestPeerAPIPort(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		r := rig.New(t, 1)
		r.W.PeerAPIPort = func(a netip.Addr) (uint16, bool) { return 8080, a == host }
		r.W.SetFilter(filter.NewAllowNone(nil))
		syn := craft.TCP(peer, 1000, host, 8080, packet.TCPSyn, "")
		rig.WantPackets(t, "SYN", r.FromPeer(syn), syn)
		synAck := craft.TCP(host, 8080, peer, 1000, packet.TCPSynAck, "")
		rig.WantPackets(t, "SYN-ACK", r.FromHost(synAck), synAck)
		data := craft.TCP(peer, 1000, host, 8080, packet.TCPAck, "GET /")
		rig.WantPackets(t, "data", r.FromPeer(data), data)
		for name, pkt := range map[string][]byte{
			"another port":  craft.TCP(peer, 1000, host, 8081, packet.TCPSyn, ""),
			"UDP":           craft.UDP(peer, 1000, host, 8080, "x"),
			"no handshake":  craft.TCP(peer, 1001, host, 8080, packet.TCPAck, "x"),
			"another flow":  craft.TCP(peer, 1002, host, 8080, packet.TCPSynAck, ""),
			"other address": craft.TCP(peer, 1000, peer, 8080, packet.TCPSyn, ""),
		} {
			if got := r.FromPeer(pkt); len(got) != 0 {
				t.Errorf("%s passed", name)
			}
		}
	})
}

func TestPeerAPIPortIsNoWayOutOfJail(t *testing.T) {
	r := rig.New(t, 1)
	r.W.PeerAPIPort = func(netip.Addr) (uint16, bool) { return 8080, true }
	r.Allow(rig.Everything())
	if err := r.W.SetPeers([]tstun.Peer{{Prefixes: []netip.Prefix{netip.PrefixFrom(peer4, 32)}, Jailed: true}}); err != nil {
		t.Fatal(err)
	}
	r.WantDrop(true, filter.ReasonJailed, func() { r.FromPeer(craft.TCP(peer4, 1000, host4, 8080, packet.TCPSyn, "")) })
}

func TestEvents(t *testing.T) {
	r := rig.New(t, 1)
	r.Dev.Event(tun.EventUp)
	r.Dev.Event(tun.EventMTUUpdate | tun.EventDown)
	r.Dev.Event(tun.EventMTUUpdate)
	up, other := r.W.EventsUpDown(), r.W.Events()
	if e := <-up; e != tun.EventUp {
		t.Errorf("first up/down event is %v", e)
	}
	if e := <-up; e != tun.EventDown {
		t.Errorf("second up/down event is %v", e)
	}
	for range 2 {
		if e := <-other; e != tun.EventMTUUpdate {
			t.Errorf("other event is %v", e)
		}
	}
	r.W.Close()
	if _, ok := <-up; ok {
		t.Error("EventsUpDown is open after Close")
	}
	if _, ok := <-other; ok {
		t.Error("Events is open after Close")
	}
	if _, ok := <-r.W.Unbatched().Events(); ok {
		t.Error("Unbatched.Events is open after Close")
	}
}

func TestEventsAfterCloseAreClosed(t *testing.T) {
	r := rig.New(t, 1)
	r.W.Close()
	if _, ok := <-r.W.Events(); ok {
		t.Error("Events is open after Close")
	}
	if _, ok := <-r.W.EventsUpDown(); ok {
		t.Error("EventsUpDown is open after Close")
	}
}

// TestUnreadEventsKeepTheLatest: eight of them, in their order, for each channel.
func TestUnreadEventsKeepTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rig.New(t, 1)
		up, other := r.W.EventsUpDown(), r.W.Events()
		for i := range 101 {
			r.Dev.Event(tun.EventUp<<(i%2) | tun.EventMTUUpdate)
			synctest.Wait()
		}
		r.W.Close() // what is in the channels can still be read
		var kept []tun.Event
		for e := range up {
			kept = append(kept, e)
		}
		d, u := tun.Event(tun.EventDown), tun.Event(tun.EventUp)
		if want := []tun.Event{d, u, d, u, d, u, d, u}; !slices.Equal(kept, want) {
			t.Errorf("kept %v, want %v", kept, want)
		}
		n := 0
		for range other {
			n++
		}
		if n != 8 {
			t.Errorf("%d other events kept, want 8", n)
		}
	})
}

// TestEventsAreTakenFromTheFirstCallOn: nothing is lost before it.
func TestEventsAreTakenFromTheFirstCallOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rig.New(t, 1)
		r.Dev.Event(tun.EventUp)
		synctest.Wait()
		if n := len(r.Dev.Events()); n != 1 {
			t.Errorf("%d events left in the device, want 1", n)
		}
		r.W.Events() // as wireguard-go does
		synctest.Wait()
		if n := len(r.Dev.Events()); n != 0 {
			t.Errorf("%d events left in the device, want none", n)
		}
		if e := <-r.W.EventsUpDown(); e != tun.EventUp {
			t.Errorf("event %v, want up", e)
		}
		up, other := r.W.EventsUpDown(), r.W.Events()
		if up != r.W.EventsUpDown() || other != r.W.Events() {
			t.Error("two calls, two channels")
		}
	})
}

// TestEventsEndWithTheDevice: also when the Wrapper is not closed.
func TestEventsEndWithTheDevice(t *testing.T) {
	dev := tstun.NewFake()
	r := rig.On(t, dev, 1)
	up, other := r.W.EventsUpDown(), r.W.Events()
	if e := <-up; e != tun.EventUp {
		t.Errorf("first event %v, want up", e)
	}
	dev.Close()
	rig.Soon(t, "a channel of events", func() {
		for range up {
		}
		for range other {
		}
	})
}

func TestUnbatched(t *testing.T) {
	r := rig.New(t, 4)
	r.Allow(rig.To(rig.Port(80)))
	u := r.W.Unbatched()
	buf := make([]byte, offset+2000)

	pkts := [][]byte{craft.UDP(host4, 1, peer4, 1, "a"), []byte("junk"), craft.UDP(host4, 2, peer4, 1, "bb"), craft.UDP(host4, 3, peer4, 1, "ccc")}
	r.Dev.Send(pkts...)
	for _, i := range []int{0, 2, 3} {
		n, err := u.Read(buf, offset)
		if err != nil {
			t.Fatal(err)
		}
		rig.WantPackets(t, "Read", [][]byte{buf[offset : offset+n]}, pkts[i])
	}

	good := craft.TCP(peer4, 1000, host4, 80, packet.TCPSyn, "")
	if n, err := u.Write(append(make([]byte, offset), good...), offset); n != len(good) || err != nil {
		t.Errorf("Write = %d, %v; want %d", n, err, len(good))
	}
	rig.WantPackets(t, "Write", r.Dev.Written(), good)
	bad := craft.TCP(peer4, 1000, host4, 81, packet.TCPSyn, "")
	if _, err := u.Write(append(make([]byte, offset), bad...), offset); !errors.Is(err, tstun.ErrFiltered) {
		t.Errorf("Write of a refused packet: %v, want ErrFiltered", err)
	}
	rig.WantPackets(t, "Write of a refused packet", r.Dev.Written())
}

func TestTrailingBytesAreCutOff(t *testing.T) {
	r := rig.New(t, 1)
	r.W.SetFilter(filter.NewAllowAll(nil))
	in, out := craft.UDP(peer4, 1, host4, 2, "x"), craft.UDP(host4, 2, peer4, 1, "yy")
	rig.WantPackets(t, "in", r.FromPeer(append(append([]byte(nil), in...), "trailer"...)), in)
	rig.WantPackets(t, "out", r.FromHost(append(append([]byte(nil), out...), "trailer"...)), out)
	if c := r.W.Counters(); c.In.Bytes != uint64(len(in)) || c.Out.Bytes != uint64(len(out)) {
		t.Errorf("counted %d and %d bytes, want %d and %d", c.In.Bytes, c.Out.Bytes, len(in), len(out))
	}
}
