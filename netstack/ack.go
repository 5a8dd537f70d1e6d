package netstack

import (
	"encoding/binary"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun/packet"
)

const (
	// ackTick is half of the longest time that an acknowledgement is held back.
	// RFC 1122 §4.2.3.2 allows 500 ms, and Linux takes 40.
	ackTick = time.Millisecond
	// ackFlows is how many connections can have one held back at once. Of two
	// with the same place, the later one has it.
	ackFlows = 64
)

// acks delays TCP's acknowledgements (RFC 1122 §4.2.3.2), which gVisor does not
// do: one that would go alone, for a single segment, waits a little for data to
// go with. Where requests and answers take turns it always does, and half of the
// packets are saved. A second one is not held back, nor is one for a full-sized
// segment, one that tells of a gap, or one that only opens the window.
type acks struct {
	inject func(*stack.PacketBuffer) // sends, and takes no reference
	every  time.Duration             // ackTick, but in tests

	mu     sync.Mutex // guards all below
	flows  [ackFlows]ackFlow
	timer  *time.Timer // nil: none was needed yet
	armed  bool
	closed bool
}

// ackFlow is what is known of a connection that sent last in its place.
type ackFlow struct {
	key  ackKey
	sent uint32              // the last number that was acknowledged
	held *stack.PacketBuffer // nil: none
	ack  uint32              // that of held
	due  bool                // held was there at the last tick
}

// ackKey tells connections apart.
type ackKey struct {
	addrs [2 * ipv6AddrLen]byte // of IPv4 the first eight
	ports [4]byte
}

const ipv6AddrLen = 16

// place returns the index into flows.
func (k *ackKey) place() int {
	h := binary.BigEndian.Uint32(k.ports[:]) ^ binary.BigEndian.Uint32(k.addrs[4:]) ^ binary.BigEndian.Uint32(k.addrs[28:])
	return int(h * 0x9e3779b1 >> 26) // Fibonacci hashing; 26 leaves six bits
}

// segmentToAck is what a segment that leaves says to acks.
type segmentToAck struct {
	key   ackKey
	ack   uint32
	alone bool // it is an acknowledgement and nothing else
}

// ackOf returns false for a packet that acknowledges nothing.
func ackOf(pkt *stack.PacketBuffer) (s segmentToAck, ok bool) {
	if pkt.TransportProtocolNumber != header.TCPProtocolNumber {
		return s, false
	}
	ip, tcp := pkt.NetworkHeader().Slice(), pkt.TransportHeader().Slice()
	if len(tcp) < header.TCPMinimumSize || len(ip) < header.IPv4MinimumSize || tcp[13]&byte(packet.TCPAck) == 0 {
		return s, false
	}
	switch {
	case ip[0]>>4 == 4:
		copy(s.key.addrs[:], ip[12:20])
	case len(ip) >= header.IPv6MinimumSize:
		copy(s.key.addrs[:], ip[8:40])
	default:
		return s, false
	}
	copy(s.key.ports[:], tcp)
	s.ack = binary.BigEndian.Uint32(tcp[8:])
	s.alone = pkt.Data().Size() == 0 && tcp[13] == byte(packet.TCPAck) && !hasSACK(tcp)
	return s, true
}

// hasSACK reports whether a segment may have options besides the timestamp,
// which gVisor puts first. Of those only SACK is in an acknowledgement.
func hasSACK(tcp []byte) bool {
	const timestamp = 0x0101080a // two NOPs, kind and length (RFC 7323 appendix A)
	options := tcp[header.TCPMinimumSize:]
	switch len(options) {
	case 0:
		return false
	case 12:
		return binary.BigEndian.Uint32(options) != timestamp
	}
	return true
}

// hold reports whether pkt is held back, of which it takes a reference then.
// before, if not nil, is to be sent first, and is the caller's. full is the
// length of a segment's payload that is acknowledged at once.
func (a *acks) hold(pkt *stack.PacketBuffer, full uint32) (held bool, before *stack.PacketBuffer) {
	s, ok := ackOf(pkt)
	if !ok {
		return false, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false, nil
	}
	f := &a.flows[s.key.place()]
	known := f.key == s.key
	if f.held != nil {
		if known && int32(s.ack-f.ack) >= 0 {
			f.held.DecRef() // pkt says the same, and perhaps more
		} else {
			before = f.held
		}
		*f = ackFlow{key: s.key, sent: s.ack}
		return false, before
	}
	advance := s.ack - f.sent
	if !known || !s.alone || advance == 0 || advance >= full {
		f.key, f.sent = s.key, s.ack
		return false, nil
	}
	f.held, f.ack, f.due = pkt.IncRef(), s.ack, false
	a.arm()
	return true, nil
}

// arm makes sure that there is a next tick. a.mu is held.
func (a *acks) arm() {
	switch {
	case a.armed:
		return
	case a.timer == nil:
		a.timer = time.AfterFunc(a.every, a.tick)
	default:
		a.timer.Reset(a.every)
	}
	a.armed = true
}

// tick sends what was there at the last one.
func (a *acks) tick() {
	for _, pkt := range a.due() {
		a.inject(pkt)
		pkt.DecRef()
	}
}

// due returns what was there at the last tick, with its reference.
func (a *acks) due() (late []*stack.PacketBuffer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.armed = false
	for i := range a.flows {
		f := &a.flows[i]
		switch {
		case f.held == nil:
		case f.due:
			late = append(late, f.held)
			f.held, f.sent = nil, f.ack
		default:
			f.due = true
			a.arm()
		}
	}
	return late
}

// close drops what is held back: its connections are about to be reset.
func (a *acks) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
	for i := range a.flows {
		if f := &a.flows[i]; f.held != nil {
			f.held.DecRef()
			f.held = nil
		}
	}
}
