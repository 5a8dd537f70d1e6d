package netstack_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// said is a message of a DNS server, but for its ID, which is the query's plus
// ID, and the question, which is the query's if there is none.
type said = dnsmessage.Message

// talk is what a DNS server says to a question, in this order.
type talk func(q dnsmessage.Question, tcp bool) []said

// serveDNS answers on a UDP socket and a TCP listener until the test ends.
func serveDNS(t testing.TB, pc net.PacketConn, l net.Listener, what talk) {
	var wg sync.WaitGroup
	wg.Go(func() { serveDNSOverUDP(pc, what) })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serveTCP(c, what) })
		}
	})
	t.Cleanup(func() {
		pc.Close()
		l.Close()
		wg.Wait()
	})
}

// onLoopback starts a server and returns its address.
func onLoopback(t testing.TB, what talk) netip.AddrPort {
	t.Helper()
	for range 20 { // the UDP port of a free TCP port may be in use
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		pc, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			l.Close()
			continue
		}
		serveDNS(t, pc, l, what)
		return netip.MustParseAddrPort(l.Addr().String())
	}
	t.Fatal("no port is free for both UDP and TCP")
	return netip.AddrPort{}
}

func serveDNSOverUDP(pc net.PacketConn, what talk) {
	buf := make([]byte, 4096)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		for _, m := range replies(buf[:n], false, what) {
			pc.WriteTo(m, from)
		}
	}
}

func serveTCP(c net.Conn, what talk) {
	defer c.Close()
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, buf); err != nil {
		return
	}
	for _, m := range replies(buf, true, what) {
		c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
	}
	io.Copy(io.Discard, c) // until the client closes
}

func replies(query []byte, tcp bool, what talk) (msgs [][]byte) {
	var asked said
	if err := asked.Unpack(query); err != nil || len(asked.Questions) != 1 {
		panic("the resolver sent what is no query")
	}
	for _, m := range what(asked.Questions[0], tcp) {
		m.ID += asked.ID
		if m.Questions == nil {
			m.Questions = asked.Questions
		}
		msg, err := m.Pack()
		if err != nil {
			panic(err)
		}
		msgs = append(msgs, msg)
	}
	return msgs
}

// ok is a recursive server's answer.
func ok(records ...dnsmessage.Resource) said {
	return said{Header: dnsmessage.Header{Response: true, RecursionAvailable: true}, Answers: records}
}

func failed(code dnsmessage.RCode) said {
	m := ok()
	m.RCode = code
	return m
}

func truncated() said {
	m := ok()
	m.Truncated = true
	return m
}

// rr makes a record from its text, such as "a.example. MX 10 b.example.".
func rr(text string) dnsmessage.Resource {
	f := strings.Fields(text)
	name := func(s string) dnsmessage.Name { return dnsmessage.MustNewName(unescape(s)) }
	number := func(s string) (n uint16) {
		for _, c := range s {
			n = n*10 + uint16(c-'0')
		}
		return n
	}
	r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name(f[0]), Class: dnsmessage.ClassINET, TTL: 60}}
	switch f[1] {
	case "A":
		r.Body = &dnsmessage.AResource{A: netip.MustParseAddr(f[2]).As4()}
	case "AAAA":
		r.Body = &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(f[2]).As16()}
	case "CNAME":
		r.Body = &dnsmessage.CNAMEResource{CNAME: name(f[2])}
	case "PTR":
		r.Body = &dnsmessage.PTRResource{PTR: name(f[2])}
	case "NS":
		r.Body = &dnsmessage.NSResource{NS: name(f[2])}
	case "MX":
		r.Body = &dnsmessage.MXResource{Pref: number(f[2]), MX: name(f[3])}
	case "SRV":
		r.Body = &dnsmessage.SRVResource{Priority: number(f[2]), Weight: number(f[3]), Port: number(f[4]), Target: name(f[5])}
	case "TXT":
		r.Body = &dnsmessage.TXTResource{TXT: f[2:]}
	default:
		panic(text)
	}
	return r
}

// unescape lets a name have a space.
func unescape(s string) string { return strings.ReplaceAll(s, "~", " ") }

// zone is what a server knows, as text.
type zone []string

// answers follows aliases, says NXDOMAIN for names without records, and
// truncates by UDP what is longer than 1232 bytes.
func (z zone) answers(q dnsmessage.Question, tcp bool) []said {
	m := ok()
	name, exists := strings.ToLower(q.Name.String()), false
	for range 8 {
		alias := ""
		for _, text := range z {
			f := strings.Fields(text)
			if unescape(f[0]) != name {
				continue
			}
			exists = true
			if f[1] == "CNAME" && q.Type != dnsmessage.TypeCNAME {
				alias = f[2]
			}
			if f[1] == "CNAME" || "Type"+f[1] == q.Type.String() {
				m.Answers = append(m.Answers, rr(text))
			}
		}
		if alias == "" {
			break
		}
		name, exists = unescape(alias), false
	}
	if !exists {
		m.RCode = dnsmessage.RCodeNameError
	}
	m.Questions = []dnsmessage.Question{q}
	if msg, err := m.Pack(); err != nil || !tcp && len(msg) > 1232 {
		return []said{truncated()}
	}
	return []said{m}
}
