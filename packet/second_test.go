package packet_test

import (
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"tstun/ipproto"
)

// opinion is what gopacket's decoders make of a packet. Its own way from
// layer to layer is not used: it stops at every fragment.
type opinion struct {
	ok         bool // decoded to the end, with nothing cut
	version    uint8
	src, dst   netip.Addr
	sport      uint16
	dport      uint16
	flags      uint8 // TCP
	typ, code  uint8 // ICMP
	proto      ipproto.Proto
	payload    int // bytes behind the transport header, or the IP headers
	isFragment bool
	first      bool
	more       bool
	id         uint32
	offset     int
	data       int // bytes of IP payload in the fragment
	before     int // bytes of header that count toward the datagram's limit

	totalZero    bool    // IPv4 total length or IPv6 payload length is 0
	extensions   []uint8 // kinds, in order, with the one that could not be decoded
	badOptions   bool    // IPv4 options that gopacket stops at, or a source route
	badRouting   bool    // of type 0, or with segments left
	udpZero      bool    // UDP length 0
	shortICMPv6  bool    // less than 8 bytes
	otherVersion bool    // the ICMP of the other IP version
}

// truncated is gopacket's DecodeFeedback.
type truncated bool

func (t *truncated) SetTruncated() { *t = true }

func secondOpinion(b []byte) opinion {
	var cut truncated
	var o opinion
	var payload []byte
	if len(b) == 0 {
		return o
	}
	switch b[0] >> 4 {
	case 4:
		payload = o.ip4(b, &cut)
	case 6:
		payload = o.ip6(b, &cut)
	}
	if payload != nil && (!o.isFragment || o.first) {
		o.ok = o.transport(payload, &cut)
	} else {
		o.ok = payload != nil
		o.payload = len(payload)
	}
	o.ok = o.ok && !bool(cut)
	return o
}

func (o *opinion) ip4(b []byte, cut *truncated) []byte {
	var ip layers.IPv4
	err := ip.DecodeFromBytes(b, cut)
	if err != nil && ip.Contents == nil {
		return nil
	}
	if err != nil {
		// gopacket stops at odd options. They are blanked for it to go on.
		o.badOptions = true
		b = append([]byte(nil), b...)
		clear(b[20:len(ip.Contents)])
		*cut = false
		if ip.DecodeFromBytes(b, cut) != nil {
			return nil
		}
	}
	for _, opt := range ip.Options {
		// The pointer counts from the type, OptionData begins at the pointer.
		route := opt.OptionType == 131 || opt.OptionType == 137
		if route && (len(opt.OptionData) == 0 || opt.OptionData[0] < 4 || opt.OptionData[0] <= opt.OptionLength) {
			o.badOptions = true
		}
	}
	o.version, o.proto = 4, ipproto.Proto(ip.Protocol)
	o.src, _ = netip.AddrFromSlice(ip.SrcIP)
	o.dst, _ = netip.AddrFromSlice(ip.DstIP)
	o.totalZero = b[2] == 0 && b[3] == 0
	o.more = ip.Flags&layers.IPv4MoreFragments != 0
	o.offset, o.id = int(ip.FragOffset)*8, uint32(ip.Id)
	o.isFragment, o.first = o.more || o.offset != 0, o.offset == 0
	o.data, o.before = len(ip.Payload), len(ip.Contents)
	return ip.Payload[:len(ip.Payload):len(ip.Payload)]
}

func (o *opinion) ip6(b []byte, cut *truncated) []byte {
	var ip layers.IPv6
	// Its error is about hop-by-hop options, or about an empty payload.
	if err := ip.DecodeFromBytes(b, cut); err != nil && ip.Contents == nil {
		return nil
	}
	o.version, o.proto = 6, ipproto.Proto(ip.NextHeader)
	o.src, _ = netip.AddrFromSlice(ip.SrcIP)
	o.dst, _ = netip.AddrFromSlice(ip.DstIP)
	o.totalZero = ip.Length == 0
	if len(b) < 40+int(ip.Length) {
		return nil
	}
	payload := b[40 : 40+int(ip.Length)]
	*cut = false
	for {
		next := uint8(o.proto)
		switch next {
		case 0, 43, 44, 51, 60:
		default:
			return payload
		}
		o.extensions = append(o.extensions, next)
		size := o.extension(next, payload, cut)
		if size == 0 {
			return nil
		}
		o.before += size
		payload = payload[size:]
		if next == 44 {
			o.before -= size
			if o.isFragment {
				o.data = len(payload)
			}
			if o.isFragment && !o.first {
				return payload
			}
		}
	}
}

