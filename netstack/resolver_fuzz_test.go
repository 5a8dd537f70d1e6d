package netstack_test

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"tstun/netstack"
)

// canned is a connection to a server that answers each query with the same
// bytes behind the query's ID and question, and then is silent.
type canned struct {
	net.Conn // none: only what a lookup calls is there
	message  []byte
	stream   bool
	unread   []byte
}

func (c *canned) Write(query []byte) (int, error) {
	if c.stream {
		query = query[2:]
	}
	end := 12 // RFC 1035 §4.1: the header, a name, type and class
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	end += 5
	m := append([]byte(nil), query[:end]...)
	copy(m[2:12], c.message) // flags and counts
	if len(c.message) > 10 {
		m = append(m, c.message[10:]...)
	}
	m[4], m[5] = 0, 1
	if c.stream {
		m = append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)
	}
	c.unread = m
	return len(query), nil
}

func (c *canned) Read(b []byte) (int, error) {
	if len(c.unread) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, c.unread)
	c.unread = c.unread[n:]
	if !c.stream {
		c.unread = nil
	}
	return n, nil
}

func (c *canned) Close() error { return nil }

// dnsDatagrams makes a net.PacketConn of canned.
type dnsDatagrams struct{ *canned }

func (dnsDatagrams) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, os.ErrInvalid }
func (dnsDatagrams) WriteTo([]byte, net.Addr) (int, error)  { return 0, os.ErrInvalid }

func cannedResolver(message []byte) *netstack.Resolver {
	return &netstack.Resolver{
		Servers:  []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")},
		Attempts: 1,
		Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
			c := &canned{message: message, stream: network == "tcp"}
			if c.stream {
				return c, nil
			}
			return dnsDatagrams{c}, nil
		},
	}
}

// FuzzResolverAnswer: whatever a server answers, nothing panics, and only valid
// names and addresses come out.
func FuzzResolverAnswer(f *testing.F) {
	for _, texts := range []string{
		"x.example. A 192.0.2.1", "x.example. AAAA ::ffff:192.0.2.1|x.example. A 192.0.2.2", "x.example. CNAME a~b.example.|a~b.example. A 192.0.2.1",
		"x.example. MX 1 a.example.|x.example. MX 1 a~b.example.", "x.example. NS a.example.|x.example. NS -.example.",
		"x.example. SRV 1 1 1 a.example.|x.example. SRV 1 0 1 a~.example.", "x.example. TXT a b", "x.example. CNAME x.example.",
		"1.2.0.192.in-addr.arpa. PTR a.example.|1.2.0.192.in-addr.arpa. PTR a~b.example.",
	} {
		m := ok()
		for text := range strings.SplitSeq(texts, "|") {
			m.Answers = append(m.Answers, rr(text))
		}
		message := withoutQuestion(f, m)
		f.Add(message)
		f.Add(append([]byte{message[0] | 2}, message[1:]...)) // truncated
	}
	referral := ok()
	referral.RecursionAvailable = false
	referral.Authorities = []dnsmessage.Resource{rr("example. NS a.example.")}
	referral.Additionals = []dnsmessage.Resource{rr("a.example. A 192.0.2.1")}
	f.Add(withoutQuestion(f, referral))
	f.Fuzz(func(t *testing.T, message []byte) {
		if len(message) > 60000 {
			return
		}
		r := cannedResolver(message)
		_, err := r.LookupTXT(t.Context(), "x.example.")
		if _, is := err.(*net.DNSError); err != nil && !is {
			t.Errorf("%#v", err)
		}
		hosts, err := r.LookupHost(t.Context(), "x.example.")
		if (err == nil) != (len(hosts) > 0) {
			t.Errorf("%v, %v", hosts, err)
		}
		for _, h := range hosts {
			if _, err := netip.ParseAddr(h); err != nil {
				t.Error(err)
			}
		}
		four, _ := r.LookupNetIP(t.Context(), "ip4", "x.example.")
		for _, a := range four {
			if !a.Is4() {
				t.Errorf("%v for ip4", a)
			}
		}
		for _, name := range namesOut(t.Context(), r) {
			if !safe(strings.TrimSuffix(name, ".")) {
				t.Errorf("%q came out", name)
			}
		}
	})
}

// withoutQuestion is the canned message that says m.
func withoutQuestion(f *testing.F, m said) []byte {
	name := dnsmessage.MustNewName("x.example.")
	if len(m.Answers) > 0 {
		name = m.Answers[0].Header.Name
	}
	m.Questions = []dnsmessage.Question{{Name: name, Class: dnsmessage.ClassINET}}
	msg, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	return append(msg[2:12:12], msg[12+int(name.Length)+1+4:]...)
}

// namesOut are all names that lookups return.
func namesOut(ctx context.Context, r *netstack.Resolver) []string {
	names, _ := r.LookupAddr(ctx, "192.0.2.1")
	cname, _ := r.LookupCNAME(ctx, "x.example.")
	target, srvs, _ := r.LookupSRV(ctx, "", "", "x.example.")
	names = append(names, cname, target)
	for _, s := range srvs {
		names = append(names, s.Target)
	}
	mxs, _ := r.LookupMX(ctx, "x.example.")
	for _, mx := range mxs {
		if _, err := netip.ParseAddr(strings.TrimSuffix(mx.Host, ".")); err != nil {
			names = append(names, mx.Host)
		}
	}
	nss, _ := r.LookupNS(ctx, "x.example.")
	for _, ns := range nss {
		names = append(names, ns.Host)
	}
	return names
}

// safe reports whether a name has nothing that a shell, a path, a page or a
// log could take for something else. No name is safe.
func safe(name string) bool {
	for _, c := range name {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", c) {
			return false
		}
	}
	return !strings.HasPrefix(name, "-") && !strings.Contains(name, "..") && len(name) <= 253
}
