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
	"tstun/internal/testdev"
	"tstun/key"
	"tstun/packet"
)

func TestNothingPassesWithoutAFilter(t *testing.T) {
	r := newRig(t, 4)
	r.wantDrop(true, filter.ReasonNoFilter, func() {
		wantPackets(t, "inbound", r.fromPeer(udp(peer4, 1, host4, 2, "x")))
	})
	r.wantDrop(false, filter.ReasonNoFilter, func() {
		wantPackets(t, "outbound", r.fromHost(udp(host4, 2, peer4, 1, "x")))
	})
	if r.w.GetFilter() != nil {
		t.Error("GetFilter of a new Wrapper is not nil")
	}
	f := r.allow(everything())
	if r.w.GetFilter() != f {
		t.Error("GetFilter is not what SetFilter set")
	}
	pkt := udp(peer4, 1, host4, 2, "x")
	wantPackets(t, "inbound", r.fromPeer(pkt), pkt)
}

// TestConfigurationIsReadOncePerBatch: a change made in mid-batch is for the
// next one.
func TestConfigurationIsReadOncePerBatch(t *testing.T) {
	r := newRig(t, 4)
	unset := func(_ *packet.Parsed, w *tstun.Wrapper) filter.Response {
		w.SetFilter(nil)
		return filter.Accept
	}
	r.w.PreFilterFromTunToEngine, r.w.PreFilterIn = unset, unset
	var out, in [][]byte
	for i := range 4 {
		out = append(out, udp(host4, uint16(i), peer4, 1, "x"))
		in = append(in, udp(peer4, 1, host4, uint16(i), "x"))
	}
	r.w.SetFilter(filter.NewAllowAll(nil))
	wantPackets(t, "out", r.fromHost(out...), out...)
	wantPackets(t, "next out", r.fromHost(out[0]))
	r.w.SetFilter(filter.NewAllowAll(nil))
	wantPackets(t, "in", r.fromPeer(in...), in...)
	wantPackets(t, "next in", r.fromPeer(in[0]))
}

// TestConcurrentReadersLoseNothing: each packet comes out once, whoever reads.
func TestConcurrentReadersLoseNothing(t *testing.T) {
	const n = 2000
	r := newRig(t, 4)
	r.w.SetFilter(filter.NewAllowAll(nil))
	var got sync.Map
	var readers sync.WaitGroup
	var count atomic.Int64
	for range 4 {
		readers.Go(func() {
			buf, u := make([]byte, 2000), r.w.Unbatched()
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
					go r.w.Close()
				}
			}
		})
	}
	for i := range n {
		if pkt := udp(host4, uint16(i), peer4, 1, "x"); i%2 == 0 {
			r.dev.Send(pkt)
		} else {
			for errors.Is(r.w.InjectOutbound(pkt), tstun.ErrQueueFull) {
				runtime.Gosched()
			}
		}
	}
	soon(t, "the readers", readers.Wait)
}

func TestDeviceIsNotReadBeforeTheFirstRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		synctest.Wait()
		if n := r.dev.Reads(); n != 0 {
			t.Errorf("%d reads of the device before the first Read", n)
		}
		r.w.Close()
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
	u := rigOn(t, dev, 1).w.Unbatched()
	if err := u.Flush(); err != nil || dev.flushes != 1 {
		t.Errorf("Flush = %v, the device was flushed %d times; want once", err, dev.flushes)
	}
	dev.err = errors.New("stuck")
	if err := u.Flush(); err != dev.err {
		t.Errorf("Flush = %v, want the device's error", err)
	}
}

func TestDestIPActivityFuncs(t *testing.T) {
	r := newRig(t, 4)
	r.w.SetFilter(filter.NewAllowAll(nil))
	var four, six int
	r.w.SetDestIPActivityFuncs(map[netip.Addr]func(){
		peer4: func() { four++ },
		peer6: func() { six++ },
	})
	r.fromHost(udp(host4, 2, peer4, 1, "x"), udp(host4, 2, peer4, 3, "x"), udp(host6, 2, peer6, 1, "x"), udp(host4, 2, host4, 1, "x"))
	r.fromPeer(udp(peer4, 1, host4, 2, "x"))
	if err := r.w.InjectOutbound(udp(host4, 2, peer4, 1, "x")); err != nil {
		t.Fatal(err)
	}
	r.read(1)
	if four != 3 || six != 1 {
		t.Errorf("called %d and %d times, want 3 and 1", four, six)
	}
}

