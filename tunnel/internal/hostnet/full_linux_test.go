package hostnet_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tstun/internal/rig"
	"tstun/tunnel/internal/hostnet"
)

// full is a full tunnel of both IP versions, whose endpoint is behind the
// default route.
func full() hostnet.Config {
	return hostnet.Config{
		Addresses: prefixes("10.1.0.1/24 fd01::1/64"),
		Routes:    prefixes("0.0.0.0/0 ::/0"),
		Endpoints: endpoints("198.51.100.7:51820"),
	}
}

func TestFullTunnel(t *testing.T) {
	for name, routes := range map[string]string{
		"default routes": "0.0.0.0/0 ::/0", "halves": "0.0.0.0/1 128.0.0.0/1 ::/1 8000::/1", "both": "::/0 0.0.0.0/0 128.0.0.0/1 0.0.0.0/1",
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t).withTUN()
			before := s.snapshot()
			u := s.take(ifname)
			c := full()
			c.Routes = append(prefixes(routes), prefixes("10.8.0.0/16")...)
			mark := u.mark(c)
			u.mustSet(c)
			s.goesThrough(mark)
			s.has("rule", "32764:\tfrom all lookup main suppress_prefixlength 0 proto 151", "32765:\tnot from all fwmark 0xca6c lookup 51820 proto 151")
			s.has("route show", "10.8.0.0/16 dev tstun0")
			s.has("route get 10.8.0.1", "dev tstun0")
			u.close()
			s.sameAs(before, "after Close")
		})
	}
}

// mark is Mark.
func (u *tunnel) mark(c hostnet.Config) (mark uint32) {
	u.t.Helper()
	u.do(func() (err error) {
		mark, err = u.h.Mark(c)
		return err
	})
	return mark
}

// goesThrough wants all but what bears the mark, and what is near, to go into
// the tunnel.
func (s *scene) goesThrough(mark uint32) {
	s.t.Helper()
	marked := fmt.Sprintf(" mark %d", mark)
	for to, dev := range map[string]string{
		"198.51.100.7": ifname, "198.51.100.7" + marked: "eth0", "8.8.8.8": ifname, "192.0.2.9": "eth0",
		"2001:db8:9::1": ifname, "2001:db8:9::1" + marked: "eth0", "2001:db8::9": "eth0",
	} {
		s.has("route get "+to, "dev "+dev)
	}
}

// TestMark chooses marks that nobody else has.
func TestMark(t *testing.T) {
	s := newScene(t).withTUN()
	s.ip("tuntap add dev tstun1 mode tun")
	s.ip("route add 203.0.113.0/24 dev eth0 table 51820")
	s.ip("-6 rule add fwmark 0x3/0xf lookup main")            // 51827 = 0xca73
	s.ip("rule add from 203.0.113.1 table 51822")             // a table without routes
	s.ip("-6 route add 2001:db8:5::/48 dev eth0 table 51823") // of IPv6 alone
	before := s.snapshot()
	u, v := s.take(ifname), s.take("tstun1")
	if got := u.mark(split()); got != 0 {
		t.Errorf("a split tunnel needs mark %d", got)
	}
	if got := u.mark(full()); got != 51821 || u.mark(full()) != got {
		t.Errorf("mark %d, want 51821, twice", got)
	}
	if got := v.mark(full()); got != 51824 {
		t.Errorf("another interface has mark %d, want 51824: 51821 is reserved", got)
	}
	c := full()
	c.FwMark = 7
	if got := u.mark(c); got != 7 {
		t.Errorf("mark %d, want that of the Config", got)
	}
	u.close()
	v.close()
	w := s.take("tstun1")
	if got := w.mark(full()); got != 51821 {
		t.Errorf("mark %d, want 51821, which is free again", got)
	}
	w.close()
	s.sameAs(before, "after Close")
}

// settled takes out what the kernel alone decides, and when: the numbers that
// nftables counts up, what it adds of itself for an IPv6 address, and whether an
// interface that nobody holds has a carrier, which Linux 5.10 tells late.
func settled(snapshot string) string {
	return unsettled.ReplaceAllString(snapshot, "")
}

var unsettled = regexp.MustCompile("(?m) # handle [0-9]+$| tentative| linkdown|NO-CARRIER,|,LOWER_UP| state [A-Z]+|^(local|multicast) [0-9a-f:/]+ dev " + ifname + " table local .*\n")

