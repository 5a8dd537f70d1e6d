package gso_test

import (
	"math/rand/v2"

	"tstun/ipproto"
)

// stream makes packets of one flow, one after the other.
type stream struct {
	r *rand.Rand
	shape
	mss int
}

func newStream(r *rand.Rand, v6 bool, proto ipproto.Proto) *stream {
	s := &stream{r: r, mss: 1 + r.IntN(1400)}
	s.shape = shape{
		v6: v6, proto: proto, ttl: 64, df: r.IntN(2) == 0, flags: 0x10, win: 500,
		id: uint16(r.Uint32()), seq: r.Uint32(), ack: r.Uint32(), sport: uint16(r.Uint32()), dport: uint16(r.Uint32()),
	}
	for i := range s.src {
		s.src[i], s.dst[i] = byte(r.Uint32()), byte(r.Uint32())
	}
	if proto == ipproto.TCP && r.IntN(2) == 0 {
		s.options = []byte{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8} // timestamps, RFC 7323
	}
	return s
}

// next returns a packet that follows the one before, most of the time.
func (s *stream) next() []byte {
	r := s.r
	n := s.mss
	if r.IntN(10) == 0 {
		n = r.IntN(n + 1)
	}
	now := s.shape
	now.payload = make([]byte, n)
	for i := range now.payload {
		now.payload[i] = byte(r.Uint32())
	}
	s.seq += uint32(n)
	s.id++
	switch r.IntN(40) {
	case 0:
		now.flags |= 1 << r.IntN(8)
	case 1:
		s.ack++
	case 2:
		now.ttl++
	case 3:
		s.id += 7
	case 4:
		s.seq++
	case 5:
		now.ip = []byte{1, 1, 1, 0}
		if now.v6 {
			now.ip = []byte{byte(now.proto), 0, 1, 4, 0, 0, 0, 0}
		}
	case 6:
		now.df = !now.df
	case 7:
		now.noChecksum = now.proto == ipproto.UDP && !now.noChecksum
	case 8:
		now.payload = nil
	}
	p := now.bytes()
	switch r.IntN(40) {
	case 0:
		p[r.IntN(len(p))] ^= 1 << r.IntN(8)
	case 1:
		p = append(p, 0)
	case 2:
		p = p[:r.IntN(len(p))]
	}
	return p
}