func disco(src, dst netip.Addr, k key.DiscoPublic) []byte {
	raw := k.Raw32()
	payload := "TS\xf0\x9f\x92\xac" + string(raw[:]) + string(make([]byte, 24)) + "sealed"
	return udp(src, 41641, dst, 41641, payload)
}

func TestOwnDiscoIsDroppedBothWays(t *testing.T) {
	own, other := key.DiscoPublicFromRaw32([32]byte{1}), key.DiscoPublicFromRaw32([32]byte{2})
	families(t, func(t *testing.T, host, peer netip.Addr) {
		r := newRig(t, 2)
		r.w.SetFilter(filter.NewAllowAll(nil))
		in, out := disco(peer, host, own), disco(host, peer, own)
		wantPackets(t, "no key set", r.fromPeer(in), in)
		r.w.SetDiscoKey(own)
		r.wantDrop(true, filter.ReasonOwnDisco, func() { wantPackets(t, "in", r.fromPeer(in)) })
		r.wantDrop(false, filter.ReasonOwnDisco, func() { wantPackets(t, "out", r.fromHost(out)) })
		foreign := disco(peer, host, other)
		wantPackets(t, "another's", r.fromPeer(foreign), foreign)
		zero := disco(peer, host, key.DiscoPublic{})
		r.w.SetDiscoKey(key.DiscoPublic{})
		wantPackets(t, "zero key", r.fromPeer(zero), zero)
	})
}

func TestPeerAPIPort(t *testing.T) {
	families(t, func(t *testing.T, host, peer netip.Addr) {
		r := newRig(t, 1)
		r.w.PeerAPIPort = func(a netip.Addr) (uint16, bool) { return 8080, a == host }
		r.w.SetFilter(filter.NewAllowNone(nil))
		syn := tcp(peer, 1000, host, 8080, packet.TCPSyn, "")
		wantPackets(t, "SYN", r.fromPeer(syn), syn)
		synAck := tcp(host, 8080, peer, 1000, packet.TCPSynAck, "")
		wantPackets(t, "SYN-ACK", r.fromHost(synAck), synAck)
		data := tcp(peer, 1000, host, 8080, packet.TCPAck, "GET /")
		wantPackets(t, "data", r.fromPeer(data), data)
		for name, pkt := range map[string][]byte{
			"another port":  tcp(peer, 1000, host, 8081, packet.TCPSyn, ""),
			"UDP":           udp(peer, 1000, host, 8080, "x"),
			"no handshake":  tcp(peer, 1001, host, 8080, packet.TCPAck, "x"),
			"another flow":  tcp(peer, 1002, host, 8080, packet.TCPSynAck, ""),
			"other address": tcp(peer, 1000, peer, 8080, packet.TCPSyn, ""),
		} {
			if got := r.fromPeer(pkt); len(got) != 0 {
				t.Errorf("%s passed", name)
			}
		}
	})
}

func TestPeerAPIPortIsNoWayOutOfJail(t *testing.T) {
	r := newRig(t, 1)
	r.w.PeerAPIPort = func(netip.Addr) (uint16, bool) { return 8080, true }
	r.allow(everything())
	if err := r.w.SetPeers([]tstun.Peer{{Prefixes: []netip.Prefix{netip.PrefixFrom(peer4, 32)}, Jailed: true}}); err != nil {
		t.Fatal(err)
	}
	r.wantDrop(true, filter.ReasonJailed, func() { r.fromPeer(tcp(peer4, 1000, host4, 8080, packet.TCPSyn, "")) })
}

func TestEvents(t *testing.T) {
	r := newRig(t, 1)
	r.dev.Event(tun.EventUp)
	r.dev.Event(tun.EventMTUUpdate | tun.EventDown)
	r.dev.Event(tun.EventMTUUpdate)
	up, other := r.w.EventsUpDown(), r.w.Events()
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
	r.w.Close()
	if _, ok := <-up; ok {
		t.Error("EventsUpDown is open after Close")
	}
	if _, ok := <-other; ok {
		t.Error("Events is open after Close")
	}
	if _, ok := <-r.w.Unbatched().Events(); ok {
		t.Error("Unbatched.Events is open after Close")
	}
}

