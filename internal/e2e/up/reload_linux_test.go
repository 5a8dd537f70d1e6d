package up_test

import (
	"strings"
	"syscall"
	"testing"

	"tstun/key"
)

// hangUp has the node read its files again, and waits until it has.
func (n *node) hangUp(log string) {
	n.t.Helper()
	from := len(n.log.String())
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		n.t.Fatal(err)
	}
	n.await(from, log)
}

// TestReload adds and removes a peer and changes the policy while a connection
// with another peer is open, which goes on.
func TestReload(t *testing.T) {
	t.Parallel()
	a, b := neighbours(t)
	other := newHost(t)
	link(other, "eth0", "198.51.100.3/24", a, "eth1", "198.51.100.1/24")
	ca, cb := configs("192.0.2.2:51820")
	co := config{key: key.NewPrivate(), lines: "Address = 10.77.0.3/24\nListenPort = 51820"}
	co.peers = []peer{{ca.key.Public(), "10.9.0.1/32", ""}}
	with := ca
	with.peers = append(with.peers[:1:1], peer{co.key.Public(), "10.77.0.0/24", "Endpoint = 198.51.100.3:51820"})
	policy := a.write("policy.hujson", `{"local": ["10.9.0.1", "fd09::1"], "accept": []}`)
	other.up(co)
	b.up(cb)
	a.unchanged(func() {
		n := a.up(ca, "--policy", policy)
		a.ping("10.9.0.2")
		transfer := beginIperf(a, b, "10.9.0.2", "-n", "2M", "-b", "4M")
		transfer.midway(b)

		a.write("wg0.conf", with.String())
		n.hangUp("reload: ")
		a.ping("10.77.0.3")
		a.has("route", "10.77.0.0/24 dev wg0")
		a.write("policy.hujson", `{"local": ["10.9.0.1", "fd09::1"], "accept": [{"proto": "icmp", "src": "10.77.0.3", "dst": "10.9.0.1"}]}`)
		n.await(0, "1 rule")
		other.ping("10.9.0.1")

		a.write("wg0.conf", "[Interface]\nPrivatKey = x\n")
		n.hangUp("wg0.conf:2")
		a.ping("10.77.0.3")

		a.write("wg0.conf", ca.String())
		n.hangUp("reload: ")
		if out := a.ip("route"); strings.Contains(out, "10.77.0.0") {
			t.Errorf("the route of a peer that was removed stays:\n%s", out)
		}
		if out := a.run("wg", "show", "wg0", "peers"); out != cb.key.Public().String()+"\n" {
			t.Errorf("peers after the reload: %s", out)
		}
		if r := transfer.report(); r.End.Received.Bytes < 1<<20 {
			t.Errorf("the peer that was left alone got %d bytes", r.End.Received.Bytes)
		}
		n.stop()
	})
}
