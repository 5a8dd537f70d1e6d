package attack_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/netns"
	"tstun/internal/rig"
	"tstun/ipproto"
)

// The attacker and the victim, and the victim's ports. Its kernel listens on
// both of each kind; the rules open the one, and a third that nobody listens
// on.
var (
	attacker4 = netip.MustParseAddr("10.9.0.2")
	attacker6 = netip.MustParseAddr("fd09::2")
	victim4   = netip.MustParseAddr("10.9.0.1")
	victim6   = netip.MustParseAddr("fd09::1")
)

const (
	openTCP, idleTCP, deniedTCP = 22, 443, 3306
	openUDP, deniedUDP          = 53, 5353

	attackerTUN = "attacker0"
	patience    = 20 * time.Second
)

// observer is the victim's TUN, and sees what is written to it: everything
// that the filter let in.
type observer struct {
	tun.Device
	mu      sync.Mutex
	seen    [][]byte
	changed chan struct{} // closed and replaced when seen grows
}

func (o *observer) Write(bufs [][]byte, offset int) (int, error) {
	o.mu.Lock()
	for _, b := range bufs {
		o.seen = append(o.seen, bytes.Clone(b[offset:]))
	}
	close(o.changed)
	o.changed = make(chan struct{})
	o.mu.Unlock()
	return o.Device.Write(bufs, offset)
}

// lab is an attacker's kernel whose TUN is wired to a victim's kernel behind
// a Wrapper.
type lab struct {
	attacker, victim *rig.Host
	w                *tstun.Wrapper
	observer         *observer
	breaches         atomic.Int32 // what the servers on denied ports were sent
}

// newLab wires a victim that has the ports above open, and pings.
func newLab(t *testing.T) *lab {
	t.Helper()
	r := &lab{attacker: &rig.Host{NS: netns.New(t), Name: attackerTUN}}
	victim, dev := rig.NewHost(t, rig.TUNOfNew(t))
	r.victim = victim
	r.observer = &observer{Device: dev, changed: make(chan struct{})}
	r.w = tstun.Wrap(t.Logf, r.observer)
	t.Cleanup(func() { r.w.Close() })
	r.w.SetFilter(victimFilter(t))
	wire := openTUN(t, r.attacker.NS, attackerTUN)
	r.victim.Configure(t, victim4, victim6)
	r.attacker.Configure(t, attacker4, attacker6)
	// A burst has to find room.
	r.attacker.Run(t, "ip", "link", "set", attackerTUN, "txqueuelen", "20000")
	r.serve(t)
	r.pump(t, wire)
	return r
}

