package attack_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"tstun/filter"
	"tstun/ipproto"
)

// datagram is one packet in fragments.
type datagram struct {
	out   bool
	head  []byte // the IP header
	parts []part
	// What the filter dropped fragments for.
	reasons map[filter.Reason]bool
	kernel  opinion // of the datagram
	ours    opinion // of the fragments that the filter let pass
}

// part is a fragment: data of the IP payload from at on.
type part struct {
	at   int
	data []byte
	more bool
}

// overlaps reports whether any two fragments do, or are at one place.
func (d *datagram) overlaps() bool {
	for i, a := range d.parts {
		for _, b := range d.parts[:i] {
			if a.at < b.at+max(1, len(b.data)) && b.at < a.at+max(1, len(a.data)) {
				return true
			}
		}
	}
	return false
}

// fragmentDifferences are all that there may be between the datagrams that a
// host gets through the filter and those that get through the kernel, which
// judges them as a whole when it has all of them.
var fragmentDifferences = []struct {
	name, why string
	applies   func(d *datagram) bool
}{
	{
		name: "later fragment first",
		why:  "Asked alone, the filter cannot hold fragments back, as the Wrapper does. One that comes before the first of its datagram is dropped, and with it the datagram.",
		applies: func(d *datagram) bool {
			return d.kernel.accepted && d.reasons[filter.ReasonFragmentOrphan]
		},
	},
	{
		name: "header in several fragments",
		why:  "The first fragment must have the whole transport header, for ports and flags to be judged (RFC 1858). The kernel puts them together first.",
		applies: func(d *datagram) bool {
			return d.kernel.accepted && d.reasons[filter.ReasonFragmentTiny]
		},
	},
	{
		name: "another first fragment",
		why: "Each first fragment is judged by its own ports. One that is denied is dropped alone if it comes before the others, and stops " +
			"those that come after it. The kernel ignores all but the one that came first.",
		applies: func(d *datagram) bool {
			return d.reasons[filter.ReasonNoRule]
		},
	},
	{
		name: "overlapping fragment",
		why: "The filter drops a fragment that overlaps the first one or comes before it, and the host gets the datagram without it. " +
			"The kernel drops the datagram if any two overlap.",
		applies: func(d *datagram) bool {
			return d.ours.accepted && d.overlaps() && len(d.reasons) > 0
		},
	},
}

// fewRounds is after how many rounds a kernel that may hold 4 MiB of fragments
// (IPV6_FRAG_HIGH_THRESH of linux/ipv6.h) is replaced by a fresh one: in a round,
// at most about 60 KiB stay behind.
const fewRounds = 20

// TestKernelAsOracleForFragments sends the same fragments, whole, in disorder,
// twice, overlapping and with gaps, through the filter and through the
// kernel's connection tracking, which reassembles. What passed the filter then
// goes through a kernel without rules, which shows what a host makes of it.
func TestKernelAsOracleForFragments(t *testing.T) {
	o := newOracle(t, newSeed(t))
	sent, datagrams := 0, 0
	for round := 0; sent < *packetsFlag/10 && !t.Failed(); round++ {
		if o.kernel.fewFragments && round > 0 && round%fewRounds == 0 {
			o.kernel.close(t)
			o.kernel = newKernel(t) // each round has flows of its own
		}
		ds := make([]*datagram, 30)
		for i := range ds {
			ds[i] = newDatagram(o.rng, round)
		}
		sent += o.fragments(t, round, ds)
		datagrams += len(ds)
		for _, d := range ds {
			o.compareDatagram(t, d)
		}
	}
	t.Logf("%d fragments of %d datagrams", sent, datagrams)
	names := make([]string, len(fragmentDifferences))
	for i, d := range fragmentDifferences {
		names[i] = d.name
	}
	o.wantUses(t, names, sent >= 10_000)
}

func (o *oracle) compareDatagram(t *testing.T, d *datagram) {
	t.Helper()
	if d.ours.accepted == d.kernel.accepted {
		return
	}
	for _, diff := range fragmentDifferences {
		if diff.applies(d) {
			o.uses[diff.name]++
			return
		}
	}
	t.Errorf("not listed: out %v, passed the filter %v, the kernel %v (%v), dropped for %v", d.out, d.ours.accepted, d.kernel.accepted, d.kernel.state, d.reasons)
	for _, p := range d.parts {
		t.Logf("  at %d, %d bytes, more %v: %x", p.at, len(p.data), p.more, p.data[:min(8, len(p.data))])
	}
}

