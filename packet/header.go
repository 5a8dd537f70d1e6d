package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"tstun/ipproto"
)

// Header is the header of a packet: an IP header, alone or with the header of a
// transport protocol behind it. The IP version is that of the addresses.
type Header interface {
	// Len returns the length of the headers in bytes.
	Len() int
	// Marshal writes the headers into the first Len bytes of buf. The rest of
	// buf is the payload, which lengths and checksums cover. buf remains the
	// caller's. After an error its first Len bytes are undefined.
	Marshal(buf []byte) error
}

// Generate returns a new packet of h and payload, or nil if Marshal fails: the addresses
// are invalid or of two families, or the packet would be too long. payload remains the
// caller's.
func Generate(h Header, payload []byte) []byte {
	n := h.Len()
	buf := make([]byte, n+len(payload))
	copy(buf[n:], payload)
	if err := h.Marshal(buf); err != nil {
		return nil
	}
	return buf
}

const defaultTTL = 64 // RFC 1700, "IP time to live parameter"

// IPHeader is an IP header without options or extension headers.
type IPHeader struct {
	// Src and Dst are both IPv4 or both IPv6; an IPv4-mapped IPv6 address is
	// IPv6. Zones are ignored.
	Src, Dst netip.Addr
	// Proto is the protocol of the payload.
	Proto ipproto.Proto
	// ID is the identification of an IPv4 packet. 0 sets the bit "don't
	// fragment": such a packet needs no identification (RFC 6864 §4.1).
	ID uint16
	// TTL is the time to live or hop limit; 0 stands for 64.
	TTL uint8

	tos uint8 // type of service of an IPv4 packet
}

// Response returns the header of a reply: source and destination swapped, the same
// protocol, all other fields at their defaults.
func (h IPHeader) Response() IPHeader {
	return IPHeader{Src: h.Dst, Dst: h.Src, Proto: h.Proto}
}

// Len returns 20 for IPv4, 40 for IPv6.
func (h IPHeader) Len() int {
	if h.Src.Is4() {
		return ip4Len
	}
	return ip6Len
}

var (
	errFamily = errors.New("packet: source and destination are not two addresses of one family")
	errShort  = errors.New("packet: buffer is shorter than the headers")
)

// Marshal implements [Header]. The IPv4 header checksum is set.
func (h IPHeader) Marshal(buf []byte) error {
	if !h.Src.IsValid() || !h.Dst.IsValid() || h.Src.Is4() != h.Dst.Is4() {
		return errFamily
	}
	if len(buf) < h.Len() {
		return errShort
	}
	ttl := h.TTL
	if ttl == 0 {
		ttl = defaultTTL
	}
	if h.Src.Is4() {
		return h.marshal4(buf, ttl)
	}
	return h.marshal6(buf, ttl)
}

func (h IPHeader) marshal4(buf []byte, ttl uint8) error {
	if len(buf) > MaxLen {
		return fmt.Errorf("packet: %d bytes exceed an IPv4 packet's %d", len(buf), MaxLen)
	}
	var flags uint16
	if h.ID == 0 {
		flags = 0x4000 // don't fragment
	}
	buf[0], buf[1] = 0x45, h.tos
	binary.BigEndian.PutUint16(buf[2:], uint16(len(buf)))
	binary.BigEndian.PutUint16(buf[4:], h.ID)
	binary.BigEndian.PutUint16(buf[6:], flags)
	buf[8], buf[9] = ttl, uint8(h.Proto)
	buf[10], buf[11] = 0, 0
	src, dst := h.Src.As4(), h.Dst.As4()
	copy(buf[12:], src[:])
	copy(buf[16:], dst[:])
	binary.BigEndian.PutUint16(buf[10:], ^Checksum(buf[:ip4Len], 0))
	return nil
}

func (h IPHeader) marshal6(buf []byte, ttl uint8) error {
	n := len(buf) - ip6Len
	if n > MaxLen {
		return fmt.Errorf("packet: %d bytes exceed an IPv6 packet's payload of %d", n, MaxLen)
	}
	binary.BigEndian.PutUint32(buf, 6<<28)
	binary.BigEndian.PutUint16(buf[4:], uint16(n))
	buf[6], buf[7] = uint8(h.Proto), ttl
	src, dst := h.Src.As16(), h.Dst.As16()
	copy(buf[8:], src[:])
	copy(buf[24:], dst[:])
	return nil
}

// marshalTransport marshals h into buf and sets the checksum of the transport header
// behind it, at offset at. buf has the rest of that header already. pseudo says whether
// the checksum covers the pseudo-header.
func (h IPHeader) marshalTransport(buf []byte, at int, pseudo bool) error {
	if err := h.Marshal(buf); err != nil {
		return err
	}
	t := buf[h.Len():]
	var initial uint16
	if pseudo {
		initial = PseudoHeaderSum(h.Proto, h.Src, h.Dst, len(t))
	}
	t[at], t[at+1] = 0, 0
	sum := ^Checksum(t, initial)
	if h.Proto == ipproto.UDP && sum == 0 {
		sum = 0xffff // RFC 768: 0 stands for no checksum
	}
	binary.BigEndian.PutUint16(t[at:], sum)
	return nil
}
