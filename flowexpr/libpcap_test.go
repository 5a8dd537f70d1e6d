package flowexpr_test

import (
	"encoding/binary"
	"net/netip"
)

// verdict is what libpcap's program says of a packet: past the packet's end, it stops and
// rejects the packet, whatever the expression says.
type verdict uint8

const (
	no verdict = iota
	yes
	stopped
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

func (v verdict) and(w func() verdict) verdict {
	if v == yes {
		return w()
	}
	return v
}

func (v verdict) or(w func() verdict) verdict {
	if v == no {
		return w()
	}
	return v
}

func (v verdict) not() verdict {
	if v == stopped {
		return v
	}
	return yes - v
}

// libpcap is a packet as the programs see it that libpcap 1.10.3 makes for raw IP, without
// its optimizer.
type libpcap []byte

// is reports whether the bytes from off on satisfy f.
func (b libpcap) is(off, size int, f func(uint32) bool) verdict {
	if off+size > len(b) {
		return stopped
	}
	var word [4]byte
	copy(word[4-size:], b[off:off+size])
	return verdictOf(f(binary.BigEndian.Uint32(word[:])))
}

func equals(n uint32) func(uint32) bool { return func(m uint32) bool { return m == n } }

func (b libpcap) version(v uint8) verdict {
	return b.is(0, 1, func(first uint32) bool { return first>>4 == uint32(v) })
}

// proto looks at the next protocol, and behind an IPv6 fragment header that is the first
// header. v 0: of both versions.
func (b libpcap) proto(v, proto uint8) verdict {
	in4 := func() verdict {
		return b.version(4).and(func() verdict { return b.is(9, 1, equals(uint32(proto))) })
	}
	in6 := func() verdict {
		return b.version(6).and(func() verdict {
			return b.is(6, 1, equals(uint32(proto))).or(func() verdict {
				return b.is(6, 1, equals(44)).and(func() verdict { return b.is(40, 1, equals(uint32(proto))) })
			})
		})
	}
	switch v {
	case 4:
		return in4()
	case 6:
		return in6()
	}
	return in4().or(in6)
}

// atEnds joins the questions about source and destination.
func atEnds(ends string, src, dst func() verdict) verdict {
	switch ends {
	case "src ":
		return src()
	case "dst ":
		return dst()
	case "src and dst ", "dst and src ":
		return src().and(dst)
	}
	return src().or(dst)
}

func (b libpcap) address(ends string, addr netip.Addr, mask []byte) verdict {
	net, version, src := addr.AsSlice(), uint8(4), 12
	if addr.Is6() {
		version, src = 6, 8
	}
	at := func(off int) func() verdict {
		return func() verdict {
			v := b.version(version)
			for i := 0; i < len(net); i += 4 {
				v = v.and(func() verdict {
					return b.is(off+i, 4, func(word uint32) bool {
						return word&binary.BigEndian.Uint32(mask[i:]) == binary.BigEndian.Uint32(net[i:])
					})
				})
			}
			return v
		}
	}
	return atEnds(ends, at(src), at(src+len(net)))
}

// ports looks at the ports behind an IPv6 header, and behind an IPv4 header with options in
// all but later fragments.
func (b libpcap) ports(ends string, protos []uint8, first, last uint16) verdict {
	inRange := func(port uint32) bool { return uint32(first) <= port && port <= uint32(last) }
	at := func(off int) verdict {
		return atEnds(ends, func() verdict { return b.is(off, 2, inRange) }, func() verdict { return b.is(off+2, 2, inRange) })
	}
	v := no
	for _, version := range []uint8{6, 4} {
		for _, proto := range protos {
			v = v.or(func() verdict {
				return b.version(version).and(func() verdict {
					if version == 6 {
						return b.is(6, 1, equals(uint32(proto))).and(func() verdict { return at(40) })
					}
					first := func() verdict { return b.is(6, 2, func(f uint32) bool { return f&0x1fff == 0 }) }
					return b.is(9, 1, equals(uint32(proto))).and(first).and(func() verdict { return at(int(b[0]&0xf) * 4) })
				})
			})
		}
	}
	return v
}
