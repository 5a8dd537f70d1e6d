package hostnet

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func prefixList(s string) (all []netip.Prefix) {
	for _, p := range strings.Fields(s) {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func TestValidate(t *testing.T) {
	good := netip.MustParsePrefix("10.0.0.1/8")
	tests := []struct {
		name string
		in   Config
		want string // each line of the error, or nothing
	}{
		{"nothing", Config{}, ""},
		{"address twice", Config{Addresses: []netip.Prefix{good, good}}, ""},
		{"no address", Config{Addresses: []netip.Prefix{good, {}}}, "address 2 (invalid Prefix): is not an address with a prefix length"},
		{"unspecified", Config{Addresses: prefixList("0.0.0.0/0 ::/64")}, "address 1 (0.0.0.0/0): cannot be the address of an interface\naddress 2 (::/64): cannot be the address of an interface"},
		{"multicast", Config{Addresses: prefixList("ff02::1/128")}, "address 1 (ff02::1/128): cannot be the address of an interface"},
		{"mapped", Config{Addresses: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.1"), 128)}}, "address 1 (::ffff:10.0.0.1/128): is IPv4 in IPv6: write 10.0.0.1"},
		{"two lengths", Config{Addresses: prefixList("10.0.0.1/8 10.0.0.1/9 fd00::1/64 fd00::1/128")}, "address 4 (fd00::1/128): is address 3 with another prefix length, and IPv6 has it once"},
		{"host bits", Config{Routes: []netip.Prefix{good}}, "route 1 (10.0.0.1/8): has host bits: write 10.0.0.0/8"},
		{"no route", Config{Routes: []netip.Prefix{{}}}, "route 1 (invalid Prefix): is not a prefix"},
		{"endpoint", Config{Endpoints: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:0")}}, "endpoint 1 (10.0.0.1:0): is not an address and a port"},
		{"server", Config{DNS: []netip.Addr{{}}}, "DNS server 1 (invalid IP): cannot be the address of a server"},
		{"search", Config{Search: []string{"a.b", "corp_x.example.", "a b", "-a", "a..b", "x\nnameserver 1.1.1.1", "", strings.Repeat("a", 64)}},
			"search domain 3 (a b): is not a domain name\nsearch domain 4 (-a): is not a domain name\nsearch domain 5 (a..b): is not a domain name\n" +
				"search domain 6 (x\nnameserver 1.1.1.1): is not a domain name\nsearch domain 7 (): is not a domain name\nsearch domain 8 (" + strings.Repeat("a", 64) + "): is not a domain name"},
		{"MTU", Config{MTU: 67}, "MTU 67: must be between 68 and 65535, or 0 to have it computed"},
		{"negative MTU", Config{MTU: -1}, "MTU -1: must be between 68 and 65535, or 0 to have it computed"},
		{"table", Config{Table: -2}, "Table -2: must be auto, off, or a number between 1 and 4294967295"},
		{"table too large", Config{Table: 1 << 32}, "Table 4294967296: must be auto, off, or a number between 1 and 4294967295"},
		{"mark of main", Config{FwMark: 254, Routes: prefixList("0.0.0.0/0")}, "FwMark 254: a full tunnel keeps its routes in the table of that number, which is one of the kernel's own: choose another mark, such as 51820"},
		{"mark of main, no table needed", Config{FwMark: 254, Routes: prefixList("10.0.0.0/8")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := tt.in.validate(); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for name, good := range map[string]bool{
		"wg0": true, "tun-1.a_b=+": true, "a23456789012345": true,
		"": false, ".": false, "..": false, "a234567890123456": false, "a/b": false, "-a": false, "a b": false, "a\nb": false, "all": false, "default": false, "ä": false,
	} {
		if err := checkName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestLayout(t *testing.T) {
	tests := []struct {
		name, addrs, routes string
		table               Table
		plain, marked       string
	}{
		{"split", "10.1.0.1/24", "10.1.0.0/24 10.1.0.7/32 10.2.0.0/16", 0, "10.2.0.0/16", ""},
		{"wider than the network", "10.1.0.1/24", "10.1.0.0/16", 0, "10.1.0.0/16", ""},
		{"IPv4 /32 brings no route, IPv6 /128 does", "10.1.0.1/32 fd01::1/128", "10.1.0.1/32 fd01::1/128", 0, "10.1.0.1/32", ""},
		{"default", "", "0.0.0.0/0 ::/0 10.0.0.0/8", 0, "10.0.0.0/8", "0.0.0.0/0 ::/0"},
		{"halves", "", "0.0.0.0/1 128.0.0.0/1", 0, "", "0.0.0.0/1 128.0.0.0/1"},
		{"halves of IPv6", "", "8000::/1 ::/1", 0, "", "8000::/1 ::/1"},
		{"one half", "", "0.0.0.0/1 8000::/1", 0, "0.0.0.0/1 8000::/1", ""},
		{"two peers have it", "", "10.0.0.0/8 10.0.0.0/8 ::/0 ::/0", 0, "10.0.0.0/8", "::/0"},
		{"off", "", "0.0.0.0/0 10.0.0.0/8", TableOff, "", ""},
		{"number", "10.1.0.1/24", "0.0.0.0/0 10.1.0.0/24", 7, "0.0.0.0/0 10.1.0.0/24", ""},
		{"main", "10.1.0.1/24", "10.1.0.0/24 10.2.0.0/24", 254, "10.2.0.0/24", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Addresses: prefixList(tt.addrs), Routes: prefixList(tt.routes), Table: tt.table}
			l := c.layout()
			if got, want := fmt.Sprint(l.plain, l.marked), fmt.Sprint(prefixList(tt.plain), prefixList(tt.marked)); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}