func TestEventsAfterCloseAreClosed(t *testing.T) {
	r := newRig(t, 1)
	r.w.Close()
	if _, ok := <-r.w.Events(); ok {
		t.Error("Events is open after Close")
	}
	if _, ok := <-r.w.EventsUpDown(); ok {
		t.Error("EventsUpDown is open after Close")
	}
}

// TestUnreadEventsKeepTheLatest: eight of them, in their order, for each channel.
func TestUnreadEventsKeepTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		up, other := r.w.EventsUpDown(), r.w.Events()
		for i := range 101 {
			r.dev.Event(tun.EventUp<<(i%2) | tun.EventMTUUpdate)
			synctest.Wait()
		}
		r.w.Close() // what is in the channels can still be read
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
		r := newRig(t, 1)
		r.dev.Event(tun.EventUp)
		synctest.Wait()
		if n := len(r.dev.Events()); n != 1 {
			t.Errorf("%d events left in the device, want 1", n)
		}
		r.w.Events() // as wireguard-go does
		synctest.Wait()
		if n := len(r.dev.Events()); n != 0 {
			t.Errorf("%d events left in the device, want none", n)
		}
		if e := <-r.w.EventsUpDown(); e != tun.EventUp {
			t.Errorf("event %v, want up", e)
		}
		if r.w.EventsUpDown() != r.w.EventsUpDown() || r.w.Events() != r.w.Events() {
			t.Error("two calls, two channels")
		}
	})
}

// TestEventsEndWithTheDevice: also when the Wrapper is not closed.
func TestEventsEndWithTheDevice(t *testing.T) {
	dev := tstun.NewFake()
	r := rigOn(t, dev, 1)
	up, other := r.w.EventsUpDown(), r.w.Events()
	if e := <-up; e != tun.EventUp {
		t.Errorf("first event %v, want up", e)
	}
	dev.Close()
	soon(t, "a channel of events", func() {
		for range up {
		}
		for range other {
		}
	})
}

func TestUnbatched(t *testing.T) {
	r := newRig(t, 4)
	r.allow(to(port(80)))
	u := r.w.Unbatched()
	buf := make([]byte, offset+2000)

	pkts := [][]byte{udp(host4, 1, peer4, 1, "a"), []byte("junk"), udp(host4, 2, peer4, 1, "bb"), udp(host4, 3, peer4, 1, "ccc")}
	r.dev.Send(pkts...)
	for _, i := range []int{0, 2, 3} {
		n, err := u.Read(buf, offset)
		if err != nil {
			t.Fatal(err)
		}
		wantPackets(t, "Read", [][]byte{buf[offset : offset+n]}, pkts[i])
	}

	good := tcp(peer4, 1000, host4, 80, packet.TCPSyn, "")
	if n, err := u.Write(append(make([]byte, offset), good...), offset); n != len(good) || err != nil {
		t.Errorf("Write = %d, %v; want %d", n, err, len(good))
	}
	wantPackets(t, "Write", r.dev.Written(), good)
	bad := tcp(peer4, 1000, host4, 81, packet.TCPSyn, "")
	if _, err := u.Write(append(make([]byte, offset), bad...), offset); !errors.Is(err, tstun.ErrFiltered) {
		t.Errorf("Write of a refused packet: %v, want ErrFiltered", err)
	}
	wantPackets(t, "Write of a refused packet", r.dev.Written())
}

func TestTrailingBytesAreCutOff(t *testing.T) {
	r := newRig(t, 1)
	r.w.SetFilter(filter.NewAllowAll(nil))
	in, out := udp(peer4, 1, host4, 2, "x"), udp(host4, 2, peer4, 1, "yy")
	wantPackets(t, "in", r.fromPeer(append(append([]byte(nil), in...), "trailer"...)), in)
	wantPackets(t, "out", r.fromHost(append(append([]byte(nil), out...), "trailer"...)), out)
	if c := r.w.Counters(); c.In.Bytes != uint64(len(in)) || c.Out.Bytes != uint64(len(out)) {
		t.Errorf("counted %d and %d bytes, want %d and %d", c.In.Bytes, c.Out.Bytes, len(in), len(out))
	}
}