func TestLeaks(t *testing.T) {
	s := newScene(t).withTUN()
	u := s.take(ifname)
	c := full()
	c.Routes = prefixes("0.0.0.0/0")
	w := u.mustSet(c, hostnet.WarnLeak)
	if want := "IPv6 goes around the tunnel: only the other IP version is routed into it whole. Add ::/0 to AllowedIPs, or switch IPv6 off."; w[0].Text != want {
		t.Errorf("%q", w[0].Text)
	}
	c.Routes = prefixes("::/1 8000::/1")
	w = u.mustSet(c, hostnet.WarnLeak)
	if !strings.HasPrefix(w[0].Text, "IPv4 goes around the tunnel") {
		t.Errorf("%q", w[0].Text)
	}
	s.ip("-6 addr flush dev eth0")
	s.ip("-6 route flush default")
	c.Routes = prefixes("0.0.0.0/0")
	w = u.mustSet(c, hostnet.WarnLeak)
	if !strings.HasPrefix(w[0].Text, "IPv6 would go around the tunnel as soon as this host has it") {
		t.Errorf("%q", w[0].Text)
	}
}

// TestEndpointInTunnel wants to hear of a tunnel that swallows its own packets.
func TestEndpointInTunnel(t *testing.T) {
	s := newScene(t).withTUN()
	u := s.take(ifname)
	c := split()
	c.Routes = prefixes("198.51.100.0/24")
	u.mustSet(c, hostnet.WarnEndpoint)
	s.has("link show dev "+ifname, "mtu 1420")
	u.mustSet(c, hostnet.WarnEndpoint)
	s.has("link show dev "+ifname, "mtu 1420") // and not less for the tunnel inside
}

// TestIPv6Off leaves IPv6 out where the interface has none.
func TestIPv6Off(t *testing.T) {
	s := newScene(t).withTUN()
	path := "/proc/sys/net/ipv6/conf/" + ifname + "/disable_ipv6"
	s.do(func() error { return os.WriteFile(path, []byte("1"), 0) })
	before := s.snapshot()
	u := s.take(ifname)
	u.mustSet(full(), hostnet.WarnIPv6Off, hostnet.WarnLeak)
	s.has("-o addr show dev "+ifname, "10.1.0.1/24")
	s.has("route get 8.8.8.8", "dev "+ifname)
	u.close()
	s.sameAs(before, "after Close")
}

// TestGuard sends to the tunnel's address from the network card.
func TestGuard(t *testing.T) {
	s := newScene(t).withTUN()
	u := s.take(ifname)
	if err := s.peer.AddRoute("eth0", netip.MustParsePrefix("10.1.0.0/24")); err != nil {
		t.Fatal(err)
	}
	ping := func(wait string) error {
		_, err := s.peer.Exec(t.Context(), "ping", "-c1", "-W", wait, "-I", "192.0.2.2", "10.1.0.1")
		return err
	}
	c := full()
	c.Table = 77
	u.mustSet(c)
	if err := ping("20"); err != nil {
		t.Errorf("without a guard: %v", err)
	}
	u.mustSet(full())
	if ping("0.2") == nil {
		t.Error("a stray was answered")
	}
}

// TestReversePath sends a marked packet to the endpoint behind the default
// route, and gets its reply although sources are tested strictly.
func TestReversePath(t *testing.T) {
	s := newScene(t)
	var tun *os.File
	s.do(func() (err error) {
		tun, err = rig.OpenTUN(ifname)
		return err
	})
	defer tun.Close()
	s.run("sysctl", "-q", "net.ipv4.conf.all.rp_filter=1")
	u := s.take(ifname)
	mark := u.mark(full())
	u.mustSet(full())
	if err := s.echo(mark, 20*time.Second); err != nil {
		t.Errorf("the endpoint's reply: %v", err)
	}
	s.run("sysctl", "-q", "net.ipv4.conf.all.src_valid_mark=0")
	if s.echo(mark, 200*time.Millisecond) == nil {
		t.Error("the reply comes without src_valid_mark: the test shows nothing")
	}
}

// echo sends a marked datagram to the peer at 198.51.100.7 and waits for its
// reply.
func (s *scene) echo(mark uint32, wait time.Duration) error {
	var there, here net.PacketConn
	err := s.peer.Do(func() (err error) {
		there, err = net.ListenPacket("udp4", "198.51.100.7:0")
		return err
	})
	if err != nil {
		return err
	}
	defer there.Close()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		ctlErr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) })
		return firstError(ctlErr, err)
	}}
	err = s.host.Do(func() (err error) {
		here, err = lc.ListenPacket(s.t.Context(), "udp4", ":0")
		return err
	})
	if err != nil {
		return err
	}
	defer here.Close()
	if _, err := here.WriteTo([]byte("hello"), there.LocalAddr()); err != nil {
		return err
	}
	b := make([]byte, 16)
	there.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, from, err := there.ReadFrom(b)
	if err != nil {
		return err
	}
	if _, err := there.WriteTo(b, from); err != nil {
		return err
	}
	here.SetReadDeadline(time.Now().Add(wait))
	_, _, err = here.ReadFrom(b)
	return err
}

func firstError(errs ...error) error {
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}
