package capture

import (
	"encoding/binary"
	"net/netip"

	"tstun"
	"tstun/filter"
	"tstun/flow"
	"tstun/packet"
)

// record is what the ring has of a packet, in front of its bytes.
type record struct {
	now      int64
	lost     uint64 // records that were lost so far
	peer     flow.PeerID
	policy   uint32 // the filter's serial, or 0 for none
	length   uint32 // of the packet
	kept     uint32 // of its bytes, those that are here
	verdict  filter.Verdict
	inbound  bool
	injected bool
	wire     bool // natLen bytes with the addresses of WireGuard's side are in front
}

const (
	recordLen = 40
	natLen    = 32 // two addresses, as packet.Parsed.Addrs gives them
)

const (
	flagInbound = 1 << iota
	flagInjected
	flagWire
)

// size returns how many bytes the record takes with its packet.
func (r *record) size() int {
	n := recordLen + int(r.kept)
	if r.wire {
		n += natLen
	}
	return n
}

// encode writes r to b, of recordLen bytes.
func (r *record) encode(b []byte) {
	_ = b[recordLen-1]
	le := binary.LittleEndian
	le.PutUint64(b, uint64(r.now))
	le.PutUint64(b[8:], r.lost)
	le.PutUint64(b[16:], uint64(r.peer))
	le.PutUint32(b[24:], r.policy)
	le.PutUint32(b[28:], r.length)
	le.PutUint32(b[32:], r.kept)
	b[36], b[37], b[38], b[39] = byte(r.verdict.Response), byte(r.verdict.Reason), 0, 0
	if r.inbound {
		b[38] |= flagInbound
	}
	if r.injected {
		b[38] |= flagInjected
	}
	if r.wire {
		b[38] |= flagWire
	}
}

// decode makes r what encode wrote.
func (r *record) decode(b []byte) {
	_ = b[recordLen-1]
	le := binary.LittleEndian
	*r = record{
		now: int64(le.Uint64(b)), lost: le.Uint64(b[8:]), peer: flow.PeerID(le.Uint64(b[16:])),
		policy: le.Uint32(b[24:]), length: le.Uint32(b[28:]), kept: le.Uint32(b[32:]),
		verdict: filter.Verdict{Response: filter.Response(b[36]), Reason: filter.Reason(b[37])},
		inbound: b[38]&flagInbound != 0, injected: b[38]&flagInjected != 0, wire: b[38]&flagWire != 0,
	}
}

// isTranslated reports whether o's two views differ.
func isTranslated(o *tstun.Observation) bool {
	return len(o.Wire) > 0 && len(o.Packet) > 0 && &o.Wire[0] != &o.Packet[0]
}

// putAddrs writes the addresses of pkt to b, of natLen bytes; zeros if it has none.
func putAddrs(b, pkt []byte) {
	var p packet.Parsed
	p.Decode(pkt)
	for i, half := range addrHalves(&p) {
		binary.BigEndian.PutUint64(b[8*i:], half)
	}
}

func addrHalves(p *packet.Parsed) [4]uint64 {
	a, b, c, d := p.Addrs()
	return [4]uint64{a, b, c, d}
}

// addrs returns what putAddrs wrote, or zero Addrs for zeros.
func addrs(b []byte) (src, dst netip.Addr) {
	if [natLen]byte(b) == [natLen]byte{} {
		return src, dst
	}
	return netip.AddrFrom16([16]byte(b[:16])).Unmap(), netip.AddrFrom16([16]byte(b[16:natLen])).Unmap()
}
