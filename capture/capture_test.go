package capture_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"

	"tstun"
	"tstun/capture"
	"tstun/filter"
	"tstun/flow"
	"tstun/internal/clock"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/race"
	"tstun/internal/rig/testdev"
	"tstun/ipproto"
	"tstun/packet"
)

// both makes w show packets to c, and to the list that it returns in the form that they
// are to have in a file. The list is valid once no call of w goes on.
func both(w *tstun.Wrapper, c *capture.Capture) *[]entry {
	var mu sync.Mutex // guards all
	var all []entry
	w.SetCapture(func(o *tstun.Observation) {
		mu.Lock()
		defer mu.Unlock()
		c.Sink(o)
		n := capture.Note{Verdict: o.Verdict, Injected: o.Injected}
		if o.Filter != nil {
			n.Policy = o.Filter.Serial()
		}
		// Tests open port 80 of the host by their first rule.
		host := o.Parsed().Src
		if o.Inbound {
			host = o.Parsed().Dst
		}
		if o.Verdict.Response == filter.Accept && host.Port() == 80 {
			n.Rule = "0"
		}
		all = append(all, entry{
			data: string(o.Packet), length: len(o.Packet), time: clock.Time(o.Now).UTC().Round(0),
			inbound: o.Inbound, comment: n.String(), note: n,
		})
	})
	return &all
}

// wantEntries compares packets of a file with those that were shown.
func wantEntries(t *testing.T, got, want []entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d packets in the file, %d shown", len(got), len(want))
	}
	for i := range want {
		if !got[i].time.Equal(want[i].time) {
			t.Errorf("packet %d: at %v, want %v", i+1, got[i].time, want[i].time)
		}
		got[i].time = want[i].time
		if got[i] != want[i] {
			t.Errorf("packet %d:\n got %+v\nwant %+v", i+1, got[i], want[i])
		}
	}
}

// TestRecordsEachKind: accepted, dropped, handled, injected and malformed packets, whole
// ones and those of which the bytes are not there, under several filters.
func TestRecordsEachKind(t *testing.T) {
	r := rig.New(t, 1)
	r.W.PreFilterIn = func(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
		if p.Dst.Port() == 99 {
			return filter.Handled
		}
		return filter.Accept
	}
	c, b := start(t, capture.Options{Interface: "wg0"})
	want := both(r.W, c)
	r.FromPeer(craft.UDP(peer4, 5, host4, 80, "before there is a filter"))
	for range 2 {
		r.Allow(rig.To(rig.Port(80)))
		r.FromPeer(craft.UDP(peer4, 5, host4, 80, "accepted"))
		r.FromPeer(craft.UDP(peer4, 5, host4, 80, "known to the verdict cache"))
		r.FromPeer(craft.TCP(peer4, 5, host4, 81, packet.TCPSyn, "refused"))
		r.FromPeer(craft.UDP(peer6, 5, host6, 80, "IPv6"))
		r.FromPeer(craft.UDP(peer4, 5, host4, 99, "taken"))
		r.FromPeer([]byte("junk"))
		r.FromPeer(nil)
		r.FromHost(craft.UDP(host4, 80, peer4, 5, "out"))
		r.Dev.Script(testdev.Step{N: 1, Sizes: []int{-1}})
		r.Read(1)
		if err := r.W.InjectInboundCopy(craft.UDP(peer4, 5, host4, 7, "injected in")); err != nil {
			t.Fatal(err)
		}
		if err := r.W.InjectOutbound(craft.UDP(host4, 5, peer4, 7, "injected out")); err != nil {
			t.Fatal(err)
		}
		r.Read(1)
	}
	f := finish(t, c, b)
	wantEntries(t, f.packets, *want)
	comments := make(map[string]bool)
	for _, e := range f.packets {
		comments[strings.Fields(e.comment)[0]+" "+e.note.Verdict.Reason.String()] = true
	}
	for _, k := range []string{"verdict=accept none", "verdict=handled none", "verdict=drop no-rule", "verdict=drop malformed", "verdict=drop no-filter"} {
		if !comments[k] {
			t.Errorf("no packet with %s", k)
		}
	}
	n := uint64(len(*want))
	if s := c.Stats(); s != (capture.Stats{Seen: n, Written: n}) {
		t.Errorf("%+v, want %d written", s, n)
	}
	if len(f.stats) != 1 || f.stats[0].PacketsReceived != n || f.stats[0].PacketsDropped != 0 || f.name != "wg0" || f.snapLen != capture.DefaultSnapLen {
		t.Errorf("the file says %+v, name %q, snap length %d", f.stats, f.name, f.snapLen)
	}
	r.FromPeer(craft.UDP(peer4, 5, host4, 80, "after Close"))
	if s := c.Stats(); s.Seen != n || len(*want) != int(n)+1 {
		t.Errorf("after Close: %+v", s)
	}
}

