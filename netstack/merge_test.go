package netstack

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"

	"tstun"
	"tstun/flow"
	"tstun/packet"
)

// flight makes packets of TCP flows from a script, with three bytes for each:
// what differs, how long its payload is, and which flow it is of. Sequence
// numbers wrap soon.
func flight(script []byte) [][]byte {
	var pkts [][]byte
	next := make(map[byte]uint32)
	for ; len(script) >= 3; script = script[3:] {
		change, size, which := script[0], int(script[1])*6, script[2]%4
		h := packet.TCPHeader{
			Src: netip.MustParseAddrPort("100.64.0.1:1000"), Dst: netip.MustParseAddrPort("100.64.0.2:80"),
			Seq: next[which] + 0xffff_f000, Ack: 77, Flags: packet.TCPAck, Window: 512,
		}
		if which&1 != 0 {
			h.Src, h.Dst = netip.MustParseAddrPort("[fd00::1]:1000"), netip.MustParseAddrPort("[fd00::2]:80")
		}
		if which&2 != 0 {
			h.Src = netip.AddrPortFrom(h.Src.Addr(), 1001)
		}
		spoilHeader(&h, &size, change)
		next[which] = h.Seq + uint32(size) - 0xffff_f000
		pkt := packet.Generate(h, bytes.Repeat([]byte{change + 1, byte(size), which}, size/3+1)[:size])
		spoilPacket(pkt, change)
		pkts = append(pkts, pkt)
	}
	return pkts
}

func spoilHeader(h *packet.TCPHeader, size *int, change byte) {
	switch change {
	case 1:
		h.Flags |= packet.TCPPsh
	case 2:
		h.Flags |= packet.TCPFin
	case 3:
		h.Seq += 5
	case 4:
		h.Ack++
	case 5:
		h.Window++
	case 6:
		*size = *size/2*2 + 1
	case 7:
		h.Flags = packet.TCPRst
	}
}

// spoilPacket changes what a header type does not have, and mends the sums.
func spoilPacket(pkt []byte, change byte) {
	ip := 20
	if pkt[0]>>4 == 6 {
		ip = 40
	}
	switch change {
	case 8: // TTL, hop limit
		if ip == 20 {
			pkt[8]--
		} else {
			pkt[7]--
		}
	case 9: // TOS, traffic class
		pkt[1] ^= 0x10
	case 10: // identification, or payload length's upper byte kept
		if ip == 20 {
			pkt[5]++
		}
	case 11: // more fragments
		if ip == 20 {
			pkt[6] |= 0x20
		}
	case 12: // checksum of the IPv4 header
		if ip == 20 {
			pkt[10] ^= 0x40
		}
		return
	default:
		return
	}
	setSums(pkt, ip)
}

// merged is what the inbox makes of the packets.
func merged(pkts [][]byte) [][]byte {
	var b inbox
	b.init(freshMemory(), ownInbox)
	var p packet.Parsed
	for _, pkt := range pkts {
		p.Decode(pkt)
		b.put(&p)
	}
	var out [][]byte
	if len(pkts) == 0 {
		return out
	}
	for _, it := range b.fetch() {
		it.finish()
		out = append(out, it.data.Flatten())
	}
	return out
}

func check(t *testing.T, pkts [][]byte) {
	t.Helper()
	want, got := slowMerge(pkts), merged(pkts)
	if len(got) != len(want) {
		t.Fatalf("%d packets became %d, want %d", len(pkts), len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("packet %d:\ngot  %.60x\nwant %.60x", i, got[i], want[i])
		}
	}
}

func TestMerge(t *testing.T) {
	for change := range byte(13) {
		for which := range byte(2) {
			for _, at := range []int{0, 1, 4, 5} {
				t.Run(fmt.Sprintf("%d/%d/%d", change, which, at), func(t *testing.T) {
					script := bytes.Repeat([]byte{0, 200, which}, 6)
					script[3*at] = change
					check(t, flight(script))
				})
			}
		}
	}
	t.Run("up to the longest packet", func(t *testing.T) { check(t, flight(bytes.Repeat([]byte{0, 210, 0}, 130))) })
	t.Run("two flows by turns", func(t *testing.T) { check(t, flight(bytes.Repeat([]byte{0, 50, 0, 0, 50, 2}, 4))) })
}

func TestMergeMakesOneOfMany(t *testing.T) {
	if got := merged(flight(bytes.Repeat([]byte{0, 200, 1}, 50))); len(got) != 1 {
		t.Errorf("50 segments became %d", len(got))
	}
}

