package e2e_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tstun/internal/rig"
)

// tunnel is two processes of one kind with a cable between them, and a program
// at each end that sends or echoes UDP packets.
type tunnel struct {
	processes [2]process
	conn      *net.UDPConn // of the program that sends
	sent      uint64
}

// process is one that is an end of a tunnel.
type process struct {
	pid int
}

const (
	tunDevice = "e2e0"
	pingWait  = 3 * time.Second // until a round trip counts as lost, however busy the machine is
)

// newTunnel makes a tunnel, with namespaces of its own, that ends with the
// test, and waits until packets pass.
func newTunnel(t *testing.T, kind string) *tunnel {
	t.Helper()
	if _, err := os.Stat("/dev/net/tun"); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("needs /dev/net/tun: %v", err)
	}
	a, b := newEnds(t,
		end{Host: rig.Host{Name: tunDevice}, addrs: []netip.Addr{host4}},
		end{Host: rig.Host{Name: tunDevice}, addrs: []netip.Addr{peer4}})
	tn := &tunnel{processes: [2]process{a.startProcess(t, kind, b), b.startProcess(t, kind, a)}}
	echoAt := net.UDPAddrFromAddrPort(netip.AddrPortFrom(peer4, portUDP))
	go echo(b.UDPSocket(t, func() (*net.UDPConn, error) { return net.ListenUDP("udp4", echoAt) }))
	tn.conn = a.UDPSocket(t, func() (*net.UDPConn, error) { return net.DialUDP("udp4", nil, echoAt) })
	for range 10 { // the first pays for the handshake
		if tn.ping() == nil {
			return tn
		}
	}
	t.Fatalf("no packet passes through the %s tunnel", kind)
	return nil
}

func echo(c *net.UDPConn) {
	var b [64]byte
	for {
		n, from, err := c.ReadFromUDPAddrPort(b[:])
		if err != nil {
			return
		}
		c.WriteToUDPAddrPort(b[:n], from) // lost is lost
	}
}

// ping makes one round trip.
func (tn *tunnel) ping() error {
	tn.sent++
	var b [56]byte // as ping(8) sends
	binary.BigEndian.PutUint64(b[:], tn.sent)
	tn.conn.SetDeadline(time.Now().Add(pingWait))
	if _, err := tn.conn.Write(b[:]); err != nil {
		return err
	}
	for {
		if _, err := tn.conn.Read(b[:]); err != nil {
			return err
		}
		if binary.BigEndian.Uint64(b[:]) == tn.sent { // not a late one
			return nil
		}
	}
}

// switches returns how often the kernel has taken a processor away from both
// nodes.
func (tn *tunnel) switches(t *testing.T) int {
	t.Helper()
	return tn.processes[0].switches(t) + tn.processes[1].switches(t)
}

// switches returns how often the kernel has taken a processor away from the
// process's threads, voluntarily and not.
func (p process) switches(t *testing.T) (total int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("threads of %d: %d, %v", p.pid, len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			if !strings.HasSuffix(name, "voluntary_ctxt_switches") {
				continue
			}
			v, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			total += v
		}
	}
	return total
}