// mayPass reports whether the inbound fragment n may be let in: a first one for
// an open port or the flow of the host's, a later one behind the transport
// header. It shares nothing with package filter.
func (d *datagram) mayPass(n int) bool {
	p := d.parts[n]
	proto := d.head[9]
	if d.head[0]>>4 == 6 {
		proto = d.head[6]
	}
	sizes := map[uint8]int{6: 20, 17: 8, 1: 8, 58: 8}
	if p.at > 0 {
		return p.at >= sizes[proto]
	}
	if len(p.data) < sizes[proto] {
		return false
	}
	port := binary.BigEndian.Uint16(p.data[2:])
	switch proto {
	case 6:
		return slices.Contains(policies[0].tcp, port) || port == answeredPort
	case 17:
		return slices.Contains(policies[0].udp, port) || port == answeredPort
	}
	return policies[0].icmp
}

// fragments sends the datagrams, interleaved, and sets what became of them.
// It returns the number of fragments.
func (o *oracle) fragments(t *testing.T, round int, ds []*datagram) int {
	t.Helper()
	var queue []int // of which datagram the next fragment is
	for i, d := range ds {
		d.reasons = make(map[filter.Reason]bool)
		queue = append(queue, slices.Repeat([]int{i}, len(d.parts))...)
	}
	if o.rng.IntN(3) == 0 {
		o.rng.Shuffle(len(queue), func(i, j int) { queue[i], queue[j] = queue[j], queue[i] })
	}
	o.openFlows(t, round)
	var whole, passed []parcel
	next := make([]int, len(ds))
	for _, i := range queue {
		d := ds[i]
		b := d.fragment(round, i+1, next[i])
		next[i]++
		whole = append(whole, parcel{i + 1, d.out, b})
		s := &step{pkt: b, out: d.out}
		o.ask(s)
		if s.ours {
			if !d.out && !d.mayPass(next[i]-1) {
				t.Errorf("let in: %x", b)
			}
			passed = append(passed, parcel{i + 1, d.out, b})
		} else {
			d.reasons[s.reason.(filter.Reason)] = true
		}
	}
	for i, opinion := range o.kernel.judge(t, whole) {
		ds[i].kernel = opinion
	}
	// Other identifications: the kernel may still wait for the rest of the
	// first ones.
	for i := range passed {
		p := &passed[i]
		p.tag += len(ds)
		p.pkt = bytes.Clone(p.pkt)
		identify(p.pkt, round, p.tag)
		tag(p.pkt, p.tag, freely)
	}
	for i, opinion := range o.kernel.judge(t, passed) {
		if i >= len(ds) {
			ds[i-len(ds)].ours = opinion
		}
	}
	return len(queue)
}

// openFlows lets the host open the flows whose answers come in fragments.
func (o *oracle) openFlows(t *testing.T, round int) {
	t.Helper()
	var parcels []parcel
	for _, v6 := range []bool{false, true} {
		for _, proto := range []ipproto.Proto{ipproto.TCP, ipproto.UDP} {
			k := fragmentTalk(round, v6, proto, answeredPort)
			s := &step{pkt: k.packet(true, syn, 0), out: true}
			tag(s.pkt, len(parcels)+1, hopLimit(0))
			o.ask(s)
			parcels = append(parcels, parcel{len(parcels) + 1, true, s.pkt})
		}
	}
	for i, opinion := range o.kernel.judge(t, parcels) {
		if !opinion.accepted {
			t.Errorf("the host cannot open a flow by %x", parcels[i].pkt)
		}
	}
}

// answeredPort is the host's, of flows that it opened.
const answeredPort = 5000

func fragmentTalk(round int, v6 bool, proto ipproto.Proto, port uint16) *talk {
	host := host4
	if v6 {
		host = host6
	}
	return &talk{proto: proto, host: netip.AddrPortFrom(host, port), peer: netip.AddrPortFrom(peerAddr(round, v6, 1), 80)}
}