// extension decodes one extension header, sets the protocol that it names,
// and returns its length, 0 for an impossible one. Intended difference:
// Decode does not read options, so their errors do not count.
func (o *opinion) extension(kind uint8, b []byte, cut *truncated) (size int) {
	next := layers.IPProtocol(0)
	switch kind {
	case 0:
		var h layers.IPv6HopByHop
		_ = h.DecodeFromBytes(b, cut)
		next, size = h.NextHeader, len(h.Contents)
	case 60:
		var h layers.IPv6Destination
		_ = h.DecodeFromBytes(b, cut)
		next, size = h.NextHeader, len(h.Contents)
	case 51:
		var h layers.IPSecAH
		if h.DecodeFromBytes(b, cut) == nil {
			next, size = h.NextHeader, len(h.Contents)
		}
	case 44:
		var h layers.IPv6Fragment
		if h.DecodeFromBytes(b, cut) != nil {
			return 0
		}
		next, size = h.NextHeader, len(h.Contents)
		if h.FragmentOffset != 0 || h.MoreFragments {
			o.isFragment, o.first = true, h.FragmentOffset == 0
			o.offset, o.more, o.id = int(h.FragmentOffset)*8, h.MoreFragments, h.Identification
		}
	case 43:
		p := gopacket.NewPacket(b, layers.LayerTypeIPv6Routing, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
		h, ok := p.Layer(layers.LayerTypeIPv6Routing).(*layers.IPv6Routing)
		if !ok {
			return 0
		}
		o.badRouting = o.badRouting || h.RoutingType == 0 || h.SegmentsLeft != 0
		next, size = h.NextHeader, len(h.Contents)
	}
	o.proto = ipproto.Proto(next)
	return size
}

// transport reports whether gopacket decodes the transport header.
func (o *opinion) transport(b []byte, cut *truncated) bool {
	o.payload = len(b)
	switch o.proto {
	case ipproto.TCP:
		var h layers.TCP
		inOptions := truncated(false)
		err := h.DecodeFromBytes(b, &inOptions)
		// Any other error is about TCP options, which Decode does not read.
		if err != nil && (len(b) < 20 || h.DataOffset < 5 || int(h.DataOffset)*4 > len(b)) {
			return false
		}
		o.sport, o.dport, o.flags, o.payload = uint16(h.SrcPort), uint16(h.DstPort), b[13], len(b)-int(h.DataOffset)*4
	case ipproto.UDP:
		var h layers.UDP
		fragmented := truncated(false)
		if h.DecodeFromBytes(b, &fragmented) != nil || bool(fragmented) && !o.isFragment {
			return false
		}
		o.sport, o.dport, o.payload, o.udpZero = uint16(h.SrcPort), uint16(h.DstPort), len(h.Payload), h.Length == 0
		if o.isFragment {
			o.payload = len(b) - 8
		}
	case ipproto.SCTP:
		var h layers.SCTP
		if h.DecodeFromBytes(b, cut) != nil {
			return false
		}
		o.sport, o.dport, o.payload = uint16(h.SrcPort), uint16(h.DstPort), len(h.Payload)
	case ipproto.ICMPv4:
		if o.otherVersion = o.version == 6; o.otherVersion {
			return true
		}
		var h layers.ICMPv4
		if h.DecodeFromBytes(b, cut) != nil {
			return false
		}
		o.typ, o.code, o.payload = h.TypeCode.Type(), h.TypeCode.Code(), len(h.Payload)
	case ipproto.ICMPv6:
		if o.otherVersion = o.version == 4; o.otherVersion {
			return true
		}
		var h layers.ICMPv6
		if h.DecodeFromBytes(b, cut) != nil {
			return false
		}
		o.shortICMPv6 = len(h.Payload) < 4
		o.typ, o.code, o.payload = h.TypeCode.Type(), h.TypeCode.Code(), len(h.Payload)-4
	}
	return true
}
