package netstack_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"tstun/netstack"
)

// lookups are the methods of net.Resolver.
type lookups interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupCNAME(ctx context.Context, host string) (string, error)
	LookupHost(ctx context.Context, host string) ([]string, error)
	LookupIP(ctx context.Context, network, host string) ([]net.IP, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNS(ctx context.Context, name string) ([]*net.NS, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupPort(ctx context.Context, network, service string) (int, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

var _, _ lookups = (*net.Resolver)(nil), (*netstack.Resolver)(nil)

// TestEveryLookupOfNet finds a method that a later Go adds.
func TestEveryLookupOfNet(t *testing.T) {
	theirs, ours := reflect.TypeFor[*net.Resolver](), reflect.TypeFor[*netstack.Resolver]()
	for m := range theirs.Methods() {
		if _, has := ours.MethodByName(m.Name); strings.HasPrefix(m.Name, "Lookup") && !has {
			t.Errorf("net.Resolver has %s", m.Name)
		}
	}
}

// sorted makes results comparable whose order is left to chance or to the
// system's addresses.
func sorted[T any](all []T, text func(T) string) (out []string) {
	for _, a := range all {
		out = append(out, text(a))
	}
	slices.Sort(out)
	return out
}

// kind is what a program asks of an error.
func kind(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return fmt.Sprintf("DNSError notfound=%v timeout=%v temporary=%v", dns.IsNotFound, dns.IsTimeout, dns.IsTemporary)
	}
	return fmt.Sprintf("%T", err)
}

// everything is what all lookups of a name say.
func everything(ctx context.Context, r lookups, name string) map[string]string {
	out := make(map[string]string)
	add := func(method string, v any, err error) {
		out[method] = fmt.Sprintf("%v, %s", v, kind(err))
	}
	hosts, err := r.LookupHost(ctx, name)
	add("Host", sorted(hosts, strings.Clone), err)
	ipAddrs, err := r.LookupIPAddr(ctx, name)
	add("IPAddr", sorted(ipAddrs, func(a net.IPAddr) string { return a.String() }), err)
	for _, network := range []string{"ip", "ip4", "ip6", "tcp", ""} {
		ips, err := r.LookupIP(ctx, network, name)
		add("IP "+network, sorted(ips, net.IP.String), err)
		addrs, err := r.LookupNetIP(ctx, network, name)
		add("NetIP "+network, sorted(addrs, func(a netip.Addr) string { return a.Unmap().String() }), err)
	}
	cname, err := r.LookupCNAME(ctx, name)
	add("CNAME", cname, err)
	mxs, err := r.LookupMX(ctx, name)
	add("MX", sorted(mxs, func(mx *net.MX) string { return fmt.Sprintf("%+v", *mx) }), err)
	nss, err := r.LookupNS(ctx, name)
	add("NS", sorted(nss, func(ns *net.NS) string { return ns.Host }), err)
	txts, err := r.LookupTXT(ctx, name)
	add("TXT", sorted(txts, strings.Clone), err)
	target, srvs, err := r.LookupSRV(ctx, "", "", name)
	add("SRV", target+fmt.Sprint(sorted(srvs, func(s *net.SRV) string { return fmt.Sprintf("%+v", *s) })), err)
	_, srvs, err = r.LookupSRV(ctx, "sip", "tcp", name)
	add("SRV service", sorted(srvs, func(s *net.SRV) string { return fmt.Sprintf("%+v", *s) }), err)
	names, err := r.LookupAddr(ctx, name)
	add("Addr", sorted(names, strings.Clone), err)
	return out
}

var compared = zone{
	"www.example. A 192.0.2.1", "www.example. A 192.0.2.2", "www.example. AAAA 2001:db8::1",
	"www.example. TXT one two", "www.example. TXT three",
	"four.example. A 192.0.2.4", "six.example. AAAA 2001:db8::6",
	"alias.example. CNAME www.example.",
	"dangling.example. CNAME nowhere.example.",
	"ring.example. CNAME ring2.example.", "ring2.example. CNAME ring.example.",
	"mail.example. MX 10 a.example.", "mail.example. MX 5 b.example.", "mail.example. MX 10 192.0.2.9.",
	"badmail.example. MX 10 a.example.", "badmail.example. MX 1 -a.example.", "badmail.example. MX 1 a~b.example.",
	"onlybad.example. MX 1 a~b.example.", "onlybad.example. NS a;b.example.", "onlybad.example. SRV 1 1 1 <b>.example.",
	"nomail.example. MX 0 .",
	"zone.example. NS ns1.example.", "zone.example. NS ns2.example.", "zone.example. NS 192.0.2.9.",
	"_sip._tcp.zone.example. SRV 1 0 5060 a.example.", "_sip._tcp.zone.example. SRV 1 9 5061 b.example.",
	"_sip._tcp.zone.example. SRV 0 1 5062 .", "_sip._tcp.zone.example. SRV 2 1 1 -bad.example.",
	"strange.example. CNAME a~b.example.", "a~b.example. A 192.0.2.3", "a~b.example. SRV 1 1 1 a.example.",
	"1.2.0.192.in-addr.arpa. PTR www.example.", "1.2.0.192.in-addr.arpa. PTR a~b.example.",
	"1.2.0.192.in-addr.arpa. PTR www2.example.", "2.2.0.192.in-addr.arpa. CNAME 2.0.2.0.192.in-addr.arpa.",
	"2.0.2.0.192.in-addr.arpa. PTR two.example.",
	"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR six.example.",
	". NS a.root-servers.example.",
}

func init() {
	for i := range 100 {
		compared = append(compared, fmt.Sprintf("long.example. TXT %d-%s", i, strings.Repeat("x", 100)),
			fmt.Sprintf("long.example. A 198.51.100.%d", i))
	}
}

// comparedTalk knows the zone and servers that are wrong.
func comparedTalk(q dnsmessage.Question, tcp bool) []said {
	lame := ok()
	lame.RecursionAvailable = false
	switch strings.TrimSuffix(q.Name.String(), ".wrong.") {
	case "servfail":
		return []said{failed(dnsmessage.RCodeServerFailure)}
	case "refused":
		return []said{failed(dnsmessage.RCodeRefused)}
	case "notimp":
		return []said{failed(dnsmessage.RCodeNotImplemented)}
	case "formerr":
		return []said{failed(dnsmessage.RCodeFormatError)}
	case "badvers":
		var opt dnsmessage.ResourceHeader
		opt.SetEDNS0(1232, 16, false)
		m := ok()
		m.Additionals = []dnsmessage.Resource{{Header: opt, Body: &dnsmessage.OPTResource{}}}
		return []said{m}
	case "lame":
		return []said{lame}
	case "half": // of the address types, one works
		if q.Type == dnsmessage.TypeAAAA {
			return []said{failed(dnsmessage.RCodeServerFailure)}
		}
		return []said{ok(rr(q.Name.String() + " A 192.0.2.1"))}
	case "truncated": // by TCP too
		m := ok(rr(q.Name.String()+" A 192.0.2.1"), rr(q.Name.String()+" TXT t"))
		m.Truncated = true
		return []said{m}
	case "tcpid":
		m := ok(rr(q.Name.String() + " A 192.0.2.1"))
		if !tcp {
			return []said{truncated()}
		}
		m.ID++
		return []said{m}
	}
	return compared.answers(q, tcp)
}

// TestAsPackageNet asks everything of the Resolver and of package net's.
func TestAsPackageNet(t *testing.T) {
	server := onLoopback(t, comparedTalk)
	var d net.Dialer
	ours := &netstack.Resolver{Dial: d.DialContext, Servers: []netip.AddrPort{server}}
	theirs := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return d.DialContext(ctx, network, server.String())
	}}
	names := []string{
		"servfail.wrong.", "refused.wrong.", "notimp.wrong.", "formerr.wrong.", "badvers.wrong.", "lame.wrong.",
		"half.wrong.", "truncated.wrong.", "tcpid.wrong.",
		"nowhere.example.", ".", "", "..", "a..example.", "-a.example.", "a-.example.", "a_b.example.",
		"a b.example.", "ä.example.", "1.2.3.", "1234.", "1-2.", "192.0.2.1", "192.0.2.2", "192.0.2.99", "2001:db8::1",
		"::ffff:192.0.2.1", "[::1]", "192.0.2.1:53",
		strings.Repeat("a", 63) + ".example.", strings.Repeat("a", 64) + ".example.",
		strings.Repeat("abc.", 63) + "a.", strings.Repeat("abc.", 63) + "ab.",
	}
	for _, text := range compared {
		if name := unescape(strings.Fields(text)[0]); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, got := everything(t.Context(), theirs, name), everything(t.Context(), ours, name)
			for method := range want {
				if got[method] != want[method] {
					t.Errorf("Lookup%s(%q)\n got %s\nwant %s", method, name, got[method], want[method])
				}
			}
		})
	}
}

