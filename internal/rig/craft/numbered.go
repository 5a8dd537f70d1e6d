package craft

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
)

// Numbers is the length of what is at the front of a payload: group, index in the
// group, and size of the group, which are the packets that one call of the sender
// made.
const Numbers = 8 + 2 + 2

// Numbered fills p, at least Numbers long, with the numbers and bytes that follow
// from them.
func Numbered(p []byte, group uint64, index, of int) []byte {
	binary.BigEndian.PutUint64(p, group)
	binary.BigEndian.PutUint16(p[8:], uint16(index))
	binary.BigEndian.PutUint16(p[10:], uint16(of))
	for i := range p[Numbers:] {
		p[Numbers+i] = filler(group, index, i)
	}
	return p
}

func filler(group uint64, index, i int) byte { return byte(int(group)*31 + index*7 + i) }

// NumberedGroup returns a group in one piece, of packets of size bytes but for the
// last, which has last.
func NumberedGroup(group uint64, of, size, last int) []byte {
	b := make([]byte, (of-1)*size+last)
	for i := range of {
		Numbered(b[i*size:min((i+1)*size, len(b))], group, i, of)
	}
	return b
}

// NumberedSingles returns packets in one piece, each of which is a group of its own,
// from group on.
func NumberedSingles(group uint64, of, size, last int) []byte {
	b := make([]byte, (of-1)*size+last)
	for i := range of {
		Numbered(b[i*size:min((i+1)*size, len(b))], group+uint64(i), 0, 1)
	}
	return b
}

// Stream checks that numbered packets come once and in order. One goroutine at a
// time calls Accept; the sender keeps to Seen and Wait.
type Stream struct {
	MayLose bool // whole groups, which are counted

	Group     uint64 // the next, or the one that is coming
	Index, of int    // Index 0: none is coming
	Packets   uint64
	Lost      uint64        // groups
	Seen      atomic.Uint64 // groups that came or are lost
	progress  chan struct{} // holds a note that Seen has changed
}

// NewStream returns a Stream. With mayLose, whole groups may be missing.
func NewStream(mayLose bool) *Stream {
	return &Stream{MayLose: mayLose, progress: make(chan struct{}, 1)}
}

// Accept takes the payload of the next packet.
func (s *Stream) Accept(p []byte) error {
	if len(p) < Numbers {
		return fmt.Errorf("%d bytes", len(p))
	}
	group := binary.BigEndian.Uint64(p)
	index, of := int(binary.BigEndian.Uint16(p[8:])), int(binary.BigEndian.Uint16(p[10:]))
	for i, b := range p[Numbers:] {
		if b != filler(group, index, i) {
			return fmt.Errorf("packet %d of group %d: byte %d of %d is wrong", index, group, Numbers+i, len(p))
		}
	}
	if s.MayLose && s.Index == 0 && group > s.Group {
		s.Lost += group - s.Group
		s.Group = group
	}
	if group != s.Group || index != s.Index || index > 0 && of != s.of || index >= of {
		return fmt.Errorf("packet %d of %d of group %d came, not %d of group %d", index, of, group, s.Index, s.Group)
	}
	s.Packets++
	s.of = of
	if s.Index++; s.Index == of {
		s.Index = 0
		s.Group++
		s.advance()
	}
	return nil
}

func (s *Stream) advance() {
	s.Seen.Store(s.Group)
	select {
	case s.progress <- struct{}{}:
	default:
	}
}

// Wait waits until so many groups were seen. It reports false if expired comes
// first.
func (s *Stream) Wait(groups uint64, expired <-chan struct{}) bool {
	for s.Seen.Load() < groups {
		select {
		case <-s.progress:
		case <-expired:
			return false
		}
	}
	return true
}

// RandomSizes returns a number of packets that fit into one super-packet, and
// the sizes of all and of the last.
func RandomSizes(r *rand.Rand, atMost, longest int) (of, size, last int) {
	size = Numbers + r.IntN(longest-Numbers+1)
	of = 1 + r.IntN(min(atMost, 65000/size))
	return of, size, Numbers + r.IntN(size-Numbers+1)
}
