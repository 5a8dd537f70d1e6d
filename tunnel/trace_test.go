package tunnel_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	wgnetstack "golang.zx2c4.com/wireguard/tun/netstack"

	"tstun"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
	"tstun/policy"
	"tstun/tunnel"
)

const tracedPolicy = `{
	"local": ["10.9.0.1"],
	"accept": [
		{"proto": "tcp", "src": "*", "dst": "10.9.0.1:22-23"},
		{"proto": "udp", "src": "*", "dst": "10.9.0.1:53-55"},
	],
}`

// tracePair returns two tunnels that had a handshake, of which the first has tracedPolicy
// and programs: one at TCP port 22, one at UDP port 53 that answers, one at 55 that does
// not. change changes their Configs.
func tracePair(t *testing.T, change func(there, here *tunnel.Config)) (there, here *tunnel.Tunnel) {
	t.Helper()
	a, b := linked(t)
	a.Policy = filepath.Join(t.TempDir(), "policy.hujson")
	replace(t, a.Policy, tracedPolicy)
	b.Peers[0].Required = true
	if change != nil {
		change(&a, &b)
	}
	there, here = start(t, a), start(t, b)
	l, err := there.Listen(within(t), "tcp", "10.9.0.1:22")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	for _, port := range []string{"53", "55"} {
		c, err := there.ListenPacket(within(t), "udp", "10.9.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if port == "53" {
			go func() {
				for buf := make([]byte, 9); ; {
					_, from, err := c.ReadFrom(buf)
					if err != nil {
						return
					}
					_, _ = c.WriteTo([]byte("answer"), from)
				}
			}()
		}
	}
	t.Cleanup(func() {
		l.Close()
		if err := <-accepted; err == nil {
			t.Error("a program saw a connection that was tried")
		}
	})
	return there, here
}

// unanswered is how long a trace waits for what is not answered, and meanwhile for the
// pong, which is.
const unanswered = 500 * time.Millisecond

// trace tries the one flow that src and dst stand for.
func trace(ctx context.Context, t *testing.T, tun *tunnel.Tunnel, src, dst, proto string, wait time.Duration) tunnel.Trace {
	t.Helper()
	flows, err := tun.FlowsBetween(src, dst, proto)
	if err != nil || len(flows) != 1 {
		t.Fatalf("%s to %s: %d flows, %v", src, dst, len(flows), err)
	}
	tr, err := tun.Trace(ctx, flows[0], wait)
	if err != nil {
		t.Fatal(err)
	}
	if p := tr.Probe; p != nil && (p.Text == "" || (p.Advice == "") != (p.Outcome == tunnel.OutcomeAnswered) ||
		(len(p.MayBe) == 0) != (p.Outcome != tunnel.OutcomeSilent) || p.Source.Addr().String() != src || p.Source.Port() == 0) {
		t.Errorf("%s to %s: %+v", src, dst, p)
	}
	return tr
}

