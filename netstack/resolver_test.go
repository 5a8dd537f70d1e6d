package netstack_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tstun"
	"tstun/filter"
	"tstun/netstack"
)

// asked notes the questions of a talk.
type asked struct {
	mu    sync.Mutex
	names []string
}

func (a *asked) note(what talk) talk {
	return func(q dnsmessage.Question, tcp bool) []said {
		a.mu.Lock()
		a.names = append(a.names, q.Name.String())
		a.mu.Unlock()
		return what(q, tcp)
	}
}

// take returns the names asked for since the last call, each once, in order.
func (a *asked) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := slices.Compact(a.names)
	a.names = nil
	return names
}

// resolver asks servers on loopback.
func resolver(servers ...netip.AddrPort) *netstack.Resolver {
	var d net.Dialer
	return &netstack.Resolver{Dial: d.DialContext, Servers: servers, Timeout: patience}
}

func addrs(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

func TestSearchList(t *testing.T) {
	var a asked
	z := zone{"db.corp.example. A 192.0.2.1", "a.b. A 192.0.2.2", "fails.b. A 192.0.2.3"}
	server := onLoopback(t, a.note(func(q dnsmessage.Question, tcp bool) []said {
		if q.Name.String() == "broken.lab." {
			return []said{failed(dnsmessage.RCodeServerFailure)}
		}
		return z.answers(q, tcp)
	}))
	r := resolver(server)
	r.Attempts = 1
	r.Search = []string{"lab", "corp.example.", "x.localhost", strings.Repeat("abc.", 61) + "long"}
	tests := []struct {
		name, asked, err string
	}{
		{"db", "db.lab. db.corp.example.", ""},
		{"db.", "db.", "no such host"},
		{"a.b", "a.b.", ""},
		{"none", "none.lab. none.corp.example. none." + strings.Repeat("abc.", 61) + "long. none.", "no such host"},
		{"n.ne", "n.ne. n.ne.lab. n.ne.corp.example. n.ne." + strings.Repeat("abc.", 61) + "long.", "no such host"},
		{"toolong", "toolong.lab. toolong.corp.example. toolong.", "no such host"},
		{"broken.lab", "broken.lab. broken.lab.lab. broken.lab.corp.example.", "server misbehaving: SERVFAIL"},
		{"x.onion", "x.onion.lab. x.onion.corp.example.", "no such host"},
		{"x.onion.", "", "no such host"},
	}
	for _, tt := range tests {
		_, err := r.LookupNetIP(t.Context(), "ip4", tt.name)
		var dns *net.DNSError
		if errors.As(err, &dns) != (tt.err != "") || dns != nil && (dns.Err != tt.err || dns.Name != tt.name) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
		if got := strings.Join(a.take(), " "); got != tt.asked {
			t.Errorf("%s: asked for %s, want %s", tt.name, got, tt.asked)
		}
	}
}

func TestHosts(t *testing.T) {
	var a asked
	r := resolver(onLoopback(t, a.note(zone{}.answers)))
	r.Hosts = map[string][]netip.Addr{
		"Db": addrs("100.64.0.9", "fd00::9"), "db.corp.": addrs("100.64.0.9"), "six": addrs("fd00::6"), "blocked.example": nil,
		"mapped": addrs("::ffff:100.64.0.8"),
	}
	for _, name := range []string{"db", "DB", "dB."} {
		got, err := r.LookupHost(t.Context(), name)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, []string{"100.64.0.9", "fd00::9"}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := r.LookupNetIP(t.Context(), "ip4", "mapped"); err != nil || !slices.Equal(got, addrs("100.64.0.8")) {
		t.Errorf("mapped: %v, %v", got, err)
	}
	if got, err := r.LookupCNAME(t.Context(), "DB.corp"); err != nil || got != "DB.corp." {
		t.Errorf("CNAME: %q, %v", got, err)
	}
	for addr, want := range map[string][]string{
		"100.64.0.9": {"Db", "db.corp."}, "::ffff:100.64.0.9": {"Db", "db.corp."}, "fd00::6": {"six"},
	} {
		if got, err := r.LookupAddr(t.Context(), addr); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", addr, got, err)
		}
	}
	for _, tt := range [][2]string{{"ip4", "six"}, {"ip", "blocked.example"}, {"ip", "Blocked.Example."}} {
		_, err := r.LookupIP(t.Context(), tt[0], tt[1])
		var dns *net.DNSError
		if !errors.As(err, &dns) || !dns.IsNotFound || dns.Name != tt[1] {
			t.Errorf("%v: %v", tt, err)
		}
	}
	if got := a.take(); got != nil {
		t.Errorf("asked a server for %v", got)
	}
}

// A caller that changes its result changes no later one.
func TestResultsAreTheCallers(t *testing.T) {
	r := resolver()
	r.Hosts = map[string][]netip.Addr{"db": addrs("100.64.0.9")}
	for range 2 {
		got, err := r.LookupNetIP(t.Context(), "ip", "db")
		names, err2 := r.LookupAddr(t.Context(), "100.64.0.9")
		if err != nil || err2 != nil || got[0] != netip.MustParseAddr("100.64.0.9") || names[0] != "db" {
			t.Fatalf("%v, %v, %v, %v", got, names, err, err2)
		}
		got[0], names[0] = netip.Addr{}, ""
	}
}

func TestLocalhost(t *testing.T) {
	var a asked
	server := onLoopback(t, a.note(zone{"localhost. A 127.0.0.1"}.answers))
	without, with := resolver(server), resolver(server)
	without.Search, with.Search = []string{"localhost"}, []string{"localhost"}
	own := addrs("100.64.0.1", "fd00::1")
	with.Hosts = map[string][]netip.Addr{"localhost": own, "db.localhost": own[1:]}
	for name, want := range map[string][]netip.Addr{
		"localhost": own, "LOCALHOST.": own, "db.localhost": own[1:], "a.b.localhost.": own,
	} {
		_, err := without.LookupNetIP(t.Context(), "ip", name)
		_, err2 := without.LookupCNAME(t.Context(), name)
		_, err3 := with.LookupMX(t.Context(), name)
		for i, err := range []error{err, err2, err3} {
			var dns *net.DNSError
			if !errors.As(err, &dns) || !dns.IsNotFound || i < 2 && dns.Err != "localhost is not in Hosts" {
				t.Errorf("%s: %v", name, err)
			}
		}
		got, err := with.LookupNetIP(t.Context(), "ip", name)
		slices.SortFunc(got, netip.Addr.Compare)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s of Hosts: %v, %v", name, got, err)
		}
	}
	if got := a.take(); got != nil {
		t.Errorf("asked a server for %v", got)
	}
}

