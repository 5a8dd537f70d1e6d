package craft

import (
	"bytes"
	"encoding/binary"
)

// Extended puts n extension headers of a kind, each 8 bytes long, between
// the IPv6 header of pkt and the rest.
func Extended(pkt []byte, kind byte, n int) []byte {
	out := bytes.Clone(pkt[:40])
	next := pkt[6]
	if n > 0 {
		out[6] = kind
	}
	for i := range n {
		h := [8]byte{kind, 0, 1, 4}
		if i == n-1 {
			h[0] = next
		}
		out = append(out, h[:]...)
	}
	out = append(out, pkt[40:]...)
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-40))
	return out
}
