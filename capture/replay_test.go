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

// TestReplayOfOtherFiles: without comments, with comments of people's, compressed, with
// link types that are raw IP too.
func TestReplayOfOtherFiles(t *testing.T) {
	pkts := [][]byte{craft.UDP(peer4, 5, host4, 80, "x"), craft.UDP(peer4, 5, host4, 81, "x")}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(recorded(t, layers.LinkTypeRaw, []time.Time{noon}, pkts, flagsIn))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"plain":     recorded(t, layers.LinkTypeRaw, []time.Time{noon}, pkts, flagsIn),
		"commented": recorded(t, layers.LinkTypeIPv4, []time.Time{noon}, pkts, flagsIn, "what is this?", ""),
		"gzip":      zipped.Bytes(),
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
		{"nothing", nil, nil, "not a pcapng file", 0},
		{"text", []byte("no packets at all"), nil, "not a pcapng file", 0},
		{"no interface", good[:28], nil, "not a pcapng file", 0},
		{"no packets", empty, nil, "", 0},
		{"cut in the last packet", good[:len(good)-1], nil, fmt.Sprintf("packet 2: in what begins at byte %d: unexpected EOF", len(empty)+(len(good)-len(empty))/2), 1},
		{"cut in its first bytes", good[:len(empty)+(len(good)-len(empty))/2+3], nil, "packet 2: in what begins", 1},
		{"another link type", recorded(t, layers.LinkTypeEthernet, []time.Time{noon}, [][]byte{x}, flagsIn), nil, "link type is Ethernet (1): want raw IP (101)", 0},
		{"another link type behind", ether, nil, "packet 3: in what", 2},
		{"unknown interface", unknownInterface, nil, "packet 1: in what", 0},
		{"no direction", recorded(t, layers.LinkTypeRaw, []time.Time{noon}, [][]byte{x}, nil), nil, "packet 1: it has no direction", 0},
		{"both directions", recorded(t, layers.LinkTypeRaw, []time.Time{noon}, [][]byte{x}, &pcapgo.NgEpbFlags{Direction: 3}), nil, "packet 1: it has no direction", 0},
		{"a wrong note", recorded(t, layers.LinkTypeRaw, []time.Time{noon}, [][]byte{x}, flagsIn, "verdict=perhaps"), nil, `packet 1: capture: comment "verdict=perhaps": "verdict=perhaps": no verdict`, 0},
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
