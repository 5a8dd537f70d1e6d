package inject

import (
	"errors"
	"fmt"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun/internal/gso"
	"tstun/ipproto"
)

// Segments yields the packets that an injected one stands for: itself, or the
// segments of a super-packet. The zero value has none.
type Segments struct {
	whole    []byte // a packet that needs no cutting
	splitter gso.Splitter
	flat     []byte // a PacketBuffer's bytes in one piece; reused
}

// Load takes p over and releases its PacketBuffer. What was left of the packet
// before is lost.
func (s *Segments) Load(p Packet) error {
	if p.Buffer == nil {
		s.whole = p.Data
		return nil
	}
	defer p.Release()
	s.flat = s.flat[:0]
	for _, part := range p.Buffer.AsSlices() {
		s.flat = append(s.flat, part...)
	}
	opts, ok, err := gsoOptions(p.Buffer)
	if err != nil {
		return err
	}
	if !ok {
		s.whole = s.flat
		return nil
	}
	return s.splitter.Reset(s.flat, opts)
}

// gsoOptions says how to cut pkt, if it is to be cut.
func gsoOptions(pkt *stack.PacketBuffer) (gso.Options, bool, error) {
	g := pkt.GSOOptions
	switch g.Type {
	case stack.GSONone, stack.GSOGvisor: // the latter was cut by gVisor itself
		return gso.Options{}, false, nil
	case stack.GSOTCPv4, stack.GSOTCPv6:
		if g.MSS == 0 {
			return gso.Options{}, false, errors.New("GSO without a segment size")
		}
		return gso.Options{Proto: ipproto.TCP, Transport: int(g.L3HdrLen), Size: int(g.MSS)}, true, nil
	default:
		return gso.Options{}, false, fmt.Errorf("unknown GSO type %d", g.Type)
	}
}

// maxTCPHeader is the longest TCP header in bytes, with options. RFC 9293 §3.1
const maxTCPHeader = 60

// LongestSegment returns an upper bound on the length of the packets that pkt
// stands for, or an error if it cannot be cut.
func LongestSegment(pkt *stack.PacketBuffer) (int, error) {
	opts, cut, err := gsoOptions(pkt)
	if err != nil {
		return 0, err
	}
	if cut {
		return min(pkt.Size(), opts.Transport+maxTCPHeader+opts.Size), nil
	}
	return pkt.Size(), nil
}

// More reports whether Next has a packet.
func (s *Segments) More() bool { return len(s.whole) > 0 || s.splitter.More() }

// Size returns the length of the next packet.
func (s *Segments) Size() int {
	if len(s.whole) > 0 {
		return len(s.whole)
	}
	return s.splitter.Size()
}

// Next copies the next packet to dst. One that does not fit stays the next.
func (s *Segments) Next(dst []byte) (int, error) {
	if len(s.whole) == 0 {
		return s.splitter.Next(dst)
	}
	if len(s.whole) > len(dst) {
		return 0, gso.ErrShortBuffer
	}
	n := copy(dst, s.whole)
	s.whole = nil
	return n, nil
}

// Discard drops what Next has not yielded and returns how many packets that
// were.
func (s *Segments) Discard() int {
	n := s.splitter.Remaining()
	if len(s.whole) > 0 {
		n = 1
	}
	s.whole, s.splitter = nil, gso.Splitter{}
	return n
}