// came returns outcome, code and presence of a trial, or the obstacle at this end.
func came(tr tunnel.Trace) string {
	if tr.Probe == nil {
		return fmt.Sprint("here ", tr.Obstacle().Step, " ", tr.Obstacle().Code)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s", tr.Probe.Outcome, tr.Probe.Code))
}

// Each thing that can come back is told apart from the others.
func TestTrace(t *testing.T) {
	t.Parallel()
	there, here := tracePair(t, nil)
	for _, tt := range []struct {
		name, dst, proto, want string
		wait                   time.Duration
	}{
		{"a program listens", "10.9.0.1:22", "tcp", "answered", patience},
		{"nobody listens", "10.9.0.1:23", "tcp", "closed", patience},
		{"no rule", "10.9.0.1:24", "tcp", "rejected rules", patience},
		{"a program answers a datagram", "10.9.0.1:53", "udp", "answered", patience},
		{"nobody listens to datagrams", "10.9.0.1:54", "udp", "closed", patience},
		{"a program does not answer a datagram", "10.9.0.1:55", "udp", "silent", unanswered},
		{"no rule for datagrams", "10.9.0.1:56", "udp", "rejected rules", patience},
		{"no rule for pings", "10.9.0.1", "icmp", "rejected rules", patience},
		{"refused here", "10.9.0.7:22", "tcp", "here peer no-peer", patience},
	} {
		tr := trace(within(t), t, here, "10.9.0.2", tt.dst, tt.proto, tt.wait)
		if got := came(tr); got != tt.want {
			t.Errorf("%s: %q, want %q: %+v", tt.name, got, tt.want, tr.Probe)
		}
		if tr.Probe != nil && tr.Probe.Outcome == tunnel.OutcomeSilent && tr.Probe.Presence != tunnel.PresencePong {
			t.Errorf("%s: the peer is not known to be there: %+v", tt.name, tr.Probe)
		}
		if tr.Probe != nil && strings.Contains(tr.Probe.Text+tr.Probe.Advice, "22-23") {
			t.Errorf("%s: shows a rule of the peer's: %+v", tt.name, tr.Probe)
		}
	}
	if got := came(trace(within(t), t, there, "10.9.0.1", "10.9.0.2", "icmp", patience)); got != "answered" {
		t.Errorf("a ping without a policy: %q", got)
	}
	wantReset(t, there)
	if n := there.Status().Counters.In.Drops[filter.ReasonNoRule]; n != 3 {
		t.Errorf("%d packets were refused, want 3", n)
	}
	all, _ := flows(t, there, tunnel.FlowQuery{})
	for i := range all {
		if f := &all[i]; f.Proto.IsICMP() && f.Phase == filter.PhaseUntracked && !f.IsRefused() && f.In.Packets > 0 {
			t.Errorf("an answer or a rejection was answered by an error: %v, %+v", f, f.In)
		}
	}
	for _, tun := range []*tunnel.Tunnel{there, here} {
		if u := tun.Status().Unaccounted; u != (tunnel.Unaccounted{}) {
			t.Errorf("the books do not balance: %+v", u)
		}
	}
}

// wantReset waits until the connection to port 22 was reset: it is not half open.
func wantReset(t *testing.T, there *tunnel.Tunnel) {
	t.Helper()
	for ctx := within(t); ; time.Sleep(time.Millisecond) {
		all, _ := flows(t, there, tunnel.FlowQuery{})
		for i := range all {
			if f := &all[i]; f.Dst.Port == 22 && f.Phase == filter.PhaseReset {
				return
			}
		}
		if ctx.Err() != nil {
			t.Fatalf("no connection was reset: %+v", all)
		}
	}
}

// A peer that refuses without a word, or that is gone, is silence, and what that can mean
// depends on whether it is there.
func TestTraceSilence(t *testing.T) {
	t.Parallel()
	there, here := tracePair(t, func(there, _ *tunnel.Config) { there.Reject = tunnel.RejectNone })
	tr := trace(within(t), t, here, "10.9.0.2", "10.9.0.1:24", "tcp", unanswered)
	if got := came(tr); got != "silent" || tr.Probe.Presence != tunnel.PresencePong || strings.Contains(fmt.Sprint(tr.Probe.MayBe), "AllowedIPs") {
		t.Errorf("refused without a word: %q %+v", got, tr.Probe)
	}
	if err := there.Close(); err != nil {
		t.Fatal(err)
	}
	tr = trace(within(t), t, here, "10.9.0.2", "10.9.0.1:22", "tcp", unanswered)
	if got := came(tr); got != "silent" || tr.Probe.Presence != "" || !strings.Contains(fmt.Sprint(tr.Probe.MayBe), "AllowedIPs") {
		t.Errorf("the peer is gone: %q %+v", got, tr.Probe)
	}
}

// A peer that never came up is this end's to tell.
func TestTracePeerDown(t *testing.T) {
	t.Parallel()
	_, b := linked(t)
	b.Peers[0].Endpoint = silent(t)
	if got := came(trace(briefly(t), t, start(t, b), "10.9.0.2", "10.9.0.1:22", "tcp", patience)); got != "here handshake no-handshake" {
		t.Errorf("%q", got)
	}
}

// A peer whose policy answers as a firewall does is told from one without a listener, where
// ICMP says so.
func TestTraceFirewall(t *testing.T) {
	t.Parallel()
	_, here := tracePair(t, func(there, _ *tunnel.Config) { there.Reject = tunnel.RejectReset })
	for dst, want := range map[string]string{"10.9.0.1:24/tcp": "closed", "10.9.0.1:56/udp": "rejected admin-prohibited", "10.9.0.1/icmp": "rejected admin-prohibited"} {
		dst, proto, _ := strings.Cut(dst, "/")
		if got := came(trace(within(t), t, here, "10.9.0.2", dst, proto, patience)); got != want {
			t.Errorf("%s %s: %q, want %q", proto, dst, got, want)
		}
	}
}

// An answer that this end refuses is told; one that does not come as far as the network
// stack, which would reset it, is reset all the same.
func TestTraceAnswers(t *testing.T) {
	t.Parallel()
	for response, want := range map[filter.Response]string{filter.Drop: "answer-refused hook", filter.Handled: "answered"} {
		there, here := tracePair(t, func(_, here *tunnel.Config) {
			here.Setup = func(w *tstun.Wrapper) error {
				w.PreFilterIn = func(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
					if p.TCPFlags&packet.TCPSynAck == packet.TCPSynAck {
						return response
					}
					return filter.Accept
				}
				return nil
			}
		})
		if got := came(trace(within(t), t, here, "10.9.0.2", "10.9.0.1:22", "tcp", patience)); got != want {
			t.Errorf("%v: %q, want %q", response, got, want)
		}
		if response == filter.Handled {
			wantReset(t, there)
		}
	}
}

// A peer with bare WireGuard answers as its host does, which says that it does not speak
// TSMP.
func TestTracePlainWireGuard(t *testing.T) {
	t.Parallel()
	a, b := linked(t)
	dev, stack, err := wgnetstack.CreateNetTUN([]netip.Addr{netip.MustParseAddr("10.9.0.1")}, nil, 1420)
	if err != nil {
		t.Fatal(err)
	}
	wg := device.NewDevice(dev, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	t.Cleanup(wg.Close)
	own, peer := a.PrivateKey.Raw32(), b.PrivateKey.Public().Raw32()
	config := fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nallowed_ip=10.9.0.2/32\n", hex.EncodeToString(own[:]), a.ListenPort, hex.EncodeToString(peer[:]))
	if err := wg.IpcSet(config); err != nil {
		t.Fatal(err)
	}
	if err := wg.Up(); err != nil {
		t.Fatal(err)
	}
	quiet, err := stack.ListenUDPAddrPort(netip.MustParseAddrPort("10.9.0.1:55"))
	if err != nil {
		t.Fatal(err)
	}
	defer quiet.Close()
	b.Peers[0].Required = true
	here := start(t, b)
	if got := came(trace(within(t), t, here, "10.9.0.2", "10.9.0.1:22", "tcp", patience)); got != "closed" {
		t.Errorf("nobody listens: %q", got)
	}
	tr := trace(within(t), t, here, "10.9.0.2", "10.9.0.1:55", "udp", unanswered)
	if got := came(tr); got != "silent" || tr.Probe.Presence != tunnel.PresenceNoTSMP || strings.Contains(fmt.Sprint(tr.Probe.MayBe), "--reject") {
		t.Errorf("a program that does not answer: %q %+v", got, tr.Probe)
	}
	if drops := here.Status().Counters.In.Dropped(); drops != 0 {
		t.Errorf("%d packets were dropped for what the peer's host says of TSMP", drops)
	}
}

// What cannot be tried is refused by name.
func TestTraceRefuses(t *testing.T) {
	t.Parallel()
	a, _ := linked(t)
	tun := start(t, a)
	for _, tt := range []struct {
		src, dst, proto string
		wait            time.Duration
		want            string
	}{
		{"10.9.0.2", "10.9.0.1:22", "tcp", 0, "does not begin at this node"},
		{"10.9.0.7", "10.9.0.2:22", "tcp", 0, "10.9.0.7 is not an address of this host"},
		{"10.9.0.1", "10.9.0.2:22", "sctp", 0, "want tcp, udp or icmp"},
		{"10.9.0.1", "10.9.0.2:22", "tcp", -1, "a time of -1ns"},
		{"10.9.0.1", "10.9.0.2:22", "tcp", time.Hour, "a time of 1h0m0s"},
	} {
		flows, err := tun.FlowsBetween(tt.src, tt.dst, tt.proto)
		if err != nil || len(flows) != 1 {
			t.Errorf("%+v: %v, %v", tt, flows, err)
			continue
		}
		if tr, err := tun.Trace(within(t), flows[0], tt.wait); err == nil || !strings.Contains(err.Error(), tt.want) || tr.Probe != nil {
			t.Errorf("%+v: %+v, %v", tt, tr, err)
		}
	}
	mixed := policy.Flow{Proto: ipproto.ICMPv6, Src: netip.MustParseAddr("10.9.0.1"), Dst: netip.MustParseAddrPort("10.9.0.2:0")}
	if _, err := tun.Trace(within(t), mixed, 0); err == nil || !strings.Contains(err.Error(), "want the ICMP of its IP version") {
		t.Errorf("%v: %v", mixed, err)
	}
}
