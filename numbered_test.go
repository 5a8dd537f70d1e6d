package tstun_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
)

// numbers are at the front of a payload: group, index in the group, and size
// of the group, which are the packets that one call of the sender made.
const numbers = 8 + 2 + 2

// numbered fills p, at least numbers long, with the numbers and bytes that
// follow from them.
func numbered(p []byte, group uint64, index, of int) []byte {
	binary.BigEndian.PutUint64(p, group)
	binary.BigEndian.PutUint16(p[8:], uint16(index))
	binary.BigEndian.PutUint16(p[10:], uint16(of))
	for i := range p[numbers:] {
		p[numbers+i] = filler(group, index, i)
	}
	return p
}

func filler(group uint64, index, i int) byte { return byte(int(group)*31 + index*7 + i) }

// numberedGroup is a group in one piece, of packets of size bytes but for the
// last, which has last.
func numberedGroup(group uint64, of, size, last int) []byte {
	b := make([]byte, (of-1)*size+last)
	for i := range of {
		numbered(b[i*size:min((i+1)*size, len(b))], group, i, of)
	}
	return b
}

// numberedSingles is numberedGroup where each packet is a group of its own,
// from group on.
func numberedSingles(group uint64, of, size, last int) []byte {
	b := make([]byte, (of-1)*size+last)
	for i := range of {
		numbered(b[i*size:min((i+1)*size, len(b))], group+uint64(i), 0, 1)
	}
	return b
}

// stream checks that numbered packets come once and in order. One goroutine
// at a time calls accept and gone; the sender keeps to seen and wait.
type stream struct {
	mayLose bool // whole groups, which are counted

	group     uint64 // the next, or the one that is coming
	index, of int    // index 0: none is coming
	packets   uint64
	lost      uint64        // groups
	seen      atomic.Uint64 // groups that came or are lost
	progress  chan struct{} // holds a note that seen has changed
}

func newStream(mayLose bool) *stream {
	return &stream{mayLose: mayLose, progress: make(chan struct{}, 1)}
}

// accept takes the payload of the next packet.
func (s *stream) accept(p []byte) error {
	if len(p) < numbers {
		return fmt.Errorf("%d bytes", len(p))
	}
	group := binary.BigEndian.Uint64(p)
	index, of := int(binary.BigEndian.Uint16(p[8:])), int(binary.BigEndian.Uint16(p[10:]))
	for i, b := range p[numbers:] {
		if b != filler(group, index, i) {
			return fmt.Errorf("packet %d of group %d: byte %d of %d is wrong", index, group, numbers+i, len(p))
		}
	}
	if s.mayLose && s.index == 0 && group > s.group {
		s.lost += group - s.group
		s.group = group
	}
	if group != s.group || index != s.index || index > 0 && of != s.of || index >= of {
		return fmt.Errorf("packet %d of %d of group %d came, not %d of group %d", index, of, group, s.index, s.group)
	}
	s.packets++
	s.of = of
	if s.index++; s.index == of {
		s.index = 0
		s.group++
		s.advance()
	}
	return nil
}

func (s *stream) advance() {
	s.seen.Store(s.group)
	select {
	case s.progress <- struct{}{}:
	default:
	}
}

// wait waits until so many groups were seen; it reports false when expired
// comes first.
func (s *stream) wait(groups uint64, expired <-chan struct{}) bool {
	for s.seen.Load() < groups {
		select {
		case <-s.progress:
		case <-expired:
			return false
		}
	}
	return true
}

// randomSizes returns a number of packets that fit into one super-packet, and
// the sizes of all and of the last.
func randomSizes(r *rand.Rand, atMost, longest int) (of, size, last int) {
	size = numbers + r.IntN(longest-numbers+1)
	of = 1 + r.IntN(min(atMost, 65000/size))
	return of, size, numbers + r.IntN(size-numbers+1)
}
