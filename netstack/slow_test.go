package netstack

import (
	"bytes"
	"encoding/binary"

	"tstun/packet"
)

// slowMerge is put and finish done the obvious way, on bytes: each packet
// joins the one before it if it may, and every checksum is computed from
// scratch.
func slowMerge(pkts [][]byte) [][]byte {
	var out [][]byte
	var run slowRun
	for _, pkt := range pkts {
		if run.takes(pkt) {
			run.join(pkt)
			out[len(out)-1] = run.bytes
			continue
		}
		run = newSlowRun(pkt)
		out = append(out, run.bytes)
	}
	return out
}

type slowRun struct {
	bytes  []byte
	ip     int  // length of the IP header
	header int  // of all headers
	size   int  // payload of the first
	full   bool // nothing more may join
}

func newSlowRun(pkt []byte) slowRun {
	r := slowRun{bytes: bytes.Clone(pkt), full: true}
	if r.ip = 20; pkt[0]>>4 == 6 {
		r.ip = 40
	}
	if !headerIsRight(pkt) {
		return r
	}
	isTCP := r.ip == 40 && pkt[6] == 6 || r.ip == 20 && pkt[0] == 0x45 && pkt[9] == 6 && pkt[6]&0x3f == 0 && pkt[7] == 0
	if !isTCP {
		return r
	}
	r.header = r.ip + int(pkt[r.ip+12]>>4)*4
	r.size = len(pkt) - r.header
	r.full = pkt[r.ip+13] != 0x10 || r.size == 0 || r.size%2 != 0
	return r
}

// headerIsRight adds up an IPv4 header, word by word. IPv6 has no checksum.
func headerIsRight(pkt []byte) bool {
	if pkt[0]>>4 == 6 {
		return true
	}
	sum := 0
	for i := 0; i < 20; i += 2 {
		sum += int(pkt[i])<<8 | int(pkt[i+1])
	}
	return sum%0xffff == 0
}

func (r *slowRun) takes(pkt []byte) bool {
	if !headerIsRight(pkt) || r.full || len(pkt) <= r.header || len(pkt)-r.header > r.size || len(r.bytes)+len(pkt)-r.header > 65535 {
		return false
	}
	if pkt[0] != r.bytes[0] || pkt[r.ip+13]&^8 != 0x10 {
		return false
	}
	want, got := bytes.Clone(r.bytes[:r.header]), bytes.Clone(pkt[:r.header])
	seq := binary.BigEndian.Uint32(want[r.ip+4:]) + uint32(len(r.bytes)-r.header)
	binary.BigEndian.PutUint32(want[r.ip+4:], seq)
	for _, h := range [][]byte{want, got} { // what may differ
		if r.ip == 20 {
			copy(h[2:6], make([]byte, 4))
			copy(h[10:12], make([]byte, 2))
		} else {
			copy(h[4:6], make([]byte, 2))
		}
		h[r.ip+13] &^= 8
		copy(h[r.ip+16:r.ip+18], make([]byte, 2))
	}
	return bytes.Equal(want, got)
}

func (r *slowRun) join(pkt []byte) {
	push := pkt[r.ip+13] & 8
	r.full = push != 0 || len(pkt)-r.header < r.size
	r.bytes = append(r.bytes, pkt[r.header:]...)
	r.bytes[r.ip+13] |= push
	if r.ip == 20 {
		binary.BigEndian.PutUint16(r.bytes[2:], uint16(len(r.bytes)))
	} else {
		binary.BigEndian.PutUint16(r.bytes[4:], uint16(len(r.bytes)-40))
	}
	setSums(r.bytes, r.ip)
}

// setSums computes the checksums of a TCP packet.
func setSums(pkt []byte, ip int) {
	var p packet.Parsed
	if ip == 20 {
		binary.BigEndian.PutUint16(pkt[10:], 0)
		binary.BigEndian.PutUint16(pkt[10:], ^packet.Checksum(pkt[:20], 0))
	}
	p.Decode(pkt)
	binary.BigEndian.PutUint16(pkt[ip+16:], 0)
	pseudo := packet.PseudoHeaderSum(p.Proto(), p.Src.Addr(), p.Dst.Addr(), len(pkt)-ip)
	binary.BigEndian.PutUint16(pkt[ip+16:], ^packet.Checksum(pkt[ip:], pseudo))
}