func victimFilter(t *testing.T) *filter.Filter {
	t.Helper()
	f, err := filter.New(filter.Config{
		Matches: []filter.Match{
			rig.To(rig.Port(openTCP), ipproto.TCP),
			rig.To(rig.Port(idleTCP), ipproto.TCP),
			rig.To(rig.Port(openUDP), ipproto.UDP),
			rig.To(filter.AllPorts, ipproto.ICMPv4, ipproto.ICMPv6),
		},
		Local: rig.Local(victim4, victim6),
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// pump carries packets between the attacker's TUN and the Wrapper until both
// are closed.
func (r *lab) pump(t *testing.T, wire *os.File) {
	t.Helper()
	var pumps sync.WaitGroup
	pumps.Go(func() {
		buf := rig.Buffers(1)[0]
		for {
			n, err := wire.Read(buf[rig.Offset:])
			if err != nil {
				return
			}
			if _, err := r.w.Write([][]byte{buf[:rig.Offset+n]}, rig.Offset); err != nil {
				return
			}
		}
	})
	pumps.Go(func() {
		bufs, sizes := rig.Buffers(r.w.BatchSize()), make([]int, r.w.BatchSize())
		for {
			n, err := r.w.Read(bufs, sizes, rig.Offset)
			if err != nil {
				return
			}
			for i := range n {
				// The attacker's kernel need not like every packet.
				_, _ = wire.Write(bufs[i][rig.Offset:][:sizes[i]])
			}
		}
	})
	t.Cleanup(func() {
		wire.Close()
		r.w.Close()
		pumps.Wait()
	})
}

// serve makes the victim's kernel listen, and echo what comes.
func (r *lab) serve(t *testing.T) {
	t.Helper()
	err := r.victim.NS.Do(func() error {
		for _, port := range []int{openTCP, deniedTCP} {
			l, err := net.ListenTCP("tcp", &net.TCPAddr{Port: port})
			if err != nil {
				return err
			}
			t.Cleanup(func() { l.Close() })
			go r.echoTCP(l, port == deniedTCP)
		}
		for _, port := range []int{openUDP, deniedUDP} {
			c, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
			if err != nil {
				return err
			}
			t.Cleanup(func() { c.Close() })
			go r.echoUDP(c, port == deniedUDP)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *lab) echoTCP(l net.Listener, denied bool) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if denied {
			r.breaches.Add(1)
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c)
		}()
	}
}

func (r *lab) echoUDP(c *net.UDPConn, denied bool) {
	buf := make([]byte, 65536)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if denied {
			r.breaches.Add(1)
		}
		_, _ = c.WriteToUDPAddrPort(buf[:n], from)
	}
}

// dial connects from the attacker's kernel, sends a greeting of n bytes and
// waits for its echo.
func (r *lab) dial(network string, to netip.AddrPort, n int) (c net.Conn, err error) {
	err = r.attacker.NS.Do(func() error {
		c, err = net.DialTimeout(network, to.String(), patience)
		return err
	})
	if err != nil {
		return nil, err
	}
	sent, got := bytes.Repeat([]byte("hello"), n/5), make([]byte, n/5*5)
	err = errors.Join(c.SetDeadline(time.Now().Add(patience)), func() error { _, err := c.Write(sent); return err }())
	if err == nil {
		_, err = io.ReadFull(c, got)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// wantService checks that what is allowed works, large UDP datagrams, which
// come in fragments, included.
func (r *lab) wantService(t *testing.T) {
	t.Helper()
	for _, victim := range []netip.Addr{victim4, victim6} {
		for network, port := range map[string]uint16{"tcp": openTCP, "udp": openUDP} {
			c, err := r.dial(network, netip.AddrPortFrom(victim, port), 4000)
			if err != nil {
				t.Errorf("%s to %v is allowed: %v", network, victim, err)
				continue
			}
			c.Close()
		}
	}
}

// attack is one attack and what came of it.
type attack struct {
	seen  [][]byte                 // what the victim got, but the marker
	drops map[filter.Reason]uint64 // what the Wrapper dropped
}

// scapy runs a script, which sends packets by put(…), and waits until the
// victim has got or the Wrapper has dropped all of them.
func (r *lab) scapy(t *testing.T, script string) attack {
	t.Helper()
	if out, err := exec.Command(python, "-c", "import scapy").CombinedOutput(); err != nil {
		t.Skipf("needs scapy (Debian: python3-scapy): %v %s", err, out)
	}
	before := r.w.Counters().In.Drops
	r.observer.mu.Lock()
	start := len(r.observer.seen)
	r.observer.mu.Unlock()
	r.attacker.Run(t, python, "-c", prelude+script+"\nput(IP(src=A4, dst=V4) / UDP(sport=9, dport=53) / b'that was all')\n")
	seen := r.observer.wait(t, start, func(b []byte) bool { return bytes.HasSuffix(b, []byte("that was all")) })
	a := attack{seen: seen, drops: make(map[filter.Reason]uint64)}
	for reason, n := range r.settled(t).Drops {
		own := reason == filter.ReasonMulticast || reason == filter.ReasonLinkLocal // of the attacker's kernel
		if n -= before[reason]; n > 0 && !own {
			a.drops[reason] = n
		}
	}
	return a
}

// settled returns the inbound counters when no fragment waits any more.
func (r *lab) settled(t *testing.T) tstun.DirectionCounters {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		in := r.w.Counters().In
		if in.Held == 0 {
			return in
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d fragments are held for ever", in.Held)
		}
	}
}

// python is that of the system, which knows the system's packages.
const python = "/usr/bin/python3"

// prelude is in front of each script. What goes into a packet socket is what
// comes out of the TUN, byte by byte. A4 and A6 are addresses that the
// attacker's kernel does not have, so that it neither sends from them nor
// answers what comes back.
const prelude = `
import logging, socket
logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
from scapy.all import *
A4, A6, V4, V6 = "10.9.0.3", "fd09::3", "10.9.0.1", "fd09::1"
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
def put(*packets):
    for p in packets:
        b = bytes(p)
        link.sendto(b, ("attacker0", 0x86dd if b[0] >> 4 == 6 else 0x0800))
`

// wait returns what the victim got from start on until a packet like last.
func (o *observer) wait(t *testing.T, start int, last func(b []byte) bool) [][]byte {
	t.Helper()
	timeout := time.After(patience)
	for {
		o.mu.Lock()
		seen, changed := o.seen[start:], o.changed
		o.mu.Unlock()
		if i := slices.IndexFunc(seen, last); i >= 0 {
			return seen[:i]
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("the marker did not come; the victim got %d packets", len(seen))
		}
	}
}

// nmap scans the victim and returns the ports by their state.
func (r *lab) nmap(t *testing.T, victim netip.Addr, args ...string) map[string][]string {
	t.Helper()
	args = append([]string{"-n", "-Pn", "--send-ip", "--max-retries", "2", "--min-rate", "1500", "-T4", "-oG", "-"}, args...)
	if victim.Is6() {
		args = append(args, "-6")
	}
	out := r.attacker.Run(t, "nmap", append(args, victim.String())...)
	_, list, _ := strings.Cut(out, "Ports: ")
	list, _, _ = strings.Cut(list, "\t")
	ports := make(map[string][]string)
	for entry := range strings.SplitSeq(list, ", ") {
		if f := strings.Split(entry, "/"); len(f) > 2 {
			ports[f[1]] = append(ports[f[1]], f[0])
		}
	}
	return ports
}
