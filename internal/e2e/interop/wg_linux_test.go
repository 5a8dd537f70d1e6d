package interop_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// peerLine is what wg show DEVICE dump says of a peer.
type peerLine struct {
	key, preshared, endpoint, allowed string
	handshake                         int64 // seconds since 1970; 0: none
	received, sent                    int64 // bytes
	keepalive                         string
}

// interfaceLine is what it says of the interface.
type interfaceLine struct {
	private, public, port, mark string
}

// dump asks wg for an interface with one peer.
func (h *host) dump(dev string) (interfaceLine, peerLine) {
	h.t.Helper()
	out := h.run("wg show " + dev + " dump")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 {
		h.t.Fatalf("wg show %s dump: %q", dev, out)
	}
	i, p := strings.Split(lines[0], "\t"), strings.Split(lines[1], "\t")
	if len(i) != 4 || len(p) != 8 {
		h.t.Fatalf("wg show %s dump: %q", dev, out)
	}
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			h.t.Fatal(err)
		}
		return n
	}
	return interfaceLine{i[0], i[1], i[2], i[3]},
		peerLine{p[0], p[1], p[2], p[3], number(p[4]), number(p[5]), number(p[6]), p[7]}
}

// wantAgreement wants what wg shows at one end to be what it shows at the other,
// as soon as nothing is on its way.
func (l *lab) wantAgreement(t *testing.T) {
	t.Helper()
	eventually(t, "wg show at both ends agrees", func() (string, bool) {
		ourSelf, ourPeer := l.ours.dump(ourDev)
		theirSelf, theirPeer := l.theirs.dump(theirDev)
		got := fmt.Sprintf("\n%+v %+v\n%+v %+v", ourSelf.public, ourPeer, theirSelf.public, theirPeer)
		return got, ourSelf.public == theirPeer.key && theirSelf.public == ourPeer.key &&
			ourPeer.preshared == theirPeer.preshared &&
			ourPeer.endpoint == "192.0.2.2:"+theirSelf.port && theirPeer.endpoint == "192.0.2.1:"+ourSelf.port &&
			ourPeer.handshake != 0 && abs(ourPeer.handshake-theirPeer.handshake) <= 1 &&
			arrived(ourPeer.sent, theirPeer.received) && arrived(theirPeer.sent, ourPeer.received)
	})
}

// arrived reports whether all that was sent was received, but for up to two
// handshake initiations of 148 bytes (WireGuard paper §5.4.2) from before the
// other end was up.
func arrived(sent, received int64) bool {
	lost := sent - received
	return received > 0 && (lost == 0 || lost == 148 || lost == 2*148)
}

func abs(n int64) int64 { return max(n, -n) }
