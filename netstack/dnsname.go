package netstack

import (
	"fmt"
	"net/netip"
	"strings"
)

const (
	maxName  = 253 // RFC 1035 §3.1: 255 bytes, less the first length and the root's
	maxLabel = 63  // RFC 1035 §2.3.4
)

// isDomainName reports whether s is the name of a host or a service (labels
// with an underscore), with or without a final dot. The root is one. Digits
// and dots alone are not.
func isDomainName(s string) bool {
	if s == "." {
		return true
	}
	s = strings.TrimSuffix(s, ".")
	if len(s) > maxName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return strings.Trim(s, "0123456789.") != ""
}

func isLabel(s string) bool {
	if s == "" || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// key returns what two spellings of a name have in common.
func key(name string) string { return strings.TrimSuffix(lower(name), ".") }

// lower is for ASCII only: other bytes of a name are not letters.
func lower(s string) string {
	return string(lowerBytes([]byte(s)))
}

func lowerBytes(b []byte) []byte {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return b
}

// absolute returns the name with its final dot.
func absolute(name string) string {
	if strings.HasSuffix(name, ".") {
		return name
	}
	return name + "."
}

// hostName returns a name of Hosts as a result: like one from a server if it
// has a domain, and else as it is.
func hostName(name string) string {
	name = strings.TrimSuffix(name, ".")
	if strings.Contains(name, ".") {
		return absolute(name)
	}
	return name
}

// isLocalhost is for a key (RFC 6761 §6.3).
func isLocalhost(k string) bool {
	return k == "localhost" || strings.HasSuffix(k, ".localhost")
}

// isOnion is for a key: DNS has no such names (RFC 7686 §2).
func isOnion(k string) bool {
	return k == "onion" || strings.HasSuffix(k, ".onion")
}

// candidates returns the absolute names to ask servers for, in their order.
func (s *settings) candidates(name string) []string {
	var all []string
	add := func(fqdn string) {
		k := key(fqdn)
		if len(k) <= maxName && !isLocalhost(k) && !isOnion(k) {
			all = append(all, fqdn)
		}
	}
	if strings.HasSuffix(name, ".") {
		add(name)
		return all
	}
	dotted := strings.Contains(name, ".")
	if dotted {
		add(absolute(name))
	}
	for _, domain := range s.search {
		add(absolute(name + "." + strings.TrimSuffix(domain, ".")))
	}
	if !dotted {
		add(absolute(name))
	}
	return all
}

// reverseName returns the name that an address has in DNS (RFC 1035 §3.5,
// RFC 3596 §2.5).
func reverseName(a netip.Addr) string {
	var b strings.Builder
	raw := a.AsSlice()
	for i := len(raw) - 1; i >= 0; i-- {
		if a.Is4() {
			fmt.Fprintf(&b, "%d.", raw[i])
		} else {
			fmt.Fprintf(&b, "%x.%x.", raw[i]&15, raw[i]>>4)
		}
	}
	if a.Is4() {
		return b.String() + "in-addr.arpa."
	}
	return b.String() + "ip6.arpa."
}