// newDatagram returns a datagram for an open port, a closed one, or of a flow,
// cut and then, perhaps, spoilt.
func newDatagram(rng *rand.Rand, round int) *datagram {
	d := &datagram{out: rng.IntN(8) == 0}
	v6 := rng.IntN(2) == 0
	proto := []ipproto.Proto{ipproto.TCP, ipproto.UDP, ipproto.ICMPv4}[rng.IntN(3)]
	if v6 && proto == ipproto.ICMPv4 {
		proto = ipproto.ICMPv6
	}
	port := []uint16{22, 53, 80, answeredPort}[rng.IntN(4)]
	if d.out {
		port = 6000 // a flow that nothing else depends on
	}
	k := fragmentTalk(round, v6, proto, port)
	size := 40 + rng.IntN(80)
	if proto.IsICMP() {
		types := []uint8{8, 13}
		if v6 {
			types = []uint8{128, 200}
		}
		d.cut(rng, k.icmp(d.out, types[rng.IntN(2)], 0, [4]byte{}, make([]byte, size)))
	} else {
		d.cut(rng, k.packet(d.out, ack, size))
	}
	d.spoil(rng)
	return d
}

// cut makes fragments of b.
func (d *datagram) cut(rng *rand.Rand, b []byte) {
	n := 20
	if b[0]>>4 == 6 {
		n = 40
	}
	d.head = b[:n:n]
	data := b[n:]
	size := 24
	if rng.IntN(8) == 0 {
		size = 8 // tiny for TCP, enough for others
	}
	for at := 0; at < len(data); size = 8 * (1 + rng.IntN(4)) {
		end := min(at+size, len(data))
		d.parts = append(d.parts, part{at, data[at:end], end < len(data)})
		at = end
	}
}

// spoil does what senders do not, or only the network does.
func (d *datagram) spoil(rng *rand.Rand) {
	i := rng.IntN(len(d.parts))
	p := d.parts[i]
	p.data = bytes.Clone(p.data)
	insert := func(p part) { d.parts = slices.Insert(d.parts, rng.IntN(len(d.parts)+1), p) }
	// Where a fragment comes to lie over the ports, they are no flow's: the
	// host's fragments would else open one for those of the peer.
	junk := bytes.Repeat([]byte{0}, 16)
	if d.out {
		junk = bytes.Repeat([]byte{1}, 16)
	}
	switch rng.IntN(14) {
	case 0, 1:
		rng.Shuffle(len(d.parts), func(i, j int) { d.parts[i], d.parts[j] = d.parts[j], d.parts[i] })
	case 2:
		d.parts = slices.Delete(d.parts, i, i+1)
	case 3: // twice
		insert(p)
	case 4, 5: // over the one before it
		if p.at >= 8 {
			p.at, p.data = p.at-8, append(bytes.Clone(junk[:8]), p.data...)
			d.parts[i] = p
		}
	case 6: // over two
		if p.at >= 8 {
			insert(part{p.at - 8, junk, true})
		}
	case 7: // a first one of another length
		insert(part{0, bytes.Clone(d.parts[0].data[:8*rng.IntN(1+len(d.parts[0].data)/8)]), true})
	case 8, 9: // a first one with another destination port
		first := part{0, bytes.Clone(d.parts[0].data), true}
		binary.BigEndian.PutUint16(first.data[2:], []uint16{22, 53, 80}[rng.IntN(3)])
		insert(first)
	}
}

// fragment returns the fragment n of the datagram with this tag.
func (d *datagram) fragment(round, tagged, n int) []byte {
	p := d.parts[n]
	more := uint16(0)
	if p.more {
		more = 1
	}
	b := bytes.Clone(d.head)
	if b[0]>>4 == 4 {
		binary.BigEndian.PutUint16(b[6:], more<<13|uint16(p.at/8))
	} else {
		b = append(b, b[6], 0, 0, 0, 0, 0, 0, 0)
		b[6] = 44 // RFC 8200 §4.5
		binary.BigEndian.PutUint16(b[42:], uint16(p.at)|more)
	}
	b = resize(append(b, p.data...))
	identify(b, round, tagged)
	tag(b, tagged, hopLimit(0))
	return b
}

// identify sets the identification in the fragment header of an IPv6 packet.
// That of an IPv4 packet is its tag.
func identify(b []byte, round, tagged int) {
	if b[0]>>4 == 6 {
		binary.BigEndian.PutUint32(b[44:], uint32(round)<<8|uint32(tagged))
	}
}