// Numbers are as package net's. Names there depend on the system's files.
func TestLookupPort(t *testing.T) {
	theirs, ours := &net.Resolver{PreferGo: true}, new(netstack.Resolver)
	networks := []string{"tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "ip", "", "unix"}
	services := []string{"", "0", "80", "+80", "65535", "65536", "-1", "99999999999999999999", "no-such-service", "80x", " 80", "http "}
	for _, network := range networks {
		for _, service := range services {
			port, err := ours.LookupPort(t.Context(), network, service)
			got := fmt.Sprintf("%d %s", port, kind(err))
			port, err = theirs.LookupPort(t.Context(), network, service)
			if want := fmt.Sprintf("%d %s", port, kind(err)); got != want {
				t.Errorf("LookupPort(%q, %q) = %s, want %s", network, service, got, want)
			}
		}
	}
	for in, want := range map[string]int{
		"tcp http": 80, "tcp4 HTTPS": 443, "udp domain": 53, "ip ssh": 22, "udp6 ntp": 123, "ip ntp": 123, " syslog": 514,
		"tcp6 postgresql": 5432, "udp ssh": 0, "tcp tftp": 0,
	} {
		network, service, _ := strings.Cut(in, " ")
		port, err := ours.LookupPort(t.Context(), network, service)
		if port != want || (err == nil) != (want != 0) {
			t.Errorf("LookupPort(%q, %q) = %d, %v", network, service, port, err)
		}
	}
}
