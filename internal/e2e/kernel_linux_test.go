package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/ipproto"
	"tstun/tundev"
)

const allowedPort, deniedPort = 5201, 5202

// kernelNode is a node whose host is a real kernel in a namespace of its own.
type kernelNode struct {
	*rig.Node
	*rig.Host
}

// newKernelNode makes a TUN by create in a namespace of its own and a
// wireguard-go device on it.
func newKernelNode(t *testing.T, create func() (tun.Device, string, error), addrs ...netip.Addr) *kernelNode {
	t.Helper()
	host, dev := rig.NewHost(t, create)
	w := tstun.Wrap(t.Logf, dev)
	t.Cleanup(func() { w.Close() })
	serve(t, w, addrs)
	host.Configure(t, addrs...)
	return &kernelNode{rig.NewNode(t, w, addrs...), host}
}

// serve opens pings and one port, and lets multicast out, which kernels send
// of their own accord, so that Wrapper and kernel count the same packets.
func serve(t *testing.T, w *tstun.Wrapper, addrs []netip.Addr) {
	t.Helper()
	f, err := filter.New(filter.Config{
		Matches: []filter.Match{rig.To(rig.Port(allowedPort), ipproto.TCP, ipproto.UDP), rig.To(filter.AllPorts, ipproto.ICMPv4, ipproto.ICMPv6)},
		Local:   rig.Local(addrs...),
		Permit:  filter.Permit{Multicast: true, LinkLocal: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.SetFilter(f)
	w.SetReject(tstun.RejectReset)
}

// wantKernelsCounters waits until no packet is under way, and checks that kernel and
// Wrapper have counted the same.
func (n *kernelNode) wantKernelsCounters(t *testing.T) {
	t.Helper()
	var k rig.HostCounters
	var c tstun.Counters
	for range 100 {
		k, c = n.Counters(t), n.W.Counters()
		if c.In.Packets == k.Rx.Packets && c.In.Bytes == k.Rx.Bytes && c.Out.Packets == k.Tx.Packets && c.Out.Bytes == k.Tx.Bytes {
			return
		}
	}
	t.Errorf("%s: the Wrapper counted %+v, the kernel %+v", n.Name, c, k)
}

// plainTUN makes a TUN without offloads. Kernel and Wrapper see the same packets
// there, even of bulk TCP.
func plainTUN() (tun.Device, string, error) {
	file, err := rig.OpenTUN("plain%d")
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	return tundev.FromFile(file, tstun.DefaultMTU)
}

func TestTwoKernels(t *testing.T) {
	devices := map[string]func() (tun.Device, string, error){
		"New":   rig.TUNOfNew(t),
		"plain": plainTUN,
	}
	for name, create := range devices {
		t.Run(name, func(t *testing.T) {
			a := newKernelNode(t, create, host4, host6)
			b := newKernelNode(t, create, peer4, peer6)
			rig.Join(t, a.Node, b.Node)
			testKernelPing(t, a, b)
			a.wantKernelsCounters(t)
			b.wantKernelsCounters(t)
			testKernelTCP(t, a, b)
			if name == "plain" {
				a.wantKernelsCounters(t)
				b.wantKernelsCounters(t)
			}
			testKernelDenied(t, a, b)
			testKernelCleanUp(t, a, b)
		})
	}
}

func testKernelPing(t *testing.T, a, b *kernelNode) {
	t.Helper()
	for _, dst := range []netip.Addr{peer4, peer6} {
		out := a.Run(t, "ping", "-n", "-c", "3", "-i", "0.05", "-W", "5", dst.String())
		if !strings.Contains(out, " 0% packet loss") {
			t.Errorf("ping %v: %s\nhere %+v\nthere %+v", dst, out, a.W.Counters(), b.W.Counters())
		}
	}
}

// testKernelTCP moves data by iperf3, from one kernel's TCP to the other's, and
// checks that the Wrappers have counted no less than arrived.
func testKernelTCP(t *testing.T, a, b *kernelNode) {
	t.Helper()
	if _, err := exec.LookPath("iperf3"); err != nil {
		t.Skipf("needs iperf3: %v", err)
	}
	for _, dst := range []netip.Addr{peer4, peer6} {
		server := exec.CommandContext(t.Context(), "iperf3", "-s", "-1", "--forceflush", "-p", fmt.Sprint(allowedPort))
		stdout, err := server.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := b.NS.Start(server); err != nil {
			t.Fatal(err)
		}
		// Its first output says that it listens.
		if _, err := stdout.Read(make([]byte, 200)); err != nil {
			t.Fatal(err)
		}
		before := b.W.Counters().In.Bytes
		var result struct {
			End struct {
				SumReceived struct{ Bytes uint64 } `json:"sum_received"`
			}
		}
		out := a.Run(t, "iperf3", "-J", "-n", "32M", "-p", fmt.Sprint(allowedPort), "-c", dst.String())
		if err := json.Unmarshal([]byte(out), &result); err != nil {
			t.Fatal(err)
		}
		got := result.End.SumReceived.Bytes
		if got < 16<<20 { // what is under way when the client has sent its last byte does not count
			t.Errorf("%v: iperf3 moved %d bytes of 32 MiB", dst, got)
		}
		if in := b.W.Counters().In.Bytes - before; in < got {
			t.Errorf("%v: the Wrapper counted %d bytes, iperf3 received %d", dst, in, got)
		}
		if err := server.Wait(); err != nil {
			t.Errorf("iperf3 -s: %v", err)
		}
	}
}

func testKernelDenied(t *testing.T, a, b *kernelNode) {
	t.Helper()
	for _, dst := range []netip.Addr{peer4, peer6} {
		before := b.W.Counters().In.Drops[filter.ReasonNoRule]
		err := a.NS.Do(func() error {
			c, err := net.DialTimeout("tcp", netip.AddrPortFrom(dst, deniedPort).String(), 10*time.Second)
			if err == nil {
				c.Close()
			}
			return err
		})
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v: dialling a denied port: %v, want refused", dst, err)
		}
		if n := b.W.Counters().In.Drops[filter.ReasonNoRule] - before; n == 0 {
			t.Errorf("%v: the refusal was not counted", dst)
		}
	}
}

// testKernelCleanUp closes the devices and checks that interfaces and addresses are
// gone.
func testKernelCleanUp(t *testing.T, nodes ...*kernelNode) {
	t.Helper()
	for _, n := range nodes {
		n.Dev.Close()
		rig.WantClosed(t, "Inject", n.W.InjectOutbound([]byte{0x45}))
		links, err := n.NS.Links()
		if err != nil || !slices.Equal(links, []string{"lo"}) {
			t.Errorf("links after Close: %v, %v; want lo alone", links, err)
		}
		for _, a := range n.Addrs {
			if out := n.Run(t, "ip", "-o", "addr"); strings.Contains(out, a.String()+"/") {
				t.Errorf("address %v is left: %s", a, out)
			}
		}
	}
}

// TestLesson15CloseAfterFd: File().Fd() puts a descriptor into blocking mode. Close
// still ends a Read that waits in it.
func TestLesson15CloseAfterFd(t *testing.T) {
	_, dev := rig.NewHost(t, rig.TUNOfNew(t))
	w := tstun.Wrap(t.Logf, dev)
	if w.File().Fd() == ^uintptr(0) {
		t.Error("no descriptor")
	}
	reading := make(chan struct{})
	ended := make(chan error)
	go func() {
		close(reading)
		_, err := w.Unbatched().Read(make([]byte, 2000), offset)
		ended <- err
	}()
	<-reading
	rig.Soon(t, "Close", func() {
		if err := w.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	rig.WantClosed(t, "Read", <-ended)
}
