package capture_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tstun"
	"tstun/capture"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

// fresh returns a filter with a State of its own.
func fresh(t testing.TB, matches ...filter.Match) *filter.Filter {
	t.Helper()
	f, err := filter.New(filter.Config{Matches: matches, Local: rig.Local()})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// session records what a Wrapper makes of traffic of all kinds, one packet a second, and
// returns the file.
func session(t *testing.T, snapLen int) (b []byte) {
	t.Helper()
	r := rig.New(t, 8)
	r.Allow(rig.To(rig.Port(80)))
	r.W.PostFilterIn = func(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
		if p.Dst.Port() == 80 && p.Src.Port() == 9 {
			return filter.Drop
		}
		return filter.Accept
	}
	c, buf := start(t, capture.Options{SnapLen: snapLen})
	r.W.SetCapture(c.Sink)
	for i := range uint16(20) {
		r.FromPeer(craft.TCP(peer4, 1000+i, host4, 80, packet.TCPSyn, ""))
		r.FromPeer(craft.TCP(peer4, 1000+i, host4, 81, packet.TCPSyn, ""))
		r.FromHost(craft.TCP(host4, 80, peer4, 1000+i, packet.TCPSynAck, ""))
		r.FromPeer(craft.UDP(peer6, 9, host6, 80, "a hook drops it"))
		r.FromPeer(craft.UDP(peer6, 53, host6, 2000+i, "no answer yet"))
		r.FromHost(craft.UDP(host6, 2000+i, peer6, 53, strings.Repeat("question", 100)))
		r.FromPeer(craft.UDP(peer6, 53, host6, 2000+i, "an answer"))
		r.FromHost(craft.Echo(host4, peer4, i, false))
		r.FromPeer(craft.Echo(peer4, host4, i, true))
		r.FromPeer([]byte("junk"), nil, craft.UDP(peer4, 5, netip.MustParseAddr("224.0.0.1"), 80, "multicast"))
		frags := craft.Fragments(craft.Datagram(peer4, 5, host4, 80, 300), 104, i)
		r.FromPeer(frags[1], frags[0], frags[2])
		if err := r.W.InjectOutbound(craft.UDP(host4, 3000+i, peer4, 7, "injected")); err != nil {
			t.Fatal(err)
		}
		r.Read(1)
		r.FromPeer(craft.UDP(peer4, 7, host4, 3000+i, "an answer to that"))
		if err := r.W.InjectInboundCopy(craft.UDP(peer4, 5, host4, 99, "injected")); err != nil {
			t.Fatal(err)
		}
	}
	finish(t, c, buf)
	return buf.bytes()
}

// TestReplayRepeats: under the rules that were in force, the filter says of each packet
// what the file does, also of packets that were cut, and each time the same.
func TestReplayRepeats(t *testing.T) {
	for _, snapLen := range []int{0, 68} {
		b := session(t, snapLen)
		f := parse(t, b)
		var want capture.Result
		for round := range 2 {
			n, judged := 0, 0
			each := func(p *capture.Replayed) error {
				e := f.packets[n]
				n++
				if p.Number != n || string(p.Packet) != e.data || p.Length != e.length || p.Comment != e.comment || p.Note != e.note || !p.Time.Equal(e.time) || p.Inbound != e.inbound {
					t.Fatalf("packet %d: %+v, want %+v", n, p, e)
				}
				if p.Differs() || !p.Judged && p.Verdict != p.Note.Verdict {
					t.Errorf("packet %d: %v now, %q then", n, p.Verdict, p.Comment)
				}
				if p.Judged {
					judged++
				}
				return nil
			}
			got, err := capture.Replay(bytes.NewReader(b), fresh(t, rig.To(rig.Port(80))), capture.ReplayOptions{Each: each})
			if err != nil || n != len(f.packets) || judged != n-20*3 || got.Different != 0 {
				t.Errorf("%d packets of %d, %d judged: %+v, %v", n, len(f.packets), judged, got, err)
			}
			if round == 0 {
				want = got
			} else if got != want {
				t.Errorf("a second time %+v, then %+v", want, got)
			}
		}
		if d := want.In.Drops; d[filter.ReasonNoRule] != 40 || d[filter.ReasonHook] != 20 || d[filter.ReasonMalformed] != 40 || want.Out.Passed != 80 {
			t.Errorf("%+v", want)
		}
	}
}

// TestReplayUnderOtherRules counts the packets that fare otherwise.
func TestReplayUnderOtherRules(t *testing.T) {
	b := session(t, 0)
	for _, tt := range []struct {
		name      string
		rules     []filter.Match
		different uint64
	}{
		{"the same", []filter.Match{rig.To(rig.Port(80))}, 0},
		{"port 81 too", []filter.Match{rig.To(rig.Port(80)), rig.To(rig.Port(81))}, 20},
		{"none", nil, 20 + 3*20}, // the connections, and the fragments with them
	} {
		got, err := capture.Replay(bytes.NewReader(b), fresh(t, tt.rules...), capture.ReplayOptions{})
		if err != nil || got.Different != tt.different {
			t.Errorf("%s: %+v, %v, want %d different", tt.name, got, err, tt.different)
		}
	}
}

// recorded returns a file with packets at given times.
func recorded(t testing.TB, link layers.LinkType, times []time.Time, pkts [][]byte, flags *pcapgo.NgEpbFlags, comments ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, link)
	if err != nil {
		t.Fatal(err)
	}
	for i, pkt := range pkts {
		info := gopacket.CaptureInfo{Timestamp: times[i%len(times)], CaptureLength: len(pkt), Length: len(pkt)}
		if err := w.WritePacketWithOptions(info, pkt, pcapgo.NgPacketOptions{Flags: flags, Comments: comments}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var (
	flagsIn  = &pcapgo.NgEpbFlags{Direction: pcapgo.NgEpbFlagDirectionInbound}
	flagsOut = &pcapgo.NgEpbFlags{Direction: pcapgo.NgEpbFlagDirectionOutbound}
	noon     = time.Date(2026, 1, 1, 12, 0, 0, 123456789, time.UTC)
)

// TestReplayHasTheFilesTime, not that of the machine: a flow expires by the times of the
// packets.
func TestReplayHasTheFilesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // of which the clock stands still
		for idle, want := range map[time.Duration]bool{filter.DefaultUDPUnreplied - 1: true, filter.DefaultUDPUnreplied: false} {
			out := recorded(t, layers.LinkTypeRaw, []time.Time{noon}, [][]byte{craft.UDP(host4, 5, peer4, 53, "q")}, flagsOut)
			in := recorded(t, layers.LinkTypeRaw, []time.Time{noon.Add(idle)}, [][]byte{craft.UDP(peer4, 53, host4, 5, "a")}, flagsIn)
			got, err := capture.Replay(io.MultiReader(bytes.NewReader(out), bytes.NewReader(in)), fresh(t), capture.ReplayOptions{})
			if err != nil || (got.In.Passed == 1) != want || got.Out.Passed != 1 {
				t.Errorf("after %v: %+v, %v", idle, got, err)
			}
		}
	})
}

