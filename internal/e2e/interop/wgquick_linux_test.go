package interop_test

import (
	"flag"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The same file, but for keys and the last digit of addresses, goes to wg-quick
// at one end and to tstun at the other.
func TestWGQuickAtTheOtherEnd(t *testing.T) {
	modes(t, func(t *testing.T, mode string) {
		l := newLab(t)
		l.theirs.run("ip link del " + theirDev)
		file := func(end int) string {
			return l.conf(end, fmt.Sprintf("Address = 10.9.0.%d/24\nAddress = fd09::%[1]d/64\nListenPort = 51820\nMTU = 1380", end+1),
				fmt.Sprintf("AllowedIPs = 10.9.0.%d/32, fd09::%[1]d/128\nEndpoint = 192.0.2.%[1]d:51820\nPersistentKeepalive = 25", 2-end))
		}
		theirs := l.file(theirDev+".conf", file(1))
		l.theirs.run("wg-quick up " + theirs)
		ways, args := l.ways(mode)
		l.up(mode, l.file(ourDev+".conf", file(0)), args...)
		l.theirs.ping("10.9.0.1", "-M", "do", "-s", "1352")
		l.theirs.ping("fd09::1")
		for _, w := range ways {
			w.moveTCP(t)
			w.echoUDP(t)
		}
		if mode == "kernel" {
			l.wantAgreement(t)
		}
		l.theirs.run("wg-quick down " + theirs)
	})
}

var all = flag.Bool("all", false, "compare with wg-quick by all files: go test ./internal/e2e/interop -args -all")

// setUps are files that wg-quick and tstun set the host's network up by, and
// in what they differ, which docs/compatibility.md explains. The first four are
// always compared.
var setUps = []struct {
	name, iface, peer, differ string
}{
	{"split", "", "AllowedIPs = 10.9.0.0/24, 10.9.0.7/32, 10.0.0.0/8, fd09::7/128, fd00::/8\nEndpoint = 198.51.100.7:1", ""},
	{"full", "", "AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 198.51.100.7:1", ""},
	{"halves", "", "AllowedIPs = 0.0.0.0/1, 128.0.0.0/1\nEndpoint = 198.51.100.7:1", asDefaultRoute},
	{"endpoints of 1400 and 9000", "", "AllowedIPs = 10.8.0.0/16\nEndpoint = 203.0.113.2:1\n[Peer]\nPublicKey = " + anotherKey + "\nAllowedIPs = 10.7.0.0/16\nEndpoint = 203.0.114.2:1", smallestMTU},
	{"addresses without a network", "Address = 10.10.0.1, fd10::1", "AllowedIPs = 10.10.0.2/32, fd10::2/128\nEndpoint = 198.51.100.7:1", ""},
	{"full of IPv4 beside others", "", "AllowedIPs = 0.0.0.0/0, 10.8.0.0/16, 10.9.0.7/32, fd08::/48\nEndpoint = [2001:db8::7]:1", ""},
	{"full of IPv6", "", "AllowedIPs = ::/0, 10.8.0.0/16\nEndpoint = 198.51.100.7:1", ""},
	{"full with a mark", "FwMark = 0x1234", "AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 198.51.100.7:1", ""},
	{"split with a mark", "FwMark = 99", "AllowedIPs = 10.8.0.0/16\nEndpoint = 198.51.100.7:1", ""},
	{"table off", "Table = off", "AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 198.51.100.7:1", ""},
	{"table by number", "Table = 1234", "AllowedIPs = 0.0.0.0/0, ::/0, 10.9.0.0/24\nEndpoint = 198.51.100.7:1", ""},
	{"table auto, MTU", "Table = auto\nMTU = 1300", "AllowedIPs = 10.8.0.0/16, fd08::/48\nEndpoint = 198.51.100.7:1", ""},
	{"without an endpoint", "", "AllowedIPs = 10.8.0.0/16", ""},
	{"a large MTU", "MTU = 9000", "AllowedIPs = 10.8.0.0/16, fd08::/48\nEndpoint = 198.51.100.7:1", ""},
}

// Two halves are a default route to tstun, and two routes to wg-quick.
const asDefaultRoute = `- /proc/sys/net/ipv4/conf/all/src_valid_mark:0
- mark:off
- route:0.0.0.0/1 dev interop0 scope link 
- route:128.0.0.0/1 dev interop0 scope link 
+ /proc/sys/net/ipv4/conf/all/src_valid_mark:1
+ IPv4:29998:	from all lookup main suppress_prefixlength 0
+ IPv4:29999:	not from all fwmark 0xca6c lookup 51820
+ iifname != "interop0" ip daddr 10.9.0.1 fib saddr type != local drop
+ mark:0xca6c
+ meta l4proto udp meta mark 0x0000ca6c ct mark set meta mark
+ meta l4proto udp meta mark set ct mark
+ route:0.0.0.0/1 dev interop0 table 51820 scope link 
+ route:128.0.0.0/1 dev interop0 table 51820 scope link 
+ type filter hook postrouting priority mangle; policy accept;
+ type filter hook prerouting priority mangle; policy accept;
+ type filter hook prerouting priority raw; policy accept;
`

// The smallest MTU counts to tstun, and the largest to wg-quick.
const smallestMTU = `- /proc/sys/net/ipv6/conf/interop0/mtu:8920
- interop0: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 8920 state UNKNOWN mode DEFAULT group default \    link/none 
+ /proc/sys/net/ipv6/conf/interop0/mtu:1320
+ interop0: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1320 state UNKNOWN mode DEFAULT group default \    link/none 
`

var anotherKey = strings.Repeat("B", 42) + "E="

// lists are what a tunnel sets up, as programs show it.
const lists = `ip -o route show table all | sed s/^/route:/
ip -o -6 route show table all | sed s/^/route:/
ip rule | sed s/^/IPv4:/
ip -6 rule | sed s/^/IPv6:/
ip -o addr show dev interop0
ip -o link show dev interop0
nft list ruleset
wg show interop0 fwmark | sed s/^/mark:/
grep -H . /proc/sys/net/ipv4/conf/all/src_valid_mark
grep -H . /proc/sys/net/ipv[46]/conf/interop0/* 2>/dev/null || true # some cannot be read`

// TestSetsUpAsWGQuick has wg-quick and tstun set up the same host by the same
// file: wg-quick on the kernel's WireGuard, where there is one, else on
// wireguard-go.
func TestSetsUpAsWGQuick(t *testing.T) {
	tests := setUps
	if !*all {
		tests = tests[:4]
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newCable(t)
			l.needWireGuard()
			l.paths()
			before := l.ours.left()
			file := l.file(ourDev+".conf", l.conf(0, "Address = 10.9.0.1/24, fd09::1/64\n"+tt.iface, tt.peer))
			l.ours.run("wg-quick up " + file)
			theirs := l.ours.effects()
			l.ours.run("wg-quick down " + file)
			l.ours.set("net/ipv4/conf/all/src_valid_mark", "0") // which it leaves at 1
			l.ours.wantLeft(before, "wg-quick down")
			p := l.up("kernel", file)
			if got := difference(theirs, l.ours.effects()); got != tt.differ {
				t.Errorf("wg-quick (-) and tstun (+) differ in:\n%swant:\n%s", got, tt.differ)
			}
			p.end()
			l.ours.wantLeft(before, "tstun")
		})
	}
}