func TestNoServers(t *testing.T) {
	_, err := resolver().LookupTXT(t.Context(), "db.example")
	var dns *net.DNSError
	if !errors.As(err, &dns) || dns.IsNotFound || err.Error() != "lookup db.example: no DNS servers given" {
		t.Errorf("%v", err)
	}
}

func TestResolverRefusesBadFields(t *testing.T) {
	dial := new(net.Dialer).DialContext
	tests := []struct {
		want string
		r    *netstack.Resolver
	}{
		{"without Dial", &netstack.Resolver{}},
		{"timeout -1s", &netstack.Resolver{Dial: dial, Timeout: -time.Second}},
		{"-1 attempts", &netstack.Resolver{Dial: dial, Attempts: -1}},
		{"server 1: invalid", &netstack.Resolver{Dial: dial, Servers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53"), {}}}},
		{"server 0: 192.0.2.1:0", &netstack.Resolver{Dial: dial, Servers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:0")}}},
		{"server 0: 0.0.0.0:53", &netstack.Resolver{Dial: dial, Servers: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:53")}}},
		{`search domain 1: "a b"`, &netstack.Resolver{Dial: dial, Search: []string{"example", "a b"}}},
		{`hosts: "-a"`, &netstack.Resolver{Dial: dial, Hosts: map[string][]netip.Addr{"-a": nil}}},
		{`hosts: "."`, &netstack.Resolver{Dial: dial, Hosts: map[string][]netip.Addr{".": nil}}},
		{`hosts: "Db." and "db" are the same`, &netstack.Resolver{Dial: dial, Hosts: map[string][]netip.Addr{"db": nil, "Db.": nil}}},
		{`hosts: "db": address 1`, &netstack.Resolver{Dial: dial, Hosts: map[string][]netip.Addr{"db": {netip.IPv6Loopback(), {}}}}},
	}
	for _, tt := range tests {
		for range 2 {
			_, err := tt.r.LookupHost(t.Context(), "db.example")
			var dns *net.DNSError
			if !errors.As(err, &dns) || dns.IsNotFound || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		}
	}
}

// The next server is asked after one that is silent, refuses, fails or only
// refers to others, and not after one that knows that there is nothing.
func TestFailover(t *testing.T) {
	good := onLoopback(t, zone{"db.example. A 192.0.2.1"}.answers)
	closed := onLoopback(t, func(dnsmessage.Question, bool) []said { return nil })
	says := func(m said) netip.AddrPort {
		return onLoopback(t, func(dnsmessage.Question, bool) []said { return []said{m} })
	}
	referral := ok()
	referral.RecursionAvailable = false
	referral.Authorities = []dnsmessage.Resource{rr("example. NS ns.example.")}
	var opt dnsmessage.ResourceHeader
	opt.SetEDNS0(1232, 0, false)
	referral.Additionals = []dnsmessage.Resource{{Header: opt, Body: &dnsmessage.OPTResource{}}}
	tests := []struct {
		name  string
		first netip.AddrPort
		err   string
	}{
		{"silent", closed, "i/o timeout"},
		{"SERVFAIL", says(failed(dnsmessage.RCodeServerFailure)), "server misbehaving: SERVFAIL"},
		{"REFUSED", says(failed(dnsmessage.RCodeRefused)), "server misbehaving: REFUSED"},
		{"referral", says(referral), "lame referral"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := resolver(tt.first, good)
			r.Timeout = time.Second / 2
			if got, err := r.LookupNetIP(t.Context(), "ip4", "db.example"); err != nil || !slices.Equal(got, addrs("192.0.2.1")) {
				t.Errorf("with a good second server: %v, %v", got, err)
			}
			r = resolver(tt.first)
			r.Timeout, r.Attempts = time.Millisecond, 1
			if tt.err != "i/o timeout" {
				r.Timeout = patience
			}
			_, err := r.LookupNetIP(t.Context(), "ip4", "db.example")
			var dns *net.DNSError
			if !errors.As(err, &dns) || dns.Err != tt.err || dns.Server != tt.first.String() || dns.IsNotFound ||
				dns.IsTimeout != (tt.name == "silent") || dns.IsTemporary != (tt.name == "silent" || tt.name == "SERVFAIL") ||
				errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("alone: %#v", err)
			}
		})
	}
	for _, first := range []said{failed(dnsmessage.RCodeNameError), ok()} {
		_, err := resolver(says(first), good).LookupNetIP(t.Context(), "ip4", "db.example")
		var dns *net.DNSError
		if !errors.As(err, &dns) || !dns.IsNotFound {
			t.Errorf("behind a server that knows there is nothing: %v", err)
		}
	}
}

// A name that is not there and one without records are told apart.
func TestNotFound(t *testing.T) {
	r := resolver(onLoopback(t, zone{"db.example. TXT x"}.answers))
	for name, want := range map[string]string{"db.example": "no records of this type", "none.example": "no such host"} {
		_, err := r.LookupHost(t.Context(), name)
		var dns *net.DNSError
		if !errors.As(err, &dns) || !dns.IsNotFound || dns.Err != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// That one address type is missing does not hide that the other is not known.
func TestHalfAnError(t *testing.T) {
	for _, missing := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		r := resolver(onLoopback(t, func(q dnsmessage.Question, tcp bool) []said {
			if q.Type == missing {
				return []said{ok()}
			}
			return []said{failed(dnsmessage.RCodeServerFailure)}
		}))
		_, err := r.LookupHost(t.Context(), "db.example")
		var dns *net.DNSError
		if !errors.As(err, &dns) || dns.IsNotFound || !dns.IsTemporary {
			t.Errorf("no %v: %v", missing, err)
		}
	}
}

// Over UDP all that is not the answer is ignored.
func TestForgedAnswersAreIgnored(t *testing.T) {
	forged, noResponse, question, class, none := ok(rr("db.example. A 192.0.2.66")), ok(), ok(), ok(), ok()
	forged.ID = 1
	noResponse.Response = false
	ask := func(name string, c dnsmessage.Class) []dnsmessage.Question {
		return []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: c}}
	}
	question.Questions = ask("other.example.", dnsmessage.ClassINET)
	class.Questions = ask("db.example.", dnsmessage.ClassCHAOS)
	none.Questions = []dnsmessage.Question{}
	two := ok()
	two.Questions = append(ask("db.example.", dnsmessage.ClassINET), ask("db.example.", dnsmessage.ClassINET)...)
	r := resolver(onLoopback(t, func(q dnsmessage.Question, tcp bool) []said {
		good := ok(rr("DB.example. A 192.0.2.1"), rr("db.EXAMPLE. A 192.0.2.2"))
		good.Questions = ask("dB.eXample.", dnsmessage.ClassINET) // case does not matter
		return []said{forged, noResponse, question, class, none, two, good}
	}))
	got, err := r.LookupNetIP(t.Context(), "ip4", "db.example")
	if err != nil || !slices.Equal(got, addrs("192.0.2.1", "192.0.2.2")) {
		t.Errorf("%v, %v", got, err)
	}
}

// What an answer says of other names, classes and types is left out, and one
// that is too large is refused.
func TestWhatAnswersMayHave(t *testing.T) {
	many := func(n int, text string) (all []dnsmessage.Resource) {
		for i := range n {
			all = append(all, rr(strings.ReplaceAll(text, "#", fmt.Sprint(i))))
			if strings.Contains(text, "+") {
				all[i] = rr(strings.NewReplacer("#", fmt.Sprint(i), "+", fmt.Sprint(i+1)).Replace(text))
			}
		}
		return all
	}
	chaos := rr("db.example. A 192.0.2.3")
	chaos.Header.Class = dnsmessage.ClassCHAOS
	aliases := func(n int) []dnsmessage.Resource {
		first, last := rr("db.example. CNAME a0.example."), rr(fmt.Sprintf("a%d.example. A 192.0.2.1", n-1))
		return append(append([]dnsmessage.Resource{first}, many(n-1, "a#.example. CNAME a+.example.")...), last)
	}
	one := addrs("192.0.2.1")
	tests := []struct {
		name string
		in   []dnsmessage.Resource
		want []netip.Addr
		err  string
	}{
		{"another owner", many(1, "other.example. A 192.0.2.66"), nil, "no records of this type"},
		{"beside an alias", []dnsmessage.Resource{rr("db.example. A 192.0.2.66"), rr("db.example. CNAME a.example."), rr("a.example. A 192.0.2.1")}, one, ""},
		{"alias behind its target", []dnsmessage.Resource{rr("a.example. A 192.0.2.1"), rr("db.example. CNAME a.example.")}, one, ""},
		{"a letter that only Unicode folds", []dnsmessage.Resource{rr("db.e\u212aample. A 192.0.2.66")}, nil, "no records of this type"},
		{"class", []dnsmessage.Resource{chaos}, nil, "no records of this type"},
		{"15 aliases", aliases(15), one, ""},
		{"16 aliases", aliases(16), nil, "too many aliases in the answer"},
		{"1024 records", many(1024, "db.example. A 192.0.2.1"), slices.Repeat(one, 1024), ""},
		{"1025 records", many(1025, "db.example. A 192.0.2.1"), nil, "too many records in the answer"},
		{"mapped", many(1, "db.example. AAAA ::ffff:192.0.2.1"), nil, "no records of this type"},
	}
	for _, tt := range tests {
		r := resolver(onLoopback(t, func(q dnsmessage.Question, tcp bool) []said {
			if !tcp {
				return []said{truncated()}
			}
			return []said{ok(tt.in...)}
		}))
		got, err := r.LookupNetIP(t.Context(), "ip4", "db.example")
		var dns *net.DNSError
		if !slices.Equal(got, tt.want) || errors.As(err, &dns) != (tt.err != "") || dns != nil && dns.Err != tt.err {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

func TestSRVOrder(t *testing.T) {
	z := zone{
		"_x._tcp.example. SRV 2 0 1 c.example.", "_x._tcp.example. SRV 1 0 1 zero.example.",
		"_x._tcp.example. SRV 1 10 1 small.example.", "_x._tcp.example. SRV 1 90 1 big.example.",
	}
	r := resolver(onLoopback(t, z.answers))
	first := make(map[string]int)
	for range 300 {
		_, all, err := r.LookupSRV(t.Context(), "x", "tcp", "example.")
		if err != nil || len(all) != 4 || all[3].Target != "c.example." {
			t.Fatalf("%v, %v", all, err)
		}
		first[all[0].Target]++
	}
	// 270 are expected, 5 the standard deviation.
	if first["big.example."] < 200 || first["small.example."] == 0 {
		t.Errorf("first: %v", first)
	}
}

func TestLookupIsCanceled(t *testing.T) {
	arrived := make(chan struct{}, 8)
	silent := onLoopback(t, func(q dnsmessage.Question, tcp bool) []said {
		arrived <- struct{}{}
		if strings.HasPrefix(q.Name.String(), "tcp") && !tcp {
			return []said{truncated()}
		}
		return nil
	})
	for name, questions := range map[string]int{"udp.example": 1, "tcp.example": 2} {
		c, cancel := context.WithCancel(t.Context())
		r := resolver(silent, silent)
		r.Timeout = time.Hour
		failure := make(chan error, 1)
		go func() {
			_, err := r.LookupTXT(c, name)
			failure <- err
		}()
		for range questions {
			<-arrived
		}
		cancel()
		var dns *net.DNSError
		if err := <-failure; !errors.Is(err, context.Canceled) || !errors.As(err, &dns) || dns.IsTemporary || dns.IsTimeout {
			t.Errorf("%s: %#v", name, err)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := resolver(silent).LookupTXT(short, "udp.example")
	var dns *net.DNSError
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &dns) || !dns.IsTimeout {
		t.Errorf("deadline: %#v", err)
	}
}

// onStack starts a server on port 53 of a node's stack.
func onStack(t testing.TB, n *node, what talk) []netip.AddrPort {
	t.Helper()
	pc, err := n.s.ListenPacket("udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	serveDNS(t, pc, mustListen(t, n.s, "tcp", ":53"), what)
	return []netip.AddrPort{netip.AddrPortFrom(n.v4, 53), netip.AddrPortFrom(n.v6, 53)}
}

func TestLookupOverStacks(t *testing.T) {
	a, b := backToBack(t)
	long := []string{"long.example. TXT " + strings.Repeat(strings.Repeat("x", 250)+" ", 8)}
	var tcp sync.Map // of names
	z := zone(append(long, "db.example. A 100.64.7.2", "db.example. AAAA fd7a:115c::7:2"))
	servers := onStack(t, b, func(q dnsmessage.Question, overTCP bool) []said {
		if overTCP {
			tcp.Store(q.Name.String(), true)
		}
		return z.answers(q, overTCP)
	})
	for _, server := range servers {
		r := &netstack.Resolver{Dial: a.s.DialContext, Servers: []netip.AddrPort{server}, Timeout: patience}
		got, err := r.LookupNetIP(ctx(t), "ip", "db.example")
		if err != nil || !slices.Equal(got, addrs("fd7a:115c::7:2", "100.64.7.2")) {
			t.Errorf("%v: %v, %v", server, got, err)
		}
		txt, err := r.LookupTXT(ctx(t), "long.example")
		if err != nil || len(txt) != 1 || len(txt[0]) != 2000 {
			t.Errorf("%v: %v, %v", server, txt, err)
		}
		if _, used := tcp.LoadAndDelete("long.example."); !used {
			t.Errorf("%v: a truncated answer did not lead to TCP", server)
		}
		_, err = r.LookupHost(ctx(t), "none.example")
		var dns *net.DNSError
		if !errors.As(err, &dns) || !dns.IsNotFound || dns.Server != server.String() {
			t.Errorf("%v: %v", server, err)
		}
	}
}

// An answer from another port than the question went to is not taken.
func TestAnswersFromElsewhereAreIgnored(t *testing.T) {
	a, b := backToBack(t)
	pc, err := b.s.ListenPacket("udp", b.on(b.v4, 53))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := b.s.ListenPacket("udp", b.on(b.v4, 54))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { pc.Close(); elsewhere.Close(); wg.Wait() })
	wg.Go(func() {
		buf := make([]byte, 2000)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, s := range []struct {
				c    net.PacketConn
				addr string
			}{{elsewhere, "192.0.2.66"}, {pc, "192.0.2.1"}} {
				what := zone{"db.example. A " + s.addr}.answers
				s.c.WriteTo(replies(buf[:n], false, what)[0], from)
			}
		}
	})
	r := &netstack.Resolver{Dial: a.s.DialContext, Servers: []netip.AddrPort{netip.AddrPortFrom(b.v4, 53)}, Timeout: patience}
	if got, err := r.LookupNetIP(ctx(t), "ip4", "db.example"); err != nil || !slices.Equal(got, addrs("192.0.2.1")) {
		t.Errorf("%v, %v", got, err)
	}
}

// A stack that is closed ends a lookup that waits, and later ones.
func TestLookupOnClosedStack(t *testing.T) {
	a, b := backToBack(t)
	arrived := make(chan struct{}, 8)
	servers := onStack(t, b, func(dnsmessage.Question, bool) []said { arrived <- struct{}{}; return nil })
	r := &netstack.Resolver{Dial: a.s.DialContext, Servers: servers, Timeout: time.Hour}
	failure := make(chan error, 1)
	go func() {
		_, err := r.LookupTXT(ctx(t), "db.example")
		failure <- err
	}()
	<-arrived
	a.s.Close()
	if err := <-failure; !errors.Is(err, net.ErrClosed) {
		t.Errorf("lookup that waits: %#v", err)
	}
	_, err := r.LookupHost(ctx(t), "db.example")
	var dns *net.DNSError
	if !errors.Is(err, net.ErrClosed) || !errors.As(err, &dns) || dns.IsTemporary || dns.IsNotFound {
		t.Errorf("later lookup: %#v", err)
	}
}

// The IP version that the stack has comes first, and IPv6 if it has both.
func TestAddressOrder(t *testing.T) {
	v4, v6 := netip.MustParseAddr("100.64.7.1"), netip.MustParseAddr("fd7a:115c::7:1")
	host4, host6 := addrs("192.0.2.2", "192.0.2.1"), addrs("2001:db8::2", "2001:db8::1")
	tests := []struct {
		stack, want []netip.Addr
	}{
		{[]netip.Addr{v4}, slices.Concat(host4, host6)},
		{[]netip.Addr{v6}, slices.Concat(host6, host4)},
		{[]netip.Addr{v4, v6}, slices.Concat(host6, host4)},
	}
	for _, tt := range tests {
		w := tstun.Wrap(nil, tstun.NewFake())
		defer w.Close()
		w.SetFilter(filter.NewAllowAll(nil))
		s, err := netstack.New(w, netstack.Config{Addrs: tt.stack})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		r := &netstack.Resolver{Dial: s.DialContext, Hosts: map[string][]netip.Addr{
			"db": {host4[0], host6[0], host6[1], host4[1]},
		}}
		if got, err := r.LookupNetIP(ctx(t), "ip", "db"); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("stack with %v: %v, %v", tt.stack, got, err)
		}
	}
}
