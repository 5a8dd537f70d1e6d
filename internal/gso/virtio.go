package gso

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tstun/ipproto"
	"tstun/packet"
)

// VirtioLen is the length of an encoded Virtio header: struct virtio_net_hdr of
// linux/virtio_net.h.
const VirtioLen = 10

// Flags and types of linux/virtio_net.h.
const (
	needsChecksum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM

	typeNone  = 0    // VIRTIO_NET_HDR_GSO_NONE
	typeTCPv4 = 1    // VIRTIO_NET_HDR_GSO_TCPV4
	typeTCPv6 = 4    // VIRTIO_NET_HDR_GSO_TCPV6
	typeUDP   = 5    // VIRTIO_NET_HDR_GSO_UDP_L4
	typeECN   = 0x80 // VIRTIO_NET_HDR_GSO_ECN, beside a TCP type
)

// Virtio is the header that stands in front of each packet of a TUN with
// IFF_VNET_HDR. The zero value describes a packet with nothing left to do.
type Virtio struct {
	Flags          uint8
	Type           uint8
	HeaderLen      uint16 // a hint; not to be relied on when reading
	Size           uint16 // payload bytes of each segment
	ChecksumStart  uint16 // offset of what is to be summed, and where the transport header is
	ChecksumOffset uint16 // of the checksum field, from there
}

// Decode reads the header at the front of b, which is at least VirtioLen long.
func (v *Virtio) Decode(b []byte) {
	_ = b[VirtioLen-1]
	*v = Virtio{
		Flags:          b[0],
		Type:           b[1],
		HeaderLen:      binary.NativeEndian.Uint16(b[2:]),
		Size:           binary.NativeEndian.Uint16(b[4:]),
		ChecksumStart:  binary.NativeEndian.Uint16(b[6:]),
		ChecksumOffset: binary.NativeEndian.Uint16(b[8:]),
	}
}

// Encode writes the header to the front of b, which is at least VirtioLen
// long.
func (v Virtio) Encode(b []byte) {
	_ = b[VirtioLen-1]
	b[0], b[1] = v.Flags, v.Type
	binary.NativeEndian.PutUint16(b[2:], v.HeaderLen)
	binary.NativeEndian.PutUint16(b[4:], v.Size)
	binary.NativeEndian.PutUint16(b[6:], v.ChecksumStart)
	binary.NativeEndian.PutUint16(b[8:], v.ChecksumOffset)
}

// Super reports whether the packet is a super-packet, which is to be cut.
func (v Virtio) Super() bool { return v.Type != typeNone }

// Complete writes the checksum of pkt, if it is still to be computed: the sum
// from ChecksumStart on, which includes that of the pseudo-header in the field
// itself. It fails, and leaves pkt as it is, when the field is not inside.
// Like the kernel it writes a 0 as 0xffff, which is the same number in one's
// complement and the only one of the two that UDP may use.
func (v Virtio) Complete(pkt []byte) error {
	if v.Flags&needsChecksum == 0 {
		return nil
	}
	start := int(v.ChecksumStart)
	field := start + int(v.ChecksumOffset)
	if field+2 > len(pkt) {
		return fmt.Errorf("gso: checksum field at %d+%d in a packet of %d bytes", start, v.ChecksumOffset, len(pkt))
	}
	c := ^packet.Checksum(pkt[start:], 0)
	if c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(pkt[field:], c)
	return nil
}

// Options says how the super-packet pkt is to be cut. It fails when header and
// packet contradict each other; [Splitter.Reset] checks the rest.
func (v Virtio) Options(pkt []byte) (Options, error) {
	o := Options{Size: int(v.Size), Partial: v.Flags&needsChecksum != 0}
	version := byte(0)
	switch v.Type {
	case typeTCPv4, typeTCPv4 | typeECN:
		o.Proto, version = ipproto.TCP, 4
	case typeTCPv6, typeTCPv6 | typeECN:
		o.Proto, version = ipproto.TCP, 6
	case typeUDP:
		o.Proto = ipproto.UDP
	default:
		return Options{}, fmt.Errorf("gso: unknown type %#x", v.Type)
	}
	if len(pkt) < minIPv4Header || version != 0 && pkt[0]>>4 != version {
		return Options{}, fmt.Errorf("gso: type %#x on a packet of %d bytes that is no IPv%d", v.Type, len(pkt), version)
	}
	transport, proto := findTransport(pkt)
	if o.Partial {
		if err := v.checkChecksum(pkt, o.Proto, transport); err != nil {
			return Options{}, err
		}
		// The kernel found its way through extension headers that are not
		// known here.
		transport = int(v.ChecksumStart)
	} else if proto != o.Proto {
		return Options{}, fmt.Errorf("gso: type %#x on a packet of protocol %v", v.Type, proto)
	}
	o.Transport = transport
	return o, nil
}

// checkChecksum compares what the header says about the checksum with the
// protocol and, for IPv4, with where the transport header is.
func (v Virtio) checkChecksum(pkt []byte, proto ipproto.Proto, transport int) error {
	offset := tcpChecksumAt
	if proto == ipproto.UDP {
		offset = udpChecksumAt
	}
	if int(v.ChecksumOffset) != offset {
		return fmt.Errorf("gso: checksum of %v at %d", proto, v.ChecksumOffset)
	}
	if pkt[0]>>4 == 4 && (int(v.ChecksumStart) != transport || pkt[9] != byte(proto)) {
		return errors.New("gso: checksum of another header")
	}
	return nil
}

// maxExtensions is how many IPv6 extension headers are walked.
const maxExtensions = 8

// findTransport walks to the transport header of pkt, at least 20 bytes long.
// The offset may be behind the end. An unknown extension header is returned
// as the protocol.
func findTransport(pkt []byte) (int, ipproto.Proto) {
	if pkt[0]>>4 == 4 {
		return int(pkt[0]&0x0f) * 4, ipproto.Proto(pkt[9])
	}
	at, next := ipv6HeaderLen, pkt[6]
	for range maxExtensions {
		if next != 0 && next != 43 && next != 60 || at+2 > len(pkt) { // RFC 8200 §4.3, §4.4, §4.6
			break
		}
		next, at = pkt[at], at+8+int(pkt[at+1])*8
	}
	return at, ipproto.Proto(next)
}