// TestRecordsNAT: the packet is the host's, and the addresses of the other side are
// noted where asked for, both ways and for both families.
func TestRecordsNAT(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		as := craft.RandomAddr(host.Is6())
		for _, wire := range []bool{false, true} {
			r := rig.New(t, 1)
			r.Allow(rig.Everything())
			nat := tstun.Peer{Prefixes: []netip.Prefix{netip.PrefixFrom(peer, peer.BitLen())}, NAT: []tstun.NAT{{Host: host, As: as}}}
			if err := r.W.SetPeers([]tstun.Peer{nat}); err != nil {
				t.Fatal(err)
			}
			c, b := start(t, capture.Options{Wire: wire, SnapLen: 8})
			r.W.SetCapture(c.Sink)
			stranger := craft.RandomAddr(host.Is6())
			r.FromPeer(craft.UDP(peer, 7, as, 7, "in"))
			r.FromHost(craft.UDP(host, 7, peer, 7, "out"))
			r.FromHost(craft.UDP(host, 7, stranger, 7, "not translated"))
			got := finish(t, c, b).packets
			want := []capture.Note{{WireSrc: peer, WireDst: as}, {WireSrc: as, WireDst: peer}, {}}
			pkts := [][]byte{craft.UDP(peer, 7, host, 7, "in"), craft.UDP(host, 7, peer, 7, "out"), craft.UDP(host, 7, stranger, 7, "not translated")}
			for i, e := range got {
				if !wire {
					want[i] = capture.Note{}
				}
				if e.note.WireSrc != want[i].WireSrc || e.note.WireDst != want[i].WireDst || e.data != string(pkts[i][:8]) || e.length != len(pkts[i]) {
					t.Errorf("wire=%v: %+v, want %+v and %x", wire, e, want[i], pkts[i])
				}
			}
			if len(got) != 3 {
				t.Errorf("%d packets", len(got))
			}
		}
	})
}

// TestCutsToSnapLen: packets are cut, and keep their length.
func TestCutsToSnapLen(t *testing.T) {
	for _, o := range []capture.Options{{SnapLen: 1}, {SnapLen: 128}, {SnapLen: 60, Rule: func(*filter.Filter, flow.Key) string { return "" }}} {
		c, b := start(t, o)
		long := craft.UDP(peer4, 5, host4, 80, strings.Repeat("x", 9000))
		short := craft.UDP(peer4, 5, host4, 80, "")
		for _, pkt := range [][]byte{long, short} {
			c.Sink(&tstun.Observation{Packet: pkt, Filter: filter.NewAllowNone(nil), Verdict: filter.Verdict{Response: filter.Accept}})
		}
		f := finish(t, c, b)
		for i, pkt := range [][]byte{long, short} {
			if e := f.packets[i]; e.data != string(pkt[:min(o.SnapLen, len(pkt))]) || e.length != len(pkt) {
				t.Errorf("snap length %d: %d bytes of %d, of a packet of %d", o.SnapLen, len(e.data), e.length, len(pkt))
			}
		}
		if int(f.snapLen) != o.SnapLen {
			t.Errorf("the file says %d, want %d", f.snapLen, o.SnapLen)
		}
	}
}

// TestNames: peer and rule of each packet, by the filter that was in force.
func TestNames(t *testing.T) {
	r := rig.New(t, 1)
	if err := r.W.SetPeers([]tstun.Peer{{ID: 7, Prefixes: []netip.Prefix{netip.PrefixFrom(peer4, 32)}}}); err != nil {
		t.Fatal(err)
	}
	var asked []flow.Key
	c, b := start(t, capture.Options{
		SnapLen: 20,
		Peer:    func(id flow.PeerID) string { return map[flow.PeerID]string{flow.NumberedPeer(7): "a laptop"}[id] },
		Rule: func(f *filter.Filter, k flow.Key) string {
			asked = append(asked, k)
			return fmt.Sprintf("r%d", f.Serial())
		},
	})
	r.W.SetCapture(c.Sink)
	first := r.Allow(rig.To(rig.Port(80)))
	r.FromPeer(craft.UDP(peer4, 5, host4, 80, "in"))
	r.FromHost(craft.UDP(host4, 80, peer4, 5, "out"))
	r.FromPeer(craft.UDP(peer4, 5, host4, 81, "refused"))
	second := r.Allow(rig.Everything())
	r.FromPeer(craft.Echo(peer4, host4, 9, false))
	r.FromPeer(craft.UDP(peer6, 5, host6, 80, strings.Repeat("long", 999)))
	got := finish(t, c, b).packets
	rules := []string{fmt.Sprintf("r%d", first.Serial()), fmt.Sprintf("r%d", first.Serial()), "", fmt.Sprintf("r%d", second.Serial()), fmt.Sprintf("r%d", second.Serial())}
	for i, e := range got {
		peer := "a_laptop"
		if i == 4 {
			peer = ""
		}
		if e.note.Rule != rules[i] || e.note.Peer != peer || len(e.data) != 20 {
			t.Errorf("packet %d: %+v, want rule %q and peer %q", i+1, e, rules[i], peer)
		}
	}
	udp := flow.MakeKey(ipproto.UDP, netip.AddrPortFrom(host4, 80), netip.AddrPortFrom(peer4, 5))
	if len(asked) != 4 || asked[0] != udp || asked[1] != udp || asked[2].Host().Port() != 9 || asked[3].Host() != netip.AddrPortFrom(host6, 80) {
		t.Errorf("asked about %v", asked)
	}
}

