package flowexpr_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tstun/filter"
	"tstun/flow"
	"tstun/flowexpr"
)

var somePeers = map[string]flow.PeerID{"laptop": 1, "my phone": 2, "or": 3, "tcp": 4, "büro-4": 5, "a\"b\\\xff": 6}

func compile(t testing.TB, text string) *flowexpr.Expr {
	t.Helper()
	e, err := flowexpr.Compile(text, flowexpr.Options{Peers: somePeers})
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return e
}

// TestString holds what is understood of a text.
func TestString(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{" \t\n", ""},
		// Without words of its own, a name has those of the name before it.
		{"tcp dst port 80 or 443 or https", "tcp dst port 80 or tcp dst port 443 or tcp dst port 443"},
		{"host 10.0.0.1 and not (10.0.0.2 or 10.0.0.3)", "host 10.0.0.1 and not (host 10.0.0.2 or host 10.0.0.3)"},
		{"port (80 or 443)", "port 80 or port 443"},
		{"port not 80", "not port 80"},
		{"port 80 and (tcp) or 443", "port 80 and tcp or port 443"},
		{"port 80 and (443 or net 10.1) or 22", "port 80 and (port 443 or net 10.1.0.0/16) or port 22"},
		{"reason no-rule or multicast", "reason no-rule or reason multicast"},
		// and and or are equal, and go from left to right.
		{"tcp or udp and icmp", "tcp or udp and icmp"},
		{"(tcp or udp) and icmp", "tcp or udp and icmp"},
		{"tcp or (udp and icmp)", "tcp or (udp and icmp)"},
		{"!tcp&&udp||not(icmp or !icmp6)", "not tcp and udp or not (icmp or not icmp6)"},
		{"not not tcp", "not not tcp"},
		// Directions.
		{"src 10.0.0.1", "src host 10.0.0.1"},
		{"src or dst port 5", "port 5"},
		{"dst and src net fd00::/8", "src and dst net fd00::/8"},
		{"src 10.0.0.1 or dst 10.0.0.2 or 10.0.0.3", "src host 10.0.0.1 or dst host 10.0.0.2 or dst host 10.0.0.3"},
		{"src 10.0.0.1 and dst port 5", "src host 10.0.0.1 and dst port 5"},
		// Nets.
		{"net 10", "net 10.0.0.0/8"},
		{"net 10/8 or 192.168/16", "net 10.0.0.0/8 or net 192.168.0.0/16"},
		{"net 10.1.2", "net 10.1.2.0/24"},
		{"net 10.1.2.3", "host 10.1.2.3"},
		{"net 0/0 or ::/0", "net 0.0.0.0/0 or net ::/0"},
		{"net 10.0.0.0 mask 255.0.0.0", "net 10.0.0.0/8"},
		{"net 10 mask 255.0.0.0", "net 10.0.0.0/8"},
		{"net 10.0.1.0 mask 255.0.255.0", "net 10.0.1.0 mask 255.0.255.0"},
		{"ip6 net fd00::1 or ::ffff:10.0.0.1", "host fd00::1 or host ::ffff:10.0.0.1"},
		{"net ::ffff:10.0.0.0/104", "net ::ffff:10.0.0.0/104"},
		// Ports.
		{"port 0x50 or http or domain or mdns", "port 80 or tcp port 80 or port 53 or udp port 5353"},
		{"udp portrange 1-2 or 7", "udp portrange 1-2 or udp port 7"},
		{"sctp port domain", "sctp port 53"},
		// Protocols.
		{"ip proto 6 or 1 or \\tcp", "ip proto 6 or icmp or ip proto 6"},
		{"proto 6 or gre or udp", "tcp or proto 47 or udp"},
		{"proto udp or gre", "udp or proto 47"},
		{"ip6 proto ipv6-icmp", "icmp6"},
		{"ip proto ah or 44", "ip proto 51 or ip proto 44"},
		{"tcp and ip", "tcp and ip"},
		// Lengths.
		{"less 5 or greater 6 or len=7", "less 5 or greater 6 or len = 7"},
		{"len<5 or len<=5 or len>5 or len>=5 or len==5 or len!=5 or len >= 0", "less 4 or less 5 or greater 6 or greater 5 or len = 5 or not len = 5 or greater 0"},
		// Our own.
		{"in or inbound or out or outbound", "in or in or out or out"},
		{"dropped or accepted", "dropped or not dropped"},
		{`peer laptop or "my phone" or \or or \tcp or büro-4 or "a\"b\\\xff"`, `peer "laptop" or peer "my phone" or peer "or" or peer "tcp" or peer "büro-4" or peer "a\"b\\\xff"`},
		{"peer tcp or tcp", `peer "tcp" or tcp`},
	}
	for _, tt := range tests {
		e := compile(t, tt.in)
		if e.String() != tt.want {
			t.Errorf("%q: got  %s\nwant %s", tt.in, e, tt.want)
		}
		if again := compile(t, e.String()); again.String() != e.String() {
			t.Errorf("%q: %q, and then %q", tt.in, e, again)
		}
	}
}