// needWireGuard skips the test where wg-quick finds nothing to run on.
func (l *lab) needWireGuard() {
	l.t.Helper()
	out, err := l.theirs.try("ip", "link", "add", theirDev, "type", "wireguard")
	if _, missing := exec.LookPath("wireguard-go"); err != nil && missing != nil {
		l.t.Skipf("needs the kernel's WireGuard or wireguard-go: %s", out)
	}
}

// paths gives our host default routes, endpoints behind links of 1400 and 9000
// bytes, and rules of its own.
func (l *lab) paths() {
	l.t.Helper()
	l.ours.addrs("eth0", "2001:db8::1/64")
	l.ours.run("ip route add default via 192.0.2.2")
	l.ours.run("ip -6 route add default via 2001:db8::2")
	l.ours.run("ip rule add from 203.0.113.1 table main priority 30000")
	l.ours.run("ip -6 rule add from 2001:db8:9::1 table main priority 30000")
	for name, mtu := range map[string]int{"small": 1400, "large": 9000} {
		if err := l.ours.Connect(name, l.ours.NS, name+"1"); err != nil {
			l.t.Fatal(err)
		}
		for _, dev := range []string{name, name + "1"} {
			l.ours.run(fmt.Sprintf("ip link set %s mtu %d", dev, mtu))
		}
	}
	l.ours.addrs("small", "203.0.113.1/24")
	l.ours.addrs("large", "203.0.114.1/24")
}

func (h *host) wantLeft(before, what string) {
	h.t.Helper()
	if after := h.left(); after != before {
		h.t.Errorf("%s leaves:\n%s", what, difference(before, after))
	}
}

// incidental is what differs without an effect: tstun's tags; names and families
// of nftables' tables and names of chains, whose rules ask for the IP version
// themselves; the number of the interface; its queue, length included, and flag
// for multicast, which the kernel's WireGuard has not; ICMP redirects, which that
// switches off (docs/compatibility.md).
var incidental = regexp.MustCompile(`(?m) proto 151| comment "[^"]*"|^(table .*|\s*chain .*|\s*}|\s*)\n|^[0-9]+: |MULTICAST,| qdisc [a-z_]+|qlen [0-9]+|^/proc/sys/net/ipv4/conf/[a-z0-9]+/send_redirects:[01]\n|^\s+`)

// effects are the lines of lists that matter, each once.
func (h *host) effects() string {
	h.t.Helper()
	out, err := h.try("sh", "-c", lists)
	if err != nil {
		h.t.Fatal(err)
	}
	lines := slices.Sorted(strings.Lines(incidental.ReplaceAllString(out, "")))
	return strings.Join(slices.Compact(lines), "")
}

// difference lists the lines that only one of two texts has.
func difference(a, b string) string {
	var out strings.Builder
	only := func(sign, x, y string) {
		there := slices.Collect(strings.Lines(y))
		for line := range strings.Lines(x) {
			if !slices.Contains(there, line) {
				out.WriteString(sign + line)
			}
		}
	}
	only("- ", a, b)
	only("+ ", b, a)
	return out.String()
}