// TestOldFiltersAreForgotten: a packet of a filter before the last eight has no rule, and
// none of another filter's.
func TestOldFiltersAreForgotten(t *testing.T) {
	shown := make(chan struct{})
	asked := make(map[uint32]bool)
	c, b := start(t, capture.Options{Rule: func(f *filter.Filter, _ flow.Key) string {
		<-shown // so the writer waits with the first that it asks about
		asked[f.Serial()] = true
		return fmt.Sprint(f.Serial())
	}})
	pkt := craft.UDP(peer4, 5, host4, 80, "")
	var serials []uint32
	for range 20 {
		f := filter.NewAllowNone(nil)
		serials = append(serials, f.Serial())
		c.Sink(&tstun.Observation{Packet: pkt, Filter: f, Inbound: true, Verdict: filter.Verdict{Response: filter.Accept}})
	}
	close(shown)
	for i, e := range finish(t, c, b).packets {
		if want := fmt.Sprint(serials[i]); e.note.Rule != want && (i >= 12 || e.note.Rule != "") {
			t.Errorf("packet %d: rule %q, want %q", i, e.note.Rule, want)
		}
	}
	if len(asked) < 8 || len(asked) > 9 {
		t.Errorf("asked %v, of %v", asked, serials)
	}
}

// TestMatch: what does not match is neither recorded nor seen.
func TestMatch(t *testing.T) {
	r := rig.New(t, 1)
	r.Allow(rig.To(rig.Port(80)))
	c, b := start(t, capture.Options{Match: func(o *tstun.Observation) bool { return o.Verdict.Response.IsDrop() }})
	r.W.SetCapture(c.Sink)
	refused := craft.UDP(peer4, 5, host4, 81, "refused")
	r.FromPeer(craft.UDP(peer4, 5, host4, 80, "accepted"))
	r.FromPeer(refused)
	f := finish(t, c, b)
	if len(f.packets) != 1 || f.packets[0].data != string(refused) || c.Stats().Seen != 1 {
		t.Errorf("%+v, %+v", f, c.Stats())
	}
}

// TestOptions: wrong ones are errors that name the field.
func TestOptions(t *testing.T) {
	for want, o := range map[string]capture.Options{
		"snap length -1":      {SnapLen: -1},
		"snap length 262145":  {SnapLen: 262145},
		"ring of 100 bytes":   {Ring: 100},
		"ring of -1 bytes":    {Ring: -1},
		"ring of 2147483647 ": {Ring: 1<<31 - 1},
	} {
		if c, err := capture.New(new(buffer), o); c != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestSinkDoesNotAllocate, nor keep what it is shown.
func TestSinkDoesNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	out := newStuck()
	c, err := capture.New(out, capture.Options{
		Wire: true, SnapLen: 128, Peer: func(flow.PeerID) string { return "" },
		Rule: func(*filter.Filter, flow.Key) string { return "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	pkt := craft.UDP(peer4, 5, host4, 80, "packet")
	obs := tstun.Observation{Packet: pkt, Wire: bytes.Clone(pkt), Filter: filter.NewAllowNone(nil)}
	c.Sink(&obs)
	<-out.waits // from here on the writer, which allocates, stands still
	for _, full := range []bool{false, true} {
		for full && c.Stats().Lost == 0 {
			c.Sink(&obs)
		}
		if n := testing.AllocsPerRun(1000, func() { c.Sink(&obs) }); n != 0 {
			t.Errorf("full=%v: %v allocations", full, n)
		}
	}
	clear(pkt)
	close(out.opened)
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := c.Stats(); s.Seen != s.Written+s.Lost || s.Lost == 0 || s.Written == 0 {
		t.Errorf("%+v", s)
	}
}

// TestCloseTwice: the second says what the first did.
func TestCloseTwice(t *testing.T) {
	c, b := start(t, capture.Options{})
	for range 2 {
		if err := c.Close(t.Context()); err != nil || c.Err() != nil {
			t.Errorf("%v, %v", err, c.Err())
		}
	}
	if f := parse(t, b.bytes()); len(f.packets) != 0 || !reflect.DeepEqual(c.Stats(), capture.Stats{}) {
		t.Errorf("%+v, %+v", f, c.Stats())
	}
}