// TestErrors holds where each error is, and what it wants. A caret marks the place.
func TestErrors(t *testing.T) {
	tests := []struct{ in, want string }{
		// The form.
		{"tcp ^udp", "and or or"},
		{"host 10.0.0.1 ^port 80", "and or or"},
		{"tcp ^80", "and or or"},
		{"tcp and ^", "want a test"},
		{"tcp and ^or udp", "want a test"},
		{"^and tcp", "want a test"},
		{"not ^", "want a test"},
		{"(^)", "want a test"},
		{"(tcp^", "for the one at byte 0"},
		{"(tcp ^udp)", "closing parenthesis"},
		{"tcp^)", "no parenthesis is open"},
		{"src ^or net 10", "an address"},
		{"port ^", "a port"},
		{"port (^", "a port"},
		{"host (^tcp)", "not looked up"},
		{`host ^"a`, "quotation marks"},
		{`tcp and ^\`, "backslash"},
		{"tcp ^; udp", "between two tests"},
		// Words.
		{"^tpc", "such as tcp"},
		{"^TCP", "such as tcp"},
		{"^prot 6", "such as port or proto"},
		{"^workstation", "host, net, port or tcp"},
		{"^laptop", "want peer"},
		{"^http", "want port"},
		{"proto 6 or udp or ^gre", "want proto"},
		{"dropped and ^no-rule", "want reason"},
		{"^80", "such as port"},
		{"^80-90", "such as port"},
		{"tcp or ^80", "such as port"},
		{"(port 80) or ^443", "such as port"},
		{"^10.0.0.1", "host, net or src"},
		{"^fd00::/8", "host, net or src"},
		{`^"tcp"`, "want peer"},
		{"^mask", "no such word"},
		// What tcpdump has and this has not.
		{"^tcp[13] & 2 != 0", "bytes of a packet"},
		{"tcp and ^ip[6:2]", "bytes of a packet"},
		{"^ip[", "bytes of a packet"},
		{"tcp ^& udp", "arithmetic"},
		{"^ether host 1:2:3:4:5:6", "no link layer"},
		{"^vlan 5", "no link layer"},
		{"^arp", "no link layer"},
		{"^gateway 10.0.0.1", "want peer or host"},
		{"ip6 ^protochain 6", "want proto"},
		{"ip ^multicast", "dst net 224.0.0.0/4"},
		{"ip ^broadcast", "dst host"},
		{"^ah", "ip proto 51"},
		{"port 80 or ^ether", "no link layer"},
		{"^rulenum 5", "another firewall"},
		// Words that do not go together.
		{"^tcp host 10.0.0.1", "tcp and host"},
		{"^tcp src 80", "tcp src port"},
		{"^icmp net 10", "icmp and net"},
		{"^ip port 80", "ip and port"},
		{"^icmp dst port 80", "icmp and port"},
		{"src ^proto 6", "without src or dst"},
		{"^tcp proto 6", "ip proto"},
		{"ip6 host ^10.0.0.1", "of IPv6"},
		{"ip net ^fd00::/8", "of IPv4"},
		// Addresses.
		{"host ^example.com", "not looked up"},
		{"host ^10.1", "behind net"},
		{"host ^10.0.0.256", "0 to 255"},
		{"host ^10.0.0.01", "leading zeros"},
		{"host ^10.0.0.0/8", "behind net"},
		{"host ^fe80::1%eth0", "want fe80::1"},
		{"host ^fd00:::1", "IPv6 address"},
		{"net ^10.1.2.3/8", "want net 10.0.0.0/8 or host 10.1.2.3"},
		{"net ^fd00::1/8", "want net fd00::/8"},
		{"net ^10.0.0.0/33", "0 to 32"},
		{"net ^fd00::/129", "0 to 128"},
		{"net ^10.0.0.0/08", "0 to 32"},
		{"net ^10.0.0.0/", "0 to 32"},
		{"net ^0", "0.0.0.0/0"},
		{"net ^256", "10.0.0.0/8"},
		{"net ^localnet", "not looked up"},
		{"net ^fe80::1%eth0/64", "10.1 or fd00::/8"},
		{"net ^10.1.1.0 mask 255.0.255.0", "want net 10.0.1.0 mask 255.0.255.0"},
		{"net ^fd00:: mask 255.0.0.0", "PREFIX/LENGTH"},
		{"net 10.0.0.0 mask ^255", "four numbers"},
		{"net 10.0.0.0 mask ^", "four numbers"},
		// Ports.
		{"port ^65536", "0 to 65535"},
		{"port ^99999999999999999999999", "0 to 65535"},
		{"port ^080", "leading zeros"},
		{"port ^0x10000", "0 to 65535"},
		{"port ^80-90", "portrange"},
		{"port ^htpp", "such as http"},
		{"port ^nosuchservice", "such as https"},
		{"udp port ^ssh", "a service of tcp: want its number, 22"},
		{"portrange ^90-80", "want 80-90"},
		{"portrange ^80-", "two ports"},
		{"portrange ^ssh-http", "two ports"},
		// Protocols.
		{"proto ^0", "reserved"},
		{"proto ^255", "reserved"},
		{"proto ^256", "1 to 254"},
		{"proto ^44", "ip proto 44"},
		{"ip6 proto ^ah", "ip proto 51"},
		{"proto ^tpc", "such as tcp"},
		// Lengths.
		{"less ^x", "number of bytes"},
		{"less ^", "number of bytes"},
		{"len ^5", "len > 1000"},
		{"len > ^", "number of bytes"},
		{"len < ^0", "larger number"},
		{"greater ^4294967296", "number of bytes"},
		// Names.
		{"reason ^no-rul", "such as no-rule"},
		{"reason ^none", "such as "},
		{"reason ^rule", "such as no-rule"},
		{"reason ^zzzzzz", "such as no-rule"},
		{"peer ^labtop", "such as laptop"},
		{`peer ^"my fone"`, `such as "my phone"`},
		{"peer ^and tcp", "the name of a peer"},
		{"peer laptop or ^gateway", "the name of a peer"},
	}
	for _, tt := range tests {
		pos := strings.Index(tt.in, "^")
		text := tt.in[:pos] + tt.in[pos+1:]
		_, err := flowexpr.Compile(text, flowexpr.Options{Peers: somePeers})
		var e *flowexpr.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: no error of this package: %v", text, err)
			continue
		}
		if e.Pos != pos || !strings.HasPrefix(text[pos:], e.Token) || (e.Token == "") != (pos == len(text)) {
			t.Errorf("%q: at %d, %q; want at %d", text, e.Pos, e.Token, pos)
		}
		if !strings.Contains(e.Message, tt.want) || !strings.Contains(err.Error(), fmt.Sprintf("at byte %d", pos)) {
			t.Errorf("%q: %v; want %q", text, err, tt.want)
		}
	}
}

// TestReasons: each reason has a name that may be asked about.
func TestReasons(t *testing.T) {
	for _, r := range filter.Reasons() {
		e := compile(t, "reason "+r.String())
		for _, other := range filter.Reasons() {
			s := flowexpr.Refused(0, anyHost, anyPeer, filter.Inbound, other)
			if e.Match(&s) != (other == r) {
				t.Errorf("reason %v of %v", r, other)
			}
		}
	}
}

// TestRecordsHaveNoLength: in an expression for records, lengths are errors.
func TestRecordsHaveNoLength(t *testing.T) {
	for _, text := range []string{"less 5", "greater 5", "len > 5"} {
		_, err := flowexpr.Compile("tcp and "+text, flowexpr.Options{Records: true})
		if e := (*flowexpr.Error)(nil); !errors.As(err, &e) || e.Pos != 8 {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestNoPeers(t *testing.T) {
	if _, err := flowexpr.Compile("peer laptop", flowexpr.Options{}); err == nil || !strings.Contains(err.Error(), "no peers have names") {
		t.Error(err)
	}
}

// TestBounds: text and depth have bounds, and what is within is compiled.
func TestBounds(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("(", n) + "tcp" + strings.Repeat(")", n) }
	right := func(n int) string { return strings.Repeat("tcp and (", n) + "udp and icmp" + strings.Repeat(")", n) }
	const maxText, maxDepth = 16384, 100
	long := "tcp" + strings.Repeat(" or tcp", (maxText-3)/7)
	tests := []struct {
		name string
		in   string
		ok   bool
	}{
		{"deep", deep(maxDepth), true},
		{"too deep", deep(maxDepth + 1), false},
		{"nots", strings.Repeat("!", maxDepth) + "tcp", true},
		{"too many nots", strings.Repeat("!", maxDepth+1) + "tcp", false},
		{"accepted counts as a not", strings.Repeat("!", maxDepth) + "accepted", false},
		{"names", "port " + strings.Repeat("(", maxDepth+1) + "80" + strings.Repeat(")", maxDepth+1), false},
		{"not names", "port " + strings.Repeat("!", maxDepth+1) + "80", false},
		{"one behind another", strings.Repeat("(tcp) or ", 200) + "not udp", true},
		{"deep on the right", right(maxDepth), true},
		{"too deep on the right", right(maxDepth + 1), false},
		{"long", long, true},
		{"too long", long + strings.Repeat(" ", maxText+1-len(long)), false},
		{"too long when written out", "src and dst port 1" + strings.Repeat(" or 1", 1000), false},
	}
	for _, tt := range tests {
		e, err := flowexpr.Compile(tt.in, flowexpr.Options{})
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if wrong := (*flowexpr.Error)(nil); err != nil && (!errors.As(err, &wrong) || wrong.Pos > len(tt.in)) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err == nil {
			compile(t, e.String())
		}
	}
}
