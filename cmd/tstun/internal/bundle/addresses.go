package bundle

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
)

// kept are the prefixes whose bits stay, since they say what kind of address it is: the
// filter drops some of them. In each, other bits are replaced.
var kept = prefixes(
	"10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4", // RFC 1918, 6598, 3927, 1112
	"2000::/3", "fc00::/7", "fe80::/10", "ff00::/8", // RFC 4291, 4193
)

// fixed are prefixes in which addresses are the same on all hosts, and stay.
var fixed = prefixes(
	"0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/24", "255.255.255.255/32",
	"::/127", "ff02::/112",
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

// addressMap replaces addresses one to one: two that have their first n bits in common
// have the first n of their replacements in common, and no more. Each bit is inverted or
// not, as a secret and the bits before it say (as Xu et al. do in "Prefix-preserving IP
// address anonymization", 2002). The zero value has a secret that everybody knows.
type addressMap struct{ secret [32]byte }

// addr returns what stands for a. An IPv4 address in IPv6 is treated as the former, and
// its zone is left out.
func (m *addressMap) addr(a netip.Addr) netip.Addr {
	b, _ := m.bits(a, a.BitLen())
	return b
}

// bits replaces the first n bits of a and returns how many of them could have changed.
func (m *addressMap) bits(a netip.Addr, n int) (b netip.Addr, free int) {
	if a.Is4In6() {
		b, free := m.bits(a.Unmap(), max(n-96, 0))
		return netip.AddrFrom16(b.As16()), free
	}
	in := a.AsSlice()
	out := append([]byte{}, in...)
	for i := range n {
		node := netip.PrefixFrom(a.WithZone(""), i).Masked()
		if stays(node) {
			continue
		}
		free++
		if m.inverts(node) {
			out[i/8] ^= 0x80 >> (i % 8)
		}
	}
	b, _ = netip.AddrFromSlice(out)
	return b, free
}

// stays reports whether the bit behind a prefix stays as it is.
func stays(node netip.Prefix) bool {
	for _, p := range kept {
		if node.Bits() < p.Bits() && node.Contains(p.Addr()) {
			return true
		}
	}
	for _, p := range fixed {
		if node.Bits() < p.Bits() && node.Contains(p.Addr()) || node.Bits() >= p.Bits() && p.Contains(node.Addr()) {
			return true
		}
	}
	return false
}

func (m *addressMap) inverts(node netip.Prefix) bool {
	h := hmac.New(sha256.New, m.secret[:])
	text, _ := node.MarshalBinary() // it does not fail
	_, _ = h.Write(text)            // nor does this
	return h.Sum(nil)[0]&1 != 0
}

// prefix returns what stands for p: a prefix of the same length, which contains what
// stands for the addresses in p. Bits behind the length stay zero if they are.
func (m *addressMap) prefix(p netip.Prefix) netip.Prefix {
	q := netip.PrefixFrom(m.addr(p.Addr()), p.Bits())
	if p.Masked() == p {
		q = q.Masked()
	}
	return q
}

// wide is how few bits of a prefix that can change make it too wide to tell of anybody.
const wide = 12

// isWide reports whether the prefix p, or the address that is one, may stand for itself.
func (m *addressMap) isWide(p netip.Prefix) bool {
	_, free := m.bits(p.Addr(), p.Bits())
	return free < wide
}

// covering returns the prefixes that together are all addresses from first to last.
func covering(first, last netip.Addr) (all []netip.Prefix) {
	for first.IsValid() && first.Compare(last) <= 0 {
		n := first.BitLen()
		for n > 0 {
			wider := netip.PrefixFrom(first, n-1)
			if wider.Masked().Addr() != first || lastOf(wider).Compare(last) > 0 {
				break
			}
			n--
		}
		p := netip.PrefixFrom(first, n)
		all = append(all, p)
		first = lastOf(p).Next()
	}
	return all
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
