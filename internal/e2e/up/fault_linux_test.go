package up_test

import (
	"os"
	"testing"
	"time"
)

// full are the configs of hosts as routed has them, with a full tunnel from a.
func full() (a, b config) {
	a, b = configs("198.51.100.2:51820")
	a.peers[0].allowed = "0.0.0.0/0, ::/0"
	return a, b
}

// TestKilled starts again after a process that could undo nothing.
func TestKilled(t *testing.T) {
	t.Parallel()
	a, _, b := routed(t)
	ca, cb := full()
	ca.lines += "\nDNS = 10.9.0.2, corp.example"
	a.unchanged(func() {
		b.up(cb)
		killed := a.up(ca)
		a.ping("10.9.0.2")
		killed.kill()
		a.has("rule", "lookup 51820")
		if _, err := os.Stat(a.path("run/wireguard/wg0.sock")); err != nil {
			t.Errorf("nothing is left: %v", err)
		}
		n := a.up(ca)
		a.ping("10.9.0.2")
		a.run("wg", "show", "wg0")
		n.stop()
	})
}

// TestSecondStart is refused and does not disturb the first.
func TestSecondStart(t *testing.T) {
	t.Parallel()
	a, _, b := routed(t)
	ca, cb := full()
	a.unchanged(func() {
		b.up(cb)
		n := a.up(ca)
		a.ping("10.9.0.2")
		during := a.network()
		a.begin(ca).fails("tunnel wg0 runs already as process")
		if after := a.network(); after != during {
			t.Errorf("the second start changed:\n%s\nto:\n%s", during, after)
		}
		a.ping("10.9.0.2")
		n.stop()
	})
}

// TestDeleted ends when somebody deletes the interface.
func TestDeleted(t *testing.T) {
	t.Parallel()
	a, _, b := routed(t)
	ca, cb := full()
	a.unchanged(func() {
		b.up(cb)
		n := a.up(ca)
		a.ping("10.9.0.2")
		a.ip("link del wg0")
		n.fails("the interface wg0 is gone")
	})
}

// TestOutage waits for a peer that is away. A connection outlives it.
func TestOutage(t *testing.T) {
	t.Parallel()
	a, b := neighbours(t)
	ca, cb := configs("192.0.2.2:51820")
	b.up(cb)
	a.up(ca)
	a.ping("10.9.0.2")
	transfer := beginIperf(a, b, "10.9.0.2", "-n", "2M", "-b", "4M") // 4 s
	transfer.midway(b)
	b.ip("link set eth0 down")
	time.Sleep(*outage)
	b.ip("link set eth0 up")
	if got := transfer.report().End.Received.Bytes; got < 1<<20 {
		t.Errorf("%d bytes of 2M", got)
	}
	a.ping("10.9.0.2")
}

// TestRoaming moves a peer to another address, and then to another port, while
// a connection is open.
func TestRoaming(t *testing.T) {
	t.Parallel()
	a, b := neighbours(t)
	ca, cb := configs("192.0.2.2:51820")
	b.up(cb)
	a.up(ca)
	a.ping("10.9.0.2")
	transfer := beginIperf(a, b, "10.9.0.2", "-n", "2M", "-b", "4M") // 4 s
	transfer.midway(b)
	b.ip("addr del 192.0.2.2/24 dev eth0", "addr add 192.0.2.77/24 dev eth0")
	b.run("wg", "set", "wg0", "listen-port", "51777")
	b.ping("10.9.0.1") // from where it is now
	if got := transfer.report().End.Received.Bytes; got < 1<<20 {
		t.Errorf("%d bytes of 2M", got)
	}
	if out := a.run("wg", "show", "wg0", "endpoints"); out != cb.key.Public().String()+"\t192.0.2.77:51777\n" {
		t.Errorf("the peer is at %s", out)
	}
}

// midway waits until the transfer is under way.
func (n *node) midway(to *host) {
	n.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if to.received() > 200_000 {
			return
		}
		select {
		case <-n.done:
			n.t.Fatal("the transfer has ended already")
		default:
		}
		if time.Now().After(end) {
			n.t.Fatal("the transfer does not begin")
		}
	}
}