func zip(t testing.TB, b []byte) []byte {
	t.Helper()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return zipped.Bytes()
}

// TestReplayOfOtherFiles: without comments, with comments of people's, compressed, with
// link types that are raw IP too.
func TestReplayOfOtherFiles(t *testing.T) {
	pkts := [][]byte{craft.UDP(peer4, 5, host4, 80, "x"), craft.UDP(peer4, 5, host4, 81, "x")}
	for name, b := range map[string][]byte{
		"plain":     recorded(t, layers.LinkTypeRaw, []time.Time{noon}, pkts, flagsIn),
		"commented": recorded(t, layers.LinkTypeIPv4, []time.Time{noon}, pkts, flagsIn, "what is this?", ""),
		"gzip":      zip(t, recorded(t, layers.LinkTypeRaw, []time.Time{noon}, pkts, flagsIn)),
	} {
		got, err := capture.Replay(bytes.NewReader(b), fresh(t, rig.To(rig.Port(80))), capture.ReplayOptions{})
		if err != nil || got.In.Passed != 1 || got.In.Drops[filter.ReasonNoRule] != 1 || got.Different != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	second := recorded(t, layers.LinkTypeRaw, []time.Time{noon}, pkts, flagsIn, "mine", "verdict=accept rule=7 by=hand")
	got, err := capture.Replay(bytes.NewReader(second), fresh(t, rig.To(rig.Port(80))), capture.ReplayOptions{})
	if err != nil || got.Different != 1 {
		t.Errorf("with a second comment: %+v, %v", got, err)
	}
}

// TestReplayOfHandledPackets: what a hook took outbound has opened no flow.
func TestReplayOfHandledPackets(t *testing.T) {
	for comment, passed := range map[string]uint64{"verdict=accept": 1, "verdict=accept injected": 1, "verdict=handled": 0, "verdict=drop reason=hook": 0} {
		out := recorded(t, layers.LinkTypeRaw, []time.Time{noon}, [][]byte{craft.UDP(host4, 5, peer4, 53, "q")}, flagsOut, comment)
		in := recorded(t, layers.LinkTypeRaw, []time.Time{noon}, [][]byte{craft.UDP(peer4, 53, host4, 5, "a")}, flagsIn)
		got, err := capture.Replay(io.MultiReader(bytes.NewReader(out), bytes.NewReader(in)), fresh(t), capture.ReplayOptions{})
		if err != nil || got.In.Passed != passed || got.Different != 0 {
			t.Errorf("%s: %+v, %v", comment, got, err)
		}
	}
}

// TestReplayOfCutPackets: what is missing is zeros, and not the packet before.
func TestReplayOfCutPackets(t *testing.T) {
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeRaw)
	if err != nil {
		t.Fatal(err)
	}
	pkt := craft.UDP(peer4, 5, host4, 80, strings.Repeat("x", 500))
	for _, kept := range []int{28, 20, 28, len(pkt), 20, 0} {
		info := gopacket.CaptureInfo{Timestamp: noon, CaptureLength: kept, Length: len(pkt)}
		if err := w.WritePacketWithOptions(info, pkt[:kept], pcapgo.NgPacketOptions{Flags: flagsIn}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	var got []filter.Response
	each := func(p *capture.Replayed) error { got = append(got, p.Verdict.Response); return nil }
	if _, err := capture.Replay(&b, fresh(t, rig.To(rig.Port(80))), capture.ReplayOptions{Each: each}); err != nil {
		t.Fatal(err)
	}
	want := []filter.Response{filter.Accept, filter.Drop, filter.Accept, filter.Accept, filter.Drop, filter.DropSilently}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestReplayErrors: each names the packet, and the counts of those before it stand.
func TestReplayErrors(t *testing.T) {
	x := craft.UDP(peer4, 5, host4, 80, "x")
	good := recorded(t, layers.LinkTypeRaw, []time.Time{noon}, [][]byte{x, x}, flagsIn)
	empty := recorded(t, layers.LinkTypeRaw, []time.Time{noon}, nil, nil)
	ether := append(bytes.Clone(good), recorded(t, layers.LinkTypeEthernet, []time.Time{noon}, [][]byte{x}, flagsIn)...)
	unknownInterface := bytes.Clone(good)
	binary.LittleEndian.PutUint32(unknownInterface[len(empty)+8:], 7)
	mine := errors.New("mine")
	for _, tt := range []struct {
		name   string
		file   []byte
		each   func(*capture.Replayed) error
		want   string
		passed uint64
	}{
		{"nothing", nil, nil, "no pcapng file", 0},
		{"text", []byte("no packets at all"), nil, "no pcapng file", 0},
		{"compressed twice", zip(t, zip(t, good)), nil, "no pcapng file", 0},
		{"cut while compressed", zip(t, good)[:60], nil, "unexpected EOF", 0},
		{"no interface", good[:28], nil, "no pcapng file", 0},
		{"no packets", empty, nil, "", 0},
		{"cut in the last packet", good[:len(good)-1], nil, fmt.Sprintf("packet 2: in what begins at byte %d: unexpected EOF", len(empty)+(len(good)-len(empty))/2), 1},
		{"cut in its first bytes", good[:len(empty)+(len(good)-len(empty))/2+3], nil, "packet 2: in what begins", 1},
		{"another link type", recorded(t, layers.LinkTypeEthernet, []time.Time{noon}, [][]byte{x}, flagsIn), nil, "link type is Ethernet (1): want raw IP (101)", 0},
		{"another link type behind", ether, nil, "packet 3: in what", 2},
		{"unknown interface", unknownInterface, nil, "packet 1: in what", 0},
		{"no direction", recorded(t, layers.LinkTypeRaw, []time.Time{noon}, [][]byte{x}, nil), nil, "packet 1: it has no direction", 0},
		{"both directions", recorded(t, layers.LinkTypeRaw, []time.Time{noon}, [][]byte{x}, &pcapgo.NgEpbFlags{Direction: 3}), nil, "packet 1: it has no direction", 0},
		{"a wrong note", recorded(t, layers.LinkTypeRaw, []time.Time{noon}, [][]byte{x}, flagsIn, "verdict=perhaps"), nil, `packet 1: comment "verdict=perhaps": "verdict=perhaps": no verdict`, 0},
		{"long before", recorded(t, layers.LinkTypeRaw, []time.Time{noon, noon.Add(-2 * time.Hour)}, [][]byte{x, x}, flagsIn), nil, "packet 2: its time, 2026-01-01T10:00:00.123456789Z, is too far", 1},
		{"long after", recorded(t, layers.LinkTypeRaw, []time.Time{noon, noon.AddDate(200, 0, 0)}, [][]byte{x, x}, flagsIn), nil, "packet 2: its time", 1},
		{"a caller's", good, func(p *capture.Replayed) error { return map[int]error{2: mine}[p.Number] }, "packet 2: mine", 2},
	} {
		got, err := capture.Replay(bytes.NewReader(tt.file), fresh(t, rig.To(rig.Port(80))), capture.ReplayOptions{Each: tt.each})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || got.In.Passed != tt.passed {
			t.Errorf("%s: %+v, %v, want %q", tt.name, got.In.Passed, err, tt.want)
		}
		if tt.each != nil && !errors.Is(err, mine) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestReplayTellsOfEvictions: only a State with room for all flows makes a replay exact.
func TestReplayTellsOfEvictions(t *testing.T) {
	var pkts [][]byte
	for i := range uint16(100) {
		pkts = append(pkts, craft.UDP(host4, 1000+i, peer4, 53, "q"))
	}
	b := recorded(t, layers.LinkTypeRaw, []time.Time{noon}, pkts, flagsOut)
	for limit, want := range map[int]uint64{100: 0, 90: 10} {
		f, err := filter.New(filter.Config{Local: rig.Local(), Limits: filter.Limits{Flows: limit}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := capture.Replay(bytes.NewReader(b), f, capture.ReplayOptions{}); err != nil || got.Evicted != want {
			t.Errorf("with room for %d: %+v, %v", limit, got, err)
		}
	}
}

// TestReplayOfWhatEditcapSaves is that of the file itself.
func TestReplayOfWhatEditcapSaves(t *testing.T) {
	name, copied := t.TempDir()+"/a.pcapng", t.TempDir()+"/b.pcapng"
	b := session(t, 0)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "editcap", name, copied)
	saved, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	var results []capture.Result
	for _, b := range [][]byte{b, saved} {
		r, err := capture.Replay(bytes.NewReader(b), fresh(t, rig.To(rig.Port(80))), capture.ReplayOptions{})
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	if !reflect.DeepEqual(results[0], results[1]) || results[0].Different != 0 {
		t.Errorf("%+v", results)
	}
}

// endless repeats a block for ever.
type endless struct {
	block []byte
	at    int
	n     int64
}

func (e *endless) Read(b []byte) (n int, err error) {
	for n < len(b) {
		k := copy(b[n:], e.block[e.at:])
		n, e.at = n+k, (e.at+k)%len(e.block)
	}
	e.n += int64(n)
	return n, nil
}

// TestReplayKeepsLittle of a file that never ends: neither what is no packet, nor a packet
// of any length, nor the two in turn.
func TestReplayKeepsLittle(t *testing.T) {
	x := craft.UDP(peer4, 5, host4, 80, "x")
	empty := recorded(t, layers.LinkTypeRaw, []time.Time{noon}, nil, nil)
	one := recorded(t, layers.LinkTypeRaw, []time.Time{noon}, [][]byte{x}, flagsIn)
	section := int(binary.LittleEndian.Uint32(empty[4:]))
	intf, pkt := empty[section:], one[len(empty):]
	long := bytes.Clone(pkt)
	binary.LittleEndian.PutUint32(long[4:], 1<<32-8)
	binary.LittleEndian.PutUint32(long[20:], 1<<32-64)
	binary.LittleEndian.PutUint32(long[24:], 1<<32-64)
	var secrets bytes.Buffer
	w, err := pcapgo.NewNgWriter(&secrets, layers.LinkTypeRaw)
	if err == nil {
		err = w.WriteDecryptionSecretsBlock(pcapgo.DSB_SECRETS_TYPE_TLS, make([]byte, 64<<10))
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	secret := secrets.Bytes()[len(empty):]
	for name, block := range map[string][]byte{
		"interfaces": intf, "an endless packet": long, "secrets": secret,
		"secrets and packets": append(bytes.Clone(secret), pkt...),
		"a section":           empty[:section],
	} {
		more := &endless{block: block}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := capture.Replay(io.MultiReader(bytes.NewReader(empty), more), fresh(t), capture.ReplayOptions{})
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), "packet ") || more.n > 8<<20 {
			t.Errorf("%s: %v after %d bytes", name, err, more.n)
		}
		// In all, not at once: what grows is copied.
		if n := after.TotalAlloc - before.TotalAlloc; n > 512<<20 {
			t.Errorf("%s: %d bytes allocated", name, n)
		}
	}
}

// BenchmarkReplay plays a file in memory: packets of 100 flows, most of them in open ones,
// with the comments of a capture. MB/s are the file's.
func BenchmarkReplay(b *testing.B) {
	for _, snapLen := range []int{0, 128} {
		b.Run(fmt.Sprintf("snap=%d", snapLen), func(b *testing.B) {
			const packets = 20000
			l := rig.NewDirectLoad(b, 100, rig.Loads(100, 100)["tcp"], false)
			f := fresh(b, rig.To(rig.Port(80)))
			l.W.SetFilter(f)
			c, buf := start(b, capture.Options{SnapLen: snapLen, Ring: 64 << 20})
			l.W.SetCapture(c.Sink)
			for range packets / 200 {
				l.Write()
				l.Read()
			}
			finish(b, c, buf)
			file := buf.bytes()
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				got, err := capture.Replay(bytes.NewReader(file), fresh(b, rig.To(rig.Port(80))), capture.ReplayOptions{})
				if err != nil || got.In.Passed+got.Out.Passed != packets || got.Different != 0 {
					b.Fatal(got, err)
				}
			}
			b.ReportMetric(float64(b.N)*packets/b.Elapsed().Seconds(), "packets/s")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*packets), "ns/packet")
		})
	}
}

// FuzzReplay: no file makes Replay panic, or keep more than a part of what it is given.
func FuzzReplay(f *testing.F) {
	x, y := craft.UDP(peer4, 5, host4, 80, "x"), craft.TCP(peer4, 5, host4, 81, packet.TCPSyn, "")
	whole := recorded(f, layers.LinkTypeRaw, []time.Time{noon}, [][]byte{x, y}, flagsIn, "verdict=accept policy=3 injected")
	f.Add(whole)
	f.Add(whole[:len(whole)-9])
	f.Add(zip(f, whole))
	f.Add(append(bytes.Clone(whole), whole...))
	f.Add(recorded(f, layers.LinkTypeIPv6, []time.Time{noon, noon.Add(-time.Minute)}, [][]byte{y, x}, flagsOut, "verdict=drop reason=no-rule", "verdict=drop reason=hook"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := uint64(0)
		each := func(p *capture.Replayed) error {
			n++
			if p.Number != int(n) {
				t.Fatalf("packet %d has number %d", n, p.Number)
			}
			return nil
		}
		got, _ := capture.Replay(bytes.NewReader(b), fresh(t, rig.To(rig.Port(80))), capture.ReplayOptions{Each: each})
		sum := got.In.Passed + got.Out.Passed
		for r := range filter.NumReasons {
			sum += got.In.Drops[r] + got.Out.Drops[r]
		}
		if sum != n || got.Different > n {
			t.Errorf("%d packets: %+v", n, got)
		}
	})
}
