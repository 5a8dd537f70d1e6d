package tstun

import (
	"errors"
	"fmt"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun/internal/gso"
	"tstun/ipproto"
)

// segments hands out the packets that an injection stands for: itself, or the
// segments of a super-packet. The zero value has none.
type segments struct {
	whole    []byte // a packet that needs no cutting
	splitter gso.Splitter
	flat     []byte // a PacketBuffer's bytes in one piece; reused
}

// load takes the injection over and releases its PacketBuffer.
func (s *segments) load(i injection) error {
	if i.pkt == nil {
		s.whole = i.data
		return nil
	}
	defer i.release()
	s.flat = s.flat[:0]
	for _, part := range i.pkt.AsSlices() {
		s.flat = append(s.flat, part...)
	}
	opts, ok, err := gsoOptions(i.pkt)
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

func (s *segments) more() bool { return len(s.whole) > 0 || s.splitter.More() }

// size returns the length of the next packet.
func (s *segments) size() int {
	if len(s.whole) > 0 {
		return len(s.whole)
	}
	return s.splitter.Size()
}

// next copies the next packet to dst. One that does not fit stays the next.
func (s *segments) next(dst []byte) (int, error) {
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

// abandon gives up what next has not handed out and returns how many packets
// that were.
func (s *segments) abandon() int {
	n := s.splitter.Remaining()
	if len(s.whole) > 0 {
		n = 1
	}
	s.whole, s.splitter = nil, gso.Splitter{}
	return n
}