// A segment that was broken on its way breaks what it is merged into.
// A run is in few views, and most of what they hold is full.
func TestRunIsInFewViews(t *testing.T) {
	var script []byte
	for range 40 {
		script = append(script, 0, 230, 0) // 1,380 bytes of payload
	}
	var b inbox
	b.init(freshMemory(), ownInbox)
	var p packet.Parsed
	for _, pkt := range flight(script) {
		p.Decode(pkt)
		b.put(&p)
	}
	items := b.fetch()
	if len(items) != 1 {
		t.Fatalf("%d packets, want one", len(items))
	}
	it := &items[0]
	it.finish()
	views, capacity := 0, 0
	it.data.Apply(func(v *buffer.View) {
		views++
		capacity += v.Capacity()
	})
	if size := int(it.data.Size()); size != 40+40*1380 || views > 7 || capacity > 2*size {
		t.Errorf("%d bytes in %d views with room for %d", size, views, capacity)
	}
	it.release()
}

func TestMergeKeepsBrokenChecksums(t *testing.T) {
	pkts := flight(bytes.Repeat([]byte{0, 200, 0}, 5))
	pkts[3][700] ^= 0x40
	got := merged(pkts)
	if len(got) != 1 {
		t.Fatalf("%d packets", len(got))
	}
	var p packet.Parsed
	p.Decode(got[0])
	pseudo := packet.PseudoHeaderSum(p.Proto(), p.Src.Addr(), p.Dst.Addr(), len(p.Transport()))
	if packet.Checksum(p.Transport(), pseudo) == 0xffff {
		t.Error("the broken segment has a right checksum now")
	}
}

// The stack drops and counts a packet with a wrong header checksum, wherever in
// a flight it is, and gets the others merged.
func TestMergeLeavesBrokenHeadersToTheStack(t *testing.T) {
	for at := range 5 {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			w := tstun.Wrap(nil, tstun.NewFake())
			defer w.Close()
			s, err := New(w, Config{Addrs: []netip.Addr{netip.MustParseAddr("100.64.0.2")}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			script := bytes.Repeat([]byte{0, 200, 0}, 5)
			script[3*at] = 12
			pkts := flight(script)
			var b inbox
			b.init(freshMemory(), ownInbox)
			var p packet.Parsed
			for _, pkt := range pkts {
				p.Decode(pkt)
				b.put(&p)
			}
			whole := 0
			for _, it := range b.fetch() {
				s.link.deliver(&it)
				whole++
			}
			ip := s.ip.Stats().IP
			if n := ip.MalformedPacketsReceived.Value(); n != 1 {
				t.Errorf("the stack counted %d malformed packets, want 1", n)
			}
			runs := 3 // before it, itself, behind it
			if at == 0 || at == len(pkts)-1 {
				runs = 2
			}
			if n := ip.ValidPacketsReceived.Value(); whole != runs || n != uint64(runs-1) {
				t.Errorf("%d packets became %d, of which the stack took %d; want %d and %d", len(pkts), whole, n, runs, runs-1)
			}
		})
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte{0, 200, 0, 0, 200, 0, 1, 100, 0, 0, 9, 1})
	f.Add(bytes.Repeat([]byte{0, 255, 1}, 60))
	f.Add([]byte{0, 200, 0, 12, 200, 0, 0, 200, 0, 12, 200, 0})
	f.Fuzz(func(t *testing.T, script []byte) { check(t, flight(script[:min(len(script), 600)])) })
}

// LESSONS.md 82: one peer that floods fills three quarters, and another finds
// room in the rest.
func TestInboxIsShared(t *testing.T) {
	var b inbox
	b.init(freshMemory(), ownInbox)
	fill := func(src string) int {
		var p packet.Parsed
		p.Decode(packet.Generate(packet.UDPHeader{
			Src: netip.MustParseAddrPort(src), Dst: netip.MustParseAddrPort("100.64.0.2:2"),
		}, make([]byte, 972)))
		taken := 0
		for b.put(&p) == noReason {
			taken++
		}
		return taken
	}
	first, second, third := fill("100.64.0.1:1"), fill("100.64.0.3:1"), fill("100.64.0.1:2")
	if all := inboxBytes / 1000; first < all*3/4 || first > all*3/4+1 || second < all*3/16 || second > all*3/16+1 || third != 0 {
		t.Errorf("took %d, %d and %d of %d packets", first, second, third, all)
	}
	if n := len(b.fetch()); n != first+second {
		t.Errorf("fetched %d of %d", n, first+second)
	}
	b.done()
	if again := fill("100.64.0.1:1"); again != first {
		t.Errorf("took %d packets after a fetch, want %d", again, first)
	}
	b.close()
	if fill("100.64.0.3:1") != 0 || b.fetch() != nil {
		t.Error("a closed inbox is not closed")
	}
}

func freshMemory() *memory { return newMemory(nil, DefaultMemory, flow.AddrPeer) }
